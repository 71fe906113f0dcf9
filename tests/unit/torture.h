/* SPDX-License-Identifier: Apache-2.0
 *
 * F9, memory: the n-th allocation fails, for every n, and once all after it do.
 * Each round is a process of its own.  It must end in one of three ways: the
 * thing is whole and right, it is refused with a reason, or the process ends
 * with 71 (mem_alloc and its like).  Never with half a thing, a signal or
 * another status.  Link with -Wl,--wrap=malloc, calloc and realloc.
 */
#ifndef TESTS_UNIT_TORTURE_H
#define TESTS_UNIT_TORTURE_H

#include "unit.h"

enum { WHOLE = 0, REFUSED = 3, WRONG = 4 };

/* f gives one of these.  What it compares with is made before. */
void torture(const char *what, int (*f)(void));
void torture_ours(const char *what, int (*f)(void));	/* what libraries ask for is granted */
/* Nothing fails between these two: to make what is tortured, or to look at it.  Pairs nest. */
bool torture_pause(void);
void torture_go_on(bool was);

#endif
