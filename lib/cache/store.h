/* SPDX-License-Identifier: Apache-2.0
 *
 * Where objects are kept.  One interface, store_directory and store_s3.
 * Workers look up; movers fill.  An object is visible only when it
 * is whole and verified; one that vanished is a miss, never an error.
 */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include "config/config.h"
#include "wire/multihash.h"

struct object_meta {
	uint64_t length;
	/* with quotes; the provider's strong one, else derived; never NULL in a stored object */
	char *etag;
	int64_t last_modified;		/* s since the epoch; -1 unknown */
	char *media_type;
	char *disposition;		/* whole header value, or NULL */
	struct checksum checksum;	/* that was verified, or DIGEST_NONE */
	int64_t source_time;		/* when it was fetched, s since the epoch */
	char *source_backend;
};
void object_meta_release(struct object_meta *m);
void object_meta_copy(struct object_meta *dst, const struct object_meta *src);	/* dst is uninitialised */
/* May it be one of a stored object, every text of it a header's value?  0, or -1 and e. */
int object_meta_check(const struct object_meta *m, struct err *e);

/*
 * The documented metadata format (eodata-proxy-objects in DESIGN.md): JSON,
 * at most META_MAX bytes, with the inode of its data file for a directory (0: none).
 */
enum { META_MAX = 16384 };
int object_meta_write(const struct object_meta *m, uint64_t inode, struct buf *out);
int object_meta_parse(const char *text, size_t len, struct object_meta *ret, uint64_t *ret_inode, struct err *e);

struct store_space { uint64_t used, max; };	/* bytes of the store, and how full it may be */

/* STORE_ASK: it is not known here; a mover can find out (find). */
enum store_result { STORE_HIT, STORE_MISS, STORE_FAILED, STORE_ASK };

struct store_object {
	struct object_meta meta;
	uint64_t inode;		/* of its file; 0 when the store has no files */
	char *path;		/* below the store's root, as the front needs it (not encoded further), or NULL */
	char *version;		/* S3's own ETag, with quotes; NULL in a directory */
	int64_t ends_s;		/* since 1970: its retention takes it then; 0: never, or not known */
};
void store_object_release(struct store_object *o);

struct store;
struct net;
struct shared;

/* What the operator should hear of a storage that is not in this machine.  text: why, or ""; no secrets. */
enum store_event {
	/* how it is; each once, until it is otherwise */
	STORE_AWAY,			/* it does not answer, or refuses us */
	STORE_FULL,			/* it takes nothing; what is there is served */
	STORE_BACK,
	/* of each request to it, for counters */
	STORE_CALL_FAILED,		/* no answer in time, or an error of its own */
	STORE_CALL_REFUSED,
	STORE_KEYS_NEW,			/* the file of credentials was read again */
	STORE_KEYS_BROKEN,		/* ... and could not be: the old ones stay */
	STORE_FOREIGN,			/* under a key of ours lies what is not ours; it counts as missing */
};
typedef void store_tell_fn(void *arg, enum store_event x, const char *text);

enum { STORE_URL_MAX = 32 << 10 };	/* temporary keys are long */
/* For whom a URL is: this machine (and its front), or clients, to whom the storage may have another name. */
enum store_url { STORE_URL_OURS, STORE_URL_CLIENTS };

/* Somebody waits to know whether an object is there. */
struct store_find;
/* Lookup knows more now.  The store_find is gone. */
typedef void store_found_fn(void *arg);

/*
 * A fill in progress: bytes are in the spool file; the store takes them while
 * they come (S3) or at the end (directory).  Never blocks; *_done tells.
 */
struct store_fill;
enum fill_state { FILL_RUNNING, FILL_DONE, FILL_FAILED };

struct store_ops {
	/* Worker, mover.  *ret is filled on STORE_HIT only. */
	enum store_result (*lookup)(struct store *s, const char *key, struct store_object *ret, struct err *e);
	/*
	 * Mover, after STORE_ASK; NULL where lookup always knows.  Ask the storage, once for all who
	 * want to know.  NULL and e: it cannot be asked.  fn never comes from inside, nor after find_cancel.
	 */
	struct store_find *(*find)(struct store *s, const char *key, store_found_fn *fn, void *arg, struct err *e);
	void (*find_cancel)(struct store_find *f);		/* NULL is fine */
	/* Mover; NULL likewise.  What was found of it here may be out of date: lookup looks further next time. */
	void (*again)(struct store *s, const char *key);
	/* Mover; NULL likewise.  What was found of it is wrong, for all hosts. */
	void (*forget)(struct store *s, const char *key);
	/*
	 * Worker, mover; NULL where objects are files.  Append a URL, of STORE_URL_MAX bytes at most, that
	 * lets its holder GET the object and begin within life_s: a secret.
	 */
	int (*url)(struct store *s, const char *key, enum store_url whose, uint32_t life_s, struct buf *out,
	    struct err *e);
	/* Worker, mover; NULL likewise.  The host of URLs for clients, with its port; the store's own. */
	const char *(*host)(const struct store *s);
	/* Worker, mover.  To send its bytes: the caller's.  -1 and e: it cannot be read, or is another object now. */
	int (*open)(struct store *s, const struct store_object *o, struct err *e);
	/* Mover.  A new spool file on the right file system, unlinked or swept at start; -1 and e. */
	int (*spool_open)(struct store *s, struct err *e);
	/*
	 * Mover.  NULL and e when the store takes nothing now (e->sys is ENOSPC where it would be
	 * fuller than cache.min_free allows; m->length is 0 when it is not known).  spool_fd is
	 * borrowed until the fill is freed.
	 */
	struct store_fill *(*fill_begin)(struct store *s, const char *key, int spool_fd,
	    const struct object_meta *m, struct err *e);
	/*
	 * Bytes [0, upto) of the spool are final; may be told again.  behind: clients lack many of them, and
	 * come first (S3: one part at a time is on its way).
	 */
	void (*fill_advance)(struct store_fill *f, uint64_t upto, bool behind);
	/* Verified as a whole: publish, with the final metadata.  The state tells when it is done. */
	void (*fill_finish)(struct store_fill *f, const struct object_meta *m);
	enum fill_state (*fill_state)(const struct store_fill *f, struct err *e);
	/* Ends it; what was not finished is as if it had never been. */
	void (*fill_free)(struct store_fill *f);
	/*
	 * eodata-proxyctl; NULL where the storage is to be asked (bucket/client.h).  Let an object go that
	 * lookup finds: 1, or 0 where there is none, or -1 and e.  One that takes its place meanwhile may stay.
	 */
	int (*remove)(struct store *s, const char *key, struct err *e);
	/*
	 * Mover, eodata-proxyctl; NULL where there is nothing of the kind.  Does the storage still have to hear
	 * of what was given up?  detach would keep it from that.
	 */
	bool (*busy)(const struct store *s);
	/* Each second or so: let go of what was kept for lookups and is out of date. */
	void (*tick)(struct store *s);
	/* Mover.  How full is it? 0, or -1 and e. */
	int (*space)(struct store *s, struct store_space *ret, struct err *e);
	/* A reload: what of the configuration can change while the store is open. */
	void (*set_config)(struct store *s, const struct config *c);
	/* Is the store there and writable? For -/ready. */
	int (*check)(struct store *s, struct err *e);
	/*
	 * Worker, mover; NULL where none is needed.  Speak through net, from now on, and tell the other hosts
	 * what they should know (shared; both borrowed until detach); end all that goes through them.
	 * A worker only signs: both are NULL.
	 */
	void (*attach)(struct store *s, struct net *net, struct shared *shared, store_tell_fn *tell, void *arg);
	void (*detach)(struct store *s);
	void (*free)(struct store *s);
};
struct store { const struct store_ops *ops; };

/* Opens the store of the configuration.  mover: the caller fills (sweeps stale temporary names at start). */
struct store *store_open(const struct config *c, bool mover, struct err *e);
/* For store_open: each kind. */
struct store *store_directory_open(const struct config *c, bool mover, struct err *e);
struct store *store_s3_open(const struct config *c, bool mover, struct err *e);

#endif
