/* SPDX-License-Identifier: Apache-2.0
 *
 * A resolver: one backend's jobs, one at a time, in a process forked from
 * the broker.
 *
 * The control pair with the broker (SEQPACKET, one byte a message):
 * broker to child CHILD_CONNECT with the stream socket of one mover, and
 * CHILD_RETIRE: serve what has arrived, then end.  Child to broker CHILD_BUSY
 * and CHILD_IDLE around each job, and CHILD_WISH: nothing to do for long, it
 * would like to be told CHILD_RETIRE (it goes on serving until then, so that
 * no connection is on its way to a process that ends).
 */
#ifndef RESOLVER_CHILD_H
#define RESOLVER_CHILD_H

#include "role.h"

enum child_word {
	CHILD_CONNECT = 'C', CHILD_RETIRE = 'R',
	CHILD_BUSY = 'B', CHILD_IDLE = 'I', CHILD_WISH = 'W',
};
/* Exit status of a child that gave an answer but whose interpreter cannot be trusted any more. */
enum { CHILD_EXIT_TAINTED = 3 };

struct child_start {
	const struct config *config;
	struct scoreboard *scoreboard;
	const char *backend;
	char **argv;		/* main's: the process list shows the backend there from now on */
	unsigned slot, index;
	int control;		/* to the broker; owned */
	int master;		/* readable when the master is gone; owned */
};

/* Called right after the fork, with what the child must not have closed. */
NORETURN void child_run(const struct child_start *start);

#endif
