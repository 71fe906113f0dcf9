/* SPDX-License-Identifier: Apache-2.0
 *
 * Does a client get the bytes from us, or a URL of the storage?  What a rule's
 * "delivery" comes to for one request.  Pure.
 */
#ifndef ACCESS_DELIVERY_H
#define ACCESS_DELIVERY_H

#include "config/config.h"
#include "wire/conditional.h"

/* What is known before the size is. */
struct delivery_ask {
	bool head;			/* a URL is signed for GET */
	bool scripted;			/* with Origin: the storage may not answer pages of other origins */
	/*
	 * It came with credentials, and clients would send them to the storage as well: they drop
	 * them on the way to another host, not to the same one, and S3 refuses two kinds at once.
	 */
	bool keeps_credentials;
	const struct conditions *cond;
};

/*
 * A rule's way, as far as it can be said: DELIVERY_AUTO where only the size decides yet (delivery_of_size).
 * *ret_why: for DELIVERY_STREAM where the rule says otherwise, a word for the client; else NULL.
 *
 * Never a redirect under If-Match, If-Unmodified-Since or If-Range: clients repeat them there, where
 * tags and times are other ones, and would get a 412, or parts of two versions.
 */
enum delivery delivery_of_rule(enum delivery rule, const struct delivery_ask *a, const char **ret_why);
/*
 * For DELIVERY_AUTO: DELIVERY_STREAM below so many bytes (cache.s3.redirect_above), else
 * DELIVERY_REDIRECT.  Any other stays, and so does *ret_why.
 */
enum delivery delivery_of_size(enum delivery d, uint64_t size, uint64_t above, const char **ret_why);

/*
 * How long a URL of an object lives that its retention takes at ends_s (0: never): at most most_s.  0: what
 * is left is too short for a client to begin in, so it is streamed, and *ret_why says so.
 */
uint32_t delivery_life_s(uint32_t most_s, int64_t ends_s, int64_t now_s, const char **ret_why);

/* "https://data.example.org:8443/x" is at "data.example.org:80": ports do not count, nor does case. */
bool delivery_same_host(const char *url, const char *host);

#endif
