/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions to a bucket.  What S3 refuses is told with what an operator can do
 * about it; no key, URL or signature is in it.
 */
#include "base/base.h"

#include "ctl/bucket.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "bucket/client.h"
#include "cache/store_s3_meta.h"
#include "ctl/ctl.h"
#include "s3/lifecycle.h"

/* QUESTION_MS: all tries together */
enum { QUESTION_MS = 30000, SHOWN = 4 * S3_MESSAGE_MAX + 1 };

static const char minimum_size_header[] = "x-amz-transition-default-minimum-object-size";

struct bucket {
	const struct config *c;
	struct wait *wait;
	struct s3_client *client;
	struct s3_credentials_file *file;	/* NULL: from the environment */
	struct s3_credentials environment;
	bool told;		/* that it is in another region */
	bool away;
};

void
bucket_answer_release(struct bucket_answer *a)
{
	if (a == NULL)
		return;
	buf_release(&a->body);
	free(a->minimum_size);
	free(a->etag);
	free(a->meta);
	*a = (struct bucket_answer){ .status = 0 };
}

static int
read_keys(struct bucket *b, struct err *e)
{
	if (b->c->s3_credentials[0] == '\0')
		return s3_credentials_environment(&b->environment, e);
	b->file = s3_credentials_file_new(b->c->s3_credentials, b->c->s3_profile);
	return s3_credentials_file_reload(b->file, e) == S3_RELOAD_NEW ? 0 : -1;
}

static const struct s3_credentials *
keys_of(void *arg, struct err *e UNUSED)
{
	const struct bucket *b = arg;

	return b->file != NULL ? s3_credentials_file_get(b->file) : &b->environment;
}

struct bucket *
bucket_new(const struct config *c, struct err *e)
{
	const struct s3_place_words words = { c->s3_endpoint, c->s3_region, c->s3_bucket, c->s3_prefix,
		c->s3_addressing == S3_ADDRESSING_VIRTUAL ? "virtual" : "path" };
	struct bucket *b = mem_alloc(sizeof(*b));
	struct s3_place place = { .host = NULL };

	(void)signal(SIGPIPE, SIG_IGN);	/* of a connection that has gone */
	b->c = c;
	if (s3_place_init(&place, &words, e) == 0 && read_keys(b, e) == 0)
		b->wait = wait_new(c, e);
	if (b->wait != NULL)
		b->client = s3_client_new(wait_net(b->wait), &place, true, keys_of, b);
	s3_place_release(&place);
	if (b->client != NULL)
		return b;
	bucket_free(b);
	return NULL;
}

void
bucket_free(struct bucket *b)
{
	if (b == NULL)
		return;
	s3_client_free(b->client);
	wait_free(b->wait);
	s3_credentials_file_free(b->file);
	s3_credentials_release(&b->environment);
	free(b);
}

bool
bucket_is_away(const struct bucket *b)
{
	return b->away;
}

struct question {
	struct bucket *b;
	const char *needs;
	struct bucket_answer *ret;	/* filled on success */
	struct err *e;
	int rc;
};

static void
on_answer(void *arg, const struct s3_answer *a, unsigned tries UNUSED)
{
	struct question *q = arg;

	q->b->away = a->error != FETCH_OK;
	if (a->error != FETCH_OK) {
		q->rc = err_set(q->e, "cannot ask '%s': %s", q->b->c->s3_endpoint, a->reason);
		return;
	}
	*q->ret = (struct bucket_answer){
		.status = a->status,
		.error = a->said,
		.wrong_clock = a->result == S3_RESULT_CLOCK,
		.minimum_size = mem_strdup(fetch_response_amz(a->head, minimum_size_header)),
		.etag = mem_strdup(a->head->etag),
		.meta = mem_strdup(fetch_response_amz(a->head, S3_META_HEADER)),
		.length = a->head->length,
		.last_modified = a->head->last_modified,
		.needs = q->needs,
		.body = BUF_INIT(S3_ANSWER_MAX),
	};
	(void)buf_add(&q->ret->body, a->body, a->body_n);
	buf_must(&q->ret->body);
	q->rc = 0;
}

static int
ask(struct bucket *b, const struct s3_request *r, const char *text, const char *needs, struct bucket_answer *ret,
    struct err *e)
{
	const struct s3_want want = {
		.id = "ctl", .request = *r, .fd = -1, .text = text, .end_ms = clock_mono_ms() + QUESTION_MS,
	};
	struct question q = { .b = b, .needs = needs, .ret = ret, .e = e };

	s3_op_wait(b->client, b->wait, &want, on_answer, &q);
	if (q.rc == 0 && ret->status < 300 && !b->told && strcmp(s3_client_region(b->client), b->c->s3_region) != 0) {
		b->told = true;
		(void)complain("warning: the bucket '%s' is in the region '%s', and the proxy asks elsewhere: mend "
			       "cache.s3.region, and its endpoint", b->c->s3_bucket, s3_client_region(b->client));
	}
	return q.rc;
}

/* About the bucket.  headers: what is signed and sent; document: of PUT. */
static int
ask_rules(struct bucket *b, const char *method, const char *what, const struct buf *document,
    const struct s3_pair *headers, size_t n_headers, struct bucket_answer *ret, struct err *e)
{
	const struct s3_pair query = { what, "" };
	const struct s3_request r = {
		.method = method, .query = &query, .nquery = 1, .headers = headers, .nheaders = n_headers,
	};

	return ask(b, &r, document == NULL ? NULL : buf_str(document),
	    "s3:GetLifecycleConfiguration, s3:PutLifecycleConfiguration and s3:GetBucketVersioning", ret, e);
}

int
bucket_get(struct bucket *b, const char *what, struct bucket_answer *ret, struct err *e)
{
	return ask_rules(b, "GET", what, NULL, NULL, 0, ret, e);
}

int
bucket_put(struct bucket *b, const char *what, const struct buf *document, const char *minimum_size,
    struct bucket_answer *ret, struct err *e)
{
	char md5[25];
	const struct s3_pair headers[] = { { "Content-MD5", md5 }, { "Content-Type", "application/xml" },
		{ minimum_size_header, minimum_size } };

	if (s3_content_md5(md5, document->data, document->len) < 0)
		return err_set(e, "this system has no MD5, which S3 wants of what it takes");
	return ask_rules(b, "PUT", what, document, headers, minimum_size == NULL ? 2 : 3, ret, e);
}

int
bucket_delete(struct bucket *b, const char *what, struct bucket_answer *ret, struct err *e)
{
	return ask_rules(b, "DELETE", what, NULL, NULL, 0, ret, e);
}

int
bucket_head_object(struct bucket *b, const char *key, struct bucket_answer *ret, struct err *e)
{
	const struct s3_request r = { .method = "HEAD", .key = key[0] == '\0' ? NULL : key };

	return ask(b, &r, NULL, "s3:GetObject and s3:ListBucket", ret, e);
}

int
bucket_delete_object(struct bucket *b, const char *key, struct bucket_answer *ret, struct err *e)
{
	const struct s3_request r = { .method = "DELETE", .key = key };

	return ask(b, &r, NULL, "s3:DeleteObject", ret, e);
}

void
bucket_wait(struct bucket *b, int ms)
{
	int64_t until = clock_mono_ms() + ms;

	for (int64_t now = clock_mono_ms(); now < until; now = clock_mono_ms())
		wait_turn(b->wait, (int)(until - now));
}

bool
bucket_says(const struct bucket_answer *a, const char *code)
{
	return strcmp(a->error.code, code) == 0;
}

/* What an operator can do; NULL where nobody knows. */
static const char *
advice(const struct s3_error *x)
{
	static const char *const known[][2] = {
		{ "NoSuchBucket", "there is no such bucket: make it, or mend cache.s3.bucket" },
		{ "InvalidAccessKeyId", "the key is not known there: mend cache.s3.credentials" },
		{ "SignatureDoesNotMatch", "the secret is not the key's: mend cache.s3.credentials" },
		{ "InvalidToken", "the session token is not valid: mend cache.s3.credentials" },
		{ "ExpiredToken", "the session token has expired: get new keys" },
		{ "NotImplemented", "it has no such rules, or not this one" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i][0], x->code) == 0)
			return known[i][1];
	}
	return NULL;
}

int
bucket_explain(const struct bucket *b, const struct bucket_answer *a, struct err *e)
{
	const struct s3_error *x = &a->error;
	const char *region = s3_client_region(b->client);
	char shown[SHOWN];

	if (a->wrong_clock)
		return err_set(e, "the clock of this host is not that of '%s': set it", b->c->s3_endpoint);
	if (strcmp(region, b->c->s3_region) != 0)
		return err_set(e, "the bucket '%s' is in the region '%s': mend cache.s3.region, and its endpoint (%s)",
		    b->c->s3_bucket, region, x->code);
	if (strcmp(x->code, "AccessDenied") == 0)
		return err_set(e, "the bucket '%s': the key may not do this: it needs %s (%s)", b->c->s3_bucket, a->needs, x->code);
	if (x->code[0] == '\0' && a->status == 403)	/* to HEAD, S3 says no more */
		return err_set(e, "the bucket '%s': refused with status 403: mend cache.s3.credentials, or give the key %s",
		    b->c->s3_bucket, a->needs);
	if (x->code[0] == '\0')
		return err_set(e, "'%s' answers with status %d: is it S3?", b->c->s3_endpoint, a->status);
	if (advice(x) != NULL)
		return err_set(e, "the bucket '%s': %s (%s)", b->c->s3_bucket, advice(x), x->code);
	return err_set(e, "the bucket '%s': refused with status %d (%s%s%s)", b->c->s3_bucket, a->status, x->code,
	    x->message[0] == '\0' ? "" : ", ", x->message[0] == '\0' ? "" : text_esc_to(shown, sizeof(shown), x->message));
}
