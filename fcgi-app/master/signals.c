/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals of the master: blocked, and read from a descriptor like any event.
 */
#include "base/base.h"

#include "master/state.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int handled[] = { SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR2 };
static const int ignored[] = { SIGPIPE, SIGUSR1, SIGXFSZ };

static void
handled_set(sigset_t *set)
{
	(void)sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(handled); i++)
		(void)sigaddset(set, handled[i]);
}

int
signals_open(struct err *e)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t set;
	int fd;

	handled_set(&set);
	/* one that the parent ignored would never arrive */
	for (size_t i = 0; i < ARRAY_LEN(handled); i++)
		(void)sigaction(handled[i], &act, NULL);
	act.sa_handler = SIG_IGN;
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		(void)sigaction(ignored[i], &act, NULL);
	if (sigprocmask(SIG_SETMASK, &set, NULL) == -1)
		return err_sys(e, errno, "cannot block signals");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd == -1)
		return err_sys(e, errno, "cannot make a signalfd");
	return fd;
}

int
signals_read(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

void
signals_restore(void)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		(void)sigaction(ignored[i], &act, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}
