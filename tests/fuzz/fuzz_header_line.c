/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/header.h: a line that is taken splits no response.
 */
#include "fuzz.h"

#include <string.h>

#include "wire/header.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *line = (const char *)data;
	struct header_line h;
	struct err e;

	if (header_line_parse(line, n, &h, &e) == -1)
		return 0;
	MUST(h.name == line && h.name_len > 0 && h.name_len < n);
	MUST(h.value > line + h.name_len && h.value + h.value_len <= line + n);
	MUST(memchr(h.name, ' ', h.name_len) == NULL && memchr(h.name, ':', h.name_len) == NULL);
	for (size_t i = 0; i < n; i++)
		MUST(line[i] != '\r' && line[i] != '\n' && line[i] != '\0');
	(void)header_is(&h, "Content-Length");
	return 0;
}
