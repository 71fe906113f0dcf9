/* SPDX-License-Identifier: Apache-2.0
 *
 * Time limits of a fetch.  Until the answer's headers are here: the first
 * byte, over all redirects.  After that: the lowest speed, over a window that
 * moves by quarters.  Time in which we pause the provider does not count,
 * which is why libcurl's own limit is not used: its clock runs on through a
 * pause that began slowly, and its average takes the pause in.  A PUT has the
 * lowest speed while its body is sent, then the time to the first byte anew.
 * The mover.
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

/* Look again at that time (INT64_MAX: no limit now), or at the end of all. */
static void
look_at(struct fetch *f, int64_t at_mono_ms)
{
	if (f->end_mono_ms != 0 && f->end_mono_ms < at_mono_ms)
		at_mono_ms = f->end_mono_ms;
	if (at_mono_ms == INT64_MAX)
		deadlines_remove(&f->net->deadlines, &f->deadline);
	else
		deadlines_set(&f->net->deadlines, &f->deadline, at_mono_ms);
}

static int64_t
first_byte_mono_ms(const struct fetch *f)
{
	return f->patient ? INT64_MAX : clock_mono_ms() + f->net->config->first_byte_timeout_ms;
}

static void
window_start(struct fetch *f)
{
	const struct config *c = f->net->config;

	memset(f->slot, 0, sizeof(f->slot));
	f->slots_passed = 0;
	if (c->low_speed_bytes > 0 && c->low_speed_time_ms > 0)
		look_at(f, clock_mono_ms() + quarter_ms(f));
	else
		look_at(f, INT64_MAX);
}

void
limits_start(struct fetch *f, int64_t caller_deadline_mono_ms)
{
	int64_t at = first_byte_mono_ms(f);

	if (caller_deadline_mono_ms != 0 && caller_deadline_mono_ms < at)
		at = caller_deadline_mono_ms;
	look_at(f, at);
}

void
limits_body(struct fetch *f)
{
	f->sending = false;
	if (f->patient)
		look_at(f, INT64_MAX);
	else
		window_start(f);
}

void
limits_sent(struct fetch *f, size_t n)
{
	if (f->delivered) {
		limits_count(f, n);
		return;
	}
	if (!f->sending) {
		f->sending = true;
		window_start(f);
	}
	limits_count(f, n);
	if (f->sent == f->upload_length) {
		f->sending = false;
		look_at(f, first_byte_mono_ms(f));
	}
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
	look_at(f, INT64_MAX);
}

void
limits_resume(struct fetch *f)
{
	if (f->slot_left_ms >= 0)
		look_at(f, clock_mono_ms() + f->slot_left_ms);
}

bool
limits_passed(struct fetch *f)
{
	const struct config *c = f->net->config;
	uint64_t sum = 0;

	if (f->end_mono_ms != 0 && clock_mono_ms() >= f->end_mono_ms) {
		hop_verdict(f, FETCH_TIMEOUT, "not done in time");
		return true;
	}
	if (!f->delivered && !f->sending) {
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
	look_at(f, clock_mono_ms() + quarter_ms(f));
	return false;
}
