/* SPDX-License-Identifier: Apache-2.0
 *
 * The user that children run as ("user" in the configuration), where the
 * master is root: to listen on a port below 1024, or since an init script is.
 * The master stays root, so that it can start a new version of itself;
 * eodata-proxyctl does not, where it writes what the children read.
 */
#include "base/base.h"

#include "user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

int
user_find(struct user *u, const char *name, struct err *e)
{
	const struct passwd *pw;
	int n = USER_GROUPS_MAX;

	u->set = false;
	if (name == NULL)
		return 0;
	errno = 0;
	pw = getpwnam(name);
	if (pw == NULL)
		return err_set(e, "user: '%s' is no user of this system", name);
	if (pw->pw_uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return err_set(e, "user: only root can run processes as '%s'", name);
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	if (getgrouplist(name, u->gid, u->group, &n) == -1)
		return err_set(e, "user: '%s' is in more than %d groups", name, USER_GROUPS_MAX);
	u->n_groups = (size_t)n;
	u->set = true;
	return 0;
}

/* After fork: for good, or not at all. */
int
user_become(const struct user *u)
{
	if (!u->set)
		return 0;
	return setgroups(u->n_groups, u->group) == 0 && setresgid(u->gid, u->gid, u->gid) == 0 &&
	       setresuid(u->uid, u->uid, u->uid) == 0 ? 0 : -1;
}

void
user_borrow(const struct user *u)
{
	if (u->set && (setgroups(u->n_groups, u->group) == -1 || setegid(u->gid) == -1 || seteuid(u->uid) == -1))
		die("cannot look at the folders as another user: %s", strerror(errno));
}

void
user_return(const struct user *u)
{
	static const gid_t root = 0;

	if (u->set && (seteuid(0) == -1 || setegid(0) == -1 || setgroups(1, &root) == -1))
		die("cannot be root again: %s", strerror(errno));
}

/* A directory that is not there is made for the user, with those above it; one that is there stays as it is. */
int
user_mkdirs(const struct user *u, const char *path, mode_t mode, struct err *e)
{
	char *copy = mem_strdup(path), *slash;
	size_t missing = 0;
	struct stat st;
	int rc;

	for (slash = copy; u->set && slash != NULL && copy[0] != '\0' && lstat(copy, &st) == -1 && errno == ENOENT;) {
		missing++;
		slash = strrchr(copy, '/');
		if (slash != NULL)
			*slash = '\0';
	}
	free(copy);
	copy = mem_strdup(path);
	rc = fd_mkdirs(path, mode, e);
	for (; rc == 0 && missing > 0; missing--) {
		if (lchown(copy, u->uid, u->gid) == -1)
			rc = err_sys(e, errno, "cannot give '%s' to its user", copy);
		slash = strrchr(copy, '/');
		if (slash != NULL)
			*slash = '\0';
	}
	free(copy);
	return rc;
}
