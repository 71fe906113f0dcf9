/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of the mover: a mover as a process, and everyone it talks to
 * (master, worker, broker and resolver, accountant, provider, front), played
 * by this one process in one loop.
 */
#ifndef TESTS_UNIT_MOVER_RIG_H
#define TESTS_UNIT_MOVER_RIG_H

#include "base/buf.h"
#include "ipc/account.h"
#include "ipc/handover.h"
#include "ipc/resolve.h"
#include "stat/scoreboard.h"
#include "unit.h"

enum {
	RIG_CLIENTS = 32, RIG_CONNS = 64, RIG_SCRIPTS = 8, RIG_HEAD_MAX = 16384,
	RIG_WAIT_MS = 20000,
};
#define NO_LENGTH UINT64_MAX
#define WITHOUT_END UINT64_MAX

/* What resolver and provider say of one asset, and what they saw. */
struct script {
	const char *asset;
	/* the resolver */
	bool mute;				/* takes the job, answers nothing */
	enum resolve_kind kind;
	enum source_kind source;
	uint32_t status, retry_after_s;
	const char *checksum;			/* file:checksum */
	int64_t life_ms;			/* of the credentials; 0 unknown */
	/* of a source in S3: "k" and which job it was, and a token with it */
	bool anonymous, requester_pays;
	const char *key, *region, *endpoint;
	/* the provider */
	int http_status;			/* 0: 200 or 206 */
	unsigned refuse;			/* credentials of so many first jobs are answered 401; in S3, with code */
	const char *code;			/* S3's, with http_status */
	bool stutters;				/* its refusal has no end */
	const char *home;			/* the bucket's region: others are sent there */
	uint64_t size;
	enum { BY_LENGTH, BY_CHUNKS, BY_CLOSE } framing;
	int parts_off;				/* parts come in chunks, and so much longer (or shorter) than announced */
	bool no_ranges, silent;			/* silent: takes the request, answers nothing */
	const char *etag, *media_type;		/* etag NULL: none is sent */
	const char *more;			/* header lines of 200 and 206, each with its end; or NULL */
	uint64_t hold_at, cut_at;		/* of a body; WITHOUT_END: not.  Moved by the test as it goes */
	bool cut_once;				/* and whole, from then on */
	/* seen */
	unsigned jobs, gets, fresh;
	size_t item_len;		/* of the item that came with the last job */
	char last_range[64], last_if_range[64], last_target[4096];
};
#define SCRIPT(name, n) ((struct script){ .asset = (name), .kind = RESOLVE_SOURCE, .size = (n), .etag = "\"v1\"",	\
	.media_type = "image/tiff", .hold_at = WITHOUT_END, .cut_at = WITHOUT_END })

/* The front's end of one request. */
struct front {
	int fd;
	struct buf raw;
	char head[RIG_HEAD_MAX];
	size_t head_len;
	uint64_t first;			/* which byte of the asset the body begins with */
	uint64_t got;			/* bytes of the body */
	bool headed, wrong;		/* wrong: a byte is not the asset's */
	bool ended, bogus, eof;		/* END_REQUEST, eight bytes of 0xff, the close */
	bool text;			/* the body is kept behind the head */
	uint64_t stop_at;		/* reads no more once it has so many */
	bool keeps;			/* the connection open after the end, which no front does */
};

/* How one asks. */
struct asking {
	const char *asset, *subpath, *range, *if_range, *if_none_match, *user, *hit_key, *backend;
	bool head, quota;
	enum delivery delivery;
	uint64_t rate;
	int64_t deadline_ms;		/* from now; 0: 15 s */
	uint64_t stop_at;		/* 0: reads all */
	uint64_t held;			/* bytes that the worker has reserved; with quota */
	int file_fd;
};
#define ASK(name) ((struct asking){ .asset = (name), .file_fd = -1 })

struct conn {
	int fd;
	struct buf in, out;
	struct script *s;
	uint64_t at, end, from;		/* of the asset: next byte, end, where the body began */
	bool chunked, close_after, busy;
};

struct rig {
	char dir[64], log[96];
	struct config *config;
	struct scoreboard *scoreboard;
	int scoreboard_fd, control, handover, account, broker, listen, resolver;
	struct buf jobs;		/* from the mover, not yet whole */
	uint16_t port;
	pid_t pid;
	struct script script[RIG_SCRIPTS];
	size_t n_scripts;
	struct conn conn[RIG_CONNS];
	struct front front[RIG_CLIENTS];
	size_t n_fronts;
	/* broker */
	bool refuse_backend;
	unsigned connects;
	char last_path[1024];		/* that the provider was asked for, whatever it is */
	uint64_t open_jobs[16];
	const char *open_assets[16];
	size_t n_open;
	bool collect;			/* jobs are kept, not answered */
	bool retiring;			/* the resolver hears nothing more */
	/* accountant */
	const char *poor;		/* this user's quota is used up */
	uint64_t poor_from;		/* ... once so many bytes were granted to it */
	bool deaf;			/* answers nothing */
	int64_t one_in_ms, next_ms;	/* reads one message, and the next so much later */
	unsigned reserves;
	uint64_t granted[QUOTA_KINDS], returned[QUOTA_KINDS], actual[QUOTA_KINDS], site_upstream;
	unsigned settles;
	unsigned ids;
};

/* extra: more members of the configuration, each with a comma before it; '@' is the provider's port. */
void rig_start(struct rig *r, const char *extra);
void rig_reload(struct rig *r, const char *extra);	/* and wait until it is taken */
/* Ends the mover as a master that goes away does, checks that it ended well. */
void rig_stop(struct rig *r);
int rig_wait(struct rig *r);			/* its exit status */
struct script *rig_script(struct rig *r, struct script s);
struct front *rig_ask(struct rig *r, const struct asking *a);
void rig_close(struct front *f);		/* the front goes away */
void rig_turn(struct rig *r);
void rig_answer_jobs(struct rig *r);		/* those that were collected */
void rig_kill_resolver(struct rig *r);
void rig_retire_resolver(struct rig *r);	/* it reads no more; what was collected is still answered ... */
void rig_say_bye(struct rig *r);		/* ... and then it ends in order */
int64_t rig_ms(void);
uint64_t rig_gauge(const struct rig *r, enum gauge g);
bool rig_logged(const struct rig *r, const char *text);
unsigned rig_log_count(const struct rig *r, const char *text);
bool rig_published(const struct rig *r, const char *asset, uint64_t size);	/* the object is there, every byte right */
bool rig_absent(const struct rig *r, const char *asset);
const char *rig_key(const char *asset);

static inline char
rig_byte(uint64_t i)
{
	return (char)(i * 31 + i / 251 + (i >> 16) * 7);
}

#define RIG_UNTIL(r, cond)							\
	do {									\
		int64_t until_ = rig_ms() + RIG_WAIT_MS;			\
		while (!(cond) && rig_ms() < until_)				\
			rig_turn(r);						\
		CHECK(cond);							\
	} while (0)
/* All that was asked for, to its end. */
#define CHECK_WHOLE(f, n)							\
	do {									\
		CHECK((f)->ended && !(f)->bogus && !(f)->wrong);		\
		CHECK_INT((f)->got, (n));					\
	} while (0)
#define CHECK_CUT(f)	CHECK((f)->bogus && !(f)->ended && !(f)->wrong)
#define OVER(f)		((f)->eof || (f)->ended || (f)->bogus)


static inline bool
has(const struct front *f, const char *text)
{
	bool ok = strstr(f->head, text) != NULL;

	if (!ok)
		fprintf(stderr, "no \"%s\" in:\n%.600s\n", text, f->head);
	return ok;
}

#define CHECK_STATUS(f, status)	CHECK((f)->ended && has((f), "Status: " #status))

static inline void
check_idle(struct rig *r)
{
	RIG_UNTIL(r, rig_gauge(r, GAUGE_CLIENTS) == 0 && rig_gauge(r, GAUGE_TRANSFERS_NOW) == 0);
	CHECK_INT(rig_gauge(r, GAUGE_SPOOL_BYTES), 0);
	CHECK_INT(rig_gauge(r, GAUGE_QUEUED), 0);
}

#endif
