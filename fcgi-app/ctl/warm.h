/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl object warm: assets are asked for, so that they are stored.
 */
#ifndef CTL_WARM_H
#define CTL_WARM_H

#include "config/config.h"

enum { WARM_JOBS = 4, WARM_JOBS_MAX = 64 };

/* Strings: borrowed, NULL where not given. */
struct warm_options {
	const char *url;	/* of the front, with the base path; NULL: the first of front.public_urls */
	const char *header_file;	/* lines that are sent to it: secret */
	const char *from;	/* a file of paths; "-": standard input */
	const char *item;	/* a file or URL */
	const char *assets;	/* names of the item's, with commas */
	unsigned jobs;		/* at a time */
};

/* Ask for all of them.  0, or 1 where one did not come whole. */
int object_warm(const struct config *c, char *const *paths, size_t n, const struct warm_options *o);

#endif
