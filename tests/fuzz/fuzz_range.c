/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/range.h: a range that is satisfied lies inside the file.
 */
#include "fuzz.h"

#include "wire/range.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint64_t size[] = { 0, 1, 2, 1000, 1ULL << 32, INT64_MAX, UINT64_MAX };
	struct range r = range_parse((const char *)data, n);
	uint64_t first, last;

	if (r.kind == RANGE_NONE)
		return 0;
	MUST(r.kind == RANGE_SUFFIX || r.first <= r.last);
	for (size_t i = 0; i < ARRAY_LEN(size); i++) {
		if (range_resolve(&r, size[i], &first, &last) == 0)
			MUST(first <= last && last < size[i]);
	}
	return 0;
}
