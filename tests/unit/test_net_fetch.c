/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net: what is asked and what is answered, by servers that misbehave; one
 * hop.  Redirects and credentials are in test_net_redirect.c, time and size,
 * pauses and cancels in test_net_limits.c.
 */
#include "base/base.h"

#include "unit.h"

#include <stdlib.h>

#include "net_case.h"

static void
d7_an_answer_gives_its_facts_and_nothing_else(void)
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
d4_a_cut_body_is_truncated(void)
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
e12_a_broken_connection_is_told_by_the_first_byte(void)
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
d4_a_body_longer_than_announced_is_cut_and_its_connection_closed(void)
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
d9_bad_headers_are_refused(void)
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
d9_folded_headers_never_join_another(void)
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
d9_too_many_headers_are_refused(void)
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
d4_a_range_is_asked_for_and_judged(void)
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
d11_an_encoded_body_is_told_and_never_decoded(void)
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

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(d7_an_answer_gives_its_facts_and_nothing_else),
		UNIT(absent_and_malformed_facts_are_absent),
		UNIT(the_end_of_a_body_is_proven_or_not),
		UNIT(d4_a_cut_body_is_truncated),
		UNIT(e12_a_broken_connection_is_told_by_the_first_byte),
		UNIT(d4_a_body_longer_than_announced_is_cut_and_its_connection_closed),
		UNIT(good_connections_are_used_again),
		UNIT(d9_bad_headers_are_refused),
		UNIT(d9_folded_headers_never_join_another),
		UNIT(d9_too_many_headers_are_refused),
		UNIT(interim_answers_and_trailers_are_not_the_answer),
		UNIT(lengths_beside_chunks_do_not_count),
		UNIT(d4_a_range_is_asked_for_and_judged),
		UNIT(other_answers_to_a_range_are_told),
		UNIT(d11_an_encoded_body_is_told_and_never_decoded),
		UNIT(a_request_says_who_and_for_whom),
		UNIT(malformed_requests_do_not_start),
		UNIT(a_post_carries_its_body),
	};

	return unit_run("net_fetch", t, ARRAY_LEN(t));
}
