/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of objects, and leases, on a real memcached, for
 * test_memory.py:
 *
 *	memory_probe TIMEOUT_MS SECRET STORE SERVER...
 *
 * reads lines, answers each with one; the milliseconds that it took are its last word:
 *
 *	look KEY...		-> "present:LENGTH:ETAG:STORE_ETAG", "absent" or "unknown" for each
 *	keep KEY TTL LENGTH ETAG_BYTES	-> "ok" or "no"
 *	absent KEY TTL		-> "ok" or "no"
 *	forget KEY		-> "ok" or "no"
 *	counts			-> "present N absent N unknown N forged N away N"
 *	name KIND KEY		-> the name; KIND is o or l
 *	take KEY OWNER TTL, renew, release	-> "held", "others" or "away"
 *	held			-> "yes" or "no": of the last lease
 *	hurry			-> "ok": late answers are bounded from now on
 *	sleep MS		move the clock on
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/lease.h"
#include "cache/memory.h"

static struct mc *mc;
static struct seal *seal;
static struct memory *memory;
static struct lease lease;

static const char *const lease_words[] = { "held", "others", "away" };

static void
look(char *rest)
{
	const char *keys[MEMORY_KEYS_MAX];
	struct memory_entry e[MEMORY_KEYS_MAX];
	char *save = NULL, *word;
	size_t n = 0;

	for (word = strtok_r(rest, " \n", &save); word != NULL && n < MEMORY_KEYS_MAX; word = strtok_r(NULL, " \n", &save))
		keys[n++] = word;
	memory_look(memory, keys, n, e);
	for (size_t i = 0; i < n; i++) {
		if (e[i].state == MEMORY_PRESENT)
			printf("present:%llu:%s:%s ", (unsigned long long)e[i].meta.length, e[i].meta.etag, e[i].store_etag);
		else
			printf("%s ", e[i].state == MEMORY_ABSENT ? "absent" : "unknown");
		memory_entry_release(&e[i]);
	}
}

static void
keep(const char *key, unsigned ttl_s, unsigned long long length, unsigned etag_bytes)
{
	struct memory_entry e = { .state = length == 0 ? MEMORY_ABSENT : MEMORY_PRESENT,
		.until_s = clock_wall_ms() / 1000 + ttl_s, .meta = { .length = length, .last_modified = -1, .source_time = 1 } };

	if (e.state == MEMORY_PRESENT) {
		e.meta.etag = mem_printf("\"%0*d\"", (int)etag_bytes, 0);
		e.store_etag = mem_printf("\"s3-%llu\"", length);
		e.meta.media_type = mem_strdup("image/tiff");
	}
	fputs(memory_keep(memory, key, &e) == 0 ? "ok " : "no ", stdout);
	memory_entry_release(&e);
}

static void
obey(char *line)
{
	char key[4096], owner[80], kind, name[SEAL_NAME_SIZE];
	unsigned ttl_s, bytes;
	unsigned long long length;
	const struct memory_counts *c = memory_counts(memory);

	if (strncmp(line, "look ", 5) == 0)
		look(line + 5);
	else if (sscanf(line, "keep %4095s %u %llu %u", key, &ttl_s, &length, &bytes) == 4)
		keep(key, ttl_s, length, bytes);
	else if (sscanf(line, "absent %4095s %u", key, &ttl_s) == 2)
		keep(key, ttl_s, 0, 0);
	else if (sscanf(line, "forget %4095s", key) == 1)
		fputs(memory_forget(memory, key) == 0 ? "ok " : "no ", stdout);
	else if (strcmp(line, "counts\n") == 0)
		printf("present %llu absent %llu unknown %llu forged %llu away %llu ", (unsigned long long)c->present,
		    (unsigned long long)c->absent, (unsigned long long)c->unknown, (unsigned long long)c->forged,
		    (unsigned long long)c->away);
	else if (sscanf(line, "name %c %4095s", &kind, key) == 2)
		seal_name(seal, kind == 'o' ? SEAL_OBJECT : SEAL_LEASE, key, name), printf("%s ", name);
	else if (sscanf(line, "take %4095s %64s %u", key, owner, &ttl_s) == 3)
		printf("%s ", lease_words[lease_take(mc, seal, key, owner, ttl_s, &lease)]);
	else if (strcmp(line, "renew\n") == 0)
		printf("%s ", lease_words[lease_renew(mc, seal, &lease)]);
	else if (strcmp(line, "release\n") == 0)
		printf("%s ", lease_words[lease_release(mc, &lease)]);
	else if (strcmp(line, "held\n") == 0)
		fputs(lease_is_held(&lease) ? "yes " : "no ", stdout);
	else if (strcmp(line, "hurry\n") == 0)
		mc_hurry(mc), fputs("ok ", stdout);
	else if (sscanf(line, "sleep %u", &ttl_s) == 1)
		clock_shift_ms(ttl_s);
	else
		fputs("what? ", stdout);
}

int
main(int argc, char **argv)
{
	char line[65536];
	int64_t start_us;
	struct err e = ERR_NONE;

	if (argc < 5)
		return 2;
	mc = mc_new(&(struct strs){ argv + 4, (size_t)argc - 4 }, (uint32_t)strtoul(argv[1], NULL, 10), &e);
	if (mc == NULL) {
		printf("none: %s\n", e.text);
		return 1;
	}
	seal = seal_new(argv[2], argv[3]);
	memory = memory_new(mc, seal);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		start_us = clock_mono_us();
		obey(line);
		printf("ms=%.3f\n", (double)(clock_mono_us() - start_us) / 1000);
		fflush(stdout);
	}
	memory_free(memory);
	seal_free(seal);
	mc_free(mc);
	return 0;
}
