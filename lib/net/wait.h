/* SPDX-License-Identifier: Apache-2.0
 *
 * Outgoing HTTP for a program that has nothing else to do meanwhile: a loop
 * around net/fetch.h that waits.  eodata-proxyctl; never a role that serves.
 */
#ifndef NET_WAIT_H
#define NET_WAIT_H

#include "net/fetch.h"

struct wait;

/* c is borrowed for its life.  NULL and e: libcurl does not start. */
struct wait *wait_new(const struct config *c, struct err *e);
void wait_free(struct wait *w);			/* cancels what still runs; NULL is allowed */
struct net *wait_net(struct wait *w);		/* to start fetches of one's own, then turn until they have ended */
/*
 * Wait until there is something to do, at most timeout_ms or for the nearest
 * deadline of a fetch, and do it: callbacks come from here.  Returns early
 * when a signal comes.
 */
void wait_turn(struct wait *w, int timeout_ms);
/*
 * One request from its start to its end.  r->end_mono_ms must be set: nothing
 * else ends what drips.  ops->on_data may not pause.  FETCH_OK, or another and
 * e with the reason (fetch_start's refusal is FETCH_REFUSED).  on_done, which
 * may be NULL, has been called unless it was refused.
 */
enum fetch_error wait_fetch(struct wait *w, const struct fetch_request *r, const struct fetch_ops *ops, void *arg,
    struct err *e);

#endif
