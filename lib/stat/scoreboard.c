/* SPDX-License-Identifier: Apache-2.0
 *
 * The scoreboard: shared memory with a row for each process.  The master
 * makes it, every process maps it.  How it is shown is in show.c.
 *
 * Writers of one slot are its process, and the master while there is none;
 * so plain loads and stores suffice, made atomic for the readers' sake.
 */
#include "base/base.h"

#include "stat/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"

enum { BOARD_MAGIC = 0x656f7362, BOARD_VERSION = 6, LOOK_MS = 500 };

static struct slot *own;

#define GET(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define SET(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELAXED)

static struct scoreboard *
map(int fd, struct err *e)
{
	void *p = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	/* a reader's descriptor is read-only: eodata-proxyctl */
	if (p == MAP_FAILED && errno == EACCES)
		p = mmap(NULL, sizeof(struct scoreboard), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		(void)err_sys(e, errno, "cannot map the scoreboard");
		return NULL;
	}
	return p;
}

struct scoreboard *
scoreboard_create(int *ret_fd, struct err *e)
{
	struct scoreboard *sb = NULL;
	int fd;

	fd = memfd_create("eodata-proxy-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1 || ftruncate(fd, sizeof(struct scoreboard)) == -1) {
		(void)err_sys(e, errno, "cannot make the scoreboard");
		fd_close(&fd);
		return NULL;
	}
	/* sealed in size: nobody who has it can make another's access fault */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1) {
		(void)err_sys(e, errno, "cannot seal the scoreboard");
		fd_close(&fd);
		return NULL;
	}
	sb = map(fd, e);
	if (sb == NULL) {
		fd_close(&fd);
		return NULL;
	}
	sb->version = BOARD_VERSION;
	sb->started_wall_ms = clock_wall_ms();
	text_random_hex(sb->master, sizeof(sb->master) - 1);
	SET(&sb->magic, BOARD_MAGIC);
	*ret_fd = fd;
	return sb;
}

struct scoreboard *
scoreboard_attach(int fd, struct err *e)
{
	struct scoreboard *sb;
	struct stat st;
	int seals;

	if (fstat(fd, &st) == -1) {
		(void)err_sys(e, errno, "no scoreboard");
		return NULL;
	}
	seals = fcntl(fd, F_GET_SEALS);
	if (st.st_size != (off_t)sizeof(*sb) || seals == -1 || (seals & F_SEAL_SHRINK) == 0) {
		(void)err_set(e, "not a scoreboard of this program");
		return NULL;
	}
	sb = map(fd, e);
	if (sb == NULL)
		return NULL;
	if (GET(&sb->magic) != BOARD_MAGIC || GET(&sb->version) != BOARD_VERSION) {
		(void)err_set(e, "scoreboard of another version");
		scoreboard_detach(sb);
		return NULL;
	}
	return sb;
}

void
scoreboard_detach(struct scoreboard *sb)
{
	if (sb == NULL)
		return;
	if (own >= sb->slot && own < sb->slot + SCOREBOARD_SLOTS)
		own = NULL;
	(void)munmap(sb, sizeof(*sb));	/* cannot fail for what was mapped */
}

void
stat_init(struct scoreboard *sb, unsigned slot)
{
	MUST(slot < SCOREBOARD_SLOTS);
	own = &sb->slot[slot];
}

void
stat_claim(enum role role, unsigned index)
{
	if (own == NULL)
		return;
	SET(&own->role, (uint32_t)role);
	SET(&own->index, index);
	SET(&own->started_wall_ms, clock_wall_ms());
	SET(&own->generation, 0u);
	SET(&own->deadline_mono_ms, 0);
	SET(&own->heartbeat_mono_ms, 0);
	memset(own->note, 0, sizeof(own->note));
	for (size_t i = 0; i < GAUGE_N; i++)
		SET(&own->gauge[i], 0u);
	for (size_t i = 0; i < BOUND_N; i++) {
		SET(&own->bound[i].used, 0u);
		SET(&own->bound[i].max, 0u);
	}
	SET(&own->state, (uint32_t)SLOT_STARTING);
	SET(&own->pid, (uint32_t)getpid());
}

void
stat_generation(uint64_t generation)
{
	if (own != NULL)
		SET(&own->generation, generation);
}

void
stat_add(enum counter c, uint64_t n)
{
	if (own != NULL && c < COUNTER_N)
		__atomic_fetch_add(&own->count[c], n, __ATOMIC_RELAXED);
}

void
stat_gauge(enum gauge g, uint64_t v)
{
	if (own != NULL && g < GAUGE_N)
		SET(&own->gauge[g], v);
}

void
stat_bound(enum bound b, uint64_t used, uint64_t max)
{
	if (own == NULL || b >= BOUND_N)
		return;
	SET(&own->bound[b].used, used);
	SET(&own->bound[b].max, max);
}

void
stat_bound_reached(enum bound b)
{
	if (own != NULL && b < BOUND_N)
		__atomic_fetch_add(&own->bound[b].reached, 1, __ATOMIC_RELAXED);
}

void
stat_state(enum slot_state s)
{
	if (own != NULL)
		SET(&own->state, (uint32_t)s);
}

void
stat_job_done(void)
{
	if (own != NULL)
		__atomic_fetch_add(&own->jobs, 1, __ATOMIC_RELAXED);
}

/* The note is for people: a reader may see half of one and half of the next. */
void
stat_deadline(int64_t mono_ms, const char *note)
{
	size_t n;

	if (own == NULL)
		return;
	if (note != NULL) {
		n = strnlen(note, SLOT_NOTE_MAX - 1);
		memcpy(own->note, note, n);
		memset(own->note + n, 0, SLOT_NOTE_MAX - n);
	} else if (mono_ms == 0) {
		own->note[0] = '\0';
	}
	__atomic_store_n(&own->deadline_mono_ms, mono_ms, __ATOMIC_RELEASE);
}

/* The log is below this room, so it cannot tell by itself. */
static void
count_log(void)
{
	static uint64_t dropped, suppressed;
	struct log_counts now;

	log_count(&now);
	stat_add(COUNT_LOG_DROPPED, now.dropped - dropped);
	stat_add(COUNT_LOG_SUPPRESSED, now.suppressed - suppressed);
	stat_bound(BOUND_LOG, now.busiest, now.burst);
	if (now.suppressed != suppressed)
		stat_bound_reached(BOUND_LOG);
	dropped = now.dropped;
	suppressed = now.suppressed;
}

void
stat_heartbeat(void)
{
	static int64_t looked_ms;
	int64_t now = clock_mono_ms();
	struct mallinfo2 heap;

	if (own == NULL)
		return;
	SET(&own->heartbeat_mono_ms, now);
	if (now - looked_ms < LOOK_MS)	/* workers come here for each request */
		return;
	looked_ms = now;
	count_log();
	heap = mallinfo2();
	stat_gauge(GAUGE_HEAP_BYTES, heap.uordblks + heap.hblkhd);
}

void
stat_hand(uint64_t what)
{
	if (own != NULL)
		SET(&own->hand, what);
}

uint64_t
stat_in_hand(void)
{
	return own == NULL ? 0 : GET(&own->hand);
}

struct slot *
stat_slot(void)
{
	return own;
}

const char *
role_name(enum role r)
{
	static const char *const name[ROLES] = {
		[ROLE_MASTER] = "master", [ROLE_WORKER] = "worker", [ROLE_MOVER] = "mover",
		[ROLE_BROKER] = "broker", [ROLE_RESOLVER] = "resolver",
		[ROLE_ACCOUNTANT] = "accountant",
	};

	return (unsigned)r < ROLES ? name[r] : "unknown";
}

const char *
slot_state_name(enum slot_state s)
{
	static const char *const name[SLOT_STATES] = {
		[SLOT_EMPTY] = "empty", [SLOT_STARTING] = "starting", [SLOT_READY] = "ready",
		[SLOT_BUSY] = "busy", [SLOT_DRAINING] = "draining", [SLOT_DEAD] = "dead",
	};

	return (unsigned)s < SLOT_STATES ? name[s] : "unknown";
}

const char *
bound_name(enum bound b)
{
	static const char *const name[BOUND_N] = {
#define X(id, prom, help) prom,
		BOUNDS(X)
#undef X
	};

	return (unsigned)b < BOUND_N ? name[b] : "unknown";
}

unsigned
scoreboard_busy(const struct scoreboard *sb, unsigned first, unsigned n)
{
	unsigned busy = 0;

	MUST(first <= SCOREBOARD_SLOTS && n <= SCOREBOARD_SLOTS - first);
	for (const struct slot *s = sb->slot + first; s < sb->slot + first + n; s++)
		busy += s != own && GET(&s->state) == SLOT_BUSY;
	return busy;
}

uint64_t
scoreboard_sum(const struct scoreboard *sb, enum counter c)
{
	uint64_t sum = 0;

	if (c >= COUNTER_N)
		return 0;
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
		sum += GET(&sb->slot[i].count[c]);
	return sum;
}

const struct slot *
scoreboard_fullest(const struct scoreboard *sb, enum bound b, struct bound_use *ret)
{
	const struct slot *s, *fullest = NULL;
	double part, most = -1;
	uint64_t max;

	if (b >= BOUND_N)
		return NULL;
	*ret = (struct bound_use){ 0, 0, 0 };
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		s = &sb->slot[i];
		ret->reached += GET(&s->bound[b].reached);
		max = GET(&s->bound[b].max);
		if (GET(&s->pid) == 0 || GET(&s->state) == SLOT_EMPTY || GET(&s->state) == SLOT_DEAD || max == 0)
			continue;
		part = (double)GET(&s->bound[b].used) / (double)max;
		if (part > most) {
			most = part;
			fullest = s;
			ret->used = GET(&s->bound[b].used);
			ret->max = max;
		}
	}
	return fullest;
}
