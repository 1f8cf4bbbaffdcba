/* Whose things are: managers, authors of versions, tokens. */
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

static uint64_t rev_now(void)
{
	return state_head(b.state)->rev;
}

static enum code publish(const char *object, const char *content)
{
	struct command *c = bench_command(&b);

	put_blob(&b, "acme", str_of(content));
	add_version(&b, c, "acme", object, str_of(content), true);
	return bench_apply(&b, c)->code;
}

static struct command *as_source(const char *name)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = str_of(name), .role = ROLE_SOURCE,
				       .tenant = STR("acme") };
	return c;
}

START_TEST(another_manager_must_take_over)
{
	struct command *c = bench_command(&b);
	const char *object = "shop.prod.db.toml";

	put_tenant(&b, c, "acme");
	bench_apply(&b, c);
	c = as_source("source:acme/shop");
	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	bench_apply(&b, c);
	ck_assert_int_eq(publish(object, "by hand"), E_MANAGED);
	c = as_source("source:acme/other");
	put_blob(&b, "acme", STR("z"));
	add_version(&b, c, "acme", object, STR("z"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_MANAGED);
	c = bench_command(&b);
	c->flags = COMMAND_TAKE_OVER;
	add_version(&b, c, "acme", object, STR("z"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}
END_TEST

static struct object_row row_now(const char *name)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view o;

	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"), str_of(name),
				     &o, NULL), OK);
	o.row.manager_ref = arena_str(b.arena, o.row.manager_ref);
	ck_assert_uint_eq(o.rev, MAX(o.row.rev, o.live.rev));
	kv_end(&txn);
	return o.row;
}

static void git_owned(const char *content)
{
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "acme");
	bench_apply(&b, c);
	put_blob(&b, "acme", str_of(content));
	c = as_source("source:acme/shop");
	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	add_version(&b, c, "acme", "shop.prod.db.toml", str_of(content), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_int_eq(row_now("shop.prod.db.toml").manager, MANAGER_GIT);
}

/* Whatever takes over, the manager is another from then on: 0 other content, 1
 * what is live, 2 a version alone, 3 the same rules. */
START_TEST(who_takes_over_is_the_manager)
{
	const char *object = "shop.prod.db.toml";
	struct command *c;
	struct op *op;
	uint64_t rev;

	git_owned("a");
	rev = rev_now();
	put_blob(&b, "acme", STR("z"));
	c = bench_command(&b);
	c->flags = COMMAND_TAKE_OVER;
	if (_i == 3) {
		op = command_op(b.arena, c, OP_RULES_SET);
		op->kind = KIND_CONFIG;
		op->tenant = STR("acme");
		op->name = str_of(object);
		rules_add(b.arena, &op->rules)->version = 1;
	} else {
		add_version(&b, c, "acme", object, _i ? STR("a") : STR("z"),
			    _i != 2);
	}
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert(b.last.results[0].changed);
	ck_assert_uint_gt(rev_now(), rev);
	ck_assert_int_eq(row_now(object).manager, MANAGER_API);
	ck_assert_uint_eq(row_now(object).manager_ref.n, 0);
	ck_assert_uint_eq(row_now(object).rev, b.last.results[0].rev);
	/* The source does not get it back, and nothing more is to take. */
	c = as_source("source:acme/shop");
	add_version(&b, c, "acme", object, STR("a"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_MANAGED);
	rev = rev_now();
	c = bench_command(&b);
	c->flags = COMMAND_TAKE_OVER;
	add_version(&b, c, "acme", object, _i ? STR("a") : STR("z"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(rev_now(), rev);
}
END_TEST

static bool see_version(void *data, const struct version_row *v)
{
	*(struct str *)data = arena_str(b.arena, v->author);
	return false;
}

static struct str author_now(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view o;
	struct str author = STR_NONE;

	ck_assert_int_eq(view_object(txn, KIND_CONFIG, STR("acme"),
				     STR("shop.prod.db.toml"), &o, NULL), OK);
	view_versions(txn, STR("acme"), o.row.uid, 0, see_version, &author);
	kv_end(&txn);
	return author;
}

START_TEST(a_version_has_the_author_that_was_told)
{
	const char *object = bench_shop(&b, "a");
	struct command *c = bench_command(&b), back;
	struct err err;

	ck_assert(str_is(author_now(), "token:root"));
	put_blob(&b, "acme", STR("b"));
	add_version(&b, c, "acme", object, STR("b"), true)->author =
		STR("Ann <ann@example.org>");
	ck_assert_int_eq(command_decode(b.arena, bench_encode(&b, c), &back, &err),
			 OK);
	ck_assert(str_is(back.ops[0].author, "Ann <ann@example.org>"));
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert(str_is(author_now(), "Ann <ann@example.org>"));
	c = bench_command(&b);
	put_blob(&b, "acme", STR("c"));
	add_version(&b, c, "acme", object, STR("c"), true)->author =
		STR("Ann \xff");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_INVALID);
	c->ops[0].author = str_n(arena_zero(b.arena, AUTHOR_MAX + 1),
				 AUTHOR_MAX + 1);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_INVALID);
	ck_assert(str_is(author_now(), "Ann <ann@example.org>"));
	c->ops[0].author.n = AUTHOR_MAX;
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}
END_TEST

static struct op *token_op(struct command *c, enum op_type type,
			   const char *name, enum subject_role role)
{
	struct op *op = command_op(b.arena, c, type);

	op->name = str_of(name);
	op->role = role;
	op->sha = sha256_of(op->name);
	return op;
}

static enum code token(enum op_type type, const char *name,
		       enum subject_role role)
{
	struct command *c = bench_command(&b);

	token_op(c, type, name, role);
	return bench_apply(&b, c)->code;
}

START_TEST(the_last_root_token_stays)
{
	struct command *c;

	ck_assert_int_eq(token(OP_TOKEN_PUT, "root", ROLE_ROOT), OK);
	ck_assert_int_eq(token(OP_TOKEN_PUT, "eyes", ROLE_READ_ONLY), OK);
	ck_assert_int_eq(token(OP_TOKEN_DELETE, "root", 0), E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(b.last.text, "\"root\" is the last root"));
	ck_assert_ptr_nonnull(strstr(b.last.hint, "make another"));
	ck_assert_int_eq(token(OP_TOKEN_PUT, "boss", ROLE_ROOT), OK);
	/* Both at once is the last too. */
	c = bench_command(&b);
	token_op(c, OP_TOKEN_DELETE, "root", 0);
	token_op(c, OP_TOKEN_DELETE, "boss", 0);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_CONFLICT);
	ck_assert_int_eq(token(OP_TOKEN_DELETE, "root", 0), OK);
	ck_assert_int_eq(token(OP_TOKEN_DELETE, "boss", 0), E_CONFLICT);
	ck_assert_int_eq(token(OP_TOKEN_DELETE, "eyes", 0), OK);
	ck_assert_int_eq(token(OP_TOKEN_DELETE, "eyes", 0), E_NOT_FOUND);
}
END_TEST

static enum code certificate(const char *name, const char *of,
			     enum subject_role role)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_CERTIFICATE_PUT);

	op->name = str_of(name);
	op->role = role;
	op->certificate = str_of(of);
	return bench_apply(&b, c)->code;
}

static void be_version(uint64_t v)
{
	struct command c = { .type = COMMAND_VERSION, .version = v,
			     .time_ms = b.time_ms };

	ck_assert_int_eq(bench_apply(&b, &c)->code, OK);
}

START_TEST(a_certificate_stands_for_a_token)
{
	AUTO_BUF text = BUF_NONE;

	ck_assert_int_eq(token(OP_TOKEN_PUT, "root", ROLE_ROOT), OK);
	/* Where a node may not know it, it is refused. */
	ck_assert_int_eq(certificate("web", "CN=web", ROLE_ROOT), E_NOT_YET);
	ck_assert_ptr_nonnull(strstr(b.last.text, "cluster version 4"));
	be_version(VERSION_CERTIFICATES);
	ck_assert_int_eq(certificate("web", "CN=web", ROLE_ROOT), OK);
	ck_assert_int_eq(certificate("web", "CN=other", ROLE_ROOT), E_EXISTS);
	ck_assert_int_eq(certificate("again", "CN=web", ROLE_ROOT), E_EXISTS);
	ck_assert_ptr_nonnull(strstr(b.last.text, "token \"web\" already"));
	ck_assert_int_eq(certificate("none", "", ROLE_ROOT), E_INVALID);
	ck_assert_int_eq(certificate("odd", "CN=\xff", ROLE_ROOT), E_INVALID);
	ck_assert_int_eq(certificate("sys", "CN=sys", ROLE_SYSTEM), E_INVALID);
	for (int i = 0; i <= CERTIFICATE_NAME_MAX; i++)
		buf_c(&text, 'x');
	ck_assert_int_eq(certificate("long", text.p, ROLE_ROOT), E_INVALID);
	/* Certificates may stop being asked for: they are no last root. */
	ck_assert_int_eq(token(OP_TOKEN_DELETE, "root", 0), E_CONFLICT);
	ck_assert_int_eq(token(OP_TOKEN_DELETE, "web", 0), OK);
	ck_assert_int_eq(certificate("web", "CN=web", ROLE_READ_ONLY), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/owner");
	TCase *t = tcase_create("owner");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, another_manager_must_take_over);
	tcase_add_loop_test(t, who_takes_over_is_the_manager, 0, 4);
	tcase_add_test(t, a_version_has_the_author_that_was_told);
	tcase_add_test(t, the_last_root_token_stays);
	tcase_add_test(t, a_certificate_stands_for_a_token);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
