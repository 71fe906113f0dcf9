/* SPDX-License-Identifier: Apache-2.0
 *
 * Sources that are objects in S3.  A resolver says which bucket and key, and
 * with whose keys; each GET gets a URL of its own, signed when it begins, so
 * that the rest of a body that broke off hours later is asked for with a
 * signature of then.  Where a bucket really is S3 says itself, to whoever asks
 * in a wrong region; that is remembered.
 */
#ifndef MOVER_SOURCE_S3_H
#define MOVER_SOURCE_S3_H

#include "base/buf.h"
#include "ipc/resolve.h"
#include "net/fetch.h"
#include "s3/error.h"
#include "s3/sign.h"

enum {
	S3_SOURCE_LIFE_S = 900,		/* of a URL: the GET begins at once, but our clock may be that late */
	S3_REGIONS_MAX = 1000,		/* buckets in another region than was said, that are remembered */
};

/* A mover's: where buckets turned out to be, and what signs. */
struct s3_sources;
struct s3_source;

struct s3_sources *s3_sources_new(void);
void s3_sources_free(struct s3_sources *all);	/* after the last use of its sources; NULL is allowed */
void s3_sources_tell_bounds(const struct s3_sources *all);	/* each tick */

/*
 * What the answer says (of kind SOURCE_S3), copied.  fresh: its keys were made
 * after others had been refused.  NULL and e (no secret in it): a bucket, a key
 * or an endpoint that cannot be.
 */
struct s3_source *s3_source_new(struct s3_sources *all, const struct resolve_answer *a, bool fresh, struct err *e);
void s3_source_free(struct s3_source *s);	/* wipes the keys; NULL is allowed */
const char *s3_source_name(const struct s3_source *s);	/* the key behind its last '/', decoded; maybe "" */
bool s3_source_is_https(const struct s3_source *s);
bool s3_source_is_tree(const struct s3_source *s);	/* its key ends with '/': there are objects below it, and none is it */

/* What S3 has its say in of one GET; a zeroed one is a new one. */
struct s3_get {
	char region[S3_REGION_MAX + 1];	/* that it was signed for */
	bool moved;			/* it has been sent to another one already */
};

/*
 * Append the URL to ask for now.  subpath: as in a hand-over, or NULL.  0, or
 * -1 and e.  A secret while it lives, unless the source is public.
 */
int s3_get_url(struct s3_get *g, struct s3_source *s, const char *subpath, uint32_t life_s, struct buf *out,
    struct err *e);
/*
 * S3 has refused (300 or more): r, and the n bytes of its body.  True: ask
 * again at once, by a new URL.  False: ret is r as a provider without S3 would
 * have said it: 401 where other keys may do, 503 where S3 is busy, 502 where
 * nothing will help.  Borrows from r.  Tells the log.
 */
bool s3_get_again(struct s3_get *g, struct s3_source *s, const char *id, const struct fetch_response *r,
    const char *body, size_t n, struct fetch_response *ret);

#endif
