/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation on a bucket to its end, however many calls it takes: S3 asks
 * its clients to come again, later, when it is busy.  Never blocks; for one
 * that waits there is s3_op_wait (eodata-proxyctl).  Fills of the S3 store are
 * made of operations, and so is what eodata-proxyctl asks.
 *
 * The life of an operation: s3_op_start queues it; at its turn it is signed
 * with the credentials of that moment and sent (s3_call.h); its answer ends
 * it, or queues it again after a pause that doubles, half of it by chance, and
 * is as long as S3 asks for at least.  An S3 that wants nobody for longer than
 * S3_OP_PAUSE_MAX_MS is not waited for.  lib/net's loop turns for it.
 */
#ifndef BUCKET_CLIENT_H
#define BUCKET_CLIENT_H

#include "bucket/s3_call.h"
#include "net/wait.h"

enum { S3_OP_TRIES_MAX = 6, S3_OP_PAUSE_MAX_MS = 60000 };

struct s3_client;
struct s3_op;

/* Asked before each try.  Borrowed until the next time; NULL and e: there are none now, and operations wait. */
typedef const struct s3_credentials *s3_keys_fn(void *arg, struct err *e);
/*
 * net and keys_arg are borrowed for the client's life, place is copied.  follows: a bucket that turns
 * out to be in another region is asked for there, once, and from then on.
 */
struct s3_client *s3_client_new(struct net *net, const struct s3_place *place, bool follows, s3_keys_fn *keys,
    void *keys_arg);
/* Where the bucket is: as place said, until an answer named another.  Borrowed until then. */
const char *s3_client_region(const struct s3_client *b);
bool s3_client_is_idle(const struct s3_client *b);	/* it has no operation; NULL has none either */
void s3_client_free(struct s3_client *b);	/* cancels all; NULL is allowed */

/* Over; last call.  All of a is borrowed for it.  May call s3_op_start.  tries: 0 where it could not be sent. */
typedef void s3_op_done_fn(void *arg, const struct s3_answer *a, unsigned tries);

/*
 * w is borrowed for the call and copied, the descriptor until on_done or
 * s3_op_cancel.  w->end_ms must be set: it is the end of all tries.  Never
 * fails here, and calls nobody: what cannot be sent is S3_RESULT_BAD in
 * on_done, and FETCH_REFUSED.
 */
struct s3_op *s3_op_start(struct s3_client *b, const struct s3_want *w, s3_op_done_fn *on_done, void *arg);
/* fn is called with o's arg for each answer, before it is known whether it is the last.  It starts and ends nothing. */
void s3_op_hear(struct s3_op *o, s3_done_fn *fn);
void s3_op_cancel(struct s3_op *o);		/* no callback any more.  Not from inside one.  NULL is allowed */
/* No other try.  True: one is on its way, which ends it; false: there was none, and it is cancelled. */
bool s3_op_finish_try(struct s3_op *o);

/* One operation to its end.  b is of w's net; others of b go on meanwhile.  on_done is called from inside. */
void s3_op_wait(struct s3_client *b, struct wait *w, const struct s3_want *want, s3_op_done_fn *on_done, void *arg);

#endif
