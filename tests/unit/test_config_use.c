/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration beside its text: secrets, the memfd, the dump, looking
 * things up, the manual, the example.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "config/scan.h"
#include "config_help.h"

/* ---- secrets ---------------------------------------------------------------------- */

struct scratch {
	char dir[64];
	char path[96];
};

static void
scratch_init(struct scratch *s)
{
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/test_config.XXXXXX");
	MUST(mkdtemp(s->dir) != NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s/secret", s->dir);
}

static void
scratch_write(const struct scratch *s, const void *text, size_t n, mode_t mode)
{
	int fd;

	/* a new one: the last may have had a mode that lets nobody write */
	(void)unlink(s->path);
	fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	MUST(fd != -1);
	MUST(fd_write_all(fd, text, n) == 0);
	MUST(fchmod(fd, mode) == 0);
	fd_close(&fd);
}

static void
scratch_release(struct scratch *s)
{
	(void)unlink(s->path);
	(void)rmdir(s->path);
	(void)rmdir(s->dir);
}

/* The configuration that names the file in that member, secrets read. */
static struct config *
with_secret(const struct scratch *s, const char *section, const char *member, struct buf *told)
{
	char *text = mem_printf("{\"%s\": {\"%s\": \"%s\"}}", section, member, s->path);
	struct config *c;

	buf_clear(told);
	c = config_parse("test", text, strlen(text), true, told);
	free(text);
	return c;
}

static void
h7_a_secret_with_a_loose_mode_is_refused(void)
{
	static const struct {
		mode_t mode;
		bool fine;
	} modes[] = { { 0600, true }, { 0640, true }, { 0400, true }, { 0440, true },
		{ 0644, false }, { 0660, false }, { 0604, false }, { 0602, false }, { 0601, false },
		{ 0620, false }, { 0666, false } };
	static const char *const members[][2] = { { "stac", "headers_file" },
		{ "eodag", "config_file" } };
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		for (size_t j = 0; j < ARRAY_LEN(members); j++) {
			scratch_write(&s, "A: b\n", 5, modes[i].mode);
			c = with_secret(&s, members[j][0], members[j][1], &told);
			if ((c != NULL) != modes[i].fine)
				fprintf(stderr, "mode %04o: %s\n", (unsigned)modes[i].mode,
				    buf_str(&told));
			CU_ASSERT_TRUE((c != NULL) == modes[i].fine);
			CHECK((strstr(buf_str(&told), "others may not read it") == NULL) ==
			      modes[i].fine);
			config_free(c);
		}
	}
	buf_release(&told);
	scratch_release(&s);
}

static void
headers_are_read_line_by_line(void)
{
	static const char text[] = "# for the catalogue\n\nAuthorization:   Bearer canary "
				   "\r\nX-Api-Key: k=1\n   \nX-Last: no newline";
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	scratch_write(&s, text, sizeof(text) - 1, 0640);
	c = with_secret(&s, "stac", "headers_file", &told);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CHECK_INT(c->stac_headers.n, 3);
	CHECK_STR(c->stac_headers.v[0], "Authorization: Bearer canary");
	CHECK_STR(c->stac_headers.v[1], "X-Api-Key: k=1");
	CHECK_STR(c->stac_headers.v[2], "X-Last: no newline");
	config_free(c);
	buf_release(&told);
	scratch_release(&s);
}

static void
a_broken_headers_file_is_refused_and_never_told(void)
{
	static const struct {
		const char *text;
		size_t n;
		const char *want;
	} bad[] = {
		{ "Authorization canary\n", 21, "line 1 of" },
		{ "\nAuthorization : canary\n", 23, "line 2 of" },
		{ ": canary\n", 9, "is not \"Name: value\"" },
		{ "canary:\n", 8, "has no value" },
		{ "A: canary\001\n", 11, "has a control byte" },
		{ "A: canary\rB: x\n", 15, "has a control byte" },
		{ "A: canary\0x\n", 12, "has a NUL" },
		{ "A: canary\xff\n", 11, "is not UTF-8" },
		{ "Host: canary\n", 13, "is ours to set" },
		{ "content-length: 5 canary\n", 25, "is ours to set" },
		{ "A b: canary\n", 12, "is not \"Name: value\"" },
	};
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		scratch_write(&s, bad[i].text, bad[i].n, 0600);
		c = with_secret(&s, "stac", "headers_file", &told);
		CHECK(c == NULL);
		config_free(c);
		if (strstr(buf_str(&told), bad[i].want) == NULL)
			fprintf(stderr, "%zu: got %s want %s\n", i, buf_str(&told), bad[i].want);
		CU_ASSERT_TRUE(strstr(buf_str(&told), bad[i].want) != NULL);
		CHECK(strstr(buf_str(&told), "canary") == NULL);
	}
	buf_release(&told);
	scratch_release(&s);
}

static void
what_is_no_file_is_no_secret(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	char *huge = mem_alloc(CONFIG_HEADERS_MAX + 1);
	struct scratch s;

	scratch_init(&s);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "stac.headers_file: cannot open") != NULL);
	MUST(mkfifo(s.path, 0600) == 0);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "is not a file") != NULL);
	MUST(unlink(s.path) == 0);
	MUST(mkdir(s.path, 0700) == 0);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "is not a file") != NULL);
	CHECK(with_secret(&s, "eodag", "config_file", &told) == NULL);
	MUST(rmdir(s.path) == 0);
	memset(huge, '#', CONFIG_HEADERS_MAX + 1);
	scratch_write(&s, huge, CONFIG_HEADERS_MAX + 1, 0600);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "longer than") != NULL);
	free(huge);
	buf_release(&told);
	scratch_release(&s);
}

static void
an_eodag_file_that_is_not_there_yet_is_fine(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	c = with_secret(&s, "eodag", "config_file", &told);
	CHECK(c != NULL);
	CHECK_STR(buf_str(&told), "");
	config_free(c);
	buf_release(&told);
	scratch_release(&s);
}

static void
h7_the_keys_of_s3_are_a_secret_too(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct config *c;
	struct scratch s;
	char *text;

	scratch_init(&s);
	text = mem_printf("{\"cache\": {\"s3\": {\"credentials\": \"%s\"}}}", s.path);
	scratch_write(&s, "[default]\n", 10, 0644);
	CHECK(config_parse("test", text, strlen(text), true, &told) == NULL);
	CHECK(strncmp(buf_str(&told), "cache.s3.credentials: ", 22) == 0);
	CHECK(strstr(buf_str(&told), "others may not read it") != NULL);
	scratch_write(&s, "[default]\n", 10, 0600);
	buf_clear(&told);
	c = config_parse("test", text, strlen(text), true, &told);
	CHECK_STR(buf_str(&told), "");
	config_free(c);
	free(text);
	buf_release(&told);
	scratch_release(&s);
}

/* Whoever makes it by an editor has a newline there, whoever makes it by a program has not. */
static void
the_key_of_what_is_remembered_is_any_32_bytes(void)
{
	static const struct {
		const char *text;
		size_t n;
		bool fine;
	} files[] = {
		{ "canary\0canary\xff\ncanary\0canary\0abc", 32, true },
		{ "canary\0canary\xff\ncanary\0canary\0abc\n", 33, true },
		{ "canary\0canary\xff\ncanary\0canary\0ab\n", 32, false },
		{ "", 0, false },
		{ "canary\0canary\xff\ncanary\0canary\0abc2", 33, true },
	};
	struct buf told = BUF_INIT(TOLD_MAX);
	char *secret[ARRAY_LEN(files)] = { NULL };
	struct config *c, *child;
	struct scratch s;
	char *text;
	int fd;

	scratch_init(&s);
	text = mem_printf("{\"cache\": {\"s3\": {\"memory_key\": \"%s\"}}}", s.path);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		scratch_write(&s, files[i].text, files[i].n, 0640);
		buf_clear(&told);
		c = config_parse("test", text, strlen(text), true, &told);
		CHECK_INT(c != NULL, files[i].fine);
		CHECK(strstr(buf_str(&told), "canary") == NULL);
		CHECK((strstr(buf_str(&told), "want 32 or more") == NULL) == files[i].fine);
		if (c == NULL)
			continue;
		CU_ASSERT_FATAL(c->s3_memory_secret.n == 1);
		secret[i] = mem_strdup(c->s3_memory_secret.v[0]);
		CHECK_INT(strlen(secret[i]), 64);
		fd = config_to_memfd(c, NULL);
		child = config_from_memfd(fd, NULL);
		CU_ASSERT_PTR_NOT_NULL_FATAL(child);
		CHECK_STR(child->s3_memory_secret.v[0], secret[i]);
		config_free(child);
		config_free(c);
		fd_close(&fd);
	}
	CHECK_STR(secret[1], secret[0]);
	CHECK(strcmp(secret[4], secret[0]) != 0);
	scratch_write(&s, files[0].text, files[0].n, 0644);
	buf_clear(&told);
	CHECK(config_parse("test", text, strlen(text), true, &told) == NULL);
	CHECK(strstr(buf_str(&told), "cache.s3.memory_key: ") != NULL && strstr(buf_str(&told), "others may not read it") != NULL);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		free(secret[i]);
	free(text);
	buf_release(&told);
	scratch_release(&s);
}

/* A worker that does not know somebody does not start: it is told before. */
static void
peers_are_users_of_this_system(void)
{
	static const struct {
		const char *peer, *want;	/* NULL: taken */
	} cases[] = {
		{ "root", NULL },
		{ "0", NULL },
		{ "10.0.0.0/8", NULL },
		{ "::1", NULL },
		{ "4294967294", NULL },
		{ "no-such-user", "front.peers[1]: 'no-such-user' is no address and no user of this system\n" },
		{ "4294967295", "front.peers[1]: '4294967295' is no address and no user of this system\n" },
		{ "10x", "front.peers[1]: '10x' is no address and no user of this system\n" },
	};
	struct buf told = BUF_INIT(TOLD_MAX);
	struct config *c;
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		text = mem_printf("{\"front\": {\"peers\": [\"root\", \"%s\"]}}", cases[i].peer);
		CHECK_STR(faults_of(text), "");		/* whoever does not serve does not ask for them */
		buf_clear(&told);
		c = config_parse("test", text, strlen(text), true, &told);
		CHECK((c != NULL) == (cases[i].want == NULL));
		CHECK_STR(buf_str(&told), cases[i].want == NULL ? "" : cases[i].want);
		config_free(c);
		free(text);
	}
	buf_release(&told);
}

static void
a_file_is_loaded_and_a_missing_one_is_told(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	CHECK(config_load(s.path, true, &told) == NULL);
	CHECK(strstr(buf_str(&told), "cannot open '") != NULL);
	buf_clear(&told);
	scratch_write(&s, DESIGN_TEXT, strlen(DESIGN_TEXT), 0644);
	c = config_load(s.path, true, &told);
	CHECK(c != NULL);
	CHECK_STR(buf_str(&told), "");
	config_free(c);
	buf_release(&told);
	scratch_release(&s);
}

/* ---- memfd and dump ------------------------------------------------------------------ */

static char *
dumped(const struct config *c)
{
	struct buf out = BUF_INIT(CONFIG_SEALED_MAX);

	config_dump(c, &out);
	MUST(buf_ok(&out));
	return buf_take(&out);
}

/* A configuration with something in every place, secrets and generation too. */
static struct config *
full_config(void)
{
	static const char headers[] = "Authorization: Bearer canary\nX-Quote: \"a\\b\"\n";
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;
	char *text;

	scratch_init(&s);
	scratch_write(&s, headers, sizeof(headers) - 1, 0600);
	text = mem_printf(
	    "{\"stac\":{\"headers_file\":\"%s\",\"item_url\":\"https://a/"
	    "{item}\",\"item_max\":\"1.5 MB\",\"keep\":\"1500ms\"},"
	    "\"identity\":{\"groups\":{\"g.1[\":[\"Zo\\u00eb "
	    "\\\"x\\\"\",\"\\ud83d\\ude00\"],\"empty\":[]}},"
	    "\"quotas\":{\"z\":{\"requests\":[\"3 per minute\",\"1 per "
	    "day\"],\"upstream_bytes\":[\"64 MiB per hour\"]},"
	    "\"a\":{\"per\":\"group\",\"misses\":[\"7 per "
	    "month\"],\"when_unavailable\":\"refuse\"}},"
	    "\"cache\":{\"retentions\":{\"b\":{},\"a\":{\"lifetime\":\"14d\"},\"1y\":{}},\"min_free\":\"0 %%\","
	    "\"s3\":{\"endpoint\":\"http://[::1]:7480\",\"bucket\":\"eo.data\",\"prefix\":\"a/b/\","
	    "\"credentials\":\"/etc/keys\",\"profile\":\"eo data\"}},"
	    "\"datasets\":[{\"backends\":[\"p\"],\"retention\":\"a\",\"fill\":\"never\",\"fill_"
	    "after\":\"0%%\",\"max_size\":\"1 B\","
	    "\"on_mismatch\":\"deliver\",\"cache_control\":\"public, "
	    "max-age=5\"},{\"assets\":[\"*\"],\"retention\":\"b\",\"fill\":\"whole-only\"}],"
	    "\"rules\":[{\"users\":[\"a\"],\"routes\":[\"-/*\"],\"allow\":false},"
	    "{\"name\":\"n\",\"who\":\"authenticated\",\"methods\":[\"GET\"],\"items\":[\"[ab]*\"],"
	    "\"allow\":true,\"delivery\":\"auto\","
	    "\"quotas\":[\"a\",\"z\"],\"rate\":\"10 MB per "
	    "second\"},{\"groups\":[\"g\"],\"scopes\":[\"s\"],\"allow\":true,\"delivery\":"
	    "\"redirect\"}],"
	    "\"front\":{\"server\":\"apache\",\"hits\":\"x-sendfile\",\"public_urls\":[\"https://"
	    "d.example:8443/x\"],\"peers\":[\"10.0.0.0/8\"]},"
	    "\"upstream\":{\"ca_file\":\"/etc/"
	    "ca.pem\",\"allow_http\":true,\"allow_private\":[\"::1\"]},"
	    "\"backends\":{\"peps\":{\"slots\":9}},\"log\":{\"level\":\"debug\"},\"memcached\":[\"h:1\"]}",
	    s.path);
	c = config_parse("test", text, strlen(text), true, &told);
	if (c == NULL)
		fprintf(stderr, "%s", buf_str(&told));
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->generation = 7;
	free(text);
	buf_release(&told);
	scratch_release(&s);
	return c;
}

static void
a_dump_is_a_configuration_again(void)
{
	const char *const texts[] = { "{}", DESIGN_TEXT };
	struct config *c, *again;
	char *first, *second;

	for (size_t i = 0; i <= ARRAY_LEN(texts); i++) {
		c = i < ARRAY_LEN(texts) ? parsed(texts[i]) : full_config();
		first = dumped(c);
		again = parsed(first);
		second = dumped(again);
		CHECK_STR(second, first);
		free(first);
		free(second);
		config_free(c);
		config_free(again);
	}
}

static void
a_dump_names_every_row_and_no_secret(void)
{
	struct config *c = full_config();
	char *text = dumped(c), *quoted;

	for (size_t i = 0; i < config_params_n; i++) {
		const char *dot = strrchr(config_params[i].path, '.');

		quoted = mem_printf("\"%s\":", dot == NULL ? config_params[i].path : dot + 1);
		CHECK(strstr(text, quoted) != NULL);
		free(quoted);
	}
	CHECK(strstr(text, "canary") == NULL);
	CHECK(strstr(text, "sealed") == NULL);
	free(text);
	config_free(c);
}

static void
children_get_what_the_master_has(void)
{
	struct config *c = full_config(), *child;
	struct err e = ERR_NONE;
	int fd = config_to_memfd(c, &e);
	char *first, *second;

	CU_ASSERT_FATAL(fd != -1);
	/* the offset is shared by all who inherit the descriptor */
	MUST(lseek(fd, 100, SEEK_SET) == 100);
	for (unsigned i = 0; i < 2; i++) {
		child = config_from_memfd(fd, &e);
		CU_ASSERT_PTR_NOT_NULL_FATAL(child);
		first = dumped(c);
		second = dumped(child);
		CHECK_STR(second, first);
		CHECK_INT(child->generation, 7);
		CHECK_INT(child->stac_headers.n, 2);
		CHECK_STR(child->stac_headers.v[0], "Authorization: Bearer canary");
		CHECK_STR(child->stac_headers.v[1], "X-Quote: \"a\\b\"");
		CHECK_STR(child->groups[0].name, "g.1[");
		CHECK_STR(child->groups[0].users.v[0], "Zo\xc3\xab \"x\"");
		CHECK_STR(child->rules[0].name, "rules[0]");
		CHECK(child->text != NULL && strstr(child->text, "canary") != NULL);
		free(first);
		free(second);
		config_free(child);
	}
	CHECK_INT(lseek(fd, 0, SEEK_CUR), 100);
	fd_close(&fd);
	config_free(c);
}

/* What the master has taken, each child must take, too. */
static void
check_children_take(struct config *c)
{
	struct err e = ERR_NONE;
	struct config *child;
	int fd;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	fd = config_to_memfd(c, &e);
	CU_ASSERT_FATAL(fd != -1);
	child = config_from_memfd(fd, &e);
	if (child == NULL)
		fprintf(stderr, "%s\n", e.text);
	CU_ASSERT_PTR_NOT_NULL(child);
	fd_close(&fd);
	config_free(child);
	config_free(c);
}

/* So many times what is between. */
static char *
many(const char *before, const char *each, size_t n, const char *behind)
{
	struct buf b = BUF_INIT(TOLD_MAX);

	(void)buf_adds(&b, before);
	for (size_t i = 0; i < n; i++)
		(void)buf_adds(&b, each);
	(void)buf_adds(&b, behind);
	MUST(buf_ok(&b));
	return buf_take(&b);
}

static void
what_follows_from_other_members_passes_the_memfd(void)
{
	struct buf backends = BUF_INIT(TOLD_MAX);
	char *text;

	text = many("{\"front\":{\"public_urls\":[\"https://", "h", 200, ".example.org:8443/data\"]}}");
	check_children_take(parsed(text));	/* front.site_id */
	free(text);
	text = many("{\"front\":{\"public_urls\":[\"https://", "h", 300, "/data\"]}}");
	check_fault(text, "front.public_urls[0]: the host is too long");
	free(text);
	text = many("{\"cache\":{\"path\":\"/", "c", 3993, "\"}}");
	check_children_take(parsed(text));	/* dirs.spool */
	free(text);
	text = many("{\"cache\":{\"path\":\"/", "c", 3994, "\"}}");
	check_fault(text, "cache.path: longer than 3994 bytes");
	free(text);
	(void)buf_adds(&backends, "{\"backends\":{");
	for (int i = 0; i < 1000; i++)
		(void)buf_addf(&backends, "%s\"b%d\":{}", i == 0 ? "" : ",", i);
	(void)buf_adds(&backends, "}}");
	check_children_take(parsed(buf_str(&backends)));	/* "*" */
	buf_release(&backends);
}

static void
headers_that_are_taken_pass_the_memfd(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	char *text;

	scratch_init(&s);
	text = many("", "A:b\n", 1000, "");
	scratch_write(&s, text, strlen(text), 0600);
	check_children_take(with_secret(&s, "stac", "headers_file", &told));
	free(text);
	text = many("", "A:b\n", 1001, "");
	scratch_write(&s, text, strlen(text), 0600);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "stac.headers_file: ") != NULL && strstr(buf_str(&told), "more than 1000 headers") != NULL);
	free(text);
	text = many("A:", "b", 64 * 1024 - 2, "");	/* a space is put behind the colon */
	scratch_write(&s, text, strlen(text), 0600);
	check_children_take(with_secret(&s, "stac", "headers_file", &told));
	free(text);
	buf_release(&told);
	scratch_release(&s);
}

static void
nobody_changes_what_is_sealed(void)
{
	struct config *c = parsed("{}");
	struct err e = ERR_NONE;
	int fd = config_to_memfd(c, &e);

	CU_ASSERT_FATAL(fd != -1);
	CHECK_INT(pwrite(fd, "x", 1, 0), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(ftruncate(fd, 0), -1);
	CHECK_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	fd_close(&fd);
	config_free(c);
}

static void
the_sealed_member_is_not_for_files(void)
{
	check_fault("{\"sealed\": {\"generation\": 1, \"stac_headers\": [\"A: b\"]}}",
	    "sealed: unknown member");
}

static void
a_broken_memfd_is_an_error(void)
{
#define SEALED(member) "{\"sealed\": {" member "}}"
	static const char *const bad[] = {
		"",
		"x",
		"{}",
		"{\"sealed\": 1}",
		SEALED("\"generation\": -1, \"stac_headers\": [], \"memory_secret\": [], \"s3_keys\": []"),
		SEALED("\"generation\": 1, \"memory_secret\": [], \"s3_keys\": []"),
		SEALED("\"generation\": 1, \"stac_headers\": []"),
		SEALED("\"generation\": 1, \"stac_headers\": [1], \"memory_secret\": [], \"s3_keys\": []"),
		SEALED("\"generation\": 1, \"stac_headers\": [], \"memory_secret\": [\"a\", \"b\"], \"s3_keys\": []"),
		SEALED("\"generation\": 1, \"stac_headers\": [], \"memory_secret\": []"),
		SEALED("\"generation\": 1, \"stac_headers\": [], \"memory_secret\": [], \"s3_keys\": [\"a\", \"b\", \"c\", \"d\"]"),
		SEALED("\"generation\": 1, \"stac_headers\": [], \"memory_secret\": [], \"s3_keys\": []}, \"pool\": {\"workers\": 0"),
	};
#undef SEALED
	struct err e;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = (struct err)ERR_NONE;
		fd = fd_memfd_sealed("test", bad[i], strlen(bad[i]), &e);
		CU_ASSERT_FATAL(fd != -1);
		CHECK(config_from_memfd(fd, &e) == NULL);
		CHECK(strncmp(e.text, "the configuration is broken: ", 29) == 0);
		fd_close(&fd);
	}
	CHECK(config_from_memfd(-1, &e) == NULL);
	CHECK_INT(e.sys, EBADF);
}

static void
the_largest_configuration_passes_the_memfd(void)
{
	char *text = long_text("{\"rules\":[",
	    "{\"who\":\"authenticated\",\"allow\":true,\"items\":[\"*\",\"a\",\"b\",\"c\",\"d\"]}",
	    2000, "]}");
	struct config *c = parsed(text), *child;
	struct err e = ERR_NONE;
	int fd = config_to_memfd(c, &e);

	CU_ASSERT_FATAL(fd != -1);
	child = config_from_memfd(fd, &e);
	if (child == NULL)
		fprintf(stderr, "%s\n", e.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(child);
	CHECK_INT(child->n_rules, 2000);
	CHECK_STR(child->rules[1999].name, "rules[1999]");
	fd_close(&fd);
	config_free(c);
	config_free(child);
	free(text);
}

static void
a_reload_tells_what_it_does_not_take(void)
{
	struct config *a = parsed("{}"),
		      *b = parsed("{\"pool\":{\"movers\":2,\"workers\":3},\"cache\":{\"path\":\"/"
				  "x\"},\"log\":{\"level\":\"warn\"}}");
	struct buf paths = BUF_INIT(1000);

	config_restart_needed(a, a, &paths);
	CHECK_STR(buf_str(&paths), "");
	config_restart_needed(a, b, &paths);
	CHECK_STR(buf_str(&paths), "cache.path, dirs.spool, pool.movers");
	buf_release(&paths);
	config_free(a);
	config_free(b);
}

static void
a_reload_keeps_what_it_does_not_take(void)
{
	static const char was_text[] = "{\"user\":\"nobody\",\"cache\":{\"store\":\"s3\",\"min_free\":\"7 %\","
		"\"s3\":{\"endpoint\":\"http://a:1\",\"bucket\":\"was\",\"credentials\":\"/was\",\"profile\":\"was\"}}}";
	struct config *was = parsed(was_text),
		      *same = parsed("{\"cache\":{\"store\":\"s3\",\"path\":\"/x\",\"min_free\":\"9 %\",\"s3\":{"
				     "\"endpoint\":\"https://b\",\"region\":\"r\",\"bucket\":\"new\",\"prefix\":\"p/\","
				     "\"addressing\":\"virtual\",\"public_endpoint\":\"https://c\",\"credentials\":\"/new\","
				     "\"memory_key\":\"/k\"}},\"dirs\":{\"run\":\"/r\",\"state\":\"/s\"},"
				     "\"pool\":{\"movers\":2},\"upstream\":{\"ca_file\":\"/c\"}}"),
		      *other = parsed("{\"cache\":{\"store\":\"directory\",\"s3\":{\"profile\":\"new\"}}}"),
		      *broken = parsed("{\"cache\":{\"path\":\"/x\",\"retentions\":{\"spool\":{}}},\"dirs\":{\"spool\":\"/y\"}}");
	struct buf paths = BUF_INIT(1000), told = BUF_INIT(1000);

	/* what is read of files and the environment, which text alone does not bring */
	strs_add(&was->s3_keys, "was");
	strs_add(&was->s3_memory_secret, "was");
	strs_add(&same->s3_keys, "new");
	strs_add(&same->s3_memory_secret, "new");
	config_restart_needed(was, same, &paths);
	CHECK_STR(buf_str(&paths), "user, cache.path, cache.s3.endpoint, cache.s3.region, cache.s3.bucket, "
				   "cache.s3.prefix, cache.s3.addressing, cache.s3.credentials, cache.s3.profile, "
				   "cache.s3.public_endpoint, cache.s3.memory_key, dirs.run, dirs.state, dirs.spool, pool.movers, "
				   "upstream.ca_file");
	CHECK_INT(config_keep(was, same, &told), 0);
	buf_clear(&paths);
	config_restart_needed(was, same, &paths);
	CHECK_STR(buf_str(&paths), "");
	CHECK_STR(same->s3_bucket, "was");
	CHECK_STR(same->s3_memory_secret.v[0], "was");
	CHECK_STR(same->s3_credentials, "/was");
	CHECK_STR(same->s3_keys.v[0], "was");
	CHECK_INT(same->cache_min_free_percent, 9);
	/* another secret in the same file is another key */
	strs_release(&same->s3_memory_secret);
	strs_add(&same->s3_memory_secret, "new");
	config_restart_needed(was, same, &paths);
	CHECK_STR(buf_str(&paths), "cache.s3.memory_key");
	CHECK_INT(config_keep(was, other, &told), 0);
	CHECK_INT(other->cache_store, CACHE_STORE_S3);
	CHECK_STR(other->s3_credentials, "/was");
	CHECK_STR(other->s3_profile, "was");
	CHECK_STR(other->s3_keys.v[0], "was");
	CHECK_STR(buf_str(&told), "");
	/* it fits by itself, and not together with what stays */
	CHECK_INT(config_keep(was, broken, &told), -1);
	CHECK_STR(buf_str(&told), "dirs.spool: is the directory of the retention 'spool'\n");
	buf_release(&paths);
	buf_release(&told);
	config_free(was);
	config_free(same);
	config_free(other);
	config_free(broken);
}

/* ---- looking up ------------------------------------------------------------------------ */

static void
the_first_dataset_that_matches_applies(void)
{
	struct config *c =
	    parsed("{\"cache\":{\"retentions\":{\"a\":{},\"b\":{},\"c\":{}}},\"datasets\":["
		   "{\"backends\":[\"peps\"],\"collections\":[\"S2_*\"],\"assets\":[\"B0?\","
		   "\"thumbnail\"],\"retention\":\"a\"},"
		   "{\"collections\":[\"S2_*\",\"S1_[A-C]\"],\"retention\":\"b\"},"
		   "{\"assets\":[\"metadata\"],\"retention\":\"c\"}]}");

	CHECK_STR(config_dataset(c, "peps", "S2_MSI_L1C", "B04")->retention, "a");
	CHECK_STR(config_dataset(c, "peps", "S2_MSI_L1C", "thumbnail")->retention, "a");
	CHECK_STR(config_dataset(c, "peps", "S2_MSI_L1C", "B11")->retention, "b");
	CHECK_STR(config_dataset(c, "other", "S2_MSI_L1C", "B04")->retention, "b");
	CHECK_STR(config_dataset(c, "other", "S1_B", "B04")->retention, "b");
	CHECK(config_dataset(c, "other", "S1_D", "B04") == NULL);
	CHECK(config_dataset(c, "other", "s2_MSI_L1C", "B04") == NULL);
	CHECK_STR(config_dataset(c, "other", "S1_D", "metadata")->retention, "c");
	CHECK(config_dataset(c, "other", "*", "*") == NULL);
	config_free(c);
}

static void
a_backend_has_its_limits_or_the_defaults(void)
{
	struct config *c =
	    parsed("{\"backends\":{\"peps\":{\"slots\":8},\"*\":{\"slots\":2,\"queue\":5}}}");

	CHECK_INT(config_backend(c, "peps")->slots, 8);
	CHECK_INT(config_backend(c, "peps")->queue, 256);
	CHECK_INT(config_backend(c, "PEPS")->slots, 2);
	CHECK_INT(config_backend(c, "other")->queue, 5);
	CHECK_INT(config_backend(c, "*")->slots, 2);
	CHECK(config_quota(c, "no") == NULL);
	config_free(c);
}

/* ---- the manual and the example ------------------------------------------------------------ */

static void
the_manual_names_every_row_and_section(void)
{
	struct buf out = BUF_INIT(TOLD_MAX);
	char *item;

	config_manual(&out);
	CHECK(buf_ok(&out));
	for (size_t i = 0; i < config_params_n; i++) {
		item = mem_printf("\n.It Cm %s\n", config_params[i].path);
		CHECK(strstr(buf_str(&out), item) != NULL);
		free(item);
		item = mem_printf("\n.Ss %.*s\n", (int)strcspn(config_params[i].path, "."),
		    config_params[i].path);
		CHECK(strstr(buf_str(&out), item) != NULL);
		free(item);
	}
	buf_release(&out);
}

/* The example, of the source directory that make check names. */
static void
read_example(struct buf *out)
{
	const char *dir = getenv("srcdir");
	char *path = mem_printf("%s/conf-examples/eodata-proxy.conf", dir == NULL ? "." : dir);
	struct err e = ERR_NONE;

	if (fd_read_file(path, out, &e) < 0)
		fprintf(stderr, "%s\n", e.text);
	CU_ASSERT_FATAL(out->len > 0);
	free(path);
}

/* The node of the first member that a row has in the text, 0 when there is none. */
static size_t
node_of_row(const struct scan *s, const struct param *p, const struct param *row)
{
	char *pattern = row == NULL			   ? mem_strdup(p->path)
			: (row->flags & PARAM_ITSELF) != 0 ? mem_printf("%s.*", p->path)
			: p->type == PARAM_ROWS ? mem_printf("%s[[]*].%s", p->path, row->path)
						: mem_printf("%s.*.%s", p->path, row->path);
	struct buf path = BUF_INIT(4096);
	size_t found = 0;

	for (size_t i = 1; i < s->n && found == 0; i++) {
		buf_clear(&path);
		scan_path(s, i, &path);
		if (text_glob(pattern, buf_str(&path)))
			found = i;
	}
	if (found == 0)
		fprintf(stderr, "the example lacks %s\n", pattern);
	buf_release(&path);
	free(pattern);
	return found;
}

static struct buf example_text = BUF_INIT(TOLD_MAX);
static struct scan example_scan;

/* The comment right before a line, its lines joined; "" when there is none. */
static char *
comment_before(const char *text, unsigned number)
{
	struct buf comment = BUF_INIT(4096);
	const char *end;

	for (unsigned i = 1; i < number; i++, text = end + 1) {
		end = strchr(text, '\n');
		text += strspn(text, "\t ");
		if (strncmp(text, "//", 2) == 0)
			(void)buf_add(&comment, text, (size_t)(end - text));
		else
			buf_clear(&comment);
	}
	return buf_take(&comment);
}

static void
is_in_the_example(const struct param *p, const struct param *row)
{
	size_t node = node_of_row(&example_scan, p, row);
	char *comment;

	CU_ASSERT_FATAL(node != 0);
	if (row != NULL && (row->flags & PARAM_ITSELF) != 0)
		return; /* the comment is before the map */
	comment = comment_before(buf_str(&example_text), example_scan.node[node].line);
	if (comment[0] == '\0')
		fprintf(stderr, "no comment before %s%s%s\n", p->path, row == NULL ? "" : " ",
		    row == NULL ? "" : row->path);
	CU_ASSERT_TRUE(comment[0] != '\0');
	if (row == NULL && (strstr(comment, "Restart.") != NULL) != ((p->flags & PARAM_RESTART) != 0)) {
		fprintf(stderr, "the comment before %s is wrong about restarts\n", p->path);
		CU_FAIL("restart");
	}
	free(comment);
}

static void
the_example_explains_every_row_of_the_table(void)
{
	struct err e = ERR_NONE;

	read_example(&example_text);
	CU_ASSERT_FATAL(scan_json(&example_scan, buf_str(&example_text), example_text.len,
			    CONFIG_VALUES_MAX, &e) == 0);
	each_row(is_in_the_example);
	scan_release(&example_scan);
	buf_release(&example_text);
}

static void
the_example_is_taken_and_shows_defaults(void)
{
	/* what a site must write for itself */
	static const char *const shown[] = { "stac.item_url", "identity.groups", "quotas",
		"datasets", "rules", "cache.retentions", "front.public_urls", "front.site_id",
		"backends" };
	struct buf text = BUF_INIT(TOLD_MAX), told = BUF_INIT(TOLD_MAX), a = BUF_INIT(TOLD_MAX),
		   b = BUF_INIT(TOLD_MAX);
	struct config *c, *plain = parsed("{}");
	bool may_differ;

	read_example(&text);
	c = config_parse("example", buf_str(&text), text.len, true, &told);
	CHECK_STR(buf_str(&told), "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	for (size_t i = 0; i < config_params_n; i++) {
		may_differ = false;
		for (size_t j = 0; j < ARRAY_LEN(shown); j++)
			may_differ = may_differ || strcmp(shown[j], config_params[i].path) == 0;
		if (may_differ)
			continue;
		buf_clear(&a);
		buf_clear(&b);
		dump_value(c, &config_params[i], c, &a);
		dump_value(plain, &config_params[i], plain, &b);
		CHECK_STR(buf_str(&a), buf_str(&b));
	}
	config_free(c);
	config_free(plain);
	buf_release(&text);
	buf_release(&told);
	buf_release(&a);
	buf_release(&b);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(h7_a_secret_with_a_loose_mode_is_refused),
		UNIT(headers_are_read_line_by_line),
		UNIT(a_broken_headers_file_is_refused_and_never_told),
		UNIT(what_is_no_file_is_no_secret),
		UNIT(an_eodag_file_that_is_not_there_yet_is_fine),
		UNIT(h7_the_keys_of_s3_are_a_secret_too),
		UNIT(the_key_of_what_is_remembered_is_any_32_bytes),
		UNIT(peers_are_users_of_this_system),
		UNIT(a_file_is_loaded_and_a_missing_one_is_told),
		UNIT(a_dump_is_a_configuration_again),
		UNIT(a_dump_names_every_row_and_no_secret),
		UNIT(children_get_what_the_master_has),
		UNIT(what_follows_from_other_members_passes_the_memfd),
		UNIT(headers_that_are_taken_pass_the_memfd),
		UNIT(nobody_changes_what_is_sealed),
		UNIT(the_sealed_member_is_not_for_files),
		UNIT(a_broken_memfd_is_an_error),
		UNIT(the_largest_configuration_passes_the_memfd),
		UNIT(a_reload_tells_what_it_does_not_take),
		UNIT(a_reload_keeps_what_it_does_not_take),
		UNIT(the_first_dataset_that_matches_applies),
		UNIT(a_backend_has_its_limits_or_the_defaults),
		UNIT(the_manual_names_every_row_and_section),
		UNIT(the_example_explains_every_row_of_the_table),
		UNIT(the_example_is_taken_and_shows_defaults),
	};

	return unit_run("config_use", t, ARRAY_LEN(t));
}
