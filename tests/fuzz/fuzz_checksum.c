/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/multihash.h: file:checksum, and the digests in headers.
 */
#include "fuzz.h"

#include "base/buf.h"
#include "base/text.h"
#include "wire/multihash.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const name[] = { "Content-MD5", "Digest", "Repr-Digest", "ETag" };
	struct buf hex = BUF_INIT(1000);
	struct checksum a, b;

	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		if (checksum_parse_header(name[i], (const char *)data, n, &a) == 0)
			MUST(a.algo > DIGEST_NONE && a.algo <= DIGEST_SHA512);
	}
	if (checksum_parse((const char *)data, n, &a) == 0) {
		MUST(a.algo > DIGEST_NONE && a.algo <= DIGEST_SHA512);
		text_hex(&hex, a.value, digest_size(a.algo));
		MUST(checksum_parse(hex.data, hex.len, &b) == 0);
		MUST(a.algo == b.algo);
	}
	buf_release(&hex);
	return 0;
}
