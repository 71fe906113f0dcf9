/* SPDX-License-Identifier: Apache-2.0
 *
 * Error answers.  Worker and mover.
 */
#include "base/base.h"

#include "wire/problem.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "wire/answer.h"

static const char *const source_names[PROBLEM_SOURCES] = {
	[PROBLEM_CLIENT] = "client",
	[PROBLEM_POLICY] = "policy",
	[PROBLEM_QUOTA] = "quota",
	[PROBLEM_CACHE] = "cache",
	[PROBLEM_RESOLVER] = "resolver",
	[PROBLEM_UPSTREAM] = "upstream",
};

const char *
problem_source_name(enum problem_source s)
{
	return (unsigned)s < PROBLEM_SOURCES ? source_names[s] : "-";
}

/* A buffer remembers its failure; the caller asks it at the end. */
static void
add_text(struct buf *b, const char *name, const char *s)
{
	(void)buf_addf(b, ",\"%s\":", name);
	text_json(b, s, strlen(s));
}

static void
body_write(struct buf *b, const struct problem *p)
{
	const char *title = http_reason(p->status);
	const char *detail = p->detail == NULL ? title : p->detail;

	if (p->type == NULL)
		(void)buf_adds(b, "{\"type\":\"about:blank\"");
	else
		(void)buf_addf(b, "{\"type\":\"urn:eodata-proxy:problem:%s\"", p->type);
	add_text(b, "title", title);
	(void)buf_addf(b, ",\"status\":%d", p->status);
	add_text(b, "detail", detail);
	add_text(b, "source", problem_source_name(p->source));
	(void)buf_addf(b, ",\"code\":\"%d\"", p->status);
	add_text(b, "ticket", p->id == NULL ? "" : p->id);
	add_text(b, "description", detail);
	(void)buf_addf(b, "%s}\n", p->members == NULL ? "" : p->members);
}

void
problem_write(struct buf *out, const struct problem *p, bool head)
{
	struct buf body = BUF_INIT(PROBLEM_MAX / 2);

	body_write(&body, p);
	buf_inherit(out, &body);
	(void)buf_addf(out, "Status: %d %s\r\n", p->status, http_reason(p->status));
	(void)buf_addf(out, "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n", body.len);
	(void)buf_adds(out, "Cache-Control: no-store\r\n");
	if (p->retry_after_s >= 0)
		(void)buf_addf(out, "Retry-After: %" PRId64 "\r\n", p->retry_after_s);
	if (p->cache_status != NULL)
		(void)buf_addf(out, "Cache-Status: eodata-proxy; %s\r\n", p->cache_status);
	if (p->id != NULL)
		(void)buf_addf(out, "X-Request-Id: %s\r\n", p->id);
	(void)buf_adds(out, "X-Content-Type-Options: nosniff\r\n" ANSWER_CORS);
	if (p->headers != NULL)
		(void)buf_adds(out, p->headers);
	(void)buf_adds(out, "\r\n");
	if (!head)
		(void)buf_add(out, buf_str(&body), body.len);
	buf_release(&body);
}
