/* SPDX-License-Identifier: Apache-2.0
 *
 * A transfer's life, and what its clients see of it.  Mover.
 */
#include "base/base.h"

#include "mover/transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static const char *const state_name[] = {
	"pulling", "sniffing", "flowing", "closing", "ended", "failed", "resolving", "following",
};

void
transfer_set_state(struct transfer *t, enum transfer_state s)
{
	log_debug(t->h.id, "transfer state=%s from=%s head=%" PRIu64, state_name[s], state_name[t->state], t->spool.head);
	t->state = s;
}

/* ---- what clients see ------------------------------------------------------ */

bool
transfer_head_known(const struct transfer *t)
{
	return t->state == FLOWING || t->state == CLOSING || t->state == ENDED;
}

const struct facts *
transfer_facts(const struct transfer *t)
{
	return &t->facts;
}

bool
transfer_ended(const struct transfer *t)
{
	return t->state == ENDED || t->state == CLOSING;
}

uint64_t
transfer_reach(const struct transfer *t)
{
	if (transfer_ended(t))
		return t->spool.head;
	return t->spool.head == 0 ? 0 : t->spool.head - 1;
}

uint64_t
transfer_tail(const struct transfer *t)
{
	return t->spool.tail;
}

uint64_t
transfer_head(const struct transfer *t)
{
	return t->spool.head;
}

ssize_t
transfer_read(const struct transfer *t, void *dst, size_t n, uint64_t off)
{
	return spool_read(&t->spool, dst, n, off);
}

bool
transfer_stores(const struct transfer *t)
{
	return t->stored;
}

const char *
transfer_encoding(const struct transfer *t)
{
	return t->encoding;
}

size_t
transfer_clients(const struct transfer *t)
{
	return t->n_clients;
}

bool
transfer_bill(struct transfer *t, const struct client *c, uint64_t *ret_n)
{
	if (t->payer != NULL || t->paid || t->background)
		return false;
	t->payer = c;
	*ret_n = t->total == UINT64_MAX ? 0 : t->total;
	return true;
}

void
transfer_paid(struct transfer *t, const struct client *c, uint64_t reserved)
{
	MUST(t->payer == c && !t->paid);
	t->paid = true;
	t->charge = c->h.charge;
	memset(t->charge.reserved, 0, sizeof(t->charge.reserved));
	t->charge.reserved[QUOTA_UPSTREAM_BYTES] = reserved;
}

void
transfer_unpaid(struct transfer *t, const struct client *c)
{
	if (t->payer == c && !t->paid)
		t->payer = NULL;
}

/* ---- the end ----------------------------------------------------------------- */

static void
settle(struct transfer *t, uint64_t upstream)
{
	struct account_settle s = {
		.charge = t->charge, .backend = t->h.backend, .collection = t->h.collection, .item = t->h.item,
		.asset = t->h.asset, .subpath = t->h.subpath, .cache = "fill", .rule = t->h.rule,
		.status = t->state == FAILED ? 502 : 200,
	};

	if (!t->paid) {		/* the site's own: a background fill, or one whose clients left before they could pay */
		memset(&s.charge, 0, sizeof(s.charge));
		(void)snprintf(s.charge.id, sizeof(s.charge.id), "%s", t->h.id);
		(void)snprintf(s.charge.realm, sizeof(s.charge.realm), "site");
		s.charge.at_ms = clock_wall_ms();
	}
	s.actual[QUOTA_UPSTREAM_BYTES] = upstream;
	if (upstream > 0 || t->paid)
		account_settle(t->m, &s);
}

void
transfer_detach(struct transfer *t)
{
	if (t->r->transfer == t)
		t->r->transfer = NULL;
}

static void
transfer_free(struct transfer *t)
{
	struct mover *m = t->m;

	MUST(t->n_clients == 0);
	transfer_forget_gathered(t);
	settle(t, t->spool.head);
	transfer_detach(t);
	asset_unwant(&t->want);
	transfer_yield(t);
	pull_cancel(t->pull);
	timer_clear(m->loop, &t->fill_timer);
	timer_clear(m->loop, &t->resume_timer);
	if (t->fill != NULL)
		m->store->ops->fill_free(t->fill);
	hashing_free(t->hashing);	/* it reads the spool */
	spool_release(&t->spool);
	m->spool_bytes -= t->counted;
	stat_gauge(GAUGE_SPOOL_BYTES, m->spool_bytes);
	facts_release(&t->facts);
	TAILQ_REMOVE(&m->transfers, t, link);
	m->n_transfers--;
	stat_gauge(GAUGE_TRANSFERS_NOW, m->n_transfers);
	resource_unref(t->r);
	free(t->encoding);
	free(t->validator);
	free(t->texts);
	free(t);
}

/* Free it when nobody needs it. */
void
transfer_check(struct transfer *t)
{
	bool running = t->state != ENDED && t->state != FAILED;
	bool undecided = t->state == PULLING || t->state == RESOLVING || t->state == FOLLOWING;

	if (t->busy > 0 || t->n_clients > 0)
		return;
	/* a lone fill is finished, for the next one will want it, where somebody pays: a client, or the site for its own */
	if (running && (t->stored || (t->background && undecided)) && (t->paid || t->background))
		return;
	if (running)
		log_debug(t->h.id, "transfer dropped head=%" PRIu64, t->spool.head);
	transfer_free(t);
}

/* Call fn for each client; clients may leave meanwhile. */
void
transfer_each_client(struct transfer *t, void (*fn)(struct client *))
{
	struct client *c, *next;

	t->busy++;
	for (c = TAILQ_FIRST(&t->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, in_transfer);
		fn(c);
	}
	t->busy--;
}

void
transfer_fail(struct transfer *t, const struct failure *f)
{
	struct failure copy = *f;
	struct client *c;

	pull_cancel(t->pull);
	t->pull = NULL;
	transfer_yield(t);
	stat_inc(COUNT_TRANSFERS_FAILED);
	log_line(LOG_INFO, t->h.id, NULL, "event=transfer-failed head=%" PRIu64 " status=%d reason='%s'", t->spool.head,
	    f->status, f->reason);
	transfer_set_state(t, FAILED);
	transfer_detach(t);
	t->busy++;
	while (!TAILQ_EMPTY(&t->clients)) {
		c = TAILQ_FIRST(&t->clients);
		transfer_leave(t, c);
		c->transfer = NULL;
		client_fail(c, &copy);
	}
	t->busy--;
	transfer_check(t);
}

/* ---- the beginning ------------------------------------------------------------------- */

/* The hand-over outlives its client: keep what we need of it. */
static void
keep_handover(struct transfer *t, const struct handover *h)
{
	struct buf b = BUF_INIT(2 * HANDOVER_MAX);
	struct handover bare = {
		.backend = h->backend, .collection = h->collection, .item = h->item, .asset = h->asset,
		.subpath = h->subpath, .rule = h->rule, .deadline_mono_ms = h->deadline_mono_ms, .fcgi_id = h->fcgi_id,
	};
	size_t n;

	memcpy(bare.charge.realm, h->charge.realm, sizeof(bare.charge.realm));	/* whose turn it takes */
	memcpy(bare.charge.user, h->charge.user, sizeof(bare.charge.user));
	memcpy(bare.id, h->id, sizeof(bare.id));
	memcpy(bare.trace, h->trace, sizeof(bare.trace));
	handover_put(&b, &bare);
	buf_must(&b);
	n = b.len;
	t->texts = buf_take(&b);
	MUST(handover_get(t->texts, n, &t->h) == 0);
}

static struct transfer *
transfer_new(struct mover *m, struct resource *r, const struct handover *h, const struct source *s)
{
	const struct dataset *d = config_dataset(mover_config(m), r->asset->backend, r->asset->collection, r->asset->name);
	struct transfer *t = mem_alloc(sizeof(*t));
	struct err e = ERR_NONE;
	int fd;

	t->m = m;
	t->r = resource_ref(r);
	t->facts = (struct facts){ .last_modified = -1, .size = UINT64_MAX };
	t->total = UINT64_MAX;
	transfer_want_init(t);
	t->started_us = clock_mono_us();
	t->want_size = r->subpath[0] == '\0' ? s->size : UINT64_MAX;
	if (r->subpath[0] == '\0')
		t->want_sum = s->checksum;
	TAILQ_INIT(&t->clients);
	keep_handover(t, h);
	if (d != NULL) {
		t->store_max = d->max_size;
		t->deliver_on_mismatch = d->deliver_on_mismatch;
		if (d->fill == FILL_NEVER)
			t->store_max = 0;
	}
	TAILQ_INSERT_TAIL(&m->transfers, t, link);
	m->n_transfers++;
	stat_inc(COUNT_TRANSFERS);
	stat_gauge(GAUGE_TRANSFERS_NOW, m->n_transfers);
	fd = m->store->ops->spool_open(m->store, &e);
	if (fd == -1)
		log_warn(h->id, "EO-MOVER-SPOOL", "no spool file, going on in memory, unstored error='%s'", e.text);
	if (spool_init(&t->spool, fd, &e) < 0)
		log_error(h->id, "EO-MOVER-SPOOL", "no spool at all error='%s'", e.text);
	return t;
}

struct transfer *
transfer_start(struct mover *m, struct resource *r, const struct handover *h, bool background, struct failure *f)
{
	struct transfer *t;

	MUST(r->asset->source != NULL);
	if (m->n_transfers >= mover_config(m)->transfers_max) {
		*f = FAILURE(503, PROBLEM_CACHE, "too many transfers");
		f->retry_after_s = 5;
		role_bound(BOUND_TRANSFERS, h->id, mover_config(m)->transfers_max, "answered 503", r->asset->backend);
		return NULL;
	}
	t = transfer_new(m, r, h, r->asset->source);
	t->background = background;
	if (!transfer_claim(t))
		t->pull = transfer_ask(t, f);
	if (t->pull == NULL && t->state != FOLLOWING) {
		t->state = FAILED;
		transfer_free(t);
		return NULL;
	}
	r->transfer = t;
	return t;
}

struct transfer *
transfer_adopt(struct mover *m, struct resource *r, const struct handover *h, struct pull *p, const struct fetch_response *resp)
{
	struct transfer *t = transfer_new(m, r, h, pull_source(p));
	struct failure f;

	transfer_take_pull(t, p);
	r->transfer = t;
	f = transfer_judge(t, resp);
	if (f.status != 0) {
		transfer_fail(t, &f);
		return NULL;
	}
	transfer_claim_now(t);
	transfer_take_response(t, resp);
	return t;
}

void
transfer_join(struct transfer *t, struct client *c)
{
	TAILQ_INSERT_TAIL(&t->clients, c, in_transfer);
	pull_foreground(t->pull);
	if (t->n_clients++ > 0)
		stat_inc(COUNT_TRANSFERS_JOINED);
}

void
transfer_leave(struct transfer *t, struct client *c)
{
	TAILQ_REMOVE(&t->clients, c, in_transfer);
	t->n_clients--;
	if (t->slowest == c)
		t->slowest = NULL;
	transfer_unpaid(t, c);
	if (t->busy == 0)
		transfer_progress(t);
	transfer_check(t);
}

void
transfers_tell_bounds(struct mover *m)
{
	const struct config *c = mover_config(m);
	uint64_t most = 0, memory = 0, held, start;
	size_t clients = 0;
	struct transfer *t;

	TAILQ_FOREACH(t, &m->transfers, link) {
		held = t->spool.head - t->spool.tail;
		if (held > most)
			most = held;
		start = t->spool.tail > t->spool.switch_at ? t->spool.tail : t->spool.switch_at;
		if (spool_in_memory(&t->spool) && t->spool.head - start > memory)
			memory = t->spool.head - start;
		if (t->n_clients > clients)
			clients = t->n_clients;
	}
	stat_bound(BOUND_SPOOL, m->spool_bytes, c->spool_max);
	stat_bound(BOUND_SPOOL_TRANSFER, most, c->spool_transfer_max);
	stat_bound(BOUND_SPOOL_MEMORY, memory, c->spool_memory_max);
	stat_bound(BOUND_TRANSFERS, m->n_transfers, c->transfers_max);
	stat_bound(BOUND_TRANSFER_CLIENTS, clients, c->clients_per_transfer_max);
}

void
transfers_cut(struct mover *m)
{
	struct failure f = FAILURE(503, PROBLEM_CACHE, "the service is stopping");
	struct transfer *t;

	f.retry_after_s = 5;
	(void)snprintf(f.reason, sizeof(f.reason), "the process ends");
	while (!TAILQ_EMPTY(&m->transfers)) {
		t = TAILQ_FIRST(&m->transfers);
		if (t->state == FAILED || (t->state == ENDED && t->n_clients == 0))
			transfer_free(t);
		else
			transfer_fail(t, &f);
	}
}
