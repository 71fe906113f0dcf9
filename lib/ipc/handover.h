/* SPDX-License-Identifier: Apache-2.0
 *
 * Worker to mover: a request and the client's connection itself.  Ownership
 * passes when the send succeeds.
 */
#ifndef IPC_HANDOVER_H
#define IPC_HANDOVER_H

#include "quota/charge.h"
#include "wire/conditional.h"
#include "wire/trace.h"

enum { HANDOVER_MAX = 60000 };

/* Strings are borrowed: from the worker's request, or from the message. */
struct handover {
	uint16_t fcgi_id;
	char id[CHARGE_ID_MAX + 1];
	char trace[TRACE_SIZE];
	bool head;
	/* subpath: decoded segments each percent-encoded, joined by '/'; NULL without */
	const char *backend, *collection, *item, *asset, *subpath;
	const char *range;			/* raw, NULL without */
	struct conditions cond;
	const char *origin;			/* the Origin header, or NULL */
	const char *rule;			/* for the log */
	enum delivery delivery;
	const char *delivery_why;		/* DELIVERY_STREAM, and not by the rule: a word (a-z, -); or NULL */
	uint64_t rate;				/* bytes/s, 0 unlimited */
	int64_t accepted_mono_us, deadline_mono_ms;
	/*
	 * A hit that the mover must send itself (front.hits "stream", If-Match): key is
	 * the object's, and the second descriptor is its open file where it is one.
	 * NULL: a miss.
	 */
	const char *hit_key;
	const char *ratelimit, *ratelimit_policy;	/* header values for the answer (quota_ratelimit), or NULL */
	struct charge charge;
};

void handover_put(struct buf *msg, const struct handover *h);
/* 0, or -1 when the message is not exactly one.  *ret borrows from data. */
int handover_get(const void *data, size_t n, struct handover *ret);

/*
 * Which mover owns an asset: a hash of backend, collection, item and asset.
 */
unsigned handover_owner(const struct handover *h, unsigned movers);
/*
 * Worker: send to a mover's queue; waits at most wait_ms while it is full.
 * fd: the client's connection; file_fd: the open object, or -1.  On 0 the
 * caller closes its copies; on -1 it still owns everything.
 */
int handover_send(int sock, const struct handover *h, int fd, int file_fd, int wait_ms);

#endif
