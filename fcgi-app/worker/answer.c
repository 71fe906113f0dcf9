/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of an answer.  Worker.
 *
 * A hit is a header block that tells the front which file to send, or what to
 * fetch from S3: the front makes status, length and ranges, so none of them is
 * written here.
 */
#include "base/base.h"

#include "worker/answer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "wire/answer.h"

enum { URL_MARGIN_S = 60 };	/* between the end of a redirect's max-age and of its URL */

/* Buffers remember their failure: the one who writes them out asks. */
static void
add_ratelimit(struct buf *out, const struct decision *d)
{
	struct buf limit = BUF_INIT(512), policy = BUF_INIT(512);

	if (d->has_quota)
		quota_ratelimit(&d->quota, &limit, &policy);
	if (limit.len > 0 && policy.len > 0 && buf_fits(&limit) && buf_fits(&policy))
		(void)buf_join(out, "RateLimit: ", buf_str(&limit), "\r\nRateLimit-Policy: ", buf_str(&policy), "\r\n", NULL);
	buf_release(&limit);
	buf_release(&policy);
}

/* A path of files as a path of URLs: each part encoded, slashes stay. */
static void
add_encoded_path(struct buf *out, const char *path)
{
	size_t n;

	for (;;) {
		n = strcspn(path, "/");
		text_percent(out, path, n);
		if (path[n] == '\0')
			return;
		(void)buf_addc(out, '/');
		path += n + 1;
	}
}

/* Which file: in the words of the front. */
static void
add_file(struct buf *out, const struct config *c, const struct decision *d)
{
	if (c->hits == HITS_X_ACCEL) {
		(void)buf_join(out, "X-Accel-Redirect: ", c->internal_prefix, NULL);
		add_encoded_path(out, d->object.path);
		(void)buf_adds(out, "\r\n");
		if (d->rule->rate > 0)
			(void)buf_addf(out, "X-Accel-Limit-Rate: %" PRIu64 "\r\n", d->rule->rate);
		return;
	}
	/* Apache takes the path as it is, lighttpd decodes it once */
	(void)buf_adds(out, "X-Sendfile: ");
	if (strcmp(c->front_server, "lighttpd") == 0) {
		add_encoded_path(out, c->cache_path);
		(void)buf_addc(out, '/');
		add_encoded_path(out, d->object.path);
	} else {
		(void)buf_addf(out, "%s/%s", c->cache_path, d->object.path);
	}
	(void)buf_adds(out, "\r\n");
}

/*
 * What to fetch, in parts, so that nginx's configuration alone names the host that it asks.
 * What S3 is to check is said here, and nginx sends it nothing else of the client's.
 */
static void
add_remote(struct buf *out, const struct config *c, const struct decision *d)
{
	const char *host = strstr(buf_str(&d->url), "://") + 3;
	size_t n = strcspn(host, "/");

	(void)buf_join(out, "X-Accel-Redirect: ", c->internal_s3, "\r\nX-Eodata-S3-Host: ", NULL);
	(void)buf_add(out, host, n);
	(void)buf_join(out, "\r\nX-Eodata-S3-Path: ", host + n, "\r\nX-Eodata-S3-Match: ", d->object.version, "\r\n", NULL);
	if (d->has_range)
		(void)buf_addf(out, "X-Eodata-S3-Range: bytes=%" PRIu64 "-%" PRIu64 "\r\n", d->first, d->last);
	if (d->rule->rate > 0)
		(void)buf_addf(out, "X-Accel-Limit-Rate: %" PRIu64 "\r\n", d->rule->rate);
}

/* Of rules that may redirect: what became of it. */
static void
add_delivery(struct buf *out, const struct decision *d)
{
	if (d->rule->delivery == DELIVERY_STREAM)
		return;
	if (d->kind == DECISION_REDIRECT)
		(void)buf_addf(out, "X-Eodata-Delivery: redirect; life=%u\r\n", d->url_life_s);
	else
		(void)buf_join(out, "X-Eodata-Delivery: stream; reason=", d->delivery_why == NULL ? "cached" : d->delivery_why,
		    "\r\n", NULL);
}

/* Kept by clients and their caches for less than the URL lives. */
static void
answer_redirect(struct buf *out, const struct decision *d, const struct request *r)
{
	struct buf extra = BUF_INIT(ANSWER_HEAD_MAX / 2);
	char *cache_control = mem_printf("private, max-age=%u", d->url_life_s - URL_MARGIN_S);
	struct answer a = {
		.status = 302,
		.id = r->id,
		.last_modified = -1,
		.has_length = true,
		.cache_control = cache_control,
		.cache_status = "hit",
		.location = buf_str(&d->url),
	};

	add_ratelimit(&extra, d);
	(void)buf_adds(&extra, "X-Eodata-Charge: ");
	request_token(&extra, &d->charge);
	(void)buf_adds(&extra, "\r\n");
	add_delivery(&extra, d);
	a.extra = buf_str(&extra);
	answer_write(&a, out);
	buf_inherit(out, &extra);
	buf_release(&extra);
	free(cache_control);
}

static void
answer_object(struct buf *out, const struct config *c, const struct decision *d, const struct request *r, int status)
{
	const struct object_meta *m = &d->object.meta;
	struct buf extra = BUF_INIT(ANSWER_HEAD_MAX / 2 + STORE_URL_MAX);
	struct answer a = {
		.status = status,
		.id = r->id,
		.etag = m->etag,
		.last_modified = m->last_modified,
		.media_type = m->media_type,
		.disposition = m->disposition,
		.cache_control = d->dataset->cache_control,
		.cache_status = "hit",
	};

	add_ratelimit(&extra, d);
	(void)buf_adds(&extra, "X-Eodata-Charge: ");
	request_token(&extra, &d->charge);
	(void)buf_adds(&extra, "\r\n");
	add_delivery(&extra, d);
	if (d->kind == DECISION_FRONT && d->url.len > 0) {
		add_remote(&extra, c, d);
	} else if (d->kind == DECISION_FRONT) {
		add_file(&extra, c, d);
	} else if (d->kind == DECISION_HEAD) {
		a.has_length = a.has_total = true;
		a.length = a.total = m->length;
	}
	a.extra = buf_str(&extra);
	answer_write(&a, out);
	buf_inherit(out, &extra);
	buf_release(&extra);
}

static void
answer_options(struct buf *out, const struct request *r)
{
	(void)buf_addf(out, "Status: 204 %s\r\n"
	    "Allow: GET, HEAD, OPTIONS\r\n"
	    "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
	    "Access-Control-Allow-Headers: Authorization, Range, If-Match, If-None-Match, If-Modified-Since, "
	    "If-Unmodified-Since, If-Range\r\n"
	    "Access-Control-Max-Age: 86400\r\n"
	    "X-Request-Id: %s\r\n"
	    "X-Content-Type-Options: nosniff\r\n" ANSWER_CORS "\r\n", http_reason(204), r->id);
}

int
answer_decision(struct buf *out, const struct config *c, struct decision *d, const struct request *r, bool head)
{
	switch (d->kind) {
	case DECISION_OPTIONS:
		answer_options(out, r);
		return 204;
	case DECISION_NOT_MODIFIED:
		answer_object(out, c, d, r, 304);
		return 304;
	case DECISION_HEAD:
		answer_object(out, c, d, r, 200);
		return 200;
	case DECISION_REDIRECT:
		answer_redirect(out, d, r);
		return 302;
	case DECISION_FRONT:
		answer_object(out, c, d, r, 200);
		return d->has_range ? 206 : 200;	/* the front's, for the log */
	case DECISION_PROBLEM:
		add_ratelimit(&d->headers, d);
		d->problem.headers = buf_fits(&d->headers) ? buf_str(&d->headers) : NULL;
		d->problem.members = buf_fits(&d->members) && d->members.len > 0 ? buf_str(&d->members) : NULL;
		problem_write(out, &d->problem, head);
		return d->problem.status;
	case DECISION_OWN:
	case DECISION_STREAM:
	case DECISION_MISS:
	default:
		MUST(!"a decision without an answer of its own");
		return 500;
	}
}

void
answer_own(struct buf *out, const struct request *r, int status, const char *media_type, const char *body, size_t n,
    bool head)
{
	(void)buf_addf(out, "Status: %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
	    "X-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n" ANSWER_CORS "\r\n", status, http_reason(status),
	    media_type, n, r->id);
	if (!head)
		(void)buf_add(out, body, n);
}
