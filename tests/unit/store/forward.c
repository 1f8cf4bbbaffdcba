/*
 * Writes that are forwarded: many travel together, each has its own outcome, and
 * nothing is held, sent or answered without bounds.
 */
#include "lab.h"
#include "store/calls.h"

#include <stdio.h>

#include "base/clock.h"
#include "store/batch.h"
#include "wire/wire.h"

#include "base/banned.h"

#define SINGLE BIT(STORE_METHOD_SUBMIT)
#define BATCH BIT(STORE_METHOD_BATCH)

static struct lab_write writes[9000];

/* ---- two real nodes and more ---- */

static const char *name_of(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "t%u", i);
	return name;
}

/* Submits writes 'from' up to 'to' at once: the core loop of 'at' finds them
 * together. */
static void submit_all(unsigned at, unsigned from, unsigned to)
{
	lab_hold(at);
	for (unsigned i = from; i < to; i++)
		lab_submit(&writes[i], at, lab_encode(lab_put(name_of(i), i + 1)));
	lab_let_go();
}

START_TEST(many_travel_together_and_each_has_its_outcome)
{
	struct store_status before, after;
	unsigned leader, at;
	uint64_t last = 0;
	struct command *c;

	lab_steady();
	leader = lab_found(3);
	at = lab_other(leader);
	before = lab_status(at);
	lab_hold(at);
	for (unsigned i = 0; i < 1000; i++) {
		c = lab_put(name_of(i == 500 ? 100 : i), i + 1);
		c->ops[0].expect = REV_NONE;
		lab_submit(&writes[i], at, lab_encode(c));
	}
	lab_let_go();
	for (unsigned i = 0; i < 1000; i++) {
		const struct outcome *o = lab_done(&writes[i]);

		if (i == 500) {
			ck_assert_int_eq(o->code, E_EXISTS);
			continue;
		}
		ck_assert_msg(o->code == OK, "%u: %s", i, o->text);
		/* In order, and visible here. */
		ck_assert_uint_gt(o->rev, last);
		ck_assert_uint_le(o->rev, store_rev(lab[at - 1].store));
		last = o->rev;
	}
	after = lab_status(at);
	ck_assert_uint_eq(after.writes_forwarded - before.writes_forwarded, 1000);
	ck_assert_uint_eq(after.forward_calls - before.forward_calls,
			  (1000 + BATCH_COUNT_MAX - 1) / BATCH_COUNT_MAX);
}
END_TEST

/* A minute is longer than any test. */
START_TEST(a_follower_gathers_what_nobody_waits_for)
{
	unsigned leader, at, other;
	const struct outcome *o;

	lab_gather_ms = 60000;
	lab_steady();
	leader = lab_found(3);
	at = lab_other(leader);
	other = 6 - leader - at;
	for (unsigned i = 0; i < 10; i++) {
		o = lab_write(&writes[i], at, lab_encode(lab_put(name_of(i), i + 1)));
		ck_assert_int_eq(o->code, OK);
		ck_assert_uint_le(o->rev, store_rev(lab[at - 1].store));
	}
	o = lab_write(&writes[10], leader, lab_encode(lab_put("last", 11)));
	ck_assert_int_eq(o->code, OK);
	ck_assert_uint_lt(store_rev(lab[other - 1].store), o->rev);
	ck_assert_uint_lt(store_rev(lab[at - 1].store), o->rev);
	store_hurry(lab[other - 1].store, true);
	LAB_WAIT(store_rev(lab[other - 1].store) >= o->rev);
	store_hurry(lab[other - 1].store, false);
}
END_TEST

/* One alone, and many. */
START_TEST(the_clock_of_the_leader_counts)
{
	unsigned leader = lab_found(3), at = lab_other(leader);
	unsigned n = _i ? 10 : 1;
	uint64_t now_ms = clock_wall_ms();

	lab_hold(at);
	for (unsigned i = 0; i < n; i++) {
		struct command *c = lab_put(name_of(i), 0);

		c->time_ms = now_ms + 86400000;
		lab_submit(&writes[i], at, lab_encode(c));
	}
	lab_let_go();
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(lab_done(&writes[i])->code, OK);
	ck_assert_uint_ge(lab_status(leader).time_ms, now_ms);
	ck_assert_uint_lt(lab_status(leader).time_ms, now_ms + 3600000);
}
END_TEST

START_TEST(what_is_under_way_goes_to_the_next_leader)
{
	unsigned leader, at;

	lab_hold_ms = 20000;
	leader = lab_found(3);
	at = lab_other(leader);
	submit_all(at, 0, 300);
	lab_stop(leader);
	submit_all(at, 300, 600);
	for (unsigned i = 0; i < 600; i++) {
		const struct outcome *o = lab_done(&writes[i]);

		ck_assert_msg(o->code == OK, "%u: %s", i, o->text);
	}
	/* Each has its key, so nothing was done twice. */
	for (unsigned i = 0; i < 600; i++)
		for (unsigned k = 0; k < i; k++)
			ck_assert_uint_ne(writes[i].outcome.rev,
					  writes[k].outcome.rev);
}
END_TEST

/* ---- the leader is gone, and still named ---- */

struct question {
	struct store_ask ask;
	enum code rc;
	_Atomic bool is_done;
};

static void on_answer(struct store_ask *ask, enum code rc, struct str answer,
		      const struct err *err)
{
	struct question *q = container_of(ask, struct question, ask);

	q->rc = rc;
	atomic_store(&q->is_done, true);
}

static void ask(struct question *q, unsigned at)
{
	q->ask = (struct store_ask){ .timeout_ms = 120000, .done = on_answer };
	atomic_store(&q->is_done, false);
	ck_assert(store_ask(lab[at - 1].store, &q->ask));
}

/* It learns late that nobody leads: what it takes until then waits no longer. */
START_TEST(who_still_names_a_dead_leader_holds_no_longer)
{
	unsigned leader = lab_found(3), at = lab_other(leader);
	static struct question q;
	uint64_t from, term = lab_status(leader).node.term;

	lab_stop(6 - leader - at);
	lab_stop(leader);
	from = clock_mono_ns();
	ask(&q, at);
	for (unsigned i = 0; i < 3; i++)
		lab_submit(&writes[i], at, lab_encode(lab_put(name_of(i), i)));
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_msg(lab_done(&writes[i])->code == E_UNAVAILABLE, "%s",
			      writes[i].outcome.text);
		ck_assert_uint_lt(writes[i].done_ns - from, 10000000000u);
	}
	LAB_WAIT(atomic_load(&q.is_done));
	ck_assert_int_eq(q.rc, E_UNAVAILABLE);
	/* Not sent, and so the next time is the first: behind the election, because until
	 * then it may name the one that was. */
	lab_start(leader, 3);
	LAB_WAIT(lab_status(at).node.term > term && lab_status(at).is_ready);
	ck_assert_int_eq(lab_write(&writes[3], at,
				   lab_encode(lab_put("a", 0)))->code, OK);
}
END_TEST

START_TEST(writes_without_a_leader_are_bounded)
{
	const unsigned most = 8192, n = most + 7;
	struct str bytes;
	unsigned refused = 0;

	lab_start(1, 3);
	bytes = lab_encode(lab_put("acme", 0));
	lab_hold(1);
	for (unsigned i = 0; i < n; i++)
		lab_submit(&writes[i], 1, bytes);
	lab_let_go();
	for (unsigned i = 0; i < n; i++) {
		const struct outcome *o = lab_done(&writes[i]);

		ck_assert_int_eq(o->code, E_UNAVAILABLE);
		if (strstr(o->text, "too many writes wait")) {
			ck_assert_uint_ge(i, most);
			refused++;
		} else {
			ck_assert_msg(strstr(o->text, "no leader for 1500 ms"),
				      "%s", o->text);
		}
	}
	ck_assert_uint_eq(refused, n - most);
	ck_assert_uint_lt(writes[n - 1].done_ns, writes[0].done_ns);
}
END_TEST

/* ---- a leader of straw ---- */

static uint64_t straw_rev;               /* what it says */
static unsigned straw_less;              /* answers too few */
static _Atomic unsigned straw_asked;
static _Atomic bool straw_is_silent;
/* What it says to single writes, one after another; then OK. */
static struct { enum code rc, code; } straw_says[4];
static _Atomic unsigned straw_says_always;       /* the n-th, for ever */
static struct rpc_token silent[64];

static void encode_ok(struct buf *out)
{
	struct outcome o = { .rev = straw_rev };

	outcome_encode(out, &o);
}

static void answer_batch(struct rpc_token token, size_t n)
{
	struct batch_item items[BATCH_COUNT_MAX];
	AUTO_BUF ok = BUF_NONE;
	AUTO_BUF answer = BUF_NONE;

	encode_ok(&ok);
	for (size_t i = 0; i < n; i++)
		items[i] = (struct batch_item){ .outcome = buf_view(&ok) };
	/* The second of a batch got lost there. */
	if (n > 1)
		items[1] = (struct batch_item){ .rc = E_UNCERTAIN,
						.text = STR("lost") };
	batch_answer_encode(&answer, straw_rev, items, n - straw_less);
	rc_answer(lab_straw_node, token, OK, buf_view(&answer), NULL);
}

static void answer_single(struct rpc_token token, unsigned nth)
{
	unsigned always = atomic_load(&straw_says_always);
	AUTO_BUF answer = BUF_NONE;
	struct outcome o = { .rev = straw_rev };
	enum code rc = OK;

	nth = always ? MIN(nth, always) : nth;
	if (nth < ARRAY_LEN(straw_says)) {
		rc = straw_says[nth].rc;
		o.code = straw_says[nth].code;
	}
	str_copy(o.text, sizeof(o.text), STR("as it was told to say"));
	wr_u64(&answer, straw_rev);
	outcome_encode(&answer, &o);
	rc_answer(lab_straw_node, token, rc, buf_view(&answer), NULL);
}

static void on_call(unsigned method, const struct rc_request *r)
{
	struct str commands[BATCH_COUNT_MAX];
	struct err err;
	unsigned nth = atomic_fetch_add(&straw_asked, 1);
	size_t n = 1;

	if (atomic_load(&straw_is_silent)) {
		ck_assert_uint_lt(nth, ARRAY_LEN(silent));
		silent[nth] = r->token;
	} else if (method == STORE_METHOD_BATCH) {
		ck_assert_int_eq(batch_decode(r->body, commands, &n, &err), OK);
		answer_batch(r->token, n);
	} else {
		answer_single(r->token, nth);
	}
}

static void straw(uint32_t methods)
{
	straw_rev = 0;
	straw_less = 0;
	atomic_store(&straw_asked, 0);
	atomic_store(&straw_is_silent, false);
	memset(straw_says, 0, sizeof(straw_says));
	atomic_store(&straw_says_always, 0);
	lab_straw(methods, on_call);
}

/* Encoded content of 'bytes'. */
static struct str content(size_t bytes)
{
	struct command c = { .type = COMMAND_BLOB, .tenant = STR("acme"),
			     .total = bytes };

	c.bytes = str_n(arena_zero(lab_arena, bytes), bytes);
	return lab_encode(&c);
}

static const char *calls_for(const size_t *sizes, unsigned n)
{
	lab_hold(2);
	for (unsigned i = 0; i < n; i++)
		lab_submit(&writes[i], 2, content(sizes[i]));
	lab_let_go();
	for (unsigned i = 0; i < n; i++)
		lab_done(&writes[i]);
	return lab_straw_calls();
}

START_TEST(bytes_of_a_call_are_bounded)
{
	/* 6 of these are 240 KiB. */
	static const size_t sizes[] = { 40960, 40960, 40960, 40960, 40960, 40960,
					40960, 40960 };

	straw(SINGLE | BATCH);
	/* Content that got lost is sent again, until it is E_UNCERTAIN: one
	 * after another by then. */
	ck_assert(!strncmp(calls_for(sizes, 8), "44", 2));
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(writes[i].outcome.code, OK);
}
END_TEST

START_TEST(what_is_long_goes_alone_and_in_its_turn)
{
	static const size_t sizes[] = { 10, 10, 200000, 10, 70000, 10, 10 };

	straw(SINGLE | BATCH);
	/* And the seconds of both batches again, together or one by one: that depends on
	 * which answer comes first. */
	ck_assert(!strncmp(calls_for(sizes, 7), "41114", 5));
	for (unsigned i = 0; i < 7; i++)
		ck_assert_int_eq(writes[i].outcome.code, OK);
}
END_TEST

START_TEST(a_leader_that_knows_no_batches_gets_singles)
{
	straw(SINGLE);
	submit_all(2, 0, 5);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_msg(lab_done(&writes[i])->code == OK, "%s",
			      writes[i].outcome.text);
	ck_assert_str_eq(lab_straw_calls(), "11111");
	/* It is remembered: no batch is tried again. */
	ck_assert_uint_eq(lab_status(2).forward_calls, 1 + 5);
	submit_all(2, 5, 8);
	for (unsigned i = 5; i < 8; i++)
		lab_done(&writes[i]);
	ck_assert_uint_eq(lab_status(2).forward_calls, 1 + 8);
	/* None of them got lost by that. */
	ck_assert_uint_eq(lab_status(2).forward_failed, 0);
}
END_TEST

START_TEST(an_answer_that_is_malformed_is_uncertain_for_all)
{
	straw(SINGLE | BATCH);
	straw_less = 1;
	submit_all(2, 0, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(lab_done(&writes[i])->code, E_UNCERTAIN);
	ck_assert_uint_eq(lab_status(2).forward_failed, 3);
}
END_TEST

/* One without a key is not sent again when nobody knows. */
START_TEST(what_may_have_happened_is_not_repeated)
{
	straw(SINGLE | BATCH);
	lab_hold(2);
	for (unsigned i = 0; i < 3; i++)
		lab_submit(&writes[i], 2, lab_encode(lab_put(name_of(i), 0)));
	lab_let_go();
	ck_assert_int_eq(lab_done(&writes[0])->code, OK);
	ck_assert_int_eq(lab_done(&writes[1])->code, E_UNCERTAIN);
	ck_assert_int_eq(lab_done(&writes[2])->code, OK);
	ck_assert_str_eq(lab_straw_calls(), "4");
	ck_assert_uint_eq(lab_status(2).writes_forwarded, 3);
	ck_assert_uint_eq(lab_status(2).forward_failed, 1);
}
END_TEST

static const enum code door[] = { E_FULL, E_BUSY, E_TOO_LARGE };

/* The next leader's store is full, or it is busy: that says nothing of what the one
 * before may have done. */
START_TEST(a_later_try_that_is_refused_is_no_outcome)
{
	straw(SINGLE);
	straw_says[0].rc = E_UNCERTAIN;
	straw_says[1].code = door[_i];
	straw_says[2].rc = door[_i];
	ck_assert_msg(lab_write(&writes[0], 2,
				lab_encode(lab_put("a", 7)))->code == OK, "%s",
		      writes[0].outcome.text);
	ck_assert_str_eq(lab_straw_calls(), "1111");
}
END_TEST

START_TEST(what_may_have_happened_is_uncertain_in_the_end)
{
	straw(SINGLE);
	straw_says[0].rc = E_UNCERTAIN;
	straw_says[1].code = door[_i];
	atomic_store(&straw_says_always, 1);
	ck_assert_int_eq(lab_write(&writes[0], 2,
				   lab_encode(lab_put("a", 7)))->code,
			 E_UNCERTAIN);
	ck_assert_uint_gt(strlen(lab_straw_calls()), 2);
}
END_TEST

START_TEST(a_first_try_that_is_refused_is_told_at_once)
{
	straw(SINGLE);
	straw_says[0].code = door[_i];
	ck_assert_int_eq(lab_write(&writes[0], 2,
				   lab_encode(lab_put("a", 7)))->code, door[_i]);
	ck_assert_str_eq(lab_straw_calls(), "1");
}
END_TEST

static void straw_did(struct rc_proposal *p, enum code rc, const struct err *e)
{
	ck_abort_msg("the straw did not do it: %s", e->text);
}

static void straw_does(struct rc_proposal *p, const struct command *c)
{
	*p = (struct rc_proposal){ .data = lab_encode(c), .done = straw_did };
	ck_assert(rc_propose(lab_straw_node, p));
}

/* Whether a write was done already the leader knows for sure, and a node that may
 * lag does not. */
START_TEST(a_full_follower_asks_the_leader_whether_it_was_done)
{
	struct command limits = { .type = COMMAND_LIMITS,
				  .limits = { .bytes_max = 1 } };
	static struct rc_proposal done[2];

	straw(SINGLE);
	straw_does(&done[0], lab_put("a", 0));
	straw_does(&done[1], &limits);
	LAB_WAIT(lab_status(2).bytes > 0);
	LAB_WAIT(lab_write(&writes[0], 2, lab_encode(lab_put("b", 0)))->code ==
		 E_FULL);
	ck_assert_int_eq(lab_write(&writes[1], 2,
				   lab_encode(lab_put("b", 7)))->code, OK);
}
END_TEST

/* The question's first two answers come from one who leads no more. */
START_TEST(a_deposed_leader_is_not_the_last_to_be_asked)
{
	static struct question q;

	straw(BIT(STORE_METHOD_ASK));
	straw_says[0].rc = straw_says[1].rc = E_NOT_LEADER;
	ask(&q, 2);
	LAB_WAIT(atomic_load(&q.is_done));
	ck_assert_int_eq(q.rc, OK);
	/* For ever: until the hold ends. */
	atomic_store(&straw_asked, 0);
	atomic_store(&straw_says_always, 1);
	ask(&q, 2);
	LAB_WAIT(atomic_load(&q.is_done));
	ck_assert_int_eq(q.rc, E_NOT_LEADER);
}
END_TEST

START_TEST(calls_are_bounded_and_waiting_ends)
{
	const unsigned open = 32, n = (open + 2) * BATCH_COUNT_MAX;

	straw(SINGLE | BATCH);
	atomic_store(&straw_is_silent, true);
	submit_all(2, 0, n);
	/* Those for which there was no call. */
	for (unsigned i = open * BATCH_COUNT_MAX; i < n; i++) {
		ck_assert_int_eq(lab_done(&writes[i])->code, E_UNAVAILABLE);
		ck_assert_msg(strstr(writes[i].outcome.text, "answered none"),
			      "%s", writes[i].outcome.text);
	}
	ck_assert_uint_eq(atomic_load(&straw_asked), open);
	ck_assert(!atomic_load(&writes[0].is_done));
	/* As each is answered the next can go. */
	submit_all(2, n, n + 2);
	atomic_store(&straw_is_silent, false);
	for (unsigned i = 0; i < open; i++)
		answer_batch(silent[i], BATCH_COUNT_MAX);
	for (unsigned i = 0; i < open * BATCH_COUNT_MAX; i++)
		ck_assert_int_eq(lab_done(&writes[i])->code, OK);
	for (unsigned i = n; i < n + 2; i++)
		ck_assert_int_eq(lab_done(&writes[i])->code, OK);
}
END_TEST

/* The leader's revision never comes here: told all the same, and not at once. */
START_TEST(a_node_that_lags_tells_the_outcome_after_two_seconds)
{
	uint64_t from = clock_mono_ns(), ms;

	straw(SINGLE | BATCH);
	straw_rev = 1000000;
	from = clock_mono_ns();
	ck_assert_int_eq(lab_write(&writes[0], 2,
				   lab_encode(lab_put("acme", 7)))->code, OK);
	ms = (writes[0].done_ns - from) / 1000000;
	ck_assert_uint_ge(ms, 1900);
	ck_assert_uint_lt(ms, 20000);
}
END_TEST

/* ---- the form ---- */

START_TEST(batches_that_are_malformed_are_refused)
{
	static const struct str writes_of[] = { STR("a"), STR("bc") };
	struct str got[BATCH_COUNT_MAX];
	struct batch_item items[2] = { { .outcome = STR("x") },
				       { .rc = E_BUSY, .text = STR("t") } };
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF answer = BUF_NONE;
	struct err err;
	uint64_t rev;
	size_t n;

	batch_encode(&bytes, writes_of, 2);
	ck_assert_int_eq(batch_decode(buf_view(&bytes), got, &n, &err), OK);
	ck_assert_uint_eq(n, 2);
	ck_assert(str_is(got[1], "bc"));
	for (size_t cut = 0; cut < bytes.n; cut++)
		ck_assert_int_eq(batch_decode(str_n(bytes.p, cut), got, &n,
					      &err), E_INVALID);
	buf_c(&bytes, 'z');
	ck_assert_int_eq(batch_decode(buf_view(&bytes), got, &n, &err),
			 E_INVALID);
	batch_answer_encode(&answer, 9, items, 2);
	ck_assert_int_eq(batch_answer_decode(buf_view(&answer), 2, &rev, items,
					     &err), OK);
	ck_assert_uint_eq(rev, 9);
	ck_assert_int_eq(items[1].rc, E_BUSY);
	ck_assert_int_eq(batch_answer_decode(buf_view(&answer), 1, &rev, items,
					     &err), E_INVALID);
	for (size_t cut = 0; cut < answer.n; cut++)
		ck_assert_int_eq(batch_answer_decode(str_n(answer.p, cut), 2,
						     &rev, items, &err),
				 E_INVALID);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("store/forward");
	TCase *t = tcase_create("forward");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_add_test(t, many_travel_together_and_each_has_its_outcome);
	tcase_add_test(t, a_follower_gathers_what_nobody_waits_for);
	tcase_add_loop_test(t, the_clock_of_the_leader_counts, 0, 2);
	tcase_add_test(t, what_is_under_way_goes_to_the_next_leader);
	tcase_add_test(t, who_still_names_a_dead_leader_holds_no_longer);
	tcase_add_test(t, a_deposed_leader_is_not_the_last_to_be_asked);
	tcase_add_test(t, writes_without_a_leader_are_bounded);
	tcase_add_test(t, bytes_of_a_call_are_bounded);
	tcase_add_test(t, what_is_long_goes_alone_and_in_its_turn);
	tcase_add_test(t, a_leader_that_knows_no_batches_gets_singles);
	tcase_add_test(t, an_answer_that_is_malformed_is_uncertain_for_all);
	tcase_add_test(t, what_may_have_happened_is_not_repeated);
	tcase_add_loop_test(t, a_later_try_that_is_refused_is_no_outcome, 0,
			    ARRAY_LEN(door));
	tcase_add_loop_test(t, what_may_have_happened_is_uncertain_in_the_end, 0,
			    ARRAY_LEN(door));
	tcase_add_loop_test(t, a_first_try_that_is_refused_is_told_at_once, 0,
			    ARRAY_LEN(door));
	tcase_add_test(t, a_full_follower_asks_the_leader_whether_it_was_done);
	tcase_add_test(t, calls_are_bounded_and_waiting_ends);
	tcase_add_test(t, a_node_that_lags_tells_the_outcome_after_two_seconds);
	tcase_add_test(t, batches_that_are_malformed_are_refused);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
