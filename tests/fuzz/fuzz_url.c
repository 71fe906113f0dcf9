/* SPDX-License-Identifier: Apache-2.0
 *
 * net/url.h: a URL that is taken can be read again and means the same.  The
 * first line is a URL, the second a Location.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "net/url.h"

static const struct config conf = { .allow_http = true };

static bool
is_ascii(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((uint8_t)*s > 0x7f)
			return false;
	}
	return true;
}

static void
check_url(const struct url *u, bool trusted)
{
	struct err e = ERR_NONE;
	struct url *again;

	MUST(strncmp(u->text, "https://", 8) == 0 || strncmp(u->text, "http://", 7) == 0);
	MUST(u->https == (u->text[4] == 's') && u->port != 0 && u->host[0] != '\0');
	MUST(strpbrk(u->host, "@/\\%#? ") == NULL);
	for (const char *p = u->text; *p != '\0'; p++)
		MUST((uint8_t)*p > 0x20 && (uint8_t)*p < 0x7f && *p != '#');
	again = url_new(&conf, u->text, trusted, &e);
	/* encoding can only have made it too long */
	MUST(again != NULL || strlen(u->text) > (trusted ? URL_TRUSTED_MAX : URL_MAX));
	if (again != NULL)
		MUST(url_same_origin(u, again) && strcmp(u->text, again->text) == 0);
	url_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = mem_strndup((const char *)data, n), *location = strchr(text, '\n');
	struct err e = ERR_NONE;
	struct url *u, *next = NULL, *trusted;

	if (location != NULL) {
		*location = '\0';
		location++;
	}
	u = url_new(&conf, text, false, &e);
	trusted = url_new(&conf, text, true, &e);
	MUST(u == NULL || (trusted != NULL && strcmp(u->text, trusted->text) == 0));
	if (trusted != NULL) {
		check_url(trusted, true);
		/* a presigned one arrives byte for byte; libcurl drops a '?' with nothing behind */
		if (strncmp(text, "http://h/", 9) == 0 && strpbrk(text, "# ") == NULL && is_ascii(text) &&
		    text[strlen(text) - 1] != '?')
			MUST(strcmp(trusted->text, text) == 0);
	}
	if (u != NULL && location != NULL)
		next = url_follow(&conf, u, location, &e);
	if (u != NULL)
		check_url(u, false);
	if (next != NULL) {
		check_url(next, false);
		MUST(next->https || !u->https);
	}
	url_free(next);
	url_free(trusted);
	url_free(u);
	free(text);
	return 0;
}
