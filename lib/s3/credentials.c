/* SPDX-License-Identifier: Apache-2.0
 *
 * Credentials of S3: from a file or from the environment.  Whoever signs.
 */
#include "base/base.h"

#include "s3/credentials.h"

#include <stdlib.h>
#include <string.h>

static void
secret_free(char **s)
{
	if (*s != NULL)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void
s3_credentials_release(struct s3_credentials *c)
{
	if (c == NULL)
		return;
	secret_free(&c->id);
	secret_free(&c->secret);
	secret_free(&c->token);
}

static bool
is_valid(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] <= 0x20 || s[i] >= 0x7f)
			return false;
	}
	return true;
}

int
s3_credentials_environment(struct s3_credentials *ret, struct err *e)
{
	const char *id = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
	const char *token = getenv("AWS_SESSION_TOKEN");

	if (token != NULL && token[0] == '\0')
		token = NULL;
	if (id == NULL || secret == NULL)
		return err_set(e, "%s is not in the environment", id == NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY");
	if (!is_valid(id, S3_ID_MAX))
		return err_set(e, "AWS_ACCESS_KEY_ID is empty, too long, or holds what is not printable ASCII");
	if (!is_valid(secret, S3_SECRET_MAX))
		return err_set(e, "AWS_SECRET_ACCESS_KEY is empty, too long, or holds what is not printable ASCII");
	if (token != NULL && !is_valid(token, S3_TOKEN_MAX))
		return err_set(e, "AWS_SESSION_TOKEN is too long, or holds what is not printable ASCII");
	*ret = (struct s3_credentials){ mem_strdup(id), mem_strdup(secret), mem_strdup(token) };
	return 0;
}
