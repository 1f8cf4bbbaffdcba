/* With a source that prunes its configurations go: who deletes it passes their gate. */
#include <stdio.h>

#include "gate_help.h"
#include "unit.h"

#include "base/banned.h"

#define GIT STR("source:acme/git")
#define DELETION "{\"breakGlass\":{\"subjects\":[\"adm\"]},\"operations\":[\"delete\"]," \
	"\"select\":{\"environments\":[\"prod\"]},\"stages\":[" BY("leads") "]}"

#define MANY 3000u
#define OTHERS 150000u

static struct command *as_source(void)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = GIT, .role = ROLE_SOURCE,
				       .tenant = STR("acme") };
	return c;
}

/* Two configurations in prod and one in test are the source's; what bench_shop made
 * is nobody's. */
static void begin(const char *source_spec)
{
	struct command *c;

	make(KIND_SOURCE, "git", source_spec);
	c = as_source();
	put_config(&b, c, "acme", "shop", "prod", "a");
	put_config(&b, c, "acme", "shop", "prod", "b");
	put_config(&b, c, "acme", "shop", "test", "c");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	people();
	let_in("adm", "", ALL | BIT(VERB_ADMINISTER), 0);
	let_in("dev", "", ALL, 0);
}

static void add_deletion(struct command *c)
{
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

	op->kind = KIND_SOURCE;
	op->tenant = STR("acme");
	op->name = STR("git");
}

static const struct outcome *delete_source(struct command *c)
{
	add_deletion(c);
	return bench_apply(&b, c);
}

static bool is_there(enum kind_id kind, const char *name)
{
	struct kv_txn *txn = bench_read(&b);
	struct object_view v;
	bool is = view_object(txn, kind, STR("acme"), str_of(name), &v, NULL) == OK;

	kv_end(&txn);
	return is;
}

START_TEST(the_deletion_waits_for_who_must_agree)
{
	struct proposal_row row;
	const char *p;

	begin("{\"prune\":true}");
	make(KIND_APPROVAL_POLICY, "prod", DELETION);
	ck_assert_int_eq(delete_source(as("dev"))->code, E_DENIED);
	delete_source(as("adm"));
	p = proposed("Pending");
	ck_assert(is_there(KIND_SOURCE, "git"));
	/* People see what would go, all of it. */
	row = row_of(p);
	ck_assert_uint_eq(row.count, 3);
	ck_assert_uint_eq(row.n_configs, 3);
	ck_assert(str_is(row.configs[0].name, "shop.prod.a") &&
		  str_is(row.configs[2].name, "shop.test.c"));
	ck_assert_uint_eq(row.configs[0].actions, BIT(GATE_DELETE));
	ck_assert(str_is(row.authors.subject, "adm"));
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Executed");
	ck_assert(!is_there(KIND_SOURCE, "git"));
	/* The rest is the reconciler's, which nobody asks any more. */
	tick_after(25 * 3600000);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
}
END_TEST

/* Locks as of any proposal; and what moves ends it. */
START_TEST(what_would_go_is_locked)
{
	struct command *c;
	struct str s = STR("x"), holder;
	struct kv_txn *txn;
	const char *p;

	begin("{\"prune\":true}");
	make(KIND_APPROVAL_POLICY, "prod", DELETION);
	delete_source(as("adm"));
	p = proposed("Pending");
	txn = bench_read(&b);
	ck_assert(view_lock(txn, b.arena, STR("acme"), STR("shop.test.c"), &holder) &&
		  str_eq(holder, str_of(p)));
	kv_end(&txn);
	c = as_source();
	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", "shop.prod.b", s, true);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	phase_is(p, PROPOSAL_STALE);
	delete_source(as("adm"));
	ck_assert_str_ne(proposed("Pending"), p);
	/* When it ends it owns other things than when it was proposed. */
	c = bench_command(&b);
	c->flags = COMMAND_TAKE_OVER;
	put_config(&b, c, "acme", "shop", "prod", "a");
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	tick_after(25 * 3600000);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
}
END_TEST

START_TEST(a_window_holds_the_deletion)
{
	struct command *c;

	begin("{\"prune\":true}");
	make(KIND_FREEZE_WINDOW, "sale", "{\"interval\":{\"end\":"
	     "\"2099-01-01T00:00:00Z\",\"start\":\"2000-01-01T00:00:00Z\"},"
	     "\"owner\":\"ops\",\"reason\":\"r\",\"select\":{\"environments\":"
	     "[\"test\"]}}");
	ck_assert_int_eq(delete_source(as("adm"))->code, E_FROZEN);
	ck_assert_msg(str_find_str(str_of(b.last.text), STR("sale of ops")) !=
		      SIZE_MAX, "%s", b.last.text);
	ck_assert(is_there(KIND_SOURCE, "git"));
	/* Behind the glass, with a review. */
	make(KIND_APPROVAL_POLICY, "prod", DELETION);
	c = as("adm");
	c->flags = COMMAND_BREAK_GLASS;
	c->reason = STR("it burns");
	delete_source(c);
	proposed("Executed");
	ck_assert(!is_there(KIND_SOURCE, "git"));
}
END_TEST

static const struct {
	const char *spec, *policy;
} free_lines[] = {
	/* It leaves what it owns. */
	{ "{}", DELETION },
	{ "{\"prune\":false}", DELETION },
	/* Nobody asks about these, or about that. */
	{ "{\"prune\":true}", "{\"select\":{\"environments\":[\"stage\"]},\"stages\":["
			      BY("leads") "]}" },
	{ "{\"prune\":true}", "{\"operations\":[\"publish\"],\"stages\":["
			      BY("leads") "]}" },
	/* Of prod is only what is not its own. */
	{ "{\"prune\":true}", "{\"select\":{\"names\":[\"db.toml\"]},\"stages\":["
			      BY("leads") "]}" },
};

START_TEST(what_no_policy_asks_about_is_deleted)
{
	begin(free_lines[_i].spec);
	make(KIND_APPROVAL_POLICY, "prod", free_lines[_i].policy);
	ck_assert_int_eq(delete_source(as("adm"))->code, OK);
	ck_assert_str_eq(b.last.proposal, "");
	ck_assert(!is_there(KIND_SOURCE, "git"));
}
END_TEST

/* ---- many ---- */

/* One command, in turns; answers how many it took. */
static unsigned apply_in_turns(const struct command *c)
{
	struct rc_entry e = { .index = ++b.index, .id = b.index, .term = 1,
			      .is_command = true, .data = bench_encode(&b, c) };
	struct err err = { 0 };
	unsigned turns = 0;
	bool more = true;

	ck_assert_int_eq(b.machine.apply(b.machine.data, &e, 1, &err), OK);
	for (; more; turns++)
		ck_assert_int_eq(b.machine.apply_more(b.machine.data, &more, &err),
				 OK);
	return turns;
}

static void add_many(struct command *c, const char *env)
{
	for (unsigned i = 0; i < MANY; i++)
		put_config(&b, c, "acme", "shop", env,
			   arena_printf(b.arena, "f%04u", i).p);
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

/* A turn of the core loop looks at a part of what is there, and locks a part of it; and
 * so does a tick that removes the locks. */
START_TEST(what_is_much_takes_its_turns)
{
	struct command *c;
	unsigned ticks = 0;
	uint64_t left;
	const char *p;

	begin("{\"prune\":true}");
	add_many(as_source(), "many");
	add_many(bench_command(&b), "others");
	make(KIND_APPROVAL_POLICY, "prod", DELETION);
	c = as("adm");
	add_deletion(c);
	/* Of 128 units: each lock is one, and some are what is looked at, twice. */
	ck_assert_uint_gt(apply_in_turns(c), (MANY + 2 * MANY / 16) / 128);
	p = proposed("Pending");
	ck_assert_uint_eq(row_of(p).count, MANY + 3);
	ck_assert_uint_eq(row_of(p).n_configs, PROPOSAL_CONFIGS_MAX);
	/* All that it owns, the source, and nothing else. */
	ck_assert_uint_eq(rows(KV_LOCKS), MANY + 4);
	ck_assert_int_eq(vote("bob", p, VOTE_REJECT), OK);
	while ((left = rows(KV_LOCKS)) > 0) {
		tick_after(ticks ? 1000 : 25 * 3600000);
		ck_assert_uint_lt(rows(KV_LOCKS), left);
		ck_assert_uint_le(left - rows(KV_LOCKS), 1100);
		ticks++;
	}
	ck_assert_uint_gt(ticks, MANY / 1100);
	tick_after(1000);
	ck_assert(is_there(KIND_SOURCE, "git"));
}
END_TEST

/* More of them than a tick looks at stand before what it is to remove. */
START_TEST(locks_of_others_are_passed)
{
	struct kv_txn *txn;
	struct kv *kv;
	unsigned ticks = 0;

	begin("{\"prune\":true}");
	make(KIND_APPROVAL_POLICY, "prod", DELETION);
	delete_source(as("adm"));
	ck_assert_int_eq(vote("bob", proposed("Pending"), VOTE_REJECT), OK);
	kv = state_kv(b.state);
	ck_assert_int_eq(kv_write(kv, &txn, NULL), OK);
	for (unsigned i = 0; i < OTHERS; i++) {
		char name[32];
		AUTO_BUF key = BUF_NONE;

		snprintf(name, sizeof(name), "shop.a.f%06u", i);
		key_lock(&key, STR("acme"), KIND_CONFIG, str_of(name), STR("p-other"));
		kv_put(txn, KV_LOCKS, buf_view(&key), LOCK_OF_BASE);
	}
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	kv_close(&kv);
	tick_after(25 * 3600000);
	ck_assert_uint_gt(rows(KV_LOCKS), OTHERS);
	for (; rows(KV_LOCKS) > OTHERS; ticks++) {
		ck_assert_uint_lt(ticks, 4);
		tick_after(1000);
	}
	ck_assert_uint_eq(rows(KV_LOCKS), OTHERS);
}
END_TEST

/* The rows alone: nothing else is asked of what goes with a source. */
static void own_too_many(void)
{
	struct kv *kv = state_kv(b.state);
	struct kv_txn *txn;

	ck_assert_int_eq(kv_write(kv, &txn, NULL), OK);
	for (unsigned i = 0; i < PLAN_OPS_MAX; i++) {
		struct object_row row = {
			.rev = 1, .manager = MANAGER_GIT, .manager_ref = GIT,
			.labels = STR("{}"), .meta = STR("{}"), .spec = STR("{}"),
			.status = STR("{}"), .application = STR("shop"),
			.environment = STR("many"), .config_name = STR("f") };
		char name[32];
		AUTO_BUF key = BUF_NONE;
		AUTO_BUF val = BUF_NONE;

		snprintf(name, sizeof(name), "shop.many.f%06u", i);
		key_object(&key, STR("acme"), KIND_CONFIG, str_of(name));
		object_row_encode(&val, &row);
		kv_put(txn, KV_OBJECTS, buf_view(&key), buf_view(&val));
	}
	ck_assert_int_eq(kv_commit(&txn, NULL), OK);
	kv_close(&kv);
}

START_TEST(what_is_too_much_cannot_wait)
{
	struct command *c;

	begin("{\"prune\":true}");
	own_too_many();
	make(KIND_APPROVAL_POLICY, "prod", DELETION);
	c = as("adm");
	add_deletion(c);
	ck_assert_uint_gt(apply_in_turns(c), PLAN_OPS_MAX / 16 / 128);
	ck_assert_int_eq(b.last.code, E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(b.last.text, "source git prunes"));
	ck_assert(is_there(KIND_SOURCE, "git"));
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(rows(KV_PROPOSALS), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/gate_prune");
	TCase *t = tcase_create("prune");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, gate_setup, gate_teardown);
	tcase_add_test(t, the_deletion_waits_for_who_must_agree);
	tcase_add_test(t, what_would_go_is_locked);
	tcase_add_test(t, a_window_holds_the_deletion);
	tcase_add_loop_test(t, what_no_policy_asks_about_is_deleted, 0,
			    ARRAY_LEN(free_lines));
	tcase_add_test(t, what_is_much_takes_its_turns);
	tcase_add_test(t, locks_of_others_are_passed);
	tcase_add_test(t, what_is_too_much_cannot_wait);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
