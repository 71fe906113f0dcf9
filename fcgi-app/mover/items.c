/* SPDX-License-Identifier: Apache-2.0
 *
 * STAC items: fetched from the catalogue by its URL template, shared by all
 * who wait, kept for a short while within a bound.
 */
#include "base/base.h"

#include "mover/mover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

struct item_wait {
	TAILQ_ENTRY(item_wait) link;
	struct item *item;		/* NULL: answered by the timer alone */
	struct mover *m;
	item_fn *fn;
	void *arg;
	struct timer timer;		/* answers later, never from inside items_want */
};

struct item {
	UT_hash_handle hh;
	struct mover *m;
	struct fetch *fetch;		/* running */
	struct buf body;
	int status;			/* 0 while running */
	struct failure failure;		/* when status is not 200 */
	int64_t until_ms;
	TAILQ_HEAD(, item_wait) waits;
	char url[];
};

struct items {
	struct item *byurl;
	uint64_t bytes;			/* of all bodies, also of those that come */
};

static void
body_drop(struct item *it)
{
	it->m->items->bytes -= it->body.len;
	buf_release(&it->body);
}

static void
item_free(struct item *it)
{
	MUST(TAILQ_EMPTY(&it->waits) && it->fetch == NULL);
	body_drop(it);
	HASH_DEL(it->m->items->byurl, it);
	free(it);
}

/* Room for n bytes more: past the bound, those that nobody waits for go, the oldest first. */
static bool
make_room(struct mover *m, size_t n)
{
	const uint64_t max = mover_config(m)->stac_keep_max;
	struct item *it, *next;

	HASH_ITER(hh, m->items->byurl, it, next) {	/* in the order of their fetching */
		if (m->items->bytes + n <= max)
			break;
		if (it->status != 0 && TAILQ_EMPTY(&it->waits))
			item_free(it);
	}
	return m->items->bytes + n <= max;
}

static void
wait_free(struct item_wait *w)
{
	timer_clear(w->m->loop, &w->timer);
	if (w->item != NULL)
		TAILQ_REMOVE(&w->item->waits, w, link);
	free(w);
}

static void
answer(struct item_wait *w)
{
	struct item *it = w->item;
	item_fn *fn = w->fn;
	void *arg = w->arg;

	wait_free(w);
	if (it == NULL)
		fn(arg, 0, NULL, 0, NULL);
	else if (it->status == 200)
		fn(arg, 200, buf_str(&it->body), it->body.len, NULL);	/* one of no bytes is not none */
	else
		fn(arg, it->failure.status, NULL, 0, &it->failure);
}

static void
on_wait_timer(void *arg)
{
	answer(arg);
}

static void
item_done(struct item *it, int status)
{
	it->status = status;
	it->fetch = NULL;
	it->until_ms = clock_mono_ms() + (status == 200 ? mover_config(it->m)->stac_keep_ms : 1000);
	/* those who come from inside the callbacks are answered by their own timer */
	for (struct item_wait *w = TAILQ_FIRST(&it->waits), *next; w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		timer_set(it->m->loop, &w->timer, clock_mono_ms(), on_wait_timer, w);
	}
}

static int
on_response(void *arg, const struct fetch_response *r)
{
	struct item *it = arg;

	if (r->status == 200)
		return 0;
	if (r->status == 404 || r->status == 410)
		it->failure = FAILURE(404, PROBLEM_CLIENT, "the catalogue does not know this item");
	else if (r->status == 429 || r->status == 503) {
		it->failure = FAILURE(503, PROBLEM_UPSTREAM, "the catalogue is busy");
		it->failure.retry_after_s = r->retry_after_s < 0 ? 5 : r->retry_after_s;
	} else
		it->failure = FAILURE(502, PROBLEM_UPSTREAM, "the catalogue did not give the item");
	(void)snprintf(it->failure.reason, sizeof(it->failure.reason), "catalogue status %d", r->status);
	return -1;
}

static int
on_data(void *arg, const char *data, size_t n)
{
	struct item *it = arg;

	if (!make_room(it->m, n)) {
		role_bound(BOUND_ITEMS, NULL, mover_config(it->m)->stac_keep_max, "answered 503", NULL);
		it->failure = FAILURE(503, PROBLEM_CACHE, "too many items are on their way");
		it->failure.retry_after_s = 1;
		(void)snprintf(it->failure.reason, sizeof(it->failure.reason), "stac.keep_max");
		return -1;
	}
	if (buf_add(&it->body, data, n) == 0) {
		it->m->items->bytes += n;
		return 0;
	}
	it->failure = FAILURE(502, PROBLEM_UPSTREAM, "the catalogue's item is too large");
	return -1;
}

static void
on_done(void *arg, enum fetch_error x, const char *reason)
{
	struct item *it = arg;

	if (x == FETCH_OK) {
		item_done(it, 200);
		return;
	}
	if (x != FETCH_CANCELLED || it->failure.status == 0) {
		it->failure = FAILURE(x == FETCH_TIMEOUT ? 504 : 502, PROBLEM_UPSTREAM, "the catalogue could not be asked");
		(void)snprintf(it->failure.reason, sizeof(it->failure.reason), "catalogue: %s: %.100s", fetch_error_name(x), reason);
	}
	body_drop(it);
	item_done(it, -1);
}

static const struct fetch_ops item_ops = { on_response, on_data, on_done };

/* The template with its placeholders filled, each percent-encoded. */
static int
item_url(const char *template, const char *backend, const char *collection, const char *item, struct buf *out)
{
	const struct {
		const char *name, *value;
	} words[] = { { "{backend}", backend }, { "{collection}", collection }, { "{item}", item } };
	bool hit;

	while (*template != '\0') {
		hit = false;
		for (size_t i = 0; i < ARRAY_LEN(words) && !hit; i++) {
			hit = strncmp(template, words[i].name, strlen(words[i].name)) == 0;
			if (hit) {
				text_percent(out, words[i].value, strlen(words[i].value));
				template += strlen(words[i].name);
			}
		}
		if (!hit)
			(void)buf_addc(out, *template++);
	}
	return buf_ok(out) ? 0 : -1;
}

static void
item_start(struct item *it, const char *id, const char *trace)
{
	const struct config *c = mover_config(it->m);
	struct err e = ERR_NONE;
	char *accept = mem_strdup("Accept: application/geo+json, application/json");
	struct fetch_request r = {
		.id = id, .trace = trace, .url = it->url, .method = "GET", .headers = &accept, .n_headers = 1,
		.credentials = (const char *const *)c->stac_headers.v, .n_credentials = c->stac_headers.n,
		.max_size = c->stac_item_max, .tls_verify = true,
	};

	stat_inc(COUNT_ITEMS_FETCHED);
	it->fetch = fetch_start(it->m->net, &r, &item_ops, it, &e);
	free(accept);
	if (it->fetch == NULL) {
		it->failure = FAILURE(502, PROBLEM_UPSTREAM, "the catalogue could not be asked");
		(void)snprintf(it->failure.reason, sizeof(it->failure.reason), "catalogue: %.140s", e.text);
		item_done(it, -1);
	}
}

struct items *
items_new(struct mover *m UNUSED)
{
	return mem_alloc(sizeof(struct items));
}

void
items_free(struct items *its)
{
	struct item *it, *next;

	if (its == NULL)
		return;
	HASH_ITER(hh, its->byurl, it, next) {
		while (!TAILQ_EMPTY(&it->waits)) {
			struct item_wait *w = TAILQ_FIRST(&it->waits);

			wait_free(w);
		}
		if (it->fetch != NULL)
			fetch_cancel(it->fetch);
		it->fetch = NULL;
		item_free(it);
	}
	free(its);
}

struct item_wait *
items_want(struct mover *m, const char *backend, const char *collection, const char *item, const char *id,
    const char *trace, item_fn *fn, void *arg)
{
	const char *template = mover_config(m)->stac_item_url;
	struct item_wait *w = mem_alloc(sizeof(*w));
	struct buf url = BUF_INIT(SOURCE_URL_MAX);
	struct item *it = NULL;

	w->m = m;
	w->fn = fn;
	w->arg = arg;
	if (template == NULL || template[0] == '\0' || item_url(template, backend, collection, item, &url) < 0) {
		timer_set(m->loop, &w->timer, clock_mono_ms(), on_wait_timer, w);
		buf_release(&url);
		return w;
	}
	HASH_FIND_STR(m->items->byurl, buf_str(&url), it);
	if (it != NULL && it->status != 0 && clock_mono_ms() >= it->until_ms && TAILQ_EMPTY(&it->waits)) {
		item_free(it);
		it = NULL;
	}
	if (it == NULL) {
		it = mem_alloc(sizeof(*it) + url.len + 1);
		it->m = m;
		memcpy(it->url, url.data, url.len);
		TAILQ_INIT(&it->waits);
		buf_init(&it->body, mover_config(m)->stac_item_max);
		HASH_ADD_STR(m->items->byurl, url, it);
		item_start(it, id, trace);
	}
	w->item = it;
	TAILQ_INSERT_TAIL(&it->waits, w, link);
	if (it->status != 0)
		timer_set(m->loop, &w->timer, clock_mono_ms(), on_wait_timer, w);
	buf_release(&url);
	return w;
}

void
items_unwant(struct item_wait *w)
{
	if (w != NULL)
		wait_free(w);
}

void
items_expire(struct mover *m)
{
	struct item *it, *next;
	int64_t now = clock_mono_ms();

	HASH_ITER(hh, m->items->byurl, it, next) {
		if (it->status != 0 && TAILQ_EMPTY(&it->waits) && now >= it->until_ms)
			item_free(it);
	}
	(void)make_room(m, 0);	/* a reload may have made it smaller */
	stat_bound(BOUND_ITEMS, m->items->bytes, mover_config(m)->stac_keep_max);
}
