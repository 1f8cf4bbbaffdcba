/* What moves under a proposal that waits ends it, in the entry that moves it. */
#include "gate_help.h"
#include "state/outbox.h"
#include "unit.h"

#include <stdio.h>

#include "base/banned.h"

static struct op *op_of(struct command *c, enum op_type type, const char *name)
{
	struct op *op = command_op(b.arena, c, type);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(name);
	return op;
}

/* ---- ways to move it ---- */

static void go_back(void)
{
	struct command *c = as("cid");

	op_of(c, OP_ROLLBACK, CONFIG)->mode = ROLLBACK_STABLE_ONLY;
	bench_apply(&b, c);
}

static void annotate(void)
{
	struct command *c = as("cid");

	put_config(&b, c, "acme", "shop", "prod", "db.toml")->meta =
		STR("{\"annotations\":{}}");
	bench_apply(&b, c);
}

static void delete_it(void)
{
	struct command *c = as("cid");

	op_of(c, OP_OBJECT_DELETE, CONFIG);
	bench_apply(&b, c);
}

/* The policy is no more. */
static void publish_unasked(void)
{
	delete(KIND_APPROVAL_POLICY, "prod");
	publish(as("cid"), "four\n");
	ck_assert_str_eq(live(), "four\n");
}

/* A version that waits for people to release it. */
static void add_aside(void)
{
	struct command *c = as("cid");
	struct str s = STR("aside\n");

	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", CONFIG, s, false);
	bench_apply(&b, c);
}

static void publish_formatting(void)
{
	struct command *c = as("cid");
	struct str s = STR("one\n\n");

	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", CONFIG, s, true)->formatting_only = true;
	bench_apply(&b, c);
}

static const struct {
	void (*move)(void);
	const char *action;
} ways[] = {
	{ go_back, "rollback" }, { annotate, "write" }, { delete_it, "delete" },
	{ publish_unasked, "publish" }, { add_aside, "version" },
	{ publish_formatting, "publish" },
};

#define POLICY_THAT_LETS_DELETE \
	"{\"operations\":[\"publish\",\"rules\",\"write\"],\"select\":" \
	"{\"environments\":[\"prod\"]},\"stages\":[" BY("leads") "]}"

static void begin(void)
{
	make(KIND_APPROVAL_POLICY, "prod", POLICY_THAT_LETS_DELETE);
	people();
	let_in("cid", LEADS, ALL | BIT(VERB_ADMINISTER), 0);
}

static bool says(struct str text, const char *what)
{
	return str_find_str(text, str_of(what)) != SIZE_MAX;
}

/* Even lines: when it was agreed to, odd: before. */
START_TEST(what_moved_is_void_at_once)
{
	const char *p, *again;
	struct proposal_row row;
	char at[40];

	begin();
	/* There is something to go back to. */
	publish(as("ann"), "zero\n");
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), OK);
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	if (_i % 2 == 0)
		ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ways[_i / 2].move();
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	ck_assert_str_eq(b.last.proposal, "");
	phase_is(p, PROPOSAL_STALE);
	row = row_of(p);
	/* Its end is behind what ended it. */
	snprintf(at, sizeof(at), "to revision %llu: %s by cid",
		 (unsigned long long)b.last.results[0].rev, ways[_i / 2].action);
	ck_assert_msg(says(row.message, at) && says(row.message, CONFIG),
		      "%.*s, not %s", STR_ARG(row.message), at);
	ck_assert_uint_gt(b.last.rev, b.last.results[b.last.n_results - 1].rev);
	ck_assert(str_is(row.history[row.n_history - 1].what, "Stale") &&
		  str_is(row.history[row.n_history - 1].subject, "cid"));
	ck_assert(str_is(last_audit().subject, "cid") &&
		  says(last_audit().target, p));
	/* Nothing more comes of it, and nobody waits for it. */
	ck_assert_int_eq(execute(p), E_PHASE);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), E_PHASE);
	if (ways[_i / 2].move == delete_it || ways[_i / 2].move == publish_unasked)
		return;
	publish(as("ann"), "two\n");
	again = proposed("Pending");
	ck_assert_str_ne(again, p);
	ck_assert_uint_eq(row_of(again).n_votes, 0);
}
END_TEST

/* What is refused, or changes nothing, or waits itself, or is about another. */
START_TEST(what_did_not_move_stays)
{
	struct command *c;
	const char *p;

	begin();
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "test", "other.toml");
	bench_apply(&b, c);
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	/* It runs, and is taken back. */
	c = as("cid");
	op_of(c, OP_OBJECT_DELETE, CONFIG);
	op_of(c, OP_OBJECT_DELETE, "shop.prod.nothing");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	phase_is(p, PROPOSAL_APPROVED);
	ck_assert_int_eq(publish(as("cid"), "three\n")->code, E_LOCKED);
	phase_is(p, PROPOSAL_APPROVED);
	ck_assert_int_eq(publish(as("cid"), "one\n")->code, OK);
	ck_assert_str_eq(b.last.proposal, "");
	/* Another; and the same under another tenant. */
	c = as("cid");
	op_of(c, OP_OBJECT_DELETE, "shop.test.other.toml");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	tick_after(1000);
	phase_is(p, PROPOSAL_APPROVED);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Executed");
	phase_is(p, PROPOSAL_EXECUTED);
	/* What ended is not ended again. */
	delete_it();
	ck_assert_int_eq(b.last.code, OK);
	phase_is(p, PROPOSAL_EXECUTED);
}
END_TEST

/* What is no configuration, and of which it changes something, too. */
START_TEST(other_objects_count_as_well)
{
	struct command *c;
	const char *p;

	begin();
	c = as("ann");
	put_object(c, KIND_ENVIRONMENT, "shop.prod", "{\"description\":\"x\"}");
	publish(c, "two\n");
	p = proposed("Pending");
	c = as("cid");
	put_object(c, KIND_ENVIRONMENT, "shop.test", "{\"description\":\"y\"}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	phase_is(p, PROPOSAL_PENDING);
	/* A configuration of the same name is another thing. */
	c = as("cid");
	put_config(&b, c, "acme", "shop", "test", "x")->name = STR("shop.prod");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	phase_is(p, PROPOSAL_PENDING);
	c = as("cid");
	put_object(c, KIND_ENVIRONMENT, "shop.prod", "{\"description\":\"z\"}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	phase_is(p, PROPOSAL_STALE);
	ck_assert_msg(says(row_of(p).message, "environment shop.prod moved"), "%.*s",
		      STR_ARG(row_of(p).message));
	/* All of what it kept goes. */
	tick_after(25 * 3600000);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	ck_assert_uint_eq(refs_of("two\n"), 0);
}
END_TEST

/* What it makes where it is missing may be made by others. */
START_TEST(what_has_no_base_may_move)
{
	struct command *c;
	const char *p;

	begin();
	c = as("ann");
	put_object(c, KIND_ENVIRONMENT, "shop.new", "{}")->only_create = true;
	put_config(&b, c, "acme", "shop", "prod", "new.toml")->only_create = true;
	publish(c, "two\n");
	p = proposed("Pending");
	delete(KIND_APPROVAL_POLICY, "prod");
	c = as("cid");
	put_config(&b, c, "acme", "shop", "prod", "new.toml");
	put_object(c, KIND_ENVIRONMENT, "shop.new", "{\"description\":\"z\"}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	phase_is(p, PROPOSAL_PENDING);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Executed");
}
END_TEST

static void fails_as(const char *p, enum code code, const char *action,
		     const char *object)
{
	struct proposal_row row = row_of(p);

	ck_assert_int_eq(row.failure.at, FAILED_OPERATION);
	ck_assert_uint_eq(row.failure.code, (uint64_t)code);
	ck_assert_msg(str_eq(row.failure.action, str_of(action)) &&
		      str_eq(row.failure.object, str_of(object)), "%.*s of %.*s",
		      STR_ARG(row.failure.action), STR_ARG(row.failure.object));
	ck_assert_uint_eq(row.message.n, 0);
	proposal_put_words(b.arena, &row);
	ck_assert_msg(says(row.message, code_text(code)) &&
		      says(row.message, object), "%.*s", STR_ARG(row.message));
	ck_assert(str_eq(row.history[row.n_history - 1].message, row.message));
}

/* Another version of the program may choose other words, and is to write the same. */
static void is_in_no_row(const char *words)
{
	struct kv_txn *txn = bench_read(&b);

	ck_assert_uint_gt(strlen(words), 20);
	for (int table = 0; table < KV__TABLES; table++) {
		struct kv_cursor c;

		for (bool on = kv_seek(txn, (enum kv_table)table, STR_NONE, &c); on;
		     on = kv_next(&c))
			ck_assert_msg(!says(c.val, words), "table %d says \"%s\"",
				      table, words);
		kv_cursor_close(&c);
	}
	kv_end(&txn);
}

/* Refused for good, though nothing it was computed from moved. */
START_TEST(what_cannot_be_any_more_fails)
{
	struct command *c;
	struct op *op;
	const char *p;

	begin();
	c = as("ann");
	put_config(&b, c, "acme", "shop", "prod", "new.toml");
	bench_apply(&b, c);
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	/* Its address, under another name. */
	delete(KIND_APPROVAL_POLICY, "prod");
	c = as("cid");
	op = put_config(&b, c, "acme", "shop", "prod", "new.toml");
	op->name = STR("taken");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	phase_is(p, PROPOSAL_APPROVED);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Failed");
	phase_is(p, PROPOSAL_FAILED);
	fails_as(p, E_EXISTS, "write", "confluxconfig shop.prod.new.toml");
	is_in_no_row(b.last.text);
}
END_TEST

/* ---- a release that is out meanwhile ---- */

#define IN_STEPS "{\"strategy\":\"canary\",\"steps\":[{\"percent\":10}," \
		 "{\"percent\":50},{\"percent\":90}],\"concurrency\":" \
		 "{\"policy\":\"Supersede\"}}"

static uint64_t rev_of_config(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view v;

	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"), STR(CONFIG), &v,
				     NULL), OK);
	kv_end(&txn);
	return v.rev;
}

static bool note_release(void *data, const struct object_view *o)
{
	*(struct str *)data = arena_str(b.arena, o->name);
	return true;
}

static void move_release(enum release_move move)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);
	struct kv_txn *txn = bench_read(&b);

	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE, STR_NONE,
				   note_release, &op->name, NULL), OK);
	kv_end(&txn);
	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->move = move;
	op->step = UINT32_MAX;
	op->message = STR("so");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

/* Two is on its way; that three follows is agreed to. */
static const char *agreed_beside_release(uint64_t *expect)
{
	struct str three = STR("three\n");
	struct command *c;
	const char *p;

	people();
	let_in("cid", LEADS, ALL | BIT(VERB_ADMINISTER), 0);
	make(KIND_RELEASE_POLICY, "slowly", IN_STEPS);
	publish(as("ann"), "two\n");
	ck_assert_str_eq(live(), "one\n");
	need_leads();
	*expect = rev_of_config();
	c = as("ann");
	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(three), three };
	add_version(&b, c, "acme", CONFIG, three, true)->expect = *expect;
	bench_apply(&b, c);
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	return p;
}

/* Who gets a version is no part of what was agreed to. */
START_TEST(steps_of_a_release_leave_it)
{
	uint64_t expect;
	const char *p = agreed_beside_release(&expect);

	move_release(MOVE_STEP_BEGUN);
	move_release(MOVE_ADVANCE);
	ck_assert_uint_gt(rev_of_config(), expect);
	phase_is(p, PROPOSAL_APPROVED);
	move_release(MOVE_PAUSE);
	move_release(MOVE_RESUME);
	move_release(MOVE_PROMOTE);
	phase_is(p, PROPOSAL_APPROVED);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Executed");
	phase_is(p, PROPOSAL_EXECUTED);
}
END_TEST

static const enum release_move ends[] = { MOVE_PROMOTE_FULL, MOVE_ROLLBACK,
					  MOVE_ABORT };

/* What is live, or on its way there, is another. */
START_TEST(the_end_of_a_release_voids_it)
{
	uint64_t expect;
	const char *p = agreed_beside_release(&expect);

	move_release(MOVE_ADVANCE);
	move_release(ends[_i]);
	phase_is(p, PROPOSAL_STALE);
	ck_assert_int_eq(execute(p), E_PHASE);
}
END_TEST

/* One by hand between two steps counts, and is not taken for a step. */
START_TEST(a_change_between_steps_voids_it)
{
	uint64_t expect;
	const char *p = agreed_beside_release(&expect);

	move_release(MOVE_ADVANCE);
	annotate();
	phase_is(p, PROPOSAL_STALE);
	move_release(MOVE_ADVANCE);
	phase_is(p, PROPOSAL_STALE);
}
END_TEST

#define MANY 400

static bool count_stale(void *data, const struct outbox_row *row)
{
	unsigned *n = data;

	*n += row->notice == NOTICE_STALE;
	return true;
}

static struct uuid hook_uid(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view v;

	ck_assert_int_eq(view_object(txn, KIND_WEBHOOK, STR("acme"), STR("h"), &v,
				     NULL), OK);
	kv_end(&txn);
	return v.row.uid;
}

/* More than a slice; and each is told of. */
START_TEST(many_that_wait_are_ended_by_one_command)
{
	struct command *c = bench_command(&b);
	static char names[MANY][32];
	struct kv_txn *txn;
	unsigned told = 0;

	people();
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "shop.prod.c%u", i);
		put_config(&b, c, "acme", "shop", "prod", names[i] + 10);
	}
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	need_leads();
	make(KIND_WEBHOOK, "h", "{\"events\":[\"STALE\"],\"url\":\"https://a\"}");
	put_blob(&b, "acme", STR("new"));
	for (unsigned i = 0; i < MANY; i++) {
		c = as("ann");
		add_version(&b, c, "acme", names[i], STR("new"), true);
		bench_apply(&b, c);
		proposed("Pending");
	}
	delete(KIND_APPROVAL_POLICY, "prod");
	c = bench_command(&b);
	for (unsigned i = 0; i < MANY; i++)
		op_of(c, OP_OBJECT_DELETE, names[i]);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(b.last.rev, b.last.results[MANY - 1].rev + MANY);
	txn = bench_read(&b);
	for (unsigned i = 0; i < MANY; i++) {
		struct str name;

		ck_assert(!view_lock(txn, b.arena, STR("acme"), str_of(names[i]),
				     &name));
	}
	view_outbox(txn, hook_uid(), OUTBOX_WAITING, 0, count_stale, &told);
	kv_end(&txn);
	ck_assert_uint_eq(told, MANY);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/gate_stale");
	TCase *t = tcase_create("stale");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, gate_setup, gate_teardown);
	tcase_add_loop_test(t, what_moved_is_void_at_once, 0,
			    2 * ARRAY_LEN(ways));
	tcase_add_test(t, what_did_not_move_stays);
	tcase_add_test(t, other_objects_count_as_well);
	tcase_add_test(t, what_has_no_base_may_move);
	tcase_add_test(t, what_cannot_be_any_more_fails);
	tcase_add_test(t, steps_of_a_release_leave_it);
	tcase_add_loop_test(t, the_end_of_a_release_voids_it, 0, ARRAY_LEN(ends));
	tcase_add_test(t, a_change_between_steps_voids_it);
	tcase_add_test(t, many_that_wait_are_ended_by_one_command);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
