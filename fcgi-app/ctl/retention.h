/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl retention: the rules by which the storage lets objects go,
 * out of cache.retentions.
 */
#ifndef CTL_RETENTION_H
#define CTL_RETENTION_H

#include "config/config.h"

enum retention_form { RETENTION_TEXT, RETENTION_JSON, RETENTION_XML };

struct retention_options {
	bool directory;			/* cache.path, also where there is a bucket */
	enum retention_form form;	/* of show */
	bool yes;			/* apply does not ask */
};

/* command: show, diff, apply.  The exit status: of diff 0 nothing differs, 1 something does, 2 trouble; of others 0 and 1. */
int retention_run(const struct config *c, const char *command, const struct retention_options *o);

#endif
