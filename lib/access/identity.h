/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks: only from parameters that the front sets under names of ours.
 * A pair (realm, name); empty is anonymous.  Never from HTTP_*.
 */
#ifndef ACCESS_IDENTITY_H
#define ACCESS_IDENTITY_H

#include "config/config.h"

enum { IDENTITY_NAME_MAX = 256, IDENTITY_GROUPS_MAX = 64, IDENTITY_GROUP_MAX = 128 };

struct identity {
	char realm[32];			/* "front"; "" for anonymous */
	char name[IDENTITY_NAME_MAX + 1];	/* "" for anonymous */
	size_t n_groups;
	char group[IDENTITY_GROUPS_MAX][IDENTITY_GROUP_MAX + 1];
};

/*
 * envp: the request's parameters, "NAME=value".  -1 and e (a text for the
 * client, 400): the parameter arrives twice, holds a comma, control bytes,
 * invalid UTF-8 or is too long; too many groups.  Groups are the list
 * parameter's, then those of the configuration that name the user.
 */
int identity_from_params(struct identity *ret, const struct config *c, char *const *envp, struct err *e);
bool identity_is_anonymous(const struct identity *i);
bool identity_in_group(const struct identity *i, const char *group);

#endif
