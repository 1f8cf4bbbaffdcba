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
/* A context a thread for sha256_of: making one costs more than a short sum. */
static pthread_key_t own_key;
static _Thread_local EVP_MD_CTX *own;

static void own_free(void *ctx)
{
	EVP_MD_CTX_free(ctx);
}

static void md_fetch(void)
{
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(md);
	must(pthread_key_create(&own_key, own_free) == 0);
}

static const EVP_MD *md_get(void)
{
	must(pthread_once(&md_once, md_fetch) == 0);
	return md;
}

static EVP_MD_CTX *ctx_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx && EVP_DigestInit_ex(ctx, md_get(), NULL) == 1);
	return ctx;
}

static EVP_MD_CTX *own_get(void)
{
	if (!own) {
		own = ctx_new();
		must(pthread_setspecific(own_key, own) == 0);
	}
	return own;
}

/* With the digest that it has: naming it again makes all anew inside. */
static void again(EVP_MD_CTX *ctx)
{
	must(EVP_DigestInit_ex(ctx, NULL, NULL) == 1);
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

	ctx->evp = ctx_new();
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
	again(ctx->evp);
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

struct sha256 sha256_of(struct str s)
{
	struct sha256 d;
	unsigned n = 0;

	EVP_MD_CTX *ctx = own_get();

	again(ctx);
	must(EVP_DigestUpdate(ctx, s.p, s.n) == 1);
	must(EVP_DigestFinal_ex(ctx, d.b, &n) == 1 && n == sizeof(d.b));
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
