/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/fcgi.h: a stream of records, as a client reads it; each comes back
 * when it is written again.
 */
#include "fuzz.h"

#include <string.h>

#include "wire/fcgi.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf out = BUF_INIT(1 << 20);
	struct fcgi_record r, again;
	struct fcgi_rest whole = { .n = 0 }, pieces = { .n = 0 };
	bool aborted = false;
	ssize_t took;

	/* the same in one piece and byte by byte */
	for (size_t i = 0; i < n && !aborted; i++)
		aborted = fcgi_rest_aborts(&pieces, 1, data + i, 1);
	MUST(fcgi_rest_aborts(&whole, 1, data, n) == aborted);
	for (size_t at = 0; at < n; at += (size_t)took) {
		took = fcgi_parse(data + at, n - at, &r);
		if (took <= 0)
			break;
		MUST((size_t)took <= n - at && (size_t)took >= FCGI_HEADER + r.content_len);
		MUST(r.content == data + at + FCGI_HEADER);
		if (r.content_len > FCGI_CONTENT_MAX)
			continue;
		buf_clear(&out);
		fcgi_record(&out, r.type, r.id, r.content, r.content_len);
		MUST(fcgi_parse(out.data, out.len, &again) == (ssize_t)out.len);
		MUST(again.type == r.type && again.id == r.id && again.content_len == r.content_len);
		MUST(r.content_len == 0 || memcmp(again.content, r.content, r.content_len) == 0);
	}
	buf_release(&out);
	return 0;
}
