/* SPDX-License-Identifier: Apache-2.0
 *
 * Assets, as they are named to eodata-proxyctl: by the path of their URL,
 * with or without what stands before the backend.
 */
#ifndef CTL_ASSET_H
#define CTL_ASSET_H

#include "config/config.h"

struct asset {
	char *text;		/* backend/collection/item/asset[/subpath], percent-encoded: of a URL, and for the terminal */
	char *backend, *collection, *item, *name, *subpath;	/* decoded, but for the sub-path; that is NULL for none */
};
void asset_release(struct asset *a);		/* NULL and a zeroed one are allowed */

/* base_path: of the configuration.  0, or -1 and e: the worker would not take it either. */
int asset_parse(struct asset *ret, const char *arg, const char *base_path, struct err *e);
/*
 * Where the configuration of now stores it: its key, the caller's, and the row of datasets.  NULL and e
 * where nothing does.
 */
char *asset_key(const struct asset *a, const struct config *c, const struct dataset **ret, struct err *e);

#endif
