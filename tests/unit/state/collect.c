/* Versions that may go, and those that something names. */
#include <stdio.h>

#include "bench.h"
#include "state/collect.h"
#include "unit.h"

#include "base/banned.h"

#define ONE "shop.prod.db.toml"

static struct bench b;

static void setup(void)
{
	struct command v = { .type = COMMAND_VERSION, .version = 5 };

	bench_open(&b, "boot-1");
	v.time_ms = b.time_ms;
	bench_apply(&b, &v);
	bench_shop(&b, "a");
}

static void teardown(void)
{
	bench_close(&b);
}

static void publish(const char *text, bool as_source)
{
	struct command *c = bench_command(&b);

	if (as_source)
		c->subject = (struct subject){ .name = STR("source:acme/git"),
					       .role = ROLE_SOURCE,
					       .tenant = STR("acme") };
	c->flags = COMMAND_TAKE_OVER;
	put_blob(&b, "acme", str_of(text));
	add_version(&b, c, "acme", ONE, str_of(text), true);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static enum code drop(uint32_t version)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_VERSION_DROP);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	op->version = version;
	return bench_apply(&b, c)->code;
}

static void policy(const char *name, const char *spec)
{
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->spec = str_of(spec);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static bool one(void *data, const struct collected *c)
{
	struct buf *out = data;

	buf_printf(out, "%s%u%s", out->n ? " " : "", c->version->version,
		   c->goes ? "-" : "");
	return true;
}

/* "4 3- 2": newest first, those that may go with a '-'. */
static const char *says(void)
{
	static struct buf out;
	struct kv_txn *txn = bench_read(&b);
	struct retention keep = { 0 };
	struct object_view o;
	struct err err;

	buf_reset(&out);
	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"), STR(ONE), &o,
				     &err), OK);
	collect_retention(txn, b.arena, &o, &keep);
	collect_versions(txn, b.arena, &o, &keep, b.time_ms, one, &out);
	kv_end(&txn);
	return out.p;
}

START_TEST(the_newest_so_many_and_what_is_named_stay)
{
	publish("b", false);
	publish("c", false);
	publish("d", false);
	publish("e", false);
	/* Nobody says what is kept: nothing goes. */
	ck_assert_str_eq(says(), "5 4 3 2 1");
	policy("p", "{\"retention\":{\"versions\":1}}");
	/* 5 is live, 4 the way back. */
	ck_assert_str_eq(says(), "5 4 3- 2- 1-");
	ck_assert_int_eq(drop(3), OK);
	ck_assert(b.last.results[0].changed);
	ck_assert_str_eq(says(), "5 4 2- 1-");
	ck_assert_int_eq(drop(3), OK);
	ck_assert(!b.last.results[0].changed);
	ck_assert_int_eq(drop(5), E_CONFLICT);
	ck_assert_int_eq(drop(4), E_CONFLICT);
	ck_assert_int_eq(drop(77), OK);
	/* A policy that counts more, and says nothing of it. */
	policy("q", "{\"priority\":1}");
	ck_assert_str_eq(says(), "5 4 2 1");
}
END_TEST

START_TEST(a_configuration_says_it_itself)
{
	struct command *c;

	publish("b", false);
	publish("c", false);
	policy("p", "{\"retention\":{\"versions\":50}}");
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->spec =
		STR("{\"retention\":{\"days\":1}}");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_str_eq(says(), "3 2 1");
	b.time_ms += 86400000;
	ck_assert_str_eq(says(), "3 2 1-");
}
END_TEST

START_TEST(releases_and_holds_name_versions)
{
	char name[RELEASE_NAME_MAX];
	struct command *c;
	struct op *op;

	policy("p", "{\"strategy\":\"canary\",\"steps\":[{\"percent\":10}],"
	       "\"concurrency\":{\"policy\":\"Queue\"},\"retention\":{\"versions\":1}}");
	publish("b", true);
	release_name(name, b.last.rev);
	publish("c", true);
	publish("d", true);
	/* 1 is live, 2 goes out, 3 and 4 are queued. */
	ck_assert_str_eq(says(), "4 3 2 1");
	ck_assert_int_eq(drop(3), E_CONFLICT);
	/* The first is turned back and held. */
	for (uint64_t n = 1; n <= state_head(b.state)->rev; n++) {
		release_name(name, n);
		c = bench_command(&b);
		op = command_op(b.arena, c, OP_RELEASE_MOVE);
		op->kind = KIND_RELEASE;
		op->tenant = STR("acme");
		op->name = str_of(name);
		op->move = MOVE_ROLLBACK;
		op->step = 0;
		if (bench_apply(&b, c)->code == OK)
			break;
	}
	ck_assert_int_eq(b.last.code, OK);
	ck_assert_str_eq(says(), "4 3 2 1");
	ck_assert_int_eq(drop(2), E_CONFLICT);
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_HOLD_LIFT);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_str_eq(says(), "4 3 2- 1");
	ck_assert_int_eq(drop(2), OK);
}
END_TEST

static struct command *of_git(void)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
	c->flags = COMMAND_TAKE_OVER;
	return c;
}

/* Who turns back by hand what Git brought holds it: 3 is neither live nor the way back
 * any more, and not the newest. */
START_TEST(what_is_held_by_hand_is_named)
{
	struct command *c = of_git();
	struct op *op;

	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	publish("b", true);
	publish("c", true);
	c = of_git();
	put_blob(&b, "acme", STR("d"));
	add_version(&b, c, "acme", ONE, STR("d"), false);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_ROLLBACK);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	op->version = 1;
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	policy("p", "{\"retention\":{\"versions\":1}}");
	ck_assert_str_eq(says(), "4 3 2- 1");
	ck_assert_int_eq(drop(3), E_CONFLICT);
}
END_TEST

/* The oldest release that may; it must be there. */
static void move(enum release_move move)
{
	char name[RELEASE_NAME_MAX];

	for (uint64_t n = 1; n <= state_head(b.state)->rev; n++) {
		struct command *c = bench_command(&b);
		struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

		release_name(name, n);
		op->kind = KIND_RELEASE;
		op->tenant = STR("acme");
		op->name = str_of(name);
		op->move = move;
		op->mode = ROLLBACK_STABLE_ONLY;
		op->step = UINT32_MAX;
		if (bench_apply(&b, c)->code == OK)
			return;
	}
	ck_abort_msg("%s", b.last.text);
}

static void two_are_kept(void)
{
	policy("p", "{\"strategy\":\"blue-green\",\"keepPrevious\":\"24h\","
	       "\"preview\":{\"labels\":{\"slot\":\"green\"}},"
	       "\"retention\":{\"versions\":1}}");
	publish("b", false);
	move(MOVE_PROMOTE);
	publish("c", false);
	move(MOVE_PROMOTE);
}

START_TEST(what_a_completed_release_switches_back_to_stays)
{
	two_are_kept();
	ck_assert_str_eq(says(), "3 2 1");
	ck_assert_int_eq(drop(1), E_CONFLICT);
	/* The second goes back, and then so does the first. */
	if (_i) {
		struct command *c = bench_command(&b);
		struct op *op = command_op(b.arena, c, OP_ROLLBACK);

		op->kind = KIND_CONFIG;
		op->tenant = STR("acme");
		op->name = STR(ONE);
		op->version = 2;
		op->mode = ROLLBACK_STABLE_ONLY;
		ck_assert_int_eq(bench_apply(&b, c)->code, OK);
		ck_assert_int_eq(drop(1), E_CONFLICT);
		move(MOVE_ROLLBACK);
	} else {
		move(MOVE_FORGET);
		ck_assert_str_eq(says(), "3 2 1-");
		ck_assert_int_eq(drop(1), OK);
		move(MOVE_FORGET);
	}
	{
		struct kv_txn *txn = bench_read(&b);

		ck_assert_uint_eq(kv_count(txn, KV_RELEASING), _i);
		kv_end(&txn);
	}
}
END_TEST

START_TEST(nothing_is_kept_of_what_is_deleted)
{
	struct command *c;
	struct op *op;
	struct kv_txn *txn;

	two_are_kept();
	c = bench_command(&b);
	op = command_op(b.arena, c, OP_OBJECT_DELETE);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(ONE);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	txn = bench_read(&b);
	ck_assert_uint_eq(kv_count(txn, KV_RELEASING), 0);
	kv_end(&txn);
}
END_TEST

START_TEST(content_that_nobody_names_any_more_is_let_go)
{
	uint64_t before;
	struct kv_txn *txn;

	publish("bb", false);
	publish("c", false);
	publish("d", false);
	txn = bench_read(&b);
	before = view_count(txn, STR("acme"), COUNT_CONTENT);
	kv_end(&txn);
	ck_assert_int_eq(drop(2), OK);
	txn = bench_read(&b);
	ck_assert_uint_eq(view_count(txn, STR("acme"), COUNT_CONTENT), before - 2);
	kv_end(&txn);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/collect");
	TCase *t = tcase_create("collect");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_newest_so_many_and_what_is_named_stay);
	tcase_add_test(t, a_configuration_says_it_itself);
	tcase_add_test(t, releases_and_holds_name_versions);
	tcase_add_test(t, what_is_held_by_hand_is_named);
	tcase_add_loop_test(t, what_a_completed_release_switches_back_to_stays, 0, 2);
	tcase_add_test(t, nothing_is_kept_of_what_is_deleted);
	tcase_add_test(t, content_that_nobody_names_any_more_is_let_go);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
