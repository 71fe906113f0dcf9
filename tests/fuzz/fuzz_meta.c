/* SPDX-License-Identifier: Apache-2.0
 *
 * cache/store.h: the metadata of an object, which harvesters write too.
 */
#include "fuzz.h"

#include <string.h>

#include "cache/store.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf text = BUF_INIT(META_MAX);
	struct object_meta m, again;
	uint64_t inode, inode_again;
	struct err e = ERR_NONE;

	if (object_meta_parse((const char *)data, n, &m, &inode, &e) != 0) {
		MUST(e.text[0] != '\0');
		return 0;
	}
	MUST(m.etag != NULL && m.etag[0] == '"');
	/* what was read can be written, unless escapes make it too long, and says the same then */
	if (object_meta_write(&m, inode, &text) == 0) {
		MUST(object_meta_parse(buf_str(&text), text.len, &again, &inode_again, NULL) == 0);
		MUST(inode == inode_again && m.length == again.length && strcmp(m.etag, again.etag) == 0);
		MUST(m.checksum.algo == again.checksum.algo && m.last_modified == again.last_modified);
		object_meta_release(&again);
	}
	object_meta_release(&m);
	buf_release(&text);
	return 0;
}
