/* SPDX-License-Identifier: Apache-2.0
 *
 * The mover's event loop.
 */
#include "base/base.h"

#include "mover/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

enum { EVENTS_A_TURN = 256 };

struct loop {
	int epfd;
	struct timer **heap;	/* 1-based */
	size_t n_timers, timers_cap;
	struct epoll_event events[EVENTS_A_TURN];
	int n_events, next_event;
};

struct loop *
loop_new(struct err *e)
{
	struct loop *l = mem_alloc(sizeof(*l));

	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd == -1) {
		(void)err_sys(e, errno, "cannot make an epoll descriptor");
		free(l);
		return NULL;
	}
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	fd_close(&l->epfd);
	free(l->heap);
	free(l);
}

int
loop_watch(struct loop *l, struct watch *w, int fd, uint32_t events, watch_fn *run, void *arg)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	*w = (struct watch){ .fd = fd, .run = run, .arg = arg };
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) == -1) {
		w->fd = -1;
		return -1;
	}
	return 0;
}

int
loop_change(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev);
}

void
loop_unwatch(struct loop *l, struct watch *w)
{
	if (w->run == NULL || w->fd == -1)
		return;
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);	/* the descriptor may be gone already */
	for (int i = l->next_event; i < l->n_events; i++) {
		if (l->events[i].data.ptr == w)
			l->events[i].data.ptr = NULL;
	}
	w->fd = -1;
	w->run = NULL;
}

/* Put t at place i. */
static void
place(struct loop *l, struct timer *t, size_t i)
{
	l->heap[i] = t;
	t->place = i;
}

static void
sift_up(struct loop *l, struct timer *t)
{
	size_t i = t->place;

	while (i > 1 && l->heap[i / 2]->at_ms > t->at_ms) {
		place(l, l->heap[i / 2], i);
		i /= 2;
	}
	place(l, t, i);
}

static void
sift_down(struct loop *l, struct timer *t)
{
	size_t i = t->place, c;

	for (c = 2 * i; c <= l->n_timers; c = 2 * i) {
		if (c < l->n_timers && l->heap[c + 1]->at_ms < l->heap[c]->at_ms)
			c++;
		if (l->heap[c]->at_ms >= t->at_ms)
			break;
		place(l, l->heap[c], i);
		i = c;
	}
	place(l, t, i);
}

void
timer_set(struct loop *l, struct timer *t, int64_t at_ms, timer_fn *run, void *arg)
{
	t->run = run;
	t->arg = arg;
	t->at_ms = at_ms;
	if (t->place == 0) {
		if (l->n_timers + 2 > l->timers_cap) {
			l->timers_cap = l->timers_cap == 0 ? 64 : 2 * l->timers_cap;
			l->heap = mem_realloc(l->heap, l->timers_cap * sizeof(*l->heap));
		}
		place(l, t, ++l->n_timers);
	}
	sift_up(l, t);
	sift_down(l, t);
}

void
timer_clear(struct loop *l, struct timer *t)
{
	struct timer *last;
	size_t i = t->place;

	if (i == 0)
		return;
	last = l->heap[l->n_timers--];
	t->place = 0;
	if (last == t)
		return;
	place(l, last, i);
	sift_up(l, last);
	sift_down(l, last);
}

static void
run_timers(struct loop *l)
{
	int64_t now = clock_mono_ms();
	struct timer *t;

	/* a timer that sets itself again for now waits for the next turn */
	for (size_t left = l->n_timers; left > 0 && l->n_timers > 0 && l->heap[1]->at_ms <= now; left--) {
		t = l->heap[1];
		timer_clear(l, t);
		t->run(t->arg);
	}
}

void
loop_turn(struct loop *l, int max_ms)
{
	int64_t wait = max_ms;
	struct watch *w;

	if (l->n_timers > 0 && l->heap[1]->at_ms - clock_mono_ms() < wait)
		wait = l->heap[1]->at_ms - clock_mono_ms();
	if (wait < 0)
		wait = 0;
	l->n_events = epoll_wait(l->epfd, l->events, EVENTS_A_TURN, (int)wait);
	for (l->next_event = 0; l->next_event < l->n_events;) {
		w = l->events[l->next_event].data.ptr;
		l->next_event++;
		if (w != NULL && w->run != NULL)
			w->run(w->arg, l->events[l->next_event - 1].events);
	}
	l->n_events = 0;
	run_timers(l);
}
