/* Flags: which there are, what they come to, and labels of a context. */
#include "api/ofrep_flag.h"
#include "doc/format.h"
#include "unit.h"

#include "base/banned.h"

static struct arena *arena;
static struct flag_set set;
static struct err err;
static struct buf out;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	buf_fini(&out);
	arena_free(&arena);
}

static struct value *parse(enum format format, const char *text)
{
	struct value *v;

	ck_assert_msg(doc_parse(format, str_of(text), arena, NULL, &v, NULL,
				&err) == OK, "%s", err.text);
	return v;
}

static void flags(const char *json)
{
	ck_assert_int_eq(flag_set_of(parse(FORMAT_JSON, json), &set, &err), OK);
}

/* The answer for 'key', or "none". */
static const char *ask(const char *key)
{
	const struct value *flag = flag_find(&set, str_of(key));
	struct flag_result res;

	if (!flag)
		return "none";
	buf_reset(&out);
	flag_evaluate(flag, "STATIC", &res);
	flag_json(&out, str_of(key), &res, &set, 7);
	return out.p;
}

#define STATIC_OF(key, value)                                              \
	"{\"key\":\"" key "\",\"reason\":\"STATIC\",\"value\":" value      \
	",\"metadata\":{\"version\":7}}"

START_TEST(plain_values_are_flags)
{
	flags("{\"b\":true,\"n\":1.50,\"s\":\"\\u00e4\\\"\",\"a\":[1,null],"
	      "\"o\":{\"x\":{}},\"$schema\":\"no\",\"\":1}");
	ck_assert_str_eq(ask("b"), STATIC_OF("b", "true"));
	ck_assert_str_eq(ask("n"), STATIC_OF("n", "1.50"));
	ck_assert_str_eq(ask("s"), STATIC_OF("s", "\"\xc3\xa4\\\"\""));
	ck_assert_str_eq(ask("a"), STATIC_OF("a", "[1,null]"));
	ck_assert_str_eq(ask("o"), STATIC_OF("o", "{\"x\":{}}"));
	ck_assert_str_eq(ask("$schema"), "none");
	ck_assert_str_eq(ask(""), "none");
	ck_assert_str_eq(ask("B"), "none");
}
END_TEST

START_TEST(null_leaves_it_to_the_code)
{
	flags("{\"n\":null}");
	ck_assert_str_eq(ask("n"), "{\"key\":\"n\",\"reason\":\"DEFAULT\","
				   "\"metadata\":{\"version\":7}}");
}
END_TEST

START_TEST(dots_lead_into_objects_where_no_member_has_them)
{
	flags("{\"a\":{\"b\":{\"c\":1},\"b.c\":2,\"d.e\":{\"f\":4}},\"a.x\":3,"
	      "\"v\":{\"variants\":{\"on\":true},\"defaultVariant\":\"on\"}}");
	ck_assert_str_eq(ask("a.b.c"), STATIC_OF("a.b.c", "2"));
	ck_assert_str_eq(ask("a.b"), STATIC_OF("a.b", "{\"c\":1}"));
	ck_assert_str_eq(ask("a.x"), STATIC_OF("a.x", "3"));
	ck_assert_str_eq(ask("a.d.e.f"), STATIC_OF("a.d.e.f", "4"));
	ck_assert_str_eq(ask("a."), "none");
	ck_assert_str_eq(ask(".a"), "none");
	ck_assert_str_eq(ask("a.b.c.d"), "none");
	/* What is inside a flag is no flag. */
	ck_assert_str_eq(ask("v.variants.on"), "none");
}
END_TEST

START_TEST(flagd_flags_have_variants)
{
	flags("{\"on\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":2},"
	      "\"defaultVariant\":\"b\",\"targeting\":{},\"metadata\":"
	      "{\"team\":\"x\",\"deep\":{},\"version\":1}},"
	      "\"off\":{\"state\":\"DISABLED\",\"variants\":{\"a\":1},"
	      "\"defaultVariant\":\"a\",\"targeting\":{\"if\":[]}},"
	      "\"code\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1}},"
	      "\"null\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},"
	      "\"defaultVariant\":null}}");
	ck_assert_str_eq(ask("on"),
			 "{\"key\":\"on\",\"reason\":\"STATIC\",\"variant\":\"b\","
			 "\"value\":2,\"metadata\":{\"team\":\"x\",\"version\":7}}");
	ck_assert_str_eq(ask("off"), "{\"key\":\"off\",\"reason\":\"DISABLED\","
				     "\"metadata\":{\"version\":7}}");
	ck_assert_str_eq(ask("code"), "{\"key\":\"code\",\"reason\":\"DEFAULT\","
				      "\"metadata\":{\"version\":7}}");
	ck_assert_str_eq(ask("null"), "{\"key\":\"null\",\"reason\":\"DEFAULT\","
				      "\"metadata\":{\"version\":7}}");
}
END_TEST

static void is_error(const char *key, const char *code, const char *details)
{
	AUTO_BUF want = BUF_NONE;

	buf_printf(&want, "{\"key\":\"%s\",\"errorCode\":\"%s\",\"errorDetails\":"
		   "\"%s", key, code, details);
	ck_assert_msg(str_starts(str_of(ask(key)), buf_view(&want)),
		      "%s is not %s", ask(key), want.p);
}

START_TEST(what_cannot_be_evaluated_is_not)
{
	flags("{\"t\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},"
	      "\"defaultVariant\":\"a\",\"targeting\":{\"if\":[]}},"
	      "\"state\":{\"state\":\"enabled\",\"variants\":{\"a\":1}},"
	      "\"which\":{\"variants\":{\"a\":1},\"defaultVariant\":\"b\"},"
	      "\"type\":{\"variants\":{\"a\":1},\"defaultVariant\":1},"
	      "\"none\":{\"variants\":{\"a\":null},\"defaultVariant\":\"a\"}}");
	is_error("t", "GENERAL", "targeting");
	is_error("state", "PARSE_ERROR", "state");
	is_error("which", "PARSE_ERROR", "defaultVariant is none");
	is_error("type", "PARSE_ERROR", "defaultVariant must be");
	is_error("none", "PARSE_ERROR", "the variant has no value");
}
END_TEST

START_TEST(what_json_cannot_say_is_an_error)
{
	ck_assert_int_eq(flag_set_of(parse(FORMAT_YAML, "a: .inf\nb: [1, .nan]\n"
					   "c: 1\nd: inf\n"), &set, &err), OK);
	is_error("a", "PARSE_ERROR", "it holds");
	is_error("b", "PARSE_ERROR", "it holds");
	ck_assert_str_eq(ask("c"), STATIC_OF("c", "1"));
	ck_assert_str_eq(ask("d"), STATIC_OF("d", "\"inf\""));
}
END_TEST

START_TEST(toml_gives_flags_too)
{
	ck_assert_int_eq(flag_set_of(parse(FORMAT_TOML, "since = 2026-01-02\n"
					   "[ui]\ndark = true\n"), &set, &err), OK);
	ck_assert_str_eq(ask("ui.dark"), STATIC_OF("ui.dark", "true"));
	ck_assert_str_eq(ask("since"), STATIC_OF("since", "\"2026-01-02\""));
}
END_TEST

START_TEST(a_file_of_flagd_serves_as_it_is)
{
	flags("{\"$schema\":\"x\",\"flags\":{\"f\":{\"state\":\"ENABLED\","
	      "\"variants\":{\"on\":true},\"defaultVariant\":\"on\",\"metadata\":"
	      "{\"who\":\"me\"}}},\"metadata\":{\"who\":\"us\",\"set\":1}}");
	ck_assert_str_eq(ask("f"), "{\"key\":\"f\",\"reason\":\"STATIC\","
			 "\"variant\":\"on\",\"value\":true,\"metadata\":"
			 "{\"who\":\"me\",\"set\":1,\"version\":7}}");
	ck_assert_str_eq(ask("flags"), "none");
	/* A member that is called so is a flag where it holds something else. */
	flags("{\"flags\":{\"f\":1}}");
	ck_assert_str_eq(ask("flags.f"), STATIC_OF("flags.f", "1"));
	flags("{\"flags\":{}}");
	ck_assert_str_eq(ask("flags"), STATIC_OF("flags", "{}"));
}
END_TEST

START_TEST(all_are_told_together)
{
	flags("{\"$id\":1,\"a\":1,\"b\":{\"variants\":{},\"state\":\"?\"}}");
	buf_reset(&out);
	flag_set_json(&out, &set, "TARGETING_MATCH", 3);
	ck_assert_str_eq(out.p,
			 "{\"flags\":[{\"key\":\"a\",\"reason\":\"TARGETING_MATCH\","
			 "\"value\":1,\"metadata\":{\"version\":3}},{\"key\":\"b\","
			 "\"errorCode\":\"PARSE_ERROR\",\"errorDetails\":\"state must "
			 "be ENABLED or DISABLED\"}],\"metadata\":{\"version\":3}}");
	flags("{}");
	buf_reset(&out);
	flag_set_json(&out, &set, "STATIC", 3);
	ck_assert_str_eq(out.p, "{\"flags\":[],\"metadata\":{\"version\":3}}");
}
END_TEST

START_TEST(only_an_object_holds_flags)
{
	ck_assert_int_eq(flag_set_of(parse(FORMAT_JSON, "[1]"), &set, &err),
			 E_PARSE);
	ck_assert_int_eq(flag_set_of(parse(FORMAT_YAML, "word"), &set, &err),
			 E_PARSE);
}
END_TEST

START_TEST(scalars_of_a_context_are_labels)
{
	struct labels labels = { 0 };
	unsigned ignored = 0;

	labels_set(arena, &labels, STR("region"), STR("query"));
	flag_context_labels(arena, parse(FORMAT_JSON,
		"{\"targetingKey\":\"u\",\"region\":\"eu\",\"beta\":true,"
		"\"n\":1.0,\"none\":null,\"deep\":{\"a\":1},\"list\":[],"
		"\"a b\":1,\"\":1,\"ctl\":\"\\u0001\"}"), &labels, &ignored);
	buf_reset(&out);
	labels_json(&out, &labels);
	ck_assert_str_eq(out.p, "{\"beta\":\"true\",\"n\":\"1\","
				"\"region\":\"eu\",\"targetingKey\":\"u\"}");
	ck_assert_uint_eq(ignored, 6);
}
END_TEST

START_TEST(labels_are_bounded)
{
	struct labels labels = { 0 };
	struct value *context = value_object(arena);
	unsigned ignored = 0;

	for (int i = 0; i < LABELS_MAX + 5; i++)
		value_set(arena, context, arena_printf(arena, "k%d", i),
			  value_bool(arena, true));
	flag_context_labels(arena, context, &labels, &ignored);
	ck_assert_uint_eq(labels.n, LABELS_MAX);
	ck_assert_uint_eq(ignored, 5);
	flag_context_labels(arena, NULL, &labels, &ignored);
	ck_assert_uint_eq(ignored, 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/ofrep_flag");
	TCase *t = tcase_create("flags");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, plain_values_are_flags);
	tcase_add_test(t, null_leaves_it_to_the_code);
	tcase_add_test(t, dots_lead_into_objects_where_no_member_has_them);
	tcase_add_test(t, flagd_flags_have_variants);
	tcase_add_test(t, what_cannot_be_evaluated_is_not);
	tcase_add_test(t, what_json_cannot_say_is_an_error);
	tcase_add_test(t, toml_gives_flags_too);
	tcase_add_test(t, a_file_of_flagd_serves_as_it_is);
	tcase_add_test(t, all_are_told_together);
	tcase_add_test(t, only_an_object_holds_flags);
	tcase_add_test(t, scalars_of_a_context_are_labels);
	tcase_add_test(t, labels_are_bounded);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
