/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request says, out of its FastCGI parameters.  Pure but for the ids.
 */
#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include "quota/charge.h"
#include "wire/conditional.h"
#include "wire/trace.h"

/* Strings are borrowed from the parameters; NULL where absent. */
struct request {
	char id[CHARGE_ID_MAX + 1];	/* ours, or the one of the answer that is asked for again */
	char trace[TRACE_SIZE];
	int64_t at_ms;			/* wall clock */
	int64_t accepted_mono_us;
	const char *method, *uri;	/* "" where absent */
	const char *range, *origin, *host;
	bool authorized;		/* with an Authorization header, as far as the front let it through */
	struct conditions cond;
	bool again;			/* the front found the file gone: no lookup, same charge */
	bool vanished;			/* the same of a front that does not know the charge: no lookup, a charge of its own */
	uint64_t again_bytes;		/* that the first answer has reserved, in the windows of at_ms */
	bool loop;			/* it came from this very site: 508 */
	bool http_1_0;			/* what the client speaks, as far as the front tells */
	const char *fault;		/* for the client: a header that arrived twice, or is too long; or NULL */
};

/* envp: "NAME=value" and NULL.  site_id: front.site_id, may be NULL. */
void request_read(struct request *ret, char *const *envp, const char *site_id);

/* The token of a charge for the front, which gives it back in EODATA_AGAIN: "ID-BYTES-AT_MS", or "ID" alone.
 * A front that has not kept it says "unknown". */
void request_token(struct buf *out, const struct charge *ch);

#endif
