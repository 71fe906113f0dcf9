/* SPDX-License-Identifier: Apache-2.0
 *
 * cache/memory.h: what is remembered of an object, as if the seal held.
 */
#include "fuzz.h"

#include <string.h>

#include "cache/memory.h"

size_t fuzz_taken;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf out = BUF_INIT(n);
	struct memory_entry e;

	memset(&e, 0x55, sizeof(e));	/* left alone where it is refused */
	if (memory_parse(data, n, &e) != 0) {
		MUST(e.until_s == 0x5555555555555555);
		return 0;
	}
	fuzz_taken++;
	MUST(e.until_s >= 0);
	if (e.state == MEMORY_PRESENT) {
		MUST(object_meta_check(&e.meta, NULL) == 0 && e.store_etag[0] == '"');
		MUST(strpbrk(e.store_etag, "\r\n") == NULL);
	}
	/* there is one way to write it */
	MUST(memory_write(&e, &out) == 0 && out.len == n && memcmp(out.data, data, n) == 0);
	memory_entry_release(&e);
	buf_release(&out);
	return 0;
}
