/* Growing bytes; JSON strings. */
#include "base/buf.h"
#include "unit.h"

#include "base/banned.h"

static void is(const struct buf *b, struct str want)
{
	ck_assert_msg(str_eq(buf_view(b), want), "got \"%.*s\"",
		      STR_ARG(buf_view(b)));
	if (b->p)
		ck_assert_int_eq(b->p[b->n], '\0');
}

START_TEST(empty_is_valid)
{
	struct buf b = BUF_NONE;

	buf_reset(&b);
	buf_cut(&b, 0);
	buf_drop(&b, 0);
	ck_assert_uint_eq(buf_view(&b).n, 0);
	buf_fini(&b);
	buf_fini(&b);
	buf_add(&b, NULL, 0);
	ck_assert_str_eq(b.p, "");
	buf_fini(&b);
	ck_assert_ptr_null(b.p);
}
END_TEST

START_TEST(all_kinds_of_adding)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "a");
	buf_c(&b, 'b');
	buf_str(&b, STR("c\0d"));
	buf_add(&b, "ef", 2);
	buf_u64(&b, 0);
	buf_u64(&b, UINT64_MAX);
	buf_c(&b, ' ');
	buf_i64(&b, INT64_MIN);
	buf_i64(&b, 5);
	buf_hex(&b, "\x00\xff", 2);
	buf_printf(&b, "<%s %d>", "x", 7);
	is(&b, STR("abc\0def018446744073709551615 "
		   "-9223372036854775808500ff<x 7>"));
}
END_TEST

START_TEST(grows_one_by_one)
{
	AUTO_BUF b = BUF_NONE;

	for (int i = 0; i < 5000; i++) {
		buf_c(&b, (char)('a' + i % 26));
		ck_assert_uint_eq(b.n, (size_t)i + 1);
		ck_assert_int_eq(b.p[b.n], '\0');
		ck_assert_uint_gt(b.cap, b.n);
	}
	for (int i = 0; i < 5000; i++)
		ck_assert_int_eq(b.p[i], 'a' + i % 26);
}
END_TEST

/* The room that is there exactly fits, or is one short. */
START_TEST(printf_at_the_edge)
{
	for (size_t n = 0; n < 200; n++) {
		AUTO_BUF b = BUF_NONE;

		buf_printf(&b, "%*s", (int)n, "");
		buf_printf(&b, "%0*d", (int)n + 1, 1);
		ck_assert_uint_eq(b.n, 2 * n + 1);
		ck_assert_uint_eq(strlen(b.p), 2 * n + 1);
		ck_assert_int_eq(b.p[b.n - 1], '1');
	}
}
END_TEST

START_TEST(extend_and_reserve)
{
	AUTO_BUF b = BUF_NONE;
	char *at, *before;

	buf_reserve(&b, 1000);
	ck_assert_str_eq(b.p, "");
	before = b.p;
	at = buf_extend(&b, 1000);
	ck_assert_ptr_eq(at, before);
	memset(at, 'x', 1000);
	is(&b, buf_view(&b));
	ck_assert_uint_eq(b.n, 1000);
}
END_TEST

START_TEST(drop_cut_reset)
{
	AUTO_BUF b = BUF_NONE;
	size_t cap;

	buf_z(&b, "hello world");
	buf_drop(&b, 6);
	is(&b, STR("world"));
	buf_cut(&b, 3);
	is(&b, STR("wor"));
	cap = b.cap;
	buf_reset(&b);
	is(&b, STR(""));
	ck_assert_uint_eq(b.cap, cap);
	buf_z(&b, "x");
	buf_drop(&b, 1);
	is(&b, STR(""));
}
END_TEST

START_TEST(taking)
{
	struct buf b = BUF_NONE;
	char *p = buf_take(&b);

	ck_assert_str_eq(p, "");
	free(p);
	buf_z(&b, "mine");
	p = buf_take(&b);
	ck_assert_str_eq(p, "mine");
	ck_assert_ptr_null(b.p);
	ck_assert_uint_eq(b.n, 0);
	free(p);
}
END_TEST

static void json_is(struct str in, struct str want)
{
	AUTO_BUF b = BUF_NONE;

	buf_json(&b, in);
	is(&b, want);
}

START_TEST(json)
{
	json_is(STR_NONE, STR("\"\""));
	json_is(STR("plain"), STR("\"plain\""));
	json_is(STR("\"\\/"), STR("\"\\\"\\\\/\""));
	json_is(STR("\b\f\n\r\t"), STR("\"\\b\\f\\n\\r\\t\""));
	json_is(STR("a\0\x1f"), STR("\"a\\u0000\\u001f\""));
	json_is(STR("\xc3\xa4\xf0\x9f\x98\x80"), STR("\"\xc3\xa4\xf0\x9f\x98\x80\""));
	/* Each byte that is no UTF-8 becomes one U+FFFD; what follows stays. */
	json_is(STR("\xffx"), STR("\"\xef\xbf\xbdx\""));
	json_is(STR("\xed\xa0\x80"),
		STR("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
	json_is(STR("\xc3"), STR("\"\xef\xbf\xbd\""));
}
END_TEST

START_TEST(drop_too_much_aborts)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "abc");
	buf_drop(&b, 4);
}
END_TEST

START_TEST(cut_longer_aborts)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "abc");
	buf_cut(&b, 4);
}
END_TEST

START_TEST(reserve_overflow_aborts)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "abc");
	buf_reserve(&b, SIZE_MAX - 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/buf");
	TCase *t = tcase_create("buf");

	tcase_add_test(t, empty_is_valid);
	tcase_add_test(t, all_kinds_of_adding);
	tcase_add_test(t, grows_one_by_one);
	tcase_add_test(t, printf_at_the_edge);
	tcase_add_test(t, extend_and_reserve);
	tcase_add_test(t, drop_cut_reset);
	tcase_add_test(t, taking);
	tcase_add_test(t, json);
	tcase_add_test_raise_signal(t, drop_too_much_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, cut_longer_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, reserve_overflow_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
