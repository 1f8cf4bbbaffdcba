/* Targets of requests. */
#include "unit.h"

#include "http/wire/url.h"

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

static const char *decoded(const char *text, bool plus)
{
	struct str out;

	if (!url_decode(arena, str_of(text), plus, &out))
		return NULL;
	return arena_z(arena, out);
}

START_TEST(escapes_are_decoded_and_broken_ones_refused)
{
	ck_assert_str_eq(decoded("a%2Fb%20c+d", false), "a/b c+d");
	ck_assert_str_eq(decoded("a+b%2b", true), "a b+");
	ck_assert_str_eq(decoded("", true), "");
	ck_assert_ptr_null(decoded("%", false));
	ck_assert_ptr_null(decoded("%2", false));
	ck_assert_ptr_null(decoded("%zz", false));
	ck_assert_ptr_null(decoded("a%00b", false));
}
END_TEST

START_TEST(targets_are_split)
{
	struct str path, query;

	ck_assert(url_split(STR("/a/b?c=d?e"), &path, &query));
	ck_assert(str_is(path, "/a/b") && str_is(query, "c=d?e"));
	ck_assert(url_split(STR("/"), &path, &query) && query.n == 0);
	ck_assert(!url_split(STR("a"), &path, &query));
	ck_assert(!url_split(STR(""), &path, &query));
	ck_assert(!url_split(STR("/a b"), &path, &query));
	ck_assert(!url_split(STR("/a\xff"), &path, &query));
	ck_assert(!url_split(STR("/a#b"), &path, &query));
}
END_TEST

START_TEST(queries_are_bounded_lists)
{
	struct url_param *p;
	size_t n;

	ck_assert(url_query(arena, STR("key=a%2Fb&&flag&label.x=1+2"), 3, &p,
			    &n));
	ck_assert_uint_eq(n, 3);
	ck_assert(str_is(p[0].name, "key") && str_is(p[0].value, "a/b"));
	ck_assert(str_is(p[1].name, "flag") && p[1].value.n == 0);
	ck_assert(str_is(p[2].value, "1 2"));
	ck_assert(!url_query(arena, STR("a&b&c&d"), 3, &p, &n));
	ck_assert(!url_query(arena, STR("a=%"), 3, &p, &n));
}
END_TEST

START_TEST(what_is_encoded_decodes)
{
	AUTO_BUF b = BUF_NONE;
	char all[255];
	struct str out;

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	url_encode(&b, str_n(all, sizeof(all)));
	ck_assert(url_decode(arena, buf_view(&b), true, &out));
	ck_assert(str_eq(out, str_n(all, sizeof(all))));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http/wire/url");
	TCase *t = tcase_create("url");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, escapes_are_decoded_and_broken_ones_refused);
	tcase_add_test(t, targets_are_split);
	tcase_add_test(t, queries_are_bounded_lists);
	tcase_add_test(t, what_is_encoded_decodes);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
