/* SPDX-License-Identifier: Apache-2.0
 *
 * One store or the other.
 */
#include "base/base.h"

#include "ctl/objects.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "cache/shared.h"
#include "cache/store_s3_meta.h"
#include "ctl/bucket.h"
#include "ctl/ctl.h"

struct objects {
	const struct config *c;
	struct store *directory;	/* or */
	struct bucket *bucket;
	struct shared shared;		/* of objects that go; open only when one does */
	bool has_shared;
};

void
object_release(struct object *o)
{
	if (o == NULL)
		return;
	object_meta_release(&o->meta);
	free(o->version);
	memset(o, 0, sizeof(*o));
}

struct objects *
objects_open(const struct config *c, struct err *e)
{
	struct objects *o = mem_alloc(sizeof(*o));

	o->c = c;
	if (c->cache_store == CACHE_STORE_S3)
		o->bucket = bucket_new(c, e);
	else
		o->directory = store_directory_open(c, false, e);
	if (o->bucket != NULL || o->directory != NULL)
		return o;
	free(o);
	return NULL;
}

void
objects_free(struct objects *o)
{
	if (o == NULL)
		return;
	if (o->has_shared)
		shared_close(&o->shared);
	bucket_free(o->bucket);
	if (o->directory != NULL)
		o->directory->ops->free(o->directory);
	free(o);
}

/* ---- a directory ------------------------------------------------------------ */

static int
find_file(struct store *s, const char *key, struct object *ret, struct err *e)
{
	struct store_object found;
	struct stat st;
	int fd;

	switch (s->ops->lookup(s, key, &found, e)) {
	case STORE_HIT:
		break;
	case STORE_FAILED:
		return -1;
	case STORE_MISS:
	case STORE_ASK:
	default:
		return 0;
	}
	*ret = (struct object){ .stored_s = -1 };
	object_meta_copy(&ret->meta, &found.meta);
	fd = s->ops->open(s, &found, NULL);	/* it may have gone by now */
	if (fd != -1 && fstat(fd, &st) == 0)
		ret->stored_s = st.st_mtim.tv_sec;
	fd_close(&fd);
	store_object_release(&found);
	return 1;
}

/* ---- a bucket ----------------------------------------------------------------- */

/* To HEAD, S3 says of a bucket that is not there what it says of an object. */
static int
check_bucket(struct bucket *b, struct err *e)
{
	struct bucket_answer a = { .status = 0 };
	int rc = bucket_head_object(b, "", &a, e);

	if (rc == 0 && a.status == 404)
		rc = err_set(e, "there is no such bucket: make it, or mend cache.s3.bucket");
	bucket_answer_release(&a);
	return rc;
}

/* 1 and the answer, to be released, or 0, or -1 and e. */
static int
head(struct bucket *b, const char *key, struct bucket_answer *ret, struct err *e)
{
	int rc = bucket_head_object(b, key, ret, e);

	if (rc == 0 && ret->status == 404)
		rc = check_bucket(b, e);
	else if (rc == 0 && ret->status != 200)
		rc = bucket_explain(b, ret, e);
	else if (rc == 0)
		return 1;
	bucket_answer_release(ret);
	return rc;
}

static int
find_in_bucket(struct bucket *b, const char *key, struct object *ret, struct err *e)
{
	struct bucket_answer a = { .status = 0 };
	int rc = head(b, key, &a, e);

	if (rc != 1)
		return rc;
	*ret = (struct object){ .stored_s = a.last_modified };
	rc = s3_meta_parse(a.meta, a.length, &ret->meta, e) == 0;
	if (rc == 1) {
		ret->version = a.etag;
		a.etag = NULL;
	}
	bucket_answer_release(&a);
	return rc;
}

static int
remove_from_bucket(struct bucket *b, const char *key, struct err *e)
{
	struct bucket_answer a = { .status = 0 };
	int rc = head(b, key, &a, e);

	if (rc != 1)
		return rc;
	bucket_answer_release(&a);
	rc = bucket_delete_object(b, key, &a, e);
	if (rc == 0 && (a.status < 200 || a.status > 299))
		rc = bucket_explain(b, &a, e);
	bucket_answer_release(&a);
	return rc == 0 ? 1 : -1;
}

/* ---- either ------------------------------------------------------------------- */

bool
objects_are_away(const struct objects *o)
{
	return o->bucket != NULL && bucket_is_away(o->bucket);
}

int
objects_find(struct objects *o, const char *key, struct object *ret, struct err *e)
{
	return o->bucket != NULL ? find_in_bucket(o->bucket, key, ret, e) : find_file(o->directory, key, ret, e);
}

/* Hosts that do not hear of it ask S3, with If-Match, and fetch it anew: so it is only worth a warning. */
static void
forget(struct objects *o, const char *key)
{
	struct err e = ERR_NONE;

	if (!o->has_shared && shared_open(&o->shared, o->c, &e) != 0)
		(void)complain("warning: memcached is not told: %s", e.text);
	o->has_shared = true;
	if (o->shared.memory != NULL && memory_forget(o->shared.memory, key) != 0)
		(void)complain("warning: memcached is away and not told: a host may believe for a while that it is there");
}

int
objects_remove(struct objects *o, const char *key, struct err *e)
{
	int rc;

	if (o->directory != NULL)
		return o->directory->ops->remove(o->directory, key, e);
	rc = remove_from_bucket(o->bucket, key, e);
	if (rc >= 0)	/* also where it has gone by itself */
		forget(o, key);
	return rc;
}
