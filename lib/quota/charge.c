/* SPDX-License-Identifier: Apache-2.0
 *
 * Who pays: the subjects that counters are keyed by.  Runs in the worker.
 * Names of people never reach the store; a hash of them does.
 */
#include "base/base.h"

#include "quota/charge.h"

#include <string.h>

#include "base/digest.h"

enum { SUBJECT_HEX = 40 };	/* 160 bits: no two subjects meet */

/* Parts are parted by NUL, which none of them can hold. */
static void
subject_of(char ret[CHARGE_SUBJECT_MAX + 1], const char *kind, const char *a, const char *b)
{
	char text[16 + sizeof(((struct charge *)0)->realm) + IDENTITY_NAME_MAX + 1];
	const char *part[] = { kind, a, b };
	char hex[65];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(part) && part[i] != NULL; i++) {
		size_t len = strlen(part[i]);

		if (i > 0)
			text[n++] = '\0';
		MUST(n + len < sizeof(text));
		memcpy(text + n, part[i], len);
		n += len;
	}
	digest_sha256_hex(text, n, hex);
	hex[SUBJECT_HEX] = '\0';
	memcpy(ret, hex, SUBJECT_HEX + 1);
}

static void
copy_text(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);

	MUST(n < size);
	memcpy(dst, src, n + 1);
}

static bool
has_set(const struct charge *ch, const char *set)
{
	for (size_t i = 0; i < ch->n; i++) {
		if (strcmp(ch->entry[i].set, set) == 0)
			return true;
	}
	return false;
}

void
charge_add(struct charge *ch, const char *set, const char *group)
{
	struct charge_entry *entry = &ch->entry[ch->n];

	MUST(ch->n < ARRAY_LEN(ch->entry));
	copy_text(entry->set, sizeof(entry->set), set);
	copy_text(entry->group, sizeof(entry->group), group);
	if (group[0] != '\0')
		subject_of(entry->subject, "group", group, NULL);
	else
		subject_of(entry->subject, "user", ch->realm, ch->user);
	ch->n++;
}

void
charge_init(struct charge *ch, const struct config *c, const struct rule *rule, const struct identity *who,
    const char *group, const char *id, int64_t at_ms)
{
	memset(ch, 0, sizeof(*ch));
	copy_text(ch->id, sizeof(ch->id), id);
	copy_text(ch->realm, sizeof(ch->realm), who->realm);
	copy_text(ch->user, sizeof(ch->user), who->name);
	ch->at_ms = at_ms;
	for (size_t i = 0; i < rule->n_quotas; i++) {
		const struct quota_set *set = &c->quotas[rule->quota[i]];

		if (!has_set(ch, set->name))	/* named twice: charged once */
			charge_add(ch, set->name, set->per_group && group != NULL ? group : "");
	}
}
