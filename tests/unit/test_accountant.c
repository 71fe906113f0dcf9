/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger, and the accountant as a process on the descriptors that the
 * master would give it.  The linker puts the functions below in the place of
 * what moves a charge on, so that the process can be killed between any two.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "accountant/ledger.h"
#include "accountant/ledger_read.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "role.h"
#include "unit.h"

enum { EPOCH = 7, START_S = 1795343415, FILE_MAX = 16 << 20, CHILD_MS = 20000 };	/* 2026-11-22T10:30:15Z */

static char room[64];

/* -- a death at any step ---------------------------------------------------------- */

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __real_recv(int fd, void *data, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t n, int flags);
struct counters *__real_counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e);
struct counters *__wrap_counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e);
int __real_counters_look(struct counters *s, struct counters_look *ret);
int __wrap_counters_look(struct counters *s, struct counters_look *ret);

static unsigned steps_left;	/* in the child; 0: it lives */
static uint64_t *counted;	/* one counter for all, and it outlives the child; NULL: memcached's */

static void
step(void)
{
	if (steps_left > 0 && --steps_left == 0)
		(void)raise(SIGKILL);
}

/* Before and after, and with half a line. */
ssize_t
__wrap_write(int fd, const void *data, size_t n)
{
	ssize_t done;

	step();
	if (steps_left == 1) {
		(void)!__real_write(fd, data, n / 2);
		step();
	}
	done = __real_write(fd, data, n);
	step();
	return done;
}

ssize_t
__wrap_recv(int fd, void *data, size_t n, int flags)
{
	ssize_t done;

	step();
	done = __real_recv(fd, data, n, flags);
	step();
	return done;
}

static int
shared_run(struct counters *s UNUSED, struct counter_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		step();
		*counted += ops[i].subtract ? -ops[i].add : ops[i].add;
		ops[i].ret_value = *counted;
		step();
	}
	return 0;
}

static void
shared_free(struct counters *s UNUSED)
{
}

struct counters *
__wrap_counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e)
{
	static struct counters shared = { .run = shared_run, .free = shared_free };

	return counted != NULL ? &shared : __real_counters_memcached_new(servers, timeout_ms, e);
}

/* It has lost nothing. */
int
__wrap_counters_look(struct counters *s, struct counters_look *ret)
{
	if (counted == NULL)
		return __real_counters_look(s, ret);
	*ret = (struct counters_look){ .epoch = EPOCH, .newest = EPOCH, .cas = { 1 } };
	return 0;
}

static void
set_clock(int64_t wall_s)
{
	int64_t by_ms = wall_s * 1000 + 250 - clock_wall_ms();

	if (by_ms != 0)
		clock_shift_ms(by_ms);
}

static void
room_remove(void)
{
	char command[128];

	if (room[0] == '\0')
		return;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", room);
	MUST(system(command) == 0);
}

/* A new empty directory; the one before is removed. */
static void
fresh(void)
{
	room_remove();
	(void)snprintf(room, sizeof(room), "/tmp/eo-ledger-XXXXXX");
	MUST(mkdtemp(room) != NULL);
	set_clock(START_S);
}

static char *
path_of(const char *day)
{
	return mem_printf("%s/ledger/%s.jsonl", room, day);
}

static char *
today(void)
{
	char day[16];
	time_t t = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	return path_of(day);
}

/* The contents of a file of the ledger; "" when there is none.  free(3) it. */
static char *
contents(const char *path)
{
	struct buf b = BUF_INIT(FILE_MAX);
	char *text;

	if (fd_read_file(path, &b, NULL) == -1)
		buf_clear(&b);
	text = mem_strdup(buf_str(&b));
	buf_release(&b);
	return text;
}

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
		n++;
	return n;
}

/* What a replay does: take each line that is a whole object (the last member is there), add up one member. */
static uint64_t
add_up(const char *text, const char *name, size_t *ret_lines)
{
	const char *line = text, *end, *p;
	uint64_t sum = 0;
	char want[64];

	(void)snprintf(want, sizeof(want), ",\"%s\":", name);
	*ret_lines = 0;
	for (; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		if (end == NULL)
			break;
		if (end - line < 8)
			continue;
		p = strstr(line, want);		/* the first: what it came to; "reserved" follows */
		if (*line == '{' && (strncmp(end - 6, ":true}", 6) == 0 || strncmp(end - 7, ":false}", 7) == 0) &&
		    p != NULL && p < end) {
			sum += strtoull(p + strlen(want), NULL, 10);
			++*ret_lines;
		}
	}
	return sum;
}

static struct account_settle
settle_of(const char *id, uint64_t bytes)
{
	struct account_settle s = {
		.charge = { .realm = "front", .user = "alice", .at_ms = clock_wall_ms(), .n = 2,
			.entry = { { "standard", "00ff", "" }, { "s2-pool", "11ee", "s2" } },
			.reserved = { 1, 0, bytes, 0 } },
		.actual = { 1, 0, bytes, 0 },
		.backend = "cop", .collection = "S2", .item = "i", .asset = "B02", .cache = "hit", .rule = "rules[0]",
		.status = 200, .estimated = true,
	};

	(void)snprintf(s.charge.id, sizeof(s.charge.id), "%s", id);
	return s;
}

static void
add_settle(struct ledger *l, const char *id, uint64_t bytes)
{
	struct account_settle s = settle_of(id, bytes);
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);

	ledger_line(&line, &s, true, clock_wall_ms());
	CHECK(buf_ok(&line));
	ledger_add(l, line.data, line.len);
	buf_release(&line);
}

/* -- the ledger ----------------------------------------------------------------- */

static void
a_line_says_all_that_a_charge_came_to(void)
{
	struct account_settle s = settle_of("id-1", 300);
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);

	s.charge.at_ms = START_S * (int64_t)1000 + 7;
	s.charge.reserved[QUOTA_BYTES] = 500;
	s.actual[QUOTA_UPSTREAM_BYTES] = UINT64_MAX;
	ledger_line(&line, &s, false, (int64_t)1709251199 * 1000 + 999);
	CHECK_STR(buf_str(&line),
	    "{\"v\":1,\"t\":\"2024-02-29T23:59:59.999Z\",\"at\":\"2026-11-22T10:30:15.007Z\",\"id\":\"id-1\","
	    "\"realm\":\"front\",\"user\":\"alice\",\"sets\":[{\"set\":\"standard\",\"group\":null},"
	    "{\"set\":\"s2-pool\",\"group\":\"s2\"}],\"requests\":1,\"misses\":0,\"bytes\":300,"
	    "\"upstream_bytes\":18446744073709551615,"
	    "\"reserved\":{\"requests\":1,\"misses\":0,\"bytes\":500,\"upstream_bytes\":0},\"backend\":\"cop\","
	    "\"collection\":\"S2\",\"item\":\"i\",\"asset\":\"B02\",\"subpath\":null,\"rule\":\"rules[0]\","
	    "\"cache\":\"hit\",\"status\":200,\"estimated\":true,\"counted\":false}\n");
	buf_release(&line);
}

static void
no_name_breaks_out_of_its_line(void)
{
	struct account_settle s = settle_of("id\"}\n{\"v\":1", 1);
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);

	s.item = "a\nb\r\x1b[31m\\\"";
	s.asset = "\xff\xfe\xc3";
	ledger_line(&line, &s, true, clock_wall_ms());
	CHECK_INT(count(buf_str(&line), "\n"), 1);
	CHECK_INT(count(buf_str(&line), "\x1b"), 0);
	CHECK_INT(count(buf_str(&line), "\xff"), 0);
	CHECK(strstr(buf_str(&line), "\"item\":\"a\\u000ab\\u000d\\u001b[31m\\\\\\\"\"") != NULL);
	buf_release(&line);
}

static void
the_longest_message_fits_in_a_line(void)
{
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);
	char *longest = mem_alloc(ACCOUNT_MAX + 1);
	struct account_settle s;

	s = settle_of("id", 1);
	memset(longest, 0x01, ACCOUNT_MAX);	/* six bytes each */
	s.subpath = longest;
	ledger_line(&line, &s, true, 0);
	CHECK(buf_ok(&line));
	buf_release(&line);
	free(longest);
}

static void
lines_go_to_the_file_of_the_utc_day_in_their_order(void)
{
	struct ledger *l;
	char *first, *second, *text;
	struct stat st;

	fresh();
	l = ledger_new(room);
	set_clock(1795391999);		/* a second before midnight */
	add_settle(l, "one", 1);
	add_settle(l, "two", 2);
	CHECK_INT(ledger_flush(l, NULL), 0);
	first = today();
	set_clock(1795392000);
	add_settle(l, "three", 3);
	CHECK_INT(ledger_flush(l, NULL), 0);
	CHECK_INT(ledger_sync(l, NULL), 0);
	second = today();
	CHECK(strcmp(first, second) != 0);
	text = contents(first);
	CHECK_INT(count(text, "\n"), 2);
	CHECK(strstr(text, "\"one\"") != NULL && strstr(text, "\"one\"") < strstr(text, "\"two\""));
	free(text);
	text = contents(second);
	CHECK_INT(count(text, "\n"), 1);
	CHECK_INT(count(text, "\"three\""), 1);
	CHECK_INT(stat(first, &st), 0);
	CHECK_INT(st.st_mode & 0137, 0);	/* others read nothing */
	free(text);
	free(first);
	free(second);
	ledger_free(l);
}

static void
g10_a_line_that_was_cut_by_a_crash_spoils_no_other(void)
{
	struct ledger *l;
	char *path, *text;
	size_t lines;
	int fd;

	fresh();
	l = ledger_new(room);
	add_settle(l, "whole", 10);
	CHECK_INT(ledger_flush(l, NULL), 0);
	ledger_free(l);
	path = today();
	fd = open(path, O_WRONLY | O_APPEND);
	CHECK_INT(write(fd, "{\"v\":1,\"bytes\":99", 17), 17);
	close(fd);
	l = ledger_new(room);
	add_settle(l, "after", 5);
	add_settle(l, "last", 2);
	CHECK_INT(ledger_flush(l, NULL), 0);
	text = contents(path);
	CHECK_INT(add_up(text, "bytes", &lines), 17);
	CHECK_INT(lines, 3);
	CHECK_INT(count(text, "\n\n"), 0);
	free(text);
	free(path);
	ledger_free(l);
}

/* -- read again ------------------------------------------------------------------- */

static struct account_settle
charged(const char *user, const char *set, const char *group, uint64_t bytes)
{
	struct account_settle s = settle_of("id", bytes);

	s.charge.n = 0;
	(void)snprintf(s.charge.user, sizeof(s.charge.user), "%s", user);
	charge_add(&s.charge, "standard", "");
	charge_add(&s.charge, set, group);
	return s;
}

static bool
same_charge(const struct charge *a, const struct charge *b)
{
	bool same = a->n == b->n && a->at_ms == b->at_ms && strcmp(a->realm, b->realm) == 0 && strcmp(a->user, b->user) == 0;

	for (size_t i = 0; same && i < a->n; i++)
		same = strcmp(a->entry[i].set, b->entry[i].set) == 0 && strcmp(a->entry[i].group, b->entry[i].group) == 0 &&
		    strcmp(a->entry[i].subject, b->entry[i].subject) == 0;
	return same;
}

static void
what_a_line_says_is_read_back(void)
{
	static const char *const names[] = { "alice", "", "Zo\xc3\xab", "a\\b\"c", "a/{}[]:,", "https://id.example/u?x=1&y=\x01" };
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);
	uint64_t actual[QUOTA_KINDS];
	struct charge ch;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct account_settle s = charged(names[i], "s2-pool", i % 2 == 0 ? names[i] : "", 300);

		s.charge.at_ms = (int64_t)1709251199 * 1000 + (int64_t)i;
		s.actual[QUOTA_UPSTREAM_BYTES] = UINT64_MAX;
		s.item = names[i];
		buf_clear(&line);
		ledger_line(&line, &s, i % 3 == 0, clock_wall_ms());
		CHECK_INT(ledger_line_parse(line.data, line.len - 1, &ch, actual), 0);
		CHECK(same_charge(&ch, &s.charge));
		CHECK(memcmp(actual, s.actual, sizeof(actual)) == 0);
		CHECK_INT(ch.reserved[QUOTA_BYTES], 0);
		/* cut anywhere, it is none; changed anywhere, it is read or refused, and harms nobody */
		for (size_t n = 0; n + 1 < line.len; n++) {
			char was = line.data[n];

			CHECK_INT(ledger_line_parse(line.data, n, &ch, actual), -1);
			for (int to = 0; to < 256; to += 15) {
				line.data[n] = (char)to;
				(void)ledger_line_parse(line.data, line.len - 1, &ch, actual);
			}
			line.data[n] = was;
		}
	}
	buf_release(&line);
}

static void
lines_that_are_none_of_ours_are_skipped(void)
{
	static const char good[] = "{\"v\":1,\"t\":\"2026-11-22T10:30:15.007Z\",\"at\":\"2026-11-22T10:30:15.007Z\",\"id\":\"i\","
	    "\"realm\":\"front\",\"user\":\"%s\",\"sets\":[%s],\"requests\":1,\"misses\":0,\"bytes\":%s,\"upstream_bytes\":0,"
	    "\"reserved\":{},\"counted\":true}";
	static const struct { const char *user, *sets, *bytes; int want; } t[] = {
		{ "a", "", "1", 0 }, { "a", "{\"set\":\"s\",\"group\":null}", "1", 0 },
		{ "a\\u0000b", "", "1", -1 }, { "a\\u00e9", "", "1", -1 }, { "a\\n", "", "1", -1 }, { "a\\", "", "1", -1 },
		{ "a", "", "-1", -1 }, { "a", "", "1.5", -1 }, { "a", "", "18446744073709551616", -1 }, { "a", "", "", -1 },
		{ "a", "{\"set\":\"s\",\"group\":null},", "1", -1 }, { "a", "{\"set\":\"s\"}", "1", -1 },
		{ "a", "{\"set\":1,\"group\":null}", "1", -1 }, { "a", "{\"set\":\"s\",\"group\":null}{", "1", -1 },
	};
	struct buf many = BUF_INIT(65536);
	uint64_t actual[QUOTA_KINDS];
	char line[4096];
	struct charge ch;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		int n = snprintf(line, sizeof(line), good, t[i].user, t[i].sets, t[i].bytes);

		CHECK_INT(ledger_line_parse(line, (size_t)n, &ch, actual), t[i].want);
	}
	/* names and lists that are too long for a charge */
	for (int i = 0; i <= RULE_QUOTAS_MAX; i++)
		(void)buf_addf(&many, "%s{\"set\":\"s%d\",\"group\":null}", i == 0 ? "" : ",", i);
	CHECK_INT(ledger_line_parse(line, (size_t)snprintf(line, sizeof(line), good, "a", buf_str(&many), "1"), &ch, actual), -1);
	buf_clear(&many);
	for (int i = 0; i <= IDENTITY_NAME_MAX; i++)
		(void)buf_addc(&many, 'u');
	CHECK_INT(ledger_line_parse(line, (size_t)snprintf(line, sizeof(line), good, buf_str(&many), "", "1"), &ch, actual), -1);
	many.data[IDENTITY_NAME_MAX] = '\0';
	CHECK_INT(ledger_line_parse(line, (size_t)snprintf(line, sizeof(line), good, buf_str(&many), "", "1"), &ch, actual), 0);
	buf_release(&many);
}

static uint64_t
read_all(struct ledger_reader *r)
{
	uint64_t actual[QUOTA_KINDS], sum = 0;
	struct charge ch;
	int rc;

	while ((rc = ledger_reader_next(r, &ch, actual, NULL)) == 1)
		sum += actual[QUOTA_BYTES];
	CHECK_INT(rc, 0);
	return sum;
}

static void
the_ledger_is_read_from_a_day_on_and_while_it_grows(void)
{
	struct ledger_reader *all, *from;
	struct ledger *l;
	char *path;
	int fd;

	fresh();
	all = ledger_reader_new(room, 0);
	CHECK_INT(read_all(all), 0);		/* there is no folder, and no file */
	ledger_reader_free(all);
	l = ledger_new(room);
	set_clock(START_S - 86400);
	add_settle(l, "before", 1);
	CHECK_INT(ledger_flush(l, NULL), 0);
	set_clock(START_S);
	add_settle(l, "today", 2);
	CHECK_INT(ledger_flush(l, NULL), 0);
	from = ledger_reader_new(room, START_S * (int64_t)1000);
	CHECK_INT(read_all(from), 2);
	all = ledger_reader_new(room, (START_S - 86400) * (int64_t)1000);
	CHECK_INT(read_all(all), 3);
	/* a crash has cut one; then there are more, and midnight */
	path = today();
	fd = open(path, O_WRONLY | O_APPEND);
	CHECK_INT(write(fd, "{\"v\":1,\"bytes\":99", 17), 17);
	CHECK_INT(read_all(from), 0);
	ledger_free(l);
	l = ledger_new(room);
	add_settle(l, "after", 4);
	CHECK_INT(ledger_flush(l, NULL), 0);
	CHECK_INT(read_all(from), 4);
	CHECK_INT(ledger_reader_skipped(from), 1);
	set_clock(1795392000);
	CHECK_INT(read_all(from), 0);
	add_settle(l, "tomorrow", 8);
	CHECK_INT(ledger_flush(l, NULL), 0);
	CHECK_INT(read_all(from), 8);
	CHECK_INT(read_all(all), 12);
	CHECK_INT(ledger_reader_lines(from), 3);
	close(fd);
	free(path);
	ledger_free(l);
	ledger_reader_free(all);
	ledger_reader_free(from);
}

/* Of those that add_settle makes, with the newline. */
static size_t
length_of_a_line(void)
{
	struct account_settle s = settle_of("a", 3);
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);
	size_t len;

	ledger_line(&line, &s, true, (int64_t)START_S * 1000);
	len = line.len;
	buf_release(&line);
	return len;
}

/* The disk takes a part of a line, at every possible place: each charge is in the books once. */
static void
f9_a_full_disk_loses_nothing_and_counts_nothing_twice(void)
{
	struct rlimit all, some;
	size_t lines, len;
	struct ledger *l;
	char *path, *text;

	len = length_of_a_line();
	(void)signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(getrlimit(RLIMIT_FSIZE, &all), 0);
	for (size_t cut = 0; cut <= len; cut++) {
		fresh();
		l = ledger_new(room);
		some = (struct rlimit){ len + cut, all.rlim_max };
		CHECK_INT(setrlimit(RLIMIT_FSIZE, &some), 0);
		add_settle(l, "a", 3);
		add_settle(l, "b", 4);
		add_settle(l, "c", 5);
		CHECK_INT(ledger_flush(l, NULL), -1);
		CHECK_INT(ledger_flush(l, NULL), -1);
		CHECK(ledger_queued(l) >= 1);
		CHECK_INT(setrlimit(RLIMIT_FSIZE, &all), 0);
		CHECK_INT(ledger_flush(l, NULL), 0);
		CHECK_INT(ledger_queued(l), 0);
		path = today();
		text = contents(path);
		CHECK_INT(add_up(text, "bytes", &lines), 12);
		CHECK_INT(lines, 3);
		free(text);
		free(path);
		ledger_free(l);
	}
}

/* In an upgrade there are two; the other writes as soon as there is room, behind whatever this one has left. */
static void
f9_a_line_that_was_cut_spoils_none_of_another_that_writes(void)
{
	struct ledger *l, *other;
	struct rlimit all, some;
	size_t lines, len;
	char *path, *text;

	len = length_of_a_line();
	(void)signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(getrlimit(RLIMIT_FSIZE, &all), 0);
	for (size_t cut = 0; cut < len; cut++) {
		fresh();
		l = ledger_new(room);
		other = ledger_new(room);
		add_settle(other, "z", 3);
		CHECK_INT(ledger_flush(other, NULL), 0);
		some = (struct rlimit){ len + cut, all.rlim_max };
		CHECK_INT(setrlimit(RLIMIT_FSIZE, &some), 0);
		add_settle(l, "a", 4);
		(void)ledger_flush(l, NULL);
		CHECK_INT(setrlimit(RLIMIT_FSIZE, &all), 0);
		add_settle(other, "y", 5);
		CHECK_INT(ledger_flush(other, NULL), 0);
		CHECK_INT(ledger_flush(l, NULL), 0);
		path = today();
		text = contents(path);
		CHECK_INT(add_up(text, "bytes", &lines), 12);
		CHECK_INT(lines, 3);
		free(text);
		free(path);
		ledger_free(l);
		ledger_free(other);
	}
}

static bool
has_line(struct ledger *l, const struct account_settle *s)
{
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);
	bool has;

	ledger_line(&line, s, true, clock_wall_ms());
	has = ledger_has(l, line.data, line.len);
	buf_release(&line);
	return has;
}

/* In an upgrade two accountants write; one dies as it has written, and the other goes on until it is replaced. */
static void
g10_a_line_is_found_behind_which_another_has_written(void)
{
	struct account_settle mine = settle_of("mine", 1), more = mine;
	struct buf line = BUF_INIT(LEDGER_LINE_MAX);
	struct ledger *l;

	fresh();
	l = ledger_new(room);
	more.actual[QUOTA_BYTES] = 2;
	set_clock(1795391999);		/* a second before midnight */
	ledger_line(&line, &mine, true, clock_wall_ms());
	ledger_add(l, line.data, line.len);
	buf_release(&line);
	for (int i = 0; i < 100; i++)
		add_settle(l, "other", 1);
	CHECK_INT(ledger_flush(l, NULL), 0);
	CHECK(has_line(l, &mine) && !has_line(l, &more));
	set_clock(1795392000);		/* and it is another day by now */
	add_settle(l, "other", 1);
	CHECK_INT(ledger_flush(l, NULL), 0);
	CHECK(has_line(l, &mine) && !has_line(l, &more));
	ledger_free(l);
}

static void
a_link_in_the_ledger_s_place_is_not_followed(void)
{
	struct err e = ERR_NONE;
	struct ledger *l;
	char *path, *text, *victim;

	fresh();
	victim = mem_printf("%s/victim", room);
	path = mem_printf("%s/ledger", room);
	CHECK_INT(mkdir(path, 0700), 0);
	free(path);
	path = today();
	CHECK_INT(symlink(victim, path), 0);
	l = ledger_new(room);
	add_settle(l, "a", 1);
	CHECK_INT(ledger_flush(l, &e), -1);
	CHECK_INT(e.sys, ELOOP);
	CHECK_INT(access(victim, F_OK), -1);
	CHECK_INT(ledger_queued(l), 1);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(mkfifo(path, 0600), 0);	/* nobody reads it: opening must not wait */
	CHECK_INT(ledger_flush(l, &e), -1);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(ledger_flush(l, &e), 0);
	text = contents(path);
	CHECK_INT(count(text, "\n"), 1);
	free(text);
	free(path);
	free(victim);
	ledger_free(l);
}

static void
what_waits_has_a_bound(void)
{
	struct ledger *l = ledger_new("/nonexistent/eo");
	char *line = mem_alloc(LEDGER_LINE_MAX);
	size_t n = 0;

	memset(line, 'x', LEDGER_LINE_MAX);
	while (!ledger_full(l) && n < 1000) {
		ledger_add(l, line, LEDGER_LINE_MAX);
		n++;
	}
	CHECK_INT(n, LEDGER_QUEUE_MAX / LEDGER_LINE_MAX);
	ledger_free(l);
	free(line);
}

/* Whatever was reserved and settled: the sums of the ledger are the counters. */
static void
the_ledger_adds_up_to_the_counters(void)
{
	struct quota_set set = { .name = (char *)(uintptr_t)"standard", .n_limits = 1,
		.limit = { { QUOTA_BYTES, WINDOW_MONTH, (uint64_t)1 << 50 } } };
	struct config c = { .quotas = &set, .n_quotas = 1 };
	struct counters *store = counters_memory_new();
	struct quota_answer a;
	struct ledger *l;
	uint64_t over[QUOTA_KINDS] = { [QUOTA_BYTES] = UINT64_MAX };
	unsigned seed = 4711;
	size_t lines;
	char *path, *text;

	fresh();
	l = ledger_new(room);
	for (int i = 0; i < 500; i++) {
		struct account_settle s = settle_of("id", 0);
		uint64_t add[QUOTA_KINDS] = { [QUOTA_BYTES] = (uint64_t)rand_r(&seed) % 100000 };
		struct buf line = BUF_INIT(LEDGER_LINE_MAX);

		memset(s.charge.reserved, 0, sizeof(s.charge.reserved));
		quota_reserve(store, &c, &s.charge, add, &a);
		CHECK_INT(a.verdict, QUOTA_OK);
		s.actual[QUOTA_BYTES] = (uint64_t)rand_r(&seed) % 100000;
		CHECK_INT(quota_settle(store, &c, &s.charge, s.actual), 0);
		ledger_line(&line, &s, true, clock_wall_ms());
		ledger_add(l, line.data, line.len);
		buf_release(&line);
	}
	CHECK_INT(ledger_flush(l, NULL), 0);
	{
		struct account_settle s = settle_of("id", 0);

		quota_reserve(store, &c, &s.charge, over, &a);	/* only looks */
	}
	path = today();
	text = contents(path);
	CHECK_INT(add_up(text, "bytes", &lines), a.used);
	CHECK_INT(lines, 500);
	free(text);
	free(path);
	ledger_free(l);
	store->free(store);
}

/* -- the process -------------------------------------------------------------------- */

enum { MOVERS = 2 };

struct run {
	pid_t pid;
	int control;			/* ours */
	int peer[1 + MOVERS];		/* the senders' ends; [0] is the workers' */
	int kept[1 + MOVERS];		/* the accountant's ends, as the master keeps them; -1 closed */
	struct config *config;
	struct quota_set *set;
	struct scoreboard *scoreboard;
};

static void
pair(int *ours, int *theirs)
{
	int fds[2];

	MUST(fd_socketpair(SOCK_SEQPACKET, false, fds, NULL) == 0);
	*ours = fds[0];
	*theirs = fds[1];
}

static void
child(struct run *r, int control)
{
	struct role_env env = { .config = r->config, .role = ROLE_ACCOUNTANT, .scoreboard = r->scoreboard };
	int high[2 + MOVERS], to[2 + MOVERS], fd;

	stat_init(r->scoreboard, SLOT_ACCOUNTANT);
	for (int i = 0; i < 2 + MOVERS; i++) {	/* out of the way first */
		high[i] = fcntl(i == 0 ? control : r->kept[i - 1], F_DUPFD, 200);
		to[i] = i == 0 ? FD_CONTROL : FD_FIRST + i - 1;
	}
	for (int i = 0; i < 2 + MOVERS; i++)
		MUST(dup2(high[i], to[i]) == to[i]);
	for (fd = 3; fd < 300; fd++) {
		if (fd != FD_CONTROL && (fd < FD_FIRST || fd > FD_FIRST + MOVERS))
			(void)close(fd);	/* mostly not open */
	}
	(void)alarm(CHILD_MS / 1000);
	log_init("accountant", LOG_ERROR);
	_exit(accountant_run(&env));
}

/* The sockets; the accountant itself starts with run_start, so that messages can wait for it. */
static struct run *
run_new(bool refuse)
{
	struct run *r = mem_alloc(sizeof(*r));
	int fd;

	fresh();
	clock_shift_ms(0);		/* the child is another process: real time */
	r->scoreboard = scoreboard_create(&fd, NULL);
	MUST(r->scoreboard != NULL);
	fd_close(&fd);
	r->pid = -1;
	r->set = mem_alloc(sizeof(*r->set));
	*r->set = (struct quota_set){ .name = mem_strdup("standard"), .refuse_when_unavailable = refuse,
		.n_limits = 1, .limit = { { QUOTA_BYTES, WINDOW_DAY, 1000 } } };
	r->config = mem_alloc(sizeof(*r->config));	/* the role's to free */
	*r->config = (struct config){ .quotas = r->set, .n_quotas = 1, .dir_state = mem_strdup(room), .movers = MOVERS,
		.memcached_timeout_ms = 50 };
	for (int i = 0; i <= MOVERS; i++)
		pair(&r->peer[i], &r->kept[i]);
	r->control = -1;
	return r;
}

/* It is killed at that step; 0: it lives. */
static void
run_spawn(struct run *r, unsigned until)
{
	int control;

	fd_close(&r->control);
	pair(&r->control, &control);
	(void)fflush(NULL);
	r->pid = fork();
	MUST(r->pid != -1);
	if (r->pid == 0) {
		steps_left = until;
		child(r, control);
	}
	fd_close(&control);
}

static void
run_start(struct run *r)
{
	uint64_t generation = 99;

	run_spawn(r, 0);
	for (int i = 0; i < 1000 && control_read_child(r->control, &generation) != CONTROL_READY; i++)
		(void)usleep(10000);
	CHECK_INT(generation, 0);
}

/* The exit status; the child's alarm bounds the wait. */
static int
run_end(struct run *r)
{
	int status;

	CHECK_INT(waitpid(r->pid, &status, 0), r->pid);
	for (int i = 0; i <= MOVERS; i++) {
		fd_close(&r->peer[i]);
		fd_close(&r->kept[i]);
	}
	fd_close(&r->control);
	config_free(r->config);
	scoreboard_detach(r->scoreboard);
	free(r);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void
send_settle(struct run *r, int peer, const char *id, uint64_t bytes)
{
	struct account_settle s = settle_of(id, bytes);
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	account_settle_put(&msg, &s);
	CHECK(buf_ok(&msg));
	CHECK_INT(fd_send(r->peer[peer], msg.data, msg.len, NULL, 0), 0);
	buf_release(&msg);
}

static void
send_reserve(struct run *r, int peer, uint64_t seq)
{
	struct account_settle s = settle_of("reserve", 0);
	struct account_reserve ask = { .seq = seq, .charge = s.charge, .add = { [QUOTA_BYTES] = 5 } };
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	account_reserve_put(&msg, &ask);
	CHECK_INT(fd_send(r->peer[peer], msg.data, msg.len, NULL, 0), 0);
	buf_release(&msg);
}

static enum quota_verdict
take_reserved(struct run *r, int peer, uint64_t seq)
{
	struct account_reserved answer = { 0 };
	char data[ACCOUNT_MAX];
	ssize_t n;

	n = fd_recv(r->peer[peer], data, sizeof(data), NULL, 0, NULL);
	CHECK(n > 0);
	CHECK_INT(account_reserved_get(data, n < 0 ? 0 : (size_t)n, &answer), 0);
	CHECK_INT(answer.seq, seq);
	return answer.answer.verdict;
}

static enum quota_verdict
ask_reserve(struct run *r, int peer, uint64_t seq)
{
	send_reserve(r, peer, seq);
	return take_reserved(r, peer, seq);
}

/* The ledger of real time; a test that passes midnight UTC would see two. */
static uint64_t
books(const char *name, size_t *ret_lines)
{
	char *path = today(), *text = contents(path);
	uint64_t sum = add_up(text, name, ret_lines);

	free(text);
	free(path);
	return sum;
}

static void
what_was_queued_before_the_end_is_in_the_books(void)
{
	struct run *r = run_new(false);
	size_t lines;
	char id[16];

	for (int i = 0; i < 30; i++) {
		(void)snprintf(id, sizeof(id), "id%d", i);
		send_settle(r, i % (1 + MOVERS), id, 1);
	}
	run_start(r);
	for (int i = 0; i < 30; i++)
		send_settle(r, i % (1 + MOVERS), "later", 100);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	CHECK_INT(books("bytes", &lines), 3030);
	CHECK_INT(lines, 60);
}

enum { CHARGES = 4, RESERVED = 100 };

/* Fewer bytes than were reserved, as many, more, and none. */
static const uint64_t came_to[CHARGES] = { 30, RESERVED, 130, 0 };

/* The counters are of this time. */
static void
write_record(int64_t since_ms)
{
	char *record = mem_printf("%s/counters.epoch", room);
	FILE *f = fopen(record, "w");

	MUST(f != NULL && fprintf(f, "%d done %lld\n", EPOCH, (long long)since_ms) > 0 && fclose(f) == 0);
	free(record);
}

static void
send_charges(struct run *r)
{
	char id[16];

	*counted = CHARGES * RESERVED;
	for (int i = 0; i < CHARGES; i++) {
		struct account_settle s;
		struct buf msg = BUF_INIT(ACCOUNT_MAX);

		(void)snprintf(id, sizeof(id), "charge%d", i);
		s = settle_of(id, RESERVED);
		s.actual[QUOTA_BYTES] = came_to[i];
		account_settle_put(&msg, &s);
		CHECK_INT(fd_send(r->peer[i % (1 + MOVERS)], msg.data, msg.len, NULL, 0), 0);
		buf_release(&msg);
	}
}

/* Each charge is in the books once, and the counter is what they say. */
static void
check_charges(unsigned until)
{
	char *path = today(), *text = contents(path);
	uint64_t least = 0, most = 0, other;
	size_t lines;

	CHECK_INT(add_up(text, "bytes", &lines), 260);
	CHECK_INT(lines, CHARGES);
	for (int i = 0; i < CHARGES; i++) {
		char id[32];
		const char *line, *end;
		bool known;

		(void)snprintf(id, sizeof(id), "\"id\":\"charge%d\"", i);
		line = strstr(text, id);
		while (line != NULL && strchr(line, '\n') != NULL && strchr(line, '\n')[-1] != '}')
			line = strstr(line + 1, id);	/* a fragment */
		CHECK(line != NULL);
		if (line == NULL)
			break;
		end = strchr(line, '\n');
		known = end != NULL && memmem(line, (size_t)(end - line), "\"counted\":true", 14) != NULL;
		other = known ? came_to[i] : RESERVED;
		least += came_to[i] < other ? came_to[i] : other;
		most += came_to[i] < other ? other : came_to[i];
	}
	if (*counted < least || *counted > most)
		fprintf(stderr, "killed at step %u: the counter is %lu\n%s", until, (unsigned long)*counted, text);
	CHECK(*counted >= least && *counted <= most);
	free(text);
	free(path);
}

static void
counters_begin_shared(void)
{
	counted = mmap(NULL, sizeof(*counted), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(counted != MAP_FAILED);
}

static void
counters_end_shared(void)
{
	MUST(munmap(counted, sizeof(*counted)) == 0);
	counted = NULL;
}

static struct run *
run_new_shared(void)
{
	struct run *r = run_new(false);

	r->config->memcached.v = mem_alloc(sizeof(char *));
	r->config->memcached.v[r->config->memcached.n++] = mem_strdup("/ours");
	return r;
}

static void
g10_an_accountant_killed_at_any_step_loses_no_charge_and_counts_none_twice(void)
{
	bool died = true;
	unsigned until;
	int status;

	counters_begin_shared();
	for (until = 1; died && until < 1000; until++) {
		struct run *r = run_new_shared();

		write_record(0);
		send_charges(r);
		run_spawn(r, until);
		(void)control_send(r->control, CONTROL_DRAIN, -1);	/* it may be dead */
		CHECK_INT(waitpid(r->pid, &status, 0), r->pid);
		died = WIFSIGNALED(status);
		CHECK(died ? WTERMSIG(status) == SIGKILL : status == 0);
		run_spawn(r, 0);
		CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
		CHECK_INT(run_end(r), 0);
		check_charges(until);
	}
	CHECK(!died);
	CHECK(until > 8 * CHARGES);	/* it was killed in the midst of them */
	counters_end_shared();
}

/* The machine's clock was an hour ahead when the counters were made, and is right again. */
static void
a_clock_that_was_set_back_counts_nothing_twice(void)
{
	struct run *r;

	counters_begin_shared();
	r = run_new_shared();
	write_record(clock_wall_ms() + 3600 * 1000);
	run_start(r);
	send_charges(r);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	check_charges(0);
	CHECK_INT(*counted, 260);
	counters_end_shared();
}

/* Of the lines with this id: the first names this asset? */
static bool
is_before(const char *text, const char *id, const char *asset)
{
	char want[64];
	const char *line, *end, *found;

	(void)snprintf(want, sizeof(want), "\"id\":\"%s\"", id);
	line = strstr(text, want);
	CHECK(line != NULL);
	end = line == NULL ? NULL : strchr(line, '\n');
	(void)snprintf(want, sizeof(want), "\"asset\":\"%s\"", asset);
	found = line == NULL ? NULL : strstr(line, want);
	return found != NULL && found < end;
}

static void
send_settle_of(struct run *r, int peer, const char *id, const char *asset)
{
	struct account_settle s = settle_of(id, 1);
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	s.asset = asset;
	account_settle_put(&msg, &s);
	CHECK_INT(fd_send(r->peer[peer], msg.data, msg.len, NULL, 0), 0);
	buf_release(&msg);
}

/* A hit whose file had vanished: the worker's line, then the mover's takes its place. */
static void
what_a_worker_has_said_stands_before_what_a_mover_says_after_it(void)
{
	enum { ROUNDS = 40 };
	struct run *r = run_new(false);
	char *path, *text, id[16];
	size_t lines;

	for (int i = 0; i < 100; i++)
		send_settle(r, 0, "other", 1);
	send_settle_of(r, 0, "vanished", "by-worker");
	send_reserve(r, 1, 7);		/* a question that is in hand meanwhile is its mover's all the same */
	send_settle_of(r, 1, "vanished", "by-mover");
	run_start(r);
	CHECK_INT(take_reserved(r, 1, 7), QUOTA_AWAY_ALLOW);
	/* and while the workers' socket is read by the clock */
	for (size_t i = 0; i < ROUNDS; i++) {
		send_settle(r, 0, "other", 1);
		for (int ms = 0; ms < CHILD_MS; ms++) {
			(void)books("bytes", &lines);
			if (lines >= 103 + 3 * i)
				break;
			(void)usleep(1000);
		}
		(void)snprintf(id, sizeof(id), "round%zu", i);
		send_settle_of(r, 0, id, "by-worker");
		send_settle_of(r, 1, id, "by-mover");
	}
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	path = today();
	text = contents(path);
	CHECK(is_before(text, "vanished", "by-worker"));
	for (size_t i = 0; i < ROUNDS; i++) {
		(void)snprintf(id, sizeof(id), "round%zu", i);
		CHECK(is_before(text, id, "by-worker"));
	}
	CHECK_INT(count(text, "\n"), 102 + 3 * ROUNDS);
	free(text);
	free(path);
}

static void
an_accountant_without_a_master_waits_for_its_senders(void)
{
	struct run *r = run_new(false);
	size_t lines;

	run_start(r);
	for (int i = 0; i <= MOVERS; i++)
		fd_close(&r->kept[i]);		/* the master is gone, and its copies */
	fd_close(&r->control);
	send_settle(r, 1, "late", 7);
	for (int i = 0; i <= MOVERS; i++)
		fd_close(&r->peer[i]);
	CHECK_INT(run_end(r), 0);
	CHECK_INT(books("bytes", &lines), 7);
}

static void
a_mover_gets_the_answer_to_its_question(void)
{
	struct run *r = run_new(false);

	run_start(r);
	CHECK_INT(ask_reserve(r, 1, 41), QUOTA_AWAY_ALLOW);
	CHECK_INT(ask_reserve(r, 2, 42), QUOTA_AWAY_ALLOW);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	r = run_new(true);
	run_start(r);
	CHECK_INT(ask_reserve(r, 1, UINT32_MAX), QUOTA_AWAY_REFUSE);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
}

static void
a_reload_is_taken_in_place(void)
{
	static const char text[] = "{ \"memcached\": [\"/nonexistent/m\"], \"quotas\": { \"standard\": { \"per\": \"user\", "
	    "\"bytes\": [\"1000 B per day\"], \"when_unavailable\": \"refuse\" } } }";
	struct buf faults = BUF_INIT(4096);
	struct run *r = run_new(false);
	uint64_t generation = 99;
	struct config *c;
	size_t lines;
	int fd;

	c = config_parse("test", text, strlen(text), false, &faults);
	CHECK_STR(buf_str(&faults), "");
	MUST(c != NULL);
	c->generation = 7;
	fd = config_to_memfd(c, NULL);
	CHECK(fd != -1);
	run_start(r);
	CHECK_INT(ask_reserve(r, 1, 1), QUOTA_AWAY_ALLOW);
	CHECK_INT(control_send(r->control, CONTROL_RELOAD, fd), 0);
	for (int i = 0; i < 1000 && control_read_child(r->control, &generation) != CONTROL_READY; i++)
		(void)usleep(10000);
	CHECK_INT(generation, 7);
	CHECK_INT(ask_reserve(r, 1, 2), QUOTA_AWAY_REFUSE);
	send_settle(r, 0, "after", 3);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	CHECK_INT(books("bytes", &lines), 3);	/* where it was before: dirs.state wants a restart */
	fd_close(&fd);
	config_free(c);
	buf_release(&faults);
}

static void
a_charge_that_could_not_be_counted_is_still_in_the_books(void)
{
	struct run *r = run_new(false);
	struct account_settle s = settle_of("differs", 10);
	struct buf msg = BUF_INIT(ACCOUNT_MAX);
	char *path, *text;

	s.actual[QUOTA_BYTES] = 20;
	account_settle_put(&msg, &s);
	CHECK_INT(fd_send(r->peer[0], msg.data, msg.len, NULL, 0), 0);
	buf_release(&msg);
	send_settle(r, 0, "same", 10);
	run_start(r);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	path = today();
	text = contents(path);
	CHECK_INT(count(text, "\"counted\":false"), 1);
	CHECK_INT(count(text, "\"counted\":true"), 1);	/* nothing to move is moved */
	free(text);
	free(path);
}

static void
nonsense_is_dropped_and_the_next_charge_counts(void)
{
	struct run *r = run_new(false);
	struct account_settle s = settle_of("reserve", 0);
	struct account_reserve ask = { .seq = 1, .charge = s.charge, .add = { [QUOTA_BYTES] = 5 } };
	struct buf msg = BUF_INIT(ACCOUNT_MAX);
	char junk[512];
	unsigned seed = 99;
	size_t lines;

	run_start(r);
	for (int i = 0; i < 300; i++) {
		size_t n = (size_t)rand_r(&seed) % sizeof(junk);

		for (size_t k = 0; k < n; k++)
			junk[k] = (char)rand_r(&seed);
		if (n > 0)
			junk[0] = "sRr"[i % 3];
		CHECK_INT(fd_send(r->peer[i % (1 + MOVERS)], junk, n, NULL, 0), 0);	/* sometimes empty */
	}
	account_settle_put(&msg, &s);
	for (size_t n = 0; n < msg.len; n += 3)		/* cut anywhere */
		CHECK_INT(fd_send(r->peer[0], msg.data, n, NULL, 0), 0);
	buf_clear(&msg);
	account_reserve_put(&msg, &ask);
	CHECK_INT(fd_send(r->peer[0], msg.data, msg.len, NULL, 0), 0);	/* workers do not ask here */
	buf_release(&msg);
	for (int i = 0; i <= MOVERS; i++)
		send_settle(r, i, "good", 1);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	CHECK_INT(books("bytes", &lines), 1 + MOVERS);
	CHECK_INT(lines, 1 + MOVERS);
}

static void
while_the_ledger_cannot_be_written_charges_wait(void)
{
	struct run *r = run_new(false);
	char *blocker = mem_printf("%s/ledger", room);
	size_t lines = 0;
	int fd;

	fd = open(blocker, O_CREAT | O_WRONLY, 0600);	/* a file where the directory should be */
	CHECK(fd != -1);
	close(fd);
	run_start(r);
	for (int i = 0; i < 20; i++)
		send_settle(r, 0, "waits", 2);
	CHECK_INT(ask_reserve(r, 1, 5), QUOTA_AWAY_ALLOW);	/* and the rest goes on */
	CHECK_INT(unlink(blocker), 0);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	CHECK_INT(books("bytes", &lines), 40);
	CHECK_INT(lines, 20);
	free(blocker);
}

static void
a_mover_that_reads_late_stops_nobody_and_finds_every_answer(void)
{
	struct run *r = run_new(false);
	struct account_settle s = settle_of("reserve", 0);
	struct account_reserve ask = { .charge = s.charge, .add = { [QUOTA_BYTES] = 5 } };
	struct account_reserved answer = { 0 };
	struct pollfd more = { .fd = r->peer[1], .events = POLLOUT }, back = { .fd = r->peer[1], .events = POLLIN };
	struct buf msg = BUF_INIT(ACCOUNT_MAX);
	char data[ACCOUNT_MAX];
	uint64_t asked = 0, found = 0;
	ssize_t n;
	size_t lines;

	run_start(r);
	while (asked < 100000 && poll(&more, 1, 200) == 1) {	/* until nothing is read any more */
		buf_clear(&msg);
		ask.seq = asked++;
		account_reserve_put(&msg, &ask);
		CHECK_INT(fd_send(r->peer[1], msg.data, msg.len, NULL, 0), 0);
	}
	buf_release(&msg);
	CHECK(asked > 256 && asked < 100000);
	CHECK_INT(ask_reserve(r, 2, 77), QUOTA_AWAY_ALLOW);
	send_settle(r, 0, "good", 1);
	for (; found < asked && poll(&back, 1, 10000) == 1; found++) {
		n = fd_recv(r->peer[1], data, sizeof(data), NULL, 0, NULL);
		CHECK_INT(account_reserved_get(data, n < 0 ? 0 : (size_t)n, &answer), 0);
		CHECK_INT(answer.seq, found);
	}
	CHECK_INT(found, asked);
	CHECK_INT(control_send(r->control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(run_end(r), 0);
	CHECK_INT(books("bytes", &lines), 1);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(a_line_says_all_that_a_charge_came_to),
		UNIT(no_name_breaks_out_of_its_line),
		UNIT(the_longest_message_fits_in_a_line),
		UNIT(lines_go_to_the_file_of_the_utc_day_in_their_order),
		UNIT(g10_a_line_that_was_cut_by_a_crash_spoils_no_other),
		UNIT(what_a_line_says_is_read_back),
		UNIT(lines_that_are_none_of_ours_are_skipped),
		UNIT(the_ledger_is_read_from_a_day_on_and_while_it_grows),
		UNIT(f9_a_full_disk_loses_nothing_and_counts_nothing_twice),
		UNIT(f9_a_line_that_was_cut_spoils_none_of_another_that_writes),
		UNIT(g10_a_line_is_found_behind_which_another_has_written),
		UNIT(a_link_in_the_ledger_s_place_is_not_followed),
		UNIT(what_waits_has_a_bound),
		UNIT(the_ledger_adds_up_to_the_counters),
		UNIT(what_was_queued_before_the_end_is_in_the_books),
		UNIT(g10_an_accountant_killed_at_any_step_loses_no_charge_and_counts_none_twice),
		UNIT(a_clock_that_was_set_back_counts_nothing_twice),
		UNIT(what_a_worker_has_said_stands_before_what_a_mover_says_after_it),
		UNIT(an_accountant_without_a_master_waits_for_its_senders),
		UNIT(a_mover_gets_the_answer_to_its_question),
		UNIT(a_reload_is_taken_in_place),
		UNIT(a_charge_that_could_not_be_counted_is_still_in_the_books),
		UNIT(nonsense_is_dropped_and_the_next_charge_counts),
		UNIT(while_the_ledger_cannot_be_written_charges_wait),
		UNIT(a_mover_that_reads_late_stops_nobody_and_finds_every_answer),
	};
	int status;

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_ERROR);
	status = unit_run("accountant", t, ARRAY_LEN(t));
	room_remove();
	return status;
}
