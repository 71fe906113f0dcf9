/* SPDX-License-Identifier: Apache-2.0
 *
 * Error answers: application/problem+json (RFC 9457) that also carries the
 * members of stac-fastapi-eodag's errors (code, ticket, description).  The
 * same from workers and movers.  Pure.
 */
#ifndef WIRE_PROBLEM_H
#define WIRE_PROBLEM_H

#include "base/buf.h"

/* Who failed. */
enum problem_source {
	PROBLEM_CLIENT, PROBLEM_POLICY, PROBLEM_QUOTA, PROBLEM_CACHE, PROBLEM_RESOLVER, PROBLEM_UPSTREAM,
	PROBLEM_SOURCES,
};
const char *problem_source_name(enum problem_source s);	/* "client" */

enum { PROBLEM_MAX = 65536 };

struct problem {
	int status;
	enum problem_source source;
	const char *type;		/* a short name of ours, "over-quota"; NULL: "about:blank" */
	const char *detail;		/* a sentence for a person; no secrets, nothing a provider said */
	const char *id;			/* the request's: "ticket" */
	int64_t retry_after_s;		/* -1: no Retry-After */
	const char *cache_status;	/* what follows "eodata-proxy; ", or NULL */
	const char *headers;		/* whole lines with CRLF, or NULL */
	const char *members;		/* more JSON members, each with a comma before it, or NULL */
};

/*
 * Append a whole answer as FastCGI's STDOUT wants it: Status, headers, empty
 * line and, unless head, the body.  out needs room for PROBLEM_MAX; it is
 * whole or it has failed.
 */
void problem_write(struct buf *out, const struct problem *p, bool head);

#endif
