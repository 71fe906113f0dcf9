/* SPDX-License-Identifier: Apache-2.0
 *
 * F9, memory (see torture.h): what reads the configuration, identities,
 * charges, metadata, keys, objects, and every message between roles; texts
 * for people and for clients.  lib/net is in test_alloc_net.c.
 */
#include "torture.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/fd.h"
#include "cache/key.h"
#include "cache/lease.h"
#include "cache/memory.h"
#include "cache/store.h"
#include "config_help.h"
#include "ipc/account.h"
#include "ipc/handover.h"
#include "ipc/resolve.h"
#include "ipc/slots.h"
#include "access/rules.h"
#include "quota/quota.h"
#include "stat/scoreboard.h"
#include "wire/problem.h"

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
	bool was = torture_pause();
	char *got;

	got = dump_of(c);
	torture_go_on(was);
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
	bool was = torture_pause();
	int fd;

	c = parsed(DESIGN_TEXT);
	torture_go_on(was);
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
	bool was = torture_pause();
	char *got;

	c = parsed(DESIGN_TEXT);
	torture_go_on(was);
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

/* --- bytes --------------------------------------------------------------------- */

static int
add_up(void)
{
	static const uint8_t wanted[4] = { 0xba, 0x78, 0x16, 0xbf };	/* FIPS 180-2: "abc" */
	uint8_t sum[DIGEST_SIZE_MAX];
	struct digest *d = digest_new(DIGEST_SHA256);

	if (d == NULL)
		return WRONG;
	digest_add(d, "abc", 3);
	digest_final(d, sum);
	digest_free(d);
	return memcmp(sum, wanted, sizeof(wanted)) == 0 ? WHOLE : WRONG;
}

static int
read_file(void)
{
	struct buf b = BUF_INIT(1 << 20);
	struct err e = ERR_NONE;
	int rc;

	if (fd_read_file("/proc/self/status", &b, &e) == -1)
		return e.text[0] != '\0' ? REFUSED : WRONG;
	rc = b.len > 500 && b.data[b.len - 1] == '\n' && strstr(b.data, "nonvoluntary_ctxt_switches") != NULL ? WHOLE : WRONG;
	buf_release(&b);
	return rc;
}

static void
f9_bytes_are_added_up_and_read_whole(void)
{
	torture("digest_new, add, final", add_up);
	torture("fd_read_file", read_file);
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

static char place[64];

static struct config *
cache_config(void)
{
	static struct config c;
	static char path[96], spool[96];

	(void)snprintf(path, sizeof(path), "%s/cache", place);
	(void)snprintf(spool, sizeof(spool), "%s/cache/spool", place);
	c.cache_path = path;
	c.dir_spool = spool;
	return &c;
}

static const char object_text[] = "0123456789";

/* The object as anybody finds it: WHOLE, REFUSED when there is none, WRONG for anything else. */
static int
find(const char *key)
{
	char text[sizeof(object_text)] = "";
	struct store *s = store_directory_open(cache_config(), false, NULL);
	struct store_object o = { .path = NULL };
	struct err e = ERR_NONE;
	int rc = REFUSED, fd;

	if (s == NULL)
		return REFUSED;
	if (s->ops->lookup(s, key, &o, &e) == STORE_HIT) {
		fd = s->ops->open(s, &o, &e);
		if (fd != -1)
			rc = pread(fd, text, sizeof(text), 0) == (ssize_t)strlen(object_text) && strcmp(text, object_text) == 0 &&
			    o.meta.length == strlen(object_text) && o.meta.etag != NULL && strcmp(o.meta.etag, "\"e\"") == 0 &&
			    o.meta.media_type != NULL && strcmp(o.meta.media_type, "image/tiff") == 0 && o.path != NULL ? WHOLE : WRONG;
		(void)close(fd);
		store_object_release(&o);
	}
	s->ops->free(s);
	return rc;
}

static int
look_up(void)
{
	return find("30d/b/c/i/there");
}

static int
put(const char *key)
{
	struct object_meta m = { .length = strlen(object_text), .etag = (char *)(uintptr_t)"\"e\"", .last_modified = 784111777,
	    .media_type = (char *)(uintptr_t)"image/tiff" };
	struct store *s = store_directory_open(cache_config(), true, NULL);
	struct store_fill *f = NULL;
	int fd = s == NULL ? -1 : s->ops->spool_open(s, NULL), rc = REFUSED;

	if (fd != -1 && pwrite(fd, object_text, strlen(object_text), 0) == (ssize_t)strlen(object_text))
		f = s->ops->fill_begin(s, key, fd, &m, NULL);
	if (f != NULL) {
		s->ops->fill_advance(f, m.length, false);
		s->ops->fill_finish(f, &m);
		rc = s->ops->fill_state(f, NULL) == FILL_DONE ? WHOLE : REFUSED;
		s->ops->fill_free(f);
	}
	fd_close(&fd);
	if (s != NULL)
		s->ops->free(s);
	return rc;
}

/* Whatever it said: what is to be found afterwards is whole, or nothing. */
static int
fill(void)
{
	int rc = put("30d/b/c/i/new"), found;
	bool was = torture_pause();

	found = find("30d/b/c/i/new");
	torture_go_on(was);
	return rc == WHOLE && found != WHOLE ? WRONG : found == WRONG ? WRONG : rc;
}

static int
remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void
f9_an_object_is_found_whole_or_not_at_all(void)
{
	(void)snprintf(place, sizeof(place), "/tmp/eo-alloc-XXXXXX");
	MUST(mkdtemp(place) != NULL && mkdir(cache_config()->cache_path, 0700) == 0);
	MUST(put("30d/b/c/i/there") == WHOLE);
	torture("store_open, lookup, open", look_up);
	torture("store_open, spool_open, fill", fill);
	CHECK_INT(nftw(place, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* --- texts ------------------------------------------------------------------- */

static struct scoreboard *board;

static int
texts_of_the_scoreboard(void)
{
	struct buf json = BUF_INIT(1 << 20), prometheus = BUF_INIT(1 << 20);
	bool was;
	int rc;

	scoreboard_json(board, &json);
	scoreboard_prometheus(board, &prometheus);
	if (!buf_ok(&json) || !buf_ok(&prometheus))
		return REFUSED;
	was = torture_pause();
	rc = json.data[0] == '{' && strchr("}\n", json.data[json.len - 1]) != NULL && strstr(json.data, "\"restarts_total\"") != NULL &&
	    strstr(prometheus.data, "eodata_proxy_") != NULL && prometheus.data[prometheus.len - 1] == '\n' ? WHOLE : WRONG;
	torture_go_on(was);
	return rc;
}

static const struct problem problem_429 = {
	.status = 429, .source = PROBLEM_QUOTA, .type = "over-quota", .detail = "over the limit of 5 requests per day",
	.id = "0123456789abcdef", .retry_after_s = 7, .cache_status = "fwd=miss", .headers = "X-Y: z\r\n",
};

static int
problem(void)
{
	const struct quota_answer over = { .verdict = QUOTA_OVER, .set = "standard", .limit = 5, .used = 5, .frees_in_s = 7 };
	struct buf out = BUF_INIT(PROBLEM_MAX), members = BUF_INIT(1000);
	struct problem p = problem_429;

	quota_members(&over, &members);
	if (!buf_ok(&members))
		return REFUSED;
	p.members = buf_str(&members);
	problem_write(&out, &p, false);
	if (!buf_ok(&out))
		return REFUSED;
	return strncmp(out.data, "Status: 429 ", 12) == 0 && strstr(out.data, "\r\nRetry-After: 7\r\n") != NULL &&
	    strstr(out.data, "\"ticket\":\"0123456789abcdef\"") != NULL && out.data[out.len - 2] == '}' ? WHOLE : WRONG;
}

static void
f9_texts_are_whole_or_told(void)
{
	int fd = -1;

	board = scoreboard_create(&fd, NULL);
	MUST(board != NULL);
	torture("scoreboard_json, scoreboard_prometheus", texts_of_the_scoreboard);
	torture("quota_members, problem_write", problem);
	scoreboard_detach(board);
	fd_close(&fd);
}

/* --- what is shared ------------------------------------------------------------ */

static int
take_slots(void)
{
	bool was = torture_pause();
	int fd = memfd_create("slots", MFD_CLOEXEC), slot;
	struct provider_slots *s;

	torture_go_on(was);
	s = provider_slots_open(fd, NULL);
	if (s == NULL)
		return REFUSED;
	slot = provider_slots_take(s, "b", 1);
	if (slot == -1 || provider_slots_take(s, "b", 1) != -1 || provider_slots_used(s, "b") != 1)
		return WRONG;
	provider_slots_give(s, slot);
	slot = provider_slots_take(s, "b", 1);
	provider_slots_free(s);
	fd_close(&fd);
	return slot == -1 ? WRONG : WHOLE;
}

static int
open_counters(void)
{
	static char first[] = "/nonexistent/a", second[] = "[::1]:11211";
	static char *servers[] = { first, second };
	const struct strs list = { servers, 2 };
	struct counters *s = counters_memcached_new(&list, 10, NULL);
	struct counter_op op = { .key = "eo:0123456789abcdef", .add = 1, .ttl_s = 5 };
	int rc;

	if (s == NULL)
		return REFUSED;
	rc = s->run(s, &op, 1) == -1 ? WHOLE : WRONG;		/* nobody is there */
	s->free(s);
	return rc;
}

/* What is kept under one name is found there, or it was not kept. */
static int
remember(void)
{
	static char etag[] = "\"a\"", type[] = "image/tiff";
	const struct memory_entry e = { .state = MEMORY_PRESENT, .until_s = 1795343999, .store_etag = etag,
		.meta = { .length = 7, .etag = etag, .media_type = type, .last_modified = -1, .source_time = 5 } };
	struct seal *seal = seal_new("0123456789abcdef0123456789abcdef", "https://s3.example.org b p/");
	struct buf value = BUF_INIT(SEAL_VALUE_MAX);
	struct memory_entry got;
	char name[SEAL_NAME_SIZE];
	ssize_t n;

	seal_name(seal, SEAL_OBJECT, "30d/b/c/i/a", name);
	if (memory_write(&e, &value) == -1 || seal_close(seal, name, &value) == -1)
		return REFUSED;
	n = seal_open(seal, name, value.data, value.len);
	if (n == -1 || memory_parse(value.data, (size_t)n, &got) == -1 || got.meta.length != 7 || got.meta.etag == NULL ||
	    strcmp(got.meta.etag, etag) != 0 || got.store_etag == NULL || got.meta.media_type == NULL ||
	    strcmp(got.meta.media_type, type) != 0)
		return WRONG;
	memory_entry_release(&got);
	buf_release(&value);
	seal_free(seal);
	return WHOLE;
}

/* Nobody is there to remember, or to give a lease. */
static int
ask_for_objects(void)
{
	static char server[] = "/nonexistent/a";
	static char *servers[] = { server };
	static const char *const keys[] = { "30d/b/c/i/a", "30d/b/c/i/b" };
	const struct strs list = { servers, 1 };
	struct mc *mc = mc_new(&list, 10, NULL);
	struct seal *seal;
	struct memory *m;
	struct memory_entry e[2];
	struct lease l;
	int rc;

	if (mc == NULL)
		return REFUSED;
	seal = seal_new("0123456789abcdef0123456789abcdef", "https://s3.example.org b p/");
	m = memory_new(mc, seal);
	memory_look(m, keys, 2, e);
	rc = e[0].state == MEMORY_UNKNOWN && e[1].state == MEMORY_UNKNOWN &&
	    lease_take(mc, seal, keys[0], "me", 10, &l) == LEASE_AWAY && !lease_is_held(&l) ? WHOLE : WRONG;
	memory_free(m);
	seal_free(seal);
	mc_free(mc);
	return rc;
}

static void
f9_what_is_remembered_is_whole_or_unknown(void)
{
	torture("memory_write, seal_close, seal_open, memory_parse", remember);
	torture_ours("memory_look, lease_take", ask_for_objects);
}

static void
f9_slots_and_counters_are_there_or_not(void)
{
	torture("provider_slots_open, take, give", take_slots);
	torture_ours("counters_memcached_new, run", open_counters);	/* libmemcached ends the process by itself */
}

/* --- messages ---------------------------------------------------------------- */

static void
fill_charge(struct charge *ch)
{
	const struct identity who = { .realm = "front", .name = "alice" };
	bool was = torture_pause();

	charge_init(ch, shared, &shared->rules[0], &who, "s2-users", "0123456789abcdef", 1700000000000);
	torture_go_on(was);
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
		UNIT(f9_bytes_are_added_up_and_read_whole),
		UNIT(f9_an_object_is_found_whole_or_not_at_all),
		UNIT(f9_texts_are_whole_or_told),
		UNIT(f9_slots_and_counters_are_there_or_not),
		UNIT(f9_what_is_remembered_is_whole_or_unknown),
	};
	struct buf told = BUF_INIT(TOLD_MAX);
	char hex[65];
	int status;

	digest_sha256_hex("", 0, hex);	/* OpenSSL makes itself ready once, with 4800 allocations that are its own */
	shared = config_parse("test", DESIGN_TEXT, strlen(DESIGN_TEXT), false, &told);
	MUST(shared != NULL);
	status = unit_run("alloc_lib", tests, ARRAY_LEN(tests));
	config_free(shared);
	buf_release(&told);
	return status;
}
