/* SPDX-License-Identifier: Apache-2.0
 *
 * How an object gets into the directory store (movers only).
 *
 * The spool file has no name (O_TMPFILE) and lies on the root's file system.
 * To publish, it and its metadata get names in the spool directory, and are
 * renamed to their places from there: a name that a killed mover leaves is
 * always in that one directory, where the next mover sweeps it.  Whoever
 * holds such a file holds a flock on it, so a sweep takes nothing from a mover
 * that lives, of this master or another.
 *
 * Old metadata goes first, then data, then metadata comes: at no instant does
 * metadata stand beside data that it was not written for, even if the file
 * system gives the old inode number again.  No fsync: after a power cut an
 * object may be missing or short, and then its length does not match.
 */
#include "base/base.h"

#include "cache/store_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cache/key.h"

#define TEMP_PREFIX	"eo-"

enum {
	TEMP_NAME_SIZE = 40,
	FILE_MODE = 0640,		/* the front reads by the directory's group */
	DIRECTORY_MODE = 0750,
	PUBLISH_ATTEMPTS = 32,		/* against tmpfiles, which removes empty directories */
	NAME_ATTEMPTS = 32,		/* against sweeps of movers that start */
	SWEEP_MAX = 100000,
};

struct store_fill {
	struct store_directory *d;
	char *key;
	int spool_fd;			/* borrowed */
	enum fill_state state;
	struct err error;
};

static void
temp_name(char ret[TEMP_NAME_SIZE])
{
	char hex[25];

	text_random_hex(hex, sizeof(hex) - 1);
	(void)snprintf(ret, TEMP_NAME_SIZE, TEMP_PREFIX "%s", hex);
}

/* A file without a name, or -1 with errno; EOPNOTSUPP where there is no such thing. */
static int
open_nameless(struct store_directory *d)
{
	int fd;

	if (d->no_tmpfile || directory_without_tmpfile) {
		errno = EOPNOTSUPP;
		return -1;
	}
	fd = openat(d->spool_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FILE_MODE);
	if (fd == -1 && (errno == EISDIR || errno == EINVAL || errno == EOPNOTSUPP)) {
		d->no_tmpfile = true;
		errno = EOPNOTSUPP;
	}
	return fd;
}

/* A file with a name, locked.  -1 with errno. */
static int
open_named(struct store_directory *d, char name[TEMP_NAME_SIZE])
{
	struct stat st;
	bool swept;
	int fd;

	for (int i = 0; i < NAME_ATTEMPTS; i++) {
		temp_name(name);
		fd = openat(d->spool_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
		if (fd == -1)
			return -1;
		/* a sweep may come between the name and the lock; without locks it takes what it likes */
		swept = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
		if (!swept && fstat(fd, &st) == 0 && st.st_nlink > 0)
			return fd;
		fd_close(&fd);
	}
	errno = EAGAIN;
	return -1;
}

static int
link_nameless(struct store_directory *d, int fd, char name[TEMP_NAME_SIZE])
{
	char proc[40];

	temp_name(name);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, proc, d->spool_fd, name, AT_SYMLINK_FOLLOW);
}

/* The same, and where that can be had, nobody sees the name before it is locked. */
static int
open_temp(struct store_directory *d, char name[TEMP_NAME_SIZE])
{
	int fd = open_nameless(d), saved;

	if (fd == -1)
		return errno == EOPNOTSUPP ? open_named(d, name) : -1;
	(void)flock(fd, LOCK_EX | LOCK_NB);
	if (link_nameless(d, fd, name) == 0)
		return fd;
	saved = errno;
	fd_close(&fd);
	errno = saved;
	return -1;
}

/*
 * Names in the spool whose descriptor is closed belong to transfers that
 * ended without publishing.  Only where there is no O_TMPFILE.
 */
void
directory_forget_named(struct store_directory *d, bool all)
{
	struct spool_name **link = &d->named, *n;
	struct stat st;

	while (*link != NULL) {
		n = *link;
		if (!all && fstat(n->fd, &st) == 0 && (uint64_t)st.st_ino == n->ino && (uint64_t)st.st_dev == n->dev) {
			link = &n->next;
			continue;
		}
		(void)unlinkat(d->spool_fd, n->name, 0);	/* gone already is as good */
		*link = n->next;
		free(n);
	}
}

int
directory_spool_open(struct store *s, struct err *e)
{
	struct store_directory *d = (struct store_directory *)s;
	char name[TEMP_NAME_SIZE];
	struct spool_name *n;
	struct stat st;
	int fd;

	if (directory_refresh(d, e) != 0)
		return -1;
	directory_forget_named(d, false);
	fd = open_nameless(d);
	if (fd == -1 && errno == EOPNOTSUPP) {
		fd = open_named(d, name);
		if (fd != -1) {
			n = mem_alloc(sizeof(*n));
			MUST(fstat(fd, &st) == 0);
			*n = (struct spool_name){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino, .next = d->named };
			(void)snprintf(n->name, sizeof(n->name), "%s", name);
			d->named = n;
		}
	}
	if (fd == -1)
		return err_sys(e, errno, "cannot make a file in dirs.spool '%s'", d->spool_path);
	/* so it has its name locked when it is published; without, a sweep could take it, and it is not */
	(void)flock(fd, LOCK_EX | LOCK_NB);
	return fd;
}

/* The name of a spool file in the spool directory: the one it has, or a new one. */
static int
name_spool(struct store_directory *d, int fd, char name[TEMP_NAME_SIZE])
{
	struct spool_name **link;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -1;
	for (link = &d->named; *link != NULL; link = &(*link)->next) {
		struct spool_name *n = *link;

		if (n->ino == (uint64_t)st.st_ino && n->dev == (uint64_t)st.st_dev) {
			(void)snprintf(name, TEMP_NAME_SIZE, "%.*s", TEMP_NAME_SIZE - 1, n->name);
			*link = n->next;
			free(n);
			return 0;
		}
	}
	return link_nameless(d, fd, name);
}

/* Make the directory rel below the root, and open it; each step refuses links. */
static int
make_dir(struct store_directory *d, const char *rel)
{
	char part[KEY_MAX + 1];
	int fd;

	fd = directory_open_dir(d, rel);
	if (fd != -1 || errno != ENOENT)
		return fd;
	for (const char *slash = strchr(rel, '/');; slash = strchr(slash + 1, '/')) {
		int parent;
		char *name;

		(void)snprintf(part, sizeof(part), "%.*s", slash == NULL ? (int)strlen(rel) : (int)(slash - rel), rel);
		name = strrchr(part, '/');
		if (name != NULL)
			*name++ = '\0';
		parent = directory_open_dir(d, name == NULL ? "" : part);
		if (parent == -1)
			return -1;
		if (mkdirat(parent, name == NULL ? part : name, DIRECTORY_MODE) != 0 && errno != EEXIST) {
			fd_close(&parent);
			return -1;
		}
		fd_close(&parent);
		if (slash == NULL)
			break;
	}
	return directory_open_dir(d, rel);
}

/* The object's directory (opened, made if needed) and the last part of its name. */
static int
open_target(struct store_directory *d, const char *key, const char **ret_base)
{
	char dir[KEY_MAX + 1];
	const char *slash = strrchr(key, '/');

	MUST(slash != NULL && strlen(key) <= KEY_MAX);
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - key), key);
	*ret_base = slash + 1;
	return make_dir(d, dir);
}

/* Write text to a new file of the spool directory.  Its descriptor (and so its flock), or -1 and e. */
static int
write_temp(struct store_directory *d, const struct buf *text, char name[TEMP_NAME_SIZE], struct err *e)
{
	int fd = open_temp(d, name);

	if (fd == -1)
		return err_sys(e, errno, "cannot make a file in dirs.spool '%s'", d->spool_path);
	if (fd_write_all(fd, text->data, text->len) != 0) {
		(void)err_sys(e, errno, "cannot write in dirs.spool '%s'", d->spool_path);
		(void)unlinkat(d->spool_fd, name, 0);
		fd_close(&fd);
	}
	return fd;
}

/* Both names exist in the spool; put them in place.  -1 with errno. */
static int
rename_pair(struct store_directory *d, const char *key, const char *data_temp, const char *meta_temp)
{
	char data[NAME_MAX + 1], meta[NAME_MAX + 1];
	const char *base;
	int dir, r = -1, saved;

	dir = open_target(d, key, &base);
	if (dir == -1)
		return -1;
	(void)snprintf(data, sizeof(data), "%.*s" DIRECTORY_DATA, KEY_SEGMENT_MAX, base);
	(void)snprintf(meta, sizeof(meta), "%.*s" DIRECTORY_META, KEY_SEGMENT_MAX, base);
	if (unlinkat(dir, meta, 0) != 0 && errno != ENOENT)
		goto out;
	if (renameat(d->spool_fd, data_temp, dir, data) != 0)
		goto out;
	r = renameat(d->spool_fd, meta_temp, dir, meta);
out:
	saved = errno;
	fd_close(&dir);
	errno = saved;
	return r;
}

/* Does the name still exist in the spool? */
static bool
is_there(struct store_directory *d, const char *name)
{
	struct stat st;

	return fstatat(d->spool_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
publish_names(struct store_directory *d, const char *key, const char *data_temp, const char *meta_temp, struct err *e)
{
	for (int i = 0; i < PUBLISH_ATTEMPTS; i++) {
		if (rename_pair(d, key, data_temp, meta_temp) == 0)
			return 0;
		/* a directory was removed between its making and our rename: again */
		if (errno != ENOENT)
			break;
		if (!is_there(d, data_temp) || !is_there(d, meta_temp)) {
			errno = ENOENT;
			break;
		}
	}
	return err_sys(e, errno, "cannot publish '%.200s'", key);
}

int
directory_space(struct store *s, struct store_space *ret, struct err *e)
{
	struct store_directory *d = (struct store_directory *)s;
	struct statvfs vfs;
	uint64_t kept;

	if (fstatvfs(d->root_fd, &vfs) != 0)
		return err_sys(e, errno, "cannot ask for the free space of '%s'", d->path);
	*ret = (struct store_space){ 0, UINT64_MAX };
	if (vfs.f_blocks == 0)	/* a file system that does not say */
		return 0;
	/* what is kept for root is neither used nor ours */
	ret->max = (vfs.f_blocks - vfs.f_bfree + vfs.f_bavail) * vfs.f_frsize;
	ret->used = (vfs.f_blocks - vfs.f_bfree) * vfs.f_frsize;
	kept = vfs.f_blocks / 100 * d->min_free_percent * vfs.f_frsize;
	ret->max = ret->max > kept ? ret->max - kept : 0;
	return 0;
}

/* Would less than cache.min_free be left with n bytes more? */
static int
check_free(struct store_directory *d, uint64_t n, struct err *e)
{
	struct store_space space = { 0, 0 };

	if (directory_space(&d->store, &space, e) != 0)
		return -1;
	if (space.used + n > space.max)
		return err_sys(e, ENOSPC, "cache.min_free is %u %% of '%s'", d->min_free_percent, d->path);
	return 0;
}

static int
publish(struct store_fill *f, const struct object_meta *m, struct err *e)
{
	static const struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };
	struct buf text = BUF_INIT(META_MAX);
	char data_temp[TEMP_NAME_SIZE] = "", meta_temp[TEMP_NAME_SIZE] = "";
	struct stat st;
	int meta_fd = -1, r = -1;

	if (fstat(f->spool_fd, &st) != 0 || (uint64_t)st.st_size != m->length) {
		(void)err_set(e, "the spool file has not the length of its metadata");
		goto out;
	}
	if (check_free(f->d, 0, e) != 0)	/* its length was not known, or many began at once */
		goto out;
	if (object_meta_write(m, (uint64_t)st.st_ino, &text) != 0) {
		(void)err_set(e, "the metadata of '%.200s' cannot be written as such", f->key);
		goto out;
	}
	/* the time of storing: what ages count from */
	if (futimens(f->spool_fd, now) != 0) {
		(void)err_sys(e, errno, "cannot set the time of a spool file");
		goto out;
	}
	if (name_spool(f->d, f->spool_fd, data_temp) != 0) {
		(void)err_sys(e, errno, "cannot name a file in dirs.spool '%s'", f->d->spool_path);
		data_temp[0] = '\0';
		goto out;
	}
	meta_fd = write_temp(f->d, &text, meta_temp, e);
	if (meta_fd == -1) {
		meta_temp[0] = '\0';
		goto out;
	}
	r = publish_names(f->d, f->key, data_temp, meta_temp, e);
out:
	if (r != 0 && data_temp[0] != '\0')
		(void)unlinkat(f->d->spool_fd, data_temp, 0);
	if (r != 0 && meta_temp[0] != '\0')
		(void)unlinkat(f->d->spool_fd, meta_temp, 0);
	if (r == 0)
		(void)flock(f->spool_fd, LOCK_UN);
	fd_close(&meta_fd);
	buf_release(&text);
	return r;
}

void
directory_set_config(struct store *s, const struct config *c)
{
	((struct store_directory *)s)->min_free_percent = c->cache_min_free_percent;
}

struct store_fill *
directory_fill_begin(struct store *s, const char *key, int spool_fd, const struct object_meta *m, struct err *e)
{
	struct store_directory *d = (struct store_directory *)s;
	struct store_fill *f;

	if (strlen(key) > KEY_MAX || strchr(key, '/') == NULL) {
		(void)err_set(e, "no key: '%.200s'", key);
		return NULL;
	}
	if (directory_refresh(d, e) != 0 || check_free(d, m->length, e) != 0)
		return NULL;
	f = mem_alloc(sizeof(*f));
	f->d = d;
	f->key = mem_strdup(key);
	f->spool_fd = spool_fd;
	f->state = FILL_RUNNING;
	return f;
}

void
directory_fill_advance(struct store_fill *f UNUSED, uint64_t upto UNUSED, bool behind UNUSED)
{
	/* the bytes are where they belong already */
}

void
directory_fill_finish(struct store_fill *f, const struct object_meta *m)
{
	if (f->state != FILL_RUNNING)
		return;
	f->state = publish(f, m, &f->error) == 0 ? FILL_DONE : FILL_FAILED;
}

enum fill_state
directory_fill_state(const struct store_fill *f, struct err *e)
{
	if (f->state == FILL_FAILED && e != NULL)
		*e = f->error;
	return f->state;
}

void
directory_fill_free(struct store_fill *f)
{
	if (f == NULL)
		return;
	free(f->key);
	free(f);
}

int
directory_probe(struct store_directory *d, struct err *e)
{
	struct stat root, spool;
	char name[TEMP_NAME_SIZE];
	int fd, r = 0;

	if (fstat(d->root_fd, &root) != 0 || fstat(d->spool_fd, &spool) != 0)
		return err_sys(e, errno, "cannot look at '%s'", d->path);
	if (root.st_dev != spool.st_dev)
		return err_set(e, "dirs.spool '%s' is not on the file system of cache.path '%s'", d->spool_path,
		    d->path);
	fd = open_temp(d, name);
	if (fd == -1)
		return err_sys(e, errno, "cannot make a file in dirs.spool '%s'", d->spool_path);
	/* two mounts of one file system have one st_dev, and still refuse a rename */
	if (renameat(d->spool_fd, name, d->root_fd, name) != 0) {
		r = errno == EXDEV ?
		    err_set(e, "dirs.spool '%s' and cache.path '%s' are different mounts", d->spool_path, d->path) :
		    err_sys(e, errno, "cannot rename from dirs.spool '%s' to cache.path '%s'", d->spool_path, d->path);
		(void)unlinkat(d->spool_fd, name, 0);
	} else if (unlinkat(d->root_fd, name, 0) != 0) {
		r = err_sys(e, errno, "cannot remove a file in cache.path '%s'", d->path);
	}
	fd_close(&fd);
	return r;
}

static void
sweep(int at)
{
	int dir_fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (dir_fd == -1)
		return;
	dir = fdopendir(dir_fd);
	if (dir == NULL) {
		fd_close(&dir_fd);
		return;
	}
	for (int i = 0; i < SWEEP_MAX; i++) {
		entry = readdir(dir);
		if (entry == NULL)
			break;
		if (strncmp(entry->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) != 0)
			continue;
		fd = openat(at, entry->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (fd == -1)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)unlinkat(at, entry->d_name, 0);	/* somebody else was faster, or a directory */
		fd_close(&fd);
	}
	(void)closedir(dir);
}

void
directory_sweep(struct store_directory *d)
{
	sweep(d->spool_fd);
	sweep(d->root_fd);	/* for an instant directory_probe has its file there */
}
