/* SPDX-License-Identifier: Apache-2.0
 *
 * The listening socket: from systemd, from the parent on descriptor 0, or
 * made here.  The master holds it and never accepts from it.
 */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include "base/err.h"

enum { LISTEN_BACKLOG = 4096, LISTEN_HOST_MAX = 256 };

struct listen_spec {
	char path[108];		/* of a Unix socket; "" for TCP */
	char host[LISTEN_HOST_MAX], port[6];
};

/* "unix:PATH", "HOST:PORT" or "[v6]:PORT".  0, or -1 and e. */
int listen_parse(const char *text, struct listen_spec *ret, struct err *e);
/*
 * Bind and listen.  A Unix socket's path is taken over only when no process
 * answers on it (else e->sys is EADDRINUSE); mode and group (-1: none) are set
 * before it listens.  The descriptor, non-blocking and close-on-exec, or -1
 * and e.
 */
int listen_open(const struct listen_spec *spec, mode_t mode, gid_t group, struct err *e);
/*
 * Handed over by the service manager: LISTEN_FDS with our LISTEN_PID.  The
 * variables are removed.  -1 with e->text empty: there is none.
 */
int listen_from_manager(struct err *e);
/* A listening socket on descriptor 0 (spawn-fcgi, inetd).  Puts /dev/null there.  -1: none. */
int listen_from_stdin(void);
/* "unix:/run/x.sock", "127.0.0.1:8000": where fd listens, for the log. */
const char *listen_name(int fd, char *dst, size_t cap);

#endif
