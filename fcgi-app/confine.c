/* SPDX-License-Identifier: Apache-2.0
 *
 * What each role may still reach when an outsider has taken it over.  Runs
 * in every child of the master, and in eodata-proxyctl.  The master itself
 * keeps all files, since it starts new versions of anything.
 *
 * Landlock is three system calls and no library: a list of places with what
 * may be done there, and everything else is refused (EACCES).  It counts
 * when a file is opened, so what was open before stays.  Unix sockets with a
 * path are not its business: memcached's is reached by its file mode.  A rule
 * is for a file or directory as it is now, not for its name: what may be
 * replaced while we run (the cache, resolv.conf) needs the directory above.
 */
#include "base/base.h"

#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "role.h"

/* <linux/landlock.h> of Debian 12 ends at the second version; the numbers are the kernel's for ever. */
enum {
	FS_EXECUTE = 1 << 0, FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4, FS_REMOVE_FILE = 1 << 5, FS_MAKE_DIR = 1 << 7, FS_MAKE_REG = 1 << 8,
	FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15,
	NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1,
	SCOPE_ABSTRACT = 1 << 0, SCOPE_SIGNAL = 1 << 1,
	OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,

	READ = FS_READ_FILE | FS_READ_DIR,
	READ_FILES = FS_READ_FILE,
	READ_WRITE = READ | FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_DIR | FS_MAKE_REG | FS_REMOVE_DIR |
	    FS_REMOVE_FILE | FS_REFER,

	RULE_PATH = 1, ASK_VERSION = 1,
};

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

struct ruleset {
	int fd, version;
	struct ruleset_attr handled;
	struct err *e;
	bool failed;
};

/* What a name of a host, a user or a time zone is looked up in, and the authorities' certificates. */
static const char *const names[] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
	"/etc/services", "/etc/protocols", "/etc/passwd", "/etc/group", "/etc/localtime", "/etc/ld.so.cache",
	"/etc/mime.types", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem",
	"/etc/pki", "/etc/ca-certificates", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
};
/* Libraries, and what libc loads by name. */
static const char *const libraries[] = { "/usr", "/lib", "/lib64", "/lib32" };
static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random" };

/* --- capabilities ----------------------------------------------------------- */

#define CAP(name) ((uint64_t)1 << CAP_##name)

int
confine_capabilities(uint64_t keep, struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct c[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (cap >= 64 || (keep >> cap & 1) == 0)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);	/* who may not has none to lose */
	}
	if (keep == 0)
		(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);	/* goes with the permitted ones */
	if (keep != 0 && syscall(SYS_capget, &head, c) == -1)
		return err_sys(e, errno, "cannot look at capabilities");
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		c[i].permitted &= (uint32_t)(keep >> 32 * i);
		c[i].effective = c[i].permitted;
		c[i].inheritable &= c[i].permitted;
	}
	if (syscall(SYS_capset, &head, c) == -1)
		return err_sys(e, errno, "cannot give up capabilities");
	return 0;
}

int
confine_master(struct err *e)
{
	/* folders, sockets and children of the user; a port below 1024; SO_SNDBUFFORCE; children drop their bounding sets */
	static const uint64_t needed = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(KILL) | CAP(SETGID) | CAP(SETUID) |
	    CAP(NET_BIND_SERVICE) | CAP(NET_ADMIN) | CAP(SETPCAP);

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return err_sys(e, errno, "cannot set no_new_privs");
	return confine_capabilities(needed, e);
}

/* --- Landlock --------------------------------------------------------------- */

static void
handle_all(struct ruleset *r)
{
	r->handled = (struct ruleset_attr){ .fs = (1 << 13) - 1 };
	if (r->version >= 2)
		r->handled.fs |= FS_REFER;
	if (r->version >= 3)
		r->handled.fs |= FS_TRUNCATE;
	if (r->version >= 4)
		r->handled.net = NET_BIND_TCP;
	if (r->version >= 5)
		r->handled.fs |= FS_IOCTL_DEV;
	if (r->version >= 6)
		r->handled.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
}

/* An older kernel takes a structure that ends where its knowledge does. */
static size_t
attr_size(int version)
{
	return version >= 6 ? 24 : version >= 4 ? 16 : 8;
}

static void
allow(struct ruleset *r, const char *path, uint64_t what)
{
	struct path_attr a = { .fd = open(path, O_PATH | O_CLOEXEC) };
	struct stat st;
	int fd = a.fd;

	if (fd == -1)
		return;		/* what is not there needs no leave */
	a.allowed = what & r->handled.fs;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		a.allowed &= OF_FILES;
	if (syscall(SYS_landlock_add_rule, r->fd, RULE_PATH, &a, 0) == -1 && !r->failed) {
		r->failed = true;
		(void)err_sys(r->e, errno, "cannot allow '%s'", path);
	}
	fd_close(&fd);
}

static void
allow_all(struct ruleset *r, const char *const *paths, size_t n, uint64_t what)
{
	for (size_t i = 0; i < n; i++)
		allow(r, paths[i], what);
}

/* NULL: path is "/" or stands there. */
static char *
parent_of(const char *path)
{
	const char *slash;
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	slash = memrchr(path, '/', len);
	while (slash != NULL && slash > path && slash[-1] == '/')
		slash--;
	return slash == NULL || slash == path ? NULL : mem_strndup(path, (size_t)(slash - path));
}

static bool
is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* A directory that may be removed and made again: by the one above, unless that holds other things of ours. */
static void
allow_dir(struct ruleset *r, const struct config *c, const char *path, uint64_t what)
{
	char *parent = parent_of(path);

	if (parent != NULL && !is_below(c->dir_state, parent) && !is_below(c->dir_run, parent))
		allow(r, parent, what);
	allow(r, path, what);
	free(parent);
}

/*
 * Where /etc/resolv.conf is a plain file, DHCP clients put a new one in its
 * place, and then only leave for all of /etc lets us read that: what is
 * secret in there is kept by its mode.
 */
static bool
resolv_conf_may_be_replaced(void)
{
	char *real = realpath("/etc/resolv.conf", NULL);
	struct stat file, dir;
	bool ret = true;

	if (real != NULL && !is_below(real, "/etc"))
		ret = false;
	else if (real != NULL && stat(real, &file) == 0 && stat("/etc", &dir) == 0)
		ret = file.st_dev == dir.st_dev;	/* else mounted there, as in containers */
	free(real);
	return ret;
}

static void
allow_names(struct ruleset *r, bool dns)
{
	allow_all(r, names, ARRAY_LEN(names), READ);
	allow_all(r, libraries, ARRAY_LEN(libraries), READ);
	if (dns && resolv_conf_may_be_replaced())
		allow(r, "/etc", READ);
}

/* Is a memcached server named by a name that somebody has to be asked for? */
static bool
memcached_by_name(const struct config *c)
{
	for (size_t i = 0; i < c->memcached.n; i++) {
		const char *s = c->memcached.v[i];

		if (s[0] != '/' && s[0] != '[' && s[strspn(s, "0123456789.:")] != '\0' &&
		    strncmp(s, "localhost", strlen("localhost")) != 0)
			return true;
	}
	return false;
}

static bool
memcached_by_tcp(const struct config *c)
{
	for (size_t i = 0; i < c->memcached.n; i++) {
		if (c->memcached.v[i][0] != '/')
			return true;
	}
	return false;
}

static void
allow_file(struct ruleset *r, const char *path)
{
	if (path != NULL && path[0] != '\0')
		allow(r, path, READ);
}

/* A file that is replaced by another of its name: its directory. */
static void
allow_replaced(struct ruleset *r, const char *path)
{
	char *dir = parent_of(path);

	allow(r, dir == NULL ? path : dir, READ);
	free(dir);
}

static void
allow_resolver(struct ruleset *r, const struct config *c, const char *const *more, size_t n_more)
{
	char *own = mem_printf("%s/resolver", c->dir_run);

	allow_all(r, more, n_more, READ);
	allow_file(r, c->eodag_python);
	allow_file(r, c->eodag_config_file);
	allow_file(r, c->eodag_providers_dir);
	allow_file(r, c->eodag_collections_file);
	allow(r, own, READ_WRITE);
	free(own);
}

static void
allow_for(struct ruleset *r, enum role role, const struct config *c, const char *const *more, size_t n_more)
{
	allow_all(r, devices, ARRAY_LEN(devices), FS_READ_FILE | FS_WRITE_FILE);
	allow_names(r, role == ROLE_MOVER || role == ROLE_RESOLVER || memcached_by_name(c));
	if (ROLE_SANITIZED)
		allow(r, "/", READ | FS_EXECUTE);	/* the checkers read /proc and call a symbolizer */
	if ((role == ROLE_MOVER || role == ROLE_RESOLVER) && c->ca_file.n > 0)
		allow_replaced(r, c->ca_file.v[0]);
	switch (role) {
	case ROLE_WORKER:
		if (c->cache_store == CACHE_STORE_DIRECTORY)
			allow_dir(r, c, c->cache_path, READ);
		else if (c->s3_credentials[0] != '\0')
			allow_replaced(r, c->s3_credentials);
		break;
	case ROLE_MOVER:
		if (c->cache_store == CACHE_STORE_DIRECTORY)
			allow_dir(r, c, c->cache_path, READ_WRITE);
		else if (c->s3_credentials[0] != '\0')
			allow_replaced(r, c->s3_credentials);
		allow_dir(r, c, c->dir_spool, READ_WRITE);
		break;
	case ROLE_ACCOUNTANT:
		allow(r, c->dir_state, READ_WRITE);
		break;
	case ROLE_RESOLVER:
		allow_resolver(r, c, more, n_more);
		break;
	default:
		break;
	}
}

enum confined
confine_role(enum role role, const struct config *c, const char *const *more, size_t n_more, struct err *e)
{
	struct ruleset r = { .e = e };
	enum confined ret = CONFINED;

	r.version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
	/* the first version refuses every rename between directories: nothing could be published */
	if (r.version < 1 || (r.version < 2 && role == ROLE_MOVER))
		return CONFINE_ABSENT;
	handle_all(&r);
	if (role == ROLE_WORKER && r.version >= 4 && !memcached_by_tcp(c))
		r.handled.net |= NET_CONNECT_TCP;
	r.fd = (int)syscall(SYS_landlock_create_ruleset, &r.handled, attr_size(r.version), 0);
	if (r.fd == -1) {
		(void)err_sys(e, errno, "cannot make a Landlock ruleset");
		return CONFINE_FAILED;
	}
	(void)fd_set_cloexec(r.fd, true);	/* it is, by the kernel's rule */
	allow_for(&r, role, c, more, n_more);
	if (r.failed) {
		ret = CONFINE_FAILED;
	} else if (syscall(SYS_landlock_restrict_self, r.fd, 0) == -1) {
		(void)err_sys(e, errno, "cannot confine the process");
		ret = CONFINE_FAILED;
	}
	fd_close(&r.fd);
	return ret;
}

int
confine_tool(struct err *e)
{
	struct ruleset r = { .e = e, .fd = -1 };
	int rc = -1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return err_sys(e, errno, "cannot set no_new_privs");
	if (confine_capabilities(CAP(KILL), e) == -1)
		return -1;
	r.version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
	if (r.version < 1)
		return err_set(e, "this kernel has no Landlock");
	handle_all(&r);
	if (r.version >= 4)
		r.handled.net |= NET_CONNECT_TCP;
	r.handled.scoped &= ~(uint64_t)SCOPE_SIGNAL;	/* what it is for */
	r.fd = (int)syscall(SYS_landlock_create_ruleset, &r.handled, attr_size(r.version), 0);
	if (ROLE_SANITIZED && r.fd != -1)
		allow(&r, "/", READ | FS_EXECUTE);
	if (r.fd == -1 || syscall(SYS_landlock_restrict_self, r.fd, 0) == -1)
		(void)err_sys(e, errno, "cannot confine the process");
	else
		rc = 0;
	fd_close(&r.fd);
	return rc;
}

void
confine_self(enum role role, const struct config *c, const char *const *more, size_t n_more)
{
	struct err e = ERR_NONE;

	switch (confine_role(role, c, more, n_more, &e)) {
	case CONFINED:
		log_debug(NULL, "confined");
		break;
	case CONFINE_ABSENT:
		log_debug(NULL, "not confined: this kernel has no Landlock");
		break;
	case CONFINE_FAILED:
		log_warn(NULL, "EO-CONFINE", "running without Landlock: %s", e.text);
		break;
	}
}
