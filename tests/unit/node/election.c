/*
 * Guard K: who stands first after a leader fell silent is voted for, and not who is the
 * last to miss it.
 */
#include "trio.h"

#include "base/failpoint.h"

#include "base/banned.h"

#define ELECTION_MS 300                  /* of trio.c */

/* Three servers, and one of them leads: that one. */
static struct peer *found_three(void)
{
	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	return trio_leader();
}

/* The leader falls silent for both others at one moment: how long behind the first
 * timeout of the two somebody leads again. */
static uint64_t led_behind_the_first(void)
{
	struct peer *old = found_three();
	uint64_t first = UINT64_MAX, last = 0;

	trio_pass(100);
	old->is_cut_off = true;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t due = engine_deadline(trio[i].e);

		if (&trio[i] == old)
			continue;
		first = MIN(first, due);
		last = MAX(last, due);
	}
	ck_assert_uint_gt(last, first + 50);     /* else nothing is shown */
	while (!trio_leader())
		trio_pass(10);
	return trio_now - first;
}

START_TEST(who_stands_first_is_voted_for)
{
	ck_assert_uint_le(led_behind_the_first(), 20);
}
END_TEST

START_TEST(without_guard_k_it_waits_for_the_last)
{
	struct err err;

	ck_assert_int_eq(failpoint_set("guard.k=error", &err), OK);
	ck_assert_uint_gt(led_behind_the_first(), 50);
}
END_TEST

/* Asks 'p' whether it would vote for 'candidate', whose log is as long as any. */
static bool would_vote(struct peer *p, const struct peer *candidate)
{
	const struct engine_message *m;

	trio_feed((unsigned)p->id, (unsigned)candidate->id, (struct engine_message){
		.type = ENGINE_M_VOTE, .term = p->term + 1,
		.vote = { .candidate = candidate->id, .last_index = 100,
			  .last_term = p->term, .pre = true } });
	m = trio_sent((unsigned)p->id, ENGINE_M_VOTE_RESULT);
	ck_assert_ptr_nonnull(m);
	return m->vote_result.granted;
}

/* Else whoever lost its own connection would depose a leader whom the others hear. */
START_TEST(who_heard_its_leader_lately_refuses)
{
	struct peer *leader = found_three();
	struct peer *candidate = &trio[leader->id % 3];
	struct peer *asked = &trio[candidate->id % 3];

	trio_pass(3 * ELECTION_MS);
	ck_assert(!would_vote(asked, candidate));
	leader->is_cut_off = candidate->is_cut_off = true;
	trio_pass(ELECTION_MS - 60);     /* it sends each 50 */
	ck_assert(!would_vote(asked, candidate));
	trio_now += 70;
	ck_assert_uint_lt(trio_now, engine_deadline(asked->e));
	ck_assert(would_vote(asked, candidate));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/election");
	TCase *t = tcase_create("election");

	tcase_add_checked_fixture(t, trio_setup, trio_teardown);
	tcase_add_test(t, who_stands_first_is_voted_for);
	tcase_add_test(t, without_guard_k_it_waits_for_the_last);
	tcase_add_test(t, who_heard_its_leader_lately_refuses);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
