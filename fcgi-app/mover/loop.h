/* SPDX-License-Identifier: Apache-2.0
 *
 * The mover's event loop: epoll, timers in a heap, and work put off to the
 * end of the turn.  Single thread; nothing here blocks.
 */
#ifndef MOVER_LOOP_H
#define MOVER_LOOP_H

#include "base/err.h"

struct loop;
typedef void watch_fn(void *arg, uint32_t events);	/* EPOLL bits */
typedef void timer_fn(void *arg);

/* Part of what it times; zeroed = not set.  Owner calls timer_clear before it frees the memory. */
struct timer {
	int64_t at_ms;		/* monotonic */
	timer_fn *run;
	void *arg;
	size_t place;		/* 1-based index in the heap; 0: not set */
};

/* What a descriptor's events go to; the owner keeps it alive until unwatch. */
struct watch {
	int fd;
	watch_fn *run;
	void *arg;
};

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l);
/* 0, or -1 with errno.  events as for epoll_ctl, EPOLLET allowed. */
int loop_watch(struct loop *l, struct watch *w, int fd, uint32_t events, watch_fn *run, void *arg);
int loop_change(struct loop *l, struct watch *w, uint32_t events);
/* Forget fd (still open).  No event of it is delivered any more, also not from this turn. */
void loop_unwatch(struct loop *l, struct watch *w);
/* Set, or move, to at_ms. */
void timer_set(struct loop *l, struct timer *t, int64_t at_ms, timer_fn *run, void *arg);
void timer_clear(struct loop *l, struct timer *t);
/* One turn: wait at most max_ms, deliver events, run timers that are due. */
void loop_turn(struct loop *l, int max_ms);

#endif
