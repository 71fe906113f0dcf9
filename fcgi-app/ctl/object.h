/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl object: what the store holds of an asset.
 */
#ifndef CTL_OBJECT_H
#define CTL_OBJECT_H

#include "config/config.h"

enum { OBJECT_TROUBLE = 2 };

/* Print what is stored.  0: all of them are, 1: one is not, OBJECT_TROUBLE: that cannot be told of one. */
int object_stat(const struct config *c, char *const *paths, size_t n, bool json);
/* Let it go.  0, also where there was none; or 1. */
int object_purge(const struct config *c, char *const *paths, size_t n);

/* Strings: borrowed, NULL where not given. */
struct put_options { const char *type, *etag, *last_modified, *sha256, *multihash; };
/* Publish a file ("-": standard input) as the asset.  0, or 1. */
int object_put(const struct config *c, const char *path, const char *file, const struct put_options *o);

#endif
