/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net: bodies that we send, and servers that do not take them.
 */
#include "base/base.h"

#include "unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "net_case.h"

enum { OFFSET = 777, SIZE = 5000000 };

/* A file of n fill bytes. */
static int
file(uint64_t n)
{
	static char block[65536];
	int fd = memfd_create("upload", MFD_CLOEXEC);

	MUST(fd >= 0);
	for (uint64_t at = 0; at < n; at += sizeof(block)) {
		size_t part = n - at < sizeof(block) ? (size_t)(n - at) : sizeof(block);

		for (size_t i = 0; i < part; i++)
			block[i] = fill_byte(at + i);
		MUST(fd_write_all(fd, block, part) == 0);
	}
	return fd;
}

/* SIZE bytes of fd from OFFSET on. */
static struct fetch_request
upload(const char *path, int fd)
{
	struct fetch_request r = request(path);

	r.method = "PUT";
	r.trusted = true;
	r.has_upload = true;
	r.upload_fd = fd;
	r.upload_offset = OFFSET;
	r.upload_length = SIZE;
	return r;
}

static void
an_upload_arrives_whole(void)
{
	int fd = file(OFFSET + SIZE + 10);
	char type[] = "Content-Type: image/tiff", *headers[] = { type };
	struct fetch_request r;
	struct got g;

	begin();
	server_takes(s, "/up", UINT64_MAX, OFFSET, false);
	server_says(s, "/up", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n");
	MUST(lseek(fd, 5, SEEK_SET) == 5);
	for (int i = 0; i < 2; i++) {	/* once more on the kept connection */
		r = upload("/up", fd);
		r.headers = headers;
		r.n_headers = 1;
		got_init(&g);
		run(&r, &g);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.r.status, 200);
		CHECK_STR(g.r.etag, "\"e\"");
		CHECK_INT(server_taken(s), SIZE);
		CHECK_INT(g.sent, SIZE);
		got_release(&g);
	}
	CHECK(!server_took_wrong(s));
	CHECK_INT(server_connections(s), 1);
	CHECK(server_was_told(s, "PUT /up HTTP/1.1\r\n") && server_was_told(s, "\r\nContent-Length: 5000000\r\n"));
	CHECK(server_was_told(s, "\r\nContent-Type: image/tiff\r\n"));
	CHECK(!server_was_told(s, "Expect") && !server_was_told(s, "chunked"));
	CHECK_INT(lseek(fd, 0, SEEK_CUR), 5);
	end();
	fd_close(&fd);
}

static void
an_upload_of_nothing_has_a_length(void)
{
	int fd = file(OFFSET);
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/up", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = upload("/up", fd);
	r.upload_length = 0;
	got_init(&g);
	run(&r, &g);
	CHECK(g.error == FETCH_OK && g.r.status == 200);
	CHECK(server_was_told(s, "\r\nContent-Length: 0\r\n") && !server_was_told(s, "chunked"));
	got_release(&g);
	end();
	fd_close(&fd);
}

static void
a_put_sends_text_from_memory(void)
{
	char type[] = "Content-Type: application/xml", md5[] = "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==";
	char *headers[] = { type, md5 };
	static const char *const method[] = { "PUT", "POST" };
	struct fetch_request r;
	struct got g;

	begin();
	server_says(s, "/p", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(method); i++) {
		r = request("/p?lifecycle=");
		r.method = method[i];
		r.trusted = true;
		r.body = i == 0 ? "<put/>" : "<post/>";
		r.headers = headers;
		r.n_headers = 2;
		got_init(&g);
		run(&r, &g);
		CHECK(g.error == FETCH_OK && g.r.status == 200);
		got_release(&g);
	}
	CHECK(server_was_told(s, "PUT /p?lifecycle= HTTP/1.1\r\n") && server_was_told(s, "\r\n\r\n<put/>"));
	CHECK(server_was_told(s, "POST /p?lifecycle= HTTP/1.1\r\n") && server_was_told(s, "\r\n\r\n<post/>"));
	CHECK(server_was_told(s, "\r\nContent-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n"));
	CHECK(!server_was_told(s, "urlencoded") && !server_was_told(s, "Expect") && !server_was_told(s, "chunked"));
	end();
}

static void
an_upload_that_is_cut_is_a_failure(void)
{
	static const struct { const char *path; uint64_t takes; const char *says; bool reset; } t[] = {
		{ "/head", 0, NULL, false }, { "/head-reset", 0, NULL, true },
		{ "/half", 100000, NULL, false }, { "/half-reset", 100000, NULL, true },
		{ "/all", UINT64_MAX, NULL, false }, { "/all-reset", UINT64_MAX, NULL, true },
		{ "/answer", UINT64_MAX, "HTTP/1.1 200 OK\r\nContent-Le", false },
		{ "/interim", UINT64_MAX, "HTTP/1.1 100 Continue\r\n\r\n", false },
		{ "/body", UINT64_MAX, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", false },
	};
	int fd = file(OFFSET + SIZE);
	struct fetch_request r;
	struct got g;

	begin();
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		server_takes(s, t[i].path, t[i].takes, OFFSET, false);
		if (t[i].says != NULL)
			server_says(s, t[i].path, "%s", t[i].says);
		if (t[i].reset)
			server_resets(s, t[i].path);
		else
			server_closes(s, t[i].path);
		r = upload(t[i].path, fd);
		got_init(&g);
		run(&r, &g);
		if (g.error == FETCH_OK || (g.responses > 0 && strcmp(t[i].path, "/body") != 0))
			fprintf(stderr, "%s: %s\n", t[i].path, fetch_error_name(g.error));
		CHECK(g.error == FETCH_CONNECT || g.error == FETCH_TRUNCATED || g.error == FETCH_PROTOCOL);
		CHECK_INT(g.responses, strcmp(t[i].path, "/body") == 0);
		got_release(&g);
	}
	CHECK(!server_took_wrong(s));
	end();
	fd_close(&fd);
}

static void
an_error_before_the_end_of_the_upload_is_the_answer(void)
{
	static const int status[] = { 413, 403, 503 };
	int fd = file(OFFSET + SIZE);
	struct fetch_request r;
	struct got g;
	char path[40];

	begin();
	for (size_t i = 0; i < 3 * ARRAY_LEN(status); i++) {
		(void)snprintf(path, sizeof(path), "/early-%zu", i);
		/* it reads nothing, some, or goes on reading what it does not want */
		server_takes(s, path, i % 3 == 1 ? 100000 : 0, OFFSET, i % 3 == 2);
		server_says(s, path, "HTTP/1.1 %d No\r\nContent-Length: 8\r\nRetry-After: 3\r\n\r\n<Error/>", status[i / 3]);
		r = upload(path, fd);
		got_init(&g);
		run(&r, &g);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.r.status, status[i / 3]);
		CHECK_INT(g.r.retry_after_s, 3);
		CHECK_STR(buf_str(&g.body), "<Error/>");
		CHECK(g.sent < SIZE);
		got_release(&g);
	}
	/* what is left of those bodies is nobody's next request */
	CHECK_INT(server_connections(s), 3 * ARRAY_LEN(status));
	end();
	fd_close(&fd);
}

static void
an_interim_answer_does_not_stop_an_upload(void)
{
	int fd = file(OFFSET + SIZE);
	struct fetch_request r;
	struct got g;

	begin();
	server_takes(s, "/up", 100000, OFFSET, true);
	server_says(s, "/up", "HTTP/1.1 100 Continue\r\n\r\n");
	server_waits(s, "/up");
	server_says(s, "/up", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = upload("/up", fd);
	got_init(&g);
	start(&r, &g);
	UNTIL(server_taken(s) == SIZE);
	CHECK_INT(g.responses, 0);
	server_goes(s);
	UNTIL(g.ends == 1);
	CHECK(g.error == FETCH_OK && g.r.status == 200 && !server_took_wrong(s));
	got_release(&g);
	end();
	fd_close(&fd);
}

static void
an_upload_begins_again_when_its_kept_connection_was_dead(void)
{
	int fd = file(OFFSET + SIZE);
	struct fetch_request r;
	struct got g;

	begin();
	server_takes(s, "/up", UINT64_MAX, OFFSET, false);
	server_says(s, "/up", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	server_takes(s, "/up+kept", 300000, OFFSET, false);
	server_resets(s, "/up+kept");
	for (int i = 0; i < 2; i++) {
		r = upload("/up", fd);
		got_init(&g);
		run(&r, &g);
		CHECK_INT(g.error, FETCH_OK);
		CHECK_INT(g.sent, SIZE);
		CHECK_INT(server_taken(s), SIZE);
		got_release(&g);
	}
	CHECK_INT(server_requests(s), 3);
	CHECK_INT(server_connections(s), 2);
	CHECK(!server_took_wrong(s));
	end();
	fd_close(&fd);
}

static void
e12_a_server_that_takes_nothing_is_a_timeout(void)
{
	int fd = memfd_create("large", MFD_CLOEXEC), quarters = 0;
	struct fetch_request r;
	struct got g;
	uint64_t sent;

	MUST(fd >= 0 && ftruncate(fd, (off_t)1 << 30) == 0);	/* more than sockets have room for */
	begin();
	server_takes(s, "/never", 0, 0, false);
	server_waits(s, "/never");
	r = upload("/never", fd);
	r.upload_length = (uint64_t)1 << 29;
	got_init(&g);
	start(&r, &g);
	do {	/* until both sockets are full */
		sent = fetch_sent(g.f);
		for (int i = 0; i < 5; i++)
			loop_turn();
	} while (sent == 0 || sent != fetch_sent(g.f));
	while (g.ends == 0 && quarters < 20) {
		quarters++;
		clock_shift_ms(2100);
		loop_turn();
		loop_turn();
	}
	CHECK_INT(g.ends, 1);
	CHECK_INT(g.error, FETCH_TIMEOUT);
	CHECK(strstr(g.reason, "slower") != NULL);
	CHECK(quarters >= 4 && quarters <= 9);	/* what went into the sockets counts in its own quarter */
	got_release(&g);
	CHECK_INT(loop_watched(), 0);
	end();
	fd_close(&fd);
}

static void
a_long_upload_has_its_time_and_then_that_of_the_first_byte(void)
{
	int fd = file(OFFSET + 4 * SIZE);
	struct fetch_request r;
	struct got g;
	int64_t shift = 0;

	begin();
	conf.first_byte_timeout_ms = 20000;
	server_takes(s, "/up", UINT64_MAX, OFFSET, false);
	server_waits(s, "/up");
	r = upload("/up", fd);
	r.upload_length = 4 * SIZE;
	got_init(&g);
	start(&r, &g);
	UNTIL(fetch_sent(g.f) > 0);
	while (g.ends == 0 && fetch_sent(g.f) < 4 * SIZE) {
		uint64_t sent = fetch_sent(g.f);

		shift += 1900;	/* the clock of each part of it */
		clock_shift_ms(1900);
		UNTIL(g.ends > 0 || fetch_sent(g.f) > sent + 2000 || fetch_sent(g.f) == 4 * SIZE);
	}
	CHECK_INT(g.ends, 0);
	CHECK(shift > conf.first_byte_timeout_ms);
	UNTIL(server_taken(s) == 4 * SIZE);
	clock_shift_ms(10000);
	loop_turn();
	loop_turn();
	CHECK_INT(g.ends, 0);
	clock_shift_ms(10500);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TIMEOUT);
	CHECK(strstr(g.reason, "no answer") != NULL);
	got_release(&g);
	end();
	fd_close(&fd);
}

static void
an_upload_ends_when_its_time_is_over(void)
{
	int fd = memfd_create("large", MFD_CLOEXEC);
	struct fetch_request r;
	struct got g;

	MUST(fd >= 0 && ftruncate(fd, (off_t)1 << 30) == 0);
	begin();
	conf.low_speed_bytes = 0;
	server_takes(s, "/never", 0, 0, false);
	server_waits(s, "/never");
	r = upload("/never", fd);
	r.upload_length = (uint64_t)1 << 29;
	r.end_mono_ms = clock_mono_ms() + 100000;
	got_init(&g);
	start(&r, &g);
	UNTIL(server_requests(s) == 1);
	clock_shift_ms(99000);
	loop_turn();
	loop_turn();
	CHECK_INT(g.ends, 0);
	clock_shift_ms(1001);
	UNTIL(g.ends == 1);
	CHECK_INT(g.error, FETCH_TIMEOUT);
	got_release(&g);
	end();
	fd_close(&fd);
}

static void
a_cancel_leaves_the_file_alone(void)
{
	struct fetch_request r;
	bool finished = false;
	struct got g;
	int fd;

	begin();
	server_takes(s, "/up", UINT64_MAX, OFFSET, false);
	server_says(s, "/up", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (int turns = 0; !finished && turns < 500; turns++) {
		fd = file(OFFSET + SIZE / 5);
		r = upload("/up", fd);
		r.upload_length = SIZE / 5;
		got_init(&g);
		start(&r, &g);
		for (int i = 0; i < turns && g.ends == 0; i++)
			loop_turn();
		finished = g.ends > 0;
		if (!finished) {
			g.inside = true;	/* every callback from now on is a failure */
			fetch_cancel(g.f);
		}
		/* whoever reads it now reads nothing that is right */
		MUST(ftruncate(fd, 0) == 0);
		fd_close(&fd);
		for (int i = 0; i < 3; i++)
			loop_turn();
		CHECK_INT(g.ends, finished);
		got_release(&g);
	}
	CHECK(finished && !server_took_wrong(s));
	CHECK_INT(loop_watched(), 0);
	end();
}

static void
a_file_that_is_too_short_is_no_upload(void)
{
	int fd = file(OFFSET + SIZE - 1);
	struct fetch_request r;
	struct got g;

	begin();
	server_takes(s, "/up", UINT64_MAX, OFFSET, false);
	server_says(s, "/up", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = upload("/up", fd);
	got_init(&g);
	run(&r, &g);
	CHECK_INT(g.error, FETCH_CANCELLED);
	CHECK(strstr(g.reason, "shorter") != NULL);
	CHECK_INT(g.responses, 0);
	got_release(&g);
	UNTIL(server_open(s) == 0);
	end();
	fd_close(&fd);
}

static void
malformed_uploads_do_not_start(void)
{
	struct fetch_request r[8];
	struct got g;
	struct err e;

	begin();
	got_init(&g);
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		r[i] = upload("/up", 0);
	r[0].trusted = false;
	r[1].method = "POST";
	r[2].body = "x";
	r[3].upload_fd = -1;
	r[4].upload_offset = INT64_MAX;
	r[5].upload_length = UINT64_MAX;
	r[6].patient = true;		/* without an end */
	r[7].method = "PATCH";
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		e = (struct err)ERR_NONE;
		CHECK(fetch_start(loop_net(), &r[i], &got_ops, &g, &e) == NULL);
		CHECK(e.text[0] != '\0');
	}
	loop_turn();
	CHECK_INT(server_connections(s), 0);
	CHECK_INT(g.ends, 0);
	got_release(&g);
	end();
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(an_upload_arrives_whole),
		UNIT(an_upload_of_nothing_has_a_length),
		UNIT(a_put_sends_text_from_memory),
		UNIT(an_upload_that_is_cut_is_a_failure),
		UNIT(an_error_before_the_end_of_the_upload_is_the_answer),
		UNIT(an_interim_answer_does_not_stop_an_upload),
		UNIT(an_upload_begins_again_when_its_kept_connection_was_dead),
		UNIT(e12_a_server_that_takes_nothing_is_a_timeout),
		UNIT(a_long_upload_has_its_time_and_then_that_of_the_first_byte),
		UNIT(an_upload_ends_when_its_time_is_over),
		UNIT(a_cancel_leaves_the_file_alone),
		UNIT(a_file_that_is_too_short_is_no_upload),
		UNIT(malformed_uploads_do_not_start),
	};

	return unit_run("net_upload", t, ARRAY_LEN(t));
}
