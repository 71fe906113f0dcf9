/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation of lib/bucket, for test_bucket.py:
 *
 *	bucket_probe KEYS PROFILE ENDPOINT BUCKET SECONDS SHIFT_S METHOD KEY [WORD]...
 *
 * takes at most SECONDS, by a clock that is SHIFT_S ahead.  KEY "" is the
 * bucket itself.  A WORD is "?NAME=VALUE" of the query, ":NAME=VALUE" a signed
 * header, "=TEXT" the body, or "<OFFSET,LENGTH,FILE" an upload.  Prints
 *
 *	RESULT TRIES STATUS CODE LENGTH ETAG
 *
 * then "reason=", x-amz- headers as NAME=VALUE, an empty line, and the body.
 */
#include "base/base.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "bucket/client.h"

static void
fail(const char *what)
{
	fprintf(stderr, "bucket_probe: %s\n", what);
	exit(2);
}

static void
on_done(void *arg UNUSED, const struct s3_answer *a, unsigned tries)
{
	const struct fetch_response *r = a->head;
	struct err e = ERR_NONE;

	s3_answer_say(a, &e);
	printf("%s %u %d %s %" PRIu64 " %s\nreason=%s\n", s3_result_name(a->result), tries, a->status,
	    a->said.code[0] == '\0' ? "-" : a->said.code, r == NULL ? 0 : r->length,
	    r == NULL || r->etag == NULL ? "-" : r->etag, e.text);
	for (size_t i = 0; r != NULL && i < r->n_amz; i++)
		printf("%s=%s\n", r->amz[i].name, r->amz[i].value);
	printf("\n");
	if (fwrite(a->body, 1, a->body_n, stdout) != a->body_n)
		fail("cannot write");
}

/* word: "NAME=VALUE", which it cuts. */
static void
add_pair(struct s3_pair *pairs, size_t *n, char *word)
{
	char *sign = strchr(word, '=');

	if (sign == NULL || *n == S3_PAIRS_MAX)
		fail("no pair, or too many");
	*sign = '\0';
	pairs[(*n)++] = (struct s3_pair){ word, sign + 1 };
}

static void
take_word(struct s3_want *r, struct s3_pair *query, struct s3_pair *headers, char *word)
{
	char *end;

	switch (word[0]) {
	case '?':
		add_pair(query, &r->request.nquery, word + 1);
		break;
	case ':':
		add_pair(headers, &r->request.nheaders, word + 1);
		break;
	case '=':
		r->text = word + 1;
		break;
	case '<':
		r->offset = strtoull(word + 1, &end, 10);
		r->n = strtoull(end + 1, &end, 10);
		r->fd = open(end + 1, O_RDONLY | O_CLOEXEC);
		if (r->fd < 0)
			fail("cannot open the file");
		break;
	default:
		fail("what is that word?");
	}
}

static const struct s3_credentials *
keys(void *arg, struct err *e UNUSED)
{
	return s3_credentials_file_get(arg);
}

int
main(int argc, char **argv)
{
	static const struct config conf = {
		.connect_timeout_ms = 5000, .first_byte_timeout_ms = 10000, .low_speed_time_ms = 10000,
		.low_speed_bytes = 1000,
	};
	struct s3_pair query[S3_PAIRS_MAX], headers[S3_PAIRS_MAX];
	struct s3_want r = { .fd = -1 };
	struct s3_credentials_file *file;
	struct err e = ERR_NONE;
	struct s3_place place;
	struct s3_client *b;
	struct wait *w;

	if (argc < 9)
		fail("KEYS PROFILE ENDPOINT BUCKET SECONDS SHIFT_S METHOD KEY [WORD]...");
	(void)signal(SIGPIPE, SIG_IGN);	/* see net/fetch.h */
	file = s3_credentials_file_new(argv[1], argv[2]);
	if (s3_credentials_file_reload(file, &e) != S3_RELOAD_NEW ||
	    s3_place_init(&place, &(struct s3_place_words){ .endpoint = argv[3], .bucket = argv[4] }, &e) != 0)
		fail(e.text);
	clock_shift_ms(strtoll(argv[6], NULL, 10) * 1000);
	r.end_ms = clock_mono_ms() + strtoll(argv[5], NULL, 10) * 1000;
	r.request = (struct s3_request){ .method = argv[7], .key = argv[8][0] == '\0' ? NULL : argv[8], .query = query,
		.headers = headers };
	for (int i = 9; i < argc; i++)
		take_word(&r, query, headers, argv[i]);
	w = wait_new(&conf, &e);
	if (w == NULL)
		fail(e.text);
	b = s3_client_new(wait_net(w), &place, true, keys, file);
	s3_op_wait(b, w, &r, on_done, NULL);
	s3_client_free(b);
	wait_free(w);
	fd_close(&r.fd);
	s3_place_release(&place);
	s3_credentials_file_free(file);
	return 0;
}
