/* SPDX-License-Identifier: Apache-2.0
 *
 * Signature Version 4 in the query.  The words are those of Amazon's
 * documents: a canonical request, a scope, a string to sign.
 */
#include "base/base.h"

#include "s3/sigv4.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/digest.h"
#include "base/text.h"

enum {
	OWN_PAIRS = 6,		/* what the signature adds to a query, before itself */
	DAY_BYTES = 8,		/* of a date: YYYYMMDD */
};
#define ALGORITHM	"AWS4-HMAC-SHA256"
static const int64_t last_s = 253402300799;	/* the end of the year 9999 */

/* --- order ---------------------------------------------------------------------- */

/* What a byte begins with when it is encoded: '%' comes before all that stay as they are. */
static int
rank(char c)
{
	return text_is_unreserved(c) ? 256 + c : (uint8_t)c;
}

/* As strcmp of both when they are percent-encoded. */
static int
compare_encoded(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return rank(*a) - rank(*b);
}

static int
by_encoded(const void *a, const void *b)
{
	const struct s3_pair *x = a, *y = b;
	int d = compare_encoded(x->name, y->name);

	return d != 0 ? d : compare_encoded(x->value, y->value);
}

static int
by_name(const void *a, const void *b)
{
	return strcasecmp(((const struct s3_pair *)a)->name, ((const struct s3_pair *)b)->name);
}

/* --- headers -------------------------------------------------------------------- */

static int
check_header(const struct s3_pair *h, struct err *e)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

	if (h->name[0] == '\0' || h->name[strspn(h->name, allowed)] != '\0')
		return err_set(e, "a header's name is empty, or holds something else than letters, digits and '-'");
	for (const char *p = h->value; *p != '\0'; p++) {
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			return err_set(e, "the header '%s' holds a control byte", h->name);
	}
	return 0;
}

static void
add_lower(struct buf *out, const char *name)
{
	for (; *name != '\0'; name++)
		(void)buf_addc(out, *name >= 'A' && *name <= 'Z' ? (char)(*name + ('a' - 'A')) : *name);
}

/* Without spaces at its ends, and one for each run of them inside. */
static void
add_value(struct buf *out, const char *v)
{
	size_t n;

	v += strspn(v, " ");
	while (*v != '\0') {
		n = strcspn(v, " ");
		(void)buf_add(out, v, n);
		v += n;
		v += strspn(v, " ");
		if (*v != '\0')
			(void)buf_addc(out, ' ');
	}
}

int
sigv4_headers(struct buf *lines, struct buf *names, const struct s3_pair *headers, size_t n, struct err *e)
{
	struct s3_pair sorted[S3_PAIRS_MAX + 1];	/* Host, too */

	if (n > ARRAY_LEN(sorted))
		return err_set(e, "more than %d headers", S3_PAIRS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (check_header(&headers[i], e) != 0)
			return -1;
		sorted[i] = headers[i];
	}
	qsort(sorted, n, sizeof(sorted[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && by_name(&sorted[i - 1], &sorted[i]) == 0)
			return err_set(e, "the header '%s' is there twice", sorted[i].name);
		if (i > 0)
			(void)buf_addc(names, ';');	/* a buffer remembers its failure */
		add_lower(names, sorted[i].name);
		add_lower(lines, sorted[i].name);
		(void)buf_addc(lines, ':');
		add_value(lines, sorted[i].value);
		(void)buf_addc(lines, '\n');
	}
	return 0;
}

/* --- the canonical request -------------------------------------------------------- */

void
sigv4_query(struct buf *out, struct s3_pair *query, size_t n)
{
	qsort(query, n, sizeof(query[0]), by_encoded);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			(void)buf_addc(out, '&');
		text_percent(out, query[i].name, strlen(query[i].name));
		(void)buf_addc(out, '=');
		text_percent(out, query[i].value, strlen(query[i].value));
	}
}

void
sigv4_canonical(struct buf *out, const struct sigv4_request *r, const char *query, const char *lines, const char *names)
{
	(void)buf_join(out, r->method, "\n", r->path, "\n", query, "\n", lines, "\n", names, "\n", r->payload, NULL);
}

/* --- the signature ---------------------------------------------------------------- */

int
sigv4_date(char ret[SIGV4_DATE_MAX], int64_t now_s, struct err *e)
{
	time_t t = (time_t)now_s;
	struct tm tm;

	if (now_s < 0 || now_s > last_s || (int64_t)t != now_s || gmtime_r(&t, &tm) == NULL)
		return err_set(e, "the clock shows no time between 1970 and 9999");
	MUST(strftime(ret, SIGV4_DATE_MAX, "%Y%m%dT%H%M%SZ", &tm) == SIGV4_DATE_MAX - 1);
	return 0;
}

void
sigv4_forget(struct s3_signer *s)
{
	hmac_free(s->key);
	s->key = NULL;
	if (s->secret != NULL)
		explicit_bzero(s->secret, strlen(s->secret));
	free(s->secret);
	s->secret = NULL;
}

/* key becomes the HMAC of text under it. */
static void
derive(uint8_t key[HMAC_SIZE], const char *text, size_t n)
{
	struct hmac *h = hmac_new(key, HMAC_SIZE);

	hmac_sum(h, text, n, key);
	hmac_free(h);
}

static void
make_key(struct s3_signer *s, const char *day, const struct sigv4_request *r)
{
	size_t n = strlen(s->secret);
	char *first = mem_alloc(4 + n);		/* not by printf, whose buffers nobody wipes */
	uint8_t key[HMAC_SIZE];
	struct hmac *h;

	memcpy(first, "AWS4", 4);
	memcpy(first + 4, s->secret, n);
	h = hmac_new(first, 4 + n);
	hmac_sum(h, day, DAY_BYTES, key);
	hmac_free(h);
	explicit_bzero(first, 4 + n);
	free(first);
	derive(key, r->region, strlen(r->region));
	derive(key, r->service, strlen(r->service));
	derive(key, "aws4_request", strlen("aws4_request"));
	s->key = hmac_new(key, sizeof(key));
	explicit_bzero(key, sizeof(key));
}

int
sigv4_scope(struct s3_signer *s, const struct s3_credentials *c, const char *date, const struct sigv4_request *r,
    struct err *e)
{
	char scope[SIGV4_SCOPE_MAX];
	int n;

	n = snprintf(scope, sizeof(scope), "%.*s/%s/%s/aws4_request", DAY_BYTES, date, r->region, r->service);
	if (n < 0 || (size_t)n >= sizeof(scope))
		return err_set(e, "the region's name is too long");
	if (s->key != NULL && strcmp(s->scope, scope) == 0 && strcmp(s->secret, c->secret) == 0)
		return 0;
	sigv4_forget(s);
	memcpy(s->scope, scope, sizeof(scope));
	s->secret = mem_strdup(c->secret);
	make_key(s, date, r);
	return 0;
}

void
sigv4_string_to_sign(struct buf *out, const struct s3_signer *s, const char *date, const struct buf *canonical)
{
	char hash[65];

	digest_sha256_hex(buf_str(canonical), canonical->len, hash);
	(void)buf_join(out, ALGORITHM "\n", date, "\n", s->scope, "\n", hash, NULL);
}

void
sigv4_signature(struct buf *out, struct s3_signer *s, const struct buf *string_to_sign)
{
	uint8_t raw[HMAC_SIZE];

	hmac_sum(s->key, buf_str(string_to_sign), string_to_sign->len, raw);
	text_hex(out, raw, sizeof(raw));
}

/* --- all of it -------------------------------------------------------------------- */

static int
check_query(const struct sigv4_request *r, struct err *e)
{
	static const char *const own[] = { "Algorithm", "Credential", "Date", "Expires", "Security-Token", "Signature",
		"SignedHeaders" };

	if (r->nquery > S3_PAIRS_MAX)
		return err_set(e, "more than %d members of a query", S3_PAIRS_MAX);
	for (size_t i = 0; i < r->nquery; i++) {
		if (strncasecmp(r->query[i].name, "X-Amz-", 6) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(own); k++) {
			if (strcasecmp(r->query[i].name + 6, own[k]) == 0)
				return err_set(e, "X-Amz-%s is the signature's own", own[k]);
		}
	}
	return 0;
}

/* r's query with what the signature adds to it. */
static void
add_query(struct buf *out, const struct sigv4_request *r, const struct s3_credentials *c, const char *scope,
    const char *date, const char *names)
{
	struct s3_pair pair[S3_PAIRS_MAX + OWN_PAIRS];
	char *credential, life[16];
	size_t n = 0;

	credential = mem_printf("%s/%s", c->id, scope);
	(void)snprintf(life, sizeof(life), "%" PRIu32, r->life_s);	/* ten digits at most */
	for (; n < r->nquery; n++)
		pair[n] = r->query[n];
	pair[n++] = (struct s3_pair){ "X-Amz-Algorithm", ALGORITHM };
	pair[n++] = (struct s3_pair){ "X-Amz-Credential", credential };
	pair[n++] = (struct s3_pair){ "X-Amz-Date", date };
	pair[n++] = (struct s3_pair){ "X-Amz-Expires", life };
	if (c->token != NULL)
		pair[n++] = (struct s3_pair){ "X-Amz-Security-Token", c->token };
	pair[n++] = (struct s3_pair){ "X-Amz-SignedHeaders", names };
	sigv4_query(out, pair, n);
	free(credential);
}

int
sigv4_presign(struct buf *out, struct s3_signer *s, const struct sigv4_request *r, const struct s3_credentials *c,
    int64_t now_s, struct err *e)
{
	struct buf lines = BUF_INIT(SIGV4_TEXT_MAX), names = BUF_INIT(SIGV4_TEXT_MAX), query = BUF_INIT(SIGV4_TEXT_MAX);
	struct buf canonical = BUF_INIT(5 * SIGV4_TEXT_MAX), text = BUF_INIT(SIGV4_TEXT_MAX);
	char date[SIGV4_DATE_MAX];
	int rc = -1;

	if (check_query(r, e) != 0 || sigv4_headers(&lines, &names, r->headers, r->nheaders, e) != 0 ||
	    sigv4_date(date, now_s, e) != 0 || sigv4_scope(s, c, date, r, e) != 0)
		goto out;
	add_query(&query, r, c, s->scope, date, buf_str(&names));
	if (!buf_fits(&lines) || !buf_fits(&names) || !buf_fits(&query)) {
		err_set(e, "the query or the headers are longer than %d bytes", SIGV4_TEXT_MAX);
		goto out;
	}
	sigv4_canonical(&canonical, r, buf_str(&query), buf_str(&lines), buf_str(&names));
	sigv4_string_to_sign(&text, s, date, &canonical);
	(void)buf_join(out, buf_str(&query), "&X-Amz-Signature=", NULL);	/* the caller looks at out */
	sigv4_signature(out, s, &text);
	buf_must(&canonical);	/* it has room for all of its parts */
	buf_must(&text);
	rc = 0;
out:
	buf_release(&lines);
	buf_release(&names);
	buf_release(&query);
	buf_release(&canonical);
	buf_release(&text);
	return rc;
}
