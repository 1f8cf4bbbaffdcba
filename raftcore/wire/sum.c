/*
 * Checksums by libraries that know the processor: CRC32C by ISA-L, SHA-256 by
 * OpenSSL.  The digest is fetched once; doing so for each sum costs more than
 * the sum of a small configuration.
 */
#include "wire/sum.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "base/hex.h"
#include "base/mem.h"

#include "base/banned.h"

/* The library counts in int. */
#define CRC_PIECE (1u << 30)

struct sha256_ctx {
	EVP_MD_CTX *evp;
};

static EVP_MD *md;
static pthread_once_t md_once = PTHREAD_ONCE_INIT;

static void md_fetch(void)
{
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(md);
}

static const EVP_MD *md_get(void)
{
	must(pthread_once(&md_once, md_fetch) == 0);
	return md;
}

uint32_t crc32c(uint32_t start, const void *p, size_t n)
{
	/* The library takes a plain pointer but only reads. */
	unsigned char *at = (unsigned char *)p;
	uint32_t crc = ~start;

	must(p || n == 0);
	while (n) {
		size_t piece = MIN(n, (size_t)CRC_PIECE);

		crc = crc32_iscsi(at, (int)piece, crc);
		at += piece;
		n -= piece;
	}
	return ~crc;
}

struct sha256_ctx *sha256_new(void)
{
	struct sha256_ctx *ctx = NEW(struct sha256_ctx);

	ctx->evp = EVP_MD_CTX_new();
	must(ctx->evp);
	sha256_start(ctx);
	return ctx;
}

void sha256_ctx_free(struct sha256_ctx **ctx)
{
	if (!*ctx)
		return;
	EVP_MD_CTX_free((*ctx)->evp);
	free(*ctx);
	*ctx = NULL;
}

void sha256_start(struct sha256_ctx *ctx)
{
	must(EVP_DigestInit_ex(ctx->evp, md_get(), NULL) == 1);
}

void sha256_add(struct sha256_ctx *ctx, const void *p, size_t n)
{
	must(EVP_DigestUpdate(ctx->evp, p, n) == 1);
}

struct sha256 sha256_end(struct sha256_ctx *ctx)
{
	struct sha256 d;
	unsigned n = 0;

	must(EVP_DigestFinal_ex(ctx->evp, d.b, &n) == 1 && n == sizeof(d.b));
	return d;
}

void sha256_copy(struct sha256_ctx *to, const struct sha256_ctx *from)
{
	must(EVP_MD_CTX_copy_ex(to->evp, from->evp) == 1);
}

struct sha256 sha256_of(struct str s)
{
	struct sha256 d;
	unsigned n = 0;

	must(EVP_Digest(s.n ? s.p : "", s.n, d.b, &n, md_get(), NULL) == 1);
	must(n == sizeof(d.b));
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
