/* SPDX-License-Identifier: Apache-2.0
 *
 * Conditional requests: RFC 9110 section 13.  Pure.
 */
#ifndef WIRE_CONDITIONAL_H
#define WIRE_CONDITIONAL_H

#include "base/base.h"

/* The client's headers; NULL where absent. */
struct conditions {
	const char *if_match, *if_none_match, *if_modified_since, *if_unmodified_since, *if_range;
};

/* What we have.  etag with its quotes (maybe W/), or NULL; last_modified in s since the epoch, -1 when unknown. */
struct validators {
	const char *etag;
	int64_t last_modified;
};

enum condition_verdict { CONDITION_PROCEED, CONDITION_NOT_MODIFIED, CONDITION_FAILED /* 412 */ };

/* In the order of section 13.2.2, for GET and HEAD.  If-Range is not looked at. */
enum condition_verdict conditions_check(const struct conditions *c, const struct validators *v);
/* Does the Range count?  True without If-Range, and when it matches strongly. */
bool conditions_range_holds(const struct conditions *c, const struct validators *v);
/* A syntactically valid entity-tag, strong or weak? */
bool etag_is_valid(const char *s, size_t len);

#endif
