/* SPDX-License-Identifier: Apache-2.0
 *
 * Movers, the resolvers' broker and the resolvers.  All ends.
 */
#include "base/base.h"

#include "ipc/resolve.h"

#include <string.h>

#include "base/text.h"
#include "wire/header.h"
#include "wire/path.h"

enum { TYPE_CONNECT = 'c', TYPE_CONNECTED = 'C', TYPE_JOB = 'j', TYPE_ANSWER = 'a' };
enum {
	SUBPATH_MAX = 3 * PATH_URI_MAX,
	REASON_MAX = 1024,
	NAME_BYTES_MAX = 1024,
	BODY_MAX = 1 << 20,
	HEADER_BYTES_MAX = 8192,
	SECRET_MAX = 8192,		/* session tokens are long */
	BUCKET_MAX = 255,
	REGION_MAX = 64,
	RETRY_AFTER_MAX_S = 30 * 86400,
};

static bool
is_clean(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((uint8_t)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

/* Text without control characters, that may be NULL. */
static const char *
get_clean(struct msg_in *m, size_t max)
{
	const char *s = msg_get_str(m, max);

	if (s != NULL && (!is_clean(s) || !text_is_utf8(s, strlen(s)))) {
		m->failed = true;
		return NULL;
	}
	return s;
}

/* The same, and it must be there. */
static const char *
need_clean(struct msg_in *m, size_t max)
{
	const char *s = get_clean(m, max);

	if (s == NULL || s[0] == '\0') {
		m->failed = true;
		return NULL;
	}
	return s;
}

/* One of the n words, or the message fails. */
static const char *
need_word(struct msg_in *m, const char *const *word, size_t n)
{
	const char *s = msg_get_text(m, 32);

	for (size_t i = 0; s != NULL && i < n; i++) {
		if (strcmp(s, word[i]) == 0)
			return s;
	}
	m->failed = true;
	return NULL;
}

static uint32_t
get_status(struct msg_in *m, uint32_t least)
{
	uint32_t v = msg_get_u32_max(m, 599);

	if (v < least)
		m->failed = true;
	return v;
}

void
resolve_connect_put(struct buf *msg, const struct resolve_connect *c)
{
	size_t start = msg->len;
	struct resolve_connect check;

	msg_begin(msg, TYPE_CONNECT);
	msg_str(msg, c->backend);
	if (buf_ok(msg) && resolve_connect_get(msg->data + start, msg->len - start, &check) == -1)
		msg->failed = true;
}

int
resolve_connect_get(const void *data, size_t n, struct resolve_connect *ret)
{
	struct resolve_connect c = { NULL };
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != TYPE_CONNECT)
		return -1;
	c.backend = need_clean(&m, RESOLVE_BACKEND_MAX);
	if (!msg_done(&m))
		return -1;
	*ret = c;
	return 0;
}

void
resolve_connected_put(struct buf *msg, const struct resolve_connected *c)
{
	size_t start = msg->len;
	struct resolve_connected check;

	msg_begin(msg, TYPE_CONNECTED);
	msg_str(msg, c->backend);
	msg_u32(msg, c->ok);
	msg_u32(msg, c->status);
	msg_u32(msg, c->retry_after_s);
	msg_str(msg, c->reason);
	if (buf_ok(msg) && resolve_connected_get(msg->data + start, msg->len - start, &check) == -1)
		msg->failed = true;
}

int
resolve_connected_get(const void *data, size_t n, struct resolve_connected *ret)
{
	struct resolve_connected c = { 0 };
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != TYPE_CONNECTED)
		return -1;
	c.backend = need_clean(&m, RESOLVE_BACKEND_MAX);
	c.ok = msg_get_bool(&m);
	c.status = get_status(&m, c.ok ? 0 : 400);
	c.retry_after_s = msg_get_u32_max(&m, RETRY_AFTER_MAX_S);
	c.reason = get_clean(&m, REASON_MAX);
	if (!msg_done(&m))
		return -1;
	*ret = c;
	return 0;
}

void
resolve_job_put(struct buf *msg, const struct resolve_job *j)
{
	size_t start = msg->len;
	struct resolve_job check;

	msg_begin(msg, TYPE_JOB);
	msg_u64(msg, j->job);
	msg_str(msg, j->trace);
	msg_str(msg, j->backend);
	msg_str(msg, j->collection);
	msg_str(msg, j->item);
	msg_str(msg, j->asset);
	msg_str(msg, j->subpath);
	msg_bytes(msg, j->item_json, j->item_json_len);
	msg_u32(msg, j->fresh);
	if (buf_ok(msg) && resolve_job_get(msg->data + start, msg->len - start, &check) == -1)
		msg->failed = true;
}

int
resolve_job_get(const void *data, size_t n, struct resolve_job *ret)
{
	struct resolve_job j = { 0 };
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != TYPE_JOB)
		return -1;
	j.job = msg_get_u64(&m);
	j.trace = msg_get_str(&m, TRACE_SIZE - 1);
	j.backend = need_clean(&m, RESOLVE_BACKEND_MAX);
	j.collection = need_clean(&m, PATH_SEGMENT_MAX);
	j.item = need_clean(&m, PATH_SEGMENT_MAX);
	j.asset = need_clean(&m, PATH_SEGMENT_MAX);
	j.subpath = get_clean(&m, SUBPATH_MAX);
	j.item_json = msg_get_bytes(&m, RESOLVE_FRAME_MAX, &j.item_json_len);
	j.fresh = msg_get_bool(&m);
	if (!msg_done(&m) || (j.trace != NULL && !trace_is_valid(j.trace)))
		return -1;
	*ret = j;
	return 0;
}

static void
put_source(struct buf *msg, const struct resolve_answer *a)
{
	msg_u32(msg, (uint32_t)a->source);
	msg_str(msg, a->backend);
	msg_u64(msg, (uint64_t)a->expires_ms);
	msg_str(msg, a->media_type);
	msg_str(msg, a->filename);
	msg_u64(msg, a->size);
	msg_str(msg, a->checksum);
	msg_u32(msg, a->tls_verify);
	if (a->source == SOURCE_S3) {
		msg_str(msg, a->bucket);
		msg_str(msg, a->s3_key);
		msg_str(msg, a->s3_region);
		msg_str(msg, a->s3_endpoint);
		msg_str(msg, a->s3_access);
		msg_str(msg, a->s3_secret);
		msg_str(msg, a->s3_token);
		msg_u32(msg, a->s3_requester_pays);
		msg_u32(msg, a->s3_anonymous);
		return;
	}
	msg_str(msg, a->url);
	msg_u32(msg, a->for_clients);
	msg_str(msg, a->method);
	msg_str(msg, a->body);
	msg_str(msg, a->digest_user);
	msg_u32(msg, (uint32_t)a->n_headers);
	for (size_t i = 0; i < a->n_headers && i < SOURCE_HEADERS_MAX; i++)
		msg_str(msg, a->headers[i]);
}

void
resolve_answer_put(struct buf *msg, const struct resolve_answer *a)
{
	size_t start = msg->len;
	struct resolve_answer check;

	msg_begin(msg, TYPE_ANSWER);
	msg_u64(msg, a->job);
	msg_u32(msg, (uint32_t)a->kind);
	switch (a->kind) {
	case RESOLVE_SOURCE:
		put_source(msg, a);
		break;
	case RESOLVE_PENDING:
		msg_u32(msg, a->status);
		msg_u32(msg, a->retry_after_s);
		msg_str(msg, a->order_id);
		msg_str(msg, a->reason);
		break;
	case RESOLVE_FAILED:
		msg_u32(msg, a->status);
		msg_u32(msg, a->retry_after_s);
		msg_str(msg, a->who);
		msg_str(msg, a->reason);
		break;
	case RESOLVE_CARRY:
		msg_str(msg, a->reason);
		break;
	}
	if (buf_ok(msg) && resolve_answer_get(msg->data + start, msg->len - start, &check) == -1)
		msg->failed = true;
}

/* "Name: value", which goes into a request as it is. */
static const char *
get_header(struct msg_in *m)
{
	const char *s = msg_get_text(m, HEADER_BYTES_MAX);
	struct header_line h;

	if (s == NULL || header_line_parse(s, strlen(s), &h, NULL) == -1) {
		m->failed = true;
		return NULL;
	}
	return s;
}

/* Printable ASCII without spaces; NULL may be there, "" not. */
static const char *
get_word(struct msg_in *m, size_t max)
{
	const char *s = msg_get_str(m, max);

	for (const char *p = s; p != NULL && *p != '\0'; p++) {
		if ((uint8_t)*p <= ' ' || (uint8_t)*p >= 0x7f)
			m->failed = true;
	}
	if (s != NULL && s[0] == '\0')
		m->failed = true;
	return m->failed ? NULL : s;
}

/* White space and what is not ASCII must have been encoded. */
static const char *
get_url(struct msg_in *m)
{
	const char *s = get_word(m, SOURCE_URL_MAX);

	if (s == NULL)
		m->failed = true;
	return s;
}

/* Both halves of the keys, or neither and nobody's. */
static void
get_s3(struct msg_in *m, struct resolve_answer *a)
{
	a->bucket = get_word(m, BUCKET_MAX);
	a->s3_key = need_clean(m, SOURCE_URL_MAX);
	a->s3_region = get_word(m, REGION_MAX);
	a->s3_endpoint = get_word(m, SOURCE_URL_MAX);
	a->s3_access = get_word(m, SECRET_MAX);
	a->s3_secret = get_word(m, SECRET_MAX);
	a->s3_token = get_word(m, SECRET_MAX);
	a->s3_requester_pays = msg_get_bool(m);
	a->s3_anonymous = msg_get_bool(m);
	if (a->bucket == NULL || (a->s3_access == NULL) != a->s3_anonymous ||
	    (a->s3_secret == NULL) != a->s3_anonymous || (a->s3_token != NULL && a->s3_anonymous))
		m->failed = true;
}

static void
get_source(struct msg_in *m, struct resolve_answer *a)
{
	static const char *const method[] = { "GET", "POST" };

	a->source = (enum source_kind)msg_get_u32_max(m, SOURCE_S3);
	a->backend = need_clean(m, RESOLVE_BACKEND_MAX);
	a->expires_ms = msg_get_i64(m);
	a->media_type = get_clean(m, NAME_BYTES_MAX);
	a->filename = get_clean(m, NAME_BYTES_MAX);
	a->size = msg_get_u64(m);
	if (a->size != UINT64_MAX && a->size > INT64_MAX)
		m->failed = true;
	a->checksum = get_clean(m, NAME_BYTES_MAX);
	a->tls_verify = msg_get_bool(m);
	if (a->source == SOURCE_S3) {
		get_s3(m, a);
		return;
	}
	a->url = get_url(m);
	a->for_clients = msg_get_bool(m);
	a->method = need_word(m, method, ARRAY_LEN(method));
	a->body = msg_get_str(m, BODY_MAX);
	a->digest_user = get_clean(m, SECRET_MAX);
	a->n_headers = msg_get_u32_max(m, SOURCE_HEADERS_MAX);
	for (size_t i = 0; i < a->n_headers; i++)
		a->headers[i] = get_header(m);
}

int
resolve_answer_get(const void *data, size_t n, struct resolve_answer *ret)
{
	static const char *const who[] = { "client", "policy", "quota", "cache", "resolver", "upstream" };
	struct resolve_answer a = { .size = UINT64_MAX, .tls_verify = true };
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != TYPE_ANSWER)
		return -1;
	a.job = msg_get_u64(&m);
	a.kind = (enum resolve_kind)msg_get_u32_max(&m, RESOLVE_FAILED);
	switch (a.kind) {
	case RESOLVE_SOURCE:
		get_source(&m, &a);
		break;
	case RESOLVE_PENDING:
		a.status = get_status(&m, 202);
		a.retry_after_s = msg_get_u32_max(&m, RETRY_AFTER_MAX_S);
		a.order_id = get_clean(&m, NAME_BYTES_MAX);
		a.reason = get_clean(&m, REASON_MAX);
		break;
	case RESOLVE_FAILED:
		a.status = get_status(&m, 400);
		a.retry_after_s = msg_get_u32_max(&m, RETRY_AFTER_MAX_S);
		a.who = need_word(&m, who, ARRAY_LEN(who));
		a.reason = get_clean(&m, REASON_MAX);
		break;
	case RESOLVE_CARRY:
		a.reason = get_clean(&m, REASON_MAX);
		break;
	}
	if (!msg_done(&m))
		return -1;
	*ret = a;
	return 0;
}
