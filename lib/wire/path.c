/* SPDX-License-Identifier: Apache-2.0
 *
 * The request path.  Runs in the worker, on what the client wrote.
 *
 * Segments are split first and decoded once afterwards, so that what a
 * segment holds never moves its borders.  A decoded slash may stay inside a
 * segment, but not together with "." or "..": what we name upstream would be
 * decoded and resolved there (CVE-2026-34475 and its kin, case C1).
 */
#include "base/base.h"

#include "wire/path.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

static enum path_verdict
bad(struct err *e, const char *why)
{
	(void)err_set(e, "%s", why);
	return PATH_BAD;
}

/* Decode n bytes at s into dst (room for n + 1).  Bytes written, or -1: not percent-encoding. */
static ssize_t
decode(char *dst, const char *s, size_t n)
{
	size_t len = 0;
	int hi, lo;

	for (size_t i = 0; i < n; i++) {
		if (s[i] != '%') {
			dst[len++] = s[i];
			continue;
		}
		if (n - i < 3)
			return -1;
		hi = text_hex_value(s[i + 1]);
		lo = text_hex_value(s[i + 2]);
		if (hi < 0 || lo < 0)
			return -1;
		dst[len++] = (char)(hi << 4 | lo);
		i += 2;
	}
	dst[len] = '\0';
	return (ssize_t)len;
}

/* Is any part of s, between slashes of both kinds, "." or ".."? */
static bool
has_dots(const char *s)
{
	size_t n;

	for (;;) {
		n = strcspn(s, "/\\");
		if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return true;
		if (s[n] == '\0')
			return false;
		s += n + 1;
	}
}

static enum path_verdict
segment(char *dst, const char *raw, size_t raw_len, size_t *ret_len, struct err *e)
{
	ssize_t n;

	if (raw_len == 0)
		return bad(e, "empty path segment");
	n = decode(dst, raw, raw_len);
	if (n < 0)
		return bad(e, "invalid percent-encoding in the path");
	if (n > PATH_SEGMENT_MAX) {
		(void)err_set(e, "path segment is longer than %d bytes", PATH_SEGMENT_MAX);
		return PATH_LONG;
	}
	if (text_has_control(dst, (size_t)n))
		return bad(e, "control character in the path");
	if (!text_is_utf8(dst, (size_t)n))
		return bad(e, "path is not UTF-8");
	if (has_dots(dst))
		return bad(e, "'.' or '..' in the path");
	*ret_len = (size_t)n;
	return PATH_OK;
}

/* Behind scheme and authority of the absolute form. */
static void
skip_authority(const char **s, size_t *len)
{
	static const char *const scheme[] = { "http://", "https://" };
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(scheme); i++) {
		n = strlen(scheme[i]);
		if (*len < n || strncasecmp(*s, scheme[i], n) != 0)
			continue;
		while (n < *len && strchr("/?#", (*s)[n]) == NULL)
			n++;
		*s += n;
		*len -= n;
		return;
	}
}

/*
 * The segment under test is dst.  Advance *base over it when it is the next
 * segment of base_path; false when it is another.
 */
static bool
base_takes(const char **base, const char *dst, size_t n)
{
	const char *b = *base + 1;	/* behind the slash */
	size_t want = strcspn(b, "/");

	if (want != n || memcmp(b, dst, n) != 0)
		return false;
	*base = b + want;
	return true;
}

static enum path_verdict
split(struct path *ret, const char *s, size_t len, const char *base, struct err *e)
{
	char *dst = ret->store;
	enum path_verdict v;
	size_t n, decoded;

	while (len > 0) {
		s++;	/* the slash */
		len--;
		for (n = 0; n < len && s[n] != '/'; n++)
			;
		v = segment(dst, s, n, &decoded, e);
		if (v != PATH_OK)
			return v;
		s += n;
		len -= n;
		if (base[0] == '/' && base[1] != '\0') {
			if (!base_takes(&base, dst, decoded))
				break;
			continue;
		}
		if (ret->n == PATH_SEGMENTS_MAX) {
			(void)err_set(e, "path has more than %d segments", PATH_SEGMENTS_MAX);
			return PATH_LONG;
		}
		ret->seg[ret->n++] = dst;
		dst += decoded + 1;
	}
	if (ret->n == 0) {
		(void)err_set(e, "path is not below the base path");
		return PATH_OUTSIDE;
	}
	return PATH_OK;
}

enum path_verdict
path_parse(struct path *ret, const char *raw_uri, size_t len, const char *base_path, struct err *e)
{
	const char *query;

	ret->n = 0;
	ret->query = "";
	if (len > PATH_URI_MAX) {
		(void)err_set(e, "request target is longer than %d bytes", PATH_URI_MAX);
		return PATH_LONG;
	}
	for (size_t i = 0; i < len; i++) {
		if ((uint8_t)raw_uri[i] <= ' ' || raw_uri[i] == 0x7f || raw_uri[i] == '#')
			return bad(e, "forbidden character in the request target");
	}
	skip_authority(&raw_uri, &len);
	query = len == 0 ? NULL : memchr(raw_uri, '?', len);
	if (query != NULL) {
		memcpy(ret->query_store, query + 1, len - (size_t)(query + 1 - raw_uri));
		ret->query_store[len - (size_t)(query + 1 - raw_uri)] = '\0';
		ret->query = ret->query_store;
		len = (size_t)(query - raw_uri);
	}
	if (len == 0 || raw_uri[0] != '/')
		return bad(e, "request target is not a path");
	return split(ret, raw_uri, len, base_path, e);
}

void
path_join(const struct path *p, size_t from, struct buf *out)
{
	for (size_t i = from; i < p->n; i++) {
		if (i > from)
			(void)buf_addc(out, '/');	/* buf_ok is the caller's */
		text_percent(out, p->seg[i], strlen(p->seg[i]));
	}
}
