/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of objects: {retention}/{backend}/{collection}/{item}/{asset}[/{subpath}],
 * each segment percent-encoded (RFC 3986 unreserved bytes stay); a segment
 * over 200 bytes after encoding is cut to 167 bytes, "~" and 32 hex digits of
 * its SHA-256.  "." and ".." become "%2E" and "%2E%2E".  Pure.
 */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include "base/buf.h"

enum { KEY_SEGMENT_MAX = 200, KEY_MAX = 4000 };

/* subpath: percent-encoded segments joined by '/', or NULL.  0, or -1 when longer than out allows or KEY_MAX. */
int key_make(struct buf *out, const char *retention, const char *backend, const char *collection, const char *item,
    const char *asset, const char *subpath);

#endif
