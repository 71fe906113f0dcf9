/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the header lines of one hop's answer into a struct fetch_response.
 * No curl in here.  Private to lib/net.
 */
#ifndef NET_RESPONSE_H
#define NET_RESPONSE_H

#include "net/fetch.h"

struct response {
	struct fetch_response r;
	char *location;			/* of the last block; may hold a signature */
	/* what was asked for, to judge Content-Range */
	bool asked_range;
	uint64_t asked_first, asked_last;
	bool asked_amz;
	/* over the whole hop: 1xx, the answer, trailers */
	size_t lines, bytes;
	/* of the block being read */
	bool in_block;
	bool settled;			/* r has been handed out: only trailers may follow */
	bool final;			/* its headers are whole and it is not a 1xx */
	bool has_te, chunked, has_range_header, bad_range_header, accepts, digest_offered;
	bool has_region;
	bool has_announced;		/* Content-Length as sent, whatever the status */
	uint64_t announced;
};

enum response_event {
	RESPONSE_MORE,
	RESPONSE_INTERIM,		/* a 1xx block ended */
	RESPONSE_FINAL,			/* the answer's headers are whole: r is filled */
	RESPONSE_BAD,			/* e says why */
};

void response_init(struct response *p, const struct fetch_request *asked);
void response_release(struct response *p);
/* Ready for the next hop. */
void response_clear(struct response *p);
/* One raw line, with its CRLF or LF. */
enum response_event response_line(struct response *p, const char *line, size_t n, struct err *e);
/* A redirect that we follow: the status and a Location. */
bool response_is_redirect(const struct response *p);
/* Framing that is too odd to use the connection again. */
bool response_wants_close(const struct response *p);

#endif
