/* SPDX-License-Identifier: Apache-2.0
 *
 * The first pass over the configuration text.  A recursive descent whose
 * depth is bounded, over RFC 8259 with comments.  What it accepts is a subset
 * of what every JSON parser accepts: no escapes in member names (so that equal
 * names are equal bytes), no lone surrogates, no NUL.  Runs in the master and,
 * over the master's own text, in every child.
 */
#include "base/base.h"

#include "config/scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

struct scanner {
	struct scan *s;
	char *p, *end; /* in s->text */
	unsigned line;
	const char *line_start;
	struct err *e;
};

static int value(struct scanner *c, uint32_t node, unsigned depth);

static int
fault(struct scanner *c, const char *what)
{
	return err_set(
	    c->e, "line %u, column %zu: %s", c->line, (size_t)(c->p - c->line_start) + 1, what);
}

static void
newline(struct scanner *c)
{
	c->line++;
	c->line_start = c->p + 1;
}

/* At a slash: blank the comment.  Line ends stay, so that lines keep their numbers. */
static int
comment(struct scanner *c)
{
	if (c->p + 1 < c->end && c->p[1] == '/') {
		while (c->p < c->end && *c->p != '\n')
			*c->p++ = ' ';
		return 0;
	}
	if (c->p + 1 >= c->end || c->p[1] != '*')
		return fault(c, "a slash that begins no comment");
	*c->p++ = ' ';
	*c->p++ = ' ';
	for (;;) {
		if (c->p + 1 >= c->end)
			return fault(c, "a comment that does not end");
		if (c->p[0] == '*' && c->p[1] == '/')
			break;
		if (*c->p == '\n')
			newline(c);
		else
			*c->p = ' ';
		c->p++;
	}
	*c->p++ = ' ';
	*c->p++ = ' ';
	return 0;
}

/* White space and comments.  0 and something follows, or -1 and e. */
static int
blanks(struct scanner *c)
{
	while (c->p < c->end) {
		if (*c->p == '\n')
			newline(c);
		if (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r')
			c->p++;
		else if (*c->p != '/')
			return 0;
		else if (comment(c) < 0)
			return -1;
	}
	return 0;
}

static int
blanks_to_more(struct scanner *c)
{
	if (blanks(c) < 0)
		return -1;
	return c->p < c->end ? 0 : fault(c, "the text ends too early");
}

static int
hex4(struct scanner *c, unsigned *ret)
{
	uint8_t raw[2];

	if (c->end - c->p < 4 || text_unhex(c->p, 4, raw, 2) < 0)
		return fault(c, "'\\u' wants four hex digits");
	*ret = (unsigned)raw[0] << 8 | raw[1];
	c->p += 4;
	return 0;
}

/* Behind a backslash. */
static int
escape(struct scanner *c)
{
	unsigned unit, low;

	if (c->p >= c->end)
		return fault(c, "a string that does not end");
	if (*c->p != '\0' && strchr("\"\\/bfnrt", *c->p) != NULL) {
		c->p++;
		return 0;
	}
	if (*c->p != 'u')
		return fault(c, "an unknown escape in a string");
	c->p++;
	if (hex4(c, &unit) < 0)
		return -1;
	if (unit == 0)
		return fault(c, "a NUL in a string");
	if (unit < 0xd800 || unit > 0xdfff)
		return 0;
	if (unit > 0xdbff || c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
		return fault(c, "half a surrogate pair in a string");
	c->p += 2;
	if (hex4(c, &low) < 0)
		return -1;
	return low >= 0xdc00 && low <= 0xdfff ? 0 : fault(c, "half a surrogate pair in a string");
}

/* At the opening quote; stops behind the closing one. */
static int
string(struct scanner *c)
{
	c->p++;
	while (c->p < c->end && *c->p != '"') {
		if ((uint8_t)*c->p < 0x20)
			return fault(
			    c, "a raw control byte in a string (a quote that is not closed?)");
		if (*c->p++ == '\\' && escape(c) < 0)
			return -1;
	}
	if (c->p >= c->end)
		return fault(c, "a string that does not end");
	c->p++;
	return 0;
}

static size_t
digits(struct scanner *c)
{
	const char *start = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return (size_t)(c->p - start);
}

static int
number(struct scanner *c)
{
	if (*c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else if (digits(c) == 0)
		return fault(c, "not a number");
	if (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		return fault(c, "a number with a leading zero");
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (digits(c) == 0)
			return fault(c, "a number that ends in a point");
	}
	if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (digits(c) == 0)
			return fault(c, "a number without its exponent");
	}
	return 0;
}

static int
word(struct scanner *c)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		len = strlen(words[i]);
		if ((size_t)(c->end - c->p) >= len && memcmp(c->p, words[i], len) == 0) {
			c->p += len;
			return 0;
		}
	}
	if (*c->p == '\'')
		return fault(c, "single quotes (strings want double ones)");
	if (*c->p == ',' || *c->p == ']' || *c->p == '}')
		return fault(c, "a value is missing (a comma too many?)");
	return fault(c, "no value begins like this");
}

static size_t
bucket_of(const struct scan *s, uint32_t parent, const char *name, size_t len, size_t index)
{
	uint64_t h = 14695981039346656037ULL ^ parent;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 1099511628211ULL;
	h = (h ^ index) * 1099511628211ULL;
	return (size_t)((h ^ h >> 32) % s->buckets);
}

static bool
node_is(const struct scan *s, const struct scan_node *n, uint32_t parent, const char *name,
    size_t len, size_t index)
{
	if (n->parent != parent || n->member != (name != NULL))
		return false;
	if (name == NULL)
		return n->index == index;
	return n->name_len == len && memcmp(s->text + n->name, name, len) == 0;
}

static uint32_t
find(const struct scan *s, uint32_t parent, const char *name, size_t len, size_t index)
{
	uint32_t i;

	if (s->buckets == 0)
		return 0;
	for (i = s->bucket[bucket_of(s, parent, name, len, index)]; i != 0; i = s->node[i].next) {
		if (node_is(s, &s->node[i], parent, name, len, index))
			return i;
	}
	return 0;
}

static void
link_node(struct scan *s, uint32_t i)
{
	struct scan_node *n = &s->node[i];
	size_t b =
	    bucket_of(s, n->parent, n->member ? s->text + n->name : NULL, n->name_len, n->index);

	n->next = s->bucket[b];
	s->bucket[b] = i;
}

static void
grow(struct scan *s)
{
	s->cap = s->cap == 0 ? 256 : s->cap * 2;
	s->node = mem_realloc(s->node, s->cap * sizeof(*s->node));
	free(s->bucket);
	s->buckets = s->cap * 2;
	s->bucket = mem_alloc(s->buckets * sizeof(*s->bucket));
	for (size_t i = 1; i < s->n; i++)
		link_node(s, (uint32_t)i);
}

/* name: into the text, or NULL for an element.  0 when there are too many. */
static uint32_t
add_node(struct scanner *c, uint32_t parent, const char *name, size_t len, size_t index)
{
	struct scan *s = c->s;
	struct scan_node n = {
		.parent = parent, .index = (uint32_t)index, .line = c->line, .member = name != NULL
	};

	if (s->n >= s->max) {
		(void)fault(c, "more values than a configuration can have");
		return 0;
	}
	if (s->n == s->cap)
		grow(s);
	if (name != NULL) {
		n.name = (uint32_t)(name - s->text);
		n.name_len = (uint32_t)len;
		n.twice = find(s, parent, name, len, index) != 0;
	}
	s->node[s->n] = n;
	if (!n.twice)
		link_node(s, (uint32_t)s->n);
	return (uint32_t)s->n++;
}

/* At the quote of a member's name; stops behind the colon. */
static int
member_name(struct scanner *c, const char **ret, size_t *ret_len)
{
	const char *start;
	size_t len;

	if (*c->p != '"')
		return fault(c, *c->p == '}' ? "a comma too many"
					     : "a member's name in double quotes is wanted");
	start = c->p + 1;
	if (string(c) < 0)
		return -1;
	len = (size_t)(c->p - start) - 1;
	if (len > SCAN_NAME_MAX)
		return fault(c, "a member's name that is too long");
	if (memchr(start, '\\', len) != NULL)
		return fault(c, "an escape in a member's name");
	if (blanks_to_more(c) < 0)
		return -1;
	if (*c->p != ':')
		return fault(c, "a colon is missing");
	c->p++;
	*ret = start;
	*ret_len = len;
	return 0;
}

/* Behind a value: 1 when another follows, 0 at the end (consumed), -1. */
static int
separator(struct scanner *c, char close)
{
	if (blanks_to_more(c) < 0)
		return -1;
	if (*c->p == close) {
		c->p++;
		return 0;
	}
	if (*c->p != ',')
		return fault(c, "a comma is missing");
	c->p++;
	return blanks_to_more(c) < 0 ? -1 : 1;
}

static int
container(struct scanner *c, uint32_t node, unsigned depth, char close)
{
	const char *name = NULL;
	size_t len = 0, index = 0;
	uint32_t child;
	int more;

	if (depth >= SCAN_DEPTH_MAX)
		return fault(c, "nested too deep");
	c->p++;
	if (blanks_to_more(c) < 0)
		return -1;
	if (*c->p == close) {
		c->p++;
		return 0;
	}
	do {
		if (close == '}' && member_name(c, &name, &len) < 0)
			return -1;
		if (close == ']' && *c->p == ']')
			return fault(c, "a comma too many");
		child = add_node(c, node, name, len, close == ']' ? index : 0);
		if (child == 0)
			return -1;
		index++;
		if (blanks_to_more(c) < 0 || value(c, child, depth + 1) < 0)
			return -1;
		more = separator(c, close);
	} while (more > 0);
	return more;
}

static int
value(struct scanner *c, uint32_t node, unsigned depth)
{
	c->s->node[node].line = c->line;
	switch (*c->p) {
	case '{':
		return container(c, node, depth, '}');
	case '[':
		return container(c, node, depth, ']');
	case '"':
		return string(c);
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		return number(c);
	default:
		return word(c);
	}
}

int
scan_json(struct scan *s, const char *text, size_t len, size_t nodes_max, struct err *e)
{
	struct scanner c = { .s = s, .line = 1, .e = e };
	size_t valid;

	*s = (struct scan){ .len = len, .max = nodes_max };
	if (len > UINT32_MAX / 2)
		return err_set(e, "line 1, column 1: the text is too long");
	s->text = mem_alloc(len + 1);
	if (len > 0)
		memcpy(s->text, text, len);
	c.p = s->text;
	c.line_start = c.p;
	c.end = c.p + len;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		return fault(&c, "a byte order mark");
	valid = text_utf8_len(text, len);
	if (valid < len) {
		for (; c.p < s->text + valid; c.p++) {
			if (*c.p == '\n')
				newline(&c);
		}
		return fault(&c, "the text is not UTF-8");
	}
	(void)add_node(&c, 0, NULL, 0, SIZE_MAX); /* the document: always fits */
	if (blanks_to_more(&c) < 0)
		return -1;
	if (*c.p != '{')
		return fault(&c, "the configuration is one object, '{ ... }'");
	if (value(&c, 0, 0) < 0 || blanks(&c) < 0)
		return -1;
	return c.p == c.end ? 0 : fault(&c, "something follows the end");
}

void
scan_release(struct scan *s)
{
	if (s == NULL)
		return;
	free(s->text);
	free(s->node);
	free(s->bucket);
	*s = (struct scan){ 0 };
}

/* The node of a frame, 0 when unknown (or the document). */
static uint32_t
node_of(const struct scan *s, const struct at *at)
{
	uint32_t parent = 0;

	if (at == NULL)
		return 0;
	if (at->up != NULL) {
		parent = node_of(s, at->up);
		if (parent == 0)
			return 0;
	}
	return find(s, parent, at->name, at->name == NULL ? 0 : strlen(at->name),
	    at->name == NULL ? at->index : 0);
}

unsigned
scan_line(const struct scan *s, const struct at *at)
{
	uint32_t i = node_of(s, at);

	/* a member that is not there: the line of what should hold it */
	while (i == 0 && at != NULL) {
		at = at->up;
		i = node_of(s, at);
	}
	return i == 0 ? 0 : s->node[i].line;
}

static void
put_step(struct buf *out, bool first, const char *name, size_t len, size_t index)
{
	if (name == NULL) {
		(void)buf_addf(out, "[%zu]", index);
		return;
	}
	if (!first)
		(void)buf_addc(out, '.');
	if (len == 0)
		(void)buf_adds(out, "\"\"");
	else
		text_esc(out, name, len, SCAN_NAME_MAX);
}

static void
put_node(const struct scan *s, size_t i, struct buf *out)
{
	const struct scan_node *n = &s->node[i];

	if (i == 0)
		return;
	put_node(s, n->parent, out); /* as deep as the text was: bounded */
	put_step(out, n->parent == 0, n->member ? s->text + n->name : NULL, n->name_len, n->index);
}

void
scan_path(const struct scan *s, size_t i, struct buf *out)
{
	put_node(s, i, out);
}

void
at_path(const struct at *at, struct buf *out)
{
	if (at == NULL)
		return;
	at_path(at->up, out);
	put_step(out, at->up == NULL, at->name, at->name == NULL ? 0 : strlen(at->name), at->index);
}
