/* SPDX-License-Identifier: Apache-2.0
 *
 * One line per event: "time level role[pid] id=... event key=value ...".
 * Lines go to stderr, one write(2) each.  In a process that must not stop
 * with its log's reader, log_set_nonblock makes a line that cannot be written
 * at once be counted and dropped.  Values that came from outside pass through
 * %s only after text_esc.  Never credentials, signed URLs, tokens or bodies.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_init(const char *role, enum log_level level);
void log_set_level(enum log_level level);
void log_set_nonblock(bool on);
/*
 * true: lines are kept, at most 4 KiB of them, until false.  For a turn that writes several; what
 * they speak of must not be done before they are out.
 */
void log_hold(bool on);
bool log_enabled(enum log_level level);
uint64_t log_dropped(void);	/* lines that could not be written */

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
