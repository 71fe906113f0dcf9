/* SPDX-License-Identifier: Apache-2.0
 *
 * The anchor of scripts/bench: libfcgi processes that decide nothing.
 *
 *	responder SOCKET N null
 *	responder SOCKET N accel URI [HEADER...]
 *
 * "null" answers an empty 200, "accel" a redirect to URI inside the front with
 * the headers as given.  Ends with SIGTERM.
 */
#include "base/base.h"

#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKLOG = 4096, PROCESSES_MAX = 64 };

static void
serve(int sock, int n, char **argv)
{
	FCGX_Request r;

	if (FCGX_Init() != 0 || FCGX_InitRequest(&r, sock, 0) != 0)
		_exit(1);
	while (FCGX_Accept_r(&r) == 0) {
		if (strcmp(argv[3], "accel") == 0) {
			(void)FCGX_FPrintF(r.out, "X-Accel-Redirect: %s\r\n", argv[4]);
			for (int i = 5; i < n; i++)
				(void)FCGX_FPrintF(r.out, "%s\r\n", argv[i]);
			(void)FCGX_FPrintF(r.out, "\r\n");
		} else {
			(void)FCGX_FPrintF(r.out, "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
		}
		FCGX_Finish_r(&r);
	}
	_exit(0);
}

int
main(int argc, char **argv)
{
	pid_t child[PROCESSES_MAX];
	sigset_t wait_for;
	int sock, n, sig;

	n = argc > 2 ? atoi(argv[2]) : 0;
	if (argc < 4 || n < 1 || n > PROCESSES_MAX || (strcmp(argv[3], "accel") == 0 && argc < 5)) {
		fprintf(stderr, "usage: responder SOCKET N null|accel URI [HEADER...]\n");
		return 2;
	}
	sock = FCGX_OpenSocket(argv[1], BACKLOG);
	if (sock == -1 || chmod(argv[1], 0666) == -1) {
		perror("responder");
		return 1;
	}
	(void)sigemptyset(&wait_for);
	(void)sigaddset(&wait_for, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &wait_for, NULL);
	for (int i = 0; i < n; i++) {
		child[i] = fork();
		if (child[i] == 0) {
			(void)sigprocmask(SIG_UNBLOCK, &wait_for, NULL);
			serve(sock, argc, argv);
		}
	}
	(void)sigwait(&wait_for, &sig);
	for (int i = 0; i < n; i++) {
		if (child[i] > 0)
			(void)kill(child[i], SIGKILL);
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
