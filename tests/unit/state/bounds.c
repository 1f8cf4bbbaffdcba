/* What a command may hold at most, and a tenant. */
#include "bench.h"
#include "unit.h"

#include "base/banned.h"

static struct bench b;

static void setup(void)
{
	bench_open(&b, "boot-1");
}

static void teardown(void)
{
	bench_close(&b);
}

static enum code deny(unsigned lines)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < lines; i++) {
		struct op *op = command_op(b.arena, c, OP_DENIED);

		op->name = arena_printf(b.arena, "address 203.0.%u.0/24", i);
		op->message = STR("get, unauthorized");
		op->size = 7;
	}
	return bench_apply(&b, c)->code;
}

START_TEST(denials_of_a_command_are_bounded)
{
	uint64_t seq = state_head(b.state)->audit_seq;

	ck_assert_int_eq(deny(DENIED_OPS_MAX), OK);
	ck_assert_uint_eq(state_head(b.state)->audit_seq, seq + 1);
	ck_assert_int_eq(deny(DENIED_OPS_MAX + 1), E_INVALID);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/bounds");
	TCase *t = tcase_create("bounds");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, denials_of_a_command_are_bounded);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
