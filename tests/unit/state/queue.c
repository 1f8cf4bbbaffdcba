/*
 * Releases that wait for one another (concurrency Queue): however many wait, the one
 * that is out goes on; none begins in a freeze; turning one back is no endless story.
 */
#include "gate_help.h"
#include "state/rollout.h"
#include "unit.h"

#include "base/banned.h"

#define QUEUE "{\"concurrency\":{\"policy\":\"Queue\"},\"strategy\":\"canary\"," \
	      "\"steps\":[{\"labels\":{\"zone\":\"eu\"}},{\"percent\":50}," \
	      "{\"percent\":100}]}"

static char first[RELEASE_NAME_MAX], newest[RELEASE_NAME_MAX];

static void setup(void)
{
	gate_setup();
	people();
	make(KIND_RELEASE_POLICY, "queue", QUEUE);
}

static bool see(void *data, const struct object_view *o)
{
	str_copy(newest, sizeof(newest), o->name);
	return true;
}

static enum code send(const char *text)
{
	struct kv_txn *txn;
	enum code rc = publish(as("ann"), text)->code;

	txn = bench_read(&b);
	ck_assert_int_eq(view_list(txn, KIND_RELEASE, STR("acme"), STR_NONE,
				   STR_NONE, see, NULL, NULL), OK);
	kv_end(&txn);
	return rc;
}

static void send_many(unsigned n)
{
	ck_assert_int_eq(send("0"), OK);
	memcpy(first, newest, sizeof(first));
	for (unsigned i = 1; i < n; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%u", i % 2);
		ck_assert_msg(send(text) == OK, "%s", b.last.text);
	}
}

static enum code move(const char *name, enum release_move move)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = arena_str(b.arena, str_of(name));
	op->move = move;
	op->step = STEP_ANY;
	op->message = STR("because");
	op->mode = ROLLBACK_STABLE_ONLY;
	return bench_apply(&b, c)->code;
}

static uint64_t open_ones(void)
{
	return rows(KV_ROLLOUTS);
}

START_TEST(a_long_queue_stops_nobody)
{
	char second[RELEASE_NAME_MAX];

	ck_assert_int_eq(send("0"), OK);
	memcpy(first, newest, sizeof(first));
	ck_assert_int_eq(send("1"), OK);
	memcpy(second, newest, sizeof(second));
	for (unsigned i = 2; i < 40; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%u", i);
		ck_assert_int_eq(send(text), OK);
	}
	ck_assert_msg(move(first, MOVE_ADVANCE) == OK, "%s", b.last.text);
	ck_assert_msg(move(first, MOVE_PROMOTE_FULL) == OK, "%s", b.last.text);
	ck_assert_msg(move(second, MOVE_START) == OK, "%s", b.last.text);
	ck_assert_str_eq(live(), "0");
}
END_TEST

START_TEST(the_queue_has_an_end)
{
	send_many(QUEUED_MAX + 1);
	ck_assert_int_eq(send("more"), E_QUOTA);
	ck_assert_ptr_nonnull(strstr(b.last.text, "100 releases wait"));
	ck_assert_uint_eq(open_ones(), QUEUED_MAX + 1);
	ck_assert_int_eq(move(first, MOVE_ABORT), OK);
	ck_assert_int_eq(send("more"), OK);
}
END_TEST

/* Every other one has what the first one had. */
START_TEST(all_of_that_content_turn_back_with_it)
{
	send_many(QUEUED_MAX + 1);
	ck_assert_int_eq(move(first, MOVE_ROLLBACK), OK);
	ck_assert_uint_eq(open_ones(), QUEUED_MAX / 2);
}
END_TEST

START_TEST(none_begins_in_a_freeze)
{
	static const char *const blocks[] = { "publish", "steps" };
	char spec[400];

	send_many(2);
	snprintf(spec, sizeof(spec), "{\"blocks\":[\"%s\"],\"owner\":\"ops\","
		 "\"reason\":\"sale\",\"interval\":{\"start\":"
		 "\"2000-01-01T00:00:00Z\",\"end\":\"2199-01-01T00:00:00Z\"}}",
		 blocks[_i]);
	make(KIND_FREEZE_WINDOW, "w", spec);
	ck_assert_int_eq(move(first, MOVE_ROLLBACK), OK);
	ck_assert_int_eq(move(newest, MOVE_START), E_FROZEN);
	ck_assert_ptr_nonnull(strstr(b.last.text, "window w"));
	delete(KIND_FREEZE_WINDOW, "w");
	ck_assert_int_eq(move(newest, MOVE_START), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/queue");
	TCase *t = tcase_create("queue");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, gate_teardown);
	tcase_add_test(t, a_long_queue_stops_nobody);
	tcase_add_test(t, the_queue_has_an_end);
	tcase_add_test(t, all_of_that_content_turn_back_with_it);
	tcase_add_loop_test(t, none_begins_in_a_freeze, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
