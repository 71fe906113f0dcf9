/* SPDX-License-Identifier: Apache-2.0
 *
 * What every child does first, in one order, whatever its role.  It runs in
 * each child of the master, also in eodata-proxy-resolver.
 */
#include "base/base.h"

#include "role.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "confine.h"
#include "ipc/control.h"
#include "ipc/fds.h"

enum { TOLD_MS = 10000 };	/* between two lines of the same */

_Static_assert((int)MOVERS_MAX == (int)SLOT_MOVERS_MAX, "one slot for each mover");

void
role_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd != -1 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

static unsigned
number_arg(const char *text, unsigned max, const char *what)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v > max)
		die("bad %s for a child of the master", what);
	return (unsigned)v;
}

/* Exactly "--role NAME --slot S --index I": only the master says it. */
static void
arguments(struct role_env *env, int argc, char **argv)
{
	static const enum role known[] = { ROLE_WORKER, ROLE_MOVER, ROLE_BROKER, ROLE_ACCOUNTANT };
	size_t i;

	if (argc != 7 || strcmp(argv[1], "--role") != 0 || strcmp(argv[3], "--slot") != 0 ||
	    strcmp(argv[5], "--index") != 0)
		die("this program is started by eodata-proxy");
	for (i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(argv[2], role_name(known[i])) == 0)
			break;
	}
	if (i == ARRAY_LEN(known))
		die("no such role");
	env->role = known[i];
	env->slot = number_arg(argv[4], SCOREBOARD_SLOTS - 1, "slot");
	env->index = number_arg(argv[6], SCOREBOARD_SLOTS - 1, "index");
}

/*
 * What is meant for the master (an operator's "pkill -HUP eodata-proxy" reaches
 * all) harms nobody.  A limit on the size of files is an error of write, no death.
 */
static void
default_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2, SIGXFSZ };
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		(void)sigaction(s, &act, NULL);	/* fails for KILL and STOP, as it should */
	act.sa_handler = SIG_IGN;
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		(void)sigaction(ignored[i], &act, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Which of the descriptors below FD_FIRST a role has, and how many from there. */
static void
close_others(enum role role, unsigned movers)
{
	static const unsigned have[ROLES] = {
		[ROLE_WORKER] = 1u << FD_LISTEN | 1u << FD_ACCOUNT,
		[ROLE_MOVER] = 1u << FD_HANDOVER | 1u << FD_BROKER | 1u << FD_ACCOUNT |
		    1u << FD_SLOTS,
	};
	unsigned always = 1u << FD_CONTROL | 1u << FD_SCOREBOARD;
	unsigned first_free = FD_FIRST;

	if (role == ROLE_WORKER || role == ROLE_BROKER)
		first_free += movers;
	else if (role == ROLE_ACCOUNTANT)
		first_free += 1 + movers;
	for (int fd = STDERR_FILENO + 1; fd < FD_FIRST; fd++) {
		if (((have[role] | always) & 1u << fd) == 0)
			(void)close(fd);	/* mostly not open */
		else if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
			die("descriptor %d is missing", fd);
	}
	for (unsigned fd = FD_FIRST; fd < first_free; fd++) {
		if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) == -1)
			die("descriptor %u is missing", fd);
	}
	if (close_range(first_free, ~0u, 0) == -1)
		die("cannot close descriptors: %s", strerror(errno));
}

void
role_process(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);	/* to less than allowed: cannot fail */
	}
	(void)umask(027);
	/* no core with secrets, no debugger of the same user; the leak checker needs to be one */
	if (!ROLE_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		die("cannot forbid core dumps: %s", strerror(errno));
}

static void
privileges(void)
{
	struct err e = ERR_NONE;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		die("cannot set no_new_privs: %s", strerror(errno));
	if (confine_capabilities(0, &e) == -1)
		die("%s", e.text);
}

/* No proxy variable, no preload and no Python path reaches a library. */
static void
environment(void)
{
	static const char *const keep[] = { "LANG", "TZ" };
	char *value[ARRAY_LEN(keep)];

	for (size_t i = 0; i < ARRAY_LEN(keep); i++)
		value[i] = mem_strdup(getenv(keep[i]));
	(void)clearenv();
	for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
		if (value[i] != NULL)
			(void)setenv(keep[i], value[i], 1);
		free(value[i]);
	}
}

static struct config *
read_config(const struct scoreboard *sb, int fd, struct err *e)
{
	struct config *c = config_from_memfd(fd, e);
	uint32_t movers = __atomic_load_n(&sb->movers, __ATOMIC_RELAXED);

	/* their number is what the descriptors were made for */
	if (c != NULL && movers >= 1 && movers <= MOVERS_MAX)
		c->movers = movers;
	return c;
}

void
role_start(struct role_env *env, int argc, char **argv)
{
	struct err e = ERR_NONE;
	int config_fd = FD_CONFIG;

	memset(env, 0, sizeof(*env));
	role_standard_fds();
	log_init("child", LOG_INFO);
	arguments(env, argc, argv);
	log_init(role_name(env->role), LOG_INFO);
	env->scoreboard = scoreboard_attach(FD_SCOREBOARD, &e);
	if (env->scoreboard == NULL)
		die("%s", e.text);
	stat_init(env->scoreboard, env->slot);
	stat_claim(env->role, env->index);
	env->config = read_config(env->scoreboard, config_fd, &e);
	if (env->config == NULL)
		die("%s", e.text);
	fd_close(&config_fd);
	stat_generation(env->config->generation);
	log_set_level(env->config->log_level);
	log_set_burst(env->config->log_burst);
	log_set_nonblock(true);	/* who does not read the log stops nobody */
	default_signals();
	(void)prctl(PR_SET_NAME, role_name(env->role), 0, 0, 0);	/* cannot fail */
	privileges();
	role_process();
	environment();
	close_others(env->role, env->config->movers);
	if (fd_set_nonblock(FD_CONTROL, true) == -1)
		die("no control socket: %s", strerror(errno));
}

int
role_reload(struct role_env *env, int fd)
{
	struct err e = ERR_NONE;
	struct config *c;

	c = fd == -1 ? NULL : read_config(env->scoreboard, fd, &e);
	if (fd == -1)
		(void)err_set(&e, "no descriptor was free for it");
	fd_close(&fd);
	if (c == NULL) {
		log_error(NULL, "EO-RELOAD", "configuration not taken: %s", e.text);
		return -1;
	}
	config_free(env->config);
	env->config = c;
	log_set_level(c->log_level);
	log_set_burst(c->log_burst);
	stat_generation(c->generation);
	if (control_ready(FD_CONTROL, c->generation) == -1)
		log_warn(NULL, "EO-CONTROL", "cannot answer the master: %s", strerror(errno));
	return 0;
}

/* What is told once in TOLD_MS, with how often it was since. */
struct told { int64_t said_ms; uint64_t times; };

static bool
tell_now(struct told *t)
{
	int64_t now = clock_mono_ms();

	t->times++;
	if (t->said_ms != 0 && now - t->said_ms < TOLD_MS)
		return false;
	t->said_ms = now;
	return true;
}

void
role_bound(enum bound b, const char *id, uint64_t max, const char *what, const char *which)
{
	static struct told told[BOUND_N];
	char esc[160];

	stat_bound_reached(b);
	if (!tell_now(&told[b]))
		return;
	if (max == 0 && stat_slot() != NULL)
		max = stat_slot()->bound[b].max;
	log_warn(id, "EO-BOUND", "bound=%s max=%llu times=%llu %s%s%s", bound_name(b), (unsigned long long)max,
	    (unsigned long long)told[b].times, what, which == NULL ? "" : " backend=",
	    which == NULL ? "" : text_esc_to(esc, sizeof(esc), which));
	told[b].times = 0;
}

void
role_quota_away(const char *who, bool refused)
{
	static struct told told[2];
	struct told *t = &told[refused];

	stat_inc(COUNT_QUOTA_AWAY);
	if (!tell_now(t))
		return;
	log_warn(NULL, "EO-QUOTA-AWAY", "quotas are not checked, %s did not answer in time times=%llu when_unavailable=%s", who,
	    (unsigned long long)t->times, refused ? "refuse" : "allow");
	t->times = 0;
}
