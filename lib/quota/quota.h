/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits over fixed UTC windows.  Reserve adds and looks at what it got: over
 * a limit it gives back and says which.  So the sum that was ever admitted in
 * a window never passes the limit while the store keeps its counters; two
 * requests that meet at the last unit may both be refused (docs: DESIGN.md).
 */
#ifndef QUOTA_QUOTA_H
#define QUOTA_QUOTA_H

#include "quota/charge.h"
#include "quota/counters.h"

enum quota_verdict { QUOTA_OK, QUOTA_OVER, QUOTA_AWAY_ALLOW, QUOTA_AWAY_REFUSE };

struct quota_answer {
	enum quota_verdict verdict;
	/*
	 * QUOTA_OVER: the limit that said no; of several, the one that frees last.
	 * QUOTA_OK: the one with the smallest part left.  limit 0 when there is none.
	 */
	char set[CHARGE_SET_MAX + 1];
	enum quota_kind kind;
	enum quota_window window;
	uint64_t limit, used;		/* used: after a reservation that succeeded, else before it; at most limit */
	uint32_t frees_in_s;		/* until the window ends, >= 1 */
};

/*
 * Reserve add[kind] of each kind for every limit of the charge's sets.  A kind
 * with add 0 is not looked at.  On QUOTA_OK ch->reserved grows, so it is what the
 * counters hold for this charge; else nothing is kept.  QUOTA_AWAY_ALLOW is
 * counted when it is settled, if the store is back by then.  Counted in the windows
 * of ch->at_ms; where one of them is over by now, in the present one.
 */
void quota_reserve(struct counters *s, const struct config *c, struct charge *ch, const uint64_t add[QUOTA_KINDS],
    struct quota_answer *ret);
/*
 * The same for n of them (at most QUOTA_WANTS_MAX), one after the other, in one
 * round trip to the counters where they fit into one.
 */
enum { QUOTA_WANTS_MAX = 64 };
struct quota_want {
	struct charge *charge;
	const uint64_t *add;		/* QUOTA_KINDS of them */
	struct quota_answer *answer;	/* filled */
};
void quota_reserve_all(struct counters *s, const struct config *c, const struct quota_want *want, size_t n);
/*
 * Move the counters from reserved to actual, in the windows of ch->at_ms that are not over.  0, or
 * -1: the store is away.
 */
int quota_settle(struct counters *s, const struct config *c, const struct charge *ch,
    const uint64_t actual[QUOTA_KINDS]);

/* Start and end of the window that holds at_ms, in s since the epoch, UTC. */
void quota_window_bounds(enum quota_window w, int64_t at_ms, int64_t *ret_start_s, int64_t *ret_end_s);
const char *quota_kind_name(enum quota_kind k);		/* "requests" */
const char *quota_window_name(enum quota_window w);	/* "second" */
/* The limit that refused, as a member of a problem (wire/problem.h). */
void quota_members(const struct quota_answer *a, struct buf *out);
/*
 * `"standard";r=19;t=1` and `"standard";q=20;w=1` (draft-ietf-httpapi-ratelimit-headers); nothing
 * is appended when limit is 0.
 */
void quota_ratelimit(const struct quota_answer *a, struct buf *ratelimit, struct buf *policy);

#endif
