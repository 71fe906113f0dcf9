/* SPDX-License-Identifier: Apache-2.0
 *
 * The misbehaving servers and the loop of the tests of lib/net: no thread, no
 * child; every socket is non-blocking and in one epoll.
 */
#include "base/base.h"

#include "unit.h"

#include "net_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

enum { ROUTES_MAX = 40, STEPS_MAX = 8, CONNS_MAX = 1200, HANG_US = 20000000 };
enum step_kind { STEP_SEND, STEP_FILL, STEP_WAIT, STEP_CLOSE, STEP_RESET };

struct step {
	enum step_kind kind;
	char *data;
	uint64_t n;
};

struct route {
	char *path;
	struct step step[STEPS_MAX];
	size_t n;
	bool streams, goes_on;	/* server_takes */
	uint64_t takes, after;
};

/* What the epoll points to begins with this. */
struct source {
	bool listens;
};

struct conn {
	struct source source;
	struct server *server;
	int fd;			/* -1: free */
	struct buf in;
	struct route *route;	/* NULL: reads a request */
	struct route *body_of;	/* server_takes: a body comes for it */
	uint64_t body, body_taken;	/* its bytes, and those that were read */
	unsigned requests;
	size_t step;
	uint64_t sent;		/* of the step */
	uint64_t dripped;
	uint32_t events;
};

struct server {
	struct source source;
	int fd, port;
	struct route route[ROUTES_MAX];
	size_t n_routes;
	struct conn *conn;	/* CONNS_MAX */
	struct buf log;
	unsigned requests, connections;
	uint64_t taken;
	bool took_wrong;
	bool go;
	server_choose_fn *choose;	/* or NULL */
	void *choose_arg;
};

static struct {
	int ep;
	struct net *net;
	size_t watched;
} loop = { .ep = -1 };

/* In the epoll: a number for lib/net's descriptors, a pointer for ours. */
enum { NET_MARK = 1 };

static void
conn_watch(struct conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = &c->source };

	if (events == c->events)
		return;
	MUST(epoll_ctl(loop.ep, c->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &ev) == 0);
	c->events = events;
}

static void
conn_close(struct conn *c, bool reset)
{
	struct linger l = { .l_onoff = 1 };

	if (c->fd < 0)
		return;
	if (reset)
		MUST(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0);
	fd_close(&c->fd);
	buf_release(&c->in);
	c->events = 0;
	c->route = c->body_of = NULL;
}

struct server *
server_start(void)
{
	struct server *s = mem_alloc(sizeof(*s));
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	struct epoll_event ev = { .events = EPOLLIN };

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	MUST(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(s->fd, 4096) == 0);
	MUST(getsockname(s->fd, (struct sockaddr *)&in, &len) == 0);
	s->port = ntohs(in.sin_port);
	buf_init(&s->log, 64 << 20);
	s->conn = mem_alloc(CONNS_MAX * sizeof(*s->conn));
	for (size_t i = 0; i < CONNS_MAX; i++)
		s->conn[i].fd = -1;
	s->source.listens = true;
	ev.data.ptr = &s->source;
	MUST(epoll_ctl(loop.ep, EPOLL_CTL_ADD, s->fd, &ev) == 0);
	return s;
}

void
server_stop(struct server *s)
{
	for (size_t i = 0; i < CONNS_MAX; i++)
		conn_close(&s->conn[i], false);
	for (size_t i = 0; i < s->n_routes; i++) {
		for (size_t k = 0; k < s->route[i].n; k++)
			free(s->route[i].step[k].data);
		free(s->route[i].path);
	}
	free(s->conn);
	buf_release(&s->log);
	fd_close(&s->fd);
	free(s);
}

int
server_port(const struct server *s)
{
	return s->port;
}

/* Does it read, with or without something to send?  Not the rest of a body that nobody wants. */
static uint32_t
reads(const struct conn *c)
{
	const struct route *r = c->body_of;

	return r != NULL && c->body_taken >= r->takes && !r->goes_on ? 0 : EPOLLIN;
}

static struct route *
route_find(struct server *s, const char *path, size_t n)
{
	for (size_t i = 0; i < s->n_routes; i++) {
		if (strlen(s->route[i].path) == n && memcmp(s->route[i].path, path, n) == 0)
			return &s->route[i];
	}
	return NULL;
}

static struct route *
route_of(struct server *s, const char *path)
{
	struct route *r = route_find(s, path, strlen(path));

	if (r == NULL) {
		MUST(s->n_routes < ROUTES_MAX);
		r = &s->route[s->n_routes++];
		r->path = mem_strdup(path);
	}
	return r;
}

static void
add_step(struct server *s, const char *path, enum step_kind kind, char *data, uint64_t n)
{
	struct route *r = route_of(s, path);

	MUST(r->n < STEPS_MAX);
	r->step[r->n++] = (struct step){ kind, data, n };
}

void
server_says(struct server *s, const char *path, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	MUST(vsnprintf(text, sizeof(text), fmt, ap) < (int)sizeof(text));
	va_end(ap);
	add_step(s, path, STEP_SEND, mem_strdup(text), strlen(text));
}

void
server_sends(struct server *s, const char *path, const void *data, size_t n)
{
	char *copy = mem_alloc(n + 1);

	memcpy(copy, data, n);
	add_step(s, path, STEP_SEND, copy, n);
}

void
server_fills(struct server *s, const char *path, uint64_t n)
{
	add_step(s, path, STEP_FILL, NULL, n);
}

void
server_waits(struct server *s, const char *path)
{
	add_step(s, path, STEP_WAIT, NULL, 0);
}

void
server_closes(struct server *s, const char *path)
{
	add_step(s, path, STEP_CLOSE, NULL, 0);
}

void
server_resets(struct server *s, const char *path)
{
	add_step(s, path, STEP_RESET, NULL, 0);
}

void
server_takes(struct server *s, const char *path, uint64_t n, uint64_t after, bool goes_on)
{
	struct route *r = route_of(s, path);

	r->streams = true;
	r->takes = n;
	r->after = after;
	r->goes_on = goes_on;
}

uint64_t
server_taken(const struct server *s)
{
	return s->taken;
}

bool
server_took_wrong(const struct server *s)
{
	return s->took_wrong;
}

/* Send what the step has left.  1: all is out; 0: later; -1: the peer is gone. */
static int
send_step(struct conn *c, const struct step *st)
{
	static char fill[262144];
	const char *from;
	size_t n;
	ssize_t w;

	while (c->sent < st->n) {
		n = st->n - c->sent > sizeof(fill) ? sizeof(fill) : (size_t)(st->n - c->sent);
		if (st->kind == STEP_SEND) {
			from = st->data + c->sent;
		} else {
			for (size_t i = 0; i < n; i++)
				fill[i] = fill_byte(c->sent + i);
			from = fill;
		}
		w = send(c->fd, from, n, MSG_NOSIGNAL);
		if (w < 0)
			return errno == EAGAIN ? 0 : -1;
		c->sent += (uint64_t)w;
	}
	return 1;
}

static void
conn_answer(struct conn *c)
{
	struct step *st;
	int rc;

	while (c->route != NULL) {
		if (c->step == c->route->n) {
			c->route = NULL;
			break;
		}
		st = &c->route->step[c->step];
		if (st->kind == STEP_CLOSE || st->kind == STEP_RESET) {
			conn_close(c, st->kind == STEP_RESET);
			return;
		}
		if (st->kind == STEP_WAIT && !c->server->go)
			return;
		rc = st->kind == STEP_WAIT ? 1 : send_step(c, st);
		if (rc < 0) {
			conn_close(c, false);
			return;
		}
		conn_watch(c, rc == 0 ? reads(c) | EPOLLOUT : reads(c));
		if (rc == 0)
			return;
		c->step++;
		c->sent = 0;
	}
}

void
server_goes(struct server *s)
{
	s->go = true;
	for (size_t i = 0; i < CONNS_MAX; i++) {
		if (s->conn[i].fd >= 0)
			conn_answer(&s->conn[i]);
	}
}

void
server_chooses(struct server *s, server_choose_fn *fn, void *arg)
{
	s->choose = fn;
	s->choose_arg = arg;
}

void
server_drips(struct server *s, uint64_t n)
{
	static char fill[4096];
	uint64_t from;

	MUST(n <= sizeof(fill));
	for (size_t i = 0; i < CONNS_MAX; i++) {
		if (s->conn[i].fd < 0)
			continue;
		from = s->conn[i].dripped + n;	/* the first n came from the route */
		for (uint64_t k = 0; k < n; k++)
			fill[k] = fill_byte(from + k);
		s->conn[i].dripped += n;
		MUST(send(s->conn[i].fd, fill, n, MSG_NOSIGNAL) == (ssize_t)n);
	}
}

bool
server_delivered(const struct server *s)
{
	int left = 0;

	for (size_t i = 0; i < CONNS_MAX; i++) {
		if (s->conn[i].fd >= 0)
			MUST(ioctl(s->conn[i].fd, SIOCOUTQ, &left) == 0);
		if (left > 0)
			return false;
	}
	return true;
}

/* Which answer does the request at the beginning of c->in get? */
static struct route *
choose(struct conn *c)
{
	char *target = strchr(c->in.data, ' ') + 1, name[200];
	size_t path = strcspn(target, " ?");
	struct route *r = NULL;

	if (c->server->choose != NULL)
		return route_of(c->server, c->server->choose(c->server->choose_arg, c->in.data));
	(void)snprintf(name, sizeof(name), "%.*s+digest", (int)path, target);
	if (strstr(c->in.data, "\r\nAuthorization: Digest ") != NULL)
		r = route_find(c->server, name, strlen(name));
	(void)snprintf(name, sizeof(name), "%.*s+kept", (int)path, target);
	if (r == NULL && c->requests > 0)
		r = route_find(c->server, name, strlen(name));
	if (r == NULL)
		r = route_find(c->server, target, path);
	if (r == NULL)
		fprintf(stderr, "no route for '%.*s'\n", (int)path, target);
	MUST(r != NULL);
	return r;
}

/* What has come of a body that is not kept. */
static void
conn_body(struct conn *c)
{
	struct route *r = c->body_of;
	size_t n = c->in.len;

	if (n > c->body - c->body_taken)
		n = (size_t)(c->body - c->body_taken);
	for (size_t i = 0; i < n; i++) {
		if (c->in.data[i] != fill_byte(r->after + c->body_taken + i))
			c->server->took_wrong = true;
	}
	buf_consume(&c->in, n);
	c->body_taken += n;
	c->server->taken = c->body_taken;
	if (c->route == NULL && c->step == 0 && (c->body_taken >= r->takes || c->body_taken == c->body))
		c->route = r;
	if (c->body_taken == c->body)
		c->body_of = NULL;
	conn_watch(c, reads(c));
}

/* A whole request in c->in?  Log it and find its answer. */
static void
conn_request(struct conn *c)
{
	char *end = c->in.len == 0 ? NULL : strstr(c->in.data, "\r\n\r\n"), *length;
	struct route *r;
	size_t n, body = 0;

	if (end == NULL)
		return;
	n = (size_t)(end - c->in.data) + 4;
	length = strstr(c->in.data, "\r\nContent-Length: ");
	if (length != NULL && length < end)
		body = (size_t)atoll(length + 18);
	if (c->server->choose != NULL && c->in.len < n + body)
		return;
	r = choose(c);
	if (!r->streams)
		n += body;
	if (c->in.len < n)
		return;
	MUST(buf_add(&c->server->log, c->in.data, n) == 0);
	c->server->requests++;
	c->requests++;
	buf_consume(&c->in, n);
	c->step = 0;
	c->sent = 0;
	if (r->streams) {
		c->body_of = r;
		c->body = body;
		c->body_taken = 0;
		conn_body(c);
	} else {
		c->route = r;
	}
}

static void
conn_read(struct conn *c)
{
	char *p;
	ssize_t n;

	p = buf_reserve(&c->in, 16384);
	MUST(p != NULL);
	n = recv(c->fd, p, 16384, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn_close(c, false);
		return;
	}
	c->in.len += (size_t)n;
	c->in.data[c->in.len] = '\0';
	if (c->body_of != NULL)
		conn_body(c);
	else if (c->route == NULL)
		conn_request(c);
	conn_answer(c);
}

static void
server_accept(struct server *s)
{
	struct conn *c = NULL;
	int fd;

	for (fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); fd >= 0;
	    fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) {
		for (size_t i = 0; i < CONNS_MAX && (c == NULL || c->fd >= 0); i++)
			c = &s->conn[i];
		MUST(c != NULL && c->fd < 0);
		*c = (struct conn){ .server = s, .fd = fd };
		buf_init(&c->in, 1 << 21);
		s->connections++;
		conn_watch(c, EPOLLIN);
	}
}

const char *
server_log(const struct server *s)
{
	return buf_str(&s->log);
}

bool
server_was_told(const struct server *s, const char *text)
{
	return strstr(server_log(s), text) != NULL;
}

unsigned
server_requests(const struct server *s)
{
	return s->requests;
}

unsigned
server_connections(const struct server *s)
{
	return s->connections;
}

unsigned
server_open(const struct server *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < CONNS_MAX; i++)
		n += s->conn[i].fd >= 0;
	return n;
}

/* -- the loop ------------------------------------------------------------- */

static void
watch(void *arg UNUSED, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)fd << 1 | NET_MARK };

	if (events == 0) {
		/* it may be closed already, or never have been watched */
		loop.watched -= epoll_ctl(loop.ep, EPOLL_CTL_DEL, fd, NULL) == 0;
		return;
	}
	if (epoll_ctl(loop.ep, EPOLL_CTL_MOD, fd, &ev) == 0)
		return;
	MUST(errno == ENOENT && epoll_ctl(loop.ep, EPOLL_CTL_ADD, fd, &ev) == 0);
	loop.watched++;
}

void
loop_start(const struct config *c)
{
	struct err e = ERR_NONE;

	loop.ep = epoll_create1(EPOLL_CLOEXEC);
	MUST(loop.ep >= 0);
	loop.watched = 0;
	loop.net = net_new(c, watch, NULL, &e);
	MUST(loop.net != NULL);
}

void
loop_stop(void)
{
	clock_shift_ms(0);
	net_free(loop.net);
	loop.net = NULL;
	fd_close(&loop.ep);
}

struct net *
loop_net(void)
{
	return loop.net;
}

size_t
loop_watched(void)
{
	return loop.watched;
}

static void
serve(struct source *source, uint32_t events)
{
	struct conn *c = (struct conn *)(void *)source;

	if (source->listens) {
		server_accept((struct server *)(void *)source);
		return;
	}
	if (c->fd >= 0 && (events & EPOLLOUT) != 0)
		conn_answer(c);
	if (c->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		conn_read(c);
}

void
loop_turn(void)
{
	struct epoll_event ev[64];
	int timeout = net_timeout_ms(loop.net), n;

	n = epoll_wait(loop.ep, ev, ARRAY_LEN(ev), timeout < 0 || timeout > 20 ? 20 : timeout);
	for (int i = 0; i < n; i++) {
		if ((ev[i].data.u64 & NET_MARK) != 0)
			net_on_fd(loop.net, (int)(ev[i].data.u64 >> 1), ev[i].events);
		else
			serve(ev[i].data.ptr, ev[i].events);
	}
	net_on_timeout(loop.net);
}

int64_t
loop_real_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

bool
loop_hangs(int64_t since_mono_us)
{
	return loop_real_us() - since_mono_us > HANG_US;
}
