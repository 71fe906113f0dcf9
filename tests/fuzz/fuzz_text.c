/* SPDX-License-Identifier: Apache-2.0
 *
 * base/text.h: what is escaped is safe where it goes; globs end.  A glob is
 * the input up to the first line end, its text the rest.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void
check_escapes(const char *s, size_t n)
{
	struct buf out = BUF_INIT(8 << 20);

	text_esc(&out, s, n, n);
	MUST(out.len > 0 && text_is_utf8(out.data, out.len));
	for (size_t i = 0; i < out.len; i++)
		MUST((uint8_t)out.data[i] > ' ' && out.data[i] != 0x7f && out.data[i] != '"' && out.data[i] != '=');
	buf_clear(&out);
	text_json(&out, s, n);
	MUST(out.len >= 2 && text_is_utf8(out.data, out.len));
	for (size_t i = 0; i < out.len; i++)
		MUST((uint8_t)out.data[i] >= 0x20);
	buf_clear(&out);
	text_percent(&out, s, n);
	MUST(strspn(buf_str(&out), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%") == out.len);
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = mem_strndup((const char *)data, n), *text = copy, *pattern;
	uint8_t raw[8];

	check_escapes((const char *)data, n);
	if (text_unhex((const char *)data, n, raw, sizeof(raw)) == 0)
		MUST(n == 2 * sizeof(raw));
	pattern = strsep(&text, "\n");
	if (text != NULL)
		(void)text_glob(pattern, text);	/* that it ends is all there is to say */
	if (strpbrk(pattern, "*?[\\") == NULL)
		MUST(text_glob(pattern, pattern));
	MUST(text_glob("*", copy));
	free(copy);
	return 0;
}
