/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: what the parser takes and refuses.
 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "config_help.h"
#include "ipc/fds.h"
#include "stat/scoreboard.h"

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
	CHECK_STR(c->s3_endpoint, "");
	CHECK_STR(c->s3_region, "us-east-1");
	CHECK_INT(c->s3_addressing, S3_ADDRESSING_PATH);
	CHECK_STR(c->s3_profile, "default");
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

static void
the_shape_of_the_design_is_taken(void)
{
	struct config *c = parsed(DESIGN_TEXT);
	const struct quota_set *q;

	CHECK_STR(
	    c->stac_item_url, "https://stac.example.org/collections/{collection}/items/{item}");
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
	CHECK_INT(c->n_retentions, 2);
	CHECK_INT(config_retention(c, "30d")->days, 30);
	CHECK_INT(config_retention(c, "keep")->days, 0);
	CHECK(config_retention(c, "7d") == NULL);
	CHECK_STR(c->site_id, "data.example.org");
	/* the default is there even when it is not given */
	CHECK_INT(config_backend(c, "peps")->slots, 4);
	config_free(c);
}

/* ---- faults --------------------------------------------------------------------- */

static void
h7_all_faults_are_told_with_path_and_line(void)
{
	CHECK_STR(faults_of("{\n\"rules\": [\n{ \"who\": \"anyone\", \"allow\": true },\n"
			    "{ \"users\": [\"a\"],\n\"allow\": true,\n\"delivery\": \"x\" } ],\n"
			    "\"eodag\": { \"timout\": \"40s\",\n\"resolvers\": \"8\" }, /* \n\n */ "
			    "\"xyz\": 1, \"pool\": 3 }"),
	    "eodag.timout: unknown member, did you mean 'timeout'? (line 7)\n"
	    "xyz: unknown member (line 10)\n"
	    "pool: wrong type, want an object (line 10)\n"
	    "eodag.resolvers: wrong type, want a whole number (line 8)\n"
	    "rules[1].delivery: unknown value 'x', one of stream, redirect, auto (line 6)\n");
}

static void
a_fault_of_the_syntax_names_the_file(void)
{
	CHECK_STR(faults_of("{\n\"a\": 1,\n}"), "test: line 3, column 1: a comma too many\n");
}

static void
a_name_that_is_near_is_offered(void)
{
	check_fault("{\"rule\": []}", "did you mean 'rules'?");
	check_fault("{\"Front\": {}}", "did you mean 'front'?");
	check_fault("{\"front\": {\"public_url\": []}}",
	    "front.public_url: unknown member, did you mean 'public_urls'?");
	check_fault("{\"rules\": [{\"collection\": [], \"who\": \"anyone\", \"allow\": true}]}",
	    "rules[0].collection: unknown member, did you mean 'collections'?");
	check_fault("{\"identity\": {\"zzzzzz\": 1}}", "identity.zzzzzz: unknown member (line");
	/* a member of another section is no member of this one */
	check_fault("{\"pool\": {\"timeout\": \"1s\"}}", "pool.timeout: unknown member");
	check_fault("{\"timeout\": \"1s\"}", "timeout: unknown member");
	check_fault("{\"eodag.timeout\": \"1s\"}", "eodag.timeout: unknown member");
}

static void
h7_duplicates_are_told_wherever_they_stand(void)
{
	check_fault(
	    "{\"pool\": {\"workers\": 2,\n\"workers\": 3}}", "pool.workers: given twice (line 2)");
	check_fault("{\"pool\": {},\n\"pool\": {}}", "pool: given twice (line 2)");
	check_fault("{\"rules\": [{\"who\":\"anyone\",\"allow\": false, \"allow\": true}]}",
	    "rules[0].allow: given twice");
	check_fault("{\"quotas\": {\"a\": {\"requests\":[\"1 per day\"]}, \"a\": "
		    "{\"requests\":[\"9 per day\"]}}}",
	    "quotas.a: given twice");
	check_fault("{\"identity\": {\"groups\": {\"g\": [], \"g\": [\"mallory\"]}}}",
	    "identity.groups.g: given twice");
	CHECK_STR(
	    faults_of("{\"identity\": {\"groups\": {\"g\": [\"a\", \"a\"], \"G\": []}}}"), "");
}

/* One member of the table with a value, in the least text around it. */
static char *
with_value(const struct param *p, const struct param *row, const char *value)
{
	const char *start = p->path + strlen(p->path), *end;
	char *inner, *whole;

	if (row == NULL)
		inner = mem_strdup(value);
	else if (p->type == PARAM_ROWS)
		inner = mem_printf("[{\"%s\": %s}]", row->path, value);
	else if ((row->flags & PARAM_ITSELF) != 0)
		inner = mem_printf("{\"x\": %s}", value);
	else
		inner = mem_printf("{\"x\": {\"%s\": %s}}", row->path, value);
	while (start > p->path) {
		end = start;
		while (start > p->path && start[-1] != '.')
			start--;
		whole = mem_printf("{\"%.*s\": %s}", (int)(end - start), start, inner);
		free(inner);
		inner = whole;
		start -= start > p->path ? 1 : 0;
	}
	return inner;
}

static char *
path_of(const struct param *p, const struct param *row)
{
	if (row == NULL)
		return mem_strdup(p->path);
	if (p->type == PARAM_ROWS)
		return mem_printf("%s[0].%s", p->path, row->path);
	return mem_printf(
	    "%s.x%s%s", p->path, (row->flags & PARAM_ITSELF) != 0 ? "" : ".", row->path);
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
h7_every_row_refuses_values_of_other_types(void)
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
		uint64_t n = i == 0   ? self->min - 1
			     : i == 1 ? self->min
			     : i == 2 ? self->max
				      : self->max + 1;

		if ((i == 0 && self->min == 0) || (i == 3 && self->max >= INT64_MAX))
			continue;
		(void)snprintf(value, sizeof(value), "%s%" PRIu64 "%s%s",
		    unit[0] == '\0' ? "" : "\"", n, unit, unit[0] == '\0' ? "" : "\"");
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
	check_fault(
	    "{\"pool\": {\"workers\": 99999999999999999999999}}", "pool.workers: out of range");
	check_fault("{\"pool\": {\"workers\": 4294967297}}", "pool.workers: out of range");
	check_fault("{\"pool\": {\"workers\": 8.0}}", "pool.workers: wrong type");
}

static void
limits_need_sense(void)
{
	check_fault("{\"quotas\":{\"a\":{}}}", "quotas.a: limits nothing");
	check_fault("{\"quotas\":{\"a\":{\"requests\":[\"1 TB per day\"]}}}",
	    "quotas.a.requests[0]: '1\\x20TB\\x20per\\x20day' is not a limit");
	check_fault("{\"quotas\":{\"a\":{\"bytes\":[\"20 per day\"]}}}", "quotas.a.bytes[0]:");
	check_fault(
	    "{\"quotas\":{\"a\":{\"bytes\":\"20 B per day\"}}}", "quotas.a.bytes: wrong type");
	check_fault(
	    "{\"quotas\":{\"a\":{\"misses\":[\"1 per day\",\"2 per hour\",\"3 per day\"]}}}",
	    "quotas.a.misses[2]: a second limit for the same window");
	check_fault(
	    "{\"quotas\":{\"a b\":{\"misses\":[\"1 per day\"]}}}", "the name of a set has letters");
	check_fault("{\"quotas\":{\"\":{\"misses\":[\"1 per day\"]}}}",
	    "the name of a set has 1 to 64 bytes");
	CHECK_STR(faults_of("{\"quotas\":{\"a\":{"
			    "\"requests\":[\"1 per second\",\"1 per minute\",\"1 per hour\",\"1 "
			    "per day\",\"1 per month\"],"
			    "\"misses\":[\"1 per second\",\"1 per minute\",\"1 per hour\",\"1 per "
			    "day\",\"1 per month\"],"
			    "\"bytes\":[\"1 B per second\",\"1 B per minute\",\"1 B per hour\",\"1 "
			    "B per day\",\"1 B per month\"],"
			    "\"upstream_bytes\":[\"1 B per second\",\"1 B per minute\",\"1 B per "
			    "hour\",\"1 B per day\",\"1 B per month\"]"
			    "}}}"),
	    "");
}

/* A rule that forbids "get" would forbid nobody anything: methods are upper-case. */
static void
h7_patterns_of_methods_match_one(void)
{
	static const char *const bad[] = { "get", "Get", "POST", "GET ", "GET,HEAD", "G" },
				 *const good[] = { "GET", "HEAD", "OPTIONS", "*", "?E*", "[GH]E*" };
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text = mem_printf("{\"rules\":[{\"who\":\"anyone\",\"methods\":[\"HEAD\",\"%s\"],\"allow\":false}]}", bad[i]);
		check_fault(text, "rules[0].methods[1]: there is no such method; there are GET, HEAD and OPTIONS");
		free(text);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		text = mem_printf("{\"rules\":[{\"who\":\"anyone\",\"methods\":[\"%s\"],\"allow\":false}]}", good[i]);
		CHECK_STR(faults_of(text), "");
		free(text);
	}
}

static void
h7_rules_must_say_whom_and_what(void)
{
	check_fault("{\"rules\":[{\"allow\":true}]}", "rules[0]: matches nobody");
	check_fault("{\"rules\":[{\"who\":\"anyone\"}]}", "rules[0].allow: must be given");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"users\":[\"a\"],\"allow\":true}]}",
	    "rules[0]: who and users, groups or scopes");
	check_fault("{\"rules\":[{\"users\":[\"\"],\"allow\":true}]}",
	    "rules[0].users[0]: must not be empty");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"quotas\":[\"no\"]}]}",
	    "rules[0].quotas[0]: no such member of quotas: 'no'");
	check_fault(
	    "{\"quotas\":{\"q\":{\"misses\":[\"1 per "
	    "day\"]}},\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"quotas\":[\"q\",\"q\"]}]}",
	    "rules[0].quotas[1]: named twice");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"routes\":[\"-/"
		    "status\"],\"items\":[\"x\"]}]}",
	    "rules[0]: routes and backends, collections, items or assets");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"routes\":[\"/status\"]}]}",
	    "rules[0].routes[0]: a route begins with '-/'");
	check_fault(
	    "{\"rules\":[{\"who\":\"anyone\",\"allow\":true},{\"users\":[\"a\"],\"allow\":false}]}",
	    "rules[1]: is never reached: 'rules[0]' matches everything");
	check_fault("{\"rules\":[{\"who\":\"authenticated\",\"allow\":true},"
		    "{\"users\":[\"mallory\"],\"items\":[\"x\"],\"allow\":false}]}",
	    "rules[1]: is never reached: 'rules[0]' matches everything of those who are logged in");
	check_fault("{\"rules\":[{\"who\":\"authenticated\",\"allow\":true},"
		    "{\"who\":\"authenticated\",\"backends\":[\"x\"],\"allow\":false}]}",
	    "rules[1]: is never reached: 'rules[0]' matches everything of those who are logged in");
	CHECK_STR(faults_of("{\"rules\":[{\"who\":\"authenticated\",\"allow\":true},"
			    "{\"who\":\"anyone\",\"collections\":[\"open\"],\"allow\":true},"
			    "{\"users\":[\"a\"],\"routes\":[\"-/status\"],\"allow\":true}]}"),
	    "");
	CHECK_STR(faults_of("{\"rules\":[{\"who\":\"authenticated\",\"methods\":[\"GET\"],\"allow\":true},"
			    "{\"users\":[\"a\"],\"allow\":false}]}"),
	    "");
	check_fault("{\"rules\":[{\"name\":\"n\",\"users\":[\"a\"],\"allow\":true},{\"name\":\"n\","
		    "\"users\":[\"b\"],\"allow\":true}]}",
	    "rules[1].name: is the name of rules[0], too");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":\"yes\"}]}",
	    "rules[0].allow: wrong type, want true or false");
	check_fault("{\"rules\":[{\"who\":\"anyone\",\"allow\":1}]}",
	    "rules[0].allow: wrong type, want true or false");
	check_fault("{\"rules\":[\"anyone\"]}", "rules[0]: wrong type, want an object");
	check_fault("{\"rules\":{\"0\":{}}}", "rules: wrong type, want a list of objects");
	/* a rule for routes is not reached by data, nor the other way round */
	CHECK_STR(faults_of("{\"rules\":[{\"who\":\"anyone\",\"allow\":true},{\"users\":[\"a\"],"
			    "\"routes\":[\"*\"],\"allow\":true}]}"),
	    "");
}

static void
what_refers_to_something_must_find_it(void)
{
	check_fault(
	    "{\"datasets\":[{\"collections\":[\"S2\"]}]}", "datasets[0].retention: must be given");
	check_fault("{\"datasets\":[{\"retention\":\"30d\"}]}",
	    "datasets[0].retention: no such member of cache.retentions: '30d'");
	check_fault("{\"cache\":{\"retentions\":{\"1d\":{},\"keep\":{}}},\"datasets\":[{\"backends\":[\"a\"],\"retention\":\"1d\"},"
		    "{\"retention\":\"1d\"},{\"collections\":[\"S2\"],\"retention\":\"keep\"}]}",
	    "datasets[2]: is never reached: datasets[1] matches everything");
	check_fault("{\"datasets\":[{\"retention\":\"30d\",\"cache_control\":\"public\\r\\nX: "
		    "y\"}],\"cache\":{\"retentions\":{\"30d\":{}}}}",
	    "datasets[0].cache_control: a control byte");
	check_fault("{\"datasets\":[{\"retention\":\"30d\",\"cache_control\":\"pub;lic\"}],"
		    "\"cache\":{\"retentions\":{\"30d\":{}}}}",
	    "datasets[0].cache_control: is not a Cache-Control value");
	check_fault("{\"cache\":{\"retentions\":{\"../x\":{}}}}", "the name of a retention has letters");
	check_fault("{\"cache\":{\"retentions\":{\"..\":{}}}}", "the name of a retention has letters");
	check_fault("{\"cache\":{\"retentions\":{\"30d\":{\"days\":30}}}}",
	    "cache.retentions.30d.days: unknown member");
	check_fault("{\"cache\":{\"retentions\":{\"spool\":{}}}}",
	    "dirs.spool: is the directory of the retention 'spool'");
	check_fault(
	    "{\"cache\":{\"store\":\"s3\"}}", "cache.s3.endpoint: must be given: cache.store is \"s3\"");
}

static void
a_lifetime_is_given_or_the_names(void)
{
	struct config *c = parsed("{\"cache\":{\"retentions\":{\"7d\":{},\"2w\":{},\"1y\":{},\"keep\":{},\"0d\":{},"
				  "\"30days\":{},\"40000d\":{},\"a\":{\"lifetime\":\"90d\"},"
				  "\"1d\":{\"lifetime\":\"never\"},\"3d\":{\"lifetime\":\"\"}}}}");

	CHECK_INT(config_retention(c, "7d")->days, 7);
	CHECK_INT(config_retention(c, "2w")->days, 14);
	CHECK_INT(config_retention(c, "1y")->days, 365);
	CHECK_INT(config_retention(c, "keep")->days, 0);
	CHECK_INT(config_retention(c, "0d")->days, 0);
	CHECK_INT(config_retention(c, "30days")->days, 0);
	CHECK_INT(config_retention(c, "40000d")->days, 0);
	CHECK_INT(config_retention(c, "a")->days, 90);
	CHECK_INT(config_retention(c, "1d")->days, 0);
	CHECK_INT(config_retention(c, "3d")->days, 3);
	config_free(c);
	check_fault("{\"cache\":{\"retentions\":{\"a\":{\"lifetime\":\"0d\"}}}}",
	    "cache.retentions.a.lifetime: '0d' is not a lifetime such as \"30d\"");
	check_fault("{\"cache\":{\"retentions\":{\"a\":{\"lifetime\":\"36501d\"}}}}", "of at most 36500 days");
	check_fault("{\"cache\":{\"retentions\":{\"a\":{\"lifetime\":\"12h\"}}}}", "'12h' is not a lifetime");
	check_fault("{\"cache\":{\"retentions\":{\"a\":{\"lifetime\":30}}}}",
	    "cache.retentions.a.lifetime: wrong type, want a lifetime");
}

static void
the_place_of_the_bucket_is_checked(void)
{
	static const char good[] = "\"endpoint\": \"https://s3.example.org\", \"bucket\": \"eo-data\"";
	static const struct {
		const char *s3, *want;
	} bad[] = {
		{ "\"bucket\": \"eo-data\"", "cache.s3.endpoint: must be given where there is a bucket" },
		{ "\"endpoint\": \"https://h\"", "cache.s3: the bucket's name has not 3 to 63 bytes" },
		{ "\"endpoint\": \"s3.example.org\"", "cache.s3: the endpoint begins with neither https:// nor http://" },
		{ "\"endpoint\": \"https://u:p@h\"", "cache.s3: the endpoint's host or port is none" },
		{ "\"endpoint\": \"https://h/x\"", "cache.s3: the endpoint has a path" },
		{ "\"endpoint\": \"https://h?x\"", "cache.s3: the endpoint's host or port is none" },
		{ "\"endpoint\": \"https://h:0\"", "cache.s3: the endpoint's host or port is none" },
		{ "\"endpoint\": \"https://h:65536\"", "cache.s3: the endpoint's host or port is none" },
		{ "\"endpoint\": \"https://h:\"", "cache.s3: the endpoint's host or port is none" },
		{ "\"endpoint\": \"https://h\", \"bucket\": \"EO-data\"", "cache.s3: the bucket's name holds something else" },
		{ "\"endpoint\": \"https://h\", \"bucket\": \"eo/data\"", "cache.s3: the bucket's name holds something else" },
		{ "\"endpoint\": \"https://h\", \"bucket\": \"-eo\"", "cache.s3: the bucket's name does not begin and end" },
		{ "\"endpoint\": \"https://h\", \"bucket\": \"eo.\"", "cache.s3: the bucket's name does not begin and end" },
		{ "\"endpoint\": \"https://h\", \"bucket\": \"e..o\"", "cache.s3: the bucket's name has two dots together" },
		{ "%s, \"region\": \"eu/1\"", "cache.s3: the region is empty, or holds something else" },
		{ "%s, \"region\": \"\"", "cache.s3.region: must not be empty" },
		{ "%s, \"prefix\": \"site-a\"", "cache.s3.prefix: must end with '/'" },
		{ "%s, \"prefix\": \"/\"", "cache.s3: the prefix begins with '/'" },
		{ "%s, \"prefix\": \"a/../\"", "cache.s3: the prefix has a segment '.' or '..'" },
		{ "%s, \"prefix\": \"a b/\"", "cache.s3.prefix: has letters" },
		{ "%s, \"credentials\": \"keys\"", "cache.s3.credentials: a path must begin with '/'" },
		{ "%s, \"addressing\": \"host\"", "cache.s3.addressing: unknown value 'host', one of path, virtual" },
		{ "\"endpoint\": \"http://10.0.0.1:80\", \"bucket\": \"abc\", \"addressing\": \"virtual\"",
		    "cache.s3: the addressing is 'virtual', but the endpoint is an address" },
		{ "\"endpoint\": \"http://[::1]\", \"bucket\": \"abc\", \"addressing\": \"virtual\"",
		    "cache.s3: the addressing is 'virtual', but the endpoint is an address" },
		{ "\"endpoint\": \"https://h\", \"bucket\": \"a.bc\", \"addressing\": \"virtual\"",
		    "cache.s3: the addressing is 'virtual' over https, but the bucket's name holds a dot" },
		{ "%s, \"buckets\": \"x\"", "cache.s3.buckets: unknown member, did you mean 'bucket'?" },
		{ "%s, \"endpoint\": \"https://h\"", "cache.s3.endpoint: given twice" },
	};
	static const char *const fine[] = { "%s", "\"region\": \"eu-1\"", "%s, \"addressing\": \"virtual\"",
		"%s, \"prefix\": \"A/b_c.d/\"", "\"endpoint\": \"http://[::1]:7480\", \"bucket\": \"a.b\"",
		"\"endpoint\": \"http://127.0.0.1:7480\", \"bucket\": \"0-1\"" };
	char *members, *text;

	for (size_t i = 0; i < ARRAY_LEN(bad) + ARRAY_LEN(fine); i++) {
		const char *s3 = i < ARRAY_LEN(bad) ? bad[i].s3 : fine[i - ARRAY_LEN(bad)];

		members = strncmp(s3, "%s", 2) == 0 ? mem_printf("%s%s", good, s3 + 2) : mem_strdup(s3);
		text = mem_printf("{\"cache\": {\"s3\": {%s}}}", members);
		if (i < ARRAY_LEN(bad))
			check_fault(text, bad[i].want);
		else
			CHECK_STR(faults_of(text), "");
		free(text);
		free(members);
	}
	check_fault("{\"cache\": {\"s3\": \"x\"}}", "cache.s3: wrong type, want an object (line 1)");
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
		{ "\"base_path\": \"/data/\"",
		    "front.base_path: has an empty segment, or ends with '/'" },
		{ "\"base_path\": \"/\"", "front.base_path: has an empty segment" },
		{ "\"base_path\": \"/a//b\"", "front.base_path: has an empty segment" },
		{ "\"base_path\": \"/a/../b\"", "front.base_path: has a segment '.' or '..'" },
		{ "\"base_path\": \"/a%2fb\"", "front.base_path: must not hold" },
		{ "\"base_path\": \"\"", "front.base_path: must not be empty" },
		{ "\"internal_prefix\": \"\"",
		    "front.internal_prefix: must begin and end with '/'" },
		{ "\"internal_prefix\": \"/x\"", "front.internal_prefix: must begin and end" },
		{ "\"internal_prefix\": \"x/\"", "front.internal_prefix: must begin and end" },
		{ "\"internal_prefix\": \"/\"", "front.internal_prefix: must begin and end" },
		{ "\"internal_prefix\": \"/data/x/\"",
		    "front.internal_prefix: must not be below base_path" },
		{ "\"internal_prefix\": \"/data/\"",
		    "front.internal_prefix: must not be below base_path" },
		{ "\"server\": \"apache\"", "front.hits: 'x-accel' is nginx's" },
		{ "\"server\": \"lighttpd\"", "front.hits: 'x-accel' is nginx's" },
		{ "\"hits\": \"x-sendfile\"", "front.hits: nginx has no 'x-sendfile'" },
		{ "\"server\": \"iis\"",
		    "front.server: unknown value 'iis', one of nginx, apache, lighttpd" },
		{ "\"public_urls\": [\"data.example.org\"]",
		    "front.public_urls[0]: must begin with https:// or http://" },
		{ "\"public_urls\": [\"ftp://a/\"]", "front.public_urls[0]: must begin" },
		{ "\"public_urls\": [\"https://a.example/\"]",
		    "front.public_urls[0]: must not end with '/'" },
		{ "\"public_urls\": [\"https://\"]", "front.public_urls[0]: the host" },
		{ "\"public_urls\": [\"https://u:p@a/x\"]", "front.public_urls[0]: the host" },
		{ "\"public_urls\": [\"https://a/x?y\"]",
		    "front.public_urls[0]: must not hold '?'" },
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
	CHECK_STR(faults_of("{\"front\": {\"server\": \"apache\", \"hits\": \"x-sendfile\", "
			    "\"internal_prefix\": \"\"}}"),
	    "");
	CHECK_STR(faults_of("{\"front\": {\"server\": \"lighttpd\", \"hits\": \"stream\"}}"), "");
	CHECK_STR(faults_of("{\"front\": {\"base_path\": \"/~lab/eo/data\", \"peers\": "
			    "[\"10.1.0.0/16\", \"::1\", \"www-data\", \"33\"]}}"),
	    "");
	CHECK_STR(faults_of("{\"front\": {\"public_urls\": [\"http://127.0.0.1:8080/data\", "
			    "\"https://[::1]:8443\"]}}"),
	    "");
}

static void
an_identity_never_comes_from_what_clients_fill(void)
{
	static const char *const bad[] = { "HTTP_X_FORWARDED_USER", "http_user", "HTTP_",
		"QUERY_STRING", "REQUEST_URI", "remote_addr", "REMOTE_USER", "EODATA_AGAIN", "A=B",
		"A B", "" };
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
	check_fault("{\"identity\": {\"groups_param\": \"EODATA_USER\"}}",
	    "identity.groups_param: is user_param");
	check_fault("{\"identity\": {\"groups_separator\": \", \"}}",
	    "identity.groups_separator: longer than 1 byte");
	CHECK_STR(faults_of("{\"front\":{\"server\":\"apache\",\"hits\":\"stream\"},\"identity\": "
			    "{\"user_param\": \"REMOTE_USER\"}}"),
	    "");
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
	CHECK_STR(faults_of("{\"stac\": {\"item_url\": "
			    "\"http://127.0.0.1:80/{backend}/c/{collection}?id={item}\"},"
			    "\"upstream\":{\"allow_http\":true}}"),
	    "");
}

static void
addresses_and_paths_are_checked(void)
{
	check_fault("{\"memcached\": [\"localhost\"]}",
	    "memcached[0]: is neither a socket's path nor HOST:PORT");
	check_fault("{\"memcached\": [\"localhost:0\"]}", "memcached[0]: is neither");
	check_fault("{\"memcached\": [\"localhost:65536\"]}", "memcached[0]: is neither");
	check_fault("{\"memcached\": [\"a b:11211\"]}", "memcached[0]: is neither");
	check_fault("{\"memcached\": [\"/a-path-that-is-one-byte-longer-than-a-socket-address-has-room-for-"
		    "01234567890123456789012345678901234567890\"]}", "memcached[0]: is too long for a socket's path");
	CHECK_STR(faults_of("{\"memcached\": [\"/a-path-that-is-one-byte-longer-than-a-socket-address-has-room-for-"
		    "0123456789012345678901234567890123456789\"]}"), "");
	check_fault("{\"memcached\": \"localhost:11211\"}",
	    "memcached: wrong type, want a list of strings");
	CHECK_STR(
	    faults_of("{\"memcached\": [\"/run/m.sock\", \"localhost:11211\", \"[::1]:11211\"]}"),
	    "");
	CHECK_STR(faults_of("{\"memcached\": []}"), "");
	check_fault("{\"memcached\": [], \"quotas\": {\"q\": {\"requests\": [\"1 per day\"]}}, "
		    "\"rules\": [{\"who\": \"anyone\", \"allow\": true, \"quotas\": [\"q\"]}]}",
	    "rules[0].quotas: cannot be counted: memcached names no server");
	check_fault("{\"upstream\": {\"allow_private\": [\"10.0.0.1/8\"]}}",
	    "upstream.allow_private[0]: is no address");
	check_fault("{\"upstream\": {\"allow_private\": [\"localhost\"]}}",
	    "upstream.allow_private[0]: is no address");
	CHECK_STR(faults_of("{\"upstream\": {\"allow_private\": [\"10.0.0.0/8\", \"::1\"]}}"), "");
	check_fault(
	    "{\"cache\": {\"path\": \"var/cache\"}}", "cache.path: a path must begin with '/'");
	check_fault("{\"cache\": {\"path\": \"\"}}", "cache.path: must not be empty");
	check_fault("{\"upstream\": {\"ca_file\": \"ca.pem\"}}",
	    "upstream.ca_file: a path must begin with '/'");
	check_fault(
	    "{\"spool\": {\"max\": \"1 GB\"}}", "spool.max_transfer: is more than spool.max");
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

static void
lists_have_a_length(void)
{
	static const struct {
		const char *start, *each, *end, *want;
		size_t n;
	} bad[] = {
		{ "{\"rules\":[", "{\"users\":[\"a\"],\"allow\":true}", "]}",
		    "rules: more than 2000 members", 2001 },
		{ "{\"datasets\":[", "{}", "]}", "datasets: more than 2000 members", 2001 },
		{ "{\"identity\":{\"groups\":{\"g\":[", "\"a\"", "]}}}",
		    "identity.groups.g: more than 10000 members", 10001 },
		{ "{\"identity\":{\"groups\":{\"g\":[", "\"a\"", "]}}}",
		    "more values than a configuration can have", 300000 },
		{ "{\"memcached\":[", "\"/a\"", "]}", "memcached: more than 64 members", 65 },
		{ "{\"quotas\":{\"q\":{\"misses\":[", "\"1 per day\"", "]}}}",
		    "quotas.q.misses: more than 5 members", 6 },
		{ "{\"rules\":[{\"who\":\"anyone\",\"allow\":true,\"quotas\":[", "\"q\"", "]}]}",
		    "rules[0].quotas: more than 8 members", 9 },
	};
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text = long_text(bad[i].start, bad[i].each, bad[i].n, bad[i].end);
		check_fault(text, bad[i].want);
		free(text);
	}
}

static void
checks_name_the_line_of_the_member(void)
{
	CHECK_STR(faults_of("{\n\"cache\": {\n\"path\": \"/c\",\n\"s3\": {\n\"endpoint\": \"http://a\",\n"
			    "\"bucket\": \"bucket\",\n\"prefix\": \"a\" } },\n\"front\":\n{ \"base_path\": \"x\" } }"),
	    "front.base_path: must begin with '/' (line 9)\n"
	    "cache.s3.prefix: must end with '/' (line 7)\n");
	/* one that is not there: of what should hold it */
	CHECK_STR(faults_of("{\n\"cache\": {\n\"store\":\n\"s3\",\n\"s3\": {\n} } }"),
	    "cache.s3.endpoint: must be given: cache.store is \"s3\" (line 5)\n");
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
	check_fault(text, "front.site_id: longer than 260 bytes");
	free(text);
}

static void
h7_a_text_over_10_mib_is_refused(void)
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
	CHECK(strcmp(buf_str(&told), "test: longer than 10485760 bytes\n") == 0);
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

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(an_empty_object_has_every_default),
		UNIT(the_shape_of_the_design_is_taken),
		UNIT(h7_all_faults_are_told_with_path_and_line),
		UNIT(a_fault_of_the_syntax_names_the_file),
		UNIT(a_name_that_is_near_is_offered),
		UNIT(h7_duplicates_are_told_wherever_they_stand),
		UNIT(h7_every_row_refuses_values_of_other_types),
		UNIT(every_number_has_a_range),
		UNIT(limits_need_sense),
		UNIT(h7_patterns_of_methods_match_one),
		UNIT(h7_rules_must_say_whom_and_what),
		UNIT(what_refers_to_something_must_find_it),
		UNIT(a_lifetime_is_given_or_the_names),
		UNIT(the_place_of_the_bucket_is_checked),
		UNIT(the_front_must_fit),
		UNIT(an_identity_never_comes_from_what_clients_fill),
		UNIT(the_item_url_is_a_template),
		UNIT(addresses_and_paths_are_checked),
		UNIT(the_bounds_of_other_rooms_are_ours),
		UNIT(lists_have_a_length),
		UNIT(checks_name_the_line_of_the_member),
		UNIT(strings_have_a_length),
		UNIT(h7_a_text_over_10_mib_is_refused),
		UNIT(a_flood_of_faults_is_cut),
	};

	return unit_run("config", t, ARRAY_LEN(t));
}
