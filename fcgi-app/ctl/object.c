/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl object stat, purge.
 */
#include "base/base.h"

#include "ctl/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "ctl/asset.h"
#include "ctl/ctl.h"
#include "ctl/objects.h"

enum { LINE_MAX_BYTES = 1 << 20, DAY_S = 86400, DATE_SIZE = 32, SHOWN = 4 * 4096 + 1 };

/* Of paths[i]; all.  True: S3 does not answer at all, and will not for those behind it, each of which would wait. */
static bool
complain_of(const struct objects *store, char *const *paths, size_t i, size_t n, const struct err *e)
{
	char shown[SHOWN];

	(void)complain("'%s': %s", readable(shown, sizeof(shown), paths[i]), e->text);
	if (!objects_are_away(store))
		return false;
	if (i + 1 < n)
		(void)complain("the other %zu are not asked for", n - i - 1);
	return true;
}

/* ---- stat ------------------------------------------------------------------- */

/* "2026-11-22T12:00:00Z", or "" for -1. */
static const char *
date_of(int64_t epoch_s, char ret[DATE_SIZE])
{
	time_t t = (time_t)epoch_s;
	struct tm tm;

	ret[0] = '\0';
	if (epoch_s >= 0 && gmtime_r(&t, &tm) != NULL)
		(void)strftime(ret, DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return ret;
}

/* When its class lets it go, at the earliest; -1: never, or nobody knows. */
static int64_t
end_of(const struct object *o, const struct retention *r)
{
	return r->days == 0 || o->stored_s < 0 ? -1 : o->stored_s + (int64_t)r->days * DAY_S;
}

static void
put_checksum(struct buf *out, const struct checksum *sum)
{
	(void)buf_join(out, digest_name(sum->algo), ":", NULL);
	text_hex(out, sum->value, digest_size(sum->algo));
}

static void
line(struct buf *out, const char *name, const char *value)
{
	char shown[SHOWN];

	if (value != NULL && value[0] != '\0')
		(void)buf_addf(out, "  %-14s %s\n", name, readable(shown, sizeof(shown), value));
}

static void
put_text(struct buf *out, const struct asset *a, const char *key, const struct object *o, const struct retention *r)
{
	const struct object_meta *m = &o->meta;
	struct buf sum = BUF_INIT(LINE_MAX_BYTES);
	char date[DATE_SIZE];

	(void)buf_join(out, a->text, "\n", NULL);
	line(out, "key", key);
	(void)buf_addf(out, "  %-14s %" PRIu64 "\n", "size", m->length);
	line(out, "etag", m->etag);
	line(out, "type", m->media_type);
	line(out, "disposition", m->disposition);
	line(out, "last-modified", date_of(m->last_modified, date));
	if (m->checksum.algo != DIGEST_NONE)
		put_checksum(&sum, &m->checksum);
	line(out, "checksum", buf_str(&sum));
	line(out, "backend", m->source_backend);
	line(out, "fetched", date_of(m->source_time, date));
	line(out, "stored", date_of(o->stored_s, date));
	line(out, "retention", r->name);
	line(out, "expires", r->days == 0 ? "never" : date_of(end_of(o, r), date));
	line(out, "store-etag", o->version);
	buf_release(&sum);
}

/* A member, NULL and "" as null. */
static void
member(struct buf *out, const char *name, const char *value)
{
	(void)buf_addf(out, ", \"%s\": ", name);
	if (value == NULL || value[0] == '\0')
		(void)buf_adds(out, "null");
	else
		text_json(out, value, strlen(value));
}

/* What is known of each. */
static void
put_json(struct buf *out, const struct asset *a, const char *key, bool present)
{
	(void)buf_adds(out, "{ \"path\": ");
	text_json(out, a->text, strlen(a->text));
	member(out, "key", key);
	(void)buf_addf(out, ", \"present\": %s", present ? "true" : "false");
}

static void
put_json_object(struct buf *out, const struct object *o, const struct retention *r)
{
	const struct object_meta *m = &o->meta;
	struct buf sum = BUF_INIT(LINE_MAX_BYTES);
	char date[DATE_SIZE];

	(void)buf_addf(out, ", \"size\": %" PRIu64, m->length);
	member(out, "etag", m->etag);
	member(out, "type", m->media_type);
	member(out, "disposition", m->disposition);
	member(out, "last_modified", date_of(m->last_modified, date));
	if (m->checksum.algo != DIGEST_NONE)
		put_checksum(&sum, &m->checksum);
	member(out, "checksum", buf_str(&sum));
	member(out, "backend", m->source_backend);
	member(out, "fetched", date_of(m->source_time, date));
	member(out, "stored", date_of(o->stored_s, date));
	member(out, "retention", r->name);
	member(out, "expires", date_of(end_of(o, r), date));
	member(out, "store_etag", o->version);
	buf_release(&sum);
}

/* The line of one that is not there. */
static void
put_absent(const struct asset *a, const char *why)
{
	printf("%s\n  not stored%s%s\n", a->text, why[0] == '\0' ? "" : ": ", why);
}

static int
stat_one(struct objects *store, const struct config *c, const struct asset *a, bool json, struct err *e)
{
	const struct dataset *d;
	char *key = asset_key(a, c, &d, e);
	struct buf out = BUF_INIT(LINE_MAX_BYTES);
	struct object o;
	int rc = key == NULL ? 0 : objects_find(store, key, &o, e);

	if (rc != -1 && json) {
		put_json(&out, a, key, rc == 1);
		if (rc == 1)
			put_json_object(&out, &o, config_retention(c, d->retention));
		(void)buf_adds(&out, " }\n");
	} else if (rc == 0) {
		put_absent(a, e->text);
	} else if (rc == 1) {
		put_text(&out, a, key, &o, config_retention(c, d->retention));
	}
	buf_must(&out);
	fputs(buf_str(&out), stdout);
	if (rc == 1)
		object_release(&o);
	buf_release(&out);
	free(key);
	return rc;
}

int
object_stat(const struct config *c, char *const *paths, size_t n, bool json)
{
	struct err e = ERR_NONE;
	struct objects *store = objects_open(c, &e);
	int worst = 0;

	if (store == NULL) {
		(void)complain("%s", e.text);
		return OBJECT_TROUBLE;
	}
	for (size_t i = 0; i < n && ferror(stdout) == 0; i++) {
		struct asset a;
		int rc = -1;

		e = (struct err)ERR_NONE;
		if (asset_parse(&a, paths[i], c->base_path, &e) == 0) {
			rc = stat_one(store, c, &a, json, &e);
			asset_release(&a);
		}
		if (rc == -1) {
			worst = OBJECT_TROUBLE;
			if (complain_of(store, paths, i, n, &e))
				break;
		} else if (rc == 0 && worst == 0) {
			worst = 1;
		}
	}
	objects_free(store);
	return finish_output() == 0 ? worst : OBJECT_TROUBLE;
}

/* ---- purge ------------------------------------------------------------------ */

static int
purge_one(struct objects *store, const struct config *c, const struct asset *a, struct err *e)
{
	const struct dataset *d;
	char *key = asset_key(a, c, &d, e);
	int rc = key == NULL ? 0 : objects_remove(store, key, e);

	if (rc == 1)
		printf("%s\n  purged: %s\n", a->text, key);
	else if (rc == 0)
		put_absent(a, e->text);
	free(key);
	return rc;
}

int
object_purge(const struct config *c, char *const *paths, size_t n)
{
	struct err e = ERR_NONE;
	struct objects *store = objects_open(c, &e);
	int worst = 0;

	if (store == NULL)
		return complain("%s", e.text);
	for (size_t i = 0; i < n && ferror(stdout) == 0; i++) {
		struct asset a;
		int rc = -1;

		e = (struct err)ERR_NONE;
		if (asset_parse(&a, paths[i], c->base_path, &e) == 0) {
			rc = purge_one(store, c, &a, &e);
			asset_release(&a);
		}
		if (rc == -1) {
			worst = 1;
			if (complain_of(store, paths, i, n, &e))
				break;
		}
	}
	objects_free(store);
	return finish_output() == 0 ? worst : 1;
}
