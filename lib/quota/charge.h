/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request costs its user and group.  Reserved, then settled, by one id.
 * A charge travels from the worker to the mover and to the accountant.
 */
#ifndef QUOTA_CHARGE_H
#define QUOTA_CHARGE_H

#include "access/identity.h"
#include "wire/msg.h"

enum { CHARGE_ID_MAX = 32, CHARGE_SET_MAX = 64, CHARGE_SUBJECT_MAX = 64 };

struct charge {
	char id[CHARGE_ID_MAX + 1];	/* the request's id */
	char realm[32];
	char user[IDENTITY_NAME_MAX + 1];
	int64_t at_ms;			/* wall clock of the reservation: names the windows */
	size_t n;
	struct charge_entry {
		char set[CHARGE_SET_MAX + 1];		/* a member of config.quotas */
		/* hex of a hash over (realm, user) or (group): what counters are keyed by */
		char subject[CHARGE_SUBJECT_MAX + 1];
		char group[IDENTITY_GROUP_MAX + 1];	/* charged group, "" for a user: for the ledger */
	} entry[RULE_QUOTAS_MAX];
	uint64_t reserved[QUOTA_KINDS];	/* so far: what the counters hold for it */
};

/*
 * The charge of a request under the rule that allowed it.  group: as in
 * access_verdict; a per-group set charges the user when it is "".
 */
void charge_init(struct charge *ch, const struct config *c, const struct rule *rule, const struct identity *who,
    const char *group, const char *id, int64_t at_ms);

/* One set more, RULE_QUOTAS_MAX at most; realm and user are there.  group "": the user pays. */
void charge_add(struct charge *ch, const char *set, const char *group);

/* As fields of a message (between roles).  charge_get fails the message on nonsense. */
void charge_put(struct buf *msg, const struct charge *ch);
void charge_get(struct msg_in *m, struct charge *ret);

#endif
