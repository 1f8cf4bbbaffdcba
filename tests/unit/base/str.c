/* Borrowed bytes: order, cutting, numbers, sizes, durations, UTF-8. */
#include "base/str.h"
#include "unit.h"

#include "base/banned.h"

START_TEST(order_and_equality)
{
	ck_assert_int_eq(str_cmp(STR("a"), STR("b")), -1);
	ck_assert_int_eq(str_cmp(STR("b"), STR("a")), 1);
	ck_assert_int_eq(str_cmp(STR("a"), STR("a\0")), -1);
	ck_assert_int_eq(str_cmp(STR_NONE, STR("")), 0);
	/* Bytes, not signed characters. */
	ck_assert_int_eq(str_cmp(STR("\x7f"), STR("\x80")), -1);
	ck_assert(str_eq(STR_NONE, STR("")));
	ck_assert(!str_eq(STR("a\0b"), STR("a\0c")));
	ck_assert(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
	ck_assert(!str_eq_nocase(STR("\xc4"), STR("\xe4")));
	ck_assert(!str_eq_nocase(STR("@"), STR("`")));
}
END_TEST

START_TEST(parts)
{
	struct str s = STR("hello");

	ck_assert(str_starts(s, STR("he")));
	ck_assert(str_starts(s, STR("")));
	ck_assert(!str_starts(s, STR("hello!")));
	ck_assert(str_ends(s, STR("lo")));
	ck_assert(!str_ends(s, STR("xhello")));
	ck_assert(str_is(str_from(s, 3), "lo"));
	ck_assert(str_is(str_from(s, 99), ""));
	ck_assert(str_is(str_first(s, 2), "he"));
	ck_assert(str_is(str_first(s, 99), "hello"));
	ck_assert(str_is(str_trim(STR(" \t\r\n x y \n")), "x y"));
	ck_assert(str_is(str_trim(STR("  \n ")), ""));
	ck_assert(str_is(str_from(STR_NONE, 3), ""));
}
END_TEST

START_TEST(finding)
{
	ck_assert_uint_eq(str_find(STR("a/b/c"), '/'), 1);
	ck_assert_uint_eq(str_rfind(STR("a/b/c"), '/'), 3);
	ck_assert_uint_eq(str_find(STR("abc"), '/'), SIZE_MAX);
	ck_assert_uint_eq(str_find(STR_NONE, '/'), SIZE_MAX);
	ck_assert_uint_eq(str_rfind(STR_NONE, '/'), SIZE_MAX);
	ck_assert_uint_eq(str_find_str(STR("a\r\n\r\nb"), STR("\r\n\r\n")), 1);
	ck_assert_uint_eq(str_find_str(STR("abc"), STR("abcd")), SIZE_MAX);
	ck_assert_uint_eq(str_find_str(STR("abc"), STR("")), 0);
	ck_assert_uint_eq(str_find_str(STR_NONE, STR("a")), SIZE_MAX);
	/* What lies behind the end is not looked at. */
	ck_assert_uint_eq(str_find(str_first(STR("a/b"), 1), '/'), SIZE_MAX);
}
END_TEST

START_TEST(cutting)
{
	struct str s = STR("a,,b");

	ck_assert(str_is(str_cut(&s, ','), "a"));
	ck_assert(str_is(str_cut(&s, ','), ""));
	ck_assert(str_is(str_cut(&s, ','), "b"));
	ck_assert_ptr_null(s.p);
	ck_assert(str_is(str_cut(&s, ','), ""));
	s = STR("a,");
	str_cut(&s, ',');
	ck_assert_uint_eq(s.n, 0);
	ck_assert_ptr_nonnull(s.p);
}
END_TEST

START_TEST(numbers)
{
	uint64_t u = 7;
	int64_t i = 7;
	bool b;

	ck_assert(str_u64(STR("0"), &u) && u == 0);
	ck_assert(str_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
	u = 7;
	ck_assert(!str_u64(STR("18446744073709551616"), &u));
	ck_assert(!str_u64(STR("99999999999999999999"), &u));
	ck_assert(!str_u64(STR(""), &u));
	ck_assert(!str_u64(STR("-1"), &u));
	ck_assert(!str_u64(STR("+1"), &u));
	ck_assert(!str_u64(STR(" 1"), &u));
	ck_assert(!str_u64(STR("1 "), &u));
	ck_assert(!str_u64(STR("0x10"), &u));
	ck_assert_uint_eq(u, 7);
	ck_assert(str_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
	ck_assert(str_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
	ck_assert(!str_i64(STR("9223372036854775808"), &i));
	ck_assert(!str_i64(STR("-9223372036854775809"), &i));
	ck_assert(!str_i64(STR("--1"), &i));
	ck_assert(!str_i64(STR("-"), &i));
	ck_assert(str_bool(STR("yes"), &b) && b);
	ck_assert(str_bool(STR("0"), &b) && !b);
	ck_assert(!str_bool(STR("True"), &b));
	ck_assert(!str_bool(STR(""), &b));
}
END_TEST

START_TEST(sizes)
{
	uint64_t v = 7;

	ck_assert(str_bytes(STR("64"), &v) && v == 64);
	ck_assert(str_bytes(STR("64B"), &v) && v == 64);
	ck_assert(str_bytes(STR("64KiB"), &v) && v == 65536);
	ck_assert(str_bytes(STR("8MiB"), &v) && v == 8388608);
	ck_assert(str_bytes(STR("1GiB"), &v) && v == 1073741824);
	ck_assert(!str_bytes(STR("1KB"), &v));
	ck_assert(!str_bytes(STR("KiB"), &v));
	ck_assert(!str_bytes(STR("1 KiB"), &v));
	ck_assert(!str_bytes(STR("1KiBx"), &v));
	ck_assert(!str_bytes(STR("18446744073709551615KiB"), &v));
}
END_TEST

START_TEST(durations)
{
	uint64_t v = 7;

	ck_assert(str_duration_ms(STR("100ms"), &v) && v == 100);
	ck_assert(str_duration_ms(STR("5s"), &v) && v == 5000);
	ck_assert(str_duration_ms(STR("1m30s"), &v) && v == 90000);
	ck_assert(str_duration_ms(STR("7d"), &v) && v == 604800000);
	ck_assert(str_duration_ms(STR("1d2h3m4s5ms"), &v) && v == 93784005);
	ck_assert(str_duration_ms(STR("0"), &v) && v == 0);
	v = 7;
	ck_assert(!str_duration_ms(STR(""), &v));
	ck_assert(!str_duration_ms(STR("5"), &v));
	ck_assert(!str_duration_ms(STR("s"), &v));
	ck_assert(!str_duration_ms(STR("5 s"), &v));
	ck_assert(!str_duration_ms(STR("-5s"), &v));
	ck_assert(!str_duration_ms(STR("5s1m"), &v));
	ck_assert(!str_duration_ms(STR("5s5s"), &v));
	ck_assert(!str_duration_ms(STR("1.5s"), &v));
	ck_assert(!str_duration_ms(STR("300000000000d"), &v));
	ck_assert_uint_eq(v, 7);
}
END_TEST

START_TEST(copying)
{
	char out[4] = "zzz";

	ck_assert(str_copy(out, sizeof(out), STR("abc")));
	ck_assert_str_eq(out, "abc");
	ck_assert(!str_copy(out, sizeof(out), STR("wxyz")));
	ck_assert_str_eq(out, "wxy");
	ck_assert(str_copy(out, 1, STR_NONE));
	ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(hashing)
{
	/* FNV-1a's own test values. */
	ck_assert_uint_eq(str_hash(STR("")), 0xcbf29ce484222325u);
	ck_assert_uint_eq(str_hash(STR("foobar")), 0x85944171f73967e8u);
}
END_TEST

START_TEST(distances)
{
	static const struct {
		const char *a, *b;
		size_t far;
	} rows[] = {
		{ "", "", 0 },	       { "apply", "apply", 0 },
		{ "aply", "apply", 1 }, { "", "get", 3 },
		{ "get", "", 3 },      { "kitten", "sitting", 3 },
		{ "ab", "ba", 2 },     { "filename", "name", 4 },
	};
	static const char big[64] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_uint_eq(str_distance(str_of(rows[i].a),
					       str_of(rows[i].b)),
				  rows[i].far);
	ck_assert_uint_eq(str_distance(str_n(big, 63), STR("")), 63);
	ck_assert_uint_eq(str_distance(str_n(big, 64), STR("")), SIZE_MAX);
	ck_assert_uint_eq(str_distance(STR(""), str_n(big, 64)), SIZE_MAX);
}
END_TEST

START_TEST(utf8)
{
	static const struct str good[] = {
		{ "", 0 },
		{ "plain ascii, longer than eight", 30 },
		{ "\xc2\x80", 2 },
		{ "\xdf\xbf", 2 },
		{ "\xe0\xa0\x80", 3 },
		{ "\xed\x9f\xbf", 3 },
		{ "\xee\x80\x80", 3 },
		{ "\xf0\x90\x80\x80", 4 },
		{ "\xf4\x8f\xbf\xbf", 4 },
		{ "1234567\xc3\xa4", 9 },
		{ "\0", 1 },
	};
	static const struct str bad[] = {
		{ "\x80", 1 },			/* a tail alone */
		{ "\xc0\x80", 2 },		/* overlong NUL */
		{ "\xc1\xbf", 2 },
		{ "\xe0\x9f\xbf", 3 },		/* overlong */
		{ "\xf0\x8f\xbf\xbf", 4 },
		{ "\xed\xa0\x80", 3 },		/* surrogate */
		{ "\xf4\x90\x80\x80", 4 },	/* beyond U+10FFFF */
		{ "\xf5\x80\x80\x80", 4 },
		{ "\xff", 1 },
		{ "\xc3", 1 },			/* cut short */
		{ "\xe2\x82", 2 },
		{ "\xf0\x9f\x98", 3 },
		{ "12345678\xc3", 9 },
		{ "\xc3\x28", 2 },
		{ "\xe2\x28\xa1", 3 },
		{ "\xf0\x90\x28\xbc", 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(str_is_utf8(good[i]), "good %zu", i);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!str_is_utf8(bad[i]), "bad %zu", i);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/str");
	TCase *t = tcase_create("str");

	tcase_add_test(t, order_and_equality);
	tcase_add_test(t, parts);
	tcase_add_test(t, finding);
	tcase_add_test(t, cutting);
	tcase_add_test(t, numbers);
	tcase_add_test(t, sizes);
	tcase_add_test(t, durations);
	tcase_add_test(t, copying);
	tcase_add_test(t, hashing);
	tcase_add_test(t, distances);
	tcase_add_test(t, utf8);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
