/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of lib/net: an owner of fetches who notes what happens, one
 * server and the configuration for it, and names that lead where the test
 * wants.
 */
#ifndef TESTS_UNIT_NET_CASE_H
#define TESTS_UNIT_NET_CASE_H

#include "net_server.h"

/* How an owner behaves, and what it has seen. */
struct got {
	/* set before */
	unsigned pause_every;		/* each so many-th on_data says pause; 0 never */
	bool stop_at_response, stop_at_data;
	struct fetch **cancels;		/* on_data cancels these and sets them to NULL */
	size_t n_cancels;
	bool discard;			/* bodies are compared with fill_byte, not kept */
	/* seen */
	struct fetch *f;
	unsigned responses, calls, pauses, ends;
	bool paused, inside, bad_fill;
	struct fetch_response r;	/* strings are copies; without amz */
	struct buf amz;			/* "name=value\n" */
	uint64_t sent;
	struct buf body;
	uint64_t n_body;
	enum fetch_error error;
	char reason[ERR_TEXT_MAX];
};

extern const struct fetch_ops got_ops;
void got_init(struct got *g);
void got_release(struct got *g);

/* Names: "one.test", "s3.us-east-1.test" and "s3.eu-west-3.test" 127.0.0.1, "private.test" 10.0.0.1,
 * "meta.test" 169.254.169.254, "mixed.test" 10.0.0.1 and 127.0.0.1, "turns.test" 127.0.0.1 the first
 * time and 127.0.0.2 ever after, "hang.test" never ends, others do not exist. */

/* Between begin and end: a server on 127.0.0.1, which conf allows, over http; 15 s to connect, 10 s to
 * the first byte, 1000 bytes a second over 8 s, 1 GiB, 3 redirects. */
extern struct config conf;
extern struct server *s;
void begin(void);
void end(void);

const char *url(const char *host, const char *path);	/* of the server; static */
struct fetch_request request(const char *path);		/* one at a time: its url is static */
void start(const struct fetch_request *r, struct got *g);
void run(const struct fetch_request *r, struct got *g);	/* to its end, resuming whenever it pauses */
struct got fetched(const char *path);			/* by an owner that takes all */
void ends_with(const char *path, enum fetch_error want);

#endif
