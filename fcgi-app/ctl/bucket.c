/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions to a bucket, each tried once.  What S3 refuses is told with what an
 * operator can do about it; no key, URL or signature is in it.
 */
#include "base/base.h"

#include "ctl/bucket.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "bucket/s3_call.h"
#include "net/wait.h"
#include "s3/lifecycle.h"

enum { QUESTION_MS = 30000, SHOWN = 4 * S3_MESSAGE_MAX + 1 };

static const char minimum_size_header[] = "x-amz-transition-default-minimum-object-size";

struct bucket {
	const struct config *c;
	struct wait *wait;
	struct s3_place place;
	struct s3_signer *signer;
	struct s3_credentials_file *file;	/* NULL: from the environment */
	struct s3_credentials environment;
};

void
bucket_answer_release(struct bucket_answer *a)
{
	if (a == NULL)
		return;
	buf_release(&a->body);
	free(a->minimum_size);
	free(a->region);
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

struct bucket *
bucket_new(const struct config *c, struct err *e)
{
	const struct s3_place_words words = { c->s3_endpoint, c->s3_region, c->s3_bucket, c->s3_prefix,
		c->s3_addressing == S3_ADDRESSING_VIRTUAL ? "virtual" : "path" };
	struct bucket *b = mem_alloc(sizeof(*b));

	(void)signal(SIGPIPE, SIG_IGN);	/* of a connection that has gone */
	b->c = c;
	b->signer = s3_signer_new();
	if (s3_place_init(&b->place, &words, e) == 0 && read_keys(b, e) == 0)
		b->wait = wait_new(c, e);
	if (b->wait != NULL)
		return b;
	bucket_free(b);
	return NULL;
}

void
bucket_free(struct bucket *b)
{
	if (b == NULL)
		return;
	wait_free(b->wait);
	s3_signer_free(b->signer);
	s3_credentials_file_free(b->file);
	s3_credentials_release(&b->environment);
	s3_place_release(&b->place);
	free(b);
}

struct question {
	const struct bucket *b;
	struct bucket_answer *ret;	/* filled on success */
	struct err *e;
	bool over;
	int rc;
};

static void
on_answer(void *arg, const struct s3_answer *a)
{
	struct question *q = arg;

	q->over = true;
	if (a->error != FETCH_OK) {
		q->rc = err_set(q->e, "cannot ask '%s': %s", q->b->c->s3_endpoint, a->reason);
		return;
	}
	*q->ret = (struct bucket_answer){
		.status = a->status,
		.error = a->said,
		.wrong_clock = a->result == S3_RESULT_CLOCK,
		.minimum_size = mem_strdup(fetch_response_amz(a->head, minimum_size_header)),
		.region = mem_strdup(a->region),
		.body = BUF_INIT(S3_ANSWER_MAX),
	};
	(void)buf_add(&q->ret->body, a->body, a->body_n);
	buf_must(&q->ret->body);
	q->rc = 0;
}

/* headers: what is signed and sent; document: of PUT. */
static int
ask(struct bucket *b, const char *method, const char *what, const struct buf *document, const struct s3_pair *headers,
    size_t n_headers, struct bucket_answer *ret, struct err *e)
{
	const struct s3_peer peer = { wait_net(b->wait), &b->place, b->signer,
		b->file != NULL ? s3_credentials_file_get(b->file) : &b->environment };
	const struct s3_pair query = { what, "" };
	const struct s3_want want = {
		.id = "ctl",
		.request = { .method = method, .query = &query, .nquery = 1, .headers = headers, .nheaders = n_headers },
		.fd = -1,
		.text = document == NULL ? NULL : buf_str(document),
		.end_ms = clock_mono_ms() + QUESTION_MS,
	};
	struct question q = { .b = b, .ret = ret, .e = e };

	if (s3_call_start(&peer, &want, on_answer, &q, e) == NULL)
		return -1;
	while (!q.over)
		wait_turn(b->wait, -1);
	return q.rc;
}

int
bucket_get(struct bucket *b, const char *what, struct bucket_answer *ret, struct err *e)
{
	return ask(b, "GET", what, NULL, NULL, 0, ret, e);
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
	return ask(b, "PUT", what, document, headers, minimum_size == NULL ? 2 : 3, ret, e);
}

int
bucket_delete(struct bucket *b, const char *what, struct bucket_answer *ret, struct err *e)
{
	return ask(b, "DELETE", what, NULL, NULL, 0, ret, e);
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
		{ "AccessDenied", "the key may not do this: it needs s3:GetLifecycleConfiguration, "
				  "s3:PutLifecycleConfiguration and s3:GetBucketVersioning" },
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
	char shown[SHOWN];

	if (a->wrong_clock)
		return err_set(e, "the clock of this host is not that of '%s': set it", b->c->s3_endpoint);
	if (x->code[0] == '\0')
		return err_set(e, "'%s' answers with status %d: is it S3?", b->c->s3_endpoint, a->status);
	if (a->region != NULL)
		return err_set(e, "the bucket '%s' is in the region '%s': mend cache.s3.region, and its endpoint (%s)",
		    b->c->s3_bucket, a->region, x->code);
	if (advice(x) != NULL)
		return err_set(e, "the bucket '%s': %s (%s)", b->c->s3_bucket, advice(x), x->code);
	return err_set(e, "the bucket '%s': refused with status %d (%s%s%s)", b->c->s3_bucket, a->status, x->code,
	    x->message[0] == '\0' ? "" : ", ", x->message[0] == '\0' ? "" : text_esc_to(shown, sizeof(shown), x->message));
}
