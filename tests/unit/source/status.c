/* What a status says, and when it says the same. */
#include "source/status.h"

#include "doc/format.h"
#include "unit.h"

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

static const struct value *parse(struct str s)
{
	struct value *v = NULL;

	ck_assert_int_eq(doc_parse_json(s, arena, NULL, &v, NULL), OK);
	return v;
}

START_TEST(a_status_is_read_back)
{
	struct oid id = { { 0xab, 0xcd } };
	struct str rev = status_revision(arena, STR("main"), &id);
	struct status_write w = { .phase = STATUS_READY, .reason = "Applied",
				  .message = STR("fine"), .generation = 3,
				  .applied = rev, .attempted = rev,
				  .has_counts = true, .configs = 5, .ignored = 2,
				  .has_lag = true, .lag_ms = 12,
				  .applied_generation = 3 };
	struct str text = status_text(arena, NULL, &w, 1700000000000);
	struct status_read r;

	ck_assert(str_is(rev, "main@sha1:abcd000000000000000000000000000000000000"));
	status_parse(parse(text), &r);
	ck_assert(r.has_applied && oid_eq(&r.applied, &id));
	ck_assert_uint_eq(r.observed_generation, 3);
	ck_assert_uint_eq(r.configs, 5);
	ck_assert_uint_eq(r.ignored, 2);
	ck_assert(status_is_ready(parse(text)));
	status_parse(NULL, &r);
	ck_assert(!r.has_applied);
}
END_TEST

START_TEST(time_moves_only_with_the_condition)
{
	struct status_write w = { .phase = STATUS_STALLED, .reason = "X",
				  .message = STR("broken"), .generation = 1 };
	struct str a = status_text(arena, NULL, &w, 1700000000000);
	struct str b = status_text(arena, parse(a), &w, 1800000000000);

	ck_assert(str_eq(a, b));
	ck_assert(!status_is_ready(parse(a)));
	w.phase = STATUS_READY;
	b = status_text(arena, parse(a), &w, 1800000000000);
	ck_assert(str_find_str(b, STR("2027-01-15T08:00:00Z")) != SIZE_MAX);
	/* Reconciling did not change. */
	ck_assert(str_find_str(b, STR("2023-11-14T22:13:20Z")) != SIZE_MAX);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/status");
	TCase *tc = tcase_create("status");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_status_is_read_back);
	tcase_add_test(tc, time_moves_only_with_the_condition);
	suite_add_tcase(s, tc);
	return s;
}

UNIT_MAIN(suite)
