/* SPDX-License-Identifier: Apache-2.0
 *
 * memcached keeps no promise: a restart, a flush, another server in the
 * list's place, memory that ran out, and counters are gone.  The ledger has
 * what they held.  So each second the servers are looked at (counters_look),
 * and where they do not hold the epoch that we have put our charges into:
 *
 *	LOOK -> READ (the ledger, into a new epoch) -> WHOLE
 *	  ^------+ memcached away, somebody else faster, a file unreadable
 *
 * Until the new epoch begins nobody reads its counters, and workers give the
 * configured answer (when_unavailable).  Whatever dies meanwhile leaves an
 * epoch that never began.
 *
 * An epoch that another host has begun lacks what our ledger says.  Then that
 * is added to it, in force as it is.  The record says which epoch has our
 * charges, and whether all of them: one that we died in the middle of would
 * get them twice, so it is replaced.  Epochs are times, so the record also
 * tells an epoch that is newer than ours from one that is older (a list of
 * servers that was used before, and is again).
 *
 * While it is made, nothing is settled in counters: the line in the ledger is,
 * since the ledger is read to its end.  What was reserved before the epoch
 * began and is settled in it, counts in full then (rebuild_since_ms).
 */
#include "base/base.h"

#include "accountant/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <uthash.h>

#include "accountant/ledger_read.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "quota/quota.h"

enum {
	LOOK_MS = 1000,
	KEEP_MS = COUNTERS_TAKEN_S * 1000 / 3,
	LINES_A_TURN = 2000,
	SUMS_MAX = 4096,		/* kept in memory before they go to the counters */
	RECORD_MAX = 200,
	AGAIN_MS = 60000,		/* evictions make counters anew at most so often ... */
	AGAIN_PART = 20,		/* ... and for at most a twentieth of the time */
};

enum state { STATE_LOOK, STATE_READ, STATE_WHOLE };

/* What one payer's charges of one span of time sum to. */
struct sum {
	UT_hash_handle hh;
	struct charge charge;		/* reserved: nothing; at_ms: the latest */
	uint64_t actual[QUOTA_KINDS];
	size_t key_len;
	char key[];
};

struct record {
	uint64_t epoch;			/* 0: there is none */
	bool done;
	int64_t since_ms;
};

struct rebuild {
	char *dir, *path;		/* dirs.state, and the record there */
	const struct config *config;
	struct counters *servers;	/* to look at; NULL: none are configured */
	enum state state;
	int64_t look_ms, keep_ms;	/* mono: the next, each */
	struct counters_look look;
	uint64_t odd;			/* of the look before: the servers did not agree */
	uint64_t evicted;		/* before the epoch was filled */
	int64_t again_ms;		/* mono: not before, for evictions */
	struct record record, before;	/* as it is, and as it was before what is made now */
	bool lost_told;
	/* STATE_READ */
	int lock;			/* the record, locked; -1: not */
	uint64_t epoch;
	bool live;			/* it is in force, by another's doing */
	bool taken;			/* the servers say that it is about to begin */
	struct counters *counters;	/* of that epoch */
	struct ledger_reader *reader;
	int64_t began_ms;		/* mono */
	int64_t start_ms[WINDOWS];	/* of the windows as it began */
	struct sum *sums;
};

/* -- the record ------------------------------------------------------------------ */

static struct record
record_parse(const char *text)
{
	struct record rec = { .epoch = 0 };
	char word[8] = "";

	if (sscanf(text, "%" SCNu64 " %7s %" SCNd64 "\n", &rec.epoch, word, &rec.since_ms) != 3 ||
	    (strcmp(word, "done") != 0 && strcmp(word, "begun") != 0))
		return (struct record){ .epoch = 0 };
	rec.done = strcmp(word, "done") == 0;
	return rec;
}

static struct record
record_read(const struct rebuild *r)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	struct record rec = { .epoch = 0 };

	if (fd_read_file(r->path, &text, NULL) == 0)
		rec = record_parse(buf_str(&text));
	buf_release(&text);
	return rec;
}

/* On disk before it holds: one that came back after a power cut as it was before would count twice. */
static int
record_write(const struct rebuild *r, const struct record *rec, struct err *e)
{
	char *next = mem_printf("%s.new", r->path), text[RECORD_MAX];
	int fd = -1, dir = -1, rc = -1, n;

	n = snprintf(text, sizeof(text), "%" PRIu64 " %s %" PRId64 "\n", rec->epoch, rec->done ? "done" : "begun", rec->since_ms);
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || dir == -1 || fd_write_all(fd, text, (size_t)n) == -1 || fsync(fd) == -1 ||
	    rename(next, r->path) == -1 || fsync(dir) == -1)
		(void)err_sys(e, errno, "cannot write '%s'", r->path);
	else
		rc = 0;
	fd_close(&fd);
	fd_close(&dir);
	free(next);
	return rc;
}

/* One accountant at a time: in an upgrade there are two.  -1: another has it. */
static int
lock_take(struct rebuild *r)
{
	char *path = mem_printf("%s/counters.lock", r->dir);

	if (r->lock == -1)
		r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	free(path);
	if (r->lock != -1 && flock(r->lock, LOCK_EX | LOCK_NB) == -1)
		fd_close(&r->lock);
	return r->lock == -1 ? -1 : 0;
}

/* -- sums ---------------------------------------------------------------------------- */

static void
sums_forget(struct rebuild *r)
{
	struct sum *s, *next;

	HASH_ITER(hh, r->sums, s, next) {
		HASH_DEL(r->sums, s);
		free(s);
	}
}

/* Into the counters.  0, or -1: away. */
static int
sums_count(struct rebuild *r)
{
	struct sum *s, *next;
	int rc = 0;

	HASH_ITER(hh, r->sums, s, next) {
		if (rc == 0)
			rc = quota_settle(r->counters, r->config, &s->charge, s->actual);
		HASH_DEL(r->sums, s);
		free(s);
	}
	return rc;
}

/*
 * The span that a charge is of: charges of one span are in the same windows of
 * those that run.  What came within the present minute is taken together, so
 * a window that begins meanwhile gets too much, and never too little.
 */
static char
span_of(const struct rebuild *r, int64_t at_ms)
{
	for (int w = WINDOW_MINUTE; w < WINDOWS; w++) {
		if (at_ms >= r->start_ms[w])
			return (char)('0' + w);
	}
	return '-';
}

static void
key_of(struct buf *key, const struct charge *ch, char span)
{
	(void)buf_addc(key, span);
	(void)buf_add(key, ch->realm, strlen(ch->realm) + 1);
	(void)buf_add(key, ch->user, strlen(ch->user) + 1);
	for (size_t i = 0; i < ch->n; i++) {
		(void)buf_add(key, ch->entry[i].set, strlen(ch->entry[i].set) + 1);
		(void)buf_add(key, ch->entry[i].group, strlen(ch->entry[i].group) + 1);
	}
	buf_must(key);
}

/* 0, or -1: the counters are away. */
static int
sums_add(struct rebuild *r, const struct charge *ch, const uint64_t actual[QUOTA_KINDS])
{
	char span = span_of(r, ch->at_ms);
	struct buf key = BUF_INIT(sizeof(*ch));
	struct sum *s;
	int rc = 0;

	if (ch->n == 0 || span == '-')		/* nothing limits it, or no window any more */
		return 0;
	key_of(&key, ch, span);
	HASH_FIND(hh, r->sums, key.data, key.len, s);
	if (s == NULL && HASH_COUNT(r->sums) >= SUMS_MAX)
		rc = sums_count(r);
	if (s == NULL) {
		s = mem_alloc(sizeof(*s) + key.len);
		s->charge = *ch;
		s->key_len = key.len;
		memcpy(s->key, key.data, key.len);
		HASH_ADD_KEYPTR(hh, r->sums, s->key, s->key_len, s);
	}
	if (ch->at_ms > s->charge.at_ms)
		s->charge.at_ms = ch->at_ms;
	for (int k = 0; k < QUOTA_KINDS; k++) {
		if (__builtin_add_overflow(s->actual[k], actual[k], &s->actual[k]))
			s->actual[k] = UINT64_MAX;
	}
	buf_release(&key);
	return rc;
}

/* -- reading --------------------------------------------------------------------------- */

static void
give_up(struct rebuild *r)
{
	sums_forget(r);
	ledger_reader_free(r->reader);
	r->reader = NULL;
	if (r->counters != NULL)
		r->counters->free(r->counters);
	r->counters = NULL;
	r->taken = false;
	fd_close(&r->lock);
	r->state = STATE_LOOK;
	r->look_ms = clock_mono_ms() + LOOK_MS;
}

/* The beginning of the longest window that a limit has; of this second where none has any. */
static int64_t
longest_ms(const struct rebuild *r)
{
	int longest = WINDOW_SECOND;

	for (size_t i = 0; i < r->config->n_quotas; i++) {
		for (size_t k = 0; k < r->config->quotas[i].n_limits; k++) {
			if ((int)r->config->quotas[i].limit[k].window > longest)
				longest = (int)r->config->quotas[i].limit[k].window;
		}
	}
	return r->start_ms[longest];
}

static struct counters *
open_servers(const struct config *c)
{
	struct err e = ERR_NONE;
	struct counters *s = counters_memcached_new(&c->memcached, c->memcached_timeout_ms, &e);

	if (s == NULL)		/* the same list has been opened before */
		log_error(NULL, "EO-COUNTERS", "no counters: %s", e.text);
	return s;
}

static void
begin(struct rebuild *r, bool live)
{
	struct record rec = { .done = false, .since_ms = 0 };
	int64_t now_ms = clock_wall_ms(), end_s, start_s;
	uint64_t epoch = (uint64_t)now_ms * 1000;
	struct err e = ERR_NONE;

	if (epoch <= r->look.newest)
		epoch = r->look.newest + 1;
	if (epoch <= r->record.epoch)
		epoch = r->record.epoch + 1;
	r->live = live;
	r->epoch = rec.epoch = live ? r->look.epoch : epoch;
	for (int w = 0; w < WINDOWS; w++) {
		quota_window_bounds((enum quota_window)w, now_ms, &start_s, &end_s);
		r->start_ms[w] = start_s * 1000;
	}
	r->before = r->record;
	r->counters = open_servers(r->config);
	r->taken = r->look.epoch == 0;
	if (r->counters == NULL || (r->taken && counters_take(r->servers, r->epoch, &r->look) != 0)) {
		give_up(r);	/* somebody else does it, or they are away: the next look tells */
		return;
	}
	if (record_write(r, &rec, &e) == -1) {
		log_error(NULL, "EO-COUNTERS-LOST", "the counters cannot be made again: %s", e.text);
		give_up(r);
		return;
	}
	r->record = rec;
	counters_fix(r->counters, r->epoch);
	r->reader = ledger_reader_new(r->dir, longest_ms(r));
	r->began_ms = clock_mono_ms();
	r->keep_ms = r->began_ms + KEEP_MS;
	r->evicted = r->look.evicted;
	r->state = STATE_READ;
}

/* It came to nothing.  An epoch that never began has no charges of ours, so the record is as it was. */
static void
abandon(struct rebuild *r)
{
	if (!r->live && record_write(r, &r->before, NULL) == 0)
		r->record = r->before;
	give_up(r);
}

/* All is counted: from now on it holds. */
static void
end(struct rebuild *r)
{
	int64_t took_ms = clock_mono_ms() - r->began_ms;
	struct counters_look look;
	struct err e = ERR_NONE;
	int rc;

	rc = sums_count(r);
	if (rc == 0 && r->live)		/* is it still in force? */
		rc = counters_look(r->servers, &look) == 0 && look.epoch == r->epoch ? 0 : -1;
	else if (rc == 0)
		rc = counters_begin(r->servers, r->epoch, &r->look);
	if (rc != 0) {
		abandon(r);
		return;
	}
	r->record = (struct record){ r->epoch, true, clock_wall_ms() };
	if (record_write(r, &r->record, &e) == -1)	/* then the next start makes them once more */
		log_error(NULL, "EO-COUNTERS-LOST", "%s", e.text);
	log_line(r->lost_told ? LOG_WARN : LOG_INFO, NULL, r->lost_told ? "EO-COUNTERS-LOST" : NULL,
	    "counters are made from the ledger charges=%" PRIu64 " skipped=%" PRIu64 " ms=%" PRId64 " epoch=%" PRIx64 "%s",
	    ledger_reader_lines(r->reader), ledger_reader_skipped(r->reader), took_ms, r->epoch,
	    r->live ? " begun_by=another" : "");
	r->lost_told = false;
	give_up(r);
	r->state = STATE_WHOLE;
	if (r->again_ms < clock_mono_ms() + took_ms * AGAIN_PART)
		r->again_ms = clock_mono_ms() + took_ms * AGAIN_PART;
}

/* A part of the ledger.  True: there is more to do at once. */
static bool
read_some(struct rebuild *r, bool written)
{
	uint64_t actual[QUOTA_KINDS];
	struct charge ch;
	struct err e = ERR_NONE;
	int rc = 1;

	if (r->taken && clock_mono_ms() >= r->keep_ms) {
		if (counters_take(r->servers, r->epoch, &r->look) != 0) {
			abandon(r);
			return false;
		}
		r->keep_ms = clock_mono_ms() + KEEP_MS;
	}
	for (int i = 0; i < LINES_A_TURN && rc == 1; i++) {
		rc = ledger_reader_next(r->reader, &ch, actual, &e);
		if (rc == 1 && sums_add(r, &ch, actual) == -1)
			rc = -1;
	}
	if (rc == -1) {
		if (e.text[0] != '\0')
			log_error(NULL, "EO-COUNTERS-LOST", "the counters cannot be made again: %s", e.text);
		abandon(r);
		return false;
	}
	if (rc == 0 && written)
		end(r);
	return rc == 1;
}

/* -- looking ------------------------------------------------------------------------------ */

static void
tell_lost(struct rebuild *r, const char *why)
{
	if (!r->lost_told)
		log_warn(NULL, "EO-COUNTERS-LOST", "counters were lost (%s), they are made again from the ledger", why);
	r->lost_told = true;
}

/* The servers could be looked at: what now?  True: there is more to do at once. */
static bool
judge(struct rebuild *r)
{
	const struct counters_look *l = &r->look;
	int64_t now_ms = clock_wall_ms();
	bool agreed = l->epoch != 0, odd;

	/* the clock was ahead then and has been set back: or all that comes until it is there again would count twice */
	if (r->record.since_ms > now_ms)
		r->record.since_ms = now_ms;

	if (agreed && r->record.done && l->epoch == r->record.epoch) {
		r->odd = 0;
		if (r->state != STATE_WHOLE)
			r->evicted = l->evicted;	/* what was before, nobody knows */
		r->state = STATE_WHOLE;
		if (l->evicted <= r->evicted || clock_mono_ms() < r->again_ms)
			return false;
		tell_lost(r, "memcached has thrown some out: it needs more memory");
		if (lock_take(r) == -1)
			return false;
		r->again_ms = clock_mono_ms() + AGAIN_MS;
		begin(r, false);
		return r->state == STATE_READ;
	}
	if (r->record.done)
		tell_lost(r, agreed ? "another epoch has begun" : l->newest == 0 ? "the servers are empty" : "the servers do not agree");
	r->state = STATE_LOOK;
	/* somebody is at it, or has died, then that ends by itself; what we have left behind, we go on with */
	if (l->taken && l->newest != r->record.epoch)
		return false;
	/* another accountant may be between two servers: what is odd must be so twice */
	odd = !agreed && l->newest != 0;
	if (odd && r->odd != l->newest) {
		r->odd = l->newest;
		return false;
	}
	r->odd = 0;
	if (lock_take(r) == -1)
		return false;
	begin(r, agreed && l->epoch > r->record.epoch);
	return r->state == STATE_READ;
}

bool
rebuild_turn(struct rebuild *r, bool written)
{
	int64_t now_ms = clock_mono_ms();

	if (r->servers == NULL)
		return false;
	if (r->state == STATE_READ)
		return read_some(r, written);
	if (now_ms < r->look_ms)
		return false;
	r->look_ms = now_ms + LOOK_MS;
	if (counters_look(r->servers, &r->look) == -1)
		return false;		/* away: what it has when it is back will be seen */
	if (r->state != STATE_WHOLE)
		r->record = record_read(r);
	return judge(r);
}

/* -- life ------------------------------------------------------------------------------------ */

struct rebuild *
rebuild_new(const char *dir_state)
{
	struct rebuild *r = mem_alloc(sizeof(*r));

	r->dir = mem_strdup(dir_state);
	r->path = mem_printf("%s/counters.epoch", dir_state);
	r->lock = -1;
	return r;
}

void
rebuild_free(struct rebuild *r)
{
	if (r == NULL)
		return;
	give_up(r);
	if (r->servers != NULL)
		r->servers->free(r->servers);
	free(r->dir);
	free(r->path);
	free(r);
}

void
rebuild_config(struct rebuild *r, const struct config *c, bool other_servers)
{
	if (r->state == STATE_READ || other_servers)
		give_up(r);
	r->config = c;
	if (!other_servers)
		return;
	if (r->servers != NULL)
		r->servers->free(r->servers);
	r->servers = c->memcached.n == 0 ? NULL : open_servers(c);
	r->look_ms = 0;
}

bool
rebuild_is_whole(const struct rebuild *r)
{
	return r->servers == NULL || r->state == STATE_WHOLE;
}

int64_t
rebuild_since_ms(const struct rebuild *r)
{
	return r->servers == NULL ? INT64_MIN : r->record.since_ms;
}
