/* SPDX-License-Identifier: Apache-2.0
 *
 * Which store it is.
 */
#include "base/base.h"

#include "cache/store.h"

struct store *
store_open(const struct config *c, bool mover, struct err *e)
{
	return c->cache_store == CACHE_STORE_S3 ? store_s3_open(c, mover, e) : store_directory_open(c, mover, e);
}
