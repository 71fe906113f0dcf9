/* SPDX-License-Identifier: Apache-2.0
 *
 * Feeds a fuzz target the files of its corpus, and each of them also cut at
 * every byte and with single bits flipped, from memory of exactly that size.
 * For `make check`, where no libFuzzer is.  Arguments are files or folders;
 * without any, it is corpus/NAME beside this file for a program fuzz_NAME.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"

enum { INPUT_MAX = 1 << 20, MUTATE_MAX = 2048, DIR_MAX = 10000 };

static size_t inputs, runs, taken;

static void
run(const char *data, size_t n)
{
	uint8_t *exact = malloc(n == 0 ? 1 : n);

	MUST(exact != NULL);
	if (n > 0)
		memcpy(exact, data, n);
	(void)LLVMFuzzerTestOneInput(exact, n);	/* always 0 */
	free(exact);
	runs++;
}

static void
run_file(const char *path)
{
	struct buf b = BUF_INIT(INPUT_MAX);
	struct err e;

	if (fd_read_file(path, &b, &e) == -1) {
		fprintf(stderr, "%s\n", e.text);
		exit(2);
	}
	inputs++;
#ifdef FUZZ_COUNTS
	fuzz_taken = 0;
#endif
	run(b.data, b.len);
#ifdef FUZZ_COUNTS
	taken += fuzz_taken;
#else
	taken++;
#endif
	for (size_t n = 0; n < b.len && n < MUTATE_MAX; n++)
		run(b.data, n);
	for (size_t bit = 0; bit < 8 * b.len && bit < 8 * MUTATE_MAX; bit++) {
		b.data[bit / 8] ^= (char)(1 << bit % 8);
		run(b.data, b.len);
		b.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	buf_release(&b);
}

static void
run_path(const char *path)
{
	struct stat st;
	struct dirent *entry;
	char *sub;
	DIR *dir;

	if (stat(path, &st) == -1) {
		fprintf(stderr, "cannot look at '%s': %s\n", path, strerror(errno));
		exit(2);
	}
	if (!S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	dir = opendir(path);
	MUST(dir != NULL);
	for (int i = 0; i < DIR_MAX; i++) {
		entry = readdir(dir);
		if (entry == NULL)
			break;
		if (entry->d_name[0] == '.')
			continue;
		sub = mem_printf("%s/%s", path, entry->d_name);
		run_file(sub);
		free(sub);
	}
	(void)closedir(dir);	/* it was only read */
}

int
main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir"), *name = strrchr(argv[0], '/');
	char *path;

	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	if (argc == 1) {
		name = name == NULL ? argv[0] : name + 1;
		name = strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name;
		path = mem_printf("%s/tests/fuzz/corpus/%s", srcdir == NULL ? "." : srcdir, name);
		run_path(path);
		free(path);
	}
	run("", 0);
	printf("%zu inputs, %zu runs\n", inputs, runs);
	if (inputs > 0 && taken == 0) {
		printf("none of the inputs was taken: the corpus is out of date\n");
		return 1;
	}
	return inputs == 0 ? 1 : 0;	/* an empty corpus tests nothing */
}
