/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of trying again.  Codes come before statuses: 400 and 403 stand
 * for what will never do as well as for what another try may cure.
 */
#include "base/base.h"

#include "bucket/judge.h"

#include <string.h>

const char *
s3_result_name(enum s3_result x)
{
	static const char *const name[] = {
		[S3_RESULT_OK] = "ok", [S3_RESULT_ABSENT] = "absent", [S3_RESULT_UNMET] = "unmet", [S3_RESULT_NONE] = "no-bucket",
		[S3_RESULT_REFUSED] = "refused", [S3_RESULT_CLOCK] = "clock", [S3_RESULT_REGION] = "region",
		[S3_RESULT_BAD] = "bad", [S3_RESULT_BUSY] = "busy", [S3_RESULT_AWAY] = "away", [S3_RESULT_SOURCE] = "source",
	};

	return (size_t)x < ARRAY_LEN(name) ? name[x] : "unknown";
}

static const struct { const char *code; enum s3_result result; bool again; } codes[] = {
	{ "InternalError", S3_RESULT_BUSY, true },
	{ "SlowDown", S3_RESULT_BUSY, true },
	{ "ServiceUnavailable", S3_RESULT_BUSY, true },
	{ "RequestTimeout", S3_RESULT_BUSY, true },	/* 400: it has waited for the body */
	{ "OperationAborted", S3_RESULT_BUSY, true },	/* 409: another operation was in the way */
	{ "TooManyRequests", S3_RESULT_BUSY, true },
	{ "NoSuchBucket", S3_RESULT_NONE, false },
	{ "RequestTimeTooSkewed", S3_RESULT_CLOCK, false },
	{ "PermanentRedirect", S3_RESULT_REGION, false },
	{ "TemporaryRedirect", S3_RESULT_REGION, false },
};

static const struct { int first, last; enum s3_result result; bool again; } statuses[] = {
	{ 200, 299, S3_RESULT_OK, false },
	{ 304, 304, S3_RESULT_OK, false },
	{ 300, 399, S3_RESULT_REGION, false },
	{ 401, 401, S3_RESULT_REFUSED, false },
	{ 403, 403, S3_RESULT_REFUSED, false },
	{ 404, 404, S3_RESULT_ABSENT, false },
	{ 408, 408, S3_RESULT_BUSY, true },
	{ 409, 409, S3_RESULT_UNMET, false },
	{ 412, 412, S3_RESULT_UNMET, false },
	{ 429, 429, S3_RESULT_BUSY, true },
	{ 500, 500, S3_RESULT_BUSY, true },
	{ 502, 504, S3_RESULT_BUSY, true },
};

static enum judge_next
judge_fetch(enum fetch_error x, enum s3_result *ret)
{
	switch (x) {
	case FETCH_CONNECT:
	case FETCH_TIMEOUT:
	case FETCH_PROTOCOL:
	case FETCH_TRUNCATED:
		*ret = S3_RESULT_AWAY;
		return JUDGE_AGAIN;
	case FETCH_CANCELLED:	/* nothing of ours says stop */
		*ret = S3_RESULT_SOURCE;
		return JUDGE_OVER;
	default:
		*ret = S3_RESULT_BAD;
		return JUDGE_OVER;
	}
}

static enum judge_next
judge_answer(const struct judge_facts *f, enum s3_result *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strcmp(f->code, codes[i].code) == 0) {
			*ret = codes[i].result;
			return codes[i].again ? JUDGE_AGAIN : JUDGE_OVER;
		}
	}
	/* an error that came late has a status of success */
	for (size_t i = 0; i < ARRAY_LEN(statuses) && !(f->status < 300 && f->code[0] != '\0'); i++) {
		if (f->status >= statuses[i].first && f->status <= statuses[i].last) {
			*ret = statuses[i].result;
			return statuses[i].again ? JUDGE_AGAIN : JUDGE_OVER;
		}
	}
	*ret = S3_RESULT_BAD;
	return JUDGE_OVER;
}

enum judge_next
judge(const struct judge_facts *f, enum s3_result *ret)
{
	enum judge_next next;
	int64_t off_s = f->date_s < 0 ? 0 : f->now_s - f->date_s;

	if (f->fetch != FETCH_OK)
		return judge_fetch(f->fetch, ret);
	next = judge_answer(f, ret);
	if (next != JUDGE_OVER || *ret == S3_RESULT_OK || *ret == S3_RESULT_ABSENT || *ret == S3_RESULT_UNMET)
		return next;
	/* to HEAD there is no code, and engines have others for a signature of another time */
	if (f->status == 403 && (off_s > JUDGE_CLOCK_S || off_s < -JUDGE_CLOCK_S))
		*ret = S3_RESULT_CLOCK;
	/* 400, too: the signature is for a wrong region */
	if (*ret != S3_RESULT_CLOCK && f->status >= 300 && f->region != NULL && f->region[0] != '\0' &&
	    strcmp(f->region, f->asked_region) != 0) {
		*ret = S3_RESULT_REGION;
		return JUDGE_ELSEWHERE;
	}
	return JUDGE_OVER;
}

int64_t
judge_pause_ms(unsigned tries, int64_t retry_after_s, uint32_t chance)
{
	int64_t most = JUDGE_PAUSE_MAX_MS, ms;

	if (tries < 8 && ((int64_t)JUDGE_PAUSE_MS << (tries - 1)) < most)
		most = (int64_t)JUDGE_PAUSE_MS << (tries - 1);
	ms = most / 2 + chance % (most / 2 + 1);
	return retry_after_s * 1000 > ms ? retry_after_s * 1000 : ms;
}
