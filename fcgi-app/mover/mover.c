/* SPDX-License-Identifier: Apache-2.0
 *
 * The mover: moves bytes from sources to objects and to every client that
 * waits for them.  One event loop that never blocks.
 */
#include "base/base.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "confine.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "mover/client.h"
#include "mover/hashing.h"

enum {
	HANDOVERS_A_TURN = 256,
	FDS_A_CLIENT = 3,	/* connection, spool, provider */
	FDS_OURS = 256,		/* sockets to roles and resolvers, connections that are kept idle */
	TICK_MS = 1000,
	CLOSE_MS = 2000,	/* less than the master waits beyond the end of a drain */
	RUSH = 64,		/* so many clients at once leave a heap behind that is worth giving back */
};

/* One net_watch_fn registration: curl's sockets, by descriptor. */
struct net_watch {
	UT_hash_handle hh;
	struct watch watch;
	struct mover *m;
	int fd;
};

static struct net_watch *net_watches;

static void
set_net_timer(struct mover *m);

static void
on_net_fd(void *arg, uint32_t events)
{
	struct net_watch *w = arg;
	struct mover *m = w->m;

	net_on_fd(m->net, w->fd, events);	/* w may be gone now */
	set_net_timer(m);
}

static void
net_watch(void *arg, int fd, uint32_t events)
{
	struct mover *m = arg;
	struct net_watch *w;

	HASH_FIND_INT(net_watches, &fd, w);
	if (events == 0) {
		if (w != NULL) {
			loop_unwatch(m->loop, &w->watch);
			HASH_DEL(net_watches, w);
			free(w);
		}
		return;
	}
	if (w != NULL) {
		if (loop_change(m->loop, &w->watch, events) == 0)
			return;
		/* the number was closed and given out again without our hearing of it */
		loop_unwatch(m->loop, &w->watch);
	} else {
		w = mem_alloc(sizeof(*w));
		w->m = m;
		w->fd = fd;
		HASH_ADD_INT(net_watches, fd, w);
	}
	if (loop_watch(m->loop, &w->watch, fd, events, on_net_fd, w) == -1)
		log_warn(NULL, "EO-MOVER-WATCH", "cannot watch a connection error='%s'", strerror(errno));
}

static void
on_net_timer(void *arg)
{
	struct mover *m = arg;

	net_on_timeout(m->net);
	set_net_timer(m);
}

static void
set_net_timer(struct mover *m)
{
	int ms = net_timeout_ms(m->net);

	if (ms < 0)
		timer_clear(m->loop, &m->net_timer);
	else
		timer_set(m->loop, &m->net_timer, clock_mono_ms() + ms, on_net_timer, m);
}

static size_t
files_max(void)
{
	struct rlimit rl;
	rlim_t ours = FDS_OURS;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur < 2 * FDS_A_CLIENT)
		return 1;
	if (ours > rl.rlim_cur / 2)
		ours = rl.rlim_cur / 2;
	return (rl.rlim_cur - ours) / FDS_A_CLIENT;
}

/* Is there room for one more? */
static bool
may_take(const struct mover *m)
{
	return m->n_clients < mover_clients_max(m) && !accounts_full(m);
}

/* All that wait, up to a bound; what stays in the queue makes workers answer 503. */
static void
take_handovers(struct mover *m)
{
	static char data[HANDOVER_MAX];
	int fds[2];
	size_t nfds;
	ssize_t n;

	for (int i = 0; i < HANDOVERS_A_TURN && may_take(m); i++) {
		fds[0] = fds[1] = -1;
		nfds = 0;
		n = fd_recv(FD_HANDOVER, data, sizeof(data), fds, 2, &nfds);
		if (n < 0 && errno == EMSGSIZE)
			continue;
		if (n <= 0)
			return;
		client_new(m, data, (size_t)n, fds[0], fds[1]);
	}
}

/* Hand-overs wait in their queue; the loop must not turn because of them. */
static void
watch_handovers(struct mover *m, bool taking)
{
	if (taking == m->taking)
		return;
	m->taking = taking;
	if (!taking)
		role_bound(accounts_full(m) ? BOUND_CHARGES : BOUND_CLIENTS, NULL, 0, "new clients wait in the queue", NULL);
	(void)loop_change(m->loop, &m->handover_watch, taking ? EPOLLIN : 0);
}

static void
on_handover(void *arg UNUSED, uint32_t events UNUSED)
{
	/* the turn begins with them */
}

/* result: of shared_open, or shared_set_config. */
static void
took_shared(struct mover *m, int result, const struct err *e)
{
	if (result == -1)
		log_error(NULL, "EO-STORE-SHARED", "nothing is shared with other hosts error='%s'", e->text);
	if (m->shared.mc != NULL)
		mc_hurry(m->shared.mc);
}

static void
reload(struct mover *m, int fd)
{
	struct err e = ERR_NONE;

	if (role_reload(m->env, fd) < 0)
		return;
	net_set_config(m->net, mover_config(m));
	m->store->ops->set_config(m->store, mover_config(m));
	took_shared(m, shared_set_config(&m->shared, mover_config(m), &e), &e);
}

/* The first word sets the limit; a later one can only shorten it. */
static void
drain(struct mover *m, uint32_t limit_ms)
{
	int64_t until_ms = clock_mono_ms() + limit_ms;

	if (!m->draining || until_ms < m->drain_until_ms)
		m->drain_until_ms = until_ms;
	if (m->draining)
		return;
	m->draining = true;
	stat_state(SLOT_DRAINING);
	log_info(NULL, "drain clients=%zu transfers=%zu", m->n_clients, m->n_transfers);
}

static void
on_control(void *arg, uint32_t events UNUSED)
{
	struct mover *m = arg;
	int fd = -1;

	switch (control_read(FD_CONTROL, &fd)) {
	case CONTROL_RELOAD:
		reload(m, fd);
		break;
	case CONTROL_DRAIN:
		drain(m, mover_config(m)->drain_ms);
		break;
	case CONTROL_FINISH:
		drain(m, mover_config(m)->upgrade_drain_ms);
		break;
	case CONTROL_GONE:
		log_warn(NULL, "EO-MASTER-GONE", "the master is gone, cutting clients=%zu", m->n_clients);
		clients_cut(m, "the master is gone");
		m->over = true;
		loop_unwatch(m->loop, &m->control_watch);	/* or its end is told in every turn */
		break;
	case CONTROL_NONE:
	case CONTROL_READY:
		break;
	}
}

/* What is used of what is bounded; who reaches a bound says so himself. */
static void
tell_bounds(struct mover *m)
{
	struct store_space space;

	transfers_tell_bounds(m);
	clients_tell_bounds(m);
	slots_tell_bounds(m);
	assets_tell_bounds(m);
	s3_sources_tell_bounds(m->s3_sources);
	if (m->store->ops->space(m->store, &space, NULL) == 0)
		stat_bound(BOUND_CACHE, space.used, space.max);
}

/* Once: whoever writes there may go on writing. */
static void
tell_forgery(struct mover *m)
{
	if (m->forgery_told || m->shared.memory == NULL || memory_counts(m->shared.memory)->forged == 0)
		return;
	m->forgery_told = true;
	log_warn(NULL, "EO-STORE-FORGED", "memcached has values for objects that none of our hosts wrote, they do not count");
}

/* What a rush has left free in the heap goes back to the system when it is over: a few ms, and few who wait. */
static void
give_heap_back(struct mover *m)
{
	if (m->n_clients > m->rush)
		m->rush = m->n_clients;
	if (m->rush < RUSH || m->n_clients > m->rush / 8)
		return;
	(void)malloc_trim(0);
	m->rush = m->n_clients;
}

static void
on_tick(void *arg)
{
	struct mover *m = arg;

	stat_heartbeat();
	items_expire(m);
	resolvers_expire(m);
	m->store->ops->tick(m->store);
	tell_forgery(m);
	give_heap_back(m);
	tell_bounds(m);
	net_on_timeout(m->net);
	set_net_timer(m);
	timer_set(m->loop, &m->tick, clock_mono_ms() + TICK_MS, on_tick, m);
}

/* Is the drain done, or its time up? */
static void
check_drain(struct mover *m)
{
	if (!m->draining || m->over)
		return;
	take_handovers(m);	/* the workers ended before us: what they sent is all there */
	if (m->n_clients == 0 && m->n_transfers == 0)
		m->over = true;
	else if (clock_mono_ms() >= m->drain_until_ms) {
		log_warn(NULL, "EO-MOVER-DRAIN", "time is up, cutting clients=%zu transfers=%zu", m->n_clients, m->n_transfers);
		clients_cut(m, "the service is stopping");
		m->over = true;
	}
}

static void
set_store(struct mover *m, enum store_event x)
{
	m->store_bad = x != STORE_BACK;
	stat_gauge(GAUGE_STORE_AWAY, x == STORE_AWAY);
	stat_gauge(GAUGE_STORE_FULL, x == STORE_FULL);
}

/* What is heard of a storage elsewhere. */
static void
on_store(void *arg, enum store_event x, const char *text)
{
	switch (x) {
	case STORE_AWAY:
		set_store(arg, x);
		log_error(NULL, "EO-STORE-AWAY",
		    "the store is away, everything is delivered unstored until it is back error='%s'", text);
		break;
	case STORE_FULL:
		set_store(arg, x);
		log_error(NULL, "EO-STORE-FULL",
		    "the store takes nothing, what it lacks is delivered unstored until it does error='%s'", text);
		break;
	case STORE_BACK:
		set_store(arg, x);
		log_info(NULL, "event=store-back");
		break;
	case STORE_CALL_FAILED:
		stat_inc(COUNT_STORE_FAILED);
		break;
	case STORE_CALL_REFUSED:
		stat_inc(COUNT_STORE_REFUSED);
		break;
	case STORE_KEYS_NEW:
		log_info(NULL, "event=store-credentials");
		break;
	case STORE_KEYS_BROKEN:
		log_error(NULL, "EO-STORE-CREDENTIALS", "cannot read the store's credentials, the old ones stay error='%s'",
		    text);
		break;
	case STORE_FOREIGN:
		log_warn(NULL, "EO-STORE-FOREIGN", "what lies in the store is not ours, it counts as missing reason='%s'",
		    text);
		break;
	}
}

static void
open_all(struct mover *m)
{
	struct err e = ERR_NONE;

	m->loop = loop_new(&e);
	if (m->loop == NULL)
		die("%s", e.text);
	m->store = store_open(mover_config(m), true, &e);
	if (m->store == NULL)
		die("cannot open the cache: %s", e.text);
	m->net = net_new(mover_config(m), net_watch, m, &e);
	if (m->net == NULL)
		die("cannot start the network: %s", e.text);
	took_shared(m, shared_open(&m->shared, mover_config(m), &e), &e);
	if (m->store->ops->attach != NULL)
		m->store->ops->attach(m->store, m->net, &m->shared, on_store, m);
	gather_init(m);
	m->hasher = hasher_new(m->loop);
	m->s3_sources = s3_sources_new();
	m->assets = assets_new(m);
	m->items = items_new(m);
	m->resolvers = resolvers_new(m);
	m->slots = slots_new(m);
	m->accounts = accounts_new(m);
	if (fd_set_nonblock(FD_HANDOVER, true) == -1 || fd_set_nonblock(FD_CONTROL, true) == -1 ||
	    loop_watch(m->loop, &m->handover_watch, FD_HANDOVER, EPOLLIN, on_handover, m) == -1 ||
	    loop_watch(m->loop, &m->control_watch, FD_CONTROL, EPOLLIN, on_control, m) == -1)
		die("cannot watch the control sockets: %s", strerror(errno));
	m->taking = true;
}

static bool
store_is_busy(const struct mover *m)
{
	return m->store->ops->busy != NULL && m->store->ops->busy(m->store);
}

/* Clients see the end of what could not be finished, S3 hears of uploads that nobody wants; every charge goes out. */
static void
close_all(struct mover *m)
{
	int64_t until = clock_mono_ms() + CLOSE_MS;

	transfers_cut(m);
	while ((m->n_clients > 0 || store_is_busy(m)) && clock_mono_ms() < until) {	/* let the cuts go out */
		set_net_timer(m);
		loop_turn(m->loop, 10);
	}
	transfers_cut(m);	/* what has begun meanwhile */
	clients_end(m);
	/* who waits goes before what it waits for */
	assets_free(m->assets);
	items_free(m->items);
	resolvers_free(m->resolvers);
	slots_free(m->slots);
	if (m->store->ops->detach != NULL)
		m->store->ops->detach(m->store);
	s3_sources_free(m->s3_sources);
	net_free(m->net);
	accounts_free(m->accounts);
	m->store->ops->free(m->store);
	shared_close(&m->shared);
	free(m->gather);
	hasher_free(m->hasher);
	loop_unwatch(m->loop, &m->handover_watch);
	loop_unwatch(m->loop, &m->control_watch);
	loop_free(m->loop);
}

int
mover_run(struct role_env *env)
{
	struct mover mover = { .env = env }, *m = &mover;

	TAILQ_INIT(&m->clients);
	TAILQ_INIT(&m->transfers);
	m->files_max = files_max();
	open_all(m);
	confine_self(ROLE_MOVER, mover_config(m), NULL, 0);
	on_tick(m);
	if (control_ready(FD_CONTROL, mover_config(m)->generation) < 0)
		die("cannot tell the master: %s", strerror(errno));
	stat_state(SLOT_READY);
	while (!m->over) {
		take_handovers(m);
		watch_handovers(m, may_take(m));
		set_net_timer(m);
		loop_turn(m->loop, TICK_MS);
		check_drain(m);
	}
	close_all(m);
	return 0;
}
