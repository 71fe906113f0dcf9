/* SPDX-License-Identifier: Apache-2.0
 *
 * Leases in memcached: of several hosts that want the same object, one fetches
 * and publishes it.  A lease saves work and guarantees nothing: it may be lost
 * at any time (a restart, an eviction), its owner sees that at the latest when
 * it renews, and whoever finds memcached away goes on without one.
 *
 * Each call waits for one round trip (two where somebody else's nonsense, or a
 * dead one's lease, is under the name), at most for the time that the client was made with, and for
 * nothing while memcached is known to be away.
 */
#ifndef CACHE_LEASE_H
#define CACHE_LEASE_H

#include "cache/seal.h"
#include "memcached/client.h"

enum {
	LEASE_OWNER_MAX = 64,	/* bytes of an owner */
	LEASE_TTL_MIN_S = 2,	/* memcached ends it up to a second early */
	LEASE_TTL_MAX_S = 3600,
};

enum lease_state {
	LEASE_HELD,		/* it is ours */
	LEASE_OTHERS,		/* another has it; of ours: it is lost */
	LEASE_AWAY,		/* nobody knows: go on without */
};

/*
 * An owner is SEAT:LIFE:TRY.  A seat is a place in which one process lives at a time, of all
 * hosts and masters; a life is one of those; a try is one of its transfers.  So whoever asks is
 * the one that lives in its seat, and takes what another life of it held, at once.  Without a
 * colon an owner is anybody's.
 */
struct lease {
	char name[SEAL_NAME_SIZE];
	char owner[LEASE_OWNER_MAX + 1];
	uint32_t ttl_s;
	uint64_t cas;
	int64_t until_ms;	/* ours until then, clock_mono_ms; 0: it is not */
};

/* Fills ret whatever comes.  mc or seal NULL: LEASE_AWAY. */
enum lease_state lease_take(struct mc *mc, struct seal *seal, const char *key, const char *owner, uint32_t ttl_s,
    struct lease *ret);
/* For its ttl_s from now.  LEASE_AWAY: it may be ours still, until its time is over. */
enum lease_state lease_renew(struct mc *mc, struct seal *seal, struct lease *l);
/* Give it back; LEASE_OTHERS: it was lost before, and is left to whoever has it.  Not ours any more in any case. */
enum lease_state lease_release(struct mc *mc, struct lease *l);
/* Without asking anybody: is its time not over, and was it not seen lost? */
bool lease_is_held(const struct lease *l);

#endif
