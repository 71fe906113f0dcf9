/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between roles.  Every process.
 *
 * A field is a tag byte and its value: 'u' and 4 bytes, 'q' and 8 bytes,
 * 's' or 'b', 4 bytes of length, the bytes and a NUL, or 'n' alone for NULL.
 * Numbers are big-endian.
 */
#include "base/base.h"

#include "wire/msg.h"

#include <string.h>


enum { TAG_U32 = 'u', TAG_U64 = 'q', TAG_STR = 's', TAG_BYTES = 'b', TAG_NULL = 'n' };
enum { FRAME_HEAD = 4 };

static void
put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void
msg_begin(struct buf *b, uint8_t type)
{
	(void)buf_addc(b, (char)type);	/* a buffer remembers its failure; so everywhere below */
}

void
msg_u32(struct buf *b, uint32_t v)
{
	uint8_t f[5] = { TAG_U32 };

	put_be32(f + 1, v);
	(void)buf_add(b, f, sizeof(f));
}

void
msg_u64(struct buf *b, uint64_t v)
{
	uint8_t f[9] = { TAG_U64 };

	put_be32(f + 1, (uint32_t)(v >> 32));
	put_be32(f + 5, (uint32_t)v);
	(void)buf_add(b, f, sizeof(f));
}

static void
put_run(struct buf *b, uint8_t tag, const void *p, size_t n)
{
	uint8_t f[5] = { tag };

	if (p == NULL) {
		(void)buf_addc(b, TAG_NULL);
		return;
	}
	if (n > UINT32_MAX) {
		b->failed = true;
		return;
	}
	put_be32(f + 1, (uint32_t)n);
	(void)buf_add(b, f, sizeof(f));
	(void)buf_add(b, p, n);
	(void)buf_addc(b, '\0');
}

void
msg_str(struct buf *b, const char *s)
{
	put_run(b, TAG_STR, s, s == NULL ? 0 : strlen(s));
}

void
msg_bytes(struct buf *b, const void *p, size_t n)
{
	put_run(b, TAG_BYTES, p, n);
}

void
msg_open(struct msg_in *m, const void *data, size_t n)
{
	*m = (struct msg_in){ .p = data };
	if (data == NULL || n == 0) {
		m->end = m->p;
		m->failed = true;
		return;
	}
	m->end = m->p + n;
	m->type = *m->p++;
}

/* The next n bytes, or NULL and failed. */
static const uint8_t *
take(struct msg_in *m, size_t n)
{
	const uint8_t *p = m->p;

	if (m->failed || n > (size_t)(m->end - m->p)) {
		m->failed = true;
		return NULL;
	}
	m->p += n;
	return p;
}

static const uint8_t *
take_field(struct msg_in *m, uint8_t tag, size_t n)
{
	const uint8_t *p = take(m, n + 1);

	if (p == NULL || p[0] != tag) {
		m->failed = true;
		return NULL;
	}
	return p + 1;
}

uint32_t
msg_get_u32(struct msg_in *m)
{
	const uint8_t *p = take_field(m, TAG_U32, 4);

	return p == NULL ? 0 : get_be32(p);
}

uint64_t
msg_get_u64(struct msg_in *m)
{
	const uint8_t *p = take_field(m, TAG_U64, 8);

	return p == NULL ? 0 : (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

uint32_t
msg_get_u32_max(struct msg_in *m, uint32_t max)
{
	uint32_t v = msg_get_u32(m);

	if (v > max) {
		m->failed = true;
		return 0;
	}
	return v;
}

bool
msg_get_bool(struct msg_in *m)
{
	return msg_get_u32_max(m, 1) == 1;
}

int64_t
msg_get_i64(struct msg_in *m)
{
	uint64_t v = msg_get_u64(m);

	if (v > INT64_MAX) {
		m->failed = true;
		return 0;
	}
	return (int64_t)v;
}

static const void *
get_run(struct msg_in *m, uint8_t tag, size_t max, size_t *ret_n)
{
	const uint8_t *p;
	uint32_t n;

	*ret_n = 0;
	if (!m->failed && m->p < m->end && *m->p == TAG_NULL) {
		m->p++;
		return NULL;
	}
	p = take_field(m, tag, 4);
	if (p == NULL)
		return NULL;
	n = get_be32(p);
	if (n > max) {
		m->failed = true;
		return NULL;
	}
	p = take(m, (size_t)n + 1);
	if (p == NULL || p[n] != '\0') {
		m->failed = true;
		return NULL;
	}
	*ret_n = n;
	return p;
}

const char *
msg_get_str(struct msg_in *m, size_t max)
{
	size_t n;
	const char *s = get_run(m, TAG_STR, max, &n);

	if (s != NULL && memchr(s, '\0', n) != NULL) {
		m->failed = true;
		return NULL;
	}
	return s;
}

const char *
msg_get_text(struct msg_in *m, size_t max)
{
	const char *s = msg_get_str(m, max);

	if (s == NULL || s[0] == '\0') {
		m->failed = true;
		return NULL;
	}
	return s;
}

void
msg_get_chars(struct msg_in *m, char *dst, size_t cap)
{
	const char *s = msg_get_str(m, cap - 1);

	memset(dst, 0, cap);
	if (s == NULL) {
		m->failed = true;
		return;
	}
	memcpy(dst, s, strlen(s));
}

const void *
msg_get_bytes(struct msg_in *m, size_t max, size_t *ret_n)
{
	return get_run(m, TAG_BYTES, max, ret_n);
}

bool
msg_done(const struct msg_in *m)
{
	return !m->failed && m->p == m->end;
}

void
msg_frame(struct buf *out, const struct buf *msg)
{
	uint8_t head[FRAME_HEAD];

	if (!buf_ok(msg) || msg->len == 0 || msg->len > UINT32_MAX) {
		out->failed = true;	/* a frame that is not whole must not go out */
		return;
	}
	put_be32(head, (uint32_t)msg->len);
	(void)buf_add(out, head, sizeof(head));
	(void)buf_add(out, msg->data, msg->len);
}

int
msg_unframe(const struct buf *in, size_t max, const void **ret_msg, size_t *ret_n)
{
	uint32_t n;

	if (in->len < FRAME_HEAD)
		return 0;
	n = get_be32((const uint8_t *)in->data);
	if (n == 0 || n > max)	/* no message is empty: it has its type */
		return -1;
	if (in->len - FRAME_HEAD < n)
		return 0;
	*ret_msg = in->data + FRAME_HEAD;
	*ret_n = n;
	return 1;
}
