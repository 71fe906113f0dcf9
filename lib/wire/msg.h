/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between roles: a type byte, then typed fields, each with its tag,
 * so that both ends notice when they disagree.  A reader must consume the
 * message exactly.  All of it is parsed as hostile.
 */
#ifndef WIRE_MSG_H
#define WIRE_MSG_H

#include "base/buf.h"

/* Writing: append to a buf with a maximum; check buf_ok at the end. */
void msg_begin(struct buf *b, uint8_t type);
void msg_u32(struct buf *b, uint32_t v);
void msg_u64(struct buf *b, uint64_t v);
void msg_str(struct buf *b, const char *s);		/* NULL is written as NULL */
void msg_bytes(struct buf *b, const void *p, size_t n);	/* p NULL is written as NULL */

/* Reading.  Every error is sticky; the getters then return 0, NULL. */
struct msg_in {
	const uint8_t *p, *end;
	bool failed;
	uint8_t type;
};
void msg_open(struct msg_in *m, const void *data, size_t n);	/* reads the type */
uint32_t msg_get_u32(struct msg_in *m);
uint64_t msg_get_u64(struct msg_in *m);
/*
 * Borrowed from the message, NUL-terminated there; NULL where NULL was written.  A NUL inside, or
 * longer than max, fails.
 */
const char *msg_get_str(struct msg_in *m, size_t max);
/* The same for bytes; a NUL that does not count follows them. */
const void *msg_get_bytes(struct msg_in *m, size_t max, size_t *ret_n);
/* Getters that fail the message on what is out of range. */
uint32_t msg_get_u32_max(struct msg_in *m, uint32_t max);
bool msg_get_bool(struct msg_in *m);			/* written as msg_u32, 0 or 1 */
int64_t msg_get_i64(struct msg_in *m);			/* written as msg_u64; a negative one fails */
const char *msg_get_text(struct msg_in *m, size_t max);	/* as msg_get_str; NULL and "" fail */
void msg_get_chars(struct msg_in *m, char *dst, size_t cap);	/* a string into dst, zero-filled; NULL fails */
/* True only when nothing failed and nothing is left. */
bool msg_done(const struct msg_in *m);

/* Frames on a stream socket: 4 bytes length (big-endian), then a message. */
void msg_frame(struct buf *out, const struct buf *msg);
/*
 * From the front of in: 1 and *ret_msg (borrowed from in->data; call buf_consume(in, 4 + *ret_n)
 * when done), 0 when more is needed, -1 when longer than max or empty.
 */
int msg_unframe(const struct buf *in, size_t max, const void **ret_msg, size_t *ret_n);

#endif
