/* SPDX-License-Identifier: Apache-2.0
 *
 * Conditional requests.  Worker (hits) and mover (the rest).
 *
 * A list that is not well-formed matches nothing: If-None-Match then gives
 * the body and If-Match gives 412, which are the harmless answers.
 */
#include "base/base.h"

#include "wire/conditional.h"

#include <string.h>

#include "wire/httpdate.h"

/* Bytes of the entity-tag at s, 0 when there is none. */
static size_t
etag_len(const char *s, size_t len)
{
	size_t i = 0;

	if (len >= 2 && s[0] == 'W' && s[1] == '/')
		i = 2;
	if (i >= len || s[i] != '"')
		return 0;
	for (i++; i < len; i++) {
		if (s[i] == '"')
			return i + 1;
		if ((uint8_t)s[i] < 0x21 || s[i] == 0x7f)
			return 0;
	}
	return 0;
}

bool
etag_is_valid(const char *s, size_t len)
{
	return len > 0 && etag_len(s, len) == len;
}

static bool
etag_is_weak(const char *s)
{
	return s[0] == 'W';
}

/* ours may be NULL or malformed: matches nothing. */
static bool
etag_matches(const char *theirs, size_t len, const char *ours, bool strong)
{
	size_t ours_len;

	if (ours == NULL)
		return false;
	ours_len = strlen(ours);
	if (!etag_is_valid(ours, ours_len))
		return false;
	if (strong && (etag_is_weak(theirs) || etag_is_weak(ours)))
		return false;
	if (etag_is_weak(theirs)) {
		theirs += 2;
		len -= 2;
	}
	if (etag_is_weak(ours)) {
		ours += 2;
		ours_len -= 2;
	}
	return len == ours_len && memcmp(theirs, ours, len) == 0;
}

static const char *
skip_ows(const char *s)
{
	return s + strspn(s, " \t");
}

/* Does a field of If-Match or If-None-Match hold our tag, or "*"? */
static bool
list_has(const char *field, const char *ours, bool strong)
{
	const char *s = skip_ows(field), *end = s + strlen(s);
	bool hit = false;
	size_t n;

	if (*s == '*')
		return *skip_ows(s + 1) == '\0';
	while (*s != '\0') {
		if (*s == ',') {
			s = skip_ows(s + 1);
			continue;
		}
		n = etag_len(s, (size_t)(end - s));
		if (n == 0)
			return false;
		hit = hit || etag_matches(s, n, ours, strong);
		s = skip_ows(s + n);
		if (*s != ',' && *s != '\0')
			return false;
	}
	return hit;
}

static bool
parse_date(const char *field, int64_t *ret)
{
	const char *s = skip_ows(field);
	size_t n = strlen(s);

	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	return httpdate_parse(s, n, ret) == 0;
}

enum condition_verdict
conditions_check(const struct conditions *c, const struct validators *v)
{
	bool have_date = v->last_modified >= 0;
	int64_t t;

	if (c->if_match != NULL) {
		if (!list_has(c->if_match, v->etag, true))
			return CONDITION_FAILED;
	} else if (c->if_unmodified_since != NULL && have_date && parse_date(c->if_unmodified_since, &t)) {
		if (v->last_modified > t)
			return CONDITION_FAILED;
	}
	if (c->if_none_match != NULL) {
		if (list_has(c->if_none_match, v->etag, false))
			return CONDITION_NOT_MODIFIED;
	} else if (c->if_modified_since != NULL && have_date && parse_date(c->if_modified_since, &t)) {
		if (v->last_modified <= t)
			return CONDITION_NOT_MODIFIED;
	}
	return CONDITION_PROCEED;
}

bool
conditions_range_holds(const struct conditions *c, const struct validators *v)
{
	const char *s;
	int64_t t;
	size_t n;

	if (c->if_range == NULL)
		return true;
	s = skip_ows(c->if_range);
	n = strlen(s);
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	if (etag_is_valid(s, n))
		return etag_matches(s, n, v->etag, true);
	/* a date counts only when it is exactly ours (RFC 9110 section 13.1.5) */
	return v->last_modified >= 0 && httpdate_parse(s, n, &t) == 0 && t == v->last_modified;
}
