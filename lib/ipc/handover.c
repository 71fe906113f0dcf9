/* SPDX-License-Identifier: Apache-2.0
 *
 * Worker to mover: the request and the client's connection.  Both ends.
 */
#include "base/base.h"

#include "ipc/handover.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "wire/path.h"

enum {
	HANDOVER_TYPE = 'H',
	HEADER_MAX = 8192,			/* one header of the client */
	SUBPATH_MAX = 3 * PATH_URI_MAX,		/* all of it percent-encoded */
	RULE_NAME_MAX = 1024,
	WORD_MAX = 32,
	RETRY_MS = 2,
};

/* A path segment as path_parse lets it through. */
static const char *
get_segment(struct msg_in *m)
{
	const char *s = msg_get_text(m, PATH_SEGMENT_MAX);

	if (s != NULL && !text_is_utf8(s, strlen(s))) {
		m->failed = true;
		return NULL;
	}
	return s;
}

void
handover_put(struct buf *msg, const struct handover *h)
{
	const struct conditions *c = &h->cond;
	size_t start = msg->len;
	struct handover check;

	msg_begin(msg, HANDOVER_TYPE);
	msg_u32(msg, h->fcgi_id);
	msg_str(msg, h->id);
	msg_str(msg, h->trace);
	msg_u32(msg, h->head);
	msg_str(msg, h->backend);
	msg_str(msg, h->collection);
	msg_str(msg, h->item);
	msg_str(msg, h->asset);
	msg_str(msg, h->subpath);
	msg_str(msg, h->range);
	msg_str(msg, c->if_match);
	msg_str(msg, c->if_none_match);
	msg_str(msg, c->if_modified_since);
	msg_str(msg, c->if_unmodified_since);
	msg_str(msg, c->if_range);
	msg_str(msg, h->origin);
	msg_str(msg, h->rule);
	msg_u32(msg, (uint32_t)h->delivery);
	msg_str(msg, h->delivery_why);
	msg_u64(msg, h->rate);
	msg_u64(msg, (uint64_t)h->accepted_mono_us);
	msg_u64(msg, (uint64_t)h->deadline_mono_ms);
	msg_str(msg, h->hit_key);
	msg_str(msg, h->ratelimit);
	msg_str(msg, h->ratelimit_policy);
	charge_put(msg, &h->charge);
	/* what the mover would drop must be seen here, where the client can still be answered */
	if (buf_ok(msg) && handover_get(msg->data + start, msg->len - start, &check) == -1)
		msg->failed = true;
}

int
handover_get(const void *data, size_t n, struct handover *ret)
{
	struct handover h = { 0 };
	struct msg_in m;

	msg_open(&m, data, n);
	if (m.type != HANDOVER_TYPE)
		return -1;
	h.fcgi_id = (uint16_t)msg_get_u32_max(&m, UINT16_MAX);
	msg_get_chars(&m, h.id, sizeof(h.id));
	msg_get_chars(&m, h.trace, sizeof(h.trace));
	h.head = msg_get_bool(&m);
	h.backend = get_segment(&m);
	h.collection = get_segment(&m);
	h.item = get_segment(&m);
	h.asset = get_segment(&m);
	h.subpath = msg_get_str(&m, SUBPATH_MAX);
	h.range = msg_get_str(&m, HEADER_MAX);
	h.cond.if_match = msg_get_str(&m, HEADER_MAX);
	h.cond.if_none_match = msg_get_str(&m, HEADER_MAX);
	h.cond.if_modified_since = msg_get_str(&m, HEADER_MAX);
	h.cond.if_unmodified_since = msg_get_str(&m, HEADER_MAX);
	h.cond.if_range = msg_get_str(&m, HEADER_MAX);
	h.origin = msg_get_str(&m, HEADER_MAX);
	h.rule = msg_get_str(&m, RULE_NAME_MAX);
	h.delivery = (enum delivery)msg_get_u32_max(&m, DELIVERY_AUTO);
	h.delivery_why = msg_get_str(&m, WORD_MAX);
	h.rate = msg_get_u64(&m);
	h.accepted_mono_us = msg_get_i64(&m);
	h.deadline_mono_ms = msg_get_i64(&m);
	h.hit_key = msg_get_str(&m, SUBPATH_MAX);
	h.ratelimit = msg_get_str(&m, HEADER_MAX);
	h.ratelimit_policy = msg_get_str(&m, HEADER_MAX);
	charge_get(&m, &h.charge);
	if (!msg_done(&m) || h.fcgi_id == 0 || !trace_is_valid(h.trace))
		return -1;
	if (h.delivery_why != NULL && h.delivery_why[strspn(h.delivery_why, "abcdefghijklmnopqrstuvwxyz-")] != '\0')
		return -1;
	/* the id goes into log lines and headers as it is */
	for (const char *p = h.id; *p != '\0'; p++) {
		if (*p <= ' ' || *p >= 0x7f)
			return -1;
	}
	if (h.id[0] == '\0' || (h.hit_key != NULL && h.hit_key[0] == '\0'))
		return -1;
	*ret = h;
	return 0;
}

unsigned
handover_owner(const struct handover *h, unsigned movers)
{
	const char *const part[] = { h->backend, h->collection, h->item, h->asset };
	uint64_t hash = TEXT_HASH;

	MUST(movers > 0);
	for (size_t i = 0; i < ARRAY_LEN(part); i++)	/* with the NUL, so that "a" "b" is not "ab" "" */
		hash = text_hash(hash, part[i], strlen(part[i]) + 1);
	/* the low bits of FNV are its weakest */
	return (unsigned)((hash ^ hash >> 32) % movers);
}

/* The queue has no room, or too many descriptors are on their way. */
static bool
is_full(int errnum)
{
	return errnum == EAGAIN || errnum == ETOOMANYREFS || errnum == ENOBUFS;
}

int
handover_send(int sock, const struct handover *h, int fd, int file_fd, int wait_ms)
{
	const int fds[2] = { fd, file_fd };
	const size_t nfds = file_fd == -1 ? 1 : 2;
	int64_t until = clock_mono_ms() + wait_ms, left;
	struct pollfd p = { .fd = sock, .events = POLLOUT };
	struct buf msg = BUF_INIT(HANDOVER_MAX);
	int rc = -1, saved;

	errno = EMSGSIZE;
	handover_put(&msg, h);
	if (!buf_ok(&msg) || (h->hit_key == NULL && file_fd != -1) || fd_set_nonblock(sock, true) == -1)
		goto out;
	for (;;) {
		if (fd_send(sock, msg.data, msg.len, fds, nfds) == 0) {
			rc = 0;
			break;
		}
		left = until - clock_mono_ms();
		if (!is_full(errno) || left <= 0)
			break;
		/*
		 * POLLOUT comes only when three quarters of the queue are free, and
		 * not at all for ETOOMANYREFS: so look again before it does.
		 */
		if (errno != EAGAIN)
			p.events = 0;
		(void)poll(&p, 1, (int)(left < RETRY_MS ? left : RETRY_MS));	/* tried again in any case */
		p.events = POLLOUT;
	}
out:
	saved = errno;
	buf_release(&msg);
	errno = saved;
	return rc;
}
