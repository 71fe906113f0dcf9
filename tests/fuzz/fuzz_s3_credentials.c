/* SPDX-License-Identifier: Apache-2.0
 *
 * s3/credentials.h: what is taken has the form that the header says; what is
 * refused leaves nothing and says where, without showing a long piece of the
 * file.  The first line is the profile's name.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "s3/credentials.h"

size_t fuzz_taken;

static void
check_member(const char *v, size_t max)
{
	size_t n = strlen(v);

	MUST(n > 0 && n <= max);
	for (size_t i = 0; i < n; i++)
		MUST(v[i] > 0x20 && v[i] < 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data, *end = n == 0 ? NULL : memchr(text, '\n', n);
	size_t name = end == NULL ? 0 : (size_t)(end - text), skip = end == NULL ? 0 : name + 1;
	struct s3_credentials c = { NULL, NULL, NULL };
	char *profile = mem_strndup(text, name);
	struct err e = ERR_NONE;

	if (s3_credentials_parse(&c, text + skip, n - skip, profile, &e) == 0) {
		fuzz_taken++;
		check_member(c.id, S3_ID_MAX);
		check_member(c.secret, S3_SECRET_MAX);
		if (c.token != NULL)
			check_member(c.token, S3_TOKEN_MAX);
	} else {
		MUST(c.id == NULL && c.secret == NULL && c.token == NULL);
		MUST(e.text[0] != '\0' && strlen(e.text) < 200);
	}
	s3_credentials_release(&c);
	free(profile);
	return 0;
}
