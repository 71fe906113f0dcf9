/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/s3/place.c
 */
#include "unit.h"

#include <stdlib.h>

#include "s3/place.h"

static const struct s3_place_words good = { .endpoint = "https://s3.example.org", .bucket = "eodata" };

/* Host header and path of a key there, or "refused". */
static const char *
at(struct s3_place_words w, const char *key)
{
	static struct buf out;
	struct err e = ERR_NONE;
	struct s3_place p;

	buf_release(&out);
	buf_init(&out, 8192);
	if (s3_place_init(&p, &w, &e) != 0) {
		CHECK(e.text[0] != '\0');
		return "refused";
	}
	s3_place_host(&out, &p);
	if (s3_place_path(&out, &p, key, &e) != 0) {
		CHECK(e.text[0] != '\0');
		buf_clear(&out);
		(void)buf_adds(&out, "refused");
	}
	s3_place_release(&p);
	return buf_str(&out);
}

static const char *
endpoint_at(const char *endpoint)
{
	struct s3_place_words w = good;

	w.endpoint = endpoint;
	return at(w, "k");
}

static const char *
key_at(const char *key)
{
	return at(good, key);
}

static void
endpoints_are_taken_apart(void)
{
	CHECK_STR(endpoint_at("https://s3.example.org"), "s3.example.org/eodata/k");
	CHECK_STR(endpoint_at("https://S3.Example.ORG/"), "s3.example.org/eodata/k");
	CHECK_STR(endpoint_at("http://127.0.0.1:7480"), "127.0.0.1:7480/eodata/k");
	CHECK_STR(endpoint_at("https://[2001:DB8::1]:8443"), "[2001:db8::1]:8443/eodata/k");
	CHECK_STR(endpoint_at("http://[::1]"), "[::1]/eodata/k");
	CHECK_STR(endpoint_at("http://minio_1"), "minio_1/eodata/k");
}

static void
a_default_port_is_not_in_the_host(void)
{
	CHECK_STR(endpoint_at("https://s3.example.org:443"), "s3.example.org/eodata/k");
	CHECK_STR(endpoint_at("http://s3.example.org:80"), "s3.example.org/eodata/k");
	CHECK_STR(endpoint_at("https://s3.example.org:80"), "s3.example.org:80/eodata/k");
	CHECK_STR(endpoint_at("http://s3.example.org:443"), "s3.example.org:443/eodata/k");
	CHECK_STR(endpoint_at("https://s3.example.org:0443"), "s3.example.org/eodata/k");
}

static void
what_is_no_endpoint_is_refused(void)
{
	static const char *const bad[] = { "", "s3.example.org", "HTTPS://s3.example.org", "ftp://s3.example.org", "https://",
		"https:///", "https://s3.example.org/base", "https://s3.example.org//", "https://s3.example.org?x",
		"https://s3.example.org#x", "https://user@s3.example.org", "https://a:b@s3.example.org", "https://s3.example.org:",
		"https://s3.example.org:0", "https://s3.example.org:65536", "https://s3.example.org:99999999999",
		"https://s3.example.org:4x", "https://s3.example.org:-1", "https://.s3.example.org", "https://s3..example.org",
		"https://s3.example.org.", "https://s3 example", "https://s3\nexample", "https://s3\\example", "https://[::1",
		"https://[]", "https://[1.2.3.4]", "https://[::1]x", "https://[::1%25eth0]", "https://\xc3\xa9.example.org",
		"https://%41.example.org" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_STR(endpoint_at(bad[i]), "refused");
}

static void
buckets_have_the_names_that_s3_allows(void)
{
	static const char *const fine[] = { "abc", "a-b", "a.b", "0a9", "a--b", "xn--x", "my-alias-s3alias",
		"a12345678901234567890123456789012345678901234567890123456789012" };
	static const char *const bad[] = { "", "ab", "Abc", "a_b", "-ab", "ab-", ".ab", "ab.", "a..b", "192.168.5.4", "a/b", "a b",
		"a\tb", "abc\n", "ab\xc3\xa9", "a123456789012345678901234567890123456789012345678901234567890123" };
	struct s3_place_words w = good;

	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		char want[200];

		w.bucket = fine[i];
		(void)snprintf(want, sizeof(want), "s3.example.org/%s/k", fine[i]);
		CHECK_STR(at(w, "k"), want);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		w.bucket = bad[i];
		CHECK_STR(at(w, "k"), "refused");
	}
}

/* Host and path in a bucket of somebody else. */
static const char *
foreign_at(const char *endpoint, const char *region, const char *bucket, const char *then)
{
	static struct buf out;
	struct err e = ERR_NONE;
	struct s3_place p;

	buf_release(&out);
	buf_init(&out, 8192);
	if (s3_place_init_foreign(&p, endpoint, region, bucket, &e) != 0) {
		CHECK(e.text[0] != '\0');
		return "refused";
	}
	if (then != NULL)
		s3_place_move(&p, then);
	s3_place_host(&out, &p);
	CHECK_INT(s3_place_path(&out, &p, "k", &e), 0);
	(void)buf_join(&out, " ", p.region, NULL);
	s3_place_release(&p);
	return buf_str(&out);
}

static void
a_bucket_of_others_is_where_amazons_tools_would_look(void)
{
	CHECK_STR(foreign_at(NULL, NULL, "eodata", NULL), "eodata.s3.us-east-1.amazonaws.com/k us-east-1");
	CHECK_STR(foreign_at(NULL, "eu-central-1", "eodata", NULL), "eodata.s3.eu-central-1.amazonaws.com/k eu-central-1");
	CHECK_STR(foreign_at(NULL, "cn-north-1", "eodata", NULL), "eodata.s3.cn-north-1.amazonaws.com.cn/k cn-north-1");
	CHECK_STR(foreign_at(NULL, NULL, "eo.data", NULL), "s3.us-east-1.amazonaws.com/eo.data/k us-east-1");
	CHECK_STR(foreign_at(NULL, NULL, "EO_Data", NULL), "s3.us-east-1.amazonaws.com/EO_Data/k us-east-1");
	CHECK_STR(foreign_at("https://s3.example.org/", NULL, "DIAS", NULL), "s3.example.org/DIAS/k us-east-1");
	CHECK_STR(foreign_at("http://127.0.0.1:7480", "x", "a", NULL), "127.0.0.1:7480/a/k x");
}

static void
a_bucket_of_others_has_a_name_at_least(void)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a b", "a%2fb", "a\tb", "a@b", "\xc3\xa9" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_STR(foreign_at(NULL, NULL, bad[i], NULL), "refused");
		CHECK_STR(foreign_at("https://s3.example.org", NULL, bad[i], NULL), "refused");
	}
	CHECK_STR(foreign_at("https://s3.example.org/base", NULL, "eodata", NULL), "refused");
	CHECK_STR(foreign_at("s3.example.org", NULL, "eodata", NULL), "refused");
	CHECK_STR(foreign_at(NULL, "", "eodata", NULL), "refused");
	CHECK_STR(foreign_at(NULL, "evil.example.org/", "eodata", NULL), "refused");
}

static void
where_a_host_has_its_region_it_moves_with_it(void)
{
	CHECK_STR(foreign_at(NULL, NULL, "eodata", "us-west-2"), "eodata.s3.us-west-2.amazonaws.com/k us-west-2");
	CHECK_STR(foreign_at("https://s3.eu-1.example.org", "eu-1", "eodata", "eu-2"), "s3.eu-2.example.org/eodata/k eu-2");
	CHECK_STR(foreign_at("https://s3.example.org", NULL, "eodata", "eu-2"), "s3.example.org/eodata/k eu-2");
	CHECK_STR(foreign_at("https://eu-1.example.org", "eu-1", "eodata", "eu-2"), "eu-1.example.org/eodata/k eu-2");
	CHECK_STR(foreign_at("https://s3.eu-12.example.org", "eu-1", "eodata", "eu-2"), "s3.eu-12.example.org/eodata/k eu-2");
}

static void
a_virtual_host_begins_with_the_bucket(void)
{
	struct s3_place_words w = { .endpoint = "https://s3.example.org:8443", .bucket = "eodata", .prefix = "p",
		.addressing = "virtual" };

	CHECK_STR(at(w, "a/b"), "eodata.s3.example.org:8443/p/a/b");
	CHECK_STR(at(w, NULL), "eodata.s3.example.org:8443/");
	w.bucket = "eo.data";		/* no certificate for *.s3.example.org covers it */
	CHECK_STR(at(w, "a"), "refused");
	w.endpoint = "http://s3.example.org";
	CHECK_STR(at(w, "a"), "eo.data.s3.example.org/p/a");
	w.endpoint = "http://127.0.0.1";
	CHECK_STR(at(w, "a"), "refused");
	w.endpoint = "http://[::1]";
	CHECK_STR(at(w, "a"), "refused");
	w = good;
	w.addressing = "dns";
	CHECK_STR(at(w, "a"), "refused");
}

static void
a_prefix_stands_before_every_key(void)
{
	struct s3_place_words w = good;
	char long_one[600];

	CHECK_STR(at(w, NULL), "s3.example.org/eodata");
	w.prefix = "site a/cache";
	CHECK_STR(at(w, "x"), "s3.example.org/eodata/site%20a/cache/x");
	CHECK_STR(at(w, NULL), "s3.example.org/eodata");
	w.prefix = "cache/";
	CHECK_STR(at(w, "x"), "s3.example.org/eodata/cache/x");
	w.prefix = "";
	CHECK_STR(at(w, "x"), "s3.example.org/eodata/x");
	memset(long_one, 'a', sizeof(long_one));
	long_one[sizeof(long_one) - 1] = '\0';
	for (const char *const *bad = (const char *const[]){ "/cache", "/", ".", "..", "a/..", "a/./b", "a\nb", "a\xff" "b",
	    "a\xc2\x85" "b", long_one, NULL }; *bad != NULL; bad++) {
		w.prefix = *bad;
		CHECK_STR(at(w, "x"), "refused");
	}
}

static void
regions_are_one_word(void)
{
	struct s3_place_words w = good;
	struct err e = ERR_NONE;
	struct s3_place p;

	for (const char *const *bad = (const char *const[]){ "", "a/b", "a b", "a\n", "eu-central-1-and-more-than-sixty-four-bytes-"
	    "which-no-region-has-ever", NULL }; *bad != NULL; bad++) {
		w.region = *bad;
		CHECK_STR(at(w, "x"), "refused");
	}
	w.region = NULL;
	CHECK_INT(s3_place_init(&p, &w, &e), 0);
	CHECK_STR(p.region, "us-east-1");
	s3_place_release(&p);
	w.region = "WAW3-1";
	CHECK_INT(s3_place_init(&p, &w, &e), 0);
	CHECK_STR(p.region, "WAW3-1");
	s3_place_release(&p);
	s3_place_release(&p);	/* once more does nothing */
	s3_place_release(NULL);
}

static void
any_bytes_of_a_key_are_encoded_once(void)
{
	CHECK_STR(key_at("a b+c=d&e%f?g#h/i:j@k,l;m!n*o'(p)$q"),
	    "s3.example.org/eodata/a%20b%2Bc%3Dd%26e%25f%3Fg%23h/i%3Aj%40k%2Cl%3Bm%21n%2Ao%27%28p%29%24q");
	CHECK_STR(key_at("%2F%41"), "s3.example.org/eodata/%252F%2541");
	CHECK_STR(key_at("\xc3\xa9\xe1\x88\xb4\xff\x01\n\x7f"), "s3.example.org/eodata/%C3%A9%E1%88%B4%FF%01%0A%7F");
	CHECK_STR(key_at("-._~AZaz09"), "s3.example.org/eodata/-._~AZaz09");
	CHECK_STR(key_at("/lead"), "s3.example.org/eodata//lead");
	CHECK_STR(key_at("a//b/"), "s3.example.org/eodata/a//b/");
	CHECK_STR(key_at("/"), "s3.example.org/eodata//");
	CHECK_STR(key_at("..."), "s3.example.org/eodata/...");
	CHECK_STR(key_at(".a/b."), "s3.example.org/eodata/.a/b.");
	CHECK_STR(key_at("%2E%2E/x"), "s3.example.org/eodata/%252E%252E/x");
}

static void
keys_that_a_transport_would_change_are_refused(void)
{
	for (const char *const *bad = (const char *const[]){ "", ".", "..", "./a", "../a", "a/.", "a/..", "a/../b", "a/./b", "/..",
	    "a//../b", NULL }; *bad != NULL; bad++)
		CHECK_STR(key_at(*bad), "refused");
}

static void
a_key_has_at_most_1024_bytes_with_its_prefix(void)
{
	struct s3_place_words w = good;
	char key[1100];

	memset(key, '%', sizeof(key));
	key[S3_KEY_MAX] = '\0';
	CHECK(strcmp(key_at(key), "refused") != 0);
	w.prefix = "p";
	CHECK_STR(at(w, key), "refused");
	CHECK(strcmp(at(w, key + 2), "refused") != 0);
	key[S3_KEY_MAX] = '%';
	key[S3_KEY_MAX + 1] = '\0';
	CHECK_STR(key_at(key), "refused");
}

static void
a_refusal_leaves_the_output_as_it_was(void)
{
	struct buf out = BUF_INIT(100);
	struct err e = ERR_NONE;
	struct s3_place p = { .port = 7 };
	struct s3_place_words w = good;

	w.bucket = "x";
	CHECK_INT(s3_place_init(&p, &w, &e), -1);
	CHECK(p.port == 7 && p.host == NULL);
	CHECK_INT(s3_place_init(&p, &good, &e), 0);
	CHECK_INT(buf_adds(&out, "before"), 0);
	CHECK_INT(s3_place_path(&out, &p, "a/..", &e), -1);
	CHECK_STR(buf_str(&out), "before");
	CHECK(buf_ok(&out));
	s3_place_release(&p);
	buf_release(&out);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(endpoints_are_taken_apart),
		UNIT(a_default_port_is_not_in_the_host),
		UNIT(what_is_no_endpoint_is_refused),
		UNIT(buckets_have_the_names_that_s3_allows),
		UNIT(a_bucket_of_others_is_where_amazons_tools_would_look),
		UNIT(a_bucket_of_others_has_a_name_at_least),
		UNIT(where_a_host_has_its_region_it_moves_with_it),
		UNIT(a_virtual_host_begins_with_the_bucket),
		UNIT(a_prefix_stands_before_every_key),
		UNIT(regions_are_one_word),
		UNIT(any_bytes_of_a_key_are_encoded_once),
		UNIT(keys_that_a_transport_would_change_are_refused),
		UNIT(a_key_has_at_most_1024_bytes_with_its_prefix),
		UNIT(a_refusal_leaves_the_output_as_it_was),
	};

	return unit_run("s3_place", t, ARRAY_LEN(t));
}
