/* How a store ends: what it still writes, and that nothing holds it for long. */
#include "lab.h"

#include "base/clock.h"

#include "base/banned.h"

static bool is_denial(void *data, const struct audit_row *row,
		      bool hash_is_right)
{
	struct buf *out = data;

	ck_assert(hash_is_right);
	if (str_is(row->action, "denied"))
		buf_printf(out, "%.*s;", STR_ARG(row->target));
	return true;
}

/* What the audit log says of denials. */
static const char *denials(unsigned id)
{
	struct err err = { 0 };
	struct view *view;
	struct kv_txn *txn;
	AUTO_BUF out = BUF_NONE;

	ck_assert_int_eq(view_new(lab[id - 1].store, &view, &err), OK);
	ck_assert_int_eq(view_use(view, 0, &txn, &err), OK);
	ck_assert_int_eq(view_audit(txn, 0, is_denial, &out, &err), OK);
	view_free(&view);
	return arena_z(lab_arena, buf_view(&out));
}

START_TEST(what_was_denied_last_is_written)
{
	struct lab_write w;

	lab_found(1);
	ck_assert_int_eq(lab_write(&w, 1, lab_encode(lab_put("acme", 1)))->code,
			 OK);
	store_denied_from(lab[0].store, "203.0.113.7", STR("get, unauthorized"));
	store_denied_from(lab[0].store, "203.0.113.8", STR("get, unauthorized"));
	store_denied(lab[0].store, STR("token:ci"), STR("publish, denied"));
	lab_stop(1);
	lab_start(1, 1);
	LAB_WAIT(lab_status(1).is_ready);
	ck_assert_str_eq(denials(1),
			 "denied 2 times address 203.0.113.0/24: get, "
			 "unauthorized, denied 1 times token:ci: publish, "
			 "denied;");
}
END_TEST

/* There is nobody to write it. */
START_TEST(without_a_leader_it_ends_all_the_same)
{
	uint64_t from;

	lab_hold_ms = 60000;
	lab_start(1, 3);
	store_denied(lab[0].store, STR("token:ci"), STR("publish, denied"));
	from = clock_mono_ms();
	lab_stop(1);
	ck_assert_uint_lt(clock_mono_ms() - from, 20000);
}
END_TEST

static enum code told;

static void note_code(struct store_write *w, const struct outcome *o)
{
	told = o->code;
}

/* Nobody reads its loop any more, which is there until the store has stopped. */
START_TEST(who_has_gone_is_told_before_his_loop_goes)
{
	struct loop *home = loop_new("gone", 0);
	struct store_write w = { .home = home, .done = note_code,
				 .bytes = lab_encode(lab_put("acme", 1)) };

	told = OK;
	lab_hold_ms = 60000;
	lab_start(1, 3);
	ck_assert(store_submit(lab[0].store, &w));
	store_stop(lab[0].store);
	ck_assert_int_eq(told, OK);
	loop_free(&home);
	ck_assert_int_eq(told, E_UNAVAILABLE);
	lab_stop(1);
}
END_TEST

/* The others elect nobody: the next term is the one that was handed over. */
START_TEST(a_leader_hands_over)
{
	unsigned leader = lab_found(3);
	uint64_t term = lab_status(leader).node.term;
	struct lab_write w;

	ck_assert_int_eq(lab_write(&w, leader, lab_encode(lab_put("acme", 1)))->code,
			 OK);
	store_hand_over(lab[leader - 1].store, 20000);
	ck_assert(!store_leads(lab[leader - 1].store));
	ck_assert_uint_eq(lab_status(leader).node.term, term + 1);
	lab_stop(leader);
	ck_assert_int_eq(lab_write(&w, lab_other(leader),
				   lab_encode(lab_put("blue", 2)))->code, OK);
	ck_assert_uint_eq(lab_status(lab_other(leader)).node.term, term + 1);
}
END_TEST

START_TEST(who_does_not_lead_or_is_alone_hands_nothing_over)
{
	unsigned leader = lab_found(3);
	uint64_t term = lab_status(leader).node.term;

	store_hand_over(lab[lab_other(leader) - 1].store, 20000);
	ck_assert(store_leads(lab[leader - 1].store));
	ck_assert_uint_eq(lab_status(leader).node.term, term);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("store/close");
	TCase *t = tcase_create("close");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_add_test(t, what_was_denied_last_is_written);
	tcase_add_test(t, without_a_leader_it_ends_all_the_same);
	tcase_add_test(t, who_has_gone_is_told_before_his_loop_goes);
	tcase_add_test(t, a_leader_hands_over);
	tcase_add_test(t, who_does_not_lead_or_is_alone_hands_nothing_over);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
