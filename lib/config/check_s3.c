/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold of cache.s3: a place whose host, bucket and prefix can stand
 * in a URL, a host's name and a key without being written differently there.
 * Runs in the master; the children repeat it over what it wrote.
 */
#include "base/base.h"

#include "config/params.h"

#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum { BUCKET_MIN = 3, BUCKET_MAX = 63 };

/* Behind the scheme; "" when the endpoint has a fault. */
static const char *
check_endpoint(const struct config *c, struct faults *f)
{
	const char *rest = "", *fault = check_url_start(c->s3_endpoint, &rest), *host;
	size_t len;

	if (fault == NULL && rest[0] != '\0')
		fault = "ends with the host, or its port";
	if (fault != NULL) {
		faults_add_path(f, "cache.s3.endpoint", "%s", fault);
		return "";
	}
	host = strstr(c->s3_endpoint, "://") + 3;
	len = strlen(host);
	if (strchr(host, ':') != NULL && !check_host_port(host) && !(host[0] == '[' && host[len - 1] == ']')) {
		faults_add_path(f, "cache.s3.endpoint", "the port is not one");
		return "";
	}
	return host;
}

/* The names that every service takes: AWS's rules, which are those of hosts. */
static const char *
bucket_fault(const char *s)
{
	size_t len = strlen(s);

	if (len < BUCKET_MIN || len > BUCKET_MAX)
		return "has 3 to 63 bytes";
	if (s[strspn(s, LOWER ".-")] != '\0')
		return "has lower-case letters, digits, '.' and '-' only";
	if (strspn(s, LOWER) == 0 || strspn(s + len - 1, LOWER) == 0)
		return "begins and ends with a letter or a digit";
	if (strstr(s, "..") != NULL || strstr(s, ".-") != NULL || strstr(s, "-.") != NULL)
		return "has a '.' beside another, or beside a '-'";
	return NULL;
}

static const char *
prefix_fault(const char *s)
{
	size_t len;

	if (s[strspn(s, UPPER LOWER "._-/")] != '\0')
		return "has letters, digits, '.', '_', '-' and '/' only";
	for (; *s != '\0'; s += len + 1) {
		len = strcspn(s, "/");
		if (s[len] == '\0')
			return "must end with '/'";
		if (len == 0)
			return "has an empty segment";
		if ((len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.'))
			return "has a segment '.' or '..'";
	}
	return NULL;
}

static const char *
virtual_fault(const struct config *c, const char *host)
{
	if (host[0] == '[' || host[strspn(host, "0123456789.:")] == '\0')
		return "\"virtual\" puts the bucket before the host, which is an address";
	if (strncmp(c->s3_endpoint, "https:", 6) == 0 && strchr(c->s3_bucket, '.') != NULL)
		return "\"virtual\" and a bucket with a '.' fit no certificate";
	return NULL;
}

void
check_s3(const struct config *c, struct faults *f)
{
	const char *fault, *host;

	if (c->s3_endpoint[0] == '\0') {
		if (c->s3_bucket[0] != '\0')
			faults_add_path(f, "cache.s3.endpoint", "must be given where there is a bucket");
		return;
	}
	host = check_endpoint(c, f);
	fault = bucket_fault(c->s3_bucket);
	if (fault != NULL)
		faults_add_path(f, "cache.s3.bucket", "%s", fault);
	if (c->s3_region[strspn(c->s3_region, LOWER UPPER "_-")] != '\0')
		faults_add_path(f, "cache.s3.region", "has letters, digits, '_' and '-' only");
	fault = prefix_fault(c->s3_prefix);
	if (fault != NULL)
		faults_add_path(f, "cache.s3.prefix", "%s", fault);
	if (c->s3_profile[strcspn(c->s3_profile, "[]")] != '\0')
		faults_add_path(f, "cache.s3.profile", "must not hold brackets");
	fault = c->s3_addressing == S3_ADDRESSING_VIRTUAL && host[0] != '\0' ? virtual_fault(c, host) : NULL;
	if (fault != NULL)
		faults_add_path(f, "cache.s3.addressing", "%s", fault);
}
