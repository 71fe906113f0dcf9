/* SPDX-License-Identifier: Apache-2.0
 *
 * The resolvers' parent: one thread, an epoll loop, and no Python after the
 * start but what a fork needs.
 */
#ifndef RESOLVER_BROKER_H
#define RESOLVER_BROKER_H

#include "role.h"

/*
 * Runs until the master says so or is gone; returns the exit status.  In a
 * forked child it does not return.  argv and glue_dir are for starting itself
 * again when a reload changes what EODAG was set up with.  python_start was called.
 */
int broker_run(struct role_env *env, char **argv, const char *glue_dir);

#endif
