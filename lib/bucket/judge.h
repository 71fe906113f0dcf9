/* SPDX-License-Identifier: Apache-2.0
 *
 * What an answer of S3 means, and when to come again.  Pure.
 */
#ifndef BUCKET_JUDGE_H
#define BUCKET_JUDGE_H

#include "net/fetch.h"

enum {
	JUDGE_PAUSE_MS = 200,			/* the first one; each next is twice as long */
	JUDGE_PAUSE_MAX_MS = 20000,
	JUDGE_CLOCK_S = 600,			/* S3 allows 900 */
};

enum s3_result {
	S3_RESULT_OK,		/* 200 to 299, or 304 */
	S3_RESULT_ABSENT,	/* 404: no such object, or no such upload */
	S3_RESULT_UNMET,	/* 412, 409: a condition does not hold */
	S3_RESULT_NONE,		/* there is no such bucket */
	S3_RESULT_REFUSED,	/* 401, 403: keys or policy */
	S3_RESULT_CLOCK,	/* ours is so wrong that no signature is valid */
	S3_RESULT_REGION,	/* the bucket is elsewhere */
	S3_RESULT_BAD,		/* S3 will never take this */
	S3_RESULT_BUSY,		/* S3 asks for another try */
	S3_RESULT_AWAY,		/* no answer */
	S3_RESULT_SOURCE,	/* what was to be sent cannot be read */
};
const char *s3_result_name(enum s3_result x);	/* "absent" */

enum judge_next {
	JUDGE_OVER,
	JUDGE_AGAIN,		/* after a pause */
	JUDGE_ELSEWHERE,	/* at once, signed for the region that the answer names */
};

struct judge_facts {
	enum fetch_error fetch;
	int status;		/* 0: none came */
	const char *code;	/* of S3's error, or "" */
	const char *region;	/* that the answer names; NULL or "": none */
	const char *asked_region;
	int64_t date_s, now_s;	/* of the answer (-1: none), and ours */
};

/* ret: the result if it is over, or if there is no time for another try. */
enum judge_next judge(const struct judge_facts *f, enum s3_result *ret);
/* After so many tries (from 1); retry_after_s -1: S3 has not said.  chance: any number. */
int64_t judge_pause_ms(unsigned tries, int64_t retry_after_s, uint32_t chance);
#endif
