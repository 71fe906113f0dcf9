/* SPDX-License-Identifier: Apache-2.0
 *
 * What counters_memcached.c and counters_epoch.c share; nobody else's.
 */
#ifndef QUOTA_PRIVATE_H
#define QUOTA_PRIVATE_H

#include "quota/counters.h"

enum { MARK_KEY_SIZE = 40, NUMBER_TEXT_MAX = 64 };	/* a longer value is no number */

/* From here on a value is nonsense: nothing that we add gets there. */
#define COUNTERS_VALUE_MAX ((uint64_t)1 << 63)

/* What a server says to one command. */
struct mcc_answer {
	struct mc_reply reply;
	char text[NUMBER_TEXT_MAX];
};

struct mcc_mark {
	char key[MARK_KEY_SIZE];	/* under which the server keeps its epoch */
	bool asked;			/* in this run, last */
	struct mcc_answer answer;
};

struct mcc {
	struct counters base;
	struct mc *mc;
	uint64_t epoch;			/* of the counters; 0: to be asked for */
	bool fixed;			/* it is given, whatever the marks say */
	char space[24];			/* what the keys of that epoch begin with */
	struct mcc_mark *mark;		/* of each server */
	struct mcc_answer answer[COUNTERS_MAX];
};

void mcc_set_epoch(struct mcc *s, uint64_t epoch);	/* 0: unknown */
/* Another command of the block, whose answer is text: append it to what this returns. */
struct buf *mcc_ask(struct mcc *s, size_t server, struct mcc_answer *a);
/* A value as memcached keeps it; UINT64_MAX for nonsense. */
uint64_t mcc_value_parse(const char *p, size_t n);
/* The keys of the marks: by all servers, in whatever order, and this one of them. */
void mcc_name_marks(struct mcc *s, const struct strs *servers);

#endif
