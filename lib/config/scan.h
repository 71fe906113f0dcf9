/* SPDX-License-Identifier: Apache-2.0
 *
 * A first pass over the configuration text, before json-c sees it.  json-c
 * lets too much through and tells no positions: here comments become blanks,
 * everything that is not strict JSON is refused, duplicate members are found,
 * and the line of every value is kept.  Pure.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

#include "base/buf.h"
#include "base/err.h"

enum {
	SCAN_DEPTH_MAX = 16,
	SCAN_NAME_MAX = 256,	/* bytes of a member's name */
};

/* Where a value stands; frames live on the stacks of those who walk. */
struct at {
	const struct at *up;	/* NULL: the whole document */
	const char *name;	/* member name, or NULL in an array */
	size_t index;
};

struct scan_node {
	uint32_t parent, name, name_len, index, line, next;
	bool member;
	bool twice;		/* the name was there before in its object */
};

struct scan {
	char *text;		/* len bytes and a NUL: strict JSON, comments blank */
	size_t len;
	struct scan_node *node;	/* node 0 is the document; in order of appearance */
	size_t n, cap, max;
	uint32_t *bucket;	/* by (parent, name or index); 0 = none */
	size_t buckets;
};

/* 0, or -1 and e ("line 3, column 7: ..."): the first fault of the syntax. */
int scan_json(struct scan *s, const char *text, size_t len, size_t nodes_max, struct err *e);
void scan_release(struct scan *s);
/* Line of a value, 0 when unknown. */
unsigned scan_line(const struct scan *s, const struct at *at);
/* The path of node i, "rules[3].delivery". */
void scan_path(const struct scan *s, size_t i, struct buf *out);
/* The same of a frame. */
void at_path(const struct at *at, struct buf *out);

#endif
