/* SPDX-License-Identifier: Apache-2.0
 *
 * The folders: checked at start; and what the master keeps in dirs.run: the
 * file of provider slots, the pid file, and the console, a socket on which
 * eodata-proxyctl is given the scoreboard (read-only).  Nothing is read from
 * the console; who connects also learns our pid from the kernel.
 */
#include "base/base.h"

#include "master/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

enum { DIR_MODE = 0750, FILE_MODE = 0640, SOMAXCONN_WANTED = 4096 };

static int
make_dir(const char *path, const char *name, const struct user *u, struct err *e)
{
	int rc = 0;

	if (user_mkdirs(u, path, DIR_MODE, e) == -1) {
		err_prefix(e, "%s", name);
		return -1;
	}
	user_borrow(u);
	if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == -1)
		rc = err_sys(e, errno, "%s '%s' cannot be used", name, path);
	user_return(u);
	return rc;
}

/*
 * Publishing is a rename from the spool to the cache, so that is tried: one
 * st_dev is not enough where one of them is a mount of its own.
 */
static int
try_rename(const char *spool, const char *cache, struct err *e)
{
	char *from = mem_printf("%s/.start-%d", spool, (int)getpid());
	char *to = mem_printf("%s/.start-%d", cache, (int)getpid());
	int fd, rc = 0;

	fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (fd == -1)
		rc = err_sys(e, errno, "cannot write in dirs.spool '%s'", spool);
	else if (rename(from, to) == -1 && errno == EXDEV)
		rc = err_set(e, "dirs.spool '%s' and cache.path '%s' must be on one file system",
		    spool, cache);
	else if (access(to, F_OK) == -1)
		rc = err_set(
		    e, "cannot move a file from dirs.spool '%s' to cache.path '%s'", spool, cache);
	fd_close(&fd);
	(void)unlink(from);	/* one of the two is there */
	(void)unlink(to);
	free(from);
	free(to);
	return rc;
}

static void
check_somaxconn(void)
{
	struct buf b = BUF_INIT(64);
	int n;

	if (fd_read_file("/proc/sys/net/core/somaxconn", &b, NULL) == 0) {
		n = atoi(buf_str(&b));
		if (n < SOMAXCONN_WANTED)
			log_warn(NULL, "EO-MASTER-BACKLOG",
			    "net.core.somaxconn is %d: the front gets errors when %d "
			    "connections wait; set it to %d",
			    n, n, SOMAXCONN_WANTED);
	}
	buf_release(&b);
}

int
rundir_check(const struct config *c, const struct user *u, struct err *e)
{
	int rc;

	check_somaxconn();
	if (make_dir(c->dir_run, "dirs.run", u, e) == -1 ||
	    make_dir(c->dir_state, "dirs.state", u, e) == -1 ||
	    make_dir(c->cache_path, "cache.path", u, e) == -1 ||
	    make_dir(c->dir_spool, "dirs.spool", u, e) == -1)
		return -1;
	user_borrow(u);
	rc = try_rename(c->dir_spool, c->cache_path, e);
	user_return(u);
	return rc;
}

int
rundir_open(struct master *m, struct err *e)
{
	char *path;
	int rc = 0;

	m->run_dir = mem_strdup(m->config->dir_run);
	path = mem_printf("%s/slots", m->run_dir);
	m->slots = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (m->slots == -1)
		rc = err_sys(e, errno, "cannot open '%s'", path);
	else
		rc = spawn_high(&m->slots, e);
	free(path);
	return rc;
}

static int
console_address(const struct master *m, const char *suffix, struct sockaddr_un *ret)
{
	int n;

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/console%s", m->run_dir, suffix);
	return n < (int)sizeof(ret->sun_path) ? 0 : -1;
}

static bool
another_answers(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool live = fd != -1 &&
		    (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN);

	fd_close(&fd);
	return live;
}

/* Bound under another name and renamed: there is a console at every moment of an upgrade. */
static int
open_console(struct master *m, struct err *e)
{
	struct sockaddr_un now, new;
	char board[64];
	int rc = 0;

	if (console_address(m, "", &now) == -1 || console_address(m, ".new", &new) == -1)
		return err_set(e, "the path of dirs.run is too long for a socket");
	if (!m->upgraded && another_answers(&now))
		return err_set(e, "another master uses dirs.run '%s'", m->run_dir);
	(void)snprintf(board, sizeof(board), "/proc/self/fd/%d", m->sb_fd);
	(void)unlink(new.sun_path);	/* left by one that was killed */
	m->console_board = open(board, O_RDONLY | O_CLOEXEC);
	m->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->console_board == -1 || m->console == -1 ||
	    bind(m->console, (struct sockaddr *)&new, sizeof(new)) == -1 ||
	    chmod(new.sun_path, 0600) == -1 || listen(m->console, 16) == -1 ||
	    rename(new.sun_path, now.sun_path) == -1) {
		rc = err_sys(e, errno, "cannot open '%s'", now.sun_path);
		fd_close(&m->console);
		fd_close(&m->console_board);
	}
	return rc;
}

static void
write_pid(struct master *m)
{
	char *path = mem_printf("%s/eodata-proxy.pid", m->run_dir);
	char *new = mem_printf("%s.new", path);
	char text[32];
	int fd, n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	(void)unlink(new);
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd == -1 || fd_write_all(fd, text, (size_t)n) == -1 || rename(new, path) == -1)
		log_warn(NULL, "EO-MASTER-RUN", "cannot write '%s': %s", path, strerror(errno));
	fd_close(&fd);
	free(new);
	free(path);
}

void
rundir_announce(struct master *m)
{
	struct err e = ERR_NONE;

	if (open_console(m, &e) == -1) {
		log_warn(NULL, "EO-MASTER-RUN", "no console for eodata-proxyctl: %s", e.text);
		return;
	}
	master_watch(m, m->console, TAG_CONSOLE);
	write_pid(m);
}

void
rundir_console(struct master *m)
{
	int fd = accept4(m->console, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd == -1 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		/* who waits there would wake us for ever */
		log_warn(NULL, "EO-MASTER-RUN", "the console answers nobody now: %s", strerror(errno));
		(void)epoll_ctl(m->epoll, EPOLL_CTL_DEL, m->console, NULL);
		m->console_shut = true;
	}
	if (fd == -1)
		return;
	(void)fd_send(fd, "S", 1, &m->console_board, 1);	/* it left again: nothing to do */
	fd_close(&fd);
}

void
rundir_watch(struct master *m)
{
	if (m->console_shut)
		master_watch(m, m->console, TAG_CONSOLE);
	m->console_shut = false;
}

/* After an upgrade both names are the other's. */
void
rundir_withdraw(struct master *m)
{
	struct sockaddr_un a;
	struct buf b = BUF_INIT(64);
	char *path;

	if (m->console == -1)
		return;
	fd_close(&m->console);
	fd_close(&m->console_board);
	if (m->successor == 0 && console_address(m, "", &a) == 0)
		(void)unlink(a.sun_path);
	path = mem_printf("%s/eodata-proxy.pid", m->run_dir);
	if (fd_read_file(path, &b, NULL) == 0 && atoi(buf_str(&b)) == (int)getpid())
		(void)unlink(path);
	buf_release(&b);
	free(path);
}
