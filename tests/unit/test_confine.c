/* SPDX-License-Identifier: Apache-2.0
 *
 * F10: what a role that was taken over can still reach.  A child of the test
 * gives up what the role gives up, by the same function, and then tries.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "confine.h"
#include "role.h"

enum { NET_SINCE = 4, SCOPES_SINCE = 6 };

static char dir[64];
static struct config *c;
static int version;
static char *memcached_socket;

static char *
at(const char *rel)
{
	static char path[8][256];
	static unsigned turn;
	char *p = path[turn++ % 8];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", dir, rel);
	return p;
}

/* 0, or the errno of opening. */
static int
try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0640);

	if (fd == -1)
		return errno;
	(void)close(fd);
	return 0;
}

static int
try_read(const char *path)
{
	return try_open(path, O_RDONLY);
}

static int
try_write(const char *path)
{
	return try_open(path, O_WRONLY | O_CREAT);
}

static int
remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void
make_place(void)
{
	static const char *const dirs[] = { "cache", "cache/spool", "cache/a", "state", "state/ledger", "run", "run/resolver", "other" };
	static const char *const files[] = { "cache/a/f", "state/ledger/f", "run/resolver/f", "other/f" };
	const char *tmp = getenv("TMPDIR");
	struct buf told = BUF_INIT(4096);
	char *text;

	(void)snprintf(dir, sizeof(dir), "%.40s/eo-confine-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	MUST(mkdtemp(dir) != NULL);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		MUST(mkdir(at(dirs[i]), 0750) == 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		MUST(try_write(at(files[i])) == 0);
	memcached_socket = mem_strdup(at("other/socket"));
	text = mem_printf("{\"cache\":{\"path\":\"%s/cache\"},\"dirs\":{\"state\":\"%s/state\",\"run\":\"%s/run\"},"
	    "\"memcached\":[\"%s\"]}", dir, dir, dir, memcached_socket);
	c = config_parse("test", text, strlen(text), false, &told);
	MUST(c != NULL && told.len == 0);
	buf_release(&told);
	free(text);
}

/* Run tries as role in a child; it counts what went wrong. */
static void
as_role(enum role role, void (*tries)(int abi))
{
	unsigned before = CU_get_number_of_failures();
	struct err e = ERR_NONE;
	int status;
	pid_t pid;

	if (version < 1) {
		fprintf(stderr, "skipped: this kernel has no Landlock\n");
		return;
	}
	(void)fflush(stderr);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		(void)alarm(30);
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		if (confine_role(role, c, NULL, 0, &e) != CONFINED) {
			fprintf(stderr, "not confined: %s\n", e.text);
			_exit(1);
		}
		tries(version);
		(void)fflush(stderr);
		_exit(CU_get_number_of_failures() == before ? 0 : 1);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
}

/* Nobody needs these, whatever the role.  A build with checkers may read all. */
static void
try_what_is_nobodys(int abi)
{
	if (!ROLE_SANITIZED) {
		CHECK_INT(try_read("/etc/eodata-no-such-file"), ENOENT);
		CHECK_INT(try_read(at("other/f")), EACCES);
		CHECK_INT(try_read("/proc/1/environ"), EACCES);
	}
	CHECK_INT(try_write(at("other/new")), EACCES);
	CHECK_INT(unlink(at("other/f")) == -1 ? errno : 0, EACCES);
	CHECK_INT(mkdir(at("other/d"), 0700) == -1 ? errno : 0, EACCES);
	CHECK_INT(try_write("/tmp/eodata-confine-test"), EACCES);
	CHECK(ptrace(PTRACE_ATTACH, getppid(), 0, 0) == -1 && errno == EPERM);
	if (abi >= SCOPES_SINCE)
		CHECK(kill(getppid(), 0) == -1 && errno == EPERM);
}

static int
try_tcp(bool listening)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	a.sin_port = listening ? 0 : htons(9);
	r = listening ? bind(fd, (struct sockaddr *)&a, sizeof(a)) : connect(fd, (struct sockaddr *)&a, sizeof(a));
	r = r == -1 ? errno : 0;
	(void)close(fd);
	return r;
}

static int
try_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	r = connect(fd, (struct sockaddr *)&a, sizeof(a)) == -1 ? errno : 0;
	(void)close(fd);
	return r;
}

static void
tries_of_a_worker(int abi)
{
	try_what_is_nobodys(abi);
	CHECK_INT(try_read(at("cache/a/f")), 0);
	CHECK_INT(try_open(at("cache/a/f"), O_WRONLY), EACCES);
	CHECK_INT(try_write(at("cache/new")), EACCES);
	CHECK_INT(unlink(at("cache/a/f")) == -1 ? errno : 0, EACCES);
	if (!ROLE_SANITIZED) {
		CHECK_INT(try_read(at("state/ledger/f")), EACCES);
		CHECK_INT(try_read("/etc/shadow"), EACCES);
	}
	CHECK_INT(try_unix(memcached_socket), 0);
	if (abi >= NET_SINCE) {
		CHECK_INT(try_tcp(true), EACCES);
		CHECK_INT(try_tcp(false), EACCES);
	}
}

static void
f10_a_worker_reads_the_cache_and_nothing_else(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", memcached_socket);
	MUST(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 4) == 0);
	as_role(ROLE_WORKER, tries_of_a_worker);
	(void)close(fd);
}

static void
tries_of_a_mover(int abi)
{
	char proc[64];
	int fd;

	try_what_is_nobodys(abi);
	CHECK_INT(try_write(at("cache/spool/named")), 0);
	CHECK_INT(mkdir(at("cache/b"), 0750), 0);
	CHECK_INT(rename(at("cache/spool/named"), at("cache/b/published")), 0);
	fd = open(at("cache/spool"), O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);
	if (fd != -1) {
		(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		CHECK_INT(linkat(AT_FDCWD, proc, AT_FDCWD, at("cache/spool/linked"), AT_SYMLINK_FOLLOW), 0);
		CHECK_INT(ftruncate(fd, 10), 0);
		CHECK_INT(rename(at("cache/spool/linked"), at("cache/b/linked")), 0);
		(void)close(fd);
	}
	CHECK_INT(unlink(at("cache/b/published")), 0);
	CHECK_INT(try_write(at("state/ledger/f")), EACCES);
	CHECK_INT(try_write(at("run/new")), EACCES);
	CHECK_INT(symlink("/etc", at("cache/link")) == -1 ? errno : 0, EACCES);
	CHECK(rename(at("cache/a/f"), at("other/g")) == -1 && (errno == EXDEV || errno == EACCES));
	if (!ROLE_SANITIZED)
		CHECK_INT(try_read(at("state/ledger/f")), EACCES);
	CHECK_INT(try_read("/etc/nsswitch.conf") == ENOENT ? 0 : try_read("/etc/nsswitch.conf"), 0);
	CHECK_INT(try_open("/etc/ssl/certs", O_RDONLY | O_DIRECTORY) == ENOENT ? 0 : try_open("/etc/ssl/certs", O_RDONLY), 0);
	if (abi >= NET_SINCE) {
		CHECK_INT(try_tcp(true), EACCES);
		CHECK_INT(try_tcp(false), ECONNREFUSED);	/* it is there to connect */
	}
}

static void
f10_a_mover_writes_cache_and_spool_alone(void)
{
	as_role(ROLE_MOVER, tries_of_a_mover);
}

static void
tries_of_the_accountant(int abi)
{
	try_what_is_nobodys(abi);
	CHECK_INT(try_open(at("state/ledger/f"), O_WRONLY | O_APPEND), 0);
	CHECK_INT(try_write(at("state/ledger/new")), 0);
	CHECK_INT(try_write(at("cache/new")), EACCES);
	if (!ROLE_SANITIZED) {
		CHECK_INT(try_read(at("cache/a/f")), EACCES);
		CHECK_INT(try_read("/etc/shadow"), EACCES);
	}
}

static void
f10_the_accountant_has_the_ledger_alone(void)
{
	as_role(ROLE_ACCOUNTANT, tries_of_the_accountant);
}

static void
tries_of_a_resolver(int abi)
{
	try_what_is_nobodys(abi);
	CHECK_INT(try_write(at("run/resolver/new")), 0);
	CHECK_INT(try_write(at("run/new")), EACCES);
	CHECK_INT(try_write(at("cache/new")), EACCES);
	CHECK_INT(try_write(at("state/new")), EACCES);
	if (!ROLE_SANITIZED) {
		CHECK_INT(try_read(at("cache/a/f")), EACCES);
		CHECK_INT(try_read(at("state/ledger/f")), EACCES);
	}
}

static void
f10_a_resolver_writes_its_own_folder_alone(void)
{
	as_role(ROLE_RESOLVER, tries_of_a_resolver);
}

static void
tries_of_a_mover_with_a_new_cache(int abi UNUSED)
{
	CHECK_INT(try_write(at("wide/cache/f")), 0);
	CHECK_INT(unlink(at("wide/cache/f")), 0);
	CHECK_INT(rmdir(at("wide/cache")), 0);
	CHECK_INT(mkdir(at("wide/cache"), 0750), 0);
	CHECK_INT(try_write(at("wide/cache/f")), 0);
	CHECK_INT(try_write(at("other/new")), EACCES);
}

/* Somebody removes the whole cache and makes it again while we run. */
static void
a_cache_that_is_made_anew_is_still_reached(void)
{
	struct config *was = c;
	char *text = mem_printf("{\"cache\":{\"path\":\"%s/wide/cache\"},"
	    "\"dirs\":{\"state\":\"%s/state\",\"run\":\"%s/run\"}}", dir, dir, dir);
	struct buf told = BUF_INIT(4096);

	MUST(mkdir(at("wide"), 0750) == 0 && mkdir(at("wide/cache"), 0750) == 0);
	c = config_parse("test", text, strlen(text), false, &told);
	MUST(c != NULL);
	as_role(ROLE_MOVER, tries_of_a_mover_with_a_new_cache);
	config_free(c);
	c = was;
	buf_release(&told);
	free(text);
}

/* eodata-proxyctl: what it reads is written by children, what it does is signal. */
static void
f10_the_tool_may_signal_and_nothing_else(void)
{
	unsigned before = CU_get_number_of_failures();
	struct err e = ERR_NONE;
	int status, rc;
	pid_t pid;

	(void)fflush(stderr);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		rc = confine_tool(&e);
		CHECK_INT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		CHECK_INT(kill(getppid(), 0), 0);
		if (version < 1) {
			CHECK_INT(rc, -1);
			fprintf(stderr, "skipped: this kernel has no Landlock\n");
		} else {
			CHECK_INT(rc, 0);
			if (!ROLE_SANITIZED) {
				CHECK_INT(try_read("/etc/passwd"), EACCES);
				CHECK_INT(try_read(at("cache/a/f")), EACCES);
			}
			CHECK_INT(try_write(at("other/new")), EACCES);
			CHECK_INT(try_write(at("run/new")), EACCES);
			CHECK_INT(unlink(at("state/ledger/f")) == -1 ? errno : 0, EACCES);
			CHECK(ptrace(PTRACE_ATTACH, getppid(), 0, 0) == -1 && errno == EPERM);
			if (version >= NET_SINCE) {
				CHECK_INT(try_tcp(true), EACCES);
				CHECK_INT(try_tcp(false), EACCES);
			}
		}
		(void)fflush(stderr);
		_exit(CU_get_number_of_failures() == before ? 0 : 1);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
}

/* A line of /proc/self/status. */
static unsigned long long
status_hex(const char *name)
{
	struct buf b = BUF_INIT(65536);
	unsigned long long v = ~0ULL;
	const char *at_name;

	MUST(fd_read_file("/proc/self/status", &b, NULL) == 0);
	at_name = strstr(buf_str(&b), name);
	if (at_name != NULL)
		v = strtoull(at_name + strlen(name), NULL, 16);
	buf_release(&b);
	return v;
}

static void
f10_no_capability_is_left_and_none_comes_back(void)
{
	static const char *const sets[] = { "CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapAmb:\t" };
	unsigned before = CU_get_number_of_failures();
	struct err e = ERR_NONE;
	int status;
	pid_t pid = fork();

	MUST(pid != -1);
	if (pid == 0) {
		bool root = (status_hex("CapEff:\t") & 1ULL << 8) != 0;		/* CAP_SETPCAP */

		CHECK_INT(confine_capabilities(0, &e), 0);
		for (size_t i = 0; i < ARRAY_LEN(sets); i++)
			CHECK_INT(status_hex(sets[i]), 0);
		if (root) {
			CHECK_INT(status_hex("CapBnd:\t"), 0);
			CHECK(setuid(1) == -1 && errno == EPERM);
		}
		CHECK_INT(confine_capabilities(0, &e), 0);		/* who has none can say so again */
		(void)fflush(stderr);
		_exit(CU_get_number_of_failures() == before ? 0 : 1);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
}

static void
f10_a_root_master_keeps_what_it_needs_alone(void)
{
	/* CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_ADMIN */
	static const unsigned long long needed = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12;
	static const char *const sets[] = { "CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapBnd:\t", "CapAmb:\t" };
	unsigned before = CU_get_number_of_failures();
	unsigned long long had = status_hex("CapEff:\t");
	struct err e = ERR_NONE;
	int status;
	pid_t pid = fork();

	MUST(pid != -1);
	if (pid == 0) {
		CHECK_INT(confine_master(&e), 0);
		CHECK_INT(status_hex("CapEff:\t"), had & needed);
		for (size_t i = 0; i < ARRAY_LEN(sets); i++)
			CHECK((had & 1 << 8) == 0 || (status_hex(sets[i]) & ~needed) == 0);
		CHECK_INT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		/* and its children have nothing of it */
		CHECK_INT(confine_capabilities(0, &e), 0);
		for (size_t i = 0; i < ARRAY_LEN(sets); i++)
			CHECK((had & 1 << 8) == 0 || status_hex(sets[i]) == 0);
		(void)fflush(stderr);
		_exit(CU_get_number_of_failures() == before ? 0 : 1);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(f10_a_worker_reads_the_cache_and_nothing_else),
		UNIT(f10_a_mover_writes_cache_and_spool_alone),
		UNIT(f10_the_accountant_has_the_ledger_alone),
		UNIT(f10_a_resolver_writes_its_own_folder_alone),
		UNIT(a_cache_that_is_made_anew_is_still_reached),
		UNIT(f10_no_capability_is_left_and_none_comes_back),
		UNIT(f10_a_root_master_keeps_what_it_needs_alone),
		UNIT(f10_the_tool_may_signal_and_nothing_else),
	};
	int status;

	version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	make_place();
	status = unit_run("confine", tests, ARRAY_LEN(tests));
	config_free(c);
	free(memcached_socket);
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return status;
}
