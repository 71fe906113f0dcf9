/* SPDX-License-Identifier: Apache-2.0
 *
 * Lost counters, found and made again from the ledger.  Accountant only.
 */
#ifndef ACCOUNTANT_REBUILD_H
#define ACCOUNTANT_REBUILD_H

#include "config/config.h"

struct rebuild;

/* There the ledger is, and the record of which epoch has it (counters.epoch).  The folder is there. */
struct rebuild *rebuild_new(const char *dir_state);
void rebuild_free(struct rebuild *r);
/* From now on this configuration, borrowed until the next call.  With other servers rebuild_turn looks at once. */
void rebuild_config(struct rebuild *r, const struct config *c, bool other_servers);
/*
 * A part of the work: looks at the servers once a second, and reads a part of
 * the ledger where there is need.  It may wait as long as memcached may.
 * written: no charge waits to be written to the ledger.  True: there is more
 * to do at once.
 */
bool rebuild_turn(struct rebuild *r, bool written);
/*
 * Are the counters ours to move?  Not while they are lost, or being made: what
 * is settled then is in the ledger, and counted when that is read to its end.
 */
bool rebuild_is_whole(const struct rebuild *r);
/* Reservations made before this (wall clock, ms) are in counters that are gone. */
int64_t rebuild_since_ms(const struct rebuild *r);

#endif
