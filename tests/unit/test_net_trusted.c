/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net: requests to endpoints that the operator has named, what S3 answers
 * there, and the loop that waits for one (net/wait.h).
 */
#include "base/base.h"

#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/response.h"
#include "net/wait.h"
#include "net_case.h"

static struct fetch_request
trusted(const char *method, const char *path)
{
	struct fetch_request r = request(path);

	r.method = method;
	r.trusted = true;
	return r;
}

static struct got
asked(const struct fetch_request *r)
{
	struct got g;

	got_init(&g);
	run(r, &g);
	return g;
}

static void
a_presigned_url_arrives_byte_for_byte(void)
{
	static const char *const path[] = {
		"/b//a/./c/../d%2Fe%2fe+f=g~h%C3%A9?X-Amz-Credential=A%2F20261122%2F&X-Amz-SignedHeaders=host&b=&a",
		"/?list-type=2&prefix=a%20b", "/b?uploads=", "/b/%00%25%FF",
	};
	static char loop[] = "other-site";
	struct fetch_request r;
	struct got g;
	char want[300];

	begin();
	conf.site_id = loop;
	server_says(s, "/b//a/./c/../d%2Fe%2fe+f=g~h%C3%A9", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	server_says(s, "/", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	server_says(s, "/b", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	server_says(s, "/b/%00%25%FF", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(path); i++) {
		r = trusted("GET", path[i]);
		g = asked(&r);
		CHECK(g.error == FETCH_OK && g.r.status == 200);
		(void)snprintf(want, sizeof(want), "GET %s HTTP/1.1\r\n", path[i]);
		CHECK(server_was_told(s, want));
		got_release(&g);
	}
	CHECK(!server_was_told(s, "CDN-Loop"));
	end();
}

static void
e1_private_addresses_and_http_are_for_trusted_requests_alone(void)
{
	static const char *const host[] = { "127.0.0.1", "one.test" };
	struct fetch_request r;
	struct err e = ERR_NONE;
	struct got g;

	begin();
	conf.allow_private.n = 0;
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (size_t i = 0; i < 2 * ARRAY_LEN(host); i++) {
		conf.allow_http = i < 2;
		r = trusted("GET", "/a");
		r.url = url(host[i % 2], "/a");
		g = asked(&r);
		CHECK_INT(g.error, FETCH_OK);
		got_release(&g);
	}
	/* the connections are there, and are not lent */
	conf.allow_http = true;
	r = request("/a");
	got_init(&g);
	CHECK(fetch_start(loop_net(), &r, &got_ops, &g, &e) == NULL);
	r.url = url("one.test", "/a");
	run(&r, &g);
	CHECK_INT(g.error, FETCH_REFUSED);
	got_release(&g);
	CHECK_INT(server_requests(s), 4);
	end();
}

static void
e4_a_redirect_is_an_answer(void)
{
	static const int status[] = { 301, 307, 302 };
	struct fetch_request r;
	struct got g;
	char path[20];

	begin();
	server_says(s, "/b", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(status); i++) {
		(void)snprintf(path, sizeof(path), "/%d", status[i]);
		server_says(s, path, "HTTP/1.1 %d Go\r\nLocation: /b\r\nx-amz-bucket-region: eu-west-3\r\n"
		    "Content-Length: 8\r\n\r\n<Error/>", status[i]);
		r = trusted(i == 2 ? "PUT" : "GET", path);
		g = asked(&r);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.r.status, status[i]);
		CHECK_STR(g.r.bucket_region, "eu-west-3");
		CHECK_STR(buf_str(&g.body), "<Error/>");
		got_release(&g);
	}
	/* and of a provider that is asked so: what it may be is judged as ever */
	r = request("/301");
	r.as_is = true;
	r.max_size = 1;
	g = asked(&r);
	CHECK(g.error == FETCH_OK && g.r.status == 301);
	CHECK_STR(buf_str(&g.body), "<Error/>");
	got_release(&g);
	conf.allow_private.n = 0;
	got_init(&g);
	r.url = url("127.0.0.1", "/301");
	CHECK(fetch_start(loop_net(), &r, &got_ops, &g, &(struct err)ERR_NONE) == NULL);
	got_release(&g);
	CHECK(!server_was_told(s, " /b "));
	end();
}

static void
head_gives_a_length_and_no_body(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	conf.upstream_max_size = 1000;
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5000000000000\r\nETag: \"e\"\r\n"
	    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:39 GMT\r\n\r\n");
	server_says(s, "/none", "HTTP/1.1 404 No\r\nContent-Length: 200\r\n\r\n");
	for (int i = 0; i < 4; i++) {
		r = trusted("HEAD", i % 2 == 0 ? "/a" : "/none");
		r.max_size = 10;
		g = asked(&r);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.r.status, i % 2 == 0 ? 200 : 404);
		CHECK(g.r.has_length && g.r.length == (i % 2 == 0 ? 5000000000000u : 200));
		CHECK_INT(g.n_body, 0);
		CHECK(i % 2 == 1 || g.r.last_modified == 784111777);
		CHECK_INT(g.r.date, i % 2 == 1 ? -1 : 784111779);
		got_release(&g);
	}
	CHECK_INT(server_connections(s), 1);
	CHECK(server_was_told(s, "HEAD /a HTTP/1.1\r\n"));
	end();
}

static void
delete_ends_with_204(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 204 No Content\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		r = trusted("DELETE", "/a");
		g = asked(&r);
		CHECK(g.error == FETCH_OK && g.r.status == 204 && g.n_body == 0);
		got_release(&g);
	}
	CHECK_INT(server_connections(s), 1);
	CHECK(server_was_told(s, "DELETE /a HTTP/1.1\r\n") && !server_was_told(s, "Content-Length"));
	end();
}

static void
the_body_of_an_error_is_cut_at_its_bound(void)
{
	static const struct { const char *path; uint64_t n; int status; bool framed; } t[] = {
		{ "/long", 200000, 500, true }, { "/exact", FETCH_ERROR_BODY_MAX, 404, true },
		{ "/one-more", FETCH_ERROR_BODY_MAX + 1, 404, true }, { "/endless", 300000, 503, false },
		{ "/good", 200000, 200, true },
	};
	struct fetch_request r;
	struct got g;

	begin();
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		if (t[i].framed)
			server_says(s, t[i].path, "HTTP/1.1 %d Say\r\nContent-Length: %d\r\n\r\n", t[i].status,
			    (int)t[i].n);
		else
			server_says(s, t[i].path, "HTTP/1.1 %d Say\r\n\r\n", t[i].status);
		server_fills(s, t[i].path, t[i].n);
		if (!t[i].framed)
			server_waits(s, t[i].path);
		r = trusted("GET", t[i].path);
		r.max_size = t[i].status == 200 ? 0 : 10;
		got_init(&g);
		g.discard = true;
		g.pause_every = 2;
		run(&r, &g);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.r.status, t[i].status);
		CHECK(!g.bad_fill);
		CHECK_INT(g.n_body, t[i].status == 200 ? t[i].n : FETCH_ERROR_BODY_MAX);
		got_release(&g);
	}
	/* one that is cut off within its announced length is a failure all the same */
	server_says(s, "/cut", "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n<Error>");
	server_closes(s, "/cut");
	r = trusted("GET", "/cut");
	g = asked(&r);
	CHECK_INT(g.error, FETCH_TRUNCATED);
	got_release(&g);
	end();
}

static void
what_s3_says_of_an_object_comes_when_asked_for(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Amz-Meta-Sha256: 1220aa\r\n"
	    "x-amz-version-id: v\r\nx-amz-meta-empty:\r\nx-amzn-trace: no\r\nX-Other: no\r\nx-amz-bucket-region: us-east-1\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		r = trusted("HEAD", "/a");
		r.want_amz = i == 1;
		g = asked(&r);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_STR(buf_str(&g.amz), i == 0 ? "" : "x-amz-meta-sha256=1220aa\nx-amz-version-id=v\n"
		    "x-amz-meta-empty=\nx-amz-bucket-region=us-east-1\n");
		CHECK_STR(g.r.bucket_region, "us-east-1");
		got_release(&g);
	}
	end();
}

static void
too_many_or_too_long_x_amz_headers_are_refused(void)
{
	static char value[FETCH_AMZ_VALUE_MAX + 2];
	struct buf b = BUF_INIT(1 << 20);
	struct fetch_request r;
	struct got g;

	begin();
	memset(value, 'v', sizeof(value) - 1);
	for (unsigned i = 0; i < 4; i++) {
		char path[20];

		buf_clear(&b);
		(void)buf_adds(&b, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
		for (unsigned k = 0; i < 2 && k < FETCH_AMZ_MAX + i; k++)
			(void)buf_addf(&b, "x-amz-meta-%u: x\r\n", k);
		if (i >= 2)
			(void)buf_addf(&b, "x-amz-meta-a: %s\r\n", value + (3 - i));
		(void)buf_adds(&b, "\r\n");
		(void)snprintf(path, sizeof(path), "/%u", i);
		server_sends(s, path, b.data, b.len);
		r = trusted("GET", path);
		r.want_amz = true;
		g = asked(&r);
		CHECK_INT(g.error, i % 2 == 0 ? FETCH_OK : FETCH_PROTOCOL);
		got_release(&g);
		/* nobody is harmed who does not look */
		r.want_amz = false;
		g = asked(&r);
		CHECK_INT(g.error, FETCH_OK);
		got_release(&g);
	}
	buf_release(&b);
	end();
}

static void
a_header_that_is_there_twice_says_nothing(void)
{
	static const char *const line[] = {
		"HTTP/1.1 200 OK\r\n", "x-amz-meta-a: 1\r\n", "X-AMZ-META-A: 2\r\n", "x-amz-meta-b: 3\r\n",
		"x-amz-bucket-region: eu-west-1\r\n", "x-amz-bucket-region: eu-west-2\r\n", "\r\n",
	};
	static const char *const region[] = { "eu west", "EU-WEST-1", "", "x/../y", "a\"b",
		"0123456789012345678901234567890123456789012345678901234567890123x" };
	struct fetch_request asked_for = { .want_amz = true };
	struct response p;
	char text[100];

	response_init(&p, &asked_for);
	for (size_t i = 0; i < ARRAY_LEN(line); i++)
		CHECK(response_line(&p, line[i], strlen(line[i]), NULL) == (i == 6 ? RESPONSE_FINAL : RESPONSE_MORE));
	CHECK(fetch_response_amz(&p.r, "x-amz-meta-a") == NULL);
	CHECK_STR(fetch_response_amz(&p.r, "x-amz-meta-b"), "3");
	CHECK(fetch_response_amz(&p.r, "x-amz-meta-c") == NULL);
	CHECK(p.r.bucket_region == NULL);
	for (size_t i = 0; i < ARRAY_LEN(region); i++) {
		response_clear(&p);
		(void)snprintf(text, sizeof(text), "x-amz-bucket-region: %s\r\n", region[i]);
		(void)response_line(&p, line[0], strlen(line[0]), NULL);
		CHECK(response_line(&p, text, strlen(text), NULL) == RESPONSE_MORE);
		CHECK(p.r.bucket_region == NULL);
	}
	response_release(&p);
}

static void
a_patient_request_waits_until_its_end(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_waits(s, "/silent");
	server_says(s, "/drip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n");
	server_waits(s, "/drip");
	for (int i = 0; i < 2; i++) {
		r = trusted("POST", i == 0 ? "/silent" : "/drip");
		r.body = "<CompleteMultipartUpload/>";
		r.patient = true;
		r.end_mono_ms = clock_mono_ms() + 600000;
		got_init(&g);
		start(&r, &g);
		UNTIL(server_requests(s) == (unsigned)i + 1 && (i == 0 || g.n_body == 1));
		for (int k = 1; k < 20; k++) {
			clock_shift_ms(29000);
			loop_turn();
			CHECK_INT(g.ends, 0);
		}
		clock_shift_ms(60000);
		UNTIL(g.ends == 1);
		CHECK_INT(g.error, FETCH_TIMEOUT);
		clock_shift_ms(0);
		got_release(&g);
	}
	end();
}

static void
an_end_comes_in_a_pause_too(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	r = request("/a");		/* trusted or not */
	r.end_mono_ms = clock_mono_ms() + 100000;
	got_init(&g);
	g.pause_every = 1;
	start(&r, &g);
	UNTIL(g.paused);
	clock_shift_ms(99000);
	loop_turn();
	CHECK_INT(g.ends, 0);
	g.paused = false;		/* the end may come */
	clock_shift_ms(1001);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TIMEOUT);
	got_release(&g);
	end();
}

/* -- waiting: the server is another process then ------------------------------ */

static pid_t
serve(void)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	while (pid == 0)
		loop_turn();
	return pid;
}

static void
serve_end(pid_t pid)
{
	MUST(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

static void
waiting_gives_the_answer_or_the_reason(void)
{
	struct err e = ERR_NONE;
	struct fetch_request r;
	struct wait *w;
	struct got g;
	pid_t server;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
	server_fills(s, "/a", 3000000);
	server_says(s, "/cut", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
	server_closes(s, "/cut");
	server_waits(s, "/silent");
	server = serve();
	w = wait_new(&conf, &e);
	CHECK(w != NULL);
	for (int i = 0; i < 5; i++) {
		static const char *const path[] = { "/a", "/a", "/cut", "/silent", "/a" };
		static const enum fetch_error want[] = {
			FETCH_OK, FETCH_OK, FETCH_TRUNCATED, FETCH_TIMEOUT, FETCH_REFUSED,
		};
		const struct fetch_ops ops = { got_ops.on_response, got_ops.on_data, NULL };
		enum fetch_error x;

		r = trusted(i == 4 ? "PATCH" : "GET", path[i]);
		r.end_mono_ms = clock_mono_ms() + (i == 3 ? 300 : 60000);
		got_init(&g);
		g.discard = true;
		e = (struct err)ERR_NONE;
		x = wait_fetch(w, &r, &ops, &g, &e);
		CHECK_STR(fetch_error_name(x), fetch_error_name(want[i]));
		CHECK((e.text[0] == '\0') == (want[i] == FETCH_OK));
		CHECK(i >= 2 || (g.n_body == 3000000 && !g.bad_fill));
		got_release(&g);
	}
	wait_free(w);
	wait_free(NULL);
	serve_end(server);
	end();
}

static void
many_can_be_waited_for_together(void)
{
	enum { N = 40 };
	struct err e = ERR_NONE;
	struct got g[N];
	unsigned ended = 0;
	int64_t since = loop_real_us();
	struct wait *w;
	pid_t server;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
	server_fills(s, "/a", 300000);
	server = serve();
	w = wait_new(&conf, &e);
	CHECK(w != NULL);
	for (size_t i = 0; i < N; i++) {
		struct fetch_request r = trusted("GET", "/a");

		got_init(&g[i]);
		g[i].discard = true;
		g[i].f = fetch_start(wait_net(w), &r, &got_ops, &g[i], &e);
		CHECK(g[i].f != NULL);
	}
	while (ended < N && !loop_hangs(since)) {
		wait_turn(w, 1000);
		ended = 0;
		for (size_t i = 0; i < N; i++)
			ended += g[i].ends;
	}
	CHECK_INT(ended, N);
	for (size_t i = 0; i < N; i++) {
		CHECK(g[i].error == FETCH_OK && g[i].n_body == 300000 && !g[i].bad_fill);
		got_release(&g[i]);
	}
	wait_free(w);
	serve_end(server);
	end();
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(a_presigned_url_arrives_byte_for_byte),
		UNIT(e1_private_addresses_and_http_are_for_trusted_requests_alone),
		UNIT(e4_a_redirect_is_an_answer),
		UNIT(head_gives_a_length_and_no_body),
		UNIT(delete_ends_with_204),
		UNIT(the_body_of_an_error_is_cut_at_its_bound),
		UNIT(what_s3_says_of_an_object_comes_when_asked_for),
		UNIT(too_many_or_too_long_x_amz_headers_are_refused),
		UNIT(a_header_that_is_there_twice_says_nothing),
		UNIT(a_patient_request_waits_until_its_end),
		UNIT(an_end_comes_in_a_pause_too),
		UNIT(waiting_gives_the_answer_or_the_reason),
		UNIT(many_can_be_waited_for_together),
	};

	return unit_run("net_trusted", t, ARRAY_LEN(t));
}
