/* SPDX-License-Identifier: Apache-2.0
 *
 * Range and Content-Range: RFC 9110 section 14.  Pure.
 */
#ifndef WIRE_RANGE_H
#define WIRE_RANGE_H

#include "base/base.h"

enum range_kind {
	RANGE_NONE,	/* absent, other unit, malformed, or more than one range: answer 200 with the whole */
	RANGE_FROM,	/* first-last or first- (last = UINT64_MAX) */
	RANGE_SUFFIX,	/* the last `first` bytes */
};

struct range {
	enum range_kind kind;
	uint64_t first, last;	/* inclusive */
};

/*
 * Several ranges count as RANGE_NONE (multipart is not offered, documented in
 * eodata-proxy(8)).  Overflowing numbers saturate.  last < first is RANGE_NONE
 * (invalid by the RFC, so ignored).
 */
struct range range_parse(const char *value, size_t len);	/* value may be NULL */

/*
 * Against a known size.  0: *ret_first..*ret_last (inclusive, clipped);
 * -1: not satisfiable (416).  kind must not be RANGE_NONE.
 */
int range_resolve(const struct range *r, uint64_t size, uint64_t *ret_first, uint64_t *ret_last);

/* "bytes 0-9/100", "bytes 0-9/ *", "bytes * /100" (without the spaces). */
struct content_range {
	bool has_range, has_size;
	uint64_t first, last, size;
};
/* 0, or -1 when it is not exactly one of the three forms with first <= last < size. */
int content_range_parse(const char *value, size_t len, struct content_range *ret);

#endif
