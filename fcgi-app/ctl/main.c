/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl: the operator's tool.  For what is about a running proxy it
 * connects to the console of the master, which hands over the scoreboard (read-only), while the
 * kernel says which process that is.  So there is no pid file to be wrong.
 */
#include "base/base.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "confine.h"
#include "config/config.h"
#include "ctl/ctl.h"
#include "ctl/retention.h"
#include "stat/scoreboard.h"

enum {
	FAULTS_MAX = 1 << 16,
	OUT_MAX = 1 << 20,
	ANSWER_MS = 5000,
	RELOAD_MS = 30000,
	STOP_EXTRA_MS = 30000,
	LOOK_MS = 100
};

static const char default_config[] = SYSCONFDIR "/eodata-proxy/eodata-proxy.conf";

static const char help[] =
"Usage: eodata-proxyctl [OPTION]... COMMAND\n"
"Ask or tell a running eodata-proxy, or look after what it stores.\n"
"\n"
"  status                print what every process is doing\n"
"  reload                read the configuration again; say if it was taken\n"
"  stop                  end when running transfers have ended; wait for it\n"
"  retention show        print the rules by which the storage lets objects go\n"
"  retention diff        compare them with those of the bucket\n"
"  retention apply       show what would change there, ask, and write it\n"
"\n"
"  -c, --config FILE     whose dirs.run, or cache, is used (default %s)\n"
"  -r, --run DIR         use DIR and read no configuration\n"
"  -j, --json            status, retention show: as JSON\n"
"  -x, --xml             retention show: as the bucket takes it\n"
"  -d, --directory       retention show: of cache.path, also where there is a bucket\n"
"  -y, --yes             retention apply: do not ask\n"
"      --version         print the version\n"
"  -h, --help            print this\n"
"\n"
"Ends 0 when it is so, 1 when not, 2 when used wrongly; retention diff 0 when\n"
"nothing differs, 1 when something does, 2 when it cannot tell.\n";

enum { OPT_VERSION = 256 };

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "run", required_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'j' },
	{ "xml", no_argument, NULL, 'x' },
	{ "directory", no_argument, NULL, 'd' },
	{ "yes", no_argument, NULL, 'y' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct master {		/* as we see it */
	pid_t pid;
	int process;	/* pidfd */
	struct scoreboard *sb;
};

#define GET(p)	__atomic_load_n((p), __ATOMIC_RELAXED)

int
complain(const char *fmt, ...)
{
	va_list ap;

	fputs("eodata-proxyctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* -- the console --------------------------------------------------------- */

static int
connect_console(const char *run, struct master *ret)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct pollfd p = { .events = POLLIN };
	struct ucred who = { 0, 0, 0 };
	socklen_t len = sizeof(who);
	struct err e = ERR_NONE;
	int fd, board = -1, rc = -1;
	size_t nfds = 0;
	char byte;

	if (snprintf(a.sun_path, sizeof(a.sun_path), "%s/console", run) >= (int)sizeof(a.sun_path))
		return complain("the path '%s' is too long for a socket", run);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&a, sizeof(a)) == -1) {
		if (errno == EACCES)
			(void)complain(
			    "not allowed to open '%s': be the user that runs eodata-proxy, or root",
			    a.sun_path);
		else
			(void)complain("no eodata-proxy is running that uses '%s'", run);
		goto out;
	}
	p.fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1 || who.pid <= 1 ||
	    poll(&p, 1, ANSWER_MS) != 1 || fd_recv(fd, &byte, 1, &board, 1, &nfds) != 1 ||
	    nfds != 1) {
		(void)complain("the eodata-proxy at '%s' does not answer", run);
		goto out;
	}
	ret->sb = scoreboard_attach(board, &e);
	if (ret->sb == NULL) {
		(void)complain("%s; is this the eodata-proxyctl of that eodata-proxy?", e.text);
		goto out;
	}
	ret->pid = who.pid;
	ret->process = (int)syscall(SYS_pidfd_open, who.pid, 0);
	rc = ret->process == -1 ? complain("the eodata-proxy at '%s' has just ended", run) : 0;
out:
	fd_close(&board);
	fd_close(&fd);
	return rc;
}

static int
signal_master(const struct master *m, int signo)
{
	if (syscall(SYS_pidfd_send_signal, m->process, signo, NULL, 0) == -1)
		return complain("cannot signal it: %s", strerror(errno));
	return 0;
}

/* True when it ended within ms. */
static bool
wait_end(const struct master *m, int ms)
{
	struct pollfd p = { .fd = m->process, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* -- commands ------------------------------------------------------------ */

static void
show_process(const struct slot *s)
{
	char note[SLOT_NOTE_MAX + 1], esc[4 * SLOT_NOTE_MAX + 1];
	int64_t up = (clock_wall_ms() - GET(&s->started_wall_ms)) / 1000;

	memcpy(note, s->note, SLOT_NOTE_MAX);
	note[SLOT_NOTE_MAX] = '\0';
	printf("%-10s %5" PRIu32 " %8" PRIu32 " %-9s %4" PRIu64 " %10" PRId64 " %12" PRIu64
	       "  %s\n",
	    role_name(GET(&s->role)), GET(&s->index), GET(&s->pid), slot_state_name(GET(&s->state)),
	    GET(&s->generation), up, GET(&s->jobs),
	    note[0] == '\0' ? "" : text_esc_to(esc, sizeof(esc), note));
}

static void
show_bounds(const struct scoreboard *sb)
{
	const struct slot *s;
	struct bound_use u;
	char who[32];

	printf("\n%-22s %20s %20s %10s  %s\n", "BOUND", "USED", "MAX", "REACHED", "NEAREST");
	for (size_t i = 0; i < BOUND_N; i++) {
		s = scoreboard_fullest(sb, (enum bound)i, &u);
		if (s == NULL)
			continue;
		(void)snprintf(who, sizeof(who), "%s %" PRIu32, role_name(GET(&s->role)), GET(&s->index));
		printf("%-22s %20" PRIu64 " %20" PRIu64 " %10" PRIu64 "  %s\n", bound_name((enum bound)i), u.used,
		    u.max, u.reached, who);
	}
}

static const char *
condition(const struct scoreboard *sb)
{
	if (GET(&sb->draining) != 0)
		return "draining";
	return GET(&sb->ready) != 0 ? "ready" : "not ready";
}

static int
status(const struct master *m, bool json)
{
	struct buf out = BUF_INIT(OUT_MAX);

	if (json) {
		scoreboard_json(m->sb, &out);
		fputs(buf_str(&out), stdout);
		buf_release(&out);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	printf("eodata-proxy %d: %s, configuration %" PRIu64 "\n\n", (int)m->pid,
	    condition(m->sb), GET(&m->sb->generation));
	printf("%-10s %5s %8s %-9s %4s %10s %12s  %s\n", "ROLE", "INDEX", "PID", "STATE", "CONF",
	    "UP (S)", "JOBS", "NOTE");
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (GET(&m->sb->slot[i].state) != SLOT_EMPTY && GET(&m->sb->slot[i].pid) != 0)
			show_process(&m->sb->slot[i]);
	}
	putchar('\n');
#define X(id, prom, text)								\
	if (scoreboard_sum(m->sb, COUNT_##id) != 0)					\
		printf("%12" PRIu64 "  %s\n", scoreboard_sum(m->sb, COUNT_##id), text);
	COUNTERS(X)
#undef X
	show_bounds(m->sb);
	return fflush(stdout) == 0 ? 0 : 1;
}

static int
reload(const struct master *m)
{
	/* the master's own is ahead of what is in force while a reload is under way, which is not yet ours */
	uint64_t before = GET(&m->sb->slot[SLOT_MASTER].generation);
	uint32_t refused = GET(&m->sb->reloads_refused);

	if (signal_master(m, SIGHUP) != 0)
		return 1;
	for (int waited = 0; waited < RELOAD_MS; waited += LOOK_MS) {
		if (wait_end(m, LOOK_MS))
			return complain("it ended meanwhile");
		if (GET(&m->sb->reloads_refused) != refused)
			return complain("refused, the old configuration stays: the log says why");
		if (GET(&m->sb->generation) > before) {
			printf("configuration %" PRIu64 " is in force\n", GET(&m->sb->generation));
			return 0;
		}
	}
	return complain("not done within %d s: see the log", RELOAD_MS / 1000);
}

static int
stop(const struct master *m, uint32_t drain_ms)
{
	if (signal_master(m, SIGTERM) != 0)
		return 1;
	if (!wait_end(m, (int)drain_ms + STOP_EXTRA_MS))
		return complain("it has not ended yet: see the log");
	return 0;
}

/* -- beginning ----------------------------------------------------------- */

NORETURN static void
usage(const char *what, const char *arg)
{
	fprintf(stderr, "eodata-proxyctl: %s '%s'; try 'eodata-proxyctl --help'\n", what, arg);
	exit(2);
}

static int
run_command(const char *command, const char *run, uint32_t drain_ms, bool json)
{
	struct master m = { 0, -1, NULL };
	struct err e = ERR_NONE;
	int rc = 1;

	if (connect_console(run, &m) == 0) {
		(void)confine_tool(&e);	/* for what children have written is read from here on; it works without */
		if (strcmp(command, "status") == 0)
			rc = status(&m, json);
		else if (strcmp(command, "reload") == 0)
			rc = reload(&m);
		else
			rc = stop(&m, drain_ms);
	}
	scoreboard_detach(m.sb);
	fd_close(&m.process);
	return rc;
}

/* What is asked for. */
struct call {
	const char *config_path, *run;	/* run NULL: of the configuration */
	const char *command, *sub_command;
	bool json, wants_retention;	/* an option that is retention's alone was given */
	struct retention_options retention;
};

static void
read_options(int argc, char **argv, struct call *ret)
{
	int o;

	opterr = 0;
	while ((o = getopt_long(argc, argv, ":c:r:jxdyh", options, NULL)) != -1) {
		ret->wants_retention = ret->wants_retention || o == 'x' || o == 'd' || o == 'y';
		switch (o) {
		case 'c':
			ret->config_path = optarg;
			break;
		case 'r':
			ret->run = optarg;
			break;
		case 'j':
			ret->json = true;
			ret->retention.form = RETENTION_JSON;
			break;
		case 'x':
			ret->retention.form = RETENTION_XML;
			break;
		case 'd':
			ret->retention.directory = true;
			break;
		case 'y':
			ret->retention.yes = true;
			break;
		case OPT_VERSION:
			puts("eodata-proxyctl " PACKAGE_VERSION);
			exit(0);
		case 'h':
			printf(help, default_config);
			exit(0);
		default:
			usage(o == ':' ? "a value is missing for" : "no such option:",
			    argv[optind - 1]);
		}
	}
}

static void
read_command(int argc, char **argv, struct call *ret)
{
	static const char *const known[] = { "status", "reload", "stop", "retention" };
	int words = argc - optind, want = 1;
	size_t i = 0;

	if (words == 0)
		usage("a command is missing after", argv[argc - 1]);
	ret->command = argv[optind];
	while (i < ARRAY_LEN(known) && strcmp(ret->command, known[i]) != 0)
		i++;
	if (i == ARRAY_LEN(known))
		usage("no such command:", ret->command);
	if (strcmp(ret->command, "retention") == 0) {
		want = 2;
		if (words == 1)
			usage("show, diff or apply is missing after", ret->command);
		ret->sub_command = argv[optind + 1];
		if (!retention_knows(ret->sub_command))
			usage("show, diff or apply, not", ret->sub_command);
		if (ret->run != NULL)
			usage("it is in the configuration where the cache is, not in", ret->run);
	} else if (ret->wants_retention) {
		usage("an option of retention does not go with", ret->command);
	}
	if (words > want)
		usage("one command at a time, not", argv[argc - 1]);
}

int
main(int argc, char **argv)
{
	struct call call = { .config_path = default_config };
	struct buf faults = BUF_INIT(FAULTS_MAX);
	struct config *c = NULL;
	int rc;

	read_options(argc, argv, &call);
	read_command(argc, argv, &call);
	if (call.run == NULL) {
		/* secrets are not what it asks for, and may not be for whoever asks */
		c = config_load(call.config_path, false, &faults);
		if (c == NULL) {
			fputs(buf_str(&faults), stderr);
			buf_release(&faults);
			return call.sub_command != NULL && strcmp(call.sub_command, "diff") == 0 ? 2 : 1;
		}
	}
	if (call.sub_command != NULL)
		rc = retention_run(c, call.sub_command, &call.retention);
	else
		rc = run_command(call.command, call.run == NULL ? c->dir_run : call.run, c == NULL ? 0 : c->drain_ms,
		    call.json);
	config_free(c);
	buf_release(&faults);
	return rc;
}
