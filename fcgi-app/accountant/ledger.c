/* SPDX-License-Identifier: Apache-2.0
 *
 * The books: what each request came to, one JSON line per settled charge.
 * Nothing is ever rewritten here; adding lines up again gives the counters.
 * Runs in the accountant.
 */
#include "base/base.h"

#include "accountant/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"

enum {
	DAY_SIZE = 16, TIME_SIZE = 40,
	LOOK_BACK = 4 << 20,	/* what the other accountant of an upgrade may write until one is replaced */
};

struct waiting {
	struct waiting *next;
	size_t n;
	char text[];		/* a newline, then the line with its own */
};

struct ledger {
	char *dir;
	int fd;			/* -1: not open */
	char day[DAY_SIZE];	/* of fd */
	bool torn;		/* the file does not end with a newline */
	off_t end;		/* of the file, when we wrote last: behind it another accountant has */
	bool dirty;		/* written, not yet synced */
	struct waiting *first, **last;
	size_t queued, queued_bytes;
};

/* -- the line --------------------------------------------------------------- */

static void
utc(time_t t, struct tm *ret)
{
	if (gmtime_r(&t, ret) == NULL)
		memset(ret, 0, sizeof(*ret));	/* a year past int: no clock says so */
}

/* RFC 3339, UTC, milliseconds. */
static void
time_text(char ret[TIME_SIZE], int64_t ms)
{
	static int64_t last_s = INT64_MIN;	/* most lines of a second say that second twice */
	static char last[TIME_SIZE - 8];
	struct tm tm;
	size_t n;

	if (ms / 1000 != last_s) {
		last_s = ms / 1000;
		utc((time_t)last_s, &tm);
		last[strftime(last, sizeof(last), "%Y-%m-%dT%H:%M:%S", &tm)] = '\0';
	}
	n = strlen(last);
	memcpy(ret, last, n);
	ret[n++] = '.';
	ret[n++] = (char)('0' + ms / 100 % 10);
	ret[n++] = (char)('0' + ms / 10 % 10);
	ret[n++] = (char)('0' + ms % 10);
	ret[n++] = 'Z';
	ret[n] = '\0';
}

static void
member(struct buf *out, const char *name, const char *value)
{
	(void)buf_join(out, ",\"", name, "\":", NULL);
	if (value == NULL)
		(void)buf_adds(out, "null");
	else
		text_json(out, value, strlen(value));
}

static void
sets(struct buf *out, const struct charge *ch)
{
	(void)buf_adds(out, ",\"sets\":[");
	for (size_t i = 0; i < ch->n; i++) {
		const struct charge_entry *entry = &ch->entry[i];

		(void)buf_adds(out, i == 0 ? "{\"set\":" : ",{\"set\":");
		text_json(out, entry->set, strlen(entry->set));
		member(out, "group", entry->group[0] == '\0' ? NULL : entry->group);
		(void)buf_addc(out, '}');
	}
	(void)buf_addc(out, ']');
}

static void
amounts(struct buf *out, const uint64_t n[QUOTA_KINDS])
{
	for (int k = 0; k < QUOTA_KINDS; k++) {
		(void)buf_join(out, k == 0 ? "\"" : ",\"", quota_kind_name((enum quota_kind)k), "\":", NULL);
		(void)buf_addu(out, n[k]);
	}
}

void
ledger_line(struct buf *out, const struct account_settle *s, bool counted, int64_t now_ms)
{
	char t[TIME_SIZE], at[TIME_SIZE];

	time_text(t, now_ms);
	time_text(at, s->charge.at_ms < 0 ? 0 : s->charge.at_ms);
	(void)buf_join(out, "{\"v\":1,\"t\":\"", t, "\",\"at\":\"", at, "\"", NULL);
	member(out, "id", s->charge.id);
	member(out, "realm", s->charge.realm);
	member(out, "user", s->charge.user);
	sets(out, &s->charge);
	(void)buf_addc(out, ',');
	amounts(out, s->actual);
	(void)buf_adds(out, ",\"reserved\":{");
	amounts(out, s->charge.reserved);
	(void)buf_addc(out, '}');
	member(out, "backend", s->backend);
	member(out, "collection", s->collection);
	member(out, "item", s->item);
	member(out, "asset", s->asset);
	member(out, "subpath", s->subpath);
	member(out, "rule", s->rule);
	member(out, "cache", s->cache);
	(void)buf_adds(out, ",\"status\":");
	(void)buf_addu(out, s->status);
	(void)buf_join(out, ",\"estimated\":", s->estimated ? "true" : "false", ",\"counted\":",
	    counted ? "true" : "false", "}\n", NULL);
}

/* -- the file --------------------------------------------------------------- */

struct ledger *
ledger_new(const char *dir_state)
{
	struct ledger *l = mem_alloc(sizeof(*l));

	l->dir = mem_printf("%s/ledger", dir_state);
	l->fd = -1;
	l->last = &l->first;
	return l;
}

static void
drop_first(struct ledger *l)
{
	struct waiting *w = l->first;

	l->first = w->next;
	if (l->first == NULL)
		l->last = &l->first;
	l->queued--;
	l->queued_bytes -= w->n;
	free(w);
}

void
ledger_free(struct ledger *l)
{
	if (l == NULL)
		return;
	while (l->first != NULL)
		drop_first(l);
	fd_close(&l->fd);
	free(l->dir);
	free(l);
}

void
ledger_add(struct ledger *l, const char *line, size_t n)
{
	struct waiting *w = mem_alloc(sizeof(*w) + n + 1);

	w->n = n + 1;
	w->text[0] = '\n';
	memcpy(w->text + 1, line, n);
	*l->last = w;
	l->last = &w->next;
	l->queued++;
	l->queued_bytes += w->n;
}

static int
open_checked(struct ledger *l, const char *path, struct err *e)
{
	struct stat st;

	l->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	if (l->fd == -1)
		return err_sys(e, errno, "cannot open '%s'", path);
	if (fstat(l->fd, &st) == -1)
		return err_sys(e, errno, "cannot look at '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, "'%s' is not a regular file", path);
	l->end = -1;
	return 0;
}

/* In an upgrade there are two that write, and the other's line may have been cut. */
static void
look_at_end(struct ledger *l)
{
	off_t size = lseek(l->fd, 0, SEEK_END);
	char end;

	if (size != l->end)
		l->torn = size > 0 && (pread(l->fd, &end, 1, size - 1) != 1 || end != '\n');
	l->end = size;
}

static void
day_text(char ret[DAY_SIZE], int64_t ms)
{
	struct tm tm;

	utc((time_t)(ms / 1000), &tm);
	(void)strftime(ret, DAY_SIZE, "%Y-%m-%d", &tm);	/* fits until the year 99999 */
}

/* The file of today is open in l->fd. */
static int
open_today(struct ledger *l, struct err *e)
{
	char day[DAY_SIZE], *path;
	int r;

	day_text(day, clock_wall_ms());
	if (l->fd != -1 && strcmp(day, l->day) == 0)
		return 0;
	if (l->fd != -1 && l->dirty)
		(void)fdatasync(l->fd);	/* yesterday's last second; the kernel writes it anyway */
	l->dirty = false;
	fd_close(&l->fd);
	if (fd_mkdirs(l->dir, 0750, e) == -1)
		return -1;
	path = mem_printf("%s/%s.jsonl", l->dir, day);
	r = open_checked(l, path, e);
	if (r == -1)
		fd_close(&l->fd);
	else
		memcpy(l->day, day, sizeof(day));
	free(path);
	return r;
}

/* Is this text among the last bytes of the file?  *ret_all: these were all that it has. */
static bool
is_in(int fd, const char *text, size_t n, bool *ret_all)
{
	off_t size = lseek(fd, 0, SEEK_END), from = size > LOOK_BACK ? size - LOOK_BACK : 0;
	char *end = mem_alloc(LOOK_BACK);
	ssize_t got = pread(fd, end, LOOK_BACK, from);
	bool is = got > 0 && memmem(end, (size_t)got, text, n) != NULL;

	free(end);
	*ret_all = from == 0;
	return is;
}

bool
ledger_has(struct ledger *l, const char *line, size_t n)
{
	const char *from = memmem(line, n, ",\"at\":", 6);
	char day[DAY_SIZE], *path;
	bool has, all;
	int fd;

	if (from == NULL || open_today(l, NULL) == -1)
		return false;
	n -= (size_t)(from - line) + 1;		/* and without the newline */
	has = is_in(l->fd, from, n, &all);
	if (has || !all)
		return has;
	/* the one before may have died before midnight */
	day_text(day, clock_wall_ms() - 86400000);
	path = mem_printf("%s/%s.jsonl", l->dir, day);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	free(path);
	has = fd != -1 && is_in(fd, from, n, &all);
	fd_close(&fd);
	return has;
}

/* Write the first waiting line.  0, or -1 and e: it waits on. */
static int
write_first(struct ledger *l, struct err *e)
{
	const struct waiting *w = l->first;
	const char *p;
	ssize_t done;
	size_t n;

	look_at_end(l);
	p = l->torn ? w->text : w->text + 1;
	n = l->torn ? w->n : w->n - 1;
	do {
		done = write(l->fd, p, n);
	} while (done == -1 && errno == EINTR);
	if (done == -1)
		return err_sys(e, errno, "cannot write the ledger of %s", l->day);
	l->dirty = true;
	l->end += done;
	if ((size_t)done == n) {
		l->torn = false;
		drop_first(l);
		return 0;
	}
	if (done > 0)
		l->torn = true;
	if ((size_t)done == n - 1) {	/* all but the newline: the line is whole, a second one would count twice */
		drop_first(l);
		return 0;
	}
	if (done == 1 && p == w->text)	/* only the newline that closes the torn line */
		l->torn = false;
	return err_set(e, "the ledger of %s took %zd of %zu bytes", l->day, done, n);
}

int
ledger_flush(struct ledger *l, struct err *e)
{
	while (l->first != NULL) {
		if (open_today(l, e) == -1 || write_first(l, e) == -1)
			return -1;
	}
	return 0;
}

int
ledger_sync(struct ledger *l, struct err *e)
{
	if (!l->dirty || l->fd == -1)
		return 0;
	l->dirty = false;	/* after a failure the kernel forgets the pages: asking again would lie */
	if (fdatasync(l->fd) == -1)
		return err_sys(e, errno, "cannot sync the ledger of %s", l->day);
	return 0;
}

size_t
ledger_queued(const struct ledger *l)
{
	return l->queued;
}

size_t
ledger_queued_bytes(const struct ledger *l)
{
	return l->queued_bytes;
}

bool
ledger_full(const struct ledger *l)
{
	return l->queued_bytes >= LEDGER_QUEUE_MAX;
}
