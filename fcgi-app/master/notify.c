/* SPDX-License-Identifier: Apache-2.0
 *
 * Telling the service manager.  Master only; without NOTIFY_SOCKET nothing
 * happens.
 */
#include "base/base.h"

#include "master/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

static struct sockaddr_un address;
static socklen_t address_len;	/* 0: nobody to tell */
static bool watchdog;

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	size_t n = path == NULL ? 0 : strlen(path);

	address_len = 0;
	watchdog = usec != NULL && (pid == NULL || strtol(pid, NULL, 10) == (long)getpid());
	if (n < 2 || n > sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, path, n);
	if (path[0] == '@')
		address.sun_path[0] = '\0';	/* an abstract name, which has no NUL behind it */
	address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

void
notify_send(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int fd, n;

	if (address_len == 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n <= 0 || (size_t)n >= sizeof(text))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return;
	(void)sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&address, address_len);
	fd_close(&fd);
}

void
notify_reloading(void)
{
	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reloading", clock_mono_us());
}

void
notify_watchdog(void)
{
	if (watchdog)
		notify_send("WATCHDOG=1");
}
