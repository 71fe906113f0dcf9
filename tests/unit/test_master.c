/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of the master that stand alone: policy, listening sockets,
 * notification, and both ends of the control conversation.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ipc/control.h"
#include "master/listen.h"
#include "master/notify.h"
#include "master/policy.h"
#include "unit.h"

/* -- policy -------------------------------------------------------------- */

static void
who_finished_a_job_is_started_again_at_once(void)
{
	struct policy p = { 4, 0 };

	policy_died(&p, true, POLICY_PACE_MS, 1000);
	CHECK_INT(policy_wait_ms(&p, 1000), 0);
	CHECK_INT(p.failures, 0);
}

/* F5: a request that kills each worker that gets it makes no storm of forks. */
static void
f5_who_dies_of_its_work_is_started_once_a_second(void)
{
	struct policy p = { 0, 0 };
	int64_t now_ms = 1000;

	for (int i = 0; i < 100; i++) {
		policy_died(&p, true, 5, now_ms + 5);
		now_ms += 5 + policy_wait_ms(&p, now_ms + 5);
	}
	CHECK_INT(now_ms, 1000 + 100 * POLICY_PACE_MS);
}

static void
who_did_nothing_waits_twice_as_long_each_time_up_to_a_limit(void)
{
	static const int want[] = { 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000 };
	struct policy p = { 0, 0 };

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		policy_died(&p, false, 5, 1000);
		CHECK_INT(policy_wait_ms(&p, 1000), want[i]);
	}
	CHECK_INT(policy_wait_ms(&p, 11000), 0);
}

static void
a_million_failures_still_wait_the_limit(void)
{
	struct policy p = { 0, 0 };

	for (unsigned i = 0; i < 1000000; i++)
		policy_died(&p, false, 5, 1000);
	CHECK_INT(policy_wait_ms(&p, 1000), POLICY_WAIT_MAX_MS);
}

static void
an_idle_one_that_lived_long_waits_the_shortest(void)
{
	struct policy p = { 6, 0 };

	policy_died(&p, false, POLICY_SETTLED_MS, 1000);
	CHECK_INT(policy_wait_ms(&p, 1000), POLICY_WAIT_MIN_MS);
}

static void
past_its_deadline_is_late(void)
{
	struct watched w = { 0, 1000 };

	CHECK_INT(policy_watch(&w, 2000, 1, true, 2000), WATCH_FINE);
	CHECK_INT(policy_watch(&w, 2000, 1, true, 2001), WATCH_LATE);
	CHECK_INT(policy_watch(&w, 2000, 1, false, 2001), WATCH_LATE);
}

static void
without_a_heartbeat_is_silent(void)
{
	struct watched w = { 0, 0 };

	policy_watch_start(&w, 1000);
	CHECK_INT(policy_watch(&w, 0, 7, false, 1000), WATCH_FINE);
	CHECK_INT(policy_watch(&w, 0, 7, false, 1000 + POLICY_SILENT_MS), WATCH_FINE);
	CHECK_INT(policy_watch(&w, 0, 7, false, 1001 + POLICY_SILENT_MS), WATCH_SILENT);
	CHECK_INT(policy_watch(&w, 0, 8, false, 1001 + POLICY_SILENT_MS), WATCH_FINE);
}

static void
who_blocks_with_a_deadline_needs_no_heartbeat(void)
{
	struct watched w = { 0, 1000 };

	CHECK_INT(policy_watch(&w, 60000, 7, true, 30000), WATCH_FINE);
	CHECK_INT(policy_watch(&w, 0, 7, true, 30000 + POLICY_SILENT_MS), WATCH_FINE);
	CHECK_INT(policy_watch(&w, 0, 7, true, 30001 + POLICY_SILENT_MS), WATCH_SILENT);
}

static void
a_loop_needs_its_heartbeat_in_spite_of_a_deadline(void)
{
	struct watched w = { 7, 1000 };

	CHECK_INT(policy_watch(&w, 60000, 7, false, 1001 + POLICY_SILENT_MS), WATCH_SILENT);
}

static void
a_deadline_of_nonsense_is_none(void)
{
	struct watched w = { 7, 1000 };

	CHECK_INT(policy_watch(&w, INT64_MAX, 7, true, 1001 + POLICY_SILENT_MS), WATCH_SILENT);
	CHECK_INT(policy_watch(&w, INT64_MIN, 8, true, 1001 + POLICY_SILENT_MS), WATCH_FINE);
	CHECK_INT(policy_watch(&w, -1, INT64_MIN, true, 1001 + POLICY_SILENT_MS), WATCH_FINE);
}

/* -- listen -------------------------------------------------------------- */

static void
addresses_are_taken_apart(void)
{
	struct listen_spec s;

	CHECK_INT(listen_parse("unix:/run/x.sock", &s, NULL), 0);
	CHECK_STR(s.path, "/run/x.sock");
	CHECK_INT(listen_parse("127.0.0.1:9000", &s, NULL), 0);
	CHECK_STR(s.path, "");
	CHECK_STR(s.host, "127.0.0.1");
	CHECK_STR(s.port, "9000");
	CHECK_INT(listen_parse("localhost:0", &s, NULL), 0);
	CHECK_STR(s.host, "localhost");
	CHECK_INT(listen_parse("[::1]:65535", &s, NULL), 0);
	CHECK_STR(s.host, "::1");
	CHECK_STR(s.port, "65535");
}

static void
other_addresses_are_refused_and_nothing_is_written(void)
{
	static const char *const bad[] = {
		"", ":", ":80", "unix:", "host", "host:", "host:x", "host:65536", "host:123456",
		"host: 80", "host:-1", "::1:80", "[]:80", "[::1]80", "/run/x.sock",
		("unix:/012345678901234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456"),
	};
	struct listen_spec s = { "path", "host", "port" };
	struct err e = ERR_NONE;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e.text[0] = '\0';
		if (listen_parse(bad[i], &s, &e) != -1)
			fprintf(stderr, "taken: '%s'\n", bad[i]);
		CHECK(e.text[0] != '\0');
	}
	CHECK_STR(s.path, "path");
	CHECK_STR(s.host, "host");
}

static void
a_live_path_is_refused_and_a_dead_one_taken(void)
{
	char dir[] = "/tmp/eo-listen-XXXXXX", text[64], name[128];
	struct listen_spec s;
	struct err e = ERR_NONE;
	struct stat st;
	int first, second;

	MUST(mkdtemp(dir) != NULL);
	(void)snprintf(text, sizeof(text), "unix:%s/s", dir);
	CHECK_INT(listen_parse(text, &s, &e), 0);
	first = listen_open(&s, 0620, (gid_t)-1, &e);
	CHECK(first != -1);
	CHECK_STR(listen_name(first, name, sizeof(name)), text);
	CHECK(stat(s.path, &st) == 0 && (st.st_mode & 0777) == 0620);
	CHECK((fcntl(first, F_GETFL) & O_NONBLOCK) != 0);
	CHECK((fcntl(first, F_GETFD) & FD_CLOEXEC) != 0);
	second = listen_open(&s, 0600, (gid_t)-1, &e);
	CHECK_INT(second, -1);
	CHECK(strstr(e.text, "in use") != NULL);
	fd_close(&first);
	second = listen_open(&s, 0600, (gid_t)-1, &e);
	CHECK(second != -1);
	fd_close(&second);
	(void)unlink(s.path);
	(void)rmdir(dir);
}

static void
a_full_queue_counts_as_live(void)
{
	char dir[] = "/tmp/eo-listen-XXXXXX";
	struct listen_spec s = { "", "", "" };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, waiting[4] = { -1, -1, -1, -1 };

	MUST(mkdtemp(dir) != NULL);
	(void)snprintf(s.path, sizeof(s.path), "%s/s", dir);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 0) == 0);
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		/* until it is full */
		(void)connect(waiting[i], (struct sockaddr *)&a, sizeof(a));
	}
	CHECK_INT(listen_open(&s, 0600, (gid_t)-1, NULL), -1);
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
		fd_close(&waiting[i]);
	fd_close(&fd);
	(void)unlink(s.path);
	(void)rmdir(dir);
}

/* Nobody may give a file to a group that it is not in. */
static void
a_group_that_cannot_be_given_is_what_the_error_names(void)
{
	char dir[] = "/tmp/eo-listen-XXXXXX";
	struct listen_spec s = { "", "", "" };
	struct err e = ERR_NONE;
	int status = -1;
	pid_t pid;

	MUST(mkdtemp(dir) != NULL && chmod(dir, 0777) == 0);
	(void)snprintf(s.path, sizeof(s.path), "%s/s", dir);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) == -1 || setgid(65534) == -1 || setuid(65534) == -1))
			_exit(2);
		if (listen_open(&s, 0660, 0, &e) != -1 || strstr(e.text, "to the group 0: ") == NULL ||
		    access(s.path, F_OK) == 0) {
			fprintf(stderr, "said '%s'\n", e.text);
			_exit(1);
		}
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	(void)rmdir(dir);
}

/* -- notify -------------------------------------------------------------- */

/* A receiver under a fresh abstract name ("@..."), which the kernel chooses. */
static int
receiver(char *name, size_t cap)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(a.sun_family);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	MUST(bind(fd, (struct sockaddr *)&a, len) == 0);
	len = sizeof(a);
	MUST(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	(void)snprintf(name, cap, "@%.*s", (int)(len - sizeof(a.sun_family) - 1), a.sun_path + 1);
	return fd;
}

static void
the_service_manager_is_told(void)
{
	char name[128], text[256] = "";
	int fd = receiver(name, sizeof(name));
	ssize_t n;

	(void)setenv("NOTIFY_SOCKET", name, 1);
	notify_init();
	notify_send("READY=1\nSTATUS=%s", "fine");
	n = recv(fd, text, sizeof(text) - 1, 0);
	CHECK_INT(n, strlen("READY=1\nSTATUS=fine"));
	CHECK_STR(text, "READY=1\nSTATUS=fine");
	notify_reloading();
	n = recv(fd, text, sizeof(text) - 1, 0);
	CHECK(n > 0);
	text[n < 0 ? 0 : n] = '\0';
	CHECK(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
	(void)unsetenv("NOTIFY_SOCKET");
	fd_close(&fd);
}

static void
the_watchdog_is_fed_only_when_it_is_ours(void)
{
	char name[128], text[256] = "", pid[32];
	int fd = receiver(name, sizeof(name));

	(void)setenv("NOTIFY_SOCKET", name, 1);
	(void)setenv("WATCHDOG_USEC", "30000000", 1);
	(void)setenv("WATCHDOG_PID", "1", 1);
	notify_init();
	notify_watchdog();
	CHECK(recv(fd, text, sizeof(text) - 1, 0) == -1 && errno == EAGAIN);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("WATCHDOG_PID", pid, 1);
	notify_init();
	notify_watchdog();
	CHECK(recv(fd, text, sizeof(text) - 1, 0) > 0);
	CHECK_STR(text, "WATCHDOG=1");
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	fd_close(&fd);
}

static void
without_a_manager_nothing_happens(void)
{
	(void)unsetenv("NOTIFY_SOCKET");
	notify_init();
	notify_send("READY=1");
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	notify_init();
	notify_send("READY=1");
	(void)setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	notify_init();
	notify_send("READY=1");
	(void)unsetenv("NOTIFY_SOCKET");
	CHECK(true);	/* it returned */
}

/* -- control ------------------------------------------------------------- */

struct talk { int master, child; };

static struct talk
talk(void)
{
	int pair[2];

	MUST(fd_socketpair(SOCK_SEQPACKET, true, pair, NULL) == 0);
	return (struct talk){ pair[0], pair[1] };
}

static void
ready_carries_the_generation(void)
{
	struct talk t = talk();
	uint64_t generation = 0;

	CHECK_INT(control_read_child(t.master, &generation), CONTROL_NONE);
	CHECK_INT(control_ready(t.child, 7), 0);
	CHECK_INT(control_read_child(t.master, &generation), CONTROL_READY);
	CHECK_INT(generation, 7);
	fd_close(&t.child);
	CHECK_INT(control_read_child(t.master, &generation), CONTROL_GONE);
	fd_close(&t.master);
}

static void
reload_carries_a_descriptor_and_drain_none(void)
{
	struct talk t = talk();
	int memfd = fd_memfd_sealed("c", "text", 4, NULL), got = -1, none = -1;
	char text[8] = "";

	CHECK_INT(control_read(t.child, &got), CONTROL_NONE);
	CHECK_INT(control_send(t.master, CONTROL_RELOAD, memfd), 0);
	CHECK_INT(control_send(t.master, CONTROL_DRAIN, -1), 0);
	CHECK_INT(control_read(t.child, &got), CONTROL_RELOAD);
	CHECK(got != -1);
	CHECK_INT(read(got, text, sizeof(text)), 4);
	CHECK_INT(control_read(t.child, &none), CONTROL_DRAIN);
	CHECK_INT(none, -1);
	fd_close(&t.master);
	CHECK_INT(control_read(t.child, &none), CONTROL_GONE);
	fd_close(&got);
	fd_close(&memfd);
	fd_close(&t.child);
}

/* The kernel drops what a process has no room for. */
static void
a_reload_whose_descriptor_is_lost_is_told(void)
{
	struct talk t = talk();
	int memfd = fd_memfd_sealed("c", "text", 4, NULL), got = 7;
	struct rlimit all, few;

	MUST(getrlimit(RLIMIT_NOFILE, &all) == 0);
	few = (struct rlimit){ .rlim_cur = 3, .rlim_max = all.rlim_max };
	CHECK_INT(control_send(t.master, CONTROL_RELOAD, memfd), 0);
	MUST(setrlimit(RLIMIT_NOFILE, &few) == 0);
	CHECK_INT(control_read(t.child, &got), CONTROL_RELOAD);
	MUST(setrlimit(RLIMIT_NOFILE, &all) == 0);
	CHECK_INT(got, -1);
	fd_close(&memfd);
	fd_close(&t.master);
	fd_close(&t.child);
}

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
nonsense_is_dropped_and_its_descriptors_closed(void)
{
	static const char junk[64] = "junk";
	static const size_t sizes[] = { 1, 15, 16, 17, 64 };
	struct talk t = talk();
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), got = -1;
	unsigned before = open_fds();
	uint64_t generation = 5;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CHECK_INT(fd_send(t.master, junk, sizes[i], &null, 1), 0);
		CHECK_INT(control_read(t.child, &got), CONTROL_NONE);
		CHECK_INT(fd_send(t.child, junk, sizes[i], &null, 1), 0);
		CHECK_INT(control_read_child(t.master, &generation), CONTROL_NONE);
	}
	/* what only the other end may say */
	CHECK_INT(control_ready(t.master, 1), 0);
	CHECK_INT(control_read(t.child, &got), CONTROL_NONE);
	CHECK_INT(control_send(t.child, CONTROL_DRAIN, null), 0);
	CHECK_INT(control_read_child(t.master, &generation), CONTROL_NONE);
	CHECK_INT(generation, 5);
	CHECK_INT(got, -1);
	CHECK_INT(open_fds(), before);
	fd_close(&null);
	fd_close(&t.master);
	fd_close(&t.child);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(who_finished_a_job_is_started_again_at_once),
		UNIT(f5_who_dies_of_its_work_is_started_once_a_second),
		UNIT(who_did_nothing_waits_twice_as_long_each_time_up_to_a_limit),
		UNIT(a_million_failures_still_wait_the_limit),
		UNIT(an_idle_one_that_lived_long_waits_the_shortest),
		UNIT(past_its_deadline_is_late),
		UNIT(without_a_heartbeat_is_silent),
		UNIT(who_blocks_with_a_deadline_needs_no_heartbeat),
		UNIT(a_loop_needs_its_heartbeat_in_spite_of_a_deadline),
		UNIT(a_deadline_of_nonsense_is_none),
		UNIT(addresses_are_taken_apart),
		UNIT(other_addresses_are_refused_and_nothing_is_written),
		UNIT(a_live_path_is_refused_and_a_dead_one_taken),
		UNIT(a_full_queue_counts_as_live),
		UNIT(a_group_that_cannot_be_given_is_what_the_error_names),
		UNIT(the_service_manager_is_told),
		UNIT(the_watchdog_is_fed_only_when_it_is_ours),
		UNIT(without_a_manager_nothing_happens),
		UNIT(ready_carries_the_generation),
		UNIT(reload_carries_a_descriptor_and_drain_none),
		UNIT(a_reload_whose_descriptor_is_lost_is_told),
		UNIT(nonsense_is_dropped_and_its_descriptors_closed),
	};

	return unit_run("master", t, ARRAY_LEN(t));
}
