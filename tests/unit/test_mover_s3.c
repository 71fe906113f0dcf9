/* SPDX-License-Identifier: Apache-2.0
 *
 * A mover whose provider is an S3: what it asks for, and what its refusals
 * become.  That the signatures are right a real engine says
 * (tests/system/test_s3_sources.py).
 */
#include "base/base.h"

#include "mover_rig.h"

#define MIB	((uint64_t)1 << 20)

static struct script
s3_script(const char *asset, uint64_t n)
{
	struct script s = SCRIPT(asset, n);

	s.source = SOURCE_S3;
	return s;
}

static bool
asked(const struct script *s, const char *text)
{
	bool ok = strstr(s->last_target, text) != NULL;

	if (!ok)
		fprintf(stderr, "no \"%s\" in %s\n", text, s->last_target);
	return ok;
}

/* To its end. */
static struct front *
got(struct rig *r, const struct asking *a)
{
	struct front *f = rig_ask(r, a);

	RIG_UNTIL(r, OVER(f));
	return f;
}

static bool
whole(const struct front *f, uint64_t n)
{
	return f->ended && !f->bogus && !f->wrong && f->got == n;
}

static bool
says(const struct front *f, const char *text)
{
	return f->ended && has(f, text);
}

static void
an_object_is_asked_for_signed_and_published(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("a", 3 * MIB + 5));
	s->region = "eu-1";
	f = got(&r, &a);
	CHECK_STATUS(f, 200);
	CHECK_WHOLE(f, s->size);
	CHECK(has(f, "ETag: \"v1\"") && has(f, "filename=\"a\"") && has(f, "fwd=miss; stored"));
	CHECK(asked(s, "GET /bucket/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k1%2F"));
	CHECK(asked(s, "%2Feu-1%2Fs3%2Faws4_request&") && asked(s, "&X-Amz-Security-Token=hush%2Ftoken&") &&
	    asked(s, "&X-Amz-Expires=900&") && asked(s, "&X-Amz-Signature="));
	CHECK(strstr(s->last_target, "x-amz-request-payer") == NULL);
	RIG_UNTIL(&r, rig_published(&r, "a", s->size));
	f = got(&r, &a);
	CHECK_WHOLE(f, s->size);
	CHECK(has(f, "; hit"));
	CHECK_INT(s->gets, 1);
	CHECK(!rig_logged(&r, "hush") && !rig_logged(&r, "X-Amz"));
	check_idle(&r);
	rig_stop(&r);
}

static void
ranges_and_head_go_to_s3_too(void)
{
	struct asking a = ASK("unstored");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored", 3 * MIB));
	a.range = "bytes=2000000-2000099";
	f = got(&r, &a);
	CHECK_STATUS(f, 206);
	CHECK_WHOLE(f, 100);
	CHECK_STR(s->last_range, "bytes=2000000-2000099");
	a.range = "bytes=4000000-";
	CHECK(says(got(&r, &a), "Status: 416"));
	a = (struct asking)ASK("unstored");
	a.head = true;
	f = got(&r, &a);
	CHECK_STATUS(f, 200);
	CHECK(has(f, "Content-Length: 3145728"));
	check_idle(&r);
	rig_stop(&r);
}

/* To a range of nothing S3 says 416, and the size in its words alone, or not at all. */
static void
an_empty_object_is_known_by_s3s_refusal(void)
{
	static const char *const code[] = { "InvalidRange", "InvalidRange</Code><ActualObjectSize>0</ActualObjectSize><Code>x" };
	struct asking a = ASK("unstored");
	struct rig r;
	struct front *f;
	struct script *s;

	a.head = true;
	for (size_t i = 0; i < ARRAY_LEN(code); i++) {
		rig_start(&r, "");
		s = rig_script(&r, s3_script("unstored", 0));
		s->http_status = 416;
		s->code = code[i];
		f = got(&r, &a);
		CHECK_STATUS(f, 200);
		CHECK(has(f, "Content-Length: 0"));
		check_idle(&r);
		rig_stop(&r);
	}
}

/* What it says of the size goes to the client. */
static void
a_range_beyond_the_end_has_the_size_that_s3_says(void)
{
	struct asking a = ASK("unstored");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored", 0));
	s->http_status = 416;
	s->code = "InvalidRange</Code><ActualObjectSize>77</ActualObjectSize><Code>x";
	a.range = "bytes=100-";
	f = got(&r, &a);
	CHECK_STATUS(f, 416);
	CHECK(has(f, "Content-Range: bytes */77"));
	check_idle(&r);
	rig_stop(&r);
}

static void
what_is_public_is_asked_for_without_keys_and_who_pays_says_so(void)
{
	struct asking a = ASK("unstored-public"), b = ASK("unstored-paid");
	struct rig r;
	struct script *s, *t;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored-public", 1000));
	s->anonymous = s->requester_pays = true;	/* who is nobody pays nothing */
	t = rig_script(&r, s3_script("unstored-paid", 1000));
	t->requester_pays = true;
	CHECK(whole(got(&r, &a), 1000));
	CHECK(asked(s, "GET /bucket/unstored-public HTTP/1.1"));
	CHECK(whole(got(&r, &b), 1000));
	CHECK(asked(t, "&x-amz-request-payer=requester&X-Amz-Signature="));
	check_idle(&r);
	rig_stop(&r);
}

static void
a_sub_path_is_a_key_below(void)
{
	struct asking a = ASK("unstored");
	struct rig r;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored", 1000));
	a.subpath = "0.0/a%20b%C3%A9";
	CHECK(whole(got(&r, &a), 1000));
	CHECK_STR(r.last_path, "/bucket/unstored/0.0/a%20b%C3%A9");
	CHECK_INT(s->gets, 1);
	s = rig_script(&r, s3_script("unstored-tree", 1000));
	s->key = "unstored-tree//";
	a.asset = "unstored-tree";
	CHECK(whole(got(&r, &a), 1000));
	CHECK_STR(r.last_path, "/bucket/unstored-tree/0.0/a%20b%C3%A9");
	a.subpath = NULL;		/* the tree itself is no object */
	CHECK(says(got(&r, &a), "Status: 501"));
	CHECK_INT(s->gets, 1);
	check_idle(&r);
	rig_stop(&r);
}

/* The first who comes to a bucket learns where it is; all who come after him know. */
static void
a_bucket_in_another_region_is_found_once(void)
{
	struct asking a = ASK("unstored-a"), b = ASK("unstored-b");
	struct rig r;
	struct script *s, *t;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored-a", MIB));
	t = rig_script(&r, s3_script("unstored-b", MIB));
	s->home = t->home = "ap-3";
	t->region = "eu-1";
	CHECK(whole(got(&r, &a), MIB));
	CHECK_INT(s->gets, 2);
	CHECK(whole(got(&r, &b), MIB));
	CHECK_INT(t->gets, 1);
	CHECK_INT(rig_log_count(&r, "event=s3-region"), 1);
	CHECK(rig_logged(&r, "asked=us-east-1 region=ap-3"));
	s->home = "ap-4";			/* it was made anew */
	CHECK(whole(got(&r, &a), MIB));
	CHECK_INT(s->gets, 4);
	check_idle(&r);
	rig_stop(&r);
}

static void
two_who_come_to_the_wrong_region_together_both_find_the_right_one(void)
{
	struct asking a = ASK("whole"), b = ASK("whole");
	struct rig r;
	struct front *f, *g;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("whole", 8 * MIB));
	s->home = "ap-3";
	s->silent = true;
	a.range = "bytes=4000000-4000009";
	b.range = "bytes=5000000-5000009";
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, s->gets == 2);
	s->silent = false;
	RIG_UNTIL(&r, OVER(f) && OVER(g));
	CHECK_WHOLE(f, 10);
	CHECK_WHOLE(g, 10);
	CHECK_INT(s->gets, 4);
	check_idle(&r);
	rig_stop(&r);
}

/* An S3 that sends everybody on, for ever. */
static void
nobody_is_sent_around_without_end(void)
{
	struct asking a = ASK("unstored");
	struct rig r;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored", MIB));
	s->home = "a%2Fb";	/* no signature holds it */
	CHECK(says(got(&r, &a), "Status: 502"));
	CHECK_INT(s->gets, 1);
	s->home = NULL;
	s->http_status = 301;
	s->code = "PermanentRedirect";
	CHECK(says(got(&r, &a), "Status: 502"));
	CHECK_INT(s->gets, 2);
	check_idle(&r);
	rig_stop(&r);
}

static void
keys_that_have_ended_are_made_anew_once(void)
{
	static const struct { const char *code; unsigned refuse, jobs, fresh; bool whole; } t[] = {
		{ "ExpiredToken", 1, 2, 1, true }, { "InvalidAccessKeyId", 1, 2, 1, true },
		{ "AccessDenied", 1, 2, 1, true },	/* there is a token, which may have ended */
		{ "ExpiredToken", 99, 2, 1, false }, { "AccessDenied", 99, 2, 1, false },
		{ "AllAccessDisabled", 99, 1, 0, false },
	};
	struct asking whole = ASK("unstored"), part = ASK("unstored"), head = ASK("unstored");
	struct rig r;
	struct script *s;

	part.range = "bytes=2000000-2000099";
	head.head = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const struct asking *ask[] = { &whole, &part, &head };

		for (size_t k = 0; k < ARRAY_LEN(ask); k++) {
			struct front *f;

			rig_start(&r, "");
			s = rig_script(&r, s3_script("unstored", 3 * MIB));
			s->refuse = t[i].refuse;
			s->code = t[i].code;
			f = got(&r, ask[k]);
			if (t[i].whole && !ask[k]->head)
				CHECK_WHOLE(f, ask[k]->range == NULL ? s->size : 100);
			else
				CHECK(f->ended && has(f, t[i].whole ? "Status: 200" : strcmp(t[i].code, "ExpiredToken") == 0 ?
				    "Status: 502" : "Status: 403"));
			CHECK_INT(s->jobs, t[i].jobs);
			CHECK_INT(s->fresh, t[i].fresh);
			CHECK(!rig_logged(&r, "hush"));
			check_idle(&r);
			rig_stop(&r);
		}
	}
}

static void
what_s3_refuses_is_what_a_provider_would_say(void)
{
	static const struct { int said; const char *code, *status, *more; } t[] = {
		{ 404, "NoSuchKey", "Status: 404", "" }, { 404, "NoSuchBucket", "Status: 404", "" },
		{ 503, "SlowDown", "Status: 503", "Retry-After: 30" }, { 500, "InternalError", "Status: 503", "Retry-After: 30" },
		{ 429, "TooManyRequests", "Status: 429", "Retry-After: 30" },
		{ 403, "InvalidObjectState", "Status: 403", "" }, { 400, "InvalidRequest", "Status: 502", "" },
		{ 403, "RequestTimeTooSkewed", "Status: 502", "" },
		/* what is no answer of S3's has its status alone */
		{ 404, "<<", "Status: 404", "" }, { 403, "", "Status: 403", "" }, { 418, "A B", "Status: 502", "" },
	};
	struct asking a = ASK("unstored");

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct rig r;
		struct front *f;
		struct script *s;

		rig_start(&r, "");
		s = rig_script(&r, s3_script("unstored", MIB));
		s->http_status = t[i].said;
		s->code = t[i].code;
		f = got(&r, &a);
		CHECK(f->ended && has(f, t[i].status) && has(f, t[i].more));
		CHECK_INT(s->gets, 1);
		CHECK(rig_logged(&r, "event=s3-refusal bucket=bucket status=") && !rig_logged(&r, "hush"));
		check_idle(&r);
		rig_stop(&r);
	}
}

/* Each GET has a signature of its own: with other keys, too, when the first have ended meanwhile. */
static void
a_body_that_broke_off_is_resumed_with_keys_of_then(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("a", 8 * MIB));
	s->hold_at = 2 * MIB;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, f->got > 0);
	s->refuse = 1;
	s->code = "ExpiredToken";
	s->cut_at = 2 * MIB;
	RIG_UNTIL(&r, s->gets > 1);
	s->hold_at = s->cut_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, s->size);
	CHECK_INT(s->jobs, 2);
	CHECK_INT(s->fresh, 1);
	CHECK(asked(s, "X-Amz-Credential=k2%2F"));
	CHECK_STR(s->last_range, "bytes=2097152-8388607");
	RIG_UNTIL(&r, rig_published(&r, "a", s->size));
	check_idle(&r);
	rig_stop(&r);
}

static void
e1_an_endpoint_at_a_private_address_is_refused_as_any_other(void)
{
	struct asking a = ASK("unstored");
	struct rig r;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored", MIB));
	s->endpoint = "http://10.0.0.1";
	CHECK(says(got(&r, &a), "Status: 502"));
	CHECK_INT(s->gets, 0);
	CHECK(rig_logged(&r, "the address is not public"));
	check_idle(&r);
	rig_stop(&r);
}

static void
e10_a_key_is_asked_for_byte_by_byte_or_not_at_all(void)
{
	struct asking a = ASK("unstored"), b = ASK("unstored-dots");
	struct rig r;
	struct script *s, *t;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored", MIB));
	s->key = "unstored?X-Amz-Expires=9&a=b/#\xc3\xa9 %2F+~";
	t = rig_script(&r, s3_script("unstored-dots", MIB));
	t->key = "a/../unstored";
	CHECK(says(got(&r, &a), "Status: 404"));
	CHECK(says(got(&r, &b), "Status: 502"));
	CHECK_INT(s->gets + t->gets, 0);
	CHECK_STR(r.last_path, "/bucket/unstored%3FX-Amz-Expires%3D9%26a%3Db/%23%C3%A9%20%252F%2B~");
	CHECK(!rig_logged(&r, "hush"));
	check_idle(&r);
	rig_stop(&r);
}

static void
who_leaves_while_s3_explains_itself_takes_nothing_with_him(void)
{
	struct asking a = ASK("unstored");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, s3_script("unstored", MIB));
	s->http_status = 403;
	s->code = "AccessDenied";
	s->stutters = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, s->gets == 1);
	rig_close(f);
	check_idle(&r);
	rig_stop(&r);
}

int
main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		UNIT(an_object_is_asked_for_signed_and_published),
		UNIT(ranges_and_head_go_to_s3_too),
		UNIT(an_empty_object_is_known_by_s3s_refusal),
		UNIT(a_range_beyond_the_end_has_the_size_that_s3_says),
		UNIT(what_is_public_is_asked_for_without_keys_and_who_pays_says_so),
		UNIT(a_sub_path_is_a_key_below),
		UNIT(a_bucket_in_another_region_is_found_once),
		UNIT(two_who_come_to_the_wrong_region_together_both_find_the_right_one),
		UNIT(nobody_is_sent_around_without_end),
		UNIT(keys_that_have_ended_are_made_anew_once),
		UNIT(what_s3_refuses_is_what_a_provider_would_say),
		UNIT(a_body_that_broke_off_is_resumed_with_keys_of_then),
		UNIT(e1_an_endpoint_at_a_private_address_is_refused_as_any_other),
		UNIT(e10_a_key_is_asked_for_byte_by_byte_or_not_at_all),
		UNIT(who_leaves_while_s3_explains_itself_takes_nothing_with_him),
	};

	/* one of them by name, for whoever looks into it */
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(tests); i++) {
		if (strcmp(tests[i].name, argv[1]) == 0)
			return unit_run("mover_s3", &tests[i], 1);
	}
	return unit_run("mover_s3", tests, ARRAY_LEN(tests));
}
