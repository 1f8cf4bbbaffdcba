/*
 * Emergencies, and what is kept from accidents: behind the broken glass a change goes
 * out at once, its review stays until somebody closes it, what turns back in an emergency
 * does so once, and no environment goes that is in use or protected.
 */
#include "gate_help.h"
#include "state/outbox.h"
#include "state/rollout.h"
#include "unit.h"

#include "base/banned.h"

#define GLASS "{\"breakGlass\":{\"subjects\":[\"eve\"]},\"stages\":[" BY("leads") "]}"
#define CANARY "{\"steps\":[{\"percent\":10}],\"strategy\":\"canary\"}"
#define REVIEWS 32

static void setup(void)
{
	gate_setup();
	people();
}

static enum code break_glass(const char *text)
{
	struct command *c = as("eve");

	c->flags = COMMAND_BREAK_GLASS;
	c->reason = STR("it burns");
	return publish(c, text)->code;
}

/* Past steps, and past what is out in steps. */
START_TEST(it_goes_out_at_once)
{
	make(KIND_RELEASE_POLICY, "steps", CANARY);
	ck_assert_int_eq(publish(as("ann"), "two\n")->code, OK);
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 1);
	make(KIND_APPROVAL_POLICY, "prod", GLASS);
	ck_assert_int_eq(break_glass("three\n"), OK);
	proposed("Executed");
	ck_assert_str_eq(live(), "three\n");
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 0);
	/* The next one goes its way. */
	delete(KIND_APPROVAL_POLICY, "prod");
	ck_assert_int_eq(publish(as("ann"), "four\n")->code, OK);
	ck_assert_str_eq(live(), "three\n");
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 1);
}
END_TEST

/* ---- of a release, while others are out there ---- */

#define BESIDE "{\"concurrency\":{\"policy\":\"Parallel\"},\"keepPrevious\":\"1h\"," \
	       "\"steps\":[{\"percent\":10}],\"strategy\":\"canary\"}"

static bool see_newest(void *data, const struct object_view *o)
{
	*(struct str *)data = arena_str(b.arena, o->name);
	return true;
}

/* As the source; its release. */
static struct str push(const char *text)
{
	struct command *c = bench_command(&b);
	struct str name = STR_NONE;
	struct kv_txn *txn;

	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
	c->flags = COMMAND_TAKE_OVER;
	c->commit = STR("main@sha1:1");
	ck_assert_int_eq(publish(c, text)->code, OK);
	txn = bench_read(&b);
	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE, STR_NONE,
				   see_newest, &name, NULL), OK);
	kv_end(&txn);
	return name;
}

static void move(struct str release, enum release_move move, enum rollback_mode mode)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = release;
	op->move = move;
	op->mode = mode;
	op->step = STEP_ANY;
	op->message = STR("it burns");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

struct told_of {
	struct str release;
	unsigned n;
};

static bool see_told(void *data, const struct outbox_row *row)
{
	struct told_of *t = data;

	t->n += row->notice == NOTICE_ROLLED_BACK && str_eq(row->name, t->release);
	return true;
}

static unsigned times_told(struct uuid hook, struct str release)
{
	struct told_of t = { release, 0 };
	struct kv_txn *txn = bench_read(&b);

	view_outbox(txn, hook, OUTBOX_WAITING, 0, see_told, &t);
	kv_end(&txn);
	return t.n;
}

/* The first and the last bring the same; odd: the first was completed, and is switched
 * back.  Each turns back once, and what the source brings is held. */
START_TEST(each_turns_back_once)
{
	struct str first, second, last;
	struct live_row held;
	struct object_view o;
	struct kv_txn *txn;
	struct uuid hook;

	make(KIND_RELEASE_POLICY, "beside", BESIDE);
	make(KIND_WEBHOOK, "hook", "{\"url\":\"https://one.example\"}");
	hook = b.last.results[0].uid;
	first = push("two\n");
	if (_i)
		move(first, MOVE_PROMOTE_FULL, ROLLBACK_STABLE_ONLY);
	second = push("three\n");
	last = push("two\n");
	move(first, MOVE_ROLLBACK, ROLLBACK_EMERGENCY);
	ck_assert_uint_eq(times_told(hook, first), 1);
	ck_assert_uint_eq(times_told(hook, second), 1);
	ck_assert_uint_eq(times_told(hook, last), 1);
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 0);
	ck_assert_str_eq(live(), "one\n");
	txn = bench_read(&b);
	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"), STR(CONFIG), &o,
				     NULL), OK);
	held = o.live;
	ck_assert(held.has_hold && held.hold_release == release_number(last));
	kv_end(&txn);
	/* That, and the two that turned back there besides. */
	ck_assert_uint_eq(rows(KV_RELEASING), 3);
	push("two\n");
	ck_assert_uint_eq(rows(KV_ROLLOUTS), 0);
}
END_TEST

static void keep_one(void)
{
	struct command c = { .type = COMMAND_LIMITS, .time_ms = b.time_ms,
			     .limits = { .releases_max = 1 } };

	bench_apply(&b, &c);
	ck_assert_int_eq(b.last.code, OK);
}

static bool is_kept(const char *name)
{
	struct kv_txn *txn = bench_read(&b);
	struct proposal_row row;
	bool is = view_proposal(txn, b.arena, STR("acme"), str_of(name), &row,
				NULL) == OK;

	kv_end(&txn);
	return is;
}

/* A proposal that has ended and of which nothing is left. */
static const char *one_more(const char *text)
{
	const char *p;

	ck_assert_int_eq(publish(as("ann"), text)->code, OK);
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_REJECT), OK);
	tick_after(26 * 3600000);
	tick_after(1000);
	return p;
}

START_TEST(an_open_review_stays)
{
	const char *open, *other;

	make(KIND_APPROVAL_POLICY, "prod", GLASS);
	ck_assert_int_eq(break_glass("two\n"), OK);
	open = proposed("Executed");
	tick_after(26 * 3600000);
	tick_after(1000);
	ck_assert(row_of(open).is_cleared);
	keep_one();
	other = one_more("a\n");
	ck_assert(is_kept(open));
	one_more("b\n");
	/* What is behind it goes. */
	ck_assert(is_kept(open) && !is_kept(other));
	ck_assert_int_eq(vote("bob", open, VOTE_REVIEW), OK);
	one_more("c\n");
	ck_assert(!is_kept(open));
}
END_TEST

START_TEST(so_many_are_open_and_no_more)
{
	char text[] = "aa\n";
	const char *first = NULL;

	make(KIND_APPROVAL_POLICY, "prod", GLASS);
	for (int i = 0; i < REVIEWS; i++) {
		text[0] = (char)('a' + i % 16);
		text[1] = (char)('a' + i / 16);
		ck_assert_int_eq(break_glass(text), OK);
		first = first ? first : proposed("Executed");
	}
	ck_assert_int_eq(break_glass("one more\n"), E_QUOTA);
	ck_assert_str_eq(live(), text);
	ck_assert_int_eq(vote("bob", first, VOTE_REVIEW), OK);
	ck_assert_int_eq(break_glass("one more\n"), OK);
	ck_assert_int_eq(break_glass("two more\n"), E_QUOTA);
}
END_TEST

static enum code delete_environment(const char *name)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

	op->kind = KIND_ENVIRONMENT;
	op->tenant = STR("acme");
	op->name = str_of(name);
	return bench_apply(&b, c)->code;
}

START_TEST(an_environment_in_use_stays)
{
	make(KIND_ENVIRONMENT, "shop.prod",
	     "{\"application\":\"shop\",\"environment\":\"prod\",\"protected\":false}");
	make(KIND_ENVIRONMENT, "shop.pro",
	     "{\"application\":\"shop\",\"environment\":\"pro\",\"protected\":true}");
	ck_assert_int_eq(delete_environment("shop.prod"), E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(b.last.text, "in use"));
	ck_assert_int_eq(delete_environment("shop.pro"), E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(b.last.text, "protected"));
	make(KIND_ENVIRONMENT, "shop.pro",
	     "{\"application\":\"shop\",\"environment\":\"pro\",\"protected\":false}");
	ck_assert_int_eq(delete_environment("shop.pro"), OK);
	delete(KIND_CONFIG, CONFIG);
	ck_assert_int_eq(delete_environment("shop.prod"), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/emergency");
	TCase *t = tcase_create("emergency");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, gate_teardown);
	tcase_add_test(t, it_goes_out_at_once);
	tcase_add_loop_test(t, each_turns_back_once, 0, 2);
	tcase_add_test(t, an_open_review_stays);
	tcase_add_test(t, so_many_are_open_and_no_more);
	tcase_add_test(t, an_environment_in_use_stays);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
