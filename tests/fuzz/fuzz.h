/* SPDX-License-Identifier: Apache-2.0
 *
 * What every fuzz target has.  A target is built in two ways: with libFuzzer
 * (configure --enable-fuzzers, clang), and with replay_main.c, which feeds it
 * its corpus in `make check`.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#ifdef FUZZ_COUNTS
/*
 * The target counts the inputs that its parser took.  The replay fails when
 * it took none of the files as they are: a corpus that fell behind the format
 * tests only its first check.
 */
extern size_t fuzz_taken;
#endif

#endif
