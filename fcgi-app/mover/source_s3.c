/* SPDX-License-Identifier: Apache-2.0
 *
 * Sources that are objects in S3 (see source_s3.h).  Mover.
 */
#include "base/base.h"

#include "mover/source_s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "bucket/judge.h"
#include "stat/scoreboard.h"

struct found {			/* a bucket that was not where it was said to be */
	UT_hash_handle hh;
	char region[S3_REGION_MAX + 1];
	char where[];
};

struct s3_sources {
	struct s3_signer *signer;
	struct found *found;	/* hash by where; the oldest first */
};

struct s3_source {
	struct s3_sources *all;
	struct s3_place place;
	struct s3_credentials credentials;	/* none: the object is public */
	char *key;
	char *where;		/* endpoint and bucket, as they were said */
	bool requester_pays, fresh;
};

struct s3_sources *
s3_sources_new(void)
{
	struct s3_sources *all = mem_alloc(sizeof(*all));

	all->signer = s3_signer_new();
	return all;
}

void
s3_sources_free(struct s3_sources *all)
{
	struct found *f, *next;

	if (all == NULL)
		return;
	HASH_ITER(hh, all->found, f, next) {
		HASH_DEL(all->found, f);
		free(f);
	}
	s3_signer_free(all->signer);
	free(all);
}

void
s3_sources_tell_bounds(const struct s3_sources *all)
{
	stat_bound(BOUND_BUCKET_REGIONS, HASH_COUNT(all->found), S3_REGIONS_MAX);
}

static void
remember(struct s3_sources *all, const char *where, const char *region)
{
	size_t n = strlen(where) + 1;
	struct found *f;

	HASH_FIND_STR(all->found, where, f);
	if (f == NULL) {
		while (HASH_COUNT(all->found) >= S3_REGIONS_MAX) {
			stat_bound_reached(BOUND_BUCKET_REGIONS);
			f = all->found;
			HASH_DEL(all->found, f);
			free(f);
		}
		f = mem_alloc(sizeof(*f) + n);
		memcpy(f->where, where, n);
		HASH_ADD_STR(all->found, where, f);
	}
	(void)snprintf(f->region, sizeof(f->region), "%s", region);
}

/* S3 knows better than whoever said it. */
static void
place_now(struct s3_source *s)
{
	struct found *f;

	HASH_FIND_STR(s->all->found, s->where, f);
	if (f != NULL && strcmp(f->region, s->place.region) != 0)
		s3_place_move(&s->place, f->region);
}

struct s3_source *
s3_source_new(struct s3_sources *all, const struct resolve_answer *a, bool fresh, struct err *e)
{
	struct buf path = BUF_INIT(S3_URL_MAX);
	struct s3_source *s = mem_alloc(sizeof(*s));
	int rc = s3_place_init_foreign(&s->place, a->s3_endpoint, a->s3_region, a->bucket, e);

	if (rc == 0)
		rc = s3_place_path(&path, &s->place, a->s3_key, e);
	buf_release(&path);
	if (rc != 0) {
		s3_source_free(s);
		return NULL;
	}
	s->all = all;
	s->key = mem_strdup(a->s3_key);
	s->where = mem_printf("%s\n%s", a->s3_endpoint == NULL ? "" : a->s3_endpoint, a->bucket);
	s->requester_pays = a->s3_requester_pays;
	s->fresh = fresh;
	if (!a->s3_anonymous) {
		s->credentials.id = mem_strdup(a->s3_access);
		s->credentials.secret = mem_strdup(a->s3_secret);
		s->credentials.token = mem_strdup(a->s3_token);
	}
	return s;
}

void
s3_source_free(struct s3_source *s)
{
	if (s == NULL)
		return;
	s3_credentials_release(&s->credentials);
	s3_place_release(&s->place);
	free(s->key);
	free(s->where);
	free(s);
}

const char *
s3_source_name(const struct s3_source *s)
{
	const char *slash = strrchr(s->key, '/');

	return slash == NULL ? s->key : slash + 1;
}

bool
s3_source_is_https(const struct s3_source *s)
{
	return s->place.https;
}

bool
s3_source_is_tree(const struct s3_source *s)
{
	return s->key[strlen(s->key) - 1] == '/';
}

/* The key of a sub-path, which came encoded. */
static void
add_key(struct buf *out, const struct s3_source *s, const char *subpath)
{
	size_t n = strlen(s->key);

	if (subpath == NULL || subpath[0] == '\0') {
		(void)buf_adds(out, s->key);
		return;
	}
	while (n > 0 && s->key[n - 1] == '/')
		n--;
	(void)buf_add(out, s->key, n);
	(void)buf_addc(out, '/');	/* a buffer remembers its failure */
	for (const char *p = subpath; *p != '\0'; p++) {
		if (p[0] == '%' && text_hex_value(p[1]) >= 0 && text_hex_value(p[2]) >= 0) {
			(void)buf_addc(out, (char)(text_hex_value(p[1]) << 4 | text_hex_value(p[2])));
			p += 2;
		} else {
			(void)buf_addc(out, *p);
		}
	}
}

int
s3_get_url(struct s3_get *g, struct s3_source *s, const char *subpath, uint32_t life_s, struct buf *out, struct err *e)
{
	static const struct s3_pair pays = { "x-amz-request-payer", "requester" };
	struct buf key = BUF_INIT(S3_URL_MAX);
	struct s3_request r = { .method = "GET", .query = &pays, .nquery = s->requester_pays ? 1 : 0, .life_s = life_s };
	int rc;

	add_key(&key, s, subpath);
	buf_must(&key);		/* both came in messages that are shorter */
	r.key = buf_str(&key);
	place_now(s);
	(void)snprintf(g->region, sizeof(g->region), "%s", s->place.region);
	if (s->credentials.id == NULL)
		rc = s3_public_url(out, &s->place, r.key, e);
	else
		rc = s3_presign(out, s->all->signer, &s->place, &s->credentials, &r, clock_wall_ms() / 1000, e);
	buf_release(&key);
	return rc;
}

/* The keys are no good any more, or never were. */
static bool
is_about_keys(const struct s3_source *s, const struct s3_error *said)
{
	static const char *const codes[] = { "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId",
		"SignatureDoesNotMatch" };

	if (s->credentials.id == NULL)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strcmp(said->code, codes[i]) == 0)
			return true;
	}
	/* what Ceph says of a token that has ended, too */
	return strcmp(said->code, "AccessDenied") == 0 && s->credentials.token != NULL && !s->fresh;
}

static int
status_of(const struct s3_source *s, const struct s3_error *said, enum s3_result result, int status)
{
	switch (result) {
	case S3_RESULT_BUSY:
		return status == 429 ? 429 : 503;
	case S3_RESULT_CLOCK:
	case S3_RESULT_REGION:
		return 502;
	case S3_RESULT_NONE:
		return 404;
	default:
		return is_about_keys(s, said) ? 401 : status;
	}
}

bool
s3_get_again(struct s3_get *g, struct s3_source *s, const char *id, const struct fetch_response *r, const char *body,
    size_t n, struct fetch_response *ret)
{
	struct s3_error said = { .object_size = UINT64_MAX };
	struct judge_facts facts = { .fetch = FETCH_OK, .status = r->status, .code = said.code,
		.asked_region = g->region, .date_s = r->date, .now_s = clock_wall_ms() / 1000 };
	enum s3_result result;
	enum judge_next next;

	(void)s3_error_read(&said, body, n);	/* none: the status alone */
	facts.region = said.region[0] != '\0' ? said.region : r->bucket_region;
	next = judge(&facts, &result);
	if (next == JUDGE_ELSEWHERE && !g->moved) {
		g->moved = true;
		remember(s->all, s->where, facts.region);
		log_info(id, "event=s3-region bucket=%s asked=%s region=%s", s->place.bucket, g->region, facts.region);
		return true;
	}
	*ret = *r;
	ret->status = status_of(s, &said, result, r->status);
	if (r->status == 416 && ret->range_size == UINT64_MAX)
		ret->range_size = said.object_size;
	log_info(id, "event=s3-refusal bucket=%s status=%d code=%s result=%s", s->place.bucket, r->status,
	    said.code[0] == '\0' ? "-" : said.code, s3_result_name(result));
	return false;
}
