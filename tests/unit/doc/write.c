/* What is written reads back as the same value. */
#include "parsing.h"

#include "base/banned.h"

#define J FORMAT_JSON

static const char *const texts[] = {
	"null",
	"true",
	"0",
	"-1.50e3",
	"\"\"",
	"\"x\"",
	"[]",
	"{}",
	"[[],{}]",
	"{\"a\":[{\"b\":1,\"c\":[]},[1,[2,{\"d\":[]}]],\"x y\",\"yes\",\"\","
	"\"1\",null,true,{}],\"k\\n\":{\"d\":\"e\",\"f\":{\"g\":[{}]}}}",
	"[\"null\",\"~\",\"True\",\"-\",\"- a\",\"a: b\",\"#c\",\"&a\",\"*a\","
	"\"!t\",\"0x1f\",\"1e5\",\".inf\",\"<<\",\"=\",\"a#b\",\" a\",\"a \","
	"\"{\",\"[\",\"'\",\"\\\"\",\"%a\",\"@a\",\"`a\",\"---\",\"...\",\"?\"]",
	"[\"a\\nb\\n\",\"\\t\",\"\\u0000\",\"\\u001b\",\"\\u007f\",\"\\u0085\","
	"\"\\u009f\",\"\\u00a0\",\"\\u2028\",\"\\u2029\",\"\\ufeff\",\"\\ufffe\","
	"\"\\uffff\",\"\\ud83d\\ude00\",\"\\ud83f\\udfff\"]",
	"{\"1\":1,\"true\":2,\"null\":3,\"\":4,\"a b\":5,\"<<\":6,\"\\u2028\":7}",
	"[100000000000000000000,1e-400,0.0000001,1.7976931348623157e308]",
};

START_TEST(json_reads_back)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct value *v = good(J, texts[i]);
		AUTO_BUF compact = BUF_NONE, pretty = BUF_NONE;

		value_json(&compact, v);
		value_json_pretty(&pretty, v);
		ck_assert(value_eq(good_str(J, buf_view(&compact)), v));
		ck_assert(value_eq(good_str(J, buf_view(&pretty)), v));
		ck_assert(value_eq(good(J, canonical(v)), v));
	}
}
END_TEST

START_TEST(yaml_reads_back)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct value *v = good(J, texts[i]);
		AUTO_BUF yaml = BUF_NONE;

		value_yaml(&yaml, v);
		ck_assert_msg(value_eq(good_str(FORMAT_YAML, buf_view(&yaml)), v),
			      "%s\n%s", texts[i], yaml.p);
	}
}
END_TEST

START_TEST(the_shapes_are_those_people_expect)
{
	struct value *v = good(J, "{\"b\":[1,{\"c\":\"x\",\"d\":[]}],\"a\":{},"
				  "\"e\":{\"f\":\"no\"}}");
	AUTO_BUF b = BUF_NONE;

	value_json(&b, v);
	ck_assert_str_eq(b.p, "{\"b\":[1,{\"c\":\"x\",\"d\":[]}],\"a\":{},"
			      "\"e\":{\"f\":\"no\"}}");
	buf_reset(&b);
	value_json_pretty(&b, v);
	ck_assert_str_eq(b.p, "{\n  \"b\": [\n    1,\n    {\n      \"c\": \"x\","
			      "\n      \"d\": []\n    }\n  ],\n  \"a\": {},\n"
			      "  \"e\": {\n    \"f\": \"no\"\n  }\n}\n");
	buf_reset(&b);
	value_yaml(&b, v);
	ck_assert_str_eq(b.p, "b:\n- 1\n- c: x\n  d: []\na: {}\ne:\n"
			      "  f: \"no\"\n");
}
END_TEST

/* As it is it would show people another order than it has. */
START_TEST(yaml_escapes_what_turns_text_round)
{
	AUTO_BUF b = BUF_NONE;

	value_yaml(&b, good(J, "[\"\\u202aa\\u202e\",\"\\u2066b\\u2069\"]"));
	ck_assert_str_eq(b.p, "- \"\\u202aa\\u202e\"\n- \"\\u2066b\\u2069\"\n");
}
END_TEST

START_TEST(canonical_form_sorts_and_has_no_space)
{
	ck_assert_str_eq(canonical(good(J, "{ \"b\" : [ 1.0 , -0 ],\n \"a\" : "
					   "\"\\u00e9\\u0001\", \"B\": 1e3 }")),
			 "{\"B\":1000,\"a\":\"\xc3\xa9\\u0001\",\"b\":[1,0]}");
	ck_assert_str_eq(canonical(NULL), "null");
}
END_TEST

START_TEST(what_json_cannot_say_is_written_all_the_same)
{
	struct value *v = good(FORMAT_TOML, "a=nan\nm=-inf\nt=2026-01-02\n");
	AUTO_BUF b = BUF_NONE;

	value_json(&b, v);
	ck_assert_str_eq(b.p, "{\"a\":\"nan\",\"m\":\"-inf\","
			      "\"t\":\"2026-01-02\"}");
	buf_reset(&b);
	value_yaml(&b, v);
	ck_assert_str_eq(b.p, "a: .nan\nm: -.inf\nt: \"2026-01-02\"\n");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("doc/write");
	TCase *t = tcase_create("write");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, json_reads_back);
	tcase_add_test(t, yaml_reads_back);
	tcase_add_test(t, the_shapes_are_those_people_expect);
	tcase_add_test(t, yaml_escapes_what_turns_text_round);
	tcase_add_test(t, canonical_form_sorts_and_has_no_space);
	tcase_add_test(t, what_json_cannot_say_is_written_all_the_same);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
