/* SPDX-License-Identifier: Apache-2.0
 *
 * What every process is doing, in shared memory: made by the master, mapped
 * by all.  Each slot is written by its own process (and by the master when
 * there is none); counters only grow, and stay when a process is replaced.
 * Readers treat text as untrusted.  All access is by __atomic builtins.
 */
#ifndef STAT_SCOREBOARD_H
#define STAT_SCOREBOARD_H

#include "base/buf.h"
#include "base/err.h"

enum role { ROLE_MASTER, ROLE_WORKER, ROLE_MOVER, ROLE_BROKER, ROLE_RESOLVER, ROLE_ACCOUNTANT, ROLES };
enum slot_state { SLOT_EMPTY, SLOT_STARTING, SLOT_READY, SLOT_BUSY, SLOT_DRAINING, SLOT_DEAD, SLOT_STATES };

/* One row per counter: X(NAME, "prometheus_name", "help").  Summed over slots. */
#define COUNTERS(X)									\
	X(REQUESTS, "requests_total", "requests decided by workers")			\
	X(HITS, "hits_total", "answered from the cache")				\
	X(MISSES, "misses_total", "handed over to a mover")				\
	X(DENIED, "denied_total", "refused by rules")					\
	X(OVER_QUOTA, "over_quota_total", "refused by a quota")				\
	X(BAD_REQUESTS, "bad_requests_total", "answered 400, 405, 414")			\
	X(CLIENT_ERRORS, "client_errors_total", "answered 4xx")				\
	X(SERVER_ERRORS, "server_errors_total", "answered 5xx")				\
	X(QUOTA_AWAY, "quota_away_total", "decisions without the quota store, which was slow or away")		\
	X(HANDOVERS_SENT, "handovers_sent_total", "connections handed over by workers")	\
	X(HANDOVERS_TAKEN, "handovers_taken_total", "connections taken by movers")	\
	X(HANDOVERS_REFUSED, "handovers_refused_total", "queue full, answered 503")	\
	X(TRANSFERS, "transfers_total", "transfers started")				\
	X(TRANSFERS_JOINED, "transfers_joined_total", "requests that joined one")	\
	X(RESUMES, "resumes_total", "bodies that broke off and were resumed")		\
	X(TRANSFERS_FAILED, "transfers_failed_total", "transfers that failed")		\
	X(PUBLISHED, "published_total", "objects published")				\
	X(MISMATCHES, "mismatches_total", "bodies that failed verification")		\
	X(CUT, "cut_total", "answers cut so that the client sees the failure")		\
	X(CLIENTS_GONE, "clients_gone_total", "clients that left before the end")	\
	X(DELIVERED_BYTES, "delivered_bytes_total", "body bytes written to clients by movers")	\
	X(UPSTREAM_BYTES, "upstream_bytes_total", "body bytes read from providers")	\
	X(UPSTREAM_REQUESTS, "upstream_requests_total", "requests sent to providers")	\
	X(ITEMS_FETCHED, "items_fetched_total", "STAC items fetched")			\
	X(RESOLVES, "resolves_total", "resolve jobs sent")				\
	X(RESOLVES_FAILED, "resolves_failed_total", "resolve jobs that failed")		\
	X(RESOLVER_DEATHS, "resolver_deaths_total", "resolvers that were killed or died")	\
	X(SETTLED, "settled_total", "charges settled")					\
	X(LEDGER_ERRORS, "ledger_errors_total", "ledger lines that had to be retried")	\
	X(RESTARTS, "restarts_total", "children started again")				\
	X(RELOADS, "reloads_total", "configurations taken")				\
	X(UNSTORED, "unstored_total", "transfers that a dataset wanted stored and that were not")	\
	X(STORE_FAILED, "store_failed_total", "requests to the bucket without an answer in time, or with an error of S3's own")	\
	X(STORE_REFUSED, "store_refused_total", "requests to the bucket that S3 refused: keys, clock, bucket, room")	\
	X(LOG_DROPPED, "log_dropped_total", "log lines that could not be written")	\
	X(LOG_SUPPRESSED, "log_suppressed_total", "warnings beyond log.burst")

enum counter {
#define X(name, prom, help) COUNT_##name,
	COUNTERS(X)
#undef X
	COUNTER_N
};

/* Gauges of a slot, set by its process. */
#define GAUGES(X)							\
	X(CLIENTS, "clients", "clients connected to movers")		\
	X(TRANSFERS_NOW, "transfers", "transfers running")		\
	X(SPOOL_BYTES, "spool_bytes", "bytes in the spool")		\
	X(QUEUED, "queued", "requests waiting for a provider slot")	\
	X(CHARGES_QUEUED, "charges_queued", "settlements not yet taken")	\
	X(STORE_AWAY, "store_away", "movers that find the bucket away and serve from the providers")	\
	X(STORE_FULL, "store_full", "movers whose bucket takes nothing; what is in it is served")	\
	X(HEAP_BYTES, "heap_bytes", "memory that is allocated in all processes, but for Python's own")
enum gauge {
#define X(name, prom, help) GAUGE_##name,
	GAUGES(X)
#undef X
	GAUGE_N
};

/*
 * What is bounded: how much of it there is, how much there may be, and how
 * often it was too little.  Set by the process that holds it; where max is 0
 * it has none.  What happens beyond each is in eodata-proxy(8), BOUNDS.
 */
#define BOUNDS(X)									\
	X(SPOOL, "spool_bytes", "bodies of all running transfers")			\
	X(SPOOL_TRANSFER, "spool_transfer_bytes", "the body of one transfer")		\
	X(SPOOL_MEMORY, "spool_memory_bytes", "what one transfer keeps in memory")	\
	X(TRANSFERS, "transfers", "transfers at once")					\
	X(TRANSFER_CLIENTS, "transfer_clients", "clients of one transfer")		\
	X(CLIENTS, "clients", "connections of a mover")					\
	X(CLIENT_MEMORY, "client_memory_bytes", "what is queued for one client")	\
	X(CACHE, "cache_bytes", "what is used of the cache's file system")		\
	X(PROVIDER_SLOTS, "provider_slots", "requests at one provider")			\
	X(PROVIDER_QUEUE, "provider_queue", "requests that wait for one provider")	\
	X(RESOLVE_QUEUE, "resolve_queue", "resolves of one backend that wait or run")	\
	X(RESOLVE_MEMORY, "resolve_memory_bytes", "resolve jobs that wait or run")	\
	X(RESOLVERS, "resolvers", "backends with a resolver")				\
	X(RESOLVER_MEMORY, "resolver_memory_bytes", "address space of one resolver")	\
	X(ITEMS, "items_bytes", "STAC items that are kept or on their way")		\
	X(ASSETS, "assets", "assets that are remembered")				\
	X(BUCKET_REGIONS, "bucket_regions", "buckets of providers whose region is remembered") \
	X(HANDOVERS, "handover_queue_bytes", "requests on their way to a mover")	\
	X(WAITING, "waiting_connections", "connections of a worker without a whole request")	\
	X(CHARGES, "charges_queued", "charges that the accountant has not taken")	\
	X(LEDGER, "ledger_queued_bytes", "ledger lines that are not written")		\
	X(LOG, "log_lines", "lines of one warning in ten seconds")
enum bound {
#define X(name, prom, help) BOUND_##name,
	BOUNDS(X)
#undef X
	BOUND_N
};
struct bound_use { uint64_t used, max, reached; };

/*
 * Which slot belongs to what.  A mover keeps its slot when it is replaced.
 * Workers take any free one of theirs: during a reload two generations
 * overlap.  The broker's k-th resolver uses SLOT_RESOLVER(k).
 */
enum {
	SCOREBOARD_SLOTS = 256, SLOT_NOTE_MAX = 64, SCOREBOARD_MASTER_SIZE = 33,
	SLOT_MASTER = 0, SLOT_ACCOUNTANT = 1, SLOT_BROKER = 2,
	SLOT_MOVERS = 3, SLOT_MOVERS_MAX = 16,
	SLOT_WORKERS = SLOT_MOVERS + SLOT_MOVERS_MAX,
	SLOT_RESOLVERS_MAX = 64,
	SLOT_WORKERS_MAX = SCOREBOARD_SLOTS - SLOT_RESOLVERS_MAX - SLOT_WORKERS,
};
#define SLOT_RESOLVER(k) (SCOREBOARD_SLOTS - 1u - (k))

struct slot {
	uint32_t pid, role, index, state;
	int64_t started_wall_ms;
	uint64_t generation;		/* of the configuration it runs */
	uint64_t jobs;			/* finished */
	uint64_t hand;			/* what it was in the middle of: its successor finds it */
	int64_t deadline_mono_ms;	/* 0: none; past it, the master kills */
	int64_t heartbeat_mono_ms;	/* loops set it every turn */
	char note[SLOT_NOTE_MAX];	/* request id, or the backend of a resolver */
	uint64_t count[COUNTER_N];
	uint64_t gauge[GAUGE_N];
	struct bound_use bound[BOUND_N];
};

struct scoreboard {
	uint32_t magic, version;
	char master[SCOREBOARD_MASTER_SIZE];	/* random digits: of all masters, on whatever hosts, this one */
	int64_t started_wall_ms;
	uint64_t generation;
	uint32_t ready;			/* every role is up */
	uint32_t draining;
	uint32_t movers;		/* that run; a reload does not change it */
	uint32_t reloads_refused;	/* a broken file; the old configuration stays */
	struct slot slot[SCOREBOARD_SLOTS];
};

struct scoreboard *scoreboard_create(int *ret_fd, struct err *e);	/* master */
struct scoreboard *scoreboard_attach(int fd, struct err *e);		/* child; checks magic, version, size */
void scoreboard_detach(struct scoreboard *sb);				/* unmaps; NULL is fine */
/* Set by role start-up: the slot that stat_* write to. */
void stat_init(struct scoreboard *sb, unsigned slot);
/*
 * Make it this process's: pid, role, index, start, SLOT_STARTING; gauges, the
 * use of bounds and the note are emptied, counters and jobs stay.  role_start does both; the
 * broker's children do it themselves.
 */
void stat_claim(enum role role, unsigned index);
void stat_generation(uint64_t generation);
void stat_add(enum counter c, uint64_t n);		/* no-op before stat_init */
#define stat_inc(c) stat_add((c), 1)
void stat_gauge(enum gauge g, uint64_t v);
void stat_bound(enum bound b, uint64_t used, uint64_t max);
void stat_bound_reached(enum bound b);			/* role_bound does it and tells the operator */
void stat_state(enum slot_state s);
void stat_job_done(void);
void stat_deadline(int64_t mono_ms, const char *note);	/* 0 clears */
void stat_heartbeat(void);		/* and, twice a second at most, memory and what log.h has counted */
/* 0: nothing.  stat_claim leaves it, so that a process can end what the one before it has begun. */
void stat_hand(uint64_t what);
uint64_t stat_in_hand(void);
struct slot *stat_slot(void);

const char *role_name(enum role r);
const char *slot_state_name(enum slot_state s);
const char *bound_name(enum bound b);
/* How many of the n slots from first on are SLOT_BUSY, the caller's own left out.  Any role; a glance, no lock. */
unsigned scoreboard_busy(const struct scoreboard *sb, unsigned first, unsigned n);
uint64_t scoreboard_sum(const struct scoreboard *sb, enum counter c);
/*
 * The living process with the fullest of it; NULL: nobody has this bound.
 * *ret: its use and bound, and how often all have reached theirs.
 */
const struct slot *scoreboard_fullest(const struct scoreboard *sb, enum bound b, struct bound_use *ret);
/* Has any mover one that is not 0?  Any role; a glance, no lock. */
bool scoreboard_movers_have(const struct scoreboard *sb, enum gauge g);
/* -/status and -/metrics */
void scoreboard_json(const struct scoreboard *sb, struct buf *out);
void scoreboard_prometheus(const struct scoreboard *sb, struct buf *out);

#endif
