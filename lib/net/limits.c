/* SPDX-License-Identifier: Apache-2.0
 *
 * Time limits of a fetch.  Until the answer's headers are here: the first
 * byte, over all redirects.  After that: the lowest speed, over a window that
 * moves by quarters.  Time in which we pause the provider does not count,
 * which is why libcurl's own limit is not used: its clock runs on through a
 * pause that began slowly, and its average takes the pause in.  The mover.
 */
#include "base/base.h"

#include "net/private.h"

#include <string.h>

#include "base/clock.h"

static int64_t
quarter_ms(const struct fetch *f)
{
	int64_t q = f->net->config->low_speed_time_ms / LOW_SPEED_SLOTS;

	return q < 1 ? 1 : q;
}

void
limits_start(struct fetch *f, int64_t caller_deadline_mono_ms)
{
	int64_t at = clock_mono_ms() + f->net->config->first_byte_timeout_ms;

	if (caller_deadline_mono_ms != 0 && caller_deadline_mono_ms < at)
		at = caller_deadline_mono_ms;
	deadlines_set(&f->net->deadlines, &f->deadline, at);
}

void
limits_body(struct fetch *f)
{
	const struct config *c = f->net->config;

	deadlines_remove(&f->net->deadlines, &f->deadline);
	if (c->low_speed_bytes > 0 && c->low_speed_time_ms > 0)
		deadlines_set(&f->net->deadlines, &f->deadline, clock_mono_ms() + quarter_ms(f));
}

void
limits_count(struct fetch *f, size_t n)
{
	f->slot[f->slot_now] += n;
}

void
limits_pause(struct fetch *f)
{
	f->slot_left_ms = -1;
	if (f->deadline.place == 0)
		return;
	f->slot_left_ms = f->deadline.at_mono_ms - clock_mono_ms();
	if (f->slot_left_ms < 0)
		f->slot_left_ms = 0;
	deadlines_remove(&f->net->deadlines, &f->deadline);
}

void
limits_resume(struct fetch *f)
{
	if (f->slot_left_ms >= 0)
		deadlines_set(&f->net->deadlines, &f->deadline, clock_mono_ms() + f->slot_left_ms);
}

bool
limits_passed(struct fetch *f)
{
	const struct config *c = f->net->config;
	uint64_t sum = 0;

	if (!f->delivered) {
		hop_verdict(f, FETCH_TIMEOUT, "no answer in time");
		return true;
	}
	for (size_t i = 0; i < LOW_SPEED_SLOTS; i++)
		sum += f->slot[i];
	if (f->slots_passed < LOW_SPEED_SLOTS)
		f->slots_passed++;
	if (f->slots_passed == LOW_SPEED_SLOTS &&
	    (double)sum * 1000.0 < (double)c->low_speed_bytes * c->low_speed_time_ms) {
		hop_verdict(f, FETCH_TIMEOUT, "slower than allowed");
		return true;
	}
	f->slot_now = (f->slot_now + 1) % LOW_SPEED_SLOTS;
	f->slot[f->slot_now] = 0;
	deadlines_set(&f->net->deadlines, &f->deadline, clock_mono_ms() + quarter_ms(f));
	return false;
}
