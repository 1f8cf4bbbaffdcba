/* What does not come to the engine, though it is well-formed: of a peer, or of who
 * changes the membership. */
#include "trio.h"

#include "base/failpoint.h"
#include "node/guard.h"

#include "base/banned.h"

/* Nobody would take it from the log, this server at its next start neither. */
START_TEST(a_server_without_a_number_is_not_added)
{
	struct peer *leader;
	uint64_t last;

	trio_bootstrap(3);
	for (unsigned i = 1; i <= 3; i++)
		trio_start(i, 1);
	ck_assert(trio_elect());
	leader = trio_leader();
	trio_pass(200);
	last = leader->last;
	ck_assert_int_eq(trio_change(leader, ENGINE_ADD, 0, false), E_INVALID);
	ck_assert_uint_eq(leader->last, last);
	ck_assert_int_eq(trio_change(leader, ENGINE_ADD, 4, false), OK);
}
END_TEST

/* The engine would wait for a checkpoint that nobody brings, for good. */
START_TEST(no_peer_has_a_checkpoint_installed)
{
	static const struct engine_peer peer = { 1, "a:1", true };
	struct engine_message install = { .type = ENGINE_M_INSTALL, .term = 1,
					  .install = { .index = 9, .term = 1,
						       .conf_index = 1 } };
	AUTO_BUF conf = BUF_NONE;
	struct err err;

	engine_bootstrap(&conf, &peer, 1);
	install.install.conf = buf_view(&conf);
	ck_assert(guard_conf(install.install.conf));
	ck_assert_int_eq(guard_message(&install, &err), E_INVALID);
}
END_TEST

/* Histories have not shown what this rule of guard C saves; it is the thesis's.  That it is
 * there: the next change waits for who has not stored the last one. */
START_TEST(no_change_before_all_voters_have_the_last)
{
	struct guard_change change = { .takes_vote = true, .is_caught_up = true,
				       .voters_before = 4, .voters_after = 3 };
	struct err err;

	ck_assert_int_eq(guard_change(&change, &err), E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.text, "has not stored the last change"));
	change.all_have_last = true;
	ck_assert_int_eq(guard_change(&change, &err), OK);
	change.all_have_last = false;
	ck_assert_int_eq(failpoint_set("guard.c_reached=error", &err), OK);
	ck_assert_int_eq(guard_change(&change, &err), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/refused");
	TCase *t = tcase_create("refused");

	tcase_add_checked_fixture(t, trio_setup, trio_teardown);
	tcase_add_test(t, a_server_without_a_number_is_not_added);
	tcase_add_test(t, no_peer_has_a_checkpoint_installed);
	tcase_add_test(t, no_change_before_all_voters_have_the_last);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
