/* SPDX-License-Identifier: Apache-2.0
 *
 * From a path to a key, as the worker does it (worker/route.c, decide.c).
 */
#include "base/base.h"

#include "ctl/asset.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cache/key.h"
#include "wire/path.h"

enum { SEGMENTS = 4, TEXT_MAX = 3 * PATH_URI_MAX };

void
asset_release(struct asset *a)
{
	if (a == NULL)
		return;
	free(a->text);
	free(a->backend);
	free(a->collection);
	free(a->item);
	free(a->name);
	free(a->subpath);
	memset(a, 0, sizeof(*a));
}

static char *
joined(const struct path *p, size_t from)
{
	struct buf out = BUF_INIT(TEXT_MAX);

	if (from >= p->n)
		return NULL;
	path_join(p, from, &out);
	buf_must(&out);
	return buf_take(&out);
}

int
asset_parse(struct asset *ret, const char *arg, const char *base_path, struct err *e)
{
	static struct path p;
	bool whole = arg[0] == '/' || strstr(arg, "://") != NULL;
	char *uri = whole ? mem_strdup(arg) : mem_printf("%s/%s", strcmp(base_path, "/") == 0 ? "" : base_path, arg);
	enum path_verdict v = path_parse(&p, uri, strlen(uri), base_path, e);

	free(uri);
	if (v == PATH_BAD && strpbrk(arg, " #") != NULL)
		return err_set(e, "a path is percent-encoded, as in a URL: a space is %%20, a '#' is %%23");
	if (v == PATH_OUTSIDE)
		return err_set(e, "it is not below '%s'", base_path);
	if (v != PATH_OK)
		return -1;
	if (p.query[0] != '\0')
		return err_set(e, "an asset's path has no query; a '?' of a name is %%3F");
	if (p.n < SEGMENTS || p.seg[0][0] == '-' || p.seg[0][0] == '~')
		return err_set(e, "a path is BACKEND/COLLECTION/ITEM/ASSET[/SUBPATH]");
	*ret = (struct asset){
		.text = joined(&p, 0),
		.backend = mem_strdup(p.seg[0]), .collection = mem_strdup(p.seg[1]), .item = mem_strdup(p.seg[2]),
		.name = mem_strdup(p.seg[3]), .subpath = joined(&p, SEGMENTS),
	};
	return 0;
}

char *
asset_key(const struct asset *a, const struct config *c, const struct dataset **ret, struct err *e)
{
	const struct dataset *d = config_dataset(c, a->backend, a->collection, a->name);
	struct buf key = BUF_INIT(KEY_MAX);

	if (d == NULL) {
		(void)err_set(e, "no row of 'datasets' is for it: it is delivered, and never stored");
		return NULL;
	}
	if (key_make(&key, d->retention, a->backend, a->collection, a->item, a->name, a->subpath) != 0) {
		(void)buf_fits(&key);
		buf_release(&key);
		(void)err_set(e, "its key would be longer than %d bytes: it is delivered, and never stored", KEY_MAX);
		return NULL;
	}
	*ret = d;
	return buf_take(&key);
}
