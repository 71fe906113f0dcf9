/* SPDX-License-Identifier: Apache-2.0
 *
 * A FastCGI client for the tests: one request, its STDOUT on ours.
 *
 *	fcgi_client [OPTION...] unix:PATH|HOST:PORT [NAME=VALUE...]
 *
 *	-b TEXT    send TEXT as the body
 *	-B N       send a body of N zero bytes
 *	-1         send one byte, and wait to be dropped
 *	-p N       send only the first N bytes of the request, and wait
 *	-d MS      one byte of the request every MS milliseconds
 *	-e N       close after N bytes of STDOUT
 *	-k         ask to keep the connection (FCGI_KEEP_CONN)
 *	-r HEX     send these bytes in place of a request
 *	-t S       give up after S seconds (10)
 *
 * Exit status: 0 a whole answer; 1 usage or no connection; 3 the connection
 * ended before END_REQUEST (or was dropped, as -1 wants to see); 4 not
 * FastCGI; 5 too late; 0 also when -e closed.
 */
#include "base/base.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "wire/fcgi.h"

enum { REQUEST_ID = 1, REQUEST_MAX = 256 << 20, KEEP_CONN_AT = FCGI_HEADER + 2 };
enum { EXIT_WHOLE = 0, EXIT_USAGE = 1, EXIT_ENDED = 3, EXIT_NOT_FCGI = 4, EXIT_LATE = 5 };

struct options {
	const char *target, *body, *raw;
	size_t zeros, prefix;
	uint64_t early;
	bool one_byte, has_prefix, has_early, keep;
	int drip_ms;
	int64_t until_ms;
	char **params;
	int n_params;
};

static int
connect_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -1;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		fd_close(&fd);
	return fd;
}

static int
connect_tcp(const char *target)
{
	static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	char host[256];
	const char *colon = strrchr(target, ':');
	struct addrinfo *list = NULL;
	int fd = -1;

	if (colon == NULL || (size_t)(colon - target) >= sizeof(host))
		return -1;
	memcpy(host, target, (size_t)(colon - target));
	host[colon - target] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
		return -1;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd != -1 && connect(fd, list->ai_addr, list->ai_addrlen) != 0)
		fd_close(&fd);
	freeaddrinfo(list);
	return fd;
}

static void
build(const struct options *o, struct buf *out)
{
	struct buf params = BUF_INIT(REQUEST_MAX);
	size_t raw_len = o->raw == NULL ? 0 : strlen(o->raw) / 2, from = out->len;
	const char *eq;
	char *zeros;

	if (o->raw != NULL) {
		(void)text_unhex(o->raw, strlen(o->raw), (uint8_t *)buf_reserve(out, raw_len), raw_len);
		out->len += raw_len;
		return;
	}
	fcgi_begin(out, REQUEST_ID);
	if (o->keep)
		out->data[from + KEEP_CONN_AT] = 1;
	for (int i = 0; i < o->n_params; i++) {
		eq = strchr(o->params[i], '=');
		if (eq != NULL)
			fcgi_param(&params, o->params[i], (size_t)(eq - o->params[i]), eq + 1, strlen(eq + 1));
	}
	if (params.len > 0)
		fcgi_record(out, FCGI_PARAMS, REQUEST_ID, params.data, params.len);
	fcgi_record(out, FCGI_PARAMS, REQUEST_ID, NULL, 0);
	if (o->body != NULL && o->body[0] != '\0')
		fcgi_record(out, FCGI_STDIN, REQUEST_ID, o->body, strlen(o->body));
	if (o->zeros > 0) {
		zeros = mem_alloc(o->zeros);
		fcgi_record(out, FCGI_STDIN, REQUEST_ID, zeros, o->zeros);
		free(zeros);
	}
	fcgi_record(out, FCGI_STDIN, REQUEST_ID, NULL, 0);
	buf_release(&params);
	MUST(buf_ok(out));
}

/* A peer that closed while we send is seen when its answer is read. */
static void
send_all(int fd, const struct options *o, const struct buf *b)
{
	size_t n = b->len;

	if (o->one_byte && n > 1)
		n = 1;
	if (o->has_prefix && n > o->prefix)
		n = o->prefix;
	if (o->drip_ms == 0) {
		(void)fd_write_all(fd, b->data, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (send(fd, b->data + i, 1, MSG_NOSIGNAL) != 1)
			return;
		(void)poll(NULL, 0, o->drip_ms);
	}
}

/* -1 to go on, else the exit status. */
static int
take_records(struct buf *in, const struct options *o, uint64_t *got)
{
	struct fcgi_record r;
	ssize_t n;

	for (;;) {
		n = fcgi_parse(in->data, in->len, &r);
		if (n == 0 || in->len == 0)
			return -1;
		if (n < 0 || r.id != REQUEST_ID)
			return EXIT_NOT_FCGI;
		if (r.type == FCGI_END)
			return EXIT_WHOLE;
		if (r.type == FCGI_STDOUT)
			(void)fwrite(r.content, 1, r.content_len, stdout);
		else if (r.type == FCGI_STDERR)
			(void)fwrite(r.content, 1, r.content_len, stderr);
		else
			return EXIT_NOT_FCGI;
		*got += r.type == FCGI_STDOUT ? r.content_len : 0;
		if (o->has_early && *got >= o->early)
			return EXIT_WHOLE;
		buf_consume(in, (size_t)n);
	}
}

static int
receive(int fd, const struct options *o)
{
	struct buf in = BUF_INIT(1 << 20);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t got = 0;
	int64_t left;
	int status = -1;
	ssize_t n;
	char *to;

	while (status == -1) {
		left = o->until_ms - clock_mono_ms();
		if (left <= 0 || poll(&p, 1, (int)left) != 1) {
			status = EXIT_LATE;
			break;
		}
		to = buf_reserve(&in, 131072);
		MUST(to != NULL);
		n = read(fd, to, 131072);
		if (n <= 0) {
			status = EXIT_ENDED;
			break;
		}
		in.len += (size_t)n;
		status = take_records(&in, o, &got);
	}
	buf_release(&in);
	return status;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	int c, seconds = 10;

	while ((c = getopt(argc, argv, "b:B:1p:d:e:kr:t:")) != -1) {
		switch (c) {
		case 'b': o->body = optarg; break;
		case 'B': o->zeros = strtoul(optarg, NULL, 10); break;
		case '1': o->one_byte = true; break;
		case 'p': o->has_prefix = true; o->prefix = strtoul(optarg, NULL, 10); break;
		case 'd': o->drip_ms = atoi(optarg); break;
		case 'e': o->has_early = true; o->early = strtoull(optarg, NULL, 10); break;
		case 'k': o->keep = true; break;
		case 'r': o->raw = optarg; break;
		case 't': seconds = atoi(optarg); break;
		default: return -1;
		}
	}
	if (optind >= argc)
		return -1;
	o->target = argv[optind];
	o->params = argv + optind + 1;
	o->n_params = argc - optind - 1;
	o->until_ms = clock_mono_ms() + (int64_t)seconds * 1000;
	return 0;
}

int
main(int argc, char **argv)
{
	struct options o = { 0 };
	struct buf request = BUF_INIT(REQUEST_MAX);
	int fd, status;

	if (parse_options(&o, argc, argv) != 0) {
		fprintf(stderr, "usage: fcgi_client [-b TEXT] [-B N] [-1] [-p N] [-d MS] [-e N] [-k] [-r HEX] [-t S] "
		    "unix:PATH|HOST:PORT [NAME=VALUE...]\n");
		return EXIT_USAGE;
	}
	fd = strncmp(o.target, "unix:", 5) == 0 ? connect_unix(o.target + 5) : connect_tcp(o.target);
	if (fd == -1) {
		fprintf(stderr, "cannot connect to %s: %s\n", o.target, strerror(errno));
		return EXIT_USAGE;
	}
	build(&o, &request);
	send_all(fd, &o, &request);
	status = receive(fd, &o);
	buf_release(&request);
	fd_close(&fd);
	return fflush(stdout) == 0 ? status : EXIT_USAGE;
}
