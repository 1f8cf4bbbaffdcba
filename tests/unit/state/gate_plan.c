/* Plans: kept, executed as they are, and let go. */
#include "gate_help.h"
#include "unit.h"

#include <stdio.h>

#include "base/banned.h"

static struct str plan_of(const char *text)
{
	struct command *c = as("ann");
	struct str s = str_of(text);

	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", CONFIG, s, true);
	return bench_encode(&b, c);
}

static struct sha256 digest_of(struct str plan)
{
	struct kv_txn *txn = bench_read(&b);
	struct sha256 sha;

	ck_assert_int_eq(planned_digest(txn, plan, &sha, NULL), OK);
	kv_end(&txn);
	return sha;
}

static enum code put_plan(struct str plan, struct sha256 digest)
{
	struct command *c = as("ann");
	struct op *op = command_op(b.arena, c, OP_PLAN_PUT);

	op->tenant = STR("acme");
	op->sha = digest;
	op->bytes = plan;
	return bench_apply(&b, c)->code;
}

static enum code run_plan(const char *who, struct sha256 digest)
{
	struct command *c = as(who);
	struct op *op = command_op(b.arena, c, OP_EXECUTE);

	op->tenant = STR("acme");
	op->sha = digest;
	return bench_apply(&b, c)->code;
}

START_TEST(a_plan_is_executed_as_it_is)
{
	struct str plan = plan_of("two\n");
	struct sha256 digest = digest_of(plan);

	people();
	let_in("kim", "", BIT(VERB_APPROVE), 0);
	ck_assert_int_eq(run_plan("ann", digest), E_NOT_FOUND);
	ck_assert_int_eq(put_plan(plan, sha256_of(STR("x"))), E_CONFLICT);
	ck_assert_int_eq(put_plan(plan, digest), OK);
	ck_assert_uint_eq(refs_of("two\n"), 1);
	ck_assert_str_eq(live(), "one\n");
	/* His own permissions count, not those of who planned it. */
	ck_assert_int_eq(run_plan("kim", digest), E_DENIED);
	ck_assert_int_eq(run_plan("bob", digest), OK);
	ck_assert_str_eq(live(), "two\n");
	ck_assert(str_is(last_audit().subject, "bob"));
	/* What it was computed from is no more. */
	ck_assert_int_eq(run_plan("bob", digest), E_CONFLICT);
	tick_after(25 * 3600000);
	ck_assert_int_eq(run_plan("bob", digest), E_NOT_FOUND);
	ck_assert_uint_eq(refs_of("two\n"), 1);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	ck_assert_uint_eq(rows(KV_DUE), 0);
}
END_TEST

START_TEST(a_plan_passes_the_gate_like_any_change)
{
	struct str plan = plan_of("two\n");
	struct sha256 digest = digest_of(plan);
	const char *p;

	need_leads();
	people();
	let_in("cid", LEADS, ALL, 0);
	ck_assert_int_eq(put_plan(plan, digest), OK);
	ck_assert_int_eq(put_plan(plan, digest), OK);
	ck_assert_uint_eq(refs_of("two\n"), 2);
	ck_assert_int_eq(run_plan("bob", digest), OK);
	p = proposed("Pending");
	ck_assert_int_eq(memcmp(row_of(p).digest.b, digest.b, 32), 0);
	ck_assert_str_eq(live(), "one\n");
	/* Neither who planned it nor who wants it. */
	ck_assert_int_eq(vote("ann", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("cid", p, VOTE_APPROVE), OK);
	/* The plan lives as long as its proposal. */
	tick_after(23 * 3600000);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(live(), "two\n");
	ck_assert(str_is(last_audit().subject, "bob"));
	tick_after(25 * 3600000);
	ck_assert_uint_eq(refs_of("two\n"), 1);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
}
END_TEST

static void inside_plan(struct command *c)
{
	*command_op(b.arena, c, OP_EXECUTE) = (struct op){
		.type = OP_EXECUTE, .tenant = STR("acme") };
}

static void inside_vote(struct command *c)
{
	*command_op(b.arena, c, OP_VOTE) = (struct op){
		.type = OP_VOTE, .kind = KIND_PROPOSAL, .tenant = STR("acme"),
		.name = STR("p-1"), .vote = VOTE_APPROVE };
}

static void inside_other(struct command *c)
{
	struct op *op = put_config(&b, c, "other", "shop", "prod", "x.toml");

	op->tenant = STR("other");
}

static void inside_long(struct command *c)
{
	char *name = arena_alloc(b.arena, 600);

	memset(name, 'a', 600);
	put_config(&b, c, "acme", "shop", "prod", "x.toml")->name = str_n(name, 600);
	put_config(&b, c, "acme", "shop", "prod", "y.toml")->tenant = str_n(name, 90);
}

static void inside_nothing(struct command *c)
{
	c->n_ops = 0;
}

static void (*const insides[])(struct command *c) = {
	inside_plan, inside_vote, inside_other, inside_long, inside_nothing,
};

START_TEST(what_cannot_be_a_plan)
{
	struct command *c = as("ann");
	struct str plan;
	struct sha256 digest;
	struct kv_txn *txn = bench_read(&b);

	people();
	put_config(&b, c, "acme", "shop", "prod", "new.toml");
	insides[_i](c);
	plan = bench_encode(&b, c);
	if (c->n_ops)
		ck_assert_int_eq(planned_digest(txn, plan, &digest, NULL),
				 E_INVALID);
	kv_end(&txn);
	ck_assert_int_eq(put_plan(plan, sha256_of(STR("x"))), E_INVALID);
	ck_assert_int_eq(put_plan(STR("\1\2"), sha256_of(STR("x"))), E_INVALID);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
}
END_TEST

START_TEST(a_tenant_takes_its_proposals_along)
{
	struct command *c;

	people();
	make(KIND_APPROVAL_POLICY, "prod",
	     "{\"operations\":[\"publish\"],\"stages\":[" BY("leads") "]}");
	publish(as("ann"), "two\n");
	proposed("Pending");
	ck_assert_int_eq(put_plan(plan_of("three\n"),
				  digest_of(plan_of("three\n"))), OK);
	delete(KIND_CONFIG, CONFIG);
	delete(KIND_APPROVAL_POLICY, "prod");
	c = bench_command(&b);
	*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
		.type = OP_OBJECT_DELETE, .kind = KIND_TENANT,
		.name = STR("acme") };
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	ck_assert_uint_eq(rows(KV_PROPOSALS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(refs_of("two\n"), 0);
	tick_after(48 * 3600000);
	ck_assert_uint_eq(rows(KV_DUE), 0);
	/* One of the same name begins with nothing. */
	c = bench_command(&b);
	put_tenant(&b, c, "acme");
	bench_apply(&b, c);
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "db.toml");
	bench_apply(&b, c);
	ck_assert_str_eq(b.last.phase, "");
	ck_assert_int_eq(b.last.code, OK);
}
END_TEST

static void let_in_at(const char *tenant, const char *name)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_SUBJECT_PUT);

	op->name = op->author = str_of(name);
	op->sha = token_of(name);
	op->tenant = str_of(tenant);
	op->verbs = ALL;
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
}

static bool has_token(const char *name)
{
	struct kv_txn *txn = bench_read(&b);
	struct sha256 sha = token_of(name);
	bool is = kv_get(txn, KV_TOKENS, str_n(sha.b, sizeof(sha.b)), NULL);

	kv_end(&txn);
	return is;
}

/* Or they would be let in by the next one of its name. */
START_TEST(a_tenant_takes_its_tokens_along)
{
	struct command *c = bench_command(&b);

	let_in_at("acme", "kim");
	let_in_at("acme", "lea");
	let_in_at("acme2", "max");
	let_in_at("", "ned");
	delete(KIND_CONFIG, CONFIG);
	*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
		.type = OP_OBJECT_DELETE, .kind = KIND_TENANT,
		.name = STR("acme") };
	ck_assert_msg(bench_apply(&b, c)->code == OK, "%s", b.last.text);
	ck_assert(!has_token("kim") && !has_token("lea"));
	ck_assert(has_token("max") && has_token("ned"));
}
END_TEST

#define OPS 1700u                        /* more than a slice */

/* Versions of that many configurations, kept as a plan, and once more as a proposal. */
static const char *keep_much(bool proposes)
{
	static char names[OPS][32];
	struct command *c = bench_command(&b), *inner = as("ann");
	struct str s = STR("two\n"), plan;

	put_blob(&b, "acme", s);
	for (unsigned i = 0; i < OPS; i++) {
		snprintf(names[i], sizeof(names[i]), "shop.prod.c%u", i);
		put_config(&b, c, "acme", "shop", "prod", names[i] + 10);
		add_version(&b, inner, "acme", names[i], s, true);
	}
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	plan = bench_encode(&b, inner);
	ck_assert_int_eq(put_plan(plan, digest_of(plan)), OK);
	ck_assert_uint_eq(refs_of("two\n"), OPS);
	if (!proposes)
		return NULL;
	inner->not_before_ms = b.time_ms + 60000;
	bench_apply(&b, inner);
	ck_assert_uint_eq(refs_of("two\n"), 2 * OPS);
	return proposed("Approved");
}

/* With all that is in its way. */
static enum code delete_acme(void)
{
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i <= OPS; i++)
		*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
			.type = OP_OBJECT_DELETE, .kind = KIND_CONFIG,
			.tenant = STR("acme"),
			.name = i < OPS ? arena_printf(b.arena, "shop.prod.c%u", i) :
					  STR(CONFIG) };
	*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
		.type = OP_OBJECT_DELETE, .kind = KIND_TENANT,
		.name = STR("acme") };
	return bench_apply(&b, c)->code;
}

static enum code make_acme(void)
{
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "acme");
	return bench_apply(&b, c)->code;
}

/* A part at a time; meanwhile nothing of it moves, and none takes its name. */
START_TEST(a_tenant_with_much_goes_in_parts)
{
	const uint32_t all = 2 * OPS;
	const char *p;
	uint32_t refs;

	people();
	p = keep_much(true);
	ck_assert_msg(delete_acme() == OK, "%s", b.last.text);
	refs = refs_of("two\n");
	ck_assert_uint_ge(refs, all - 1000);
	ck_assert_int_eq(make_acme(), E_BUSY);
	ck_assert_int_eq(vote("ann", p, VOTE_CANCEL), E_NOT_FOUND);
	b.time_ms += 60000;
	ck_assert_int_eq(execute(p), E_NOT_FOUND);
	for (unsigned i = 0; rows(KV_LOCKS) || rows(KV_PLANS) || rows(KV_PROPOSALS); i++) {
		uint64_t locks = rows(KV_LOCKS);

		ck_assert_uint_lt(i, 12);
		tick_after(1000);
		ck_assert_uint_le(refs - refs_of("two\n"), 1000);
		ck_assert_uint_le(locks - rows(KV_LOCKS), 1000);
		refs = refs_of("two\n");
	}
	tick_after(1000);
	ck_assert_uint_eq(refs_of("two\n"), 0);
	ck_assert_int_eq(make_acme(), OK);
	tick_after(48 * 3600000);
	ck_assert_uint_eq(rows(KV_DUE), 0);
}
END_TEST

/* Whose time was over already, and of which a part had gone. */
START_TEST(a_plan_that_goes_already_is_let_go_once)
{
	people();
	keep_much(false);
	tick_after(24 * 3600000);
	ck_assert_uint_lt(refs_of("two\n"), OPS);
	ck_assert_uint_gt(refs_of("two\n"), 0);
	ck_assert_msg(delete_acme() == OK, "%s", b.last.text);
	for (unsigned i = 0; i < 12; i++)
		tick_after(1000);
	ck_assert_uint_eq(refs_of("two\n"), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	ck_assert_int_eq(make_acme(), OK);
}
END_TEST

/* What the door would not let through must not end anybody here. */
START_TEST(a_plan_is_of_a_tenant)
{
	struct command *c = as("ann"), *inner = as("ann");
	char *name = arena_alloc(b.arena, 600);
	struct op *op = command_op(b.arena, c, OP_PLAN_PUT);
	const struct str tenants[] = { str_n(name, 600), STR("no.such"),
				       STR("other"), str_n("ac\0me", 5) };
	const enum code codes[] = { E_INVALID, E_INVALID, E_NOT_FOUND, E_INVALID };

	people();
	memset(name, 'a', 600);
	put_tenant(&b, inner, "new");
	op->bytes = bench_encode(&b, inner);
	op->sha = digest_of(op->bytes);
	for (size_t i = 0; i < ARRAY_LEN(tenants); i++) {
		op->tenant = tenants[i];
		ck_assert_int_eq(bench_apply(&b, c)->code, codes[i]);
	}
	c = as("ann");
	op = command_op(b.arena, c, OP_EXECUTE);
	op->tenant = str_n(name, 600);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	op->kind = KIND_PROPOSAL;
	op->name = str_n(name, 600);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	op->type = OP_VOTE;
	op->vote = VOTE_APPROVE;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	op->type = OP_OBJECT_PUT;
	op->kind = KIND_CONFIG;
	ck_assert_int_ne(bench_apply(&b, c)->code, OK);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
}
END_TEST

/* ---- many ---- */

#define MANY 2500

static void each_config(struct command *c, bool put)
{
	struct str s = STR("many");

	if (!put)
		*command_content(b.arena, c) = (struct content_part){
			STR("acme"), sha256_of(s), s };
	for (unsigned i = 0; i < MANY; i++) {
		char *name = arena_z(b.arena, arena_printf(b.arena, "c%u", i));
		struct str object = arena_printf(b.arena, "shop.many.c%u", i);

		if (put)
			put_config(&b, c, "acme", "shop", "many", name);
		else
			add_version(&b, c, "acme", object.p, s, true);
	}
}

/* More than a slice, and than a tick lets go at once. */
START_TEST(many_configurations_are_one_proposal)
{
	struct command *c = bench_command(&b);
	struct proposal_row row;
	const char *p;

	people();
	each_config(c, true);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	need_leads();
	c = as("ann");
	each_config(c, false);
	bench_apply(&b, c);
	p = proposed("Pending");
	row = row_of(p);
	ck_assert_uint_eq(row.count, MANY);
	ck_assert_uint_eq(row.n_configs, PROPOSAL_CONFIGS_MAX);
	ck_assert_uint_eq(rows(KV_LOCKS), MANY);
	ck_assert_uint_eq(refs_of("many"), MANY);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Executed");
	ck_assert_uint_eq(refs_of("many"), 2 * MANY);
	tick_after(25 * 3600000);
	ck_assert_uint_gt(rows(KV_LOCKS), MANY / 3);
	ck_assert(!row_of(p).is_cleared);
	ck_assert(state_tick_is_due(b.state, b.time_ms));
	tick_after(0);
	tick_after(0);
	ck_assert(row_of(p).is_cleared);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	ck_assert_uint_eq(refs_of("many"), MANY);
}
END_TEST

/* The same change again while the plan of the one before is being let go. */
START_TEST(a_plan_that_is_going_is_not_taken)
{
	struct command *c = bench_command(&b);
	const char *p;

	people();
	each_config(c, true);
	bench_apply(&b, c);
	need_leads();
	c = as("ann");
	each_config(c, false);
	bench_apply(&b, c);
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_REJECT), OK);
	tick_after(25 * 3600000);
	ck_assert_uint_gt(refs_of("many"), 0);
	c = as("ann");
	each_config(c, false);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_BUSY);
	tick_after(0);
	tick_after(0);
	ck_assert_uint_eq(refs_of("many"), 0);
	c = as("ann");
	put_blob(&b, "acme", STR("many"));
	each_config(c, false);
	bench_apply(&b, c);
	proposed("Pending");
	ck_assert_uint_eq(refs_of("many"), MANY);
}
END_TEST

/* ---- what is kept is bounded ---- */

static enum code keep_as(const char *who, const char *text)
{
	struct str plan = plan_of(text);
	struct sha256 digest = digest_of(plan);
	struct command *c = as(who);
	struct op *op = command_op(b.arena, c, OP_PLAN_PUT);

	op->tenant = STR("acme");
	op->sha = digest;
	op->bytes = plan;
	return bench_apply(&b, c)->code;
}

static bool says(const char *what)
{
	return str_find_str(str_of(b.last.text), str_of(what)) != SIZE_MAX;
}

/* Who may only read plans as well, and fills nobody else's room. */
START_TEST(nobody_fills_the_room_of_another)
{
	uint64_t before = rows(KV_META);
	char text[20];

	people();
	let_in("guest", "", 0, 0);
	before = rows(KV_META);
	for (int i = 0; i < PLANS_SUBJECT_MAX; i++) {
		snprintf(text, sizeof(text), "v%d", i);
		ck_assert_msg(keep_as("guest", text) == OK, "%s", b.last.text);
	}
	ck_assert_int_eq(keep_as("guest", "more"), E_QUOTA);
	ck_assert_msg(says("guest keeps 500 plans") && says("at most 500"), "%s",
		      b.last.text);
	/* One that is there is none more, and is his who made it first. */
	ck_assert_int_eq(keep_as("guest", "v0"), OK);
	ck_assert_int_eq(keep_as("eve", "v0"), OK);
	ck_assert_int_eq(keep_as("guest", "more"), E_QUOTA);
	ck_assert_int_eq(keep_as("eve", "more"), OK);
	tick_after(25 * 3600000);
	ck_assert_int_eq(keep_as("guest", "more"), OK);
	tick_after(25 * 3600000);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	/* The counts of the tenant stay, at nothing. */
	ck_assert_uint_eq(rows(KV_META), before + 2);
}
END_TEST

static bool is_counted(const char *who)
{
	struct kv_txn *txn = bench_read(&b);
	AUTO_BUF key = BUF_NONE;
	bool is;

	key_planner(&key, STR("acme"), str_of(who));
	is = kv_get(txn, KV_META, buf_view(&key), NULL);
	kv_end(&txn);
	return is;
}

/* What a proposal takes is no more his. */
START_TEST(what_is_proposed_does_not_count)
{
	struct str plan = plan_of("two\n");
	struct sha256 digest = digest_of(plan);

	need_leads();
	people();
	ck_assert_int_eq(put_plan(plan, digest), OK);
	ck_assert(is_counted("ann"));
	ck_assert_int_eq(run_plan("bob", digest), OK);
	proposed("Pending");
	ck_assert(!is_counted("ann") && !is_counted("bob"));
}
END_TEST

/* A plan that was proposed by a source, for commit "c1". */
static struct str plan_as_source(struct command *c)
{
	struct str s = STR("two\n");

	c->flags = COMMAND_TAKE_OVER;
	c->commit = STR("c1");
	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", CONFIG, s, true);
	return bench_encode(&b, c);
}

static enum code bring_again(void)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
	plan_as_source(c);
	return bench_apply(&b, c)->code;
}

/* What is remembered of a proposal keeps no plan, nor lets one past what may be kept. */
START_TEST(what_was_refused_may_be_planned_and_goes)
{
	struct str plan;
	struct sha256 digest;

	need_leads();
	people();
	ck_assert_int_eq(bring_again(), OK);
	ck_assert_int_eq(vote("bob", proposed("Pending"), VOTE_REJECT), OK);
	tick_after(25 * 3600000);
	ck_assert_uint_eq(rows(KV_PLANS), 1);
	ck_assert_uint_eq(refs_of("two\n"), 0);
	plan = plan_as_source(as("ann"));
	digest = digest_of(plan);
	ck_assert_msg(put_plan(plan, digest) == OK, "%s", b.last.text);
	ck_assert_msg(put_plan(plan, digest) == OK, "%s", b.last.text);
	/* The same, and counted as any other. */
	ck_assert_uint_eq(rows(KV_PLANS), 2);
	ck_assert_uint_eq(refs_of("two\n"), 2);
	ck_assert(is_counted("ann"));
	if (_i) {
		ck_assert_int_eq(run_plan("bob", digest), OK);
		ck_assert_int_eq(vote("bob", proposed("Pending"), VOTE_CANCEL), OK);
		ck_assert(!is_counted("ann"));
	} else {
		ck_assert_int_eq(bring_again(), E_REJECTED);
	}
	tick_after(25 * 3600000);
	ck_assert_uint_eq(refs_of("two\n"), 0);
	ck_assert(!is_counted("ann"));
	ck_assert_uint_eq(rows(KV_DUE), 0);
	ck_assert_uint_eq(rows(KV_PLANS), _i ? 0 : 1);
	ck_assert_int_eq(bring_again(), _i ? OK : E_REJECTED);
}
END_TEST

/* The contents that plans hold are most of it. */
START_TEST(contents_count)
{
	static char large[8 << 20];
	struct str s = str_n(large, sizeof(large));
	struct command *c = as("ann");
	struct str plan;
	struct op *op;

	people();
	memset(large, 'x', sizeof(large));
	put_blob(&b, "acme", s);
	for (int i = 0; i < 9; i++)
		add_version(&b, c, "acme", CONFIG, s, true);
	plan = bench_encode(&b, c);
	c = as("ann");
	op = command_op(b.arena, c, OP_PLAN_PUT);
	op->tenant = STR("acme");
	op->sha = digest_of(plan);
	op->bytes = plan;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_QUOTA);
	ck_assert_msg(says("ann keeps 0 plans"), "%s", b.last.text);
}
END_TEST

/* By operations where it is planned, by bytes at the gate. */
START_TEST(what_is_too_large_says_so)
{
	static char large[1 << 20];
	struct command *c = as("ann");
	struct op *op;

	need_leads();
	people();
	for (int i = 0; i <= PLAN_OPS_MAX; i++) {
		op = command_op(b.arena, c, OP_OBJECT_DELETE);
		op->kind = KIND_CONFIG;
		op->tenant = STR("acme");
		op->name = STR("x");
	}
	ck_assert_int_eq(put_plan(bench_encode(&b, c), sha256_of(STR("x"))),
			 E_TOO_LARGE);
	ck_assert_msg(says("has 200001 operations in ") && says("at most 200000 in "),
		      "%s", b.last.text);
	memset(large, 'x', sizeof(large) - 1);
	c = as("ann");
	for (int i = 0; i < 33; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d", i);
		op = put_config(&b, c, "acme", "shop", "prod",
				arena_z(b.arena, str_of(name)));
		op->spec = arena_printf(b.arena, "{\"description\":\"%s\"}", large);
	}
	ck_assert_int_eq(bench_apply(&b, c)->code, E_TOO_LARGE);
	ck_assert_msg(says("waits for approval") && says("at most 200000 in 33554432"),
		      "%s", b.last.text);
	ck_assert_uint_eq(rows(KV_PROPOSALS), 0);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/gate_plan");
	TCase *t = tcase_create("plan");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, gate_setup, gate_teardown);
	tcase_add_test(t, a_plan_is_executed_as_it_is);
	tcase_add_test(t, a_plan_passes_the_gate_like_any_change);
	tcase_add_loop_test(t, what_cannot_be_a_plan, 0, ARRAY_LEN(insides));
	tcase_add_test(t, a_tenant_takes_its_proposals_along);
	tcase_add_test(t, a_tenant_takes_its_tokens_along);
	tcase_add_test(t, a_tenant_with_much_goes_in_parts);
	tcase_add_test(t, a_plan_that_goes_already_is_let_go_once);
	tcase_add_test(t, a_plan_is_of_a_tenant);
	tcase_add_test(t, many_configurations_are_one_proposal);
	tcase_add_test(t, a_plan_that_is_going_is_not_taken);
	tcase_add_test(t, nobody_fills_the_room_of_another);
	tcase_add_test(t, what_is_proposed_does_not_count);
	tcase_add_loop_test(t, what_was_refused_may_be_planned_and_goes, 0, 2);
	tcase_add_test(t, contents_count);
	tcase_add_test(t, what_is_too_large_says_so);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
