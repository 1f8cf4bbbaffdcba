/* JSON: what RFC 8259 says, with places, number texts and bounds. */
#include "parsing.h"

#include "base/banned.h"

#define J FORMAT_JSON

START_TEST(values_of_each_type)
{
	struct value *v = good(J, " {\"n\":null,\"t\":true,\"f\":false,"
				  "\"i\":-1.50e+1,\"s\":\"x\",\"a\":[1,[],{}],"
				  "\"o\":{\"\":\"empty key\"}}\r\n\t");

	ck_assert_int_eq(value_getz(v, "n")->type, VALUE_NULL);
	ck_assert(value_to_bool(value_getz(v, "t"), false));
	ck_assert(!value_to_bool(value_getz(v, "f"), true));
	ck_assert(str_is(value_getz(v, "i")->s, "-1.50e+1"));
	ck_assert_uint_eq(value_count(value_getz(v, "a")), 3);
	ck_assert(str_is(value_text(value_get(value_getz(v, "o"), STR(""))),
			 "empty key"));
	ck_assert_int_eq(good(J, "7")->type, VALUE_NUMBER);
	ck_assert_int_eq(good(J, "null")->type, VALUE_NULL);
}
END_TEST

START_TEST(members_keep_their_order)
{
	struct value *v = good(J, "{\"z\":1,\"a\":2,\"m\":3}");

	ck_assert(str_is(v->o.m[0].key, "z"));
	ck_assert(str_is(v->o.m[1].key, "a"));
	ck_assert(str_is(v->o.m[2].key, "m"));
}
END_TEST

START_TEST(numbers_keep_their_text)
{
	struct value *v = good(J, "[1.0,100000000000000000000,0.10000000000001,"
				  "1.7976931348623157e308]");

	ck_assert(str_is(v->a.items[0]->s, "1.0"));
	ck_assert(str_is(v->a.items[1]->s, "100000000000000000000"));
	ck_assert(str_is(v->a.items[2]->s, "0.10000000000001"));
	bad(J, "[1, 1e309]", 1, 9, "beyond what programs can read");
	bad(J, "[1e-99999999999]", 1, 2, "beyond what programs can read");
}
END_TEST

START_TEST(nul_bytes_are_refused_everywhere)
{
	static const char text[] = "[1,\0\t\t2]", word[] = "{\"a\":true\0}";

	bad_str(J, str_n(text, sizeof(text) - 1), 1, 4, "NUL");
	bad_str(J, str_n(word, sizeof(word) - 1), 1, 10, "NUL");
}
END_TEST

START_TEST(strings_are_unescaped)
{
	struct value *v = good(J,
			       "\"a\\n\\u00e9\\ud83d\\ude00\\\\\\/\\u0000z\"");

	ck_assert(str_eq(v->s, str_n("a\n\xc3\xa9\xf0\x9f\x98\x80\\/\0z", 12)));
	v = good(J, "\"\\\"\\b\\f\\r\\t\\u20AC\\uFFFF\"");
	ck_assert(str_is(v->s, "\"\b\f\r\t\xe2\x82\xac\xef\xbf\xbf"));
}
END_TEST

START_TEST(places_are_those_of_the_source)
{
	struct value *v = good(J,
			       "{\r\n  \"a\": [1,\n   {\"\xc3\xa9\": true}]}");
	const struct value *a = value_getz(v, "a");
	const struct value *t = value_getz(a->a.items[1], "\xc3\xa9");

	ck_assert_uint_eq(v->line, 1);
	ck_assert_uint_eq(v->column, 1);
	ck_assert_uint_eq(a->line, 2);
	ck_assert_uint_eq(a->column, 8);
	ck_assert_uint_eq(t->line, 3);
	ck_assert_uint_eq(t->column, 10); /* characters, not bytes */
}
END_TEST

START_TEST(what_is_no_json_is_refused)
{
	static const char *const texts[] = {
		"{",	       "}",	      "[",
		"[1,]",	       "{\"a\":1,}",  "{a:1}",
		"01",	       "+1",	      ".5",
		"1.",	       "1e",	      "-",
		"nul",	       "[1] x",	      "[1]]",
		"'a'",	       "{\"a\" 1}",   "NaN",
		"Infinity",    "// c\n1",     "/**/1",
		"\"",	       "\"\\x41\"",   "\"\\u12\"",
		"\"\\u12g4\"", "\"\t\"",      "\"\n\"",
		"[1 2]",       "{\"a\":}",    "{\"a\"}",
		"{1:2}",       "tru",	      "True",
		"[1,,2]",      "\"a\" \"b\"", "\\u0031",
		"\x01",	       "\x7f",	      "{\"a\":1 \"b\":2}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bad(J, texts[i], 0, 0, "line ");
}
END_TEST

START_TEST(errors_name_place_and_reason)
{
	bad(J, "", 1, 1, "empty");
	bad(J, " \n\t", 1, 1, "empty");
	bad(J, "\xef\xbb\xbf{}", 1, 1, "byte order mark");
	bad(J, "{\n \"a\": x\n}", 2, 7, "x");
	bad(J, "{\"a\":1,\n\"a\":2}", 2, 3, "duplicate");
	bad(J, "{\"k\":{\"a\":1,\"\\u0061\":2}}", 0, 0, "duplicate");
	bad_str(J, STR("[1]\0"), 0, 0, "line 1");
	bad_str(J, STR("\"\0\""), 0, 0, "line 1");
	bad_str(J, STR("{\"a\\u0000b\":1}"), 0, 0, "NUL");
}
END_TEST

START_TEST(text_that_is_not_utf8_is_refused_at_its_byte)
{
	bad(J, "[\"\xff\"]", 1, 3, "not UTF-8");
	bad(J, "[\n\"\xc3\xa9\xc3\"]", 2, 3, "not UTF-8");
	bad(J, "\"\xc0\x80\"", 1, 2, "not UTF-8");     /* overlong NUL */
	bad(J, "\"\xed\xa0\x80\"", 1, 2, "not UTF-8"); /* a surrogate */
	bad(J, "\"\xf4\x90\x80\x80\"", 1, 2, "not UTF-8");
	bad(J, "\"\\ud800\"", 0, 0, "line 1");
	bad(J, "\"\\ud800\\u0041\"", 0, 0, "line 1");
	bad(J, "\"\\udc00\"", 0, 0, "line 1");
}
END_TEST

static void nested(size_t n, const char *open, const char *inner,
		   const char *close, bool ok)
{
	AUTO_BUF b = BUF_NONE;

	repeat(&b, open, n);
	buf_z(&b, inner);
	repeat(&b, close, n);
	if (ok)
		good_str(J, buf_view(&b));
	else
		bad_str(J, buf_view(&b), 1, (uint32_t)(64 * strlen(open) + 1),
			"nested too deeply");
}

START_TEST(depth_is_bounded)
{
	nested(64, "[", "", "]", true);
	nested(65, "[", "", "]", false);
	nested(64, "{\"a\":", "1", "}", true);
	nested(65, "{\"a\":", "1", "}", false);
	nested(3000, "[", "", "]", false); /* beyond jansson's own bound */
	nested(1000000, "[", "", "]", false);
	nested(1000000, "[", "", "", false);
	good(J, "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
		"[[[[[[[[[[[[[[[[[[\\\"[[[[[\"]");
}
END_TEST

START_TEST(size_and_values_are_bounded)
{
	struct doc_limits l = doc_limits_default;
	struct value *v;
	struct err err;

	l.bytes_max = 4;
	ck_assert_int_eq(doc_parse(J, STR("12345"), arena, &l, &v, NULL, &err),
			 E_TOO_LARGE);
	ck_assert_str_eq(err.text, "5 bytes, at most 4 are allowed");
	ck_assert_int_eq(doc_parse(J, STR("1234"), arena, &l, &v, NULL, &err),
			 OK);
	l = doc_limits_default;
	l.nodes_max = 3;
	ck_assert_int_eq(doc_parse(J, STR("[1,2]"), arena, &l, &v, NULL, &err),
			 OK);
	ck_assert_int_eq(doc_parse(J, STR("[1,2,3]"), arena, &l, &v, NULL, &err),
			 E_PARSE);
	ck_assert_str_eq(err.text, "line 1, column 6: more values than allowed");
}
END_TEST

START_TEST(large_objects_find_their_members)
{
	AUTO_BUF b = BUF_NONE;
	struct value *v;
	uint64_t n;

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%c\"k%d\":%d", i ? ',' : '{', i * 7919 % 1000,
			   i);
	buf_c(&b, '}');
	v = good_str(J, buf_view(&b));
	for (int i = 0; i < 1000; i++) {
		struct str key = arena_printf(arena, "k%d", i * 7919 % 1000);

		ck_assert(value_to_u64(value_get(v, key), &n));
		ck_assert_uint_eq(n, (uint64_t)i);
	}
	ck_assert_ptr_null(value_getz(v, "k1000"));
	ck_assert_ptr_null(value_getz(v, ""));
	buf_cut(&b, b.n - 1);
	buf_z(&b, ",\"k7\":1}");
	bad_str(J, buf_view(&b), 0, 0, "duplicate");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/json");
	TCase *t = tcase_create("json");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, values_of_each_type);
	tcase_add_test(t, members_keep_their_order);
	tcase_add_test(t, numbers_keep_their_text);
	tcase_add_test(t, nul_bytes_are_refused_everywhere);
	tcase_add_test(t, strings_are_unescaped);
	tcase_add_test(t, places_are_those_of_the_source);
	tcase_add_test(t, what_is_no_json_is_refused);
	tcase_add_test(t, errors_name_place_and_reason);
	tcase_add_test(t, text_that_is_not_utf8_is_refused_at_its_byte);
	tcase_add_test(t, depth_is_bounded);
	tcase_add_test(t, size_and_values_are_bounded);
	tcase_add_test(t, large_objects_find_their_members);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
