/* The order of lists of proposals and releases, and where a page goes on. */
#include "unit.h"

#include "api/pages.h"

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

/* In no order. */
static const struct page_item items[] = {
	{ STR("acme"), STR("p-000000000005"), true },
	{ STR("acme"), STR("p-000000000002"), false },
	{ STR("acme"), STR("p-000000000009"), true },
	{ STR("beta"), STR("p-000000000004"), false },
	{ STR("beta"), STR("p-000000000009"), true },
	{ STR("acme"), STR("p-000000000001"), true },
};

/* The numbers of what is listed behind 'after', an o before those that are open. */
static const char *listed(const char *after)
{
	struct pages p = { .arena = arena };
	AUTO_BUF out = BUF_NONE;

	if (after)
		ck_assert(pages_after(&p, str_of(after)));
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		pages_add(&p, &items[i]);
	pages_sort(&p);
	for (size_t i = 0; i < p.n; i++)
		buf_printf(&out, " %s%c%c", p.items[i].is_over ? "" : "o",
			   p.items[i].tenant.p[0], p.items[i].name.p[13]);
	buf_z(&out, "");
	return arena_z(arena, buf_view(&out));
}

START_TEST(open_ones_come_first_and_the_newest)
{
	ck_assert_str_eq(listed(NULL), " ob4 oa2 a9 b9 a5 a1");
}
END_TEST

START_TEST(a_page_goes_on_behind_its_last)
{
	AUTO_BUF next = BUF_NONE;

	pages_next(&next, &items[3]);
	ck_assert_str_eq(next.p, "\"open/beta/p-000000000004\"");
	ck_assert_str_eq(listed("open/beta/p-000000000004"), " oa2 a9 b9 a5 a1");
	ck_assert_str_eq(listed("over/acme/p-000000000009"), " b9 a5 a1");
	/* The last of the page before is gone, or has ended meanwhile. */
	ck_assert_str_eq(listed("open/acme/p-000000000003"), " oa2 a9 b9 a5 a1");
	ck_assert_str_eq(listed("over/acme/p-000000000001"), "");
}
END_TEST

START_TEST(what_is_no_place_is_refused)
{
	static const char *const bad[] = { "", "open", "open/", "open/acme", "open/acme/",
					   "acme/p-000000000001", "/acme/p-1",
					   "opens/acme/p-1", "open//p-1" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct pages p = { .arena = arena };

		ck_assert_msg(!pages_after(&p, str_of(bad[i])), "%s", bad[i]);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/pages");
	TCase *t = tcase_create("pages");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, open_ones_come_first_and_the_newest);
	tcase_add_test(t, a_page_goes_on_behind_its_last);
	tcase_add_test(t, what_is_no_place_is_refused);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
