/* When content goes with the last version that names it. */
#include "gate_help.h"
#include "unit.h"

#include "base/banned.h"

static const char object[] = "shop.prod.db.toml";

static void few_versions(void)
{
	bench_apply(&b, &(struct command){ .type = COMMAND_LIMITS,
					   .time_ms = b.time_ms,
					   .limits = { .versions_max = 2 } });
}

static void setup(void)
{
	gate_setup();
	few_versions();
}

static void publish_bytes(struct str content)
{
	struct command *c = bench_command(&b);

	put_blob(&b, "acme", content);
	add_version(&b, c, "acme", object, content, true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	b.time_ms++;
}

static void publish_three(const char *a, const char *b_, const char *c)
{
	publish_bytes(str_of(a));
	publish_bytes(str_of(b_));
	publish_bytes(str_of(c));
}

static bool is_stored(struct str content)
{
	struct sha256 sha = sha256_of(content);
	struct kv_txn *txn = bench_read(&b);
	AUTO_BUF key = BUF_NONE;
	bool is;

	key_blob(&key, STR("acme"), &sha, 0);
	is = kv_get(txn, KV_BLOBS, buf_view(&key), NULL);
	kv_end(&txn);
	return is;
}

static uint64_t content_bytes(void)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t n = view_count(txn, STR("acme"), COUNT_CONTENT);

	kv_end(&txn);
	return n;
}

static void forget_count(void)
{
	struct kv *kv = state_kv(b.state);
	AUTO_BUF key = BUF_NONE;
	struct kv_txn *txn;

	ck_assert_int_eq(kv_write(kv, &txn, NULL), OK);
	key_count(&key, STR("acme"), COUNT_CONTENT);
	kv_del(txn, KV_META, buf_view(&key));
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	kv_close(&kv);
	bench_reopen(&b, "boot-1", true, NULL);
}

START_TEST(small_content_goes_with_its_last_version)
{
	publish_three("two", "three", "four");
	ck_assert(!is_stored(STR("one\n")));
	ck_assert(!is_stored(STR("two")));
	ck_assert(is_stored(STR("three")) && is_stored(STR("four")));
	/* It may come again. */
	publish_bytes(STR("two"));
	ck_assert_uint_eq(refs_of("two"), 1);
}
END_TEST

START_TEST(another_version_that_names_it_keeps_it)
{
	publish_three("two", "three", "two");
	publish_bytes(STR("four"));
	ck_assert_uint_eq(refs_of("two"), 1);
	publish_bytes(STR("five"));
	ck_assert(!is_stored(STR("two")));
}
END_TEST

/* At the same time, too. */
START_TEST(another_configuration_that_names_it_keeps_it)
{
	struct command *c = bench_command(&b);

	put_config(&b, c, "acme", "shop", "prod", "two.toml");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	c = bench_command(&b);
	put_blob(&b, "acme", STR("two"));
	add_version(&b, c, "acme", object, STR("two"), true);
	add_version(&b, c, "acme", "shop.prod.two.toml", STR("two"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	publish_three("three", "four", "five");
	ck_assert(is_stored(STR("two")));
	ck_assert_uint_eq(refs_of("two"), 1);
}
END_TEST

/* Somebody is about to name it. */
START_TEST(what_was_brought_again_stays)
{
	publish_bytes(STR("two"));
	put_blob(&b, "acme", STR("two"));
	publish_three("three", "four", "five");
	ck_assert(is_stored(STR("two")));
	ck_assert_uint_eq(refs_of("two"), 0);
}
END_TEST

START_TEST(large_content_is_left_to_the_ticks)
{
	struct str large = str_n(arena_zero(b.arena, BLOB_CHUNK + 1),
				 BLOB_CHUNK + 1);

	publish_bytes(large);
	publish_three("three", "four", "five");
	ck_assert(is_stored(large));
}
END_TEST

/* Of up to one chunk, and no longer its tenant's. */
START_TEST(what_goes_counts_no_more)
{
	struct str chunk = str_n(arena_zero(b.arena, BLOB_CHUNK), BLOB_CHUNK);

	publish_bytes(chunk);
	publish_three("three", "four", "five");
	ck_assert(!is_stored(chunk));
	ck_assert_uint_eq(content_bytes(), strlen("four") + strlen("five"));
	/* What was there before anybody counted. */
	forget_count();
	publish_bytes(STR("six"));
	ck_assert_uint_eq(content_bytes(), 0);
}
END_TEST

/* A program of before leaves it to the ticks, and so does this one until all know better:
 * else their states differ. */
START_TEST(before_the_gate_all_is_left_to_the_ticks)
{
	gate_teardown();
	bench_open(&b, "boot-1");
	few_versions();
	bench_shop(&b, "one\n");
	publish_three("two", "three", "four");
	ck_assert(is_stored(STR("one\n")) && is_stored(STR("two")));
	ck_assert_uint_eq(refs_of("two"), 0);
	ck_assert_uint_eq(refs_of("four"), 1);
	ck_assert_uint_eq(content_bytes(), strlen("three") + strlen("four"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/content");
	TCase *t = tcase_create("content");

	tcase_add_checked_fixture(t, setup, gate_teardown);
	tcase_add_test(t, small_content_goes_with_its_last_version);
	tcase_add_test(t, another_version_that_names_it_keeps_it);
	tcase_add_test(t, another_configuration_that_names_it_keeps_it);
	tcase_add_test(t, what_was_brought_again_stays);
	tcase_add_test(t, large_content_is_left_to_the_ticks);
	tcase_add_test(t, what_goes_counts_no_more);
	tcase_add_test(t, before_the_gate_all_is_left_to_the_ticks);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
