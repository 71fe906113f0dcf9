/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of objects, leases, their seals, and the client that
 * fetches them, over servers that lie.  What needs a real memcached is in
 * tests/system/test_memory.py.
 */
#include "base/base.h"

#include <netdb.h>

#include "base/clock.h"
#include "cache/key.h"
#include "cache/lease.h"
#include "cache/memory.h"
#include "cache/shared.h"
#include "mc_fake.h"
#include "unit.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define STORE "https://s3.example.org eo-data site-a/"
#define OBJECT "30d/peps/S2_L2A/S2A_1/B02"

/* -- names and seals --------------------------------------------------------------- */

static void
names_tell_nothing_and_meet_nowhere(void)
{
	static const char *const keys[] = { OBJECT, "a b", "x\r\nset eo:victim 0 0 1\r\n9", "%s%n", "\xff\xfe", "" };
	struct seal *seals[] = { seal_new(SECRET, STORE), seal_new(SECRET, STORE "b"), seal_new(SECRET "0", STORE) };
	char names[ARRAY_LEN(seals)][ARRAY_LEN(keys) + 1][2][SEAL_NAME_SIZE], again[SEAL_NAME_SIZE];
	char longest[KEY_MAX + 1];
	const char *const first = names[0][0][0];
	size_t n = sizeof(names) / SEAL_NAME_SIZE;

	memset(longest, 'a', KEY_MAX);
	longest[KEY_MAX] = '\0';
	for (size_t s = 0; s < ARRAY_LEN(seals); s++) {
		for (size_t k = 0; k <= ARRAY_LEN(keys); k++) {
			const char *key = k < ARRAY_LEN(keys) ? keys[k] : longest;

			seal_name(seals[s], SEAL_OBJECT, key, names[s][k][0]);
			seal_name(seals[s], SEAL_LEASE, key, names[s][k][1]);
			seal_name(seals[s], SEAL_OBJECT, key, again);
			CHECK_STR(names[s][k][0], again);
		}
	}
	for (size_t i = 0; i < n; i++) {
		const char *name = first + i * SEAL_NAME_SIZE;

		CHECK_INT(strlen(name), SEAL_NAME_SIZE - 1);
		CHECK(strncmp(name, "eo:o", 4) == 0 || strncmp(name, "eo:l", 4) == 0);
		CHECK_INT(strspn(name + 4, "0123456789abcdef"), 40);
		for (size_t j = 0; j < i; j++)
			CHECK(strcmp(name + 4, first + j * SEAL_NAME_SIZE + 4) != 0);
	}
	for (size_t s = 0; s < ARRAY_LEN(seals); s++)
		seal_free(seals[s]);
}

static void
a_seal_holds_for_its_bytes_its_name_and_its_store_alone(void)
{
	struct seal *seal = seal_new(SECRET, STORE), *other = seal_new(SECRET, STORE "b"), *guess = seal_new("", STORE);
	struct buf value = BUF_INIT(SEAL_VALUE_MAX);
	char name[SEAL_NAME_SIZE], wrong[SEAL_NAME_SIZE];

	seal_name(seal, SEAL_OBJECT, OBJECT, name);
	seal_name(seal, SEAL_LEASE, OBJECT, wrong);
	(void)buf_adds(&value, "what is remembered");
	CHECK_INT(seal_close(seal, name, &value), 0);
	CHECK_INT(value.len, 18 + HMAC_SIZE);
	CHECK_INT(seal_open(seal, name, value.data, value.len), 18);
	CHECK_INT(seal_open(seal, wrong, value.data, value.len), -1);
	CHECK_INT(seal_open(other, name, value.data, value.len), -1);
	CHECK_INT(seal_open(guess, name, value.data, value.len), -1);
	for (size_t i = 0; i < value.len * 8; i++) {
		value.data[i / 8] = (char)(value.data[i / 8] ^ 1 << i % 8);
		CHECK_INT(seal_open(seal, name, value.data, value.len), -1);
		value.data[i / 8] = (char)(value.data[i / 8] ^ 1 << i % 8);
	}
	for (size_t n = 0; n < value.len; n++)
		CHECK_INT(seal_open(seal, name, value.data, n), -1);
	(void)buf_addc(&value, 'x');
	CHECK_INT(seal_open(seal, name, value.data, value.len), -1);
	buf_release(&value);
	seal_free(seal);
	seal_free(other);
	seal_free(guess);
}

static void
a_body_that_is_too_long_is_not_sealed(void)
{
	struct seal *seal = seal_new(SECRET, STORE);
	struct buf value = BUF_INIT(SEAL_VALUE_MAX);
	char name[SEAL_NAME_SIZE];

	seal_name(seal, SEAL_OBJECT, OBJECT, name);
	memset(buf_reserve(&value, SEAL_BODY_MAX), 'a', SEAL_BODY_MAX);
	value.len = SEAL_BODY_MAX;
	CHECK_INT(seal_close(seal, name, &value), 0);
	CHECK_INT(seal_open(seal, name, value.data, value.len), SEAL_BODY_MAX);
	value.len = SEAL_BODY_MAX;
	(void)buf_addc(&value, 'a');
	CHECK_INT(seal_close(seal, name, &value), -1);
	buf_release(&value);
	seal_free(seal);
}

/* -- the format ---------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;

static uint64_t
draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

/* A text of a header, or NULL; quoted: an entity-tag. */
static char *
draw_text(size_t max, bool quoted)
{
	static const char plain[] = "abcXYZ019-_.~!#;=/ ";
	size_t n = draw(4) == 0 ? max - 2 : 1 + draw(40);
	char *s;

	if (!quoted && draw(4) == 0)
		return NULL;
	s = mem_alloc(max + 1);
	for (size_t i = 0; i < n; i++)
		s[quoted + i] = plain[draw(sizeof(plain) - 1 - quoted)];	/* none with a space */
	if (quoted)
		s[0] = s[n + 1] = '"';
	return s;
}

static void
draw_entry(struct memory_entry *e)
{
	static const uint64_t lengths[] = { 0, 1, 4096, (uint64_t)1 << 40, INT64_MAX - 1 };

	*e = (struct memory_entry){ .state = draw(5) == 0 ? MEMORY_ABSENT : MEMORY_PRESENT, .until_s = (int64_t)draw(1u << 31) };
	if (e->state == MEMORY_ABSENT)
		return;
	e->ends_s = (int64_t)draw(1u << 31);
	e->store_etag = draw_text(250, true);
	e->meta = (struct object_meta){
		.length = lengths[draw(ARRAY_LEN(lengths))], .etag = draw_text(500, true),
		.last_modified = (int64_t)draw(1u << 31) - 1, .media_type = draw_text(250, false),
		.disposition = draw_text(4000, false), .checksum.algo = (enum digest_algo)draw(DIGEST_SHA512 + 1),
		.source_time = (int64_t)draw(1u << 31) - 1, .source_backend = draw_text(1000, false),
	};
	for (size_t i = 0; i < digest_size(e->meta.checksum.algo); i++)
		e->meta.checksum.value[i] = (uint8_t)draw(256);
}

static void
check_same(const struct memory_entry *got, const struct memory_entry *want)
{
	CHECK_INT(got->state, want->state);
	CHECK_INT(got->until_s, want->until_s);
	CHECK_INT(got->ends_s, want->ends_s);
	CHECK_STR(got->store_etag, want->store_etag);
	CHECK_INT(got->meta.length, want->meta.length);
	CHECK_STR(got->meta.etag, want->meta.etag);
	CHECK_INT(got->meta.last_modified, want->meta.last_modified);
	CHECK_STR(got->meta.media_type, want->meta.media_type);
	CHECK_STR(got->meta.disposition, want->meta.disposition);
	CHECK_INT(got->meta.checksum.algo, want->meta.checksum.algo);
	CHECK(memcmp(got->meta.checksum.value, want->meta.checksum.value, DIGEST_SIZE_MAX) == 0);
	CHECK_INT(got->meta.source_time, want->meta.source_time);
	CHECK_STR(got->meta.source_backend, want->meta.source_backend);
}

static void
what_is_written_is_read_and_fits_and_no_part_of_it_is(void)
{
	struct memory_entry e, got;
	struct buf out = BUF_INIT(SEAL_BODY_MAX);

	for (int i = 0; i < 300; i++) {
		draw_entry(&e);
		buf_clear(&out);
		CHECK_INT(memory_write(&e, &out), 0);
		CHECK_INT(memory_parse(out.data, out.len, &got), 0);
		check_same(&got, &e);
		memory_entry_release(&got);
		for (size_t n = 0; n < out.len; n += 1 + draw(7))
			CHECK_INT(memory_parse(out.data, n, &got), -1);
		(void)buf_addc(&out, '\0');
		CHECK_INT(memory_parse(out.data, out.len, &got), -1);
		out.data[0]++;		/* another version */
		CHECK_INT(memory_parse(out.data, out.len - 1, &got), -1);
		memory_entry_release(&e);
	}
	buf_release(&out);
}

/* An entry of an object, over the caller's text. */
static struct memory_entry
entry_of(char *etag, char *store_etag)
{
	return (struct memory_entry){ .state = MEMORY_PRESENT, .until_s = clock_wall_ms() / 1000 + 60,
		.meta = { .length = 5, .etag = etag, .last_modified = -1, .source_time = -1 }, .store_etag = store_etag };
}

static void
what_no_store_has_is_not_written(void)
{
	static char good[] = "\"a\"", weak[] = "W/\"a\"", bare[] = "a", header[] = "a\r\nX: b", text[] = "a";
	static char *const bad[] = { NULL, weak, bare, header };
	struct buf out = BUF_INIT(SEAL_BODY_MAX);
	struct memory_entry e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = entry_of(bad[i], good);
		CHECK_INT(memory_write(&e, &out), -1);
		e = entry_of(good, bad[i]);
		CHECK_INT(memory_write(&e, &out), -1);
	}
	e = entry_of(good, good);
	e.meta.media_type = header;
	CHECK_INT(memory_write(&e, &out), -1);
	e.meta.media_type = text;
	e.meta.length = INT64_MAX;
	CHECK_INT(memory_write(&e, &out), -1);
	e.meta.length = 0;
	e.ends_s = -1;
	CHECK_INT(memory_write(&e, &out), -1);
	e.ends_s = 0;
	e.until_s = -1;
	CHECK_INT(memory_write(&e, &out), -1);
	e = (struct memory_entry){ .state = MEMORY_UNKNOWN };
	CHECK_INT(memory_write(&e, &out), -1);
	CHECK_INT(out.len, 0);
	buf_release(&out);
}

/* -- answers ------------------------------------------------------------------------- */

enum { PATIENT_MS = 10000, HASTY_MS = 20 };

/* One mg of "name", with room for 10 bytes, answered so. */
static int
ask_once(struct mc_fake *f, const char *answer, struct mc_reply *r, char value[10])
{
	*r = (struct mc_reply){ .key = "name", .value = value, .room = 10 };
	mc_fake_say(f, answer, strlen(answer));
	mc_begin(f->mc);
	(void)buf_adds(mc_command(f->mc, 0, r), "mg name v c k\r\n");
	return mc_run(f->mc, mc_deadline_ms(f->mc));
}

static void
an_answer_is_what_was_asked_for(void)
{
	static const struct {
		const char *answer;
		enum mc_status status;
		size_t len;
		uint64_t cas;
	} good[] = {
		{ "VA 3 c7 kname\r\nabc\r\n", MC_VALUE, 3, 7 },
		{ "VA 10 kname c18446744073709551615\r\n\r\n\r\n\r\n\r\n\r\n\r\n", MC_VALUE, 10, UINT64_MAX },
		{ "VA 0 kname\r\n\r\n", MC_VALUE, 0, 0 },
		{ "VA 11 kname c9\r\nabcdefghijk\r\n", MC_NONSENSE, 0, 9 },
		{ "EN\r\n", MC_ABSENT, 0, 0 }, { "EN kname\r\n", MC_ABSENT, 0, 0 }, { "NF\r\n", MC_ABSENT, 0, 0 }, { "HD\r\n", MC_DONE, 0, 0 },
		{ "NS\r\n", MC_REFUSED, 0, 0 }, { "EX\r\n", MC_REFUSED, 0, 0 },
		{ "SERVER_ERROR object too large for cache\r\n", MC_FAILED, 0, 0 },
	};
	struct mc_fake f;
	struct mc_reply r;
	char value[10];

	mc_fake_start(&f, PATIENT_MS);
	for (int turn = 0; turn < 2; turn++) {		/* what was left of the last one is not in the way */
		for (size_t i = 0; i < ARRAY_LEN(good); i++) {
			CHECK_INT(ask_once(&f, good[i].answer, &r, value), 0);
			CHECK_INT(r.status, good[i].status);
			CHECK_INT(r.len, good[i].len);
			CHECK_INT(r.cas, good[i].cas);
		}
	}
	mc_fake_stop(&f);
}

/* G5: whatever takes memcached's place is away, at once, and for a second. */
static void
g5_what_is_no_answer_is_away(void)
{
	static const char *const bad[] = {
		"VA 3 kother\r\nabc\r\n", "VA 3 knam\r\nabc\r\n", "VA 3 knames\r\nabc\r\n", "VA 3\r\nabc\r\n", "VA 3 k\r\nabc\r\n",
		"VA 2 kname\r\nabc\r\n", "VA -1 kname\r\nabc\r\n", "VA  kname\r\nabc\r\n", "VA x\r\n", "VA \r\n",
		"VA 3 kname cx\r\nabc\r\n", "VA 3 kname c\r\nabc\r\n", "VA 3 kname c99999999999999999999\r\nabc\r\n",
		"VA 999999999999999999999999 kname\r\n", "VA 134217728 kname\r\n",
		"ERROR\r\n", "CLIENT_ERROR bad\r\n", "EN kother\r\n", "ENkname\r\n", "HD kname cx\r\n", "EN\n", "\r\n", "\n", "MN\r\n", "STAT a 1\r\n", "END\r\n",
		"hd\r\n", "EN\r\nEN\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
	};
	char endless[4096];
	struct mc_fake f;
	struct mc_reply r;
	char value[10];

	memset(endless, 'V', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
		const char *answer = i < ARRAY_LEN(bad) ? bad[i] : endless;
		int64_t start_ms = clock_mono_ms();

		mc_fake_start(&f, PATIENT_MS);
		if (ask_once(&f, answer, &r, value) != -1) {
			fprintf(stderr, "taken: %s\n", answer);
			CU_FAIL("it was taken for an answer");
		}
		CHECK_INT(ask_once(&f, "", &r, value), -1);
		CHECK(!mc_usable(f.mc));
		CHECK(clock_mono_ms() - start_ms < PATIENT_MS / 2);
		clock_shift_ms(MC_AWAY_MS);
		CHECK(mc_usable(f.mc));
		clock_shift_ms(0);
		mc_fake_stop(&f);
	}
}

static void
g5_what_does_not_come_to_its_end_is_away_in_time(void)
{
	static const char *const cut[] = { "", "V", "VA 3 kname", "VA 3 kname\r\nab", "VA 3 kname\r\nabc\r", "EN\r" };
	struct mc_fake f;
	struct mc_reply r;
	char value[10];

	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		mc_fake_start(&f, HASTY_MS);
		CHECK_INT(ask_once(&f, cut[i], &r, value), -1);
		CHECK(!mc_usable(f.mc));
		mc_fake_stop(&f);
	}
}

static void
of_a_block_each_gets_its_own_answer_and_statistics_end(void)
{
	static const char answers[] = "VA 1 c1 ka\r\n1\r\nSTAT evictions_x 5\r\nSTAT evictions 7\r\nSTAT z evictions 9\r\nEND\r\n"
				      "EN\r\nVA 3 kb\r\nxyz\r\n";
	struct mc_reply r[4];
	struct mc_fake f;
	char value[4][10];

	mc_fake_start(&f, PATIENT_MS);
	memset(r, 0, sizeof(r));
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		r[i] = (struct mc_reply){ .value = value[i], .room = sizeof(value[i]) };
	r[0].key = "a";
	r[1].stat = "evictions";
	r[3].key = "b";
	mc_fake_say(&f, answers, sizeof(answers) - 1);
	mc_begin(f.mc);
	for (size_t i = 0; i < ARRAY_LEN(r); i++)
		(void)buf_adds(mc_command(f.mc, 0, &r[i]), "mn\r\n");
	CHECK_INT(mc_run(f.mc, mc_deadline_ms(f.mc)), 0);
	CHECK(r[0].status == MC_VALUE && r[0].len == 1 && value[0][0] == '1' && r[0].cas == 1);
	CHECK(r[1].status == MC_DONE && r[1].number == 7);
	CHECK_INT(r[2].status, MC_ABSENT);
	CHECK(r[3].status == MC_VALUE && memcmp(value[3], "xyz", 3) == 0);
	mc_fake_stop(&f);
}

/* -- what is believed ------------------------------------------------------------------ */

/* The answer to a look for that key: its value sealed by that seal for that other key. */
static void
say_entry(struct mc_fake *f, struct seal *asked, struct seal *seal, const char *key, const struct memory_entry *e)
{
	struct buf body = BUF_INIT(SEAL_VALUE_MAX), answer = BUF_INIT(2 * SEAL_VALUE_MAX);
	char name[SEAL_NAME_SIZE];

	MUST(memory_write(e, &body) == 0);
	seal_name(seal, SEAL_OBJECT, key, name);
	MUST(seal_close(seal, name, &body) == 0);
	seal_name(asked, SEAL_OBJECT, OBJECT, name);
	(void)buf_addf(&answer, "VA %zu k%s\r\n", body.len, name);
	(void)buf_add(&answer, body.data, body.len);
	(void)buf_adds(&answer, "\r\n");
	mc_fake_say(f, answer.data, answer.len);
	buf_release(&body);
	buf_release(&answer);
}

static enum memory_state
look_once(struct memory *m)
{
	static const char *const keys[] = { OBJECT };
	struct memory_entry e;
	enum memory_state s;

	memory_look(m, keys, 1, &e);
	s = e.state;
	memory_entry_release(&e);
	return s;
}

static void
only_what_this_site_sealed_for_this_key_of_this_store_is_believed(void)
{
	struct seal *seal = seal_new(SECRET, STORE), *tenant = seal_new("guess", STORE), *bucket = seal_new(SECRET, "b");
	static char etag[] = "\"a\"";
	struct memory_entry e = entry_of(etag, etag);
	struct mc_fake f;
	struct memory *m;

	mc_fake_start(&f, PATIENT_MS);
	m = memory_new(f.mc, seal);
	say_entry(&f, seal, seal, OBJECT, &e);
	CHECK_INT(look_once(m), MEMORY_PRESENT);
	CHECK_INT(memory_counts(m)->forged, 0);
	say_entry(&f, seal, tenant, OBJECT, &e);
	CHECK_INT(look_once(m), MEMORY_UNKNOWN);
	say_entry(&f, seal, bucket, OBJECT, &e);
	CHECK_INT(look_once(m), MEMORY_UNKNOWN);
	say_entry(&f, seal, seal, "30d/another", &e);		/* replayed under this name */
	CHECK_INT(look_once(m), MEMORY_UNKNOWN);
	CHECK_INT(memory_counts(m)->forged, 3);
	e.until_s = clock_wall_ms() / 1000 - 1;			/* replayed when its time is over */
	say_entry(&f, seal, seal, OBJECT, &e);
	CHECK_INT(look_once(m), MEMORY_UNKNOWN);
	e = (struct memory_entry){ .state = MEMORY_ABSENT, .until_s = clock_wall_ms() / 1000 + 5 };
	say_entry(&f, seal, seal, OBJECT, &e);
	CHECK_INT(look_once(m), MEMORY_ABSENT);
	CHECK_INT(memory_counts(m)->present, 1);
	CHECK_INT(memory_counts(m)->absent, 1);
	CHECK_INT(memory_counts(m)->unknown, 4);
	CHECK_INT(memory_counts(m)->away, 0);
	CHECK(mc_usable(f.mc));
	memory_free(m);
	mc_fake_stop(&f);
	seal_free(seal);
	seal_free(tenant);
	seal_free(bucket);
}

static void
without_memcached_or_a_secret_nothing_is_known_and_no_time_is_lost(void)
{
	static char nowhere[] = "/nonexistent/memcached.sock", etag[] = "\"a\"";
	static char *const servers[] = { nowhere };
	const struct strs list = { (char **)(uintptr_t)servers, 1 };
	struct mc *mc = mc_new(&list, PATIENT_MS, NULL);
	struct seal *seal = seal_new(SECRET, STORE);
	struct memory *m = memory_new(mc, seal);
	struct memory_entry e = entry_of(etag, etag);
	int64_t start_ms = clock_mono_ms();
	struct lease l;

	for (int i = 0; i < 3; i++) {
		CHECK_INT(look_once(m), MEMORY_UNKNOWN);
		CHECK_INT(memory_keep(m, OBJECT, &e), -1);
		CHECK_INT(memory_forget(m, OBJECT), -1);
		CHECK_INT(lease_take(mc, seal, OBJECT, "me", 10, &l), LEASE_AWAY);
		CHECK(!lease_is_held(&l));
	}
	CHECK_INT(memory_counts(m)->away, 9);
	CHECK_INT(look_once(NULL), MEMORY_UNKNOWN);
	CHECK_INT(memory_keep(NULL, OBJECT, &e), -1);
	CHECK_INT(memory_forget(NULL, OBJECT), -1);
	CHECK_INT(lease_take(NULL, NULL, OBJECT, "me", 10, &l), LEASE_AWAY);
	CHECK(clock_mono_ms() - start_ms < PATIENT_MS / 2);
	memory_free(m);
	seal_free(seal);
	mc_free(mc);
}

/* ---- what hosts share ------------------------------------------------------------- */

/* Where objects are in a bucket, and hosts know a secret. */
static struct config *
shared_config(struct strs *servers, char **secret)
{
	static char text[] = "", endpoint[] = "https://s3.example.org", bucket[] = "b", day[] = "1d", keep[] = "keep";
	static struct retention classes[] = { { day, 1 }, { keep, 0 } };
	static struct config c;

	c = (struct config){ .cache_store = CACHE_STORE_S3, .s3_memory_secret = { secret, 1 }, .memcached = *servers,
		.memcached_timeout_ms = PATIENT_MS, .s3_endpoint = endpoint, .s3_bucket = bucket, .s3_prefix = text,
		.s3_remember_ms = 3600 * 1000, .retentions = classes, .n_retentions = 2 };
	return &c;
}

static int lookups;
static int64_t lookup_ms;

/* In place of the system's: a DNS that is silent, until whoever asks gives up. */
int
getaddrinfo(const char *host UNUSED, const char *port UNUSED, const struct addrinfo *hints UNUSED, struct addrinfo **ret UNUSED)
{
	lookups++;
	if (lookup_ms != 0)
		clock_shift_ms(lookup_ms);
	return EAI_AGAIN;
}

static void
g5_a_name_that_nobody_finds_has_a_thirtieth_of_the_time(void)
{
	static char name[] = "memcached.example";
	static char *const servers[] = { name };
	const struct strs list = { (char **)(uintptr_t)servers, 1 };
	struct mc *mc;

	lookups = 0;
	lookup_ms = 10000;
	mc = mc_new(&list, HASTY_MS, NULL);
	CHECK(mc != NULL);
	for (int s = 0; s < 3600; s++) {
		mc_begin(mc);
		(void)buf_adds(mc_command(mc, 0, NULL), "mg hello\r\n");
		CHECK_INT(mc_post(mc, mc_deadline_ms(mc)), -1);
		clock_shift_ms(MC_AWAY_MS);
	}
	CHECK(lookups >= 10 && lookups <= 13);
	lookup_ms = 0;			/* it says at once that there is none: asked each second, as a server that is away */
	clock_shift_ms(400 * 1000);
	lookups = 0;
	for (int s = 0; s < 10; s++) {
		mc_begin(mc);
		(void)buf_adds(mc_command(mc, 0, NULL), "mg hello\r\n");
		CHECK_INT(mc_post(mc, mc_deadline_ms(mc)), -1);
		clock_shift_ms(MC_AWAY_MS + 100);
	}
	CHECK_INT(lookups, 10);
	mc_free(mc);
	clock_shift_ms(0);
}

static void
hosts_share_nothing_without_bucket_secret_or_memcached(void)
{
	static char server[] = "/nonexistent/a", other[] = "/nonexistent/b", hex[] = SECRET;
	char *secret[] = { hex }, *one[] = { server }, *two[] = { server, other };
	struct strs servers = { one, 1 };
	struct config *c = shared_config(&servers, secret);
	struct shared s;
	struct mc *before;

	CHECK_INT(shared_open(&s, c, NULL), 0);
	CHECK(s.mc != NULL && s.seal != NULL && s.memory != NULL);
	before = s.mc;
	CHECK_INT(shared_set_config(&s, c, NULL), 0);
	CHECK(s.mc == before);		/* connections stay */
	c->memcached = (struct strs){ two, 2 };
	CHECK_INT(shared_set_config(&s, c, NULL), 0);
	CHECK_INT(mc_servers(s.mc), 2);
	c->memcached.n = 0;
	CHECK_INT(shared_set_config(&s, c, NULL), 0);
	CHECK(s.mc == NULL && s.seal == NULL && s.memory == NULL);
	c->memcached.n = 1;
	CHECK_INT(shared_set_config(&s, c, NULL), 0);
	CHECK(s.mc != NULL);
	shared_close(&s);

	c->s3_memory_secret.n = 0;
	CHECK_INT(shared_open(&s, c, NULL), 0);
	CHECK(s.mc == NULL && s.memory == NULL);
	shared_close(&s);
	c->s3_memory_secret.n = 1;
	c->cache_store = CACHE_STORE_DIRECTORY;
	CHECK_INT(shared_open(&s, c, NULL), 0);
	CHECK(s.mc == NULL && s.memory == NULL);
	shared_close(&s);
}

static void
an_object_is_believed_as_long_as_is_configured_and_its_retention_leaves(void)
{
	static char hex[] = SECRET;
	char *secret[] = { hex };
	struct strs none = { NULL, 0 };
	struct config *c = shared_config(&none, secret);
	int64_t now = clock_wall_ms() / 1000, day = 24 * 3600;
	int64_t until = shared_until_s(c, "1d/b/c/i/a", now);

	CHECK(until == now + 3600 || until == now + 3601);
	CHECK_INT(shared_until_s(c, "1d/b/c/i/a", now - day + 60), now + 60);
	CHECK_INT(shared_until_s(c, "1d/b/c/i/a", now - day - 60), now - 60);	/* not kept any more */
	CHECK_INT(shared_until_s(c, "1d/b/c/i/a", -1), 0);
	until = shared_until_s(c, "keep/b/c/i/a", -1);
	CHECK(until == now + 3600 || until == now + 3601);
	CHECK_INT(shared_until_s(c, "gone/b/c/i/a", now), 0);
	CHECK_INT(shared_until_s(c, "1", now), 0);
	CHECK_INT(shared_ends_s(c, "1d/b/c/i/a", now), now + day);
	CHECK_INT(shared_ends_s(c, "1d/b/c/i/a", -1), 0);
	CHECK_INT(shared_ends_s(c, "keep/b/c/i/a", now), 0);
	CHECK_INT(shared_ends_s(c, "gone/b/c/i/a", now), 0);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(names_tell_nothing_and_meet_nowhere),
		UNIT(a_seal_holds_for_its_bytes_its_name_and_its_store_alone),
		UNIT(a_body_that_is_too_long_is_not_sealed),
		UNIT(what_is_written_is_read_and_fits_and_no_part_of_it_is),
		UNIT(what_no_store_has_is_not_written),
		UNIT(an_answer_is_what_was_asked_for),
		UNIT(g5_what_is_no_answer_is_away),
		UNIT(g5_what_does_not_come_to_its_end_is_away_in_time),
		UNIT(of_a_block_each_gets_its_own_answer_and_statistics_end),
		UNIT(only_what_this_site_sealed_for_this_key_of_this_store_is_believed),
		UNIT(without_memcached_or_a_secret_nothing_is_known_and_no_time_is_lost),
		UNIT(g5_a_name_that_nobody_finds_has_a_thirtieth_of_the_time),
		UNIT(hosts_share_nothing_without_bucket_secret_or_memcached),
		UNIT(an_object_is_believed_as_long_as_is_configured_and_its_retention_leaves),
	};

	return unit_run("memory", tests, ARRAY_LEN(tests));
}
