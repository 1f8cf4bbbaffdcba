/* What a fleet lists of instances without a release: their last words. */
#include "unit.h"

#include <stdio.h>

#include "fleet/fleet.h"
#include "fleet/last.h"

#include "base/banned.h"

#define KEY "acme/shop/prod/a"
#define OTHER "acme/shop/prod/b"

static struct fleet *fleet;

static void setup(void)
{
	fleet = fleet_new(3);
}

static void teardown(void)
{
	fleet_free(&fleet);
}

static void says(const char *instance, const char *key, uint32_t version,
		 enum fleet_word word, uint64_t now_ms)
{
	struct fleet_said said = { .instance = str_of(instance),
				   .key = str_of(key), .version = version,
				   .word = word,
				   .reason = word == FLEET_REFUSED ? STR("no") :
								     STR_NONE };

	fleet_said(fleet, &said, now_ms);
}

static void given(const char *instance, const char *key, uint32_t version,
		 uint64_t now_ms)
{
	struct fleet_sent sent = { str_of(instance), str_of(key), version, 0 };

	fleet_sent(fleet, &sent, now_ms);
}

static struct fleet_watch *follows(const char *instance, const char *key,
				   uint64_t now_ms)
{
	struct labels none = { 0 };
	struct address at;
	struct fleet_spec spec = { .instance = str_of(instance), .labels = &none,
				   .keys = &at, .n_keys = 1 };
	struct err err;

	ck_assert_int_eq(address_parse(str_of(key), &at, &err), OK);
	return fleet_join(fleet, &spec, now_ms);
}

static void put_word(struct buf *out, const struct fleet_last *word)
{
	uint64_t lag = 0;
	bool has_lag = last_lag_ms(word, &lag);

	buf_printf(out, " %.*s %s %u lag ", STR_ARG(word->key),
		   fleet_state_name(last_state(word)), last_version(word));
	if (has_lag)
		buf_u64(out, lag);
	else
		buf_z(out, "?");
	buf_str(out, word->reason);
}

/* One line an instance: name, + where it is connected, then its words. */
static void lists(const char *tenant, uint64_t now_ms, const char *want)
{
	struct fleet_list list = { .limit = 100, .tenant = str_of(tenant) };
	AUTO_BUF rows = BUF_NONE;
	AUTO_BUF got = BUF_NONE;
	struct fleet_row row;
	struct err err;
	bool more;
	struct rd rd;

	fleet_list_known(fleet, &list, 1, now_ms, &rows, &more);
	rd = rd_of(buf_view(&rows));
	while (list_next(&rd, &row, &err) == OK) {
		struct rd words = rd_of(row.words);
		struct fleet_last word;

		buf_str(&got, row.instance);
		buf_c(&got, row.is_connected ? '+' : '-');
		while (last_next(&words, &word, &err) == OK)
			put_word(&got, &word);
		buf_c(&got, '\n');
	}
	ck_assert_msg(str_eq(buf_view(&got), str_of(want)), "%.*s",
		      STR_ARG(buf_view(&got)));
}

START_TEST(an_instance_is_listed_with_its_last_word)
{
	struct fleet_watch *w = follows("web-1", KEY, 1000);

	lists("", 1000, "web-1+\n");
	given("web-1", KEY, 3, 1000);
	lists("", 1500, "web-1+ " KEY " sent 3 lag 500\n");
	says("web-1", KEY, 3, FLEET_GOT, 1600);
	lists("", 1700, "web-1+ " KEY " received 3 lag 700\n");
	says("web-1", KEY, 3, FLEET_APPLIED, 1800);
	lists("", 9000, "web-1+ " KEY " applied 3 lag 800\n");
	/* As one says that connects anew. */
	says("web-1", KEY, 3, FLEET_GOT, 9000);
	given("web-1", KEY, 3, 9000);
	lists("", 9000, "web-1+ " KEY " applied 3 lag 800\n");
	/* It is behind until it has applied what it was sent. */
	given("web-1", KEY, 4, 10000);
	lists("", 10400, "web-1+ " KEY " applied 3 lag 400\n");
	says("web-1", KEY, 4, FLEET_REFUSED, 10500);
	lists("", 10700, "web-1+ " KEY " rejected 4 lag 700no\n");
	fleet_leave(fleet, &w, 11000);
}
END_TEST

START_TEST(who_follows_several_is_listed_with_the_newest_first)
{
	struct fleet_watch *w = follows("web-1", KEY, 1000);

	says("web-1", KEY, 1, FLEET_APPLIED, 1000);
	says("web-1", OTHER, 7, FLEET_APPLIED, 1100);
	says("web-1", "other/x/y/z", 2, FLEET_APPLIED, 1200);
	lists("acme", 1200, "web-1+ " OTHER " applied 7 lag ? " KEY
	      " applied 1 lag ?\n");
	says("web-1", KEY, 2, FLEET_APPLIED, 1300);
	lists("", 1300, "web-1+ " KEY " applied 2 lag ? other/x/y/z applied 2 "
	      "lag ? " OTHER " applied 7 lag ?\n");
	lists("other", 1300, "web-1+ other/x/y/z applied 2 lag ?\n");
	lists("nobody", 1300, "");
	fleet_leave(fleet, &w, 1300);
}
END_TEST

/* What was given last may be nothing: the configuration is gone. */
START_TEST(what_nothing_is_known_of_hides_no_word)
{
	struct fleet_watch *w = follows("web-1", KEY, 1000);

	says("web-1", OTHER, 3, FLEET_APPLIED, 1000);
	given("web-1", KEY, 0, 1100);
	lists("", 1200, "web-1+ " OTHER " applied 3 lag ?\n");
	given("web-1", KEY, 4, 1200);
	lists("", 1200, "web-1+ " KEY " sent 4 lag 0 " OTHER " applied 3 lag ?\n");
	fleet_leave(fleet, &w, 1300);
}
END_TEST

START_TEST(who_left_is_listed_for_a_while)
{
	struct fleet_watch *w = follows("web-1", KEY, 1000);

	says("web-1", KEY, 1, FLEET_APPLIED, 1000);
	fleet_leave(fleet, &w, 2000);
	w = follows("web-2", KEY, 2000);
	fleet_leave(fleet, &w, 2000);
	lists("", 2000 + FLEET_GONE_MS, "web-1- " KEY " applied 1 lag ?\n");
	lists("", 2001 + FLEET_GONE_MS, "");
}
END_TEST

START_TEST(who_never_said_anything_and_only_asks_is_no_instance)
{
	struct fleet_counts c;

	given("web-1", KEY, 3, 1000);
	fleet_counts(fleet, &c);
	ck_assert_uint_eq(c.known, 0);
	says("web-1", KEY, 3, FLEET_APPLIED, 2000);
	given("web-1", KEY, 4, 3000);
	lists("", 3500, "web-1- " KEY " applied 3 lag 500\n");
}
END_TEST

START_TEST(it_is_bounded)
{
	struct fleet_watch *w = follows("web-0", "big/shop/prod/c1", 1000);
	struct fleet_counts c;
	char key[32];

	/* Words, of one that says much; what it said last is there. */
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "big/shop/prod/c%u", i);
		says("web-0", key, 1, FLEET_APPLIED, 2000 + i);
	}
	fleet_counts(fleet, &c);
	ck_assert_uint_eq(c.words, 4 * 3 + FLEET_CONFIGS_MAX);
	ck_assert_uint_eq(c.refused, 0);
	/* Instances: those unheard for the longest that left go. */
	says("web-1", KEY, 1, FLEET_APPLIED, 5000);
	says("web-2", KEY, 1, FLEET_APPLIED, 5001);
	says("web-1", KEY, 2, FLEET_APPLIED, 5002);
	says("web-3", KEY, 1, FLEET_APPLIED, 5003);
	fleet_counts(fleet, &c);
	ck_assert_uint_eq(c.known, 3);
	ck_assert_uint_eq(c.refused, 0);
	lists("acme", 5003, "web-1- " KEY " applied 2 lag ?\nweb-3- " KEY
	      " applied 1 lag ?\n");
	fleet_leave(fleet, &w, 6000);
}
END_TEST

/* Anybody can name a release that is not there; his words hold no place. */
START_TEST(words_of_no_release_make_room)
{
	struct fleet_watch *w = follows("web-0", KEY, 1000);
	struct fleet_said said = { .instance = STR("web-0"), .version = 1,
				   .release = UINT64_MAX, .word = FLEET_APPLIED };
	struct fleet_counts c;
	char key[32];

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "big/shop/prod/c%u", i);
		said.key = str_of(key);
		fleet_said(fleet, &said, 2000 + i);
	}
	says("web-1", KEY, 1, FLEET_APPLIED, 5000);
	fleet_counts(fleet, &c);
	ck_assert_uint_eq(c.words, 4 * 3 + FLEET_CONFIGS_MAX);
	ck_assert_uint_eq(c.refused, 0);
	lists("acme", 5003, "web-0+\nweb-1- " KEY " applied 1 lag ?\n");
	fleet_leave(fleet, &w, 6000);
}
END_TEST

/* ---- what several nodes know ---- */

static struct fleet_last word_of(const char *key, uint32_t said, uint64_t said_age,
				 uint32_t sent, uint64_t sent_age)
{
	return (struct fleet_last){ .key = str_of(key), .said_version = said,
				    .said = FLEET_IS_APPLIED,
				    .said_age_ms = said_age,
				    .sent_version = sent,
				    .sent_age_ms = sent_age };
}

START_TEST(words_of_several_nodes_become_one)
{
	struct fleet_last all[FLEET_LAST_MAX], one;
	uint64_t lag;
	size_t n = 0;

	/* Sent here, said there. */
	one = word_of(KEY, 0, 0, 5, 900);
	n = last_merge(all, n, &one);
	one = word_of(OTHER, 1, 300, 0, 0);
	n = last_merge(all, n, &one);
	one = word_of(KEY, 5, 200, 4, 5000);
	n = last_merge(all, n, &one);
	ck_assert_uint_eq(n, 2);
	ck_assert(str_is(all[0].key, KEY) && str_is(all[1].key, OTHER));
	ck_assert_uint_eq(last_version(&all[0]), 5);
	ck_assert(last_lag_ms(&all[0], &lag));
	ck_assert_uint_eq(lag, 700);
	/* An old word changes nothing. */
	one = word_of(KEY, 3, 9000, 0, 0);
	n = last_merge(all, n, &one);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(last_version(&all[0]), 5);
}
END_TEST

START_TEST(the_newest_words_are_kept)
{
	static char keys[2 * FLEET_LAST_MAX][32];
	struct fleet_last all[FLEET_LAST_MAX], one;
	size_t n = 0;

	for (unsigned i = 0; i < 2 * FLEET_LAST_MAX; i++) {
		/* Old and new in turn. */
		uint64_t age = i % 2 ? 1000 - i : 5000 + i;

		snprintf(keys[i], sizeof(keys[i]), "acme/shop/prod/c%u", i);
		one = word_of(keys[i], i + 1, age, 0, 0);
		n = last_merge(all, n, &one);
	}
	ck_assert_uint_eq(n, FLEET_LAST_MAX);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_lt(all[i].said_age_ms, 1000);
		ck_assert(!i || all[i - 1].said_age_ms < all[i].said_age_ms);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fleet/heard");
	TCase *t = tcase_create("heard");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_instance_is_listed_with_its_last_word);
	tcase_add_test(t, who_follows_several_is_listed_with_the_newest_first);
	tcase_add_test(t, what_nothing_is_known_of_hides_no_word);
	tcase_add_test(t, who_left_is_listed_for_a_while);
	tcase_add_test(t, who_never_said_anything_and_only_asks_is_no_instance);
	tcase_add_test(t, it_is_bounded);
	tcase_add_test(t, words_of_no_release_make_room);
	tcase_add_test(t, words_of_several_nodes_become_one);
	tcase_add_test(t, the_newest_words_are_kept);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
