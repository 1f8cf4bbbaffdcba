/* Rates: what they let pass, and that names in any number win nothing. */
#include "api/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "unit.h"

#include "base/banned.h"

#define MS UINT64_C(1000000)
#define S (1000 * MS)
#define START (100 * S)

static struct limits *limits;
static _Thread_local uint64_t wait_ns;

static void make(uint64_t rate, uint64_t burst)
{
	const struct limits_rate rates[LIMIT__COUNT] = {
		[LIMIT_SUBJECT] = { rate, burst },
		[LIMIT_ADDRESS] = { rate, burst },
	};

	limits_free(&limits);
	limits = limits_new(rates);
}

static void teardown(void)
{
	limits_free(&limits);
}

/* How many of 'n' requests at one moment are let pass. */
static unsigned take(const char *who, unsigned n, uint64_t now)
{
	unsigned passed = 0;

	while (n--)
		passed += limits_take(limits, LIMIT_SUBJECT, str_of(who), now,
				      &wait_ns);
	return passed;
}

START_TEST(a_burst_and_then_the_rate)
{
	uint64_t passed = 0;

	make(10, 5);
	ck_assert_uint_eq(take("a", 8, START), 5);
	ck_assert_uint_eq(wait_ns, 100 * MS);
	ck_assert_uint_eq(take("b", 8, START), 5);
	ck_assert_uint_eq(take("a", 1, START + 100 * MS), 1);
	ck_assert_uint_eq(take("a", 1, START + 100 * MS), 0);
	/* Whoever asks all the time gets the rate and no more. */
	for (uint64_t at = START + S; at < START + 11 * S; at += MS)
		passed += take("a", 1, at);
	ck_assert_uint_ge(passed, 100);
	ck_assert_uint_le(passed, 105);
	/* A pause fills the bucket, no further. */
	ck_assert_uint_eq(take("a", 100, START + 1000 * S), 5);
	ck_assert_uint_gt(limits_refused(limits, LIMIT_SUBJECT), 0);
	ck_assert_uint_eq(limits_refused(limits, LIMIT_ADDRESS), 0);
}
END_TEST

START_TEST(a_rate_may_be_by_the_minute)
{
	const struct limits_rate rates[LIMIT__COUNT] = {
		[LIMIT_SUBJECT] = { 6, 2, 60 },
	};
	AUTO_BUF policy = BUF_NONE;

	limits_free(&limits);
	limits = limits_new(rates);
	ck_assert_uint_eq(take("a", 8, START), 2);
	ck_assert_uint_eq(wait_ns, 10 * S);
	ck_assert_uint_eq(take("a", 8, START + 9 * S), 0);
	ck_assert_uint_eq(take("a", 8, START + 10 * S), 1);
	limits_policy(limits, LIMIT_SUBJECT, &policy);
	ck_assert_str_eq(policy.p, "\"subject\";q=2;w=20");
}
END_TEST

START_TEST(what_is_off_lets_pass)
{
	make(0, 5);
	ck_assert(!limits_is_on(limits, LIMIT_SUBJECT));
	ck_assert_uint_eq(take("a", 1000, START), 1000);
}
END_TEST

START_TEST(looking_takes_nothing)
{
	make(1, 2);
	for (int i = 0; i < 10; i++)
		ck_assert(limits_has(limits, LIMIT_SUBJECT, STR("a"), START,
				     &wait_ns));
	ck_assert_uint_eq(take("a", 5, START), 2);
	ck_assert(!limits_has(limits, LIMIT_SUBJECT, STR("a"), START, &wait_ns));
	ck_assert_uint_eq(wait_ns, S);
}
END_TEST

/* Nobody is pushed out by others, and so has a full bucket again. */
START_TEST(names_in_any_number_push_nobody_out)
{
	char name[32];

	make(1, 2);
	ck_assert_uint_eq(take("victim", 5, START), 2);
	for (int i = 0; i < 200000; i++) {
		snprintf(name, sizeof(name), "guest-%d", i);
		take(name, 2, START + MS);
	}
	ck_assert_uint_eq(take("victim", 5, START + 2 * MS), 0);
	/* Where all have become full there is room for new ones. */
	ck_assert_uint_eq(take("new", 5, START + 1000 * S), 2);
	ck_assert_uint_eq(take("victim", 5, START + 1000 * S), 2);
}
END_TEST

/* 512 sets of 8, and one for the rest: that is all that gets a burst. */
START_TEST(names_in_any_number_win_nothing)
{
	unsigned passed = 0;
	char name[32];

	make(1, 2);
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		passed += take(name, 2, START);
	}
	ck_assert_uint_eq(passed, 512 * 9 * 2);
}
END_TEST

static atomic_uint passed_by_threads;

static void *knock(void *data)
{
	for (uint64_t i = 0; i < 20000; i++)
		atomic_fetch_add(&passed_by_threads,
				 take(i % 2 ? "one" : "two", 1, START + i));
	return data;
}

START_TEST(loops_share_the_buckets)
{
	pthread_t threads[4];

	make(1, 1000);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, knock, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(atomic_load(&passed_by_threads), 2000);
}
END_TEST

static const struct {
	const char *host, *network;
} networks[] = {
	{ "192.0.2.7", "192.0.2.7" },
	{ "::ffff:192.0.2.7", "192.0.2.7" },
	{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64" },
	{ "2001:db8:1:2::9", "2001:db8:1:2::/64" },
	{ "fe80::1%eth0", "fe80::/64" },
	{ "::1", "::1/64" },
};

START_TEST(an_address_stands_for_its_network)
{
	AUTO_BUF out = BUF_NONE;

	limits_network(&out, networks[_i].host);
	ck_assert_str_eq(out.p, networks[_i].network);
}
END_TEST

START_TEST(tokens_are_known_where_they_came_from)
{
	make(1, 1);
	limits_know(limits, STR("cfx_a"), STR("192.0.2.7"));
	ck_assert(limits_knows(limits, STR("cfx_a"), STR("192.0.2.7")));
	ck_assert(!limits_knows(limits, STR("cfx_a"), STR("192.0.2.8")));
	ck_assert(!limits_knows(limits, STR("cfx_b"), STR("192.0.2.7")));
}
END_TEST

START_TEST(the_policy_is_said)
{
	AUTO_BUF out = BUF_NONE;

	make(10, 25);
	limits_policy(limits, LIMIT_SUBJECT, &out);
	ck_assert_str_eq(out.p, "\"subject\";q=25;w=3");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/limits");
	TCase *t = tcase_create("limits");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, a_burst_and_then_the_rate);
	tcase_add_test(t, a_rate_may_be_by_the_minute);
	tcase_add_test(t, what_is_off_lets_pass);
	tcase_add_test(t, looking_takes_nothing);
	tcase_add_test(t, names_in_any_number_push_nobody_out);
	tcase_add_test(t, names_in_any_number_win_nothing);
	tcase_add_test(t, loops_share_the_buckets);
	tcase_add_loop_test(t, an_address_stands_for_its_network, 0,
			    ARRAY_LEN(networks));
	tcase_add_test(t, tokens_are_known_where_they_came_from);
	tcase_add_test(t, the_policy_is_said);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
