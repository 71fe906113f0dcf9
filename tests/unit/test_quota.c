/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits and windows over the store in memory, and over one that is away or
 * lies.  What needs a real memcached is in tests/system.
 */
#include "base/base.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "quota/quota.h"
#include "unit.h"

static struct quota_set sets[RULE_QUOTAS_MAX];
static struct config config = { .quotas = sets };
static struct rule rule;

/* 2026-11-22T10:30:15.250Z */
enum { START_S = 1795343415 };

static void
set_clock(int64_t wall_s)
{
	int64_t by_ms = wall_s * 1000 + 250 - clock_wall_ms();

	if (by_ms != 0)		/* which would undo all shifts */
		clock_shift_ms(by_ms);
}

static struct quota_limit *
limit(size_t set, enum quota_kind k, enum quota_window w, uint64_t n)
{
	struct quota_limit *l = &sets[set].limit[sets[set].n_limits++];

	*l = (struct quota_limit){ k, w, n };
	return l;
}

/* Two sets in one rule: "user" per user, "pool" per group. */
static void
fresh(void)
{
	memset(sets, 0, sizeof(sets));
	sets[0].name = (char *)(uintptr_t)"user";
	sets[1].name = (char *)(uintptr_t)"pool";
	sets[1].per_group = true;
	config.n_quotas = 2;
	memset(&rule, 0, sizeof(rule));
	rule.quota[1] = 1;
	rule.n_quotas = 2;
	set_clock(START_S);
}

static struct charge
charge_of(const char *name, const char *group)
{
	struct identity who;
	struct charge ch;

	memset(&who, 0, sizeof(who));
	(void)snprintf(who.realm, sizeof(who.realm), "%s", name[0] == '\0' ? "" : "front");
	(void)snprintf(who.name, sizeof(who.name), "%s", name);
	charge_init(&ch, &config, &rule, &who, group, "id1", clock_wall_ms());
	return ch;
}

static enum quota_verdict
reserve(struct counters *s, struct charge *ch, uint64_t requests, uint64_t bytes, struct quota_answer *ret)
{
	const uint64_t add[QUOTA_KINDS] = { [QUOTA_REQUESTS] = requests, [QUOTA_BYTES] = bytes };
	struct quota_answer answer;

	quota_reserve(s, &config, ch, add, ret == NULL ? &answer : ret);
	return ret == NULL ? answer.verdict : ret->verdict;
}

static uint64_t
used_bytes(struct counters *s, const char *name, const char *group)
{
	struct charge ch = charge_of(name, group);
	struct quota_answer a;

	/* one more than the limit is never added, only looked at */
	(void)reserve(s, &ch, 0, UINT64_MAX, &a);
	return a.used;
}

/* -- a store that is away, and one that holds nonsense -------------------------- */

static int calls, posts;

static int
away_run(struct counters *s UNUSED, struct counter_op *ops UNUSED, size_t n UNUSED)
{
	calls++;
	return -1;
}

static int
nonsense_run(struct counters *s UNUSED, struct counter_op *ops, size_t n)
{
	calls++;
	for (size_t i = 0; i < n; i++)
		ops[i].ret_value = UINT64_MAX;
	return 0;
}

static int
count_post(struct counters *s UNUSED, const struct counter_op *ops UNUSED, size_t n UNUSED)
{
	posts++;
	return 0;
}

static struct counters store_away = { away_run, count_post, NULL };
static struct counters store_nonsense = { nonsense_run, count_post, NULL };

/* A wrap (or whatever) is seen by the first that asks; the next ones see a small number. */
static int
wrapped_run(struct counters *s UNUSED, struct counter_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ops[i].ret_value = i == 0 ? UINT64_MAX : ops[i].add;
	return 0;
}

static struct counters *counted;	/* behind counted_run */

static int
counted_run(struct counters *s UNUSED, struct counter_op *ops, size_t n)
{
	calls++;
	MUST(n <= COUNTERS_MAX);
	return counted->run(counted, ops, n);
}

static struct counters store_wrapped = { wrapped_run, count_post, NULL };
static struct counters store_counted = { counted_run, count_post, NULL };

/* As a worker's turn: one charge of n bytes each, together.  Their verdicts, a letter each. */
static const char *
reserve_together(struct counters *s, const char *const names[], const uint64_t bytes[], size_t n, struct quota_answer *ret)
{
	static char verdicts[QUOTA_WANTS_MAX + 1];
	uint64_t add[QUOTA_WANTS_MAX][QUOTA_KINDS] = { { 0 } };
	struct charge ch[QUOTA_WANTS_MAX];
	struct quota_want want[QUOTA_WANTS_MAX] = { { NULL, NULL, NULL } };

	for (size_t i = 0; i < n; i++) {
		ch[i] = charge_of(names[i], "s2");
		add[i][QUOTA_BYTES] = bytes[i];
		want[i] = (struct quota_want){ &ch[i], add[i], &ret[i] };
	}
	quota_reserve_all(s, &config, want, n);
	for (size_t i = 0; i < n; i++) {
		verdicts[i] = ret[i].verdict == QUOTA_OK ? 'y' : ret[i].verdict == QUOTA_OVER ? 'n' : '?';
		CHECK_INT(ch[i].reserved[QUOTA_BYTES], ret[i].verdict == QUOTA_OK ? bytes[i] : 0);
	}
	verdicts[n] = '\0';
	return verdicts;
}

/* -- windows -------------------------------------------------------------------- */

static void
bounds_are(int line, enum quota_window w, int64_t at_s, int64_t start, int64_t end)
{
	int64_t got_start, got_end;

	quota_window_bounds(w, at_s * 1000 + 999, &got_start, &got_end);
	if (got_start != start || got_end != end)
		fprintf(stderr, "line %d: %s: got %" PRId64 " to %" PRId64 ", want %" PRId64 " to %" PRId64 "\n", line,
		    quota_window_name(w), got_start, got_end, start, end);
	CU_ASSERT_TRUE(got_start == start && got_end == end);
}
#define BOUNDS(w, at, start, end) bounds_are(__LINE__, (w), (at), (start), (end))

static void
g7_windows_begin_and_end_in_utc(void)
{
	(void)setenv("TZ", "Pacific/Auckland", 1);	/* a zone with summer time, a day ahead */
	BOUNDS(WINDOW_SECOND, START_S, START_S, START_S + 1);
	BOUNDS(WINDOW_MINUTE, START_S, START_S - 15, START_S + 45);
	BOUNDS(WINDOW_HOUR, START_S, 1795341600, 1795345200);
	BOUNDS(WINDOW_DAY, START_S, 1795305600, 1795392000);
	BOUNDS(WINDOW_DAY, 1795391999, 1795305600, 1795392000);
	BOUNDS(WINDOW_DAY, 1795392000, 1795392000, 1795478400);
	BOUNDS(WINDOW_MONTH, START_S, 1793491200, 1796083200);		/* November 2026 */
	(void)unsetenv("TZ");
}

static void
months_end_where_the_calendar_says(void)
{
	BOUNDS(WINDOW_MONTH, 1709164799, 1706745600, 1709251200);	/* 2024-02-28T23:59:59: leap year */
	BOUNDS(WINDOW_MONTH, 1709251199, 1706745600, 1709251200);	/* 2024-02-29T23:59:59 */
	BOUNDS(WINDOW_MONTH, 1709251200, 1709251200, 1711929600);	/* 2024-03-01 */
	BOUNDS(WINDOW_MONTH, 1740787199, 1738368000, 1740787200);	/* 2025-02-28T23:59:59 */
	BOUNDS(WINDOW_MONTH, 4107456000, 4105123200, 4107542400);	/* 2100-02-28: no leap year */
	BOUNDS(WINDOW_MONTH, 1798761599, 1796083200, 1798761600);	/* 2026-12-31T23:59:59 */
	BOUNDS(WINDOW_MONTH, 1798761600, 1798761600, 1801440000);	/* 2027-01-01 */
	BOUNDS(WINDOW_MONTH, 1483228799, 1480550400, 1483228800);	/* around the leap second of 2016 */
	BOUNDS(WINDOW_SECOND, 0, 0, 1);
}

static void
a_clock_before_1970_or_past_every_year_does_no_harm(void)
{
	int64_t start, end;

	for (int w = 0; w < WINDOWS; w++) {
		quota_window_bounds((enum quota_window)w, INT64_MIN, &start, &end);
		CHECK(start <= 0 && end > start);
		quota_window_bounds((enum quota_window)w, INT64_MAX, &start, &end);
		CHECK(end > start);
	}
}

/* -- charges -------------------------------------------------------------------- */

static void
the_group_pays_where_there_is_one(void)
{
	struct charge a, b, c;

	fresh();
	a = charge_of("alice", "s2");
	b = charge_of("bob", "s2");
	c = charge_of("alice", "");
	CHECK_INT(a.n, 2);
	CHECK_STR(a.entry[1].subject, b.entry[1].subject);
	CHECK_STR(a.entry[1].group, "s2");
	CHECK(strcmp(a.entry[0].subject, b.entry[0].subject) != 0);
	CHECK_STR(c.entry[1].subject, c.entry[0].subject);
	CHECK_STR(c.entry[1].group, "");
	CHECK_INT(strlen(a.entry[0].subject), 40);
}

static void
g1_subjects_do_not_meet_across_realms_names_and_groups(void)
{
	struct identity who;
	struct charge a, b;

	fresh();
	memset(&who, 0, sizeof(who));
	(void)snprintf(who.realm, sizeof(who.realm), "ab");
	(void)snprintf(who.name, sizeof(who.name), "c");
	charge_init(&a, &config, &rule, &who, "", "id", 0);
	(void)snprintf(who.realm, sizeof(who.realm), "a");
	(void)snprintf(who.name, sizeof(who.name), "bc");
	charge_init(&b, &config, &rule, &who, "c", "id", 0);
	CHECK(strcmp(a.entry[0].subject, b.entry[0].subject) != 0);
	CHECK(strcmp(a.entry[0].subject, b.entry[1].subject) != 0);
	a = charge_of("", "");
	b = charge_of("", "");
	CHECK_STR(a.entry[0].subject, b.entry[0].subject);
}

static void
a_set_named_twice_is_charged_once(void)
{
	fresh();
	rule.quota[1] = 0;
	CHECK_INT(charge_of("alice", "s2").n, 1);
}

static char seen_key[COUNTER_KEY_SIZE];

static int
key_run(struct counters *s UNUSED, struct counter_op *ops, size_t n)
{
	CHECK_INT(n, 1);
	memcpy(seen_key, ops[0].key, sizeof(seen_key));
	ops[0].ret_value = ops[0].add;
	CHECK(ops[0].ttl_s >= 1 && ops[0].ttl_s <= 32 * 86400);
	return 0;
}

/* G1: whatever a name holds, a key is hex. */
static void
g1_keys_are_hex_whatever_the_name_holds(void)
{
	static const char *const names[] = { "a b", "x\r\nset eo:victim 0 0 1\r\n9", "%s%n", "\xff\xfe", "" };
	struct counters store = { key_run, count_post, NULL };
	char longest[IDENTITY_NAME_MAX + 1];
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 10);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i <= ARRAY_LEN(names); i++) {
		ch = charge_of(i < ARRAY_LEN(names) ? names[i] : longest, "");
		CHECK_INT(reserve(&store, &ch, 1, 0, NULL), QUOTA_OK);
		CHECK_INT(strlen(seen_key), COUNTER_KEY_SIZE - 1);
		CHECK(strncmp(seen_key, "eo:", 3) == 0);
		CHECK_INT(strspn(seen_key + 3, "0123456789abcdef"), COUNTER_KEY_SIZE - 4);
	}
}

/* -- reservations ---------------------------------------------------------------- */

static void
the_last_unit_is_given_and_none_after_it(void)
{
	struct counters *s = counters_memory_new();
	struct quota_answer a;
	struct charge ch;

	for (int k = 0; k < QUOTA_KINDS; k++) {
		for (int w = 0; w < WINDOWS; w++) {
			uint64_t add[QUOTA_KINDS] = { 0 };

			fresh();
			limit(0, (enum quota_kind)k, (enum quota_window)w, 3);
			ch = charge_of("alice", "");
			add[k] = 1;
			for (int i = 1; i <= 3; i++) {
				quota_reserve(s, &config, &ch, add, &a);
				CHECK_INT(a.verdict, QUOTA_OK);
				CHECK_INT(a.used, i);
				CHECK_INT(ch.reserved[k], i);
			}
			for (int i = 0; i < 3; i++) {
				quota_reserve(s, &config, &ch, add, &a);
				CHECK_INT(a.verdict, QUOTA_OVER);
				CHECK_INT(a.used, 3);
				CHECK_INT(a.limit, 3);
				CHECK_INT(a.kind, k);
				CHECK_INT(a.window, w);
				CHECK_INT(ch.reserved[k], 3);
			}
		}
	}
	s->free(s);
}

static void
many_at_once_get_what_is_left_and_none_is_told_of_more_than_the_limit(void)
{
	enum { N = 5 };
	struct counters *s = counters_memory_new();
	const uint64_t add[QUOTA_KINDS] = { [QUOTA_BYTES] = 200 };
	struct quota_want want[N];
	struct quota_answer a[N];
	struct charge ch[N];

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 300);
	for (int i = 0; i < N; i++) {
		ch[i] = charge_of("alice", "");
		want[i] = (struct quota_want){ &ch[i], add, &a[i] };
	}
	quota_reserve_all(s, &config, want, N);
	CHECK_INT(a[0].verdict, QUOTA_OK);
	CHECK_INT(a[0].used, 200);
	for (int i = 1; i < N; i++) {
		CHECK_INT(a[i].verdict, QUOTA_OVER);
		CHECK(a[i].used >= 200 && a[i].used <= 300);
		CHECK_INT(ch[i].reserved[QUOTA_BYTES], 0);
	}
	CHECK_INT(used_bytes(s, "alice", ""), 200);
	s->free(s);
}

static void
one_user_s_limit_is_not_another_s_but_the_pool_is_shared(void)
{
	struct counters *s = counters_memory_new();
	struct charge alice, bob;
	struct quota_answer a;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 2);
	limit(1, QUOTA_REQUESTS, WINDOW_DAY, 3);
	alice = charge_of("alice", "s2");
	bob = charge_of("bob", "s2");
	CHECK_INT(reserve(s, &alice, 1, 0, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &alice, 1, 0, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &alice, 1, 0, &a), QUOTA_OVER);
	CHECK_STR(a.set, "user");
	CHECK_INT(reserve(s, &bob, 1, 0, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &bob, 1, 0, &a), QUOTA_OVER);
	CHECK_STR(a.set, "pool");
	s->free(s);
}

static void
a_refusal_gives_back_what_other_limits_took(void)
{
	struct counters *s = counters_memory_new();
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_SECOND, 1);
	limit(0, QUOTA_BYTES, WINDOW_MONTH, 1000);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 1, 100, NULL), QUOTA_OK);
	for (int i = 0; i < 50; i++)
		CHECK_INT(reserve(s, &ch, 1, 100, NULL), QUOTA_OVER);
	CHECK_INT(used_bytes(s, "alice", ""), 100);
	s->free(s);
}

static void
of_several_limits_the_one_that_frees_last_is_told(void)
{
	struct counters *s = counters_memory_new();
	struct quota_answer a;
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_SECOND, 1);
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 1);
	limit(0, QUOTA_REQUESTS, WINDOW_HOUR, 1);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 1, 0, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &ch, 1, 0, &a), QUOTA_OVER);
	CHECK_INT(a.window, WINDOW_DAY);
	CHECK_INT(a.frees_in_s, 1795392000 - START_S);
	s->free(s);
}

static void
of_limits_with_room_the_tightest_is_told(void)
{
	struct counters *s = counters_memory_new();
	struct quota_answer a;
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 10);
	limit(0, QUOTA_BYTES, WINDOW_DAY, 1000000);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 1, 10, &a), QUOTA_OK);
	CHECK_INT(a.kind, QUOTA_REQUESTS);
	CHECK_INT(reserve(s, &ch, 1, 900000, &a), QUOTA_OK);
	CHECK_INT(a.kind, QUOTA_BYTES);
	CHECK_INT(a.used, 900010);
	s->free(s);
}

static void
what_never_fits_is_refused_and_leaves_no_trace(void)
{
	static const uint64_t huge[] = { 1001, (uint64_t)1 << 62, (uint64_t)1 << 63, UINT64_MAX - 1, UINT64_MAX };
	struct counters *s = counters_memory_new();
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 1000);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 0, 400, NULL), QUOTA_OK);
	for (size_t i = 0; i < ARRAY_LEN(huge); i++)
		CHECK_INT(reserve(s, &ch, 0, huge[i], NULL), QUOTA_OVER);
	CHECK_INT(ch.reserved[QUOTA_BYTES], 400);
	CHECK_INT(used_bytes(s, "alice", ""), 400);
	CHECK_INT(reserve(s, &ch, 0, 600, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &ch, 0, 1, NULL), QUOTA_OVER);
	s->free(s);
}

static void
the_largest_limit_there_is_does_not_wrap(void)
{
	struct counters *s = counters_memory_new();
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, UINT64_MAX);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 0, (uint64_t)1 << 61, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &ch, 0, (uint64_t)1 << 61, NULL), QUOTA_OK);
	for (int i = 0; i < 8; i++)
		CHECK_INT(reserve(s, &ch, 0, (uint64_t)1 << 62, NULL), QUOTA_OVER);
	s->free(s);
}

static void
a_limit_of_nothing_refuses_and_frees_at_the_end_of_its_window(void)
{
	struct counters *s = counters_memory_new();
	struct quota_answer a;
	struct charge ch;

	fresh();
	limit(0, QUOTA_MISSES, WINDOW_HOUR, 0);
	limit(0, QUOTA_REQUESTS, WINDOW_HOUR, 5);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 1, 0, NULL), QUOTA_OK);
	{
		const uint64_t add[QUOTA_KINDS] = { [QUOTA_MISSES] = 1 };

		quota_reserve(s, &config, &ch, add, &a);
	}
	CHECK_INT(a.verdict, QUOTA_OVER);
	CHECK_INT(a.frees_in_s, 1795345200 - START_S);
	s->free(s);
}

static void
two_limits_over_one_count_add_once(void)
{
	struct counters *s = counters_memory_new();
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 1000);
	limit(0, QUOTA_BYTES, WINDOW_DAY, 500);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 0, 500, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &ch, 0, 1, NULL), QUOTA_OVER);
	s->free(s);
}

static void
without_limits_nobody_asks_the_store(void)
{
	struct quota_answer a;
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 10);
	ch = charge_of("alice", "");
	calls = 0;
	CHECK_INT(reserve(&store_away, &ch, 1, 0, &a), QUOTA_OK);
	CHECK_INT(calls, 0);
	CHECK_INT(a.limit, 0);
	CHECK_INT(ch.reserved[QUOTA_REQUESTS], 1);
}

/* -- stores that fail --------------------------------------------------------------- */

static void
a_store_that_is_away_gives_the_configured_answer_and_refuse_wins(void)
{
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 10);
	limit(1, QUOTA_BYTES, WINDOW_DAY, 10);
	sets[1].refuse_when_unavailable = true;
	ch = charge_of("alice", "s2");
	CHECK_INT(reserve(&store_away, &ch, 1, 0, NULL), QUOTA_AWAY_ALLOW);	/* no limit of "pool" is asked */
	CHECK_INT(reserve(&store_away, &ch, 1, 5, NULL), QUOTA_AWAY_REFUSE);
	CHECK_INT(ch.reserved[QUOTA_REQUESTS], 0);
	CHECK_INT(ch.reserved[QUOTA_BYTES], 0);
	CHECK_INT(reserve(NULL, &ch, 1, 0, NULL), QUOTA_AWAY_ALLOW);
}

/* The store was away and is back: nothing is given back that it never got, and what was used counts. */
static void
what_passed_uncounted_is_counted_when_it_is_settled(void)
{
	struct counters *s = counters_memory_new();
	uint64_t actual[QUOTA_KINDS] = { [QUOTA_BYTES] = 7 };
	struct charge other, ch;
	struct quota_answer a;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 1000);
	other = charge_of("alice", "");
	CHECK_INT(reserve(s, &other, 0, 500, &a), QUOTA_OK);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(&store_away, &ch, 0, 300, NULL), QUOTA_AWAY_ALLOW);
	CHECK_INT(quota_settle(s, &config, &ch, actual), 0);
	CHECK_INT(reserve(s, &other, 0, 1, &a), QUOTA_OK);
	CHECK_INT(a.used, 508);
	s->free(s);
}

/* G3 */
static void
g3_nonsense_in_a_counter_is_over_never_free(void)
{
	struct quota_answer a;
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, UINT64_MAX);
	ch = charge_of("alice", "");
	posts = 0;
	CHECK_INT(reserve(&store_nonsense, &ch, 0, 1, &a), QUOTA_OVER);
	CHECK_INT(posts, 0);
	CHECK(a.frees_in_s >= 1);
}

/* -- roll-over ------------------------------------------------------------------------ */

/* G7 */
static void
g7_at_midnight_a_new_window_starts_once(void)
{
	struct counters *s = counters_memory_new();
	struct charge before, after;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 2);
	set_clock(1795391999);
	before = charge_of("alice", "");
	CHECK_INT(reserve(s, &before, 1, 0, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &before, 1, 0, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &before, 1, 0, NULL), QUOTA_OVER);
	set_clock(1795392000);
	after = charge_of("alice", "");
	CHECK_INT(reserve(s, &after, 1, 0, NULL), QUOTA_OK);
	/* another host, whose clock is five seconds late, still uses the old day: no second credit there */
	set_clock(1795391996);
	before = charge_of("alice", "");
	CHECK_INT(reserve(s, &before, 1, 0, NULL), QUOTA_OVER);
	/* and one that is early the new day */
	set_clock(1795392003);
	after = charge_of("alice", "");
	CHECK_INT(reserve(s, &after, 1, 0, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &after, 1, 0, NULL), QUOTA_OVER);
	s->free(s);
}

/*
 * Two hosts whose clocks are five seconds apart, from the day before summer time
 * ends until the day after, by a local time that has an hour twice: each UTC day
 * admits its limit once.
 */
static void
g7_two_hosts_over_a_day_of_25_hours_admit_the_limit_once_a_day(void)
{
	enum { FIRST_S = 1792800000, DAY_S = 86400, DAYS = 3, LIMIT = 30 };	/* 2026-10-24 */
	struct counters *s = counters_memory_new();
	int admitted[DAYS] = { 0 };

	(void)setenv("TZ", "Europe/Berlin", 1);
	tzset();
	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, LIMIT);
	for (int64_t t = FIRST_S + 5; t < FIRST_S + DAYS * DAY_S; t += 600) {
		struct charge ch;

		set_clock(t - (t / 600 % 2 == 0 ? 5 : 0));
		ch = charge_of("alice", "");
		if (reserve(s, &ch, 1, 0, NULL) == QUOTA_OK)
			admitted[(t - FIRST_S) / DAY_S]++;
	}
	for (int day = 0; day < DAYS; day++)
		CHECK_INT(admitted[day], LIMIT);
	s->free(s);
	(void)unsetenv("TZ");
	tzset();
}

/* A clock that says the last second of 2016 twice, as kernels do at a leap second. */
static void
g7_a_leap_second_gives_no_second_credit(void)
{
	static const int64_t said[] = { 1483228798, 1483228799, 1483228799, 1483228800, 1483228801 };
	static const int want[] = { 2, 2, 0, 2, 2 };
	struct counters *s = counters_memory_new();

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_SECOND, 2);
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		struct charge ch;
		int got = 0;

		set_clock(said[i]);
		ch = charge_of("alice", "");
		for (int n = 0; n < 3; n++)
			got += reserve(s, &ch, 1, 0, NULL) == QUOTA_OK;
		CHECK_INT(got, want[i]);
	}
	s->free(s);
}

static void
a_late_reservation_counts_in_the_present_window(void)
{
	struct counters *s = counters_memory_new();
	struct charge slow, other;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_MINUTE, 100);
	slow = charge_of("alice", "");
	set_clock(START_S + 300);	/* its first byte comes five minutes after the request */
	CHECK_INT(reserve(s, &slow, 0, 80, NULL), QUOTA_OK);
	other = charge_of("alice", "");
	CHECK_INT(reserve(s, &other, 0, 30, NULL), QUOTA_OVER);
	CHECK_INT(reserve(s, &slow, 0, 30, NULL), QUOTA_OVER);
	s->free(s);
}

/* -- settling ---------------------------------------------------------------------------- */

static void
of_a_turn_who_is_refused_takes_nothing_from_those_behind(void)
{
	static const char *const one[] = { "a", "a", "a", "a", "a" };
	static const char *const two[] = { "a", "b", "c" };
	struct counters *s = counters_memory_new();
	struct quota_answer a[QUOTA_WANTS_MAX];
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 100);
	ch = charge_of("a", "");
	CHECK_INT(reserve(s, &ch, 0, 90, NULL), QUOTA_OK);
	CHECK_STR(reserve_together(s, one, (const uint64_t[]){ 50, 5, 20, 200, 5 }, 5, a), "nynny");
	CHECK_INT(a[0].used, 90);
	CHECK_INT(a[1].used, 95);
	CHECK_INT(a[2].used, 95);
	CHECK_INT(a[3].used, 95);
	CHECK_INT(a[4].used, 100);
	CHECK_INT(used_bytes(s, "a", ""), 100);
	/* a's own limit refuses, so the pool of both has room for b */
	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 20);
	limit(1, QUOTA_BYTES, WINDOW_DAY, 30);
	s->free(s);
	s = counters_memory_new();
	ch = charge_of("a", "s2");
	CHECK_INT(reserve(s, &ch, 0, 5, NULL), QUOTA_OK);
	CHECK_STR(reserve_together(s, two, (const uint64_t[]){ 20, 20, 6 }, 3, a), "nyn");
	CHECK_INT(a[1].used, 20);
	CHECK_STR(a[2].set, "pool");
	CHECK_INT(a[2].used, 25);
	s->free(s);
}

static void
g3_nonsense_that_one_of_a_turn_sees_is_over_for_those_behind(void)
{
	static const char *const names[] = { "a", "a", "b" };
	struct quota_answer a[QUOTA_WANTS_MAX];

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 100);
	CHECK_STR(reserve_together(&store_wrapped, names, (const uint64_t[]){ 5, 5, 5 }, 3, a), "nny");
}

static void
a_turn_with_more_counters_than_one_round_trip_has_takes_more(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "a" };
	struct quota_answer a[QUOTA_WANTS_MAX];

	fresh();
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		sets[i].name = mem_printf("set%zu", i);
		rule.quota[i] = i;
		for (unsigned w = 0; w < WINDOWS; w++)
			limit(i, QUOTA_BYTES, (enum quota_window)w, 10);
	}
	sets[1].per_group = false;
	rule.n_quotas = config.n_quotas = ARRAY_LEN(sets);
	counted = counters_memory_new();
	calls = 0;	/* 40 counters each, so four at a time */
	CHECK_STR(reserve_together(&store_counted, names, (const uint64_t[]){ 6, 6, 6, 6, 6, 6, 6, 6 }, 8, a), "yyyyyyyn");
	CHECK_INT(calls, 2);
	CHECK_INT(a[7].used, 6);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		free(sets[i].name);
	counted->free(counted);
}

static void
settling_moves_by_the_difference(void)
{
	struct counters *s = counters_memory_new();
	uint64_t actual[QUOTA_KINDS] = { [QUOTA_REQUESTS] = 1, [QUOTA_BYTES] = 300, [QUOTA_UPSTREAM_BYTES] = 700 };
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 10);
	limit(0, QUOTA_BYTES, WINDOW_DAY, 1000);
	limit(1, QUOTA_BYTES, WINDOW_MONTH, 2000);
	limit(1, QUOTA_UPSTREAM_BYTES, WINDOW_DAY, 1000);
	ch = charge_of("alice", "s2");
	CHECK_INT(reserve(s, &ch, 1, 900, NULL), QUOTA_OK);
	CHECK_INT(quota_settle(s, &config, &ch, actual), 0);		/* down for bytes, up for upstream */
	CHECK_INT(used_bytes(s, "alice", "s2"), 300);
	ch = charge_of("alice", "s2");
	CHECK_INT(reserve(s, &ch, 1, 700, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &ch, 0, 1, NULL), QUOTA_OVER);
	ch = charge_of("bob", "s2");
	{
		const uint64_t add[QUOTA_KINDS] = { [QUOTA_UPSTREAM_BYTES] = 301 };
		struct quota_answer a;

		quota_reserve(s, &config, &ch, add, &a);
		CHECK_INT(a.verdict, QUOTA_OVER);
		CHECK_INT(a.used, 700);
	}
	s->free(s);
}

static void
settling_as_reserved_asks_nobody(void)
{
	uint64_t actual[QUOTA_KINDS] = { [QUOTA_REQUESTS] = 1 };
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 10);
	ch = charge_of("alice", "");
	ch.reserved[QUOTA_REQUESTS] = 1;
	calls = 0;
	CHECK_INT(quota_settle(&store_away, &config, &ch, actual), 0);
	CHECK_INT(calls, 0);
	actual[QUOTA_REQUESTS] = 0;
	CHECK_INT(quota_settle(&store_away, &config, &ch, actual), -1);
	CHECK_INT(calls, 1);
}

static void
settling_skips_windows_that_are_over(void)
{
	struct counters *s = counters_memory_new();
	uint64_t actual[QUOTA_KINDS] = { [QUOTA_BYTES] = 100 };
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_MINUTE, 1000);
	limit(0, QUOTA_BYTES, WINDOW_DAY, 1000);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 0, 900, NULL), QUOTA_OK);
	set_clock(START_S + 60);
	CHECK_INT(quota_settle(s, &config, &ch, actual), 0);
	sets[0].n_limits = 1;		/* the new minute alone: untouched */
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 0, 1000, NULL), QUOTA_OK);
	s->free(s);
}

static void
giving_back_never_goes_below_nothing(void)
{
	struct counters *s = counters_memory_new();
	uint64_t actual[QUOTA_KINDS] = { 0 };
	struct charge ch;

	fresh();
	limit(0, QUOTA_BYTES, WINDOW_DAY, 1000);
	ch = charge_of("alice", "");
	ch.reserved[QUOTA_BYTES] = UINT64_MAX;	/* a message may say anything */
	CHECK_INT(quota_settle(s, &config, &ch, actual), 0);
	ch = charge_of("alice", "");
	CHECK_INT(reserve(s, &ch, 0, 1000, NULL), QUOTA_OK);
	CHECK_INT(reserve(s, &ch, 0, 1, NULL), QUOTA_OVER);
	s->free(s);
}

static void
a_set_that_a_reload_took_away_is_skipped(void)
{
	struct counters *s = counters_memory_new();
	struct charge ch;

	fresh();
	limit(0, QUOTA_REQUESTS, WINDOW_DAY, 0);
	ch = charge_of("alice", "");
	(void)snprintf(ch.entry[0].set, sizeof(ch.entry[0].set), "gone");
	CHECK_INT(reserve(s, &ch, 1, 0, NULL), QUOTA_OK);
	s->free(s);
}

/* -- header texts ---------------------------------------------------------------------------- */

static void
ratelimit_headers_follow_the_draft(void)
{
	struct quota_answer a = { .set = "standard", .kind = QUOTA_REQUESTS, .window = WINDOW_SECOND, .limit = 20,
		.used = 1, .frees_in_s = 1 };
	struct buf limit_text = BUF_INIT(256), policy = BUF_INIT(256);

	fresh();
	quota_ratelimit(&a, &limit_text, &policy);
	CHECK_STR(buf_str(&limit_text), "\"standard\";r=19;t=1");
	CHECK_STR(buf_str(&policy), "\"standard\";q=20;w=1");
	buf_clear(&limit_text);
	buf_clear(&policy);
	a = (struct quota_answer){ .set = "p\"q\\\xc3\xa9", .kind = QUOTA_BYTES, .window = WINDOW_MONTH,
		.limit = UINT64_MAX, .used = 0, .frees_in_s = 7 };
	quota_ratelimit(&a, &limit_text, &policy);
	CHECK_STR(buf_str(&limit_text), "\"p\\\"q\\\\??\";r=999999999999999;t=7");
	CHECK_STR(buf_str(&policy), "\"p\\\"q\\\\??\";q=999999999999999;qu=\"content-bytes\";w=2592000");
	buf_clear(&limit_text);
	buf_clear(&policy);
	a.limit = 0;
	quota_ratelimit(&a, &limit_text, &policy);
	CHECK_INT(limit_text.len + policy.len, 0);
	buf_release(&limit_text);
	buf_release(&policy);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(g7_windows_begin_and_end_in_utc),
		UNIT(months_end_where_the_calendar_says),
		UNIT(a_clock_before_1970_or_past_every_year_does_no_harm),
		UNIT(the_group_pays_where_there_is_one),
		UNIT(g1_subjects_do_not_meet_across_realms_names_and_groups),
		UNIT(a_set_named_twice_is_charged_once),
		UNIT(g1_keys_are_hex_whatever_the_name_holds),
		UNIT(the_last_unit_is_given_and_none_after_it),
		UNIT(many_at_once_get_what_is_left_and_none_is_told_of_more_than_the_limit),
		UNIT(one_user_s_limit_is_not_another_s_but_the_pool_is_shared),
		UNIT(a_refusal_gives_back_what_other_limits_took),
		UNIT(of_several_limits_the_one_that_frees_last_is_told),
		UNIT(of_limits_with_room_the_tightest_is_told),
		UNIT(what_never_fits_is_refused_and_leaves_no_trace),
		UNIT(the_largest_limit_there_is_does_not_wrap),
		UNIT(a_limit_of_nothing_refuses_and_frees_at_the_end_of_its_window),
		UNIT(two_limits_over_one_count_add_once),
		UNIT(without_limits_nobody_asks_the_store),
		UNIT(a_store_that_is_away_gives_the_configured_answer_and_refuse_wins),
		UNIT(what_passed_uncounted_is_counted_when_it_is_settled),
		UNIT(g3_nonsense_in_a_counter_is_over_never_free),
		UNIT(g7_at_midnight_a_new_window_starts_once),
		UNIT(g7_two_hosts_over_a_day_of_25_hours_admit_the_limit_once_a_day),
		UNIT(g7_a_leap_second_gives_no_second_credit),
		UNIT(a_late_reservation_counts_in_the_present_window),
		UNIT(of_a_turn_who_is_refused_takes_nothing_from_those_behind),
		UNIT(g3_nonsense_that_one_of_a_turn_sees_is_over_for_those_behind),
		UNIT(a_turn_with_more_counters_than_one_round_trip_has_takes_more),
		UNIT(settling_moves_by_the_difference),
		UNIT(settling_as_reserved_asks_nobody),
		UNIT(settling_skips_windows_that_are_over),
		UNIT(giving_back_never_goes_below_nothing),
		UNIT(a_set_that_a_reload_took_away_is_skipped),
		UNIT(ratelimit_headers_follow_the_draft),
	};

	return unit_run("quota", t, ARRAY_LEN(t));
}
