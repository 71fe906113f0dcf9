/* SPDX-License-Identifier: Apache-2.0
 *
 * One GET at a provider.
 *
 *	waits for its turn (queue.h) -> runs -> over (on_done, then freed)
 */
#include "base/base.h"

#include "mover/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { COOL_DEFAULT_S = 30 };	/* after a 429 that does not say */

struct pull {
	struct mover *m;
	struct turn turn;		/* its slot, or its place in the queue */
	bool in_callback;
	bool yields;			/* to those who wait, when the loop turns */
	struct source *source;
	const struct pull_ops *ops;
	void *arg;
	struct fetch *fetch;
	struct timer timer;		/* deadline in the queue; deferred failure; making way */
	uint64_t bytes;
	bool excess;
	struct s3_get s3;		/* of a source in S3 */
	bool refused;			/* S3 says why, and its owner is told when that is known */
	struct buf said;
	/* the request, owned until it runs */
	char *subpath, *id, *trace, *if_range;
	bool has_range;
	uint64_t first, last, max_size;
	int64_t deadline_ms;
	enum fetch_error early;
	char early_reason[160];
	int64_t cooling_s;		/* the provider wants nobody for so long; 0: not the reason */
};

static void
pull_free(struct pull *p)
{
	timer_clear(p->m->loop, &p->timer);
	turn_give(&p->turn);
	source_unref(p->source);
	buf_release(&p->said);
	free(p->subpath);
	free(p->id);
	free(p->trace);
	free(p->if_range);
	free(p);
}

/* Nobody is interested any more. */
static int
orphan_response(void *arg UNUSED, struct pull *p UNUSED, const struct fetch_response *r UNUSED)
{
	return -1;
}

static int
orphan_data(void *arg UNUSED, struct pull *p UNUSED, const char *data UNUSED, size_t n UNUSED)
{
	return -1;
}

static void
orphan_done(void *arg UNUSED, struct pull *p UNUSED, enum fetch_error x UNUSED, const char *reason UNUSED)
{
}

static const struct pull_ops orphan_ops = { orphan_response, orphan_data, orphan_done };

static int
tell_response(struct pull *p, const struct fetch_response *r)
{
	int rc;

	p->in_callback = true;
	if (r->status == 429 && !p->source->ours)
		turn_cool(&p->turn, r->retry_after_s < 0 ? COOL_DEFAULT_S : r->retry_after_s);
	rc = p->ops->on_response(p->arg, p, r);
	p->in_callback = false;
	return p->ops == &orphan_ops ? -1 : rc;
}

static int
on_response(void *arg, const struct fetch_response *r)
{
	struct pull *p = arg;

	p->refused = p->source->s3 != NULL && r->status >= 300;
	return p->refused ? 0 : tell_response(p, r);
}

static int
on_data(void *arg, const char *data, size_t n)
{
	struct pull *p = arg;
	int rc;

	if (p->refused) {
		(void)buf_add(&p->said, data, n);
		buf_must(&p->said);	/* lib/net has the same bound */
		return 0;
	}
	p->in_callback = true;
	rc = p->ops->on_data(p->arg, p, data, n);
	p->in_callback = false;
	if (rc != 1 && !p->source->ours) {
		p->bytes += n;
		stat_add(COUNT_UPSTREAM_BYTES, n);
	}
	return p->ops == &orphan_ops ? -1 : rc;
}

static void run(void *arg);

/* S3 has refused and said why (r goes with the fetch, when this returns). */
static void
on_refused(struct pull *p, const struct fetch_response *r)
{
	struct fetch_response plain;

	p->refused = false;
	if (s3_get_again(&p->s3, p->source->s3, p->id, r, buf_str(&p->said), p->said.len, &plain)) {
		buf_clear(&p->said);
		run(p);
		return;
	}
	if (plain.status == 416 && plain.range_size == UINT64_MAX && p->first == 0)
		plain.range_size = 0;		/* only of nothing the beginning is beyond the end */
	(void)tell_response(p, &plain);		/* whatever it says to that: this is the end */
	p->in_callback = true;
	p->ops->on_done(p->arg, p, FETCH_CANCELLED, "S3 refused");
	pull_free(p);
}

static void
on_done(void *arg, enum fetch_error x, const char *reason)
{
	const struct fetch_response *r;
	struct pull *p = arg;

	r = fetch_response(p->fetch);
	if (p->refused) {
		p->fetch = NULL;
		on_refused(p, r);
		return;
	}
	p->excess = r != NULL && r->excess;
	p->fetch = NULL;
	p->in_callback = true;
	p->ops->on_done(p->arg, p, x, reason);
	pull_free(p);
}

static const struct fetch_ops pull_fetch_ops = { on_response, on_data, on_done };

/* A failure before the fetch began, told from the loop. */
static void
on_early(void *arg)
{
	struct pull *p = arg;

	p->in_callback = true;
	p->ops->on_done(p->arg, p, p->early, p->early_reason);
	pull_free(p);
}

static void
fail_later(struct pull *p, enum fetch_error x, const char *reason)
{
	p->early = x;
	(void)snprintf(p->early_reason, sizeof(p->early_reason), "%.*s",
	    (int)sizeof(p->early_reason) - 1, reason);
	timer_set(p->m->loop, &p->timer, clock_mono_ms(), on_early, p);
}

/* The sub-path goes behind the URL's path, before its query. */
static int
full_url(const struct pull *p, struct buf *out)
{
	const char *url = p->source->url;
	size_t n = strcspn(url, "?#");

	if (p->subpath == NULL || p->subpath[0] == '\0')
		return buf_adds(out, url);
	while (n > 0 && url[n - 1] == '/')
		n--;
	(void)buf_add(out, url, n);
	(void)buf_addc(out, '/');
	(void)buf_adds(out, p->subpath);
	return buf_adds(out, url + strcspn(url, "?#"));
}

static int
url_now(struct pull *p, struct buf *out, struct err *e)
{
	if (p->source->s3 != NULL)
		return s3_get_url(&p->s3, p->source->s3, p->subpath, S3_SOURCE_LIFE_S, out, e);
	return full_url(p, out) == 0 ? 0 : err_set(e, "the source's URL is too long");
}

static void
run(void *arg)
{
	struct pull *p = arg;
	struct mover *m = p->m;
	struct buf url = BUF_INIT(S3_URL_MAX);
	struct err e = ERR_NONE;
	char *if_range = NULL;
	struct fetch_request r = {
		.id = p->id, .trace = p->trace, .method = p->source->method, .body = p->source->body,
		.credentials = (const char *const *)p->source->headers, .n_credentials = p->source->n_headers,
		.digest_user = p->source->digest_user, .has_range = p->has_range, .range_first = p->first,
		.range_last = p->last, .max_size = p->max_size, .tls_verify = p->source->tls_verify,
		.trusted = p->source->ours, .as_is = p->source->s3 != NULL,
		.first_byte_deadline_mono_ms = p->deadline_ms,
	};

	timer_clear(m->loop, &p->timer);
	if (p->if_range != NULL) {
		if_range = mem_printf("If-Range: %s", p->if_range);
		r.headers = &if_range;
		r.n_headers = 1;
	}
	if (!p->source->ours)
		stat_inc(COUNT_UPSTREAM_REQUESTS);
	if (url_now(p, &url, &e) == 0) {
		r.url = buf_str(&url);
		p->fetch = fetch_start(m->net, &r, &pull_fetch_ops, p, &e);
	}
	if (p->fetch == NULL)
		fail_later(p, FETCH_REFUSED, e.text);
	free(if_range);
	if (url.data != NULL)
		explicit_bzero(url.data, url.len);
	buf_release(&url);
}

/* While it waited, the provider said 429 to another. */
static void
on_cooled(void *arg, int64_t seconds)
{
	struct pull *p = arg;

	p->cooling_s = seconds;
	fail_later(p, FETCH_CANCELLED, "the provider said 429 to another request");
}

static void
on_queue_late(void *arg)
{
	struct pull *p = arg;

	p->in_callback = true;
	p->ops->on_done(p->arg, p, FETCH_TIMEOUT, "waited too long for a slot at the provider");
	pull_free(p);
}

const char *
user_key(const struct handover *h, char ret[USER_KEY_SIZE])
{
	(void)snprintf(ret, USER_KEY_SIZE, "%s\n%s", h->charge.realm, h->charge.user);
	return ret;
}

static void
on_yielded(void *arg)
{
	struct pull *p = arg;

	fetch_cancel(p->fetch);
	p->fetch = NULL;
	p->in_callback = true;
	p->ops->on_done(p->arg, p, FETCH_CANCELLED, "makes way for those who wait");
	pull_free(p);
}

/* A fill for nobody: others wait for its slot.  From the loop; until then somebody may join it, and it stays. */
static void
on_yield(void *arg)
{
	struct pull *p = arg;

	if (p->fetch == NULL)		/* it has failed, and that is told soon */
		return;
	p->yields = true;
	timer_set(p->m->loop, &p->timer, clock_mono_ms(), on_yielded, p);
}

void
pull_foreground(struct pull *p)
{
	if (p == NULL)
		return;
	turn_foreground(&p->turn);
	if (p->yields)
		timer_clear(p->m->loop, &p->timer);
	p->yields = false;
}

static struct failure
no_turn(enum turn_verdict v, int64_t cooling_s)
{
	struct failure f = FAILURE(503, PROBLEM_UPSTREAM, "too many requests wait for this provider");

	f.retry_after_s = 5;
	(void)snprintf(f.reason, sizeof(f.reason), "the queue for the provider is full");
	if (v == TURN_COOLING) {
		f = FAILURE(429, PROBLEM_UPSTREAM, "the provider allows no more requests now");
		f.retry_after_s = cooling_s;
		(void)snprintf(f.reason, sizeof(f.reason), "the provider said 429 before");
	}
	return f;
}

struct pull *
pull_start(struct mover *m, const struct pull_want *w, const struct pull_ops *ops, void *arg, struct failure *f)
{
	struct pull *p = mem_alloc(sizeof(*p));
	enum turn_verdict v;
	int64_t cooling_s = 0;

	p->m = m;
	p->turn = (struct turn){ .slot = -1, .go = run, .yield = on_yield, .cooled = on_cooled, .arg = p };
	p->source = source_ref((struct source *)(uintptr_t)w->source);
	p->ops = ops;
	p->arg = arg;
	p->subpath = mem_strdup(w->subpath);
	p->id = mem_strdup(w->id);
	p->trace = mem_strdup(w->trace);
	buf_init(&p->said, FETCH_ERROR_BODY_MAX);
	p->if_range = mem_strdup(w->if_range);
	p->has_range = w->has_range;
	p->first = w->first;
	p->last = w->last;
	p->max_size = w->max_size;
	p->deadline_ms = w->deadline_ms;
	v = w->backend == NULL ? TURN_NOW :
	    turn_take(m, &p->turn, w->backend, w->user == NULL ? "" : w->user, w->background, &cooling_s);
	if (v == TURN_NOW) {
		run(p);
	} else if (v == TURN_WAIT) {
		if (p->deadline_ms != 0)
			timer_set(m->loop, &p->timer, p->deadline_ms, on_queue_late, p);
	} else {
		*f = no_turn(v, cooling_s);
		pull_free(p);
		p = NULL;
	}
	return p;
}

void
pull_cancel(struct pull *p)
{
	if (p == NULL)
		return;
	if (p->in_callback) {	/* ends when its callback has returned */
		p->ops = &orphan_ops;
		return;
	}
	if (p->fetch != NULL)
		fetch_cancel(p->fetch);
	pull_free(p);
}

void
pull_resume(struct pull *p)
{
	if (p->fetch != NULL)
		fetch_resume(p->fetch);
}

void
pull_give(struct pull *p, const struct pull_ops *ops, void *arg)
{
	p->ops = ops;
	p->arg = arg;
}

const struct source *
pull_source(const struct pull *p)
{
	return p->source;
}

uint64_t
pull_bytes(const struct pull *p)
{
	return p->bytes;
}

bool
pull_excess(const struct pull *p)
{
	return p->excess;
}

struct failure
pull_failure(const struct pull *p, enum fetch_error x, const char *reason)
{
	struct failure f = p->cooling_s == 0 ? failure_of_fetch(x, reason) : no_turn(TURN_COOLING, p->cooling_s);

	return f;
}

struct failure
failure_of_status(const struct fetch_response *r)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "the provider failed");

	switch (r->status) {
	case 403:
		f = FAILURE(403, PROBLEM_UPSTREAM, "the provider does not allow access to this asset");
		break;
	case 404:
	case 410:
		f = FAILURE(404, PROBLEM_UPSTREAM, "the provider does not have this asset");
		break;
	case 416:
		f = FAILURE(416, PROBLEM_CLIENT, "the range is beyond the end of the asset");
		break;
	case 429:
		f = FAILURE(429, PROBLEM_UPSTREAM, "the provider allows no more requests now");
		f.retry_after_s = r->retry_after_s < 0 ? 30 : r->retry_after_s;
		break;
	case 503:
		f = FAILURE(503, PROBLEM_UPSTREAM, "the provider is not available now");
		f.retry_after_s = r->retry_after_s < 0 ? 30 : r->retry_after_s;
		break;
	case 504:
		f = FAILURE(504, PROBLEM_UPSTREAM, "the provider was too slow");
		break;
	default:
		break;
	}
	(void)snprintf(f.reason, sizeof(f.reason), "upstream status %d", r->status);
	return f;
}

struct failure
failure_of_fetch(enum fetch_error x, const char *reason)
{
	struct failure f = FAILURE(502, PROBLEM_UPSTREAM, "the provider failed");

	if (x == FETCH_TIMEOUT)
		f = FAILURE(504, PROBLEM_UPSTREAM, "the provider was too slow");
	else if (x == FETCH_REFUSED)
		f.detail = "the provider's location of the asset is not allowed";
	else if (x == FETCH_TOO_LARGE)
		f.detail = "the asset is larger than this service delivers";
	(void)snprintf(f.reason, sizeof(f.reason), "%s: %.120s", fetch_error_name(x), reason == NULL ? "" : reason);
	return f;
}
