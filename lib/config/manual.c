/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxy.conf(5), from the table, as mdoc.  Runs at build time only.
 */
#include "config/params.h"

#include <string.h>

void
config_manual(struct buf *out)
{
	(void)buf_adds(out, ".Dd November 22, 2026\n.Dt EODATA-PROXY.CONF 5\n.Os\n");
}
