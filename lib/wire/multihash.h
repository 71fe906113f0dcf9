/* SPDX-License-Identifier: Apache-2.0
 *
 * `file:checksum` of the STAC file extension: a multihash in hex (1220...,
 * 1114..., d50110...), or, as catalogues also write it, a bare hex digest told
 * by its length (32 = MD5, 40 = SHA-1, 64 = SHA-256, 128 = SHA-512).  Pure.
 */
#ifndef WIRE_MULTIHASH_H
#define WIRE_MULTIHASH_H

#include "base/digest.h"

struct checksum {
	enum digest_algo algo;		/* DIGEST_NONE: nothing known */
	uint8_t value[DIGEST_SIZE_MAX];
};

/* 0, or -1 when it is neither form or an algorithm that we do not have. */
int checksum_parse(const char *s, size_t len, struct checksum *ret);
/* Provider headers: Content-MD5 (base64), Digest / Repr-Digest (RFC 3230, 9530): 0 or -1. */
int checksum_parse_header(const char *name, const char *value, size_t len, struct checksum *ret);

#endif
