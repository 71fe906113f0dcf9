/* SPDX-License-Identifier: Apache-2.0
 *
 * Of the hosts that share a bucket one fetches an object and publishes it; the
 * others wait for that, for a while.  Mover.
 *
 * A transfer that is to be stored begins with a lease (cache/lease.h):
 *
 *	ours        is the object there by now?  It goes to whoever waits for it; else it is fetched,
 *	            and the lease is renewed until it is published or given up
 *	another's   FOLLOWING: asked for again and again.  It becomes ours when the other host has
 *	            published, has given up, or is dead for so long as a lease lasts; what a mover
 *	            held that was in our own seat before us, and so is dead, at once.  When
 *	            cache.s3.follow_wait is over the body is fetched for its clients, unstored
 *	nobody knows   memcached is away: it is fetched and stored as if we were alone
 *
 * Whatever is lost or wrong in memcached costs another GET and another
 * publication of the whole: no byte of an object goes by a lease.
 */
#include "base/base.h"

#include "mover/transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

enum {
	LEASE_S = 6,			/* so long nobody takes the place of a host that died */
	RENEW_MS = 2000,
	POLL_FIRST_MS = 50,		/* doubled each time ... */
	POLL_MAX_MS = 500,		/* ... up to this */
	LIFE_DIGITS = sizeof(((struct mover *)NULL)->life) - 1,
};

_Static_assert((size_t)LEASE_OWNER_MAX >= SCOREBOARD_MASTER_SIZE + sizeof("16::") + LIFE_DIGITS + 2 * sizeof(uint32_t),
    "an owner fits");

/* Is it to be stored where other hosts store, too? */
static bool
wants_lease(const struct transfer *t)
{
	return t->m->shared.mc != NULL && t->r->key != NULL && t->store_max > 0 && !t->m->store_bad;
}

/*
 * A master starts a mover when the one before it in that seat is dead, and never another beside
 * it; two masters of one host, as in an upgrade, have different names.
 */
static void
name_owner(struct transfer *t)
{
	struct mover *m = t->m;

	if (m->life[0] == '\0')
		text_random_hex(m->life, LIFE_DIGITS);
	(void)snprintf(t->owner, sizeof(t->owner), "%.*s-%u:%s:%" PRIx32, SCOREBOARD_MASTER_SIZE - 1,
	    m->env->scoreboard->master, m->env->index, m->life, ++m->leases);
}

static enum lease_state
take(struct transfer *t)
{
	if (t->owner[0] == '\0')
		name_owner(t);
	return lease_take(t->m->shared.mc, t->m->shared.seal, t->r->key, t->owner, LEASE_S, &t->lease);
}

static void
on_renew(void *arg)
{
	struct transfer *t = arg;

	/* away: it is ours still, until its time is over */
	if (t->m->shared.mc == NULL || lease_renew(t->m->shared.mc, t->m->shared.seal, &t->lease) == LEASE_OTHERS)
		log_info(t->h.id, "event=lease-lost head=%" PRIu64, t->spool.head);
	else
		timer_set(t->m->loop, &t->lease_timer, clock_mono_ms() + RENEW_MS, on_renew, t);
}

static void
renew_later(struct transfer *t)
{
	if (lease_is_held(&t->lease))
		timer_set(t->m->loop, &t->lease_timer, clock_mono_ms() + RENEW_MS, on_renew, t);
}

void
transfer_yield(struct transfer *t)
{
	timer_clear(t->m->loop, &t->lease_timer);
	if (t->find != NULL)
		t->m->store->ops->find_cancel(t->find);
	t->find = NULL;
	if (t->m->shared.mc != NULL)
		(void)lease_release(t->m->shared.mc, &t->lease);	/* else it ends by itself */
}

/* ---- before the first pull ------------------------------------------------------ */

static void
tell_end(struct transfer *t, const char *how)
{
	if (t->follow_us != 0)
		log_info(t->h.id, "event=transfer-followed end=%s us=%" PRId64, how, clock_mono_us() - t->follow_us);
}

static void
fetch(struct transfer *t, const char *how)
{
	tell_end(t, how);
	renew_later(t);
	transfer_fetch(t);
}

/* It is there: each of those who waited gets it from the store. */
static void
hand_back(struct transfer *t)
{
	struct client *c;

	tell_end(t, "hit");
	transfer_yield(t);
	transfer_detach(t);
	transfer_set_state(t, ENDED);
	t->busy++;
	while ((c = TAILQ_FIRST(&t->clients)) != NULL) {
		transfer_leave(t, c);
		c->transfer = NULL;
		client_again(c);
	}
	t->busy--;
	transfer_check(t);
}

/* True: it is in the store. */
static bool
is_kept(struct transfer *t, enum store_result *ret)
{
	struct store_object o = { .inode = 0 };

	*ret = t->m->store->ops->lookup(t->m->store, t->r->key, &o, NULL);
	if (*ret == STORE_HIT)
		store_object_release(&o);
	return *ret == STORE_HIT;
}

static void
on_found(void *arg)
{
	struct transfer *t = arg;
	enum store_result r;

	t->find = NULL;
	if (is_kept(t, &r))
		hand_back(t);
	else
		fetch(t, "taken");
}

/* The lease is ours: somebody may have published since it was looked for. */
static void
look_again(struct transfer *t)
{
	const struct store_ops *ops = t->m->store->ops;
	enum store_result r;

	ops->again(t->m->store, t->r->key);
	if (is_kept(t, &r)) {
		hand_back(t);
		return;
	}
	if (r == STORE_ASK)
		t->find = ops->find(t->m->store, t->r->key, on_found, t, NULL);
	if (t->find == NULL)
		fetch(t, "taken");
}

static void
follow(struct transfer *t, void (*poll)(void *))
{
	int64_t now_ms = clock_mono_ms();

	t->fetch_anyway = false;
	if (t->background && t->n_clients == 0) {	/* it is being done, that is enough */
		transfer_set_state(t, FAILED);
		transfer_check(t);
		return;
	}
	if (t->follow_us == 0) {
		t->follow_us = clock_mono_us();
		log_info(t->h.id, "event=transfer-follow");
	}
	if (now_ms >= t->follow_until_ms) {
		t->store_max = 0;
		fetch(t, "unstored");
		return;
	}
	t->poll_ms = t->poll_ms == 0 ? POLL_FIRST_MS : t->poll_ms * 2 < POLL_MAX_MS ? t->poll_ms * 2 : POLL_MAX_MS;
	if (t->follow_until_ms - now_ms < t->poll_ms)
		t->poll_ms = t->follow_until_ms - now_ms;
	timer_set(t->m->loop, &t->lease_timer, now_ms + t->poll_ms, poll, t);
}

static void
on_poll(void *arg)
{
	struct transfer *t = arg;

	if (!wants_lease(t)) {		/* by now: S3 takes nothing, or memcached was taken out of the configuration */
		fetch(t, "alone");
		return;
	}
	switch (take(t)) {
	case LEASE_HELD:
		if (t->fetch_anyway)
			fetch(t, "taken");
		else
			look_again(t);
		break;
	case LEASE_OTHERS:
		follow(t, on_poll);
		break;
	case LEASE_AWAY:
		fetch(t, "alone");
		break;
	}
}

bool
transfer_claim(struct transfer *t)
{
	int64_t now_ms = clock_mono_ms(), wait_ms = mover_config(t->m)->s3_follow_wait_ms;
	int64_t left_ms = t->h.deadline_mono_ms - now_ms;

	if (!wants_lease(t))
		return false;
	if (wait_ms > left_ms / 2)	/* the other half is for the provider */
		wait_ms = left_ms / 2;
	t->follow_until_ms = now_ms + wait_ms;
	t->fetch_anyway = t->r->lost;
	t->r->lost = false;
	transfer_set_state(t, FOLLOWING);
	timer_set(t->m->loop, &t->lease_timer, now_ms, on_poll, t);
	return true;
}

void
transfer_claim_now(struct transfer *t)
{
	if (!wants_lease(t))
		return;
	if (take(t) == LEASE_OTHERS)
		t->store_max = 0;
	renew_later(t);
}
