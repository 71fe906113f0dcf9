/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors: each has one owner, is born close-on-exec, and "no
 * descriptor" is -1 and nothing else.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

/* Close *fd unless it is -1, and set it to -1.  errno is kept. */
void fd_close(int *fd);
int fd_set_nonblock(int fd, bool on);		/* 0, or -1 with errno */
int fd_set_cloexec(int fd, bool on);
/* write(2) until all is out, on a blocking fd.  0, or -1 with errno. */
int fd_write_all(int fd, const void *data, size_t n);
/* pwrite the same way. */
int fd_pwrite_all(int fd, const void *data, size_t n, uint64_t off);
/*
 * Read a whole file of at most out->max bytes into out (appended).
 * O_NOFOLLOW is not set: configuration may be a link.  0, or -1 and e.
 */
int fd_read_file(const char *path, struct buf *out, struct err *e);
/* The same from an open descriptor, from its current position. */
int fd_read_rest(int fd, struct buf *out, struct err *e);
/*
 * Open a file that holds secrets: a regular one (a FIFO holds nobody up) that
 * others may not read and only its owner may write.  The descriptor, or -1 and e.
 */
int fd_open_secret(const char *path, struct err *e);
/* A pair of connected AF_UNIX sockets; type SOCK_STREAM or SOCK_SEQPACKET; close-on-exec, non-blocking when asked. */
int fd_socketpair(int type, bool nonblock, int ret[2], struct err *e);
/*
 * One datagram with up to 3 descriptors (SCM_RIGHTS).  fds are borrowed.
 * 0, or -1 with errno (EAGAIN when the queue is full).
 */
int fd_send(int sock, const void *data, size_t n, const int *fds, size_t nfds);
/*
 * Datagrams without descriptors, in one system call: how many went (at least one), or -1 with errno.
 */
struct iovec;
int fd_send_many(int sock, const struct iovec *data, size_t n);
/*
 * Receive one datagram and its descriptors (close-on-exec).  Returns the
 * length, 0 on end, -1 with errno; EMSGSIZE when it was longer than max (its
 * descriptors are closed).  *ret_nfds is at most fds_max; surplus is closed.
 */
ssize_t fd_recv(int sock, void *data, size_t max, int *fds, size_t fds_max, size_t *ret_nfds);
/* A memfd, written and sealed against every change.  fd, or -1 and e. */
int fd_memfd_sealed(const char *name, const void *data, size_t n, struct err *e);
/* Create a directory and its parents, with mode.  0, or -1 and e. */
int fd_mkdirs(const char *path, mode_t mode, struct err *e);

#endif
