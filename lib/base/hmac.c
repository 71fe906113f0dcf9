/* SPDX-License-Identifier: Apache-2.0
 *
 * HMAC-SHA-256 over OpenSSL EVP.  One of the files with OpenSSL's headers.
 */
#include "base/base.h"

#include "base/hmac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

struct hmac {
	EVP_MAC_CTX *ctx;
};

struct hmac *
hmac_new(const void *key, size_t n)
{
	static EVP_MAC *mac;	/* fetched once: it is looked up under locks */
	static char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};
	struct hmac *h = mem_alloc(sizeof(*h));

	if (mac == NULL)
		mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (mac != NULL)
		h->ctx = EVP_MAC_CTX_new(mac);
	if (h->ctx == NULL || EVP_MAC_init(h->ctx, key, n, params) != 1)
		mem_none();	/* no policy forbids this one */
	return h;
}

void
hmac_sum(struct hmac *h, const void *data, size_t n, uint8_t ret[HMAC_SIZE])
{
	size_t len = 0;

	/* without a key it begins again with the one that it has */
	if (EVP_MAC_init(h->ctx, NULL, 0, NULL) != 1 || EVP_MAC_update(h->ctx, data, n) != 1 ||
	    EVP_MAC_final(h->ctx, ret, &len, HMAC_SIZE) != 1)
		mem_none();
	MUST(len == HMAC_SIZE);
}

void
hmac_free(struct hmac *h)
{
	if (h == NULL)
		return;
	EVP_MAC_CTX_free(h->ctx);	/* OpenSSL wipes what it made of the key */
	free(h);
}
