/* SPDX-License-Identifier: Apache-2.0
 *
 * What EODAG finds around it: environment variables, directories and files.
 */
#ifndef RESOLVER_ENVIRONMENT_H
#define RESOLVER_ENVIRONMENT_H

#include "config/config.h"

/*
 * Does what this configuration names exist: the Python environment, for this
 * version ("3.11"), and the credentials, closed to others?  0, or -1 and e.
 */
int environment_check(const struct config *c, const char *version, struct err *e);
/*
 * Replace the whole environment of the process, and make the directories that
 * EODAG writes to, below dirs.run.  0, or -1 and e.
 */
int environment_set(const struct config *c, struct err *e);

#endif
