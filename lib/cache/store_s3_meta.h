/* SPDX-License-Identifier: Apache-2.0
 *
 * How the metadata of an object in S3 is written.  The store, and
 * eodata-proxyctl.  Pure.
 */
#ifndef CACHE_STORE_S3_META_H
#define CACHE_STORE_S3_META_H

#include "cache/store.h"

/* The one header in which our metadata travels: x-amz-meta-eodata, JSON in ASCII. */
#define S3_META_HEADER	"x-amz-meta-eodata"
enum { S3_META_MAX = 2000 };	/* bytes; S3 takes 2048 of user metadata, names included */

/* 0, or -1 and e: too long for a header. */
int s3_meta_write(const struct object_meta *m, struct buf *out, struct err *e);
/* text: the header's value, or NULL.  length: what S3 says.  0, or -1: not an object of ours, or another length. */
int s3_meta_parse(const char *text, uint64_t length, struct object_meta *ret, struct err *e);

#endif
