/* From paths to routes. */
#include "unit.h"

#include "http/server/router.h"

#include "base/banned.h"

static void nothing(struct request *r)
{
}

static const struct route routes[] = {
	{ HTTP_M_GET, "/", nothing, 0, "root", false },
	{ HTTP_M_GET, "/a", nothing, 0, "a", false },
	{ HTTP_M_POST, "/a", nothing, 0, "post-a", false },
	{ HTTP_M_GET, "/a/{x}", nothing, 0, "a-x", false },
	{ HTTP_M_GET, "/a/b", nothing, 0, "a-b", false },
	{ HTTP_M_GET, "/a/{x}/c", nothing, 0, "a-x-c", false },
	{ HTTP_M_GET, "/a/b/d", nothing, 0, "a-b-d", false },
	{ HTTP_M_DELETE, "/f/{x}/{rest...}", nothing, 0, "f-rest", false },
	{ HTTP_M_GET, "/f/{x}/y", nothing, 0, "f-x-y", false },
};
static struct router *router;
static struct arena *arena;
static struct str args[8];
static unsigned allowed;
static struct err err;

static void setup(void)
{
	router = router_new(routes, ARRAY_LEN(routes));
	arena = arena_new(0);
	memset(args, 0, sizeof(args));
}

static void teardown(void)
{
	router_free(&router);
	arena_free(&arena);
}

static const char *find(enum http_method m, const char *path)
{
	const struct route *route;
	enum code rc = router_find(router, m, str_of(path), arena, args, &route,
				   &allowed, &err);

	return rc ? code_name(rc) : route->name;
}

START_TEST(what_is_written_out_goes_first)
{
	ck_assert_str_eq(find(HTTP_M_GET, "/"), "root");
	ck_assert_str_eq(find(HTTP_M_GET, "/a"), "a");
	ck_assert_str_eq(find(HTTP_M_POST, "/a"), "post-a");
	ck_assert_str_eq(find(HTTP_M_GET, "/a/b"), "a-b");
	ck_assert_str_eq(find(HTTP_M_GET, "/a/bb"), "a-x");
	ck_assert(str_is(args[0], "bb"));
	ck_assert_str_eq(find(HTTP_M_GET, "/a/b/d"), "a-b-d");
	/* b is written out, but only {x} leads on to c. */
	ck_assert_str_eq(find(HTTP_M_GET, "/a/b/c"), "a-x-c");
	ck_assert(str_is(args[0], "b"));
	ck_assert_str_eq(find(HTTP_M_HEAD, "/a"), "a");
}
END_TEST

START_TEST(the_rest_keeps_its_slashes)
{
	ck_assert_str_eq(find(HTTP_M_DELETE, "/f/1/2/3%2F4"), "f-rest");
	ck_assert(str_is(args[0], "1"));
	ck_assert(str_is(args[1], "2/3/4"));
	ck_assert_str_eq(find(HTTP_M_GET, "/f/1/y"), "f-x-y");
}
END_TEST

START_TEST(an_escaped_slash_stays_in_its_part)
{
	ck_assert_str_eq(find(HTTP_M_GET, "/a/x%2Fy"), "a-x");
	ck_assert(str_is(args[0], "x/y"));
	ck_assert_str_eq(find(HTTP_M_GET, "/a/%zz"), "E_INVALID");
	ck_assert_str_eq(find(HTTP_M_GET, "/a/%00"), "E_INVALID");
}
END_TEST

START_TEST(what_is_not_there)
{
	ck_assert_str_eq(find(HTTP_M_GET, "/b"), "E_NOT_FOUND");
	ck_assert_str_eq(find(HTTP_M_GET, "/a/"), "E_NOT_FOUND");
	ck_assert_str_eq(find(HTTP_M_GET, "//a"), "E_NOT_FOUND");
	ck_assert_str_eq(find(HTTP_M_GET, "/a/b/c/d"), "E_NOT_FOUND");
	ck_assert_str_eq(find(HTTP_M_DELETE, "/f/1"), "E_NOT_FOUND");
	ck_assert_uint_eq(allowed, 0);
	ck_assert_str_eq(find(HTTP_M_PUT, "/a"), "E_METHOD");
	ck_assert_uint_eq(allowed, BIT(HTTP_M_GET) | BIT(HTTP_M_POST));
	ck_assert_str_eq(find(HTTP_M_POST, "/f/1/y"), "E_METHOD");
	ck_assert_uint_eq(allowed, BIT(HTTP_M_GET) | BIT(HTTP_M_DELETE));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/server/router");
	TCase *t = tcase_create("router");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_written_out_goes_first);
	tcase_add_test(t, the_rest_keeps_its_slashes);
	tcase_add_test(t, an_escaped_slash_stays_in_its_part);
	tcase_add_test(t, what_is_not_there);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
