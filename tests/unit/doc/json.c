/* JSON: what RFC 8259 says, with places, number texts and bounds. */
#include <jansson.h>

#include "parsing.h"

#include "doc/parsers.h"

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

static bool jansson_takes(struct str text)
{
	json_t *v = json_loadb(text.p, text.n,
			       JSON_DECODE_ANY | JSON_ALLOW_NUL |
				       JSON_DECODE_INT_AS_REAL, NULL);

	json_decref(v);
	return v;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* One byte is another, gone, or there twice. */
static void spoil(struct buf *to, struct str from, uint32_t *state)
{
	static const char bytes[] = "{}[]:,\"\\/bfnrtu0123456789.-+eE \t\n\x01xdD";
	size_t at = next_random(state) % from.n;

	buf_reset(to);
	buf_str(to, str_first(from, at));
	switch (next_random(state) % 3) {
	case 0:
		buf_add(to, &bytes[next_random(state) % (sizeof(bytes) - 1)], 1);
		break;
	case 1:
		buf_add(to, &from.p[at], 1);
		buf_add(to, &from.p[at], 1);
		break;
	default:
		break;
	}
	buf_str(to, str_from(from, at + 1));
}

START_TEST(what_is_plain_jansson_takes)
{
	static const char *const texts[] = {
		"{\"content\":\"a=\\\"b\\\"\\n\\u00e9\xc3\xa9\",\"n\":[0,-1,10.25,-0.0]}",
		"[[],{},[[{\"a\":{\"\":null}}]],true,false , \"\\\\\"]",
		" { \"a\" : [ 1 , \"\\/\\b\\f\\r\\t\" ] ,\r\n\"b\":{\"c\":1,\"d\":2} }\t",
		"\"\\ud83d\\ude00 \\u0000 \\uABCD\"", "[1e5,2E-3,00]", "-12", "null",
	};
	AUTO_BUF once = BUF_NONE, twice = BUF_NONE;
	uint32_t state = 1;
	unsigned plain = 0;

	for (size_t i = 0; i < 3; i++)
		ck_assert_msg(json_is_plain(str_of(texts[i])), "%s", texts[i]);
	for (unsigned i = 0; i < 200000; i++) {
		struct str text = str_of(texts[i % ARRAY_LEN(texts)]);

		spoil(&once, text, &state);
		if (i % 2 && once.n)
			spoil(&twice, buf_view(&once), &state);
		text = buf_view(i % 2 && once.n ? &twice : &once);
		if (!str_is_utf8(text) || !json_is_plain(text))
			continue;
		plain++;
		ck_assert_msg(jansson_takes(text), "%.*s", STR_ARG(text));
	}
	ck_assert_uint_gt(plain, 10000);
}
END_TEST

/* So that a call with a body does not wait for two parsers. */
START_TEST(plain_is_decided_by_the_text_alone)
{
	static const char *const doubts[] = {
		"1e5", "\"\\u0000\"", "\"\\ud800\"", "01", "1.", ".5", "-", "+1",
		"[1,]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "[1 2]", "{\"a\":1 \"b\":2}",
		"[1]]", "[1", "{\"a\":[1}", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\\u12",
		"\"\x01\"", "tru", "nul", "true1", "[,1]", "", " ", "{\"a\":}", "\"a\" 1",
	};

	for (size_t i = 0; i < ARRAY_LEN(doubts); i++)
		ck_assert_msg(!json_is_plain(str_of(doubts[i])), "%s", doubts[i]);
	for (unsigned n = 63; n <= 66; n++) {
		AUTO_BUF b = BUF_NONE;

		repeat(&b, "[", n);
		repeat(&b, "]", n);
		ck_assert_int_eq(json_is_plain(buf_view(&b)), n <= 64);
	}
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
	tcase_add_test(t, what_is_plain_jansson_takes);
	tcase_add_test(t, plain_is_decided_by_the_text_alone);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
