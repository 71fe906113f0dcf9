/* SPDX-License-Identifier: Apache-2.0
 *
 * The mover's side of the conversation with the accountant: reservations are
 * answered, or get the configured verdict when the accountant has said nothing
 * for RESERVE_WAIT_MS (RESERVE_REFUSED_MS where that verdict is no); settlements
 * wait in memory until the socket takes them, and none is dropped.
 */
#include "base/base.h"

#include "mover/mover.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/fds.h"

enum { END_WAIT_MS = 5000, ANSWERS_A_TURN = 256, QUEUE_MAX = 4096 };

struct reservation {
	UT_hash_handle hh;
	uint64_t seq;
	struct accounts *a;
	struct charge *ch;		/* NULL: cancelled, a grant is given back */
	struct charge copy;		/* as it was asked */
	uint64_t add[QUOTA_KINDS];
	int64_t asked_ms;		/* mono */
	reserved_fn *fn;
	void *arg;
	struct timer timer;
};

struct parcel {
	STAILQ_ENTRY(parcel) link;
	size_t n;
	char data[];
};

struct accounts {
	struct mover *m;
	struct watch watch;
	bool want_out;
	uint64_t seq;
	int64_t heard_ms;		/* mono: the last answer */
	struct reservation *open;	/* hash by seq */
	STAILQ_HEAD(, parcel) queue;
	size_t queued;
};

static void
flush(struct accounts *a)
{
	struct parcel *p;
	bool full = false;

	while (!full && !STAILQ_EMPTY(&a->queue)) {
		p = STAILQ_FIRST(&a->queue);
		if (fd_send(FD_ACCOUNT, p->data, p->n, NULL, 0) == -1) {
			full = true;	/* whatever it is: the master keeps the other end, so it will be writable again */
			continue;
		}
		STAILQ_REMOVE_HEAD(&a->queue, link);
		a->queued--;
		free(p);
	}
	if (full != a->want_out) {
		a->want_out = full;
		(void)loop_change(a->m->loop, &a->watch, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
	}
	stat_gauge(GAUGE_CHARGES_QUEUED, a->queued);
	stat_bound(BOUND_CHARGES, a->queued, QUEUE_MAX);
}

bool
accounts_full(const struct mover *m)
{
	return m->accounts->queued >= QUEUE_MAX;
}

static void
post(struct accounts *a, struct buf *msg)
{
	struct parcel *p;

	buf_must(msg);
	p = mem_alloc(sizeof(*p) + msg->len);
	p->n = msg->len;
	memcpy(p->data, msg->data, msg->len);
	STAILQ_INSERT_TAIL(&a->queue, p, link);
	a->queued++;
	flush(a);
}

/* Granted, but nobody wants it any more. */
static void
give_back(struct accounts *a, const struct reservation *r)
{
	struct account_settle s = { .charge = r->copy, .cache = "-", .status = 0 };
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	for (size_t k = 0; k < QUOTA_KINDS; k++)
		s.charge.reserved[k] = r->add[k];
	account_settle_put(&msg, &s);
	post(a, &msg);
	buf_release(&msg);
}

static void
forget(struct reservation *r)
{
	timer_clear(r->a->m->loop, &r->timer);
	HASH_DEL(r->a->open, r);
	free(r);
}

static void
on_answer(struct accounts *a, const void *data, size_t n)
{
	struct account_reserved ar;
	struct reservation *r;
	bool granted;

	if (account_reserved_get(data, n, &ar) < 0) {
		log_warn(NULL, "EO-MOVER-MESSAGE", "dropped nonsense from=accountant bytes=%zu", n);
		return;
	}
	a->heard_ms = clock_mono_ms();
	HASH_FIND(hh, a->open, &ar.seq, sizeof(ar.seq), r);
	if (r == NULL)
		return;
	granted = ar.answer.verdict == QUOTA_OK;	/* QUOTA_AWAY_ALLOW left nothing in the counters */
	if (r->ch == NULL) {
		if (granted)
			give_back(a, r);
		forget(r);
		return;
	}
	if (granted) {
		for (size_t k = 0; k < QUOTA_KINDS; k++)
			r->ch->reserved[k] += r->add[k];
	}
	r->fn(r->arg, &ar.answer);
	forget(r);
}

static void on_late(void *arg);

static void
take_answers(struct accounts *a)
{
	char data[ACCOUNT_MAX];
	size_t nfds = 0;
	ssize_t n;

	for (int i = 0; i < ANSWERS_A_TURN; i++) {
		n = fd_recv(FD_ACCOUNT, data, sizeof(data), NULL, 0, &nfds);
		if (n <= 0)
			break;
		on_answer(a, data, (size_t)n);
	}
}

static void
on_fd(void *arg, uint32_t events)
{
	struct accounts *a = arg;

	take_answers(a);
	if ((events & EPOLLOUT) != 0)
		flush(a);
}

static enum quota_verdict
away_verdict(const struct reservation *r)
{
	const struct config *c = mover_config(r->a->m);
	const struct quota_set *q;

	for (size_t i = 0; i < r->copy.n; i++) {
		q = config_quota(c, r->copy.entry[i].set);
		if (q != NULL && q->refuse_when_unavailable)
			return QUOTA_AWAY_REFUSE;
	}
	return QUOTA_AWAY_ALLOW;
}

/*
 * Is it the accountant that is late?  Not when the loop was, and the answer lies
 * in the socket; and not when it answers, one after the other, many who asked at
 * once.  Then there is nothing to be done about r now, which may be over.
 */
static bool
is_under_way(struct accounts *a, struct reservation *r)
{
	int64_t until, quiet_since_ms;
	uint64_t seq = r->seq;

	take_answers(a);
	HASH_FIND(hh, a->open, &seq, sizeof(seq), r);
	if (r == NULL)
		return true;
	quiet_since_ms = a->heard_ms > r->asked_ms ? a->heard_ms : r->asked_ms;
	until = quiet_since_ms + (away_verdict(r) == QUOTA_AWAY_REFUSE ? RESERVE_REFUSED_MS : RESERVE_WAIT_MS);
	if (until > r->asked_ms + RESERVE_CROWD_MS)
		until = r->asked_ms + RESERVE_CROWD_MS;
	if (r->ch == NULL || clock_mono_ms() >= until)
		return false;
	timer_set(a->m->loop, &r->timer, until, on_late, r);
	return true;
}

/* No answer in time: what the sets say for a store that is away. */
static void
on_late(void *arg)
{
	struct reservation *r = arg;
	struct quota_answer answer = { .verdict = away_verdict(r) };

	if (is_under_way(r->a, r))
		return;
	if (r->ch == NULL) {	/* cancelled and never answered: the accountant dropped it */
		forget(r);
		return;
	}
	role_quota_away("the accountant", answer.verdict == QUOTA_AWAY_REFUSE);
	r->ch = NULL;
	r->fn(r->arg, &answer);
	timer_set(r->a->m->loop, &r->timer, clock_mono_ms() + 60000, on_late, r);
}

struct accounts *
accounts_new(struct mover *m)
{
	struct accounts *a = mem_alloc(sizeof(*a));

	a->m = m;
	STAILQ_INIT(&a->queue);
	a->seq = (uint64_t)clock_wall_ms() << 20;	/* answers to a mover before us match nothing */
	if (fd_set_nonblock(FD_ACCOUNT, true) == -1 ||
	    loop_watch(m->loop, &a->watch, FD_ACCOUNT, EPOLLIN, on_fd, a) == -1)
		die("cannot watch the accountant's socket: %s", strerror(errno));
	stat_bound(BOUND_CHARGES, 0, QUEUE_MAX);
	return a;
}

void
accounts_free(struct accounts *a)
{
	struct pollfd p_out = { .fd = FD_ACCOUNT, .events = POLLOUT };
	int64_t until = clock_mono_ms() + END_WAIT_MS;
	struct reservation *r, *next;
	struct parcel *p;

	if (a == NULL)
		return;
	/* the end: wait until the rest is out, the accountant outlives us; a stopped one must not hold us for ever */
	for (flush(a); a->queued > 0 && clock_mono_ms() < until; flush(a))
		(void)poll(&p_out, 1, 100);
	if (a->queued > 0)
		log_error(NULL, "EO-MOVER-CHARGES", "charges lost n=%zu", a->queued);
	HASH_ITER(hh, a->open, r, next)
		forget(r);
	while (!STAILQ_EMPTY(&a->queue)) {
		p = STAILQ_FIRST(&a->queue);
		STAILQ_REMOVE_HEAD(&a->queue, link);
		free(p);
	}
	loop_unwatch(a->m->loop, &a->watch);
	free(a);
}

struct reservation *
account_ask(struct mover *m, struct charge *ch, const uint64_t add[QUOTA_KINDS], reserved_fn *fn, void *arg)
{
	struct accounts *a = m->accounts;
	struct reservation *r = mem_alloc(sizeof(*r));
	struct account_reserve msg = { .seq = ++a->seq, .charge = *ch };
	struct buf out = BUF_INIT(ACCOUNT_MAX);

	r->seq = msg.seq;
	r->a = a;
	r->ch = ch;
	r->copy = *ch;
	r->asked_ms = clock_mono_ms();
	r->fn = fn;
	r->arg = arg;
	memcpy(r->add, add, sizeof(r->add));
	memcpy(msg.add, add, sizeof(msg.add));
	HASH_ADD(hh, a->open, seq, sizeof(r->seq), r);
	timer_set(m->loop, &r->timer, clock_mono_ms() + RESERVE_WAIT_MS, on_late, r);
	account_reserve_put(&out, &msg);
	post(a, &out);
	buf_release(&out);
	return r;
}

void
account_cancel(struct reservation *r)
{
	if (r == NULL)
		return;
	r->ch = NULL;
	timer_set(r->a->m->loop, &r->timer, clock_mono_ms() + 60000, on_late, r);
}

void
account_settle(struct mover *m, const struct account_settle *s)
{
	struct buf out = BUF_INIT(ACCOUNT_MAX);

	account_settle_put(&out, s);
	if (!buf_ok(&out)) {	/* a path too long for a message: the charge matters, the names do not */
		struct account_settle bare = *s;

		bare.backend = bare.collection = bare.item = bare.asset = bare.subpath = NULL;
		buf_clear(&out);
		account_settle_put(&out, &bare);
	}
	post(m->accounts, &out);
	buf_release(&out);
}
