/* SPDX-License-Identifier: Apache-2.0
 *
 * When a backend's resolver may be started again.  A crash costs nothing the
 * first times, so that the next request finds a fresh resolver at once; a
 * timeout, or COOLDOWN_CRASHES crashes with no job done between them, makes
 * the backend wait.  Pure.
 */
#ifndef RESOLVER_COOLDOWN_H
#define RESOLVER_COOLDOWN_H

#include "base/base.h"

enum { COOLDOWN_CRASHES = 3 };

/* All zero: nothing has happened. */
struct cooldown {
	unsigned crashes;		/* in a row */
	int64_t until_mono_ms;		/* 0: none */
};

void cooldown_success(struct cooldown *c);
void cooldown_crash(struct cooldown *c, int64_t now_mono_ms, uint32_t wait_ms);
void cooldown_timeout(struct cooldown *c, int64_t now_mono_ms, uint32_t wait_ms);
/* Milliseconds until the backend may be asked again; 0: now. */
uint32_t cooldown_left_ms(const struct cooldown *c, int64_t now_mono_ms);

#endif
