/* SPDX-License-Identifier: Apache-2.0
 *
 * Those who wait, a line for each user; the users take turns.  One who asks
 * for much waits behind his own.  Mover: for slots (queue.c) and for resolves
 * (resolvers.c).
 */
#ifndef MOVER_LINES_H
#define MOVER_LINES_H

#include <sys/queue.h>
#include <uthash.h>

struct line;

/* Embedded in who waits; all zeros: in no line. */
struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct line *line;		/* NULL: waits no more */
};

struct lines {
	struct line *users;		/* hash by name: those who have somebody here */
	TAILQ_HEAD(line_round, line) round;	/* whose turn is next, first */
	unsigned n;			/* that wait */
};

void lines_init(struct lines *l);
/* To the end of the user's line.  w is borrowed until it is taken or removed. */
void lines_add(struct lines *l, struct waiter *w, const char *user);
/* Who is next, still waiting; NULL: nobody. */
struct waiter *lines_first(const struct lines *l);
/* Who is next, and no more waiting: the user goes to the end of the round.  NULL: nobody. */
struct waiter *lines_take(struct lines *l);
void lines_remove(struct lines *l, struct waiter *w);	/* gives up; no-op for one that does not wait */

#endif
