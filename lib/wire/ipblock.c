/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of addresses.  Configuration (master), address policy (mover),
 * peers (worker).
 */
#include "base/base.h"

#include "wire/ipblock.h"

#include <arpa/inet.h>
#include <string.h>

/* One to three digits without a sign or leading zero, at most max. */
static int
prefix_bits(const char *s, unsigned max, unsigned *ret)
{
	size_t n = strlen(s);
	unsigned v = 0;

	if (n == 0 || n > 3 || (s[0] == '0' && n > 1))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	if (v > max)
		return -1;
	*ret = v;
	return 0;
}

/* Of byte i, the bits that belong to a prefix of that many bits. */
static uint8_t
mask(unsigned bits, size_t i)
{
	if (bits >= 8 * (i + 1))
		return 0xff;
	if (bits <= 8 * i)
		return 0;
	return (uint8_t)(0xff << (8 - (bits - 8 * i)));
}

int
ipblock_parse(const char *text, struct ipblock *ret)
{
	char addr[INET6_ADDRSTRLEN];
	struct ipblock b = { false, { 0 }, 0 };
	const char *slash = strchr(text, '/');
	size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text);

	if (n >= sizeof(addr))
		return -1;
	memcpy(addr, text, n);
	addr[n] = '\0';
	b.v6 = strchr(addr, ':') != NULL;
	b.bits = b.v6 ? 128 : 32;
	if (inet_pton(b.v6 ? AF_INET6 : AF_INET, addr, b.addr) != 1)
		return -1;
	if (slash != NULL && prefix_bits(slash + 1, b.bits, &b.bits) == -1)
		return -1;
	for (size_t i = 0; i < sizeof(b.addr); i++) {
		if ((b.addr[i] & ~mask(b.bits, i)) != 0)
			return -1;
	}
	*ret = b;
	return 0;
}

bool
ipblock_has(const struct ipblock *b, bool v6, const uint8_t *addr)
{
	if (b->v6 != v6)
		return false;
	for (size_t i = 0; i < (v6 ? 16 : 4); i++) {
		if (((b->addr[i] ^ addr[i]) & mask(b->bits, i)) != 0)
			return false;
	}
	return true;
}
