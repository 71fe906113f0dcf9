/* SPDX-License-Identifier: Apache-2.0
 *
 * Provider slots: counted over processes, and free again when one dies.
 */
#include "base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/slots.h"
#include "unit.h"

static int
temp_file(void)
{
	char name[] = "/tmp/eodata-slots-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	(void)unlink(name);
	return fd;
}

static void
no_more_than_the_limit_are_given(void)
{
	struct err e = ERR_NONE;
	int fd = temp_file(), a, b;
	struct provider_slots *s = provider_slots_open(fd, &e);

	a = provider_slots_take(s, "peps", 2);
	b = provider_slots_take(s, "peps", 2);
	CHECK(a >= 0 && b >= 0 && a != b);
	CHECK_INT(provider_slots_take(s, "peps", 2), -1);
	CHECK(provider_slots_take(s, "other", 1) >= 0);
	CHECK_INT(provider_slots_used(s, "peps"), 2);
	provider_slots_give(s, a);
	CHECK(provider_slots_take(s, "peps", 2) >= 0);
	provider_slots_free(s);
	fd_close(&fd);
}

/*
 * A process that maps the file when the gate (NULL: none) ends, takes n and says
 * how many it got.  It has its descriptor from us, as movers have theirs from
 * the master.
 */
static pid_t
taker(int fd, const int *gate, unsigned n, unsigned limit, int *ret_say)
{
	struct err e = ERR_NONE;
	struct provider_slots *s;
	int say[2];
	uint8_t got = 0;
	pid_t pid;

	if (pipe(say) == -1)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (gate != NULL) {
			(void)close(gate[1]);
			(void)!read(gate[0], &got, 1);
		}
		s = provider_slots_open(fd, &e);
		for (unsigned i = 0; s != NULL && i < n; i++)
			got = (uint8_t)(got + (provider_slots_take(s, "peps", limit) >= 0));
		(void)!write(say[1], &got, 1);
		for (;;)
			(void)pause();
	}
	(void)close(say[1]);
	*ret_say = say[0];
	return pid;
}

static void
processes_share_the_limit_and_the_dead_give_back(void)
{
	enum { N = 8, LIMIT = 5 };
	struct err e = ERR_NONE;
	int fd = temp_file(), say[N], gate[2];
	unsigned sum = 0;
	uint8_t got;
	pid_t pid[N];
	struct provider_slots *s;

	CHECK_INT(pipe(gate), 0);
	for (int i = 0; i < N; i++)
		pid[i] = taker(fd, gate, 3, LIMIT, &say[i]);
	(void)close(gate[0]);
	(void)close(gate[1]);	/* all at once: the file is empty still */
	for (int i = 0; i < N; i++) {
		CHECK_INT(read(say[i], &got, 1), 1);
		sum += got;
	}
	CHECK_INT(sum, LIMIT);
	s = provider_slots_open(fd, &e);
	CHECK_INT(provider_slots_take(s, "peps", LIMIT), -1);
	for (int i = 0; i < N; i++) {
		(void)kill(pid[i], SIGKILL);
		(void)waitpid(pid[i], NULL, 0);
		(void)close(say[i]);
	}
	clock_shift_ms(1000);	/* the dead are looked for again */
	CHECK(provider_slots_take(s, "peps", LIMIT) >= 0);
	CHECK_INT(provider_slots_used(s, "peps"), 1);
	clock_shift_ms(0);
	provider_slots_free(s);
	fd_close(&fd);
}

/* Another mover; each byte that it hears is answered.  'w': it waits, 'a': it waits anew, 't': does it get a slot? 'g': it gives it back. */
static pid_t
other_mover(int fd, int say[2])
{
	struct err e = ERR_NONE;
	struct provider_slots *s;
	int slot = -1;
	char word;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	s = provider_slots_open(fd, &e);
	while (s != NULL && read(say[1], &word, 1) == 1) {
		if (word == 'a')
			provider_slots_wait(s, "peps", false);
		if (word == 'a' || word == 'w')
			provider_slots_wait(s, "peps", true);
		if (word == 't')
			slot = provider_slots_take(s, "peps", 1);
		if (word == 't')
			word = slot >= 0 ? 'y' : 'n';
		if (word == 'g')
			provider_slots_give(s, slot);
		(void)!write(say[1], &word, 1);
	}
	_exit(0);
}

static char
tell(int say[2], char word)
{
	CHECK_INT(write(say[0], &word, 1), 1);
	CHECK_INT(read(say[0], &word, 1), 1);
	return word;
}

/* It gives its only slot back and would take it again at once, for its queue does not end. */
static void
movers_that_wait_take_turns_and_one_that_is_stopped_loses_its(void)
{
	struct err e = ERR_NONE;
	int fd = temp_file(), say[2], slot;
	struct provider_slots *s = provider_slots_open(fd, &e);
	pid_t pid;

	CHECK_INT(fd_socketpair(SOCK_STREAM, false, say, &e), 0);
	pid = other_mover(fd, say);
	slot = provider_slots_take(s, "peps", 1);
	CHECK(slot >= 0);
	provider_slots_wait(s, "peps", true);
	CHECK_INT(tell(say, 'w'), 'w');
	CHECK_INT(tell(say, 't'), 'n');
	provider_slots_give(s, slot);
	CHECK_INT(tell(say, 'a'), 'a');			/* later than we, however long that took */
	slot = provider_slots_take(s, "peps", 1);	/* both have just begun to wait */
	CHECK(slot >= 0);
	clock_shift_ms(1000);				/* for us alone: as if it had begun to wait then */
	provider_slots_give(s, slot);
	slot = provider_slots_take(s, "peps", 1);
	CHECK(slot >= 0);				/* we have waited as long */
	provider_slots_give(s, slot);
	CHECK_INT(provider_slots_take(s, "peps", 1), -1);
	CHECK_INT(tell(say, 't'), 'y');
	CHECK_INT(tell(say, 'g'), 'g');
	provider_slots_wait(s, "peps", false);
	CHECK_INT(provider_slots_take(s, "peps", 1), -1);	/* who comes new is behind who waits */
	clock_shift_ms(PROVIDER_TURN_MS + 1);
	slot = provider_slots_take(s, "peps", 1);		/* it did not take it */
	CHECK(slot >= 0);
	provider_slots_give(s, slot);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	clock_shift_ms(1000);
	slot = provider_slots_take(s, "peps", 1);	/* nor does a dead one wait */
	CHECK(slot >= 0);
	clock_shift_ms(0);
	fd_close(&say[0]);
	fd_close(&say[1]);
	provider_slots_free(s);
	fd_close(&fd);
}

static void
a_number_that_nobody_holds_is_no_owner(void)
{
	struct err e = ERR_NONE;
	int fd = temp_file(), say;
	uint8_t got = 0;
	pid_t pid = taker(fd, NULL, 1, 1, &say);
	struct provider_slots *s;
	uint64_t owner;

	CHECK_INT(read(say, &got, 1), 1);
	CHECK_INT(got, 1);
	/* the owner's number stands before its pid; the first row follows the mutex */
	s = provider_slots_open(fd, &e);
	for (off_t at = 0; at < 4096; at += 8) {
		uint32_t found = 0;

		if (pread(fd, &found, sizeof(found), at) == (ssize_t)sizeof(found) && found == (uint32_t)pid) {
			CHECK_INT(pread(fd, &owner, sizeof(owner), at - 8), sizeof(owner));
			owner++;
			CHECK_INT(pwrite(fd, &owner, sizeof(owner), at - 8), sizeof(owner));
		}
	}
	clock_shift_ms(1000);
	CHECK(provider_slots_take(s, "peps", 1) >= 0);
	clock_shift_ms(0);
	provider_slots_free(s);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)close(say);
	fd_close(&fd);
}

static void
a_file_of_something_else_is_made_anew(void)
{
	struct err e = ERR_NONE;
	struct provider_slots *s;
	int fd = temp_file();

	CHECK_INT(fd_write_all(fd, "something else", 14), 0);
	s = provider_slots_open(fd, &e);
	CHECK(s != NULL);
	CHECK(provider_slots_take(s, "peps", 1) >= 0);
	provider_slots_free(s);
	fd_close(&fd);
}

static void
who_wants_nobody_is_known_to_all_until_its_end(void)
{
	struct err e = ERR_NONE;
	int fd = temp_file();
	struct provider_slots *s = provider_slots_open(fd, &e), *other = provider_slots_open(fd, &e);
	int64_t until = clock_mono_ms() + 5000;

	CHECK_INT(provider_slots_cool_until(other, "peps"), 0);
	CHECK_INT(provider_slots_cool(s, "peps", until), 0);
	CHECK_INT(provider_slots_cool(s, "peps", until - 1000), 0);	/* a shorter one changes nothing */
	CHECK_INT(provider_slots_cool_until(other, "peps"), until);
	CHECK_INT(provider_slots_cool_until(other, "other"), 0);
	CHECK_INT(provider_slots_used(other, "peps"), 0);		/* and is no slot */
	CHECK(provider_slots_take(other, "peps", 1) >= 0);
	provider_slots_free(s);		/* nor goes with who was told */
	CHECK_INT(provider_slots_cool_until(other, "peps"), until);
	CHECK_INT(provider_slots_take(other, "peps", 1), -1);		/* looks for the dead */
	CHECK_INT(provider_slots_cool_until(other, "peps"), until);
	clock_shift_ms(6000);
	CHECK_INT(provider_slots_take(other, "peps", 1), -1);
	CHECK_INT(provider_slots_cool_until(other, "peps"), 0);		/* its row is free again */
	CHECK_INT(provider_slots_cool(other, "peps", clock_mono_ms() + 2 * (int64_t)PROVIDER_COOL_MAX_MS), 0);
	CHECK_INT(provider_slots_cool_until(other, "peps"), 0);		/* of before a boot: nobody says so now */
	clock_shift_ms(0);
	provider_slots_free(other);
	fd_close(&fd);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(no_more_than_the_limit_are_given),
		UNIT(processes_share_the_limit_and_the_dead_give_back),
		UNIT(movers_that_wait_take_turns_and_one_that_is_stopped_loses_its),
		UNIT(a_number_that_nobody_holds_is_no_owner),
		UNIT(a_file_of_something_else_is_made_anew),
		UNIT(who_wants_nobody_is_known_to_all_until_its_end),
	};

	return unit_run("slots", tests, ARRAY_LEN(tests));
}
