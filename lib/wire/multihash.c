/* SPDX-License-Identifier: Apache-2.0
 *
 * Checksums as catalogues and providers write them.  Mover.
 */
#include "base/base.h"

#include "wire/multihash.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

/* Strongest last: of several digests the strongest is used. */
static const struct known {
	enum digest_algo algo;
	const char *prefix;	/* of the multihash in hex: code and length */
	const char *name;	/* in Digest and Repr-Digest */
} known[] = {
	{ DIGEST_MD5, "d50110", "md5" },
	{ DIGEST_SHA1, "1114", "sha" },
	{ DIGEST_SHA256, "1220", "sha-256" },
	{ DIGEST_SHA512, "1340", "sha-512" },
};

int
checksum_parse(const char *s, size_t len, struct checksum *ret)
{
	struct checksum c = { DIGEST_NONE, { 0 } };
	size_t prefix, size;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		c.algo = known[i].algo;
		size = digest_size(c.algo);
		prefix = strlen(known[i].prefix);
		if (len == prefix + 2 * size && strncasecmp(s, known[i].prefix, prefix) == 0)
			s += prefix;
		else if (len != 2 * size)
			continue;
		if (text_unhex(s, 2 * size, c.value, size) == -1)
			return -1;
		*ret = c;
		return 0;
	}
	return -1;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Padded base64 of exactly n bytes, in its one canonical form. */
static int
base64_decode(const char *s, size_t len, uint8_t *ret, size_t n)
{
	size_t chars = (n * 8 + 5) / 6, out = 0;
	uint32_t acc = 0;
	unsigned bits = 0;
	int v;

	if (len != (n + 2) / 3 * 4)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (i >= chars) {
			if (s[i] != '=')
				return -1;
			continue;
		}
		v = base64_value(s[i]);
		if (v < 0)
			return -1;
		acc = acc << 6 | (uint32_t)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			ret[out++] = (uint8_t)(acc >> bits);
			acc &= (1U << bits) - 1;
		}
	}
	return acc == 0 && out == n ? 0 : -1;	/* spare bits are zero */
}

static void
trim(const char **s, size_t *n)
{
	while (*n > 0 && ((*s)[0] == ' ' || (*s)[0] == '\t')) {
		(*s)++;
		(*n)--;
	}
	while (*n > 0 && ((*s)[*n - 1] == ' ' || (*s)[*n - 1] == '\t'))
		(*n)--;
}

/* One "name=value"; colons: the value stands between colons (RFC 9530).  True when it is one that we have. */
static bool
list_member(const char *s, size_t n, bool colons, size_t *ret_known, struct checksum *ret)
{
	const char *eq = n == 0 ? NULL : memchr(s, '=', n), *v;
	size_t name, left;

	if (eq == NULL)
		return false;
	name = (size_t)(eq - s);
	v = eq + 1;
	left = n - name - 1;
	if (colons) {
		if (left < 2 || v[0] != ':' || v[left - 1] != ':')
			return false;
		v++;
		left -= 2;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strlen(known[i].name) != name || strncasecmp(s, known[i].name, name) != 0)
			continue;
		ret->algo = known[i].algo;
		*ret_known = i;
		return base64_decode(v, left, ret->value, digest_size(ret->algo)) == 0;
	}
	return false;
}

int
checksum_parse_header(const char *name, const char *value, size_t len, struct checksum *ret)
{
	struct checksum one = { DIGEST_NONE, { 0 } }, best = one;
	bool colons = strcasecmp(name, "Repr-Digest") == 0;
	size_t at, best_at = 0, n;
	const char *comma, *s;

	if (strcasecmp(name, "Content-MD5") == 0) {
		trim(&value, &len);
		one.algo = DIGEST_MD5;
		if (base64_decode(value, len, one.value, 16) == -1)
			return -1;
		*ret = one;
		return 0;
	}
	if (!colons && strcasecmp(name, "Digest") != 0)
		return -1;
	while (len > 0) {
		comma = memchr(value, ',', len);
		s = value;
		n = comma == NULL ? len : (size_t)(comma - value);
		value += comma == NULL ? len : n + 1;
		len -= comma == NULL ? len : n + 1;
		trim(&s, &n);
		if (!list_member(s, n, colons, &at, &one))
			continue;
		if (best.algo == DIGEST_NONE || at > best_at) {
			best = one;
			best_at = at;
		}
	}
	if (best.algo == DIGEST_NONE)
		return -1;
	*ret = best;
	return 0;
}
