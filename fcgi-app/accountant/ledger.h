/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger: {dir_state}/ledger/YYYY-MM-DD.jsonl (UTC day of writing), one
 * JSON line per settled charge, only ever appended to.  Lines that cannot be
 * written wait in memory, in their order; the caller stops taking charges
 * while ledger_full.  Accountant only.
 *
 * A line goes out in one write(2).  Where a write was cut short, or the
 * process died in it, the next one begins with a newline, so a reader skips
 * what is no JSON and each charge is there once; also where another accountant
 * wrote it, which there is while an upgrade drains.
 */
#ifndef ACCOUNTANT_LEDGER_H
#define ACCOUNTANT_LEDGER_H

#include "ipc/account.h"

enum {
	LEDGER_LINE_MAX = 256 * 1024,		/* bytes; a message with every byte escaped fits */
	LEDGER_QUEUE_MAX = 8 * 1024 * 1024,	/* bytes waiting; past it ledger_full */
};

struct ledger;

struct ledger *ledger_new(const char *dir_state);
void ledger_free(struct ledger *l);		/* what waits is lost: look at ledger_queued first */

/* Append the line of a settled charge to out, with its newline. */
void ledger_line(struct buf *out, const struct account_settle *s, bool counted, int64_t now_ms);

/*
 * Is this line, but for the time of its writing, among the last of the ledger already?  For an
 * accountant that takes over from one that died as it wrote; in an upgrade there is another one that writes.
 */
bool ledger_has(struct ledger *l, const char *line, size_t n);
/* Take a line (it ends with a newline) to be written by ledger_flush. */
void ledger_add(struct ledger *l, const char *line, size_t n);
/* Write what waits.  0: nothing waits any more.  -1 and e: the rest waits on. */
int ledger_flush(struct ledger *l, struct err *e);
/* Bring written lines to the disk.  Blocks shortly.  0, or -1 and e. */
int ledger_sync(struct ledger *l, struct err *e);
size_t ledger_queued(const struct ledger *l);	/* lines */
size_t ledger_queued_bytes(const struct ledger *l);
bool ledger_full(const struct ledger *l);

#endif
