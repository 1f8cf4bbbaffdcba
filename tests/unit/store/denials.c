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
	ck_assert(denials_take(denials, 1000, false, arena, &c));
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

	ck_assert(!denials_take(denials, 1000, false, arena, &c));
	add(1, "a", "b");
	ck_assert(denials_take(denials, 1000, false, arena, &c));
	add(1, "a", "b");
	ck_assert(!denials_take(denials, 60999, false, arena, &c));
	add(1, "a", "b");
	c = (struct command){ 0 };
	ck_assert(denials_take(denials, 61000, false, arena, &c));
	ck_assert_uint_eq(c.ops[0].size, 2);
	ck_assert(!denials_take(denials, 200000, false, arena, &c));
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
	ck_assert(denials_take(denials, 1000, false, arena, &c));
	ck_assert_uint_eq(c.n_ops, DENIALS_MAX + 1);
	ck_assert_uint_eq(c.ops[0].name.n, 200);
	ck_assert_uint_eq(c.ops[DENIALS_MAX].size, 10001 - DENIALS_MAX);
}
END_TEST

START_TEST(the_last_time_waits_for_no_minute)
{
	struct command c = { 0 };

	add(1, "a", "b");
	ck_assert(denials_take(denials, 1000, false, arena, &c));
	add(1, "a", "b");
	c = (struct command){ 0 };
	ck_assert(denials_take(denials, 1001, true, arena, &c));
	ck_assert_uint_eq(c.n_ops, 1);
	ck_assert(!denials_take(denials, 1002, true, arena, &c));
}
END_TEST

START_TEST(who_has_many_addresses_has_one_line)
{
	static const struct {
		const char *host, *network;
	} cases[] = {
		{ "203.0.113.77", "203.0.113.0/24" },
		{ "203.0.113.255", "203.0.113.0/24" },
		{ "203.0.114.1", "203.0.114.0/24" },
		{ "127.0.0.1", "127.0.0.1" },
		{ "127.1.2.3", "127.1.2.3" },
		{ "::1", "::1" },
		{ "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48" },
		{ "2001:db8:1:ffff::1", "2001:db8:1::/48" },
		{ "2001:db8:2::1", "2001:db8:2::/48" },
		{ "::ffff:203.0.113.9", "203.0.113.0/24" },
		{ "::ffff:127.0.0.1", "127.0.0.1" },
		{ "fe80::1234%eth0", "fe80::/48" },
		{ "", "" },
		{ "unix", "unix" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF got = BUF_NONE;

		denials_network(&got, cases[i].host);
		ck_assert_msg(str_eq(buf_view(&got), str_of(cases[i].network)),
			      "%s: %.*s", cases[i].host, STR_ARG(buf_view(&got)));
	}
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
	tcase_add_test(t, the_last_time_waits_for_no_minute);
	tcase_add_test(t, who_has_many_addresses_has_one_line);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
