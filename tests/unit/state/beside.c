/*
 * Releases that are out side by side: a client gets one of those that are connected, and
 * that whole.  rollout_any.c does so at random.
 */
#include <stdio.h>

#include "bench.h"
#include "state/beside.h"
#include "state/view_rollout.h"
#include "unit.h"

#include "base/banned.h"

#define PLACES 36u

static struct bench b;
static char release[RELEASE_NAME_MAX];   /* the newest one */

static struct str object(char name[24], unsigned i)
{
	snprintf(name, 24, "shop.prod.f%u", i);
	return str_of(name);
}

/* Configurations f0, f1, ... that serve "a". */
static void setup(void)
{
	struct command v = { .type = COMMAND_VERSION, .version = 5 };
	struct command *c;

	bench_open(&b, "boot-1");
	v.time_ms = b.time_ms;
	bench_apply(&b, &v);
	bench_shop(&b, "a");
	c = bench_command(&b);
	for (unsigned i = 0; i < PLACES; i++) {
		char name[24], *file = arena_alloc(b.arena, 8);

		snprintf(file, 8, "f%u", i);
		put_config(&b, c, "acme", "shop", "prod", file);
		add_version(&b, c, "acme", arena_str(b.arena, object(name, i)).p,
			    STR("a"), true);
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void teardown(void)
{
	bench_close(&b);
}

/* Instances are let in by a list of their names, all of one step. */
static void policy(const char *nodes)
{
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = STR("p");
	op->spec = arena_printf(b.arena, "{\"strategy\":\"canary\",\"steps\":[{\"nodes\":"
				"[%s]}],\"concurrency\":{\"policy\":\"Parallel\"}}",
				nodes);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static bool see(void *data, const struct object_view *o)
{
	(void)data;
	str_copy(release, sizeof(release), o->name);
	return true;
}

/* Of configurations, a digit each; answers the release. */
static const char *publish(const char *to, const char *content)
{
	struct command *c = bench_command(&b);
	struct kv_txn *txn;

	put_blob(&b, "acme", str_of(content));
	for (const char *i = to; *i; i++) {
		char name[24];

		add_version(&b, c, "acme",
			    arena_str(b.arena, object(name, (unsigned)(*i - '0'))).p,
			    str_of(content), true);
	}
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	txn = bench_read(&b);
	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE,
				   STR_NONE, see, NULL, NULL), OK);
	kv_end(&txn);
	return arena_str(b.arena, str_of(release)).p;
}

static void add_move(struct command *c, const char *name, enum release_move move)
{
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->move = move;
	op->step = STEP_ANY;
	op->mode = ROLLBACK_STABLE_ONLY;
	op->message = STR("because");
}

static enum code move(const char *name, enum release_move move)
{
	struct command *c = bench_command(&b);

	add_move(c, name, move);
	return bench_apply(&b, c)->code;
}

static void add_delete(struct command *c, unsigned i)
{
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);
	char name[24];

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = arena_str(b.arena, object(name, i));
}

/* What an instance gets of f0, f1, ...: a letter each; '-' is not there. */
static void serves(const char *id, const char *want)
{
	struct kv_txn *txn = bench_read(&b);
	struct client client = { .id = str_of(id) };

	for (unsigned i = 0; want[i]; i++) {
		char name[8];
		struct address at = { STR("acme"), STR("shop"), STR("prod"),
				      STR_NONE };
		struct config_view v;
		AUTO_BUF content = BUF_NONE;
		struct err err;

		if (want[i] == '-')
			continue;
		snprintf(name, sizeof(name), "f%u", i);
		at.name = str_of(name);
		ck_assert_int_eq(view_config(txn, &at, &client, &v, &err), OK);
		ck_assert_int_eq(view_content(txn, STR("acme"), &v.rule.sha,
					      v.rule.size, &content, &err), OK);
		ck_assert_msg(content.p[0] == want[i], "%s: f%u is %c, not %c", id, i,
			      content.p[0], want[i]);
	}
	kv_end(&txn);
}

/* Rules that keep others away, at all configurations. */
static unsigned kept(void)
{
	struct kv_txn *txn = bench_read(&b);
	unsigned n = 0;

	for (unsigned i = 0; i < PLACES; i++) {
		struct object_view o;
		struct rules rules;
		struct err err;
		char name[24];

		if (view_object(txn, KIND_CONFIG, STR("acme"), object(name, i), &o,
				&err))
			continue;
		ck_assert(rules_decode(b.arena, o.live.rules, &rules));
		for (size_t k = 0; k < rules.n; k++)
			n += rules.r[k].release && !rules.r[k].version;
	}
	kv_end(&txn);
	return n;
}

START_TEST(of_two_that_share_one_a_client_gets_the_newer_whole)
{
	const char *older, *newer;

	policy("\"x\",\"y\"");
	older = publish("01", "b");
	policy("\"y\",\"z\"");
	newer = publish("02", "c");
	serves("x", "bba");
	serves("y", "cac");
	serves("z", "cac");
	serves("other", "aaa");
	ck_assert_uint_eq(kept(), 1);
	ck_assert_int_eq(move(newer, MOVE_ABORT), OK);
	serves("y", "bba");
	serves("z", "aaa");
	ck_assert_uint_eq(kept(), 0);
	ck_assert_int_eq(move(older, MOVE_ADVANCE), OK);
	serves("other", "bba");
}
END_TEST

START_TEST(what_is_completed_keeps_nobody_away)
{
	const char *older, *newer;

	policy("\"x\",\"y\"");
	older = publish("01", "b");
	policy("\"y\"");
	newer = publish("02", "c");
	ck_assert_int_eq(move(newer, MOVE_ADVANCE), OK);
	serves("x", "cbc");
	serves("y", "cbc");
	serves("other", "cac");
	ck_assert_uint_eq(kept(), 0);
	ck_assert_int_eq(move(older, MOVE_ADVANCE), OK);
	serves("other", "cbc");
}
END_TEST

static struct rollout_row row_of(const char *name)
{
	struct kv_txn *txn = bench_read(&b);
	struct rollout_row row;
	struct err err;

	ck_assert_int_eq(view_rollout(txn, b.arena, STR("acme"), str_of(name), &row,
				      &err), OK);
	kv_end(&txn);
	return row;
}

static void add_begun(struct command *c, const char *name)
{
	add_move(c, name, MOVE_STEP_BEGUN);
	c->ops[c->n_ops - 1].count = 7;
}

/* What it was let out for besides is lost by no newer one.  Its step was of more than it
 * is now. */
START_TEST(the_older_one_goes_on_with_the_rest)
{
	static const enum release_move then[] = { 0, MOVE_PAUSE };
	const char *older, *newer;
	struct rollout_row row;
	struct command *c;

	policy("\"x\"");
	older = publish("012", "b");
	newer = publish("03", "c");
	c = bench_command(&b);
	add_begun(c, older);
	if (then[_i])
		add_move(c, older, then[_i]);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	b.time_ms += 5000;
	ck_assert_int_eq(move(newer, MOVE_PROMOTE), OK);
	row = row_of(older);
	ck_assert_int_eq(row.phase, then[_i] ? ROLLOUT_PAUSED : ROLLOUT_PROGRESSING);
	ck_assert_uint_eq(row.n_configs, 2);
	ck_assert(!row.is_begun && !row.expected);
	ck_assert_uint_eq(row.step_ms, b.time_ms);
	ck_assert_uint_eq(row.pause_ms, then[_i] ? b.time_ms : 0);
	ck_assert(str_ends(row.message, STR(" at 1 of its configurations; the other 2 "
					    "go on")));
	serves("x", "cbbc");
	serves("other", "caac");
	ck_assert_int_eq(move(older, MOVE_PROMOTE), OK);
	serves("other", "cbbc");
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(what_a_newer_one_has_all_of_ends)
{
	const char *older, *newer;

	policy("\"x\"");
	older = publish("01", "b");
	newer = publish("012", "c");
	ck_assert_int_eq(move(newer, MOVE_ADVANCE), OK);
	ck_assert_int_eq(move(older, MOVE_ADVANCE), E_PHASE);
	serves("x", "ccc");
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

/* All of them by 0 and by 1, of which the second completes the first. */
START_TEST(what_connected_them_gives_way)
{
	const char *oldest, *newer;

	policy("\"x\",\"y\"");
	oldest = publish("013", "b");
	newer = publish("0", "c");
	policy("\"y\"");
	publish("04", "d");
	publish("12", "e");
	serves("x", "caaaa");
	serves("y", "aeeaa");
	ck_assert_int_eq(move(newer, MOVE_ADVANCE), OK);
	/* The oldest is beside the last one yet, and not beside the third. */
	serves("x", "cbabaa");
	serves("y", "deead");
	serves("other", "caaaa");
	ck_assert_uint_eq(kept(), 1);
	ck_assert_int_eq(move(oldest, MOVE_ROLLBACK), OK);
	serves("x", "caaaa");
	serves("y", "deead");
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

/* And by the rest of its command: what it deletes, and what moves by it. */
START_TEST(what_gives_way_moves_by_the_same_command)
{
	const char *older, *newer;
	struct command *c;

	policy("\"x\"");
	older = publish("0123", "b");
	newer = publish("04", "c");
	c = bench_command(&b);
	add_delete(c, 3);
	if (_i)
		add_move(c, older, MOVE_PAUSE);
	add_move(c, newer, MOVE_ADVANCE);
	add_delete(c, 2);
	if (_i)
		add_move(c, older, MOVE_PROMOTE);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	serves("x", "cb--c");
	serves("other", _i ? "cb--c" : "ca--c");
	ck_assert_uint_eq(row_of(older).n_configs, 1);
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

static void queue_up(void)
{
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = STR("p");
	op->spec = STR("{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"x\"]}],"
		       "\"concurrency\":{\"group\":\"g\",\"policy\":\"Queue\"}}");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

/* One that waits goes on waiting, for what is before it, with what is left of it. */
START_TEST(what_waits_gives_way_too)
{
	const char *first, *second, *newer;

	queue_up();
	first = publish("01", "b");
	second = publish("02", "c");
	policy("\"x\"");
	newer = publish("03", "d");
	ck_assert_int_eq(move(newer, MOVE_ADVANCE), OK);
	serves("x", "dbad");
	ck_assert_int_eq(row_of(second).phase, ROLLOUT_QUEUED);
	ck_assert_uint_eq(row_of(second).n_configs, 1);
	ck_assert_int_eq(move(second, MOVE_START), E_LOCKED);
	ck_assert_int_eq(move(first, MOVE_ADVANCE), OK);
	ck_assert_int_eq(move(second, MOVE_START), OK);
	ck_assert_int_eq(move(second, MOVE_ADVANCE), OK);
	serves("other", "dbcd");
}
END_TEST

/* 0-1, 1-2, 2-3: the first and the last share nothing. */
START_TEST(they_are_connected_by_others_too)
{
	const char *middle;

	policy("\"x\",\"y\"");
	publish("01", "b");
	policy("\"none\"");
	middle = publish("12", "c");
	policy("\"y\"");
	publish("23", "d");
	serves("x", "bbaa");
	serves("y", "aadd");
	serves("none", "acca");
	ck_assert_int_eq(move(middle, MOVE_ROLLBACK), OK);
	/* Now they are not. */
	serves("y", "bbdd");
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(what_connects_two_groups_is_of_both)
{
	policy("\"x\"");
	publish("01", "b");
	policy("\"y\"");
	publish("23", "c");
	policy("\"none\"");
	publish("34", "d");
	policy("\"x\"");
	publish("14", "e");
	/* The newest whole, also where it has nothing. */
	serves("x", "aeaae");
	serves("y", "aacca");
	serves("none", "aaadd");
}
END_TEST

START_TEST(what_connected_them_is_deleted)
{
	struct command *c;

	policy("\"x\"");
	publish("01", "b");
	policy("\"x\"");
	publish("12", "c");
	serves("x", "acc");
	c = bench_command(&b);
	add_delete(c, 1);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	serves("x", "b-c");
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

/* What the rest of the command does knows already that it is gone: of the releases,
 * whose rows are written behind all of it, and of what they had for each other. */
static const struct {
	enum release_move move;
	bool of_newer;
	const char *x, *other;
} move_lines[] = {
	{ MOVE_ABORT, false, "a-c", "a-a" },    { MOVE_ABORT, true, "b-a", "a-a" },
	{ MOVE_ROLLBACK, false, "a-c", "a-a" }, { MOVE_ROLLBACK, true, "b-a", "a-a" },
	{ MOVE_PAUSE, false, "b-c", "a-a" },    { MOVE_PAUSE, true, "b-c", "a-a" },
	{ MOVE_ADVANCE, false, "b-c", "b-a" },  { MOVE_ADVANCE, true, "b-c", "a-c" },
};

START_TEST(what_connected_them_goes_before_one_moves)
{
	const char *older, *newer;
	struct command *c;

	policy("\"x\"");
	older = publish("01", "b");
	newer = publish("12", "c");
	ck_assert_uint_eq(kept(), 1);
	c = bench_command(&b);
	add_delete(c, 1);
	add_move(c, move_lines[_i].of_newer ? newer : older, move_lines[_i].move);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_uint_eq(kept(), 0);
	serves("x", move_lines[_i].x);
	serves("other", move_lines[_i].other);
}
END_TEST

START_TEST(a_release_without_anything_is_over_at_once)
{
	const char *older, *newer;
	struct command *c;

	policy("\"x\"");
	older = publish("01", "b");
	newer = publish("12", "c");
	c = bench_command(&b);
	add_delete(c, 0);
	add_delete(c, 1);
	add_move(c, older, MOVE_PAUSE);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_PHASE);
	/* Nothing of it happened. */
	serves("x", "acca");
	c = bench_command(&b);
	add_delete(c, 0);
	add_delete(c, 1);
	add_move(c, newer, MOVE_ADVANCE);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_int_eq(move(older, MOVE_PAUSE), E_PHASE);
	ck_assert_int_eq(move(newer, MOVE_PAUSE), E_PHASE);
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(an_emergency_leaves_nothing_of_them)
{
	struct command *c;
	struct op *op;

	policy("\"x\"");
	publish("01", "b");
	publish("12", "c");
	publish("23", "d");
	ck_assert_uint_gt(kept(), 0);
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_ROLLBACK);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.f1");
	op->mode = ROLLBACK_EMERGENCY;
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	serves("x", "aadd");
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(too_many_are_refused)
{
	struct command *c;

	policy("\"x\"");
	/* Each brings the first another content than the one before. */
	for (unsigned n = 1; n <= BESIDE_RELEASES_MAX; n++) {
		char to[3] = { '0', (char)('0' + n), 0 };

		publish(to, n % 2 ? "c" : "b");
	}
	serves("x", "baaaaaa");
	ck_assert_uint_gt(kept(), 30);
	put_blob(&b, "acme", STR("d"));
	c = bench_command(&b);
	add_version(&b, c, "acme", "shop.prod.f0", STR("d"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_UNPROCESSABLE);
	ck_assert_ptr_nonnull(strstr(b.last.text, "side by side"));
	/* Nor does anything of it stay. */
	serves("x", "baaaaaa");
	ck_assert_int_eq(move(release, MOVE_ABORT), OK);
	publish("0", "d");
	serves("x", "daaaaaa");
}
END_TEST

/* As people do: the default stays, and those of zone us get it too. */
static enum code add_rule(unsigned i)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RULES_SET);
	struct rule *r;
	char name[24];

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = arena_str(b.arena, object(name, i));
	rules_add(b.arena, &op->rules)->version = 1;
	r = rules_add(b.arena, &op->rules);
	r->version = 1;
	labels_set(b.arena, &r->labels, STR("zone"), STR("us"));
	return bench_apply(&b, c)->code;
}

/* What was let in can go on to its end: nothing is added to the rules that it was judged
 * by, at its configurations or at those of releases beside it. */
START_TEST(nobody_adds_rules_while_one_is_out)
{
	static const enum release_move moves[] = { 0, MOVE_PAUSE, MOVE_RESUME };
	const char *first, *second;

	policy("\"x\"");
	first = publish("01", "b");
	second = publish("12", "c");
	for (unsigned m = 0; m < ARRAY_LEN(moves); m++) {
		if (moves[m])
			ck_assert_int_eq(move(first, moves[m]), OK);
		for (unsigned i = 0; i < 3; i++) {
			ck_assert_int_eq(add_rule(i), E_LOCKED);
			ck_assert_ptr_nonnull(strstr(b.last.text, "by hand meanwhile"));
		}
	}
	ck_assert_int_eq(add_rule(3), OK);
	ck_assert_int_eq(move(first, MOVE_PROMOTE_FULL), OK);
	ck_assert_int_eq(add_rule(0), OK);
	ck_assert_int_eq(add_rule(1), E_LOCKED);
	ck_assert_int_eq(move(second, MOVE_PROMOTE_FULL), OK);
	serves("y", "accaaa");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/beside");
	TCase *t = tcase_create("beside");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, of_two_that_share_one_a_client_gets_the_newer_whole);
	tcase_add_test(t, what_is_completed_keeps_nobody_away);
	tcase_add_loop_test(t, the_older_one_goes_on_with_the_rest, 0, 2);
	tcase_add_test(t, what_a_newer_one_has_all_of_ends);
	tcase_add_test(t, what_connected_them_gives_way);
	tcase_add_loop_test(t, what_gives_way_moves_by_the_same_command, 0, 2);
	tcase_add_test(t, what_waits_gives_way_too);
	tcase_add_test(t, they_are_connected_by_others_too);
	tcase_add_test(t, what_connects_two_groups_is_of_both);
	tcase_add_test(t, what_connected_them_is_deleted);
	tcase_add_loop_test(t, what_connected_them_goes_before_one_moves, 0,
			    ARRAY_LEN(move_lines));
	tcase_add_test(t, a_release_without_anything_is_over_at_once);
	tcase_add_test(t, an_emergency_leaves_nothing_of_them);
	tcase_add_test(t, too_many_are_refused);
	tcase_add_test(t, nobody_adds_rules_while_one_is_out);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
