/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/header.h: what a provider's headers may say (cases D9, D10), and what
 * we write.
 */
#include "unit.h"

#include <stdlib.h>

#include "wire/header.h"

static struct header_line h;
static struct err e;

static int
line(const char *s)
{
	return header_line_parse(s, strlen(s), &h, &e);
}

static bool
value_is(const char *want)
{
	return h.value_len == strlen(want) && memcmp(h.value, want, h.value_len) == 0;
}

static void
lines_come_apart_and_are_trimmed(void)
{
	CHECK_INT(line("Content-Type: image/tiff"), 0);
	CHECK(header_is(&h, "content-type") && header_is(&h, "CONTENT-TYPE"));
	CHECK(!header_is(&h, "content-typ") && !header_is(&h, "content-types"));
	CHECK(value_is("image/tiff"));
	CHECK_INT(line("X:\t a: b \t"), 0);
	CHECK(value_is("a: b"));
	CHECK_INT(line("X:"), 0);
	CHECK(value_is(""));
	CHECK_INT(line("X: \xc3\xa9"), 0);
}

static void
d9_smuggling_lines_are_refused(void)
{
	static const char *const s[] = {
		"", ":", ": x", "X", "X x", "X : x", " X: x", "\tX: x", "X\t: x", "X: a\rb",
		"X: a\nSet-Cookie: b", "X: a\r",
		"X: \x01", "X: \x7f", "X\r: a", "X\n: a", "(x): a", "X\xc3\xa9: a", "X: \x1b[0m", "X\"y: a",
		"HTTP/1.1 200 OK",
	};

	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		if (line(s[i]) != -1)
			fprintf(stderr, "taken: '%s'\n", s[i]);
		CHECK_INT(line(s[i]), -1);
	}
	CHECK_INT(header_line_parse("X: a\0b", 6, &h, &e), -1);
	CHECK_INT(header_line_parse("X\0: ab", 6, &h, NULL), -1);
}

static void
long_lines_are_refused(void)
{
	size_t n = 1 << 20;
	char *s = malloc(n);

	MUST(s != NULL);
	memset(s, 'a', n);
	s[1] = ':';
	CHECK_INT(header_line_parse(s, HEADER_LINE_MAX, &h, &e), 0);
	CHECK_INT(header_line_parse(s, HEADER_LINE_MAX + 1, &h, &e), -1);
	CHECK_INT(header_line_parse(s, n, &h, &e), -1);
	free(s);
}

static int64_t
length(const char *s)
{
	uint64_t v = 4242;

	return header_length_parse(s, strlen(s), &v) == 0 ? (int64_t)v : -1;
}

static void
lengths_are_digits(void)
{
	uint64_t v;

	CHECK_INT(length("0"), 0);
	CHECK_INT(length("1234567890123"), 1234567890123);
	CHECK_INT(length("5, 5"), 5);
	CHECK_INT(length("5,5 ,\t5"), 5);
	CHECK_INT(header_length_parse("18446744073709551615", 20, &v), 0);
	CHECK(v == UINT64_MAX);
}

static void
lengths_that_lie_are_refused(void)
{
	static const char *const s[] = {
		"", " ", "-1", "+1", "1 2", "5, 6", "5,", ",5", "5,,5", "0x10", "1e3", "18446744073709551616",
		"5;", "5\r", "١",
		"99999999999999999999999999",
	};

	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		CHECK_INT(length(s[i]), -1);
}

static int64_t
retry(const char *s)
{
	return header_retry_after(s, strlen(s), 784111777);
}

static void
retry_after_is_seconds_or_a_date(void)
{
	CHECK_INT(retry("0"), 0);
	CHECK_INT(retry(" 120 "), 120);
	CHECK_INT(retry("Sun, 06 Nov 1994 08:49:47 GMT"), 10);
	CHECK_INT(retry("Sun, 06 Nov 1994 08:49:27 GMT"), 0);
	CHECK_INT(retry("86401"), 86400);
	CHECK_INT(retry("99999999999999999999999"), 86400);
	CHECK_INT(retry("Fri, 31 Dec 9999 23:59:59 GMT"), 86400);
	CHECK_INT(retry(""), -1);
	CHECK_INT(retry("-1"), -1);
	CHECK_INT(retry("1.5"), -1);
	CHECK_INT(retry("soon"), -1);
	CHECK_INT(retry("1, 2"), -1);
}

static const char *
media(const char *s)
{
	static struct buf out = BUF_INIT(512);

	return header_media_type(s, strlen(s), &out) == 0 ? buf_str(&out) : NULL;
}

static void
media_types_are_lowered_and_kept(void)
{
	CHECK_STR(media("image/tiff"), "image/tiff");
	CHECK_STR(media(" Image/TIFF ; Application=GeoTIFF;profile=cloud-optimized"),
	    "image/tiff; application=GeoTIFF; profile=cloud-optimized");
	CHECK_STR(media("text/html;charset=\"UTF-8\""), "text/html; charset=\"UTF-8\"");
	CHECK_STR(media("a/b; q=\"x\\\"y;z\""), "a/b; q=\"x\\\"y;z\"");
	CHECK_STR(media("application/vnd+x.y"), "application/vnd+x.y");
	CHECK_STR(media("a/b;"), "a/b");
	CHECK_STR(media("a/b;;c=d"), "a/b; c=d");
}

static void
bad_parameters_are_left_out(void)
{
	CHECK_STR(media("a/b; x"), "a/b");
	CHECK_STR(media("a/b; x="), "a/b");
	CHECK_STR(media("a/b; x=\"y"), "a/b");
	CHECK_STR(media("a/b; c=d; x = y"), "a/b; c=d");
	CHECK_STR(media("a/b; x=\"\r\n\""), "a/b");
	CHECK_STR(media("a/b; =x"), "a/b");
	CHECK_STR(media("a/b; x=y z"), "a/b; x=y");
}

static void
media_types_that_are_none_are_refused(void)
{
	static const char *const s[] = {
		"", "/", "a", "a/", "/b", "a/b/c", "a b/c", "a/<script>", "a/b\r\nX: y", "*/ *", "text/html,text/plain",
	};
	char big[600];

	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		CHECK_STR(media(s[i]), NULL);
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	big[5] = '/';
	CHECK_STR(media(big), NULL);
}

static void
html_types_are_known(void)
{
	CHECK(media_type_is_html("text/html"));
	CHECK(media_type_is_html("Text/HTML; charset=utf-8"));
	CHECK(media_type_is_html("application/xhtml+xml"));
	CHECK(media_type_is_html(" text/html ;x"));
	CHECK(!media_type_is_html("text/htmlx"));
	CHECK(!media_type_is_html("text/plain"));
	CHECK(!media_type_is_html("image/tiff; x=text/html"));
	CHECK(!media_type_is_html(""));
}

static bool
html(const char *s)
{
	return body_looks_html(s, strlen(s));
}

static void
html_bodies_are_known(void)
{
	CHECK(html("<!DOCTYPE html>\n<html>"));
	CHECK(html("<!doctype HTML PUBLIC \"-//W3C\">"));
	CHECK(html("\xef\xbb\xbf \r\n\t<html lang=en>"));
	CHECK(html("<HTML>"));
	CHECK(html("<html"));
	CHECK(html("<?xml version=\"1.0\"?>\n<!-- login -->\n<!DOCTYPE html PUBLIC>"));
	CHECK(html("<!-- a --><html>"));
	CHECK(!html(""));
	CHECK(!html("<"));
	CHECK(!html("<htmlx>"));
	CHECK(!html("<!doctype svg>"));
	CHECK(!html("<?xml version=\"1.0\"?><metadata/>"));
	CHECK(!html("<?xml version=\"1.0\""));
	CHECK(!html("<!-- never closed <html>"));
	CHECK(!html("II*\0<html>"));
	CHECK(!html("{\"a\":\"<html>\"}"));
	CHECK(!body_looks_html("<html>", 3));
	CHECK(!body_looks_html(NULL, 0));
}

static const char *
filename(const char *s)
{
	static struct buf out = BUF_INIT(1024);

	return disposition_filename(s, strlen(s), &out) == 0 ? buf_str(&out) : NULL;
}

static void
filenames_are_found(void)
{
	CHECK_STR(filename("attachment; filename=a.tif"), "a.tif");
	CHECK_STR(filename("attachment; filename=\"a b.tif\""), "a b.tif");
	CHECK_STR(filename("attachment;FileName = \"a.tif\" ; size=3"), "a.tif");
	CHECK_STR(filename("inline; filename=\"a;b.tif\""), "a;b.tif");
	CHECK_STR(filename("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac.tif"), "\xe2\x82\xac.tif");
	CHECK_STR(filename("attachment; filename*=utf-8'en'n%20m; filename=x"), "n m");
	CHECK_STR(filename("attachment; filename=\"a\\\"b\""), "ab");
	CHECK_STR(filename("attachment; filename*=UTF-8''%zz; filename=x"), "x");
	CHECK_STR(filename("attachment; filename*=EBCDIC''a; filename=x"), "x");
	CHECK_STR(filename("attachment; filename*=UTF-8''%c0%ae; filename=x"), "x");
	CHECK_STR(filename("attachment; filename=\"\xe9.tif\""), "_.tif");
}

static void
filenames_hold_no_path_and_no_controls(void)
{
	CHECK_STR(filename("attachment; filename=\"../../etc/passwd\""), "passwd");
	CHECK_STR(filename("attachment; filename=\"C:\\\\x\\\\y.tif\""), "y.tif");
	CHECK_STR(filename("attachment; filename*=UTF-8''..%2F..%2Fx"), "x");
	CHECK_STR(filename("attachment; filename*=UTF-8''a%0d%0aSet-Cookie:b"), "aSet-Cookie:b");
	CHECK_STR(filename("attachment; filename*=UTF-8''a%00b"), "ab");
	/* behind a character of several bytes, too */
	CHECK_STR(filename("attachment; filename*=UTF-8''%c3%a9%0d%0ab%22"), "\xc3\xa9" "b");
	CHECK_STR(filename("attachment; filename*=UTF-8''%c3%a9%c2%85%c2%9b"), "\xc3\xa9");
	CHECK_STR(filename("attachment; filename=\"..\""), NULL);
	CHECK_STR(filename("attachment; filename=\"a/\""), NULL);
	CHECK_STR(filename("attachment; filename=\"\""), NULL);
	CHECK_STR(filename("attachment"), NULL);
	CHECK_STR(filename("filename=x"), NULL);
	CHECK_STR(filename(""), NULL);
	CHECK_STR(filename("attachment; filename"), NULL);
	CHECK_STR(filename("attachment; xfilename=a"), NULL);
}

static void
long_filenames_are_cut_between_characters(void)
{
	char s[3000] = "attachment; filename=\"a";

	for (size_t i = strlen(s); i + 4 < sizeof(s); i += 2)
		memcpy(s + i, "\xc3\xa9", 3);
	s[sizeof(s) - 3] = '"';
	s[sizeof(s) - 2] = '\0';
	CHECK_INT(strlen(filename(s)), 255);
}

static const char *
written(const char *name)
{
	static struct buf out = BUF_INIT(4096);

	buf_clear(&out);
	disposition_write(&out, name);
	return buf_ok(&out) ? buf_str(&out) : NULL;
}

static void
d10_dispositions_are_written_safely(void)
{
	CHECK_STR(written("a.tif"), "attachment; filename=\"a.tif\"; filename*=UTF-8''a.tif");
	CHECK_STR(written("a b\".tif"), "attachment; filename=\"a b.tif\"; filename*=UTF-8''a%20b.tif");
	CHECK_STR(written("x/\xe2\x82\xac%.tif"), "attachment; filename=\"__.tif\"; filename*=UTF-8''%E2%82%AC%25.tif");
	CHECK_STR(written("a\r\nX: y"), "attachment; filename=\"aX: y\"; filename*=UTF-8''aX%3A%20y");
	CHECK_STR(written(".."), "attachment; filename=\"data\"; filename*=UTF-8''data");
	CHECK_STR(written(""), "attachment; filename=\"data\"; filename*=UTF-8''data");
	CHECK_STR(written("\xc3\xa9\"\n"), "attachment; filename=\"_\"; filename*=UTF-8''%C3%A9");
	CHECK_STR(written("\xff"), "attachment; filename=\"_\"; filename*=UTF-8''_");
}

static void
names_tell_media_types(void)
{
	CHECK_STR(media_type_of_name("a.tif"), "image/tiff");
	CHECK_STR(media_type_of_name("A.B.TIFF"), "image/tiff");
	CHECK_STR(media_type_of_name("x.jp2"), "image/jp2");
	CHECK_STR(media_type_of_name("x.json"), "application/json");
	CHECK_STR(media_type_of_name(".zarray"), "application/json");
	CHECK_STR(media_type_of_name("x"), "application/octet-stream");
	CHECK_STR(media_type_of_name("x."), "application/octet-stream");
	CHECK_STR(media_type_of_name("tif"), "application/octet-stream");
	CHECK_STR(media_type_of_name("x.html"), "application/octet-stream");
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(lines_come_apart_and_are_trimmed),
		UNIT(d9_smuggling_lines_are_refused),
		UNIT(long_lines_are_refused),
		UNIT(lengths_are_digits),
		UNIT(lengths_that_lie_are_refused),
		UNIT(retry_after_is_seconds_or_a_date),
		UNIT(media_types_are_lowered_and_kept),
		UNIT(bad_parameters_are_left_out),
		UNIT(media_types_that_are_none_are_refused),
		UNIT(html_types_are_known),
		UNIT(html_bodies_are_known),
		UNIT(filenames_are_found),
		UNIT(filenames_hold_no_path_and_no_controls),
		UNIT(long_filenames_are_cut_between_characters),
		UNIT(d10_dispositions_are_written_safely),
		UNIT(names_tell_media_types),
	};

	return unit_run("header", tests, ARRAY_LEN(tests));
}
