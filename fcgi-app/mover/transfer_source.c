/* SPDX-License-Identifier: Apache-2.0
 *
 * A transfer's source: its pulls, their answers, and the rest of a body that
 * broke off.  Mover.
 */
#include "base/base.h"

#include "mover/transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/httpdate.h"

enum {
	RESUMES_MAX = 3,		/* in a row ... */
	RESUME_PROGRESS = 1 << 20,	/* ... without so many new bytes */
	RESUME_WAIT_MS = 200,		/* before the first, doubled each time */
	DATELESS_S = 60,		/* a server that does not say Date may be so far from our clock */
};

/* ---- the response ------------------------------------------------------------------ */

static void
on_fresh(void *arg)
{
	struct transfer *t = arg;

	transfer_pull(t);
}

static void
on_fresh_failed(void *arg, const struct failure *f)
{
	transfer_fail(arg, f);
}

/* RFC 9110 8.8.2.2: in the second of its date a body may become another one of that date. */
static bool
date_is_strong(const struct fetch_response *resp)
{
	int64_t date = resp->date >= 0 ? resp->date : clock_wall_ms() / 1000 - DATELESS_S;

	return resp->last_modified >= 0 && resp->last_modified < date;
}

/* What the rest may be asked for with: RFC 9110 13.1.5 wants it strong. */
static void
keep_validator(struct transfer *t, const struct fetch_response *resp)
{
	char date[HTTPDATE_SIZE];

	free(t->validator);
	t->validator = NULL;
	if (resp->etag != NULL && strncmp(resp->etag, "W/", 2) != 0) {
		t->validator = mem_strdup(resp->etag);
	} else if (resp->etag == NULL && date_is_strong(resp)) {
		httpdate_format(resp->last_modified, date);
		t->validator = mem_strdup(date);
	}
}

void
transfer_fetch(struct transfer *t)
{
	struct asset *a = t->r->asset;

	if (asset_has_source(a)) {
		transfer_pull(t);
		return;
	}
	if (t->state == FOLLOWING)
		transfer_set_state(t, RESOLVING);
	asset_want(a, &t->want, &t->h, NULL);
}

static void
on_resume(void *arg)
{
	transfer_fetch(arg);
}

/* The pull is over before the body is.  True: another one goes on soon. */
static bool
resume(struct transfer *t, const char *why)
{
	if ((t->state != SNIFFING && t->state != FLOWING) || t->validator == NULL || t->total == UINT64_MAX ||
	    t->encoding != NULL || t->spool.head >= t->total)
		return false;
	if (t->spool.head - t->resumed_at >= RESUME_PROGRESS)
		t->resumes = 0;
	if (t->resumes >= RESUMES_MAX)
		return false;
	t->resumed_at = t->spool.head;
	t->resuming = true;
	t->pull = NULL;
	t->paused = false;
	log_info(t->h.id, "event=transfer-resume head=%" PRIu64 " attempt=%u reason='%.120s'", t->spool.head,
	    t->resumes + 1, why);
	timer_set(t->m->loop, &t->resume_timer, clock_mono_ms() + (RESUME_WAIT_MS << t->resumes), on_resume, t);
	t->resumes++;
	stat_inc(COUNT_RESUMES);
	return true;
}

/* Is this the rest of what we have, of the same version? */
static bool
is_the_rest(const struct transfer *t, const struct fetch_response *resp)
{
	char date[HTTPDATE_SIZE] = "";

	if (resp->status != 206 || resp->bad_content_range || !resp->has_content_range ||
	    resp->range_first != t->spool.head || resp->range_size != t->total || resp->content_encoding != NULL)
		return false;
	if (t->validator[0] == '"')	/* RFC 9110 15.3.7: a 206 has the tag that a 200 would have */
		return resp->etag != NULL && strcmp(resp->etag, t->validator) == 0;
	if (resp->last_modified >= 0)
		httpdate_format(resp->last_modified, date);
	return strcmp(date, t->validator) == 0;
}

/* The answer to a resuming pull: 0 the body goes on, -1 it does not (and the transfer knows). */
static int
resumed(struct transfer *t, struct pull *p, const struct fetch_response *resp)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "the provider's copy changed while it was delivered");

	if (is_the_rest(t, resp)) {
		t->resuming = false;
		t->refreshed = false;
		t->framed = resp->framed;
		return 0;
	}
	pull_cancel(p);
	t->pull = NULL;
	if (resp->status == 429 || resp->status >= 500) {
		if (resume(t, "the provider is not available"))
			return -1;
		f = failure_of_status(resp);
	}
	(void)snprintf(f.reason, sizeof(f.reason), "resuming at %" PRIu64 ": status %d", t->spool.head, resp->status);
	transfer_fail(t, &f);
	return -1;
}

/* NULL failure status: good. */
struct failure
transfer_judge(const struct transfer *t, const struct fetch_response *resp)
{
	const struct source *s = pull_source(t->pull);
	struct failure f = { .status = 0, .retry_after_s = -1 };

	if (resp->status != 200)
		return failure_of_status(resp);
	if (media_type_is_html(resp->media_type == NULL ? "" : resp->media_type) &&
	    (s->media_type == NULL || !media_type_is_html(s->media_type))) {
		f = FAILURE(502, PROBLEM_UPSTREAM, "the provider sent a page instead of the asset");
		(void)snprintf(f.reason, sizeof(f.reason), "media type is HTML");
	} else if (resp->has_length && t->want_size != UINT64_MAX && resp->length != t->want_size &&
	    resp->content_encoding == NULL && !t->deliver_on_mismatch) {
		f = FAILURE(502, PROBLEM_UPSTREAM, "the provider's copy is not as long as the catalogue announces");
		(void)snprintf(f.reason, sizeof(f.reason), "length %" PRIu64 ", file:size %" PRIu64, resp->length, t->want_size);
	}
	return f;
}

void
transfer_take_response(struct transfer *t, const struct fetch_response *resp)
{
	const struct source *s = pull_source(t->pull);

	t->total = resp->has_length ? resp->length : UINT64_MAX;
	t->framed = resp->framed;
	t->refreshed = false;		/* these credentials were good; they may end later */
	keep_validator(t, resp);
	facts_from_response(&t->facts, s, t->r, resp, t->total);
	if (resp->content_encoding != NULL) {
		t->encoding = mem_strdup(resp->content_encoding);
		t->want_sum.algo = DIGEST_NONE;	/* of the decoded bytes, which we never see */
		t->want_size = UINT64_MAX;
	} else if (t->want_sum.algo == DIGEST_NONE) {
		t->want_sum = resp->checksum;
	}
	t->hashing = hashing_new(t->m->hasher, t->want_sum.algo, t->total, transfer_hashed, t);
	transfer_begin_store(t, resp);
	transfer_set_state(t, SNIFFING);
}

static int
on_response(void *arg, struct pull *p, const struct fetch_response *resp)
{
	struct transfer *t = arg;
	struct asset *a = t->r->asset;
	struct failure f;

	if (resp->status == 401 || resp->status == 403) {
		/* signed URLs end with a 403 */
		if (!t->refreshed && (resp->status == 401 || t->resuming)) {
			t->refreshed = true;
			t->pull = NULL;
			pull_cancel(p);
			if (a->source != pull_source(p) && asset_has_source(a)) {
				transfer_pull(t);	/* another one has seen to it meanwhile */
				return -1;
			}
			if (!t->resuming)
				transfer_set_state(t, RESOLVING);
			asset_want(a, &t->want, &t->h, pull_source(p));
			return -1;
		}
		asset_drop_source(a, pull_source(p));
	}
	if (t->resuming)
		return resumed(t, p, resp);
	f = transfer_judge(t, resp);
	if (f.status != 0) {
		transfer_fail(t, &f);
		return -1;
	}
	transfer_take_response(t, resp);
	transfer_check(t);	/* a background fill that cannot be stored is for nobody; this cancels p */
	return 0;
}

static void
on_done(void *arg, struct pull *p, enum fetch_error x, const char *reason)
{
	struct transfer *t = arg;
	struct failure f;

	t->framed = t->framed && !pull_excess(p);	/* then only file:size or a checksum proves the end */
	t->pull = NULL;
	t->busy++;
	transfer_flush(t);
	t->busy--;
	if (x == FETCH_OK && t->state != FAILED && t->total != UINT64_MAX && t->spool.head < t->total) {
		x = FETCH_TRUNCATED;	/* a rest in chunks, which ended in order and too soon */
		reason = "the rest is shorter than announced";
	}
	if ((x == FETCH_TRUNCATED || x == FETCH_TIMEOUT || x == FETCH_CONNECT) && resume(t, reason))
		return;
	if (t->state != FAILED && x != FETCH_OK) {
		f = pull_failure(p, x, reason);
		transfer_fail(t, &f);
		return;
	}
	if (t->state == SNIFFING) {
		t->busy++;
		transfer_begin_flow(t);
		t->busy--;
	}
	if (t->state == FAILED)
		transfer_check(t);
	else
		transfer_whole(t);
}

static int
on_data(void *arg, struct pull *p UNUSED, const char *data, size_t n)
{
	return transfer_take(arg, data, n);
}

static const struct pull_ops transfer_ops = { on_response, on_data, on_done };

/* A pull with the asset's source of now, of the rest where there is something already. */
struct pull *
transfer_ask(struct transfer *t, struct failure *f)
{
	struct asset *a = t->r->asset;
	bool alone = t->background && t->n_clients == 0;
	char user[USER_KEY_SIZE];
	struct pull_want w = {
		.user = alone ? NULL : user_key(&t->h, user),
		.source = a->source, .backend = a->backend, .subpath = t->r->subpath, .id = t->h.id, .trace = t->h.trace,
		.background = alone,
	};	/* without a deadline: each client has one, and whom nobody waits for ends */

	if (t->resuming) {
		w.has_range = true;
		w.first = t->spool.head;
		w.last = t->total - 1;
		w.if_range = t->validator;
	}
	return pull_start(t->m, &w, &transfer_ops, t, f);
}

void
transfer_pull(struct transfer *t)
{
	struct failure f = FAILURE(502, PROBLEM_RESOLVER, "the source was lost");

	if (!t->resuming)
		transfer_set_state(t, PULLING);
	t->pull = t->r->asset->source == NULL ? NULL : transfer_ask(t, &f);
	if (t->pull == NULL)
		transfer_fail(t, &f);
}

void
transfer_take_pull(struct transfer *t, struct pull *p)
{
	t->pull = p;
	pull_give(p, &transfer_ops, t);
}

void
transfer_want_init(struct transfer *t)
{
	t->want = (struct want){ .ready = on_fresh, .failed = on_fresh_failed, .arg = t };
}
