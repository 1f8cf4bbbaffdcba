/*
 * Keys, and the certificate of a server at 127.0.0.1, for tests.
 */
#ifndef TESTS_CLIENT_SDK_KEYS_H
#define TESTS_CLIENT_SDK_KEYS_H

#include <openssl/evp.h>
#include <openssl/x509.h>

/* 'type': EVP_PKEY_EC, EVP_PKEY_ED25519. */
EVP_PKEY *keys_new(int type);
/* Signed by itself. */
X509 *keys_cert(EVP_PKEY *key);

#endif
