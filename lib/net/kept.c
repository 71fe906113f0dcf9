/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash of connections by their addresses and ports, in an array by
 * descriptor.  The mover.
 */
#include "base/base.h"

#include "net/kept.h"

#include <stdlib.h>
#include <string.h>

void
kept_init(struct kept *k)
{
	*k = (struct kept){ .n = 0 };
	for (size_t i = 0; i < KEPT_BUCKETS; i++)
		k->bucket[i] = -1;
}

void
kept_release(struct kept *k)
{
	free(k->v);
	kept_init(k);
}

/* Local ports differ, nearly always. */
static size_t
bucket_of(const struct kept_name *name)
{
	return ((unsigned)name->local_port * 31 + (unsigned)name->port) % KEPT_BUCKETS;
}

static bool
same(const struct kept_name *a, const struct kept_name *b)
{
	return a->port == b->port && a->local_port == b->local_port && strcmp(a->ip, b->ip) == 0 &&
	    strcmp(a->local_ip, b->local_ip) == 0;
}

void
kept_add(struct kept *k, int fd, const struct kept_name *name)
{
	size_t n = k->n == 0 ? 64 : k->n;
	int *head = &k->bucket[bucket_of(name)];

	MUST(fd >= 0);
	kept_remove(k, fd);
	while (n <= (size_t)fd)
		n *= 2;
	if (n > k->n) {
		k->v = mem_realloc(k->v, n * sizeof(*k->v));
		memset(k->v + k->n, 0, (n - k->n) * sizeof(*k->v));
		k->n = n;
	}
	k->v[fd] = (struct kept_entry){ .used = true, .next = *head, .name = *name };
	*head = fd;
}

void
kept_remove(struct kept *k, int fd)
{
	int *at;

	if (fd < 0 || (size_t)fd >= k->n || !k->v[fd].used)
		return;
	for (at = &k->bucket[bucket_of(&k->v[fd].name)]; *at != fd; at = &k->v[*at].next)
		MUST(*at >= 0);
	*at = k->v[fd].next;
	k->v[fd].used = false;
}

int
kept_find(const struct kept *k, const struct kept_name *name)
{
	for (int fd = k->bucket[bucket_of(name)]; fd >= 0; fd = k->v[fd].next) {
		if (same(&k->v[fd].name, name))
			return fd;
	}
	return -1;
}
