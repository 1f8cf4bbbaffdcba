/* Releases in steps: which moves there are, and what is decided next. */
#include "unit.h"

#include "model/rollout.h"

#include "base/banned.h"

#define S 1000u                          /* a second */
#define T0 1000000u                      /* when the step began */

/* ---- moves: every one of them, from everywhere ---- */

/* Rows: Queued Progressing Paused Completed RolledBack Aborted Superseded; columns:
 * START BEGUN ADVANCE PROMOTE FULL PAUSE RESUME ROLLBACK ABORT FORGET MET UNMET.  '+'
 * goes on: Progressing, or Completed where the step was the last. */
static const char *const table[] = {
	"G.......A...",
	".G++CP.RA.GG",
	"...+C.GRA...",
	".......R.C..",
	"............",
	"............",
	"............",
};

static enum rollout_phase of_letter(char c, bool is_last)
{
	switch (c) {
	case 'G':
		return ROLLOUT_PROGRESSING;
	case '+':
		return is_last ? ROLLOUT_COMPLETED : ROLLOUT_PROGRESSING;
	case 'C':
		return ROLLOUT_COMPLETED;
	case 'P':
		return ROLLOUT_PAUSED;
	case 'R':
		return ROLLOUT_ROLLED_BACK;
	case 'A':
		return ROLLOUT_ABORTED;
	default:
		return 0;
	}
}

START_TEST(every_move_from_everywhere)
{
	for (unsigned p = ROLLOUT_QUEUED; p < ROLLOUT__END; p++)
		for (unsigned m = MOVE_START; m < MOVE__END; m++)
			for (unsigned step = 0; step < 3; step++)
				ck_assert_msg(rollout_next(p, m, step, 3) ==
					      of_letter(table[p - 1][m - 1],
							step == 2),
					      "%s, move %u, step %u",
					      rollout_phase_name(p), m, step);
}
END_TEST

START_TEST(what_is_no_phase_and_no_move_moves_nothing)
{
	ck_assert_int_eq(rollout_next(0, MOVE_START, 0, 1), 0);
	ck_assert_int_eq(rollout_next(ROLLOUT__END, MOVE_START, 0, 1), 0);
	ck_assert_int_eq(rollout_next(ROLLOUT_QUEUED, 0, 0, 1), 0);
	ck_assert_int_eq(rollout_next(ROLLOUT_QUEUED, MOVE__END, 0, 1), 0);
	ck_assert_str_eq(rollout_phase_name(0), "Unknown");
	ck_assert(!rollout_is_open(ROLLOUT_COMPLETED));
	ck_assert(rollout_is_open(ROLLOUT_QUEUED));
	ck_assert(!rollout_is_out(ROLLOUT_QUEUED));
	ck_assert(rollout_is_out(ROLLOUT_PAUSED));
}
END_TEST

/* ---- conditions ---- */

struct bounds {
	int applied, rejected;           /* basis points; -1: none */
	bool lost_counts;
};

#define U CONDITION_UNKNOWN
#define M CONDITION_MET
#define F CONDITION_FAILED

static const struct {
	struct bounds b;
	uint64_t expected, known, total, applied, rejected, lost;
	enum condition is;
} conditions[] = {
	/* Nothing is asked. */
	{ { -1, -1, true }, 100, 0, 100, 0, 0, 0, M },
	{ { -1, -1, true }, 100, 100, 100, 0, 90, 10, M },
	/* Nobody is there: nobody stands in the way. */
	{ { 9500, 100, true }, 0, 0, 0, 0, 0, 0, M },
	/* applied. */
	{ { 9500, -1, true }, 100, 100, 100, 94, 0, 0, U },
	{ { 9500, -1, true }, 100, 100, 100, 95, 0, 0, M },
	{ { 9500, -1, true }, 100, 99, 100, 99, 0, 0, U },      /* one not heard of */
	{ { 9500, -1, true }, 100, 100, 100, 0, 5, 0, U },
	{ { 9500, -1, true }, 100, 100, 100, 0, 6, 0, F },      /* 94 at best */
	{ { 9500, -1, true }, 100, 100, 100, 94, 6, 0, F },
	{ { 9500, -1, true }, 100, 100, 100, 0, 0, 6, F },
	{ { 9500, -1, false }, 100, 100, 100, 0, 0, 6, U },
	{ { 10000, -1, true }, 3, 3, 3, 3, 0, 0, M },
	{ { 10000, -1, true }, 3, 3, 3, 2, 0, 0, U },
	{ { 10000, -1, true }, 3, 3, 3, 2, 1, 0, F },
	{ { 0, -1, true }, 3, 3, 3, 0, 3, 0, M },
	/* rejected. */
	{ { -1, 100, true }, 100, 100, 100, 0, 1, 0, M },
	{ { -1, 100, true }, 100, 100, 100, 0, 2, 0, F },
	{ { -1, 100, true }, 100, 100, 100, 0, 1, 1, F },
	{ { -1, 100, false }, 100, 100, 100, 0, 1, 50, M },
	{ { -1, 100, true }, 100, 99, 100, 0, 0, 0, U },
	{ { -1, 100, true }, 100, 2, 100, 0, 2, 0, F },         /* at once */
	{ { -1, 0, true }, 100, 100, 100, 99, 0, 0, M },
	{ { -1, 0, true }, 100, 1, 100, 0, 1, 0, F },
	{ { -1, 10000, true }, 1, 1, 1, 0, 1, 0, M },
	/* Both. */
	{ { 9500, 100, true }, 100, 100, 100, 98, 1, 0, M },
	{ { 9500, 100, true }, 100, 100, 100, 97, 2, 0, F },
	{ { 9500, 100, true }, 100, 100, 100, 90, 0, 0, U },
	/* More than 32 bits of them. */
	{ { 5000, -1, true }, 0, 0, 1ull << 62, 1ull << 61, 0, 0, M },
	{ { 5001, -1, true }, 0, 0, 1ull << 62, 1ull << 61, 0, 0, U },
};

static struct strategy strategy_of(struct bounds b)
{
	return (struct strategy){
		.has_applied = b.applied >= 0,
		.applied_bp = (uint32_t)MAX(b.applied, 0),
		.has_rejected = b.rejected >= 0,
		.rejected_bp = (uint32_t)MAX(b.rejected, 0),
		.lost_counts = b.lost_counts,
	};
}

START_TEST(shares)
{
	struct strategy s = strategy_of(conditions[_i].b);
	struct tally t = {
		.expected = conditions[_i].expected, .known = conditions[_i].known,
		.total = conditions[_i].total, .applied = conditions[_i].applied,
		.rejected = conditions[_i].rejected, .lost = conditions[_i].lost,
	};
	char reason[300] = "x";

	ck_assert_int_eq(rollout_condition(&s, &t, reason), conditions[_i].is);
	ck_assert((reason[0] == '\0') == (conditions[_i].is == M));
}
END_TEST

/* A share of nobody says nothing, where somebody has to be there. */
START_TEST(so_many_must_be_there)
{
	struct strategy s = { .has_applied = true, .applied_bp = 9000,
			      .lost_counts = true };
	struct tally t = { 0 };
	char reason[300];

	ck_assert_int_eq(rollout_condition(&s, &t, reason), M);
	s.instances_min = 2;
	ck_assert_int_eq(rollout_condition(&s, &t, reason), U);
	ck_assert_ptr_nonnull(strstr(reason, "0 instances are in the step"));
	/* One that came later, and said so. */
	t.total = t.applied = 1;
	ck_assert_int_eq(rollout_condition(&s, &t, reason), U);
	t.total = t.applied = 2;
	ck_assert_int_eq(rollout_condition(&s, &t, reason), M);
	t = (struct tally){ .expected = 1, .known = 1, .total = 1, .rejected = 1 };
	ck_assert_int_eq(rollout_condition(&s, &t, reason), F);
	/* How many there are is not known before all nodes have said theirs. */
	t = (struct tally){ .expected = 3, .known = 1, .total = 1, .applied = 1 };
	ck_assert_int_eq(rollout_condition(&s, &t, reason), U);
	ck_assert_ptr_nonnull(strstr(reason, "applied it, and"));
}
END_TEST

static const struct {
	enum verdict one, two, webhook;
	enum condition is;
} verdicts[] = {
	{ VERDICT_MET, VERDICT_MET, VERDICT_MET, M },
	{ VERDICT_UNKNOWN, VERDICT_MET, VERDICT_MET, U },
	{ VERDICT_MET, VERDICT_UNKNOWN, VERDICT_MET, U },
	{ VERDICT_MET, VERDICT_MET, VERDICT_UNKNOWN, U },
	{ VERDICT_FAILED, VERDICT_MET, VERDICT_MET, F },
	{ VERDICT_UNKNOWN, VERDICT_FAILED, VERDICT_MET, F },
	{ VERDICT_UNKNOWN, VERDICT_UNKNOWN, VERDICT_FAILED, F },
	{ VERDICT_FAILED, VERDICT_UNKNOWN, VERDICT_MET, F },
};

START_TEST(what_others_say)
{
	struct strategy s = { .n_queries = 2, .webhook = STR("w") };
	struct tally t = { .queries = { verdicts[_i].one, verdicts[_i].two },
			   .webhook = verdicts[_i].webhook };
	char reason[300];

	ck_assert_int_eq(rollout_condition(&s, &t, reason), verdicts[_i].is);
	/* Who is not asked says nothing. */
	s = (struct strategy){ 0 };
	ck_assert_int_eq(rollout_condition(&s, &t, reason), M);
}
END_TEST

START_TEST(the_reason_names_who_and_why)
{
	struct strategy s = strategy_of((struct bounds){ -1, 0, true });
	struct tally t = { .total = 10, .rejected = 1, .lost = 1,
			   .instance = STR("web-7"), .reason = STR("port 70000") };
	char reason[300];

	ck_assert_int_eq(rollout_condition(&s, &t, reason), F);
	ck_assert_str_eq(reason, "2 of 10 instances rejected it or vanished with it: "
				 "web-7: port 70000");
}
END_TEST

/* ---- what next ---- */

static struct strategy_step steps[2];
static struct strategy strat;
static struct rollout_facts facts;
static struct rollout_watch watched;
static struct tally tally;
static unsigned noted;                   /* MET and UNMET that were made */

static void setup(void)
{
	steps[0] = steps[1] = (struct strategy_step){ .bake_ms = 30 * S };
	strat = strategy_of((struct bounds){ 9000, 1000, true });
	strat.steps = steps;
	strat.n_steps = 2;
	strat.timeout_ms = 600 * S;
	strat.keep_ms = 3600 * S;
	facts = (struct rollout_facts){ .phase = ROLLOUT_PROGRESSING,
					.is_begun = true, .step_ms = T0 };
	watched = (struct rollout_watch){ 0 };
	noted = 0;
	tally = (struct tally){ .expected = 10, .known = 10, .total = 10,
				.applied = 10 };
}

/* Another leads, and knows nothing but what the state says. */
static void change_leader(void)
{
	watched = (struct rollout_watch){ 0 };
}

/* As apply does. */
static void note(const struct rollout_decision *d, uint64_t now_ms)
{
	ck_assert_int_eq(d->move == MOVE_MET, facts.met_ms == 0);
	facts.met_ms = d->move == MOVE_MET ? now_ms : 0;
	facts.baked_ms = d->baked_ms;
	noted++;
}

/* What is to be done when what is to be noted is noted. */
static struct rollout_decision at_ms(uint64_t now_ms)
{
	struct rollout_decision d;

	rollout_decide(&strat, &facts, &tally, now_ms, &watched, &d);
	if (d.move == MOVE_MET || d.move == MOVE_UNMET) {
		note(&d, now_ms);
		rollout_decide(&strat, &facts, &tally, now_ms, &watched, &d);
	}
	return d;
}

static struct rollout_decision at(unsigned second)
{
	return at_ms(T0 + second * S);
}

static void moves_to(unsigned second, enum release_move move)
{
	struct rollout_decision d = at(second);

	ck_assert_msg(d.move == move, "at %u s: %d, not %d (%s)", second,
		      (int)d.move, (int)move, d.reason);
}

START_TEST(a_step_bakes_then_goes_on)
{
	ck_assert_uint_eq(at(0).due_ms, T0 + 30 * S);
	moves_to(10, 0);
	ck_assert_uint_eq(at(29).due_ms, T0 + 30 * S);
	moves_to(30, MOVE_ADVANCE);
}
END_TEST

START_TEST(a_step_that_has_not_begun_begins)
{
	facts.is_begun = false;
	moves_to(0, MOVE_STEP_BEGUN);
}
END_TEST

START_TEST(baking_stands_still_while_nobody_knows)
{
	moves_to(0, 0);
	moves_to(20, 0);
	tally.known = 9;
	moves_to(21, 0);
	ck_assert_uint_eq(at(50).due_ms, T0 + 600 * S);
	tally.known = 10;
	ck_assert_uint_eq(at(60).due_ms, T0 + 70 * S);   /* 20 of 30 are behind it */
	moves_to(69, 0);
	moves_to(70, MOVE_ADVANCE);
}
END_TEST

START_TEST(rejections_fail_it_at_once)
{
	tally.applied = 0;
	tally.known = 2;
	tally.rejected = 1;
	moves_to(0, 0);
	tally.rejected = 2;
	moves_to(1, MOVE_ROLLBACK);
	strat.pauses = true;
	moves_to(1, MOVE_PAUSE);
}
END_TEST

START_TEST(lost_ones_fail_it_unless_told_otherwise)
{
	tally.applied = 8;
	tally.lost = 2;
	moves_to(0, MOVE_ROLLBACK);
	strat.lost_counts = false;
	moves_to(0, 0);
}
END_TEST

START_TEST(one_that_is_about_to_be_lost_is_looked_at_in_time)
{
	tally.applied = 8;
	tally.next_lost_ms = T0 + 7 * S;
	ck_assert_uint_eq(at(0).due_ms, T0 + 7 * S);
}
END_TEST

START_TEST(it_fails_also_in_its_pause)
{
	steps[0].pause_ms = 300 * S;
	moves_to(0, 0);
	ck_assert_uint_eq(at(30).due_ms, T0 + 300 * S);
	tally.applied = 8;
	tally.rejected = 2;
	moves_to(100, MOVE_ROLLBACK);
}
END_TEST

START_TEST(a_pause_counts_from_the_beginning_of_the_step)
{
	steps[0].pause_ms = 300 * S;
	moves_to(0, 0);
	moves_to(30, 0);
	moves_to(299, 0);
	moves_to(300, MOVE_ADVANCE);
	/* Not while somebody had it paused. */
	facts.paused_ms = 50 * S;
	moves_to(300, 0);
	moves_to(350, MOVE_ADVANCE);
}
END_TEST

START_TEST(a_manual_pause_waits_for_somebody)
{
	steps[0].is_manual = true;
	moves_to(0, 0);
	moves_to(30, 0);
	moves_to(100000, 0);
	ck_assert_uint_eq(at(100000).due_ms, 0);
}
END_TEST

START_TEST(a_step_that_takes_too_long_has_failed)
{
	tally.applied = 5;
	moves_to(0, 0);
	ck_assert_uint_eq(at(10).due_ms, T0 + 600 * S);
	moves_to(599, 0);
	moves_to(600, MOVE_ROLLBACK);
	ck_assert_ptr_nonnull(strstr(at(600).reason, "timeout"));
	facts.paused_ms = 100 * S;
	moves_to(699, 0);
	moves_to(700, MOVE_ROLLBACK);
	/* One that has baked waits for as long as it likes. */
	setup();
	steps[0].is_manual = true;
	moves_to(0, 0);
	moves_to(30, 0);
	tally.known = 0;
	moves_to(700, 0);
}
END_TEST

START_TEST(a_new_leader_has_time_to_hear_of_it)
{
	steps[0].pause_ms = 3000 * S;
	/* It begins to look long after the timeout; all is well, and bakes again. */
	moves_to(1000, 0);
	tally.known = 0;
	moves_to(1020, 0);
	tally.known = 10;
	moves_to(1025, 0);
	moves_to(1055, 0);
	moves_to(3000, MOVE_ADVANCE);
	/* Nothing is heard: then it is late. */
	setup();
	tally.known = 0;
	moves_to(1000, 0);
	moves_to(1059, 0);
	moves_to(1060, MOVE_ROLLBACK);
}
END_TEST

START_TEST(a_new_leader_goes_on_with_the_bake)
{
	moves_to(0, 0);
	moves_to(20, 0);
	change_leader();
	/* It has not heard of them: that undoes nothing. */
	tally.known = 0;
	moves_to(22, 0);
	ck_assert_uint_eq(facts.met_ms, T0);
	tally.known = 10;
	moves_to(25, 0);
	moves_to(29, 0);
	moves_to(30, MOVE_ADVANCE);
	ck_assert_uint_eq(noted, 1);
}
END_TEST

START_TEST(a_new_leader_ends_the_step_when_it_has_heard_of_it)
{
	moves_to(0, 0);
	change_leader();
	tally.known = 0;
	moves_to(28, 0);
	moves_to(35, 0);
	tally.known = 10;
	moves_to(36, MOVE_ADVANCE);
}
END_TEST

START_TEST(a_new_leader_does_not_wait_forever)
{
	moves_to(0, 0);
	moves_to(10, 0);
	change_leader();
	tally.known = 9;
	ck_assert_uint_eq(at(20).due_ms, T0 + 50 * S);
	ck_assert_uint_ne(facts.met_ms, 0);
	/* What was recorded before it is all that counts: nothing. */
	moves_to(50, 0);
	ck_assert_uint_eq(facts.met_ms, 0);
	ck_assert_uint_eq(facts.baked_ms, 0);
	tally.known = 10;
	moves_to(60, 0);
	moves_to(89, 0);
	moves_to(90, MOVE_ADVANCE);
}
END_TEST

START_TEST(what_was_baked_before_counts_for_a_new_leader)
{
	moves_to(0, 0);
	tally.known = 9;
	moves_to(12, 0);                         /* it was met at 0 alone */
	tally.known = 10;
	moves_to(20, 0);
	moves_to(25, 0);
	tally.known = 9;
	moves_to(26, 0);
	ck_assert_uint_eq(facts.baked_ms, 5 * S);
	tally.known = 10;
	moves_to(40, 0);
	ck_assert_uint_eq(facts.met_ms, T0 + 40 * S);
	change_leader();
	moves_to(64, 0);
	moves_to(65, MOVE_ADVANCE);
}
END_TEST

START_TEST(a_new_leader_turns_back_at_once)
{
	moves_to(0, 0);
	change_leader();
	tally.known = tally.rejected = 2;
	tally.applied = 0;
	moves_to(1, MOVE_ROLLBACK);
}
END_TEST

START_TEST(what_comes_and_goes_is_noted_now_and_then)
{
	uint64_t end = T0 + 20 * S;

	for (uint64_t now = T0; now < end; now += 50) {
		tally.known = now / 50 % 2 ? 9 : 10;
		ck_assert_int_eq(at_ms(now).move, 0);
	}
	ck_assert_uint_ge(noted, 20);
	ck_assert_uint_le(noted, 42);
}
END_TEST

START_TEST(the_other_phases)
{
	facts.phase = ROLLOUT_QUEUED;
	facts.is_blocked = true;
	moves_to(0, 0);
	ck_assert_uint_eq(at(0).due_ms, 0);
	facts.is_blocked = false;
	moves_to(0, MOVE_START);
	facts.phase = ROLLOUT_PAUSED;
	tally.rejected = 10;
	moves_to(100000, 0);
	facts.phase = ROLLOUT_COMPLETED;
	facts.completed_ms = T0;
	ck_assert_uint_eq(at(10).due_ms, T0 + 3600 * S);
	moves_to(3599, 0);
	moves_to(3600, MOVE_FORGET);
	for (facts.phase = ROLLOUT_ROLLED_BACK; facts.phase < ROLLOUT__END;
	     facts.phase++)
		moves_to(100000, 0);
}
END_TEST

START_TEST(a_pause_by_hand_bakes_anew)
{
	moves_to(0, 0);
	moves_to(29, 0);
	facts.phase = ROLLOUT_PAUSED;
	facts.met_ms = facts.baked_ms = 0;
	moves_to(29, 0);
	facts.phase = ROLLOUT_PROGRESSING;
	facts.paused_ms = 10 * S;
	moves_to(39, 0);
	moves_to(68, 0);
	moves_to(69, MOVE_ADVANCE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model/rollout");
	TCase *t = tcase_create("rollout");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, every_move_from_everywhere);
	tcase_add_test(t, what_is_no_phase_and_no_move_moves_nothing);
	tcase_add_loop_test(t, shares, 0, ARRAY_LEN(conditions));
	tcase_add_test(t, so_many_must_be_there);
	tcase_add_loop_test(t, what_others_say, 0, ARRAY_LEN(verdicts));
	tcase_add_test(t, the_reason_names_who_and_why);
	tcase_add_test(t, a_step_bakes_then_goes_on);
	tcase_add_test(t, a_step_that_has_not_begun_begins);
	tcase_add_test(t, baking_stands_still_while_nobody_knows);
	tcase_add_test(t, rejections_fail_it_at_once);
	tcase_add_test(t, lost_ones_fail_it_unless_told_otherwise);
	tcase_add_test(t, one_that_is_about_to_be_lost_is_looked_at_in_time);
	tcase_add_test(t, it_fails_also_in_its_pause);
	tcase_add_test(t, a_pause_counts_from_the_beginning_of_the_step);
	tcase_add_test(t, a_manual_pause_waits_for_somebody);
	tcase_add_test(t, a_step_that_takes_too_long_has_failed);
	tcase_add_test(t, a_new_leader_has_time_to_hear_of_it);
	tcase_add_test(t, a_new_leader_goes_on_with_the_bake);
	tcase_add_test(t, a_new_leader_ends_the_step_when_it_has_heard_of_it);
	tcase_add_test(t, a_new_leader_does_not_wait_forever);
	tcase_add_test(t, what_was_baked_before_counts_for_a_new_leader);
	tcase_add_test(t, a_new_leader_turns_back_at_once);
	tcase_add_test(t, what_comes_and_goes_is_noted_now_and_then);
	tcase_add_test(t, the_other_phases);
	tcase_add_test(t, a_pause_by_hand_bakes_anew);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
