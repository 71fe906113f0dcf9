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
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"

enum { LOG_LINE_MAX = 4096 };

static const char *log_role = "-";
static enum log_level log_max = LOG_INFO;
static bool log_nonblock;
static uint64_t log_lost;

static const char *const level_name[] = { "error", "warn", "info", "debug" };

void
log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_max = level;
}

void
log_set_level(enum log_level level)
{
	log_max = level;
}

void
log_set_nonblock(bool on)
{
	log_nonblock = on;
}

bool
log_enabled(enum log_level level)
{
	return level <= log_max;
}

uint64_t
log_dropped(void)
{
	return log_lost;
}

/* The descriptor is shared with others, so it is polled and not made non-blocking. */
static void
put_line(const char *line, size_t n)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t w;

	if (log_nonblock && (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)) {
		log_lost++;
		return;
	}
	do {
		w = write(STDERR_FILENO, line, n);
	} while (w == -1 && errno == EINTR);
	if (w != (ssize_t)n)
		log_lost++;
}

static void PRINTF_LIKE(4, 0)
vline(enum log_level level, const char *id, const char *code, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	int64_t now = clock_wall_ms();
	time_t s = (time_t)(now / 1000);
	struct tm tm;
	size_t n;
	int w;

	(void)gmtime_r(&s, &tm);
	n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	w = snprintf(line + n, sizeof(line) - n, ".%03dZ %s %s[%d] ", (int)(now % 1000), level_name[level],
	    log_role, (int)process_pid());
	n += (size_t)w;
	if (id != NULL && id[0] != '\0')
		n += (size_t)snprintf(line + n, sizeof(line) - n, "id=%.64s ", id);
	if (code != NULL)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%.40s ", code);
	w = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	if (w > 0)
		n += (size_t)w < sizeof(line) - n - 1 ? (size_t)w : sizeof(line) - n - 2;
	/* values are escaped by their callers; this keeps a slip to one line */
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[n++] = '\n';
	put_line(line, n);
}

void
log_line(enum log_level level, const char *id, const char *code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vline(level, id, code, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vline(LOG_ERROR, NULL, "EO-START", fmt, ap);
	va_end(ap);
	exit(1);
}
