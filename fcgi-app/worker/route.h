/* SPDX-License-Identifier: Apache-2.0
 *
 * Step 1: what is asked for, by method and raw path.  Pure.
 */
#ifndef WORKER_ROUTE_H
#define WORKER_ROUTE_H

#include "base/buf.h"
#include "wire/path.h"

enum route_kind { ROUTE_FAULT, ROUTE_DATA, ROUTE_HEALTH, ROUTE_READY, ROUTE_STATUS, ROUTE_METRICS };
enum method { METHOD_GET, METHOD_HEAD, METHOD_OPTIONS };

struct route {
	enum route_kind kind;
	enum method method;
	int status;			/* of a fault: 400, 404, 405, 414 */
	struct err why;			/* of a fault, for the client */
	const char *backend, *collection, *item, *asset;	/* ROUTE_DATA; decoded */
	struct buf subpath;		/* percent-encoded segments joined by '/'; empty without */
	const char *name;		/* "-/status" for a route of ours, else NULL */
	struct path path;
};

/* Fills *ret (route_release it, in any case). */
void route_request(struct route *ret, const char *method, const char *uri, const char *base_path);
const char *route_subpath(const struct route *r);	/* NULL without */
void route_release(struct route *r);

#endif
