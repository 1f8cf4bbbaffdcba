/* Checksums over libisal and OpenSSL: see sum.h. */
#include "wire/sum.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/hex.h"
#include "base/mem.h"

#include "base/banned.h"

/* libisal's "iscsi" polynomial is Castagnoli, without the inversions. */
uint32_t crc32c(uint32_t start, const void *p, size_t n)
{
	const unsigned char *at = p;
	uint32_t crc = ~start;

	while (n) {
		size_t step = MIN(n, (size_t)1 << 30);

		crc = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)step, crc);
		at += step;
		n -= step;
	}
	return ~crc;
}

struct sha256_ctx {
	EVP_MD_CTX *md;
};

struct sha256_ctx *sha256_new(void)
{
	struct sha256_ctx *ctx = NEW(struct sha256_ctx);

	ctx->md = EVP_MD_CTX_new();
	must(ctx->md);
	sha256_start(ctx);
	return ctx;
}

void sha256_ctx_free(struct sha256_ctx **ctx)
{
	if (!*ctx)
		return;
	EVP_MD_CTX_free((*ctx)->md);
	free(*ctx);
	*ctx = NULL;
}

void sha256_start(struct sha256_ctx *ctx)
{
	must(EVP_DigestInit_ex(ctx->md, EVP_sha256(), NULL) == 1);
}

void sha256_add(struct sha256_ctx *ctx, const void *p, size_t n)
{
	if (n)
		must(EVP_DigestUpdate(ctx->md, p, n) == 1);
}

struct sha256 sha256_end(struct sha256_ctx *ctx)
{
	struct sha256 d;

	must(EVP_DigestFinal_ex(ctx->md, d.b, NULL) == 1);
	return d;
}

struct sha256 sha256_of(struct str s)
{
	struct sha256 d;

	SHA256((const unsigned char *)(s.n ? s.p : ""), s.n, d.b);
	return d;
}

void sha256_hex(char out[65], const struct sha256 *d)
{
	hex_text(out, d->b, sizeof(d->b));
}

bool sha256_eq(const struct sha256 *a, const struct sha256 *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}
