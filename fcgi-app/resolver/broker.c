/* SPDX-License-Identifier: Apache-2.0
 *
 * The resolvers' broker: forks, connects, kills and reaps the resolvers.
 * EODAG is loaded once, here, before the loop starts; after that this process
 * runs no Python but the interpreter's own fork hooks.
 *
 * A backend that is asked for has one place (its resolver, its slot on the
 * scoreboard).  Life of a place:
 *
 *	FREE -> IDLE (forked) <-> BUSY (a job; has a deadline)
 *	IDLE -> RETIRING (to make room, or because it had nothing to do)
 *	BUSY -> DYING (past its deadline: killed)
 *	IDLE, RETIRING -> killed too when its heartbeat stops
 *	any  -> FREE (reaped)
 *
 * Resolvers of a broker that died before this one serve on for the movers that
 * they are connected to, and hold their slots; this one does not know them, so
 * a backend may have two for a while.
 *
 * A mover's wish that has to wait for a place (its backend's resolver ends,
 * or another one retires to make room) is kept in a short list.
 */
#include "base/base.h"

#include "resolver/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "resolver/child.h"
#include "resolver/cooldown.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "ipc/resolve.h"
#include "resolver/python.h"

enum {
	PLACES_MAX = SLOT_RESOLVERS_MAX,
	WISHES_MAX = 128,
	WISH_MS = 5000,			/* a wish waits at most so long for a place */
	RIPE_MS = 1000,			/* idle for so long before it may have to make room */
	SILENT_MS = 8000,		/* no heartbeat for so long, with no job: stopped or stuck */
	LOOP_MS = 1000,
	CONNECT_MSG_MAX = 1024,
	FINGERPRINT_MAX = 1 << 20,
	MESSAGES_PER_TURN = 64,
};

enum place_state { PLACE_FREE, PLACE_IDLE, PLACE_BUSY, PLACE_RETIRING, PLACE_DYING };

struct place {
	enum place_state state;
	pid_t pid;
	int control;
	size_t backend;
	int64_t since_ms;		/* idle, or last connected to */
	int64_t deadline_ms;		/* of the job; 0: none */
};

struct wish {
	unsigned mover;
	size_t backend;
	int64_t until_ms;
};

struct broker {
	struct role_env *env;
	char **argv;
	const char *glue_dir;
	int epoll, signals, master;
	const char *const *backend;
	struct cooldown *cooldown;	/* one per backend */
	size_t n_backends;
	struct place place[PLACES_MAX];
	size_t limit;			/* so many resolvers at once */
	struct wish wish[WISHES_MAX];
	size_t n_wishes;
	struct buf fingerprint;		/* of what EODAG was set up with */
	int64_t last_turn_ms;
	bool draining;
};

enum attempt { ATTEMPT_ANSWERED, ATTEMPT_WAIT };

/* --- answers to movers ---------------------------------------------------- */

static void
answer(unsigned mover, const struct resolve_connected *c, int fd)
{
	struct buf msg = BUF_INIT(CONNECT_MSG_MAX);

	resolve_connected_put(&msg, c);
	if (!buf_ok(&msg) || fd_send(FD_FIRST + (int)mover, msg.data, msg.len, &fd, fd == -1 ? 0 : 1) < 0)
		log_warn(NULL, "EO-BROKER-MOVER", "cannot answer mover %u: %s", mover,
		    buf_ok(&msg) ? strerror(errno) : "message too long");
	buf_release(&msg);
	stat_job_done();
}

static void
refuse(unsigned mover, const char *backend, uint32_t status, uint32_t retry_ms, const char *why)
{
	struct resolve_connected c = {
		.backend = backend, .ok = false, .status = status,
		.retry_after_s = (retry_ms + 999) / 1000, .reason = why,
	};

	answer(mover, &c, -1);
}

/* --- places --------------------------------------------------------------- */

static void
place_say(struct place *p, enum child_word word)
{
	char c = (char)word;

	(void)fd_send(p->control, &c, 1, NULL, 0);	/* one that cannot be told dies soon, or has died */
}

/* A resolver of an earlier broker still has this place's slot. */
static bool
slot_taken(const struct scoreboard *sb, unsigned slot)
{
	uint32_t pid = __atomic_load_n(&sb->slot[slot].pid, __ATOMIC_ACQUIRE);
	struct buf comm = BUF_INIT(64);
	char path[64];
	bool taken;

	if (pid == 0)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	taken = fd_read_file(path, &comm, NULL) == 0 && strcmp(buf_str(&comm), "eodata-resolver\n") == 0;
	buf_release(&comm);
	return taken;
}

static struct place *
place_of(struct broker *b, size_t backend)
{
	for (size_t i = 0; i < PLACES_MAX; i++) {
		if (b->place[i].state != PLACE_FREE && b->place[i].backend == backend)
			return &b->place[i];
	}
	return NULL;
}

static size_t
living(const struct broker *b)
{
	size_t n = 0;

	for (size_t i = 0; i < PLACES_MAX; i++)
		n += b->place[i].state != PLACE_FREE;
	return n;
}

static struct place *
place_free(struct broker *b)
{
	if (living(b) >= b->limit)
		return NULL;
	for (size_t i = 0; i < PLACES_MAX; i++) {
		if (b->place[i].state == PLACE_FREE && !slot_taken(b->env->scoreboard, SLOT_RESOLVER(i)))
			return &b->place[i];
	}
	return NULL;
}

/* In the forked child: close what is the broker's, then be a resolver. */
static NORETURN void
become_child(struct broker *b, struct place *p, int control)
{
	unsigned index = (unsigned)(p - b->place);
	struct child_start start = {
		.config = b->env->config, .scoreboard = b->env->scoreboard, .backend = b->backend[p->backend],
		.slot = SLOT_RESOLVER(index), .index = index, .control = control, .master = b->master,
	};
	sigset_t none;

	(void)setpgid(0, 0);	/* so that what a plugin starts can be ended with it */
	(void)close(b->epoll);
	(void)close(b->signals);
	(void)close(FD_CONTROL);
	(void)close(FD_SCOREBOARD);	/* mapped */
	for (unsigned i = 0; i < b->env->config->movers; i++)
		(void)close(FD_FIRST + (int)i);
	for (size_t i = 0; i < PLACES_MAX; i++)
		fd_close(&b->place[i].control);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	child_run(&start);
}

static int
place_fork(struct broker *b, struct place *p, size_t backend, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int pair[2];
	pid_t pid;

	if (fd_socketpair(SOCK_SEQPACKET, true, pair, e) < 0)
		return -1;
	p->backend = backend;
	pid = python_fork();
	if (pid == 0) {
		(void)close(pair[0]);
		become_child(b, p, pair[1]);
	}
	(void)close(pair[1]);
	if (pid < 0) {
		err_sys(e, errno, "cannot fork");
		(void)close(pair[0]);
		return -1;
	}
	(void)setpgid(pid, pid);	/* both do: whoever comes first */
	p->pid = pid;
	p->control = pair[0];
	p->state = PLACE_IDLE;
	p->since_ms = clock_mono_ms();
	p->deadline_ms = 0;
	ev.data.fd = p->control;
	MUST(epoll_ctl(b->epoll, EPOLL_CTL_ADD, p->control, &ev) == 0);
	log_info(NULL, "resolver started pid=%d backend=%s", (int)pid, b->backend[backend]);
	return 0;
}

static int
place_connect(struct broker *b, struct place *p, unsigned mover, struct err *e)
{
	struct resolve_connected c = { .backend = b->backend[p->backend], .ok = true };
	char word = CHILD_CONNECT;
	int pair[2];

	if (fd_socketpair(SOCK_STREAM, true, pair, e) < 0)
		return -1;
	if (fd_send(p->control, &word, 1, &pair[1], 1) < 0) {
		err_sys(e, errno, "cannot reach the resolver");
		(void)close(pair[0]);
		(void)close(pair[1]);
		return -1;
	}
	(void)close(pair[1]);
	answer(mover, &c, pair[0]);
	(void)close(pair[0]);
	p->since_ms = clock_mono_ms();
	return 0;
}

static void
place_retire(struct broker *b, struct place *p)
{
	place_say(p, CHILD_RETIRE);
	p->state = PLACE_RETIRING;
	log_debug(NULL, "resolver retires pid=%d backend=%s", (int)p->pid, b->backend[p->backend]);
}

static void
place_kill(struct place *p)
{
	(void)kill(-p->pid, SIGKILL);
	(void)kill(p->pid, SIGKILL);	/* not yet reaped, so it is still this process */
}

/* Send the longest idle one home.  False: none is idle (*ret_soon: one may be in a moment). */
static bool
make_room(struct broker *b, bool *ret_soon)
{
	int64_t now = clock_mono_ms();
	struct place *best = NULL;

	*ret_soon = false;
	for (size_t i = 0; i < PLACES_MAX; i++) {
		struct place *p = &b->place[i];

		if (p->state == PLACE_RETIRING || p->state == PLACE_DYING) {
			*ret_soon = true;
			return true;
		}
		if (p->state != PLACE_IDLE)
			continue;
		*ret_soon = true;
		if (now - p->since_ms >= RIPE_MS && (best == NULL || p->since_ms < best->since_ms))
			best = p;
	}
	if (best == NULL)
		return false;
	place_retire(b, best);
	return true;
}

/* --- wishes --------------------------------------------------------------- */

static enum attempt
try_connect(struct broker *b, unsigned mover, size_t backend)
{
	const char *name = b->backend[backend];
	uint32_t left = cooldown_left_ms(&b->cooldown[backend], clock_mono_ms());
	struct place *p = place_of(b, backend);
	struct err e = ERR_NONE;
	bool soon;

	if (b->draining) {
		refuse(mover, name, 503, 1000, "ending");
		return ATTEMPT_ANSWERED;
	}
	if (left > 0) {
		refuse(mover, name, 504, left, "cooling down after a crash or timeout");
		return ATTEMPT_ANSWERED;
	}
	if (p != NULL && p->state != PLACE_IDLE && p->state != PLACE_BUSY)
		return ATTEMPT_WAIT;
	if (p == NULL) {
		p = place_free(b);
		if (p == NULL) {
			if (make_room(b, &soon) || soon)
				return ATTEMPT_WAIT;
			refuse(mover, name, 503, 1000, "every resolver is busy");
			return ATTEMPT_ANSWERED;
		}
		if (place_fork(b, p, backend, &e) < 0) {
			log_error(NULL, "EO-BROKER-FORK", "cannot start a resolver for '%s': %s", name, e.text);
			refuse(mover, name, 503, 1000, "cannot start a resolver");
			return ATTEMPT_ANSWERED;
		}
	}
	if (place_connect(b, p, mover, &e) < 0) {
		if (e.sys == EPIPE || e.sys == ECONNRESET)
			return ATTEMPT_WAIT;	/* it has died; the signal is on its way */
		log_warn(NULL, "EO-BROKER-CONNECT", "cannot connect mover %u to '%s': %s", mover, name, e.text);
		refuse(mover, name, 503, 1000, "cannot connect");
	}
	return ATTEMPT_ANSWERED;
}

static void
wish_add(struct broker *b, unsigned mover, size_t backend)
{
	if (b->n_wishes == WISHES_MAX) {
		refuse(mover, b->backend[backend], 503, 1000, "too many wait for a resolver");
		return;
	}
	b->wish[b->n_wishes++] = (struct wish){ mover, backend, clock_mono_ms() + WISH_MS };
}

/* Try again what had to wait. */
static void
serve_wishes(struct broker *b)
{
	int64_t now = clock_mono_ms();
	size_t kept = 0;

	for (size_t i = 0; i < b->n_wishes; i++) {
		struct wish w = b->wish[i];

		if (try_connect(b, w.mover, w.backend) == ATTEMPT_ANSWERED)
			continue;
		if (now < w.until_ms)
			b->wish[kept++] = w;
		else
			refuse(w.mover, b->backend[w.backend], 503, 1000, "no resolver became free");
	}
	b->n_wishes = kept;
}

static void
read_mover(struct broker *b, unsigned mover)
{
	char data[CONNECT_MSG_MAX], name[128];
	struct resolve_connect c;
	size_t nfds, i;
	ssize_t n;

	for (int turn = 0; turn < MESSAGES_PER_TURN; turn++) {
		n = fd_recv(FD_FIRST + (int)mover, data, sizeof(data), NULL, 0, &nfds);
		if (n < 0 && errno != EMSGSIZE)
			return;		/* nothing more */
		if (n <= 0 || resolve_connect_get(data, (size_t)n, &c) < 0 || c.backend == NULL) {
			log_warn(NULL, "EO-BROKER-NONSENSE", "a message from mover %u that is none, dropped", mover);
			if (n == 0)
				return;
			continue;
		}
		for (i = 0; i < b->n_backends && strcmp(b->backend[i], c.backend) != 0;)
			i++;
		if (i == b->n_backends) {
			log_debug(NULL, "unknown backend=%s", text_esc_to(name, sizeof(name), c.backend));
			refuse(mover, c.backend, 404, 0, "unknown backend");
		} else if (try_connect(b, mover, i) == ATTEMPT_WAIT) {
			wish_add(b, mover, i);
		}
	}
}

/* --- children ------------------------------------------------------------- */

static void
read_child(struct broker *b, struct place *p)
{
	struct epoll_event none = { 0 };
	char word;
	size_t nfds;
	ssize_t n;

	for (int turn = 0; turn < MESSAGES_PER_TURN; turn++) {
		n = fd_recv(p->control, &word, 1, NULL, 0, &nfds);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != 1) {
			/* It has ended, or sends nonsense; SIGCHLD says which, and a talker is not trusted. */
			(void)epoll_ctl(b->epoll, EPOLL_CTL_DEL, p->control, &none);
			if (n < 0)
				place_kill(p);
			return;
		}
		if (word == CHILD_BUSY && p->state == PLACE_IDLE) {
			p->state = PLACE_BUSY;
			p->deadline_ms = clock_mono_ms() + b->env->config->eodag_timeout_ms;
		} else if (word == CHILD_BUSY && p->state == PLACE_RETIRING) {
			p->deadline_ms = clock_mono_ms() + b->env->config->eodag_timeout_ms;
		} else if (word == CHILD_IDLE && (p->state == PLACE_BUSY || p->state == PLACE_RETIRING)) {
			if (p->state == PLACE_BUSY)
				p->state = PLACE_IDLE;
			p->deadline_ms = 0;
			p->since_ms = clock_mono_ms();
			cooldown_success(&b->cooldown[p->backend]);
		} else if (word == CHILD_WISH && p->state == PLACE_IDLE) {
			place_retire(b, p);
		}
	}
}

static void
place_reaped(struct broker *b, struct place *p, int status)
{
	const char *name = b->backend[p->backend];
	uint32_t wait_ms = b->env->config->eodag_cooldown_ms;
	struct slot *slot = &b->env->scoreboard->slot[SLOT_RESOLVER(p - b->place)];
	int64_t now = clock_mono_ms();

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && p->state == PLACE_RETIRING) {
		log_info(NULL, "resolver ended pid=%d backend=%s", (int)p->pid, name);
	} else {
		stat_inc(COUNT_RESOLVER_DEATHS);
		if (p->state == PLACE_DYING || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)) {
			cooldown_timeout(&b->cooldown[p->backend], now, wait_ms);
			log_warn(NULL, "EO-RESOLVER-TIMEOUT",
			    "resolver was too slow and was killed pid=%d backend=%s cooldown_ms=%u", (int)p->pid, name, cooldown_left_ms(&b->cooldown[p->backend], now));
		} else {
			cooldown_crash(&b->cooldown[p->backend], now, wait_ms);
			log_warn(NULL, "EO-RESOLVER-CRASH", "resolver died pid=%d backend=%s %s=%d cooldown_ms=%u",
			    (int)p->pid, name, WIFSIGNALED(status) ? "signal" : "status",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
			    cooldown_left_ms(&b->cooldown[p->backend], now));
		}
	}
	fd_close(&p->control);
	p->state = PLACE_FREE;
	if (__atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE) == (uint32_t)p->pid) {
		__atomic_store_n(&slot->deadline_mono_ms, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&slot->state, SLOT_EMPTY, __ATOMIC_RELAXED);
		__atomic_store_n(&slot->pid, 0, __ATOMIC_RELEASE);
	}
	p->pid = 0;
}

/*
 * Reap all that ended.  The words of a child that has ended are read first,
 * so that a job it finished counts.  Its process group goes with it: until it
 * is reaped, the number cannot be anybody else's.
 */
static void
reap(struct broker *b)
{
	siginfo_t info;
	int status;
	struct place *p;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		p = NULL;
		for (size_t i = 0; i < PLACES_MAX; i++) {
			if (b->place[i].state != PLACE_FREE && b->place[i].pid == info.si_pid)
				p = &b->place[i];
		}
		if (p != NULL)
			read_child(b, p);
		(void)kill(-info.si_pid, SIGKILL);
		if (waitpid(info.si_pid, &status, 0) == info.si_pid && p != NULL)
			place_reaped(b, p, status);
	}
}

/* No job, so no deadline; but a process that was stopped would keep its backend for good. */
static bool
is_silent(const struct broker *b, const struct place *p, int64_t now)
{
	const struct slot *s = &b->env->scoreboard->slot[SLOT_RESOLVER(p - b->place)];
	int64_t beat = __atomic_load_n(&s->heartbeat_mono_ms, __ATOMIC_RELAXED);

	if (beat < p->since_ms)
		beat = p->since_ms;
	return now - beat > SILENT_MS && b->last_turn_ms + SILENT_MS / 2 > now;	/* else it was all of us */
}

static void
kill_late(struct broker *b)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < PLACES_MAX; i++) {
		struct place *p = &b->place[i];

		if (p->state == PLACE_FREE || p->state == PLACE_DYING)
			continue;
		if (p->deadline_ms == 0) {
			if (is_silent(b, p, now))
				place_kill(p);	/* counts as a crash */
			continue;
		}
		if (now < p->deadline_ms)
			continue;
		place_kill(p);
		p->state = PLACE_DYING;
		p->deadline_ms = 0;
		cooldown_timeout(&b->cooldown[p->backend], now, b->env->config->eodag_cooldown_ms);
	}
	b->last_turn_ms = now;
}

/* --- the master ----------------------------------------------------------- */

static void
retire_all(struct broker *b)
{
	for (size_t i = 0; i < PLACES_MAX; i++) {
		if (b->place[i].state == PLACE_IDLE || b->place[i].state == PLACE_BUSY)
			place_retire(b, &b->place[i]);
	}
}

/* A file that EODAG reads: another one, or the same one changed. */
static void
print_file(struct buf *out, const char *path)
{
	struct stat st = { 0 };

	if (path == NULL || path[0] == '\0' || stat(path, &st) < 0)
		path = "";
	(void)buf_addf(out, "%s %llu %lld %lld.%09ld\f", path, (unsigned long long)st.st_ino, (long long)st.st_size,
	    (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
}

static void
print_strs(struct buf *out, const struct strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		(void)buf_addf(out, "%s\n", s->v[i]);
	(void)buf_addc(out, '\f');
}

/* All that EODAG and its children were set up with: when it changes, the broker must start again. */
static void
fingerprint(const struct config *c, struct buf *out)
{
	(void)buf_addf(out, "%s\f%s\f%u\f%u\f%u\f%u\f%llu\f", c->eodag_python, c->dir_run, c->eodag_resolvers,
	    c->eodag_timeout_ms, c->eodag_idle_ms, c->eodag_cooldown_ms, (unsigned long long)c->eodag_memory_max);
	print_file(out, c->eodag_config_file);
	print_file(out, c->eodag_providers_dir);
	print_file(out, c->eodag_collections_file);
	print_strs(out, &c->public_urls);
	print_strs(out, &c->ca_file);
}

/* Start again in this process: the master sees a reload in place, movers lose nothing that they sent. */
static void
start_again(struct broker *b, int config_fd)
{
	static const int keep[] = { FD_CONTROL, FD_CONFIG, FD_SCOREBOARD };
	sigset_t none;

	log_info(NULL, "the configuration of EODAG changed, starting again");
	retire_all(b);
	if (dup2(config_fd, FD_CONFIG) < 0)
		die("cannot take the new configuration: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(keep); i++)
		(void)fd_set_cloexec(keep[i], false);
	for (unsigned i = 0; i < b->env->config->movers; i++)
		(void)fd_set_cloexec(FD_FIRST + (int)i, false);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setenv("EODATA_PROXY_GLUE_DIR", b->glue_dir, 1);	/* fails as execv would */
	(void)execv("/proc/self/exe", b->argv);
	die("cannot start again: %s", strerror(errno));
}

static void
reload(struct broker *b, int fd)
{
	struct buf print = BUF_INIT(FINGERPRINT_MAX);
	struct config *next = config_from_memfd(fd, NULL);
	struct err e = ERR_NONE;
	bool same = true;

	if (next != NULL) {
		fingerprint(next, &print);
		same = strcmp(buf_str(&print), buf_str(&b->fingerprint)) == 0;
		if (!same && python_check(next, &e) < 0) {
			log_error(NULL, "EO-BROKER-RELOAD", "the old EODAG stays: %s", e.text);
			same = true;
		}
		config_free(next);
	}
	buf_release(&print);
	if (!same)
		start_again(b, fd);
	(void)role_reload(b->env, fd);	/* it logs, and the old one stays */
}

/* The master is gone: so is everyone here. */
static NORETURN void
end_all(struct broker *b)
{
	for (size_t i = 0; i < PLACES_MAX; i++) {
		if (b->place[i].state != PLACE_FREE)
			place_kill(&b->place[i]);
	}
	log_info(NULL, "the master is gone, ending");
	_exit(0);
}

static void
read_master(struct broker *b)
{
	int fd = -1;

	switch (control_read(FD_CONTROL, &fd)) {
	case CONTROL_RELOAD:
		reload(b, fd);
		break;
	case CONTROL_DRAIN:
		b->draining = true;
		stat_state(SLOT_DRAINING);
		retire_all(b);
		break;
	case CONTROL_GONE:
		end_all(b);
	case CONTROL_NONE:
	case CONTROL_READY:
		break;
	}
}

/* --- the loop ------------------------------------------------------------- */

static void
watch(struct broker *b, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("cannot watch descriptor %d: %s", fd, strerror(errno));
}

static void
broker_init(struct broker *b, struct role_env *env, char **argv, const char *glue_dir)
{
	sigset_t set;

	b->env = env;
	b->argv = argv;
	b->glue_dir = glue_dir;
	buf_init(&b->fingerprint, FINGERPRINT_MAX);
	fingerprint(env->config, &b->fingerprint);
	b->backend = python_backends(&b->n_backends);
	b->cooldown = mem_alloc(b->n_backends * sizeof(b->cooldown[0]));
	b->limit = env->config->eodag_resolvers;
	for (size_t i = 0; i < PLACES_MAX; i++)
		b->place[i].control = -1;
	/* Children must notice the master's death also when this process has died before. */
	b->master = pidfd_open(getppid(), 0);
	if (b->master < 0)
		die("cannot watch the master: %s", strerror(errno));
	(void)fd_set_cloexec(b->master, true);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	b->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (b->signals < 0 || b->epoll < 0)
		die("cannot make the event loop: %s", strerror(errno));
	watch(b, b->signals);
	watch(b, FD_CONTROL);
	for (unsigned i = 0; i < env->config->movers; i++) {
		if (fd_set_nonblock(FD_FIRST + (int)i, true) < 0)
			die("descriptor %d of mover %u is missing: %s", FD_FIRST + (int)i, i, strerror(errno));
		watch(b, FD_FIRST + (int)i);
	}
}

static int
loop_ms(const struct broker *b)
{
	int64_t now = clock_mono_ms(), left = LOOP_MS;

	for (size_t i = 0; i < PLACES_MAX; i++) {
		const struct place *p = &b->place[i];

		if (p->state != PLACE_FREE && p->deadline_ms != 0 && p->deadline_ms - now < left)
			left = p->deadline_ms - now;
	}
	if (b->n_wishes > 0 && left > 50)
		left = 50;	/* an idle resolver may have become ripe */
	return left < 0 ? 0 : (int)left;
}

static void
dispatch(struct broker *b, int fd, uint32_t events)
{
	struct signalfd_siginfo si;
	struct epoll_event none = { 0 };

	if (fd == b->signals) {
		while (read(b->signals, &si, sizeof(si)) == (ssize_t)sizeof(si))
			;		/* reap looks for itself */
	} else if (fd == FD_CONTROL) {
		read_master(b);
	} else if (fd >= FD_FIRST && fd < FD_FIRST + (int)b->env->config->movers) {
		/* The master holds the other end too: when all ends are closed, it is gone. */
		if ((events & EPOLLHUP) != 0)
			(void)epoll_ctl(b->epoll, EPOLL_CTL_DEL, fd, &none);
		else
			read_mover(b, (unsigned)(fd - FD_FIRST));
	} else {
		for (size_t i = 0; i < PLACES_MAX; i++) {
			if (b->place[i].state != PLACE_FREE && b->place[i].control == fd)
				read_child(b, &b->place[i]);
		}
	}
}

int
broker_run(struct role_env *env, char **argv, const char *glue_dir)
{
	struct broker b = { 0 };
	struct epoll_event ev[16];
	int n;

	broker_init(&b, env, argv, glue_dir);
	if (control_ready(FD_CONTROL, env->config->generation) < 0)
		die("cannot tell the master: %s", strerror(errno));
	stat_state(SLOT_READY);
	while (!b.draining || living(&b) > 0) {
		n = epoll_wait(b.epoll, ev, ARRAY_LEN(ev), loop_ms(&b));
		if (n < 0 && errno != EINTR)
			die("cannot wait: %s", strerror(errno));
		stat_heartbeat();
		reap(&b);	/* before movers are heard: they ask again as soon as they see an end */
		for (int i = 0; i < n; i++)
			dispatch(&b, ev[i].data.fd, ev[i].events);
		kill_late(&b);
		reap(&b);
		serve_wishes(&b);
	}
	free(b.cooldown);
	buf_release(&b.fingerprint);
	return 0;
}
