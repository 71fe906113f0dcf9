/* SPDX-License-Identifier: Apache-2.0
 *
 * The routes of our own: -/health, -/ready, -/status, -/metrics.
 */
#ifndef WORKER_ENDPOINTS_H
#define WORKER_ENDPOINTS_H

#include "stat/scoreboard.h"
#include "worker/decide.h"

/* Append the whole answer; returns its status.  Allowed already. */
int endpoint_answer(struct buf *out, enum route_kind route, const struct request *r, const struct scoreboard *sb,
    struct store *store, bool head);

#endif
