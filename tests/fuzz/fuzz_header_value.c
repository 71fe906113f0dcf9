/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/header.h: Content-Length, Retry-After, media types, HTML in disguise.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "wire/header.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *v = (const char *)data;
	struct buf a = BUF_INIT(1 << 16), b = BUF_INIT(1 << 16);
	int64_t wait = header_retry_after(v, n, 784111777);
	char *copy = mem_strndup(v, n);
	uint64_t length;

	MUST(wait >= -1 && wait <= 86400);
	if (header_length_parse(v, n, &length) == 0)
		MUST(n > 0 && strspn(copy, "0123456789, \t") == n);
	if (header_media_type(v, n, &a) == 0) {
		MUST(a.len > 2 && strchr(a.data, '/') != NULL);
		for (size_t i = 0; i < a.len; i++)
			MUST((uint8_t)a.data[i] >= 0x20 || a.data[i] == '\t');
		/* normal form */
		MUST(header_media_type(a.data, a.len, &b) == 0);
		MUST(strcmp(a.data, b.data) == 0);
		(void)media_type_is_html(a.data);
	}
	(void)media_type_is_html(copy);
	(void)body_looks_html(v, n);
	MUST(media_type_of_name(copy) != NULL);
	free(copy);
	buf_release(&a);
	buf_release(&b);
	return 0;
}
