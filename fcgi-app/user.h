/* SPDX-License-Identifier: Apache-2.0
 *
 * Whom children run as.  The master, and eodata-proxyctl.
 */
#ifndef USER_H
#define USER_H

#include "base/err.h"

enum { USER_GROUPS_MAX = 256 };
struct user {
	bool set;			/* else: as whoever we are */
	uid_t uid;
	gid_t gid, group[USER_GROUPS_MAX];
	size_t n_groups;
};

int user_find(struct user *u, const char *name, struct err *e);	/* NULL: nobody else */
int user_become(const struct user *u);		/* for good; -1: it must not run */
void user_borrow(const struct user *u);		/* for what is opened and looked at, until user_return */
void user_return(const struct user *u);
int user_mkdirs(const struct user *u, const char *path, mode_t mode, struct err *e);

#endif
