/* SPDX-License-Identifier: Apache-2.0
 *
 * What hosts share.  Workers and movers.
 */
#include "base/base.h"

#include "cache/shared.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { DAY_S = 24 * 3600 };

static struct seal *
seal_of(const struct config *c)
{
	char *store = mem_printf("%s %s %s", c->s3_endpoint, c->s3_bucket, c->s3_prefix);
	struct seal *seal = seal_new(c->s3_memory_secret.v[0], store);

	free(store);
	return seal;
}

int
shared_open(struct shared *s, const struct config *c, struct err *e)
{
	*s = (struct shared){ .timeout_ms = c->memcached_timeout_ms };
	if (c->cache_store != CACHE_STORE_S3 || c->s3_memory_secret.n == 0)
		return 0;
	s->servers = strs_copy(&c->memcached);
	if (c->memcached.n == 0)
		return 0;
	s->mc = mc_new(&c->memcached, c->memcached_timeout_ms, e);
	if (s->mc == NULL)
		return -1;
	s->seal = seal_of(c);
	s->memory = memory_new(s->mc, s->seal);
	return 0;
}

int
shared_set_config(struct shared *s, const struct config *c, struct err *e)
{
	if (strs_same(&s->servers, &c->memcached) && s->timeout_ms == c->memcached_timeout_ms)
		return 0;
	shared_close(s);
	return shared_open(s, c, e);
}

void
shared_close(struct shared *s)
{
	memory_free(s->memory);
	seal_free(s->seal);
	mc_free(s->mc);
	strs_release(&s->servers);
	*s = (struct shared){ .timeout_ms = 0 };
}

/* The class that the key begins with; NULL: there is none of that name any more. */
static const struct retention *
retention_of(const struct config *c, const char *key)
{
	size_t n = strcspn(key, "/");
	char *name = mem_strndup(key, n);	/* a token: the key has it as it is */
	const struct retention *r = config_retention(c, name);

	free(name);
	return r;
}

int64_t
shared_ends_s(const struct config *c, const char *key, int64_t stored_s)
{
	const struct retention *r = retention_of(c, key);

	return r == NULL || r->days == 0 || stored_s < 0 ? 0 : stored_s + (int64_t)r->days * DAY_S;
}

int64_t
shared_until_s(const struct config *c, const char *key, int64_t stored_s)
{
	const struct retention *r = retention_of(c, key);
	int64_t until_s = clock_wall_ms() / 1000 + c->s3_remember_ms / 1000, ends_s = shared_ends_s(c, key, stored_s);

	if (r == NULL || (r->days > 0 && stored_s < 0))
		return 0;
	return ends_s > 0 && ends_s < until_s ? ends_s : until_s;
}
