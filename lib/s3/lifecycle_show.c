/* SPDX-License-Identifier: Apache-2.0
 *
 * Lifecycle rules for people: in words, as a difference, and what rules of
 * others do to objects of ours.  eodata-proxyctl.
 */
#include "base/base.h"

#include "s3/lifecycle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "s3/rule.h"

enum { SHOWN_MAX = 300, NUMBER_MAX = 9 };

static void
put_esc(struct buf *out, const char *s)
{
	text_esc(out, s, strlen(s), SHOWN_MAX);
}

/* "after 3 days", of the first of these elements that is there; or "on 2027-01-01". */
static void
put_when(struct buf *out, const struct s3_xml *action)
{
	static const char *const days[] = { "Days", "NoncurrentDays", "DaysAfterInitiation" };
	const char *s;

	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		s = s3_xml_text(action, days[i]);
		if (s == NULL)
			continue;
		(void)buf_adds(out, " after ");	/* the buffer remembers its failure */
		put_esc(out, s);
		(void)buf_adds(out, strcmp(s, "1") == 0 ? " day" : " days");
		return;
	}
	s = s3_xml_text(action, "Date");
	if (s != NULL) {
		(void)buf_adds(out, " on ");
		put_esc(out, s);
	}
}

/* "objects go after 3 days" */
static void
put_action(struct buf *out, const struct s3_xml *action)
{
	static const struct {
		const char *name, *words;
	} known[] = {
		{ "Expiration", "objects go" },
		{ "NoncurrentVersionExpiration", "old versions go" },
		{ "AbortIncompleteMultipartUpload", "unfinished uploads go" },
		{ "Transition", "objects move to " },
		{ "NoncurrentVersionTransition", "old versions move to " },
	};
	const char *class = s3_xml_text(action, "StorageClass"), *words = NULL;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i].name, action->name) == 0)
			words = known[i].words;
	}
	if (words == NULL) {
		put_esc(out, action->name);
		put_when(out, action);
	} else if (s3_xml_text(action, "ExpiredObjectDeleteMarker") != NULL) {
		(void)buf_adds(out, "delete markers without versions go");
	} else {
		(void)buf_adds(out, words);
		if (words[strlen(words) - 1] == ' ')
			put_esc(out, class == NULL ? "" : class);
		put_when(out, action);
	}
}

static bool
is_action(const struct s3_xml *x)
{
	static const char *const no[] = { "ID", "Prefix", "Filter", "Status" };

	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		if (strcmp(no[i], x->name) == 0)
			return false;
	}
	return true;
}

static void
put_rule(struct buf *out, const char *before, const struct s3_xml *x)
{
	struct s3_rule r;
	bool any = false;

	s3_rule_look(&r, x);
	(void)buf_adds(out, before);
	put_esc(out, r.id);
	(void)buf_adds(out, ": ");
	if (r.prefix[0] == '\0')
		(void)buf_adds(out, "the whole bucket");
	else
		put_esc(out, r.prefix);
	(void)buf_adds(out, r.narrowed ? ", with certain tags or sizes: " : ": ");
	for (const struct s3_xml *c = x->child; c != NULL; c = c->next) {
		if (!is_action(c))
			continue;
		(void)buf_adds(out, any ? ", " : "");
		put_action(out, c);
		any = true;
	}
	(void)buf_adds(out, any ? "" : "nothing");
	(void)buf_adds(out, r.enabled ? "\n" : " (not enabled)\n");
}

void
s3_lifecycle_show(struct buf *out, const struct s3_xml *x)
{
	for (x = x->child; x != NULL; x = x->next)
		put_rule(out, "", x);
}

/* Which of these have one like them among the others, each of which counts once. */
static bool *
find_likes(char *const *of, size_t n, char *const *others, size_t n_others)
{
	bool *found = mem_alloc(n + 1), *used = mem_alloc(n_others + 1);

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n_others && !found[i]; j++) {
			if (used[j] || strcmp(of[i], others[j]) != 0)
				continue;
			found[i] = used[j] = true;
		}
	}
	free(used);
	return found;
}

void
s3_lifecycle_diff(struct buf *out, const struct s3_xml *from, const struct s3_xml *to)
{
	size_t n_from, n_to, i = 0;
	char **of_from = s3_rule_meanings(from, &n_from), **of_to = s3_rule_meanings(to, &n_to);
	bool *stays = find_likes(of_from, n_from, of_to, n_to), *was = find_likes(of_to, n_to, of_from, n_from);

	for (const struct s3_xml *c = from->child; c != NULL; c = c->next)
		put_rule(out, stays[i++] ? "  " : "- ", c);
	i = 0;
	for (const struct s3_xml *c = to->child; c != NULL; c = c->next) {
		if (!was[i++])
			put_rule(out, "+ ", c);
	}
	free(stays);
	free(was);
	s3_rule_meanings_free(of_from, n_from);
	s3_rule_meanings_free(of_to, n_to);
}

/* ---- conflicts -------------------------------------------------------------- */

static bool
starts_with(const char *s, const char *start)
{
	return strncmp(s, start, strlen(start)) == 0;
}

/* What the member of an action says; -1 where it is no number, or neither is there. */
static int64_t
days_of(const struct s3_xml *action, const char *member)
{
	const char *s = s3_xml_text(action, member);
	size_t n = s == NULL ? 0 : strlen(s);

	return n == 0 || n > NUMBER_MAX || strspn(s, "0123456789") != n ? -1 : strtoll(s, NULL, 10);
}

/* Does it take objects of the class from us, before they would go? */
static bool
is_against(const struct s3_xml *action, const struct s3_class *class)
{
	static const char *const harmless[] = { "NoncurrentVersionExpiration", "NoncurrentVersionTransition",
		"AbortIncompleteMultipartUpload" };
	int64_t days;

	for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
		if (strcmp(harmless[i], action->name) == 0)
			return false;
	}
	if (!is_action(action) || s3_xml_text(action, "ExpiredObjectDeleteMarker") != NULL)
		return false;
	if (strcmp(action->name, "Expiration") != 0)
		return true;
	days = days_of(action, "Days");
	return days < 0 || class->days == 0 || days < class->days;
}

static void
warn_action(struct buf *out, const struct s3_rule *r, const struct s3_xml *action, const struct s3_lifecycle_want *want)
{
	bool any = false;
	char *prefix;

	for (size_t i = 0; i < want->n; i++) {
		prefix = s3_class_prefix(want, &want->class[i]);
		if ((starts_with(prefix, r->prefix) || starts_with(r->prefix, prefix)) &&
		    is_against(action, &want->class[i])) {
			if (!any) {
				(void)buf_adds(out, "the rule ");
				put_esc(out, r->id);
				(void)buf_adds(out, " is not ours, and by it ");
				put_action(out, action);
				(void)buf_adds(out, r->narrowed ? ", those with certain tags or sizes, of " : ", of ");
			}
			(void)buf_join(out, any ? ", " : "", want->class[i].name, NULL);
			any = true;
		}
		free(prefix);
	}
	if (any)
		(void)buf_addc(out, '\n');
}

/* Does a rule of others clear away old versions of all that the class has? */
static bool
clears_versions(const struct s3_xml *have, const struct s3_lifecycle_want *want, const struct s3_class *class)
{
	char *prefix = s3_class_prefix(want, class);
	bool clears = false;
	struct s3_rule r;

	for (const struct s3_xml *c = have->child; c != NULL; c = c->next) {
		s3_rule_look(&r, c);
		clears = clears || (r.enabled && !r.narrowed && starts_with(prefix, r.prefix) &&
				       s3_xml_child(c, "NoncurrentVersionExpiration") != NULL);
	}
	free(prefix);
	return clears;
}

static void
warn_versions(struct buf *out, const struct s3_xml *have, const struct s3_lifecycle_want *want)
{
	bool any = false;

	for (size_t i = 0; i < want->n; i++) {
		if (clears_versions(have, want, &want->class[i]))
			continue;
		(void)buf_join(out, any ? ", " : "the bucket keeps versions, and no rule lets old ones go of ",
		    want->class[i].name, NULL);
		any = true;
	}
	if (any)
		(void)buf_adds(out, ": what goes there takes up room for ever\n");
}

void
s3_lifecycle_warn(struct buf *out, const struct s3_xml *have, const struct s3_lifecycle_want *want, bool versions)
{
	struct s3_rule r;

	for (const struct s3_xml *c = have->child; c != NULL; c = c->next) {
		s3_rule_look(&r, c);
		if (!r.enabled || s3_rule_is_ours(&r, want))
			continue;
		for (const struct s3_xml *action = c->child; action != NULL; action = action->next)
			warn_action(out, &r, action, want);
	}
	if (versions)
		warn_versions(out, have, want);
}

/* A JSON number, or null. */
static void
put_days(struct buf *out, const char *name, int64_t days)
{
	(void)buf_addf(out, ", \"%s\": ", name);
	if (days < 0)
		(void)buf_adds(out, "null");
	else
		(void)buf_addf(out, "%" PRId64, days);
}

void
s3_lifecycle_json(struct buf *out, const struct s3_xml *x)
{
	struct s3_rule r;

	(void)buf_adds(out, "{ \"rules\": [");
	for (const struct s3_xml *c = x->child; c != NULL; c = c->next) {
		s3_rule_look(&r, c);
		(void)buf_adds(out, c == x->child ? "\n    { \"id\": " : ",\n    { \"id\": ");
		text_json(out, r.id, strlen(r.id));
		(void)buf_adds(out, ", \"prefix\": ");
		text_json(out, r.prefix, strlen(r.prefix));
		put_days(out, "expire_days", days_of(s3_xml_child(c, "Expiration"), "Days"));
		put_days(out, "abort_days",
		    days_of(s3_xml_child(c, "AbortIncompleteMultipartUpload"), "DaysAfterInitiation"));
		(void)buf_adds(out, " }");
	}
	(void)buf_adds(out, "\n] }\n");
}
