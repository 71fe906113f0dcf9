/* SPDX-License-Identifier: Apache-2.0
 *
 * Did json-c keep all that the text has?  Without memory it goes on: members
 * are left out, strings are shortened, and the result is another
 * configuration (a rule for everybody, say).  So values and the bytes of
 * strings are counted in both.  Master and children.
 */
#include "base/base.h"

#include "config/params.h"

#include <json-c/json.h>
#include <string.h>

#include "config/scan.h"

struct tally {
	size_t values, bytes;
};

/* The text was scanned, so its depth is bounded. */
static void
count_tree(json_object *v, unsigned depth, struct tally *t)
{
	MUST(depth <= SCAN_DEPTH_MAX + 2);
	t->values++;
	if (json_object_is_type(v, json_type_object)) {
		json_object_object_foreach (v, name, member) {
			t->bytes += strlen(name);
			count_tree(member, depth + 1, t);
		}
	} else if (json_object_is_type(v, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(v); i++)
			count_tree(json_object_array_get_idx(v, i), depth + 1, t);
	} else if (json_object_is_type(v, json_type_string)) {
		t->bytes += (size_t)json_object_get_string_len(v);
	}
}

static unsigned
four_hex(const char *p)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 4 | (unsigned)(p[i] >= 'a' ? p[i] - 'a' + 10 : p[i] >= 'A' ? p[i] - 'A' + 10 : p[i] - '0');
	return v;
}

/* Bytes of UTF-8 that the escape at p, of the kind u, stands for; *ret_len is how long it is. */
static size_t
escape_bytes(const char *p, size_t *ret_len)
{
	unsigned v = four_hex(p + 2);

	*ret_len = 6;
	if (v >= 0xd800 && v < 0xdc00 && p[6] == '\\' && p[7] == 'u' && four_hex(p + 8) >= 0xdc00 &&
	    four_hex(p + 8) < 0xe000) {
		*ret_len = 12;
		return 4;
	}
	return v < 0x80 ? 1 : v < 0x800 ? 2 : 3;
}

/* Strings of a text that is strict JSON, names included. */
static size_t
bytes_of_strings(const char *p)
{
	size_t bytes = 0, len;
	bool inside = false;

	for (; *p != '\0'; p += len) {
		len = 1;
		if (*p == '"') {
			inside = !inside;
		} else if (inside && *p == '\\' && p[1] == 'u') {
			bytes += escape_bytes(p, &len);
		} else if (inside) {
			len = *p == '\\' ? 2 : 1;
			bytes++;
		}
	}
	return bytes;
}

bool
params_are_whole(json_object *root, const struct scan *scan)
{
	struct tally t = { 0, 0 };

	count_tree(root, 0, &t);
	return t.values == scan->n && t.bytes == bytes_of_strings(scan->text);
}
