/* Hash maps: the reference values of the hash, and a model to compare with. */
#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(put_get_del)
{
	struct map *m = map_new();
	int a, b;

	ck_assert_ptr_null(map_get(m, STR("x")));
	ck_assert_ptr_null(map_del(m, STR("x")));
	ck_assert_ptr_null(map_put(m, STR("x"), &a));
	ck_assert_ptr_eq(map_get(m, STR("x")), &a);
	ck_assert_ptr_eq(map_put(m, STR("x"), &b), &a);
	ck_assert_uint_eq(map_count(m), 1);
	ck_assert_ptr_null(map_get(m, STR("xx")));
	ck_assert_ptr_eq(map_del(m, STR("x")), &b);
	ck_assert_ptr_null(map_get(m, STR("x")));
	ck_assert_uint_eq(map_count(m), 0);
	map_free(&m);
	ck_assert_ptr_null(m);
	map_free(&m);
}
END_TEST

START_TEST(any_bytes_are_keys)
{
	struct map *m = map_new();
	int a, b, c;

	map_put(m, STR(""), &a);
	map_put(m, STR("\0"), &b);
	map_put(m, STR("\0\0"), &c);
	ck_assert_ptr_eq(map_get(m, STR_NONE), &a);
	ck_assert_ptr_eq(map_get(m, STR("\0")), &b);
	ck_assert_ptr_eq(map_get(m, STR("\0\0")), &c);
	map_free(&m);
}
END_TEST

START_TEST(keys_are_copied)
{
	struct map *m = map_new();
	char key[] = "key";
	int a;

	map_put(m, str_of(key), &a);
	memset(key, 'z', 3);
	ck_assert_ptr_eq(map_get(m, STR("key")), &a);
	map_free(&m);
}
END_TEST

#define KEYS 500

/* Many inserts and removals in random order, against a plain array. */
START_TEST(agrees_with_a_model)
{
	static char present[KEYS];
	struct map *m = map_new();
	struct prng prng;
	size_t count = 0, seen = 0;
	struct str key;
	void *value;

	prng_init(&prng, 1);
	for (int step = 0; step < 20000; step++) {
		size_t k = prng_below(&prng, KEYS);
		char text[16];
		bool put = prng_below(&prng, 2);

		snprintf(text, sizeof(text), "key-%zu", k);
		if (put)
			value = map_put(m, str_of(text), &present[k]);
		else
			value = map_del(m, str_of(text));
		ck_assert_ptr_eq(value, present[k] ? &present[k] : NULL);
		count += (size_t)put - (size_t)present[k];
		present[k] = put;
		ck_assert_uint_eq(map_count(m), count);
	}
	for (size_t at = 0; map_next(m, &at, &key, &value); seen++)
		ck_assert_int_eq(*(char *)value, 1);
	ck_assert_uint_eq(seen, count);
	map_free(&m);
}
END_TEST

START_TEST(iterates_each_once)
{
	struct map *m = map_new();
	int values[100] = { 0 };
	void *value;
	size_t at = 0;

	ck_assert(!map_next(m, &at, NULL, NULL));
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		map_put(m, str_n(&i, sizeof(i)), &values[i]);
	for (at = 0; map_next(m, &at, NULL, &value);)
		++*(int *)value;
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		ck_assert_int_eq(values[i], 1);
	map_free(&m);
}
END_TEST

/* Values of a second implementation, itself checked against the vectors of
 * SipHash-2-4: key 00..0f, messages of 0, 1, 2, ... bytes 00 01 02 ... */
START_TEST(siphash_is_keyed_and_spreads)
{
	const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	const uint64_t other[2] = { 1, 2 };
	uint64_t seen[64];
	char bytes[64];

	for (size_t n = 0; n < ARRAY_LEN(seen); n++) {
		bytes[n] = (char)n;
		seen[n] = map_siphash13(key, str_n(bytes, n));
		ck_assert_uint_ne(seen[n],
				  map_siphash13(other, str_n(bytes, n)));
		for (size_t k = 0; k < n; k++)
			ck_assert_uint_ne(seen[n], seen[k]);
	}
	ck_assert_uint_eq(seen[0], 0xabac0158050fc4dc);
	ck_assert_uint_eq(seen[1], 0xc9f49bf37d57ca93);
	ck_assert_uint_eq(seen[7], 0xd3927d989bb11140);
	ck_assert_uint_eq(seen[8], 0x369095118d299a8e);
}
END_TEST

START_TEST(null_value_aborts)
{
	struct map *m = map_new();

	map_put(m, STR("x"), NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/map");
	TCase *t = tcase_create("map");

	tcase_add_test(t, put_get_del);
	tcase_add_test(t, any_bytes_are_keys);
	tcase_add_test(t, keys_are_copied);
	tcase_add_test(t, agrees_with_a_model);
	tcase_add_test(t, iterates_each_once);
	tcase_add_test(t, siphash_is_keyed_and_spreads);
	tcase_add_test_raise_signal(t, null_value_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
