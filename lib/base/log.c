/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: one write(2) per line to stderr.  Every process.
 */
#include "base/base.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"

enum {
	LOG_LINE_MAX = 4096,
	LOG_HELD_MAX = 4096,		/* PIPE_BUF: others write to the same pipe */
	CODES_MAX = 128,
};

/* What was written of each code; a code past the last is not limited. */
static struct seen_code {
	const char *code;	/* NULL: free, and so is all behind it */
	int64_t since_ms;	/* mono: of the first of these lines */
	unsigned lines;
	uint64_t kept_back;
} seen[CODES_MAX];

static const char *log_role = "-";
static enum log_level log_max = LOG_INFO;
static uint64_t log_lost, log_kept_back;
static unsigned burst;
static char held[LOG_HELD_MAX];	/* whole lines */
static size_t held_len, held_lines;
static bool holding;
static char who[64];		/* " worker[123] "; empty: to be made */
static int who_pid;

static const char *const level_name[] = { "error", "warn", "info", "debug" };

void
log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_max = level;
	who[0] = '\0';
}

void
log_set_level(enum log_level level)
{
	log_max = level;
}

bool
log_enabled(enum log_level level)
{
	return level <= log_max;
}

void
log_set_burst(unsigned lines)
{
	burst = lines;
}

void
log_count(struct log_counts *ret)
{
	int64_t now = clock_mono_ms();

	*ret = (struct log_counts){ .dropped = log_lost, .suppressed = log_kept_back, .burst = burst };
	for (size_t i = 0; i < CODES_MAX && seen[i].code != NULL; i++) {
		if (now - seen[i].since_ms < LOG_BURST_MS && seen[i].lines > ret->busiest)
			ret->busiest = seen[i].lines;
	}
}

/* How standard error is asked not to make us wait. */
static enum { SINK_WAITS, SINK_POLLED, SINK_SOCKET, SINK_FILE } sink;

void
log_set_nonblock(bool on)
{
	struct stat st;

	sink = SINK_WAITS;
	if (!on)
		return;
	if (fstat(STDERR_FILENO, &st) == -1)
		sink = SINK_POLLED;
	else
		sink = S_ISREG(st.st_mode) ? SINK_FILE : S_ISSOCK(st.st_mode) ? SINK_SOCKET : SINK_POLLED;
}

/*
 * The descriptor is shared with others, so it is not made non-blocking.  A
 * socket (the journal's) needs no flag for that, a file no question; a pipe or
 * a terminal is polled.
 */
static void
put_now(const char *line, size_t n, size_t lines)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t w;

	if (sink == SINK_POLLED && (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)) {
		log_lost += lines;
		return;
	}
	do {
		if (sink == SINK_SOCKET)
			w = send(STDERR_FILENO, line, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			w = write(STDERR_FILENO, line, n);
	} while (w == -1 && errno == EINTR);
	if (w != (ssize_t)n)
		log_lost += lines;
}

static void
put_held(void)
{
	if (held_len > 0)
		put_now(held, held_len, held_lines);
	held_len = held_lines = 0;
}

static void
put_line(const char *line, size_t n)
{
	if (held_len + n > sizeof(held))
		put_held();
	if (!holding || n > sizeof(held)) {
		put_now(line, n, 1);
		return;
	}
	memcpy(held + held_len, line, n);
	held_len += n;
	held_lines++;
}

void
log_hold(bool on)
{
	holding = on;
	if (!on)
		put_held();
}

/* "2026-11-22T09:15:49", made once a second. */
static const char *
second_text(int64_t s)
{
	static char text[32];
	static int64_t of = INT64_MIN;
	time_t t = (time_t)s;
	struct tm tm;

	if (s == of)
		return text;
	(void)gmtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	of = s;
	return text;
}

/* Append at most max bytes of s, so far as they fit. */
static size_t
add(char line[LOG_LINE_MAX], size_t n, const char *s, size_t max)
{
	size_t len = strnlen(s, max);

	if (len > LOG_LINE_MAX - 2 - n)
		len = LOG_LINE_MAX - 2 - n;
	memcpy(line + n, s, len);
	return n + len;
}

/* What every line begins with.  Its bytes. */
static size_t
begin(char line[LOG_LINE_MAX], enum log_level level, const char *id, const char *code)
{
	int64_t now = clock_wall_ms();
	int ms = (int)(now % 1000), pid = (int)process_pid();
	char fraction[] = ".000Z ";
	size_t n;

	fraction[1] = (char)('0' + ms / 100);
	fraction[2] = (char)('0' + ms / 10 % 10);
	fraction[3] = (char)('0' + ms % 10);
	if (who[0] == '\0' || who_pid != pid) {
		(void)snprintf(who, sizeof(who), " %.40s[%d] ", log_role, pid);
		who_pid = pid;
	}
	n = add(line, 0, second_text(now / 1000), 32);
	n = add(line, n, fraction, sizeof(fraction));
	n = add(line, n, level_name[level], 16);
	n = add(line, n, who, sizeof(who));
	if (id != NULL && id[0] != '\0') {
		n = add(line, n, "id=", 3);
		n = add(line, n, id, 64);
		n = add(line, n, " ", 1);
	}
	if (code != NULL) {
		n = add(line, n, code, 40);
		n = add(line, n, " ", 1);
	}
	return n;
}

static void
finish(char line[LOG_LINE_MAX], size_t n)
{
	/* values are escaped by their callers; this keeps a slip to one line */
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[n++] = '\n';
	put_line(line, n);
}

static void PRINTF_LIKE(4, 0)
vline(enum log_level level, const char *id, const char *code, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	size_t n = begin(line, level, id, code);
	int w = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);

	if (w > 0)
		n += (size_t)w < sizeof(line) - n - 1 ? (size_t)w : sizeof(line) - n - 2;
	finish(line, n);
}

static void PRINTF_LIKE(3, 4)
line_of(enum log_level level, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vline(level, NULL, code, fmt, ap);
	va_end(ap);
}

/* May one more line of this code, which is a literal, go out? */
static bool
within_burst(enum log_level level, const char *code)
{
	struct seen_code *s = seen;
	int64_t now;

	if (code == NULL || burst == 0)
		return true;
	while (s < seen + CODES_MAX && s->code != NULL && strcmp(s->code, code) != 0)
		s++;
	if (s == seen + CODES_MAX)
		return true;
	now = clock_mono_ms();
	if (s->code == NULL || now - s->since_ms >= LOG_BURST_MS) {
		s->code = code;
		if (s->kept_back > 0)
			line_of(level, code, "suppressed=%llu lines of this code in %lld s",
			    (unsigned long long)s->kept_back, (long long)(now - s->since_ms) / 1000);
		s->since_ms = now;
		s->lines = 0;
		s->kept_back = 0;
	}
	if (s->lines < burst) {
		s->lines++;
		return true;
	}
	s->kept_back++;
	log_kept_back++;
	return false;
}

void
log_text(const char *id, const char *text, size_t n)
{
	char line[LOG_LINE_MAX];

	finish(line, add(line, begin(line, LOG_INFO, id, NULL), text, n));
}

void
log_line(enum log_level level, const char *id, const char *code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_enabled(level) || !within_burst(level, code))
		return;
	va_start(ap, fmt);
	vline(level, id, code, fmt, ap);
	va_end(ap);
	if (level <= LOG_WARN)	/* it may be why this process ends before its turn does */
		put_held();
	errno = saved;
}

void
die(const char *fmt, ...)
{
	va_list ap;

	log_hold(false);
	va_start(ap, fmt);
	vline(LOG_ERROR, NULL, "EO-START", fmt, ap);
	va_end(ap);
	exit(1);
}
