/*
 * Which verb lets somebody do what, in apply, where it alone counts: moves of releases,
 * and taking back what one brought.
 */
#include "gate_help.h"
#include "unit.h"

#include "base/banned.h"

static void setup(void)
{
	gate_setup();
	people();
}

static const enum verb given[] = { VERB_PUBLISH, VERB_APPROVE, VERB_PROMOTE,
				   VERB_ROLLBACK, VERB_PAUSE, VERB_ADMINISTER };

/* VERB__COUNT: nobody who has a name. */
static const enum verb wanted[MOVE__END] = {
	[MOVE_START] = VERB__COUNT,	    [MOVE_STEP_BEGUN] = VERB__COUNT,
	[MOVE_ADVANCE] = VERB__COUNT,	    [MOVE_PROMOTE] = VERB_PROMOTE,
	[MOVE_PROMOTE_FULL] = VERB_PROMOTE, [MOVE_PAUSE] = VERB_PAUSE,
	[MOVE_RESUME] = VERB_PAUSE,	    [MOVE_ROLLBACK] = VERB_ROLLBACK,
	[MOVE_ABORT] = VERB_ROLLBACK,	    [MOVE_FORGET] = VERB__COUNT,
	[MOVE_MET] = VERB__COUNT,	    [MOVE_UNMET] = VERB__COUNT,
};

static bool see(void *data, const struct object_view *o)
{
	*(struct str *)data = arena_str(b.arena, o->name);
	return true;
}

static struct str newest(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct str name = STR_NONE;

	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE, STR_NONE,
				   see, &name, NULL), OK);
	kv_end(&txn);
	return name;
}

static enum code move_as(const char *who, struct str release, enum release_move move)
{
	struct command *c = as(who);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = release;
	op->move = move;
	op->step = UINT32_MAX;
	op->mode = ROLLBACK_STABLE_ONLY;
	return bench_apply(&b, c)->code;
}

static uint64_t all_but(enum verb verb)
{
	uint64_t verbs = 0;

	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		verbs |= given[i] == verb ? 0 : BIT(given[i]);
	return verbs;
}

START_TEST(a_move_takes_its_verb)
{
	enum release_move move = (enum release_move)_i;
	enum verb verb = wanted[move];
	struct str release;

	make(KIND_RELEASE_POLICY, "steps",
	     "{\"steps\":[{\"percent\":1,\"pause\":\"manual\"},{\"percent\":100}],"
	     "\"strategy\":\"canary\"}");
	ck_assert_int_eq(publish(as("ann"), "two\n")->code, OK);
	release = newest();
	let_in("vic", "", all_but(verb), 0);
	ck_assert_int_eq(move_as("vic", release, move), E_DENIED);
	if (verb == VERB__COUNT)
		return;
	let_in("may", "", BIT(verb), 0);
	ck_assert_int_eq(move_as("may", release, move),
			 move == MOVE_RESUME ? E_PHASE : OK);
}
END_TEST

/* A second token of his. */
static enum code cancel_with(const char *token, const char *who, uint64_t verbs,
			     const char *name)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_SUBJECT_PUT);

	op->name = str_of(token);
	op->author = str_of(who);
	op->sha = token_of(token);
	op->verbs = verbs;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	c = as(who);
	c->subject.token = token_of(token);
	op = command_op(b.arena, c, OP_VOTE);
	op->kind = KIND_PROPOSAL;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->sha = row_of(name).digest;
	op->vote = VOTE_CANCEL;
	return bench_apply(&b, c)->code;
}

static const char *proposed_rollback(void)
{
	struct command *c;
	struct op *op;

	ck_assert_int_eq(publish(as("ann"), "two\n")->code, OK);
	make(KIND_APPROVAL_POLICY, "back",
	     "{\"operations\":[\"rollback\"],\"stages\":[" BY("leads") "]}");
	c = as("rob");
	op = command_op(b.arena, c, OP_ROLLBACK);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(CONFIG);
	op->mode = ROLLBACK_STABLE_ONLY;
	bench_apply(&b, c);
	return proposed("Pending");
}

/* Whatever verb he brought it by. */
START_TEST(who_brought_it_takes_it_back)
{
	const char *name;

	let_in("rob", "", BIT(VERB_ROLLBACK), 0);
	let_in("pub", "", BIT(VERB_PUBLISH), 0);
	name = proposed_rollback();
	ck_assert_int_eq(vote("pub", name, VOTE_CANCEL), E_DENIED);
	ck_assert_int_eq(vote("bob", name, VOTE_CANCEL), E_DENIED);
	/* His token that only looks does not. */
	ck_assert_int_eq(cancel_with("looks", "rob", 0, name), E_DENIED);
	ck_assert_int_eq(vote("rob", name, VOTE_CANCEL), OK);
	phase_is(name, PROPOSAL_CANCELLED);
}
END_TEST

START_TEST(who_administers_takes_back_that_of_others)
{
	const char *name;

	let_in("rob", "", BIT(VERB_ROLLBACK), 0);
	let_in("adm", "", BIT(VERB_ADMINISTER), 0);
	name = proposed_rollback();
	ck_assert_int_eq(vote("adm", name, VOTE_CANCEL), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/verbs");
	TCase *t = tcase_create("verbs");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, gate_teardown);
	tcase_add_loop_test(t, a_move_takes_its_verb, MOVE_START, MOVE__END);
	tcase_add_test(t, who_brought_it_takes_it_back);
	tcase_add_test(t, who_administers_takes_back_that_of_others);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
