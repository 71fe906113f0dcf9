/* SPDX-License-Identifier: Apache-2.0
 *
 * A URL that we may ask for: parsed by libcurl's own parser after a strict
 * look at its beginning, so that what is checked is what is asked.  Private
 * to lib/net.  Cases E1, E2, E4.
 */
#ifndef NET_URL_H
#define NET_URL_H

#include "config/config.h"

enum { URL_MAX = 16384, URL_TRUSTED_MAX = 32768 };	/* bytes; a session token in a presigned one takes many */

struct url {
	char *text;		/* whole, without a fragment; may hold a signature: never log it */
	char *host;		/* lower case; IPv6 in brackets */
	bool https;
	uint16_t port;
};

/*
 * NULL and e (no secrets in it) when it is malformed or against policy.
 * trusted: the operator has named the host; any address, port and http.
 */
struct url *url_new(const struct config *c, const char *text, bool trusted, struct err *e);
/* Where a Location header of base leads.  A downgrade to http is refused. */
struct url *url_follow(const struct config *c, const struct url *base, const char *location, struct err *e);
/* The same scheme, host and port? */
bool url_same_origin(const struct url *a, const struct url *b);
void url_free(struct url *u);

#endif
