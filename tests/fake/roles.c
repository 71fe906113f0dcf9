/* SPDX-License-Identifier: Apache-2.0
 *
 * Roles that do nothing but what a test of the master asks for.  Linked with
 * the real main, master and role start-up into eodata-proxy-fake; the same
 * program under the name eodata-proxy-resolver is the broker.
 *
 * A worker speaks lines on each connection:
 *
 *	who      "PID GENERATION SLOT\n"
 *	env      its environment, and its open descriptors
 *	hold     answers "held\n", then waits for the client to say more: a request in progress
 *	late     sets a deadline that passes at once, then hangs
 *	move     hands the connection to mover 0, which answers "moved PID\n"
 *	         and then holds it until the client closes
 *
 * A file fail-ROLE in the spool makes that role end at its start, hang-ROLE
 * makes it hang there.
 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "role.h"

enum { HELD_MAX = 16 };

static void
fail_when_told(const struct role_env *env)
{
	char path[512];

	(void)snprintf(
	    path, sizeof(path), "%s/fail-%s", env->config->dir_spool, role_name(env->role));
	if (access(path, F_OK) == 0)
		die("told to fail by '%s'", path);
	(void)snprintf(
	    path, sizeof(path), "%s/hang-%s", env->config->dir_spool, role_name(env->role));
	while (access(path, F_OK) == 0)
		(void)pause();
}

static void
up(struct role_env *env)
{
	fail_when_told(env);
	stat_heartbeat();
	stat_state(SLOT_READY);
	if (control_ready(FD_CONTROL, env->config->generation) == -1)
		die("cannot say ready");
}

/* False: drain or end. */
static bool
control(struct role_env *env, bool *gone)
{
	int fd = -1;

	switch (control_read(FD_CONTROL, &fd)) {
	case CONTROL_RELOAD:
		(void)role_reload(env, fd);
		return true;
	case CONTROL_DRAIN:
	case CONTROL_FINISH:
		stat_state(SLOT_DRAINING);
		return false;
	case CONTROL_GONE:
		*gone = true;
		return false;
	default:
		return true;
	}
}

/* -- worker -------------------------------------------------------------- */

static void
say(int fd, const char *text)
{
	(void)fd_write_all(fd, text, strlen(text));
}

static void
show_env(int fd)
{
	extern char **environ;
	char line[512];
	DIR *d = opendir("/proc/self/fd");
	struct dirent *ent;

	for (char **p = environ; *p != NULL; p++) {
		say(fd, *p);
		say(fd, "\n");
	}
	while (d != NULL) {
		ent = readdir(d);
		if (ent == NULL)
			break;
		if (ent->d_name[0] == '.' || atoi(ent->d_name) == fd ||
		    atoi(ent->d_name) == dirfd(d))
			continue;
		(void)snprintf(line, sizeof(line), "fd %s\n", ent->d_name);
		say(fd, line);
	}
	if (d != NULL)
		(void)closedir(d);
	(void)snprintf(line, sizeof(line), "dumpable %d\nno_new_privs %d\n",
	    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	say(fd, line);
}

static void
one_request(struct role_env *env, int fd)
{
	char line[64] = "", text[128];
	ssize_t n = read(fd, line, sizeof(line) - 1);

	if (n <= 0)
		return;
	stat_state(SLOT_BUSY);
	stat_inc(COUNT_REQUESTS);
	stat_deadline(clock_mono_ms() + 30000, "a request");
	if (strcmp(line, "who\n") == 0) {
		(void)snprintf(text, sizeof(text), "%d %" PRIu64 " %u\n", (int)getpid(),
		    env->config->generation, env->slot);
		say(fd, text);
	} else if (strcmp(line, "env\n") == 0) {
		show_env(fd);
	} else if (strcmp(line, "hold\n") == 0) {
		say(fd, "held\n");
		if (read(fd, line, 1) >= 0)
			say(fd, "done\n");
	} else if (strcmp(line, "late\n") == 0) {
		stat_deadline(clock_mono_ms() + 1, "a late one");
		(void)pause();
	} else if (strcmp(line, "move\n") == 0 && fd_send(FD_FIRST, "m", 1, &fd, 1) == -1) {
		say(fd, "queue full\n");
	}
	stat_deadline(0, NULL);
	stat_job_done();
	stat_state(SLOT_READY);
}

int
worker_run(struct role_env *env)
{
	struct pollfd p[2] = {
		{ .fd = FD_CONTROL, .events = POLLIN }, { .fd = FD_LISTEN, .events = POLLIN },
	};
	bool gone = false;
	int fd;

	up(env);
	while (control(env, &gone)) {
		stat_heartbeat();
		(void)poll(p, ARRAY_LEN(p), 1000);
		fd = accept4(FD_LISTEN, NULL, NULL, SOCK_CLOEXEC);
		if (fd == -1)
			continue;
		one_request(env, fd);
		fd_close(&fd);
	}
	return 0;
}

/* -- mover --------------------------------------------------------------- */

static void
take(struct pollfd *held, size_t *n)
{
	char byte, text[64];
	int fd = -1;
	size_t nfds = 0;

	if (*n == HELD_MAX || fd_recv(FD_HANDOVER, &byte, 1, &fd, 1, &nfds) != 1 || nfds != 1)
		return;
	(void)snprintf(text, sizeof(text), "moved %d\n", (int)getpid());
	say(fd, text);
	held[*n].fd = fd;
	held[(*n)++].events = POLLIN;
	stat_inc(COUNT_HANDOVERS_TAKEN);
	stat_job_done();
}

int
mover_run(struct role_env *env)
{
	struct pollfd p[2 + HELD_MAX] = {
		{ .fd = FD_CONTROL, .events = POLLIN }, { .fd = FD_HANDOVER, .events = POLLIN },
	};
	size_t n = 0;
	bool gone = false, drain = false;
	char byte;

	up(env);
	while (!gone && (!drain || n > 0)) {
		stat_heartbeat();
		(void)poll(p, 2 + n, 1000);
		drain |= !control(env, &gone);
		take(p + 2, &n);
		for (size_t i = 0; i < n; i++) {
			if (p[2 + i].revents == 0 || read(p[2 + i].fd, &byte, 1) > 0)
				continue;
			fd_close(&p[2 + i].fd);
			p[2 + i] = p[2 + --n];
		}
		p[2 + n].revents = 0;
	}
	for (size_t i = 0; i < n; i++)
		say(p[2 + i].fd, "cut\n");
	return 0;
}

/* -- accountant, broker -------------------------------------------------- */

static int
idle(struct role_env *env)
{
	struct pollfd p = { .fd = FD_CONTROL, .events = POLLIN };
	bool gone = false;

	up(env);
	while (control(env, &gone)) {
		stat_heartbeat();
		(void)poll(&p, 1, 1000);
	}
	return 0;
}

int
accountant_run(struct role_env *env)
{
	return idle(env);
}

#ifdef FAKE_BROKER
int
main(int argc, char **argv)
{
	struct role_env env;

	role_start(&env, argc, argv);
	return idle(&env);
}
#endif
