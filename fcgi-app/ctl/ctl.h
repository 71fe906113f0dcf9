/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of eodata-proxyctl share.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "base/base.h"

/* "eodata-proxyctl: " and the message on standard error.  Returns 1, as what failed exits. */
int complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Is all that was printed out?  0, or 1 and told: a full disk, a pipe that nobody reads. */
int finish_output(void);
/* What a person may read of an argument: text itself, or where it is empty, is no UTF-8 or has control bytes, escaped in dst. */
const char *readable(char *dst, size_t cap, const char *text);
/* From now on SIGINT, SIGTERM and SIGHUP are remembered, no more.  Who ignores one (nohup) goes on to. */
void catch_interrupts(void);
bool was_interrupted(void);

#endif
