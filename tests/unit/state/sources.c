/* Who follows sources is told of what they go by, and of nothing else. */
#include "gate_help.h"
#include "unit.h"

#include "base/banned.h"

static uint64_t seen;

static void setup(void)
{
	gate_setup();
	people();
	seen = state_source_changes(b.state);
}

/* Was there something for them since this was asked last? */
static bool moved(void)
{
	uint64_t before = seen;

	seen = state_source_changes(b.state);
	return seen != before;
}

static void on_source(enum op_type type)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, type);

	op->kind = KIND_SOURCE;
	op->tenant = STR("acme");
	op->name = STR("git");
	op->labels = op->meta = op->spec = STR("{}");
	op->status = STR("{\"conditions\":[]}");
	op->uid = uuid_new();
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

START_TEST(publishes_are_nothing_to_them)
{
	for (char text[] = "b"; *text < 'f'; (*text)++)
		ck_assert_int_eq(publish(as("ann"), text)->code, OK);
	ck_assert_str_eq(live(), "e");
	ck_assert_uint_gt(rows(KV_EVENTS), 4);
	ck_assert(!moved());
}
END_TEST

START_TEST(each_change_of_one_is)
{
	on_source(OP_OBJECT_PUT);
	ck_assert(moved());
	on_source(OP_OBJECT_STATUS);
	ck_assert(moved());
	on_source(OP_OBJECT_DELETE);
	ck_assert(moved());
}
END_TEST

/* What was not let through may be one's own. */
START_TEST(a_proposal_that_moves_on_is)
{
	const char *p;

	need_leads();
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	(void)moved();
	ck_assert_int_eq(vote("ann", p, VOTE_CANCEL), OK);
	ck_assert(moved());
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/sources");
	TCase *t = tcase_create("sources");

	tcase_add_checked_fixture(t, setup, gate_teardown);
	tcase_add_test(t, publishes_are_nothing_to_them);
	tcase_add_test(t, each_change_of_one_is);
	tcase_add_test(t, a_proposal_that_moves_on_is);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
