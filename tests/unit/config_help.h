/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the configuration share.
 */
#ifndef TESTS_UNIT_CONFIG_HELP_H
#define TESTS_UNIT_CONFIG_HELP_H

#include "unit.h"

#include "config/params.h"

enum { TOLD_MAX = 1024 * 1024 };

/* Faults of a text, one per line; "" when it is taken.  Until the next call. */
static inline const char *
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
static inline struct config *
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

static inline void
check_fault(const char *text, const char *want)
{
	const char *got = faults_of(text);

	if (strstr(got, want) == NULL)
		fprintf(stderr, "of: %s\ngot: %s\nwant: %s\n", text, got, want);
	CU_ASSERT_TRUE(strstr(got, want) != NULL);
}

/* head, n times each, tail; each may hold one %zu. */
static inline char *
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

/* For every row of the table. */
static inline void
each_row(void (*visit)(const struct param *p, const struct param *row))
{
	for (size_t i = 0; i < config_params_n; i++) {
		visit(&config_params[i], NULL);
		for (size_t j = 0; config_params[i].rows != NULL && j < config_params[i].rows->n;
		     j++)
			visit(&config_params[i], &config_params[i].rows->param[j]);
	}
}

/* The shape that the design document gives. */
#define DESIGN_TEXT										\
	"{\n"											\
	"  \"stac\": {\n"									\
	"    \"item_url\": \"https://stac.example.org/collections/{collection}/items/{item}\",\n"	\
	"    \"headers_file\": \"\" },\n"							\
	"  \"eodag\": {\n"									\
	"    \"python\": \"\", \"config_file\": \"/etc/eodata-proxy/eodag.yml\",\n"		\
	"    \"resolvers\": 8, \"timeout\": \"40s\" },\n"					\
	"  \"identity\": {\n"									\
	"    \"user_param\": \"EODATA_USER\", \"groups_param\": \"EODATA_GROUPS\",\n"		\
	"    \"groups_separator\": \",\", \"groups\": { \"staff\": [\"alice\"] } },\n"		\
	"  \"memcached\": [ \"/run/memcached/memcached.sock\" ],\n"				\
	"  \"quotas\": {\n"									\
	"    \"standard\": { \"per\": \"user\", \"requests\": [\"20 per second\"],\n"		\
	"      \"bytes\": [\"1 TB per month\"], \"upstream_bytes\": [\"200 GB per day\"],\n"	\
	"      \"when_unavailable\": \"allow\" },\n"						\
	"    \"s2-pool\": { \"per\": \"group\", \"bytes\": [\"50 TB per month\"],\n"		\
	"      \"misses\": [\"5000 per day\"], \"when_unavailable\": \"refuse\" } },\n"		\
	"  \"datasets\": [ {\n"									\
	"    \"collections\": [\"S2_*\"], \"retention\": \"30d\", \"fill\": \"any-read\",\n"	\
	"    \"fill_after\": \"25 %\", \"max_size\": \"20 GB\", \"on_mismatch\": \"cut\" } ],\n"	\
	"  \"rules\": [ {\n"									\
	"    \"groups\": [\"s2-users\"], \"collections\": [\"S2_*\"], \"allow\": true,\n"	\
	"    \"delivery\": \"stream\", \"quotas\": [\"standard\", \"s2-pool\"] } ],\n"		\
	"  \"cache\": {\n"									\
	"    \"store\": \"directory\", \"path\": \"/var/cache/eodata-proxy\",\n"		\
	"    \"retentions\": { \"30d\": {}, \"keep\": {} } },\n"				\
	"  \"front\": {\n"									\
	"    \"server\": \"nginx\", \"base_path\": \"/data\", \"hits\": \"x-accel\",\n"		\
	"    \"internal_prefix\": \"/_eodata_cache/\",\n"					\
	"    \"public_urls\": [\"https://data.example.org/data\"], \"timeout\": \"60s\" },\n"	\
	"  \"dirs\": {\n"									\
	"    \"run\": \"/run/eodata-proxy\", \"state\": \"/var/lib/eodata-proxy\",\n"		\
	"    \"spool\": \"/var/cache/eodata-proxy/spool\" },\n"					\
	"  \"pool\": { \"workers\": 8, \"movers\": 1 }\n"					\
	"}\n"

#endif
