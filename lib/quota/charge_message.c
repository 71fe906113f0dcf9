/* SPDX-License-Identifier: Apache-2.0
 *
 * A charge as fields of a message.  Worker, mover, accountant.
 */
#include "base/base.h"

#include "quota/charge.h"

#include <string.h>

#include "base/text.h"

/* What the names in a charge may hold: it ends up in counters' keys, the ledger and logs. */
static bool
is_name(const char *s)
{
	for (const char *p = s; *p != '\0'; p++) {
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			return false;
	}
	return text_is_utf8(s, strlen(s));
}

static void
get_name(struct msg_in *m, char *dst, size_t cap, bool empty_allowed)
{
	msg_get_chars(m, dst, cap);
	if (!is_name(dst) || (!empty_allowed && dst[0] == '\0'))
		m->failed = true;
}

void
charge_put(struct buf *msg, const struct charge *ch)
{
	msg_str(msg, ch->id);
	msg_str(msg, ch->realm);
	msg_str(msg, ch->user);
	msg_u64(msg, (uint64_t)ch->at_ms);
	msg_u32(msg, (uint32_t)ch->n);
	for (size_t i = 0; i < ch->n && i < RULE_QUOTAS_MAX; i++) {
		msg_str(msg, ch->entry[i].set);
		msg_str(msg, ch->entry[i].subject);
		msg_str(msg, ch->entry[i].group);
	}
	for (size_t i = 0; i < QUOTA_KINDS; i++)
		msg_u64(msg, ch->reserved[i]);
}

void
charge_get(struct msg_in *m, struct charge *ret)
{
	memset(ret, 0, sizeof(*ret));
	get_name(m, ret->id, sizeof(ret->id), true);
	get_name(m, ret->realm, sizeof(ret->realm), true);
	get_name(m, ret->user, sizeof(ret->user), true);
	ret->at_ms = msg_get_i64(m);
	ret->n = msg_get_u32_max(m, RULE_QUOTAS_MAX);
	for (size_t i = 0; i < ret->n; i++) {
		get_name(m, ret->entry[i].set, sizeof(ret->entry[i].set), false);
		get_name(m, ret->entry[i].subject, sizeof(ret->entry[i].subject), false);
		get_name(m, ret->entry[i].group, sizeof(ret->entry[i].group), true);
	}
	for (size_t i = 0; i < QUOTA_KINDS; i++)
		ret->reserved[i] = (uint64_t)msg_get_i64(m);	/* more than 2^63 is nonsense */
	/* what counts somewhere has an id to be settled by */
	if (ret->n > 0 && ret->id[0] == '\0')
		m->failed = true;
	if (m->failed)
		memset(ret, 0, sizeof(*ret));
}
