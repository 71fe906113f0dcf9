/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker: one request after the other, each decided in well under a
 * millisecond.  What can be slow is handed over with the connection, so
 * nothing here waits for anybody but the counters (bounded), the mover's queue
 * (50 ms in a turn) and, once, the accountant (1 s).
 *
 * READY -> DRAINING (the master said so: nothing new is accepted, what was
 * accepted is answered) -> end.  When the master is gone, the same at once.
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "cache/shared.h"
#include "confine.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "ipc/handover.h"
#include "role.h"
#include "worker/accept.h"
#include "worker/answer.h"
#include "worker/decide.h"
#include "worker/endpoints.h"
#include "worker/settle.h"

enum {
	TICK_MS = 1000,
	REQUEST_DEADLINE_MS = 10000,	/* past it the master kills this worker */
	HANDOVER_WAIT_MS = 50,
	DRAIN_FLUSH_MS = 5000,
	PATH_LOG_MAX = 512,
	DECISION_LINE_MAX = 16384,		/* of the log, before it is cut; all escaped */
	OUT_KEPT_MAX = 65536,
	FIRST_WAIT_MS = 1000,		/* for an accountant that is away, once */
};

/* What became of a request, for log, counters and books. */
struct outcome {
	int status;
	bool handed_over;
	const char *cache;		/* "hit", "miss", "-" */
};

/* A request on its way through; here and not on the stack because it is large. */
struct job {
	struct call call;
	struct request request;
	struct route route;
	struct decision decision;
	struct outcome outcome;
	struct buf out;			/* the answer; its memory stays */
};

struct worker {
	struct role_env *env;
	struct acceptor *acceptor;
	struct decide_env decide;
	struct shared shared;		/* what hosts know of objects in S3 */
	struct settle_queue settle;
	unsigned movers;
	bool draining, gone;
	struct job job[CALLS_MAX];
	struct job *at;			/* the one at hand */
	int64_t handover_by_ms;		/* mono: full queues are waited for until then, by all of a turn */
	struct buf line;		/* for the log; its memory stays */
};

/* -- handing over -------------------------------------------------------------- */

/* 0: the connection is the mover's.  -1: d is a problem now. */
static int
hand_over(struct worker *w, struct call *call, const struct request *r)
{
	struct decision *d = &w->at->decision;
	const struct route *route = &w->at->route;
	bool hit = d->kind == DECISION_STREAM;
	struct handover h = {
		.fcgi_id = call->fcgi_id,
		.head = route->method == METHOD_HEAD,
		.backend = route->backend,
		.collection = route->collection,
		.item = route->item,
		.asset = route->asset,
		.subpath = route_subpath(route),
		.range = route->method == METHOD_HEAD ? NULL : r->range,
		.cond = r->cond,
		.origin = r->origin,
		.rule = d->rule->name,
		.delivery = d->delivery,
		.delivery_why = d->delivery_why,
		.rate = d->rule->rate,
		.accepted_mono_us = r->accepted_mono_us,
		.deadline_mono_ms = r->accepted_mono_us / 1000 + w->env->config->answer_deadline_ms,
		.hit_key = hit ? buf_str(&d->key) : NULL,
		.charge = d->charge,
	};
	struct buf limit = BUF_INIT(512), policy = BUF_INIT(512);
	int64_t left_ms = w->handover_by_ms - clock_mono_ms();
	unsigned owner;
	int rc;

	if (d->has_quota)
		quota_ratelimit(&d->quota, &limit, &policy);
	h.ratelimit = limit.len == 0 ? NULL : buf_str(&limit);
	h.ratelimit_policy = policy.len == 0 ? NULL : buf_str(&policy);
	memcpy(h.id, r->id, sizeof(h.id));
	memcpy(h.trace, r->trace, sizeof(h.trace));
	owner = handover_owner(&h, w->movers);
	rc = handover_send(FD_FIRST + (int)owner, &h, call->fd, hit ? d->object_fd : -1,
	    left_ms > 0 ? (int)left_ms : 0);
	buf_release(&limit);
	buf_release(&policy);
	if (rc == 0) {
		stat_inc(COUNT_HANDOVERS_SENT);
		return 0;
	}
	stat_inc(COUNT_HANDOVERS_REFUSED);
	role_bound(BOUND_HANDOVERS, r->id, w->env->scoreboard->slot[SLOT_MASTER].bound[BOUND_HANDOVERS].max, "answered 503",
	    NULL);
	d->verdict = "overload";
	decision_problem(d, r, 503, PROBLEM_CACHE, "overload", "too many requests wait already");
	d->problem.retry_after_s = 1;
	return -1;
}

/* -- after the answer ------------------------------------------------------------ */

static void
count(const struct decision *d, const struct outcome *o)
{
	stat_inc(COUNT_REQUESTS);
	if (strcmp(o->cache, "hit") == 0)
		stat_inc(COUNT_HITS);
	else if (o->handed_over)
		stat_inc(COUNT_MISSES);
	if (d->quota.verdict == QUOTA_AWAY_ALLOW || d->quota.verdict == QUOTA_AWAY_REFUSE)
		role_quota_away("memcached", d->quota.verdict == QUOTA_AWAY_REFUSE);
	if (d->kind != DECISION_PROBLEM)
		return;
	if (o->status == 400 || o->status == 405 || o->status == 413 || o->status == 414)
		stat_inc(COUNT_BAD_REQUESTS);
	if (o->status >= 500)
		stat_inc(COUNT_SERVER_ERRORS);
	else
		stat_inc(COUNT_CLIENT_ERRORS);
}

/* The end of a charge that no mover settles. */
static void
settle(struct worker *w, const struct outcome *o)
{
	const struct decision *d = &w->at->decision;
	const struct route *route = &w->at->route;
	struct account_settle s = {
		.charge = d->charge,
		.backend = route->backend,
		.collection = route->collection,
		.item = route->item,
		.asset = route->asset,
		.subpath = route_subpath(route),
		.cache = o->cache,
		.rule = d->rule->name,
		.status = (uint32_t)o->status,
		.estimated = d->kind == DECISION_FRONT || d->kind == DECISION_REDIRECT,
	};

	s.actual[QUOTA_REQUESTS] = 1;
	/* what the front was told to send, until its log says more; of a redirect what the client asked for */
	if (s.estimated)
		s.actual[QUOTA_BYTES] = decision_bytes(d);
	settle_add(&w->settle, &s);
}

static void
log_decision(struct worker *w, const struct request *r, const struct outcome *o)
{
	const struct decision *d = &w->at->decision;
	struct buf *b = &w->line;

	if (!log_enabled(LOG_INFO))
		return;
	buf_clear(b);
	(void)buf_join(b, "event=decision trace=", r->trace, " realm=", d->who.realm[0] == '\0' ? "-" : d->who.realm,
	    " user=", NULL);
	text_esc(b, d->who.name, strlen(d->who.name), IDENTITY_NAME_MAX);
	(void)buf_join(b, " rule=", d->rule == NULL ? "-" : d->rule->name, " verdict=", d->verdict, " status=", NULL);
	(void)buf_addu(b, (uint64_t)o->status);
	(void)buf_join(b, " cache=", o->cache, o->handed_over ? " handed_over=yes" : "", " charge=", NULL);
	(void)buf_addu(b, d->charge.reserved[QUOTA_REQUESTS]);
	(void)buf_addc(b, '/');
	(void)buf_addu(b, d->charge.reserved[QUOTA_MISSES]);
	(void)buf_addc(b, '/');
	(void)buf_addu(b, d->charge.reserved[QUOTA_BYTES]);
	(void)buf_adds(b, " us=");
	(void)buf_addu(b, (uint64_t)(clock_mono_us() - r->accepted_mono_us));
	(void)buf_adds(b, " method=");
	text_esc(b, r->method, strlen(r->method), 16);
	(void)buf_adds(b, " path=");
	text_esc(b, r->uri, strcspn(r->uri, "?"), PATH_LOG_MAX);	/* people put secrets into queries */
	log_text(r->id, buf_str(b), b->len);
}

/* -- one request ------------------------------------------------------------------- */

/* Faults of the framing come before everything else. */
static bool
frame_is_good(struct worker *w, const struct call *call, const struct request *r)
{
	struct decision *d = &w->at->decision;

	if (!call->faulty && !call->body_too_large)
		return true;
	d->verdict = "bad";
	if (call->faulty)
		decision_problem(d, r, 400, PROBLEM_CLIENT, "bad-request", "a parameter cannot be read");
	else
		decision_problem(d, r, 413, PROBLEM_CLIENT, "body", "requests have no body here");
	return false;
}

/* Make the answer of what was decided, or hand it over. */
static void
carry_out(struct worker *w, struct call *call, const struct request *r, struct outcome *o)
{
	struct decision *d = &w->at->decision;
	struct buf *out = &w->at->out;
	bool head = strcmp(r->method, "HEAD") == 0;

	buf_clear(out);
	o->cache = d->has_object ? "hit" : d->kind == DECISION_MISS ? "miss" : "-";
	if (d->kind == DECISION_MISS || d->kind == DECISION_STREAM) {
		if (hand_over(w, call, r) == 0) {
			o->handed_over = true;
			return;
		}
		o->cache = "-";
	}
	if (d->kind == DECISION_OWN)
		o->status = endpoint_answer(out, w->at->route.kind, r, w->env->scoreboard, w->decide.store, head);
	else
		o->status = answer_decision(out, w->env->config, d, r, head);
	if (!buf_fits(out))
		log_error(r->id, "EO-WORKER-ANSWER", "an answer does not fit into %d bytes", REPLY_MAX);
}

/* Up to its quota, which is asked for all together. */
static void
job_begin(struct worker *w, struct job *j)
{
	struct request *r = &j->request;

	w->at = j;
	j->outcome = (struct outcome){ .cache = "-" };
	request_read(r, j->call.envp, w->env->config->site_id);
	r->accepted_mono_us = j->call.accepted_mono_us;
	stat_deadline(clock_mono_ms() + REQUEST_DEADLINE_MS, r->id);
	decision_init(&j->decision);
	route_request(&j->route, r->method, r->uri, w->env->config->base_path);
	if (frame_is_good(w, &j->call, r))
		decide_begin(&j->decision, &w->decide, r, &j->route, j->call.envp);
}

/* What it came to: for the books and the log, before the client hears of it. */
static void
job_book(struct worker *w, struct job *j)
{
	w->at = j;
	stat_deadline(clock_mono_ms() + REQUEST_DEADLINE_MS, j->request.id);
	carry_out(w, &j->call, &j->request, &j->outcome);
	count(&j->decision, &j->outcome);
	if (j->decision.charged && !j->outcome.handed_over)
		settle(w, &j->outcome);
	log_decision(w, &j->request, &j->outcome);
}

static void
job_end(struct job *j)
{
	struct buf *out = &j->out;

	if (j->outcome.handed_over) {
		call_detach(&j->call);
	} else {
		/* a front that is gone has nobody to tell */
		if (buf_ok(out))
			(void)call_write(&j->call, out->data, out->len);
		call_finish(&j->call);
	}
	if (out->cap > OUT_KEPT_MAX) {
		buf_release(out);
		buf_init(out, REPLY_MAX);
	}
	decision_release(&j->decision);
	route_release(&j->route);
	stat_job_done();
}

/*
 * The first call is there; what else is there at once goes with it, so that
 * under load several share one look into what is remembered, one round trip to the counters, one message to
 * the accountant and one write to the log.  Both are out before the first
 * answer is: who kills this worker loses no charge that a client has used.
 */
static void
serve(struct worker *w)
{
	struct decision *decision[CALLS_MAX];
	const struct request *request[CALLS_MAX];
	const struct route *route[CALLS_MAX];
	size_t n = 0;
	bool sent;

	stat_state(SLOT_BUSY);
	do {
		decision[n] = &w->job[n].decision;
		request[n] = &w->job[n].request;
		route[n] = &w->job[n].route;
		job_begin(w, &w->job[n]);
		n++;
	} while (n < CALLS_MAX && acceptor_more(w->acceptor, &w->job[n].call));
	decide_locate(decision, request, route, n, &w->decide);
	decide_reserve(decision, request, n, &w->decide);
	w->handover_by_ms = clock_mono_ms() + HANDOVER_WAIT_MS;
	log_hold(true);
	for (size_t i = 0; i < n; i++)
		job_book(w, &w->job[i]);
	sent = settle_send(&w->settle);
	log_hold(false);
	for (size_t i = 0; i < n; i++)
		job_end(&w->job[i]);
	if (!sent && !settle_flush(&w->settle, FIRST_WAIT_MS))
		log_warn(NULL, "EO-WORKER-SETTLE", "the accountant takes no settlements, they are kept");
	stat_state(w->draining ? SLOT_DRAINING : SLOT_READY);
	stat_deadline(0, NULL);
}

/* -- the loop ------------------------------------------------------------------------ */

static void
control(struct worker *w)
{
	int fd = -1;

	switch (control_read(FD_CONTROL, &fd)) {
	case CONTROL_DRAIN:
		w->draining = true;
		break;
	case CONTROL_GONE:
		w->draining = w->gone = true;
		break;
	case CONTROL_RELOAD:
		/* a reload replaces the workers; this one goes on as it is */
		fd_close(&fd);
		break;
	case CONTROL_NONE:
	case CONTROL_READY:
	case CONTROL_FINISH:
	default:
		break;
	}
	if (w->draining) {
		acceptor_stop(w->acceptor);
		stat_state(SLOT_DRAINING);
	}
}

/* Movers hear the same, and tell the log. */
static void
on_store(void *arg UNUSED, enum store_event x UNUSED, const char *text UNUSED)
{
}

static void
open_all(struct worker *w)
{
	const struct config *c = w->env->config;
	struct err e = ERR_NONE;

	w->decide.config = c;
	w->decide.store = store_open(c, false, &e);
	if (w->decide.store == NULL)
		die("cannot open the cache: %s", e.text);
	if (w->decide.store->ops->attach != NULL)
		w->decide.store->ops->attach(w->decide.store, NULL, NULL, on_store, NULL);
	if (shared_open(&w->shared, c, &e) != 0)
		die("cannot use memcached: %s", e.text);
	w->decide.memory = w->shared.memory;
	w->decide.board = w->env->scoreboard;
	if (c->memcached.n > 0 && c->n_quotas > 0) {
		w->decide.counters = counters_memcached_new(&c->memcached, c->memcached_timeout_ms, &e);
		if (w->decide.counters == NULL)
			die("cannot use memcached: %s", e.text);
	}
	w->movers = w->env->scoreboard->movers > 0 ? w->env->scoreboard->movers : c->movers;
	if (w->movers == 0 || w->movers > MOVERS_MAX)
		die("there are %u movers", w->movers);
	settle_init(&w->settle, FD_ACCOUNT);
	w->acceptor = acceptor_new(c, w->env->scoreboard, FD_LISTEN, FD_CONTROL, &e);
	if (w->acceptor == NULL)
		die("%s", e.text);
}

static void
close_all(struct worker *w)
{
	size_t lost;

	acceptor_free(w->acceptor);
	(void)settle_flush(&w->settle, w->gone ? TICK_MS : DRAIN_FLUSH_MS);
	lost = settle_release(&w->settle);
	if (lost > 0)
		log_error(NULL, "EO-WORKER-SETTLE", "%zu settlements could not be sent before the end", lost);
	if (w->decide.counters != NULL)
		w->decide.counters->free(w->decide.counters);
	w->decide.store->ops->free(w->decide.store);
	shared_close(&w->shared);
}

int
worker_run(struct role_env *env)
{
	struct worker *w = mem_alloc(sizeof(*w));

	w->env = env;
	for (size_t i = 0; i < CALLS_MAX; i++)
		buf_init(&w->job[i].out, REPLY_MAX);
	buf_init(&w->line, DECISION_LINE_MAX);
	open_all(w);
	confine_self(ROLE_WORKER, env->config, NULL, 0);
	stat_state(SLOT_READY);
	if (control_ready(FD_CONTROL, env->config->generation) != 0)
		w->draining = true;	/* the master is gone already */
	while (!w->draining || !acceptor_idle(w->acceptor)) {
		stat_heartbeat();
		/* with too much unsettled, nothing new comes in until the accountant is back */
		if (settle_is_full(&w->settle) && !settle_flush(&w->settle, TICK_MS) && !w->draining) {
			control(w);
			continue;
		}
		switch (acceptor_wait(w->acceptor, TICK_MS, &w->job[0].call)) {
		case ACCEPT_CALL:
			serve(w);
			break;
		case ACCEPT_CONTROL:
			control(w);
			break;
		case ACCEPT_NOTHING:
		default:
			(void)settle_flush(&w->settle, 0);
			w->decide.store->ops->tick(w->decide.store);
			break;
		}
	}
	close_all(w);
	for (size_t i = 0; i < CALLS_MAX; i++)
		buf_release(&w->job[i].out);
	buf_release(&w->line);
	free(w);
	return 0;
}
