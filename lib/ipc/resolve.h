/* SPDX-License-Identifier: Apache-2.0
 *
 * Where are the bytes: the conversation of movers, the resolvers' broker and
 * the resolvers.
 *
 * A mover asks the broker (SEQPACKET, FD_BROKER) for a connection to a
 * backend's resolver.  The broker forks one if there is none and answers with
 * one end of a stream socket, or with a refusal (cool-down, too many
 * backends).  Jobs then go over that stream in frames (msg_frame), any number
 * in flight; the resolver works on one at a time and answers in any order.
 * EOF on it means: that resolver is gone, its jobs have failed.  One that ends
 * in order says so before, by an answer to RESOLVE_JOB_BYE: it has answered all
 * that it had read, and what is still open was not begun.  So does one whose
 * interpreter a job has spoilt, behind that job's answer.
 */
#ifndef IPC_RESOLVE_H
#define IPC_RESOLVE_H

#include "config/config.h"
#include "wire/msg.h"
#include "wire/trace.h"

enum {
	RESOLVE_BACKEND_MAX = 128,
	RESOLVE_FRAME_MAX = 20 << 20,	/* bytes; the largest item (stac.item_max, 16 MiB) fits */
	RESOLVE_JOB_BYE = 0,		/* no job's number */
	SOURCE_URL_MAX = 16384,
	SOURCE_HEADERS_MAX = 64,
};

/* Mover -> broker. */
struct resolve_connect { const char *backend; };
/* Broker -> mover; with one descriptor when ok. */
struct resolve_connected {
	const char *backend;
	bool ok;
	uint32_t status;	/* HTTP status when not ok: 404 unknown backend, 503, 504 cool-down */
	uint32_t retry_after_s;
	const char *reason;	/* for the log: short, no secrets */
};
void resolve_connect_put(struct buf *msg, const struct resolve_connect *c);
int resolve_connect_get(const void *data, size_t n, struct resolve_connect *ret);
void resolve_connected_put(struct buf *msg, const struct resolve_connected *c);
int resolve_connected_get(const void *data, size_t n, struct resolve_connected *ret);

/* Mover -> resolver. */
struct resolve_job {
	uint64_t job;
	const char *trace;
	const char *backend, *collection, *item, *asset, *subpath;	/* subpath may be NULL */
	const char *item_json;		/* the STAC item as fetched, or NULL: search */
	size_t item_json_len;
	bool fresh;			/* the last credentials were refused: make new ones */
};
void resolve_job_put(struct buf *msg, const struct resolve_job *j);
int resolve_job_get(const void *data, size_t n, struct resolve_job *ret);

enum resolve_kind { RESOLVE_SOURCE, RESOLVE_PENDING, RESOLVE_CARRY, RESOLVE_FAILED };
enum source_kind { SOURCE_HTTP, SOURCE_S3 };

/* Resolver -> mover. */
struct resolve_answer {
	uint64_t job;
	enum resolve_kind kind;
	/* RESOLVE_SOURCE */
	enum source_kind source;
	const char *backend;		/* that really serves it */
	const char *url;		/* secret when it is signed */
	/* A client may see the URL: it holds nothing of the site's that would be good for more than this asset. */
	bool for_clients;
	const char *method;		/* "GET", "POST" */
	const char *body;		/* NULL without */
	/* "Name: value": credentials; only for the URL's scheme, host and port */
	const char *headers[SOURCE_HEADERS_MAX];
	size_t n_headers;
	int64_t expires_ms;		/* wall clock; 0 unknown */
	const char *media_type;		/* of the asset, or NULL */
	const char *filename;		/* or NULL */
	uint64_t size;			/* file:size; UINT64_MAX unknown */
	const char *checksum;		/* file:checksum, or NULL */
	bool tls_verify;
	const char *digest_user;	/* "user:password" for HTTP digest, or NULL */
	/*
	 * SOURCE_S3; NULL elsewhere.  Without a region: unknown; without an endpoint: Amazon's.  Either anonymous,
	 * or access and secret are there, and with temporary ones a token: printable ASCII without spaces.
	 */
	const char *bucket, *s3_key, *s3_region, *s3_endpoint, *s3_access, *s3_secret, *s3_token;
	bool s3_requester_pays, s3_anonymous;
	/* RESOLVE_PENDING, RESOLVE_FAILED */
	uint32_t status;		/* for the client: 404, 502, 503, 504, 403, 429 */
	uint32_t retry_after_s;		/* 0 unknown */
	const char *order_id;		/* PENDING */
	const char *who;		/* FAILED: "client", "resolver", "upstream" */
	const char *reason;		/* for the log: no secrets */
};
void resolve_answer_put(struct buf *msg, const struct resolve_answer *a);
int resolve_answer_get(const void *data, size_t n, struct resolve_answer *ret);	/* borrows from data */

#endif
