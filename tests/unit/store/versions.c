/* The cluster's version follows the oldest program among its members. */
#include "lab.h"

#include "base/banned.h"

/* What this program knows, and what one after it does. */
#define NOW CLUSTER_VERSION
#define NEXT (CLUSTER_VERSION + 1)

static struct lab_write writes[2];

static bool all_are_at(uint64_t version)
{
	for (unsigned id = 1; id <= LAB_MAX; id++)
		if (lab[id - 1].store && lab_status(id).version != version)
			return false;
	return true;
}

static uint64_t rounds(void)
{
	uint64_t n = 0;

	for (unsigned id = 1; id <= LAB_MAX; id++)
		if (lab[id - 1].store)
			n += lab_status(id).version_rounds;
	return n;
}

START_TEST(all_know_it_and_it_grows)
{
	lab_knows = NEXT;
	lab_found(3);
	LAB_WAIT(all_are_at(NEXT));
	/* It is found again, and an older program is refused. */
	lab_stop(1);
	lab_start(1, 3);
	LAB_WAIT(lab_status(1).is_ready);
	ck_assert_uint_eq(lab_status(1).version, NEXT);
}
END_TEST

/* Whoever leads: a node that is old does not raise it, one that is new asks. */
START_TEST(the_oldest_holds_it_back)
{
	lab_knows = NEXT;
	lab_start(1, 3);
	lab_start(2, 3);
	/* Two answer; the third is not there. */
	LAB_WAIT(rounds() > 0);
	ck_assert(all_are_at(1));
	lab_knows = NOW;
	lab_start(3, 3);
	LAB_WAIT(lab_status(3).is_ready);
	while (lab_status(3).node.is_leader) {
		lab_stop(3);
		LAB_WAIT(lab_status(1).node.is_leader ||
			 lab_status(2).node.is_leader);
		lab_start(3, 3);
		LAB_WAIT(lab_status(3).is_ready);
	}
	LAB_WAIT(all_are_at(NOW));
	{
		/* One of them may have begun before the third came. */
		uint64_t before = rounds();

		LAB_WAIT(rounds() > before + 1);
	}
	ck_assert(all_are_at(NOW));
	/* Upgraded in its place. */
	lab_stop(3);
	lab_knows = NEXT;
	lab_start(3, 3);
	LAB_WAIT(all_are_at(NEXT));
}
END_TEST

/* What is written first finds it there: a command that only this version knows is
 * not refused for its haste. */
START_TEST(a_node_alone_raises_it_before_any_write)
{
	struct command *c = lab_put("acme", 0);
	struct op *op = command_op(lab_arena, c, OP_OBJECT_PUT);
	const struct outcome *o;

	op->kind = KIND_FREEZE_WINDOW;
	op->tenant = STR("acme");
	op->name = STR("night");
	op->uid = uuid_new();
	op->labels = op->meta = STR("{}");
	op->spec = STR("{\"calendar\":[{\"cron\":\"0 0 * * *\",\"duration\":\"1h\"}]}");
	lab_start_alone();
	o = lab_write(&writes[0], 1, lab_encode(c));
	ck_assert_msg(o->code == OK, "%s", o->text);
	ck_assert_uint_eq(lab_status(1).version, NOW);
	lab_stop(1);
	/* Nor is it raised again. */
	lab_start_alone();
	LAB_WAIT(lab_status(1).is_ready);
	ck_assert_uint_eq(lab_status(1).version, NOW);
}
END_TEST

/* It would stop the apply of all. */
START_TEST(a_leader_does_not_log_what_it_does_not_know)
{
	static const char newer[] = { 2, 1, 0 };
	unsigned leader = lab_found(3), at = lab_other(leader);

	ck_assert_int_ne(lab_write(&writes[0], at, str_n(newer, 3))->code, OK);
	ck_assert_int_eq(lab_write(&writes[1], at,
				   lab_encode(lab_put("acme", 1)))->code, OK);
	for (unsigned id = 1; id <= LAB_MAX; id++)
		ck_assert(!lab_status(id).has_failed);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store/versions");
	TCase *t = tcase_create("versions");

	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, all_know_it_and_it_grows);
	tcase_add_test(t, the_oldest_holds_it_back);
	tcase_add_test(t, a_node_alone_raises_it_before_any_write);
	tcase_add_test(t, a_leader_does_not_log_what_it_does_not_know);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
