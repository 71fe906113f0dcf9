/* SPDX-License-Identifier: Apache-2.0
 *
 * Presign, send, read what came.
 */
#include "base/base.h"

#include "cache/s3_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct s3_call {
	struct fetch *fetch;
	s3_done_fn *fn;
	void *arg;
	struct buf body;
};

bool
s3_answer_good(const struct s3_answer *a)
{
	return a->error == FETCH_OK && a->status >= 200 && a->status <= 299;
}

void
s3_answer_say(const struct s3_answer *a, struct err *e)
{
	if (a->error != FETCH_OK)
		(void)err_set(e, "S3: %s: %.200s", fetch_error_name(a->error), a->reason);
	else
		(void)err_set(e, "S3: status %d%s%s", a->status, a->code[0] == '\0' ? "" : " ", a->code);
}

static int
on_response(void *arg UNUSED, const struct fetch_response *r UNUSED)
{
	return 0;
}

/* What is too long for a document is cut: it will not parse, and says so. */
static int
on_data(void *arg, const char *data, size_t n)
{
	struct s3_call *c = arg;
	size_t room = c->body.max - c->body.len;

	(void)buf_add(&c->body, data, n < room ? n : room);
	return buf_ok(&c->body) ? 0 : -1;
}

static bool
may_succeed_later(const struct s3_answer *a)
{
	switch (a->error) {
	case FETCH_CONNECT:
	case FETCH_TIMEOUT:
	case FETCH_PROTOCOL:
	case FETCH_TRUNCATED:
		return true;
	case FETCH_OK:
		/* RequestTimeout is a 400 */
		return a->status >= 500 || a->status == 408 || a->status == 429 ||
		    strcmp(a->code, "RequestTimeout") == 0;
	default:
		return false;
	}
}

static void
on_done(void *arg, enum fetch_error x, const char *reason)
{
	struct s3_call *c = arg;
	struct s3_answer a = { .error = x, .reason = x == FETCH_OK ? "" : reason, .body = buf_str(&c->body),
		.body_n = c->body.len };
	struct s3_error said;

	if (x == FETCH_OK) {
		a.head = fetch_response(c->fetch);
		a.status = a.head->status;
		if (s3_error_read(&said, a.body, a.body_n) == 0) {
			memcpy(a.code, said.code, sizeof(a.code));
			if (a.status < 300)
				a.status = 500;
		}
	}
	a.again = may_succeed_later(&a);
	c->fetch = NULL;
	c->fn(c->arg, &a);
	buf_release(&c->body);
	free(c);
}

static const struct fetch_ops ops = { on_response, on_data, on_done };

/* Lines of the headers that were signed. */
static char **
lines_of(const struct s3_request *r)
{
	char **lines = mem_alloc((r->nheaders + 1) * sizeof(*lines));

	for (size_t i = 0; i < r->nheaders; i++)
		lines[i] = mem_printf("%s: %s", r->headers[i].name, r->headers[i].value);
	return lines;
}

static void
lines_free(char **lines)
{
	for (size_t i = 0; lines[i] != NULL; i++)
		free(lines[i]);
	free(lines);
}

struct s3_call *
s3_call_start(const struct s3_peer *p, const struct s3_want *w, s3_done_fn *fn, void *arg, struct err *e)
{
	struct s3_request r = w->request;
	struct buf url = BUF_INIT(S3_URL_MAX);
	struct s3_call *c = NULL;
	char **lines = lines_of(&r);
	struct fetch_request f = {
		.id = w->id, .trace = w->trace, .method = r.method, .body = w->text,
		.headers = lines, .n_headers = r.nheaders,
		.has_upload = w->fd != -1, .upload_fd = w->fd, .upload_offset = w->offset, .upload_length = w->n,
		.trusted = true, .want_amz = true, .tls_verify = true, .first_byte_deadline_mono_ms = w->answer_by_ms,
		.patient = w->patient, .end_mono_ms = w->patient ? clock_mono_ms() + S3_PATIENT_MS : 0,
	};

	r.life_s = S3_CALL_LIFE_S;
	if (p->credentials == NULL) {
		(void)err_set(e, "there are no credentials for S3");
	} else if (s3_presign(&url, p->signer, p->place, p->credentials, &r, clock_wall_ms() / 1000, e) == 0) {
		c = mem_alloc(sizeof(*c));
		c->fn = fn;
		c->arg = arg;
		buf_init(&c->body, S3_ANSWER_MAX);
		f.url = buf_str(&url);
		c->fetch = fetch_start(p->net, &f, &ops, c, e);
		if (c->fetch == NULL) {
			free(c);
			c = NULL;
		}
	}
	lines_free(lines);
	buf_release(&url);
	return c;
}

void
s3_call_cancel(struct s3_call *c)
{
	if (c == NULL)
		return;
	fetch_cancel(c->fetch);
	buf_release(&c->body);
	free(c);
}
