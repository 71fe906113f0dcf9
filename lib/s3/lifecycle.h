/* SPDX-License-Identifier: Apache-2.0
 *
 * A bucket's lifecycle rules: what we want of them, what others have there,
 * and both together.  A rule is ours by its id, "eodata-proxy-" with the
 * place's prefix and the class behind; so several sites can share a bucket.
 * Rules of others are kept as they are and where they are, ours stand behind.
 * Pure; documents are untrusted, and what is written for people is escaped.
 */
#ifndef S3_LIFECYCLE_H
#define S3_LIFECYCLE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "s3/xml.h"

enum {
	S3_RULES_MAX = 1000,		/* of a bucket: S3's own limit */
	S3_RULE_ID_MAX = 255,		/* bytes; S3's, too */
	/* An upload that takes longer is lost, and begun anew by whoever asks again.  The least is 1, from midnight. */
	S3_ABORT_DAYS = 2,
};

struct s3_class {
	const char *name;	/* a token: the first segment of keys behind the prefix */
	uint32_t days;		/* 0: never */
};

struct s3_lifecycle_want {	/* all borrowed */
	const char *prefix;	/* of a place: "" or ends with '/' */
	const struct s3_class *class;
	size_t n;
};

/* The bucket's answer: a LifecycleConfiguration of rules alone, or NULL and e. */
struct s3_xml *s3_lifecycle_read(const char *data, size_t n, struct err *e);
/* One without rules, for a bucket that has none. */
struct s3_xml *s3_lifecycle_none(void);
/*
 * The rules that are there, without those of ours that are not wanted any more,
 * and with those that are.  NULL and e: S3 would not take it, or there is
 * something in have that would be another thing when it is written again.
 */
struct s3_xml *s3_lifecycle_merge(const struct s3_xml *have, const struct s3_lifecycle_want *want, struct err *e);
/* The same rules in their meaning?  Their order, and how a filter is written, have none. */
bool s3_lifecycle_equal(const struct s3_xml *a, const struct s3_xml *b);

/* For people: a line for each rule; in a difference "- ", "+ " or "  " before it. */
void s3_lifecycle_show(struct buf *out, const struct s3_xml *x);
void s3_lifecycle_diff(struct buf *out, const struct s3_xml *from, const struct s3_xml *to);
/* What rules of others in have do to objects of ours, and what versions do: lines, or nothing. */
void s3_lifecycle_warn(struct buf *out, const struct s3_xml *have, const struct s3_lifecycle_want *want, bool versions);
/* For programs: rules of ours. */
void s3_lifecycle_json(struct buf *out, const struct s3_xml *x);

/* Does the bucket keep versions?  The answer to "?versioning": 0, or -1 and e. */
int s3_versioning_read(bool *ret_versions, const char *data, size_t n, struct err *e);
/* The value of Content-MD5 and a NUL.  0, or -1 where MD5 is not to be had. */
int s3_content_md5(char ret[25], const void *data, size_t n);

#endif
