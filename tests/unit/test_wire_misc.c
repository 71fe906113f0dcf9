/* SPDX-License-Identifier: Apache-2.0
 *
 * The smaller parsers of lib/wire: trace, multihash, ipblock, fcgi, msg.
 */
#include "unit.h"

#include <stdlib.h>

#include "base/text.h"
#include "wire/fcgi.h"
#include "wire/ipblock.h"
#include "wire/msg.h"
#include "wire/multihash.h"
#include "wire/trace.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void
valid_traces_are_kept(void)
{
	char t[TRACE_SIZE];

	trace_keep_or_make(PARENT, t);
	CHECK_STR(t, PARENT);
	CHECK(trace_is_valid("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"));
}

static void
bad_traces_are_replaced(void)
{
	static const char *const s[] = {
		"", "00", PARENT "-x", PARENT "0", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333101-",
		"00-0af7651916cd43dd8448eb211c80319\n-b7ad6b7169203331-01",
	};
	char t[TRACE_SIZE], u[TRACE_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		CHECK(!trace_is_valid(s[i]));
		trace_keep_or_make(s[i], t);
		CHECK(trace_is_valid(t));
		CHECK(strcmp(t, s[i]) != 0);
	}
	trace_keep_or_make(NULL, t);
	trace_keep_or_make(NULL, u);
	CHECK(trace_is_valid(t) && trace_is_valid(u));
	CHECK(strcmp(t, u) != 0);
	CHECK(!trace_is_valid(NULL));
}

#define HEX32 "00112233445566778899aabbccddeeff"
#define EMPTY_MD5 "1B2M2Y8AsgTpgAmY7PhCfg=="
#define EMPTY_SHA256 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static struct checksum sum;

static int
checksum(const char *s)
{
	return checksum_parse(s, strlen(s), &sum);
}

static void
multihash_and_bare_hex_are_told_apart(void)
{
	CHECK_INT(checksum("1220" HEX32 HEX32), 0);
	CHECK_INT(sum.algo, DIGEST_SHA256);
	CHECK_INT(sum.value[1], 0x11);
	CHECK_INT(checksum(HEX32 HEX32), 0);
	CHECK_INT(sum.algo, DIGEST_SHA256);
	CHECK_INT(checksum("d50110" HEX32), 0);
	CHECK_INT(sum.algo, DIGEST_MD5);
	CHECK_INT(checksum("D50110" HEX32), 0);
	CHECK_INT(checksum(HEX32), 0);
	CHECK_INT(sum.algo, DIGEST_MD5);
	CHECK_INT(sum.value[15], 0xff);
	CHECK_INT(checksum("1114" HEX32 "01020304"), 0);
	CHECK_INT(sum.algo, DIGEST_SHA1);
	CHECK_INT(checksum(HEX32 "01020304"), 0);
	CHECK_INT(sum.algo, DIGEST_SHA1);
	CHECK_INT(checksum("1340" HEX32 HEX32 HEX32 HEX32), 0);
	CHECK_INT(sum.algo, DIGEST_SHA512);
	CHECK_INT(checksum(HEX32 HEX32 HEX32 HEX32), 0);
	CHECK_INT(sum.algo, DIGEST_SHA512);
	CHECK_INT(checksum("00112233445566778899AABBCCDDEEFF"), 0);
}

static void
other_checksums_are_refused(void)
{
	static const char *const s[] = {
		"", "12", "1220", "1220" HEX32, "1221" HEX32 HEX32, "1120" HEX32 HEX32, HEX32 "0", HEX32 "00",
		"g0112233445566778899aabbccddeeff",
		"1220" HEX32 "00112233445566778899aabbccddeefg", "sha256:" HEX32 HEX32, " " HEX32 HEX32,
		"1620" HEX32 HEX32,
	};

	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		CHECK_INT(checksum(s[i]), -1);
}

static int
from_header(const char *name, const char *v)
{
	return checksum_parse_header(name, v, strlen(v), &sum);
}

static void
digest_headers_are_read(void)
{
	CHECK_INT(from_header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), 0);
	CHECK_INT(sum.algo, DIGEST_MD5);
	CHECK_INT(sum.value[0], 0xd4);
	CHECK_INT(sum.value[15], 0x7e);
	CHECK_INT(from_header("Digest", "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), 0);
	CHECK_INT(sum.algo, DIGEST_SHA256);
	CHECK_INT(sum.value[0], 0xe3);
	CHECK_INT(from_header("Digest", "md5=" EMPTY_MD5 ", sha-256=" EMPTY_SHA256), 0);
	CHECK_INT(sum.algo, DIGEST_SHA256);
	CHECK_INT(from_header("Digest", "sha-256=" EMPTY_SHA256 ",md5=" EMPTY_MD5), 0);
	CHECK_INT(sum.algo, DIGEST_SHA256);
	CHECK_INT(from_header("Digest", "unixsum=30637, MD5=1B2M2Y8AsgTpgAmY7PhCfg=="), 0);
	CHECK_INT(sum.algo, DIGEST_MD5);
	CHECK_INT(from_header("Repr-Digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"), 0);
	CHECK_INT(sum.algo, DIGEST_SHA256);
}

static void
digest_headers_that_lie_are_refused(void)
{
	CHECK_INT(from_header("Content-MD5", ""), -1);
	CHECK_INT(from_header("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg"), -1);
	CHECK_INT(from_header("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfh=="), -1);	/* spare bits */
	CHECK_INT(from_header("Content-MD5", "1B2M2Y8AsgTpgAmY7PhC*g=="), -1);
	CHECK_INT(from_header("Content-MD5", "=B2M2Y8AsgTpgAmY7PhCfg=="), -1);
	CHECK_INT(from_header("Digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"), -1);
	CHECK_INT(from_header("Digest", ",,,"), -1);
	CHECK_INT(from_header("Digest", "sha-256="), -1);
	CHECK_INT(from_header("Repr-Digest", "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), -1);
	CHECK_INT(from_header("Repr-Digest", "sha-256=:"), -1);
	CHECK_INT(from_header("ETag", "1B2M2Y8AsgTpgAmY7PhCfg=="), -1);
}

static bool
block_has(const char *block, bool v6, const char *hex)
{
	uint8_t addr[16] = { 0 };
	struct ipblock b;

	MUST(ipblock_parse(block, &b) == 0);
	MUST(text_unhex(hex, strlen(hex), addr, v6 ? 16 : 4) == 0);
	return ipblock_has(&b, v6, addr);
}

static void
blocks_hold_their_addresses(void)
{
	CHECK(block_has("127.0.0.1", false, "7f000001"));
	CHECK(!block_has("127.0.0.1", false, "7f000002"));
	CHECK(block_has("10.0.0.0/8", false, "0affffff"));
	CHECK(!block_has("10.0.0.0/8", false, "0b000000"));
	CHECK(block_has("172.16.0.0/12", false, "ac1fffff"));
	CHECK(!block_has("172.16.0.0/12", false, "ac200000"));
	CHECK(block_has("0.0.0.0/0", false, "ffffffff"));
	CHECK(!block_has("0.0.0.0/0", true, "00000000000000000000000000000001"));
	CHECK(block_has("::1", true, "00000000000000000000000000000001"));
	CHECK(block_has("fd00::/8", true, "fdffffffffffffffffffffffffffffff"));
	CHECK(!block_has("fd00::/8", true, "fe000000000000000000000000000000"));
	CHECK(block_has("fc00::/7", true, "fdffffffffffffffffffffffffffffff"));
	CHECK(!block_has("::1", false, "7f000001"));
}

static void
what_is_no_block_is_refused(void)
{
	static const char *const s[] = {
		"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8 ", " 10.0.0.0",
		"10.0.0.1/8",
		"10.0.0", "10", "0x7f.1", "2130706433", "localhost", "::1/129", "fd00::1/8", "::g", "[::1]",
		"fe80::1%lo",
		"10.0.0.0/8/8", "1.2.3.4.5", "::/+1", "10.0.0.0/99999999999999999999", "127.0.0.1\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct ipblock b;

	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		if (ipblock_parse(s[i], &b) != -1)
			fprintf(stderr, "taken: '%s'\n", s[i]);
		CHECK_INT(ipblock_parse(s[i], &b), -1);
	}
}

static void
records_are_written_as_the_protocol_says(void)
{
	static const uint8_t end[] = { 1, 6, 1, 2, 0, 0, 0, 0, 1, 3, 1, 2, 0, 8, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0 };
	static const uint8_t begin[] = { 1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	struct buf b = BUF_INIT(1000);

	fcgi_end(&b, 0x102, 7);
	CHECK(b.len == sizeof(end) && memcmp(b.data, end, sizeof(end)) == 0);
	buf_clear(&b);
	fcgi_begin(&b, 1);
	CHECK(b.len == sizeof(begin) && memcmp(b.data, begin, sizeof(begin)) == 0);
	buf_release(&b);
}

static void
long_content_becomes_several_records(void)
{
	const size_t n = 2 * FCGI_CONTENT_MAX + 5;
	struct buf b = BUF_INIT(1 << 20);
	struct fcgi_record r;
	char *data = calloc(1, n);
	size_t at = 0, content = 0, records = 0;
	ssize_t took;

	MUST(data != NULL);
	fcgi_record(&b, FCGI_STDOUT, 9, data, n);
	while (at < b.len) {
		took = fcgi_parse(b.data + at, b.len - at, &r);
		CHECK(took > 0);
		if (took <= 0)
			break;
		CHECK_INT(r.type, FCGI_STDOUT);
		CHECK_INT(r.id, 9);
		at += (size_t)took;
		content += r.content_len;
		records++;
	}
	CHECK_INT(content, n);
	CHECK_INT(records, 3);
	free(data);
	buf_release(&b);
}

static void
params_have_short_and_long_lengths(void)
{
	struct buf b = BUF_INIT(1000);
	char value[200];

	memset(value, 'v', sizeof(value));
	fcgi_param(&b, "NAME", 4, value, 127);
	CHECK_INT(b.len, 2 + 4 + 127);
	CHECK_INT((uint8_t)b.data[1], 127);
	buf_clear(&b);
	fcgi_param(&b, "NAME", 4, value, 128);
	CHECK_INT(b.len, 1 + 4 + 4 + 128);
	CHECK_INT((uint8_t)b.data[1], 0x80);
	CHECK_INT((uint8_t)b.data[4], 128);
	buf_release(&b);
}

static void
records_are_parsed_when_whole(void)
{
	const uint8_t rec[] = { 1, 6, 0, 5, 0, 3, 2, 0, 'a', 'b', 'c', 0, 0 };
	struct fcgi_record r;

	for (size_t n = 0; n < sizeof(rec); n++)
		CHECK_INT(fcgi_parse(rec, n, &r), 0);
	CHECK_INT(fcgi_parse(rec, sizeof(rec), &r), 13);
	CHECK_INT(r.id, 5);
	CHECK_INT(r.content_len, 3);
	CHECK(memcmp(r.content, "abc", 3) == 0);
}

static void
what_is_no_record_is_known_at_once(void)
{
	struct fcgi_record r;

	CHECK_INT(fcgi_parse("\xff\xff\xff\xff\xff\xff\xff\xff", 8, &r), -1);	/* our mark of a cut */
	CHECK_INT(fcgi_parse("\xff", 1, &r), -1);
	CHECK_INT(fcgi_parse("\0", 1, &r), -1);
	CHECK_INT(fcgi_parse("\1\0", 2, &r), -1);
	CHECK_INT(fcgi_parse("\1\x0b", 2, &r), -1);
	CHECK_INT(fcgi_parse("\1\x07", 2, &r), 0);
}

static struct buf msg = BUF_INIT(4096);

static void
write_all_kinds(void)
{
	buf_clear(&msg);
	msg_begin(&msg, 'T');
	msg_u32(&msg, 0xfffefdfc);
	msg_u64(&msg, 0x0102030405060708);
	msg_str(&msg, "text");
	msg_str(&msg, NULL);
	msg_str(&msg, "");
	msg_bytes(&msg, "a\0b", 3);
	msg_bytes(&msg, NULL, 0);
	msg_u32(&msg, 1);
}

static bool
read_all_kinds(const void *data, size_t n, bool look)
{
	struct msg_in m;
	size_t len = 99;
	const char *s;
	const void *p;
	uint64_t v;

	msg_open(&m, data, n);
	v = msg_get_u32(&m);
	CHECK(!look || v == 0xfffefdfc);
	v = msg_get_u64(&m);
	CHECK(!look || v == 0x0102030405060708);
	s = msg_get_str(&m, 100);
	CHECK(!look || strcmp(s, "text") == 0);
	s = msg_get_str(&m, 100);
	CHECK(!look || s == NULL);
	s = msg_get_str(&m, 100);
	CHECK(!look || (s != NULL && s[0] == '\0'));
	p = msg_get_bytes(&m, 100, &len);
	CHECK(!look || (p != NULL && len == 3 && memcmp(p, "a\0b", 3) == 0));
	p = msg_get_bytes(&m, 100, &len);
	CHECK(!look || (p == NULL && len == 0));
	v = msg_get_bool(&m);
	CHECK(!look || v == 1);
	return msg_done(&m);
}

static void
f4_an_abort_is_found_in_what_follows_a_request(void)
{
	struct buf b = BUF_INIT(1 << 20);
	struct fcgi_rest r;
	size_t before;

	fcgi_record(&b, FCGI_STDIN, 1, "late \1\2\0\1\0\0\0\0 body", 18);	/* an abort within is content */
	fcgi_record(&b, FCGI_ABORT, 2, NULL, 0);		/* of somebody else */
	before = b.len;
	fcgi_record(&b, FCGI_ABORT, 1, NULL, 0);
	for (size_t piece = 1; piece <= b.len; piece++) {
		size_t found = 0;

		memset(&r, 0, sizeof(r));
		for (size_t at = 0; at < b.len && found == 0; at += piece) {
			size_t n = b.len - at < piece ? b.len - at : piece;

			if (fcgi_rest_aborts(&r, 1, b.data + at, n))
				found = at + n;
		}
		CHECK(found >= before + FCGI_HEADER);
	}
	/* behind what is no record there is none any more */
	memset(&r, 0, sizeof(r));
	b.data[0] = 2;
	CHECK(!fcgi_rest_aborts(&r, 1, b.data, b.len));
	buf_release(&b);
}

static void
messages_come_back_as_written(void)
{
	struct msg_in m;

	write_all_kinds();
	CHECK(buf_ok(&msg));
	CHECK(read_all_kinds(msg.data, msg.len, true));
	msg_open(&m, msg.data, msg.len);
	CHECK_INT(m.type, 'T');
	CHECK(!msg_done(&m));
}

static void
cut_or_lengthened_messages_are_refused(void)
{
	char *exact;

	write_all_kinds();
	for (size_t n = 0; n < msg.len; n++) {
		exact = malloc(n == 0 ? 1 : n);		/* so that a sanitizer sees a byte too far */
		MUST(exact != NULL);
		memcpy(exact, msg.data, n);
		CHECK(!read_all_kinds(exact, n, false));
		free(exact);
	}
	(void)buf_addc(&msg, 'x');
	CHECK(!read_all_kinds(msg.data, msg.len, false));
	CHECK(!read_all_kinds(NULL, 0, false));
}

static void
errors_of_a_reader_are_sticky(void)
{
	struct msg_in m;
	size_t n;

	write_all_kinds();
	msg_open(&m, msg.data, msg.len);
	CHECK_INT(msg_get_u64(&m), 0);			/* a u32 is there */
	CHECK(m.failed);
	CHECK_INT(msg_get_u32(&m), 0);
	CHECK_STR(msg_get_str(&m, 100), NULL);
	CHECK(msg_get_bytes(&m, 100, &n) == NULL && n == 0);
	CHECK(!msg_done(&m));
}

static void
getters_hold_their_limits(void)
{
	struct msg_in m;
	char small[5];

	buf_clear(&msg);
	msg_begin(&msg, 'T');
	msg_str(&msg, "12345");
	msg_open(&m, msg.data, msg.len);
	CHECK_STR(msg_get_str(&m, 5), "12345");
	msg_open(&m, msg.data, msg.len);
	CHECK_STR(msg_get_str(&m, 4), NULL);
	CHECK(m.failed);
	msg_open(&m, msg.data, msg.len);
	msg_get_chars(&m, small, sizeof(small));
	CHECK(m.failed);
	CHECK_STR(small, "");
	buf_clear(&msg);
	msg_begin(&msg, 'T');
	msg_u32(&msg, 2);
	msg_open(&m, msg.data, msg.len);
	CHECK(!msg_get_bool(&m));
	CHECK(m.failed);
	msg_open(&m, msg.data, msg.len);
	CHECK_INT(msg_get_u32_max(&m, 2), 2);
	CHECK(msg_done(&m));
	buf_clear(&msg);
	msg_begin(&msg, 'T');
	msg_u64(&msg, (uint64_t)-5);
	msg_open(&m, msg.data, msg.len);
	CHECK_INT(msg_get_i64(&m), 0);
	CHECK(m.failed);
	buf_clear(&msg);
	msg_begin(&msg, 'T');
	msg_str(&msg, "");
	msg_open(&m, msg.data, msg.len);
	CHECK_STR(msg_get_text(&m, 10), NULL);
	CHECK(m.failed);
	/* a NUL inside a string */
	msg_open(&m, "Ts\0\0\0\3a\0b", 10);
	CHECK_STR(msg_get_str(&m, 10), NULL);
	CHECK(m.failed);
	/* no NUL behind it */
	msg_open(&m, "Ts\0\0\0\1ab", 8);
	CHECK_STR(msg_get_str(&m, 10), NULL);
	CHECK(m.failed);
}

static void
frames_are_cut_out_of_a_stream(void)
{
	struct buf stream = BUF_INIT(4096);
	const void *p;
	size_t n, whole;

	write_all_kinds();
	msg_frame(&stream, &msg);
	msg_frame(&stream, &msg);
	whole = stream.len / 2;
	CHECK_INT(msg_unframe(&stream, 4096, &p, &n), 1);
	CHECK_INT(n, msg.len);
	CHECK(memcmp(p, msg.data, n) == 0);
	buf_consume(&stream, 4 + n);
	for (size_t have = 0; have < whole; have++) {
		stream.len = have;
		CHECK_INT(msg_unframe(&stream, 4096, &p, &n), 0);
	}
	stream.len = whole;
	CHECK_INT(msg_unframe(&stream, 4096, &p, &n), 1);
	CHECK_INT(msg_unframe(&stream, msg.len - 1, &p, &n), -1);
	buf_clear(&stream);
	(void)buf_add(&stream, "\xff\xff\xff\xff", 4);
	CHECK_INT(msg_unframe(&stream, 8 << 20, &p, &n), -1);
	buf_clear(&stream);
	(void)buf_add(&stream, "\0\0\0\0", 4);
	CHECK_INT(msg_unframe(&stream, 8 << 20, &p, &n), -1);
	buf_release(&stream);
}

static void
failed_messages_are_not_framed(void)
{
	struct buf small = BUF_INIT(8), out = BUF_INIT(100);

	msg_begin(&small, 'T');
	msg_str(&small, "too long for it");
	msg_frame(&out, &small);
	CHECK(!buf_ok(&out));
	CHECK_INT(out.len, 0);
	buf_release(&small);
	buf_release(&out);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(valid_traces_are_kept),
		UNIT(bad_traces_are_replaced),
		UNIT(multihash_and_bare_hex_are_told_apart),
		UNIT(other_checksums_are_refused),
		UNIT(digest_headers_are_read),
		UNIT(digest_headers_that_lie_are_refused),
		UNIT(blocks_hold_their_addresses),
		UNIT(what_is_no_block_is_refused),
		UNIT(records_are_written_as_the_protocol_says),
		UNIT(long_content_becomes_several_records),
		UNIT(params_have_short_and_long_lengths),
		UNIT(records_are_parsed_when_whole),
		UNIT(what_is_no_record_is_known_at_once),
		UNIT(f4_an_abort_is_found_in_what_follows_a_request),
		UNIT(messages_come_back_as_written),
		UNIT(cut_or_lengthened_messages_are_refused),
		UNIT(errors_of_a_reader_are_sticky),
		UNIT(getters_hold_their_limits),
		UNIT(frames_are_cut_out_of_a_stream),
		UNIT(failed_messages_are_not_framed),
	};
	int rc = unit_run("misc", tests, ARRAY_LEN(tests));

	buf_release(&msg);
	return rc;
}
