/* SPDX-License-Identifier: Apache-2.0
 *
 * What json-c makes of it is asked for its types, member by member.
 */
#include "base/base.h"

#include "ctl/documents.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { DEPTH = 64, PATH_BYTES = 65536 };

static struct json_object *
parse(const char *text, size_t n)
{
	struct json_tokener *tok = n > DOCUMENT_MAX ? NULL : json_tokener_new_ex(DEPTH);
	struct json_object *o;

	if (tok == NULL)
		return NULL;
	o = json_tokener_parse_ex(tok, text, (int)n);
	json_tokener_free(tok);
	return o;
}

/* Of text without a NUL in it; else NULL. */
static const char *
string_of(struct json_object *v)
{
	const char *s = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;

	return s != NULL && strlen(s) == (size_t)json_object_get_string_len(v) ? s : NULL;
}

/* A member that is text, or NULL. */
static const char *
text_of(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) ? string_of(v) : NULL;
}

void
document_detail(const char *text, size_t n, struct buf *out)
{
	struct json_object *o = parse(text, n);
	const char *detail = text_of(o, "detail");

	if (detail != NULL)
		(void)buf_adds(out, detail);
	json_object_put(o);
}

/* ---- items -------------------------------------------------------------------- */

/* Behind the prefix that it begins with, or NULL. */
static const char *
behind(const char *href, const struct strs *prefixes)
{
	for (size_t i = 0; href != NULL && i < prefixes->n; i++) {
		size_t n = strlen(prefixes->v[i]);

		if (strncmp(href, prefixes->v[i], n) == 0)
			return href + n;
	}
	return NULL;
}

/* What the proxy calls it. */
static int
put_path(struct buf *out, struct json_object *item, const char *name, struct err *e)
{
	struct json_object *properties, *backends;
	const char *parts[] = { NULL, text_of(item, "collection"), text_of(item, "id"), name };

	if (json_object_object_get_ex(item, "properties", &properties) && json_object_is_type(properties, json_type_object) &&
	    json_object_object_get_ex(properties, "federation:backends", &backends) &&
	    json_object_is_type(backends, json_type_array))
		parts[0] = string_of(json_object_array_get_idx(backends, 0));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i] == NULL)
			return err_set(e, "the item has no federation:backends, collection or id to make a path of");
		if (i > 0)
			(void)buf_addc(out, '/');
		text_percent(out, parts[i], strlen(parts[i]));
	}
	return 0;
}

static int
add_asset(struct json_object *item, const char *name, struct json_object *asset, const struct strs *prefixes, bool wanted,
    struct strs *paths, struct err *e)
{
	const char *path = behind(text_of(asset, "href"), prefixes);
	struct buf out = BUF_INIT(PATH_BYTES);
	int rc = 0;

	if (paths->n == DOCUMENT_ASSETS_MAX)
		return err_set(e, "more than %d assets", DOCUMENT_ASSETS_MAX);
	if (path != NULL) {
		strs_add(paths, path);
	} else if (wanted) {
		rc = put_path(&out, item, name, e);
		if (rc == 0 && !buf_fits(&out))
			rc = err_set(e, "the path of an asset is too long");
		if (rc == 0)
			strs_add(paths, buf_str(&out));
	}
	buf_release(&out);
	return rc;
}

static int
add_item(struct json_object *item, const struct strs *prefixes, const struct strs *wanted, struct strs *paths,
    struct err *e)
{
	struct json_object *assets, *one;

	if (!json_object_is_type(item, json_type_object) || !json_object_object_get_ex(item, "assets", &assets) ||
	    !json_object_is_type(assets, json_type_object))
		return err_set(e, "this is no STAC item: it has no assets");
	if (wanted == NULL) {
		json_object_object_foreach(assets, name, asset) {
			if (add_asset(item, name, asset, prefixes, false, paths, e) != 0)
				return -1;
		}
		return 0;
	}
	for (size_t i = 0; i < wanted->n; i++) {
		if (!json_object_object_get_ex(assets, wanted->v[i], &one))
			return err_set(e, "the item has no asset '%.100s'", wanted->v[i]);
		if (add_asset(item, wanted->v[i], one, prefixes, true, paths, e) != 0)
			return -1;
	}
	return 0;
}

/* Is it one page of several (a link with the relation "next")? */
static bool
has_next(struct json_object *collection)
{
	struct json_object *links;
	const char *rel;
	bool found = false;

	if (!json_object_object_get_ex(collection, "links", &links) || !json_object_is_type(links, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(links) && !found; i++) {
		rel = text_of(json_object_array_get_idx(links, i), "rel");
		found = rel != NULL && strcmp(rel, "next") == 0;
	}
	return found;
}

int
document_assets(const char *text, size_t n, const struct strs *prefixes, const struct strs *wanted, struct strs *paths,
    bool *ret_more, struct err *e)
{
	struct json_object *o = parse(text, n), *features;
	int rc = 0;

	*ret_more = false;
	if (o == NULL) {
		rc = err_set(e, "this is no JSON");
	} else if (json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "features", &features) &&
	    json_object_is_type(features, json_type_array)) {
		*ret_more = has_next(o);
		for (size_t i = 0; i < json_object_array_length(features) && rc == 0; i++)
			rc = add_item(json_object_array_get_idx(features, i), prefixes, wanted, paths, e);
	} else {
		rc = add_item(o, prefixes, wanted, paths, e);
	}
	json_object_put(o);
	return rc;
}
