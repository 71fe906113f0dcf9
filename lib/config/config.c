/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration as its users see it: load, hand on, look up, end.  The
 * master loads and seals; every other process reads the sealed one.
 */
#include "base/base.h"

#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "config/params.h"

static void
wipe(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
}

static void
release_secret(struct strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		wipe(s->v[i]);
	strs_release(s);
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	params_release(config_params, config_params_n, c);
	release_secret(&c->stac_headers);
	release_secret(&c->s3_memory_secret);
	release_secret(&c->s3_keys);
	wipe(c->text);
	free(c->text);
	free(c);
}

/* The sealed text of c as it is now.  NULL when it is longer than can be. */
static char *
sealed_text(const struct config *c)
{
	struct buf out = BUF_INIT(CONFIG_SEALED_MAX);

	dump_write(c, true, &out);
	if (!buf_ok(&out)) {
		buf_release(&out);
		return NULL;
	}
	return buf_take(&out);
}

struct config *
config_parse(const char *name, const char *text, size_t len, bool read_secrets, struct buf *faults)
{
	struct faults f = { .out = faults, .name = name };
	struct config *c = NULL;

	if (len > CONFIG_TEXT_MAX)
		faults_add(&f, NULL, "longer than %d bytes", CONFIG_TEXT_MAX);
	else
		c = params_parse(text, len, false, &f);
	if (c != NULL && f.n == 0 && read_secrets)
		check_secrets(c, &f);
	if (c != NULL && f.n == 0) {
		c->text = sealed_text(c);
		if (c->text == NULL)
			faults_add(&f, NULL, "longer than %d bytes when written out",
			    CONFIG_SEALED_MAX);
	}
	if (f.n > 0) {
		config_free(c);
		return NULL;
	}
	return c;
}

struct config *
config_load(const char *path, bool read_secrets, struct buf *faults)
{
	struct buf text = BUF_INIT(CONFIG_TEXT_MAX);
	struct faults f = { .out = faults };
	struct config *c = NULL;
	struct err e = ERR_NONE;

	if (fd_read_file(path, &text, &e) < 0)
		faults_add(&f, NULL, "%s", e.text);
	else
		c = config_parse(path, buf_str(&text), text.len, read_secrets, faults);
	buf_release(&text);
	return c;
}

int
config_to_memfd(const struct config *c, struct err *e)
{
	char *text = sealed_text(c);
	int fd;

	if (text == NULL)
		return err_set(e, "the configuration is longer than %d bytes when written out",
		    CONFIG_SEALED_MAX);
	fd = fd_memfd_sealed("eodata-proxy-config", text, strlen(text), e);
	wipe(text);
	free(text);
	return fd;
}

/* The whole of fd, by position: its offset may be shared with other processes.  NULL and e. */
static char *
read_whole(int fd, size_t *ret_len, struct err *e)
{
	struct stat st;
	size_t len, have = 0;
	ssize_t n;
	char *text;

	if (fstat(fd, &st) == -1) {
		(void)err_sys(e, errno, "cannot look at the configuration");
		return NULL;
	}
	if (st.st_size < 0 || st.st_size > CONFIG_SEALED_MAX) {
		(void)err_set(e, "the configuration is longer than %d bytes", CONFIG_SEALED_MAX);
		return NULL;
	}
	len = (size_t)st.st_size;
	text = mem_alloc(len + 1);
	while (have < len) {
		n = pread(fd, text + have, len - have, (off_t)have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			(void)err_sys(e, n == 0 ? EIO : errno, "cannot read the configuration");
			free(text);
			return NULL;
		}
		have += (size_t)n;
	}
	*ret_len = len;
	return text;
}

struct config *
config_from_memfd(int fd, struct err *e)
{
	struct buf told = BUF_INIT(64 * 1024);
	struct faults f = { .out = &told };
	struct config *c = NULL;
	size_t len;
	char *text = read_whole(fd, &len, e);

	if (text == NULL)
		return NULL;
	c = params_parse(text, len, true, &f);
	if (f.n > 0) {
		(void)err_set(e, "the configuration is broken: %.*s",
		    (int)strcspn(buf_str(&told), "\n"), buf_str(&told));
		config_free(c);
		c = NULL;
		wipe(text);
		free(text);
	} else {
		c->text = text;
	}
	buf_release(&told);
	return c;
}

void
config_restart_needed(const struct config *old, const struct config *new, struct buf *ret_paths)
{
	struct buf a = BUF_INIT(CONFIG_SEALED_MAX), b = BUF_INIT(CONFIG_SEALED_MAX);
	bool differs;

	for (size_t i = 0; i < config_params_n; i++) {
		if ((config_params[i].flags & PARAM_RESTART) == 0)
			continue;
		buf_clear(&a);
		buf_clear(&b);
		dump_value(old, &config_params[i], old, &a);
		dump_value(new, &config_params[i], new, &b);
		differs = strcmp(buf_str(&a), buf_str(&b)) != 0;
		if (config_params[i].offset == offsetof(struct config, s3_memory_key))
			differs = differs || !strs_same(&old->s3_memory_secret, &new->s3_memory_secret);
		if (differs)
			(void)buf_addf(ret_paths, "%s%s", ret_paths->len == 0 ? "" : ", ",
			    config_params[i].path);
	}
	buf_release(&a);
	buf_release(&b);
}

static void
keep_secret(const struct strs *old, struct strs *new)
{
	release_secret(new);
	*new = strs_copy(old);
}

int
config_keep(const struct config *old, struct config *new, struct buf *faults)
{
	struct faults f = { .out = faults };

	for (size_t i = 0; i < config_params_n; i++) {
		if ((config_params[i].flags & PARAM_RESTART) != 0)
			params_copy(&config_params[i], old, new);
	}
	keep_secret(&old->s3_memory_secret, &new->s3_memory_secret);
	keep_secret(&old->s3_keys, &new->s3_keys);
	check_all(new, &f);
	return f.n == 0 ? 0 : -1;
}

/* ---- looking up ------------------------------------------------------------ */

bool
strs_has_glob(const struct strs *globs, const char *text)
{
	for (size_t i = 0; i < globs->n; i++) {
		if (text_glob(globs->v[i], text))
			return true;
	}
	return false;
}

struct strs
strs_copy(const struct strs *s)
{
	struct strs copy = { NULL, 0 };

	for (size_t i = 0; i < s->n; i++)
		strs_add(&copy, s->v[i]);
	return copy;
}

bool
strs_same(const struct strs *a, const struct strs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	}
	return true;
}

bool
strs_has(const struct strs *s, const char *text)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->v[i], text) == 0)
			return true;
	}
	return false;
}

static bool
empty_or_glob(const struct strs *globs, const char *text)
{
	return globs->n == 0 || strs_has_glob(globs, text);
}

const struct dataset *
config_dataset(
    const struct config *c, const char *backend, const char *collection, const char *asset)
{
	const struct dataset *d;

	for (size_t i = 0; i < c->n_datasets; i++) {
		d = &c->datasets[i];
		if (empty_or_glob(&d->backends, backend) &&
		    empty_or_glob(&d->collections, collection) && empty_or_glob(&d->assets, asset))
			return d;
	}
	return NULL;
}

const struct backend_limits *
config_backend(const struct config *c, const char *backend)
{
	const struct backend_limits *fallback = NULL;

	for (size_t i = 0; i < c->n_backends; i++) {
		/* a backend that calls itself '*' is not the default: the default is */
		if (strcmp(c->backends[i].name, "*") == 0)
			fallback = &c->backends[i];
		else if (strcmp(c->backends[i].name, backend) == 0)
			return &c->backends[i];
	}
	MUST(fallback != NULL); /* check_derive saw to it */
	return fallback;
}

const struct retention *
config_retention(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_retentions; i++) {
		if (strcmp(c->retentions[i].name, name) == 0)
			return &c->retentions[i];
	}
	return NULL;
}

const struct quota_set *
config_quota(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_quotas; i++) {
		if (strcmp(c->quotas[i].name, name) == 0)
			return &c->quotas[i];
	}
	return NULL;
}
