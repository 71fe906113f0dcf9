/* SPDX-License-Identifier: Apache-2.0
 *
 * What EODAG was set up with, as one text: a reload that changes it makes the
 * broker start again.  Runs in the broker.
 */
#include "base/base.h"

#include "resolver/fingerprint.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A file that EODAG reads: another one, or the same one changed. */
static void
print_file(struct buf *out, const char *path)
{
	struct stat st = { 0 };

	if (path == NULL || path[0] == '\0' || stat(path, &st) < 0)
		path = "";
	(void)buf_addf(out, "%s %llu %lld %lld.%09ld\f", path, (unsigned long long)st.st_ino, (long long)st.st_size,
	    (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
}

static int
is_seen(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* And what lies in it: a file that was written in place leaves the directory as it was. */
static void
print_dir(struct buf *out, const char *path)
{
	struct dirent **entry = NULL;
	int n = path == NULL || path[0] == '\0' ? 0 : scandir(path, &entry, is_seen, alphasort);
	char *file;

	print_file(out, path);
	for (int i = 0; i < n; i++) {
		file = mem_printf("%s/%s", path, entry[i]->d_name);
		print_file(out, file);
		free(file);
		free(entry[i]);
	}
	free(entry);
}

static void
print_strs(struct buf *out, const struct strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		(void)buf_addf(out, "%s\n", s->v[i]);
	(void)buf_addc(out, '\f');
}

/* All that EODAG and its children were set up with: when it changes, the broker must start again. */
void
fingerprint(const struct config *c, struct buf *out)
{
	(void)buf_addf(out, "%s\f%s\f%u\f%u\f%u\f%u\f%llu\f", c->eodag_python, c->dir_run, c->eodag_resolvers,
	    c->eodag_timeout_ms, c->eodag_idle_ms, c->eodag_cooldown_ms, (unsigned long long)c->eodag_memory_max);
	print_file(out, c->eodag_config_file);
	print_dir(out, c->eodag_providers_dir);
	print_file(out, c->eodag_collections_file);
	print_strs(out, &c->public_urls);
	print_strs(out, &c->ca_file);
}
