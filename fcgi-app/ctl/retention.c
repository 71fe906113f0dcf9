/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl retention.  Of a directory the rules are lines of
 * tmpfiles.d(5), which an operator puts there.  Of a bucket they are its
 * lifecycle, which is read, joined with ours, shown, written as a whole (S3
 * knows nothing smaller) and read again.  S3 has no way to write it only if
 * nobody else did meanwhile: it is read once more right before.
 */
#include "base/base.h"

#include "ctl/retention.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/bucket.h"
#include "ctl/ctl.h"
#include "s3/lifecycle.h"

enum {
	OUT_MAX = 64 * 1024 * 1024,	/* of a bucket's rules in words */
	DIFFERS = 1, TROUBLE = 2,
	AGAIN_MS = 500, TIMES = 8	/* S3 may take a while until it shows what was written */
};

/* What a path may hold so that it means itself in tmpfiles.d, which has quotes, globs and '%'. */
#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@,~"

/* All that is in out, which is released.  0, or 1. */
static int
print(struct buf *out)
{
	buf_must(out);
	fputs(buf_str(out), stdout);
	buf_release(out);
	return finish_output();
}

/* ---- a directory ------------------------------------------------------------ */

static void
put_lines(struct buf *out, const struct config *c)
{
	const struct retention *r;

	(void)buf_adds(out, "# cache.retentions, for systemd-tmpfiles: /etc/tmpfiles.d/eodata-proxy.conf\n");
	for (size_t i = 0; i < c->n_retentions; i++) {
		r = &c->retentions[i];
		if (r->days == 0)
			(void)buf_addf(out, "# %s/%s is kept for ever\n", c->cache_path, r->name);
		else
			(void)buf_addf(out, "e %s/%s - - - mM:%" PRIu32 "d\n", c->cache_path, r->name, r->days);
	}
}

static void
put_directories(struct buf *out, const struct config *c)
{
	const struct retention *r;
	char *path;

	(void)buf_adds(out, "{ \"rules\": [");
	for (size_t i = 0; i < c->n_retentions; i++) {
		r = &c->retentions[i];
		path = mem_printf("%s/%s", c->cache_path, r->name);
		(void)buf_adds(out, i == 0 ? "\n    { \"path\": " : ",\n    { \"path\": ");
		text_json(out, path, strlen(path));
		if (r->days == 0)
			(void)buf_adds(out, ", \"expire_days\": null }");
		else
			(void)buf_addf(out, ", \"expire_days\": %" PRIu32 " }", r->days);
		free(path);
	}
	(void)buf_adds(out, "\n] }\n");
}

static int
show_directory(const struct config *c, const char *command, enum retention_form form)
{
	struct buf out = BUF_INIT(OUT_MAX);

	if (strcmp(command, "show") != 0)
		return complain("a directory has no rules of its own: 'retention show' prints those of systemd-tmpfiles, "
				"for /etc/tmpfiles.d/eodata-proxy.conf");
	if (form == RETENTION_XML)
		return complain("the rules of a directory are no XML");
	if (c->cache_path[strspn(c->cache_path, PLAIN)] != '\0')
		return complain("cache.path has a character that tmpfiles.d takes for something else: write its rules by hand");
	if (form == RETENTION_JSON)
		put_directories(&out, c);
	else
		put_lines(&out, c);
	return print(&out);
}

/* ---- a bucket --------------------------------------------------------------- */

/* What the bucket has, and what it is to have. */
struct rules {
	struct s3_xml *have, *next;
	char *minimum_size;
	bool versions;
};

static void
rules_release(struct rules *r)
{
	s3_xml_free(r->have);
	s3_xml_free(r->next);
	free(r->minimum_size);
	*r = (struct rules){ .have = NULL };
}

/* The rules that are there now; *ret_size may be NULL. */
static struct s3_xml *
read_rules(struct bucket *b, char **ret_size, struct err *e)
{
	struct bucket_answer a = { .status = 0 };
	struct s3_xml *x = NULL;

	if (bucket_get(b, "lifecycle", &a, e) < 0)
		return NULL;
	if (a.status == 200)
		x = s3_lifecycle_read(a.body.data, a.body.len, e);
	else if (a.status == 404 && bucket_says(&a, "NoSuchLifecycleConfiguration"))
		x = s3_lifecycle_none();
	else
		(void)bucket_explain(b, &a, e);
	if (x != NULL && ret_size != NULL) {
		*ret_size = a.minimum_size;
		a.minimum_size = NULL;
	}
	bucket_answer_release(&a);
	return x;
}

/* Whether it keeps versions: only for a warning, so that it is not known is one, too. */
static bool
keeps_versions(struct bucket *b)
{
	struct bucket_answer a = { .status = 0 };
	struct err e = ERR_NONE;
	bool versions = false;
	int rc = bucket_get(b, "versioning", &a, &e);

	if (rc == 0 && a.status != 200)
		rc = bucket_explain(b, &a, &e);
	else if (rc == 0)
		rc = s3_versioning_read(&versions, a.body.data, a.body.len, &e);
	if (rc < 0)
		(void)complain("warning: cannot see if the bucket keeps versions: %s", e.text);
	bucket_answer_release(&a);
	return versions;
}

static int
rules_read(struct rules *r, struct bucket *b, const struct s3_lifecycle_want *want, struct err *e)
{
	r->have = read_rules(b, &r->minimum_size, e);
	if (r->have == NULL)
		return -1;
	r->next = s3_lifecycle_merge(r->have, want, e);
	if (r->next == NULL)
		return -1;
	r->versions = keeps_versions(b);
	return 0;
}

static void
warn(const struct rules *r, const struct s3_lifecycle_want *want)
{
	struct buf out = BUF_INIT(OUT_MAX);
	const char *line, *end;

	s3_lifecycle_warn(&out, r->have, want, r->versions);
	buf_must(&out);
	for (line = buf_str(&out); *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		(void)complain("warning: %.*s", (int)(end - line), line);
	}
	buf_release(&out);
}

static int
print_difference(const struct s3_xml *from, const struct s3_xml *to)
{
	struct buf out = BUF_INIT(OUT_MAX);

	s3_lifecycle_diff(&out, from, to);
	return print(&out);
}

static int
show(const struct s3_lifecycle_want *want, enum retention_form form)
{
	struct s3_xml *none = s3_lifecycle_none(), *ours;
	struct buf out = BUF_INIT(OUT_MAX);
	struct err e = ERR_NONE;

	ours = s3_lifecycle_merge(none, want, &e);
	s3_xml_free(none);
	if (ours == NULL)
		return complain("%s", e.text);
	if (form == RETENTION_JSON)
		s3_lifecycle_json(&out, ours);
	else if (form == RETENTION_XML)
		s3_xml_write(&out, ours);
	else
		s3_lifecycle_show(&out, ours);
	s3_xml_free(ours);
	return print(&out);
}

static int
diff(struct bucket *b, const struct s3_lifecycle_want *want)
{
	struct rules r = { .have = NULL };
	struct err e = ERR_NONE;
	int rc = TROUBLE;

	if (rules_read(&r, b, want, &e) < 0) {
		(void)complain("%s", e.text);
	} else {
		warn(&r, want);
		if (s3_lifecycle_equal(r.have, r.next))
			rc = 0;
		else
			rc = print_difference(r.have, r.next) == 0 ? DIFFERS : TROUBLE;
	}
	rules_release(&r);
	return rc;
}

/* Does the operator agree?  On a terminal they are asked. */
static bool
agreed(const struct config *c, bool yes)
{
	char answer[16];

	if (yes)
		return true;
	if (isatty(STDIN_FILENO) != 1) {
		(void)complain("nothing is written: nobody can be asked without a terminal; '--yes' agrees");
		return false;
	}
	printf("Write these rules to the bucket '%s'? [y/N] ", c->s3_bucket);
	if (fflush(stdout) == 0 && fgets(answer, sizeof(answer), stdin) != NULL &&
	    (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
		return true;
	(void)complain("nothing is written");
	return false;
}

static int
write_rules(struct bucket *b, const struct rules *r, struct err *e)
{
	struct s3_xml *now = read_rules(b, NULL, e);
	struct bucket_answer a = { .status = 0 };
	struct buf document = BUF_INIT(OUT_MAX);
	int rc = -1;

	if (now == NULL)
		return -1;
	if (!s3_lifecycle_equal(now, r->have)) {
		(void)err_set(e, "nothing is written: somebody has changed the bucket's rules meanwhile; look again");
		goto out;
	}
	s3_xml_write(&document, r->next);
	buf_must(&document);
	/* S3 takes no document without rules */
	if (r->next->child != NULL)
		rc = bucket_put(b, "lifecycle", &document, r->minimum_size, &a, e);
	else
		rc = bucket_delete(b, "lifecycle", &a, e);
	if (rc == 0 && (a.status < 200 || a.status > 299))
		rc = bucket_explain(b, &a, e);
out:
	s3_xml_free(now);
	bucket_answer_release(&a);
	buf_release(&document);
	return rc;
}

/* Is it there as it was written? */
static int
read_back(struct bucket *b, const struct s3_xml *written, struct err *e)
{
	struct s3_xml *now;
	bool same = false;

	for (int i = 0; i < TIMES && !same; i++) {
		if (i > 0)
			bucket_wait(b, AGAIN_MS);
		now = read_rules(b, NULL, e);
		if (now == NULL)
			return -1;
		same = s3_lifecycle_equal(now, written);
		s3_xml_free(now);
	}
	return same ? 0 : err_set(e, "the rules were written, and the bucket shows others: 'retention diff' says which");
}

static int
apply(const struct config *c, struct bucket *b, const struct s3_lifecycle_want *want, bool yes)
{
	struct rules r = { .have = NULL };
	struct err e = ERR_NONE;
	int rc = 1;

	if (rules_read(&r, b, want, &e) < 0) {
		rc = complain("%s", e.text);
		goto out;
	}
	warn(&r, want);
	if (s3_lifecycle_equal(r.have, r.next)) {
		puts("nothing to do");
		rc = finish_output();
		goto out;
	}
	if (print_difference(r.have, r.next) != 0 || !agreed(c, yes))
		goto out;
	if (write_rules(b, &r, &e) < 0 || read_back(b, r.next, &e) < 0) {
		rc = complain("%s", e.text);
		goto out;
	}
	puts("written");
	rc = finish_output();
out:
	rules_release(&r);
	return rc;
}

static int
run_bucket(const struct config *c, const char *command, const struct retention_options *o)
{
	struct s3_class *class = mem_alloc((c->n_retentions + 1) * sizeof(*class));
	struct s3_lifecycle_want want = { c->s3_prefix, class, c->n_retentions };
	struct err e = ERR_NONE;
	struct bucket *b = NULL;
	int rc = strcmp(command, "diff") == 0 ? TROUBLE : 1;

	for (size_t i = 0; i < c->n_retentions; i++)
		class[i] = (struct s3_class){ c->retentions[i].name, c->retentions[i].days };
	if (strcmp(command, "show") == 0) {
		rc = show(&want, o->form);
		goto out;
	}
	b = bucket_new(c, &e);
	if (b == NULL)
		(void)complain("%s", e.text);
	else if (strcmp(command, "diff") == 0)
		rc = diff(b, &want);
	else
		rc = apply(c, b, &want, o->yes);
out:
	bucket_free(b);
	free(class);
	return rc;
}

int
retention_run(const struct config *c, const char *command, const struct retention_options *o)
{
	if (!o->directory && c->s3_endpoint[0] != '\0')
		return run_bucket(c, command, o);
	if (show_directory(c, command, o->form) == 0)
		return 0;
	return strcmp(command, "diff") == 0 ? TROUBLE : 1;
}
