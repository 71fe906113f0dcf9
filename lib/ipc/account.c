/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers and movers to the accountant.  Both ends.
 */
#include "base/base.h"

#include "ipc/account.h"

#include <string.h>

#include "wire/path.h"

enum { TYPE_RESERVE = 'r', TYPE_RESERVED = 'R', TYPE_SETTLE = 's' };
enum { NAME_MAX_BYTES = 1024, SUBPATH_MAX = 3 * PATH_URI_MAX };

static const char *const cache_word[] = { "hit", "miss", "join", "fill", "-" };

enum account_type
account_type(const void *data, size_t n)
{
	struct msg_in m;

	msg_open(&m, data, n);
	switch (m.type) {
	case TYPE_RESERVE:
		return ACCOUNT_RESERVE;
	case TYPE_RESERVED:
		return ACCOUNT_RESERVED;
	case TYPE_SETTLE:
		return ACCOUNT_SETTLE;
	default:
		return ACCOUNT_BAD;
	}
}

static void
put_amounts(struct buf *msg, const uint64_t v[QUOTA_KINDS])
{
	for (size_t i = 0; i < QUOTA_KINDS; i++)
		msg_u64(msg, v[i]);
}

static void
get_amounts(struct msg_in *m, uint64_t ret[QUOTA_KINDS])
{
	for (size_t i = 0; i < QUOTA_KINDS; i++)
		ret[i] = (uint64_t)msg_get_i64(m);	/* more than 2^63 is nonsense */
}

void
account_reserve_put(struct buf *msg, const struct account_reserve *r)
{
	size_t start = msg->len;
	struct account_reserve check;

	msg_begin(msg, TYPE_RESERVE);
	msg_u64(msg, r->seq);
	charge_put(msg, &r->charge);
	put_amounts(msg, r->add);
	if (buf_ok(msg) && account_reserve_get(msg->data + start, msg->len - start, &check) == -1)
		msg->failed = true;
}

int
account_reserve_get(const void *data, size_t n, struct account_reserve *ret)
{
	struct account_reserve r;
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != TYPE_RESERVE)
		return -1;
	r.seq = msg_get_u64(&m);
	charge_get(&m, &r.charge);
	get_amounts(&m, r.add);
	if (!msg_done(&m))
		return -1;
	*ret = r;
	return 0;
}

void
account_reserved_put(struct buf *msg, const struct account_reserved *r)
{
	const struct quota_answer *a = &r->answer;
	size_t start = msg->len;
	struct account_reserved check;

	msg_begin(msg, TYPE_RESERVED);
	msg_u64(msg, r->seq);
	msg_u32(msg, (uint32_t)a->verdict);
	msg_str(msg, a->set);
	msg_u32(msg, (uint32_t)a->kind);
	msg_u32(msg, (uint32_t)a->window);
	msg_u64(msg, a->limit);
	msg_u64(msg, a->used);
	msg_u32(msg, a->frees_in_s);
	if (buf_ok(msg) && account_reserved_get(msg->data + start, msg->len - start, &check) == -1)
		msg->failed = true;
}

int
account_reserved_get(const void *data, size_t n, struct account_reserved *ret)
{
	struct account_reserved r = { 0 };
	struct quota_answer *a = &r.answer;
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != TYPE_RESERVED)
		return -1;
	r.seq = msg_get_u64(&m);
	a->verdict = (enum quota_verdict)msg_get_u32_max(&m, QUOTA_AWAY_REFUSE);
	msg_get_chars(&m, a->set, sizeof(a->set));
	a->kind = (enum quota_kind)msg_get_u32_max(&m, QUOTA_KINDS - 1);
	a->window = (enum quota_window)msg_get_u32_max(&m, WINDOWS - 1);
	a->limit = msg_get_u64(&m);
	a->used = msg_get_u64(&m);
	a->frees_in_s = msg_get_u32_max(&m, 32 * 86400);	/* the longest window is a month */
	if (!msg_done(&m))
		return -1;
	*ret = r;
	return 0;
}

static bool
is_cache_word(const char *s)
{
	for (size_t i = 0; s != NULL && i < ARRAY_LEN(cache_word); i++) {
		if (strcmp(s, cache_word[i]) == 0)
			return true;
	}
	return false;
}

/* On false *s holds anything. */
static bool
settle_parse(const void *data, size_t n, struct account_settle *s)
{
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != TYPE_SETTLE)
		return false;
	charge_get(&m, &s->charge);
	get_amounts(&m, s->actual);
	s->backend = msg_get_str(&m, PATH_SEGMENT_MAX);
	s->collection = msg_get_str(&m, PATH_SEGMENT_MAX);
	s->item = msg_get_str(&m, PATH_SEGMENT_MAX);
	s->asset = msg_get_str(&m, PATH_SEGMENT_MAX);
	s->subpath = msg_get_str(&m, SUBPATH_MAX);
	s->cache = msg_get_str(&m, 8);
	s->rule = msg_get_str(&m, NAME_MAX_BYTES);
	s->status = msg_get_u32_max(&m, 599);
	s->estimated = msg_get_bool(&m);
	return msg_done(&m) && is_cache_word(s->cache);
}

void
account_settle_put(struct buf *msg, const struct account_settle *s)
{
	static struct account_settle check;	/* for each hit: not to be copied about */
	size_t start = msg->len;

	msg_begin(msg, TYPE_SETTLE);
	charge_put(msg, &s->charge);
	put_amounts(msg, s->actual);
	msg_str(msg, s->backend);
	msg_str(msg, s->collection);
	msg_str(msg, s->item);
	msg_str(msg, s->asset);
	msg_str(msg, s->subpath);
	msg_str(msg, s->cache);
	msg_str(msg, s->rule);
	msg_u32(msg, s->status);
	msg_u32(msg, s->estimated);
	if (buf_ok(msg) && !settle_parse(msg->data + start, msg->len - start, &check))
		msg->failed = true;
}

int
account_settle_get(const void *data, size_t n, struct account_settle *ret)
{
	struct account_settle s;

	if (!settle_parse(data, n, &s))
		return -1;
	*ret = s;
	return 0;
}
