/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters in memcached.  Runs in workers and in the accountant, one handle per
 * process, made after fork.
 *
 * Each decision is one block of meta commands (lib/memcached): one wait,
 * whatever the number of counters.
 *
 * Counters belong to an epoch (counters_epoch.c): it is part of their keys, and
 * each server holds it under its mark.  Each block ends with the mark, so what
 * a restarted, flushed or exchanged server answers is never taken for counters:
 * they were lost if the mark is not the epoch that was asked for.
 */
#include "base/base.h"

#include "quota/private.h"

#include <stdlib.h>
#include <string.h>

/* -- answers ------------------------------------------------------------------- */

/*
 * A value as memcached keeps it: digits, and spaces behind them once a
 * decrement has made the number shorter.  Anything else is nonsense.
 */
uint64_t
mcc_value_parse(const char *p, size_t n)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return UINT64_MAX;
	}
	if (i == 0 || v >= COUNTERS_VALUE_MAX)
		return UINT64_MAX;
	for (; i < n; i++) {
		if (p[i] != ' ')
			return UINT64_MAX;
	}
	return v;
}

/* 0 and the number; -1: that is no answer of a store that works. */
static int
number_of(const struct mcc_answer *a, uint64_t *ret)
{
	switch (a->reply.status) {
	case MC_VALUE:
		*ret = mcc_value_parse(a->text, a->reply.len);
		return 0;
	case MC_NONSENSE:
		*ret = UINT64_MAX;
		return 0;
	case MC_DONE:
	case MC_ABSENT:		/* not there, or nothing to subtract from */
		*ret = 0;
		return 0;
	case MC_REFUSED:
	case MC_FAILED:		/* a store that cannot store is away */
		break;
	}
	return -1;
}

struct buf *
mcc_ask(struct mcc *s, size_t server, struct mcc_answer *a)
{
	a->reply.value = a->text;
	a->reply.room = sizeof(a->text);
	return mc_command(s->mc, server, &a->reply);
}

/* -- commands ------------------------------------------------------------------ */

/* Our keys begin with "eo:"; on the wire that is "eo", the epoch and ":". */
static void
command_add(const struct mcc *s, struct buf *out, const struct counter_op *op, bool want_value)
{
	const char *key = op->key + strlen("eo:");

	if (op->add == 0) {
		(void)buf_join(out, "mg ", s->space, key, " v\r\n", NULL);
		return;
	}
	(void)buf_join(out, "ma ", s->space, key, op->subtract ? " MD" : " N", NULL);
	if (!op->subtract) {
		(void)buf_addu(out, mc_expiry(op->ttl_s));
		(void)buf_adds(out, " J");
		(void)buf_addu(out, op->add);
	}
	(void)buf_adds(out, " D");
	(void)buf_addu(out, op->add);
	(void)buf_adds(out, want_value ? " v\r\n" : "\r\n");
}

/*
 * An addition that went past 2^64 leaves a counter that starts anew: put a
 * value there that is nonsense until the window ends.  Nobody waits for it.
 */
static void
poison(struct mcc *s, struct counter_op *op, int64_t deadline_ms)
{
	op->ret_value = UINT64_MAX;
	mc_begin(s->mc);
	(void)buf_addf(mc_command(s->mc, mc_server_of(s->mc, op->key), NULL), "ms %s%s 19 T%llu\r\n%llu\r\n", s->space,
	    op->key + strlen("eo:"), (unsigned long long)mc_expiry(op->ttl_s), (unsigned long long)COUNTERS_VALUE_MAX);
	(void)mc_post(s->mc, deadline_ms);	/* this decision is refused all the same */
}

/* -- a run ----------------------------------------------------------------------- */

/* Ask a server for its mark. */
static void
ask_mark(struct mcc *s, size_t server)
{
	s->mark[server].asked = true;
	(void)buf_join(mcc_ask(s, server, &s->mark[server].answer), "mg ", s->mark[server].key, " v\r\n", NULL);
}

/* Do all servers that were asked for their mark hold this epoch?  1, 0, or -1: away. */
static int
marks_are(struct mcc *s, uint64_t epoch)
{
	uint64_t got;
	int r = 1;

	for (size_t i = 0; i < mc_servers(s->mc); i++) {
		if (!s->mark[i].asked)
			continue;
		if (number_of(&s->mark[i].answer, &got) == -1)
			return -1;
		if (got != epoch)
			r = 0;
	}
	return r;
}

static void
begin(struct mcc *s)
{
	mc_begin(s->mc);
	for (size_t i = 0; i < mc_servers(s->mc); i++)
		s->mark[i].asked = false;
}

/* Which epoch is it?  0; 1: none, or not the same everywhere; -1: away. */
static int
learn(struct mcc *s, int64_t deadline_ms)
{
	uint64_t epoch;
	int r;

	begin(s);
	for (size_t i = 0; i < mc_servers(s->mc); i++)
		ask_mark(s, i);
	if (mc_run(s->mc, deadline_ms) == -1)
		return -1;
	if (number_of(&s->mark[0].answer, &epoch) == -1)
		return mc_away(s->mc);
	if (epoch == 0 || epoch == UINT64_MAX)
		return 1;
	r = marks_are(s, epoch);
	if (r == -1)
		return mc_away(s->mc);
	if (r == 0)
		return 1;
	mcc_set_epoch(s, epoch);
	return 0;
}

/* All operations at once, and the marks of their servers last: what was lost before is told by them. */
static int
ask_all(struct mcc *s, struct counter_op *ops, size_t n, int64_t deadline_ms)
{
	begin(s);
	for (size_t i = 0; i < n; i++) {
		size_t server = mc_server_of(s->mc, ops[i].key);

		command_add(s, mcc_ask(s, server, &s->answer[i]), &ops[i], true);
		s->mark[server].asked = !s->fixed;
	}
	for (size_t i = 0; i < mc_servers(s->mc); i++) {
		if (s->mark[i].asked)
			ask_mark(s, i);
	}
	if (mc_run(s->mc, deadline_ms) == -1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (number_of(&s->answer[i], &ops[i].ret_value) == -1)
			return mc_away(s->mc);
	}
	return 0;
}

static int
mcc_run(struct counters *base, struct counter_op *ops, size_t n)
{
	struct mcc *s = (struct mcc *)base;
	int64_t deadline_ms;
	int r;

	MUST(n <= COUNTERS_MAX);
	if (n == 0)
		return 0;
	deadline_ms = mc_deadline_ms(s->mc);
	for (int turn = 0; turn < 2; turn++) {
		/* lost (1): what is counted there now, nobody will read */
		if (s->epoch == 0 && learn(s, deadline_ms) != 0)
			return -1;
		if (ask_all(s, ops, n, deadline_ms) == -1)
			return -1;
		r = marks_are(s, s->epoch);
		if (r == -1)
			return mc_away(s->mc);
		if (r == 1) {
			for (size_t i = 0; i < n; i++) {
				if (!ops[i].subtract && ops[i].ret_value < ops[i].add)
					poison(s, &ops[i], deadline_ms);
			}
			return 0;
		}
		mcc_set_epoch(s, 0);	/* another one has begun, or they were lost just now */
	}
	return -1;
}

static int
mcc_post(struct counters *base, const struct counter_op *ops, size_t n)
{
	struct mcc *s = (struct mcc *)base;

	MUST(n <= COUNTERS_MAX);
	if (n == 0)
		return 0;
	if (s->epoch == 0)	/* giving back what no epoch has is nothing */
		return -1;
	mc_begin(s->mc);
	for (size_t i = 0; i < n; i++)
		command_add(s, mc_command(s->mc, mc_server_of(s->mc, ops[i].key), NULL), &ops[i], false);
	return mc_post(s->mc, mc_deadline_ms(s->mc));
}

static void
mcc_free(struct counters *base)
{
	struct mcc *s = (struct mcc *)base;

	if (s == NULL)
		return;
	mc_free(s->mc);
	free(s->mark);
	free(s);
}

struct counters *
counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e)
{
	struct mc *mc = mc_new(servers, timeout_ms, e);
	struct mcc *s;

	if (mc == NULL)
		return NULL;
	s = mem_alloc(sizeof(*s));
	s->base = (struct counters){ mcc_run, mcc_post, mcc_free };
	s->mc = mc;
	s->mark = mem_alloc(servers->n * sizeof(*s->mark));
	mcc_name_marks(s, servers);
	return &s->base;
}
