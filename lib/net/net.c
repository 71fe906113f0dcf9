/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl's multi interface in the caller's event loop: sockets, libcurl's
 * timer, our own deadlines, and the queue of work that calls leave behind.
 * One event costs the same however many fetches there are.  The mover.
 */
#include "base/base.h"

#include "net/private.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/clock.h"

enum { IDLE_CONNECTIONS_MAX = 128 };

static int
on_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *socket_arg UNUSED)
{
	struct net *n = arg;
	uint32_t events = 0;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	n->watch(n->watch_arg, fd, events);
	return 0;
}

static int
on_timer(CURLM *multi UNUSED, long timeout_ms, void *arg)
{
	struct net *n = arg;

	if (timeout_ms < 0)
		n->curl_at_mono_ms = -1;
	else	/* our clock is cut to whole ms: one more, or libcurl is called too early and in vain */
		n->curl_at_mono_ms = clock_mono_ms() + timeout_ms + (timeout_ms > 0 ? 1 : 0);
	return 0;
}

static int
set_up_multi(struct net *n)
{
	if (curl_multi_setopt(n->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
	    curl_multi_setopt(n->multi, CURLMOPT_SOCKETDATA, n) != CURLM_OK ||
	    curl_multi_setopt(n->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
	    curl_multi_setopt(n->multi, CURLMOPT_TIMERDATA, n) != CURLM_OK ||
	    curl_multi_setopt(n->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK ||
	    curl_multi_setopt(n->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX) != CURLM_OK)
		return -1;
	return 0;
}

struct net *
net_new(const struct config *c, net_watch_fn *watch, void *watch_arg, struct err *e)
{
	struct net *n = mem_alloc(sizeof(*n));

	n->config = c;
	n->watch = watch;
	n->watch_arg = watch_arg;
	n->curl_at_mono_ms = -1;
	LIST_INIT(&n->all);
	TAILQ_INIT(&n->work);
	kept_init(&n->kept);
	n->global = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	if (n->global)
		n->multi = curl_multi_init();
	if (n->multi == NULL || set_up_multi(n) != 0) {
		err_set(e, "cannot start libcurl");
		net_free(n);
		return NULL;
	}
	return n;
}

void
net_set_config(struct net *n, const struct config *c)
{
	n->config = c;
}

void
net_free(struct net *n)
{
	struct fetch *f;

	if (n == NULL)
		return;
	MUST(n->inside == 0);
	for (f = LIST_FIRST(&n->all); f != NULL; f = LIST_FIRST(&n->all))
		fetch_destroy(f);
	(void)curl_multi_cleanup(n->multi);	/* NULL is fine; nothing is left in it */
	deadlines_release(&n->deadlines);
	kept_release(&n->kept);
	if (n->global)
		curl_global_cleanup();
	free(n);
}

bool
net_is_idle(const struct net *n)
{
	return n->n_fetches == 0;
}

void
net_work_add(struct net *n, struct fetch *f, unsigned work)
{
	if (f->work == 0) {
		TAILQ_INSERT_TAIL(&n->work, f, work_entry);
		n->n_work++;
	}
	f->work |= work;
}

void
net_work_remove(struct net *n, struct fetch *f)
{
	if (f->work == 0)
		return;
	TAILQ_REMOVE(&n->work, f, work_entry);
	n->n_work--;
	f->work = 0;
}

/* What is queued now; what this queues waits for the next turn. */
static void
run_work(struct net *n)
{
	struct fetch *f;
	unsigned work;

	for (size_t left = n->n_work; left > 0 && n->n_work > 0; left--) {
		f = TAILQ_FIRST(&n->work);
		work = f->work;
		net_work_remove(n, f);
		fetch_turn(f, work);
	}
}

/* The hops that have ended, outside libcurl. */
static void
reap(struct net *n)
{
	CURLMsg *m;
	CURLcode code;
	char *f = NULL;
	int left;

	for (m = curl_multi_info_read(n->multi, &left); m != NULL; m = curl_multi_info_read(n->multi, &left)) {
		if (m->msg != CURLMSG_DONE)
			continue;
		code = m->data.result;	/* m is gone once its handle is */
		MUST(curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f) == CURLE_OK);
		fetch_hop_done((struct fetch *)(void *)f, code);
	}
}

/* Those that have come.  What they set for now comes next time. */
static void
run_deadlines(struct net *n)
{
	int64_t now = clock_mono_ms();
	struct deadline *d = deadlines_first(&n->deadlines);

	for (size_t left = n->deadlines.n; left > 0 && d != NULL && d->at_mono_ms <= now; left--) {
		deadlines_remove(&n->deadlines, d);
		d->fn(d->arg);
		d = deadlines_first(&n->deadlines);
	}
}

void
net_call_at(struct net *n, struct deadline *d, int64_t at_mono_ms)
{
	deadlines_set(&n->deadlines, d, at_mono_ms);
}

void
net_call_off(struct net *n, struct deadline *d)
{
	deadlines_remove(&n->deadlines, d);
}

static void
act(struct net *n, curl_socket_t fd, int bits)
{
	CURLMcode m;
	int running;

	n->inside++;
	m = curl_multi_socket_action(n->multi, fd, bits, &running);
	n->inside--;
	/* without memory a socket is not watched, and nobody hears of it; other errors are of those that are gone */
	if (m == CURLM_OUT_OF_MEMORY)
		mem_none();
	reap(n);
}

void
net_on_fd(struct net *n, int fd, uint32_t events)
{
	int bits = 0;

	/* libcurl finds out about a hang-up or an error by reading and writing */
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
		bits |= CURL_CSELECT_IN;
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
		bits |= CURL_CSELECT_OUT;
	act(n, fd, bits);
}

int
net_timeout_ms(struct net *n)
{
	const struct deadline *d = deadlines_first(&n->deadlines);
	int64_t at = n->curl_at_mono_ms, left;

	if (n->n_work > 0)
		return 0;
	if (d != NULL && (at < 0 || d->at_mono_ms < at))
		at = d->at_mono_ms;
	if (at < 0)
		return -1;
	left = at - clock_mono_ms();
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

void
net_on_timeout(struct net *n)
{
	run_work(n);
	if (n->curl_at_mono_ms >= 0 && n->curl_at_mono_ms <= clock_mono_ms()) {
		n->curl_at_mono_ms = -1;
		act(n, CURL_SOCKET_TIMEOUT, 0);
	} else {
		reap(n);
	}
	run_deadlines(n);
}
