/* SPDX-License-Identifier: Apache-2.0
 *
 * Outgoing HTTP, over libcurl's multi interface in the caller's event loop.
 * The one place that makes a curl handle: protocols, TLS, addresses (checked
 * where the connection is made), redirects by hand with every hop checked
 * again, credentials only to the scheme, host and port they are for, limits.
 * Nothing here blocks.  Single thread; the mover, and eodata-proxyctl through
 * net/wait.h.  SIGPIPE must be ignored
 * (OpenSSL writes to connections that a provider has closed).
 */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include "config/config.h"
#include "wire/header.h"
#include "wire/multihash.h"

struct net;
struct fetch;

/* How the loop watches: events is EPOLLIN|EPOLLOUT bits, 0 = forget. */
typedef void net_watch_fn(void *arg, int fd, uint32_t events);

struct net *net_new(const struct config *c, net_watch_fn *watch, void *watch_arg, struct err *e);
/* Borrowed.  In force from now on, for running fetches too; the one before is not touched again. */
void net_set_config(struct net *n, const struct config *c);
void net_free(struct net *n);				/* cancels all */
void net_on_fd(struct net *n, int fd, uint32_t events);	/* EPOLL bits */
int net_timeout_ms(struct net *n);			/* for epoll_wait; -1 none */
/* call when it has passed; cheap when it has not; also runs fetches' own deadlines */
void net_on_timeout(struct net *n);

bool net_is_idle(const struct net *n);			/* no fetch is under way */

struct deadline;
/*
 * For whoever fetches again later: d->fn(d->arg) is called by net_on_timeout, once, at that time or
 * after it.  d is the caller's, who calls it off before d goes.
 */
void net_call_at(struct net *n, struct deadline *d, int64_t at_mono_ms);
void net_call_off(struct net *n, struct deadline *d);

enum fetch_error {
	FETCH_OK,
	FETCH_REFUSED,		/* URL, scheme, address or redirect against policy: 502 */
	FETCH_CONNECT,		/* DNS, connect, TLS: 502 */
	FETCH_TIMEOUT,		/* connect, first byte, low speed: 504 */
	FETCH_PROTOCOL,		/* bad headers, bad framing: 502 */
	FETCH_TRUNCATED,	/* body shorter than announced, or framing cut */
	FETCH_TOO_LARGE,
	FETCH_LOOP,		/* redirects_max */
	FETCH_CANCELLED,	/* the caller's on_* said stop, or its upload cannot be read */
};
const char *fetch_error_name(enum fetch_error x);	/* "timeout" */

enum {
	FETCH_ERROR_BODY_MAX = 65536,	/* bytes of an answer of 300 or more, where it is asked for; more is cut off */
	FETCH_AMZ_MAX = 64,		/* x-amz-* headers; S3 allows 2 KiB of metadata in all */
	FETCH_AMZ_VALUE_MAX = 2048,	/* bytes */
};

struct fetch_header {
	char *name;	/* lower case */
	char *value;	/* no control byte but a tab; bytes above ASCII may be there */
};

/* What the final response's headers said (allow-listed; all else is gone). */
struct fetch_response {
	int status;
	bool has_length;
	uint64_t length;	/* of the body; to HEAD, of the body that GET would have */
	bool has_content_range;
	/* 206 whose Content-Range is absent, malformed or not the range asked for (clipped to the size) */
	bool bad_content_range;
	uint64_t range_first, range_last, range_size;	/* range_size UINT64_MAX when "*" */
	char *media_type, *etag, *disposition, *content_encoding;	/* NULL when absent or malformed */
	int64_t last_modified;		/* s, -1 absent */
	int64_t date;			/* s, by the server's clock; -1 absent */
	int64_t retry_after_s;		/* -1 absent */
	struct checksum checksum;	/* announced by the provider */
	bool excess;			/* known in on_done: more came than was announced, and was cut off */
	/* the end of the body is proven by length or chunked framing; false: by close */
	bool framed;
	bool accepts_ranges;		/* Accept-Ranges: bytes, or a 206 */
	char *cache_status;		/* Cache-Status: its first line; NULL when absent or too long */
	char *bucket_region;		/* x-amz-bucket-region, [a-z0-9-]; NULL when absent or malformed */
	struct fetch_header *amz;	/* x-amz-* in their order; NULL unless asked for */
	size_t n_amz;
};
/* The value of the one x-amz-* header of this name (lower case).  NULL: absent, or there twice. */
const char *fetch_response_amz(const struct fetch_response *r, const char *name);

struct fetch_request {
	const char *id, *trace;		/* for the log, and traceparent */
	const char *url;
	const char *method;		/* "GET", "POST"; "HEAD", "PUT" and "DELETE" when trusted */
	const char *body;		/* POST, PUT: text, at most 1 MiB; copied.  Its type is one of headers */
	/*
	 * PUT, in place of body: length bytes of a file from offset on.  The descriptor is borrowed until
	 * on_done begins or fetch_cancel returns, its position is not moved.  They may be read more than
	 * once: libcurl sends again on a new connection when a kept one turns out to be dead.
	 */
	bool has_upload;
	int upload_fd;
	uint64_t upload_offset, upload_length;
	/*
	 * To an endpoint that the operator has configured: any address, port and of http and https any
	 * scheme; URLs of up to 32 KiB; no CDN-Loop; no limit of size but max_size; and as_is.
	 */
	bool trusted;
	/*
	 * A redirect is an answer like others.  Of a body to a status of 300 or more the first
	 * FETCH_ERROR_BODY_MAX bytes come, whatever max_size says.
	 */
	bool as_is;
	bool want_amz;			/* keep x-amz-* headers of the answer; too many or too long: FETCH_PROTOCOL */
	/*
	 * Complete lines, copied.  One that is malformed makes fetch_start fail;
	 * those that are ours to write (Host, Range, Accept-Encoding, framing,
	 * hop-by-hop ...) are dropped.
	 */
	char *const *headers;		/* plain ones, to every hop: "If-Range: .." */
	size_t n_headers;
	const char *const *credentials;	/* secret ones, only to url's own scheme, host and port */
	size_t n_credentials;
	const char *digest_user;	/* "user:password", or NULL; same origin only */
	bool has_range;
	uint64_t range_first, range_last;	/* inclusive; last UINT64_MAX = open */
	uint64_t max_size;		/* of the body; 0 = upstream_max_size */
	bool tls_verify;
	/*
	 * Of the caller; 0 none: the configured first_byte_timeout counts anyway.  With a body to PUT it
	 * counts until sending begins; sending has the lowest speed of all bodies as its limit, and from
	 * its end on first_byte_timeout counts anew.
	 */
	int64_t first_byte_deadline_mono_ms;
	int64_t end_mono_ms;		/* by then it is over, or FETCH_TIMEOUT; 0 none.  Pauses count, too */
	/*
	 * The answer may take its time, and drip: end_mono_ms, which must be set, is its only limit.
	 * (S3 answers 200 to the completion of an upload, then sends spaces for minutes.)
	 */
	bool patient;
};

struct fetch_ops {
	/*
	 * The final response's headers are whole.  r is borrowed for the life of the fetch.  0 go
	 * on, -1 stop (FETCH_CANCELLED).
	 */
	int (*on_response)(void *arg, const struct fetch_response *r);
	/* Body bytes.  0: all taken.  1: pause, nothing taken (they come again after fetch_resume).  -1: stop. */
	int (*on_data)(void *arg, const char *data, size_t n);
	/* Over; last call; the fetch is freed after it returns.  Not called after fetch_cancel. reason: no secrets. */
	void (*on_done)(void *arg, enum fetch_error x, const char *reason);
};

/* NULL and e when url or policy forbid it at once.  Callbacks never come from inside this call. */
struct fetch *fetch_start(struct net *n, const struct fetch_request *r, const struct fetch_ops *ops, void *arg,
    struct err *e);
/* Start reading again.  Callbacks may come from inside net_on_timeout, never from inside this call. */
void fetch_resume(struct fetch *f);
/*
 * No callback comes any more; the connection is closed unless it was idle.  Not from inside a
 * callback of f (return -1 there).
 */
void fetch_cancel(struct fetch *f);
const struct fetch_response *fetch_response(const struct fetch *f);
/* Bytes of a PUT's body that have been handed to the connection; less than before when it is sent again. */
uint64_t fetch_sent(const struct fetch *f);

#endif
