/* SPDX-License-Identifier: Apache-2.0
 *
 * The look before libfcgi's.  Worker.  Cases F1, F2 and D6.
 */
#include "base/base.h"

#include "worker/preflight.h"

#include <string.h>

#include "wire/fcgi.h"

enum { ROLE_RESPONDER = 1, RECORDS_MAX = 4096 };

/* A length of the name-value format.  Bytes it takes, 0 when it is cut. */
static size_t
pair_length(const uint8_t *p, size_t len, size_t *ret)
{
	if (len < 1)
		return 0;
	if ((p[0] & 0x80) == 0) {
		*ret = p[0];
		return 1;
	}
	if (len < 4)
		return 0;
	*ret = (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	return 4;
}

/*
 * 0; 1 when it is faulty (NUL or '=' where libfcgi would make another meaning
 * of it); -1 when it is no list of pairs.
 */
static int
pairs_check(const uint8_t *p, size_t len)
{
	size_t name, value, n;
	int faulty = 0;

	while (len > 0) {
		n = pair_length(p, len, &name);
		if (n == 0)
			return -1;
		p += n;
		len -= n;
		n = pair_length(p, len, &value);
		if (n == 0)
			return -1;
		p += n;
		len -= n;
		if (name > len || value > len - name)
			return -1;
		if (name == 0 || memchr(p, '\0', name + value) != NULL || memchr(p, '=', name) != NULL)
			faulty = 1;
		p += name + value;
		len -= name + value;
	}
	return faulty;
}

/* What was seen of a request so far. */
struct seen {
	uint16_t id;			/* 0: no BEGIN yet */
	bool params_end, body_end;
	size_t params, body;
};

/* -1: no request of ours. */
static int
take_record(struct seen *s, const struct fcgi_record *r, uint8_t *params)
{
	if (s->id == 0) {
		if (r->type != FCGI_BEGIN || r->id == 0 || r->content_len != 8 ||
		    r->content[0] != 0 || r->content[1] != ROLE_RESPONDER)
			return -1;
		s->id = r->id;
		return 0;
	}
	if (r->id != s->id)
		return -1;
	if (r->type == FCGI_PARAMS && !s->params_end) {
		if (r->content_len > PREFLIGHT_PARAMS_MAX - s->params)
			return -1;
		memcpy(params + s->params, r->content, r->content_len);
		s->params += r->content_len;
		s->params_end = r->content_len == 0;
		return 0;
	}
	if (r->type == FCGI_STDIN && s->params_end && !s->body_end) {
		s->body += r->content_len;
		s->body_end = r->content_len == 0;
		return 0;
	}
	return -1;
}

enum preflight_verdict
preflight(const void *data, size_t len, bool *ret_params_done)
{
	static uint8_t params[PREFLIGHT_PARAMS_MAX];
	const uint8_t *p = data;
	struct fcgi_rest rest = { .n = 0 };
	struct seen s = { 0 };
	struct fcgi_record r;
	size_t left = len;
	ssize_t n = 0;
	int faulty;

	*ret_params_done = false;
	for (int i = 0; i < RECORDS_MAX && left > 0 && !s.body_end; i++) {
		n = fcgi_parse(p, left, &r);
		if (n == 0)
			break;
		/* libfcgi 2.4.2 reads on in the padding of BEGIN, as if it were the next record */
		if (n < 0 || (s.id == 0 && (size_t)n != FCGI_HEADER + r.content_len) || take_record(&s, &r, params) != 0)
			return PREFLIGHT_BAD;
		p += n;
		left -= (size_t)n;
	}
	/* given up by the front before it was read */
	if (s.body_end && fcgi_rest_aborts(&rest, s.id, p, left))
		return PREFLIGHT_BAD;
	if (!s.params_end)
		return len >= PREFLIGHT_MAX || (left > 0 && n > 0) ? PREFLIGHT_BAD : PREFLIGHT_MORE;
	faulty = pairs_check(params, s.params);
	if (faulty < 0)
		return PREFLIGHT_BAD;
	*ret_params_done = true;
	if (s.body > PREFLIGHT_BODY_MAX || (!s.body_end && (len >= PREFLIGHT_MAX || (left > 0 && n > 0))))
		return PREFLIGHT_BODY;
	if (!s.body_end)
		return PREFLIGHT_MORE;
	return faulty == 0 ? PREFLIGHT_WHOLE : PREFLIGHT_FAULTY;
}
