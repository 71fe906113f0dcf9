/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the S3 store: what its files share.  Only they and the unit tests
 * include it.
 */
#ifndef CACHE_STORE_S3_H
#define CACHE_STORE_S3_H

#include <sys/queue.h>
#include <uthash.h>

#include "bucket/client.h"
#include "cache/shared.h"
#include "cache/store_s3_meta.h"

/* Some failures in a row, and nobody asks for a while; then one does. */
struct s3_health {
	unsigned failures;		/* in a row */
	bool misplaced;			/* the last one: what was asked, or by whom, is wrong */
	bool bad;
	int64_t until_ms;		/* mono: bad, and nobody asks until then */
};

enum s3_purpose { S3_LOOK, S3_FILL };

struct store_s3 {
	struct store store;		/* first */
	const struct config *config;	/* borrowed: the one in force */
	struct net *net;		/* borrowed; NULL in those that only look up */
	struct shared *shared;		/* borrowed, as net */
	store_tell_fn *tell;
	void *tell_arg;
	struct s3_place place;
	struct s3_place clients;	/* the same as they reach it */
	char *host;			/* of that */
	struct s3_signer *signer;
	struct s3_credentials_file *file;	/* NULL: from the environment */
	struct s3_credentials environment;
	char *spool_path;		/* NULL: this one does not fill */
	struct s3_client *client;	/* of fills; NULL without net */
	LIST_HEAD(, store_fill) fills;
	struct found *found;		/* hash by key */
	size_t n_found;
	struct s3_health all, taking;	/* S3 for whatever we ask it, and for what is put there */
};

/* NULL and e: there are none.  Reads the file of credentials again if it has changed.  Borrowed until the next call. */
const struct s3_credentials *s3_keys(struct store_s3 *s, struct err *e);
/* Who asks; -1 and e: without net, or without credentials. */
int s3_peer(struct store_s3 *s, struct s3_peer *ret, struct err *e);
/* What became of a call: failures that are S3's, not the call's, are counted, and what follows is told. */
void s3_heard(struct store_s3 *s, enum s3_purpose why, const struct s3_answer *a);
/* May S3 be asked?  Yes makes the caller the one who tries, where it was bad. */
bool s3_may_ask(struct store_s3 *s, enum s3_purpose why);
bool s3_is_away(const struct store_s3 *s);	/* nobody may, whyever */

/* store_s3_fill.c */
struct store_fill *s3_fill_begin(struct store *s, const char *key, int spool_fd, const struct object_meta *m,
    struct err *e);
void s3_fill_advance(struct store_fill *f, uint64_t upto, bool behind);
void s3_fill_finish(struct store_fill *f, const struct object_meta *m);
enum fill_state s3_fill_state(const struct store_fill *f, struct err *e);
void s3_fill_free(struct store_fill *f);
void s3_fills_end(struct store_s3 *s);		/* of those that are freed and wait */

/* store_s3_lookup.c */
enum store_result s3_lookup(struct store *s, const char *key, struct store_object *ret, struct err *e);
struct store_find *s3_find(struct store *s, const char *key, store_found_fn *fn, void *arg, struct err *e);
void s3_find_cancel(struct store_find *f);
void s3_again(struct store *s, const char *key);
void s3_forget(struct store *s, const char *key);
int s3_url(struct store *s, const char *key, enum store_url whose, uint32_t life_s, struct buf *out, struct err *e);
void s3_found_ask(struct store_s3 *s, const char *key);	/* though nobody waits for it */
/* m is in the bucket since stored_s (-1: unknown), and S3 calls that version etag: the other hosts may know. */
void s3_remember(struct store_s3 *s, const char *key, const struct object_meta *m, char *etag, int64_t stored_s);
void s3_found_tick(struct store_s3 *s);		/* what is out of date goes */
void s3_found_free(struct store_s3 *s);

#endif
