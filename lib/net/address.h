/* SPDX-License-Identifier: Apache-2.0
 *
 * Which addresses we connect to: public ones, and those that the
 * configuration names (wire/ipblock.h).  Pure (no DNS).  Cases E1 to E3.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include "config/config.h"

struct sockaddr;

/* May we connect?  IPv4-mapped, NAT64 (64:ff9b::/96), 6to4 and Teredo addresses are judged by the IPv4 inside. */
bool address_allowed(const struct config *c, const struct sockaddr *sa);
#endif
