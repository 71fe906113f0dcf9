/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker decides, without a process around it: requests as FastCGI
 * parameters, counters in memory, a store that says what it is told.
 */
#include "base/base.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "unit.h"
#include "wire/fcgi.h"
#include "worker/answer.h"
#include "worker/decide.h"
#include "worker/preflight.h"

static const char config_text[] =
	"{ \"identity\": { \"groups\": { \"staff\": [\"alice\"] } },"
	"  \"memcached\": [\"/run/memcached.sock\"],"
	"  \"quotas\": { \"few\": { \"per\": \"user\", \"requests\": [\"3 per month\"], \"when_unavailable\": \"refuse\" },"
	"    \"bytes\": { \"per\": \"user\", \"bytes\": [\"1000 B per month\"], \"misses\": [\"2 per month\"],"
	"      \"when_unavailable\": \"allow\" } },"
	"  \"datasets\": [ { \"collections\": [\"S2*\"], \"retention\": \"30d\" },"
	"    { \"collections\": [\"PUB\"], \"retention\": \"keep\", \"cache_control\": \"public, max-age=60\" } ],"
	"  \"rules\": [ { \"name\": \"ops\", \"groups\": [\"staff\"], \"routes\": [\"-/status\", \"-/metrics\"], \"allow\": true },"
	"    { \"name\": \"no\", \"who\": \"anyone\", \"collections\": [\"S2_SECRET\"], \"allow\": false },"
	"    { \"name\": \"rated\", \"users\": [\"rita\"], \"allow\": true, \"rate\": \"1 MB\" },"
	"    { \"name\": \"few\", \"users\": [\"fred\"], \"allow\": true, \"quotas\": [\"few\"] },"
	"    { \"name\": \"bytes\", \"users\": [\"bert\"], \"allow\": true, \"quotas\": [\"bytes\"] },"
	"    { \"name\": \"redirect\", \"users\": [\"rudi\"], \"allow\": true, \"delivery\": \"redirect\" },"
	"    { \"name\": \"auto\", \"users\": [\"otto\"], \"allow\": true, \"delivery\": \"auto\" },"
	"    { \"name\": \"pub\", \"who\": \"anyone\", \"collections\": [\"PUB\"], \"allow\": true },"
	"    { \"name\": \"all\", \"who\": \"authenticated\", \"allow\": true } ],"
	"  \"cache\": { \"path\": \"/var/cache/e\", \"retentions\": { \"30d\": {}, \"keep\": {} } },"
	"  \"front\": { \"server\": \"nginx\", \"site_id\": \"here.example\", \"public_urls\": [\"https://here.example/data\"] } }";

static struct config *config;

/* -- a store that has what it is told ------------------------------------------- */

static struct {
	struct store store;
	const char *key;		/* that is there; NULL: nothing */
	uint64_t length;
	bool broken;
	bool gone;			/* between lookup and open */
	int lookups;
} stub;

static enum store_result
stub_lookup(struct store *s UNUSED, const char *key, struct store_object *ret, struct err *e)
{
	stub.lookups++;
	if (stub.broken) {
		(void)err_set(e, "broken");
		return STORE_FAILED;
	}
	if (stub.key == NULL || strcmp(stub.key, key) != 0)
		return STORE_MISS;
	*ret = (struct store_object){ .inode = 1, .path = mem_printf("%s@data", key) };
	ret->meta = (struct object_meta){
		.length = stub.length,
		.etag = mem_strdup("\"v1\""),
		.last_modified = 784111777,
		.media_type = mem_strdup("image/tiff"),
		.disposition = mem_strdup("attachment; filename=\"a.tif\""),
		.source_time = 1700000000,
	};
	return STORE_HIT;
}

static int
stub_open(struct store *s UNUSED, const struct store_object *o UNUSED, struct err *e)
{
	return stub.gone ? err_set(e, "gone") : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static const struct store_ops stub_ops = { .lookup = stub_lookup, .open = stub_open };

static int
away_run(struct counters *s UNUSED, struct counter_op *ops UNUSED, size_t n UNUSED)
{
	return -1;
}

static int
away_post(struct counters *s UNUSED, const struct counter_op *ops UNUSED, size_t n UNUSED)
{
	return -1;
}

static struct counters away = { .run = away_run, .post = away_post };

/* -- asking ------------------------------------------------------------------------ */

static struct counters *counters;
static struct request request;
static struct route route;
static struct decision decision;
static struct buf answer;
static bool asked;

static void
forget(void)
{
	if (asked) {
		decision_release(&decision);
		route_release(&route);
		buf_release(&answer);
	}
	asked = false;
}

static void
fresh(void)
{
	forget();
	if (counters != NULL)
		counters->free(counters);
	counters = counters_memory_new();
	stub.store.ops = &stub_ops;
	stub.key = NULL;
	stub.length = 100;
	stub.broken = stub.gone = false;
	stub.lookups = 0;
	config->hits = HITS_X_ACCEL;
}

/* Ask for a path as a user ("" anonymous), with more parameters (NULL-terminated). */
static const struct decision *
ask_full(struct counters *c, const char *method, const char *uri, const char *user, char *const *more)
{
	struct decide_env env = { .config = config, .counters = c, .store = &stub.store };
	char m[64], u[512], w[320];
	char *envp[32] = { m, u, w };
	struct decision *const one = &decision;
	const struct request *const asking = &request;
	const struct route *const asked_route = &route;
	size_t n = 3;

	forget();
	(void)snprintf(m, sizeof(m), "REQUEST_METHOD=%s", method);
	(void)snprintf(u, sizeof(u), "REQUEST_URI=%s", uri);
	(void)snprintf(w, sizeof(w), "EODATA_USER=%s", user);
	for (size_t i = 0; more != NULL && more[i] != NULL; i++)
		envp[n++] = more[i];
	request_read(&request, envp, config->site_id);
	route_request(&route, request.method, request.uri, config->base_path);
	decision_init(&decision);
	decide_begin(&decision, &env, &request, &route, envp);
	decide_locate(&one, &asking, &asked_route, 1, &env);
	decide_reserve(&one, &asking, 1, &env);
	buf_init(&answer, REPLY_MAX);
	if (decision.kind != DECISION_OWN && decision.kind != DECISION_STREAM && decision.kind != DECISION_MISS)
		(void)answer_decision(&answer, config, &decision, &request, strcmp(method, "HEAD") == 0);
	asked = true;
	return &decision;
}

static const struct decision *
ask(const char *uri, const char *user)
{
	return ask_full(counters, "GET", uri, user, NULL);
}

static const struct decision *
ask_with(const char *uri, const char *user, const char *param)
{
	char *more[] = { mem_strdup(param), NULL };
	const struct decision *d = ask_full(counters, "GET", uri, user, more);

	/* the request borrows the text only while it is decided */
	free(more[0]);
	return d;
}

static bool
says(const char *text)
{
	return strstr(buf_str(&answer), text) != NULL;
}

#define S2	"/data/peps/S2A/item/asset"
#define S2_KEY	"30d/peps/S2A/item/asset"
#define CHECK_PROBLEM(d, want)						\
	do {								\
		CHECK_INT((d)->kind, DECISION_PROBLEM);			\
		CHECK_INT((d)->problem.status, (want));			\
	} while (0)

/* -- step 1: routes ----------------------------------------------------------------- */

static void
a_data_path_has_four_segments_or_more(void)
{
	fresh();
	CHECK_PROBLEM(ask("/data/peps/S2A/item", "ann"), 404);
	CHECK_PROBLEM(ask("/data/peps", "ann"), 404);
	CHECK_PROBLEM(ask("/elsewhere", "ann"), 404);
	CHECK_INT(ask(S2, "ann")->kind, DECISION_MISS);
	CHECK_STR(route_subpath(&route), NULL);
	CHECK_INT(ask(S2 "/0/0%2F0/%C3%A9", "ann")->kind, DECISION_MISS);
	CHECK_STR(route_subpath(&route), "0/0%2F0/%C3%A9");
	CHECK_STR(buf_str(&decision.key), S2_KEY "/0/0%2F0/%C3%A9");
}

static void
c4_g8_spellings_of_one_path_are_one_object(void)
{
	fresh();
	CHECK_INT(ask("/data/%70eps/S2A/ite%6d/asset", "ann")->kind, DECISION_MISS);
	CHECK_STR(buf_str(&decision.key), S2_KEY);
	CHECK_INT(ask("/data/peps/S2A/item/a%c3%a9?x=1&y=2", "ann")->kind, DECISION_MISS);
	CHECK_STR(buf_str(&decision.key), "30d/peps/S2A/item/a%C3%A9");
}

static void
bad_paths_are_400(void)
{
	static const char *const bad[] = {
		"/data/peps/S2A/../x", "/data/peps/S2A/%2e%2e/x", "/data/peps/S2A//x", "/data/peps/S2A/a%00b/x",
		"/data/peps/S2A/a%0d%0ab/x", "/data/peps/S2A/%c0%ae/x", "/data/peps/S2A/%zz/x", "/data/peps/S2A/a/",
	};

	fresh();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_PROBLEM(ask(bad[i], "ann"), 400);
	CHECK_INT(stub.lookups, 0);
}

static void
d5_methods_are_get_head_options(void)
{
	static const char *const bad[] = { "PUT", "POST", "DELETE", "TRACE", "CONNECT", "get", "GET ", "" };

	fresh();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_PROBLEM(ask_full(counters, bad[i], S2, "ann", NULL), 405);
		CHECK(says("\r\nAllow: GET, HEAD, OPTIONS\r\n"));
	}
	CHECK_INT(ask_full(counters, "HEAD", S2, "ann", NULL)->kind, DECISION_MISS);
}

static void
options_needs_no_login_and_tells_nothing(void)
{
	fresh();
	CHECK_INT(ask_full(counters, "OPTIONS", S2, "", NULL)->kind, DECISION_OPTIONS);
	CHECK(says("Status: 204 "));
	CHECK(says("\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"));
	CHECK(says("Authorization, Range"));
	CHECK_INT(ask_full(counters, "OPTIONS", "/data/peps/S2_SECRET/i/a", "", NULL)->kind, DECISION_OPTIONS);
	CHECK_INT(stub.lookups, 0);
}

static void
own_routes_are_health_ready_status_metrics(void)
{
	fresh();
	CHECK_INT(ask("/data/-/health", "")->kind, DECISION_OWN);
	CHECK_INT(ask("/data/-/ready", "")->kind, DECISION_OWN);
	CHECK_PROBLEM(ask("/data/-/status", ""), 401);
	CHECK_PROBLEM(ask("/data/-/status", "bob"), 403);
	CHECK_INT(ask("/data/-/status", "alice")->kind, DECISION_OWN);
	CHECK_INT(ask("/data/-/metrics", "alice")->kind, DECISION_OWN);
	CHECK_PROBLEM(ask("/data/-/nothing", "alice"), 404);
	CHECK_PROBLEM(ask("/data/-/status/x", "alice"), 404);
	CHECK_PROBLEM(ask("/data/-x/S2A/i/a", "alice"), 404);
	CHECK_PROBLEM(ask("/data/~cap/S2A/i/a", "alice"), 404);
}

/* -- step 2 and 3: who, and may they ---------------------------------------------------- */

static void
nobody_is_asked_to_log_in_and_strangers_are_refused(void)
{
	fresh();
	CHECK_PROBLEM(ask(S2, ""), 401);
	CHECK(says("\r\nWWW-Authenticate: Basic realm=\"eodata-proxy\""));
	CHECK(says("\"source\":\"policy\""));
	CHECK_PROBLEM(ask("/data/peps/S2_SECRET/i/a", "ann"), 403);
	CHECK(!says("WWW-Authenticate"));
	CHECK_PROBLEM(ask("/data/peps/S2_SECRET/i/a", ""), 403);
	CHECK_INT(ask("/data/peps/PUB/i/a", "")->kind, DECISION_MISS);
	CHECK_INT(stub.lookups, 1);
}

static void
a4_two_identities_are_400(void)
{
	fresh();
	CHECK_PROBLEM(ask_with(S2, "ann", "EODATA_USER=mallory"), 400);
	CHECK_PROBLEM(ask(S2, "ann, mallory"), 400);
	/* a header is no identity */
	CHECK_INT(ask_with(S2, "ann", "HTTP_EODATA_USER=mallory")->kind, DECISION_MISS);
	CHECK_PROBLEM(ask_with(S2, "", "HTTP_EODATA_USER=alice"), 401);
	CHECK_PROBLEM(ask_with(S2, "", "REMOTE_USER=alice"), 401);
}

static void
f2_doubled_parameters_are_400(void)
{
	fresh();
	CHECK_PROBLEM(ask_with(S2, "ann", "REQUEST_URI=/data/peps/S2_SECRET/i/a"), 400);
	CHECK_PROBLEM(ask_with(S2, "ann", "REQUEST_METHOD=PUT"), 400);
	/* names that only begin alike are others */
	CHECK_INT(ask_with(S2, "ann", "REQUEST_URI_X=/")->kind, DECISION_MISS);
	CHECK_INT(ask_with(S2, "ann", "HTTP_X_ORIGINAL_URL=/data/peps/S2_SECRET/i/a")->kind, DECISION_MISS);
	CHECK_INT(ask_with(S2, "ann", "HTTP_X_HTTP_METHOD_OVERRIDE=PUT")->kind, DECISION_MISS);
}

static void
our_own_loop_is_508(void)
{
	fresh();
	CHECK_PROBLEM(ask_with(S2, "ann", "HTTP_CDN_LOOP=here.example"), 508);
	CHECK_PROBLEM(ask_with(S2, "ann", "HTTP_CDN_LOOP=a, b; v=\"1\" , HERE.example; x"), 508);
	CHECK_INT(ask_with(S2, "ann", "HTTP_CDN_LOOP=there.example, xhere.example, here.example.org")->kind,
	    DECISION_MISS);
	CHECK_INT(ask_with(S2, "ann", "HTTP_CDN_LOOP=,,;;, ,")->kind, DECISION_MISS);
}

/* -- steps 5 and 7: hits ------------------------------------------------------------------ */

static void
a_hit_tells_the_front_which_file(void)
{
	fresh();
	stub.key = "30d/peps/S2A/item/a%20b";
	CHECK_INT(ask("/data/peps/S2A/item/a%20b", "ann")->kind, DECISION_FRONT);
	CHECK(strncmp(buf_str(&answer), "Status: 200 OK\r\n", 16) == 0);
	CHECK(says("\r\nX-Accel-Redirect: /_eodata_cache/30d/peps/S2A/item/a%2520b%40data\r\n"));
	CHECK(says("\r\nContent-Type: image/tiff\r\n"));
	CHECK(says("\r\nContent-Disposition: attachment; filename=\"a.tif\"\r\n"));
	CHECK(says("\r\nETag: \"v1\"\r\n"));
	CHECK(says("\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
	CHECK(says("\r\nCache-Status: eodata-proxy; hit\r\n"));
	CHECK(says("\r\nCache-Control: private\r\n"));
	CHECK(says("\r\nX-Content-Type-Options: nosniff\r\n"));
	CHECK(says("\r\nAccess-Control-Allow-Origin: *\r\n"));
	CHECK(says("\r\nX-Request-Id: "));
	CHECK(says("\r\nX-Eodata-Charge: "));
	CHECK(!says("Accept-Ranges:"));
	CHECK(!says("\r\nContent-Length:"));
	CHECK(!says("X-Accel-Limit-Rate"));
	CHECK(strcmp(buf_str(&answer) + answer.len - 4, "\r\n\r\n") == 0);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 100);
	CHECK_INT(decision.charge.reserved[QUOTA_MISSES], 0);
	CHECK_INT(decision.charge.reserved[QUOTA_REQUESTS], 1);
}

static void
a_dataset_sets_cache_control(void)
{
	fresh();
	stub.key = "keep/peps/PUB/i/a";
	CHECK_INT(ask("/data/peps/PUB/i/a", "")->kind, DECISION_FRONT);
	CHECK(says("\r\nCache-Control: public, max-age=60\r\n"));
}

static void
sendfile_names_the_file_in_the_words_of_the_front(void)
{
	char *server = config->front_server;

	fresh();
	config->hits = HITS_X_SENDFILE;
	config->front_server = mem_strdup("apache");
	stub.key = "30d/peps/S2A/item/a%20b";
	CHECK_INT(ask("/data/peps/S2A/item/a%20b", "ann")->kind, DECISION_FRONT);
	CHECK(says("\r\nX-Sendfile: /var/cache/e/30d/peps/S2A/item/a%20b@data\r\n"));
	CHECK(!says("X-Accel"));
	free(config->front_server);
	config->front_server = mem_strdup("lighttpd");
	CHECK_INT(ask("/data/peps/S2A/item/a%20b", "ann")->kind, DECISION_FRONT);
	CHECK(says("\r\nX-Sendfile: /var/cache/e/30d/peps/S2A/item/a%2520b%40data\r\n"));
	free(config->front_server);
	config->front_server = server;
}

static void
a_rate_is_the_fronts_or_the_stream(void)
{
	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask(S2, "rita")->kind, DECISION_FRONT);
	CHECK(says("\r\nX-Accel-Limit-Rate: 1000000\r\n"));
	config->hits = HITS_X_SENDFILE;
	CHECK_INT(ask(S2, "rita")->kind, DECISION_STREAM);
	CHECK_INT(ask(S2, "ann")->kind, DECISION_FRONT);
	config->hits = HITS_STREAM;
	CHECK_INT(ask(S2, "ann")->kind, DECISION_STREAM);
	CHECK(decision.object_fd != -1);
}

static void
what_is_lost_between_look_and_open_is_a_miss(void)
{
	fresh();
	stub.key = S2_KEY;
	stub.gone = true;
	config->hits = HITS_STREAM;
	CHECK_INT(ask_with(S2, "bert", "HTTP_RANGE=bytes=0-9")->kind, DECISION_MISS);
	CHECK(!decision.has_object && !decision.has_range);
	CHECK_INT(decision.charge.reserved[QUOTA_MISSES], 1);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
}

static void
conditions_of_hits_are_answered_here(void)
{
	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask_with(S2, "ann", "HTTP_IF_NONE_MATCH=\"v1\"")->kind, DECISION_NOT_MODIFIED);
	CHECK(strncmp(buf_str(&answer), "Status: 304 ", 12) == 0);
	CHECK(says("\r\nETag: \"v1\"\r\n"));
	CHECK(says("\r\nCache-Status: eodata-proxy; hit\r\n"));
	CHECK(!says("X-Accel-Redirect"));
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
	CHECK_INT(ask_with(S2, "ann", "HTTP_IF_NONE_MATCH=\"v2\"")->kind, DECISION_FRONT);
	CHECK_INT(ask_with(S2, "ann", "HTTP_IF_MODIFIED_SINCE=Sun, 06 Nov 1994 08:49:37 GMT")->kind,
	    DECISION_NOT_MODIFIED);
	CHECK_PROBLEM(ask_with(S2, "ann", "HTTP_IF_MATCH=\"v2\""), 412);
	/* nginx would compare these with the file's own tag and time */
	CHECK_INT(ask_with(S2, "ann", "HTTP_IF_MATCH=\"v1\"")->kind, DECISION_STREAM);
	CHECK_INT(ask_with(S2, "ann", "HTTP_IF_UNMODIFIED_SINCE=Sun, 06 Nov 1994 08:49:37 GMT")->kind, DECISION_STREAM);
}

static void
a_hit_reserves_the_bytes_of_its_range(void)
{
	static const struct { const char *range; uint64_t bytes; int kind; } t[] = {
		{ "HTTP_RANGE=bytes=0-9", 10, DECISION_FRONT }, { "HTTP_RANGE=bytes=-1", 1, DECISION_FRONT },
		{ "HTTP_RANGE=bytes=90-200", 10, DECISION_FRONT }, { "HTTP_RANGE=Bytes=90-", 10, DECISION_FRONT },
		/* where fronts have views of their own */
		{ "HTTP_RANGE=bytes=5-2", 100, DECISION_STREAM }, { "HTTP_RANGE=bytes=0-1,5-6", 100, DECISION_STREAM },
		{ "HTTP_RANGE=lines=0-1", 100, DECISION_STREAM }, { "HTTP_RANGE=bytes=0-9,", 10, DECISION_STREAM },
		{ "HTTP_RANGE=bytes=0-18446744073709551616", 100, DECISION_STREAM },
	};

	fresh();
	stub.key = S2_KEY;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		CHECK_INT(ask_with(S2, "ann", t[i].range)->kind, t[i].kind);
		CHECK_INT(decision.charge.reserved[QUOTA_BYTES], t[i].bytes);
	}
	CHECK_PROBLEM(ask_with(S2, "ann", "HTTP_RANGE=bytes=100-"), 416);
	CHECK(says("\r\nContent-Range: bytes */100\r\n"));
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
}

static void
if_range_that_does_not_match_means_the_whole(void)
{
	char *more[] = { mem_strdup("HTTP_RANGE=bytes=0-9"), mem_strdup("HTTP_IF_RANGE=\"v2\""), NULL };

	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask_full(counters, "GET", S2, "ann", more)->kind, DECISION_STREAM);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 100);
	free(more[1]);
	more[1] = mem_strdup("HTTP_IF_RANGE=\"v1\"");
	CHECK_INT(ask_full(counters, "GET", S2, "ann", more)->kind, DECISION_FRONT);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 10);
	free(more[0]);
	free(more[1]);
}

/* Else a part is charged, and the whole is sent. */
static void
d3_a_range_that_fronts_may_not_honour_is_sent_by_the_mover(void)
{
	static const char *const t[] = {
		"HTTP_IF_RANGE=Sun, 06 Nov 1994 08:49:37 GMT", "HTTP_IF_RANGE=Sunday, 06-Nov-94 08:49:37 GMT",
		"HTTP_IF_RANGE=Sun Nov  6 08:49:37 1994", "HTTP_IF_RANGE=\t\"v1\" ", "SERVER_PROTOCOL=HTTP/1.0",
	};
	char *more[] = { mem_strdup("HTTP_RANGE=bytes=0-9"), NULL, mem_strdup("SERVER_PROTOCOL=HTTP/1.1"), NULL };

	fresh();
	stub.key = S2_KEY;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		more[1] = mem_strdup(t[i]);
		CHECK_INT(ask_full(counters, "GET", S2, "ann", more)->kind, DECISION_STREAM);
		CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 10);
		free(more[1]);
		CHECK_INT(ask_with(S2, "ann", t[i])->kind, DECISION_FRONT);	/* all of it: there are no two ways */
	}
	free(more[0]);
	free(more[2]);
}

static void
head_of_a_hit_carries_the_length_and_costs_no_bytes(void)
{
	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask_full(counters, "HEAD", S2, "ann", NULL)->kind, DECISION_HEAD);
	CHECK(says("\r\nContent-Length: 100\r\n"));
	CHECK(says("\r\nAccept-Ranges: bytes\r\n"));
	CHECK(!says("X-Accel"));
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
}

static void
no_dataset_and_redirects_are_not_looked_up(void)
{
	fresh();
	CHECK_INT(ask("/data/peps/OTHER/i/a", "ann")->kind, DECISION_MISS);
	CHECK_INT(decision.key.len, 0);
	CHECK_INT(ask(S2, "rudi")->kind, DECISION_MISS);
	CHECK_INT(stub.lookups, 0);
}

static void
a_file_is_sent_where_the_proxy_may_choose(void)
{
	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask(S2, "otto")->kind, DECISION_FRONT);
	CHECK(says("\r\nX-Eodata-Delivery: stream; reason=cached\r\n"));
	CHECK_INT(ask_with(S2, "otto", "HTTP_ORIGIN=https://x.example")->kind, DECISION_FRONT);
	CHECK(says("\r\nX-Eodata-Delivery: stream; reason=origin\r\n"));
	CHECK_INT(ask_with(S2, "rudi", "HTTP_IF_RANGE=\"v1\"")->kind, DECISION_FRONT);
	CHECK(says("\r\nX-Eodata-Delivery: stream; reason=condition\r\n"));
	CHECK_INT(ask(S2, "ann")->kind, DECISION_FRONT);
	CHECK(!says("\r\nX-Eodata-Delivery:"));
}

static void
a_broken_store_is_a_miss(void)
{
	fresh();
	stub.broken = true;
	CHECK_INT(ask(S2, "ann")->kind, DECISION_MISS);
	CHECK_INT(stub.lookups, 1);
}

/* -- steps 4 and 6: quota --------------------------------------------------------------------- */

static void
over_the_requests_is_429(void)
{
	fresh();
	stub.key = S2_KEY;
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(S2, "fred")->kind, DECISION_FRONT);
	CHECK(says("\r\nRateLimit: \"few\";r=0"));
	CHECK(says("\r\nRateLimit-Policy: \"few\";q=3"));
	CHECK_PROBLEM(ask(S2, "fred"), 429);
	CHECK(!decision.charged);
	CHECK(says("\r\nRetry-After: "));
	CHECK(says("\"source\":\"quota\""));
	CHECK(says("\"kind\":\"requests\",\"window\":\"month\",\"limit\":3,\"used\":3"));
	CHECK(!says("X-Accel-Redirect"));
	/* not even an answer without bytes */
	CHECK_PROBLEM(ask_with(S2, "fred", "HTTP_IF_NONE_MATCH=\"v1\""), 429);
	CHECK_PROBLEM(ask_with(S2, "fred", "HTTP_RANGE=bytes=500-"), 429);
	CHECK(!says("\r\nContent-Range:"));
	/* others are not touched */
	CHECK_INT(ask(S2, "ann")->kind, DECISION_FRONT);
	CHECK(!says("RateLimit:"));
}

static void
over_the_bytes_is_429_but_smaller_ranges_fit(void)
{
	fresh();
	stub.key = S2_KEY;
	stub.length = 900;
	CHECK_INT(ask(S2, "bert")->kind, DECISION_FRONT);
	CHECK_PROBLEM(ask(S2, "bert"), 429);
	CHECK(says("\"kind\":\"bytes\""));
	CHECK_INT(ask_with(S2, "bert", "HTTP_RANGE=bytes=0-99")->kind, DECISION_FRONT);
	CHECK_PROBLEM(ask_with(S2, "bert", "HTTP_RANGE=bytes=0-0"), 429);
	CHECK_INT(ask_full(counters, "HEAD", S2, "bert", NULL)->kind, DECISION_HEAD);
}

static void
misses_are_reserved_before_the_hand_over(void)
{
	fresh();
	CHECK_INT(ask(S2, "bert")->kind, DECISION_MISS);
	CHECK_INT(decision.charge.reserved[QUOTA_MISSES], 1);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
	CHECK_INT(ask(S2, "bert")->kind, DECISION_MISS);
	CHECK_PROBLEM(ask(S2, "bert"), 429);
	CHECK(says("\"kind\":\"misses\""));
}

static void
counters_away_are_the_configured_answer(void)
{
	fresh();
	stub.key = S2_KEY;
	CHECK_PROBLEM(ask_full(&away, "GET", S2, "fred", NULL), 503);
	CHECK(says("\"source\":\"quota\""));
	CHECK(says("\r\nRetry-After: "));
	CHECK_INT(ask_full(&away, "GET", S2, "bert", NULL)->kind, DECISION_FRONT);
	CHECK(decision.charged);
	CHECK_INT(decision_bytes(&decision), 100);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
}

static void
without_counters_the_books_are_kept(void)
{
	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask_full(NULL, "GET", S2, "fred", NULL)->kind, DECISION_FRONT);
	CHECK(decision.charged);
	CHECK_INT(decision.charge.reserved[QUOTA_REQUESTS], 1);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 100);
}

static void
asked_again_is_a_miss_under_the_same_charge(void)
{
	static const char id[] = "EODATA_AGAIN=0123456789abcdef0123456789abcdef";

	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask_with(S2, "fred", id)->kind, DECISION_MISS);
	CHECK_STR(decision.charge.id, "0123456789abcdef0123456789abcdef");
	CHECK_INT(decision.charge.reserved[QUOTA_REQUESTS], 1);	/* paid, and not once more: */
	for (int i = 0; i < 5; i++)
		CHECK_INT(ask_with(S2, "fred", id)->kind, DECISION_MISS);
	CHECK_INT(decision.charge.reserved[QUOTA_MISSES], 1);
	CHECK_INT(stub.lookups, 0);
	CHECK_STR(buf_str(&decision.key), S2_KEY);
	/* rules hold all the same */
	CHECK_PROBLEM(ask_with("/data/peps/S2_SECRET/i/a", "fred", id), 403);
	/* a client's header is not the front's parameter, and nonsense is nothing */
	CHECK_INT(ask_with(S2, "ann", "HTTP_EODATA_AGAIN=0123456789abcdef0123456789abcdef")->kind, DECISION_FRONT);
	CHECK_INT(ask_with(S2, "ann", "EODATA_AGAIN=")->kind, DECISION_FRONT);
	CHECK_INT(ask_with(S2, "ann", "EODATA_AGAIN=0123456789abcdef0123456789abcde\n")->kind, DECISION_FRONT);
}

static void
the_token_brings_back_what_was_reserved(void)
{
	char param[128] = "EODATA_AGAIN=";
	const char *token;
	int64_t at_ms;

	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask(S2, "bert")->kind, DECISION_FRONT);
	at_ms = request.at_ms;
	token = strstr(buf_str(&answer), "X-Eodata-Charge: ") + strlen("X-Eodata-Charge: ");
	(void)snprintf(param + strlen(param), sizeof(param) - strlen(param), "%.*s", (int)strcspn(token, "\r"), token);
	clock_shift_ms(1000);
	CHECK_INT(ask_with(S2, "bert", param)->kind, DECISION_MISS);
	CHECK_INT(request.at_ms, at_ms);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 100);
	CHECK_INT(decision.charge.reserved[QUOTA_REQUESTS], 1);
	/* refused for its misses: the first answer's bytes are to be given back */
	CHECK_INT(ask_with(S2, "bert", param)->kind, DECISION_MISS);
	CHECK_PROBLEM(ask_with(S2, "bert", param), 429);
	CHECK(decision.charged);
	/* too old to be believed: the same charge, without its bytes */
	clock_shift_ms(2 * 3600 * 1000);
	CHECK_INT(ask_with(S2, "ann", param)->kind, DECISION_MISS);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
	clock_shift_ms(0);
	/* no tokens of ours */
	CHECK_INT(ask_with(S2, "ann", "EODATA_AGAIN=0123456789abcdef0123456789abcdef-")->kind, DECISION_FRONT);
	CHECK_INT(ask_with(S2, "ann", "EODATA_AGAIN=0123456789abcdef0123456789abcdef-1")->kind, DECISION_FRONT);
	CHECK_INT(ask_with(S2, "ann", "EODATA_AGAIN=0123456789abcdef0123456789abcdef-1-2x")->kind, DECISION_FRONT);
	CHECK_INT(ask_with(S2, "ann", "EODATA_AGAIN=0123456789abcdef0123456789abcdef-1-9999999999999999999")->kind,
	    DECISION_FRONT);
}

static void
a_front_that_lost_the_token_gets_a_miss_with_a_charge_of_its_own(void)
{
	fresh();
	stub.key = S2_KEY;
	CHECK_INT(ask_with(S2, "bert", "EODATA_AGAIN=unknown")->kind, DECISION_MISS);
	CHECK_INT(stub.lookups, 0);
	CHECK_STR(buf_str(&decision.key), S2_KEY);
	CHECK_INT(decision.charge.reserved[QUOTA_REQUESTS], 1);
	CHECK_INT(decision.charge.reserved[QUOTA_MISSES], 1);
	CHECK_INT(decision.charge.reserved[QUOTA_BYTES], 0);
	CHECK_INT(strlen(request.id), 32);
	CHECK_PROBLEM(ask_with("/data/peps/S2_SECRET/i/a", "bert", "EODATA_AGAIN=unknown"), 403);
	CHECK_INT(ask_with(S2, "ann", "EODATA_AGAIN=unknown-")->kind, DECISION_FRONT);
	CHECK_INT(ask_with(S2, "ann", "HTTP_EODATA_AGAIN=unknown")->kind, DECISION_FRONT);
}

/* -- errors ------------------------------------------------------------------------------------- */

static void
errors_are_problems_with_the_ticket(void)
{
	char want[80];

	fresh();
	CHECK_PROBLEM(ask("/data/peps/S2_SECRET/i/a", "ann"), 403);
	(void)snprintf(want, sizeof(want), "\"ticket\":\"%s\"", request.id);
	CHECK(says("\r\nContent-Type: application/problem+json\r\n"));
	CHECK(says(want));
	CHECK(says("\"status\":403"));
	CHECK(says("\"code\":\"403\""));
	CHECK(says("\"description\":"));
	CHECK(says("\r\nCache-Status: eodata-proxy; "));
	CHECK(says("\r\nCache-Control: no-store\r\n"));
	CHECK_PROBLEM(ask_full(counters, "HEAD", "/data/peps/S2_SECRET/i/a", "ann", NULL), 403);
	CHECK(strcmp(buf_str(&answer) + answer.len - 4, "\r\n\r\n") == 0);
}

static void
a_valid_traceparent_is_kept(void)
{
	fresh();
	(void)ask_with(S2, "ann", "HTTP_TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	CHECK_STR(request.trace, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	(void)ask_with(S2, "ann", "HTTP_TRACEPARENT=junk");
	CHECK(trace_is_valid(request.trace));
	CHECK_INT(strlen(request.id), 32);
}

/* -- preflight -------------------------------------------------------------------------------------- */

static void
build(struct buf *b, const void *params, size_t n, const void *body, size_t body_len)
{
	fcgi_begin(b, 1);
	if (n > 0)
		fcgi_record(b, FCGI_PARAMS, 1, params, n);
	fcgi_record(b, FCGI_PARAMS, 1, NULL, 0);
	if (body_len > 0)
		fcgi_record(b, FCGI_STDIN, 1, body, body_len);
	fcgi_record(b, FCGI_STDIN, 1, NULL, 0);
}

static enum preflight_verdict
look(const void *params, size_t n, size_t body_len)
{
	static char body[PREFLIGHT_MAX];
	struct buf b = BUF_INIT(1 << 20);
	enum preflight_verdict v;
	bool done;

	build(&b, params, n, body, body_len);
	v = preflight(b.data, b.len < PREFLIGHT_MAX ? b.len : PREFLIGHT_MAX, &done);
	buf_release(&b);
	return v;
}

static void
only_a_whole_request_is_served(void)
{
	struct buf b = BUF_INIT(4096);
	bool done;

	build(&b, "\1\1ab\3\0abc", 10 - 1, "body", 4);
	for (size_t n = 0; n < b.len; n++)
		CHECK_INT(preflight(b.data, n, &done), PREFLIGHT_MORE);
	CHECK_INT(preflight(b.data, b.len, &done), PREFLIGHT_WHOLE);
	CHECK(done);
	buf_release(&b);
}

static void
f2_params_that_libfcgi_would_misread_are_faulty(void)
{
	CHECK_INT(look("\4\3NAMEa\0b", 9, 0), PREFLIGHT_FAULTY);
	CHECK_INT(look("\4\1N\0MEa", 7, 0), PREFLIGHT_FAULTY);
	CHECK_INT(look("\0\1a", 3, 0), PREFLIGHT_FAULTY);
	CHECK_INT(look("\3\1A=Ba", 6, 0), PREFLIGHT_FAULTY);
	CHECK_INT(look("\1\1ab", 4, 0), PREFLIGHT_WHOLE);
	CHECK_INT(look("\x80\0\0\1\x80\0\0\1ab", 10, 0), PREFLIGHT_WHOLE);
	CHECK_INT(look("", 0, 0), PREFLIGHT_WHOLE);
}

static void
f1_params_that_lie_are_no_request(void)
{
	CHECK_INT(look("\1", 1, 0), PREFLIGHT_BAD);
	CHECK_INT(look("\1\5ab", 4, 0), PREFLIGHT_BAD);
	CHECK_INT(look("\xff\xff\xff\xff\xff\xff\xff\xff" "ab", 10, 0), PREFLIGHT_BAD);
	CHECK_INT(look("\xff\xff\xff\xff\1ab", 7, 0), PREFLIGHT_BAD);
	CHECK_INT(look("\x80\0\0", 3, 0), PREFLIGHT_BAD);
}

static void
f1_records_that_are_no_request_are_refused(void)
{
	static const char *const hex[] = {
		"0201000100080000", "0109000100080000", "01ff", "0104000100000000",	/* version, type, PARAMS first */
		"0101000100080000" "0003000000000000",		/* role FILTER */
		"0101000000080000" "0001000000000000",		/* id 0 */
		"0101000100080800" "0001000000000000" "0104000100000000",	/* padding that libfcgi takes for a record */
		"0101000100080000" "0001000000000000" "0105000100000000",	/* STDIN before PARAMS */
		"0101000100080000" "0001000000000000" "0102000100000000",	/* ABORT */
		"0101000100080000" "0001000000000000" "0104000100000000" "0105000100000000" "0102000100000000",	/* and last */
		"0101000100080000" "0001000000000000" "0104000200000000",	/* another id */
		"0101000100080000" "0001000000000000" "0101000100080000" "0001000000000000",	/* BEGIN twice */
	};
	uint8_t raw[64];
	bool done;

	for (size_t i = 0; i < ARRAY_LEN(hex); i++) {
		size_t n = strlen(hex[i]) / 2;

		for (size_t k = 0; k < n; k++) {
			unsigned v;

			MUST(sscanf(hex[i] + 2 * k, "%2x", &v) == 1);
			raw[k] = (uint8_t)v;
		}
		CHECK_INT(preflight(raw, n, &done), PREFLIGHT_BAD);
		CHECK(!done);
	}
}

static void
f1_c7_sizes_are_bounded(void)
{
	static char many[200000];
	size_t n = 0;

	while (n + 104 <= sizeof(many)) {
		many[n++] = 2;
		many[n++] = 100;
		memset(many + n, 'x', 102);
		n += 102;
	}
	CHECK_INT(look(many, 104 * 900, 0), PREFLIGHT_WHOLE);
	CHECK_INT(look(many, 104 * 1000, 0), PREFLIGHT_BAD);
	CHECK_INT(look("\1\1ab", 4, PREFLIGHT_BODY_MAX), PREFLIGHT_WHOLE);
	CHECK_INT(look("\1\1ab", 4, PREFLIGHT_BODY_MAX + 1), PREFLIGHT_BODY);
	CHECK_INT(look("\1\1ab", 4, PREFLIGHT_MAX), PREFLIGHT_BODY);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		UNIT(a_data_path_has_four_segments_or_more),
		UNIT(c4_g8_spellings_of_one_path_are_one_object),
		UNIT(bad_paths_are_400),
		UNIT(d5_methods_are_get_head_options),
		UNIT(options_needs_no_login_and_tells_nothing),
		UNIT(own_routes_are_health_ready_status_metrics),
		UNIT(nobody_is_asked_to_log_in_and_strangers_are_refused),
		UNIT(a4_two_identities_are_400),
		UNIT(f2_doubled_parameters_are_400),
		UNIT(our_own_loop_is_508),
		UNIT(a_hit_tells_the_front_which_file),
		UNIT(a_dataset_sets_cache_control),
		UNIT(sendfile_names_the_file_in_the_words_of_the_front),
		UNIT(a_rate_is_the_fronts_or_the_stream),
		UNIT(what_is_lost_between_look_and_open_is_a_miss),
		UNIT(conditions_of_hits_are_answered_here),
		UNIT(a_hit_reserves_the_bytes_of_its_range),
		UNIT(if_range_that_does_not_match_means_the_whole),
		UNIT(d3_a_range_that_fronts_may_not_honour_is_sent_by_the_mover),
		UNIT(head_of_a_hit_carries_the_length_and_costs_no_bytes),
		UNIT(no_dataset_and_redirects_are_not_looked_up),
		UNIT(a_file_is_sent_where_the_proxy_may_choose),
		UNIT(a_broken_store_is_a_miss),
		UNIT(over_the_requests_is_429),
		UNIT(over_the_bytes_is_429_but_smaller_ranges_fit),
		UNIT(misses_are_reserved_before_the_hand_over),
		UNIT(counters_away_are_the_configured_answer),
		UNIT(without_counters_the_books_are_kept),
		UNIT(asked_again_is_a_miss_under_the_same_charge),
		UNIT(the_token_brings_back_what_was_reserved),
		UNIT(a_front_that_lost_the_token_gets_a_miss_with_a_charge_of_its_own),
		UNIT(errors_are_problems_with_the_ticket),
		UNIT(a_valid_traceparent_is_kept),
		UNIT(only_a_whole_request_is_served),
		UNIT(f2_params_that_libfcgi_would_misread_are_faulty),
		UNIT(f1_params_that_lie_are_no_request),
		UNIT(f1_records_that_are_no_request_are_refused),
		UNIT(f1_c7_sizes_are_bounded),
	};
	struct buf faults = BUF_INIT(65536);
	int status;

	config = config_parse("test", config_text, strlen(config_text), false, &faults);
	if (config == NULL)
		fprintf(stderr, "%s", buf_str(&faults));
	MUST(config != NULL);
	status = unit_run("worker: decide", tests, ARRAY_LEN(tests));
	forget();
	if (counters != NULL)
		counters->free(counters);
	config_free(config);
	buf_release(&faults);
	return status;
}
