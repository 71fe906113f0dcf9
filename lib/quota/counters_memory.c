/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters in the memory of one process: for tests, with the semantics that
 * counters_memcached.c gets from a server (expiry, floor, nothing shared).
 */
#include "base/base.h"

#include "quota/counters.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { MEMORY_COUNTERS_MAX = 65536 };

struct memory_counter {
	char key[COUNTER_KEY_SIZE];
	uint64_t value;
	int64_t expires_ms;
};

struct memory_counters {
	struct counters base;
	struct memory_counter *v;
	size_t n, cap;
};

static struct memory_counter *
find(struct memory_counters *m, const char *key, int64_t now_ms)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->v[i].key, key) != 0)
			continue;
		if (m->v[i].expires_ms > now_ms)
			return &m->v[i];
		m->v[i] = m->v[--m->n];
		return NULL;
	}
	return NULL;
}

static struct memory_counter *
make(struct memory_counters *m, const struct counter_op *op, int64_t now_ms)
{
	struct memory_counter *c;

	MUST(m->n < MEMORY_COUNTERS_MAX);
	if (m->n == m->cap) {
		m->cap = m->cap == 0 ? 64 : m->cap * 2;
		m->v = mem_realloc(m->v, m->cap * sizeof(*m->v));
	}
	c = &m->v[m->n++];
	memcpy(c->key, op->key, sizeof(c->key));
	c->value = 0;
	c->expires_ms = now_ms + (int64_t)op->ttl_s * 1000;
	return c;
}

static uint64_t
apply(struct memory_counters *m, const struct counter_op *op)
{
	int64_t now_ms = clock_wall_ms();
	struct memory_counter *c;

	c = find(m, op->key, now_ms);
	if (c == NULL) {
		if (op->add == 0 || op->subtract)
			return 0;
		c = make(m, op, now_ms);
	}
	if (op->subtract)
		c->value -= op->add < c->value ? op->add : c->value;
	else if (__builtin_add_overflow(c->value, op->add, &c->value))
		c->value = UINT64_MAX;
	return c->value;
}

static int
memory_run(struct counters *s, struct counter_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ops[i].ret_value = apply((struct memory_counters *)s, &ops[i]);
	return 0;
}

static int
memory_post(struct counters *s, const struct counter_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)apply((struct memory_counters *)s, &ops[i]);	/* nobody waits for it */
	return 0;
}

static void
memory_free(struct counters *s)
{
	struct memory_counters *m = (struct memory_counters *)s;

	if (m == NULL)
		return;
	free(m->v);
	free(m);
}

struct counters *
counters_memory_new(void)
{
	struct memory_counters *m = mem_alloc(sizeof(*m));

	m->base = (struct counters){ memory_run, memory_post, memory_free };
	return &m->base;
}
