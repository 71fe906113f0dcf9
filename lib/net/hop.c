/* SPDX-License-Identifier: Apache-2.0
 *
 * One hop of a fetch, as libcurl reports it: header lines, body bytes, and
 * what its end means.  Everything here but hop_judge runs inside libcurl, so
 * it only marks what must be done outside.  The mover.
 */
#include "base/base.h"

#include "net/private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

/* CURLE_TOO_LARGE, since 8.6; the library may be newer than the header that we were built with. */
enum { CODE_TOO_LARGE = 100 };

void
hop_verdict(struct fetch *f, enum fetch_error x, const char *fmt, ...)
{
	char host[128];
	va_list ap;
	int n;

	if (f->over)
		return;
	f->over = true;
	f->verdict = x;
	text_esc_to(host, sizeof(host), f->url->host);
	n = snprintf(f->reason, sizeof(f->reason), "host '%s': ", host);
	va_start(ap, fmt);
	(void)vsnprintf(f->reason + n, sizeof(f->reason) - (size_t)n, fmt, ap);	/* cut when too long */
	va_end(ap);
}

/* An answer whose body tells why: of that the first bytes do. */
static bool
is_error(const struct fetch *f)
{
	return f->as_is && f->response.r.status >= 300;
}

/* Hand the answer's headers to the owner.  0, or -1 with the verdict set. */
static int
deliver(struct fetch *f)
{
	const struct fetch_response *r = &f->response.r;

	if (r->has_length && r->length > f->max_size && !is_error(f) && strcmp(f->method, "HEAD") != 0) {
		hop_verdict(f, FETCH_TOO_LARGE, "the body is larger than allowed");
		return -1;
	}
	f->response.settled = true;
	f->delivered = true;
	limits_body(f);
	if (f->ops.on_response(f->arg, r) != 0) {
		hop_verdict(f, FETCH_CANCELLED, "stopped");
		return -1;
	}
	return 0;
}

/* A 401 that libcurl will answer by itself, once, with a digest. */
static bool
is_challenge(struct fetch *f)
{
	if (f->digest_user == NULL || f->challenged || f->response.r.status != 401 || !f->response.digest_offered)
		return false;
	f->challenged = true;
	return url_same_origin(f->first, f->url);
}

static int
headers_done(struct fetch *f)
{
	const struct fetch_response *r = &f->response.r;

	if (response_wants_close(&f->response))
		(void)curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);	/* the option exists */
	if (!f->as_is && response_is_redirect(&f->response)) {
		f->redirecting = true;
		return r->has_length && r->length > REDIRECT_BODY_MAX ? -1 : 0;
	}
	if (is_challenge(f))
		return 0;	/* delivered with its body or its end if libcurl does not go on */
	return deliver(f);
}

size_t
hop_on_header(char *data, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	struct err e = ERR_NONE;

	if (f->cancelled || f->over)
		return 0;
	switch (response_line(&f->response, data, size * n, &e)) {
	case RESPONSE_MORE:
	case RESPONSE_INTERIM:
		return size * n;
	case RESPONSE_FINAL:
		return headers_done(f) == 0 ? size * n : 0;
	case RESPONSE_BAD:
		break;
	}
	hop_verdict(f, FETCH_PROTOCOL, "%s", e.text);
	return 0;
}

static size_t
drop_body(struct fetch *f, size_t n)
{
	f->dropped += n;
	return f->dropped > REDIRECT_BODY_MAX ? CURL_WRITEFUNC_ERROR : n;
}

/* To the owner.  What libcurl is to be told. */
static size_t
give(struct fetch *f, const char *data, size_t n)
{
	switch (f->ops.on_data(f->arg, data, n)) {
	case 0:
		f->taken += n;
		limits_count(f, n);
		return n;
	case 1:
		f->paused = true;
		limits_pause(f);
		return CURL_WRITEFUNC_PAUSE;
	default:
		hop_verdict(f, FETCH_CANCELLED, "stopped");
		return CURL_WRITEFUNC_ERROR;
	}
}

static size_t
give_error(struct fetch *f, const char *data, size_t n)
{
	size_t left = FETCH_ERROR_BODY_MAX - (size_t)f->taken, rc = 0;

	if (n <= left)
		return give(f, data, n);
	if (left > 0)
		rc = give(f, data, left);
	if (rc != left)
		return rc;
	f->cut = true;
	return CURL_WRITEFUNC_ERROR;
}

size_t
hop_on_body(char *data, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;

	n *= size;
	if (f->cancelled || f->over)
		return CURL_WRITEFUNC_ERROR;
	if (f->redirecting)
		return drop_body(f, n);
	if (!f->delivered && deliver(f) != 0)
		return CURL_WRITEFUNC_ERROR;
	if (n == 0)
		return 0;
	if (is_error(f))
		return give_error(f, data, n);
	if (n > f->max_size - f->taken) {
		hop_verdict(f, FETCH_TOO_LARGE, "the body is larger than allowed");
		return CURL_WRITEFUNC_ERROR;
	}
	return give(f, data, n);
}

/* What comes next of a PUT's body: at most what libcurl has room for. */
size_t
hop_on_read(char *to, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	ssize_t got;

	n *= size;
	if (f->cancelled || f->over)
		return CURL_READFUNC_ABORT;
	if (n > f->upload_length - f->sent)
		n = (size_t)(f->upload_length - f->sent);
	if (n == 0)
		return 0;
	if (f->has_upload) {
		do {
			got = pread(f->upload_fd, to, n, (off_t)(f->upload_offset + f->sent));
		} while (got < 0 && errno == EINTR);
		if (got <= 0) {
			hop_verdict(f, FETCH_CANCELLED, "cannot read what is to be sent: %s",
			    got == 0 ? "the file is shorter" : strerror(errno));
			return CURL_READFUNC_ABORT;
		}
		n = (size_t)got;
	} else {
		memcpy(to, f->body + f->sent, n);
	}
	f->sent += n;
	limits_sent(f, n);
	return n;
}

/* libcurl sends all of it again: the kept connection that it began on was dead. */
int
hop_on_seek(void *arg, curl_off_t offset, int whence)
{
	struct fetch *f = arg;

	if (offset != 0 || whence != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	f->sent = 0;
	return CURL_SEEKFUNC_OK;
}

/* A whole answer by libcurl's account; by ours? */
static void
judge_success(struct fetch *f)
{
	const struct fetch_response *r = &f->response.r;

	if (!f->response.final)
		hop_verdict(f, FETCH_PROTOCOL, "the headers were cut");
	else if (!f->delivered && deliver(f) != 0)
		return;
	else if (r->has_length && f->taken != r->length && strcmp(f->method, "HEAD") != 0)
		hop_verdict(f, FETCH_TRUNCATED, "the body was cut");
}

/* What is wrong with the certificate is worth knowing; libcurl's words hold no more than a name out of it. */
static void
judge_tls(struct fetch *f, CURLcode code)
{
	for (char *p = f->curl_says; *p != '\0'; p++) {
		if ((uint8_t)*p < 0x20 || (uint8_t)*p > 0x7e)
			*p = '?';
	}
	hop_verdict(f, FETCH_CONNECT, "%s", f->curl_says[0] == '\0' ? curl_easy_strerror(code) : f->curl_says);
}

static void
judge_broken(struct fetch *f, CURLcode code)
{
	if (f->taken > 0)
		hop_verdict(f, FETCH_TRUNCATED, "the connection broke in the body");
	else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR)
		judge_tls(f, code);
	else
		hop_verdict(f, FETCH_CONNECT, "%s", curl_easy_strerror(code));
}

enum fetch_error
hop_judge(struct fetch *f, CURLcode code)
{
	if (f->over)
		return f->verdict;
	if (f->cut)
		return FETCH_OK;
	if (f->address_refused && !f->address_tried) {
		hop_verdict(f, FETCH_REFUSED, "its address is not public");
		return f->verdict;
	}
	if ((int)code == CODE_TOO_LARGE)
		code = CURLE_WEIRD_SERVER_REPLY;
	switch (code) {
	case CURLE_OK:
		judge_success(f);
		break;
	case CURLE_OPERATION_TIMEDOUT:
		hop_verdict(f, FETCH_TIMEOUT, "no connection in time");
		break;
	case CURLE_URL_MALFORMAT:
		hop_verdict(f, FETCH_REFUSED, "the URL is malformed");
		break;
	case CURLE_PARTIAL_FILE:
		hop_verdict(f, FETCH_TRUNCATED, "the body was cut");
		break;
	case CURLE_UNSUPPORTED_PROTOCOL:	/* an answer without headers, HTTP/0.9 */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_BAD_FUNCTION_ARGUMENT:	/* what 7.88 says of a folded first header */
	case CURLE_HTTP_RETURNED_ERROR:
	case CURLE_OUT_OF_MEMORY:		/* what 7.88 says of a header line without end */
	case CURLE_FILESIZE_EXCEEDED:
	case CURLE_WRITE_ERROR:
		hop_verdict(f, FETCH_PROTOCOL, "%s", curl_easy_strerror(code));
		break;
	default:
		judge_broken(f, code);
		break;
	}
	return f->over ? f->verdict : FETCH_OK;
}
