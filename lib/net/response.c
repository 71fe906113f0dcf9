/* SPDX-License-Identifier: Apache-2.0
 *
 * The header lines of a provider's answer.  Only what struct fetch_response
 * names is kept; all else is dropped here and can reach nobody.  libcurl
 * parses the same lines for its framing; where it is generous (conflicting
 * lengths, codings that it would undo) the answer is refused.  The mover.
 */
#include "base/base.h"

#include "net/response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "wire/conditional.h"
#include "wire/header.h"
#include "wire/httpdate.h"
#include "wire/range.h"

enum { ETAG_MAX = 512, CODING_MAX = 64, LOCATION_MAX = 16384, VALUE_MAX = 1024, REGION_MAX = 64 };

static void
response_forget(struct response *p)
{
	if (p->location != NULL)
		explicit_bzero(p->location, strlen(p->location));
	free(p->location);
	free(p->r.media_type);
	free(p->r.etag);
	free(p->r.disposition);
	free(p->r.content_encoding);
	free(p->r.cache_status);
	free(p->r.bucket_region);
	for (size_t i = 0; i < p->r.n_amz; i++) {
		free(p->r.amz[i].name);
		free(p->r.amz[i].value);
	}
	free(p->r.amz);
}

const char *
fetch_response_amz(const struct fetch_response *r, const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < r->n_amz; i++) {
		if (strcmp(r->amz[i].name, name) != 0)
			continue;
		if (found != NULL)
			return NULL;
		found = r->amz[i].value;
	}
	return found;
}

/* Begin a block: forget the one before, but not the counters. */
static void
block_begin(struct response *p)
{
	struct response old = *p;

	response_forget(p);
	*p = (struct response){
		.asked_range = old.asked_range, .asked_first = old.asked_first, .asked_last = old.asked_last,
		.asked_amz = old.asked_amz,
		.lines = old.lines, .bytes = old.bytes,
		.r = { .range_size = UINT64_MAX, .last_modified = -1, .date = -1, .retry_after_s = -1 },
	};
}

void
response_init(struct response *p, const struct fetch_request *asked)
{
	*p = (struct response){
		.asked_range = asked->has_range, .asked_first = asked->range_first, .asked_last = asked->range_last,
		.asked_amz = asked->want_amz,
	};
	block_begin(p);
}

void
response_clear(struct response *p)
{
	p->lines = p->bytes = 0;
	block_begin(p);
}

void
response_release(struct response *p)
{
	response_forget(p);
	*p = (struct response){ .lines = 0 };
}

static enum response_event
bad(struct err *e, const char *text)
{
	err_set(e, "%s", text);
	return RESPONSE_BAD;
}

static bool
value_is(const struct header_line *h, const char *want)
{
	return h->value_len == strlen(want) && strncasecmp(h->value, want, h->value_len) == 0;
}

static bool
value_begins(const struct header_line *h, const char *want)
{
	size_t n = strlen(want);

	return h->value_len >= n && strncasecmp(h->value, want, n) == 0;
}

/* "HTTP/1.1 200 OK" */
static enum response_event
status_line(struct response *p, const char *line, size_t n, struct err *e)
{
	const char *s;
	int status = 0;

	block_begin(p);
	if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
		return bad(e, "the status line is malformed");
	s = line + 9;
	for (int i = 0; i < 3; i++) {
		if (s[i] < '0' || s[i] > '9')
			return bad(e, "the status line is malformed");
		status = status * 10 + (s[i] - '0');
	}
	if ((n > 12 && s[3] != ' ') || status < 100 || status > 599)
		return bad(e, "the status line is malformed");
	if (status == 101)
		return bad(e, "the provider switches protocols");
	for (size_t i = 12; i < n; i++) {
		if ((uint8_t)line[i] < 0x20 && line[i] != '\t')
			return bad(e, "the status line is malformed");
	}
	p->r.status = status;
	p->in_block = true;
	return RESPONSE_MORE;
}

static enum response_event
content_length(struct response *p, const struct header_line *h, struct err *e)
{
	uint64_t n;

	if (header_length_parse(h->value, h->value_len, &n) != 0)
		return bad(e, "Content-Length is malformed");
	if (p->has_announced && p->announced != n)
		return bad(e, "two Content-Length headers that differ");
	p->has_announced = true;
	p->announced = n;
	return RESPONSE_MORE;
}

/* libcurl undoes transfer codings; one that it would unpack is refused. */
static enum response_event
transfer_encoding(struct response *p, const struct header_line *h, struct err *e)
{
	if (p->has_te)
		return bad(e, "two Transfer-Encoding headers");
	p->has_te = true;
	p->chunked = value_is(h, "chunked");
	if (!p->chunked && !value_is(h, "identity"))
		return bad(e, "a Transfer-Encoding other than chunked");
	return RESPONSE_MORE;
}

static enum response_event
content_encoding(struct response *p, const struct header_line *h, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_., ";
	char *v;

	if (h->value_len == 0 || value_is(h, "identity"))
		return RESPONSE_MORE;
	if (p->r.content_encoding != NULL || h->value_len > CODING_MAX)
		return bad(e, "Content-Encoding is malformed");
	v = mem_strndup(h->value, h->value_len);
	for (size_t i = 0; i < h->value_len; i++) {
		if (v[i] >= 'A' && v[i] <= 'Z')
			v[i] = (char)(v[i] + ('a' - 'A'));
	}
	if (strspn(v, allowed) != h->value_len) {
		free(v);
		return bad(e, "Content-Encoding is malformed");
	}
	p->r.content_encoding = v;
	return RESPONSE_MORE;
}

static enum response_event
location(struct response *p, const struct header_line *h, struct err *e)
{
	char *v;
	bool differs;

	if (h->value_len > LOCATION_MAX)
		return bad(e, "Location is too long");
	v = mem_strndup(h->value, h->value_len);
	differs = p->location != NULL && strcmp(p->location, v) != 0;
	if (p->location == NULL)
		p->location = v;
	else
		free(v);
	return differs ? bad(e, "two Location headers that differ") : RESPONSE_MORE;
}

static void
content_range(struct response *p, const struct header_line *h)
{
	struct content_range cr;
	struct fetch_response *r = &p->r;

	if (p->has_range_header || content_range_parse(h->value, h->value_len, &cr) != 0) {
		p->has_range_header = p->bad_range_header = true;
		return;
	}
	p->has_range_header = true;
	r->has_content_range = cr.has_range;
	if (cr.has_range) {
		r->range_first = cr.first;
		r->range_last = cr.last;
	}
	r->range_size = cr.has_size ? cr.size : UINT64_MAX;
}

static void
checksum(struct response *p, const struct header_line *h)
{
	char name[32];
	struct checksum c = { .algo = DIGEST_NONE };

	if (h->name_len >= sizeof(name) || h->value_len > VALUE_MAX)
		return;
	memcpy(name, h->name, h->name_len);
	name[h->name_len] = '\0';
	/* the enum grows with the strength */
	if (checksum_parse_header(name, h->value, h->value_len, &c) == 0 && c.algo > p->r.checksum.algo)
		p->r.checksum = c;
}

static void
disposition(struct response *p, const struct header_line *h)
{
	struct buf name = BUF_INIT(VALUE_MAX), whole = BUF_INIT(8 * VALUE_MAX);

	if (p->r.disposition == NULL && disposition_filename(h->value, h->value_len, &name) == 0)
		disposition_write(&whole, buf_str(&name));
	if (buf_fits(&name) && buf_fits(&whole) && whole.len > 0)
		p->r.disposition = buf_take(&whole);
	buf_release(&name);
	buf_release(&whole);
}

static void
media_type(struct response *p, const struct header_line *h)
{
	struct buf b = BUF_INIT(VALUE_MAX);

	if (p->r.media_type == NULL && header_media_type(h->value, h->value_len, &b) == 0 && b.len > 0)
		p->r.media_type = buf_take(&b);
	else
		(void)buf_fits(&b);	/* one that is not there for want of memory is not one that is malformed */
	buf_release(&b);
}

static bool
name_begins(const struct header_line *h, const char *want)
{
	size_t n = strlen(want);

	return h->name_len >= n && strncasecmp(h->name, want, n) == 0;
}

static void
bucket_region(struct response *p, const struct header_line *h)
{
	struct fetch_response *r = &p->r;
	bool first = !p->has_region;
	char *v = mem_strndup(h->value, h->value_len);

	p->has_region = true;
	if (first && h->value_len > 0 && h->value_len <= REGION_MAX &&
	    strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789-") == h->value_len) {
		r->bucket_region = v;
		return;
	}
	free(v);
	free(r->bucket_region);		/* two of them are none */
	r->bucket_region = NULL;
}

static enum response_event
amz(struct response *p, const struct header_line *h, struct err *e)
{
	struct fetch_response *r = &p->r;
	struct fetch_header *add;

	if (r->n_amz == FETCH_AMZ_MAX || h->value_len > FETCH_AMZ_VALUE_MAX)
		return bad(e, "too many x-amz- headers, or one is too long");
	if (r->amz == NULL)
		r->amz = mem_alloc(FETCH_AMZ_MAX * sizeof(*r->amz));
	add = &r->amz[r->n_amz++];
	add->name = mem_strndup(h->name, h->name_len);
	add->value = mem_strndup(h->value, h->value_len);
	for (char *c = add->name; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	}
	return RESPONSE_MORE;
}

static enum response_event
keep(struct response *p, const struct header_line *h, struct err *e)
{
	struct fetch_response *r = &p->r;
	int64_t t;

	if (header_is(h, "x-amz-bucket-region"))
		bucket_region(p, h);
	if (p->asked_amz && name_begins(h, "x-amz-"))
		return amz(p, h, e);
	if (header_is(h, "content-length"))
		return content_length(p, h, e);
	if (header_is(h, "transfer-encoding"))
		return transfer_encoding(p, h, e);
	if (header_is(h, "content-encoding"))
		return content_encoding(p, h, e);
	if (header_is(h, "location"))
		return location(p, h, e);
	if (header_is(h, "content-range"))
		content_range(p, h);
	else if (header_is(h, "content-type"))
		media_type(p, h);
	else if (header_is(h, "content-disposition"))
		disposition(p, h);
	else if (header_is(h, "accept-ranges"))
		p->accepts = value_is(h, "bytes");
	else if (header_is(h, "www-authenticate"))
		p->digest_offered = p->digest_offered || value_begins(h, "digest ");
	else if (header_is(h, "retry-after"))
		r->retry_after_s = header_retry_after(h->value, h->value_len, clock_wall_ms() / 1000);
	else if (header_is(h, "cache-status")) {
		if (r->cache_status == NULL && h->value_len <= VALUE_MAX)
			r->cache_status = mem_strndup(h->value, h->value_len);
	} else if (header_is(h, "etag")) {
		if (r->etag == NULL && h->value_len <= ETAG_MAX && etag_is_valid(h->value, h->value_len))
			r->etag = mem_strndup(h->value, h->value_len);
	} else if (header_is(h, "last-modified")) {
		if (httpdate_parse(h->value, h->value_len, &t) == 0 && t >= 0)
			r->last_modified = t;
	} else if (header_is(h, "date")) {
		if (httpdate_parse(h->value, h->value_len, &t) == 0 && t >= 0)
			r->date = t;
	} else {
		checksum(p, h);
	}
	return RESPONSE_MORE;
}

/* A 206 must be what was asked for: the range, clipped to the size. */
static bool
range_is_good(const struct response *p)
{
	const struct fetch_response *r = &p->r;
	uint64_t want_last = p->asked_last;

	if (!p->asked_range || p->bad_range_header || !r->has_content_range || r->range_first != p->asked_first)
		return false;
	if (r->has_length && r->length != r->range_last - r->range_first + 1)
		return false;
	if (r->range_size == UINT64_MAX)
		return want_last == UINT64_MAX || r->range_last == want_last;
	return r->range_last == (want_last < r->range_size ? want_last : r->range_size - 1);
}

static enum response_event
block_end(struct response *p)
{
	struct fetch_response *r = &p->r;
	bool no_body = r->status < 200 || r->status == 204 || r->status == 304;

	p->in_block = false;
	if (r->status < 200)
		return RESPONSE_INTERIM;
	p->final = true;
	/* chunked framing rules over a length beside it (RFC 9112 6.3) */
	if (!p->chunked && !no_body && p->has_announced) {
		r->has_length = true;
		r->length = p->announced;
	}
	r->framed = no_body || p->chunked || r->has_length;
	r->accepts_ranges = p->accepts || r->status == 206;
	if (r->status == 206)
		r->bad_content_range = !range_is_good(p);
	else
		r->has_content_range = false;
	if (r->status != 206 && r->status != 416)
		r->range_size = UINT64_MAX;
	/* of the part, or of another coding: not of what will be stored */
	if (r->status != 200 || r->content_encoding != NULL)
		r->checksum.algo = DIGEST_NONE;
	return RESPONSE_FINAL;
}

enum response_event
response_line(struct response *p, const char *line, size_t n, struct err *e)
{
	struct header_line h;

	p->lines++;
	p->bytes += n;
	if (n > HEADER_LINE_MAX)
		return bad(e, "a header line is too long");
	if (p->lines > HEADER_COUNT_MAX || p->bytes > HEADER_TOTAL_MAX)
		return bad(e, "too many headers");
	if (n > 0 && line[n - 1] == '\n')
		n--;
	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (!p->in_block) {
		/* a trailer is counted and dropped; an answer to the digest challenge begins again */
		if (p->settled || (p->final && (n < 5 || memcmp(line, "HTTP/", 5) != 0)))
			return RESPONSE_MORE;
		return status_line(p, line, n, e);
	}
	if (n == 0)
		return block_end(p);
	if (header_line_parse(line, n, &h, e) != 0)
		return RESPONSE_BAD;
	return keep(p, &h, e);
}

bool
response_is_redirect(const struct response *p)
{
	int s = p->r.status;

	return p->final && p->location != NULL && (s == 301 || s == 302 || s == 303 || s == 307 || s == 308);
}

bool
response_wants_close(const struct response *p)
{
	if (p->chunked && p->has_announced)
		return true;
	return p->r.status == 204 && p->has_announced && p->announced > 0;
}
