/* SPDX-License-Identifier: Apache-2.0
 *
 * Signature Version 4, step by step and of whichever service: what S3 makes
 * of it is in sign.c.  Private to lib/s3 and to the test that runs Amazon's
 * own vectors.
 */
#ifndef S3_SIGV4_H
#define S3_SIGV4_H

#include "base/buf.h"
#include "base/hmac.h"
#include "s3/sign.h"

enum {
	SIGV4_DATE_MAX = 17,	/* "20150830T123600Z", with its NUL */
	SIGV4_TEXT_MAX = 32 * 1024,	/* bytes of a query; of the headers */
	SIGV4_SCOPE_MAX = 160,	/* "20150830/us-east-1/s3/aws4_request" */
};

struct s3_signer {
	struct hmac *key;	/* of scope and secret; NULL: none yet */
	char scope[SIGV4_SCOPE_MAX];
	char *secret;
};

/* What is signed; all borrowed. */
struct sigv4_request {
	const char *method;
	const char *path;		/* encoded as the service wants it, at most SIGV4_TEXT_MAX bytes */
	const struct s3_pair *query;	/* at most S3_PAIRS_MAX */
	size_t nquery;
	const struct s3_pair *headers;	/* Host and at most S3_PAIRS_MAX others */
	size_t nheaders;
	const char *payload;		/* its SHA-256 in hex, or a word of the service's */
	const char *region, *service;
	uint32_t life_s;
};

/*
 * The steps.  What is written fails with its buf; what gives an int gives 0,
 * or -1 and e.
 */

/* "name:value\n" of each, and "name;name", both in order. */
int sigv4_headers(struct buf *lines, struct buf *names, const struct s3_pair *headers, size_t n, struct err *e);
/* "name=value&name=value", encoded.  Sorts query. */
void sigv4_query(struct buf *out, struct s3_pair *query, size_t n);
/* query, lines, names: as the two above write them. */
void sigv4_canonical(struct buf *out, const struct sigv4_request *r, const char *query, const char *lines,
    const char *names);
int sigv4_date(char ret[SIGV4_DATE_MAX], int64_t now_s, struct err *e);
/* Makes the signer's key that of the day of date, r's region and service, and c's secret, unless it is. */
int sigv4_scope(struct s3_signer *s, const struct s3_credentials *c, const char *date, const struct sigv4_request *r,
    struct err *e);
void sigv4_string_to_sign(struct buf *out, const struct s3_signer *s, const char *date, const struct buf *canonical);
/* 64 hex digits. */
void sigv4_signature(struct buf *out, struct s3_signer *s, const struct buf *string_to_sign);
/* Wipes key and secret. */
void sigv4_forget(struct s3_signer *s);

/* All of them: append the whole query of a presigned URL.  On failure nothing is appended. */
int sigv4_presign(struct buf *out, struct s3_signer *s, const struct sigv4_request *r, const struct s3_credentials *c,
    int64_t now_s, struct err *e);

#endif
