/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/s3/sign.c and lib/base/hmac.c.  Amazon's vectors are in
 * test_s3_vectors.c, a real engine in tests/system/test_s3_sign.py.
 */
#include "unit.h"

#include <stdlib.h>

#include "base/hmac.h"
#include "base/text.h"
#include "s3/sign.h"

enum { NOW_S = 1369353600 };	/* 2013-05-24T00:00:00Z, as in the S3 manual */
static char manual_id[] = "AKIAIOSFODNN7EXAMPLE", manual_secret[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
static const struct s3_credentials manual = { manual_id, manual_secret, NULL };

static struct s3_place
place_of(struct s3_place_words w)
{
	struct err e = ERR_NONE;
	struct s3_place p;

	MUST(s3_place_init(&p, &w, &e) == 0);
	return p;
}

static const struct s3_place_words aws = { .endpoint = "https://s3.amazonaws.com", .bucket = "examplebucket",
	.addressing = "virtual" };
static const struct s3_place_words local = { .endpoint = "http://127.0.0.1:7480", .bucket = "eodata" };

/* The URL, or "refused: " and why.  signer NULL: one for this call. */
static const char *
presigned(struct s3_signer *signer, struct s3_place_words w, const struct s3_credentials *c, struct s3_request r, int64_t now_s)
{
	static struct buf out;
	struct s3_signer *own = signer == NULL ? s3_signer_new() : NULL;
	struct s3_place p = place_of(w);
	struct err e = ERR_NONE;

	buf_release(&out);
	buf_init(&out, S3_URL_MAX);
	if (s3_presign(&out, signer == NULL ? own : signer, &p, c, &r, now_s, &e) != 0) {
		CHECK_INT(out.len, 0);
		(void)buf_join(&out, "refused: ", e.text, NULL);
	}
	s3_place_release(&p);
	s3_signer_free(own);
	return buf_str(&out);
}

static struct s3_request
get(const char *key)
{
	return (struct s3_request){ .method = "GET", .key = key, .life_s = 86400 };
}

static bool
is_refused(const char *url)
{
	return strncmp(url, "refused: ", 9) == 0;
}

static bool
holds(const char *url, const char *part)
{
	return strstr(url, part) != NULL;
}

static const char *
signature_of(const char *url)
{
	const char *at = strstr(url, "&X-Amz-Signature=");

	return at == NULL ? "" : at + strlen("&X-Amz-Signature=");
}

/* RFC 4231, cases 1 and 2. */
static void
hmac_gives_what_the_rfc_says(void)
{
	static const struct {
		const char *key, *text, *want;
	} c[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
		    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ "4a656665", "what do ya want for nothing?",
		    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
	};

	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		struct buf hex = BUF_INIT(64);
		uint8_t key[64], raw[HMAC_SIZE];
		struct hmac *h;

		MUST(text_unhex(c[i].key, strlen(c[i].key), key, strlen(c[i].key) / 2) == 0);
		h = hmac_new(key, strlen(c[i].key) / 2);
		memset(key, 0, sizeof(key));	/* it is not needed any more */
		for (int again = 0; again < 3; again++) {
			buf_clear(&hex);
			hmac_sum(h, c[i].text, strlen(c[i].text), raw);
			text_hex(&hex, raw, sizeof(raw));
			CHECK_STR(buf_str(&hex), c[i].want);
		}
		hmac_free(h);
		buf_release(&hex);
	}
	hmac_free(NULL);
}

static void
the_example_of_the_s3_manual(void)
{
	CHECK_STR(presigned(NULL, aws, &manual, get("test.txt"), NOW_S),
	    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
	    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
	    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
	    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

static void
the_path_is_after_the_style(void)
{
	const char *url = presigned(NULL, local, &manual, get("a b/\xc3\xa9"), NOW_S);

	CHECK(strncmp(url, "http://127.0.0.1:7480/eodata/a%20b/%C3%A9?X-Amz-Algorithm=", 58) == 0);
	url = presigned(NULL, aws, &manual, get("a b/\xc3\xa9"), NOW_S);
	CHECK(strncmp(url, "https://examplebucket.s3.amazonaws.com/a%20b/%C3%A9?X-Amz-Algorithm=", 68) == 0);
	url = presigned(NULL, local, &manual, get(NULL), NOW_S);
	CHECK(strncmp(url, "http://127.0.0.1:7480/eodata?X-Amz-Algorithm=", 45) == 0);
	CHECK(is_refused(presigned(NULL, local, &manual, get("a/../b"), NOW_S)));
	CHECK(is_refused(presigned(NULL, local, &manual, get(""), NOW_S)));
}

/* Everything that goes into a signature changes it. */
static void
nothing_can_be_exchanged(void)
{
	static char other[] = "other";
	struct s3_pair part[] = { { "partNumber", "1" } }, type[] = { { "Content-Type", "image/tiff" } };
	struct s3_credentials c = manual;
	struct s3_place_words w = local;
	struct s3_request r = get("k");
	char seen[16][65];
	size_t n = 0;

#define SEEN()	(void)snprintf(seen[n++], 65, "%s", signature_of(presigned(NULL, w, &c, r, NOW_S + shift)))
	int64_t shift = 0;

	SEEN();
	r.method = "HEAD";
	SEEN();
	r = get("K");
	SEEN();
	r = get("k");
	r.life_s = 86399;
	SEEN();
	r = get("k");
	r.query = part;
	r.nquery = 1;
	SEEN();
	part[0].value = "2";
	SEEN();
	r = get("k");
	r.headers = type;
	r.nheaders = 1;
	SEEN();
	type[0].value = "image/png";
	SEEN();
	r = get("k");
	shift = 1;
	SEEN();
	shift = 86400;
	SEEN();
	shift = 0;
	w.endpoint = "http://127.0.0.1:7481";
	SEEN();
	w = local;
	w.region = "eu-central-1";
	SEEN();
	w = local;
	c.secret = other;
	SEEN();
	c = manual;
	c.token = other;
	SEEN();
	c = manual;
	c.id = other;
	SEEN();
#undef SEEN
	for (size_t i = 0; i < n; i++) {
		CHECK_INT(strlen(seen[i]), 64);
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(seen[i], seen[k]) != 0);
	}
}

static void
a_query_is_sorted_and_encoded(void)
{
	const struct s3_pair q[] = { { "uploadId", "a/b+c=d e" }, { "response-content-disposition", "attachment; filename=\"\xc3\xa9\"" },
		{ "partNumber", "1" }, { "a-b", "2" }, { "a", "z" }, { "a", "b" }, { "uploads", "" }, { "\xc3\xa9", "" } };
	struct s3_request r = get("k");
	const char *url;

	r.query = q;
	r.nquery = ARRAY_LEN(q);
	url = presigned(NULL, local, &manual, r, NOW_S);
	CHECK(holds(url, "?%C3%A9=&X-Amz-Algorithm="));
	CHECK(holds(url, "&X-Amz-SignedHeaders=host&a=b&a=z&a-b=2&partNumber=1&response-content-disposition="
	    "attachment%3B%20filename%3D%22%C3%A9%22&uploadId=a%2Fb%2Bc%3Dd%20e&uploads=&X-Amz-Signature="));
}

static void
the_order_of_what_is_given_does_not_matter(void)
{
	struct s3_pair q[6] = { { "b", "1" }, { "a", "2" }, { "B", "%" }, { "~", "x" }, { "a", "+" }, { "c.d", "" } };
	struct s3_pair h[4] = { { "x-amz-meta-a-b", "1" }, { "X-Amz-Meta-A", "2" }, { "Content-Type", "a/b" }, { "x-amz-acl", "p" } };
	struct s3_request r = { .method = "PUT", .key = "k", .query = q, .nquery = ARRAY_LEN(q), .headers = h,
		.nheaders = ARRAY_LEN(h), .life_s = 1 };
	char *first = mem_strdup(presigned(NULL, local, &manual, r, NOW_S));
	unsigned seed = 1;

	CHECK(holds(first, "SignedHeaders=content-type%3Bhost%3Bx-amz-acl%3Bx-amz-meta-a%3Bx-amz-meta-a-b"));
	for (int i = 0; i < 200; i++) {
		size_t a, b;
		struct s3_pair was;

		seed = seed * 1103515245 + 12345;
		a = (seed >> 8) % ARRAY_LEN(q);
		b = (seed >> 16) % ARRAY_LEN(q);
		was = q[a];
		q[a] = q[b];
		q[b] = was;
		a %= ARRAY_LEN(h);
		b %= ARRAY_LEN(h);
		was = h[a];
		h[a] = h[b];
		h[b] = was;
		CHECK_STR(presigned(NULL, local, &manual, r, NOW_S), first);
	}
	free(first);
}

/* Any key, decoded again as a server does it, is that key. */
static void
any_key_comes_out_as_it_went_in(void)
{
	struct s3_place p = place_of(local);
	struct s3_signer *s = s3_signer_new();
	struct buf out = BUF_INIT(S3_URL_MAX);
	struct err e = ERR_NONE;
	unsigned seed = 7;
	size_t signed_ones = 0;

	for (int i = 0; i < 3000; i++) {
		char key[40], got[200];
		struct s3_request r = get(key);
		size_t n, m = 0;
		const char *at;

		n = 1 + (seed >> 5) % (sizeof(key) - 1);
		for (size_t k = 0; k < n; k++) {
			seed = seed * 1103515245 + 12345;
			key[k] = (seed >> 12) % 3 == 0 ? "/./%+ =&?#"[(seed >> 16) % 10] : (char)(1 + (seed >> 16) % 255);
		}
		key[n] = '\0';
		buf_clear(&out);
		if (s3_presign(&out, s, &p, &manual, &r, NOW_S, &e) != 0)
			continue;	/* a dot segment */
		signed_ones++;
		at = buf_str(&out) + strlen("http://127.0.0.1:7480/eodata/");
		for (; *at != '?'; at++) {
			if (*at == '%') {
				got[m++] = (char)(text_hex_value(at[1]) << 4 | text_hex_value(at[2]));
				at += 2;
			} else {
				CHECK(*at == '/' || text_is_unreserved(*at));
				got[m++] = *at;
			}
		}
		got[m] = '\0';
		CHECK_STR(got, key);
		for (at = buf_str(&out); *at != '\0'; at++)
			CHECK(*at > 0x20 && *at < 0x7f);
	}
	CHECK(signed_ones > 1000);
	s3_place_release(&p);
	s3_signer_free(s);
	buf_release(&out);
}

static void
a_token_is_in_the_query_and_signed(void)
{
	static char token[] = "AQoDYX/+=EXAMPLE==";
	struct s3_credentials c = manual;
	const char *url;

	c.token = token;
	url = presigned(NULL, local, &c, get("k"), NOW_S);
	CHECK(holds(url, "&X-Amz-Security-Token=AQoDYX%2F%2B%3DEXAMPLE%3D%3D&X-Amz-SignedHeaders=host&X-Amz-Signature="));
	CHECK(!holds(presigned(NULL, local, &manual, get("k"), NOW_S), "Security-Token"));
}

static void
the_longest_token_has_room(void)
{
	static char token[S3_TOKEN_MAX + 1];
	struct s3_credentials c = manual;

	memset(token, '/', S3_TOKEN_MAX);
	c.token = token;
	CHECK(!is_refused(presigned(NULL, local, &c, get("k"), NOW_S)));
}

/* A client that is sent there adds no header of its own: it stands in the query, and is signed. */
static void
who_pays_is_in_the_query(void)
{
	static const struct s3_pair pays = { "x-amz-request-payer", "requester" };
	struct s3_request r = get("k");
	char without[S3_URL_MAX];

	(void)snprintf(without, sizeof(without), "%s", signature_of(presigned(NULL, local, &manual, r, NOW_S)));
	r.query = &pays;
	r.nquery = 1;
	CHECK(holds(presigned(NULL, local, &manual, r, NOW_S), "&x-amz-request-payer=requester&X-Amz-Signature="));
	CHECK(strcmp(signature_of(presigned(NULL, local, &manual, r, NOW_S)), without) != 0);
}

static void
what_is_public_needs_no_signature(void)
{
	struct s3_place p = place_of(local);
	struct buf out = BUF_INIT(S3_URL_MAX);
	struct err e = ERR_NONE;

	CHECK_INT(s3_public_url(&out, &p, "a b/\xc3\xa9?#%2f", &e), 0);
	CHECK_STR(buf_str(&out), "http://127.0.0.1:7480/eodata/a%20b/%C3%A9%3F%23%252f");
	buf_clear(&out);
	CHECK_INT(s3_public_url(&out, &p, "a/../b", &e), -1);
	CHECK_INT(out.len, 0);
	CHECK(e.text[0] != '\0');
	buf_release(&out);
	s3_place_release(&p);
}

static void
a_life_is_a_second_to_a_week(void)
{
	struct s3_request r = get("k");

	r.life_s = 1;
	CHECK(holds(presigned(NULL, local, &manual, r, NOW_S), "&X-Amz-Expires=1&"));
	r.life_s = 604800;
	CHECK(holds(presigned(NULL, local, &manual, r, NOW_S), "&X-Amz-Expires=604800&"));
	r.life_s = 0;
	CHECK(is_refused(presigned(NULL, local, &manual, r, NOW_S)));
	r.life_s = 604801;
	CHECK(is_refused(presigned(NULL, local, &manual, r, NOW_S)));
	r.life_s = UINT32_MAX;
	CHECK(is_refused(presigned(NULL, local, &manual, r, NOW_S)));
}

static void
the_clock_is_the_callers(void)
{
	CHECK(holds(presigned(NULL, local, &manual, get("k"), 0), "&X-Amz-Date=19700101T000000Z&"));
	CHECK(holds(presigned(NULL, local, &manual, get("k"), 1709164799), "%2F20240228%2F"));
	CHECK(holds(presigned(NULL, local, &manual, get("k"), 1709164800), "&X-Amz-Date=20240229T000000Z&"));
	CHECK(holds(presigned(NULL, local, &manual, get("k"), 253402300799), "&X-Amz-Date=99991231T235959Z&"));
	CHECK(is_refused(presigned(NULL, local, &manual, get("k"), -1)));
	CHECK(is_refused(presigned(NULL, local, &manual, get("k"), 253402300800)));
	CHECK(is_refused(presigned(NULL, local, &manual, get("k"), INT64_MAX)));
}

static void
headers_that_cannot_be_signed_are_refused(void)
{
	static const struct s3_pair bad[][2] = { { { "x-amz-acl", "a\nb" }, { "x", "" } }, { { "x-amz-acl", "a\rb" }, { "x", "" } },
		{ { "x-amz-acl", "\x7f" }, { "x", "" } }, { { "x-amz-acl", "\t" }, { "x", "" } }, { { "Host", "h" }, { "x", "" } },
		{ { "", "a" }, { "x", "" } }, { { "a b", "a" }, { "x", "" } }, { { "a:b", "a" }, { "x", "" } },
		{ { "a;b", "a" }, { "x", "" } }, { { "x-amz-acl", "a" }, { "X-Amz-Acl", "b" } } };
	struct s3_pair many[S3_PAIRS_MAX + 1];
	char name[S3_PAIRS_MAX + 1][8];
	struct s3_request r = get("k");

	r.nheaders = 2;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		r.headers = bad[i];
		CHECK(is_refused(presigned(NULL, local, &manual, r, NOW_S)));
	}
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		(void)snprintf(name[i], sizeof(name[i]), "x%zu", i);
		many[i] = (struct s3_pair){ name[i], "" };
	}
	r.headers = many;
	r.nheaders = S3_PAIRS_MAX;
	CHECK(!is_refused(presigned(NULL, local, &manual, r, NOW_S)));
	r.nheaders++;
	CHECK(is_refused(presigned(NULL, local, &manual, r, NOW_S)));
}

static void
spaces_of_a_header_do_not_count(void)
{
	struct s3_pair h[] = { { "x-amz-meta-a", "a b c" } };
	struct s3_request r = get("k");
	char *first;

	r.headers = h;
	r.nheaders = 1;
	first = mem_strdup(presigned(NULL, local, &manual, r, NOW_S));
	h[0].value = "  a   b c ";
	CHECK_STR(presigned(NULL, local, &manual, r, NOW_S), first);
	h[0].value = "a bc";
	CHECK(strcmp(presigned(NULL, local, &manual, r, NOW_S), first) != 0);
	free(first);
}

static void
the_signatures_own_members_are_refused(void)
{
	struct s3_pair q[S3_PAIRS_MAX + 1] = { { "", "" } };
	struct s3_request r = get("k");

	r.query = q;
	r.nquery = 1;
	for (const char *const *own = (const char *const[]){ "X-Amz-Algorithm", "X-Amz-Credential", "x-amz-date", "X-AMZ-EXPIRES",
	    "X-Amz-Security-Token", "X-Amz-SignedHeaders", "X-Amz-Signature", NULL }; *own != NULL; own++) {
		q[0] = (struct s3_pair){ *own, "x" };
		CHECK(is_refused(presigned(NULL, local, &manual, r, NOW_S)));
	}
	q[0] = (struct s3_pair){ "x-amz-request-payer", "requester" };
	CHECK(holds(presigned(NULL, local, &manual, r, NOW_S), "&x-amz-request-payer=requester&"));
	for (size_t i = 0; i < ARRAY_LEN(q); i++)
		q[i] = (struct s3_pair){ "a", "b" };
	r.nquery = S3_PAIRS_MAX;
	CHECK(!is_refused(presigned(NULL, local, &manual, r, NOW_S)));
	r.nquery++;
	CHECK(is_refused(presigned(NULL, local, &manual, r, NOW_S)));
}

/* One signer for all gives what a new one for each gives. */
static void
a_kept_key_is_never_anothers(void)
{
	static char secrets[2][8] = { "one", "two" };
	struct s3_signer *s = s3_signer_new();
	unsigned seed = 3;

	for (int i = 0; i < 300; i++) {
		struct s3_credentials c = manual;
		struct s3_place_words w = local;
		int64_t now_s = NOW_S;
		char *kept;

		seed = seed * 1103515245 + 12345;
		c.secret = secrets[(seed >> 16) % 2];
		w.region = (seed >> 18) % 2 == 0 ? "eu-a" : "eu-b";
		now_s += (seed >> 20) % 3 * 43200;	/* the same day, or the next */
		kept = mem_strdup(presigned(s, w, &c, get("k"), now_s));
		CHECK_STR(presigned(NULL, w, &c, get("k"), now_s), kept);
		free(kept);
	}
	s3_signer_free(s);
	s3_signer_free(NULL);
}

static void
no_error_shows_a_secret(void)
{
	static char id[] = "PUBLIC-ID", secret[] = "NEVER-SHOWN", token[] = "NEVER-SHOWN-TOKEN";
	struct s3_credentials c = { id, secret, token };
	struct s3_pair bad[] = { { "x-amz-meta-a", "NEVER-SHOWN\n" } };
	struct s3_request r = get("k");

	r.headers = bad;
	r.nheaders = 1;
	CHECK(!holds(presigned(NULL, local, &c, r, NOW_S), "NEVER-SHOWN"));
	CHECK(!holds(presigned(NULL, local, &c, get(""), NOW_S), "NEVER-SHOWN"));
	CHECK(!holds(presigned(NULL, local, &c, get("k"), -1), "NEVER-SHOWN"));
	c.token = NULL;
	CHECK(!holds(presigned(NULL, local, &c, get("k"), NOW_S), "NEVER-SHOWN"));
}

static void
a_url_without_room_is_an_error(void)
{
	struct s3_place p = place_of(local);
	struct s3_signer *s = s3_signer_new();
	struct s3_request r = get("k");
	struct buf out = BUF_INIT(100);
	struct err e = ERR_NONE;

	CHECK_INT(s3_presign(&out, s, &p, &manual, &r, NOW_S, &e), -1);
	CHECK(!buf_ok(&out));
	CHECK(e.text[0] != '\0');
	buf_release(&out);
	s3_place_release(&p);
	s3_signer_free(s);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(hmac_gives_what_the_rfc_says),
		UNIT(the_example_of_the_s3_manual),
		UNIT(the_path_is_after_the_style),
		UNIT(nothing_can_be_exchanged),
		UNIT(a_query_is_sorted_and_encoded),
		UNIT(the_order_of_what_is_given_does_not_matter),
		UNIT(any_key_comes_out_as_it_went_in),
		UNIT(a_token_is_in_the_query_and_signed),
		UNIT(the_longest_token_has_room),
		UNIT(who_pays_is_in_the_query),
		UNIT(what_is_public_needs_no_signature),
		UNIT(a_life_is_a_second_to_a_week),
		UNIT(the_clock_is_the_callers),
		UNIT(headers_that_cannot_be_signed_are_refused),
		UNIT(spaces_of_a_header_do_not_count),
		UNIT(the_signatures_own_members_are_refused),
		UNIT(a_kept_key_is_never_anothers),
		UNIT(no_error_shows_a_secret),
		UNIT(a_url_without_room_is_an_error),
	};

	return unit_run("s3_sign", t, ARRAY_LEN(t));
}
