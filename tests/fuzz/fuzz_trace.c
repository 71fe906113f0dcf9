/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/trace.h: whatever comes in, a valid traceparent goes on.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "wire/trace.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = mem_strndup((const char *)data, n), kept[TRACE_SIZE];

	trace_keep_or_make(copy, kept);
	MUST(trace_is_valid(kept));
	MUST(trace_is_valid(copy) == (strcmp(copy, kept) == 0));
	free(copy);
	return 0;
}
