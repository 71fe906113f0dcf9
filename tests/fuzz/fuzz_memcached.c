/* SPDX-License-Identifier: Apache-2.0
 *
 * memcached/client.h: what comes instead of memcached's answers.
 */
#include "fuzz.h"

#include "mc_fake.h"

size_t fuzz_taken;

enum { REPLIES = 5, ROOM = 40, GUARD = 0x5a };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char value[REPLIES][ROOM + 1];
	struct mc_reply r[REPLIES];
	struct mc_fake f;

	if (n > 65536)		/* more than lies in a socket */
		return 0;
	memset(value, GUARD, sizeof(value));
	mc_fake_start(&f, 60000);
	mc_fake_say(&f, data, n);
	(void)shutdown(f.fd, SHUT_WR);
	mc_begin(f.mc);
	for (size_t i = 0; i < REPLIES; i++) {
		r[i] = (struct mc_reply){ .value = value[i], .room = ROOM };
		(void)buf_adds(mc_command(f.mc, 0, &r[i]), "mn\r\n");
	}
	r[1].key = "eo:o0123";
	r[3].stat = "evictions";
	if (mc_run(f.mc, mc_deadline_ms(f.mc)) == 0) {
		fuzz_taken++;
		for (size_t i = 0; i < REPLIES; i++)
			MUST(r[i].len <= ROOM && (r[i].status == MC_VALUE || r[i].len == 0));
		MUST(r[3].status == MC_DONE);
	} else {
		MUST(!mc_usable(f.mc));
	}
	for (size_t i = 0; i < REPLIES; i++)
		MUST(value[i][ROOM] == GUARD);
	mc_fake_stop(&f);
	clock_shift_ms(0);
	return 0;
}
