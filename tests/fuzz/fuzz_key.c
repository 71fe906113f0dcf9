/* SPDX-License-Identifier: Apache-2.0
 *
 * cache/key.h: names of objects.  The input is item, asset and sub-path,
 * parted by newlines.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "cache/key.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf key = BUF_INIT(KEY_MAX);
	char *text = mem_strndup((const char *)data, n), *part[3] = { text, NULL, NULL };
	size_t len, parts = 1;

	for (char *p = text; *p != '\0' && parts < 3; p++) {
		if (*p == '\n') {
			*p = '\0';
			part[parts++] = p + 1;
		}
	}
	if (parts >= 2 && key_make(&key, "30d", "b", "c", part[0], part[1], part[2]) == 0) {
		MUST(strncmp(buf_str(&key), "30d/b/c/", 8) == 0 && key.len <= KEY_MAX);
		for (const char *p = buf_str(&key); *p != '\0'; p += len + (p[len] == '/')) {
			len = strcspn(p, "/");
			MUST(len > 0 && len <= KEY_SEGMENT_MAX && strchr(p, '@') == NULL);
			MUST(!(p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))));
		}
	}
	buf_release(&key);
	free(text);
	return 0;
}
