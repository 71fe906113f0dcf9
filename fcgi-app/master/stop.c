/* SPDX-License-Identifier: Apache-2.0
 *
 * The end: first those who accept, then those who move bytes, then those
 * they ask, last the accountant, so that every charge finds its way.
 */
#include "base/base.h"

#include "master/state.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "ipc/control.h"
#include "master/notify.h"

static enum role
role_of(enum phase p)
{
	return p == STOP_WORKERS ? ROLE_WORKER : p == STOP_MOVERS ? ROLE_MOVER :
	    p == STOP_BROKER ? ROLE_BROKER : ROLE_ACCOUNTANT;
}

static int64_t
limit_of(const struct master *m, int64_t now)
{
	switch (m->phase) {
	case STOP_BROKER:
		return now + BROKER_DRAIN_MS;
	case STOP_ACCOUNTANT:
		return now + (m->forced ? BROKER_DRAIN_MS : ACCOUNTANT_DRAIN_MS);
	case STOP_MOVERS:
		return now + (m->finishing ? m->config->upgrade_drain_ms : m->config->drain_ms) + STOP_EXTRA_MS;
	default:
		return now + WORKER_STOP_MS;
	}
}

/* Tell those whose turn it is; also those who heard it before, when the limit has changed. */
static void
enter(struct master *m, int64_t now)
{
	bool finish = m->finishing && m->phase == STOP_MOVERS;
	struct child *c;

	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		c = &m->child[i];
		if (!c->used || c->role != role_of(m->phase) || c->pid == 0)
			continue;
		/* who cannot hear it ends at the limit */
		(void)control_send(c->control, finish ? CONTROL_FINISH : CONTROL_DRAIN, -1);
		c->draining = true;
		c->kill_at_ms = limit_of(m, now);
	}
}

/*
 * At once: all but the accountant see that the master is gone, and have a
 * moment to cut visibly.  What they still charge is settled after them.
 */
static void
force(struct master *m)
{
	struct child *c;

	m->forced = true;
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		c = &m->child[i];
		if (!c->used || c->role == ROLE_ACCOUNTANT)
			continue;
		fd_close(&c->control);
		if (c->pid != 0)
			c->kill_at_ms = master_now() + FORCED_MS;
	}
}

/* Unless somebody has put another one there. */
static void
unlink_socket(const struct master *m)
{
	struct stat st;

	if (lstat(m->socket_path, &st) == 0 && st.st_dev == m->socket_dev &&
	    st.st_ino == m->socket_ino)
		(void)unlink(m->socket_path);
}

void
stop_signal(struct master *m, const char *why)
{
	upgrade_cancel(m);
	stop_begin(m, why);
}

void
stop_begin(struct master *m, const char *why)
{
	int64_t now = master_now();

	if (m->phase >= STOP_WORKERS && m->finishing) {
		m->finishing = false;
		log_info(NULL, "ending reason='%s'", why);
		enter(m, now);
		return;
	}
	if (m->phase >= STOP_WORKERS) {
		if (!m->forced)
			log_info(NULL, "ending at once");
		force(m);
		return;
	}
	log_info(NULL, "ending reason='%s'", why);
	__atomic_store_n(&m->sb->draining, 1u, __ATOMIC_RELAXED);
	__atomic_store_n(&m->sb->ready, 0u, __ATOMIC_RELAXED);
	stat_state(SLOT_DRAINING);
	if (m->phase == STARTING)
		force(m);	/* nobody was served yet */
	/*
	 * So that the front sees at once that nobody accepts.  After an upgrade,
	 * or before it is done, the path is the other's.
	 */
	if (m->socket_path != NULL && m->successor == 0 && !m->upgraded)
		unlink_socket(m);
	if (m->successor == 0)
		notify_send("STOPPING=1\nSTATUS=draining");
	m->phase = STOP_WORKERS;
	enter(m, now);
}

void
stop_advance(struct master *m, int64_t now)
{
	struct child *c;

	while (m->phase >= STOP_WORKERS && m->phase < STOPPED) {
		if (spawn_alive(m, role_of(m->phase)) > 0)
			return;
		for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
			c = &m->child[i];
			if (c->used && c->role == role_of(m->phase))
				spawn_forget(m, c);
		}
		m->phase++;
		if (m->phase == STOP_ACCOUNTANT || (m->phase != STOPPED && !m->forced))
			enter(m, now);
	}
}
