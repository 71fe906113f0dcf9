/* SPDX-License-Identifier: Apache-2.0
 *
 * The scoreboard for people (JSON) and for Prometheus (text format 0.0.4).
 * Called by workers for -/status and -/metrics and by eodata-proxyctl.
 * Everything read here was written by other processes: numbers are taken as
 * they are, names are looked up with a bound, text is escaped.
 */
#include "base/base.h"

#include "stat/scoreboard.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define GET(p)	__atomic_load_n((p), __ATOMIC_RELAXED)

struct row {			/* one metric or member */
	const char *name, *help;
};

static const struct row counter_row[COUNTER_N] = {
#define X(id, prom, text) { prom, text },
	COUNTERS(X)
#undef X
};

static const struct row gauge_row[GAUGE_N] = {
#define X(id, prom, text) { prom, text },
	GAUGES(X)
#undef X
};

static bool
in_use(const struct slot *s)
{
	return GET(&s->state) != SLOT_EMPTY && GET(&s->pid) != 0;
}

static uint64_t
gauge_sum(const struct scoreboard *sb, enum gauge g)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (in_use(&sb->slot[i]) && GET(&sb->slot[i].state) != SLOT_DEAD)
			sum += GET(&sb->slot[i].gauge[g]);
	}
	return sum;
}

bool
scoreboard_movers_have(const struct scoreboard *sb, enum gauge g)
{
	const struct slot *s;

	for (size_t i = SLOT_MOVERS; i < SLOT_MOVERS + SLOT_MOVERS_MAX; i++) {
		s = &sb->slot[i];
		if (in_use(s) && GET(&s->state) != SLOT_DEAD && GET(&s->gauge[g]) != 0)
			return true;
	}
	return false;
}

static int64_t
age(int64_t then, int64_t now)
{
	return then > 0 && then <= now ? now - then : 0;
}

static void
process_json(const struct slot *s, size_t i, struct buf *out)
{
	int64_t beat = GET(&s->heartbeat_mono_ms), deadline = GET(&s->deadline_mono_ms);
	int64_t mono = clock_mono_ms();
	char note[SLOT_NOTE_MAX];

	memcpy(note, s->note, sizeof(note));
	buf_addf(out,
	    "{\"role\":\"%s\",\"index\":%" PRIu32 ",\"slot\":%zu,\"pid\":%" PRIu32
	    ",\"state\":\"%s\"",
	    role_name(GET(&s->role)), GET(&s->index), i, GET(&s->pid),
	    slot_state_name(GET(&s->state)));
	buf_addf(out, ",\"generation\":%" PRIu64 ",\"uptime_s\":%" PRId64 ",\"jobs\":%" PRIu64,
	    GET(&s->generation), age(GET(&s->started_wall_ms), clock_wall_ms()) / 1000,
	    GET(&s->jobs));
	buf_addf(out, ",\"heap_bytes\":%" PRIu64, GET(&s->gauge[GAUGE_HEAP_BYTES]));
	if (beat > 0)
		buf_addf(out, ",\"heartbeat_age_ms\":%" PRId64, age(beat, mono));
	if (deadline > 0)
		buf_addf(out, ",\"deadline_in_ms\":%" PRId64,
		    (int64_t)((uint64_t)deadline - (uint64_t)mono));
	if (note[0] != '\0') {
		buf_adds(out, ",\"note\":");
		text_json(out, note, strnlen(note, sizeof(note)));
	}
	buf_addc(out, '}');
}

/* Each with the process that is nearest to it. */
static void
bounds_json(const struct scoreboard *sb, struct buf *out)
{
	const char *comma = "";
	const struct slot *s;
	struct bound_use u;

	for (size_t i = 0; i < BOUND_N; i++) {
		s = scoreboard_fullest(sb, (enum bound)i, &u);
		if (s == NULL)
			continue;
		buf_addf(out,
		    "%s\"%s\":{\"used\":%" PRIu64 ",\"max\":%" PRIu64 ",\"reached\":%" PRIu64
		    ",\"role\":\"%s\",\"index\":%" PRIu32 "}",
		    comma, bound_name((enum bound)i), u.used, u.max, u.reached, role_name(GET(&s->role)),
		    GET(&s->index));
		comma = ",";
	}
}

void
scoreboard_json(const struct scoreboard *sb, struct buf *out)
{
	const char *comma = "";

	buf_addf(out,
	    "{\"ready\":%s,\"draining\":%s,\"generation\":%" PRIu64 ",\"uptime_s\":%" PRId64
	    ",\"processes\":[",
	    GET(&sb->ready) != 0 ? "true" : "false", GET(&sb->draining) != 0 ? "true" : "false",
	    GET(&sb->generation), age(GET(&sb->started_wall_ms), clock_wall_ms()) / 1000);
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (!in_use(&sb->slot[i]))
			continue;
		buf_adds(out, comma);
		process_json(&sb->slot[i], i, out);
		comma = ",";
	}
	buf_adds(out, "],\"counters\":{");
	for (size_t i = 0; i < COUNTER_N; i++)
		buf_addf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", counter_row[i].name,
		    scoreboard_sum(sb, (enum counter)i));
	buf_adds(out, "},\"gauges\":{");
	for (size_t i = 0; i < GAUGE_N; i++)
		buf_addf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", gauge_row[i].name,
		    gauge_sum(sb, (enum gauge)i));
	buf_adds(out, "},\"bounds\":{");
	bounds_json(sb, out);
	buf_adds(out, "}}\n");
}

static void
head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(
	    out, "# HELP eodata_proxy_%s %s\n# TYPE eodata_proxy_%s %s\n", name, help, name, type);
}

static void
single(struct buf *out, const char *name, const char *type, const char *help, uint64_t v)
{
	head(out, name, type, help);
	buf_addf(out, "eodata_proxy_%s %" PRIu64 "\n", name, v);
}

/* The slot makes a series unique whatever a process wrote into role and index. */
static void
labels(struct buf *out, const char *name, const struct slot *s, size_t i)
{
	uint32_t index = GET(&s->index);

	buf_addf(out, "eodata_proxy_%s{role=\"%s\",index=\"%" PRIu32 "\",slot=\"%zu\"", name,
	    role_name(GET(&s->role)), index < SCOREBOARD_SLOTS ? index : SCOREBOARD_SLOTS, i);
}

static void
processes(const struct scoreboard *sb, struct buf *out)
{
	const struct slot *s;

	head(out, "process_state", "gauge", "1 for the state that a process is in");
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		s = &sb->slot[i];
		if (!in_use(s))
			continue;
		labels(out, "process_state", s, i);
		buf_addf(out, ",state=\"%s\"} 1\n", slot_state_name(GET(&s->state)));
	}
	head(out, "process_start_time_seconds", "gauge", "when a process started, since the epoch");
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		s = &sb->slot[i];
		if (!in_use(s))
			continue;
		labels(out, "process_start_time_seconds", s, i);
		buf_addf(out, "} %" PRId64 "\n", GET(&s->started_wall_ms) / 1000);
	}
	head(out, "process_jobs_total", "counter", "jobs finished in a process slot");
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		s = &sb->slot[i];
		if (!in_use(s))
			continue;
		labels(out, "process_jobs_total", s, i);
		buf_addf(out, "} %" PRIu64 "\n", GET(&s->jobs));
	}
}

/* One of the three numbers of each bound that a process has. */
static void
bounds(const struct scoreboard *sb, struct buf *out, const char *name, const char *type, const char *help, size_t at)
{
	const struct bound_use *u;
	const struct slot *s;

	head(out, name, type, help);
	for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
		s = &sb->slot[i];
		for (size_t b = 0; b < BOUND_N && in_use(s); b++) {
			u = &s->bound[b];
			if (GET(&u->max) == 0)
				continue;
			labels(out, name, s, i);
			buf_addf(out, ",bound=\"%s\"} %" PRIu64 "\n", bound_name((enum bound)b),
			    GET((const uint64_t *)((const char *)u + at)));
		}
	}
}

void
scoreboard_prometheus(const struct scoreboard *sb, struct buf *out)
{
	single(out, "ready", "gauge", "1 when every role is up", GET(&sb->ready) != 0);
	single(out, "draining", "gauge", "1 while the program is ending", GET(&sb->draining) != 0);
	single(out, "config_generation", "gauge", "generation of the configuration in force",
	    GET(&sb->generation));
	single(out, "start_time_seconds", "gauge", "when the master started, since the epoch",
	    (uint64_t)GET(&sb->started_wall_ms) / 1000);
	for (size_t i = 0; i < COUNTER_N; i++)
		single(out, counter_row[i].name, "counter", counter_row[i].help,
		    scoreboard_sum(sb, (enum counter)i));
	for (size_t i = 0; i < GAUGE_N; i++)
		single(out, gauge_row[i].name, "gauge", gauge_row[i].help,
		    gauge_sum(sb, (enum gauge)i));
	bounds(sb, out, "bound_used", "gauge", "how much there is of what is bounded", offsetof(struct bound_use, used));
	bounds(sb, out, "bound_max", "gauge", "how much of it there may be", offsetof(struct bound_use, max));
	bounds(sb, out, "bound_reached_total", "counter", "how often it was too little",
	    offsetof(struct bound_use, reached));
	processes(sb, out);
}
