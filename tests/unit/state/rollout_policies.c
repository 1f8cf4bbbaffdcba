/*
 * Release policies that stay in memory over commands: what counts is what the rows said
 * before the command, and a command that releases one thing does not cost what all
 * policies of its tenant do.
 */
#include "bench.h"
#include "state/rollout.h"
#include "unit.h"

#include "base/banned.h"

#define ONE "shop.prod.db.toml"
#define NODES 900u
#define NODE_BYTES 128
#define SPEC_BYTES (NODES * (NODE_BYTES + 3u) + 200u)    /* and a little less */
#define MANY (POLICY_BYTES_MAX / SPEC_BYTES)

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

static void add_policy(struct command *c, const char *tenant, const char *name,
		       struct str spec)
{
	struct op *op = put_tenant(&b, c, NULL);

	op->kind = KIND_RELEASE_POLICY;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->spec = spec;
}

static enum code policy(const char *name, struct str spec)
{
	struct command *c = bench_command(&b);

	add_policy(c, "acme", name, spec);
	return bench_apply(&b, c)->code;
}

static const char *name_of(unsigned i)
{
	return arena_printf(b.arena, "p%u", i).p;
}

static struct str large(unsigned n)
{
	AUTO_BUF spec = BUF_NONE;

	buf_z(&spec, "{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[");
	for (unsigned i = 0; i < n; i++)
		buf_printf(&spec, "%s\"%0*u\"", i ? "," : "", NODE_BYTES, i);
	buf_z(&spec, "]}]}");
	return arena_str(b.arena, buf_view(&spec));
}

#define OF(instance) "{\"strategy\":\"canary\",\"steps\":[{\"nodes\":[\"" instance "\"]}]}"

static struct op *add(struct command *c, const char *content)
{
	put_blob(&b, "acme", str_of(content));
	return add_version(&b, c, "acme", ONE, str_of(content), true);
}

static enum code publish(const char *content)
{
	struct command *c = bench_command(&b);

	add(c, content);
	return bench_apply(&b, c)->code;
}

static uint32_t got(const char *id)
{
	struct kv_txn *txn = bench_read(&b);
	struct address at = { STR("acme"), STR("shop"), STR("prod"), STR("db.toml") };
	struct client client = { .id = str_of(id) };
	struct config_view v;

	ck_assert_int_eq(view_config(txn, &at, &client, &v, NULL), OK);
	kv_end(&txn);
	return v.rule.version;
}

/* Turns of the core loop that a publish takes. */
static unsigned turns_of(const char *content)
{
	struct command *c = bench_command(&b);
	struct rc_entry e = { .term = 1, .is_command = true };
	struct err err = { 0 };
	bool more = true;
	unsigned n;

	add(c, content);
	e.index = e.id = ++b.index;
	e.data = bench_encode(&b, c);
	ck_assert_int_eq(b.machine.apply(b.machine.data, &e, 1, &err), OK);
	for (n = 0; more; n++)
		ck_assert_int_eq(b.machine.apply_more(b.machine.data, &more, &err), OK);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	return n;
}

START_TEST(they_are_read_in_slices_and_once)
{
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_msg(policy(name_of(i), large(NODES)) == OK, "%s", b.last.text);
	ck_assert_uint_gt(turns_of("b"), 5);
	ck_assert_uint_le(turns_of("c"), 2);
	ck_assert_int_eq(policy(name_of(0), STR(OF("x"))), OK);
	ck_assert_uint_gt(turns_of("d"), 5);
	ck_assert_uint_eq(got("x"), 4);
}
END_TEST

START_TEST(they_are_bounded_together)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);
	unsigned n = 0;

	while (n < 2 * MANY && policy(name_of(n), large(NODES)) == OK)
		n++;
	ck_assert_uint_le(n, MANY + 1);
	ck_assert_int_eq(b.last.code, E_QUOTA);
	ck_assert_ptr_nonnull(strstr(b.last.text, "release policies of tenant acme"));
	/* What is smaller than before is always taken, and what goes makes room. */
	ck_assert_int_eq(policy(name_of(0), large(NODES - 1)), OK);
	ck_assert_int_eq(policy(name_of(n), large(NODES)), E_QUOTA);
	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = STR("p1");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_int_eq(policy(name_of(n), large(NODES)), OK);
}
END_TEST

START_TEST(what_the_rows_said_before_the_command_counts)
{
	struct command *c;

	ck_assert_int_eq(policy("p", STR(OF("x"))), OK);
	ck_assert_int_eq(publish("b"), OK);
	ck_assert_uint_eq(got("x"), 2);
	/* By this command it is another, but for the next. */
	c = bench_command(&b);
	add_policy(c, "acme", "p", STR(OF("y")));
	add(c, "c");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_uint_eq(got("x"), 3);
	ck_assert_uint_eq(got("y"), 1);
	ck_assert_int_eq(publish("d"), OK);
	ck_assert_uint_eq(got("x"), 1);
	ck_assert_uint_eq(got("y"), 4);
	/* One that was taken back has changed none. */
	c = bench_command(&b);
	add_policy(c, "acme", "p", STR(OF("z")));
	add(c, "e")->size = 7;
	ck_assert_int_ne(bench_apply(&b, c)->code, OK);
	ck_assert_int_eq(publish("f"), OK);
	ck_assert_uint_eq(got("z"), 1);
	ck_assert_uint_eq(got("y"), 5);
}
END_TEST

START_TEST(another_tenant_has_its_own)
{
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "other");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	c = bench_command(&b);
	add_policy(c, "other", "p", STR(OF("y")));
	put_config(&b, c, "other", "shop", "prod", "db.toml");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_int_eq(policy("p", STR(OF("x"))), OK);
	ck_assert_int_eq(publish("b"), OK);
	put_blob(&b, "other", STR("b"));
	c = bench_command(&b);
	add_version(&b, c, "other", ONE, STR("b"), true);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert_int_eq(publish("c"), OK);
	ck_assert_uint_eq(got("x"), 3);
	ck_assert_uint_eq(got("y"), 1);
}
END_TEST

/* As after a restart: nothing is in memory that the store does not have. */
START_TEST(a_store_that_is_opened_again_is_read_again)
{
	ck_assert_int_eq(policy("p", STR(OF("x"))), OK);
	ck_assert_int_eq(publish("b"), OK);
	bench_reopen(&b, "boot-1", true, NULL);
	ck_assert_int_eq(publish("c"), OK);
	ck_assert_uint_eq(got("x"), 3);
	ck_assert_uint_eq(got("y"), 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/rollout_policies");
	TCase *t = tcase_create("policies");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, they_are_read_in_slices_and_once);
	tcase_add_test(t, they_are_bounded_together);
	tcase_add_test(t, what_the_rows_said_before_the_command_counts);
	tcase_add_test(t, another_tenant_has_its_own);
	tcase_add_test(t, a_store_that_is_opened_again_is_read_again);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
