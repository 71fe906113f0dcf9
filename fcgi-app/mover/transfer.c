/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers: one body from a provider into the spool, to every client that
 * waits for it, and, when it is whole and verified, into the store.
 *
 *	PULLING   a slot, a connection, the response's headers
 *	SNIFFING  headers are good; the first bytes decide whether it is a page in disguise
 *	FLOWING   clients have (or get) their heads; bytes flow
 *	CLOSING   all bytes are here and verified; the store publishes
 *	ENDED     clients read the rest
 *	FAILED    clients were told
 *	RESOLVING the credentials were refused once: a fresh source is on its way, then PULLING again
 *
 * The last byte is out of reach (transfer_reach) until the body is verified.
 * A body that breaks off is resumed from where it is (Range, If-Range, the same
 * validator and length), with fresh credentials where they have ended; a source
 * that has changed meanwhile is never spliced.
 *
 * A transfer that is not stored keeps a window of the body: the slowest client
 * paces the source.
 */
#include "base/base.h"

#include "mover/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "mover/spool.h"
#include "wire/httpdate.h"

enum {
	SNIFF_BYTES = 512,
	GATHER_BYTES = 256 << 10,
	RESUMES_MAX = 3,		/* in a row ... */
	RESUME_PROGRESS = 1 << 20,	/* ... without so many new bytes */
	RESUME_WAIT_MS = 200,		/* before the first, doubled each time */
	SPOOL_SHARE = 1 << 20,		/* each transfer may have so much, however full the spool is */
};

struct gather {
	struct transfer *owner;		/* NULL: empty */
	struct timer timer;
	size_t n;
	char data[GATHER_BYTES];
};

enum state { PULLING, SNIFFING, FLOWING, CLOSING, ENDED, FAILED, RESOLVING };

struct transfer {
	TAILQ_ENTRY(transfer) link;
	struct mover *m;
	struct resource *r;
	enum state state;
	TAILQ_HEAD(, client) clients;
	size_t n_clients;
	const struct client *slowest;	/* as reclaim found it, or NULL */
	unsigned busy;			/* inside a loop over clients: freed at its end */
	struct pull *pull;
	struct want want;
	bool refreshed;			/* the source was resolved again once */
	bool resuming;			/* a pull for the rest is on its way */
	unsigned resumes;		/* in a row without RESUME_PROGRESS */
	uint64_t resumed_at;		/* bytes that were here at the last one */
	char *validator;		/* for If-Range: a strong ETag or a date; NULL: cannot be resumed */
	struct timer resume_timer;
	bool paused, background;
	struct handover h;		/* of the first request: borrows from texts below */
	char *texts;
	/* the body */
	struct spool spool;
	uint64_t total;			/* UINT64_MAX unknown */
	uint64_t counted;		/* bytes of it in m->spool_bytes */
	bool framed;
	struct facts facts;
	char *encoding;
	/* verification */
	struct checksum want_sum;
	struct digest *digest;
	bool deliver_on_mismatch;
	uint64_t want_size;		/* file:size; UINT64_MAX unknown */
	/* the store */
	bool stored;			/* is to be */
	bool published;			/* the spool's file is the object now: never touched again */
	uint64_t store_max;
	struct store_fill *fill;
	struct timer fill_timer;
	int64_t started_us;
	/* the bill */
	const struct client *payer;
	bool paid;
	struct charge charge;		/* the payer's, with nothing but upstream bytes reserved */
};

static void transfer_pull(struct transfer *t);
static void transfer_fail(struct transfer *t, const struct failure *f);
static void transfer_check(struct transfer *t);

static const char *const state_name[] = {
	"pulling", "sniffing", "flowing", "closing", "ended", "failed", "resolving",
};

static void
set_state(struct transfer *t, enum state s)
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

static void
detach(struct transfer *t)
{
	if (t->r->transfer == t)
		t->r->transfer = NULL;
}

static void
transfer_free(struct transfer *t)
{
	struct mover *m = t->m;

	MUST(t->n_clients == 0);
	if (m->gather->owner == t) {
		timer_clear(m->loop, &m->gather->timer);
		m->gather->owner = NULL;
		m->gather->n = 0;
	}
	settle(t, t->spool.head);
	detach(t);
	asset_unwant(&t->want);
	pull_cancel(t->pull);
	timer_clear(m->loop, &t->fill_timer);
	timer_clear(m->loop, &t->resume_timer);
	if (t->fill != NULL)
		m->store->ops->fill_free(t->fill);
	spool_release(&t->spool);
	m->spool_bytes -= t->counted;
	stat_gauge(GAUGE_SPOOL_BYTES, m->spool_bytes);
	digest_free(t->digest);
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
static void
transfer_check(struct transfer *t)
{
	bool running = t->state != ENDED && t->state != FAILED;
	bool undecided = t->state == PULLING || t->state == RESOLVING;

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
static void
each_client(struct transfer *t, void (*fn)(struct client *))
{
	struct client *c, *next;

	t->busy++;
	for (c = TAILQ_FIRST(&t->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, in_transfer);
		fn(c);
	}
	t->busy--;
}

static void
transfer_fail(struct transfer *t, const struct failure *f)
{
	struct failure copy = *f;
	struct client *c;

	pull_cancel(t->pull);
	t->pull = NULL;
	stat_inc(COUNT_TRANSFERS_FAILED);
	log_line(LOG_INFO, t->h.id, NULL, "event=transfer-failed head=%" PRIu64 " status=%d reason='%s'", t->spool.head,
	    f->status, f->reason);
	set_state(t, FAILED);
	detach(t);
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

/* ---- the store --------------------------------------------------------------- */

static void
store_nothing(struct transfer *t, const char *why)
{
	if (!t->stored)
		return;
	log_info(t->h.id, "event=transfer-unstored reason='%s'", why);
	t->stored = false;
	if (t->fill != NULL)
		t->m->store->ops->fill_free(t->fill);
	t->fill = NULL;
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

static void
on_fill(void *arg)
{
	struct transfer *t = arg;
	struct err e = ERR_NONE;

	switch (t->m->store->ops->fill_state(t->fill, &e)) {
	case FILL_RUNNING:
		timer_set(t->m->loop, &t->fill_timer, clock_mono_ms() + 10, on_fill, t);
		return;
	case FILL_DONE:
		t->published = true;
		stat_inc(COUNT_PUBLISHED);
		log_info(t->h.id, "event=transfer-published bytes=%" PRIu64 " us=%" PRId64, t->spool.head,
		    clock_mono_us() - t->started_us);
		break;
	case FILL_FAILED:
		log_error(t->h.id, "EO-MOVER-PUBLISH", "cannot publish error='%s'", e.text);
		break;
	}
	t->m->store->ops->fill_free(t->fill);
	t->fill = NULL;
	t->stored = false;
	detach(t);
	set_state(t, ENDED);
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
	if (t->digest != NULL) {
		digest_final(t->digest, sum);
		digest_free(t->digest);
		t->digest = NULL;
		if (memcmp(sum, t->want_sum.value, digest_size(t->want_sum.algo)) == 0)
			*ret_proven = true;
		else
			good = false;
	}
	return good;
}

static void
transfer_whole(struct transfer *t)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "what the provider sent is not what the catalogue announces");
	bool proven;

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
	set_state(t, t->stored ? CLOSING : ENDED);
	t->busy++;
	if (t->stored)
		publish(t);
	each_client(t, client_pump);
	t->busy--;
	transfer_check(t);
}

/* ---- bytes ---------------------------------------------------------------------- */

static uint64_t
window(const struct transfer *t)
{
	return spool_in_memory(&t->spool) ? SPOOL_MEMORY_WINDOW : mover_config(t->m)->spool_transfer_max;
}

/* Give back what every client has passed.  Only for bodies that are not stored. */
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
	dropped = spool_drop(&t->spool, low);
	t->counted -= dropped < t->counted ? dropped : t->counted;
	t->m->spool_bytes -= dropped;
	stat_gauge(GAUGE_SPOOL_BYTES, t->m->spool_bytes);
}

/* Is there room for n more bytes? */
static bool
room(struct transfer *t, size_t n)
{
	const struct config *cfg = mover_config(t->m);

	if (t->stored && t->spool.head + n > t->store_max)	/* of a body whose length was unknown */
		store_nothing(t, "larger than the dataset's max_size");
	if (t->spool.head - t->spool.tail + n <= window(t) && t->m->spool_bytes + n <= cfg->spool_max)
		return true;
	store_nothing(t, "the spool is full");
	reclaim(t);
	/* no one would wake it when another transfer gives space back; its own clients do */
	return t->spool.head - t->spool.tail + n <= SPOOL_SHARE ||
	    (t->spool.head - t->spool.tail + n <= window(t) && t->m->spool_bytes + n <= cfg->spool_max);
}

static void
begin_flow(struct transfer *t)
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
	set_state(t, FLOWING);
	facts_copy(&t->r->facts, &t->facts);
	each_client(t, client_head);
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
		store_nothing(t, "the spool's file cannot grow");
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
	if (t->digest != NULL)
		digest_add(t->digest, g->data, n);
	if (t->fill != NULL)
		m->store->ops->fill_advance(t->fill, t->spool.head);
	t->busy++;
	if (t->state == SNIFFING && (t->spool.head >= SNIFF_BYTES || t->spool.head == t->total))
		begin_flow(t);
	else if (t->state == FLOWING)
		each_client(t, client_pump);
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

static int
on_data(void *arg, struct pull *p UNUSED, const char *data, size_t n)
{
	struct transfer *t = arg;
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
transfer_progress(struct transfer *t)
{
	if (!t->stored && t->spool.head - t->spool.tail > window(t) / 2)
		reclaim(t);
	if (t->paused && t->pull != NULL) {
		t->paused = false;
		pull_resume(t->pull);
	}
}

/* ---- the response ------------------------------------------------------------------ */

static void
on_fresh(void *arg)
{
	struct transfer *t = arg;

	transfer_pull(t);
}

static void
on_fresh_failed(void *arg, const struct failure *f)
{
	transfer_fail(arg, f);
}

static void
begin_store(struct transfer *t, const struct fetch_response *resp)
{
	struct object_meta meta;
	struct err e = ERR_NONE;

	t->stored = t->r->key != NULL && t->store_max > 0 && !spool_in_memory(&t->spool) && resp->content_encoding == NULL &&
	    (t->total == UINT64_MAX || (t->total <= t->store_max && t->total <= mover_config(t->m)->spool_transfer_max));
	if (!t->stored)
		return;
	fill_meta(t, &meta);
	t->fill = t->m->store->ops->fill_begin(t->m->store, t->r->key, t->spool.fd, &meta, &e);
	if (t->fill == NULL) {
		log_warn(t->h.id, "EO-MOVER-STORE", "the store takes nothing now error='%s'", e.text);
		t->stored = false;
	}
}

/* What the rest may be asked for with: RFC 9110 13.1.5 wants it strong. */
static void
keep_validator(struct transfer *t, const struct fetch_response *resp)
{
	char date[HTTPDATE_SIZE];

	free(t->validator);
	t->validator = NULL;
	if (resp->etag != NULL && strncmp(resp->etag, "W/", 2) != 0) {
		t->validator = mem_strdup(resp->etag);
	} else if (resp->etag == NULL && resp->last_modified >= 0) {
		httpdate_format(resp->last_modified, date);
		t->validator = mem_strdup(date);
	}
}

static void
on_resume(void *arg)
{
	struct transfer *t = arg;
	struct asset *a = t->r->asset;

	if (asset_has_source(a))
		transfer_pull(t);
	else
		asset_want(a, &t->want, &t->h, NULL);
}

/* The pull is over before the body is.  True: another one goes on soon. */
static bool
resume(struct transfer *t, const char *why)
{
	if ((t->state != SNIFFING && t->state != FLOWING) || t->validator == NULL || t->total == UINT64_MAX ||
	    t->encoding != NULL || t->spool.head >= t->total)
		return false;
	if (t->spool.head - t->resumed_at >= RESUME_PROGRESS)
		t->resumes = 0;
	if (t->resumes >= RESUMES_MAX)
		return false;
	t->resumed_at = t->spool.head;
	t->resuming = true;
	t->pull = NULL;
	t->paused = false;
	log_info(t->h.id, "event=transfer-resume head=%" PRIu64 " attempt=%u reason='%.120s'", t->spool.head,
	    t->resumes + 1, why);
	timer_set(t->m->loop, &t->resume_timer, clock_mono_ms() + (RESUME_WAIT_MS << t->resumes), on_resume, t);
	t->resumes++;
	stat_inc(COUNT_RESUMES);
	return true;
}

/* Is this the rest of what we have, of the same version? */
static bool
is_the_rest(const struct transfer *t, const struct fetch_response *resp)
{
	char date[HTTPDATE_SIZE] = "";

	if (resp->status != 206 || resp->bad_content_range || !resp->has_content_range ||
	    resp->range_first != t->spool.head || resp->range_size != t->total || resp->content_encoding != NULL)
		return false;
	if (t->validator[0] == '"')	/* RFC 9110 15.3.7: a 206 has the tag that a 200 would have */
		return resp->etag != NULL && strcmp(resp->etag, t->validator) == 0;
	if (resp->last_modified >= 0)
		httpdate_format(resp->last_modified, date);
	return strcmp(date, t->validator) == 0;
}

/* The answer to a resuming pull: 0 the body goes on, -1 it does not (and the transfer knows). */
static int
resumed(struct transfer *t, struct pull *p, const struct fetch_response *resp)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "the provider's copy changed while it was delivered");

	if (is_the_rest(t, resp)) {
		t->resuming = false;
		t->refreshed = false;
		t->framed = resp->framed;
		return 0;
	}
	pull_cancel(p);
	t->pull = NULL;
	if (resp->status == 429 || resp->status >= 500) {
		if (resume(t, "the provider is not available"))
			return -1;
		f = failure_of_status(resp);
	}
	(void)snprintf(f.reason, sizeof(f.reason), "resuming at %" PRIu64 ": status %d", t->spool.head, resp->status);
	transfer_fail(t, &f);
	return -1;
}

/* NULL failure status: good. */
static struct failure
judge(const struct transfer *t, const struct fetch_response *resp)
{
	const struct source *s = pull_source(t->pull);
	struct failure f = { .status = 0, .retry_after_s = -1 };

	if (resp->status != 200)
		return failure_of_status(resp);
	if (media_type_is_html(resp->media_type == NULL ? "" : resp->media_type) &&
	    (s->media_type == NULL || !media_type_is_html(s->media_type))) {
		f = FAILURE(502, PROBLEM_UPSTREAM, "the provider sent a page instead of the asset");
		(void)snprintf(f.reason, sizeof(f.reason), "media type is HTML");
	} else if (resp->has_length && t->want_size != UINT64_MAX && resp->length != t->want_size &&
	    resp->content_encoding == NULL && !t->deliver_on_mismatch) {
		f = FAILURE(502, PROBLEM_UPSTREAM, "the provider's copy is not as long as the catalogue announces");
		(void)snprintf(f.reason, sizeof(f.reason), "length %" PRIu64 ", file:size %" PRIu64, resp->length, t->want_size);
	}
	return f;
}

static void
take_response(struct transfer *t, const struct fetch_response *resp)
{
	const struct source *s = pull_source(t->pull);

	t->total = resp->has_length ? resp->length : UINT64_MAX;
	t->framed = resp->framed;
	t->refreshed = false;		/* these credentials were good; they may end later */
	keep_validator(t, resp);
	facts_from_response(&t->facts, s, t->r, resp, t->total);
	if (resp->content_encoding != NULL) {
		t->encoding = mem_strdup(resp->content_encoding);
		t->want_sum.algo = DIGEST_NONE;	/* of the decoded bytes, which we never see */
		t->want_size = UINT64_MAX;
	} else if (t->want_sum.algo == DIGEST_NONE) {
		t->want_sum = resp->checksum;
	}
	t->digest = digest_new(t->want_sum.algo);
	begin_store(t, resp);
	set_state(t, SNIFFING);
}

static int
on_response(void *arg, struct pull *p, const struct fetch_response *resp)
{
	struct transfer *t = arg;
	struct asset *a = t->r->asset;
	struct failure f;

	if (resp->status == 401 || resp->status == 403) {
		/* signed URLs end with a 403 */
		if (!t->refreshed && (resp->status == 401 || t->resuming)) {
			t->refreshed = true;
			t->pull = NULL;
			pull_cancel(p);
			if (a->source != pull_source(p) && asset_has_source(a)) {
				transfer_pull(t);	/* another one has seen to it meanwhile */
				return -1;
			}
			if (!t->resuming)
				set_state(t, RESOLVING);
			asset_want(a, &t->want, &t->h, pull_source(p));
			return -1;
		}
		asset_drop_source(a, pull_source(p));
	}
	if (t->resuming)
		return resumed(t, p, resp);
	f = judge(t, resp);
	if (f.status != 0) {
		transfer_fail(t, &f);
		return -1;
	}
	take_response(t, resp);
	transfer_check(t);	/* a background fill that cannot be stored is for nobody; this cancels p */
	return 0;
}

static void
on_done(void *arg, struct pull *p, enum fetch_error x, const char *reason)
{
	struct transfer *t = arg;
	struct failure f;

	t->framed = t->framed && !pull_excess(p);	/* then only file:size or a checksum proves the end */
	t->pull = NULL;
	t->busy++;
	if (t->m->gather->owner == t)
		gather_flush(t->m);
	t->busy--;
	if ((x == FETCH_TRUNCATED || x == FETCH_TIMEOUT || x == FETCH_CONNECT) && resume(t, reason))
		return;
	if (t->state != FAILED && x != FETCH_OK) {
		f = pull_failure(p, x, reason);
		transfer_fail(t, &f);
		return;
	}
	if (t->state == SNIFFING) {
		t->busy++;
		begin_flow(t);
		t->busy--;
	}
	if (t->state == FAILED)
		transfer_check(t);
	else
		transfer_whole(t);
}

static const struct pull_ops transfer_ops = { on_response, on_data, on_done };

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
	MUST(buf_ok(&b));
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
	t->want = (struct want){ .ready = on_fresh, .failed = on_fresh_failed, .arg = t };
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

/* A slot and a connection for it, with the asset's source of now. */
static void
transfer_pull(struct transfer *t)
{
	struct asset *a = t->r->asset;
	struct failure f = FAILURE(502, PROBLEM_RESOLVER, "the source was lost");
	char user[USER_KEY_SIZE];
	struct pull_want w = {
		.user = t->background ? NULL : user_key(&t->h, user),
		.source = a->source, .backend = a->backend, .subpath = t->r->subpath, .id = t->h.id, .trace = t->h.trace,
		.background = t->background, .deadline_ms = t->background ? 0 : t->h.deadline_mono_ms,
	};

	if (t->resuming) {
		w.has_range = true;
		w.first = t->spool.head;
		w.last = t->total - 1;
		w.if_range = t->validator;
		w.deadline_ms = 0;
	} else {
		set_state(t, PULLING);
	}
	t->pull = a->source == NULL ? NULL : pull_start(t->m, &w, &transfer_ops, t, &f);
	if (t->pull == NULL)
		transfer_fail(t, &f);
}

struct transfer *
transfer_start(struct mover *m, struct resource *r, const struct handover *h, bool background, struct failure *f)
{
	char user[USER_KEY_SIZE];
	struct pull_want w = {
		.user = background ? NULL : user_key(h, user),
		.source = r->asset->source, .backend = r->asset->backend, .subpath = r->subpath, .id = h->id,
		.trace = h->trace, .background = background, .deadline_ms = background ? 0 : h->deadline_mono_ms,
	};
	struct transfer *t;

	MUST(r->asset->source != NULL);
	if (m->n_transfers >= mover_config(m)->transfers_max) {
		*f = FAILURE(503, PROBLEM_CACHE, "too many transfers");
		f->retry_after_s = 5;
		return NULL;
	}
	t = transfer_new(m, r, h, r->asset->source);
	t->background = background;
	t->pull = pull_start(m, &w, &transfer_ops, t, f);
	if (t->pull == NULL) {
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

	t->pull = p;
	pull_give(p, &transfer_ops, t);
	r->transfer = t;
	f = judge(t, resp);
	if (f.status != 0) {
		transfer_fail(t, &f);
		return NULL;
	}
	take_response(t, resp);
	return t;
}

void
transfer_join(struct transfer *t, struct client *c)
{
	TAILQ_INSERT_TAIL(&t->clients, c, in_transfer);
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
