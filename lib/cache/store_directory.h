/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the directory store: what its three files share.  Only they and the
 * unit tests include it.
 */
#ifndef CACHE_STORE_DIRECTORY_H
#define CACHE_STORE_DIRECTORY_H

#include "cache/store.h"

#define DIRECTORY_DATA	"@data"
#define DIRECTORY_META	"@meta"

/* A spool file that has a name, because the file system has no O_TMPFILE. */
struct spool_name {
	int fd;			/* borrowed: whoever took it from spool_open closes it */
	uint64_t dev, ino;
	char name[48];
	struct spool_name *next;
};

struct store_directory {
	struct store store;		/* first */
	char *path, *spool_path;
	int root_fd, spool_fd;		/* O_PATH */
	uint32_t min_free_percent;
	bool no_tmpfile;
	struct spool_name *named;
	struct lookups *lookups;
};

/* store_directory.c: open a directory below the root; -1 with errno.  "" is the root. */
int directory_open_dir(struct store_directory *d, const char *rel);
/* Open the root (and spool) again where they were removed and made anew. */
int directory_refresh(struct store_directory *d, struct err *e);

/* store_directory_lookup.c */
struct lookups *directory_lookups_new(void);
void directory_lookups_free(struct lookups *l);		/* NULL is fine */
enum store_result directory_lookup(struct store *s, const char *key, struct store_object *ret, struct err *e);
void directory_tick(struct store *s);
int directory_remove(struct store *s, const char *key, struct err *e);
int directory_open(struct store *s, const struct store_object *o, struct err *e);

/* store_directory_fill.c */
int directory_spool_open(struct store *s, struct err *e);
struct store_fill *directory_fill_begin(struct store *s, const char *key, int spool_fd, const struct object_meta *m,
    struct err *e);
void directory_fill_advance(struct store_fill *f, uint64_t upto, bool behind);
void directory_fill_finish(struct store_fill *f, const struct object_meta *m);
enum fill_state directory_fill_state(const struct store_fill *f, struct err *e);
void directory_fill_free(struct store_fill *f);
int directory_space(struct store *s, struct store_space *ret, struct err *e);
void directory_set_config(struct store *s, const struct config *c);
/* Is the spool on the root's file system, and can a file go from one to the other? */
int directory_probe(struct store_directory *d, struct err *e);
/* Remove what a process that ended left in the spool. */
void directory_sweep(struct store_directory *d);
void directory_forget_named(struct store_directory *d, bool all);

/* For tests: pretend that the kernel has no openat2, the file system no O_TMPFILE. */
extern bool directory_without_openat2, directory_without_tmpfile;

#endif
