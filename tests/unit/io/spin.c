/* When a loop looks for input before it sleeps. */
#include "io/spin.h"
#include "unit.h"

#include "base/banned.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

static struct spin spin;

static void setup(void)
{
	spin = (struct spin){ .most_ns = 50 * US };
}

static void sleep_often(unsigned n, uint64_t ns)
{
	for (unsigned i = 0; i < n; i++)
		spin_slept(&spin, ns);
}

START_TEST(not_before_it_would_have_paid)
{
	ck_assert(!spin_wants(&spin, 0));
	sleep_often(7, 10 * US);
	ck_assert(!spin_wants(&spin, 0));
	sleep_often(1, 10 * US);
	ck_assert(spin_wants(&spin, 0));
}
END_TEST

START_TEST(never_where_it_is_off)
{
	spin.most_ns = 0;
	sleep_often(100, 0);
	ck_assert(!spin_wants(&spin, 0));
}
END_TEST

/* Input now and then: nothing is looked for, whatever was before. */
START_TEST(long_sleeps_end_it)
{
	sleep_often(100, 10 * US);
	sleep_often(9, 50 * US);
	ck_assert(!spin_wants(&spin, 0));
	for (int i = 0; i < 100; i++) {
		sleep_often(1, 10 * US);
		sleep_often(1, MS);
		ck_assert(!spin_wants(&spin, 0));
	}
}
END_TEST

/* Input comes every other time: to look for it would be in vain as often. */
START_TEST(vain_looks_are_few)
{
	unsigned vain = 0;

	sleep_often(100, 10 * US);
	for (int i = 0; i < 1000; i++) {
		bool comes = i % 2;

		if (!spin_wants(&spin, 0)) {
			spin_slept(&spin, comes ? 10 * US : MS);
		} else if (comes) {
			spin_hit(&spin);
		} else {
			vain++;
			spin_miss(&spin);
			spin_slept(&spin, MS);
		}
	}
	ck_assert_uint_le(vain, 3);
}
END_TEST

START_TEST(it_goes_on_while_it_finds)
{
	sleep_often(8, 10 * US);
	for (int i = 0; i < 1000; i++) {
		ck_assert(spin_wants(&spin, 0));
		/* One of ten in vain. */
		if (i % 10 == 9)
			spin_miss(&spin);
		else
			spin_hit(&spin);
	}
}
END_TEST

/* 10 ms, 20, 40 ... at most 1.28 s. */
START_TEST(others_are_left_the_processor)
{
	uint64_t now = 5 * MS, pause = 10 * MS;

	sleep_often(100, 10 * US);
	for (int i = 0; i < 10; i++) {
		ck_assert(spin_wants(&spin, now));
		spin_crowded(&spin, now);
		ck_assert(!spin_wants(&spin, now + pause - 1));
		now += pause;
		pause = pause * 2 > 1280 * MS ? 1280 * MS : pause * 2;
	}
	/* Nobody wanted it for long: the next pause is short again. */
	for (int i = 0; i < 256; i++)
		spin_hit(&spin);
	spin_crowded(&spin, now);
	ck_assert(spin_wants(&spin, now + 10 * MS));
}
END_TEST

START_TEST(other_threads_are_left_the_processor)
{
	sleep_often(100, 10 * US);
	ck_assert(spin_wants(&spin, 0));
	spin_told(&spin);
	sleep_often(7, 10 * US);
	ck_assert(!spin_wants(&spin, 0));
	sleep_often(1, 10 * US);
	ck_assert(spin_wants(&spin, 0));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io/spin");
	TCase *t = tcase_create("spin");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, not_before_it_would_have_paid);
	tcase_add_test(t, never_where_it_is_off);
	tcase_add_test(t, long_sleeps_end_it);
	tcase_add_test(t, vain_looks_are_few);
	tcase_add_test(t, it_goes_on_while_it_finds);
	tcase_add_test(t, others_are_left_the_processor);
	tcase_add_test(t, other_threads_are_left_the_processor);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
