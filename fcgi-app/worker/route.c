/* SPDX-License-Identifier: Apache-2.0
 *
 * Step 1 of a request.  Worker.
 */
#include "base/base.h"

#include "worker/route.h"

#include <string.h>

enum { DATA_SEGMENTS = 4, SUBPATH_MAX = 3 * PATH_URI_MAX };

static const struct {
	const char *segment, *name;
	enum route_kind kind;
} own_routes[] = {
	{ "health", "-/health", ROUTE_HEALTH },
	{ "ready", "-/ready", ROUTE_READY },
	{ "status", "-/status", ROUTE_STATUS },
	{ "metrics", "-/metrics", ROUTE_METRICS },
};

static void
fault(struct route *r, int status, const char *why)
{
	r->kind = ROUTE_FAULT;
	r->status = status;
	if (why != NULL)
		(void)err_set(&r->why, "%s", why);
}

/* Method names are case-sensitive; no header of the client can name another (D5). */
static int
method_of(const char *s, enum method *ret)
{
	if (strcmp(s, "GET") == 0)
		*ret = METHOD_GET;
	else if (strcmp(s, "HEAD") == 0)
		*ret = METHOD_HEAD;
	else if (strcmp(s, "OPTIONS") == 0)
		*ret = METHOD_OPTIONS;
	else
		return -1;
	return 0;
}

static void
route_own(struct route *r)
{
	for (size_t i = 0; i < ARRAY_LEN(own_routes); i++) {
		if (r->path.n == 2 && strcmp(r->path.seg[1], own_routes[i].segment) == 0) {
			r->kind = own_routes[i].kind;
			r->name = own_routes[i].name;
			return;
		}
	}
	fault(r, 404, "there is no such route");
}

static void
route_data(struct route *r)
{
	struct path *p = &r->path;

	if (p->n < DATA_SEGMENTS) {
		fault(r, 404, "a path is {backend}/{collection}/{item}/{asset}[/{subpath}]");
		return;
	}
	r->kind = ROUTE_DATA;
	r->backend = p->seg[0];
	r->collection = p->seg[1];
	r->item = p->seg[2];
	r->asset = p->seg[3];
	path_join(p, DATA_SEGMENTS, &r->subpath);
	if (!buf_ok(&r->subpath))
		fault(r, 414, "the path is too long");
}

void
route_request(struct route *ret, const char *method, const char *uri, const char *base_path)
{
	ret->kind = ROUTE_FAULT;
	ret->method = METHOD_GET;
	ret->status = 0;
	ret->why = (struct err)ERR_NONE;
	ret->backend = ret->collection = ret->item = ret->asset = ret->name = NULL;
	buf_init(&ret->subpath, SUBPATH_MAX);
	switch (path_parse(&ret->path, uri, strlen(uri), base_path, &ret->why)) {
	case PATH_OK:
		break;
	case PATH_OUTSIDE:
		fault(ret, 404, NULL);
		return;
	case PATH_LONG:
		fault(ret, 414, NULL);
		return;
	case PATH_BAD:
	default:
		fault(ret, 400, NULL);
		return;
	}
	if (method_of(method, &ret->method) != 0)
		fault(ret, 405, "methods are GET, HEAD and OPTIONS");
	else if (ret->path.seg[0][0] == '-')
		route_own(ret);
	else if (ret->path.seg[0][0] == '~')
		fault(ret, 404, "there are no such links");
	else
		route_data(ret);
}

const char *
route_subpath(const struct route *r)
{
	return r->subpath.len == 0 ? NULL : buf_str(&r->subpath);
}

void
route_release(struct route *r)
{
	buf_release(&r->subpath);
}
