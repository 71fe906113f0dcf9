/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of eodata-proxyctl share.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "base/base.h"

/* "eodata-proxyctl: " and the message on standard error.  Returns 1, as what failed exits. */
int complain(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
