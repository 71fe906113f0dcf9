/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects in a directory: "KEY@data" and "KEY@meta" below the root.  '@' is
 * never bare in a key, so an asset and its sub-paths stand side by side.  This
 * file opens the store; store_directory_lookup.c finds objects (workers and
 * movers), store_directory_fill.c puts them in (movers).
 */
#include "base/base.h"

#include "cache/store_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "cache/key.h"

bool directory_without_openat2, directory_without_tmpfile;

void
store_object_release(struct store_object *o)
{
	if (o == NULL)
		return;
	object_meta_release(&o->meta);
	free(o->path);
	free(o->version);
	o->path = o->version = NULL;
}

static struct store_directory *
directory_of(struct store *s)
{
	return (struct store_directory *)s;
}

/* One component after the other, none of them a link: for kernels before 5.6. */
static int
open_stepwise(int root_fd, const char *rel, int flags)
{
	char name[NAME_MAX + 1];
	int dir = -1, next, saved;
	const char *p = rel, *slash;

	for (;;) {
		slash = strchr(p, '/');
		if (slash == NULL)
			break;
		if (slash == p || (size_t)(slash - p) > NAME_MAX) {
			errno = ENOENT;
			goto fail;
		}
		memcpy(name, p, (size_t)(slash - p));
		name[slash - p] = '\0';
		next = strcmp(name, "..") == 0 ? -1 :
		    openat(dir == -1 ? root_fd : dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next == -1)
			goto fail;
		fd_close(&dir);
		dir = next;
		p = slash + 1;
	}
	next = openat(dir == -1 ? root_fd : dir, p, flags | O_NOFOLLOW | O_CLOEXEC);
	fd_close(&dir);
	return next;
fail:
	saved = errno;
	fd_close(&dir);
	errno = saved;
	return -1;
}

static int
open_below(int root_fd, const char *rel, int flags)
{
	static bool no_openat2;
	struct open_how how = {
		.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (!no_openat2 && !directory_without_openat2) {
		fd = syscall(SYS_openat2, root_fd, rel, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* EPERM: an old container's system call filter */
		if (errno != ENOSYS && errno != EPERM)
			return -1;
		no_openat2 = true;
	}
	return open_stepwise(root_fd, rel, flags);
}

int
directory_open_dir(struct store_directory *d, const char *rel)
{
	return open_below(d->root_fd, rel[0] == '\0' ? "." : rel, O_PATH | O_DIRECTORY);
}

static int
open_root(const char *what, const char *path, int *fd, struct err *e)
{
	struct stat st;
	int next;

	/* removed under us: no link leads to it any more */
	if (*fd != -1 && fstat(*fd, &st) == 0 && st.st_nlink > 0)
		return 0;
	next = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (next == -1)
		return err_sys(e, errno, "cannot open %s '%s'", what, path);
	fd_close(fd);
	*fd = next;
	return 0;
}

int
directory_refresh(struct store_directory *d, struct err *e)
{
	if (open_root("cache.path", d->path, &d->root_fd, e) != 0)
		return -1;
	return d->spool_path == NULL ? 0 : open_root("dirs.spool", d->spool_path, &d->spool_fd, e);
}

static int
directory_check(struct store *s, struct err *e)
{
	struct store_directory *d = directory_of(s);

	if (directory_refresh(d, e) != 0)
		return -1;
	if (faccessat(d->root_fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0)
		return err_sys(e, errno, "cannot write in cache.path '%s'", d->path);
	return 0;
}

static void
directory_free(struct store *s)
{
	struct store_directory *d = directory_of(s);

	if (d == NULL)
		return;
	directory_forget_named(d, true);
	directory_lookups_free(d->lookups);
	fd_close(&d->root_fd);
	fd_close(&d->spool_fd);
	free(d->path);
	free(d->spool_path);
	free(d);
}

static const struct store_ops directory_ops = {
	.lookup = directory_lookup,
	.open = directory_open,
	.spool_open = directory_spool_open,
	.fill_begin = directory_fill_begin,
	.fill_advance = directory_fill_advance,
	.fill_finish = directory_fill_finish,
	.fill_state = directory_fill_state,
	.fill_free = directory_fill_free,
	.remove = directory_remove,
	.tick = directory_tick,
	.space = directory_space,
	.set_config = directory_set_config,
	.check = directory_check,
	.free = directory_free,
};

struct store *
store_directory_open(const struct config *c, bool mover, struct err *e)
{
	struct store_directory *d = mem_alloc(sizeof(*d));

	d->store.ops = &directory_ops;
	d->path = mem_strdup(c->cache_path);
	d->spool_path = mover ? mem_strdup(c->dir_spool) : NULL;
	d->root_fd = -1;
	d->spool_fd = -1;
	d->lookups = directory_lookups_new();
	directory_set_config(&d->store, c);
	if (mover && (fd_mkdirs(d->path, 0750, e) != 0 || fd_mkdirs(d->spool_path, 0750, e) != 0))
		goto fail;
	if (directory_refresh(d, e) != 0)
		goto fail;
	if (mover) {
		if (directory_probe(d, e) != 0)
			goto fail;
		directory_sweep(d);
	}
	return &d->store;
fail:
	directory_free(&d->store);
	return NULL;
}
