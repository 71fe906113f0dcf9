/* SPDX-License-Identifier: Apache-2.0
 *
 * What of the S3 store needs no S3: an object's metadata as a header.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

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

int
main(void)
{
	const struct unit_test tests[] = {
		UNIT(metadata_travels_in_a_header),
		UNIT(metadata_of_another_object_is_refused),
		UNIT(metadata_that_is_too_long_for_a_header_is_an_error),
	};

	return unit_run("store_s3", tests, ARRAY_LEN(tests));
}
