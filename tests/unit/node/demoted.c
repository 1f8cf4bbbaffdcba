/*
 * Guard J: a voter that is demoted, and whose leader dies before it has that entry
 * itself, stands for election until the entry is committed; and what follows from a
 * leader that has no vote.
 */
#include "trio.h"

#include "base/arena.h"
#include "base/failpoint.h"
#include "node/guard.h"

#include "base/banned.h"

#define STANDBY 0
#define VOTER 1

static void switch_off(const char *spec)
{
	struct err err;

	ck_assert_msg(failpoint_set(spec, &err) == OK, "%s", err.text);
}

/* Servers 1 to 'n', of which 1 has no vote, as in the log (see trio.c). */
static struct str without_first(unsigned n)
{
	static const char *const names[] = { "", "s1", "s2", "s3", "s4" };
	AUTO_BUF b = BUF_NONE;
	uint64_t count = n;

	buf_c(&b, 1);
	buf_add(&b, &count, 8);
	for (uint64_t id = 1; id <= n; id++) {
		buf_add(&b, &id, 8);
		buf_add(&b, names[id], 3);
		buf_c(&b, id == 1 ? STANDBY : VOTER);
	}
	while (b.n % 8)
		buf_c(&b, 0);
	return arena_str(trio_arena, buf_view(&b));
}

/* Of 'n' voters server 1 has its demotion, and nobody else has. */
static void demoted_of(unsigned n)
{
	trio_bootstrap(n);
	trio[0].log[2] = (struct engine_entry){ 1, ENGINE_CHANGE, without_first(n) };
	trio[0].last = 2;
	trio_start(1, 1);
}

static unsigned voters_of(const struct peer *p, uint64_t *uncommitted)
{
	uint64_t committed;
	unsigned voters;

	engine_membership(p->e, &committed, uncommitted, &voters);
	return voters;
}

/* Until the demotion is committed, and then without it; whoever led on the way. */
static bool goes_on_without_first(unsigned voters)
{
	uint64_t uncommitted;
	struct peer *leader;

	for (unsigned i = 0; i < 200; i++) {
		trio_pass(100);
		leader = trio_leader();
		if (leader && leader->id != 1 &&
		    voters_of(leader, &uncommitted) == voters && !uncommitted)
			break;
	}
	if (!leader || leader->id == 1 || trio_submit(leader, 1))
		return false;
	trio_pass(500);
	return leader->commit == leader->last && trio[0].commit == leader->last &&
	       voters_of(&trio[0], &uncommitted) == voters && !uncommitted;
}

START_TEST(who_lost_its_vote_stands_until_that_is_committed)
{
	ck_assert(guard_stands(true, 5, 4));
	ck_assert(!guard_stands(true, 5, 5));
	ck_assert(!guard_stands(true, 0, 0));
	ck_assert(!guard_stands(false, 5, 4));
}
END_TEST

/* The core wants more than half of the others and of itself. */
START_TEST(more_than_half_of_the_others_is_wanted)
{
	for (unsigned others = 1; others < 20; others++) {
		unsigned wants = (others + 1) / 2 + 1 - guard_counts_own(others);

		ck_assert_uint_eq(wants, others / 2 + 1);
	}
}
END_TEST

START_TEST(one_of_two_is_demoted_and_the_other_lacks_it)
{
	demoted_of(2);
	trio_start(2, 1);
	ck_assert(goes_on_without_first(1));
}
END_TEST

START_TEST(without_guard_j_nobody_ever_leads)
{
	switch_off("guard.j=error");
	demoted_of(2);
	trio_start(2, 1);
	ck_assert(!trio_elect());
	ck_assert_ptr_null(trio_leader());
}
END_TEST

/* Both of the others: its own vote is none, though two of three would do by the
 * membership of before. */
START_TEST(one_of_three_wants_both_others)
{
	demoted_of(3);
	trio_start(2, 1);
	for (unsigned i = 0; i < 50; i++) {
		trio_pass(100);
		ck_assert_ptr_null(trio_leader());
	}
	trio_start(3, 1);
	ck_assert(goes_on_without_first(2));
}
END_TEST

START_TEST(one_of_four_wants_two_others)
{
	demoted_of(4);
	trio_start(2, 1);
	for (unsigned i = 0; i < 50; i++) {
		trio_pass(100);
		ck_assert_ptr_null(trio_leader());
	}
	trio_start(3, 1);
	ck_assert(goes_on_without_first(3));
}
END_TEST

/* The demotion is committed and so is another one after it, which only server 3 has: by
 * the membership of before, 1 and 2 would be a majority. */
START_TEST(it_does_not_win_beside_a_newer_membership)
{
	demoted_of(3);
	trio[1].log[2] = trio[0].log[2];
	trio[1].last = 2;
	trio_start(2, 1);
	for (unsigned i = 0; i < 50; i++) {
		trio_pass(100);
		ck_assert(!trio[0].is_leader);
	}
}
END_TEST

static void vote_for_1(unsigned from, bool pre, uint64_t term)
{
	trio_feed(1, from, (struct engine_message){
		.type = ENGINE_M_VOTE_RESULT, .term = term,
		.vote_result = { .granted = true, .pre = pre } });
}

/* Server 1 leads of 'n', by the votes of who is not there. */
static void leads_of(unsigned n)
{
	demoted_of(n);
	for (unsigned i = 0; i < 100 && !trio_sent(1, ENGINE_M_VOTE); i++)
		trio_pass(10);
	ck_assert_ptr_nonnull(trio_sent(1, ENGINE_M_VOTE));
	ck_assert(trio_sent(1, ENGINE_M_VOTE)->vote.pre);
	for (unsigned i = 2; i <= n; i++)
		vote_for_1(i, true, 2);
	ck_assert(!trio_sent(1, ENGINE_M_VOTE)->vote.pre);
	for (unsigned i = 2; i <= n; i++)
		vote_for_1(i, false, 2);
	ck_assert(trio[0].is_leader);
	ck_assert_uint_eq(trio[0].commit, 1);
}

static void answer_1(unsigned from, uint64_t last)
{
	trio_feed(1, from, (struct engine_message){
		.type = ENGINE_M_APPEND_RESULT, .term = 2,
		.append_result = { 0, last } });
}

/* The others answer now and then, while it leads. */
static bool leads_on_with(unsigned first, unsigned last)
{
	for (unsigned i = 0; i < 100; i++) {
		trio_pass(20);
		for (unsigned k = first; k <= last && trio[0].is_leader; k++)
			answer_1(k, 1);
	}
	return trio[0].is_leader;
}

START_TEST(it_leads_while_more_than_half_of_the_others_answer)
{
	leads_of(4);
	ck_assert(leads_on_with(2, 3));
	ck_assert(!leads_on_with(2, 2));
}
END_TEST

START_TEST(of_two_others_both_have_to_answer)
{
	leads_of(3);
	ck_assert(leads_on_with(2, 3));
	ck_assert(!leads_on_with(2, 2));
}
END_TEST

START_TEST(who_leads_the_only_voter_ends_without_it)
{
	leads_of(2);
	ck_assert(leads_on_with(2, 2));
	ck_assert(!leads_on_with(2, 1));
}
END_TEST

START_TEST(what_it_has_itself_commits_nothing)
{
	uint64_t uncommitted;

	leads_of(3);
	ck_assert_int_eq(trio_submit(&trio[0], 5), OK);
	answer_1(2, trio[0].last);
	ck_assert_uint_eq(trio[0].commit, 1);
	answer_1(3, trio[0].last);
	ck_assert_uint_eq(trio[0].commit, trio[0].last);
	/* So its demotion is, and it leads no more. */
	ck_assert(!trio[0].is_leader);
	ck_assert_uint_eq(voters_of(&trio[0], &uncommitted), 2);
	ck_assert_uint_eq(uncommitted, 0);
	trio_pass(3000);
	ck_assert_uint_eq(trio[0].term, 2);
	ck_assert_uint_lt(trio_sent(1, ENGINE_M_VOTE)->vote.last_index, trio[0].last);
}
END_TEST

START_TEST(it_hands_nothing_over)
{
	struct engine_update u;

	leads_of(2);
	ck_assert_int_eq(engine_transfer(trio[0].e, trio_now, 2, &u, &trio_err),
			 E_CONFLICT);
}
END_TEST

/* Who was told is quiet, alone too. */
START_TEST(who_knows_that_it_is_committed_does_not_stand)
{
	struct peer *leader, *demoted;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	demoted = &trio[leader->id % 3];
	ck_assert_int_eq(trio_change(leader, ENGINE_DEMOTE, demoted->id, true), OK);
	trio_pass(500);
	ck_assert_uint_eq(demoted->conf_applied, leader->last);
	for (unsigned i = 0; i < 3; i++)
		trio[i].is_cut_off = true;
	trio_pass(3000);
	if (trio_sent((unsigned)demoted->id, ENGINE_M_VOTE))
		ck_assert_uint_lt(trio_sent((unsigned)demoted->id,
					    ENGINE_M_VOTE)->vote.last_index,
				  demoted->last);
}
END_TEST

/* Else a removed server would have to stand, too. */
START_TEST(who_is_removed_is_not_sent_that)
{
	struct peer *leader, *removed;
	uint64_t last;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	removed = &trio[leader->id % 3];
	trio_pass(200);
	last = leader->last;
	ck_assert_uint_eq(removed->last, last);
	ck_assert_int_eq(trio_change(leader, ENGINE_REMOVE, removed->id, true), OK);
	ck_assert_int_eq(trio_submit(leader, 2), OK);
	trio_pass(3000);
	ck_assert_uint_gt(leader->commit, last);
	ck_assert_uint_eq(removed->last, last);
}
END_TEST

/* Server 2 follows server 1 in term 5 and hears from it that it is the only voter; then
 * it hears nothing more.  Answers the term in which it leads. */
static uint64_t term_alone(void)
{
	struct engine_entry e;

	trio_bootstrap(2);
	trio_start(2, 1);
	e = (struct engine_entry){ 1, ENGINE_CHANGE, without_first(2) };
	trio_feed(2, 1, (struct engine_message){
		.type = ENGINE_M_APPEND, .term = 5,
		.append = { 1, 1, 1, &e, 1 } });
	ck_assert_uint_eq(trio[1].last, 2);
	ck_assert_uint_eq(trio[1].term, 5);
	ck_assert(!trio[1].is_leader);
	trio_pass(1000);
	ck_assert(trio[1].is_leader);
	return trio[1].term;
}

START_TEST(an_only_voter_leads_in_a_term_of_its_own)
{
	ck_assert_uint_eq(term_alone(), 6);
	ck_assert_uint_eq(trio[1].voted_for, 2);
}
END_TEST

START_TEST(without_guard_f_two_lead_in_one_term)
{
	switch_off("guard.f=error");
	ck_assert_uint_eq(term_alone(), 5);
}
END_TEST

/* Its turn has come, and its log is not durable. */
START_TEST(an_only_voter_that_has_to_wait_keeps_its_term)
{
	struct engine_entry e = { 1, ENGINE_CHANGE, STR_NONE };
	struct engine_message m = { .type = ENGINE_M_APPEND, .peer = 1, .term = 5,
				    .append = { 1, 1, 1, &e, 1 } };
	struct engine_update u;
	bool more;

	trio_bootstrap(2);
	trio_start(2, 1);
	e.data = without_first(2);
	ck_assert_int_eq(engine_receive(trio[1].e, trio_now, &m, &more, &u,
					&trio_err), OK);
	ck_assert_uint_eq(u.first_index, 2);
	trio_now += 5000;
	ck_assert_int_eq(engine_timeout(trio[1].e, trio_now, &u, &trio_err), OK);
	ck_assert(!u.is_leader);
	ck_assert(!u.has_vote);
	ck_assert_uint_eq(u.term, 5);
	ck_assert_int_eq(engine_persisted(trio[1].e, trio_now, 2, &u, &trio_err), OK);
	trio_now += 5000;
	ck_assert_int_eq(engine_timeout(trio[1].e, trio_now, &u, &trio_err), OK);
	ck_assert(u.is_leader && u.has_vote);
	ck_assert_uint_eq(u.term, 6);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/demoted");
	TCase *t = tcase_create("demoted");

	tcase_add_checked_fixture(t, trio_setup, trio_teardown);
	tcase_add_test(t, who_lost_its_vote_stands_until_that_is_committed);
	tcase_add_test(t, more_than_half_of_the_others_is_wanted);
	tcase_add_test(t, one_of_two_is_demoted_and_the_other_lacks_it);
	tcase_add_test(t, without_guard_j_nobody_ever_leads);
	tcase_add_test(t, one_of_three_wants_both_others);
	tcase_add_test(t, one_of_four_wants_two_others);
	tcase_add_test(t, it_does_not_win_beside_a_newer_membership);
	tcase_add_test(t, it_leads_while_more_than_half_of_the_others_answer);
	tcase_add_test(t, of_two_others_both_have_to_answer);
	tcase_add_test(t, who_leads_the_only_voter_ends_without_it);
	tcase_add_test(t, what_it_has_itself_commits_nothing);
	tcase_add_test(t, it_hands_nothing_over);
	tcase_add_test(t, who_knows_that_it_is_committed_does_not_stand);
	tcase_add_test(t, who_is_removed_is_not_sent_that);
	tcase_add_test(t, an_only_voter_leads_in_a_term_of_its_own);
	tcase_add_test(t, without_guard_f_two_lead_in_one_term);
	tcase_add_test(t, an_only_voter_that_has_to_wait_keeps_its_term);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
