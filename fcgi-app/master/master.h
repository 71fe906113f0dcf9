/* SPDX-License-Identifier: Apache-2.0
 *
 * The master: starts, watches, restarts, reloads, ends.  It touches no
 * request, parses nothing that came from outside, and never blocks while it
 * serves.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "base/base.h"

struct master_options {
	const char *config_path;
	const char *listen;		/* NULL: inherited */
	mode_t listen_mode;
	const char *listen_group;	/* NULL: as is */
	char **argv;			/* for the upgrade */
};

/* The whole life.  Returns the exit status. */
int master_run(const struct master_options *opt);

#endif
