/* SPDX-License-Identifier: Apache-2.0
 *
 * One client: what it asked, where its bytes come from, how far it is.
 * client.c owns its life and its output, request.c decides what it gets.
 */
#ifndef MOVER_CLIENT_H
#define MOVER_CLIENT_H

#include "mover/mover.h"
#include "wire/fcgi.h"

enum client_body {
	BODY_NONE,
	BODY_SPOOL,		/* from its transfer's spool */
	BODY_FILE,		/* from an object's file */
	BODY_DIRECT,		/* from a pull of its own, as it comes */
};

enum client_state { CLIENT_WAITING, CLIENT_RESERVING, CLIENT_SENDING, CLIENT_FLUSHING, CLIENT_LINGERING };

struct client {
	TAILQ_ENTRY(client) all, in_transfer, in_probe;
	struct mover *m;
	int fd;
	struct watch watch;
	struct timer timer;		/* deadline, then stall, then linger */
	struct timer go_timer;		/* goes on: rate, fairness */
	char *msg;			/* what h borrows from */
	struct handover h;
	enum client_state state;

	/* where from */
	struct resource *resource;
	struct want want;
	struct transfer *transfer;
	struct pull *pull;		/* BODY_DIRECT */
	bool paused, direct_over;	/* of the pull */
	bool probing;			/* in resource->probe_waiters */
	bool looked_up;			/* in the store */
	bool looked_again;		/* for what has taken the place of what was found there */
	const char *kept_key;		/* of the object that is asked for at the storage: resource's or h's */
	char *kept_version;		/* and its tag there; owned, or NULL */
	struct store_find *find;	/* the storage is being asked */
	bool retried;			/* the source was resolved again once */
	bool counted_again;		/* the size that its range was counted from was asked for again, once */
	int file_fd;

	/* what: set by client_answer */
	int status;			/* that was or is being answered; 0 before */
	enum client_body body;
	struct facts facts;
	struct range range;		/* as asked */
	bool range_is_ours;		/* it was not: answer 200 */
	char *encoding, *cache_control, *location;	/* owned, or NULL */
	uint32_t location_life_s;
	uint64_t elsewhere;		/* bytes that it will get where it is redirected to, as far as we count them */
	bool to_the_end;		/* length unknown */
	uint64_t first, pos, end;	/* [first, end) of the body */
	char cache_status[48];

	/* its bytes */
	uint64_t allowance;		/* body bytes that are reserved */
	struct reservation *reservation;
	uint64_t asked_bytes, asked_upstream;
	bool billing;			/* it pays for its transfer's upstream bytes */
	uint64_t delivered;		/* body bytes queued for the front */
	uint64_t upstream;		/* body bytes pulled for this one alone */

	/* output */
	struct fcgi_rest rest;		/* what the front still says: ABORT_REQUEST, or nothing of worth */
	struct buf out;			/* whole records, not yet written */
	size_t out_off;
	bool writable, progress, head_sent, cut, gone;
	int64_t cut_by_ms;		/* the broken record is held back, until then at most; 0: it is not */
	int64_t rate_next_us;
	char log_reason[160];
};

/* ---- client.c */

/* A hand-over arrived.  Takes fd and file_fd (-1: none). */
void client_new(struct mover *m, const void *msg, size_t n, int fd, int file_fd);
/* The bytes, first to last, that client_answer would send of it.  False: it would send none. */
bool client_part(struct client *c, const struct facts *f, uint64_t *ret_first, uint64_t *ret_last);
/* It is known what the resource is: decide, reserve, answer.  f may be c->facts.  May free c. */
void client_answer(struct client *c, const struct facts *f, enum client_body body);
/*
 * 302 to url, where it may begin within life_s and keeps the answer for max_age_s; bytes are to be
 * reserved, for what it gets there.  May free c.
 */
void client_redirect(struct client *c, const char *url, uint32_t life_s, uint32_t max_age_s, uint64_t bytes);
/* There may be more to send.  May free c. */
void client_pump(struct client *c);
void client_go_on(void *arg);
/* Ask for the next step of a body of unknown length. */
void client_reserve_step(struct client *c);
/* Answer with a problem, or, when the head went out already, with a visible cut.  May free c. */
void client_fail(struct client *c, const struct failure *f);
void client_fail_members(struct client *c, const struct failure *f, const char *members, const char *headers);
void client_fail_range(struct client *c, uint64_t size);	/* 416; UINT64_MAX: size unknown */
/* The last byte is queued. */
void client_whole(struct client *c);
/* May a direct body queue more now? Sets the timer when it is the rate that says no. */
bool client_may_queue(struct client *c);
void client_queue(struct client *c, const char *data, size_t n);
void clients_cut(struct mover *m, const char *reason);
void clients_end(struct mover *m);	/* the end of the process: close what is left */
void clients_tell_bounds(struct mover *m);	/* each tick */

/* ---- request.c */

void client_begin(struct client *c);
/* The object that its transfer waited for is there. */
void client_again(struct client *c);
/* Its transfer knows its head. */
void client_head(struct client *c);
void client_ready(void *arg);
void client_not_ready(void *arg, const struct failure *f);
/* It waits for the probe no more; one that nobody waits for ends. */
void probe_leave(struct client *c);
/* BODY_DIRECT, and all that is queued went out. */
void direct_more(struct client *c);

#endif
