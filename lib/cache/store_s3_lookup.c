/* SPDX-License-Identifier: Apache-2.0
 *
 * Is it in the bucket?  Movers ask S3 (HEAD), once for all who want to know at
 * the same time, and believe the answer for a short while.  Where hosts share a
 * memcached they ask there first, and say there what they have heard.
 */
#include "base/base.h"

#include "cache/store_s3.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	FOUND_MAX = 20000,
	HIT_MS = 10000,			/* an answer is believed so long */
	MISS_MS = 2000,
	ASK_MS = 2000,			/* S3 has so long to answer; then it counts as away */
	ABSENT_S = 3,			/* other hosts believe so long that there is none */
};

struct store_find {
	TAILQ_ENTRY(store_find) link;
	struct found *found;
	store_found_fn *fn;
	void *arg;
};

struct found {
	UT_hash_handle hh;
	struct store_s3 *s;
	struct s3_call *call;		/* S3 is being asked */
	TAILQ_HEAD(finds, store_find) waiters;
	enum store_result result;
	struct store_object object;	/* STORE_HIT */
	int64_t until_ms;		/* mono: result is good; 0: there is none */
	bool failed;			/* S3 has not said it: it could not, a moment ago */
	char key[];
};

static void
found_set(struct found *f, enum store_result result, int64_t keep_ms)
{
	store_object_release(&f->object);
	memset(&f->object, 0, sizeof(f->object));
	f->result = result;
	f->failed = false;
	f->until_ms = clock_mono_ms() + keep_ms;
}

static void
found_free(struct found *f)
{
	struct store_s3 *s = f->s;

	MUST(TAILQ_EMPTY(&f->waiters));
	s3_call_cancel(f->call);
	store_object_release(&f->object);
	HASH_DEL(s->found, f);
	s->n_found--;
	free(f);
}

static struct found *
found_get(struct store_s3 *s, const char *key, bool make)
{
	struct found *f;
	size_t n = strlen(key);

	HASH_FIND(hh, s->found, key, n, f);
	if (f != NULL || !make)
		return f;
	f = mem_alloc(sizeof(*f) + n + 1);
	memcpy(f->key, key, n + 1);
	f->s = s;
	TAILQ_INIT(&f->waiters);
	HASH_ADD(hh, s->found, key, n, f);
	s->n_found++;
	return f;
}

/* ---- what hosts remember ------------------------------------------------------- */

void
s3_remember(struct store_s3 *s, const char *key, const struct object_meta *m, char *etag, int64_t stored_s)
{
	const struct memory_entry e = { .state = MEMORY_PRESENT, .until_s = shared_until_s(s->config, key, stored_s),
		.ends_s = shared_ends_s(s->config, key, stored_s), .meta = *m, .store_etag = etag };

	(void)memory_keep(s->shared->memory, key, &e);	/* else the next one asks S3 */
}

static void
remember_none(struct store_s3 *s, const char *key)
{
	const struct memory_entry e = { .state = MEMORY_ABSENT, .until_s = clock_wall_ms() / 1000 + ABSENT_S };

	(void)memory_keep(s->shared->memory, key, &e);
}

/* What the hosts know, taken for S3's answer; NULL: nothing. */
static struct found *
recall(struct store_s3 *s, const char *key)
{
	struct memory_entry e;
	struct found *f = NULL;
	int64_t left_ms;

	memory_look(s->shared->memory, &key, 1, &e);
	if (e.state != MEMORY_UNKNOWN) {
		left_ms = e.until_s * 1000 - clock_wall_ms();
		f = found_get(s, key, true);
		if (e.state == MEMORY_ABSENT) {
			found_set(f, STORE_MISS, left_ms < MISS_MS ? left_ms : MISS_MS);
		} else {
			found_set(f, STORE_HIT, left_ms < HIT_MS ? left_ms : HIT_MS);
			f->object.meta = e.meta;
			f->object.version = e.store_etag;
			f->object.ends_s = e.ends_s;
			e.meta = (struct object_meta){ .etag = NULL };
			e.store_etag = NULL;
		}
	}
	memory_entry_release(&e);
	return f;
}

/* ---- looking ---------------------------------------------------------------------- */

static bool
is_known(const struct found *f)
{
	return f != NULL && f->call == NULL && clock_mono_ms() < f->until_ms;
}

enum store_result
s3_lookup(struct store *store, const char *key, struct store_object *ret, struct err *e UNUSED)
{
	struct store_s3 *s = (struct store_s3 *)store;
	const struct found *f = found_get(s, key, false);

	if (s->net == NULL || s3_is_away(s))
		return STORE_MISS;
	if (s->all.bad)		/* S3 itself has to say that it is back */
		return is_known(f) && f->result == STORE_MISS ? STORE_MISS : STORE_ASK;
	if (!is_known(f) && (f == NULL || f->call == NULL))
		f = recall(s, key);
	if (!is_known(f))
		return STORE_ASK;
	if (f->result == STORE_HIT) {
		memset(ret, 0, sizeof(*ret));
		object_meta_copy(&ret->meta, &f->object.meta);
		ret->version = mem_strdup(f->object.version);
		ret->ends_s = f->object.ends_s;
	}
	return f->result;
}

/* S3's answer to a HEAD. */
static void
take(struct found *f, const struct s3_answer *a)
{
	struct object_meta m;
	struct err e = ERR_NONE;

	if (!s3_answer_good(a)) {	/* also where it failed: the source is there, and s3_heard has told the log */
		found_set(f, STORE_MISS, MISS_MS);
		f->failed = a->error != FETCH_OK;
		if (a->result == S3_RESULT_ABSENT)
			remember_none(f->s, f->key);
		return;
	}
	if (a->head->etag == NULL || !a->head->has_length || a->head->content_encoding != NULL ||
	    s3_meta_parse(fetch_response_amz(a->head, S3_META_HEADER), a->head->length, &m, &e) != 0) {
		f->s->tell(f->s->tell_arg, STORE_FOREIGN, e.text[0] == '\0' ? "no ETag or no length, or it is encoded" : e.text);
		found_set(f, STORE_MISS, MISS_MS);
		return;
	}
	found_set(f, STORE_HIT, HIT_MS);
	f->object.meta = m;
	f->object.version = mem_strdup(a->head->etag);
	f->object.ends_s = shared_ends_s(f->s->config, f->key, a->head->last_modified);
	s3_remember(f->s, f->key, &m, f->object.version, a->head->last_modified);
}

static void
tell(struct found *f)
{
	struct store_find *w;
	size_t n = 0;

	TAILQ_FOREACH(w, &f->waiters, link)
		n++;
	for (; n > 0 && !TAILQ_EMPTY(&f->waiters); n--) {
		w = TAILQ_FIRST(&f->waiters);
		TAILQ_REMOVE(&f->waiters, w, link);
		w->fn(w->arg);
		free(w);
	}
}

static void
on_head(void *arg, const struct s3_answer *a)
{
	struct found *f = arg;

	f->call = NULL;
	s3_heard(f->s, S3_LOOK, a);
	take(f, a);
	tell(f);
}

/* 0: S3 is being asked, -1 and e: it cannot be. */
static int
ask(struct found *f, struct err *e)
{
	struct s3_want w = { .request = { .method = "HEAD", .key = f->key }, .fd = -1,
		.answer_by_ms = clock_mono_ms() + ASK_MS };
	struct s3_peer peer;

	if (f->call == NULL && !s3_may_ask(f->s, S3_LOOK))
		return err_set(e, "S3 is away");
	if (f->call == NULL && s3_peer(f->s, &peer, e) == 0)
		f->call = s3_call_start(&peer, &w, on_head, f, e);
	return f->call == NULL ? -1 : 0;
}

void
s3_found_ask(struct store_s3 *s, const char *key)
{
	(void)ask(found_get(s, key, true), NULL);
}

struct store_find *
s3_find(struct store *store, const char *key, store_found_fn *fn, void *arg, struct err *e)
{
	struct found *f = found_get((struct store_s3 *)store, key, true);
	struct store_find *find;

	if (ask(f, e) != 0)
		return NULL;
	find = mem_alloc(sizeof(*find));
	find->found = f;
	find->fn = fn;
	find->arg = arg;
	TAILQ_INSERT_TAIL(&f->waiters, find, link);
	return find;
}

void
s3_find_cancel(struct store_find *find)
{
	if (find == NULL)
		return;
	TAILQ_REMOVE(&find->found->waiters, find, link);
	free(find);
}

void
s3_again(struct store *store, const char *key)
{
	struct found *f = found_get((struct store_s3 *)store, key, false);

	if (f != NULL && !f->failed)	/* who waits has waited for S3 already */
		f->until_ms = 0;
}

void
s3_forget(struct store *store, const char *key)
{
	struct store_s3 *s = (struct store_s3 *)store;

	s3_again(store, key);
	if (s->shared != NULL)
		(void)memory_forget(s->shared->memory, key);
}

int
s3_url(struct store *store, const char *key, enum store_url whose, uint32_t life_s, struct buf *out, struct err *e)
{
	struct store_s3 *s = (struct store_s3 *)store;
	struct s3_request r = { .method = "GET", .key = key, .life_s = life_s };
	const struct s3_credentials *keys = s3_keys(s, e);

	if (keys == NULL)
		return -1;
	return s3_presign(out, s->signer, whose == STORE_URL_CLIENTS ? &s->clients : &s->place, keys, &r,
	    clock_wall_ms() / 1000, e);
}

/* What nobody waits for and is out of date; and the oldest where there are too many. */
void
s3_found_tick(struct store_s3 *s)
{
	struct found *f, *next;
	size_t most = s->n_found > FOUND_MAX ? s->n_found - FOUND_MAX : 0;

	HASH_ITER(hh, s->found, f, next) {	/* in the order in which they came */
		if (f->call != NULL || !TAILQ_EMPTY(&f->waiters))
			continue;
		if (most > 0 || !is_known(f)) {
			found_free(f);
			most -= most > 0;
		}
	}
}

void
s3_found_free(struct store_s3 *s)
{
	struct found *f, *next;
	struct store_find *w;

	HASH_ITER(hh, s->found, f, next) {
		while ((w = TAILQ_FIRST(&f->waiters)) != NULL) {
			TAILQ_REMOVE(&f->waiters, w, link);
			free(w);
		}
		found_free(f);
	}
}
