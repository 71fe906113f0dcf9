/* SPDX-License-Identifier: Apache-2.0
 *
 * Step 7: the text of an answer.  Pure.
 */
#ifndef WORKER_ANSWER_H
#define WORKER_ANSWER_H

#include "worker/decide.h"

enum { REPLY_MAX = 4 << 20 };	/* metrics of a scoreboard that is full to the last slot */

/*
 * Append the answer to what was decided: every kind but OWN, STREAM and MISS.
 * Returns its status.
 */
int answer_decision(struct buf *out, const struct config *c, struct decision *d, const struct request *r, bool head);
/* Append a plain answer of one of our own routes. */
void answer_own(struct buf *out, const struct request *r, int status, const char *media_type, const char *body,
    size_t n, bool head);

#endif
