/* SPDX-License-Identifier: Apache-2.0
 *
 * Torture: in lib/base/buf and lib/wire every allocation in turn finds no
 * memory, and that must be reported, leak nothing and break nothing.  The
 * linker puts the functions below in the place of malloc and realloc.
 */
#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/text.h"
#include "wire/answer.h"
#include "wire/fcgi.h"
#include "wire/header.h"
#include "wire/msg.h"

void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool armed;
static size_t until;		/* allocations that still succeed; after that none does */
static size_t refused;

static bool
refuse(void)
{
	if (!armed)
		return false;
	if (until > 0) {
		until--;
		return false;
	}
	refused++;
	return true;
}

void *
__wrap_malloc(size_t n)
{
	return refuse() ? NULL : __real_malloc(n);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return refuse() ? NULL : __real_realloc(p, n);
}

enum { ROUNDS_MAX = 200 };

/* Run f with 0, 1, 2 ... allocations until all of them are granted; f says whether it worked. */
static void
torture(bool (*f)(void))
{
	size_t round;
	bool ok = false;

	for (round = 0; round < ROUNDS_MAX && !ok; round++) {
		until = round;
		refused = 0;
		armed = true;
		ok = f();
		armed = false;
		CHECK(ok == (refused == 0));
	}
	CHECK(ok);
	CHECK(round > 1);	/* it does allocate */
}

static bool
grow(void)
{
	struct buf b = BUF_INIT(1 << 20);
	char chunk[100] = { 0 };
	bool ok;

	for (size_t i = 0; i < 100; i++)
		(void)buf_add(&b, chunk, sizeof(chunk));
	(void)buf_addf(&b, "%0300d", 7);
	ok = buf_ok(&b);
	CHECK(b.len <= 10300 && (!ok || b.len == 10300));
	CHECK(b.data == NULL || b.data[b.len] == '\0');
	buf_release(&b);
	return ok;
}

static void
buffers_report_it(void)
{
	torture(grow);
}

static void
contents_survive_a_failed_growth(void)
{
	struct buf b = BUF_INIT(1 << 20);

	MUST(buf_adds(&b, "kept") == 0);
	armed = true;
	until = 0;
	CHECK(buf_reserve(&b, 5000) == NULL);
	armed = false;
	CHECK(!buf_ok(&b));
	CHECK_STR(buf_str(&b), "kept");
	buf_release(&b);
}

static bool
message(void)
{
	struct buf msg = BUF_INIT(10000), out = BUF_INIT(10000);
	char text[200];
	bool ok;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	msg_begin(&msg, 'T');
	msg_u32(&msg, 1);
	msg_u64(&msg, 2);
	msg_str(&msg, text);
	msg_bytes(&msg, text, sizeof(text));
	msg_frame(&out, &msg);
	ok = buf_ok(&out);
	CHECK(buf_ok(&msg) || !ok);	/* what is not whole is not framed */
	buf_release(&msg);
	buf_release(&out);
	return ok;
}

static void
messages_report_it(void)
{
	torture(message);
}

static bool
filename(void)
{
	static const char v[] = "attachment; filename=\"a\"; filename*=UTF-8''%e2%82%ac";
	struct buf out = BUF_INIT(1000);
	int rc = disposition_filename(v, sizeof(v) - 1, &out);

	CHECK(rc == 0 ? strcmp(buf_str(&out), "\xe2\x82\xac") == 0 : !buf_ok(&out));
	buf_release(&out);
	return rc == 0;
}

static void
filenames_report_it(void)
{
	torture(filename);
}

static bool
disposition(void)
{
	struct buf out = BUF_INIT(1000);
	bool ok;

	disposition_write(&out, "a-file-name-of-some-length-to-make-the-buffer-grow-more-than-once.tif");
	ok = buf_ok(&out);
	buf_release(&out);
	return ok;
}

static void
dispositions_report_it(void)
{
	torture(disposition);
}

static bool
media_type(void)
{
	static const char v[] = "image/tiff; application=geotiff; profile=cloud-optimized; "
	    "more=parameters-than-fit-at-first";
	struct buf out = BUF_INIT(1000);
	bool ok = header_media_type(v, sizeof(v) - 1, &out) == 0;

	buf_release(&out);
	return ok;
}

static void
media_types_report_it(void)
{
	torture(media_type);
}

static bool
records(void)
{
	struct buf out = BUF_INIT(1 << 20);
	static char data[70000];
	bool ok;

	fcgi_begin(&out, 1);
	fcgi_param(&out, "NAME", 4, data, 200);
	fcgi_record(&out, FCGI_STDOUT, 1, data, sizeof(data));
	fcgi_end(&out, 1, 0);
	ok = buf_ok(&out);
	buf_release(&out);
	return ok;
}

static void
records_report_it(void)
{
	torture(records);
}

static bool
texts(void)
{
	struct buf out = BUF_INIT(10000);
	char s[256];
	bool ok;

	for (size_t i = 0; i < sizeof(s); i++)
		s[i] = (char)i;
	text_esc(&out, s, sizeof(s), sizeof(s));
	text_json(&out, s, sizeof(s));
	text_percent(&out, s, sizeof(s));
	text_hex(&out, s, sizeof(s));
	ok = buf_ok(&out);
	buf_release(&out);
	return ok;
}

static void
texts_report_it(void)
{
	torture(texts);
}

static bool
answer(void)
{
	const struct answer a = {
		.status = 206, .id = "x", .etag = "\"e\"", .last_modified = 784111777, .media_type = "image/tiff",
		.disposition = "attachment", .has_length = true, .length = 10, .has_total = true, .first = 0, .last = 9,
		.total = 100, .cache_status = "hit",
	};
	struct buf out = BUF_INIT(ANSWER_HEAD_MAX);
	bool ok;

	answer_write(&a, &out);
	ok = buf_ok(&out);
	buf_release(&out);
	return ok;
}

static void
answers_report_it(void)
{
	torture(answer);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(buffers_report_it),
		UNIT(contents_survive_a_failed_growth),
		UNIT(messages_report_it),
		UNIT(filenames_report_it),
		UNIT(dispositions_report_it),
		UNIT(media_types_report_it),
		UNIT(records_report_it),
		UNIT(texts_report_it),
		UNIT(answers_report_it),
	};

	return unit_run("alloc", tests, ARRAY_LEN(tests));
}
