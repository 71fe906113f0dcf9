/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/ipc: every message comes back as it was written, and nothing else is
 * taken for one; and the hand-over's queue.  (control.c: test_control.)
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/account.h"
#include "ipc/handover.h"
#include "ipc/resolve.h"

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static struct charge
sample_charge(void)
{
	struct charge ch = { .id = "a1b2c3", .realm = "front", .user = "alice \xc3\xa9", .at_ms = 1790000000000,
	    .n = 2 };

	(void)snprintf(ch.entry[0].set, sizeof(ch.entry[0].set), "standard");
	(void)snprintf(ch.entry[0].subject, sizeof(ch.entry[0].subject), "00ff");
	(void)snprintf(ch.entry[1].set, sizeof(ch.entry[1].set), "s2-pool");
	(void)snprintf(ch.entry[1].subject, sizeof(ch.entry[1].subject), "11ff");
	(void)snprintf(ch.entry[1].group, sizeof(ch.entry[1].group), "s2-users");
	ch.reserved[QUOTA_REQUESTS] = 1;
	ch.reserved[QUOTA_BYTES] = 1ULL << 40;
	return ch;
}

static struct handover
sample_handover(void)
{
	return (struct handover){
		.fcgi_id = 1, .id = "a1b2c3", .trace = TRACE, .head = true, .backend = "peps",
		.collection = "S2_MSI_L1C", .item = "S2A X/y", .asset = "B04", .subpath = "a/b%2Fc",
		.range = "bytes=0-9",
		.cond = { "\"m\"", "\"n\"", "ms", "us", "\"r\"" }, .origin = "https://x", .rule = "rules[0]",
		.delivery = DELIVERY_AUTO, .delivery_why = "size", .rate = 1000, .accepted_mono_us = 12345678, .deadline_mono_ms = 62345,
		.hit_key = "30d/peps/x", .ratelimit = "\"s\";r=1;t=2", .ratelimit_policy = "\"s\";q=3;w=4",
		.charge = sample_charge(),
	};
}

/* The way of one kind of message: read it, and if it was taken, write what was read. */
typedef int (*again_fn)(const void *data, size_t n, struct buf *out);

#define AGAIN(name, type)						\
	static int							\
	again_##name(const void *data, size_t n, struct buf *out)	\
	{								\
		struct type v;						\
									\
		if (name##_get(data, n, &v) == -1)			\
			return -1;					\
		name##_put(out, &v);					\
		return 0;						\
	}

AGAIN(handover, handover)
AGAIN(account_reserve, account_reserve)
AGAIN(account_reserved, account_reserved)
AGAIN(account_settle, account_settle)
AGAIN(resolve_connect, resolve_connect)
AGAIN(resolve_connected, resolve_connected)
AGAIN(resolve_job, resolve_job)
AGAIN(resolve_answer, resolve_answer)

/* What is taken is exactly what its writer would have written. */
static bool
canonical(again_fn again, const void *data, size_t n)
{
	struct buf out = BUF_INIT(16 << 20);
	bool ok = true;

	if (again(data, n, &out) == 0)
		ok = buf_ok(&out) && out.len == n && memcmp(out.data, data, n) == 0;
	buf_release(&out);
	return ok;
}

/* Memory of exactly n bytes, so that a sanitizer sees a byte too far. */
static uint8_t *
exactly(const void *data, size_t n)
{
	uint8_t *p = malloc(n == 0 ? 1 : n);

	MUST(p != NULL);
	memcpy(p, data, n);
	return p;
}

/* msg holds a good message: cut, lengthen and change it in every way. */
static void
torment(again_fn again, struct buf *msg)
{
	struct buf out = BUF_INIT(16 << 20);
	uint32_t seed = 12345;
	uint8_t *p;

	CHECK(buf_ok(msg));
	CHECK_INT(again(msg->data, msg->len, &out), 0);
	CHECK(canonical(again, msg->data, msg->len));
	for (size_t n = 0; n < msg->len; n++) {
		p = exactly(msg->data, n);
		CHECK_INT(again(p, n, &out), -1);
		free(p);
	}
	p = exactly(msg->data, msg->len + 1);		/* its NUL */
	CHECK_INT(again(p, msg->len + 1, &out), -1);
	free(p);
	p = exactly(msg->data, msg->len);
	for (size_t bit = 0; bit < 8 * msg->len; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(canonical(again, p, msg->len));
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t round = 0; round < 2000; round++) {
		for (size_t i = 0; i < 4; i++) {
			seed = seed * 1103515245 + 12345;
			p[seed / 256 % msg->len] = (uint8_t)(seed >> 24);
		}
		CHECK(canonical(again, p, msg->len));
		if (round % 8 == 7)
			memcpy(p, msg->data, msg->len);
	}
	for (size_t i = 1; i < msg->len; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = (uint8_t)(seed >> 24);
	}
	CHECK_INT(again(p, msg->len, &out), -1);
	free(p);
	buf_release(&out);
	buf_release(msg);
}

static void
handovers_come_back(void)
{
	struct handover h = sample_handover(), got;
	struct buf msg = BUF_INIT(HANDOVER_MAX);

	handover_put(&msg, &h);
	CHECK_INT(handover_get(msg.data, msg.len, &got), 0);
	CHECK_INT(got.fcgi_id, 1);
	CHECK_STR(got.id, h.id);
	CHECK_STR(got.trace, TRACE);
	CHECK(got.head);
	CHECK_STR(got.backend, "peps");
	CHECK_STR(got.collection, "S2_MSI_L1C");
	CHECK_STR(got.item, "S2A X/y");
	CHECK_STR(got.asset, "B04");
	CHECK_STR(got.subpath, "a/b%2Fc");
	CHECK_STR(got.range, "bytes=0-9");
	CHECK_STR(got.cond.if_match, "\"m\"");
	CHECK_STR(got.cond.if_none_match, "\"n\"");
	CHECK_STR(got.cond.if_modified_since, "ms");
	CHECK_STR(got.cond.if_unmodified_since, "us");
	CHECK_STR(got.cond.if_range, "\"r\"");
	CHECK_STR(got.origin, "https://x");
	CHECK_STR(got.rule, "rules[0]");
	CHECK_INT(got.delivery, DELIVERY_AUTO);
	CHECK_STR(got.delivery_why, "size");
	CHECK_INT(got.rate, 1000);
	CHECK_INT(got.accepted_mono_us, 12345678);
	CHECK_INT(got.deadline_mono_ms, 62345);
	CHECK_STR(got.hit_key, "30d/peps/x");
	CHECK_STR(got.ratelimit, "\"s\";r=1;t=2");
	CHECK_STR(got.ratelimit_policy, "\"s\";q=3;w=4");
	CHECK(memcmp(&got.charge, &h.charge, sizeof(got.charge)) == 0);
	buf_release(&msg);
}

static void
absent_headers_come_back_absent(void)
{
	struct handover h = {
		.fcgi_id = 7, .id = "x", .trace = TRACE, .backend = "b", .collection = "c", .item = "i", .asset = "a",
	}, got;
	struct buf msg = BUF_INIT(HANDOVER_MAX);

	handover_put(&msg, &h);
	CHECK_INT(handover_get(msg.data, msg.len, &got), 0);
	CHECK_STR(got.subpath, NULL);
	CHECK_STR(got.range, NULL);
	CHECK_STR(got.cond.if_match, NULL);
	CHECK_STR(got.cond.if_range, NULL);
	CHECK_STR(got.hit_key, NULL);
	CHECK_INT(got.charge.n, 0);
	buf_release(&msg);
}

static bool
handover_fits(const struct handover *h)
{
	struct buf msg = BUF_INIT(HANDOVER_MAX);
	bool ok;

	handover_put(&msg, h);
	ok = buf_ok(&msg);
	buf_release(&msg);
	return ok;
}

static void
handovers_that_the_mover_would_drop_are_not_written(void)
{
	struct handover h = sample_handover();
	char *big = malloc(9000);

	MUST(big != NULL);
	memset(big, 'x', 8999);
	big[8999] = '\0';
	CHECK(handover_fits(&h));
	h.range = big;
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.backend = "";
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.asset = NULL;
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.item = "\xff";
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.fcgi_id = 0;
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.trace[0] = '\0';
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.id[0] = '\n';
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.delivery = (enum delivery)3;
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.delivery_why = "two words\r\n";
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.charge.n = RULE_QUOTAS_MAX + 1;
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.charge.id[0] = '\0';
	CHECK(!handover_fits(&h));
	h = sample_handover();
	h.charge.reserved[0] = UINT64_MAX;
	CHECK(!handover_fits(&h));
	free(big);
}

static void
hostile_handovers_are_refused(void)
{
	struct handover h = sample_handover();
	struct buf msg = BUF_INIT(HANDOVER_MAX);

	handover_put(&msg, &h);
	torment(again_handover, &msg);
}

static void
owner_depends_on_the_asset_alone(void)
{
	struct handover h = sample_handover(), g = { .backend = "peps", .collection = "S2_MSI_L1C",
	    .item = "S2A X/y", .asset = "B04" };

	for (unsigned movers = 1; movers <= 16; movers++) {
		CHECK_INT(handover_owner(&h, movers), handover_owner(&g, movers));
		CHECK(handover_owner(&h, movers) < movers);
	}
	/* other builds and processes must agree */
	CHECK_INT(handover_owner(&h, 16), 4);
}

static void
owners_are_spread_evenly(void)
{
	unsigned hits[8] = { 0 };
	char item[32];
	struct handover h = { .backend = "b", .collection = "c", .item = item, .asset = "a" };

	for (int i = 0; i < 8000; i++) {
		(void)snprintf(item, sizeof(item), "S2A_MSIL1C_%05d", i);
		hits[handover_owner(&h, 8)]++;
	}
	for (size_t i = 0; i < ARRAY_LEN(hits); i++)
		CHECK(hits[i] > 850 && hits[i] < 1150);
}

static void
names_move_no_border_in_the_hash(void)
{
	struct handover a = { .backend = "ab", .collection = "c", .item = "i", .asset = "x" };
	struct handover b = { .backend = "a", .collection = "bc", .item = "i", .asset = "x" };
	unsigned differ = 0;

	for (unsigned movers = 2; movers < 64; movers++)
		differ += handover_owner(&a, movers) != handover_owner(&b, movers);
	CHECK(differ > 40);
}

static int pair[2];

static void
queue_open(void)
{
	struct err e;

	MUST(fd_socketpair(SOCK_SEQPACKET, true, pair, &e) == 0);
}

static void
queue_close(void)
{
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

static void
connection_and_file_arrive_with_the_request(void)
{
	struct handover h = sample_handover(), got;
	int client = open("/dev/null", O_RDWR | O_CLOEXEC), file = open("/dev/zero", O_RDONLY | O_CLOEXEC), fds[3];
	char data[HANDOVER_MAX];
	struct stat a, b;
	size_t nfds;
	ssize_t n;

	queue_open();
	CHECK_INT(handover_send(pair[0], &h, client, file, 50), 0);
	n = fd_recv(pair[1], data, sizeof(data), fds, 3, &nfds);
	CHECK(n > 0);
	CHECK_INT(nfds, 2);
	CHECK_INT(handover_get(data, (size_t)n, &got), 0);
	CHECK_STR(got.asset, "B04");
	CHECK(fstat(client, &a) == 0 && fstat(fds[0], &b) == 0 && a.st_rdev == b.st_rdev);
	CHECK(fstat(file, &a) == 0 && fstat(fds[1], &b) == 0 && a.st_rdev == b.st_rdev);
	CHECK((fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	h.hit_key = NULL;
	CHECK_INT(handover_send(pair[0], &h, client, -1, 50), 0);
	n = fd_recv(pair[1], data, sizeof(data), fds, 3, &nfds);
	CHECK_INT(nfds, 1);
	fd_close(&fds[0]);
	fd_close(&client);
	fd_close(&file);
	queue_close();
}

static void
a_full_queue_is_given_up_in_time(void)
{
	struct handover h = sample_handover();
	int client = open("/dev/null", O_RDWR | O_CLOEXEC), sent = 0;
	int64_t start, took;

	h.hit_key = NULL;
	queue_open();
	while (sent < 5000 && handover_send(pair[0], &h, client, -1, 0) == 0)
		sent++;
	CHECK(sent > 0 && sent < 5000);
	CHECK(errno == EAGAIN || errno == ETOOMANYREFS);
	start = clock_mono_ms();
	CHECK_INT(handover_send(pair[0], &h, client, -1, 50), -1);
	took = clock_mono_ms() - start;
	CHECK(took >= 49 && took < 2000);
	CHECK(fcntl(client, F_GETFD) != -1);		/* still ours */
	fd_close(&client);
	queue_close();
}

static void
a_full_queue_that_drains_takes_the_request(void)
{
	struct handover h = sample_handover();
	int client = open("/dev/null", O_RDWR | O_CLOEXEC), go[2], fds[3], status = -1;
	char data[HANDOVER_MAX];
	size_t nfds;
	pid_t pid;

	h.hit_key = NULL;
	queue_open();
	MUST(pipe(go) == 0);
	while (handover_send(pair[0], &h, client, -1, 0) == 0)
		;
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		fd_close(&go[1]);
		fd_close(&pair[0]);
		(void)fd_set_nonblock(pair[1], false);
		(void)!read(go[0], data, 1);
		while (fd_recv(pair[1], data, sizeof(data), fds, 3, &nfds) > 0) {
			for (size_t i = 0; i < nfds; i++)
				fd_close(&fds[i]);
		}
		_exit(0);
	}
	fd_close(&go[0]);
	fd_close(&pair[1]);
	CHECK(write(go[1], "x", 1) == 1);
	CHECK_INT(handover_send(pair[0], &h, client, -1, 10000), 0);
	fd_close(&go[1]);
	fd_close(&pair[0]);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	fd_close(&client);
}

static void
a_queue_without_a_reader_is_an_error_at_once(void)
{
	struct handover h = sample_handover();
	int client = open("/dev/null", O_RDWR | O_CLOEXEC);
	int64_t start = clock_mono_ms();

	h.hit_key = NULL;
	queue_open();
	fd_close(&pair[1]);
	CHECK_INT(handover_send(pair[0], &h, client, -1, 60000), -1);
	CHECK(errno == EPIPE || errno == ECONNRESET);
	CHECK(clock_mono_ms() - start < 10000);
	fd_close(&client);
	queue_close();
}

static void
a_file_without_its_hit_is_not_sent(void)
{
	struct handover h = sample_handover();
	int client = open("/dev/null", O_RDWR | O_CLOEXEC);

	queue_open();
	h.hit_key = NULL;
	CHECK_INT(handover_send(pair[0], &h, client, client, 0), -1);
	CHECK_INT(errno, EMSGSIZE);
	h.item = NULL;
	CHECK_INT(handover_send(pair[0], &h, client, -1, 0), -1);
	CHECK_INT(errno, EMSGSIZE);
	fd_close(&client);
	queue_close();
}

static struct account_settle
sample_settle(void)
{
	return (struct account_settle){
		.charge = sample_charge(), .actual = { 1, 1, 500, 600 }, .backend = "peps", .collection = "c",
		.item = "i",
		.asset = "a", .subpath = NULL, .cache = "miss", .rule = "r", .status = 206, .estimated = true,
	};
}

static void
reservations_come_back(void)
{
	struct account_reserve r = { .seq = UINT64_MAX, .charge = sample_charge(),
	    .add = { 0, 1, 1ULL << 33, 0 } }, got;
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	account_reserve_put(&msg, &r);
	CHECK_INT(account_type(msg.data, msg.len), ACCOUNT_RESERVE);
	CHECK_INT(account_reserve_get(msg.data, msg.len, &got), 0);
	CHECK(got.seq == UINT64_MAX);
	CHECK_INT(got.add[QUOTA_BYTES], 1LL << 33);
	CHECK(memcmp(&got.charge, &r.charge, sizeof(got.charge)) == 0);
	torment(again_account_reserve, &msg);
}

static void
answers_to_reservations_come_back(void)
{
	struct account_reserved r = { .seq = 4, .answer = { QUOTA_OVER, "standard", QUOTA_BYTES, WINDOW_MONTH,
	    1000, 999, 86400 } };
	struct account_reserved got;
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	account_reserved_put(&msg, &r);
	CHECK_INT(account_type(msg.data, msg.len), ACCOUNT_RESERVED);
	CHECK_INT(account_reserved_get(msg.data, msg.len, &got), 0);
	CHECK_INT(got.answer.verdict, QUOTA_OVER);
	CHECK_STR(got.answer.set, "standard");
	CHECK_INT(got.answer.kind, QUOTA_BYTES);
	CHECK_INT(got.answer.window, WINDOW_MONTH);
	CHECK_INT(got.answer.used, 999);
	CHECK_INT(got.answer.frees_in_s, 86400);
	torment(again_account_reserved, &msg);
	buf_init(&msg, ACCOUNT_MAX);
	r.answer.verdict = (enum quota_verdict)4;
	account_reserved_put(&msg, &r);
	CHECK(!buf_ok(&msg));
	buf_release(&msg);
}

static void
settlements_come_back(void)
{
	struct account_settle s = sample_settle(), got;
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	account_settle_put(&msg, &s);
	CHECK_INT(account_type(msg.data, msg.len), ACCOUNT_SETTLE);
	CHECK_INT(account_settle_get(msg.data, msg.len, &got), 0);
	CHECK_INT(got.actual[QUOTA_UPSTREAM_BYTES], 600);
	CHECK_STR(got.backend, "peps");
	CHECK_STR(got.subpath, NULL);
	CHECK_STR(got.cache, "miss");
	CHECK_INT(got.status, 206);
	CHECK(got.estimated);
	torment(again_account_settle, &msg);
	buf_init(&msg, ACCOUNT_MAX);
	s.cache = "maybe";
	account_settle_put(&msg, &s);
	CHECK(!buf_ok(&msg));
	buf_clear(&msg);
	s = sample_settle();
	s.cache = NULL;
	account_settle_put(&msg, &s);
	CHECK(!buf_ok(&msg));
	buf_clear(&msg);
	s = sample_settle();
	s.status = 600;
	account_settle_put(&msg, &s);
	CHECK(!buf_ok(&msg));
	buf_release(&msg);
	CHECK_INT(account_type("", 0), ACCOUNT_BAD);
	CHECK_INT(account_type("H", 1), ACCOUNT_BAD);
}

static void
the_largest_charge_fits_its_messages(void)
{
	struct account_settle s = sample_settle();
	struct buf msg = BUF_INIT(ACCOUNT_MAX);
	struct charge *ch = &s.charge;

	memset(ch->id, 'x', CHARGE_ID_MAX);
	memset(ch->user, 'x', IDENTITY_NAME_MAX);
	memset(ch->realm, 'x', sizeof(ch->realm) - 1);
	ch->n = RULE_QUOTAS_MAX;
	for (size_t i = 0; i < ch->n; i++) {
		memset(ch->entry[i].set, 's', CHARGE_SET_MAX);
		memset(ch->entry[i].subject, 's', CHARGE_SUBJECT_MAX);
		memset(ch->entry[i].group, 's', IDENTITY_GROUP_MAX);
	}
	account_settle_put(&msg, &s);
	CHECK(buf_ok(&msg));
	buf_release(&msg);
}

static void
connects_come_back(void)
{
	struct resolve_connect c = { "peps" }, got;
	struct resolve_connected d = { "peps", false, 504, 30, "cool-down" }, got_d;
	struct buf msg = BUF_INIT(4096);

	resolve_connect_put(&msg, &c);
	CHECK_INT(resolve_connect_get(msg.data, msg.len, &got), 0);
	CHECK_STR(got.backend, "peps");
	torment(again_resolve_connect, &msg);
	buf_init(&msg, 4096);
	resolve_connected_put(&msg, &d);
	CHECK_INT(resolve_connected_get(msg.data, msg.len, &got_d), 0);
	CHECK(!got_d.ok);
	CHECK_INT(got_d.status, 504);
	CHECK_INT(got_d.retry_after_s, 30);
	CHECK_STR(got_d.reason, "cool-down");
	torment(again_resolve_connected, &msg);
	buf_init(&msg, 4096);
	resolve_connected_put(&msg, &(struct resolve_connected){ "peps", true, 0, 0, NULL });
	CHECK(buf_ok(&msg));
	buf_clear(&msg);
	resolve_connected_put(&msg, &(struct resolve_connected){ "peps", false, 200, 0, NULL });
	CHECK(!buf_ok(&msg));
	buf_release(&msg);
}

static void
jobs_come_back(void)
{
	static const char item[] = "{\"id\":\"x\"}";
	struct resolve_job j = {
		.job = 99, .trace = TRACE, .backend = "peps", .collection = "c", .item = "i", .asset = "a",
		.subpath = "s/t",
		.item_json = item, .item_json_len = sizeof(item) - 1, .fresh = true,
	}, got;
	struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);

	resolve_job_put(&msg, &j);
	CHECK_INT(resolve_job_get(msg.data, msg.len, &got), 0);
	CHECK_INT(got.job, 99);
	CHECK_STR(got.trace, TRACE);
	CHECK_STR(got.item_json, item);			/* a NUL follows it */
	CHECK_INT(got.item_json_len, sizeof(item) - 1);
	CHECK_STR(got.subpath, "s/t");
	CHECK(got.fresh);
	torment(again_resolve_job, &msg);
	buf_init(&msg, RESOLVE_FRAME_MAX);
	j.item_json = NULL;
	j.item_json_len = 0;
	j.subpath = NULL;
	j.trace = NULL;
	resolve_job_put(&msg, &j);
	CHECK_INT(resolve_job_get(msg.data, msg.len, &got), 0);
	CHECK(got.item_json == NULL && got.item_json_len == 0);
	buf_release(&msg);
}

static struct resolve_answer
sample_answer(void)
{
	return (struct resolve_answer){
		.job = 5, .kind = RESOLVE_SOURCE, .source = SOURCE_HTTP, .backend = "peps", .url = "https://h/p?sig=x",
		.for_clients = true,
		.method = "GET", .headers = { "Authorization: Bearer x", "X-Api-Key: y" }, .n_headers = 2,
		.expires_ms = 1790000000000,
		.media_type = "image/tiff", .filename = "a.tif", .size = UINT64_MAX, .checksum = "1220",
		.tls_verify = true,
	};
}

static void
http_sources_come_back(void)
{
	struct resolve_answer a = sample_answer(), got;
	struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);

	resolve_answer_put(&msg, &a);
	CHECK_INT(resolve_answer_get(msg.data, msg.len, &got), 0);
	CHECK_INT(got.job, 5);
	CHECK_INT(got.kind, RESOLVE_SOURCE);
	CHECK_STR(got.url, a.url);
	CHECK(got.for_clients);
	CHECK_STR(got.method, "GET");
	CHECK_STR(got.body, NULL);
	CHECK_INT(got.n_headers, 2);
	CHECK_STR(got.headers[1], "X-Api-Key: y");
	CHECK(got.size == UINT64_MAX);
	CHECK(got.tls_verify);
	CHECK_STR(got.bucket, NULL);
	torment(again_resolve_answer, &msg);
}

static void
s3_sources_come_back(void)
{
	struct resolve_answer a = {
		.job = 5, .kind = RESOLVE_SOURCE, .source = SOURCE_S3, .backend = "creodias_s3", .size = 10,
		.bucket = "eodata",
		.s3_key = "a/b c", .s3_region = "eu", .s3_endpoint = "https://e", .s3_access = "k",
		.s3_secret = "s", .s3_token = "t",
		.s3_requester_pays = true, .tls_verify = true,
	}, got;
	struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);

	resolve_answer_put(&msg, &a);
	CHECK_INT(resolve_answer_get(msg.data, msg.len, &got), 0);
	CHECK_STR(got.bucket, "eodata");
	CHECK_STR(got.s3_key, "a/b c");
	CHECK_STR(got.s3_token, "t");
	CHECK(got.s3_requester_pays && !got.s3_anonymous);
	CHECK_STR(got.url, NULL);
	torment(again_resolve_answer, &msg);
}

static void
a_source_in_s3_has_all_of_its_keys_or_none(void)
{
	static const struct { const char *bucket, *key, *region, *endpoint, *id, *secret, *token; bool anonymous, good; } say[] = {
		{ "b", "k", NULL, NULL, NULL, NULL, NULL, true, true },
		{ "b", "k", NULL, NULL, "i", "s", NULL, false, true },
		{ "b", "k\xc3\xa9 k", "r", "http://e", "i", "s", "t", false, true },
		{ "b", "k", NULL, NULL, NULL, NULL, NULL, false, false },
		{ "b", "k", NULL, NULL, "i", "s", NULL, true, false },
		{ "b", "k", NULL, NULL, "i", NULL, NULL, false, false },
		{ "b", "k", NULL, NULL, NULL, "s", NULL, false, false },
		{ "b", "k", NULL, NULL, NULL, NULL, "t", true, false },
		{ "b", "k", NULL, NULL, "i", "", NULL, false, false },
		{ "b", "k", NULL, NULL, "i", "s\n", NULL, false, false },
		{ "b", "k", NULL, NULL, "i", "s", "t t", false, false },
		{ "b", "k", "r r", NULL, "i", "s", NULL, false, false },
		{ "b", "k", "", NULL, "i", "s", NULL, false, false },
		{ "b", "k", NULL, "http://\xc3\xa9", "i", "s", NULL, false, false },
		{ "b/..", "k", NULL, NULL, "i", "s", NULL, false, true },	/* whoever asks there looks at it */
		{ "b b", "k", NULL, NULL, "i", "s", NULL, false, false },
		{ NULL, "k", NULL, NULL, "i", "s", NULL, false, false },
		{ "b", "", NULL, NULL, "i", "s", NULL, false, false },
		{ "b", "k\n", NULL, NULL, "i", "s", NULL, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(say); i++) {
		struct resolve_answer a = {
			.job = 5, .kind = RESOLVE_SOURCE, .source = SOURCE_S3, .backend = "x", .size = 10, .bucket = say[i].bucket,
			.s3_key = say[i].key, .s3_region = say[i].region, .s3_endpoint = say[i].endpoint, .s3_access = say[i].id,
			.s3_secret = say[i].secret, .s3_token = say[i].token, .s3_anonymous = say[i].anonymous,
		};
		struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);

		resolve_answer_put(&msg, &a);
		if (buf_ok(&msg) != say[i].good)
			fprintf(stderr, "answer %zu\n", i);
		CHECK(buf_ok(&msg) == say[i].good);
		buf_release(&msg);
	}
}

static void
other_answers_come_back(void)
{
	struct resolve_answer p = { .job = 1, .kind = RESOLVE_PENDING, .status = 503, .retry_after_s = 600,
	    .order_id = "o-1" }, got;
	struct resolve_answer f = { .job = 2, .kind = RESOLVE_FAILED, .status = 502, .who = "upstream",
	    .reason = "login refused" };
	struct resolve_answer c = { .job = 3, .kind = RESOLVE_CARRY };
	struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);

	resolve_answer_put(&msg, &p);
	CHECK_INT(resolve_answer_get(msg.data, msg.len, &got), 0);
	CHECK_INT(got.retry_after_s, 600);
	CHECK_STR(got.order_id, "o-1");
	torment(again_resolve_answer, &msg);
	buf_init(&msg, RESOLVE_FRAME_MAX);
	resolve_answer_put(&msg, &f);
	CHECK_INT(resolve_answer_get(msg.data, msg.len, &got), 0);
	CHECK_STR(got.who, "upstream");
	CHECK_STR(got.reason, "login refused");
	torment(again_resolve_answer, &msg);
	buf_init(&msg, RESOLVE_FRAME_MAX);
	resolve_answer_put(&msg, &c);
	CHECK_INT(resolve_answer_get(msg.data, msg.len, &got), 0);
	CHECK_INT(got.kind, RESOLVE_CARRY);
	buf_release(&msg);
}

static bool
answer_fits(const struct resolve_answer *a)
{
	struct buf msg = BUF_INIT(RESOLVE_FRAME_MAX);
	bool ok;

	resolve_answer_put(&msg, a);
	ok = buf_ok(&msg);
	buf_release(&msg);
	return ok;
}

static void
sources_cannot_smuggle(void)
{
	struct resolve_answer a = sample_answer();

	CHECK(answer_fits(&a));
	a.headers[1] = "X: y\r\nHost: other";
	CHECK(!answer_fits(&a));
	a.headers[1] = "no header";
	CHECK(!answer_fits(&a));
	a.headers[1] = NULL;
	CHECK(!answer_fits(&a));
	a = sample_answer();
	a.url = "https://h/ x";
	CHECK(!answer_fits(&a));
	a.url = "https://h/\r\n";
	CHECK(!answer_fits(&a));
	a.url = NULL;
	CHECK(!answer_fits(&a));
	a = sample_answer();
	a.method = "DELETE";
	CHECK(!answer_fits(&a));
	a = sample_answer();
	a.filename = "a\nb";
	CHECK(!answer_fits(&a));
	a = sample_answer();
	a.backend = NULL;
	CHECK(!answer_fits(&a));
	a = sample_answer();
	a.n_headers = SOURCE_HEADERS_MAX + 1;
	CHECK(!answer_fits(&a));
	a = sample_answer();
	a.size = UINT64_MAX - 1;
	CHECK(!answer_fits(&a));
	a = sample_answer();
	a.expires_ms = -1;
	CHECK(!answer_fits(&a));
	a = (struct resolve_answer){ .kind = RESOLVE_FAILED, .status = 200, .who = "upstream" };
	CHECK(!answer_fits(&a));
	a = (struct resolve_answer){ .kind = RESOLVE_FAILED, .status = 502, .who = "<script>" };
	CHECK(!answer_fits(&a));
	a = (struct resolve_answer){ .kind = (enum resolve_kind)4 };
	CHECK(!answer_fits(&a));
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(handovers_come_back),
		UNIT(absent_headers_come_back_absent),
		UNIT(handovers_that_the_mover_would_drop_are_not_written),
		UNIT(hostile_handovers_are_refused),
		UNIT(owner_depends_on_the_asset_alone),
		UNIT(owners_are_spread_evenly),
		UNIT(names_move_no_border_in_the_hash),
		UNIT(connection_and_file_arrive_with_the_request),
		UNIT(a_full_queue_is_given_up_in_time),
		UNIT(a_full_queue_that_drains_takes_the_request),
		UNIT(a_queue_without_a_reader_is_an_error_at_once),
		UNIT(a_file_without_its_hit_is_not_sent),
		UNIT(reservations_come_back),
		UNIT(answers_to_reservations_come_back),
		UNIT(settlements_come_back),
		UNIT(the_largest_charge_fits_its_messages),
		UNIT(connects_come_back),
		UNIT(jobs_come_back),
		UNIT(http_sources_come_back),
		UNIT(s3_sources_come_back),
		UNIT(a_source_in_s3_has_all_of_its_keys_or_none),
		UNIT(other_answers_come_back),
		UNIT(sources_cannot_smuggle),
	};

	(void)signal(SIGPIPE, SIG_DFL);		/* sends must not raise it */
	return unit_run("ipc", tests, ARRAY_LEN(tests));
}
