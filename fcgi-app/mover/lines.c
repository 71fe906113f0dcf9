/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of those who wait.  Mover.
 */
#include "base/base.h"

#include "mover/lines.h"

#include <stdlib.h>
#include <string.h>

struct line {
	UT_hash_handle hh;
	TAILQ_ENTRY(line) link;		/* in the round */
	TAILQ_HEAD(, waiter) waiting;
	char user[];
};

void
lines_init(struct lines *l)
{
	l->users = NULL;
	l->n = 0;
	TAILQ_INIT(&l->round);
}

void
lines_add(struct lines *l, struct waiter *w, const char *user)
{
	struct line *line;

	MUST(w->line == NULL);
	HASH_FIND_STR(l->users, user, line);
	if (line == NULL) {
		line = mem_alloc(sizeof(*line) + strlen(user) + 1);
		memcpy(line->user, user, strlen(user) + 1);
		TAILQ_INIT(&line->waiting);
		HASH_ADD_STR(l->users, user, line);
		TAILQ_INSERT_TAIL(&l->round, line, link);
	}
	TAILQ_INSERT_TAIL(&line->waiting, w, link);
	w->line = line;
	l->n++;
}

struct waiter *
lines_first(const struct lines *l)
{
	return TAILQ_EMPTY(&l->round) ? NULL : TAILQ_FIRST(&TAILQ_FIRST(&l->round)->waiting);
}

struct waiter *
lines_take(struct lines *l)
{
	struct line *line = TAILQ_FIRST(&l->round);
	struct waiter *w = lines_first(l);

	if (w == NULL)
		return NULL;
	TAILQ_REMOVE(&l->round, line, link);
	TAILQ_INSERT_TAIL(&l->round, line, link);
	lines_remove(l, w);
	return w;
}

void
lines_remove(struct lines *l, struct waiter *w)
{
	struct line *line = w->line;

	if (line == NULL)
		return;
	TAILQ_REMOVE(&line->waiting, w, link);
	w->line = NULL;
	l->n--;
	if (!TAILQ_EMPTY(&line->waiting))
		return;
	TAILQ_REMOVE(&l->round, line, link);
	HASH_DEL(l->users, line);
	free(line);
}
