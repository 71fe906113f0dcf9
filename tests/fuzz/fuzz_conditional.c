/* SPDX-License-Identifier: Apache-2.0
 *
 * wire/conditional.h.  The input is our ETag and then the client's headers,
 * one in a line: If-Match, If-None-Match, If-Modified-Since,
 * If-Unmodified-Since, If-Range; a missing line and a "-" are an absent header.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "wire/conditional.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = mem_strndup((const char *)data, n), *rest = copy;
	const char *line[6] = { NULL };
	struct conditions c;
	struct validators v;
	enum condition_verdict verdict;

	for (size_t i = 0; i < ARRAY_LEN(line) && rest != NULL; i++)
		line[i] = strsep(&rest, "\n");
	for (size_t i = 0; i < ARRAY_LEN(line); i++) {
		if (line[i] != NULL && strcmp(line[i], "-") == 0)
			line[i] = NULL;
	}
	v = (struct validators){ line[0], n % 3 == 0 ? -1 : 784111777 };
	c = (struct conditions){ line[1], line[2], line[3], line[4], line[5] };
	verdict = conditions_check(&c, &v);
	if (line[1] == NULL && line[4] == NULL)
		MUST(verdict != CONDITION_FAILED);
	if (line[2] == NULL && line[3] == NULL)
		MUST(verdict != CONDITION_NOT_MODIFIED);
	if (v.etag != NULL && etag_is_valid(v.etag, strlen(v.etag)) && line[1] == NULL && line[4] == NULL) {
		/* our own tag is always known again */
		c.if_none_match = v.etag;
		MUST(conditions_check(&c, &v) == CONDITION_NOT_MODIFIED);
		c.if_range = v.etag;
		MUST(conditions_range_holds(&c, &v) == (v.etag[0] == '"'));
	}
	(void)conditions_range_holds(&c, &v);	/* that it ends is all there is to say */
	free(copy);
	return 0;
}
