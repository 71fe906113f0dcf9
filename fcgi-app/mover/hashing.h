/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests of bodies, computed beside the loop.  Mover.
 *
 * A digest costs a transfer as much time as all the rest of it, so a thread
 * reads what is in the spool and adds it up while the loop moves bytes.  The
 * thread knows spools and digests, and nothing else of the mover: no log, no
 * statistics, no memory.  Small bodies, and all where there can be no thread,
 * are added up in the loop.  Every function here is called by the loop's thread.
 */
#ifndef MOVER_HASHING_H
#define MOVER_HASHING_H

#include "base/digest.h"
#include "mover/loop.h"
#include "mover/spool.h"

enum { HASHING_SMALL = 512 << 10 };	/* bytes: not worth waking a thread for */

struct hasher;		/* the thread; one in a mover */
struct hashing;		/* the digest of one body */

/* Dies when there is no descriptor for it.  The thread begins with the first body that needs it. */
struct hasher *hasher_new(struct loop *l);
void hasher_free(struct hasher *hr);	/* after its last hashing; NULL is fine */

/*
 * Of a body of size bytes (UINT64_MAX: unknown).  fn(arg) is called by the
 * loop, never from inside, when all that was added has been read; it may call
 * hashing_free.  NULL: no such digest (DIGEST_NONE, or the library has not got it).
 */
struct hashing *hashing_new(struct hasher *hr, enum digest_algo algo, uint64_t size, void (*fn)(void *arg), void *arg);
/* Data, the last n bytes of the spool, has come.  The spool's descriptors stay open until hashing_free. */
void hashing_add(struct hashing *h, const struct spool *s, const void *data, size_t n);
/* Bytes of the body that are in the digest: the spool must keep what follows them. */
uint64_t hashing_reach(const struct hashing *h);
/* Has all that was added been read? */
bool hashing_is_over(const struct hashing *h);
/* When it is over, once: digest_size bytes.  0, or -1: the spool could not be read. */
int hashing_final(struct hashing *h, uint8_t *ret);
/* Waits for the piece that the thread has at hand (256 KiB), if it is of this one.  NULL is fine. */
void hashing_free(struct hashing *h);

#endif
