/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests of bodies, computed beside the loop.  Mover.
 *
 *	IDLE    all that was added has been read
 *	QUEUED  there is more; it waits for its turn
 *	AT_HAND the thread reads a piece of it
 *
 * Bodies take turns of one piece each.  What is marked below belongs to the lock.
 */
#include "base/base.h"

#include "mover/hashing.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

enum { PIECE = 256 << 10, STACK = 256 << 10 };

enum state { IDLE, QUEUED, AT_HAND };

struct hashing {
	struct hasher *hasher;
	struct digest *digest;		/* the thread's while AT_HAND */
	bool in_loop;			/* the thread never has it */
	void (*fn)(void *arg);
	void *arg;
	/* under the lock */
	enum state state;
	struct spool spool;		/* as it was at the last hashing_add */
	uint64_t reach;
	bool failed;
	bool unwanted;			/* somebody waits to free it */
	bool told;			/* in the list of those whose fn is due */
	TAILQ_ENTRY(hashing) in_queue, in_told;
};

TAILQ_HEAD(hashings, hashing);

struct hasher {
	struct loop *loop;
	struct watch watch;
	int event_fd;
	bool started, impossible;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more, put_down;	/* there is work, or the end; the unwanted one is IDLE */
	/* under the lock */
	struct hashings queue, told;
	bool ending;
	char piece[PIECE];		/* the thread's */
};

/* ---- the thread ----------------------------------------------------------- */

/* Read one piece of h.  Without the lock, which is held before and after. */
static void
read_piece(struct hasher *hr, struct hashing *h)
{
	struct spool s = h->spool;
	uint64_t from = h->reach;
	size_t n = s.head - from < PIECE ? (size_t)(s.head - from) : PIECE;
	ssize_t got;

	h->state = AT_HAND;
	(void)pthread_mutex_unlock(&hr->lock);
	got = spool_read(&s, hr->piece, n, from);
	if (got > 0)
		digest_add(h->digest, hr->piece, (size_t)got);
	(void)pthread_mutex_lock(&hr->lock);
	if (got > 0)
		h->reach += (uint64_t)got;
	else
		h->failed = true;
}

/* More of it, or the loop hears that there is none. */
static void
put_down(struct hasher *hr, struct hashing *h)
{
	if (h->unwanted) {
		h->state = IDLE;
		(void)pthread_cond_signal(&hr->put_down);
		return;
	}
	if (!h->failed && h->reach < h->spool.head) {
		h->state = QUEUED;
		TAILQ_INSERT_TAIL(&hr->queue, h, in_queue);
		return;
	}
	h->state = IDLE;
	if (h->told)
		return;
	h->told = true;
	TAILQ_INSERT_TAIL(&hr->told, h, in_told);
	(void)eventfd_write(hr->event_fd, 1);	/* fails only when it counts already */
}

static void *
thread_run(void *arg)
{
	struct hasher *hr = arg;
	struct hashing *h;

	(void)pthread_mutex_lock(&hr->lock);
	while (!hr->ending) {
		h = TAILQ_FIRST(&hr->queue);
		if (h == NULL) {
			(void)pthread_cond_wait(&hr->more, &hr->lock);
			continue;
		}
		TAILQ_REMOVE(&hr->queue, h, in_queue);
		read_piece(hr, h);
		put_down(hr, h);
	}
	(void)pthread_mutex_unlock(&hr->lock);
	return NULL;
}

/* False: no thread is to be had, now and later. */
static bool
thread_start(struct hasher *hr)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int rc;

	if (hr->started || hr->impossible)
		return hr->started;
	MUST(pthread_attr_init(&attr) == 0);
	(void)pthread_attr_setstacksize(&attr, STACK);	/* else it has the usual one */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are the loop's */
	rc = pthread_create(&hr->thread, &attr, thread_run, hr);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	hr->started = rc == 0;
	hr->impossible = rc != 0;
	if (rc != 0)
		log_warn(NULL, "EO-MOVER-THREAD", "no thread for digests, transfers are slower error='%s'", strerror(rc));
	return hr->started;
}

/* ---- in the loop ------------------------------------------------------------- */

static void
on_event(void *arg, uint32_t events UNUSED)
{
	struct hasher *hr = arg;
	struct hashing *h;
	eventfd_t n;

	(void)eventfd_read(hr->event_fd, &n);
	(void)pthread_mutex_lock(&hr->lock);
	while ((h = TAILQ_FIRST(&hr->told)) != NULL) {
		TAILQ_REMOVE(&hr->told, h, in_told);
		h->told = false;
		(void)pthread_mutex_unlock(&hr->lock);
		h->fn(h->arg);		/* may free it */
		(void)pthread_mutex_lock(&hr->lock);
	}
	(void)pthread_mutex_unlock(&hr->lock);
}

struct hasher *
hasher_new(struct loop *l)
{
	struct hasher *hr = mem_alloc(sizeof(*hr));

	hr->loop = l;
	TAILQ_INIT(&hr->queue);
	TAILQ_INIT(&hr->told);
	MUST(pthread_mutex_init(&hr->lock, NULL) == 0 && pthread_cond_init(&hr->more, NULL) == 0 &&
	    pthread_cond_init(&hr->put_down, NULL) == 0);
	hr->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hr->event_fd == -1 || loop_watch(l, &hr->watch, hr->event_fd, EPOLLIN, on_event, hr) == -1)
		die("cannot watch for digests: %s", strerror(errno));
	return hr;
}

void
hasher_free(struct hasher *hr)
{
	if (hr == NULL)
		return;
	(void)pthread_mutex_lock(&hr->lock);
	MUST(TAILQ_EMPTY(&hr->queue) && TAILQ_EMPTY(&hr->told));
	hr->ending = true;
	(void)pthread_cond_signal(&hr->more);
	(void)pthread_mutex_unlock(&hr->lock);
	if (hr->started)
		(void)pthread_join(hr->thread, NULL);
	loop_unwatch(hr->loop, &hr->watch);
	fd_close(&hr->event_fd);
	(void)pthread_cond_destroy(&hr->put_down);
	(void)pthread_cond_destroy(&hr->more);
	(void)pthread_mutex_destroy(&hr->lock);
	free(hr);
}

struct hashing *
hashing_new(struct hasher *hr, enum digest_algo algo, uint64_t size, void (*fn)(void *arg), void *arg)
{
	struct digest *d = digest_new(algo);
	struct hashing *h;

	if (d == NULL)
		return NULL;
	h = mem_alloc(sizeof(*h));
	*h = (struct hashing){ .hasher = hr, .digest = d, .fn = fn, .arg = arg, .state = IDLE };
	h->in_loop = size <= HASHING_SMALL || !thread_start(hr);
	return h;
}

void
hashing_add(struct hashing *h, const struct spool *s, const void *data, size_t n)
{
	struct hasher *hr = h->hasher;

	if (h->in_loop) {
		digest_add(h->digest, data, n);
		h->reach += n;
		return;
	}
	(void)pthread_mutex_lock(&hr->lock);
	h->spool = *s;
	if (h->state == IDLE && !h->failed) {
		h->state = QUEUED;
		TAILQ_INSERT_TAIL(&hr->queue, h, in_queue);
		(void)pthread_cond_signal(&hr->more);
	}
	(void)pthread_mutex_unlock(&hr->lock);
}

uint64_t
hashing_reach(const struct hashing *h)
{
	uint64_t reach;

	(void)pthread_mutex_lock(&h->hasher->lock);
	reach = h->failed ? UINT64_MAX : h->reach;	/* nobody reads on after a failure */
	(void)pthread_mutex_unlock(&h->hasher->lock);
	return reach;
}

bool
hashing_is_over(const struct hashing *h)
{
	bool over;

	(void)pthread_mutex_lock(&h->hasher->lock);
	over = h->state == IDLE;
	(void)pthread_mutex_unlock(&h->hasher->lock);
	return over;
}

int
hashing_final(struct hashing *h, uint8_t *ret)
{
	MUST(hashing_is_over(h));
	if (h->failed)
		return -1;
	digest_final(h->digest, ret);
	return 0;
}

void
hashing_free(struct hashing *h)
{
	struct hasher *hr;

	if (h == NULL)
		return;
	hr = h->hasher;
	(void)pthread_mutex_lock(&hr->lock);
	h->unwanted = true;
	while (h->state == AT_HAND)
		(void)pthread_cond_wait(&hr->put_down, &hr->lock);
	if (h->state == QUEUED)
		TAILQ_REMOVE(&hr->queue, h, in_queue);
	if (h->told)
		TAILQ_REMOVE(&hr->told, h, in_told);
	(void)pthread_mutex_unlock(&hr->lock);
	digest_free(h->digest);
	free(h);
}
