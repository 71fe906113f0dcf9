/* SPDX-License-Identifier: Apache-2.0
 *
 * What an answer says of the limit that refused it.  Worker and mover.
 */
#include "base/base.h"

#include "quota/quota.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

void
quota_members(const struct quota_answer *a, struct buf *out)
{
	(void)buf_adds(out, ",\"limit\":{\"set\":");
	text_json(out, a->set, strlen(a->set));
	(void)buf_addf(out, ",\"kind\":\"%s\",\"window\":\"%s\",\"limit\":%" PRIu64 ",\"used\":%" PRIu64
	    ",\"frees_in_s\":%" PRIu32 "}", quota_kind_name(a->kind), quota_window_name(a->window), a->limit, a->used,
	    a->frees_in_s);
}
