/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker's children: forked, connected, sent home, killed, reaped.  Runs in
 * the broker.
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
 */
#include "base/base.h"

#include "resolver/places.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/fds.h"
#include "resolver/child.h"
#include "resolver/python.h"

enum {
	RIPE_MS = 1000,			/* idle for so long before it may have to make room */
	SILENT_MS = 8000,		/* no heartbeat for so long, with no job: stopped or stuck */
	MESSAGES_PER_TURN = 64,
};

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

struct place *
place_of(struct broker *b, size_t backend)
{
	for (size_t i = 0; i < PLACES_MAX; i++) {
		if (b->place[i].state != PLACE_FREE && b->place[i].backend == backend)
			return &b->place[i];
	}
	return NULL;
}

size_t
places_living(const struct broker *b)
{
	size_t n = 0;

	for (size_t i = 0; i < PLACES_MAX; i++)
		n += b->place[i].state != PLACE_FREE;
	return n;
}

struct place *
place_free(struct broker *b)
{
	if (places_living(b) >= b->limit)
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
		.argv = b->argv, .slot = SLOT_RESOLVER(index), .index = index, .control = control, .master = b->master,
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

int
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

int
place_connect(struct place *p, int *ret_fd, struct err *e)
{
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
	p->since_ms = clock_mono_ms();
	*ret_fd = pair[0];
	return 0;
}

static void
place_retire(struct broker *b, struct place *p)
{
	place_say(p, CHILD_RETIRE);
	p->state = PLACE_RETIRING;
	log_debug(NULL, "resolver retires pid=%d backend=%s", (int)p->pid, b->backend[p->backend]);
}

void
place_kill(struct place *p)
{
	(void)kill(-p->pid, SIGKILL);
	(void)kill(p->pid, SIGKILL);	/* not yet reaped, so it is still this process */
}

/* Send the longest idle one home.  False: none is idle (*ret_soon: one may be in a moment). */
bool
places_make_room(struct broker *b, bool *ret_soon)
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

void
place_read(struct broker *b, struct place *p)
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

/* Its resolvers end with it, and may see it sooner than we do. */
static bool
master_is_gone(const struct broker *b)
{
	struct pollfd p = { .fd = b->master, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void
place_reaped(struct broker *b, struct place *p, int status)
{
	bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	const char *name = b->backend[p->backend];
	uint32_t wait_ms = b->env->config->eodag_cooldown_ms;
	struct slot *slot = &b->env->scoreboard->slot[SLOT_RESOLVER(p - b->place)];
	int64_t now = clock_mono_ms();

	if (well && (p->state == PLACE_RETIRING || master_is_gone(b))) {
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
void
places_reap(struct broker *b)
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
			place_read(b, p);
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

void
places_kill_late(struct broker *b)
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

void
places_retire_all(struct broker *b)
{
	for (size_t i = 0; i < PLACES_MAX; i++) {
		if (b->place[i].state == PLACE_IDLE || b->place[i].state == PLACE_BUSY)
			place_retire(b, &b->place[i]);
	}
}
