/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/s3: memory that goes back to the allocator holds no secret.  The
 * functions below stand in the place of free and realloc: for what we link
 * ourselves by the linker's word, for the libraries below because the program
 * comes before them (see torture.c).
 */
#include "unit.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "s3/sign.h"

#if defined(__SANITIZE_ADDRESS__)
#define CHECKED_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED_BUILD 1
#endif
#endif

#define MARK	"0SECRET/SECRET+SECRET"
static bool watching;
static size_t seen;	/* blocks that were given back with it */

void __wrap_free(void *p);
void *__wrap_realloc(void *p, size_t n);
#ifdef CHECKED_BUILD
void __real_free(void *p);
void *__real_realloc(void *p, size_t n);
#define REAL(f) __real_##f
#else
void __libc_free(void *p);
void *__libc_realloc(void *p, size_t n);
#define REAL(f) __libc_##f
#endif

static void
look(void *p)
{
	if (watching && p != NULL && memmem(p, malloc_usable_size(p), MARK, strlen(MARK)) != NULL)
		seen++;
}

void
__wrap_free(void *p)
{
	look(p);
	REAL(free)(p);
}

void *
__wrap_realloc(void *p, size_t n)
{
	look(p);	/* it may move */
	return REAL(realloc)(p, n);
}

#ifndef CHECKED_BUILD
__attribute__((visibility("default"))) void
free(void *p)
{
	__wrap_free(p);
}

__attribute__((visibility("default"))) void *
realloc(void *p, size_t n)
{
	return __wrap_realloc(p, n);
}
#endif

#define PROFILE(name, more)	"[" name "]\naws_access_key_id = ID\naws_secret_access_key = " MARK "\n" more

static void
the_watch_sees_what_is_not_wiped(void)
{
	seen = 0;
	watching = true;
	free(mem_strdup("of " MARK));
	free(mem_strdup("of another"));
	watching = false;
	CHECK_INT(seen, 1);
}

static void
what_was_parsed_is_wiped(void)
{
	static const char *const text[] = { PROFILE("default", ""), PROFILE("default", "aws_secret_access_key = x\n"),
		PROFILE("default", "nonsense\n"), PROFILE("default", "aws_session_token = a b\n"), PROFILE("other", ""),
		"[default]\naws_secret_access_key = " MARK "\n", "[default]\naws_secret_access_key = " MARK "\x01\n" };
	struct s3_credentials c;
	struct err e = ERR_NONE;

	seen = 0;
	watching = true;
	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		if (s3_credentials_parse(&c, text[i], strlen(text[i]), NULL, &e) == 0)
			s3_credentials_release(&c);
	}
	watching = false;
	CHECK_INT(seen, 0);
}

static void
what_the_environment_held_is_wiped(void)
{
	struct s3_credentials c;
	struct err e = ERR_NONE;

	MUST(setenv("AWS_ACCESS_KEY_ID", "ID", 1) == 0 && setenv("AWS_SECRET_ACCESS_KEY", MARK, 1) == 0);
	seen = 0;
	watching = true;
	CHECK_INT(s3_credentials_environment(&c, &e), 0);
	s3_credentials_release(&c);
	MUST(setenv("AWS_SESSION_TOKEN", "a b", 1) == 0);
	CHECK_INT(s3_credentials_environment(&c, &e), -1);
	watching = false;
	CHECK_INT(seen, 0);
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd != -1 && fd_write_all(fd, text, strlen(text)) == 0);
	fd_close(&fd);
}

static void
what_a_file_held_is_wiped(void)
{
	static const char *const text[] = { PROFILE("default", ""), PROFILE("default", "aws_session_token = T\n"),
		PROFILE("default", "nonsense\n"), PROFILE("default", "# the same, but for this\n") };
	char path[] = "/tmp/s3-wipe.XXXXXX";
	struct s3_credentials_file *f;
	struct err e = ERR_NONE;
	int fd = mkstemp(path);

	MUST(fd != -1);
	fd_close(&fd);
	seen = 0;
	watching = true;
	f = s3_credentials_file_new(path, NULL);
	for (size_t i = 0; i < 2 * ARRAY_LEN(text); i++) {
		write_file(path, text[i % ARRAY_LEN(text)]);
		(void)s3_credentials_file_reload(f, &e);	/* one of them is broken */
		CHECK(s3_credentials_file_get(f) != NULL);
	}
	s3_credentials_file_free(f);
	watching = false;
	CHECK_INT(seen, 0);
	MUST(unlink(path) == 0);
}

static void
what_was_signed_with_is_wiped(void)
{
	static char id[] = "ID", mark[] = MARK, other[] = "other", token[] = "token";
	struct s3_credentials c = { id, mark, token };
	struct s3_request r = { .method = "GET", .key = "k", .life_s = 60 };
	struct s3_place p;
	struct s3_signer *s;
	struct err e = ERR_NONE;

	MUST(s3_place_init(&p, &(struct s3_place_words){ .endpoint = "http://s3", .bucket = "eodata" }, &e) == 0);
	seen = 0;
	watching = true;
	s = s3_signer_new();
	for (int i = 0; i < 6; i++) {
		struct buf out = BUF_INIT(S3_URL_MAX);

		c.secret = i % 3 == 1 ? other : mark;
		CHECK_INT(s3_presign(&out, s, &p, &c, &r, i * 43200, &e), 0);
		buf_release(&out);
	}
	s3_signer_free(s);
	watching = false;
	CHECK_INT(seen, 0);
	s3_place_release(&p);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(the_watch_sees_what_is_not_wiped),
		UNIT(what_was_parsed_is_wiped),
		UNIT(what_the_environment_held_is_wiped),
		UNIT(what_a_file_held_is_wiped),
		UNIT(what_was_signed_with_is_wiped),
	};

	return unit_run("s3_wipe", t, ARRAY_LEN(t));
}
