/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps 2 to 6 of a request, in the order of the design.  Worker.
 *
 * What a request costs is known once it is known to be a hit or a miss, and
 * is reserved in one round trip to the counters, after the lookup (which
 * tells the client nothing) and before anything is answered from it.
 */
#include "base/base.h"

#include "worker/decide.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "cache/key.h"
#include "stat/scoreboard.h"
#include "wire/range.h"

enum {
	AWAY_RETRY_S = 5,
	TEXT_MAX = 2048,
	FRONT_URL_LIFE_S = 900,		/* the front begins at once; this is for clocks that differ */
};

void
decision_init(struct decision *d)
{
	/* all but the room for groups' names, which n_groups tells of */
	memset(d, 0, offsetof(struct decision, who.group));
	memset((char *)d + offsetof(struct decision, rule), 0, sizeof(*d) - offsetof(struct decision, rule));
	d->kind = DECISION_PROBLEM;
	d->verdict = "-";
	d->object_fd = -1;
	d->problem.retry_after_s = -1;
	buf_init(&d->key, KEY_MAX);
	buf_init(&d->url, STORE_URL_MAX);
	buf_init(&d->headers, TEXT_MAX);
	buf_init(&d->members, TEXT_MAX);
}

static void
forget_object(struct decision *d)
{
	if (d->has_object)
		store_object_release(&d->object);
	d->has_object = false;
	fd_close(&d->object_fd);
}

void
decision_release(struct decision *d)
{
	forget_object(d);
	buf_release(&d->key);
	buf_release(&d->url);
	buf_release(&d->headers);
	buf_release(&d->members);
}

void
decision_problem(struct decision *d, const struct request *r, int status, enum problem_source source,
    const char *type, const char *detail)
{
	d->kind = DECISION_PROBLEM;
	buf_clear(&d->headers);
	buf_clear(&d->members);
	(void)snprintf(d->detail, sizeof(d->detail), "%s", detail);
	d->problem = (struct problem){
		.status = status,
		.source = source,
		.type = type,
		.detail = d->detail,
		.id = r->id,
		.retry_after_s = -1,
		.cache_status = d->has_object ? "hit" : "detail=rejected",
	};
}

/* Steps 2 and before: is it a request at all, from whom?  False: d is a problem. */
static bool
decide_who(struct decision *d, const struct decide_env *env, const struct request *r, const struct route *route,
    char *const *envp)
{
	struct err e = ERR_NONE;

	d->verdict = "bad";
	if (r->fault != NULL) {
		decision_problem(d, r, 400, PROBLEM_CLIENT, "bad-request", r->fault);
		return false;
	}
	if (route->kind == ROUTE_FAULT) {
		decision_problem(d, r, route->status, PROBLEM_CLIENT,
		    route->status == 404 ? "not-found" : "bad-request", route->why.text);
		if (route->status == 405)
			(void)buf_adds(&d->headers, "Allow: GET, HEAD, OPTIONS\r\n");
		return false;
	}
	if (route->kind == ROUTE_HEALTH || route->kind == ROUTE_READY || route->method == METHOD_OPTIONS)
		return true;	/* they tell nothing, so they ask for nobody */
	if (identity_from_params(&d->who, env->config, envp, &e) != 0) {
		memset(&d->who, 0, sizeof(d->who));
		decision_problem(d, r, 400, PROBLEM_CLIENT, "bad-identity", e.text);
		return false;
	}
	if (r->loop) {
		d->verdict = "loop";
		decision_problem(d, r, 508, PROBLEM_UPSTREAM, "loop", "this request has passed through here already");
		return false;
	}
	return true;
}

/* Step 3. */
static bool
decide_rules(struct decision *d, const struct decide_env *env, const struct request *r, const struct route *route,
    struct access_verdict *v)
{
	struct access_request ar = {
		.method = r->method,
		.route = route->name,
		.backend = route->backend,
		.collection = route->collection,
		.item = route->item,
		.asset = route->asset,
	};

	rules_decide(env->config, &d->who, &ar, v);
	d->rule = v->rule;
	if (v->allow) {
		d->verdict = "allow";
		return true;
	}
	stat_inc(COUNT_DENIED);
	if (v->login_would_help) {
		d->verdict = "login";
		decision_problem(d, r, 401, PROBLEM_POLICY, "login-needed", "this needs a login");
		(void)buf_adds(&d->headers, "WWW-Authenticate: Basic realm=\"eodata-proxy\", charset=\"UTF-8\"\r\n");
	} else {
		d->verdict = "deny";
		decision_problem(d, r, 403, PROBLEM_POLICY, "not-allowed", "the rules do not allow this");
	}
	return false;
}

/* A URL of the storage lets clients in, where objects are no files. */
static bool
has_urls(const struct decide_env *env)
{
	return env->store->ops->url != NULL;
}

/* Would clients send their credentials along to the storage? */
static bool
keeps_credentials(const struct decision *d, const struct decide_env *env, const struct request *r)
{
	const struct strs *own = &env->config->public_urls;
	const char *host;

	if (!has_urls(env) || (d->who.name[0] == '\0' && !r->authorized))
		return false;
	host = env->store->ops->host(env->store);
	if (r->host != NULL && delivery_same_host(r->host, host))
		return true;
	for (size_t i = 0; i < own->n; i++) {
		if (delivery_same_host(own->v[i], host))
			return true;
	}
	return false;
}

static void
decide_delivery(struct decision *d, const struct decide_env *env, const struct request *r, const struct route *route)
{
	struct delivery_ask a = {
		.head = route->method == METHOD_HEAD,
		.scripted = r->origin != NULL,
		.keeps_credentials = d->rule->delivery == DELIVERY_AUTO && keeps_credentials(d, env, r),
		.cond = &r->cond,
	};

	d->delivery = delivery_of_rule(d->rule->delivery, &a, &d->delivery_why);
}

/* Step 5, its beginning: where would it be? */
static void
locate_begin(struct decision *d, const struct decide_env *env, const struct request *r, const struct route *route)
{
	d->kind = DECISION_MISS;
	d->locating = true;
	decide_delivery(d, env, r, route);
	d->dataset = config_dataset(env->config, route->backend, route->collection, route->asset);
	/* a file is nothing that a client could be sent to */
	if (d->dataset == NULL || (d->delivery == DELIVERY_REDIRECT && !has_urls(env)) ||
	    key_make(&d->key, d->dataset->retention, route->backend, route->collection, route->item, route->asset,
	    route_subpath(route)) != 0)
		buf_clear(&d->key);	/* or it is too long: delivered, never stored */
}

/* Is it here?  Trouble of the store is a miss that the log knows of. */
static void
look_up(struct decision *d, const struct decide_env *env, const struct request *r)
{
	struct err e = ERR_NONE;

	switch (env->store->ops->lookup(env->store, buf_str(&d->key), &d->object, &e)) {
	case STORE_HIT:
		d->has_object = true;
		break;
	case STORE_FAILED:
		log_warn(r->id, "EO-WORKER-STORE", "%s", e.text);
		break;
	case STORE_MISS:
	case STORE_ASK:
	default:
		break;
	}
}

/* What is remembered of it; the entry is given up. */
static void
take_memory(struct decision *d, struct memory_entry *e)
{
	if (e->state == MEMORY_PRESENT) {
		d->object = (struct store_object){ .meta = e->meta, .version = e->store_etag, .ends_s = e->ends_s };
		d->has_object = true;
		*e = (struct memory_entry){ .state = MEMORY_UNKNOWN };
	}
	memory_entry_release(e);
}

/*
 * One range in its plainest form, which every front reads as we do.  nginx answers
 * 416 to a malformed one or an overflow, Apache sends multipart for several; what
 * is not cached is 200 with the whole then.
 */
static bool
range_is_plain(const char *s)
{
	size_t n;

	if (strncasecmp(s, "bytes=", 6) != 0)
		return false;
	s += 6;
	n = strspn(s, "0123456789");
	if (n > 18 || s[n] != '-')
		return false;
	s += n + 1;
	n = strspn(s, "0123456789");
	return n <= 18 && s[n] == '\0';
}

/*
 * Would every front send the same part of a hit as we do?  Of If-Range they all know a tag that is
 * ours to the byte.  A date is too young for Apache, lighttpd wants it in our spelling, nginx stops
 * at spaces around a tag; and for HTTP/1.0 lighttpd sends the whole: what is charged is what is sent.
 */
static bool
fronts_agree(const struct request *r, const struct range *range, const char *etag)
{
	if (r->range == NULL)
		return true;
	return range->kind != RANGE_NONE && range_is_plain(r->range) && !r->http_1_0 &&
	    (r->cond.if_range == NULL || strcmp(r->cond.if_range, etag) == 0);
}

/* The mover sends it, and looks itself what is there by then.  If it is gone already, it is a miss. */
static void
decide_stream(struct decision *d, const struct decide_env *env, const struct request *r)
{
	struct err e = ERR_NONE;

	d->object_fd = env->store->ops->open(env->store, &d->object, &e);
	if (d->object_fd != -1) {
		d->kind = DECISION_STREAM;
		return;
	}
	log_info(r->id, "event=object-lost reason='%s'", e.text);
	forget_object(d);
	d->has_range = false;
}

/*
 * Of an object that is no file: a URL for the client or for nginx; without
 * one the mover sends it.  Conditions are all decided, and the storage is asked
 * for one plain range or none, so nginx can always send it.
 */
static void
decide_remote(struct decision *d, const struct decide_env *env, const struct request *r)
{
	const struct config *c = env->config;
	uint32_t life_s;
	enum store_url whose = STORE_URL_OURS;
	struct err e = ERR_NONE;

	d->kind = c->hits == HITS_X_ACCEL ? DECISION_FRONT : DECISION_STREAM;
	d->url_life_s = FRONT_URL_LIFE_S;
	d->delivery = delivery_of_size(d->delivery, d->object.meta.length, c->s3_redirect_above, &d->delivery_why);
	life_s = d->delivery != DELIVERY_REDIRECT ? 0 :
	    delivery_life_s(c->s3_url_life_ms / 1000, d->object.ends_s, r->at_ms / 1000, &d->delivery_why);
	if (life_s > 0) {
		d->kind = DECISION_REDIRECT;
		whose = STORE_URL_CLIENTS;
		d->url_life_s = life_s;
	}
	if (d->kind == DECISION_STREAM)
		return;
	if (env->store->ops->url(env->store, buf_str(&d->key), whose, d->url_life_s, &d->url, &e) != 0) {
		log_warn(r->id, "EO-WORKER-STORE", "%s", e.text);
		buf_clear(&d->url);
		d->kind = DECISION_STREAM;
	}
}

/* Conditions and range of a hit; d->kind says what it comes to. */
static void
decide_hit(struct decision *d, const struct decide_env *env, const struct request *r, const struct route *route)
{
	const struct object_meta *m = &d->object.meta;
	struct validators v = { m->etag, m->last_modified };
	struct range range = range_parse(r->range, r->range == NULL ? 0 : strlen(r->range));
	enum hits_mode hits = env->config->hits;

	switch (conditions_check(&r->cond, &v)) {
	case CONDITION_NOT_MODIFIED:
		d->kind = DECISION_NOT_MODIFIED;
		return;
	case CONDITION_FAILED:
		decision_problem(d, r, 412, PROBLEM_CLIENT, "precondition-failed",
		    "what is here is not what If-Match or If-Unmodified-Since asked for");
		return;
	case CONDITION_PROCEED:
	default:
		break;
	}
	if (route->method == METHOD_HEAD) {
		d->kind = DECISION_HEAD;
		if (d->delivery != DELIVERY_STREAM)
			d->delivery_why = "head";	/* a URL is signed for GET, and all is known here */
		return;
	}
	if (range.kind != RANGE_NONE && conditions_range_holds(&r->cond, &v)) {
		if (range_resolve(&range, m->length, &d->first, &d->last) != 0) {
			decision_problem(d, r, 416, PROBLEM_CLIENT, "range-not-satisfiable", "there are no such bytes");
			(void)buf_addf(&d->headers, "Content-Range: bytes */%" PRIu64 "\r\n", m->length);
			return;
		}
		d->has_range = true;
	}
	/* fronts compare these two with the file's own tag and time: only we can tell */
	if (has_urls(env))
		decide_remote(d, env, r);
	else if (hits == HITS_STREAM || r->cond.if_match != NULL || r->cond.if_unmodified_since != NULL ||
	    !fronts_agree(r, &range, m->etag) || (hits == HITS_X_SENDFILE && d->rule->rate > 0))
		decide_stream(d, env, r);
	else
		d->kind = DECISION_FRONT;
}

static void
over_quota(struct decision *d, const struct request *r)
{
	const struct quota_answer *q = &d->quota;
	char detail[ERR_TEXT_MAX];

	stat_inc(COUNT_OVER_QUOTA);
	d->verdict = "over-quota";
	(void)snprintf(detail, sizeof(detail), "over the limit of %" PRIu64 " %s per %s ('%s'); it frees in %u s",
	    q->limit, quota_kind_name(q->kind), quota_window_name(q->window), q->set, q->frees_in_s);
	decision_problem(d, r, 429, PROBLEM_QUOTA, "over-quota", detail);
	d->problem.retry_after_s = q->frees_in_s;
	quota_members(q, &d->members);
}

uint64_t
decision_bytes(const struct decision *d)
{
	return d->has_range ? d->last - d->first + 1 : d->object.meta.length;
}

/* Steps 4 and 6: what is to be reserved.  What d came to is kept unless the quota says no. */
static void
reserve_begin(struct decision *d, const struct decide_env *env, const struct request *r)
{
	if (r->again) {
		/* the first answer has paid these; what comes of it is settled now, whatever it is */
		d->charge.reserved[QUOTA_REQUESTS] = 1;
		d->charge.reserved[QUOTA_BYTES] = r->again_bytes;
		d->charged = true;
	} else {
		d->add[QUOTA_REQUESTS] = 1;
	}
	if (d->kind == DECISION_MISS)
		d->add[QUOTA_MISSES] = 1;
	else if (d->kind == DECISION_FRONT || d->kind == DECISION_STREAM || d->kind == DECISION_REDIRECT)
		d->add[QUOTA_BYTES] = decision_bytes(d);
	if (env->counters == NULL || d->charge.n == 0) {
		/* nothing limits, so nothing is counted; the books are kept all the same */
		for (int k = 0; k < QUOTA_KINDS; k++)
			d->charge.reserved[k] += d->add[k];
		d->charged = true;
		return;
	}
	d->reserving = true;
}

void
decide_locate(struct decision *const d[], const struct request *const r[], const struct route *const route[], size_t n,
    const struct decide_env *env)
{
	struct memory_entry found[DECIDE_MAX];
	const char *key[DECIDE_MAX];
	size_t of[DECIDE_MAX], n_keys = 0;
	/* neither the front nor a client is sent to a storage that does not answer: the mover asks the source */
	bool away = has_urls(env) && env->board != NULL && scoreboard_movers_have(env->board, GAUGE_STORE_AWAY);

	MUST(n <= DECIDE_MAX && n <= MEMORY_KEYS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (away || !d[i]->locating || d[i]->key.len == 0 || r[i]->again || r[i]->vanished)
			continue;
		if (has_urls(env)) {
			key[n_keys] = buf_str(&d[i]->key);
			of[n_keys++] = i;
		} else {
			look_up(d[i], env, r[i]);
		}
	}
	if (n_keys > 0)
		memory_look(env->memory, key, n_keys, found);
	for (size_t k = 0; k < n_keys; k++)
		take_memory(d[of[k]], &found[k]);
	for (size_t i = 0; i < n; i++) {
		if (!d[i]->locating)
			continue;
		if (d[i]->has_object)
			decide_hit(d[i], env, r[i], route[i]);
		reserve_begin(d[i], env, r[i]);
		d[i]->locating = false;
	}
}

/* The counters have spoken. */
static void
reserve_end(struct decision *d, const struct request *r)
{
	switch (d->quota.verdict) {
	case QUOTA_AWAY_ALLOW:
		d->charged = true;
		break;
	case QUOTA_OVER:
		d->has_quota = true;
		over_quota(d, r);
		break;
	case QUOTA_AWAY_REFUSE:
		d->verdict = "quota-away";
		decision_problem(d, r, 503, PROBLEM_QUOTA, "quota-away", "limits cannot be checked at the moment");
		d->problem.retry_after_s = AWAY_RETRY_S;
		break;
	case QUOTA_OK:
	default:
		d->has_quota = true;
		d->charged = true;
		break;
	}
}

void
decide_reserve(struct decision *const d[], const struct request *const r[], size_t n, const struct decide_env *env)
{
	struct quota_want want[QUOTA_WANTS_MAX];
	size_t n_wants = 0;

	MUST(n <= QUOTA_WANTS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (d[i]->reserving)
			want[n_wants++] = (struct quota_want){ &d[i]->charge, d[i]->add, &d[i]->quota };
	}
	if (n_wants > 0)
		quota_reserve_all(env->counters, env->config, want, n_wants);
	for (size_t i = 0; i < n; i++) {
		if (d[i]->reserving)
			reserve_end(d[i], r[i]);
		d[i]->reserving = false;
	}
}

void
decide_begin(struct decision *d, const struct decide_env *env, const struct request *r, const struct route *route,
    char *const *envp)
{
	struct access_verdict v;

	if (!decide_who(d, env, r, route, envp))
		return;
	d->verdict = "allow";
	if (route->method == METHOD_OPTIONS) {
		d->kind = DECISION_OPTIONS;
		return;
	}
	if (route->kind == ROUTE_HEALTH || route->kind == ROUTE_READY) {
		d->kind = DECISION_OWN;
		return;
	}
	if (!decide_rules(d, env, r, route, &v))
		return;
	if (route->kind != ROUTE_DATA) {
		d->kind = DECISION_OWN;
		return;
	}
	charge_init(&d->charge, env->config, v.rule, &d->who, v.group, r->id, r->at_ms);
	locate_begin(d, env, r, route);
}
