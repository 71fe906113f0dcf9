/* SPDX-License-Identifier: Apache-2.0
 *
 * A resolver: serves the jobs of one backend, one at a time, from the movers'
 * stream sockets.  Runs in a process forked from the broker that already
 * holds EODAG; the code of providers' plugins runs here, and whatever it does
 * (hang, raise, exit, eat memory) ends at this process.
 *
 * Life: serves until it is told to retire, or until it has had nothing to do
 * for eodag.idle and the broker agrees.  When the broker dies it serves on,
 * and ends when idle or when no mover is connected any more.  It ends at once
 * when the master is gone.  A job that takes too long is ended by the broker
 * (SIGKILL); the interval timer, with the default action of SIGALRM, is the
 * second line, for when there is no broker.
 */
#include "base/base.h"

#include "resolver/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "confine.h"
#include "ipc/resolve.h"
#include "resolver/python.h"

enum {
	CONNS_MAX = 2 * 16,		/* a mover that comes back before its old connection was seen to end */
	READ_CHUNK = 65536,
	OUT_MAX = RESOLVE_FRAME_MAX + 4,
	POLL_MAX_MS = 2000,		/* the broker looks at the heartbeat */
	FLUSH_MS = 1000,
	ALARM_LATE_MS = 1000,		/* the broker comes first */
};

struct conn {
	int fd;
	struct buf in, out;
};

struct child {
	const struct child_start *start;
	int control, master;		/* -1 when the broker is gone */
	struct conn conn[CONNS_MAX];
	size_t n;
	bool retiring, wished;
	int64_t idle_since_ms;
	int statm;			/* open before the files of /proc are out of reach */
	int64_t mapped_at_start;
};

static NORETURN void
child_end(int status)
{
	struct slot *s = stat_slot();

	if (s != NULL) {
		stat_deadline(0, "");
		stat_state(SLOT_EMPTY);
		__atomic_store_n(&s->pid, 0, __ATOMIC_RELEASE);
	}
	/* Without finalisation: it can hang on the threads of a library. */
	_exit(status);
}

/* Tell the broker.  A full queue or no broker: it does without. */
static void
child_say(struct child *c, enum child_word word)
{
	char b = (char)word;

	if (c->control != -1)
		(void)send(c->control, &b, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
conn_drop(struct child *c, size_t i)
{
	fd_close(&c->conn[i].fd);
	buf_release(&c->conn[i].in);
	buf_release(&c->conn[i].out);
	c->n--;
	if (i != c->n)
		c->conn[i] = c->conn[c->n];
}

static void
conn_add(struct child *c, int fd)
{
	struct conn *n;

	if (c->n == CONNS_MAX || fd_set_nonblock(fd, true) < 0) {
		log_warn(NULL, "EO-RESOLVER-CONNECTIONS", "connection refused: too many");
		fd_close(&fd);
		return;
	}
	n = &c->conn[c->n++];
	n->fd = fd;
	buf_init(&n->in, RESOLVE_FRAME_MAX + 4 + READ_CHUNK);
	buf_init(&n->out, OUT_MAX);
	c->idle_since_ms = clock_mono_ms();
}

static void
read_control(struct child *c)
{
	char word;
	int fd = -1;
	size_t nfds;
	ssize_t n;

	for (int turn = 0; turn < CONNS_MAX; turn++) {
		n = fd_recv(c->control, &word, 1, &fd, 1, &nfds);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == 1 && word == CHILD_CONNECT && nfds == 1) {
			conn_add(c, fd);
		} else if (n == 1 && word == CHILD_RETIRE && nfds == 0) {
			c->retiring = true;
		} else if (n == 1 && word == CHILD_CONNECT) {
			/* its mover sees the end of it, and asks again */
			log_warn(NULL, "EO-RESOLVER-CONNECTIONS", "connection refused: no descriptor was free");
		} else {
			if (n > 0 && nfds == 1)
				fd_close(&fd);
			fd_close(&c->control);
			log_info(NULL, "the broker is gone, serving on");
			return;
		}
	}
}

static int64_t
mapped_bytes(const struct child *c)
{
	char text[256];
	long pages = 0;
	ssize_t n = pread(c->statm, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	if (sscanf(text, "%ld", &pages) != 1)
		pages = 0;
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* What it may map more than it was born with, and has. */
static void
tell_memory(const struct child *c)
{
	int64_t more = mapped_bytes(c) - c->mapped_at_start;

	stat_bound(BOUND_RESOLVER_MEMORY, more < 0 ? 0 : (uint64_t)more, c->start->config->eodag_memory_max);
}

static void
set_limits(struct child *c)
{
	struct rlimit none = { 0, 0 }, memory;

	(void)setrlimit(RLIMIT_CORE, &none);	/* lowering cannot fail */
	c->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	c->mapped_at_start = mapped_bytes(c);
	tell_memory(c);
	memory.rlim_cur = (rlim_t)c->mapped_at_start + c->start->config->eodag_memory_max;
	memory.rlim_max = memory.rlim_cur;
	if (setrlimit(RLIMIT_AS, &memory) < 0)
		log_warn(NULL, "EO-RESOLVER-LIMIT", "cannot limit memory: %s", strerror(errno));
}

static void
set_alarm(uint32_t ms)
{
	struct itimerval t = { { 0, 0 }, { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 } };
	sigset_t set;

	/* A plugin may have changed both. */
	(void)signal(SIGALRM, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)setitimer(ITIMER_REAL, &t, NULL);
}

/* What plugins may have changed in the process, put back. */
static void
reset_process(void)
{
	if (chdir("/") < 0)
		log_warn(NULL, "EO-RESOLVER-PROCESS", "cannot change to '/': %s", strerror(errno));
	(void)umask(077);
}

static bool
conn_flush(struct conn *conn)
{
	ssize_t w;

	while (conn->out.len > 0) {
		w = send(conn->fd, conn->out.data, conn->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (w < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (w <= 0)
			return false;
		buf_consume(&conn->out, (size_t)w);
	}
	return true;
}

/* The last words on a connection: what is open there was not begun. */
static void
say_bye(struct conn *conn)
{
	struct resolve_answer bye = {
		.job = RESOLVE_JOB_BYE, .kind = RESOLVE_FAILED, .status = 503, .who = "resolver", .reason = "ending",
	};
	struct buf msg = BUF_INIT(1024);

	resolve_answer_put(&msg, &bye);
	if (buf_ok(&msg))
		msg_frame(&conn->out, &msg);
	buf_release(&msg);
	(void)conn_flush(conn);		/* one that does not read asks again after the end all the same */
}

/*
 * The interpreter is not to be used again.  The answer goes out first; what else is open, here and
 * with other movers, was not begun.  Without the answer its own mover sees a resolver that died of it.
 */
static NORETURN void
end_tainted(struct child *c, struct conn *conn, bool answered)
{
	(void)fd_set_nonblock(conn->fd, false);
	(void)fd_write_all(conn->fd, conn->out.data, conn->out.len);	/* the process ends either way */
	buf_clear(&conn->out);
	log_warn(NULL, "EO-RESOLVER-TAINTED", "backend=%s the interpreter cannot be trusted any more, ending",
	    c->start->backend);
	for (size_t i = 0; i < c->n; i++) {
		if (&c->conn[i] != conn || answered)
			say_bye(&c->conn[i]);
	}
	child_end(CHILD_EXIT_TAINTED);
}

/* Returns false when the connection is to be dropped. */
static bool
serve_job(struct child *c, struct conn *conn, const void *data, size_t n)
{
	const struct config *config = c->start->config;
	struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);
	struct resolve_job job;
	bool sound, ok;

	if (resolve_job_get(data, n, &job) < 0 || job.backend == NULL || strcmp(job.backend, c->start->backend) != 0) {
		log_warn(NULL, "EO-RESOLVER-NONSENSE", "a message that is no job of this backend, connection closed");
		return false;
	}
	reset_process();
	child_say(c, CHILD_BUSY);
	stat_deadline(clock_mono_ms() + config->eodag_timeout_ms, c->start->backend);
	stat_state(SLOT_BUSY);
	set_alarm(config->eodag_timeout_ms + ALARM_LATE_MS);
	sound = python_resolve(&job, &msg);
	set_alarm(0);
	stat_deadline(0, c->start->backend);
	stat_state(SLOT_READY);
	stat_job_done();
	ok = buf_ok(&msg);
	if (ok) {
		msg_frame(&conn->out, &msg);
		ok = buf_ok(&conn->out);
	}
	buf_release(&msg);
	if (!sound)
		end_tainted(c, conn, ok);
	child_say(c, CHILD_IDLE);
	c->idle_since_ms = clock_mono_ms();
	return ok;
}

static bool
conn_fill(struct conn *conn)
{
	char *to = buf_reserve(&conn->in, READ_CHUNK);
	ssize_t r;

	if (to == NULL)
		return false;
	r = recv(conn->fd, to, READ_CHUNK, MSG_DONTWAIT);
	if (r < 0)
		return errno == EAGAIN || errno == EINTR;
	conn->in.len += (size_t)r;
	return r > 0;
}

static bool
conn_has_job(const struct conn *conn)
{
	const void *data;
	size_t n;

	return conn->out.len == 0 && msg_unframe(&conn->in, RESOLVE_FRAME_MAX, &data, &n) != 0;
}

/* One job of this connection, if there is one.  False: drop it. */
static bool
conn_turn(struct child *c, struct conn *conn)
{
	const void *data;
	size_t n;
	int r;

	if (conn->out.len > 0)
		return true;		/* a mover that does not take answers gets no more */
	r = msg_unframe(&conn->in, RESOLVE_FRAME_MAX, &data, &n);
	if (r == 0)
		return true;
	if (r < 0) {
		log_warn(NULL, "EO-RESOLVER-NONSENSE", "a frame that is too long, connection closed");
		return false;
	}
	if (!serve_job(c, conn, data, n))
		return false;
	buf_consume(&conn->in, 4 + n);
	if (conn->in.len == 0 && conn->in.cap > 1 << 20) {
		buf_release(&conn->in);
		buf_init(&conn->in, RESOLVE_FRAME_MAX + 4 + READ_CHUNK);
	}
	return conn_flush(conn);
}

/* How long poll may wait; 0 when there is work already. */
static int
wait_ms(struct child *c)
{
	int64_t left;

	if (c->control == -1 && c->n == 0)
		return 0;
	for (size_t i = 0; i < c->n; i++) {
		if (conn_has_job(&c->conn[i]))
			return 0;
	}
	left = c->idle_since_ms + c->start->config->eodag_idle_ms - clock_mono_ms();
	if (left <= 0 && !c->wished)
		return 0;
	return left <= 0 || left > POLL_MAX_MS ? POLL_MAX_MS : (int)left;
}

/*
 * Retire.  SHUT_RD draws the line: what a mover sent before is still read and
 * served, what it sends after fails at once, so it asks the broker again.
 */
static NORETURN void
finish(struct child *c)
{
	struct conn *conn;
	bool more, good;

	while (c->n > 0) {
		conn = &c->conn[c->n - 1];
		(void)shutdown(conn->fd, SHUT_RD);
		do {
			more = conn_fill(conn);
			good = conn_flush(conn);
			while (good && conn_has_job(conn))
				good = conn_turn(c, conn);
			if (good && conn->out.len > 0) {
				(void)poll(&(struct pollfd){ conn->fd, POLLOUT, 0 }, 1, FLUSH_MS);
				good = conn_flush(conn) && conn->out.len == 0;
			}
		} while (good && (more || conn_has_job(conn)));
		if (good)
			say_bye(conn);
		conn_drop(c, c->n - 1);
	}
	child_end(0);
}

/* Called when nothing was there to do. */
static void
consider_end(struct child *c)
{
	bool idle = clock_mono_ms() - c->idle_since_ms >= c->start->config->eodag_idle_ms;

	if (c->control == -1 && (idle || c->n == 0))
		finish(c);
	if (idle && !c->wished) {
		c->wished = true;
		child_say(c, CHILD_WISH);
	}
}

/* What poll said about the connections: bytes in, bytes out.  True when something moved. */
static bool
move_bytes(struct child *c, const struct pollfd *p)
{
	bool moved = false;

	for (size_t i = c->n; i-- > 0;) {
		if (p[i].revents == 0)
			continue;
		moved = true;
		if ((p[i].revents & POLLOUT) != 0 ? !conn_flush(&c->conn[i]) : !conn_fill(&c->conn[i]))
			conn_drop(c, i);
	}
	return moved;
}

static void
turn(struct child *c)
{
	struct pollfd p[2 + CONNS_MAX];
	size_t n = c->n;
	bool busy;

	p[0] = (struct pollfd){ c->control, POLLIN, 0 };	/* -1 is ignored */
	p[1] = (struct pollfd){ c->master, POLLIN, 0 };
	for (size_t i = 0; i < n; i++)
		p[2 + i] = (struct pollfd){ c->conn[i].fd, c->conn[i].out.len > 0 ? POLLOUT : POLLIN, 0 };
	if (poll(p, (nfds_t)(2 + n), wait_ms(c)) < 0) {
		if (errno == EINTR)
			return;
		log_error(NULL, "EO-RESOLVER-POLL", "cannot wait: %s", strerror(errno));
		child_end(1);
	}
	if (p[1].revents != 0)
		child_end(0);
	/* Connections before control: an index of p is one of conn until control adds some. */
	busy = move_bytes(c, p + 2);
	if (p[0].revents != 0) {
		busy = true;
		read_control(c);
	}
	for (size_t i = c->n; i-- > 0;) {
		if (!conn_has_job(&c->conn[i]))
			continue;
		busy = true;
		if (!conn_turn(c, &c->conn[i]))
			conn_drop(c, i);
	}
	stat_heartbeat();
	tell_memory(c);
	if (c->retiring)
		finish(c);
	if (busy)
		c->wished = false;
	else
		consider_end(c);
}

static void
take_slot(const struct child_start *start)
{
	stat_init(start->scoreboard, start->slot);
	stat_claim(ROLE_RESOLVER, start->index);
	stat_generation(start->config->generation);
	stat_deadline(0, start->backend);
	stat_heartbeat();
	stat_state(SLOT_READY);
}

/*
 * The forked process would show the broker's arguments.  They lie behind each other in
 * memory that is ours; a name that is too long for them is cut.
 */
static void
show_backend(char **argv, const char *backend)
{
	char name[4 * RESOLVE_BACKEND_MAX + 1];
	char *end = argv[0];

	for (char **a = argv; *a != NULL && *a == end; a++)
		end += strlen(*a) + 1;
	memset(argv[0], 0, (size_t)(end - argv[0]));
	(void)snprintf(argv[0], (size_t)(end - argv[0]), "eodata-proxy-resolver: %s",
	    text_esc_to(name, sizeof(name), backend));
}

void
child_run(const struct child_start *start)
{
	struct child c = { .start = start, .control = start->control, .master = start->master };
	const char *const *places;
	size_t n;

	log_init("resolver", start->config->log_level);
	(void)prctl(PR_SET_NAME, "eodata-resolver");	/* the broker looks for this name */
	show_backend(start->argv, start->backend);
	take_slot(start);
	set_limits(&c);
	/* not the broker: it executes itself anew for the files of another configuration */
	places = python_places(&n);
	confine_self(ROLE_RESOLVER, start->config, places, n);
	c.idle_since_ms = clock_mono_ms();
	for (;;)
		turn(&c);
}
