/* SPDX-License-Identifier: Apache-2.0
 *
 * Settlements on their way.  Worker.
 *
 * The socket is full only while the accountant is away or cannot write its
 * ledger.  The first settlement then waits a second (the worker sees to it); further ones queue here
 * without waiting, up to a number at which the worker stops to accept.
 */
#include "base/base.h"

#include "worker/settle.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/fd.h"
#include "role.h"

enum { RETRY_MS = 20, QUEUE_MAX = 4096, SEND_MAX = 8 };

struct settle_one {
	struct settle_one *next;
	size_t len;
	char data[];
};

void
settle_init(struct settle_queue *q, int fd)
{
	(void)fd_set_nonblock(fd, true);	/* a full socket is waited for here, by poll */
	q->fd = fd;
	q->first = NULL;
	q->last = &q->first;
	q->n = 0;
	q->behind = false;
	buf_init(&q->msg, ACCOUNT_MAX);
	stat_bound(BOUND_CHARGES, 0, QUEUE_MAX);
}

/* Send from the front of the queue as much as goes now. */
static void
send_some(struct settle_queue *q)
{
	struct iovec data[SEND_MAX];
	struct settle_one *s;
	size_t n;
	int sent;

	do {
		n = 0;
		for (s = q->first; s != NULL && n < SEND_MAX; s = s->next)
			data[n++] = (struct iovec){ s->data, s->len };
		sent = n == 0 ? 0 : fd_send_many(q->fd, data, n);
		for (int i = 0; i < sent; i++) {
			s = q->first;
			q->first = s->next;
			if (q->first == NULL)
				q->last = &q->first;
			q->n--;
			free(s);
		}
	} while (sent == SEND_MAX);
}

static bool
flush_until(struct settle_queue *q, int64_t until_ms)
{
	struct pollfd p = { .fd = q->fd, .events = POLLOUT };

	for (;;) {
		send_some(q);
		if (q->first == NULL || clock_mono_ms() >= until_ms)
			break;
		(void)poll(&p, 1, RETRY_MS);	/* tried again whatever it says */
	}
	stat_gauge(GAUGE_CHARGES_QUEUED, q->n);
	stat_bound(BOUND_CHARGES, q->n, QUEUE_MAX);
	q->behind = q->first != NULL;
	return !q->behind;
}

bool
settle_flush(struct settle_queue *q, int wait_ms)
{
	if (q->first == NULL)
		return true;
	return flush_until(q, clock_mono_ms() + wait_ms);
}

void
settle_add(struct settle_queue *q, const struct account_settle *s)
{
	struct buf *msg = &q->msg;
	struct account_settle short_one;
	struct settle_one *one;

	buf_clear(msg);
	account_settle_put(msg, s);
	if (!buf_ok(msg)) {	/* the one part that can be longer than a message */
		short_one = *s;
		short_one.subpath = NULL;
		buf_clear(msg);
		account_settle_put(msg, &short_one);
	}
	buf_must(msg);
	one = mem_alloc(sizeof(*one) + msg->len);
	one->len = msg->len;
	memcpy(one->data, msg->data, msg->len);
	*q->last = one;
	q->last = &one->next;
	q->n++;
	if (settle_is_full(q))
		role_bound(BOUND_CHARGES, s->charge.id, QUEUE_MAX, "no new connection is taken", NULL);
}

bool
settle_send(struct settle_queue *q)
{
	bool behind = q->behind;

	return q->first == NULL || flush_until(q, 0) || behind;
}

bool
settle_is_full(const struct settle_queue *q)
{
	return q->n >= QUEUE_MAX;
}

size_t
settle_release(struct settle_queue *q)
{
	struct settle_one *s;
	size_t lost = q->n;

	while (q->first != NULL) {
		s = q->first;
		q->first = s->next;
		free(s);
	}
	buf_release(&q->msg);
	settle_init(q, q->fd);
	return lost;
}
