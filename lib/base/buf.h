/* SPDX-License-Identifier: Apache-2.0
 *
 * A byte buffer that knows its maximum from birth.  An append that would
 * pass the maximum, or that finds no memory, fails, and the buffer stays
 * failed: check once at the end with buf_ok.  Contents are always followed
 * by a NUL that does not count.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"

struct buf {
	char *data;		/* NULL until the first append */
	size_t len, cap;
	size_t max;		/* bytes, without the NUL */
	bool failed, no_memory;
};

#define BUF_INIT(maximum) { NULL, 0, 0, (maximum), false, false }

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);		/* frees; NULL-safe; buffer unusable until init */
void buf_clear(struct buf *b);			/* empty and unfailed; memory is kept */
int buf_add(struct buf *b, const void *data, size_t n);	/* 0, or -1 */
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addu(struct buf *b, uint64_t v);	/* in decimal */
/* Some texts, the last argument NULL: what buf_addf does with "%s%s", without a format. */
int buf_join(struct buf *b, ...) __attribute__((sentinel));
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Make room for n more bytes and return where they go; NULL on failure. */
char *buf_reserve(struct buf *b, size_t n);
/* Remove n bytes from the front.  n <= len. */
void buf_consume(struct buf *b, size_t n);
bool buf_ok(const struct buf *b);
/* buf_ok for what may be too long; where it is memory that was missing the process ends. */
bool buf_fits(const struct buf *b);
/* out fails where this part of it has. */
void buf_inherit(struct buf *out, const struct buf *part);
/* For what always fits: where it is not whole there was no memory, which ends the process, or it is a bug. */
void buf_must(const struct buf *b);
/* The contents as a C string; "" when empty.  Borrowed until the next call. */
const char *buf_str(const struct buf *b);
/* Hand the memory to the caller (free(3) it); the buffer is empty after. */
char *buf_take(struct buf *b);

#endif
