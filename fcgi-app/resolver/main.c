/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxy-resolver: the program of its own that links libpython.  The
 * master starts it as the resolvers' broker; resolvers are forked from it.
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "resolver/broker.h"
#include "resolver/python.h"
#include "role.h"

int
main(int argc, char **argv)
{
	struct role_env env = { 0 };
	struct err e = ERR_NONE;
	const char *glue_dir = getenv("EODATA_PROXY_GLUE_DIR");	/* role_start clears it */
	int status;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("eodata-proxy-resolver " PACKAGE_VERSION);
		return 0;
	}
	if (argc < 3 || strcmp(argv[1], "--role") != 0 || strcmp(argv[2], "broker") != 0) {
		fputs("eodata-proxy-resolver is started by eodata-proxy, not by hand: see eodata-proxy(8)\n", stderr);
		return 2;
	}
	glue_dir = mem_strdup(glue_dir != NULL && glue_dir[0] == '/' ? glue_dir : PKGDATADIR);
	role_start(&env, argc, argv);
	if (python_start(env.config, glue_dir, &e) < 0)
		die("%s", e.text);
	status = broker_run(&env, argv, glue_dir);
	/* No finalisation: it can hang on threads that a library left (and a broker has nothing to flush). */
	_exit(status);
}
