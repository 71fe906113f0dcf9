/* SPDX-License-Identifier: Apache-2.0
 *
 * Epochs of the counters in memcached: the marks that tell of them, and how an
 * accountant begins a new one.  Runs in the accountant, on a handle that does
 * nothing else, so that each exchange has its connection to itself.
 *
 * A mark is named after the whole list of servers and the one that holds it, so
 * another list, and a server in another's place, have none.  Its life:
 *
 *	none -> taken ("f" and the epoch to be, for a while) -> the epoch
 *	an epoch -> another epoch
 *
 * Each step is memcached's own compare-and-set, server after server in one
 * order: of two accountants one wins at the first server, and a server that was
 * emptied meanwhile refuses.  Then the servers do not agree, no counter is
 * trusted, and it is tried again.
 */
#include "base/base.h"

#include "quota/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

enum { VALUE_SIZE = 24 };

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void
mcc_name_marks(struct mcc *s, const struct strs *servers)
{
	const char **sorted = mem_alloc(servers->n * sizeof(*sorted));
	struct buf text = BUF_INIT(COUNTERS_SERVERS_MAX * 1024);
	size_t list_len;
	char hex[65];

	for (size_t i = 0; i < servers->n; i++)
		sorted[i] = servers->v[i];
	qsort(sorted, servers->n, sizeof(*sorted), compare_texts);
	for (size_t i = 0; i < servers->n; i++)
		(void)buf_join(&text, sorted[i], "\n", NULL);
	list_len = text.len;
	for (size_t i = 0; i < servers->n; i++) {
		(void)buf_adds(&text, servers->v[i]);
		buf_must(&text);
		digest_sha256_hex(text.data, text.len, hex);
		(void)snprintf(s->mark[i].key, sizeof(s->mark[i].key), "eo:m%.32s", hex);
		text.len = list_len;
	}
	buf_release(&text);
	free(sorted);
}

void
mcc_set_epoch(struct mcc *s, uint64_t epoch)
{
	s->epoch = epoch;
	(void)snprintf(s->space, sizeof(s->space), "eo%llx:", (unsigned long long)epoch);
}

void
counters_fix(struct counters *base, uint64_t epoch)
{
	struct mcc *s = (struct mcc *)base;

	mcc_set_epoch(s, epoch);
	s->fixed = true;
}

/* -- marks ------------------------------------------------------------------------ */

struct mark {
	bool there, taken;
	uint64_t epoch, cas;
};

/* What is under a mark's key.  0, or -1: that is no answer of a store that works. */
static int
mark_of(const struct mcc_answer *a, struct mark *ret)
{
	size_t n = a->reply.len;

	*ret = (struct mark){ .there = false };
	if (a->reply.status == MC_ABSENT)
		return 0;
	if (a->reply.status != MC_VALUE && a->reply.status != MC_NONSENSE)
		return -1;
	ret->there = true;
	ret->cas = a->reply.cas;
	ret->taken = n > 0 && a->text[0] == 'f';
	ret->epoch = mcc_value_parse(a->text + ret->taken, n - ret->taken);
	if (ret->epoch == UINT64_MAX)	/* somebody else's: as good as none, but it is in the way */
		ret->epoch = 0;
	return 0;
}

int
counters_look(struct counters *base, struct counters_look *ret)
{
	struct mcc *s = (struct mcc *)base;
	struct mc_reply evictions[COUNTERS_SERVERS_MAX];
	struct counters_look look = { .epoch = 0 };
	struct mark m;

	mc_begin(s->mc);
	for (size_t i = 0; i < mc_servers(s->mc); i++) {
		(void)buf_join(mcc_ask(s, i, &s->mark[i].answer), "mg ", s->mark[i].key, " v c\r\n", NULL);
		evictions[i] = (struct mc_reply){ .stat = "evictions" };
		(void)buf_adds(mc_command(s->mc, i, &evictions[i]), "stats\r\n");
	}
	if (mc_run(s->mc, mc_deadline_ms(s->mc)) == -1)
		return -1;
	for (size_t i = 0; i < mc_servers(s->mc); i++) {
		if (mark_of(&s->mark[i].answer, &m) == -1)
			return mc_away(s->mc);
		look.cas[i] = m.cas;
		look.taken = look.taken || m.taken;
		look.newest = m.epoch > look.newest ? m.epoch : look.newest;
		look.evicted += evictions[i].number;
		if (m.taken || (i > 0 && m.epoch != look.epoch))
			m.epoch = 0;
		look.epoch = i == 0 || m.epoch == 0 ? m.epoch : look.epoch;
	}
	*ret = look;
	return 0;
}

/* Set the mark of one server, if it is as it was looked at.  0 and its new cas, 1: it is not, -1: away. */
static int
mark_set(struct mcc *s, size_t server, const char *value, unsigned ttl_s, uint64_t *cas)
{
	struct mcc_mark *mark = &s->mark[server];
	struct mc_reply set = { .key = NULL };
	struct mark m;
	struct buf *out;

	mc_begin(s->mc);
	out = mc_command(s->mc, server, &set);
	(void)buf_addf(out, "ms %s %zu T%u", mark->key, strlen(value), ttl_s);
	if (*cas == 0)
		(void)buf_adds(out, " ME");		/* only where there is none */
	else
		(void)buf_addf(out, " C%llu", (unsigned long long)*cas);
	(void)buf_join(out, "\r\n", value, "\r\n", NULL);
	(void)buf_join(mcc_ask(s, server, &mark->answer), "mg ", mark->key, " v c\r\n", NULL);
	if (mc_run(s->mc, mc_deadline_ms(s->mc)) == -1)
		return -1;
	if (set.status != MC_DONE || mark_of(&mark->answer, &m) == -1 || !m.there)
		return 1;
	*cas = m.cas;
	return 0;
}

static int
set_all(struct mcc *s, const char *value, unsigned ttl_s, struct counters_look *look)
{
	int r = 0;

	for (size_t i = 0; i < mc_servers(s->mc) && r == 0; i++)
		r = mark_set(s, i, value, ttl_s, &look->cas[i]);
	return r;
}

int
counters_take(struct counters *base, uint64_t epoch, struct counters_look *look)
{
	char value[VALUE_SIZE];

	(void)snprintf(value, sizeof(value), "f%llu", (unsigned long long)epoch);
	return set_all((struct mcc *)base, value, COUNTERS_TAKEN_S, look);
}

int
counters_begin(struct counters *base, uint64_t epoch, struct counters_look *look)
{
	char value[VALUE_SIZE];

	(void)snprintf(value, sizeof(value), "%llu", (unsigned long long)epoch);
	return set_all((struct mcc *)base, value, 0, look);
}
