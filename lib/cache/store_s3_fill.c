/* SPDX-License-Identifier: Apache-2.0
 *
 * How an object gets into the bucket (movers only).
 *
 *	WAITING  too little is here for a part, or the metadata is not known yet
 *	CREATING an upload in parts begins, with the object's metadata
 *	SENDING  parts, as the spool grows; some at a time
 *	CLOSING  all parts are there and the body is verified: complete it
 *	PUTTING  a small one goes in one request, when it is verified
 *	DONE | BROKEN
 *
 * S3 shows nothing of an upload in parts until it is completed, and a PUT is
 * there whole or not at all: so an object is never visible before it is whole.
 * Metadata is fixed when an upload begins.  Where length or ETag are not known
 * by then, it begins when the body is there.
 *
 * What is given up is aborted at once, as far as S3 can be reached; what a
 * death leaves behind is the lifecycle rule's (AbortIncompleteMultipartUpload).
 */
#include "base/base.h"

#include "cache/store_s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/process.h"
#include "s3/xml.h"

enum {
	PARTS_MAX = 10000,		/* of S3 */
	TRIES = 5,			/* of each request */
	UPLOAD_ID_MAX = 1024,
	PART_ETAG_MAX = 128,
	COMPLETE_MAX = 4 << 20,		/* bytes of the document that names all parts */
};

enum step { WAITING, CREATING, SENDING, CLOSING, PUTTING, DONE, BROKEN };

/* One request that is sent until it succeeds or there is no sense in it. */
struct errand {
	struct store_fill *f;
	struct s3_call *call;		/* it is on its way */
	int64_t at_ms;			/* mono: to be sent (again); 0: not wanted */
	unsigned tries;
	size_t part;			/* SENDING: which one, from 0 */
};

struct store_fill {
	LIST_ENTRY(store_fill) link;
	struct store_s3 *s;
	char *key;
	int spool_fd;			/* borrowed */
	enum step step;
	bool finished;			/* verified: the metadata is the last word */
	struct object_meta meta;
	int64_t begun_s;		/* since 1970: S3 may count its age from then */
	uint64_t upto;			/* bytes that are final */
	uint64_t part_size;
	char *upload_id;
	char **etag;			/* of each part that is there */
	size_t n_parts, next, there;	/* parts in all (known once the length is), the next to send, that are there */
	size_t at_once;
	struct errand *parts;		/* at_once of them */
	struct errand single;		/* create, complete, put */
	bool freed;			/* nobody has it: it waits for what came of its creation, to abort that */
	struct err error;
};

/* An upload that nobody wants: asked to go, once. */
struct s3_abort {
	LIST_ENTRY(s3_abort) link;
	struct s3_call *call;
};

static void pump(struct store_fill *f);

/* ---- giving up ----------------------------------------------------------------- */

static void
on_aborted(void *arg, const struct s3_answer *a UNUSED)
{
	struct s3_abort *b = arg;

	LIST_REMOVE(b, link);
	free(b);
}

static void
abort_upload(struct store_fill *f)
{
	const struct s3_pair query[] = { { "uploadId", f->upload_id } };
	struct s3_want w = { .request = { .method = "DELETE", .key = f->key, .query = query, .nquery = 1 }, .fd = -1 };
	struct s3_abort *b;
	struct s3_peer peer;

	if (f->upload_id == NULL)
		return;
	if (s3_peer(f->s, &peer, NULL) == 0) {
		b = mem_alloc(sizeof(*b));
		b->call = s3_call_start(&peer, &w, on_aborted, b, NULL);
		if (b->call == NULL)
			free(b);
		else
			LIST_INSERT_HEAD(&f->s->aborts, b, link);
	}
	free(f->upload_id);
	f->upload_id = NULL;
}

void
s3_aborts_free(struct store_s3 *s)
{
	struct s3_abort *b;

	while ((b = LIST_FIRST(&s->aborts)) != NULL) {
		LIST_REMOVE(b, link);
		s3_call_cancel(b->call);
		free(b);
	}
}

static void
errand_stop(struct errand *x)
{
	s3_call_cancel(x->call);
	x->call = NULL;
	x->at_ms = 0;
}

/* An upload that is being made is heard of first: S3 makes it whether we listen or not. */
static void
give_up(struct store_fill *f, const struct err *e)
{
	for (size_t i = 0; i < f->at_once; i++)
		errand_stop(&f->parts[i]);
	if (f->step != CREATING)
		errand_stop(&f->single);
	abort_upload(f);
	f->step = BROKEN;
	f->error = *e;
}

static void
fill_destroy(struct store_fill *f)
{
	errand_stop(&f->single);
	LIST_REMOVE(f, link);
	for (size_t i = 0; f->etag != NULL && i < f->n_parts; i++)
		free(f->etag[i]);
	free(f->etag);
	free(f->parts);
	free(f->upload_id);
	object_meta_release(&f->meta);
	free(f->key);
	free(f);
}

void
s3_fills_end(struct store_s3 *s)
{
	struct store_fill *f;

	while ((f = LIST_FIRST(&s->fills)) != NULL) {
		MUST(f->freed);
		fill_destroy(f);
	}
}

/* ---- errands ------------------------------------------------------------------- */

/* What an answer means for its errand.  True: it is done well. */
static bool
errand_heard(struct errand *x, const struct s3_answer *a)
{
	struct store_fill *f = x->f;
	struct err e = ERR_NONE;
	uint32_t chance;

	x->call = NULL;
	/* that an upload may begin says nothing of room for its parts */
	s3_heard(f->s, f->step == CREATING && s3_answer_good(a) ? S3_LOOK : S3_FILL, a);
	if (s3_answer_good(a)) {
		x->at_ms = 0;
		x->tries = 0;
		return true;
	}
	if (a->again && x->tries < TRIES) {
		process_random(&chance, sizeof(chance));
		x->at_ms = clock_mono_ms() +
		    judge_pause_ms(x->tries, a->head == NULL ? -1 : a->head->retry_after_s, chance);
		return false;
	}
	s3_answer_say(a, &e);
	give_up(f, &e);
	return false;
}

static void
errand_send(struct errand *x, const struct s3_want *w, s3_done_fn *fn)
{
	struct err e = ERR_NONE;
	struct s3_peer peer;

	x->tries++;
	x->at_ms = 0;
	if (s3_peer(x->f->s, &peer, &e) == 0)
		x->call = s3_call_start(&peer, w, fn, x, &e);
	if (x->call == NULL)
		give_up(x->f, &e);
}

/* Is it to be sent now? */
static bool
errand_due(const struct errand *x)
{
	return x->call == NULL && x->at_ms != 0 && clock_mono_ms() >= x->at_ms;
}

static void
errand_want(struct errand *x)
{
	x->tries = 0;
	x->at_ms = 1;		/* long ago */
}

/* ---- an upload in parts ----------------------------------------------------------- */

static uint64_t
part_length(const struct store_fill *f, size_t part)
{
	uint64_t from = part * f->part_size;

	return f->meta.length - from < f->part_size ? f->meta.length - from : f->part_size;
}

static void
take_upload_id(struct store_fill *f, const struct s3_answer *a)
{
	struct s3_xml *doc = s3_xml_parse(a->body, a->body_n, NULL);
	const char *id = s3_xml_text(doc, "UploadId");

	if (id != NULL && id[0] != '\0' && strlen(id) <= UPLOAD_ID_MAX)
		f->upload_id = mem_strdup(id);
	s3_xml_free(doc);
}

static void
on_created(void *arg, const struct s3_answer *a)
{
	struct errand *x = arg;
	struct store_fill *f = x->f;
	struct err e = ERR_NONE;

	if (f->step == BROKEN) {	/* given up meanwhile */
		x->call = NULL;
		take_upload_id(f, a);
		abort_upload(f);
		if (f->freed)
			fill_destroy(f);
		return;
	}
	if (!errand_heard(x, a))
		return;
	take_upload_id(f, a);
	if (f->upload_id == NULL) {
		(void)err_set(&e, "S3 began an upload without a name");
		give_up(f, &e);
		return;
	}
	f->step = SENDING;
	pump(f);
}

/* The headers that an object keeps.  pair has room for three. */
static size_t
object_headers(const struct object_meta *m, const char *meta, struct s3_pair *pair)
{
	const char *type = m->media_type == NULL ? "application/octet-stream" : m->media_type;
	size_t n = 0;

	pair[n++] = (struct s3_pair){ S3_META_HEADER, meta };
	pair[n++] = (struct s3_pair){ "content-type", type };
	if (m->disposition != NULL)
		pair[n++] = (struct s3_pair){ "content-disposition", m->disposition };
	return n;
}

static void
send_create(struct store_fill *f)
{
	const struct s3_pair query[] = { { "uploads", "" } };
	struct s3_pair header[3];
	struct buf meta = BUF_INIT(S3_META_MAX + 1);
	struct err e = ERR_NONE;
	struct s3_want w = {
		.request = { .method = "POST", .key = f->key, .query = query, .nquery = 1, .headers = header },
		.fd = -1, .text = "",
	};

	if (s3_meta_write(&f->meta, &meta, &e) == 0) {
		w.request.nheaders = object_headers(&f->meta, buf_str(&meta), header);
		errand_send(&f->single, &w, on_created);
	} else {
		give_up(f, &e);
	}
	buf_release(&meta);
}

static void
on_part(void *arg, const struct s3_answer *a)
{
	struct errand *x = arg;
	struct store_fill *f = x->f;
	struct err e = ERR_NONE;

	if (!errand_heard(x, a))
		return;
	if (a->head->etag == NULL || strlen(a->head->etag) > PART_ETAG_MAX) {
		(void)err_set(&e, "S3 took a part and gave no ETag for it");
		give_up(f, &e);
		return;
	}
	f->etag[x->part] = mem_strdup(a->head->etag);
	f->there++;
	pump(f);
}

static void
send_part(struct errand *x)
{
	struct store_fill *f = x->f;
	char number[24];
	const struct s3_pair query[] = { { "partNumber", number }, { "uploadId", f->upload_id } };
	struct s3_want w = {
		.request = { .method = "PUT", .key = f->key, .query = query, .nquery = 2 },
		.fd = f->spool_fd, .offset = x->part * f->part_size, .n = part_length(f, x->part),
	};

	(void)snprintf(number, sizeof(number), "%zu", x->part + 1);
	errand_send(x, &w, on_part);
}

/* What of it is here and not on its way; what failed and may be tried again. */
static void
send_parts(struct store_fill *f)
{
	for (size_t i = 0; i < f->at_once && f->step == SENDING; i++) {
		struct errand *x = &f->parts[i];

		if (x->call == NULL && x->at_ms == 0 && f->next < f->n_parts &&
		    f->next * f->part_size + part_length(f, f->next) <= f->upto) {
			x->part = f->next++;
			errand_want(x);
		}
		if (errand_due(x))
			send_part(x);
	}
}

/* It is there; etag is S3's, quoted or not, or NULL.  radosgw's answer to a completion has an empty one. */
static void
published(struct store_fill *f, const char *etag)
{
	char *quoted;

	f->step = DONE;
	if (f->s->shared->memory == NULL)
		return;
	if (etag == NULL || etag[0] == '\0' || strlen(etag) > PART_ETAG_MAX) {
		(void)memory_forget(f->s->shared->memory, f->key);	/* that there is none */
		s3_found_ask(f->s, f->key);
		return;
	}
	quoted = etag[0] == '"' ? mem_strdup(etag) : mem_printf("\"%s\"", etag);
	s3_remember(f->s, f->key, &f->meta, quoted, f->begun_s);
	free(quoted);
}

static void
on_closed(void *arg, const struct s3_answer *a)
{
	struct errand *x = arg;
	struct store_fill *f = x->f;
	struct s3_xml *doc;

	if (!errand_heard(x, a))
		return;
	free(f->upload_id);
	f->upload_id = NULL;
	doc = s3_xml_parse(a->body, a->body_n, NULL);
	published(f, s3_xml_text(doc, "ETag"));
	s3_xml_free(doc);
}

static void
send_complete(struct store_fill *f)
{
	const struct s3_pair query[] = { { "uploadId", f->upload_id } };
	struct s3_want w = { .request = { .method = "POST", .key = f->key, .query = query, .nquery = 1 }, .fd = -1,
		.patient = true };
	struct s3_xml *root = s3_xml_new("CompleteMultipartUpload", NULL), *part;
	struct buf doc = BUF_INIT(COMPLETE_MAX);
	char number[24];

	for (size_t i = 0; i < f->n_parts; i++) {
		(void)snprintf(number, sizeof(number), "%zu", i + 1);
		part = s3_xml_add(root, s3_xml_new("Part", NULL));
		(void)s3_xml_add(part, s3_xml_new("PartNumber", number));
		(void)s3_xml_add(part, s3_xml_new("ETag", f->etag[i]));
	}
	s3_xml_write(&doc, root);
	s3_xml_free(root);
	buf_must(&doc);
	w.text = buf_str(&doc);
	errand_send(&f->single, &w, on_closed);
	buf_release(&doc);
}

/* ---- all at once ------------------------------------------------------------------- */

static void
on_put(void *arg, const struct s3_answer *a)
{
	struct errand *x = arg;

	if (errand_heard(x, a))
		published(x->f, a->head->etag);
}

static void
send_put(struct store_fill *f)
{
	struct s3_pair header[3];
	struct buf meta = BUF_INIT(S3_META_MAX + 1);
	struct err e = ERR_NONE;
	struct s3_want w = { .request = { .method = "PUT", .key = f->key, .headers = header }, .fd = f->spool_fd,
		.n = f->meta.length };

	if (s3_meta_write(&f->meta, &meta, &e) == 0) {
		w.request.nheaders = object_headers(&f->meta, buf_str(&meta), header);
		errand_send(&f->single, &w, on_put);
	} else {
		give_up(f, &e);
	}
	buf_release(&meta);
}

/* ---- the fill ------------------------------------------------------------------------ */

/* The metadata is known: how will it go? */
static void
decide(struct store_fill *f)
{
	uint64_t part = f->s->config->s3_part_size;

	if (f->meta.length / PARTS_MAX >= part)
		part = f->meta.length / PARTS_MAX + 1;
	f->part_size = part;
	if (f->meta.length <= part) {
		if (!f->finished)
			return;
		f->step = PUTTING;
		errand_want(&f->single);
		return;
	}
	if (f->upto < part)
		return;
	f->n_parts = (size_t)((f->meta.length + part - 1) / part);
	f->etag = mem_alloc((f->n_parts + 1) * sizeof(*f->etag));
	f->step = CREATING;
	errand_want(&f->single);
}

/* Do whatever can be done now. */
static void
pump(struct store_fill *f)
{
	if (f->step == WAITING && (f->finished || (f->meta.length > 0 && f->meta.etag != NULL)))
		decide(f);
	if (f->step == CREATING && errand_due(&f->single))
		send_create(f);
	if (f->step == PUTTING && errand_due(&f->single))
		send_put(f);
	if (f->step == SENDING)
		send_parts(f);
	if (f->step == SENDING && f->finished && f->there == f->n_parts) {
		f->step = CLOSING;
		errand_want(&f->single);
	}
	if (f->step == CLOSING && errand_due(&f->single))
		send_complete(f);
}

struct store_fill *
s3_fill_begin(struct store *store, const char *key, int spool_fd, const struct object_meta *m, struct err *e)
{
	struct store_s3 *s = (struct store_s3 *)store;
	struct store_fill *f;
	struct s3_peer peer;

	if (!s3_may_ask(s, S3_FILL)) {
		(void)err_set(e, s3_is_away(s) ? "S3 is away" : "S3 takes nothing");
		return NULL;
	}
	if (s3_peer(s, &peer, e) != 0)
		return NULL;
	f = mem_alloc(sizeof(*f));
	f->s = s;
	f->key = mem_strdup(key);
	f->spool_fd = spool_fd;
	f->begun_s = clock_wall_ms() / 1000;
	object_meta_copy(&f->meta, m);
	f->at_once = s->config->s3_parts;
	f->parts = mem_alloc(f->at_once * sizeof(*f->parts));
	for (size_t i = 0; i < f->at_once; i++)
		f->parts[i].f = f;
	f->single.f = f;
	LIST_INSERT_HEAD(&s->fills, f, link);
	return f;
}

void
s3_fill_advance(struct store_fill *f, uint64_t upto)
{
	f->upto = upto;
	pump(f);
}

void
s3_fill_finish(struct store_fill *f, const struct object_meta *m)
{
	struct err e = ERR_NONE;

	if (f->step == BROKEN)
		return;
	if (f->step != WAITING && (m->length != f->meta.length || strcmp(m->etag, f->meta.etag) != 0)) {
		(void)err_set(&e, "the body is not what its upload began as");
		give_up(f, &e);
		return;
	}
	if (f->step == WAITING) {
		object_meta_release(&f->meta);
		object_meta_copy(&f->meta, m);
	}
	f->finished = true;
	f->upto = m->length;
	s3_again(&f->s->store, f->key);
	pump(f);
}

enum fill_state
s3_fill_state(const struct store_fill *f, struct err *e)
{
	if (f->step == DONE)
		return FILL_DONE;
	if (f->step != BROKEN)
		return FILL_RUNNING;
	if (e != NULL)
		*e = f->error;
	return FILL_FAILED;
}

void
s3_fill_free(struct store_fill *f)
{
	struct err e = ERR_NONE;

	if (f == NULL)
		return;
	s3_again(&f->s->store, f->key);	/* what was believed of it may be otherwise now */
	if (f->step != DONE && f->step != BROKEN)
		give_up(f, &e);
	f->freed = true;
	if (f->single.call == NULL)
		fill_destroy(f);
}

void
s3_fills_tick(struct store_s3 *s)
{
	struct store_fill *f;

	LIST_FOREACH(f, &s->fills, link)	/* none ends in here: who began it frees it */
		pump(f);
}
