/* SPDX-License-Identifier: Apache-2.0
 *
 * ctl/documents.h: STAC items, and what went wrong.  Half of the inputs are asked for all assets, half for one.
 */
#include "fuzz.h"

#include "ctl/documents.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *prefix[] = { (char *)(uintptr_t)"/data/" }, *name[] = { (char *)(uintptr_t)"a" };
	const struct strs prefixes = { prefix, 1 }, wanted = { name, 1 };
	struct strs paths = { NULL, 0 };
	struct buf detail = BUF_INIT(1 << 20);
	struct err e = ERR_NONE;
	bool more;

	document_detail((const char *)data, n, &detail);
	buf_release(&detail);
	if (document_assets((const char *)data, n, &prefixes, n % 2 == 0 ? NULL : &wanted, &paths, &more, &e) != 0)
		MUST(e.text[0] != '\0');
	MUST(paths.n <= n);
	strs_release(&paths);
	return 0;
}
