/* Sealing to a public key: see pair.h. */
#include "seal/pair.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/secret.h"
#include "io/file.h"
#include "wire/sum.h"

#include "base/banned.h"

#define PEM_MAX (16 * 1024)
#define NAME_BYTES 8
#define WRAPPED_BYTES (SEAL_PAIR_BYTES + SEAL_KEY_BYTES + SEAL_TAG_BYTES)

struct half {
	EVP_PKEY *pkey;
	uint8_t public_[SEAL_PAIR_BYTES];
	char name[2 * NAME_BYTES + 1];
};

struct seal_public {
	struct half half;
};

struct seal_private {
	struct half half;
};

/* ---- reading ---- */

/* Nobody is at the terminal of a server. */
static int no_passphrase(char *to, int size, int rwflag, void *data)
{
	return 0;
}

static enum code name_half(struct half *h, const char *path, struct err *err)
{
	size_t n = sizeof(h->public_);
	struct sha256 sum;

	if (EVP_PKEY_get_raw_public_key(h->pkey, h->public_, &n) != 1 ||
	    n != sizeof(h->public_))
		return err_set(err, E_INVALID, "%s: the key has no public half",
			       path);
	sum = sha256_of(str_n(h->public_, sizeof(h->public_)));
	hex_text(h->name, sum.b, NAME_BYTES);
	return OK;
}

static enum code parse(struct str pem, const char *path, bool is_private,
		       struct half *out, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.n ? pem.p : "",
				   (int)MIN(pem.n, (size_t)PEM_MAX));
	enum code rc;

	must(bio);
	out->pkey = is_private ?
		PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) :
		PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (out->pkey && EVP_PKEY_is_a(out->pkey, "X25519")) {
		rc = name_half(out, path, err);
	} else {
		rc = err_set(err, E_INVALID, "%s: no %s key of X25519 in PEM", path,
			     is_private ? "private" : "public");
		err_hint(err, "%s", is_private ?
			 "openssl genpkey -algorithm X25519 -out backup.key" :
			 "openssl pkey -in backup.key -pubout -out backup.pub");
	}
	if (rc)
		EVP_PKEY_free(TAKE(out->pkey));
	return rc;
}

static enum code load(const char *path, bool is_private, struct half *out,
		      struct err *err)
{
	struct buf pem = BUF_NONE;
	enum code rc = file_get_small(path, PEM_MAX, is_private, &pem, err);

	if (rc == OK)
		rc = parse(buf_view(&pem), path, is_private, out, err);
	if (pem.p)
		wipe(pem.p, pem.cap);
	buf_fini(&pem);
	return rc;
}

enum code seal_public_load(const char *path, struct seal_public **out,
			   struct err *err)
{
	struct half h = { 0 };
	enum code rc = load(path, false, &h, err);

	if (rc)
		return rc;
	*out = NEW(struct seal_public);
	(*out)->half = h;
	return OK;
}

enum code seal_private_load(const char *path, struct seal_private **out,
			    struct err *err)
{
	struct half h = { 0 };
	enum code rc = load(path, true, &h, err);

	if (rc)
		return rc;
	*out = NEW(struct seal_private);
	(*out)->half = h;
	return OK;
}

enum code seal_public_parse(struct str pem, const char *path,
			    struct seal_public **out, struct err *err)
{
	struct half h = { 0 };
	enum code rc = parse(pem, path, false, &h, err);

	if (rc)
		return rc;
	*out = NEW(struct seal_public);
	(*out)->half = h;
	return OK;
}

enum code seal_private_parse(struct str pem, const char *path,
			     struct seal_private **out, struct err *err)
{
	struct half h = { 0 };
	enum code rc = parse(pem, path, true, &h, err);

	if (rc)
		return rc;
	*out = NEW(struct seal_private);
	(*out)->half = h;
	return OK;
}

void seal_public_free(struct seal_public **kp)
{
	struct seal_public *k = TAKE(*kp);

	if (k)
		EVP_PKEY_free(k->half.pkey);
	free(k);
}

void seal_private_free(struct seal_private **kp)
{
	struct seal_private *k = TAKE(*kp);

	if (k)
		EVP_PKEY_free(k->half.pkey);
	free(k);
}

const char *seal_public_name(const struct seal_public *k)
{
	return k->half.name;
}

const char *seal_private_name(const struct seal_private *k)
{
	return k->half.name;
}

/* ---- wrapping ---- */

/* False where the other half is one of the few points that give the same
 * secret with every key (RFC 7748, section 6.1). */
static bool agree(EVP_PKEY *own, EVP_PKEY *other, uint8_t out[SEAL_PAIR_BYTES])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t n = SEAL_PAIR_BYTES;
	bool is_right;

	must(ctx && EVP_PKEY_derive_init(ctx) == 1);
	is_right = EVP_PKEY_derive_set_peer(ctx, other) == 1 &&
		   EVP_PKEY_derive(ctx, out, &n) == 1 && n == SEAL_PAIR_BYTES;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return is_right;
}

/* HKDF-SHA256 of what both halves agree on; salted with both public halves, so
 * that the key is of this envelope and this recipient. */
static void derive(const uint8_t shared[SEAL_PAIR_BYTES],
		   const uint8_t one_time[SEAL_PAIR_BYTES],
		   const uint8_t recipient[SEAL_PAIR_BYTES], struct seal_key *out)
{
	static char info[] = "conflux seal x25519 1";
	char digest[] = "SHA256";
	uint8_t salt[2 * SEAL_PAIR_BYTES];
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
						  (void *)(uintptr_t)shared,
						  SEAL_PAIR_BYTES),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt,
						  sizeof(salt)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
						  sizeof(info) - 1),
		OSSL_PARAM_construct_end(),
	};

	memcpy(salt, one_time, SEAL_PAIR_BYTES);
	memcpy(salt + SEAL_PAIR_BYTES, recipient, SEAL_PAIR_BYTES);
	must(ctx && EVP_KDF_derive(ctx, out->b, sizeof(out->b), params) == 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* The wrapping key is never used again, so one nonce does. */
static const uint8_t nonce[SEAL_NONCE_BYTES];

void pair_wrap(const struct seal_public *to, struct str context,
	       const struct seal_key *key, struct buf *out)
{
	EVP_PKEY *one_time = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	uint8_t *bytes = (uint8_t *)buf_extend(out, WRAPPED_BYTES);
	uint8_t *wrapped = bytes + SEAL_PAIR_BYTES;
	uint8_t shared[SEAL_PAIR_BYTES];
	size_t n = SEAL_PAIR_BYTES;
	struct seal_key by;
	struct aead *a;

	must(one_time);
	must(EVP_PKEY_get_raw_public_key(one_time, bytes, &n) == 1);
	must(agree(one_time, to->half.pkey, shared));
	derive(shared, bytes, to->half.public_, &by);
	memcpy(wrapped, key->b, SEAL_KEY_BYTES);
	a = aead_new(&by);
	aead_seal(a, nonce, context, wrapped, SEAL_KEY_BYTES,
		  wrapped + SEAL_KEY_BYTES);
	aead_free(&a);
	wipe(shared, sizeof(shared));
	wipe(&by, sizeof(by));
	EVP_PKEY_free(one_time);
}

static bool opens(const struct seal_private *own, struct str context,
		  const uint8_t *bytes, struct seal_key *out)
{
	const uint8_t *wrapped = bytes + SEAL_PAIR_BYTES;
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, bytes,
						      SEAL_PAIR_BYTES);
	uint8_t shared[SEAL_PAIR_BYTES];
	bool is_right = other && agree(own->half.pkey, other, shared);
	struct seal_key by, key;

	if (is_right) {
		struct aead *a;

		derive(shared, bytes, own->half.public_, &by);
		memcpy(key.b, wrapped, SEAL_KEY_BYTES);
		a = aead_new(&by);
		is_right = aead_open(a, nonce, context, key.b, SEAL_KEY_BYTES,
				     wrapped + SEAL_KEY_BYTES);
		aead_free(&a);
	}
	if (is_right)
		*out = key;
	wipe(shared, sizeof(shared));
	wipe(&by, sizeof(by));
	wipe(&key, sizeof(key));
	EVP_PKEY_free(other);
	return is_right;
}

enum code pair_unwrap(const struct seal_private *own, struct str context,
		      struct str wrapped, struct seal_key *out, struct err *err)
{
	if (wrapped.n == WRAPPED_BYTES &&
	    opens(own, context, (const uint8_t *)wrapped.p, out))
		return OK;
	return err_set(err, E_DENIED, "the private key %s does not open it: it was "
		       "altered, or sealed as something else", own->half.name);
}
