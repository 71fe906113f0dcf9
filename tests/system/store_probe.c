/* SPDX-License-Identifier: Apache-2.0
 *
 * The counters of lib/quota on a real memcached, for test_quota_memcached.py:
 *
 *	store_probe TIMEOUT_MS SERVER...
 *
 * reads lines, answers each with one:
 *
 *	run TTL OP...		OP is KEY+N, KEY-N or KEY=; -> "ok V..." or "away", then the milliseconds
 *	post TTL OP...		-> "ok" or "away", then the milliseconds
 *	race N KIND ADD LIMIT	fill up to one ADD below LIMIT, then N processes at once -> "admitted A refused R away B failed F free 0|1"
 *	epoch			begin one, as an accountant does -> "epoch HEX", or "away" or "others"
 *	look			-> "epoch HEX newest HEX taken 0|1 evicted N", or "away"
 *	sleep MS		move the clock on
 *	fork			a child uses the handle of its parent -> "ended by SIGNAL"
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "quota/quota.h"

static struct strs servers;
static uint32_t timeout_ms;
static struct counters *store;

static int
parse_op(char *word, struct counter_op *op, uint32_t ttl_s)
{
	char *sign = strpbrk(word, "+-=");

	if (sign == NULL || sign - word >= COUNTER_KEY_SIZE)
		return -1;
	memset(op, 0, sizeof(*op));
	memcpy(op->key, word, (size_t)(sign - word));
	op->subtract = *sign == '-';
	op->add = *sign == '=' ? 0 : strtoull(sign + 1, NULL, 10);
	op->ttl_s = ttl_s;
	op->ret_value = 12345;	/* to be overwritten */
	return 0;
}

static void
ops_command(char *rest, bool wait)
{
	struct counter_op ops[COUNTERS_MAX];
	char *save = NULL, *word = strtok_r(rest, " \n", &save);
	uint32_t ttl_s = word == NULL ? 0 : (uint32_t)strtoul(word, NULL, 10);
	int64_t start_us;
	size_t n = 0;
	int r;

	for (word = strtok_r(NULL, " \n", &save); word != NULL && n < COUNTERS_MAX; word = strtok_r(NULL, " \n", &save)) {
		if (parse_op(word, &ops[n++], ttl_s) == -1) {
			puts("bad operation");
			return;
		}
	}
	start_us = clock_mono_us();
	r = wait ? store->run(store, ops, n) : store->post(store, ops, n);
	start_us = clock_mono_us() - start_us;
	fputs(r == 0 ? "ok" : "away", stdout);
	for (size_t i = 0; wait && r == 0 && i < n; i++)
		printf(" %llu", (unsigned long long)ops[i].ret_value);
	printf(" ms=%.3f\n", (double)start_us / 1000);
}

static enum quota_verdict
reserve_with(struct counters *s, const struct config *c, const struct charge *made, enum quota_kind kind, uint64_t add)
{
	uint64_t adds[QUOTA_KINDS] = { 0 };
	struct charge ch = *made;
	struct quota_answer a;

	adds[kind] = add;
	quota_reserve(s, c, &ch, adds, &a);
	return a.verdict;
}

/* One of the many: a handle of its own, made after fork; the closed pipe is the shot. */
static int
runner(const struct config *c, const struct charge *ch, enum quota_kind kind, uint64_t add, const int gate[2])
{
	struct counters *s = counters_memcached_new(&servers, timeout_ms, NULL);
	struct counter_op warm = { .key = "eo:warm" };
	char none;

	close(gate[1]);
	if (s == NULL || s->run(s, &warm, 1) == -1 || read(gate[0], &none, 1) != 0)
		return 9;
	return (int)reserve_with(s, c, ch, kind, add);
}

/* Can the last unit be had?  What the losers gave back may still be on its way. */
static bool
is_free(const struct config *c, const struct charge *ch, enum quota_kind kind, uint64_t add, bool wait_for_it)
{
	int64_t until_ms = clock_mono_ms() + (wait_for_it ? 5000 : 0);

	do {
		if (reserve_with(store, c, ch, kind, add) == QUOTA_OK)
			return true;
	} while (clock_mono_ms() < until_ms);
	return false;
}

static void
race(unsigned n, enum quota_kind kind, uint64_t add, uint64_t limit)
{
	struct quota_set set = { .name = mem_strdup("race"), .limit = { { kind, WINDOW_MONTH, limit } }, .n_limits = 1 };
	struct config c = { .quotas = &set, .n_quotas = 1 };
	struct rule rule = { .n_quotas = 1 };
	struct identity who = { .realm = "front" };
	struct charge ch;
	unsigned tally[10] = { 0 };
	int gate[2], status;

	text_random_hex(who.name, 16);
	charge_init(&ch, &c, &rule, &who, "", "race", clock_wall_ms());
	if (pipe(gate) == -1 || reserve_with(store, &c, &ch, kind, limit - add) != QUOTA_OK) {
		puts("cannot set up");
		return;
	}
	fflush(stdout);
	for (unsigned i = 0; i < n; i++) {
		if (fork() == 0)
			_exit(runner(&c, &ch, kind, add, gate));
	}
	close(gate[0]);
	usleep(300000);		/* so that most of them stand at the gate; the bound holds without */
	close(gate[1]);
	while (wait(&status) > 0)
		tally[WIFEXITED(status) && WEXITSTATUS(status) < 9 ? WEXITSTATUS(status) : 9]++;
	printf("admitted %u refused %u away %u failed %u free %d\n", tally[QUOTA_OK], tally[QUOTA_OVER],
	    tally[QUOTA_AWAY_ALLOW] + tally[QUOTA_AWAY_REFUSE], tally[9],
	    is_free(&c, &ch, kind, add, tally[QUOTA_OK] == 0));
	free(set.name);
}

static void
begin_epoch(void)
{
	struct counters *s = counters_memcached_new(&servers, timeout_ms, NULL);
	uint64_t epoch = (uint64_t)clock_wall_ms() * 1000;
	struct counters_look l;
	int r = counters_look(s, &l);

	if (r == 0 && epoch <= l.newest)
		epoch = l.newest + 1;
	if (r == 0)
		r = counters_take(s, epoch, &l);
	if (r == 0)
		r = counters_begin(s, epoch, &l);
	if (r == 0)
		printf("epoch %llx\n", (unsigned long long)epoch);
	else
		puts(r == 1 ? "others" : "away");
	s->free(s);
}

static void
look(void)
{
	struct counters *s = counters_memcached_new(&servers, timeout_ms, NULL);
	struct counters_look l;

	if (counters_look(s, &l) == 0)
		printf("epoch %llx newest %llx taken %d evicted %llu\n", (unsigned long long)l.epoch,
		    (unsigned long long)l.newest, l.taken, (unsigned long long)l.evicted);
	else
		puts("away");
	s->free(s);
}

static void
use_in_a_child(void)
{
	struct counter_op op = { .key = "eo:child", .add = 1, .ttl_s = 60 };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)!freopen("/dev/null", "w", stderr);
		_exit(store->run(store, &op, 1) == 0 ? 0 : 1);
	}
	(void)waitpid(pid, &status, 0);
	printf("ended by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int
main(int argc, char **argv)
{
	char line[65536], kind[32];
	unsigned long long add, limit;
	struct err e = ERR_NONE;
	unsigned n;

	if (argc < 3)
		return 2;
	timeout_ms = (uint32_t)strtoul(argv[1], NULL, 10);
	servers = (struct strs){ argv + 2, (size_t)argc - 2 };
	store = counters_memcached_new(&servers, timeout_ms, &e);
	if (store == NULL) {
		printf("none: %s\n", e.text);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strncmp(line, "run ", 4) == 0)
			ops_command(line + 4, true);
		else if (strncmp(line, "post ", 5) == 0)
			ops_command(line + 5, false);
		else if (sscanf(line, "sleep %u", &n) == 1)
			clock_shift_ms(n), puts("ok");
		else if (strcmp(line, "fork\n") == 0)
			use_in_a_child();
		else if (strcmp(line, "epoch\n") == 0)
			begin_epoch();
		else if (strcmp(line, "look\n") == 0)
			look();
		else if (sscanf(line, "race %u %31s %llu %llu", &n, kind, &add, &limit) == 4)
			race(n, strcmp(kind, "bytes") == 0 ? QUOTA_BYTES : QUOTA_REQUESTS, add, limit);
		else
			puts("what?");
		fflush(stdout);
	}
	store->free(store);
	return 0;
}
