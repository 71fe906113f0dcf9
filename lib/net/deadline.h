/* SPDX-License-Identifier: Apache-2.0
 *
 * Deadlines of many, the nearest first: a binary heap.
 */
#ifndef NET_DEADLINE_H
#define NET_DEADLINE_H

#include "base/base.h"

struct deadline {
	int64_t at_mono_ms;
	size_t place;		/* 1-based in the heap; 0 = not in it */
	void (*fn)(void *arg);	/* what is to be done then, by whom the heap belongs to */
	void *arg;
};

struct deadlines {
	struct deadline **v;	/* v[0] is not used */
	size_t n, cap;
};

void deadlines_release(struct deadlines *h);
/* Put d in, or move it. */
void deadlines_set(struct deadlines *h, struct deadline *d, int64_t at_mono_ms);
void deadlines_remove(struct deadlines *h, struct deadline *d);	/* fine when it is not in */
struct deadline *deadlines_first(const struct deadlines *h);	/* NULL when empty */

#endif
