/* SPDX-License-Identifier: Apache-2.0
 *
 * The one place that makes a curl handle, with everything that policy asks
 * of it: protocols, TLS, no proxy, no netrc, no redirects, no decoding, and
 * the address checked where the connection is made.  The mover.
 */
#include "base/base.h"

#include "net/private.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "wire/header.h"
#include "wire/trace.h"

/*
 * Bytes.  1 GiB over loopback without TLS, libcurl 7.88, CPU s of us: 0.54 to
 * 0.70 with 64 KiB, 0.27 to 0.32 with 256, 0.26 to 0.39 with 512.  With TLS
 * (16 KiB at a time) all are alike, 0.8.  Where many fetches run, memory counts
 * more: a thousand with 256 KiB each are 250 MiB.  A PUT of 512 MiB: 0.28 with
 * 64 KiB, 0.24 with 256, 0.23 with 1024.
 */
enum {
	RECEIVE_BUFFER = 256 << 10, RECEIVE_BUFFER_MANY = 64 << 10, MANY = 64,
	SEND_BUFFER = 256 << 10, SEND_BUFFER_MANY = 64 << 10,
};

/* Written by us or by libcurl, or about one connection only. */
static const char *const ours[] = {
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
	"expect", "proxy-connection", "proxy-authorization", "range", "accept-encoding", "cdn-loop", "traceparent",
};

int
handle_header_kind(const char *line)
{
	struct header_line h;
	size_t n = strnlen(line, HEADER_LINE_MAX + 1);

	if (n > HEADER_LINE_MAX || header_line_parse(line, n, &h, NULL) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (header_is(&h, ours[i]))
			return 0;
	}
	/* to libcurl a name without a value means: leave your own header out */
	if (h.value_len == 0)
		return 0;
	return header_is(&h, "user-agent") ? 2 : 1;
}

static bool
add_line(struct fetch *f, const char *line)
{
	struct curl_slist *l = curl_slist_append(f->lines, line);

	if (l != NULL)
		f->lines = l;
	return l != NULL;
}

static bool
add_printed(struct fetch *f, const char *name, const char *value)
{
	char *line = mem_printf("%s: %s", name, value);
	bool ok = add_line(f, line);

	free(line);
	return ok;
}

static bool
add_range(struct fetch *f)
{
	char line[80];

	if (f->range_last == UINT64_MAX)
		(void)snprintf(line, sizeof(line), "Range: bytes=%" PRIu64 "-", f->range_first);
	else
		(void)snprintf(line, sizeof(line), "Range: bytes=%" PRIu64 "-%" PRIu64, f->range_first, f->range_last);
	return add_line(f, line);
}

static bool
make_lines(struct fetch *f)
{
	const char *site = f->net->config->site_id;
	bool ok = add_line(f, "Accept-Encoding: identity") && add_line(f, "Expect:");

	if (!f->asked_agent)
		ok = ok && add_line(f, "User-Agent: eodata-proxy/" PACKAGE_VERSION);
	if (!f->trusted && site != NULL && site[0] != '\0')
		ok = ok && add_printed(f, "CDN-Loop", site);
	if (f->trace != NULL)
		ok = ok && add_printed(f, "traceparent", f->trace);
	if (f->has_range)
		ok = ok && add_range(f);
	for (size_t i = 0; i < f->headers.n; i++)
		ok = ok && add_line(f, f->headers.v[i]);
	if (url_same_origin(f->first, f->url)) {
		for (size_t i = 0; i < f->credentials.n; i++)
			ok = ok && add_line(f, f->credentials.v[i]);
	}
	return ok;
}

static bool
text_address_allowed(const struct config *c, const char *ip)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, ip, &in.sin_addr) == 1)
		return address_allowed(c, (const struct sockaddr *)&in);
	if (inet_pton(AF_INET6, ip, &in6.sin6_addr) == 1)
		return address_allowed(c, (const struct sockaddr *)&in6);
	return false;
}

/* The address that the name has led to, at the moment of connecting (E1, E3). */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct fetch *f = arg;
	int fd;

	if (purpose != CURLSOCKTYPE_IPCXN || (!f->trusted && !address_allowed(f->net->config, &a->addr))) {
		f->address_refused = true;
		return CURL_SOCKET_BAD;
	}
	f->address_tried = true;
	fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	f->opened[f->n_opened++ % OPENED_MAX] = fd;
	return fd;
}

/* arg is the net: connections outlive fetches. */
static int
on_close_socket(void *arg, curl_socket_t fd)
{
	struct net *n = arg;

	kept_remove(&n->kept, fd);
	return close(fd);
}

static bool
is_local_port(int fd, int port)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, &a.sa, &len) != 0)
		return false;
	if (a.sa.sa_family == AF_INET)
		return ntohs(a.in.sin_port) == port;
	return a.sa.sa_family == AF_INET6 && ntohs(a.in6.sin6_port) == port;
}

/* The hop has a new connection: which of the sockets that it opened? */
static void
remember(struct fetch *f, const struct kept_name *name)
{
	for (unsigned i = 0; i < OPENED_MAX && i < f->n_opened; i++) {
		if (is_local_port(f->opened[i], name->local_port)) {
			kept_add(&f->net->kept, f->opened[i], name);
			return;
		}
	}
}

/*
 * Has the provider sent something, or closed, since the last answer ended?  It
 * would be taken for the next answer: libcurl 7.88 does not look.
 */
static bool
talks_unasked(const struct fetch *f, const struct kept_name *name)
{
	int fd = kept_find(&f->net->kept, name);
	char c;

	return fd < 0 || recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* Before each request, also on a connection that was kept: the configuration may have changed since. */
static int
on_before_request(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct fetch *f = arg;
	struct kept_name name = { .port = port, .local_port = local_port };

	if (!f->trusted && !text_address_allowed(f->net->config, ip)) {
		f->address_refused = true;
		f->address_tried = false;
		return CURL_PREREQFUNC_ABORT;
	}
	(void)snprintf(name.ip, sizeof(name.ip), "%s", ip);
	(void)snprintf(name.local_ip, sizeof(name.local_ip), "%s", local_ip);
	if (f->n_opened > 0) {
		remember(f, &name);
	} else if (talks_unasked(f, &name)) {
		f->stale = true;
		return CURL_PREREQFUNC_ABORT;
	}
	return CURL_PREREQFUNC_OK;
}

/* libcurl says only here that a body was longer than announced. */
static int
on_debug(CURL *easy UNUSED, curl_infotype type, char *data, size_t n, void *arg)
{
	struct fetch *f = arg;

	if (type == CURLINFO_TEXT && n >= 12 && strncasecmp(data, "excess found", 12) == 0)
		f->response.r.excess = true;
	return 0;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(h, (option), (value)) == CURLE_OK)

static bool
set_transport(CURL *h, struct fetch *f)
{
	const struct config *c = f->net->config;
	const char *protocols = c->allow_http || f->trusted ? "http,https" : "https";
	bool ok = true;

	SET(CURLOPT_URL, f->url->text);
	SET(CURLOPT_FRESH_CONNECT, f->fresh ? 1L : 0L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, protocols);
	SET(CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");		/* also keeps the environment out (A11) */
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);	/* else a DNS that hangs blocks us at the end of the fetch */
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_BUFFERSIZE, (long)(f->net->n_fetches > MANY ? RECEIVE_BUFFER_MANY : RECEIVE_BUFFER));
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, f);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, f->net);
	SET(CURLOPT_PREREQFUNCTION, on_before_request);
	SET(CURLOPT_PREREQDATA, f);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, f->tls_verify ? 1L : 0L);
	SET(CURLOPT_SSL_VERIFYHOST, f->tls_verify ? 2L : 0L);
	if (c->ca_file.n > 0) {
		SET(CURLOPT_CAINFO, c->ca_file.v[0]);
		SET(CURLOPT_CAPATH, NULL);
	}
	return ok;
}

static bool
set_method(CURL *h, struct fetch *f)
{
	bool ok = true;

	if (strcmp(f->method, "POST") == 0) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(f->body));
		SET(CURLOPT_POSTFIELDS, f->body);	/* ours, and it outlives the handle */
	} else if (strcmp(f->method, "PUT") == 0) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)f->upload_length);	/* never chunked */
		SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)(f->net->n_fetches > MANY ? SEND_BUFFER_MANY : SEND_BUFFER));
		SET(CURLOPT_READFUNCTION, hop_on_read);
		SET(CURLOPT_READDATA, f);
		SET(CURLOPT_SEEKFUNCTION, hop_on_seek);
		SET(CURLOPT_SEEKDATA, f);
	} else if (strcmp(f->method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
	} else {
		SET(CURLOPT_HTTPGET, 1L);
		SET(CURLOPT_CUSTOMREQUEST, strcmp(f->method, "GET") == 0 ? NULL : f->method);
	}
	return ok;
}

static bool
set_request(CURL *h, struct fetch *f)
{
	bool ok = set_method(h, f);

	SET(CURLOPT_HTTPHEADER, f->lines);
	SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
	if (f->digest_user != NULL && url_same_origin(f->first, f->url)) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_DIGEST);
		SET(CURLOPT_USERPWD, f->digest_user);
		/* no connection is shared between users (E6) */
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return ok;
}

static bool
set_callbacks(CURL *h, struct fetch *f)
{
	bool ok = true;

	SET(CURLOPT_PRIVATE, f);
	f->curl_says[0] = '\0';
	SET(CURLOPT_ERRORBUFFER, f->curl_says);
	SET(CURLOPT_HEADERFUNCTION, hop_on_header);
	SET(CURLOPT_HEADERDATA, f);
	SET(CURLOPT_WRITEFUNCTION, hop_on_body);
	SET(CURLOPT_WRITEDATA, f);
	SET(CURLOPT_VERBOSE, 1L);
	SET(CURLOPT_DEBUGFUNCTION, on_debug);
	SET(CURLOPT_DEBUGDATA, f);
	return ok;
}

int
handle_make(struct fetch *f, struct err *e)
{
	MUST(f->easy == NULL && f->lines == NULL);
	f->easy = curl_easy_init();
	if (f->easy == NULL)
		return err_set(e, "cannot make a handle");
	if (!make_lines(f) || !set_transport(f->easy, f) || !set_request(f->easy, f) || !set_callbacks(f->easy, f)) {
		handle_free(f);
		return err_set(e, "libcurl does not take an option");
	}
	return 0;
}

static void
wipe(struct curl_slist *l)
{
	for (; l != NULL; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
}

void
handle_free(struct fetch *f)
{
	curl_easy_cleanup(f->easy);
	f->easy = NULL;
	wipe(f->lines);
	curl_slist_free_all(f->lines);
	f->lines = NULL;
}
