/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps 2 to 6: who, may they, may they still, is it here, what does it cost.
 * The answer is a struct decision; nothing is written here.
 */
#ifndef WORKER_DECIDE_H
#define WORKER_DECIDE_H

#include "access/delivery.h"
#include "access/rules.h"
#include "cache/memory.h"
#include "cache/store.h"
#include "quota/quota.h"
#include "wire/problem.h"
#include "worker/request.h"
#include "worker/route.h"

struct scoreboard;

struct decide_env {
	const struct config *config;
	struct counters *counters;	/* NULL: no memcached configured */
	struct store *store;
	const struct scoreboard *board;	/* what movers say of the store; NULL: nothing */
	struct memory *memory;		/* of a store that is not in this machine; NULL: nothing is remembered */
};

enum decision_kind {
	DECISION_PROBLEM,	/* ->problem */
	DECISION_OPTIONS,	/* 204 */
	DECISION_OWN,		/* a route of ours: endpoints.c */
	DECISION_NOT_MODIFIED,	/* 304 from ->object */
	DECISION_HEAD,		/* of a cached ->object */
	DECISION_FRONT,		/* the front sends ->object: its file, or what is at ->url */
	DECISION_STREAM,	/* the mover sends ->object */
	DECISION_REDIRECT,	/* 302 to ->url */
	DECISION_MISS,		/* the mover gets it */
};

struct decision {
	enum decision_kind kind;
	const char *verdict;		/* for the log: "allow", "deny", "login", "bad", "over-quota", ... */
	struct identity who;
	const struct rule *rule;	/* NULL: none matched, or not asked */
	const struct dataset *dataset;	/* NULL: never stored */
	struct buf key;			/* of the object; empty without dataset */
	struct store_object object;	/* has_object */
	int object_fd;			/* DECISION_STREAM: its file, where it is one; else -1 */
	struct buf url;			/* of an object that is no file: a secret.  Empty where the mover sends it */
	uint32_t url_life_s;		/* DECISION_REDIRECT */
	enum delivery delivery;		/* of the rule, for this request */
	const char *delivery_why;	/* it is not the rule's: a word; or NULL */
	bool has_object;
	uint64_t first, last;		/* the bytes that a hit carries, inclusive, when has_range */
	bool has_range;
	struct charge charge;
	uint64_t add[QUOTA_KINDS];	/* to be reserved */
	bool locating, reserving;	/* decide_locate, decide_reserve is due */
	bool charged;			/* it passed the quota: the charge is to be settled */
	struct quota_answer quota;	/* has_quota: for the RateLimit headers */
	bool has_quota;
	struct problem problem;		/* its detail points below; headers and members are there too */
	char detail[ERR_TEXT_MAX];
	struct buf headers, members;	/* more lines, more JSON members, of a problem */
};

void decision_init(struct decision *d);
void decision_release(struct decision *d);

/*
 * Fills d (initialised; envp: for the identity), up to what is in the cache.  Then, of several
 * requests that are here at once (at most DECIDE_MAX), all together: one look into what is
 * remembered, and one round trip to the counters.  What each borrows stays until its answer is made.
 */
enum { DECIDE_MAX = 16 };	/* as many as both can be asked at once */
void decide_begin(struct decision *d, const struct decide_env *env, const struct request *r,
    const struct route *route, char *const *envp);
void decide_locate(struct decision *const d[], const struct request *const r[], const struct route *const route[],
    size_t n, const struct decide_env *env);
void decide_reserve(struct decision *const d[], const struct request *const r[], size_t n,
    const struct decide_env *env);

/* Of DECISION_FRONT, _STREAM and _REDIRECT: how many of the object's bytes the answer carries. */
uint64_t decision_bytes(const struct decision *d);

/* Turn d into an error answer; detail is copied. */
void decision_problem(struct decision *d, const struct request *r, int status, enum problem_source source,
    const char *type, const char *detail);

#endif
