/* SPDX-License-Identifier: Apache-2.0
 *
 * What the hosts of a site share of the objects in their bucket, in memcached:
 * what is remembered of them (cache/memory.h), and leases (cache/lease.h).
 * Workers and movers, each its own, opened after fork.
 */
#ifndef CACHE_SHARED_H
#define CACHE_SHARED_H

#include "cache/lease.h"
#include "cache/memory.h"

/*
 * mc, seal and memory are NULL together: where objects are files, where there is no
 * cache.s3.memory_key, and where there is no memcached.  Who uses them takes NULL.
 */
struct shared {
	struct mc *mc;
	struct seal *seal;
	struct memory *memory;
	struct strs servers;		/* that mc was made with */
	uint32_t timeout_ms;
};

/* s is uninitialised.  0, or -1 and e: nothing is shared; it is to be closed all the same. */
int shared_open(struct shared *s, const struct config *c, struct err *e);
/* A reload: other servers are used from now on, and the three pointers may be others.  The same. */
int shared_set_config(struct shared *s, const struct config *c, struct err *e);
void shared_close(struct shared *s);

/*
 * Until when (seconds since 1970) the object of that key may be believed to be there: at most
 * cache.s3.remember from now on, and not beyond the end of its retention, which counts from
 * stored_s (-1: unknown).  0: not at all.
 */
int64_t shared_until_s(const struct config *c, const char *key, int64_t stored_s);
/* When its retention takes it, counted likewise.  0: never, or that cannot be said. */
int64_t shared_ends_s(const struct config *c, const char *key, int64_t stored_s);

#endif
