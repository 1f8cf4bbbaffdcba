/* The table of formats, and that they agree. */
#include "parsing.h"

#include "base/banned.h"

START_TEST(the_same_tree_from_each_format)
{
	const char *want = "{\"a\":{\"x\":\"y\"},\"b\":[1,2.5,true]}";

	reads(FORMAT_JSON, "{\"b\":[1,2.50,true],\"a\":{\"x\":\"y\"}}", want);
	reads(FORMAT_YAML, "a:\n  x: y\nb: [1, 2.5, true]\n", want);
	reads(FORMAT_TOML, "b=[1,2.5,true]\n[a]\nx=\"y\"\n", want);
}
END_TEST

START_TEST(text_is_taken_as_it_is)
{
	struct doc_limits l = doc_limits_default;
	struct doc_place at = { 9, 9 };
	struct value *v = NULL;
	struct err err;

	ck_assert_int_eq(doc_parse(FORMAT_TEXT, STR("\xff\0{"), arena, NULL, &v,
				   &at, &err),
			 OK);
	ck_assert_int_eq(v->type, VALUE_STRING);
	ck_assert(str_eq(v->s, STR("\xff\0{")));
	ck_assert_uint_eq(at.line, 0);
	ck_assert_int_eq(doc_parse(FORMAT_TEXT, STR_NONE, arena, NULL, &v, NULL,
				   &err),
			 OK);
	ck_assert_uint_eq(v->s.n, 0);
	l.bytes_max = 2;
	ck_assert_int_eq(doc_parse(FORMAT_TEXT, STR("abc"), arena, &l, &v, NULL,
				   &err),
			 E_TOO_LARGE);
}
END_TEST

START_TEST(formats_follow_extensions)
{
	static const struct {
		const char *path;
		enum format format;
	} rows[] = {
		{ "a/b.json", FORMAT_JSON }, { "a.d/b.YML", FORMAT_YAML },
		{ "b.yaml", FORMAT_YAML },   { "x.toml", FORMAT_TOML },
		{ "a.toml/b", FORMAT_TEXT }, { "x.conf", FORMAT_TEXT },
		{ "x.txt", FORMAT_TEXT },    { "", FORMAT_TEXT },
		{ "json", FORMAT_TEXT },     { ".json", FORMAT_JSON },
		{ "a.json.", FORMAT_TEXT },  { "a.json,yaml", FORMAT_TEXT },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(format_of_path(str_of(rows[i].path)) ==
				      rows[i].format,
			      "%s", rows[i].path);
}
END_TEST

START_TEST(names_lead_back)
{
	enum format f;

	for (unsigned i = 0; i < FORMAT__COUNT; i++) {
		ck_assert(format_parse_name(str_of(format_name(i)), &f));
		ck_assert_int_eq(f, i);
		ck_assert(strchr(format_content_type(i), '/') != NULL);
		ck_assert_int_eq(format_is_structured(i), i != FORMAT_TEXT);
	}
	ck_assert(!format_parse_name(STR("JSON"), &f));
	ck_assert(!format_parse_name(STR(""), &f));
}
END_TEST

START_TEST(json_bodies_are_json)
{
	struct value *v;
	struct err err;

	ck_assert_int_eq(doc_parse_json(STR("{\"a\":1}"), arena, NULL, &v, &err),
			 OK);
	ck_assert_int_eq(doc_parse_json(STR("a: 1"), arena, NULL, &v, &err),
			 E_PARSE);
	ck_assert_int_eq(doc_parse_json(STR_NONE, arena, NULL, &v, &err),
			 E_PARSE);
	ck_assert_int_eq(doc_parse_json(STR("x"), arena, NULL, &v, NULL),
			 E_PARSE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/format");
	TCase *t = tcase_create("formats");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_same_tree_from_each_format);
	tcase_add_test(t, text_is_taken_as_it_is);
	tcase_add_test(t, formats_follow_extensions);
	tcase_add_test(t, names_lead_back);
	tcase_add_test(t, json_bodies_are_json);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
