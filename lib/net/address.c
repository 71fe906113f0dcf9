/* SPDX-License-Identifier: Apache-2.0
 *
 * Which addresses we connect to.  The list of what is not public follows the
 * special-purpose registries of IANA (RFC 6890 and its updates).  The mover.
 */
#include "base/base.h"

#include "net/address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "wire/ipblock.h"

struct block {
	uint8_t addr[16];
	unsigned bits;
};

static const struct block special_v4[] = {
	{ { 0 }, 8 },			/* this network */
	{ { 10 }, 8 },			/* private */
	{ { 100, 64 }, 10 },		/* shared by carriers (CGNAT) */
	{ { 127 }, 8 },			/* loopback */
	{ { 169, 254 }, 16 },		/* link-local; the clouds' metadata */
	{ { 172, 16 }, 12 },		/* private */
	{ { 192, 0, 0 }, 24 },		/* protocol assignments */
	{ { 192, 0, 2 }, 24 },		/* documentation */
	{ { 192, 88, 99 }, 24 },	/* 6to4 relays, withdrawn */
	{ { 192, 168 }, 16 },		/* private */
	{ { 198, 18 }, 15 },		/* benchmarks */
	{ { 198, 51, 100 }, 24 },	/* documentation */
	{ { 203, 0, 113 }, 24 },	/* documentation */
	{ { 224 }, 4 },			/* multicast */
	{ { 240 }, 4 },			/* reserved; broadcast */
};

/* Only 2000::/3 is handed out; inside it these are special. */
static const struct block special_v6[] = {
	{ { 0x20, 0x01 }, 23 },			/* protocol assignments: Teredo, benchmarks, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 },	/* documentation */
	{ { 0x3f, 0xff }, 20 },			/* documentation */
};

static const struct block global_v6 = { { 0x20 }, 3 };

static bool
block_has(const struct block *b, bool v6, const uint8_t *addr)
{
	struct ipblock i = { .v6 = v6, .bits = b->bits };

	memcpy(i.addr, b->addr, sizeof(i.addr));
	return ipblock_has(&i, v6, addr);
}

/* The IPv4 address that an IPv6 one stands for: true and four bytes. */
static bool
embedded_v4(const uint8_t *a, uint8_t ret[4])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t teredo[4] = { 0x20, 0x01 };

	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0) {
		memcpy(ret, a + 12, 4);
		return true;
	}
	if (a[0] == 0x20 && a[1] == 0x02) {	/* 6to4 */
		memcpy(ret, a + 2, 4);
		return true;
	}
	if (memcmp(a, teredo, 4) == 0) {	/* the client's, every bit turned over */
		for (size_t i = 0; i < 4; i++)
			ret[i] = a[12 + i] ^ 0xff;
		return true;
	}
	return false;
}

static bool
is_public(bool v6, const uint8_t *addr)
{
	const struct block *list = v6 ? special_v6 : special_v4;
	size_t n = v6 ? ARRAY_LEN(special_v6) : ARRAY_LEN(special_v4);

	if (v6 && !block_has(&global_v6, true, addr))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (block_has(&list[i], v6, addr))
			return false;
	}
	return true;
}

static bool
is_configured(const struct config *c, bool v6, const uint8_t *addr)
{
	struct ipblock b;

	for (size_t i = 0; i < c->allow_private.n; i++) {
		if (ipblock_parse(c->allow_private.v[i], &b) == 0 && ipblock_has(&b, v6, addr))
			return true;
	}
	return false;
}

bool
address_allowed(const struct config *c, const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	uint8_t addr[16] = { 0 };
	bool v6 = false;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(addr, &in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		v6 = !embedded_v4(in6.sin6_addr.s6_addr, addr);
		if (v6)
			memcpy(addr, in6.sin6_addr.s6_addr, 16);
	} else {
		return false;
	}
	return is_public(v6, addr) || is_configured(c, v6, addr);
}
