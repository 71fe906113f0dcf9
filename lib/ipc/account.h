/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers and movers to the accountant: reservations (movers only, answered)
 * and settlements (never lost: the sender keeps one until it could be sent).
 */
#ifndef IPC_ACCOUNT_H
#define IPC_ACCOUNT_H

#include "quota/quota.h"

enum { ACCOUNT_MAX = 16384 };

struct account_reserve {		/* mover -> accountant */
	uint64_t seq;			/* chosen by the mover, returned with the answer */
	struct charge charge;
	uint64_t add[QUOTA_KINDS];
};
struct account_reserved {		/* accountant -> mover */
	uint64_t seq;
	struct quota_answer answer;
};
struct account_settle {			/* worker, mover -> accountant */
	struct charge charge;
	uint64_t actual[QUOTA_KINDS];	/* what it came to; for a hit: as reserved */
	const char *backend, *collection, *item, *asset, *subpath;	/* for the ledger; any may be NULL */
	const char *cache;		/* "hit", "miss", "join", "fill" (a transfer's upstream bytes), "-" */
	const char *rule;
	uint32_t status;
	bool estimated;			/* a hit: the front's log will know better */
};

enum account_type { ACCOUNT_BAD, ACCOUNT_RESERVE, ACCOUNT_RESERVED, ACCOUNT_SETTLE };
enum account_type account_type(const void *data, size_t n);
void account_reserve_put(struct buf *msg, const struct account_reserve *r);
int account_reserve_get(const void *data, size_t n, struct account_reserve *ret);
void account_reserved_put(struct buf *msg, const struct account_reserved *r);
int account_reserved_get(const void *data, size_t n, struct account_reserved *ret);
void account_settle_put(struct buf *msg, const struct account_settle *s);
int account_settle_get(const void *data, size_t n, struct account_settle *ret);	/* borrows from data */

#endif
