/* SPDX-License-Identifier: Apache-2.0
 *
 * Which descriptor has a connection?  libcurl tells the addresses and ports
 * of a connection before a request goes out on it, but not its descriptor.
 * Private to lib/net.
 */
#ifndef NET_KEPT_H
#define NET_KEPT_H

#include "base/base.h"

enum { KEPT_BUCKETS = 1024, KEPT_IP_SIZE = 46 };

struct kept_name {		/* of a connection */
	char ip[KEPT_IP_SIZE], local_ip[KEPT_IP_SIZE];
	int port, local_port;
};

struct kept_entry {
	bool used;
	int next;		/* descriptor in the same bucket, -1 the last */
	struct kept_name name;
};

struct kept {
	int bucket[KEPT_BUCKETS];	/* descriptor, -1 none */
	struct kept_entry *v;		/* by descriptor */
	size_t n;
};

void kept_init(struct kept *k);
void kept_release(struct kept *k);
void kept_add(struct kept *k, int fd, const struct kept_name *name);
void kept_remove(struct kept *k, int fd);		/* fine when it is not in */
int kept_find(const struct kept *k, const struct kept_name *name);	/* -1 none */

#endif
