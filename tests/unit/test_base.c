/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/base: buffers, errors, descriptors, the clock's hook, digests, text.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/text.h"

static void
buffers_hold_up_to_their_maximum(void)
{
	struct buf b = BUF_INIT(5);

	CHECK_STR(buf_str(&b), "");
	CHECK_INT(buf_adds(&b, "abc"), 0);
	CHECK_INT(buf_addc(&b, 'd'), 0);
	CHECK_INT(buf_addf(&b, "%d", 5), 0);
	CHECK_STR(buf_str(&b), "abcd5");
	CHECK_INT(buf_addc(&b, 'x'), -1);
	CHECK(!buf_ok(&b));
	CHECK_INT(b.len, 5);
	buf_release(&b);
	buf_release(NULL);
}

static void
failed_buffers_stay_failed(void)
{
	struct buf b = BUF_INIT(5);

	CHECK_INT(buf_adds(&b, "too long"), -1);
	CHECK_INT(buf_adds(&b, "ok"), -1);
	CHECK_INT(buf_addf(&b, "%s", "ok"), -1);
	CHECK(buf_reserve(&b, 1) == NULL);
	CHECK_STR(buf_str(&b), "");
	buf_clear(&b);
	CHECK(buf_ok(&b));
	CHECK_INT(buf_adds(&b, "ok"), 0);
	CHECK_INT(buf_add(&b, "x", SIZE_MAX), -1);
	CHECK_STR(buf_str(&b), "ok");
	buf_release(&b);
}

static void
formatted_text_longer_than_the_stack_is_whole(void)
{
	struct buf b = BUF_INIT(100000);
	char big[3001];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	CHECK_INT(buf_addf(&b, "<%s>", big), 0);
	CHECK_INT(b.len, 3002);
	CHECK(b.data[0] == '<' && b.data[3001] == '>' && b.data[3002] == '\0');
	buf_release(&b);
}

static void
consumed_and_taken_contents_are_gone(void)
{
	struct buf b = BUF_INIT(100);
	char *s;

	(void)buf_adds(&b, "abcdef");
	buf_consume(&b, 2);
	CHECK_STR(buf_str(&b), "cdef");
	buf_consume(&b, 0);
	s = buf_take(&b);
	CHECK_STR(s, "cdef");
	free(s);
	CHECK_INT(b.len, 0);
	s = buf_take(&b);
	CHECK_STR(s, "");
	free(s);
	buf_consume(&b, 0);
	CHECK_INT(buf_adds(&b, "again"), 0);
	buf_release(&b);
}

static void
errors_are_filled_and_prefixed(void)
{
	struct err e = ERR_NONE;
	char big[1000];

	CHECK_INT(err_set(&e, "no %s", "luck"), -1);
	CHECK_STR(e.text, "no luck");
	err_prefix(&e, "'%s'", "x");
	CHECK_STR(e.text, "'x': no luck");
	CHECK_INT(err_sys(&e, ENOENT, "cannot open"), -1);
	CHECK_INT(e.sys, ENOENT);
	CHECK_STR(e.text, "cannot open: No such file or directory");
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	CHECK_INT(err_sys(&e, ENOENT, "%s", big), -1);
	CHECK_INT(strlen(e.text), ERR_TEXT_MAX - 1);
	err_prefix(&e, "%s", big);
	CHECK_INT(strlen(e.text), ERR_TEXT_MAX - 1);
	CHECK_INT(err_set(&e, "short"), -1);
	err_prefix(&e, "%s", big);
	CHECK_INT(strlen(e.text), ERR_TEXT_MAX - 1);
	CHECK_INT(err_set(NULL, "x"), -1);
	CHECK_INT(err_sys(NULL, 1, "x"), -1);
	err_prefix(NULL, "x");
}

static void
closing_keeps_errno_and_forgets(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd;

	errno = EPERM;
	fd_close(&fd);
	CHECK_INT(fd, -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(fcntl(copy, F_GETFD), -1);
	fd_close(&fd);
	CHECK_INT(fd, -1);
}

static void
datagrams_carry_descriptors(void)
{
	int pair[2], fds[3], got[3], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct err e;
	char data[16];
	size_t n;

	MUST(fd_socketpair(SOCK_SEQPACKET, true, pair, &e) == 0);
	fds[0] = fds[1] = fds[2] = null;
	CHECK_INT(fd_send(pair[0], "abc", 3, fds, 3), 0);
	CHECK_INT(fd_recv(pair[1], data, sizeof(data), got, 3, &n), 3);
	CHECK_INT(n, 3);
	for (size_t i = 0; i < n; i++) {
		CHECK((fcntl(got[i], F_GETFD) & FD_CLOEXEC) != 0);
		fd_close(&got[i]);
	}
	CHECK_INT(fd_send(pair[0], "x", 1, NULL, 0), 0);
	CHECK_INT(fd_recv(pair[1], data, sizeof(data), got, 3, &n), 1);
	CHECK_INT(n, 0);
	CHECK_INT(fd_recv(pair[1], data, sizeof(data), got, 3, &n), -1);
	CHECK_INT(errno, EAGAIN);
	fd_close(&pair[0]);
	CHECK_INT(fd_recv(pair[1], data, sizeof(data), got, 3, &n), 0);
	fd_close(&pair[1]);
	fd_close(&null);
}

static int
lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd;

	fd_close(&fd);
	return copy;
}

static void
surplus_and_oversized_leave_no_descriptor_open(void)
{
	int pair[2], fds[3], got[3], null = open("/dev/null", O_RDONLY | O_CLOEXEC), before;
	struct err e;
	char data[4];
	size_t n;

	MUST(fd_socketpair(SOCK_SEQPACKET, true, pair, &e) == 0);
	before = lowest_fd();
	fds[0] = fds[1] = fds[2] = null;
	CHECK_INT(fd_send(pair[0], "too long", 8, fds, 2), 0);
	CHECK_INT(fd_recv(pair[1], data, sizeof(data), got, 3, &n), -1);
	CHECK_INT(errno, EMSGSIZE);
	CHECK_INT(lowest_fd(), before);
	CHECK_INT(fd_send(pair[0], "abc", 3, fds, 3), 0);
	CHECK_INT(fd_recv(pair[1], data, sizeof(data), got, 1, &n), 3);
	CHECK_INT(n, 1);
	fd_close(&got[0]);
	CHECK_INT(lowest_fd(), before);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	fd_close(&null);
}

static void
memfds_cannot_be_changed(void)
{
	struct buf b = BUF_INIT(100);
	struct err e;
	int fd = fd_memfd_sealed("test", "hello", 5, &e);

	CHECK(fd >= 0);
	CHECK_INT(fd_read_rest(fd, &b, &e), 0);
	CHECK_STR(buf_str(&b), "hello");
	CHECK_INT(write(fd, "x", 1), -1);
	CHECK_INT(ftruncate(fd, 0), -1);
	CHECK_INT(ftruncate(fd, 100), -1);
	CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	buf_release(&b);
	fd_close(&fd);
}

static void
files_are_read_up_to_a_limit(void)
{
	struct buf b = BUF_INIT(4);
	struct err e;
	int fd = fd_memfd_sealed("test", "hello", 5, &e);

	CHECK_INT(fd_read_rest(fd, &b, &e), -1);
	CHECK(strstr(e.text, "longer") != NULL);
	fd_close(&fd);
	buf_release(&b);
	CHECK_INT(fd_read_file("test_base.none", &b, &e), -1);
	CHECK_INT(e.sys, ENOENT);
	CHECK(strstr(e.text, "'test_base.none'") != NULL);
	buf_release(&b);
}

static void
directories_are_made_with_their_parents(void)
{
	char dir[] = "test_base.XXXXXX", path[100];
	struct stat st;
	struct err e;
	int fd;

	MUST(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/a/b", dir);
	CHECK_INT(fd_mkdirs(path, 0700, &e), 0);
	CHECK_INT(fd_mkdirs(path, 0700, &e), 0);
	CHECK(stat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
	(void)snprintf(path, sizeof(path), "%s/a/f", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK_INT(fd_write_all(fd, "abc", 3), 0);
	CHECK_INT(fd_pwrite_all(fd, "X", 1, 1), 0);
	fd_close(&fd);
	(void)snprintf(path, sizeof(path), "%s/a/f/g", dir);
	CHECK_INT(fd_mkdirs(path, 0700, &e), -1);
	CHECK(e.text[0] != '\0');
	(void)snprintf(path, sizeof(path), "%s/a/f", dir);
	CHECK_INT(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/a/b", dir);
	CHECK_INT(rmdir(path), 0);
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	CHECK_INT(rmdir(path), 0);
	CHECK_INT(rmdir(dir), 0);
}

static void
the_clock_moves_when_told(void)
{
	int64_t mono = clock_mono_ms(), wall = clock_wall_ms();

	clock_shift_ms(100000000);
	CHECK(clock_mono_ms() - mono >= 100000000 && clock_mono_ms() - mono < 100060000);
	CHECK(clock_wall_ms() - wall >= 100000000);
	clock_shift_ms(5);
	CHECK(clock_mono_ms() - mono >= 100000005);
	clock_shift_ms(0);
	CHECK(clock_mono_ms() - mono < 60000);
	CHECK(clock_mono_us() / 1000 - clock_mono_ms() <= 1);
}

static void
digests_agree_with_the_standards(void)
{
	static const struct { enum digest_algo algo; const char *want; } v[] = {
		{ DIGEST_MD5, "900150983cd24fb0d6963f7d28e17f72" },
		{ DIGEST_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ DIGEST_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ DIGEST_SHA512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
		    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" },
	};
	uint8_t raw[DIGEST_SIZE_MAX];
	struct buf hex = BUF_INIT(200);
	struct digest *d;
	char sha[65];

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		d = digest_new(v[i].algo);
		if (d == NULL)		/* FIPS has no MD5 */
			continue;
		digest_add(d, "a", 1);
		digest_add(d, "", 0);
		digest_add(d, "bc", 2);
		digest_final(d, raw);
		digest_free(d);
		buf_clear(&hex);
		text_hex(&hex, raw, digest_size(v[i].algo));
		CHECK_STR(buf_str(&hex), v[i].want);
	}
	digest_sha256_hex("abc", 3, sha);
	CHECK_STR(sha, v[2].want);
	CHECK(digest_new(DIGEST_NONE) == NULL);
	CHECK_STR(digest_name(DIGEST_SHA256), "sha256");
	digest_free(NULL);
	buf_release(&hex);
}

static const char *
esc(const char *s, size_t n, size_t max)
{
	static struct buf b = BUF_INIT(1000);

	buf_clear(&b);
	text_esc(&b, s, n, max);
	return buf_str(&b);
}

static void
h1_log_values_hold_no_separators(void)
{
	char small[8];

	CHECK_STR(esc("", 0, 10), "-");
	CHECK_STR(esc("abc", 3, 10), "abc");
	CHECK_STR(esc("a b=\"\\\n", 7, 10), "a\\x20b\\x3d\\x22\\x5c\\x0a");
	CHECK_STR(esc("\xc3\xa9", 2, 10), "\xc3\xa9");
	CHECK_STR(esc("\xc2\x9b\xff\0", 4, 10), "\\xc2\\x9b\\xff\\x00");
	CHECK_STR(esc("abcdef", 6, 3), "abc...");
	CHECK_STR(esc("ab\xc3\xa9", 4, 3), "ab\\xc3...");
	CHECK_STR(esc("\x1b[2J", 4, 10), "\\x1b[2J");
	CHECK_STR(text_esc_to(small, sizeof(small), NULL), "-");
	CHECK(strlen(text_esc_to(small, sizeof(small), "\n\n\n\n\n\n\n\n")) < sizeof(small));
}

static const char *
json(const char *s, size_t n)
{
	static struct buf b = BUF_INIT(1000);

	buf_clear(&b);
	text_json(&b, s, n);
	return buf_str(&b);
}

static void
json_strings_are_whole_and_safe(void)
{
	CHECK_STR(json("a\"\\\n\x7f", 5), "\"a\\\"\\\\\\u000a\\u007f\"");
	CHECK_STR(json("\0", 1), "\"\\u0000\"");
	CHECK_STR(json("\xff\xc3\xa9", 3), "\"\xef\xbf\xbd\xc3\xa9\"");
	CHECK_STR(json("", 0), "\"\"");
}

static void
percent_and_hex(void)
{
	struct buf b = BUF_INIT(100);
	uint8_t raw[3];
	char id[40];

	text_percent(&b, "aZ09-._~ /%\xc3", 12);
	CHECK_STR(buf_str(&b), "aZ09-._~%20%2F%25%C3");
	buf_clear(&b);
	text_hex(&b, "\x00\xff\x10", 3);
	CHECK_STR(buf_str(&b), "00ff10");
	CHECK_INT(text_unhex("00fF1a", 6, raw, 3), 0);
	CHECK(raw[0] == 0 && raw[1] == 0xff && raw[2] == 0x1a);
	CHECK_INT(text_unhex("00ff1", 5, raw, 3), -1);
	CHECK_INT(text_unhex("00ff1g", 6, raw, 3), -1);
	text_random_hex(id, 32);
	CHECK_INT(strlen(id), 32);
	CHECK_INT(strspn(id, "0123456789abcdef"), 32);
	text_random_hex(id, 7);
	CHECK_INT(strlen(id), 7);
	buf_release(&b);
}

/* The published vectors of FNV-1a: movers of two versions must agree on who owns an asset. */
static void
the_hash_of_a_text_never_changes(void)
{
	CHECK(text_hash(TEXT_HASH, "", 0) == 0xcbf29ce484222325u);
	CHECK(text_hash(TEXT_HASH, "a", 1) == 0xaf63dc4c8601ec8cu);
	CHECK(text_hash(TEXT_HASH, "foobar", 6) == 0x85944171f73967e8u);
	CHECK(text_hash(text_hash(TEXT_HASH, "foo", 3), "bar", 3) == 0x85944171f73967e8u);
}

static void
utf8_is_checked_strictly(void)
{
	static const char *const bad[] = {
		"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xc3", "\xe4\xbd", "\xf0\x9f\x98", "a\xff", "\xc3(", "\xe4\xbd(", "\xfe",
	};
	static const char *const good[] = { "", "a", "\xc3\xa9", "\xe4\xbd\xa0", "\xf0\x9f\x98\x80",
	    "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!text_is_utf8(bad[i], strlen(bad[i])));
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK(text_is_utf8(good[i], strlen(good[i])));
	CHECK(text_is_utf8("a\0b", 3));
}

static void
globs_match_the_whole_text(void)
{
	CHECK(text_glob("S2_*", "S2_MSI"));
	CHECK(text_glob("*", ""));
	CHECK(text_glob("*", "a/b/c"));
	CHECK(text_glob("", ""));
	CHECK(text_glob("a?c", "abc"));
	CHECK(text_glob("[a-c]x", "bx"));
	CHECK(text_glob("[!a-c]x", "dx"));
	CHECK(text_glob("[]x]", "]"));
	CHECK(text_glob("a\\*b", "a*b"));
	CHECK(text_glob("*a*b*", "xxaxxbxx"));
	CHECK(text_glob("**", "x"));
	CHECK(!text_glob("S2", "S2-secret"));
	CHECK(!text_glob("S2", "s2"));
	CHECK(!text_glob("S2", "S2 "));
	CHECK(!text_glob("S2", "S"));
	CHECK(!text_glob("", "a"));
	CHECK(!text_glob("a?c", "ac"));
	CHECK(!text_glob("[a-c]x", "dx"));
	CHECK(!text_glob("a\\*b", "axb"));
	CHECK(!text_glob("?", ""));
}

/* What a rule forbids is forbidden in every language. */
static void
globs_match_characters_and_not_bytes(void)
{
	CHECK(text_glob("caf?", "caf\xc3\xa9"));
	CHECK(!text_glob("caf??", "caf\xc3\xa9"));
	CHECK(text_glob("?\xc3\xa9*?", "\xe2\x82\xac\xc3\xa9\xf0\x9f\x8c\x8d"));
	CHECK(text_glob("[!a]x", "\xc3\xa9x"));
	CHECK(text_glob("[\xc3\xa0-\xc3\xbc]", "\xc3\xb6"));
	CHECK(!text_glob("[\xc3\xa0-\xc3\xaf]", "\xc3\xb6"));
	CHECK(!text_glob("[\xc3\xa9]*", "\xc3\xb6x"));		/* they begin with the same byte */
	CHECK(!text_glob("*[\xa9]", "\xc3\xa9"));
	/* bytes that are no UTF-8 are themselves */
	CHECK(text_glob("a?\xff[\xfe]", "a\xff\xff\xfe"));
	CHECK(!text_glob("\xff", "\xc3\xbf"));
}

static void
a_backslash_takes_the_next_character_also_in_brackets(void)
{
	CHECK(text_glob("[\\]]x", "]x"));
	CHECK(!text_glob("[\\]]x", "\\x"));
	CHECK(text_glob("[a\\-c]", "-") && !text_glob("[a\\-c]", "b"));
	CHECK(text_glob("[\\\\]", "\\"));
	CHECK(text_glob("\\\xc3\xa9", "\xc3\xa9"));
}

static void
the_text_is_never_the_pattern(void)
{
	CHECK(!text_glob("S2", "*"));
	CHECK(!text_glob("S2", "S?"));
	CHECK(!text_glob("abc", "[a]bc"));
	CHECK(text_glob("*", "*"));
	CHECK(!text_glob("a*c", "a*"));
}

static void
broken_patterns_end(void)
{
	CHECK(text_glob("[", "["));
	CHECK(text_glob("[a", "[a"));
	CHECK(!text_glob("[a", "a"));
	CHECK(!text_glob("[!", "x"));
	CHECK(text_glob("\\", "\\"));
	CHECK(!text_glob("[a-", "a"));
	CHECK(!text_glob("[", ""));
	CHECK(!text_glob("*[", "abc"));
}

static void
h7_hostile_patterns_cost_no_more_than_their_product(void)
{
	char pattern[2001], text[2001];
	int64_t start = clock_mono_ms();

	for (size_t i = 0; i < 2000; i++)
		pattern[i] = i % 2 == 0 ? '*' : 'a';
	pattern[2000] = '\0';
	memset(text, 'a', 2000);
	text[1999] = 'b';
	text[2000] = '\0';
	CHECK(!text_glob(pattern, text));
	memset(pattern, '*', 2000);
	pattern[1999] = 'c';
	CHECK(!text_glob(pattern, text));
	CHECK(clock_mono_ms() - start < 5000);	/* exponential would be years */
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(buffers_hold_up_to_their_maximum),
		UNIT(failed_buffers_stay_failed),
		UNIT(formatted_text_longer_than_the_stack_is_whole),
		UNIT(consumed_and_taken_contents_are_gone),
		UNIT(errors_are_filled_and_prefixed),
		UNIT(closing_keeps_errno_and_forgets),
		UNIT(datagrams_carry_descriptors),
		UNIT(surplus_and_oversized_leave_no_descriptor_open),
		UNIT(memfds_cannot_be_changed),
		UNIT(files_are_read_up_to_a_limit),
		UNIT(directories_are_made_with_their_parents),
		UNIT(the_clock_moves_when_told),
		UNIT(digests_agree_with_the_standards),
		UNIT(h1_log_values_hold_no_separators),
		UNIT(json_strings_are_whole_and_safe),
		UNIT(percent_and_hex),
		UNIT(the_hash_of_a_text_never_changes),
		UNIT(utf8_is_checked_strictly),
		UNIT(globs_match_the_whole_text),
		UNIT(globs_match_characters_and_not_bytes),
		UNIT(a_backslash_takes_the_next_character_also_in_brackets),
		UNIT(the_text_is_never_the_pattern),
		UNIT(broken_patterns_end),
		UNIT(h7_hostile_patterns_cost_no_more_than_their_product),
	};

	return unit_run("base", tests, ARRAY_LEN(tests));
}
