/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of the front: who may connect, requests that are whole, and
 * libfcgi behind it.  The rest of the worker sees a struct call.
 */
#ifndef WORKER_ACCEPT_H
#define WORKER_ACCEPT_H

#include "config/config.h"
#include "stat/scoreboard.h"

struct acceptor;

/* One request.  Everything is borrowed until call_finish or call_detach. */
struct call {
	char *const *envp;		/* "NAME=value" */
	uint16_t fcgi_id;
	int fd;				/* the client's connection */
	int64_t accepted_mono_us;
	bool faulty;			/* a parameter holds a NUL or has no name: 400 */
	bool body_too_large;		/* 413, and it cannot be handed over */
	struct acceptor *acceptor;
	size_t slot;			/* the acceptor's */
};

enum { CALLS_MAX = 8 };	/* at a time */

enum accept_event { ACCEPT_NOTHING, ACCEPT_CONTROL, ACCEPT_CALL };

/* board, listen_fd and control_fd are borrowed.  NULL and e. */
struct acceptor *acceptor_new(const struct config *c, const struct scoreboard *board, int listen_fd, int control_fd,
    struct err *e);
/*
 * Wait for one thing.  ACCEPT_CONTROL: control_fd can be read.  ACCEPT_CALL:
 * *ret is a request; end all that were given before the next wait.
 */
enum accept_event acceptor_wait(struct acceptor *a, int timeout_ms, struct call *ret);
/* After a call: is another one there at once, and room for it?  Waits for nothing. */
bool acceptor_more(struct acceptor *a, struct call *ret);
/* Take no new connection; those that were taken already are still served. */
void acceptor_stop(struct acceptor *a);
/* No connection waits to be whole. */
bool acceptor_idle(const struct acceptor *a);
void acceptor_free(struct acceptor *a);

/* The whole answer, once.  0, or -1: the front is gone. */
int call_write(struct call *c, const void *data, size_t n);
/* End of the request; the connection is closed. */
void call_finish(struct call *c);
/* Somebody else owns the connection now: close our end of it, write nothing. */
void call_detach(struct call *c);

#endif
