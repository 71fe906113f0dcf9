/* SPDX-License-Identifier: Apache-2.0
 *
 * When a backend's resolver may be started again.
 */
#include "unit.h"

#include "cooldown.h"

enum { WAIT = 30000 };

static void
nothing_happened_is_no_wait(void)
{
	struct cooldown c = { 0 };

	CHECK_INT(cooldown_left_ms(&c, 0), 0);
	CHECK_INT(cooldown_left_ms(&c, 123456), 0);
}

static void
the_first_crashes_cost_nothing(void)
{
	struct cooldown c = { 0 };

	cooldown_crash(&c, 1000, WAIT);
	CHECK_INT(cooldown_left_ms(&c, 1000), 0);
	cooldown_crash(&c, 2000, WAIT);
	CHECK_INT(cooldown_left_ms(&c, 2000), 0);
}

static void
three_crashes_in_a_row_wait(void)
{
	struct cooldown c = { 0 };

	for (int i = 0; i < COOLDOWN_CRASHES; i++)
		cooldown_crash(&c, 1000 + i, WAIT);
	CHECK_INT(cooldown_left_ms(&c, 1002), WAIT);
	CHECK_INT(cooldown_left_ms(&c, 1001 + WAIT), 1);
	CHECK_INT(cooldown_left_ms(&c, 1002 + WAIT), 0);
}

static void
one_more_crash_after_the_wait_waits_again(void)
{
	struct cooldown c = { 0 };

	for (int i = 0; i < COOLDOWN_CRASHES; i++)
		cooldown_crash(&c, 1000, WAIT);
	cooldown_crash(&c, 1000 + 2 * WAIT, WAIT);
	CHECK_INT(cooldown_left_ms(&c, 1000 + 2 * WAIT), WAIT);
}

static void
a_job_done_forgets_crashes(void)
{
	struct cooldown c = { 0 };

	cooldown_crash(&c, 1000, WAIT);
	cooldown_crash(&c, 1000, WAIT);
	cooldown_success(&c);
	cooldown_crash(&c, 1000, WAIT);
	CHECK_INT(cooldown_left_ms(&c, 1000), 0);
}

static void
a_timeout_waits_at_once(void)
{
	struct cooldown c = { 0 };

	cooldown_timeout(&c, 1000, WAIT);
	CHECK_INT(cooldown_left_ms(&c, 1000), WAIT);
	CHECK_INT(cooldown_left_ms(&c, 1000 + WAIT), 0);
}

static void
a_crash_does_not_end_the_wait_of_a_timeout(void)
{
	struct cooldown c = { 0 };

	cooldown_timeout(&c, 1000, WAIT);
	cooldown_crash(&c, 2000, WAIT);
	CHECK_INT(cooldown_left_ms(&c, 2000), WAIT - 1000);
}

static void
no_wait_configured_is_no_wait(void)
{
	struct cooldown c = { 0 };

	cooldown_timeout(&c, 1000, 0);
	CHECK_INT(cooldown_left_ms(&c, 1000), 0);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(nothing_happened_is_no_wait),
		UNIT(the_first_crashes_cost_nothing),
		UNIT(three_crashes_in_a_row_wait),
		UNIT(one_more_crash_after_the_wait_waits_again),
		UNIT(a_job_done_forgets_crashes),
		UNIT(a_timeout_waits_at_once),
		UNIT(a_crash_does_not_end_the_wait_of_a_timeout),
		UNIT(no_wait_configured_is_no_wait),
	};

	return unit_run("cooldown", t, ARRAY_LEN(t));
}
