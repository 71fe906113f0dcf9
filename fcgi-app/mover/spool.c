/* SPDX-License-Identifier: Apache-2.0
 *
 * The spool.  Mover.
 */
#include "base/base.h"

#include "mover/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

static int
to_memory(struct spool *s, struct err *e)
{
	s->mem_fd = memfd_create("eodata-spool", MFD_CLOEXEC);
	if (s->mem_fd == -1)
		return err_sys(e, errno, "cannot make a spool in memory");
	s->switch_at = s->head;
	return 0;
}

int
spool_init(struct spool *s, int fd, struct err *e)
{
	*s = (struct spool){ .fd = fd, .mem_fd = -1, .switch_at = UINT64_MAX };
	return fd == -1 ? to_memory(s, e) : 0;
}

void
spool_release(struct spool *s)
{
	fd_close(&s->fd);
	fd_close(&s->mem_fd);
}

bool
spool_in_memory(const struct spool *s)
{
	return s->mem_fd != -1;
}

int
spool_add(struct spool *s, const void *data, size_t n, struct err *e)
{
	int moved = 0;

	if (s->mem_fd == -1) {
		if (fd_pwrite_all(s->fd, data, n, s->head) == 0) {
			s->head += n;
			return 0;
		}
		/* what a failed write left behind head is never read */
		if (to_memory(s, e) < 0)
			return -1;
		moved = 1;
	}
	if (fd_pwrite_all(s->mem_fd, data, n, s->head) == -1)
		return err_sys(e, errno, "cannot write to the spool in memory");
	s->head += n;
	return moved;
}

ssize_t
spool_read(const struct spool *s, void *dst, size_t n, uint64_t off)
{
	bool mem = off >= s->switch_at;
	ssize_t r;

	if (!mem && n > s->switch_at - off)
		n = s->switch_at - off;
	do {
		r = pread(mem ? s->mem_fd : s->fd, dst, n, (off_t)off);
	} while (r == -1 && errno == EINTR);
	return r;
}

uint64_t
spool_drop(struct spool *s, uint64_t to)
{
	uint64_t from = s->tail;

	if (to < s->head)
		to -= to % SPOOL_BLOCK;
	if (to <= from)
		return 0;
	/* a file system that cannot punch holes keeps the bytes; the count is still right about what may be read */
	if (s->fd != -1 && from < s->switch_at)
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
	if (s->mem_fd != -1)
		(void)fallocate(s->mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
	s->tail = to;
	return to - from;
}
