/* SPDX-License-Identifier: Apache-2.0
 *
 * What counters_memcached.c and counters_epoch.c share; nobody else's.
 */
#ifndef QUOTA_PRIVATE_H
#define QUOTA_PRIVATE_H

#include "quota/counters.h"

#include <sys/socket.h>
#include <sys/types.h>

enum { COUNTERS_IN_SIZE = 8192, MARK_KEY_SIZE = 40 };

/* From here on a value is nonsense: nothing that we add gets there. */
#define COUNTERS_VALUE_MAX ((uint64_t)1 << 63)

/* One server, and the connection to it. */
struct conn {
	char *host, port[8];		/* host NULL: a Unix socket */
	struct sockaddr_storage addr;
	socklen_t addr_len;		/* 0: not resolved yet */
	int fd;				/* -1: none */
	bool connecting;
	bool reused;			/* it was open before this run */
	struct buf out;
	size_t sent;			/* of out */
	char in[COUNTERS_IN_SIZE];
	size_t in_len;
	size_t discard;			/* bytes of a value that nobody wants */
	size_t posted;			/* answers that are due to nobody; they come first */
	size_t posting;			/* of those, to what is in out */
	size_t asked, due;		/* answers that this run asked for, and that did not come yet */
	size_t next;			/* index of the operation that the next of them belongs to */
	char mark[MARK_KEY_SIZE];	/* the key under which it keeps its epoch */
	bool marking;			/* this run asks for that last */
	uint64_t epoch;			/* what it was told then; 0: nothing there */
};

struct memcached_st;

struct mc {
	struct counters base;
	struct memcached_st *ring;
	struct conn *conn;
	size_t n_conns;
	uint32_t timeout_ms;
	pid_t pid;
	int64_t away_until_ms;
	uint64_t epoch;			/* of the counters; 0: to be asked for */
	bool fixed;			/* it is given, whatever the marks say */
	char space[24];			/* what the keys of that epoch begin with */
};

bool mc_usable(const struct mc *s);	/* not known to be away */
int mc_away(struct mc *s);		/* from now on; -1 */
void mc_set_epoch(struct mc *s, uint64_t epoch);	/* 0: unknown */
int mc_conn_open(struct conn *c);	/* 0 (it may still be on its way), or -1 */
int mc_conn_send(struct conn *c);	/* what is left of out: 0, or -1 broken */
void mc_conn_close(struct conn *c);
/* A value as memcached keeps it; UINT64_MAX for nonsense. */
uint64_t mc_value_parse(const char *p, size_t n);
/* The keys of the marks: by all servers, in whatever order, and this one of them. */
void mc_name_marks(struct mc *s, const struct strs *servers);

#endif
