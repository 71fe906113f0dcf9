/* SPDX-License-Identifier: Apache-2.0
 *
 * W3C traceparent, version 00.  Pure but for making one.
 */
#ifndef WIRE_TRACE_H
#define WIRE_TRACE_H

#include "base/base.h"

enum { TRACE_SIZE = 56 };	/* 55 characters and NUL */

/* Copy when valid (lower-case hex, ids not all zero), else make a new one.  value may be NULL. */
void trace_keep_or_make(const char *value, char ret[TRACE_SIZE]);
bool trace_is_valid(const char *value);

#endif
