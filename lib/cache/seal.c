/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and values of a store's in memcached.  Workers and movers.
 *
 * A value is its body and behind it the HMAC-SHA-256 of "v", the name and the
 * body; a name is the first 160 bits of that of "n", the kind and the key.
 * Their key is the HMAC of the store under the secret, so that another store's
 * names and values are another's.
 */
#include "base/base.h"

#include "cache/seal.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { NAME_BYTES = 20 };

struct seal {
	struct hmac *hmac;
	struct buf text;		/* what is summed, or a name; kept for its memory */
};

struct seal *
seal_new(const char *secret, const char *store)
{
	static const char purpose[] = "eodata-proxy store 1\n";
	struct seal *s = mem_alloc(sizeof(*s));
	struct hmac *h = hmac_new(secret, strlen(secret));
	uint8_t key[HMAC_SIZE];

	buf_init(&s->text, (size_t)64 * 1024);
	(void)buf_join(&s->text, purpose, store, NULL);
	buf_must(&s->text);
	hmac_sum(h, s->text.data, s->text.len, key);
	hmac_free(h);
	s->hmac = hmac_new(key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return s;
}

void
seal_free(struct seal *s)
{
	if (s == NULL)
		return;
	hmac_free(s->hmac);
	buf_release(&s->text);
	free(s);
}

void
seal_name(struct seal *s, enum seal_kind kind, const char *key, char ret[SEAL_NAME_SIZE])
{
	uint8_t sum[HMAC_SIZE];

	buf_clear(&s->text);
	(void)buf_addc(&s->text, 'n');
	(void)buf_addc(&s->text, (char)kind);
	(void)buf_adds(&s->text, key);
	buf_must(&s->text);
	hmac_sum(s->hmac, s->text.data, s->text.len, sum);
	buf_clear(&s->text);
	(void)buf_adds(&s->text, "eo:");
	(void)buf_addc(&s->text, (char)kind);
	text_hex(&s->text, sum, NAME_BYTES);
	buf_must(&s->text);
	MUST(s->text.len == SEAL_NAME_SIZE - 1);
	memcpy(ret, s->text.data, SEAL_NAME_SIZE);
}

static void
sum_value(struct seal *s, const char *name, const void *body, size_t n, uint8_t ret[HMAC_SIZE])
{
	buf_clear(&s->text);
	(void)buf_addc(&s->text, 'v');
	(void)buf_add(&s->text, name, SEAL_NAME_SIZE);	/* with its NUL: where it ends is no question */
	(void)buf_add(&s->text, body, n);
	buf_must(&s->text);
	hmac_sum(s->hmac, s->text.data, s->text.len, ret);
}

int
seal_close(struct seal *s, const char *name, struct buf *value)
{
	uint8_t sum[HMAC_SIZE];

	if (!buf_ok(value) || value->len > SEAL_BODY_MAX)
		return -1;
	sum_value(s, name, value->data, value->len, sum);
	return buf_add(value, sum, sizeof(sum));
}

ssize_t
seal_open(struct seal *s, const char *name, const void *value, size_t n)
{
	uint8_t sum[HMAC_SIZE];
	volatile uint8_t differs = 0;
	const uint8_t *got;

	if (n < HMAC_SIZE || n > SEAL_VALUE_MAX)
		return -1;
	got = (const uint8_t *)value + n - HMAC_SIZE;
	sum_value(s, name, value, n - HMAC_SIZE, sum);
	for (size_t i = 0; i < HMAC_SIZE; i++)
		differs |= got[i] ^ sum[i];
	return differs == 0 ? (ssize_t)(n - HMAC_SIZE) : -1;
}
