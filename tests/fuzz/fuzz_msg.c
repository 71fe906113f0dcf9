/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/msg.h: frames, and the typed getters in an order that the input
 * chooses.  Half of the input is the order, the rest a stream of frames.
 */
#include "fuzz.h"

#include <string.h>

#include "wire/msg.h"

static void
get_one(struct msg_in *m, uint8_t what)
{
	char chars[16];
	const char *s;
	size_t n;

	switch (what % 8) {
	case 0:
		(void)msg_get_u32(m);
		break;
	case 1:
		(void)msg_get_u64(m);
		break;
	case 2:
		s = msg_get_str(m, what);
		MUST(s == NULL || strlen(s) <= what);
		break;
	case 3:
		(void)msg_get_bytes(m, what, &n);
		MUST(n <= what);
		break;
	case 4:
		MUST(msg_get_u32_max(m, what) <= what);
		break;
	case 5:
		MUST(msg_get_i64(m) >= 0);
		break;
	case 6:
		s = msg_get_text(m, what);
		MUST(s != NULL || m->failed);
		break;
	default:
		msg_get_chars(m, chars, sizeof(chars));
		MUST(memchr(chars, '\0', sizeof(chars)) != NULL);
		break;
	}
	if (m->failed)
		MUST(!msg_done(m));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf in = BUF_INIT(1 << 20);
	struct msg_in m;
	const void *msg;
	size_t len, order = n / 2;

	msg_open(&m, data + order, n - order);
	for (size_t i = 0; i < order; i++)
		get_one(&m, data[i]);
	(void)buf_add(&in, data + order, n - order);
	while (msg_unframe(&in, 1 << 16, &msg, &len) == 1) {
		MUST(len > 0 && len <= in.len - 4);
		msg_open(&m, msg, len);
		for (size_t i = 0; i < order; i++)
			get_one(&m, data[i]);
		buf_consume(&in, 4 + len);
	}
	buf_release(&in);
	return 0;
}
