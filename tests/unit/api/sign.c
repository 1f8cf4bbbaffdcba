/* Signatures of configurations: what is signed, by whom, and what is kept. */
#include "api/sign.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "unit.h"

#include "base/banned.h"

static char path[512];
static const struct address place = { { "acme", 4 }, { "shop", 4 },
				      { "prod", 4 }, { "db/main.json", 12 } };

static EVP_PKEY *write_key(int type, mode_t mode)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(type, NULL);
	EVP_PKEY *key = NULL;
	FILE *f = fopen(path, "w");

	must(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &key) == 1);
	EVP_PKEY_CTX_free(ctx);
	must(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(f);
	must(chmod(path, mode) == 0);
	return key;
}

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, sizeof(path), "%s/sign-%d.key", tmp ? tmp : "/tmp",
		 (int)getpid());
}

static void teardown(void)
{
	unlink(path);
}

/* As somebody else would verify it. */
static bool is_signed(EVP_PKEY *key, const char *header, const char *text)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const char *sig = strstr(header, "; sig=");
	struct buf bytes = BUF_NONE;
	bool good;

	must(sig && base64_parse(str_of(sig + 6), &bytes) && bytes.n == 64);
	must(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1);
	good = EVP_DigestVerify(ctx, (unsigned char *)bytes.p, bytes.n,
				(const unsigned char *)text, strlen(text)) == 1;
	EVP_MD_CTX_free(ctx);
	buf_fini(&bytes);
	return good;
}

START_TEST(what_is_signed)
{
	EVP_PKEY *key = write_key(EVP_PKEY_ED25519, 0600);
	struct sign_cache *cache = sign_cache_new();
	struct sha256 sha = sha256_of(STR("content"));
	struct signing *s = NULL;
	char header[SIGNATURE_TEXT_MAX], again[SIGNATURE_TEXT_MAX], name[17];
	struct buf pem = BUF_NONE;
	struct err err;

	ck_assert_int_eq(signing_new(path, &s, &err), OK);
	sign_cache_get(cache, s, &place, 7, &sha, header);
	ck_assert(is_signed(key, header, "conflux-signature-v1\n"
		"acme/shop/prod/db/main.json\n7\n"
		"ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
		"\n"));
	ck_assert(!is_signed(key, header, "conflux-signature-v1\n"
		"acme/shop/prod/db/main.json\n8\n"
		"ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
		"\n"));
	sign_cache_get(cache, s, &place, 7, &sha, again);
	ck_assert_str_eq(header, again);
	sign_cache_get(cache, s, &place, 8, &sha, again);
	ck_assert_str_ne(header, again);
	signing_public(s, &pem, name);
	ck_assert(strncmp(header, "ed25519; key=", 13) == 0 &&
		  strncmp(header + 13, name, 16) == 0);
	ck_assert(strstr(pem.p, "BEGIN PUBLIC KEY") != NULL);
	buf_fini(&pem);
	EVP_PKEY_free(key);
	signing_free(&s);
	sign_cache_free(&cache);
}
END_TEST

/* More than the cache has places: each is signed as what it is. */
START_TEST(many)
{
	EVP_PKEY *key = write_key(EVP_PKEY_ED25519, 0600);
	struct sign_cache *cache = sign_cache_new();
	struct sha256 sha = sha256_of(STR("content"));
	struct signing *s = NULL;
	char header[SIGNATURE_TEXT_MAX];
	struct err err;

	ck_assert_int_eq(signing_new(path, &s, &err), OK);
	for (unsigned i = 0; i < 6000; i++) {
		unsigned version = i % 2 ? i : i % 7;
		AUTO_BUF text = BUF_NONE;

		sign_cache_get(cache, s, &place, version, &sha, header);
		if (i % 50 > 1)
			continue;
		sign_text(&text, &place, version, &sha);
		ck_assert(is_signed(key, header, text.p));
	}
	EVP_PKEY_free(key);
	signing_free(&s);
	sign_cache_free(&cache);
}
END_TEST

START_TEST(another_key)
{
	EVP_PKEY *old = write_key(EVP_PKEY_ED25519, 0600), *fresh;
	struct sign_cache *cache = sign_cache_new();
	struct sha256 sha = sha256_of(STR("content"));
	struct signing *s = NULL;
	char header[SIGNATURE_TEXT_MAX];
	struct buf text = BUF_NONE;
	struct err err;

	sign_text(&text, &place, 1, &sha);
	ck_assert_int_eq(signing_new(path, &s, &err), OK);
	sign_cache_get(cache, s, &place, 1, &sha, header);
	ck_assert(is_signed(old, header, text.p));
	fresh = write_key(EVP_PKEY_ED25519, 0600);
	ck_assert_int_eq(signing_reload(s, &err), OK);
	sign_cache_get(cache, s, &place, 1, &sha, header);
	ck_assert(is_signed(fresh, header, text.p));
	/* One that cannot be read leaves what is in force. */
	EVP_PKEY_free(write_key(EVP_PKEY_X25519, 0600));
	ck_assert_int_eq(signing_reload(s, &err), E_INVALID);
	sign_cache_get(cache, s, &place, 1, &sha, header);
	ck_assert(is_signed(fresh, header, text.p));
	EVP_PKEY_free(old);
	EVP_PKEY_free(fresh);
	buf_fini(&text);
	signing_free(&s);
	sign_cache_free(&cache);
}
END_TEST

START_TEST(keys_that_are_refused)
{
	struct signing *s = NULL;
	struct err err;

	unlink(path);
	ck_assert_int_eq(signing_new(path, &s, &err), E_NOT_FOUND);
	EVP_PKEY_free(write_key(EVP_PKEY_ED25519, 0640));
	ck_assert_int_eq(signing_new(path, &s, &err), E_DENIED);
	EVP_PKEY_free(write_key(EVP_PKEY_ED448, 0600));
	ck_assert_int_eq(signing_new(path, &s, &err), E_INVALID);
	ck_assert(strstr(err.hint, "genpkey") != NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/sign");
	TCase *t = tcase_create("sign");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_signed);
	tcase_add_test(t, many);
	tcase_add_test(t, another_key);
	tcase_add_test(t, keys_that_are_refused);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
