/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns at a provider.  A backend has so many slots on this host
 * (backends.NAME.slots, counted in the file of ipc/slots.h); who finds none
 * waits.  Users take turns: one who asks for much waits behind his own.  A
 * provider that said 429, to any mover of the host, is left alone for as long
 * as it said.
 */
#ifndef MOVER_QUEUE_H
#define MOVER_QUEUE_H

#include "mover/lines.h"
#include "mover/mover.h"

struct turn {
	struct waiter wait;		/* first: in its user's line, while it waits */
	TAILQ_ENTRY(turn) link;		/* among those that make way */
	struct backend *backend;	/* NULL: neither waiting nor running */
	int slot;			/* of the host's table, or -1 */
	void (*go)(void *arg);		/* its slot has come; never from inside turn_take */
	bool background;		/* it runs, and makes way */
	void (*yield)(void *arg);	/* somebody waits: end soon; once, from the loop or from another's turn_take */
	void (*cooled)(void *arg, int64_t seconds);	/* it waits no more: the provider wants nobody for so long */
	void *arg;
};

enum turn_verdict { TURN_NOW, TURN_WAIT, TURN_FULL, TURN_COOLING };

/*
 * t->go, t->yield, t->cooled and t->arg are set.  user: who asks ("" is the site itself).
 * background: only where two slots are free and nobody waits, never waits.
 * On TURN_COOLING *ret_s says how long yet.
 */
enum turn_verdict turn_take(struct mover *m, struct turn *t, const char *backend, const char *user, bool background,
    int64_t *ret_s);
/* It is over, or given up while it waited.  No-op for one that is neither. */
void turn_give(struct turn *t);
/* Somebody waits for it now: it makes way no more. */
void turn_foreground(struct turn *t);
/* The provider said 429.  seconds < 1 counts as 1, more than an hour as an hour. */
void turn_cool(struct turn *t, int64_t seconds);

#endif
