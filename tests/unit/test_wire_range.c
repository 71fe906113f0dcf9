/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/range.h: Range (cases D1, D2) and Content-Range.
 */
#include "unit.h"

#include "wire/range.h"

enum { SIZE = 1000 };

/* -1: 200 with the whole; -2: 416; else first * 10000 + last of a file of SIZE bytes. */
static int64_t
ask(const char *value)
{
	struct range r = range_parse(value, value == NULL ? 0 : strlen(value));
	uint64_t first = 77, last = 77;

	if (r.kind == RANGE_NONE)
		return -1;
	if (range_resolve(&r, SIZE, &first, &last) == -1) {
		CHECK(first == 77 && last == 77);
		return -2;
	}
	CHECK(first <= last && last < SIZE);
	return (int64_t)(first * 10000 + last);
}

static void
single_ranges_are_taken(void)
{
	CHECK_INT(ask("bytes=0-0"), 0);
	CHECK_INT(ask("bytes=0-99"), 99);
	CHECK_INT(ask("bytes=999-999"), 9990999);
	CHECK_INT(ask("bytes=0-"), 999);
	CHECK_INT(ask("bytes=500-"), 5000999);
	CHECK_INT(ask("bytes=-1"), 9990999);
	CHECK_INT(ask("bytes=-1000"), 999);
	CHECK_INT(ask("BYTES=0-0"), 0);
	CHECK_INT(ask("bytes=00-007"), 7);
}

static void
ranges_are_clipped_to_the_file(void)
{
	CHECK_INT(ask("bytes=990-1000"), 9900999);
	CHECK_INT(ask("bytes=0-99999999999999999999999"), 999);
	CHECK_INT(ask("bytes=-5000"), 999);
	CHECK_INT(ask("bytes=-18446744073709551617"), 999);
}

static void
beyond_the_end_is_416(void)
{
	CHECK_INT(ask("bytes=1000-"), -2);
	CHECK_INT(ask("bytes=1000-1000"), -2);
	CHECK_INT(ask("bytes=9223372036854775808-"), -2);
	CHECK_INT(ask("bytes=18446744073709551615-"), -2);
	CHECK_INT(ask("bytes=18446744073709551617-18446744073709551620"), -2);
	CHECK_INT(ask("bytes=-0"), -2);
}

static void
what_is_no_range_gives_the_whole(void)
{
	static const char *const value[] = {
		"", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=alpha", "bytes=1", "bytes=a-b",
		"bytes=1-b", "bytes=--1",
		"bytes=1--2", "bytes=+1-2", "bytes=0x1-2", "bytes=1 -2", "bytes=1- 2", "bytes =0-1",
		"items=0-1", "byte=0-1",
		"bytes=0-1;x", "bytes=1-2-3", "bytes=,", "bytes= , ,", "bytes=0.5-1", "bytes:0-1", "bytes=\t", "=0-1",
		"bytes=18446744073709551620-5",
	};

	CHECK_INT(ask(NULL), -1);
	for (size_t i = 0; i < ARRAY_LEN(value); i++) {
		if (ask(value[i]) != -1)
			fprintf(stderr, "taken: '%s'\n", value[i]);
		CHECK_INT(ask(value[i]), -1);
	}
	CHECK_INT(range_parse("bytes=0-\0001", 10).kind, RANGE_NONE);
}

static void
d2_several_ranges_give_the_whole(void)
{
	static char many[8000];
	size_t n;

	CHECK_INT(ask("bytes=0-1,2-3"), -1);
	CHECK_INT(ask("bytes=0-0, -1"), -1);
	CHECK_INT(ask("bytes=0-0,0-0"), -1);
	n = (size_t)snprintf(many, sizeof(many), "bytes=0-");
	while (n + 10 < sizeof(many))
		n += (size_t)snprintf(many + n, sizeof(many) - n, ",0-");
	CHECK_INT(ask(many), -1);
}

static void
empty_list_elements_and_outer_space_do_not_count(void)
{
	CHECK_INT(ask("bytes=0-9,"), 9);
	CHECK_INT(ask("bytes=, ,0-9 , "), 9);
	CHECK_INT(ask(" bytes=0-9\t"), 9);
	CHECK_INT(ask("bytes= 0-9"), 9);
}

static void
empty_file_satisfies_no_range(void)
{
	static const char *const value[] = { "bytes=0-", "bytes=0-0", "bytes=-1" };
	uint64_t first, last;
	struct range r;

	for (size_t i = 0; i < ARRAY_LEN(value); i++) {
		r = range_parse(value[i], strlen(value[i]));
		CHECK_INT(range_resolve(&r, 0, &first, &last), -1);
	}
}

static void
largest_file_does_not_overflow(void)
{
	struct range r = range_parse("bytes=0-", 8);
	uint64_t first, last;

	CHECK_INT(range_resolve(&r, UINT64_MAX, &first, &last), 0);
	CHECK(first == 0 && last == UINT64_MAX - 1);
	r = range_parse("bytes=-1", 8);
	CHECK_INT(range_resolve(&r, UINT64_MAX, &first, &last), 0);
	CHECK(first == UINT64_MAX - 1 && last == UINT64_MAX - 1);
}

static int
content(const char *v, struct content_range *ret)
{
	return content_range_parse(v, strlen(v), ret);
}

static void
content_range_has_three_forms(void)
{
	struct content_range c;

	CHECK_INT(content("bytes 0-9/100", &c), 0);
	CHECK(c.has_range && c.has_size && c.first == 0 && c.last == 9 && c.size == 100);
	CHECK_INT(content("bytes 5-9/*", &c), 0);
	CHECK(c.has_range && !c.has_size && c.first == 5 && c.last == 9);
	CHECK_INT(content("bytes */100", &c), 0);
	CHECK(!c.has_range && c.has_size && c.size == 100);
	CHECK_INT(content("Bytes 0-0/1", &c), 0);
}

static void
wrong_content_ranges_are_refused(void)
{
	static const char *const value[] = {
		"", "bytes", "bytes ", "bytes 0-9", "bytes 0-9/", "bytes */*", "bytes 9-0/100", "bytes 0-100/100",
		"bytes 0-99/10", "bytes -9/100", "bytes 0-/100", "bytes 0-9/100 ", "bytes  0-9/100", "bytes=0-9/100",
		"bytes 0-9/100,200", "bytes 0-9/18446744073709551616", "bytes 0-18446744073709551615/*",
		"bytes 0-9223372036854775808/*", "items 0-9/100", "bytes 0-9/-1", "bytes *-9/100", "bytes 0 - 9/100",
		"bytes 0-9/1e3", "bytes 5-5/5",
	};
	struct content_range c;

	for (size_t i = 0; i < ARRAY_LEN(value); i++) {
		if (content(value[i], &c) != -1)
			fprintf(stderr, "taken: '%s'\n", value[i]);
		CHECK_INT(content(value[i], &c), -1);
	}
	CHECK_INT(content_range_parse(NULL, 0, &c), -1);
	CHECK_INT(content_range_parse("bytes 0-9/100\0", 14, &c), -1);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(single_ranges_are_taken),
		UNIT(ranges_are_clipped_to_the_file),
		UNIT(beyond_the_end_is_416),
		UNIT(what_is_no_range_gives_the_whole),
		UNIT(d2_several_ranges_give_the_whole),
		UNIT(empty_list_elements_and_outer_space_do_not_count),
		UNIT(empty_file_satisfies_no_range),
		UNIT(largest_file_does_not_overflow),
		UNIT(content_range_has_three_forms),
		UNIT(wrong_content_ranges_are_refused),
	};

	return unit_run("range", tests, ARRAY_LEN(tests));
}
