/* SPDX-License-Identifier: Apache-2.0
 *
 * Birth and death of children: fork, fixed descriptors, exec, reap.  Master
 * only.
 */
#include "base/base.h"

#include "master/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "ipc/control.h"
#include "role.h"

enum { ENV_MAX = 8, PLAN_MAX = FD_FIRST + MOVERS_MAX + 1 };

/* Which of our descriptors a child gets as which of its own. */
struct plan {
	int from[PLAN_MAX], to[PLAN_MAX];
	size_t n;
};

int
spawn_high(int *fd, struct err *e)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, FD_HIGH);

	if (high == -1)
		return err_sys(e, errno, "cannot move a descriptor");
	fd_close(fd);
	*fd = high;
	return 0;
}

/* What is queued for a role waits in these, so they should hold much. */
static int
make_pair(int pair[2], struct err *e)
{
	int size = HANDOVER_SNDBUF;

	if (fd_socketpair(SOCK_SEQPACKET, true, pair, e) == -1)
		return -1;
	for (int i = 0; i < 2; i++) {
		if (spawn_high(&pair[i], e) == -1)
			return -1;
		/* only root may pass net.core.wmem_max; less is a shorter queue, not an error */
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) == -1)
			(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	return 0;
}

static int
open_program(const char *path, struct err *e)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd == -1)
		return err_sys(e, errno, "cannot open program '%s'", path);
	return spawn_high(&fd, e) == -1 ? -1 : fd;
}

/* EODATA_PROXY_LIBEXEC, else beside this program (a build tree), else where it is installed. */
static int
open_resolver(struct err *e)
{
	const char *dir = getenv("EODATA_PROXY_LIBEXEC");
	char path[PATH_MAX], self[PATH_MAX];
	char *slash;
	ssize_t n;

	if (dir == NULL) {
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[n < 0 ? 0 : n] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL) {
			*slash = '\0';
			if (snprintf(path, sizeof(path), "%s/eodata-proxy-resolver", self) <
			    (int)sizeof(path) && access(path, X_OK) == 0)
				return open_program(path, e);
		}
		dir = PKGLIBEXECDIR;
	}
	if (snprintf(path, sizeof(path), "%s/eodata-proxy-resolver", dir) >= (int)sizeof(path))
		return err_set(e, "the path of eodata-proxy-resolver is too long");
	return open_program(path, e);
}

int
spawn_prepare(struct master *m, struct err *e)
{
	m->self = open_program("/proc/self/exe", e);
	if (m->self == -1)
		return -1;
	m->resolver = open_resolver(e);
	if (m->resolver == -1 || make_pair(m->workers_account, e) == -1)
		return -1;
	for (unsigned i = 0; i < m->movers; i++) {
		if (make_pair(m->handover[i], e) == -1 || make_pair(m->broker[i], e) == -1 ||
		    make_pair(m->account[i], e) == -1)
			return -1;
	}
	return 0;
}

void
spawn_release(struct master *m)
{
	for (unsigned i = 0; i < MOVERS_MAX; i++) {
		for (int end = 0; end < 2; end++) {
			fd_close(&m->handover[i][end]);
			fd_close(&m->broker[i][end]);
			fd_close(&m->account[i][end]);
		}
	}
	fd_close(&m->workers_account[0]);
	fd_close(&m->workers_account[1]);
	fd_close(&m->self);
	fd_close(&m->resolver);
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
		fd_close(&m->child[i].control);
}

struct child *
spawn_new(struct master *m, enum role role, unsigned index, unsigned slot)
{
	struct child *c = &m->child[slot];

	MUST(!c->used);
	memset(c, 0, sizeof(*c));
	c->used = true;
	c->role = role;
	c->index = index;
	c->slot = slot;
	c->control = -1;
	return c;
}

static void
plan_add(struct plan *p, int from, int to)
{
	MUST(p->n < PLAN_MAX && from >= FD_HIGH);
	p->from[p->n] = from;
	p->to[p->n++] = to;
}

/* ipc/fds.h, as a list. */
static void
plan_for(const struct master *m, const struct child *c, int control, struct plan *p)
{
	unsigned i = c->index;

	p->n = 0;
	plan_add(p, control, FD_CONTROL);
	plan_add(p, m->config_fd, FD_CONFIG);
	plan_add(p, m->sb_fd, FD_SCOREBOARD);
	if (c->role == ROLE_WORKER) {
		plan_add(p, m->listen, FD_LISTEN);
		plan_add(p, m->workers_account[0], FD_ACCOUNT);
	} else if (c->role == ROLE_MOVER) {
		plan_add(p, m->handover[i][0], FD_HANDOVER);
		plan_add(p, m->broker[i][0], FD_BROKER);
		plan_add(p, m->account[i][0], FD_ACCOUNT);
		plan_add(p, m->slots, FD_SLOTS);
	} else if (c->role == ROLE_ACCOUNTANT) {
		plan_add(p, m->workers_account[1], FD_FIRST);
	}
	for (unsigned k = 0; k < m->movers && c->role != ROLE_MOVER; k++) {
		if (c->role == ROLE_WORKER)
			plan_add(p, m->handover[k][1], FD_FIRST + (int)k);
		else if (c->role == ROLE_BROKER)
			plan_add(p, m->broker[k][1], FD_FIRST + (int)k);
		else
			plan_add(p, m->account[k][1], FD_FIRST + 1 + (int)k);
	}
}

/* In the new process.  All else that is open closes at exec. */
NORETURN static void
become(const struct plan *p, const struct user *u, int program, char *const argv[], char *const envp[])
{
	for (size_t i = 0; i < p->n; i++) {
		if (dup2(p->from[i], p->to[i]) == -1)
			_exit(126);
	}
	if (user_become(u) == -1)
		_exit(126);
	(void)setpgid(0, 0);	/* Ctrl-C at a terminal is for the master alone */
	signals_restore();
	(void)syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

/* Children get a language and a time zone, and what a sanitizer build needs; nothing else. */
static void
environment(char *env[ENV_MAX])
{
	static const char *const keep[] = {
		"LANG", "TZ",
		/* for a resolver that is not installed; role_start removes it */
		"EODATA_PROXY_GLUE_DIR",
#if ROLE_SANITIZED
		"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
#endif
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
		if (getenv(keep[i]) != NULL)
			env[n++] = mem_printf("%s=%s", keep[i], getenv(keep[i]));
	}
	env[n] = NULL;
}

static void
died(struct master *m, struct child *c, int64_t now)
{
	struct slot *s = &m->sb->slot[c->slot];
	uint64_t jobs = __atomic_load_n(&s->jobs, __ATOMIC_RELAXED);

	policy_died(&c->policy, jobs != c->jobs_before, now - c->started_ms, now);
	c->start_deaths += m->phase == STARTING;
	c->pid = 0;
	c->ready = false;
	fd_close(&c->control);
	__atomic_store_n(&s->deadline_mono_ms, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->state, (uint32_t)SLOT_DEAD, __ATOMIC_RELAXED);
}

static void
born(struct master *m, struct child *c, pid_t pid, int control, int64_t now)
{
	c->pid = pid;
	c->control = control;
	c->ready = c->draining = false;
	c->generation = m->config->generation;
	c->kill_at_ms = 0;
	policy_watch_start(&c->watched, now);
	master_watch(m, control, TAG_CHILD + c->slot);
	log_info(NULL, "started role=%s index=%u slot=%u pid=%d", role_name(c->role), c->index,
	    c->slot, (int)pid);
}

void
spawn_start(struct master *m, struct child *c)
{
	char slot[16], index[16], name[] = "eodata-proxy", resolver[] = "eodata-proxy-resolver";
	char role_flag[] = "--role", slot_flag[] = "--slot", index_flag[] = "--index";
	char *role = mem_strdup(role_name(c->role));
	bool broker = c->role == ROLE_BROKER;
	char *argv[] = {
		broker ? resolver : name, role_flag, role, slot_flag, slot, index_flag, index, NULL,
	};
	char *env[ENV_MAX];
	struct err e = ERR_NONE;
	struct slot *s = &m->sb->slot[c->slot];
	struct plan plan;
	int pair[2] = { -1, -1 };
	int64_t now = master_now();
	pid_t pid = -1;

	(void)snprintf(slot, sizeof(slot), "%u", c->slot);
	(void)snprintf(index, sizeof(index), "%u", c->index);
	environment(env);
	c->started_ms = now;
	c->jobs_before = __atomic_load_n(&s->jobs, __ATOMIC_RELAXED);	/* one that cannot be started has done none */
	/* written before there is a process: after fork the slot is the child's */
	__atomic_store_n(&s->role, (uint32_t)c->role, __ATOMIC_RELAXED);
	__atomic_store_n(&s->index, c->index, __ATOMIC_RELAXED);
	__atomic_store_n(&s->heartbeat_mono_ms, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->deadline_mono_ms, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->state, (uint32_t)SLOT_STARTING, __ATOMIC_RELAXED);
	if (fd_socketpair(SOCK_SEQPACKET, true, pair, &e) == 0 && spawn_high(&pair[0], &e) == 0 &&
	    spawn_high(&pair[1], &e) == 0) {
		plan_for(m, c, pair[1], &plan);
		pid = fork();
		if (pid == 0)
			become(&plan, &m->user, broker ? m->resolver : m->self, argv, env);
		if (pid == -1)
			(void)err_sys(&e, errno, "cannot fork");
	}
	fd_close(&pair[1]);
	if (pid == -1) {
		log_error(NULL, "EO-MASTER-SPAWN", "cannot start role=%s: %s", role, e.text);
		fd_close(&pair[0]);
		died(m, c, now);
	} else {
		born(m, c, pid, pair[0], now);
	}
	for (size_t i = 0; env[i] != NULL; i++)
		free(env[i]);
	free(role);
}

void
spawn_forget(struct master *m, struct child *c)
{
	struct slot *s = &m->sb->slot[c->slot];

	MUST(c->pid == 0);
	fd_close(&c->control);
	c->used = false;
	__atomic_store_n(&s->state, (uint32_t)SLOT_EMPTY, __ATOMIC_RELAXED);
	__atomic_store_n(&s->pid, 0u, __ATOMIC_RELAXED);
}

static const char *
how(int status, char *dst, size_t cap)
{
	if (WIFSIGNALED(status))
		(void)snprintf(dst, cap, "signal=%d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == 127)
		(void)snprintf(dst, cap, "exit=127 (cannot execute the program)");
	else
		(void)snprintf(dst, cap, "exit=%d", WEXITSTATUS(status));
	return dst;
}

/* A resolver whose broker died, or a child of one: its slot shows it. */
static void
reap_stranger(struct master *m, pid_t pid, int status)
{
	char note[SLOT_NOTE_MAX + 1], esc[4 * SLOT_NOTE_MAX + 1], text[64];
	struct slot *s;

	for (unsigned k = 0; k < SLOT_RESOLVERS_MAX; k++) {
		s = &m->sb->slot[SLOT_RESOLVER(k)];
		if (__atomic_load_n(&s->pid, __ATOMIC_RELAXED) != (uint32_t)pid)
			continue;
		memcpy(note, s->note, SLOT_NOTE_MAX);
		note[SLOT_NOTE_MAX] = '\0';
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			log_warn(NULL, "EO-RESOLVER-CRASH", "resolver died pid=%d backend=%s %s", (int)pid,
			    text_esc_to(esc, sizeof(esc), note), how(status, text, sizeof(text)));
		__atomic_store_n(&s->state, (uint32_t)SLOT_EMPTY, __ATOMIC_RELAXED);
		__atomic_store_n(&s->pid, 0u, __ATOMIC_RELAXED);
	}
	log_debug(NULL, "reaped pid=%d", (int)pid);
}

static void
reap_child(struct master *m, struct child *c, int status)
{
	bool expected = c->draining || m->forced, start = m->phase == STARTING;
	int64_t now = master_now();
	pid_t pid = c->pid;
	char text[64];

	died(m, c, now);
	if (expected) {
		log_info(NULL, "ended role=%s index=%u pid=%d %s", role_name(c->role), c->index,
		    (int)pid, how(status, text, sizeof(text)));
	} else {
		log_warn(NULL, "EO-MASTER-DEATH",
		    "died role=%s index=%u pid=%d %s restart_in_ms=%lld", role_name(c->role),
		    c->index, (int)pid, how(status, text, sizeof(text)),
		    (long long)policy_wait_ms(&c->policy, now));
	}
	if (c->draining || c->old || m->phase >= STOP_WORKERS)
		return;		/* forgotten by whoever told it to drain */
	if (start && c->start_deaths >= START_DEATHS_MAX) {
		log_error(NULL, "EO-MASTER-START",
		    "the %s does not start: it ended %u times, the last time with %s; "
		    "its own message is above",
		    role_name(c->role), c->start_deaths, how(status, text, sizeof(text)));
		m->status = 1;
		stop_begin(m, "start failed");
		return;
	}
	stat_inc(COUNT_RESTARTS);
}

void
spawn_reap(struct master *m)
{
	struct child *c;
	int status;
	pid_t pid;
	size_t i;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			return;
		if (pid == m->successor) {
			upgrade_ended(m, status);
			continue;
		}
		for (i = 0; i < SCOREBOARD_SLOTS; i++) {
			c = &m->child[i];
			if (c->used && c->pid == pid)
				break;
		}
		if (i == SCOREBOARD_SLOTS)
			reap_stranger(m, pid, status);
		else
			reap_child(m, &m->child[i], status);
	}
}

unsigned
spawn_alive(const struct master *m, enum role role)
{
	unsigned n = 0;

	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
		n += m->child[i].used && m->child[i].role == role && m->child[i].pid != 0;
	return n;
}

void
spawn_kill(struct master *m, int signo)
{
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (m->child[i].used && m->child[i].pid != 0)
			(void)kill(m->child[i].pid, signo); /* not reaped, so still ours */
	}
}
