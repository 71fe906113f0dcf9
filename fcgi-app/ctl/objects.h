/* SPDX-License-Identifier: Apache-2.0
 *
 * The store of the configuration, as an operator asks it: a directory or a
 * bucket, each question waited for.
 */
#ifndef CTL_OBJECTS_H
#define CTL_OBJECTS_H

#include "cache/store.h"

struct objects;

struct object {
	struct object_meta meta;
	int64_t stored_s;	/* since 1970; -1 unknown */
	char *version;		/* S3's own ETag, with quotes, or NULL */
};
void object_release(struct object *o);		/* NULL and a zeroed one are allowed */

/* c is borrowed.  NULL and e: it is not there, or there are no keys for it. */
struct objects *objects_open(const struct config *c, struct err *e);
void objects_free(struct objects *o);		/* NULL is allowed */
/* 1; 0: there is none, and where something is there that is not ours, e says so; -1 and e: nobody knows. */
int objects_find(struct objects *o, const char *key, struct object *ret, struct err *e);
/* And what memcached remembers of it.  1, or 0 where there was none, or -1 and e. */
int objects_remove(struct objects *o, const char *key, struct err *e);
/* Of the last -1: was there nobody who answered? */
bool objects_are_away(const struct objects *o);

#endif
