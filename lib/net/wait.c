/* SPDX-License-Identifier: Apache-2.0
 *
 * poll(2) on the descriptors that lib/net watches.  eodata-proxyctl.
 */
#include "base/base.h"

#include "net/wait.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct wait {
	struct net *net;
	struct pollfd *fd;	/* watched: in no order */
	size_t n, cap;
};

/* Of wait_fetch. */
struct one {
	const struct fetch_ops *ops;
	void *arg;
	struct err *e;
	bool over;
	enum fetch_error error;
};

static void
watch(void *arg, int fd, uint32_t events)
{
	struct wait *w = arg;
	short bits = (short)(((events & EPOLLIN) != 0 ? POLLIN : 0) | ((events & EPOLLOUT) != 0 ? POLLOUT : 0));
	size_t i = 0;

	while (i < w->n && w->fd[i].fd != fd)
		i++;
	if (i == w->n) {
		if (bits == 0)
			return;
		if (w->n == w->cap) {
			w->cap = w->cap == 0 ? 16 : 2 * w->cap;
			w->fd = mem_realloc(w->fd, w->cap * sizeof(*w->fd));
		}
		w->n++;
	}
	if (bits == 0)
		w->fd[i] = w->fd[--w->n];
	else
		w->fd[i] = (struct pollfd){ .fd = fd, .events = bits };
}

struct wait *
wait_new(const struct config *c, struct err *e)
{
	struct wait *w = mem_alloc(sizeof(*w));

	w->net = net_new(c, watch, w, e);
	if (w->net == NULL) {
		wait_free(w);
		return NULL;
	}
	return w;
}

void
wait_free(struct wait *w)
{
	if (w == NULL)
		return;
	net_free(w->net);
	free(w->fd);
	free(w);
}

struct net *
wait_net(struct wait *w)
{
	return w->net;
}

/* Of the descriptors that were ready: each once, and only while it is watched for what it is ready for. */
static void
act(struct wait *w, const struct pollfd *ready, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t events = 0;

		if ((ready[i].revents & POLLIN) != 0)
			events |= EPOLLIN;
		if ((ready[i].revents & POLLOUT) != 0)
			events |= EPOLLOUT;
		if ((ready[i].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
			events |= EPOLLHUP;
		for (size_t k = 0; events != 0 && k < w->n; k++) {
			if (w->fd[k].fd == ready[i].fd) {
				net_on_fd(w->net, ready[i].fd, events);
				break;
			}
		}
	}
}

void
wait_turn(struct wait *w, int timeout_ms)
{
	int most = net_timeout_ms(w->net), n;
	struct pollfd *ready;
	size_t n_asked = w->n;

	if (most >= 0 && (timeout_ms < 0 || most < timeout_ms))
		timeout_ms = most;
	n = poll(w->fd, n_asked, timeout_ms);
	if (n > 0) {
		/* callbacks change w->fd */
		ready = mem_alloc(n_asked * sizeof(*ready));
		memcpy(ready, w->fd, n_asked * sizeof(*ready));
		act(w, ready, n_asked);
		free(ready);
	}
	net_on_timeout(w->net);
}

static int
on_response(void *arg, const struct fetch_response *r)
{
	struct one *o = arg;

	return o->ops->on_response(o->arg, r);
}

static int
on_data(void *arg, const char *data, size_t n)
{
	struct one *o = arg;
	int rc = o->ops->on_data(o->arg, data, n);

	MUST(rc <= 0);
	return rc;
}

static void
on_done(void *arg, enum fetch_error x, const char *reason)
{
	struct one *o = arg;

	if (o->ops->on_done != NULL)
		o->ops->on_done(o->arg, x, reason);
	if (x != FETCH_OK)
		err_set(o->e, "%s", reason);
	o->error = x;
	o->over = true;
}

enum fetch_error
wait_fetch(struct wait *w, const struct fetch_request *r, const struct fetch_ops *ops, void *arg, struct err *e)
{
	static const struct fetch_ops through = { on_response, on_data, on_done };
	struct one o = { .ops = ops, .arg = arg, .e = e };

	MUST(r->end_mono_ms != 0);
	if (fetch_start(w->net, r, &through, &o, e) == NULL)
		return FETCH_REFUSED;
	while (!o.over)
		wait_turn(w, -1);
	return o.error;
}
