/* SPDX-License-Identifier: Apache-2.0
 *
 * Slots at providers: how many requests all movers of this host, of any
 * master, have open at one backend.  One small file under dirs.run, mapped by
 * every mover.  A slot has its owner's pid and start time, so what a dead
 * process held is free again.
 */
#ifndef IPC_SLOTS_H
#define IPC_SLOTS_H

#include "base/err.h"

enum { PROVIDER_SLOTS_MAX = 2048 };	/* of all backends together */

struct provider_slots;

/*
 * Map the file (read-write, of any size; made ready by whoever comes first).
 * fd is borrowed during the call.  NULL and e: no file of ours, or no memory.
 */
struct provider_slots *provider_slots_open(int fd, struct err *e);
void provider_slots_free(struct provider_slots *s);	/* gives back all that this handle holds; NULL is fine */
/*
 * Take one of `limit` slots of the backend.  A number for provider_slots_give,
 * or -1: all are taken by living processes.  Waits for other movers only as
 * long as they look at the table.
 */
int provider_slots_take(struct provider_slots *s, const char *backend, unsigned limit);
void provider_slots_give(struct provider_slots *s, int slot);
/* How many are taken on this host, dead owners included. */
unsigned provider_slots_used(struct provider_slots *s, const char *backend);

#endif
