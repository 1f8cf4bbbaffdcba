/* Plans against a live state, applied to it. */
#include "source/left.h"
#include "source/plan.h"

#include "live.h"
#include "unit.h"

#include "base/banned.h"

static struct live live;
static struct err err;
static struct plan_config config;
static struct plan *plan;
static struct kv_txn *txn;

static enum code on_content(void *data, struct str bytes, struct err *e)
{
	(void)data;
	(void)e;
	live_blob(&live, "acme", bytes);
	return OK;
}

static void setup(void)
{
	live_open(&live);
	live_tenant(&live, "acme");
	live_source(&live, "acme", "shop");
	config = (struct plan_config){
		.tenant = STR("acme"), .source = STR("shop"),
		.origin = STR("git file:///x"), .message = STR("a commit"),
		.full = true, .content = on_content,
	};
	err = (struct err){ 0 };
}

static void let_go(void)
{
	plan_free(&plan);
	kv_end(&txn);
}

static void teardown(void)
{
	let_go();
	live_close(&live);
}

static uint64_t source_rev(void)
{
	struct kv_txn *t = live_read(&live);
	struct object_view o;
	uint64_t rev;

	ck_assert_int_eq(view_object(t, KIND_SOURCE, STR("acme"), config.source,
				     &o, NULL), OK);
	rev = o.row.rev;
	kv_end(&t);
	return rev;
}

static void begin(void)
{
	let_go();
	config.rev = source_rev();
	txn = live_read(&live);
	plan = plan_new(txn, &config);
}

static enum code file(const char *path, const char *content)
{
	struct layout layout;
	struct address at;

	ck_assert_int_eq(layout_template(STR("{application}/{environment}/{name}"),
					 live.arena, &layout, &err), OK);
	ck_assert(layout_match(&layout, STR("acme"), str_of(path), &at));
	return plan_file(plan, str_of(path), &at, str_of(content), &err);
}

static void has(const char *path, const char *content)
{
	ck_assert_msg(file(path, content) == OK, "%s", err.text);
}

static size_t seal(void)
{
	ck_assert_msg(plan_seal(plan, &err) == OK, "%s", err.text);
	return plan_size(plan);
}

static struct str encoded(const char *status)
{
	AUTO_BUF bytes = BUF_NONE;

	plan_command(plan, str_of(status), 1700000000000, &bytes);
	return arena_str(live.arena, buf_view(&bytes));
}

static void apply(void)
{
	live_apply(&live, encoded("{\"x\":1}"));
	ck_assert_msg(live.last.code == OK, "%s", live.last.text);
}

/* Two files, made live. */
static void first(void)
{
	begin();
	has("shop/prod/a.json", "{\"a\": 1}");
	has("shop/prod/b.txt", "b");
	/* Application, environment, and twice object and version. */
	ck_assert_uint_eq(seal(), 6);
	apply();
}

START_TEST(files_become_live)
{
	first();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\": 1}");
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/b.txt"), "b");
	ck_assert_uint_eq(plan_counts(plan)->added, 2);
	ck_assert_uint_eq(plan_owned(plan), 2);
	/* The status went with it. */
	let_go();
	txn = live_read(&live);
	struct object_view o;

	ck_assert_int_eq(view_object(txn, KIND_SOURCE, STR("acme"), STR("shop"),
				     &o, NULL), OK);
	ck_assert(str_is(o.row.status, "{\"x\":1}"));
}
END_TEST

START_TEST(the_same_again_is_nothing)
{
	first();
	begin();
	has("shop/prod/a.json", "{\"a\": 1}");
	has("shop/prod/b.txt", "b");
	ck_assert_uint_eq(seal(), 0);
	ck_assert_uint_eq(plan_counts(plan)->kept, 2);
}
END_TEST

START_TEST(one_change_is_one_operation)
{
	first();
	begin();
	has("shop/prod/a.json", "{\"a\":   1}");
	has("shop/prod/b.txt", "bb");
	ck_assert_uint_eq(seal(), 2);
	ck_assert_uint_eq(plan_counts(plan)->changed, 2);
	ck_assert_uint_eq(plan_counts(plan)->formatting, 1);
	apply();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\":   1}");
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/b.txt"), "bb");
}
END_TEST

START_TEST(what_is_gone)
{
	first();
	begin();
	has("shop/prod/a.json", "{\"a\": 1}");
	ck_assert_uint_eq(seal(), 0);
	ck_assert_uint_eq(plan_counts(plan)->orphans, 1);
	config.prune = true;
	begin();
	has("shop/prod/a.json", "{\"a\": 1}");
	ck_assert_uint_eq(seal(), 1);
	apply();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/b.txt"), "-");
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\": 1}");
	/* By name, without a full comparison. */
	config.full = false;
	begin();
	struct address at = { STR("acme"), STR("shop"), STR("prod"),
			      STR("a.json") };

	ck_assert_int_eq(plan_gone(plan, &at, &err), OK);
	ck_assert_uint_eq(seal(), 1);
	apply();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "-");
}
END_TEST

START_TEST(a_malformed_file_has_its_place)
{
	begin();
	ck_assert_int_eq(file("shop/prod/x.yaml", "a: 1\n b: 2\n"),
			 E_UNPROCESSABLE);
	ck_assert(str_starts(str_of(err.text), STR("shop/prod/x.yaml: line ")));
}
END_TEST

/* A configuration of the API at shop/prod/a.json. */
static void api_owns(void)
{
	struct command *c = live_command(&live);
	struct op *op = command_op(live.arena, c, OP_OBJECT_PUT);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("mine");
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = STR("a.json");
	op->format = STR("json");
	live_run(&live, c);
}

START_TEST(another_manager_stops_it)
{
	api_owns();
	begin();
	ck_assert_int_eq(file("shop/prod/a.json", "{}"), E_MANAGED);
	ck_assert_str_eq(err.text, "shop/prod/a.json: acme/shop/prod/a.json is "
				   "managed by api");
}
END_TEST

static void delete_source(const char *name)
{
	struct command *c = live_command(&live);
	struct op *op = command_op(live.arena, c, OP_OBJECT_DELETE);

	op->kind = KIND_SOURCE;
	op->tenant = STR("acme");
	op->name = str_of(name);
	live_run(&live, c);
}

START_TEST(another_source_stops_it_until_it_is_gone)
{
	first();
	config.source = STR("second");
	live_source(&live, "acme", "second");
	begin();
	ck_assert_int_eq(file("shop/prod/a.json", "{\"a\": 2}"), E_MANAGED);
	ck_assert_ptr_nonnull(strstr(err.text, "source:acme/shop"));
	delete_source("shop");
	begin();
	has("shop/prod/a.json", "{\"a\": 2}");
	seal();
	apply();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\": 2}");
}
END_TEST

static void leave(void)
{
	let_go();
	config.rev = 0;
	config.full = config.prune;
	txn = live_read(&live);
	plan = plan_new(txn, &config);
	ck_assert_msg(plan_leave(plan, &err) == OK, "%s", err.text);
	seal();
	live_apply(&live, encoded(""));
	ck_assert_msg(live.last.code == OK, "%s", live.last.text);
	let_go();
	config.full = true;
	config.prune = false;
}

static struct object_row row_of(enum kind_id kind, const char *name)
{
	struct kv_txn *t = live_read(&live);
	struct object_view o;
	struct object_row row;

	ck_assert_int_eq(view_object(t, kind, STR("acme"), str_of(name), &o,
				     NULL), OK);
	row = (struct object_row){
		.manager = o.row.manager,
		.manager_ref = arena_str(live.arena, o.row.manager_ref),
		.meta = arena_str(live.arena, o.row.meta),
		.spec = arena_str(live.arena, o.row.spec),
	};
	kv_end(&t);
	return row;
}

START_TEST(what_a_deleted_source_leaves_is_nobodys)
{
	struct object_row row;

	first();
	delete_source("shop");
	leave();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/b.txt"), "b");
	row = row_of(KIND_CONFIG, "shop.prod.b.txt");
	ck_assert_int_eq(row.manager, MANAGER_API);
	ck_assert_uint_eq(row.manager_ref.n, 0);
	ck_assert_int_eq(row_of(KIND_APPLICATION, "shop").manager, MANAGER_API);
	ck_assert_int_eq(row_of(KIND_ENVIRONMENT, "shop.prod").manager,
			 MANAGER_API);
	/* Again: there is nothing left to do. */
	txn = live_read(&live);
	config.full = false;
	plan = plan_new(txn, &config);
	ck_assert_int_eq(plan_leave(plan, &err), OK);
	ck_assert_uint_eq(seal(), 0);
}
END_TEST

static bool has_no_zeros(void *data, const struct audit_row *row, bool right)
{
	(void)data;
	(void)right;
	ck_assert_msg(!str_starts(row->commit, STR("0000")), "%.*s",
		      STR_ARG(row->commit));
	return true;
}

START_TEST(what_no_commit_did_names_none)
{
	config.commit.b[0] = 1;
	first();
	delete_source("shop");
	config.commit.b[0] = 0;
	leave();
	txn = live_read(&live);
	ck_assert_int_eq(view_audit(txn, 0, has_no_zeros, NULL, &err), OK);
}
END_TEST

START_TEST(what_was_left_may_be_adopted)
{
	first();
	delete_source("shop");
	leave();
	config.source = STR("second");
	live_source(&live, "acme", "second");
	begin();
	has("shop/prod/a.json", "{\"a\": 2}");
	has("shop/prod/b.txt", "b");
	seal();
	apply();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\": 2}");
	ck_assert(str_is(row_of(KIND_CONFIG, "shop.prod.b.txt").manager_ref,
			 "source:acme/second"));
	ck_assert(str_is(row_of(KIND_CONFIG, "shop.prod.b.txt").meta, "{}"));
}
END_TEST

/* Somebody published, or changed the object: it is theirs. */
START_TEST(what_was_left_and_written_since_may_not)
{
	struct command *c;
	struct op *op;
	struct object_row row;

	first();
	delete_source("shop");
	leave();
	row = row_of(KIND_CONFIG, "shop.prod.b.txt");
	c = live_command(&live);
	live_blob(&live, "acme", STR("mine"));
	op = command_op(live.arena, c, OP_VERSION_ADD);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.a.json");
	op->sha = sha256_of(STR("mine"));
	op->size = 4;
	op->release = true;
	op = command_op(live.arena, c, OP_OBJECT_PUT);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.b.txt");
	op->labels = STR("{}");
	op->meta = row.meta;
	op->spec = STR("{\"description\":\"mine\"}");
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = STR("b.txt");
	op->format = STR("text");
	live_run(&live, c);
	live_source(&live, "acme", "shop");
	begin();
	ck_assert_int_eq(file("shop/prod/a.json", "{}"), E_MANAGED);
	ck_assert_int_eq(file("shop/prod/b.txt", "b"), E_MANAGED);
}
END_TEST

START_TEST(a_source_that_prunes_leaves_no_configuration)
{
	first();
	delete_source("shop");
	config.prune = true;
	leave();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/b.txt"), "-");
	ck_assert_int_eq(row_of(KIND_APPLICATION, "shop").manager, MANAGER_API);
}
END_TEST

START_TEST(orphans_are_found_with_what_is_known_of_them)
{
	struct orphan *found;
	size_t n;

	first();
	let_go();
	txn = live_read(&live);
	ck_assert_int_eq(sweep_orphans(txn, live.arena, &found, &n, &err), OK);
	ck_assert_uint_eq(n, 0);
	let_go();
	delete_source("shop");
	txn = live_read(&live);
	ck_assert_int_eq(sweep_orphans(txn, live.arena, &found, &n, &err), OK);
	ck_assert_uint_eq(n, 1);
	ck_assert(str_is(found->tenant, "acme"));
	ck_assert(str_is(found->name, "shop"));
	ck_assert(!found->prunes);
	let_go();
	leave();
	txn = live_read(&live);
	ck_assert_int_eq(sweep_orphans(txn, live.arena, &found, &n, &err), OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(what_was_rolled_back_is_held)
{
	struct command *c;
	struct op *op;

	first();
	begin();
	has("shop/prod/a.json", "{\"a\": 2}");
	has("shop/prod/b.txt", "b");
	seal();
	apply();
	c = live_command(&live);
	op = command_op(live.arena, c, OP_ROLLBACK);
	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.a.json");
	op->mode = ROLLBACK_STABLE_ONLY;
	live_run(&live, c);
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\": 1}");
	begin();
	has("shop/prod/a.json", "{\"a\": 2}");
	has("shop/prod/b.txt", "b");
	ck_assert_uint_eq(seal(), 0);
	ck_assert_uint_eq(plan_counts(plan)->held, 1);
	begin();
	has("shop/prod/a.json", "{\"a\": 3}");
	has("shop/prod/b.txt", "b");
	ck_assert_uint_eq(seal(), 1);
	apply();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\": 3}");
}
END_TEST

/* As the source, of two files of which one changes. */
static size_t plan_of_a(const char *content)
{
	begin();
	has("shop/prod/a.json", content);
	has("shop/prod/b.txt", "b");
	return seal();
}

static bool see_release(void *data, const struct object_view *o)
{
	*(struct str *)data = arena_str(live.arena, o->name);
	return true;
}

/* The newest release. */
static struct str push_a(const char *content)
{
	struct str name = STR_NONE;
	struct kv_txn *t;

	ck_assert_uint_eq(plan_of_a(content), 1);
	apply();
	t = live_read(&live);
	ck_assert_int_eq(view_list(t, KIND_RELEASE, STR("acme"), STR_NONE, STR_NONE,
				   see_release, &name, NULL), OK);
	kv_end(&t);
	return name;
}

static void go_in_steps(void)
{
	struct command *c = live_command(&live);
	struct op *op;

	c->type = COMMAND_VERSION;
	c->version = VERSION_GATE;
	live_run(&live, c);
	c = live_command(&live);
	op = command_op(live.arena, c, OP_OBJECT_PUT);
	op->kind = KIND_RELEASE_POLICY;
	op->tenant = STR("acme");
	op->name = STR("all");
	op->uid = uuid_new();
	op->labels = op->meta = STR("{}");
	op->spec = STR("{\"concurrency\":{\"policy\":\"Parallel\"},\"steps\":"
		       "[{\"percent\":50}],\"strategy\":\"canary\"}");
	live_run(&live, c);
}

static void turn_back(struct str release)
{
	struct command *c = live_command(&live);
	struct op *op = command_op(live.arena, c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = STR("acme");
	op->name = release;
	op->move = MOVE_ROLLBACK;
	op->step = UINT32_MAX;
	live_run(&live, c);
}

/* What a commit brings that is on its way is no operation, but where another content is
 * held there: then that is to be held when it turns back. */
START_TEST(what_is_coming_ends_a_hold_of_another)
{
	struct str older;

	first();
	go_in_steps();
	older = push_a("{\"a\": 2}");
	turn_back(push_a("{\"a\": 3}"));
	ck_assert_uint_eq(plan_of_a("{\"a\": 3}"), 0);
	config.full = _i;
	push_a("{\"a\": 2}");
	ck_assert_uint_eq(plan_of_a("{\"a\": 2}"), 0);
	ck_assert_uint_eq(plan_counts(plan)->kept, 2);
	turn_back(older);
	ck_assert_uint_eq(plan_of_a("{\"a\": 2}"), 0);
	ck_assert_uint_eq(plan_counts(plan)->held, 1);
}
END_TEST

START_TEST(two_leaders_cannot_both_apply)
{
	struct str mine;

	first();
	begin();
	has("shop/prod/a.json", "{\"a\": 2}");
	has("shop/prod/b.txt", "b");
	seal();
	mine = encoded("{\"x\":2}");
	live_apply(&live, mine);
	ck_assert_int_eq(live.last.code, OK);
	ck_assert(!live.last.replayed);
	/* The same command again is the same, not another. */
	live_apply(&live, mine);
	ck_assert_int_eq(live.last.code, OK);
	ck_assert(live.last.replayed);
	/* Another one that was planned before it is refused. */
	begin();
	has("shop/prod/a.json", "{\"a\": 3}");
	has("shop/prod/b.txt", "b");
	seal();
	plan_rebase(plan, config.rev - 1);
	live_apply(&live, encoded("{\"x\":3}"));
	ck_assert_int_eq(live.last.code, E_CONFLICT);
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"), "{\"a\": 2}");
}
END_TEST

/* There and back and there again is three plans: none is answered from the
 * memory of another. */
START_TEST(back_and_forth)
{
	for (unsigned i = 0; i < 6; i++) {
		begin();
		has("shop/prod/a.json", i % 2 ? "{\"a\": 2}" : "{\"a\": 1}");
		seal();
		apply();
		ck_assert(!live.last.replayed);
		ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/a.json"),
				 i % 2 ? "{\"a\": 2}" : "{\"a\": 1}");
	}
}
END_TEST

START_TEST(the_digest_is_of_the_plan)
{
	struct sha256 a, b;

	begin();
	has("shop/prod/x.txt", "1");
	seal();
	a = plan_own_digest(plan);
	begin();
	has("shop/prod/x.txt", "1");
	seal();
	b = plan_own_digest(plan);
	ck_assert(sha256_eq(&a, &b));
	begin();
	has("shop/prod/x.txt", "2");
	seal();
	b = plan_own_digest(plan);
	ck_assert(!sha256_eq(&a, &b));
}
END_TEST

static enum code manifest(const char *path, const char *name, const char *env,
			  const char *content)
{
	struct manifest m = { .kind = KIND_CONFIG, .name = str_of(name),
			      .labels = STR("{}"), .meta = STR("{}"),
			      .spec = STR("{}"), .format = FORMAT_TEXT,
			      .has_content = true, .content = str_of(content) };

	m.at = (struct address){ STR("acme"), STR("shop"), str_of(env),
				 STR("x.txt") };
	return plan_manifest(plan, str_of(path), &m, &err);
}

START_TEST(manifests_become_live)
{
	begin();
	ck_assert_msg(manifest("m.yaml", "one", "prod", "1") == OK, "%s", err.text);
	seal();
	apply();
	ck_assert_str_eq(live_fetch(&live, "acme/shop/prod/x.txt"), "1");
	begin();
	ck_assert_int_eq(manifest("m.yaml", "one", "prod", "1"), OK);
	ck_assert_int_eq(manifest("n.yaml", "new", "dev", "1"), OK);
	/* Two of one name, two of one address. */
	ck_assert_int_eq(manifest("o.yaml", "new", "qa", "1"), E_UNPROCESSABLE);
	ck_assert_str_eq(err.text, "o.yaml: new is also in n.yaml");
	ck_assert_int_eq(manifest("o.yaml", "other", "dev", "1"),
			 E_UNPROCESSABLE);
	begin();
	ck_assert_int_eq(manifest("m.yaml", "two", "prod", "1"), E_UNPROCESSABLE);
	begin();
	ck_assert_int_eq(manifest("m.yaml", "one", "dev", "1"), E_MANAGED);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/plan");
	TCase *tc = tcase_create("plan");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, files_become_live);
	tcase_add_test(tc, the_same_again_is_nothing);
	tcase_add_test(tc, one_change_is_one_operation);
	tcase_add_test(tc, what_is_gone);
	tcase_add_test(tc, a_malformed_file_has_its_place);
	tcase_add_test(tc, another_manager_stops_it);
	tcase_add_test(tc, another_source_stops_it_until_it_is_gone);
	tcase_add_test(tc, what_a_deleted_source_leaves_is_nobodys);
	tcase_add_test(tc, what_no_commit_did_names_none);
	tcase_add_test(tc, what_was_left_may_be_adopted);
	tcase_add_test(tc, what_was_left_and_written_since_may_not);
	tcase_add_test(tc, a_source_that_prunes_leaves_no_configuration);
	tcase_add_test(tc, orphans_are_found_with_what_is_known_of_them);
	tcase_add_test(tc, what_was_rolled_back_is_held);
	tcase_add_loop_test(tc, what_is_coming_ends_a_hold_of_another, 0, 2);
	tcase_add_test(tc, two_leaders_cannot_both_apply);
	tcase_add_test(tc, back_and_forth);
	tcase_add_test(tc, the_digest_is_of_the_plan);
	tcase_add_test(tc, manifests_become_live);
	suite_add_tcase(s, tc);
	return s;
}

UNIT_MAIN(suite)
