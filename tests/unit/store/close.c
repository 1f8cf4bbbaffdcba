/* How a store ends: what it still writes, and that nothing holds it for long. */
#include "lab.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "store/calls.h"
#include "wire/wire.h"

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

struct worker {
	struct str bytes;
	enum code rc;
	struct outcome out;
};

static void *submit_wait(void *arg)
{
	struct worker *w = arg;
	struct err err;

	w->rc = store_submit_wait(lab[0].store, w->bytes, lab_arena, &w->out,
				  &err);
	return NULL;
}

/* Its outcome does not come, and whoever ends the store waits for the worker first. */
START_TEST(a_worker_waits_so_long_and_no_longer)
{
	struct worker w = { .bytes = lab_encode(lab_put("acme", 1)) };
	uint64_t from = clock_mono_ms();
	pthread_t thread;

	lab_hold_ms = 60000;
	lab_start(1, 3);
	ck_assert_int_eq(pthread_create(&thread, NULL, submit_wait, &w), 0);
	store_end_waits(lab[0].store, 300);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(w.rc, E_UNCERTAIN);
	ck_assert_uint_ge(clock_mono_ms() - from, 300);
	ck_assert_uint_lt(clock_mono_ms() - from, 20000);
	/* And at once from then on. */
	submit_wait(&w);
	ck_assert_int_eq(w.rc, E_UNCERTAIN);
	lab_stop(1);
}
END_TEST

#ifdef CONFLUX_FAILPOINTS
/* The node can apply no more: who waits for what is under way is told soon. */
START_TEST(who_waits_for_what_cannot_be_applied_is_told)
{
	struct lab_write w;
	struct err err;
	uint64_t from;

	lab_may_fail = true;
	lab_start_alone();
	ck_assert_int_eq(lab_write(&w, 1, lab_encode(lab_put("acme", 1)))->code,
			 OK);
	ck_assert_int_eq(failpoint_set("kv.commit=error*1", &err), OK);
	from = clock_mono_ms();
	ck_assert_int_eq(lab_write(&w, 1,
				   lab_encode(lab_put("blue", _i)))->code,
			 E_UNCERTAIN);
	ck_assert_uint_lt(clock_mono_ms() - from, 10000);
	ck_assert(lab_status(1).has_failed);
	ck_assert_int_eq(lab_write(&w, 1, lab_encode(lab_put("cyan", 9)))->code,
			 E_UNAVAILABLE);
}
END_TEST
#endif

/* The others elect nobody: the next term is the one that was handed over. */
START_TEST(a_leader_hands_over)
{
	unsigned leader;
	uint64_t term;
	struct lab_write w;

	lab_steady();
	leader = lab_found(3);
	term = lab_status(leader).node.term;
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
	unsigned leader;
	uint64_t term;

	lab_steady();
	leader = lab_found(3);
	term = lab_status(leader).node.term;
	store_hand_over(lab[lab_other(leader) - 1].store, 20000);
	ck_assert(store_leads(lab[leader - 1].store));
	ck_assert_uint_eq(lab_status(leader).node.term, term);
}
END_TEST

/* ---- while it stops ---- */

static struct rpc_token asked;
static _Atomic bool is_asked;

static void on_call(unsigned method, const struct rc_request *r)
{
	asked = r->token;
	atomic_store(&is_asked, true);
}

static struct loop *home;
static struct store_write late;
static uint64_t told_rev;

static void note(struct store_write *w, const struct outcome *o)
{
	told = o->code;
	told_rev = o->rev;
}

static void submit_late(unsigned at, uint64_t key)
{
	told = E_INTERNAL;
	home = loop_new("gone", 0);
	late = (struct store_write){ .home = home, .done = note,
				     .bytes = lab_encode(lab_put("acme", key)) };
	ck_assert(store_submit(lab[at - 1].store, &late));
}

/* What it was told before its loop goes, which is before the store does. */
static enum code told_late(void)
{
	loop_free(&home);
	return told;
}

/* A write that the leader, of straw, has and does not answer. */
static void sent(uint64_t key)
{
	atomic_store(&is_asked, false);
	lab_straw(BIT(STORE_METHOD_SUBMIT) | BIT(STORE_METHOD_BATCH), on_call);
	submit_late(2, key);
	LAB_WAIT(atomic_load(&is_asked));
}

static void noted(struct rc_call *call, enum code rc, struct str answer,
		  const struct err *err)
{
	atomic_store(&is_asked, true);
}

/* On the way of answers to it, and behind them: it has taken in what came before. */
static void ask_node_2(void)
{
	static struct rc_call call;

	call = (struct rc_call){ .peer = 2, .method = RC_METHODS_MAX,
				 .timeout_ms = 60000, .done = noted };
	atomic_store(&is_asked, false);
	ck_assert(rc_call(lab_straw_node, &call));
	LAB_WAIT(atomic_load(&is_asked));
}

static void *stop(void *store)
{
	store_stop(store);
	return NULL;
}

static void ignored(struct store_write *w, const struct outcome *o)
{
}

/* Begins to stop node 'id', whose core loop is held, and waits until it takes no more. */
static pthread_t begin_to_stop(unsigned id)
{
	static struct store_write more[30000];
	struct str bytes = lab_encode(lab_put("more", 0));
	pthread_t thread;
	unsigned n = 0;

	ck_assert_int_eq(pthread_create(&thread, NULL, stop, lab[id - 1].store), 0);
	for (bool takes = true; takes; n += takes) {
		ck_assert_uint_lt(n, ARRAY_LEN(more));
		more[n] = (struct store_write){ .bytes = bytes, .done = ignored,
						  .home = store_core_loop(lab[id - 1].store) };
		takes = store_submit(lab[id - 1].store, &more[n]);
		lab_pause();
	}
	return thread;
}

/* Also one that could be sent again waits for nobody then: nobody would look. */
START_TEST(what_the_leader_has_is_told_when_the_node_stops)
{
	lab_hold_ms = 60000;
	sent(_i ? 7 : 0);
	store_stop(lab[1].store);
	ck_assert_int_eq(told_late(), E_UNCERTAIN);
}
END_TEST

/* What it says is told, though the revision that it names does not come here. */
START_TEST(an_answer_that_comes_while_the_node_stops_is_told)
{
	struct outcome o = { .rev = 1000000 };
	AUTO_BUF answer = BUF_NONE;
	pthread_t thread;

	sent(7);
	lab_hold(2);
	thread = begin_to_stop(2);
	wr_u64(&answer, o.rev);
	outcome_encode(&answer, &o);
	rc_answer(lab_straw_node, asked, OK, buf_view(&answer), NULL);
	ask_node_2();
	lab_let_go();
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(told_late(), OK);
	ck_assert_uint_eq(told_rev, o.rev);
}
END_TEST

/* It has its outcome, and waited for what it names to come here. */
START_TEST(who_waits_for_a_revision_is_told_when_the_node_stops)
{
	struct outcome o = { .rev = 1000000 };
	AUTO_BUF answer = BUF_NONE;

	sent(7);
	wr_u64(&answer, o.rev);
	outcome_encode(&answer, &o);
	rc_answer(lab_straw_node, asked, OK, buf_view(&answer), NULL);
	ask_node_2();
	lab_hold(2);
	lab_let_go();
	store_stop(lab[1].store);
	ck_assert_int_eq(told_late(), OK);
}
END_TEST

/* It is not proposed any more, so that it is certain that nothing happened. */
START_TEST(what_comes_last_did_not_happen)
{
	pthread_t thread;

	lab_start_alone();
	LAB_WAIT(lab_status(1).is_ready);
	lab_hold(1);
	submit_late(1, 1);
	thread = begin_to_stop(1);
	lab_let_go();
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(told_late(), E_UNAVAILABLE);
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
	tcase_add_test(t, a_worker_waits_so_long_and_no_longer);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(t, who_waits_for_what_cannot_be_applied_is_told, 0, 2);
#endif
	tcase_add_test(t, a_leader_hands_over);
	tcase_add_test(t, who_does_not_lead_or_is_alone_hands_nothing_over);
	tcase_add_loop_test(t, what_the_leader_has_is_told_when_the_node_stops, 0, 2);
	tcase_add_test(t, an_answer_that_comes_while_the_node_stops_is_told);
	tcase_add_test(t, who_waits_for_a_revision_is_told_when_the_node_stops);
	tcase_add_test(t, what_comes_last_did_not_happen);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
