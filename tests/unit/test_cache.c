/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, metadata and the directory store.
 */
#include "base/base.h"

#include "cache/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cache/key.h"
#include "cache/store_directory.h"
#include "unit.h"

/* ---- keys ---- */

static const char *
key(const char *item, const char *asset, const char *subpath)
{
	static struct buf b = BUF_INIT(KEY_MAX);

	buf_release(&b);
	buf_init(&b, KEY_MAX);
	return key_make(&b, "30d", "peps", "S2_MSI_L1C", item, asset, subpath) == 0 ? buf_str(&b) : NULL;
}

static void
key_is_retention_backend_collection_item_asset(void)
{
	CHECK_STR(key("S2A_x", "B04.tif", NULL), "30d/peps/S2_MSI_L1C/S2A_x/B04.tif");
	CHECK_STR(key("i", "a", "x/y"), "30d/peps/S2_MSI_L1C/i/a/x/y");
}

static void
segments_are_percent_encoded(void)
{
	CHECK_STR(key("a/b", "a b?@", NULL), "30d/peps/S2_MSI_L1C/a%2Fb/a%20b%3F%40");
	CHECK_STR(key("\xc3\xa9t\xc3\xa9", "\xe6\x9c\x9d", NULL), "30d/peps/S2_MSI_L1C/%C3%A9t%C3%A9/%E6%9C%9D");
	/* two spellings of one letter are two names */
	CHECK_STR(key("e\xcc\x81", "a", NULL), "30d/peps/S2_MSI_L1C/e%CC%81/a");
}

static void
dots_are_not_directories(void)
{
	CHECK_STR(key(".", "..", "%2E/x"), NULL);	/* not what text_percent writes */
	CHECK_STR(key(".", "..", "./../..."), "30d/peps/S2_MSI_L1C/%2E/%2E%2E/%2E/%2E%2E/...");
}

static void
empty_segments_make_no_key(void)
{
	CHECK_STR(key("", "a", NULL), NULL);
	CHECK_STR(key("i", "", NULL), NULL);
	CHECK_STR(key("i", "a", ""), NULL);
	CHECK_STR(key("i", "a", "x//y"), NULL);
	CHECK_STR(key("i", "a", "/x"), NULL);
	CHECK_STR(key("i", "a", "x/"), NULL);
}

static void
subpaths_have_one_spelling(void)
{
	CHECK_STR(key("i", "a", "%7e"), NULL);
	CHECK_STR(key("i", "a", "%c3%a9"), NULL);
	CHECK_STR(key("i", "a", "%41"), NULL);
	CHECK_STR(key("i", "a", "%C3"), "30d/peps/S2_MSI_L1C/i/a/%C3");
	CHECK_STR(key("i", "a", "x@y"), NULL);
	CHECK_STR(key("i", "a", "%"), NULL);
}

static void
long_segments_are_cut_and_hashed(void)
{
	char name[1200];
	const char *k, *last;

	memset(name, 'x', sizeof(name));
	name[200] = '\0';
	last = strrchr(key("i", name, NULL), '/') + 1;
	CHECK_STR(last, name);
	name[200] = 'x';
	name[201] = '\0';
	k = key("i", name, NULL);
	last = strrchr(k, '/') + 1;
	CHECK_INT(strlen(last), 200);
	CHECK_INT(strspn(last, "x"), 167);
	CHECK_INT(last[167], '~');
	CHECK_INT(strspn(last + 168, "0123456789abcdef"), 32);
	name[1100] = '\0';
	CHECK(strlen(strrchr(key("i", name, NULL), '/') + 1) == 200);
}

static void
g8_a_name_that_looks_cut_is_not_another_one(void)
{
	char name[300], *cut, *again;

	memset(name, 'x', 250);
	name[250] = '\0';
	cut = mem_strdup(strrchr(key("i", name, NULL), '/') + 1);
	again = mem_strdup(strrchr(key("i", cut, NULL), '/') + 1);
	CHECK_INT(strlen(again), 200);
	CHECK(strcmp(cut, again) != 0);
	free(again);
	/* nor in a sub-path */
	again = mem_strdup(strrchr(key("i", "a", cut), '/') + 1);
	CHECK(strcmp(cut, again) != 0);
	free(again);
	free(cut);
}

static void
a_key_has_a_maximum(void)
{
	struct buf sub = BUF_INIT(20000);

	for (int i = 0; i < 60; i++)
		CHECK_INT(buf_addf(&sub, "%s%0190d", i == 0 ? "" : "/", i), 0);
	CHECK_STR(key("i", "a", buf_str(&sub)), NULL);
	buf_release(&sub);
}

/* ---- metadata ---- */

static struct object_meta
some_meta(uint64_t length)
{
	struct object_meta m = {
		.length = length,
		.etag = mem_strdup("\"abc-\xc3\xa9\""),
		.last_modified = 784111777,
		.media_type = mem_strdup("image/tiff; application=geotiff"),
		.disposition = mem_strdup("attachment; filename=\"x\\\"y.tif\""),
		.checksum = { .algo = DIGEST_SHA1, .value = { 1, 2, 0xff } },
		.source_time = 1700000000,
		.source_backend = mem_strdup("peps"),
	};

	return m;
}

static int
parse(const char *text)
{
	struct object_meta m;
	struct err e = ERR_NONE;
	uint64_t inode;

	if (object_meta_parse(text, strlen(text), &m, &inode, &e) != 0) {
		CHECK(e.text[0] != '\0');
		return -1;
	}
	object_meta_release(&m);
	return 0;
}

static void
metadata_comes_back_as_it_went(void)
{
	struct object_meta m = some_meta(123456789012), r, copy;
	struct buf b = BUF_INIT(META_MAX);
	uint64_t inode = 0;

	CHECK_INT(object_meta_write(&m, 77, &b), 0);
	CHECK_INT(object_meta_parse(buf_str(&b), b.len, &r, &inode, NULL), 0);
	object_meta_copy(&copy, &r);
	object_meta_release(&r);
	CHECK_INT(inode, 77);
	CHECK_INT(copy.length, m.length);
	CHECK_STR(copy.etag, m.etag);
	CHECK_INT(copy.last_modified, m.last_modified);
	CHECK_STR(copy.media_type, m.media_type);
	CHECK_STR(copy.disposition, m.disposition);
	CHECK_INT(copy.checksum.algo, DIGEST_SHA1);
	CHECK(memcmp(copy.checksum.value, m.checksum.value, digest_size(DIGEST_SHA1)) == 0);
	CHECK_INT(copy.source_time, m.source_time);
	CHECK_STR(copy.source_backend, m.source_backend);
	object_meta_release(&copy);
	object_meta_release(&m);
	buf_release(&b);
}

static void
the_least_metadata_is_enough(void)
{
	struct object_meta m = { .etag = mem_strdup("\"x\""), .last_modified = -1, .source_time = -1 }, r;
	struct buf b = BUF_INIT(META_MAX);
	uint64_t inode;

	CHECK_INT(object_meta_write(&m, 0, &b), 0);
	CHECK_STR(buf_str(&b), "{\"v\":1,\"inode\":0,\"length\":0,\"etag\":\"\\\"x\\\"\"}\n");
	CHECK_INT(object_meta_parse(buf_str(&b), b.len, &r, &inode, NULL), 0);
	CHECK_STR(r.media_type, NULL);
	CHECK_INT(r.last_modified, -1);
	object_meta_release(&r);
	object_meta_release(&m);
	buf_release(&b);
}

static void
hostile_metadata_is_refused(void)
{
#define HEAD "{\"v\":1,\"inode\":1,\"length\":5,\"etag\":\"\\\"x\\\"\""
	static const char *const bad[] = {
		"", "{}", "[]", "null", "{", HEAD, HEAD "}x", HEAD "}{}", HEAD ",}", "/**/" HEAD "}",
		HEAD ",\"v\":1}", HEAD ",\"length\":5}", HEAD ",\"length\":6}", HEAD ",\"\\u0076\":1}",
		"{'v':1,\"inode\":1,\"length\":5,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":2,\"inode\":1,\"length\":5,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":-5,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":\"5\",\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":5.0,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":5e0,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":NaN,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":true,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":99999999999999999999,\"etag\":\"\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":5}",
		"{\"v\":1,\"inode\":1,\"length\":5,\"etag\":null}",
		"{\"v\":1,\"inode\":1,\"length\":5,\"etag\":\"x\"}",
		"{\"v\":1,\"inode\":1,\"length\":5,\"etag\":\"W/\\\"x\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":5,\"etag\":\"\\\"x\\r\\nSet-Cookie: y\\\"\"}",
		"{\"v\":1,\"inode\":1,\"length\":5,\"etag\":\"\\\"x\\u0000\\\"\"}",
		HEAD ",\"type\":\"a\\nb\"}", HEAD ",\"type\":[\"a\"]}", HEAD ",\"type\":\"\"}", HEAD ",\"type\":\"a\nb\"}",
		HEAD ",\"disposition\":{\"a\":1}}", HEAD ",\"more\":1}", HEAD ",\"type\":\"\xff\"}",
		HEAD ",\"checksum\":\"sha256:00\"}", HEAD ",\"checksum\":\"rot13:00\"}", HEAD ",\"checksum\":\"\"}",
		HEAD ",\"last_modified\":-1}", HEAD ",\"fetched\":1e99}", HEAD ",}", HEAD ",\"fetched\":5//\n}",
		HEAD ",\"fetched\":0x5}", HEAD ",\"fetched\":+5}", HEAD ",\"fetched\":Infinity}",
	};

	CHECK_INT(parse(HEAD "}"), 0);
	CHECK_INT(parse(" \n" HEAD " , \"type\" : \"a: 'b'\" } \n"), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (parse(bad[i]) == 0)
			fprintf(stderr, "accepted: %s\n", bad[i]);
		CHECK_INT(parse(bad[i]), -1);
	}
}

static void
metadata_that_is_no_header_is_not_written(void)
{
	struct object_meta m = some_meta(1);
	struct buf b = BUF_INIT(META_MAX);

	m.media_type[3] = '\n';
	CHECK_INT(object_meta_write(&m, 1, &b), -1);
	m.media_type[3] = 'g';
	free(m.etag);
	m.etag = NULL;
	CHECK_INT(object_meta_write(&m, 1, &b), -1);
	object_meta_release(&m);
	buf_release(&b);
}

/* ---- a death at any step of writing ----
 *
 * The linker puts these in the place of what changes the file system.
 */

int __real_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __real_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags);
int __real_unlinkat(int at, const char *name, int flags);
int __wrap_unlinkat(int at, const char *name, int flags);
int __real_mkdirat(int at, const char *name, mode_t mode);
int __wrap_mkdirat(int at, const char *name, mode_t mode);
int __real_futimens(int fd, const struct timespec t[2]);
int __wrap_futimens(int fd, const struct timespec t[2]);
ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);

static unsigned steps_left;	/* in a child; 0: it lives */
static struct { void (*fn)(void *arg); void *arg; } after_unlink;	/* once */

static void
step(void)
{
	if (steps_left > 0 && --steps_left == 0)
		(void)raise(SIGKILL);
}

#define STEPS(call)			\
	do {				\
		ssize_t done_;		\
					\
		step();			\
		done_ = (call);		\
		step();			\
		return done_;		\
	} while (0)

int
__wrap_renameat(int from, const char *a, int to, const char *b)
{
	STEPS(__real_renameat(from, a, to, b));
}

int
__wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
	STEPS(__real_linkat(from, a, to, b, flags));
}

static int
unlink_and_more(int at, const char *name, int flags)
{
	int rc = __real_unlinkat(at, name, flags);
	void (*more)(void *) = after_unlink.fn;

	after_unlink.fn = NULL;
	if (more != NULL)
		more(after_unlink.arg);
	return rc;
}

int
__wrap_unlinkat(int at, const char *name, int flags)
{
	STEPS(unlink_and_more(at, name, flags));
}

int
__wrap_mkdirat(int at, const char *name, mode_t mode)
{
	STEPS(__real_mkdirat(at, name, mode));
}

int
__wrap_futimens(int fd, const struct timespec t[2])
{
	STEPS(__real_futimens(fd, t));
}

/* And half of it. */
ssize_t
__wrap_write(int fd, const void *data, size_t n)
{
	if (steps_left == 1)
		(void)!__real_write(fd, data, n / 2);
	STEPS(__real_write(fd, data, n));
}

/* ---- the directory store ---- */

#define KEY "30d/peps/C/item/asset"

struct place {
	char dir[64], root[96], spool[128];
	struct config c;
	struct store *s;
};

static void
place_open(struct place *p)
{
	struct err e = ERR_NONE;
	const char *tmp = getenv("TMPDIR");

	memset(p, 0, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "%.40s/eo-cache-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	MUST(mkdtemp(p->dir) != NULL);
	(void)snprintf(p->root, sizeof(p->root), "%s/cache", p->dir);
	(void)snprintf(p->spool, sizeof(p->spool), "%s/spool", p->root);
	p->c.cache_path = p->root;
	p->c.dir_spool = p->spool;
	p->s = store_directory_open(&p->c, true, &e);
	if (p->s == NULL)
		fprintf(stderr, "store_open: %s\n", e.text);
	MUST(p->s != NULL);
}

static int
remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void
place_close(struct place *p)
{
	p->s->ops->free(p->s);
	CHECK_INT(nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static const char *
path_of(const struct place *p, const char *rel)
{
	static char path[4][1024];
	static unsigned i;

	i = (i + 1) % 4;
	(void)snprintf(path[i], sizeof(path[i]), "%s/%s", p->root, rel);
	return path[i];
}

static int
publish_text(struct place *p, const char *k, const char *text)
{
	struct object_meta m = some_meta(strlen(text));
	struct store_fill *f;
	struct err e = ERR_NONE;
	int fd, r;

	fd = p->s->ops->spool_open(p->s, &e);
	MUST(fd >= 0 && fd_pwrite_all(fd, text, strlen(text), 0) == 0);
	f = p->s->ops->fill_begin(p->s, k, fd, &m, &e);
	if (f == NULL) {
		object_meta_release(&m);
		fd_close(&fd);
		return -1;
	}
	p->s->ops->fill_advance(f, strlen(text), false);
	CHECK_INT(p->s->ops->fill_state(f, NULL), FILL_RUNNING);
	p->s->ops->fill_finish(f, &m);
	r = p->s->ops->fill_state(f, &e) == FILL_DONE ? 0 : -1;
	p->s->ops->fill_free(f);
	object_meta_release(&m);
	fd_close(&fd);
	return r;
}

/* The text of the object, or NULL for a miss. */
static const char *
look(struct place *p, const char *k)
{
	static char text[64];
	struct store_object o;
	struct err e = ERR_NONE;
	enum store_result r = p->s->ops->lookup(p->s, k, &o, &e);
	ssize_t n;
	int fd;

	CHECK(r != STORE_FAILED);
	if (r != STORE_HIT)
		return NULL;
	fd = p->s->ops->open(p->s, &o, &e);
	CHECK(fd != -1);
	n = pread(fd, text, sizeof(text) - 1, 0);
	fd_close(&fd);
	text[n < 0 ? 0 : n] = '\0';
	CHECK_INT(n, o.meta.length);
	CHECK(strncmp(o.path, k, strlen(k)) == 0 && strcmp(o.path + strlen(k), "@data") == 0);
	store_object_release(&o);
	return text;
}

static void
what_was_published_is_found(void)
{
	struct place p;
	struct stat st;

	place_open(&p);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_STR(look(&p, KEY), "hello");
	CHECK_INT(publish_text(&p, KEY, "again, longer"), 0);
	CHECK_STR(look(&p, KEY), "again, longer");
	CHECK_INT(publish_text(&p, "30d/p/c/i/empty", ""), 0);
	CHECK_STR(look(&p, "30d/p/c/i/empty"), "");
	CHECK_INT(stat(path_of(&p, KEY "@data"), &st), 0);
	CHECK_INT(st.st_mode & 0777 & ~0640, 0);
	CHECK(st.st_mtime > 1700000000);	/* the time of storing, not Last-Modified */
	place_close(&p);
}

static void
nothing_stays_in_the_spool(void)
{
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_INT(rmdir(p.spool), 0);	/* empty */
	CHECK_INT(mkdir(p.spool, 0700), 0);
	/* the store finds the new one */
	CHECK_INT(publish_text(&p, KEY, "hello again"), 0);
	CHECK_STR(look(&p, KEY), "hello again");
	place_close(&p);
}

static void
an_asset_and_its_subpaths_stand_side_by_side(void)
{
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "asset"), 0);
	CHECK_INT(publish_text(&p, KEY "/0/0.0", "chunk"), 0);
	CHECK_INT(publish_text(&p, KEY "/0", "directory"), 0);
	CHECK_INT(publish_text(&p, KEY "%40data", "other"), 0);
	CHECK_INT(publish_text(&p, KEY "%40meta/x", "other"), 0);
	CHECK_STR(look(&p, KEY), "asset");
	CHECK_STR(look(&p, KEY "/0/0.0"), "chunk");
	CHECK_STR(look(&p, KEY "/0"), "directory");
	place_close(&p);
}

static void
longest_names_fit(void)
{
	struct place p;
	char name[1024], k[KEY_MAX + 1];

	place_open(&p);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)snprintf(k, sizeof(k), "%s", key(name, name, name));
	CHECK_INT(publish_text(&p, k, "long"), 0);
	CHECK_STR(look(&p, k), "long");
	place_close(&p);
}

static void
pairs_that_do_not_match_are_misses(void)
{
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_INT(publish_text(&p, "30d/p/c/i/other", "hello"), 0);
	/* same length, other file */
	CHECK_INT(rename(path_of(&p, "30d/p/c/i/other@data"), path_of(&p, KEY "@data")), 0);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(publish_text(&p, KEY, "healed"), 0);
	CHECK_STR(look(&p, KEY), "healed");
	/* same file, other length */
	CHECK_INT(truncate(path_of(&p, KEY "@data"), 3), 0);
	CHECK_STR(look(&p, KEY), NULL);
	/* metadata that is somebody's else */
	CHECK_INT(publish_text(&p, KEY, "healed"), 0);
	CHECK_INT(rename(path_of(&p, "30d/p/c/i/other@meta"), path_of(&p, KEY "@meta")), 0);
	CHECK_STR(look(&p, KEY), NULL);
	place_close(&p);
}

static void
g11_a_file_that_vanished_is_a_miss(void)
{
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_INT(unlink(path_of(&p, KEY "@meta")), 0);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_INT(unlink(path_of(&p, KEY "@data")), 0);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(unlink(path_of(&p, KEY "@meta")), 0);
	CHECK_INT(rmdir(path_of(&p, "30d/peps/C/item")), 0);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(publish_text(&p, KEY, "back"), 0);
	CHECK_STR(look(&p, KEY), "back");
	place_close(&p);
}

/* Remove directories as fast as they come, as tmpfiles may. */
NORETURN static void
remove_directories(const struct place *p)
{
	static const char *const dir[] = { "30d/p/c/i", "30d/p/c", "30d/p", "30d" };

	for (;;) {
		for (size_t i = 0; i < ARRAY_LEN(dir); i++)
			(void)rmdir(path_of(p, dir[i]));	/* not there, or not empty: again */
		/* the attempts of one publish are bounded: they must not all be lost to a sanitizer on a busy machine */
		(void)nanosleep(&(const struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
}

static void
directories_that_vanish_while_we_publish_are_made_again(void)
{
	struct place p;
	pid_t pid;
	int status;

	place_open(&p);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0)
		remove_directories(&p);
	for (int i = 0; i < 300; i++) {
		CHECK_INT(publish_text(&p, "30d/p/c/i/a", "hello"), 0);
		CHECK_STR(look(&p, "30d/p/c/i/a"), "hello");
		CHECK_INT(unlink(path_of(&p, "30d/p/c/i/a@meta")), 0);
		CHECK_INT(unlink(path_of(&p, "30d/p/c/i/a@data")), 0);
	}
	CHECK_INT(kill(pid, SIGKILL), 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	place_close(&p);
}

static void
an_open_object_outlives_its_name(void)
{
	struct store_object o;
	struct place p;
	char text[8] = "";
	int fd;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_INT(p.s->ops->lookup(p.s, KEY, &o, NULL), STORE_HIT);
	fd = p.s->ops->open(p.s, &o, NULL);
	CHECK_INT(unlink(path_of(&p, KEY "@data")), 0);
	CHECK_INT(pread(fd, text, 5, 0), 5);
	fd_close(&fd);
	CHECK_INT(p.s->ops->open(p.s, &o, NULL), -1);
	CHECK_STR(text, "hello");
	store_object_release(&o);
	place_close(&p);
}

/* What a lookup keeps open or in mind is right again after a second, or at once where a look can tell. */
static void
what_is_kept_of_lookups_is_never_wrong(void)
{
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, "30d/p/c/i/a", "hello"), 0);
	CHECK_STR(look(&p, "30d/p/c/i/a"), "hello");
	/* another object, again and again, within one tick of the clock */
	for (int i = 0; i < 50; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "text %d", i);
		CHECK_INT(publish_text(&p, "30d/p/c/i/a", text), 0);
		CHECK_STR(look(&p, "30d/p/c/i/a"), text);
	}
	/* the folder removed and made anew */
	CHECK_INT(unlink(path_of(&p, "30d/p/c/i/a@meta")), 0);
	CHECK_INT(unlink(path_of(&p, "30d/p/c/i/a@data")), 0);
	CHECK_INT(rmdir(path_of(&p, "30d/p/c/i")), 0);
	CHECK_STR(look(&p, "30d/p/c/i/a"), NULL);
	CHECK_INT(publish_text(&p, "30d/p/c/i/a", "anew"), 0);
	CHECK_STR(look(&p, "30d/p/c/i/a"), "anew");
	/* another in its place: the front, who goes by the path, would send its bytes */
	CHECK_INT(publish_text(&p, "30d/p/c/i2/a", "other"), 0);
	CHECK_INT(rename(path_of(&p, "30d/p/c/i"), path_of(&p, "30d/p/c/i1")), 0);
	CHECK_STR(look(&p, "30d/p/c/i/a"), NULL);
	CHECK_INT(rename(path_of(&p, "30d/p/c/i1"), path_of(&p, "30d/p/c/i")), 0);
	CHECK_STR(look(&p, "30d/p/c/i/a"), "anew");
	CHECK_INT(rename(path_of(&p, "30d/p/c/i"), path_of(&p, "30d/p/c/i1")), 0);
	CHECK_INT(rename(path_of(&p, "30d/p/c/i2"), path_of(&p, "30d/p/c/i")), 0);
	CHECK_STR(look(&p, "30d/p/c/i/a"), "other");
	/* ... a folder above it */
	CHECK_INT(publish_text(&p, "30d/p2/c/i/a", "above"), 0);
	CHECK_INT(rename(path_of(&p, "30d/p"), path_of(&p, "30d/p1")), 0);
	CHECK_INT(rename(path_of(&p, "30d/p2"), path_of(&p, "30d/p")), 0);
	CHECK_STR(look(&p, "30d/p/c/i/a"), "above");
	/* and a link to it, which is none: a second later at the latest */
	CHECK_INT(rename(path_of(&p, "30d/p/c/i"), path_of(&p, "moved")), 0);
	CHECK_INT(symlink("../../../moved", path_of(&p, "30d/p/c/i")), 0);
	clock_shift_ms(2000);
	CHECK_STR(look(&p, "30d/p/c/i/a"), NULL);
	clock_shift_ms(0);
	place_close(&p);
}

static void
g11_links_and_strange_files_are_misses(void)
{
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_INT(publish_text(&p, "keep/p/c/i/a", "other"), 0);
	/* the last component */
	CHECK_INT(rename(path_of(&p, KEY "@data"), path_of(&p, "moved")), 0);
	CHECK_INT(symlink(path_of(&p, "moved"), path_of(&p, KEY "@data")), 0);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(unlink(path_of(&p, KEY "@data")), 0);
	CHECK_INT(mkfifo(path_of(&p, KEY "@data"), 0600), 0);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(unlink(path_of(&p, KEY "@data")), 0);
	CHECK_INT(mkdir(path_of(&p, KEY "@data"), 0700), 0);
	CHECK_STR(look(&p, KEY), NULL);
	/* a directory on the way */
	CHECK_INT(symlink("keep", path_of(&p, "linked")), 0);
	CHECK_STR(look(&p, "keep/p/c/i/a"), "other");
	CHECK_STR(look(&p, "linked/p/c/i/a"), NULL);
	CHECK_INT(publish_text(&p, "linked/p/c/i/b", "escaped"), -1);
	CHECK_STR(look(&p, "keep/p/c/i/b"), NULL);
	place_close(&p);
}

static void
keys_do_not_leave_the_root(void)
{
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, "keep/p/c/i/a", "x"), 0);
	CHECK_STR(look(&p, "../cache/keep/p/c/i/a"), NULL);
	CHECK_STR(look(&p, "keep/../../cache/keep/p/c/i/a"), NULL);
	CHECK_INT(publish_text(&p, "../x/y", "x"), -1);
	place_close(&p);
}

static void
what_is_removed_is_gone_and_nothing_else(void)
{
	struct err e = ERR_NONE;
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	CHECK_INT(publish_text(&p, KEY "/sub", "below"), 0);
	CHECK_INT(publish_text(&p, "30d/peps/C/item/other", "beside"), 0);
	CHECK_INT(p.s->ops->remove(p.s, KEY, &e), 1);
	CHECK_STR(look(&p, KEY), NULL);
	CHECK_INT(access(path_of(&p, KEY "@data"), F_OK), -1);
	CHECK_INT(access(path_of(&p, KEY "@meta"), F_OK), -1);
	CHECK_INT(p.s->ops->remove(p.s, KEY, &e), 0);
	CHECK_STR(look(&p, KEY "/sub"), "below");
	CHECK_STR(look(&p, "30d/peps/C/item/other"), "beside");
	CHECK_INT(p.s->ops->remove(p.s, "30d/peps/C/none/a", &e), 0);
	/* as with look-ups, no link is followed and nothing outside is reached */
	CHECK_INT(symlink("30d", path_of(&p, "linked")), 0);
	CHECK_INT(p.s->ops->remove(p.s, "linked/peps/C/item/other", &e), 0);
	CHECK_INT(p.s->ops->remove(p.s, "../cache/30d/peps/C/item/other", &e), 0);
	CHECK_STR(look(&p, "30d/peps/C/item/other"), "beside");
	place_close(&p);
}

static void
publish_another(void *arg)
{
	CHECK_INT(publish_text(arg, KEY, "newer"), 0);
}

static void
what_takes_the_place_of_what_is_being_removed_stays(void)
{
	struct err e = ERR_NONE;
	struct place p;

	place_open(&p);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	after_unlink.fn = publish_another;
	after_unlink.arg = &p;
	CHECK_INT(p.s->ops->remove(p.s, KEY, &e), 1);
	CHECK(after_unlink.fn == NULL);
	CHECK_STR(look(&p, KEY), "newer");
	place_close(&p);
}

static void
the_same_holds_without_openat2(void)
{
	directory_without_openat2 = true;
	what_was_published_is_found();
	pairs_that_do_not_match_are_misses();
	g11_a_file_that_vanished_is_a_miss();
	g11_links_and_strange_files_are_misses();
	keys_do_not_leave_the_root();
	what_is_removed_is_gone_and_nothing_else();
	longest_names_fit();
	directory_without_openat2 = false;
}

static void
without_nameless_files_the_spool_is_swept(void)
{
	struct err e = ERR_NONE;
	struct place p;
	int fd;

	directory_without_tmpfile = true;
	what_was_published_is_found();
	place_open(&p);
	fd = p.s->ops->spool_open(p.s, &e);
	CHECK(fd >= 0);
	CHECK_INT(rmdir(p.spool), -1);		/* it has a name */
	fd_close(&fd);
	fd = p.s->ops->spool_open(p.s, &e);	/* that of the closed one goes */
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	fd_close(&fd);
	CHECK_INT(publish_text(&p, KEY, "hello"), 0);
	p.s->ops->free(p.s);
	CHECK_INT(rmdir(p.spool), 0);
	directory_without_tmpfile = false;
	p.s = store_directory_open(&p.c, true, &e);
	MUST(p.s != NULL);
	place_close(&p);
}

static void
g10_stale_names_are_swept_at_start_and_live_ones_stay(void)
{
	char stale[256], live[256], probe[256];
	struct err e = ERR_NONE;
	struct place p;
	int fd;

	place_open(&p);
	(void)snprintf(stale, sizeof(stale), "%s/eo-stale", p.spool);
	(void)snprintf(live, sizeof(live), "%s/eo-live", p.spool);
	(void)snprintf(probe, sizeof(probe), "%s/eo-probe", p.root);
	fd = open(stale, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	fd_close(&fd);
	fd = open(probe, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	fd_close(&fd);
	fd = open(live, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	CHECK_INT(flock(fd, LOCK_EX), 0);
	p.s->ops->free(p.s);
	p.s = store_directory_open(&p.c, false, &e);	/* a worker sweeps nothing */
	CHECK_INT(access(stale, F_OK), 0);
	p.s->ops->free(p.s);
	p.s = store_directory_open(&p.c, true, &e);
	MUST(p.s != NULL);
	CHECK_INT(access(stale, F_OK), -1);
	CHECK_INT(access(probe, F_OK), -1);
	CHECK_INT(access(live, F_OK), 0);
	fd_close(&fd);
	place_close(&p);
}

/* Movers of one master start at once: none takes what another has just made. */
static void
start_at_once(void)
{
	enum { PROCESSES = 8, STARTS = 200 };
	struct err e = ERR_NONE;
	struct place p;
	struct store *s;
	pid_t pid[PROCESSES];
	int status, go[2];
	char c;

	place_open(&p);
	MUST(pipe(go) == 0);
	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (pid[i] != 0)
			continue;
		close(go[1]);
		(void)!read(go[0], &c, 1);	/* until all are there */
		for (int k = 0; k < STARTS; k++) {
			s = store_directory_open(&p.c, true, &e);
			if (s == NULL) {
				fprintf(stderr, "start %d: %s\n", k, e.text);
				_exit(1);
			}
			s->ops->free(s);
		}
		_exit(0);
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < PROCESSES; i++) {
		CHECK_INT(waitpid(pid[i], &status, 0), pid[i]);
		CHECK_INT(status, 0);
	}
	CHECK_INT(rmdir(p.spool), 0);	/* and nothing stays */
	CHECK_INT(mkdir(p.spool, 0700), 0);
	place_close(&p);
}

static void
a_sweep_takes_nothing_from_a_mover_that_starts(void)
{
	start_at_once();
	directory_without_tmpfile = true;
	start_at_once();
	directory_without_tmpfile = false;
}

/* Kill who publishes text at each step; what is found then is old (or nothing), or text. */
static unsigned
die_publishing(const char *old, const char *text)
{
	struct err e = ERR_NONE;
	unsigned until = 0;
	bool died = true;
	const char *found;
	struct place p;
	int status;
	pid_t pid;

	while (died && until < 1000) {
		until++;
		place_open(&p);
		if (old != NULL)
			CHECK_INT(publish_text(&p, KEY, old), 0);
		pid = fork();
		if (pid == 0) {
			steps_left = until;
			_exit(publish_text(&p, KEY, text) == 0 ? 0 : 1);
		}
		CHECK_INT(waitpid(pid, &status, 0), pid);
		died = WIFSIGNALED(status);
		CHECK(died ? WTERMSIG(status) == SIGKILL : status == 0);
		p.s->ops->free(p.s);
		p.s = store_directory_open(&p.c, true, &e);	/* the next one sweeps */
		MUST(p.s != NULL);
		found = look(&p, KEY);
		CHECK(found == NULL || strcmp(found, text) == 0 || (old != NULL && strcmp(found, old) == 0));
		CHECK(died || found != NULL);
		CHECK_INT(rmdir(p.spool), 0);		/* nothing is left in it */
		CHECK_INT(mkdir(p.spool, 0700), 0);
		CHECK_INT(publish_text(&p, KEY, "afterwards"), 0);
		CHECK_STR(look(&p, KEY), "afterwards");
		place_close(&p);
	}
	CHECK(!died);
	return until;
}

static void
g10_a_mover_killed_at_any_step_publishes_all_or_nothing(void)
{
	CHECK(die_publishing(NULL, "hello") > 16);
	CHECK(die_publishing("hello", "world") > 12);		/* of the same length: only the inode tells */
	CHECK(die_publishing("hello", "a longer one") > 12);
	directory_without_tmpfile = true;
	CHECK(die_publishing("hello", "world") > 8);
	directory_without_tmpfile = false;
}

static void
f9_g11_a_full_disk_refuses_fills(void)
{
	struct place p;

	place_open(&p);
	p.s->ops->free(p.s);
	p.c.cache_min_free_percent = 100;
	p.s = store_directory_open(&p.c, true, NULL);
	MUST(p.s != NULL);
	CHECK_INT(publish_text(&p, KEY, "hello"), -1);
	CHECK_STR(look(&p, KEY), NULL);
	place_close(&p);
}

/* A fill of five bytes, which are there; the descriptor is the caller's. */
static struct store_fill *
begin_hello(struct place *p, const struct object_meta *m, int *ret_fd)
{
	struct err e = ERR_NONE;
	struct store_fill *f;

	*ret_fd = p->s->ops->spool_open(p->s, &e);
	CHECK_INT(fd_pwrite_all(*ret_fd, "hello", 5, 0), 0);
	f = p->s->ops->fill_begin(p->s, KEY, *ret_fd, m, &e);
	MUST(f != NULL);
	return f;
}

/* Many fills began while there was room, or nobody knew how long a body would be. */
static void
g11_what_is_whole_when_the_disk_is_full_is_not_kept(void)
{
	struct object_meta m = some_meta(5);
	struct store_fill *f;
	struct err e = ERR_NONE;
	struct place p;
	int fd;

	place_open(&p);
	f = begin_hello(&p, &m, &fd);
	p.c.cache_min_free_percent = 100;
	p.s->ops->set_config(p.s, &p.c);
	p.s->ops->fill_finish(f, &m);
	CHECK_INT(p.s->ops->fill_state(f, &e), FILL_FAILED);
	CHECK_INT(e.sys, ENOSPC);
	p.s->ops->fill_free(f);
	CHECK_STR(look(&p, KEY), NULL);
	fd_close(&fd);
	object_meta_release(&m);
	place_close(&p);
}

static void
g9_a_length_that_is_wrong_is_not_published(void)
{
	struct object_meta m = some_meta(6);
	struct store_fill *f;
	struct err e = ERR_NONE;
	struct place p;
	int fd;

	place_open(&p);
	f = begin_hello(&p, &m, &fd);
	p.s->ops->fill_finish(f, &m);
	CHECK_INT(p.s->ops->fill_state(f, &e), FILL_FAILED);
	CHECK(e.text[0] != '\0');
	p.s->ops->fill_free(f);
	CHECK_STR(look(&p, KEY), NULL);
	/* and one that is let go was never there */
	f = p.s->ops->fill_begin(p.s, KEY, fd, &m, &e);
	p.s->ops->fill_free(f);
	CHECK_STR(look(&p, KEY), NULL);
	fd_close(&fd);
	object_meta_release(&m);
	place_close(&p);
}

static void
spool_on_another_file_system_is_refused(void)
{
	struct err e = ERR_NONE;
	struct stat here, there;
	struct place p;
	char other[] = "/dev/shm/eo-cache-XXXXXX";

	place_open(&p);
	if (mkdtemp(other) == NULL || stat(other, &there) != 0 || stat(p.root, &here) != 0 ||
	    here.st_dev == there.st_dev) {
		fprintf(stderr, "skipped: no second file system to write to\n");
	} else {
		p.c.dir_spool = other;
		CHECK(store_directory_open(&p.c, true, &e) == NULL);
		CHECK(strstr(e.text, "is not on the file system") != NULL);
	}
	(void)rmdir(other);
	place_close(&p);
}

static void
check_notices_a_removed_root_and_a_new_one(void)
{
	struct err e = ERR_NONE;
	struct store *w;
	struct place p;

	place_open(&p);
	w = store_directory_open(&p.c, false, &e);
	MUST(w != NULL);
	CHECK_INT(w->ops->check(w, &e), 0);
	CHECK_INT(rmdir(p.spool), 0);
	CHECK_INT(rmdir(p.root), 0);
	CHECK_INT(w->ops->check(w, &e), -1);
	CHECK_INT(mkdir(p.root, 0700), 0);
	CHECK_INT(mkdir(p.spool, 0700), 0);
	CHECK_INT(w->ops->check(w, &e), 0);
	w->ops->free(w);
	place_close(&p);
	CHECK(store_directory_open(&p.c, false, &e) == NULL);
}

static void
a_lookup_notices_a_removed_root_and_a_new_one(void)
{
	struct err e = ERR_NONE;
	struct place mover, worker;

	place_open(&mover);
	worker = mover;
	worker.s = store_directory_open(&mover.c, false, &e);
	MUST(worker.s != NULL);
	for (int i = 0; i < 2; i++) {	/* with a folder that it has open, and with none */
		CHECK_INT(publish_text(&mover, "30d/p/c/i/a", "before"), 0);
		if (i == 0)
			CHECK_STR(look(&worker, "30d/p/c/i/a"), "before");
		CHECK_INT(nftw(mover.root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
		CHECK_STR(look(&worker, "30d/p/c/i/a"), NULL);
		CHECK_INT(mkdir(mover.root, 0700), 0);
		CHECK_INT(mkdir(mover.spool, 0700), 0);
		CHECK_INT(publish_text(&mover, "30d/p/c/i/a", "anew"), 0);
		CHECK_STR(look(&worker, "30d/p/c/i/a"), "anew");
	}
	worker.s->ops->free(worker.s);
	place_close(&mover);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(key_is_retention_backend_collection_item_asset),
		UNIT(segments_are_percent_encoded),
		UNIT(dots_are_not_directories),
		UNIT(empty_segments_make_no_key),
		UNIT(subpaths_have_one_spelling),
		UNIT(long_segments_are_cut_and_hashed),
		UNIT(g8_a_name_that_looks_cut_is_not_another_one),
		UNIT(a_key_has_a_maximum),
		UNIT(metadata_comes_back_as_it_went),
		UNIT(the_least_metadata_is_enough),
		UNIT(hostile_metadata_is_refused),
		UNIT(metadata_that_is_no_header_is_not_written),
		UNIT(what_was_published_is_found),
		UNIT(nothing_stays_in_the_spool),
		UNIT(an_asset_and_its_subpaths_stand_side_by_side),
		UNIT(longest_names_fit),
		UNIT(pairs_that_do_not_match_are_misses),
		UNIT(g11_a_file_that_vanished_is_a_miss),
		UNIT(directories_that_vanish_while_we_publish_are_made_again),
		UNIT(an_open_object_outlives_its_name),
		UNIT(what_is_kept_of_lookups_is_never_wrong),
		UNIT(g11_links_and_strange_files_are_misses),
		UNIT(keys_do_not_leave_the_root),
		UNIT(what_is_removed_is_gone_and_nothing_else),
		UNIT(what_takes_the_place_of_what_is_being_removed_stays),
		UNIT(the_same_holds_without_openat2),
		UNIT(without_nameless_files_the_spool_is_swept),
		UNIT(g10_stale_names_are_swept_at_start_and_live_ones_stay),
		UNIT(a_sweep_takes_nothing_from_a_mover_that_starts),
		UNIT(g10_a_mover_killed_at_any_step_publishes_all_or_nothing),
		UNIT(f9_g11_a_full_disk_refuses_fills),
		UNIT(g11_what_is_whole_when_the_disk_is_full_is_not_kept),
		UNIT(g9_a_length_that_is_wrong_is_not_published),
		UNIT(spool_on_another_file_system_is_refused),
		UNIT(check_notices_a_removed_root_and_a_new_one),
		UNIT(a_lookup_notices_a_removed_root_and_a_new_one),
	};

	return unit_run("cache", tests, ARRAY_LEN(tests));
}
