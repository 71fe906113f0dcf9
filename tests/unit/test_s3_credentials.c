/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/s3/credentials.c
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "s3/credentials.h"

/* "ID SECRET TOKEN" of what came of the n bytes, or "refused: " and why. */
static const char *
parsed_bytes(const char *text, size_t n, const char *profile)
{
	static char ret[10000];
	struct s3_credentials c = { NULL, NULL, NULL };
	struct err e = ERR_NONE;

	if (s3_credentials_parse(&c, text, n, profile, &e) != 0) {
		CHECK(c.id == NULL && c.secret == NULL && c.token == NULL);
		(void)snprintf(ret, sizeof(ret), "refused: %s", e.text);
	} else {
		(void)snprintf(ret, sizeof(ret), "%s %s %s", c.id, c.secret, c.token == NULL ? "-" : c.token);
	}
	s3_credentials_release(&c);
	CHECK(c.id == NULL && c.secret == NULL && c.token == NULL);
	return ret;
}

static const char *
parsed(const char *text)
{
	return parsed_bytes(text, strlen(text), NULL);
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

#define GOOD	"[default]\naws_access_key_id = ID\naws_secret_access_key = S/+=\n"

static void
a_profile_is_chosen_by_name(void)
{
	static const char text[] = GOOD "[site a]\naws_access_key_id=ID2\naws_secret_access_key=S2\naws_session_token=T2\n"
	    "[Default]\naws_access_key_id=ID3\naws_secret_access_key=S3\n";

	CHECK_STR(parsed(text), "ID S/+= -");
	CHECK_STR(parsed_bytes(text, strlen(text), "default"), "ID S/+= -");
	CHECK_STR(parsed_bytes(text, strlen(text), "site a"), "ID2 S2 T2");
	CHECK_STR(parsed_bytes(text, strlen(text), "Default"), "ID3 S3 -");
	CHECK_STR(parsed_bytes(text, strlen(text), "site"), "refused: no profile 'site'");
	CHECK_STR(parsed_bytes(text, strlen(text), "x\ny"), "refused: no profile 'x\\x0ay'");
	CHECK_STR(parsed(""), "refused: no profile 'default'");
}

static void
the_format_is_that_of_the_aws_tools(void)
{
	CHECK_STR(parsed("# a comment\n\n ; another\n[ default ] # here\n\taws_access_key_id\t=\tID  # mine\n"
	    "\tAWS_Secret_Access_Key=S ;x\n\n\taws_session_token =T#1;2\n"), "ID S T#1;2");
	CHECK_STR(parsed("[default]\r\naws_access_key_id=ID\r\naws_secret_access_key=S\r\n"), "ID S -");
	CHECK_STR(parsed("[default]\naws_access_key_id=ID\naws_secret_access_key=S=="), "ID S== -");
	CHECK_STR(parsed("[default]\naws_access_key_id=ID\naws_secret_access_key=S\naws_session_token=\n"), "ID S -");
	CHECK_STR(parsed("[default]\naws_access_key_id=ID\naws_secret_access_key=S\naws_session_token= # none\n"), "ID S -");
}

static void
what_we_do_not_know_is_skipped(void)
{
	CHECK_STR(parsed("[default]\nregion = eu\ns3 =\n  max_concurrent_requests = 20\n  addressing_style = path\n"
	    "aws_access_key_id = ID\nrole_arn = arn:aws:x\naws_secret_access_key = S\nempty =\n"), "ID S -");
	CHECK_STR(parsed("[other]\naws_access_key_id = with space\xc3\xa9\n" GOOD), "ID S/+= -");
}

static void
the_last_of_doubled_members_counts(void)
{
	CHECK_STR(parsed(GOOD "aws_access_key_id = ID2\n"), "ID2 S/+= -");
	CHECK_STR(parsed("[default]\naws_access_key_id = ID\n[x]\naws_access_key_id = ID9\n[default]\naws_secret_access_key = S\n"),
	    "ID S -");
	CHECK_STR(parsed(GOOD "aws_session_token = T\naws_session_token =\n"), "ID S/+= -");
}

static void
half_a_key_is_refused(void)
{
	CHECK_STR(parsed("[default]\naws_access_key_id = ID\n"), "refused: profile 'default' has no aws_secret_access_key");
	CHECK_STR(parsed("[default]\naws_secret_access_key = S\n"), "refused: profile 'default' has no aws_access_key_id");
	CHECK_STR(parsed("[default]\naws_access_key_id =\naws_secret_access_key = S\n"),
	    "refused: profile 'default' has no aws_access_key_id");
	CHECK_STR(parsed("[default]\n"), "refused: profile 'default' has no aws_access_key_id");
}

static void
a_wrong_line_is_told_by_its_number(void)
{
	CHECK_STR(parsed("\n[default\n"), "refused: line 2: a '[' without its ']'");
	CHECK_STR(parsed("[]\n"), "refused: line 1: a profile without a name");
	CHECK_STR(parsed("[a] b\n"), "refused: line 1: something behind a profile's name");
	CHECK_STR(parsed("aws_access_key_id = ID\n"), "refused: line 1: something before the first '[name]'");
	CHECK_STR(parsed("[a]\nNEVER-SHOWN\n"), "refused: line 2: neither '[name]' nor 'name = value'");
	CHECK_STR(parsed("[a]\n\n\n= NEVER-SHOWN\n"), "refused: line 4: a value without a name");
	CHECK_STR(parsed(GOOD "\r\n\x01\n"), "refused: line 5: a control byte");
	CHECK_STR(parsed("[a]\naws_secret_access_key = a\rb\n"), "refused: line 2: a control byte");
	CHECK_STR(parsed("[default]\naws_secret_access_key = NEVER\n  SHOWN\n"),
	    "refused: line 3: aws_secret_access_key goes on in a second line");
	CHECK_STR(parsed_bytes(GOOD "x = \0\n", sizeof(GOOD "x = \0\n") - 1, NULL), "refused: line 4: a control byte");
}

static void
no_error_shows_a_secret(void)
{
	static const char *const bad[] = { "NEVER SHOWN", "NEVER\x7fSHOWN", "NEVER\xc3\xa9SHOWN", "NEVER\tSHOWN", "NEVER\x80SHOWN" };
	char text[200];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)snprintf(text, sizeof(text), "[default]\naws_access_key_id = %s\n", bad[i]);
		CHECK(begins(parsed(text), "refused: line 2: ") && strstr(parsed(text), "NEVER") == NULL);
		(void)snprintf(text, sizeof(text), GOOD "aws_secret_access_key = %s\n", bad[i]);
		CHECK(begins(parsed(text), "refused: line 4: ") && strstr(parsed(text), "NEVER") == NULL);
		(void)snprintf(text, sizeof(text), GOOD "aws_session_token = %s\n", bad[i]);
		CHECK(begins(parsed(text), "refused: line 4: ") && strstr(parsed(text), "NEVER") == NULL);
	}
}

/* A file whose one value has n bytes of 'a'. */
static const char *
parsed_with(const char *name, size_t n)
{
	char *text = mem_alloc(n + 200), *at = text;
	const char *ret;

	at += snprintf(at, 200, GOOD "%s = ", name);
	memset(at, 'a', n);
	ret = parsed(text);
	free(text);
	return ret;
}

static void
sizes_are_bounded(void)
{
	CHECK(!begins(parsed_with("aws_access_key_id", S3_ID_MAX), "refused"));
	CHECK(!begins(parsed_with("aws_secret_access_key", S3_SECRET_MAX), "refused"));
	CHECK(!begins(parsed_with("aws_session_token", S3_TOKEN_MAX), "refused"));
	CHECK_STR(parsed_with("aws_access_key_id", S3_ID_MAX + 1), "refused: line 4: aws_access_key_id is longer than 128 bytes");
	CHECK_STR(parsed_with("aws_secret_access_key", S3_SECRET_MAX + 1),
	    "refused: line 4: aws_secret_access_key is longer than 1024 bytes");
	CHECK_STR(parsed_with("aws_session_token", S3_TOKEN_MAX + 1),
	    "refused: line 4: aws_session_token is longer than 8192 bytes");
	CHECK(!begins(parsed_with("#", S3_CREDENTIALS_FILE_MAX - strlen(GOOD "# = ")), "refused"));
	CHECK_STR(parsed_with("#", S3_CREDENTIALS_FILE_MAX), "refused: longer than 65536 bytes");
}

/* --- the environment ---------------------------------------------------------- */

static const char *
from_environment(const char *id, const char *secret, const char *token)
{
	static const char *const name[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN" };
	const char *value[] = { id, secret, token };
	static char ret[1000];
	struct s3_credentials c = { NULL, NULL, NULL };
	struct err e = ERR_NONE;

	for (size_t i = 0; i < ARRAY_LEN(name); i++)
		MUST((value[i] == NULL ? unsetenv(name[i]) : setenv(name[i], value[i], 1)) == 0);
	if (s3_credentials_environment(&c, &e) != 0)
		(void)snprintf(ret, sizeof(ret), "refused: %s", e.text);
	else
		(void)snprintf(ret, sizeof(ret), "%s %s %s", c.id, c.secret, c.token == NULL ? "-" : c.token);
	s3_credentials_release(&c);
	return ret;
}

static void
the_usual_environment_is_read(void)
{
	CHECK_STR(from_environment("ID", "S", NULL), "ID S -");
	CHECK_STR(from_environment("ID", "S", ""), "ID S -");
	CHECK_STR(from_environment("ID", "S", "T"), "ID S T");
	CHECK_STR(from_environment(NULL, "S", NULL), "refused: no AWS_ACCESS_KEY_ID in the environment");
	CHECK_STR(from_environment("ID", NULL, "T"), "refused: no AWS_SECRET_ACCESS_KEY in the environment");
	CHECK_STR(from_environment("", "S", NULL), "refused: no AWS_ACCESS_KEY_ID in the environment");
	CHECK_STR(from_environment("ID", "NEVER SHOWN", NULL),
	    "refused: AWS_SECRET_ACCESS_KEY holds a space or another byte that is not printable ASCII");
	CHECK_STR(from_environment("ID", "S", "NEVER\nSHOWN"),
	    "refused: AWS_SESSION_TOKEN holds a space or another byte that is not printable ASCII");
	CHECK_STR(from_environment(NULL, NULL, NULL), "refused: no AWS_ACCESS_KEY_ID in the environment");
}

/* --- a file that changes -------------------------------------------------------- */

static char dir[] = "/tmp/s3-credentials.XXXXXX";
static char path[100];

static void
write_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd != -1 && fd_write_all(fd, text, strlen(text)) == 0);
	fd_close(&fd);
}

/* As editors and secret managers do it. */
static void
replace_file(const char *text)
{
	char was[sizeof(path) + 8];

	(void)snprintf(was, sizeof(was), "%s.old", path);
	MUST(rename(path, was) == 0);
	write_file(text);
	MUST(unlink(was) == 0);
}

static void
make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/s3-credentials.XXXXXX");
	MUST(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/credentials", dir);
	clock_shift_ms(3600 * 1000);	/* so that no file is too young */
}

static void
remove_dir(void)
{
	clock_shift_ms(0);
	(void)unlink(path);	/* a test may have left none */
	MUST(rmdir(dir) == 0);
}

static const char *
id_of(const struct s3_credentials_file *f)
{
	const struct s3_credentials *c = s3_credentials_file_get(f);

	return c == NULL ? NULL : c->id;
}

#define FILE_OF(id)	"[default]\naws_access_key_id = " id "\naws_secret_access_key = S\n"

static void
a_file_that_changed_is_read_again(void)
{
	struct s3_credentials_file *f;
	struct err e = ERR_NONE;

	make_dir();
	write_file(FILE_OF("ONE"));
	f = s3_credentials_file_new(path, NULL);
	CHECK_STR(id_of(f), NULL);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	CHECK_STR(id_of(f), "ONE");
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	replace_file(FILE_OF("TWO"));
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	CHECK_STR(id_of(f), "TWO");
	write_file(FILE_OF("THREE"));		/* the same inode, another size */
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	CHECK_STR(id_of(f), "THREE");
	replace_file("# the same\n" FILE_OF("THREE"));
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	s3_credentials_file_free(f);
	s3_credentials_file_free(NULL);
	remove_dir();
}

/* How often the file was opened since the last call. */
static size_t
count_opens(int watch)
{
	char events[4096] __attribute__((aligned(8)));
	const struct inotify_event *ev;
	ssize_t n = read(watch, events, sizeof(events));
	size_t ret = 0;

	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*ev) + ev->len)) {
		ev = (const struct inotify_event *)(const void *)(events + at);
		ret += (ev->mask & IN_OPEN) != 0;
	}
	return ret;
}

static void
only_a_young_file_is_opened_again(void)
{
	struct s3_credentials_file *f;
	struct err e = ERR_NONE;
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	make_dir();
	clock_shift_ms(0);
	clock_shift_ms(-1000);	/* so that the time that this takes does not matter */
	write_file(FILE_OF("ONE"));
	MUST(watch != -1 && inotify_add_watch(watch, path, IN_OPEN) != -1);
	f = s3_credentials_file_new(path, NULL);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	CHECK_INT(count_opens(watch), 1);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	CHECK_INT(count_opens(watch), 1);
	clock_shift_ms(3600 * 1000);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	CHECK_INT(count_opens(watch), 1);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	CHECK_INT(count_opens(watch), 0);
	s3_credentials_file_free(f);
	fd_close(&watch);
	remove_dir();
}

/* Two changes within one tick of the file system's clock (new kernels have none to speak of), of the same size. */
static void
a_change_in_the_same_instant_is_seen(void)
{
	struct s3_credentials_file *f;
	struct err e = ERR_NONE;

	make_dir();
	clock_shift_ms(0);
	f = s3_credentials_file_new(path, NULL);
	for (int i = 0; i < 50; i++) {
		write_file(i % 2 == 0 ? FILE_OF("ONE") : FILE_OF("TWO"));
		CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
		CHECK_STR(id_of(f), i % 2 == 0 ? "ONE" : "TWO");
	}
	s3_credentials_file_free(f);
	remove_dir();
}

static void
the_old_ones_stay_while_the_file_is_broken(void)
{
	struct s3_credentials_file *f;
	struct err e = ERR_NONE;

	make_dir();
	write_file(FILE_OF("ONE"));
	f = s3_credentials_file_new(path, NULL);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	replace_file("[default]\naws_access_key_id = TWO\n");
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	CHECK(strstr(e.text, path) != NULL && strstr(e.text, "has no aws_secret_access_key") != NULL);
	CHECK_STR(id_of(f), "ONE");
	e.text[0] = '\0';
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);	/* it was told */
	CHECK_STR(e.text, "");
	CHECK_STR(id_of(f), "ONE");
	replace_file("nonsense");
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	MUST(unlink(path) == 0);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	CHECK_INT(e.sys, ENOENT);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	CHECK_STR(id_of(f), "ONE");
	write_file(FILE_OF("ONE"));
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	replace_file("");
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	replace_file(FILE_OF("TWO"));
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	CHECK_STR(id_of(f), "TWO");
	s3_credentials_file_free(f);
	remove_dir();
}

static void
what_is_no_readable_file_is_told_once(void)
{
	struct s3_credentials_file *f;
	struct err e = ERR_NONE;

	make_dir();
	f = s3_credentials_file_new(path, "x");
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	CHECK(begins(e.text, "cannot open '"));
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_SAME);
	CHECK(s3_credentials_file_get(f) == NULL);
	MUST(mkfifo(path, 0600) == 0);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);	/* and it does not wait for a writer */
	CHECK(strstr(e.text, "is not a file") != NULL);
	MUST(unlink(path) == 0 && mkdir(path, 0700) == 0);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	CHECK(strstr(e.text, "is not a file") != NULL);
	MUST(rmdir(path) == 0);
	write_file(FILE_OF("ONE"));
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	CHECK(strstr(e.text, "no profile 'x'") != NULL);
	s3_credentials_file_free(f);
	remove_dir();
}

static void
a_file_that_others_may_read_is_refused(void)
{
	struct s3_credentials_file *f;
	struct err e = ERR_NONE;

	make_dir();
	write_file(FILE_OF("ONE"));
	f = s3_credentials_file_new(path, NULL);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	replace_file(FILE_OF("TWO"));
	for (size_t i = 0; i < 3; i++) {
		MUST(chmod(path, (mode_t[]){ 0644, 0660, 0601 }[i]) == 0);
		CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
		CHECK(strstr(e.text, "chmod 640") != NULL);
		CHECK_STR(id_of(f), "ONE");
	}
	MUST(chmod(path, 0640) == 0);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	CHECK_STR(id_of(f), "TWO");
	s3_credentials_file_free(f);
	remove_dir();
}

static void
a_file_that_is_too_large_is_refused(void)
{
	struct s3_credentials_file *f;
	char *text = mem_alloc(S3_CREDENTIALS_FILE_MAX + 2);
	struct err e = ERR_NONE;

	make_dir();
	memset(text, '#', S3_CREDENTIALS_FILE_MAX + 1);
	write_file(text);
	f = s3_credentials_file_new(path, NULL);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_BROKEN);
	CHECK(strstr(e.text, "longer than 65536 bytes") != NULL);
	memcpy(text, FILE_OF("ONE"), strlen(FILE_OF("ONE")));
	text[S3_CREDENTIALS_FILE_MAX] = '\0';
	replace_file(text);
	CHECK_INT(s3_credentials_file_reload(f, &e), S3_RELOAD_NEW);
	s3_credentials_file_free(f);
	free(text);
	remove_dir();
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(a_profile_is_chosen_by_name),
		UNIT(the_format_is_that_of_the_aws_tools),
		UNIT(what_we_do_not_know_is_skipped),
		UNIT(the_last_of_doubled_members_counts),
		UNIT(half_a_key_is_refused),
		UNIT(a_wrong_line_is_told_by_its_number),
		UNIT(no_error_shows_a_secret),
		UNIT(sizes_are_bounded),
		UNIT(the_usual_environment_is_read),
		UNIT(a_file_that_changed_is_read_again),
		UNIT(only_a_young_file_is_opened_again),
		UNIT(a_change_in_the_same_instant_is_seen),
		UNIT(the_old_ones_stay_while_the_file_is_broken),
		UNIT(what_is_no_readable_file_is_told_once),
		UNIT(a_file_that_others_may_read_is_refused),
		UNIT(a_file_that_is_too_large_is_refused),
	};

	return unit_run("s3_credentials", t, ARRAY_LEN(t));
}
