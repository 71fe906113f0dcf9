/* SPDX-License-Identifier: Apache-2.0
 *
 * The accountant: the one process that moves counters after the fact and
 * writes the ledger.  Movers ask it to reserve (they must not block, it may);
 * workers and movers tell it what a request came to.
 *
 * Counters that memcached has lost are made again from the ledger (rebuild.c).
 *
 * It may wait: for the counters (bounded by memcached.timeout), for the disk.
 * While the ledger cannot be written, charges wait in memory; when that is
 * full, in the sockets; then with their senders.  None is dropped.
 *
 * A settlement stays in its socket until its line is written, and the
 * scoreboard says how far it is: counters, then ledger.  So the accountant
 * that takes over from one that was killed goes on where that one was, and a
 * charge is neither lost nor there twice.  Only what was on its way to the
 * counters in that instant is unknown: they are left as they are.
 *
 * It ends last: on DRAIN when its sockets are empty, and when the master is
 * gone once its senders are gone too.
 */
#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accountant/ledger.h"
#include "accountant/rebuild.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "confine.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "role.h"

enum {
	TICK_MS = 1000,
	TURN_MAX = 64,			/* messages of one socket per turn */
	WORKERS_TURNS = 8,		/* of that, to be done with what lies in the workers' */
	REST_MS = 2,
	ANSWERS_MAX = 256,		/* waiting for a mover to read */
	ORPHAN_MS = 5000,		/* without a master: senders get so long to end */
	LEDGER_GIVE_UP_MS = 10000,	/* when draining with a ledger that cannot be written */
	WHOLE_WAIT_MS = 2000,		/* at the start, for counters that have to be made from it */
	WORKERS = 0,			/* index of the workers' socket; mover i is 1 + i */
	CONTROL = -1,
};

/*
 * What is in hand, on the scoreboard: a hash of the message, and in its last two bits how far
 * it is.  NONE: nobody has begun with it.
 */
enum hand { HAND_NONE, HAND_COUNTING, HAND_COUNTED, HAND_UNCOUNTED, HAND_MASK = 3 };

/* RUN -> DRAIN (the master said so) -> end; RUN or DRAIN -> ORPHAN (the master is gone) -> end. */
enum life { LIFE_RUN, LIFE_DRAIN, LIFE_ORPHAN };

struct peer {
	int fd;			/* -1: ended */
	uint32_t events;	/* that epoll watches for */
	struct account_reserved answer[ANSWERS_MAX];	/* a ring */
	size_t first, n;
};

struct accountant {
	struct role_env *env;
	struct counters *counters;	/* NULL: no memcached configured */
	struct strs servers;		/* that counters was made for */
	uint32_t timeout_ms;
	struct rebuild *rebuild;
	struct ledger *ledger;
	bool ledger_bad;
	int64_t retry_ms, sync_ms;	/* mono: not before */
	struct peer peer[1 + MOVERS_MAX];
	size_t n_peers;
	int epoll;
	bool resting;			/* under load workers do not wake us: their socket is read each REST_MS */
	enum life life;
	int64_t ending_ms;		/* mono: since life is not RUN */
	struct account_reserve ask[QUOTA_WANTS_MAX];	/* of one peer, read and not yet answered */
	size_t n_asks;
	/* of the message at hand; here because they are large */
	struct account_settle settle;
	struct buf line;
};

/* -- what is made from the configuration ------------------------------------- */

static void
counters_close(struct accountant *a)
{
	if (a->counters != NULL)
		a->counters->free(a->counters);
	a->counters = NULL;
	strs_release(&a->servers);
}

static void
counters_open(struct accountant *a)
{
	const struct config *c = a->env->config;
	struct err e = ERR_NONE;

	if (c->memcached.n > 0) {
		a->counters = counters_memcached_new(&c->memcached, c->memcached_timeout_ms, &e);
		if (a->counters == NULL)
			log_error(NULL, "EO-COUNTERS", "no counters: %s", e.text);
	}
	a->servers = strs_copy(&c->memcached);
	a->timeout_ms = c->memcached_timeout_ms;
	rebuild_config(a->rebuild, c, true);
	(void)rebuild_turn(a->rebuild, ledger_queued(a->ledger) == 0);	/* before anything is settled in them */
}

static void
reload(struct accountant *a, int fd)
{
	const struct config *c;

	if (role_reload(a->env, fd) == -1)
		return;
	c = a->env->config;
	if (strs_same(&a->servers, &c->memcached) && a->timeout_ms == c->memcached_timeout_ms) {
		rebuild_config(a->rebuild, c, false);
	} else {
		counters_close(a);
		counters_open(a);
	}
}

/* -- the ledger --------------------------------------------------------------- */

static void
ledger_try(struct accountant *a)
{
	struct err e = ERR_NONE;
	int64_t now_ms = clock_mono_ms();

	if (ledger_queued(a->ledger) == 0 || (a->ledger_bad && now_ms < a->retry_ms))
		return;
	if (ledger_flush(a->ledger, &e) == 0) {
		if (a->ledger_bad)
			log_warn(NULL, "EO-LEDGER", "the ledger is written again");
		a->ledger_bad = false;
		return;
	}
	stat_inc(COUNT_LEDGER_ERRORS);
	a->retry_ms = now_ms + TICK_MS;
	if (!a->ledger_bad)
		log_error(NULL, "EO-LEDGER", "charges wait: %s", e.text);
	a->ledger_bad = true;
}

static void
ledger_tick(struct accountant *a)
{
	struct err e = ERR_NONE;
	int64_t now_ms = clock_mono_ms();

	if (now_ms < a->sync_ms)
		return;
	a->sync_ms = now_ms + TICK_MS;
	if (ledger_sync(a->ledger, &e) == -1)
		log_error(NULL, "EO-LEDGER", "%s", e.text);
}

/* -- messages ----------------------------------------------------------------- */

static void
drop(size_t from)
{
	log_warn(NULL, "EO-ACCOUNT", "dropped a message that is none, from %s", from == WORKERS ? "the workers" : "a mover");
}

static void
answers_send(struct peer *p)
{
	while (p->n > 0) {
		struct buf msg = BUF_INIT(ACCOUNT_MAX);
		int r;

		account_reserved_put(&msg, &p->answer[p->first]);
		buf_must(&msg);
		r = fd_send(p->fd, msg.data, msg.len, NULL, 0);
		buf_release(&msg);
		if (r == -1 && errno == EAGAIN)
			return;
		/* Sent, or a mover that is gone: the one that replaces it did not ask. */
		p->first = (p->first + 1) % ANSWERS_MAX;
		p->n--;
	}
}

/* The questions that were read, in one round trip: under load that is what they cost. */
static void
asks_answer(struct accountant *a, struct peer *p)
{
	struct quota_want want[QUOTA_WANTS_MAX];

	for (size_t i = 0; i < a->n_asks; i++) {
		struct account_reserved *answer = &p->answer[(p->first + p->n + i) % ANSWERS_MAX];

		answer->seq = a->ask[i].seq;
		want[i] = (struct quota_want){ &a->ask[i].charge, a->ask[i].add, &answer->answer };
	}
	quota_reserve_all(a->counters, a->env->config, want, a->n_asks);
	for (size_t i = 0; i < a->n_asks; i++) {
		enum quota_verdict v = want[i].answer->verdict;

		if (v == QUOTA_AWAY_ALLOW || v == QUOTA_AWAY_REFUSE)
			role_quota_away("memcached", v == QUOTA_AWAY_REFUSE);
	}
	p->n += a->n_asks;
	a->n_asks = 0;
	answers_send(p);
}

static void
take_reserve(struct accountant *a, struct peer *p, const void *data, size_t n)
{
	if (p == &a->peer[WORKERS] || account_reserve_get(data, n, &a->ask[a->n_asks]) == -1) {
		drop((size_t)(p - a->peer));
		return;
	}
	if (p->n + a->n_asks == ANSWERS_MAX) {	/* only at the end: else nothing more is read of it */
		drop((size_t)(p - a->peer));
		return;
	}
	if (++a->n_asks == QUOTA_WANTS_MAX)
		asks_answer(a, p);
}

/* In the counters: true, or it is for rebuild.c to do, or nobody (they are away). */
static bool
settle(struct accountant *a, struct account_settle *s)
{
	uint64_t reserved[QUOTA_KINDS];
	bool counted;

	if (!rebuild_is_whole(a->rebuild))
		return false;
	memcpy(reserved, s->charge.reserved, sizeof(reserved));
	if (s->charge.at_ms < rebuild_since_ms(a->rebuild))
		memset(s->charge.reserved, 0, sizeof(s->charge.reserved));
	counted = quota_settle(a->counters, a->env->config, &s->charge, s->actual) == 0;
	memcpy(s->charge.reserved, reserved, sizeof(reserved));
	return counted;
}

static uint64_t
mark_of(const void *data, size_t n)
{
	return text_hash(TEXT_HASH, data, n) & ~(uint64_t)HAND_MASK;
}

/* before: how far the accountant before this one was with it. */
static void
take_settle(struct accountant *a, const struct peer *p, const void *data, size_t n, enum hand before)
{
	struct account_settle *s = &a->settle;
	struct buf *line = &a->line;
	bool counted = before == HAND_COUNTED;
	uint64_t mark = mark_of(data, n);

	if (account_settle_get(data, n, s) == -1) {
		drop((size_t)(p - a->peer));
		return;
	}
	if (before == HAND_NONE) {
		stat_hand(mark | HAND_COUNTING);
		counted = settle(a, s);
	}
	stat_hand(mark | (counted ? HAND_COUNTED : HAND_UNCOUNTED));
	buf_clear(line);
	ledger_line(line, s, counted, clock_wall_ms());
	if (!buf_ok(line)) {	/* only without memory: the bound is larger than any message */
		log_error(s->charge.id, "EO-LEDGER", "no memory for a ledger line");
		return;
	}
	if (before == HAND_NONE || !ledger_has(a->ledger, line->data, line->len))
		ledger_add(a->ledger, line->data, line->len);
	ledger_try(a);
	stat_inc(COUNT_SETTLED);
	stat_job_done();
}

/*
 * The next message, which stays in the socket.  More than ACCOUNT_MAX: one that is too long.  0:
 * an empty one, or the end.  -1 with errno.
 */
static ssize_t
peer_look(const struct peer *p, void *data)
{
	ssize_t n;

	do {
		n = recv(p->fd, data, ACCOUNT_MAX, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	} while (n == -1 && errno == EINTR);
	return n;
}

/* That one is done. */
static void
peer_next(const struct peer *p)
{
	(void)recv(p->fd, NULL, 0, MSG_DONTWAIT);	/* it is there; the rest of a message goes with its beginning */
}

static bool
peer_hung_up(const struct peer *p)
{
	struct pollfd look = { .fd = p->fd };

	return poll(&look, 1, 0) == 1 && (look.revents & POLLHUP) != 0;
}

static void workers_look(struct accountant *a);

/* And out of the socket. */
static void
take(struct accountant *a, struct peer *p, const void *data, size_t n)
{
	switch (n > ACCOUNT_MAX ? ACCOUNT_BAD : account_type(data, n)) {
	case ACCOUNT_RESERVE:
		/* first: asked once more it would be reserved once more; a mover that gets no answer goes on */
		peer_next(p);
		take_reserve(a, p, data, n);
		break;
	case ACCOUNT_SETTLE:
		/* perhaps of a hit that had vanished: then a worker's line of it comes before the mover's */
		if (p != &a->peer[WORKERS])
			workers_look(a);
		take_settle(a, p, data, n, HAND_NONE);
		peer_next(p);
		stat_hand(0);
		break;
	default:
		drop((size_t)(p - a->peer));
		peer_next(p);
		break;
	}
}

/* The one before this one died with a message in hand: it is the first of its socket. */
static void
finish_what_was_in_hand(struct accountant *a)
{
	static char data[ACCOUNT_MAX];
	uint64_t hand = stat_in_hand();
	ssize_t n;

	for (size_t i = 0; i < a->n_peers && (hand & HAND_MASK) != HAND_NONE; i++) {
		n = peer_look(&a->peer[i], data);
		if (n <= 0 || n > ACCOUNT_MAX || account_type(data, (size_t)n) != ACCOUNT_SETTLE ||
		    mark_of(data, (size_t)n) != (hand & ~(uint64_t)HAND_MASK))
			continue;
		take_settle(a, &a->peer[i], data, (size_t)n, (enum hand)(hand & HAND_MASK));
		peer_next(&a->peer[i]);
		break;
	}
	stat_hand(0);
}

static void
peer_end(struct accountant *a, struct peer *p)
{
	(void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, p->fd, NULL);	/* closing would do */
	fd_close(&p->fd);
	p->n = 0;
}

/*
 * May its messages be read?  Not while as many answers wait for it as there is
 * room for: its questions wait with it.  At the end nobody waits for a mover.
 */
static bool
may_read(const struct accountant *a, const struct peer *p)
{
	return !ledger_full(a->ledger) && (p->n + a->n_asks < ANSWERS_MAX || a->life != LIFE_RUN);
}

/* At most TURN_MAX messages; epoll says again when there are more.  How many came. */
static int
peer_read(struct accountant *a, struct peer *p)
{
	char data[ACCOUNT_MAX];		/* not static: a mover's message waits for the workers' */
	bool ended = false;
	ssize_t n;
	int i;

	for (i = 0; i < TURN_MAX && may_read(a, p); i++) {
		n = peer_look(p, data);
		if (n > 0 || (n == 0 && !peer_hung_up(p))) {
			take(a, p, data, (size_t)n);
		} else if (n == -1 && errno == EAGAIN) {
			break;
		} else {
			ended = true;
			break;
		}
	}
	if (p != &a->peer[WORKERS])	/* who ask nothing, while questions of a mover may be in hand */
		asks_answer(a, p);
	if (ended)
		peer_end(a, p);
	if (ledger_full(a->ledger))
		role_bound(BOUND_LEDGER, NULL, LEDGER_QUEUE_MAX, "charges wait with their senders", NULL);
	return i;
}

/* -- the loop ----------------------------------------------------------------- */

/* Read where one may, but what is read by the clock; write where answers wait. */
static void
peer_watch(struct accountant *a, size_t i)
{
	struct peer *p = &a->peer[i];
	bool now = may_read(a, p) && !(i == WORKERS && a->resting);
	uint32_t events = (now ? EPOLLIN : 0) | (p->n > 0 ? EPOLLOUT : 0);
	struct epoll_event ev = { .events = events, .data.fd = (int)i };

	if (p->fd == -1 || events == p->events)
		return;
	if (epoll_ctl(a->epoll, EPOLL_CTL_MOD, p->fd, &ev) == -1)
		die("cannot watch a socket: %s", strerror(errno));
	p->events = events;
}

static void
life_set(struct accountant *a, enum life life)
{
	if (a->life == life)
		return;
	a->life = life;
	a->ending_ms = clock_mono_ms();
	stat_state(SLOT_DRAINING);
}

static void
control(struct accountant *a)
{
	int fd = -1;

	switch (control_read(FD_CONTROL, &fd)) {
	case CONTROL_RELOAD:
		reload(a, fd);
		break;
	case CONTROL_DRAIN:
		life_set(a, LIFE_DRAIN);
		break;
	case CONTROL_GONE:
		life_set(a, LIFE_ORPHAN);
		(void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, FD_CONTROL, NULL);	/* it would wake us for ever */
		break;
	default:
		break;
	}
}

/* quiet: the last look found no message. */
static bool
is_over(struct accountant *a, bool quiet)
{
	int64_t since_ms = clock_mono_ms() - a->ending_ms;
	bool senders = false;

	if (a->life == LIFE_RUN)
		return false;
	if (ledger_queued(a->ledger) > 0) {
		if (since_ms < LEDGER_GIVE_UP_MS)
			return false;
		log_error(NULL, "EO-LEDGER", "ended with %zu charges that could not be written",
		    ledger_queued(a->ledger));
		return true;
	}
	for (size_t i = 0; i < a->n_peers; i++)
		senders = senders || a->peer[i].fd != -1;
	if (!senders)
		return true;
	return quiet && (a->life == LIFE_DRAIN || since_ms >= ORPHAN_MS);
}

/*
 * Each message that wakes this process costs its sender a switch of context as
 * well.  So while charges of workers come, they may lie in their socket for
 * some milliseconds, where the death of nobody but the master's loses them.
 */
static void
workers_read(struct accountant *a)
{
	a->resting = peer_read(a, &a->peer[WORKERS]) > 0 && a->peer[WORKERS].fd != -1 && a->life == LIFE_RUN;
}

/* Read all that lies in their socket now. */
static void
workers_look(struct accountant *a)
{
	struct pollfd look = { .fd = a->peer[WORKERS].fd, .events = POLLIN };

	for (int i = 0; i < WORKERS_TURNS && look.fd != -1 && poll(&look, 1, 0) == 1; i++) {
		workers_read(a);
		look.fd = a->peer[WORKERS].fd;
	}
}

/* How long to wait for events. */
static int
turn_ms(const struct accountant *a)
{
	if (a->resting)
		return REST_MS;
	if (a->life == LIFE_ORPHAN)
		return TICK_MS / 10;
	return a->life == LIFE_DRAIN && ledger_queued(a->ledger) == 0 ? 0 : TICK_MS;
}

/* One turn.  True when nothing was to be read. */
static bool
turn(struct accountant *a)
{
	struct epoll_event ev[2 + MOVERS_MAX];
	bool quiet = true, rested = a->resting, more;
	int n;

	more = rebuild_turn(a->rebuild, ledger_queued(a->ledger) == 0);
	n = epoll_wait(a->epoll, ev, ARRAY_LEN(ev), more ? 0 : turn_ms(a));
	if (n == -1 && errno != EINTR)
		die("cannot wait for messages: %s", strerror(errno));
	stat_heartbeat();
	for (int i = 0; i < n; i++) {
		struct peer *p;

		if (ev[i].data.fd == CONTROL) {
			control(a);
			quiet = false;
			continue;
		}
		p = &a->peer[ev[i].data.fd];
		if (p->fd != -1 && (ev[i].events & EPOLLOUT) != 0)
			answers_send(p);
		if ((ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
			quiet = false;
			if (p == &a->peer[WORKERS])
				workers_read(a);
			else
				(void)peer_read(a, p);
		}
	}
	if (rested) {
		quiet = false;
		a->resting = false;	/* unless something has come */
		workers_look(a);
	}
	ledger_try(a);
	ledger_tick(a);
	for (size_t i = 0; i < a->n_peers; i++)
		peer_watch(a, i);
	stat_gauge(GAUGE_CHARGES_QUEUED, ledger_queued(a->ledger));
	stat_bound(BOUND_LEDGER, ledger_queued_bytes(a->ledger), LEDGER_QUEUE_MAX);
	return quiet;
}

static void
watch(struct accountant *a, int fd, int tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = tag };

	if (fd_set_nonblock(fd, true) == -1 || epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
		die("descriptor %d is no socket: %s", fd, strerror(errno));
}

static void
open_all(struct accountant *a)
{
	a->ledger = ledger_new(a->env->config->dir_state);	/* a reload does not change it */
	a->rebuild = rebuild_new(a->env->config->dir_state);
	a->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (a->epoll == -1)
		die("cannot make an epoll: %s", strerror(errno));
	MUST(a->env->config->movers <= MOVERS_MAX);
	a->n_peers = 1 + a->env->config->movers;
	watch(a, FD_CONTROL, CONTROL);
	for (size_t i = 0; i < a->n_peers; i++) {
		a->peer[i].fd = FD_FIRST + (int)i;
		a->peer[i].events = EPOLLIN;
		watch(a, a->peer[i].fd, (int)i);
	}
	finish_what_was_in_hand(a);	/* its line is for counters that are made anew, too */
	counters_open(a);
}

int
accountant_run(struct role_env *env)
{
	struct accountant *a = mem_alloc(sizeof(*a));
	int64_t start_ms = clock_mono_ms();
	struct err e = ERR_NONE;
	bool quiet = false;
	int status;

	a->env = env;
	buf_init(&a->line, LEDGER_LINE_MAX);
	open_all(a);
	confine_self(ROLE_ACCOUNTANT, env->config, NULL, 0);
	/* no decision is away on a good day: workers start when all others are ready */
	while (rebuild_turn(a->rebuild, true) && clock_mono_ms() < start_ms + WHOLE_WAIT_MS)
		stat_heartbeat();
	stat_state(SLOT_READY);
	if (control_ready(FD_CONTROL, env->config->generation) == -1)
		log_warn(NULL, "EO-CONTROL", "cannot tell the master: %s", strerror(errno));
	while (!is_over(a, quiet))
		quiet = turn(a);
	if (ledger_sync(a->ledger, &e) == -1)
		log_error(NULL, "EO-LEDGER", "%s", e.text);
	status = ledger_queued(a->ledger) == 0 ? 0 : 1;
	ledger_free(a->ledger);
	rebuild_free(a->rebuild);
	counters_close(a);
	fd_close(&a->epoll);
	buf_release(&a->line);
	free(a);
	return status;
}
