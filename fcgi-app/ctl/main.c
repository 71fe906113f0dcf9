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
#include "ctl/object.h"
#include "ctl/retention.h"
#include "ctl/warm.h"
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
"  object stat PATH...   print what is stored of these assets\n"
"  object put PATH FILE  publish a file (-: standard input) as the asset\n"
"  object purge PATH...  let what is stored of them go\n"
"  object warm [PATH...] ask the proxy for them, so that they are stored\n"
"\n"
"A PATH is BACKEND/COLLECTION/ITEM/ASSET[/SUBPATH], as in a URL of the proxy.\n"
"\n"
"  -c, --config FILE     whose dirs.run, or cache, is used (default %s)\n"
"  -r, --run DIR         use DIR and read no configuration\n"
"  -j, --json            status, retention show, object stat: as JSON\n"
"  -x, --xml             retention show: as the bucket takes it\n"
"  -d, --directory       retention show: of cache.path, also where there is a bucket\n"
"  -y, --yes             retention apply: do not ask\n"
"\n"
"Of object put:\n"
"      --type TYPE            its media type; else by the file's name\n"
"      --etag TAG             its entity-tag; else from its SHA-256\n"
"      --last-modified DATE   2026-11-22T12:00:00Z; else the file's\n"
"      --sha256 HEX           what its SHA-256 must be\n"
"      --multihash HEX        the same, or another digest, as in file:checksum\n"
"\n"
"Of object warm:\n"
"  -n, --jobs N          so many at a time (default 4)\n"
"      --from FILE       also the paths in FILE (-: standard input), one a line\n"
"      --item FILE       also the assets of a STAC item, a file or a URL, that point\n"
"                        to the proxy\n"
"      --assets A,B      of the item these, wherever they point\n"
"      --url URL         of the proxy, with its base path (default: the first of\n"
"                        front.public_urls)\n"
"      --header-file FILE     send the headers in it, such as a login\n"
"\n"
"      --version         print the version\n"
"  -h, --help            print this\n"
"\n"
"Ends 0 when it is so, 1 when not, 2 when used wrongly.  retention diff: 0 when\n"
"nothing differs, 1 when something does, 2 when it cannot tell; object stat: 0\n"
"when all are stored, 1 when one is not, 2 when it cannot tell.\n";

/* Commands, and which of them an option is of. */
enum {
	STATUS = 1 << 0, RELOAD = 1 << 1, STOP = 1 << 2,
	SHOW = 1 << 3, DIFF = 1 << 4, APPLY = 1 << 5, RETENTION = SHOW | DIFF | APPLY,
	STAT = 1 << 6, PUT = 1 << 7, PURGE = 1 << 8, WARM = 1 << 9, OBJECT = STAT | PUT | PURGE | WARM,
	MANY = 1000000,
};

static const struct command {
	const char *word, *sub;
	unsigned bit;
	int least, most;		/* arguments behind it */
} commands[] = {
	{ "status", NULL, STATUS, 0, 0 },
	{ "reload", NULL, RELOAD, 0, 0 },
	{ "stop", NULL, STOP, 0, 0 },
	{ "retention", "show", SHOW, 0, 0 },
	{ "retention", "diff", DIFF, 0, 0 },
	{ "retention", "apply", APPLY, 0, 0 },
	{ "object", "stat", STAT, 1, MANY },
	{ "object", "put", PUT, 2, 2 },
	{ "object", "purge", PURGE, 1, MANY },
	{ "object", "warm", WARM, 0, MANY },
};

enum {
	OPT_VERSION = 256, OPT_TYPE, OPT_ETAG, OPT_LAST_MODIFIED, OPT_SHA256, OPT_MULTIHASH, OPT_FROM, OPT_ITEM, OPT_ASSETS,
	OPT_URL, OPT_HEADER_FILE
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "run", required_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'j' },
	{ "xml", no_argument, NULL, 'x' },
	{ "directory", no_argument, NULL, 'd' },
	{ "yes", no_argument, NULL, 'y' },
	{ "type", required_argument, NULL, OPT_TYPE },
	{ "etag", required_argument, NULL, OPT_ETAG },
	{ "last-modified", required_argument, NULL, OPT_LAST_MODIFIED },
	{ "sha256", required_argument, NULL, OPT_SHA256 },
	{ "multihash", required_argument, NULL, OPT_MULTIHASH },
	{ "jobs", required_argument, NULL, 'n' },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "item", required_argument, NULL, OPT_ITEM },
	{ "assets", required_argument, NULL, OPT_ASSETS },
	{ "url", required_argument, NULL, OPT_URL },
	{ "header-file", required_argument, NULL, OPT_HEADER_FILE },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Of those that are not everybody's. */
static const struct { int option; unsigned commands; } uses[] = {
	{ 'r', STATUS | RELOAD | STOP }, { 'j', STATUS | RELOAD | STOP | RETENTION | STAT }, { 'x', RETENTION },
	{ 'd', RETENTION }, { 'y', RETENTION },
	{ OPT_TYPE, PUT }, { OPT_ETAG, PUT }, { OPT_LAST_MODIFIED, PUT }, { OPT_SHA256, PUT }, { OPT_MULTIHASH, PUT },
	{ 'n', WARM }, { OPT_FROM, WARM }, { OPT_ITEM, WARM }, { OPT_ASSETS, WARM }, { OPT_URL, WARM }, { OPT_HEADER_FILE, WARM },
};

struct master {		/* as we see it */
	pid_t pid;
	int process;	/* pidfd */
	struct scoreboard *sb;
};

#define GET(p)	__atomic_load_n((p), __ATOMIC_RELAXED)

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
		return finish_output();
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
	return finish_output();
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
			return finish_output();
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
	const struct command *command;
	char **words;			/* behind it */
	int n_words;
	bool json;
	bool given[ARRAY_LEN(uses)];
	struct retention_options retention;
	struct put_options put;
	struct warm_options warm;
};

static unsigned
read_jobs(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < 1 || n > WARM_JOBS_MAX)
		usage("--jobs is a number from 1 to 64, not", text);
	return (unsigned)n;
}

/* What is put and warm's alone. */
static void
read_object_option(int o, const char *value, struct call *ret)
{
	const struct { int option; const char **value; } texts[] = {
		{ OPT_TYPE, &ret->put.type }, { OPT_ETAG, &ret->put.etag }, { OPT_LAST_MODIFIED, &ret->put.last_modified },
		{ OPT_SHA256, &ret->put.sha256 }, { OPT_MULTIHASH, &ret->put.multihash }, { OPT_FROM, &ret->warm.from },
		{ OPT_ITEM, &ret->warm.item }, { OPT_ASSETS, &ret->warm.assets }, { OPT_URL, &ret->warm.url },
		{ OPT_HEADER_FILE, &ret->warm.header_file },
	};

	if (o == 'n')
		ret->warm.jobs = read_jobs(value);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i].option == o)
			*texts[i].value = value;
	}
}

static void
read_options(int argc, char **argv, struct call *ret)
{
	int o;

	opterr = 0;
	while ((o = getopt_long(argc, argv, ":c:r:jxdyn:h", options, NULL)) != -1) {
		for (size_t i = 0; i < ARRAY_LEN(uses); i++)
			ret->given[i] = ret->given[i] || uses[i].option == o;
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
		case ':':
		case '?':
			usage(o == ':' ? "a value is missing for" : "no such option:",
			    argv[optind - 1]);
		default:
			read_object_option(o, optarg, ret);
		}
	}
}

/* "show, diff or apply", and what comes behind it. */
static const char *
subs_of(const char *word, const char *behind)
{
	static char text[128];
	size_t n = 0, at = 0;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		n += strcmp(commands[i].word, word) == 0;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].word, word) != 0)
			continue;
		n--;
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", commands[i].sub, n > 1 ? ", " : n == 1 ? " or " : behind);
	}
	return text;
}

static const struct command *
find_command(const char *word, const char *sub)
{
	const struct command *c, *first = NULL;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		c = &commands[i];
		if (strcmp(c->word, word) != 0)
			continue;
		first = first == NULL ? c : first;
		if (c->sub == NULL || (sub != NULL && strcmp(c->sub, sub) == 0))
			return c;
	}
	if (first == NULL)
		usage("no such command:", word);
	if (sub == NULL)
		usage(subs_of(word, " is missing after"), word);
	usage(subs_of(word, ", not"), sub);
}

static const char *
option_name(int o)
{
	size_t i = 0;

	while (options[i].val != o)
		i++;
	return options[i].name;
}

static void
check_use(const struct call *call)
{
	const struct command *c = call->command;
	char text[64];

	if (call->run != NULL && (c->bit & (RETENTION | OBJECT)) != 0)
		usage("it is in the configuration where the cache is, not in", call->run);
	for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
		(void)snprintf(text, sizeof(text), "--%s does not go with", option_name(uses[i].option));
		if (call->given[i] && (uses[i].commands & c->bit) == 0)
			usage(text, c->sub != NULL ? c->sub : c->word);
	}
	if (call->n_words > c->most)
		usage("one command at a time, not", call->words[c->most]);
	if (call->n_words < c->least)
		usage(c->bit == PUT ? "a path and a file are to stand behind" : "a path is to stand behind", c->sub);
	if (c->bit == WARM && call->n_words == 0 && call->warm.from == NULL && call->warm.item == NULL)
		usage("a path, --from or --item is to stand behind", c->sub);
	if (call->warm.assets != NULL && call->warm.item == NULL)
		usage("--assets are those of an --item, and there is none for", call->warm.assets);
}

static void
read_command(int argc, char **argv, struct call *ret)
{
	int n = argc - optind, used;

	if (n == 0)
		usage("a command is missing after", argv[argc - 1]);
	ret->command = find_command(argv[optind], n > 1 ? argv[optind + 1] : NULL);
	used = ret->command->sub != NULL ? 2 : 1;
	ret->words = argv + optind + used;
	ret->n_words = n - used;
	check_use(ret);
}

static int
run(const struct call *call, const struct config *c)
{
	const struct command *command = call->command;

	if ((command->bit & RETENTION) != 0)
		return retention_run(c, command->sub, &call->retention);
	switch (command->bit) {
	case STAT:
		return object_stat(c, call->words, (size_t)call->n_words, call->json);
	case PUT:
		return object_put(c, call->words[0], call->words[1], &call->put);
	case PURGE:
		return object_purge(c, call->words, (size_t)call->n_words);
	case WARM:
		return object_warm(c, call->words, (size_t)call->n_words, &call->warm);
	default:
		return run_command(command->word, call->run == NULL ? c->dir_run : call->run, c == NULL ? 0 : c->drain_ms,
		    call->json);
	}
}

int
main(int argc, char **argv)
{
	struct call call = { .config_path = default_config, .warm = { .jobs = WARM_JOBS } };
	struct buf faults = BUF_INIT(FAULTS_MAX);
	struct config *c = NULL;
	unsigned bit;
	int rc;

	read_options(argc, argv, &call);
	read_command(argc, argv, &call);
	bit = call.command->bit;
	if (call.run == NULL) {
		/* where they are not what it asks for, secrets may not be for whoever asks */
		c = config_load(call.config_path, (bit & (PUT | PURGE)) != 0, &faults);
		if (c == NULL) {
			fputs(buf_str(&faults), stderr);
			buf_release(&faults);
			return (bit & (DIFF | STAT)) != 0 ? 2 : 1;
		}
	}
	rc = run(&call, c);
	config_free(c);
	buf_release(&faults);
	return rc;
}
