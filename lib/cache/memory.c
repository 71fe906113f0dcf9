/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of objects.  Workers and movers.
 *
 * A value is a message (wire/msg.h) with the version as its type, sealed under
 * its name.  An entry of another version is unknown: hosts of a site may run
 * two versions for a while, and each writes its own.
 */
#include "base/base.h"

#include "cache/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/conditional.h"
#include "wire/msg.h"

_Static_assert((int)SEAL_VALUE_MAX <= (int)MC_VALUE_MAX, "what is sealed can be fetched");

enum { FORMAT_VERSION = 2, TEXT_MAX = 4096, STORE_ETAG_MAX = 256 };

struct slot {
	char name[SEAL_NAME_SIZE];
	char value[SEAL_VALUE_MAX];
	struct mc_reply reply;
};

struct memory {
	struct mc *mc;
	struct seal *seal;
	struct memory_counts counts;
	struct slot slot[MEMORY_KEYS_MAX];
};

/* -- the format ---------------------------------------------------------------- */

void
memory_entry_release(struct memory_entry *e)
{
	object_meta_release(&e->meta);
	free(e->store_etag);
	memset(e, 0, sizeof(*e));
}

static bool
is_right(const struct memory_entry *e)
{
	if (e->until_s < 0)
		return false;
	if (e->state == MEMORY_ABSENT)
		return true;
	return e->state == MEMORY_PRESENT && e->ends_s >= 0 && object_meta_check(&e->meta, NULL) == 0 &&
	    e->store_etag != NULL && e->store_etag[0] == '"' && strlen(e->store_etag) <= STORE_ETAG_MAX &&
	    etag_is_valid(e->store_etag, strlen(e->store_etag));
}

/* A time that may be unknown (-1). */
static void
put_time(struct buf *out, int64_t t)
{
	msg_u64(out, t < 0 ? 0 : (uint64_t)t + 1);
}

static int64_t
get_time(struct msg_in *in)
{
	return msg_get_i64(in) - 1;
}

int
memory_write(const struct memory_entry *e, struct buf *out)
{
	const struct object_meta *m = &e->meta;

	if (!is_right(e))
		return -1;
	msg_begin(out, FORMAT_VERSION);
	msg_u32(out, e->state == MEMORY_PRESENT);
	msg_u64(out, (uint64_t)e->until_s);
	if (e->state == MEMORY_PRESENT) {
		msg_u64(out, (uint64_t)e->ends_s);
		msg_str(out, e->store_etag);
		msg_u64(out, m->length);
		msg_str(out, m->etag);
		put_time(out, m->last_modified);
		msg_str(out, m->media_type);
		msg_str(out, m->disposition);
		msg_u32(out, m->checksum.algo);
		msg_bytes(out, m->checksum.value, digest_size(m->checksum.algo));
		put_time(out, m->source_time);
		msg_str(out, m->source_backend);
	}
	return buf_ok(out) ? 0 : -1;
}

static void
parse_present(struct msg_in *in, struct memory_entry *e)
{
	struct object_meta *m = &e->meta;
	const void *sum;
	size_t n;

	e->ends_s = msg_get_i64(in);
	e->store_etag = mem_strdup(msg_get_text(in, STORE_ETAG_MAX));
	m->length = msg_get_u64(in);
	m->etag = mem_strdup(msg_get_text(in, TEXT_MAX));
	m->last_modified = get_time(in);
	m->media_type = mem_strdup(msg_get_str(in, TEXT_MAX));
	m->disposition = mem_strdup(msg_get_str(in, TEXT_MAX));
	m->checksum.algo = (enum digest_algo)msg_get_u32_max(in, DIGEST_SHA512);
	sum = msg_get_bytes(in, DIGEST_SIZE_MAX, &n);
	if (sum == NULL || n != digest_size(m->checksum.algo))
		in->failed = true;
	else
		memcpy(m->checksum.value, sum, n);
	m->source_time = get_time(in);
	m->source_backend = mem_strdup(msg_get_str(in, TEXT_MAX));
}

int
memory_parse(const void *data, size_t n, struct memory_entry *ret)
{
	struct memory_entry e = { .state = MEMORY_UNKNOWN };
	struct msg_in in;

	msg_open(&in, data, n);
	if (in.failed || in.type != FORMAT_VERSION)
		return -1;
	e.state = msg_get_bool(&in) ? MEMORY_PRESENT : MEMORY_ABSENT;
	e.until_s = msg_get_i64(&in);
	if (e.state == MEMORY_PRESENT)
		parse_present(&in, &e);
	if (!msg_done(&in) || !is_right(&e)) {
		memory_entry_release(&e);
		return -1;
	}
	*ret = e;
	return 0;
}

/* -- memcached ------------------------------------------------------------------- */

struct memory *
memory_new(struct mc *mc, struct seal *seal)
{
	struct memory *m = mem_alloc(sizeof(*m));

	m->mc = mc;
	m->seal = seal;
	return m;
}

void
memory_free(struct memory *m)
{
	free(m);
}

const struct memory_counts *
memory_counts(const struct memory *m)
{
	return &m->counts;
}

/* Another command of the block about that key; append it to what this returns. */
static struct buf *
ask(struct memory *m, struct slot *s, const char *key)
{
	seal_name(m->seal, SEAL_OBJECT, key, s->name);
	s->reply = (struct mc_reply){ .value = s->value, .room = sizeof(s->value) };
	return mc_command(m->mc, mc_server_of(m->mc, s->name), &s->reply);
}

/* 0, or -1: away. */
static int
run(struct memory *m)
{
	if (mc_run(m->mc, mc_deadline_ms(m->mc)) == 0)
		return 0;
	m->counts.away++;
	return -1;
}

/* What came for a key, or nothing. */
static void
take(struct memory *m, const struct slot *s, struct memory_entry *ret)
{
	ssize_t n = -1;

	if (s->reply.status == MC_VALUE)
		n = seal_open(m->seal, s->name, s->value, s->reply.len);
	if (n == -1) {
		m->counts.forged += s->reply.status == MC_VALUE || s->reply.status == MC_NONSENSE;
		return;
	}
	/* memcached counts whole seconds, and by its own clock */
	if (memory_parse(s->value, (size_t)n, ret) == 0 && ret->until_s <= clock_wall_ms() / 1000)
		memory_entry_release(ret);
}

void
memory_look(struct memory *m, const char *const *keys, size_t n, struct memory_entry *ret)
{
	MUST(n <= MEMORY_KEYS_MAX);
	memset(ret, 0, n * sizeof(*ret));
	if (m == NULL || n == 0)
		return;
	mc_begin(m->mc);
	for (size_t i = 0; i < n; i++) {
		struct buf *out = ask(m, &m->slot[i], keys[i]);

		m->slot[i].reply.key = m->slot[i].name;
		(void)buf_join(out, "mg ", m->slot[i].name, " v k\r\n", NULL);
	}
	if (run(m) == 0) {
		for (size_t i = 0; i < n; i++)
			take(m, &m->slot[i], &ret[i]);
	}
	for (size_t i = 0; i < n; i++) {
		m->counts.present += ret[i].state == MEMORY_PRESENT;
		m->counts.absent += ret[i].state == MEMORY_ABSENT;
		m->counts.unknown += ret[i].state == MEMORY_UNKNOWN;
	}
}

int
memory_keep(struct memory *m, const char *key, const struct memory_entry *e)
{
	struct buf value = BUF_INIT(SEAL_VALUE_MAX);
	int64_t left_s = e->until_s - clock_wall_ms() / 1000;
	struct buf *out;
	int r = -1;

	if (m == NULL || left_s <= 0 || left_s > UINT32_MAX)
		return -1;
	mc_begin(m->mc);
	out = ask(m, &m->slot[0], key);
	if (memory_write(e, &value) == 0 && seal_close(m->seal, m->slot[0].name, &value) == 0) {
		(void)buf_addf(out, "ms %s %zu T%llu%s\r\n", m->slot[0].name, value.len,
		    (unsigned long long)mc_expiry((uint32_t)left_s), e->state == MEMORY_ABSENT ? " ME" : "");
		(void)buf_add(out, value.data, value.len);
		(void)buf_adds(out, "\r\n");
		r = run(m) == 0 && m->slot[0].reply.status == MC_DONE ? 0 : -1;
	}
	buf_release(&value);
	return r;
}

int
memory_forget(struct memory *m, const char *key)
{
	if (m == NULL)
		return -1;
	mc_begin(m->mc);
	(void)buf_join(ask(m, &m->slot[0], key), "md ", m->slot[0].name, "\r\n", NULL);
	return run(m);
}
