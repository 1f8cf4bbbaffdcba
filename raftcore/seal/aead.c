/* AES-256-GCM by OpenSSL: see seal.h. */
#include "seal/seal.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "base/mem.h"

#include "base/banned.h"

struct aead {
	EVP_CIPHER_CTX *seal, *open;
};

static EVP_CIPHER *cipher;
static pthread_once_t cipher_once = PTHREAD_ONCE_INIT;

static void cipher_fetch(void)
{
	cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	must(cipher);
}

struct aead *aead_new(const struct seal_key *key)
{
	struct aead *a = NEW(struct aead);

	must(pthread_once(&cipher_once, cipher_fetch) == 0);
	a->seal = EVP_CIPHER_CTX_new();
	a->open = EVP_CIPHER_CTX_new();
	must(a->seal && a->open);
	must(EVP_EncryptInit_ex2(a->seal, cipher, key->b, NULL, NULL) == 1);
	must(EVP_DecryptInit_ex2(a->open, cipher, key->b, NULL, NULL) == 1);
	return a;
}

/* The library wipes what it made of the key. */
void aead_free(struct aead **ap)
{
	struct aead *a = TAKE(*ap);

	if (!a)
		return;
	EVP_CIPHER_CTX_free(a->seal);
	EVP_CIPHER_CTX_free(a->open);
	free(a);
}

void aead_seal(struct aead *a, const uint8_t nonce[SEAL_NONCE_BYTES],
	       struct str ad, void *p, size_t n, uint8_t tag[SEAL_TAG_BYTES])
{
	unsigned char none[16];
	int len;

	must(n <= INT_MAX && ad.n <= INT_MAX);
	must(EVP_EncryptInit_ex2(a->seal, NULL, NULL, nonce, NULL) == 1);
	if (ad.n)
		must(EVP_EncryptUpdate(a->seal, NULL, &len,
				       (const unsigned char *)ad.p,
				       (int)ad.n) == 1);
	if (n)
		must(EVP_EncryptUpdate(a->seal, p, &len, p, (int)n) == 1 &&
		     (size_t)len == n);
	must(EVP_EncryptFinal_ex(a->seal, none, &len) == 1 && len == 0);
	must(EVP_CIPHER_CTX_ctrl(a->seal, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES,
				 tag) == 1);
}

bool aead_open(struct aead *a, const uint8_t nonce[SEAL_NONCE_BYTES],
	       struct str ad, void *p, size_t n,
	       const uint8_t tag[SEAL_TAG_BYTES])
{
	unsigned char none[16], want[SEAL_TAG_BYTES];
	int len;

	must(n <= INT_MAX && ad.n <= INT_MAX);
	memcpy(want, tag, sizeof(want));
	must(EVP_DecryptInit_ex2(a->open, NULL, NULL, nonce, NULL) == 1);
	if (ad.n)
		must(EVP_DecryptUpdate(a->open, NULL, &len,
				       (const unsigned char *)ad.p,
				       (int)ad.n) == 1);
	if (n)
		must(EVP_DecryptUpdate(a->open, p, &len, p, (int)n) == 1 &&
		     (size_t)len == n);
	must(EVP_CIPHER_CTX_ctrl(a->open, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES,
				 want) == 1);
	if (EVP_DecryptFinal_ex(a->open, none, &len) == 1)
		return true;
	/* What was decrypted and is not what was sealed is nobody's to see. */
	if (n)
		memset(p, 0, n);
	return false;
}
