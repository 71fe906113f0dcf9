/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints eodata-proxy.conf(5).  Runs while building, and is not installed.
 */
#include "base/base.h"

#include <stdio.h>

#include "config/config.h"

int
main(void)
{
	struct buf out = BUF_INIT(1024 * 1024);
	bool ok;

	config_manual(&out);
	ok = buf_ok(&out) && fwrite(buf_str(&out), 1, out.len, stdout) == out.len &&
	     fflush(stdout) == 0;
	buf_release(&out);
	return ok ? 0 : 1;
}
