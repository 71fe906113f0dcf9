/* SPDX-License-Identifier: Apache-2.0
 *
 * Small text helpers: escaping for logs and JSON, percent-encoding, hex,
 * random ids, UTF-8 validity, globs.  All pure.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/base.h"
#include "base/buf.h"

/*
 * Append untrusted text for a log value: at most max bytes of input (then
 * "..."), control bytes, spaces, quotes, backslash, '=' and bytes that are
 * not valid UTF-8 as \xHH.  An empty text becomes "-".
 */
void text_esc(struct buf *out, const char *s, size_t n, size_t max);
/* The same into a static-per-call-site buffer of the caller; returns dst. */
const char *text_esc_to(char *dst, size_t cap, const char *s);
/* Append a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void text_json(struct buf *out, const char *s, size_t n);
bool text_is_unreserved(char c);	/* of RFC 3986 */
/* Append percent-encoded; unreserved bytes stay, all others go. */
void text_percent(struct buf *out, const char *s, size_t n);
void text_hex(struct buf *out, const void *data, size_t n);
/* hex digits to bytes: 0, or -1 when not exactly 2n hex digits. */
int text_unhex(const char *hex, size_t len, uint8_t *ret, size_t n);
bool text_is_utf8(const char *s, size_t n);
size_t text_utf8_len(const char *s, size_t n);	/* bytes at its beginning that are */
/* C0, DEL, or C1 (U+0080 to U+009F, two bytes in UTF-8)? */
bool text_has_control(const char *s, size_t n);
int text_hex_value(char c);		/* 0 to 15, or -1 */
/* n random hex digits and a NUL (getrandom). */
void text_random_hex(char *dst, size_t n);
/*
 * FNV-1a, the same in every process and build; not against enemies.  h: TEXT_HASH, or what
 * came of the bytes before.
 */
#define TEXT_HASH	0xcbf29ce484222325u
uint64_t text_hash(uint64_t h, const void *data, size_t n);
/* Shell glob over the whole text, by characters of UTF-8, case-sensitive, '*' also crosses '/'.
 * The pattern comes from the configuration, the text never acts as one. */
bool text_glob(const char *pattern, const char *text);

#endif
