/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of provider slots.  Movers.
 *
 * The table is guarded by a robust mutex in the file: it is held for one scan
 * of the table and never across a system call that can wait, and one that dies
 * while it holds the mutex leaves a table whose rows are each whole.
 */
#include "base/base.h"

#include "ipc/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/text.h"

#define OWNER_MIN	(UINT64_C(1) << 32)	/* far beyond the table's bytes */
#define OWNER_MAX	(UINT64_C(1) << 62)	/* and still an off_t */

enum {
	TABLE_MAGIC = 0x736f6c73,
	TABLE_VERSION = 2,
	REAP_EVERY_MS = 250,
	BURST_MS = 10,		/* so much may one have waited less than another: slots do not lie idle for each turn */
};

/*
 * A slot that is taken; or, with another hash of the backend, a mover that waits for one; or, with
 * a third one and pid 0, until when it wants nobody.
 */
struct row {
	uint64_t backend;	/* a hash; 0: free */
	uint64_t owner;		/* its number; or the end, in ms of CLOCK_MONOTONIC */
	uint32_t pid;		/* the owner's, for people */
	uint32_t since_ms;	/* of one that waits: since it began, or took a slot; wraps */
};

struct table {
	uint32_t magic, version;
	pthread_mutex_t mutex;
	struct row row[PROVIDER_SLOTS_MAX];
};

struct provider_slots {
	struct table *table;
	int fd;
	uint64_t owner;
	uint32_t pid;
	int64_t reaped_ms;
	bool mine[PROVIDER_SLOTS_MAX];
	struct {
		uint32_t since_ms;
		int64_t at_ms;
	} left[PROVIDER_SLOTS_MAX];	/* since when a slot was left to who waits in that row */
};

static uint64_t
hash(const char *backend)
{
	uint64_t h = text_hash(TEXT_HASH, backend, strlen(backend));

	return h == 0 ? 1 : h;
}

static uint64_t
cool_hash(const char *backend)
{
	uint64_t h = ~hash(backend);

	return h == 0 ? 1 : h;
}

static uint64_t
wait_hash(const char *backend)
{
	uint64_t h = hash(backend) ^ UINT64_C(0x9e3779b97f4a7c15);

	return h == 0 ? 1 : h;
}

static int
make_table(struct table *t, struct err *e)
{
	pthread_mutexattr_t a;
	int rc;

	memset(t, 0, sizeof(*t));
	rc = pthread_mutexattr_init(&a);
	if (rc == 0)
		rc = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (rc == 0)
		rc = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	if (rc == 0)
		rc = pthread_mutex_init(&t->mutex, &a);
	if (rc != 0)
		return err_sys(e, rc, "cannot make a shared mutex");
	t->version = TABLE_VERSION;
	__atomic_store_n(&t->magic, TABLE_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

/* Under the file's lock, so that two that come first do not both make it. */
static int
prepare(int fd, struct table **ret, struct err *e)
{
	struct table *t;
	struct stat st;
	int rc = 0;

	if (fstat(fd, &st) == -1)
		return err_sys(e, errno, "cannot stat the file of provider slots");
	if (st.st_size != (off_t)sizeof(*t) && ftruncate(fd, 0) == -1)
		return err_sys(e, errno, "cannot clear the file of provider slots");
	if (ftruncate(fd, (off_t)sizeof(*t)) == -1)
		return err_sys(e, errno, "cannot size the file of provider slots");
	t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (t == MAP_FAILED)
		return err_sys(e, errno, "cannot map the file of provider slots");
	if (__atomic_load_n(&t->magic, __ATOMIC_ACQUIRE) != TABLE_MAGIC || t->version != TABLE_VERSION)
		rc = make_table(t, e);
	if (rc < 0)
		(void)munmap(t, sizeof(*t));
	else
		*ret = t;
	return rc;
}

/*
 * A lock of this kind belongs to the process.  One of flock would belong to the
 * open file, and all movers of a master inherit the same: none would wait for
 * another, and none's would end with it.
 */
static int
byte_lock(int fd, short type, uint64_t at)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1 };
	int rc;

	do
		rc = fcntl(fd, F_SETLKW, &l);
	while (rc == -1 && errno == EINTR);
	return rc;
}

/* Take a number that no other has. */
static int
become_owner(struct provider_slots *s, struct err *e)
{
	process_random(&s->owner, sizeof(s->owner));
	s->owner = OWNER_MIN + s->owner % (OWNER_MAX - OWNER_MIN);
	if (byte_lock(s->fd, F_WRLCK, s->owner) == -1)
		return err_sys(e, errno, "cannot lock a byte of the file of provider slots");
	return 0;
}

struct provider_slots *
provider_slots_open(int fd, struct err *e)
{
	struct provider_slots *s;
	struct table *t = NULL;
	int rc;

	if (byte_lock(fd, F_WRLCK, 0) == -1) {
		(void)err_sys(e, errno, "cannot lock the file of provider slots");
		return NULL;
	}
	rc = prepare(fd, &t, e);
	(void)byte_lock(fd, F_UNLCK, 0);
	if (rc < 0)
		return NULL;
	s = mem_alloc(sizeof(*s));
	s->table = t;
	s->fd = fd;
	s->pid = (uint32_t)getpid();
	if (become_owner(s, e) < 0) {
		provider_slots_free(s);
		s = NULL;
	}
	return s;
}

static bool
lock(struct provider_slots *s)
{
	int rc = pthread_mutex_lock(&s->table->mutex);

	if (rc == EOWNERDEAD)
		rc = pthread_mutex_consistent(&s->table->mutex);
	return rc == 0;
}

static void
unlock(struct provider_slots *s)
{
	(void)pthread_mutex_unlock(&s->table->mutex);	/* we hold it */
}

/* A file that outlived a boot may hold any time: what cannot have been written since is none. */
static bool
is_cooling(const struct row *r)
{
	int64_t left = (int64_t)r->owner - clock_mono_ms();

	return left > 0 && left <= PROVIDER_COOL_MAX_MS;
}

static bool
alive(const struct provider_slots *s, const struct row *r)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)r->owner, .l_len = 1 };

	if (r->pid == 0)
		return is_cooling(r);
	if (r->owner == s->owner)	/* one's own locks are in nobody's way */
		return true;
	if (r->owner < OWNER_MIN || r->owner > OWNER_MAX)
		return false;
	/* where it cannot be told, nothing is taken away */
	return fcntl(s->fd, F_GETLK, &l) == -1 || l.l_type != F_UNLCK;
}

/* Free what the dead held, of all backends.  A system call for each, so not under the mutex, and not often. */
static bool
reap(struct provider_slots *s)
{
	struct row seen;
	bool found = false;

	if (clock_mono_ms() - s->reaped_ms < REAP_EVERY_MS)
		return false;
	s->reaped_ms = clock_mono_ms();
	for (size_t i = 0; i < PROVIDER_SLOTS_MAX; i++) {
		seen = s->table->row[i];
		if (seen.backend == 0 || alive(s, &seen))
			continue;
		if (!lock(s))
			return found;
		if (memcmp(&seen, &s->table->row[i], sizeof(seen)) == 0) {
			s->table->row[i].backend = 0;
			found = true;
		}
		unlock(s);
	}
	return found;
}

/* Under the mutex. */
static struct row *
own_wait(struct provider_slots *s, uint64_t wait)
{
	for (size_t i = 0; i < PROVIDER_SLOTS_MAX; i++) {
		if (s->table->row[i].backend == wait && s->table->row[i].owner == s->owner)
			return &s->table->row[i];
	}
	return NULL;
}

/*
 * Has another waited longer than since_ms, so that a free slot is its?  One that does not take
 * it in time is stopped, or busy, and nobody waits for it.  Under the mutex.
 */
static bool
is_anothers_turn(struct provider_slots *s, uint64_t wait, uint32_t since_ms)
{
	int64_t now_ms = clock_mono_ms();
	bool is = false;

	for (size_t i = 0; i < PROVIDER_SLOTS_MAX; i++) {
		const struct row *r = &s->table->row[i];

		if (r->backend != wait || r->owner == s->owner || (int32_t)(since_ms - r->since_ms) <= BURST_MS)
			continue;
		if (s->left[i].at_ms == 0 || s->left[i].since_ms != r->since_ms) {
			s->left[i].since_ms = r->since_ms;
			s->left[i].at_ms = now_ms;
		}
		is = is || now_ms - s->left[i].at_ms <= PROVIDER_TURN_MS;
	}
	return is;
}

static int
take(struct provider_slots *s, const char *backend, unsigned limit)
{
	uint64_t h = hash(backend), wait = wait_hash(backend);
	uint32_t now_ms = (uint32_t)clock_mono_ms();
	struct row *r, *own = NULL;
	unsigned used = 0;
	int free_row = -1;

	if (!lock(s))
		return -1;
	for (size_t i = 0; i < PROVIDER_SLOTS_MAX && used < limit; i++) {
		r = &s->table->row[i];
		if (r->backend == h)
			used++;
		else if (r->backend == 0 && free_row == -1)
			free_row = (int)i;
	}
	if (used < limit)
		own = own_wait(s, wait);
	if (used < limit && free_row != -1 && !is_anothers_turn(s, wait, own == NULL ? now_ms : own->since_ms)) {
		if (own != NULL)
			own->since_ms = now_ms;
		r = &s->table->row[free_row];
		r->pid = s->pid;
		r->owner = s->owner;
		r->backend = h;		/* last: a row is free until it is whole */
		s->mine[free_row] = true;
	} else {
		free_row = -1;
	}
	unlock(s);
	return free_row;
}

int
provider_slots_take(struct provider_slots *s, const char *backend, unsigned limit)
{
	int slot = take(s, backend, limit);

	if (slot == -1 && reap(s))
		slot = take(s, backend, limit);
	return slot;
}

void
provider_slots_wait(struct provider_slots *s, const char *backend, bool waits)
{
	uint64_t wait = wait_hash(backend);
	struct row *r;

	if (!lock(s))
		return;
	r = own_wait(s, wait);
	if (r != NULL && !waits)
		r->backend = 0;
	for (size_t i = 0; i < PROVIDER_SLOTS_MAX && r == NULL && waits; i++) {
		r = s->table->row[i].backend == 0 ? &s->table->row[i] : NULL;
		if (r == NULL)
			continue;
		r->pid = s->pid;
		r->owner = s->owner;
		r->since_ms = (uint32_t)clock_mono_ms();
		r->backend = wait;
	}
	unlock(s);	/* without a free row it takes what is left over */
}

void
provider_slots_give(struct provider_slots *s, int slot)
{
	MUST(slot >= 0 && slot < PROVIDER_SLOTS_MAX && s->mine[slot]);
	s->mine[slot] = false;
	if (!lock(s))
		return;
	s->table->row[slot].backend = 0;
	unlock(s);
}

unsigned
provider_slots_used(struct provider_slots *s, const char *backend)
{
	uint64_t h = hash(backend);
	unsigned n = 0;

	if (!lock(s))
		return 0;
	for (size_t i = 0; i < PROVIDER_SLOTS_MAX; i++)
		n += s->table->row[i].backend == h;
	unlock(s);
	return n;
}

/* The row of a cool-down, else a free one, else NULL.  Under the mutex. */
static struct row *
cool_row(struct provider_slots *s, uint64_t h)
{
	struct row *free_row = NULL;

	for (size_t i = 0; i < PROVIDER_SLOTS_MAX; i++) {
		if (s->table->row[i].backend == h)
			return &s->table->row[i];
		if (s->table->row[i].backend == 0 && free_row == NULL)
			free_row = &s->table->row[i];
	}
	return free_row;
}

int
provider_slots_cool(struct provider_slots *s, const char *backend, int64_t until_ms)
{
	uint64_t h = cool_hash(backend);
	struct row *r;

	if (!lock(s))
		return -1;
	r = cool_row(s, h);
	if (r != NULL && (r->backend == 0 || !is_cooling(r) || (int64_t)r->owner < until_ms)) {
		r->pid = 0;
		r->owner = (uint64_t)until_ms;
		r->backend = h;
	}
	unlock(s);
	return r == NULL ? -1 : 0;
}

int64_t
provider_slots_cool_until(struct provider_slots *s, const char *backend)
{
	uint64_t h = cool_hash(backend);
	int64_t until_ms = 0;
	struct row *r;

	if (!lock(s))
		return 0;
	r = cool_row(s, h);
	if (r != NULL && r->backend == h && is_cooling(r))
		until_ms = (int64_t)r->owner;
	unlock(s);
	return until_ms;
}

void
provider_slots_free(struct provider_slots *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < PROVIDER_SLOTS_MAX; i++) {
		if (s->mine[i])
			provider_slots_give(s, i);
	}
	if (s->owner != 0)
		(void)byte_lock(s->fd, F_UNLCK, s->owner);
	(void)munmap(s->table, sizeof(*s->table));
	free(s);
}
