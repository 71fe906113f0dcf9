/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/range.h: a Content-Range that is taken holds together.
 */
#include "fuzz.h"

#include "wire/range.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct content_range c;

	if (content_range_parse((const char *)data, n, &c) == -1)
		return 0;
	MUST(c.has_range || c.has_size);
	MUST(!c.has_range || c.first <= c.last);
	MUST(!c.has_range || !c.has_size || c.last < c.size);
	MUST(c.last <= INT64_MAX && c.size <= INT64_MAX);
	return 0;
}
