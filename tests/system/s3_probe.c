/* SPDX-License-Identifier: Apache-2.0
 *
 * The signer of lib/s3 alone, for test_s3_sign.py and scripts/bench:
 *
 *	s3_probe FILE PROFILE ENDPOINT BUCKET PREFIX ADDRESSING
 *
 * reads lines, looks whether FILE has changed, and answers each with one:
 *
 *	sign METHOD LIFE_S SHIFT_S KEY [?NAME=VALUE]... [:NAME=VALUE]...
 *			'?' is of the query, ':' a header; -> the URL, or "refused: " and why
 *	reload		-> "same", "new", or "broken: " and why
 *	time N		sign N times -> microseconds for each, with a key that is kept, and with one that is made each time
 *
 * KEY, NAME and VALUE are in hex; KEY "-" is the bucket itself.
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "s3/sign.h"

static struct s3_place place;
static struct s3_credentials_file *file;
static struct s3_signer *signer;

static char *
unhex(const char *hex, size_t n)
{
	char *text = mem_alloc(n / 2 + 1);

	if (text_unhex(hex, n, (uint8_t *)text, n / 2) != 0) {
		fprintf(stderr, "no hex: '%s'\n", hex);
		exit(2);
	}
	return text;
}

/* word: "NAME=VALUE". */
static void
add_pair(struct s3_pair *pairs, size_t *n, const char *word)
{
	const char *sign = strchr(word, '=');

	if (sign == NULL || *n == S3_PAIRS_MAX) {
		fprintf(stderr, "no pair, or too many: '%s'\n", word);
		exit(2);
	}
	pairs[*n].name = unhex(word, (size_t)(sign - word));
	pairs[(*n)++].value = unhex(sign + 1, strlen(sign + 1));
}

static void
free_pairs(struct s3_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((char *)(uintptr_t)pairs[i].name);
		free((char *)(uintptr_t)pairs[i].value);
	}
}

static void
sign(char *rest)
{
	struct s3_pair query[S3_PAIRS_MAX], headers[S3_PAIRS_MAX];
	struct s3_request r = { .query = query, .headers = headers };
	char *save = NULL, *method = strtok_r(rest, " ", &save), *life = strtok_r(NULL, " ", &save);
	char *shift = strtok_r(NULL, " ", &save), *key = strtok_r(NULL, " ", &save), *plain = NULL, *word;
	struct buf url = BUF_INIT(S3_URL_MAX);
	struct err e = ERR_NONE;

	if (key == NULL) {
		fprintf(stderr, "sign METHOD LIFE_S SHIFT_S KEY\n");
		exit(2);
	}
	if (strcmp(key, "-") != 0)
		plain = unhex(key, strlen(key));
	while ((word = strtok_r(NULL, " ", &save)) != NULL) {
		if (word[0] == '?')
			add_pair(query, &r.nquery, word + 1);
		else
			add_pair(headers, &r.nheaders, word + 1);
	}
	r.method = method;
	r.key = plain;
	r.life_s = (uint32_t)strtoul(life, NULL, 10);
	if (s3_presign(&url, signer, &place, s3_credentials_file_get(file), &r,
	    clock_wall_ms() / 1000 + strtoll(shift, NULL, 10), &e) == 0)
		printf("%s\n", buf_str(&url));
	else
		printf("refused: %s\n", e.text);
	buf_release(&url);
	free(plain);
	free_pairs(query, r.nquery);
	free_pairs(headers, r.nheaders);
}

/* As a mover signs a part, and nginx's URL of a hit: a key of the cache's length. */
static double
time_one(size_t n, bool keep)
{
	static const struct s3_pair query[] = { { "partNumber", "117" }, { "uploadId", "2~TyjlvXY0TPB5dlrL4DDNMDNuFjeEY0N" } };
	struct s3_request r = { .method = "PUT", .query = query, .nquery = ARRAY_LEN(query), .life_s = 600,
		.key = "30d/cop_dataspace/S2_MSI_L2A/S2B_MSIL2A_20240601T101559_N0510_R065_T33UVR_20240601T132218/B04@data" };
	struct buf url = BUF_INIT(S3_URL_MAX);
	struct err e = ERR_NONE;
	int64_t begin_us = clock_mono_us();

	for (size_t i = 0; i < n; i++) {
		if (!keep) {
			s3_signer_free(signer);
			signer = s3_signer_new();
		}
		buf_clear(&url);
		MUST(s3_presign(&url, signer, &place, s3_credentials_file_get(file), &r, clock_wall_ms() / 1000, &e) == 0);
	}
	buf_release(&url);
	return (double)(clock_mono_us() - begin_us) / (double)n;
}

static void
reload(bool tell)
{
	static const char *const name[] = { "same", "new", "broken: " };
	struct err e = ERR_NONE;
	enum s3_reload r = s3_credentials_file_reload(file, &e);

	if (tell)
		printf("%s%s\n", name[r], e.text);
}

int
main(int argc, char **argv)
{
	char *line = NULL;
	struct err e = ERR_NONE;
	size_t cap = 0;
	ssize_t n;

	if (argc != 7) {
		fprintf(stderr, "usage: s3_probe FILE PROFILE ENDPOINT BUCKET PREFIX ADDRESSING\n");
		return 2;
	}
	if (s3_place_init(&place, &(struct s3_place_words){ .endpoint = argv[3], .bucket = argv[4], .prefix = argv[5],
	    .addressing = argv[6] }, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	file = s3_credentials_file_new(argv[1], argv[2]);
	if (s3_credentials_file_reload(file, &e) != S3_RELOAD_NEW) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	signer = s3_signer_new();
	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		reload(strcmp(line, "reload") == 0);
		if (strncmp(line, "sign ", 5) == 0) {
			sign(line + 5);
		} else if (strncmp(line, "time ", 5) == 0) {
			size_t count = strtoul(line + 5, NULL, 10);
			double kept = time_one(count, true);

			printf("%.3f %.3f\n", kept, time_one(count, false));
		}
		(void)fflush(stdout);	/* the reader sees what is missing */
	}
	free(line);
	s3_signer_free(signer);
	s3_credentials_file_free(file);
	s3_place_release(&place);
	return 0;
}
