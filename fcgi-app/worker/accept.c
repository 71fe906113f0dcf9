/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of the front.  Worker.  The only file that knows libfcgi.
 *
 * A connection is accepted here, not by libfcgi, and given to it when a whole
 * request lies in its receive buffer (worker/preflight.h).  Until then it
 * waits among others in the epoll, so that clients which send one byte hold
 * nobody:
 *
 *	accepted -> waiting (until BODY_MS) -> call -> finished | detached
 *	                \-> dropped: nonsense, end, too late, too many
 *
 * The socket stays blocking: libfcgi knows no other.  We close after every
 * request, also where the front wants to keep the connection: one that is
 * kept would pin this worker.
 */
#include "base/base.h"

#include "worker/accept.h"

#include <errno.h>
#include <fcgiapp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "role.h"
#include "wire/ipblock.h"
#include "worker/preflight.h"

enum {
	WAITING_MAX = 256,
	OTHERS_MS = 1,			/* what others at work are given to come for a connection */
	WHOLE_MS = 1000,		/* from accept to a whole request */
	READ_TIMEOUT_S = 1,
	WRITE_TIMEOUT_S = 10,
	ANSWER_SMALL = 8192,		/* what any fresh socket takes without waiting */
	TAG_LISTEN = WAITING_MAX,
	TAG_CONTROL,
};

struct waiting {
	int fd;				/* -1: free */
	int64_t since_us;		/* mono */
};

struct peers {
	struct ipblock *block;
	size_t n_blocks;
	uid_t *uid;
	size_t n_uids;
};

struct acceptor {
	int epoll, listen_fd;		/* listen_fd -1: stopped */
	bool is_unix;
	const struct scoreboard *board;
	unsigned others, processors;	/* slots of workers to look at, 0: none; at work at once */
	struct peers peers;
	struct waiting waiting[WAITING_MAX];
	size_t n_waiting;
	struct epoll_event ready[CALLS_MAX];	/* that epoll has told, from at_ready on still to be seen to */
	size_t n_ready, at_ready;
	FCGX_Request request[CALLS_MAX];
	bool taken[CALLS_MAX];		/* a call has it */
	uint8_t look[PREFLIGHT_MAX];
};

/* -- who may connect ---------------------------------------------------------- */

/* front.peers: addresses are for TCP, users for Unix sockets. */
static int
peers_init(struct peers *p, const struct strs *names, struct err *e)
{
	p->block = mem_alloc((names->n + 1) * sizeof(*p->block));
	p->uid = mem_alloc((names->n + 1) * sizeof(*p->uid));
	for (size_t i = 0; i < names->n; i++) {
		if (ipblock_parse(names->v[i], &p->block[p->n_blocks]) == 0)
			p->n_blocks++;
		else if (config_peer_uid(names->v[i], &p->uid[p->n_uids]) == 0)
			p->n_uids++;
		else
			return err_set(e, "front.peers: '%.100s' is no address and no user of this system",
			    names->v[i]);
	}
	return 0;
}

static bool
address_in(const struct peers *p, const struct sockaddr_storage *sa)
{
	static const struct ipblock loopback[] = {
		{ false, { 127 }, 8 },
		{ true, { [15] = 1 }, 128 },
	};
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const struct ipblock *block = p->n_blocks > 0 ? p->block : loopback;
	size_t n = p->n_blocks > 0 ? p->n_blocks : ARRAY_LEN(loopback);
	const uint8_t *addr;
	bool v6;

	if (sa->ss_family == AF_INET) {
		addr = (const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr;
		v6 = false;
	} else if (sa->ss_family == AF_INET6) {
		addr = (const uint8_t *)&((const struct sockaddr_in6 *)sa)->sin6_addr;
		v6 = memcmp(addr, mapped, sizeof(mapped)) != 0;
		if (!v6)
			addr += sizeof(mapped);
	} else {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (ipblock_has(&block[i], v6, addr))
			return true;
	}
	return false;
}

/* May whoever sits at the other end talk to us?  Case A8. */
static bool
peer_allowed(const struct acceptor *a, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct ucred cred;

	if (!a->is_unix) {
		memset(&sa, 0, sizeof(sa));
		return getpeername(fd, (struct sockaddr *)&sa, &len) == 0 && address_in(&a->peers, &sa);
	}
	if (a->peers.n_uids == 0)
		return true;	/* the socket's mode decides */
	len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return false;
	for (size_t i = 0; i < a->peers.n_uids; i++) {
		if (a->peers.uid[i] == cred.uid)
			return true;
	}
	return false;
}

/* -- making and ending --------------------------------------------------------- */

static int
watch(struct acceptor *a, int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event ev = { .events = events, .data.u32 = tag };

	return epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* libfcgi, for connections that we accept. */
static int
library_init(struct acceptor *a)
{
	static const int taken[] = { SIGTERM, SIGUSR1, SIGPIPE };
	struct sigaction act[ARRAY_LEN(taken)];

	/* it puts handlers of its own on these */
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		(void)sigaction(taken[i], NULL, &act[i]);
	/* not to wait for the front to close first, which it does not */
	if (setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "0", 1) != 0 || FCGX_Init() != 0)
		return -1;
	for (size_t i = 0; i < CALLS_MAX; i++) {
		if (FCGX_InitRequest(&a->request[i], -1, 0) != 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		(void)sigaction(taken[i], &act[i], NULL);
	return 0;
}

/* Twice the workers: after a reload there are two generations. */
static void
others_init(struct acceptor *a, const struct config *c, const struct scoreboard *board)
{
	cpu_set_t set;

	a->board = board;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return;		/* more processors than a set holds: nobody is in the way */
	a->processors = (unsigned)CPU_COUNT(&set);
	if (c->workers > a->processors)
		a->others = 2 * c->workers < SLOT_WORKERS_MAX ? 2 * c->workers : SLOT_WORKERS_MAX;
}

struct acceptor *
acceptor_new(const struct config *c, const struct scoreboard *board, int listen_fd, int control_fd, struct err *e)
{
	struct acceptor *a = mem_alloc(sizeof(*a));
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	a->epoll = -1;
	a->listen_fd = listen_fd;
	for (size_t i = 0; i < WAITING_MAX; i++)
		a->waiting[i].fd = -1;
	if (getsockname(listen_fd, (struct sockaddr *)&sa, &len) != 0 || fd_set_nonblock(listen_fd, true) != 0) {
		(void)err_sys(e, errno, "cannot use the listening socket");
		goto fail;
	}
	a->is_unix = sa.ss_family == AF_UNIX;
	others_init(a, c, board);
	stat_bound(BOUND_WAITING, 0, WAITING_MAX);
	if (peers_init(&a->peers, &c->peers, e) != 0)
		goto fail;
	a->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (a->epoll == -1 || watch(a, listen_fd, EPOLLIN | EPOLLEXCLUSIVE, TAG_LISTEN) != 0 ||
	    watch(a, control_fd, EPOLLIN, TAG_CONTROL) != 0) {
		(void)err_sys(e, errno, "cannot wait for connections");
		goto fail;
	}
	if (library_init(a) != 0) {
		(void)err_set(e, "cannot initialise libfcgi");
		goto fail;
	}
	return a;
fail:
	acceptor_free(a);
	return NULL;
}

static void
waiting_drop(struct acceptor *a, size_t i)
{
	fd_close(&a->waiting[i].fd);	/* leaves the epoll with it */
	a->n_waiting--;
	stat_bound(BOUND_WAITING, a->n_waiting, WAITING_MAX);
}

void
acceptor_free(struct acceptor *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < WAITING_MAX; i++) {
		if (a->waiting[i].fd != -1)
			waiting_drop(a, i);
	}
	fd_close(&a->epoll);
	free(a->peers.block);
	free(a->peers.uid);
	free(a);
}

void
acceptor_stop(struct acceptor *a)
{
	if (a->listen_fd == -1)
		return;
	(void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, a->listen_fd, NULL);	/* it is there, or it does not matter */
	a->listen_fd = -1;
}

bool
acceptor_idle(const struct acceptor *a)
{
	return a->n_waiting == 0;
}

/* -- from a connection to a call ----------------------------------------------- */

static size_t
free_request(const struct acceptor *a)
{
	size_t i = 0;

	while (i < CALLS_MAX && a->taken[i])
		i++;
	return i;
}

/*
 * The socket stays blocking, so whatever may have to wait gets a limit first.  A
 * hit needs none: its request is there to the end, its answer fits into the
 * socket.  If this fails, the master's deadline is what ends the wait.
 */
static void
limit_waits(int fd)
{
	static const struct timeval read_timeout = { READ_TIMEOUT_S, 0 }, write_timeout = { WRITE_TIMEOUT_S, 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &read_timeout, sizeof(read_timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &write_timeout, sizeof(write_timeout));
}

/* Takes fd.  libfcgi reads what preflight has seen. */
static enum accept_event
serve(struct acceptor *a, int fd, int64_t since_us, enum preflight_verdict v, struct call *ret)
{
	char scratch[4096];
	size_t slot = free_request(a);
	FCGX_Request *r = &a->request[slot];

	MUST(slot < CALLS_MAX);		/* every call ends before the next wait */

	if (v == PREFLIGHT_BODY)
		limit_waits(fd);
	r->listen_sock = -1;
	r->ipcFd = fd;
	r->keepConnection = 1;	/* else it begins by closing this one */
	if (FCGX_Accept_r(r) != 0)
		return ACCEPT_NOTHING;	/* closed by libfcgi */
	if (v == PREFLIGHT_WHOLE || v == PREFLIGHT_FAULTY) {
		/* to the end: what is left unread makes close(2) a reset */
		while (FCGX_GetStr(scratch, (int)sizeof(scratch), r->in) > 0)
			continue;
	}
	*ret = (struct call){
		.envp = r->envp,
		.fcgi_id = (uint16_t)r->requestId,
		.fd = r->ipcFd,
		.accepted_mono_us = since_us,
		.faulty = v == PREFLIGHT_FAULTY,
		.body_too_large = v == PREFLIGHT_BODY,
		.acceptor = a,
		.slot = slot,
	};
	a->taken[slot] = true;
	return ACCEPT_CALL;
}

/* late: its time is over, so this is the last look. */
static enum preflight_verdict
look_at(struct acceptor *a, int fd, bool late)
{
	bool params_done;
	enum preflight_verdict v;
	ssize_t n = recv(fd, a->look, sizeof(a->look), MSG_PEEK | MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return PREFLIGHT_BAD;
	v = preflight(a->look, n < 0 ? 0 : (size_t)n, &params_done);
	if (v == PREFLIGHT_MORE && late)
		return params_done ? PREFLIGHT_BODY : PREFLIGHT_BAD;
	return v;
}

/* Room for one more: the one that waits longest goes when there is none. */
static size_t
waiting_slot(struct acceptor *a)
{
	size_t oldest = 0;

	for (size_t i = 0; i < WAITING_MAX; i++) {
		if (a->waiting[i].fd == -1)
			return i;
		if (a->waiting[i].since_us < a->waiting[oldest].since_us)
			oldest = i;
	}
	role_bound(BOUND_WAITING, NULL, WAITING_MAX, "the one that waited longest was closed", NULL);
	waiting_drop(a, oldest);
	return oldest;
}

static void
wait_for_more(struct acceptor *a, int fd, int64_t since_us)
{
	size_t i = waiting_slot(a);

	/* edge-triggered: what is there already must not wake us again */
	if (watch(a, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, (uint32_t)i) != 0) {
		fd_close(&fd);
		return;
	}
	a->waiting[i] = (struct waiting){ fd, since_us };
	a->n_waiting++;
	stat_bound(BOUND_WAITING, a->n_waiting, WAITING_MAX);
}

static enum accept_event
accept_one(struct acceptor *a, struct call *ret)
{
	int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	int64_t since_us = clock_mono_us();
	enum preflight_verdict v;

	if (fd == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn(NULL, "EO-WORKER-ACCEPT", "cannot accept a connection: out of descriptors or memory");
			(void)poll(NULL, 0, 10);	/* the queue does not go away */
		}
		return ACCEPT_NOTHING;
	}
	if (!peer_allowed(a, fd)) {
		log_warn(NULL, "EO-WORKER-PEER", "a connection was refused: its peer is not in front.peers");
		fd_close(&fd);
		return ACCEPT_NOTHING;
	}
	v = look_at(a, fd, false);
	if (v == PREFLIGHT_MORE) {
		wait_for_more(a, fd, since_us);
		return ACCEPT_NOTHING;
	}
	if (v == PREFLIGHT_BAD) {
		fd_close(&fd);
		return ACCEPT_NOTHING;
	}
	return serve(a, fd, since_us, v, ret);
}

/* Something came for, or time is over for, the i-th that waits. */
static enum accept_event
waiting_look(struct acceptor *a, size_t i, bool late, struct call *ret)
{
	struct waiting *w = &a->waiting[i];
	enum preflight_verdict v = look_at(a, w->fd, late);
	int fd = w->fd;

	if (v == PREFLIGHT_MORE)
		return ACCEPT_NOTHING;
	if (v == PREFLIGHT_BAD) {
		waiting_drop(a, i);
		return ACCEPT_NOTHING;
	}
	(void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, fd, NULL);	/* it is there */
	w->fd = -1;
	a->n_waiting--;
	stat_bound(BOUND_WAITING, a->n_waiting, WAITING_MAX);
	return serve(a, fd, w->since_us, v, ret);
}

/* The one that waits longest, and in *ret_ms how long it may still. */
static size_t
waiting_oldest(const struct acceptor *a, int64_t *ret_ms)
{
	size_t oldest = WAITING_MAX;

	for (size_t i = 0; i < WAITING_MAX; i++) {
		if (a->waiting[i].fd != -1 &&
		    (oldest == WAITING_MAX || a->waiting[i].since_us < a->waiting[oldest].since_us))
			oldest = i;
	}
	if (oldest != WAITING_MAX)
		*ret_ms = WHOLE_MS - (clock_mono_us() - a->waiting[oldest].since_us) / 1000;
	return oldest;
}

/* Ask epoll.  The listening socket is one event, so what this worker does not accept, another can. */
static void
ready_ask(struct acceptor *a, int timeout_ms)
{
	int n = epoll_wait(a->epoll, a->ready, CALLS_MAX, timeout_ms);

	a->at_ready = 0;
	a->n_ready = n > 0 ? (size_t)n : 0;
}

/*
 * See to what epoll has told, up to the first that is something.  A connection that waits may have
 * gone meanwhile, and another have its place: a look too many does no harm.
 */
static enum accept_event
ready_next(struct acceptor *a, struct call *ret)
{
	enum accept_event v = ACCEPT_NOTHING;
	uint32_t tag;

	while (v == ACCEPT_NOTHING && a->at_ready < a->n_ready) {
		tag = a->ready[a->at_ready++].data.u32;
		if (tag == TAG_CONTROL)
			return ACCEPT_CONTROL;
		if (tag == TAG_LISTEN) {
			v = a->listen_fd == -1 ? ACCEPT_NOTHING : accept_one(a, ret);
			continue;
		}
		MUST(tag < WAITING_MAX);
		if (a->waiting[tag].fd != -1)
			v = waiting_look(a, tag, false, ret);
	}
	return v;
}

/*
 * With as many workers at work as there are processors, one more is in their
 * way: it would decide alone what they decide together, a turn later.  If they
 * do not come for it, it is ours.
 */
static void
leave_to_others(const struct acceptor *a)
{
	if (a->others > 0 && scoreboard_busy(a->board, SLOT_WORKERS, a->others) >= a->processors)
		(void)poll(NULL, 0, OTHERS_MS);
}

enum accept_event
acceptor_wait(struct acceptor *a, int timeout_ms, struct call *ret)
{
	int64_t left_ms = timeout_ms;
	size_t oldest;

	if (a->n_waiting > 0) {
		oldest = waiting_oldest(a, &left_ms);
		if (left_ms <= 0)
			return waiting_look(a, oldest, true, ret);
		if (left_ms > timeout_ms)
			left_ms = timeout_ms;
	}
	if (a->at_ready == a->n_ready) {
		ready_ask(a, (int)left_ms);
		if (a->n_ready == 1 && a->ready[0].data.u32 == TAG_LISTEN)
			leave_to_others(a);
	}
	return ready_next(a, ret);
}

bool
acceptor_more(struct acceptor *a, struct call *ret)
{
	enum accept_event v = ready_next(a, ret);

	if (v == ACCEPT_NOTHING && a->listen_fd != -1)
		v = accept_one(a, ret);
	/* the front connects, then it writes: often what came too early is whole by now */
	if (v == ACCEPT_NOTHING && a->n_waiting > 0) {
		ready_ask(a, 0);
		v = ready_next(a, ret);
	}
	if (v == ACCEPT_CONTROL)
		a->at_ready--;	/* for the next acceptor_wait */
	return v == ACCEPT_CALL;
}

/* -- the end of a call ----------------------------------------------------------- */

int
call_write(struct call *c, const void *data, size_t n)
{
	MUST(n <= INT32_MAX);
	if (n > ANSWER_SMALL)
		limit_waits(c->fd);
	return FCGX_PutStr(data, (int)n, c->acceptor->request[c->slot].out) == (int)n ? 0 : -1;
}

void
call_finish(struct call *c)
{
	FCGX_Request *r = &c->acceptor->request[c->slot];

	/*
	 * All of the request was read, so closing is no reset.  libfcgi would shut
	 * down, poll, read and close: four calls, and it wakes the front twice.
	 */
	r->keepConnection = !c->body_too_large;
	FCGX_Finish_r(r);
	fd_close(&r->ipcFd);
	c->fd = -1;
	c->envp = NULL;
	c->acceptor->taken[c->slot] = false;
}

void
call_detach(struct call *c)
{
	FCGX_Request *r = &c->acceptor->request[c->slot];

	(void)close(r->ipcFd);
	FCGX_Free(r, 0);	/* forgets the streams without a byte on the wire */
	r->ipcFd = -1;
	r->detached = 0;
	c->fd = -1;
	c->envp = NULL;
	c->acceptor->taken[c->slot] = false;
}
