/* Randomness, ids, and the seeded generator. */
#include "base/rand.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(bytes_differ)
{
	char a[4096], b[4096];

	rand_bytes(a, sizeof(a));
	rand_bytes(b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	rand_bytes(a, 0);
	ck_assert_uint_ne(rand_u64(), rand_u64());
}
END_TEST

START_TEST(uuids_are_version_4_and_round_trip)
{
	for (int i = 0; i < 100; i++) {
		struct uuid id = uuid_new(), back;
		char text[37];

		uuid_text(text, id);
		ck_assert_uint_eq(strlen(text), 36);
		ck_assert_int_eq(text[14], '4');
		ck_assert_ptr_nonnull(strchr("89ab", text[19]));
		ck_assert(uuid_parse(str_of(text), &back));
		ck_assert_mem_eq(&id, &back, sizeof(id));
	}
}
END_TEST

START_TEST(uuid_has_one_spelling)
{
	struct uuid id;

	ck_assert(uuid_parse(STR("00112233-4455-6677-8899-aabbccddeeff"), &id));
	ck_assert_uint_eq(id.b[0], 0x00);
	ck_assert_uint_eq(id.b[5], 0x55);
	ck_assert_uint_eq(id.b[15], 0xff);
	ck_assert(!uuid_parse(STR("00112233-4455-6677-8899-AABBCCDDEEFF"), &id));
	ck_assert(!uuid_parse(STR("00112233445566778899aabbccddeeff"), &id));
	ck_assert(!uuid_parse(STR("00112233-4455-6677-8899-aabbccddeefg"), &id));
	ck_assert(!uuid_parse(STR("00112233+4455-6677-8899-aabbccddeeff"), &id));
	ck_assert(!uuid_parse(STR("0011223-34455-6677-8899-aabbccddeeff"), &id));
	ck_assert(!uuid_parse(STR("00112233-4455-6677-8899-aabbccddeef"), &id));
	ck_assert(!uuid_parse(STR(""), &id));
}
END_TEST

/* SplitMix64 and xoshiro256** by a second implementation, seed 42: a change
 * would make every recorded seed of the simulator worthless. */
START_TEST(generator_never_changes)
{
	static const uint64_t want[] = {
		0x15780b2e0c2ec716, 0x6104d9866d113a7e, 0xae17533239e499a1,
		0xecb8ad4703b360a1,
	};
	struct prng p;

	prng_init(&p, 42);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		ck_assert_uint_eq(prng_next(&p), want[i]);
}
END_TEST

START_TEST(below_is_even)
{
	unsigned counts[10] = { 0 }, hits = 0;
	struct prng p;

	prng_init(&p, 3);
	for (int i = 0; i < 100000; i++)
		counts[prng_below(&p, 10)]++;
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_gt(counts[i], 9500);
		ck_assert_uint_lt(counts[i], 10500);
	}
	ck_assert_uint_eq(prng_below(&p, 1), 0);
	for (int i = 0; i < 100000; i++)
		hits += prng_chance(&p, 10000);
	ck_assert_uint_gt(hits, 800);
	ck_assert_uint_lt(hits, 1200);
	ck_assert(!prng_chance(&p, 0));
	ck_assert(prng_chance(&p, 1000000));
}
END_TEST

START_TEST(below_zero_aborts)
{
	struct prng p;

	prng_init(&p, 1);
	prng_below(&p, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/rand");
	TCase *t = tcase_create("rand");

	tcase_add_test(t, bytes_differ);
	tcase_add_test(t, uuids_are_version_4_and_round_trip);
	tcase_add_test(t, uuid_has_one_spelling);
	tcase_add_test(t, generator_never_changes);
	tcase_add_test(t, below_is_even);
	tcase_add_test_raise_signal(t, below_zero_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
