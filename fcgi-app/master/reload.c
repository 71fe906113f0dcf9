/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGHUP: the new configuration is read and checked aside.  Broken: every
 * fault is logged and the old one stays.  Whole: accountant, broker and
 * movers get it in place, and the workers are replaced: the old ones are
 * told to drain once all new ones are ready.  However many come while one is
 * under way (or before the start is done), one more follows.
 */
#include "base/base.h"

#include "master/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "config/params.h"
#include "ipc/control.h"
#include "master/notify.h"

enum { FAULTS_MAX = 65536, PATHS_MAX = 4096 };

static unsigned
free_worker_slots(const struct master *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLOT_WORKERS_MAX; i++)
		n += !m->child[SLOT_WORKERS + i].used;
	return n;
}

int
reload_workers(struct master *m)
{
	unsigned index = 0;

	if (free_worker_slots(m) < m->config->workers)
		return -1;
	for (unsigned i = 0; i < SLOT_WORKERS_MAX && index < m->config->workers; i++) {
		if (!m->child[SLOT_WORKERS + i].used)
			(void)spawn_new(m, ROLE_WORKER, index++, SLOT_WORKERS + i);
	}
	return 0;
}

void
reload_log_faults(struct buf *faults)
{
	char *text = buf_take(faults), *line, *end;

	for (line = text; line != NULL && *line != '\0'; line = end) {
		end = line + strcspn(line, "\n");
		if (*end != '\0')
			*end++ = '\0';
		log_error(NULL, "EO-CONFIG", "%s", line);
	}
	free(text);
}

static void
refuse(struct master *m, const char *why)
{
	__atomic_fetch_add(&m->sb->reloads_refused, 1, __ATOMIC_RELAXED);
	log_error(NULL, "EO-RELOAD", "configuration '%s' not taken, the old one stays: %s", m->opt->config_path, why);
}

/*
 * What a running program cannot change: descriptors, open folders, the store.
 * The new configuration goes to the children with the old values, so that all
 * of them agree.
 */
static int
keep_what_stays(const struct config *old, struct config *new, struct buf *faults)
{
	struct buf paths = BUF_INIT(PATHS_MAX);

	config_restart_needed(old, new, &paths);
	if (paths.len > 0)
		log_warn(NULL, "EO-RELOAD", "until the next start these stay: %s", buf_str(&paths));
	buf_release(&paths);
	return config_keep(old, new, faults);
}

static void
tell_core(struct master *m)
{
	struct child *c;

	for (unsigned i = 0; i < SLOT_WORKERS; i++) {
		c = &m->child[i];
		if (!c->used || c->pid == 0)
			continue;
		c->generation = m->config->generation;
		if (control_send(c->control, CONTROL_RELOAD, m->config_fd) == -1)
			log_error(NULL, "EO-RELOAD", "cannot tell role=%s index=%u: %s",
			    role_name(c->role), c->index, strerror(errno));
	}
}

/* Who has no process is forgotten; the others serve until the new ones can. */
static void
age_workers(struct master *m)
{
	struct child *c;

	for (unsigned i = 0; i < SLOT_WORKERS_MAX; i++) {
		c = &m->child[SLOT_WORKERS + i];
		if (!c->used)
			continue;
		c->old = true;
		if (c->pid == 0)
			spawn_forget(m, c);
	}
}

/* The new configuration as the children are to have it.  NULL: it is refused. */
static struct config *
read_new(struct master *m)
{
	struct buf faults = BUF_INIT(FAULTS_MAX);
	struct config *c = config_load(m->opt->config_path, true, &faults);
	const char *why = NULL;

	if (c == NULL)
		why = "it has the faults above";
	else if (free_worker_slots(m) < c->workers)
		why = "workers of earlier reloads are still ending";
	else if (keep_what_stays(m->config, c, &faults) != 0)
		why = "with what stays until the next start it has the faults above";
	if (why != NULL) {
		reload_log_faults(&faults);
		refuse(m, why);
		config_free(c);
		c = NULL;
	}
	buf_release(&faults);
	return c;
}

void
reload_begin(struct master *m)
{
	struct err e = ERR_NONE;
	struct config *c;
	int fd;

	m->reload_wanted = false;
	c = read_new(m);
	if (c == NULL)
		return;
	c->generation = m->config->generation + 1;
	fd = config_to_memfd(c, &e);
	if (fd == -1 || spawn_high(&fd, &e) == -1) {
		refuse(m, e.text);
		fd_close(&fd);
		config_free(c);
		return;
	}
	notify_reloading();
	config_free(m->config);
	m->config = c;
	fd_close(&m->config_fd);
	m->config_fd = fd;
	log_set_level(c->log_level);
	stat_generation(c->generation);
	tell_core(m);
	age_workers(m);
	MUST(reload_workers(m) == 0);
	m->reloading = true;
	log_info(NULL, "reloading generation=%" PRIu64, c->generation);
}

void
reload_advance(struct master *m)
{
	struct child *c;
	unsigned ready = 0;

	if (!m->reloading)
		return;
	for (unsigned i = 0; i < SLOT_WORKERS_MAX; i++) {
		c = &m->child[SLOT_WORKERS + i];
		ready += c->used && !c->old && c->pid != 0 && c->ready;
	}
	if (ready < m->config->workers)
		return;
	for (unsigned i = 0; i < SLOT_WORKERS_MAX; i++) {
		c = &m->child[SLOT_WORKERS + i];
		if (!c->used || !c->old || c->pid == 0 || c->draining)
			continue;
		c->draining = true;
		c->kill_at_ms = master_now() + WORKER_DRAIN_MS;
		/* who cannot hear it ends at the limit */
		(void)control_send(c->control, CONTROL_DRAIN, -1);
	}
	m->reloading = false;
	__atomic_store_n(&m->sb->generation, m->config->generation, __ATOMIC_RELAXED);
	stat_inc(COUNT_RELOADS);
	notify_send("READY=1\nSTATUS=serving, configuration %" PRIu64, m->config->generation);
	log_info(NULL, "reloaded generation=%" PRIu64, m->config->generation);
}
