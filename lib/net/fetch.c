/* SPDX-License-Identifier: Apache-2.0
 *
 * A fetch from its start to its end, over its hops.  The owner's calls only
 * queue work; it is done in fetch_turn, outside libcurl and outside the
 * owner's call.  The mover.
 */
#include "base/base.h"

#include "net/private.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "wire/trace.h"

enum { CALLER_HEADERS_MAX = 64, CALLER_BODY_MAX = 1048576, SECRET_MAX = 4096 };

const char *
fetch_error_name(enum fetch_error x)
{
	static const char *const name[] = {
		[FETCH_OK] = "ok", [FETCH_REFUSED] = "refused", [FETCH_CONNECT] = "connect",
		[FETCH_TIMEOUT] = "timeout", [FETCH_PROTOCOL] = "protocol", [FETCH_TRUNCATED] = "truncated",
		[FETCH_TOO_LARGE] = "too-large", [FETCH_LOOP] = "loop", [FETCH_CANCELLED] = "cancelled",
	};

	return (size_t)x < ARRAY_LEN(name) ? name[x] : "unknown";
}

static void
secret_free(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	free(s);
}

static void
lines_free(struct strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		secret_free(s->v[i]);
	free(s->v);
	*s = (struct strs){ .v = NULL };
}

/* Copy the lines that may be sent.  A message never holds the line: it may be a secret. */
static int
lines_copy(struct fetch *f, struct strs *to, const char *const *lines, size_t n, struct err *e)
{
	int kind;

	if (n > CALLER_HEADERS_MAX)
		return err_set(e, "more than %d request headers", CALLER_HEADERS_MAX);
	to->v = mem_alloc((n + 1) * sizeof(*to->v));
	for (size_t i = 0; i < n; i++) {
		kind = handle_header_kind(lines[i]);
		if (kind < 0)
			return err_set(e, "request header %zu is malformed", i);
		if (kind == 0)
			continue;
		f->asked_agent = f->asked_agent || kind == 2;
		to->v[to->n] = mem_strdup(lines[i]);
		to->n++;
	}
	return 0;
}

static const char *
method_of(const struct fetch_request *r)
{
	return r->method == NULL ? "GET" : r->method;
}

static bool
is_clean(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	}
	return n <= max;
}

/* Those of untrusted requests have nothing to lose when a redirect changes them. */
static int
check_method(const struct fetch_request *r, struct err *e)
{
	static const char *const known[] = { "GET", "POST", "HEAD", "PUT", "DELETE" };
	size_t n = r->trusted ? ARRAY_LEN(known) : 2;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(method_of(r), known[i]) == 0)
			return 0;
	}
	return err_set(e, r->trusted ? "the method is not known" : "the method is neither GET nor POST");
}

static int
check_upload(const struct fetch_request *r, struct err *e)
{
	if (strcmp(method_of(r), "PUT") != 0 || r->body != NULL || r->upload_fd < 0)
		return err_set(e, "the upload has another method, another body, or no file");
	if (r->upload_length > INT64_MAX || r->upload_offset > INT64_MAX - r->upload_length)
		return err_set(e, "the upload is too large");
	return 0;
}

static int
check_request(const struct fetch_request *r, struct err *e)
{
	if (check_method(r, e) != 0 || (r->has_upload && check_upload(r, e) != 0))
		return -1;
	if (r->body != NULL && strnlen(r->body, CALLER_BODY_MAX + 1) > CALLER_BODY_MAX)
		return err_set(e, "the request body is too large");
	if (r->patient && r->end_mono_ms == 0)
		return err_set(e, "a patient request has no end");
	if (r->digest_user != NULL && (!is_clean(r->digest_user, SECRET_MAX) || strchr(r->digest_user, ':') == NULL))
		return err_set(e, "the digest credentials are malformed");
	if (r->has_range && r->range_first > r->range_last)
		return err_set(e, "the range is empty");
	return 0;
}

static int
copy_request(struct fetch *f, const struct fetch_request *r, struct err *e)
{
	uint64_t limit = r->trusted ? 0 : f->net->config->upstream_max_size;

	if (check_request(r, e) != 0)
		return -1;
	f->trusted = r->trusted;
	f->as_is = r->as_is || r->trusted;
	f->first = f->url = url_new(f->net->config, r->url == NULL ? "" : r->url, r->trusted, e);
	if (f->url == NULL)
		return -1;
	f->id = mem_strdup(r->id);
	f->method = mem_strdup(method_of(r));
	f->body = mem_strdup(r->body == NULL ? "" : r->body);
	f->has_upload = r->has_upload;
	f->upload_fd = r->has_upload ? r->upload_fd : -1;
	f->upload_offset = r->has_upload ? r->upload_offset : 0;
	f->upload_length = r->has_upload ? r->upload_length : strlen(f->body);
	f->patient = r->patient;
	f->end_mono_ms = r->end_mono_ms;
	f->digest_user = mem_strdup(r->digest_user);
	if (r->trace != NULL && trace_is_valid(r->trace))
		f->trace = mem_strdup(r->trace);
	f->has_range = r->has_range;
	f->range_first = r->range_first;
	f->range_last = r->range_last;
	f->tls_verify = r->tls_verify;
	f->max_size = r->max_size;
	if (f->max_size == 0 || (limit > 0 && f->max_size > limit))
		f->max_size = limit == 0 ? UINT64_MAX : limit;
	if (lines_copy(f, &f->headers, (const char *const *)r->headers, r->n_headers, e) != 0)
		return -1;
	return lines_copy(f, &f->credentials, r->credentials, r->n_credentials, e);
}

void
fetch_resume(struct fetch *f)
{
	if (!f->ended && !f->cancelled)
		net_work_add(f->net, f, WORK_RESUME);
}

void
fetch_cancel(struct fetch *f)
{
	if (f == NULL || f->ended || f->cancelled)
		return;
	f->cancelled = true;
	deadlines_remove(&f->net->deadlines, &f->deadline);
	net_work_add(f->net, f, WORK_CANCEL);
}

const struct fetch_response *
fetch_response(const struct fetch *f)
{
	return f->delivered ? &f->response.r : NULL;
}

uint64_t
fetch_sent(const struct fetch *f)
{
	return f->sent;
}

/* Take the hop's handle out of libcurl and free it. */
static void
hop_close(struct fetch *f)
{
	MUST(f->net->inside == 0);
	f->net->inside++;
	if (f->added)
		(void)curl_multi_remove_handle(f->net->multi, f->easy);	/* can fail only when it is not in */
	f->added = false;
	handle_free(f);
	f->net->inside--;
}

void
fetch_destroy(struct fetch *f)
{
	hop_close(f);
	deadlines_remove(&f->net->deadlines, &f->deadline);
	net_work_remove(f->net, f);
	LIST_REMOVE(f, entry);
	f->net->n_fetches--;
	response_release(&f->response);
	if (f->url != f->first)
		url_free(f->url);
	url_free(f->first);
	lines_free(&f->headers);
	lines_free(&f->credentials);
	secret_free(f->digest_user);
	secret_free(f->body);
	free(f->id);
	free(f->trace);
	free(f->method);
	free(f);
}

static void
fetch_end(struct fetch *f)
{
	hop_close(f);
	deadlines_remove(&f->net->deadlines, &f->deadline);
	f->ended = true;
	f->ops.on_done(f->arg, f->over ? f->verdict : FETCH_OK, f->over ? f->reason : "");
	fetch_destroy(f);
}

static void
on_deadline(void *arg)
{
	struct fetch *f = arg;

	if (limits_passed(f))
		fetch_end(f);
}

struct fetch *
fetch_start(struct net *n, const struct fetch_request *r, const struct fetch_ops *ops, void *arg, struct err *e)
{
	struct fetch *f = mem_alloc(sizeof(*f));

	f->net = n;
	f->ops = *ops;
	f->arg = arg;
	f->deadline.fn = on_deadline;
	f->deadline.arg = f;
	response_init(&f->response, r);
	LIST_INSERT_HEAD(&n->all, f, entry);
	n->n_fetches++;
	if (copy_request(f, r, e) != 0) {
		fetch_destroy(f);
		return NULL;
	}
	limits_start(f, r->first_byte_deadline_mono_ms);
	net_work_add(n, f, WORK_START);
	return f;
}

static void
hop_start(struct fetch *f)
{
	struct err e = ERR_NONE;
	CURLMcode m;

	f->redirecting = f->address_refused = f->address_tried = f->challenged = f->stale = false;
	f->dropped = 0;
	f->n_opened = 0;
	f->sent = 0;
	if (handle_make(f, &e) != 0) {
		hop_verdict(f, FETCH_CONNECT, "%s", e.text);
		fetch_end(f);
		return;
	}
	f->net->inside++;
	m = curl_multi_add_handle(f->net->multi, f->easy);
	f->net->inside--;
	if (m != CURLM_OK) {
		hop_verdict(f, FETCH_CONNECT, "%s", curl_multi_strerror(m));
		fetch_end(f);
		return;
	}
	f->added = true;
}

/* 0 and the next hop is ready to start, or -1 with the verdict set. */
static int
follow(struct fetch *f)
{
	struct err e = ERR_NONE;
	struct url *next;
	int status = f->response.r.status;

	if (f->redirects >= f->net->config->redirects_max) {
		hop_verdict(f, FETCH_LOOP, "more than %u redirects", f->net->config->redirects_max);
		return -1;
	}
	f->redirects++;
	next = url_follow(f->net->config, f->url, f->response.location, &e);
	if (next == NULL) {
		hop_verdict(f, FETCH_REFUSED, "a redirect that is not allowed: %s", e.text);
		return -1;
	}
	/*
	 * 307 and 308 repeat the body, which may be a secret of the first origin; the others ask
	 * with GET, as browsers do
	 */
	if (strcmp(f->method, "POST") == 0 && (status == 307 || status == 308) && !url_same_origin(f->first, next)) {
		hop_verdict(f, FETCH_REFUSED, "a redirect of a POST to another origin");
		url_free(next);
		return -1;
	}
	if (status != 307 && status != 308) {
		free(f->method);
		f->method = mem_strdup("GET");
	}
	if (f->url != f->first)
		url_free(f->url);
	f->url = next;
	response_clear(&f->response);
	return 0;
}

void
fetch_hop_done(struct fetch *f, CURLcode code)
{
	bool redirect = f->redirecting && !f->over;

	if (f->cancelled)
		return;		/* destroyed at its turn */
	if (f->stale && !f->over) {
		hop_close(f);
		f->fresh = true;
		response_clear(&f->response);
		hop_start(f);
		return;
	}
	if (redirect) {
		hop_close(f);
		if (follow(f) == 0) {
			f->fresh = false;
			hop_start(f);
			return;
		}
	} else {
		(void)hop_judge(f, code);	/* the verdict stays in f */
	}
	fetch_end(f);
}

static void
unpause(struct fetch *f)
{
	CURLcode code;

	if (!f->paused)
		return;
	f->paused = false;
	limits_resume(f);
	f->net->inside++;
	code = curl_easy_pause(f->easy, CURLPAUSE_CONT);	/* calls hop_on_body */
	f->net->inside--;
	if (code != CURLE_OK)
		fetch_hop_done(f, code);
}

void
fetch_turn(struct fetch *f, unsigned work)
{
	if ((work & WORK_CANCEL) != 0)
		fetch_destroy(f);
	else if ((work & WORK_START) != 0)
		hop_start(f);
	else if ((work & WORK_RESUME) != 0)
		unpause(f);
}
