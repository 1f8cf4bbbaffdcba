/* YAML: the core schema, and everything that a hostile document tries. */
#include "parsing.h"

#include "base/banned.h"

#define Y FORMAT_YAML

START_TEST(plain_scalars_follow_the_core_schema)
{
	reads(Y, "[null, Null, NULL, ~, ]", "[null,null,null,null]");
	reads(Y, "[true, True, TRUE, false, False, FALSE]",
	      "[true,true,true,false,false,false]");
	reads(Y, "[yes, no, on, off, y, n, tRue, nULL]",
	      "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\",\"tRue\",\"nULL\"]");
	reads(Y, "[0, -0, +12, 017, 00, 0o17, 0x1f, 0xFF]",
	      "[0,0,12,17,0,15,31,255]");
	reads(Y, "[.5, 1., -1.5e3, +.5, 1.e2, 01.50, 1e0]",
	      "[0.5,1,-1500,0.5,100,1.5,1]");
	reads(Y, "[1_000, 0o8, 0x, 0xg, 0o, 1e, -, +, ., .e1, 1.2.3, 0b11]",
	      "[\"1_000\",\"0o8\",\"0x\",\"0xg\",\"0o\",\"1e\",\"-\",\"+\","
	      "\".\",\".e1\",\"1.2.3\",\"0b11\"]");
	reads(Y, "[.inf, +.Inf, -.INF, .nan, .NaN, inf, nan, .Nan]",
	      "[{\"$number\": \"inf\"},{\"$number\": \"inf\"},"
	      "{\"$number\": \"-inf\"},{\"$number\": \"nan\"},"
	      "{\"$number\": \"nan\"},\"inf\",\"nan\",\".Nan\"]");
	reads(Y, "[2026-01-02, 12:30:45, '1', \"true\", '']",
	      "[\"2026-01-02\",\"12:30:45\",\"1\",\"true\",\"\"]");
}
END_TEST

START_TEST(numbers_beyond_reading_are_refused)
{
	reads(Y, "a: 100000000000000000000", "{\"a\":100000000000000000000}");
	reads(Y, "a: 0xffffffffffffffff", "{\"a\":18446744073709551615}");
	bad(Y, "a: 0x10000000000000000", 1, 4, "more than 64 bits");
	bad(Y, "a: 1e309", 1, 4, "beyond what programs can read");
}
END_TEST

START_TEST(tags_of_the_core_schema_are_known)
{
	reads(Y,
	      "[!!str 1, ! 2, !!int 3, !!int 0x10, !!float 1.5, !!bool true,"
	      " !!null ~, !!str , !!float .inf]",
	      "[\"1\",\"2\",3,16,1.5,true,null,\"\",{\"$number\": \"inf\"}]");
	reads(Y, "!!map {a: !!seq [1]}", "{\"a\":[1]}");
	bad(Y, "a: !!int x", 1, 4, "not of the type of its tag");
	bad(Y, "a: !!int 1.5", 1, 4, "not of the type of its tag");
	bad(Y, "a: !!bool yes", 1, 4, "not of the type of its tag");
	bad(Y, "a: !custom b", 1, 4, "core schema");
	bad(Y, "!!python/object:os.system x", 1, 1, "core schema");
	bad(Y, "a: !!binary aGk=", 1, 4, "core schema");
	bad(Y, "!!set {a}", 1, 1, "core schema");
	bad(Y, "a: !!seq {b: 1}", 1, 4, "core schema");
	bad(Y, "%TAG ! tag:x,2000:\n--- !y z", 2, 5, "core schema");
}
END_TEST

START_TEST(blocks_and_styles_are_read)
{
	struct value *v = good(Y, "a: |\n  x\n   y\nb: >-\n  p\n  q\n"
				  "c: \"\\u00e9\\x41\\n\"\nd:\n- 1\n-\n  - 2\n"
				  "? e\n: f # comment\n");

	ck_assert(str_is(value_text_at(v, "a"), "x\n y\n"));
	ck_assert(str_is(value_text_at(v, "b"), "p q"));
	ck_assert(str_is(value_text_at(v, "c"), "\xc3\xa9"
						"A\n"));
	ck_assert_str_eq(canonical(value_getz(v, "d")), "[1,[2]]");
	ck_assert(str_is(value_text_at(v, "e"), "f"));
	reads(Y, "a: 1\r\nb: 2\r\n", "{\"a\":1,\"b\":2}");
	reads(Y,
	      "\xef\xbb\xbf"
	      "a: 1\n",
	      "{\"a\":1}");
	reads(Y, "", "null");
	reads(Y, "# nothing\n", "null");
	reads(Y, "--- a\n...\n", "\"a\"");
	reads(Y, "{\"a\": [1, \"x\"], \"b\": null}",
	      "{\"a\":[1,\"x\"],\"b\":null}");
}
END_TEST

START_TEST(anchors_stand_for_copies)
{
	struct value *v = good(Y, "a: &x {k: [1, &y z]}\nb: *x\nc: *y\n"
				  "d: &x 2\ne: *x\n");
	struct value *a = value_getz(v, "a"), *b = value_getz(v, "b");

	ck_assert(value_eq(a, b));
	ck_assert(str_is(value_text_at(v, "c"), "z"));
	ck_assert(value_eq(value_getz(v, "d"), value_getz(v, "e")));
	value_setz(arena, a, "only", value_null(arena));
	ck_assert_ptr_null(value_getz(b, "only"));
	reads(Y, "&k a: *k", "{\"a\":\"a\"}");
	reads(Y, "? &k a\n: 1\nb: {*k : 2}\n", "{\"a\":1,\"b\":{\"a\":2}}");
}
END_TEST

START_TEST(what_hides_something_is_refused)
{
	bad(Y, "a: &x [*x]", 1, 8, "inside its own anchor");
	bad(Y, "a: &x {b: *x}", 1, 11, "inside its own anchor");
	bad(Y, "a: *nobody", 1, 4, "without its anchor");
	bad(Y, "--- &a x\n--- *a\n", 2, 5, "without its anchor");
	bad(Y, "b: {<<: {a: 1}}", 1, 5, "merge keys");
	reads(Y, "'<<': 1", "{\"<<\":1}");
	bad(Y, "1: a", 1, 1, "put it in quotes");
	bad(Y, "a: 1\nnull: b", 2, 1, "put it in quotes");
	bad(Y, "?\n: b", 1, 2, "put it in quotes");
	bad(Y, "[a]: b", 1, 1, "no string");
	bad(Y, "{a: 1}: b", 1, 1, "no string");
	bad(Y, "a: 1\n---\nb: 2\n", 3, 1, "more than one document");
	bad(Y, "k: 0\nv: {a: 1, b: 2, \"a\": 3}", 2, 4,
	    "\"a\" stands here twice");
}
END_TEST

START_TEST(what_is_no_yaml_is_refused)
{
	static const char *const texts[] = {
		"a:\n\t- b",	  "@a",		  "`a",
		"a: 'x",	  "a: \"x",	  "a: [1",
		"a: {b",	  "a: \"\\q\"",	  "a: b: c",
		"- a\nb: c",	  "a: 1\n b: 2",  "%YAML 3.0\n--- a",
		"a: ]",		  "&a &b c",	  "!<tag",
		"a: \"\\ud800\"", "*a : *",	  "a: |x\n b",
		"? a\n? b\n- c",  "--- a\n... b", "%BAD",
		"a: \x01",	  "a: \x7f",	  "a: \xc2\x84",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bad(Y, texts[i], 0, 0, "line ");
}
END_TEST

START_TEST(errors_name_place_and_reason)
{
	bad(Y, "a: 1\nb: [1\n", 3, 1, "while parsing a flow sequence");
	bad(Y, "a:\n\t- b", 2, 1, "cannot start any token");
	bad(Y, "ok: 1\nbad: \xff\n", 2, 6, "not UTF-8");
	bad(Y, "ok: \xc3\xa9\nb: \xc3\xa9\x02", 2, 5, "control characters");
	bad_str(Y, STR("a: b\nc: \0d\n"), 2, 4, "control characters");
}
END_TEST

static void bomb(struct buf *b, unsigned levels)
{
	buf_z(b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (unsigned i = 1; i <= levels; i++) {
		buf_printf(b, "a%u: &a%u [", i, i);
		for (int k = 0; k < 10; k++)
			buf_printf(b, "%s*a%u", k ? "," : "", i - 1);
		buf_z(b, "]\n");
	}
}

START_TEST(an_alias_bomb_is_refused)
{
	AUTO_BUF b = BUF_NONE;

	bomb(&b, 3);
	good_str(Y, buf_view(&b));
	buf_reset(&b);
	bomb(&b, 9);
	bad_str(Y, buf_view(&b), 0, 0, "more values than allowed, aliases");
}
END_TEST

START_TEST(a_long_string_named_often_is_refused)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "a: &a ");
	repeat(&b, "x", 100000);
	buf_z(&b, "\nb: [");
	repeat(&b, "*a,", 100);
	good_str(Y, (buf_z(&b, "]\n"), buf_view(&b)));
	buf_cut(&b, b.n - 2);
	repeat(&b, "*a,", 100);
	buf_z(&b, "]\n");
	bad_str(Y, buf_view(&b), 0, 0, "more text than allowed");
}
END_TEST

START_TEST(aliases_do_not_add_up_to_depth)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "a0: &a0 x\n");
	for (int i = 1; i <= 6; i++)
		buf_printf(&b, "a%d: &a%d [[[[[[[[[[*a%d]]]]]]]]]]\n", i, i,
			   i - 1);
	good_str(Y, buf_view(&b));    /* 61 deep */
	buf_z(&b, "a7: [[[*a6]]]\n"); /* 64 */
	good_str(Y, buf_view(&b));
	buf_z(&b, "a8: [[[[*a6]]]]\n");
	bad_str(Y, buf_view(&b), 0, 0, "nested too deeply, aliases");
}
END_TEST

static void nested(size_t n, const char *open, const char *close, bool ok)
{
	AUTO_BUF b = BUF_NONE;

	repeat(&b, open, n);
	buf_c(&b, 'x');
	repeat(&b, close, n);
	if (ok)
		good_str(Y, buf_view(&b));
	else
		bad_str(Y, buf_view(&b), 0, 0, "nested too deeply");
}

START_TEST(depth_is_bounded)
{
	nested(64, "[", "]", true);
	nested(65, "[", "]", false);
	nested(64, "{a: ", "}", true);
	nested(65, "{a: ", "}", false);
	nested(64, "- ", "", true);
	nested(65, "- ", "", false);
	nested(65, "? ", "", false);
	nested(1000000, "[", "]", false);
	nested(1000000, "{", "", false);
	nested(1000000, "- ", "", false);
}
END_TEST

START_TEST(tag_lines_are_bounded)
{
	AUTO_BUF b = BUF_NONE;

	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%%TAG !a%d! tag:x\n", i);
	buf_z(&b, "--- 1\n");
	good_str(Y, buf_view(&b));
	buf_reset(&b);
	for (int i = 0; i < 300000; i++)
		buf_printf(&b, "%%TAG !a%d! tag:x\n", i);
	buf_z(&b, "--- 1\n");
	bad_str(Y, buf_view(&b), 101, 1, "%TAG");
}
END_TEST

START_TEST(size_and_values_are_bounded)
{
	struct doc_limits l = doc_limits_default;
	struct value *v;
	struct err err;

	l.bytes_max = 4;
	ck_assert_int_eq(doc_parse(Y, STR("12345"), arena, &l, &v, NULL, &err),
			 E_TOO_LARGE);
	l = doc_limits_default;
	l.nodes_max = 3;
	ck_assert_int_eq(doc_parse(Y, STR("[1,2]"), arena, &l, &v, NULL, &err),
			 OK);
	ck_assert_int_eq(doc_parse(Y, STR("[1,2,3]"), arena, &l, &v, NULL, &err),
			 E_PARSE);
}
END_TEST

static enum code stream(struct str text, const struct doc_limits *l,
			struct value **docs, struct err *err)
{
	struct doc_place at;

	return doc_parse_stream(text, arena, l, docs, &at, err);
}

START_TEST(a_stream_is_its_documents)
{
	struct doc_limits l = doc_limits_default;
	struct value *docs = NULL;
	struct err err;

	ck_assert_int_eq(stream(STR("---\na: 1\n---\n---\n# c\n---\nb: 2\n...\n"
				    "--- {c: 3}\n"),
				NULL, &docs, &err),
			 OK);
	ck_assert_str_eq(canonical(docs), "[{\"a\":1},{\"b\":2},{\"c\":3}]");
	ck_assert_uint_eq(docs->a.items[1]->line, 7);
	ck_assert_int_eq(stream(STR(""), NULL, &docs, &err), OK);
	ck_assert_uint_eq(docs->a.n, 0);
	ck_assert_int_eq(stream(STR("{\"a\":1}"), NULL, &docs, &err), OK);
	ck_assert_uint_eq(docs->a.n, 1);
	l.documents_max = 2;
	ck_assert_int_eq(stream(STR("--- 1\n--- 2\n"), &l, &docs, &err), OK);
	docs = NULL;
	ck_assert_int_eq(stream(STR("--- 1\n--- 2\n--- 3\n"), &l, &docs, &err),
			 E_PARSE);
	ck_assert_str_eq(err.text,
			 "line 3, column 1: more documents than allowed");
	ck_assert_ptr_null(docs);
	l.nodes_max = 3;
	ck_assert_int_eq(stream(STR("--- [1]\n--- [2]\n"), &l, &docs, &err),
			 E_PARSE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/yaml");
	TCase *t = tcase_create("yaml");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, plain_scalars_follow_the_core_schema);
	tcase_add_test(t, numbers_beyond_reading_are_refused);
	tcase_add_test(t, tags_of_the_core_schema_are_known);
	tcase_add_test(t, blocks_and_styles_are_read);
	tcase_add_test(t, anchors_stand_for_copies);
	tcase_add_test(t, what_hides_something_is_refused);
	tcase_add_test(t, what_is_no_yaml_is_refused);
	tcase_add_test(t, errors_name_place_and_reason);
	tcase_add_test(t, an_alias_bomb_is_refused);
	tcase_add_test(t, a_long_string_named_often_is_refused);
	tcase_add_test(t, aliases_do_not_add_up_to_depth);
	tcase_add_test(t, depth_is_bounded);
	tcase_add_test(t, tag_lines_are_bounded);
	tcase_add_test(t, size_and_values_are_bounded);
	tcase_add_test(t, a_stream_is_its_documents);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
