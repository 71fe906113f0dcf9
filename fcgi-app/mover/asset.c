/* SPDX-License-Identifier: Apache-2.0
 *
 * Assets and their sources.  A source is resolved once and kept until its
 * credentials are about to end; "no such asset" is kept for a short while.
 *
 *	nothing known -> item -> resolve -> source (or a failure, to all who wait)
 */
#include "base/base.h"

#include "mover/mover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cache/key.h"

enum { ASSETS_MAX = 20000 };	/* kept though nobody uses them */

struct assets {
	struct mover *m;
	struct asset *all;		/* hash by key */
	TAILQ_HEAD(asset_lru, asset) idle;	/* least lately used first */
	size_t n_idle;
};

struct source *
source_ref(struct source *s)
{
	s->refs++;
	return s;
}

void
source_unref(struct source *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	for (size_t i = 0; i < s->n_headers; i++) {
		explicit_bzero(s->headers[i], strlen(s->headers[i]));
		free(s->headers[i]);
	}
	free(s->headers);
	s3_source_free(s->s3);
	free(s->url);
	free(s->method);
	free(s->body);
	free(s->media_type);
	free(s->filename);
	free(s->digest_user);
	free(s);
}

/* Credentials that live shorter than the margin are still used: half of the time that they have, a second at least. */
static int64_t
good_until(int64_t expires_ms, int64_t now)
{
	int64_t until = expires_ms - SOURCE_MARGIN_MS, half = now + (expires_ms - now) / 2;

	if (expires_ms == 0)
		return now + SOURCE_UNKNOWN_MS;
	if (until < half)
		until = half;
	return until < now + 1000 ? now + 1000 : until;
}

/* NULL and e: there can be no such thing in S3. */
static struct source *
source_from_answer(const struct asset *asset, const struct resolve_answer *a, struct err *e)
{
	struct s3_source *s3 = NULL;
	struct source *s;
	int64_t now = clock_wall_ms();

	if (a->source == SOURCE_S3) {
		s3 = s3_source_new(asset->m->s3_sources, a, asset->source_fresh, e);
		if (s3 == NULL)
			return NULL;
	}
	s = mem_alloc(sizeof(*s));
	s->refs = 1;
	s->s3 = s3;
	s->url = mem_strdup(a->url);
	s->for_clients = a->for_clients;
	s->method = mem_strdup(a->method == NULL ? "GET" : a->method);
	s->body = mem_strdup(a->body);
	s->headers = mem_alloc((a->n_headers + 1) * sizeof(*s->headers));
	for (size_t i = 0; i < a->n_headers; i++)
		s->headers[s->n_headers++] = mem_strdup(a->headers[i]);
	s->good_until_ms = good_until(a->expires_ms, now);
	s->media_type = mem_strdup(a->media_type);
	s->filename = mem_strdup(a->filename);
	s->size = a->size;
	if (a->checksum == NULL || checksum_parse(a->checksum, strlen(a->checksum), &s->checksum) < 0)
		s->checksum.algo = DIGEST_NONE;
	s->tls_verify = a->tls_verify;
	s->digest_user = mem_strdup(a->digest_user);
	return s;
}

/* ---- facts ------------------------------------------------------------ */

void
facts_release(struct facts *f)
{
	free(f->etag);
	free(f->media_type);
	free(f->disposition);
	*f = (struct facts){ .last_modified = -1, .size = UINT64_MAX };
}

void
facts_copy(struct facts *dst, const struct facts *src)
{
	struct facts f = *src;

	f.etag = mem_strdup(src->etag);
	f.media_type = mem_strdup(src->media_type);
	f.disposition = mem_strdup(src->disposition);
	facts_release(dst);
	*dst = f;
}

/* The provider's strong one, else one derived from its validators and length. */
static char *
make_etag(const struct fetch_response *r, uint64_t total)
{
	char text[1024], hex[65];
	int n;

	if (r->etag != NULL && strncmp(r->etag, "W/", 2) != 0)
		return mem_strdup(r->etag);
	if (r->etag == NULL && r->last_modified < 0)
		return NULL;
	n = snprintf(text, sizeof(text), "%.800s|%lld|%llu", r->etag == NULL ? "" : r->etag, (long long)r->last_modified,
	    (unsigned long long)total);
	digest_sha256_hex(text, (size_t)n, hex);
	hex[32] = '\0';
	return mem_printf("\"d-%s\"", hex);
}

/* The last segment of the location (of a URL: still encoded): a name of last resort. */
static const char *
location_name(const struct source *s, size_t *ret_n)
{
	const char *url = s->s3 != NULL ? s3_source_name(s->s3) : s->url;
	size_t n = s->s3 != NULL ? strlen(url) : strcspn(url, "?#"), i = n;

	while (i > 0 && url[i - 1] != '/')
		i--;
	*ret_n = n - i;
	return url + i;
}

static char *
make_disposition(const struct source *s, const struct resource *r, const struct fetch_response *resp)
{
	struct buf name = BUF_INIT(1024), out = BUF_INIT(8192);
	const char *p;
	size_t n;

	if (r->subpath[0] != '\0') {	/* a chunk of a tree is not a download */
		return NULL;
	}
	if (resp->disposition == NULL || disposition_filename(resp->disposition, strlen(resp->disposition), &name) < 0) {
		(void)buf_fits(&name);
		buf_clear(&name);
		p = s->filename;
		n = p == NULL ? 0 : strlen(p);
		if (n == 0)
			p = location_name(s, &n);
		if (n == 0 || n > 255) {
			p = r->asset->name;
			n = strlen(p);
		}
		(void)buf_add(&name, p, n);
	}
	buf_must(&name);
	disposition_write(&out, buf_str(&name));
	buf_release(&name);
	if (!buf_fits(&out)) {
		buf_release(&out);
		return NULL;
	}
	return buf_take(&out);
}

static const char *
make_media_type(const struct source *s, const struct resource *r, const struct fetch_response *resp)
{
	char name[256];
	const char *p;
	size_t n;

	if (r->subpath[0] == '\0' && s->media_type != NULL && s->media_type[0] != '\0')
		return s->media_type;
	if (resp->media_type != NULL && strncmp(resp->media_type, "application/octet-stream", 24) != 0 &&
	    strncmp(resp->media_type, "binary/", 7) != 0)
		return resp->media_type;
	if (r->subpath[0] != '\0')
		return media_type_of_name(r->subpath);
	p = location_name(s, &n);
	(void)snprintf(name, sizeof(name), "%.*s", n > 255 ? 255 : (int)n, p);
	return media_type_of_name(name);
}

void
facts_from_response(struct facts *f, const struct source *s, const struct resource *r,
    const struct fetch_response *resp, uint64_t total)
{
	facts_release(f);
	f->known = true;
	f->etag = make_etag(resp, total);
	f->last_modified = resp->last_modified;
	f->size = total;
	f->media_type = mem_strdup(make_media_type(s, r, resp));
	f->disposition = make_disposition(s, r, resp);
	f->until_ms = clock_mono_ms() + SOURCE_UNKNOWN_MS;
}

/* ---- the table ----------------------------------------------------------- */

struct assets *
assets_new(struct mover *m)
{
	struct assets *as = mem_alloc(sizeof(*as));

	as->m = m;
	TAILQ_INIT(&as->idle);
	return as;
}

static void
asset_free(struct asset *a)
{
	struct assets *as = a->m->assets;

	MUST(TAILQ_EMPTY(&a->wants) && a->resources == NULL);
	items_unwant(a->item_wait);
	resolvers_cancel(a->ticket);
	source_unref(a->source);
	HASH_DEL(as->all, a);
	free(a->backend);
	free(a->collection);
	free(a->item);
	free(a->name);
	free(a->user);
	free(a);
}

static struct asset *
asset_ref(struct asset *a)
{
	if (a->refs++ == 0) {
		TAILQ_REMOVE(&a->m->assets->idle, a, lru);
		a->m->assets->n_idle--;
	}
	return a;
}

static void
resource_free(struct resource *r)
{
	HASH_DEL(r->asset->resources, r);
	facts_release(&r->facts);
	free(r->key);
	free(r);
}

static void
asset_unref(struct asset *a)
{
	struct assets *as = a->m->assets;

	MUST(a->refs > 0);
	if (--a->refs > 0)
		return;
	TAILQ_INSERT_TAIL(&as->idle, a, lru);
	as->n_idle++;
	while (as->n_idle > ASSETS_MAX) {
		stat_bound_reached(BOUND_ASSETS);
		a = TAILQ_FIRST(&as->idle);
		TAILQ_REMOVE(&as->idle, a, lru);
		as->n_idle--;
		while (a->resources != NULL)
			resource_free(a->resources);
		asset_free(a);
	}
}

void
assets_tell_bounds(struct mover *m)
{
	stat_bound(BOUND_ASSETS, m->assets->n_idle, ASSETS_MAX);
}

void
assets_free(struct assets *as)
{
	struct asset *a, *next;
	struct resource *r, *rnext;

	if (as == NULL)
		return;
	HASH_ITER(hh, as->all, a, next) {
		HASH_ITER(hh, a->resources, r, rnext) {
			pull_cancel(r->probe);
			resource_free(r);
		}
		TAILQ_INIT(&a->wants);
		asset_free(a);
	}
	free(as);
}

static struct asset *
asset_get(struct mover *m, const struct handover *h)
{
	struct buf key = BUF_INIT(HANDOVER_MAX);
	struct asset *a;

	/* the four names with their NULs: no two assets share a key */
	(void)buf_add(&key, h->backend, strlen(h->backend) + 1);
	(void)buf_add(&key, h->collection, strlen(h->collection) + 1);
	(void)buf_add(&key, h->item, strlen(h->item) + 1);
	(void)buf_add(&key, h->asset, strlen(h->asset) + 1);
	buf_must(&key);	/* they came in one message */
	HASH_FIND(hh, m->assets->all, key.data, key.len, a);
	if (a == NULL) {
		a = mem_alloc(sizeof(*a) + key.len);
		a->m = m;
		a->backend = mem_strdup(h->backend);
		a->collection = mem_strdup(h->collection);
		a->item = mem_strdup(h->item);
		a->name = mem_strdup(h->asset);
		a->key_len = key.len;
		memcpy(a->key, key.data, key.len);
		TAILQ_INIT(&a->wants);
		HASH_ADD(hh, m->assets->all, key, key.len, a);
		TAILQ_INSERT_TAIL(&m->assets->idle, a, lru);
		m->assets->n_idle++;
	}
	buf_release(&key);
	return asset_ref(a);
}

/* The key under which the configuration of now stores it; NULL: not at all. */
static char *
store_key(const struct mover *m, const struct asset *a, const char *subpath)
{
	const struct dataset *d = config_dataset(mover_config(m), a->backend, a->collection, a->name);
	struct buf key = BUF_INIT(KEY_MAX);

	if (d == NULL || key_make(&key, d->retention, a->backend, a->collection, a->item, a->name,
	    subpath[0] == '\0' ? NULL : subpath) < 0) {
		buf_release(&key);
		return NULL;
	}
	return buf_take(&key);
}

struct resource *
resource_get(struct mover *m, const struct handover *h)
{
	const char *subpath = h->subpath == NULL ? "" : h->subpath;
	struct asset *a = asset_get(m, h);
	struct resource *r;

	HASH_FIND_STR(a->resources, subpath, r);
	if (r == NULL) {
		r = mem_alloc(sizeof(*r) + strlen(subpath) + 1);
		memcpy(r->subpath, subpath, strlen(subpath) + 1);
		r->asset = a;
		r->facts = (struct facts){ .last_modified = -1, .size = UINT64_MAX };
		TAILQ_INIT(&r->probe_waiters);
		HASH_ADD_STR(a->resources, subpath, r);
	}
	if (r->refs++ > 0) {
		asset_unref(a);
	} else {	/* the first user: the configuration may have changed since the last one */
		free(r->key);
		r->key = store_key(m, a, subpath);
	}
	return r;
}

struct resource *
resource_ref(struct resource *r)
{
	MUST(r->refs > 0);
	r->refs++;
	return r;
}

/* A resource keeps its facts while its asset is remembered; sub-paths, of which there can be many, go at once. */
void
resource_unref(struct resource *r)
{
	struct asset *a = r->asset;

	MUST(r->refs > 0);
	if (--r->refs > 0)
		return;
	MUST(r->transfer == NULL && r->probe == NULL);
	if (r->subpath[0] != '\0')
		resource_free(r);
	asset_unref(a);
}

/* ---- sources ------------------------------------------------------------- */

bool
asset_has_source(struct asset *a)
{
	if (a->source != NULL && clock_wall_ms() >= a->source->good_until_ms) {
		source_unref(a->source);
		a->source = NULL;
	}
	return a->source != NULL;
}

/* All who wait now; f NULL: there is a source. */
static void
tell_all(struct asset *a, const struct failure *f)
{
	struct want *w;
	struct want_list told = TAILQ_HEAD_INITIALIZER(told);

	a->refs++;	/* a callback may drop the last user */
	TAILQ_CONCAT(&told, &a->wants, link);
	TAILQ_FOREACH(w, &told, link) {
		w->asset = NULL;
		w->told = &told;	/* one of them may be unwanted by another's callback */
	}
	while (!TAILQ_EMPTY(&told)) {
		w = TAILQ_FIRST(&told);
		TAILQ_REMOVE(&told, w, link);
		w->told = NULL;
		if (f == NULL)
			w->ready(w->arg);
		else
			w->failed(w->arg, f);
	}
	asset_unref(a);
}

static void
asset_failed(struct asset *a, const struct failure *f)
{
	struct failure copy = *f;

	a->asking = false;
	if (f->status == 404) {
		a->negative = copy;
		a->negative_until_ms = clock_mono_ms() + NEGATIVE_MS;
	}
	tell_all(a, &copy);
}

static struct failure
failure_of_answer(const struct resolve_answer *a)
{
	struct failure f = FAILURE(502, PROBLEM_RESOLVER, "the provider's location of the asset could not be found");

	switch (a->kind) {
	case RESOLVE_PENDING:
		f = FAILURE(503, PROBLEM_UPSTREAM, "the product is being staged by the provider; ask again later");
		f.retry_after_s = a->retry_after_s == 0 ? 60 : a->retry_after_s;
		break;
	case RESOLVE_CARRY:
		f = FAILURE(501, PROBLEM_RESOLVER, "this product can only be fetched as many files, which is not supported yet");
		break;
	default:
		if (a->status >= 400 && a->status <= 599)
			f.status = (int)a->status;
		if (a->who != NULL && strcmp(a->who, "upstream") == 0)
			f.who = PROBLEM_UPSTREAM;
		else if (a->who != NULL && strcmp(a->who, "client") == 0)
			f.who = PROBLEM_CLIENT;
		if (f.status == 404) {
			f.who = PROBLEM_CLIENT;
			f.detail = "no such asset";
		} else if (f.status == 403)
			f.detail = "the provider does not give this asset under its own credentials";
		else if (f.status == 504)
			f.detail = "the provider's location of the asset could not be found in time";
		f.retry_after_s = a->retry_after_s == 0 ? -1 : (int64_t)a->retry_after_s;
		break;
	}
	(void)snprintf(f.reason, sizeof(f.reason), "%.150s", a->reason == NULL ? "" : a->reason);
	return f;
}

static void
on_resolved(void *arg, const struct resolve_answer *ans)
{
	struct asset *a = arg;
	struct err e = ERR_NONE;
	struct failure f;

	a->ticket = NULL;
	if (ans->kind == RESOLVE_SOURCE && strcmp(ans->backend, a->backend) == 0) {
		source_unref(a->source);
		a->source = source_from_answer(a, ans, &e);
		if (a->source != NULL) {
			a->asking = false;
			tell_all(a, NULL);
		} else {
			f = FAILURE(502, PROBLEM_UPSTREAM, "the provider's location of the asset is not allowed");
			(void)snprintf(f.reason, sizeof(f.reason), "%.150s", e.text);
			asset_failed(a, &f);
		}
	} else if (ans->kind == RESOLVE_SOURCE) {
		f = FAILURE(502, PROBLEM_RESOLVER, "the resolver named a source of another backend");
		asset_failed(a, &f);
	} else {
		f = failure_of_answer(ans);
		asset_failed(a, &f);
	}
	asset_unref(a);
}

static void
on_item(void *arg, int status, const char *json, size_t len, const struct failure *f)
{
	struct asset *a = arg;
	char *user = a->user;
	struct resolve_job j = {
		.trace = a->trace, .backend = a->backend, .collection = a->collection, .item = a->item, .asset = a->name,
		.item_json = status == 200 ? json : NULL, .item_json_len = status == 200 ? len : 0,
		.fresh = a->source_fresh,
	};

	a->item_wait = NULL;
	a->user = NULL;
	if (status == 200 || status == 0) {
		a->ticket = resolvers_ask(a->m, &j, user, on_resolved, a);
	} else {
		asset_failed(a, f);
		asset_unref(a);
	}
	free(user);
}

void
asset_want(struct asset *a, struct want *w, const struct handover *h, const struct source *refused)
{
	char user[USER_KEY_SIZE];

	MUST(w->asset == NULL && w->told == NULL);
	if (refused != NULL && refused == a->source) {
		asset_drop_source(a, refused);
		a->source_fresh = true;
	} else if (refused == NULL && !a->asking) {	/* who asks now may have been refused */
		a->source_fresh = false;
	}
	w->asset = a;
	TAILQ_INSERT_TAIL(&a->wants, w, link);
	if (a->asking)
		return;
	a->asking = true;
	a->refs++;	/* until the answer */
	(void)snprintf(a->trace, sizeof(a->trace), "%s", h->trace);
	(void)snprintf(a->id, sizeof(a->id), "%s", h->id);
	a->user = mem_strdup(user_key(h, user));
	a->item_wait = items_want(a->m, a->backend, a->collection, a->item, a->id, a->trace, on_item, a);
}

void
asset_unwant(struct want *w)
{
	if (w->asset != NULL)
		TAILQ_REMOVE(&w->asset->wants, w, link);
	else if (w->told != NULL)
		TAILQ_REMOVE(w->told, w, link);
	w->asset = NULL;
	w->told = NULL;
}

void
asset_drop_source(struct asset *a, const struct source *s)
{
	if (a->source != s)
		return;
	source_unref(a->source);
	a->source = NULL;
}
