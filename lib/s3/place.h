/* SPDX-License-Identifier: Apache-2.0
 *
 * Where objects are: an endpoint, a bucket in it, and a prefix of all keys.
 * From the configuration, or from a provider.  Pure.
 */
#ifndef S3_PLACE_H
#define S3_PLACE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

enum { S3_KEY_MAX = 1024 };	/* bytes of a key with its prefix, before encoding: S3's own limit */

/* As it is written in the configuration. */
struct s3_place_words {
	const char *endpoint;	/* "https://s3.example.org", "http://127.0.0.1:7480"; a '/' behind is allowed */
	const char *region;	/* NULL: "us-east-1", which engines without regions take */
	const char *bucket;
	const char *prefix;	/* NULL: none.  A '/' at its end is added */
	const char *addressing;	/* "path" (NULL), "virtual" */
};

struct s3_place {
	bool https;
	bool virtual_host;	/* https://bucket.host/key, not https://host/bucket/key */
	char *host;		/* of the endpoint: lower case, IPv6 in brackets */
	uint16_t port;
	char *region, *bucket;
	char *prefix;		/* "", or it ends with '/' */
};

/*
 * 0, or -1 and e where a word is not right: another scheme, a user name, path
 * or query in the endpoint, a bucket's name that S3 does not allow, a prefix
 * that begins with '/' or holds "." or ".." as a segment, or a virtual host
 * that cannot be (an address, or over https a bucket with dots, which no
 * certificate covers).  The words are copied.
 */
int s3_place_init(struct s3_place *ret, const struct s3_place_words *w, struct err *e);
/*
 * A bucket of somebody else, whose name may be one that was allowed once.
 * endpoint NULL: Amazon's of the region, by virtual host where the name can be
 * one; elsewhere by path.  region NULL: "us-east-1".  No prefix.
 */
int s3_place_init_foreign(struct s3_place *ret, const char *endpoint, const char *region, const char *bucket,
    struct err *e);
/* NULL and a zeroed one are allowed. */
void s3_place_release(struct s3_place *p);
/*
 * The bucket is in this region (not empty).  Amazon's endpoints have the
 * region as a label of their name, and each takes requests for its own alone:
 * where the host has the old one it gets the new one.
 */
void s3_place_move(struct s3_place *p, const char *region);

/* The Host header of requests there: with the bucket where it is a virtual host, without a default port. */
void s3_place_host(struct buf *out, const struct s3_place *p);
/*
 * The path of an object (without the place's prefix; this adds it), or of the
 * bucket itself where key is NULL, percent-encoded once: RFC 3986's unreserved
 * bytes and '/' stay.  Any bytes may be in a key, a leading '/' and "//" too.
 * 0, or -1 and e: the key is empty, longer than S3_KEY_MAX with the prefix, or
 * has a segment "." or "..".  Those would need CURLOPT_PATH_AS_IS in libcurl,
 * and a browser that follows a redirect takes them out whatever we do; so no
 * transport needs an option for what this writes.  out is as it was then.
 */
int s3_place_path(struct buf *out, const struct s3_place *p, const char *key, struct err *e);

#endif
