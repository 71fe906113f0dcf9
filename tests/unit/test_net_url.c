/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net/url.c: cases E1, E2 and E4.
 */
#include "base/base.h"

#include "unit.h"

#include <stdlib.h>

#include "net/url.h"

static char loopback_v4[] = "127.0.0.1";
static char *loopback[] = { loopback_v4 };
static const struct config strict = { .allow_http = false };
static const struct config lax = { .allow_http = true, .allow_private = { loopback, 1 } };

/* The text of the URL as it would be asked for, or "refused". */
static const char *
parsed(const struct config *c, const char *text)
{
	static char ret[URL_MAX + 1];
	struct err e = ERR_NONE;
	struct url *u = url_new(c, text, false, &e);

	(void)snprintf(ret, sizeof(ret), "%s", u == NULL ? "refused" : u->text);
	CHECK(u != NULL || e.text[0] != '\0');
	url_free(u);
	return ret;
}

static const char *
followed(const struct config *c, const char *base, const char *location)
{
	static char ret[URL_MAX + 1];
	struct err e = ERR_NONE;
	struct url *b = url_new(c, base, false, &e), *u;

	MUST(b != NULL);
	u = url_follow(c, b, location, &e);
	(void)snprintf(ret, sizeof(ret), "%s", u == NULL ? "refused" : u->text);
	CHECK(u != NULL || e.text[0] != '\0');
	url_free(b);
	url_free(u);
	return ret;
}

static void
good_urls_are_kept_as_they_are(void)
{
	static const char *const text[] = {
		"https://example.org/", "https://example.org/a/../b/./c//d", "https://example.org/a%2fb%2Fc?X=%2f&Y=a+b",
		"https://example.org:8443/x?y#", "https://s3.example.org/b/k=v/~u/(1)*@:x", "https://8.8.8.8/x",
		"https://[2606:4700::1111]/x", "https://a_b.example.org/x", "https://example.org/?q=http://127.0.0.1/",
	};

	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		char want[200];

		(void)snprintf(want, sizeof(want), "%.*s", (int)strcspn(text[i], "#"), text[i]);
		CHECK_STR(parsed(&strict, text[i]), want);
	}
	CHECK_STR(parsed(&strict, "https://example.org/a b/\xc3\xa9%2f?q=\xc3\xa9 +%2f"),
	    "https://example.org/a%20b/%C3%A9%2f?q=%C3%A9%20+%2f");
	CHECK_STR(parsed(&strict, "https://example.org/x#fragment"), "https://example.org/x");
	/* the host is before the '#', for us as for libcurl */
	CHECK_STR(parsed(&strict, "https://good.example.org#@evil.example.org/"), "https://good.example.org/");
}

static void
e2_other_schemes_are_refused(void)
{
	static const char *const text[] = {
		"", "x", "file:///etc/passwd", "gopher://example.org/", "dict://example.org/", "ftp://example.org/",
		"//example.org/x", "/x", "http:/\\example.org/", "https:/example.org/", "https:example.org",
		"https:///example.org/", "https://", "https:///", "https://?x", "https://#x", " https://example.org/",
		"https//example.org", "javascript:alert(1)", "unix:///run/x", "https+unix://x/",
		"http://example.org/", "HTTP://example.org/",
	};

	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		CHECK_STR(parsed(&strict, text[i]), "refused");
	CHECK_STR(parsed(&lax, "HTTP://example.org/"), "http://example.org/");
	CHECK_STR(parsed(&lax, "file://example.org/"), "refused");
}

static void
e2_odd_hosts_are_refused(void)
{
	static const char *const text[] = {
		"https://user:pass@example.org/", "https://good.example.org@evil.example.org/", "https://@example.org/",
		"https://:@example.org/", "https://example.org./", "https://.example.org/", "https://./",
		"https://exam ple.org/", "https://example.org\\@evil.example.org/", "https://example.org\\.evil.org/",
		"https://ex%61mple.org/", "https://ex\xc3\xa9mple.org/", "https://example.org%00.evil.org/",
		"https://[fe80::1%25lo]/", "https://[fe80::1%lo]/", "https://[::1/", "https://::1/", "https://[]/",
		"https://example.org:80:80/", "https://a,b/", "https://example.org;x/",
	};

	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		CHECK_STR(parsed(&strict, text[i]), "refused");
}

static void
control_bytes_and_overlong_urls_are_refused(void)
{
	char *text = mem_alloc(URL_MAX + 100);

	CHECK_STR(parsed(&strict, "https://example.org/a\r\nX: y"), "refused");
	CHECK_STR(parsed(&strict, "https://example.org/a\tb"), "refused");
	CHECK_STR(parsed(&strict, "https://example.org/\x7f"), "refused");
	CHECK_STR(parsed(&strict, "https://example.org\n/"), "refused");
	memset(text, 'a', URL_MAX + 1);
	memcpy(text, "https://example.org/", 20);
	CHECK_STR(parsed(&strict, text), "refused");
	text[URL_MAX] = '\0';
	CHECK_STR(parsed(&strict, text), text);
	free(text);
}

static void
e2_ports_of_other_services_are_refused(void)
{
	static const char *const bad[] = { "0", "22", "25", "53", "6379", "11211", "65536", "99999999999", "-1", "x", "1e3" };
	static const char *const good[] = { "80", "443", "8080", "8443", "9000", "65535", "3128" };
	char text[100];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)snprintf(text, sizeof(text), "https://example.org:%s/", bad[i]);
		CHECK_STR(parsed(&strict, text), "refused");
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		(void)snprintf(text, sizeof(text), "https://example.org:%s/", good[i]);
		CHECK_STR(parsed(&strict, text), text);
	}
}

static void
e1_private_addresses_in_any_spelling_are_refused(void)
{
	static const char *const host[] = {
		"127.0.0.2", "10.0.0.1", "0.0.0.0", "0", "169.254.169.254", "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe",
		"0251.0376.0251.0376", "169.254.43518", "2130706434", "0x7f.2", "127.2", "[::1]", "[::ffff:127.0.0.2]",
		"[::ffff:7f00:2]", "[64:ff9b::7f00:2]", "[2002:7f00:2::]", "[fe80::1]", "[fd00::1]", "[::]",
		"[0:0:0:0:0:ffff:a9fe:a9fe]",
	};
	char text[100];

	for (size_t i = 0; i < ARRAY_LEN(host); i++) {
		(void)snprintf(text, sizeof(text), "https://%s/latest/meta-data", host[i]);
		CHECK_STR(parsed(&strict, text), "refused");
		CHECK_STR(parsed(&lax, text), "refused");
	}
	CHECK_STR(parsed(&strict, "https://2130706433/"), "refused");
	CHECK_STR(parsed(&lax, "https://2130706433/"), "https://127.0.0.1/");
	CHECK_STR(parsed(&lax, "https://0x7f.1/"), "https://127.0.0.1/");
}

static void
locations_resolve_against_the_base(void)
{
	const char *base = "https://example.org/a/b/c?d";

	CHECK_STR(followed(&strict, base, "/x/y?z"), "https://example.org/x/y?z");
	CHECK_STR(followed(&strict, base, "x"), "https://example.org/a/b/x");
	CHECK_STR(followed(&strict, base, "../x"), "https://example.org/a/x");
	CHECK_STR(followed(&strict, base, "/x y/\xc3\xa9"), "https://example.org/x%20y/%C3%A9");
	CHECK_STR(followed(&strict, base, "/x?s=%2f+a"), "https://example.org/x?s=%2f+a");
	CHECK_STR(followed(&strict, base, "?e=f"), "https://example.org/a/b/c?e=f");
	CHECK_STR(followed(&strict, base, "//other.org/x"), "https://other.org/x");
	CHECK_STR(followed(&strict, base, "https://other.org:8443/x?s=%2f"), "https://other.org:8443/x?s=%2f");
	CHECK_STR(followed(&strict, base, "HTTPS://OTHER.org/x"), "https://OTHER.org/x");
}

static void
locations_against_policy_are_refused(void)
{
	static const char *const location[] = {
		"http://example.org/", "file:///etc/passwd", "gopher://x/", "https://127.0.0.1/", "//169.254.169.254/latest",
		"https://10.0.0.1/", "https://u:p@example.org/", "//u@example.org/", "/\\evil.org/", "\\\\evil.org/x",
		"https:/evil.org", "https://", "///evil.org/", "http:x", "data:text/plain,x", "https://example.org:22/",
		"/a\x01", "https://[fe80::1%25eth0]/",
	};

	for (size_t i = 0; i < ARRAY_LEN(location); i++)
		CHECK_STR(followed(&strict, "https://example.org/a", location[i]), "refused");
}

static void
e4_https_is_never_left_for_http(void)
{
	CHECK_STR(followed(&lax, "https://example.org/a", "http://example.org/a"), "refused");
	CHECK_STR(followed(&lax, "https://example.org/a", "http://example.org:443/a"), "refused");
	CHECK_STR(followed(&lax, "http://example.org/a", "https://example.org/a"), "https://example.org/a");
	CHECK_STR(followed(&lax, "http://example.org/a", "http://other.org/a"), "http://other.org/a");
}

static void
origin_is_scheme_host_and_port(void)
{
	static const struct { const char *a, *b; bool same; } t[] = {
		{ "https://example.org/a", "https://EXAMPLE.org:443/b?c", true },
		{ "https://example.org/", "https://example.org:8443/", false },
		{ "https://example.org/", "http://example.org/", false },
		{ "http://example.org:443/", "https://example.org/", false },
		{ "https://example.org/", "https://www.example.org/", false },
		{ "http://example.org:80/", "http://example.org/", true },
	};
	struct url *a, *b;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		a = url_new(&lax, t[i].a, false, NULL);
		b = url_new(&lax, t[i].b, false, NULL);
		MUST(a != NULL && b != NULL);
		CHECK_INT(url_same_origin(a, b), t[i].same);
		url_free(a);
		url_free(b);
	}
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(good_urls_are_kept_as_they_are),
		UNIT(e2_other_schemes_are_refused),
		UNIT(e2_odd_hosts_are_refused),
		UNIT(control_bytes_and_overlong_urls_are_refused),
		UNIT(e2_ports_of_other_services_are_refused),
		UNIT(e1_private_addresses_in_any_spelling_are_refused),
		UNIT(locations_resolve_against_the_base),
		UNIT(locations_against_policy_are_refused),
		UNIT(e4_https_is_never_left_for_http),
		UNIT(origin_is_scheme_host_and_port),
	};

	return unit_run("net_url", t, ARRAY_LEN(t));
}
