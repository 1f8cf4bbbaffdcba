/* When a loop is overloaded, and what it refuses then. */
#include "api/admission.h"

#include "unit.h"

#include "base/banned.h"

#define MS UINT64_C(1000000)

static struct admission a;
static uint64_t now;

static void setup(void)
{
	a = (struct admission){ .target_ns = 10 * MS };
	now = 1000 * MS;
}

/* A turn that takes so long, with a request at its begin and one at its end;
 * 'idle' is how long the loop waited for it.  Says which were taken. */
static unsigned turn(uint64_t ms, uint64_t idle_ms)
{
	uint64_t woke = now += idle_ms * MS;
	unsigned taken = admission_take(&a, woke, now) ? 1 : 0;

	now += ms * MS;
	taken |= admission_take(&a, woke, now) ? 2 : 0;
	admission_turn(&a, woke, now);
	return taken;
}

START_TEST(short_turns_refuse_nothing)
{
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(turn(9, 0), 3);
	ck_assert_uint_eq(a.shed, 0);
}
END_TEST

START_TEST(one_long_turn_is_a_burst)
{
	ck_assert_uint_eq(turn(5000, 0), 3);
	ck_assert_uint_eq(turn(1, 0), 3);
	ck_assert_uint_eq(turn(5000, 0), 3);
	ck_assert(!a.is_overloaded);
}
END_TEST

START_TEST(a_queue_that_stands_is_cut)
{
	/* From the first long turn an interval of 5 targets is waited. */
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(turn(12, 0), 3);
	ck_assert(!a.is_overloaded);
	ck_assert_uint_eq(turn(12, 0), 3);
	ck_assert(a.is_overloaded);
	/* What is young is served still. */
	ck_assert_uint_eq(turn(12, 0), 1);
	ck_assert_uint_eq(a.shed, 1);
	ck_assert_uint_eq(turn(9, 0), 3);
	ck_assert(!a.is_overloaded);
	ck_assert_uint_eq(turn(12, 0), 3);
}
END_TEST

START_TEST(a_loop_that_had_nothing_to_do_has_no_queue)
{
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(turn(50, 2), 3);
	ck_assert(!a.is_overloaded);
	/* And one that was overloaded is it no more. */
	for (int i = 0; i < 10; i++)
		turn(50, 0);
	ck_assert(a.is_overloaded);
	turn(50, 2);
	ck_assert(!a.is_overloaded);
}
END_TEST

START_TEST(a_turn_without_requests_makes_others_wait_too)
{
	for (int i = 0; i < 10; i++) {
		uint64_t woke = now;

		now += 40 * MS;
		admission_turn(&a, woke, now);
	}
	ck_assert(a.is_overloaded);
	ck_assert(admission_take(&a, now, now));
	ck_assert(!admission_take(&a, now, now + 10 * MS));
}
END_TEST

START_TEST(without_a_target_all_is_taken)
{
	a.target_ns = 0;
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(turn(1000, 0), 3);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/admission");
	TCase *t = tcase_create("admission");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, short_turns_refuse_nothing);
	tcase_add_test(t, one_long_turn_is_a_burst);
	tcase_add_test(t, a_queue_that_stands_is_cut);
	tcase_add_test(t, a_loop_that_had_nothing_to_do_has_no_queue);
	tcase_add_test(t, a_turn_without_requests_makes_others_wait_too);
	tcase_add_test(t, without_a_target_all_is_taken);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
