/* SPDX-License-Identifier: Apache-2.0
 *
 * When a child is started again, and when it is killed.  Pure: numbers in,
 * verdict out.
 */
#ifndef MASTER_POLICY_H
#define MASTER_POLICY_H

#include "base/base.h"

enum {
	POLICY_PACE_MS = 1000,		/* whatever kills them, no more starts of one than one in so long */
	POLICY_WAIT_MIN_MS = 100,
	POLICY_WAIT_MAX_MS = 10000,
	POLICY_SETTLED_MS = 60000,	/* who lived so long was not a failed start */
	POLICY_SILENT_MS = 10000,	/* a loop that turns sets its heartbeat each second */
	POLICY_DEADLINE_MAX_MS = 3600000,	/* a later one is nonsense and counts as none */
};

struct policy {
	unsigned failures;	/* deaths in a row without one finished job */
	int64_t not_before_ms;
};

/* A child died.  worked: it had finished a job. */
void policy_died(struct policy *p, bool worked, int64_t lived_ms, int64_t now_ms);
/* How long to wait before it is started again; 0: now. */
int64_t policy_wait_ms(const struct policy *p, int64_t now_ms);

/* What the master remembers about a child's signs of life. */
struct watched {
	int64_t beat;		/* as last seen */
	int64_t changed_ms;	/* when that changed, by the master's own clock */
};

enum watch_verdict { WATCH_FINE, WATCH_LATE, WATCH_SILENT };

void policy_watch_start(struct watched *w, int64_t now_ms);
/*
 * deadline and beat come from the scoreboard and may be anything.  A child
 * that blocks while it has a deadline (blocks) is judged by that alone.
 */
enum watch_verdict policy_watch(struct watched *w, int64_t deadline_ms, int64_t beat, bool blocks,
    int64_t now_ms);

#endif
