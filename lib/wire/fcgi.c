/* SPDX-License-Identifier: Apache-2.0
 *
 * FastCGI records.  Mover (writing, and what follows a request), worker, test client (both).
 */
#include "base/base.h"

#include "wire/fcgi.h"

#include <string.h>

enum { FCGI_VERSION = 1, FCGI_ROLE_RESPONDER = 1 };

void
fcgi_header(uint8_t ret[FCGI_HEADER], enum fcgi_type type, uint16_t id, uint16_t n)
{
	ret[0] = FCGI_VERSION;
	ret[1] = (uint8_t)type;
	ret[2] = (uint8_t)(id >> 8);
	ret[3] = (uint8_t)id;
	ret[4] = (uint8_t)(n >> 8);
	ret[5] = (uint8_t)n;
	ret[6] = 0;
	ret[7] = 0;
}

void
fcgi_record(struct buf *out, enum fcgi_type type, uint16_t id, const void *data, size_t n)
{
	uint8_t head[FCGI_HEADER];
	const char *p = data;
	size_t take;

	do {
		take = n < FCGI_CONTENT_MAX ? n : FCGI_CONTENT_MAX;
		fcgi_header(head, type, id, (uint16_t)take);
		(void)buf_add(out, head, sizeof(head));	/* a buffer remembers its failure */
		if (take > 0) {
			(void)buf_add(out, p, take);
			p += take;
		}
		n -= take;
	} while (n > 0);
}

void
fcgi_end(struct buf *out, uint16_t id, uint32_t app_status)
{
	const uint8_t body[8] = {
		(uint8_t)(app_status >> 24), (uint8_t)(app_status >> 16),
		(uint8_t)(app_status >> 8), (uint8_t)app_status,
		0,	/* FCGI_REQUEST_COMPLETE */
		0, 0, 0,
	};

	fcgi_record(out, FCGI_STDOUT, id, NULL, 0);
	fcgi_record(out, FCGI_END, id, body, sizeof(body));
}

void
fcgi_begin(struct buf *out, uint16_t id)
{
	static const uint8_t body[8] = { 0, FCGI_ROLE_RESPONDER, 0 /* no keep-conn */ };

	fcgi_record(out, FCGI_BEGIN, id, body, sizeof(body));
}

static void
param_len(struct buf *out, size_t n)
{
	uint8_t b[4];

	if (n < 0x80) {
		(void)buf_addc(out, (char)n);
		return;
	}
	if (n > INT32_MAX) {
		out->failed = true;
		return;
	}
	b[0] = (uint8_t)(n >> 24 | 0x80);
	b[1] = (uint8_t)(n >> 16);
	b[2] = (uint8_t)(n >> 8);
	b[3] = (uint8_t)n;
	(void)buf_add(out, b, sizeof(b));
}

void
fcgi_param(struct buf *out, const char *name, size_t name_len, const char *value, size_t value_len)
{
	param_len(out, name_len);
	param_len(out, value_len);
	(void)buf_add(out, name, name_len);
	(void)buf_add(out, value, value_len);
}

ssize_t
fcgi_parse(const void *data, size_t len, struct fcgi_record *ret)
{
	const uint8_t *p = data;
	size_t content, padding;

	/* what is no record is known before it is whole */
	if (len >= 1 && p[0] != FCGI_VERSION)
		return -1;
	if (len >= 2 && (p[1] < FCGI_BEGIN || p[1] > FCGI_STDERR))
		return -1;
	if (len < FCGI_HEADER)
		return 0;
	content = (size_t)p[4] << 8 | p[5];
	padding = p[6];
	if (len - FCGI_HEADER < content + padding)
		return 0;
	ret->type = (enum fcgi_type)p[1];
	ret->id = (uint16_t)(p[2] << 8 | p[3]);
	ret->content = p + FCGI_HEADER;
	ret->content_len = content;
	return (ssize_t)(FCGI_HEADER + content + padding);
}

bool
fcgi_rest_aborts(struct fcgi_rest *r, uint16_t id, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t take;

	while (len > 0) {
		take = r->skip > 0 ? r->skip : sizeof(r->head) - r->n;
		if (take > len)
			take = len;
		if (r->skip > 0) {
			r->skip -= take;
		} else {
			memcpy(r->head + r->n, p, take);
			r->n += take;
		}
		p += take;
		len -= take;
		if (r->n < sizeof(r->head))
			continue;
		r->n = 0;
		if (r->head[0] != FCGI_VERSION)
			r->skip = SIZE_MAX;	/* nobody knows where the next record begins */
		else if (r->head[1] == FCGI_ABORT && (r->head[2] << 8 | r->head[3]) == id)
			return true;
		else
			r->skip = (size_t)(r->head[4] << 8 | r->head[5]) + r->head[6];
	}
	return false;
}
