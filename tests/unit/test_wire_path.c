/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/path.h: which request targets are ours and how they come apart.
 * Cases C1 to C7 (paths and names) among them.
 */
#include "unit.h"

#include <stdlib.h>

#include "wire/path.h"

static struct path path;
static struct err e;

static enum path_verdict
parse(const char *uri)
{
	return path_parse(&path, uri, strlen(uri), "/data", &e);
}

static const char *
seg(size_t i)
{
	return i < path.n ? path.seg[i] : "(none)";
}

static void
segments_are_split_at_slashes(void)
{
	CHECK_INT(parse("/data/peps/S2_MSI_L1C/S2A_X/B04"), PATH_OK);
	CHECK_INT(path.n, 4);
	CHECK_STR(seg(0), "peps");
	CHECK_STR(seg(1), "S2_MSI_L1C");
	CHECK_STR(seg(2), "S2A_X");
	CHECK_STR(seg(3), "B04");
	CHECK_STR(path.query, "");
	CHECK_INT(parse("/data/-/health"), PATH_OK);
	CHECK_INT(path.n, 2);
	CHECK_STR(seg(0), "-");
	CHECK_INT(parse("/data/x"), PATH_OK);
	CHECK_INT(path.n, 1);
}

static void
query_is_kept_raw_and_is_no_part_of_the_path(void)
{
	CHECK_INT(parse("/data/b/c?x=%2F../..&y"), PATH_OK);
	CHECK_INT(path.n, 2);
	CHECK_STR(seg(1), "c");
	CHECK_STR(path.query, "x=%2F../..&y");
	CHECK_INT(parse("/data/b?"), PATH_OK);
	CHECK_STR(path.query, "");
	CHECK_INT(parse("/data/b?a?b"), PATH_OK);
	CHECK_STR(path.query, "a?b");
}

static void
percent_is_decoded_exactly_once(void)
{
	CHECK_INT(parse("/data/a%20b/%e4%bd%a0/x%2By+z"), PATH_OK);
	CHECK_STR(seg(0), "a b");
	CHECK_STR(seg(1), "\xe4\xbd\xa0");
	CHECK_STR(seg(2), "x+y+z");
	CHECK_INT(parse("/data/%252e%252e"), PATH_OK);		/* C1: a name, and no way up */
	CHECK_STR(seg(0), "%2e%2e");
	CHECK_INT(parse("/data/%2500"), PATH_OK);
	CHECK_STR(seg(0), "%00");
}

static void
c2_encoded_slash_stays_in_its_segment(void)
{
	CHECK_INT(parse("/data/b/c/i%2Fj/a"), PATH_OK);		/* C2 */
	CHECK_INT(path.n, 4);
	CHECK_STR(seg(2), "i/j");
	CHECK_STR(seg(3), "a");
}

static void
c1_no_spelling_of_dots_leaves_its_place(void)
{
	static const char *const uri[] = {
		"/data/../x", "/data/./x", "/data/b/..", "/data/b/.", "/data/%2e%2e/x", "/data/.%2E/x",
		"/data/%2e/x", "/data/b/..%2f..%2fetc%2fpasswd", "/data/b/..%2Fx", "/data/b/a%2f..%2Fc",
		"/data/b/x%2F..", "/data/b/..%5Cx", "/data/b/a%5c..%5cx", "/data/b/%2e%2e%2f", "/data/b/a%2F.%2Fb",
		"/../data/x", "/data/coll/a%2Fb%2F..%2F..%2Fother/x",
	};

	for (size_t i = 0; i < ARRAY_LEN(uri); i++) {
		if (parse(uri[i]) != PATH_BAD)
			fprintf(stderr, "accepted: %s\n", uri[i]);
		CHECK_INT(parse(uri[i]), PATH_BAD);
	}
	CHECK_INT(parse("/data/..;/x"), PATH_OK);		/* a name to us, encoded when it goes on */
	CHECK_STR(seg(0), "..;");
	CHECK_INT(parse("/data/.../..a/a..b"), PATH_OK);
}

static void
c3_overlong_and_broken_utf8_is_refused(void)
{
	CHECK_INT(parse("/data/%c0%ae%c0%ae/x"), PATH_BAD);	/* C1, C3 */
	CHECK_INT(parse("/data/\xc0\xae"), PATH_BAD);
	CHECK_INT(parse("/data/%ff"), PATH_BAD);
	CHECK_INT(parse("/data/%ed%a0%80"), PATH_BAD);		/* a surrogate */
	CHECK_INT(parse("/data/%f4%90%80%80"), PATH_BAD);
	CHECK_INT(parse("/data/%e4%bd"), PATH_BAD);
	CHECK_INT(parse("/data/%e4/%bd%a0"), PATH_BAD);		/* not across segments */
	CHECK_INT(parse("/data/\xe4\xbd\xa0"), PATH_OK);	/* raw, as some fronts pass it on */
	CHECK_INT(parse("/data/e%cc%81"), PATH_OK);		/* NFD stays NFD: another name than NFC */
	CHECK_STR(seg(0), "e\xcc\x81");
}

static void
c3_control_characters_are_refused(void)
{
	static const char *const uri[] = {
		"/data/%00", "/data/a%00b", "/data/%0d%0aSet-Cookie:x", "/data/%0a", "/data/%7f", "/data/%1b",
		"/data/%09",
		"/data/%c2%85", "/data/a\rb", "/data/a\nb", "/data/a b", "/data/\x7f", "/data/a?x=\r\n", "/data/a?\t",
	};

	for (size_t i = 0; i < ARRAY_LEN(uri); i++)
		CHECK_INT(parse(uri[i]), PATH_BAD);
	CHECK_INT(path_parse(&path, "/data/a\0b", 9, "/data", &e), PATH_BAD);
	CHECK_INT(path_parse(&path, "/data/a?\0", 9, "/data", &e), PATH_BAD);
}

static void
c4_empty_segments_are_refused(void)
{
	CHECK_INT(parse("/data//x"), PATH_BAD);			/* C4 */
	CHECK_INT(parse("//data/x"), PATH_BAD);
	CHECK_INT(parse("/data/x/"), PATH_BAD);
	CHECK_INT(parse("/data/"), PATH_BAD);
	CHECK_INT(parse("/"), PATH_BAD);
}

static void
broken_percent_is_refused(void)
{
	static const char *const uri[] = { "/data/%", "/data/%2", "/data/%zz", "/data/%2g", "/data/a%/b",
	    "/data/%%41" };

	for (size_t i = 0; i < ARRAY_LEN(uri); i++)
		CHECK_INT(parse(uri[i]), PATH_BAD);
}

static void
c4_all_spellings_of_one_path_are_one_path(void)
{
	static const char *const uri[] = {
		"/data/S2/i", "/data/%53%32/i", "/d%61ta/S2/%69", "/%64%61%74%61/S2/i", "http://host/data/S2/i",
		"HTTPS://h:8443/data/S2/i", "/data/S2/i?x=1",
	};

	for (size_t i = 0; i < ARRAY_LEN(uri); i++) {
		CHECK_INT(parse(uri[i]), PATH_OK);
		CHECK_INT(path.n, 2);
		CHECK_STR(seg(0), "S2");
		CHECK_STR(seg(1), "i");
	}
}

static void
c3_names_that_look_alike_stay_apart(void)
{
	CHECK_INT(parse("/data/S2%20/S2-secret/s2/*/%5B%3F"), PATH_OK);	/* C5, C6: compared as they are */
	CHECK_STR(seg(0), "S2 ");
	CHECK_STR(seg(1), "S2-secret");
	CHECK_STR(seg(2), "s2");
	CHECK_STR(seg(3), "*");
	CHECK_STR(seg(4), "[?");
}

static void
what_is_not_below_the_base_path_is_outside(void)
{
	CHECK_INT(parse("/data"), PATH_OUTSIDE);
	CHECK_INT(parse("/data?x"), PATH_OUTSIDE);
	CHECK_INT(parse("/Data/x"), PATH_OUTSIDE);
	CHECK_INT(parse("/datax/y"), PATH_OUTSIDE);
	CHECK_INT(parse("/dat/x"), PATH_OUTSIDE);
	CHECK_INT(parse("/other"), PATH_OUTSIDE);
	CHECK_INT(parse("/x/../data/b"), PATH_OUTSIDE);
	CHECK_INT(parse("/data%2Fx"), PATH_OUTSIDE);
	CHECK(e.text[0] != '\0');
}

static void
base_path_of_several_segments_or_none(void)
{
	const char *uri = "/~lab/eo/data/b/c";

	CHECK_INT(path_parse(&path, uri, strlen(uri), "/~lab/eo/data", &e), PATH_OK);
	CHECK_INT(path.n, 2);
	CHECK_STR(seg(0), "b");
	uri = "/%7Elab/eo/data/b";
	CHECK_INT(path_parse(&path, uri, strlen(uri), "/~lab/eo/data", &e), PATH_OK);
	uri = "/~lab/eo";
	CHECK_INT(path_parse(&path, uri, strlen(uri), "/~lab/eo/data", &e), PATH_OUTSIDE);
	uri = "/~lab%2Feo/data/b";
	CHECK_INT(path_parse(&path, uri, strlen(uri), "/~lab/eo/data", &e), PATH_OUTSIDE);
	uri = "/b/c";
	CHECK_INT(path_parse(&path, uri, strlen(uri), "", &e), PATH_OK);
	CHECK_INT(path.n, 2);
	CHECK_INT(path_parse(&path, uri, strlen(uri), "/", &e), PATH_OK);
	CHECK_INT(path.n, 2);
}

static void
what_is_no_path_is_refused(void)
{
	static const char *const uri[] = {
		"", "*", "data/x", "?x", "http://", "http://host", "http:/data/x", "ftp://h/data/x",
		"/data/x#f", "/data/x?a#b",
		"host:443",
	};

	for (size_t i = 0; i < ARRAY_LEN(uri); i++)
		CHECK_INT(parse(uri[i]), PATH_BAD);
	CHECK_INT(path_parse(&path, NULL, 0, "/data", &e), PATH_BAD);
}

static void
c7_everything_long_is_414_and_bounded(void)
{
	size_t big = 1 << 20;					/* C7 */
	char *uri = malloc(big + 1);

	MUST(uri != NULL);
	memset(uri, 'a', big);
	uri[big] = '\0';
	memcpy(uri, "/data/", 6);
	CHECK_INT(path_parse(&path, uri, big, "/data", &e), PATH_LONG);
	CHECK_INT(path_parse(&path, uri, 6 + PATH_SEGMENT_MAX, "/data", &e), PATH_OK);
	CHECK_INT(strlen(path.seg[0]), PATH_SEGMENT_MAX);
	CHECK_INT(path_parse(&path, uri, 6 + PATH_SEGMENT_MAX + 1, "/data", &e), PATH_LONG);
	for (size_t i = 5; i < big; i += 2)
		uri[i] = '/';
	CHECK_INT(path_parse(&path, uri, 5 + 2 * PATH_SEGMENTS_MAX, "/data", &e), PATH_OK);
	CHECK_INT(path.n, PATH_SEGMENTS_MAX);
	CHECK_INT(path_parse(&path, uri, 5 + 2 * PATH_SEGMENTS_MAX + 2, "/data", &e), PATH_LONG);
	memset(uri, 'q', big);
	memcpy(uri, "/data/b?", 8);
	CHECK_INT(path_parse(&path, uri, PATH_URI_MAX, "/data", &e), PATH_OK);
	CHECK_INT(strlen(path.query), PATH_URI_MAX - 8);
	CHECK_INT(path_parse(&path, uri, PATH_URI_MAX + 1, "/data", &e), PATH_LONG);
	free(uri);
}

static void
only_the_given_length_is_looked_at(void)
{
	CHECK_INT(path_parse(&path, "/data/ab/../x", 8, "/data", NULL), PATH_OK);
	CHECK_STR(seg(0), "ab");
	CHECK_INT(path_parse(&path, "/data/%41", 8, "/data", NULL), PATH_BAD);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(segments_are_split_at_slashes),
		UNIT(query_is_kept_raw_and_is_no_part_of_the_path),
		UNIT(percent_is_decoded_exactly_once),
		UNIT(c2_encoded_slash_stays_in_its_segment),
		UNIT(c1_no_spelling_of_dots_leaves_its_place),
		UNIT(c3_overlong_and_broken_utf8_is_refused),
		UNIT(c3_control_characters_are_refused),
		UNIT(c4_empty_segments_are_refused),
		UNIT(broken_percent_is_refused),
		UNIT(c4_all_spellings_of_one_path_are_one_path),
		UNIT(c3_names_that_look_alike_stay_apart),
		UNIT(what_is_not_below_the_base_path_is_outside),
		UNIT(base_path_of_several_segments_or_none),
		UNIT(what_is_no_path_is_refused),
		UNIT(c7_everything_long_is_414_and_bounded),
		UNIT(only_the_given_length_is_looked_at),
	};

	return unit_run("path", tests, ARRAY_LEN(tests));
}
