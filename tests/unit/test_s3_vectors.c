/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/s3/sigv4.c on Amazon's own vectors: the suite of the AWS CRT (each case
 * signed in headers and in the query), botocore's copy of the older one
 * (headers), and the examples of the S3 manual.  They are used in place, in
 * ../shared/data beside the checkout or where EODATA_TEST_SIGV4 says; without
 * them this is skipped.
 *
 * What belongs to HTTP and not to signing is done here: folded lines, and a
 * header that comes more than once (we send none twice).  The product signs in
 * the query alone; the vectors for headers run over the same steps.
 *
 * Not run: the cases that want a path normalised ("/./", "//", "/a/.."). S3
 * normalises nothing, "a//b" is another object than "a/b".  Of the suite that
 * has both forms, the other one is run.
 */
#include "unit.h"

#include <glob.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/fd.h"
#include "base/text.h"
#include "s3/sigv4.h"

enum { FILE_MAX = 1 << 16, PAIRS_MAX = 16, OWNED_MAX = 8, SKIPPED = 77 };

#define ID	"AKIDEXAMPLE"
#define SECRET	"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
static const int64_t suite_time_s = 1440938160;		/* 2015-08-30T12:36:00Z */
static const int64_t manual_time_s = 1369353600;	/* 2013-05-24T00:00:00Z */

static const char *data_dir;

struct vector {
	char *text;			/* the pointers below lead into it */
	const char *method, *body;
	char *path;
	struct s3_pair query[PAIRS_MAX], headers[PAIRS_MAX];
	size_t nquery, nheaders;
	char *owned[OWNED_MAX];
	size_t nowned;
};

/* The n-th file of a pattern below data_dir; NULL behind the last. */
static char *
nth_file(const char *pattern, size_t n)
{
	char *whole = mem_printf("%s/%s", data_dir, pattern), *ret = NULL;
	glob_t g;

	if (glob(whole, 0, NULL, &g) == 0) {
		if (n < g.gl_pathc)
			ret = mem_strdup(g.gl_pathv[n]);
		globfree(&g);
	}
	free(whole);
	return ret;
}

static char *
read_text(const char *path)
{
	struct buf b = BUF_INIT(FILE_MAX);
	struct err e = ERR_NONE;

	if (fd_read_file(path, &b, &e) != 0)
		fprintf(stderr, "%s\n", e.text);
	MUST(e.text[0] == '\0');
	return buf_take(&b);
}

/* Another file of the same case: its name takes the place of the last part, or of the part behind the last dot. */
static char *
read_beside(const char *path, char from, const char *name)
{
	char *other = mem_printf("%.*s%s", (int)(strrchr(path, from) + 1 - path), path, name), *text = read_text(other);

	free(other);
	return text;
}

static char *
decode(char *s)
{
	char *to = s;

	for (const char *from = s; *from != '\0'; to++) {
		if (*from == '%') {
			*to = (char)(text_hex_value(from[1]) << 4 | text_hex_value(from[2]));
			from += 3;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
	return s;
}

static void
take_query(struct vector *v, char *query)
{
	char *member, *value;

	while ((member = strsep(&query, "&")) != NULL) {
		if (member[0] == '\0')
			continue;
		value = strchr(member, '=');
		MUST(value != NULL && v->nquery < PAIRS_MAX);
		*value = '\0';
		v->query[v->nquery++] = (struct s3_pair){ decode(member), decode(value + 1) };
	}
}

/* A header that is there already gets the value behind a comma (RFC 9110 5.3). */
static void
add_header(struct vector *v, const char *name, const char *value)
{
	for (size_t i = 0; i < v->nheaders; i++) {
		if (strcasecmp(v->headers[i].name, name) == 0) {
			MUST(v->nowned < OWNED_MAX);
			v->owned[v->nowned] = mem_printf("%s,%s", v->headers[i].value, value);
			v->headers[i].value = v->owned[v->nowned++];
			return;
		}
	}
	MUST(v->nheaders < PAIRS_MAX);
	v->headers[v->nheaders++] = (struct s3_pair){ name, value };
}

static void
vector_read(struct vector *v, const char *path)
{
	char *at, *line, *end;

	*v = (struct vector){ .text = read_text(path), .body = "" };
	for (at = v->text; (at = strstr(at, "\n ")) != NULL; at++)	/* folded */
		*at = ' ';
	at = v->text;
	line = strsep(&at, "\n");
	v->method = strsep(&line, " ");
	end = strstr(line, " HTTP/1.1");
	MUST(end != NULL);
	*end = '\0';
	v->path = strsep(&line, "?");
	take_query(v, line);
	while ((line = strsep(&at, "\n")) != NULL && line[0] != '\0') {
		end = strchr(line, ':');
		MUST(end != NULL);
		*end = '\0';
		if (strcasecmp(line, "Authorization") != 0)
			add_header(v, line, end + 1);
	}
	if (at != NULL)
		v->body = at;
}

static void
vector_free(struct vector *v)
{
	for (size_t i = 0; i < v->nowned; i++)
		free(v->owned[i]);
	free(v->text);
}

/* Does what is wanted differ from what S3 would make of it? */
static bool
is_normalised(const char *path, const char *canonical)
{
	size_t n = strcspn(canonical, "\n") + 1;	/* the second line is the path */

	return (strstr(path, "//") != NULL || strstr(path, "/.") != NULL) && strlen(path) != strcspn(canonical + n, "\n");
}

static void
encode_path(struct buf *out, const char *path)
{
	for (; *path != '\0'; path++) {
		if (*path == '/')
			(void)buf_addc(out, '/');
		else
			text_percent(out, path, 1);
	}
}

static struct sigv4_request
request_of(const struct vector *v, const struct buf *path, const char *payload)
{
	return (struct sigv4_request){ .method = v->method, .path = buf_str(path), .query = v->query, .nquery = v->nquery,
		.headers = v->headers, .nheaders = v->nheaders, .payload = payload, .region = "us-east-1",
		.service = "service", .life_s = 3600 };
}

/* Signed in headers: canonical and string_to_sign may be NULL. */
static void
check_steps(const struct vector *v, const struct sigv4_request *r, const struct s3_credentials *c, int64_t now_s,
    const char *canonical, const char *string_to_sign, const char *signature)
{
	struct buf lines = BUF_INIT(FILE_MAX), names = BUF_INIT(FILE_MAX), query = BUF_INIT(FILE_MAX);
	struct buf got = BUF_INIT(FILE_MAX), text = BUF_INIT(FILE_MAX), hex = BUF_INIT(100);
	struct s3_signer signer = { .key = NULL };
	struct s3_pair pairs[PAIRS_MAX];
	struct err e = ERR_NONE;
	char date[SIGV4_DATE_MAX];

	memcpy(pairs, v->query, sizeof(pairs));
	CHECK_INT(sigv4_headers(&lines, &names, r->headers, r->nheaders, &e), 0);
	sigv4_query(&query, pairs, r->nquery);
	sigv4_canonical(&got, r, buf_str(&query), buf_str(&lines), buf_str(&names));
	if (canonical != NULL)
		CHECK_STR(buf_str(&got), canonical);
	CHECK_INT(sigv4_date(date, now_s, &e), 0);
	CHECK_INT(sigv4_scope(&signer, c, date, r, &e), 0);
	sigv4_string_to_sign(&text, &signer, date, &got);
	if (string_to_sign != NULL)
		CHECK_STR(buf_str(&text), string_to_sign);
	sigv4_signature(&hex, &signer, &text);
	CHECK_STR(buf_str(&hex), signature);
	sigv4_forget(&signer);
	buf_release(&lines);
	buf_release(&names);
	buf_release(&query);
	buf_release(&got);
	buf_release(&text);
	buf_release(&hex);
}

static void
check_presigned(const struct sigv4_request *r, const struct s3_credentials *c, const char *signature)
{
	struct buf got = BUF_INIT(FILE_MAX);
	struct s3_signer signer = { .key = NULL };
	struct err e = ERR_NONE;
	const char *tail;

	CHECK_INT(sigv4_presign(&got, &signer, r, c, suite_time_s, &e), 0);
	tail = strstr(buf_str(&got), "&X-Amz-Signature=");
	CHECK(tail != NULL);
	if (tail != NULL)
		CHECK_STR(tail + strlen("&X-Amz-Signature="), signature);
	sigv4_forget(&signer);
	buf_release(&got);
}

static const char *
text_of(struct json_object *o, const char *name)
{
	struct json_object *member;

	return json_object_object_get_ex(o, name, &member) ? json_object_get_string(member) : NULL;
}

static bool
is_true(struct json_object *o, const char *name)
{
	struct json_object *member;

	return json_object_object_get_ex(o, name, &member) && json_object_get_boolean(member);
}

/* One folder of the CRT's suite.  Gives whether it was run. */
static bool
run_suite_case(const char *path)
{
	char *about_text = read_beside(path, '/', "context.json"), *canonical = read_beside(path, '/',
	    "header-canonical-request.txt"), *to_sign = read_beside(path, '/', "header-string-to-sign.txt");
	char *in_header = read_beside(path, '/', "header-signature.txt"), *in_query = read_beside(path, '/',
	    "query-signature.txt"), payload[65];
	struct json_object *about = json_tokener_parse(about_text), *who;
	struct s3_credentials c = { NULL, NULL, NULL };
	struct buf encoded = BUF_INIT(FILE_MAX);
	struct sigv4_request r;
	struct vector v;
	bool ran;

	vector_read(&v, path);
	MUST(json_object_object_get_ex(about, "credentials", &who));
	c.id = (char *)(uintptr_t)text_of(who, "access_key_id");
	c.secret = (char *)(uintptr_t)text_of(who, "secret_access_key");
	if (!is_true(about, "omit_session_token"))
		c.token = (char *)(uintptr_t)text_of(who, "token");
	CHECK_STR(text_of(about, "timestamp"), "2015-08-30T12:36:00Z");
	digest_sha256_hex(v.body, strlen(v.body), payload);
	encode_path(&encoded, v.path);
	ran = !(is_true(about, "normalize") && is_normalised(v.path, canonical));
	if (ran) {
		r = request_of(&v, &encoded, payload);
		check_presigned(&r, &c, in_query);
		add_header(&v, "X-Amz-Date", "20150830T123600Z");
		if (c.token != NULL)
			add_header(&v, "X-Amz-Security-Token", c.token);
		if (is_true(about, "sign_body"))
			add_header(&v, "X-Amz-Content-Sha256", payload);
		r = request_of(&v, &encoded, payload);
		check_steps(&v, &r, &c, suite_time_s, canonical, to_sign, in_header);
	}
	buf_release(&encoded);
	vector_free(&v);
	json_object_put(about);
	free(about_text);
	free(canonical);
	free(to_sign);
	free(in_header);
	free(in_query);
	return ran;
}

static void
the_suite_of_the_crt(void)
{
	size_t ran = 0, normalised = 0;
	char *path;

	for (size_t i = 0; (path = nth_file("aws-sigv4/tests/aws-signing-test-suite/v4/*/request.txt", i)) != NULL; i++) {
		if (run_suite_case(path))
			ran++;
		else
			normalised++;
		free(path);
	}
	CHECK_INT(ran, 32);
	CHECK_INT(normalised, 6);
}

/* One folder of botocore's suite.  Gives whether it was run. */
static bool
run_botocore_case(const char *path)
{
	char *canonical = read_beside(path, '.', "creq"), *to_sign = read_beside(path, '.', "sts"), payload[65];
	char *authorization = read_beside(path, '.', "authz"), *signature = strstr(authorization, "Signature=");
	/* this one's .req is without the token that is signed */
	char *source = strstr(path, "with-session-token") == NULL ? mem_strdup(path) :
	    mem_printf("%.*s.sreq", (int)(strlen(path) - strlen(".req")), path);
	const struct s3_credentials c = { (char *)(uintptr_t)ID, (char *)(uintptr_t)SECRET, NULL };
	struct buf encoded = BUF_INIT(FILE_MAX);
	struct sigv4_request r;
	struct vector v;
	bool ran;

	vector_read(&v, source);
	digest_sha256_hex(v.body, strlen(v.body), payload);
	encode_path(&encoded, v.path);
	ran = !is_normalised(v.path, canonical);
	if (ran) {
		MUST(signature != NULL);
		r = request_of(&v, &encoded, payload);
		check_steps(&v, &r, &c, suite_time_s, canonical, to_sign, signature + strlen("Signature="));
	}
	buf_release(&encoded);
	vector_free(&v);
	free(canonical);
	free(to_sign);
	free(authorization);
	free(source);
	return ran;
}

static void
the_suite_of_botocore(void)
{
	static const char *const pattern[] = { "aws-sigv4-botocore/tests/unit/auth/aws4_testsuite/*/*.req",
		"aws-sigv4-botocore/tests/unit/auth/aws4_testsuite/*/*/*.req" };
	size_t ran = 0, normalised = 0;
	char *path;

	for (size_t k = 0; k < ARRAY_LEN(pattern); k++) {
		for (size_t i = 0; (path = nth_file(pattern[k], i)) != NULL; i++) {
			if (run_botocore_case(path))
				ran++;
			else
				normalised++;
			free(path);
		}
	}
	CHECK_INT(ran, 28);
	CHECK_INT(normalised, 6);
}

static void
run_manual_case(struct json_object *about, const struct s3_credentials *c)
{
	struct vector v = { .path = decode(mem_strdup(text_of(about, "path"))), .method = text_of(about, "method") };
	char *query = mem_strdup(text_of(about, "query"));
	struct buf encoded = BUF_INIT(FILE_MAX);
	struct json_object *headers;
	struct sigv4_request r;

	take_query(&v, query);
	MUST(json_object_object_get_ex(about, "headers", &headers));
	json_object_object_foreach(headers, name, value)
		add_header(&v, name, json_object_get_string(value));
	encode_path(&encoded, v.path);
	r = request_of(&v, &encoded, text_of(about, "payload_hash"));
	r.service = "s3";
	check_steps(&v, &r, c, manual_time_s, NULL, NULL, text_of(about, "signature"));
	buf_release(&encoded);
	free(v.path);
	free(query);
}

static void
the_examples_of_the_s3_manual(void)
{
	char *path = nth_file("aws-sigv4-s3-docs/vectors.json", 0), *text = read_text(path);
	struct json_object *all = json_tokener_parse(text), *cases;
	struct s3_credentials c = { .id = (char *)(uintptr_t)text_of(all, "access_key"),
		.secret = (char *)(uintptr_t)text_of(all, "secret_key") };

	MUST(json_object_object_get_ex(all, "cases", &cases));
	CHECK_INT(json_object_array_length(cases), 5);
	for (size_t i = 0; i < json_object_array_length(cases); i++)
		run_manual_case(json_object_array_get_idx(cases, i), &c);
	json_object_put(all);
	free(text);
	free(path);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(the_suite_of_the_crt),
		UNIT(the_suite_of_botocore),
		UNIT(the_examples_of_the_s3_manual),
	};
	const char *srcdir = getenv("srcdir"), *where = getenv("EODATA_TEST_SIGV4");
	char *beside = mem_printf("%s/../shared/data", srcdir == NULL ? "." : srcdir), *suite;
	int rc = SKIPPED;

	data_dir = where == NULL ? beside : where;
	suite = mem_printf("%s/aws-sigv4", data_dir);
	if (access(suite, R_OK) == 0)
		rc = unit_run("s3_vectors", t, ARRAY_LEN(t));
	else
		printf("skipped: no vectors of Signature Version 4: '%s' (see EODATA_TEST_SIGV4)\n", suite);
	free(beside);
	free(suite);
	return rc;
}
