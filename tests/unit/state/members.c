/* Audit records of changes of the membership, and the changes that are open. */
#include "unit.h"

#include "bench.h"
#include "state/rows.h"

#include "base/banned.h"

static struct bench b;

static void be_version(uint64_t v)
{
	struct command c = { .type = COMMAND_VERSION, .version = v,
			     .time_ms = b.time_ms };

	ck_assert_int_eq(bench_apply(&b, &c)->code, OK);
}

static void setup(void)
{
	bench_open(&b, "boot-1");
	be_version(VERSION_MEMBERS);
}

static void teardown(void)
{
	bench_close(&b);
}

static struct op op_of(enum member_stage stage, enum member_what what,
		       uint64_t node, uint8_t change)
{
	struct op op = { .type = OP_MEMBERS, .stage = stage, .member = what,
			 .node = node };

	op.uid.b[3] = change;
	if (what == MEMBER_ADD)
		op.name = STR("10.0.0.4:9001");
	return op;
}

static const struct outcome *apply(const struct op *op)
{
	struct command *c = bench_command(&b);

	*command_op(b.arena, c, OP_MEMBERS) = *op;
	return bench_apply(&b, c);
}

static uint64_t records(void)
{
	return state_head(b.state)->audit_seq;
}

static void count_one(void *data, const struct member_row *row)
{
	++*(unsigned *)data;
}

static unsigned open_changes(void)
{
	unsigned n = 0;

	state_open_members(b.state, count_one, &n);
	return n;
}

struct seen {
	char action[64], target[600], subject[64];
};

static bool take(void *data, const struct audit_row *row, bool right)
{
	struct seen *s = data;

	ck_assert(right);
	str_copy(s->action, sizeof(s->action), row->action);
	str_copy(s->target, sizeof(s->target), row->target);
	str_copy(s->subject, sizeof(s->subject), row->subject);
	return true;
}

/* The newest record. */
static struct seen last_record(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct seen s = { 0 };
	struct err err;

	ck_assert_int_eq(view_audit(txn, records() - 1, take, &s, &err), OK);
	kv_end(&txn);
	return s;
}

static void chain_holds(void)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t n;
	struct err err;

	ck_assert_msg(view_audit_verify(txn, &n, &err) == OK, "%s", err.text);
	kv_end(&txn);
}

START_TEST(asked_for_and_done)
{
	struct op op = op_of(MEMBER_ASKED, MEMBER_ADD, 4, 1);
	uint64_t before = records(), rev = state_head(b.state)->rev;
	struct seen s;

	op.force = true;
	ck_assert_int_eq(apply(&op)->code, OK);
	ck_assert_uint_eq(open_changes(), 1);
	s = last_record();
	ck_assert_str_eq(s.action, "member-add");
	ck_assert_str_eq(s.target, "member-add node 4 at 10.0.0.4:9001, by "
			 "force: asked for");
	ck_assert_str_eq(s.subject, "token:root");
	op = op_of(MEMBER_ENDED, MEMBER_ADD, 4, 1);
	op.is_done = true;
	ck_assert_int_eq(apply(&op)->code, OK);
	ck_assert_str_eq(last_record().target,
			 "member-add node 4 at 10.0.0.4:9001: done");
	ck_assert_uint_eq(open_changes(), 0);
	ck_assert_uint_eq(records(), before + 2);
	/* It is no change of an object. */
	ck_assert_uint_eq(state_head(b.state)->rev, rev);
	chain_holds();
}
END_TEST

START_TEST(a_refusal_says_why)
{
	struct op op = op_of(MEMBER_ASKED, MEMBER_PROMOTE, 4, 1);

	apply(&op);
	op = op_of(MEMBER_ENDED, MEMBER_PROMOTE, 4, 1);
	op.message = STR("conflict: it has not caught up");
	ck_assert_int_eq(apply(&op)->code, OK);
	ck_assert_str_eq(last_record().action, "member-promote");
	ck_assert_str_eq(last_record().target,
			 "member-promote node 4: refused, conflict: it has not "
			 "caught up");
	op = op_of(MEMBER_NOTED, MEMBER_LEAD, 9, 2);
	op.message = STR("not-found: node 9 is no member");
	ck_assert_int_eq(apply(&op)->code, OK);
	ck_assert_str_eq(last_record().action, "leader-transfer");
	ck_assert_str_eq(last_record().target,
			 "leader-transfer node 9: refused, not-found: node 9 is "
			 "no member");
	ck_assert_uint_eq(open_changes(), 0);
	chain_holds();
}
END_TEST

/* The first that says what came of it counts. */
START_TEST(what_was_found_is_said_once)
{
	struct op op = op_of(MEMBER_ASKED, MEMBER_REMOVE, 4, 1);
	uint64_t asked = records(), after;
	char expect[200];

	apply(&op);
	bench_reopen(&b, "boot-1", true, NULL);
	ck_assert_uint_eq(open_changes(), 1);
	op = op_of(MEMBER_FOUND, MEMBER_REMOVE, 4, 1);
	op.message = STR("found no member by the membership of entry 12");
	ck_assert_int_eq(apply(&op)->code, OK);
	snprintf(expect, sizeof(expect), "member-remove node 4: found no member "
		 "by the membership of entry 12; asked for by token:root in "
		 "record %llu", (unsigned long long)asked);
	ck_assert_str_eq(last_record().target, expect);
	after = records();
	ck_assert_int_eq(apply(&op)->code, OK);
	op = op_of(MEMBER_ENDED, MEMBER_REMOVE, 4, 1);
	ck_assert_int_eq(apply(&op)->code, OK);
	ck_assert_uint_eq(records(), after);
	ck_assert_uint_eq(open_changes(), 0);
	chain_holds();
}
END_TEST

START_TEST(what_is_refused_leaves_nothing)
{
	struct op op = op_of(MEMBER_ASKED, MEMBER_ADD, 4, 1);
	uint64_t before;
	char text[MEMBER_TEXT_MAX + 1];

	apply(&op);
	before = records();
	ck_assert_int_eq(apply(&op)->code, E_EXISTS);
	op.uid.b[0] = 9;
	op.node = 65536;
	ck_assert_int_eq(apply(&op)->code, E_INVALID);
	op.node = 0;
	ck_assert_int_eq(apply(&op)->code, E_INVALID);
	op.node = 4;
	op.member = MEMBER_INITIALIZE;
	ck_assert_int_eq(apply(&op)->code, E_INVALID);
	op.member = MEMBER_ADD;
	op.message = STR("\xff");
	ck_assert_int_eq(apply(&op)->code, E_INVALID);
	memset(text, 'x', sizeof(text));
	op.message = str_n(text, sizeof(text));
	ck_assert_int_eq(apply(&op)->code, E_INVALID);
	ck_assert_uint_eq(records(), before);
	ck_assert_uint_eq(open_changes(), 1);
}
END_TEST

START_TEST(a_bounded_number_is_open)
{
	for (unsigned i = 0; i < MEMBERS_OPEN_MAX; i++) {
		struct op op = op_of(MEMBER_ASKED, MEMBER_ADD, i + 1,
				     (uint8_t)i);

		ck_assert_int_eq(apply(&op)->code, OK);
	}
	{
		struct op op = op_of(MEMBER_ASKED, MEMBER_ADD, 99, 99);

		ck_assert_int_eq(apply(&op)->code, E_BUSY);
	}
	ck_assert_uint_eq(open_changes(), MEMBERS_OPEN_MAX);
}
END_TEST

/* Who reads and nothing else may not ask, whatever a node says. */
START_TEST(the_subject_counts)
{
	struct command *c = bench_command(&b);

	*command_op(b.arena, c, OP_MEMBERS) = op_of(MEMBER_ASKED, MEMBER_ADD, 4,
						    1);
	c->subject.role = ROLE_READ_ONLY;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
	ck_assert_uint_eq(open_changes(), 0);
}
END_TEST

/* A cluster that came out of a backup has other members. */
START_TEST(a_restore_closes_what_was_open)
{
	struct op op = op_of(MEMBER_ASKED, MEMBER_ADD, 4, 1);
	struct command c = { .type = COMMAND_RESTORED, .time_ms = b.time_ms,
			     .from = RESTORED_BACKUP, .origin = STR("cli") };

	apply(&op);
	op.uid.b[0] = 1;
	apply(&op);
	ck_assert_uint_eq(open_changes(), 2);
	ck_assert_int_eq(bench_apply(&b, &c)->code, OK);
	ck_assert_uint_eq(open_changes(), 0);
	chain_holds();
}
END_TEST

/* Of a stage, or a kind of change, that a newer program has. */
START_TEST(what_a_newer_program_says_stops_apply)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_MEMBERS);
	struct err err = { 0 };
	struct str entry;

	*op = op_of(MEMBER_ASKED, MEMBER_ADD, 4, 1);
	if (_i)
		op->member = MEMBER_WHAT__END;
	else
		op->stage = MEMBER_STAGE__END;
	entry = bench_encode(&b, c);
	ck_assert_int_eq(bench_try(&b, &entry, 1, &err), E_UNSUPPORTED);
	bench_reopen(&b, "boot-1", true, NULL);
}
END_TEST

START_TEST(below_its_version_it_is_refused)
{
	struct op op = op_of(MEMBER_ASKED, MEMBER_ADD, 4, 1);
	uint64_t before;

	bench_close(&b);
	bench_open(&b, "boot-1");
	before = records();
	ck_assert_int_eq(apply(&op)->code, E_CONFLICT);
	ck_assert_uint_eq(records(), before);
	ck_assert_uint_eq(open_changes(), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/members");
	TCase *t = tcase_create("members");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, asked_for_and_done);
	tcase_add_test(t, a_refusal_says_why);
	tcase_add_test(t, what_was_found_is_said_once);
	tcase_add_test(t, what_is_refused_leaves_nothing);
	tcase_add_test(t, a_bounded_number_is_open);
	tcase_add_test(t, the_subject_counts);
	tcase_add_test(t, a_restore_closes_what_was_open);
	tcase_add_loop_test(t, what_a_newer_program_says_stops_apply, 0, 2);
	tcase_add_test(t, below_its_version_it_is_refused);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
