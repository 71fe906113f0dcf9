/* SPDX-License-Identifier: Apache-2.0
 *
 * Pid and random bytes.  Every process.
 *
 * A request needs 40 random bytes and its pid twice; as system calls these
 * were five of some thirty.  Two processes with one pool would give out one
 * id twice, so a child forgets what it has inherited.
 */
#include "base/base.h"

#include "base/process.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static uint8_t pool[PROCESS_RANDOM_MAX];
static size_t pool_left;
static pid_t pid;		/* 0: not asked yet */
static bool forgetting;

static void
forget(void)
{
	pool_left = 0;
	pid = 0;
}

static void
forget_in_children(void)
{
	if (forgetting)
		return;
	MUST(pthread_atfork(NULL, NULL, forget) == 0);	/* fails without memory only */
	forgetting = true;
}

pid_t
process_pid(void)
{
	if (pid == 0) {
		forget_in_children();
		pid = getpid();
	}
	return pid;
}

void
process_random(void *dst, size_t n)
{
	uint8_t *from;

	MUST(n <= sizeof(pool));
	if (n > pool_left) {
		forget_in_children();
		/* up to 256 bytes come whole once the kernel's pool is up, which it is */
		MUST(getrandom(pool, sizeof(pool), 0) == (ssize_t)sizeof(pool));
		pool_left = sizeof(pool);
	}
	pool_left -= n;
	from = pool + pool_left;
	memcpy(dst, from, n);
	memset(from, 0, n);	/* nothing that is left tells what was given out */
}
