/* SPDX-License-Identifier: Apache-2.0
 *
 * Restart with back-off, deadlines, heartbeats.  Pure.
 */
#include "base/base.h"

#include "master/policy.h"

void
policy_died(struct policy *p, bool worked, int64_t lived_ms, int64_t now_ms)
{
	int64_t wait = POLICY_WAIT_MIN_MS;

	if (worked) {
		p->failures = 0;
		p->not_before_ms = lived_ms < POLICY_PACE_MS ? now_ms + POLICY_PACE_MS - lived_ms : now_ms;
		return;
	}
	if (lived_ms >= POLICY_SETTLED_MS)
		p->failures = 0;
	for (unsigned i = 0; i < p->failures && wait < POLICY_WAIT_MAX_MS; i++)
		wait *= 2;
	if (wait > POLICY_WAIT_MAX_MS)
		wait = POLICY_WAIT_MAX_MS;
	p->failures++;
	p->not_before_ms = now_ms + wait;
}

int64_t
policy_wait_ms(const struct policy *p, int64_t now_ms)
{
	return p->not_before_ms > now_ms ? p->not_before_ms - now_ms : 0;
}

void
policy_watch_start(struct watched *w, int64_t now_ms)
{
	w->changed_ms = now_ms;
}

enum watch_verdict
policy_watch(struct watched *w, int64_t deadline_ms, int64_t beat, bool blocks, int64_t now_ms)
{
	bool has_deadline = deadline_ms > 0 && deadline_ms <= now_ms + POLICY_DEADLINE_MAX_MS;

	if (beat != w->beat) {
		w->beat = beat;
		w->changed_ms = now_ms;
	}
	if (has_deadline && deadline_ms < now_ms)
		return WATCH_LATE;
	if (has_deadline && blocks) {
		w->changed_ms = now_ms;	/* the heartbeat's time begins when the job is over */
		return WATCH_FINE;
	}
	return now_ms - w->changed_ms > POLICY_SILENT_MS ? WATCH_SILENT : WATCH_FINE;
}
