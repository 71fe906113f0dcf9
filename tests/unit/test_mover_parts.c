/* SPDX-License-Identifier: Apache-2.0
 *
 * The mover's loop (timers, events of descriptors that go away in mid-turn),
 * its lines of those who wait, and its spool.
 */
#include "base/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "mover/lines.h"
#include "mover/loop.h"
#include "mover/spool.h"
#include "unit/unit.h"

enum { TIMERS = 500 };

struct tick {
	struct timer t;
	int64_t at;
	bool ran;
};

static struct loop *loop;
static int64_t last_at;
static bool in_order;
static size_t ran;

static void
on_tick(void *arg)
{
	struct tick *k = arg;

	in_order = in_order && k->at >= last_at;
	last_at = k->at;
	k->ran = true;
	ran++;
}

static struct loop *
open_loop(void)
{
	struct err e = ERR_NONE;

	last_at = 0;
	in_order = true;
	ran = 0;
	return loop_new(&e);
}

static void
timers_run_in_their_order_and_cleared_ones_never(void)
{
	static struct tick ticks[TIMERS];
	int64_t now = clock_mono_ms();
	unsigned seed = 7;

	loop = open_loop();
	for (size_t i = 0; i < TIMERS; i++) {
		ticks[i] = (struct tick){ .at = now + rand_r(&seed) % 1000 };
		timer_set(loop, &ticks[i].t, ticks[i].at, on_tick, &ticks[i]);
	}
	for (size_t i = 0; i < TIMERS; i += 3)
		timer_clear(loop, &ticks[i].t);
	for (size_t i = 1; i < TIMERS; i += 3) {	/* moved, in both directions */
		ticks[i].at = now + rand_r(&seed) % 1000;
		timer_set(loop, &ticks[i].t, ticks[i].at, on_tick, &ticks[i]);
	}
	clock_shift_ms(2000);
	loop_turn(loop, 0);
	clock_shift_ms(0);
	CHECK(in_order);
	CHECK_INT(ran, TIMERS - (TIMERS + 2) / 3);
	for (size_t i = 0; i < TIMERS; i += 3)
		CHECK(!ticks[i].ran);
	loop_free(loop);
}

static struct timer again;

static void
on_again(void *arg)
{
	ran++;
	timer_set(loop, &again, clock_mono_ms(), on_again, arg);
}

static void
a_timer_that_sets_itself_for_now_waits_for_the_next_turn(void)
{
	loop = open_loop();
	timer_set(loop, &again, clock_mono_ms(), on_again, NULL);
	loop_turn(loop, 0);
	CHECK_INT(ran, 1);
	loop_turn(loop, 0);
	CHECK_INT(ran, 2);
	timer_clear(loop, &again);
	loop_free(loop);
}

struct pipe_end {
	struct watch w;
	struct pipe_end *other;
};

static void
on_pipe(void *arg, uint32_t events UNUSED)
{
	struct pipe_end *p = arg;

	ran++;
	loop_unwatch(loop, &p->other->w);
}

static void
an_event_of_a_forgotten_descriptor_is_not_delivered(void)
{
	struct pipe_end a, b;
	int x[2], y[2];

	loop = open_loop();
	CHECK_INT(fd_socketpair(SOCK_STREAM, true, x, NULL), 0);
	CHECK_INT(fd_socketpair(SOCK_STREAM, true, y, NULL), 0);
	a.other = &b;
	b.other = &a;
	CHECK_INT(loop_watch(loop, &a.w, x[0], EPOLLIN, on_pipe, &a), 0);
	CHECK_INT(loop_watch(loop, &b.w, y[0], EPOLLIN, on_pipe, &b), 0);
	CHECK_INT(fd_write_all(x[1], "x", 1), 0);
	CHECK_INT(fd_write_all(y[1], "y", 1), 0);
	loop_turn(loop, 0);	/* both are ready; the first one forgets the other */
	CHECK_INT(ran, 1);
	for (int i = 0; i < 2; i++) {
		fd_close(&x[i]);
		fd_close(&y[i]);
	}
	loop_free(loop);
}

static int
temp_file(void)
{
	char name[] = "/tmp/eodata-spool-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	(void)unlink(name);
	return fd;
}

static void
the_spool_reads_back_what_was_added(void)
{
	struct err e = ERR_NONE;
	struct spool s;
	char got[16] = "";

	CHECK_INT(spool_init(&s, temp_file(), &e), 0);
	CHECK_INT(spool_add(&s, "hello ", 6, &e), 0);
	CHECK_INT(spool_add(&s, "world", 5, &e), 0);
	CHECK_INT(s.head, 11);
	CHECK_INT(spool_read(&s, got, 11, 0), 11);
	CHECK_STR(got, "hello world");
	CHECK(!spool_in_memory(&s));
	spool_release(&s);
}

static void
a_file_that_cannot_grow_goes_on_in_memory_and_keeps_what_it_had(void)
{
	struct err e = ERR_NONE;
	struct spool s;
	char got[8] = "";
	int fd = temp_file();

	CHECK_INT(spool_init(&s, fd, &e), 0);
	CHECK_INT(spool_add(&s, "abc", 3, &e), 0);
	fd_close(&s.fd);
	s.fd = open("/dev/full", O_RDWR | O_CLOEXEC);	/* every write: no space */
	CHECK_INT(spool_add(&s, "def", 3, &e), 1);
	CHECK_INT(spool_add(&s, "ghi", 3, &e), 0);
	CHECK(spool_in_memory(&s));
	CHECK_INT(s.switch_at, 3);
	CHECK_INT(spool_read(&s, got, 6, 3), 6);
	CHECK_STR(got, "defghi");
	spool_release(&s);
}

static void
a_read_does_not_cross_from_file_to_memory(void)
{
	struct err e = ERR_NONE;
	struct spool s;
	char got[8] = "";

	CHECK_INT(spool_init(&s, temp_file(), &e), 0);
	CHECK_INT(spool_add(&s, "abc", 3, &e), 0);
	s.mem_fd = temp_file();
	s.switch_at = 3;
	CHECK_INT(spool_add(&s, "def", 3, &e), 0);
	CHECK_INT(spool_read(&s, got, 6, 0), 3);
	CHECK_STR(got, "abc");
	spool_release(&s);
}

static void
dropping_gives_back_whole_blocks_and_keeps_the_rest(void)
{
	static char block[1 << 17];
	struct err e = ERR_NONE;
	struct spool s;
	char got = 'x';

	CHECK_INT(spool_init(&s, temp_file(), &e), 0);
	memset(block, 'b', sizeof(block));
	CHECK_INT(spool_add(&s, block, sizeof(block), &e), 0);
	CHECK_INT(spool_drop(&s, 1000), 0);
	CHECK_INT(spool_drop(&s, (1 << 16) + 1000), 1 << 16);
	CHECK_INT(s.tail, 1 << 16);
	CHECK_INT(spool_read(&s, &got, 1, (1 << 16) + 1000), 1);
	CHECK_INT(got, 'b');
	CHECK_INT(spool_drop(&s, sizeof(block)), 1 << 16);
	spool_release(&s);
}

static void
users_take_turns_and_each_waits_behind_its_own(void)
{
	static const char *const user[] = { "a", "a", "a", "b", "", "a", "b" };
	static const size_t want[] = { 0, 3, 4, 1, 6, 2, 5 };
	struct waiter w[ARRAY_LEN(user)] = { 0 };
	struct lines l;

	lines_init(&l);
	CHECK(lines_first(&l) == NULL && lines_take(&l) == NULL);
	for (size_t i = 0; i < ARRAY_LEN(user); i++)
		lines_add(&l, &w[i], user[i]);
	CHECK_INT(l.n, ARRAY_LEN(user));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		CHECK(lines_first(&l) == &w[want[i]]);
		CHECK(lines_take(&l) == &w[want[i]]);
		CHECK(w[want[i]].line == NULL);
	}
	CHECK(l.n == 0 && l.users == NULL);
}

static void
who_gives_up_keeps_nobody_waiting(void)
{
	struct waiter a[2] = { 0 }, b = { 0 };
	struct lines l;

	lines_init(&l);
	lines_add(&l, &a[0], "a");
	lines_add(&l, &b, "b");
	lines_add(&l, &a[1], "a");
	lines_remove(&l, &a[0]);
	lines_remove(&l, &a[0]);
	CHECK_INT(l.n, 2);
	CHECK(lines_take(&l) == &a[1] && lines_take(&l) == &b && lines_take(&l) == NULL);
	lines_add(&l, &a[0], "a");	/* and comes again */
	lines_remove(&l, &a[0]);
	CHECK(l.n == 0 && l.users == NULL);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(timers_run_in_their_order_and_cleared_ones_never),
		UNIT(a_timer_that_sets_itself_for_now_waits_for_the_next_turn),
		UNIT(an_event_of_a_forgotten_descriptor_is_not_delivered),
		UNIT(the_spool_reads_back_what_was_added),
		UNIT(a_file_that_cannot_grow_goes_on_in_memory_and_keeps_what_it_had),
		UNIT(a_read_does_not_cross_from_file_to_memory),
		UNIT(dropping_gives_back_whole_blocks_and_keeps_the_rest),
		UNIT(users_take_turns_and_each_waits_behind_its_own),
		UNIT(who_gives_up_keeps_nobody_waiting),
	};

	return unit_run("mover_parts", tests, ARRAY_LEN(tests));
}
