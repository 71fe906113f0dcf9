/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks, from the parameters that the front sets.  Only the two names of
 * the configuration are looked at, each compared exactly; HTTP_* is what
 * clients send and never is one of them.  Two answers at once are refused,
 * never guessed between.  Runs in the worker.
 */
#include "base/base.h"

#include "access/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/*
 * The value of the parameter of that name, NULL when it is absent.  0, or -1
 * when it is there twice.  The name ends at '=': EODATA_USER_X is another one.
 */
static int
find_param(char *const *envp, const char *name, const char **ret, struct err *e)
{
	size_t len = strlen(name);
	const char *value = NULL;

	*ret = NULL;
	if (len == 0 || envp == NULL)
		return 0;
	for (; *envp != NULL; envp++) {
		if (strncmp(*envp, name, len) != 0 || (*envp)[len] != '=')
			continue;
		if (value != NULL)
			return err_set(e, "two answers to who is asking: %s came twice", name);
		value = *envp + len + 1;
	}
	*ret = value;
	return 0;
}

/* The value is never told: it is not the client's business, and may be anything. */
static int
check_text(const char *param, const char *s, size_t n, size_t max, struct err *e)
{
	if (n > max)
		return err_set(e, "%s is longer than %zu bytes", param, max);
	if (!text_is_utf8(s, n))
		return err_set(e, "%s is not UTF-8", param);
	if (text_has_control(s, n))
		return err_set(e, "%s holds a control byte", param);
	return 0;
}

static int
add_group(struct identity *i, const char *name, size_t n, struct err *e)
{
	for (size_t j = 0; j < i->n_groups; j++) {
		if (strlen(i->group[j]) == n && memcmp(i->group[j], name, n) == 0)
			return 0;
	}
	if (i->n_groups == IDENTITY_GROUPS_MAX)
		return err_set(e, "more than %d groups", IDENTITY_GROUPS_MAX);
	memcpy(i->group[i->n_groups], name, n);
	i->group[i->n_groups][n] = '\0';
	i->n_groups++;
	return 0;
}

/* One or many groups, by the configured separator, spaces around them dropped. */
static int
add_listed_groups(struct identity *i, const struct config *c, const char *value, struct err *e)
{
	const char *separator = c->groups_separator;
	size_t n, len;

	/* fronts join what came twice with a comma */
	if (separator[0] != ',' && strchr(value, ',') != NULL)
		return err_set(
		    e, "two answers to who is asking: %s holds a comma", c->groups_param);
	for (;;) {
		value += strspn(value, " ");
		n = separator[0] == '\0' ? strlen(value) : strcspn(value, separator);
		for (len = n; len > 0 && value[len - 1] == ' '; len--)
			;
		if (check_text(c->groups_param, value, len, IDENTITY_GROUP_MAX, e) < 0)
			return -1;
		if (len > 0 && add_group(i, value, len, e) < 0)
			return -1;
		if (value[n] == '\0')
			return 0;
		value += n + 1;
	}
}

static int
add_configured_groups(struct identity *i, const struct config *c, struct err *e)
{
	const struct group_members *g;

	for (size_t j = 0; j < c->n_groups; j++) {
		g = &c->groups[j];
		if (strs_has(&g->users, i->name) && add_group(i, g->name, strlen(g->name), e) < 0)
			return -1;
	}
	return 0;
}

int
identity_from_params(struct identity *ret, const struct config *c, char *const *envp, struct err *e)
{
	struct identity i;
	const char *user, *groups;
	size_t n;

	i.realm[0] = i.name[0] = '\0';
	i.n_groups = 0;
	if (find_param(envp, c->user_param, &user, e) < 0 ||
	    find_param(envp, c->groups_param, &groups, e) < 0)
		return -1;
	n = user == NULL ? 0 : strlen(user);
	if (n > 0) {
		if (check_text(c->user_param, user, n, IDENTITY_NAME_MAX, e) < 0)
			return -1;
		if (strchr(user, ',') != NULL)
			return err_set(
			    e, "two answers to who is asking: %s holds a comma", c->user_param);
		(void)snprintf(i.realm, sizeof(i.realm), "front");
		memcpy(i.name, user, n + 1);
	}
	if (groups != NULL && add_listed_groups(&i, c, groups, e) < 0)
		return -1;
	if (n == 0)
		i.n_groups = 0; /* nobody is a member of nothing */
	else if (add_configured_groups(&i, c, e) < 0)
		return -1;
	/* it has room for 64 names, of which few are there */
	memcpy(ret, &i, offsetof(struct identity, group) + i.n_groups * sizeof(i.group[0]));
	return 0;
}

bool
identity_is_anonymous(const struct identity *i)
{
	return i->name[0] == '\0';
}

bool
identity_in_group(const struct identity *i, const char *group)
{
	for (size_t j = 0; j < i->n_groups; j++) {
		if (strcmp(i->group[j], group) == 0)
			return true;
	}
	return false;
}
