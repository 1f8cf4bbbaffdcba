/* Selectors: what they choose, and what is none. */
#include "api/selector.h"
#include "doc/format.h"
#include "unit.h"

#include "base/banned.h"

static struct arena *arena;
static struct err err;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static struct value *json(const char *text)
{
	struct value *v;

	ck_assert_int_eq(doc_parse_json(str_of(text), arena, NULL, &v, &err), OK);
	return v;
}

struct row {
	const char *text;
	bool selects;
};

START_TEST(terms_are_as_in_kubernetes)
{
	static const struct row rows[] = {
		{ "", true },
		{ "  ", true },
		{ "team=a", true },
		{ "team==a", true },
		{ " team = a , zone != m ", true },
		{ "team=b", false },
		{ "team!=a", false },
		{ "none!=a", true },
		{ "team", true },
		{ "none", false },
		{ "!none", true },
		{ "! team", false },
		{ "team in (b, a)", true },
		{ "team in (b)", false },
		{ "team in(a)", true },
		{ "team notin (b,c)", true },
		{ "team notin (a)", false },
		{ "none notin (a)", true },
		{ "empty=", true },
		{ "empty in ()", true },
		{ "team=", false },
		{ "in in (in)", true },
		{ "x.io/y=1", true },
		{ "team=a,zone=m", false },
	};
	struct value *labels = json("{\"team\":\"a\",\"zone\":\"n\",\"empty\":\"\","
				    "\"in\":\"in\",\"x.io/y\":\"1\"}");
	const struct row *row = &rows[_i];
	struct query_selector s;

	ck_assert_uint_lt(_i, ARRAY_LEN(rows));
	ck_assert_msg(label_selector_parse(str_of(row->text), arena, &s, &err) ==
		      OK, "%s: %s", row->text, err.text);
	ck_assert_msg(label_selector_matches(&s, labels) == row->selects, "%s",
		      row->text);
}
END_TEST

START_TEST(an_object_without_labels_has_none)
{
	struct query_selector s;

	ck_assert_int_eq(label_selector_parse(STR("!a"), arena, &s, &err), OK);
	ck_assert(label_selector_matches(&s, NULL));
	ck_assert_int_eq(label_selector_parse(STR("a"), arena, &s, &err), OK);
	ck_assert(!label_selector_matches(&s, NULL));
}
END_TEST

static const char *const wrong[] = { "=", "a=b=c", "a b", "a in", "a in b",
	"a in (b", "a in (b c)", "a=b,", ",a", "a,,b", "!", "a=!b", "a inn (b)",
	"a(b)", "a=\"b\"", "a>1", "!a=b", "a=b\nc", "(a)" };

START_TEST(what_is_no_selector_is_refused)
{
	struct query_selector s;

	ck_assert_msg(label_selector_parse(str_of(wrong[_i]), arena, &s, &err) ==
		      E_INVALID, "%s", wrong[_i]);
	ck_assert_ptr_nonnull(strstr(err.text, "unable to parse"));
}
END_TEST

START_TEST(there_are_not_more_terms_than_allowed)
{
	AUTO_BUF text = BUF_NONE;
	struct query_selector s;

	for (int i = 0; i < SELECTOR_TERMS_MAX; i++)
		buf_printf(&text, "%sa%d", i ? "," : "", i);
	ck_assert_int_eq(label_selector_parse(buf_view(&text), arena, &s, &err),
			 OK);
	buf_z(&text, ",b");
	ck_assert_int_eq(label_selector_parse(buf_view(&text), arena, &s, &err),
			 E_INVALID);
}
END_TEST

START_TEST(fields_are_compared)
{
	static const struct row rows[] = {
		{ "", true },
		{ "metadata.name=web", true },
		{ "metadata.name==web", true },
		{ "metadata.name!=web", false },
		{ "metadata.name=web,spec.x=1", false },
		{ "spec.x!=1", true },
	};
	struct value *object = json("{\"metadata\":{\"name\":\"web\"}}");
	struct query_selector s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(field_selector_parse(str_of(rows[i].text), arena,
						      &s, &err), OK);
		ck_assert_msg(field_selector_matches(&s, object, arena) ==
			      rows[i].selects, "%s", rows[i].text);
	}
	ck_assert_int_eq(field_selector_parse(STR("name"), arena, &s, &err),
			 E_INVALID);
	ck_assert_int_eq(field_selector_parse(STR("=x"), arena, &s, &err),
			 E_INVALID);
	ck_assert_int_eq(field_selector_parse(STR("a=x,,b=y"), arena, &s, &err),
			 E_INVALID);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/selector");
	TCase *t = tcase_create("selector");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, terms_are_as_in_kubernetes, 0, 24);
	tcase_add_test(t, an_object_without_labels_has_none);
	tcase_add_loop_test(t, what_is_no_selector_is_refused, 0,
			    ARRAY_LEN(wrong));
	tcase_add_test(t, there_are_not_more_terms_than_allowed);
	tcase_add_test(t, fields_are_compared);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
