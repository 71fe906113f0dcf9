/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters in memcached: the one file with libmemcached.  Runs in workers and
 * in the accountant, one handle per process, made after fork.
 *
 * libmemcached chooses the server of each key (ketama, as every other client
 * does), but the bytes on the wire are ours, for three reasons that were
 * measured with version 1.1.4 (DESIGN.md): it has no batched increment; its
 * timeout bounds each wait, not the whole; and what a server answers can
 * overrun its stack, so that whoever takes the place of memcached takes over
 * the worker.  Here each decision sends one block of meta commands to each
 * server and reads their answers, all within one deadline: one wait, whatever
 * the number of counters.
 *
 * An answer is one of a few words; anything else, or too much of it, closes
 * the connection and the store counts as away.  It is then left alone for
 * AWAY_MS.  Answers to what was posted are still due; they come first.
 *
 * Counters belong to an epoch (counters_epoch.c): it is part of their keys, and
 * each server holds it under its mark.  Each block ends with the mark, so what
 * a restarted, flushed or exchanged server answers is never taken for counters:
 * they were lost if the mark is not the epoch that was asked for.
 *
 * A connection: none -> connecting -> open -> none (error, garbage, deadline).
 */
#include "base/base.h"

#include "quota/private.h"

#include <errno.h>
#include <libmemcached/memcached.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"

enum {
	AWAY_MS = 1000,			/* the circuit breaker */
	RELATIVE_TTL_MAX_S = 30 * 24 * 3600,	/* memcached takes more for a date */
	SERVER_TEXT_MAX = 255,
	PORT_DEFAULT = 11211,
	OUT_MAX = COUNTERS_MAX * 160,	/* bytes; a command is shorter than that */
	LINE_MAX = 512,			/* of an answer, without its value */
	VALUE_TEXT_MAX = 64,		/* a longer value is no number */
	VALUE_BYTES_MAX = 1 << 27,	/* and past this not even an item */
	POSTED_MAX = 4096,		/* answers that may be due to nobody */
};

/* -- servers ----------------------------------------------------------------- */

static int
unix_address(struct conn *c, const char *path, struct err *e)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&c->addr;

	if (strlen(path) >= sizeof(un->sun_path))
		return err_set(e, "memcached socket path '%s' is too long", path);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	c->addr_len = sizeof(*un);
	return 0;
}

/* The resolver library may take its time: names of memcached hosts belong in /etc/hosts. */
static int
inet_address(struct conn *c)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC }, *list;

	if (c->host == NULL || getaddrinfo(c->host, c->port, &hints, &list) != 0)
		return -1;
	memcpy(&c->addr, list->ai_addr, list->ai_addrlen);
	c->addr_len = list->ai_addrlen;
	freeaddrinfo(list);
	return 0;
}

/* "/path", "host", "host:port", "[v6]:port": into the ring and as an address. */
static int
add_server(struct mc *s, struct conn *c, const char *server, struct err *e)
{
	const char *colon = strrchr(server, ':'), *start = server;
	size_t len = strlen(server);
	unsigned long number = PORT_DEFAULT;
	char *end;

	if (server[0] == '/') {
		if (!memcached_success(memcached_server_add_unix_socket(s->ring, server)))
			return err_set(e, "bad memcached server '%s'", server);
		return unix_address(c, server, e);
	}
	if (colon != NULL && colon > server && (server[0] != '[' || colon[-1] == ']')) {
		number = strtoul(colon + 1, &end, 10);
		if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || number == 0 || number > 65535)
			return err_set(e, "bad port of memcached server '%s'", server);
		len = (size_t)(colon - server);
	}
	if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
		start++;
		len -= 2;
	}
	if (len == 0 || len > SERVER_TEXT_MAX)
		return err_set(e, "bad memcached server '%s'", server);
	c->host = mem_strndup(start, len);
	(void)snprintf(c->port, sizeof(c->port), "%lu", number);	/* at most five digits */
	if (!memcached_success(memcached_server_add(s->ring, c->host, (in_port_t)number)))
		return err_set(e, "bad memcached server '%s'", server);
	(void)inet_address(c);		/* tried again when it is needed */
	return 0;
}

/* Which server a key lives on. */
static struct conn *
conn_of(struct mc *s, const char *key)
{
	uint32_t i = s->n_conns == 1 ? 0 : memcached_generate_hash(s->ring, key, strlen(key));

	return &s->conn[i < s->n_conns ? i : 0];
}

/* -- one connection ------------------------------------------------------------ */

void
mc_conn_close(struct conn *c)
{
	fd_close(&c->fd);
	c->connecting = c->reused = false;
	c->in_len = c->discard = c->posted = c->sent = c->next = 0;
}

int
mc_conn_open(struct conn *c)
{
	int on = 1;

	if (c->addr_len == 0 && inet_address(c) == -1)
		return -1;
	c->fd = socket(c->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd == -1)
		return -1;
	if (c->addr.ss_family != AF_UNIX)
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));	/* only slower without */
	if (connect(c->fd, (struct sockaddr *)&c->addr, c->addr_len) == 0)
		return 0;
	if (errno != EINPROGRESS) {	/* also EAGAIN: a Unix socket whose backlog is full */
		mc_conn_close(c);
		return -1;
	}
	c->connecting = true;
	return 0;
}

int
mc_conn_send(struct conn *c)
{
	int failed = 0;
	socklen_t len = sizeof(failed);
	ssize_t n;

	if (c->connecting) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &len) == -1 || failed != 0)
			return -1;
		c->connecting = false;
	}
	while (c->sent < c->out.len) {
		n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return errno == EAGAIN ? 0 : -1;
		c->sent += (size_t)n;
	}
	return 0;
}

/* -- answers ------------------------------------------------------------------- */

/*
 * A value as memcached keeps it: digits, and spaces behind them once a
 * decrement has made the number shorter.  Anything else is nonsense.
 */
uint64_t
mc_value_parse(const char *p, size_t n)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return UINT64_MAX;
	}
	if (i == 0 || v >= COUNTERS_VALUE_MAX)
		return UINT64_MAX;
	for (; i < n; i++) {
		if (p[i] != ' ')
			return UINT64_MAX;
	}
	return v;
}

/* The N of "VA N" or "VA N flags"; -1 when it is none. */
static ssize_t
value_length(const char *line, size_t n)
{
	size_t v = 0, i;

	for (i = 3; i < n && line[i] >= '0' && line[i] <= '9' && v < VALUE_BYTES_MAX; i++)
		v = v * 10 + (size_t)(line[i] - '0');
	if (i == 3 || v >= VALUE_BYTES_MAX || (i < n && line[i] != ' '))
		return -1;
	return (ssize_t)v;
}

static bool
starts(const char *line, size_t n, const char *word)
{
	size_t len = strlen(word);

	return n >= len && memcmp(line, word, len) == 0;
}

/*
 * One answer from the front of p.  Returns its bytes; 0 when more are needed,
 * -1 for what is none.  *ret_discard: how many more belong to it that nobody needs.
 */
static ssize_t
answer_parse(const char *p, size_t n, uint64_t *ret_value, size_t *ret_discard)
{
	const char *end = memchr(p, '\n', n < LINE_MAX ? n : LINE_MAX);
	size_t line, whole;
	ssize_t len;

	*ret_discard = 0;
	if (end == NULL)
		return n < LINE_MAX ? 0 : -1;
	whole = (size_t)(end - p) + 1;
	if (whole < 4 || end[-1] != '\r')
		return -1;
	line = whole - 2;
	if (starts(p, line, "VA ")) {
		len = value_length(p, line);
		if (len == -1)
			return -1;
		if (len > VALUE_TEXT_MAX) {
			*ret_value = UINT64_MAX;
			*ret_discard = (size_t)len + 2;
			return (ssize_t)whole;
		}
		if (n - whole < (size_t)len + 2)
			return 0;
		if (memcmp(p + whole + len, "\r\n", 2) != 0)
			return -1;
		*ret_value = mc_value_parse(p + whole, (size_t)len);
		return (ssize_t)whole + len + 2;
	}
	if (starts(p, line, "CLIENT_ERROR cannot increment or decrement non-numeric")) {
		*ret_value = UINT64_MAX;
		return (ssize_t)whole;
	}
	/* EN: not there; HD: done, without a value; NF: nothing to subtract from */
	if (line == 2 && (starts(p, line, "EN") || starts(p, line, "HD") || starts(p, line, "NF"))) {
		*ret_value = 0;
		return (ssize_t)whole;
	}
	return -1;	/* SERVER_ERROR too: a store that cannot store is away */
}

/* Give the answer to the operation that it belongs to. */
static void
answer_take(struct mc *s, struct conn *c, struct counter_op *ops, size_t n, uint64_t value)
{
	if (c->posted > 0) {
		c->posted--;
		return;
	}
	while (c->next < n && conn_of(s, ops[c->next].key) != c)
		c->next++;
	MUST(c->due > 0 && (c->next < n || c->marking));
	if (c->next < n)
		ops[c->next++].ret_value = value;
	else
		c->epoch = value;
	c->due--;
}

/* Parse what is there.  0, or -1: garbage. */
static int
conn_parse(struct mc *s, struct conn *c, struct counter_op *ops, size_t n)
{
	size_t at = 0, skip;
	uint64_t value = 0;
	ssize_t used = 1;

	while (at < c->in_len && used > 0) {
		skip = c->in_len - at < c->discard ? c->in_len - at : c->discard;
		at += skip;
		c->discard -= skip;
		if (at == c->in_len)
			break;
		if (c->posted == 0 && c->due == 0)
			return -1;	/* nobody asked */
		used = answer_parse(c->in + at, c->in_len - at, &value, &c->discard);
		if (used > 0) {
			answer_take(s, c, ops, n, value);
			at += (size_t)used;
		}
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	return used < 0 ? -1 : 0;
}

/* 0, or -1: closed, broken or garbage. */
static int
conn_receive(struct mc *s, struct conn *c, struct counter_op *ops, size_t n)
{
	ssize_t r;

	do {
		r = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
	} while (r == -1 && errno == EINTR);
	if (r == -1 && errno == EAGAIN)
		return 0;
	if (r <= 0)
		return -1;
	c->in_len += (size_t)r;
	return conn_parse(s, c, ops, n);
}

/* -- commands ------------------------------------------------------------------ */

/* Our keys begin with "eo:"; on the wire that is "eo", the epoch and ":". */
static void
command_add(const struct mc *s, struct buf *out, const struct counter_op *op, bool want_value)
{
	const char *key = op->key + strlen("eo:");
	int64_t expiry = op->ttl_s;

	if (expiry > RELATIVE_TTL_MAX_S)
		expiry += clock_wall_ms() / 1000;
	if (op->add == 0) {
		(void)buf_join(out, "mg ", s->space, key, " v\r\n", NULL);
		return;
	}
	(void)buf_join(out, "ma ", s->space, key, op->subtract ? " MD" : " N", NULL);
	if (!op->subtract) {
		(void)buf_addu(out, (uint64_t)expiry);
		(void)buf_adds(out, " J");
		(void)buf_addu(out, op->add);
	}
	(void)buf_adds(out, " D");
	(void)buf_addu(out, op->add);
	(void)buf_adds(out, want_value ? " v\r\n" : "\r\n");
}

/*
 * An addition that went past 2^64 leaves a counter that starts anew: put a
 * value there that is nonsense until the window ends.  Nobody waits for it.
 */
static void
poison(struct mc *s, struct counter_op *op)
{
	struct conn *c = conn_of(s, op->key);

	op->ret_value = UINT64_MAX;
	if (c->fd == -1)
		return;
	buf_clear(&c->out);
	c->sent = 0;
	(void)buf_addf(&c->out, "ms %s%s 19 T%lu\r\n%llu\r\n", s->space, op->key + strlen("eo:"),
	    (unsigned long)(op->ttl_s < RELATIVE_TTL_MAX_S ? op->ttl_s : RELATIVE_TTL_MAX_S),
	    (unsigned long long)COUNTERS_VALUE_MAX);
	if (!buf_ok(&c->out) || mc_conn_send(c) == -1 || c->sent < c->out.len)
		mc_conn_close(c);		/* this decision is refused all the same */
	else
		c->posted++;
}

/* -- a run ----------------------------------------------------------------------- */

bool
mc_usable(const struct mc *s)
{
	MUST(s->pid == process_pid());	/* a connection used across fork mixes up answers */
	return clock_mono_ms() >= s->away_until_ms;
}

int
mc_away(struct mc *s)
{
	for (size_t i = 0; i < s->n_conns; i++)
		mc_conn_close(&s->conn[i]);
	s->away_until_ms = clock_mono_ms() + AWAY_MS;
	return -1;
}

/*
 * A connection failed.  One that was open before is made anew, once, as long
 * as no answer came: the server closed it while nobody asked (a restart), and
 * what it may have counted went with it.  0, or -1: give up.
 */
static int
conn_retry(struct conn *c)
{
	bool again = c->reused && c->due == c->asked;

	mc_conn_close(c);
	c->posted = c->posting;
	return again ? mc_conn_open(c) : -1;
}

/* Send the commands of a run, or begin to.  0, or -1: give up. */
static int
conn_start(struct conn *c)
{
	c->reused = c->fd != -1;
	if (c->in_len > 0 && c->posted == 0 && c->discard == 0)
		mc_conn_close(c);		/* it spoke without being asked */
	if (c->fd == -1 && mc_conn_open(c) == -1)
		return -1;
	c->posted += c->posting;
	if (c->connecting || mc_conn_send(c) == 0)
		return 0;
	return conn_retry(c);
}

/* WANT_MARKS: of all servers; WANT_VALUES: of the operations, and the marks of their servers. */
enum want { WANT_NOTHING, WANT_VALUES, WANT_MARKS };

/* Commands of all operations to their servers.  0, or -1: give up. */
static int
start(struct mc *s, const struct counter_op *ops, size_t n, enum want want)
{
	for (size_t i = 0; i < s->n_conns; i++) {
		buf_clear(&s->conn[i].out);
		s->conn[i].sent = s->conn[i].asked = s->conn[i].next = 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct conn *c = conn_of(s, ops[i].key);

		command_add(s, &c->out, &ops[i], want == WANT_VALUES);
		c->asked++;
	}
	for (size_t i = 0; i < s->n_conns; i++) {
		struct conn *c = &s->conn[i];

		c->marking = want == WANT_MARKS || (want == WANT_VALUES && c->asked > 0 && !s->fixed);
		if (c->marking) {	/* last: what was lost before it is told by it */
			(void)buf_join(&c->out, "mg ", c->mark, " v\r\n", NULL);
			c->asked++;
		}
		c->posting = want != WANT_NOTHING ? 0 : c->asked;
		c->asked -= c->posting;
		c->due = c->asked;
		if (!buf_ok(&c->out) || (c->out.len > 0 && conn_start(c) == -1))
			return -1;
	}
	return 0;
}

static bool
is_busy(const struct conn *c)
{
	return c->sent < c->out.len || c->due > 0 || c->posted > POSTED_MAX;
}

/* Send and read until every server has answered.  0, or -1: give up. */
static int
pump(struct mc *s, struct counter_op *ops, size_t n, int64_t deadline_ms)
{
	struct pollfd p[COUNTERS_SERVERS_MAX];
	struct conn *of[COUNTERS_SERVERS_MAX];
	int64_t left_ms;
	bool late = false;

	for (;;) {
		nfds_t busy = 0;

		for (size_t i = 0; i < s->n_conns; i++) {
			struct conn *c = &s->conn[i];
			short out = c->connecting || c->sent < c->out.len ? POLLOUT : 0;

			if (!is_busy(c))
				continue;
			of[busy] = c;
			p[busy++] = (struct pollfd){ .fd = c->fd, .events = (short)(POLLIN | out) };
		}
		if (busy == 0)
			return 0;
		if (late)
			return -1;
		/* what is here is taken once more: it may be us who were late, on a busy machine */
		left_ms = deadline_ms - clock_mono_ms();
		late = left_ms <= 0;
		if (poll(p, busy, late ? 0 : (int)left_ms) == -1 && errno != EINTR)
			return -1;
		for (nfds_t i = 0; i < busy; i++) {
			int r = 0;

			if ((p[i].revents & (POLLOUT | POLLERR)) != 0)
				r = mc_conn_send(of[i]);
			if (r == 0 && (p[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
				r = conn_receive(s, of[i], ops, n);
			if (r == -1 && conn_retry(of[i]) == -1)
				return -1;
		}
	}
}

/* Do all servers that were asked for their mark hold this epoch? */
static bool
marks_are(const struct mc *s, uint64_t epoch)
{
	for (size_t i = 0; i < s->n_conns; i++) {
		if (s->conn[i].marking && s->conn[i].epoch != epoch)
			return false;
	}
	return true;
}

/* Which epoch is it?  0; 1: none, or not the same everywhere; -1: give up. */
static int
learn(struct mc *s, int64_t deadline_ms)
{
	uint64_t epoch;

	if (start(s, NULL, 0, WANT_MARKS) == -1 || pump(s, NULL, 0, deadline_ms) == -1)
		return -1;
	epoch = s->conn[0].epoch;
	if (epoch == 0 || epoch == UINT64_MAX || !marks_are(s, epoch))
		return 1;
	mc_set_epoch(s, epoch);
	return 0;
}

static int
mc_run(struct counters *base, struct counter_op *ops, size_t n)
{
	struct mc *s = (struct mc *)base;
	int64_t deadline_ms;
	int r;

	MUST(n <= COUNTERS_MAX);
	if (n == 0)
		return 0;
	if (!mc_usable(s))
		return -1;
	deadline_ms = clock_mono_ms() + s->timeout_ms;
	for (int turn = 0; turn < 2; turn++) {
		r = s->epoch == 0 ? learn(s, deadline_ms) : 0;
		if (r == 1)	/* lost: what is counted there now, nobody will read */
			return -1;
		if (r == -1 || start(s, ops, n, WANT_VALUES) == -1 || pump(s, ops, n, deadline_ms) == -1)
			return mc_away(s);
		if (s->fixed || marks_are(s, s->epoch)) {
			for (size_t i = 0; i < n; i++) {
				if (!ops[i].subtract && ops[i].ret_value < ops[i].add)
					poison(s, &ops[i]);
			}
			return 0;
		}
		mc_set_epoch(s, 0);	/* another one has begun, or they were lost just now */
	}
	return -1;
}

static int
mc_post(struct counters *base, const struct counter_op *ops, size_t n)
{
	struct mc *s = (struct mc *)base;

	MUST(n <= COUNTERS_MAX);
	if (n == 0)
		return 0;
	if (!mc_usable(s) || s->epoch == 0)	/* giving back what no epoch has is nothing */
		return -1;
	if (start(s, ops, n, WANT_NOTHING) == -1 || pump(s, NULL, 0, clock_mono_ms() + s->timeout_ms) == -1)
		return mc_away(s);
	return 0;
}

static void
mc_free(struct counters *base)
{
	struct mc *s = (struct mc *)base;

	if (s == NULL)
		return;
	for (size_t i = 0; s->conn != NULL && i < s->n_conns; i++) {
		mc_conn_close(&s->conn[i]);
		buf_release(&s->conn[i].out);
		free(s->conn[i].host);
	}
	free(s->conn);
	memcached_free(s->ring);
	free(s);
}

struct counters *
counters_memcached_new(const struct strs *servers, uint32_t timeout_ms, struct err *e)
{
	struct mc *s;

	if (servers->n == 0 || servers->n > COUNTERS_SERVERS_MAX) {
		(void)err_set(e, "%zu memcached servers, want 1 to %d", servers->n, COUNTERS_SERVERS_MAX);
		return NULL;
	}
	s = mem_alloc(sizeof(*s));
	s->base = (struct counters){ mc_run, mc_post, mc_free };
	s->timeout_ms = timeout_ms == 0 ? 1 : timeout_ms;
	s->pid = process_pid();
	s->conn = mem_alloc(servers->n * sizeof(*s->conn));
	s->ring = memcached_create(NULL);
	if (s->ring == NULL || (servers->n > 1 &&
	    !memcached_success(memcached_behavior_set(s->ring, MEMCACHED_BEHAVIOR_KETAMA, 1)))) {
		(void)err_set(e, "cannot make a memcached handle");
		mc_free(&s->base);
		return NULL;
	}
	for (size_t i = 0; i < servers->n; i++) {
		s->conn[i].fd = -1;
		buf_init(&s->conn[i].out, OUT_MAX);
		s->n_conns = i + 1;
		if (add_server(s, &s->conn[i], servers->v[i], e) == -1) {
			mc_free(&s->base);
			return NULL;
		}
	}
	mc_name_marks(s, servers);
	return &s->base;
}
