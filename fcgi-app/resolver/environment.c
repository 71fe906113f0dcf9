/* SPDX-License-Identifier: Apache-2.0
 *
 * What EODAG finds around it: its environment variables, directories and
 * files.  Runs in the broker, before Python does.
 */
#include "base/base.h"

#include "resolver/environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static int
set(const char *name, const char *value, struct err *e)
{
	if (setenv(name, value, 1) < 0)
		return err_sys(e, errno, "cannot set %s", name);
	return 0;
}

/* A directory below dirs.run that only this user can enter. */
static int
private_dir(const struct config *c, const char *name, char **ret, struct err *e)
{
	char *path = mem_printf("%s/resolver/%s", c->dir_run, name);

	if (fd_mkdirs(path, 0700, e) < 0) {
		free(path);
		return -1;
	}
	*ret = path;
	return 0;
}

/* The file with the users' credentials: there, and not for others to read. */
static int
check_credentials(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "cannot read eodag.config_file '%s'", path);
	if ((st.st_mode & S_IRWXO) != 0)
		return err_set(e, "eodag.config_file '%s' can be read by others (mode %03o)", path,
		    (unsigned)(st.st_mode & 0777));
	if (access(path, R_OK) < 0)
		return err_sys(e, errno, "cannot read eodag.config_file '%s'", path);
	return 0;
}

/* A file of ours, where EODAG wants one and the configuration has none. */
static int
own_file(const char *dir, const char *name, const char *text, char **ret, struct err *e)
{
	char *path = mem_printf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");
	bool failed;

	if (f == NULL) {
		(void)err_sys(e, errno, "cannot write '%s'", path);
		free(path);
		return -1;
	}
	failed = fputs(text, f) == EOF;
	failed = fclose(f) != 0 || failed;
	if (failed) {
		(void)err_sys(e, errno, "cannot write '%s'", path);
		free(path);
		return -1;
	}
	*ret = path;
	return 0;
}

/* The certificates that libcurl would take, for the HTTP client of Python. */
static int
set_certificates(const struct config *c, struct err *e)
{
	static const char system_bundle[] = "/etc/ssl/certs/ca-certificates.crt";
	const char *bundle = c->ca_file.n > 0 ? c->ca_file.v[0] : system_bundle;

	if (access(bundle, R_OK) < 0)
		return 0;
	if (set("REQUESTS_CA_BUNDLE", bundle, e) < 0 || set("SSL_CERT_FILE", bundle, e) < 0)
		return -1;
	return set("AWS_CA_BUNDLE", bundle, e);
}

/*
 * The whole environment of EODAG.  Nothing of the caller's stays: no proxies,
 * no PYTHONPATH, no credentials by accident.
 */
int
environment_set(const struct config *c, struct err *e)
{
	static const char *const fixed[][2] = {
		{ "PATH", "/usr/bin:/bin" }, { "LANG", "C.UTF-8" }, { "LC_ALL", "C.UTF-8" },
		{ "TZ", "UTC" },	/* EODAG keeps token expiry in naive local time */
		{ "NO_PROXY", "*" }, { "no_proxy", "*" },
		{ "EODAG_EXT_COLLECTIONS_CFG_FILE", "" },	/* or it downloads one */
		{ "AWS_EC2_METADATA_DISABLED", "true" },
		{ "OPENBLAS_NUM_THREADS", "1" }, { "OMP_NUM_THREADS", "1" },	/* the broker forks: one thread */
	};
	char *home = NULL, *dir = NULL, *locations = NULL, *none = NULL;
	int r = -1;

	(void)clearenv();	/* fails for lack of memory only, and then setenv does too */
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		if (set(fixed[i][0], fixed[i][1], e) < 0)
			return -1;
	}
	if (private_dir(c, "home", &home, e) < 0 || private_dir(c, "eodag", &dir, e) < 0)
		goto out;
	if (set("HOME", home, e) < 0 || set("EODAG_CFG_DIR", dir, e) < 0 || set_certificates(c, e) < 0)
		goto out;
	/* one that is not there it makes, wherever it was told to be, and copies shape files */
	if (own_file(dir, "locations.yml", "shapefiles: []\n", &locations, e) < 0 ||
	    set("EODAG_LOCS_CFG_FILE", locations, e) < 0)
		goto out;
	if (c->eodag_config_file != NULL && c->eodag_config_file[0] != '\0') {
		if (set("EODAG_CFG_FILE", c->eodag_config_file, e) < 0)
			goto out;
	} else if (own_file(dir, "no-credentials.yml", "", &none, e) < 0 || set("EODAG_CFG_FILE", none, e) < 0) {
		goto out;
	}
	if (c->eodag_providers_dir != NULL && c->eodag_providers_dir[0] != '\0' &&
	    set("EODAG_PROVIDERS_CFG_DIR", c->eodag_providers_dir, e) < 0)
		goto out;
	if (c->eodag_collections_file != NULL && c->eodag_collections_file[0] != '\0' &&
	    set("EODAG_COLLECTIONS_CFG_FILE", c->eodag_collections_file, e) < 0)
		goto out;
	r = 0;
out:
	free(none);
	free(locations);
	free(dir);
	free(home);
	return r;
}

/* eodag.python names an environment of the Python that is linked in. */
static int
check_venv(const char *venv, const char *version, struct err *e)
{
	char *path = mem_printf("%s/lib/python%s/site-packages", venv, version);
	int r = 0;

	if (access(path, R_OK | X_OK) < 0)
		r = err_sys(e, errno, "eodag.python is no environment for Python %s: '%s'", version, path);
	free(path);
	return r;
}

int
environment_check(const struct config *c, const char *version, struct err *e)
{
	if (c->eodag_python != NULL && c->eodag_python[0] != '\0' && check_venv(c->eodag_python, version, e) < 0)
		return -1;
	if (c->eodag_config_file != NULL && c->eodag_config_file[0] != '\0')
		return check_credentials(c->eodag_config_file, e);
	return 0;
}
