/* The cipher, key files, envelopes and key pairs. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "unit.h"

#include "base/hex.h"
#include "base/mem.h"
#include "io/file.h"
#include "seal/keyring.h"
#include "seal/pair.h"

#include "base/banned.h"

#define CONTEXT STR("conflux test\0seven")
#define HEX_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

/* ---- the cipher: vectors of McGrew and Viega, "The Galois/Counter Mode of
 * Operation", appendix B, as NIST took them over ---- */

struct vector {
	const char *key, *nonce, *ad, *plain, *sealed, *tag;
};

static const struct vector vectors[] = {
	{ "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "", "",
	  "530f8afbc74536b9a963b4f1c4cb738b" },
	{ "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "00000000000000000000000000000000",
	  "cea7403d4d606b6e074ec5d3baf39d18",
	  "d0d1c8a799996bf0265b98b5d48ab919" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	  "b094dac5d93471bdec1a502270e3cc6c" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888",
	  "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	ck_assert(n == 0 || hex_parse(str_of(hex), out, n));
	return n;
}

static void check_vector(struct aead *a, const struct vector *v)
{
	uint8_t nonce[12], ad[64], bytes[64], sealed[64], tag[16], want[16], plain[64];
	size_t n = from_hex(v->plain, bytes), ad_n = from_hex(v->ad, ad);

	from_hex(v->nonce, nonce);
	from_hex(v->sealed, sealed);
	from_hex(v->tag, want);
	memcpy(plain, bytes, n);
	aead_seal(a, nonce, str_n(ad, ad_n), bytes, n, tag);
	ck_assert_mem_eq(tag, want, 16);
	ck_assert(n == 0 || memcmp(bytes, sealed, n) == 0);
	ck_assert(aead_open(a, nonce, str_n(ad, ad_n), bytes, n, tag));
	ck_assert(n == 0 || memcmp(bytes, plain, n) == 0);
}

START_TEST(the_cipher_gives_what_others_give)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct seal_key key;
		struct aead *a;

		from_hex(vectors[i].key, key.b);
		a = aead_new(&key);
		/* A key is used again and again. */
		for (int round = 0; round < 3; round++)
			check_vector(a, &vectors[i]);
		aead_free(&a);
	}
}
END_TEST

START_TEST(what_was_altered_does_not_open)
{
	struct seal_key key = { { 1, 2, 3 } };
	struct aead *a = aead_new(&key);
	const uint8_t nonce[12] = { 9 };
	uint8_t bytes[100], tag[16];

	for (size_t at = 0; at < sizeof(bytes) + sizeof(tag) + 1; at++) {
		struct str ad = STR("what it is");

		memset(bytes, 'x', sizeof(bytes));
		aead_seal(a, nonce, ad, bytes, sizeof(bytes), tag);
		if (at < sizeof(bytes))
			bytes[at] ^= 1;
		else if (at < sizeof(bytes) + sizeof(tag))
			tag[at - sizeof(bytes)] ^= 1;
		else
			ad = STR("what it is not");
		ck_assert(!aead_open(a, nonce, ad, bytes, sizeof(bytes), tag));
		/* Nothing of it is shown. */
		for (size_t i = 0; i < sizeof(bytes); i++)
			ck_assert_int_eq(bytes[i], 0);
	}
	aead_free(&a);
}
END_TEST

/* ---- key files ---- */

static struct keyring *ring(const char *text)
{
	struct keyring *k;
	struct err err = { 0 };

	ck_assert_msg(keyring_parse(str_of(text), "keys", &k, &err) == OK, "%s",
		      err.text);
	return k;
}

START_TEST(keys_are_read)
{
	struct keyring *k = ring("# ours\n\n  new\t" HEX_A "  \r\n"
				 "old /+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA=");
	const struct seal_provider *p = keyring_provider(k);
	struct seal_key key, back;
	AUTO_BUF envelope = BUF_NONE;
	struct keyring *b;
	struct err err;

	ck_assert_uint_eq(keyring_count(k), 2);
	ck_assert_str_eq(p->current(p->data), "new");
	ck_assert(seal_is_on(p));
	/* Both spellings of a key are the same key. */
	b = ring("old " HEX_B);
	ck_assert_int_eq(seal_envelope_new(keyring_provider(b), CONTEXT, &key,
					   &envelope, &err), OK);
	ck_assert_int_eq(seal_envelope_open(p, NULL, CONTEXT, buf_view(&envelope),
					    &back, &err), OK);
	ck_assert_mem_eq(key.b, back.b, sizeof(key.b));
	keyring_set_on(k, false);
	ck_assert(!seal_is_on(p));
	keyring_free(&k);
	keyring_free(&b);
	ck_assert(!seal_is_on(NULL));
}
END_TEST

static const struct {
	const char *text, *says;
} bad_files[] = {
	{ "", "no key" },
	{ "# nothing\n", "no key" },
	{ "one\n", "line 1" },
	{ "one " HEX_A "\ntwo 00ff\n", "line 2" },
	{ "one " HEX_A "\n\none " HEX_B "\n", "line 3: the name was used" },
	{ "a/b " HEX_A "\n", "name" },
	{ HEX_A "\n", "line 1" },
	{ "x23456789012345678901234567890123456789012345678901234567890123456 "
	  HEX_A, "name" },
	{ "one " HEX_A "00\n", "32 bytes" },
	{ "one AAAA\n", "32 bytes" },
	{ "one " HEX_A " " HEX_A "\n", "32 bytes" },
};

START_TEST(a_bad_key_file_is_refused_with_its_line_and_no_key)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
		struct keyring *k;
		struct err err;

		ck_assert_int_eq(keyring_parse(str_of(bad_files[i].text), "keys",
					       &k, &err), E_INVALID);
		ck_assert_msg(strstr(err.text, bad_files[i].says), "%s", err.text);
		ck_assert_msg(!strstr(err.text, "000102"), "%s", err.text);
	}
}
END_TEST

START_TEST(a_key_file_that_others_may_read_is_refused)
{
	static const unsigned modes[] = { 0640, 0604, 0620, 0601, 0777 };
	char dir[] = "/tmp/conflux-seal-XXXXXX", path[64];
	struct keyring *k;
	struct err err;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/keys", dir);
	ck_assert_int_eq(keyring_load(path, &k, &err), E_NOT_FOUND);
	ck_assert_int_eq(fs_put(fs_real(), dir, path, STR("one " HEX_A "\n"), &err),
			 OK);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		ck_assert_int_eq(chmod(path, modes[i]), 0);
		ck_assert_int_eq(keyring_load(path, &k, &err), E_DENIED);
		ck_assert_msg(strstr(err.hint, "chmod 600"), "%s", err.hint);
	}
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert_int_eq(keyring_load(path, &k, &err), OK);
	keyring_free(&k);
	ck_assert_int_eq(keyring_load(dir, &k, &err), E_INVALID);
	unlink(path);
	rmdir(dir);
}
END_TEST

/* ---- envelopes ---- */

START_TEST(an_envelope_opens_with_its_key_and_context_only)
{
	struct keyring *k = ring("one " HEX_A), *other = ring("one " HEX_B);
	struct keyring *named = ring("two " HEX_A);
	struct keyring *both = ring("two " HEX_B "\none " HEX_A);
	const struct seal_provider *p = keyring_provider(k);
	struct seal_key key, back;
	AUTO_BUF e = BUF_NONE;
	struct err err;

	ck_assert_int_eq(seal_envelope_new(p, CONTEXT, &key, &e, &err), OK);
	ck_assert_uint_le(e.n, SEAL_ENVELOPE_MAX);
	ck_assert(str_is(seal_envelope_name(buf_view(&e)), "one"));
	ck_assert_int_eq(seal_envelope_open(keyring_provider(both), NULL, CONTEXT,
					    buf_view(&e), &back, &err), OK);
	ck_assert_mem_eq(key.b, back.b, sizeof(key.b));
	ck_assert_int_eq(seal_envelope_open(p, NULL, STR("another"), buf_view(&e),
					    &back, &err), E_DENIED);
	ck_assert_int_eq(seal_envelope_open(keyring_provider(other), NULL, CONTEXT,
					    buf_view(&e), &back, &err), E_DENIED);
	ck_assert_msg(strstr(err.text, "another key of this name"), "%s", err.text);
	ck_assert_int_eq(seal_envelope_open(keyring_provider(named), NULL, CONTEXT,
					    buf_view(&e), &back, &err), E_DENIED);
	ck_assert_msg(strstr(err.text, "\"one\", which is not in the key file"),
		      "%s", err.text);
	ck_assert_int_eq(seal_envelope_open(NULL, NULL, CONTEXT, buf_view(&e),
					    &back, &err), E_DENIED);
	keyring_free(&k);
	keyring_free(&other);
	keyring_free(&named);
	keyring_free(&both);
}
END_TEST

START_TEST(an_envelope_that_was_altered_or_cut_does_not_open)
{
	struct keyring *k = ring("one " HEX_A);
	const struct seal_provider *p = keyring_provider(k);
	struct seal_key key, back;
	AUTO_BUF e = BUF_NONE;
	struct err err;

	ck_assert_int_eq(seal_envelope_new(p, CONTEXT, &key, &e, &err), OK);
	for (size_t at = 0; at < e.n; at++) {
		e.p[at] = (char)(e.p[at] ^ 0x20);
		ck_assert_int_ne(seal_envelope_open(p, NULL, CONTEXT, buf_view(&e),
						    &back, &err), OK);
		e.p[at] = (char)(e.p[at] ^ 0x20);
		ck_assert_int_eq(seal_envelope_open(p, NULL, CONTEXT,
						    str_first(buf_view(&e), at),
						    &back, &err), E_CORRUPT);
	}
	keyring_free(&k);
}
END_TEST

START_TEST(no_two_file_keys_are_alike)
{
	struct keyring *k = ring("one " HEX_A);
	struct seal_key keys[64];
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		AUTO_BUF e = BUF_NONE;

		ck_assert_int_eq(seal_envelope_new(keyring_provider(k), CONTEXT,
						   &keys[i], &e, &err), OK);
		for (size_t j = 0; j < i; j++)
			ck_assert_mem_ne(keys[i].b, keys[j].b, 32);
	}
	keyring_free(&k);
}
END_TEST

/* ---- key pairs ---- */

struct pair {
	struct seal_private *own;
	struct seal_public *to;
	struct buf own_pem, to_pem;
};

static void pem_of(BIO *bio, struct buf *out)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	buf_add(out, p, (size_t)n);
	BIO_free(bio);
}

static struct pair pair_new(void)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	BIO *own = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
	struct pair p = { 0 };
	struct err err;

	PEM_write_bio_PrivateKey(own, pkey, NULL, NULL, 0, NULL, NULL);
	PEM_write_bio_PUBKEY(to, pkey);
	pem_of(own, &p.own_pem);
	pem_of(to, &p.to_pem);
	EVP_PKEY_free(pkey);
	ck_assert_int_eq(seal_private_parse(buf_view(&p.own_pem), "own", &p.own,
					    &err), OK);
	ck_assert_int_eq(seal_public_parse(buf_view(&p.to_pem), "to", &p.to, &err),
			 OK);
	return p;
}

static void pair_fini(struct pair *p)
{
	seal_private_free(&p->own);
	seal_public_free(&p->to);
	buf_fini(&p->own_pem);
	buf_fini(&p->to_pem);
}

START_TEST(what_is_sealed_to_a_public_key_needs_the_private_half)
{
	struct pair a = pair_new(), b = pair_new();
	struct keyring *k = ring("one " HEX_A);
	struct seal_key key, back;
	AUTO_BUF e = BUF_NONE;
	AUTO_BUF again = BUF_NONE;
	struct err err;

	ck_assert_str_eq(seal_public_name(a.to), seal_private_name(a.own));
	ck_assert_str_ne(seal_public_name(a.to), seal_public_name(b.to));
	ck_assert_int_eq(seal_envelope_to(a.to, CONTEXT, &key, &e, &err), OK);
	ck_assert_int_eq(seal_envelope_open(NULL, a.own, CONTEXT, buf_view(&e),
					    &back, &err), OK);
	ck_assert_mem_eq(key.b, back.b, sizeof(key.b));
	ck_assert_int_eq(seal_envelope_open(NULL, b.own, CONTEXT, buf_view(&e),
					    &back, &err), E_DENIED);
	ck_assert_msg(strstr(err.text, seal_public_name(a.to)) &&
		      strstr(err.text, seal_public_name(b.to)), "%s", err.text);
	ck_assert_int_eq(seal_envelope_open(keyring_provider(k), NULL, CONTEXT,
					    buf_view(&e), &back, &err), E_DENIED);
	ck_assert_int_eq(seal_envelope_open(NULL, a.own, STR("else"), buf_view(&e),
					    &back, &err), E_DENIED);
	for (size_t at = 0; at < e.n; at++) {
		e.p[at] = (char)(e.p[at] ^ 1);
		ck_assert_int_ne(seal_envelope_open(NULL, a.own, CONTEXT,
						    buf_view(&e), &back, &err), OK);
		e.p[at] = (char)(e.p[at] ^ 1);
	}
	/* Each has a pair of its own. */
	ck_assert_int_eq(seal_envelope_to(a.to, CONTEXT, &key, &again, &err), OK);
	ck_assert(!str_eq(buf_view(&e), buf_view(&again)));
	keyring_free(&k);
	pair_fini(&a);
	pair_fini(&b);
}
END_TEST

/* A point of small order gives the same secret with every key. */
START_TEST(a_point_that_fits_every_key_is_refused)
{
	struct pair a = pair_new();
	struct seal_key key, back;
	AUTO_BUF e = BUF_NONE;
	struct err err;
	size_t at;

	ck_assert_int_eq(seal_envelope_to(a.to, CONTEXT, &key, &e, &err), OK);
	at = e.n - (SEAL_PAIR_BYTES + SEAL_KEY_BYTES + SEAL_TAG_BYTES);
	memset(e.p + at, 0, SEAL_PAIR_BYTES);
	ck_assert_int_eq(seal_envelope_open(NULL, a.own, CONTEXT, buf_view(&e),
					    &back, &err), E_DENIED);
	pair_fini(&a);
}
END_TEST

START_TEST(other_keys_than_x25519_are_refused)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	struct pair a = pair_new();
	struct seal_private *own;
	struct seal_public *to;
	AUTO_BUF pem = BUF_NONE;
	struct err err;

	PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
	pem_of(bio, &pem);
	EVP_PKEY_free(pkey);
	ck_assert_int_eq(seal_private_parse(buf_view(&pem), "x", &own, &err),
			 E_INVALID);
	ck_assert_int_eq(seal_public_parse(buf_view(&a.own_pem), "x", &to, &err),
			 E_INVALID);
	ck_assert_int_eq(seal_private_parse(buf_view(&a.to_pem), "x", &own, &err),
			 E_INVALID);
	ck_assert_int_eq(seal_public_parse(STR_NONE, "x", &to, &err), E_INVALID);
	pair_fini(&a);
}
END_TEST

START_TEST(a_private_key_that_others_may_read_is_refused)
{
	char dir[] = "/tmp/conflux-seal-XXXXXX", path[64];
	struct pair a = pair_new();
	struct seal_private *own;
	struct seal_public *to;
	struct err err;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/own.key", dir);
	ck_assert_int_eq(fs_put(fs_real(), dir, path, buf_view(&a.own_pem), &err),
			 OK);
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(seal_private_load(path, &own, &err), E_DENIED);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(seal_private_load(path, &own, &err), OK);
	seal_private_free(&own);
	/* Of a public one everyone may know. */
	ck_assert_int_eq(fs_put(fs_real(), dir, path, buf_view(&a.to_pem), &err),
			 OK);
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(seal_public_load(path, &to, &err), OK);
	seal_public_free(&to);
	unlink(path);
	rmdir(dir);
	pair_fini(&a);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("seal/keys");
	TCase *t = tcase_create("seal");

	tcase_add_test(t, the_cipher_gives_what_others_give);
	tcase_add_test(t, what_was_altered_does_not_open);
	tcase_add_test(t, keys_are_read);
	tcase_add_test(t, a_bad_key_file_is_refused_with_its_line_and_no_key);
	tcase_add_test(t, a_key_file_that_others_may_read_is_refused);
	tcase_add_test(t, an_envelope_opens_with_its_key_and_context_only);
	tcase_add_test(t, an_envelope_that_was_altered_or_cut_does_not_open);
	tcase_add_test(t, no_two_file_keys_are_alike);
	tcase_add_test(t, what_is_sealed_to_a_public_key_needs_the_private_half);
	tcase_add_test(t, a_point_that_fits_every_key_is_refused);
	tcase_add_test(t, other_keys_than_x25519_are_refused);
	tcase_add_test(t, a_private_key_that_others_may_read_is_refused);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
