/* SPDX-License-Identifier: Apache-2.0
 *
 * What S3 says when it refuses: <Error> with a code for programs and a message
 * for people.  Pure; from outside.
 */
#ifndef S3_ERROR_H
#define S3_ERROR_H

#include "base/base.h"

enum { S3_CODE_MAX = 63, S3_MESSAGE_MAX = 200, S3_REGION_MAX = 64 };

struct s3_error {
	char code[S3_CODE_MAX + 1];		/* "NoSuchBucket": letters, digits and '.' */
	char message[S3_MESSAGE_MAX + 1];	/* cut; "" where it may hold a secret, too.  Untrusted: escape it */
	char region[S3_REGION_MAX + 1];		/* where the bucket is, or "": letters, digits, '-' and '_' */
	uint64_t object_size;			/* to a range beyond its end; UINT64_MAX where it is not said */
};

/* The body of an answer.  0, or -1 (ret untouched) where it is no such document. */
int s3_error_read(struct s3_error *ret, const char *data, size_t n);

#endif
