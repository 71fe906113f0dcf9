/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns at a provider.  Mover.
 */
#include "base/base.h"

#include "mover/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/fds.h"
#include "ipc/slots.h"

enum {
	RETRY_MS = 5,		/* slots that other movers give back, or leave to us, are looked for this often */
	COOL_MAX_S = PROVIDER_COOL_MAX_MS / 1000,
};

struct backend {
	UT_hash_handle hh;
	struct slots *slots;
	unsigned busy;			/* of this mover */
	struct lines lines;		/* those who wait */
	bool told;			/* the other movers, that somebody waits */
	int64_t cool_until_ms;		/* mono */
	struct timer timer;		/* RETRY_MS while somebody waits */
	TAILQ_HEAD(, turn) background;	/* running, and making way */
	char name[];
};

struct slots {
	struct mover *m;
	struct provider_slots *host;	/* NULL: this mover counts its own */
	struct backend *backends;
};

struct slots *
slots_new(struct mover *m)
{
	struct slots *s = mem_alloc(sizeof(*s));
	struct err e = ERR_NONE;

	s->m = m;
	s->host = provider_slots_open(FD_SLOTS, &e);
	if (s->host == NULL)
		log_warn(NULL, "EO-MOVER-SLOTS", "provider slots are counted by this mover alone error='%s'", e.text);
	return s;
}

void
slots_free(struct slots *s)
{
	struct backend *b, *next;

	if (s == NULL)
		return;
	HASH_ITER(hh, s->backends, b, next) {
		timer_clear(s->m->loop, &b->timer);
		HASH_DEL(s->backends, b);
		free(b);
	}
	provider_slots_free(s->host);
	free(s);
}

static struct backend *
backend_get(struct slots *s, const char *name)
{
	struct backend *b;

	HASH_FIND_STR(s->backends, name, b);
	if (b == NULL) {
		b = mem_alloc(sizeof(*b) + strlen(name) + 1);
		memcpy(b->name, name, strlen(name) + 1);
		b->slots = s;
		lines_init(&b->lines);
		TAILQ_INIT(&b->background);
		HASH_ADD_STR(s->backends, name, b);
	}
	return b;
}

static const struct backend_limits *
limits(const struct backend *b)
{
	return config_backend(mover_config(b->slots->m), b->name);
}

static unsigned
used(const struct backend *b)
{
	return b->slots->host == NULL ? b->busy : provider_slots_used(b->slots->host, b->name);
}

/* How long the provider wants nobody yet: as this mover was told, or another of the host. */
static int64_t
cooling_ms(const struct backend *b)
{
	int64_t now = clock_mono_ms(), until = 0;

	if (b->slots->host != NULL)
		until = provider_slots_cool_until(b->slots->host, b->name);
	if (b->cool_until_ms > until)
		until = b->cool_until_ms;
	return until > now ? until - now : 0;
}

bool
slots_idle(struct mover *m, const char *backend)
{
	struct backend *b = backend_get(m->slots, backend);

	return b->lines.n == 0 && cooling_ms(b) == 0 && used(b) + 1 < limits(b)->slots;
}

static void
gauge_queued(const struct slots *s)
{
	uint64_t n = 0;

	for (const struct backend *b = s->backends; b != NULL; b = b->hh.next)
		n += b->lines.n;
	stat_gauge(GAUGE_QUEUED, n);
}

/* The fullest of all backends is told: "x of y" of several would say nothing. */
static void
fuller(struct bound_use *most, uint64_t used, uint64_t max)
{
	if (most->max == 0 || (double)used * (double)most->max > (double)most->used * (double)max)
		*most = (struct bound_use){ used, max, 0 };
}

void
slots_tell_bounds(struct mover *m)
{
	const struct backend_limits *any = config_backend(mover_config(m), "*");
	struct bound_use slots = { 0, any->slots, 0 }, queue = { 0, any->queue, 0 };

	for (const struct backend *b = m->slots->backends; b != NULL; b = b->hh.next) {
		fuller(&slots, used(b), limits(b)->slots);
		fuller(&queue, b->lines.n, limits(b)->queue);
	}
	stat_bound(BOUND_PROVIDER_SLOTS, slots.used, slots.max);
	stat_bound(BOUND_PROVIDER_QUEUE, queue.used, queue.max);
}

static bool
take_slot(struct backend *b, struct turn *t)
{
	t->slot = -1;
	if (b->slots->host == NULL && b->busy >= limits(b)->slots)
		return false;
	if (b->slots->host != NULL) {
		t->slot = provider_slots_take(b->slots->host, b->name, limits(b)->slots);
		if (t->slot == -1)
			return false;
	}
	b->busy++;
	return true;
}

/* -- waiting ------------------------------------------------------------------ */

static void on_retry(void *arg);

/* The lines have changed. */
static void
tell_waiting(struct backend *b)
{
	bool waits = b->lines.n > 0;

	gauge_queued(b->slots);
	if (waits != b->told && b->slots->host != NULL)
		provider_slots_wait(b->slots->host, b->name, waits);
	b->told = waits;
}

/* Who waits is told that the provider wants nobody for so long. */
static void
refuse_all(struct backend *b, int64_t seconds)
{
	struct turn *t;

	while (b->lines.n > 0) {
		t = (struct turn *)lines_take(&b->lines);
		t->backend = NULL;
		t->cooled(t->arg, seconds);
	}
	tell_waiting(b);
}

/* Slots to those who wait, a user at a time. */
static void
serve(struct backend *b)
{
	int64_t cooling = b->lines.n == 0 ? 0 : cooling_ms(b);
	struct turn *t;

	if (cooling > 0)	/* another mover was told */
		refuse_all(b, (cooling + 999) / 1000);
	while (b->lines.n > 0) {
		t = (struct turn *)lines_first(&b->lines);
		if (!take_slot(b, t))
			break;
		(void)lines_take(&b->lines);
		tell_waiting(b);
		t->go(t->arg);
	}
	if (b->lines.n > 0)
		timer_set(b->slots->m->loop, &b->timer, clock_mono_ms() + RETRY_MS, on_retry, b);
	else
		timer_clear(b->slots->m->loop, &b->timer);
}

static void
on_retry(void *arg)
{
	serve(arg);
}

/* Somebody waits: one that nobody waits for ends. */
static void
make_way(struct backend *b)
{
	struct turn *t = TAILQ_FIRST(&b->background);

	if (t == NULL)
		return;
	turn_foreground(t);
	t->yield(t->arg);
}

enum turn_verdict
turn_take(struct mover *m, struct turn *t, const char *backend, const char *user, bool background, int64_t *ret_s)
{
	struct backend *b = backend_get(m->slots, backend);

	MUST(t->backend == NULL);
	*ret_s = (cooling_ms(b) + 999) / 1000;
	if (*ret_s > 0)
		return TURN_COOLING;
	if (background && !slots_idle(m, backend))
		return TURN_FULL;
	if (b->lines.n == 0 && take_slot(b, t)) {
		t->backend = b;
		t->background = background;
		if (background)
			TAILQ_INSERT_TAIL(&b->background, t, link);
		return TURN_NOW;
	}
	if (background)
		return TURN_FULL;
	stat_bound_reached(BOUND_PROVIDER_SLOTS);
	if (b->lines.n >= limits(b)->queue) {
		role_bound(BOUND_PROVIDER_QUEUE, NULL, limits(b)->queue, "answered 503", b->name);
		return TURN_FULL;
	}
	t->backend = b;
	lines_add(&b->lines, &t->wait, user);
	tell_waiting(b);
	make_way(b);
	if (b->timer.place == 0)
		timer_set(m->loop, &b->timer, clock_mono_ms() + RETRY_MS, on_retry, b);
	return TURN_WAIT;
}

void
turn_foreground(struct turn *t)
{
	if (!t->background)
		return;
	t->background = false;
	TAILQ_REMOVE(&t->backend->background, t, link);
}

void
turn_give(struct turn *t)
{
	struct backend *b = t->backend;

	if (b == NULL)
		return;
	turn_foreground(t);
	t->backend = NULL;
	if (t->wait.line != NULL) {
		lines_remove(&b->lines, &t->wait);
		tell_waiting(b);
		return;
	}
	b->busy--;
	if (t->slot != -1)
		provider_slots_give(b->slots->host, t->slot);
	t->slot = -1;
	if (b->lines.n > 0)	/* from the loop: a callback may be what gave it */
		timer_set(b->slots->m->loop, &b->timer, clock_mono_ms(), on_retry, b);
}

void
turn_cool(struct turn *t, int64_t seconds)
{
	struct backend *b = t->backend;
	int64_t until;

	seconds = seconds < 1 ? 1 : seconds > COOL_MAX_S ? COOL_MAX_S : seconds;
	until = clock_mono_ms() + seconds * 1000;
	if (until > b->cool_until_ms)
		b->cool_until_ms = until;
	if (b->slots->host != NULL)
		(void)provider_slots_cool(b->slots->host, b->name, until);	/* full: this mover knows */
	log_warn(NULL, "EO-MOVER-COOLDOWN", "the provider allows no more now backend=%s seconds=%lld waiting=%u", b->name,
	    (long long)seconds, b->lines.n);
	refuse_all(b, seconds);
}
