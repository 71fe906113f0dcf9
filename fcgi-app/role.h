/* SPDX-License-Identifier: Apache-2.0
 *
 * What every role does at start-up, in one order: map the scoreboard, read
 * the configuration from its memfd, open the log, default signals, raise
 * nofile, close what it must not have, then run.  The master starts each
 * child as
 *
 *	eodata-proxy --role NAME --slot S --index I
 *	eodata-proxy-resolver --role broker --slot S --index 0
 *
 * with the descriptors of ipc/fds.h open.  argv is what a process title shows.
 */
#ifndef ROLE_H
#define ROLE_H

#include "config/config.h"
#include "stat/scoreboard.h"

/* A build whose checkers want to look at the process like a debugger. */
#if defined(__SANITIZE_ADDRESS__)
#define ROLE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ROLE_SANITIZED 1
#endif
#endif
#ifndef ROLE_SANITIZED
#define ROLE_SANITIZED 0
#endif

struct role_env {
	struct config *config;		/* owned; replaced by role_reload */
	struct scoreboard *scoreboard;
	enum role role;
	unsigned slot, index;
};

/* 0, 1 and 2 exist from here on, so that no socket becomes somebody's stderr. */
void role_standard_fds(void);
/*
 * The master's and each role's own process: all the descriptors that it may have, files that are nobody else's,
 * no core dump and no debugger.  Dies when the kernel refuses.
 */
void role_process(void);
/* Start-up of a child, from its argv.  Dies (exit 1) when something is missing. */
void role_start(struct role_env *env, int argc, char **argv);
/*
 * A CONTROL_RELOAD came: build the new configuration aside, swap, free the
 * old one and report ready.  Takes fd.  -1: the old one stays (logged).
 */
int role_reload(struct role_env *env, int fd);

/*
 * A bound was reached: counted, and told with EO-BOUND, one line of each bound
 * in 10 s.  max 0: as stat_bound has it.  what happens now; which: the
 * backend, or NULL.  A place where
 * waiting is the usual thing counts with stat_bound_reached alone.
 */
void role_bound(enum bound b, const char *id, uint64_t max, const char *what, const char *which);

/*
 * A decision was made without the quota store, which was slower than it may
 * be, or away: counted (quota_away_total), and told with EO-QUOTA-AWAY, one line
 * in 10 s.  who: did not answer.  refused: by when_unavailable.
 */
void role_quota_away(const char *who, bool refused);

/* The roles of this program.  Each returns the exit status. */
int worker_run(struct role_env *env);
int mover_run(struct role_env *env);
int accountant_run(struct role_env *env);

#endif
