/* The gate in apply: what is let through, what waits, and for whom. */
#include "gate_help.h"
#include "state/gate.h"
#include "unit.h"

#include <stdio.h>

#include "base/clock.h"

#include "base/banned.h"

START_TEST(without_policies_nothing_waits)
{
	ck_assert_int_eq(publish(bench_command(&b), "two\n")->code, OK);
	ck_assert_str_eq(b.last.proposal, "");
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

START_TEST(what_needs_approval_is_not_live_before_it)
{
	const char *p;
	uint64_t rev;

	need_leads();
	people();
	rev = state_head(b.state)->rev;
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	ck_assert_uint_eq(b.last.rev, rev + 1);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_int_eq(execute(p), E_PHASE);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	phase_is(p, PROPOSAL_APPROVED);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(b.last.phase, "Executed");
	ck_assert_str_eq(b.last.proposal, p);
	ck_assert_str_eq(live(), "two\n");
	phase_is(p, PROPOSAL_EXECUTED);
	ck_assert_uint_gt(row_of(p).executed_rev, 0);
	ck_assert_uint_eq(row_of(p).release.p[0], 'r');
	/* Never twice. */
	ck_assert_int_eq(execute(p), E_PHASE);
	publish(bench_command(&b), "one\n");
	proposed("Pending");
}
END_TEST

START_TEST(each_step_is_on_record)
{
	struct audit_seen s;
	const char *p;

	need_leads();
	people();
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	s = last_audit();
	ck_assert(str_is(s.action, "propose") && str_is(s.subject, "ann"));
	ck_assert(str_find_str(s.target, str_of(p)) != SIZE_MAX);
	vote("bob", p, VOTE_APPROVE);
	s = last_audit();
	ck_assert(str_is(s.action, "approve") && str_is(s.subject, "bob"));
	execute(p);
	s = last_audit();
	ck_assert(str_is(s.action, "execute") && str_is(s.subject, "ann"));
	ck_assert(str_find_str(s.credential, str_of(p)) != SIZE_MAX);
	ck_assert(str_find_str(s.target, STR(CONFIG)) != SIZE_MAX);
}
END_TEST

START_TEST(who_may_vote_is_asked_of_his_token)
{
	const char *p;
	struct command *c;

	need_leads();
	people();
	let_in("zoe", LEADS, BIT(VERB_PUBLISH), 0);
	let_in("old", LEADS, ALL, b.time_ms + 1000);
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	ck_assert_int_eq(vote("ann", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("eve", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("zoe", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("nobody", p, VOTE_APPROVE), E_UNAUTHORIZED);
	/* What he says of himself counts for nothing. */
	c = as("eve");
	c->subject.groups = STR(LEADS);
	*command_op(b.arena, c, OP_VOTE) = (struct op){
		.type = OP_VOTE, .kind = KIND_PROPOSAL, .tenant = STR("acme"),
		.name = str_of(p), .sha = row_of(p).digest, .vote = VOTE_APPROVE };
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
	/* A token of another. */
	c->subject.name = STR("bob");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_UNAUTHORIZED);
	b.time_ms += 1000;
	ck_assert_int_eq(vote("old", p, VOTE_APPROVE), E_UNAUTHORIZED);
	phase_is(p, PROPOSAL_PENDING);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	phase_is(p, PROPOSAL_APPROVED);
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(vote("bob", p, VOTE_REJECT), OK);
	phase_is(p, PROPOSAL_REJECTED);
	ck_assert_int_eq(execute(p), E_PHASE);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

START_TEST(a_vote_names_the_digest)
{
	struct command *c = as("bob");
	const char *p;

	need_leads();
	people();
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	*command_op(b.arena, c, OP_VOTE) = (struct op){
		.type = OP_VOTE, .kind = KIND_PROPOSAL, .tenant = STR("acme"),
		.name = str_of(p), .vote = VOTE_APPROVE };
	ck_assert_int_eq(bench_apply(&b, c)->code, E_CONFLICT);
	phase_is(p, PROPOSAL_PENDING);
}
END_TEST

START_TEST(only_the_system_executes)
{
	struct command *c;
	const char *p;

	need_leads();
	people();
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	vote("bob", p, VOTE_APPROVE);
	c = as("bob");
	execute_op(c, p);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
	c = bench_command(&b);
	execute_op(c, p);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
	/* Nor with something beside it, nor another plan. */
	c = as_system();
	execute_op(c, p);
	execute_op(c, p);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_INVALID);
	c = as_system();
	execute_op(c, p)->sha = sha256_of(STR("x"));
	ck_assert_int_eq(bench_apply(&b, c)->code, E_CONFLICT);
	ck_assert_str_eq(live(), "one\n");
	ck_assert_int_eq(execute(p), OK);
}
END_TEST

/* What the gate looks at, and what it does not. */
static void op_rules(struct command *c)
{
	struct op *op = command_op(b.arena, c, OP_RULES_SET);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(CONFIG);
	rules_add(b.arena, &op->rules)->version = 1;
	op = command_op(b.arena, c, OP_RULES_SET);
	*op = c->ops[0];
	labels_set(b.arena, &rules_add(b.arena, &op->rules)->labels, STR("a"),
		   STR("b"));
	op->rules.r[1].version = 1;
}

static void op_relabel(struct command *c)
{
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->labels =
		STR("{\"tier\":\"tin\"}");
}

static void op_meta(struct command *c)
{
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->meta =
		STR("{\"annotations\":{}}");
}

static void op_new(struct command *c)
{
	put_config(&b, c, "acme", "shop", "prod", "new.toml");
}

static void op_delete(struct command *c)
{
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(CONFIG);
}

static void op_publish(struct command *c)
{
	put_blob(&b, "acme", STR("two\n"));
	add_version(&b, c, "acme", CONFIG, STR("two\n"), true);
}

static void op_same(struct command *c)
{
	put_blob(&b, "acme", STR("one\n"));
	add_version(&b, c, "acme", CONFIG, STR("one\n"), true);
}

static void op_aside(struct command *c)
{
	put_blob(&b, "acme", STR("two\n"));
	add_version(&b, c, "acme", CONFIG, STR("two\n"), false);
}

static void op_format(struct command *c)
{
	op_publish(c);
	c->ops[0].formatting_only = true;
}

static void op_back(struct command *c)
{
	struct op *op = command_op(b.arena, c, OP_ROLLBACK);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR(CONFIG);
	op->mode = ROLLBACK_STABLE_ONLY;
	op->version = 1;
}

#define WITH(more) "{" more ",\"stages\":[" BY("leads") "]}"
#define SEL(what) WITH("\"select\":{" what "}")

static const struct {
	const char *policy;
	void (*what)(struct command *c);
	bool waits;
} looks[] = {
	{ POLICY, op_publish, true },
	{ POLICY, op_rules, true },
	{ POLICY, op_relabel, true },
	{ POLICY, op_new, true },
	{ POLICY, op_delete, true },
	{ POLICY, op_meta, false },
	{ POLICY, op_same, false },
	{ POLICY, op_aside, false },
	{ POLICY, op_format, false },
	{ POLICY, op_back, false },
	{ WITH("\"formattingOnly\":true"), op_format, true },
	{ WITH("\"operations\":[\"rollback\"]"), op_back, true },
	{ WITH("\"operations\":[\"rollback\"]"), op_publish, false },
	{ WITH("\"operations\":[\"publish\"]"), op_delete, false },
	{ WITH("\"operations\":[\"publish\"]"), op_rules, false },
	{ WITH("\"operations\":[\"rules\"]"), op_rules, true },
	{ SEL("\"applications\":[\"shop\"]"), op_publish, true },
	{ SEL("\"applications\":[\"other\"]"), op_publish, false },
	{ SEL("\"names\":[\"new*\"]"), op_new, true },
	{ SEL("\"names\":[\"new*\"]"), op_publish, false },
	{ SEL("\"labels\":{\"tier\":\"tin\"}"), op_relabel, true },
	{ SEL("\"labels\":{\"tier\":\"gold\"}"), op_relabel, false },
	{ "{}", op_publish, true },      /* malformed */
	{ "{}", op_back, true },
};

START_TEST(what_the_gate_looks_at)
{
	struct command *c;

	make(KIND_APPROVAL_POLICY, "prod", looks[_i].policy);
	c = bench_command(&b);
	looks[_i].what(c);
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	ck_assert_str_eq(b.last.phase, looks[_i].waits ? "Pending" : "");
	if (!looks[_i].waits)
		return;
	ck_assert_uint_eq(row_of(b.last.proposal).count, 1);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

#define GOLD "{\"operations\":[\"publish\"],\"select\":{\"labels\":" \
	"{\"tier\":\"gold\"}},\"stages\":[" BY("leads") "]}"

/* Whatever the operations of the policy are. */
START_TEST(nobody_relabels_his_way_out)
{
	struct command *c = bench_command(&b);

	put_config(&b, c, "acme", "shop", "prod", "db.toml")->labels =
		STR("{\"tier\":\"gold\"}");
	bench_apply(&b, c);
	make(KIND_APPROVAL_POLICY, "gold", GOLD);
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->labels =
		STR("{\"tier\":\"gold\",\"x\":\"y\"}");
	bench_apply(&b, c);
	ck_assert_int_eq(b.last.code, OK);
	ck_assert_str_eq(b.last.phase, "");
	c = bench_command(&b);
	op_relabel(c);
	op_publish(c);
	bench_apply(&b, c);
	proposed("Pending");
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

START_TEST(labels_that_come_with_the_version_count)
{
	struct command *c;

	make(KIND_APPROVAL_POLICY, "gold", GOLD);
	c = bench_command(&b);
	put_config(&b, c, "acme", "shop", "prod", "db.toml")->labels =
		STR("{\"tier\":\"gold\"}");
	op_publish(c);
	bench_apply(&b, c);
	proposed("Pending");
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

START_TEST(what_could_not_happen_is_not_proposed)
{
	struct command *c;

	need_leads();
	people();
	let_in("kim", "", BIT(VERB_APPROVE), 0);
	ck_assert_int_eq(publish(as("kim"), "two\n")->code, E_DENIED);
	c = bench_command(&b);
	add_version(&b, c, "acme", "no.such", STR("x"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_NOT_FOUND);
	c = bench_command(&b);
	add_version(&b, c, "acme", CONFIG, STR("nowhere"), true);
	ck_assert_int_eq(bench_apply(&b, c)->code, E_BLOB_MISSING);
	c = bench_command(&b);
	op_publish(c);
	c->ops[0].expect = 1;
	ck_assert_int_eq(bench_apply(&b, c)->code, E_CONFLICT);
	ck_assert_uint_eq(rows(KV_PROPOSALS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
}
END_TEST

START_TEST(a_second_proposal_is_refused_or_takes_its_place)
{
	const char *first, *second;

	need_leads();
	people();
	publish(as("ann"), "two\n");
	first = proposed("Pending");
	/* The same is the same. */
	publish(as("bob"), "two\n");
	ck_assert_str_eq(proposed("Pending"), first);
	ck_assert_int_eq(publish(as("bob"), "three\n")->code, E_LOCKED);
	ck_assert(str_find_str(str_of(b.last.text), str_of(first)) != SIZE_MAX);
	ck_assert_uint_eq(rows(KV_PROPOSALS), 1);
	make(KIND_APPROVAL_POLICY, "zz",
	     "{\"onConflict\":\"Supersede\",\"priority\":5,\"stages\":["
	     BY("leads") "]}");
	publish(as("bob"), "three\n");
	second = proposed("Pending");
	phase_is(first, PROPOSAL_SUPERSEDED);
	ck_assert_uint_eq(row_of(second).n_stages, 2);
	ck_assert(str_is(row_of(second).stages[0].policy, "zz"));
	/* What has ended is in nobody's way. */
	ck_assert_int_eq(vote("bob", second, VOTE_CANCEL), OK);
	delete(KIND_APPROVAL_POLICY, "zz");
	publish(as("ann"), "two\n");
	ck_assert_str_ne(proposed("Pending"), first);
}
END_TEST

static struct command *as_source(const char *commit)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = STR("source:acme/git"),
				       .role = ROLE_SOURCE, .tenant = STR("acme") };
	c->flags = COMMAND_TAKE_OVER;
	c->commit = str_of(commit);
	return c;
}

START_TEST(a_source_does_not_bring_again_what_was_refused)
{
	const char *p;

	need_leads();
	people();
	publish(as_source("c1"), "two\n");
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_REJECT), OK);
	ck_assert_int_eq(publish(as_source("c1"), "two\n")->code, E_REJECTED);
	/* A day later that is still so, though nothing else is kept. */
	tick_after(25 * 3600000);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(refs_of("two\n"), 0);
	ck_assert_int_eq(publish(as_source("c1"), "two\n")->code, E_REJECTED);
	/* Another commit is another plan; and its own are superseded. */
	publish(as_source("c2"), "two\n");
	p = proposed("Pending");
	publish(as_source("c3"), "three\n");
	ck_assert_str_ne(proposed("Pending"), p);
	phase_is(p, PROPOSAL_SUPERSEDED);
}
END_TEST

START_TEST(who_wrote_the_commit_does_not_vote)
{
	struct command *c;
	const char *p;

	need_leads();
	let_in("bob@example.org", LEADS, ALL, 0);
	let_in("cid", LEADS, ALL, 0);
	c = as_source("c1");
	put_blob(&b, "acme", STR("two\n"));
	add_version(&b, c, "acme", CONFIG, STR("two\n"), true)->author =
		STR("Bob <bob@example.org>");
	bench_apply(&b, c);
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob@example.org", p, VOTE_APPROVE), E_DENIED);
	ck_assert_int_eq(vote("cid", p, VOTE_APPROVE), OK);
	phase_is(p, PROPOSAL_APPROVED);
}
END_TEST

START_TEST(time_ends_a_proposal)
{
	const char *p;
	struct audit_seen s;

	make(KIND_APPROVAL_POLICY, "prod",
	     WITH("\"expiresAfter\":\"1h\",\"startAfter\":\"10m\""));
	people();
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), E_PHASE);
	b.time_ms += 10 * 60000 - 1;
	ck_assert_int_eq(execute(p), E_PHASE);
	/* Not before, and an hour from then on. */
	ck_assert_uint_eq(row_of(p).expires_ms, b.time_ms + 1 + 3600000);
	ck_assert(!state_tick_is_due(b.state, b.time_ms + 3600000));
	ck_assert(state_tick_is_due(b.state, b.time_ms + 1 + 3600000));
	b.time_ms += 3600001;
	ck_assert_int_eq(execute(p), E_PHASE);
	ck_assert_int_eq(vote("bob", p, VOTE_REJECT), E_PHASE);
	phase_is(p, PROPOSAL_APPROVED);
	tick_after(0);
	phase_is(p, PROPOSAL_EXPIRED);
	s = last_audit();
	ck_assert(str_is(s.action, "expire") && str_is(s.subject, "system"));
	ck_assert(!state_tick_is_due(b.state, b.time_ms + 1));
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

START_TEST(what_a_proposal_keeps_goes_with_it)
{
	const char *p;

	need_leads();
	people();
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	ck_assert_uint_eq(refs_of("two\n"), 1);
	ck_assert_uint_eq(rows(KV_LOCKS), 1);
	/* Content that nothing names is collected; this is named. */
	tick_after(2 * 3600000);
	ck_assert_uint_eq(refs_of("two\n"), 1);
	vote("bob", p, VOTE_APPROVE);
	ck_assert_int_eq(execute(p), OK);
	ck_assert_uint_eq(refs_of("two\n"), 2);
	ck_assert_uint_eq(rows(KV_DUE), 1);
	tick_after(25 * 3600000);
	ck_assert_uint_eq(refs_of("two\n"), 1);
	ck_assert_uint_eq(rows(KV_LOCKS), 0);
	ck_assert_uint_eq(rows(KV_PLANS), 0);
	ck_assert_uint_eq(rows(KV_DUE), 0);
	ck_assert(row_of(p).is_cleared);
}
END_TEST

/* ---- windows ---- */

#define AT(ms) arena_z(b.arena, rfc(ms))

static struct str rfc(uint64_t ms)
{
	char text[RFC3339_MAX];

	clock_rfc3339(text, ms, false);
	return arena_str(b.arena, str_of(text));
}

static void freeze(const char *name, const char *more, uint64_t from, uint64_t to)
{
	AUTO_BUF spec = BUF_NONE;

	buf_printf(&spec, "{%s\"interval\":{\"end\":\"%s\",\"start\":\"%s\"},"
		   "\"owner\":\"ops\",\"reason\":\"sale\"}", more, AT(to), AT(from));
	make(KIND_FREEZE_WINDOW, name, arena_z(b.arena, buf_view(&spec)));
}

START_TEST(nothing_goes_out_in_a_window)
{
	struct command *c;

	freeze("sale", "", b.time_ms + 1000, b.time_ms + 11000);
	ck_assert_int_eq(publish(bench_command(&b), "two\n")->code, OK);
	b.time_ms += 1000;
	ck_assert_int_eq(publish(bench_command(&b), "three\n")->code, E_FROZEN);
	ck_assert_msg(str_find_str(str_of(b.last.text), STR("sale of ops"))
		      != SIZE_MAX, "%s", b.last.text);
	ck_assert(str_find_str(str_of(b.last.text), rfc(b.time_ms + 10000)) !=
		  SIZE_MAX);
	/* Ways back are never held. */
	c = bench_command(&b);
	op_back(c);
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	ck_assert_str_eq(live(), "one\n");
	b.time_ms += 10000;
	ck_assert_int_eq(publish(bench_command(&b), "three\n")->code, OK);
	ck_assert_str_eq(live(), "three\n");
}
END_TEST

START_TEST(windows_are_of_what_they_select)
{
	freeze("other", "\"select\":{\"environments\":[\"stage\"]},", 0,
	       b.time_ms + 10000);
	freeze("steps", "\"blocks\":[\"steps\"],", 0, b.time_ms + 10000);
	ck_assert_int_eq(publish(bench_command(&b), "two\n")->code, OK);
	make(KIND_FREEZE_WINDOW, "broken", "{}");
	ck_assert_int_eq(publish(bench_command(&b), "three\n")->code, E_FROZEN);
	delete(KIND_FREEZE_WINDOW, "broken");
	ck_assert_int_eq(publish(bench_command(&b), "three\n")->code, OK);
}
END_TEST

START_TEST(an_approved_proposal_waits_for_the_end_of_a_window)
{
	const char *p;

	need_leads();
	people();
	freeze("sale", "", b.time_ms, b.time_ms + 10000);
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(p), E_FROZEN);
	phase_is(p, PROPOSAL_APPROVED);
	b.time_ms += 10000;
	ck_assert_int_eq(execute(p), OK);
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

/* Who is refused before his command is looked at says nothing of the proposal that
 * was executed, or tried, before him. */
START_TEST(what_is_refused_early_is_no_execution)
{
	struct command *c;
	const char *p;

	need_leads();
	people();
	publish(as("ann"), "two\n");
	p = proposed("Pending");
	ck_assert_int_eq(vote("bob", p, VOTE_APPROVE), OK);
	freeze("sale", "", b.time_ms, b.time_ms + 10000);
	ck_assert_int_eq(execute(p), E_FROZEN);
	ck_assert_int_eq(publish(as("nobody"), "three\n")->code, E_UNAUTHORIZED);
	ck_assert_str_eq(b.last.phase, "");
	phase_is(p, PROPOSAL_APPROVED);
	delete(KIND_FREEZE_WINDOW, "sale");
	ck_assert_int_eq(execute(p), OK);
	c = bench_command(&b);
	*command_pre(b.arena, c) = (struct precondition){
		KIND_TENANT, STR_NONE, STR("acme"), UINT64_MAX - 1 };
	ck_assert_int_ne(publish(c, "three\n")->code, OK);
	phase_is(p, PROPOSAL_EXECUTED);
	ck_assert_str_eq(live(), "two\n");
}
END_TEST

/* ---- break-glass ---- */

#define GLASS WITH("\"breakGlass\":{\"subjects\":[\"eve\"]}")

START_TEST(the_glass_is_broken_by_whom_a_policy_lets)
{
	struct command *c;
	const char *p;

	make(KIND_APPROVAL_POLICY, "prod", GLASS);
	people();
	freeze("sale", "", b.time_ms, b.time_ms + 10000);
	c = as("ann");
	c->flags = COMMAND_BREAK_GLASS;
	c->reason = STR("it burns");
	ck_assert_int_eq(publish(c, "two\n")->code, E_DENIED);
	c = as("eve");
	c->flags = COMMAND_BREAK_GLASS;
	ck_assert_int_eq(publish(c, "two\n")->code, E_INVALID);
	c = as("eve");
	c->flags = COMMAND_BREAK_GLASS;
	c->reason = STR("it burns");
	publish(c, "two\n");
	p = proposed("Executed");
	ck_assert_uint_eq(b.last.results[0].version, 2);
	ck_assert_str_eq(live(), "two\n");
	ck_assert(last_audit().action.n &&
		  str_is(last_audit().action, "break-glass"));
	ck_assert_int_eq(row_of(p).review, REVIEW_OPEN);
	ck_assert(row_of(p).is_glass);
	ck_assert_int_eq(vote("eve", p, VOTE_REVIEW), E_DENIED);
	ck_assert_int_eq(vote("bob", p, VOTE_REVIEW), OK);
	ck_assert_int_eq(row_of(p).review, REVIEW_CLOSED);
	ck_assert_int_eq(vote("bob", p, VOTE_REVIEW), E_PHASE);
	/* Where nothing is in the way there is no glass. */
	delete(KIND_APPROVAL_POLICY, "prod");
	b.time_ms += 10000;
	c = as("eve");
	c->flags = COMMAND_BREAK_GLASS;
	ck_assert_int_eq(publish(c, "three\n")->code, OK);
	ck_assert_str_eq(b.last.proposal, "");
}
END_TEST

START_TEST(each_policy_must_let_him)
{
	struct command *c = as("eve");

	make(KIND_APPROVAL_POLICY, "prod", GLASS);
	make(KIND_APPROVAL_POLICY, "strict", POLICY);
	people();
	c->flags = COMMAND_BREAK_GLASS;
	c->reason = STR("it burns");
	ck_assert_int_eq(publish(c, "two\n")->code, E_DENIED);
	ck_assert_str_eq(live(), "one\n");
}
END_TEST

/* ---- who else is kept out ---- */

START_TEST(proposals_are_the_systems_own)
{
	struct command *c = bench_command(&b);

	put_object(c, KIND_PROPOSAL, "p-1", "{}");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
	need_leads();
	people();
	publish(as("ann"), "two\n");
	c = bench_command(&b);
	*command_op(b.arena, c, OP_OBJECT_DELETE) = (struct op){
		.type = OP_OBJECT_DELETE, .kind = KIND_PROPOSAL,
		.tenant = STR("acme"), .name = str_of(b.last.proposal) };
	ck_assert_int_eq(bench_apply(&b, c)->code, E_DENIED);
}
END_TEST

START_TEST(the_view_says_what_the_gate_says)
{
	struct kv_txn *txn;
	struct gate_touch touch = {
		.action = GATE_PUBLISH, .labels_before = STR("{}"),
		.labels_after = STR("{}"),
		.at = { STR("acme"), STR("shop"), STR("prod"), STR("db.toml") } };
	struct subject eve = { .name = STR("eve"), .role = ROLE_NAMED };
	struct gate_answer g;
	struct str lock;

	people();
	make(KIND_APPROVAL_POLICY, "b", GLASS);
	make(KIND_APPROVAL_POLICY, "c",
	     WITH("\"breakGlass\":{\"subjects\":[\"eve\"]},\"priority\":1"));
	freeze("sale", "", b.time_ms, b.time_ms + 10000);
	publish(as("ann"), "two\n");
	txn = bench_read(&b);
	ck_assert_int_eq(view_gate(txn, b.arena, STR("acme"), &touch, 1, &eve,
				   b.time_ms, &g, NULL), OK);
	ck_assert_uint_eq(g.n_policies, 2);
	ck_assert(str_is(g.policies[0].name, "c"));
	ck_assert_uint_eq(g.n_windows, 1);
	ck_assert_uint_eq(g.windows[0].until_ms / 1000, (b.time_ms + 10000) / 1000);
	ck_assert(g.may_break_glass);
	ck_assert(view_lock(txn, b.arena, STR("acme"), STR(CONFIG), &lock));
	ck_assert(str_eq(lock, str_of(b.last.proposal)));
	ck_assert(!view_lock(txn, b.arena, STR("acme"), STR("x"), &lock));
	touch.action = GATE_ROLLBACK;
	eve.name = STR("ann");
	ck_assert_int_eq(view_gate(txn, b.arena, STR("acme"), &touch, 1, &eve,
				   b.time_ms, &g, NULL), OK);
	ck_assert_uint_eq(g.n_policies + g.n_windows, 0);
	ck_assert(!g.may_break_glass);
	ck_assert_int_eq(view_gate(txn, b.arena, STR("other"), &touch, 1, NULL,
				   b.time_ms, &g, NULL), OK);
	kv_end(&txn);
}
END_TEST

/* All of them are read together, so there is an end. */
START_TEST(so_many_policies_and_no_more)
{
	static const enum kind_id kinds[] = { KIND_RELEASE_POLICY,
					      KIND_APPROVAL_POLICY };
	struct command *c = bench_command(&b);

	for (unsigned i = 0; i < POLICIES_MAX; i++)
		put_object(c, kinds[_i],
			   arena_printf(b.arena, "p%03u", i).p, "{}");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
	c = bench_command(&b);
	put_object(c, kinds[_i], "p999", "{}");
	ck_assert_int_eq(bench_apply(&b, c)->code, E_QUOTA);
	c = bench_command(&b);
	put_object(c, kinds[_i], "p001", "{\"priority\":1}");
	ck_assert_int_eq(bench_apply(&b, c)->code, OK);
}
END_TEST

/* However many spoke, its history says what became of it. */
START_TEST(a_long_history_has_its_end)
{
	static char names[200][8];
	struct proposal_row row;
	const char *name;

	people();
	make(KIND_APPROVAL_POLICY, "many",
	     "{\"stages\":[{\"from\":{\"groups\":[\"a\"]},\"required\":100},"
	     "{\"from\":{\"groups\":[\"b\"]},\"required\":100}]}");
	for (unsigned i = 0; i < 200; i++) {
		snprintf(names[i], sizeof(names[i]), "v%u", i);
		let_in(names[i], i < 100 ? "\1a" : "\1b", BIT(VERB_APPROVE), 0);
	}
	publish(as("ann"), "two\n");
	name = proposed("Pending");
	for (unsigned i = 0; i < 200; i++)
		ck_assert_int_eq(vote(names[i], name, VOTE_APPROVE), OK);
	ck_assert_int_eq(execute(name), OK);
	row = row_of(name);
	ck_assert_uint_eq(row.n_votes, 200);
	ck_assert_uint_le(row.n_history, PROPOSAL_HISTORY_MAX);
	ck_assert(str_is(row.history[row.n_history - 2].what, "Approved"));
	ck_assert(str_is(row.history[row.n_history - 1].what, "Executed"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/gate");
	TCase *t = tcase_create("gate");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, gate_setup, gate_teardown);
	tcase_add_test(t, without_policies_nothing_waits);
	tcase_add_test(t, what_needs_approval_is_not_live_before_it);
	tcase_add_test(t, each_step_is_on_record);
	tcase_add_test(t, who_may_vote_is_asked_of_his_token);
	tcase_add_test(t, a_vote_names_the_digest);
	tcase_add_test(t, only_the_system_executes);
	tcase_add_loop_test(t, what_the_gate_looks_at, 0, ARRAY_LEN(looks));
	tcase_add_test(t, nobody_relabels_his_way_out);
	tcase_add_test(t, labels_that_come_with_the_version_count);
	tcase_add_test(t, what_could_not_happen_is_not_proposed);
	tcase_add_test(t, a_second_proposal_is_refused_or_takes_its_place);
	tcase_add_test(t, a_source_does_not_bring_again_what_was_refused);
	tcase_add_test(t, who_wrote_the_commit_does_not_vote);
	tcase_add_test(t, time_ends_a_proposal);
	tcase_add_test(t, what_a_proposal_keeps_goes_with_it);
	tcase_add_test(t, nothing_goes_out_in_a_window);
	tcase_add_test(t, windows_are_of_what_they_select);
	tcase_add_test(t, an_approved_proposal_waits_for_the_end_of_a_window);
	tcase_add_test(t, what_is_refused_early_is_no_execution);
	tcase_add_test(t, the_glass_is_broken_by_whom_a_policy_lets);
	tcase_add_test(t, each_policy_must_let_him);
	tcase_add_test(t, proposals_are_the_systems_own);
	tcase_add_test(t, the_view_says_what_the_gate_says);
	tcase_add_loop_test(t, so_many_policies_and_no_more, 0, 2);
	tcase_add_test(t, a_long_history_has_its_end);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
