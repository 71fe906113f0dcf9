/* SPDX-License-Identifier: Apache-2.0
 *
 * What a role gives up once it is started: capabilities, and with Landlock
 * every file, TCP port, signal and abstract socket that is not its own.  Both
 * hold until the process ends, and in its children.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include "config/config.h"
#include "stat/scoreboard.h"

/*
 * No capability is left but those of keep (a bit each), also not in the
 * bounding set where it may be changed.  -1 and e: the kernel refused, which
 * it has no reason to.
 */
int confine_capabilities(uint64_t keep, struct err *e);
/* The master: no_new_privs, and of root's capabilities those that its work needs. */
int confine_master(struct err *e);
/*
 * eodata-proxyctl, once it has what it looks at: it may signal, and open or
 * connect to nothing any more.  0, or -1 and e (also without Landlock).
 */
int confine_tool(struct err *e);

enum confined { CONFINED, CONFINE_ABSENT, CONFINE_FAILED };

/*
 * Landlock for one role, as far as this kernel has it.  more are further
 * places to read (a Python's), for ROLE_RESOLVER.  Call it when everything is
 * open that is elsewhere, and before outside bytes are read.  ABSENT: the
 * kernel has none; nothing has changed.
 */
enum confined confine_role(enum role role, const struct config *c, const char *const *more, size_t n_more,
    struct err *e);
/* The same, and what went wrong is logged: a role that cannot be confined runs. */
void confine_self(enum role role, const struct config *c, const char *const *more, size_t n_more);

#endif
