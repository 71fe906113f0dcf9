/* SPDX-License-Identifier: Apache-2.0
 *
 * Where objects are.  Whoever speaks to S3.
 */
#include "base/base.h"

#include "s3/place.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { REGION_MAX = 64, HOST_MAX = 255, BUCKET_MIN = 3, BUCKET_MAX = 63, BUCKET_OLD_MAX = 255, PREFIX_MAX = 512 };

static bool
is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Not empty, at most max bytes, letters and digits of ASCII and what else is in others? */
static bool
is_made_of(const char *s, size_t max, const char *others)
{
	size_t n = strnlen(s, max + 1);

	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_lower_or_digit(s[i]) && !(s[i] >= 'A' && s[i] <= 'Z') && strchr(others, s[i]) == NULL)
			return false;
	}
	return true;
}

static bool
is_ipv4(const char *host)
{
	struct in_addr in;

	return inet_pton(AF_INET, host, &in) == 1;
}

/* host: in lower case. */
static int
check_host(const char *host)
{
	char bare[INET6_ADDRSTRLEN + 1];
	size_t n = strlen(host);
	struct in6_addr in6;

	if (host[0] == '[') {
		if (n < 3 || n > sizeof(bare) || host[n - 1] != ']')
			return -1;
		memcpy(bare, host + 1, n - 2);
		bare[n - 2] = '\0';
		return inet_pton(AF_INET6, bare, &in6) == 1 ? 0 : -1;
	}
	if (!is_made_of(host, HOST_MAX, "-_.") || strstr(host, "..") != NULL)
		return -1;
	return host[0] == '.' || host[n - 1] == '.' ? -1 : 0;
}

/* text: ":port" or "". */
static int
take_port(struct s3_place *p, const char *text)
{
	size_t n = strlen(text);
	unsigned long v;

	p->port = p->https ? 443 : 80;
	if (n == 0)
		return 0;
	if (text[0] != ':' || n < 2 || n > 6 || strspn(text + 1, "0123456789") != n - 1)
		return -1;
	v = strtoul(text + 1, NULL, 10);
	if (v < 1 || v > 65535)
		return -1;
	p->port = (uint16_t)v;
	return 0;
}

/* authority: "host", "host:port". */
static int
take_authority(struct s3_place *p, const char *authority)
{
	const char *bracket = authority[0] == '[' ? strchr(authority, ']') : NULL;
	size_t n = bracket == NULL ? strcspn(authority, ":") : (size_t)(bracket + 1 - authority);

	p->host = mem_strndup(authority, n);
	for (char *c = p->host; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	}
	return check_host(p->host) != 0 || take_port(p, authority + n) != 0 ? -1 : 0;
}

static int
take_endpoint(struct s3_place *p, const char *endpoint, struct err *e)
{
	char *authority;
	size_t n;
	int rc;

	p->https = strncmp(endpoint, "https://", 8) == 0;
	if (!p->https && strncmp(endpoint, "http://", 7) != 0)
		return err_set(e, "the endpoint begins with neither https:// nor http://");
	endpoint += p->https ? 8 : 7;
	n = strcspn(endpoint, "/");
	if (endpoint[n] == '/' && endpoint[n + 1] != '\0')
		return err_set(e, "the endpoint has a path");
	authority = mem_strndup(endpoint, n);
	rc = take_authority(p, authority);
	free(authority);
	if (rc != 0)
		return err_set(e, "the endpoint's host or port is none");
	return 0;
}

/* The rules that every S3 has; names that AWS keeps for itself may be aliases of buckets. */
static int
check_bucket(const char *bucket, struct err *e)
{
	size_t n = strlen(bucket);

	if (n < BUCKET_MIN || n > BUCKET_MAX)
		return err_set(e, "the bucket's name has not %d to %d bytes", BUCKET_MIN, BUCKET_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!is_lower_or_digit(bucket[i]) && bucket[i] != '-' && bucket[i] != '.')
			return err_set(e, "the bucket's name holds something else than a-z, 0-9, '-' and '.'");
	}
	if (!is_lower_or_digit(bucket[0]) || !is_lower_or_digit(bucket[n - 1]))
		return err_set(e, "the bucket's name does not begin and end with a letter or a digit");
	if (strstr(bucket, "..") != NULL || is_ipv4(bucket))
		return err_set(e, "the bucket's name has two dots together, or is an address");
	return 0;
}

/* What names of buckets once were, on Amazon and elsewhere. */
static int
check_old_bucket(const char *bucket, struct err *e)
{
	if (!is_made_of(bucket, BUCKET_OLD_MAX, "-_.") || strcmp(bucket, ".") == 0 || strcmp(bucket, "..") == 0)
		return err_set(e, "the bucket's name is none that S3 ever had");
	return 0;
}

static bool
has_dot_segment(const char *s)
{
	size_t n;

	for (;; s += n + 1) {
		n = strcspn(s, "/");
		if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return true;
		if (s[n] == '\0')
			return false;
	}
}

static int
take_prefix(struct s3_place *p, const char *prefix, struct err *e)
{
	size_t n = strlen(prefix);

	if (n > PREFIX_MAX)
		return err_set(e, "the prefix is longer than %d bytes", PREFIX_MAX);
	if (prefix[0] == '/')
		return err_set(e, "the prefix begins with '/'");
	if (!text_is_utf8(prefix, n) || text_has_control(prefix, n))
		return err_set(e, "the prefix holds a control character, or is not UTF-8");
	if (has_dot_segment(prefix))
		return err_set(e, "the prefix has a segment '.' or '..'");
	p->prefix = mem_printf("%s%s", prefix, n > 0 && prefix[n - 1] != '/' ? "/" : "");
	return 0;
}

static int
take_addressing(struct s3_place *p, const char *addressing, struct err *e)
{
	p->virtual_host = strcmp(addressing, "virtual") == 0;
	if (!p->virtual_host && strcmp(addressing, "path") != 0)
		return err_set(e, "the addressing is neither 'path' nor 'virtual'");
	if (!p->virtual_host)
		return 0;
	if (p->host[0] == '[' || is_ipv4(p->host))
		return err_set(e, "the addressing is 'virtual', but the endpoint is an address");
	if (p->https && strchr(p->bucket, '.') != NULL)
		return err_set(e, "the addressing is 'virtual' over https, but the bucket's name holds a dot");
	return 0;
}

static int
take_region(struct s3_place *p, const char *region, struct err *e)
{
	if (region == NULL)
		region = "us-east-1";
	if (!is_made_of(region, REGION_MAX, "-_."))
		return err_set(e, "the region is empty, or holds something else than letters, digits, '-', '_' and '.'");
	p->region = mem_strdup(region);
	return 0;
}

static int
take(struct s3_place *p, const struct s3_place_words *w, struct err *e)
{
	if (take_endpoint(p, w->endpoint, e) != 0 || take_region(p, w->region, e) != 0 ||
	    check_bucket(w->bucket, e) != 0)
		return -1;
	p->bucket = mem_strdup(w->bucket);
	if (take_prefix(p, w->prefix == NULL ? "" : w->prefix, e) != 0)
		return -1;
	return take_addressing(p, w->addressing == NULL ? "path" : w->addressing, e);
}

int
s3_place_init(struct s3_place *ret, const struct s3_place_words *w, struct err *e)
{
	struct s3_place p = { .host = NULL };

	if (take(&p, w, e) != 0) {
		s3_place_release(&p);
		return -1;
	}
	*ret = p;
	return 0;
}

/* As Amazon's own tools find it. */
static int
take_amazon(struct s3_place *p, struct err *e)
{
	const char *more = strncmp(p->region, "cn-", 3) == 0 ? ".cn" : "";
	char *endpoint = mem_printf("https://s3.%s.amazonaws.com%s", p->region, more);
	int rc = take_endpoint(p, endpoint, e);

	free(endpoint);
	p->virtual_host = check_bucket(p->bucket, NULL) == 0 && strchr(p->bucket, '.') == NULL;
	return rc;
}

int
s3_place_init_foreign(struct s3_place *ret, const char *endpoint, const char *region, const char *bucket,
    struct err *e)
{
	struct s3_place p = { .bucket = mem_strdup(bucket), .prefix = mem_strdup("") };

	if (take_region(&p, region, e) != 0 || check_old_bucket(bucket, e) != 0 ||
	    (endpoint == NULL ? take_amazon(&p, e) : take_endpoint(&p, endpoint, e)) != 0) {
		s3_place_release(&p);
		return -1;
	}
	*ret = p;
	return 0;
}

void
s3_place_release(struct s3_place *p)
{
	if (p == NULL)
		return;
	free(p->host);
	free(p->region);
	free(p->bucket);
	free(p->prefix);
	*p = (struct s3_place){ .host = NULL };
}

void
s3_place_move(struct s3_place *p, const char *region)
{
	size_t n = strlen(p->region);
	char *label = strstr(p->host, p->region), *host;

	if (label != NULL && label > p->host && label[-1] == '.' && label[n] == '.') {
		host = mem_printf("%.*s%s%s", (int)(label - p->host), p->host, region, label + n);
		free(p->host);
		p->host = host;
	}
	free(p->region);
	p->region = mem_strdup(region);
}

void
s3_place_host(struct buf *out, const struct s3_place *p)
{
	(void)buf_join(out, p->virtual_host ? p->bucket : "", p->virtual_host ? "." : "", p->host, NULL);
	if (p->port != (p->https ? 443 : 80)) {
		(void)buf_addc(out, ':');
		(void)buf_addu(out, p->port);
	}
}

/* text_percent, but '/' stays. */
static void
encode(struct buf *out, const char *s)
{
	size_t n;

	for (;; s += n + 1) {
		n = strcspn(s, "/");
		text_percent(out, s, n);
		if (s[n] == '\0')
			return;
		(void)buf_addc(out, '/');
	}
}

int
s3_place_path(struct buf *out, const struct s3_place *p, const char *key, struct err *e)
{
	if (key != NULL && key[0] == '\0')
		return err_set(e, "the key is empty");
	if (key != NULL && strlen(p->prefix) + strlen(key) > S3_KEY_MAX)
		return err_set(e, "the key with its prefix is longer than %d bytes", S3_KEY_MAX);
	if (key != NULL && has_dot_segment(key))
		return err_set(e, "the key has a segment '.' or '..', which some transports take out");
	(void)buf_addc(out, '/');	/* a buffer remembers its failure */
	if (!p->virtual_host)
		(void)buf_join(out, p->bucket, key != NULL ? "/" : "", NULL);
	if (key != NULL) {
		encode(out, p->prefix);
		encode(out, key);
	}
	return 0;
}
