/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON from elsewhere: STAC items, and what went wrong (RFC 9457).  Pure.
 */
#ifndef CTL_DOCUMENTS_H
#define CTL_DOCUMENTS_H

#include "config/config.h"

enum {
	DOCUMENT_MAX = 64 << 20,	/* bytes of one that is read */
	DOCUMENT_ASSETS_MAX = 1000000,	/* in one */
};

/* "" where there is no such member. */
void document_detail(const char *text, size_t n, struct buf *out);
/*
 * Append the paths of the assets of an item, or of the items of a collection (a FeatureCollection).
 * prefixes: where the proxy is found, each with a '/' at its end; an href that begins with one of
 * them counts.  wanted: NULL for these alone, or names, of which each item has to have each; one
 * that is not the proxy's then gets the path that the proxy gives it.  *ret_more: the collection is
 * a page, and others follow.  0, or -1 and e.
 */
int document_assets(const char *text, size_t n, const struct strs *prefixes, const struct strs *wanted,
    struct strs *paths, bool *ret_more, struct err *e);

#endif
