/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/header.h: a file name that is found is harmless, and comes back from
 * the header that we write with it.  The input is a Content-Disposition, and
 * also a file name itself.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "wire/header.h"

static void
check_name(const struct buf *b)
{
	MUST(b->len > 0 && b->len <= 255 && text_is_utf8(b->data, b->len));
	MUST(strcmp(b->data, ".") != 0 && strcmp(b->data, "..") != 0);
	for (size_t i = 0; i < b->len; i++) {
		MUST((uint8_t)b->data[i] >= 0x20 && b->data[i] != 0x7f);
		MUST(strchr("/\\\"", b->data[i]) == NULL);
	}
}

static void
check_round(const char *name)
{
	struct buf out = BUF_INIT(1 << 16), a = BUF_INIT(1 << 16), b = BUF_INIT(1 << 16);

	disposition_write(&out, name);
	MUST(buf_ok(&out));
	for (size_t i = 0; i < out.len; i++)
		MUST((uint8_t)out.data[i] >= 0x20 && (uint8_t)out.data[i] < 0x7f);
	MUST(disposition_filename(out.data, out.len, &a) == 0);
	check_name(&a);
	buf_clear(&out);
	disposition_write(&out, a.data);
	MUST(disposition_filename(out.data, out.len, &b) == 0);
	MUST(strcmp(a.data, b.data) == 0);
	buf_release(&out);
	buf_release(&a);
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf name = BUF_INIT(1 << 16);
	char *copy = mem_strndup((const char *)data, n);

	if (disposition_filename((const char *)data, n, &name) == 0)
		check_name(&name);
	check_round(copy);
	free(copy);
	buf_release(&name);
	return 0;
}
