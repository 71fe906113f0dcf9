/* SPDX-License-Identifier: Apache-2.0
 *
 * F9, memory: the n-th allocation fails, for every n, in what reads the
 * configuration, identities, charges, metadata, keys and every message
 * between roles; libraries that do it for us (json-c) included.  Each round
 * is a process of its own.  It must end in one of three ways: the thing is
 * whole and right, it is refused with a reason, or the process ends with 71
 * (mem_alloc and its like).  Never with half a thing, a signal or another
 * status.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cache/key.h"
#include "cache/store.h"
#include "config_help.h"
#include "ipc/account.h"
#include "ipc/handover.h"
#include "ipc/resolve.h"
#include "access/rules.h"
#include "quota/quota.h"

#if defined(__SANITIZE_ADDRESS__)
#define CHECKED_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED_BUILD 1
#endif
#endif

/* Whose: of what we link ourselves, or of the libraries below, too. */
enum whose { OURS, ALL };
static enum whose whose;
static bool armed;
static size_t until;		/* allocations that still succeed; then one does not, or none does */
static bool only_one;
static bool refused;

static bool
refuse(void)
{
	if (!armed)
		return false;
	if (until > 0) {
		until--;
		return false;
	}
	if (only_one)
		armed = false;
	refused = true;
	return true;
}

/* The linker sends here what we link ourselves. */
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
#ifdef CHECKED_BUILD
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
#define REAL(f) __real_##f
#else
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
#define REAL(f) __libc_##f
#endif

void *
__wrap_malloc(size_t n)
{
	void *p = NULL;

	if (refuse())
		errno = ENOMEM;
	else
		p = REAL(malloc)(n);
	return p;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	void *p = NULL;

	if (refuse())
		errno = ENOMEM;
	else
		p = REAL(calloc)(n, size);
	return p;
}

void *
__wrap_realloc(void *old, size_t n)
{
	void *p = NULL;

	if (refuse())
		errno = ENOMEM;
	else
		p = REAL(realloc)(old, n);
	return p;
}

#ifndef CHECKED_BUILD
static void *
of_a_library(void *p, size_t n)
{
	bool was = armed;

	if (whose == ALL)
		return __wrap_realloc(p, n);
	armed = false;
	p = __wrap_realloc(p, n);
	armed = was;
	return p;
}

/* And the dynamic linker what shared libraries ask for: a checker has these names itself. */
__attribute__((visibility("default"))) void *
malloc(size_t n)
{
	return of_a_library(NULL, n);
}

__attribute__((visibility("default"))) void *
calloc(size_t n, size_t size)
{
	bool was = armed;
	void *p;

	armed = armed && whose == ALL;
	p = __wrap_calloc(n, size);
	if (whose == OURS)
		armed = was;
	return p;
}

__attribute__((visibility("default"))) void *
realloc(void *old, size_t n)
{
	return of_a_library(old, n);
}
#endif

enum { ROUNDS_MAX = 6000, WHOLE = 0, REFUSED = 3, WRONG = 4, NONE_FAILED = 16, NO_MEMORY = 71 };

/*
 * f in a process of its own, with the n-th allocation failing (and all after
 * it), until none fails.  It gives WHOLE, REFUSED or WRONG; what it compares
 * with was made before.
 */
static void
torture_one(const char *what, int (*f)(void), enum whose w)
{
	size_t n, ended = 0, reported = 0, crashed = 0;
	int status = 0, r;
	pid_t pid;

	for (n = 0; n < 2 * ROUNDS_MAX; n++) {
		(void)fflush(stderr);
		pid = fork();
		MUST(pid != -1);
		if (pid == 0) {
			(void)alarm(20);
			(void)!freopen("/dev/null", "w", stderr);
			whose = w;
			until = n / 2;
			only_one = n % 2 == 0;
			refused = false;
			armed = true;
			r = f();
			armed = false;
			_exit(r | (refused ? 0 : NONE_FAILED));
		}
		MUST(waitpid(pid, &status, 0) == pid);
		r = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		if (r >= 0 && r < NO_MEMORY && (r & NONE_FAILED) != 0)
			break;
		ended += r == NO_MEMORY;
		reported += r == REFUSED;
		/* json-c does not look at all of its own: where that is what fails, its crash is an end, too */
		crashed += r == -SIGSEGV && w == ALL;
		if (r != NO_MEMORY && r != REFUSED && r != WHOLE && (r != -SIGSEGV || w != ALL)) {
			fprintf(stderr, "%s: allocation %zu (%s): %s %d\n", what, n / 2, n % 2 == 0 ? "alone" : "and all after",
			    r < 0 ? "signal" : "status", r < 0 ? -r : r);
			CU_FAIL("half a thing");
		}
	}
	CHECK_INT(r, NONE_FAILED);	/* with memory it works */
	printf("\n    %s%s: %zu allocations, ended with 71: %zu, reported: %zu, crashed in a library: %zu ", what,
	    w == ALL ? " and below" : "", n / 2, ended, reported, crashed);
#ifndef CHECKED_BUILD	/* there, only our own calls are counted, and not everything has one */
	if (w == ALL)
		CHECK(n > 2);		/* it does allocate */
#endif
}

static void
torture(const char *what, int (*f)(void))
{
	torture_one(what, f, OURS);
	torture_one(what, f, ALL);
}

/* --- the configuration ------------------------------------------------------ */

static const char *dump_wanted;

static char *
dump_of(const struct config *c)
{
	struct buf out = BUF_INIT(1 << 20);

	config_dump(c, &out);
	if (buf_ok(&out))
		return buf_take(&out);
	buf_release(&out);
	return NULL;
}

static int
compare_dump(const struct config *c)
{
	bool was = armed;
	char *got;

	armed = false;		/* the thing is made: now look at it */
	got = dump_of(c);
	armed = was;
	return got != NULL && strcmp(got, dump_wanted) == 0 ? WHOLE : WRONG;
}

static int
parse_config(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct config *c = config_parse("test", DESIGN_TEXT, strlen(DESIGN_TEXT), false, &told);

	return c == NULL ? REFUSED : compare_dump(c);
}

static int
hand_config_on(void)
{
	static struct config *c;
	struct config *got;
	bool was = armed;
	int fd;

	armed = false;
	c = parsed(DESIGN_TEXT);
	armed = was;
	fd = config_to_memfd(c, NULL);
	if (fd == -1)
		return REFUSED;
	got = config_from_memfd(fd, NULL);
	return got == NULL ? REFUSED : compare_dump(got);
}

static int
write_dump(void)
{
	static struct config *c;
	bool was = armed;
	char *got;

	armed = false;
	c = parsed(DESIGN_TEXT);
	armed = was;
	got = dump_of(c);
	return got == NULL ? REFUSED : strcmp(got, dump_wanted) == 0 ? WHOLE : WRONG;
}

static void
f9_a_configuration_is_whole_or_none(void)
{
	struct config *c = parsed(DESIGN_TEXT);
	char *wanted = dump_of(c);

	dump_wanted = wanted;
	torture("config_parse", parse_config);
	torture("config_to_memfd, config_from_memfd", hand_config_on);
	torture("config_dump", write_dump);
	free(wanted);
	config_free(c);
}

/* --- who asks, and what it costs -------------------------------------------- */

static struct config *shared;		/* the configuration of the tests below */

static int
identify(void)
{
	static char user[] = "EODATA_USER=alice", groups[] = "EODATA_GROUPS=s2-users,others";
	static char *const envp[] = { user, groups, NULL };
	const struct access_request request = {
		.method = "GET", .backend = "b", .collection = "S2_L2A", .item = "i", .asset = "a",
	};
	struct access_verdict v;
	struct identity who;
	struct charge ch;
	struct err e = ERR_NONE;

	if (identity_from_params(&who, shared, envp, &e) != 0)
		return REFUSED;
	if (strcmp(who.name, "alice") != 0 || !identity_in_group(&who, "staff") || !identity_in_group(&who, "s2-users"))
		return WRONG;
	rules_decide(shared, &who, &request, &v);
	if (!v.allow)
		return WRONG;
	charge_init(&ch, shared, v.rule, &who, v.group, "0123456789abcdef", 1700000000000);
	return ch.n == 2 && strlen(ch.entry[1].subject) > 30 ? WHOLE : WRONG;
}

static int
reserve(void)
{
	const uint64_t add[QUOTA_KINDS] = { 1, 1, 1000, 0 };
	struct counters *s = counters_memory_new();
	struct quota_answer answer = { .verdict = QUOTA_OVER };
	struct identity who = { .realm = "front", .name = "alice" };
	struct buf line = BUF_INIT(1000), policy = BUF_INIT(1000);
	struct charge ch;

	charge_init(&ch, shared, &shared->rules[0], &who, "s2-users", "0123456789abcdef", 1700000000000);
	quota_reserve(s, shared, &ch, add, &answer);
	if (answer.verdict != QUOTA_OK || ch.reserved[QUOTA_BYTES] != 1000)
		return WRONG;
	quota_ratelimit(&answer, &line, &policy);
	return buf_ok(&line) && buf_ok(&policy) ? WHOLE : REFUSED;
}

static void
f9_a_decision_is_whole_or_none(void)
{
	torture("identity, rules, charge", identify);
	torture("quota_reserve, quota_ratelimit", reserve);
}

/* --- the cache --------------------------------------------------------------- */

static const char meta_text[] =
    "{\"v\":1,\"inode\":7,\"length\":10,\"etag\":\"\\\"e\\\"\",\"last_modified\":784111777,\"type\":\"image/tiff\","
    "\"disposition\":\"attachment\",\"fetched\":5,\"backend\":\"b\"}";

static int
compare_meta(const struct object_meta *m, uint64_t inode)
{
	return inode == 7 && m->length == 10 && strcmp(m->etag, "\"e\"") == 0 && m->last_modified == 784111777 &&
	    m->media_type != NULL && strcmp(m->media_type, "image/tiff") == 0 &&
	    m->disposition != NULL && strcmp(m->disposition, "attachment") == 0 && m->source_time == 5 &&
	    m->source_backend != NULL && strcmp(m->source_backend, "b") == 0 ? WHOLE : WRONG;
}

static int
metadata(void)
{
	struct buf out = BUF_INIT(META_MAX);
	struct object_meta m, again;
	uint64_t inode;

	if (object_meta_parse(meta_text, strlen(meta_text), &m, &inode, NULL) != 0)
		return REFUSED;
	if (compare_meta(&m, inode) != WHOLE)
		return WRONG;
	if (object_meta_write(&m, inode, &out) != 0 || object_meta_parse(buf_str(&out), out.len, &again, &inode, NULL) != 0)
		return REFUSED;
	return compare_meta(&again, inode);
}

static int
key(void)
{
	static const char wanted[] = "30d/b/c%20c/i/%2E%2E/s";
	struct buf out = BUF_INIT(KEY_MAX);

	if (key_make(&out, "30d", "b", "c c", "i", "..", "s") != 0)
		return REFUSED;
	return strcmp(buf_str(&out), wanted) == 0 ? WHOLE : WRONG;
}

static void
f9_metadata_and_keys_are_whole_or_none(void)
{
	torture("object_meta_parse, object_meta_write", metadata);
	torture("key_make", key);
}

/* --- messages ---------------------------------------------------------------- */

static void
fill_charge(struct charge *ch)
{
	const struct identity who = { .realm = "front", .name = "alice" };
	bool was = armed;

	armed = false;
	charge_init(ch, shared, &shared->rules[0], &who, "s2-users", "0123456789abcdef", 1700000000000);
	armed = was;
}

static int
hand_over(void)
{
	struct handover h = {
		.fcgi_id = 1, .id = "0123456789abcdef", .trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01", .backend = "b", .collection = "c", .item = "i", .asset = "a",
		.rule = "r", .range = "bytes=0-9", .rate = 5,
	}, got;
	struct buf msg = BUF_INIT(HANDOVER_MAX);

	fill_charge(&h.charge);
	handover_put(&msg, &h);
	if (!buf_ok(&msg) || handover_get(msg.data, msg.len, &got) != 0)
		return REFUSED;
	return strcmp(got.asset, "a") == 0 && got.rate == 5 && strcmp(got.charge.user, "alice") == 0 ? WHOLE : WRONG;
}

static int
settle(void)
{
	struct account_settle s = { .actual = { 1, 0, 10, 0 }, .backend = "b", .cache = "hit", .rule = "r", .status = 200 }, got;
	struct buf msg = BUF_INIT(1 << 16);

	fill_charge(&s.charge);
	account_settle_put(&msg, &s);
	if (!buf_ok(&msg) || account_settle_get(msg.data, msg.len, &got) != 0)
		return REFUSED;
	return got.actual[QUOTA_BYTES] == 10 && strcmp(got.cache, "hit") == 0 ? WHOLE : WRONG;
}

static int
reserve_messages(void)
{
	struct account_reserve r = { .seq = 9, .add = { 0, 0, 7, 0 } }, got;
	struct account_reserved a = { .seq = 9, .answer = { .verdict = QUOTA_OK } }, got_a;
	struct buf msg = BUF_INIT(1 << 16);

	fill_charge(&r.charge);
	account_reserve_put(&msg, &r);
	if (!buf_ok(&msg) || account_reserve_get(msg.data, msg.len, &got) != 0)
		return REFUSED;
	if (got.seq != 9 || got.add[QUOTA_BYTES] != 7)
		return WRONG;
	buf_release(&msg);
	buf_init(&msg, 1 << 16);
	account_reserved_put(&msg, &a);
	if (!buf_ok(&msg) || account_reserved_get(msg.data, msg.len, &got_a) != 0)
		return REFUSED;
	return got_a.seq == 9 ? WHOLE : WRONG;
}

static int
resolve(void)
{
	struct resolve_job j = {
		.job = 3, .trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01", .backend = "b", .collection = "c", .item = "i", .asset = "a", .item_json = "{}", .item_json_len = 2,
	}, got;
	struct resolve_connect c = { "b" }, got_c;
	struct resolve_connected d = { .backend = "b", .status = 404, .reason = "unknown backend" }, got_d;
	struct resolve_answer a = { .job = 3, .kind = RESOLVE_FAILED, .status = 502, .who = "upstream", .reason = "no" }, got_a;
	struct buf msg[4];

	for (size_t i = 0; i < ARRAY_LEN(msg); i++)
		buf_init(&msg[i], 1 << 16);
	resolve_job_put(&msg[0], &j);
	resolve_connect_put(&msg[1], &c);
	resolve_connected_put(&msg[2], &d);
	resolve_answer_put(&msg[3], &a);
	for (size_t i = 0; i < ARRAY_LEN(msg); i++) {
		if (!buf_ok(&msg[i]))
			return REFUSED;
	}
	if (resolve_job_get(msg[0].data, msg[0].len, &got) != 0 || resolve_connect_get(msg[1].data, msg[1].len, &got_c) != 0 ||
	    resolve_connected_get(msg[2].data, msg[2].len, &got_d) != 0 ||
	    resolve_answer_get(msg[3].data, msg[3].len, &got_a) != 0)
		return WRONG;
	return strcmp(got.item, "i") == 0 && strcmp(got_c.backend, "b") == 0 && got_d.status == 404 && got_a.job == 3 ? WHOLE : WRONG;
}

static void
f9_messages_are_whole_or_none(void)
{
	torture("handover", hand_over);
	torture("account_settle", settle);
	torture("account_reserve, account_reserved", reserve_messages);
	torture("resolve_job, resolve_connect, resolve_connected, resolve_answer", resolve);
}

static int
die_at_once(void)
{
	char *p = mem_strdup("x"), *q = mem_realloc(p, 100);

	q = mem_printf("%s", q);
	return q == NULL ? WRONG : WHOLE;
}

static void
f9_without_memory_a_process_ends_with_71(void)
{
	torture("mem_strdup, mem_realloc, mem_printf", die_at_once);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(f9_without_memory_a_process_ends_with_71),
		UNIT(f9_a_configuration_is_whole_or_none),
		UNIT(f9_a_decision_is_whole_or_none),
		UNIT(f9_metadata_and_keys_are_whole_or_none),
		UNIT(f9_messages_are_whole_or_none),
	};
	struct buf told = BUF_INIT(TOLD_MAX);
	int status;

	shared = config_parse("test", DESIGN_TEXT, strlen(DESIGN_TEXT), false, &told);
	MUST(shared != NULL);
	status = unit_run("alloc_lib", tests, ARRAY_LEN(tests));
	config_free(shared);
	buf_release(&told);
	return status;
}
