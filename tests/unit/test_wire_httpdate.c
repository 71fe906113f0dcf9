/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/httpdate.h: the three forms of an HTTP date, and nothing else.
 */
#include "unit.h"

#include <time.h>

#include "wire/httpdate.h"

static int64_t
parse(const char *s)
{
	int64_t t = -424242;

	return httpdate_parse(s, strlen(s), &t) == 0 ? t : -424242;
}

static void
three_forms_are_one_date(void)
{
	CHECK_INT(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
	CHECK_INT(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
	CHECK_INT(parse("Sun Nov  6 08:49:37 1994"), 784111777);
	CHECK_INT(parse("Wed Nov 16 08:49:37 1994"), 784975777);
}

static void
edges_of_the_calendar(void)
{
	CHECK_INT(parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
	CHECK_INT(parse("Wed, 31 Dec 1969 23:59:59 GMT"), -1);
	CHECK_INT(parse("Tue, 29 Feb 2000 00:00:00 GMT"), 951782400);
	CHECK_INT(parse("Fri, 31 Dec 9999 23:59:59 GMT"), 253402300799);
	CHECK_INT(parse("Sat, 31 Dec 2016 23:59:60 GMT"), 1483228800);	/* a leap second */
	CHECK_INT(parse("Monday, 01-Jan-68 00:00:00 GMT"), 3092601600);	/* 2068 */
	CHECK_INT(parse("Wednesday, 01-Jan-69 00:00:00 GMT"), -31536000);	/* 1969 */
}

static void
what_is_no_date_is_refused(void)
{
	static const char *const s[] = {
		"", "0", "784111777", "Sun", "Sun, ", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT", "sun, 06 nov 1994 08:49:37 gmt",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 29 Feb 1900 00:00:00 GMT", "Sun, 29 Feb 2023 00:00:00 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 0000 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
		"Xun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08-49-37 GMT", "Sun, 06 Nov -994 08:49:37 GMT",
		"Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994", "Sun Nov  6 08:49:37 1994 GMT", "Sun, 06 Nov 1994 08:49:37 GMTx",
	};
	int64_t t;

	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		if (parse(s[i]) != -424242)
			fprintf(stderr, "taken: '%s'\n", s[i]);
		CHECK_INT(parse(s[i]), -424242);
	}
	CHECK_INT(httpdate_parse("Sun, 06 Nov 1994 08:49:37 GMT\0", 30, &t), -1);
	CHECK_INT(httpdate_parse("", 0, &t), -1);
}

static void
written_dates_agree_with_the_c_library(void)
{
	char got[HTTPDATE_SIZE], want[64];
	struct tm tm;
	time_t s;

	for (int64_t t = -5000000000; t < 250000000000; t += 7919 * 1009) {
		httpdate_format(t, got);
		s = (time_t)t;
		MUST(gmtime_r(&s, &tm) != NULL);
		MUST(strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
		if (strcmp(got, want) != 0 || parse(got) != t) {
			CHECK_STR(got, want);
			CHECK_INT(parse(got), t);
			break;
		}
	}
}

static void
dates_out_of_range_are_clamped(void)
{
	char s[HTTPDATE_SIZE];

	httpdate_format(INT64_MAX, s);
	CHECK_STR(s, "Fri, 31 Dec 9999 23:59:59 GMT");
	httpdate_format(INT64_MIN, s);
	CHECK_STR(s, "Mon, 01 Jan 0001 00:00:00 GMT");
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(three_forms_are_one_date),
		UNIT(edges_of_the_calendar),
		UNIT(what_is_no_date_is_refused),
		UNIT(written_dates_agree_with_the_c_library),
		UNIT(dates_out_of_range_are_clamped),
	};

	return unit_run("httpdate", tests, ARRAY_LEN(tests));
}
