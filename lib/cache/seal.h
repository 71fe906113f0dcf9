/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and values of a store's in a memcached that others may write to, too.
 * A name tells nobody without the secret what it is the name of, and a value
 * is believed only as it was sealed: by a holder of the secret, for this
 * store, under this name.  Pure.
 */
#ifndef CACHE_SEAL_H
#define CACHE_SEAL_H

#include "base/buf.h"
#include "base/hmac.h"

enum {
	SEAL_NAME_SIZE = 45,		/* "eo:", the kind, 40 hex digits and a NUL */
	SEAL_VALUE_MAX = 8192,		/* bytes of a sealed value */
	SEAL_BODY_MAX = SEAL_VALUE_MAX - HMAC_SIZE,
};

/* What a name is of. */
enum seal_kind { SEAL_OBJECT = 'o', SEAL_LEASE = 'l' };

struct seal;

/* store: its endpoint, bucket and prefix in one text, the same on all hosts.  Neither is kept. */
struct seal *seal_new(const char *secret, const char *store);
void seal_free(struct seal *s);		/* wipes; NULL is allowed */

/* The name of an object's key (at most KEY_MAX bytes), whatever bytes are in it. */
void seal_name(struct seal *s, enum seal_kind kind, const char *key, char ret[SEAL_NAME_SIZE]);
/* Seal the whole of value, at most SEAL_BODY_MAX bytes, for that name.  0, or -1: it did not fit. */
int seal_close(struct seal *s, const char *name, struct buf *value);
/* Bytes of the body, which is at the front; -1: not sealed by us for that name.  In constant time. */
ssize_t seal_open(struct seal *s, const char *name, const void *value, size_t n);

#endif
