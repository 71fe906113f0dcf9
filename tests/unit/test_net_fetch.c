/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net against servers that misbehave: one hop.  Redirects and
 * credentials are in test_net_redirect.c.
 */
#include "base/base.h"

#include "unit.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "net_server.h"

static char loopback_v4[] = "127.0.0.1";
static char *loopback[] = { loopback_v4 };
static char site[] = "site-1";
static struct config conf;
static struct server *s;

static void
begin(void)
{
	conf = (struct config){
		.allow_http = true, .allow_private = { loopback, 1 }, .site_id = site,
		.connect_timeout_ms = 15000, .first_byte_timeout_ms = 10000, .low_speed_time_ms = 8000,
		.low_speed_bytes = 1000, .upstream_max_size = 1 << 30, .redirects_max = 3,
	};
	loop_start(&conf);
	s = server_start();
}

static void
end(void)
{
	server_stop(s);
	loop_stop();
}

static const char *
url(const char *host, const char *path)
{
	static char text[300];

	(void)snprintf(text, sizeof(text), "http://%s:%d%s", host, server_port(s), path);
	return text;
}

static struct fetch_request
request(const char *path)
{
	return (struct fetch_request){ .id = "r1", .url = url("127.0.0.1", path), .method = "GET", .tls_verify = true };
}

static void
start(const struct fetch_request *r, struct got *g)
{
	struct err e = ERR_NONE;

	g->inside = true;
	g->f = fetch_start(loop_net(), r, &got_ops, g, &e);
	g->inside = false;
	CHECK(g->f != NULL);
	CHECK_STR(e.text, "");
}

/* To its end, resuming whenever it pauses. */
static void
run(const struct fetch_request *r, struct got *g)
{
	start(r, g);
	while (g->f != NULL && g->ends == 0) {
		UNTIL(g->ends == 1 || g->paused);
		if (g->ends == 0 && !g->paused)
			return;	/* it hangs, and UNTIL has said so */
		if (g->paused) {
			g->paused = false;
			g->inside = true;
			fetch_resume(g->f);
			g->inside = false;
		}
	}
	CHECK_INT(g->ends, 1);
}

/* The path fetched to its end by an owner that takes all. */
static struct got
fetched(const char *path)
{
	struct got g;
	struct fetch_request r = request(path);

	got_init(&g);
	run(&r, &g);
	return g;
}

static void
ends_with(const char *path, enum fetch_error want)
{
	struct got g = fetched(path);

	if (g.error != want)
		fprintf(stderr, "%s: %s\n", path, g.reason);
	CHECK_STR(fetch_error_name(g.error), fetch_error_name(want));
	CHECK((g.error == FETCH_OK) == (g.reason[0] == '\0'));
	got_release(&g);
}

static void
an_answer_gives_its_facts_and_nothing_else(void)
{
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nContent-Type: Image/TIFF; application=geotiff\r\n"
	    "ETag: \"abc\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n"
	    "Content-Disposition: attachment; filename=\"../a b.tif\"\r\nContent-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n"
	    "X-Accel-Redirect: /internal/secret\r\nX-Sendfile: /etc/shadow\r\nSet-Cookie: a=b\r\nStatus: 500\r\n\r\nhello");
	g = fetched("/a");
	CHECK_INT(g.error, FETCH_OK);
	CHECK_INT(g.responses, 1);
	CHECK_INT(g.r.status, 200);
	CHECK(g.r.has_length && g.r.length == 5 && g.r.framed && g.r.accepts_ranges && !g.r.excess);
	CHECK_STR(g.r.media_type, "image/tiff; application=geotiff");
	CHECK_STR(g.r.etag, "\"abc\"");
	CHECK(g.r.disposition != NULL && strstr(g.r.disposition, "a b.tif") != NULL);
	CHECK(g.r.disposition != NULL && strstr(g.r.disposition, "..") == NULL);
	CHECK_INT(g.r.last_modified, 784111777);
	CHECK_INT(g.r.checksum.algo, DIGEST_MD5);
	CHECK(g.r.content_encoding == NULL && g.r.retry_after_s == -1 && !g.r.has_content_range);
	CHECK_STR(buf_str(&g.body), "hello");
	got_release(&g);
	end();
}

static void
absent_and_malformed_facts_are_absent(void)
{
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nContent-Type: nonsense\r\nETag: abc\r\n"
	    "Last-Modified: yesterday\r\nAccept-Ranges: none\r\nRetry-After: 120\r\nContent-MD5: zzz\r\n"
	    "Content-Disposition: inline\r\nContent-Range: bytes 0-4/5\r\n\r\n");
	g = fetched("/a");
	CHECK_INT(g.error, FETCH_OK);
	CHECK_INT(g.r.status, 503);
	CHECK(g.r.media_type == NULL && g.r.etag == NULL && g.r.disposition == NULL);
	CHECK(g.r.last_modified == -1 && !g.r.accepts_ranges && !g.r.has_content_range);
	CHECK(g.r.range_size == UINT64_MAX);
	CHECK_INT(g.r.retry_after_s, 120);
	CHECK_INT(g.r.checksum.algo, DIGEST_NONE);
	got_release(&g);
	end();
}

static void
the_end_of_a_body_is_proven_or_not(void)
{
	struct got g;

	begin();
	server_says(s, "/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Trailer: x\r\nETag: \"t\"\r\n\r\n");
	server_says(s, "/closed", "HTTP/1.1 200 OK\r\n\r\nhello");
	server_closes(s, "/closed");
	server_says(s, "/empty", "HTTP/1.1 204 No\r\n\r\n");
	g = fetched("/chunked");
	CHECK(g.error == FETCH_OK && g.r.framed && !g.r.has_length && g.r.etag == NULL);
	CHECK_STR(buf_str(&g.body), "hello");
	got_release(&g);
	g = fetched("/closed");
	CHECK(g.error == FETCH_OK && !g.r.framed && !g.r.has_length);
	CHECK_STR(buf_str(&g.body), "hello");
	got_release(&g);
	g = fetched("/empty");
	CHECK(g.error == FETCH_OK && g.r.framed && g.n_body == 0 && g.responses == 1);
	got_release(&g);
	end();
}

static void
a_cut_body_is_truncated(void)
{
	begin();
	server_says(s, "/short", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello");
	server_closes(s, "/short");
	server_says(s, "/none", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
	server_closes(s, "/none");
	server_says(s, "/chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello");
	server_closes(s, "/chunk");
	server_says(s, "/last-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	server_closes(s, "/last-chunk");
	server_says(s, "/half-last", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
	server_closes(s, "/half-last");
	server_says(s, "/bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n");
	ends_with("/short", FETCH_TRUNCATED);
	ends_with("/none", FETCH_TRUNCATED);
	ends_with("/chunk", FETCH_TRUNCATED);
	ends_with("/last-chunk", FETCH_TRUNCATED);
	ends_with("/half-last", FETCH_TRUNCATED);
	ends_with("/bad-chunk", FETCH_TRUNCATED);
	end();
}

static void
a_broken_connection_is_told_by_the_first_byte(void)
{
	struct got g;
	struct fetch_request r;

	begin();
	server_resets(s, "/before");
	server_closes(s, "/silent");
	server_says(s, "/in", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello");
	server_waits(s, "/in");
	server_resets(s, "/in");
	server_says(s, "/unframed", "HTTP/1.1 200 OK\r\n\r\nhello");
	server_waits(s, "/unframed");
	server_resets(s, "/unframed");
	server_says(s, "/headers", "HTTP/1.1 200 OK\r\nX-A: b\r\n");
	server_closes(s, "/headers");
	ends_with("/headers", FETCH_PROTOCOL);
	ends_with("/before", FETCH_CONNECT);
	ends_with("/silent", FETCH_CONNECT);
	got_init(&g);
	r = request("/in");
	start(&r, &g);
	UNTIL(g.n_body == 5);
	server_goes(s);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TRUNCATED);
	got_release(&g);
	end();
	begin();
	server_says(s, "/unframed", "HTTP/1.1 200 OK\r\n\r\nhello");
	server_waits(s, "/unframed");
	server_resets(s, "/unframed");
	got_init(&g);
	r = request("/unframed");
	start(&r, &g);
	UNTIL(g.n_body == 5);
	server_goes(s);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TRUNCATED);
	got_release(&g);
	end();
}

static void
a_body_longer_than_announced_is_cut_and_its_connection_closed(void)
{
	struct got g;

	begin();
	server_says(s, "/long", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\nevil");
	server_says(s, "/late", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	server_waits(s, "/late");
	server_says(s, "/late", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	server_says(s, "/next", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
	g = fetched("/long");
	CHECK(g.error == FETCH_OK && g.r.excess);
	CHECK_STR(buf_str(&g.body), "hello");
	got_release(&g);
	g = fetched("/next");
	CHECK_STR(buf_str(&g.body), "good");
	CHECK(!g.r.excess);
	CHECK_INT(server_connections(s), 2);
	got_release(&g);
	/* what comes when the connection is idle already */
	g = fetched("/late");
	CHECK_INT(g.error, FETCH_OK);
	got_release(&g);
	server_goes(s);
	UNTIL(server_delivered(s));
	g = fetched("/next");
	CHECK_INT(g.error, FETCH_OK);
	CHECK_STR(buf_str(&g.body), "good");
	CHECK_INT(server_connections(s), 3);
	got_release(&g);
	end();
}

static void
good_connections_are_used_again(void)
{
	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	ends_with("/a", FETCH_OK);
	ends_with("/a", FETCH_OK);
	ends_with("/a", FETCH_OK);
	CHECK_INT(server_requests(s), 3);
	CHECK_INT(server_connections(s), 1);
	end();
}

static void
bad_headers_are_refused(void)
{
	static const struct { const char *path, *head; } t[] = {
		{ "/no-colon", "HTTP/1.1 200 OK\r\nnonsense\r\n" },
		{ "/space", "HTTP/1.1 200 OK\r\nA B: c\r\n" },
		{ "/cr", "HTTP/1.1 200 OK\r\nA: b\rX-Evil: c\r\n" },
		{ "/empty-name", "HTTP/1.1 200 OK\r\n: b\r\n" },
		{ "/space-colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n" },
		{ "/control", "HTTP/1.1 200 OK\r\nA: \x01\r\n" },
		{ "/lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n" },
		{ "/length-list", "HTTP/1.1 200 OK\r\nContent-Length: 5, 4\r\n" },
		{ "/length-sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n" },
		{ "/length-minus", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n" },
		{ "/length-hex", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n" },
		{ "/length-huge", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n" },
		{ "/te-gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n" },
		{ "/te-both", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n" },
		{ "/te-two", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" },
		{ "/te-x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n" },
		{ "/ce", "HTTP/1.1 200 OK\r\nContent-Encoding: gz\"ip\r\n" },
		{ "/locations", "HTTP/1.1 302 OK\r\nLocation: /a\r\nLocation: /b\r\n" },
		{ "/status", "HTTP/1.1 20 OK\r\n" }, { "/status-text", "HTTP/1.1 abc OK\r\n" },
		{ "/status-high", "HTTP/1.1 999 OK\r\n" }, { "/version", "HTTP/3.7 200 OK\r\n" },
		{ "/switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n" },
		{ "/http09", "hello, here is a body without any header\r\n" },
	};
	static const char nul[] = "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 5\r\n\r\nhello";

	begin();
	server_sends(s, "/nul", nul, sizeof(nul) - 1);
	ends_with("/nul", FETCH_PROTOCOL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		server_says(s, t[i].path, "%s\r\nhello", t[i].head);
		server_closes(s, t[i].path);
		ends_with(t[i].path, FETCH_PROTOCOL);
	}
	end();
}

static void
folded_headers_never_join_another(void)
{
	struct got g;

	begin();
	server_says(s, "/fold", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n Content-Type: text/html\r\n\r\nhello");
	server_says(s, "/fold-first", "HTTP/1.1 200 OK\r\n Content-Type: text/html\r\nContent-Length: 5\r\n\r\nhello");
	/* newer libcurl unfolds before we see it; then it is one value of X-A */
	g = fetched("/fold");
	CHECK(g.error == FETCH_PROTOCOL || (g.error == FETCH_OK && g.r.media_type == NULL));
	got_release(&g);
	ends_with("/fold-first", FETCH_PROTOCOL);
	end();
}

static void
too_many_headers_are_refused(void)
{
	struct buf b = BUF_INIT(4 << 20);
	static char big[20000], total[4000];

	begin();
	memset(big, 'x', sizeof(big) - 1);
	memset(total, 'x', sizeof(total) - 1);
	(void)buf_adds(&b, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 10000; i++)
		(void)buf_addf(&b, "X-%d: y\r\n", i);
	(void)buf_adds(&b, "\r\n");
	server_sends(s, "/many", b.data, b.len);
	buf_clear(&b);
	(void)buf_addf(&b, "HTTP/1.1 200 OK\r\nX: %s\r\n\r\n", big);
	server_sends(s, "/line", b.data, b.len);
	buf_clear(&b);
	(void)buf_adds(&b, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 40; i++)
		(void)buf_addf(&b, "X-%d: %s\r\n", i, total);
	(void)buf_adds(&b, "\r\n");
	server_sends(s, "/total", b.data, b.len);
	buf_clear(&b);
	(void)buf_adds(&b, "HTTP/1.1 200 OK\r\nX: ");
	for (int i = 0; i < 100; i++)
		(void)buf_adds(&b, big);
	server_sends(s, "/endless", b.data, b.len);
	buf_clear(&b);
	for (int i = 0; i < 1000; i++)
		(void)buf_adds(&b, "HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n");
	server_sends(s, "/hints", b.data, b.len);
	ends_with("/many", FETCH_PROTOCOL);
	ends_with("/line", FETCH_PROTOCOL);
	ends_with("/total", FETCH_PROTOCOL);
	ends_with("/endless", FETCH_PROTOCOL);
	ends_with("/hints", FETCH_PROTOCOL);
	buf_release(&b);
	end();
}

static void
interim_answers_and_trailers_are_not_the_answer(void)
{
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nETag: \"no\"\r\nContent-Type: text/html\r\n"
	    "Content-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
	    "HTTP/1.1 404: x\r\nContent-Type: text/html\r\n\r\n");
	g = fetched("/a");
	CHECK_INT(g.error, FETCH_OK);
	CHECK_INT(g.r.status, 200);
	CHECK_INT(g.responses, 1);
	CHECK(g.r.etag == NULL && g.r.media_type == NULL && !g.r.has_length);
	CHECK_STR(buf_str(&g.body), "hello");
	got_release(&g);
	end();
}

static void
lengths_beside_chunks_do_not_count(void)
{
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
	server_says(s, "/same", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello");
	g = fetched("/a");
	CHECK(g.error == FETCH_OK && !g.r.has_length && g.r.framed);
	CHECK_STR(buf_str(&g.body), "hello");
	got_release(&g);
	ends_with("/same", FETCH_OK);
	/* the first connection was not trusted any more */
	CHECK_INT(server_connections(s), 2);
	end();
}

static struct got
ranged(const char *path, uint64_t first, uint64_t last)
{
	struct got g;
	struct fetch_request r = request(path);

	r.has_range = true;
	r.range_first = first;
	r.range_last = last;
	got_init(&g);
	run(&r, &g);
	return g;
}

static void
a_range_is_asked_for_and_judged(void)
{
	static const struct { const char *path, *head; uint64_t first, last; bool bad; } t[] = {
		{ "/good", "Content-Range: bytes 2-6/100", 2, 6, false },
		{ "/open", "Content-Range: bytes 95-99/100", 95, UINT64_MAX, false },
		{ "/clipped", "Content-Range: bytes 95-99/100", 95, 200, false },
		{ "/unknown", "Content-Range: bytes 2-6/*", 2, 6, false },
		{ "/shifted", "Content-Range: bytes 3-7/100", 2, 6, true },
		{ "/shorter", "Content-Range: bytes 2-6/100", 2, 9, true },
		{ "/longer", "Content-Range: bytes 2-6/100", 2, 4, true },
		{ "/absent", "X: y", 2, 6, true },
		{ "/malformed", "Content-Range: bytes 6-2/100", 2, 6, true },
		{ "/other-unit", "Content-Range: lines 2-6/100", 2, 6, true },
		{ "/two", "Content-Range: bytes 2-6/100\r\nContent-Range: bytes 2-6/100", 2, 6, true },
		{ "/beyond", "Content-Range: bytes 2-6/5", 2, 6, true },
		{ "/length", "Content-Range: bytes 2-7/100", 2, 7, true },
		{ "/unsatisfied", "Content-Range: bytes */100", 2, 6, true },
	};
	struct got g;

	begin();
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		server_says(s, t[i].path, "HTTP/1.1 206 Part\r\nContent-Length: 5\r\n%s\r\n\r\nhello", t[i].head);
		g = ranged(t[i].path, t[i].first, t[i].last);
		if (g.r.bad_content_range != t[i].bad)
			fprintf(stderr, "%s\n", t[i].path);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.r.bad_content_range, t[i].bad);
		CHECK(g.r.accepts_ranges);
		got_release(&g);
	}
	CHECK(server_was_told(s, "\r\nRange: bytes=2-6\r\n"));
	CHECK(server_was_told(s, "\r\nRange: bytes=95-\r\n"));
	g = ranged("/good", 2, 6);
	CHECK(g.r.has_content_range && g.r.range_first == 2 && g.r.range_last == 6 && g.r.range_size == 100);
	got_release(&g);
	/* nobody asked for a part */
	g = fetched("/good");
	CHECK(g.r.status == 206 && g.r.bad_content_range);
	got_release(&g);
	end();
}

static void
other_answers_to_a_range_are_told(void)
{
	struct got g;

	begin();
	server_says(s, "/whole", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	server_says(s, "/beyond", "HTTP/1.1 416 No\r\nContent-Length: 0\r\nContent-Range: bytes */100\r\n\r\n");
	g = ranged("/whole", 2, 3);
	CHECK(g.error == FETCH_OK && g.r.status == 200 && !g.r.has_content_range && !g.r.bad_content_range);
	CHECK_STR(buf_str(&g.body), "hello");
	got_release(&g);
	g = ranged("/beyond", 200, 300);
	CHECK(g.error == FETCH_OK && g.r.status == 416 && g.r.range_size == 100 && !g.r.bad_content_range);
	got_release(&g);
	end();
}

static void
an_encoded_body_is_told_and_never_decoded(void)
{
	/* the gzip of "hello" would be decoded if anybody tried */
	static const char gz[] = "\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0";
	struct got g;

	begin();
	server_says(s, "/gz", "HTTP/1.1 200 OK\r\nContent-Encoding: GZip\r\nContent-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n"
	    "Content-Length: %zu\r\n\r\n", sizeof(gz) - 1);
	server_sends(s, "/gz", gz, sizeof(gz) - 1);
	server_says(s, "/id", "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi");
	g = fetched("/gz");
	CHECK_INT(g.error, FETCH_OK);
	CHECK_STR(g.r.content_encoding, "gzip");
	CHECK(g.body.len == sizeof(gz) - 1 && memcmp(g.body.data, gz, sizeof(gz) - 1) == 0);
	CHECK_INT(g.r.checksum.algo, DIGEST_NONE);
	got_release(&g);
	g = fetched("/id");
	CHECK(g.r.content_encoding == NULL);
	got_release(&g);
	CHECK(server_was_told(s, "\r\nAccept-Encoding: identity\r\n"));
	CHECK(!server_was_told(s, "gzip"));
	end();
}

static void
a_request_says_who_and_for_whom(void)
{
	char *headers[] = { mem_strdup("If-Range: \"x\""), mem_strdup("host: evil.org"), mem_strdup("RANGE: bytes=0-1"),
		mem_strdup("Accept-Encoding: gzip"), mem_strdup("Transfer-Encoding: chunked"), mem_strdup("Empty:"),
		mem_strdup("Connection: close") };
	const char *credentials[] = { "X-Api-Key: secret", "Authorization: Bearer abc" };
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = request("/a?b=c%2fd");
	r.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	r.headers = headers;
	r.n_headers = ARRAY_LEN(headers);
	r.credentials = credentials;
	r.n_credentials = 2;
	got_init(&g);
	run(&r, &g);
	CHECK_INT(g.error, FETCH_OK);
	CHECK(server_was_told(s, "GET /a?b=c%2fd HTTP/1.1\r\n"));
	CHECK(server_was_told(s, "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
	CHECK(server_was_told(s, "\r\nCDN-Loop: site-1\r\n"));
	CHECK(server_was_told(s, "\r\nUser-Agent: eodata-proxy/" PACKAGE_VERSION "\r\n"));
	CHECK(server_was_told(s, "\r\nIf-Range: \"x\"\r\n"));
	CHECK(server_was_told(s, "\r\nX-Api-Key: secret\r\n"));
	CHECK(server_was_told(s, "\r\nAuthorization: Bearer abc\r\n"));
	CHECK(!server_was_told(s, "evil.org") && !server_was_told(s, "bytes=0-1") && !server_was_told(s, "gzip"));
	CHECK(!server_was_told(s, "chunked") && !server_was_told(s, "Empty") && !server_was_told(s, "close"));
	CHECK(!server_was_told(s, "Expect") && !server_was_told(s, "Cookie") && !server_was_told(s, "Upgrade"));
	got_release(&g);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		free(headers[i]);
	end();
}

static void
malformed_requests_do_not_start(void)
{
	static const char *const line[] = {
		"X-A: b\r\nX-Evil: c", "X-A: b\nX-Evil: c", "no colon", "", " folded: x", "X-A: \x01", "X A: b",
	};
	static const char *const path[] = { "", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://10.0.0.1/", "http://127.0.0.1:22/" };
	struct fetch_request r;
	struct got g;
	struct err e;

	begin();
	got_init(&g);
	for (size_t i = 0; i < ARRAY_LEN(line); i++) {
		e = (struct err)ERR_NONE;
		r = request("/a");
		r.credentials = &line[i];
		r.n_credentials = 1;
		CHECK(fetch_start(loop_net(), &r, &got_ops, &g, &e) == NULL);
		/* it may have been a secret */
		CHECK(e.text[0] != '\0' && strstr(e.text, "Evil") == NULL && strstr(e.text, "X-A") == NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(path); i++) {
		r = request("/a");
		r.url = path[i];
		CHECK(fetch_start(loop_net(), &r, &got_ops, &g, &e) == NULL);
	}
	r = request("/a");
	r.method = "DELETE";
	CHECK(fetch_start(loop_net(), &r, &got_ops, &g, &e) == NULL);
	r = request("/a");
	r.has_range = true;
	r.range_first = 5;
	r.range_last = 4;
	CHECK(fetch_start(loop_net(), &r, &got_ops, &g, &e) == NULL);
	loop_turn();
	CHECK_INT(server_connections(s), 0);
	CHECK_INT(g.ends, 0);
	got_release(&g);
	end();
}

static void
a_post_carries_its_body(void)
{
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/p", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = request("/p");
	r.method = "POST";
	r.body = "{\"a\":1}";
	got_init(&g);
	run(&r, &g);
	CHECK_INT(g.error, FETCH_OK);
	CHECK(server_was_told(s, "POST /p HTTP/1.1\r\n") && server_was_told(s, "\r\n\r\n{\"a\":1}"));
	got_release(&g);
	end();
}

static void
no_answer_in_time_is_a_timeout(void)
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
a_stalled_body_is_a_timeout(void)
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
a_drip_is_a_timeout_and_a_slow_body_is_not(void)
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
the_environment_names_no_proxy(void)
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
a_netrc_is_not_read(void)
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
a_name_that_leads_inside_is_refused(void)
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

static void
a_kept_connection_obeys_the_new_configuration(void)
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
		UNIT(an_answer_gives_its_facts_and_nothing_else),
		UNIT(absent_and_malformed_facts_are_absent),
		UNIT(the_end_of_a_body_is_proven_or_not),
		UNIT(a_cut_body_is_truncated),
		UNIT(a_broken_connection_is_told_by_the_first_byte),
		UNIT(a_body_longer_than_announced_is_cut_and_its_connection_closed),
		UNIT(good_connections_are_used_again),
		UNIT(bad_headers_are_refused),
		UNIT(folded_headers_never_join_another),
		UNIT(too_many_headers_are_refused),
		UNIT(interim_answers_and_trailers_are_not_the_answer),
		UNIT(lengths_beside_chunks_do_not_count),
		UNIT(a_range_is_asked_for_and_judged),
		UNIT(other_answers_to_a_range_are_told),
		UNIT(an_encoded_body_is_told_and_never_decoded),
		UNIT(a_request_says_who_and_for_whom),
		UNIT(malformed_requests_do_not_start),
		UNIT(a_post_carries_its_body),
		UNIT(no_answer_in_time_is_a_timeout),
		UNIT(a_stalled_body_is_a_timeout),
		UNIT(a_drip_is_a_timeout_and_a_slow_body_is_not),
		UNIT(the_time_of_a_pause_does_not_count),
		UNIT(a_stall_after_a_pause_is_a_timeout),
		UNIT(a_body_over_the_size_is_refused),
		UNIT(pauses_lose_and_double_nothing),
		UNIT(an_owner_can_stop),
		UNIT(a_cancel_at_any_point_is_the_end),
		UNIT(bytes_that_are_here_at_a_cancel_come_no_more),
		UNIT(a_callback_can_cancel_all_others),
		UNIT(the_environment_names_no_proxy),
		UNIT(a_netrc_is_not_read),
		UNIT(a_name_that_leads_inside_is_refused),
		UNIT(a_kept_connection_obeys_the_new_configuration),
		UNIT(nobody_at_the_port_is_a_connect_error),
		UNIT(a_dns_that_hangs_blocks_nobody),
		UNIT(a_thousand_at_once_all_end),
	};

	return unit_run("net_fetch", t, ARRAY_LEN(t));
}
