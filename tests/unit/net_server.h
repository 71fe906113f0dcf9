/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of lib/net: servers on loopback that misbehave as they are
 * told, and lib/net, in one epoll loop.
 */
#ifndef TESTS_UNIT_NET_SERVER_H
#define TESTS_UNIT_NET_SERVER_H

#include "base/buf.h"
#include "net/fetch.h"

struct server;

struct server *server_start(void);
void server_stop(struct server *s);
int server_port(const struct server *s);
/*
 * What a path (without its query) is answered with, step after step; calls
 * for one path append.  After the last step the connection is kept and waits
 * for the next request.  A request with "Authorization: Digest" takes the
 * path "PATH+digest" where that exists, one that is not its connection's first
 * "PATH+kept".
 */
void server_says(struct server *s, const char *path, const char *fmt, ...) PRINTF_LIKE(3, 4);
void server_sends(struct server *s, const char *path, const void *data, size_t n);
void server_fills(struct server *s, const char *path, uint64_t n);	/* n bytes of fill_byte(0..) */
void server_waits(struct server *s, const char *path);			/* until server_goes */
void server_closes(struct server *s, const char *path);
void server_resets(struct server *s, const char *path);
void server_goes(struct server *s);
/* From now on, of each request: under which path its answer stands (head: its head, and what there is of its body). */
typedef const char *server_choose_fn(void *arg, const char *head);
void server_chooses(struct server *s, server_choose_fn *fn, void *arg);
/*
 * Bodies of requests for path are not kept: they are compared with fill_byte (of after on) as they
 * come.  The answer begins after n bytes of them, or after all; what follows is read when goes_on.
 */
void server_takes(struct server *s, const char *path, uint64_t n, uint64_t after, bool goes_on);
uint64_t server_taken(const struct server *s);		/* bytes of the last such body so far */
bool server_took_wrong(const struct server *s);		/* has one been another than it should? */
bool server_delivered(const struct server *s);		/* has all that was sent arrived? */
void server_drips(struct server *s, uint64_t n);	/* n more fill bytes on every open connection, outside any route */
/* What has been asked: request heads, one after the other. */
const char *server_log(const struct server *s);
bool server_was_told(const struct server *s, const char *text);	/* is it in the log? (case-sensitive) */
unsigned server_requests(const struct server *s);
unsigned server_connections(const struct server *s);		/* accepted since the start */
unsigned server_open(const struct server *s);			/* of these, still open */

static inline char
fill_byte(uint64_t i)
{
	return (char)(i * 31 + i / 251);
}

/* One request each way of the loop; at most 20 ms. */
void loop_start(const struct config *c);
void loop_stop(void);
struct net *loop_net(void);
void loop_turn(void);
bool loop_hangs(int64_t since_mono_us);		/* real time: 20 s have passed */
size_t loop_watched(void);			/* descriptors that lib/net watches */

/* Turn until cond; fails the test after 20 s. */
#define UNTIL(cond)							\
	do {								\
		int64_t since_ = loop_real_us();			\
		while (!(cond) && !loop_hangs(since_))			\
			loop_turn();					\
		CHECK(cond);						\
	} while (0)
int64_t loop_real_us(void);

#endif
