/* SPDX-License-Identifier: Apache-2.0
 *
 * A binary heap of deadlines.  It holds pointers; the owner of each removes
 * it before it goes.  The mover.
 */
#include "base/base.h"

#include "net/deadline.h"

#include <stdlib.h>

void
deadlines_release(struct deadlines *h)
{
	free(h->v);
	*h = (struct deadlines){ .v = NULL };
}

static void
put(struct deadlines *h, size_t place, struct deadline *d)
{
	h->v[place] = d;
	d->place = place;
}

/* Move d from an empty place up or down to where it belongs. */
static void
settle(struct deadlines *h, size_t place, struct deadline *d)
{
	size_t child;

	while (place > 1 && h->v[place / 2]->at_mono_ms > d->at_mono_ms) {
		put(h, place, h->v[place / 2]);
		place /= 2;
	}
	for (child = 2 * place; child <= h->n; child = 2 * place) {
		if (child < h->n && h->v[child + 1]->at_mono_ms < h->v[child]->at_mono_ms)
			child++;
		if (h->v[child]->at_mono_ms >= d->at_mono_ms)
			break;
		put(h, place, h->v[child]);
		place = child;
	}
	put(h, place, d);
}

void
deadlines_set(struct deadlines *h, struct deadline *d, int64_t at_mono_ms)
{
	d->at_mono_ms = at_mono_ms;
	if (d->place == 0) {
		if (h->n + 1 >= h->cap) {
			h->cap = h->cap == 0 ? 64 : 2 * h->cap;
			h->v = mem_realloc(h->v, h->cap * sizeof(*h->v));
		}
		h->n++;
		d->place = h->n;
	}
	settle(h, d->place, d);
}

void
deadlines_remove(struct deadlines *h, struct deadline *d)
{
	struct deadline *last;
	size_t place = d->place;

	if (place == 0)
		return;
	d->place = 0;
	last = h->v[h->n];
	h->n--;
	if (last != d)
		settle(h, place, last);
}

struct deadline *
deadlines_first(const struct deadlines *h)
{
	return h->n == 0 ? NULL : h->v[1];
}
