/* SPDX-License-Identifier: Apache-2.0
 *
 * F9, memory (see torture.h): what leaves for providers, and what they answer.
 * The provider is a process of its own, which has all the memory that it wants.
 */
#include "torture.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "bucket/client.h"
#include "net/url.h"
#include "net_case.h"

/* ---- the provider ------------------------------------------------------------ */

#define FACTS "Content-Type: image/tiff; application=geotiff; profile=cloud-optimized\r\n"				\
	"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Disposition: attachment; filename=\"a.tif\"\r\n"	\
	"Repr-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:\r\nConnection: close\r\n"

static const struct { const char *path, *wants[6], *answer; } routes[] = {
	{ "GET /a ", { NULL }, "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n" FACTS "Content-Length: 5\r\n\r\nhello" },
	{ "GET /coded ", { NULL }, "HTTP/1.1 200 OK\r\nETag: \"c\"\r\nContent-Encoding: gzip\r\n" FACTS "Content-Length: 5\r\n\r\nhello" },
	{ "GET /away ", { NULL }, "HTTP/1.1 302 Go\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /b?x=y\r\n\r\n" },
	{ "GET /b?x=y ", { "X-Api-Key: k\r\n", "Authorization: Bearer b\r\n", "If-Range: \"r\"\r\n", "Range: bytes=0-3\r\n", "traceparent: 00-0a" },
	    "HTTP/1.1 206 Part\r\nETag: \"r\"\r\n" FACTS "Content-Length: 4\r\nContent-Range: bytes 0-3/9\r\n\r\npart" },
	{ "PUT /data/p/a?", { "x-amz-meta-a: b\r\n", "If-None-Match: *\r\n", "X-Amz-Security-Token=t", "partNumber=1",
	    "\r\n\r\n<body/>" },
	    "HTTP/1.1 412 No\r\nConnection: close\r\nContent-Length: 76\r\n\r\n"
	    "<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>" },
	{ "PUT /up ", { "Content-Length: 15\r\n", "x-amz-meta-a: b\r\n", "\r\n\r\nwhat is sent up" },
	    "HTTP/1.1 200 OK\r\nETag: \"u\"\r\nx-amz-meta-a: b\r\nx-amz-bucket-region: eu-1\r\n" FACTS "Content-Length: 0\r\n\r\n" },
};

static void
serve_one(int fd)
{
	char head[8192] = "", *end = NULL, *length;
	size_t n = 0, want = sizeof(head) - 1;
	ssize_t got = 1;

	while (got > 0 && n < want) {
		got = read(fd, head + n, want - n);
		n += got > 0 ? (size_t)got : 0;
		head[n] = '\0';
		if (end == NULL)
			end = strstr(head, "\r\n\r\n");
		if (end == NULL)
			continue;
		length = strstr(head, "\r\nContent-Length: ");
		want = (size_t)(end - head) + 4 + (length == NULL ? 0 : (size_t)atoi(length + 18));
	}
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		const char *answer = routes[i].answer;

		if (strncmp(head, routes[i].path, strlen(routes[i].path)) != 0)
			continue;
		for (size_t k = 0; routes[i].wants[k] != NULL; k++) {
			if (strstr(head, routes[i].wants[k]) == NULL)	/* asked for in part: no answer is right */
				answer = "HTTP/1.1 299 Half\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
		}
		(void)fd_write_all(fd, answer, strlen(answer));
	}
	(void)close(fd);
}

static pid_t
provider_start(uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	MUST(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 64) == 0);
	MUST(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	*ret_port = ntohs(sa.sin_port);
	pid = fork();
	MUST(pid != -1);
	for (;;) {
		if (pid != 0)
			break;
		serve_one(accept(fd, NULL, NULL));
	}
	(void)close(fd);
	return pid;
}

/* ---- what is tortured ---------------------------------------------------------- */

static uint16_t port;

/* What a test notes needs memory, too, and gets it. */
static int
on_response(void *arg, const struct fetch_response *r)
{
	bool was = torture_pause();
	int rc = got_ops.on_response(arg, r);

	torture_go_on(was);
	return rc;
}

static int
on_data(void *arg, const char *data, size_t n)
{
	bool was = torture_pause();
	int rc = got_ops.on_data(arg, data, n);

	torture_go_on(was);
	return rc;
}

static void
on_done(void *arg, enum fetch_error x, const char *reason)
{
	bool was = torture_pause();

	got_ops.on_done(arg, x, reason);
	torture_go_on(was);
}

static const struct fetch_ops ops = { on_response, on_data, on_done };

/* One fetch: whole, with every fact of it, or told to have failed. */
static int
fetch(struct fetch_request *r, const char *path, const char *body, const char *etag, const char *coding)
{
	bool was = torture_pause();
	struct err e = ERR_NONE;
	int64_t since = loop_real_us();
	int rc = WRONG;
	char text[200];
	struct got g;

	(void)snprintf(text, sizeof(text), "http://127.0.0.1:%u%s", port, path);
	r->id = "r1";
	r->url = text;
	loop_start(&conf);
	got_init(&g);
	torture_go_on(was);
	g.f = fetch_start(loop_net(), r, &ops, &g, &e);
	while (g.f != NULL && g.ends == 0 && !loop_hangs(since))
		loop_turn();
	was = torture_pause();
	if (g.ends == 0)
		rc = e.text[0] != '\0' ? REFUSED : WRONG;
	else if (g.error != FETCH_OK)
		rc = g.reason[0] != '\0' ? REFUSED : WRONG;
	else
		rc = g.responses == 1 && strcmp(buf_str(&g.body), body) == 0 && g.r.has_length && g.r.length == strlen(body) &&
		    g.r.etag != NULL && strcmp(g.r.etag, etag) == 0 && g.r.last_modified == 784111777 &&
		    g.r.media_type != NULL && strcmp(g.r.media_type, "image/tiff; application=geotiff; profile=cloud-optimized") == 0 &&
		    g.r.disposition != NULL && strcmp(g.r.disposition, "attachment; filename=\"a.tif\"; filename*=UTF-8''a.tif") == 0 &&
		    (g.r.content_encoding != NULL) == (coding != NULL) &&
		    strcmp(buf_str(&g.amz), r->want_amz ? "x-amz-meta-a=b\nx-amz-bucket-region=eu-1\n" : "") == 0 &&
		    (g.r.bucket_region != NULL) == r->want_amz &&
		    (g.r.checksum.algo != DIGEST_NONE) == (g.r.status == 200 && coding == NULL) ? WHOLE : WRONG;
	torture_go_on(was);
	return rc;
}

static int
fetch_one(void)
{
	struct fetch_request r = { .tls_verify = true };

	return fetch(&r, "/a", "hello", "\"e\"", NULL);
}

static int
fetch_coded(void)
{
	struct fetch_request r = { .tls_verify = true };

	return fetch(&r, "/coded", "hello", "\"c\"", "gzip");
}

/* Over a redirect, with credentials, a plain header and a range: all of them are asked with, or it is not asked. */
static int
fetch_more(void)
{
	static const char *const credentials[] = { "X-Api-Key: k", "Authorization: Bearer b" };
	static char plain[] = "If-Range: \"r\"";
	static char *headers[] = { plain };
	struct fetch_request r = {
		.tls_verify = true, .headers = headers, .n_headers = 1, .credentials = credentials, .n_credentials = 2,
		.has_range = true, .range_last = 3, .trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	};

	return fetch(&r, "/away", "part", "\"r\"", NULL);
}

static int upload_fd = -1;

/* A file goes up, and what is told of it comes back. */
static int
fetch_upload(void)
{
	static char meta[] = "x-amz-meta-a: b";
	static char *headers[] = { meta };
	struct fetch_request r = {
		.method = "PUT", .trusted = true, .want_amz = true, .headers = headers, .n_headers = 1,
		.has_upload = true, .upload_fd = upload_fd, .upload_offset = 1, .upload_length = 15,
	};

	return fetch(&r, "/up", "", "\"u\"", NULL);
}

static void
on_answer(void *arg, const struct s3_answer *a, unsigned tries UNUSED)
{
	struct err e = ERR_NONE;
	int *rc = arg;

	s3_answer_say(a, &e);
	if (a->result == S3_RESULT_UNMET && a->status == 412 && strcmp(e.text, "S3: status 412 PreconditionFailed: it is there") == 0)
		*rc = WHOLE;
	else
		*rc = a->result != S3_RESULT_OK && a->result != S3_RESULT_UNMET && a->status != 299 && e.text[0] != '\0' ? REFUSED : WRONG;
}

static const struct s3_credentials *
keys_of(void *arg, struct err *e UNUSED)
{
	return arg;
}

/* An operation on a bucket: all of it is asked for, and the refusal is read as it is. */
static int
operate(void)
{
	static char id[] = "id", secret[] = "secret", token[] = "t", condition[] = "If-None-Match: *", *headers[] = { condition };
	static const struct s3_pair query[] = { { "partNumber", "1" } }, meta[] = { { "x-amz-meta-a", "b" } };
	struct s3_credentials credentials = { id, secret, token };
	bool was = torture_pause();
	struct err e = ERR_NONE;
	struct s3_place place;
	struct s3_client *b;
	char endpoint[60];
	int rc = -1;

	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u", port);
	MUST(s3_place_init(&place, &(struct s3_place_words){ .endpoint = endpoint, .bucket = "data", .prefix = "p" }, &e) == 0);
	loop_start(&conf);
	torture_go_on(was);
	b = s3_client_new(loop_net(), &place, true, keys_of, &credentials);
	(void)s3_op_start(b, &(struct s3_want){
		.request = { .method = "PUT", .key = "a", .query = query, .nquery = 1, .headers = meta, .nheaders = 1 },
		.headers = headers, .n_headers = 1, .fd = -1, .text = "<body/>", .end_ms = clock_mono_ms() + 600000,
	}, on_answer, &rc);
	while (rc == -1) {
		if (net_is_idle(loop_net()) && net_timeout_ms(loop_net()) > 0)
			clock_shift_ms(net_timeout_ms(loop_net()));
		loop_turn();
	}
	was = torture_pause();
	s3_client_free(b);
	s3_place_release(&place);
	torture_go_on(was);
	return rc;
}

static int
begin_net(void)
{
	struct err e = ERR_NONE;
	struct net *n = net_new(&conf, NULL, NULL, &e);

	if (n == NULL)
		return e.text[0] != '\0' ? REFUSED : WRONG;
	net_free(n);
	return WHOLE;
}

/* Longer than a buffer is at first. */
#define LONG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONGER LONG LONG LONG LONG LONG LONG

static int
parse_url(void)
{
	struct url *u = url_new(&conf, "http://127.0.0.1:8080/a b/\xc3\xa9?x=%2f" LONGER "#y", false, NULL), *v;
	int rc;

	if (u == NULL)
		return REFUSED;
	v = url_follow(&conf, u, "../c?" LONGER, NULL);
	rc = strcmp(u->text, "http://127.0.0.1:8080/a%20b/%C3%A9?x=%2f" LONGER) != 0 || strcmp(u->host, "127.0.0.1") != 0 || u->port != 8080 ?
	    WRONG : v == NULL ? REFUSED : strcmp(v->text, "http://127.0.0.1:8080/c?" LONGER) != 0 ? WRONG : WHOLE;
	url_free(u);
	url_free(v);
	return rc;
}

static void
f9_urls_are_whole_or_none(void)
{
	torture("url_new, url_follow", parse_url);
}

static void
f9_an_answer_is_whole_or_an_error(void)
{
	torture("net_new", begin_net);
	torture("a fetch", fetch_one);
	torture("a fetch of what is coded", fetch_coded);
	torture("a fetch over a redirect with all there is", fetch_more);
	torture("an upload", fetch_upload);
	torture("an operation on a bucket", operate);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(f9_urls_are_whole_or_none),
		UNIT(f9_an_answer_is_whole_or_an_error),
	};
	pid_t provider;
	int status;

	begin();	/* the configuration; libcurl makes itself ready */
	end();
	upload_fd = memfd_create("upload", MFD_CLOEXEC);
	MUST(upload_fd >= 0 && fd_write_all(upload_fd, "(what is sent up)", 17) == 0);
	provider = provider_start(&port);
	MUST(operate() == WHOLE);	/* the other libraries make themselves ready */
	status = unit_run("alloc_net", tests, ARRAY_LEN(tests));
	(void)kill(provider, SIGKILL);
	(void)waitpid(provider, NULL, 0);
	return status;
}
