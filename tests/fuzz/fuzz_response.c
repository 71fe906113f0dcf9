/* SPDX-License-Identifier: Apache-2.0
 *
 * net/response.h: whatever the header lines, what is kept could be sent on.
 */
#include "fuzz.h"

#include <string.h>

#include "net/response.h"
#include "wire/conditional.h"

static void
check_text(const char *s, size_t max)
{
	if (s == NULL)
		return;
	MUST(s[0] != '\0' && strlen(s) <= max);
	for (; *s != '\0'; s++)
		MUST((uint8_t)*s >= 0x20 && *s != 0x7f);
}

static void
check_response(const struct response *p)
{
	const struct fetch_response *r = &p->r;

	MUST(r->status >= 200 && r->status <= 599);
	MUST(!r->has_length || r->framed);
	MUST(!r->has_content_range || r->status == 206);
	MUST(r->bad_content_range || r->status != 206 || r->range_first <= r->range_last);
	MUST(r->retry_after_s >= -1 && r->retry_after_s <= 86400 && r->last_modified >= -1 && r->date >= -1);
	MUST(r->etag == NULL || etag_is_valid(r->etag, strlen(r->etag)));
	check_text(r->media_type, 2048);
	check_text(r->etag, 2048);
	check_text(r->disposition, 16384);
	check_text(r->content_encoding, 2048);
	check_text(r->bucket_region, 64);
	MUST(p->asked_amz || r->n_amz == 0);
	MUST(r->n_amz <= FETCH_AMZ_MAX);
	for (size_t i = 0; i < r->n_amz; i++) {
		MUST(strncmp(r->amz[i].name, "x-amz-", 6) == 0 && strpbrk(r->amz[i].name, "ABXYZ \t:") == NULL);
		MUST(strlen(r->amz[i].value) <= FETCH_AMZ_VALUE_MAX);
		for (const char *s = r->amz[i].value; *s != '\0'; s++)
			MUST((uint8_t)*s >= 0x20 || *s == '\t');
		(void)fetch_response_amz(r, r->amz[i].name);
	}
	MUST(fetch_response_amz(r, "x-amz-") == NULL || r->n_amz > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct fetch_request asked = {
		.has_range = n % 2 == 0, .range_first = 2, .range_last = 6, .want_amz = n % 4 < 2,
	};
	const char *s = (const char *)data, *end;
	enum response_event ev = RESPONSE_MORE;
	struct response p;
	struct err e = ERR_NONE;
	size_t len;

	response_init(&p, &asked);
	for (; n > 0 && ev != RESPONSE_BAD; s += len, n -= len) {
		end = memchr(s, '\n', n);
		len = end == NULL ? n : (size_t)(end - s) + 1;
		ev = response_line(&p, s, len, &e);
		if (ev == RESPONSE_FINAL)
			check_response(&p);
		(void)response_is_redirect(&p);
		(void)response_wants_close(&p);
	}
	response_clear(&p);
	response_release(&p);
	return 0;
}
