/* SPDX-License-Identifier: Apache-2.0
 *
 * The master's beginning and its loop.
 */
#include "base/base.h"

#include "master/state.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "confine.h"
#include "ipc/control.h"
#include "master/listen.h"
#include "master/notify.h"
#include "role.h"

enum { FAULTS_MAX = 65536, EVENTS_MAX = 32 };

int64_t
master_now(void)
{
	return clock_mono_ms();
}

void
master_watch(struct master *m, int fd, uint32_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = tag };

	MUST(epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &ev) == 0);
}

/* -- beginning ----------------------------------------------------------- */

static gid_t
group_of(const char *name)
{
	struct group *g;

	if (name == NULL)
		return (gid_t)-1;
	g = getgrnam(name);
	if (g == NULL)
		die("no group '%s' for the socket", name);
	return g->gr_gid;
}

/* Who restarts us after a kill may be faster than the old workers' end. */
static int
make_listen(const struct master *m, const struct listen_spec *spec, struct err *e)
{
	gid_t group = group_of(m->opt->listen_group);
	int fd = -1;

	for (int i = 0; i < LISTEN_TRIES && fd == -1; i++) {
		if (i > 0)
			(void)poll(NULL, 0, LISTEN_PAUSE_MS);
		e->sys = 0;
		fd = listen_open(spec, m->opt->listen_mode, group, e);
		if (fd == -1 && e->sys != EADDRINUSE)
			break;
	}
	return fd;
}

/* The path is ours to remove when we made it, or the master that we replace did. */
static void
remember_path(struct master *m, const struct listen_spec *spec, bool made)
{
	char name[256];
	struct stat st;

	if (!made && !m->upgraded)
		return;
	if (m->opt->listen == NULL || spec->path[0] == '\0' ||
	    strcmp(m->opt->listen, listen_name(m->listen, name, sizeof(name))) != 0 ||
	    lstat(spec->path, &st) == -1)
		return;
	m->socket_path = mem_strdup(spec->path);
	m->socket_dev = st.st_dev;
	m->socket_ino = st.st_ino;
}

/* systemd's, else the one that --listen asks for, else the parent's on descriptor 0. */
static void
open_listen(struct master *m, const struct listen_spec *spec)
{
	struct err e = ERR_NONE;
	bool made = false;

	m->listen = listen_from_manager(&e);
	if (m->listen == -1 && e.text[0] != '\0')
		die("%s", e.text);
	if (m->listen != -1 && m->opt->listen != NULL && !m->upgraded)
		log_info(NULL, "listening on what LISTEN_FDS gave, not on --listen");
	if (m->listen == -1 && m->opt->listen != NULL) {
		made = true;
		m->listen = make_listen(m, spec, &e);
		if (m->listen == -1)
			die("%s", e.text);
	}
	if (m->listen == -1)
		m->listen = listen_from_stdin();
	if (m->listen == -1)
		die("no listening socket: use --listen, systemd's LISTEN_FDS, or spawn-fcgi");
	if (spawn_high(&m->listen, &e) == -1)
		die("%s", e.text);
	remember_path(m, spec, made);
}

static void
read_config(struct master *m)
{
	struct buf faults = BUF_INIT(FAULTS_MAX);

	m->config = config_load(m->opt->config_path, true, &faults);
	if (m->config == NULL) {
		reload_log_faults(&faults);
		die("cannot use the configuration '%s'", m->opt->config_path);
	}
	buf_release(&faults);
	m->config->generation = 1;
	m->movers = m->config->movers;
	log_set_level(m->config->log_level);
	if (m->movers < 1 || m->movers > MOVERS_MAX)
		die("pool.movers must be 1 to %d", MOVERS_MAX);
	if (m->config->workers < 1 || m->config->workers > SLOT_WORKERS_MAX / 2)
		die("pool.workers must be 1 to %d", SLOT_WORKERS_MAX / 2);
}

static void
own_process(void)
{
	struct err e = ERR_NONE;

	role_process();
	/* resolvers of a broker that died become our children, and are reaped */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		die("cannot become a reaper: %s", strerror(errno));
	if (confine_master(&e) == -1)
		die("%s", e.text);
}

static void
open_board(struct master *m)
{
	struct err e = ERR_NONE;

	m->sb = scoreboard_create(&m->sb_fd, &e);
	if (m->sb == NULL || spawn_high(&m->sb_fd, &e) == -1)
		die("%s", e.text);
	m->sb->movers = m->movers;
	m->sb->generation = m->config->generation;
	stat_init(m->sb, SLOT_MASTER);
	stat_claim(ROLE_MASTER, 0);
	stat_generation(m->config->generation);
	m->config_fd = config_to_memfd(m->config, &e);
	if (m->config_fd == -1 || spawn_high(&m->config_fd, &e) == -1)
		die("%s", e.text);
}

static void
begin(struct master *m, const struct listen_spec *spec)
{
	struct err e = ERR_NONE;

	/* what a careless parent left open goes to nobody */
	(void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	notify_init();
	upgrade_inherit(m);
	own_process();
	read_config(m);
	if (user_find(&m->user, m->config->user, &e) == -1 ||
	    rundir_check(m->config, &m->user, &e) == -1 || rundir_open(m, &e) == -1)
		die("%s", e.text);
	open_board(m);
	if (spawn_prepare(m, &e) == -1)
		die("%s", e.text);
	open_listen(m, spec);
	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	m->signals = signals_open(&e);
	if (m->epoll == -1 || m->signals == -1)
		die("cannot wait for events: %s", e.text);
	master_watch(m, m->signals, TAG_SIGNALS);
	m->last_tick_ms = master_now();
	(void)spawn_new(m, ROLE_ACCOUNTANT, 0, SLOT_ACCOUNTANT);
	(void)spawn_new(m, ROLE_BROKER, 0, SLOT_BROKER);
	for (unsigned i = 0; i < m->movers; i++)
		(void)spawn_new(m, ROLE_MOVER, i, SLOT_MOVERS + i);
}

/* -- the loop ------------------------------------------------------------ */

/* Is each record with a slot in [first, end) ready?  False when there is none. */
static bool
all_ready(const struct master *m, unsigned first, unsigned end)
{
	unsigned n = 0;

	for (unsigned i = first; i < end; i++) {
		if (!m->child[i].used || m->child[i].old)
			continue;
		if (!m->child[i].ready)
			return false;
		n++;
	}
	return n > 0;
}

static bool
any_ready(const struct master *m, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		if (m->child[i].used && m->child[i].ready && !m->child[i].draining)
			return true;
	}
	return false;
}

static void
become_ready(struct master *m)
{
	char name[256];

	m->phase = SERVING;
	stat_state(SLOT_READY);
	rundir_announce(m);
	log_set_nonblock(true); /* from here on, who does not read the log does not stop us */
	log_info(NULL, "ready listen='%s' workers=%u movers=%u generation=%" PRIu64,
	    listen_name(m->listen, name, sizeof(name)), m->config->workers, m->movers,
	    m->config->generation);
	notify_send("READY=1\nSTATUS=serving, configuration %" PRIu64, m->config->generation);
	upgrade_done(m);
}

/* Whatever can be done now, from what is known now. */
static void
advance(struct master *m, int64_t now)
{
	struct child *c;
	bool core = all_ready(m, SLOT_ACCOUNTANT, SLOT_WORKERS);

	if (m->phase == STARTING && !m->core_up && core) {
		m->core_up = true;
		MUST(reload_workers(m) == 0);
	}
	for (size_t i = 0; i < SCOREBOARD_SLOTS && m->phase < STOP_WORKERS; i++) {
		c = &m->child[i];
		if (!c->used || c->pid != 0)
			continue;
		if (c->draining || c->old)
			spawn_forget(m, c);
		else if (policy_wait_ms(&c->policy, now) == 0)
			spawn_start(m, c);
	}
	if (m->phase == STARTING && core &&
	    all_ready(m, SLOT_WORKERS, SLOT_WORKERS + SLOT_WORKERS_MAX))
		become_ready(m);
	if (m->phase == SERVING && m->reload_wanted && !m->reloading)
		reload_begin(m);
	if (m->phase == SERVING && m->upgrade_wanted && !m->reloading)
		upgrade_begin(m);
	if (m->phase == SERVING) {
		reload_advance(m);
		__atomic_store_n(&m->sb->ready,
		    core && any_ready(m, SLOT_WORKERS, SLOT_WORKERS + SLOT_WORKERS_MAX),
		    __ATOMIC_RELAXED);
	}
	stop_advance(m, now);
}

static int
wait_ms(const struct master *m, int64_t now)
{
	int64_t wait = m->last_tick_ms + TICK_MS - now, w;

	for (size_t i = 0; i < SCOREBOARD_SLOTS && m->phase < STOP_WORKERS; i++) {
		if (!m->child[i].used || m->child[i].pid != 0)
			continue;
		w = policy_wait_ms(&m->child[i].policy, now);
		if (w < wait)
			wait = w;
	}
	return wait < 0 ? 0 : (int)wait;
}

static void
on_signal(struct master *m, int signo)
{
	switch (signo) {
	case SIGCHLD:
		spawn_reap(m);
		break;
	case SIGHUP:
		m->reload_wanted = true;
		if (m->phase >= STOP_WORKERS)
			log_warn(NULL, "EO-RELOAD", "not reloading: the program is ending");
		break;
	case SIGUSR2:
		m->upgrade_wanted = true;
		if (m->phase >= STOP_WORKERS)
			log_warn(NULL, "EO-UPGRADE", "not upgrading: the program is ending");
		break;
	case SIGTERM:
	case SIGINT:
		stop_signal(m, signo == SIGTERM ? "SIGTERM" : "SIGINT");
		break;
	}
}

static void
on_child(struct master *m, struct child *c)
{
	struct slot *s = &m->sb->slot[c->slot];
	uint32_t starting = SLOT_STARTING;
	uint64_t generation = 0;

	if (!c->used || c->control == -1)
		return;
	switch (control_read_child(c->control, &generation)) {
	case CONTROL_READY:
		if (!c->ready)
			policy_watch_start(&c->watched, master_now());
		c->ready = true;
		(void)__atomic_compare_exchange_n(&s->state, &starting, (uint32_t)SLOT_READY, false,
		    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		log_debug(NULL, "up role=%s index=%u pid=%d generation=%" PRIu64,
		    role_name(c->role), c->index, (int)c->pid, generation);
		break;
	case CONTROL_GONE:
		/* it is ending; SIGCHLD says when */
		(void)epoll_ctl(m->epoll, EPOLL_CTL_DEL, c->control, NULL);
		break;
	default:
		break;
	}
}

static void
dispatch(struct master *m, uint32_t tag)
{
	int signo;

	switch (tag) {
	case TAG_SIGNALS:
		do {
			signo = signals_read(m->signals);
			on_signal(m, signo);
		} while (signo != 0);
		break;
	case TAG_CONSOLE:
		if (m->console != -1)
			rundir_console(m);
		break;
	case TAG_UPGRADE:
		if (m->upgrade != -1)
			upgrade_event(m);
		break;
	default:
		MUST(tag - TAG_CHILD < SCOREBOARD_SLOTS);
		on_child(m, &m->child[tag - TAG_CHILD]);
	}
}

static void
loop(struct master *m)
{
	struct epoll_event ev[EVENTS_MAX];
	int64_t now;
	int n;

	for (;;) {
		now = master_now();
		if (now - m->last_tick_ms >= TICK_MS)
			watch_tick(m, now);
		advance(m, now);
		if (m->phase == STOPPED)
			return;
		n = epoll_wait(m->epoll, ev, EVENTS_MAX, wait_ms(m, now));
		for (int i = 0; i < n; i++)
			dispatch(m, ev[i].data.u32);
	}
}

static void
release(struct master *m)
{
	rundir_withdraw(m);
	spawn_release(m);
	fd_close(&m->listen);
	fd_close(&m->config_fd);
	fd_close(&m->sb_fd);
	fd_close(&m->slots);
	fd_close(&m->upgrade);
	fd_close(&m->signals);
	fd_close(&m->epoll);
	config_free(m->config);
	scoreboard_detach(m->sb);
	free(m->run_dir);
	free(m->socket_path);
}

int
master_run(const struct master_options *opt)
{
	struct master *m = mem_alloc(sizeof(*m));
	struct listen_spec spec = { "", "", "" };
	struct err e = ERR_NONE;
	int status;

	log_init("master", LOG_INFO);
	m->opt = opt;
	m->epoll = m->signals = m->listen = m->config_fd = m->sb_fd = m->slots = m->self =
	    m->resolver = -1;
	m->console = m->console_board = m->upgrade = -1;
	memset(m->workers_account, -1, sizeof(m->workers_account));
	memset(m->handover, -1, sizeof(m->handover));
	memset(m->broker, -1, sizeof(m->broker));
	memset(m->account, -1, sizeof(m->account));
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
		m->child[i].control = -1;
	if (opt->listen != NULL && listen_parse(opt->listen, &spec, &e) == -1)
		die("%s", e.text);
	begin(m, &spec);
	loop(m);
	log_info(NULL, "ended");
	status = m->status;
	release(m);
	free(m);
	return status;
}
