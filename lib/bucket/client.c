/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations that come again (see client.h).
 */
#include "base/base.h"

#include "bucket/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/process.h"
#include "net/deadline.h"

enum { CREDENTIALS_PAUSE_MS = 1000 };

struct s3_client {
	struct net *net;				/* borrowed */
	struct s3_place place;				/* in the region where the bucket is */
	bool follows;
	s3_keys_fn *keys;
	void *keys_arg;
	struct s3_signer *signer;
	LIST_HEAD(, s3_op) all;
};

struct s3_op {
	struct s3_client *client;
	LIST_ENTRY(s3_op) entry;
	struct deadline turn;		/* while it waits */
	struct s3_call *call;		/* while it does not */
	s3_op_done_fn *on_done;
	s3_done_fn *on_try;		/* or NULL */
	void *arg;
	struct s3_want w;		/* pointers: copies of ours */
	struct s3_pair *query, *signed_headers;
	struct strs lines;
	bool went_elsewhere, last;
	unsigned tries;
	char asked_region[S3_REGION_MAX + 1];		/* in this try */
};

static char *
mutable(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void
place_copy(struct s3_place *to, const struct s3_place *from)
{
	*to = *from;
	to->host = mem_strdup(from->host);
	to->region = mem_strdup(from->region);
	to->bucket = mem_strdup(from->bucket);
	to->prefix = mem_strdup(from->prefix);
}

struct s3_client *
s3_client_new(struct net *net, const struct s3_place *place, bool follows, s3_keys_fn *keys, void *keys_arg)
{
	struct s3_client *b = mem_alloc(sizeof(*b));

	b->net = net;
	place_copy(&b->place, place);
	b->follows = follows;
	b->keys = keys;
	b->keys_arg = keys_arg;
	b->signer = s3_signer_new();
	LIST_INIT(&b->all);
	return b;
}

const char *
s3_client_region(const struct s3_client *b)
{
	return b->place.region;
}

bool
s3_client_is_idle(const struct s3_client *b)
{
	return b == NULL || LIST_EMPTY(&b->all);
}

static struct s3_pair *
pairs_copy(const struct s3_pair *pairs, size_t n)
{
	struct s3_pair *copy = mem_alloc((n + 1) * sizeof(*copy));

	for (size_t i = 0; i < n; i++)
		copy[i] = (struct s3_pair){ mem_strdup(pairs[i].name), mem_strdup(pairs[i].value) };
	return copy;
}

static void
pairs_free(struct s3_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(mutable(pairs[i].name));
		free(mutable(pairs[i].value));
	}
	free(pairs);
}

static void
op_free(struct s3_op *o)
{
	net_call_off(o->client->net, &o->turn);
	LIST_REMOVE(o, entry);
	pairs_free(o->query, o->w.request.nquery);
	pairs_free(o->signed_headers, o->w.request.nheaders);
	for (size_t i = 0; i < o->lines.n; i++)
		free(o->lines.v[i]);
	free(o->lines.v);
	free(mutable(o->w.id));
	free(mutable(o->w.trace));
	free(mutable(o->w.request.method));
	free(mutable(o->w.request.key));
	free(mutable(o->w.text));
	free(o);
}

void
s3_client_free(struct s3_client *b)
{
	struct s3_op *o;

	if (b == NULL)
		return;
	for (o = LIST_FIRST(&b->all); o != NULL; o = LIST_FIRST(&b->all))
		s3_op_cancel(o);
	s3_signer_free(b->signer);
	s3_place_release(&b->place);
	free(b);
}

static void op_try(void *arg);

struct s3_op *
s3_op_start(struct s3_client *b, const struct s3_want *w, s3_op_done_fn *on_done, void *arg)
{
	struct s3_op *o = mem_alloc(sizeof(*o));
	const struct s3_request *r = &w->request;

	MUST(w->end_ms != 0);
	o->client = b;
	o->turn.fn = op_try;
	o->turn.arg = o;
	o->on_done = on_done;
	o->arg = arg;
	o->w = *w;
	o->w.id = mem_strdup(w->id);
	o->w.trace = mem_strdup(w->trace);
	o->w.text = mem_strdup(w->text);
	o->w.request.method = mem_strdup(r->method);
	o->w.request.key = mem_strdup(r->key);
	o->w.request.query = o->query = pairs_copy(r->query, r->nquery);
	o->w.request.headers = o->signed_headers = pairs_copy(r->headers, r->nheaders);
	o->lines.v = mem_alloc((w->n_headers + 1) * sizeof(*o->lines.v));
	for (size_t i = 0; i < w->n_headers; i++)
		o->lines.v[o->lines.n++] = mem_strdup(w->headers[i]);
	o->w.headers = o->lines.v;
	LIST_INSERT_HEAD(&b->all, o, entry);
	net_call_at(b->net, &o->turn, clock_mono_ms());
	return o;
}

void
s3_op_cancel(struct s3_op *o)
{
	if (o == NULL)
		return;
	s3_call_cancel(o->call);
	op_free(o);
}

void
s3_op_hear(struct s3_op *o, s3_done_fn *fn)
{
	o->on_try = fn;
}

bool
s3_op_finish_try(struct s3_op *o)
{
	o->last = true;
	if (o->call != NULL)
		return true;
	op_free(o);
	return false;
}

static void
op_end(struct s3_op *o, const struct s3_answer *a)
{
	o->call = NULL;		/* it is ending, or has not begun */
	o->on_done(o->arg, a, o->tries);
	op_free(o);
}

/* Is there time for another try after so long?  Then it is queued. */
static bool
again(struct s3_op *o, int64_t pause_ms)
{
	int64_t at = clock_mono_ms() + pause_ms;

	if (o->last || o->tries >= S3_OP_TRIES_MAX || pause_ms > S3_OP_PAUSE_MAX_MS || at >= o->w.end_ms)
		return false;
	o->call = NULL;
	net_call_at(o->client->net, &o->turn, at);
	return true;
}

static void
on_answer(void *arg, const struct s3_answer *a)
{
	struct s3_op *o = arg;
	uint32_t chance;

	if (o->on_try != NULL)
		o->on_try(o->arg, a);
	process_random(&chance, sizeof(chance));
	if (a->again && again(o, judge_pause_ms(o->tries, a->head == NULL ? -1 : a->head->retry_after_s, chance)))
		return;
	if (o->client->follows && a->region != NULL && !o->went_elsewhere && again(o, 0)) {
		o->went_elsewhere = true;
		/* another operation may have moved it already */
		if (strcmp(o->client->place.region, o->asked_region) == 0)
			s3_place_move(&o->client->place, a->region);
		return;
	}
	op_end(o, a);
}

/* It cannot be signed or sent: the caller's fault, or the configuration's. */
static void
op_refuse(struct s3_op *o, enum s3_result result, const struct err *e)
{
	const struct s3_answer a = { .error = FETCH_REFUSED, .reason = e->text, .result = result, .body = "" };

	op_end(o, &a);
}

static void
op_try(void *arg)
{
	struct s3_op *o = arg;
	struct s3_client *b = o->client;
	struct err e = ERR_NONE;
	const struct s3_peer peer = { b->net, &b->place, b->signer, b->keys(b->keys_arg, &e) };

	if (peer.credentials == NULL) {
		if (!again(o, CREDENTIALS_PAUSE_MS))
			op_refuse(o, S3_RESULT_REFUSED, &e);
		return;
	}
	(void)snprintf(o->asked_region, sizeof(o->asked_region), "%s", b->place.region);
	o->call = s3_call_start(&peer, &o->w, on_answer, o, &e);
	if (o->call == NULL)
		op_refuse(o, S3_RESULT_BAD, &e);
	else
		o->tries++;
}

/* -- waiting ----------------------------------------------------------------- */

struct waiting {
	s3_op_done_fn *on_done;
	void *arg;
	bool over;
};

static void
waited(void *arg, const struct s3_answer *a, unsigned tries)
{
	struct waiting *w = arg;

	w->on_done(w->arg, a, tries);
	w->over = true;
}

void
s3_op_wait(struct s3_client *b, struct wait *w, const struct s3_want *want, s3_op_done_fn *on_done, void *arg)
{
	struct waiting state = { .on_done = on_done, .arg = arg };

	MUST(wait_net(w) == b->net);
	(void)s3_op_start(b, want, waited, &state);	/* ends by itself */
	while (!state.over)
		wait_turn(w, -1);
}
