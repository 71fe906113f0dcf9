/* SPDX-License-Identifier: Apache-2.0
 *
 * A mover as a process: what each client gets, byte by byte, when everything
 * around it goes well, and when it does not.
 */
#include "base/base.h"

#include "mover_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "ipc/control.h"
#include "unit.h"
#include "wire/fcgi.h"

#define MIB	((uint64_t)1 << 20)

/* What was granted has been settled, and the bytes are those that went out. */
static void
check_books(struct rig *r, uint64_t delivered, uint64_t upstream)
{
	RIG_UNTIL(r, r->actual[QUOTA_BYTES] == delivered && r->actual[QUOTA_UPSTREAM_BYTES] == upstream &&
	    r->granted[QUOTA_BYTES] == r->returned[QUOTA_BYTES] &&
	    r->granted[QUOTA_UPSTREAM_BYTES] == r->returned[QUOTA_UPSTREAM_BYTES]);
	CHECK_INT(r->actual[QUOTA_BYTES], delivered);
	CHECK_INT(r->actual[QUOTA_UPSTREAM_BYTES], upstream);
	CHECK_INT(r->granted[QUOTA_BYTES], r->returned[QUOTA_BYTES]);
	CHECK_INT(r->granted[QUOTA_UPSTREAM_BYTES], r->returned[QUOTA_UPSTREAM_BYTES]);
}

/* -- whole bodies -------------------------------------------------------------------------- */

static void
a_cold_whole_is_delivered_published_and_charged_once(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 3 * MIB + 5));
	a.quota = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 200);
	CHECK_WHOLE(f, s->size);
	CHECK(has(f, "Content-Length: 3145733") && has(f, "ETag: \"v1\"") && has(f, "fwd=miss; stored"));
	RIG_UNTIL(&r, rig_published(&r, "a", s->size));
	CHECK_INT(s->gets, 1);
	check_books(&r, s->size, s->size);
	check_idle(&r);
	CHECK(!rig_logged(&r, "hush"));		/* credentials and signed URLs */
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, s->size);
	CHECK_INT(s->gets, 1);
	rig_stop(&r);
}

/* Else a death in between would lose the charge of an answer that its client has. */
static void
an_answer_is_settled_with_its_last_byte_not_when_the_front_has_closed(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;

	rig_start(&r, "");
	(void)rig_script(&r, SCRIPT("a", 1000));
	f = rig_ask(&r, &a);
	f->keeps = true;
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, 1000);
	RIG_UNTIL(&r, r.actual[QUOTA_BYTES] == 1000);
	CHECK_INT(r.actual[QUOTA_BYTES], 1000);
	CHECK_INT(rig_gauge(&r, GAUGE_CLIENTS), 1);
	rig_stop(&r);
}

static void
who_joins_a_stalled_transfer_gets_every_byte(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	s->hold_at = MIB;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, f->got == MIB - 1);
	g = rig_ask(&r, &a);
	RIG_UNTIL(&r, g->got == MIB - 1);
	a.range = "bytes=1048000-";
	h = rig_ask(&r, &a);
	RIG_UNTIL(&r, h->got == MIB - 1 - 1048000);
	s->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h));
	CHECK_WHOLE(f, s->size);
	CHECK_WHOLE(g, s->size);
	CHECK_WHOLE(h, s->size - 1048000);
	CHECK(has(h, "Status: 206") && has(g, "collapsed"));
	CHECK_INT(s->gets, 1);
	CHECK_INT(s->jobs, 1);
	check_idle(&r);
	rig_stop(&r);
}

static void
the_last_byte_waits_for_the_checksum(void)
{
	static const char zeros[] = "1220"
	    "0000000000000000000000000000000000000000000000000000000000000000";
	struct asking a = ASK("a"), lenient = ASK("lenient"), empty = ASK("empty");
	struct rig r;
	struct front *f, *g;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", MIB));
	s->checksum = zeros;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_CUT(f);
	CHECK(f->got < s->size);
	CHECK(rig_absent(&r, "a"));
	CHECK(rig_logged(&r, "EO-MOVER-MISMATCH"));
	check_idle(&r);
	s = rig_script(&r, SCRIPT("empty", 0));
	s->checksum = zeros;
	f = rig_ask(&r, &empty);
	RIG_UNTIL(&r, OVER(f));
	CHECK(!f->ended || has(f, "Status: 502"));
	s = rig_script(&r, SCRIPT("lenient", MIB));
	s->checksum = zeros;
	g = rig_ask(&r, &lenient);
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, s->size);
	CHECK(rig_absent(&r, "lenient"));
	check_idle(&r);
	rig_stop(&r);
}

static void
a_body_that_is_cut_upstream_is_cut_visibly(void)
{
	struct asking a = ASK("a"), b = ASK("b"), c = ASK("c");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	s->cut_at = MIB + 7;
	s = rig_script(&r, SCRIPT("b", 2 * MIB));
	s->cut_at = MIB + 7;
	s->framing = BY_CHUNKS;
	s = rig_script(&r, SCRIPT("c", MIB));
	s->framing = BY_CLOSE;
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &b);
	h = rig_ask(&r, &c);
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h));
	CHECK_CUT(f);
	CHECK_CUT(g);
	CHECK(f->got > 0 && f->got <= MIB + 7 && g->got > 0);
	CHECK(has(f, "Content-Length: ") && strstr(g->head, "Content-Length: ") == NULL);
	CHECK_WHOLE(h, MIB);		/* nothing says that it is not whole, so it is delivered, and not stored */
	CHECK(rig_absent(&r, "a") && rig_absent(&r, "b") && rig_absent(&r, "c"));
	check_idle(&r);
	rig_stop(&r);
}

static void
a_lone_fill_goes_on_without_its_client_and_what_is_not_stored_does_not(void)
{
	struct asking a = ASK("a"), u = ASK("unstored");
	struct rig r;
	struct front *f, *g;
	struct script *s, *t;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	t = rig_script(&r, SCRIPT("unstored", 8 * MIB));
	s->hold_at = t->hold_at = MIB;
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &u);
	RIG_UNTIL(&r, f->got == MIB - 1 && g->got == MIB - 1);
	rig_close(f);
	rig_close(g);
	RIG_UNTIL(&r, rig_gauge(&r, GAUGE_CLIENTS) == 0 && rig_gauge(&r, GAUGE_TRANSFERS_NOW) == 1);
	s->hold_at = t->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, rig_published(&r, "a", s->size));
	check_idle(&r);
	CHECK(rig_absent(&r, "unstored"));
	rig_stop(&r);
}

static size_t
asked_by(const struct rig *r, const struct script *s)
{
	size_t n = 0;

	for (size_t i = 0; i < RIG_CONNS; i++)
		n += r->conn[i].fd != -1 && r->conn[i].s == s && r->conn[i].busy;
	return n;
}

/*
 * ABORT_REQUEST, and a close, at a tenth and at half of a body that is not stored: the
 * provider is let go within a second, and what did not arrive is given back.
 */
static void
f4_an_abort_or_a_close_ends_what_nobody_else_wants(void)
{
	enum { TENTHS = 10 };
	struct asking u = ASK("unstored");
	struct buf abort = BUF_INIT(64);
	uint64_t granted = 0, delivered = 0;
	struct rig r;

	rig_start(&r, "");
	fcgi_record(&abort, FCGI_ABORT, 1, NULL, 0);
	u.quota = true;
	for (int i = 0; i < 4; i++) {
		struct script *s = rig_script(&r, SCRIPT("unstored", 8 * MIB));
		int64_t since;
		struct front *f;

		u.asset = s->asset = (const char *[]){ "unstored", "unstored1", "unstored2", "unstored3" }[i];
		s->hold_at = s->size * (i % 2 == 0 ? 1 : 5) / TENTHS;
		f = rig_ask(&r, &u);
		RIG_UNTIL(&r, f->got == s->hold_at - 1);
		since = rig_ms();
		if (i < 2)
			CHECK_INT(fd_write_all(f->fd, abort.data, abort.len), 0);
		else
			rig_close(f);
		RIG_UNTIL(&r, rig_gauge(&r, GAUGE_CLIENTS) == 0 && rig_gauge(&r, GAUGE_TRANSFERS_NOW) == 0 && asked_by(&r, s) == 0);
		CHECK(rig_ms() - since < 1000);
		granted += s->size;
		delivered += s->hold_at - 1;
		RIG_UNTIL(&r, r.returned[QUOTA_BYTES] == granted);
		if (i < 2) {
			RIG_UNTIL(&r, f->eof);
			CHECK(!f->ended && !f->wrong);
		}
		CHECK(r.actual[QUOTA_BYTES] <= delivered);
		CHECK_INT(s->gets, 1);
	}
	check_idle(&r);
	CHECK_INT(r.granted[QUOTA_BYTES], granted);
	buf_release(&abort);
	rig_stop(&r);
}

static void
one_of_two_leaves_and_the_other_gets_all(void)
{
	struct asking u = ASK("unstored");
	struct rig r;
	struct front *f, *g;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("unstored", 2 * MIB));
	s->hold_at = MIB;
	u.quota = true;
	f = rig_ask(&r, &u);
	RIG_UNTIL(&r, f->got == MIB - 1);
	g = rig_ask(&r, &u);
	RIG_UNTIL(&r, g->got == MIB - 1);
	rig_close(f);
	s->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, s->size);
	CHECK_INT(s->gets, 1);
	RIG_UNTIL(&r, r.actual[QUOTA_UPSTREAM_BYTES] == s->size);	/* by the one who started it */
	check_idle(&r);
	CHECK_INT(r.site_upstream, 0);
	rig_stop(&r);
}

static void
an_object_that_is_still_being_read_stays_as_it_was_published(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, ", \"spool\": { \"max_transfer\": \"4 MiB\" }");
	s = rig_script(&r, SCRIPT("a", 3 * MIB));
	a.stop_at = MIB;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, rig_published(&r, "a", s->size) && f->got >= MIB);
	f->stop_at = UINT64_MAX;
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, s->size);
	CHECK(rig_published(&r, "a", s->size));
	check_idle(&r);
	rig_stop(&r);
}

/* -- the window ------------------------------------------------------------------------------- */

static void
a_slow_client_paces_what_is_not_stored_and_gets_every_byte(void)
{
	struct asking u = ASK("unstored");
	struct rig r;
	struct front *f, *g;
	struct script *s;

	rig_start(&r, ", \"spool\": { \"max\": \"2 MiB\", \"max_transfer\": \"2 MiB\" }");
	s = rig_script(&r, SCRIPT("unstored", 12 * MIB));
	s->hold_at = 4000;
	u.stop_at = 1000;
	f = rig_ask(&r, &u);
	u.stop_at = 0;
	g = rig_ask(&r, &u);
	RIG_UNTIL(&r, f->got >= 1000 && g->got == 3999);
	s->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, g->got >= MIB);	/* runs ahead as far as the window lets it */
	for (uint64_t at = 1000; at < s->size; at += MIB) {
		f->stop_at = at;
		RIG_UNTIL(&r, f->got >= at || OVER(f));
	}
	f->stop_at = UINT64_MAX;
	RIG_UNTIL(&r, OVER(f) && OVER(g));
	CHECK_WHOLE(f, s->size);
	CHECK_WHOLE(g, s->size);
	CHECK_INT(s->gets, 1);
	check_idle(&r);
	rig_stop(&r);
}

static void
who_needs_what_has_left_the_window_gets_it_elsewhere(void)
{
	struct asking u = ASK("unstored"), part = ASK("unstored"), other = ASK("unstored"), n = ASK("unstored-n");
	struct rig r;
	struct front *f, *g, *h, *i, *j, *k;
	struct script *s, *t;

	rig_start(&r, ", \"spool\": { \"max\": \"4 MiB\", \"max_transfer\": \"2 MiB\" }");
	s = rig_script(&r, SCRIPT("unstored", 8 * MIB));
	s->hold_at = 6 * MIB;
	f = rig_ask(&r, &u);
	RIG_UNTIL(&r, f->got == 6 * MIB - 1);
	g = rig_ask(&r, &u);
	part.range = "bytes=10-99";
	h = rig_ask(&r, &part);
	other.range = "bytes=6291000-";		/* in the window, but If-Range says the whole */
	other.if_range = "\"another\"";
	i = rig_ask(&r, &other);
	RIG_UNTIL(&r, OVER(h));
	CHECK_STATUS(h, 206);
	CHECK_WHOLE(h, 90);
	s->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(i));
	CHECK_WHOLE(f, s->size);
	CHECK_WHOLE(g, s->size);
	CHECK(has(i, "Status: 200"));
	CHECK_WHOLE(i, s->size);
	/* the same from a provider that answers 200 to ranges */
	t = rig_script(&r, SCRIPT("unstored-n", 8 * MIB));
	t->no_ranges = true;
	t->hold_at = 6 * MIB;
	u.asset = part.asset = n.asset;
	j = rig_ask(&r, &u);
	RIG_UNTIL(&r, j->got == 6 * MIB - 1);
	g = rig_ask(&r, &u);
	k = rig_ask(&r, &part);
	RIG_UNTIL(&r, OVER(k));
	CHECK_STATUS(k, 206);
	CHECK_WHOLE(k, 90);
	t->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(j) && OVER(g));
	CHECK_WHOLE(j, t->size);
	CHECK_WHOLE(g, t->size);
	check_idle(&r);
	rig_stop(&r);
}

/* ... also when the source was refused on the way, or is longer by now. */
static void
who_asked_for_no_range_gets_200_however_it_is_fetched(void)
{
	struct asking u = ASK("unstored");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s;

	rig_start(&r, ", \"spool\": { \"max\": \"4 MiB\", \"max_transfer\": \"2 MiB\" }");
	s = rig_script(&r, SCRIPT("unstored", 8 * MIB));
	s->hold_at = 6 * MIB;
	f = rig_ask(&r, &u);
	RIG_UNTIL(&r, f->got == 6 * MIB - 1);
	s->refuse = 1;
	g = rig_ask(&r, &u);
	RIG_UNTIL(&r, g->got > 0 || OVER(g));
	CHECK_INT(s->jobs, 2);
	CHECK(has(g, "Status: 200"));
	s->size = 9 * MIB;
	s->etag = "\"v2\"";
	h = rig_ask(&r, &u);
	RIG_UNTIL(&r, h->got > 0 || OVER(h));
	s->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h));
	CHECK_WHOLE(f, 8 * MIB);
	CHECK_WHOLE(g, 8 * MIB);
	CHECK(has(h, "Status: 200"));
	CHECK_WHOLE(h, 9 * MIB);
	check_idle(&r);
	rig_stop(&r);
}

static void
a_full_spool_does_not_stop_another_transfer(void)
{
	struct asking u = ASK("unstored"), v = ASK("unstored2");
	struct rig r;
	struct front *f, *g;
	struct script *s, *t;

	rig_start(&r, ", \"spool\": { \"max\": \"2 MiB\", \"max_transfer\": \"2 MiB\" }");
	s = rig_script(&r, SCRIPT("unstored", 8 * MIB));
	t = rig_script(&r, SCRIPT("unstored2", 8 * MIB));
	u.stop_at = 1000;
	f = rig_ask(&r, &u);
	RIG_UNTIL(&r, rig_gauge(&r, GAUGE_SPOOL_BYTES) >= 2 * MIB - 65536);
	g = rig_ask(&r, &v);
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, t->size);
	f->stop_at = UINT64_MAX;
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, s->size);
	check_idle(&r);
	rig_stop(&r);
}

/* -- what is stored ------------------------------------------------------------------------------ */

static void
a_body_of_unknown_length_is_stored_only_within_the_datasets_bounds(void)
{
	struct asking a = ASK("a"), small = ASK("small"), u = ASK("unstored");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	s->framing = BY_CHUNKS;
	s = rig_script(&r, SCRIPT("small", 2 * MIB));
	s->framing = BY_CHUNKS;
	s = rig_script(&r, SCRIPT("unstored", 2 * MIB));
	s->framing = BY_CHUNKS;
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &small);
	h = rig_ask(&r, &u);
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h));
	CHECK_WHOLE(f, 2 * MIB);
	CHECK_WHOLE(g, 2 * MIB);
	CHECK_WHOLE(h, 2 * MIB);
	check_idle(&r);
	CHECK(rig_published(&r, "a", 2 * MIB));
	CHECK(rig_absent(&r, "small"));
	CHECK(rig_absent(&r, "unstored"));
	rig_stop(&r);
}

static void
ranges_start_a_fill_at_the_sites_expense_but_not_one_that_cannot_be_stored(void)
{
	struct asking a = ASK("a"), big = ASK("big");
	struct rig r;
	struct front *f;
	struct script *s, *t;

	rig_start(&r, ", \"spool\": { \"max_transfer\": \"4 MiB\" }");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	t = rig_script(&r, SCRIPT("big", 8 * MIB));
	a.range = "bytes=1048576-2000000";
	a.quota = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, 2000001 - 1048576);
	RIG_UNTIL(&r, rig_published(&r, "a", s->size));
	check_books(&r, 2000001 - 1048576, 2000001 - 1048576 + s->size);
	CHECK_INT(r.site_upstream, s->size);
	CHECK_INT(s->gets, 2);
	big.range = "bytes=2097152-6000000";
	f = rig_ask(&r, &big);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, 6000001 - 2097152);
	check_idle(&r);
	CHECK_INT(t->gets, 1);
	rig_stop(&r);
}

/* Nobody waits for it: it takes no backend's last slot, and ends when somebody has to wait for one. */
static void
a_background_fill_leaves_the_last_slot_and_makes_way(void)
{
	struct asking a = ASK("a"), late = ASK("late");
	struct front *f[2], *g;
	struct script *s, *t[2];
	struct rig r;

	rig_start(&r, ", \"backends\": { \"*\": { \"slots\": 2 } }");
	s = rig_script(&r, SCRIPT("a", 4 * MIB));
	t[0] = rig_script(&r, SCRIPT("b", 4 * MIB));
	t[1] = rig_script(&r, SCRIPT("c", 4 * MIB));
	(void)rig_script(&r, SCRIPT("late", MIB));
	a.range = "bytes=0-2097151";
	g = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, 2 * MIB);
	check_idle(&r);
	CHECK_INT(s->gets, 1);		/* one slot was the range's, the other the last */
	rig_reload(&r, ", \"backends\": { \"*\": { \"slots\": 3 } }");
	t[0]->hold_at = t[1]->hold_at = s->hold_at = 3 * MIB;
	g = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(g) && asked_by(&r, s) == 1);
	CHECK_WHOLE(g, 2 * MIB);
	CHECK_INT(s->gets, 3);
	CHECK_INT(rig_gauge(&r, GAUGE_TRANSFERS_NOW), 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct asking one = ASK(t[i]->asset);

		f[i] = rig_ask(&r, &one);
		RIG_UNTIL(&r, f[i]->got == 3 * MIB - 1);
	}
	CHECK_INT(asked_by(&r, s), 1);	/* all slots are taken, and nobody waits */
	g = rig_ask(&r, &late);
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, MIB);
	RIG_UNTIL(&r, asked_by(&r, s) == 0);
	t[0]->hold_at = t[1]->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f[0]) && OVER(f[1]));
	CHECK_WHOLE(f[0], 4 * MIB);
	CHECK_WHOLE(f[1], 4 * MIB);
	check_idle(&r);
	CHECK(rig_absent(&r, "a"));
	rig_stop(&r);
}

/* The mover is stopped meanwhile, so that both come to it at once. */
static void
who_joins_a_background_fill_that_was_to_make_way_keeps_it(void)
{
	struct asking a = ASK("a"), b = ASK("b"), late = ASK("unstored");
	struct script *s, *t;
	struct front *f, *g, *h;
	struct rig r;

	rig_start(&r, ", \"backends\": { \"*\": { \"slots\": 2 } }");
	s = rig_script(&r, SCRIPT("a", 4 * MIB));
	t = rig_script(&r, SCRIPT("b", 4 * MIB));
	(void)rig_script(&r, SCRIPT("unstored", MIB));
	g = rig_ask(&r, &late);			/* its source is known from now on */
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, MIB);
	rig_reload(&r, ", \"backends\": { \"*\": { \"slots\": 3 } }");
	s->hold_at = 3 * MIB;
	a.range = "bytes=0-2097151";
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f) && asked_by(&r, s) == 1);
	CHECK_INT(rig_gauge(&r, GAUGE_TRANSFERS_NOW), 1);
	rig_reload(&r, ", \"backends\": { \"*\": { \"slots\": 2 } }");
	t->hold_at = 3 * MIB;
	f = rig_ask(&r, &b);
	RIG_UNTIL(&r, f->got == 3 * MIB - 1);
	CHECK_INT(asked_by(&r, s), 1);		/* all slots are taken, and nobody waits */
	MUST(kill(r.pid, SIGSTOP) == 0);
	g = rig_ask(&r, &late);
	a.range = NULL;
	h = rig_ask(&r, &a);
	MUST(kill(r.pid, SIGCONT) == 0);
	RIG_UNTIL(&r, h->got > 0 || OVER(h));
	s->hold_at = t->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h));
	CHECK_WHOLE(f, 4 * MIB);
	CHECK_WHOLE(g, MIB);
	CHECK_WHOLE(h, 4 * MIB);
	CHECK_INT(s->gets, 2);
	check_idle(&r);
	rig_stop(&r);
}

static void
a_hit_is_streamed_and_what_vanished_is_fetched(void)
{
	struct asking a = ASK("a"), hit = ASK("a"), gone = ASK("b");
	struct rig r;
	struct front *f;
	struct script *s;
	char *path, key[1024];

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", MIB));
	(void)rig_script(&r, SCRIPT("b", MIB));
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f) && rig_published(&r, "a", s->size));
	path = mem_printf("%s/log", r.dir);	/* any file: the mover opens the object itself */
	(void)snprintf(key, sizeof(key), "%s", rig_key("a"));
	hit.hit_key = key;
	hit.file_fd = gone.file_fd = open(path, O_RDONLY | O_CLOEXEC);
	hit.range = "bytes=-10";
	hit.quota = gone.quota = true;
	hit.held = 10;			/* the worker has seen to it */
	f = rig_ask(&r, &hit);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 206);
	CHECK_WHOLE(f, 10);
	CHECK(has(f, "; hit"));
	CHECK_INT(r.reserves, 0);
	check_books(&r, MIB + 10, MIB);
	(void)snprintf(key, sizeof(key), "%s", rig_key("b"));
	gone.hit_key = key;
	gone.held = MIB / 4;		/* it was smaller then: the rest is asked for */
	f = rig_ask(&r, &gone);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 200);
	CHECK_WHOLE(f, MIB);
	CHECK_INT(r.reserves, 1);
	CHECK_INT(r.granted[QUOTA_BYTES], 10 + MIB);
	CHECK_INT(r.granted[QUOTA_UPSTREAM_BYTES], MIB);
	fd_close(&hit.file_fd);
	free(path);
	check_idle(&r);
	rig_stop(&r);
}

/* -- quotas ---------------------------------------------------------------------------------------- */

static void
who_is_over_quota_is_refused_alone_and_the_site_does_not_pay_for_it(void)
{
	struct asking a = ASK("a"), b = ASK("b");
	struct rig r;
	struct front *f, *g;
	struct script *s, *t;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 4 * MIB));
	t = rig_script(&r, SCRIPT("b", 4 * MIB));
	s->hold_at = t->hold_at = MIB;
	r.poor = "strict";	/* for which the mover waits longer */
	a.quota = b.quota = true;
	a.user = "strict";
	f = rig_ask(&r, &a);
	a.user = NULL;
	g = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f) && g->got == MIB - 1);
	CHECK_STATUS(f, 429);
	CHECK(has(f, "Retry-After: 77"));
	s->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, s->size);
	b.user = "strict";
	f = rig_ask(&r, &b);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 429);
	check_idle(&r);		/* while the provider still holds the body back */
	CHECK(rig_absent(&r, "b"));
	CHECK_INT(r.granted[QUOTA_BYTES], r.returned[QUOTA_BYTES]);
	rig_stop(&r);
}

static void
a_silent_accountant_costs_a_tenth_of_a_second_and_a_second_whom_it_stops(void)
{
	struct asking a = ASK("a"), b = ASK("b");
	struct rig r;
	struct front *f, *g;
	struct script *s;
	int64_t since;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", MIB));
	(void)rig_script(&r, SCRIPT("b", MIB));
	r.deaf = true;
	a.quota = b.quota = true;
	b.user = "strict";
	since = rig_ms();
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK(rig_ms() - since >= 100);
	CHECK_WHOLE(f, s->size);
	since = rig_ms();
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, OVER(g));
	CHECK(rig_ms() - since >= 1000);
	CHECK_STATUS(g, 503);
	CHECK(has(g, "Retry-After: 5"));
	CHECK(rig_logged(&r, "EO-QUOTA-AWAY quotas are not checked, the accountant did not answer in time times=1 "
	    "when_unavailable=allow"));
	CHECK(rig_logged(&r, "when_unavailable=refuse"));
	check_idle(&r);
	RIG_UNTIL(&r, r.actual[QUOTA_BYTES] == s->size);	/* charged all the same, when it is back */
	CHECK_INT(r.returned[QUOTA_BYTES], 0);
	rig_stop(&r);
}

static void
an_accountant_that_is_back_within_a_second_stops_nobody(void)
{
	struct asking b = ASK("b");
	struct rig r;
	struct front *f;

	rig_start(&r, "");
	(void)rig_script(&r, SCRIPT("b", MIB));
	b.quota = true;
	b.user = "strict";
	r.next_ms = rig_ms() + 400;
	f = rig_ask(&r, &b);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 200);
	CHECK_WHOLE(f, MIB);
	CHECK(rig_ms() >= r.next_ms);
	check_books(&r, MIB, MIB);
	rig_stop(&r);
}

/* All at once: the last answer comes long after a tenth of a second, but they keep coming. */
static void
a_crowd_waits_for_an_accountant_that_answers_one_by_one(void)
{
	struct asking a = ASK("a");
	struct front *f[RIG_CLIENTS];
	struct rig r;
	size_t n = 0;

	rig_start(&r, "");
	(void)rig_script(&r, SCRIPT("a", 100000));
	r.one_in_ms = 10;
	a.quota = true;
	a.user = "strict";
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		f[i] = rig_ask(&r, &a);
	for (; n < ARRAY_LEN(f); n++) {
		RIG_UNTIL(&r, OVER(f[n]));
		CHECK_STATUS(f[n], 200);
	}
	r.one_in_ms = 0;
	check_books(&r, n * 100000, 100000);
	check_idle(&r);
	rig_stop(&r);
}

/* Charges are never dropped, so there is an end to the clients that bring more. */
#define REACHED(u) (__atomic_load_n(&(u)->reached, __ATOMIC_RELAXED) > 0)

static void
with_too_many_charges_nobody_is_taken_until_some_are(void)
{
	enum { MANY = 20000, IN_QUEUE = 32 };
	struct asking a = ASK("none"), b = ASK("b");
	const struct bound_use *u;
	struct front *f;
	struct rig r;
	unsigned asked = 1;

	rig_start(&r, "");
	u = &r.scoreboard->slot[SLOT_MOVERS].bound[BOUND_CHARGES];
	(void)rig_script(&r, SCRIPT("b", 1000));
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 404);		/* known from now on */
	r.next_ms = INT64_MAX;		/* the accountant reads nothing */
	for (; asked < MANY && !REACHED(u); asked++) {
		f = rig_ask(&r, &a);
		rig_close(f);
		r.n_fronts--;
		/* a slow mover's queue must not be what is full */
		RIG_UNTIL(&r, REACHED(u) || scoreboard_sum(r.scoreboard, COUNT_HANDOVERS_TAKEN) + IN_QUEUE > asked);
	}
	CHECK(asked > 4096 && asked < MANY);
	CHECK(u->used >= 4096 && u->max == 4096);
	CHECK(rig_logged(&r, "EO-BOUND bound=charges_queued max=4096"));
	f = rig_ask(&r, &b);
	RIG_UNTIL(&r, rig_gauge(&r, GAUGE_CLIENTS) == 0);
	CHECK(!OVER(f));		/* it is in the queue */
	r.next_ms = 0;
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, 1000);
	RIG_UNTIL(&r, r.settles == asked + 2);		/* its own, and its transfer's */
	rig_stop(&r);
}

static void
an_unknown_length_is_reserved_in_steps_and_the_refused_one_is_a_cut(void)
{
	struct asking u = ASK("unstored");
	struct rig r;
	struct front *f, *g;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("unstored", 66 * MIB));
	s->framing = BY_CHUNKS;
	u.quota = true;
	f = rig_ask(&r, &u);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, s->size);
	CHECK_INT(r.reserves, 2);
	CHECK_INT(r.granted[QUOTA_BYTES], 128 * MIB);
	check_books(&r, s->size, s->size);
	r.poor = "strict";	/* for which the mover waits longer */
	r.poor_from = 192 * MIB;
	u.user = "strict";
	g = rig_ask(&r, &u);
	RIG_UNTIL(&r, OVER(g));
	CHECK_CUT(g);
	CHECK_INT(g->got, 64 * MIB);
	check_idle(&r);
	RIG_UNTIL(&r, r.granted[QUOTA_BYTES] == r.returned[QUOTA_BYTES]);
	rig_stop(&r);
}

static void
a_rate_is_kept_cold_and_direct(void)
{
	struct asking a = ASK("a"), b = ASK("whole");
	struct rig r;
	struct front *f, *g;
	int64_t since;

	rig_start(&r, "");
	(void)rig_script(&r, SCRIPT("a", 200000));
	(void)rig_script(&r, SCRIPT("whole", 8 * MIB));
	a.rate = b.rate = 200000;
	b.range = "bytes=4000000-4199999";
	since = rig_ms();
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, OVER(f) && OVER(g));
	CHECK(rig_ms() - since >= 700);
	CHECK_WHOLE(f, 200000);
	CHECK_WHOLE(g, 200000);
	check_idle(&r);
	rig_stop(&r);
}

/* -- ranges and conditions ---------------------------------------------------------------------------- */

static void
ranges_come_from_the_source_and_only_as_much_as_was_asked(void)
{
	struct asking a = ASK("whole"), b = ASK("whole"), c = ASK("whole"), d = ASK("whole");
	struct rig r;
	struct front *f, *g, *h, *i;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("whole", 8 * MIB));
	a.range = "bytes=5000000-5000099";
	a.quota = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 206);
	CHECK_WHOLE(f, 100);
	CHECK_STR(s->last_range, "bytes=5000000-5000099");
	check_books(&r, 100, 100);
	b.range = "bytes=-1000";
	c.range = "bytes=99999999-";
	d.head = true;
	g = rig_ask(&r, &b);
	h = rig_ask(&r, &c);
	i = rig_ask(&r, &d);
	RIG_UNTIL(&r, OVER(g) && OVER(h) && OVER(i));
	CHECK_STATUS(g, 206);
	CHECK_WHOLE(g, 1000);
	CHECK_STATUS(h, 416);
	CHECK(has(h, "Content-Range: bytes */8388608"));
	CHECK_STATUS(i, 200);
	CHECK_INT(i->got, 0);
	CHECK(has(i, "Content-Length: 8388608"));
	check_idle(&r);
	rig_stop(&r);
}

static void
a_part_that_is_too_long_ends_where_it_was_announced_to_end(void)
{
	struct asking a = ASK("whole");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("whole", 8 * MIB));
	s->parts_off = 1;
	a.range = "bytes=4194304-5242879";
	a.quota = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 206);
	CHECK_WHOLE(f, MIB);
	CHECK_INT(r.reserves, 1);
	check_idle(&r);
	rig_stop(&r);
}

static void
a_rest_is_asked_for_by_range_and_only_of_the_same_version(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 3 * MIB));
	s->cut_at = MIB;
	s->cut_once = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, s->size);
	CHECK_STR(s->last_range, "bytes=1048576-3145727");
	CHECK_STR(s->last_if_range, "\"v1\"");
	CHECK_INT(s->gets, 2);
	RIG_UNTIL(&r, rig_published(&r, "a", s->size));
	check_idle(&r);
	rig_stop(&r);
}

/* Within the second of its date a body may become another one of that date and length (RFC 9110 8.8.2.2). */
static void
a_rest_is_not_asked_for_by_a_date_that_may_be_of_two_versions(void)
{
	static const char *const more[] = {
		"Last-Modified: Fri, 01 Mar 2024 10:00:00 GMT\r\nDate: Fri, 01 Mar 2024 10:00:00 GMT\r\n",
		"Last-Modified: Fri, 01 Mar 2024 10:00:00 GMT\r\nDate: Fri, 01 Mar 2024 10:00:01 GMT\r\n",
		"Last-Modified: Fri, 01 Mar 2024 10:00:00 GMT\r\n",
		"Last-Modified: Fri, 01 Mar 2097 10:00:00 GMT\r\n",
	};
	static const char *const name[] = { "a", "b", "c", "d" };
	static const bool strong[] = { false, true, true, false };
	struct rig r;

	rig_start(&r, "");
	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		struct asking a = ASK(name[i]);
		struct script *s = rig_script(&r, SCRIPT(name[i], 3 * MIB));
		struct front *f;

		s->etag = NULL;
		s->more = more[i];
		s->cut_at = MIB;
		s->cut_once = true;
		f = rig_ask(&r, &a);
		RIG_UNTIL(&r, OVER(f));
		if (strong[i]) {
			CHECK_WHOLE(f, s->size);
			CHECK_STR(s->last_if_range, "Fri, 01 Mar 2024 10:00:00 GMT");
			RIG_UNTIL(&r, rig_published(&r, name[i], s->size));
		} else {
			CHECK_CUT(f);
		}
		CHECK_INT(s->gets, strong[i] ? 2 : 1);
		check_idle(&r);
		CHECK(strong[i] || rig_absent(&r, name[i]));
	}
	rig_stop(&r);
}

/* In chunks, so that its end is in order and only Content-Range tells: the rest of a body that broke off. */
static void
d4_a_rest_that_is_not_as_long_as_announced_is_never_published(void)
{
	static const char *const name[] = { "a", "b" };
	static const int off[] = { -1000, 1 };
	struct rig r;

	rig_start(&r, "");
	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		struct asking a = ASK(name[i]);
		struct script *s = rig_script(&r, SCRIPT(name[i], 3 * MIB));
		struct front *f;

		s->cut_at = MIB;
		s->cut_once = true;
		s->parts_off = off[i];
		f = rig_ask(&r, &a);
		RIG_UNTIL(&r, OVER(f));
		CHECK_CUT(f);
		CHECK(f->got >= MIB - 1 && f->got < s->size);
		check_idle(&r);
		CHECK(rig_absent(&r, name[i]));
	}
	rig_stop(&r);
}

/* Where the end lies is known from an earlier answer, until one says otherwise. */
static void
the_last_bytes_of_what_has_another_length_by_now_are_found(void)
{
	struct asking a = ASK("whole");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("whole", 8 * MIB));
	for (size_t i = 0; i < 3; i++) {
		s->size = (const uint64_t[]){ 8 * MIB, 9 * MIB, MIB }[i];
		s->etag = (const char *[]){ "\"v1\"", "\"v2\"", "\"v3\"" }[i];
		a.range = "bytes=-100";
		f = rig_ask(&r, &a);
		RIG_UNTIL(&r, OVER(f));
		CHECK_STATUS(f, 206);
		CHECK_INT(f->first, s->size - 100);
		CHECK_WHOLE(f, 100);
		CHECK(has(f, s->etag));
	}
	check_idle(&r);
	rig_stop(&r);
}

static void
d11_the_length_of_a_coded_body_is_not_taken_for_the_assets(void)
{
	static const char *const name[] = { "whole", "unstored" };
	struct rig r;

	rig_start(&r, "");
	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		struct asking a = ASK(name[i]), head = ASK(name[i]), part = ASK(name[i]);
		struct script *s = rig_script(&r, SCRIPT(name[i], MIB));
		struct front *f;

		s->more = "Content-Encoding: gzip\r\n";
		if (i == 0) {
			f = rig_ask(&r, &a);
			RIG_UNTIL(&r, OVER(f));
			CHECK(has(f, "Content-Encoding: gzip"));
			CHECK_WHOLE(f, MIB);
		}
		head.head = true;
		f = rig_ask(&r, &head);
		RIG_UNTIL(&r, OVER(f));
		CHECK_STATUS(f, 200);
		CHECK(strstr(f->head, "Content-Length:") == NULL);
		part.range = "bytes=2097152-";	/* behind the end, packed */
		f = rig_ask(&r, &part);
		RIG_UNTIL(&r, OVER(f));
		CHECK_STATUS(f, 200);
		CHECK(has(f, "Content-Encoding: gzip"));
		CHECK_WHOLE(f, MIB);
		check_idle(&r);
	}
	rig_stop(&r);
}

/* Another one learned of the new version while this one's part was on its way. */
static void
a_part_of_another_version_is_never_sent_as_the_whole(void)
{
	struct asking first = ASK("whole"), a = ASK("whole"), b = ASK("whole");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s;

	rig_start(&r, ", \"backends\": { \"*\": { \"slots\": 1 } }");
	s = rig_script(&r, SCRIPT("whole", 8 * MIB));
	first.range = "bytes=4000000-4000099";
	f = rig_ask(&r, &first);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, 100);
	s->etag = "\"v2\"";
	b.range = "bytes=5000000-5000099";
	a.range = "bytes=6000000-6000099";
	a.if_range = "\"v1\"";
	h = rig_ask(&r, &b);
	g = rig_ask(&r, &a);	/* waits for the one slot */
	RIG_UNTIL(&r, OVER(g) && OVER(h));
	CHECK_WHOLE(h, 100);
	CHECK_STATUS(g, 200);
	CHECK_WHOLE(g, s->size);
	check_idle(&r);
	rig_stop(&r);
}

static void
a_known_version_is_304_and_nothing_is_fetched_for_it(void)
{
	struct asking a = ASK("unstored");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("unstored", 8 * MIB));
	s->hold_at = MIB;
	a.if_none_match = "\"v1\"";
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 304);
	CHECK_INT(f->got, 0);
	check_idle(&r);
	rig_stop(&r);
}

/* -- the resolver ---------------------------------------------------------------------------------------- */

static void
what_the_resolver_says_reaches_the_client_as_its_status(void)
{
	struct asking p = ASK("pending"), c = ASK("carry"), n = ASK("nowhere");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("pending", 1));
	s->kind = RESOLVE_PENDING;
	s->retry_after_s = 123;
	s = rig_script(&r, SCRIPT("carry", 1));
	s->kind = RESOLVE_CARRY;
	f = rig_ask(&r, &p);
	g = rig_ask(&r, &c);
	h = rig_ask(&r, &n);
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h));
	CHECK_STATUS(f, 503);
	CHECK(has(f, "Retry-After: 123"));
	CHECK_STATUS(g, 501);
	CHECK_STATUS(h, 404);
	check_idle(&r);
	rig_stop(&r);
}

static void
a_resolver_that_dies_fails_the_job_in_work_alone(void)
{
	struct asking a = ASK("a"), b = ASK("b");
	struct rig r;
	struct front *f, *g;
	struct script *s, *t;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", MIB));
	t = rig_script(&r, SCRIPT("b", MIB));
	r.collect = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, s->jobs == 1);
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, t->jobs == 1);
	r.collect = false;
	rig_kill_resolver(&r);
	RIG_UNTIL(&r, OVER(f) && OVER(g));
	CHECK_STATUS(f, 502);
	CHECK_STATUS(g, 200);
	CHECK_WHOLE(g, MIB);
	CHECK_INT(t->jobs, 2);
	CHECK_INT(r.connects, 2);
	rig_stop(&r);
}

static bool
is_asleep(pid_t pid)
{
	struct buf stat = BUF_INIT(4096);
	char path[64];
	const char *behind;
	bool asleep;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	MUST(fd_read_file(path, &stat, NULL) == 0);
	behind = strrchr(buf_str(&stat), ')');
	asleep = behind != NULL && behind[2] == 'S';
	buf_release(&stat);
	return asleep;
}

/* It serves what it has read, for as long as that takes, and hears nothing more. */
static void
a_resolver_that_retires_is_waited_for_asleep(void)
{
	struct asking a = ASK("a"), b = ASK("b");
	struct rig r;
	struct front *f, *g;
	struct script *s, *t;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", MIB));
	t = rig_script(&r, SCRIPT("b", MIB));
	r.collect = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, s->jobs == 1);
	rig_retire_resolver(&r);
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, r.scoreboard->slot[SLOT_MOVERS].bound[BOUND_RESOLVE_QUEUE].used == 2);
	RIG_UNTIL(&r, is_asleep(r.pid));
	rig_answer_jobs(&r);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, MIB);
	rig_say_bye(&r);
	RIG_UNTIL(&r, OVER(g));
	CHECK_STATUS(g, 200);
	CHECK_WHOLE(g, MIB);
	CHECK_INT(t->jobs, 1);
	CHECK_INT(r.connects, 2);
	CHECK_INT(r.scoreboard->slot[SLOT_MOVERS].count[COUNT_RESOLVER_DEATHS], 0);
	rig_stop(&r);
}

/* Its resolver works on one after the other: who asks for much waits behind his own. */
static void
users_take_turns_at_a_resolver(void)
{
	static const char *const much[] = { "m0", "m1", "m2", "m3", "m4", "m5" };
	struct asking a = ASK("modest");
	struct front *f[ARRAY_LEN(much) + 1];
	struct rig r;

	rig_start(&r, "");
	r.collect = true;
	for (size_t i = 0; i < ARRAY_LEN(much); i++) {
		struct asking g = ASK(much[i]);

		(void)rig_script(&r, SCRIPT(much[i], 1000));
		g.user = "greedy";
		f[i] = rig_ask(&r, &g);
	}
	(void)rig_script(&r, SCRIPT("modest", 1000));
	RIG_UNTIL(&r, r.n_open == 4);	/* as many as are with it at once */
	a.user = "modest";
	f[ARRAY_LEN(much)] = rig_ask(&r, &a);
	/* a client may be there and still wait for its quota */
	RIG_UNTIL(&r, r.scoreboard->slot[SLOT_MOVERS].bound[BOUND_RESOLVE_QUEUE].used == ARRAY_LEN(f));
	rig_answer_jobs(&r);
	r.collect = true;
	RIG_UNTIL(&r, r.n_open == 3);
	CHECK(strcmp(r.open_assets[0], "modest") != 0);
	CHECK_STR(r.open_assets[1], "modest");
	rig_answer_jobs(&r);
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		RIG_UNTIL(&r, OVER(f[i]));
		CHECK_WHOLE(f[i], 1000);
	}
	check_idle(&r);
	rig_stop(&r);
}

static void
credentials_of_less_than_a_minute_are_used(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", MIB));
	s->life_ms = 30000;
	a.deadline_ms = 3000;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 200);
	CHECK_INT(s->jobs, 1);
	rig_stop(&r);
}

static void
refused_credentials_are_made_anew_once_for_all_who_met_them(void)
{
	const char *const ranges[] = { "bytes=4000000-4000009", "bytes=5000000-5000009", "bytes=6000000-6000009" };
	struct asking a = ASK("whole");
	struct rig r;
	struct front *f[3];
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("whole", 8 * MIB));
	a.range = ranges[0];
	f[0] = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f[0]));
	CHECK_INT(s->jobs, 1);
	s->refuse = 1;
	for (size_t i = 0; i < 3; i++) {
		a.range = ranges[i];
		f[i] = rig_ask(&r, &a);
	}
	RIG_UNTIL(&r, OVER(f[0]) && OVER(f[1]) && OVER(f[2]));
	for (size_t i = 0; i < 3; i++)
		CHECK_WHOLE(f[i], 10);
	CHECK_INT(s->jobs, 2);
	CHECK_INT(s->fresh, 1);
	check_idle(&r);
	rig_stop(&r);
}

/* ... also when another one asks while the new ones are on their way, and has been refused by nobody. */
static void
who_comes_meanwhile_does_not_bring_the_refused_ones_back(void)
{
	char nowhere[RESOLVE_BACKEND_MAX + 2];
	struct asking a = ASK("whole"), last = ASK("whole");
	struct rig r;
	struct front *f, *g, *h;
	struct script *item, *s;

	memset(nowhere, 'x', sizeof(nowhere) - 1);
	nowhere[sizeof(nowhere) - 1] = '\0';
	last.backend = nowhere;		/* answered at once */
	rig_start(&r, ", \"stac\": { \"item_url\": \"http://127.0.0.1:@/{item}\", \"keep\": \"0s\" }");
	item = rig_script(&r, SCRIPT("i", 1000));
	s = rig_script(&r, SCRIPT("whole", 8 * MIB));
	a.range = "bytes=4000000-4000009";
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, 10);
	s->refuse = 1;
	item->silent = true;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, item->gets == 2);
	g = rig_ask(&r, &a);
	h = rig_ask(&r, &last);		/* behind it: then it has been there */
	RIG_UNTIL(&r, OVER(h));
	CHECK_STATUS(h, 404);
	item->silent = false;
	RIG_UNTIL(&r, OVER(f) && OVER(g));
	CHECK_WHOLE(f, 10);
	CHECK_WHOLE(g, 10);
	CHECK_INT(s->jobs, 2);
	CHECK_INT(s->fresh, 1);
	check_idle(&r);
	rig_stop(&r);
}

static void
nobody_waits_longer_than_the_deadline(void)
{
	struct asking a = ASK("mute"), b = ASK("silent"), c = ASK("unstored");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s;
	int64_t since;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("mute", MIB));
	s->mute = true;
	s = rig_script(&r, SCRIPT("silent", MIB));
	s->silent = true;
	s = rig_script(&r, SCRIPT("unstored", MIB));
	s->silent = true;
	a.deadline_ms = b.deadline_ms = c.deadline_ms = 300;
	c.head = true;
	since = rig_ms();
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &b);
	h = rig_ask(&r, &c);
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h));
	CHECK(rig_ms() - since >= 300);
	CHECK_STATUS(f, 504);
	CHECK_STATUS(g, 504);
	CHECK_STATUS(h, 504);
	check_idle(&r);
	rig_stop(&r);		/* with a job still open */
}

/* Each has the time that is its own, whoever asked first. */
static void
who_joins_has_a_deadline_of_its_own(void)
{
	struct asking a = ASK("whole"), b = ASK("probed"), p = ASK("part");
	struct rig r;
	struct front *f[6];
	struct script *whole, *probed, *part;

	rig_start(&r, "");
	whole = rig_script(&r, SCRIPT("whole", MIB));
	probed = rig_script(&r, SCRIPT("probed", MIB));
	part = rig_script(&r, SCRIPT("part", MIB));
	whole->silent = probed->silent = part->silent = true;
	b.head = true;
	p.range = "bytes=-100";		/* nothing is known of it: it is asked for a byte first */
	a.deadline_ms = b.deadline_ms = p.deadline_ms = 3000;
	f[0] = rig_ask(&r, &a);
	f[1] = rig_ask(&r, &b);
	f[2] = rig_ask(&r, &p);
	RIG_UNTIL(&r, whole->gets == 1 && probed->gets == 1 && part->gets == 1);
	a.deadline_ms = b.deadline_ms = p.deadline_ms = 0;
	f[3] = rig_ask(&r, &a);
	f[4] = rig_ask(&r, &b);
	f[5] = rig_ask(&r, &p);
	RIG_UNTIL(&r, OVER(f[0]) && OVER(f[1]) && OVER(f[2]));
	CHECK_STATUS(f[0], 504);
	CHECK_STATUS(f[1], 504);
	CHECK_STATUS(f[2], 504);
	CHECK(!OVER(f[3]) && !OVER(f[4]) && !OVER(f[5]));
	whole->silent = probed->silent = part->silent = false;
	RIG_UNTIL(&r, OVER(f[3]) && OVER(f[4]) && OVER(f[5]));
	CHECK_STATUS(f[3], 200);
	CHECK_WHOLE(f[3], MIB);
	CHECK_STATUS(f[4], 200);
	CHECK_STATUS(f[5], 206);
	CHECK_INT(whole->gets, 1);
	CHECK_INT(probed->gets, 1);
	check_idle(&r);
	rig_stop(&r);
}

/* A place in the queue that nobody waits for any more is given back. */
static void
what_everybody_has_given_up_is_asked_of_no_provider(void)
{
	struct asking a = ASK("holder"), b = ASK("given-up"), c = ASK("probed");
	struct rig r;
	struct front *f, *g, *h;
	struct script *holder, *given_up, *probed;

	rig_start(&r, ", \"backends\": { \"*\": { \"slots\": 1 } }");
	holder = rig_script(&r, SCRIPT("holder", MIB));
	given_up = rig_script(&r, SCRIPT("given-up", MIB));
	probed = rig_script(&r, SCRIPT("probed", MIB));
	holder->hold_at = 1000;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, f->got == 999);
	b.deadline_ms = c.deadline_ms = 3000;
	c.head = true;
	g = rig_ask(&r, &b);
	h = rig_ask(&r, &c);
	RIG_UNTIL(&r, rig_gauge(&r, GAUGE_QUEUED) == 2);
	RIG_UNTIL(&r, OVER(g) && OVER(h));
	CHECK_STATUS(g, 504);
	CHECK_STATUS(h, 504);
	CHECK_INT(rig_gauge(&r, GAUGE_QUEUED), 0);
	holder->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, MIB);
	check_idle(&r);
	CHECK_INT(given_up->gets, 0);
	CHECK_INT(probed->gets, 0);
	rig_stop(&r);
}

#define STAC	", \"stac\": { \"item_url\": \"http://127.0.0.1:@/{item}\" }"

static void
the_item_is_fetched_once_and_travels_with_the_jobs(void)
{
	struct asking a = ASK("a"), b = ASK("b");
	struct rig r;
	struct front *f, *g;
	struct script *item, *s, *t;

	rig_start(&r, STAC);
	item = rig_script(&r, SCRIPT("i", 1000));
	s = rig_script(&r, SCRIPT("a", MIB));
	t = rig_script(&r, SCRIPT("b", MIB));
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, OVER(f) && OVER(g));
	CHECK_WHOLE(f, MIB);
	CHECK_WHOLE(g, MIB);
	CHECK_INT(item->gets, 1);
	CHECK_INT(s->item_len, 1000);
	CHECK_INT(t->item_len, 1000);
	rig_stop(&r);
}

static void
an_item_that_is_not_there_is_404_and_one_that_hangs_holds_nobody(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f, *g;
	struct script *item;

	rig_start(&r, STAC);
	item = rig_script(&r, SCRIPT("i", 1000));
	item->http_status = 404;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 404);
	rig_stop(&r);
	rig_start(&r, STAC);
	item = rig_script(&r, SCRIPT("i", 1000));
	item->silent = true;
	a.deadline_ms = 200;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, OVER(f));
	CHECK_STATUS(f, 504);
	a.deadline_ms = 0;
	check_idle(&r);
	g = rig_ask(&r, &a);
	RIG_UNTIL(&r, rig_gauge(&r, GAUGE_CLIENTS) == 1);
	fd_close(&r.control);
	CHECK_INT(rig_wait(&r), 0);
	CHECK_STATUS(g, 503);
	rig_stop(&r);
}

static void
a_reload_drops_nothing_that_runs(void)
{
	struct asking a = ASK("a"), u = ASK("unstored"), w = ASK("whole"), m = ASK("mute");
	struct rig r;
	struct front *f, *g, *h, *i;
	struct script *s, *t, *v, *x;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	t = rig_script(&r, SCRIPT("unstored", 6 * MIB));
	v = rig_script(&r, SCRIPT("whole", 8 * MIB));
	x = rig_script(&r, SCRIPT("mute", MIB));
	s->hold_at = t->hold_at = MIB;
	v->hold_at = 5 * MIB;
	w.range = "bytes=4194304-";
	a.quota = u.quota = w.quota = true;
	r.collect = true;
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &u);
	h = rig_ask(&r, &w);
	RIG_UNTIL(&r, s->jobs == 1 && t->jobs == 1 && v->jobs == 1);
	rig_answer_jobs(&r);
	RIG_UNTIL(&r, f->got == MIB - 1 && g->got == MIB - 1 && h->got == MIB);
	r.collect = true;
	i = rig_ask(&r, &m);
	RIG_UNTIL(&r, x->jobs == 1);
	rig_reload(&r, ", \"spool\": { \"max\": \"2 MiB\", \"max_transfer\": \"2 MiB\" },"
	    " \"backends\": { \"*\": { \"slots\": 1 } }");
	rig_answer_jobs(&r);
	s->hold_at = t->hold_at = v->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f) && OVER(g) && OVER(h) && OVER(i));
	CHECK_WHOLE(f, s->size);
	CHECK_WHOLE(g, t->size);
	CHECK_WHOLE(h, 4 * MIB);
	CHECK_WHOLE(i, MIB);
	check_idle(&r);
	RIG_UNTIL(&r, r.granted[QUOTA_BYTES] == r.returned[QUOTA_BYTES]);
	rig_stop(&r);
}

/* -- the end ------------------------------------------------------------------------------------------------ */

static void
a_drain_finishes_what_runs(void)
{
	struct asking a = ASK("a"), b = ASK("b");
	struct rig r;
	struct front *f, *g;
	struct script *s;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	(void)rig_script(&r, SCRIPT("b", MIB));
	s->hold_at = MIB;
	f = rig_ask(&r, &a);
	RIG_UNTIL(&r, f->got == MIB - 1);
	g = rig_ask(&r, &b);	/* a worker's last one */
	CHECK_INT(control_send(r.control, CONTROL_DRAIN, -1), 0);
	RIG_UNTIL(&r, OVER(g));
	CHECK_WHOLE(g, MIB);
	s->hold_at = WITHOUT_END;
	CHECK_INT(rig_wait(&r), 0);
	CHECK_WHOLE(f, s->size);
	CHECK(rig_published(&r, "a", s->size));
	rig_stop(&r);
}

static void
a_drain_takes_what_was_handed_over_before_it(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;

	rig_start(&r, "");
	(void)rig_script(&r, SCRIPT("a", MIB));
	(void)kill(r.pid, SIGSTOP);
	f = rig_ask(&r, &a);
	CHECK_INT(control_send(r.control, CONTROL_DRAIN, -1), 0);
	(void)kill(r.pid, SIGCONT);
	CHECK_INT(rig_wait(&r), 0);
	CHECK_WHOLE(f, MIB);
	rig_stop(&r);
}

static void
a_drain_past_its_limit_cuts_visibly(void)
{
	struct asking a = ASK("a"), b = ASK("mute");
	struct rig r;
	struct front *f, *g;
	struct script *s;

	rig_start(&r, ", \"pool\": { \"drain\": \"1s\" }");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	s->hold_at = MIB;
	s = rig_script(&r, SCRIPT("mute", MIB));
	s->mute = true;
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, f->got == MIB - 1 && s->jobs == 1);
	CHECK_INT(control_send(r.control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(rig_wait(&r), 0);
	CHECK_CUT(f);
	CHECK_STATUS(g, 503);
	rig_stop(&r);
}

static void
set_descriptors(const struct rig *r, rlim_t n)
{
	struct rlimit limit;

	MUST(prlimit(r->pid, RLIMIT_NOFILE, NULL, &limit) == 0);
	limit.rlim_cur = n;
	MUST(prlimit(r->pid, RLIMIT_NOFILE, &limit, NULL) == 0);
}

/* One more at each step: connection, spool, provider, object ... each is once the first that finds none. */
static void
f9_without_descriptors_nobody_gets_a_wrong_byte_and_each_charge_ends(void)
{
	enum { LEAST = 6, MOST = 30 };
	struct asking a = ASK("a");
	struct rig r;
	struct front *f;
	struct script *s;
	unsigned lost = 0, refused = 0, whole = 0;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 100000));
	a.quota = true;
	for (unsigned n = LEAST; n < MOST; n++) {
		set_descriptors(&r, n);
		f = rig_ask(&r, &a);
		RIG_UNTIL(&r, OVER(f) && r.settles > n - LEAST && rig_gauge(&r, GAUGE_CLIENTS) == 0);
		CHECK(!f->wrong);
		lost += f->eof && !f->headed;
		refused += f->ended && strstr(f->head, "Status: 50") != NULL;
		whole += f->ended && strstr(f->head, "Status: 200") != NULL && f->got == s->size;
	}
	CHECK(lost > 0 && refused > 0 && whole > 0);
	CHECK_INT(lost + refused + whole, MOST - LEAST);
	RIG_UNTIL(&r, rig_published(&r, "a", s->size));
	check_books(&r, whole * s->size, s->gets * s->size);
	check_idle(&r);
	rig_stop(&r);
}

static void
after_an_upgrade_what_runs_has_its_time_until_a_drain_follows(void)
{
	struct asking a = ASK("a"), b = ASK("b"), c = ASK("c");
	struct rig r;
	struct front *f, *g, *h;
	struct script *s, *t;

	rig_start(&r, ", \"pool\": { \"drain\": \"0s\" }");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	s->hold_at = MIB;
	t = rig_script(&r, SCRIPT("b", 2 * MIB));
	t->hold_at = MIB;
	(void)rig_script(&r, SCRIPT("c", MIB));
	f = rig_ask(&r, &a);
	g = rig_ask(&r, &b);
	RIG_UNTIL(&r, f->got == MIB - 1 && g->got == MIB - 1);
	CHECK_INT(control_send(r.control, CONTROL_FINISH, -1), 0);
	h = rig_ask(&r, &c);	/* it is served: so the word before it was heard, and nobody was cut */
	RIG_UNTIL(&r, OVER(h));
	CHECK_WHOLE(h, MIB);
	s->hold_at = WITHOUT_END;
	RIG_UNTIL(&r, OVER(f));
	CHECK_WHOLE(f, s->size);
	CHECK(!OVER(g));
	CHECK_INT(control_send(r.control, CONTROL_DRAIN, -1), 0);
	CHECK_INT(rig_wait(&r), 0);
	CHECK_CUT(g);
	rig_stop(&r);
}

static void
without_a_master_every_client_sees_a_failure(void)
{
	struct asking a = ASK("a"), b = ASK("b"), c = ASK("mute"), d = ASK("whole"), e = ASK("silent");
	struct rig r;
	struct front *f[5];
	struct script *s, *t, *mute, *silent;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB));
	s->hold_at = MIB;
	t = rig_script(&r, SCRIPT("b", 2 * MIB));
	t->framing = BY_CHUNKS;
	t->hold_at = MIB;
	mute = rig_script(&r, SCRIPT("mute", MIB));
	mute->mute = true;
	rig_script(&r, SCRIPT("whole", 8 * MIB))->hold_at = 5 * MIB;
	silent = rig_script(&r, SCRIPT("silent", MIB));
	silent->silent = true;
	d.range = "bytes=4194304-";
	e.head = true;
	a.quota = b.quota = true;
	f[0] = rig_ask(&r, &a);
	f[1] = rig_ask(&r, &b);
	f[2] = rig_ask(&r, &c);
	f[3] = rig_ask(&r, &d);
	f[4] = rig_ask(&r, &e);
	RIG_UNTIL(&r, f[0]->got == MIB - 1 && f[1]->got >= MIB - 1 && mute->jobs == 1 && silent->gets == 1 &&
	    f[3]->got == MIB);
	fd_close(&r.control);
	CHECK_INT(rig_wait(&r), 0);
	CHECK_CUT(f[0]);
	CHECK_CUT(f[1]);
	CHECK_STATUS(f[2], 503);
	CHECK_CUT(f[3]);
	CHECK_STATUS(f[4], 503);
	CHECK_INT(rig_log_count(&r, "EO-MASTER-GONE"), 1);
	CHECK_INT(r.granted[QUOTA_BYTES], r.returned[QUOTA_BYTES]);
	CHECK_INT(r.granted[QUOTA_UPSTREAM_BYTES], r.returned[QUOTA_UPSTREAM_BYTES]);
	rig_stop(&r);
}

static void
many_clients_share_one_fetch(void)
{
	struct asking a = ASK("a");
	struct rig r;
	struct front *f[24];
	struct script *s;
	bool all = false;

	rig_start(&r, "");
	s = rig_script(&r, SCRIPT("a", 2 * MIB + 3));
	a.quota = true;
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		f[i] = rig_ask(&r, &a);
	for (int64_t until = rig_ms() + RIG_WAIT_MS; !all && rig_ms() < until;) {
		rig_turn(&r);
		all = true;
		for (size_t i = 0; i < ARRAY_LEN(f); i++)
			all = all && OVER(f[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		CHECK_WHOLE(f[i], s->size);
	CHECK_INT(s->gets, 1);
	CHECK_INT(s->jobs, 1);
	check_books(&r, ARRAY_LEN(f) * s->size, s->size);
	check_idle(&r);
	rig_stop(&r);
}

int
main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		UNIT(a_cold_whole_is_delivered_published_and_charged_once),
		UNIT(an_answer_is_settled_with_its_last_byte_not_when_the_front_has_closed),
		UNIT(who_joins_a_stalled_transfer_gets_every_byte),
		UNIT(many_clients_share_one_fetch),
		UNIT(the_last_byte_waits_for_the_checksum),
		UNIT(a_body_that_is_cut_upstream_is_cut_visibly),
		UNIT(a_lone_fill_goes_on_without_its_client_and_what_is_not_stored_does_not),
		UNIT(f4_an_abort_or_a_close_ends_what_nobody_else_wants),
		UNIT(one_of_two_leaves_and_the_other_gets_all),
		UNIT(an_object_that_is_still_being_read_stays_as_it_was_published),
		UNIT(a_slow_client_paces_what_is_not_stored_and_gets_every_byte),
		UNIT(who_needs_what_has_left_the_window_gets_it_elsewhere),
		UNIT(who_asked_for_no_range_gets_200_however_it_is_fetched),
		UNIT(a_full_spool_does_not_stop_another_transfer),
		UNIT(a_body_of_unknown_length_is_stored_only_within_the_datasets_bounds),
		UNIT(ranges_start_a_fill_at_the_sites_expense_but_not_one_that_cannot_be_stored),
		UNIT(a_background_fill_leaves_the_last_slot_and_makes_way),
		UNIT(who_joins_a_background_fill_that_was_to_make_way_keeps_it),
		UNIT(a_hit_is_streamed_and_what_vanished_is_fetched),
		UNIT(who_is_over_quota_is_refused_alone_and_the_site_does_not_pay_for_it),
		UNIT(a_silent_accountant_costs_a_tenth_of_a_second_and_a_second_whom_it_stops),
		UNIT(an_accountant_that_is_back_within_a_second_stops_nobody),
		UNIT(a_crowd_waits_for_an_accountant_that_answers_one_by_one),
		UNIT(with_too_many_charges_nobody_is_taken_until_some_are),
		UNIT(an_unknown_length_is_reserved_in_steps_and_the_refused_one_is_a_cut),
		UNIT(a_rate_is_kept_cold_and_direct),
		UNIT(ranges_come_from_the_source_and_only_as_much_as_was_asked),
		UNIT(a_part_that_is_too_long_ends_where_it_was_announced_to_end),
		UNIT(a_rest_is_asked_for_by_range_and_only_of_the_same_version),
		UNIT(a_rest_is_not_asked_for_by_a_date_that_may_be_of_two_versions),
		UNIT(d4_a_rest_that_is_not_as_long_as_announced_is_never_published),
		UNIT(d11_the_length_of_a_coded_body_is_not_taken_for_the_assets),
		UNIT(the_last_bytes_of_what_has_another_length_by_now_are_found),
		UNIT(a_part_of_another_version_is_never_sent_as_the_whole),
		UNIT(a_known_version_is_304_and_nothing_is_fetched_for_it),
		UNIT(what_the_resolver_says_reaches_the_client_as_its_status),
		UNIT(a_resolver_that_dies_fails_the_job_in_work_alone),
		UNIT(a_resolver_that_retires_is_waited_for_asleep),
		UNIT(users_take_turns_at_a_resolver),
		UNIT(credentials_of_less_than_a_minute_are_used),
		UNIT(refused_credentials_are_made_anew_once_for_all_who_met_them),
		UNIT(who_comes_meanwhile_does_not_bring_the_refused_ones_back),
		UNIT(nobody_waits_longer_than_the_deadline),
		UNIT(who_joins_has_a_deadline_of_its_own),
		UNIT(what_everybody_has_given_up_is_asked_of_no_provider),
		UNIT(the_item_is_fetched_once_and_travels_with_the_jobs),
		UNIT(an_item_that_is_not_there_is_404_and_one_that_hangs_holds_nobody),
		UNIT(a_reload_drops_nothing_that_runs),
		UNIT(a_drain_finishes_what_runs),
		UNIT(a_drain_takes_what_was_handed_over_before_it),
		UNIT(a_drain_past_its_limit_cuts_visibly),
		UNIT(after_an_upgrade_what_runs_has_its_time_until_a_drain_follows),
		UNIT(f9_without_descriptors_nobody_gets_a_wrong_byte_and_each_charge_ends),
		UNIT(without_a_master_every_client_sees_a_failure),
	};

	/* one of them by name, for whoever looks into it */
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(tests); i++) {
		if (strcmp(tests[i].name, argv[1]) == 0)
			return unit_run("mover_process", &tests[i], 1);
	}
	return unit_run("mover_process", tests, ARRAY_LEN(tests));
}
