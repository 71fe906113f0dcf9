/* SPDX-License-Identifier: Apache-2.0
 *
 * HMAC-SHA-256 over OpenSSL, for many texts under one key.
 */
#ifndef BASE_HMAC_H
#define BASE_HMAC_H

#include "base/base.h"

enum { HMAC_SIZE = 32 };	/* bytes */

struct hmac;

/* The key is not kept as it is, and may be wiped after.  Without memory the process ends. */
struct hmac *hmac_new(const void *key, size_t n);
/* May be called again and again; each text stands alone. */
void hmac_sum(struct hmac *h, const void *data, size_t n, uint8_t ret[HMAC_SIZE]);
void hmac_free(struct hmac *h);		/* wipes; NULL is allowed */

#endif
