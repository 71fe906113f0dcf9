/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 store, and an S3 that fails, lies, is busy or dies at each request of
 * a fill, or of a look-up.  What the real engine makes of a fill: test_store_s3.py.
 */
#include "base/base.h"

#include "unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cache/store_s3.h"
#include "net_case.h"

enum { PART = 1000, SCRIPT_MAX = 10, ETAG_LONG = 126 };
#define KEY "30d/b/c/i/a"

enum op { CREATE, UPLOAD, COMPLETE, ABORT, LOOK, PUT, OPS };

static const struct { const char *method, *word; } known[OPS] = {
	[CREATE] = { "POST ", "&uploads=" }, [UPLOAD] = { "PUT ", "&partNumber=" }, [COMPLETE] = { "POST ", "&uploadId=" },
	[ABORT] = { "DELETE ", "&uploadId=" }, [LOOK] = { "HEAD ", "" }, [PUT] = { "PUT ", "" },
};

/* What S3 answers to each operation, time after time; the last one goes on. */
static struct { const char *answer[OPS][SCRIPT_MAX]; unsigned n[OPS]; } script;

static struct config c;
static struct store *st;
static struct shared nothing_shared;
static struct store_fill *fill;
static struct object_meta meta;
static int spool = -1;

static const char *
choose(void *arg UNUSED, const char *head)
{
	char line[8192];
	unsigned i = 0;

	(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(head, "\r"), head);
	while (i < PUT && (strncmp(line, known[i].method, strlen(known[i].method)) != 0 || strstr(line, known[i].word) == NULL))
		i++;
	for (unsigned n = script.n[i]++; ; n--) {
		if (n < SCRIPT_MAX && script.answer[i][n] != NULL)
			return script.answer[i][n];
		MUST(n > 0);
	}
}

/* An answer by its name. */
static void
says(const char *name, int status, const char *headers, const char *body)
{
	server_says(s, name, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body), headers, body);
}

static void
error(const char *name, int status, const char *headers, const char *code)
{
	char body[300];

	(void)snprintf(body, sizeof(body), "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code);
	says(name, status, headers, body);
}

#define MADE "<?xml version=\"1.0\"?><InitiateMultipartUploadResult><UploadId>up 1</UploadId></InitiateMultipartUploadResult>"
#define DONE "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>&quot;f-1&quot;</ETag></CompleteMultipartUploadResult>"

static void
answers(void)
{
	says("made", 200, "", MADE);
	says("nameless", 200, "", "<InitiateMultipartUploadResult/>");
	says("taken", 200, "ETag: \"e<1>\"\r\n", "");
	says("untagged", 200, "", "");
	says("done", 200, "", DONE);
	server_says(s, "drips", "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n \n  \r\n%zx\r\n%s\r\n0\r\n\r\n", strlen(DONE), DONE);
	says("gone", 204, "", "");
	says("none", 404, "", "");
	says("garbage", 200, "", "<html>welcome</html>");
	says("half", 200, "", "<?xml version=\"1.0\"?><CompleteMultipartUploadRes");
	server_says(s, "cut", "HTTP/1.1 200 X\r\nETag: \"x\"\r\nContent-Length: 5000\r\n\r\n" MADE);
	server_closes(s, "cut");
	server_resets(s, "reset");
	server_closes(s, "closed");
	server_says(s, "hangs", "HTTP/1.1 200 X\r\n");
	server_waits(s, "hangs");
	server_says(s, "hangs", "Content-Length: %zu\r\n\r\n%s", strlen(MADE), MADE);
	server_says(s, "large", "HTTP/1.1 200 X\r\nETag: \"x\"\r\nContent-Length: 100000\r\n\r\n");
	server_fills(s, "large", 100000);
	error("busy", 503, "", "SlowDown");
	error("for ever", 503, "Retry-After: 100000\r\n", "SlowDown");
	error("lost", 404, "", "NoSuchUpload");
	error("refused", 403, "", "AccessDenied");
	error("late", 200, "", "InternalError");
	error("late no", 200, "", "InvalidPart");
	error("elsewhere", 301, "x-amz-bucket-region: eu-west-9\r\nLocation: http://127.0.0.1:1/\r\n", "PermanentRedirect");
	error("moved", 307, "x-amz-bucket-region: eu-west-9\r\n", "TemporaryRedirect");
}

/* Answers to HEAD: our object, and another one's. */
static void
objects(void)
{
	struct object_meta other = meta;
	struct buf b = BUF_INIT(S3_META_MAX + 1);

	MUST(s3_meta_write(&meta, &b, NULL) == 0);
	server_says(s, "ours", "HTTP/1.1 200 X\r\nETag: \"f-1\"\r\nContent-Length: %" PRIu64 "\r\n" S3_META_HEADER ": %s\r\n\r\n",
	    meta.length, buf_str(&b));
	other.source_time--;
	buf_clear(&b);
	MUST(s3_meta_write(&other, &b, NULL) == 0);
	server_says(s, "another's", "HTTP/1.1 200 X\r\nETag: \"f-1\"\r\nContent-Length: %" PRIu64 "\r\n" S3_META_HEADER ": %s\r\n\r\n",
	    meta.length, buf_str(&b));
	buf_release(&b);
}

static void
on_store(void *arg UNUSED, enum store_event x UNUSED, const char *text UNUSED)
{
}

/* Of an object of n bytes, whose fill has begun; nothing is asked of S3 yet. */
static void
set_up(uint64_t n)
{
	static char key_id[] = "AKIDEXAMPLE", secret[] = "secret/with+bytes=", region[] = "us-east-1", bucket[] = "data", none[] = "",
	    tmp[] = "/tmp", etag[] = "\"v\"", backend[] = "b", *keys[] = { key_id, secret };
	static char endpoint[60];
	struct err e = ERR_NONE;

	begin();
	server_chooses(s, choose, NULL);
	memset(&script, 0, sizeof(script));
	script.answer[CREATE][0] = "made";
	script.answer[UPLOAD][0] = script.answer[PUT][0] = "taken";
	script.answer[COMPLETE][0] = "done";
	script.answer[ABORT][0] = "gone";
	script.answer[LOOK][0] = "none";
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server_port(s));
	c = (struct config){
		.cache_store = CACHE_STORE_S3, .s3_endpoint = endpoint, .s3_region = region,
		.s3_bucket = bucket, .s3_prefix = none, .s3_credentials = none,
		.s3_public_endpoint = none, .s3_keys = { keys, 2 }, .s3_part_size = PART, .s3_parts = 2,
		.dir_spool = tmp,
	};
	st = store_s3_open(&c, true, &e);
	MUST(st != NULL);
	st->ops->attach(st, loop_net(), &nothing_shared, on_store, NULL);
	spool = memfd_create("spool", MFD_CLOEXEC);
	MUST(spool != -1);
	for (uint64_t i = 0; i < n; i++)
		MUST(fd_write_all(spool, "x", 1) == 0);
	meta = (struct object_meta){ .length = n, .etag = etag, .last_modified = -1, .source_time = 1700000000,
		.source_backend = backend };
	answers();
	objects();
	fill = st->ops->fill_begin(st, KEY, spool, &meta, &e);
	CHECK_STR(e.text, "");
	MUST(fill != NULL);
}

static void
tear_down(void)
{
	st->ops->fill_free(fill);
	fill = NULL;
	st->ops->free(st);
	fd_close(&spool);
	end();
}

/* Pauses pass by the clock's hook: nothing is under way, so there is one. */
static void
turn(void)
{
	int64_t ms = net_timeout_ms(loop_net());

	st->ops->tick(st);
	if (net_is_idle(loop_net()))
		clock_shift_ms(ms > 0 && ms < 1000 ? ms : 1000);
	loop_turn();
}

static bool
is_running(void)
{
	return st->ops->fill_state(fill, NULL) == FILL_RUNNING;
}

/* The body is here, and right: how does it end? */
static enum fill_state
filled(void)
{
	st->ops->fill_advance(fill, meta.length, false);
	st->ops->fill_finish(fill, &meta);
	for (int64_t since = loop_real_us(); is_running() && !loop_hangs(since);)
		turn();
	CHECK(!is_running());
	return st->ops->fill_state(fill, NULL);
}

/* Until S3 has heard all that it is to hear: nothing for a minute. */
static void
settle(void)
{
	int64_t since = loop_real_us(), until = clock_mono_ms() + 60000;

	while (clock_mono_ms() < until && !loop_hangs(since))
		turn();
	CHECK(!loop_hangs(since));
}

static void
an_object_in_parts_is_there_when_s3_says_so(void)
{
	set_up(3 * PART + 1);
	st->ops->fill_advance(fill, 2 * PART, false);
	UNTIL((st->ops->tick(st), script.n[UPLOAD] == 2));
	CHECK(script.n[COMPLETE] == 0 && is_running());
	CHECK_INT(filled(), FILL_DONE);
	settle();
	CHECK(script.n[CREATE] == 1 && script.n[UPLOAD] == 4 && script.n[COMPLETE] == 1 && script.n[ABORT] == 0);
	CHECK(server_was_told(s, "<Part><PartNumber>4</PartNumber><ETag>\"e&lt;1&gt;\"</ETag></Part></CompleteMultipartUpload>"));
	tear_down();
}

/* Each request is sent again, and what came of it the first time does not count. */
static void
a_connection_that_dies_at_any_request_costs_a_try(void)
{
	static const char *const how[] = { "reset", "closed", "cut", "busy", "late" };

	for (unsigned op = 0; op < OPS; op++) {
		for (size_t i = 0; i < ARRAY_LEN(how); i++) {
			if (op == LOOK || op == ABORT || (strcmp(how[i], "late") == 0 && op != CREATE && op != COMPLETE))
				continue;
			set_up(op == PUT ? 10 : 2 * PART);
			script.answer[op][2] = script.answer[op][0];
			script.answer[op][0] = script.answer[op][1] = how[i];
			CHECK_INT(filled(), FILL_DONE);
			CHECK(script.n[op] >= 3);
			settle();
			CHECK_INT(script.n[ABORT], 0);
			tear_down();
		}
	}
}

static void
what_s3_refuses_is_given_up_and_aborted(void)
{
	static const struct { enum op op; const char *answer; bool made; } t[] = {
		{ CREATE, "refused", false }, { CREATE, "nameless", false }, { CREATE, "garbage", false },
		{ CREATE, "late no", false }, { CREATE, "elsewhere", false }, { CREATE, "moved", false },
		{ UPLOAD, "refused", true }, { UPLOAD, "untagged", true }, { UPLOAD, "lost", true },
		{ UPLOAD, "elsewhere", true }, { UPLOAD, "busy", true }, { UPLOAD, "reset", true }, { UPLOAD, "large", true },
		{ COMPLETE, "refused", true }, { COMPLETE, "late no", true }, { COMPLETE, "lost", true },
		{ COMPLETE, "busy", true }, { COMPLETE, "elsewhere", true }, { COMPLETE, "large", true },
		{ PUT, "refused", false }, { PUT, "elsewhere", false }, { PUT, "moved", false }, { PUT, "large", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		set_up(t[i].op == PUT ? 10 : 2 * PART);
		script.answer[t[i].op][0] = t[i].answer;
		if (filled() != FILL_FAILED)
			fprintf(stderr, "%d %s\n", t[i].op, t[i].answer);
		CHECK_INT(st->ops->fill_state(fill, NULL), FILL_FAILED);
		settle();
		CHECK_INT(script.n[ABORT], t[i].made);
		CHECK(!server_was_told(s, "eu-west-9"));	/* it is asked where the configuration says, or not at all */
		tear_down();
	}
}

static void
a_200_that_says_nothing_is_no_object(void)
{
	static const char *const how[] = { "untagged", "garbage", "half" };

	for (size_t i = 0; i < ARRAY_LEN(how); i++) {
		set_up(2 * PART);
		script.answer[COMPLETE][0] = how[i];
		CHECK_INT(filled(), FILL_FAILED);
		settle();
		CHECK_INT(script.n[ABORT], 1);
		tear_down();
		/* it was done all the same */
		set_up(2 * PART);
		script.answer[COMPLETE][0] = how[i];
		script.answer[LOOK][0] = "ours";
		CHECK_INT(filled(), FILL_DONE);
		tear_down();
	}
	set_up(2 * PART);
	script.answer[COMPLETE][0] = "drips";
	CHECK_INT(filled(), FILL_DONE);
	CHECK_INT(script.n[LOOK], 0);
	tear_down();
}

static void
an_answer_to_the_completion_that_was_lost_is_looked_for(void)
{
	static const struct { const char *there; enum fill_state want; } t[] = {
		{ "ours", FILL_DONE }, { "another's", FILL_FAILED }, { "none", FILL_FAILED }, { "untagged", FILL_FAILED },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		set_up(2 * PART);
		script.answer[COMPLETE][0] = "reset";
		script.answer[COMPLETE][1] = "lost";
		script.answer[LOOK][0] = "busy";
		script.answer[LOOK][1] = t[i].there;
		CHECK_INT(filled(), t[i].want);
		CHECK_INT(script.n[LOOK], 2);
		tear_down();
	}
}

static void
an_upload_is_aborted_until_s3_has_heard_it(void)
{
	set_up(2 * PART);
	script.answer[UPLOAD][0] = "refused";
	script.answer[ABORT][0] = "busy";
	script.answer[ABORT][1] = "reset";
	script.answer[ABORT][2] = "gone";
	CHECK_INT(filled(), FILL_FAILED);
	st->ops->fill_free(fill);	/* nobody waits for it */
	fill = NULL;
	settle();
	CHECK_INT(script.n[ABORT], 3);
	tear_down();
}

static void
an_upload_that_is_made_after_it_was_given_up_is_aborted_too(void)
{
	set_up(2 * PART);
	script.answer[CREATE][0] = "hangs";
	st->ops->fill_advance(fill, PART, false);
	UNTIL((st->ops->tick(st), script.n[CREATE] == 1));
	st->ops->fill_free(fill);
	fill = NULL;
	CHECK_INT(script.n[ABORT], 0);
	server_goes(s);
	UNTIL((st->ops->tick(st), script.n[ABORT] == 1));
	CHECK(server_was_told(s, "uploadId=up%201"));
	settle();
	CHECK(script.n[CREATE] == 1 && script.n[ABORT] == 1);
	tear_down();
	/* while it waits for another try there is none to come */
	set_up(2 * PART);
	script.answer[CREATE][0] = "busy";
	st->ops->fill_advance(fill, PART, false);
	UNTIL((st->ops->tick(st), script.n[CREATE] == 1 && net_is_idle(loop_net())));
	st->ops->fill_free(fill);
	fill = NULL;
	settle();
	CHECK(script.n[CREATE] == 1 && script.n[ABORT] == 0);
	tear_down();
}

static void
nobody_waits_as_long_as_a_liar_asks_for(void)
{
	static const enum op ops[] = { CREATE, UPLOAD, COMPLETE, PUT };
	int64_t begun;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		set_up(ops[i] == PUT ? 10 : 2 * PART);
		script.answer[ops[i]][0] = "for ever";
		begun = clock_mono_ms();
		CHECK_INT(filled(), FILL_FAILED);
		CHECK(clock_mono_ms() - begun < 120000);
		tear_down();
	}
}

/* What they become as XML is more than S3 takes. */
static void
tags_that_are_too_long_for_a_document_end_it(void)
{
	char long_tag[ETAG_LONG + 1];

	memset(long_tag, '&', ETAG_LONG);
	long_tag[ETAG_LONG] = '\0';
	set_up(1700 * PART);
	server_says(s, "long", "HTTP/1.1 200 X\r\nETag: \"%s\"\r\nContent-Length: 0\r\n\r\n", long_tag);
	script.answer[UPLOAD][0] = "long";
	CHECK_INT(filled(), FILL_FAILED);
	settle();
	CHECK(script.n[COMPLETE] == 0 && script.n[ABORT] == 1);
	tear_down();
}

static void
on_found(void *arg)
{
	*(bool *)arg = true;
}

/* A transfer looks twice: when it is asked for, and when the lease is its own. */
static void
an_s3_that_did_not_answer_is_not_asked_again_at_once(void)
{
	static const struct { const char *answer; enum store_result want; } t[] = { { "reset", STORE_MISS }, { "none", STORE_ASK } };
	struct store_object o;
	bool found;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		set_up(10);
		script.answer[LOOK][0] = t[i].answer;
		found = false;
		CHECK_INT(st->ops->lookup(st, KEY, &o, NULL), STORE_ASK);
		CHECK(st->ops->find(st, KEY, on_found, &found, NULL) != NULL);
		UNTIL(found);
		CHECK_INT(st->ops->lookup(st, KEY, &o, NULL), STORE_MISS);
		st->ops->again(st, KEY);
		CHECK_INT(st->ops->lookup(st, KEY, &o, NULL), t[i].want);
		clock_shift_ms(2001);
		CHECK_INT(st->ops->lookup(st, KEY, &o, NULL), STORE_ASK);
		tear_down();
	}
}

static void
while_clients_are_behind_one_part_at_a_time_is_on_its_way(void)
{
	set_up(4 * PART);
	script.answer[UPLOAD][0] = "waits";
	server_waits(s, "waits");
	says("waits", 200, "ETag: \"e\"\r\n", "");
	st->ops->fill_advance(fill, 3 * PART, true);
	UNTIL(script.n[UPLOAD] == 1);
	for (int i = 0; i < 5; i++) {
		st->ops->fill_advance(fill, 3 * PART, true);
		loop_turn();
	}
	CHECK_INT(script.n[UPLOAD], 1);
	st->ops->fill_advance(fill, 3 * PART, false);
	UNTIL(script.n[UPLOAD] == 2);
	server_goes(s);
	CHECK_INT(filled(), FILL_DONE);
	CHECK_INT(script.n[UPLOAD], 4);
	tear_down();
}

static void
what_is_another_body_than_its_upload_began_as_is_given_up(void)
{
	struct object_meta other;

	set_up(2 * PART);
	other = meta;
	other.length--;
	st->ops->fill_advance(fill, PART, false);
	UNTIL((st->ops->tick(st), script.n[UPLOAD] == 1));
	st->ops->fill_finish(fill, &other);
	CHECK_INT(st->ops->fill_state(fill, NULL), FILL_FAILED);
	settle();
	CHECK(script.n[COMPLETE] == 0 && script.n[ABORT] == 1);
	tear_down();
}

int
main(void)
{
	const struct unit_test tests[] = {
		UNIT(an_object_in_parts_is_there_when_s3_says_so),
		UNIT(a_connection_that_dies_at_any_request_costs_a_try),
		UNIT(what_s3_refuses_is_given_up_and_aborted),
		UNIT(a_200_that_says_nothing_is_no_object),
		UNIT(an_answer_to_the_completion_that_was_lost_is_looked_for),
		UNIT(an_upload_is_aborted_until_s3_has_heard_it),
		UNIT(an_upload_that_is_made_after_it_was_given_up_is_aborted_too),
		UNIT(nobody_waits_as_long_as_a_liar_asks_for),
		UNIT(tags_that_are_too_long_for_a_document_end_it),
		UNIT(an_s3_that_did_not_answer_is_not_asked_again_at_once),
		UNIT(while_clients_are_behind_one_part_at_a_time_is_on_its_way),
		UNIT(what_is_another_body_than_its_upload_began_as_is_given_up),
	};

	return unit_run("store_s3_fill", tests, ARRAY_LEN(tests));
}
