/* SPDX-License-Identifier: Apache-2.0
 *
 * The bounded buffer.  Every process.
 */
#include "base/base.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST = 240 };	/* most texts of a request need no second allocation */

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf)BUF_INIT(max);
}

void
buf_release(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
	b->failed = b->no_memory = false;
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = b->no_memory = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

char *
buf_reserve(struct buf *b, size_t n)
{
	size_t cap;
	char *p;

	if (b->failed || n > b->max - b->len) {
		b->failed = true;
		return NULL;
	}
	if (b->data == NULL || b->len + n + 1 > b->cap) {
		cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
		while (cap < b->len + n + 1)
			cap *= 2;
		p = realloc(b->data, cap);
		if (p == NULL) {
			b->failed = b->no_memory = true;
			return NULL;
		}
		b->data = p;
		b->cap = cap;
		b->data[b->len] = '\0';
	}
	return b->data + b->len;
}

int
buf_add(struct buf *b, const void *data, size_t n)
{
	char *p = buf_reserve(b, n);

	if (p == NULL)
		return -1;
	if (n > 0)
		memcpy(p, data, n);
	b->len += n;
	b->data[b->len] = '\0';
	return 0;
}

int
buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_addc(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_addu(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	return buf_add(b, digits + at, sizeof(digits) - at);
}

int
buf_join(struct buf *b, ...)
{
	const char *s;
	va_list ap;

	va_start(ap, b);
	for (s = va_arg(ap, const char *); s != NULL; s = va_arg(ap, const char *))
		(void)buf_adds(b, s);	/* a buffer remembers its failure */
	va_end(ap);
	return b->failed ? -1 : 0;
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	char stack[256];
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(stack, sizeof(stack), fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return -1;
	}
	if ((size_t)n < sizeof(stack))
		return buf_add(b, stack, (size_t)n);
	p = buf_reserve(b, (size_t)n);
	if (p == NULL)
		return -1;
	va_start(ap, fmt);
	n = vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	MUST(n <= b->len);
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = '\0';
}

bool
buf_ok(const struct buf *b)
{
	return !b->failed;
}

bool
buf_fits(const struct buf *b)
{
	if (b->no_memory)
		mem_none();
	return !b->failed;
}

void
buf_must(const struct buf *b)
{
	MUST(buf_fits(b));
}

void
buf_inherit(struct buf *out, const struct buf *part)
{
	out->failed = out->failed || part->failed;
	out->no_memory = out->no_memory || part->no_memory;
}

const char *
buf_str(const struct buf *b)
{
	return b->data == NULL ? "" : b->data;
}

char *
buf_take(struct buf *b)
{
	char *p = b->data == NULL ? mem_alloc(1) : b->data;

	b->data = NULL;
	b->len = b->cap = 0;
	return p;
}
