/* SPDX-License-Identifier: Apache-2.0
 *
 * A transfer's bytes: gathered, into the spool, out to the clients, verified,
 * and into the store.  Mover.
 */
#include "base/base.h"

#include "mover/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	SNIFF_BYTES = 512,
	GATHER_BYTES = 256 << 10,
	BEHIND_BYTES = 1 << 20,
	SPOOL_SHARE = 1 << 20,		/* each transfer may have so much, however full the spool is */
};

#define UNSTORED "the body goes on to its clients, unstored"

struct gather {
	struct transfer *owner;		/* NULL: empty */
	struct timer timer;
	size_t n;
	char data[GATHER_BYTES];
};

/* ---- the store --------------------------------------------------------------- */

static void
store_nothing(struct transfer *t, const char *why)
{
	if (!t->stored)
		return;
	log_info(t->h.id, "event=transfer-unstored reason='%s'", why);
	t->stored = false;
	transfer_yield(t);
	if (t->fill != NULL)
		t->m->store->ops->fill_free(t->fill);
	t->fill = NULL;
}

/* The same where the operator can do something about it. */
static void
cannot_store(struct transfer *t, const char *why)
{
	if (!t->stored)
		return;
	stat_inc(COUNT_UNSTORED);
	store_nothing(t, why);
}

static void
fill_meta(const struct transfer *t, struct object_meta *m)
{
	*m = (struct object_meta){
		.length = t->spool.head, .etag = t->facts.etag, .last_modified = t->facts.last_modified,
		.media_type = t->facts.media_type, .disposition = t->facts.disposition, .checksum = t->want_sum,
		.source_time = clock_wall_ms() / 1000, .source_backend = t->r->asset->backend,
	};
	if (t->total != UINT64_MAX)
		m->length = t->total;
}

/* Is there a client that could have much more than it has? */
static bool
is_behind(const struct transfer *t)
{
	const struct client *c;

	TAILQ_FOREACH(c, &t->clients, in_transfer) {
		if (c->pos + BEHIND_BYTES < t->spool.head)
			return true;
	}
	return false;
}

static void
on_fill(void *arg)
{
	struct transfer *t = arg;
	struct err e = ERR_NONE;

	switch (t->m->store->ops->fill_state(t->fill, &e)) {
	case FILL_RUNNING:
		t->m->store->ops->fill_advance(t->fill, t->spool.head, is_behind(t));	/* some may have left, or have it all */
		timer_set(t->m->loop, &t->fill_timer, clock_mono_ms() + 10, on_fill, t);
		return;
	case FILL_DONE:
		t->published = true;
		stat_inc(COUNT_PUBLISHED);
		log_info(t->h.id, "event=transfer-published bytes=%" PRIu64 " us=%" PRId64, t->spool.head,
		    clock_mono_us() - t->started_us);
		break;
	case FILL_FAILED:
		if (t->m->store_bad)
			log_info(t->h.id, "event=transfer-unstored reason='%s'", e.text);
		else if (e.sys == ENOSPC)
			role_bound(BOUND_CACHE, t->h.id, 0, UNSTORED, t->r->asset->backend);
		else
			log_error(t->h.id, "EO-MOVER-PUBLISH", "cannot publish error='%s'", e.text);
		stat_inc(COUNT_UNSTORED);
		break;
	}
	t->m->store->ops->fill_free(t->fill);
	t->fill = NULL;
	t->stored = false;
	transfer_yield(t);
	transfer_detach(t);
	transfer_set_state(t, ENDED);
	transfer_check(t);
}

static void
publish(struct transfer *t)
{
	struct object_meta meta;
	char text[64], hex[65];

	if (t->facts.etag == NULL) {	/* it has one from now on */
		(void)snprintf(text, sizeof(text), "%" PRIu64 "|%" PRId64, t->spool.head, clock_wall_ms());
		digest_sha256_hex(text, strlen(text), hex);
		hex[32] = '\0';
		t->facts.etag = mem_printf("\"s-%s\"", hex);
	}
	fill_meta(t, &meta);
	meta.length = t->spool.head;
	t->m->store->ops->fill_finish(t->fill, &meta);
	on_fill(t);
}

void
transfer_begin_store(struct transfer *t, const struct fetch_response *resp)
{
	const uint64_t spool_max = mover_config(t->m)->spool_transfer_max;
	struct object_meta meta;
	struct err e = ERR_NONE;

	t->stored = t->r->key != NULL && t->store_max > 0 && resp->content_encoding == NULL &&
	    (t->total == UINT64_MAX || t->total <= t->store_max);
	if (!t->stored) {
		transfer_yield(t);
		return;
	}
	if (spool_in_memory(&t->spool)) {
		cannot_store(t, "there is no spool file");
	} else if (t->total != UINT64_MAX && t->total > spool_max) {
		t->bounded = true;
		role_bound(BOUND_SPOOL_TRANSFER, t->h.id, spool_max, UNSTORED, t->r->asset->backend);
		cannot_store(t, "larger than spool.max_transfer");
	} else {
		fill_meta(t, &meta);
		t->fill = t->m->store->ops->fill_begin(t->m->store, t->r->key, t->spool.fd, &meta, &e);
	}
	if (t->stored && t->fill == NULL) {
		if (e.sys == ENOSPC)
			role_bound(BOUND_CACHE, t->h.id, 0, UNSTORED, t->r->asset->backend);
		else
			log_warn(t->h.id, "EO-MOVER-STORE", "the store takes nothing now error='%s'", e.text);
		cannot_store(t, "the store takes nothing now");
	}
}

/* ---- verification ------------------------------------------------------------- */

/* Is the body what was announced?  *ret_proven: its end is beyond doubt. */
static bool
verify(struct transfer *t, bool *ret_proven)
{
	uint8_t sum[DIGEST_SIZE_MAX];
	bool good = true;

	*ret_proven = t->framed;
	if (t->want_size != UINT64_MAX) {
		good = t->spool.head == t->want_size;
		*ret_proven = *ret_proven || good;
	}
	if (t->hashing != NULL) {
		if (hashing_final(t->hashing, sum) == -1) {
			log_error(t->h.id, "EO-MOVER-SPOOL", "the spool could not be read for its checksum");
			good = false;
		} else if (memcmp(sum, t->want_sum.value, digest_size(t->want_sum.algo)) == 0) {
			*ret_proven = true;
		} else {
			good = false;
		}
		hashing_free(t->hashing);
		t->hashing = NULL;
	}
	return good;
}

void
transfer_whole(struct transfer *t)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "what the provider sent is not what the catalogue announces");
	bool proven;

	t->all_here = t->hashing != NULL && !hashing_is_over(t->hashing);
	if (t->all_here)
		return;
	if (!verify(t, &proven)) {
		stat_inc(COUNT_MISMATCHES);
		log_warn(t->h.id, "EO-MOVER-MISMATCH", "body differs from what was announced backend=%s bytes=%" PRIu64
		    " action=%s", t->r->asset->backend, t->spool.head, t->deliver_on_mismatch ? "deliver" : "cut");
		store_nothing(t, "mismatch");
		(void)snprintf(f.reason, sizeof(f.reason), "size or checksum differs from the announced one");
		if (!t->deliver_on_mismatch) {
			transfer_fail(t, &f);
			return;
		}
	} else if (!proven) {
		store_nothing(t, "the end of the body is not proven");
	} else if (t->stored && t->spool.head > t->store_max) {	/* no length was announced */
		store_nothing(t, "larger than max_size");
	}
	if (t->total == UINT64_MAX)
		t->total = t->facts.size = t->spool.head;
	transfer_set_state(t, t->stored ? CLOSING : ENDED);
	t->busy++;
	if (t->stored)
		publish(t);
	transfer_each_client(t, client_pump);
	t->busy--;
	transfer_check(t);
}

void
transfer_hashed(void *arg)
{
	struct transfer *t = arg;

	if (t->all_here && t->state != FAILED)
		transfer_whole(t);
	else
		transfer_progress(t);	/* it may have waited for the window to move on */
}

/* ---- bytes ---------------------------------------------------------------------- */

static uint64_t
window(const struct transfer *t)
{
	const struct config *c = mover_config(t->m);

	return spool_in_memory(&t->spool) ? c->spool_memory_max : c->spool_transfer_max;
}

/* Give back what every client and the digest have passed.  Only for bodies that are not stored. */
static void
reclaim(struct transfer *t)
{
	uint64_t low = t->spool.head, dropped;
	struct client *c;

	if (t->stored || t->published)
		return;
	/* asked for by every client that moves on: one that does not must not make each of them look at all */
	if (t->slowest != NULL && t->slowest->pos < t->spool.tail + SPOOL_BLOCK)
		return;
	t->slowest = NULL;
	TAILQ_FOREACH(c, &t->clients, in_transfer) {
		if (c->pos < low) {
			low = c->pos;
			t->slowest = c;
		}
	}
	if (t->hashing != NULL && hashing_reach(t->hashing) < low)
		low = hashing_reach(t->hashing);
	dropped = spool_drop(&t->spool, low);
	t->counted -= dropped < t->counted ? dropped : t->counted;
	t->m->spool_bytes -= dropped;
	stat_gauge(GAUGE_SPOOL_BYTES, t->m->spool_bytes);
}

static bool
fits(const struct transfer *t, size_t n, uint64_t share)
{
	uint64_t held = t->spool.head - t->spool.tail + n;

	return held <= window(t) && (held <= share || t->m->spool_bytes + n <= mover_config(t->m)->spool_max);
}

/* Which bound it is that n more bytes would cross: told once of each transfer. */
static void
tell_bound(struct transfer *t, size_t n)
{
	const struct config *c = mover_config(t->m);
	const char *backend = t->r->asset->backend;

	if (t->bounded)
		return;
	t->bounded = true;
	if (t->spool.head - t->spool.tail + n <= window(t))
		role_bound(BOUND_SPOOL, t->h.id, c->spool_max, UNSTORED, backend);
	else if (spool_in_memory(&t->spool))
		role_bound(BOUND_SPOOL_MEMORY, t->h.id, c->spool_memory_max, "its slowest client paces it", backend);
	else
		role_bound(BOUND_SPOOL_TRANSFER, t->h.id, c->spool_transfer_max, UNSTORED, backend);
}

/* Is there room for n more bytes? */
static bool
room(struct transfer *t, size_t n)
{
	if (t->stored && t->spool.head + n > t->store_max)	/* of a body whose length was unknown */
		store_nothing(t, "larger than the dataset's max_size");
	if (fits(t, n, 0))
		return true;
	tell_bound(t, n);
	cannot_store(t, "the spool is full");
	reclaim(t);
	/* no one would wake it when another transfer gives space back; its own clients do */
	return fits(t, n, SPOOL_SHARE);
}

void
transfer_begin_flow(struct transfer *t)
{
	char head[SNIFF_BYTES];
	ssize_t n;
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "the provider sent a page instead of the asset");

	n = spool_read(&t->spool, head, sizeof(head), 0);
	if (t->encoding == NULL && n > 0 && body_looks_html(head, (size_t)n) && !media_type_is_html(t->facts.media_type)) {
		(void)snprintf(f.reason, sizeof(f.reason), "the body looks like an HTML page");
		transfer_fail(t, &f);
		return;
	}
	transfer_set_state(t, FLOWING);
	facts_copy(&t->r->facts, &t->facts);
	if (t->encoding != NULL)
		t->r->facts.size = UINT64_MAX;	/* the length is of what it is packed in: no range is counted from it */
	transfer_each_client(t, client_head);
}

/*
 * libcurl hands out 16 KiB at a time.  They are gathered, and go to the spool
 * and to the clients in larger pieces: when the buffer is full, when another
 * transfer's turn comes, and at the end of the loop's turn at the latest.
 */
static void
gather_flush(struct mover *m)
{
	struct gather *g = m->gather;
	struct transfer *t = g->owner;
	struct err e = ERR_NONE;
	struct failure f;
	size_t n = g->n;

	if (t == NULL)
		return;
	timer_clear(m->loop, &g->timer);
	g->owner = NULL;
	g->n = 0;
	switch (spool_add(&t->spool, g->data, n, &e)) {
	case 0:
		break;
	case 1:
		log_warn(t->h.id, "EO-MOVER-SPOOL", "the spool's file cannot grow, going on in memory, unstored");
		cannot_store(t, "the spool's file cannot grow");
		break;
	default:
		f = FAILURE(503, PROBLEM_CACHE, "the spool is full");
		(void)snprintf(f.reason, sizeof(f.reason), "%.150s", e.text);
		transfer_fail(t, &f);
		return;
	}
	t->counted += n;
	m->spool_bytes += n;
	stat_gauge(GAUGE_SPOOL_BYTES, m->spool_bytes);
	if (t->hashing != NULL)
		hashing_add(t->hashing, &t->spool, g->data, n);
	if (t->fill != NULL)
		m->store->ops->fill_advance(t->fill, t->spool.head, is_behind(t));
	t->busy++;
	if (t->state == SNIFFING && (t->spool.head >= SNIFF_BYTES || t->spool.head == t->total))
		transfer_begin_flow(t);
	else if (t->state == FLOWING)
		transfer_each_client(t, client_pump);
	t->busy--;
	transfer_check(t);
}

static void
on_gather_timer(void *arg)
{
	gather_flush(arg);
}

void
gather_init(struct mover *m)
{
	m->gather = mem_alloc(sizeof(*m->gather));
}

int
transfer_take(struct transfer *t, const char *data, size_t n)
{
	struct mover *m = t->m;
	struct gather *g = m->gather;
	struct failure f;

	if (g->owner != t || g->n + n > sizeof(g->data)) {
		t->busy++;	/* it may fail and have no clients then */
		gather_flush(m);
		t->busy--;
		if (t->state == FAILED) {
			transfer_check(t);
			return -1;
		}
	}
	if (t->total != UINT64_MAX && g->n + n > t->total - t->spool.head) {	/* a rest in chunks */
		f = FAILURE(502, PROBLEM_UPSTREAM, "the provider sent more than it announced");
		(void)snprintf(f.reason, sizeof(f.reason), "the rest is longer than announced");
		transfer_fail(t, &f);
		return -1;
	}
	if (!room(t, g->n + n)) {
		if (t->n_clients == 0) {
			f = FAILURE(503, PROBLEM_CACHE, "the spool is full");
			transfer_fail(t, &f);
			return -1;
		}
		t->paused = true;
		return 1;
	}
	MUST(n <= sizeof(g->data));
	if (g->owner == NULL) {
		g->owner = t;
		timer_set(m->loop, &g->timer, clock_mono_ms(), on_gather_timer, m);
	}
	memcpy(g->data + g->n, data, n);
	g->n += n;
	return 0;
}

void
transfer_flush(struct transfer *t)
{
	if (t->m->gather->owner == t)
		gather_flush(t->m);
}

void
transfer_forget_gathered(struct transfer *t)
{
	struct gather *g = t->m->gather;

	if (g->owner != t)
		return;
	timer_clear(t->m->loop, &g->timer);
	g->owner = NULL;
	g->n = 0;
}

void
transfer_progress(struct transfer *t)
{
	if (!t->stored && t->spool.head - t->spool.tail > window(t) / 2)
		reclaim(t);
	if (t->paused && t->pull != NULL) {
		t->paused = false;
		pull_resume(t->pull);
	}
}
