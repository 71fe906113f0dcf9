/* SPDX-License-Identifier: Apache-2.0
 *
 * May they: first match wins, nothing matches = deny.  Pure.
 */
#ifndef ACCESS_RULES_H
#define ACCESS_RULES_H

#include "access/identity.h"

struct access_request {
	const char *method;
	const char *route;	/* "-/status" for a route of ours, else NULL */
	const char *backend, *collection, *item, *asset;	/* NULL with a route */
};

struct access_verdict {
	bool allow;
	const struct rule *rule;	/* NULL when none matched */
	bool login_would_help;		/* denied, anonymous, and a rule for this resource wants an identity: 401 */
	/*
	 * subject of each quota set of the rule: the user, or the first group of the rule that they
	 * have ("" = none: the user)
	 */
	const char *group;
};

void rules_decide(const struct config *c, const struct identity *i, const struct access_request *r,
    struct access_verdict *ret);

#endif
