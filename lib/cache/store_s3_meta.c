/* SPDX-License-Identifier: Apache-2.0
 *
 * Metadata of an object in S3: the same JSON as beside a file (meta.c), in one
 * header.  A header holds ASCII alone and S3 signs it with runs of spaces made
 * one, so what is beyond is written as JSON's \u escapes.
 */
#include "base/base.h"

#include "cache/store_s3_meta.h"

#include <string.h>

#include "base/text.h"

/* One character of good UTF-8 at s; its length. */
static size_t
decode(const char *s, uint32_t *ret)
{
	const uint8_t *p = (const uint8_t *)s;

	if (p[0] < 0x80) {
		*ret = p[0];
		return 1;
	}
	if (p[0] < 0xe0) {
		*ret = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
		return 2;
	}
	if (p[0] < 0xf0) {
		*ret = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		return 3;
	}
	*ret = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
	return 4;
}

/* JSON in ASCII: a space stands inside its strings only, and the newline behind it goes. */
static void
to_ascii(struct buf *out, const char *json)
{
	uint32_t c;

	for (const char *p = json; *p != '\0';) {
		p += decode(p, &c);
		if (c > 0xffff)
			(void)buf_addf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
			    0xdc00 + ((c - 0x10000) & 0x3ff));
		else if (c == ' ' || c >= 0x7f)
			(void)buf_addf(out, "\\u%04x", c);
		else if (c > ' ')
			(void)buf_addc(out, (char)c);
	}
}

int
s3_meta_write(const struct object_meta *m, struct buf *out, struct err *e)
{
	struct buf json = BUF_INIT(META_MAX);
	size_t before = out->len;
	int rc = -1;

	if (object_meta_write(m, 0, &json) == 0 && text_is_utf8(json.data, json.len)) {
		to_ascii(out, buf_str(&json));
		rc = buf_ok(out) && out->len - before <= S3_META_MAX ? 0 : -1;
	}
	if (rc != 0)
		(void)err_set(e, "its metadata does not fit into a header of %d bytes", S3_META_MAX);
	buf_release(&json);
	return rc;
}

int
s3_meta_parse(const char *text, uint64_t length, struct object_meta *ret, struct err *e)
{
	uint64_t inode;

	if (text == NULL)
		return err_set(e, "the object has no metadata of ours");
	if (object_meta_parse(text, strlen(text), ret, &inode, e) != 0)
		return -1;
	if (inode == 0 && ret->length == length)
		return 0;
	object_meta_release(ret);
	return err_set(e, "the object's metadata is of another one");
}
