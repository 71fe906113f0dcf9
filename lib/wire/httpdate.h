/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP dates: RFC 9110 section 5.6.7.  Pure; knows no locale and no zone.
 */
#ifndef WIRE_HTTPDATE_H
#define WIRE_HTTPDATE_H

#include "base/base.h"

enum { HTTPDATE_SIZE = 30 };	/* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL */

void httpdate_format(int64_t epoch_s, char ret[HTTPDATE_SIZE]);
/* IMF-fixdate, RFC 850 and asctime forms.  0, or -1. */
int httpdate_parse(const char *s, size_t len, int64_t *ret_epoch_s);

#endif
