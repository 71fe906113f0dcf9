/* SPDX-License-Identifier: Apache-2.0
 *
 * The spool of one transfer: bytes [tail, head) of a body.  A file on the
 * cache's file system; when that cannot grow, what comes goes to memory in a
 * small window, and the file keeps what it had.
 */
#ifndef MOVER_SPOOL_H
#define MOVER_SPOOL_H

#include "base/err.h"

enum {
	SPOOL_BLOCK = 1 << 16,	/* space is given back in whole blocks */
};

struct spool {
	int fd, mem_fd;			/* -1: none */
	uint64_t switch_at;		/* bytes from here on are in mem_fd */
	uint64_t tail, head;
};

/* Takes fd; -1: memory from the start.  0, or -1 and e. */
int spool_init(struct spool *s, int fd, struct err *e);
void spool_release(struct spool *s);
/* Append.  0; 1 when it went to memory for the first time (the file is full); -1 and e. */
int spool_add(struct spool *s, const void *data, size_t n, struct err *e);
ssize_t spool_read(const struct spool *s, void *dst, size_t n, uint64_t off);	/* as pread; off in [tail, head) */
/* Nobody needs bytes before to any more: give their space back.  Returns how many. */
uint64_t spool_drop(struct spool *s, uint64_t to);
bool spool_in_memory(const struct spool *s);

#endif
