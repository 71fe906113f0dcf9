/* SPDX-License-Identifier: Apache-2.0
 *
 * The metadata of an object: one flat JSON object.  Harvesters may write it
 * too, and it lies in a directory, so it is read as hostile.  json-c accepts
 * more than JSON (duplicate members, single quotes, NaN; clamped integers on
 * 0.16), hence the scan before and the exact type checks after.
 */
#include "base/base.h"

#include "cache/store.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "wire/conditional.h"

enum {
	META_VERSION = 1,
	ETAG_MAX = 512,
	TYPE_MAX = 256,
	DISPOSITION_MAX = 4096,
	BACKEND_MAX = 1024,
	CHECKSUM_MAX = 16 + 2 * DIGEST_SIZE_MAX,
};

static const enum digest_algo algos[] = { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };

void
object_meta_release(struct object_meta *m)
{
	if (m == NULL)
		return;
	free(m->etag);
	free(m->media_type);
	free(m->disposition);
	free(m->source_backend);
	memset(m, 0, sizeof(*m));
}

void
object_meta_copy(struct object_meta *dst, const struct object_meta *src)
{
	*dst = *src;
	dst->etag = mem_strdup(src->etag);
	dst->media_type = mem_strdup(src->media_type);
	dst->disposition = mem_strdup(src->disposition);
	dst->source_backend = mem_strdup(src->source_backend);
}

static void
put_text(struct buf *out, const char *name, const char *s)
{
	if (s == NULL)
		return;
	(void)buf_addf(out, ",\"%s\":", name);	/* buf_ok is asked at the end */
	text_json(out, s, strlen(s));
}

/* A value that goes into a response header as it is. */
static bool
is_header_text(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n == 0 || n > max || !text_is_utf8(s, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	}
	return true;
}

int
object_meta_check(const struct object_meta *m, struct err *e)
{
	if (m->etag == NULL || m->etag[0] != '"' || !is_header_text(m->etag, ETAG_MAX) ||
	    !etag_is_valid(m->etag, strlen(m->etag)))
		return err_set(e, "'etag' is not a strong entity-tag");
	if (m->media_type != NULL && !is_header_text(m->media_type, TYPE_MAX))
		return err_set(e, "'type' is not a header value");
	if (m->disposition != NULL && !is_header_text(m->disposition, DISPOSITION_MAX))
		return err_set(e, "'disposition' is not a header value");
	if (m->source_backend != NULL && !is_header_text(m->source_backend, BACKEND_MAX))
		return err_set(e, "'backend' is not a name");
	if (m->length > INT64_MAX - 1)
		return err_set(e, "'length' is out of range");
	return 0;
}

int
object_meta_write(const struct object_meta *m, uint64_t inode, struct buf *out)
{
	size_t from = out->len;

	if (object_meta_check(m, NULL) != 0 || inode >= INT64_MAX)
		return -1;
	(void)buf_addf(out, "{\"v\":%d,\"inode\":%llu,\"length\":%llu", META_VERSION, (unsigned long long)inode,
	    (unsigned long long)m->length);
	put_text(out, "etag", m->etag);
	if (m->last_modified >= 0)
		(void)buf_addf(out, ",\"last_modified\":%lld", (long long)m->last_modified);
	put_text(out, "type", m->media_type);
	put_text(out, "disposition", m->disposition);
	if (m->checksum.algo != DIGEST_NONE) {
		(void)buf_addf(out, ",\"checksum\":\"%s:", digest_name(m->checksum.algo));
		text_hex(out, m->checksum.value, digest_size(m->checksum.algo));
		(void)buf_addc(out, '"');
	}
	if (m->source_time >= 0)
		(void)buf_addf(out, ",\"fetched\":%lld", (long long)m->source_time);
	put_text(out, "backend", m->source_backend);
	(void)buf_adds(out, "}\n");
	return buf_ok(out) && out->len - from <= META_MAX ? 0 : -1;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* May stand outside strings.  Asked for every byte of it: strchr was 3 % of a worker's time. */
static bool
is_structure(uint8_t c)
{
	return (c >= '0' && c <= '9') || c == ',' || c == '{' || c == '}' || c == '-' || is_space(c);
}

/*
 * Before json-c sees it: valid UTF-8, strings in double quotes and integers,
 * nothing else; no bare control bytes, no nesting.  That is what makes it
 * strict: json-c 0.18's own strict mode refuses every byte over 0x7f in a
 * string.  Gives the number of members, by the colons outside strings: fewer
 * in the parsed object means one was there twice.
 */
static int
meta_scan(const char *text, size_t len, size_t *ret_members, struct err *e)
{
	bool in_string = false;
	size_t members = 0;
	uint8_t c, last = 0;	/* the last one that is no white space */

	if (!text_is_utf8(text, len))
		return err_set(e, "not valid UTF-8");
	for (size_t i = 0; i < len; i++) {
		c = (uint8_t)text[i];
		if (c < 0x20 && (in_string || !is_space(c)))
			return err_set(e, "control byte at %zu", i);
		if (c == '"')
			in_string = !in_string;
		else if (in_string && c == '\\')
			i++;
		else if (!in_string && c == ':')
			members++;
		else if (!in_string && (!is_structure(c) || (c == '{' && members > 0) || (c == '}' && last == ',')))
			return err_set(e, "unexpected '%c' at %zu", c, i);
		if (!is_space(c))
			last = c;
	}
	*ret_members = members;
	return 0;
}

static int
take_text(struct json_object *v, const char *name, char **ret, struct err *e)
{
	const char *s;

	if (!json_object_is_type(v, json_type_string))
		return err_set(e, "'%s' is not a string", name);
	s = json_object_get_string(v);
	if (strlen(s) != (size_t)json_object_get_string_len(v))
		return err_set(e, "'%s' holds a NUL", name);
	*ret = mem_strdup(s);
	return 0;
}

static int
take_number(struct json_object *v, const char *name, int64_t *ret, struct err *e)
{
	int64_t n;

	if (!json_object_is_type(v, json_type_int))
		return err_set(e, "'%s' is not an integer", name);
	n = json_object_get_int64(v);
	if (n < 0 || n == INT64_MAX)	/* the clamp of json-c 0.16 */
		return err_set(e, "'%s' is out of range", name);
	*ret = n;
	return 0;
}

static int
take_checksum(struct json_object *v, struct checksum *ret, struct err *e)
{
	char *s = NULL;
	size_t name_len;
	int r = -1;

	if (take_text(v, "checksum", &s, e) != 0)
		return -1;
	if (strlen(s) <= CHECKSUM_MAX) {
		for (size_t i = 0; i < ARRAY_LEN(algos) && r != 0; i++) {
			name_len = strlen(digest_name(algos[i]));
			if (strncmp(s, digest_name(algos[i]), name_len) != 0 || s[name_len] != ':')
				continue;
			r = text_unhex(s + name_len + 1, strlen(s + name_len + 1), ret->value, digest_size(algos[i]));
			ret->algo = r == 0 ? algos[i] : DIGEST_NONE;
		}
	}
	free(s);
	return r == 0 ? 0 : err_set(e, "'checksum' is not algorithm:hex");
}

static int
take_member(const char *name, struct json_object *v, struct object_meta *m, int64_t *version, int64_t *inode,
    int64_t *length, struct err *e)
{
	if (strcmp(name, "v") == 0)
		return take_number(v, name, version, e);
	if (strcmp(name, "inode") == 0)
		return take_number(v, name, inode, e);
	if (strcmp(name, "length") == 0)
		return take_number(v, name, length, e);
	if (strcmp(name, "last_modified") == 0)
		return take_number(v, name, &m->last_modified, e);
	if (strcmp(name, "fetched") == 0)
		return take_number(v, name, &m->source_time, e);
	if (strcmp(name, "etag") == 0)
		return take_text(v, name, &m->etag, e);
	if (strcmp(name, "type") == 0)
		return take_text(v, name, &m->media_type, e);
	if (strcmp(name, "disposition") == 0)
		return take_text(v, name, &m->disposition, e);
	if (strcmp(name, "backend") == 0)
		return take_text(v, name, &m->source_backend, e);
	if (strcmp(name, "checksum") == 0)
		return take_checksum(v, &m->checksum, e);
	return err_set(e, "unknown member");
}

/* Exactly one JSON object of what meta_scan lets through; NULL and e. */
static struct json_object *
meta_tokens(const char *text, size_t len, struct err *e)
{
	struct json_tokener *tok = json_tokener_new_ex(4);
	struct json_object *o = NULL;
	size_t end;

	if (tok == NULL) {
		(void)err_set(e, "out of memory");
		return NULL;
	}
	o = json_tokener_parse_ex(tok, text, (int)len);
	end = json_tokener_get_parse_end(tok);
	while (end < len && is_space((uint8_t)text[end]))
		end++;
	if (json_tokener_get_error(tok) != json_tokener_success || end != len ||
	    !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		o = NULL;
		(void)err_set(e, "not one JSON object");
	}
	json_tokener_free(tok);
	return o;
}

int
object_meta_parse(const char *text, size_t len, struct object_meta *ret, uint64_t *ret_inode, struct err *e)
{
	struct object_meta m = { .last_modified = -1, .source_time = -1 };
	int64_t version = -1, inode = -1, length = -1;
	struct json_object *o = NULL;
	size_t members = 0;
	int r = -1;

	if (len == 0 || len > META_MAX)
		return err_set(e, "metadata of %zu bytes", len);
	if (meta_scan(text, len, &members, e) != 0)
		return -1;
	o = meta_tokens(text, len, e);
	if (o == NULL)
		return -1;
	if ((size_t)json_object_object_length(o) != members) {
		(void)err_set(e, "a member is there twice");
		goto out;
	}
	json_object_object_foreach(o, name, value) {
		if (take_member(name, value, &m, &version, &inode, &length, e) != 0)
			goto out;
	}
	if (version != META_VERSION || inode < 0 || length < 0) {
		(void)err_set(e, "'v' is not %d, or 'inode' or 'length' is missing", META_VERSION);
		goto out;
	}
	m.length = (uint64_t)length;
	if (object_meta_check(&m, e) != 0)
		goto out;
	*ret = m;
	*ret_inode = (uint64_t)inode;
	memset(&m, 0, sizeof(m));
	r = 0;
out:
	object_meta_release(&m);
	json_object_put(o);
	return r;
}
