/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client gets, in this order: the running transfer, the object that
 * was published meanwhile, the source's location (redirect), a range straight
 * from the source, or a new transfer.
 */
#include "base/base.h"

#include "mover/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/delivery.h"
#include "base/clock.h"
#include "base/fd.h"

static void client_route(struct client *c);

enum {
	KEPT_URL_LIFE_S = 3600,		/* a GET begins at once, and may then take as long as it likes */
	KEPT_BEGIN_MS = 5000,		/* and where it does not, the source is asked */
	LOCATION_LIFE_MAX_S = 3600,	/* of a provider's, that is told */
	LOCATION_MARGIN_S = 60,		/* a redirect is kept for so much less than its location lives */
};

/* A range that is not simply "from the start to the end". */
static bool
wants_part(const struct client *c)
{
	return !c->h.head && c->range.kind != RANGE_NONE &&
	    !(c->range.kind == RANGE_FROM && c->range.first == 0 && c->range.last == UINT64_MAX);
}

static bool
facts_good(const struct resource *r)
{
	return r->facts.known && clock_mono_ms() < r->facts.until_ms;
}

/* ---- the store ------------------------------------------------------------- */

static void
facts_of_object(struct facts *f, const struct object_meta *m)
{
	*f = (struct facts){ .known = true, .etag = mem_strdup(m->etag), .media_type = mem_strdup(m->media_type),
		.disposition = mem_strdup(m->disposition), .last_modified = m->last_modified, .size = m->length };
}

static bool serve_kept(struct client *c, const char *key, const struct store_object *o);

static void
on_found(void *arg)
{
	struct client *c = arg;

	c->find = NULL;
	client_route(c);
}

/* A file is sent from here.  False: it is gone again. */
static bool
serve_file(struct client *c, const struct store_object *o)
{
	struct err e = ERR_NONE;
	int fd = c->m->store->ops->open(c->m->store, o, &e);
	struct facts f;

	if (fd == -1)
		return false;
	fd_close(&c->file_fd);
	c->file_fd = fd;
	facts_of_object(&f, &o->meta);
	(void)snprintf(c->cache_status, sizeof(c->cache_status), "hit");
	client_answer(c, &f, BODY_FILE);
	facts_release(&f);
	return true;
}

/* True: the client has what it wants, or waits to know whether it is there. */
static bool
serve_object(struct client *c, const char *key)
{
	const struct store_ops *ops = c->m->store->ops;
	struct store_object o = { .inode = 0 };
	struct err e = ERR_NONE;
	bool served = false;

	switch (ops->lookup(c->m->store, key, &o, &e)) {
	case STORE_HIT:
		served = ops->url == NULL ? serve_file(c, &o) : serve_kept(c, key, &o);
		if (!served && c->resource != NULL)
			c->resource->lost = true;
		break;
	case STORE_ASK:
		c->find = ops->find(c->m->store, key, on_found, c, &e);
		c->looked_up = c->find == NULL;
		return c->find != NULL;
	case STORE_FAILED:
		log_warn(c->h.id, "EO-MOVER-STORE", "cannot look up error='%s'", e.text);
		break;
	case STORE_MISS:
	default:
		break;
	}
	store_object_release(&o);
	return served;
}

/* ---- a transfer ------------------------------------------------------------- */

/* Does the client's If-Range let its range count for these bytes? */
static bool
range_holds(const struct client *c, const struct facts *f)
{
	struct validators v = { .etag = f->etag, .last_modified = f->last_modified };

	return c->h.cond.if_range == NULL || conditions_range_holds(&c->h.cond, &v);
}

/* Would waiting for this transfer serve the client soon?  Never when what it needs has left the window. */
static bool
transfer_serves(const struct client *c, const struct transfer *t)
{
	const struct facts *f;
	uint64_t first = c->range.first, last;

	if (c->h.head)
		return true;
	if (!wants_part(c))
		return transfer_tail(t) == 0;
	if (!transfer_head_known(t))
		return c->resource->no_ranges || (c->range.kind == RANGE_FROM && first < READ_AHEAD);
	f = transfer_facts(t);
	if (f->size == UINT64_MAX || transfer_encoding(t) != NULL || !range_holds(c, f))
		return transfer_tail(t) == 0;	/* it gets the whole */
	if (range_resolve(&c->range, f->size, &first, &last) < 0)
		return true;	/* 416 */
	return first >= transfer_tail(t) && (first <= transfer_head(t) + READ_AHEAD || c->resource->no_ranges);
}

static void
join(struct client *c, struct transfer *t)
{
	struct failure f = FAILURE(503, PROBLEM_CACHE, "too many clients wait for this asset");

	if (transfer_clients(t) >= mover_config(c->m)->clients_per_transfer_max) {
		f.retry_after_s = 5;
		role_bound(BOUND_TRANSFER_CLIENTS, c->h.id, mover_config(c->m)->clients_per_transfer_max, "answered 503",
		    c->h.backend);
		client_fail(c, &f);
		return;
	}
	if (transfer_clients(t) > 0)
		(void)snprintf(c->cache_status, sizeof(c->cache_status), "fwd=miss; collapsed");
	c->transfer = t;
	transfer_join(t, c);
	if (transfer_head_known(t))
		client_head(c);
}

void
client_head(struct client *c)
{
	struct transfer *t = c->transfer;

	if (c->state != CLIENT_WAITING)
		return;
	if (transfer_stores(t) && strstr(c->cache_status, "stored") == NULL)
		(void)strncat(c->cache_status, "; stored", sizeof(c->cache_status) - strlen(c->cache_status) - 1);
	c->encoding = mem_strdup(transfer_encoding(t));
	client_answer(c, transfer_facts(t), BODY_SPOOL);
}

static void
start_transfer(struct client *c)
{
	struct failure f = FAILURE(503, PROBLEM_CACHE, "no transfer could be started");
	struct transfer *t = c->resource->transfer;

	if (t == NULL || transfer_tail(t) > 0)	/* its window has moved on: one more, for who needs the beginning */
		t = transfer_start(c->m, c->resource, &c->h, false, &f);
	if (t == NULL)
		client_fail(c, &f);
	else
		join(c, t);
}

/* Ranges have asked for enough of it: fetch the whole for those who come later. */
static void
consider_fill(struct client *c)
{
	struct resource *r = c->resource;
	const struct asset *a = r->asset;
	const struct dataset *d = config_dataset(mover_config(c->m), a->backend, a->collection, a->name);
	struct failure f;

	if (r->key == NULL || d == NULL || d->fill != FILL_ANY_READ || r->transfer != NULL || r->facts.size > d->max_size ||
	    r->facts.size > mover_config(c->m)->spool_transfer_max || r->facts.size == 0 ||
	    r->asked / r->facts.size * 100 + r->asked % r->facts.size * 100 / r->facts.size < d->fill_after_percent ||
	    !slots_idle(c->m, a->backend) || a->source == NULL)
		return;
	r->asked = 0;
	(void)transfer_start(c->m, r, &c->h, true, &f);	/* refused: the next range asks again */
}

/* ---- a range straight from the source --------------------------------------------- */

static void
refresh_source(struct client *c, const struct source *refused)
{
	struct asset *a = c->resource->asset;

	c->retried = true;
	pull_cancel(c->pull);
	c->pull = NULL;
	if (a->source != refused && asset_has_source(a))
		client_route(c);	/* another client has seen to it meanwhile */
	else
		asset_want(a, &c->want, &c->h, refused);
}

/* The part that came is the part that was asked for? */
static bool
part_fits(const struct client *c, const struct fetch_response *resp)
{
	uint64_t first, last;

	if (!resp->has_content_range || resp->bad_content_range || resp->range_size == UINT64_MAX ||
	    resp->content_encoding != NULL)
		return false;
	if (range_resolve(&c->range, resp->range_size, &first, &last) < 0)
		return false;
	return resp->range_first == first && resp->range_last <= last && resp->range_last >= first;
}

/* Where the last bytes lie was counted from a size that is no more: once again, with what it is now.  True: c has left p. */
static bool
count_again(struct client *c, struct pull *p, uint64_t size)
{
	struct resource *r = c->resource;

	if (c->counted_again || c->range.kind != RANGE_SUFFIX || size == r->facts.size)
		return false;
	c->counted_again = true;
	r->facts.known = false;
	pull_cancel(p);
	c->pull = NULL;
	client_route(c);
	return true;
}

static int
direct_part(struct client *c, struct pull *p, const struct fetch_response *resp)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "the provider answered another range than was asked for");
	struct resource *r = c->resource;
	const struct source *s = pull_source(p);
	struct facts facts = { .last_modified = -1, .size = UINT64_MAX };

	if (!part_fits(c, resp)) {
		if (resp->range_size != UINT64_MAX && count_again(c, p, resp->range_size))
			return -1;
		(void)snprintf(f.reason, sizeof(f.reason), "bad Content-Range");
		client_fail(c, &f);
		return -1;
	}
	if (resp->media_type != NULL && media_type_is_html(resp->media_type) &&
	    (s->media_type == NULL || !media_type_is_html(s->media_type))) {
		f.detail = "the provider sent a page instead of the asset";
		(void)snprintf(f.reason, sizeof(f.reason), "media type is HTML");
		client_fail(c, &f);
		return -1;
	}
	facts_from_response(&facts, s, r, resp, resp->range_size);
	facts_copy(&r->facts, &facts);
	r->asked += resp->range_last - resp->range_first + 1;
	if (wants_part(c) && !range_holds(c, &facts)) {	/* another version by now: it gets the whole */
		pull_cancel(p);
		c->pull = NULL;
		facts_release(&facts);
		client_route(c);
		return -1;
	}
	/* a provider may send less than was asked for */
	c->range = (struct range){ RANGE_FROM, resp->range_first, resp->range_last };
	consider_fill(c);
	client_answer(c, &facts, BODY_DIRECT);
	facts_release(&facts);
	return 0;
}

static int
direct_response(void *arg, struct pull *p, const struct fetch_response *resp)
{
	struct client *c = arg;
	struct resource *r = c->resource;
	struct failure f;
	struct transfer *t;

	switch (resp->status) {
	case 206:
		return direct_part(c, p, resp);
	case 200:
		break;
	case 401:
		if (!c->retried) {
			refresh_source(c, pull_source(p));
			return -1;
		}
		/* fall through */
	case 403:
		asset_drop_source(r->asset, pull_source(p));
		/* fall through */
	default:
		if (resp->status == 416 && count_again(c, p, resp->range_size))
			return -1;
		if (resp->status == 416) {
			client_fail_range(c, resp->range_size);
		} else {
			f = failure_of_status(resp);
			client_fail(c, &f);
		}
		return -1;
	}
	/* the whole, though a part was asked for: that answer is the transfer, and the range waits for the spool */
	r->no_ranges = true;
	c->pull = NULL;
	if (r->transfer != NULL && transfer_serves(c, r->transfer)) {
		pull_cancel(p);
		join(c, r->transfer);
		return -1;
	}
	t = transfer_adopt(c->m, r, &c->h, p, resp);
	if (t == NULL) {
		f = FAILURE(502, PROBLEM_UPSTREAM, "the provider sent something else instead of the asset");
		client_fail(c, &f);
		return -1;
	}
	join(c, t);
	return 0;
}

static int
direct_data(void *arg, struct pull *p, const char *data, size_t n)
{
	struct client *c = arg;

	if (c->state == CLIENT_SENDING && c->pos >= c->end) {	/* more than the part that was announced */
		c->upstream += pull_bytes(p);
		c->pull = NULL;
		pull_cancel(p);
		c->direct_over = true;
		timer_set(c->m->loop, &c->go_timer, clock_mono_ms(), client_go_on, c);
		return -1;
	}
	if (c->state == CLIENT_RESERVING || !client_may_queue(c)) {
		c->paused = true;
		return 1;
	}
	if (c->state != CLIENT_SENDING)
		return -1;
	if (n > c->end - c->pos)
		n = (size_t)(c->end - c->pos);
	client_queue(c, data, n);
	return 0;
}

static void
direct_done(void *arg, struct pull *p, enum fetch_error x, const char *reason)
{
	struct client *c = arg;
	struct failure f = pull_failure(p, x, reason);

	c->upstream += pull_bytes(p);
	c->pull = NULL;
	if (x != FETCH_OK || (c->state == CLIENT_SENDING && c->pos < c->end)) {
		client_fail(c, &f);
		return;
	}
	c->direct_over = true;
	client_pump(c);
}

static const struct pull_ops direct_ops = { direct_response, direct_data, direct_done };

void
direct_more(struct client *c)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "the provider sent less than it announced");

	if (c->direct_over && c->pos < c->end) {
		(void)snprintf(f.reason, sizeof(f.reason), "the part was short");
		client_fail(c, &f);
		return;
	}
	if (c->direct_over) {
		client_whole(c);
		return;
	}
	if (c->paused && c->pull != NULL) {
		c->paused = false;
		pull_resume(c->pull);
	}
}

/* A GET of bytes first to last, for this client. */
static struct pull_want
part_want(const struct client *c, uint64_t first, uint64_t last, char user[USER_KEY_SIZE])
{
	const struct resource *r = c->resource;

	return (struct pull_want){
		.user = user_key(&c->h, user),
		.source = r->asset->source, .backend = r->asset->backend, .subpath = r->subpath, .id = c->h.id,
		.trace = c->h.trace, .has_range = true, .first = first, .last = last,
		.deadline_ms = c->h.deadline_mono_ms,
	};
}

static void
start_direct(struct client *c)
{
	struct resource *r = c->resource;
	struct failure f = FAILURE(503, PROBLEM_UPSTREAM, "the provider cannot be asked now");
	char user[USER_KEY_SIZE];
	struct pull_want w = part_want(c, c->range.first, c->range.last, user);

	/* a suffix, and an end beyond the end, are made plain where the size is known */
	if (facts_good(r) && r->facts.size != UINT64_MAX && range_resolve(&c->range, r->facts.size, &w.first, &w.last) < 0) {
		client_answer(c, &r->facts, BODY_NONE);		/* 416 */
		return;
	}
	if (c->range.kind == RANGE_FROM && c->range.last == UINT64_MAX)
		w.last = UINT64_MAX;	/* to its end, also when that is further away by now */
	c->pull = pull_start(c->m, &w, &direct_ops, c, &f);
	if (c->pull == NULL)
		client_fail(c, &f);
}

/* ---- an object at the storage --------------------------------------------------------- */

/*
 * It is not what it was: asked of the source, as if it had never been there.  Where another has taken
 * its place (somebody has put it there, who knows better than the source) that one is looked for first.
 */
static void
kept_lost(struct client *c, const char *why, bool replaced)
{
	log_info(c->h.id, "event=object-lost reason='%s'", why);
	pull_cancel(c->pull);
	c->pull = NULL;
	c->m->store->ops->forget(c->m->store, c->kept_key);
	if (replaced && !c->looked_again) {
		c->looked_again = true;
		client_again(c);
	} else {
		c->resource->lost = true;
		client_route(c);
	}
}

static int
kept_response(void *arg, struct pull *p UNUSED, const struct fetch_response *resp)
{
	struct client *c = arg;
	char why[40];

	/* also where S3 takes no notice of If-Match, or says that it has packed what it sends */
	if (resp->status != 206 || !resp->has_content_range || resp->bad_content_range ||
	    resp->range_size != c->facts.size || resp->content_encoding != NULL ||
	    resp->etag == NULL || strcmp(resp->etag, c->kept_version) != 0) {
		(void)snprintf(why, sizeof(why), "status %d%s", resp->status, resp->status == 206 ? " of something else" : "");
		kept_lost(c, why, resp->status == 412);
		return -1;
	}
	(void)snprintf(c->cache_status, sizeof(c->cache_status), "hit");
	client_answer(c, &c->facts, BODY_DIRECT);
	return 0;
}

static void
kept_done(void *arg, struct pull *p, enum fetch_error x, const char *reason)
{
	struct client *c = arg;

	if (x != FETCH_OK && c->state == CLIENT_WAITING)
		kept_lost(c, fetch_error_name(x), false);
	else
		direct_done(c, p, x, reason);
}

static const struct pull_ops kept_ops = { kept_response, direct_data, kept_done };

static struct source *
kept_source(const char *url, const char *version)
{
	struct source *s = mem_alloc(sizeof(*s));

	s->refs = 1;
	s->ours = true;
	s->url = mem_strdup(url);
	s->method = mem_strdup("GET");
	s->headers = mem_alloc(2 * sizeof(*s->headers));
	s->headers[s->n_headers++] = mem_printf("If-Match: %s", version);
	s->tls_verify = true;
	return s;
}

/* Away to the storage, if the rule and the size are for that. */
static bool
redirect_kept(struct client *c, const char *key, const struct store_object *o, uint64_t bytes)
{
	const struct config *config = mover_config(c->m);
	struct buf url = BUF_INIT(STORE_URL_MAX);
	struct err e = ERR_NONE;
	uint32_t life_s;
	bool go;

	c->h.delivery = delivery_of_size(c->h.delivery, o->meta.length, config->s3_redirect_above, &c->h.delivery_why);
	life_s = c->h.delivery != DELIVERY_REDIRECT ? 0 :
	    delivery_life_s(config->s3_url_life_ms / 1000, o->ends_s, clock_wall_ms() / 1000, &c->h.delivery_why);
	go = life_s > 0 && c->m->store->ops->url(c->m->store, key, STORE_URL_CLIENTS, life_s, &url, &e) == 0;
	if (go) {
		(void)snprintf(c->cache_status, sizeof(c->cache_status), "hit");
		client_redirect(c, buf_str(&url), life_s, life_s - LOCATION_MARGIN_S, bytes);
	}
	buf_release(&url);
	return go;
}

/* False: the source is asked instead.  key: of c's resource, or of its hand-over. */
static bool
serve_kept(struct client *c, const char *key, const struct store_object *o)
{
	struct pull_want w = { .id = c->h.id, .trace = c->h.trace, .has_range = true,
		.deadline_ms = clock_mono_ms() + KEPT_BEGIN_MS };
	struct failure failure = FAILURE(502, PROBLEM_CACHE, "the cache failed");
	struct buf url = BUF_INIT(STORE_URL_MAX);
	struct err e = ERR_NONE;
	struct source *s;
	struct facts f;
	bool part;

	facts_of_object(&f, &o->meta);
	if (c->h.deadline_mono_ms < w.deadline_ms)
		w.deadline_ms = c->h.deadline_mono_ms;
	part = client_part(c, &f, &w.first, &w.last);
	facts_release(&f);
	if (part && redirect_kept(c, key, o, w.last - w.first + 1))
		return true;
	if (!part) {
		(void)snprintf(c->cache_status, sizeof(c->cache_status), "hit");
		c->direct_over = true;
		client_answer(c, &c->facts, BODY_DIRECT);
		return true;
	}
	if (c->m->store->ops->url(c->m->store, key, STORE_URL_OURS, KEPT_URL_LIFE_S, &url, &e) != 0) {
		log_warn(c->h.id, "EO-MOVER-STORE", "cannot sign for the cache error='%s'", e.text);
		buf_release(&url);
		return false;
	}
	free(c->kept_version);
	c->kept_version = mem_strdup(o->version);
	c->kept_key = key;
	s = kept_source(buf_str(&url), o->version);
	buf_release(&url);
	w.source = s;
	c->pull = pull_start(c->m, &w, &kept_ops, c, &failure);
	source_unref(s);
	return c->pull != NULL;
}

/* ---- a probe: what is it? ---------------------------------------------------------------- */

/* Everyone who waited for it: f NULL, go on; else fail (a 401 is worth one more try). */
static void
probe_over(struct resource *r, const struct failure *f, const struct source *refused)
{
	struct client *c;
	size_t n = 0;

	r->probe = NULL;
	resource_ref(r);
	TAILQ_FOREACH(c, &r->probe_waiters, in_probe)
		n++;
	for (; n > 0 && !TAILQ_EMPTY(&r->probe_waiters); n--) {
		c = TAILQ_FIRST(&r->probe_waiters);
		TAILQ_REMOVE(&r->probe_waiters, c, in_probe);
		c->probing = false;
		if (f == NULL)
			client_route(c);
		else if (refused != NULL && !c->retried)
			refresh_source(c, refused);
		else
			client_fail(c, f);
	}
	resource_unref(r);
}

static int
probe_response(void *arg, struct pull *p, const struct fetch_response *resp)
{
	struct resource *r = arg;
	struct failure f = failure_of_status(resp);
	uint64_t total = UINT64_MAX;

	if (resp->status == 206 && resp->has_content_range && !resp->bad_content_range) {
		total = resp->range_size;
	} else if (resp->status == 200) {
		r->no_ranges = true;
		total = resp->has_length ? resp->length : UINT64_MAX;
	} else if (resp->status == 416 && resp->range_size == 0) {
		total = 0;
	} else {
		if (resp->status == 403)
			asset_drop_source(r->asset, pull_source(p));
		probe_over(r, &f, resp->status == 401 ? pull_source(p) : NULL);
		return -1;
	}
	if (resp->media_type != NULL && media_type_is_html(resp->media_type) &&
	    (pull_source(p)->media_type == NULL || !media_type_is_html(pull_source(p)->media_type))) {
		f = FAILURE(502, PROBLEM_UPSTREAM, "the provider sent a page instead of the asset");
		probe_over(r, &f, NULL);
		return -1;
	}
	if (resp->content_encoding != NULL)
		total = UINT64_MAX;	/* of what it is packed in */
	facts_from_response(&r->facts, pull_source(p), r, resp, total);
	probe_over(r, NULL, NULL);
	return -1;
}

static int
probe_data(void *arg UNUSED, struct pull *p UNUSED, const char *data UNUSED, size_t n UNUSED)
{
	return -1;
}

static void
probe_done(void *arg, struct pull *p, enum fetch_error x, const char *reason)
{
	struct resource *r = arg;
	struct failure f = pull_failure(p, x, reason);

	if (r->probe == p)	/* it ended before its response */
		probe_over(r, &f, NULL);
	resource_unref(r);
}

static const struct pull_ops probe_ops = { probe_response, probe_data, probe_done };

static void
want_facts(struct client *c)
{
	struct resource *r = c->resource;
	struct failure f = FAILURE(503, PROBLEM_UPSTREAM, "the provider cannot be asked now");
	char user[USER_KEY_SIZE];
	struct pull_want w = part_want(c, 0, 0, user);

	w.deadline_ms = 0;	/* each who waits for it has one */
	if (r->probe == NULL) {
		r->probe = pull_start(c->m, &w, &probe_ops, resource_ref(r), &f);
		if (r->probe == NULL) {
			client_fail(c, &f);
			resource_unref(r);
			return;
		}
	}
	c->probing = true;
	TAILQ_INSERT_TAIL(&r->probe_waiters, c, in_probe);
}

void
probe_leave(struct client *c)
{
	struct resource *r = c->resource;

	TAILQ_REMOVE(&r->probe_waiters, c, in_probe);
	c->probing = false;
	if (r->probe == NULL || !TAILQ_EMPTY(&r->probe_waiters))
		return;
	pull_cancel(r->probe);
	r->probe = NULL;
	resource_unref(r);	/* the probe's */
}

/* ---- the decision -------------------------------------------------------------------------- */

/*
 * To a URL that is signed for this client.  S3 has been asked what the object is: so it is there, we are let in, and
 * the region is right, or the client hears an error of ours.
 */
static bool
redirect_to_s3(struct client *c)
{
	const struct config *config = mover_config(c->m);
	struct resource *r = c->resource;
	struct source *s = r->asset->source;
	uint32_t life_s = config->s3_url_life_ms / 1000;
	int64_t left_s = (s->good_until_ms - clock_wall_ms()) / 1000;
	struct buf url = BUF_INIT(S3_URL_MAX);
	struct s3_get get = { .moved = false };
	struct err e = ERR_NONE;
	int rc;

	if (c->h.head || !s3_source_is_https(s->s3) || left_s <= LOCATION_MARGIN_S)	/* the signature is for GET */
		return false;
	if (!facts_good(r)) {
		want_facts(c);
		return true;
	}
	c->h.delivery = delivery_of_size(c->h.delivery, r->facts.size, config->s3_redirect_above, &c->h.delivery_why);
	if (c->h.delivery != DELIVERY_REDIRECT)
		return false;
	if (life_s > left_s)
		life_s = (uint32_t)left_s;
	rc = s3_get_url(&get, s->s3, NULL, life_s, &url, &e);
	if (rc == 0)
		client_redirect(c, buf_str(&url), life_s, life_s - LOCATION_MARGIN_S, 0);
	buf_release(&url);
	return rc == 0;
}

/* True: it has been sent to the provider, or will be, when more is known. */
static bool
redirect(struct client *c)
{
	const struct source *s = c->resource->asset->source;
	uint32_t life_s;
	int64_t left_s;

	/* what will be in the cache is streamed once where the proxy may choose */
	if (c->h.delivery == DELIVERY_STREAM || (c->h.delivery == DELIVERY_AUTO && c->resource->key != NULL) ||
	    c->resource->subpath[0] != '\0')
		return false;
	if (s->s3 != NULL)
		return redirect_to_s3(c);
	/* only where the location alone lets the client in, and to nothing else; anything else is streamed */
	if (!s->for_clients || s->n_headers > 0 || s->digest_user != NULL || strcmp(s->method, "GET") != 0 || strncmp(s->url, "https://", 8) != 0)
		return false;
	left_s = (s->good_until_ms - clock_wall_ms()) / 1000;
	life_s = left_s < 0 ? 0 : left_s > LOCATION_LIFE_MAX_S ? LOCATION_LIFE_MAX_S : (uint32_t)left_s;
	client_redirect(c, s->url, life_s, life_s < LOCATION_MARGIN_S ? life_s : LOCATION_MARGIN_S, 0);
	return true;
}

static void
route_range(struct client *c)
{
	struct resource *r = c->resource;

	if (!facts_good(r) && (c->range.kind == RANGE_SUFFIX || c->h.cond.if_range != NULL))
		want_facts(c);
	else if (r->no_ranges || (facts_good(r) && r->facts.size == UINT64_MAX) || !range_holds(c, &r->facts))
		start_transfer(c);
	else
		start_direct(c);
}

/* A product as S3 has them: many objects, and the asset is none of them. */
static bool
is_many(const struct resource *r)
{
	const struct source *s = r->asset->source;

	return s->s3 != NULL && r->subpath[0] == '\0' && s3_source_is_tree(s->s3);
}

static void
client_route(struct client *c)
{
	struct failure many = FAILURE(501, PROBLEM_RESOLVER, "this asset is many objects, which cannot be delivered as one yet");
	struct resource *r = c->resource;

	if (r->transfer != NULL && transfer_serves(c, r->transfer)) {
		join(c, r->transfer);
		return;
	}
	if (r->transfer == NULL && r->key != NULL && !c->looked_up) {
		c->looked_up = true;
		if (serve_object(c, r->key))
			return;
	}
	if (!asset_has_source(r->asset)) {
		asset_want(r->asset, &c->want, &c->h, NULL);
		return;
	}
	if (is_many(r)) {
		client_fail(c, &many);
		return;
	}
	if (redirect(c))
		return;
	if (c->h.head && facts_good(r))
		client_answer(c, &r->facts, BODY_NONE);
	else if (c->h.head)
		want_facts(c);
	else if (wants_part(c))
		route_range(c);
	else if (r->transfer != NULL) {
		/* its window has moved on: the whole again, for this client alone */
		c->range_is_ours = c->range_is_ours || c->range.kind == RANGE_NONE;	/* it may come here twice */
		c->range = (struct range){ RANGE_FROM, 0, UINT64_MAX };
		start_direct(c);
	} else
		start_transfer(c);
}

void
client_again(struct client *c)
{
	c->looked_up = false;
	(void)snprintf(c->cache_status, sizeof(c->cache_status), "fwd=miss");
	client_route(c);
}

void
client_ready(void *arg)
{
	client_route(arg);
}

void
client_not_ready(void *arg, const struct failure *f)
{
	client_fail(arg, f);
}

void
client_begin(struct client *c)
{
	const struct dataset *d = config_dataset(mover_config(c->m), c->h.backend, c->h.collection, c->h.asset);
	struct failure f = FAILURE(404, PROBLEM_CLIENT, "no such backend");
	struct asset *a;

	if (strlen(c->h.backend) > RESOLVE_BACKEND_MAX) {	/* no provider has such a name, and no message takes it */
		client_fail(c, &f);
		return;
	}
	c->cache_control = d == NULL ? NULL : mem_strdup(d->cache_control);
	c->resource = resource_get(c->m, &c->h);
	if (c->h.hit_key != NULL) {	/* before a transfer that is about to end */
		c->looked_up = true;
		if (serve_object(c, c->h.hit_key))
			return;
	}
	fd_close(&c->file_fd);
	a = c->resource->asset;
	if (c->resource->transfer == NULL && clock_mono_ms() < a->negative_until_ms) {
		client_fail(c, &a->negative);
		return;
	}
	client_route(c);
}
