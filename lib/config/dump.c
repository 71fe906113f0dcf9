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
put_lifetime(const char *at, struct buf *out)
{
	uint32_t days;

	memcpy(&days, at, sizeof(days));
	(void)buf_addc(out, '"');
	units_put_lifetime(out, days);
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
		put_word(p, at, out);
		break;
	case PARAM_STRINGS:
		put_strings(list, out);
		break;
	case PARAM_LIFETIME:
		put_lifetime(at, out);
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

/* Of "eodag.timeout" the "eodag."; 0 where there is no section. */
static size_t
sections_len(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot == NULL ? 0 : (size_t)(dot + 1 - path);
}

static unsigned
depth_of(const char *sections, size_t len)
{
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++)
		depth += sections[i] == '.' ? 1 : 0;
	return depth;
}

/* Ends the sections from the depth to the other. */
static void
close_sections(unsigned from, unsigned to, struct buf *out)
{
	for (; from > to; from--) {
		indent(out, from);
		(void)buf_addc(out, '}');
	}
}

void
dump_write(const struct config *c, bool sealed, struct buf *out)
{
	const char *path, *open = "", *dot;
	size_t open_len = 0, len, common;
	unsigned depth = 0;

	(void)buf_addc(out, '{');
	if (sealed) {
		(void)buf_addf(out,
		    "\n    \"sealed\": { \"generation\": %" PRIu64 ", \"stac_headers\": ",
		    c->generation);
		put_strings(&c->stac_headers, out);
		(void)buf_adds(out, ", \"memory_secret\": ");
		put_strings(&c->s3_memory_secret, out);
		(void)buf_adds(out, ", \"s3_keys\": ");
		put_strings(&c->s3_keys, out);
		(void)buf_adds(out, " },");
	}
	for (size_t i = 0; i < config_params_n; i++) {
		path = config_params[i].path;
		len = sections_len(path);
		common = 0;
		for (size_t j = 0; j < len && j < open_len && path[j] == open[j]; j++)
			common = path[j] == '.' ? j + 1 : common;
		close_sections(depth, depth_of(path, common), out);
		depth = depth_of(path, common);
		(void)buf_adds(out, i == 0 ? "" : ",");
		for (; common < len; common = (size_t)(dot + 1 - path)) {
			dot = strchr(path + common, '.');
			indent(out, ++depth);
			text_json(out, path + common, (size_t)(dot - path) - common);
			(void)buf_adds(out, ": {");
		}
		open = path;
		open_len = len;
		indent(out, depth + 1);
		put_text(out, path + len);
		(void)buf_adds(out, ": ");
		put_value(c, &config_params[i], (const char *)c, depth + 1, out);
	}
	close_sections(depth, 0, out);
	(void)buf_adds(out, "\n}\n");
}

void
config_dump(const struct config *c, struct buf *out)
{
	dump_write(c, false, out);
}
