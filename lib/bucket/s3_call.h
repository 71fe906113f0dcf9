/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation of S3: a presigned request through lib/net, and its answer
 * with what S3 says beyond HTTP (the code of an error).  It is tried once:
 * when to try again is the caller's affair, and s3_answer.again says whether
 * that makes sense.  client.h does it.  As lib/net: nothing blocks, one thread.
 */
#ifndef BUCKET_S3_CALL_H
#define BUCKET_S3_CALL_H

#include "bucket/judge.h"
#include "net/fetch.h"
#include "s3/credentials.h"
#include "s3/error.h"
#include "s3/place.h"
#include "s3/sign.h"
#include "s3/xml.h"

enum {
	S3_ANSWER_MAX = S3_XML_MAX,	/* bytes of a document or a small object */
	S3_SHORT_MAX = FETCH_ERROR_BODY_MAX,	/* ... of one that says little */
	S3_CALL_LIFE_S = 1800,		/* of the URL: our clock may be that late */
	S3_PATIENT_MS = 600000,		/* for the completion of an upload */
};

/* Who asks whom.  All borrowed; credentials may be others from one call to the next. */
struct s3_peer {
	struct net *net;
	const struct s3_place *place;
	struct s3_signer *signer;
	const struct s3_credentials *credentials;
};

struct s3_want {
	const char *id, *trace;		/* for the log; NULL: none */
	struct s3_request request;	/* life_s is S3_CALL_LIFE_S whatever it says */
	char *const *headers;		/* lines that are sent beside, unsigned: "If-Match: .." */
	size_t n_headers;
	int64_t answer_by_ms;		/* mono: headers are to be here; 0: as configured for providers */
	int64_t end_ms;			/* mono: it is over; 0: no limit, but S3_PATIENT_MS when patient */
	bool patient;			/* the answer may take until then (completing an upload, copying) */
	/* the body: n bytes of fd from offset on (borrowed until the end), or text; neither: none */
	int fd;				/* -1: text, or none */
	uint64_t offset, n;
	const char *text;		/* copied */
	size_t answer_max;		/* bytes; 0: S3_ANSWER_MAX */
};

struct s3_answer {
	enum fetch_error error;		/* FETCH_OK: there was an answer, whatever its status */
	const char *reason;		/* for the log: no secret; "" when there was an answer */
	int status;			/* of HTTP; 0: none came.  S3's 200 with an <Error> in it is 500 here */
	struct s3_error said;		/* its code is "" when S3 says none, as to HEAD */
	enum s3_result result;
	bool again;			/* the same may well succeed later */
	const char *region;		/* where it is to be asked instead; NULL: here is right, or nowhere is */
	const struct fetch_response *head;	/* NULL where there was no answer */
	const char *body;		/* the document, without spaces before it; "" */
	size_t body_n;
};

struct s3_call;
/* The answer is borrowed; the call is freed after it.  Never after s3_call_cancel. */
typedef void s3_done_fn(void *arg, const struct s3_answer *a);

bool s3_answer_good(const struct s3_answer *a);		/* 2xx */
/* "503 SlowDown", "timeout: ...": for an error's text.  Printable ASCII, no secret. */
void s3_answer_say(const struct s3_answer *a, struct err *e);
/* NULL and e: it cannot be asked at all.  fn never comes from inside. */
struct s3_call *s3_call_start(const struct s3_peer *p, const struct s3_want *w, s3_done_fn *fn, void *arg,
    struct err *e);
void s3_call_cancel(struct s3_call *c);			/* NULL is fine; not from inside its own fn */

#endif
