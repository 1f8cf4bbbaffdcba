/* Denied requests, counted and bounded. */
#include "unit.h"

#include "store/denials.h"

#include "base/banned.h"

static struct denials *denials;
static struct arena *arena;

static void setup(void)
{
	denials = denials_new();
	arena = arena_new(0);
}

static void teardown(void)
{
	denials_free(&denials);
	arena_free(&arena);
}

static void add(unsigned times, const char *who, const char *why)
{
	while (times--)
		denials_add(denials, str_of(who), str_of(why));
}

START_TEST(the_same_is_counted_in_one_line)
{
	struct command c = { .type = COMMAND_OPS };

	add(3, "token:ci", "publish");
	add(2, "token:ci", "delete");
	add(1, "address ::1", "publish");
	ck_assert(denials_take(denials, 1000, arena, &c));
	ck_assert_uint_eq(c.n_ops, 3);
	ck_assert_int_eq(c.ops[0].type, OP_DENIED);
	ck_assert(str_is(c.ops[0].name, "token:ci"));
	ck_assert(str_is(c.ops[0].message, "publish"));
	ck_assert_uint_eq(c.ops[0].size, 3);
	ck_assert_uint_eq(c.ops[1].size, 2);
}
END_TEST

START_TEST(once_a_minute)
{
	struct command c = { 0 };

	ck_assert(!denials_take(denials, 1000, arena, &c));
	add(1, "a", "b");
	ck_assert(denials_take(denials, 1000, arena, &c));
	add(1, "a", "b");
	ck_assert(!denials_take(denials, 60999, arena, &c));
	add(1, "a", "b");
	c = (struct command){ 0 };
	ck_assert(denials_take(denials, 61000, arena, &c));
	ck_assert_uint_eq(c.ops[0].size, 2);
	ck_assert(!denials_take(denials, 200000, arena, &c));
}
END_TEST

START_TEST(nobody_fills_the_log)
{
	struct command c = { 0 };
	char long_text[1000];

	memset(long_text, 'x', sizeof(long_text));
	denials_add(denials, str_n(long_text, 1000), str_n(long_text, 1000));
	for (int i = 0; i < 10000; i++) {
		AUTO_BUF who = BUF_NONE;

		buf_printf(&who, "address %d", i);
		denials_add(denials, buf_view(&who), STR("get"));
	}
	ck_assert(denials_take(denials, 1000, arena, &c));
	ck_assert_uint_eq(c.n_ops, DENIALS_MAX + 1);
	ck_assert_uint_eq(c.ops[0].name.n, 200);
	ck_assert_uint_eq(c.ops[DENIALS_MAX].size, 10001 - DENIALS_MAX);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store/denials");
	TCase *t = tcase_create("denials");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_same_is_counted_in_one_line);
	tcase_add_test(t, once_a_minute);
	tcase_add_test(t, nobody_fills_the_log);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
