/*
 * Configurations that are deleted by the command that publishes them, what is left of a
 * release by that, and releases of which nothing is.
 */
#include "bench.h"
#include "state/outbox.h"
#include "state/view_rollout.h"
#include "unit.h"

#include "base/banned.h"

#define ONE "shop.prod.db.toml"
#define TWO "shop.prod.two.toml"

static struct bench b;

static void put(enum kind_id kind, const char *name, const char *spec)
{
	struct command *c = bench_command(&b);
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = kind;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->spec = str_of(spec);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void policy(const char *concurrency)
{
	put(KIND_RELEASE_POLICY, "p",
	    arena_printf(b.arena, "{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"x\"]}],"
			 "\"concurrency\":{\"policy\":\"%s\"}}", concurrency).p);
}

static void add_config(struct command *c, const char *file)
{
	put_config(&b, c, "acme", "shop", "prod", file);
}

static void add(struct command *c, const char *object, const char *content)
{
	put_blob(&b, "acme", str_of(content));
	add_version(&b, c, "acme", object, str_of(content), true);
}

static void add_delete(struct command *c, const char *object)
{
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = str_of(object);
}

static void apply(const struct command *c)
{
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static void setup(void)
{
	struct command v = { .type = COMMAND_VERSION, .version = 5 };
	struct command *c;

	bench_open(&b, "boot-1");
	v.time_ms = b.time_ms;
	apply(&v);
	bench_shop(&b, "a");
	c = bench_command(&b);
	add_config(c, "two.toml");
	add(c, TWO, "a");
	apply(c);
}

static void teardown(void)
{
	bench_close(&b);
}

static uint64_t rollouts(void)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t n = kv_count(txn, KV_ROLLOUTS);

	kv_end(&txn);
	return n;
}

/* The key of the only one that can move. */
static struct str rollout(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct kv_cursor c;
	struct str key;

	ck_assert_uint_eq(kv_count(txn, KV_ROLLOUTS), 1);
	ck_assert(kv_seek(txn, KV_ROLLOUTS, STR_NONE, &c));
	key = arena_str(b.arena, c.key);
	kv_cursor_close(&c);
	kv_end(&txn);
	return key;
}

static uint32_t got(const char *file, const char *id)
{
	struct kv_txn *txn = bench_read(&b);
	struct address at = { STR("acme"), STR("shop"), STR("prod"), str_of(file) };
	struct client client = { .id = str_of(id) };
	struct config_view v = { 0 };

	if (view_config(txn, &at, &client, &v, NULL))
		v.rule.version = 0;
	kv_end(&txn);
	return v.rule.version;
}

static const char *const concurrencies[] = { "Supersede", "Queue", "Parallel" };

/* Or a release that has nothing waits for ever, and what is published later is taken for
 * what it brings. */
START_TEST(what_is_published_and_deleted_goes_out_by_nothing)
{
	struct command *c = bench_command(&b);

	policy(concurrencies[_i]);
	add(c, ONE, "c");
	add_delete(c, ONE);
	apply(c);
	ck_assert_uint_eq(rollouts(), 0);
	c = bench_command(&b);
	add_config(c, "db.toml");
	add(c, ONE, "c");
	apply(c);
	ck_assert_uint_eq(got("db.toml", "y"), 1);
}
END_TEST

/* The rest of it does. */
START_TEST(what_else_was_published_goes_out)
{
	struct command *c = bench_command(&b);

	policy(concurrencies[_i]);
	add(c, ONE, "c");
	add(c, TWO, "c");
	add_delete(c, ONE);
	apply(c);
	ck_assert_uint_eq(rollouts(), 1);
	ck_assert_uint_eq(got("two.toml", "x"), 2);
	ck_assert_uint_eq(got("two.toml", "y"), 1);
	c = bench_command(&b);
	add_config(c, "db.toml");
	add(c, ONE, "c");
	apply(c);
	ck_assert_uint_eq(got("db.toml", "y"), 1);
}
END_TEST

/* Nothing takes the place of what goes on beside or before it. */
START_TEST(what_was_out_goes_on_without_it)
{
	struct command *c = bench_command(&b);
	struct str was;

	policy(concurrencies[1 + _i]);
	add(c, ONE, "b");
	add(c, TWO, "b");
	apply(c);
	was = rollout();
	c = bench_command(&b);
	add(c, ONE, "c");
	add_delete(c, ONE);
	apply(c);
	ck_assert(str_eq(rollout(), was));
	ck_assert_uint_eq(got("two.toml", "x"), 2);
	ck_assert_uint_eq(got("two.toml", "y"), 1);
}
END_TEST

static void add_move(struct command *c, struct str key, enum release_move move)
{
	struct op *op = command_op(b.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = str_cut(&key, '\0');
	op->name = key;
	op->move = move;
	op->count = 7;
}

static struct rollout_row row_of(struct str key)
{
	struct str tenant = str_cut(&key, '\0');
	struct kv_txn *txn = bench_read(&b);
	struct rollout_row row;
	struct err err;

	ck_assert_int_eq(view_rollout(txn, b.arena, tenant, key, &row, &err), OK);
	kv_end(&txn);
	return row;
}

/* Who follows the file that is gone alone is of its step no more, and is not waited for. */
START_TEST(the_rest_begins_its_step_anew)
{
	struct command *c = bench_command(&b);
	struct rollout_row row;

	policy("Supersede");
	add(c, ONE, "b");
	add(c, TWO, "b");
	apply(c);
	c = bench_command(&b);
	add_move(c, rollout(), MOVE_STEP_BEGUN);
	add_move(c, rollout(), MOVE_MET);
	if (_i)
		add_move(c, rollout(), MOVE_PAUSE);
	apply(c);
	row = row_of(rollout());
	ck_assert(row.is_begun && row.expected == 7);
	b.time_ms += 1000;
	c = bench_command(&b);
	add_delete(c, ONE);
	apply(c);
	row = row_of(rollout());
	ck_assert(!row.is_begun && !row.expected && !row.met_ms);
	ck_assert_uint_eq(row.step_ms, b.time_ms);
	ck_assert_uint_eq(row.pause_ms, _i ? b.time_ms : 0);
	ck_assert_int_eq(row.phase, _i ? ROLLOUT_PAUSED : ROLLOUT_PROGRESSING);
}
END_TEST

static bool see(void *data, const struct outbox_row *row)
{
	struct buf *out = data;

	buf_printf(out, "%s ", notice_name(row->notice));
	return true;
}

START_TEST(webhooks_hear_of_a_release_that_lost_all)
{
	struct command *c = bench_command(&b);
	AUTO_BUF told = BUF_NONE;
	struct kv_txn *txn;
	struct uuid hook;

	policy("Supersede");
	put(KIND_WEBHOOK, "h", "{\"url\":\"https://hooks.test\",\"events\":"
	    "[\"ABORTED\"]}");
	hook = b.last.results[0].uid;
	add(c, ONE, "b");
	add(c, TWO, "b");
	apply(c);
	c = bench_command(&b);
	add_delete(c, ONE);
	add_delete(c, TWO);
	apply(c);
	txn = bench_read(&b);
	view_outbox(txn, hook, OUTBOX_WAITING, 0, see, &told);
	kv_end(&txn);
	buf_c(&told, '\0');
	ck_assert_str_eq(told.p, "ABORTED ");
	ck_assert_uint_eq(rollouts(), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/rollout_gone");
	TCase *t = tcase_create("gone");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_published_and_deleted_goes_out_by_nothing, 0, 3);
	tcase_add_loop_test(t, what_else_was_published_goes_out, 0, 3);
	tcase_add_loop_test(t, what_was_out_goes_on_without_it, 0, 2);
	tcase_add_loop_test(t, the_rest_begins_its_step_anew, 0, 2);
	tcase_add_test(t, webhooks_hear_of_a_release_that_lost_all);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
