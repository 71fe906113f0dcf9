/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/path.h: what is taken has only harmless segments, and is the same path
 * again when it is written out and parsed anew.  The first byte chooses a
 * base path.
 */
#include "fuzz.h"

#include <string.h>

#include "base/text.h"
#include "wire/path.h"

static void
check_segment(const char *s)
{
	size_t n = strlen(s);

	MUST(n > 0 && n <= PATH_SEGMENT_MAX && text_is_utf8(s, n));
	MUST(strcmp(s, ".") != 0 && strcmp(s, "..") != 0);
	MUST(strstr(s, "/../") == NULL && strncmp(s, "../", 3) != 0);
	for (; *s != '\0'; s++)
		MUST((uint8_t)*s >= 0x20 && *s != 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const base[] = { "/data", "", "/~lab/eo/data", "/" };
	static struct path a, b;
	struct buf out = BUF_INIT(1 << 20);
	const char *base_path;
	struct err e;

	if (n == 0)
		return 0;
	base_path = base[data[0] % ARRAY_LEN(base)];
	if (path_parse(&a, (const char *)data + 1, n - 1, base_path, &e) != PATH_OK)
		return 0;
	MUST(a.n >= 1 && a.n <= PATH_SEGMENTS_MAX && strlen(a.query) < n);
	for (size_t i = 0; i < a.n; i++)
		check_segment(a.seg[i]);
	if (strlen(base_path) > 1)
		(void)buf_adds(&out, base_path);
	(void)buf_addc(&out, '/');
	path_join(&a, 0, &out);
	MUST(buf_ok(&out));
	/* percent-encoding makes it longer: too long is fine then, another path is not */
	if (out.len <= PATH_URI_MAX) {
		MUST(path_parse(&b, out.data, out.len, base_path, &e) == PATH_OK);
		MUST(b.n == a.n);
		for (size_t i = 0; i < a.n; i++)
			MUST(strcmp(a.seg[i], b.seg[i]) == 0);
	}
	buf_release(&out);
	return 0;
}
