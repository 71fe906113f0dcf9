/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is late, silent or stopped is killed.  The master's clock decides and
 * the scoreboard is only asked: what it says can cost a child its own life,
 * never another's.
 */
#include "base/base.h"

#include "master/state.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "master/notify.h"

#define GET(p)	__atomic_load_n((p), __ATOMIC_RELAXED)

static void
end_child(struct master *m, struct child *c, const char *why)
{
	const struct slot *s = &m->sb->slot[c->slot];
	char note[SLOT_NOTE_MAX + 1], esc[4 * SLOT_NOTE_MAX + 1];

	memcpy(note, s->note, SLOT_NOTE_MAX);
	note[SLOT_NOTE_MAX] = '\0';
	log_warn(NULL, "EO-MASTER-KILL", "killed role=%s index=%u pid=%d reason=%s note=%s",
	    role_name(c->role), c->index, (int)c->pid, why, text_esc_to(esc, sizeof(esc), note));
	(void)kill(c->pid, SIGKILL);	/* not reaped yet, so it is still ours */
	c->kill_at_ms = 0;
	policy_watch_start(&c->watched, master_now());
}

static void
watch_child(struct master *m, struct child *c, int64_t now)
{
	const struct slot *s = &m->sb->slot[c->slot];

	if (c->kill_at_ms != 0 && now >= c->kill_at_ms) {
		end_child(m, c, "drain-limit");
		return;
	}
	if (!c->ready) {
		if (now - c->started_ms >= m->config->start_ms) {
			if (m->phase == STARTING) {
				log_error(NULL, "EO-MASTER-START",
				    "the %s was not ready within %u ms (pool.start)",
				    role_name(c->role), m->config->start_ms);
				m->status = 1;
				stop_begin(m, "start failed");
			}
			c->started_ms = now;
			end_child(m, c, "start-limit");
		}
		return;
	}
	switch (policy_watch(&c->watched, GET(&s->deadline_mono_ms), GET(&s->heartbeat_mono_ms),
	    c->role == ROLE_WORKER, now)) {
	case WATCH_FINE:
		break;
	case WATCH_LATE:
		end_child(m, c, "deadline");
		break;
	case WATCH_SILENT:
		end_child(m, c, "heartbeat");
		break;
	}
}

/* Is it our child, and none that we started?  Resolvers become that when their broker dies. */
static bool
adopted(const struct master *m, pid_t pid)
{
	char path[64], text[512];
	struct buf b = BUF_INIT(sizeof(text) - 1);
	const char *after;
	int ppid = 0;

	/* the number is what the resolver says it is */
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (m->child[i].used && m->child[i].pid == pid)
			return false;
	}
	if (pid == m->successor)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fd_read_file(path, &b, NULL) == 0) {
		after = strrchr(buf_str(&b), ')');
		if (after == NULL || sscanf(after + 1, " %*c %d", &ppid) != 1)
			ppid = 0;
	}
	buf_release(&b);
	return ppid == (int)getpid();
}

/* A broker watches its own resolvers, with less patience; those that outlived it are ours. */
static void
watch_resolvers(struct master *m, int64_t now)
{
	enum watch_verdict verdict;
	const struct slot *s;
	struct watched *w;
	int64_t deadline;
	pid_t pid;

	for (unsigned k = 0; k < SLOT_RESOLVERS_MAX; k++) {
		s = &m->sb->slot[SLOT_RESOLVER(k)];
		w = &m->child[SLOT_RESOLVER(k)].watched;
		deadline = GET(&s->deadline_mono_ms);
		pid = (pid_t)GET(&s->pid);
		if (pid <= 1) {
			policy_watch_start(w, now);
			continue;
		}
		verdict = policy_watch(w, deadline > 0 ? deadline + TICK_MS : 0, GET(&s->heartbeat_mono_ms), true, now);
		if (verdict == WATCH_FINE || !adopted(m, pid))
			continue;
		log_warn(NULL, "EO-MASTER-KILL", "killed role=resolver index=%u pid=%d reason=%s", k, (int)pid,
		    verdict == WATCH_LATE ? "deadline" : "heartbeat");
		(void)kill(pid, SIGKILL);	/* our child and not reaped, so no other's pid */
	}
}

/* A mover that is stopped does not tell, so the master looks: the fullest of the queues that it holds. */
static void
tell_handovers(const struct master *m)
{
	socklen_t len = sizeof(int);
	int used = 0, max = 0, n;

	for (unsigned i = 0; i < m->movers; i++) {
		if (ioctl(m->handover[i][1], SIOCOUTQ, &n) == 0 && n > used)
			used = n;
	}
	if (getsockopt(m->handover[0][1], SOL_SOCKET, SO_SNDBUF, &max, &len) == 0)
		stat_bound(BOUND_HANDOVERS, (uint64_t)used, (uint64_t)max);
}

void
watch_tick(struct master *m, int64_t now)
{
	bool stalled = now - m->last_tick_ms > STALL_MS;
	struct child *c;

	m->last_tick_ms = now;
	stat_heartbeat();
	tell_handovers(m);
	notify_watchdog();
	upgrade_watch(m, now);
	rundir_watch(m);
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		c = &m->child[i];
		if (stalled)
			policy_watch_start(&c->watched, now);
		else if (c->used && c->pid != 0)
			watch_child(m, c, now);
	}
	if (!stalled)
		watch_resolvers(m, now);
}
