/* SPDX-License-Identifier: Apache-2.0
 *
 * Presigned URLs of S3: Signature Version 4 over the path and the host of a
 * place, with what is S3's own way: the path is encoded once and not
 * normalised, the payload is not signed, and the token is.
 */
#include "base/base.h"

#include "s3/sign.h"

#include <stdlib.h>

#include "s3/sigv4.h"

struct s3_signer *
s3_signer_new(void)
{
	return mem_alloc(sizeof(struct s3_signer));
}

void
s3_signer_free(struct s3_signer *s)
{
	if (s == NULL)
		return;
	sigv4_forget(s);
	free(s);
}

static int
check(const struct s3_request *r, struct err *e)
{
	if (r->life_s < S3_LIFE_MIN || r->life_s > S3_LIFE_MAX)
		return err_set(e, "a life of %u s is not within %d and %d s", r->life_s, S3_LIFE_MIN, S3_LIFE_MAX);
	if (r->nheaders > S3_PAIRS_MAX)
		return err_set(e, "more than %d headers", S3_PAIRS_MAX);
	return 0;
}

/* query NULL: none. */
static int
add_url(struct buf *out, const struct s3_place *p, const struct buf *host, const struct buf *path,
    const struct buf *query, struct err *e)
{
	(void)buf_join(out, p->https ? "https" : "http", "://", buf_str(host), buf_str(path), query == NULL ? "" : "?",
	    query == NULL ? "" : buf_str(query), NULL);
	return buf_fits(out) ? 0 : err_set(e, "the URL is longer than there is room for");
}

int
s3_public_url(struct buf *out, const struct s3_place *p, const char *key, struct err *e)
{
	struct buf host = BUF_INIT(S3_URL_MAX), path = BUF_INIT(S3_URL_MAX);
	int rc = s3_place_path(&path, p, key, e);

	s3_place_host(&host, p);
	buf_must(&host);
	buf_must(&path);
	if (rc == 0)
		rc = add_url(out, p, &host, &path, NULL, e);
	buf_release(&host);
	buf_release(&path);
	return rc;
}

int
s3_presign(struct buf *out, struct s3_signer *s, const struct s3_place *p, const struct s3_credentials *c,
    const struct s3_request *r, int64_t now_s, struct err *e)
{
	struct buf host = BUF_INIT(S3_URL_MAX), path = BUF_INIT(S3_URL_MAX), query = BUF_INIT(S3_URL_MAX);
	struct s3_pair headers[S3_PAIRS_MAX + 1];
	struct sigv4_request v4;
	int rc = -1;

	if (check(r, e) != 0 || s3_place_path(&path, p, r->key, e) != 0)
		goto out;
	s3_place_host(&host, p);
	buf_must(&host);	/* host, bucket and key are bounded */
	buf_must(&path);
	headers[0] = (struct s3_pair){ "host", buf_str(&host) };
	for (size_t i = 0; i < r->nheaders; i++)
		headers[i + 1] = r->headers[i];
	v4 = (struct sigv4_request){ .method = r->method, .path = buf_str(&path), .query = r->query,
		.nquery = r->nquery, .headers = headers, .nheaders = r->nheaders + 1, .payload = "UNSIGNED-PAYLOAD",
		.region = p->region, .service = "s3", .life_s = r->life_s };
	if (sigv4_presign(&query, s, &v4, c, now_s, e) != 0)
		goto out;
	buf_must(&query);
	rc = add_url(out, p, &host, &path, &query, e);
out:
	buf_release(&host);
	buf_release(&path);
	buf_release(&query);
	return rc;
}
