/* SPDX-License-Identifier: Apache-2.0
 *
 * The store of counters: memcached, or memory for tests.  One handle per
 * process, made after fork.  A store that is away is found within the
 * configured time and then left alone for a second (circuit breaker).
 */
#ifndef QUOTA_COUNTERS_H
#define QUOTA_COUNTERS_H

#include "config/config.h"

enum { COUNTER_KEY_SIZE = 48, COUNTERS_MAX = QUOTA_LIMITS_MAX * RULE_QUOTAS_MAX };

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
	 * 0, or -1: the store is away; some operations may have happened.
	 */
	int (*run)(struct counters *s, struct counter_op *ops, size_t n);
	/* Send without waiting for the outcome.  0, or -1: away. */
	int (*post)(struct counters *s, const struct counter_op *ops, size_t n);
	void (*free)(struct counters *s);
};

struct counters *counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e);
struct counters *counters_memory_new(void);

#endif
