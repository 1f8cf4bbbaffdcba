/* Errors: the table, texts that do not fit, wrapping, calls without storage. */
#include <errno.h>

#include "base/err.h"
#include "base/str.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(table_answers_for_each_code)
{
	ck_assert_int_eq(code_http(E_NOT_FOUND), 404);
	ck_assert_int_eq(code_grpc(E_NOT_FOUND), 5);
	ck_assert_int_eq(code_exit(E_NOT_FOUND), 3);
	ck_assert_str_eq(code_slug(E_NOT_FOUND), "not-found");
	ck_assert_str_eq(code_name(E_NOT_FOUND), "E_NOT_FOUND");
	ck_assert_str_eq(code_text(E_NOT_FOUND), "no such object");
	ck_assert_int_eq(code_http(OK), 200);
	ck_assert_int_eq(code_exit(OK), 0);
	for (unsigned n = 0; n < CODE__MAX; n++) {
		if (!code_is_known(n))
			continue;
		ck_assert_int_ge(code_http((enum code)n), 200);
		ck_assert_uint_gt(strlen(code_slug((enum code)n)), 0);
		ck_assert_uint_gt(strlen(code_text((enum code)n)), 0);
	}
}
END_TEST

START_TEST(unknown_numbers_answer_as_internal)
{
	ck_assert(!code_is_known(CODE__MAX));
	ck_assert(!code_is_known(UINT32_MAX));
	ck_assert(code_is_known(OK));
	ck_assert(code_is_known(E_FAILED));
	ck_assert_str_eq(code_name((enum code)99999), "E_INTERNAL");
	ck_assert_int_eq(code_http((enum code)99999), 500);
	ck_assert_int_eq(code_exit((enum code)-1), 1);
}
END_TEST

START_TEST(set_wrap_and_hint)
{
	struct err err = { 0 };

	ck_assert_int_eq(err_set(&err, E_UNAVAILABLE, "port %d", 443),
			 E_UNAVAILABLE);
	ck_assert_int_eq(err_hint(&err, "is it %s?", "up"), E_UNAVAILABLE);
	ck_assert_int_eq(err_wrap(&err, "source %s", "acme/shop"),
			 E_UNAVAILABLE);
	ck_assert_str_eq(err.text, "source acme/shop: port 443");
	ck_assert_str_eq(err.hint, "is it up?");

	err_set(&err, E_IO, "new");
	ck_assert_str_eq(err.hint, "");
	err_reset(&err);
	ck_assert_int_eq(err.code, OK);
	ck_assert_str_eq(err.text, "");
}
END_TEST

/* A wrap of nothing still reports a failure. */
START_TEST(wrap_of_ok_is_internal)
{
	struct err err = { 0 };

	ck_assert_int_eq(err_wrap(&err, "thing"), E_INTERNAL);
	ck_assert_str_eq(err.text, "thing");
	ck_assert_int_eq(err.code, E_INTERNAL);
}
END_TEST

START_TEST(long_text_is_cut_and_says_so)
{
	struct err err = { 0 };
	char big[1000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&err, E_IO, "%s", big);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert(str_ends(str_of(err.text), STR("xxx...")));
	err_wrap(&err, "outer");
	ck_assert(str_starts(str_of(err.text), STR("outer: xxx")));
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	err_hint(&err, "%s", big);
	ck_assert_uint_eq(strlen(err.hint), sizeof(err.hint) - 1);

	/* One byte less than the room is not cut. */
	big[sizeof(err.text) - 1] = '\0';
	err_set(&err, E_IO, "%s", big);
	ck_assert_str_eq(err.text, big);
}
END_TEST

START_TEST(arguments_may_be_the_error_itself)
{
	struct err err = { 0 };

	err_set(&err, E_IO, "inner");
	err_set(&err, E_PARSE, "<%s>", err.text);
	ck_assert_str_eq(err.text, "<inner>");
	err_wrap(&err, "[%s]", err.text);
	ck_assert_str_eq(err.text, "[<inner>]: <inner>");
}
END_TEST

START_TEST(without_storage_the_code_goes_on)
{
	ck_assert_int_eq(err_set(NULL, E_GONE, "x"), E_GONE);
	ck_assert_int_eq(err_wrap(NULL, "y"), E_GONE);
	ck_assert_int_eq(err_hint(NULL, "z"), E_GONE);
	ck_assert_int_eq(err_sys(NULL, ENOENT, "x"), E_NOT_FOUND);
	ck_assert_int_eq(err_wrap(NULL, "y"), E_NOT_FOUND);
	err_reset(NULL);
	err_copy(NULL, NULL);
}
END_TEST

START_TEST(system_errors_map_and_explain)
{
	struct err err = { .hint = "old" };

	ck_assert_int_eq(err_sys(&err, ENOENT, "open %s", "/x"), E_NOT_FOUND);
	ck_assert_str_eq(err.text, "open /x: No such file or directory");
	ck_assert_str_eq(err.hint, "");
	ck_assert_int_eq(err_sys(&err, ENOSPC, "x"), E_FULL);
	ck_assert_int_eq(err_sys(&err, EACCES, "x"), E_DENIED);
	ck_assert_int_eq(err_sys(&err, EADDRINUSE, "x"), E_BUSY);
	ck_assert_int_eq(err_sys(&err, EIO, "x"), E_IO);
	ck_assert_int_eq(err_sys(&err, 99999, "x"), E_IO);
}
END_TEST

START_TEST(copy)
{
	struct err a = { 0 }, b = { 0 };

	err_set(&a, E_BUSY, "full");
	err_copy(&b, &a);
	ck_assert_int_eq(b.code, E_BUSY);
	ck_assert_str_eq(b.text, "full");
	err_copy(&b, &b);
	ck_assert_str_eq(b.text, "full");
	err_copy(&b, NULL);
	ck_assert_int_eq(b.code, OK);
}
END_TEST

START_TEST(set_with_ok_aborts)
{
	err_set(NULL, OK, "nothing is wrong");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/err");
	TCase *t = tcase_create("err");

	tcase_add_test(t, table_answers_for_each_code);
	tcase_add_test(t, unknown_numbers_answer_as_internal);
	tcase_add_test(t, set_wrap_and_hint);
	tcase_add_test(t, wrap_of_ok_is_internal);
	tcase_add_test(t, long_text_is_cut_and_says_so);
	tcase_add_test(t, arguments_may_be_the_error_itself);
	tcase_add_test(t, without_storage_the_code_goes_on);
	tcase_add_test(t, system_errors_map_and_explain);
	tcase_add_test(t, copy);
	tcase_add_test_raise_signal(t, set_with_ok_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
