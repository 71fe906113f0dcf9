/* SPDX-License-Identifier: Apache-2.0
 *
 * The store of counters: memcached, or memory for tests.  One handle per
 * process, made after fork.  A store that is away is found within the
 * configured time and then left alone for a second (circuit breaker).
 */
#ifndef QUOTA_COUNTERS_H
#define QUOTA_COUNTERS_H

#include "config/config.h"
#include "memcached/client.h"

enum { COUNTER_KEY_SIZE = 48, COUNTERS_MAX = QUOTA_LIMITS_MAX * RULE_QUOTAS_MAX };
enum { COUNTERS_SERVERS_MAX = MC_SERVERS_MAX };

struct counter_op {
	char key[COUNTER_KEY_SIZE];	/* "eo:" and hex of a hash */
	uint64_t add;			/* 0: read only */
	bool subtract;
	uint32_t ttl_s;			/* given when the counter is made */
	uint64_t ret_value;		/* after the addition; UINT64_MAX when it holds nonsense */
};

struct counters {
	/*
	 * All n operations, one round trip.  A counter that does not exist is
	 * made (with its add; subtracting from nothing stays nothing).
	 * 0, or -1: the store is away, and some operations may have happened;
	 * or what it had was lost (see counters_look), and none of them counts.
	 */
	int (*run)(struct counters *s, struct counter_op *ops, size_t n);
	/* Send without waiting for the outcome.  0, or -1: away. */
	int (*post)(struct counters *s, const struct counter_op *ops, size_t n);
	void (*free)(struct counters *s);
};

struct counters *counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e);
struct counters *counters_memory_new(void);

/*
 * Epochs: how lost counters are noticed.  The counters in memcached are those
 * of an epoch, a number that every server holds in a mark.  A server that was
 * restarted or emptied, or that another one has taken the place of, holds none
 * or another; from then on run answers -1, until an accountant has begun a new
 * epoch and put into it what the ledger says.  Counters of an epoch that is
 * over are never read again, so nothing counts twice, whoever dies when.
 *
 * For the accountant, with a handle of its own from counters_memcached_new.
 */
struct counters_look {
	uint64_t epoch;			/* that all servers hold; 0: they do not */
	uint64_t newest;		/* that any of them holds; 0: none does */
	bool taken;			/* an accountant is about to begin one, on some of them */
	uint64_t evicted;		/* items that memcached has thrown out since it began, all servers */
	uint64_t cas[COUNTERS_SERVERS_MAX];	/* of each server's mark; 0: it has none */
};
/* 0, or -1: away. */
int counters_look(struct counters *s, struct counters_look *ret);
/* The counters of this epoch, whatever the marks say: to fill it. */
void counters_fix(struct counters *s, uint64_t epoch);
/*
 * Say that the epoch is about to begin, where the servers are as they were
 * looked at; for COUNTERS_TAKEN_S, so to be repeated before that is over.  0
 * and what they are like now; 1: somebody else was faster, or a server was
 * emptied; -1: away.
 */
enum { COUNTERS_TAKEN_S = 30 };
int counters_take(struct counters *s, uint64_t epoch, struct counters_look *look);
/* Begin it.  The same. */
int counters_begin(struct counters *s, uint64_t epoch, struct counters_look *look);

#endif
