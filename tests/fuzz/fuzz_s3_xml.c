/* SPDX-License-Identifier: Apache-2.0
 *
 * s3/xml.h, s3/error.h: what is taken is bounded, and the same when it is
 * written and read again.
 */
#include "fuzz.h"

#include <string.h>

#include "base/buf.h"
#include "s3/error.h"
#include "s3/xml.h"

static void
check_bounds(const struct s3_xml *x, unsigned depth, size_t *n)
{
	MUST(depth < S3_XML_DEPTH_MAX);
	MUST(++*n <= S3_XML_ELEMENTS_MAX);
	MUST(x->name[0] != '\0');
	MUST(x->child == NULL || x->text[0] == '\0');
	for (const struct s3_xml *c = x->child; c != NULL; c = c->next)
		check_bounds(c, depth + 1, n);
}

static void
check_same(const struct s3_xml *a, const struct s3_xml *b)
{
	for (; a != NULL && b != NULL; a = a->next, b = b->next) {
		MUST(strcmp(a->name, b->name) == 0 && strcmp(a->text, b->text) == 0 && !b->more);
		check_same(a->child, b->child);
	}
	MUST(a == NULL && b == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct s3_xml *x = s3_xml_parse((const char *)data, n, NULL), *again;
	struct buf out = BUF_INIT(16 * S3_XML_MAX);
	struct s3_error error = { .code = "" };
	size_t elements = 0;

	if (x != NULL) {
		check_bounds(x, 0, &elements);
		s3_xml_write(&out, x);
		MUST(buf_ok(&out));
		again = out.len <= S3_XML_MAX ? s3_xml_parse(out.data, out.len, NULL) : NULL;
		MUST(again != NULL || out.len > S3_XML_MAX);
		if (again != NULL)
			check_same(x, again);
		s3_xml_free(again);
	}
	if (s3_error_read(&error, (const char *)data, n) == 0)
		MUST(x != NULL && error.code[0] != '\0' && strlen(error.message) <= S3_MESSAGE_MAX);
	s3_xml_free(x);
	buf_release(&out);
	return 0;
}
