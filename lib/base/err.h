/* SPDX-License-Identifier: Apache-2.0
 *
 * The error object that fallible functions fill.  Library code returns it
 * and does not log; the role that can tell the operator logs once.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

enum { ERR_TEXT_MAX = 400 };

struct err {
	int sys;		/* errno of the cause, 0 when there is none */
	char text[ERR_TEXT_MAX];	/* lower case, no full stop, never a secret */
};

#define ERR_NONE { 0, "" }

/* Fill e (NULL is allowed).  Always return -1, so "return err_set(...)". */
int err_set(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same, with ": " and the text of errnum behind. */
int err_sys(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Put text in front of what e holds already. */
void err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
