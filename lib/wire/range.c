/* SPDX-License-Identifier: Apache-2.0
 *
 * Range and Content-Range.  Runs in the worker (client's) and in the mover
 * (both).
 */
#include "base/base.h"

#include "wire/range.h"

#include <string.h>
#include <strings.h>

static bool
is_ows(char c)
{
	return c == ' ' || c == '\t';
}

/* Digits at *p, at least one; a number that does not fit saturates.  False: no digit. */
static bool
number(const char **p, const char *end, uint64_t *ret, bool *ret_saturated)
{
	const char *s = *p;
	uint64_t v = 0;

	*ret_saturated = false;
	for (; s < end && *s >= '0' && *s <= '9'; s++) {
		if (v > (UINT64_MAX - (uint64_t)(*s - '0')) / 10)
			*ret_saturated = true;
		v = *ret_saturated ? UINT64_MAX : v * 10 + (uint64_t)(*s - '0');
	}
	if (s == *p)
		return false;
	*p = s;
	*ret = v;
	return true;
}

/* One range-spec, all of it. */
static struct range
spec(const char *p, const char *end)
{
	struct range r = { RANGE_NONE, 0, 0 };
	const struct range none = r;
	bool saturated;

	if (p < end && *p == '-') {
		p++;
		if (!number(&p, end, &r.first, &saturated) || p != end)
			return none;
		r.kind = RANGE_SUFFIX;
		return r;
	}
	if (!number(&p, end, &r.first, &saturated) || p == end || *p != '-')
		return none;
	p++;
	r.kind = RANGE_FROM;
	r.last = UINT64_MAX;
	if (p == end)
		return r;
	if (!number(&p, end, &r.last, &saturated) || p != end || r.last < r.first)
		return none;
	return r;
}

struct range
range_parse(const char *value, size_t len)
{
	const struct range none = { RANGE_NONE, 0, 0 };
	const char *p = value, *end, *one = NULL, *one_end = NULL, *stop;

	if (value == NULL)
		return none;
	end = value + len;
	while (p < end && is_ows(*p))
		p++;
	if (end - p < 6 || strncasecmp(p, "bytes=", 6) != 0)
		return none;
	/* a list, whose empty elements do not count (RFC 9110 section 5.6.1.2) */
	for (p += 6; p < end; p = stop + 1) {
		stop = memchr(p, ',', (size_t)(end - p));
		if (stop == NULL)
			stop = end;
		while (p < stop && is_ows(*p))
			p++;
		if (p == stop)
			continue;
		if (one != NULL)
			return none;
		one = p;
		for (one_end = stop; is_ows(one_end[-1]); one_end--)
			;
	}
	return one == NULL ? none : spec(one, one_end);
}

int
range_resolve(const struct range *r, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
	MUST(r->kind != RANGE_NONE);
	if (r->kind == RANGE_SUFFIX) {
		if (r->first == 0 || size == 0)
			return -1;
		*ret_first = r->first >= size ? 0 : size - r->first;
		*ret_last = size - 1;
		return 0;
	}
	if (r->first >= size)
		return -1;
	*ret_first = r->first;
	*ret_last = r->last >= size ? size - 1 : r->last;
	return 0;
}

/* As number, but what no file can have is an error. */
static bool
offset(const char **p, const char *end, uint64_t *ret)
{
	bool saturated;

	return number(p, end, ret, &saturated) && !saturated && *ret <= INT64_MAX;
}

int
content_range_parse(const char *value, size_t len, struct content_range *ret)
{
	struct content_range c = { false, false, 0, 0, 0 };
	const char *p = value, *end;

	if (value == NULL || len < 6 || strncasecmp(value, "bytes ", 6) != 0)
		return -1;
	end = value + len;
	p += 6;
	if (p < end && *p == '*') {
		p++;
	} else {
		c.has_range = true;
		if (!offset(&p, end, &c.first) || p == end || *p++ != '-')
			return -1;
		if (!offset(&p, end, &c.last))
			return -1;
	}
	if (p == end || *p++ != '/')
		return -1;
	if (p < end && *p == '*' && c.has_range) {
		p++;
	} else {
		c.has_size = true;
		if (!offset(&p, end, &c.size))
			return -1;
	}
	if (p != end)
		return -1;
	if (c.has_range && (c.last < c.first || (c.has_size && c.last >= c.size)))
		return -1;
	*ret = c;
	return 0;
}
