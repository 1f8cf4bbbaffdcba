/* Numbers are compared and written by their decimal value. */
#include "parsing.h"

#include "doc/number.h"

#include "base/banned.h"

static const char *canon(const char *text)
{
	AUTO_BUF b = BUF_NONE;

	number_canonical(&b, str_of(text));
	return arena_z(arena, buf_view(&b));
}

START_TEST(one_value_has_one_spelling)
{
	static const char *const rows[][2] = {
		{ "1", "1" },
		{ "1.0", "1" },
		{ "1e0", "1" },
		{ "10e-1", "1" },
		{ "0.1E+1", "1" },
		{ "0", "0" },
		{ "-0", "0" },
		{ "0.000e77", "0" },
		{ "-12.250", "-12.25" },
		{ "100", "100" },
		{ "1e2", "100" },
		{ "0.001", "0.001" },
		{ "0.000001", "0.000001" },
		{ "0.0000001", "1e-7" },
		{ "123456e-3", "123.456" },
		{ "100000000000000000000", "100000000000000000000" },
		{ "1e20", "100000000000000000000" },
		{ "1e21", "1e21" },
		{ "10e20", "1e21" },
		{ "123456789012345678901234567890",
		  "12345678901234567890123456789e1" },
		{ "1234567890123456789012.5", "12345678901234567890125e-1" },
		{ "inf", "inf" },
		{ "-inf", "-inf" },
		{ "nan", "nan" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_str_eq(canon(rows[i][0]), rows[i][1]);
		ck_assert(number_eq(str_of(rows[i][0]), str_of(rows[i][1])));
		ck_assert_str_eq(canon(rows[i][1]), rows[i][1]);
	}
}
END_TEST

START_TEST(other_values_are_not_equal)
{
	static const char *const rows[][2] = {
		{ "1", "-1" },
		{ "1", "10" },
		{ "0.1", "0.10000000000000000001" },
		{ "9007199254740993", "9007199254740992" },
		{ "inf", "-inf" },
		{ "inf", "1" },
		{ "1e400", "1e401" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert(!number_eq(str_of(rows[i][0]), str_of(rows[i][1])));
}
END_TEST

START_TEST(the_grammar_is_that_of_json)
{
	static const char *const yes[] = { "0",	  "-0",	   "1.5",
					   "1e5", "1E-05", "-1.5e+3",
					   "nan", "inf",   "-inf" };
	static const char *const no[] = { "",	  "-",	  "01",	   "+1",  ".5",
					  "1.",	  "1e",	  "1e+",   "0x1", "1 ",
					  "+inf", "-nan", "1.5.2", "--1" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		ck_assert_msg(number_is_valid(str_of(yes[i])), "%s", yes[i]);
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		ck_assert_msg(!number_is_valid(str_of(no[i])), "%s", no[i]);
}
END_TEST

START_TEST(what_a_double_cannot_hold_is_not_readable)
{
	ck_assert(number_is_readable(STR("1.7976931348623157e308")));
	ck_assert(number_is_readable(STR("-1.7976931348623157e+308")));
	ck_assert(!number_is_readable(STR("1.8e308")));
	ck_assert(!number_is_readable(STR("1e309")));
	ck_assert(!number_is_readable(STR("1e99999999999999999999")));
	ck_assert(number_is_readable(STR("0e99999999999999999999")));
	ck_assert(number_is_readable(STR("1e-400")));
	ck_assert(!number_is_readable(STR("1e-99999999999")));
	ck_assert(number_is_readable(STR("inf")));
}
END_TEST

START_TEST(integers_are_exact)
{
	int64_t i;
	uint64_t u;

	ck_assert(number_to_i64(STR("-9223372036854775808"), &i));
	ck_assert_int_eq(i, INT64_MIN);
	ck_assert(!number_to_i64(STR("9223372036854775808"), &i));
	ck_assert(number_to_i64(STR("1.5e1"), &i));
	ck_assert_int_eq(i, 15);
	ck_assert(!number_to_i64(STR("1.5"), &i));
	ck_assert(!number_to_i64(STR("nan"), &i));
	ck_assert(number_to_u64(STR("18446744073709551615"), &u));
	ck_assert_uint_eq(u, UINT64_MAX);
	ck_assert(number_to_u64(STR("18446744073709551615.0"), &u));
	ck_assert_uint_eq(u, UINT64_MAX);
	ck_assert(!number_to_u64(STR("18446744073709551616"), &u));
	ck_assert(!number_to_u64(STR("-1"), &u));
}
END_TEST

START_TEST(numbers_are_ordered_by_value)
{
	/* Each is less than the next. */
	static const char *const rising[] = {
		"-inf",
		"-1e400",
		"-18446744073709551616.5",
		"-18446744073709551616",
		"-2",
		"-1.50",
		"-1.499999999999999999999999",
		"-1e-300",
		"0",
		"1e-300",
		"0.1",
		"0.10000000000000000000000001",
		"0.2",
		"1",
		"9.99",
		"10",
		"9007199254740992",
		"9007199254740993",
		"1e400",
		"inf",
	};

	for (size_t i = 0; i < ARRAY_LEN(rising); i++)
		for (size_t k = 0; k < ARRAY_LEN(rising); k++)
			ck_assert_msg(number_cmp(str_of(rising[i]),
						 str_of(rising[k])) ==
					      (i > k) - (i < k),
				      "%s and %s", rising[i], rising[k]);
	ck_assert_int_eq(number_cmp(STR("-0.0"), STR("0e9")), 0);
	ck_assert_int_eq(number_cmp(STR("10e-1"), STR("1")), 0);
	ck_assert_int_eq(number_cmp(STR("nan"), STR("1")), NUMBER_UNORDERED);
	ck_assert_int_eq(number_cmp(STR("inf"), STR("nan")), NUMBER_UNORDERED);
}
END_TEST

START_TEST(integers_have_no_fraction)
{
	ck_assert(number_is_integer(STR("1.0")));
	ck_assert(number_is_integer(STR("-0")));
	ck_assert(number_is_integer(STR("12e-0")));
	ck_assert(number_is_integer(STR("123456789012345678901234567890")));
	ck_assert(!number_is_integer(STR("1.5")));
	ck_assert(!number_is_integer(STR("15e-1")));
	ck_assert(!number_is_integer(STR("inf")));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/number");
	TCase *t = tcase_create("numbers");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, one_value_has_one_spelling);
	tcase_add_test(t, other_values_are_not_equal);
	tcase_add_test(t, the_grammar_is_that_of_json);
	tcase_add_test(t, what_a_double_cannot_hold_is_not_readable);
	tcase_add_test(t, integers_are_exact);
	tcase_add_test(t, numbers_are_ordered_by_value);
	tcase_add_test(t, integers_have_no_fraction);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
