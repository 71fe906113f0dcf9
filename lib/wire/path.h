/* SPDX-License-Identifier: Apache-2.0
 *
 * The request path: from the raw REQUEST_URI, decoded once, segment by
 * segment.  An encoded slash stays inside its segment.  Pure.
 */
#ifndef WIRE_PATH_H
#define WIRE_PATH_H

#include "base/buf.h"
#include "base/err.h"

enum {
	PATH_URI_MAX = 8192,		/* bytes of a raw REQUEST_URI that are looked at; longer is PATH_LONG */
	PATH_SEGMENT_MAX = 1024,	/* decoded bytes of one segment */
	PATH_SEGMENTS_MAX = 64,
};

enum path_verdict {
	PATH_OK,
	PATH_OUTSIDE,	/* not below base_path, or base_path itself: 404 */
	/*
	 * empty, ".", ".." segment (also as a part between decoded slashes or
	 * backslashes), control character, invalid percent or UTF-8: 400
	 */
	PATH_BAD,
	PATH_LONG,	/* target or segment too long, too many segments: 414 */
};

struct path {
	size_t n;			/* segments after base_path, >= 1 when PATH_OK */
	char *seg[PATH_SEGMENTS_MAX];	/* decoded, NUL-terminated, no NUL inside; into store */
	const char *query;		/* raw text after '?', or "" */
	char store[PATH_URI_MAX + 1];
	char query_store[PATH_URI_MAX + 1];
};

/*
 * base_path: "/data" without a trailing slash, compared after decoding, by
 * segments ("/%64ata" is the same path).  A "#..." is PATH_BAD.  Absolute-form
 * ("http://h/data/..") is accepted: scheme and authority are skipped.
 * On anything but PATH_OK, e says why and *ret is undefined.
 */
enum path_verdict path_parse(struct path *ret, const char *raw_uri, size_t len, const char *base_path, struct err *e);
/* Append the segments from this one on, percent-encoded as in keys, joined by '/'. */
void path_join(const struct path *p, size_t from, struct buf *out);

#endif
