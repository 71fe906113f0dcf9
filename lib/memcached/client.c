/* SPDX-License-Identifier: Apache-2.0
 *
 * A client of memcached: the one file with libmemcached.  Runs in whoever made
 * a handle, after fork.
 *
 * libmemcached chooses the server of each key (ketama, as every other client
 * does), but the bytes on the wire are ours, for three reasons that were
 * measured with version 1.1.4 (DESIGN.md): it has no batched increment; its
 * timeout bounds each wait, not the whole; and what a server answers can
 * overrun its stack, so that whoever takes the place of memcached takes over
 * the worker.  Here each block of meta commands goes to each server in one
 * send, and the answers are read within one deadline: one wait, whatever the
 * number of commands.
 *
 * An answer is one of a few words; anything else, or too much of it, closes
 * the connection and the store counts as away.  It is then left alone for
 * MC_AWAY_MS.  Answers to what was posted are still due; they come first.
 *
 * A connection: none -> connecting -> open -> none (error, garbage, deadline).
 */
#include "base/base.h"

#include "memcached/client.h"

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
	RELATIVE_TTL_MAX_S = 30 * 24 * 3600,	/* memcached takes more for a date */
	SERVER_TEXT_MAX = 255,
	PORT_DEFAULT = 11211,
	LINE_MAX = 512,			/* of an answer, without its value */
	IN_SIZE = LINE_MAX + MC_VALUE_MAX + 2,
	VALUE_BYTES_MAX = 1 << 27,	/* past this not even an item */
	POSTED_MAX = 4096,		/* answers that may be due to nobody */
	LOOKUP_PART = 30,		/* looking up a name that is not found has at most this part of our time */
};

/* One server, and the connection to it. */
struct conn {
	char *host, port[8];		/* host NULL: a Unix socket */
	struct sockaddr_storage addr;
	socklen_t addr_len;		/* 0: not resolved yet */
	int64_t lookup_at_ms;		/* not before */
	int fd;				/* -1: none */
	bool connecting;
	bool reused;			/* it was open before this block */
	struct buf out;
	size_t sent;			/* of out */
	char in[IN_SIZE];
	size_t in_len;
	size_t discard;			/* bytes of a value that nobody wants */
	size_t posted;			/* answers that are due to nobody; they come first */
	size_t posting;			/* of those, to what is in out */
	size_t asked, due;		/* answers that this block asked for, and that did not come yet */
	struct mc_reply *first, **last, *next;	/* of this block, in their order; and who gets the next answer */
};

struct mc {
	memcached_st *ring;
	struct conn *conn;
	size_t n_conns;
	uint32_t timeout_ms;
	pid_t pid;
	int64_t away_until_ms;
	bool hurried;
	int64_t late_since_us, late_us;	/* waited for late answers, in the second that began then */
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

/*
 * The resolver library may take its time, and nothing bounds it: names of
 * memcached hosts belong in /etc/hosts.  Where nobody answers it, it is left
 * alone for so much longer than it took.
 */
static int
inet_address(struct conn *c)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC }, *list;
	int64_t began_ms = clock_mono_ms(), now_ms;

	if (c->host == NULL || began_ms < c->lookup_at_ms)
		return -1;
	if (getaddrinfo(c->host, c->port, &hints, &list) != 0) {
		now_ms = clock_mono_ms();
		c->lookup_at_ms = now_ms + (now_ms - began_ms) * LOOKUP_PART;
		return -1;
	}
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

void
mc_hurry(struct mc *s)
{
	s->hurried = true;
}

size_t
mc_servers(const struct mc *s)
{
	return s->n_conns;
}

size_t
mc_server_of(const struct mc *s, const char *key)
{
	uint32_t i = s->n_conns == 1 ? 0 : memcached_generate_hash(s->ring, key, strlen(key));

	return i < s->n_conns ? i : 0;
}

/* -- one connection ------------------------------------------------------------ */

static void
conn_close(struct conn *c)
{
	fd_close(&c->fd);
	c->connecting = c->reused = false;
	c->in_len = c->discard = c->posted = c->sent = 0;
}

static int
conn_open(struct conn *c)
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
		conn_close(c);
		return -1;
	}
	c->connecting = true;
	return 0;
}

static int
conn_send(struct conn *c)
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

/* The digits from *p on, which moves behind them.  0, or -1: there are none, or too many. */
static int
number_parse(const char **p, const char *end, uint64_t *ret)
{
	const char *from = *p;
	uint64_t v = 0;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(**p - '0'), &v))
			return -1;
	}
	*ret = v;
	return *p > from ? 0 : -1;
}

static bool
starts(const char *line, size_t n, const char *word)
{
	size_t len = strlen(word);

	return n >= len && memcmp(line, word, len) == 0;
}

/*
 * " flag flag..." to the end of the line: c and a number, k and a key; others
 * are not looked at.  0, or -1: that is none, or another key than was asked for.
 */
static int
flags_parse(const char *p, const char *end, struct mc_reply *r, bool *ret_key)
{
	const char *word;

	*ret_key = false;
	while (p < end) {
		if (*p != ' ')
			return -1;
		word = ++p;
		while (p < end && *p != ' ')
			p++;
		if (word < p && *word == 'c') {
			word++;
			if (number_parse(&word, p, &r->cas) == -1 || word != p)
				return -1;
		} else if (word < p && *word == 'k' && r->key != NULL) {
			word++;
			if ((size_t)(p - word) != strlen(r->key) || memcmp(word, r->key, strlen(r->key)) != 0)
				return -1;
			*ret_key = true;
		}
	}
	return 0;
}

/* "VA N" or "VA N flags": its N; -1 when it is none, or of another key. */
static ssize_t
value_line_parse(const char *line, size_t n, struct mc_reply *r)
{
	const char *p = line + strlen("VA "), *end = line + n;
	bool has_key;
	uint64_t len;

	if (number_parse(&p, end, &len) == -1 || len >= VALUE_BYTES_MAX || flags_parse(p, end, r, &has_key) == -1)
		return -1;
	return r->key == NULL || has_key ? (ssize_t)len : -1;
}

/* The words without a value; memcached gives the key also where nothing is under it. */
static int
word_parse(const char *line, size_t n, struct mc_reply *r)
{
	static const struct {
		const char *word;
		enum mc_status status;
	} words[] = { { "HD", MC_DONE }, { "EN", MC_ABSENT }, { "NF", MC_ABSENT }, { "NS", MC_REFUSED }, { "EX", MC_REFUSED } };
	bool has_key;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!starts(line, n, words[i].word))
			continue;
		r->status = words[i].status;
		return n == 2 || r->key != NULL ? flags_parse(line + 2, line + n, r, &has_key) : -1;
	}
	return -1;
}

/* "STAT name value": its value, when it is the one that is wanted.  0, or -1. */
static int
stat_parse(const char *line, size_t n, struct mc_reply *r)
{
	const char *p = line + strlen("STAT "), *end = line + n;

	if (!starts(p, (size_t)(end - p), r->stat) || p + strlen(r->stat) >= end || p[strlen(r->stat)] != ' ')
		return 0;
	p += strlen(r->stat) + 1;
	return number_parse(&p, end, &r->number);
}

/*
 * One answer from the front of p, or a line of it: *ret_done tells.  Returns its
 * bytes; 0 when more are needed, -1 for what is none.  *ret_discard: how many
 * more belong to it that nobody needs.
 */
static ssize_t
answer_parse(const char *p, size_t n, struct mc_reply *r, bool *ret_done, size_t *ret_discard)
{
	const char *end = memchr(p, '\n', n < LINE_MAX ? n : LINE_MAX);
	size_t line, whole;
	ssize_t len;

	*ret_done = true;
	if (end == NULL)
		return n < LINE_MAX ? 0 : -1;
	whole = (size_t)(end - p) + 1;
	if (whole < 4 || end[-1] != '\r')
		return -1;
	line = whole - 2;
	r->len = 0;
	if (r->stat != NULL) {
		*ret_done = line == 3 && starts(p, line, "END");
		r->status = MC_DONE;
		return *ret_done || (starts(p, line, "STAT ") && stat_parse(p, line, r) == 0) ? (ssize_t)whole : -1;
	}
	if (starts(p, line, "VA ")) {
		len = value_line_parse(p, line, r);
		if (len == -1)
			return -1;
		if ((size_t)len > r->room) {
			r->status = MC_NONSENSE;
			*ret_discard = (size_t)len + 2;
			return (ssize_t)whole;
		}
		if (n - whole < (size_t)len + 2)
			return 0;
		if (memcmp(p + whole + len, "\r\n", 2) != 0)
			return -1;
		if (len > 0)
			memcpy(r->value, p + whole, (size_t)len);
		r->status = MC_VALUE;
		r->len = (size_t)len;
		return (ssize_t)whole + len + 2;
	}
	if (starts(p, line, "CLIENT_ERROR cannot increment or decrement non-numeric"))
		r->status = MC_NONSENSE;
	else if (starts(p, line, "SERVER_ERROR"))
		r->status = MC_FAILED;
	else if (word_parse(p, line, r) == -1)
		return -1;
	return (ssize_t)whole;
}

/* Parse what is there.  0, or -1: garbage. */
static int
conn_parse(struct conn *c)
{
	size_t at = 0, skip;
	struct mc_reply nobody = { .key = NULL };
	ssize_t used = 1;
	bool done;

	while (at < c->in_len && used > 0) {
		skip = c->in_len - at < c->discard ? c->in_len - at : c->discard;
		at += skip;
		c->discard -= skip;
		if (at == c->in_len)
			break;
		if (c->posted > 0) {
			used = answer_parse(c->in + at, c->in_len - at, &nobody, &done, &c->discard);
			if (used > 0 && (nobody.status == MC_FAILED || nobody.status == MC_REFUSED))
				used = -1;	/* nobody else will see it: a store that cannot store is away */
			c->posted -= used > 0;
		} else {
			if (c->due == 0)
				return -1;	/* nobody asked */
			used = answer_parse(c->in + at, c->in_len - at, c->next, &done, &c->discard);
			if (used > 0 && done) {
				c->next = c->next->next;
				c->due--;
			}
		}
		if (used > 0)
			at += (size_t)used;
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	MUST(used < 0 || c->in_len < sizeof(c->in));	/* the longest answer fits */
	return used < 0 ? -1 : 0;
}

/* 0, or -1: closed, broken or garbage. */
static int
conn_receive(struct conn *c)
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
	return conn_parse(c);
}

/* -- a block ----------------------------------------------------------------------- */

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
		conn_close(&s->conn[i]);
	s->away_until_ms = clock_mono_ms() + MC_AWAY_MS;
	return -1;
}

int64_t
mc_deadline_ms(const struct mc *s)
{
	return clock_mono_ms() + s->timeout_ms;
}

uint64_t
mc_expiry(uint32_t ttl_s)
{
	return ttl_s <= RELATIVE_TTL_MAX_S ? ttl_s : ttl_s + (uint64_t)clock_wall_ms() / 1000;
}

void
mc_begin(struct mc *s)
{
	for (size_t i = 0; i < s->n_conns; i++) {
		struct conn *c = &s->conn[i];

		MUST(c->due == 0 || c->fd == -1);	/* a block that failed closed it */
		buf_clear(&c->out);
		c->sent = c->asked = 0;
		c->first = NULL;
		c->last = &c->first;
	}
}

struct buf *
mc_command(struct mc *s, size_t server, struct mc_reply *r)
{
	struct conn *c = &s->conn[server];

	c->asked++;
	if (r != NULL) {
		MUST(r->room <= MC_VALUE_MAX);
		r->cas = r->number = 0;
		r->next = NULL;
		*c->last = r;
		c->last = &r->next;
	}
	return &c->out;
}

/*
 * A connection failed.  One that was open before is made anew, once, as long
 * as no answer came: the server closed it while nobody asked (a restart), and
 * what it may have done went with it.  0, or -1: give up.
 */
static int
conn_retry(struct conn *c)
{
	bool again = c->reused && c->due == c->asked;

	conn_close(c);
	c->posted = c->posting;
	return again ? conn_open(c) : -1;
}

/* Send the commands of a block, or begin to.  0, or -1: give up. */
static int
conn_start(struct conn *c)
{
	c->reused = c->fd != -1;
	if (c->in_len > 0 && c->posted == 0 && c->discard == 0)
		conn_close(c);		/* it spoke without being asked */
	if (c->fd == -1 && conn_open(c) == -1)
		return -1;
	c->posted += c->posting;
	if (c->connecting || conn_send(c) == 0)
		return 0;
	return conn_retry(c);
}

static bool
is_busy(const struct conn *c)
{
	return c->sent < c->out.len || c->due > 0 || c->posted > POSTED_MAX;
}

/* Send and read until every server has answered.  0, or -1: give up. */
static int
pump(struct mc *s, int64_t deadline_ms)
{
	struct pollfd p[MC_SERVERS_MAX];
	struct conn *of[MC_SERVERS_MAX];
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
				r = conn_send(of[i]);
			if (r == 0 && (p[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
				r = conn_receive(of[i]);
			if (r == -1 && conn_retry(of[i]) == -1)
				return -1;
		}
	}
}

/* A block that began then has its answers. */
static void
count_late(struct mc *s, int64_t began_us)
{
	int64_t now_us = clock_mono_us(), us = now_us - began_us, timeout_us = (int64_t)s->timeout_ms * 1000;

	if (!s->hurried || us < timeout_us / MC_LATE_PART)
		return;
	if (now_us - s->late_since_us >= 1000000) {
		s->late_since_us = now_us;
		s->late_us = 0;
	}
	s->late_us += us;
	if (s->late_us >= MC_LATE_TIMES * timeout_us)
		(void)mc_away(s);	/* for the next ones: these answers are good */
}

/* The commands of a block to their servers, and their answers.  0, or -1: away from now on. */
static int
run(struct mc *s, int64_t deadline_ms, bool posting)
{
	int64_t began_us = clock_mono_us();

	if (!mc_usable(s))
		return -1;
	for (size_t i = 0; i < s->n_conns; i++) {
		struct conn *c = &s->conn[i];

		c->posting = posting ? c->asked : 0;
		c->asked -= c->posting;
		c->due = c->asked;
		c->next = c->first;
		if (!buf_ok(&c->out) || (c->out.len > 0 && conn_start(c) == -1))
			return mc_away(s);
	}
	if (pump(s, deadline_ms) == -1)
		return mc_away(s);
	count_late(s, began_us);
	return 0;
}

int
mc_run(struct mc *s, int64_t deadline_ms)
{
	return run(s, deadline_ms, false);
}

int
mc_post(struct mc *s, int64_t deadline_ms)
{
	return run(s, deadline_ms, true);
}

/* -- handles ----------------------------------------------------------------------- */

void
mc_free(struct mc *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; s->conn != NULL && i < s->n_conns; i++) {
		conn_close(&s->conn[i]);
		buf_release(&s->conn[i].out);
		free(s->conn[i].host);
	}
	free(s->conn);
	memcached_free(s->ring);
	free(s);
}

struct mc *
mc_new(const struct strs *servers, uint32_t timeout_ms, struct err *e)
{
	struct mc *s;

	if (servers->n == 0 || servers->n > MC_SERVERS_MAX) {
		(void)err_set(e, "%zu memcached servers, want 1 to %d", servers->n, MC_SERVERS_MAX);
		return NULL;
	}
	s = mem_alloc(sizeof(*s));
	s->timeout_ms = timeout_ms == 0 ? 1 : timeout_ms;
	s->pid = process_pid();
	s->conn = mem_alloc(servers->n * sizeof(*s->conn));
	s->ring = memcached_create(NULL);
	if (s->ring == NULL || (servers->n > 1 &&
	    !memcached_success(memcached_behavior_set(s->ring, MEMCACHED_BEHAVIOR_KETAMA, 1)))) {
		(void)err_set(e, "cannot make a memcached handle");
		mc_free(s);
		return NULL;
	}
	for (size_t i = 0; i < servers->n; i++) {
		s->conn[i].fd = -1;
		buf_init(&s->conn[i].out, MC_OUT_MAX);
		s->n_conns = i + 1;
		if (add_server(s, &s->conn[i], servers->v[i], e) == -1) {
			mc_free(s);
			return NULL;
		}
	}
	return s;
}
