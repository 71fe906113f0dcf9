/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters in memcached: the one file with libmemcached.  Runs in workers and
 * in the accountant, one handle per process, made after fork.
 *
 * libmemcached has no batched increment.  So the additions of a decision are
 * sent as quiet increments (IncrementQ, DecrementQ), which are not answered,
 * and then all values are asked for with one mget.  memcached works the
 * commands of a connection in their order, so the values hold our own
 * additions: one wait per decision and host, whatever the number of counters
 * (DESIGN.md has the figures).
 *
 * What is quiet is only success.  memcached answers an increment that fails
 * (the value is no number, no memory), nobody asked for that answer, and
 * libmemcached then gives the connection up.  slow_read is for that: a new
 * connection, the values read without adding again, and what we may or may
 * not have added put on top, so that doubt never makes anything free.
 *
 * The binary protocol has no keys in its grammar, and our keys are hex
 * anyway; libmemcached refuses VERIFY_KEY beside it.  It trusts the server:
 * answers with wrong lengths overrun its buffers (DESIGN.md).  So servers
 * are reached through a socket that only they can make, or a trusted network.
 */
#include "base/base.h"

#include "quota/counters.h"

#include <libmemcached/memcached.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	AWAY_MS = 1000,			/* the circuit breaker */
	RELATIVE_TTL_MAX_S = 30 * 24 * 3600,	/* memcached takes more for a date */
	SERVERS_MAX = 64,
	SERVER_TEXT_MAX = 255,
	PORT_DEFAULT = 11211,
	MEMORY_MAX = 4 * 1024 * 1024,	/* bytes of one allocation: buffers of SERVERS_MAX servers fit */
};

/* From here on a value is nonsense: nothing that we add gets there. */
#define VALUE_MAX ((uint64_t)1 << 63)

struct mc {
	struct counters base;
	memcached_st *m;		/* NULL: made at the next use */
	struct strs servers;
	uint32_t timeout_ms;
	pid_t pid;
	int64_t away_until_ms;
};

/* -- the handle ------------------------------------------------------------ */

/* libmemcached asks for as much memory as an answer says it is long. */
static void *
bounded_malloc(const memcached_st *m UNUSED, size_t n, void *context UNUSED)
{
	return n > MEMORY_MAX ? NULL : malloc(n);
}

static void *
bounded_realloc(const memcached_st *m UNUSED, void *p, size_t n, void *context UNUSED)
{
	return n > MEMORY_MAX ? NULL : realloc(p, n);
}

static void *
bounded_calloc(const memcached_st *m UNUSED, size_t n, size_t size, void *context UNUSED)
{
	return size != 0 && n > MEMORY_MAX / size ? NULL : calloc(n, size);
}

static void
plain_free(const memcached_st *m UNUSED, void *p, void *context UNUSED)
{
	free(p);
}

static int
add_server(memcached_st *m, const char *server)
{
	char host[SERVER_TEXT_MAX + 1];
	const char *colon = strrchr(server, ':'), *start = server;
	size_t len;
	unsigned long port = PORT_DEFAULT;
	char *end;

	if (server[0] == '/')
		return memcached_success(memcached_server_add_unix_socket(m, server)) ? 0 : -1;
	len = strlen(server);
	if (colon != NULL && (server[0] == '[' ? colon[-1] == ']' : true)) {
		port = strtoul(colon + 1, &end, 10);
		if (*end != '\0' || port == 0 || port > 65535)
			return -1;
		len = (size_t)(colon - server);
	}
	if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
		start++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(host))
		return -1;
	memcpy(host, start, len);
	host[len] = '\0';
	return memcached_success(memcached_server_add(m, host, (in_port_t)port)) ? 0 : -1;
}

static memcached_st *
handle_new(const struct strs *servers, uint32_t timeout_ms, struct err *e)
{
	const struct { memcached_behavior_t what; uint64_t value; } set[] = {
		{ MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1 },
		{ MEMCACHED_BEHAVIOR_NO_BLOCK, 1 },
		{ MEMCACHED_BEHAVIOR_TCP_NODELAY, 1 },
		{ MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, timeout_ms },
		{ MEMCACHED_BEHAVIOR_POLL_TIMEOUT, timeout_ms },
		{ MEMCACHED_BEHAVIOR_SND_TIMEOUT, (uint64_t)timeout_ms * 1000 },
		{ MEMCACHED_BEHAVIOR_RCV_TIMEOUT, (uint64_t)timeout_ms * 1000 },
		{ MEMCACHED_BEHAVIOR_KETAMA, servers->n > 1 },
	};
	memcached_st *m;

	m = memcached_create(NULL);
	if (m == NULL) {
		(void)err_set(e, "cannot make a memcached handle");
		return NULL;
	}
	(void)memcached_set_memory_allocators(m, bounded_malloc, plain_free, bounded_realloc, bounded_calloc, NULL);
	for (size_t i = 0; i < ARRAY_LEN(set); i++) {
		if (set[i].value != 0 && !memcached_success(memcached_behavior_set(m, set[i].what, set[i].value))) {
			(void)err_set(e, "libmemcached refuses behaviour %d", (int)set[i].what);
			memcached_free(m);
			return NULL;
		}
	}
	for (size_t i = 0; i < servers->n; i++) {
		if (add_server(m, servers->v[i]) == -1) {
			(void)err_set(e, "bad memcached server '%s'", servers->v[i]);
			memcached_free(m);
			return NULL;
		}
	}
	return m;
}

/* Close without a farewell that could wait. */
static void
handle_drop(struct mc *s)
{
	if (s->m == NULL)
		return;
	(void)memcached_behavior_set(s->m, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, 0);	/* cannot fail */
	memcached_free(s->m);
	s->m = NULL;
}

/* True when there is a handle and the store is not known to be away. */
static bool
usable(struct mc *s)
{
	MUST(s->pid == getpid());	/* a handle used across fork mixes up answers */
	if (clock_mono_ms() < s->away_until_ms)
		return false;
	if (s->m == NULL)
		s->m = handle_new(&s->servers, s->timeout_ms, NULL);
	return s->m != NULL;
}

static int
away(struct mc *s)
{
	handle_drop(s);
	s->away_until_ms = clock_mono_ms() + AWAY_MS;
	return -1;
}

/* What is left of the time for one run; libmemcached then waits no longer than that. */
static bool
time_left(struct mc *s, int64_t deadline_ms)
{
	int64_t left_ms = deadline_ms - clock_mono_ms();

	if (left_ms <= 0)
		return false;
	(void)memcached_behavior_set(s->m, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, (uint64_t)left_ms);	/* cannot fail */
	return true;
}

/* -- operations ------------------------------------------------------------ */

static time_t
expiry(uint32_t ttl_s)
{
	if (ttl_s <= RELATIVE_TTL_MAX_S)
		return (time_t)ttl_s;
	return (time_t)(clock_wall_ms() / 1000 + ttl_s);
}

static memcached_return_t
add_one(struct mc *s, const struct counter_op *op, uint64_t *ret_value)
{
	size_t len = strlen(op->key);

	/* Subtracting from nothing makes a zero, because memcached answers "not found" even when told to be quiet. */
	if (op->subtract)
		return memcached_decrement_with_initial(s->m, op->key, len, op->add, 0, expiry(op->ttl_s), ret_value);
	return memcached_increment_with_initial(s->m, op->key, len, op->add, op->add, expiry(op->ttl_s), ret_value);
}

static void
set_quiet(struct mc *s, bool on)
{
	(void)memcached_behavior_set(s->m, MEMCACHED_BEHAVIOR_NOREPLY, on);	/* cannot fail */
}

/* 0, or -1: the connection failed. */
static int
send_all(struct mc *s, const struct counter_op *ops, size_t n)
{
	memcached_return_t rc = MEMCACHED_SUCCESS;
	uint64_t ignored;

	set_quiet(s, true);
	for (size_t i = 0; i < n && memcached_success(rc); i++) {
		if (ops[i].add != 0)
			rc = add_one(s, &ops[i], &ignored);
	}
	set_quiet(s, false);
	return memcached_success(rc) ? 0 : -1;
}

/*
 * A value as memcached keeps it: digits, and spaces behind them once a
 * decrement has made the number shorter.  Anything else is nonsense.
 */
static uint64_t
value_parse(const char *p, size_t n)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return UINT64_MAX;
	}
	if (i == 0 || v >= VALUE_MAX)
		return UINT64_MAX;
	for (; i < n; i++) {
		if (p[i] != ' ')
			return UINT64_MAX;
	}
	return v;
}

static struct counter_op *
op_of_key(struct counter_op *ops, size_t n, const char *key, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		if (strlen(ops[i].key) == len && memcmp(ops[i].key, key, len) == 0)
			return &ops[i];
	}
	return NULL;
}

/*
 * Read all values with one mget per host.  found[i] says which exist.
 * 0, or -1: not all answers came; found and values are then of no use.
 */
static int
read_all(struct mc *s, struct counter_op *ops, size_t n, bool *found, int64_t deadline_ms)
{
	const char *keys[COUNTERS_MAX];
	size_t lens[COUNTERS_MAX];
	memcached_result_st result, *r;
	memcached_return_t rc;
	int status = -1;

	for (size_t i = 0; i < n; i++) {
		keys[i] = ops[i].key;
		lens[i] = strlen(ops[i].key);
		found[i] = false;
	}
	/* not one of libmemcached's own making: the end of the answers would free that */
	MUST(memcached_result_create(s->m, &result) != NULL);
	if (!time_left(s, deadline_ms) || !memcached_success(memcached_mget(s->m, keys, lens, n)))
		goto out;
	/* One more than there are keys: the last turn sees the end. */
	for (size_t turn = 0; turn <= n; turn++) {
		struct counter_op *op;

		if (!time_left(s, deadline_ms))
			goto out;
		r = memcached_fetch_result(s->m, &result, &rc);
		if (r == NULL) {
			if (rc == MEMCACHED_END || rc == MEMCACHED_NOTFOUND)
				status = 0;
			break;
		}
		op = op_of_key(ops, n, memcached_result_key_value(r), memcached_result_key_length(r));
		if (op == NULL)
			goto out;	/* what we did not ask for */
		op->ret_value = value_parse(memcached_result_value(r), memcached_result_length(r));
		found[op - ops] = true;
	}
	if (clock_mono_ms() >= deadline_ms)
		status = -1;	/* libmemcached calls a wait that ended in vain "not found" */
out:
	memcached_result_free(&result);
	return status;
}

/*
 * An addition that went past 2^64 would leave a counter that starts anew:
 * put a value there that is nonsense until the window ends.
 */
static void
poison(struct mc *s, const struct counter_op *op)
{
	static const char nonsense[] = "9223372036854775808";	/* VALUE_MAX; additions to it are still answered quietly */

	set_quiet(s, true);
	(void)memcached_set(s->m, op->key, strlen(op->key), nonsense, sizeof(nonsense) - 1, expiry(op->ttl_s), 0);
	set_quiet(s, false);	/* whether it arrived or not, this decision is refused */
}

/* After an answer that nobody can read.  0, or -1: away. */
static int
slow_read(struct mc *s, struct counter_op *ops, size_t n, int64_t deadline_ms)
{
	bool found[COUNTERS_MAX];

	handle_drop(s);
	s->m = handle_new(&s->servers, s->timeout_ms, NULL);
	if (s->m == NULL || read_all(s, ops, n, found, deadline_ms) == -1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (found[i]) {
			if (ops[i].ret_value != UINT64_MAX && !ops[i].subtract)
				ops[i].ret_value += ops[i].add;
		} else if (ops[i].add == 0 || ops[i].subtract) {
			ops[i].ret_value = 0;
		} else {
			/* A store that was emptied, or one that cannot keep anything: only an answer tells. */
			if (!time_left(s, deadline_ms) || !memcached_success(add_one(s, &ops[i], &ops[i].ret_value)))
				return -1;
		}
	}
	return 0;
}

/* Judge what the quick way gave.  0, or -1: the answers do not add up. */
static int
check_all(struct mc *s, struct counter_op *ops, size_t n, const bool *found)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		any = any || found[i];
		if (!found[i] && ops[i].add != 0)
			return -1;
		if (!found[i])
			ops[i].ret_value = 0;
	}
	if (!any)
		return -1;	/* nothing at all may also be an answer that was lost */
	for (size_t i = 0; i < n; i++) {
		if (found[i] && !ops[i].subtract && ops[i].ret_value < ops[i].add) {
			poison(s, &ops[i]);
			ops[i].ret_value = UINT64_MAX;
		}
	}
	return 0;
}

static int
mc_run(struct counters *base, struct counter_op *ops, size_t n)
{
	struct mc *s = (struct mc *)base;
	bool found[COUNTERS_MAX];
	int64_t deadline_ms;

	MUST(n <= COUNTERS_MAX);
	if (n == 0)
		return 0;
	if (!usable(s))
		return -1;
	deadline_ms = clock_mono_ms() + s->timeout_ms;
	if (!time_left(s, deadline_ms))
		return -1;
	/* A connection that broke while it was idle shows here: slow_read makes a new one. */
	if (send_all(s, ops, n) == 0 && read_all(s, ops, n, found, deadline_ms) == 0 &&
	    check_all(s, ops, n, found) == 0)
		return 0;
	if (clock_mono_ms() >= deadline_ms || slow_read(s, ops, n, deadline_ms) == -1)
		return away(s);
	return 0;
}

static int
mc_post(struct counters *base, const struct counter_op *ops, size_t n)
{
	struct mc *s = (struct mc *)base;

	if (!usable(s))
		return -1;
	return send_all(s, ops, n) == 0 ? 0 : away(s);
}

static void
mc_free(struct counters *base)
{
	struct mc *s = (struct mc *)base;

	if (s == NULL)
		return;
	handle_drop(s);
	for (size_t i = 0; i < s->servers.n; i++)
		free(s->servers.v[i]);
	free(s->servers.v);
	free(s);
}

struct counters *
counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e)
{
	struct mc *s;

	if (servers->n == 0 || servers->n > SERVERS_MAX) {
		(void)err_set(e, "%zu memcached servers, want 1 to %d", servers->n, SERVERS_MAX);
		return NULL;
	}
	s = mem_alloc(sizeof(*s));
	s->base = (struct counters){ mc_run, mc_post, mc_free };
	s->timeout_ms = timeout_ms == 0 ? 1 : timeout_ms;
	s->pid = getpid();
	s->servers.v = mem_alloc(servers->n * sizeof(char *));
	for (size_t i = 0; i < servers->n; i++)
		s->servers.v[s->servers.n++] = mem_strdup(servers->v[i]);
	s->m = handle_new(&s->servers, s->timeout_ms, e);
	if (s->m == NULL) {
		mc_free(&s->base);
		return NULL;
	}
	return &s->base;
}
