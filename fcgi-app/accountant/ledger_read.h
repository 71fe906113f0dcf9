/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger, read again: what each line charged whom.  Accountant only.
 */
#ifndef ACCOUNTANT_LEDGER_READ_H
#define ACCOUNTANT_LEDGER_READ_H

#include "quota/charge.h"

struct ledger_reader;

/* A line without its newline, as ledger_line writes it: 0, or -1 for anything else.  The id is not kept. */
int ledger_line_parse(const char *line, size_t n, struct charge *ret, uint64_t ret_actual[QUOTA_KINDS]);

/* From the day of since_ms (wall clock) on. */
struct ledger_reader *ledger_reader_new(const char *dir_state, int64_t since_ms);
void ledger_reader_free(struct ledger_reader *r);
/* 1: the next charge; 0: there is none, yet (ask again); -1 and e: a file cannot be read. */
int ledger_reader_next(struct ledger_reader *r, struct charge *ret, uint64_t ret_actual[QUOTA_KINDS], struct err *e);
uint64_t ledger_reader_lines(const struct ledger_reader *r);	/* charges so far */
uint64_t ledger_reader_skipped(const struct ledger_reader *r);	/* what was none: cut by a crash, or not ours */

#endif
