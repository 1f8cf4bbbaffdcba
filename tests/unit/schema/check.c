/* Kinds as they are built in, and what objects of them may hold. */
#include "unit.h"

#include "base/clock.h"
#include "doc/format.h"
#include "schema/check.h"

#include "base/banned.h"

static struct arena *arena;
static struct check found;

static void setup(void)
{
	struct err err;

	ck_assert_msg(kinds_load(&err) == OK, "%s", err.text);
	arena = arena_new(0);
	found = (struct check){ 0 };
}

static void teardown(void)
{
	arena_free(&arena);
}

static enum code check(const char *kind, const char *yaml, struct value **out)
{
	struct value *v;
	struct err err = { 0 };

	ck_assert_msg(doc_parse(FORMAT_YAML, str_of(yaml), arena, NULL, &v, NULL,
				&err) == OK,
		      "%s", err.text);
	if (out)
		*out = v;
	found = (struct check){ 0 };
	return check_object(kind_by_name(str_of(kind)), v, arena, &found, &err);
}

static void must_describe(const struct value *schema, const char *kind)
{
	const struct value *p = value_getz(schema, "properties");

	ck_assert_msg(value_text_at(schema, "description").n > 0 &&
			      value_text_at(schema, "type").n > 0,
		      "%s: a field without type or description", kind);
	for (size_t i = 0; i < value_count(p); i++)
		must_describe(p->o.m[i].value, kind);
	/* A list of texts says in its own description what they are. */
	if (value_getz(schema, "items") &&
	    !str_is(value_text_at(value_getz(schema, "items"), "type"), "string"))
		must_describe(value_getz(schema, "items"), kind);
}

START_TEST(every_kind_is_whole)
{
	const struct kind *const *all;

	ck_assert_uint_eq(kinds_all(&all), KIND__END - 1);
	for (size_t i = 0; i < KIND__END - 1; i++) {
		must_describe(all[i]->spec_schema, all[i]->name.p);
		if (all[i]->has_status)
			must_describe(all[i]->status_schema, all[i]->name.p);
		ck_assert_uint_gt(all[i]->description.n, 0);
	}
	ck_assert_ptr_eq(kind_by_any(STR("SRC")), kind_by_id(KIND_SOURCE));
	ck_assert_ptr_eq(kind_by_any(STR("confluxconfigs")),
			 kind_by_id(KIND_CONFIG));
	ck_assert_ptr_null(kind_by_any(STR("pod")));
}
END_TEST

START_TEST(defaults_are_filled_and_unknown_fields_pruned)
{
	struct value *v;

	ck_assert_int_eq(check("ConfluxSource",
			       "metadata: {name: shop, labels: {}, x: null}\n"
			       "bogus: 1\n"
			       "spec: {url: 'https://g/x.git', bogus: {a: 1},\n"
			       "  layout: {files: {deep: 1}}}\n",
			       &v),
			 OK);
	ck_assert(str_is(value_text_at(v, "spec.interval"), "1m"));
	ck_assert(str_is(value_text_at(v, "spec.layout.files.pathTemplate"),
			 "{application}/{environment}/{name}"));
	ck_assert_ptr_null(value_at(v, "spec.bogus"));
	ck_assert_ptr_null(value_at(v, "metadata.labels"));
	ck_assert_uint_eq(found.n_unknown, 3);
	ck_assert(str_is(found.unknown[0], "bogus"));
	ck_assert(str_is(found.unknown[1], "spec.bogus"));
	ck_assert(str_is(found.unknown[2], "spec.layout.files.deep"));
}
END_TEST

static void one_cause(const char *kind, const char *yaml,
		      enum cause_reason reason, const char *field,
		      const char *part)
{
	ck_assert_int_eq(check(kind, yaml, NULL), E_UNPROCESSABLE);
	ck_assert_uint_eq(found.n_causes, 1);
	ck_assert_int_eq(found.causes[0].reason, reason);
	ck_assert_msg(str_eq(found.causes[0].field, str_of(field)), "%.*s",
		      STR_ARG(found.causes[0].field));
	ck_assert_msg(strstr(found.causes[0].message.p, part), "%s",
		      found.causes[0].message.p);
}

START_TEST(causes_name_field_and_reason)
{
	one_cause("ConfluxSource", "metadata: {name: a}\nspec: {}",
		  CAUSE_REQUIRED, "spec.url", "Required value");
	one_cause("ConfluxSource",
		  "metadata: {name: a}\nspec: {url: 'ssh://x'}", CAUSE_INVALID,
		  "spec.url", "must match");
	one_cause("ConfluxSource",
		  "metadata: {name: a}\nspec: {url: 'https://x', interval: 10ms}",
		  CAUSE_INVALID, "spec.interval", "at least 1s");
	one_cause("ConfluxSource",
		  "metadata: {name: a}\nspec: {url: 'https://x', interval: soon}",
		  CAUSE_INVALID, "spec.interval", "must be a duration");
	one_cause("ConfluxSource",
		  "metadata: {name: a}\nspec: {url: 'https://x', ref: {branch: a, tag: b}}",
		  CAUSE_INVALID, "spec.ref", "exactly one of branch, tag");
	one_cause("ConfluxConfig",
		  "metadata: {name: a}\nspec: {application: a, environment: e, format: tin}",
		  CAUSE_NOT_SUPPORTED, "spec.format",
		  "supported values: \"json\"");
	one_cause("ConfluxConfig",
		  "metadata: {name: a}\nspec: {application: 5, environment: e}",
		  CAUSE_TYPE, "spec.application", "must be of type string");
	one_cause("ConfluxConfig",
		  "metadata: {name: a}\nspec: {application: a, "
		  "environment: e, secretsRef: {name: x}}",
		  CAUSE_FORBIDDEN, "spec.secretsRef", "secrets are not supported");
	one_cause("Tenant", "metadata: {name: Not_DNS}", CAUSE_INVALID,
		  "metadata.name", "RFC 1123");
	one_cause("Tenant", "metadata: {name: a, labels: {'bad key': v}}",
		  CAUSE_INVALID, "metadata.labels.bad key", "no valid key");
	{
		AUTO_BUF many = BUF_NONE;

		buf_z(&many, "metadata: {name: a, labels: {");
		for (unsigned i = 0; i < 65; i++)
			buf_printf(&many, "%sl%u: v", i ? ", " : "", i);
		buf_z(&many, "}}");
		one_cause("Tenant", many.p, CAUSE_TOO_MANY,
			  "metadata.labels", "at most 64");
	}
	one_cause("Tenant", "spec: {}", CAUSE_REQUIRED, "metadata",
		  "Required value");
}
END_TEST

/* However many there are; the first are named. */
START_TEST(what_is_unknown_goes_in_one_pass)
{
	AUTO_BUF many = BUF_NONE;
	struct value *v;

	buf_z(&many, "metadata: {name: a}\nspec: {");
	for (unsigned i = 0; i < 100000; i++)
		buf_printf(&many, "%sx%u: 1", i ? ", " : "", i);
	buf_z(&many, "}");
	ck_assert_int_eq(check("Tenant", many.p, &v), OK);
	ck_assert_uint_eq(found.n_unknown, CHECK_UNKNOWN_MAX);
	ck_assert(str_is(found.unknown[0], "spec.x0"));
	ck_assert_uint_eq(value_count(value_getz(v, "spec")), 0);
}
END_TEST

START_TEST(cells_follow_paths_and_filters)
{
	const struct kind *k = kind_by_id(KIND_SOURCE);
	struct value *v;
	AUTO_BUF out = BUF_NONE;

	ck_assert_int_eq(check("ConfluxSource",
			       "metadata: {name: a}\nspec: {url: 'https://x'}\n"
			       "status: {lastAppliedRevision: abc, conditions: "
			       "[{type: Stalled, status: 'False'}, {type: Ready, "
			       "status: 'True'}]}\n",
			       &v),
			 OK);
	kind_cell_json(&k->columns[0], v, 0, &out);
	kind_cell_json(&k->columns[1], v, 0, &out);
	kind_cell_json(&k->columns[2], v, 0, &out);
	ck_assert_str_eq(out.p, "\"True\"\"abc\"null");
}
END_TEST

/* One column of an object. */
static const char *cell(enum kind_id id, const char *column, const char *yaml,
			const char *now)
{
	const struct kind *k = kind_by_id(id);
	uint64_t now_ms = 0;
	struct value *v;
	struct err err;

	ck_assert_int_eq(doc_parse(FORMAT_YAML, str_of(yaml), arena, NULL, &v, NULL,
				   &err),
			 OK);
	ck_assert(clock_parse_rfc3339(str_of(now), &now_ms));
	for (size_t i = 0; i < k->n_columns; i++) {
		AUTO_BUF out = BUF_NONE;

		if (!str_eq(k->columns[i].name, str_of(column)))
			continue;
		kind_cell_json(&k->columns[i], v, now_ms, &out);
		return arena_z(arena, buf_view(&out));
	}
	ck_abort_msg("no column %s", column);
	return NULL;
}

START_TEST(what_is_to_come_is_in_the_future)
{
	static const char yaml[] = "spec: {expiresAt: '2026-11-25T12:00:00Z'}";

	ck_assert_str_eq(cell(KIND_PROPOSAL, "Expires", yaml, "2026-11-22T12:00:00Z"),
			 "\"in 3d\"");
	ck_assert_str_eq(cell(KIND_PROPOSAL, "Expires", yaml, "2026-11-27T13:00:00Z"),
			 "\"2d1h\"");
}
END_TEST

START_TEST(a_freeze_window_says_what_it_is_now)
{
	static const char once[] =
		"spec: {interval: {}}\nstatus: {computedUntil: '2026-01-03T00:00:00Z', "
		"next: '2026-01-01T00:00:00Z', until: '2099-01-01T00:00:00Z', "
		"intervals: [{from: '2026-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z'}]}";
	/* Its status is of before the first interval was over. */
	static const char often[] =
		"spec: {schedule: {}}\nstatus: {computedUntil: '2026-03-01T00:00:00Z', "
		"next: '2026-01-01T00:00:00Z', until: '2026-01-02T00:00:00Z', "
		"intervals: [{from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z'},"
		"{from: '2026-01-08T00:00:00Z', to: '2026-01-09T00:00:00Z'}]}";

	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", once, "2026-11-22T00:00:00Z"),
			 "\"frozen until 2099-01-01T00:00:00Z (in 72y)\"");
	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", once, "2025-12-29T00:00:00Z"),
			 "\"open until 2026-01-01T00:00:00Z (in 3d)\"");
	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", once, "2099-01-01T00:00:00Z"),
			 "\"over\"");
	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", often, "2026-01-05T00:00:00Z"),
			 "\"open until 2026-01-08T00:00:00Z (in 3d)\"");
	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", often, "2026-01-08T00:00:00Z"),
			 "\"frozen until 2026-01-09T00:00:00Z (in 24h)\"");
	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", often, "2026-02-08T00:00:00Z"),
			 "\"open\"");
	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", often, "2026-03-01T00:00:00Z"),
			 "\"frozen, its times are not known\"");
	ck_assert_str_eq(cell(KIND_FREEZE_WINDOW, "State", "spec: {schedule: {}}",
			      "2026-03-01T00:00:00Z"),
			 "\"frozen, its times are not known\"");
}
END_TEST

static bool is_valid(const char *schema, const char *yaml)
{
	struct value *s, *v;
	struct err err;

	ck_assert_int_eq(doc_parse(FORMAT_YAML, str_of(schema), arena, NULL, &s,
				   NULL, &err),
			 OK);
	ck_assert_int_eq(doc_parse(FORMAT_YAML, str_of(yaml), arena, NULL, &v,
				   NULL, &err),
			 OK);
	found = (struct check){ 0 };
	check_value(s, &v, STR("x"), arena, &found);
	return found.n_causes == 0;
}

START_TEST(numbers_are_compared_exactly)
{
	ck_assert(is_valid("{minimum: 0.1}", "0.10"));
	ck_assert(!is_valid("{minimum: 0.1}", "0.09999999999999999999999"));
	ck_assert(!is_valid("{maximum: 9007199254740992}", "9007199254740993"));
	ck_assert(!is_valid("{maximum: 1.5}", "18446744073709551616"));
	ck_assert(!is_valid("{maximum: 1}", ".nan"));
	ck_assert(!is_valid("{minimum: 1}", ".nan"));
	ck_assert(!is_valid("{maximum: 1}", ".inf"));
	ck_assert(is_valid("{minimum: 1}", ".inf"));
	ck_assert(!is_valid("{type: integer}", ".inf"));
	ck_assert(is_valid("{type: integer}", "123456789012345678901234567890"));
}
END_TEST

START_TEST(strings_have_characters)
{
	ck_assert(is_valid("{maxLength: 2}", "\"\u00e4\u20ac\""));
	ck_assert(!is_valid("{minLength: 3}", "\"\u00e4\u20ac\""));
	ck_assert_ptr_nonnull(strstr(found.causes[0].message.p,
				     "at least 3 characters"));
	ck_assert(!is_valid("{maxLength: 63, x-conflux-max-bytes: 4}",
			    "\"\u00e4\u20ac\""));
	ck_assert_int_eq(found.causes[0].reason, CAUSE_TOO_LONG);
	ck_assert_ptr_nonnull(strstr(found.causes[0].message.p, "4 bytes"));
}
END_TEST

START_TEST(patterns_see_the_whole_text)
{
	ck_assert(!is_valid("{pattern: '^a+$'}", "\"a\\0b\""));
	ck_assert(is_valid("{pattern: 'b$'}", "\"a\\0b\""));
	ck_assert(!is_valid("{pattern: \"a\\0b\"}", "a"));
	ck_assert(is_valid("{pattern: '^$'}", "''"));
	ck_assert(!is_valid("{pattern: '('}", "a"));
}
END_TEST

START_TEST(no_additional_members_concerns_objects_alone)
{
	const char *schema = "{properties: {a: {}}, additionalProperties: false}";

	ck_assert(is_valid(schema, "[1]"));
	ck_assert(is_valid(schema, "{a: 1}"));
	ck_assert(!is_valid(schema, "{a: 1, b: 2}"));
	ck_assert_int_eq(found.causes[0].reason, CAUSE_FORBIDDEN);
	ck_assert(str_is(found.causes[0].field, "x.b"));
	ck_assert_uint_eq(found.n_unknown, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("schema/check");
	TCase *t = tcase_create("check");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_kind_is_whole);
	tcase_add_test(t, defaults_are_filled_and_unknown_fields_pruned);
	tcase_add_test(t, causes_name_field_and_reason);
	tcase_add_test(t, what_is_unknown_goes_in_one_pass);
	tcase_add_test(t, cells_follow_paths_and_filters);
	tcase_add_test(t, what_is_to_come_is_in_the_future);
	tcase_add_test(t, a_freeze_window_says_what_it_is_now);
	tcase_add_test(t, numbers_are_compared_exactly);
	tcase_add_test(t, strings_have_characters);
	tcase_add_test(t, patterns_see_the_whole_text);
	tcase_add_test(t, no_additional_members_concerns_objects_alone);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
