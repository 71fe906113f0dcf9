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
 * What is given up is aborted at once, again until S3 has heard it; what a
 * death leaves behind is the lifecycle rule's (AbortIncompleteMultipartUpload).
 *
 * Each request is an operation (bucket/client.h), which comes again by itself.
 */
#include "base/base.h"

#include "cache/store_s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "s3/xml.h"
#include "wire/conditional.h"

enum {
	PARTS_MAX = 10000,		/* of S3 */
	REQUEST_MS = 3600000,		/* of each request, all its tries; how slow a try may be, lib/net knows */
	ABORT_MS = 60000,
	UPLOAD_ID_MAX = 1024,
	PART_ETAG_MAX = 128,
	COMPLETE_MAX = 1 << 20,		/* bytes of the document that names all parts: of S3 and lib/net */
};

enum step { WAITING, CREATING, SENDING, CLOSING, PUTTING, DONE, BROKEN };

struct part {
	struct store_fill *f;
	struct s3_op *op;		/* it is being sent; NULL: none is */
	size_t i;			/* which one, from 0 */
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
	bool behind;			/* clients are: one at a time */
	struct part *parts;		/* at_once of them */
	struct s3_op *single;		/* create, complete, look, put */
	bool freed;			/* nobody has it: it waits for what came of its creation, to abort that */
	struct err error;
};

static void pump(struct store_fill *f);

/* ---- requests -------------------------------------------------------------------- */

static struct s3_op *
ask(struct store_fill *f, struct s3_want *w, s3_op_done_fn *on_done, void *arg)
{
	w->request.key = f->key;
	w->answer_max = S3_SHORT_MAX;
	if (w->end_ms == 0)
		w->end_ms = clock_mono_ms() + (w->patient ? S3_PATIENT_MS : REQUEST_MS);
	return s3_op_start(f->s->client, w, on_done, arg);
}

static void
on_aborted(void *arg UNUSED, const struct s3_answer *a UNUSED, unsigned tries UNUSED)
{
	/* or the lifecycle's */
}

static void
abort_upload(struct store_fill *f)
{
	const struct s3_pair query[] = { { "uploadId", f->upload_id } };
	struct s3_want w = { .request = { .method = "DELETE", .query = query, .nquery = 1 }, .fd = -1,
		.end_ms = clock_mono_ms() + ABORT_MS };

	if (f->upload_id == NULL)
		return;
	(void)ask(f, &w, on_aborted, NULL);	/* ends by itself, whether the fill is there or not */
	free(f->upload_id);
	f->upload_id = NULL;
}

static void
op_stop(struct s3_op **o)
{
	s3_op_cancel(*o);
	*o = NULL;
}

/* An upload that is being made is heard of first: S3 makes it whether we listen or not. */
static void
give_up(struct store_fill *f, const struct err *e)
{
	for (size_t i = 0; i < f->at_once; i++)
		op_stop(&f->parts[i].op);
	if (f->step != CREATING)
		op_stop(&f->single);
	else if (f->single != NULL && !s3_op_finish_try(f->single))
		f->single = NULL;
	abort_upload(f);
	f->step = BROKEN;
	f->error = *e;
}

static void
fill_destroy(struct store_fill *f)
{
	op_stop(&f->single);
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

/* What came of a try, of what is asked for once. */
static void
on_try(void *arg, const struct s3_answer *a)
{
	const struct store_fill *f = arg;

	/* that an upload may begin says nothing of room for its parts */
	if (f->step != BROKEN)
		s3_heard(f->s, f->step == CREATING && s3_answer_good(a) ? S3_LOOK : S3_FILL, a);
}

static void
on_part_try(void *arg, const struct s3_answer *a)
{
	const struct part *x = arg;

	on_try(x->f, a);
}

static void
ask_once(struct store_fill *f, struct s3_want *w, s3_op_done_fn *on_done)
{
	f->single = ask(f, w, on_done, f);
	s3_op_hear(f->single, on_try);
}

/* Is it done well?  Else it is given up. */
static bool
is_done(struct store_fill *f, const struct s3_answer *a)
{
	struct err e = ERR_NONE;

	if (s3_answer_good(a))
		return true;
	s3_answer_say(a, &e);
	give_up(f, &e);
	return false;
}

static void
give_up_for(struct store_fill *f, const char *why)
{
	struct err e = ERR_NONE;

	(void)err_set(&e, "%s", why);
	give_up(f, &e);
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

	if (s3_answer_good(a) && id != NULL && id[0] != '\0' && strlen(id) <= UPLOAD_ID_MAX)
		f->upload_id = mem_strdup(id);
	s3_xml_free(doc);
}

static void
on_created(void *arg, const struct s3_answer *a, unsigned tries UNUSED)
{
	struct store_fill *f = arg;

	f->single = NULL;
	take_upload_id(f, a);
	if (f->step == BROKEN) {	/* given up meanwhile */
		abort_upload(f);
		if (f->freed)
			fill_destroy(f);
	} else if (is_done(f, a) && f->upload_id == NULL) {
		give_up_for(f, "S3 began an upload without a name");
	} else if (f->step == CREATING) {
		f->step = SENDING;
		pump(f);
	}
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

/* What makes an object: with its headers. */
static void
ask_with_headers(struct store_fill *f, struct s3_want *w, s3_op_done_fn *on_done)
{
	struct s3_pair header[3];
	struct buf meta = BUF_INIT(S3_META_MAX + 1);
	struct err e = ERR_NONE;

	if (s3_meta_write(&f->meta, &meta, &e) == 0) {
		w->request.headers = header;
		w->request.nheaders = object_headers(&f->meta, buf_str(&meta), header);
		ask_once(f, w, on_done);
	} else {
		give_up(f, &e);
	}
	buf_release(&meta);
}

static void
create(struct store_fill *f)
{
	const struct s3_pair query[] = { { "uploads", "" } };
	struct s3_want w = { .request = { .method = "POST", .query = query, .nquery = 1 }, .fd = -1, .text = "" };

	f->step = CREATING;
	ask_with_headers(f, &w, on_created);
}

static void
on_part(void *arg, const struct s3_answer *a, unsigned tries UNUSED)
{
	struct part *x = arg;
	struct store_fill *f = x->f;

	x->op = NULL;
	if (!is_done(f, a))
		return;
	if (a->head->etag == NULL || strlen(a->head->etag) > PART_ETAG_MAX) {
		give_up_for(f, "S3 took a part and gave no ETag for it");
		return;
	}
	f->etag[x->i] = mem_strdup(a->head->etag);
	f->there++;
	pump(f);
}

static void
send_part(struct part *x)
{
	struct store_fill *f = x->f;
	char number[24];
	const struct s3_pair query[] = { { "partNumber", number }, { "uploadId", f->upload_id } };
	struct s3_want w = {
		.request = { .method = "PUT", .query = query, .nquery = 2 },
		.fd = f->spool_fd, .offset = x->i * f->part_size, .n = part_length(f, x->i),
	};

	(void)snprintf(number, sizeof(number), "%zu", x->i + 1);
	x->op = ask(f, &w, on_part, x);
	s3_op_hear(x->op, on_part_try);
}

/* What of it is here and not on its way. */
static void
send_parts(struct store_fill *f)
{
	size_t under_way = 0;

	for (size_t i = 0; i < f->at_once; i++)
		under_way += f->parts[i].op != NULL;
	for (size_t i = 0; i < f->at_once && f->next < f->n_parts && (!f->behind || under_way == 0); i++) {
		if (f->next * f->part_size + part_length(f, f->next) > f->upto)
			return;
		if (f->parts[i].op != NULL)
			continue;
		f->parts[i].i = f->next++;
		send_part(&f->parts[i]);
		under_way++;
	}
}

/* It is there; etag is S3's, quoted or not, or NULL.  radosgw's answer to a completion has an empty one. */
static void
published(struct store_fill *f, const char *etag)
{
	char *quoted = etag == NULL || etag[0] == '"' ? mem_strdup(etag) : mem_printf("\"%s\"", etag);

	f->step = DONE;
	if (f->s->shared->memory == NULL) {
		/* there are no others to tell */
	} else if (quoted == NULL || strlen(quoted) <= 2 || !etag_is_valid(quoted, strlen(quoted))) {
		(void)memory_forget(f->s->shared->memory, f->key);	/* that there is none */
		s3_found_ask(f->s, f->key);
	} else {
		s3_remember(f->s, f->key, &f->meta, quoted, f->begun_s);
	}
	free(quoted);
}

/* Whose is it that lies there now? */
static void
on_looked(void *arg, const struct s3_answer *a, unsigned tries UNUSED)
{
	struct store_fill *f = arg;
	struct buf meta = BUF_INIT(S3_META_MAX + 1);
	const char *there = a->head == NULL ? NULL : fetch_response_amz(a->head, S3_META_HEADER);

	f->single = NULL;
	if (s3_answer_good(a) && there != NULL && s3_meta_write(&f->meta, &meta, NULL) == 0 &&
	    strcmp(there, buf_str(&meta)) == 0)
		published(f, a->head->etag);
	else
		give_up_for(f, "S3 does not have what it was told to make of the parts");
	buf_release(&meta);
}

static void
look_for_it(struct store_fill *f)
{
	struct s3_want w = { .request = { .method = "HEAD" }, .fd = -1 };

	ask_once(f, &w, on_looked);
}

static void
on_completed(void *arg, const struct s3_answer *a, unsigned tries UNUSED)
{
	struct store_fill *f = arg;
	struct s3_xml *doc = s3_xml_parse(a->body, a->body_n, NULL);
	bool said = doc != NULL && strcmp(doc->name, "CompleteMultipartUploadResult") == 0;

	f->single = NULL;
	if (s3_answer_good(a) && said)
		published(f, s3_xml_text(doc, "ETag"));
	else if (s3_answer_good(a) || a->result == S3_RESULT_ABSENT)
		look_for_it(f);		/* it says nothing, or a try of ours or libcurl's has done it, unheard */
	else
		(void)is_done(f, a);
	s3_xml_free(doc);
}

/* All parts, in their order.  -1: it is longer than S3 takes, for the ETags that it gave. */
static int
write_parts(const struct store_fill *f, struct buf *out)
{
	struct s3_xml *root = s3_xml_new("CompleteMultipartUpload", NULL), **end = &root->child;
	char number[24];

	for (size_t i = 0; i < f->n_parts; i++) {
		(void)snprintf(number, sizeof(number), "%zu", i + 1);
		*end = s3_xml_new("Part", NULL);
		(void)s3_xml_add(*end, s3_xml_new("PartNumber", number));
		(void)s3_xml_add(*end, s3_xml_new("ETag", f->etag[i]));
		end = &(*end)->next;
	}
	s3_xml_write(out, root);
	s3_xml_free(root);
	return buf_fits(out) ? 0 : -1;
}

static void
complete(struct store_fill *f)
{
	const struct s3_pair query[] = { { "uploadId", f->upload_id } };
	struct buf doc = BUF_INIT(COMPLETE_MAX);
	struct s3_want w = { .request = { .method = "POST", .query = query, .nquery = 1 }, .fd = -1, .patient = true };

	f->step = CLOSING;
	if (write_parts(f, &doc) == 0) {
		w.text = buf_str(&doc);
		ask_once(f, &w, on_completed);
	} else {
		give_up_for(f, "the ETags of the parts are longer than S3 takes back");
	}
	buf_release(&doc);
}

/* ---- all at once ------------------------------------------------------------------- */

static void
on_put(void *arg, const struct s3_answer *a, unsigned tries UNUSED)
{
	struct store_fill *f = arg;

	f->single = NULL;
	if (is_done(f, a))
		published(f, a->head->etag);
}

static void
put(struct store_fill *f)
{
	struct s3_want w = { .request = { .method = "PUT" }, .fd = f->spool_fd, .n = f->meta.length };

	f->step = PUTTING;
	ask_with_headers(f, &w, on_put);
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
		if (f->finished)
			put(f);
		return;
	}
	if (f->upto < part)
		return;
	f->n_parts = (size_t)((f->meta.length + part - 1) / part);
	f->etag = mem_alloc((f->n_parts + 1) * sizeof(*f->etag));
	create(f);
}

/* Do whatever can be done now. */
static void
pump(struct store_fill *f)
{
	if (f->step == WAITING && (f->finished || (f->meta.length > 0 && f->meta.etag != NULL)))
		decide(f);
	if (f->step == SENDING)
		send_parts(f);
	if (f->step == SENDING && f->finished && f->there == f->n_parts)
		complete(f);
}

struct store_fill *
s3_fill_begin(struct store *store, const char *key, int spool_fd, const struct object_meta *m, struct err *e)
{
	struct store_s3 *s = (struct store_s3 *)store;
	struct store_fill *f;

	if (!s3_may_ask(s, S3_FILL)) {
		(void)err_set(e, s3_is_away(s) ? "S3 is away" : "S3 takes nothing");
		return NULL;
	}
	if (s3_keys(s, e) == NULL)
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
	LIST_INSERT_HEAD(&s->fills, f, link);
	return f;
}

void
s3_fill_advance(struct store_fill *f, uint64_t upto, bool behind)
{
	f->upto = upto;
	f->behind = behind;
	pump(f);
}

void
s3_fill_finish(struct store_fill *f, const struct object_meta *m)
{
	if (f->step == BROKEN)
		return;
	if (f->step != WAITING && (m->length != f->meta.length || strcmp(m->etag, f->meta.etag) != 0)) {
		give_up_for(f, "the body is not what its upload began as");
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
	if (f->single == NULL)
		fill_destroy(f);
}
