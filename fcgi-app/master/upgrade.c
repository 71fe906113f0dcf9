/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGUSR2: another binary takes over without closing the socket.
 *
 * The old master starts the program again, from the path that it was started
 * from, with the listening socket as LISTEN_FDS and a socket to itself.  The
 * new one says one byte when all its roles are ready; then the old one drains
 * (pool.upgrade_drain, or pool.drain from a SIGTERM on) and ends.  A new one
 * that ends before that changes nothing; one that takes too long is killed.
 */
#include "base/base.h"

#include "master/state.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "master/notify.h"

enum { CHILD_LISTEN = 3, CHILD_UPGRADE = 4 };

#define UPGRADE_ENV "EODATA_PROXY_UPGRADE_FD"

/* Where the program was started from; a package that replaced it leaves " (deleted)" behind. */
static int
own_path(char *path, size_t cap)
{
	static const char gone[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", path, cap - 1);
	size_t tail = sizeof(gone) - 1;

	if (n <= 0)
		return -1;
	path[n] = '\0';
	if ((size_t)n > tail && strcmp(path + n - tail, gone) == 0)
		path[(size_t)n - tail] = '\0';
	return 0;
}

NORETURN static void
become(const struct master *m, const char *path, int to_old)
{
	char text[32];

	if (dup2(m->listen, CHILD_LISTEN) == -1 || dup2(to_old, CHILD_UPGRADE) == -1)
		_exit(126);
	(void)snprintf(text, sizeof(text), "%d", (int)getpid());
	(void)setenv("LISTEN_PID", text, 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	if (getenv("WATCHDOG_PID") != NULL)
		(void)setenv("WATCHDOG_PID", text, 1);	/* soon it is the one watched */
	(void)snprintf(text, sizeof(text), "%d", CHILD_UPGRADE);
	(void)setenv(UPGRADE_ENV, text, 1);
	signals_restore();
	(void)execv(path, m->opt->argv);
	_exit(127);
}

void
upgrade_begin(struct master *m)
{
	struct err e = ERR_NONE;
	char path[PATH_MAX];
	int pair[2] = { -1, -1 };
	pid_t pid;

	m->upgrade_wanted = false;
	if (m->successor != 0) {
		log_warn(NULL, "EO-UPGRADE", "not upgrading: the new program pid=%d is starting", (int)m->successor);
		return;
	}
	if (own_path(path, sizeof(path)) == -1 ||
	    fd_socketpair(SOCK_STREAM, true, pair, &e) == -1 || spawn_high(&pair[1], &e) == -1) {
		log_error(NULL, "EO-UPGRADE", "cannot prepare an upgrade: %s", e.text);
		goto out;
	}
	pid = fork();
	if (pid == 0)
		become(m, path, pair[1]);
	if (pid == -1) {
		log_error(NULL, "EO-UPGRADE", "cannot fork: %s", strerror(errno));
		goto out;
	}
	m->successor = pid;
	m->successor_by_ms = master_now() + 2 * (int64_t)m->config->start_ms + UPGRADE_EXTRA_MS;
	m->upgrade = pair[0];
	pair[0] = -1;
	master_watch(m, m->upgrade, TAG_UPGRADE);
	log_info(NULL, "upgrading successor=%d program='%s'", (int)pid, path);
out:
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

/* In the old one: a byte, or the end. */
void
upgrade_event(struct master *m)
{
	char byte = 0;
	ssize_t n = recv(m->upgrade, &byte, 1, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	fd_close(&m->upgrade);
	if (n != 1 || byte != 'R')
		return;		/* its death is reported when it is reaped */
	m->successor_by_ms = 0;
	log_info(NULL, "upgraded successor=%d", (int)m->successor);
	notify_send("MAINPID=%d", (int)m->successor);
	if (m->phase != SERVING)
		return;
	m->finishing = true;
	stop_begin(m, "upgraded");
}

/* One that hangs would keep every later one out. */
void
upgrade_watch(struct master *m, int64_t now)
{
	if (m->successor_by_ms == 0 || now < m->successor_by_ms)
		return;
	log_error(NULL, "EO-UPGRADE", "the new program pid=%d was not ready in time: killed", (int)m->successor);
	(void)kill(m->successor, SIGKILL);	/* not reaped yet, so it is still ours */
	m->successor_by_ms = 0;
}

/* We are to end while another one starts: so is that one. */
void
upgrade_cancel(struct master *m)
{
	if (m->successor == 0 || m->upgrade == -1)
		return;		/* none, or it has taken over already */
	fd_close(&m->upgrade);
	(void)kill(m->successor, SIGTERM);	/* not reaped yet, so it is still ours */
	m->successor = 0;
	m->successor_by_ms = 0;
}

void
upgrade_ended(struct master *m, int status)
{
	pid_t pid = m->successor;

	fd_close(&m->upgrade);
	if (m->phase >= STOP_WORKERS)
		return;		/* it had taken over, so its names are not ours to remove */
	m->successor = 0;
	m->successor_by_ms = 0;
	log_error(NULL, "EO-UPGRADE",
	    "the new program pid=%d ended before it was ready (%s %d), this one goes on", (int)pid,
	    WIFSIGNALED(status) ? "signal" : "exit",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void
upgrade_inherit(struct master *m)
{
	const char *text = getenv(UPGRADE_ENV);
	int type = 0;
	socklen_t len = sizeof(type);

	if (text == NULL)
		return;
	if (atoi(text) == CHILD_UPGRADE &&
	    getsockopt(CHILD_UPGRADE, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM && fd_set_cloexec(CHILD_UPGRADE, true) == 0) {
		m->upgrade = CHILD_UPGRADE;
		m->upgraded = true;
	}
	(void)unsetenv(UPGRADE_ENV);
}

void
upgrade_done(struct master *m)
{
	if (!m->upgraded)
		return;
	notify_send("MAINPID=%d", (int)getpid());
	/* it may have died meanwhile: nobody to tell */
	(void)send(m->upgrade, "R", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	fd_close(&m->upgrade);
	m->upgraded = false;
}
