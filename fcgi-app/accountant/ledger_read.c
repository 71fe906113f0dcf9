/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger, read again, file after file up to the one of today.  What is
 * not exactly as ledger.c writes it is skipped: what a crash has cut, or
 * somebody has edited.  Runs in the accountant.
 */
#include "base/base.h"

#include "accountant/ledger_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "accountant/ledger.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"

enum { READ_SIZE = 256 * 1024, DAY_S = 86400 };

/* -- a line ------------------------------------------------------------------- */

struct cursor {
	const char *p, *end;
	bool bad;
};

static bool
peek(const struct cursor *c, const char *text)
{
	size_t n = strlen(text);

	return !c->bad && (size_t)(c->end - c->p) >= n && memcmp(c->p, text, n) == 0;
}

static void
literal(struct cursor *c, const char *text)
{
	if (peek(c, text))
		c->p += strlen(text);
	else
		c->bad = true;
}

/* One character of a string that text_json wrote, behind its backslash. */
static char
escaped(struct cursor *c)
{
	uint8_t code[2] = { 1, 0 };

	if (c->end - c->p >= 1 && (*c->p == '"' || *c->p == '\\'))
		return *c->p++;
	if (c->end - c->p >= 5 && *c->p == 'u' && text_unhex(c->p + 1, 4, code, sizeof(code)) == 0 && code[0] == 0 &&
	    code[1] != 0 && code[1] < 0x80) {
		c->p += 5;
		return (char)code[1];
	}
	c->bad = true;
	return '\0';
}

/* A string of fewer bytes than size; dst NULL: skipped. */
static void
string(struct cursor *c, char *dst, size_t size)
{
	size_t n = 0;
	char b;

	literal(c, "\"");
	while (!c->bad && c->p < c->end && *c->p != '"') {
		b = *c->p++;
		if (b == '\\')
			b = escaped(c);
		if (dst != NULL && n + 1 < size)
			dst[n++] = b;
		else if (dst != NULL)
			c->bad = true;
	}
	literal(c, "\"");
	if (dst != NULL)
		dst[n] = '\0';
}

static uint64_t
number(struct cursor *c)
{
	uint64_t v = 0;

	if (c->p == c->end || *c->p < '0' || *c->p > '9')
		c->bad = true;
	for (; !c->bad && c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(*c->p - '0'), &v))
			c->bad = true;
	}
	return v;
}

/* n digits. */
static int
digits(struct cursor *c, int n)
{
	int v = 0;

	for (; n > 0 && !c->bad; n--) {
		if (c->p == c->end || *c->p < '0' || *c->p > '9')
			c->bad = true;
		else
			v = v * 10 + (*c->p++ - '0');
	}
	return v;
}

/* "2026-11-22T10:30:15.007Z", in quotes: ms since the epoch. */
static int64_t
moment(struct cursor *c)
{
	struct tm tm = { .tm_isdst = 0 };
	int ms;

	literal(c, "\"");
	tm.tm_year = digits(c, 4) - 1900;
	literal(c, "-");
	tm.tm_mon = digits(c, 2) - 1;
	literal(c, "-");
	tm.tm_mday = digits(c, 2);
	literal(c, "T");
	tm.tm_hour = digits(c, 2);
	literal(c, ":");
	tm.tm_min = digits(c, 2);
	literal(c, ":");
	tm.tm_sec = digits(c, 2);
	literal(c, ".");
	ms = digits(c, 3);
	literal(c, "Z\"");
	return (int64_t)timegm(&tm) * 1000 + ms;
}

static void
sets(struct cursor *c, struct charge *ch)
{
	char set[CHARGE_SET_MAX + 1], group[IDENTITY_GROUP_MAX + 1];

	literal(c, ",\"sets\":[");
	while (!c->bad && !peek(c, "]")) {
		if (ch->n > 0)
			literal(c, ",");
		literal(c, "{\"set\":");
		string(c, set, sizeof(set));
		literal(c, ",\"group\":");
		group[0] = '\0';
		if (peek(c, "null"))
			literal(c, "null");
		else
			string(c, group, sizeof(group));
		literal(c, "}");
		if (ch->n == RULE_QUOTAS_MAX)
			c->bad = true;
		if (!c->bad)
			charge_add(ch, set, group);
	}
	literal(c, "]");
}

static bool
ends_with(const char *line, size_t n, const char *text)
{
	return n >= strlen(text) && memcmp(line + n - strlen(text), text, strlen(text)) == 0;
}

int
ledger_line_parse(const char *line, size_t n, struct charge *ret, uint64_t ret_actual[QUOTA_KINDS])
{
	struct cursor c = { line, line + n, false };

	memset(ret, 0, sizeof(*ret));
	literal(&c, "{\"v\":1,\"t\":");
	(void)moment(&c);
	literal(&c, ",\"at\":");
	ret->at_ms = moment(&c);
	literal(&c, ",\"id\":");
	string(&c, NULL, 0);
	literal(&c, ",\"realm\":");
	string(&c, ret->realm, sizeof(ret->realm));
	literal(&c, ",\"user\":");
	string(&c, ret->user, sizeof(ret->user));
	sets(&c, ret);
	for (int k = 0; k < QUOTA_KINDS; k++) {
		literal(&c, ",\"");
		literal(&c, quota_kind_name((enum quota_kind)k));
		literal(&c, "\":");
		ret_actual[k] = number(&c);
	}
	literal(&c, ",\"reserved\":{");
	/* the last member is there: so is all between */
	if (!ends_with(line, n, ",\"counted\":true}") && !ends_with(line, n, ",\"counted\":false}"))
		c.bad = true;
	return c.bad ? -1 : 0;
}

/* -- files --------------------------------------------------------------------- */

struct ledger_reader {
	char *dir;
	int64_t day;		/* days since the epoch, UTC: of the file that is read or looked for */
	int fd;			/* -1: not open */
	uint64_t lines, skipped;
	bool overlong;		/* the line at hand has no end within the buffer */
	size_t at, len;		/* of buf: read and not yet taken */
	char buf[READ_SIZE + LEDGER_LINE_MAX];
};

struct ledger_reader *
ledger_reader_new(const char *dir_state, int64_t since_ms)
{
	struct ledger_reader *r = mem_alloc(sizeof(*r));

	r->dir = mem_printf("%s/ledger", dir_state);
	r->day = (since_ms < 0 ? 0 : since_ms) / 1000 / DAY_S;
	r->fd = -1;
	return r;
}

void
ledger_reader_free(struct ledger_reader *r)
{
	if (r == NULL)
		return;
	fd_close(&r->fd);
	free(r->dir);
	free(r);
}

uint64_t
ledger_reader_lines(const struct ledger_reader *r)
{
	return r->lines;
}

uint64_t
ledger_reader_skipped(const struct ledger_reader *r)
{
	return r->skipped;
}

/* 0, or -1 and e; a day without charges has no file. */
static int
open_day(struct ledger_reader *r, struct err *e)
{
	time_t t = (time_t)(r->day * DAY_S);
	char day[16], *path;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		return err_set(e, "no such day");
	(void)strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	path = mem_printf("%s/%s.jsonl", r->dir, day);
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (r->fd == -1 && errno != ENOENT)
		(void)err_sys(e, errno, "cannot open '%s'", path);
	free(path);
	return r->fd == -1 && errno != ENOENT ? -1 : 0;
}

/* More bytes into the buffer: how many, 0 at the end of the file, -1 and e. */
static ssize_t
fill(struct ledger_reader *r, struct err *e)
{
	ssize_t n;

	memmove(r->buf, r->buf + r->at, r->len - r->at);
	r->len -= r->at;
	r->at = 0;
	if (r->len == sizeof(r->buf)) {		/* longer than any line of ours */
		r->overlong = true;
		r->len = 0;
	}
	do {
		n = read(r->fd, r->buf + r->len, sizeof(r->buf) - r->len);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return err_sys(e, errno, "cannot read the ledger");
	r->len += (size_t)n;
	return n;
}

/* The next whole line of what is in the buffer, or NULL. */
static const char *
line_of(struct ledger_reader *r, size_t *ret_n)
{
	const char *line = r->buf + r->at, *end = memchr(line, '\n', r->len - r->at);

	if (end == NULL)
		return NULL;
	*ret_n = (size_t)(end - line);
	r->at += *ret_n + 1;
	return line;
}

int
ledger_reader_next(struct ledger_reader *r, struct charge *ret, uint64_t ret_actual[QUOTA_KINDS], struct err *e)
{
	const char *line;
	size_t n = 0;
	ssize_t more;

	for (;;) {
		if (r->fd == -1 && open_day(r, e) == -1)
			return -1;
		line = r->fd == -1 ? NULL : line_of(r, &n);
		if (line != NULL && !r->overlong && ledger_line_parse(line, n, ret, ret_actual) == 0) {
			r->lines++;
			return 1;
		}
		if (line != NULL) {
			r->skipped += n > 0;
			r->overlong = false;
			continue;
		}
		more = r->fd == -1 ? 0 : fill(r, e);
		if (more == -1)
			return -1;
		if (more > 0)
			continue;
		if (r->day >= clock_wall_ms() / 1000 / DAY_S)
			return 0;	/* of today's there may be more */
		r->skipped += r->len > 0;	/* a line without an end: cut by a crash */
		fd_close(&r->fd);
		r->at = r->len = 0;
		r->overlong = false;
		r->day++;
	}
}
