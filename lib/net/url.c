/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs that we may ask for.  The parser is libcurl's, because libcurl will
 * parse the URL again when it connects and the two must not disagree; what it
 * is generous about (missing or turned slashes, encoded hosts, user names) is
 * refused before it looks.  The mover.
 */
#include "base/base.h"

#include "net/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "net/address.h"

/*
 * Ports of services that are fooled by an HTTP request (the Fetch standard's
 * list of bad ports, and databases and caches).
 */
static const struct { uint16_t first, last; } refused_ports[] = {
	{ 1, 1 }, { 7, 7 }, { 9, 9 }, { 11, 11 }, { 13, 13 }, { 15, 15 }, { 17, 25 }, { 37, 37 },
	{ 42, 43 }, { 53, 53 }, { 69, 69 }, { 77, 77 }, { 79, 79 }, { 87, 87 }, { 95, 95 }, { 101, 104 },
	{ 109, 111 }, { 113, 113 }, { 115, 115 }, { 117, 117 }, { 119, 119 }, { 123, 123 }, { 135, 139 },
	{ 143, 143 }, { 161, 161 }, { 179, 179 }, { 389, 389 }, { 427, 427 }, { 445, 445 }, { 465, 465 },
	{ 512, 515 }, { 526, 526 }, { 530, 532 }, { 540, 540 }, { 548, 548 }, { 554, 554 }, { 556, 556 },
	{ 563, 563 }, { 587, 587 }, { 601, 601 }, { 636, 636 }, { 873, 873 }, { 989, 990 }, { 993, 993 },
	{ 995, 995 }, { 1719, 1720 }, { 1723, 1723 }, { 2049, 2049 }, { 3306, 3306 }, { 3659, 3659 },
	{ 4045, 4045 }, { 5060, 5061 }, { 5432, 5432 }, { 6000, 6000 }, { 6379, 6379 }, { 6566, 6566 },
	{ 6665, 6669 }, { 6679, 6679 }, { 6697, 6697 }, { 10080, 10080 }, { 11211, 11211 }, { 27017, 27017 },
};

static bool
port_is_refused(uint16_t port)
{
	for (size_t i = 0; i < ARRAY_LEN(refused_ports); i++) {
		if (port >= refused_ports[i].first && port <= refused_ports[i].last)
			return true;
	}
	return false;
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Does it begin with a scheme (RFC 3986: ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) ":")? */
static bool
has_scheme(const char *s)
{
	if (!is_alnum(s[0]) || (s[0] >= '0' && s[0] <= '9'))
		return false;
	while (is_alnum(*s) || *s == '+' || *s == '-' || *s == '.')
		s++;
	return *s == ':';
}

static int
check_bytes(const char *text, size_t max, struct err *e)
{
	size_t n = strnlen(text, max + 1);

	if (n > max)
		return err_set(e, "the URL is longer than %zu bytes", max);
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(e, "the URL holds a control byte");
	}
	return 0;
}

/*
 * Spaces and bytes above ASCII, which catalogues write into paths, become
 * %XX; all else stays, for a signature may cover it.  (libcurl's own encoding
 * changes between versions and touches what is encoded already.)
 */
static char *
encode(const char *text)
{
	struct buf b = BUF_INIT(3 * URL_TRUSTED_MAX);

	for (; *text != '\0'; text++) {
		if (*text == ' ' || (uint8_t)*text > 0x7f)
			text_percent(&b, text, 1);
		else
			(void)buf_addc(&b, *text);
	}
	buf_must(&b);		/* there is room for any URL_TRUSTED_MAX bytes */
	return buf_take(&b);
}

/* What libcurl would be generous about. */
static int
check_shape(const char *text, bool *ret_https, struct err *e)
{
	size_t n, i;

	*ret_https = strncasecmp(text, "https://", 8) == 0;
	if (!*ret_https && strncasecmp(text, "http://", 7) != 0)
		return err_set(e, "the URL is neither http:// nor https://");
	text += *ret_https ? 8 : 7;
	n = strcspn(text, "/?#");
	if (n == 0)
		return err_set(e, "the URL has no host");
	for (i = 0; i < n; i++) {
		if (text[i] == '@')
			return err_set(e, "the URL holds a user name");
		if (!is_alnum(text[i]) && strchr(".-_:[]", text[i]) == NULL)
			return err_set(e, "the URL's host holds a byte that no host name has");
	}
	return 0;
}

static int
part(CURLU *cu, CURLUPart what, unsigned flags, char **ret)
{
	char *p = NULL;

	if (curl_url_get(cu, what, &p, flags) != CURLUE_OK || p == NULL)
		return -1;
	*ret = mem_strdup(p);
	curl_free(p);
	return 0;
}

static bool
literal_is_refused(const struct config *c, const char *host)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	char bare[INET6_ADDRSTRLEN + 2];
	size_t n = strlen(host);

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1)
		return !address_allowed(c, (const struct sockaddr *)&in);
	if (host[0] != '[')
		return false;
	if (n < 3 || n >= sizeof(bare) || host[n - 1] != ']')
		return true;
	memcpy(bare, host + 1, n - 2);
	bare[n - 2] = '\0';
	if (inet_pton(AF_INET6, bare, &in6.sin6_addr) != 1)
		return true;
	return !address_allowed(c, (const struct sockaddr *)&in6);
}

static int
check_host(const struct config *c, const struct url *u, bool trusted, struct err *e)
{
	size_t n = strlen(u->host);
	char shown[300];

	if (n == 0 || n > 255 || u->host[n - 1] == '.' || u->host[0] == '.')
		return err_set(e, "the URL's host is empty, too long, or begins or ends with a dot");
	if (trusted)
		return 0;
	text_esc_to(shown, sizeof(shown), u->host);
	if (port_is_refused(u->port))
		return err_set(e, "host '%s': port %u belongs to another service", shown, u->port);
	if (!u->https && !c->allow_http)
		return err_set(e, "host '%s': http is not allowed, only https", shown);
	if (literal_is_refused(c, u->host))
		return err_set(e, "host '%s': the address is not public", shown);
	return 0;
}

static int
take_parts(const struct config *c, CURLU *cu, struct url *u, bool trusted, struct err *e)
{
	char *port = NULL, *user = NULL, *zone = NULL;
	int rc = -1;
	long n;

	/* a fragment is not sent, and does not belong to what is asked for */
	(void)curl_url_set(cu, CURLUPART_FRAGMENT, NULL, 0);
	if (part(cu, CURLUPART_USER, 0, &user) == 0 || part(cu, CURLUPART_ZONEID, 0, &zone) == 0) {
		err_set(e, "the URL holds a user name or a zone");
		goto out;
	}
	if (part(cu, CURLUPART_HOST, 0, &u->host) != 0 ||
	    part(cu, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port) != 0 || part(cu, CURLUPART_URL, 0, &u->text) != 0) {
		err_set(e, "the URL is malformed");
		goto out;
	}
	n = strtol(port, NULL, 10);	/* digits only: libcurl wrote them */
	if (n < 1 || n > 65535) {
		err_set(e, "the URL's port is out of range");
		goto out;
	}
	u->port = (uint16_t)n;
	for (char *p = u->host; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + ('a' - 'A'));
	}
	rc = check_host(c, u, trusted, e);
out:
	free(port);
	free(user);
	free(zone);
	return rc;
}

static struct url *
parse(const struct config *c, const char *text, bool trusted, struct err *e)
{
	struct url *u = mem_alloc(sizeof(*u));
	CURLU *cu = NULL;
	int rc = -1;

	if (check_shape(text, &u->https, e) != 0)
		goto out;
	cu = curl_url();
	if (cu == NULL)
		mem_none();
	if (curl_url_set(cu, CURLUPART_URL, text, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER) != CURLUE_OK) {
		err_set(e, "the URL is malformed");
		goto out;
	}
	rc = take_parts(c, cu, u, trusted, e);
out:
	curl_url_cleanup(cu);
	if (rc != 0) {
		url_free(u);
		return NULL;
	}
	return u;
}

static void
text_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

struct url *
url_new(const struct config *c, const char *text, bool trusted, struct err *e)
{
	struct url *u;
	char *encoded;

	if (check_bytes(text, trusted ? URL_TRUSTED_MAX : URL_MAX, e) != 0)
		return NULL;
	encoded = encode(text);
	u = parse(c, encoded, trusted, e);
	text_free(encoded);
	return u;
}

static char *
resolve_relative(const struct url *base, const char *location)
{
	CURLU *cu = curl_url();
	char *text = NULL;

	if (cu == NULL)
		mem_none();
	if (curl_url_set(cu, CURLUPART_URL, base->text, CURLU_PATH_AS_IS) == CURLUE_OK &&
	    curl_url_set(cu, CURLUPART_URL, location, 0) == CURLUE_OK)
		(void)part(cu, CURLUPART_URL, 0, &text);	/* text stays NULL */
	curl_url_cleanup(cu);
	return text;
}

/* location is encoded. */
static struct url *
follow(const struct config *c, const struct url *base, const char *location, struct err *e)
{
	bool whole = has_scheme(location), network = location[0] == '/' && location[1] == '/';
	struct url *u = NULL;
	char *text = NULL;

	if (location[0] == '\\' || (location[0] == '/' && location[1] == '\\'))
		goto out;
	if (whole)
		text = mem_strdup(location);
	else if (network)
		text = mem_printf("%s:%s", base->https ? "https" : "http", location);
	else
		text = resolve_relative(base, location);
	if (text == NULL)
		goto out;
	u = url_new(c, text, false, e);
	text_free(text);
	if (u == NULL || whole || network || url_same_origin(base, u))
		return u;
out:
	url_free(u);
	err_set(e, "the URL is malformed");
	return NULL;
}

struct url *
url_follow(const struct config *c, const struct url *base, const char *location, struct err *e)
{
	struct url *u;
	char *encoded;

	if (check_bytes(location, URL_MAX, e) != 0)
		return NULL;
	encoded = encode(location);
	u = follow(c, base, encoded, e);
	text_free(encoded);
	if (u != NULL && base->https && !u->https) {
		err_set(e, "a redirect from https to http");
		url_free(u);
		return NULL;
	}
	return u;
}

bool
url_same_origin(const struct url *a, const struct url *b)
{
	return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

void
url_free(struct url *u)
{
	if (u == NULL)
		return;
	text_free(u->text);
	free(u->host);
	free(u);
}
