/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a transfer, for transfer*.c alone; others know mover.h.
 *
 *	FOLLOWING another host may be fetching it (transfer_lease.c)
 *	PULLING   a slot, a connection, the response's headers
 *	SNIFFING  headers are good; the first bytes decide whether it is a page in disguise
 *	FLOWING   clients have (or get) their heads; bytes flow
 *	CLOSING   all bytes are here and verified; the store publishes
 *	ENDED     clients read the rest
 *	FAILED    clients were told
 *	RESOLVING the credentials were refused once: a fresh source is on its way, then PULLING again
 *
 * The last byte is out of reach (transfer_reach) until the body is verified.
 * A body that breaks off is resumed from where it is (Range, If-Range, the same
 * validator and length), with fresh credentials where they have ended; a source
 * that has changed meanwhile is never spliced.
 *
 * A transfer that is not stored keeps a window of the body: the slowest client
 * paces the source.
 */
#ifndef MOVER_TRANSFER_H
#define MOVER_TRANSFER_H

#include "mover/client.h"
#include "mover/hashing.h"
#include "mover/spool.h"

enum transfer_state { PULLING, SNIFFING, FLOWING, CLOSING, ENDED, FAILED, RESOLVING, FOLLOWING };

struct transfer {
	TAILQ_ENTRY(transfer) link;
	struct mover *m;
	struct resource *r;
	enum transfer_state state;
	TAILQ_HEAD(, client) clients;
	size_t n_clients;
	const struct client *slowest;	/* as reclaim found it, or NULL */
	unsigned busy;			/* inside a loop over clients: freed at its end */
	struct pull *pull;
	struct want want;
	bool refreshed;			/* the source was resolved again once */
	bool resuming;			/* a pull for the rest is on its way */
	unsigned resumes;		/* in a row without RESUME_PROGRESS */
	uint64_t resumed_at;		/* bytes that were here at the last one */
	char *validator;		/* for If-Range: a strong ETag or a date; NULL: cannot be resumed */
	struct timer resume_timer;
	bool paused, background;
	struct handover h;		/* of the first request: borrows from texts below */
	char *texts;
	/* the body */
	struct spool spool;
	uint64_t total;			/* UINT64_MAX unknown */
	uint64_t counted;		/* bytes of it in m->spool_bytes */
	bool framed;
	struct facts facts;
	char *encoding;
	/* verification */
	struct checksum want_sum;
	struct hashing *hashing;	/* NULL: nothing to compare with */
	bool all_here;			/* the source has ended well, the digest is not there yet */
	bool deliver_on_mismatch;
	uint64_t want_size;		/* file:size; UINT64_MAX unknown */
	/* the store */
	bool stored;			/* is to be */
	bool bounded;			/* the spool was too small for it, and that was told */
	bool published;			/* the spool's file is the object now: never touched again */
	uint64_t store_max;
	struct store_fill *fill;
	struct timer fill_timer;
	/* the other hosts */
	char owner[LEASE_OWNER_MAX + 1];	/* of its lease; "": none was asked for yet */
	struct lease lease;
	struct timer lease_timer;	/* asks for it, then renews it */
	int64_t follow_until_ms;	/* mono */
	int64_t follow_us, poll_ms;	/* since when it follows (0: it does not), and its last pause */
	struct store_find *find;	/* is it there by now? */
	bool fetch_anyway;		/* what the storage says that it has cannot be had */
	int64_t started_us;
	/* the bill */
	const struct client *payer;
	bool paid;
	struct charge charge;		/* the payer's, with nothing but upstream bytes reserved */
};

/* transfer.c: its life */
void transfer_set_state(struct transfer *t, enum transfer_state s);
/* Everybody is told, and it is freed when nobody needs it.  May free t. */
void transfer_fail(struct transfer *t, const struct failure *f);
/* Free it when nobody needs it. */
void transfer_check(struct transfer *t);
void transfer_detach(struct transfer *t);	/* the next request begins another one */
/* Call fn for each client; clients may leave meanwhile. */
void transfer_each_client(struct transfer *t, void (*fn)(struct client *));

/* transfer_body.c: bytes into the spool, verified, into the store */
int transfer_take(struct transfer *t, const char *data, size_t n);	/* as fetch_ops.on_data */
void transfer_begin_store(struct transfer *t, const struct fetch_response *resp);
void transfer_begin_flow(struct transfer *t);
void transfer_whole(struct transfer *t);	/* the source has ended well; may wait for the digest */
void transfer_hashed(void *arg);		/* the digest is at the spool's end */
void transfer_flush(struct transfer *t);	/* what was gathered of it goes to the spool now */
void transfer_forget_gathered(struct transfer *t);

/* transfer_lease.c: which host fills */
/* Before its first pull.  True: it is FOLLOWING now, and goes on by itself; false: pull. */
bool transfer_claim(struct transfer *t);
/* The same where bytes come already: not stored if another host does it. */
void transfer_claim_now(struct transfer *t);
void transfer_yield(struct transfer *t);	/* it is published, or will not be; harmless without a lease */

/* transfer_source.c: its pulls */
/* A pull when there is a good source.  May free t. */
void transfer_fetch(struct transfer *t);
/* A slot and a connection for it, with the asset's source of now.  May free t. */
void transfer_pull(struct transfer *t);
struct pull *transfer_ask(struct transfer *t, struct failure *f);
struct failure transfer_judge(const struct transfer *t, const struct fetch_response *resp);	/* status 0: good */
void transfer_take_response(struct transfer *t, const struct fetch_response *resp);
void transfer_take_pull(struct transfer *t, struct pull *p);
void transfer_want_init(struct transfer *t);

#endif
