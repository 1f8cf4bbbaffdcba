/* Which configurations a policy is about. */
#include "unit.h"

#include "doc/format.h"
#include "model/select.h"

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

static bool reads(const char *json, struct selector *out)
{
	struct value *v;
	struct err err;

	ck_assert_int_eq(doc_parse_json(str_of(json), arena, NULL, &v, &err), OK);
	return selector_read(arena, v, out);
}

static const struct row {
	const char *select;
	bool matches;                    /* shop/prod/db/main.toml, tier=gold zone=eu */
} rows[] = {
	{ "{}", true },
	{ "{\"applications\":[\"shop\"]}", true },
	{ "{\"applications\":[\"sho\"]}", false },
	{ "{\"applications\":[\"Shop\"]}", false },
	{ "{\"applications\":[\"x\",\"sh*\"]}", true },
	{ "{\"applications\":[\"shop*\"]}", true },
	{ "{\"applications\":[\"shops*\"]}", false },
	{ "{\"applications\":[\"*\"]}", true },
	{ "{\"applications\":[\"*hop\"]}", false },
	{ "{\"applications\":[]}", false },
	{ "{\"environments\":[\"prod\"]}", true },
	{ "{\"environments\":[\"stage\"]}", false },
	{ "{\"names\":[\"db/*\"]}", true },
	{ "{\"names\":[\"db\"]}", false },
	{ "{\"names\":[\"db/main.toml\"]}", true },
	{ "{\"labels\":{\"tier\":\"gold\"}}", true },
	{ "{\"labels\":{\"tier\":\"gold\",\"zone\":\"eu\"}}", true },
	{ "{\"labels\":{\"tier\":\"gold\",\"zone\":\"us\"}}", false },
	{ "{\"labels\":{\"team\":\"\"}}", false },
	{ "{\"labels\":{}}", true },
	/* All that is there must match. */
	{ "{\"applications\":[\"shop\"],\"environments\":[\"stage\"]}", false },
	{ "{\"applications\":[\"shop\"],\"names\":[\"x\"]}", false },
	{ "{\"names\":[\"db/*\"],\"labels\":{\"tier\":\"tin\"}}", false },
};

START_TEST(what_a_selector_matches)
{
	const struct row *row = &rows[_i];
	struct address at = { STR("acme"), STR("shop"), STR("prod"),
			      STR("db/main.toml") };
	struct selector selector;
	struct labels labels;

	ck_assert(labels_parse(arena, STR("{\"tier\":\"gold\",\"zone\":\"eu\"}"),
			       &labels));
	ck_assert(reads(row->select, &selector));
	ck_assert_msg(selector_matches(&selector, &labels, &at) == row->matches,
		      "%s", row->select);
}
END_TEST

START_TEST(no_selector_selects_everything)
{
	struct address at = { STR("acme"), STR("a"), STR("e"), STR("n") };
	struct selector selector;

	ck_assert(selector_read(arena, NULL, &selector));
	ck_assert(selector_matches(&selector, &(struct labels){ 0 }, &at));
}
END_TEST

static const char *const refused[] = {
	"[]", "\"shop\"", "null", "{\"applications\":\"shop\"}",
	"{\"applications\":[1]}", "{\"labels\":[\"a\"]}",
	"{\"labels\":{\"a\":1}}", "{\"names\":{\"a\":\"b\"}}",
	"{\"environments\":null}",
};

START_TEST(what_is_no_selector)
{
	struct selector selector;

	ck_assert_msg(!reads(refused[_i], &selector), "%s", refused[_i]);
}
END_TEST

START_TEST(labels_out_of_a_row)
{
	struct labels labels;

	ck_assert(labels_parse(arena, STR_NONE, &labels));
	ck_assert_uint_eq(labels.n, 0);
	ck_assert(labels_parse(arena, STR("{}"), &labels));
	ck_assert_uint_eq(labels.n, 0);
	ck_assert(labels_parse(arena, STR("{\"b\":\"2\",\"a\":\"1\"}"), &labels));
	ck_assert_uint_eq(labels.n, 2);
	ck_assert(str_is(labels.l[0].key, "a"));
	ck_assert(!labels_parse(arena, STR("{\"a\":"), &labels));
	ck_assert(!labels_parse(arena, STR("[]"), &labels));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/select");
	TCase *t = tcase_create("select");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_a_selector_matches, 0, ARRAY_LEN(rows));
	tcase_add_test(t, no_selector_selects_everything);
	tcase_add_loop_test(t, what_is_no_selector, 0, ARRAY_LEN(refused));
	tcase_add_test(t, labels_out_of_a_row);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
