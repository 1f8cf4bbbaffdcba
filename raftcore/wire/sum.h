/*
 * Checksums: CRC32C (Castagnoli, RFC 3720; libisal) and SHA-256 (FIPS 180-4;
 * OpenSSL).  Pure; any thread.
 */
#ifndef WIRE_SUM_H
#define WIRE_SUM_H

#include "base/str.h"

uint32_t crc32c(uint32_t start, const void *p, size_t n);   /* start 0 */

struct sha256 {
	uint8_t b[32];
};

/* A running digest. */
struct sha256_ctx;
struct sha256_ctx *sha256_new(void);
void sha256_ctx_free(struct sha256_ctx **ctx);
void sha256_start(struct sha256_ctx *ctx);      /* (re)starts */
void sha256_add(struct sha256_ctx *ctx, const void *p, size_t n);
struct sha256 sha256_end(struct sha256_ctx *ctx);

struct sha256 sha256_of(struct str s);
void sha256_hex(char out[65], const struct sha256 *d);
bool sha256_eq(const struct sha256 *a, const struct sha256 *b);

#endif
