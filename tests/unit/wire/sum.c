/* Checksums against the vectors of their standards. */
#include <pthread.h>

#include "base/buf.h"
#include "unit.h"
#include "wire/sum.h"

#include "base/banned.h"

/* RFC 3720, B.4, and the customary check value. */
START_TEST(crc32c_vectors)
{
	char bytes[32];

	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
	ck_assert_uint_eq(crc32c(0, NULL, 0), 0);
	memset(bytes, 0, sizeof(bytes));
	ck_assert_uint_eq(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	ck_assert_uint_eq(crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (char)i;
	ck_assert_uint_eq(crc32c(0, bytes, 32), 0x46dd794e);
}
END_TEST

START_TEST(crc32c_in_pieces)
{
	char bytes[1000];
	uint32_t whole;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	whole = crc32c(0, bytes, sizeof(bytes));
	for (size_t at = 0; at <= sizeof(bytes); at += 37)
		ck_assert_uint_eq(crc32c(crc32c(0, bytes, at), bytes + at,
					 sizeof(bytes) - at),
				  whole);
}
END_TEST

static void hex_is(struct sha256 d, const char *want)
{
	char text[65];

	sha256_hex(text, &d);
	ck_assert_str_eq(text, want);
}

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* FIPS 180-4, the examples of NIST. */
START_TEST(sha256_vectors)
{
	hex_is(sha256_of(STR("")), EMPTY);
	hex_is(sha256_of(STR_NONE), EMPTY);
	hex_is(sha256_of(STR("abc")), ABC);
	hex_is(sha256_of(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmno"
			     "mnopnopq")),
	       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}
END_TEST

START_TEST(sha256_in_pieces)
{
	struct sha256_ctx *ctx = sha256_new();

	sha256_add(ctx, "a", 1);
	sha256_add(ctx, "", 0);
	sha256_add(ctx, "bc", 2);
	hex_is(sha256_end(ctx), ABC);
	sha256_start(ctx);
	hex_is(sha256_end(ctx), EMPTY);
	sha256_start(ctx);
	sha256_add(ctx, "junk", 4);
	sha256_start(ctx);
	for (int i = 0; i < 1000000; i++)
		sha256_add(ctx, "a", 1);
	hex_is(sha256_end(ctx),
	       "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	sha256_ctx_free(&ctx);
	ck_assert_ptr_null(ctx);
	sha256_ctx_free(&ctx);
}
END_TEST

START_TEST(equality)
{
	struct sha256 a = sha256_of(STR("a")), b = a;

	ck_assert(sha256_eq(&a, &b));
	b.b[31] ^= 1;
	ck_assert(!sha256_eq(&a, &b));
}
END_TEST

static void *hash_abc(void *arg)
{
	for (int i = 0; i < 1000; i++)
		hex_is(sha256_of(STR("abc")), ABC);
	return NULL;
}

START_TEST(threads)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hash_abc, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wire/sum");
	TCase *t = tcase_create("sum");

	tcase_add_test(t, crc32c_vectors);
	tcase_add_test(t, crc32c_in_pieces);
	tcase_add_test(t, sha256_vectors);
	tcase_add_test(t, sha256_in_pieces);
	tcase_add_test(t, equality);
	tcase_add_test(t, threads);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
