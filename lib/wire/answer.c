/* SPDX-License-Identifier: Apache-2.0
 *
 * Header blocks of data answers.  Worker and mover.
 */
#include "base/base.h"

#include "wire/answer.h"

#include <inttypes.h>
#include <string.h>

#include "wire/httpdate.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" }, { 204, "No Content" }, { 206, "Partial Content" }, { 302, "Found" }, { 304, "Not Modified" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
	{ 405, "Method Not Allowed" }, { 410, "Gone" }, { 412, "Precondition Failed" },
	{ 413, "Content Too Large" }, { 414, "URI Too Long" },
	{ 416, "Range Not Satisfiable" }, { 429, "Too Many Requests" }, { 500, "Internal Server Error" },
	{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" }, { 508, "Loop Detected" },
};

const char *
http_reason(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Error";
}

/* A failed buffer is seen by the caller at the end, so results are not looked at. */
static void
add_line(struct buf *out, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	for (const char *p = value; *p != '\0'; p++) {
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			return;
	}
	(void)buf_join(out, name, ": ", value, "\r\n", NULL);
}

static void
add_range(const struct answer *a, struct buf *out)
{
	if (a->status == 206)
		(void)buf_addf(out, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", a->first,
		    a->last, a->total);
	else if (a->status == 416)
		(void)buf_addf(out, "Content-Range: bytes */%" PRIu64 "\r\n", a->total);
	if (a->status == 200 || a->status == 206)
		(void)buf_adds(out, "Accept-Ranges: bytes\r\n");
}

void
answer_write(const struct answer *a, struct buf *out)
{
	char date[HTTPDATE_SIZE];

	(void)buf_adds(out, "Status: ");
	(void)buf_addu(out, (uint64_t)a->status);
	(void)buf_join(out, " ", http_reason(a->status), "\r\n", NULL);
	if (a->status == 200 || a->status == 206) {
		add_line(out, "Content-Type", a->media_type == NULL ? "application/octet-stream" : a->media_type);
		add_line(out, "Content-Disposition", a->disposition);
		if (a->has_length)
			(void)buf_addf(out, "Content-Length: %" PRIu64 "\r\n", a->length);
	}
	add_line(out, "ETag", a->etag);
	if (a->last_modified >= 0) {
		httpdate_format(a->last_modified, date);
		add_line(out, "Last-Modified", date);
	}
	if (a->has_total)
		add_range(a, out);
	add_line(out, "Location", a->location);
	/* or a page's cache would take the redirect of one request for another that must not have one */
	if (a->location != NULL)
		add_line(out, "Vary", "Origin, Authorization, If-Match, If-Unmodified-Since, If-Range");
	add_line(out, "Cache-Control", a->cache_control == NULL ? "private" : a->cache_control);
	if (a->cache_status != NULL)
		(void)buf_join(out, "Cache-Status: eodata-proxy; ", a->cache_status, "\r\n", NULL);
	add_line(out, "X-Request-Id", a->id);
	(void)buf_adds(out, "X-Content-Type-Options: nosniff\r\n" ANSWER_CORS);
	if (a->extra != NULL)
		(void)buf_adds(out, a->extra);
	(void)buf_adds(out, "\r\n");
}
