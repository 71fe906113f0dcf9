/* SPDX-License-Identifier: Apache-2.0
 *
 * What of the S3 store needs no S3: an object's metadata as a header, and what
 * is made of its answers.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/store_s3.h"
#include "unit.h"

static struct object_meta
some_meta(const char *disposition)
{
	return (struct object_meta){
		.length = 12345678901, .etag = mem_strdup("\"abc-\xc3\xa9\""), .last_modified = 784111777,
		.media_type = mem_strdup("image/tiff; application=geotiff"), .disposition = mem_strdup(disposition),
		.checksum = { .algo = DIGEST_SHA1, .value = { 1, 2, 0xff } }, .source_time = 1700000000,
		.source_backend = mem_strdup("peps"),
	};
}

/* Goes out and comes back the same; ret: the header's value. */
static void
there_and_back(const char *disposition, char **ret)
{
	struct object_meta m = some_meta(disposition), again;
	struct buf b = BUF_INIT(S3_META_MAX + 1);
	struct err e = ERR_NONE;

	CHECK_INT(s3_meta_write(&m, &b, &e), 0);
	for (size_t i = 0; i < b.len; i++)
		CHECK(b.data[i] > ' ' && b.data[i] < 0x7f);	/* nothing that a signature would see otherwise */
	CU_ASSERT_FATAL(s3_meta_parse(buf_str(&b), m.length, &again, &e) == 0);
	CHECK_STR(again.etag, m.etag);
	CHECK_STR(again.media_type, m.media_type);
	CHECK_STR(again.disposition, m.disposition);
	CHECK_STR(again.source_backend, m.source_backend);
	CHECK_INT(again.length, m.length);
	CHECK_INT(again.last_modified, m.last_modified);
	CHECK_INT(again.source_time, m.source_time);
	CHECK(again.checksum.algo == m.checksum.algo && memcmp(again.checksum.value, m.checksum.value, 20) == 0);
	if (ret != NULL)
		*ret = mem_strdup(buf_str(&b));
	object_meta_release(&again);
	object_meta_release(&m);
	buf_release(&b);
}

static void
metadata_travels_in_a_header(void)
{
	there_and_back(NULL, NULL);
	there_and_back("attachment; filename=\"x\\\"y  z.tif\"; filename*=UTF-8''a%20b", NULL);
	there_and_back("attachment; filename=\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x9b\xb0 \xef\xbf\xbd.tif\"", NULL);
}

static void
metadata_of_another_object_is_refused(void)
{
	static const char *const bad[] = { "", "{}", "x", "{\"v\":1}", "\xff" };
	struct object_meta m;
	struct err e = ERR_NONE;
	char *text;

	there_and_back(NULL, &text);
	CHECK_INT(s3_meta_parse(text, 12345678900, &m, &e), -1);	/* another length */
	text[strlen(text) / 2] = '\0';
	CHECK_INT(s3_meta_parse(text, 12345678901, &m, &e), -1);
	free(text);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(s3_meta_parse(bad[i], 1, &m, &e), -1);
	CHECK_INT(s3_meta_parse(NULL, 1, &m, &e), -1);
}

static void
metadata_that_is_too_long_for_a_header_is_an_error(void)
{
	char long_name[S3_META_MAX + 1];
	struct object_meta m;
	struct buf b = BUF_INIT(2 * S3_META_MAX);
	struct err e = ERR_NONE;

	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	m = some_meta(long_name);
	CHECK_INT(s3_meta_write(&m, &b, &e), -1);
	CHECK(strstr(e.text, "does not fit") != NULL);
	object_meta_release(&m);
	buf_release(&b);
}

/* ---- how S3 is ------------------------------------------------------------------- */

struct told { unsigned n[STORE_CALL_REFUSED + 1]; char text[200]; };

static void
on_tell(void *arg, enum store_event x, const char *text)
{
	struct told *t = arg;

	t->n[x]++;
	if (x == STORE_AWAY || x == STORE_FULL)
		(void)snprintf(t->text, sizeof(t->text), "%s", text);
}

static const struct s3_answer good = { .status = 200, .result = S3_RESULT_OK },
	absent = { .status = 404, .result = S3_RESULT_ABSENT },
	no_room = { .status = 403, .result = S3_RESULT_REFUSED, .said = { .code = "QuotaExceeded" } },
	no_bucket = { .status = 404, .result = S3_RESULT_NONE, .said = { .code = "NoSuchBucket" } },
	nothing = { .error = FETCH_CONNECT, .reason = "nobody is there", .result = S3_RESULT_AWAY, .again = true },
	unreadable = { .error = FETCH_CANCELLED, .reason = "", .result = S3_RESULT_SOURCE };

static void
hear(struct store_s3 *s, enum s3_purpose why, const struct s3_answer *a, unsigned times)
{
	while (times-- > 0)
		s3_heard(s, why, a);
}

static void
three_failures_in_a_row_are_away_until_one_succeeds(void)
{
	struct told t = { .text = "" };
	struct store_s3 s = { .tell = on_tell, .tell_arg = &t };

	hear(&s, S3_LOOK, &nothing, 2);
	hear(&s, S3_LOOK, &good, 1);
	hear(&s, S3_LOOK, &nothing, 2);
	hear(&s, S3_FILL, &unreadable, 3);	/* the spool's fault */
	CHECK(s3_may_ask(&s, S3_LOOK) && s3_may_ask(&s, S3_FILL));
	hear(&s, S3_FILL, &nothing, 1);
	CHECK(!s3_may_ask(&s, S3_LOOK) && !s3_may_ask(&s, S3_FILL));
	CHECK_INT(t.n[STORE_AWAY], 1);
	CHECK(strstr(t.text, "nobody is there") != NULL);
	hear(&s, S3_LOOK, &nothing, 5);
	CHECK_INT(t.n[STORE_AWAY], 1);
	CHECK_INT(t.n[STORE_CALL_FAILED], 10);
	hear(&s, S3_LOOK, &good, 2);
	CHECK_INT(t.n[STORE_BACK], 1);
	CHECK(s3_may_ask(&s, S3_LOOK) && s3_may_ask(&s, S3_LOOK));
}

static void
after_the_pause_one_tries_and_nobody_waits_with_it(void)
{
	struct told t = { .text = "" };
	struct store_s3 s = { .tell = on_tell, .tell_arg = &t };

	hear(&s, S3_LOOK, &nothing, 3);
	clock_shift_ms(5001);
	CHECK(s3_may_ask(&s, S3_LOOK));
	CHECK(!s3_may_ask(&s, S3_LOOK) && s3_is_away(&s));
	hear(&s, S3_LOOK, &nothing, 1);
	CHECK(!s3_may_ask(&s, S3_LOOK));
	clock_shift_ms(0);
}

static void
what_is_not_there_may_be_the_bucket_which_a_fill_shows(void)
{
	struct told t = { .text = "" };
	struct store_s3 s = { .tell = on_tell, .tell_arg = &t };

	hear(&s, S3_FILL, &no_bucket, 3);
	CHECK_INT(t.n[STORE_AWAY], 1);
	clock_shift_ms(5001);
	CHECK(s3_may_ask(&s, S3_LOOK));
	hear(&s, S3_LOOK, &absent, 1);
	CHECK_INT(t.n[STORE_BACK], 0);
	CHECK(s3_may_ask(&s, S3_FILL));
	CHECK(!s3_may_ask(&s, S3_FILL));
	hear(&s, S3_FILL, &good, 1);
	CHECK_INT(t.n[STORE_BACK], 1);
	clock_shift_ms(0);
}

static void
what_is_not_there_is_an_answer_of_an_s3_that_was_silent(void)
{
	struct told t = { .text = "" };
	struct store_s3 s = { .tell = on_tell, .tell_arg = &t };

	hear(&s, S3_LOOK, &nothing, 2);
	hear(&s, S3_LOOK, &absent, 1);
	hear(&s, S3_LOOK, &nothing, 2);
	CHECK_INT(t.n[STORE_AWAY], 0);
	hear(&s, S3_LOOK, &nothing, 1);
	CHECK_INT(t.n[STORE_AWAY], 1);
	hear(&s, S3_LOOK, &absent, 1);		/* though nothing that is asked for is ever put there */
	CHECK_INT(t.n[STORE_BACK], 1);
	CHECK(s3_may_ask(&s, S3_LOOK) && s3_may_ask(&s, S3_FILL) && s3_may_ask(&s, S3_LOOK));
}

static void
what_takes_nothing_still_gives(void)
{
	struct told t = { .text = "" };
	struct store_s3 s = { .tell = on_tell, .tell_arg = &t };

	for (unsigned i = 0; i < 3; i++) {
		hear(&s, S3_FILL, &no_room, 1);
		hear(&s, S3_LOOK, &good, 1);
	}
	CHECK_INT(t.n[STORE_FULL], 1);
	CHECK_INT(t.n[STORE_AWAY], 0);
	CHECK_INT(t.n[STORE_CALL_REFUSED], 3);
	CHECK(strstr(t.text, "QuotaExceeded") != NULL);
	CHECK(s3_may_ask(&s, S3_LOOK) && !s3_may_ask(&s, S3_FILL));
	hear(&s, S3_LOOK, &nothing, 3);
	CHECK_INT(t.n[STORE_AWAY], 1);
	hear(&s, S3_LOOK, &good, 1);	/* and full as before */
	CHECK_INT(t.n[STORE_FULL], 2);
	CHECK_INT(t.n[STORE_BACK], 0);
	hear(&s, S3_FILL, &good, 1);
	CHECK_INT(t.n[STORE_BACK], 1);
}

int
main(void)
{
	const struct unit_test tests[] = {
		UNIT(metadata_travels_in_a_header),
		UNIT(metadata_of_another_object_is_refused),
		UNIT(metadata_that_is_too_long_for_a_header_is_an_error),
		UNIT(three_failures_in_a_row_are_away_until_one_succeeds),
		UNIT(after_the_pause_one_tries_and_nobody_waits_with_it),
		UNIT(what_is_not_there_may_be_the_bucket_which_a_fill_shows),
		UNIT(what_is_not_there_is_an_answer_of_an_s3_that_was_silent),
		UNIT(what_takes_nothing_still_gives),
	};

	return unit_run("store_s3", tests, ARRAY_LEN(tests));
}
