/* SPDX-License-Identifier: Apache-2.0
 *
 * Slots at providers: how many requests all movers of this host, of any
 * master, have open at one backend.  One small file under dirs.run, mapped by
 * every mover.  Each mover has a number of its own there, which it holds by a
 * lock on that byte of the file, so what a dead one held is free again; it needs
 * no /proc, which a mover cannot read.  Beside them: providers that want nobody for a
 * while, whichever mover was told so; and which movers wait for a slot, so that they
 * take turns: one whose queue never ends would else take each slot that it has just given.
 */
#ifndef IPC_SLOTS_H
#define IPC_SLOTS_H

#include "base/err.h"

enum {
	PROVIDER_SLOTS_MAX = 2048,	/* of all backends together */
	PROVIDER_COOL_MAX_MS = 3600000,
	PROVIDER_TURN_MS = 100,
};

struct provider_slots;

/*
 * Map the file (read-write, of any size; made ready by whoever comes first).
 * fd is borrowed until provider_slots_free, and the process must not close
 * another descriptor of the file before (fcntl(2), locks).  One handle a
 * process.  NULL and e: no file of ours.
 */
struct provider_slots *provider_slots_open(int fd, struct err *e);
void provider_slots_free(struct provider_slots *s);	/* gives back all that this handle holds; NULL is fine */
/*
 * Take one of `limit` slots of the backend.  A number for provider_slots_give,
 * or -1: all are taken by living processes, or it is the turn of another mover, which
 * has waited longer (and has PROVIDER_TURN_MS to take it).  Waits for other movers
 * only as long as they look at the table.
 */
int provider_slots_take(struct provider_slots *s, const char *backend, unsigned limit);
void provider_slots_give(struct provider_slots *s, int slot);
/* Somebody of this mover waits for a slot of the backend, or nobody any more. */
void provider_slots_wait(struct provider_slots *s, const char *backend, bool waits);
/* How many are taken on this host, dead owners included. */
unsigned provider_slots_used(struct provider_slots *s, const char *backend);
/*
 * The backend wants nobody until then (CLOCK_MONOTONIC, PROVIDER_COOL_MAX_MS
 * from now at most); an earlier end than is known changes nothing.  -1: no room.
 */
int provider_slots_cool(struct provider_slots *s, const char *backend, int64_t until_ms);
/* When that ends; 0: it takes requests. */
int64_t provider_slots_cool_until(struct provider_slots *s, const char *backend);

#endif
