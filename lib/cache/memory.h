/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of objects, in memcached, so that a hit need not ask the
 * store each time.  It may be gone, late or out of date at any time: it says
 * where to look, and the store has the last word (If-Match).  Nothing in it
 * names a key or a bucket, and nothing is believed that was not sealed with
 * the site's secret (cache/seal.h).
 *
 * One handle per process.  Everything here waits for one round trip, at most
 * for the time that the client was made with, and for nothing while memcached
 * is known to be away.
 */
#ifndef CACHE_MEMORY_H
#define CACHE_MEMORY_H

#include "cache/seal.h"
#include "cache/store.h"
#include "memcached/client.h"

enum { MEMORY_KEYS_MAX = 16 };		/* of one look */

enum memory_state { MEMORY_UNKNOWN, MEMORY_PRESENT, MEMORY_ABSENT };

struct memory_entry {
	enum memory_state state;
	int64_t until_s;		/* believed until then, since 1970; not for MEMORY_UNKNOWN */
	/* of MEMORY_PRESENT */
	int64_t ends_s;			/* as in struct store_object; it may be after until_s */
	struct object_meta meta;
	char *store_etag;		/* the store's own, with quotes: for If-Match */
};
void memory_entry_release(struct memory_entry *e);	/* its strings; a zeroed one is allowed */

/* Since the handle was made. */
struct memory_counts {
	uint64_t present, absent;	/* that was remembered */
	uint64_t unknown;		/* that was not, or could not be asked for */
	uint64_t forged;		/* of those: values that were not sealed by us */
	uint64_t away;			/* calls that found memcached away, or knew that it is */
};

struct memory;

/* Both are borrowed until memory_free. */
struct memory *memory_new(struct mc *mc, struct seal *seal);
void memory_free(struct memory *m);	/* NULL is allowed */

/* Fills ret[n]; the caller releases each.  n is at most MEMORY_KEYS_MAX.  With m NULL nothing is known. */
void memory_look(struct memory *m, const char *const *keys, size_t n, struct memory_entry *ret);
/*
 * Remember until e->until_s, which the caller bounds: by what is configured, and by what the
 * retention leaves.  MEMORY_ABSENT never takes the place of what is there: who found nothing may
 * be later than who published.  0, or -1: it was not kept (away, m is NULL, no time is left,
 * something is there, or the entry is none that a store has).
 */
int memory_keep(struct memory *m, const char *key, const struct memory_entry *e);
/* The store said otherwise.  0, or -1: away. */
int memory_forget(struct memory *m, const char *key);
const struct memory_counts *memory_counts(const struct memory *m);

/* The format, without the seal.  0, or -1: no such entry (out and ret are as they were, or empty). */
int memory_write(const struct memory_entry *e, struct buf *out);
int memory_parse(const void *data, size_t n, struct memory_entry *ret);

#endif
