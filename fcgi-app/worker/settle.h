/* SPDX-License-Identifier: Apache-2.0
 *
 * Settlements on their way to the accountant.  One that cannot be sent now is
 * kept and sent later; none is dropped.
 */
#ifndef WORKER_SETTLE_H
#define WORKER_SETTLE_H

#include "ipc/account.h"

struct settle_queue {
	int fd;			/* borrowed: SEQPACKET to the accountant */
	struct settle_one *first, **last;
	size_t n;
	struct buf msg;		/* the one at hand; its memory stays */
	bool behind;		/* the socket was full; what comes now queues up */
};

void settle_init(struct settle_queue *q, int fd);
/* It joins the queue; nothing is sent yet. */
void settle_add(struct settle_queue *q, const struct account_settle *s);
/*
 * Behind settle_add: send what is new, without waiting.  False: something is left, and nothing was
 * before; the caller waits for it (settle_flush) when it has nothing else to do.
 */
bool settle_send(struct settle_queue *q);
/* Send what waits, for at most wait_ms.  True when nothing is left. */
bool settle_flush(struct settle_queue *q, int wait_ms);
/* So many wait that no new request should be taken. */
bool settle_is_full(const struct settle_queue *q);
/* Frees what waits.  How many were lost. */
size_t settle_release(struct settle_queue *q);

#endif
