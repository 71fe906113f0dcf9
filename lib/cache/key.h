/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of objects: {retention}/{backend}/{collection}/{item}/{asset}[/{subpath}],
 * each segment percent-encoded (RFC 3986 unreserved bytes stay, upper-case
 * hex).  A segment over 200 bytes after encoding, or one of exactly 200 with
 * "~" at byte 167 (it would look like a cut one), is cut to 167 bytes, "~" and
 * the first 32 hex digits of the SHA-256 of the encoded segment.  "." and ".."
 * become "%2E" and "%2E%2E".  Pure.
 */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include "base/buf.h"

enum { KEY_SEGMENT_MAX = 200, KEY_MAX = 4000 };

/*
 * Appends.  subpath: segments as text_percent writes them, joined by '/', or
 * NULL.  0, or -1 when a segment is empty, the sub-path is not canonical, or
 * the key is longer than out allows or KEY_MAX.
 */
int key_make(struct buf *out, const char *retention, const char *backend, const char *collection, const char *item,
    const char *asset, const char *subpath);

#endif
