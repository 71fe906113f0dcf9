/* SPDX-License-Identifier: Apache-2.0
 *
 * One rule of a lifecycle, as lifecycle.c and lifecycle_show.c see it.
 * Private to these two.
 */
#ifndef S3_RULE_H
#define S3_RULE_H

#include "s3/lifecycle.h"

struct s3_rule {		/* borrows from the document */
	const struct s3_xml *x;
	const char *id, *prefix;	/* "" where there is none */
	bool narrowed;		/* to certain tags or sizes, too */
	bool enabled;
};

void s3_rule_look(struct s3_rule *ret, const struct s3_xml *x);
bool s3_rule_is_ours(const struct s3_rule *r, const struct s3_lifecycle_want *want);
/* What keys of a class begin with.  free(3) it. */
char *s3_class_prefix(const struct s3_lifecycle_want *want, const struct s3_class *class);
/* A text that is the same for rules that mean the same.  free(3) it. */
char *s3_rule_meaning(const struct s3_xml *rule);
/* Those of all rules, in their order. */
char **s3_rule_meanings(const struct s3_xml *x, size_t *ret_n);
void s3_rule_meanings_free(char **all, size_t n);

#endif
