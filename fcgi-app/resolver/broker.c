/* SPDX-License-Identifier: Apache-2.0
 *
 * The resolvers' broker: forks, connects, kills and reaps the resolvers.
 * EODAG is loaded once, here, before the loop starts; after that this process
 * runs no Python but the interpreter's own fork hooks.
 *
 * A mover's wish that has to wait for a place (its backend's resolver ends,
 * or another one retires to make room) is kept in a short list.
 */
#include "base/base.h"

#include "resolver/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "ipc/resolve.h"
#include "resolver/fingerprint.h"
#include "resolver/places.h"
#include "resolver/python.h"

enum {
	WISH_MS = 5000,			/* a wish waits at most so long for a place */
	LOOP_MS = 1000,
	CONNECT_MSG_MAX = 1024,
	FINGERPRINT_MAX = 1 << 20,
	MESSAGES_PER_TURN = 64,
};

enum attempt { ATTEMPT_ANSWERED, ATTEMPT_WAIT };

/* --- answers to movers ---------------------------------------------------- */

static void
answer(unsigned mover, const struct resolve_connected *c, int fd)
{
	struct buf msg = BUF_INIT(CONNECT_MSG_MAX);

	resolve_connected_put(&msg, c);
	if (!buf_ok(&msg) || fd_send(FD_FIRST + (int)mover, msg.data, msg.len, &fd, fd == -1 ? 0 : 1) < 0)
		log_warn(NULL, "EO-BROKER-MOVER", "cannot answer mover %u: %s", mover,
		    buf_ok(&msg) ? strerror(errno) : "message too long");
	buf_release(&msg);
	stat_job_done();
}

static void
refuse(unsigned mover, const char *backend, uint32_t status, uint32_t retry_ms, const char *why)
{
	struct resolve_connected c = {
		.backend = backend, .ok = false, .status = status,
		.retry_after_s = (retry_ms + 999) / 1000, .reason = why,
	};

	answer(mover, &c, -1);
}

/* --- wishes --------------------------------------------------------------- */

static enum attempt
try_connect(struct broker *b, unsigned mover, size_t backend)
{
	const char *name = b->backend[backend];
	uint32_t left = cooldown_left_ms(&b->cooldown[backend], clock_mono_ms());
	struct place *p = place_of(b, backend);
	struct err e = ERR_NONE;
	int fd = -1;
	bool soon;

	if (b->draining) {
		refuse(mover, name, 503, 1000, "ending");
		return ATTEMPT_ANSWERED;
	}
	if (left > 0) {
		refuse(mover, name, 504, left, "cooling down after a crash or timeout");
		return ATTEMPT_ANSWERED;
	}
	if (p != NULL && p->state != PLACE_IDLE && p->state != PLACE_BUSY)
		return ATTEMPT_WAIT;
	if (p == NULL) {
		p = place_free(b);
		if (p == NULL) {
			if (places_make_room(b, &soon) || soon)
				return ATTEMPT_WAIT;
			role_bound(BOUND_RESOLVERS, NULL, b->limit, "answered 503", name);
			refuse(mover, name, 503, 1000, "every resolver is busy");
			return ATTEMPT_ANSWERED;
		}
		if (place_fork(b, p, backend, &e) < 0) {
			log_error(NULL, "EO-BROKER-FORK", "cannot start a resolver for '%s': %s", name, e.text);
			refuse(mover, name, 503, 1000, "cannot start a resolver");
			return ATTEMPT_ANSWERED;
		}
	}
	if (place_connect(p, &fd, &e) < 0) {
		if (e.sys == EPIPE || e.sys == ECONNRESET)
			return ATTEMPT_WAIT;	/* it has died; the signal is on its way */
		log_warn(NULL, "EO-BROKER-CONNECT", "cannot connect mover %u to '%s': %s", mover, name, e.text);
		refuse(mover, name, 503, 1000, "cannot connect");
		return ATTEMPT_ANSWERED;
	}
	answer(mover, &(struct resolve_connected){ .backend = name, .ok = true }, fd);
	fd_close(&fd);
	return ATTEMPT_ANSWERED;
}

static void
wish_add(struct broker *b, unsigned mover, size_t backend)
{
	for (size_t i = 0; i < b->n_wishes; i++) {
		if (b->wish[i].mover == mover && b->wish[i].backend == backend)
			return;		/* it asks again while it waits */
	}
	if (b->n_wishes == WISHES_MAX) {
		refuse(mover, b->backend[backend], 503, 1000, "too many wait for a resolver");
		return;
	}
	b->wish[b->n_wishes++] = (struct wish){ mover, backend, clock_mono_ms() + WISH_MS };
}

/* Try again what had to wait. */
static void
serve_wishes(struct broker *b)
{
	int64_t now = clock_mono_ms();
	size_t kept = 0;

	for (size_t i = 0; i < b->n_wishes; i++) {
		struct wish w = b->wish[i];

		if (try_connect(b, w.mover, w.backend) == ATTEMPT_ANSWERED)
			continue;
		if (now < w.until_ms)
			b->wish[kept++] = w;
		else
			refuse(w.mover, b->backend[w.backend], 503, 1000, "no resolver became free");
	}
	b->n_wishes = kept;
}

static void
read_mover(struct broker *b, unsigned mover)
{
	char data[CONNECT_MSG_MAX], name[128];
	struct resolve_connect c;
	size_t nfds, i;
	ssize_t n;

	for (int turn = 0; turn < MESSAGES_PER_TURN; turn++) {
		n = fd_recv(FD_FIRST + (int)mover, data, sizeof(data), NULL, 0, &nfds);
		if (n < 0 && errno != EMSGSIZE)
			return;		/* nothing more */
		if (n <= 0 || resolve_connect_get(data, (size_t)n, &c) < 0 || c.backend == NULL) {
			log_warn(NULL, "EO-BROKER-NONSENSE", "a message from mover %u that is none, dropped", mover);
			if (n == 0)
				return;
			continue;
		}
		for (i = 0; i < b->n_backends && strcmp(b->backend[i], c.backend) != 0;)
			i++;
		if (i == b->n_backends) {
			log_debug(NULL, "unknown backend=%s", text_esc_to(name, sizeof(name), c.backend));
			refuse(mover, c.backend, 404, 0, "unknown backend");
		} else if (try_connect(b, mover, i) == ATTEMPT_WAIT) {
			wish_add(b, mover, i);
		}
	}
}

/* --- the master ----------------------------------------------------------- */

/* Start again in this process: the master sees a reload in place, movers lose nothing that they sent. */
static void
start_again(struct broker *b, int config_fd)
{
	static const int keep[] = { FD_CONTROL, FD_CONFIG, FD_SCOREBOARD };
	sigset_t none;

	log_info(NULL, "the configuration of EODAG changed, starting again");
	places_retire_all(b);
	if (dup2(config_fd, FD_CONFIG) < 0)
		die("cannot take the new configuration: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(keep); i++)
		(void)fd_set_cloexec(keep[i], false);
	for (unsigned i = 0; i < b->env->config->movers; i++)
		(void)fd_set_cloexec(FD_FIRST + (int)i, false);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setenv("EODATA_PROXY_GLUE_DIR", b->glue_dir, 1);	/* fails as execv would */
	(void)execv("/proc/self/exe", b->argv);
	die("cannot start again: %s", strerror(errno));
}

static void
reload(struct broker *b, int fd)
{
	struct buf print = BUF_INIT(FINGERPRINT_MAX);
	struct config *next = fd == -1 ? NULL : config_from_memfd(fd, NULL);
	struct err e = ERR_NONE;
	bool same = true;

	if (next != NULL) {
		fingerprint(next, &print);
		same = strcmp(buf_str(&print), buf_str(&b->fingerprint)) == 0;
		if (!same && python_check(next, &e) < 0) {
			log_error(NULL, "EO-BROKER-RELOAD", "the old EODAG stays: %s", e.text);
			same = true;
		}
		config_free(next);
	}
	buf_release(&print);
	if (!same)
		start_again(b, fd);
	(void)role_reload(b->env, fd);	/* it logs, and the old one stays */
}

/* The master is gone: so is everyone here. */
static NORETURN void
end_all(struct broker *b)
{
	for (size_t i = 0; i < PLACES_MAX; i++) {
		if (b->place[i].state != PLACE_FREE)
			place_kill(&b->place[i]);
	}
	log_info(NULL, "the master is gone, ending");
	_exit(0);
}

static void
read_master(struct broker *b)
{
	int fd = -1;

	switch (control_read(FD_CONTROL, &fd)) {
	case CONTROL_RELOAD:
		reload(b, fd);
		break;
	case CONTROL_DRAIN:
		b->draining = true;
		stat_state(SLOT_DRAINING);
		places_retire_all(b);
		break;
	case CONTROL_GONE:
		end_all(b);
	case CONTROL_NONE:
	case CONTROL_READY:
	case CONTROL_FINISH:
		break;
	}
}

/* --- the loop ------------------------------------------------------------- */

static void
watch(struct broker *b, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("cannot watch descriptor %d: %s", fd, strerror(errno));
}

static void
broker_init(struct broker *b, struct role_env *env, char **argv, const char *glue_dir)
{
	sigset_t set;

	b->env = env;
	b->argv = argv;
	b->glue_dir = glue_dir;
	buf_init(&b->fingerprint, FINGERPRINT_MAX);
	fingerprint(env->config, &b->fingerprint);
	b->backend = python_backends(&b->n_backends);
	b->cooldown = mem_alloc(b->n_backends * sizeof(b->cooldown[0]));
	b->limit = env->config->eodag_resolvers;
	for (size_t i = 0; i < PLACES_MAX; i++)
		b->place[i].control = -1;
	/* Children must notice the master's death also when this process has died before. */
	b->master = pidfd_open(getppid(), 0);
	if (b->master < 0)
		die("cannot watch the master: %s", strerror(errno));
	(void)fd_set_cloexec(b->master, true);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	b->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (b->signals < 0 || b->epoll < 0)
		die("cannot make the event loop: %s", strerror(errno));
	watch(b, b->signals);
	watch(b, FD_CONTROL);
	for (unsigned i = 0; i < env->config->movers; i++) {
		if (fd_set_nonblock(FD_FIRST + (int)i, true) < 0)
			die("descriptor %d of mover %u is missing: %s", FD_FIRST + (int)i, i, strerror(errno));
		watch(b, FD_FIRST + (int)i);
	}
}

static int
loop_ms(const struct broker *b)
{
	int64_t now = clock_mono_ms(), left = LOOP_MS;

	for (size_t i = 0; i < PLACES_MAX; i++) {
		const struct place *p = &b->place[i];

		if (p->state != PLACE_FREE && p->deadline_ms != 0 && p->deadline_ms - now < left)
			left = p->deadline_ms - now;
	}
	if (b->n_wishes > 0 && left > 50)
		left = 50;	/* an idle resolver may have become ripe */
	return left < 0 ? 0 : (int)left;
}

static void
dispatch(struct broker *b, int fd, uint32_t events)
{
	struct signalfd_siginfo si;
	struct epoll_event none = { 0 };

	if (fd == b->signals) {
		while (read(b->signals, &si, sizeof(si)) == (ssize_t)sizeof(si))
			;		/* reap looks for itself */
	} else if (fd == FD_CONTROL) {
		read_master(b);
	} else if (fd >= FD_FIRST && fd < FD_FIRST + (int)b->env->config->movers) {
		/* The master holds the other end too: when all ends are closed, it is gone. */
		if ((events & EPOLLHUP) != 0)
			(void)epoll_ctl(b->epoll, EPOLL_CTL_DEL, fd, &none);
		else
			read_mover(b, (unsigned)(fd - FD_FIRST));
	} else {
		for (size_t i = 0; i < PLACES_MAX; i++) {
			if (b->place[i].state != PLACE_FREE && b->place[i].control == fd)
				place_read(b, &b->place[i]);
		}
	}
}

int
broker_run(struct role_env *env, char **argv, const char *glue_dir)
{
	struct broker b = { 0 };
	struct epoll_event ev[16];
	int n;

	broker_init(&b, env, argv, glue_dir);
	if (control_ready(FD_CONTROL, env->config->generation) < 0)
		die("cannot tell the master: %s", strerror(errno));
	stat_state(SLOT_READY);
	while (!b.draining || places_living(&b) > 0) {
		n = epoll_wait(b.epoll, ev, ARRAY_LEN(ev), loop_ms(&b));
		if (n < 0 && errno != EINTR)
			die("cannot wait: %s", strerror(errno));
		stat_heartbeat();
		stat_bound(BOUND_RESOLVERS, places_living(&b), b.limit);
		places_reap(&b);	/* before movers are heard: they ask again as soon as they see an end */
		for (int i = 0; i < n; i++)
			dispatch(&b, ev[i].data.fd, ev[i].events);
		places_kill_late(&b);
		places_reap(&b);
		serve_wishes(&b);
	}
	free(b.cooldown);
	buf_release(&b.fingerprint);
	return 0;
}
