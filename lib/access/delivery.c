/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes, or a URL?
 */
#include "base/base.h"

#include "access/delivery.h"

#include <string.h>
#include <strings.h>

enum { LEFT_MIN_S = 90 };	/* for a client to begin */

enum delivery
delivery_of_rule(enum delivery rule, const struct delivery_ask *a, const char **ret_why)
{
	*ret_why = NULL;
	if (rule == DELIVERY_STREAM)
		return DELIVERY_STREAM;
	if (a->cond->if_match != NULL || a->cond->if_unmodified_since != NULL || a->cond->if_range != NULL)
		*ret_why = "condition";
	else if (rule == DELIVERY_REDIRECT)
		return DELIVERY_REDIRECT;
	else if (a->head)
		*ret_why = "head";
	else if (a->scripted)
		*ret_why = "origin";
	else if (a->keeps_credentials)
		*ret_why = "credentials";
	return *ret_why == NULL ? DELIVERY_AUTO : DELIVERY_STREAM;
}

enum delivery
delivery_of_size(enum delivery d, uint64_t size, uint64_t above, const char **ret_why)
{
	if (d != DELIVERY_AUTO)
		return d;
	if (size >= above)
		return DELIVERY_REDIRECT;
	*ret_why = "size";
	return DELIVERY_STREAM;
}

uint32_t
delivery_life_s(uint32_t most_s, int64_t ends_s, int64_t now_s, const char **ret_why)
{
	int64_t left_s = ends_s == 0 ? INT64_MAX : ends_s - now_s;

	if (left_s < LEFT_MIN_S) {
		*ret_why = "expires";
		return 0;
	}
	return left_s < most_s ? (uint32_t)left_s : most_s;
}

/* Without its port; an IPv6 address keeps its brackets. */
static size_t
host_len(const char *host)
{
	size_t n = strcspn(host, "/?#");
	const char *end = host[0] == '[' ? memchr(host, ']', n) : memchr(host, ':', n);

	if (end == NULL)
		return n;
	return (size_t)(end - host) + (host[0] == '[' ? 1 : 0);
}

bool
delivery_same_host(const char *url, const char *host)
{
	const char *at = strstr(url, "://");
	size_t n;

	at = at == NULL ? url : at + 3;
	n = host_len(at);
	return n > 0 && n == host_len(host) && strncasecmp(at, host, n) == 0;
}
