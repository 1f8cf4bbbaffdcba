/*
 * Who signed what (docs/formats/signature.md): Ed25519 over
 *
 *	"conflux-signature-v1\n" key "\n" version "\n" sha256 "\n"
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "client/sdk/own.h"

#include "base/banned.h"

struct signer {
	EVP_PKEY *key;
};

static EVP_PKEY *read_key(const struct bytes *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->p, (int)pem->n);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return key;
}

enum cfx_code signer_new(const heap *heap, const char *path,
			 struct signer **out, struct cfx_error *error)
{
	struct bytes pem = { 0 };
	struct signer *s;
	enum cfx_code rc = sdk_read_file(heap, path, 16 * 1024, &pem, error);

	if (rc)
		return rc;
	s = HEAP_NEW(heap, struct signer);
	ERR_clear_error();
	if (s)
		s->key = read_key(&pem);
	bytes_fini(heap, &pem);
	if (!s)
		return cfx_no_memory(error);
	if (!s->key || EVP_PKEY_get_base_id(s->key) != EVP_PKEY_ED25519) {
		signer_free(heap, &s);
		rc = tls_fail(error, NULL, "public_key_file");
		return rc == CFX_E_NO_MEMORY ? rc :
		       cfx_fail(error, CFX_E_USAGE, "%s: no public key of Ed25519 "
				"in PEM (public_key_file)", path);
	}
	*out = s;
	return CFX_OK;
}

void signer_free(const heap *heap, struct signer **s)
{
	if (!*s)
		return;
	EVP_PKEY_free((*s)->key);
	heap_release(heap, TAKE(*s));
}

/* "ed25519; key=...; sig=BASE64": parameters that we do not know are let past. */
bool signature_parse(const char *text, uint8_t out[SIGNATURE_BYTES])
{
	struct str one, rest = str_of(text);
	unsigned char room[96];
	struct str sig = STR_NONE;

	if (!sdk_cut(&rest, ';', &one) || !str_is(one, "ed25519"))
		return false;
	while (sdk_cut(&rest, ';', &one))
		if (sdk_starts(one, STR("sig=")))
			sig = sdk_from(one, 4);
	/* 64 bytes are 88 digits, of which two pad. */
	if (sig.n != 88 || sig.p[86] != '=' || sig.p[87] != '=' ||
	    EVP_DecodeBlock(room, (const unsigned char *)sig.p, 88) != 66)
		return false;
	memcpy(out, room, SIGNATURE_BYTES);
	return true;
}

static int verify(EVP_PKEY *key, struct str text, const uint8_t *signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int good = -1;

	if (ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1)
		good = EVP_DigestVerify(ctx, signature, SIGNATURE_BYTES,
					(const unsigned char *)text.p, text.n);
	EVP_MD_CTX_free(ctx);
	return good;
}

enum cfx_code signer_check(const struct signer *s, const char *key,
			   uint64_t version, const uint8_t sha256[32],
			   const uint8_t signature[SIGNATURE_BYTES],
			   struct cfx_error *error)
{
	char text[700], hex[65];
	int n, good;

	sdk_hex(hex, sha256, 32);
	n = snprintf(text, sizeof(text), "conflux-signature-v1\n%s\n%llu\n%s\n",
		     key, (unsigned long long)version, hex);
	if (n < 0 || (size_t)n >= sizeof(text))
		return cfx_fail(error, CFX_E_USAGE, "%s: too long a name", key);
	ERR_clear_error();
	good = verify(s->key, str_n(text, (size_t)n), signature);
	ERR_clear_error();
	if (good == 1)
		return CFX_OK;
	if (good < 0)
		return cfx_no_memory(error);
	return cfx_fail(error, CFX_E_CORRUPT, "%s: version %llu is not signed by "
			"the key of public_key_file", key,
			(unsigned long long)version);
}

enum cfx_code proof_of(const struct said *said, struct str content,
		       const struct signer *signer, struct proof *out,
		       struct cfx_error *error)
{
	size_t n = strlen(said->etag);
	uint8_t digest[32];

	if (!sdk_sha256(content, out->sha256))
		return cfx_no_memory(error);
	if (n < 2 || !sdk_unhex(str_n(said->etag + 1, n - 2), digest, 32) ||
	    memcmp(digest, out->sha256, 32) != 0)
		return cfx_fail(error, CFX_E_CORRUPT, "%s: %s: the content is "
				"not what its hash says", said->server, said->key);
	out->is_signed = signature_parse(said->signature, out->signature);
	if (!signer)
		return CFX_OK;
	if (!out->is_signed)
		return cfx_fail(error, CFX_E_CORRUPT, "%s: %s is not signed: has "
				"the server a signing.key_file?", said->server, said->key);
	return signer_check(signer, said->key, said->version, out->sha256,
			    out->signature, error);
}
