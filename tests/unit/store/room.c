/* A store that has nearly all that it may: what it still takes, so that somebody can
 * make room before its file is full, which would stop every node at the same entry. */
#include "base/mem.h"
#include "lab.h"
#include "state/view.h"

#include "base/banned.h"

static struct lab_write writes[8];

static enum code limit_to(struct lab_write *w, uint64_t bytes_max)
{
	struct command c = { .type = COMMAND_LIMITS,
			     .limits = { .bytes_max = bytes_max } };

	return lab_write(w, 1, lab_encode(&c))->code;
}

static struct command *delete(const char *name)
{
	struct command *c = lab_put(name, 0);

	c->ops[0] = (struct op){ .type = OP_OBJECT_DELETE, .kind = KIND_TENANT,
				 .name = str_of(name) };
	return c;
}

static struct command *token(void)
{
	struct command *c = lab_put("t", 0);

	c->ops[0] = (struct op){ .type = OP_TOKEN_PUT, .name = STR("t"),
				 .role = ROLE_ROOT };
	return c;
}

static struct command *with_content(const char *name)
{
	struct command *c = lab_put(name, 0);

	*command_content(lab_arena, c) = (struct content_part){
		str_of(name), sha256_of(STR("x")), STR("x") };
	return c;
}

START_TEST(what_makes_room_is_let_in)
{
	uint64_t bytes;

	lab_start_alone();
	ck_assert_int_eq(lab_write(&writes[0], 1, lab_encode(lab_put("a", 0)))->code,
			 OK);
	bytes = lab_status(1).bytes;
	ck_assert_int_eq(limit_to(&writes[1], bytes * 100 / 85), OK);
	ck_assert_int_eq(lab_write(&writes[2], 1,
				   lab_encode(with_content("a")))->code, E_FULL);
	ck_assert_int_eq(limit_to(&writes[3], bytes), OK);
	ck_assert_int_eq(lab_write(&writes[4], 1, lab_encode(lab_put("b", 0)))->code,
			 E_FULL);
	ck_assert_ptr_nonnull(strstr(writes[4].outcome.text, "storage.bytes_max"));
	ck_assert_int_eq(lab_write(&writes[5], 1, lab_encode(delete("a")))->code, OK);
	ck_assert_int_eq(limit_to(&writes[6], bytes * 1000), OK);
	ck_assert_int_eq(lab_write(&writes[7], 1,
				   lab_encode(lab_put("b", 0)))->code, OK);
}
END_TEST

/* His own key says that it is the same write: it adds nothing, and he is told what
 * came of it. */
START_TEST(what_was_done_already_is_told_by_a_full_store)
{
	uint64_t bytes, rev;

	lab_start_alone();
	rev = lab_write(&writes[0], 1, lab_encode(lab_put("a", 7)))->rev;
	ck_assert_uint_gt(rev, 0);
	bytes = lab_status(1).bytes;
	ck_assert_int_eq(limit_to(&writes[1], bytes), OK);
	ck_assert_int_eq(lab_write(&writes[2], 1, lab_encode(lab_put("b", 8)))->code,
			 E_FULL);
	ck_assert_msg(lab_write(&writes[3], 1, lab_encode(lab_put("a", 7)))->code ==
		      OK, "%s", writes[3].outcome.text);
	ck_assert(writes[3].outcome.replayed);
	ck_assert_uint_eq(writes[3].outcome.rev, rev);
}
END_TEST

static struct limits limits_now(void)
{
	struct view *view;
	struct kv_txn *txn;
	struct head head;
	struct err err;

	ck_assert_int_eq(view_new(lab[0].store, &view, &err), OK);
	ck_assert_int_eq(view_use(view, store_rev(lab[0].store), &txn, &err), OK);
	ck_assert_int_eq(view_head(txn, &head, &err), OK);
	view_free(&view);
	return head.limits;
}

/* What is written before the node leads comes behind them, and so does whoever comes
 * with the next start. */
START_TEST(limits_are_in_force_before_the_first_write)
{
	lab_limits.versions_max = 7;
	lab_start_alone();
	ck_assert_int_eq(lab_write(&writes[0], 1, lab_encode(lab_put("a", 0)))->code,
			 OK);
	ck_assert_uint_eq(limits_now().versions_max, 7);
	ck_assert_uint_eq(limits_now().events_max, limits_default.events_max);
	lab_stop(1);
	lab_limits.versions_max = 8;
	lab_start_alone();
	ck_assert_int_eq(lab_write(&writes[1], 1, lab_encode(lab_put("b", 0)))->code,
			 OK);
	ck_assert_uint_eq(limits_now().versions_max, 8);
}
END_TEST

START_TEST(while_a_backup_is_taken_nothing_comes_in)
{
	lab_start_alone();
	ck_assert_int_eq(lab_write(&writes[0], 1, lab_encode(lab_put("a", 0)))->code,
			 OK);
	store_take_backup(lab[0].store, true);
	ck_assert_int_eq(lab_write(&writes[1], 1, lab_encode(lab_put("b", 0)))->code,
			 E_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(writes[1].outcome.text, "backup"));
	/* Nor what adds no rows, or only a token: it would be acknowledged and lost. */
	ck_assert_int_eq(lab_write(&writes[3], 1, lab_encode(delete("a")))->code,
			 E_UNAVAILABLE);
	ck_assert_int_eq(lab_write(&writes[4], 1, lab_encode(token()))->code,
			 E_UNAVAILABLE);
	store_take_backup(lab[0].store, false);
	ck_assert_int_eq(lab_write(&writes[2], 1, lab_encode(lab_put("b", 0)))->code,
			 OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store/room");
	TCase *t = tcase_create("room");

	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_makes_room_is_let_in);
	tcase_add_test(t, what_was_done_already_is_told_by_a_full_store);
	tcase_add_test(t, limits_are_in_force_before_the_first_write);
	tcase_add_test(t, while_a_backup_is_taken_nothing_comes_in);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
