/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/bucket: what an answer of S3 means, and when an operation comes again.
 */
#include "base/base.h"

#include "unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "bucket/client.h"
#include "net_case.h"

static char key_id[] = "AKIDEXAMPLE", key_secret[] = "secret/with+bytes=";
static const struct s3_credentials credentials = { .id = key_id, .secret = key_secret };
static bool has_keys;
static struct s3_place place;
static struct s3_client *b;

/* What a call has ended with: copies. */
struct ended {
	unsigned n, tries;
	enum s3_result result;
	int status;
	char code[S3_CODE_MAX + 1], reason[1000], etag[100], meta[100], body[200];
	uint64_t length;
	bool answered;
};

static void
on_done(void *arg, const struct s3_answer *a, unsigned tries)
{
	struct ended *x = arg;
	struct err e = ERR_NONE;

	x->n++;
	x->result = a->result;
	x->tries = tries;
	x->status = a->status;
	x->answered = a->head != NULL;
	s3_answer_say(a, &e);
	CHECK_INT(a->body_n, strlen(a->body));
	(void)snprintf(x->body, sizeof(x->body), "%s", a->body);
	(void)snprintf(x->code, sizeof(x->code), "%s", a->said.code);
	(void)snprintf(x->reason, sizeof(x->reason), "%s", e.text);
	if (a->head != NULL && a->head->etag != NULL)
		(void)snprintf(x->etag, sizeof(x->etag), "%s", a->head->etag);
	if (a->head != NULL && fetch_response_amz(a->head, "x-amz-meta-a") != NULL)
		(void)snprintf(x->meta, sizeof(x->meta), "%s", fetch_response_amz(a->head, "x-amz-meta-a"));
	x->length = a->head == NULL ? 0 : a->head->length;
}

static const struct s3_credentials *
keys(void *arg UNUSED, struct err *e)
{
	if (has_keys)
		return &credentials;
	(void)err_set(e, "there are no credentials");
	return NULL;
}

static void
set_up(const char *host, const char *region)
{
	struct err e = ERR_NONE;
	char endpoint[100];

	begin();
	(void)snprintf(endpoint, sizeof(endpoint), "http://%s:%d", host, server_port(s));
	MUST(s3_place_init(&place, &(struct s3_place_words){ .endpoint = endpoint, .region = region, .bucket = "data",
	    .prefix = "p" }, &e) == 0);
	has_keys = true;
	b = s3_client_new(loop_net(), &place, true, keys, NULL);
}

static void
tear_down(void)
{
	s3_client_free(b);
	s3_place_release(&place);
	end();
}

static struct s3_want
operation(const char *method, const char *key)
{
	return (struct s3_want){
		.request = { .method = method, .key = key }, .fd = -1, .end_ms = clock_mono_ms() + 3600000,
	};
}

/* For how long it waits before the next try, when nothing is under way. */
static int
pause_ms(void)
{
	return net_is_idle(loop_net()) ? net_timeout_ms(loop_net()) : 0;
}

/* Pauses pass by the clock's hook. */
static void
turn(void)
{
	if (pause_ms() > 0)
		clock_shift_ms(pause_ms());
	loop_turn();
}

/* To its end. */
static struct ended
called(const struct s3_want *r)
{
	struct ended x = { .n = 0 };
	int64_t since = loop_real_us();

	(void)s3_op_start(b, r, on_done, &x);
	CHECK_INT(x.n, 0);
	while (x.n == 0 && !loop_hangs(since))
		turn();
	CHECK_INT(x.n, 1);
	return x;
}

static struct ended
got_of(const char *method, const char *key)
{
	struct s3_want r = operation(method, key);

	return called(&r);
}

/* The body of an error with that code. */
static void
server_refuses(const char *path, int status, const char *code, const char *more_headers)
{
	char body[300];

	(void)snprintf(body, sizeof(body),
	    "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>it is\nso</Message></Error>", code);
	server_says(s, path, "HTTP/1.1 %d No\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body), more_headers,
	    body);
}

static void
an_answer_has_its_meaning(void)
{
	static const struct { int status; const char *code; enum s3_result want; enum judge_next next; } t[] = {
		{ 200, "", S3_RESULT_OK, JUDGE_OVER }, { 204, "", S3_RESULT_OK, JUDGE_OVER }, { 304, "", S3_RESULT_OK, JUDGE_OVER },
		{ 404, "NoSuchKey", S3_RESULT_ABSENT, JUDGE_OVER }, { 404, "", S3_RESULT_ABSENT, JUDGE_OVER },
		{ 404, "NoSuchUpload", S3_RESULT_ABSENT, JUDGE_OVER }, { 404, "NoSuchBucket", S3_RESULT_NONE, JUDGE_OVER },
		{ 403, "AccessDenied", S3_RESULT_REFUSED, JUDGE_OVER }, { 403, "", S3_RESULT_REFUSED, JUDGE_OVER },
		{ 403, "SignatureDoesNotMatch", S3_RESULT_REFUSED, JUDGE_OVER }, { 401, "", S3_RESULT_REFUSED, JUDGE_OVER },
		{ 403, "RequestTimeTooSkewed", S3_RESULT_CLOCK, JUDGE_OVER },
		{ 412, "PreconditionFailed", S3_RESULT_UNMET, JUDGE_OVER }, { 409, "", S3_RESULT_UNMET, JUDGE_OVER },
		{ 400, "InvalidArgument", S3_RESULT_BAD, JUDGE_OVER }, { 400, "EntityTooSmall", S3_RESULT_BAD, JUDGE_OVER },
		{ 501, "NotImplemented", S3_RESULT_BAD, JUDGE_OVER }, { 411, "", S3_RESULT_BAD, JUDGE_OVER },
		{ 413, "", S3_RESULT_BAD, JUDGE_OVER }, { 301, "PermanentRedirect", S3_RESULT_REGION, JUDGE_OVER },
		{ 307, "", S3_RESULT_REGION, JUDGE_OVER },
		{ 503, "SlowDown", S3_RESULT_BUSY, JUDGE_AGAIN }, { 503, "", S3_RESULT_BUSY, JUDGE_AGAIN },
		{ 500, "InternalError", S3_RESULT_BUSY, JUDGE_AGAIN }, { 502, "", S3_RESULT_BUSY, JUDGE_AGAIN },
		{ 504, "", S3_RESULT_BUSY, JUDGE_AGAIN }, { 429, "", S3_RESULT_BUSY, JUDGE_AGAIN },
		{ 400, "RequestTimeout", S3_RESULT_BUSY, JUDGE_AGAIN }, { 409, "OperationAborted", S3_RESULT_BUSY, JUDGE_AGAIN },
		{ 200, "InternalError", S3_RESULT_BUSY, JUDGE_AGAIN }, { 200, "InvalidPart", S3_RESULT_BAD, JUDGE_OVER },
	};
	static const struct { enum fetch_error x; enum s3_result want; enum judge_next next; } f[] = {
		{ FETCH_CONNECT, S3_RESULT_AWAY, JUDGE_AGAIN }, { FETCH_TIMEOUT, S3_RESULT_AWAY, JUDGE_AGAIN },
		{ FETCH_TRUNCATED, S3_RESULT_AWAY, JUDGE_AGAIN }, { FETCH_PROTOCOL, S3_RESULT_AWAY, JUDGE_AGAIN },
		{ FETCH_CANCELLED, S3_RESULT_SOURCE, JUDGE_OVER }, { FETCH_TOO_LARGE, S3_RESULT_BAD, JUDGE_OVER },
	};
	enum s3_result got;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct judge_facts facts = { .status = t[i].status, .code = t[i].code, .asked_region = "r", .date_s = -1 };

		CHECK_INT(judge(&facts, &got), t[i].next);
		CHECK_STR(s3_result_name(got), s3_result_name(t[i].want));
	}
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		struct judge_facts facts = { .fetch = f[i].x, .code = "", .asked_region = "r", .date_s = -1 };

		CHECK_INT(judge(&facts, &got), f[i].next);
		CHECK_STR(s3_result_name(got), s3_result_name(f[i].want));
	}
}

static void
pauses_grow_to_a_bound_and_differ(void)
{
	int64_t least, most;
	bool out = false;

	for (unsigned tries = 1; tries < 40; tries++) {
		least = judge_pause_ms(tries, -1, 0);
		most = least;
		for (uint32_t chance = 0; chance < 50000; chance += 7) {
			int64_t ms = judge_pause_ms(tries, -1, chance);

			out = out || ms < least || ms > JUDGE_PAUSE_MAX_MS;
			most = ms > most ? ms : most;
		}
		CHECK(!out && least >= JUDGE_PAUSE_MS / 2 && most > least);
		CHECK(tries == 1 || least >= judge_pause_ms(tries - 1, -1, 0));
	}
	CHECK_INT(judge_pause_ms(1, 30, 0), 30000);		/* as long as S3 asks for */
	CHECK(judge_pause_ms(30, 1, 0) >= JUDGE_PAUSE_MAX_MS / 2);
	CHECK_INT(judge_pause_ms(1, 0, 5), judge_pause_ms(1, -1, 5));
}

static void
an_answer_comes_with_its_facts(void)
{
	struct s3_pair headers[] = { { "x-amz-meta-a", "b" }, { "Content-Type", "text/plain" } };
	static const struct s3_pair query[] = { { "uploads", "" } };
	static char condition[] = "If-Match: \"x\"";
	char *plain[] = { condition };
	struct s3_want r;
	struct ended x;

	set_up("127.0.0.1", NULL);
	server_says(s, "/data/p/30d/a", "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nx-amz-meta-a: b\r\n"
	    "Content-Length: 5\r\n\r\nhello");
	r = operation("GET", "30d/a");
	r.headers = plain;
	r.n_headers = 1;
	x = called(&r);
	CHECK(x.result == S3_RESULT_OK && x.status == 200 && x.tries == 1 && x.length == 5);
	CHECK_STR(x.etag, "\"e\"");
	CHECK_STR(x.meta, "b");
	CHECK_STR(x.body, "hello");
	CHECK(server_was_told(s, "\r\nIf-Match: \"x\"\r\n") && server_was_told(s, "X-Amz-SignedHeaders=host&"));
	r = operation("POST", "30d/a");
	r.request.query = query;
	r.request.nquery = 1;
	r.request.headers = headers;
	r.request.nheaders = 2;
	x = called(&r);
	CHECK_INT(x.result, S3_RESULT_OK);
	/* what is signed is sent, and said to be signed */
	CHECK(server_was_told(s, "\r\nx-amz-meta-a: b\r\n") && server_was_told(s, "\r\nContent-Type: text/plain\r\n"));
	CHECK(server_was_told(s, "X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-meta-a"));
	CHECK(server_was_told(s, "uploads="));
	CHECK(!server_was_told(s, key_secret));
	tear_down();
}

static void
a_refusal_says_why_and_ends_at_once(void)
{
	static const struct { const char *key; int status; const char *code; enum s3_result want; } t[] = {
		{ "absent", 404, "NoSuchKey", S3_RESULT_ABSENT }, { "none", 404, "NoSuchBucket", S3_RESULT_NONE },
		{ "refused", 403, "AccessDenied", S3_RESULT_REFUSED }, { "skewed", 403, "RequestTimeTooSkewed", S3_RESULT_CLOCK },
		{ "bad", 400, "InvalidArgument", S3_RESULT_BAD }, { "unmet", 412, "PreconditionFailed", S3_RESULT_UNMET },
	};
	struct ended x;
	char path[60];

	set_up("127.0.0.1", NULL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		(void)snprintf(path, sizeof(path), "/data/p/%s", t[i].key);
		server_refuses(path, t[i].status, t[i].code, "");
		x = got_of("GET", t[i].key);
		CHECK_STR(s3_result_name(x.result), s3_result_name(t[i].want));
		CHECK_INT(x.tries, 1);
		CHECK_INT(x.status, t[i].status);
		CHECK_STR(x.code, t[i].code);
		CHECK(strstr(x.reason, t[i].code) != NULL);
		CHECK(t[i].want == S3_RESULT_CLOCK ? strstr(x.reason, "clock") != NULL : strstr(x.reason, "it is?so") != NULL);
	}
	tear_down();
}

static void
a_clock_that_is_wrong_is_told_where_no_code_is(void)
{
	struct ended x;

	set_up("127.0.0.1", NULL);
	server_says(s, "/data/p/a", "HTTP/1.1 403 No\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
	x = got_of("HEAD", "a");
	CHECK_INT(x.result, S3_RESULT_CLOCK);
	CHECK(strstr(x.reason, "clock") != NULL);
	tear_down();
}

static void
it_comes_again_when_s3_is_busy(void)
{
	struct ended x;

	set_up("127.0.0.1", NULL);
	server_refuses("/data/p/a", 503, "SlowDown", "");
	server_says(s, "/data/p/a+kept", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	x = got_of("PUT", "a");
	CHECK(x.result == S3_RESULT_OK && x.tries == 2);
	server_refuses("/data/p/busy", 503, "SlowDown", "");
	x = got_of("GET", "busy");
	CHECK(x.result == S3_RESULT_BUSY && x.tries == S3_OP_TRIES_MAX && x.status == 503);
	CHECK_STR(x.code, "SlowDown");
	tear_down();
}

static void
it_waits_as_long_as_s3_asks_for_and_not_beyond_its_end(void)
{
	struct s3_want r;
	struct ended x = { .n = 0 };

	set_up("127.0.0.1", NULL);
	server_refuses("/data/p/a", 503, "SlowDown", "Retry-After: 30\r\n");
	r = operation("GET", "a");
	(void)s3_op_start(b, &r, on_done, &x);
	UNTIL(pause_ms() > 20000);
	CHECK(pause_ms() <= 30000);
	s3_client_free(b);		/* with it waiting: no callback */
	CHECK_INT(x.n, 0);
	b = s3_client_new(loop_net(), &place, true, keys, NULL);
	r.end_ms = clock_mono_ms() + 20000;
	x = called(&r);
	CHECK(x.result == S3_RESULT_BUSY && x.tries == 1);
	tear_down();
}

static void
nobody_there_is_away(void)
{
	struct s3_want r;
	struct ended x;

	set_up("127.0.0.1", NULL);
	server_resets(s, "/data/p/a");
	x = got_of("GET", "a");
	CHECK(x.result == S3_RESULT_AWAY && x.tries == S3_OP_TRIES_MAX && x.status == 0 && !x.answered);
	CHECK(strstr(x.reason, "127.0.0.1") != NULL);
	server_waits(s, "/data/p/silent");
	r = operation("GET", "silent");
	r.end_ms = clock_mono_ms() + 100;
	x = called(&r);
	CHECK(x.result == S3_RESULT_AWAY && x.tries == 1);
	tear_down();
}

static void
a_success_that_turns_out_to_be_an_error_is_one(void)
{
	static const struct s3_pair copy[] = { { "x-amz-copy-source", "/data/b" } };
	struct s3_want r;
	struct ended x;

	set_up("127.0.0.1", NULL);
	server_says(s, "/data/p/late", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n  \n\r\n");
	server_says(s, "/data/p/late", "3c\r\n<?xml version=\"1.0\"?><Error><Code>InvalidPart</Code></Error>\r\n0\r\n\r\n");
	x = got_of("POST", "late");
	CHECK(x.result == S3_RESULT_BAD && x.status == 500);
	CHECK_STR(x.code, "InvalidPart");
	r = operation("PUT", "late");
	r.request.headers = copy;
	r.request.nheaders = 1;
	x = called(&r);
	CHECK_INT(x.result, S3_RESULT_BAD);
	/* an object may look like that */
	x = got_of("GET", "late");
	CHECK_INT(x.result, S3_RESULT_OK);
	tear_down();
	/* what S3 could not do now is tried again */
	set_up("127.0.0.1", NULL);
	server_refuses("/data/p/again", 200, "InternalError", "");
	server_says(s, "/data/p/again+kept", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	x = got_of("POST", "again");
	CHECK(x.result == S3_RESULT_OK && x.tries == 2);
	tear_down();
}

static void
it_goes_to_the_region_that_is_named_once(void)
{
	static const char malformed[] =
	    "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>";
	struct ended x;

	set_up("127.0.0.1", "us-east-1");
	server_says(s, "/data/p/a", "HTTP/1.1 400 No\r\nx-amz-bucket-region: eu-west-3\r\nContent-Length: 0\r\n\r\n");
	server_says(s, "/data/p/a+kept", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	x = got_of("HEAD", "a");
	CHECK(x.result == S3_RESULT_OK && x.tries == 2);
	CHECK(server_was_told(s, "%2Fus-east-1%2Fs3%2F") && server_was_told(s, "%2Feu-west-3%2Fs3%2F"));
	/* it has learned */
	x = got_of("HEAD", "a");
	CHECK(x.result == S3_RESULT_OK && x.tries == 1);
	/* an endpoint that sends from one to the next */
	server_says(s, "/data/p/b", "HTTP/1.1 301 No\r\nx-amz-bucket-region: ap-south-1\r\nContent-Length: 0\r\n\r\n");
	server_says(s, "/data/p/b+kept", "HTTP/1.1 301 No\r\nx-amz-bucket-region: ap-south-2\r\nContent-Length: 0\r\n\r\n");
	x = got_of("GET", "b");
	CHECK(x.result == S3_RESULT_REGION && x.tries == 2 && x.status == 301);
	tear_down();
	/* the error's own word */
	set_up("127.0.0.1", "us-east-1");
	server_says(s, "/data/p/a", "HTTP/1.1 400 No\r\nContent-Length: %zu\r\n\r\n%s", strlen(malformed), malformed);
	server_says(s, "/data/p/a+kept", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	x = got_of("GET", "a");
	CHECK(x.result == S3_RESULT_OK && x.tries == 2 && server_was_told(s, "%2Feu-central-1%2Fs3%2F"));
	tear_down();
	/* an endpoint with its region in its name */
	set_up("s3.us-east-1.test", "us-east-1");
	server_says(s, "/data/p/a", "HTTP/1.1 301 No\r\nx-amz-bucket-region: eu-west-3\r\nConnection: close\r\n\r\n");
	server_closes(s, "/data/p/a");
	x = got_of("GET", "a");
	CHECK(x.result == S3_RESULT_REGION && x.tries == 2);	/* where it says so once more */
	CHECK(server_was_told(s, "\r\nHost: s3.us-east-1.test:") && server_was_told(s, "\r\nHost: s3.eu-west-3.test:"));
	tear_down();
}

static void
a_file_is_sent_again_from_its_beginning(void)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	struct s3_want r;
	struct ended x;

	MUST(fd >= 0 && fd_write_all(fd, "(a part of a file)", 18) == 0);
	set_up("127.0.0.1", NULL);
	server_refuses("/data/p/a", 500, "InternalError", "");
	server_says(s, "/data/p/a+kept", "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n");
	r = operation("PUT", "a");
	r.fd = fd;
	r.offset = 1;
	r.n = 16;
	x = called(&r);
	CHECK(x.result == S3_RESULT_OK && x.tries == 2);
	CHECK_STR(x.etag, "\"e\"");
	CHECK_INT(server_requests(s), 2);
	CHECK(server_was_told(s, "\r\n\r\na part of a filePUT") && server_was_told(s, "\r\nContent-Length: 16\r\n"));
	r.n = 100;
	x = called(&r);
	CHECK(x.result == S3_RESULT_SOURCE && x.tries == 1);
	tear_down();
	fd_close(&fd);
}

static void
what_cannot_be_signed_is_refused_without_a_call_inside(void)
{
	static char odd[] = "X A: b";
	char *plain[] = { odd };
	struct s3_want r;
	struct ended x;

	set_up("127.0.0.1", NULL);
	x = got_of("GET", "a/../b");
	CHECK(x.result == S3_RESULT_BAD && x.reason[0] != '\0' && x.status == 0);
	r = operation("GET", "a");
	r.headers = plain;
	r.n_headers = 1;
	x = called(&r);
	CHECK(x.result == S3_RESULT_BAD && x.reason[0] != '\0');
	x = got_of("PATCH", "a");
	CHECK(x.result == S3_RESULT_BAD && x.reason[0] != '\0');
	CHECK_INT(server_requests(s), 0);
	tear_down();
}

static void
it_waits_for_credentials_until_its_end(void)
{
	struct s3_want r;
	struct ended x;

	set_up("127.0.0.1", NULL);
	server_says(s, "/data/p/a", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	has_keys = false;
	r = operation("GET", "a");
	r.end_ms = clock_mono_ms() + 5000;
	x = called(&r);
	CHECK(x.result == S3_RESULT_REFUSED && x.tries == 0 && strstr(x.reason, "credentials") != NULL);
	x.n = 0;
	r.end_ms = clock_mono_ms() + 5000;
	(void)s3_op_start(b, &r, on_done, &x);
	loop_turn();
	has_keys = true;
	clock_shift_ms(1000);
	UNTIL(x.n == 1);
	CHECK_INT(x.result, S3_RESULT_OK);
	tear_down();
}

static void
a_cancel_is_the_end_wherever_it_is(void)
{
	struct s3_want r;
	struct s3_op *c;
	struct ended x = { .n = 0 };
	bool finished = false;

	set_up("127.0.0.1", NULL);
	server_refuses("/data/p/a", 503, "SlowDown", "");
	for (int turns = 0; !finished && turns < 500; turns++) {
		r = operation("GET", "a");
		c = s3_op_start(b, &r, on_done, &x);
		for (int i = 0; i < turns && x.n == 0; i++)
			turn();
		finished = x.n > 0;
		if (finished)
			break;
		s3_op_cancel(c);
		for (int i = 0; i < 3; i++)
			loop_turn();
		CHECK_INT(x.n, 0);
		CHECK(net_is_idle(loop_net()));
	}
	CHECK(finished);
	s3_op_cancel(NULL);
	tear_down();
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(an_answer_has_its_meaning),
		UNIT(pauses_grow_to_a_bound_and_differ),
		UNIT(an_answer_comes_with_its_facts),
		UNIT(a_refusal_says_why_and_ends_at_once),
		UNIT(a_clock_that_is_wrong_is_told_where_no_code_is),
		UNIT(it_comes_again_when_s3_is_busy),
		UNIT(it_waits_as_long_as_s3_asks_for_and_not_beyond_its_end),
		UNIT(nobody_there_is_away),
		UNIT(a_success_that_turns_out_to_be_an_error_is_one),
		UNIT(it_goes_to_the_region_that_is_named_once),
		UNIT(a_file_is_sent_again_from_its_beginning),
		UNIT(what_cannot_be_signed_is_refused_without_a_call_inside),
		UNIT(it_waits_for_credentials_until_its_end),
		UNIT(a_cancel_is_the_end_wherever_it_is),
	};

	return unit_run("bucket", t, ARRAY_LEN(t));
}
