/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests over OpenSSL EVP.  One of the files with OpenSSL's headers.
 */
#include "base/base.h"

#include "base/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct digest {
	EVP_MD_CTX *ctx;
	enum digest_algo algo;
};

static const struct {
	const char *name;
	size_t size;
} algos[] = {
	[DIGEST_NONE] = { "none", 0 },
	[DIGEST_MD5] = { "md5", 16 },
	[DIGEST_SHA1] = { "sha1", 20 },
	[DIGEST_SHA256] = { "sha256", 32 },
	[DIGEST_SHA512] = { "sha512", 64 },
};

size_t
digest_size(enum digest_algo algo)
{
	return algos[algo].size;
}

const char *
digest_name(enum digest_algo algo)
{
	return algos[algo].name;
}

struct digest *
digest_new(enum digest_algo algo)
{
	const EVP_MD *md = algo == DIGEST_NONE ? NULL : EVP_get_digestbyname(algos[algo].name);
	struct digest *d;

	if (md == NULL)
		return NULL;
	d = mem_alloc(sizeof(*d));
	d->algo = algo;
	d->ctx = EVP_MD_CTX_new();
	if (d->ctx == NULL)
		mem_none();
	if (EVP_DigestInit_ex(d->ctx, md, NULL) == 1)
		return d;
	if (algo >= DIGEST_SHA256)	/* no policy forbids these: a body must not go unverified for want of memory */
		mem_none();
	digest_free(d);
	return NULL;
}

void
digest_add(struct digest *d, const void *data, size_t n)
{
	MUST(EVP_DigestUpdate(d->ctx, data, n) == 1);
}

void
digest_final(struct digest *d, uint8_t *ret)
{
	unsigned n = 0;

	MUST(EVP_DigestFinal_ex(d->ctx, ret, &n) == 1);
	MUST(n == algos[d->algo].size);
}

void
digest_free(struct digest *d)
{
	if (d == NULL)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

void
digest_sha256_hex(const void *data, size_t n, char ret[65])
{
	static const char hex[] = "0123456789abcdef";
	static EVP_MD_CTX *ctx;
	static EVP_MD *md;
	uint8_t raw[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	/* fetched once: OpenSSL 3 looks the algorithm up under locks each time, longer than a short text takes */
	if (md == NULL)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (ctx == NULL)
		ctx = EVP_MD_CTX_new();
	if (md == NULL || ctx == NULL)
		mem_none();	/* both fail for nothing else */
	if (EVP_DigestInit_ex(ctx, md, NULL) != 1 || EVP_DigestUpdate(ctx, data, n) != 1 ||
	    EVP_DigestFinal_ex(ctx, raw, &len) != 1)
		mem_none();
	MUST(len == 32);
	for (size_t i = 0; i < 32; i++) {
		ret[2 * i] = hex[raw[i] >> 4];
		ret[2 * i + 1] = hex[raw[i] & 15];
	}
	ret[64] = '\0';
}
