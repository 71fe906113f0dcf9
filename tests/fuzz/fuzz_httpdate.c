/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/httpdate.h: a date that is taken is the same date when written.
 */
#include "fuzz.h"

#include <string.h>

#include "wire/httpdate.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char text[HTTPDATE_SIZE];
	int64_t a, b;

	if (n == sizeof(a)) {
		memcpy(&a, data, sizeof(a));
		httpdate_format(a, text);
		MUST(strlen(text) == HTTPDATE_SIZE - 1);
		MUST(httpdate_parse(text, strlen(text), &b) == 0);
	}
	if (httpdate_parse((const char *)data, n, &a) == -1)
		return 0;
	httpdate_format(a, text);
	MUST(httpdate_parse(text, strlen(text), &b) == 0);
	/* a leap second at the very end of time is clamped */
	MUST(a == b || a == 253402300800);
	return 0;
}
