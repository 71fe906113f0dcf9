/* SPDX-License-Identifier: Apache-2.0
 *
 * The scan before json-c, and the values with units.
 */
#include "base/base.h"

#include <stdlib.h>

#include "config/params.h"
#include "config/scan.h"
#include "config/units.h"
#include "unit.h"

enum { VALUES = 1000 };

/* What the scan says about n bytes: "" when it takes them. */
static const char *
scanned_n(const char *text, size_t n)
{
	static struct err e;
	struct scan s;

	e = (struct err)ERR_NONE;
	if (scan_json(&s, text, n, VALUES, &e) == 0)
		e.text[0] = '\0';
	scan_release(&s);
	return e.text;
}

static const char *
scanned(const char *text)
{
	return scanned_n(text, strlen(text));
}

static void
check_refused(const char *text, const char *want)
{
	const char *got = scanned(text);

	if (strstr(got, want) == NULL)
		fprintf(stderr, "of: %s\ngot: %s, want: %s\n", text, got, want);
	CU_ASSERT_TRUE(strstr(got, want) != NULL);
}

static void
strict_json_is_taken(void)
{
	static const char *const good[] = {
		"{}",
		" { } ",
		"{\"a\":1}",
		"{\"a\":[]}",
		"{\"a\":[1,-0,0.5,1e3,1E-3,2.5e+7]}",
		"{\"a\":[true,false,null]}",
		"{\"a\":{\"b\":{\"c\":[[[]]]}}}",
		"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"}",
		"{\"a\":\"\\ud83d\\ude00\"}",
		"{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}",
		"{\"\":0}",
		"{\"a\":\"\x7f\"}",
		"\n\t\r {\"a\" : 1 , \"b\" : 2}\n\n",
		"{\"a\":-123456789012345678901234567890}",
		"{\"a\":{},\"A\":{}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK_STR(scanned(good[i]), "");
}

static void
everything_else_is_refused(void)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
		{ "", "ends too early" },
		{ "   \n ", "ends too early" },
		{ "[]", "one object" },
		{ "\"a\"", "one object" },
		{ "null", "one object" },
		{ "{", "ends too early" },
		{ "{\"a\"", "ends too early" },
		{ "{\"a\":", "ends too early" },
		{ "{\"a\":1", "ends too early" },
		{ "{\"a\":[1", "ends too early" },
		{ "{\"a\":[1}", "a comma is missing" },
		{ "{\"a\":1]", "a comma is missing" },
		{ "{\"a\":1,}", "a comma too many" },
		{ "{\"a\":[1,]}", "a comma too many" },
		{ "{\"a\":[,1]}", "a value is missing" },
		{ "{,}", "double quotes is wanted" },
		{ "{\"a\":[1,,2]}", "a value is missing" },
		{ "{\"a\":1,,\"b\":2}", "double quotes is wanted" },
		{ "{\"a\" 1}", "a colon is missing" },
		{ "{\"a\"::1}", "no value begins" },
		{ "{\"a\":}", "a value is missing" },
		{ "{:1}", "double quotes is wanted" },
		{ "{a:1}", "double quotes is wanted" },
		{ "{'a':1}", "double quotes is wanted" },
		{ "{\"a\":'b'}", "single quotes" },
		{ "{1:1}", "double quotes is wanted" },
		{ "{null:null}", "double quotes is wanted" },
		{ "{\"a\":1 \"b\":2}", "a comma is missing" },
		{ "{\"a\":1}x", "follows the end" },
		{ "{\"a\":1}}", "follows the end" },
		{ "{}{}", "follows the end" },
		{ "{\"a\":NaN}", "no value begins" },
		{ "{\"a\":nan}", "no value begins" },
		{ "{\"a\":Infinity}", "no value begins" },
		{ "{\"a\":-Infinity}", "not a number" },
		{ "{\"a\":+1}", "no value begins" },
		{ "{\"a\":-}", "not a number" },
		{ "{\"a\":.5}", "no value begins" },
		{ "{\"a\":1.}", "ends in a point" },
		{ "{\"a\":01}", "leading zero" },
		{ "{\"a\":-01}", "leading zero" },
		{ "{\"a\":1e}", "without its exponent" },
		{ "{\"a\":1e+}", "without its exponent" },
		{ "{\"a\":0x1}", "a comma is missing" },
		{ "{\"a\":1_000}", "a comma is missing" },
		{ "{\"a\":True}", "no value begins" },
		{ "{\"a\":truth}", "no value begins" },
		{ "{\"a\":tru}", "no value begins" },
		{ "{\"a\":nul", "no value begins" },
		{ "{\"a\":\"b}", "does not end" },
		{ "{\"a\":\"b\\\"}", "does not end" },
		{ "{\"a\":\"\\x41\"}", "unknown escape" },
		{ "{\"a\":\"\\'\"}", "unknown escape" },
		{ "{\"a\":\"\\u12g4\"}", "four hex digits" },
		{ "{\"a\":\"\\u12\"}", "four hex digits" },
		{ "{\"a\":\"\\u0000\"}", "a NUL" },
		{ "{\"a\":\"\\ud800\"}", "surrogate" },
		{ "{\"a\":\"\\udc00\"}", "surrogate" },
		{ "{\"a\":\"\\ud800\\u0041\"}", "surrogate" },
		{ "{\"a\":\"\\ud800\\n\"}", "surrogate" },
		{ "{\"a\":\"new\nline\"}", "raw control byte" },
		{ "{\"a\":\"\ttab\"}", "raw control byte" },
		{ "{\"a\":\"\xff\"}", "not UTF-8" },
		{ "{\"a\":\"\xc0\xaf\"}", "not UTF-8" },
		{ "{\"a\":\"\xed\xa0\x80\"}", "not UTF-8" },
		{ "\xef\xbb\xbf{}", "byte order mark" },
		{ "{\"a\":1}\f", "follows the end" },
		{ "{\"a\":\v1}", "no value begins" },
		{ "{\"\\u0061\":1}", "an escape in a member's name" },
		{ "# comment\n{}", "one object" },
		{ "{} #", "follows the end" },
		{ "<!-- -->{}", "one object" },
		{ "{} /", "begins no comment" },
		{ "{} /x/", "begins no comment" },
		{ "{} /* x", "does not end" },
		{ "{} /*/", "does not end" },
		{ "{ // x", "ends too early" },
		{ "/* a /* b */ c */ {}", "one object" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_refused(bad[i].text, bad[i].want);
}

static void
a_nul_is_refused_wherever_it_stands(void)
{
	static const char in_string[] = "{\"a\":\"b\0c\"}", outside[] = "{}\0",
			  in_name[] = "{\"a\0\":1}";

	CHECK(scanned_n(in_string, sizeof(in_string) - 1)[0] != '\0');
	CHECK(scanned_n(outside, sizeof(outside) - 1)[0] != '\0');
	CHECK(scanned_n(in_name, sizeof(in_name) - 1)[0] != '\0');
}

static void
every_prefix_of_a_text_is_refused(void)
{
	static const char text[] = "{ \"a\": [1, 2.5e3, \"x\\u00e9\\ud83d\\ude00\", true, null, "
				   "{\"b\": {}}], /* c */ \"d\": -1 }";

	CHECK_STR(scanned(text), "");
	/* copies of the exact length, so that a sanitizer sees a byte too far */
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		char *cut = mem_alloc(n == 0 ? 1 : n);

		if (n > 0)
			memcpy(cut, text, n);
		CHECK(scanned_n(cut, n)[0] != '\0');
		free(cut);
	}
}

static void
comments_become_blanks_and_lines_stay(void)
{
	static const char text[] =
	    "// one\n{ /* two\n three */ \"a\": \"// no /* comment */\", // four\r\n\"b\": 1 }/**/";
	struct at b = { NULL, "b", 0 };
	struct err e = ERR_NONE;
	struct scan s;

	CHECK_INT(scan_json(&s, text, sizeof(text) - 1, VALUES, &e), 0);
	CHECK(strstr(s.text, "\"// no /* comment */\"") != NULL);
	CHECK(strstr(s.text, "one") == NULL);
	CHECK(strstr(s.text, "three") == NULL);
	CHECK(strstr(s.text, "four") == NULL);
	CHECK_INT(strlen(s.text), sizeof(text) - 1);
	CHECK_INT(scan_line(&s, &b), 4);
	scan_release(&s);
}

static void
faults_tell_line_and_column(void)
{
	check_refused("{\n  \"a\": 1,\n  \"b\": x\n}", "line 3, column 8:");
	check_refused("{\n/* \n\n */ \"b\" }", "line 4, column 9:");
	check_refused("{\n  // Zo\xc3\xab\n  // caf\xe9\n}", "line 3, column 9: the text is not UTF-8");
	check_refused("{}\n\xe2\x82", "line 2, column 1: the text is not UTF-8");
}

static void
the_same_name_twice_is_found(void)
{
	static const char text[] = "{ \"a\": 1, \"b\": { \"a\": 2,\n \"c\": 3, \"c\": 4 },\n\"a\": "
				   "[ {\"a\": 1}, {\"a\": 2} ] }";
	struct buf path = BUF_INIT(100);
	struct err e = ERR_NONE;
	struct scan s;
	unsigned twice = 0;

	CHECK_INT(scan_json(&s, text, sizeof(text) - 1, VALUES, &e), 0);
	for (size_t i = 0; i < s.n; i++) {
		if (!s.node[i].twice)
			continue;
		twice++;
		scan_path(&s, i, &path);
		(void)buf_addf(&path, "@%u ", s.node[i].line);
	}
	CHECK_INT(twice, 2);
	CHECK_STR(buf_str(&path), "b.c@2 a@3 ");
	buf_release(&path);
	scan_release(&s);
}

static void
paths_tell_members_and_places(void)
{
	static const char text[] =
	    "{ \"rules\": [ {}, { \"users\": [\"x\", \"y\"] } ], \"a b\": {\"\": 1} }";
	struct buf path = BUF_INIT(200);
	struct err e = ERR_NONE;
	struct scan s;

	CHECK_INT(scan_json(&s, text, sizeof(text) - 1, VALUES, &e), 0);
	for (size_t i = 1; i < s.n; i++) {
		scan_path(&s, i, &path);
		(void)buf_addc(&path, ' ');
	}
	CHECK_STR(buf_str(&path), "rules rules[0] rules[1] rules[1].users rules[1].users[0] "
				  "rules[1].users[1] a\\x20b a\\x20b.\"\" ");
	buf_release(&path);
	scan_release(&s);
}

/* n times open, then close. */
static char *
nested(const char *open, const char *close, size_t n)
{
	struct buf b = BUF_INIT(64 * 1024 * 1024);

	(void)buf_adds(&b, "{\"a\":");
	for (size_t i = 0; i < n; i++)
		(void)buf_adds(&b, open);
	for (size_t i = 0; i < n; i++)
		(void)buf_adds(&b, close);
	(void)buf_adds(&b, "}");
	MUST(buf_ok(&b));
	return buf_take(&b);
}

static void
depth_is_bounded(void)
{
	char *fits = nested("[", "]", SCAN_DEPTH_MAX - 1), *more = nested("[", "]", SCAN_DEPTH_MAX),
	     *hostile = nested("[", "]", 5000000), *objects = nested("{\"a\":", "}", 100000);

	CHECK_STR(scanned(fits), "");
	check_refused(more, "nested too deep");
	CHECK(strstr(scanned(hostile), "nested too deep") != NULL);
	CHECK(strstr(scanned(objects), "nested too deep") != NULL);
	free(fits);
	free(more);
	free(hostile);
	free(objects);
}

static void
the_number_of_values_is_bounded(void)
{
	char *fits = mem_alloc(VALUES * 2 + 64), *p;

	(void)snprintf(fits, 64, "{\"a\":[0");
	p = fits + strlen(fits);
	for (size_t i = 0; i < VALUES - 3; i++, p += 2)
		memcpy(p, ",0", 2);
	memcpy(p, "]}", 3);
	CHECK_STR(scanned(fits), "");
	memcpy(p, ",0]}", 5);
	check_refused(fits, "more values than");
	free(fits);
}

static void
a_long_name_is_refused(void)
{
	char text[SCAN_NAME_MAX + 32];

	(void)snprintf(text, sizeof(text), "{\"%0*d\":1}", SCAN_NAME_MAX, 0);
	CHECK_STR(scanned(text), "");
	(void)snprintf(text, sizeof(text), "{\"%0*d\":1}", SCAN_NAME_MAX + 1, 0);
	check_refused(text, "too long");
}

/* ---- units ------------------------------------------------------------------ */

enum { NOT = -1 };

static int64_t
size_of(const char *s)
{
	uint64_t n;

	return units_size(s, &n) < 0 ? NOT : (int64_t)n;
}

static int64_t
duration_of(const char *s)
{
	uint64_t n;

	return units_duration(s, &n) < 0 ? NOT : (int64_t)n;
}

static int64_t
percent_of(const char *s)
{
	uint64_t n;

	return units_percent(s, &n) < 0 ? NOT : (int64_t)n;
}

static void
sizes_have_decimal_and_binary_units(void)
{
	CHECK_INT(size_of("0"), 0);
	CHECK_INT(size_of("0 B"), 0);
	CHECK_INT(size_of("1 B"), 1);
	CHECK_INT(size_of("1kB"), 1000);
	CHECK_INT(size_of("1 KB"), 1000);
	CHECK_INT(size_of("1 KiB"), 1024);
	CHECK_INT(size_of("64 MiB"), 67108864);
	CHECK_INT(size_of("20 GB"), 20000000000);
	CHECK_INT(size_of("2 TB"), 2000000000000);
	CHECK_INT(size_of("1.5 TB"), 1500000000000);
	CHECK_INT(size_of("0.5 KiB"), 512);
	CHECK_INT(size_of("1 PiB"), 1125899906842624);
	CHECK_INT(size_of("9223 PB"), 9223000000000000000);
	CHECK_INT(size_of("9223372036854775807 B"), INT64_MAX);
	CHECK_INT(size_of("123456789012345.5 KB"), 123456789012345500);
}

static void
other_sizes_are_refused(void)
{
	static const char *const bad[] = {
		"",
		" ",
		"1",
		"B",
		"MB",
		"-1 B",
		"+1 B",
		"1 mb",
		"1 Mb",
		"1 MBit",
		"1 MB ",
		" 1 MB",
		"1 M",
		"1,5 TB",
		"1e3 B",
		"0x10 B",
		"01 B",
		"1.5 B",
		"1.0005 KB",
		"1. KB",
		".5 KB",
		"1 MB 2",
		"9224 PB",
		"99999999999999999999 B",
		"18446744073709551616 B",
		"1 MB per second",
		"1 per second",
		"9223372036854775808 B",
		"inf",
		"nan B",
		"1\xc2\xa0MB",
		"0x",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (size_of(bad[i]) != NOT)
			fprintf(stderr, "taken: '%s'\n", bad[i]);
		CU_ASSERT_TRUE(size_of(bad[i]) == NOT);
	}
}

static int64_t
lifetime_of(const char *s)
{
	uint32_t days;

	return units_lifetime(s, &days) < 0 ? NOT : (int64_t)days;
}

static void
lifetimes_are_whole_days(void)
{
	CHECK_INT(lifetime_of("1d"), 1);
	CHECK_INT(lifetime_of("2w"), 14);
	CHECK_INT(lifetime_of("1y"), 365);
	CHECK_INT(lifetime_of("30 d"), 30);
	CHECK_INT(lifetime_of("100y"), 36500);
	CHECK_INT(lifetime_of("never"), 0);
	CHECK_INT(lifetime_of("36501d"), NOT);
	CHECK_INT(lifetime_of("0d"), NOT);
	CHECK_INT(lifetime_of("0"), NOT);
	CHECK_INT(lifetime_of("0.5d"), NOT);
	CHECK_INT(lifetime_of("12h"), NOT);
	CHECK_INT(lifetime_of("1m"), NOT);
	CHECK_INT(lifetime_of("-1d"), NOT);
	CHECK_INT(lifetime_of("30d "), NOT);
	CHECK_INT(lifetime_of("4294967297d"), NOT);
	CHECK_INT(lifetime_of(""), NOT);
}

static void
durations_and_percentages(void)
{
	CHECK_INT(duration_of("0"), 0);
	CHECK_INT(duration_of("30ms"), 30);
	CHECK_INT(duration_of("10s"), 10000);
	CHECK_INT(duration_of("1.5s"), 1500);
	CHECK_INT(duration_of("5m"), 300000);
	CHECK_INT(duration_of("2 h"), 7200000);
	CHECK_INT(duration_of("30d"), 2592000000);
	CHECK_INT(duration_of("10"), NOT);
	CHECK_INT(duration_of("10S"), NOT);
	CHECK_INT(duration_of("10 sec"), NOT);
	CHECK_INT(duration_of("-10s"), NOT);
	CHECK_INT(duration_of("1m30s"), NOT);
	CHECK_INT(duration_of(""), NOT);
	CHECK_INT(percent_of("25 %"), 25);
	CHECK_INT(percent_of("25%"), 25);
	CHECK_INT(percent_of("0 %"), 0);
	CHECK_INT(percent_of("100 %"), 100);
	CHECK_INT(percent_of("101 %"), NOT);
	CHECK_INT(percent_of("25"), NOT);
	CHECK_INT(percent_of("2.5 %"), NOT);
	CHECK_INT(percent_of("-1 %"), NOT);
	CHECK_INT(percent_of("%"), NOT);
}

static void
limits_say_how_many_per_what(void)
{
	enum quota_window w;
	uint64_t n;

	CHECK_INT(units_limit("20 per second", false, &n, &w), 0);
	CHECK_INT(n, 20);
	CHECK_INT(w, WINDOW_SECOND);
	CHECK_INT(units_limit("1 TB per month", true, &n, &w), 0);
	CHECK_INT(n, 1000000000000);
	CHECK_INT(w, WINDOW_MONTH);
	CHECK_INT(units_limit("999999999999999 per day", false, &n, &w), 0);
	CHECK_INT(n, 999999999999999);
	CHECK_INT(units_limit("20 per second", true, &n, &w), -1);
	CHECK_INT(units_limit("1 TB per month", false, &n, &w), -1);
	CHECK_INT(units_limit("0 per second", false, &n, &w), -1);
	CHECK_INT(units_limit("0 per second", true, &n, &w), -1);
	CHECK_INT(units_limit("2.5 per second", false, &n, &w), -1);
	CHECK_INT(units_limit("20 per fortnight", false, &n, &w), -1);
	CHECK_INT(units_limit("20 per seconds", false, &n, &w), -1);
	CHECK_INT(units_limit("20 per", false, &n, &w), -1);
	CHECK_INT(units_limit("20per second", false, &n, &w), -1);
	CHECK_INT(units_limit("20/second", false, &n, &w), -1);
	CHECK_INT(units_limit("-20 per second", false, &n, &w), -1);
	CHECK_INT(units_limit("", false, &n, &w), -1);
	CHECK_INT(units_limit("", true, &n, &w), -1);
}

static void
rates_are_sizes_for_a_second(void)
{
	uint64_t n;

	CHECK_INT(units_rate("0", &n), 0);
	CHECK_INT(n, 0);
	CHECK_INT(units_rate("10 MB", &n), 0);
	CHECK_INT(n, 10000000);
	CHECK_INT(units_rate("10 MB per second", &n), 0);
	CHECK_INT(n, 10000000);
	CHECK_INT(units_rate("0 per second", &n), 0);
	CHECK_INT(units_rate("10 MB per hour", &n), -1);
	CHECK_INT(units_rate("10", &n), -1);
}

static void
what_is_written_is_read_back(void)
{
	struct buf b = BUF_INIT(64);
	uint64_t x = 88172645463325252ULL, n, got;
	enum quota_window w;

	for (unsigned i = 0; i < 20000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		n = x >> (2 + x % 50);
		if (i % 3 == 0)
			n -= n % 1000000;
		buf_clear(&b);
		units_put_size(&b, n);
		CU_ASSERT_TRUE_FATAL(units_size(buf_str(&b), &got) == 0 && got == n);
		buf_clear(&b);
		units_put_duration(&b, n);
		CU_ASSERT_TRUE_FATAL(units_duration(buf_str(&b), &got) == 0 && got == n);
		buf_clear(&b);
		units_put_limit(&b, i % 2 == 0, n + 1, (enum quota_window)(i % WINDOWS));
		CU_ASSERT_TRUE_FATAL(
		    units_limit(buf_str(&b), i % 2 == 0, &got, &w) == 0 && got == n + 1);
		CU_ASSERT_TRUE_FATAL(w == (enum quota_window)(i % WINDOWS));
	}
	buf_release(&b);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(strict_json_is_taken),
		UNIT(everything_else_is_refused),
		UNIT(a_nul_is_refused_wherever_it_stands),
		UNIT(every_prefix_of_a_text_is_refused),
		UNIT(comments_become_blanks_and_lines_stay),
		UNIT(faults_tell_line_and_column),
		UNIT(the_same_name_twice_is_found),
		UNIT(paths_tell_members_and_places),
		UNIT(depth_is_bounded),
		UNIT(the_number_of_values_is_bounded),
		UNIT(a_long_name_is_refused),
		UNIT(sizes_have_decimal_and_binary_units),
		UNIT(other_sizes_are_refused),
		UNIT(lifetimes_are_whole_days),
		UNIT(durations_and_percentages),
		UNIT(limits_say_how_many_per_what),
		UNIT(rates_are_sizes_for_a_second),
		UNIT(what_is_written_is_read_back),
	};

	return unit_run("config_syntax", t, ARRAY_LEN(t));
}
