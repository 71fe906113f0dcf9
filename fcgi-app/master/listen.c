/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the listening socket comes from.  Master only.
 */
#include "base/base.h"

#include "master/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

enum { MANAGER_FD = 3 /* SD_LISTEN_FDS_START */, LOCK_TRIES = 50, LOCK_PAUSE_MS = 100 };

int
listen_parse(const char *text, struct listen_spec *ret, struct err *e)
{
	struct listen_spec spec = { "", "", "" };
	const char *host = text, *colon, *port;
	size_t n;

	if (strncmp(text, "unix:", 5) == 0) {
		n = strlen(text + 5);
		if (n == 0)
			return err_set(e, "no path in '%s'", text);
		if (n >= sizeof(spec.path))
			return err_set(
			    e, "the path of a socket has at most %zu bytes", sizeof(spec.path) - 1);
		memcpy(spec.path, text + 5, n + 1);
		*ret = spec;
		return 0;
	}
	colon = strrchr(text, ':');
	if (colon == NULL)
		return err_set(
		    e, "'%s' is neither unix:PATH nor HOST:PORT nor [ADDRESS]:PORT", text);
	n = (size_t)(colon - text);
	port = colon + 1;
	if (text[0] == '[' && n >= 2 && text[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (memchr(text, ':', n) != NULL) {
		return err_set(e, "an IPv6 address is written [ADDRESS]:PORT");
	}
	if (n == 0 || n >= sizeof(spec.host))
		return err_set(e, "no host in '%s'", text);
	if (port[0] == '\0' || strlen(port) > 5 || strspn(port, "0123456789") != strlen(port) ||
	    atoi(port) > 65535)
		return err_set(e, "bad port in '%s'", text);
	memcpy(spec.host, host, n);
	(void)snprintf(spec.port, sizeof(spec.port), "%s", port);
	*ret = spec;
	return 0;
}

/* Does a process answer on this path?  As spawn-fcgi asks, before it unlinks. */
static bool
answered(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool live;

	if (fd == -1)
		return true;	/* cannot tell, so do not take it */
	live = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN ||
	       errno == EINPROGRESS;
	fd_close(&fd);
	return live;
}

/*
 * Two masters that start at once would each find the path dead and unlink the
 * other's socket: the folder is locked from the question until we listen.
 */
static int
lock_folder(const char *path, struct err *e)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;
	int fd;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		(void)snprintf(folder, sizeof(folder), ".");
	else
		slash[slash == folder ? 1 : 0] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(e, errno, "cannot open '%s'", folder);
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		(void)poll(NULL, 0, LOCK_PAUSE_MS);
	}
	fd_close(&fd);
	return err_set(e, "'%s' stays locked by another process", folder);
}

static int
take_path(const struct sockaddr_un *a, struct err *e)
{
	struct stat st;

	if (lstat(a->sun_path, &st) == -1)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot look at '%s'", a->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, "'%s' exists and is not a socket", a->sun_path);
	if (answered(a))
		return err_sys(e, EADDRINUSE, "'%s' is in use by a running process", a->sun_path);
	if (unlink(a->sun_path) == -1)
		return err_sys(e, errno, "cannot remove '%s'", a->sun_path);
	return 0;
}

static int
open_unix(const char *path, mode_t mode, gid_t group, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = -1, lock;
	mode_t mask;

	memcpy(a.sun_path, path, strlen(path) + 1);
	lock = lock_folder(path, e);
	if (lock == -1 || take_path(&a, e) == -1)
		goto fail;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0777);	/* nobody gets in before mode and group are right */
	if (fd == -1 || bind(fd, (struct sockaddr *)&a, sizeof(a)) == -1) {
		(void)err_sys(e, errno, "cannot bind '%s'", path);
		(void)umask(mask);
		goto fail;
	}
	(void)umask(mask);
	if (group != (gid_t)-1 && chown(path, (uid_t)-1, group) == -1)
		(void)err_sys(e, errno, "cannot give '%s' to the group %u", path, (unsigned)group);
	else if (chmod(path, mode) == -1)
		(void)err_sys(e, errno, "cannot set the mode of '%s'", path);
	else if (listen(fd, LISTEN_BACKLOG) == -1)
		(void)err_sys(e, errno, "cannot listen on '%s'", path);
	else
		goto out;
	(void)unlink(path);	/* ours, and of no use */
fail:
	fd_close(&fd);
out:
	fd_close(&lock);
	return fd;
}

static int
open_tcp(const struct listen_spec *spec, struct err *e)
{
	struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *list = NULL;
	int fd = -1, one = 1, rc;

	rc = getaddrinfo(spec->host, spec->port, &hints, &list);
	if (rc != 0)
		return err_set(e, "cannot find address '%s': %s", spec->host, gai_strerror(rc));
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1 ||
	    bind(fd, list->ai_addr, list->ai_addrlen) == -1 || listen(fd, LISTEN_BACKLOG) == -1) {
		(void)err_sys(e, errno, "cannot listen on '%s' port %s", spec->host, spec->port);
		fd_close(&fd);
	}
	freeaddrinfo(list);
	return fd;
}

int
listen_open(const struct listen_spec *spec, mode_t mode, gid_t group, struct err *e)
{
	return spec->path[0] != '\0' ? open_unix(spec->path, mode, group, e) : open_tcp(spec, e);
}

static bool
is_listening(int fd)
{
	socklen_t len = sizeof(int);
	int on = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0;
}

int
listen_from_manager(struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	bool for_us = pid != NULL && fds != NULL && strtol(pid, NULL, 10) == (long)getpid();
	long n = fds == NULL ? 0 : strtol(fds, NULL, 10);
	int fd = -1;

	e->text[0] = '\0';
	if (for_us && n != 1)
		(void)err_set(e, "LISTEN_FDS=%ld, but there is one socket for all", n);
	else if (for_us && (!is_listening(MANAGER_FD) || fd_set_cloexec(MANAGER_FD, true) == -1 ||
	    fd_set_nonblock(MANAGER_FD, true) == -1))
		(void)err_set(
		    e, "LISTEN_FDS is set, but descriptor %d does not listen", MANAGER_FD);
	else if (for_us)
		fd = MANAGER_FD;
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return fd;
}

int
listen_from_stdin(void)
{
	int fd, null;

	if (!is_listening(STDIN_FILENO))
		return -1;
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd == -1 || null == -1 || dup2(null, STDIN_FILENO) == -1 ||
	    fd_set_nonblock(fd, true) == -1)
		fd_close(&fd);
	fd_close(&null);
	return fd;
}

const char *
listen_name(int fd, char *dst, size_t cap)
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_storage space;
	} a = { 0 };
	socklen_t len = sizeof(a);
	char host[LISTEN_HOST_MAX], port[16];

	if (getsockname(fd, &a.any, &len) == -1)
		(void)snprintf(dst, cap, "?");
	else if (a.any.sa_family == AF_UNIX)
		(void)snprintf(dst, cap, "unix:%.*s", (int)sizeof(a.un.sun_path), a.un.sun_path);
	else if (getnameinfo(&a.any, len, host, sizeof(host), port, sizeof(port),
		     NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(
		    dst, cap, a.any.sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	else
		(void)snprintf(dst, cap, "?");
	return dst;
}
