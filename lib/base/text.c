/* SPDX-License-Identifier: Apache-2.0
 *
 * Text helpers.  Every process.
 */
#include "base/base.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

#include "base/process.h"

static const char hex_digits[] = "0123456789abcdef";

/*
 * Bytes of the UTF-8 sequence at s (RFC 3629: no overlong forms, no
 * surrogates, at most U+10FFFF); 0 when it is none.
 */
static size_t
utf8_len(const uint8_t *s, size_t n)
{
	size_t need;
	uint8_t lo = 0x80, hi = 0xbf;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		need = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		need = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		need = 4;
	else
		return 0;
	if (n < need)
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0;
	else if (s[0] == 0xed)
		hi = 0x9f;
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < need; i++) {
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	}
	return need;
}

size_t
text_utf8_len(const char *s, size_t n)
{
	size_t len, i;

	for (i = 0; i < n; i += len) {
		len = utf8_len((const uint8_t *)s + i, n - i);
		if (len == 0)
			break;
	}
	return i;
}

bool
text_is_utf8(const char *s, size_t n)
{
	return text_utf8_len(s, n) == n;
}

bool
text_has_control(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)s[i] < 0x20 || s[i] == 0x7f)
			return true;
		if ((uint8_t)s[i] == 0xc2 && i + 1 < n && (uint8_t)s[i + 1] < 0xa0)
			return true;
	}
	return false;
}

void
text_esc(struct buf *out, const char *s, size_t n, size_t max)
{
	size_t take = n < max ? n : max, len, plain = 0;
	uint8_t c;

	if (n == 0)
		(void)buf_addc(out, '-');	/* a buffer remembers its failure */
	for (size_t i = 0; i < take; i += len) {
		c = (uint8_t)s[i];
		len = utf8_len((const uint8_t *)s + i, take - i);
		if (len == 1 && (c <= ' ' || c == 0x7f || c == '"' || c == '\\' || c == '='))
			len = 0;
		/* C1 controls are two bytes, 0xc2 0x80 to 0x9f */
		if (len == 2 && c == 0xc2 && (uint8_t)s[i + 1] < 0xa0)
			len = 0;
		if (len > 0)
			continue;
		(void)buf_add(out, s + plain, i - plain);
		(void)buf_addf(out, "\\x%02x", c);
		len = 1;
		plain = i + 1;
	}
	(void)buf_add(out, s + plain, take - plain);
	if (take < n)
		(void)buf_adds(out, "...");
}

const char *
text_esc_to(char *dst, size_t cap, const char *s)
{
	struct buf b = BUF_INIT(cap * 5);
	size_t n = s == NULL ? 0 : strlen(s);

	text_esc(&b, s, n, cap - 1);
	(void)snprintf(dst, cap, "%s", buf_str(&b));
	buf_release(&b);
	return dst;
}

void
text_json(struct buf *out, const char *s, size_t n)
{
	size_t len, plain = 0;
	uint8_t c;

	(void)buf_addc(out, '"');
	for (size_t i = 0; i < n; i += len) {
		c = (uint8_t)s[i];
		len = utf8_len((const uint8_t *)s + i, n - i);
		if (len > 0 && c >= 0x20 && c != 0x7f && c != '"' && c != '\\')
			continue;
		(void)buf_add(out, s + plain, i - plain);
		if (len == 0) {
			(void)buf_adds(out, "\xef\xbf\xbd");
			len = 1;
		} else if (c == '"' || c == '\\') {
			(void)buf_addf(out, "\\%c", c);
		} else {
			(void)buf_addf(out, "\\u%04x", c);
		}
		plain = i + len;
	}
	(void)buf_add(out, s + plain, n - plain);
	(void)buf_addc(out, '"');
}

bool
text_is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

void
text_percent(struct buf *out, const char *s, size_t n)
{
	static const char upper[] = "0123456789ABCDEF";
	size_t plain = 0;
	char coded[3] = "%";
	uint8_t c;

	for (size_t i = 0; i < n; i++) {
		if (text_is_unreserved(s[i]))
			continue;
		c = (uint8_t)s[i];
		coded[1] = upper[c >> 4];
		coded[2] = upper[c & 15];
		(void)buf_add(out, s + plain, i - plain);
		(void)buf_add(out, coded, sizeof(coded));
		plain = i + 1;
	}
	(void)buf_add(out, s + plain, n - plain);
}

void
text_hex(struct buf *out, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++) {
		(void)buf_addc(out, hex_digits[p[i] >> 4]);
		(void)buf_addc(out, hex_digits[p[i] & 15]);
	}
}

int
text_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
text_unhex(const char *hex, size_t len, uint8_t *ret, size_t n)
{
	int hi, lo;

	if (len != 2 * n)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text_hex_value(hex[i]) < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++) {
		hi = text_hex_value(hex[2 * i]);
		lo = text_hex_value(hex[2 * i + 1]);
		ret[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

void
text_random_hex(char *dst, size_t n)
{
	uint8_t raw[64];
	size_t want = (n + 1) / 2;

	MUST(want <= sizeof(raw));
	process_random(raw, want);
	for (size_t i = 0; i < n; i++)
		dst[i] = hex_digits[i % 2 == 0 ? raw[i / 2] >> 4 : raw[i / 2] & 15];
	dst[n] = '\0';
}

uint64_t
text_hash(uint64_t h, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

/* Takes the character at *s, which is not at its end; a byte that is no UTF-8 is one that none has. */
static uint32_t
next_char(const char **s)
{
	const uint8_t *p = (const uint8_t *)*s;
	size_t len = p[0] < 0x80 ? 1 : utf8_len(p, strnlen(*s, 4));
	uint32_t c = p[0];

	if (len == 0) {
		c |= 0x110000;
		len = 1;
	} else if (len > 1) {
		c &= 0x7fU >> len;
		for (size_t i = 1; i < len; i++)
			c = c << 6 | (p[i] & 0x3f);
	}
	*s += len;
	return c;
}

/* The same in a pattern, where a backslash takes the next one as it is. */
static uint32_t
next_literal(const char **p)
{
	if ((*p)[0] == '\\' && (*p)[1] != '\0')
		(*p)++;
	return next_char(p);
}

/*
 * '*', '?' and '[...]' with ranges and '!', over characters; a backslash
 * takes the next one as it is.  Linear but for '*', which backtracks to the
 * last one only, so hostile text costs at most |pattern| * |text|.
 */
static bool
match_set(const char **pattern, uint32_t c)
{
	const char *p = *pattern + 1;
	bool negate = *p == '!' || *p == '^', hit = false;
	uint32_t low, high;

	if (negate)
		p++;
	for (bool first = true; *p != '\0' && (*p != ']' || first); first = false) {
		low = high = next_literal(&p);
		if (p[0] == '-' && p[1] != '\0' && p[1] != ']') {
			p++;
			high = next_literal(&p);
		}
		hit = hit || (c >= low && c <= high);
	}
	if (*p == '\0') {	/* no closing bracket: '[' is itself */
		(*pattern)++;
		return c == '[';
	}
	*pattern = p + 1;
	return hit != negate;
}

static bool
match_one(const char **pattern, uint32_t c)
{
	if (**pattern == '[')
		return match_set(pattern, c);
	if (**pattern == '?') {
		(*pattern)++;
		return true;
	}
	return next_literal(pattern) == c;
}

bool
text_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *star_text = NULL, *next;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			star_text = text;
			continue;
		}
		next = text;
		if (*pattern != '\0' && match_one(&pattern, next_char(&next))) {
			text = next;
			continue;
		}
		if (star == NULL)
			return false;
		pattern = star;
		(void)next_char(&star_text);
		text = star_text;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}
