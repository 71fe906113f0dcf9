/* SPDX-License-Identifier: Apache-2.0
 *
 * Credentials of S3: from a file or from the environment.  Whoever signs.
 */
#include "base/base.h"

#include "s3/credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"

enum {
	NAME_SHOWN_MAX = 100,	/* of a profile, in an error */
	SETTLE_MS = 100,	/* younger than that, a file may change again without another time */
};

static void
secret_free(char **s)
{
	if (*s != NULL)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void
s3_credentials_release(struct s3_credentials *c)
{
	if (c == NULL)
		return;
	secret_free(&c->id);
	secret_free(&c->secret);
	secret_free(&c->token);
}

/* The three members, in the order of struct s3_credentials. */
static const struct {
	const char *in_file, *in_environment;
	size_t max;
} members[] = {
	{ "aws_access_key_id", "AWS_ACCESS_KEY_ID", S3_ID_MAX },
	{ "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", S3_SECRET_MAX },
	{ "aws_session_token", "AWS_SESSION_TOKEN", S3_TOKEN_MAX },
};

static char **
member_of(struct s3_credentials *c, size_t i)
{
	return i == 0 ? &c->id : i == 1 ? &c->secret : &c->token;
}

/* Replaces the member; an empty value leaves none. */
static int
set_member(struct s3_credentials *c, size_t i, const char *v, size_t n, const char *name, struct err *e)
{
	if (n > members[i].max)
		return err_set(e, "%s is longer than %zu bytes", name, members[i].max);
	for (size_t k = 0; k < n; k++) {
		if (v[k] <= 0x20 || v[k] >= 0x7f)
			return err_set(e, "%s holds a space or another byte that is not printable ASCII", name);
	}
	secret_free(member_of(c, i));
	if (n > 0)
		*member_of(c, i) = mem_strndup(v, n);
	return 0;
}

int
s3_credentials_environment(struct s3_credentials *ret, struct err *e)
{
	struct s3_credentials c = { NULL, NULL, NULL };
	const char *v;

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		v = getenv(members[i].in_environment);
		if (v != NULL && set_member(&c, i, v, strlen(v), members[i].in_environment, e) != 0)
			goto fail;
	}
	if (c.id == NULL || c.secret == NULL) {
		err_set(e, "no %s in the environment", members[c.id == NULL ? 0 : 1].in_environment);
		goto fail;
	}
	*ret = c;
	return 0;
fail:
	s3_credentials_release(&c);
	return -1;
}

/* --- the file's format -------------------------------------------------------- */

enum { NO_MEMBER = ARRAY_LEN(members) };

struct reader {
	const char *profile;
	struct s3_credentials got;
	bool in_profile;	/* in any */
	bool ours;		/* in the one that is wanted */
	bool found;
	bool has_member;	/* of the profile that we are in, one was read */
	size_t member;		/* which of ours that was, or NO_MEMBER */
	size_t indent;		/* of its line */
};

struct span {
	const char *s;
	size_t n;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim(struct span t)
{
	for (; t.n > 0 && is_blank(t.s[0]); t.n--)
		t.s++;
	while (t.n > 0 && is_blank(t.s[t.n - 1]))
		t.n--;
	return t;
}

static bool
is_comment(struct span t)
{
	return t.n > 0 && (t.s[0] == '#' || t.s[0] == ';');
}

/* Without a comment: a '#' or ';' behind a space. */
static struct span
without_comment(struct span t)
{
	for (size_t i = 1; i < t.n; i++) {
		if ((t.s[i] == '#' || t.s[i] == ';') && is_blank(t.s[i - 1]))
			t.n = i;
	}
	return trim(t);
}

static bool
equals(struct span t, const char *s)
{
	return t.n == strlen(s) && memcmp(t.s, s, t.n) == 0;
}

static int
read_header(struct reader *r, struct span line, struct err *e)
{
	const char *end = memchr(line.s, ']', line.n);
	struct span name, rest;

	if (end == NULL)
		return err_set(e, "a '[' without its ']'");
	name = trim((struct span){ line.s + 1, (size_t)(end - line.s) - 1 });
	rest = trim((struct span){ end + 1, line.n - (size_t)(end + 1 - line.s) });
	if (name.n == 0)
		return err_set(e, "a profile without a name");
	if (rest.n > 0 && !is_comment(rest))
		return err_set(e, "something behind a profile's name");
	r->in_profile = true;
	r->ours = equals(name, r->profile);
	r->found = r->found || r->ours;
	r->has_member = false;
	return 0;
}

static int
read_member(struct reader *r, struct span line, struct err *e)
{
	const char *sign = memchr(line.s, '=', line.n);
	struct span name, value;

	if (sign == NULL)
		return err_set(e, "neither '[name]' nor 'name = value'");
	name = trim((struct span){ line.s, (size_t)(sign - line.s) });
	value = without_comment((struct span){ sign + 1, line.n - (size_t)(sign + 1 - line.s) });
	if (name.n == 0)
		return err_set(e, "a value without a name");
	r->has_member = true;
	r->member = NO_MEMBER;
	if (!r->ours)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		if (name.n == strlen(members[i].in_file) && strncasecmp(name.s, members[i].in_file, name.n) == 0)
			r->member = i;
	}
	return r->member == NO_MEMBER ? 0 :
	    set_member(&r->got, r->member, value.s, value.n, members[r->member].in_file, e);
}

static int
read_line(struct reader *r, struct span raw, struct err *e)
{
	struct span line = trim(raw);
	size_t indent = (size_t)(line.s - raw.s);

	for (size_t i = 0; i < raw.n; i++) {
		if (((uint8_t)raw.s[i] < 0x20 && raw.s[i] != '\t') || raw.s[i] == 0x7f)
			return err_set(e, "a control byte");
	}
	if (line.n == 0 || is_comment(line))
		return 0;
	if (r->has_member && indent > r->indent) {
		if (r->member != NO_MEMBER)
			return err_set(e, "%s goes on in a second line", members[r->member].in_file);
		return 0;	/* of a member that is not ours */
	}
	if (line.s[0] == '[')
		return read_header(r, line, e);
	if (!r->in_profile)
		return err_set(e, "something before the first '[name]'");
	r->indent = indent;
	return read_member(r, line, e);
}

static int
read_text(struct reader *r, const char *text, size_t n, struct err *e)
{
	struct span line;
	const char *end;

	for (unsigned number = 1; n > 0; number++) {
		end = memchr(text, '\n', n);
		line = (struct span){ text, end == NULL ? n : (size_t)(end - text) };
		text += line.n + (end != NULL);
		n -= line.n + (end != NULL);
		if (line.n > 0 && line.s[line.n - 1] == '\r')
			line.n--;
		if (read_line(r, line, e) != 0) {
			err_prefix(e, "line %u", number);
			return -1;
		}
	}
	return 0;
}

int
s3_credentials_parse(struct s3_credentials *ret, const char *text, size_t n, const char *profile, struct err *e)
{
	struct reader r = { .profile = profile == NULL ? "default" : profile };
	char shown[NAME_SHOWN_MAX];

	if (n > S3_CREDENTIALS_FILE_MAX) {
		err_set(e, "longer than %d bytes", S3_CREDENTIALS_FILE_MAX);
		goto fail;
	}
	if (read_text(&r, text, n, e) != 0)
		goto fail;
	if (!r.found) {
		err_set(e, "no profile '%s'", text_esc_to(shown, sizeof(shown), r.profile));
		goto fail;
	}
	if (r.got.id == NULL || r.got.secret == NULL) {
		err_set(e, "profile '%s' has no %s", text_esc_to(shown, sizeof(shown), r.profile),
		    members[r.got.id == NULL ? 0 : 1].in_file);
		goto fail;
	}
	*ret = r.got;
	return 0;
fail:
	s3_credentials_release(&r.got);
	return -1;
}

/* --- a file that is looked at again --------------------------------------------- */

struct s3_credentials_file {
	char *path, *profile;
	struct s3_credentials now;	/* without an id: none yet */
	struct stat st;			/* as it was when it was read last; zeroed: not there */
	bool settled;			/* it was old enough then not to change without showing it */
	bool broken;			/* ... and could not be used */
};

struct s3_credentials_file *
s3_credentials_file_new(const char *path, const char *profile)
{
	struct s3_credentials_file *f = mem_alloc(sizeof(*f));

	f->path = mem_strdup(path);
	f->profile = mem_strdup(profile);
	return f;
}

void
s3_credentials_file_free(struct s3_credentials_file *f)
{
	if (f == NULL)
		return;
	s3_credentials_release(&f->now);
	free(f->path);
	free(f->profile);
	free(f);
}

const struct s3_credentials *
s3_credentials_file_get(const struct s3_credentials_file *f)
{
	return f->now.id == NULL ? NULL : &f->now;
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

/* The change time, which nobody can set. */
static bool
is_settled(const struct stat *st)
{
	int64_t changed_ms = (int64_t)st->st_ctim.tv_sec * 1000 + st->st_ctim.tv_nsec / 1000000;

	return clock_wall_ms() - changed_ms > SETTLE_MS;
}

/* What is in fd, not through a buffer of somebody's who does not wipe it. */
static int
read_fd(struct s3_credentials *ret, int fd, const char *profile, struct err *e)
{
	char *text = mem_alloc(S3_CREDENTIALS_FILE_MAX + 1);
	size_t n = 0;
	ssize_t got = 1;
	int rc;

	while (got > 0 && n <= S3_CREDENTIALS_FILE_MAX) {
		got = read(fd, text + n, S3_CREDENTIALS_FILE_MAX + 1 - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			n += (size_t)got;
	}
	rc = got < 0 ? err_sys(e, errno, "cannot read") : s3_credentials_parse(ret, text, n, profile, e);
	explicit_bzero(text, n);
	free(text);
	return rc;
}

static int
read_file(struct s3_credentials_file *f, struct s3_credentials *ret, struct err *e)
{
	int fd = fd_open_secret(f->path, e), rc = -1;

	if (fd == -1)
		return -1;
	if (fstat(fd, &f->st) == -1) {
		err_sys(e, errno, "cannot look at '%s'", f->path);
	} else {
		f->settled = is_settled(&f->st);
		rc = read_fd(ret, fd, f->profile, e);
		if (rc != 0)
			err_prefix(e, "'%s'", f->path);
	}
	fd_close(&fd);
	return rc;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

enum s3_reload
s3_credentials_file_reload(struct s3_credentials_file *f, struct err *e)
{
	struct s3_credentials got = { NULL, NULL, NULL };
	struct stat st = { .st_ino = 0 };
	struct err why = ERR_NONE;
	bool unchanged, told;

	(void)stat(f->path, &st);	/* opening it says what is wrong */
	unchanged = same_file(&st, &f->st);
	/* a broken one is read again: what could not be read may be readable now */
	if (unchanged && f->settled && !f->broken)
		return S3_RELOAD_SAME;
	told = unchanged && f->broken;
	f->st = st;
	f->settled = false;
	f->broken = read_file(f, &got, &why) != 0;
	if (f->broken && told)
		return S3_RELOAD_SAME;
	if (f->broken) {
		if (e != NULL)
			*e = why;
		return S3_RELOAD_BROKEN;
	}
	if (same_text(got.id, f->now.id) && same_text(got.secret, f->now.secret) &&
	    same_text(got.token, f->now.token)) {
		s3_credentials_release(&got);
		return S3_RELOAD_SAME;
	}
	s3_credentials_release(&f->now);
	f->now = got;
	return S3_RELOAD_NEW;
}
