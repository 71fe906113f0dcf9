/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's beginning: arguments, then the master or, when the master
 * started us, a role.
 */
#include "base/base.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "master/listen.h"
#include "master/master.h"
#include "role.h"

enum { FAULTS_MAX = 1 << 16, DUMP_MAX = 1 << 24 };

static const char default_config[] = SYSCONFDIR "/eodata-proxy/eodata-proxy.conf";

static const char help[] =
"Usage: eodata-proxy [OPTION]...\n"
"A FastCGI data proxy for Earth observation: checks who asks, finds the bytes\n"
"through EODAG, delivers them, and keeps a copy for the next one.\n"
"\n"
"  -c, --config FILE        the configuration (default %s)\n"
"  -l, --listen WHERE       unix:PATH, HOST:PORT or [ADDRESS]:PORT; without it the\n"
"                           socket comes from systemd (LISTEN_FDS) or, as from\n"
"                           spawn-fcgi, on descriptor 0\n"
"      --listen-mode MODE   of a Unix socket, octal (default 0660)\n"
"      --listen-group NAME  of a Unix socket\n"
"      --check-config       say what is wrong with the configuration, and end\n"
"      --dump-config        print the configuration in force, without secrets\n"
"      --version            print the version\n"
"  -h, --help               print this\n"
"\n"
"Signals: SIGHUP reads the configuration again, SIGUSR2 starts a new version of\n"
"the program in place, SIGTERM ends when running transfers have ended.\n"
"See eodata-proxy(8) and eodata-proxy.conf(5).\n";

enum { OPT_MODE = 256, OPT_GROUP, OPT_CHECK, OPT_DUMP, OPT_VERSION };

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "listen", required_argument, NULL, 'l' },
	{ "listen-mode", required_argument, NULL, OPT_MODE },
	{ "listen-group", required_argument, NULL, OPT_GROUP },
	{ "check-config", no_argument, NULL, OPT_CHECK },
	{ "dump-config", no_argument, NULL, OPT_DUMP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

NORETURN static void
usage(const char *what, const char *arg)
{
	fprintf(stderr, "eodata-proxy: %s%s%s%s; try 'eodata-proxy --help'\n", what,
	    arg == NULL ? "" : " '", arg == NULL ? "" : arg, arg == NULL ? "" : "'");
	exit(2);
}

static mode_t
mode_arg(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end != '\0' || v > 0777)
		usage("--listen-mode wants an octal mode, not", text);
	return (mode_t)v;
}

static int
child(int argc, char **argv)
{
	struct role_env env;
	int status;

	role_start(&env, argc, argv);
	switch (env.role) {
	case ROLE_WORKER:
		status = worker_run(&env);
		break;
	case ROLE_MOVER:
		status = mover_run(&env);
		break;
	case ROLE_ACCOUNTANT:
		status = accountant_run(&env);
		break;
	default:
		die("the role %s is another program's", role_name(env.role));
	}
	config_free(env.config);
	return status;
}

/* --check-config and --dump-config. */
static int
show_config(const char *path, bool dump)
{
	struct buf faults = BUF_INIT(FAULTS_MAX), out = BUF_INIT(DUMP_MAX);
	struct config *c = config_load(path, true, &faults);
	int status = 0;

	if (c == NULL) {
		fputs(buf_str(&faults), stderr);
		status = 1;
	} else if (dump) {
		config_dump(c, &out);
		fputs(buf_str(&out), stdout);
	} else {
		puts("configuration OK");
	}
	config_free(c);
	buf_release(&faults);
	buf_release(&out);
	return fflush(stdout) == 0 ? status : 1;
}

int
main(int argc, char **argv)
{
	struct master_options opt = { default_config, NULL, 0660, NULL, argv };
	struct listen_spec spec;
	struct err e = ERR_NONE;
	bool check = false, dump = false;
	int o;

	role_standard_fds();
	if (argc > 1 && strcmp(argv[1], "--role") == 0)
		return child(argc, argv);
	opterr = 0;
	while ((o = getopt_long(argc, argv, ":c:l:h", options, NULL)) != -1) {
		switch (o) {
		case 'c':
			opt.config_path = optarg;
			break;
		case 'l':
			opt.listen = optarg;
			break;
		case OPT_MODE:
			opt.listen_mode = mode_arg(optarg);
			break;
		case OPT_GROUP:
			opt.listen_group = optarg;
			break;
		case OPT_CHECK:
			check = true;
			break;
		case OPT_DUMP:
			dump = true;
			break;
		case OPT_VERSION:
			puts("eodata-proxy " PACKAGE_VERSION);
			return 0;
		case 'h':
			printf(help, default_config);
			return 0;
		case ':':
			usage("a value is missing for", argv[optind - 1]);
		default:
			usage("no such option:", argv[optind - 1]);
		}
	}
	if (optind < argc)
		usage("not an option:", argv[optind]);
	if (opt.listen != NULL && listen_parse(opt.listen, &spec, &e) == -1)
		usage(e.text, NULL);
	if (check || dump)
		return show_config(opt.config_path, dump);
	return master_run(&opt);
}
