/* SPDX-License-Identifier: Apache-2.0
 *
 * The routes of our own.  Worker.  Health and ready are for load balancers
 * and tell nothing but themselves; status and metrics are for whom a rule
 * lets see them.
 */
#include "base/base.h"

#include "worker/endpoints.h"

#include <string.h>

#include "base/log.h"
#include "worker/answer.h"

static int
plain(struct buf *out, const struct request *r, int status, const char *text, bool head)
{
	answer_own(out, r, status, "text/plain; charset=utf-8", text, strlen(text), head);
	return status;
}

static int
ready(struct buf *out, const struct request *r, const struct scoreboard *sb, struct store *store, bool head)
{
	struct err e = ERR_NONE;

	if (__atomic_load_n(&sb->draining, __ATOMIC_ACQUIRE) != 0)
		return plain(out, r, 503, "draining\n", head);
	if (__atomic_load_n(&sb->ready, __ATOMIC_ACQUIRE) == 0)
		return plain(out, r, 503, "not every role is up\n", head);
	if (store->ops->check(store, &e) != 0) {
		log_warn(r->id, "EO-WORKER-STORE", "not ready: %s", e.text);
		return plain(out, r, 503, "the cache cannot be used\n", head);
	}
	/* still 200: the cache is away for every host at once, and requests are served */
	if (scoreboard_movers_have(sb, GAUGE_STORE_AWAY))
		return plain(out, r, 200, "ready\ndegraded: the cache is away, all is fetched from the providers\n", head);
	if (scoreboard_movers_have(sb, GAUGE_STORE_FULL))
		return plain(out, r, 200, "ready\ndegraded: the cache takes nothing, what it lacks is fetched each time\n", head);
	return plain(out, r, 200, "ready\n", head);
}

int
endpoint_answer(struct buf *out, enum route_kind route, const struct request *r, const struct scoreboard *sb,
    struct store *store, bool head)
{
	struct buf body = BUF_INIT(REPLY_MAX - 4096);

	switch (route) {
	case ROUTE_HEALTH:
		return plain(out, r, 200, "ok\n", head);
	case ROUTE_READY:
		return ready(out, r, sb, store, head);
	case ROUTE_STATUS:
		scoreboard_json(sb, &body);
		answer_own(out, r, 200, "application/json", buf_str(&body), body.len, head);
		break;
	case ROUTE_METRICS:
		scoreboard_prometheus(sb, &body);
		answer_own(out, r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&body), body.len, head);
		break;
	case ROUTE_DATA:
	case ROUTE_FAULT:
	default:
		MUST(!"not a route of our own");
	}
	if (!buf_ok(&body))
		out->failed = true;
	buf_release(&body);
	return 200;
}
