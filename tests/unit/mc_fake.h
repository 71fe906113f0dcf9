/* SPDX-License-Identifier: Apache-2.0
 *
 * A memcached that says what it is told to, in one process with its client:
 * the answer lies in the socket before the question is asked.
 */
#ifndef TESTS_UNIT_MC_FAKE_H
#define TESTS_UNIT_MC_FAKE_H

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "memcached/client.h"

struct mc_fake {
	char path[64];
	int fd;			/* its end of the connection; -1: closed */
	struct mc *mc;		/* connected to it */
};

/* Waits timeout_ms for what does not come. */
static inline void
mc_fake_start(struct mc_fake *f, uint32_t timeout_ms)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	static unsigned n;
	char *server = f->path;
	const struct strs list = { &server, 1 };
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(f->path, sizeof(f->path), "/tmp/mc_fake.%d.%u", (int)getpid(), n++);
	memcpy(un.sun_path, f->path, strlen(f->path) + 1);
	MUST(listening != -1 && bind(listening, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(listening, 1) == 0);
	f->mc = mc_new(&list, timeout_ms, NULL);
	MUST(f->mc != NULL);
	/* anything connects it; nobody waits for the answer */
	mc_begin(f->mc);
	(void)buf_adds(mc_command(f->mc, 0, NULL), "mg hello\r\n");
	MUST(mc_post(f->mc, clock_mono_ms() + 10000) == 0);
	f->fd = accept(listening, NULL, NULL);
	MUST(f->fd != -1 && send(f->fd, "EN\r\n", 4, MSG_NOSIGNAL) == 4);
	/* whoever connects again finds nobody */
	fd_close(&listening);
	(void)unlink(f->path);
}

static inline void
mc_fake_say(struct mc_fake *f, const void *answer, size_t n)
{
	MUST(n == 0 || send(f->fd, answer, n, MSG_NOSIGNAL) == (ssize_t)n);
}

static inline void
mc_fake_stop(struct mc_fake *f)
{
	mc_free(f->mc);
	fd_close(&f->fd);
}

#endif
