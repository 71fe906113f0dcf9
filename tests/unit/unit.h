/* SPDX-License-Identifier: Apache-2.0
 *
 * The runner of the unit tests: CUnit, with messages that print got and want.
 *
 *	static void bytes_after_the_end_are_416(void) { CHECK_INT(f(), 416); }
 *	int main(void) { static const struct unit_test t[] = { UNIT(bytes_after_the_end_are_416) };
 *		return unit_run("range", t, ARRAY_LEN(t)); }
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include "base/base.h"

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};
#define UNIT(f) { #f, f }

#define CHECK(cond)									\
	do {										\
		bool ok_ = (cond);							\
		if (!ok_)								\
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);	\
		CU_ASSERT_TRUE(ok_);							\
	} while (0)
#define CHECK_INT(got, want)								\
	do {										\
		int64_t got_ = (int64_t)(got), want_ = (int64_t)(want);			\
		if (got_ != want_)							\
			fprintf(stderr, "%s:%d: %s: got %" PRId64 ", want %" PRId64 "\n",	\
			    __FILE__, __LINE__, #got, got_, want_);			\
		CU_ASSERT_TRUE(got_ == want_);						\
	} while (0)
#define CHECK_STR(got, want)								\
	do {										\
		const char *got_ = (got), *want_ = (want);				\
		bool ok_ = got_ == want_ || (got_ != NULL && want_ != NULL && strcmp(got_, want_) == 0);	\
		if (!ok_)								\
			fprintf(stderr, "%s:%d: %s: got \"%s\", want \"%s\"\n", __FILE__, __LINE__, #got,	\
			    got_ == NULL ? "(NULL)" : got_, want_ == NULL ? "(NULL)" : want_);	\
		CU_ASSERT_TRUE(ok_);							\
	} while (0)

static inline int
unit_run(const char *suite, const struct unit_test *t, size_t n)
{
	CU_pSuite s;
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	s = CU_add_suite(suite, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		MUST(CU_add_test(s, t[i].name, t[i].run) != NULL);
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed == 0 ? 0 : 1;
}

#endif
