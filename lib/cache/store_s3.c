/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects in a bucket of S3.  This file opens the store and keeps in mind
 * whether S3 is there; store_s3_lookup.c finds objects, store_s3_fill.c puts
 * them in, store_s3_meta.c writes what is known of them into a header.
 *
 * Our keys are RETENTION/BACKEND/... (cache/key.h) behind cache.s3.prefix, so
 * that lifecycle rules can go by the prefix.  Nothing here deletes by age.
 */
#include "base/base.h"

#include "cache/store_s3.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

enum {
	FAILURES_MAX = 3,		/* in a row, and S3 counts as away, or as full */
	PAUSE_MS = 5000,		/* nobody is asked for so long */
};

static struct store_s3 *
s3_of(struct store *s)
{
	return (struct store_s3 *)s;
}

/* ---- who asks ---------------------------------------------------------------- */

const struct s3_credentials *
s3_keys(struct store_s3 *s, struct err *e)
{
	const struct s3_credentials *keys = &s->environment;
	struct err why = ERR_NONE;

	if (s->file != NULL) {
		switch (s3_credentials_file_reload(s->file, &why)) {
		case S3_RELOAD_NEW:
			s->tell(s->tell_arg, STORE_KEYS_NEW, "");
			break;
		case S3_RELOAD_BROKEN:
			s->tell(s->tell_arg, STORE_KEYS_BROKEN, why.text);
			break;
		case S3_RELOAD_SAME:
			break;
		}
		keys = s3_credentials_file_get(s->file);
	}
	if (keys == NULL || keys->id == NULL) {
		(void)err_set(e, "there are no credentials for S3");
		return NULL;
	}
	return keys;
}

int
s3_peer(struct store_s3 *s, struct s3_peer *ret, struct err *e)
{
	if (s->net == NULL)
		return err_set(e, "this process does not speak to S3");
	*ret = (struct s3_peer){ .net = s->net, .place = &s->place, .signer = s->signer, .credentials = s3_keys(s, e) };
	return ret->credentials == NULL ? -1 : 0;
}

/* ---- is it there? -------------------------------------------------------------- */

static bool
is_paused(const struct s3_health *h)
{
	return h->bad && clock_mono_ms() < h->until_ms;
}

bool
s3_is_away(const struct store_s3 *s)
{
	return is_paused(&s->all);
}

/* The others go on as if nobody might: S3 may be slow. */
static bool
try_one(struct s3_health *h)
{
	if (is_paused(h))
		return false;
	if (h->bad)
		h->until_ms = clock_mono_ms() + PAUSE_MS;
	return true;
}

bool
s3_may_ask(struct store_s3 *s, enum s3_purpose why)
{
	return try_one(&s->all) && (why == S3_LOOK || try_one(&s->taking));
}

/* Nothing that is asked here and now can succeed. */
static bool
is_misplaced(const struct s3_answer *a)
{
	return a->result == S3_RESULT_NONE || a->result == S3_RESULT_CLOCK || a->result == S3_RESULT_REGION;
}

/* Its failure, and not that of what was asked.  403: whatever is asked will be refused. */
static bool
is_its_own(const struct s3_answer *a)
{
	if (a->result == S3_RESULT_SOURCE)
		return false;
	return a->again || a->error != FETCH_OK || a->status == 403 || a->status == 507 || is_misplaced(a);
}

/* Or is it of what is put alone?  That may be refused, or find no room, while all that is there can be had. */
static bool
is_for_all(enum s3_purpose why, const struct s3_answer *a)
{
	return why == S3_LOOK || a->error != FETCH_OK || is_misplaced(a);
}

static enum store_event
condition(const struct store_s3 *s)
{
	return s->all.bad ? STORE_AWAY : s->taking.bad ? STORE_FULL : STORE_BACK;
}

static void
failed(struct store_s3 *s, enum s3_purpose why, const struct s3_answer *a)
{
	struct s3_health *h = is_for_all(why, a) ? &s->all : &s->taking;

	s->tell(s->tell_arg, a->again || a->error != FETCH_OK ? STORE_CALL_FAILED : STORE_CALL_REFUSED, "");
	h->misplaced = is_misplaced(a);
	if (++h->failures < FAILURES_MAX)
		return;
	h->bad = true;
	h->until_ms = clock_mono_ms() + PAUSE_MS;
}

void
s3_heard(struct store_s3 *s, enum s3_purpose why, const struct s3_answer *a)
{
	enum store_event before = condition(s);
	struct err e = ERR_NONE;

	if (s3_answer_good(a)) {
		s->all = (struct s3_health){ 0 };
		if (why == S3_FILL)
			s->taking = (struct s3_health){ 0 };
	} else if (is_its_own(a)) {
		failed(s, why, a);
		s3_answer_say(a, &e);
	} else if (a->error == FETCH_OK && s->all.misplaced) {
		/* 404 to HEAD may be the object's or the bucket's, which a fill will show */
		s->all.until_ms = 0;
	} else if (a->error == FETCH_OK) {
		s->all = (struct s3_health){ 0 };	/* it answers, whatever it says */
	}
	if (condition(s) != before)
		s->tell(s->tell_arg, condition(s), e.text);
}

/* ---- the spool -------------------------------------------------------------------- */

/* It never gets a name: what is in the bucket is another copy. */
static int
s3_spool_open(struct store *store, struct err *e)
{
	struct store_s3 *s = s3_of(store);
	char path[PATH_MAX];
	int fd;

	fd = open(s->spool_path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd == -1 && (errno == EISDIR || errno == EINVAL || errno == EOPNOTSUPP)) {
		(void)snprintf(path, sizeof(path), "%s/eo-XXXXXX", s->spool_path);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd != -1)
			(void)unlink(path);
	}
	if (fd == -1)
		return err_sys(e, errno, "cannot make a file in dirs.spool '%s'", s->spool_path);
	return fd;
}

/* Of the spool: a bucket says nothing of how full it is. */
static int
s3_space(struct store *store, struct store_space *ret, struct err *e)
{
	struct store_s3 *s = s3_of(store);
	struct statvfs v;

	if (s->spool_path == NULL || statvfs(s->spool_path, &v) != 0)
		return err_sys(e, errno, "cannot look at dirs.spool");
	ret->max = (uint64_t)v.f_blocks * v.f_frsize / 100 * (100 - s->config->cache_min_free_percent);
	ret->used = (uint64_t)(v.f_blocks - v.f_bavail) * v.f_frsize;
	return 0;
}

/* ---- its life ------------------------------------------------------------------------ */

static int
s3_open(struct store *s UNUSED, const struct store_object *o UNUSED, struct err *e)
{
	return err_set(e, "an object in S3 is no file");
}

static const char *
s3_host(const struct store *store)
{
	return ((const struct store_s3 *)store)->host;
}

static const struct s3_credentials *
client_keys(void *arg, struct err *e)
{
	return s3_keys(arg, e);
}

static void
s3_attach(struct store *store, struct net *net, struct shared *shared, store_tell_fn *tell, void *arg)
{
	struct store_s3 *s = s3_of(store);

	s->net = net;
	/* what follows a bucket to another region is not what signs for clients and the front */
	s->client = net == NULL ? NULL : s3_client_new(net, &s->place, false, client_keys, s);
	s->shared = shared;
	s->tell = tell;
	s->tell_arg = arg;
}

/* Who looks at this has no fill any more, and then all that the client asks is about those that were given up. */
static bool
s3_busy(const struct store *store)
{
	return !s3_client_is_idle(((const struct store_s3 *)store)->client);
}

static void
s3_tick(struct store *store)
{
	s3_found_tick(s3_of(store));
}

/* What the configuration says of keys. */
static void
use_keys(struct store_s3 *s, const struct config *c)
{
	s3_credentials_file_free(s->file);
	s->file = NULL;
	s3_credentials_release(&s->environment);
	if (c->s3_credentials[0] != '\0')
		s->file = s3_credentials_file_new(c->s3_credentials, c->s3_profile);
	else if (c->s3_keys.n >= 2)
		s->environment = (struct s3_credentials){ mem_strdup(c->s3_keys.v[0]), mem_strdup(c->s3_keys.v[1]),
			c->s3_keys.n > 2 ? mem_strdup(c->s3_keys.v[2]) : NULL };
}

static void
s3_set_config(struct store *store, const struct config *c)
{
	struct store_s3 *s = s3_of(store);

	s->config = c;		/* the one before is gone already */
	use_keys(s, c);
}

/* A bucket that is away makes nobody unready: movers say so on the scoreboard, and requests are served. */
static int
s3_check(struct store *store UNUSED, struct err *e UNUSED)
{
	return 0;
}

static void
s3_detach(struct store *store)
{
	struct store_s3 *s = s3_of(store);

	s3_fills_end(s);
	s3_found_free(s);
	s3_client_free(s->client);
	s->client = NULL;
	s->net = NULL;
	s->shared = NULL;
}

static void
s3_free(struct store *store)
{
	struct store_s3 *s = s3_of(store);

	if (s == NULL)
		return;
	s3_detach(store);
	s3_credentials_file_free(s->file);
	s3_credentials_release(&s->environment);
	s3_signer_free(s->signer);
	s3_place_release(&s->place);
	s3_place_release(&s->clients);
	free(s->host);
	free(s->spool_path);
	free(s);
}

static const struct store_ops s3_ops = {
	.lookup = s3_lookup,
	.find = s3_find,
	.find_cancel = s3_find_cancel,
	.again = s3_again,
	.forget = s3_forget,
	.url = s3_url,
	.host = s3_host,
	.open = s3_open,
	.spool_open = s3_spool_open,
	.fill_begin = s3_fill_begin,
	.fill_advance = s3_fill_advance,
	.fill_finish = s3_fill_finish,
	.fill_state = s3_fill_state,
	.fill_free = s3_fill_free,
	.busy = s3_busy,
	.tick = s3_tick,
	.space = s3_space,
	.set_config = s3_set_config,
	.check = s3_check,
	.attach = s3_attach,
	.detach = s3_detach,
	.free = s3_free,
};

struct store *
store_s3_open(const struct config *c, bool mover, struct err *e)
{
	struct s3_place_words words = {
		.endpoint = c->s3_endpoint, .region = c->s3_region, .bucket = c->s3_bucket, .prefix = c->s3_prefix,
		.addressing = c->s3_addressing == S3_ADDRESSING_VIRTUAL ? "virtual" : "path",
	};
	struct store_s3 *s = mem_alloc(sizeof(*s));
	struct buf host = BUF_INIT(1024);

	s->store.ops = &s3_ops;
	s->config = c;
	LIST_INIT(&s->fills);
	if (s3_place_init(&s->place, &words, e) != 0)
		goto fail;
	if (c->s3_public_endpoint[0] != '\0')
		words.endpoint = c->s3_public_endpoint;
	if (s3_place_init(&s->clients, &words, e) != 0)
		goto fail;
	s3_place_host(&host, &s->clients);
	buf_must(&host);
	s->host = mem_strdup(buf_str(&host));
	buf_release(&host);
	s->signer = s3_signer_new();
	use_keys(s, c);
	if (!mover)
		return &s->store;
	s->spool_path = mem_strdup(c->dir_spool);
	if (fd_mkdirs(s->spool_path, 0750, e) != 0)
		goto fail;
	return &s->store;
fail:
	s3_free(&s->store);
	return NULL;
}
