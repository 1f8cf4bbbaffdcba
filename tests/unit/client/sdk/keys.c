/* See keys.h. */
#include "keys.h"

#include <openssl/x509v3.h>

#include "base/must.h"

#include "base/banned.h"

EVP_PKEY *keys_new(int type)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(type, NULL);
	EVP_PKEY *key = NULL;

	must(ctx && EVP_PKEY_keygen_init(ctx) == 1);
	if (type == EVP_PKEY_EC)
		must(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(
			ctx, NID_X9_62_prime256v1) == 1);
	must(EVP_PKEY_keygen(ctx, &key) == 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

X509 *keys_cert(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *ext;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, name);
	ext = X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name,
				   "IP:127.0.0.1");
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	must(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}
