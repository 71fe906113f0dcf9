/* SPDX-License-Identifier: Apache-2.0
 *
 * The cool-down of a backend whose resolver crashed or was too slow.  Pure;
 * used by the resolvers' broker.
 */
#include "base/base.h"

#include "resolver/cooldown.h"

void
cooldown_success(struct cooldown *c)
{
	c->crashes = 0;
	c->until_mono_ms = 0;
}

void
cooldown_crash(struct cooldown *c, int64_t now_mono_ms, uint32_t wait_ms)
{
	if (c->crashes < COOLDOWN_CRASHES)
		c->crashes++;
	if (c->crashes >= COOLDOWN_CRASHES)
		c->until_mono_ms = now_mono_ms + wait_ms;
}

void
cooldown_timeout(struct cooldown *c, int64_t now_mono_ms, uint32_t wait_ms)
{
	c->until_mono_ms = now_mono_ms + wait_ms;
}

uint32_t
cooldown_left_ms(const struct cooldown *c, int64_t now_mono_ms)
{
	int64_t left = c->until_mono_ms - now_mono_ms;

	if (c->until_mono_ms == 0 || left <= 0)
		return 0;
	return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}
