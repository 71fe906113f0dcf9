/* SPDX-License-Identifier: Apache-2.0
 *
 * access/identity.h: the input is the request's parameters, one per line.
 * Whoever comes out is named exactly by one of them, and can be logged.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "access/identity.h"
#include "base/text.h"

enum { PARAMS_MAX = 64 };

static void
check_identity(const struct identity *i, char *const *envp)
{
	size_t named = 0;

	for (; *envp != NULL; envp++) {
		if (strncmp(*envp, "EODATA_USER=", 12) == 0) {
			MUST(strcmp(*envp + 12, i->name) == 0);
			named++;
		}
	}
	MUST(named == 1 || (named == 0 && identity_is_anonymous(i)));
	MUST(strcmp(i->realm, i->name[0] == '\0' ? "" : "front") == 0);
	MUST(strchr(i->name, ',') == NULL && strlen(i->name) <= IDENTITY_NAME_MAX &&
	    text_is_utf8(i->name, strlen(i->name)));
	MUST(i->name[0] != '\0' || i->n_groups == 0);
	MUST(i->n_groups <= IDENTITY_GROUPS_MAX);
	for (size_t g = 0; g < i->n_groups; g++) {
		MUST(i->group[g][0] != '\0' && strlen(i->group[g]) <= IDENTITY_GROUP_MAX &&
		    strchr(i->group[g], ',') == NULL);
		MUST(identity_in_group(i, i->group[g]));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char text[] = "{\"identity\":{\"groups\":{\"staff\":[\"alice\"]}}}";
	static struct config *c;
	struct buf told = BUF_INIT(4096);
	char *copy, *line, *next, *envp[PARAMS_MAX + 1] = { NULL };
	static struct identity i;
	struct err e = ERR_NONE;
	size_t used = 0;

	if (c == NULL)
		c = config_parse("fuzz", text, strlen(text), false, &told);
	MUST(c != NULL);
	copy = mem_strndup((const char *)data, n);
	for (line = copy; line != NULL && used < PARAMS_MAX; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		envp[used++] = line;
	}
	if (identity_from_params(&i, c, envp, &e) == 0)
		check_identity(&i, envp);
	else
		MUST(e.text[0] != '\0');
	free(copy);
	buf_release(&told);
	return 0;
}
