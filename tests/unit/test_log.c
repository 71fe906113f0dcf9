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

/* How many lines one write brought, all of them with this in it; -1 when one has not. */
static int
lines_written(int fd, const char *each)
{
	char text[8192];
	ssize_t len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	const char *end;
	int n = 0;

	text[len < 0 ? 0 : len] = '\0';
	for (const char *p = text; *p != '\0'; p = end + 1, n++) {
		end = strchr(p, '\n');
		if (end == NULL || memmem(p, (size_t)(end - p), each, strlen(each)) == NULL)
			return -1;
	}
	return n;
}

static void
lines_that_are_held_go_out_in_one_write_and_warnings_hold_nothing_back(void)
{
	int pair[2], old, held, released, unheld, warned, kept, behind, many = 0, n;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	old = divert(pair[1]);		/* so nothing is checked before it is back */
	log_hold(true);
	log_info(NULL, "event=one");
	log_info(NULL, "event=two");
	held = lines_written(pair[0], "event=");
	log_hold(false);
	released = lines_written(pair[0], "event=");
	log_info(NULL, "event=at-once");
	unheld = lines_written(pair[0], "event=at-once");
	log_hold(true);
	log_info(NULL, "event=before");
	log_warn(NULL, "EO-TEST-HELD", "event=fault");
	warned = lines_written(pair[0], "event=");
	log_info(NULL, "event=behind");
	kept = lines_written(pair[0], "event=");
	log_hold(false);
	behind = lines_written(pair[0], "event=behind");
	log_hold(true);
	for (int i = 0; i < 40; i++)	/* more than are kept */
		log_info(NULL, "event=many %0400d", i);
	log_hold(false);
	do {
		n = lines_written(pair[0], "event=many");
		many += n;
	} while (n > 0);
	restore(old);
	CHECK_INT(held, 0);
	CHECK_INT(released, 2);
	CHECK_INT(unheld, 1);
	CHECK_INT(warned, 2);	/* though this process may end before its turn does */
	CHECK_INT(kept, 0);
	CHECK_INT(behind, 1);
	CHECK_INT(many, 40);
	(void)close(pair[0]);
	(void)close(pair[1]);
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
		UNIT(lines_that_are_held_go_out_in_one_write_and_warnings_hold_nothing_back),
		UNIT(lines_beyond_the_burst_are_counted_and_told_in_one),
		UNIT(a_pipe_that_nobody_reads_stops_nobody),
		UNIT(a_socket_that_nobody_reads_stops_nobody),
	};

	return unit_run("log", t, ARRAY_LEN(t));
}
