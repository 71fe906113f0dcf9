/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the master share.  One struct master, made by master.c.
 *
 * Phases:
 *	STARTING   accountant, broker and movers start; once they are ready, the
 *	           workers.  A role that does not come up ends the program.
 *	SERVING    every role was ready once; who dies is replaced.
 *	STOP_*     the roles end in the order workers, movers, broker,
 *	           accountant, each told to drain when the one before is gone.
 *	STOPPED    the loop ends.
 */
#ifndef MASTER_STATE_H
#define MASTER_STATE_H

#include "config/config.h"
#include "ipc/fds.h"
#include "master/master.h"
#include "master/policy.h"
#include "stat/scoreboard.h"
#include "user.h"

enum {
	START_DEATHS_MAX = 3,
	WORKER_DRAIN_MS = 60000,	/* an old worker's request after a reload */
	WORKER_STOP_MS = 10000,		/* the same at the end: a worker waits for nothing slow */
	BROKER_DRAIN_MS = 5000,
	ACCOUNTANT_DRAIN_MS = 15000,
	STOP_EXTRA_MS = 3000,		/* a mover cuts its clients itself at its own limit */
	FORCED_MS = 1500,		/* after a second SIGTERM */
	TICK_MS = 1000,
	UPGRADE_EXTRA_MS = 1000,	/* the new program reports a slow role itself */
	LISTEN_TRIES = 20,		/* workers of a killed master need a moment to let go */
	LISTEN_PAUSE_MS = 100,
	STALL_MS = 3000,		/* so long without running: nobody is judged by it */
	HANDOVER_SNDBUF = 4 << 20,
	FD_HIGH = 128,			/* what children get is kept above all fixed descriptors */
};

enum phase { STARTING, SERVING, STOP_WORKERS, STOP_MOVERS, STOP_BROKER, STOP_ACCOUNTANT, STOPPED };

struct child {
	bool used;			/* with a process, or waiting to get one */
	enum role role;
	unsigned index, slot;
	pid_t pid;			/* 0: none */
	int control;			/* -1: none */
	bool ready, draining, old;	/* old: of an earlier configuration, never replaced */
	uint64_t generation;		/* that it was given */
	uint64_t jobs_before;
	unsigned start_deaths;
	int64_t started_ms;
	int64_t kill_at_ms;		/* 0: no limit */
	struct policy policy;
	struct watched watched;
};

struct master {
	const struct master_options *opt;
	struct config *config;
	struct scoreboard *sb;
	enum phase phase;
	bool core_up;			/* accountant, broker and movers were all ready once */
	bool reload_wanted, upgrade_wanted;	/* signals that came; any number of one kind is one */
	bool reloading;
	bool finishing;			/* another serves: what runs may go on for pool.upgrade_drain */
	bool forced;			/* a second SIGTERM came */
	int status;			/* exit status */
	unsigned movers;
	struct user user;
	char *run_dir;			/* as it was at start */
	/* of the listening socket, where we or the master before us made it; else NULL */
	char *socket_path;
	dev_t socket_dev;
	ino_t socket_ino;
	/* descriptors; -1: none */
	int epoll, signals, listen, config_fd, sb_fd, slots, self, resolver;
	int console, console_board;	/* rundir.c */
	bool console_shut;		/* out of descriptors: not watched until the next tick */
	int upgrade;			/* upgrade.c: to the other master */
	bool upgraded;			/* started by an older master; not yet told it */
	pid_t successor;		/* 0: none */
	int64_t successor_by_ms;	/* not ready by then: killed; 0: it has taken over, or none */
	int workers_account[2];
	/* [0] is the mover's end */
	int handover[MOVERS_MAX][2], broker[MOVERS_MAX][2], account[MOVERS_MAX][2];
	int64_t last_tick_ms;
	struct child child[SCOREBOARD_SLOTS];	/* by slot */
};

/* Tags of the epoll set; TAG_CHILD + slot. */
enum { TAG_SIGNALS, TAG_CONSOLE, TAG_UPGRADE, TAG_CHILD };

/* spawn.c */
int spawn_prepare(struct master *m, struct err *e);	/* executables, socket pairs */
void spawn_release(struct master *m);
struct child *spawn_new(struct master *m, enum role role, unsigned index, unsigned slot);
/* Fork and exec.  A failure counts as a death: it is logged, and tried again with back-off. */
void spawn_start(struct master *m, struct child *c);
void spawn_reap(struct master *m);			/* after SIGCHLD */
void spawn_forget(struct master *m, struct child *c);	/* no process, no successor */
unsigned spawn_alive(const struct master *m, enum role role);
void spawn_kill(struct master *m, int signo);		/* all of them */
int spawn_high(int *fd, struct err *e);			/* move above FD_HIGH */

/* signals.c: all that we handle, blocked; a signalfd. */
int signals_open(struct err *e);
int signals_read(int fd);		/* the next one, or 0 */
void signals_restore(void);		/* in a child before exec */

/* rundir.c: folders, slots file, pid file, and the socket of eodata-proxyctl */
int rundir_check(const struct config *c, const struct user *u, struct err *e);
int rundir_open(struct master *m, struct err *e);
void rundir_announce(struct master *m);		/* ready: write the pid file, open the console */
void rundir_console(struct master *m);		/* somebody connected */
void rundir_watch(struct master *m);		/* once a second */
void rundir_withdraw(struct master *m);

/* watch.c: once a second */
void watch_tick(struct master *m, int64_t now);

/* reload.c */
void reload_begin(struct master *m);	/* serving, and no other under way */
void reload_log_faults(struct buf *faults);	/* a line each; empties it */
void reload_advance(struct master *m);	/* a worker became ready */
int reload_workers(struct master *m);	/* records for config->workers of them; -1: no room */

/* upgrade.c */
void upgrade_begin(struct master *m);	/* serving, and no reload under way */
void upgrade_event(struct master *m);
void upgrade_watch(struct master *m, int64_t now);	/* once a second */
void upgrade_inherit(struct master *m);	/* at start: are we the new one? */
void upgrade_done(struct master *m);	/* ready: tell the old one */
void upgrade_cancel(struct master *m);	/* a signal ends us: the new one too, unless it serves */
void upgrade_ended(struct master *m, int status);	/* the new one is dead */

/* stop.c */
void stop_signal(struct master *m, const char *why);	/* somebody asked for it */
void stop_begin(struct master *m, const char *why);
void stop_advance(struct master *m, int64_t now);

/* master.c */
int64_t master_now(void);
void master_watch(struct master *m, int fd, uint32_t tag);

#endif
