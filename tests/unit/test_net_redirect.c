/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net over several hops: redirects by hand, and who gets to see which
 * credentials (cases E4 to E6).
 */
#include "base/base.h"

#include "unit.h"

#include <stdlib.h>

#include "base/clock.h"
#include "net_case.h"

static struct server *other;

static const char *const secrets[] = {
	"X-Api-Key: canary-1", "x-amz-security-token: canary-2", "Authorization: Bearer canary-3", "Cookie: a=canary-4",
	"PRIVATE-TOKEN: canary-5",
};

static void
begin_two(void)
{
	begin();
	other = server_start();
}

static void
end_two(void)
{
	server_stop(other);
	end();
}

static struct got
got_of(const struct fetch_request *r)
{
	struct err e = ERR_NONE;
	struct got g;

	got_init(&g);
	g.f = fetch_start(loop_net(), r, &got_ops, &g, &e);
	CHECK(g.f != NULL);
	UNTIL(g.ends == 1);
	return g;
}

/* With all secrets, a plain header and a range. */
static struct got
fetched_with_secrets(const char *path)
{
	static char plain[] = "If-Range: \"plain\"";
	char *headers[] = { plain }, url[300];
	struct fetch_request r = {
		.id = "r1", .url = url, .method = "GET", .tls_verify = true, .headers = headers, .n_headers = 1,
		.credentials = secrets, .n_credentials = ARRAY_LEN(secrets), .has_range = true, .range_last = 4,
	};

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server_port(s), path);
	return got_of(&r);
}

static void
secrets_end_with(const char *path, enum fetch_error want)
{
	struct got g = fetched_with_secrets(path);

	if (g.error != want)
		fprintf(stderr, "%s: %s\n", path, g.reason);
	CHECK_STR(fetch_error_name(g.error), fetch_error_name(want));
	CHECK_INT(g.responses, want == FETCH_OK);
	got_release(&g);
}

static void
redirects(struct server *at, const char *path, int status, const char *location)
{
	server_says(at, path, "HTTP/1.1 %d Go\r\nContent-Length: 4\r\nETag: \"redirect\"\r\nLocation: %s\r\n\r\ngone", status, location);
}

static void
serves(struct server *at, const char *path)
{
	server_says(at, path, "HTTP/1.1 206 Part\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/9\r\n\r\nhello");
}

static void
each_kind_of_redirect_is_followed(void)
{
	static const int status[] = { 301, 302, 303, 307, 308 };
	char path[20];
	struct got g;

	begin_two();
	serves(s, "/end");
	for (size_t i = 0; i < ARRAY_LEN(status); i++) {
		(void)snprintf(path, sizeof(path), "/%d", status[i]);
		redirects(s, path, status[i], "/end?signature=canary");
		g = fetched_with_secrets(path);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.responses, 1);
		CHECK(g.r.status == 206 && g.r.etag == NULL && !g.r.bad_content_range);
		CHECK_STR(buf_str(&g.body), "hello");
		got_release(&g);
	}
	/* on one connection, all of them */
	CHECK_INT(server_connections(s), 1);
	CHECK(server_was_told(s, "GET /end?signature=canary HTTP/1.1\r\n"));
	end_two();
}

static void
other_3xx_are_answers(void)
{
	struct got g;

	begin_two();
	server_says(s, "/304", "HTTP/1.1 304 Same\r\nETag: \"x\"\r\nContent-Length: 500\r\n\r\n");
	server_says(s, "/302", "HTTP/1.1 302 Nowhere\r\nContent-Length: 5\r\n\r\nhello");
	server_says(s, "/300", "HTTP/1.1 300 Many\r\nContent-Length: 5\r\nLocation: /x\r\n\r\nhello");
	g = fetched_with_secrets("/304");
	CHECK(g.error == FETCH_OK && g.r.status == 304 && !g.r.has_length && g.n_body == 0);
	got_release(&g);
	g = fetched_with_secrets("/302");
	CHECK(g.error == FETCH_OK && g.r.status == 302 && g.n_body == 5);
	got_release(&g);
	g = fetched_with_secrets("/300");
	CHECK(g.error == FETCH_OK && g.r.status == 300 && g.n_body == 5);
	got_release(&g);
	end_two();
}

static void
e5_credentials_stay_with_their_origin(void)
{
	char to_other[100], to_name[100], back[100];
	struct got g;

	begin_two();
	(void)snprintf(to_other, sizeof(to_other), "http://127.0.0.1:%d/there", server_port(other));
	(void)snprintf(to_name, sizeof(to_name), "http://one.test:%d/name", server_port(s));
	redirects(s, "/port", 302, to_other);
	serves(other, "/there");
	redirects(s, "/host", 307, to_name);
	serves(s, "/name");
	g = fetched_with_secrets("/port");
	CHECK_INT(g.error, FETCH_OK);
	got_release(&g);
	CHECK_INT(server_requests(other), 1);
	CHECK(!server_was_told(other, "canary"));
	CHECK(server_was_told(other, "\r\nIf-Range: \"plain\"\r\n"));
	CHECK(server_was_told(other, "\r\nRange: bytes=0-4\r\n"));
	CHECK(!server_was_told(other, "Referer"));
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		CHECK(server_was_told(s, secrets[i]));
	g = fetched_with_secrets("/host");
	CHECK_INT(g.error, FETCH_OK);
	got_release(&g);
	CHECK(strstr(server_log(s), "GET /name") != NULL);
	CHECK(strstr(strstr(server_log(s), "GET /name"), "canary") == NULL);
	end_two();
	/* there and back again: the origin that they are for */
	begin_two();
	(void)snprintf(to_other, sizeof(to_other), "http://127.0.0.1:%d/there", server_port(other));
	(void)snprintf(back, sizeof(back), "http://127.0.0.1:%d/end", server_port(s));
	redirects(s, "/round", 302, to_other);
	redirects(other, "/there", 302, back);
	serves(s, "/end");
	g = fetched_with_secrets("/round");
	CHECK_INT(g.error, FETCH_OK);
	got_release(&g);
	CHECK(!server_was_told(other, "canary"));
	CHECK(strstr(server_log(s), "GET /end") != NULL);
	CHECK(strstr(strstr(server_log(s), "GET /end"), "X-Api-Key: canary-1") != NULL);
	end_two();
}

static void
e4_loops_end(void)
{
	begin_two();
	redirects(s, "/loop", 302, "/loop");
	redirects(s, "/1", 302, "/2");
	redirects(s, "/2", 302, "/3");
	redirects(s, "/3", 302, "/4");
	redirects(s, "/0", 302, "/1");
	serves(s, "/4");
	secrets_end_with("/1", FETCH_OK);
	secrets_end_with("/0", FETCH_LOOP);
	CHECK_INT(server_requests(s), 8);
	secrets_end_with("/loop", FETCH_LOOP);
	CHECK_INT(server_requests(s), 12);
	conf.redirects_max = 0;
	secrets_end_with("/3", FETCH_LOOP);
	end_two();
}

static void
e4_hops_against_policy_are_refused(void)
{
	static const char *const location[] = {
		"http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "http://private.test/",
		"http://meta.test:8080/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://u:p@127.0.0.1/",
		"http://127.0.0.1:11211/", "//169.254.169.254/", "http://2852039166/", "http:/\\127.0.0.1/", "http://",
	};
	char path[20];

	begin_two();
	for (size_t i = 0; i < ARRAY_LEN(location); i++) {
		(void)snprintf(path, sizeof(path), "/%zu", i);
		redirects(s, path, 302, location[i]);
		secrets_end_with(path, FETCH_REFUSED);
	}
	CHECK_INT(server_requests(s), ARRAY_LEN(location));
	end_two();
}

static void
e8_reasons_hold_no_secrets(void)
{
	struct got g;

	begin_two();
	redirects(s, "/a", 302, "http://private.test/canary?X-Amz-Signature=canary#canary");
	redirects(s, "/b", 302, "ftp://canary:canary@canary/?canary");
	redirects(s, "/c", 302, "/d?canary");
	server_resets(s, "/d");
	for (int i = 0; i < 3; i++) {
		static const char *const path[] = { "/a?canary", "/b?canary", "/c?canary" };

		g = fetched_with_secrets(path[i]);
		CHECK(g.error != FETCH_OK && g.reason[0] != '\0');
		CHECK(strstr(g.reason, "canary") == NULL);
		got_release(&g);
	}
	end_two();
}

static void
the_body_of_a_redirect_is_bounded(void)
{
	begin_two();
	server_says(s, "/huge", "HTTP/1.1 302 Go\r\nContent-Length: 100000000\r\nLocation: /end\r\n\r\n");
	server_fills(s, "/huge", 100000000);
	server_says(s, "/unframed", "HTTP/1.1 302 Go\r\nLocation: /end\r\n\r\n");
	server_fills(s, "/unframed", 100000000);
	server_says(s, "/cut", "HTTP/1.1 302 Go\r\nContent-Length: 10\r\nLocation: /end\r\n\r\nhello");
	server_closes(s, "/cut");
	serves(s, "/end");
	secrets_end_with("/huge", FETCH_OK);
	secrets_end_with("/unframed", FETCH_OK);
	secrets_end_with("/cut", FETCH_OK);
	CHECK_INT(server_requests(s), 6);
	end_two();
}

static void
one_deadline_counts_for_all_hops(void)
{
	struct fetch_request r = { .id = "r1", .method = "GET", .tls_verify = true };
	struct err e = ERR_NONE;
	char url[100];
	struct got g;

	begin_two();
	server_waits(s, "/a");
	redirects(s, "/a", 302, "/b");
	server_says(s, "/b", "HTTP/1.1 302 Go\r\nContent-Length: 5\r\nLocation: /c\r\n\r\nhel");	/* its body drips */
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/a", server_port(s));
	r.url = url;
	got_init(&g);
	g.f = fetch_start(loop_net(), &r, &got_ops, &g, &e);
	UNTIL(server_requests(s) == 1);
	clock_shift_ms(6000);
	loop_turn();
	server_goes(s);
	UNTIL(server_requests(s) == 2);
	CHECK_INT(g.ends, 0);
	clock_shift_ms(10001);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TIMEOUT);
	got_release(&g);
	end_two();
}

static struct got
posted(const char *path)
{
	char url[300];
	struct fetch_request r = { .id = "r1", .url = url, .method = "POST", .body = "canary", .tls_verify = true };

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server_port(s), path);
	return got_of(&r);
}

static void
a_post_keeps_its_body_only_at_its_origin(void)
{
	char to_other[100];
	struct got g;

	begin_two();
	(void)snprintf(to_other, sizeof(to_other), "http://127.0.0.1:%d/there", server_port(other));
	redirects(s, "/307", 307, "/end307");
	redirects(s, "/303", 303, "/end303");
	redirects(s, "/307-away", 307, to_other);
	redirects(s, "/302-away", 302, to_other);
	server_says(s, "/end307", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	server_says(s, "/end303", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	server_says(other, "/there", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	g = posted("/307");
	CHECK(g.error == FETCH_OK && server_was_told(s, "POST /end307 HTTP"));
	got_release(&g);
	g = posted("/303");
	CHECK(g.error == FETCH_OK && server_was_told(s, "GET /end303 HTTP"));
	got_release(&g);
	g = posted("/307-away");
	CHECK_INT(g.error, FETCH_REFUSED);
	got_release(&g);
	CHECK_INT(server_requests(other), 0);
	g = posted("/302-away");
	CHECK(g.error == FETCH_OK && server_was_told(other, "GET /there HTTP") && !server_was_told(other, "canary"));
	got_release(&g);
	end_two();
}

static struct got
digested(const char *path, const char *user)
{
	char url[300];
	struct fetch_request r = { .id = "r1", .url = url, .method = "GET", .digest_user = user, .tls_verify = true };

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server_port(s), path);
	return got_of(&r);
}

static void
e5_a_digest_is_answered_and_stays_with_its_origin(void)
{
	static const char challenge[] = "HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"\r\n"
	    "Content-Length: 3\r\n\r\nwho";
	char to_other[100];
	struct got g;
	unsigned before;

	begin_two();
	(void)snprintf(to_other, sizeof(to_other), "http://127.0.0.1:%d/there", server_port(other));
	server_says(s, "/a", "%s", challenge);
	server_says(s, "/a+digest", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	server_says(s, "/never", "%s", challenge);
	server_says(s, "/basic", "HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 3\r\n\r\nwho");
	redirects(s, "/away", 302, to_other);
	server_says(other, "/there", "%s", challenge);
	g = digested("/a", "alice:canary");
	CHECK(g.error == FETCH_OK && g.r.status == 200 && g.responses == 1);
	CHECK_STR(buf_str(&g.body), "hello");
	CHECK(server_was_told(s, "username=\"alice\"") && !server_was_told(s, "canary"));
	got_release(&g);
	/* another user gets a connection of his own */
	before = server_connections(s);
	g = digested("/a", "bob:x");
	CHECK(g.error == FETCH_OK && server_connections(s) > before);
	CHECK(server_was_told(s, "username=\"bob\""));
	got_release(&g);
	/* a digest that is not accepted, and a way of login that we do not offer */
	g = digested("/never", "alice:canary");
	CHECK(g.error == FETCH_OK && g.r.status == 401 && g.responses == 1 && g.n_body == 3);
	got_release(&g);
	g = digested("/basic", "alice:canary");
	CHECK(g.error == FETCH_OK && g.r.status == 401 && g.responses == 1 && g.n_body == 3);
	got_release(&g);
	CHECK(!server_was_told(s, "Authorization: Basic"));
	g = digested("/away", "alice:canary");
	CHECK(g.error == FETCH_OK && g.r.status == 401 && g.n_body == 3);
	CHECK(!server_was_told(other, "Authorization"));
	got_release(&g);
	end_two();
}

static void
e6_each_request_carries_its_own_credentials(void)
{
	static const char *const user[] = { "Authorization: Bearer alice", "Authorization: Bearer bob" };
	char url[100];
	struct fetch_request r = { .id = "r1", .url = url, .method = "GET", .n_credentials = 1, .tls_verify = true };
	struct got g;
	const char *log;

	begin_two();
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/a", server_port(s));
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (int i = 0; i < 3; i++) {
		r.credentials = i < 2 ? &user[i] : NULL;
		r.n_credentials = i < 2;
		g = got_of(&r);
		CHECK_INT(g.error, FETCH_OK);
		got_release(&g);
	}
	CHECK_INT(server_connections(s), 1);
	log = strstr(server_log(s), "Bearer alice");
	CHECK(log != NULL && strstr(log + 1, "Bearer alice") == NULL);
	log = strstr(server_log(s), "Bearer bob");
	CHECK(log != NULL && strstr(log + 1, "GET /a") != NULL && strstr(log + 1, "Bearer") == NULL);
	end_two();
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(each_kind_of_redirect_is_followed),
		UNIT(other_3xx_are_answers),
		UNIT(e5_credentials_stay_with_their_origin),
		UNIT(e4_loops_end),
		UNIT(e4_hops_against_policy_are_refused),
		UNIT(e8_reasons_hold_no_secrets),
		UNIT(the_body_of_a_redirect_is_bounded),
		UNIT(one_deadline_counts_for_all_hops),
		UNIT(a_post_keeps_its_body_only_at_its_origin),
		UNIT(e5_a_digest_is_answered_and_stays_with_its_origin),
		UNIT(e6_each_request_carries_its_own_credentials),
	};

	return unit_run("net_redirect", t, ARRAY_LEN(t));
}
