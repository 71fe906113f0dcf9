/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/ipblock.h: a block holds its own first address.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "wire/ipblock.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = mem_strndup((const char *)data, n);
	struct ipblock b;

	if (ipblock_parse(copy, &b) == 0) {
		MUST(b.bits <= (b.v6 ? 128u : 32u));
		MUST(ipblock_has(&b, b.v6, b.addr));
		MUST(!ipblock_has(&b, !b.v6, b.addr));
	}
	free(copy);
	return 0;
}
