/* SPDX-License-Identifier: Apache-2.0
 *
 * The scoreboard: attach checks, sums, what is shown.
 */
#include "base/base.h"

#include "stat/scoreboard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "unit.h"

static struct scoreboard *
fresh(int *fd)
{
	struct err e = ERR_NONE;
	struct scoreboard *sb = scoreboard_create(fd, &e);

	MUST(sb != NULL);
	return sb;
}

static void
done(struct scoreboard *sb, int fd)
{
	scoreboard_detach(sb);
	fd_close(&fd);
}

static void
what_one_process_writes_another_sees(void)
{
	int fd, status = -1;
	struct scoreboard *sb = fresh(&fd);
	pid_t pid;

	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		struct scoreboard *mine = scoreboard_attach(fd, NULL);

		if (mine == NULL)
			_exit(1);
		stat_init(mine, SLOT_WORKERS);
		stat_claim(ROLE_WORKER, 4);
		stat_state(SLOT_BUSY);
		stat_add(COUNT_REQUESTS, 7);
		stat_gauge(GAUGE_QUEUED, 3);
		stat_deadline(1234, "abc");
		stat_heartbeat();
		stat_job_done();
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(sb->slot[SLOT_WORKERS].pid, pid);
	CHECK_INT(sb->slot[SLOT_WORKERS].role, ROLE_WORKER);
	CHECK_INT(sb->slot[SLOT_WORKERS].index, 4);
	CHECK_INT(sb->slot[SLOT_WORKERS].state, SLOT_BUSY);
	CHECK_INT(sb->slot[SLOT_WORKERS].deadline_mono_ms, 1234);
	CHECK_INT(sb->slot[SLOT_WORKERS].jobs, 1);
	CHECK(sb->slot[SLOT_WORKERS].heartbeat_mono_ms > 0);
	CHECK_STR(sb->slot[SLOT_WORKERS].note, "abc");
	CHECK_INT(scoreboard_sum(sb, COUNT_REQUESTS), 7);
	done(sb, fd);
}

static void
who_is_at_work_sees_how_many_others_are(void)
{
	static const enum slot_state state[] = { SLOT_BUSY, SLOT_READY, SLOT_DEAD, SLOT_BUSY, SLOT_DRAINING, SLOT_BUSY };
	int fd;
	struct scoreboard *sb = fresh(&fd);

	CHECK_INT(scoreboard_busy(sb, SLOT_WORKERS, ARRAY_LEN(state)), 0);
	for (unsigned i = 0; i < ARRAY_LEN(state); i++)
		sb->slot[SLOT_WORKERS + i].state = state[i];
	sb->slot[SLOT_WORKERS - 1].state = SLOT_BUSY;
	CHECK_INT(scoreboard_busy(sb, SLOT_WORKERS, ARRAY_LEN(state)), 3);
	CHECK_INT(scoreboard_busy(sb, SLOT_WORKERS, ARRAY_LEN(state) - 1), 2);
	stat_init(sb, SLOT_WORKERS + 3);
	CHECK_INT(scoreboard_busy(sb, SLOT_WORKERS, ARRAY_LEN(state)), 2);
	done(sb, fd);
}

static void
counters_stay_when_a_process_is_replaced(void)
{
	int fd;
	struct scoreboard *sb = fresh(&fd);

	stat_init(sb, 5);
	stat_claim(ROLE_MOVER, 0);
	stat_add(COUNT_TRANSFERS, 2);
	stat_gauge(GAUGE_CLIENTS, 9);
	stat_job_done();
	stat_claim(ROLE_MOVER, 0);
	stat_inc(COUNT_TRANSFERS);
	CHECK_INT(scoreboard_sum(sb, COUNT_TRANSFERS), 3);
	CHECK_INT(sb->slot[5].jobs, 1);
	CHECK_INT(sb->slot[5].gauge[GAUGE_CLIENTS], 0);
	CHECK_INT(sb->slot[5].state, SLOT_STARTING);
	done(sb, fd);
}

static void
writes_before_init_do_nothing(void)
{
	stat_add(COUNT_REQUESTS, 1);
	stat_gauge(GAUGE_CLIENTS, 1);
	stat_deadline(1, "x");
	stat_heartbeat();
	stat_claim(ROLE_WORKER, 0);
	CHECK(stat_slot() == NULL);
}

static void
foreign_memory_is_refused(void)
{
	struct err e = ERR_NONE;
	char *zeros = mem_alloc(sizeof(struct scoreboard));
	int fd = fd_memfd_sealed("zeros", zeros, sizeof(struct scoreboard), &e);
	int small = fd_memfd_sealed("small", "x", 1, &e);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int pipes[2];

	MUST(pipe(pipes) == 0);
	CHECK(scoreboard_attach(fd, &e) == NULL);
	CHECK(scoreboard_attach(small, &e) == NULL);
	CHECK(scoreboard_attach(null, &e) == NULL);
	CHECK(scoreboard_attach(pipes[0], &e) == NULL);
	CHECK(scoreboard_attach(-1, &e) == NULL);
	CHECK(e.text[0] != '\0');
	fd_close(&fd);
	fd_close(&small);
	fd_close(&null);
	fd_close(&pipes[0]);
	fd_close(&pipes[1]);
	free(zeros);
}

static void
its_size_cannot_be_changed(void)
{
	int fd;
	struct scoreboard *sb = fresh(&fd);

	CHECK(ftruncate(fd, 0) == -1);
	done(sb, fd);
}

static void
a_reader_maps_it_read_only(void)
{
	int fd, ro;
	struct scoreboard *sb = fresh(&fd), *seen;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	MUST(ro != -1);
	seen = scoreboard_attach(ro, NULL);
	CHECK(seen != NULL);
	CHECK(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED);
	scoreboard_detach(seen);
	fd_close(&ro);
	done(sb, fd);
}

static void
a_long_note_is_cut_and_ended(void)
{
	int fd;
	struct scoreboard *sb = fresh(&fd);
	char note[3 * SLOT_NOTE_MAX];

	memset(note, 'n', sizeof(note) - 1);
	note[sizeof(note) - 1] = '\0';
	stat_init(sb, 0);
	stat_deadline(1, note);
	CHECK_INT(strlen(sb->slot[0].note), SLOT_NOTE_MAX - 1);
	stat_deadline(0, NULL);
	CHECK_STR(sb->slot[0].note, "");
	done(sb, fd);
}

static void
text_of_others_is_escaped_in_json(void)
{
	int fd;
	struct scoreboard *sb = fresh(&fd);
	struct buf out = BUF_INIT(1 << 20);

	stat_init(sb, 0);
	stat_claim(ROLE_MASTER, 0);
	memset(sb->slot[0].note, '"', SLOT_NOTE_MAX);	/* no NUL at all */
	scoreboard_json(sb, &out);
	CHECK(buf_ok(&out));
	CHECK(strstr(buf_str(&out), "\\\"\\\"") != NULL);
	CHECK(strstr(buf_str(&out), "\"role\":\"master\"") != NULL);
	buf_release(&out);
	done(sb, fd);
}

static void
wild_numbers_of_others_are_shown_without_harm(void)
{
	int fd;
	struct scoreboard *sb = fresh(&fd);
	struct buf out = BUF_INIT(4 << 20);

	memset(sb->slot, 0xff, sizeof(sb->slot));
	scoreboard_json(sb, &out);
	scoreboard_prometheus(sb, &out);
	CHECK(buf_ok(&out));
	CHECK(strstr(buf_str(&out), "\"role\":\"unknown\"") != NULL);
	CHECK(strstr(buf_str(&out), "state=\"unknown\"") != NULL);
	buf_release(&out);
	done(sb, fd);
}

static void
gauges_of_the_dead_do_not_count(void)
{
	int fd;
	struct scoreboard *sb = fresh(&fd);
	struct buf out = BUF_INIT(1 << 20);

	stat_init(sb, SLOT_MOVERS);
	stat_claim(ROLE_MOVER, 0);
	stat_gauge(GAUGE_CLIENTS, 5);
	scoreboard_prometheus(sb, &out);
	CHECK(strstr(buf_str(&out), "\neodata_proxy_clients 5\n") != NULL);
	stat_state(SLOT_DEAD);
	buf_clear(&out);
	scoreboard_prometheus(sb, &out);
	CHECK(strstr(buf_str(&out), "\neodata_proxy_clients 0\n") != NULL);
	buf_release(&out);
	done(sb, fd);
}

static void
a_bound_shows_the_process_that_is_nearest_to_it(void)
{
	int fd;
	struct scoreboard *sb = fresh(&fd);
	struct buf out = BUF_INIT(1 << 20);
	const struct slot *s;
	struct bound_use u;

	CHECK(scoreboard_fullest(sb, BOUND_CLIENTS, &u) == NULL);
	for (unsigned i = 0; i < 3; i++) {
		stat_init(sb, SLOT_MOVERS + i);
		stat_claim(ROLE_MOVER, i);
		stat_bound(BOUND_CLIENTS, i == 1 ? 50 : 60, i == 1 ? 100 : 1000);
		stat_bound_reached(BOUND_CLIENTS);
	}
	s = scoreboard_fullest(sb, BOUND_CLIENTS, &u);
	CHECK(s == &sb->slot[SLOT_MOVERS + 1]);
	CHECK_INT(u.used, 50);
	CHECK_INT(u.max, 100);
	CHECK_INT(u.reached, 3);
	scoreboard_json(sb, &out);
	CHECK(strstr(buf_str(&out), "\"bounds\":{\"clients\":{\"used\":50,\"max\":100,\"reached\":3,\"role\":\"mover\","
	    "\"index\":1}}") != NULL);
	buf_clear(&out);
	scoreboard_prometheus(sb, &out);
	CHECK(strstr(buf_str(&out), "eodata_proxy_bound_used{role=\"mover\",index=\"1\",slot=\"4\",bound=\"clients\"} 50\n") !=
	    NULL);
	/* the next process in the slot begins with nothing, and what was counted stays */
	stat_init(sb, SLOT_MOVERS + 1);
	stat_claim(ROLE_MOVER, 1);
	s = scoreboard_fullest(sb, BOUND_CLIENTS, &u);
	CHECK(s == &sb->slot[SLOT_MOVERS] || s == &sb->slot[SLOT_MOVERS + 2]);
	CHECK_INT(u.reached, 3);
	buf_release(&out);
	done(sb, fd);
}

/* Twice the same role and index, as when a reload overlaps: promtool refuses doubles. */
static void
promtool_accepts_the_metrics(void)
{
	int fd, status;
	struct scoreboard *sb = fresh(&fd);
	struct buf out = BUF_INIT(1 << 20);
	FILE *f;

	if (system("command -v promtool >/dev/null 2>&1") != 0) {
		fprintf(stderr, "skipped: no promtool\n");
		done(sb, fd);
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		stat_init(sb, SLOT_WORKERS + i);
		stat_claim(ROLE_WORKER, i / 2);
		stat_add(COUNT_REQUESTS, i);
		stat_bound(BOUND_WAITING, i, 256);
	}
	scoreboard_prometheus(sb, &out);
	f = popen("promtool check metrics >&2", "w");
	MUST(f != NULL);
	CHECK_INT(fwrite(out.data, 1, out.len, f), out.len);
	status = pclose(f);
	CHECK_INT(status, 0);
	buf_release(&out);
	done(sb, fd);
}

static void
the_slots_do_not_overlap(void)
{
	CHECK(SLOT_WORKERS + SLOT_WORKERS_MAX <= (int)SLOT_RESOLVER(SLOT_RESOLVERS_MAX - 1));
	CHECK(SLOT_RESOLVER(0) == SCOREBOARD_SLOTS - 1);
	CHECK(SLOT_WORKERS_MAX >= 2 * 64);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(writes_before_init_do_nothing),
		UNIT(what_one_process_writes_another_sees),
		UNIT(who_is_at_work_sees_how_many_others_are),
		UNIT(counters_stay_when_a_process_is_replaced),
		UNIT(foreign_memory_is_refused),
		UNIT(its_size_cannot_be_changed),
		UNIT(a_reader_maps_it_read_only),
		UNIT(a_long_note_is_cut_and_ended),
		UNIT(text_of_others_is_escaped_in_json),
		UNIT(wild_numbers_of_others_are_shown_without_harm),
		UNIT(gauges_of_the_dead_do_not_count),
		UNIT(a_bound_shows_the_process_that_is_nearest_to_it),
		UNIT(promtool_accepts_the_metrics),
		UNIT(the_slots_do_not_overlap),
	};

	return unit_run("scoreboard", t, ARRAY_LEN(t));
}
