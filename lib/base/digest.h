/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests over OpenSSL EVP: while bytes pass, and of short texts for keys.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/base.h"

enum digest_algo { DIGEST_NONE, DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };
enum { DIGEST_SIZE_MAX = 64 };

struct digest;

size_t digest_size(enum digest_algo algo);		/* bytes */
const char *digest_name(enum digest_algo algo);		/* "sha256" */
/* NULL when the algorithm is not to be had (FIPS without MD5).  Without memory the process ends. */
struct digest *digest_new(enum digest_algo algo);
void digest_add(struct digest *d, const void *data, size_t n);
/* Writes digest_size bytes.  Once only. */
void digest_final(struct digest *d, uint8_t *ret);
void digest_free(struct digest *d);

/* 64 hex digits and a NUL. */
void digest_sha256_hex(const void *data, size_t n, char ret[65]);

#endif
