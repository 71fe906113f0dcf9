/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of lib/net share; nobody else includes it.
 */
#ifndef NET_PRIVATE_H
#define NET_PRIVATE_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "net/deadline.h"
#include "net/fetch.h"
#include "net/kept.h"
#include "net/response.h"
#include "net/url.h"

enum {
	REDIRECT_BODY_MAX = 65536,	/* more of it closes the connection */
	OPENED_MAX = 8,				/* sockets of one hop that are looked at */
	LOW_SPEED_SLOTS = 4,		/* the low-speed window moves by a quarter */
};

/* What net does with a fetch at its next turn (bits). */
enum { WORK_START = 1, WORK_RESUME = 2, WORK_CANCEL = 4 };

struct net {
	const struct config *config;		/* borrowed; the one in force */
	net_watch_fn *watch;
	void *watch_arg;
	CURLM *multi;
	bool global;				/* curl_global_init has been called */
	int64_t curl_at_mono_ms;		/* when libcurl wants to be called; -1 never */
	struct deadlines deadlines;		/* of fetches, and of callers (net_call_at) */
	struct kept kept;			/* every connection that has carried a request */
	LIST_HEAD(, fetch) all;
	size_t n_fetches;			/* in it */
	TAILQ_HEAD(, fetch) work;		/* for the next turn: see fetch.h, no callback from inside a call */
	size_t n_work;
	unsigned inside;			/* in libcurl, where its rules forbid much */
};

/*
 * Life: fetch_start queues it; the next turn of net (net_on_timeout) makes a
 * handle and adds it to the multi; libcurl calls fetch_on_header and
 * fetch_on_body; its end comes as a message, where a redirect makes the next
 * hop and all else calls on_done and frees.  fetch_cancel only marks: the
 * handle is removed at the next turn.
 */
struct fetch {
	struct net *net;
	LIST_ENTRY(fetch) entry;
	TAILQ_ENTRY(fetch) work_entry;
	unsigned work;				/* bits; 0 = not in net's queue */

	/* the request: copies */
	char *id, *trace, *method, *body;
	bool trusted, as_is, patient;
	bool has_upload;			/* else a PUT sends body */
	int upload_fd;				/* borrowed */
	uint64_t upload_offset, upload_length;	/* of a PUT, also of one that sends body */
	struct strs headers, credentials;	/* complete lines */
	char *digest_user;
	bool has_range, tls_verify, asked_agent;
	uint64_t range_first, range_last, max_size;

	struct fetch_ops ops;
	void *arg;

	/* this hop */
	struct url *first, *url;		/* first may equal url */
	unsigned redirects;
	CURL *easy;				/* NULL between hops */
	struct curl_slist *lines;
	char curl_says[CURL_ERROR_SIZE];
	bool challenged;			/* the first 401 of a digest has been seen */
	bool added;				/* easy is in the multi */
	struct response response;
	bool redirecting;			/* the body that comes is a redirect's: dropped */
	uint64_t dropped;
	bool address_refused, address_tried;	/* by on_open_socket; neither: the connection was kept */
	int opened[OPENED_MAX];			/* by on_open_socket; the last ones */
	unsigned n_opened;
	bool stale;				/* a kept connection that talks unasked: the hop begins again */
	bool fresh;				/* ... on a new connection */
	uint64_t sent;				/* of a PUT's body, by hop_on_read */

	/* the answer */
	bool delivered;				/* on_response has been called */
	bool paused;
	uint64_t taken;				/* body bytes that on_data took */
	bool cut;				/* it was an error's, and is long enough */

	/* how it ends: the first verdict stays */
	bool cancelled;				/* by the caller: no callback any more */
	bool over;				/* verdict and reason are set */
	bool ended;				/* on_done is being called */
	enum fetch_error verdict;
	char reason[ERR_TEXT_MAX];

	/* first byte until delivered, then low speed; low speed also while a body is sent */
	struct deadline deadline;
	int64_t end_mono_ms;			/* of all of it; 0 none */
	bool sending;
	uint64_t slot[LOW_SPEED_SLOTS];		/* bytes in each quarter of the window */
	unsigned slot_now, slots_passed;
	int64_t slot_left_ms;			/* of the quarter, while paused */
};

/* handle.c: the one place that makes a curl handle.  0, or -1 and e. */
int handle_make(struct fetch *f, struct err *e);
void handle_free(struct fetch *f);		/* not inside a callback of curl; not while added */
/*
 * A header line of a caller.  -1: malformed; 0: ours to write, so dropped; 1: to send; 2: to send,
 * and it is User-Agent.
 */
int handle_header_kind(const char *line);

/* hop.c: what libcurl calls. */
size_t hop_on_header(char *data, size_t size, size_t n, void *arg);
size_t hop_on_body(char *data, size_t size, size_t n, void *arg);
size_t hop_on_read(char *to, size_t size, size_t n, void *arg);
int hop_on_seek(void *arg, curl_off_t offset, int whence);
/* Give up with a verdict; the first one stays.  Anywhere. */
void hop_verdict(struct fetch *f, enum fetch_error x, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The hop ended so, and not in a redirect: how did the fetch go?  Sets the verdict when it is a failure. */
enum fetch_error hop_judge(struct fetch *f, CURLcode code);

/* limits.c: first byte and low speed, on the fetch's one deadline. */
void limits_start(struct fetch *f, int64_t caller_deadline_mono_ms);
void limits_body(struct fetch *f);		/* the answer's headers are here */
void limits_count(struct fetch *f, size_t n);	/* body bytes */
void limits_sent(struct fetch *f, size_t n);	/* bytes of a PUT, counted in f->sent */
void limits_pause(struct fetch *f);
void limits_resume(struct fetch *f);
bool limits_passed(struct fetch *f);		/* the deadline has come: true when that is a failure (verdict set) */

/* fetch.c: called by net.c, outside libcurl. */
void fetch_turn(struct fetch *f, unsigned work);
void fetch_hop_done(struct fetch *f, CURLcode code);
void fetch_destroy(struct fetch *f);		/* no callback */

/* net.c */
void net_work_add(struct net *n, struct fetch *f, unsigned work);
void net_work_remove(struct net *n, struct fetch *f);

#endif
