/* Checked state machines. */
#include "base/fsm.h"
#include "base/str.h"
#include "unit.h"

#include "base/banned.h"

enum { WAITING, GRANTED, REFUSED, N_STATES };

static const struct fsm_state states[N_STATES] = {
	[WAITING] = { "waiting", BIT(GRANTED) | BIT(REFUSED) | BIT(WAITING) },
	[GRANTED] = { "granted", 0, .end = true },
	[REFUSED] = { "refused", BIT(WAITING) },
};

struct story {
	unsigned moves, from, to;
	char why[40];
};

static void on_move(void *data, const struct fsm *fsm, unsigned from,
		    const char *why)
{
	struct story *story = data;

	story->moves++;
	story->from = from;
	story->to = fsm->state;
	str_copy(story->why, sizeof(story->why), str_of(why));
}

START_TEST(moves_are_told)
{
	struct story story = { 0 };
	struct fsm fsm;

	fsm_init(&fsm, "gate", states, N_STATES, WAITING);
	ck_assert_str_eq(fsm_name(&fsm), "waiting");
	ck_assert(!fsm_ended(&fsm));
	fsm.on_move = on_move;
	fsm.data = &story;
	fsm_move(&fsm, REFUSED, "not now");
	ck_assert_uint_eq(story.moves, 1);
	ck_assert_uint_eq(story.from, WAITING);
	ck_assert_uint_eq(story.to, REFUSED);
	ck_assert_str_eq(story.why, "not now");
	fsm_move(&fsm, WAITING, "again");
	fsm_move(&fsm, WAITING, "still");
	fsm_move(&fsm, GRANTED, "second approver signed");
	ck_assert_uint_eq(story.moves, 4);
	ck_assert(fsm_ended(&fsm));
}
END_TEST

START_TEST(try_says_whether)
{
	struct story story = { 0 };
	struct fsm fsm;

	fsm_init(&fsm, "gate", states, N_STATES, REFUSED);
	fsm.on_move = on_move;
	fsm.data = &story;
	ck_assert(!fsm_try(&fsm, GRANTED, "no"));
	ck_assert(!fsm_try(&fsm, 77, "no"));
	ck_assert_str_eq(fsm_name(&fsm), "refused");
	ck_assert_uint_eq(story.moves, 0);
	ck_assert(fsm_try(&fsm, WAITING, "yes"));
	ck_assert_uint_eq(story.moves, 1);
}
END_TEST

START_TEST(illegal_move_aborts)
{
	struct fsm fsm;

	fsm_init(&fsm, "gate", states, N_STATES, GRANTED);
	fsm_move(&fsm, WAITING, "out of an end");
}
END_TEST

START_TEST(unknown_state_aborts)
{
	struct fsm fsm;

	fsm_init(&fsm, "gate", states, N_STATES, WAITING);
	fsm_move(&fsm, N_STATES, "nowhere");
}
END_TEST

START_TEST(hole_in_the_table_aborts)
{
	static const struct fsm_state holed[2] = { [1] = { "one", 0 } };
	struct fsm fsm;

	fsm_init(&fsm, "gate", holed, 2, 1);
}
END_TEST

START_TEST(end_with_a_way_out_aborts)
{
	static const struct fsm_state bad[1] = {
		{ "end", BIT(0), .end = true }
	};
	struct fsm fsm;

	fsm_init(&fsm, "gate", bad, 1, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base/fsm");
	TCase *t = tcase_create("fsm");

	tcase_add_test(t, moves_are_told);
	tcase_add_test(t, try_says_whether);
	tcase_add_test_raise_signal(t, illegal_move_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, unknown_state_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, hole_in_the_table_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, end_with_a_way_out_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
