/* SPDX-License-Identifier: Apache-2.0
 *
 * The conversation of the master with each of its children, both ends.  A
 * message is 16 bytes; RELOAD carries one descriptor.
 */
#include "base/base.h"

#include "ipc/control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/fd.h"

enum { CONTROL_MAGIC = 0x656f6331 };

struct frame {
	uint32_t magic, type;
	uint64_t generation;
};

static int
put(int fd, enum control_type type, uint64_t generation, int pass)
{
	struct frame f = { CONTROL_MAGIC, (uint32_t)type, generation };

	return fd_send(fd, &f, sizeof(f), &pass, pass == -1 ? 0 : 1);
}

/* One message if there is one.  *ret_fd is -1 or the caller's. */
static enum control_type
get(int fd, struct frame *f, int *ret_fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t nfds = 0;
	int fds[1];
	ssize_t n;

	*ret_fd = -1;
	if (poll(&p, 1, 0) != 1)
		return CONTROL_NONE;
	n = fd_recv(fd, f, sizeof(*f), fds, ARRAY_LEN(fds), &nfds);
	if (n == 0)
		return CONTROL_GONE;
	if (n < 0)
		return errno == EAGAIN || errno == EMSGSIZE ? CONTROL_NONE : CONTROL_GONE;
	if (nfds == 1)
		*ret_fd = fds[0];
	if (n != (ssize_t)sizeof(*f) || f->magic != CONTROL_MAGIC)
		return CONTROL_NONE;
	switch (f->type) {
	case CONTROL_READY:
	case CONTROL_RELOAD:
	case CONTROL_DRAIN:
	case CONTROL_FINISH:
		return (enum control_type)f->type;
	default:
		return CONTROL_NONE;
	}
}

int
control_ready(int fd, uint64_t generation)
{
	return put(fd, CONTROL_READY, generation, -1);
}

int
control_send(int fd, enum control_type type, int config_fd)
{
	return put(fd, type, 0, config_fd);
}

enum control_type
control_read(int fd, int *ret_fd)
{
	struct frame f;
	int passed;
	enum control_type type = get(fd, &f, &passed);

	if (type == CONTROL_RELOAD) {
		*ret_fd = passed;
		return type;
	}
	fd_close(&passed);
	return type == CONTROL_READY ? CONTROL_NONE : type;
}

enum control_type
control_read_child(int fd, uint64_t *ret_generation)
{
	struct frame f;
	int passed;
	enum control_type type = get(fd, &f, &passed);

	fd_close(&passed);	/* a child has none to give */
	if (type == CONTROL_READY)
		*ret_generation = f.generation;
	return type == CONTROL_READY || type == CONTROL_GONE ? type : CONTROL_NONE;
}
