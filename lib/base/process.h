/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process has for itself: its pid and its random bytes, without a
 * system call for each use.  Made anew in a child after fork(3).
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include "base/base.h"

pid_t process_pid(void);
/* n random bytes (getrandom), at most PROCESS_RANDOM_MAX.  Each byte is given out once. */
enum { PROCESS_RANDOM_MAX = 256 };
void process_random(void *dst, size_t n);

#endif
