/* SPDX-License-Identifier: Apache-2.0
 *
 * Time, in milliseconds.  Tests move it through the hook.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

int64_t clock_mono_ms(void);	/* CLOCK_MONOTONIC: for deadlines */
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void);	/* since the epoch, UTC: for dates and windows */
/* For tests: add to both clocks from now on.  0 resets. */
void clock_shift_ms(int64_t by_ms);

#endif
