/* SPDX-License-Identifier: Apache-2.0
 *
 * config/config.h: what is taken is the same configuration again when it is
 * written out and read anew, also as children read it; what is not taken has
 * its faults told.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "config/params.h"

enum { OUT_MAX = 64 << 20 };

static void
check_again(const struct config *c, bool sealed)
{
	struct buf out = BUF_INIT(OUT_MAX), again = BUF_INIT(OUT_MAX), told = BUF_INIT(64 * 1024);
	struct faults f = { .out = &told };
	struct config *copy;

	dump_write(c, sealed, &out);
	MUST(buf_ok(&out));
	copy = params_parse(out.data, out.len, sealed, &f);
	MUST(copy != NULL && f.n == 0);
	dump_write(copy, sealed, &again);
	MUST(out.len == again.len && memcmp(out.data, again.data, out.len) == 0);
	config_free(copy);
	buf_release(&out);
	buf_release(&again);
	buf_release(&told);
}

static void
check_sense(const struct config *c)
{
	MUST(c->base_path[0] == '/' && strncmp(c->user_param, "HTTP_", 5) != 0);
	MUST(c->workers >= 1 && c->workers <= CONFIG_WORKERS_MAX && c->movers >= 1 &&
	     c->movers <= CONFIG_MOVERS_MAX);
	MUST(c->answer_deadline_ms < c->front_timeout_ms);
	MUST(config_backend(c, "x") != NULL);
	for (size_t i = 0; i < c->n_rules; i++) {
		MUST(c->rules[i].name != NULL && c->rules[i].n_quotas <= RULE_QUOTAS_MAX);
		for (size_t j = 0; j < c->rules[i].n_quotas; j++)
			MUST(c->rules[i].quota[j] < c->n_quotas);
	}
	for (size_t i = 0; i < c->n_datasets; i++)
		MUST(config_retention(c, c->datasets[i].retention) != NULL);
	for (size_t i = 0; i < c->n_retentions; i++)
		MUST(c->retentions[i].days <= RETENTION_DAYS_MAX);
	MUST(c->s3_endpoint[0] == '\0' || c->s3_bucket[0] != '\0');
	(void)config_dataset(c, "a", "b", "c"); /* only that it ends */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf told = BUF_INIT(64 * 1024);
	struct config *c = config_parse("fuzz", (const char *)data, n, false, &told);
	struct faults f = { .out = &told };

	MUST((c == NULL) == (told.len > 0));
	if (c != NULL) {
		check_sense(c);
		check_again(c, false);
		check_again(c, true);
	}
	config_free(c);
	buf_clear(&told);
	c = params_parse((const char *)data, n, true, &f);
	MUST((c != NULL && f.n == 0) || told.len > 0);
	config_free(c);
	buf_release(&told);
	return 0;
}
