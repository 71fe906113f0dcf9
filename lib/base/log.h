/* SPDX-License-Identifier: Apache-2.0
 *
 * One line per event: "time level role[pid] id=... event key=value ...".
 * Lines go to stderr, one write(2) each.  After log_set_nonblock (every role,
 * once it runs) a line that cannot be written at once is counted and dropped.
 * Values that came from outside pass through %s only after text_esc.  Never
 * credentials, signed URLs, tokens or bodies.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_init(const char *role, enum log_level level);
void log_set_level(enum log_level level);
void log_set_nonblock(bool on);
/*
 * true: lines are kept, at most 4 KiB of them, until false or until one of them is a warning or an
 * error.  For a turn that writes several; what they speak of must not be done before they are out.
 */
void log_hold(bool on);
bool log_enabled(enum log_level level);

/*
 * So many lines of one code are written within LOG_BURST_MS, by this process;
 * the others are counted, and told when the time is over and the next one
 * comes.  0, and before this is called: all.  Lines without a code (one for
 * each request) are always written.
 */
enum { LOG_BURST_MS = 10000 };
void log_set_burst(unsigned lines);

struct log_counts {
	uint64_t dropped;	/* lines that could not be written */
	uint64_t suppressed;	/* ... that were beyond the burst */
	unsigned busiest;	/* of the code with most lines now, how many; at most burst */
	unsigned burst;
};
void log_count(struct log_counts *ret);

/*
 * id: the request's, or NULL.  code: a stable name such as "EO-MOVER-SPOOL"
 * documented in eodata-proxy(8), for ERROR and WARN; NULL for INFO and DEBUG.
 */
void log_line(enum log_level level, const char *id, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* INFO: the same for a text that is ready, with log_enabled asked before. */
void log_text(const char *id, const char *text, size_t n);

#define log_error(id, code, ...)	log_line(LOG_ERROR, (id), (code), __VA_ARGS__)
#define log_warn(id, code, ...)		log_line(LOG_WARN, (id), (code), __VA_ARGS__)
#define log_info(id, ...)		log_line(LOG_INFO, (id), NULL, __VA_ARGS__)
#define log_debug(id, ...)							\
	do {									\
		if (log_enabled(LOG_DEBUG))					\
			log_line(LOG_DEBUG, (id), NULL, __VA_ARGS__);		\
	} while (0)

/* A broken environment at start-up: log and exit(1). */
NORETURN void die(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
