/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors.  Every process.
 */
#include "base/base.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FD_PASS_MAX = 3, FD_MANY = 16 };

void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd != -1)
		(void)close(*fd);	/* nothing to be done about it */
	*fd = -1;
	errno = saved;
}

int
fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1)
		return -1;
	return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == -1 ? -1 : 0;
}

int
fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) == -1 ? -1 : 0;
}

int
fd_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	ssize_t w;

	while (n > 0) {
		w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			if (w == 0)
				errno = EIO;
			return -1;
		}
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int
fd_pwrite_all(int fd, const void *data, size_t n, uint64_t off)
{
	const char *p = data;
	ssize_t w;

	while (n > 0) {
		w = pwrite(fd, p, n, (off_t)off);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			if (w == 0)
				errno = ENOSPC;
			return -1;
		}
		p += w;
		off += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

int
fd_read_rest(int fd, struct buf *out, struct err *e)
{
	char chunk[16384];
	ssize_t n;

	for (;;) {
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "cannot read");
		if (n == 0)
			return 0;
		if (buf_add(out, chunk, (size_t)n) < 0)
			return err_set(e, "longer than %zu bytes", out->max);
	}
}

int
fd_read_file(const char *path, struct buf *out, struct err *e)
{
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(e, errno, "cannot open '%s'", path);
	rc = fd_read_rest(fd, out, e);
	if (rc < 0)
		err_prefix(e, "'%s'", path);
	fd_close(&fd);
	return rc;
}

int
fd_open_secret(const char *path, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd == -1)
		return err_sys(e, errno, "cannot open '%s'", path);
	if (fstat(fd, &st) == -1)
		(void)err_sys(e, errno, "cannot look at '%s'", path);
	else if (!S_ISREG(st.st_mode))
		(void)err_set(e, "'%s' is not a file", path);
	else if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
		(void)err_set(e,
		    "'%s' has mode %04o: others may not read it and only its owner may write it (chmod 640)",
		    path, (unsigned)st.st_mode & 07777);
	else
		return fd;
	fd_close(&fd);
	return -1;
}

int
fd_socketpair(int type, bool nonblock, int ret[2], struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0, pair) == -1)
		return err_sys(e, errno, "cannot make a socket pair");
	ret[0] = pair[0];
	ret[1] = pair[1];
	return 0;
}

int
fd_send(int sock, const void *data, size_t n, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t w;

	MUST(nfds <= FD_PASS_MAX);
	if (nfds == 0) {
		do {
			w = send(sock, data, n, MSG_NOSIGNAL);
		} while (w == -1 && errno == EINTR);
		return w == -1 ? -1 : 0;
	}
	msg.msg_control = control.space;
	msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	do {
		w = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (w == -1 && errno == EINTR);
	return w == -1 ? -1 : 0;
}

int
fd_send_many(int sock, const struct iovec *data, size_t n)
{
	struct mmsghdr msg[FD_MANY];
	int sent;

	if (n > FD_MANY)
		n = FD_MANY;
	for (size_t i = 0; i < n; i++)
		msg[i] = (struct mmsghdr){
			.msg_hdr = { .msg_iov = (struct iovec *)(uintptr_t)&data[i], .msg_iovlen = 1 },
		};
	do {
		sent = sendmmsg(sock, msg, (unsigned)n, MSG_NOSIGNAL);
	} while (sent == -1 && errno == EINTR);
	return sent;
}

/* Take descriptors out of one control message; surplus ones are closed. */
static void
collect_fds(struct cmsghdr *c, int *fds, size_t fds_max, size_t *nfds)
{
	size_t have = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	for (size_t i = 0; i < have; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (*nfds < fds_max)
			fds[(*nfds)++] = fd;
		else
			fd_close(&fd);
	}
}

ssize_t
fd_recv(int sock, void *data, size_t max, int *fds, size_t fds_max, size_t *ret_nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 16)];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = max };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c;
	size_t nfds = 0;
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			collect_fds(c, fds, fds_max, &nfds);
	}
	if ((msg.msg_flags & MSG_TRUNC) != 0) {
		for (size_t i = 0; i < nfds; i++)
			fd_close(&fds[i]);
		errno = EMSGSIZE;
		return -1;
	}
	if (ret_nfds != NULL)
		*ret_nfds = nfds;
	return n;
}

int
fd_memfd_sealed(const char *name, const void *data, size_t n, struct err *e)
{
	int fd;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return err_sys(e, errno, "cannot make a memfd");
	if (fd_write_all(fd, data, n) == -1 || lseek(fd, 0, SEEK_SET) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == -1) {
		(void)err_sys(e, errno, "cannot fill a memfd");
		fd_close(&fd);
		return -1;
	}
	return fd;
}

int
fd_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char *copy = mem_strdup(path), *p = copy;
	int rc = 0;

	while (rc == 0 && *p != '\0') {
		p++;
		p += strcspn(p, "/");
		char keep = *p;
		*p = '\0';
		if (mkdir(copy, mode) == -1 && errno != EEXIST)
			rc = err_sys(e, errno, "cannot make directory '%s'", copy);
		*p = keep;
	}
	free(copy);
	return rc;
}
