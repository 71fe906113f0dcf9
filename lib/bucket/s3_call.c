/* SPDX-License-Identifier: Apache-2.0
 *
 * Presign, send, read what came.
 */
#include "base/base.h"

#include "bucket/s3_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

struct s3_call {
	struct fetch *fetch;
	s3_done_fn *fn;
	void *arg;
	bool may_fail_late;		/* S3 answers 200 before the work is done */
	char region[S3_REGION_MAX + 1];	/* that it was signed for */
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
	const char *message = a->said.message;

	if (a->error != FETCH_OK)
		(void)err_set(e, "S3: %s: %.200s", fetch_error_name(a->error), a->reason);
	else if (a->result == S3_RESULT_CLOCK)
		(void)err_set(e, "S3: status %d %s: its clock and that of this host differ", a->status, a->said.code);
	else
		(void)err_set(e, "S3: status %d%s%s%s%s", a->status, a->said.code[0] == '\0' ? "" : " ", a->said.code,
		    message[0] == '\0' ? "" : ": ", message);
	for (char *c = e->text; *c != '\0'; c++) {
		if ((uint8_t)*c < 0x20 || (uint8_t)*c > 0x7e)
			*c = '?';
	}
}

static int
on_response(void *arg UNUSED, const struct fetch_response *r UNUSED)
{
	return 0;
}

static int
on_data(void *arg, const char *data, size_t n)
{
	struct s3_call *c = arg;

	(void)buf_add(&c->body, data, n);
	buf_must(&c->body);	/* max_size is its bound */
	return 0;
}

/* A document; before it there may be spaces that came while S3 was at work. */
static void
read_document(const struct s3_call *c, struct s3_answer *a)
{
	size_t blank = strspn(a->body, " \t\r\n");

	if (a->status < 300 && !c->may_fail_late)
		return;
	a->body += blank;
	a->body_n -= blank;
	(void)s3_error_read(&a->said, a->body, a->body_n);	/* none: the status alone */
}

static void
judge_answer(const struct s3_call *c, struct s3_answer *a)
{
	struct judge_facts facts = {
		.fetch = a->error, .status = a->status, .code = a->said.code, .asked_region = c->region,
		.date_s = a->head == NULL ? -1 : a->head->date, .now_s = clock_wall_ms() / 1000,
	};
	enum judge_next next;

	if (a->said.region[0] != '\0')
		facts.region = a->said.region;
	else if (a->head != NULL)
		facts.region = a->head->bucket_region;
	next = judge(&facts, &a->result);
	a->again = next == JUDGE_AGAIN;
	a->region = next == JUDGE_ELSEWHERE ? facts.region : NULL;
	if (a->status >= 200 && a->status < 300 && a->said.code[0] != '\0')
		a->status = 500;
}

static void
on_done(void *arg, enum fetch_error x, const char *reason)
{
	struct s3_call *c = arg;
	struct s3_answer a = { .error = x, .reason = x == FETCH_OK ? "" : reason, .body = buf_str(&c->body),
		.body_n = c->body.len };

	if (x == FETCH_OK) {
		a.head = fetch_response(c->fetch);
		a.status = a.head->status;
		read_document(c, &a);
	}
	judge_answer(c, &a);
	c->fetch = NULL;
	c->fn(c->arg, &a);
	buf_release(&c->body);
	free(c);
}

static const struct fetch_ops ops = { on_response, on_data, on_done };

/* Headers that were signed, and others. */
static char **
lines_of(const struct s3_want *w)
{
	const struct s3_request *r = &w->request;
	char **lines = mem_alloc((r->nheaders + w->n_headers + 1) * sizeof(*lines));

	for (size_t i = 0; i < r->nheaders; i++)
		lines[i] = mem_printf("%s: %s", r->headers[i].name, r->headers[i].value);
	for (size_t i = 0; i < w->n_headers; i++)
		lines[r->nheaders + i] = mem_strdup(w->headers[i]);
	return lines;
}

static void
lines_free(char **lines)
{
	for (size_t i = 0; lines[i] != NULL; i++)
		free(lines[i]);
	free(lines);
}

/* Completing an upload, and copying. */
static bool
may_fail_late(const struct s3_request *r)
{
	for (size_t i = 0; i < r->nheaders; i++) {
		if (strcasecmp(r->headers[i].name, "x-amz-copy-source") == 0)
			return true;
	}
	return strcmp(r->method, "POST") == 0;
}

static size_t
answer_max(const struct s3_want *w)
{
	return w->answer_max == 0 ? S3_ANSWER_MAX : w->answer_max;
}

static struct s3_call *
call_new(const struct s3_peer *p, const struct s3_want *w, s3_done_fn *fn, void *arg)
{
	struct s3_call *c = mem_alloc(sizeof(*c));

	c->fn = fn;
	c->arg = arg;
	c->may_fail_late = may_fail_late(&w->request);
	(void)snprintf(c->region, sizeof(c->region), "%s", p->place->region);
	buf_init(&c->body, answer_max(w));
	return c;
}

struct s3_call *
s3_call_start(const struct s3_peer *p, const struct s3_want *w, s3_done_fn *fn, void *arg, struct err *e)
{
	struct s3_request r = w->request;
	struct buf url = BUF_INIT(S3_URL_MAX);
	struct s3_call *c = NULL;
	char **lines = lines_of(w);
	struct fetch_request f = {
		.id = w->id, .trace = w->trace, .method = r.method, .body = w->text,
		.headers = lines, .n_headers = r.nheaders + w->n_headers, .max_size = answer_max(w),
		.has_upload = w->fd != -1, .upload_fd = w->fd, .upload_offset = w->offset, .upload_length = w->n,
		.trusted = true, .want_amz = true, .tls_verify = true, .first_byte_deadline_mono_ms = w->answer_by_ms,
		.patient = w->patient, .end_mono_ms = w->end_ms,
	};

	r.life_s = S3_CALL_LIFE_S;
	if (w->patient && w->end_ms == 0)
		f.end_mono_ms = clock_mono_ms() + S3_PATIENT_MS;
	if (p->credentials == NULL) {
		(void)err_set(e, "there are no credentials for S3");
	} else if (s3_presign(&url, p->signer, p->place, p->credentials, &r, clock_wall_ms() / 1000, e) == 0) {
		c = call_new(p, w, fn, arg);
		f.url = buf_str(&url);
		c->fetch = fetch_start(p->net, &f, &ops, c, e);
		if (c->fetch == NULL) {
			free(c);
			c = NULL;
		}
	}
	lines_free(lines);
	if (url.data != NULL)
		explicit_bzero(url.data, url.len);
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
