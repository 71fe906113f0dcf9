/* SPDX-License-Identifier: Apache-2.0
 *
 * The mover's side of the conversation with the broker and the resolvers.
 *
 * A link is one backend's resolver: NONE -> ASKED (the broker) -> UP -> NONE
 * again when it is gone.  Jobs wait in lines, a user's behind each other; a few
 * are with the resolver.  The first of those is the one that it works on, so
 * when the link breaks that one has failed; the others are asked again once.
 */
#include "base/base.h"

#include "mover/lines.h"
#include "mover/mover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/fds.h"

enum {
	JOBS_BYTES_MAX = 64 << 20,	/* jobs of all backends that are open */
	AHEAD = 4,			/* jobs with one resolver, so that it never waits for us */
	CONNECT_WAIT_MS = 3000,	/* for the broker, then it is asked again */
};

struct resolve_ticket {
	struct waiter wait;		/* first: in its user's line, until it is sent */
	TAILQ_ENTRY(resolve_ticket) link;
	uint64_t sent;			/* the how manieth on its link; 0: it waits */
	struct link *on;
	uint64_t job;
	char *user;
	resolved_fn *fn;		/* NULL: cancelled */
	void *arg;
	unsigned again;			/* on how many links it was */
	bool doomed;
	struct buf frame;		/* kept until answered */
	struct timer timer;
};

struct link {
	UT_hash_handle hh;
	struct resolvers *rs;
	enum { LINK_NONE, LINK_ASKED, LINK_UP } state;
	int fd;
	struct watch watch;
	struct buf in, out;
	bool want_out;
	bool deaf;			/* it reads no more; its last answers and its end are still to come */
	bool bye;			/* it ends in order: what is open was not begun */
	struct timer timer;		/* ASKED: the broker's deadline */
	TAILQ_HEAD(ticket_list, resolve_ticket) jobs;	/* all, in the order of their coming */
	size_t n_jobs, n_sent;
	struct lines lines;		/* those that wait */
	uint64_t sends;
	char backend[RESOLVE_BACKEND_MAX + 1];
};

struct resolvers {
	struct mover *m;
	struct watch watch;		/* the broker */
	struct link *links;		/* hash by backend */
	size_t bytes;			/* of the frames of all jobs */
	uint64_t next_job;
};

static void link_ask(struct link *l);
static void link_feed(struct link *l);

static void
ticket_free(struct resolve_ticket *t)
{
	timer_clear(t->on->rs->m->loop, &t->timer);
	lines_remove(&t->on->lines, &t->wait);
	TAILQ_REMOVE(&t->on->jobs, t, link);
	t->on->n_jobs--;
	t->on->n_sent -= t->sent != 0;
	t->on->rs->bytes -= t->frame.cap;
	buf_release(&t->frame);
	free(t->user);
	free(t);
}

static void
ticket_answer(struct resolve_ticket *t, const struct resolve_answer *a)
{
	resolved_fn *fn = t->fn;
	void *arg = t->arg;

	ticket_free(t);
	if (fn != NULL) {
		if (a->kind == RESOLVE_FAILED)
			stat_inc(COUNT_RESOLVES_FAILED);
		fn(arg, a);
	}
}

static void
ticket_fail(struct resolve_ticket *t, uint32_t status, uint32_t retry_after_s, const char *reason)
{
	struct resolve_answer a = {
		.job = t->job, .kind = RESOLVE_FAILED, .status = status, .retry_after_s = retry_after_s,
		.who = "resolver", .reason = reason,
	};

	ticket_answer(t, &a);
}

/* Every job that is open now; jobs that come meanwhile stay. */
static void
link_fail_all(struct link *l, uint32_t status, uint32_t retry_after_s, const char *reason)
{
	struct resolve_ticket *t;
	size_t n = l->n_jobs;

	while (n > 0 && !TAILQ_EMPTY(&l->jobs)) {
		t = TAILQ_FIRST(&l->jobs);
		ticket_fail(t, status, retry_after_s, reason);
		n--;
	}
}

static void
link_close(struct link *l)
{
	loop_unwatch(l->rs->m->loop, &l->watch);
	fd_close(&l->fd);
	timer_clear(l->rs->m->loop, &l->timer);
	buf_clear(&l->in);
	buf_clear(&l->out);
	l->want_out = l->deaf = l->bye = false;
	l->state = LINK_NONE;
}

/*
 * The resolver is gone: the job in work has failed, and so has one that was
 * on a link before; the rest is asked again, and so is all when it said bye.  Callbacks may ask and cancel.
 */
static void
link_broken(struct link *l)
{
	struct resolve_ticket *t;
	bool bye = l->bye;
	uint64_t first = UINT64_MAX;

	link_close(l);
	if (!bye)
		stat_inc(COUNT_RESOLVER_DEATHS);
	TAILQ_FOREACH(t, &l->jobs, link) {
		if (t->sent != 0 && t->sent < first)
			first = t->sent;
	}
	TAILQ_FOREACH(t, &l->jobs, link) {
		t->doomed = t->fn == NULL || (!bye && t->sent != 0 && (t->sent == first || t->again > 1));
		if (t->sent != 0 && !t->doomed)
			lines_add(&l->lines, &t->wait, t->user);
		t->sent = 0;
	}
	l->n_sent = 0;
	do {
		TAILQ_FOREACH(t, &l->jobs, link) {
			if (t->doomed)
				break;
		}
		if (t != NULL)
			ticket_fail(t, 502, 0, "the resolver died");
	} while (t != NULL);
	if (!TAILQ_EMPTY(&l->jobs) && l->state == LINK_NONE)
		link_ask(l);
}

static void
link_write(struct link *l)
{
	ssize_t n;
	bool full = false;

	while (l->out.len > 0 && !l->deaf && !full) {
		n = send(l->fd, l->out.data, l->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			buf_consume(&l->out, (size_t)n);
		else if (errno == EAGAIN || errno == EINTR)
			full = true;
		else
			l->deaf = true;	/* EPOLLOUT would come for ever: to epoll it is writable */
	}
	if (full != l->want_out) {
		l->want_out = full;
		(void)loop_change(l->rs->m->loop, &l->watch, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
	}
}

/* -1: the link is no good. */
static int
link_take_answers(struct link *l)
{
	struct resolve_ticket *t;
	struct resolve_answer a;
	const void *msg;
	size_t n;
	int rc;

	for (;;) {
		rc = msg_unframe(&l->in, RESOLVE_FRAME_MAX, &msg, &n);
		if (rc <= 0)
			return rc;
		if (resolve_answer_get(msg, n, &a) < 0) {
			log_warn(NULL, "EO-MOVER-MESSAGE", "dropped nonsense from=resolver backend=%s bytes=%zu", l->backend, n);
			return -1;
		}
		l->bye = l->bye || a.job == RESOLVE_JOB_BYE;
		TAILQ_FOREACH(t, &l->jobs, link) {
			if (t->job == a.job)
				break;
		}
		if (t != NULL)
			ticket_answer(t, &a);
		if (l->state != LINK_UP)	/* the callback closed us */
			return 0;
		buf_consume(&l->in, 4 + n);
	}
}

static void
link_read(struct link *l)
{
	char chunk[65536];
	ssize_t n;

	for (int i = 0; i < 16; i++) {
		n = recv(l->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || buf_add(&l->in, chunk, (size_t)n) < 0 || link_take_answers(l) < 0) {
			link_broken(l);
			return;
		}
		if (l->state != LINK_UP)
			return;
	}
}

static void
on_link(void *arg, uint32_t events UNUSED)
{
	struct link *l = arg;

	link_read(l);
	link_feed(l);	/* writes, too */
}

static void on_job_refused(void *arg);

static void
link_send_job(struct link *l, struct resolve_ticket *t)
{
	t->sent = ++l->sends;
	l->n_sent++;
	if (l->out.len + t->frame.len > l->out.max) {	/* of jobs that were given up, and a resolver that reads nothing */
		timer_set(l->rs->m->loop, &t->timer, clock_mono_ms(), on_job_refused, t);
		return;
	}
	(void)buf_add(&l->out, t->frame.data, t->frame.len);
	buf_must(&l->out);
	t->again++;
}

/* It was closed, and its event is still to come: a job that is sent now would pass for one that it died of. */
static bool
link_is_over(const struct link *l)
{
	char c;

	return recv(l->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* As many as may be with the resolver, a user's after another's. */
static void
link_feed(struct link *l)
{
	struct waiter *w;

	while (l->state == LINK_UP && !l->deaf && l->n_sent < AHEAD && !link_is_over(l)) {
		w = lines_take(&l->lines);
		if (w == NULL)
			break;
		link_send_job(l, (struct resolve_ticket *)w);
	}
	if (l->state == LINK_UP)
		link_write(l);
}

/* What was asked may have gone with a broker that died; jobs end at their own deadlines. */
static void
on_connect_late(void *arg)
{
	struct link *l = arg;

	l->state = LINK_NONE;
	if (!TAILQ_EMPTY(&l->jobs))
		link_ask(l);
}

static void
on_no_broker(void *arg)
{
	struct link *l = arg;

	l->state = LINK_NONE;
	link_fail_all(l, 504, 5, "no resolver in time");
}

static void
link_ask(struct link *l)
{
	struct resolve_connect c = { .backend = l->backend };
	struct buf msg = BUF_INIT(1024);

	resolve_connect_put(&msg, &c);
	l->state = LINK_ASKED;
	timer_set(l->rs->m->loop, &l->timer, clock_mono_ms() + CONNECT_WAIT_MS, on_connect_late, l);
	if (fd_send(FD_BROKER, msg.data, msg.len, NULL, 0) == -1) {
		log_warn(NULL, "EO-MOVER-BROKER", "cannot reach the broker backend=%s error='%s'", l->backend, strerror(errno));
		timer_set(l->rs->m->loop, &l->timer, clock_mono_ms(), on_no_broker, l);
	}
	buf_release(&msg);
}

static void
link_up(struct link *l, int fd)
{
	timer_clear(l->rs->m->loop, &l->timer);
	l->fd = fd;
	if (fd_set_nonblock(fd, true) == -1 ||
	    loop_watch(l->rs->m->loop, &l->watch, fd, EPOLLIN, on_link, l) == -1) {
		fd_close(&l->fd);
		l->state = LINK_NONE;
		link_fail_all(l, 502, 0, "cannot watch the resolver");
		return;
	}
	l->state = LINK_UP;
	link_feed(l);
}

static void
on_connected(struct resolvers *rs, const void *data, size_t n, int *fd)
{
	struct resolve_connected c;
	struct link *l;

	if (resolve_connected_get(data, n, &c) < 0 || c.backend == NULL) {
		log_warn(NULL, "EO-MOVER-MESSAGE", "dropped nonsense from=broker bytes=%zu", n);
		return;
	}
	HASH_FIND_STR(rs->links, c.backend, l);
	if (l == NULL || l->state != LINK_ASKED)
		return;
	if (c.ok && *fd == -1) {
		c.status = 503;
		c.retry_after_s = 1;
		c.reason = "no descriptor was free for the resolver";
	} else if (c.ok) {
		link_up(l, *fd);
		*fd = -1;
		return;
	}
	timer_clear(rs->m->loop, &l->timer);
	l->state = LINK_NONE;
	link_fail_all(l, c.status, c.retry_after_s, c.reason == NULL ? "refused by the broker" : c.reason);
}

static void
on_broker(void *arg, uint32_t events UNUSED)
{
	struct resolvers *rs = arg;
	char data[8192];
	size_t nfds;
	ssize_t n;
	int fd;

	for (int i = 0; i < 64; i++) {
		fd = -1;
		nfds = 0;
		n = fd_recv(FD_BROKER, data, sizeof(data), &fd, 1, &nfds);
		if (n <= 0)
			return;
		on_connected(rs, data, (size_t)n, &fd);
		fd_close(&fd);
	}
}

struct resolvers *
resolvers_new(struct mover *m)
{
	struct resolvers *rs = mem_alloc(sizeof(*rs));

	rs->m = m;
	rs->next_job = (uint64_t)clock_wall_ms() << 20;
	if (fd_set_nonblock(FD_BROKER, true) == -1 ||
	    loop_watch(m->loop, &rs->watch, FD_BROKER, EPOLLIN, on_broker, rs) == -1)
		die("cannot watch the broker's socket: %s", strerror(errno));
	return rs;
}

void
resolvers_free(struct resolvers *rs)
{
	struct resolve_ticket *t;
	struct link *l, *next;

	if (rs == NULL)
		return;
	HASH_ITER(hh, rs->links, l, next) {
		link_close(l);
		while (!TAILQ_EMPTY(&l->jobs)) {
			t = TAILQ_FIRST(&l->jobs);
			ticket_free(t);
		}
		HASH_DEL(rs->links, l);
		buf_release(&l->in);
		buf_release(&l->out);
		free(l);
	}
	loop_unwatch(rs->m->loop, &rs->watch);
	free(rs);
}

/* Names that rules let through but no provider has would stay for ever. */
void
resolvers_expire(struct mover *m)
{
	struct link *l, *next;
	size_t most = 0;

	HASH_ITER(hh, m->resolvers->links, l, next) {
		if (l->n_jobs > most)
			most = l->n_jobs;
		if (l->state != LINK_NONE || !TAILQ_EMPTY(&l->jobs))
			continue;
		HASH_DEL(m->resolvers->links, l);
		buf_release(&l->in);
		buf_release(&l->out);
		free(l);
	}
	stat_bound(BOUND_RESOLVE_QUEUE, most, mover_config(m)->eodag_queue);
	stat_bound(BOUND_RESOLVE_MEMORY, m->resolvers->bytes, JOBS_BYTES_MAX);
}

static void
on_job_late(void *arg)
{
	ticket_fail(arg, 504, 0, "no answer from the resolver in time");
}

static void
on_job_refused(void *arg)
{
	ticket_fail(arg, 503, 1, "too many resolve jobs");
}

static struct link *
link_get(struct resolvers *rs, const char *backend)
{
	struct link *l;

	/* a name that is too long for the conversation: its jobs are refused as they are written */
	HASH_FIND(hh, rs->links, backend, strnlen(backend, RESOLVE_BACKEND_MAX), l);
	if (l != NULL)
		return l;
	l = mem_alloc(sizeof(*l));
	l->rs = rs;
	l->fd = -1;
	(void)snprintf(l->backend, sizeof(l->backend), "%s", backend);
	buf_init(&l->in, RESOLVE_FRAME_MAX + 4 + 65536);
	buf_init(&l->out, JOBS_BYTES_MAX);
	TAILQ_INIT(&l->jobs);
	lines_init(&l->lines);
	HASH_ADD_STR(rs->links, backend, l);
	return l;
}

/* With the one that has just come. */
static bool
is_too_much(const struct link *l)
{
	const uint32_t max = mover_config(l->rs->m)->eodag_queue;

	if (l->n_jobs > max)
		role_bound(BOUND_RESOLVE_QUEUE, NULL, max, "answered 503", l->backend);
	else if (l->rs->bytes > JOBS_BYTES_MAX)
		role_bound(BOUND_RESOLVE_MEMORY, NULL, JOBS_BYTES_MAX, "answered 503", l->backend);
	else
		return false;
	return true;
}

struct resolve_ticket *
resolvers_ask(struct mover *m, const struct resolve_job *job, const char *user, resolved_fn *fn, void *arg)
{
	struct resolvers *rs = m->resolvers;
	struct resolve_job j = *job;
	struct resolve_ticket *t = mem_alloc(sizeof(*t));
	struct link *l = link_get(rs, job->backend);
	struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);

	j.job = t->job = ++rs->next_job;
	t->on = l;
	t->user = mem_strdup(user);
	t->fn = fn;
	t->arg = arg;
	resolve_job_put(&msg, &j);
	buf_init(&t->frame, RESOLVE_FRAME_MAX + 4);
	msg_frame(&t->frame, &msg);
	stat_inc(COUNT_RESOLVES);
	TAILQ_INSERT_TAIL(&l->jobs, t, link);
	l->n_jobs++;
	rs->bytes += t->frame.cap;
	if (is_too_much(l) || !buf_ok(&msg) || !buf_ok(&t->frame)) {
		timer_set(m->loop, &t->timer, clock_mono_ms(), on_job_refused, t);
	} else {
		timer_set(m->loop, &t->timer, clock_mono_ms() + mover_config(m)->answer_deadline_ms, on_job_late, t);
		lines_add(&l->lines, &t->wait, user);
		if (l->state == LINK_NONE)
			link_ask(l);
		else
			link_feed(l);
	}
	buf_release(&msg);
	return t;
}

void
resolvers_cancel(struct resolve_ticket *t)
{
	if (t != NULL)
		t->fn = NULL;	/* the job is in work or queued; its answer is dropped */
}
