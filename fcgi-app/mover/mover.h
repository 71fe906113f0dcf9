/* SPDX-License-Identifier: Apache-2.0
 *
 * The mover's own types: what its files share.  One process, one loop; every
 * pointer here is used by the loop's thread alone.  The other thread computes
 * digests (hashing.h) and knows none of this.
 *
 *	client    one connection that a worker handed over (client.h)
 *	asset     backend + collection + item + asset: who its source is (asset.c)
 *	resource  an asset, or one sub-path of it: facts, and its transfer (asset.c)
 *	source    where the bytes are and how to be let in (asset.c)
 *	pull      one GET at a provider, with a slot (pull.c)
 *	transfer  one movement of a whole body into the spool, and to everyone who waits (transfer.c)
 */
#ifndef MOVER_MOVER_H
#define MOVER_MOVER_H

#include <sys/queue.h>
#include <uthash.h>

#include "cache/shared.h"
#include "cache/store.h"
#include "ipc/account.h"
#include "ipc/handover.h"
#include "ipc/resolve.h"
#include "mover/loop.h"
#include "mover/source_s3.h"
#include "net/fetch.h"
#include "role.h"
#include "wire/problem.h"
#include "wire/range.h"

enum {
	SOURCE_MARGIN_MS = 60000,	/* a source is used until so long before its credentials end */
	SOURCE_UNKNOWN_MS = 600000,	/* ... and so long when that is unknown */
	NEGATIVE_MS = 30000,		/* "no such asset" is kept so long */
	READ_AHEAD = 1 << 20,		/* a range that begins within so much of the spool's end waits for it */
	UNKNOWN_STEP = 64 << 20,	/* bytes reserved at a time when the length is unknown */
	CLIENT_STALL_MS = 120000,	/* a client that takes nothing for so long is let go */
	CLIENT_OUT_MAX = 256 << 10,	/* bytes that wait for one client to read */
	CLIENT_LINGER_MS = 2000,	/* after END_REQUEST we wait so long for the front to close */
	/* for the accountant's answer, since the last one that it gave to anybody */
	RESERVE_WAIT_MS = 100,		/* ... who is let in without it */
	RESERVE_REFUSED_MS = 1000,	/* ... who is not: a new accountant is there sooner */
	RESERVE_CROWD_MS = 2000,	/* ... and in all */
};

struct mover {
	struct role_env *env;
	struct loop *loop;
	struct net *net;
	struct store *store;
	bool store_bad;			/* away or full, and that was told */
	struct shared shared;		/* with the other hosts */
	char life[9];			/* this process, in names of leases; "": not made yet */
	uint32_t leases;		/* named */
	bool forgery_told;
	struct timer net_timer, tick;
	struct watch control_watch, handover_watch;
	bool draining, over;
	bool taking;			/* hand-overs are watched */
	size_t files_max;		/* clients, by the limit of descriptors */
	int64_t drain_until_ms;
	struct s3_sources *s3_sources;
	struct assets *assets;
	struct items *items;
	struct resolvers *resolvers;
	struct slots *slots;
	struct accounts *accounts;
	struct hasher *hasher;
	struct gather *gather;		/* bytes on their way to a spool */
	TAILQ_HEAD(, client) clients;
	TAILQ_HEAD(transfer_list, transfer) transfers;
	size_t n_clients, n_transfers;
	size_t rush;			/* the most clients since the heap was given back */
	uint64_t spool_bytes;		/* of all transfers */
};

static inline const struct config *
mover_config(const struct mover *m)
{
	return m->env->config;
}

/* How many it serves at once: what is configured, and what the limit of descriptors allows. */
static inline size_t
mover_clients_max(const struct mover *m)
{
	return m->files_max < mover_config(m)->clients_max ? m->files_max : mover_config(m)->clients_max;
}

/* Why something could not be had.  Texts are static or live as long as the struct. */
struct failure {
	int status;			/* for the client */
	enum problem_source who;
	const char *detail;		/* for the client: ours, never a provider's */
	char reason[160];		/* for the log: no secrets */
	int64_t retry_after_s;		/* -1 none */
};
#define FAILURE(st, w, d) ((struct failure){ .status = (st), .who = (w), .detail = (d), .retry_after_s = -1 })

/* ---- asset.c --------------------------------------------------------- */

struct source {
	unsigned refs;
	bool ours;			/* an object of our store, at the storage: it counts for no provider */
	struct s3_source *s3;		/* then there is no URL, nor what belongs to one; or NULL */
	char *url, *method, *body;
	bool for_clients;		/* they may see the URL */
	char **headers;			/* credentials */
	size_t n_headers;
	int64_t good_until_ms;		/* wall clock */
	char *media_type, *filename;
	uint64_t size;			/* UINT64_MAX unknown */
	struct checksum checksum;
	bool tls_verify;
	char *digest_user;
};
struct source *source_ref(struct source *s);
void source_unref(struct source *s);

/* Whoever waits for a source.  One of the two is called, once, never from inside asset_want. */
struct want {
	TAILQ_ENTRY(want) link;
	void (*ready)(void *arg);
	void (*failed)(void *arg, const struct failure *f);
	void *arg;
	struct asset *asset;		/* NULL: not in its list */
	struct want_list *told;		/* in the list of those who are being told, or NULL */
};
TAILQ_HEAD(want_list, want);

struct facts {			/* what is known of a resource's bytes */
	bool known;
	char *etag, *media_type, *disposition;
	int64_t last_modified;		/* -1 unknown */
	uint64_t size;			/* UINT64_MAX unknown */
	int64_t until_ms;		/* mono */
};
void facts_release(struct facts *f);
void facts_copy(struct facts *dst, const struct facts *src);

struct asset {
	UT_hash_handle hh;
	struct mover *m;
	char *backend, *collection, *item, *name;
	unsigned refs;			/* resources, wants, jobs */
	struct source *source;		/* NULL: none good */
	bool source_fresh;		/* made after the last one was refused */
	bool asking;
	int64_t negative_until_ms;	/* mono */
	struct failure negative;
	struct item_wait *item_wait;
	struct resolve_ticket *ticket;
	char trace[TRACE_SIZE], id[CHARGE_ID_MAX + 1];	/* of the request that asked */
	char *user;			/* the same, until the resolvers are asked; or NULL */
	struct want_list wants;
	struct resource *resources;	/* hash by sub-path */
	TAILQ_ENTRY(asset) lru;
	size_t key_len;
	char key[];
};

struct resource {
	UT_hash_handle hh;
	struct asset *asset;
	unsigned refs;
	struct facts facts;
	uint64_t asked;			/* bytes that ranges have asked for */
	bool no_ranges;			/* the provider answers 200 to ranges */
	bool lost;			/* what the store is said to have could not be had: fetched, not looked for */
	struct transfer *transfer;
	struct pull *probe;
	TAILQ_HEAD(probe_waiters, client) probe_waiters;
	char *key;			/* in the store; NULL: never stored */
	char subpath[];			/* "" for the asset itself */
};

struct assets *assets_new(struct mover *m);
void assets_free(struct assets *as);
/* The resource of a hand-over; one reference for the caller. */
struct resource *resource_get(struct mover *m, const struct handover *h);
struct resource *resource_ref(struct resource *r);
void resource_unref(struct resource *r);
/* Has it a source that is good now? */
bool asset_has_source(struct asset *a);
/* Wait for one.  refused: the source that was just used (401, 403) is no good; NULL else. */
void asset_want(struct asset *a, struct want *w, const struct handover *h, const struct source *refused);
void asset_unwant(struct want *w);
void assets_tell_bounds(struct mover *m);	/* each tick */
/* The source is wrong (401, 403, 404 upstream). */
void asset_drop_source(struct asset *a, const struct source *s);
/* What the first answer says, and what the catalogue says of it. Fills f (known). */
void facts_from_response(struct facts *f, const struct source *s, const struct resource *r,
    const struct fetch_response *resp, uint64_t total);

/* ---- items.c: STAC items, fetched from the catalogue, kept shortly ---- */

struct item_wait;
/* status 200 with the text (borrowed during the call), 0: no item to be had (search instead), else f says why. */
typedef void item_fn(void *arg, int status, const char *json, size_t len, const struct failure *f);
struct items *items_new(struct mover *m);
void items_free(struct items *it);
/* fn is never called from inside.  NULL never. */
struct item_wait *items_want(struct mover *m, const char *backend, const char *collection, const char *item,
    const char *id, const char *trace, item_fn *fn, void *arg);
void items_unwant(struct item_wait *w);		/* NULL is fine; fn is not called any more */
void items_expire(struct mover *m);		/* each tick */

/* ---- resolvers.c: the conversation with broker and resolvers ---------- */

struct resolve_ticket;
typedef void resolved_fn(void *arg, const struct resolve_answer *a);	/* borrowed; a failure has kind RESOLVE_FAILED */
struct resolvers *resolvers_new(struct mover *m);
void resolvers_free(struct resolvers *r);
/* user: whose turn it takes, as user_key says it. */
struct resolve_ticket *resolvers_ask(struct mover *m, const struct resolve_job *job, const char *user, resolved_fn *fn,
    void *arg);
void resolvers_cancel(struct resolve_ticket *t);	/* NULL is fine */
void resolvers_expire(struct mover *m);		/* each tick */

/* ---- pull.c: one GET at a provider, with a slot (queue.c) -------------- */

struct pull;
struct pull_ops {
	int (*on_response)(void *arg, struct pull *p, const struct fetch_response *r);	/* 0, -1 stop */
	int (*on_data)(void *arg, struct pull *p, const char *data, size_t n);		/* as fetch_ops */
	/* Over, the pull is freed after it.  fr is NULL when there was no response. */
	void (*on_done)(void *arg, struct pull *p, enum fetch_error x, const char *reason);
};
struct pull_want {
	const struct source *source;	/* a reference is taken */
	const char *backend;		/* whose slot it takes; NULL: none, the source is ours */
	const char *subpath, *id, *trace;
	const char *user;		/* whose turn it takes; NULL: the site's */
	bool has_range;
	uint64_t first, last;
	uint64_t max_size;
	int64_t deadline_ms;		/* mono, for the first byte; 0 none */
	bool background;		/* never takes the last slot, yields to those who wait */
	const char *if_range;		/* NULL without */
};
/* The name under which a request takes turns: realm and user. */
enum { USER_KEY_SIZE = 32 + IDENTITY_NAME_MAX + 2 };
const char *user_key(const struct handover *h, char ret[USER_KEY_SIZE]);
struct slots *slots_new(struct mover *m);
void slots_free(struct slots *s);
/* NULL and f: the queue is full, or the source is forbidden at once.  Callbacks never come from inside. */
struct pull *pull_start(struct mover *m, const struct pull_want *w, const struct pull_ops *ops, void *arg, struct failure *f);
void pull_cancel(struct pull *p);		/* NULL is fine; no callback comes any more, also from inside one */
void pull_resume(struct pull *p);
void pull_foreground(struct pull *p);		/* somebody waits for it: it makes way no more; NULL is fine */
void pull_give(struct pull *p, const struct pull_ops *ops, void *arg);	/* its callbacks go there from now on */
const struct source *pull_source(const struct pull *p);
uint64_t pull_bytes(const struct pull *p);	/* body bytes so far */
bool pull_excess(const struct pull *p);		/* in on_done: more came than was announced, and was cut */
/* Is a slot free for work that nobody waits for? */
bool slots_idle(struct mover *m, const char *backend);
/* The client's answer to a provider's status or to a fetch that failed. */
struct failure failure_of_status(const struct fetch_response *r);
struct failure pull_failure(const struct pull *p, enum fetch_error x, const char *reason);	/* in on_done */
struct failure failure_of_fetch(enum fetch_error x, const char *reason);
void slots_tell_bounds(struct mover *m);	/* each tick */

/* ---- account.c: reservations and settlements ---------------------------- */

struct reservation;
typedef void reserved_fn(void *arg, const struct quota_answer *a);
struct accounts *accounts_new(struct mover *m);
void accounts_free(struct accounts *a);
/*
 * fn comes so long after the last answer to anybody at the latest, never from inside;
 * ch->reserved has grown by then when it was granted.
 */
struct reservation *account_ask(struct mover *m, struct charge *ch, const uint64_t add[QUOTA_KINDS], reserved_fn *fn, void *arg);
void account_cancel(struct reservation *r);	/* a grant that comes later is given back */
void account_settle(struct mover *m, const struct account_settle *s);
/* So much waits for the accountant that no new client should be taken: each brings more, and none is dropped. */
bool accounts_full(const struct mover *m);

/* ---- transfer.c ------------------------------------------------------- */

struct transfer;
/* Begin one for the resource, which has a good source.  NULL and f on refusal. */
struct transfer *transfer_start(struct mover *m, struct resource *r, const struct handover *h, bool background, struct failure *f);
/* The provider's 200 answer to a range becomes the transfer: takes the pull.  NULL: it failed; stop the pull. */
struct transfer *transfer_adopt(struct mover *m, struct resource *r, const struct handover *h, struct pull *p,
    const struct fetch_response *resp);
void transfer_join(struct transfer *t, struct client *c);
void transfer_leave(struct transfer *t, struct client *c);
/* A client has moved on (its position grew): the window may move. */
void transfer_progress(struct transfer *t);
bool transfer_head_known(const struct transfer *t);
const struct facts *transfer_facts(const struct transfer *t);	/* when the head is known */
uint64_t transfer_reach(const struct transfer *t);	/* clients may read up to here */
uint64_t transfer_tail(const struct transfer *t);	/* and from here */
uint64_t transfer_head(const struct transfer *t);	/* bytes that came */
bool transfer_ended(const struct transfer *t);		/* whole and verified: reach is the end */
ssize_t transfer_read(const struct transfer *t, void *dst, size_t n, uint64_t off);
/*
 * Somebody's charge pays for the upstream bytes: the first client that asks
 * here is the payer and reserves what is returned (0 when the length is
 * unknown).  false: another one pays.
 */
bool transfer_bill(struct transfer *t, const struct client *c, uint64_t *ret_n);
void transfer_paid(struct transfer *t, const struct client *c, uint64_t reserved);	/* its reservation was granted */
void transfer_unpaid(struct transfer *t, const struct client *c);			/* it was not, or c left */
const char *transfer_encoding(const struct transfer *t);	/* Content-Encoding, or NULL */
bool transfer_stores(const struct transfer *t);
void gather_init(struct mover *m);			/* once, before the first transfer; freed with free(3) */
void transfers_cut(struct mover *m);			/* the end of the process: all fail */
void transfers_tell_bounds(struct mover *m);		/* each tick */
size_t transfer_clients(const struct transfer *t);

#endif
