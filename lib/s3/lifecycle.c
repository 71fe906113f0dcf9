/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading, joining and comparing lifecycle rules.  What they say to people is
 * in lifecycle_show.c.  eodata-proxyctl.
 */
#include "base/base.h"

#include "s3/lifecycle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "s3/rule.h"

#define TOKEN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static const char document[] = "LifecycleConfiguration";
static const char mark[] = "eodata-proxy-";

/* ---- one rule --------------------------------------------------------------- */

static bool
has_other_than_prefix(const struct s3_xml *filter)
{
	if (filter == NULL)
		return false;
	for (const struct s3_xml *c = filter->child; c != NULL; c = c->next) {
		if (strcmp(c->name, "Prefix") != 0 && strcmp(c->name, "And") != 0)
			return true;
	}
	return false;
}

void
s3_rule_look(struct s3_rule *ret, const struct s3_xml *x)
{
	const struct s3_xml *filter = s3_xml_child(x, "Filter"), *both = s3_xml_child(filter, "And");
	const char *status = s3_xml_text(x, "Status"), *id = s3_xml_text(x, "ID"), *prefix = s3_xml_text(x, "Prefix");

	if (prefix == NULL)
		prefix = s3_xml_text(filter, "Prefix");
	if (prefix == NULL)
		prefix = s3_xml_text(both, "Prefix");
	*ret = (struct s3_rule){
		.x = x,
		.id = id == NULL ? "" : id,
		.prefix = prefix == NULL ? "" : prefix,
		.narrowed = has_other_than_prefix(filter) || has_other_than_prefix(both),
		.enabled = status != NULL && strcmp(status, "Enabled") == 0,
	};
}

char *
s3_class_prefix(const struct s3_lifecycle_want *want, const struct s3_class *class)
{
	return mem_printf("%s%s/", want->prefix, class->name);
}

bool
s3_rule_is_ours(const struct s3_rule *r, const struct s3_lifecycle_want *want)
{
	size_t mark_len = strlen(mark), prefix_len = strlen(want->prefix), len;
	const char *class;

	if (strncmp(r->id, mark, mark_len) != 0 || strncmp(r->id + mark_len, want->prefix, prefix_len) != 0)
		return false;
	class = r->id + mark_len + prefix_len;
	for (size_t i = 0; i < want->n; i++) {
		if (strcmp(class, want->class[i].name) == 0)
			return true;
	}
	/* of a class that was: what only looks like it is about something else */
	len = strlen(class);
	return len > 0 && class[strspn(class, TOKEN)] == '\0' && strncmp(r->prefix, want->prefix, prefix_len) == 0 &&
	       strncmp(r->prefix + prefix_len, class, len) == 0 && strcmp(r->prefix + prefix_len + len, "/") == 0;
}

static struct s3_xml *
make_rule(const struct s3_lifecycle_want *want, const struct s3_class *class)
{
	char *id = mem_printf("%s%s%s", mark, want->prefix, class->name), *prefix = s3_class_prefix(want, class);
	struct s3_xml *x = s3_xml_new("Rule", NULL), *in;
	char days[16];

	s3_xml_add(x, s3_xml_new("ID", id));
	in = s3_xml_add(x, s3_xml_new("Filter", NULL));
	s3_xml_add(in, s3_xml_new("Prefix", prefix));
	s3_xml_add(x, s3_xml_new("Status", "Enabled"));
	if (class->days > 0) {
		(void)snprintf(days, sizeof(days), "%" PRIu32, class->days);
		in = s3_xml_add(x, s3_xml_new("Expiration", NULL));
		s3_xml_add(in, s3_xml_new("Days", days));
	}
	(void)snprintf(days, sizeof(days), "%d", S3_ABORT_DAYS);
	in = s3_xml_add(x, s3_xml_new("AbortIncompleteMultipartUpload", NULL));
	s3_xml_add(in, s3_xml_new("DaysAfterInitiation", days));
	free(id);
	free(prefix);
	return x;
}

/* ---- documents -------------------------------------------------------------- */

struct s3_xml *
s3_lifecycle_none(void)
{
	return s3_xml_new(document, NULL);
}

static size_t
number_of_rules(const struct s3_xml *x)
{
	size_t n = 0;

	for (x = x->child; x != NULL; x = x->next)
		n++;
	return n;
}

struct s3_xml *
s3_lifecycle_read(const char *data, size_t n, struct err *e)
{
	struct s3_xml *x = s3_xml_parse(data, n, e), **at, *c;

	if (x == NULL)
		return NULL;
	if (strcmp(x->name, document) != 0) {
		(void)err_set(e, "the document is no %s", document);
		goto fail;
	}
	for (at = &x->child; *at != NULL;) {
		c = *at;
		if (strcmp(c->name, "Rule") == 0) {
			at = &c->next;
		} else if (strcmp(c->name, "ExpiryUpdatedAt") == 0) {
			/* MinIO's note to itself, which it writes anew */
			*at = c->next;
			c->next = NULL;
			s3_xml_free(c);
		} else {
			(void)err_set(e, "the document has something else than rules");
			goto fail;
		}
	}
	if (number_of_rules(x) <= S3_RULES_MAX)
		return x;
	(void)err_set(e, "the document has more than %d rules", S3_RULES_MAX);
fail:
	s3_xml_free(x);
	return NULL;
}

struct s3_xml *
s3_lifecycle_merge(const struct s3_xml *have, const struct s3_lifecycle_want *want, struct err *e)
{
	struct s3_xml *x;
	struct s3_rule r;
	size_t n;

	if (s3_xml_has_more(have)) {
		(void)err_set(e, "the bucket's rules hold something that cannot be kept as it is (attributes, or text "
				 "beside elements)");
		return NULL;
	}
	for (size_t i = 0; i < want->n; i++) {
		n = strlen(mark) + strlen(want->prefix) + strlen(want->class[i].name);
		if (n > S3_RULE_ID_MAX) {
			(void)err_set(e, "the id of the rule for '%s' is longer than %d bytes", want->class[i].name,
			    S3_RULE_ID_MAX);
			return NULL;
		}
	}
	x = s3_lifecycle_none();
	for (const struct s3_xml *c = have->child; c != NULL; c = c->next) {
		s3_rule_look(&r, c);
		if (!s3_rule_is_ours(&r, want))
			s3_xml_add(x, s3_xml_copy(c));
	}
	for (size_t i = 0; i < want->n; i++)
		s3_xml_add(x, make_rule(want, &want->class[i]));
	n = number_of_rules(x);
	if (n <= S3_RULES_MAX)
		return x;
	(void)err_set(e, "with ours the bucket would have %zu rules, and S3 takes %d", n, S3_RULES_MAX);
	s3_xml_free(x);
	return NULL;
}

/* ---- comparing -------------------------------------------------------------- */

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *
sorted_text(const struct s3_xml *x)
{
	struct buf out = BUF_INIT(2 * S3_XML_MAX);
	char **part = NULL;
	size_t n = 0, i = 0;

	for (const struct s3_xml *c = x->child; c != NULL; c = c->next)
		n++;
	part = mem_alloc((n + 1) * sizeof(*part));
	for (const struct s3_xml *c = x->child; c != NULL; c = c->next)
		part[i++] = sorted_text(c);	/* as deep as the parser lets it be */
	qsort(part, n, sizeof(*part), by_text);
	/* names have no such bytes, and of texts the lengths tell where they end */
	(void)buf_addf(&out, "<%s %zu %s", x->name, strlen(x->text), x->text);
	for (i = 0; i < n; i++) {
		(void)buf_adds(&out, part[i]);
		free(part[i]);
	}
	(void)buf_addc(&out, '>');
	buf_must(&out);	/* a document is bounded, and this adds little to each element */
	free(part);
	return buf_take(&out);
}

static void
put_copy(struct s3_xml *parent, const struct s3_xml *x)
{
	struct s3_xml *copy = s3_xml_copy(x);

	copy->next = parent->child;
	parent->child = copy;
}

/* The elements of a filter but an empty prefix, which is none, into the other one, in any order. */
static void
flatten(struct s3_xml *filter, const struct s3_xml *from)
{
	for (const struct s3_xml *c = from->child; c != NULL; c = c->next) {
		if (strcmp(c->name, "And") == 0)
			flatten(filter, c);
		else if (strcmp(c->name, "Prefix") != 0 || c->text[0] != '\0')
			put_copy(filter, c);
	}
}

char *
s3_rule_meaning(const struct s3_xml *rule)
{
	struct s3_xml *x = s3_xml_new("Rule", NULL), *filter = s3_xml_add(x, s3_xml_new("Filter", NULL));
	char *text;

	for (const struct s3_xml *c = rule->child; c != NULL; c = c->next) {
		if (strcmp(c->name, "Filter") == 0)
			flatten(filter, c);
		else if (strcmp(c->name, "Prefix") != 0)
			put_copy(x, c);
		else if (c->text[0] != '\0')
			put_copy(filter, c);
	}
	text = sorted_text(x);
	s3_xml_free(x);
	return text;
}

char **
s3_rule_meanings(const struct s3_xml *x, size_t *ret_n)
{
	size_t n = number_of_rules(x), i = 0;
	char **all = mem_alloc((n + 1) * sizeof(*all));

	for (x = x->child; x != NULL; x = x->next)
		all[i++] = s3_rule_meaning(x);
	*ret_n = n;
	return all;
}

void
s3_rule_meanings_free(char **all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(all[i]);
	free(all);
}

bool
s3_lifecycle_equal(const struct s3_xml *a, const struct s3_xml *b)
{
	size_t n_a, n_b;
	char **of_a = s3_rule_meanings(a, &n_a), **of_b = s3_rule_meanings(b, &n_b);
	bool same = n_a == n_b;

	qsort(of_a, n_a, sizeof(*of_a), by_text);
	qsort(of_b, n_b, sizeof(*of_b), by_text);
	for (size_t i = 0; i < n_a && same; i++)
		same = strcmp(of_a[i], of_b[i]) == 0;
	s3_rule_meanings_free(of_a, n_a);
	s3_rule_meanings_free(of_b, n_b);
	return same;
}

/* ---- what goes along with them ---------------------------------------------- */

int
s3_versioning_read(bool *ret_versions, const char *data, size_t n, struct err *e)
{
	struct s3_xml *x = s3_xml_parse(data, n, e);
	const char *status = s3_xml_text(x, "Status");
	int rc = 0;

	if (x == NULL)
		return -1;
	if (strcmp(x->name, "VersioningConfiguration") != 0)
		rc = err_set(e, "the document is no VersioningConfiguration");
	else
		*ret_versions = status != NULL && strcmp(status, "Enabled") == 0;
	s3_xml_free(x);
	return rc;
}

int
s3_content_md5(char ret[25], const void *data, size_t n)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct digest *d = digest_new(DIGEST_MD5);
	uint8_t sum[18] = { 0 };	/* 16 and what fills the last group */
	uint32_t group;

	if (d == NULL)
		return -1;
	digest_add(d, data, n);
	digest_final(d, sum);
	digest_free(d);
	for (size_t i = 0; i < 6; i++) {
		group = (uint32_t)sum[3 * i] << 16 | (uint32_t)sum[3 * i + 1] << 8 | sum[3 * i + 2];
		for (size_t j = 0; j < 4; j++)
			ret[4 * i + j] = digit[group >> (18 - 6 * j) & 63];
	}
	memcpy(ret + 22, "==", 3);
	return 0;
}
