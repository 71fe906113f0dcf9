/* SPDX-License-Identifier: Apache-2.0
 *
 * F9, memory (see torture.h): places, credentials and signatures of lib/s3.
 */
#include "torture.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "s3/sign.h"

static const char file_text[] = "[default]\naws_access_key_id = ID\naws_secret_access_key = SECRET\naws_session_token = TOKEN\n";
static const struct s3_place_words words = { .endpoint = "https://s3.example.org:8443", .bucket = "eodata", .prefix = "p" };
static struct s3_place place;
static struct s3_credentials credentials;
static char wanted[2000];

static bool
is_right(const struct s3_credentials *c)
{
	return strcmp(c->id, "ID") == 0 && strcmp(c->secret, "SECRET") == 0 && c->token != NULL && strcmp(c->token, "TOKEN") == 0;
}

static int
take_place(void)
{
	struct err e = ERR_NONE;
	struct s3_place p;

	if (s3_place_init(&p, &words, &e) != 0)
		return WRONG;	/* there is nothing wrong with it */
	return strcmp(p.host, "s3.example.org") == 0 && strcmp(p.prefix, "p/") == 0 && strcmp(p.bucket, "eodata") == 0 ?
	    WHOLE : WRONG;
}

static int
take_foreign_place(void)
{
	struct err e = ERR_NONE;
	struct buf out = BUF_INIT(S3_URL_MAX);
	struct s3_place p;
	bool right;

	if (s3_place_init_foreign(&p, NULL, NULL, "eodata", &e) != 0)
		return WRONG;
	s3_place_move(&p, "eu-west-3");
	if (s3_public_url(&out, &p, "k", &e) != 0)
		return REFUSED;
	right = strcmp(buf_str(&out), "https://eodata.s3.eu-west-3.amazonaws.com/k") == 0;
	return right ? WHOLE : WRONG;
}

static int
parse_credentials(void)
{
	struct s3_credentials c;
	struct err e = ERR_NONE;

	return s3_credentials_parse(&c, file_text, strlen(file_text), NULL, &e) == 0 && is_right(&c) ? WHOLE : WRONG;
}

static char path[] = "/tmp/alloc-s3.XXXXXX";

static int
read_credentials(void)
{
	struct s3_credentials_file *f = s3_credentials_file_new(path, NULL);
	struct err e = ERR_NONE;

	return s3_credentials_file_reload(f, &e) == S3_RELOAD_NEW && is_right(s3_credentials_file_get(f)) ? WHOLE : WRONG;
}

/* The key is made, and then used again. */
static int
presign_twice(void)
{
	static const struct s3_pair query[] = { { "partNumber", "1" }, { "uploadId", "x" } };
	static const struct s3_pair headers[] = { { "x-amz-meta-eodata-etag", "\"e\"" } };
	struct s3_request r = { .method = "PUT", .key = "a b", .query = query, .nquery = ARRAY_LEN(query), .headers = headers,
		.nheaders = ARRAY_LEN(headers), .life_s = 60 };
	struct s3_signer *s = s3_signer_new();
	struct err e = ERR_NONE;

	for (int i = 0; i < 2; i++) {
		struct buf out = BUF_INIT(S3_URL_MAX);

		if (s3_presign(&out, s, &place, &credentials, &r, 1369353600, &e) != 0)
			return REFUSED;
		if (wanted[0] == '\0')
			(void)snprintf(wanted, sizeof(wanted), "%s", buf_str(&out));
		if (strcmp(buf_str(&out), wanted) != 0)
			return WRONG;
		buf_release(&out);
	}
	s3_signer_free(s);
	return WHOLE;
}

static void
f9_a_place_is_whole_or_none(void)
{
	torture("s3_place_init", take_place);
	torture("s3_place_init_foreign", take_foreign_place);
}

static void
f9_credentials_are_whole_or_none(void)
{
	torture("s3_credentials_parse", parse_credentials);
	torture("s3_credentials_file_reload", read_credentials);
}

static void
f9_a_signature_is_right_or_none(void)
{
	torture("s3_presign", presign_twice);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(f9_a_place_is_whole_or_none),
		UNIT(f9_credentials_are_whole_or_none),
		UNIT(f9_a_signature_is_right_or_none),
	};
	struct err e = ERR_NONE;
	int fd = mkstemp(path), status;

	MUST(fd != -1 && fd_write_all(fd, file_text, strlen(file_text)) == 0);
	fd_close(&fd);
	MUST(s3_place_init(&place, &words, &e) == 0);
	MUST(s3_credentials_parse(&credentials, file_text, strlen(file_text), NULL, &e) == 0);
	MUST(presign_twice() == WHOLE);	/* what is wanted; and OpenSSL makes itself ready once */
	status = unit_run("alloc_s3", t, ARRAY_LEN(t));
	s3_place_release(&place);
	s3_credentials_release(&credentials);
	(void)unlink(path);	/* a test's own */
	return status;
}
