/* SPDX-License-Identifier: Apache-2.0
 *
 * Leases in memcached.  Workers and movers.
 *
 * A lease is a sealed value: its owner and when it ends.  It is set where there
 * is none, renewed and deleted by memcached's own compare-and-set, and read in
 * the same block: whose value stands there after has it, whatever became of
 * the answer to the setting.  What was not sealed by us, or says that it is
 * over, is in nobody's way: another tenant of memcached cannot keep an object
 * from being stored.  Nor is what an earlier life of our own seat held.
 */
#include "base/base.h"

#include "cache/lease.h"

#include <string.h>

#include "base/clock.h"
#include "wire/msg.h"

enum { FORMAT_VERSION = 1, VALUE_MAX = 256, EARLY_MS = 1000 };

enum found { FOUND_OURS, FOUND_OTHERS, FOUND_VOID, FOUND_NOTHING, FOUND_AWAY };

static int
write_value(struct seal *seal, const struct lease *l, struct buf *out)
{
	msg_begin(out, FORMAT_VERSION);
	msg_str(out, l->owner);
	msg_u64(out, (uint64_t)clock_wall_ms() + (uint64_t)l->ttl_s * 1000);
	return seal_close(seal, l->name, out);
}

/* The bytes of an owner before its second part, or its third, with the colon; 0: it has none. */
static size_t
parts(const char *owner, int n)
{
	const char *p = owner;

	for (; p != NULL && n > 0; n--) {
		p = strchr(p, ':');
		p = p == NULL ? NULL : p + 1;
	}
	return p == NULL ? 0 : (size_t)(p - owner);
}

/* Did it live where we live now? */
static bool
is_dead(const char *theirs, const char *ours)
{
	size_t seat = parts(ours, 1), life = parts(ours, 2);

	return seat > 0 && life > 0 && strncmp(theirs, ours, seat) == 0 && strncmp(theirs, ours, life) != 0;
}

/* Whose value is it?  Ours: until_ms follows from it. */
static enum found
read_value(struct seal *seal, struct lease *l, const char *value, size_t len)
{
	ssize_t n = seal_open(seal, l->name, value, len);
	int64_t left_ms;
	const char *owner;
	struct msg_in in;

	if (n == -1)
		return FOUND_VOID;
	msg_open(&in, value, (size_t)n);
	owner = msg_get_text(&in, LEASE_OWNER_MAX);
	left_ms = msg_get_i64(&in) - clock_wall_ms();
	if (!msg_done(&in) || in.type != FORMAT_VERSION || left_ms <= 0 ||
	    left_ms > (int64_t)LEASE_TTL_MAX_S * 1000)
		return FOUND_VOID;
	if (strcmp(owner, l->owner) != 0)
		return is_dead(owner, l->owner) ? FOUND_VOID : FOUND_OTHERS;
	l->until_ms = clock_mono_ms() + left_ms - EARLY_MS;
	return FOUND_OURS;
}

/* Set it where there is none (cas 0), or what was there at its cas still is, and see whose it is after that. */
static enum found
set_and_look(struct mc *mc, struct seal *seal, struct lease *l, int64_t deadline_ms)
{
	char text[VALUE_MAX];
	struct mc_reply set = { .key = NULL }, got = { .key = l->name, .value = text, .room = sizeof(text) };
	struct buf value = BUF_INIT(VALUE_MAX), *out;
	size_t server = mc_server_of(mc, l->name);
	int r;

	l->until_ms = 0;
	mc_begin(mc);
	r = write_value(seal, l, &value);
	if (r == 0) {
		out = mc_command(mc, server, &set);
		(void)buf_addf(out, "ms %s %zu T%u", l->name, value.len, l->ttl_s);
		if (l->cas == 0)
			(void)buf_adds(out, " ME\r\n");
		else
			(void)buf_addf(out, " C%llu\r\n", (unsigned long long)l->cas);
		(void)buf_add(out, value.data, value.len);
		(void)buf_adds(out, "\r\n");
		(void)buf_join(mc_command(mc, server, &got), "mg ", l->name, " v c k\r\n", NULL);
		r = mc_run(mc, deadline_ms);
	}
	buf_release(&value);
	if (r == -1)
		return FOUND_AWAY;
	l->cas = got.cas;
	if (got.status == MC_VALUE)
		return read_value(seal, l, text, got.len);
	return got.status == MC_NONSENSE ? FOUND_VOID : FOUND_NOTHING;
}

enum lease_state
lease_take(struct mc *mc, struct seal *seal, const char *key, const char *owner, uint32_t ttl_s, struct lease *ret)
{
	enum found found;
	int64_t deadline_ms;

	MUST(ttl_s >= LEASE_TTL_MIN_S && ttl_s <= LEASE_TTL_MAX_S && owner[0] != '\0' &&
	    strlen(owner) <= LEASE_OWNER_MAX);
	memset(ret, 0, sizeof(*ret));
	ret->ttl_s = ttl_s;
	memcpy(ret->owner, owner, strlen(owner) + 1);
	if (mc == NULL || seal == NULL)
		return LEASE_AWAY;
	seal_name(seal, SEAL_LEASE, key, ret->name);
	deadline_ms = mc_deadline_ms(mc);
	found = set_and_look(mc, seal, ret, deadline_ms);
	if (found == FOUND_VOID)
		found = set_and_look(mc, seal, ret, deadline_ms);
	return found == FOUND_OURS ? LEASE_HELD : found == FOUND_OTHERS ? LEASE_OTHERS : LEASE_AWAY;
}

enum lease_state
lease_renew(struct mc *mc, struct seal *seal, struct lease *l)
{
	int64_t until_ms = l->until_ms;
	enum found found;

	if (!lease_is_held(l))
		return LEASE_OTHERS;
	found = set_and_look(mc, seal, l, mc_deadline_ms(mc));
	if (found == FOUND_OURS)
		return LEASE_HELD;
	if (found != FOUND_AWAY)
		return LEASE_OTHERS;
	l->until_ms = until_ms;
	return LEASE_AWAY;
}

enum lease_state
lease_release(struct mc *mc, struct lease *l)
{
	struct mc_reply r = { .key = NULL };

	if (!lease_is_held(l))
		return LEASE_OTHERS;
	l->until_ms = 0;
	mc_begin(mc);
	(void)buf_addf(mc_command(mc, mc_server_of(mc, l->name), &r), "md %s C%llu\r\n", l->name,
	    (unsigned long long)l->cas);
	if (mc_run(mc, mc_deadline_ms(mc)) == -1)
		return LEASE_AWAY;
	return r.status == MC_DONE ? LEASE_HELD : LEASE_OTHERS;
}

bool
lease_is_held(const struct lease *l)
{
	return clock_mono_ms() < l->until_ms;
}
