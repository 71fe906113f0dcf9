/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits over fixed UTC windows: which counters a charge touches, and what
 * their values mean.  Runs in the worker (requests, misses, hits' bytes) and
 * in the accountant (the rest).
 *
 * The bound: a request is admitted only when the counter, with its own
 * addition in it, is at most the limit.  Additions are atomic in the store,
 * so what was admitted in a window never sums to more than the limit while
 * the store keeps its counters.  The price: requests that meet at the last
 * unit see each other's additions and may all be refused; what they added is
 * given back at once.  Whatever makes a counter's value doubtful (nonsense in
 * it, an answer that was lost) counts against the request, never for it.
 *
 * A reservation goes into the windows of ch->at_ms; where such a window is
 * over by now (a long wait between the request and its first byte) into the
 * present one, because a window that is over limits nobody.
 */
#include "base/base.h"

#include "quota/quota.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/digest.h"

/* Larger values are nonsense: room below 2^64 for every addition in flight. */
#define COUNT_MAX ((uint64_t)1 << 62)
/* A counter outlives its window by the window's length within these: clocks of hosts differ. */
enum { TTL_SLACK_MIN_S = 60, TTL_SLACK_MAX_S = 24 * 3600, AHEAD_MAX_MS = 3600 * 1000 };

/* One limit of one set, as it applies to a charge. */
struct applied {
	const struct charge_entry *entry;
	const struct quota_set *set;
	const struct quota_limit *limit;
	int64_t end_s;
	size_t op;		/* index of the counter; limits over the same count share one */
};

struct plan {
	struct applied v[COUNTERS_MAX];
	size_t n;
	struct counter_op op[COUNTERS_MAX];
	size_t n_ops;
	bool fits;		/* nothing asked for is larger than its limit */
};

/* One process is at one decision at a time; a plan is some 20 KB, too many to allocate for each. */
static struct plan plans[QUOTA_WANTS_MAX];

static const char *const kind_names[QUOTA_KINDS] = {
	[QUOTA_REQUESTS] = "requests",
	[QUOTA_MISSES] = "misses",
	[QUOTA_BYTES] = "bytes",
	[QUOTA_UPSTREAM_BYTES] = "upstream_bytes",
};

static const struct {
	const char *name;
	int64_t seconds;	/* 0: by the calendar */
} windows[WINDOWS] = {
	[WINDOW_SECOND] = { "second", 1 },
	[WINDOW_MINUTE] = { "minute", 60 },
	[WINDOW_HOUR] = { "hour", 3600 },
	[WINDOW_DAY] = { "day", 86400 },
	[WINDOW_MONTH] = { "month", 0 },
};

const char *
quota_kind_name(enum quota_kind k)
{
	return (unsigned)k < QUOTA_KINDS ? kind_names[k] : "-";
}

const char *
quota_window_name(enum quota_window w)
{
	return (unsigned)w < WINDOWS ? windows[w].name : "-";
}

void
quota_window_bounds(enum quota_window w, int64_t at_ms, int64_t *ret_start_s, int64_t *ret_end_s)
{
	int64_t at_s = at_ms / 1000, len = windows[w].seconds;
	time_t t;
	struct tm tm;

	if (at_ms < 0)
		at_s = 0;	/* a clock before 1970 is a broken clock */
	if (len != 0) {
		*ret_start_s = at_s - at_s % len;
		*ret_end_s = *ret_start_s + len;
		return;
	}
	t = (time_t)at_s;
	if (gmtime_r(&t, &tm) == NULL) {	/* a year that does not fit in an int */
		*ret_start_s = at_s;
		*ret_end_s = at_s + 1;
		return;
	}
	tm.tm_mday = 1;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	*ret_start_s = (int64_t)timegm(&tm);
	tm.tm_mon++;		/* timegm carries December over */
	*ret_end_s = (int64_t)timegm(&tm);
}

/* "eo:" and hex: what people are called never is part of a key. */
static void
counter_key(char ret[COUNTER_KEY_SIZE], const struct charge_entry *entry, const struct quota_limit *limit,
    int64_t start_s)
{
	const char *part[] = {
		entry->subject, entry->set, kind_names[limit->kind], windows[limit->window].name,
	};
	struct buf text = BUF_INIT(1024);
	char hex[65];

	for (size_t i = 0; i < ARRAY_LEN(part); i++)
		(void)buf_add(&text, part[i], strlen(part[i]) + 1);	/* with its NUL */
	(void)buf_addu(&text, (uint64_t)start_s);	/* never before 1970 */
	buf_must(&text);
	digest_sha256_hex(text.data, text.len, hex);
	buf_release(&text);
	memcpy(ret, "eo:", 3);
	memcpy(ret + 3, hex, COUNTER_KEY_SIZE - 4);
	ret[COUNTER_KEY_SIZE - 1] = '\0';
}

/* The counter of this key in the plan; a new one when there is none yet. */
static size_t
plan_op(struct plan *p, const char *key)
{
	for (size_t i = 0; i < p->n_ops; i++) {
		if (strcmp(p->op[i].key, key) == 0)
			return i;
	}
	MUST(p->n_ops < COUNTERS_MAX);
	memset(&p->op[p->n_ops], 0, sizeof(p->op[0]));
	memcpy(p->op[p->n_ops].key, key, COUNTER_KEY_SIZE);
	return p->n_ops++;
}

static uint32_t
counter_ttl(int64_t start_s, int64_t end_s, int64_t now_s)
{
	int64_t slack_s = end_s - start_s;

	if (slack_s < TTL_SLACK_MIN_S)
		slack_s = TTL_SLACK_MIN_S;
	if (slack_s > TTL_SLACK_MAX_S)
		slack_s = TTL_SLACK_MAX_S;
	return (uint32_t)(end_s - now_s + slack_s);
}

enum over_windows { SKIP_PAST, PAST_IS_NOW };

/* The limits of the charge's sets on the kinds that are asked for. */
static void
plan_make(struct plan *p, const struct config *c, const struct charge *ch, const bool asked[QUOTA_KINDS],
    enum over_windows past)
{
	int64_t now_ms = clock_wall_ms(), at_ms = ch->at_ms;

	if (at_ms > now_ms + AHEAD_MAX_MS)
		at_ms = now_ms;		/* no clock of ours is that far ahead */
	p->n = p->n_ops = 0;
	for (size_t i = 0; i < ch->n; i++) {
		const struct quota_set *set = config_quota(c, ch->entry[i].set);

		for (size_t k = 0; set != NULL && k < set->n_limits; k++) {
			const struct quota_limit *limit = &set->limit[k];
			struct applied *a = &p->v[p->n];
			char key[COUNTER_KEY_SIZE];
			int64_t start_s;

			if (!asked[limit->kind])
				continue;
			quota_window_bounds(limit->window, at_ms, &start_s, &a->end_s);
			if (a->end_s * 1000 <= now_ms) {
				if (past == SKIP_PAST)
					continue;
				quota_window_bounds(limit->window, now_ms, &start_s, &a->end_s);
			}
			counter_key(key, &ch->entry[i], limit, start_s);
			a->entry = &ch->entry[i];
			a->set = set;
			a->limit = limit;
			a->op = plan_op(p, key);
			p->op[a->op].ttl_s = counter_ttl(start_s, a->end_s, now_ms / 1000);
			p->n++;
		}
	}
}

static void
answer_fill(struct quota_answer *ret, const struct applied *a, uint64_t used, int64_t now_ms)
{
	int64_t frees_s = a->end_s - now_ms / 1000;

	memcpy(ret->set, a->entry->set, sizeof(ret->set));
	ret->kind = a->limit->kind;
	ret->window = a->limit->window;
	ret->limit = a->limit->n;
	ret->used = used;
	ret->frees_in_s = frees_s < 1 ? 1 : (uint32_t)frees_s;
}

/* The limit that is over and frees last; NULL when none is. */
static const struct applied *
over_longest(const struct plan *p, const uint64_t add[QUOTA_KINDS])
{
	const struct applied *worst = NULL;

	for (size_t i = 0; i < p->n; i++) {
		const struct applied *a = &p->v[i];
		bool over = add[a->limit->kind] > a->limit->n || p->op[a->op].ret_value > a->limit->n ||
		    p->op[a->op].ret_value > COUNT_MAX;

		if (over && (worst == NULL || a->end_s > worst->end_s))
			worst = a;
	}
	return worst;
}

/* The limit with the smallest part of it left; NULL without limits. */
static const struct applied *
tightest(const struct plan *p)
{
	const struct applied *least = NULL;
	double least_left = 2;

	for (size_t i = 0; i < p->n; i++) {
		const struct applied *a = &p->v[i];
		double left = a->limit->n == 0 ? 0 :
		    (double)(a->limit->n - p->op[a->op].ret_value) / (double)a->limit->n;

		if (left < least_left) {
			least_left = left;
			least = a;
		}
	}
	return least;
}

/* Larger than a limit by itself, or than any counter can hold. */
static bool
never_fits(const struct plan *p, const uint64_t add[QUOTA_KINDS])
{
	for (size_t i = 0; i < p->n; i++) {
		uint64_t n = add[p->v[i].limit->kind];

		if (n > p->v[i].limit->n || n > COUNT_MAX)
			return true;
	}
	return false;
}

static void
give_back(struct counters *s, struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_ops; i++) {
		if (p->op[i].ret_value > COUNT_MAX)
			continue;	/* nonsense: nothing was added, or nothing is worth saving */
		p->op[n] = p->op[i];
		p->op[n++].subtract = true;
	}
	if (n > 0)
		(void)s->post(s, p->op, n);	/* away: the counter stays too high, which refuses, never admits */
}

static enum quota_verdict
away_verdict(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].set->refuse_when_unavailable)
			return QUOTA_AWAY_REFUSE;
	}
	return QUOTA_AWAY_ALLOW;
}

static void
remember(struct charge *ch, const uint64_t add[QUOTA_KINDS])
{
	for (size_t k = 0; k < QUOTA_KINDS; k++) {
		if (__builtin_add_overflow(ch->reserved[k], add[k], &ch->reserved[k]))
			ch->reserved[k] = UINT64_MAX;
	}
}

/* A limit said no: which, and nothing is kept. */
static void
refuse(struct counters *s, struct plan *p, const struct applied *a, uint64_t added, int64_t now_ms,
    struct quota_answer *ret)
{
	uint64_t value = p->op[a->op].ret_value, used = value - (added < value ? added : value);

	/* nonsense is over the limit; and others that are refused too may not have given theirs back yet */
	if (value > COUNT_MAX || used > a->limit->n)
		used = a->limit->n;
	ret->verdict = QUOTA_OVER;
	answer_fill(ret, a, used, now_ms);
	if (added != 0)
		give_back(s, p);
}

/* What the charge would add to which counters.  False: nothing limits it. */
static bool
want_plan(struct plan *p, const struct config *c, const struct quota_want *w)
{
	bool asked[QUOTA_KINDS];

	memset(w->answer, 0, sizeof(*w->answer));
	for (size_t k = 0; k < QUOTA_KINDS; k++)
		asked[k] = w->add[k] != 0;
	plan_make(p, c, w->charge, asked, PAST_IS_NOW);
	if (p->n == 0) {
		remember(w->charge, w->add);
		return false;
	}
	/* what never fits only reads, to be told what is used */
	p->fits = !never_fits(p, w->add);
	for (size_t i = 0; p->fits && i < p->n; i++)
		p->op[p->v[i].op].add = w->add[p->v[i].limit->kind];
	return true;
}

/* The counters have answered, or not (away). */
static void
want_answer(struct counters *s, struct plan *p, const struct quota_want *w, bool away, int64_t now_ms)
{
	const struct applied *a;

	if (away) {
		/* not remembered: settling must not take back what the counters never got */
		w->answer->verdict = away_verdict(p);
		return;
	}
	a = over_longest(p, w->add);
	if (a != NULL) {
		refuse(s, p, a, p->fits ? w->add[a->limit->kind] : 0, now_ms, w->answer);
		return;
	}
	remember(w->charge, w->add);
	a = tightest(p);
	answer_fill(w->answer, a, p->op[a->op].ret_value, now_ms);
}

/*
 * One of a turn was refused: those behind it have counted what is given back
 * now.  Taken out of what they see, they are judged as if they had come after.
 */
static void
leave_out(const struct counter_op *refused, size_t n_refused, struct counter_op *op, size_t n)
{
	for (size_t i = 0; i < n_refused; i++) {
		const struct counter_op *r = &refused[i];

		for (size_t k = 0; k < n; k++) {
			if (strcmp(op[k].key, r->key) != 0)
				continue;
			if (r->ret_value > COUNT_MAX)
				op[k].ret_value = UINT64_MAX;	/* it may have wrapped just there */
			else if (op[k].ret_value <= COUNT_MAX && op[k].ret_value >= op[k].add + r->add)
				op[k].ret_value -= r->add;
		}
	}
}

/* From the first on as many as one round trip can have.  How many these were. */
static size_t
reserve_some(struct counters *s, const struct config *c, const struct quota_want *want, size_t n)
{
	static struct counter_op op[COUNTERS_MAX];
	const struct counter_op *mine;
	bool limited[QUOTA_WANTS_MAX], away;
	int64_t now_ms = clock_wall_ms();
	size_t n_ops = 0, done = 0, at = 0, n_mine;

	while (done < n) {
		struct plan *p = &plans[done];

		limited[done] = want_plan(p, c, &want[done]);
		if (!limited[done])
			p->n_ops = 0;
		if (n_ops + p->n_ops > COUNTERS_MAX)
			break;
		memcpy(op + n_ops, p->op, p->n_ops * sizeof(op[0]));
		n_ops += p->n_ops;
		done++;
	}
	away = n_ops > 0 && (s == NULL || s->run(s, op, n_ops) == -1);
	for (size_t i = 0; i < done; i++) {
		if (!limited[i])
			continue;
		mine = op + at;
		n_mine = plans[i].n_ops;
		at += n_mine;
		memcpy(plans[i].op, mine, n_mine * sizeof(op[0]));
		want_answer(s, &plans[i], &want[i], away, now_ms);
		if (want[i].answer->verdict == QUOTA_OVER)
			leave_out(mine, n_mine, op + at, n_ops - at);
	}
	return done;
}

void
quota_reserve_all(struct counters *s, const struct config *c, const struct quota_want *want, size_t n)
{
	MUST(n <= QUOTA_WANTS_MAX);
	while (n > 0) {
		size_t done = reserve_some(s, c, want, n);

		want += done;
		n -= done;
	}
}

void
quota_reserve(struct counters *s, const struct config *c, struct charge *ch, const uint64_t add[QUOTA_KINDS],
    struct quota_answer *ret)
{
	struct quota_want want = { ch, add, ret };

	quota_reserve_all(s, c, &want, 1);
}

int
quota_settle(struct counters *s, const struct config *c, const struct charge *ch, const uint64_t actual[QUOTA_KINDS])
{
	struct plan *p = &plans[0];
	bool asked[QUOTA_KINDS], some = false;
	int r = 0;

	for (size_t k = 0; k < QUOTA_KINDS; k++) {
		asked[k] = actual[k] != ch->reserved[k];
		some = some || asked[k];
	}
	if (!some)
		return 0;	/* as a hit: it came to what was reserved */
	plan_make(p, c, ch, asked, SKIP_PAST);
	for (size_t i = 0; i < p->n; i++) {
		struct counter_op *op = &p->op[p->v[i].op];
		enum quota_kind k = p->v[i].limit->kind;

		op->subtract = actual[k] < ch->reserved[k];
		op->add = op->subtract ? ch->reserved[k] - actual[k] : actual[k] - ch->reserved[k];
		if (op->add > COUNT_MAX)
			op->add = COUNT_MAX;
	}
	if (p->n_ops > 0)
		r = s == NULL ? -1 : s->run(s, p->op, p->n_ops);
	return r;
}

/* A structured-field string: printable ASCII, quoted. */
static void
add_sf_string(struct buf *out, const char *s)
{
	(void)buf_addc(out, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			(void)buf_addc(out, '\\');
		(void)buf_addc(out, *s >= 0x20 && *s < 0x7f ? *s : '?');
	}
	(void)buf_addc(out, '"');
}

void
quota_ratelimit(const struct quota_answer *a, struct buf *ratelimit, struct buf *policy)
{
	const uint64_t sf_max = 999999999999999;	/* RFC 9651, 3.3.1 */
	uint64_t left = a->used < a->limit ? a->limit - a->used : 0;
	int64_t start_s, end_s;

	if (a->limit == 0)
		return;
	quota_window_bounds(a->window, clock_wall_ms(), &start_s, &end_s);
	add_sf_string(ratelimit, a->set);
	(void)buf_adds(ratelimit, ";r=");
	(void)buf_addu(ratelimit, left < sf_max ? left : sf_max);
	(void)buf_adds(ratelimit, ";t=");
	(void)buf_addu(ratelimit, a->frees_in_s);
	add_sf_string(policy, a->set);
	(void)buf_adds(policy, ";q=");
	(void)buf_addu(policy, a->limit < sf_max ? a->limit : sf_max);
	if (a->kind == QUOTA_BYTES || a->kind == QUOTA_UPSTREAM_BYTES)
		(void)buf_adds(policy, ";qu=\"content-bytes\"");
	(void)buf_adds(policy, ";w=");
	(void)buf_addu(policy, (uint64_t)(end_s - start_s));
}
