/* The formats: what they read alike, and what they refuse, with its place. */
#include "unit.h"

#include "doc/format.h"

#include "base/banned.h"

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static struct value *good(enum format f, const char *text)
{
	struct value *v = NULL;
	struct err err = { 0 };

	ck_assert_msg(doc_parse(f, str_of(text), arena, NULL, &v, NULL, &err) ==
			      OK,
		      "%s: %s", text, err.text);
	return v;
}

static struct err bad(enum format f, struct str text, struct doc_place *place)
{
	struct value *v;
	struct err err = { 0 };

	ck_assert_msg(doc_parse(f, text, arena, NULL, &v, place, &err) != OK,
		      "accepted: %.*s", STR_ARG(text));
	ck_assert(err.text[0]);
	return err;
}

static const char *canonical(const struct value *v)
{
	AUTO_BUF b = BUF_NONE;

	value_canonical(&b, v);
	return arena_z(arena, buf_view(&b));
}

START_TEST(the_same_tree_from_each_format)
{
	const char *json = "{\"b\":[1,2.50,true,null],\"a\":{\"x\":\"y\"}}";
	const char *yaml = "a:\n  x: y\nb: [1, 2.5, true, ~]\n";
	const char *want = "{\"a\":{\"x\":\"y\"},\"b\":[1,2.5,true,null]}";

	ck_assert_str_eq(canonical(good(FORMAT_JSON, json)), want);
	ck_assert_str_eq(canonical(good(FORMAT_YAML, yaml)), want);
	ck_assert(value_eq(good(FORMAT_JSON, json), good(FORMAT_YAML, yaml)));
	ck_assert_str_eq(canonical(good(FORMAT_TOML, "z=1\n[a]\nx=\"y\"\n")),
			 "{\"a\":{\"x\":\"y\"},\"z\":1}");
}
END_TEST

START_TEST(numbers_keep_their_text_and_compare_by_value)
{
	struct value *v = good(FORMAT_JSON, "[1,1.0,1e0,10e-1,-0,0,"
					    "100000000000000000000,1e20]");

	ck_assert(str_is(v->a.items[1]->s, "1.0"));
	for (int i = 1; i < 4; i++)
		ck_assert(value_eq(v->a.items[0], v->a.items[i]));
	ck_assert(value_eq(v->a.items[4], v->a.items[5]));
	ck_assert(value_eq(v->a.items[6], v->a.items[7]));
	ck_assert(!value_eq(v->a.items[0], v->a.items[5]));
	ck_assert_str_eq(canonical(good(FORMAT_JSON, "[0.000001,1.50,-12.25]")),
			 "[0.000001,1.5,-12.25]");
}
END_TEST

START_TEST(strings_are_unescaped)
{
	struct value *v = good(FORMAT_JSON,
			       "\"a\\n\\u00e9\\ud83d\\ude00\\\\\\/\\u0000z\"");

	ck_assert(str_eq(v->s, str_n("a\n\xc3\xa9\xf0\x9f\x98\x80\\/\0z", 12)));
}
END_TEST

START_TEST(json_that_is_none_is_refused)
{
	static const char *const texts[] = {
		"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "+1", ".5",
		"1.", "nul", "[1] x", "{\"a\":1,\"a\":2}", "\"\\ud800\"",
		"\"\t\"", "'a'", "{\"a\" 1}", "\xef\xbb\xbf{}", "NaN",
		"// c\n1", "1e999",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bad(FORMAT_JSON, str_of(texts[i]), NULL);
	bad(FORMAT_JSON, STR("\"\xff\""), NULL);
	bad(FORMAT_JSON, STR("[1]\0"), NULL);
}
END_TEST

START_TEST(errors_name_their_place)
{
	struct doc_place at;
	struct err err = bad(FORMAT_JSON, STR("{\n \"a\": x\n}"), &at);

	ck_assert_uint_eq(at.line, 2);
	ck_assert_msg(strstr(err.text, "line 2"), "%s", err.text);
	err = bad(FORMAT_YAML, STR("a: 1\nb: [1\n"), &at);
	ck_assert_uint_ge(at.line, 2);
	err = bad(FORMAT_YAML, STR("a: 1\nb: 2\na: 3\n"), &at);
	ck_assert_msg(strstr(err.text, "twice"), "%s", err.text);
	err = bad(FORMAT_TOML, STR("a = 1\nb = = 2\n"), &at);
	ck_assert_uint_eq(at.line, 2);
	err = bad(FORMAT_YAML, STR("ok: 1\nbad: \xff\n"), &at);
	ck_assert_uint_eq(at.line, 2);
	ck_assert_uint_eq(at.column, 6);
}
END_TEST

START_TEST(yaml_reads_the_core_schema)
{
	struct value *v = good(FORMAT_YAML, "[yes, no, on, 0x1f, 0o17, 017, "
					    "+1, .5, 1., .inf, -.Inf, .nan, "
					    "'1', !!str 2, True, ~, 1_000]");

	ck_assert_str_eq(canonical(v),
			 "[\"yes\",\"no\",\"on\",31,15,17,1,0.5,1,\"inf\","
			 "\"-inf\",\"nan\",\"1\",\"2\",true,null,\"1_000\"]");
}
END_TEST

START_TEST(yaml_that_hides_something_is_refused)
{
	static const char *const texts[] = {
		"a: &x [*x]", "*nobody", "<<: {a: 1}", "1: a", "[a]: b",
		"!custom a", "!!python/object:os.system x", "a: 1\n---\nb: 2\n",
		"a:\n\t- b", "%TAG ! tag:x,2000:\n--- !y z", "@a", "`a",
		"a: !!binary aGk=",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bad(FORMAT_YAML, str_of(texts[i]), NULL);
}
END_TEST

START_TEST(an_alias_bomb_is_refused)
{
	AUTO_BUF b = BUF_NONE;
	struct err err;

	buf_z(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 10; i++)
		buf_printf(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,"
			       "*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
			   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	err = bad(FORMAT_YAML, buf_view(&b), NULL);
	ck_assert_msg(strstr(err.text, "aliases"), "%s", err.text);
}
END_TEST

static void deep(enum format f, const char *open, const char *close, int n)
{
	AUTO_BUF b = BUF_NONE;
	struct err err;

	if (f == FORMAT_TOML)
		buf_z(&b, "a = ");
	for (int i = 0; i < n; i++)
		buf_z(&b, open);
	for (int i = 0; i < n; i++)
		buf_z(&b, close);
	err = bad(f, buf_view(&b), NULL);
	ck_assert_msg(strstr(err.text, "deep") || f == FORMAT_TOML, "%s",
		      err.text);
}

START_TEST(depth_is_bounded)
{
	deep(FORMAT_JSON, "[", "]", 65);
	deep(FORMAT_JSON, "[", "]", 100000);
	deep(FORMAT_YAML, "[", "]", 65);
	deep(FORMAT_YAML, "[", "]", 5000);
	deep(FORMAT_TOML, "[", "]", 100);
	deep(FORMAT_TOML, "[", "]", 100000);
	good(FORMAT_JSON, "[[[[[[[[[[]]]]]]]]]]");
}
END_TEST

START_TEST(size_is_bounded)
{
	struct doc_limits l = doc_limits_default;
	struct value *v;
	struct err err;

	l.bytes_max = 4;
	ck_assert_int_eq(doc_parse(FORMAT_TEXT, STR("12345"), arena, &l, &v,
				   NULL, &err),
			 E_TOO_LARGE);
	l = doc_limits_default;
	l.nodes_max = 3;
	ck_assert_int_eq(doc_parse(FORMAT_JSON, STR("[1,2,3]"), arena, &l, &v,
				   NULL, &err),
			 E_PARSE);
	ck_assert_int_eq(doc_parse(FORMAT_YAML, STR("[1,2,3]"), arena, &l, &v,
				   NULL, &err),
			 E_PARSE);
	ck_assert_int_eq(doc_parse(FORMAT_TOML, STR("a=1\nb=1\nc=1\n"), arena,
				   &l, &v, NULL, &err),
			 E_PARSE);
}
END_TEST

START_TEST(text_is_taken_as_it_is)
{
	struct value *v = NULL;

	ck_assert_int_eq(doc_parse(FORMAT_TEXT, STR("\xff\0{"), arena, NULL, &v,
				   NULL, NULL),
			 OK);
	ck_assert(str_eq(v->s, STR("\xff\0{")));
}
END_TEST

START_TEST(toml_knows_times_and_floats)
{
	struct value *v = good(FORMAT_TOML,
			       "t = 2026-01-02T03:04:05Z\nd = 2026-01-02\n"
			       "f = 1.5\nb = 0xff\ni = inf\nn = 1e30\n");

	ck_assert_int_eq(value_getz(v, "t")->type, VALUE_TIME);
	ck_assert(str_is(value_getz(v, "t")->s, "2026-01-02T03:04:05Z"));
	ck_assert(str_is(value_getz(v, "d")->s, "2026-01-02"));
	ck_assert(str_is(value_getz(v, "b")->s, "255"));
	ck_assert(str_is(value_getz(v, "f")->s, "1.5"));
	bad(FORMAT_TOML, STR("a=1\na=2\n"), NULL);
	bad(FORMAT_TOML, STR("a.b=1\na=2\n"), NULL);
	bad(FORMAT_TOML, STR("a = '\n'"), NULL);
}
END_TEST

START_TEST(formats_follow_extensions)
{
	ck_assert_int_eq(format_of_path(STR("a/b.json")), FORMAT_JSON);
	ck_assert_int_eq(format_of_path(STR("a.d/b.YML")), FORMAT_YAML);
	ck_assert_int_eq(format_of_path(STR("a.toml/b")), FORMAT_TEXT);
	ck_assert_int_eq(format_of_path(STR("x.conf")), FORMAT_TEXT);
}
END_TEST

START_TEST(a_stream_is_its_documents)
{
	struct value *docs;
	struct err err;

	ck_assert_int_eq(doc_parse_stream(STR("---\na: 1\n---\n---\nb: 2\n..."),
					  arena, NULL, &docs, NULL, &err),
			 OK);
	ck_assert_uint_eq(docs->a.n, 2);
	ck_assert_ptr_nonnull(value_getz(docs->a.items[1], "b"));
}
END_TEST

START_TEST(yaml_that_is_written_reads_back)
{
	struct value *v = good(FORMAT_JSON,
			       "{\"a\":[{\"b\":1,\"c\":[]},[1,[2]],\"x y\",\"yes\","
			       "\"\",\"1\",null,true,{}],\"k\\n\":{\"d\":\"e\"}}");
	AUTO_BUF yaml = BUF_NONE;

	value_yaml(&yaml, v);
	ck_assert_str_eq(canonical(good(FORMAT_YAML, yaml.p)), canonical(v));
}
END_TEST

static void note(void *data, enum value_change change, struct str path,
		 const struct value *before, const struct value *after)
{
	buf_printf(data, "%c%.*s ", "+-~"[change], STR_ARG(path));
}

START_TEST(differences_are_named_by_path)
{
	AUTO_BUF out = BUF_NONE;

	value_diff(good(FORMAT_JSON, "{\"a\":{\"b\":1,\"c\":2},\"l\":[1,2]}"),
		   good(FORMAT_JSON, "{\"a\":{\"b\":1.0,\"c\":3},\"l\":[1],\"n\":0}"),
		   note, &out);
	ck_assert_str_eq(out.p, "~a.c -l[1] +n ");
}
END_TEST

START_TEST(merge_patches_follow_rfc_7386)
{
	static const char *const rows[][3] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		  "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":\"foo\"}", "null", "null" },
		{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}",
		  "{\"a\":{\"bb\":{}}}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_str_eq(canonical(value_merge_patch(
					 arena, good(FORMAT_JSON, rows[i][0]),
					 good(FORMAT_JSON, rows[i][1]))),
				 rows[i][2]);
}
END_TEST

START_TEST(large_objects_find_their_members)
{
	AUTO_BUF b = BUF_NONE;
	struct value *v;
	uint64_t n;

	buf_c(&b, '{');
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%s\"k%d\":%d", i ? "," : "", (i * 7919) % 1000, i);
	buf_c(&b, '}');
	v = good(FORMAT_JSON, b.p);
	for (int i = 0; i < 1000; i++) {
		struct str key = arena_printf(arena, "k%d", (i * 7919) % 1000);

		ck_assert(value_to_u64(value_get(v, key), &n));
		ck_assert_uint_eq(n, (uint64_t)i);
	}
	ck_assert(value_remove(v, STR("k5")));
	ck_assert_ptr_null(value_getz(v, "k5"));
	ck_assert_ptr_nonnull(value_getz(v, "k6"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/parse");
	TCase *t = tcase_create("formats");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_same_tree_from_each_format);
	tcase_add_test(t, numbers_keep_their_text_and_compare_by_value);
	tcase_add_test(t, strings_are_unescaped);
	tcase_add_test(t, json_that_is_none_is_refused);
	tcase_add_test(t, errors_name_their_place);
	tcase_add_test(t, yaml_reads_the_core_schema);
	tcase_add_test(t, yaml_that_hides_something_is_refused);
	tcase_add_test(t, an_alias_bomb_is_refused);
	tcase_add_test(t, depth_is_bounded);
	tcase_add_test(t, size_is_bounded);
	tcase_add_test(t, text_is_taken_as_it_is);
	tcase_add_test(t, toml_knows_times_and_floats);
	tcase_add_test(t, formats_follow_extensions);
	tcase_add_test(t, a_stream_is_its_documents);
	tcase_add_test(t, yaml_that_is_written_reads_back);
	tcase_add_test(t, differences_are_named_by_path);
	tcase_add_test(t, merge_patches_follow_rfc_7386);
	tcase_add_test(t, large_objects_find_their_members);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
