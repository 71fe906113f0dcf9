/* SPDX-License-Identifier: Apache-2.0
 *
 * Response headers of a provider.  Mover; the writers also in the worker.
 * File names and media types are in disposition.c.
 */
#include "base/base.h"

#include "wire/header.h"

#include <string.h>
#include <strings.h>

#include "wire/httpdate.h"

enum { RETRY_AFTER_MAX_S = 86400, MEDIA_TYPE_MAX = 255 };

static bool
is_tchar(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_ows(char c)
{
	return c == ' ' || c == '\t';
}

static size_t
token_len(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && is_tchar(s[n]))
		n++;
	return n;
}

static void
trim(const char **s, size_t *n)
{
	while (*n > 0 && is_ows(**s)) {
		(*s)++;
		(*n)--;
	}
	while (*n > 0 && is_ows((*s)[*n - 1]))
		(*n)--;
}

int
header_line_parse(const char *line, size_t len, struct header_line *ret, struct err *e)
{
	struct header_line h;

	if (len > HEADER_LINE_MAX)
		return err_set(e, "header line is longer than %d bytes", HEADER_LINE_MAX);
	if (len > 0 && is_ows(line[0]))
		return err_set(e, "header line is folded");
	h.name = line;
	h.name_len = token_len(line, len);
	if (h.name_len == 0 || h.name_len == len || line[h.name_len] != ':')
		return err_set(e, "header line without a name and a colon");
	h.value = line + h.name_len + 1;
	h.value_len = len - h.name_len - 1;
	trim(&h.value, &h.value_len);
	for (size_t i = 0; i < h.value_len; i++) {
		if (((uint8_t)h.value[i] < 0x20 && h.value[i] != '\t') || h.value[i] == 0x7f)
			return err_set(e, "control character in a header");
	}
	*ret = h;
	return 0;
}

bool
header_is(const struct header_line *h, const char *name)
{
	return strlen(name) == h->name_len && strncasecmp(h->name, name, h->name_len) == 0;
}

static int
number(const char *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (n == 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || v > (UINT64_MAX - (uint64_t)(s[i] - '0')) / 10)
			return -1;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	*ret = v;
	return 0;
}

int
header_length_parse(const char *v, size_t len, uint64_t *ret)
{
	uint64_t first = 0, one;
	const char *comma, *s;
	bool have = false;
	size_t n;

	for (;;) {
		comma = len == 0 ? NULL : memchr(v, ',', len);
		s = v;
		n = comma == NULL ? len : (size_t)(comma - v);
		trim(&s, &n);
		if (number(s, n, &one) == -1 || (have && one != first))
			return -1;
		first = one;
		have = true;
		if (comma == NULL)
			break;
		len -= (size_t)(comma + 1 - v);
		v = comma + 1;
	}
	*ret = first;
	return 0;
}

int64_t
header_retry_after(const char *v, size_t len, int64_t now_s)
{
	int64_t at, in;
	uint64_t n;
	size_t digits = 0;

	trim(&v, &len);
	while (digits < len && v[digits] >= '0' && v[digits] <= '9')
		digits++;
	if (digits > 0 && digits == len) {
		if (number(v, len, &n) == -1 || n > RETRY_AFTER_MAX_S)
			return RETRY_AFTER_MAX_S;
		return (int64_t)n;
	}
	if (httpdate_parse(v, len, &at) == -1)
		return -1;
	in = at > now_s ? at - now_s : 0;
	return in > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : in;
}

/* Bytes of the quoted-string at s, quotes included; 0 when it is none. */
static size_t
quoted_len(const char *s, size_t len)
{
	if (len == 0 || s[0] != '"')
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (s[i] == '"')
			return i + 1;
		if (s[i] == '\\')
			i++;
		if (i < len && (((uint8_t)s[i] < 0x20 && s[i] != '\t') || (uint8_t)s[i] >= 0x7f))
			return 0;
	}
	return 0;
}

static void
add_lower(struct buf *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)buf_addc(out, (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] | 0x20 : s[i]));
}

/* Parameters up to the first one that is not well-formed. */
static void
media_parameters(const char *v, size_t len, struct buf *out)
{
	size_t name, value;

	for (;;) {
		trim(&v, &len);
		if (len == 0 || v[0] != ';')
			return;
		v++;
		len--;
		trim(&v, &len);
		if (len > 0 && v[0] == ';')
			continue;	/* empty parameter */
		name = token_len(v, len);
		if (name == 0 || name == len || v[name] != '=')
			return;
		value = quoted_len(v + name + 1, len - name - 1);
		if (value == 0)
			value = token_len(v + name + 1, len - name - 1);
		if (value == 0 || out->len + name + value + 3 > MEDIA_TYPE_MAX)
			return;
		(void)buf_adds(out, "; ");
		add_lower(out, v, name);
		for (size_t i = name; i < name + 1 + value; i++)
			(void)buf_addc(out, v[i] == '\t' ? ' ' : v[i]);	/* a quoted tab: no control byte goes on */
		v += name + 1 + value;
		len -= name + 1 + value;
	}
}

int
header_media_type(const char *v, size_t len, struct buf *out)
{
	size_t type, sub;

	buf_clear(out);
	trim(&v, &len);
	type = token_len(v, len);
	if (type == 0 || type == len || v[type] != '/')
		return -1;
	sub = token_len(v + type + 1, len - type - 1);
	if (sub == 0 || type + 1 + sub > MEDIA_TYPE_MAX)
		return -1;
	len -= type + 1 + sub;
	if (len > 0 && !is_ows(v[type + 1 + sub]) && v[type + 1 + sub] != ';')
		return -1;
	add_lower(out, v, type + 1 + sub);
	media_parameters(v + type + 1 + sub, len, out);
	return buf_ok(out) ? 0 : -1;
}
