/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests beside the loop: the same as in one go, however the body came; and
 * what is freed in mid-piece is nobody's any more.
 */
#include "base/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "mover/hashing.h"
#include "unit/unit.h"

enum { BODY = 5 * 1000 * 1000 + 7, BODIES = 12, WAIT_MS = 20000 };

static char body[BODY];
static struct loop *loop;
static struct hasher *hasher;
static unsigned told;

static void
on_read(void *arg UNUSED)
{
	told++;
}

static void
open_all(void)
{
	struct err e = ERR_NONE;
	unsigned seed = 5;

	for (size_t i = 0; i < BODY; i++)
		body[i] = (char)rand_r(&seed);
	loop = loop_new(&e);
	hasher = hasher_new(loop);
	told = 0;
}

static void
close_all(void)
{
	hasher_free(hasher);
	loop_free(loop);
}

static void
spool_open(struct spool *s)
{
	char name[] = "/tmp/eodata-hashing-XXXXXX";
	struct err e = ERR_NONE;
	int fd = mkostemp(name, O_CLOEXEC);

	MUST(fd != -1 && unlink(name) == 0);
	CHECK_INT(spool_init(s, fd, &e), 0);
}

/* The next n bytes of the body. */
static void
come(struct hashing *h, struct spool *s, size_t n)
{
	struct err e = ERR_NONE;
	const char *from = body + s->head;

	CHECK(spool_add(s, from, n, &e) >= 0);
	hashing_add(h, s, from, n);
}

/* Until the loop has heard that all is read. */
static bool
wait_over(const struct hashing *h)
{
	int64_t until = clock_mono_ms() + WAIT_MS;

	while (!hashing_is_over(h) && clock_mono_ms() < until)
		loop_turn(loop, 100);
	return hashing_is_over(h);
}

static bool
is_digest_of(struct hashing *h, size_t n)
{
	uint8_t got[DIGEST_SIZE_MAX], want[DIGEST_SIZE_MAX];
	struct digest *d = digest_new(DIGEST_SHA256);

	digest_add(d, body, n);
	digest_final(d, want);
	digest_free(d);
	return hashing_final(h, got) == 0 && memcmp(got, want, digest_size(DIGEST_SHA256)) == 0;
}

static void
the_digest_is_that_of_the_whole_however_it_came(void)
{
	struct spool s;
	struct hashing *h;
	unsigned seed = 3;

	open_all();
	spool_open(&s);
	h = hashing_new(hasher, DIGEST_SHA256, UINT64_MAX, on_read, NULL);
	while (s.head < BODY) {
		size_t n = (size_t)rand_r(&seed) % 300000 + 1;

		come(h, &s, n < BODY - s.head ? n : BODY - s.head);
		if (s.head % 3 == 0)
			CHECK(wait_over(h));	/* and begins again */
	}
	CHECK(wait_over(h));
	CHECK_INT(hashing_reach(h), BODY);
	CHECK(is_digest_of(h, BODY));
	loop_turn(loop, 0);
	CHECK(told > 0);
	hashing_free(h);
	spool_release(&s);
	close_all();
}

static void
many_bodies_take_turns_and_each_has_its_own(void)
{
	struct spool s[BODIES];
	struct hashing *h[BODIES];

	open_all();
	for (size_t i = 0; i < BODIES; i++) {
		spool_open(&s[i]);
		h[i] = hashing_new(hasher, DIGEST_SHA256, BODY, on_read, NULL);
	}
	for (size_t left = BODIES; left > 0;) {
		left = 0;
		for (size_t i = 0; i < BODIES; i++) {
			size_t whole = BODY - i * 100003, n = whole - s[i].head;

			if (n > 0)
				come(h[i], &s[i], n < 262144 ? n : 262144);
			left += s[i].head < whole;
		}
	}
	for (size_t i = 0; i < BODIES; i++) {
		CHECK(wait_over(h[i]));
		CHECK(is_digest_of(h[i], BODY - i * 100003));
		hashing_free(h[i]);
		spool_release(&s[i]);
	}
	close_all();
}

static void
a_body_that_goes_on_in_memory_is_read_there(void)
{
	struct spool s;
	struct hashing *h;
	struct err e = ERR_NONE;
	int file;

	open_all();
	spool_open(&s);
	h = hashing_new(hasher, DIGEST_SHA256, BODY, on_read, NULL);
	come(h, &s, 1000000);
	file = s.fd;
	s.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);		/* the next write fails, as on a full disk */
	MUST(s.fd != -1);
	CHECK_INT(spool_add(&s, body + s.head, 700000, &e), 1);
	fd_close(&s.fd);
	s.fd = file;
	hashing_add(h, &s, body + 1000000, 700000);
	come(h, &s, BODY - s.head);
	CHECK(wait_over(h));
	CHECK(is_digest_of(h, BODY));
	hashing_free(h);
	spool_release(&s);
	close_all();
}

static void
what_is_freed_in_mid_piece_is_not_read_on(void)
{
	struct spool s;
	struct hashing *h;

	open_all();
	for (int i = 0; i < 200; i++) {
		spool_open(&s);
		h = hashing_new(hasher, DIGEST_SHA256, BODY, on_read, NULL);
		come(h, &s, 262144);
		come(h, &s, 262144);
		hashing_free(h);
		spool_release(&s);
	}
	loop_turn(loop, 0);
	CHECK_INT(told, 0);
	close_all();
}

static void
a_spool_that_cannot_be_read_is_a_failure(void)
{
	struct spool s, blind;
	struct hashing *h;
	uint8_t sum[DIGEST_SIZE_MAX];
	struct err e = ERR_NONE;

	open_all();
	spool_open(&s);
	CHECK_INT(spool_add(&s, body, 1000000, &e), 0);
	blind = s;
	blind.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	MUST(blind.fd != -1);
	h = hashing_new(hasher, DIGEST_SHA256, BODY, on_read, NULL);
	hashing_add(h, &blind, body, 1000000);
	CHECK(wait_over(h));
	CHECK_INT(hashing_final(h, sum), -1);
	CHECK(hashing_reach(h) == UINT64_MAX);	/* nothing is kept for it */
	hashing_free(h);
	fd_close(&blind.fd);
	spool_release(&s);
	close_all();
}

static void
a_small_body_is_read_at_once(void)
{
	struct spool s;
	struct hashing *h;

	open_all();
	spool_open(&s);
	h = hashing_new(hasher, DIGEST_SHA256, HASHING_SMALL, on_read, NULL);
	come(h, &s, HASHING_SMALL);
	CHECK(hashing_is_over(h));
	CHECK(is_digest_of(h, HASHING_SMALL));
	CHECK(hashing_new(hasher, DIGEST_NONE, 1, on_read, NULL) == NULL);
	hashing_free(h);
	spool_release(&s);
	close_all();
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(the_digest_is_that_of_the_whole_however_it_came),
		UNIT(many_bodies_take_turns_and_each_has_its_own),
		UNIT(a_body_that_goes_on_in_memory_is_read_there),
		UNIT(what_is_freed_in_mid_piece_is_not_read_on),
		UNIT(a_spool_that_cannot_be_read_is_a_failure),
		UNIT(a_small_body_is_read_at_once),
	};

	return unit_run("hashing", tests, ARRAY_LEN(tests));
}
