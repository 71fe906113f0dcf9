/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: how many lines of one warning go out, and a reader that does not
 * read.  Standard error is a file, a pipe and a socket in turn.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

enum { MANY = 5000 };	/* lines: more than any pipe or socket holds */

/* Standard error is fd from here on; the old one comes back. */
static int
divert(int fd)
{
	int old = dup(STDERR_FILENO);

	MUST(old != -1 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	return old;
}

static void
restore(int old)
{
	MUST(dup2(old, STDERR_FILENO) == STDERR_FILENO);
	(void)close(old);
	log_set_nonblock(false);
	log_set_burst(0);
}

static unsigned
count(const struct buf *b, const char *text)
{
	unsigned n = 0;

	for (const char *p = strstr(buf_str(b), text); p != NULL; p = strstr(p + 1, text))
		n++;
	return n;
}

static void
lines_beyond_the_burst_are_counted_and_told_in_one(void)
{
	char path[] = "/tmp/eo-log-XXXXXX";
	struct log_counts before, counts;
	struct buf text = BUF_INIT(1 << 20);
	int fd = mkstemp(path), old = divert(fd);

	log_set_burst(3);
	log_set_nonblock(true);
	log_count(&before);
	for (int i = 0; i < 10; i++) {
		log_warn(NULL, "EO-TEST-ONE", "again");
		log_info(NULL, "event=request");
	}
	log_error(NULL, "EO-TEST-TWO", "another");
	log_count(&counts);
	clock_shift_ms(LOG_BURST_MS);
	log_warn(NULL, "EO-TEST-ONE", "much later");
	clock_shift_ms(2 * LOG_BURST_MS);
	log_warn(NULL, "EO-TEST-ONE", "later still");
	clock_shift_ms(0);
	restore(old);
	CHECK_INT(fd_read_file(path, &text, NULL), 0);
	CHECK_INT(count(&text, "EO-TEST-ONE again"), 3);
	CHECK_INT(count(&text, "event=request"), 10);
	CHECK_INT(count(&text, "EO-TEST-TWO another"), 1);
	CHECK_INT(count(&text, "EO-TEST-ONE suppressed=7 lines of this code in 10 s"), 1);
	CHECK_INT(count(&text, "suppressed="), 1);
	CHECK_INT(count(&text, "EO-TEST-ONE much later"), 1);
	CHECK_INT(count(&text, "EO-TEST-ONE later still"), 1);
	CHECK_INT(counts.suppressed - before.suppressed, 7);
	CHECK_INT(counts.busiest, 3);
	CHECK_INT(counts.burst, 3);
	CHECK_INT(counts.dropped, before.dropped);
	buf_release(&text);
	(void)close(fd);
	(void)unlink(path);
}

/* All of what was written is whole lines, and the rest was counted. */
static void
nobody_reads(int to, int from)
{
	struct log_counts before, counts;
	struct buf text = BUF_INIT(64 << 20);
	int old = divert(to);
	char *p;
	ssize_t n;

	(void)alarm(60);	/* it would wait for ever */
	log_set_nonblock(true);
	log_count(&before);
	for (int i = 0; i < MANY; i++)
		log_info(NULL, "event=request %0200d", i);
	log_count(&counts);
	restore(old);
	(void)close(to);
	do {
		p = buf_reserve(&text, 65536);
		MUST(p != NULL);
		n = read(from, p, 65536);
		text.len += n > 0 ? (size_t)n : 0;
		p[n > 0 ? n : 0] = '\0';
	} while (n > 0);
	CHECK(count(&text, "\n") > 0 && counts.dropped > before.dropped);
	CHECK_INT(count(&text, "\n") + (counts.dropped - before.dropped), MANY);
	CHECK_INT(count(&text, "event=request 0"), count(&text, "\n"));
	CHECK(text.len > 0 && buf_str(&text)[text.len - 1] == '\n');
	buf_release(&text);
	(void)close(from);
}

static void
a_pipe_that_nobody_reads_stops_nobody(void)
{
	int p[2];

	MUST(pipe2(p, O_CLOEXEC) == 0);
	nobody_reads(p[1], p[0]);
}

static void
a_socket_that_nobody_reads_stops_nobody(void)
{
	int p[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) == 0);
	nobody_reads(p[1], p[0]);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(lines_beyond_the_burst_are_counted_and_told_in_one),
		UNIT(a_pipe_that_nobody_reads_stops_nobody),
		UNIT(a_socket_that_nobody_reads_stops_nobody),
	};

	return unit_run("log", t, ARRAY_LEN(t));
}
