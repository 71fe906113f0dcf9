/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net: limits of time and size, pauses, cancels, many at once, and what
 * must not reach us from outside: the environment, names and DNS.
 */
#include "base/base.h"

#include "unit.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "net_case.h"

static void
e12_no_answer_in_time_is_a_timeout(void)
{
	struct fetch_request r;
	struct got g;
	int64_t since = loop_real_us();

	begin();
	server_waits(s, "/silent");
	server_says(s, "/half", "HTTP/1.1 200 OK\r\nX-A: b\r\n");
	server_waits(s, "/half");
	for (int i = 0; i < 3; i++) {
		r = request(i == 0 ? "/half" : "/silent");
		if (i == 2)	/* the caller's is nearer */
			r.first_byte_deadline_mono_ms = clock_mono_ms() + 2000;
		got_init(&g);
		start(&r, &g);
		UNTIL(server_requests(s) == (unsigned)i + 1);
		clock_shift_ms(i == 2 ? 1900 : 9900);
		loop_turn();
		loop_turn();
		CHECK_INT(g.ends, 0);
		clock_shift_ms(i == 2 ? 2001 : 10001);
		UNTIL(g.ends == 1);
		CHECK_INT(g.error, FETCH_TIMEOUT);
		CHECK_INT(g.responses, 0);
		clock_shift_ms(0);
		got_release(&g);
	}
	CHECK(loop_real_us() - since < 6000000);	/* no other limit, of 8 s or more, has helped */
	/* and their connections are closed */
	UNTIL(server_open(s) == 0);
	end();
}

static void
e12_a_stalled_body_is_a_timeout(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/stall", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
	server_waits(s, "/stall");
	got_init(&g);
	r = request("/stall");
	start(&r, &g);
	UNTIL(g.n_body == 5);
	for (int i = 1; i <= 3; i++) {
		clock_shift_ms(i * 2100);
		loop_turn();
	}
	CHECK_INT(g.ends, 0);
	clock_shift_ms(8500);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TIMEOUT);
	got_release(&g);
	end();
}

/* Bytes in each quarter of the window until it ends; how many quarters it lasted. */
static int
dripped(uint64_t per_quarter, int quarters)
{
	struct fetch_request r;
	struct got g;
	int n = 0;

	begin();
	server_says(s, "/drip", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	server_fills(s, "/drip", per_quarter);
	got_init(&g);
	g.discard = true;
	r = request("/drip");
	start(&r, &g);
	UNTIL(g.n_body == per_quarter);
	while (g.ends == 0 && n < quarters) {
		n++;
		clock_shift_ms(n * 2100);
		loop_turn();
		if (g.ends == 0 && n < quarters) {
			server_drips(s, per_quarter);
			UNTIL(g.n_body == per_quarter * (uint64_t)(n + 1));
		}
	}
	CHECK(g.ends == 0 || g.error == FETCH_TIMEOUT);
	got_release(&g);
	end();
	return n;
}

static void
e12_a_drip_is_a_timeout_and_a_slow_body_is_not(void)
{
	/* 1000 bytes a second over 8 s: 2000 in each quarter */
	CHECK_INT(dripped(1, 12), 4);
	CHECK_INT(dripped(1900, 12), 4);
	CHECK_INT(dripped(2300, 12), 12);
}

static void
the_time_of_a_pause_does_not_count(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	server_waits(s, "/a");
	server_says(s, "/a", "world");
	got_init(&g);
	g.pause_every = 1;
	r = request("/a");
	start(&r, &g);
	UNTIL(g.paused);
	for (int i = 1; i < 20; i++) {
		clock_shift_ms(i * 60000);
		loop_turn();
		CHECK_INT(g.ends, 0);
	}
	g.pause_every = 0;
	g.paused = false;
	fetch_resume(g.f);
	CHECK_INT(g.n_body, 0);
	UNTIL(g.n_body == 5);
	loop_turn();
	CHECK_INT(g.ends, 0);
	server_goes(s);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_OK);
	CHECK_STR(buf_str(&g.body), "helloworld");
	got_release(&g);
	end();
}

static void
a_stall_after_a_pause_is_a_timeout(void)
{
	struct fetch_request r;
	struct got g;
	int64_t since;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	server_waits(s, "/a");
	got_init(&g);
	g.pause_every = 1;
	r = request("/a");
	start(&r, &g);
	UNTIL(g.paused);
	clock_shift_ms(100000);
	loop_turn();
	g.pause_every = 0;
	g.paused = false;
	fetch_resume(g.f);
	UNTIL(g.n_body == 5);
	since = loop_real_us();
	for (int i = 1; i <= 4 && g.ends == 0; i++) {
		clock_shift_ms(100000 + i * 2100);
		loop_turn();
		CHECK_INT(g.ends, i == 4);
	}
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TIMEOUT);
	CHECK(loop_real_us() - since < 6000000);
	got_release(&g);
	end();
}

static void
a_body_over_the_size_is_refused(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/announced", "HTTP/1.1 200 OK\r\nContent-Length: 1073741825\r\n\r\n");
	server_says(s, "/five", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	server_says(s, "/unknown", "HTTP/1.1 200 OK\r\n\r\n");
	server_fills(s, "/unknown", 100000);
	server_closes(s, "/unknown");
	g = fetched("/announced");
	CHECK(g.error == FETCH_TOO_LARGE && g.responses == 0);
	got_release(&g);
	for (int i = 0; i < 2; i++) {
		r = request("/five");
		r.max_size = i == 0 ? 4 : 5;
		got_init(&g);
		run(&r, &g);
		CHECK_INT(g.error, i == 0 ? FETCH_TOO_LARGE : FETCH_OK);
		CHECK_INT(g.n_body, i == 0 ? 0 : 5);
		got_release(&g);
	}
	r = request("/unknown");
	r.max_size = 50000;
	got_init(&g);
	g.discard = true;
	run(&r, &g);
	CHECK(g.error == FETCH_TOO_LARGE && g.n_body <= 50000 && !g.bad_fill);
	got_release(&g);
	end();
}

static void
pauses_lose_and_double_nothing(void)
{
	enum { SIZE = 5000000 };
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/length", "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
	server_fills(s, "/length", SIZE);
	server_says(s, "/close", "HTTP/1.1 200 OK\r\n\r\n");
	server_fills(s, "/close", SIZE);
	server_closes(s, "/close");
	server_says(s, "/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", SIZE);
	server_fills(s, "/chunked", SIZE);
	server_says(s, "/chunked", "\r\n0\r\n\r\n");
	for (unsigned every = 0; every < 6; every++) {
		static const char *const path[] = { "/length", "/close", "/chunked" };

		r = request(path[every % 3]);
		got_init(&g);
		g.discard = true;
		g.pause_every = every;
		if (every == 1)
			g.pause_every = 2;	/* 1 would never take anything */
		run(&r, &g);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.n_body, SIZE);
		CHECK(!g.bad_fill);
		CHECK(every == 0 || g.pauses > 10);
		got_release(&g);
	}
	end();
}

static void
an_owner_can_stop(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
	server_waits(s, "/a");
	for (int i = 0; i < 2; i++) {
		r = request("/a");
		got_init(&g);
		g.stop_at_response = i == 0;
		g.stop_at_data = i == 1;
		run(&r, &g);
		CHECK_INT(g.error, FETCH_CANCELLED);
		CHECK_INT(g.calls, i);
		got_release(&g);
	}
	UNTIL(server_open(s) == 0);
	end();
}

static void
a_cancel_at_any_point_is_the_end(void)
{
	struct fetch_request r;
	struct got g;
	unsigned calls, responses;
	bool finished = false;

	begin();
	server_says(s, "/a", "HTTP/1.1 302 Go\r\nContent-Length: 1\r\nLocation: /b\r\n\r\nx");
	server_says(s, "/b", "HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n");
	server_fills(s, "/b", 600000);
	for (int turns = 0; !finished && turns < 500; turns++) {
		r = request("/a");
		got_init(&g);
		g.discard = true;
		g.pause_every = turns % 2 == 0 ? 0 : 5;
		start(&r, &g);
		for (int i = 0; i < turns && g.ends == 0; i++) {
			if (g.paused && i % 3 == 0) {
				g.paused = false;
				fetch_resume(g.f);
			}
			loop_turn();
		}
		finished = g.ends > 0 && g.pause_every == 0;
		if (g.ends == 0) {
			calls = g.calls;
			responses = g.responses;
			g.inside = true;	/* every callback from now on is a failure */
			fetch_cancel(g.f);
			loop_turn();
			loop_turn();
			CHECK(g.calls == calls && g.responses == responses && g.ends == 0);
		}
		got_release(&g);
	}
	CHECK(finished);
	CHECK_INT(loop_watched(), 0);
	end();
}

static void
bytes_that_are_here_at_a_cancel_come_no_more(void)
{
	struct fetch_request r;
	struct got g;
	int64_t since;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	server_waits(s, "/a");
	server_says(s, "/a", "world");
	got_init(&g);
	r = request("/a");
	start(&r, &g);
	CHECK_INT(net_timeout_ms(loop_net()), 0);
	UNTIL(g.n_body == 5);
	server_goes(s);
	for (since = loop_real_us(); !server_delivered(s) && !loop_hangs(since);)
		continue;
	g.inside = true;
	fetch_cancel(g.f);
	CHECK_INT(net_timeout_ms(loop_net()), 0);
	loop_turn();
	loop_turn();
	CHECK(g.n_body == 5 && g.ends == 0);
	got_release(&g);
	end();
}

static void
a_callback_can_cancel_all_others(void)
{
	enum { OTHERS = 20 };
	struct fetch *others[OTHERS];
	struct got g[OTHERS + 1];
	struct fetch_request r;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	server_says(s, "/b", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	server_waits(s, "/b");
	server_says(s, "/b", "world");
	server_waits(s, "/silent");
	server_says(s, "/silent", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	for (int i = 0; i < OTHERS; i++) {
		got_init(&g[i]);
		g[i].pause_every = i % 4 == 1 ? 1 : 0;
		r = request(i % 2 == 0 ? "/silent" : "/b");
		start(&r, &g[i]);
		others[i] = g[i].f;
	}
	UNTIL(server_requests(s) == OTHERS);
	got_init(&g[OTHERS]);
	g[OTHERS].cancels = others;
	g[OTHERS].n_cancels = OTHERS;
	r = request("/a");
	run(&r, &g[OTHERS]);
	CHECK_INT(g[OTHERS].error, FETCH_OK);
	server_goes(s);
	for (int i = 0; i < 5; i++)
		loop_turn();
	for (int i = 0; i <= OTHERS; i++) {
		CHECK_INT(g[i].ends, i == OTHERS);
		got_release(&g[i]);
	}
	CHECK_INT(loop_watched(), 0);
	end();
}

static void
a11_the_environment_names_no_proxy(void)
{
	static const char *const name[] = { "http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY" };
	struct server *proxy;
	char text[100];

	begin();
	proxy = server_start();
	(void)snprintf(text, sizeof(text), "http://127.0.0.1:%d", server_port(proxy));
	for (size_t i = 0; i < ARRAY_LEN(name); i++)
		MUST(setenv(name[i], text, 1) == 0);
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	ends_with("/a", FETCH_OK);
	CHECK_INT(server_connections(proxy), 0);
	CHECK_INT(server_requests(s), 1);
	for (size_t i = 0; i < ARRAY_LEN(name); i++)
		MUST(unsetenv(name[i]) == 0);
	server_stop(proxy);
	end();
}

static void
e7_a_netrc_is_not_read(void)
{
	char dir[] = "/tmp/test_net_XXXXXX", path[100], *home = mem_strdup(getenv("HOME"));
	FILE *f;

	begin();
	MUST(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/.netrc", dir);
	f = fopen(path, "w");
	MUST(f != NULL);
	(void)fprintf(f, "machine 127.0.0.1 login planted password canary\ndefault login planted password canary\n");
	MUST(fclose(f) == 0 && chmod(path, 0600) == 0);
	MUST(setenv("HOME", dir, 1) == 0 && setenv("CURL_HOME", dir, 1) == 0 && setenv("NETRC", path, 1) == 0);
	server_says(s, "/a", "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n");
	ends_with("/a", FETCH_OK);
	CHECK(!server_was_told(s, "Authorization"));
	CHECK_INT(server_requests(s), 1);
	MUST(unlink(path) == 0 && rmdir(dir) == 0);
	if (home != NULL)
		MUST(setenv("HOME", home, 1) == 0);
	MUST(unsetenv("CURL_HOME") == 0 && unsetenv("NETRC") == 0);
	free(home);
	end();
}

/* A name instead of the address. */
static struct got
named(const char *host)
{
	struct fetch_request r = request("/a");
	struct got g;

	r.url = url(host, "/a");
	got_init(&g);
	run(&r, &g);
	return g;
}

static void
e3_a_name_that_leads_inside_is_refused(void)
{
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	g = named("private.test");
	CHECK_STR(fetch_error_name(g.error), "refused");
	CHECK(strstr(g.reason, "private.test") != NULL);
	got_release(&g);
	g = named("meta.test");
	CHECK_STR(fetch_error_name(g.error), "refused");
	got_release(&g);
	/* of two addresses the allowed one is used */
	g = named("mixed.test");
	CHECK_STR(fetch_error_name(g.error), "ok");
	got_release(&g);
	g = named("nobody.test");
	CHECK_STR(fetch_error_name(g.error), "connect");
	got_release(&g);
	conf.allow_private.n = 0;
	g = named("localhost");
	CHECK_STR(fetch_error_name(g.error), "refused");
	got_release(&g);
	end();
}

/* A name server of the attacker's: the first answer is one that may be, the next leads inside. */
static void
e3_a_name_that_turns_inside_is_refused_without_a_connection(void)
{
	struct sockaddr_in inside = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1) };
	struct pollfd p = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .events = POLLIN };
	struct got g;

	begin();
	inside.sin_port = htons((uint16_t)server_port(s));
	MUST(bind(p.fd, (struct sockaddr *)&inside, sizeof(inside)) == 0 && listen(p.fd, 4) == 0);
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	server_closes(s, "/a");
	g = named("turns.test");
	CHECK_STR(fetch_error_name(g.error), "ok");
	got_release(&g);
	loop_stop();		/* and what it remembers of names */
	loop_start(&conf);
	g = named("turns.test");
	CHECK_STR(fetch_error_name(g.error), "refused");
	got_release(&g);
	CHECK_INT(poll(&p, 1, 0), 0);
	CHECK_INT(server_requests(s), 1);
	MUST(close(p.fd) == 0);
	end();
}

static void
e3_a_kept_connection_obeys_the_new_configuration(void)
{
	struct config closed;
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	g = named("one.test");
	CHECK_INT(g.error, FETCH_OK);
	got_release(&g);
	closed = conf;
	closed.allow_private.n = 0;
	net_set_config(loop_net(), &closed);
	g = named("one.test");
	CHECK_STR(fetch_error_name(g.error), "refused");
	got_release(&g);
	CHECK_INT(server_requests(s), 1);
	end();
}

static void
nobody_at_the_port_is_a_connect_error(void)
{
	struct fetch_request r;
	struct server *gone;
	struct got g;
	char text[100];

	begin();
	gone = server_start();
	(void)snprintf(text, sizeof(text), "http://127.0.0.1:%d/", server_port(gone));
	server_stop(gone);
	r = request("/");
	r.url = text;
	got_init(&g);
	run(&r, &g);
	CHECK_STR(fetch_error_name(g.error), "connect");
	got_release(&g);
	/* and TLS with somebody who speaks none */
	server_says(s, "/a", "HTTP/1.1 200 OK\r\n\r\n");
	(void)snprintf(text, sizeof(text), "https://127.0.0.1:%d/a", server_port(s));
	got_init(&g);
	start(&r, &g);
	fetch_cancel(g.f);
	r.url = text;
	r.first_byte_deadline_mono_ms = clock_mono_ms() + 300;
	got_release(&g);
	got_init(&g);
	run(&r, &g);
	CHECK(g.error == FETCH_CONNECT || g.error == FETCH_TIMEOUT);
	CHECK_INT(server_requests(s), 0);
	got_release(&g);
	end();
}

static void
a_dns_that_hangs_blocks_nobody(void)
{
	struct fetch_request r;
	struct got g;
	int64_t since;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	r = request("/a");
	r.url = url("hang.test", "/a");
	got_init(&g);
	start(&r, &g);
	for (int i = 0; i < 5; i++)
		loop_turn();
	ends_with("/a", FETCH_OK);
	since = loop_real_us();
	g.inside = true;
	fetch_cancel(g.f);
	loop_turn();
	CHECK(loop_real_us() - since < 500000);
	got_release(&g);
	/* its own limit ends it too */
	conf.connect_timeout_ms = 100;
	got_init(&g);
	r.url = url("hang.test", "/a");
	since = loop_real_us();
	run(&r, &g);
	CHECK_STR(fetch_error_name(g.error), "timeout");
	CHECK(loop_real_us() - since < 3000000);
	got_release(&g);
	/* and the end of everything does not wait */
	got_init(&g);
	start(&r, &g);
	loop_turn();
	loop_turn();
	since = loop_real_us();
	g.inside = true;
	end();
	CHECK(loop_real_us() - since < 500000);
	got_release(&g);
}

static void
a_thousand_at_once_all_end(void)
{
	enum { N = 1000 };
	struct rlimit l;
	struct got *g = mem_alloc(N * sizeof(*g));
	struct fetch_request r;
	unsigned ended = 0;

	MUST(getrlimit(RLIMIT_NOFILE, &l) == 0);
	l.rlim_cur = l.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &l) == 0);
	if (l.rlim_cur < 2 * N + 100) {
		fprintf(stderr, "skipped: only %lu descriptors\n", (unsigned long)l.rlim_cur);
		free(g);
		return;
	}
	begin();
	server_waits(s, "/a");
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");
	server_fills(s, "/a", 20000);
	for (int i = 0; i < N; i++) {
		got_init(&g[i]);
		g[i].discard = true;
		r = request("/a");
		start(&r, &g[i]);
	}
	UNTIL(server_requests(s) == N);
	CHECK_INT(server_open(s), N);
	server_goes(s);
	for (int64_t since = loop_real_us(); ended < N && !loop_hangs(since);) {
		loop_turn();
		ended = 0;
		for (int i = 0; i < N; i++)
			ended += g[i].ends;
	}
	CHECK_INT(ended, N);
	for (int i = 0; i < N; i++) {
		CHECK(g[i].error == FETCH_OK && g[i].n_body == 20000 && !g[i].bad_fill);
		got_release(&g[i]);
	}
	/* few are kept */
	UNTIL(server_open(s) <= 130);
	CHECK_INT(loop_watched(), 0);
	free(g);
	end();
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(e12_no_answer_in_time_is_a_timeout),
		UNIT(e12_a_stalled_body_is_a_timeout),
		UNIT(e12_a_drip_is_a_timeout_and_a_slow_body_is_not),
		UNIT(the_time_of_a_pause_does_not_count),
		UNIT(a_stall_after_a_pause_is_a_timeout),
		UNIT(a_body_over_the_size_is_refused),
		UNIT(pauses_lose_and_double_nothing),
		UNIT(an_owner_can_stop),
		UNIT(a_cancel_at_any_point_is_the_end),
		UNIT(bytes_that_are_here_at_a_cancel_come_no_more),
		UNIT(a_callback_can_cancel_all_others),
		UNIT(a11_the_environment_names_no_proxy),
		UNIT(e7_a_netrc_is_not_read),
		UNIT(e3_a_name_that_leads_inside_is_refused),
		UNIT(e3_a_name_that_turns_inside_is_refused_without_a_connection),
		UNIT(e3_a_kept_connection_obeys_the_new_configuration),
		UNIT(nobody_at_the_port_is_a_connect_error),
		UNIT(a_dns_that_hangs_blocks_nobody),
		UNIT(a_thousand_at_once_all_end),
	};

	return unit_run("net_limits", t, ARRAY_LEN(t));
}
