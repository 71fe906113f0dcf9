/* SPDX-License-Identifier: Apache-2.0
 *
 * A client of memcached: blocks of meta commands, one wait for each block.
 * What is asked and what the answers mean is its users' business
 * (quota/counters_memcached.c, cache/memory.c, cache/lease.c).
 *
 * One handle per process and user, made after fork.  A server that is away,
 * late, or answers what is no answer makes the whole handle away: it is found
 * within the time of one block and then left alone for MC_AWAY_MS.
 */
#ifndef MEMCACHED_CLIENT_H
#define MEMCACHED_CLIENT_H

#include "config/config.h"

enum {
	MC_AWAY_MS = 1000,		/* the circuit breaker */
	MC_LATE_PART = 10,		/* an answer is late from this part of timeout_ms on */
	MC_LATE_TIMES = 5,		/* ... and so many timeout_ms of late ones in a second are enough: mc_hurry */
	MC_SERVERS_MAX = 64,
	MC_VALUE_MAX = 8192,		/* bytes of a value that is taken */
	MC_OUT_MAX = 128 * 1024,	/* bytes of the commands of a block for one server */
};

struct mc;

/* servers: "/path", "host", "host:port", "[v6]:port", in the same words and whatever order on all hosts. */
struct mc *mc_new(const struct strs *servers, uint32_t timeout_ms, struct err *e);
void mc_free(struct mc *s);		/* NULL is allowed */

/*
 * From now on, for a loop that must not stand still: a server whose answers come, but late each
 * time, makes the handle away, too.  What waiting for late answers costs is bounded by that, and
 * as many quick ones as one likes are none.
 */
void mc_hurry(struct mc *s);

size_t mc_servers(const struct mc *s);
/* Which of them a key lives on. */
size_t mc_server_of(const struct mc *s, const char *key);
bool mc_usable(const struct mc *s);	/* not known to be away */
/* Close all and leave it alone; for answers that are not what was asked for.  -1. */
int mc_away(struct mc *s);
/* When a block that begins now has to be done: clock_mono_ms. */
int64_t mc_deadline_ms(const struct mc *s);
/* The argument of T and N for so many seconds; 0: for ever. */
uint64_t mc_expiry(uint32_t ttl_s);

enum mc_status {
	MC_VALUE,		/* VA: value, len; cas where c was asked for */
	MC_DONE,		/* HD, or the end of stats */
	MC_ABSENT,		/* EN, NF */
	MC_REFUSED,		/* NS, EX: it is there, or another one by now */
	MC_NONSENSE,		/* a value that is longer than its room (cas is there), or no number to add to */
	MC_FAILED,		/* SERVER_ERROR: it cannot store that */
};

/* What one command asks for, and what came.  The caller's, until the block is over. */
struct mc_reply {
	const char *key;	/* asked for with k: another key is no answer; NULL: not asked for */
	const char *stat;	/* of the command "stats": the line that is wanted */
	char *value;		/* room bytes for a value, up to MC_VALUE_MAX; no NUL is added */
	size_t room;
	/* Only after mc_run said 0: */
	enum mc_status status;
	size_t len;
	uint64_t cas, number;	/* number: of stat; 0 when it has no such line */
	struct mc_reply *next;	/* the client's */
};

/* An empty block. */
void mc_begin(struct mc *s);
/*
 * Another command in it: append its text, with its "\r\n" and value, to what this returns, before
 * the next one.  key, stat, value and room of r are set; NULL in a block that is posted.
 */
struct buf *mc_command(struct mc *s, size_t server, struct mc_reply *r);
/*
 * Send the block and take all answers.  0, or -1: away, and some of it may have happened; what
 * stands in the replies is nothing then.  A block may be sent twice where the server closed a
 * connection that was open before.
 */
int mc_run(struct mc *s, int64_t deadline_ms);
/* Send it and let nobody wait for the answers.  The same. */
int mc_post(struct mc *s, int64_t deadline_ms);

#endif
