/* SPDX-License-Identifier: Apache-2.0
 *
 * How an object is found in the directory store (workers, movers).
 *
 * Files come and go under us: tmpfiles, operators, other masters.  So a
 * lookup takes nothing on trust: no link is followed, only regular files
 * count, and the metadata must name the inode and length of the file that is
 * there now.  Two things are kept, because a hit is looked up thousands of
 * times a second:
 *
 * folders   open for at most a second, for their metadata.  The data is looked
 *           at by its whole path, as the front will: where that leads to
 *           another file, or to none, the folder was moved or removed, and all
 *           is looked up again from the root.
 * metadata  that was parsed, by the identity of its file.  The change time
 *           tells every later state of a file from this one, except within
 *           the tick of the file system's clock: a file that has just changed
 *           is parsed each time.
 *
 * So a hit costs two fstatat(2), whoever sends its bytes opens it.
 */
#include "base/base.h"

#include "cache/store_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "cache/key.h"

enum {
	FOLDERS = 32,
	FOLDER_MS = 1000,
	METAS = 256,
	SETTLED_MS = 100,	/* no file system's clock ticks slower (jiffies) */
};

struct folder {
	char *rel;		/* below the root; NULL: none */
	int fd;			/* O_PATH */
	int64_t until_ms;	/* mono */
};

struct known_meta {
	struct stat st;		/* of its file; st_ino 0: none */
	struct object_meta meta;
	uint64_t inode;
};

struct lookups {
	struct folder folder[FOLDERS];
	struct known_meta known[METAS];
};

struct lookups *
directory_lookups_new(void)
{
	return mem_alloc(sizeof(struct lookups));
}

static void
folder_drop(struct folder *f)
{
	if (f->rel == NULL)
		return;
	fd_close(&f->fd);
	free(f->rel);
	f->rel = NULL;
}

void
directory_lookups_free(struct lookups *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < FOLDERS; i++)
		folder_drop(&l->folder[i]);
	for (size_t i = 0; i < METAS; i++)
		object_meta_release(&l->known[i].meta);
	free(l);
}

/* What it looks like when somebody removed, or planted, a file or directory. */
static bool
is_absence(int errnum)
{
	return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP || errnum == ENXIO || errnum == EXDEV ||
	    errnum == EAGAIN || errnum == ENAMETOOLONG || errnum == ENODEV || errnum == EISDIR || errnum == ESTALE;
}

static enum store_result
failed(const char *what, const char *key, struct err *e)
{
	if (is_absence(errno))
		return STORE_MISS;
	(void)err_sys(e, errno, "cannot open the %s of '%.200s'", what, key);
	return STORE_FAILED;
}

/* -- folders -------------------------------------------------------------------- */

static struct folder *
folder_place(struct store_directory *d, const char *rel)
{
	return &d->lookups->folder[text_hash(TEXT_HASH, rel, strlen(rel)) % FOLDERS];
}

/* The folder rel; *ret_kept: it was open already.  NULL with errno. */
static struct folder *
folder_get(struct store_directory *d, const char *rel, bool *ret_kept)
{
	struct folder *f = folder_place(d, rel);
	int64_t now_ms = clock_mono_ms();
	int fd;

	*ret_kept = f->rel != NULL && now_ms < f->until_ms && strcmp(f->rel, rel) == 0;
	if (*ret_kept)
		return f;
	fd = directory_open_dir(d, rel);
	if (fd == -1)
		return NULL;
	folder_drop(f);
	*f = (struct folder){ .rel = mem_strdup(rel), .fd = fd, .until_ms = now_ms + FOLDER_MS };
	return f;
}

/* folder_get, and once more where the root itself was removed and made anew: an absence says so alone. */
static struct folder *
folder_find(struct store_directory *d, const char *rel, bool *ret_kept)
{
	struct folder *f = folder_get(d, rel, ret_kept);
	struct err ignored = ERR_NONE;
	const int was = d->root_fd, saved = errno;

	if (f != NULL || saved != ENOENT)
		return f;
	(void)directory_refresh(d, &ignored);
	errno = saved;
	return d->root_fd == was ? NULL : folder_get(d, rel, ret_kept);
}

/* Part a path in its folder and the last name, which is returned; NULL when it has no folder or is too long. */
static const char *
part_path(const char *path, char folder[KEY_MAX + 1])
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash - path > KEY_MAX)
		return NULL;
	memcpy(folder, path, (size_t)(slash - path));
	folder[slash - path] = '\0';
	return slash + 1;
}

/* -- metadata -------------------------------------------------------------------- */

static int64_t
ms_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* One file, in one state? */
static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Read and parse the metadata; *ret_st is of the file that was read.  STORE_MISS also for what is no metadata. */
static enum store_result
read_meta(int folder_fd, const char *name, const char *key, struct known_meta *ret, struct err *e)
{
	static char text[META_MAX + 1];
	enum store_result r = STORE_MISS;
	size_t len = 0;
	ssize_t n;
	/* O_NONBLOCK: a planted FIFO must not hold us; on regular files it does nothing */
	int fd = openat(folder_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return failed("metadata", key, e);
	if (fstat(fd, &ret->st) != 0 || !S_ISREG(ret->st.st_mode))
		goto out;
	while (len < sizeof(text)) {
		n = read(fd, text + len, sizeof(text) - len);
		if (n == 0 || (n == -1 && errno != EINTR))
			break;
		len += n == -1 ? 0 : (size_t)n;
	}
	if (len < sizeof(text) && object_meta_parse(text, len, &ret->meta, &ret->inode, e) == 0)
		r = STORE_HIT;
out:
	fd_close(&fd);
	return r;
}

/* The metadata in this file, whose state is st; memory of it is known's, until the next call. */
static enum store_result
get_meta(struct store_directory *d, int folder_fd, const char *name, const char *key, const struct stat *st,
    const struct known_meta **ret, struct err *e)
{
	struct known_meta *known = &d->lookups->known[st->st_ino % METAS];
	enum store_result r;

	if (known->st.st_ino == 0 || !is_same(&known->st, st)) {
		object_meta_release(&known->meta);
		r = read_meta(folder_fd, name, key, known, e);
		if (r != STORE_HIT) {
			known->st.st_ino = 0;
			return r;
		}
	}
	*ret = known;
	return STORE_HIT;
}

/* Not to be trusted again where it may change without our seeing it. */
static void
keep_meta(struct known_meta *known)
{
	int64_t age_ms = clock_wall_ms() - ms_of(&known->st.st_ctim);

	if (age_ms < SETTLED_MS)
		known->st.st_ino = 0;
}

/* -- objects ---------------------------------------------------------------------- */

static enum store_result
look_in(struct store_directory *d, int folder_fd, const char *base, const char *key, struct store_object *ret,
    struct err *e)
{
	char data[KEY_MAX + sizeof(DIRECTORY_DATA)], meta[NAME_MAX + 1];
	const struct known_meta *known;
	struct stat st, meta_st;
	enum store_result r;

	if (strlen(base) + sizeof(DIRECTORY_META) > sizeof(meta) || strlen(key) > KEY_MAX)
		return STORE_MISS;
	(void)snprintf(data, sizeof(data), "%s" DIRECTORY_DATA, key);
	(void)snprintf(meta, sizeof(meta), "%s" DIRECTORY_META, base);
	if (fstatat(d->root_fd, data, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return failed("data", key, e);
	if (fstatat(folder_fd, meta, &meta_st, AT_SYMLINK_NOFOLLOW) != 0)
		return failed("metadata", key, e);
	if (!S_ISREG(st.st_mode) || !S_ISREG(meta_st.st_mode))
		return STORE_MISS;
	r = get_meta(d, folder_fd, meta, key, &meta_st, &known, e);
	if (r != STORE_HIT)
		return r;
	if (known->inode != (uint64_t)st.st_ino || known->meta.length != (uint64_t)st.st_size) {
		r = STORE_MISS;
	} else {
		object_meta_copy(&ret->meta, &known->meta);
		ret->inode = (uint64_t)st.st_ino;
		ret->path = mem_strdup(data);
		ret->version = NULL;
	}
	keep_meta(&d->lookups->known[meta_st.st_ino % METAS]);
	return r;
}

enum store_result
directory_lookup(struct store *s, const char *key, struct store_object *ret, struct err *e)
{
	struct store_directory *d = (struct store_directory *)s;
	char rel[KEY_MAX + 1];
	const char *base = part_path(key, rel);
	struct folder *f;
	enum store_result r;
	bool kept;

	if (base == NULL)
		return STORE_MISS;
	f = folder_find(d, rel, &kept);
	if (f == NULL)
		return failed("folder", key, e);
	r = look_in(d, f->fd, base, key, ret, e);
	if (r == STORE_HIT || !kept)
		return r;
	folder_drop(f);		/* perhaps it was made anew */
	f = folder_find(d, rel, &kept);
	if (f == NULL)
		return failed("folder", key, e);
	return look_in(d, f->fd, base, key, ret, e);
}

int
directory_open(struct store *s, const struct store_object *o, struct err *e)
{
	struct store_directory *d = (struct store_directory *)s;
	char rel[KEY_MAX + 1];
	const char *name = part_path(o->path, rel);
	struct folder *f;
	struct stat st;
	bool kept;
	int fd;

	f = name == NULL ? NULL : folder_get(d, rel, &kept);
	fd = f == NULL ? -1 : openat(f->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return err_sys(e, errno, "cannot open '%.200s'", o->path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_ino == o->inode &&
	    (uint64_t)st.st_size == o->meta.length)
		return fd;
	fd_close(&fd);
	return err_set(e, "'%.200s' was replaced meanwhile", o->path);
}

/*
 * Metadata goes first, as in publishing, so that no other data is ever believed to be what it says; and
 * then the data, if it still is this object's.
 */
static int
remove_pair(int folder_fd, const char *base, uint64_t inode)
{
	char data[NAME_MAX + 1], meta[NAME_MAX + 1];
	struct stat st;

	(void)snprintf(data, sizeof(data), "%.*s" DIRECTORY_DATA, KEY_SEGMENT_MAX, base);
	(void)snprintf(meta, sizeof(meta), "%.*s" DIRECTORY_META, KEY_SEGMENT_MAX, base);
	if (unlinkat(folder_fd, meta, 0) != 0 && errno != ENOENT)
		return -1;
	if (fstatat(folder_fd, data, &st, AT_SYMLINK_NOFOLLOW) != 0 || (uint64_t)st.st_ino != inode)
		return 0;
	return unlinkat(folder_fd, data, 0) == 0 || errno == ENOENT ? 0 : -1;
}

int
directory_remove(struct store *s, const char *key, struct err *e)
{
	struct store_directory *d = (struct store_directory *)s;
	struct store_object o;
	char rel[KEY_MAX + 1];
	const char *base = part_path(key, rel);
	int dir_fd = -1, rc = 0;

	switch (directory_lookup(s, key, &o, e)) {
	case STORE_HIT:
		dir_fd = directory_open_dir(d, rel);
		if (dir_fd == -1 || remove_pair(dir_fd, base, o.inode) != 0)
			rc = err_sys(e, errno, "cannot remove '%.200s'", key);
		else
			rc = 1;
		fd_close(&dir_fd);
		store_object_release(&o);
		return rc;
	case STORE_FAILED:
		return -1;
	case STORE_MISS:
	case STORE_ASK:
	default:
		return 0;
	}
}

void
directory_tick(struct store *s)
{
	struct lookups *l = ((struct store_directory *)s)->lookups;
	int64_t now_ms = clock_mono_ms();

	for (size_t i = 0; i < FOLDERS; i++) {
		if (now_ms >= l->folder[i].until_ms)
			folder_drop(&l->folder[i]);
	}
}
