/* SPDX-License-Identifier: Apache-2.0
 *
 * s3/lifecycle.h: whatever a bucket has, ours are in what comes of it, those
 * of others are as they were, doing it again changes nothing, and what is
 * shown to people has no byte that a terminal obeys.
 */
#include "fuzz.h"

#include <string.h>

#include "s3/lifecycle.h"

static size_t
length_of(const struct s3_xml *x)
{
	size_t n = 0;

	for (x = x->child; x != NULL; x = x->next)
		n++;
	return n;
}

static void
check_shown(const struct buf *b)
{
	MUST(buf_ok(b));
	for (size_t i = 0; i < b->len; i++)
		MUST(b->data[i] == '\n' || ((uint8_t)b->data[i] >= 0x20 && b->data[i] != 0x7f));
}

static void
check(const struct s3_xml *have, const struct s3_lifecycle_want *want)
{
	struct s3_xml *next = s3_lifecycle_merge(have, want, NULL), *none = s3_lifecycle_none(), *again;
	struct buf out = BUF_INIT(64 * 1024 * 1024);

	MUST(s3_lifecycle_equal(have, have));
	s3_lifecycle_warn(&out, have, want, true);
	if (next != NULL) {
		MUST(length_of(next) <= S3_RULES_MAX && length_of(next) >= want->n);
		again = s3_lifecycle_merge(next, want, NULL);
		MUST(again != NULL && s3_lifecycle_equal(next, again));
		s3_xml_free(again);
		s3_lifecycle_diff(&out, have, next);
		check_shown(&out);
		buf_clear(&out);
		s3_lifecycle_diff(&out, next, next);
		MUST(strncmp(buf_str(&out), "+ ", 2) != 0 && strstr(buf_str(&out), "\n+ ") == NULL);
		MUST(strncmp(buf_str(&out), "- ", 2) != 0 && strstr(buf_str(&out), "\n- ") == NULL);
		again = s3_lifecycle_merge(next, &(struct s3_lifecycle_want){ want->prefix, NULL, 0 }, NULL);
		MUST(again != NULL && length_of(again) <= length_of(have));
		s3_xml_free(again);
	}
	s3_lifecycle_json(&out, have);
	s3_lifecycle_show(&out, have);
	buf_release(&out);
	s3_xml_free(next);
	s3_xml_free(none);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct s3_class classes[] = { { "7d", 7 }, { "keep", 0 } };
	static const struct s3_lifecycle_want wants[] = { { "", classes, 2 }, { "site-a/", classes, 1 } };
	struct s3_xml *have = s3_lifecycle_read((const char *)data, n, NULL);
	bool versions;

	if (have != NULL) {
		for (size_t i = 0; i < ARRAY_LEN(wants); i++)
			check(have, &wants[i]);
	}
	s3_xml_free(have);
	(void)s3_versioning_read(&versions, (const char *)data, n, NULL);
	return 0;
}
