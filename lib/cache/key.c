/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of objects.  Pure.  Workers (lookup) and movers (fill).
 */
#include "base/base.h"

#include "cache/key.h"

#include <string.h>

#include "base/digest.h"
#include "base/text.h"

enum {
	CUT_BYTES = 167,	/* what stays of a long segment */
	CUT_HEX = 32,
};

/*
 * Append one segment that is encoded already.  A result of 200 bytes with '~'
 * at byte 167 is what a cut segment looks like, so a short one that happens to
 * look like it is hashed too: no name that a client can write equals
 * another's cut form.
 */
static void
add_encoded(struct buf *out, const char *s, size_t n)
{
	char hex[65];

	if (n == 1 && s[0] == '.') {
		(void)buf_adds(out, "%2E");	/* buf_ok is asked at the end */
		return;
	}
	if (n == 2 && s[0] == '.' && s[1] == '.') {
		(void)buf_adds(out, "%2E%2E");
		return;
	}
	if (n < KEY_SEGMENT_MAX || (n == KEY_SEGMENT_MAX && s[CUT_BYTES] != '~')) {
		(void)buf_add(out, s, n);
		return;
	}
	digest_sha256_hex(s, n, hex);
	(void)buf_add(out, s, CUT_BYTES);
	(void)buf_addc(out, '~');
	(void)buf_add(out, hex, CUT_HEX);
}

static int
add_segment(struct buf *out, const char *s)
{
	struct buf enc = BUF_INIT(3 * (size_t)65536);
	int ret = -1;

	if (s == NULL || s[0] == '\0')
		return -1;
	text_percent(&enc, s, strlen(s));
	if (buf_ok(&enc)) {
		add_encoded(out, enc.data, enc.len);
		ret = 0;
	}
	buf_release(&enc);
	return ret;
}

static bool
is_upper_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/*
 * Is this what text_percent writes: unreserved bytes and %XX in upper case,
 * of bytes that are not unreserved?  Otherwise one sub-path had two keys.
 */
static bool
is_canonical(const char *s, size_t n)
{
	struct buf again = BUF_INIT(3);
	uint8_t byte;
	bool same;
	size_t step;

	for (size_t i = 0; i < n; i += step) {
		step = 1;
		byte = (uint8_t)s[i];
		if (s[i] == '%') {
			step = 3;
			if (n - i < 3 || !is_upper_hex(s[i + 1]) || !is_upper_hex(s[i + 2]) ||
			    text_unhex(s + i + 1, 2, &byte, 1) != 0)
				return false;
		}
		text_percent(&again, (const char *)&byte, 1);
		same = buf_ok(&again) && again.len == step && memcmp(again.data, s + i, step) == 0;
		buf_release(&again);
		buf_init(&again, 3);
		if (!same)
			return false;
	}
	return true;
}

static int
add_subpath(struct buf *out, const char *subpath)
{
	const char *p = subpath, *end;
	size_t n;

	for (;;) {
		end = strchr(p, '/');
		n = end == NULL ? strlen(p) : (size_t)(end - p);
		if (n == 0 || !is_canonical(p, n))
			return -1;
		(void)buf_addc(out, '/');
		add_encoded(out, p, n);
		if (end == NULL)
			return 0;
		p = end + 1;
	}
}

int
key_make(struct buf *out, const char *retention, const char *backend, const char *collection, const char *item,
    const char *asset, const char *subpath)
{
	const char *seg[] = { retention, backend, collection, item, asset };
	size_t from = out->len;

	for (size_t i = 0; i < ARRAY_LEN(seg); i++) {
		if (i > 0)
			(void)buf_addc(out, '/');
		if (add_segment(out, seg[i]) != 0)
			return -1;
	}
	if (subpath != NULL && add_subpath(out, subpath) != 0)
		return -1;
	return buf_ok(out) && out->len - from <= KEY_MAX ? 0 : -1;
}
