/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker as a process: this test is its master, its mover, its accountant
 * and the front.
 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cache/store.h"
#include "ipc/account.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "ipc/handover.h"
#include "role.h"
#include "unit.h"
#include "wire/fcgi.h"

enum { SLOT = SLOT_WORKERS, WAIT_MS = 10000 };

struct rig {
	char dir[64], socket[96], log[96];
	struct config *config;
	struct scoreboard *scoreboard;
	int scoreboard_fd, listen, control, account, mover;
	uint16_t port;		/* network order; 0: the Unix socket */
	pid_t pid;
};

static int
listen_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(strlen(path) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, path, strlen(path) + 1);
	MUST(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 1024) == 0);
	return fd;
}

static int
listen_tcp(uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 1024) == 0);
	MUST(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	*ret_port = sa.sin_port;
	return fd;
}

static struct config *
config_of(const struct rig *r, const char *front)
{
	struct buf faults = BUF_INIT(65536);
	char *text = mem_printf("{ \"datasets\": [ { \"retention\": \"30d\" } ],"
	    "\"rules\": [ { \"name\": \"all\", \"who\": \"anyone\", \"allow\": true } ],"
	    "\"cache\": { \"path\": \"%s/cache\", \"retentions\": { \"30d\": {} } },"
	    "\"dirs\": { \"spool\": \"%s/cache/spool\" },"
	    "\"front\": { \"public_urls\": [\"https://here.example/data\"] %s } }", r->dir, r->dir, front);
	struct config *c = config_parse("test", text, strlen(text), false, &faults);

	if (c == NULL)
		fprintf(stderr, "%s", buf_str(&faults));
	MUST(c != NULL);
	free(text);
	buf_release(&faults);
	return c;
}

/* The child: descriptors where a role expects them, then the role. */
NORETURN static void
be_worker(struct rig *r, int control, int account, int mover)
{
	struct role_env env = { r->config, r->scoreboard, ROLE_WORKER, SLOT, 0 };
	const int want[] = { FD_CONTROL, FD_LISTEN, FD_ACCOUNT, FD_FIRST };
	int have[] = { control, r->listen, account, mover }, log;

	for (size_t i = 0; i < ARRAY_LEN(have); i++)
		have[i] = fcntl(have[i], F_DUPFD_CLOEXEC, 200);
	for (size_t i = 0; i < ARRAY_LEN(have); i++)
		MUST(dup2(have[i], want[i]) == want[i]);
	(void)close_range(FD_FIRST + 1, ~0u, 0);
	for (int fd = 3; fd < FD_FIRST; fd++) {
		if (fd != FD_CONTROL && fd != FD_LISTEN && fd != FD_ACCOUNT)
			(void)close(fd);
	}
	log = open(r->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	MUST(dup2(log, STDERR_FILENO) == STDERR_FILENO);
	fd_close(&log);
	log_init("worker", LOG_INFO);
	stat_init(r->scoreboard, SLOT);
	stat_claim(ROLE_WORKER, 0);
	exit(worker_run(&env));
}

static void
rig_start_on(struct rig *r, const char *front, bool tcp)
{
	int control[2], account[2], mover[2];
	struct pollfd p;
	uint64_t generation;

	memset(r, 0, sizeof(*r));
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/eo-worker-XXXXXX");
	MUST(mkdtemp(r->dir) != NULL);
	(void)snprintf(r->socket, sizeof(r->socket), "%s/s", r->dir);
	(void)snprintf(r->log, sizeof(r->log), "%s/log", r->dir);
	r->config = config_of(r, front);
	r->scoreboard_fd = -1;
	r->scoreboard = scoreboard_create(&r->scoreboard_fd, NULL);
	MUST(r->scoreboard != NULL);
	r->scoreboard->movers = 1;
	r->listen = tcp ? listen_tcp(&r->port) : listen_unix(r->socket);
	MUST(mkdir(r->config->cache_path, 0700) == 0);
	MUST(fd_socketpair(SOCK_SEQPACKET, false, control, NULL) == 0);
	MUST(fd_socketpair(SOCK_SEQPACKET, false, account, NULL) == 0);
	MUST(fd_socketpair(SOCK_SEQPACKET, false, mover, NULL) == 0);
	r->pid = fork();
	MUST(r->pid >= 0);
	if (r->pid == 0)
		be_worker(r, control[1], account[1], mover[1]);
	fd_close(&control[1]);
	fd_close(&account[1]);
	fd_close(&mover[1]);
	r->control = control[0];
	r->account = account[0];
	r->mover = mover[0];
	p = (struct pollfd){ .fd = r->control, .events = POLLIN };
	CHECK_INT(poll(&p, 1, WAIT_MS), 1);
	CHECK_INT(control_read_child(r->control, &generation), CONTROL_READY);
}

static void
rig_start(struct rig *r, const char *front)
{
	rig_start_on(r, front, false);
}

static int
remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

/* Its exit status, or -1 when it does not end. */
static int
rig_wait(struct rig *r)
{
	int status, rc = -1;

	for (int64_t until = clock_mono_ms() + WAIT_MS; clock_mono_ms() < until;) {
		if (waitpid(r->pid, &status, WNOHANG) == r->pid) {
			rc = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
			r->pid = 0;
			break;
		}
		(void)poll(NULL, 0, 2);
	}
	return rc;
}

static void
rig_stop(struct rig *r)
{
	fd_close(&r->control);
	if (r->pid != 0) {
		CHECK_INT(rig_wait(r), 0);
		if (r->pid != 0) {
			(void)kill(r->pid, SIGKILL);
			(void)waitpid(r->pid, NULL, 0);
		}
	}
	fd_close(&r->listen);
	fd_close(&r->account);
	fd_close(&r->mover);
	fd_close(&r->scoreboard_fd);
	scoreboard_detach(r->scoreboard);
	config_free(r->config);
	CHECK_INT(nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* -- the front ------------------------------------------------------------------------ */

static int
front_connect(const struct rig *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = r->port };
	int fd = socket(r->port == 0 ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (r->port != 0) {
		MUST(fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
		return fd;
	}
	memcpy(sa.sun_path, r->socket, strlen(r->socket) + 1);
	MUST(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

static void
request_params(struct buf *b, bool keep, const char *const *params, size_t n, const char *body)
{
	struct buf p = BUF_INIT(1 << 20);

	fcgi_begin(b, 1);
	if (keep)
		b->data[b->len - FCGI_HEADER + 2] = 1;
	for (size_t i = 0; i < n; i++) {
		const char *eq = strchr(params[i], '=');

		fcgi_param(&p, params[i], (size_t)(eq - params[i]), eq + 1, strlen(eq + 1));
	}
	fcgi_record(b, FCGI_PARAMS, 1, p.data, p.len);
	fcgi_record(b, FCGI_PARAMS, 1, NULL, 0);
	if (body != NULL)
		fcgi_record(b, FCGI_STDIN, 1, body, strlen(body));
	fcgi_record(b, FCGI_STDIN, 1, NULL, 0);
	buf_release(&p);
}

static void
request_of(struct buf *b, const char *uri)
{
	const char *const params[] = { "REQUEST_METHOD=GET", NULL };
	char u[256];
	const char *both[2] = { params[0], u };

	(void)snprintf(u, sizeof(u), "REQUEST_URI=%s", uri);
	request_params(b, false, both, 2, NULL);
}

/*
 * Everything until the other end closes.  STDOUT goes to out; true when
 * END_REQUEST came, and nothing behind it.
 */
static bool
front_read(int fd, struct buf *out, int wait_ms)
{
	struct buf in = BUF_INIT(1 << 21);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t until = clock_mono_ms() + wait_ms;
	struct fcgi_record rec;
	bool ended = false;
	ssize_t n = 1;

	while (n > 0 && clock_mono_ms() < until) {
		if (poll(&p, 1, (int)(until - clock_mono_ms())) != 1)
			break;
		n = read(fd, buf_reserve(&in, 65536), 65536);
		in.len += n > 0 ? (size_t)n : 0;
	}
	CHECK(n <= 0);		/* it closed */
	for (size_t at = 0; at < in.len; at += (size_t)n) {
		n = fcgi_parse(in.data + at, in.len - at, &rec);
		CHECK(n > 0 && !ended);
		if (n <= 0)
			break;
		if (rec.type == FCGI_STDOUT)
			(void)buf_add(out, rec.content, rec.content_len);
		ended = rec.type == FCGI_END;
	}
	buf_release(&in);
	return ended;
}

/* Send these bytes, read the answer.  "" when there was none.  Borrowed until the next call. */
static const char *
front_ask(const struct rig *r, const struct buf *request)
{
	static struct buf out;
	int fd = front_connect(r);

	buf_release(&out);
	buf_init(&out, 1 << 21);
	(void)fd_write_all(fd, request->data, request->len);	/* who is refused may see it here, or below */
	if (!front_read(fd, &out, WAIT_MS))
		buf_clear(&out);
	fd_close(&fd);
	return buf_str(&out);
}

static const char *
get(const struct rig *r, const char *uri)
{
	struct buf b = BUF_INIT(65536);
	const char *answer;

	request_of(&b, uri);
	answer = front_ask(r, &b);
	buf_release(&b);
	return answer;
}

static bool
begins(const char *s, const char *with)
{
	bool ok = strncmp(s, with, strlen(with)) == 0;

	if (!ok)
		fprintf(stderr, "got \"%.60s\", want \"%s\"\n", s, with);
	return ok;
}

#define DATA "/data/b/c/i/a"

/* -- what can be slow ------------------------------------------------------------------- */

static void
f3_clients_that_send_one_byte_hold_nobody(void)
{
	struct buf b = BUF_INIT(65536), out = BUF_INIT(65536);
	struct pollfd p;
	struct rig r;
	int64_t start;
	int fd[50];

	rig_start(&r, "");
	request_of(&b, DATA);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = front_connect(&r);
		CHECK_INT(fd_write_all(fd[i], b.data, i), 0);
	}
	start = clock_mono_ms();
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 OK\r\n"));
	CHECK(clock_mono_ms() - start < 900);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		p = (struct pollfd){ .fd = fd[i], .events = POLLIN };
		CHECK_INT(poll(&p, 1, 3000), 1);
		CHECK(!front_read(fd[i], &out, 100));
		fd_close(&fd[i]);
	}
	CHECK(clock_mono_ms() - start >= 900);
	buf_release(&b);
	buf_release(&out);
	rig_stop(&r);
}

static void
a_request_in_pieces_is_served_when_it_is_whole(void)
{
	struct buf b = BUF_INIT(65536), out = BUF_INIT(65536);
	struct rig r;
	int fd;

	rig_start(&r, "");
	request_of(&b, "/data/-/health");
	fd = front_connect(&r);
	for (size_t i = 0; i < b.len; i++)
		CHECK_INT(fd_write_all(fd, b.data + i, 1), 0);
	CHECK(front_read(fd, &out, WAIT_MS));
	CHECK(begins(buf_str(&out), "Status: 200 OK\r\n"));
	fd_close(&fd);
	buf_release(&b);
	buf_release(&out);
	rig_stop(&r);
}

static void
f3_more_idle_clients_than_there_is_room_for_are_dropped_oldest_first(void)
{
	struct buf out = BUF_INIT(1024);
	struct rig r;
	struct rlimit l;
	int fd[1000];

	MUST(getrlimit(RLIMIT_NOFILE, &l) == 0);
	l.rlim_cur = l.rlim_max < 4096 ? l.rlim_max : 4096;
	MUST(setrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur > ARRAY_LEN(fd) + 100);
	rig_start(&r, "");
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = front_connect(&r);
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 OK\r\n"));
	CHECK(!front_read(fd[0], &out, 900));
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		fd_close(&fd[i]);
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 OK\r\n"));
	buf_release(&out);
	rig_stop(&r);
}

/* -- what is malformed ------------------------------------------------------------------- */

/* A record as it is told, with padding or another version: what no writer of ours makes. */
static void
odd_record(struct buf *b, uint8_t version, uint8_t type, uint16_t id, const void *content, uint16_t n, uint8_t padding)
{
	const uint8_t head[FCGI_HEADER] = { version, type, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(n >> 8), (uint8_t)n, padding, 0 };
	static const char zeros[256];

	(void)buf_add(b, head, sizeof(head));
	(void)buf_add(b, content, n);
	(void)buf_add(b, zeros, padding);
}

/* BEGIN of a role, these parameters as they stand, and the ends. */
static void
odd_request(struct buf *b, uint8_t role, const void *params, size_t n)
{
	const uint8_t begin[8] = { 0, role };

	buf_clear(b);
	odd_record(b, 1, FCGI_BEGIN, 1, begin, sizeof(begin), 0);
	fcgi_record(b, FCGI_PARAMS, 1, params, n);
	if (n > 0)
		fcgi_record(b, FCGI_PARAMS, 1, NULL, 0);
	fcgi_record(b, FCGI_STDIN, 1, NULL, 0);
}

/* It is closed without an answer, and the next request is served. */
static void
is_closed(struct rig *r, const struct buf *b, const char *what)
{
	const char *answer = front_ask(r, b);

	if (answer[0] != '\0')
		fprintf(stderr, "%s: answered \"%.60s\"\n", what, answer);
	CHECK_STR(answer, "");
	CHECK(begins(get(r, "/data/-/health"), "Status: 200 OK\r\n"));
}

static void
f1_nonsense_is_closed_and_the_worker_lives(void)
{
	static const char health[] = "\x0e\x03REQUEST_METHODGET\x0b\x0eREQUEST_URI/data/-/health";
	static const char huge_name[] = "\xff\xff\xff\xff\x01" "a", huge_both[] = "\xff\xff\xff\xff\xff\xff\xff\xff" "a";
	static const uint8_t begin[8] = { 0, 1 };
	static char megabyte[(1 << 20) + 1000];
	struct buf b = BUF_INIT(1 << 22);
	struct rig r;

	rig_start(&r, "");
	(void)buf_add(&b, "GET / HTTP/1.1\r\n\r\n", 18);
	is_closed(&r, &b, "HTTP");
	odd_request(&b, 1, huge_name, sizeof(huge_name) - 1);
	is_closed(&r, &b, "a name of 2 GiB");
	odd_request(&b, 1, huge_both, sizeof(huge_both) - 1);
	is_closed(&r, &b, "name and value of 2 GiB");
	memset(megabyte, 'x', sizeof(megabyte));
	memcpy(megabyte, "\x01\x80\x10\x00\x00", 5);
	odd_request(&b, 1, megabyte, 6 + (1 << 20));
	is_closed(&r, &b, "more than 1 MiB of parameters");
	for (uint8_t role = 0; role <= 4; role++) {
		odd_request(&b, role, health, sizeof(health) - 1);
		if (role != 1)
			is_closed(&r, &b, "another role");
	}
	for (uint8_t version = 0; version <= 2; version += 2) {
		buf_clear(&b);
		odd_record(&b, version, FCGI_BEGIN, 1, begin, sizeof(begin), 0);
		is_closed(&r, &b, "another version");
	}
	for (int type = 0; type < 256; type += type == 12 ? 243 : 1) {	/* BEGIN again, the front's own, and unknown ones */
		if (type == FCGI_PARAMS)
			continue;
		buf_clear(&b);
		odd_record(&b, 1, FCGI_BEGIN, 1, begin, sizeof(begin), 0);
		odd_record(&b, 1, (uint8_t)type, 1, health, sizeof(health) - 1, 0);
		is_closed(&r, &b, "a record that is not due");
	}
	odd_request(&b, 1, health, sizeof(health) - 1);
	b.data[2 * FCGI_HEADER + 3]++;		/* the id of the parameters */
	is_closed(&r, &b, "another id");
	buf_clear(&b);
	odd_record(&b, 1, FCGI_BEGIN, 1, begin, sizeof(begin), 0);
	odd_record(&b, 1, FCGI_STDIN, 1, NULL, 0, 0);
	is_closed(&r, &b, "the body before the parameters");
	buf_clear(&b);
	odd_record(&b, 1, FCGI_BEGIN, 1, begin, sizeof(begin), 0);
	odd_record(&b, 1, FCGI_PARAMS, 1, health, sizeof(health) - 1, 0);
	odd_record(&b, 1, FCGI_STDIN, 1, NULL, 0, 0);
	is_closed(&r, &b, "no end of the parameters, and a body");
	buf_clear(&b);
	odd_record(&b, 1, FCGI_BEGIN, 1, begin, sizeof(begin), 0);
	odd_record(&b, 1, FCGI_PARAMS, 1, health, sizeof(health) - 1, 0);
	is_closed(&r, &b, "no end of the parameters, and then nothing");	/* after its second */
	buf_release(&b);
	rig_stop(&r);
}

/* Within the protocol, though nobody sends it. */
static void
f1_the_largest_padding_and_content_are_read(void)
{
	static const char health[] = "\x0e\x03REQUEST_METHODGET\x0b\x0eREQUEST_URI/data/-/health";
	static const uint8_t begin[8] = { 0, 1 };
	static char most[65535];
	struct buf b = BUF_INIT(1 << 20);
	struct rig r;
	size_t rest;

	rig_start(&r, "");
	for (int full = 0; full <= 1; full++) {
		memset(most, 'x', sizeof(most));
		memcpy(most, health, sizeof(health) - 1);
		rest = sizeof(most) - (sizeof(health) - 1) - 6;
		memcpy(most + sizeof(health) - 1, "\x01\x80\x00", 3);
		most[sizeof(health) + 2] = (char)(rest >> 8);
		most[sizeof(health) + 3] = (char)rest;
		buf_clear(&b);
		odd_record(&b, 1, FCGI_BEGIN, 1, begin, sizeof(begin), 0);
		odd_record(&b, 1, FCGI_PARAMS, 1, most, full == 1 ? sizeof(most) : sizeof(health) - 1, 255);
		odd_record(&b, 1, FCGI_PARAMS, 1, NULL, 0, 255);
		odd_record(&b, 1, FCGI_STDIN, 1, NULL, 0, 255);
		CHECK(begins(front_ask(&r, &b), "Status: 200 OK\r\n"));
	}
	/* behind BEGIN it is not: libfcgi would read on in it */
	buf_clear(&b);
	odd_record(&b, 1, FCGI_BEGIN, 1, begin, sizeof(begin), 255);
	odd_record(&b, 1, FCGI_PARAMS, 1, health, sizeof(health) - 1, 0);
	odd_record(&b, 1, FCGI_PARAMS, 1, NULL, 0, 0);
	odd_record(&b, 1, FCGI_STDIN, 1, NULL, 0, 0);
	is_closed(&r, &b, "padding behind BEGIN");
	buf_release(&b);
	rig_stop(&r);
}

static void
f2_a_parameter_with_a_nul_is_400(void)
{
	struct buf b = BUF_INIT(65536), p = BUF_INIT(4096);
	struct rig r;

	rig_start(&r, "");
	fcgi_begin(&b, 1);
	fcgi_param(&p, "REQUEST_METHOD", 14, "GET", 3);
	fcgi_param(&p, "REQUEST_URI", 11, "/data/-/health\0/x", 17);
	fcgi_record(&b, FCGI_PARAMS, 1, p.data, p.len);
	fcgi_record(&b, FCGI_PARAMS, 1, NULL, 0);
	fcgi_record(&b, FCGI_STDIN, 1, NULL, 0);
	CHECK(begins(front_ask(&r, &b), "Status: 400 "));
	buf_release(&b);
	buf_release(&p);
	rig_stop(&r);
}

static void
d6_bodies_are_drained_within_a_limit(void)
{
	static const char *const params[] = { "REQUEST_METHOD=GET", "REQUEST_URI=/data/-/health",
	    "CONTENT_LENGTH=1099511627776" };
	struct buf b = BUF_INIT(1 << 20), body = BUF_INIT(1 << 20);
	struct rig r;

	rig_start(&r, "");
	request_params(&b, false, params, ARRAY_LEN(params), "small");
	CHECK(begins(front_ask(&r, &b), "Status: 200 "));
	buf_clear(&b);
	for (int i = 0; i < 30000; i++)
		(void)buf_adds(&body, "bod");
	request_params(&b, false, params, ARRAY_LEN(params), buf_str(&body));
	CHECK(begins(front_ask(&r, &b), "Status: 413 "));
	buf_release(&b);
	buf_release(&body);
	rig_stop(&r);
}

static void
a_connection_is_closed_even_if_the_front_wants_to_keep_it(void)
{
	static const char *const params[] = { "REQUEST_METHOD=GET", "REQUEST_URI=/data/-/health" };
	struct buf b = BUF_INIT(65536);
	struct rig r;

	rig_start(&r, "");
	request_params(&b, true, params, ARRAY_LEN(params), NULL);
	CHECK(begins(front_ask(&r, &b), "Status: 200 "));
	CHECK(begins(front_ask(&r, &b), "Status: 200 "));
	buf_release(&b);
	rig_stop(&r);
}

static void
a8_peers_that_are_not_named_are_refused(void)
{
	char front[64];
	struct rig r;

	(void)snprintf(front, sizeof(front), ", \"peers\": [\"%u\"]", (unsigned)geteuid() + 1);
	rig_start(&r, front);
	CHECK_STR(get(&r, "/data/-/health"), "");
	rig_stop(&r);
	(void)snprintf(front, sizeof(front), ", \"peers\": [\"%u\"]", (unsigned)geteuid());
	rig_start(&r, front);
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 "));
	rig_stop(&r);
}

static void
a8_over_tcp_only_named_addresses_or_loopback_come_in(void)
{
	struct rig r;

	rig_start_on(&r, "", true);
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 "));
	rig_stop(&r);
	rig_start_on(&r, ", \"peers\": [\"127.0.0.0/8\"]", true);
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 "));
	rig_stop(&r);
	rig_start_on(&r, ", \"peers\": [\"10.0.0.0/8\"]", true);
	CHECK_STR(get(&r, "/data/-/health"), "");
	rig_stop(&r);
}

/* -- the hand-over ---------------------------------------------------------------------------- */

/* Receive one; fds as they came. */
static int
mover_take(const struct rig *r, struct handover *h, int fds[2], size_t *nfds)
{
	static char data[HANDOVER_MAX];
	struct pollfd p = { .fd = r->mover, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) != 1)
		return -1;
	n = fd_recv(r->mover, data, sizeof(data), fds, 2, nfds);
	return n > 0 ? handover_get(data, (size_t)n, h) : -1;
}

static int
account_take(const struct rig *r, struct account_settle *s, int wait_ms)
{
	static char data[ACCOUNT_MAX];
	struct pollfd p = { .fd = r->account, .events = POLLIN };
	size_t nfds;
	ssize_t n;

	if (poll(&p, 1, wait_ms) != 1)
		return -1;
	n = fd_recv(r->account, data, sizeof(data), NULL, 0, &nfds);
	return n > 0 ? account_settle_get(data, (size_t)n, s) : -1;
}

static void
a_miss_goes_to_the_mover_with_its_connection(void)
{
	static const char *const params[] = { "REQUEST_METHOD=GET", "REQUEST_URI=" DATA "/x%2Fy/z", "HTTP_RANGE=bytes=5-9",
	    "HTTP_IF_RANGE=\"e\"", "HTTP_ORIGIN=https://map.example" };
	struct buf b = BUF_INIT(65536), out = BUF_INIT(65536), answer = BUF_INIT(4096);
	struct account_settle s;
	struct handover h;
	struct rig r;
	size_t nfds = 0;
	int fd, fds[2] = { -1, -1 };

	rig_start(&r, "");
	fd = front_connect(&r);
	request_params(&b, false, params, ARRAY_LEN(params), "ignored");
	CHECK_INT(fd_write_all(fd, b.data, b.len), 0);
	CHECK_INT(mover_take(&r, &h, fds, &nfds), 0);
	CHECK_INT(nfds, 1);
	CHECK_INT(h.fcgi_id, 1);
	CHECK_STR(h.asset, "a");
	CHECK_STR(h.subpath, "x%2Fy/z");
	CHECK_STR(h.range, "bytes=5-9");
	CHECK_STR(h.cond.if_range, "\"e\"");
	CHECK_STR(h.origin, "https://map.example");
	CHECK_STR(h.rule, "all");
	CHECK_STR(h.hit_key, NULL);
	CHECK(!h.head);
	CHECK_INT(h.charge.reserved[QUOTA_MISSES], 1);
	CHECK(h.deadline_mono_ms > clock_mono_ms());
	/* the worker has gone on, and has not written a byte */
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 "));
	fcgi_record(&answer, FCGI_STDOUT, h.fcgi_id, "Status: 200 OK\r\n\r\nmoved", 23);
	fcgi_end(&answer, h.fcgi_id, 0);
	CHECK_INT(fd_write_all(fds[0], answer.data, answer.len), 0);
	fd_close(&fds[0]);	/* the last end: the front sees it close */
	CHECK(front_read(fd, &out, WAIT_MS));
	CHECK_STR(buf_str(&out), "Status: 200 OK\r\n\r\nmoved");
	/* nor has it settled */
	CHECK_INT(account_take(&r, &s, 50), -1);
	CHECK_INT(r.scoreboard->slot[SLOT].count[COUNT_HANDOVERS_SENT], 1);
	CHECK_INT(r.scoreboard->slot[SLOT].count[COUNT_MISSES], 1);
	fd_close(&fd);
	buf_release(&b);
	buf_release(&out);
	buf_release(&answer);
	rig_stop(&r);
}

static uint64_t
counter(const struct rig *r, enum counter c)
{
	return __atomic_load_n(&r->scoreboard->slot[SLOT].count[c], __ATOMIC_RELAXED);
}

/* From our end of the pair nothing can fill the worker's queue: so let it fill itself, and read nothing. */
static void
fill_queue(const struct rig *r)
{
	char filler[1024] = "";

	for (int i = 0; i < 2000; i++) {
		struct buf b = BUF_INIT(65536);
		int fd = front_connect(r);

		(void)snprintf(filler, sizeof(filler), "REQUEST_URI=" DATA "/%0900d", i);
		request_params(&b, false, (const char *const[]){ "REQUEST_METHOD=GET", filler }, 2, NULL);
		CHECK_INT(fd_write_all(fd, b.data, b.len), 0);
		fd_close(&fd);
		buf_release(&b);
		for (int ms = 0; ms < WAIT_MS; ms++) {
			if (counter(r, COUNT_HANDOVERS_SENT) + counter(r, COUNT_HANDOVERS_REFUSED) > (uint64_t)i)
				break;
			(void)poll(NULL, 0, 1);
		}
		if (counter(r, COUNT_HANDOVERS_REFUSED) > 0)
			break;
	}
}

static void
a_full_queue_is_503_and_gives_the_miss_back(void)
{
	struct account_settle s;
	const char *answer;
	struct rig r;

	rig_start(&r, "");
	fill_queue(&r);
	CHECK(counter(&r, COUNT_HANDOVERS_SENT) > 10);
	answer = get(&r, DATA);
	CHECK(begins(answer, "Status: 503 "));
	CHECK(strstr(answer, "\r\nRetry-After: 1\r\n") != NULL);
	CHECK(strstr(answer, "\"source\":\"cache\"") != NULL);
	CHECK_INT(account_take(&r, &s, WAIT_MS), 0);
	CHECK_INT(s.status, 503);
	CHECK_INT(s.charge.reserved[QUOTA_MISSES], 1);
	CHECK_INT(s.actual[QUOTA_MISSES], 0);
	CHECK_INT(s.actual[QUOTA_REQUESTS], 1);
	rig_stop(&r);
}

/* Eight requests that come in one turn.  How long until all have their answers. */
static int64_t
eight_at_once(const struct rig *r)
{
	struct buf b = BUF_INIT(65536), out = BUF_INIT(65536);
	int64_t start;
	int fd[8];

	request_of(&b, DATA);
	CHECK_INT(kill(r->pid, SIGSTOP), 0);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = front_connect(r);
		CHECK_INT(fd_write_all(fd[i], b.data, b.len), 0);
	}
	start = clock_mono_ms();
	CHECK_INT(kill(r->pid, SIGCONT), 0);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		buf_clear(&out);
		CHECK(front_read(fd[i], &out, WAIT_MS));
		CHECK(begins(buf_str(&out), "Status: 503 "));
		fd_close(&fd[i]);
	}
	buf_release(&b);
	buf_release(&out);
	return clock_mono_ms() - start;
}

static void
a_full_queue_is_waited_for_once_in_a_turn(void)
{
	int64_t best = INT64_MAX, took;
	struct rig r;

	rig_start(&r, "");
	fill_queue(&r);
	/* one after the other they would wait for 400 ms, however fast the machine; it may be a slow one */
	for (int i = 0; i < 20 && best >= 350; i++) {
		took = eight_at_once(&r);
		best = took < best ? took : best;
	}
	CHECK(best < 350);
	rig_stop(&r);
}

/* -- hits and books ------------------------------------------------------------------------------ */

static void
put_object(const struct rig *r, const char *key, const char *text)
{
	struct object_meta m = { .length = strlen(text), .etag = mem_strdup("\"e\""), .last_modified = 784111777,
	    .media_type = mem_strdup("image/tiff") };
	struct store *s = store_open(r->config, true, NULL);
	struct store_fill *f;
	int fd;

	MUST(s != NULL);
	fd = s->ops->spool_open(s, NULL);
	CHECK_INT(fd_pwrite_all(fd, text, strlen(text), 0), 0);
	f = s->ops->fill_begin(s, key, fd, &m, NULL);
	MUST(f != NULL);
	s->ops->fill_finish(f, &m);
	CHECK_INT(s->ops->fill_state(f, NULL), FILL_DONE);
	s->ops->fill_free(f);
	fd_close(&fd);
	s->ops->free(s);
	object_meta_release(&m);
}

static void
a_hit_is_the_fronts_and_is_settled(void)
{
	struct account_settle s;
	const char *answer;
	struct rig r;

	rig_start(&r, "");
	put_object(&r, "30d/b/c/i/a", "0123456789");
	answer = get(&r, DATA);
	CHECK(begins(answer, "Status: 200 OK\r\n"));
	CHECK(strstr(answer, "\r\nX-Accel-Redirect: /_eodata_cache/30d/b/c/i/a%40data\r\n") != NULL);
	CHECK_INT(account_take(&r, &s, 0), 0);		/* before the answer: a death loses no charge */
	CHECK_STR(s.cache, "hit");
	CHECK_STR(s.asset, "a");
	CHECK_STR(s.rule, "all");
	CHECK(s.estimated);
	CHECK_INT(s.status, 200);
	CHECK_INT(s.actual[QUOTA_BYTES], 10);
	CHECK_INT(s.actual[QUOTA_REQUESTS], 1);
	CHECK_INT(r.scoreboard->slot[SLOT].count[COUNT_HITS], 1);
	rig_stop(&r);
}

/* The worker can open so many more. */
static void
leave_descriptors(const struct rig *r, unsigned n)
{
	struct rlimit limit;
	char path[64];

	MUST(prlimit(r->pid, RLIMIT_NOFILE, NULL, &limit) == 0);
	limit.rlim_cur = 0;
	for (n++; n > 0; n -= access(path, F_OK) == -1)
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)r->pid, (int)limit.rlim_cur++);
	limit.rlim_cur--;
	MUST(prlimit(r->pid, RLIMIT_NOFILE, &limit, NULL) == 0);
}

/* A connection and no object: the mover, which may have more, looks for itself. */
static void
f9_a_hit_that_cannot_be_opened_is_a_miss(void)
{
	struct buf b = BUF_INIT(65536);
	struct handover h;
	struct rig r;
	size_t nfds = 0;
	int fd, fds[2] = { -1, -1 };

	rig_start(&r, "");
	put_object(&r, "30d/b/c/i/a", "0123456789");
	request_of(&b, DATA);
	leave_descriptors(&r, 1);
	fd = front_connect(&r);
	CHECK_INT(fd_write_all(fd, b.data, b.len), 0);
	CHECK_INT(mover_take(&r, &h, fds, &nfds), 0);
	CHECK_INT(nfds, 1);
	CHECK_STR(h.hit_key, NULL);
	CHECK_INT(h.charge.reserved[QUOTA_MISSES], 1);
	fd_close(&fds[0]);
	fd_close(&fd);
	leave_descriptors(&r, 64);
	CHECK(begins(get(&r, DATA), "Status: 200 OK\r\n"));
	CHECK_INT(counter(&r, COUNT_HITS), 1);
	buf_release(&b);
	rig_stop(&r);
}

static void
a_hit_that_is_streamed_takes_its_file_along(void)
{
	struct buf b = BUF_INIT(65536);
	char text[16] = "";
	struct handover h;
	struct rig r;
	size_t nfds = 0;
	int fd, fds[2] = { -1, -1 };

	rig_start(&r, ", \"hits\": \"stream\"");
	put_object(&r, "30d/b/c/i/a", "0123456789");
	request_of(&b, DATA);
	fd = front_connect(&r);
	CHECK_INT(fd_write_all(fd, b.data, b.len), 0);
	CHECK_INT(mover_take(&r, &h, fds, &nfds), 0);
	CHECK_INT(nfds, 2);
	CHECK_STR(h.hit_key, "30d/b/c/i/a");
	CHECK_INT(h.charge.reserved[QUOTA_BYTES], 10);
	CHECK_INT(pread(fds[1], text, sizeof(text) - 1, 0), 10);
	CHECK_STR(text, "0123456789");
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	fd_close(&fd);
	buf_release(&b);
	rig_stop(&r);
}

static void
settlements_outlast_an_accountant_that_does_not_read(void)
{
	enum { N = 600 };
	struct account_settle s;
	struct rig r;
	int64_t start;
	int got = 0;

	rig_start(&r, "");
	put_object(&r, "30d/b/c/i/a", "0123456789");
	start = clock_mono_ms();
	for (int i = 0; i < N; i++)
		CHECK(begins(get(&r, DATA), "Status: 200 "));
	CHECK(clock_mono_ms() - start < 8000);	/* the socket is full; only one of them has waited, and a second */
	CHECK(__atomic_load_n(&r.scoreboard->slot[SLOT].gauge[GAUGE_CHARGES_QUEUED], __ATOMIC_RELAXED) > 0);
	CHECK_INT(control_send(r.control, CONTROL_DRAIN, -1), 0);
	while (got < N && account_take(&r, &s, WAIT_MS) == 0)
		got++;
	CHECK_INT(got, N);
	CHECK_INT(rig_wait(&r), 0);
	rig_stop(&r);
}

/* As many as may wait, and no connection more; each of them reaches the accountant. */
static void
with_too_many_charges_nothing_new_is_taken_until_some_are(void)
{
	enum { MANY = 20000 };
	struct bound_use *u;
	struct account_settle s;
	struct buf b = BUF_INIT(65536), out = BUF_INIT(1 << 21);
	struct pollfd p = { .fd = -1, .events = POLLIN };
	struct rig r;
	int asked = 0, got = 0;

	rig_start(&r, "");
	put_object(&r, "30d/b/c/i/a", "0123456789");
	u = &r.scoreboard->slot[SLOT].bound[BOUND_CHARGES];
	while (asked < MANY && __atomic_load_n(&u->reached, __ATOMIC_RELAXED) == 0) {
		CHECK(begins(get(&r, DATA), "Status: 200 "));
		asked++;
	}
	CHECK(asked > 4096 && asked < MANY);
	CHECK(u->max == 4096 && u->used >= u->max);
	request_of(&b, DATA);
	p.fd = front_connect(&r);
	CHECK_INT(fd_write_all(p.fd, b.data, b.len), 0);
	CHECK_INT(poll(&p, 1, 300), 0);		/* it waits in the queue of connections */
	while (got < asked && account_take(&r, &s, WAIT_MS) == 0)
		got++;
	CHECK_INT(got, asked);
	CHECK(front_read(p.fd, &out, WAIT_MS) && begins(buf_str(&out), "Status: 200 "));
	fd_close(&p.fd);
	buf_release(&b);
	buf_release(&out);
	CHECK_INT(account_take(&r, &s, WAIT_MS), 0);
	rig_stop(&r);
}

/* A path whose encoded form is longer than a message to the accountant. */
static void
a_very_long_subpath_is_settled_without_it(void)
{
	struct buf uri = BUF_INIT(16384), b = BUF_INIT(65536);
	struct account_settle s;
	const char *params[2] = { "REQUEST_METHOD=GET", NULL };
	struct handover h;
	struct rig r;
	size_t nfds = 0;
	int fd, fds[2] = { -1, -1 };

	rig_start(&r, "");
	(void)buf_adds(&uri, "REQUEST_URI=" DATA);
	for (int i = 0; i < 9; i++)
		(void)buf_addf(&uri, "/%0800d", 0);
	for (char *p = uri.data + strlen("REQUEST_URI=" DATA); *p != '\0'; p++)
		*p = *p == '0' ? '!' : *p;	/* three bytes each when encoded */
	params[1] = buf_str(&uri);
	request_params(&b, false, params, 2, NULL);
	fd = front_connect(&r);
	CHECK_INT(fd_write_all(fd, b.data, b.len), 0);
	CHECK_INT(mover_take(&r, &h, fds, &nfds), 0);
	CHECK_INT(strlen(h.subpath), 9 * 800 * 3 + 8);
	fd_close(&fds[0]);
	fd_close(&fd);
	/* with no mover left it is refused, and settled here */
	fd_close(&r.mover);
	CHECK(begins(front_ask(&r, &b), "Status: 503 "));
	CHECK_INT(account_take(&r, &s, WAIT_MS), 0);
	CHECK_STR(s.asset, "a");
	CHECK_STR(s.subpath, NULL);
	buf_release(&uri);
	buf_release(&b);
	rig_stop(&r);
}

/* -- life --------------------------------------------------------------------------------------------- */

static int
count_fds(pid_t pid)
{
	char path[64];
	DIR *dir;
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}

/* A connection is closed a moment after the front has seen the end of its answer. */
static void
wait_for_jobs(const struct rig *r, uint64_t n)
{
	for (int ms = 0; ms < WAIT_MS && __atomic_load_n(&r->scoreboard->slot[SLOT].jobs, __ATOMIC_ACQUIRE) < n; ms++)
		(void)poll(NULL, 0, 1);
}

static void
f7_descriptors_do_not_grow(void)
{
	struct account_settle s;
	struct handover h;
	struct rig r;
	size_t nfds;
	int before, fds[2];

	rig_start(&r, "");
	put_object(&r, "30d/b/c/i/hit", "0123456789");
	CHECK(begins(get(&r, "/data/b/c/i/hit"), "Status: 200 "));	/* its folder stays open for a while */
	CHECK_INT(account_take(&r, &s, WAIT_MS), 0);
	wait_for_jobs(&r, 1);
	before = count_fds(r.pid);
	for (int i = 0; i < 200; i++) {
		struct buf b = BUF_INIT(65536);
		int fd = front_connect(&r);

		request_of(&b, DATA);
		CHECK_INT(fd_write_all(fd, b.data, b.len), 0);
		CHECK_INT(mover_take(&r, &h, fds, &nfds), 0);
		fd_close(&fds[0]);
		fd_close(&fd);
		buf_release(&b);
		CHECK(begins(get(&r, "/data/b/c/i/hit"), "Status: 200 "));
		CHECK_INT(account_take(&r, &s, WAIT_MS), 0);
		CHECK(begins(get(&r, "/data/x"), "Status: 404 "));
	}
	wait_for_jobs(&r, 601);
	CHECK_INT(count_fds(r.pid), before);
	rig_stop(&r);
}

static void
drain_ends_it_and_new_connections_are_left_to_others(void)
{
	struct rig r;
	struct pollfd p;
	int fd;

	rig_start(&r, "");
	CHECK_INT(control_send(r.control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(rig_wait(&r), 0);
	fd = front_connect(&r);
	p = (struct pollfd){ .fd = r.listen, .events = POLLIN };
	CHECK_INT(poll(&p, 1, 0), 1);		/* still in the queue */
	fd_close(&fd);
	rig_stop(&r);
}

static void
drain_waits_for_a_request_that_has_begun(void)
{
	struct buf b = BUF_INIT(65536), out = BUF_INIT(65536);
	struct rig r;
	int fd;

	rig_start(&r, "");
	request_of(&b, "/data/-/health");
	fd = front_connect(&r);
	CHECK_INT(fd_write_all(fd, b.data, b.len - 1), 0);
	CHECK(begins(get(&r, "/data/-/health"), "Status: 200 "));	/* so the first one was accepted before */
	CHECK_INT(control_send(r.control, CONTROL_DRAIN, -1), 0);
	for (int i = 0; i < 2000 && __atomic_load_n(&r.scoreboard->slot[SLOT].state, __ATOMIC_RELAXED) != SLOT_DRAINING; i++)
		(void)poll(NULL, 0, 1);
	CHECK_INT(fd_write_all(fd, b.data + b.len - 1, 1), 0);
	CHECK(front_read(fd, &out, WAIT_MS));
	CHECK(begins(buf_str(&out), "Status: 200 "));
	CHECK_INT(rig_wait(&r), 0);
	fd_close(&fd);
	buf_release(&b);
	buf_release(&out);
	rig_stop(&r);
}

static void
it_ends_when_the_master_is_gone(void)
{
	struct rig r;

	rig_start(&r, "");
	fd_close(&r.control);
	CHECK_INT(rig_wait(&r), 0);
	rig_stop(&r);
}

static void
h1_one_escaped_log_line_per_decision(void)
{
	static const char *const params[] = { "REQUEST_METHOD=GET\nX", "REQUEST_URI=/data/x\x1b[31m\n2026 error?secret=1",
	    "EODATA_USER=eve\nroot" };
	struct buf b = BUF_INIT(65536), log = BUF_INIT(65536);
	const char *line;
	struct rig r;
	size_t lines = 0;

	rig_start(&r, "");
	request_params(&b, false, params, ARRAY_LEN(params), NULL);
	CHECK(begins(front_ask(&r, &b), "Status: 400 "));
	fd_close(&r.control);
	CHECK_INT(rig_wait(&r), 0);
	CHECK_INT(fd_read_file(r.log, &log, NULL), 0);
	for (line = buf_str(&log); (line = strchr(line, '\n')) != NULL; line++)
		lines++;
	CHECK_INT(lines, 1);
	CHECK(strstr(buf_str(&log), "event=decision") != NULL);
	CHECK(strstr(buf_str(&log), "path=/data/x\\x1b[31m\\x0a2026\\x20error\n") != NULL);
	CHECK(strstr(buf_str(&log), "secret") == NULL);
	buf_release(&b);
	buf_release(&log);
	rig_stop(&r);
}

/* As much as a front can hand on, of bytes that are no text: one line, of a length that a log takes. */
static void
h1_a_log_line_has_a_length(void)
{
	enum { HUGE = 30000, LINE_MAX_BYTES = 4096 };
	static const char *const names[] = { "REQUEST_URI=/data/", "EODATA_USER=", "HTTP_USER_AGENT=", "REQUEST_METHOD=" };
	static char value[ARRAY_LEN(names)][HUGE + 64];
	const char *params[ARRAY_LEN(names)];
	struct buf b = BUF_INIT(1 << 20), log = BUF_INIT(1 << 20);
	struct rig r;
	size_t lines = 0;

	rig_start(&r, "");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t at = strlen(names[i]);

		memcpy(value[i], names[i], at);
		for (size_t k = 0; k < (i == 3 ? 3000 : HUGE); k++)
			value[i][at + k] = "\xff\n\x1b \xc3=\"\x80\r"[k % 9];
		params[i] = value[i];
	}
	request_params(&b, false, params, ARRAY_LEN(params), NULL);
	CHECK(begins(front_ask(&r, &b), "Status: 4"));
	fd_close(&r.control);
	CHECK_INT(rig_wait(&r), 0);
	CHECK_INT(fd_read_file(r.log, &log, NULL), 0);
	for (const char *line = buf_str(&log), *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		lines++;
		CHECK(end - line < LINE_MAX_BYTES);
		for (const char *s = line; s < end; s++)
			CHECK(*s >= 0x20 && *s < 0x7f);
	}
	CHECK_INT(lines, 1);
	buf_release(&b);
	buf_release(&log);
	rig_stop(&r);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(f3_clients_that_send_one_byte_hold_nobody),
		UNIT(a_request_in_pieces_is_served_when_it_is_whole),
		UNIT(f3_more_idle_clients_than_there_is_room_for_are_dropped_oldest_first),
		UNIT(f1_nonsense_is_closed_and_the_worker_lives),
		UNIT(f1_the_largest_padding_and_content_are_read),
		UNIT(f2_a_parameter_with_a_nul_is_400),
		UNIT(d6_bodies_are_drained_within_a_limit),
		UNIT(a_connection_is_closed_even_if_the_front_wants_to_keep_it),
		UNIT(a8_peers_that_are_not_named_are_refused),
		UNIT(a8_over_tcp_only_named_addresses_or_loopback_come_in),
		UNIT(a_miss_goes_to_the_mover_with_its_connection),
		UNIT(a_full_queue_is_503_and_gives_the_miss_back),
		UNIT(a_full_queue_is_waited_for_once_in_a_turn),
		UNIT(a_hit_is_the_fronts_and_is_settled),
		UNIT(f9_a_hit_that_cannot_be_opened_is_a_miss),
		UNIT(a_hit_that_is_streamed_takes_its_file_along),
		UNIT(settlements_outlast_an_accountant_that_does_not_read),
		UNIT(with_too_many_charges_nothing_new_is_taken_until_some_are),
		UNIT(a_very_long_subpath_is_settled_without_it),
		UNIT(f7_descriptors_do_not_grow),
		UNIT(drain_ends_it_and_new_connections_are_left_to_others),
		UNIT(drain_waits_for_a_request_that_has_begun),
		UNIT(it_ends_when_the_master_is_gone),
		UNIT(h1_one_escaped_log_line_per_decision),
		UNIT(h1_a_log_line_has_a_length),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return unit_run("worker: process", tests, ARRAY_LEN(tests));
}
