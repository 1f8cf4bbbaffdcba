/* Parsed configurations: found again, bounded, the oldest go first. */
#include "api/ofrep_cache.h"
#include "unit.h"

#include "base/banned.h"

static struct ofrep_cache *cache;

static void setup(void)
{
	cache = ofrep_cache_new(100 * 1024);
}

static void teardown(void)
{
	ofrep_cache_free(&cache);
}

/* A tree that takes about 'bytes'. */
static const struct flag_set *put(const char *key, size_t bytes)
{
	struct arena *arena = arena_new(0);
	struct flag_set set = { .flags = value_object(arena) };
	const struct flag_set *put;

	arena_alloc(arena, bytes);
	put = ofrep_cache_put(cache, str_of(key), &arena, &set);
	ck_assert_ptr_null(arena);
	return put;
}

static bool has(const char *key)
{
	const struct flag_set *set = ofrep_cache_get(cache, str_of(key));

	/* Reads what lies there, which the address sanitizer watches. */
	return set && set->flags->type == VALUE_OBJECT;
}

START_TEST(what_was_put_is_found)
{
	const struct flag_set *a = put("a", 10);

	ck_assert_ptr_eq(ofrep_cache_get(cache, STR("a")), a);
	ck_assert(!has("b"));
	put("b", 10);
	ck_assert(has("a") && has("b"));
}
END_TEST

START_TEST(the_least_used_go_first)
{
	put("a", 40 * 1024);
	put("b", 40 * 1024);
	ck_assert(has("a"));
	put("c", 40 * 1024);
	ck_assert(has("a") && !has("b") && has("c"));
	put("d", 1024);
	ck_assert(has("a") && has("c") && has("d"));
}
END_TEST

START_TEST(the_newest_is_held_in_any_case)
{
	put("a", 10);
	put("large", 200 * 1024);
	ck_assert(has("large") && !has("a"));
	put("b", 10);
	ck_assert(has("b") && !has("large"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/ofrep_cache");
	TCase *t = tcase_create("cache");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_was_put_is_found);
	tcase_add_test(t, the_least_used_go_first);
	tcase_add_test(t, the_newest_is_held_in_any_case);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
