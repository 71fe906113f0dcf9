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

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"

enum { ANSWER_MAX = 65536, VALUE_SIZE = 24 };

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void
mc_name_marks(struct mc *s, const struct strs *servers)
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
		(void)snprintf(s->conn[i].mark, sizeof(s->conn[i].mark), "eo:m%.32s", hex);
		text.len = list_len;
	}
	buf_release(&text);
	free(sorted);
}

void
mc_set_epoch(struct mc *s, uint64_t epoch)
{
	s->epoch = epoch;
	(void)snprintf(s->space, sizeof(s->space), "eo%llx:", (unsigned long long)epoch);
}

void
counters_fix(struct counters *base, uint64_t epoch)
{
	struct mc *s = (struct mc *)base;

	mc_set_epoch(s, epoch);
	s->fixed = true;
}

/* -- one question, one answer ------------------------------------------------- */

static bool
is_whole(const struct buf *answer)
{
	return answer->len >= 4 && memcmp(answer->data + answer->len - 4, "MN\r\n", 4) == 0;
}

/* 0 when there is more to come or it is whole; -1: closed, broken or too much. */
static int
take(struct conn *c, struct buf *answer)
{
	char *p = buf_reserve(answer, 4096);
	ssize_t n = p == NULL ? 0 : recv(c->fd, p, 4096, 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	answer->len += (size_t)n;
	return 0;
}

static int
ask_once(struct conn *c, int64_t deadline_ms, struct buf *answer)
{
	c->sent = 0;
	if (c->fd == -1 && mc_conn_open(c) == -1)
		return -1;
	while (!is_whole(answer)) {
		short out = c->connecting || c->sent < c->out.len ? POLLOUT : 0;
		struct pollfd p = { .fd = c->fd, .events = (short)(POLLIN | out) };
		int64_t left_ms = deadline_ms - clock_mono_ms();

		if (left_ms <= 0 || (poll(&p, 1, (int)left_ms) == -1 && errno != EINTR))
			return -1;
		if ((p.revents & (POLLOUT | POLLERR)) != 0 && mc_conn_send(c) == -1)
			return -1;
		if ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0 && take(c, answer) == -1)
			return -1;
	}
	return 0;
}

/* What stands in c->out, and all that the server says to it.  0, or -1: away. */
static int
ask(struct mc *s, struct conn *c, struct buf *answer)
{
	int64_t deadline_ms = clock_mono_ms() + s->timeout_ms;
	bool reused = c->fd != -1;

	if (!mc_usable(s))
		return -1;
	buf_clear(answer);
	(void)buf_adds(&c->out, "mn\r\n");	/* its answer is the last */
	if (!buf_ok(&c->out))
		return -1;
	if (ask_once(c, deadline_ms, answer) == 0)
		return 0;
	mc_conn_close(c);
	/* the server closed it while nobody asked: it was restarted */
	if (reused && answer->len == 0 && ask_once(c, deadline_ms, answer) == 0)
		return 0;
	return mc_away(s);
}

/* -- marks ------------------------------------------------------------------------ */

struct mark {
	bool there, taken;
	uint64_t epoch, cas;
};

static bool
starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* The number behind a word that the text holds; 0 when it is not there. */
static uint64_t
number_behind(const char *text, const char *word)
{
	const char *p = strstr(text, word);

	return p == NULL ? 0 : strtoull(p + strlen(word), NULL, 10);
}

/* "EN", or "VA N c123" and the value.  0, or -1 for what is none. */
static int
mark_parse(const char *text, struct mark *ret)
{
	const char *value;
	size_t n;

	*ret = (struct mark){ .there = false };
	if (starts(text, "EN\r\n"))
		return 0;
	value = strstr(text, "\r\n");
	if (!starts(text, "VA ") || value == NULL)
		return -1;
	ret->there = true;
	ret->cas = number_behind(text, " c");
	value += 2;
	n = strcspn(value, "\r\n");
	ret->taken = value[0] == 'f';
	ret->epoch = mc_value_parse(value + ret->taken, n - ret->taken);
	if (ret->epoch == UINT64_MAX)	/* somebody else's: as good as none, but it is in the way */
		ret->epoch = 0;
	return 0;
}

int
counters_look(struct counters *base, struct counters_look *ret)
{
	struct mc *s = (struct mc *)base;
	struct buf answer = BUF_INIT(ANSWER_MAX);
	struct counters_look look = { .epoch = 0 };
	struct mark m;
	int r = 0;

	for (size_t i = 0; i < s->n_conns && r == 0; i++) {
		struct conn *c = &s->conn[i];

		buf_clear(&c->out);
		(void)buf_join(&c->out, "mg ", c->mark, " v c\r\nstats\r\n", NULL);
		if (ask(s, c, &answer) == -1 || mark_parse(buf_str(&answer), &m) == -1) {
			r = mc_away(s);
			break;
		}
		look.cas[i] = m.cas;
		look.taken = look.taken || m.taken;
		look.newest = m.epoch > look.newest ? m.epoch : look.newest;
		look.evicted += number_behind(buf_str(&answer), "STAT evictions ");
		if (m.taken || (i > 0 && m.epoch != look.epoch))
			m.epoch = 0;
		look.epoch = i == 0 || m.epoch == 0 ? m.epoch : look.epoch;
	}
	buf_release(&answer);
	if (r == 0)
		*ret = look;
	return r;
}

/* Set the mark of one server, if it is as it was looked at.  0 and its new cas, 1: it is not, -1: away. */
static int
mark_set(struct mc *s, struct conn *c, const char *value, unsigned ttl_s, uint64_t *cas)
{
	struct buf answer = BUF_INIT(ANSWER_MAX);
	struct mark m;
	int r;

	buf_clear(&c->out);
	(void)buf_addf(&c->out, "ms %s %zu T%u", c->mark, strlen(value), ttl_s);
	if (*cas == 0)
		(void)buf_adds(&c->out, " ME");		/* only where there is none */
	else
		(void)buf_addf(&c->out, " C%llu", (unsigned long long)*cas);
	(void)buf_join(&c->out, "\r\n", value, "\r\nmg ", c->mark, " v c\r\n", NULL);
	r = ask(s, c, &answer);
	if (r == 0 && !starts(buf_str(&answer), "HD\r\n"))
		r = 1;
	if (r == 0 && (mark_parse(buf_str(&answer) + 4, &m) == -1 || !m.there))
		r = 1;
	if (r == 0)
		*cas = m.cas;
	buf_release(&answer);
	return r;
}

static int
set_all(struct mc *s, const char *value, unsigned ttl_s, struct counters_look *look)
{
	int r = 0;

	for (size_t i = 0; i < s->n_conns && r == 0; i++)
		r = mark_set(s, &s->conn[i], value, ttl_s, &look->cas[i]);
	return r;
}

int
counters_take(struct counters *base, uint64_t epoch, struct counters_look *look)
{
	char value[VALUE_SIZE];

	(void)snprintf(value, sizeof(value), "f%llu", (unsigned long long)epoch);
	return set_all((struct mc *)base, value, COUNTERS_TAKEN_S, look);
}

int
counters_begin(struct counters *base, uint64_t epoch, struct counters_look *look)
{
	char value[VALUE_SIZE];

	(void)snprintf(value, sizeof(value), "%llu", (unsigned long long)epoch);
	return set_all((struct mc *)base, value, 0, look);
}
