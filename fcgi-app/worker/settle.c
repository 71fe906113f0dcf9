/* SPDX-License-Identifier: Apache-2.0
 *
 * Settlements on their way.  Worker.
 *
 * The socket is full only while the accountant is away or cannot write its
 * ledger.  The first settlement then waits a second; further ones queue here
 * without waiting, up to a number at which the worker stops to accept.
 */
#include "base/base.h"

#include "worker/settle.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "stat/scoreboard.h"

enum { FIRST_WAIT_MS = 1000, RETRY_MS = 20, QUEUE_MAX = 4096 };

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
}

/* 0 sent, 1 not now. */
static int
try_send(struct settle_queue *q, const void *data, size_t n)
{
	int r;

	do {
		r = fd_send(q->fd, data, n, NULL, 0);
	} while (r == -1 && errno == EINTR);
	return r == 0 ? 0 : 1;
}

static bool
flush_until(struct settle_queue *q, int64_t until_ms)
{
	struct pollfd p = { .fd = q->fd, .events = POLLOUT };
	struct settle_one *s;

	while (q->first != NULL) {
		s = q->first;
		if (try_send(q, s->data, s->len) == 0) {
			q->first = s->next;
			if (q->first == NULL)
				q->last = &q->first;
			q->n--;
			free(s);
			continue;
		}
		if (clock_mono_ms() >= until_ms)
			break;
		(void)poll(&p, 1, RETRY_MS);	/* tried again whatever it says */
	}
	stat_gauge(GAUGE_CHARGES_QUEUED, q->n);
	return q->first == NULL;
}

bool
settle_flush(struct settle_queue *q, int wait_ms)
{
	if (q->first == NULL)
		return true;
	return flush_until(q, clock_mono_ms() + wait_ms);
}

void
settle_send(struct settle_queue *q, const struct account_settle *s)
{
	struct buf msg = BUF_INIT(ACCOUNT_MAX);
	struct account_settle short_one;
	struct settle_one *one;
	bool waited_already = q->first != NULL;

	account_settle_put(&msg, s);
	if (!buf_ok(&msg)) {	/* the one part that can be longer than a message */
		short_one = *s;
		short_one.subpath = NULL;
		buf_clear(&msg);
		account_settle_put(&msg, &short_one);
	}
	MUST(buf_ok(&msg));
	if (waited_already)
		(void)settle_flush(q, 0);
	if (q->first == NULL && try_send(q, msg.data, msg.len) == 0) {
		buf_release(&msg);
		return;
	}
	one = mem_alloc(sizeof(*one) + msg.len);
	one->len = msg.len;
	memcpy(one->data, msg.data, msg.len);
	*q->last = one;
	q->last = &one->next;
	q->n++;
	buf_release(&msg);
	if (!waited_already && !flush_until(q, clock_mono_ms() + FIRST_WAIT_MS))
		log_warn(s->charge.id, "EO-WORKER-SETTLE", "the accountant takes no settlements, they are kept");
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
	settle_init(q, q->fd);
	return lost;
}
