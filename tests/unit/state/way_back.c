/*
 * Ways back: what was live may come back at once, whatever holds publishes; what never
 * was is a publish, whatever it is called; and what was turned back comes back only by
 * its name.
 */
#include "gate_help.h"
#include "state/way_back.h"
#include "unit.h"

#include "base/banned.h"

#define SHUT "{\"interval\":{\"end\":\"2099-01-01T00:00:00Z\",\"start\":" \
	"\"2000-01-01T00:00:00Z\"},\"owner\":\"o\",\"reason\":\"sale\"}"
#define PUBLISHES "{\"operations\":[\"publish\"],\"stages\":[" BY("leads") "]}"
#define CANARY "{\"steps\":[{\"labels\":{\"zone\":\"eu\"}},{\"percent\":50}]," \
	"\"strategy\":\"canary\"}"

static struct op *config_op(struct command *c, enum op_type type)
{
	struct op *op = command_op(b.arena, c, type);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(CONFIG);
	return op;
}

/* A version that nobody gets. */
static void put_aside(struct command *c, const char *text)
{
	put_blob(&b, "acme", str_of(text));
	add_version(&b, c, "acme", CONFIG, str_of(text), false);
}

static void aside(const char *text)
{
	struct command *c = as("ann");

	put_aside(c, text);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_str_eq(b.last.phase, "");
}

static enum code back_by(const char *who, uint32_t version, enum rollback_mode mode)
{
	struct command *c = as(who);
	struct op *op = config_op(c, OP_ROLLBACK);

	op->version = version;
	op->mode = mode;
	return bench_apply(&b, c)->code;
}

static enum code back(uint32_t version)
{
	return back_by("ann", version, ROLLBACK_STABLE_ONLY);
}

static enum code bring(const char *text)
{
	return publish(bench_command(&b), text)->code;
}

/* By Git, which holds what is turned back. */
static enum code push(const char *text)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = STR("source:acme/s"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
	c->flags = COMMAND_TAKE_OVER;
	publish(c, text);
	return b.last.code;
}

static struct live_row live_row(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view o;
	struct live_row row;

	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"), STR(CONFIG), &o,
				     NULL), OK);
	ck_assert(o.has_live);
	row = o.live;
	kv_end(&txn);
	return row;
}

static bool holds(const char *text)
{
	struct live_row row = live_row();
	struct sha256 sha = sha256_of(str_of(text));

	return row.has_hold && sha256_eq(&row.hold, &sha);
}

static void setup(void)
{
	gate_setup();
	people();
	let_in("rob", "", BIT(VERB_ROLLBACK), 0);
}

/* ---- what never was live ---- */

START_TEST(what_was_never_live_needs_approval)
{
	const char *p;

	need_leads();
	aside("two\n");
	ck_assert_int_eq(back(2), OK);
	p = proposed("Pending");
	ck_assert_str_eq(live(), "one\n");
	ck_assert_uint_eq(row_of(p).configs[0].actions,
			  BIT(GATE_ROLLBACK) | BIT(GATE_PUBLISH));
	ck_assert_int_eq(vote("ann", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(live(), "two\n");
	/* Both were live by now: ways back, which nobody is asked about. */
	ck_assert_int_eq(back(1), OK);
	ck_assert_str_eq(b.last.phase, "");
	ck_assert_str_eq(live(), "one\n");
	ck_assert_int_eq(back(2), OK);
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

/* The version comes by the same command. */
START_TEST(nor_what_its_own_command_puts_aside)
{
	struct command *c = as("ann");
	struct op *op;

	need_leads();
	put_aside(c, "two\n");
	op = config_op(c, OP_ROLLBACK);
	op->version = 2;
	op->mode = ROLLBACK_EMERGENCY;
	bench_apply(&b, c);
	proposed("Pending");
	ck_assert_str_eq(live(), "one\n");
	ck_assert_uint_eq(row_of(b.last.proposal).configs[0].actions,
			  BIT(GATE_ROLLBACK) | BIT(GATE_PUBLISH));
}
END_TEST

START_TEST(nor_does_it_go_out_in_a_window)
{
	aside("two\n");
	ck_assert_int_eq(bring("three\n"), OK);
	make(KIND_FREEZE_WINDOW, "w", SHUT);
	ck_assert_int_eq(back(2), E_FROZEN);
	ck_assert_str_eq(live(), "three\n");
	ck_assert_int_eq(back(1), OK);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_int_eq(back(3), OK);
	ck_assert_str_eq(live(), "three\n");
}
END_TEST

/* With approval it waits for the end of the window, as the leader is told. */
START_TEST(an_approved_one_waits_for_the_end_of_a_window)
{
	const char *p;

	need_leads();
	make(KIND_FREEZE_WINDOW, "w", SHUT);
	aside("two\n");
	ck_assert_int_eq(back(2), OK);
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), E_FROZEN);
	ck_assert_str_eq(live(), "one\n");
	delete(KIND_FREEZE_WINDOW, "w");
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

START_TEST(who_brings_it_may_publish)
{
	aside("two\n");
	ck_assert_int_eq(back_by("rob", 2, ROLLBACK_STABLE_ONLY), E_DENIED);
	ck_assert_ptr_nonnull(strstr(b.last.text, "never live"));
	ck_assert_int_eq(back(2), OK);
	ck_assert_int_eq(back_by("rob", 1, ROLLBACK_STABLE_ONLY), OK);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

START_TEST(it_goes_out_in_the_steps_of_its_policy)
{
	aside("two\n");
	make(KIND_RELEASE_POLICY, "p", CANARY);
	ck_assert_int_eq(back_by("ann", 2, ROLLBACK_EMERGENCY), E_UNPROCESSABLE);
	ck_assert_int_eq(back(2), OK);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 1);
	/* On its way already. */
	ck_assert_int_eq(back(2), OK);
	ck_assert(!b.last.results[0].changed);
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 1);
}
END_TEST

/* ---- rules ---- */

static enum code set_rules(uint32_t all, uint32_t eu, uint32_t bp)
{
	struct command *c = as("ann");
	struct op *op = config_op(c, OP_RULES_SET);
	struct rule *r = rules_add(b.arena, &op->rules);

	r->version = all;
	if (eu) {
		r = rules_add(b.arena, &op->rules);
		r->version = eu;
		labels_set(b.arena, &r->labels, STR("zone"), STR("eu"));
		r->has_percent = bp > 0;
		r->percent_bp = bp;
	}
	return bench_apply(&b, c)->code;
}

START_TEST(rules_that_bring_it_are_a_publish)
{
	const char *p;

	make(KIND_APPROVAL_POLICY, "prod", PUBLISHES);
	aside("two\n");
	/* The policy asks about publishes alone. */
	ck_assert_int_eq(set_rules(1, 1, 0), OK);
	ck_assert_str_eq(b.last.phase, "");
	ck_assert_int_eq(set_rules(1, 2, 0), OK);
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), OK);
	/* The same rule is nothing new, one for all is. */
	ck_assert_int_eq(set_rules(1, 2, 0), OK);
	ck_assert_str_eq(b.last.phase, "");
	ck_assert_int_eq(set_rules(2, 2, 0), OK);
	ck_assert_int_eq(vote("bob", proposed("Pending"), VOTE_REJECT), OK);
	/* Who saw it for some is no reason to bring it to all. */
	ck_assert_int_eq(back(2), OK);
	proposed("Pending");
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

START_TEST(rules_by_hand_do_not_go_past_steps)
{
	aside("two\n");
	make(KIND_RELEASE_POLICY, "p", CANARY);
	ck_assert_int_eq(set_rules(2, 1, 0), E_UNPROCESSABLE);
	ck_assert_int_eq(set_rules(1, 2, PERCENT_ALL), E_UNPROCESSABLE);
	/* Whom a label names, somebody means. */
	ck_assert_int_eq(set_rules(1, 2, 0), OK);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

/* ---- what was turned back ---- */

START_TEST(a_way_back_is_never_to_what_was_turned_back)
{
	ck_assert_int_eq(bring("two\n"), OK);
	ck_assert_int_eq(bring("three\n"), OK);
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "two\n");
	ck_assert_uint_eq(live_row().stable_version, 1);
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_int_eq(back(0), E_UNPROCESSABLE);
	ck_assert_ptr_nonnull(strstr(b.last.hint, "--version-id"));
	/* By its name it is wanted, and is a way back again. */
	ck_assert_int_eq(back(3), OK);
	ck_assert_int_eq(bring("four\n"), OK);
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "three\n");
}
END_TEST

START_TEST(nor_to_the_same_content_by_another_number)
{
	ck_assert_int_eq(bring("two\n"), OK);
	ck_assert_int_eq(bring("three\n"), OK);
	ck_assert_int_eq(bring("two\n"), OK);
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "three\n");
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "one\n");
	/* Whoever publishes it anew means it. */
	ck_assert_int_eq(bring("two\n"), OK);
	ck_assert_int_eq(bring("five\n"), OK);
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

START_TEST(nor_to_what_was_never_live)
{
	aside("two\n");
	ck_assert_int_eq(bring("three\n"), OK);
	ck_assert_int_eq(bring("four\n"), OK);
	ck_assert_int_eq(back(0), OK);
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

static bool newest(void *data, const struct object_view *o)
{
	str_copy(data, RELEASE_NAME_MAX, o->name);
	return true;
}

static enum code move_newest(enum release_move move)
{
	struct kv_txn *txn = bench_read(&b);
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);
	char name[RELEASE_NAME_MAX];

	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE, STR_NONE,
				   newest, name, NULL), OK);
	kv_end(&txn);
	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = arena_str(b.arena, str_of(name));
	op->move = move;
	op->step = UINT32_MAX;
	op->mode = ROLLBACK_STABLE_ONLY;
	return bench_apply(&b, c)->code;
}

/* Whoever manages it: what Git does not is not held, and is turned back as well. */
START_TEST(nor_to_what_a_release_turned_back)
{
	enum code (*const out)(const char *text) = _i ? push : bring;

	ck_assert_int_eq(out("zero\n"), OK);
	make(KIND_RELEASE_POLICY, "p", CANARY);
	ck_assert_int_eq(out("bad\n"), OK);
	ck_assert_int_eq(move_newest(MOVE_PROMOTE_FULL), OK);
	ck_assert_str_eq(live(), "bad\n");
	ck_assert_int_eq(move_newest(MOVE_ROLLBACK), OK);
	ck_assert_str_eq(live(), "zero\n");
	ck_assert_int_eq(holds("bad\n"), _i);
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "one\n");
	/* The source brings still the same, so that is what is held. */
	ck_assert_int_eq(holds("bad\n"), _i);
	ck_assert_int_eq(back(0), E_UNPROCESSABLE);
	ck_assert_int_eq(back(3), OK);
	ck_assert_str_eq(live(), "bad\n");
	ck_assert(!live_row().has_hold);
	ck_assert_uint_eq(rows(KV_RELEASING), 0);
}
END_TEST

/* It was in steps when it was turned back, so nobody but some had it. */
START_TEST(what_turned_back_on_its_way_is_a_publish_by_its_name)
{
	make(KIND_RELEASE_POLICY, "p", CANARY);
	ck_assert_int_eq(push("bad\n"), OK);
	ck_assert_int_eq(move_newest(MOVE_ROLLBACK), OK);
	ck_assert(holds("bad\n"));
	need_leads();
	ck_assert_int_eq(back(2), OK);
	proposed("Pending");
	delete(KIND_APPROVAL_POLICY, "prod");
	ck_assert_int_eq(back(2), OK);
	ck_assert(!live_row().has_hold);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 1);
}
END_TEST

START_TEST(pressed_twice_git_brings_neither)
{
	ck_assert_int_eq(push("good\n"), OK);
	ck_assert_int_eq(push("bad\n"), OK);
	ck_assert_int_eq(back(0), OK);
	ck_assert(holds("bad\n"));
	ck_assert_int_eq(back(0), OK);
	ck_assert_str_eq(live(), "one\n");
	ck_assert(holds("bad\n"));
	ck_assert_int_eq(push("bad\n"), OK);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_int_eq(push("good\n"), OK);
	ck_assert_str_eq(live(), "good\n");
	ck_assert(!live_row().has_hold);
}
END_TEST

/* ---- clusters that are not there yet ---- */

static struct version_row version_row(uint32_t version)
{
	struct kv_txn *txn = bench_read(&b);
	struct live_row live;
	struct object_view o;
	struct version_row row;

	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"), STR(CONFIG), &o,
				     NULL), OK);
	live = o.live;
	ck_assert_int_eq(view_version(txn, STR("acme"), live.uid, version, &row,
				      NULL), OK);
	kv_end(&txn);
	return row;
}

/* As it was: what was the default before, be it what was turned back. */
START_TEST(before_version_five_it_is_as_it_was)
{
	struct command v = { .type = COMMAND_VERSION, .version = VERSION_GATE };
	struct command *c;

	bench_open(&b, "boot-1");
	bench_shop(&b, "one\n");
	ck_assert_int_eq(bring("two\n"), OK);
	c = bench_command(&b);
	put_aside(c, "three\n");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	for (int i = 0; i < 2; i++) {
		c = bench_command(&b);
		config_op(c, OP_ROLLBACK)->mode = ROLLBACK_STABLE_ONLY;
		ck_assert_int_eq(bench_apply(&b, c)->code, OK);
		ck_assert_str_eq(live(), i ? "two\n" : "one\n");
	}
	for (uint32_t i = 1; i < 4; i++)
		ck_assert(!version_row(i).is_marked && version_row(i).was_live);
	v.time_ms = b.time_ms;
	ck_assert_int_eq(bench_apply(&b, &v)->code, OK);
	/* What was there then passed no gate, because there was none. */
	make(KIND_APPROVAL_POLICY, "prod", POLICY);
	c = bench_command(&b);
	config_op(c, OP_ROLLBACK)->mode = ROLLBACK_STABLE_ONLY;
	c->ops[0].version = 3;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_str_eq(live(), "three\n");
	ck_assert(version_row(2).is_marked && version_row(2).turned_back);
	bench_close(&b);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/way_back");
	TCase *t = tcase_create("way_back");
	TCase *old = tcase_create("old");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, gate_teardown);
	tcase_add_test(t, what_was_never_live_needs_approval);
	tcase_add_test(t, nor_what_its_own_command_puts_aside);
	tcase_add_test(t, nor_does_it_go_out_in_a_window);
	tcase_add_test(t, an_approved_one_waits_for_the_end_of_a_window);
	tcase_add_test(t, who_brings_it_may_publish);
	tcase_add_test(t, it_goes_out_in_the_steps_of_its_policy);
	tcase_add_test(t, rules_that_bring_it_are_a_publish);
	tcase_add_test(t, rules_by_hand_do_not_go_past_steps);
	tcase_add_test(t, a_way_back_is_never_to_what_was_turned_back);
	tcase_add_test(t, nor_to_the_same_content_by_another_number);
	tcase_add_test(t, nor_to_what_was_never_live);
	tcase_add_loop_test(t, nor_to_what_a_release_turned_back, 0, 2);
	tcase_add_test(t, what_turned_back_on_its_way_is_a_publish_by_its_name);
	tcase_add_test(t, pressed_twice_git_brings_neither);
	tcase_add_test(old, before_version_five_it_is_as_it_was);
	suite_add_tcase(s, t);
	suite_add_tcase(s, old);
	return s;
}

UNIT_MAIN(suite)
