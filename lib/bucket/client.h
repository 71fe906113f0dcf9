/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation on a bucket to its end, however many calls it takes: S3 asks
 * its clients to come again, later, when it is busy.  Never blocks; for one
 * that waits there is s3_op_wait (eodata-proxyctl).
 *
 * The life of an operation: s3_op_start queues it; at its turn it is signed
 * with the credentials of that moment and sent (s3_call.h); its answer ends
 * it, or queues it again after a pause that doubles, half of it by chance, and
 * is as long as S3 asks for at least.
 */
#ifndef BUCKET_CLIENT_H
#define BUCKET_CLIENT_H

#include "bucket/s3_call.h"
#include "net/wait.h"

enum { S3_OP_TRIES_MAX = 6 };

struct s3_client;
struct s3_op;

/*
 * net is borrowed for the client's life, place is copied.  credentials are
 * borrowed until others are set; NULL: operations wait for them.
 */
struct s3_client *s3_client_new(struct net *net, const struct s3_place *place,
    const struct s3_credentials *credentials);
void s3_client_set_credentials(struct s3_client *b, const struct s3_credentials *credentials);
/* Where the bucket is: as place said, until an answer named another.  Borrowed until then. */
const char *s3_client_region(const struct s3_client *b);
void s3_client_free(struct s3_client *b);	/* cancels all; NULL is allowed */
/* As net_timeout_ms and net_on_timeout, beside them in the same loop.  Callbacks come from there, too. */
int s3_client_timeout_ms(const struct s3_client *b);
void s3_client_on_timeout(struct s3_client *b);

/* Over; last call.  All of a is borrowed for it.  May call s3_op_start.  tries: 0 where it could not be sent. */
typedef void s3_op_done_fn(void *arg, const struct s3_answer *a, unsigned tries);

/*
 * w is borrowed for the call and copied, the descriptor until on_done or
 * s3_op_cancel.  w->end_ms must be set: it is the end of all tries.  Never
 * fails here, and calls nobody: what cannot be sent is S3_RESULT_BAD in
 * on_done, and FETCH_REFUSED.
 */
struct s3_op *s3_op_start(struct s3_client *b, const struct s3_want *w, s3_op_done_fn *on_done, void *arg);
void s3_op_cancel(struct s3_op *o);		/* no on_done any more.  Not from inside it.  NULL is allowed */
uint64_t s3_op_sent(const struct s3_op *o);	/* bytes of the body, in this try */

/* One operation to its end.  b is of w's net; others of b go on meanwhile.  on_done is called from inside. */
void s3_op_wait(struct s3_client *b, struct wait *w, const struct s3_want *want, s3_op_done_fn *on_done, void *arg);

#endif
