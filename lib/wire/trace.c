/* SPDX-License-Identifier: Apache-2.0
 *
 * W3C traceparent.  Worker.
 */
#include "base/base.h"

#include "wire/trace.h"

#include <string.h>

#include "base/text.h"

/* n lower-case hex digits, with not_zero not all of them 0. */
static bool
is_hex(const char *s, size_t n, bool not_zero)
{
	bool some = false;

	for (size_t i = 0; i < n; i++) {
		if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
			return false;
		some = some || s[i] != '0';
	}
	return some || !not_zero;
}

bool
trace_is_valid(const char *value)
{
	if (value == NULL || strnlen(value, TRACE_SIZE) != TRACE_SIZE - 1)
		return false;
	return memcmp(value, "00-", 3) == 0 && is_hex(value + 3, 32, true) && value[35] == '-' &&
	    is_hex(value + 36, 16, true) && value[52] == '-' && is_hex(value + 53, 2, false);
}

void
trace_keep_or_make(const char *value, char ret[TRACE_SIZE])
{
	char trace[33], parent[17];

	if (trace_is_valid(value)) {
		memcpy(ret, value, TRACE_SIZE);
		return;
	}
	do {
		text_random_hex(trace, 32);
		text_random_hex(parent, 16);
		memcpy(ret, "00-", 3);
		memcpy(ret + 3, trace, 32);
		ret[35] = '-';
		memcpy(ret + 36, parent, 16);
		memcpy(ret + 52, "-01", 4);
	} while (!trace_is_valid(ret));		/* all zero: once in 2^64 */
}
