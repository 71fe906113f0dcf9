/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: what the parser takes and refuses, secrets, the memfd,
 * the dump, the manual, the example.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "config/params.h"
#include "config/scan.h"
#include "ipc/fds.h"
#include "stat/scoreboard.h"
#include "unit.h"

enum { TOLD_MAX = 1024 * 1024 };

/* Faults of a text, one per line; "" when it is taken.  Until the next call. */
static const char *
faults_of(const char *text)
{
	static struct buf told = BUF_INIT(TOLD_MAX);
	struct config *c;

	buf_clear(&told);
	c = config_parse("test", text, strlen(text), false, &told);
	CHECK((c == NULL) == (told.len > 0));
	config_free(c);
	return buf_str(&told);
}

/* A text that must be taken. */
static struct config *
parsed(const char *text)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct config *c = config_parse("test", text, strlen(text), false, &told);

	if (c == NULL)
		fprintf(stderr, "refused: %s\n%s", text, buf_str(&told));
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	buf_release(&told);
	return c;
}

static void
check_fault(const char *text, const char *want)
{
	const char *got = faults_of(text);

	if (strstr(got, want) == NULL)
		fprintf(stderr, "of: %s\ngot: %s\nwant: %s\n", text, got, want);
	CU_ASSERT_TRUE(strstr(got, want) != NULL);
}

/* ---- what is taken ------------------------------------------------------------ */

static void
an_empty_object_has_every_default(void)
{
	struct config *c = parsed("{}");

	CHECK(c->stac_item_url == NULL);
	CHECK_INT(c->stac_item_max, 16000000);
	CHECK_INT(c->stac_keep_ms, 60000);
	CHECK_STR(c->eodag_python, "");
	CHECK_INT(c->eodag_resolvers, 8);
	CHECK_INT(c->eodag_timeout_ms, 40000);
	CHECK_INT(c->eodag_memory_max, 2000000000);
	CHECK_STR(c->user_param, "EODATA_USER");
	CHECK_STR(c->groups_separator, ",");
	CHECK_INT(c->memcached.n, 1);
	CHECK_INT(c->memcached_timeout_ms, 30);
	CHECK_INT(c->n_quotas + c->n_rules + c->n_datasets, 0);
	CHECK_STR(c->cache_path, "/var/cache/eodata-proxy");
	CHECK_STR(c->dir_spool, "/var/cache/eodata-proxy/spool");
	CHECK_INT(c->cache_min_free_percent, 5);
	CHECK_STR(c->base_path, "/data");
	CHECK_INT(c->hits, HITS_X_ACCEL);
	CHECK_INT(c->front_timeout_ms, 60000);
	CHECK_INT(c->answer_deadline_ms, 50000);
	CHECK_STR(c->site_id, "eodata-proxy");
	CHECK_INT(c->workers, 8);
	CHECK_INT(c->movers, 1);
	CHECK_INT(c->drain_ms, 30000);
	CHECK(!c->allow_http);
	CHECK_INT(c->ca_file.n, 0);
	CHECK_INT(c->upstream_max_size, 1000000000000);
	CHECK_INT(c->low_speed_bytes, 1000);
	CHECK_INT(c->low_speed_time_ms, 30000);
	CHECK_INT(c->redirects_max, 3);
	CHECK_INT(c->spool_max, 50000000000);
	CHECK_INT(c->spool_transfer_max, 20000000000);
	CHECK_INT(c->clients_per_transfer_max, 4096);
	CHECK_INT(c->log_level, LOG_INFO);
	CHECK_INT(c->n_backends, 1);
	CHECK_STR(c->backends[0].name, "*");
	CHECK_INT(c->backends[0].slots, 4);
	CHECK_INT(c->backends[0].queue, 256);
	CHECK_INT(c->generation, 0);
	config_free(c);
}

/* The shape that the design document gives. */
static const char design[] =
	"{\n"
	"  \"stac\": { \"item_url\": \"https://stac.example.org/collections/{collection}/items/{item}\", \"headers_file\": \"\" },\n"
	"  \"eodag\": { \"python\": \"\", \"config_file\": \"/etc/eodata-proxy/eodag.yml\", \"resolvers\": 8, \"timeout\": \"40s\" },\n"
	"  \"identity\": { \"user_param\": \"EODATA_USER\", \"groups_param\": \"EODATA_GROUPS\", \"groups_separator\": \",\",\n"
	"    \"groups\": { \"staff\": [\"alice\"] } },\n"
	"  \"memcached\": [ \"/run/memcached/memcached.sock\" ],\n"
	"  \"quotas\": { \"standard\": { \"per\": \"user\", \"requests\": [\"20 per second\"], \"bytes\": [\"1 TB per month\"],\n"
	"      \"upstream_bytes\": [\"200 GB per day\"], \"when_unavailable\": \"allow\" },\n"
	"    \"s2-pool\": { \"per\": \"group\", \"bytes\": [\"50 TB per month\"], \"misses\": [\"5000 per day\"],\n"
	"      \"when_unavailable\": \"refuse\" } },\n"
	"  \"datasets\": [ { \"collections\": [\"S2_*\"], \"retention\": \"30d\", \"fill\": \"any-read\", \"fill_after\": \"25 %\",\n"
	"    \"max_size\": \"20 GB\", \"on_mismatch\": \"cut\" } ],\n"
	"  \"rules\": [ { \"groups\": [\"s2-users\"], \"collections\": [\"S2_*\"], \"allow\": true, \"delivery\": \"stream\",\n"
	"    \"quotas\": [\"standard\", \"s2-pool\"] } ],\n"
	"  \"cache\": { \"store\": \"directory\", \"path\": \"/var/cache/eodata-proxy\", \"retentions\": { \"30d\": {}, \"keep\": {} } },\n"
	"  \"front\": { \"server\": \"nginx\", \"base_path\": \"/data\", \"hits\": \"x-accel\", \"internal_prefix\": \"/_eodata_cache/\",\n"
	"    \"public_urls\": [\"https://data.example.org/data\"], \"timeout\": \"60s\" },\n"
	"  \"dirs\": { \"run\": \"/run/eodata-proxy\", \"state\": \"/var/lib/eodata-proxy\", \"spool\": \"/var/cache/eodata-proxy/spool\" },\n"
	"  \"pool\": { \"workers\": 8, \"movers\": 1 }\n"
	"}\n";

static void
the_shape_of_the_design_is_taken(void)
{
	struct config *c = parsed(design);
	const struct quota_set *q;

	CHECK_STR(c->stac_item_url, "https://stac.example.org/collections/{collection}/items/{item}");
	CHECK_INT(c->n_groups, 1);
	CHECK_STR(c->groups[0].name, "staff");
	CHECK_STR(c->groups[0].users.v[0], "alice");
	CHECK_INT(c->n_quotas, 2);
	q = config_quota(c, "standard");
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	CHECK(!q->per_group);
	CHECK(!q->refuse_when_unavailable);
	CHECK_INT(q->n_limits, 3);
	CHECK_INT(q->limit[0].kind, QUOTA_REQUESTS);
	CHECK_INT(q->limit[0].window, WINDOW_SECOND);
	CHECK_INT(q->limit[0].n, 20);
	CHECK_INT(q->limit[2].kind, QUOTA_UPSTREAM_BYTES);
	CHECK_INT(q->limit[2].n, 200000000000);
	q = config_quota(c, "s2-pool");
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	CHECK(q->per_group);
	CHECK(q->refuse_when_unavailable);
	CHECK_INT(c->datasets[0].fill, FILL_ANY_READ);
	CHECK_INT(c->datasets[0].fill_after_percent, 25);
	CHECK(!c->datasets[0].deliver_on_mismatch);
	CHECK(c->datasets[0].cache_control == NULL);
	CHECK_STR(c->rules[0].name, "rules[0]");
	CHECK_INT(c->rules[0].who, WHO_LISTED);
	CHECK(c->rules[0].allow);
	CHECK_INT(c->rules[0].n_quotas, 2);
	CHECK_STR(c->quotas[c->rules[0].quota[1]].name, "s2-pool");
	CHECK_INT(c->rules[0].rate, 0);
	CHECK_INT(c->retentions.n, 2);
	CHECK_STR(c->site_id, "data.example.org");
	/* the default is there even when it is not given */
	CHECK_INT(config_backend(c, "peps")->slots, 4);
	config_free(c);
}

/* ---- faults --------------------------------------------------------------------- */

static void
all_faults_are_told_with_path_and_line(void)
{
	CHECK_STR(faults_of("{\n\"rules\": [\n{ \"who\": \"anyone\", \"allow\": true },\n"
			    "{ \"users\": [\"a\"],\n\"allow\": true,\n\"delivery\": \"x\" } ],\n"
			    "\"eodag\": { \"timout\": \"40s\",\n\"resolvers\": \"8\" }, /* \n\n */ \"xyz\": 1, \"pool\": 3 }"),
	    "eodag.timout: unknown member, did you mean 'timeout'? (line 7)\n"
	    "xyz: unknown member (line 10)\n"
	    "pool: wrong type, want an object (line 10)\n"
	    "eodag.resolvers: wrong type, want a whole number (line 8)\n"
	    "rules[1].delivery: unknown value 'x', one of stream, redirect, auto (line 6)\n");
}

static void
a_name_that_is_near_is_offered(void)
{
	check_fault("{\"rule\": []}", "did you mean 'rules'?");
	check_fault("{\"Front\": {}}", "did you mean 'front'?");
	check_fault("{\"front\": {\"public_url\": []}}", "front.public_url: unknown member, did you mean 'public_urls'?");
	check_fault("{\"rules\": [{\"collection\": [], \"who\": \"anyone\", \"allow\": true}]}",
	    "rules[0].collection: unknown member, did you mean 'collections'?");
	check_fault("{\"identity\": {\"zzzzzz\": 1}}", "identity.zzzzzz: unknown member (line");
	/* a member of another section is no member of this one */
	check_fault("{\"pool\": {\"timeout\": \"1s\"}}", "pool.timeout: unknown member");
	check_fault("{\"timeout\": \"1s\"}", "timeout: unknown member");
	check_fault("{\"eodag.timeout\": \"1s\"}", "eodag.timeout: unknown member");
}

static void
duplicates_are_told_wherever_they_stand(void)
{
	check_fault("{\"pool\": {\"workers\": 2,\n\"workers\": 3}}", "pool.workers: given twice (line 2)");
	check_fault("{\"pool\": {},\n\"pool\": {}}", "pool: given twice (line 2)");
	check_fault("{\"rules\": [{\"who\":\"anyone\",\"allow\": false, \"allow\": true}]}", "rules[0].allow: given twice");
	check_fault("{\"quotas\": {\"a\": {\"requests\":[\"1 per day\"]}, \"a\": {\"requests\":[\"9 per day\"]}}}", "quotas.a: given twice");
	check_fault("{\"identity\": {\"groups\": {\"g\": [], \"g\": [\"mallory\"]}}}", "identity.groups.g: given twice");
	CHECK_STR(faults_of("{\"identity\": {\"groups\": {\"g\": [\"a\", \"a\"], \"G\": []}}}"), "");
}

/* One member of the table with a value, in the least text around it. */
static char *
with_value(const struct param *p, const struct param *row, const char *value)
{
	const char *dot = strchr(p->path, '.'), *name = dot == NULL ? p->path : dot + 1;
	char *inner, *member, *whole;

	if (row == NULL)
		inner = mem_strdup(value);
	else if (p->type == PARAM_ROWS)
		inner = mem_printf("[{\"%s\": %s}]", row->path, value);
	else if ((row->flags & PARAM_ITSELF) != 0)
		inner = mem_printf("{\"x\": %s}", value);
	else
		inner = mem_printf("{\"x\": {\"%s\": %s}}", row->path, value);
	member = mem_printf("{\"%s\": %s}", name, inner);
	whole = dot == NULL ? mem_strdup(member) : mem_printf("{\"%.*s\": %s}", (int)(dot - p->path), p->path, member);
	free(inner);
	free(member);
	return whole;
}

static char *
path_of(const struct param *p, const struct param *row)
{
	if (row == NULL)
		return mem_strdup(p->path);
	if (p->type == PARAM_ROWS)
		return mem_printf("%s[0].%s", p->path, row->path);
	return mem_printf("%s.x%s%s", p->path, (row->flags & PARAM_ITSELF) != 0 ? "" : ".", row->path);
}

/* For every row of the table. */
static void
each_row(void (*visit)(const struct param *p, const struct param *row))
{
	for (size_t i = 0; i < config_params_n; i++) {
		visit(&config_params[i], NULL);
		for (size_t j = 0; config_params[i].rows != NULL && j < config_params[i].rows->n; j++)
			visit(&config_params[i], &config_params[i].rows->param[j]);
	}
}

static void
refuses_wrong_types(const struct param *p, const struct param *row)
{
	static const char *const wrong[] = { "3.5", "null", "-1e99", "[[]]", "{\"a\": [1]}" };
	char *text, *path = path_of(p, row), *want = mem_printf("%s", path);
	const char *got;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		text = with_value(p, row, wrong[i]);
		got = faults_of(text);
		if (strstr(got, want) == NULL)
			fprintf(stderr, "%s\n got: %s\n", text, got);
		CU_ASSERT_TRUE(strstr(got, want) != NULL);
		free(text);
	}
	free(path);
	free(want);
}

static void
every_row_refuses_values_of_other_types(void)
{
	each_row(refuses_wrong_types);
}

static void
refuses_what_is_out_of_range(const struct param *p, const struct param *row)
{
	const struct param *self = row == NULL ? p : row;
	char *text, *path, *want, value[64];
	const char *unit = "";

	if (self->type == PARAM_SIZE || self->type == PARAM_RATE)
		unit = " B";
	else if (self->type == PARAM_DURATION)
		unit = "ms";
	else if (self->type != PARAM_INTEGER)
		return;
	path = path_of(p, row);
	want = mem_printf("%s: out of range", path);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t n = i == 0 ? self->min - 1 : i == 1 ? self->min : i == 2 ? self->max : self->max + 1;

		if ((i == 0 && self->min == 0) || (i == 3 && self->max >= INT64_MAX))
			continue;
		(void)snprintf(value, sizeof(value), "%s%" PRIu64 "%s%s", unit[0] == '\0' ? "" : "\"", n, unit,
		    unit[0] == '\0' ? "" : "\"");
		text = with_value(p, row, value);
		if (i == 0 || i == 3)
			check_fault(text, want);
		else
			CHECK(strstr(faults_of(text), "out of range") == NULL);
		free(text);
	}
	free(path);
	free(want);
}

static void
every_number_has_a_range(void)
{
	each_row(refuses_what_is_out_of_range);
	check_fault("{\"pool\": {\"workers\": -1}}", "pool.workers: out of range, 1 to 64");
	check_fault("{\"pool\": {\"workers\": 99999999999999999999999}}", "pool.workers: out of range");
	check_fault("{\"pool\": {\"workers\": 4294967297}}", "pool.workers: out of range");
	check_fault("{\"pool\": {\"workers\": 8.0}}", "pool.workers: wrong type");
}

static void
limits_need_sense(void)
{
	check_fault("{\"quotas\":{\"a\":{}}}", "quotas.a: limits nothing");
	check_fault("{\"quotas\":{\"a\":{\"requests\":[\"1 TB per day\"]}}}", "quotas.a.requests[0]: '1\\x20TB\\x20per\\x20day' is not a limit");
	check_fault("{\"quotas\":{\"a\":{\"bytes\":[\"20 per day\"]}}}", "quotas.a.bytes[0]:");
	check_fault("{\"quotas\":{\"a\":{\"bytes\":\"20 B per day\"}}}", "quotas.a.bytes: wrong type");
	check_fault("{\"quotas\":{\"a\":{\"misses\":[\"1 per day\",\"2 per hour\",\"3 per day\"]}}}",
	    "quotas.a.misses[2]: a second limit for the same window");
	check_fault("{\"quotas\":{\"a b\":{\"misses\":[\"1 per day\"]}}}", "the name of a set has letters");
	check_fault("{\"quotas\":{\"\":{\"misses\":[\"1 per day\"]}}}", "the name of a set has 1 to 64 bytes");
	CHECK_STR(faults_of("{\"quotas\":{\"a\":{"
			    "\"requests\":[\"1 per second\",\"1 per minute\",\"1 per hour\",\"1 per day\",\"1 per month\"],"
			    "\"misses\":[\"1 per second\",\"1 per minute\",\"1 per hour\",\"1 per day\",\"1 per month\"],"
			    "\"bytes\":[\"1 B per second\",\"1 B per minute\",\"1 B per hour\",\"1 B per day\",\"1 B per month\"],"
			    "\"upstream_bytes\":[\"1 B per second\",\"1 B per minute\",\"1 B per hour\",\"1 B per day\",\"1 B per month\"]"
			    "}}}"), "");
}

static void
rules_must_say_whom_and_what(void)
{
	check_fault("{\"rules\":[{\"allow\":true}]}", "rules[0]: matches nobody");
	check_fault("{\"rules\":[{\"who\":\"anyone\"}]}", "rules[0].allow: must be given");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"users\":[\"a\"],\"allow\":true}]}", "rules[0]: who and users, groups or scopes");
	check_fault("{\"rules\":[{\"users\":[\"\"],\"allow\":true}]}", "rules[0].users[0]: must not be empty");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"quotas\":[\"no\"]}]}", "rules[0].quotas[0]: no such member of quotas: 'no'");
	check_fault("{\"quotas\":{\"q\":{\"misses\":[\"1 per day\"]}},\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"quotas\":[\"q\",\"q\"]}]}",
	    "rules[0].quotas[1]: named twice");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"routes\":[\"-/status\"],\"items\":[\"x\"]}]}",
	    "rules[0]: routes and backends, collections, items or assets");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"routes\":[\"/status\"]}]}", "rules[0].routes[0]: a route begins with '-/'");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":true},{\"users\":[\"a\"],\"allow\":false}]}",
	    "rules[1]: is never reached: 'rules[0]' matches everything");
	check_fault("{\"rules\":[{\"name\":\"n\",\"users\":[\"a\"],\"allow\":true},{\"name\":\"n\",\"users\":[\"b\"],\"allow\":true}]}",
	    "rules[1].name: is the name of rules[0], too");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":\"yes\"}]}", "rules[0].allow: wrong type, want true or false");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":1}]}", "rules[0].allow: wrong type, want true or false");
	check_fault("{\"rules\":[\"anyone\"]}", "rules[0]: wrong type, want an object");
	check_fault("{\"rules\":{\"0\":{}}}", "rules: wrong type, want a list of objects");
	/* a rule for routes is not reached by data, nor the other way round */
	CHECK_STR(faults_of("{\"rules\":[{\"who\":\"anyone\",\"allow\":true},{\"users\":[\"a\"],\"routes\":[\"*\"],\"allow\":true}]}"), "");
}

static void
what_refers_to_something_must_find_it(void)
{
	check_fault("{\"datasets\":[{\"collections\":[\"S2\"]}]}", "datasets[0].retention: must be given");
	check_fault("{\"datasets\":[{\"retention\":\"30d\"}]}", "datasets[0].retention: no such member of cache.retentions: '30d'");
	check_fault("{\"datasets\":[{\"retention\":\"30d\",\"cache_control\":\"public\\r\\nX: y\"}],\"cache\":{\"retentions\":{\"30d\":{}}}}",
	    "datasets[0].cache_control: a control byte");
	check_fault("{\"datasets\":[{\"retention\":\"30d\",\"cache_control\":\"pub;lic\"}],\"cache\":{\"retentions\":{\"30d\":{}}}}",
	    "datasets[0].cache_control: is not a Cache-Control value");
	check_fault("{\"cache\":{\"retentions\":{\"../x\":{}}}}", "a name has letters");
	check_fault("{\"cache\":{\"retentions\":{\"..\":{}}}}", "a name has letters");
	check_fault("{\"cache\":{\"retentions\":{\"30d\":{\"days\":30}}}}", "cache.retentions.30d: want an empty object");
	check_fault("{\"cache\":{\"retentions\":{\"spool\":{}}}}", "dirs.spool: is the directory of the retention 'spool'");
	check_fault("{\"cache\":{\"store\":\"s3\"}}", "cache.store: unknown value 's3', one of directory");
}

static void
the_front_must_fit(void)
{
	static const struct {
		const char *front, *want;
	} bad[] = {
		{ "\"deadline\": \"60s\"", "front.deadline: must be shorter than front.timeout" },
		{ "\"timeout\": \"20s\"", "front.deadline: must be shorter" },
		{ "\"base_path\": \"data\"", "front.base_path: must begin with '/'" },
		{ "\"base_path\": \"/data/\"", "front.base_path: has an empty segment, or ends with '/'" },
		{ "\"base_path\": \"/\"", "front.base_path: has an empty segment" },
		{ "\"base_path\": \"/a//b\"", "front.base_path: has an empty segment" },
		{ "\"base_path\": \"/a/../b\"", "front.base_path: has a segment '.' or '..'" },
		{ "\"base_path\": \"/a%2fb\"", "front.base_path: must not hold" },
		{ "\"base_path\": \"\"", "front.base_path: must not be empty" },
		{ "\"internal_prefix\": \"\"", "front.internal_prefix: must begin and end with '/'" },
		{ "\"internal_prefix\": \"/x\"", "front.internal_prefix: must begin and end" },
		{ "\"internal_prefix\": \"x/\"", "front.internal_prefix: must begin and end" },
		{ "\"internal_prefix\": \"/\"", "front.internal_prefix: must begin and end" },
		{ "\"internal_prefix\": \"/data/x/\"", "front.internal_prefix: must not be below base_path" },
		{ "\"internal_prefix\": \"/data/\"", "front.internal_prefix: must not be below base_path" },
		{ "\"server\": \"apache\"", "front.hits: 'x-accel' is nginx's" },
		{ "\"server\": \"lighttpd\"", "front.hits: 'x-accel' is nginx's" },
		{ "\"hits\": \"x-sendfile\"", "front.hits: nginx has no 'x-sendfile'" },
		{ "\"server\": \"iis\"", "front.server: unknown value 'iis', one of nginx, apache, lighttpd" },
		{ "\"public_urls\": [\"data.example.org\"]", "front.public_urls[0]: must begin with https:// or http://" },
		{ "\"public_urls\": [\"ftp://a/\"]", "front.public_urls[0]: must begin" },
		{ "\"public_urls\": [\"https://a.example/\"]", "front.public_urls[0]: must not end with '/'" },
		{ "\"public_urls\": [\"https://\"]", "front.public_urls[0]: the host" },
		{ "\"public_urls\": [\"https://u:p@a/x\"]", "front.public_urls[0]: the host" },
		{ "\"public_urls\": [\"https://a/x?y\"]", "front.public_urls[0]: must not hold '?'" },
		{ "\"public_urls\": [\"https://a/x y\"]", "front.public_urls[0]: has a character" },
		{ "\"site_id\": \"a b\"", "front.site_id: must be a token" },
		{ "\"site_id\": \"a,b\"", "front.site_id: must be a token" },
		{ "\"peers\": [\"10.0.0.0/33\"]", "front.peers[0]: is no address" },
		{ "\"peers\": [\"10.0.0\"]", "front.peers[0]: is no address" },
		{ "\"peers\": [\"www data\"]", "front.peers[0]: is neither" },
	};
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text = mem_printf("{\"front\": {%s}}", bad[i].front);
		check_fault(text, bad[i].want);
		free(text);
	}
	CHECK_STR(faults_of("{\"front\": {\"server\": \"apache\", \"hits\": \"x-sendfile\", \"internal_prefix\": \"\"}}"), "");
	CHECK_STR(faults_of("{\"front\": {\"server\": \"lighttpd\", \"hits\": \"stream\"}}"), "");
	CHECK_STR(faults_of("{\"front\": {\"base_path\": \"/~lab/eo/data\", \"peers\": [\"10.1.0.0/16\", \"::1\", \"www-data\", \"33\"]}}"), "");
	CHECK_STR(faults_of("{\"front\": {\"public_urls\": [\"http://127.0.0.1:8080/data\", \"https://[::1]:8443\"]}}"), "");
}

static void
an_identity_never_comes_from_what_clients_fill(void)
{
	static const char *const bad[] = { "HTTP_X_FORWARDED_USER", "http_user", "HTTP_", "QUERY_STRING", "REQUEST_URI", "remote_addr",
		"REMOTE_USER", "EODATA_AGAIN", "A=B", "A B", "" };
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text = mem_printf("{\"identity\": {\"user_param\": \"%s\"}}", bad[i]);
		check_fault(text, "identity.user_param: ");
		free(text);
		text = mem_printf("{\"identity\": {\"groups_param\": \"%s\"}}", bad[i]);
		if (bad[i][0] != '\0')
			check_fault(text, "identity.groups_param: ");
		free(text);
	}
	check_fault("{\"identity\": {\"groups_param\": \"EODATA_USER\"}}", "identity.groups_param: is user_param");
	check_fault("{\"identity\": {\"groups_separator\": \", \"}}", "identity.groups_separator: longer than 1 byte");
	CHECK_STR(faults_of("{\"front\":{\"server\":\"apache\",\"hits\":\"stream\"},\"identity\": {\"user_param\": \"REMOTE_USER\"}}"), "");
	CHECK_STR(faults_of("{\"identity\": {\"groups_param\": \"\"}}"), "");
}

static void
the_item_url_is_a_template(void)
{
	static const struct {
		const char *url, *want;
	} bad[] = {
		{ "https://a/{collection}", "must hold {item}" },
		{ "https://a/{item}/{id}", "unknown placeholder" },
		{ "https://a/{item", "unknown placeholder" },
		{ "https://a/item}", "unknown placeholder" },
		{ "https://{backend}.a/{item}", "the host is not one" },
		{ "https://a{item}", "the host is not one" },
		{ "a/{item}", "must begin with https://" },
		{ "file:///{item}", "must begin with https://" },
		{ "https://u:p@a/{item}", "the host is not one" },
		{ "https://a/{item}#x", "must not hold '#'" },
		{ "https://a/ {item}", "must be percent-encoded" },
		{ "http://a/{item}", "is http, which upstream.allow_http refuses" },
	};
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text = mem_printf("{\"stac\": {\"item_url\": \"%s\"}}", bad[i].url);
		check_fault(text, "stac.item_url: ");
		check_fault(text, bad[i].want);
		free(text);
	}
	CHECK_STR(faults_of("{\"stac\": {\"item_url\": \"http://127.0.0.1:80/{backend}/c/{collection}?id={item}\"},"
			    "\"upstream\":{\"allow_http\":true}}"), "");
}

static void
addresses_and_paths_are_checked(void)
{
	check_fault("{\"memcached\": [\"localhost\"]}", "memcached[0]: is neither a socket's path nor HOST:PORT");
	check_fault("{\"memcached\": [\"localhost:0\"]}", "memcached[0]: is neither");
	check_fault("{\"memcached\": [\"localhost:65536\"]}", "memcached[0]: is neither");
	check_fault("{\"memcached\": [\"a b:11211\"]}", "memcached[0]: is neither");
	check_fault("{\"memcached\": \"localhost:11211\"}", "memcached: wrong type, want a list of strings");
	CHECK_STR(faults_of("{\"memcached\": [\"/run/m.sock\", \"localhost:11211\", \"[::1]:11211\"]}"), "");
	CHECK_STR(faults_of("{\"memcached\": []}"), "");
	check_fault("{\"upstream\": {\"allow_private\": [\"10.0.0.1/8\"]}}", "upstream.allow_private[0]: is no address");
	check_fault("{\"upstream\": {\"allow_private\": [\"localhost\"]}}", "upstream.allow_private[0]: is no address");
	CHECK_STR(faults_of("{\"upstream\": {\"allow_private\": [\"10.0.0.0/8\", \"::1\"]}}"), "");
	check_fault("{\"cache\": {\"path\": \"var/cache\"}}", "cache.path: a path must begin with '/'");
	check_fault("{\"cache\": {\"path\": \"\"}}", "cache.path: must not be empty");
	check_fault("{\"upstream\": {\"ca_file\": \"ca.pem\"}}", "upstream.ca_file: a path must begin with '/'");
	check_fault("{\"spool\": {\"max\": \"1 GB\"}}", "spool.max_transfer: is more than spool.max");
}

static void
the_bounds_of_other_rooms_are_ours(void)
{
	CHECK_INT(CONFIG_MOVERS_MAX, MOVERS_MAX);
	CHECK_INT(CONFIG_MOVERS_MAX, SLOT_MOVERS_MAX);
	CHECK_INT(CONFIG_RESOLVERS_MAX, SLOT_RESOLVERS_MAX);
	CHECK(2 * CONFIG_WORKERS_MAX <= SLOT_WORKERS_MAX);
}

/* ---- bounds ----------------------------------------------------------------------- */

/* head, n times each, tail; each may hold one %zu. */
static char *
long_text(const char *start, const char *each, size_t n, const char *end)
{
	struct buf b = BUF_INIT(64 * 1024 * 1024);

	(void)buf_adds(&b, start);
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(&b, "%s%s", i == 0 ? "" : ",", each);
	(void)buf_adds(&b, end);
	MUST(buf_ok(&b));
	return buf_take(&b);
}

static void
lists_have_a_length(void)
{
	static const struct {
		const char *start, *each, *end, *want;
		size_t n;
	} bad[] = {
		{ "{\"rules\":[", "{\"users\":[\"a\"],\"allow\":true}", "]}", "rules: more than 2000 members", 2001 },
		{ "{\"datasets\":[", "{}", "]}", "datasets: more than 2000 members", 2001 },
		{ "{\"identity\":{\"groups\":{\"g\":[", "\"a\"", "]}}}", "identity.groups.g: more than 10000 members", 10001 },
		{ "{\"identity\":{\"groups\":{\"g\":[", "\"a\"", "]}}}", "more values than a configuration can have", 300000 },
		{ "{\"memcached\":[", "\"/a\"", "]}", "memcached: more than 64 members", 65 },
		{ "{\"quotas\":{\"q\":{\"misses\":[", "\"1 per day\"", "]}}}", "quotas.q.misses: more than 5 members", 6 },
		{ "{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"quotas\":[", "\"q\"", "]}]}", "rules[0].quotas: more than 8 members", 9 },
	};
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text = long_text(bad[i].start, bad[i].each, bad[i].n, bad[i].end);
		check_fault(text, bad[i].want);
		free(text);
	}
}

static void
strings_have_a_length(void)
{
	char *text = mem_printf("{\"rules\":[{\"users\":[\"%0257d\"],\"allow\":true}]}", 0);

	check_fault(text, "rules[0].users[0]: longer than 256 bytes");
	free(text);
	text = mem_printf("{\"identity\":{\"groups\":{\"%0129d\":[]}}}", 0);
	check_fault(text, "the name of a group has 1 to 128 bytes");
	free(text);
	text = mem_printf("{\"front\":{\"site_id\":\"%05000d\"}}", 0);
	check_fault(text, "front.site_id: longer than 128 bytes");
	free(text);
}

static void
a_text_over_10_mib_is_refused(void)
{
	size_t n = CONFIG_TEXT_MAX;
	struct buf told = BUF_INIT(4096);
	char *text = mem_alloc(n + 2);
	struct config *c;

	memset(text, ' ', n + 1);
	memcpy(text, "{}", 2);
	c = config_parse("test", text, n, false, &told);
	CHECK(c != NULL);
	config_free(c);
	c = config_parse("test", text, n + 1, false, &told);
	CHECK(c == NULL);
	CHECK(strstr(buf_str(&told), "longer than 10485760 bytes") != NULL);
	buf_release(&told);
	free(text);
}

static void
a_flood_of_faults_is_cut(void)
{
	char *text = long_text("{\"rules\":[", "{\"x\":1}", 2000, "]}");
	size_t lines = 0;

	for (const char *s = faults_of(text); (s = strchr(s, '\n')) != NULL; s++)
		lines++;
	CHECK_INT(lines, CONFIG_FAULTS_MAX + 1);
	check_fault(text, "and more\n");
	free(text);
}

/* ---- secrets ---------------------------------------------------------------------- */

struct scratch {
	char dir[64];
	char path[96];
};

static void
scratch_init(struct scratch *s)
{
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/test_config.XXXXXX");
	MUST(mkdtemp(s->dir) != NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s/secret", s->dir);
}

static void
scratch_write(const struct scratch *s, const void *text, size_t n, mode_t mode)
{
	int fd = open(s->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd != -1);
	MUST(fd_write_all(fd, text, n) == 0);
	MUST(fchmod(fd, mode) == 0);
	fd_close(&fd);
}

static void
scratch_release(struct scratch *s)
{
	(void)unlink(s->path);
	(void)rmdir(s->path);
	(void)rmdir(s->dir);
}

/* The configuration that names the file in that member, secrets read. */
static struct config *
with_secret(const struct scratch *s, const char *section, const char *member, struct buf *told)
{
	char *text = mem_printf("{\"%s\": {\"%s\": \"%s\"}}", section, member, s->path);
	struct config *c;

	buf_clear(told);
	c = config_parse("test", text, strlen(text), true, told);
	free(text);
	return c;
}

static void
a_secret_with_a_loose_mode_is_refused(void)
{
	static const struct {
		mode_t mode;
		bool fine;
	} modes[] = { { 0600, true }, { 0640, true }, { 0400, true }, { 0440, true }, { 0644, false }, { 0660, false },
		      { 0604, false }, { 0602, false }, { 0601, false }, { 0620, false }, { 0666, false } };
	static const char *const members[][2] = { { "stac", "headers_file" }, { "eodag", "config_file" } };
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		for (size_t j = 0; j < ARRAY_LEN(members); j++) {
			scratch_write(&s, "A: b\n", 5, modes[i].mode);
			c = with_secret(&s, members[j][0], members[j][1], &told);
			if ((c != NULL) != modes[i].fine)
				fprintf(stderr, "mode %04o: %s\n", (unsigned)modes[i].mode, buf_str(&told));
			CU_ASSERT_TRUE((c != NULL) == modes[i].fine);
			CHECK((strstr(buf_str(&told), "others may not read it") == NULL) == modes[i].fine);
			config_free(c);
		}
	}
	buf_release(&told);
	scratch_release(&s);
}

static void
headers_are_read_line_by_line(void)
{
	static const char text[] = "# for the catalogue\n\nAuthorization:   Bearer canary \r\nX-Api-Key: k=1\n   \nX-Last: no newline";
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	scratch_write(&s, text, sizeof(text) - 1, 0640);
	c = with_secret(&s, "stac", "headers_file", &told);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CHECK_INT(c->stac_headers.n, 3);
	CHECK_STR(c->stac_headers.v[0], "Authorization: Bearer canary");
	CHECK_STR(c->stac_headers.v[1], "X-Api-Key: k=1");
	CHECK_STR(c->stac_headers.v[2], "X-Last: no newline");
	config_free(c);
	buf_release(&told);
	scratch_release(&s);
}

static void
a_broken_headers_file_is_refused_and_never_told(void)
{
	static const struct {
		const char *text;
		size_t n;
		const char *want;
	} bad[] = {
		{ "Authorization canary\n", 21, "line 1 of" },
		{ "\nAuthorization : canary\n", 23, "line 2 of" },
		{ ": canary\n", 9, "is not \"Name: value\"" },
		{ "canary:\n", 8, "has no value" },
		{ "A: canary\001\n", 11, "has a control byte" },
		{ "A: canary\rB: x\n", 15, "has a control byte" },
		{ "A: canary\0x\n", 12, "has a NUL" },
		{ "A: canary\xff\n", 11, "is not UTF-8" },
		{ "Host: canary\n", 13, "is ours to set" },
		{ "content-length: 5 canary\n", 25, "is ours to set" },
		{ "A b: canary\n", 12, "is not \"Name: value\"" },
	};
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		scratch_write(&s, bad[i].text, bad[i].n, 0600);
		c = with_secret(&s, "stac", "headers_file", &told);
		CHECK(c == NULL);
		config_free(c);
		if (strstr(buf_str(&told), bad[i].want) == NULL)
			fprintf(stderr, "%zu: got %s want %s\n", i, buf_str(&told), bad[i].want);
		CU_ASSERT_TRUE(strstr(buf_str(&told), bad[i].want) != NULL);
		CHECK(strstr(buf_str(&told), "canary") == NULL);
	}
	buf_release(&told);
	scratch_release(&s);
}

static void
what_is_no_file_is_no_secret(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	char *huge = mem_alloc(CONFIG_HEADERS_MAX + 1);
	struct scratch s;

	scratch_init(&s);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "stac.headers_file: cannot open") != NULL);
	MUST(mkfifo(s.path, 0600) == 0);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "is not a file") != NULL);
	MUST(unlink(s.path) == 0);
	MUST(mkdir(s.path, 0700) == 0);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "is not a file") != NULL);
	CHECK(with_secret(&s, "eodag", "config_file", &told) == NULL);
	MUST(rmdir(s.path) == 0);
	memset(huge, '#', CONFIG_HEADERS_MAX + 1);
	scratch_write(&s, huge, CONFIG_HEADERS_MAX + 1, 0600);
	CHECK(with_secret(&s, "stac", "headers_file", &told) == NULL);
	CHECK(strstr(buf_str(&told), "longer than") != NULL);
	free(huge);
	buf_release(&told);
	scratch_release(&s);
}

static void
an_eodag_file_that_is_not_there_yet_is_fine(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	c = with_secret(&s, "eodag", "config_file", &told);
	CHECK(c != NULL);
	CHECK_STR(buf_str(&told), "");
	config_free(c);
	buf_release(&told);
	scratch_release(&s);
}

static void
a_file_is_loaded_and_a_missing_one_is_told(void)
{
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;

	scratch_init(&s);
	CHECK(config_load(s.path, &told) == NULL);
	CHECK(strstr(buf_str(&told), "cannot open '") != NULL);
	buf_clear(&told);
	scratch_write(&s, design, sizeof(design) - 1, 0644);
	c = config_load(s.path, &told);
	CHECK(c != NULL);
	CHECK_STR(buf_str(&told), "");
	config_free(c);
	buf_release(&told);
	scratch_release(&s);
}

/* ---- memfd and dump ------------------------------------------------------------------ */

static char *
dumped(const struct config *c)
{
	struct buf out = BUF_INIT(CONFIG_SEALED_MAX);

	config_dump(c, &out);
	MUST(buf_ok(&out));
	return buf_take(&out);
}

/* A configuration with something in every place, secrets and generation too. */
static struct config *
full_config(void)
{
	static const char headers[] = "Authorization: Bearer canary\nX-Quote: \"a\\b\"\n";
	struct buf told = BUF_INIT(TOLD_MAX);
	struct scratch s;
	struct config *c;
	char *text;

	scratch_init(&s);
	scratch_write(&s, headers, sizeof(headers) - 1, 0600);
	text = mem_printf(
	    "{\"stac\":{\"headers_file\":\"%s\",\"item_url\":\"https://a/{item}\",\"item_max\":\"1.5 MB\",\"keep\":\"1500ms\"},"
	    "\"identity\":{\"groups\":{\"g.1[\":[\"Zo\\u00eb \\\"x\\\"\",\"\\ud83d\\ude00\"],\"empty\":[]}},"
	    "\"quotas\":{\"z\":{\"requests\":[\"3 per minute\",\"1 per day\"],\"upstream_bytes\":[\"64 MiB per hour\"]},"
	    "\"a\":{\"per\":\"group\",\"misses\":[\"7 per month\"],\"when_unavailable\":\"refuse\"}},"
	    "\"cache\":{\"retentions\":{\"b\":{},\"a\":{}},\"min_free\":\"0 %%\"},"
	    "\"datasets\":[{\"backends\":[\"p\"],\"retention\":\"a\",\"fill\":\"never\",\"fill_after\":\"0%%\",\"max_size\":\"1 B\","
	    "\"on_mismatch\":\"deliver\",\"cache_control\":\"public, max-age=5\"},{\"assets\":[\"*\"],\"retention\":\"b\",\"fill\":\"whole-only\"}],"
	    "\"rules\":[{\"users\":[\"a\"],\"routes\":[\"-/*\"],\"allow\":false},"
	    "{\"name\":\"n\",\"who\":\"authenticated\",\"methods\":[\"GET\"],\"items\":[\"[ab]*\"],\"allow\":true,\"delivery\":\"auto\","
	    "\"quotas\":[\"a\",\"z\"],\"rate\":\"10 MB per second\"},{\"groups\":[\"g\"],\"scopes\":[\"s\"],\"allow\":true,\"delivery\":\"redirect\"}],"
	    "\"front\":{\"server\":\"apache\",\"hits\":\"x-sendfile\",\"public_urls\":[\"https://d.example:8443/x\"],\"peers\":[\"10.0.0.0/8\"]},"
	    "\"upstream\":{\"ca_file\":\"/etc/ca.pem\",\"allow_http\":true,\"allow_private\":[\"::1\"]},"
	    "\"backends\":{\"peps\":{\"slots\":9}},\"log\":{\"level\":\"debug\"},\"memcached\":[]}", s.path);
	c = config_parse("test", text, strlen(text), true, &told);
	if (c == NULL)
		fprintf(stderr, "%s", buf_str(&told));
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->generation = 7;
	free(text);
	buf_release(&told);
	scratch_release(&s);
	return c;
}

static void
a_dump_is_a_configuration_again(void)
{
	const char *const texts[] = { "{}", design };
	struct config *c, *again;
	char *first, *second;

	for (size_t i = 0; i <= ARRAY_LEN(texts); i++) {
		c = i < ARRAY_LEN(texts) ? parsed(texts[i]) : full_config();
		first = dumped(c);
		again = parsed(first);
		second = dumped(again);
		CHECK_STR(second, first);
		free(first);
		free(second);
		config_free(c);
		config_free(again);
	}
}

static void
a_dump_names_every_row_and_no_secret(void)
{
	struct config *c = full_config();
	char *text = dumped(c), *quoted;

	for (size_t i = 0; i < config_params_n; i++) {
		const char *dot = strchr(config_params[i].path, '.');

		quoted = mem_printf("\"%s\":", dot == NULL ? config_params[i].path : dot + 1);
		CHECK(strstr(text, quoted) != NULL);
		free(quoted);
	}
	CHECK(strstr(text, "canary") == NULL);
	CHECK(strstr(text, "sealed") == NULL);
	free(text);
	config_free(c);
}

static void
children_get_what_the_master_has(void)
{
	struct config *c = full_config(), *child;
	struct err e = ERR_NONE;
	int fd = config_to_memfd(c, &e);
	char *first, *second;

	CU_ASSERT_FATAL(fd != -1);
	/* the offset is shared by all who inherit the descriptor */
	MUST(lseek(fd, 100, SEEK_SET) == 100);
	for (unsigned i = 0; i < 2; i++) {
		child = config_from_memfd(fd, &e);
		CU_ASSERT_PTR_NOT_NULL_FATAL(child);
		first = dumped(c);
		second = dumped(child);
		CHECK_STR(second, first);
		CHECK_INT(child->generation, 7);
		CHECK_INT(child->stac_headers.n, 2);
		CHECK_STR(child->stac_headers.v[0], "Authorization: Bearer canary");
		CHECK_STR(child->stac_headers.v[1], "X-Quote: \"a\\b\"");
		CHECK_STR(child->groups[0].name, "g.1[");
		CHECK_STR(child->groups[0].users.v[0], "Zo\xc3\xab \"x\"");
		CHECK_STR(child->rules[0].name, "rules[0]");
		CHECK(child->text != NULL && strstr(child->text, "canary") != NULL);
		free(first);
		free(second);
		config_free(child);
	}
	CHECK_INT(lseek(fd, 0, SEEK_CUR), 100);
	fd_close(&fd);
	config_free(c);
}

static void
nobody_changes_what_is_sealed(void)
{
	struct config *c = parsed("{}");
	struct err e = ERR_NONE;
	int fd = config_to_memfd(c, &e);

	CU_ASSERT_FATAL(fd != -1);
	CHECK_INT(pwrite(fd, "x", 1, 0), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(ftruncate(fd, 0), -1);
	CHECK_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	fd_close(&fd);
	config_free(c);
}

static void
the_sealed_member_is_not_for_files(void)
{
	check_fault("{\"sealed\": {\"generation\": 1, \"stac_headers\": [\"A: b\"]}}", "sealed: unknown member");
}

static void
a_broken_memfd_is_an_error(void)
{
	static const char *const bad[] = { "", "x", "{}", "{\"sealed\": 1}", "{\"sealed\": {\"generation\": -1, \"stac_headers\": []}}",
		"{\"sealed\": {\"generation\": 1}}", "{\"sealed\": {\"generation\": 1, \"stac_headers\": [1]}}",
		"{\"sealed\": {\"generation\": 1, \"stac_headers\": []}, \"pool\": {\"workers\": 0}}" };
	struct err e;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = (struct err)ERR_NONE;
		fd = fd_memfd_sealed("test", bad[i], strlen(bad[i]), &e);
		CU_ASSERT_FATAL(fd != -1);
		CHECK(config_from_memfd(fd, &e) == NULL);
		CHECK(strncmp(e.text, "the configuration is broken: ", 29) == 0);
		fd_close(&fd);
	}
	CHECK(config_from_memfd(-1, &e) == NULL);
	CHECK_INT(e.sys, EBADF);
}

static void
the_largest_configuration_passes_the_memfd(void)
{
	char *text = long_text("{\"rules\":[", "{\"who\":\"authenticated\",\"allow\":true,\"items\":[\"*\",\"a\",\"b\",\"c\",\"d\"]}",
	    2000, "]}");
	struct config *c = parsed(text), *child;
	struct err e = ERR_NONE;
	int fd = config_to_memfd(c, &e);

	CU_ASSERT_FATAL(fd != -1);
	child = config_from_memfd(fd, &e);
	if (child == NULL)
		fprintf(stderr, "%s\n", e.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(child);
	CHECK_INT(child->n_rules, 2000);
	CHECK_STR(child->rules[1999].name, "rules[1999]");
	fd_close(&fd);
	config_free(c);
	config_free(child);
	free(text);
}

static void
a_reload_tells_what_it_does_not_take(void)
{
	struct config *a = parsed("{}"),
		      *b = parsed("{\"pool\":{\"movers\":2,\"workers\":3},\"cache\":{\"path\":\"/x\"},\"log\":{\"level\":\"warn\"}}");
	struct buf paths = BUF_INIT(1000);

	config_restart_needed(a, a, &paths);
	CHECK_STR(buf_str(&paths), "");
	config_restart_needed(a, b, &paths);
	CHECK_STR(buf_str(&paths), "cache.path, dirs.spool, pool.movers");
	buf_release(&paths);
	config_free(a);
	config_free(b);
}

/* ---- looking up ------------------------------------------------------------------------ */

static void
the_first_dataset_that_matches_applies(void)
{
	struct config *c = parsed(
	    "{\"cache\":{\"retentions\":{\"a\":{},\"b\":{},\"c\":{}}},\"datasets\":["
	    "{\"backends\":[\"peps\"],\"collections\":[\"S2_*\"],\"assets\":[\"B0?\",\"thumbnail\"],\"retention\":\"a\"},"
	    "{\"collections\":[\"S2_*\",\"S1_[A-C]\"],\"retention\":\"b\"},"
	    "{\"assets\":[\"metadata\"],\"retention\":\"c\"}]}");

	CHECK_STR(config_dataset(c, "peps", "S2_MSI_L1C", "B04")->retention, "a");
	CHECK_STR(config_dataset(c, "peps", "S2_MSI_L1C", "thumbnail")->retention, "a");
	CHECK_STR(config_dataset(c, "peps", "S2_MSI_L1C", "B11")->retention, "b");
	CHECK_STR(config_dataset(c, "other", "S2_MSI_L1C", "B04")->retention, "b");
	CHECK_STR(config_dataset(c, "other", "S1_B", "B04")->retention, "b");
	CHECK(config_dataset(c, "other", "S1_D", "B04") == NULL);
	CHECK(config_dataset(c, "other", "s2_MSI_L1C", "B04") == NULL);
	CHECK_STR(config_dataset(c, "other", "S1_D", "metadata")->retention, "c");
	CHECK(config_dataset(c, "other", "*", "*") == NULL);
	config_free(c);
}

static void
a_backend_has_its_limits_or_the_defaults(void)
{
	struct config *c = parsed("{\"backends\":{\"peps\":{\"slots\":8},\"*\":{\"slots\":2,\"queue\":5}}}");

	CHECK_INT(config_backend(c, "peps")->slots, 8);
	CHECK_INT(config_backend(c, "peps")->queue, 256);
	CHECK_INT(config_backend(c, "PEPS")->slots, 2);
	CHECK_INT(config_backend(c, "other")->queue, 5);
	CHECK_INT(config_backend(c, "*")->slots, 2);
	CHECK(config_quota(c, "no") == NULL);
	config_free(c);
}

/* ---- the manual and the example ------------------------------------------------------------ */

static void
the_manual_names_every_row_and_section(void)
{
	struct buf out = BUF_INIT(TOLD_MAX);
	char *item;

	config_manual(&out);
	CHECK(buf_ok(&out));
	for (size_t i = 0; i < config_params_n; i++) {
		item = mem_printf("\n.It Cm %s\n", config_params[i].path);
		CHECK(strstr(buf_str(&out), item) != NULL);
		free(item);
		item = mem_printf("\n.Ss %.*s\n", (int)strcspn(config_params[i].path, "."), config_params[i].path);
		CHECK(strstr(buf_str(&out), item) != NULL);
		free(item);
	}
	buf_release(&out);
}

/* The example, of the source directory that make check names. */
static void
read_example(struct buf *out)
{
	const char *dir = getenv("srcdir");
	char *path = mem_printf("%s/conf-examples/eodata-proxy.conf", dir == NULL ? "." : dir);
	struct err e = ERR_NONE;

	if (fd_read_file(path, out, &e) < 0)
		fprintf(stderr, "%s\n", e.text);
	CU_ASSERT_FATAL(out->len > 0);
	free(path);
}

/* The node of the first member that a row has in the text, 0 when there is none. */
static size_t
node_of_row(const struct scan *s, const struct param *p, const struct param *row)
{
	char *pattern = row == NULL ? mem_strdup(p->path) :
	    (row->flags & PARAM_ITSELF) != 0 ? mem_printf("%s.*", p->path) :
	    p->type == PARAM_ROWS ? mem_printf("%s[[]*].%s", p->path, row->path) : mem_printf("%s.*.%s", p->path, row->path);
	struct buf path = BUF_INIT(4096);
	size_t found = 0;

	for (size_t i = 1; i < s->n && found == 0; i++) {
		buf_clear(&path);
		scan_path(s, i, &path);
		if (text_glob(pattern, buf_str(&path)))
			found = i;
	}
	if (found == 0)
		fprintf(stderr, "the example lacks %s\n", pattern);
	buf_release(&path);
	free(pattern);
	return found;
}

static struct buf example_text = BUF_INIT(TOLD_MAX);
static struct scan example_scan;

static void
is_in_the_example(const struct param *p, const struct param *row)
{
	size_t node = node_of_row(&example_scan, p, row);
	const char *line = buf_str(&example_text), *before = line;

	CU_ASSERT_FATAL(node != 0);
	if (row != NULL && (row->flags & PARAM_ITSELF) != 0)
		return;		/* the comment is before the map */
	for (unsigned i = 1; i < example_scan.node[node].line; i++) {
		before = line;
		line = strchr(line, '\n') + 1;
	}
	before += strspn(before, "\t ");
	if (strncmp(before, "//", 2) != 0)
		fprintf(stderr, "no comment before %s%s%s\n", p->path, row == NULL ? "" : " ", row == NULL ? "" : row->path);
	CU_ASSERT_TRUE(strncmp(before, "//", 2) == 0);
}

static void
the_example_explains_every_row_of_the_table(void)
{
	struct err e = ERR_NONE;

	read_example(&example_text);
	CU_ASSERT_FATAL(scan_json(&example_scan, buf_str(&example_text), example_text.len, CONFIG_VALUES_MAX, &e) == 0);
	each_row(is_in_the_example);
	scan_release(&example_scan);
	buf_release(&example_text);
}

static void
the_example_is_taken_and_shows_defaults(void)
{
	/* what a site must write for itself */
	static const char *const shown[] = { "stac.item_url", "identity.groups", "quotas", "datasets", "rules", "cache.retentions",
		"front.public_urls", "front.site_id", "backends" };
	struct buf text = BUF_INIT(TOLD_MAX), told = BUF_INIT(TOLD_MAX), a = BUF_INIT(TOLD_MAX), b = BUF_INIT(TOLD_MAX);
	struct config *c, *plain = parsed("{}");
	bool may_differ;

	read_example(&text);
	c = config_parse("example", buf_str(&text), text.len, true, &told);
	CHECK_STR(buf_str(&told), "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	for (size_t i = 0; i < config_params_n; i++) {
		may_differ = false;
		for (size_t j = 0; j < ARRAY_LEN(shown); j++)
			may_differ = may_differ || strcmp(shown[j], config_params[i].path) == 0;
		if (may_differ)
			continue;
		buf_clear(&a);
		buf_clear(&b);
		dump_value(c, &config_params[i], c, &a);
		dump_value(plain, &config_params[i], plain, &b);
		CHECK_STR(buf_str(&a), buf_str(&b));
	}
	config_free(c);
	config_free(plain);
	buf_release(&text);
	buf_release(&told);
	buf_release(&a);
	buf_release(&b);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(an_empty_object_has_every_default),
		UNIT(the_shape_of_the_design_is_taken),
		UNIT(all_faults_are_told_with_path_and_line),
		UNIT(a_name_that_is_near_is_offered),
		UNIT(duplicates_are_told_wherever_they_stand),
		UNIT(every_row_refuses_values_of_other_types),
		UNIT(every_number_has_a_range),
		UNIT(limits_need_sense),
		UNIT(rules_must_say_whom_and_what),
		UNIT(what_refers_to_something_must_find_it),
		UNIT(the_front_must_fit),
		UNIT(an_identity_never_comes_from_what_clients_fill),
		UNIT(the_item_url_is_a_template),
		UNIT(addresses_and_paths_are_checked),
		UNIT(the_bounds_of_other_rooms_are_ours),
		UNIT(lists_have_a_length),
		UNIT(strings_have_a_length),
		UNIT(a_text_over_10_mib_is_refused),
		UNIT(a_flood_of_faults_is_cut),
		UNIT(a_secret_with_a_loose_mode_is_refused),
		UNIT(headers_are_read_line_by_line),
		UNIT(a_broken_headers_file_is_refused_and_never_told),
		UNIT(what_is_no_file_is_no_secret),
		UNIT(an_eodag_file_that_is_not_there_yet_is_fine),
		UNIT(a_file_is_loaded_and_a_missing_one_is_told),
		UNIT(a_dump_is_a_configuration_again),
		UNIT(a_dump_names_every_row_and_no_secret),
		UNIT(children_get_what_the_master_has),
		UNIT(nobody_changes_what_is_sealed),
		UNIT(the_sealed_member_is_not_for_files),
		UNIT(a_broken_memfd_is_an_error),
		UNIT(the_largest_configuration_passes_the_memfd),
		UNIT(a_reload_tells_what_it_does_not_take),
		UNIT(the_first_dataset_that_matches_applies),
		UNIT(a_backend_has_its_limits_or_the_defaults),
		UNIT(the_manual_names_every_row_and_section),
		UNIT(the_example_explains_every_row_of_the_table),
		UNIT(the_example_is_taken_and_shows_defaults),
	};

	return unit_run("config", t, ARRAY_LEN(t));
}
