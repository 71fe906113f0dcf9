/* SPDX-License-Identifier: Apache-2.0
 *
 * Master and child: the child says READY once; the master says RELOAD (with
 * the new configuration's memfd), and DRAIN or FINISH.  The child that reads
 * EOF ends.
 */
#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H

#include "config/config.h"

/*
 * DRAIN: take nothing new, end with what runs, within pool.drain.  FINISH, to
 * movers alone: the same within pool.upgrade_drain, since another master
 * serves; a DRAIN may follow.
 */
enum control_type {
	CONTROL_NONE, CONTROL_READY, CONTROL_RELOAD, CONTROL_DRAIN, CONTROL_FINISH, CONTROL_GONE,
};

/* Child: role is up.  Also after a reload that was taken in place. */
int control_ready(int fd, uint64_t generation);
/*
 * Child: read one message without blocking.  CONTROL_NONE: nothing there.
 * CONTROL_RELOAD gives *ret_fd (owned by the caller; -1 where this process had
 * no room for it, and role_reload says so).  CONTROL_GONE: the master is gone.  Nonsense is dropped and counts as NONE.
 */
enum control_type control_read(int fd, int *ret_fd);
/* Master. */
int control_send(int fd, enum control_type type, int config_fd);	/* config_fd -1: none */
enum control_type control_read_child(int fd, uint64_t *ret_generation);

#endif
