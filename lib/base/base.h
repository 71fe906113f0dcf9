/* SPDX-License-Identifier: Apache-2.0
 *
 * The first include of every .c file: feature macros, the types that every
 * file uses, and the two words for what must never happen.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#ifdef HAVE_AUTOCONFIG_H
#include "autoconfig.h"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN	__attribute__((noreturn))
#define UNUSED		__attribute__((unused))

/*
 * What only a bug of ours can break.  Stays on in production; never for what
 * a peer, a file, memory or the network can cause.
 */
#define MUST(cond)							\
	do {								\
		if (!(cond))						\
			must_failed(__FILE__, __LINE__, #cond);		\
	} while (0)

/* Writes the broken condition to stderr and aborts.  Async-signal-safe. */
NORETURN void must_failed(const char *file, int line, const char *cond);

/*
 * Memory.  These never return NULL: an allocation that fails ends the
 * process (the master replaces it), except in lib code that is told to
 * report instead (buf_*, msg_*).  Sizes come from bounded inputs only.
 */
void *mem_alloc(size_t n);		/* zeroed */
void *mem_realloc(void *p, size_t n);
char *mem_strdup(const char *s);	/* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* What these do without memory: a library below had none.  The process ends with 71. */
NORETURN void mem_none(void);

#endif
