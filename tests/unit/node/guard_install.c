/*
 * Guard I: a peer that installs a checkpoint refuses what follows another one than it was
 * asked for.
 */
#include "trio.h"

#include "base/failpoint.h"
#include "node/guard.h"

#include "base/banned.h"

static void switch_off(const char *spec)
{
	struct err err;

	ck_assert_msg(failpoint_set(spec, &err) == OK, "%s", err.text);
}

static void take_snapshot(struct peer *p)
{
	struct engine_snapshot s = { p->last, p->term, 1, p->log[1].data };
	struct engine_update u;

	ck_assert_int_eq(engine_snapshot_taken(p->e, trio_now, &s, 64, &u,
					       &trio_err), OK);
	trio_handle(p, &u, NULL);
}

/* Two of three lead, and have checkpoints only of the first 15 entries. */
static struct peer *leads_beyond_a_snapshot(void)
{
	trio_bootstrap(3);
	for (unsigned i = 0; i < 15; i++)
		trio_put(1, 1), trio_put(2, 1);
	trio_snapshot(1, 15, 1, true);
	trio_snapshot(2, 15, 1, true);
	trio_start(1, 1);
	trio_start(2, 1);
	ck_assert(trio_elect());
	trio_pass(200);
	return trio_leader();
}

static void answer_of_3(struct peer *leader, uint64_t rejected, uint64_t last)
{
	struct engine_message m = {
		.type = ENGINE_M_APPEND_RESULT, .term = leader->term,
		.append_result = { .rejected = rejected, .last_index = last },
	};

	trio_feed((unsigned)leader->id, 3, m);
}

static void newer(struct peer *leader)
{
	ck_assert_int_eq(trio_submit(leader, 10), OK);
	trio_settle();
	ck_assert_uint_eq(leader->commit, leader->last);
	take_snapshot(leader);
}

static uint64_t asked_for(const struct peer *leader)
{
	const struct engine_message *m = trio_sent((unsigned)leader->id,
						   ENGINE_M_INSTALL);

	ck_assert_ptr_nonnull(m);
	return m->install.index;
}

/* Server 3 is asked for one checkpoint, then for a newer one, and has the first
 * when there is a third: whether it is sent what follows. */
static bool is_sent_the_rest(void)
{
	struct peer *leader = leads_beyond_a_snapshot();
	const struct engine_message *last;
	uint64_t first;

	newer(leader);
	answer_of_3(leader, 16, 0);              /* its log is empty */
	first = asked_for(leader);
	ck_assert_uint_eq(first, leader->last);
	newer(leader);
	answer_of_3(leader, first, 0);           /* to a heartbeat before it */
	ck_assert_uint_eq(asked_for(leader), leader->last);
	newer(leader);
	answer_of_3(leader, 0, first);           /* the first is installed */
	for (unsigned i = 0; i < 20; i++) {      /* and each heartbeat refused */
		answer_of_3(leader, leader->last, first);
		last = trio_sent((unsigned)leader->id, ENGINE_M_APPEND);
		if (last->peer == 3 && last->append.n)
			return last->append.prev_index == first;
		trio_pass(50);
	}
	return false;
}

START_TEST(who_installed_an_older_checkpoint_is_sent_the_rest)
{
	ck_assert(is_sent_the_rest());
}
END_TEST

START_TEST(without_guard_i_it_is_told_nothing)
{
	switch_off("guard.i=error");
	ck_assert(!is_sent_the_rest());
}
END_TEST

/* Server 3 has installed what it was asked for while a newer one was taken, and refused
 * two heartbeats meanwhile. */
START_TEST(who_has_what_it_was_asked_for_is_not_sent_it_again)
{
	struct peer *leader = leads_beyond_a_snapshot();
	const struct engine_message *last;
	uint64_t first;

	ck_assert(guard_refuses_install(185, 160, 185, 27));
	ck_assert(!guard_refuses_install(185, 160, 185, 160));
	ck_assert(!guard_refuses_install(160, 160, 185, 27));
	ck_assert(!guard_refuses_install(186, 160, 185, 27));
	ck_assert(!guard_refuses_install(185, 0, 185, 0));
	newer(leader);
	answer_of_3(leader, 16, 0);
	first = asked_for(leader);
	newer(leader);
	answer_of_3(leader, 0, first);
	for (unsigned i = 0; i < 3; i++) {
		answer_of_3(leader, leader->last, first);
		last = trio_sent((unsigned)leader->id, ENGINE_M_APPEND);
		ck_assert_uint_eq(last->peer, 3);
		ck_assert_uint_eq(last->append.prev_index, first);
		ck_assert_uint_eq(last->append.n, leader->last - first);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/guard_install");
	TCase *t = tcase_create("guard_install");

	tcase_add_checked_fixture(t, trio_setup, trio_teardown);
	tcase_add_test(t, who_installed_an_older_checkpoint_is_sent_the_rest);
	tcase_add_test(t, without_guard_i_it_is_told_nothing);
	tcase_add_test(t, who_has_what_it_was_asked_for_is_not_sent_it_again);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
