/* SPDX-License-Identifier: Apache-2.0
 *
 * Time with a hook for tests.  Every process.
 */
#include "base/base.h"

#include "base/clock.h"

#include <time.h>

static int64_t shift_ms;

static int64_t
now_us(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);	/* cannot fail for these clocks */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 + shift_ms * 1000;
}

int64_t
clock_mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

int64_t
clock_mono_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000;
}

void
clock_shift_ms(int64_t by_ms)
{
	shift_ms = by_ms == 0 ? 0 : shift_ms + by_ms;
}
