/* SPDX-License-Identifier: Apache-2.0
 *
 * S3's errors.  They also say what was signed, and with whose key: none of
 * that is taken, nor a message with something in it that may be a signature, a
 * token or a secret.  Whoever speaks to S3.
 */
#include "base/base.h"

#include "s3/error.h"

#include <string.h>

#include "base/text.h"
#include "s3/xml.h"
#include "wire/header.h"

enum { WORD_MAX = 39 };		/* signatures have 64, secrets 40, tokens hundreds */

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool
is_word(const char *s, const char *of, size_t max)
{
	return s != NULL && s[0] != '\0' && strlen(s) <= max && s[strspn(s, of)] == '\0';
}

/* What is meant for people has no such words. */
static bool
has_long_word(const char *s)
{
	size_t n;

	for (; *s != '\0'; s += n + (s[n] != '\0')) {
		n = strspn(s, ALNUM "+/=_-");
		if (n > WORD_MAX)
			return true;
	}
	return false;
}

int
s3_error_read(struct s3_error *ret, const char *data, size_t n)
{
	struct s3_xml *x = s3_xml_parse(data, n, NULL);
	const char *code = s3_xml_text(x, "Code"), *message = s3_xml_text(x, "Message"),
		   *region = s3_xml_text(x, "Region"), *size = s3_xml_text(x, "ActualObjectSize");
	bool is_one = x != NULL && strcmp(x->name, "Error") == 0 && is_word(code, ALNUM ".", S3_CODE_MAX);
	size_t len;

	if (is_one) {
		*ret = (struct s3_error){ .object_size = UINT64_MAX };
		memcpy(ret->code, code, strlen(code));
		if (message == NULL || has_long_word(message))
			message = "";
		len = strnlen(message, S3_MESSAGE_MAX);
		while (len > 0 && !text_is_utf8(message, len))	/* cut within a character */
			len--;
		memcpy(ret->message, message, len);
		if (is_word(region, ALNUM "-_", S3_REGION_MAX))
			memcpy(ret->region, region, strlen(region));
		if (size != NULL)
			(void)header_length_parse(size, strlen(size), &ret->object_size);	/* or unknown */
	}
	s3_xml_free(x);
	return is_one ? 0 : -1;
}
