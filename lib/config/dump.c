/* SPDX-License-Identifier: Apache-2.0
 *
 * From struct config back to text: for people (--dump-config) and, with the
 * secrets, for the memfd.  What is written is what the parser takes.
 */
#include "base/base.h"

#include "config/params.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "config/units.h"

static void
put_text(struct buf *out, const char *s)
{
	s = s == NULL ? "" : s;
	text_json(out, s, strlen(s));
}

static void
indent(struct buf *out, unsigned depth)
{
	(void)buf_addc(out, '\n'); /* the buffer remembers its failure */
	for (unsigned i = 0; i < depth; i++)
		(void)buf_adds(out, "    ");
}

static void
put_strings(const struct strs *s, struct buf *out)
{
	(void)buf_addc(out, '[');
	for (size_t i = 0; i < s->n; i++) {
		(void)buf_adds(out, i == 0 ? "" : ", ");
		put_text(out, s->v[i]);
	}
	(void)buf_addc(out, ']');
}

static void
put_names(const struct strs *s, struct buf *out)
{
	(void)buf_addc(out, '{');
	for (size_t i = 0; i < s->n; i++) {
		(void)buf_adds(out, i == 0 ? " " : ", ");
		put_text(out, s->v[i]);
		(void)buf_adds(out, ": {}");
	}
	(void)buf_adds(out, s->n == 0 ? "}" : " }");
}

static void
put_limits(const struct param *p, const struct quota_set *set, struct buf *out)
{
	struct buf one = BUF_INIT(64);
	bool first = true;

	(void)buf_addc(out, '[');
	for (size_t i = 0; i < set->n_limits; i++) {
		if (set->limit[i].kind != p->kind)
			continue;
		buf_clear(&one);
		units_put_limit(&one, p->kind == QUOTA_BYTES || p->kind == QUOTA_UPSTREAM_BYTES,
		    set->limit[i].n, set->limit[i].window);
		(void)buf_adds(out, first ? "" : ", ");
		if (buf_ok(&one))
			put_text(out, buf_str(&one));
		else
			(void)buf_reserve(out, out->max + 1);	/* no room: it fails, and stays so */
		first = false;
	}
	(void)buf_addc(out, ']');
	buf_release(&one);
}

static void
put_quotas(const struct config *c, const struct rule *r, struct buf *out)
{
	(void)buf_addc(out, '[');
	for (size_t i = 0; i < r->n_quotas; i++) {
		(void)buf_adds(out, i == 0 ? "" : ", ");
		put_text(out, c->quotas[r->quota[i]].name);
	}
	(void)buf_addc(out, ']');
}

void
param_put_quantity(struct buf *out, const struct param *p, uint64_t n)
{
	if (p->type == PARAM_SIZE || p->type == PARAM_RATE)
		units_put_size(out, n);
	else if (p->type == PARAM_DURATION)
		units_put_duration(out, n);
	else
		(void)buf_addf(out, "%" PRIu64 "%s", n, p->type == PARAM_PERCENT ? " %" : "");
}

static void
put_quantity(const struct param *p, const char *at, struct buf *out)
{
	uint64_t wide;
	uint32_t narrow;

	if (p->type == PARAM_SIZE || p->type == PARAM_RATE) {
		memcpy(&wide, at, sizeof(wide));
	} else {
		memcpy(&narrow, at, sizeof(narrow));
		wide = narrow;
	}
	if (p->type != PARAM_INTEGER)
		(void)buf_addc(out, '"');
	param_put_quantity(out, p, wide);
	if (p->type != PARAM_INTEGER)
		(void)buf_addc(out, '"');
}

static void
put_word(const struct param *p, const char *at, struct buf *out)
{
	unsigned place = 0;
	bool yes;

	if (p->type == PARAM_WORD) {
		memcpy(&place, at, sizeof(place));
	} else if (p->type == PARAM_WORD_BOOL) {
		memcpy(&yes, at, sizeof(yes));
		place = yes ? 1 : 0;
	}
	put_text(out, p->words[place]);
}

static void put_rows(const struct config *c, const struct param *p, const char *base,
    unsigned depth, struct buf *out);

static void
put_value(const struct config *c, const struct param *p, const char *base, unsigned depth,
    struct buf *out)
{
	const char *at = base + p->offset;
	const struct strs *list = (const struct strs *)(const void *)at;
	bool yes;

	switch (p->type) {
	case PARAM_STRING:
	case PARAM_OPTIONAL:
	case PARAM_PATH:
	case PARAM_WORD_STRING:
		put_text(out, *(char *const *)(const void *)at);
		break;
	case PARAM_PATH_LIST:
		put_text(out, list->n == 0 ? "" : list->v[0]);
		break;
	case PARAM_SIZE:
	case PARAM_RATE:
	case PARAM_DURATION:
	case PARAM_INTEGER:
	case PARAM_PERCENT:
		put_quantity(p, at, out);
		break;
	case PARAM_BOOL:
		memcpy(&yes, at, sizeof(yes));
		(void)buf_adds(out, yes ? "true" : "false");
		break;
	case PARAM_WORD:
	case PARAM_WORD_BOOL:
	case PARAM_WORD_ONLY:
		put_word(p, at, out);
		break;
	case PARAM_STRINGS:
		put_strings(list, out);
		break;
	case PARAM_NAMES:
		put_names(list, out);
		break;
	case PARAM_LIMITS:
		put_limits(p, (const struct quota_set *)(const void *)base, out);
		break;
	case PARAM_QUOTAS:
		put_quotas(c, (const struct rule *)(const void *)base, out);
		break;
	case PARAM_ROWS:
	case PARAM_MAP:
		put_rows(c, p, base, depth, out);
		break;
	}
}

static void
put_row(const struct config *c, const struct param_rows *rows, const char *row, unsigned depth,
    struct buf *out)
{
	if (rows->n == 1 && (rows->param[0].flags & PARAM_ITSELF) != 0) {
		put_value(c, &rows->param[0], row, depth, out);
		return;
	}
	(void)buf_addc(out, '{');
	for (size_t i = 0; i < rows->n; i++) {
		(void)buf_adds(out, i == 0 ? "" : ",");
		indent(out, depth + 1);
		put_text(out, rows->param[i].path);
		(void)buf_adds(out, ": ");
		put_value(c, &rows->param[i], row, depth + 1, out);
	}
	indent(out, depth);
	(void)buf_addc(out, '}');
}

static void
put_rows(const struct config *c, const struct param *p, const char *base, unsigned depth,
    struct buf *out)
{
	const struct param_rows *rows = p->rows;
	bool map = p->type == PARAM_MAP;
	const char *block, *key;
	size_t n;

	memcpy(&block, base + p->offset, sizeof(block));
	memcpy(&n, base + rows->count_offset, sizeof(n));
	(void)buf_addc(out, map ? '{' : '[');
	for (size_t i = 0; i < n; i++) {
		(void)buf_adds(out, i == 0 ? "" : ",");
		indent(out, depth + 1);
		if (map) {
			memcpy(&key, block + i * rows->size, sizeof(key));
			put_text(out, key);
			(void)buf_adds(out, ": ");
		}
		put_row(c, rows, block + i * rows->size, depth + 1, out);
	}
	if (n > 0)
		indent(out, depth);
	(void)buf_addc(out, map ? '}' : ']');
}

void
dump_value(const struct config *c, const struct param *p, const void *base, struct buf *out)
{
	put_value(c, p, base, 0, out);
}

/* Of "eodag.timeout" the "eodag"; "" where there is no section. */
static size_t
section_len(const char *path)
{
	const char *dot = strchr(path, '.');

	return dot == NULL ? 0 : (size_t)(dot - path);
}

void
dump_write(const struct config *c, bool sealed, struct buf *out)
{
	const char *path, *open = "";
	size_t open_len = 0, len;

	(void)buf_addc(out, '{');
	if (sealed) {
		(void)buf_addf(out,
		    "\n    \"sealed\": { \"generation\": %" PRIu64 ", \"stac_headers\": ",
		    c->generation);
		put_strings(&c->stac_headers, out);
		(void)buf_adds(out, " },");
	}
	for (size_t i = 0; i < config_params_n; i++) {
		path = config_params[i].path;
		len = section_len(path);
		if (open_len > 0 && (len != open_len || strncmp(path, open, len) != 0)) {
			indent(out, 1);
			(void)buf_addc(out, '}');
			open_len = 0;
		}
		(void)buf_adds(out, i == 0 ? "" : ",");
		if (len > 0 && open_len == 0) {
			indent(out, 1);
			text_json(out, path, len);
			(void)buf_adds(out, ": {");
			open = path;
			open_len = len;
		}
		indent(out, len > 0 ? 2 : 1);
		put_text(out, len > 0 ? path + len + 1 : path);
		(void)buf_adds(out, ": ");
		put_value(c, &config_params[i], (const char *)c, len > 0 ? 2 : 1, out);
	}
	if (open_len > 0) {
		indent(out, 1);
		(void)buf_addc(out, '}');
	}
	(void)buf_adds(out, "\n}\n");
}

void
config_dump(const struct config *c, struct buf *out)
{
	dump_write(c, false, out);
}
