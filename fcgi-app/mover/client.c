/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients: connections that workers handed over.  What each one needs, and
 * the records that go out to the front.
 *
 *	WAITING    for item, source, slot, response
 *	RESERVING  the answer is known; the accountant is asked for its bytes
 *	SENDING    head and body go out as the front takes them
 *	FLUSHING   END_REQUEST (or the visible cut) is queued behind the rest
 *	LINGERING  all is written, logged and settled; the front closes, or is let go
 *
 * A failure before the head is a problem answer; after it, eight bytes of
 * 0xff and a close, which every front sees as a broken answer.
 */
#include "base/base.h"

#include "mover/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "wire/answer.h"
#include "wire/fcgi.h"

enum {
	DIRECT_QUEUE_MAX = CLIENT_OUT_MAX / 2,	/* a direct pull is paused above this */
	RECORDS_A_TURN = 16,
	FIRST_BYTES = 16 << 10,		/* of the body, with the head */
	CUT_FLUSH_MS = 5000,
	CUT_HOLD_MS = 200,
	FCGI_END_BYTES = 24,		/* what fcgi_end appends */
	RATE_BURST_US = 100000,
};

static const uint8_t broken_record[FCGI_HEADER] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void client_end(struct client *c);
static void client_flush(struct client *c);

/* ---- the end -------------------------------------------------------------- */

static void
let_go_of_sources(struct client *c)
{
	struct transfer *t = c->transfer;

	if (c->probing)
		probe_leave(c);
	if (c->find != NULL)
		c->m->store->ops->find_cancel(c->find);
	c->find = NULL;
	asset_unwant(&c->want);
	if (c->pull != NULL)
		c->upstream += pull_bytes(c->pull);
	pull_cancel(c->pull);
	c->pull = NULL;
	account_cancel(c->reservation);
	c->reservation = NULL;
	c->transfer = NULL;
	if (t != NULL)
		transfer_leave(t, c);
}

/* Does what it gets come from the store? */
static bool
is_hit(const struct client *c)
{
	return strncmp(c->cache_status, "hit", 3) == 0;
}

/* Queued bytes of the body, at most.  A front that has its Content-Length closes before it reads END_REQUEST. */
static uint64_t
unsent_body(const struct client *c)
{
	uint64_t n = c->out.len - c->out_off;

	if (c->state != CLIENT_FLUSHING || c->cut)
		return n;
	return n > FCGI_END_BYTES ? n - FCGI_END_BYTES : 0;
}

static void
settle_and_log(struct client *c)
{
	struct account_settle s = {
		.charge = c->h.charge, .backend = c->h.backend, .collection = c->h.collection, .item = c->h.item,
		.asset = c->h.asset, .subpath = c->h.subpath, .rule = c->h.rule, .status = (uint32_t)c->status,
		.cache = is_hit(c) ? "hit" :
		    strstr(c->cache_status, "collapsed") != NULL ? "join" : "miss",
	};
	char backend[160], collection[160], item[320], asset[160], subpath[160], user[200];
	uint64_t unsent = unsent_body(c);

	/* what is still queued never reached the front */
	c->delivered -= unsent < c->delivered ? unsent : c->delivered;
	s.actual[QUOTA_REQUESTS] = 1;
	s.actual[QUOTA_MISSES] = strcmp(s.cache, "hit") != 0;
	/* of a redirect, unless it never went out */
	s.estimated = c->status == 302 && c->elsewhere > 0 && c->state != CLIENT_RESERVING;
	s.actual[QUOTA_BYTES] = s.estimated ? c->elsewhere : c->delivered;
	s.actual[QUOTA_UPSTREAM_BYTES] = c->upstream;
	account_settle(c->m, &s);
	stat_add(COUNT_DELIVERED_BYTES, c->delivered);
	log_info(c->h.id, "event=answer trace=%s user=%s backend=%s collection=%s item=%s asset=%s subpath=%s "
	    "status=%d cache='%s' bytes=%" PRIu64
	    " upstream=%" PRIu64 " end=%s us=%" PRId64 "%s%s%s", c->h.trace, text_esc_to(user, sizeof(user), c->h.charge.user),
	    text_esc_to(backend, sizeof(backend), c->h.backend),
	    text_esc_to(collection, sizeof(collection), c->h.collection), text_esc_to(item, sizeof(item), c->h.item),
	    text_esc_to(asset, sizeof(asset), c->h.asset),
	    text_esc_to(subpath, sizeof(subpath), c->h.subpath), c->status, c->cache_status, c->delivered, c->upstream,
	    c->cut ? "cut" : c->gone ? "gone" : "whole", clock_mono_us() - c->h.accepted_mono_us,
	    c->log_reason[0] != '\0' ? " reason='" : "", c->log_reason, c->log_reason[0] != '\0' ? "'" : "");
	stat_job_done();
}

static void
client_end(struct client *c)
{
	struct mover *m = c->m;

	let_go_of_sources(c);
	if (c->state != CLIENT_LINGERING)
		settle_and_log(c);
	timer_clear(m->loop, &c->timer);
	timer_clear(m->loop, &c->go_timer);
	loop_unwatch(m->loop, &c->watch);
	fd_close(&c->fd);
	fd_close(&c->file_fd);
	if (c->resource != NULL)
		resource_unref(c->resource);
	TAILQ_REMOVE(&m->clients, c, all);
	m->n_clients--;
	stat_gauge(GAUGE_CLIENTS, m->n_clients);
	facts_release(&c->facts);
	buf_release(&c->out);
	free(c->cache_control);
	free(c->encoding);
	free(c->location);
	free(c->kept_version);
	free(c->msg);
	free(c);
}

static void
on_end_timer(void *arg)
{
	client_end(arg);
}

/* ---- output ----------------------------------------------------------------- */

static void
on_stall(void *arg)
{
	struct client *c = arg;
	struct failure f = FAILURE(504, PROBLEM_UPSTREAM, "the provider was too slow");

	if (c->out_off >= c->out.len) {	/* it took all there was: it is not the one who stalls, and must see the cut */
		(void)snprintf(f.reason, sizeof(f.reason), "nothing to send for too long");
		client_fail(c, &f);
		return;
	}
	c->gone = true;
	stat_inc(COUNT_CLIENTS_GONE);
	(void)snprintf(c->log_reason, sizeof(c->log_reason), "the client took nothing for too long");
	client_end(c);
}

/* Write what is queued.  1: all out, 0: the front takes no more now, -1: it is gone. */
static int
flush(struct client *c)
{
	ssize_t n;

	while (c->out_off < c->out.len) {
		n = send(c->fd, c->out.data + c->out_off, c->out.len - c->out_off, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			c->writable = false;
			return 0;
		}
		if (n < 0)
			return -1;
		c->out_off += (size_t)n;
		c->progress = true;
	}
	buf_clear(&c->out);
	c->out_off = 0;
	return 1;
}

static void
gone(struct client *c)
{
	c->gone = (c->state != CLIENT_FLUSHING && c->state != CLIENT_LINGERING) || unsent_body(c) > 0;
	if (c->gone)
		stat_inc(COUNT_CLIENTS_GONE);
	client_end(c);
}

/*
 * lighttpd takes a body of no known length for a whole one when head, bytes and the
 * broken end come to it in one go: it has not begun its answer then, and announces what
 * it has.  So there the end waits until the front has read the rest and had time to begin.
 */
static bool
cut_is_held(const struct client *c)
{
	return c->to_the_end && strcmp(mover_config(c->m)->front_server, "lighttpd") == 0;
}

static void
on_cut(void *arg)
{
	struct client *c = arg;
	int64_t now = clock_mono_ms();
	int unread = 0;

	if (now < c->cut_by_ms && ioctl(c->fd, SIOCOUTQ, &unread) == 0 && unread > 0) {
		timer_set(c->m->loop, &c->timer, now + CUT_HOLD_MS, on_cut, c);
		return;
	}
	c->cut_by_ms = 0;
	(void)buf_add(&c->out, broken_record, sizeof(broken_record));
	client_flush(c);
}

/* Everything that will be sent is queued: push it out, then linger. */
static void
client_flush(struct client *c)
{
	int rc = flush(c);

	c->state = CLIENT_FLUSHING;
	if (rc < 0) {
		gone(c);
		return;
	}
	if (rc == 0) {
		timer_set(c->m->loop, &c->timer, clock_mono_ms() + (c->cut ? CUT_FLUSH_MS : CLIENT_STALL_MS),
		    c->cut ? on_end_timer : on_stall, c);
		return;
	}
	if (c->cut_by_ms > 0) {
		timer_set(c->m->loop, &c->timer, clock_mono_ms() + CUT_HOLD_MS, on_cut, c);
		return;
	}
	buf_release(&c->out);
	if (c->cut) {		/* the bogus record, then the close, is what the front must see */
		client_end(c);
		return;
	}
	settle_and_log(c);	/* who has it all has paid, also when this process is killed before the front closes */
	c->state = CLIENT_LINGERING;
	(void)shutdown(c->fd, SHUT_WR);	/* an error shows as the end soon enough */
	timer_set(c->m->loop, &c->timer, clock_mono_ms() + CLIENT_LINGER_MS, on_end_timer, c);
}

/* A whole CGI answer of which nothing follows. */
static void
answer_text(struct client *c, const struct buf *text)
{
	buf_must(text);
	let_go_of_sources(c);
	fcgi_record(&c->out, FCGI_STDOUT, c->h.fcgi_id, text->data, text->len);
	fcgi_end(&c->out, c->h.fcgi_id, 0);
	buf_must(&c->out);
	client_flush(c);
}

void
client_fail(struct client *c, const struct failure *f)
{
	client_fail_members(c, f, NULL, NULL);
}

/* The names that workers use too, where both give the same answer. */
static const char *
problem_type(const struct failure *f)
{
	switch (f->status) {
	case 404:
		return "not-found";
	case 412:
		return "precondition-failed";
	case 416:
		return "range-not-satisfiable";
	case 429:
		return f->who == PROBLEM_QUOTA ? "over-quota" : "provider-limit";
	case 501:
		return "not-supported";
	case 504:
		return "too-slow";
	default:
		return f->who == PROBLEM_QUOTA ? "quota-away" : f->who == PROBLEM_UPSTREAM ? "provider" : NULL;
	}
}

void
client_fail_members(struct client *c, const struct failure *f, const char *members, const char *headers)
{
	struct problem p = {
		.status = f->status, .type = problem_type(f), .source = f->who, .detail = f->detail, .id = c->h.id,
		.retry_after_s = f->retry_after_s, .members = members, .headers = headers,
		.cache_status = is_hit(c) ? "hit" : "fwd=miss",
	};
	struct buf text = BUF_INIT(PROBLEM_MAX);

	if (c->state == CLIENT_FLUSHING || c->state == CLIENT_LINGERING)
		return;
	(void)snprintf(c->log_reason, sizeof(c->log_reason), "%s", f->reason);
	if (c->head_sent) {
		let_go_of_sources(c);
		c->cut = true;
		stat_inc(COUNT_CUT);
		if (cut_is_held(c))
			c->cut_by_ms = clock_mono_ms() + CUT_FLUSH_MS;
		else	/* no room: the close alone must do */
			(void)buf_add(&c->out, broken_record, sizeof(broken_record));
		client_flush(c);
		return;
	}
	c->status = f->status;
	stat_inc(f->status >= 500 ? COUNT_SERVER_ERRORS : COUNT_CLIENT_ERRORS);
	problem_write(&text, &p, c->h.head);
	answer_text(c, &text);
	buf_release(&text);
}

void
client_whole(struct client *c)
{
	struct transfer *t = c->transfer;

	c->transfer = NULL;
	if (t != NULL)
		transfer_leave(t, c);
	fcgi_end(&c->out, c->h.fcgi_id, 0);
	buf_must(&c->out);
	client_flush(c);
}

/* Bytes that the configured rate allows now; 0: later, and the timer is set. */
static size_t
rate_room(struct client *c, size_t n)
{
	int64_t now = clock_mono_us();
	uint64_t most;

	if (c->h.rate == 0)
		return n;
	if (c->rate_next_us > now) {
		timer_set(c->m->loop, &c->go_timer, clock_mono_ms() + (c->rate_next_us - now) / 1000 + 1, client_go_on, c);
		return 0;
	}
	most = c->h.rate * RATE_BURST_US / 1000000;
	if (most < 4096)
		most = 4096;
	return n < most ? n : (size_t)most;
}

static void
rate_spent(struct client *c, size_t n)
{
	int64_t now = clock_mono_us();

	if (c->h.rate == 0)
		return;
	if (c->rate_next_us < now)
		c->rate_next_us = now;
	c->rate_next_us += (int64_t)((double)n * 1e6 / (double)c->h.rate);
}

/* How many body bytes may be queued now? 0: none yet. */
static uint64_t
body_ready(struct client *c)
{
	uint64_t upto = c->end;

	if (c->body == BODY_SPOOL) {
		if (transfer_reach(c->transfer) < upto)
			upto = transfer_reach(c->transfer);
	}
	return upto > c->pos ? upto - c->pos : 0;
}

static bool
body_over(const struct client *c)
{
	if (c->to_the_end || (c->body == BODY_SPOOL && c->end == 0))	/* an empty body has no last byte to hold back */
		return transfer_ended(c->transfer) && c->pos >= transfer_reach(c->transfer);
	return c->pos >= c->end;
}

/* Queue one record of the body, at most so many bytes.  1: done so, 0: nothing to be had now, -1: the client is gone or failed. */
static int
queue_record(struct client *c, size_t most)
{
	struct failure f = FAILURE(502, PROBLEM_CACHE, "the spool could not be read");
	uint64_t n = body_ready(c);
	uint8_t head[FCGI_HEADER];
	char *p;
	ssize_t got;

	if (n > most)
		n = most;
	if (n > c->allowance - c->delivered)
		n = c->allowance - c->delivered;
	if (n == 0) {
		if (body_ready(c) > 0)
			client_reserve_step(c);
		return 0;
	}
	n = rate_room(c, (size_t)n);
	if (n == 0)
		return 0;
	p = buf_reserve(&c->out, FCGI_HEADER + (size_t)n);
	buf_must(&c->out);
	if (c->body == BODY_SPOOL)
		got = transfer_read(c->transfer, p + FCGI_HEADER, (size_t)n, c->pos);
	else
		got = pread(c->file_fd, p + FCGI_HEADER, (size_t)n, (off_t)c->pos);
	if (got <= 0) {		/* also a file that was cut under us */
		(void)snprintf(f.reason, sizeof(f.reason), "reading at %" PRIu64 ": %s", c->pos, got < 0 ? strerror(errno) : "end");
		client_fail(c, &f);
		return -1;
	}
	fcgi_header(head, FCGI_STDOUT, c->h.fcgi_id, (uint16_t)got);
	memcpy(p, head, FCGI_HEADER);
	c->out.len += FCGI_HEADER + (size_t)got;
	c->pos += (uint64_t)got;
	c->delivered += (uint64_t)got;
	rate_spent(c, (size_t)got);
	return 1;
}

bool
client_may_queue(struct client *c)
{
	if (c->out.len - c->out_off > DIRECT_QUEUE_MAX) {
		stat_bound_reached(BOUND_CLIENT_MEMORY);	/* a client that is slower than its source: no fault */
		return false;
	}
	if (c->delivered >= c->allowance) {
		client_reserve_step(c);
		return false;
	}
	return rate_room(c, 1) > 0;
}

void
client_queue(struct client *c, const char *data, size_t n)
{
	if (c->out_off > 0) {
		buf_consume(&c->out, c->out_off);
		c->out_off = 0;
	}
	fcgi_record(&c->out, FCGI_STDOUT, c->h.fcgi_id, data, n);
	buf_must(&c->out);	/* DIRECT_QUEUE_MAX and one chunk are below CLIENT_OUT_MAX */
	c->pos += n;
	c->delivered += n;
	rate_spent(c, n);
	if (c->go_timer.place == 0)	/* libcurl comes with small pieces: they go out together, when this turn ends */
		timer_set(c->m->loop, &c->go_timer, clock_mono_ms(), client_go_on, c);
}

void
client_go_on(void *arg)
{
	client_pump(arg);
}

static void
watch_progress(struct client *c)
{
	if (!c->progress)
		return;
	c->progress = false;
	timer_set(c->m->loop, &c->timer, clock_mono_ms() + CLIENT_STALL_MS, on_stall, c);
}

void
client_pump(struct client *c)
{
	int rc;

	if (c->state == CLIENT_FLUSHING) {
		if (c->writable)
			client_flush(c);
		return;
	}
	if (c->state != CLIENT_SENDING || !c->writable)
		return;
	for (int i = 0; i < RECORDS_A_TURN; i++) {
		rc = flush(c);
		if (rc < 0) {
			gone(c);
			return;
		}
		if (rc == 0)
			break;
		if (c->body == BODY_NONE || (c->body != BODY_DIRECT && body_over(c))) {
			client_whole(c);
			return;
		}
		if (c->body == BODY_DIRECT) {
			watch_progress(c);
			direct_more(c);
			return;
		}
		rc = queue_record(c, FCGI_CONTENT_MAX);
		if (rc < 0)
			return;
		if (rc == 0)
			break;
		if (body_over(c)) {	/* the end goes out with the last bytes */
			client_whole(c);
			return;
		}
		if (i == RECORDS_A_TURN - 1)	/* others get their turn; no event would come by itself */
			timer_set(c->m->loop, &c->go_timer, clock_mono_ms(), client_go_on, c);
	}
	watch_progress(c);
	if (c->transfer != NULL && c->body == BODY_SPOOL)
		transfer_progress(c->transfer);
}

/* The head is queued.  It goes out with the first bytes; the rest comes when others have theirs. */
static void
begin_body(struct client *c)
{
	int rc;

	if (c->body != BODY_DIRECT && queue_record(c, FIRST_BYTES) < 0)
		return;
	if (c->body != BODY_DIRECT && body_over(c)) {
		client_whole(c);
		return;
	}
	rc = flush(c);
	if (rc < 0) {
		gone(c);
		return;
	}
	watch_progress(c);
	if (rc > 0)
		timer_set(c->m->loop, &c->go_timer, clock_mono_ms(), client_go_on, c);
}

static void
on_fd(void *arg, uint32_t events)
{
	struct client *c = arg;
	char drop[4096];
	bool aborted;
	ssize_t n;

	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
		do {
			n = recv(c->fd, drop, sizeof(drop), MSG_DONTWAIT);
			aborted = n > 0 && fcgi_rest_aborts(&c->rest, c->h.fcgi_id, drop, (size_t)n);
		} while (!aborted && (n > 0 || (n < 0 && errno == EINTR)));
		if (aborted || n == 0 || (n < 0 && errno != EAGAIN)) {
			gone(c);
			return;
		}
	}
	if ((events & EPOLLOUT) != 0) {
		c->writable = true;
		client_pump(c);
	}
}

/* ---- answering ------------------------------------------------------------------ */

static void
add_line(struct buf *out, const char *name, const char *value)
{
	if (value != NULL)
		(void)buf_addf(out, "%s: %s\r\n", name, value);
}

/* Of rules that may redirect: what became of it. */
static void
add_delivery(struct buf *out, const struct client *c)
{
	const char *why = c->h.delivery_why;

	if (c->h.delivery == DELIVERY_STREAM && why == NULL)
		return;
	if (c->location != NULL)
		(void)buf_addf(out, "X-Eodata-Delivery: redirect; life=%u\r\n", c->location_life_s);
	else
		(void)buf_join(out, "X-Eodata-Delivery: stream; reason=",
		    why != NULL ? why : c->h.delivery == DELIVERY_AUTO ? "not-cached" : "no-url", "\r\n", NULL);
}

/* The head goes out, then the body as it comes. */
static void
send_head(struct client *c)
{
	struct buf text = BUF_INIT(ANSWER_HEAD_MAX);
	struct buf extra = BUF_INIT(ANSWER_HEAD_MAX / 2);
	struct answer a = {
		.status = c->status, .id = c->h.id, .etag = c->facts.etag, .last_modified = c->facts.last_modified,
		.media_type = c->facts.media_type, .disposition = c->facts.disposition,
		.has_length = !c->to_the_end, .length = c->end - c->first,
		.has_total = c->facts.size != UINT64_MAX && c->encoding == NULL,
		.first = c->first, .last = c->end - 1, .total = c->facts.size,
		.cache_control = c->cache_control, .cache_status = c->cache_status, .location = c->location,
	};

	if (c->status == 200 && c->h.head) {
		a.has_length = c->facts.size != UINT64_MAX;
		a.length = c->facts.size;
	}
	add_line(&extra, "X-Eodata-Charge", c->h.id);	/* for the front's log; the front hides it */
	add_line(&extra, "Content-Encoding", c->encoding);
	add_line(&extra, "RateLimit", c->h.ratelimit);
	add_line(&extra, "RateLimit-Policy", c->h.ratelimit_policy);
	add_delivery(&extra, c);
	a.extra = buf_str(&extra);
	answer_write(&a, &text);
	buf_release(&extra);
	if (c->status >= 400)
		stat_inc(COUNT_CLIENT_ERRORS);
	buf_must(&text);
	if (c->body == BODY_NONE) {
		answer_text(c, &text);
	} else {
		fcgi_record(&c->out, FCGI_STDOUT, c->h.fcgi_id, text.data, text.len);
		buf_must(&c->out);
		c->state = CLIENT_SENDING;
		c->head_sent = true;
		c->progress = true;
		begin_body(c);
	}
	buf_release(&text);
}

static void
refuse_quota(struct client *c, const struct quota_answer *a)
{
	struct failure f = FAILURE(429, PROBLEM_QUOTA, "a quota is used up");
	struct buf members = BUF_INIT(1024), headers = BUF_INIT(1200), limit = BUF_INIT(512), policy = BUF_INIT(512);

	stat_inc(COUNT_OVER_QUOTA);
	if (a->verdict == QUOTA_AWAY_REFUSE) {
		f = FAILURE(503, PROBLEM_QUOTA, "quotas cannot be checked now");
		f.retry_after_s = 5;
	} else {
		f.retry_after_s = a->frees_in_s;
		quota_members(a, &members);
		quota_ratelimit(a, &limit, &policy);
		add_line(&headers, "RateLimit", limit.len == 0 ? NULL : buf_str(&limit));
		add_line(&headers, "RateLimit-Policy", policy.len == 0 ? NULL : buf_str(&policy));
	}
	(void)snprintf(f.reason, sizeof(f.reason), "quota %s %s per %s", a->set, quota_kind_name(a->kind), quota_window_name(a->window));
	client_fail_members(c, &f, buf_str(&members), headers.len == 0 ? NULL : buf_str(&headers));
	buf_release(&members);
	buf_release(&headers);
	buf_release(&limit);
	buf_release(&policy);
}

static void
on_reserved(void *arg, const struct quota_answer *a)
{
	struct client *c = arg;
	bool granted = a->verdict == QUOTA_OK || a->verdict == QUOTA_AWAY_ALLOW;
	uint64_t upstream;

	c->reservation = NULL;
	if (c->transfer != NULL && c->billing && granted) {	/* the transfer settles them */
		upstream = c->h.charge.reserved[QUOTA_UPSTREAM_BYTES];
		if (upstream > c->asked_upstream)
			upstream = c->asked_upstream;
		c->h.charge.reserved[QUOTA_UPSTREAM_BYTES] -= upstream;
		transfer_paid(c->transfer, c, upstream);
	} else if (c->transfer != NULL && c->billing) {
		transfer_unpaid(c->transfer, c);
	}
	c->billing = false;
	if (!granted) {
		refuse_quota(c, a);
		return;
	}
	c->allowance += c->asked_bytes;
	if (c->state == CLIENT_RESERVING)
		send_head(c);
	else
		client_pump(c);
}

static void
reserve(struct client *c, uint64_t bytes, uint64_t upstream)
{
	uint64_t add[QUOTA_KINDS] = { 0 };

	add[QUOTA_BYTES] = bytes;
	add[QUOTA_UPSTREAM_BYTES] = upstream;
	c->asked_bytes = bytes;
	c->asked_upstream = upstream;
	c->reservation = account_ask(c->m, &c->h.charge, add, on_reserved, c);
}

void
client_reserve_step(struct client *c)
{
	if (c->reservation == NULL)
		reserve(c, UNKNOWN_STEP, 0);
}

/*
 * All is known: status, first, end, body.  Ask for the bytes, then answer.  Of a hit that the worker
 * has seen, and of one that has vanished since, bytes are reserved already: only what is more is asked for.
 */
static void
answer(struct client *c)
{
	uint64_t bytes = c->body == BODY_NONE ? c->elsewhere : c->to_the_end ? UNKNOWN_STEP : c->end - c->first, upstream = 0;
	uint64_t held = c->h.charge.reserved[QUOTA_BYTES];

	if (c->transfer != NULL && c->body == BODY_SPOOL)
		c->billing = transfer_bill(c->transfer, c, &upstream);
	else if (c->body == BODY_DIRECT && c->pull != NULL && !pull_source(c->pull)->ours)
		upstream = c->to_the_end ? 0 : bytes;
	bytes -= held < bytes ? held : bytes;
	if (c->h.charge.n == 0 || (bytes == 0 && upstream == 0)) {
		if (c->billing)
			transfer_paid(c->transfer, c, 0);
		c->billing = false;
		c->allowance = c->h.charge.n > 0 && c->to_the_end ? held : UINT64_MAX;
		send_head(c);
		return;
	}
	c->allowance = held;
	c->state = CLIENT_RESERVING;
	reserve(c, bytes, upstream);
}

/* Conditions, then the range: RFC 9110 13.2.2.  Fills status, first, end, body (NONE when there is none). */
static void
decide_answer(struct client *c, enum client_body body)
{
	struct validators v = { .etag = c->facts.etag, .last_modified = c->facts.last_modified };
	bool known = c->facts.size != UINT64_MAX;
	uint64_t last;

	c->body = body;
	c->status = 200;
	c->first = 0;
	c->end = known ? c->facts.size : UINT64_MAX;
	c->to_the_end = !known;
	switch (conditions_check(&c->h.cond, &v)) {
	case CONDITION_NOT_MODIFIED:
		c->status = 304;
		break;
	case CONDITION_FAILED:
		c->status = 412;
		break;
	case CONDITION_PROCEED:
		break;
	}
	if (c->status == 200 && known && !c->h.head && c->encoding == NULL && c->range.kind != RANGE_NONE && !c->range_is_ours &&
	    conditions_range_holds(&c->h.cond, &v)) {
		c->status = 416;
		if (range_resolve(&c->range, c->facts.size, &c->first, &last) == 0) {
			c->status = 206;
			c->end = last + 1;
		}
	}
	if (c->h.head || c->status == 304 || c->status == 412 || c->status == 416)
		c->body = BODY_NONE;
	if (c->body == BODY_NONE)
		c->to_the_end = false;
	c->pos = c->first;
}

void
client_fail_range(struct client *c, uint64_t size)
{
	struct failure f = FAILURE(416, PROBLEM_CLIENT, "the range is beyond the end of the asset");
	char line[64] = "";

	if (size != UINT64_MAX)
		(void)snprintf(line, sizeof(line), "Content-Range: bytes */%" PRIu64 "\r\n", size);
	client_fail_members(c, &f, NULL, line[0] == '\0' ? NULL : line);
}

bool
client_part(struct client *c, const struct facts *f, uint64_t *ret_first, uint64_t *ret_last)
{
	facts_copy(&c->facts, f);
	decide_answer(c, BODY_DIRECT);
	c->status = 0;		/* nothing is answered yet */
	*ret_first = c->first;
	*ret_last = c->end - 1;
	return c->body != BODY_NONE && c->first < c->end;
}

void
client_answer(struct client *c, const struct facts *f, enum client_body body)
{
	facts_copy(&c->facts, f);
	decide_answer(c, body);
	if (c->status == 416) {
		client_fail_range(c, c->facts.size);
		return;
	}
	if (c->body == BODY_NONE) {
		struct transfer *t = c->transfer;

		c->transfer = NULL;
		if (t != NULL)
			transfer_leave(t, c);
	}
	answer(c);
}

void
client_redirect(struct client *c, const char *url, uint32_t life_s, uint32_t max_age_s, uint64_t bytes)
{
	facts_release(&c->facts);	/* they are not those of this answer */
	c->facts = (struct facts){ .last_modified = -1, .size = UINT64_MAX };
	c->status = 302;
	c->body = BODY_NONE;
	c->to_the_end = false;
	c->first = c->pos = c->end = 0;
	c->location = mem_strdup(url);
	c->location_life_s = life_s;
	c->elsewhere = bytes;
	free(c->cache_control);
	c->cache_control = mem_printf("private, max-age=%u", max_age_s);
	answer(c);
}

/* ---- birth -------------------------------------------------------------------------- */

static void
on_deadline(void *arg)
{
	struct failure f = FAILURE(504, PROBLEM_UPSTREAM, "the provider did not answer in time");

	(void)snprintf(f.reason, sizeof(f.reason), "deadline");
	client_fail(arg, &f);
}

void
client_new(struct mover *m, const void *msg, size_t n, int fd, int file_fd)
{
	struct client *c = mem_alloc(sizeof(*c));

	c->msg = mem_alloc(n + 1);
	memcpy(c->msg, msg, n);
	c->m = m;
	c->fd = fd;
	c->file_fd = file_fd;
	c->writable = true;
	if (handover_get(c->msg, n, &c->h) < 0) {
		log_warn(NULL, "EO-MOVER-MESSAGE", "dropped nonsense from=worker bytes=%zu", n);
		fd_close(&c->fd);
		fd_close(&c->file_fd);
		free(c->msg);
		free(c);
		return;
	}
	c->facts = (struct facts){ .last_modified = -1, .size = UINT64_MAX };
	c->range = range_parse(c->h.range, c->h.range == NULL ? 0 : strlen(c->h.range));
	buf_init(&c->out, CLIENT_OUT_MAX);
	c->want = (struct want){ .ready = client_ready, .failed = client_not_ready, .arg = c };
	(void)snprintf(c->cache_status, sizeof(c->cache_status), "fwd=miss");
	TAILQ_INSERT_TAIL(&m->clients, c, all);
	m->n_clients++;
	stat_gauge(GAUGE_CLIENTS, m->n_clients);
	stat_inc(COUNT_HANDOVERS_TAKEN);
	if (fd == -1 || fd_set_nonblock(fd, true) == -1 ||
	    loop_watch(m->loop, &c->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_fd, c) == -1) {
		log_error(c->h.id, "EO-MOVER-CLIENT", "a connection was lost: %s",
		    fd == -1 ? "no descriptor was free for it" : strerror(errno));
		c->status = 503;	/* that nobody sees; the charge has its end all the same */
		c->gone = true;
		client_end(c);
		return;
	}
	timer_set(m->loop, &c->timer, c->h.deadline_mono_ms, on_deadline, c);
	client_begin(c);
}

void
clients_cut(struct mover *m, const char *reason)
{
	struct failure f = FAILURE(503, PROBLEM_CACHE, "the service is stopping");
	struct client *c, *next;

	f.retry_after_s = 5;
	(void)snprintf(f.reason, sizeof(f.reason), "%s", reason);
	for (c = TAILQ_FIRST(&m->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		client_fail(c, &f);
	}
}

void
clients_tell_bounds(struct mover *m)
{
	const struct client *c;
	size_t most = 0;

	TAILQ_FOREACH(c, &m->clients, all) {
		if (c->out.cap > most)
			most = c->out.cap;
	}
	stat_bound(BOUND_CLIENTS, m->n_clients, mover_clients_max(m));
	stat_bound(BOUND_CLIENT_MEMORY, most, CLIENT_OUT_MAX);
}

void
clients_end(struct mover *m)
{
	struct client *c;

	while (!TAILQ_EMPTY(&m->clients)) {
		c = TAILQ_FIRST(&m->clients);
		client_end(c);
	}
}
