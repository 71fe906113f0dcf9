/* SPDX-License-Identifier: Apache-2.0
 *
 * May they: the rules from first to last.  Patterns come from the
 * configuration alone; what a request brings is only ever the text that they
 * are held against.  Runs in the worker, for every request.
 */
#include "base/base.h"

#include "access/rules.h"

#include <string.h>

static bool
empty_or_glob(const struct strs *globs, const char *text)
{
	return globs->n == 0 || (text != NULL && strs_has_glob(globs, text));
}

/* What is asked for, whoever asks.  A rule is about routes or about data, never both. */
static bool
resource_matches(const struct rule *rule, const struct access_request *r)
{
	if (!empty_or_glob(&rule->methods, r->method))
		return false;
	if (r->route != NULL)
		return rule->routes.n > 0 && strs_has_glob(&rule->routes, r->route);
	return rule->routes.n == 0 && empty_or_glob(&rule->backends, r->backend) &&
	       empty_or_glob(&rule->collections, r->collection) &&
	       empty_or_glob(&rule->items, r->item) && empty_or_glob(&rule->assets, r->asset);
}

/* The first group of the rule that they have, or "". */
static const char *
group_of(const struct rule *rule, const struct identity *i)
{
	for (size_t j = 0; j < rule->groups.n; j++) {
		if (identity_in_group(i, rule->groups.v[j]))
			return rule->groups.v[j];
	}
	return "";
}

static bool
who_matches(const struct rule *rule, const struct identity *i)
{
	if (rule->who == WHO_ANYONE)
		return true;
	if (identity_is_anonymous(i))
		return false;
	if (rule->who == WHO_AUTHENTICATED)
		return true;
	/* scopes are a token's, and no identity of the front has any */
	if (rule->scopes.n > 0)
		return false;
	return strs_has(&rule->users, i->name) || group_of(rule, i)[0] != '\0';
}

/*
 * Would somebody, logged in, get it?  A rule for everybody ends the search:
 * what stands behind it never applies to anyone.
 */
static bool
login_would_help(const struct config *c, const struct access_request *r)
{
	const struct rule *rule;

	for (size_t i = 0; i < c->n_rules; i++) {
		rule = &c->rules[i];
		if (!resource_matches(rule, r))
			continue;
		if (rule->who == WHO_ANYONE)
			return false;
		if (rule->allow)
			return true;
		if (rule->who == WHO_AUTHENTICATED)
			return false;
	}
	return false;
}

void
rules_decide(const struct config *c, const struct identity *i, const struct access_request *r,
    struct access_verdict *ret)
{
	const struct rule *rule;

	*ret = (struct access_verdict){ .allow = false, .group = "" };
	for (size_t j = 0; j < c->n_rules && ret->rule == NULL; j++) {
		rule = &c->rules[j];
		if (resource_matches(rule, r) && who_matches(rule, i))
			ret->rule = rule;
	}
	if (ret->rule != NULL) {
		ret->allow = ret->rule->allow;
		ret->group = ret->rule->who == WHO_LISTED ? group_of(ret->rule, i) : "";
	}
	if (!ret->allow && identity_is_anonymous(i))
		ret->login_would_help = login_would_help(c, r);
}
