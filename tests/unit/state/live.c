/* What lives where an address begins in a certain way. */
#include "bench.h"
#include "unit.h"

#include "base/banned.h"

static struct bench b;
static struct kv_txn *txn;
static struct buf got;

/* Three applications, one of which begins like another, and names with '/'. */
static void setup(void)
{
	struct command *c;

	bench_open(&b, "boot-1");
	c = bench_command(&b);
	put_tenant(&b, c, "acme");
	put_tenant(&b, c, "acme-2");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "a/b.toml");
	put_config(&b, c, "acme", "shop", "prod", "a.toml");
	put_config(&b, c, "acme", "shop", "test", "a.toml");
	put_config(&b, c, "acme", "shopping", "prod", "x");
	put_config(&b, c, "acme-2", "shop", "prod", "y");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	txn = bench_read(&b);
}

static void teardown(void)
{
	kv_end(&txn);
	buf_fini(&got);
	bench_close(&b);
}

static bool add(void *data, const struct address *at, const struct live_row *live)
{
	unsigned *left = data;

	ck_assert_uint_gt(live->rev, 0);
	address_text(&got, at);
	buf_c(&got, ' ');
	return --*left > 0;
}

static const char *below_after(const char *prefix, const char *after,
			       size_t after_n, unsigned most)
{
	struct err err;

	buf_reset(&got);
	buf_c(&got, ' ');
	ck_assert_int_eq(view_live(txn, str_of(prefix), str_n(after, after_n),
				   add, &most, &err), OK);
	return got.p;
}

static const char *below(const char *prefix, unsigned most)
{
	return below_after(prefix, NULL, 0, most);
}

START_TEST(all_that_begins_like_it_is_told)
{
	ck_assert_str_eq(below("acme/shop/prod/", 9),
			 " acme/shop/prod/a.toml acme/shop/prod/a/b.toml ");
	ck_assert_str_eq(below("acme/shop/prod/a/", 9),
			 " acme/shop/prod/a/b.toml ");
	ck_assert_str_eq(below("acme/shop/prod/a.toml", 9),
			 " acme/shop/prod/a.toml ");
	ck_assert_str_eq(below("acme/shop", 9),
			 " acme/shop/prod/a.toml acme/shop/prod/a/b.toml "
			 "acme/shop/test/a.toml acme/shopping/prod/x ");
	ck_assert_str_eq(below("acme-", 9), " acme-2/shop/prod/y ");
	ck_assert_str_eq(below("", 9),
			 " acme/shop/prod/a.toml acme/shop/prod/a/b.toml "
			 "acme/shop/test/a.toml acme/shopping/prod/x "
			 "acme-2/shop/prod/y ");
	ck_assert_str_eq(below("b", 9), " ");
	ck_assert_str_eq(below("acme/shop/prod/a.toml/", 9), " ");
}
END_TEST

START_TEST(it_ends_where_that_is_enough)
{
	ck_assert_str_eq(below("acme/", 1), " acme/shop/prod/a.toml ");
}
END_TEST

START_TEST(it_goes_on_behind_a_place)
{
	static const char here[] = "acme\0shop\0prod\0a/b.toml";
	static const char gone[] = "acme\0shop\0prod\0a/c.toml";

	ck_assert_str_eq(below_after("acme/shop", here, sizeof(here) - 1, 9),
			 " acme/shop/test/a.toml acme/shopping/prod/x ");
	/* One that is not there. */
	ck_assert_str_eq(below_after("acme/shop", gone, sizeof(gone) - 1, 1),
			 " acme/shop/test/a.toml ");
	ck_assert_str_eq(below_after("acme/shop/prod/", here, sizeof(here) - 1, 9),
			 " ");
}
END_TEST

START_TEST(a_prefix_that_no_address_has_room_for_finds_nothing)
{
	AUTO_BUF prefix = BUF_NONE;

	for (int i = 0; i < ADDRESS_KEY_MAX + 10; i++)
		buf_c(&prefix, 'a');
	ck_assert_str_eq(below(prefix.p, 9), " ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/live");
	TCase *t = tcase_create("live");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, all_that_begins_like_it_is_told);
	tcase_add_test(t, it_ends_where_that_is_enough);
	tcase_add_test(t, it_goes_on_behind_a_place);
	tcase_add_test(t, a_prefix_that_no_address_has_room_for_finds_nothing);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
