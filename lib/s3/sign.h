/* SPDX-License-Identifier: Apache-2.0
 *
 * Presigned URLs of S3 (Signature Version 4 in the query), for our own
 * requests as for those that others make: the transport needs to know nothing
 * of signatures.  The payload is not signed.
 */
#ifndef S3_SIGN_H
#define S3_SIGN_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "s3/credentials.h"
#include "s3/place.h"

enum {
	S3_LIFE_MIN = 1,
	S3_LIFE_MAX = 604800,	/* seconds: a week */
	S3_URL_MAX = 64 * 1024,	/* a buf of this has room for any URL; a session token alone may take 24 KiB */
	S3_PAIRS_MAX = 32,	/* of a query, and of headers */
};

struct s3_pair {
	const char *name, *value;	/* decoded; value never NULL: "?uploads" is { "uploads", "" } */
};

/* All borrowed for the call. */
struct s3_request {
	const char *method;		/* "GET"; HEAD is not GET */
	const char *key;		/* any bytes, without the place's prefix; NULL: the bucket itself */
	const struct s3_pair *query;	/* in any order */
	size_t nquery;
	/*
	 * Headers that the request must be sent with, besides Host: x-amz-*, Content-Type, Content-MD5.
	 * S3 refuses an x-amz-* header that was not signed.  Names in any case, each once.
	 */
	const struct s3_pair *headers;
	size_t nheaders;
	uint32_t life_s;		/* S3_LIFE_MIN to S3_LIFE_MAX */
};

/*
 * Keeps the key of a day, a region and a secret, which saves most of the work
 * while these stay the same.  Holds one: use one signer for each place.
 */
struct s3_signer;

struct s3_signer *s3_signer_new(void);
void s3_signer_free(struct s3_signer *s);	/* wipes; NULL is allowed */

/*
 * Append the URL.  now_s: seconds since 1970; it is valid from then (S3 takes
 * a clock that is up to 15 minutes ahead) for life_s.  0, or -1 and e (no
 * secret in it): what the request holds cannot be sent (a control byte in a
 * header, a header twice, a query's name that belongs to the signature, a key
 * that s3_place_path refuses, a life out of bounds, more than 32 KiB of query
 * or of headers), and out is as it was; or there is no room in out, which has
 * failed then.  The URL is a secret while it lives: never log it.
 */
int s3_presign(struct buf *out, struct s3_signer *s, const struct s3_place *p, const struct s3_credentials *c,
    const struct s3_request *r, int64_t now_s, struct err *e);

/* Append the URL of what anybody may read: without a signature.  As s3_presign. */
int s3_public_url(struct buf *out, const struct s3_place *p, const char *key, struct err *e);

#endif
