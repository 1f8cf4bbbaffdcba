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

/* ---- quotas ---- */

static void quotas(const char *text)
{
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "acme")->spec =
		arena_printf(b.arena, "{\"quotas\":{%s}}", text);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}

static struct command *config(const char *name, const char *content)
{
	struct command *c = bench_command(&b);

	put_config(&b, c, "acme", "shop", "prod", name);
	if (content) {
		struct content_part *part = command_content(b.arena, c);

		*part = (struct content_part){ STR("acme"),
					       sha256_of(str_of(content)),
					       str_of(content) };
		add_version(&b, c, "acme",
			    arena_printf(b.arena, "shop.prod.%s", name).p,
			    str_of(content), true);
	}
	return c;
}

static enum code make(const char *name, const char *content)
{
	return bench_apply(&b, config(name, content))->code;
}

static enum code delete(const char *name)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = arena_printf(b.arena, "shop.prod.%s", name);
	return bench_apply(&b, c)->code;
}

static uint64_t used(enum quota_of what)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view o;
	AUTO_BUF json = BUF_NONE;

	ck_assert_int_eq(view_object(txn, KIND_TENANT, STR_NONE, STR("acme"), &o,
				     NULL), OK);
	view_json(&json, &o);
	ck_assert(str_find_str(buf_view(&json),
			       arena_printf(b.arena, "\"%s\":%llu",
					    quota_name(what),
					    (unsigned long long)o.used[what])) !=
		  SIZE_MAX);
	kv_end(&txn);
	return o.used[what];
}

START_TEST(objects_are_counted_against_the_quota)
{
	quotas("\"configurations\":2,\"sources\":0");
	ck_assert_int_eq(make("a.toml", NULL), OK);
	ck_assert_int_eq(make("b.toml", NULL), OK);
	ck_assert_int_eq(make("c.toml", NULL), E_QUOTA);
	ck_assert_msg(strstr(b.last.text, "tenant acme may have 2 configurations, "
			     "has 2"), "%s", b.last.text);
	ck_assert(strstr(b.last.hint, "spec.quotas.configurations"));
	ck_assert_uint_eq(used(QUOTA_CONFIGURATIONS), 2);
	/* What is there may be written, and what goes makes room. */
	ck_assert_int_eq(make("a.toml", "x = 1\n"), OK);
	ck_assert_int_eq(delete("b.toml"), OK);
	ck_assert_int_eq(make("c.toml", NULL), OK);
	ck_assert_uint_eq(used(QUOTA_CONFIGURATIONS), 2);
	/* Others have none. */
	ck_assert_uint_eq(used(QUOTA_SOURCES), 0);
}
END_TEST

/* One place is left, and both saw it free; it is so wherever a batch is cut. */
START_TEST(two_at_once_do_not_exceed_it)
{
	struct str both[2];

	quotas("\"configurations\":2");
	ck_assert_int_eq(make("a.toml", NULL), OK);
	both[0] = bench_encode(&b, config("b.toml", NULL));
	both[1] = bench_encode(&b, config("c.toml", NULL));
	bench_batch(&b, &both[0], _i ? 1 : 2);
	if (_i)
		bench_batch(&b, &both[1], 1);
	ck_assert_int_eq(b.last.code, E_QUOTA);
	ck_assert_uint_eq(used(QUOTA_CONFIGURATIONS), 2);
}
END_TEST

START_TEST(content_is_counted_once_while_a_version_names_it)
{
	quotas("\"contentBytes\":10");
	ck_assert_int_eq(make("a.txt", "123456"), OK);
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 6);
	ck_assert_int_eq(make("b.txt", "abcdef"), E_QUOTA);
	ck_assert_msg(strstr(b.last.text, "bytes of content"), "%s", b.last.text);
	/* Nothing of the refused command is left. */
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 6);
	ck_assert_uint_eq(used(QUOTA_CONFIGURATIONS), 1);
	ck_assert_int_eq(make("b.txt", "123456"), OK);
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 6);
	ck_assert_int_eq(make("c.txt", "4444"), OK);
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 10);
	ck_assert_int_eq(delete("a.txt"), OK);
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 10);
	ck_assert_int_eq(delete("b.txt"), OK);
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 4);
	ck_assert_int_eq(make("d.txt", "abcdef"), OK);
	/* Content that goes first, by a command of its own. */
	put_blob(&b, "acme", STR("elsewhere"));
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 10);
}
END_TEST

START_TEST(content_that_went_first_is_counted_too)
{
	struct command *c;

	quotas("\"contentBytes\":10");
	ck_assert_int_eq(make("a.txt", NULL), OK);
	for (int i = 0; i < 2; i++) {
		struct str text = i ? STR("abcdef") : STR("123456");

		put_blob(&b, "acme", text);
		c = bench_command(&b);
		add_version(&b, c, "acme", "shop.prod.a.txt", text, true);
		ck_assert_int_eq(bench_apply(&b, c)->code, i ? E_QUOTA : OK);
	}
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 6);
}
END_TEST

START_TEST(what_is_counted_outlasts_a_restart)
{
	quotas("\"contentBytes\":10,\"configurations\":1");
	ck_assert_int_eq(make("a.txt", "123456"), OK);
	bench_reopen(&b, "boot-2", true, NULL);
	ck_assert_uint_eq(used(QUOTA_CONTENT_BYTES), 6);
	ck_assert_int_eq(make("b.txt", NULL), E_QUOTA);
	/* Below what is there: that stays, and nothing is added. */
	quotas("\"contentBytes\":1");
	ck_assert_int_eq(make("b.txt", NULL), OK);
	ck_assert_int_eq(make("b.txt", "x"), E_QUOTA);
	ck_assert_int_eq(make("b.txt", "123456"), OK);
}
END_TEST

START_TEST(what_is_no_quota_limits_nothing)
{
	static const char *const texts[] = {
		"", "\"configurations\":-1", "\"configurations\":\"0\"",
		"\"configurations\":0.5", "\"configurations\":[0]",
		"\"other\":0",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		quotas(texts[i]);
		ck_assert_int_eq(make(arena_printf(b.arena, "c%zu.toml", i).p,
				      "x = 1\n"), OK);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/bounds");
	TCase *t = tcase_create("bounds");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, denials_of_a_command_are_bounded);
	tcase_add_test(t, objects_are_counted_against_the_quota);
	tcase_add_loop_test(t, two_at_once_do_not_exceed_it, 0, 2);
	tcase_add_test(t, content_is_counted_once_while_a_version_names_it);
	tcase_add_test(t, content_that_went_first_is_counted_too);
	tcase_add_test(t, what_is_counted_outlasts_a_restart);
	tcase_add_test(t, what_is_no_quota_limits_nothing);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
