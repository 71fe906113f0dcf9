/* SPDX-License-Identifier: Apache-2.0
 *
 * The bucket of cache.s3, asked about itself ("?lifecycle") and its objects:
 * one question at a time, each waited for, and asked again for a while where S3
 * is busy or does not answer.
 */
#ifndef CTL_BUCKET_H
#define CTL_BUCKET_H

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"
#include "s3/error.h"

struct bucket;

struct bucket_answer {
	int status;
	struct buf body;	/* the document */
	/* of an object: its headers; NULL, and -1, where absent */
	char *etag, *meta;	/* meta: S3_META_HEADER */
	uint64_t length;
	int64_t last_modified;	/* s since 1970 */
	const char *needs;	/* the rights that it takes */
	struct s3_error error;	/* its code is "" where there is none */
	bool wrong_clock;	/* that is why it was refused */
	char *minimum_size;	/* x-amz-transition-default-minimum-object-size, or NULL */
};
void bucket_answer_release(struct bucket_answer *a);	/* NULL and a zeroed one are allowed */

/* c has an endpoint; borrowed for the bucket's life.  Reads the keys.  NULL and e. */
struct bucket *bucket_new(const struct config *c, struct err *e);
void bucket_free(struct bucket *b);			/* NULL is allowed */
bool bucket_is_away(const struct bucket *b);		/* nobody answered the last question, in all its tries */
/*
 * The sub-resource of that name.  *ret is there, to be released, with any
 * status.  0, or -1 and e where there is no whole answer.
 */
int bucket_get(struct bucket *b, const char *what, struct bucket_answer *ret, struct err *e);
/* Replace it.  minimum_size: as it was in the answer to bucket_get, or NULL. */
int bucket_put(struct bucket *b, const char *what, const struct buf *document, const char *minimum_size,
    struct bucket_answer *ret, struct err *e);
/* Let there be none of it. */
int bucket_delete(struct bucket *b, const char *what, struct bucket_answer *ret, struct err *e);
/* An object: its head; let it go (2xx also where there is none).  "": the bucket itself. */
int bucket_head_object(struct bucket *b, const char *key, struct bucket_answer *ret, struct err *e);
int bucket_delete_object(struct bucket *b, const char *key, struct bucket_answer *ret, struct err *e);
/* Some time, without asking. */
void bucket_wait(struct bucket *b, int ms);
/* Does the answer say so? */
bool bucket_says(const struct bucket_answer *a, const char *code);
/* Why it was refused, and what may help.  Always -1. */
int bucket_explain(const struct bucket *b, const struct bucket_answer *a, struct err *e);

#endif
