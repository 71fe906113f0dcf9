/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/conditional.h: RFC 9110 section 13, its order above all, and case D3.
 */
#include "unit.h"

#include "wire/conditional.h"

#define DATE	"Sun, 06 Nov 1994 08:49:37 GMT"
#define LATER	"Sun, 06 Nov 1994 08:49:38 GMT"
#define EARLIER	"Sun, 06 Nov 1994 08:49:36 GMT"

static const struct validators strong = { "\"abc\"", 784111777 };
static const struct validators weak = { "W/\"abc\"", 784111777 };
static const struct validators dateless = { "\"abc\"", -1 };
static const struct validators tagless = { NULL, 784111777 };
static const struct validators none = { NULL, -1 };

#define ASK(v, ...) conditions_check(&(struct conditions){ __VA_ARGS__ }, (v))

static void
without_conditions_all_goes_on(void)
{
	CHECK_INT(ASK(&strong, 0), CONDITION_PROCEED);
	CHECK_INT(ASK(&none, 0), CONDITION_PROCEED);
}

static void
if_none_match_compares_weakly(void)
{
	CHECK_INT(ASK(&strong, .if_none_match = "\"abc\""), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_none_match = "W/\"abc\""), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&weak, .if_none_match = "\"abc\""), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&weak, .if_none_match = "W/\"abc\""), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"abd\""), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"ABC\""), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"\""), CONDITION_PROCEED);
	CHECK_INT(ASK(&tagless, .if_none_match = "\"abc\""), CONDITION_PROCEED);
}

static void
if_match_compares_strongly(void)
{
	CHECK_INT(ASK(&strong, .if_match = "\"abc\""), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_match = "W/\"abc\""), CONDITION_FAILED);
	CHECK_INT(ASK(&weak, .if_match = "\"abc\""), CONDITION_FAILED);
	CHECK_INT(ASK(&weak, .if_match = "W/\"abc\""), CONDITION_FAILED);
	CHECK_INT(ASK(&strong, .if_match = "\"abd\""), CONDITION_FAILED);
	CHECK_INT(ASK(&none, .if_match = "\"abc\""), CONDITION_FAILED);
}

static void
star_matches_whatever_is_there(void)
{
	CHECK_INT(ASK(&strong, .if_match = "*"), CONDITION_PROCEED);
	CHECK_INT(ASK(&none, .if_match = " * "), CONDITION_PROCEED);
	CHECK_INT(ASK(&none, .if_none_match = "*"), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_match = "*, \"abc\""), CONDITION_FAILED);
	CHECK_INT(ASK(&strong, .if_none_match = "*, \"abc\""), CONDITION_PROCEED);
}

static void
lists_are_searched(void)
{
	CHECK_INT(ASK(&strong, .if_none_match = "\"x\", W/\"y\",\"abc\""), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"x\" ,\t\"y\""), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_none_match = ",,\"abc\",,"), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_match = "\"x\", \"abc\""), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"a,b\", \"abc\""), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"x, \"abc\""), CONDITION_PROCEED);
}

static void
malformed_lists_match_nothing(void)
{
	static const char *const s[] = {
		"", " ", ",", "abc", "\"abc", "abc\"", "\"abc\" \"abc\"", "\"abc\"x", "w/\"abc\"", "W/abc",
		"W/ \"abc\"",
		"\"abc\", x", "'abc'", "\"a bc\"", "W/", "W", "\"", "**",
	};

	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		CHECK_INT(ASK(&strong, .if_none_match = s[i]), CONDITION_PROCEED);
		CHECK_INT(ASK(&strong, .if_match = s[i]), CONDITION_FAILED);
	}
}

static void
dates_are_compared_in_seconds(void)
{
	CHECK_INT(ASK(&strong, .if_modified_since = DATE), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_modified_since = LATER), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_modified_since = EARLIER), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_unmodified_since = DATE), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_unmodified_since = LATER), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_unmodified_since = EARLIER), CONDITION_FAILED);
	CHECK_INT(ASK(&strong, .if_modified_since = " " DATE " "), CONDITION_NOT_MODIFIED);
}

static void
dates_that_cannot_be_judged_are_ignored(void)
{
	CHECK_INT(ASK(&strong, .if_modified_since = "yesterday"), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_unmodified_since = "0"), CONDITION_PROCEED);
	CHECK_INT(ASK(&dateless, .if_modified_since = DATE), CONDITION_PROCEED);
	CHECK_INT(ASK(&dateless, .if_unmodified_since = EARLIER), CONDITION_PROCEED);
}

static void
tags_go_before_dates(void)
{
	/* 13.2.2: with a tag condition the date of the same kind is not looked at */
	CHECK_INT(ASK(&strong, .if_match = "\"abc\"", .if_unmodified_since = EARLIER), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_match = "\"x\"", .if_unmodified_since = LATER), CONDITION_FAILED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"x\"", .if_modified_since = LATER), CONDITION_PROCEED);
	CHECK_INT(ASK(&strong, .if_none_match = "\"abc\"", .if_modified_since = EARLIER), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_none_match = "rubbish", .if_modified_since = LATER), CONDITION_PROCEED);
}

static void
failed_goes_before_not_modified(void)
{
	CHECK_INT(ASK(&strong, .if_match = "\"x\"", .if_none_match = "\"abc\""), CONDITION_FAILED);
	CHECK_INT(ASK(&strong, .if_match = "\"abc\"", .if_none_match = "\"abc\""), CONDITION_NOT_MODIFIED);
	CHECK_INT(ASK(&strong, .if_unmodified_since = EARLIER, .if_none_match = "\"abc\""), CONDITION_FAILED);
	CHECK_INT(ASK(&strong, .if_unmodified_since = LATER, .if_modified_since = LATER), CONDITION_NOT_MODIFIED);
}

static bool
holds(const char *if_range, const struct validators *v)
{
	return conditions_range_holds(&(struct conditions){ .if_range = if_range }, v);
}

static void
d3_if_range_holds_for_exactly_this_version(void)
{
	CHECK(holds(NULL, &none));
	CHECK(holds("\"abc\"", &strong));
	CHECK(holds(" \"abc\" ", &strong));
	CHECK(holds(DATE, &strong));
	CHECK(!holds("\"old\"", &strong));
	CHECK(!holds("W/\"abc\"", &strong));
	CHECK(!holds("\"abc\"", &weak));
	CHECK(!holds("W/\"abc\"", &weak));
	CHECK(!holds(EARLIER, &strong));
	CHECK(!holds(LATER, &strong));
	CHECK(!holds(DATE, &dateless));
	CHECK(!holds("\"abc\"", &tagless));
	CHECK(!holds("*", &strong));
	CHECK(!holds("", &strong));
	CHECK(!holds("\"abc\", \"abc\"", &strong));
	CHECK(!holds("abc", &strong));
}

static void
etags_are_quoted_and_hold_no_space(void)
{
	CHECK(etag_is_valid("\"abc\"", 5));
	CHECK(etag_is_valid("W/\"abc\"", 7));
	CHECK(etag_is_valid("\"\"", 2));
	CHECK(etag_is_valid("\"\xc3\xa9\"", 4));
	CHECK(!etag_is_valid("\"abc\"", 4));
	CHECK(!etag_is_valid("\"a\"b\"", 5));
	CHECK(!etag_is_valid("\"a b\"", 5));
	CHECK(!etag_is_valid("\"a\0b\"", 5));
	CHECK(!etag_is_valid("\"a\r\n\"", 5));
	CHECK(!etag_is_valid("abc", 3));
	CHECK(!etag_is_valid("w/\"abc\"", 7));
	CHECK(!etag_is_valid("\"", 1));
	CHECK(!etag_is_valid("", 0));
}

static void
our_own_malformed_tag_matches_nothing(void)
{
	const struct validators bad = { "abc", -1 };

	CHECK_INT(ASK(&bad, .if_none_match = "\"abc\""), CONDITION_PROCEED);
	CHECK_INT(ASK(&bad, .if_match = "\"abc\""), CONDITION_FAILED);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(without_conditions_all_goes_on),
		UNIT(if_none_match_compares_weakly),
		UNIT(if_match_compares_strongly),
		UNIT(star_matches_whatever_is_there),
		UNIT(lists_are_searched),
		UNIT(malformed_lists_match_nothing),
		UNIT(dates_are_compared_in_seconds),
		UNIT(dates_that_cannot_be_judged_are_ignored),
		UNIT(tags_go_before_dates),
		UNIT(failed_goes_before_not_modified),
		UNIT(d3_if_range_holds_for_exactly_this_version),
		UNIT(etags_are_quoted_and_hold_no_space),
		UNIT(our_own_malformed_tag_matches_nothing),
	};

	return unit_run("conditional", tests, ARRAY_LEN(tests));
}
