/* SPDX-License-Identifier: Apache-2.0
 *
 * The target of a message between roles: what its reader takes is exactly
 * what its writer would have written.
 */
#ifndef TESTS_FUZZ_FUZZ_MESSAGE_H
#define TESTS_FUZZ_FUZZ_MESSAGE_H

#include "fuzz.h"

#include <string.h>

#include "base/buf.h"

#define FUZZ_MESSAGE(name)							\
	size_t fuzz_taken;							\
										\
	int									\
	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)			\
	{									\
		struct buf out = BUF_INIT(32 << 20);				\
		static struct name v;						\
										\
		if (name##_get(data, n, &v) == 0) {				\
			fuzz_taken++;						\
			name##_put(&out, &v);					\
			MUST(buf_ok(&out) && out.len == n);			\
			MUST(memcmp(out.data, data, n) == 0);			\
		}								\
		buf_release(&out);						\
		return 0;							\
	}

#endif
