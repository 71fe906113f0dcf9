/* SPDX-License-Identifier: Apache-2.0
 *
 * The embedded interpreter.  python.c is the only file that touches Python;
 * what it gives others is C.  One thread per process, which holds the GIL all
 * the time: the broker runs no Python after python_start, a child runs it
 * only inside python_resolve.
 */
#ifndef RESOLVER_PYTHON_H
#define RESOLVER_PYTHON_H

#include "config/config.h"
#include "ipc/resolve.h"

/*
 * Broker, once: clears the environment, starts the interpreter isolated from
 * it, imports the glue (from glue_dir) and lets it build EODAG.  0, or -1 and e (what Python
 * raised is logged).  Takes a second or so.
 */
int python_start(const struct config *c, const char *glue_dir, struct err *e);
/*
 * Broker, before a reload: does what python_start would need of this
 * configuration exist?  0, or -1 and e.
 */
int python_check(const struct config *c, struct err *e);
/* Broker: the names of the backends that EODAG knows.  Borrowed for good. */
const char *const *python_backends(size_t *ret_n);
/* Directories that modules may still be imported from.  Borrowed for good. */
const char *const *python_places(size_t *ret_n);

/*
 * Broker: fork(2) with the interpreter told before and after.  In the child
 * (0) Python may be used again.
 */
pid_t python_fork(void);

/*
 * Child: one job.  Always puts one RESOLVE answer into msg, which is empty;
 * whatever is raised, is not exactly of the agreed types, or is nothing that
 * a mover would take, becomes RESOLVE_FAILED.
 * False: the interpreter must not be used again (out of memory, recursion,
 * an exit was asked for); send the answer and end.
 */
bool python_resolve(const struct resolve_job *job, struct buf *msg);

#endif
