/* SPDX-License-Identifier: Apache-2.0
 *
 * "10.0.0.0/8", "127.0.0.1", "fd00::/8", "::1": blocks of IP addresses.  Pure.
 */
#ifndef WIRE_IPBLOCK_H
#define WIRE_IPBLOCK_H

#include "base/base.h"

struct sockaddr;

struct ipblock {
	bool v6;
	uint8_t addr[16];
	unsigned bits;		/* 0 to 32 or 128 */
};

/* 0, or -1: no address, bits out of range, or bits set behind the prefix. */
int ipblock_parse(const char *text, struct ipblock *ret);
/* addr: 4 or 16 bytes by v6. */
bool ipblock_has(const struct ipblock *b, bool v6, const uint8_t *addr);

#endif
