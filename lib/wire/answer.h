/* SPDX-License-Identifier: Apache-2.0
 *
 * The header block of an answer that carries (or describes) data: the same
 * from a worker's hit and from a mover, so that cold, cached and every front
 * agree.  CGI form: "Status:" first, CRLF lines, an empty line at the end.
 */
#ifndef WIRE_ANSWER_H
#define WIRE_ANSWER_H

#include "base/buf.h"

enum { ANSWER_HEAD_MAX = 32768 };

/* For scripts of other origins; on every answer. */
#define ANSWER_CORS									\
	"Access-Control-Allow-Origin: *\r\n"						\
	"Access-Control-Expose-Headers: Content-Length, Content-Range, "		\
	"Content-Disposition, ETag, Last-Modified, Accept-Ranges, Cache-Status, "	\
	"X-Request-Id, X-Eodata-Delivery, Retry-After, RateLimit, RateLimit-Policy\r\n"

struct answer {
	int status;			/* 200, 206, 302, 304, 412, 416 */
	const char *id;			/* request id */
	const char *etag;		/* NULL without */
	int64_t last_modified;		/* s; -1 without */
	const char *media_type, *disposition;	/* NULL without */
	bool has_length;
	uint64_t length;		/* of this body */
	bool has_total;			/* Content-Range on 206 and 416, Accept-Ranges on all */
	uint64_t first, last, total;
	const char *cache_control;	/* NULL: "private" */
	const char *cache_status;	/* what follows "eodata-proxy; ": "hit", "fwd=miss" */
	const char *location;		/* 302 */
	const char *extra;		/* whole lines with CRLF, or NULL */
};

/* Appends; on a value that holds a control byte that header is left out. */
void answer_write(const struct answer *a, struct buf *out);
const char *http_reason(int status);

#endif
