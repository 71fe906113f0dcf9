/* SPDX-License-Identifier: Apache-2.0
 *
 * From text to struct config, driven by the table.  The scan has refused what
 * is not strict JSON; json-c gives the values; each is put where its row says.
 * All faults are told, not just the first.  Runs in the master, and in every
 * child over the text that the master wrote.
 */
#include "base/base.h"

#include "config/params.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/scan.h"
#include "config/units.h"
#include "s3/credentials.h"

struct parser {
	struct config *c;
	struct faults *f;
	bool sealed;
};

static void set_value(
    struct parser *ps, const struct param *p, json_object *v, void *base, const struct at *at);

/* ---- single values ------------------------------------------------------ */

/* The text of a string value, or NULL after a fault. */
static const char *
string_of(struct parser *ps, json_object *v, const struct at *at, const char *want)
{
	const char *s;
	size_t len;

	if (json_object_get_type(v) != json_type_string) {
		faults_add(ps->f, at, "wrong type, want %s", want);
		return NULL;
	}
	s = json_object_get_string(v);
	len = (size_t)json_object_get_string_len(v);
	for (size_t i = 0; i < len; i++) {
		if ((uint8_t)s[i] < 0x20 || s[i] == 0x7f) {
			faults_add(ps->f, at, "a control byte in the text");
			return NULL;
		}
	}
	return s;
}

static bool
length_fits(struct parser *ps, const struct at *at, const char *s, size_t max)
{
	if (strlen(s) <= max)
		return true;
	faults_add(ps->f, at, "longer than %zu bytes", max);
	return false;
}

static const char *
wanted(const struct param *p)
{
	switch (p->type) {
	case PARAM_SIZE:
		return "a size such as \"20 GB\" or \"64 MiB\"";
	case PARAM_RATE:
		return "bytes per second such as \"10 MB\"";
	case PARAM_DURATION:
		return "a duration such as \"30s\", \"5m\" or \"200ms\"";
	case PARAM_PERCENT:
		return "a percentage such as \"25 %\"";
	case PARAM_LIFETIME:
		return "a lifetime such as \"30d\", \"2w\", \"1y\" or \"never\"";
	case PARAM_INTEGER:
		return "a whole number";
	case PARAM_BOOL:
		return "true or false";
	case PARAM_STRINGS:
	case PARAM_QUOTAS:
		return "a list of strings";
	case PARAM_LIMITS:
		return p->kind == QUOTA_BYTES || p->kind == QUOTA_UPSTREAM_BYTES
			   ? "a list of limits such as \"1 TB per month\""
			   : "a list of limits such as \"20 per second\"";
	case PARAM_ROWS:
		return "a list of objects";
	case PARAM_MAP:
		return "an object";
	default:
		return "a string";
	}
}

static void
set_string(
    struct parser *ps, const struct param *p, json_object *v, char **dst, const struct at *at)
{
	const char *s = string_of(ps, v, at, wanted(p));

	if (s == NULL || !length_fits(ps, at, s, p->max))
		return;
	if (s[0] == '\0' && (p->flags & PARAM_FILLED) != 0) {
		faults_add(ps->f, at, "must not be empty");
		return;
	}
	if (p->type == PARAM_PATH && s[0] != '\0' && s[0] != '/') {
		faults_add(ps->f, at, "a path must begin with '/'");
		return;
	}
	*dst = p->type == PARAM_OPTIONAL && s[0] == '\0' ? NULL : mem_strdup(s);
}

/* A number out of a text with a unit, or a JSON integer.  0, or -1 after a fault. */
static int
quantity_of(
    struct parser *ps, const struct param *p, json_object *v, const struct at *at, uint64_t *ret)
{
	char shown[128];
	const char *s;
	int rc = -1;

	if (p->type == PARAM_INTEGER) {
		if (json_object_get_type(v) != json_type_int) {
			faults_add(ps->f, at, "wrong type, want %s", wanted(p));
			return -1;
		}
		/* negative ones come out above every range */
		*ret = (uint64_t)json_object_get_int64(v);
		return 0;
	}
	s = string_of(ps, v, at, wanted(p));
	if (s == NULL)
		return -1;
	if (p->type == PARAM_SIZE)
		rc = units_size(s, ret);
	else if (p->type == PARAM_RATE)
		rc = units_rate(s, ret);
	else if (p->type == PARAM_DURATION)
		rc = units_duration(s, ret);
	else
		rc = units_percent(s, ret);
	if (rc < 0)
		faults_add(
		    ps->f, at, "'%s' is not %s", text_esc_to(shown, sizeof(shown), s), wanted(p));
	return rc;
}

static void
set_quantity(
    struct parser *ps, const struct param *p, json_object *v, char *dst, const struct at *at)
{
	struct buf low = BUF_INIT(64), high = BUF_INIT(64);
	uint32_t narrow;
	uint64_t n;

	if (quantity_of(ps, p, v, at, &n) < 0)
		return;
	if (n < p->min || n > p->max) {
		param_put_quantity(&low, p, p->min);
		param_put_quantity(&high, p, p->max);
		faults_add(ps->f, at, "out of range, %s to %s", buf_str(&low), buf_str(&high));
		buf_release(&low);
		buf_release(&high);
		return;
	}
	if (p->type == PARAM_SIZE || p->type == PARAM_RATE) {
		memcpy(dst, &n, sizeof(n));
	} else {
		MUST(n <= UINT32_MAX); /* the ranges of the table see to it */
		narrow = (uint32_t)n;
		memcpy(dst, &narrow, sizeof(narrow));
	}
}

static void
set_lifetime(struct parser *ps, const struct param *p, json_object *v, char *dst, const struct at *at)
{
	const char *s = string_of(ps, v, at, wanted(p));
	uint32_t days = LIFETIME_BY_NAME;
	char shown[128];

	if (s == NULL)
		return;
	if (s[0] != '\0' && units_lifetime(s, &days) < 0)
		faults_add(ps->f, at, "'%s' is not %s, of at most %d days",
		    text_esc_to(shown, sizeof(shown), s), wanted(p), RETENTION_DAYS_MAX);
	memcpy(dst, &days, sizeof(days));
}

static void
set_word(struct parser *ps, const struct param *p, json_object *v, char *dst, const struct at *at)
{
	struct buf all = BUF_INIT(256);
	const char *s = string_of(ps, v, at, wanted(p));
	char shown[128];
	unsigned place = 0;
	bool yes;

	if (s == NULL)
		return;
	while (p->words[place] != NULL && strcmp(p->words[place], s) != 0)
		place++;
	if (p->words[place] == NULL) {
		for (size_t i = 0; p->words[i] != NULL; i++)
			(void)buf_addf(&all, "%s%s", i == 0 ? "" : ", ", p->words[i]);
		faults_add(ps->f, at, "unknown value '%s', one of %s",
		    text_esc_to(shown, sizeof(shown), s), buf_str(&all));
		buf_release(&all);
		return;
	}
	yes = place == 1;
	if (p->type == PARAM_WORD)
		memcpy(dst, &place, sizeof(place));
	else if (p->type == PARAM_WORD_BOOL)
		memcpy(dst, &yes, sizeof(yes));
	else if (p->type == PARAM_WORD_STRING)
		*(char **)(void *)dst = mem_strdup(s);
}

/* ---- lists --------------------------------------------------------------- */

/* Elements of a list, or -1 after a fault. */
static ssize_t
list_of(struct parser *ps, const struct param *p, json_object *v, const struct at *at, size_t max)
{
	size_t n;

	if (json_object_get_type(v) != json_type_array) {
		faults_add(ps->f, at, "wrong type, want %s", wanted(p));
		return -1;
	}
	n = json_object_array_length(v);
	if (n > max) {
		faults_add(ps->f, at, "more than %zu members", max);
		return -1;
	}
	return (ssize_t)n;
}

static void
set_strings(
    struct parser *ps, const struct param *p, json_object *v, struct strs *dst, const struct at *at)
{
	ssize_t n = list_of(ps, p, v, at, p->max);
	const char *s;

	for (ssize_t i = 0; i < n; i++) {
		struct at here = { at, NULL, (size_t)i };

		s = string_of(ps, json_object_array_get_idx(v, (size_t)i), &here, "a string");
		if (s == NULL || !length_fits(ps, &here, s, p->length))
			continue;
		if (s[0] == '\0')
			faults_add(ps->f, &here, "must not be empty");
		else
			strs_add(dst, s);
	}
}

static void
set_limits(struct parser *ps, const struct param *p, json_object *v, struct quota_set *set,
    const struct at *at)
{
	bool bytes = p->kind == QUOTA_BYTES || p->kind == QUOTA_UPSTREAM_BYTES;
	ssize_t n = list_of(ps, p, v, at, p->max);
	struct quota_limit limit = { .kind = p->kind };
	char shown[128];
	const char *s;
	bool twice;

	for (ssize_t i = 0; i < n; i++) {
		struct at here = { at, NULL, (size_t)i };

		s = string_of(ps, json_object_array_get_idx(v, (size_t)i), &here, "a string");
		if (s == NULL)
			continue;
		if (units_limit(s, bytes, &limit.n, &limit.window) < 0) {
			faults_add(ps->f, &here,
			    "'%s' is not a limit such as \"%s\" (second, minute, hour, day or "
			    "month)",
			    text_esc_to(shown, sizeof(shown), s),
			    bytes ? "1 TB per month" : "20 per second");
			continue;
		}
		twice = false;
		for (size_t j = 0; j < set->n_limits; j++)
			twice = twice || (set->limit[j].kind == limit.kind &&
					     set->limit[j].window == limit.window);
		if (twice) {
			faults_add(ps->f, &here, "a second limit for the same window");
			continue;
		}
		MUST(set->n_limits < QUOTA_LIMITS_MAX); /* four kinds, five windows, none twice */
		set->limit[set->n_limits++] = limit;
	}
}

static void
set_quotas(struct parser *ps, const struct param *p, json_object *v, struct rule *rule,
    const struct at *at)
{
	ssize_t n = list_of(ps, p, v, at, p->max);
	const struct quota_set *set;
	char shown[128];
	const char *s;
	size_t place;
	bool twice;

	for (ssize_t i = 0; i < n; i++) {
		struct at here = { at, NULL, (size_t)i };

		s = string_of(ps, json_object_array_get_idx(v, (size_t)i), &here, "a string");
		if (s == NULL)
			continue;
		set = config_quota(ps->c, s);
		if (set == NULL) {
			faults_add(ps->f, &here, "no such member of quotas: '%s'",
			    text_esc_to(shown, sizeof(shown), s));
			continue;
		}
		place = (size_t)(set - ps->c->quotas);
		twice = false;
		for (size_t j = 0; j < rule->n_quotas; j++)
			twice = twice || rule->quota[j] == place;
		if (twice)
			faults_add(ps->f, &here, "named twice");
		else
			rule->quota[rule->n_quotas++] = place;
	}
}

/* ---- rows ----------------------------------------------------------------- */

/* A default of the table, which is JSON: there is none for lack of memory alone. */
static json_object *
default_of(const char *text)
{
	json_object *v = json_tokener_parse(text);
	bool has_member = strchr(text, ':') != NULL;

	/* the only one with members is backends', and json-c loses what it has no memory for */
	if (v == NULL || (has_member && json_object_is_type(v, json_type_object) && json_object_object_length(v) == 0))
		mem_none();
	return v;
}

/* The members of one row. */
static void
set_row(struct parser *ps, const struct param_rows *rows, json_object *v, char *base,
    const struct at *at)
{
	json_object *member, *fallback;

	if (rows->n == 1 && (rows->param[0].flags & PARAM_ITSELF) != 0) {
		set_value(ps, &rows->param[0], v, base, at);
		return;
	}
	if (json_object_get_type(v) != json_type_object) {
		faults_add(ps->f, at, "wrong type, want an object");
		return;
	}
	json_object_object_foreach (v, name, child) {
		struct at here = { at, name, 0 };
		struct near near = NEAR_INIT(name);
		bool known = false;

		(void)child; /* looked at below, by row */
		for (size_t i = 0; i < rows->n; i++) {
			known = known || strcmp(rows->param[i].path, name) == 0;
			near_offer(&near, rows->param[i].path, strlen(rows->param[i].path));
		}
		if (!known)
			faults_unknown(ps->f, &here, &near);
	}
	for (size_t i = 0; i < rows->n; i++) {
		struct at here = { at, rows->param[i].path, 0 };

		if (json_object_object_get_ex(v, rows->param[i].path, &member)) {
			set_value(ps, &rows->param[i], member, base, &here);
		} else if (rows->param[i].fallback == NULL) {
			faults_add(ps->f, &here, "must be given");
		} else {
			fallback = default_of(rows->param[i].fallback);
			set_value(ps, &rows->param[i], fallback, base, &here);
			(void)json_object_put(fallback);
		}
	}
}

static void
set_list_rows(
    struct parser *ps, const struct param *p, json_object *v, char *base, const struct at *at)
{
	const struct param_rows *rows = p->rows;
	ssize_t n = list_of(ps, p, v, at, rows->max);
	size_t count;
	char *block;

	if (n <= 0)
		return;
	block = mem_alloc((size_t)n * rows->size);
	memcpy(base + p->offset, &block, sizeof(block));
	for (ssize_t i = 0; i < n; i++) {
		struct at here = { at, NULL, (size_t)i };

		set_row(ps, rows, json_object_array_get_idx(v, (size_t)i),
		    block + (size_t)i * rows->size, &here);
	}
	count = (size_t)n;
	memcpy(base + rows->count_offset, &count, sizeof(count));
}

static void
set_map_rows(
    struct parser *ps, const struct param *p, json_object *v, char *base, const struct at *at)
{
	const struct param_rows *rows = p->rows;
	size_t n, i = 0;
	char *block, *key;

	if (json_object_get_type(v) != json_type_object) {
		faults_add(ps->f, at, "wrong type, want %s", wanted(p));
		return;
	}
	n = (size_t)json_object_object_length(v);
	if (n > rows->max + (ps->sealed ? 1 : 0)) {	/* check_derive may have added "*" */
		faults_add(ps->f, at, "more than %zu members", rows->max);
		return;
	}
	if (n == 0)
		return;
	block = mem_alloc(n * rows->size);
	memcpy(base + p->offset, &block, sizeof(block));
	json_object_object_foreach (v, name, child) {
		struct at here = { at, name, 0 };

		if (name[0] == '\0' || strlen(name) > rows->key_max || strchr(name, '\x7f') != NULL)
			faults_add(ps->f, &here,
			    "the name of a %s has 1 to %zu bytes and no control bytes", rows->key,
			    rows->key_max);
		else if (rows->key_token && !check_token(name))
			faults_add(ps->f, &here,
			    "the name of a %s has letters, digits, '.', '_' and '-' only, and does "
			    "not "
			    "begin with '.' or '-'",
			    rows->key);
		key = mem_strdup(name);
		memcpy(block + i * rows->size, &key, sizeof(key));
		set_row(ps, rows, child, block + i * rows->size, &here);
		i++;
	}
	memcpy(base + rows->count_offset, &n, sizeof(n));
}

static void
set_value(struct parser *ps, const struct param *p, json_object *v, void *base, const struct at *at)
{
	char *dst = (char *)base + p->offset;
	struct strs *list = (struct strs *)(void *)dst;
	char *one = NULL;
	bool yes;

	switch (p->type) {
	case PARAM_STRING:
	case PARAM_OPTIONAL:
	case PARAM_PATH:
		set_string(ps, p, v, (char **)(void *)dst, at);
		break;
	case PARAM_PATH_LIST: {
		struct param path = *p;

		path.type = PARAM_PATH;
		set_string(ps, &path, v, &one, at);
		if (one != NULL && one[0] != '\0')
			strs_add(list, one);
		free(one);
		break;
	}
	case PARAM_SIZE:
	case PARAM_RATE:
	case PARAM_DURATION:
	case PARAM_INTEGER:
	case PARAM_PERCENT:
		set_quantity(ps, p, v, dst, at);
		break;
	case PARAM_LIFETIME:
		set_lifetime(ps, p, v, dst, at);
		break;
	case PARAM_BOOL:
		if (json_object_get_type(v) != json_type_boolean) {
			faults_add(ps->f, at, "wrong type, want %s", wanted(p));
			break;
		}
		yes = json_object_get_boolean(v) != 0;
		memcpy(dst, &yes, sizeof(yes));
		break;
	case PARAM_WORD:
	case PARAM_WORD_BOOL:
	case PARAM_WORD_STRING:
		set_word(ps, p, v, dst, at);
		break;
	case PARAM_STRINGS:
		set_strings(ps, p, v, list, at);
		break;
	case PARAM_LIMITS:
		set_limits(ps, p, v, base, at);
		break;
	case PARAM_QUOTAS:
		set_quotas(ps, p, v, base, at);
		break;
	case PARAM_ROWS:
		set_list_rows(ps, p, v, base, at);
		break;
	case PARAM_MAP:
		set_map_rows(ps, p, v, base, at);
		break;
	}
}

/* ---- the document --------------------------------------------------------- */

/* Members of the document, or of the section whose rows' paths begin so ("cache."), that no row has. */
static void
find_unknown(struct parser *ps, json_object *v, const char *start, size_t start_len, const struct at *up)
{
	const char *rest, *section;
	size_t len;

	json_object_object_foreach (v, name, child) {
		struct at here = { up, name, 0 };
		struct near near = NEAR_INIT(name);
		bool known = up == NULL && ps->sealed && strcmp(name, "sealed") == 0;

		section = NULL;
		for (size_t i = 0; i < config_params_n; i++) {
			if (strncmp(config_params[i].path, start, start_len) != 0)
				continue;
			rest = config_params[i].path + start_len;
			len = strcspn(rest, ".");
			near_offer(&near, rest, len);
			if (strncmp(rest, name, len) != 0 || name[len] != '\0')
				continue;
			known = true;
			section = rest[len] == '.' ? config_params[i].path : NULL;
		}
		if (!known)
			faults_unknown(ps->f, &here, &near);
		else if (section != NULL && json_object_get_type(child) != json_type_object)
			faults_add(ps->f, &here, "wrong type, want an object");
		else if (section != NULL)
			find_unknown(ps, child, section, start_len + strlen(name) + 1, &here);
	}
}

static void
set_param(struct parser *ps, const struct param *p, json_object *root)
{
	struct at at[CONFIG_SECTIONS_MAX + 1];
	char section[CONFIG_SECTIONS_MAX][64];
	const char *name = p->path;
	json_object *holder = root, *v = NULL, *fallback;
	size_t n = 0;

	for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(name, '.')) {
		MUST(n < CONFIG_SECTIONS_MAX);
		(void)snprintf(section[n], sizeof(section[n]), "%.*s", (int)(dot - name), name);
		at[n] = (struct at){ n == 0 ? NULL : &at[n - 1], section[n], 0 };
		/* NULL when there is none, and for what is no object */
		(void)json_object_object_get_ex(holder, section[n], &holder);
		name = dot + 1;
		n++;
	}
	at[n] = (struct at){ n == 0 ? NULL : &at[n - 1], name, 0 };
	/* json-c gives NULL for null, too */
	if (json_object_object_get_ex(holder, name, &v)) {
		set_value(ps, p, v, ps->c, &at[n]);
		return;
	}
	MUST(p->fallback != NULL);
	fallback = default_of(p->fallback);
	set_value(ps, p, fallback, ps->c, &at[n]);
	(void)json_object_put(fallback);
}

/* A list of secrets in the memfd. */
static void
set_secrets(struct parser *ps, json_object *sealed, const struct param *p, struct strs *ret, struct at *at)
{
	json_object *v = NULL;

	at->name = p->path;
	if (json_object_object_get_ex(sealed, p->path, &v))
		set_strings(ps, p, v, ret, at);
	else
		faults_add(ps->f, at, "must be given");
}

/* What only the memfd has: "sealed": { "generation": 3, "stac_headers": [ ... ], "memory_secret": [ ... ], ... }. */
static void
set_sealed(struct parser *ps, json_object *root)
{
	/* a line may have got a space behind its colon */
	static const struct param headers = { "stac_headers", PARAM_STRINGS, 0, .max = CONFIG_HEADER_LINES_MAX,
		.length = CONFIG_HEADERS_MAX + 1 };
	static const struct param keys = { "s3_keys", PARAM_STRINGS, 0, .max = 3, .length = S3_TOKEN_MAX };
	static const struct param memory = { "memory_secret", PARAM_STRINGS, 0, .max = 1, .length = 64 };
	struct at up = { NULL, "sealed", 0 }, at = { &up, "generation", 0 };
	json_object *sealed = NULL, *v = NULL;

	if (!json_object_object_get_ex(root, "sealed", &sealed) ||
	    json_object_get_type(sealed) != json_type_object) {
		faults_add(ps->f, &up, "must be given");
		return;
	}
	if (json_object_object_get_ex(sealed, "generation", &v) &&
	    json_object_get_type(v) == json_type_int && json_object_get_int64(v) >= 0)
		ps->c->generation = (uint64_t)json_object_get_int64(v);
	else
		faults_add(ps->f, &at, "wrong type");
	set_secrets(ps, sealed, &headers, &ps->c->stac_headers, &at);
	set_secrets(ps, sealed, &memory, &ps->c->s3_memory_secret, &at);
	set_secrets(ps, sealed, &keys, &ps->c->s3_keys, &at);
}

static void
tell_duplicates(const struct scan *s, struct faults *f)
{
	struct buf path = BUF_INIT(8 * 1024);

	for (size_t i = 1; i < s->n; i++) {
		if (!s->node[i].twice)
			continue;
		buf_clear(&path);
		scan_path(s, i, &path);
		f->n++;
		if (f->n <= CONFIG_FAULTS_MAX)
			(void)buf_addf(
			    f->out, "%s: given twice (line %u)\n", buf_str(&path), s->node[i].line);
	}
	buf_release(&path);
}

struct config *
params_parse(const char *text, size_t len, bool sealed, struct faults *f)
{
	struct json_tokener *tokener = json_tokener_new_ex(SCAN_DEPTH_MAX + 2);
	struct parser ps = { NULL, f, sealed };
	json_object *root = NULL;
	struct scan scan;
	struct err e = ERR_NONE;

	if (tokener == NULL)
		mem_none();
	if (scan_json(&scan, text, len, sealed ? CONFIG_SEALED_VALUES_MAX : CONFIG_VALUES_MAX, &e) <
	    0) {
		faults_add(f, NULL, "%s", e.text);
		goto out;
	}
	f->scan = &scan;
	tell_duplicates(&scan, f);
	root = json_tokener_parse_ex(tokener, scan.text, (int)scan.len);
	if (root == NULL || json_object_get_type(root) != json_type_object) {
		faults_add(f, NULL, "not JSON: %s",
		    json_tokener_error_desc(json_tokener_get_error(tokener)));
		goto out;
	}
	/* json-c loses what it finds no memory for: a rule without its members is another rule */
	if (f->n == 0 && !params_are_whole(root, &scan))
		mem_none();
	ps.c = mem_alloc(sizeof(*ps.c));
	find_unknown(&ps, root, "", 0, NULL);
	for (size_t i = 0; i < config_params_n; i++)
		set_param(&ps, &config_params[i], root);
	if (sealed)
		set_sealed(&ps, root);
	if (f->n == 0) {
		check_derive(ps.c);
		check_all(ps.c, f);
	}
out:
	f->scan = NULL;
	if (root != NULL)
		(void)json_object_put(root);
	json_tokener_free(tokener);
	scan_release(&scan);
	return ps.c;
}

/* ---- the end ---------------------------------------------------------------- */

static void
release_rows(const struct param *p, char *base)
{
	const struct param_rows *rows = p->rows;
	char *block, *key;
	size_t n;

	memcpy(&block, base + p->offset, sizeof(block));
	memcpy(&n, base + rows->count_offset, sizeof(n));
	for (size_t i = 0; i < n; i++) {
		if (p->type == PARAM_MAP) {
			memcpy(&key, block + i * rows->size, sizeof(key));
			free(key);
		}
		params_release(rows->param, rows->n, block + i * rows->size);
	}
	free(block);
}

void
params_release(const struct param *p, size_t n, void *base)
{
	char *at;

	for (size_t i = 0; i < n; i++) {
		at = (char *)base + p[i].offset;
		switch (p[i].type) {
		case PARAM_STRING:
		case PARAM_OPTIONAL:
		case PARAM_PATH:
		case PARAM_WORD_STRING:
			free(*(char **)(void *)at);
			break;
		case PARAM_PATH_LIST:
		case PARAM_STRINGS:
			strs_release((struct strs *)(void *)at);
			break;
		case PARAM_ROWS:
		case PARAM_MAP:
			release_rows(&p[i], base);
			break;
		default:
			break;
		}
	}
}

void
params_copy(const struct param *p, const void *from, void *to)
{
	const char *src = (const char *)from + p->offset;
	char *dst = (char *)to + p->offset, *text;
	struct strs list;

	params_release(p, 1, to);
	switch (p->type) {
	case PARAM_STRING:
	case PARAM_OPTIONAL:
	case PARAM_PATH:
	case PARAM_WORD_STRING:
		text = mem_strdup(*(char *const *)(const void *)src);
		memcpy(dst, &text, sizeof(text));
		break;
	case PARAM_PATH_LIST:
	case PARAM_STRINGS:
		list = strs_copy((const struct strs *)(const void *)src);
		memcpy(dst, &list, sizeof(list));
		break;
	case PARAM_SIZE:
	case PARAM_RATE:
		memcpy(dst, src, sizeof(uint64_t));
		break;
	case PARAM_DURATION:
	case PARAM_INTEGER:
	case PARAM_PERCENT:
	case PARAM_LIFETIME:
	case PARAM_WORD:
		memcpy(dst, src, sizeof(uint32_t));
		break;
	case PARAM_BOOL:
	case PARAM_WORD_BOOL:
		memcpy(dst, src, sizeof(bool));
		break;
	case PARAM_LIMITS:
	case PARAM_QUOTAS:
	case PARAM_ROWS:
	case PARAM_MAP:
		MUST(false); /* none of the table's needs it */
	}
}
