/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker's state, and what it does with its children.  Of broker.c and
 * places.c alone.
 */
#ifndef RESOLVER_PLACES_H
#define RESOLVER_PLACES_H

#include "resolver/cooldown.h"
#include "role.h"

enum { PLACES_MAX = SLOT_RESOLVERS_MAX, WISHES_MAX = 128 };

enum place_state { PLACE_FREE, PLACE_IDLE, PLACE_BUSY, PLACE_RETIRING, PLACE_DYING };

struct place {
	enum place_state state;
	pid_t pid;
	int control;
	size_t backend;
	int64_t since_ms;		/* idle, or last connected to */
	int64_t deadline_ms;		/* of the job; 0: none */
};

struct wish {
	unsigned mover;
	size_t backend;
	int64_t until_ms;
};

struct broker {
	struct role_env *env;
	char **argv;
	const char *glue_dir;
	int epoll, signals, master;
	const char *const *backend;
	struct cooldown *cooldown;	/* one per backend */
	size_t n_backends;
	struct place place[PLACES_MAX];
	size_t limit;			/* so many resolvers at once */
	struct wish wish[WISHES_MAX];
	size_t n_wishes;
	struct buf fingerprint;		/* of what EODAG was set up with */
	int64_t last_turn_ms;
	bool draining;
};

size_t places_living(const struct broker *b);
/* The backend's place, in whatever state; NULL: none. */
struct place *place_of(struct broker *b, size_t backend);
/* One that a resolver may be forked into; NULL: the limit is reached. */
struct place *place_free(struct broker *b);
/* Fork a resolver.  In the child it does not return. */
int place_fork(struct broker *b, struct place *p, size_t backend, struct err *e);
/* A new stream to it: *ret_fd is the mover's end, the caller's to close.  EPIPE: it has died. */
int place_connect(struct place *p, int *ret_fd, struct err *e);
/* SIGKILL, with all that its plugins have started. */
void place_kill(struct place *p);
/* Its control socket has something to read. */
void place_read(struct broker *b, struct place *p);
/* Send the longest idle one home.  False: none is idle (*ret_soon: one may be in a moment). */
bool places_make_room(struct broker *b, bool *ret_soon);
void places_retire_all(struct broker *b);
/* Each turn: those that ended; those that are too slow. */
void places_reap(struct broker *b);
void places_kill_late(struct broker *b);

#endif
