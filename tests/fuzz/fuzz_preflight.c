/* SPDX-License-Identifier: Apache-2.0
 *
 * worker/preflight.h: a request of the front before libfcgi reads it.
 */
#include "fuzz.h"

#include "worker/preflight.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	bool done, done_before = false;
	enum preflight_verdict v = PREFLIGHT_MORE, before;

	if (n > PREFLIGHT_MAX)
		n = PREFLIGHT_MAX;
	/* what was decided from a part of it is not decided otherwise by more of it, but that it is given up */
	for (size_t part = n > 64 ? n - 64 : 0; part <= n; part++) {
		before = v;
		v = preflight(data, part, &done);
		MUST(before == PREFLIGHT_MORE || v == before || v == PREFLIGHT_BAD);
		MUST(!done_before || done || v == PREFLIGHT_BAD);
		MUST(done || v == PREFLIGHT_MORE || v == PREFLIGHT_BAD);
		done_before = done;
	}
	return 0;
}
