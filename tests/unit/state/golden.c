/*
 * Commands in the log and rows of the store: what was written once is read ever
 * after, and today's forms are not changed by accident (tests/tools/golden.h).
 */
#include "unit.h"

#include "base/arena.h"
#include "state/rollout_row.h"
#include "state/command.h"
#include "state/outbox_row.h"
#include "state/plan.h"
#include "state/proposal_row.h"
#include "state/rows.h"

#include "golden.h"

#include "base/banned.h"

static struct arena *arena;
static struct err err;

static void setup(void)
{
	arena = arena_new(64 * 1024);
}

static void teardown(void)
{
	arena_free(&arena);
}

static struct uuid uuid(uint8_t c)
{
	struct uuid u;

	memset(u.b, c, sizeof(u.b));
	return u;
}

static struct sha256 sha(uint8_t c)
{
	struct sha256 s;

	memset(s.b, c, sizeof(s.b));
	return s;
}

/* ---- commands ---- */

static struct op *op_of(struct command *c, enum op_type type)
{
	struct op *op = command_op(arena, c, type);

	op->kind = KIND_CONFIG;
	op->tenant = STR("acme");
	op->name = STR("shop.prod.db.yaml");
	op->expect = 300;
	return op;
}

static void add_ops(struct command *c)
{
	struct op *op = op_of(c, OP_OBJECT_PUT);
	struct rule *rule;

	op->expect = REV_NONE;
	op->uid = uuid(1);
	op->manager = MANAGER_GIT;
	op->manager_ref = STR("acme/shop");
	op->labels = STR("{\"a\":\"b\"}");
	op->meta = STR("{}");
	op->spec = STR("{\"format\":\"yaml\"}");
	op->only_create = true;
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = STR("db.yaml");
	op->format = STR("yaml");
	op_of(c, OP_OBJECT_STATUS)->status = STR("{\"phase\":\"Ready\"}");
	op_of(c, OP_OBJECT_DELETE);
	op = op_of(c, OP_VERSION_ADD);
	op->sha = sha(2);
	op->size = 4711;
	op->release = op->lift_hold = true;
	op->message = STR("more");
	op->path = STR("shop/prod/db.yaml");
	op->author = STR("Ann <ann@example.org>");
	op = op_of(c, OP_RULES_SET);
	rule = rules_add(arena, &op->rules);
	rule->priority = -3;
	rule->version = 2;
	rule->sha = sha(3);
	rule->size = 12;
	op = op_of(c, OP_ROLLBACK);
	op->mode = ROLLBACK_EMERGENCY;
	op->version = 1;
	op->hold = true;
	op = command_op(arena, c, OP_TOKEN_PUT);
	op->name = STR("ann");
	op->sha = sha(4);
	op->role = ROLE_READ_ONLY;
	command_op(arena, c, OP_TOKEN_DELETE)->name = STR("bob");
	op = command_op(arena, c, OP_DENIED);
	op->name = STR("token:x");
	op->message = STR("no such token");
	op->size = 9;
}

/* Of a cluster of version 2 on: each stage of a change. */
static void make_members(struct command *c)
{
	for (unsigned stage = MEMBER_ASKED; stage < MEMBER_STAGE__END; stage++) {
		struct op *op = command_op(arena, c, OP_MEMBERS);

		op->stage = stage;
		op->member = stage == MEMBER_NOTED ? MEMBER_INITIALIZE :
						     MEMBER_ADD;
		op->uid = uuid(7);
		op->node = stage == MEMBER_NOTED ? 0 : 300;
		op->name = STR("10.0.0.4:9001");
		op->force = true;
		op->is_done = stage == MEMBER_ENDED;
		op->message = STR("conflict: it has not caught up");
	}
	c->id = sha(5);
	c->body = sha(6);
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	c->credential = STR("token root");
	c->origin = STR("127.0.0.1:5112");
}

/* Of a cluster of version 4 on. */
static void make_certificate(struct command *c)
{
	struct op *op = command_op(arena, c, OP_CERTIFICATE_PUT);

	op->name = STR("web");
	op->role = ROLE_READ_ONLY;
	op->certificate = STR("spiffe://acme/web");
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	c->credential = STR("token root");
}

/* Of a cluster of version 5 on: all that it brings but webhooks, by somebody with a
 * name. */
static void make_gate(struct command *c)
{
	struct op *op = command_op(arena, c, OP_SUBJECT_PUT);

	op->name = STR("ann-1");
	op->author = STR("ann");
	op->sha = sha(1);
	op->certificate = STR("CN=ann");
	op->tenant = STR("acme");
	op->groups = STR("\5leads");
	op->verbs = BIT(VERB_PUBLISH) | BIT(VERB_APPROVE);
	op->count = 1700000000001;
	op = op_of(c, OP_PLAN_PUT);
	op->sha = sha(2);
	op->bytes = STR("a command");
	op_of(c, OP_EXECUTE)->sha = sha(3);
	op = op_of(c, OP_VOTE);
	op->vote = VOTE_REJECT;
	op->sha = sha(4);
	op->message = STR("no");
	op = op_of(c, OP_RELEASE_MOVE);
	op->move = MOVE_ROLLBACK;
	op->mode = ROLLBACK_EMERGENCY;
	op->step = 3;
	op->count = 300;
	op->force = true;
	op->message = STR("it burns");
	op_of(c, OP_VERSION_DROP)->version = 300;
	op_of(c, OP_HOLD_LIFT);
	c->subject = (struct subject){
		.name = STR("ann"), .role = ROLE_NAMED, .tenant = STR("acme"),
		.groups = STR("\5leads"), .verbs = BIT(VERB_PUBLISH),
		.token = sha(9) };
	c->flags = COMMAND_BREAK_GLASS;
}

static void make_ops(struct command *c)
{
	struct precondition *pre = command_pre(arena, c);
	struct content_part *part = command_content(arena, c);

	pre->kind = KIND_CONFIG;
	pre->tenant = STR("acme");
	pre->name = STR("x");
	pre->rev = 5;
	part->tenant = STR("acme");
	part->sha = sha(2);
	part->bytes = STR("content");
	c->id = sha(5);
	c->body = sha(6);
	c->subject = (struct subject){ .name = STR("source:acme/shop"), .role = ROLE_SOURCE,
				       .tenant = STR("acme") };
	c->credential = STR("token root");
	c->origin = STR("127.0.0.1:5112");
	memset(c->trace, 7, sizeof(c->trace));
	c->reason = STR("why");
	c->commit = STR("0123456789");
	c->flags = COMMAND_TAKE_OVER;
	add_ops(c);
}

static const struct {
	const char *name;
	enum command_type type;
} commands[] = {
	{ "command-ops-1", COMMAND_OPS },
	{ "command-blob-1", COMMAND_BLOB },
	{ "command-stage-1", COMMAND_STAGE },
	{ "command-staged-1", COMMAND_STAGED },
	{ "command-tick-1", COMMAND_TICK },
	{ "command-limits-1", COMMAND_LIMITS },
	{ "command-restored-1", COMMAND_RESTORED },
	{ "command-version-1", COMMAND_VERSION },
	{ "command-members-1", COMMAND_OPS },
	{ "command-certificate-1", COMMAND_OPS },
	{ "command-gate-1", COMMAND_OPS },
	{ "command-later-1", COMMAND_OPS },
};

static void make_command(struct command *c, const char *name,
			 enum command_type type)
{
	*c = (struct command){ .type = type, .time_ms = 1700000000000 };
	if (strcmp(name, "command-members-1") == 0)
		make_members(c);
	else if (strcmp(name, "command-certificate-1") == 0)
		make_certificate(c);
	else if (strcmp(name, "command-gate-1") == 0)
		make_gate(c);
	else if (strcmp(name, "command-later-1") == 0) {
		make_gate(c);
		c->not_before_ms = 1700000003000;
	} else if (type == COMMAND_OPS)
		make_ops(c);
	if (type == COMMAND_LIMITS)
		c->limits = limits_default;
	c->tenant = STR("acme");
	c->sha = sha(8);
	c->total = 300;
	c->offset = 100;
	c->bytes = STR("a part");
	c->transaction = uuid(9);
	c->part = 3;
	c->version = 300;
	if (type == COMMAND_RESTORED) {
		c->from = RESTORED_BACKUP;
		c->origin = STR("cli");
		c->reason = STR("a disk");
	}
}

START_TEST(commands_of_the_log)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	AUTO_BUF again = BUF_NONE;
	struct command c, got;

	make_command(&c, commands[_i].name, commands[_i].type);
	command_encode(&now, &c);
	golden_same(commands[_i].name, buf_view(&now));
	golden_read(commands[_i].name, &was);
	ck_assert_msg(command_decode(arena, buf_view(&was), &got, &err) == OK,
		      "%s", err.text);
	ck_assert_int_eq(got.type, c.type);
	ck_assert_uint_eq(got.n_ops, c.n_ops);
	command_encode(&again, &got);
	ck_assert(str_eq(buf_view(&again), buf_view(&was)));
}
END_TEST

/* ---- rows ---- */

static void object_row(struct buf *now, struct str was, struct buf *again)
{
	struct object_row got, row = {
		.uid = uuid(1), .rev = 300, .generation = 2,
		.created_ms = 1700000000000, .manager = MANAGER_TERRAFORM,
		.manager_ref = STR("ref"), .labels = STR("{\"a\":\"b\"}"),
		.meta = STR("{}"), .spec = STR("{\"x\":1}"),
		.status = STR("{\"y\":2}"), .application = STR("shop"),
		.environment = STR("prod"), .config_name = STR("db.yaml"),
		.format = STR("yaml") };

	if (now)
		object_row_encode(now, &row);
	else if (object_row_decode(was, &got))
		object_row_encode(again, &got);
}

static void live_row(struct buf *now, struct str was, struct buf *again)
{
	struct live_row got, row = {
		.uid = uuid(1), .name = STR("shop.prod.db"), .rev = 300,
		.format = STR("yaml"), .last_version = 4, .stable_version = 3,
		.has_hold = true, .hold = sha(2), .rules = STR("rules") };

	if (now)
		live_row_encode(now, &row);
	else if (live_row_decode(was, &got))
		live_row_encode(again, &got);
}

/* A release turned back there. */
static void live_row_2(struct buf *now, struct str was, struct buf *again)
{
	struct live_row got, row = {
		.uid = uuid(1), .name = STR("shop.prod.db"), .rev = 300,
		.format = STR("yaml"), .last_version = 4, .stable_version = 3,
		.has_hold = true, .hold = sha(2), .rules = STR("rules"),
		.hold_release = 290, .hold_version = 4,
		.hold_reason = STR("2 of 10 instances rejected it"),
		.hold_commit = STR("0123") };

	if (now)
		live_row_encode(now, &row);
	else if (live_row_decode(was, &got))
		live_row_encode(again, &got);
}

/* Somebody rolled back there, and it is known who. */
static void live_row_3(struct buf *now, struct str was, struct buf *again)
{
	struct live_row got, row = {
		.uid = uuid(1), .name = STR("shop.prod.db"), .rev = 300,
		.format = STR("yaml"), .last_version = 4, .stable_version = 3,
		.has_hold = true, .hold = sha(2), .rules = STR("rules"),
		.hold_version = 4, .hold_reason = STR("it does not start"),
		.hold_by = STR("ann"), .hold_ms = 1700000000000 };

	if (now)
		live_row_encode(now, &row);
	else if (live_row_decode(was, &got))
		live_row_encode(again, &got);
}

/* A release that is out there went a step on. */
static void live_row_4(struct buf *now, struct str was, struct buf *again)
{
	struct live_row got, row = {
		.uid = uuid(1), .name = STR("shop.prod.db"), .rev = 300,
		.base_rev = 280, .format = STR("yaml"), .last_version = 4,
		.stable_version = 3, .rules = STR("rules") };

	if (now)
		live_row_encode(now, &row);
	else if (live_row_decode(was, &got))
		live_row_encode(again, &got);
}

/* Rules that only VERSION_GATE knows. */
static void wide_rules(struct buf *now, struct str was, struct buf *again)
{
	struct rules rules = { 0 };
	struct rule *r = rules_add(arena, &rules);

	r->version = 4;
	r->sha = sha(2);
	r->size = 300;
	r->has_percent = true;
	r->percent_bp = 1250;
	memset(r->salt, 7, SALT_SIZE);
	r->release = 290;
	r = rules_add(arena, &rules);
	r->version = 3;
	r->priority = -5;
	rule_add_node(arena, r, STR("web-1"));
	rule_add_node(arena, r, STR("web-2"));
	r = rules_add(arena, &rules);
	r->version = 3;
	labels_set(arena, &r->labels, STR("zone"), STR("eu"));
	if (now)
		rules_encode(now, &rules);
	else if (rules_decode(arena, was, &rules))
		rules_encode(again, &rules);
}

static void rollout_row_of(uint64_t baked_ms, struct buf *now, struct str was,
			   struct buf *again)
{
	struct rollout_note note = { .time_ms = 1700000000000, .step = 1,
				     .action = STR("release-advance"),
				     .subject = STR("system"), .message = STR("m") };
	struct rollout_config config = { .name = STR("shop.prod.db"), .uid = uuid(1),
					 .version = 4, .sha = sha(2), .size = 300,
					 .previous = 3 };
	struct rollout_row got, row = {
		.number = 290, .phase = ROLLOUT_PAUSED, .step = 1,
		.created_ms = 1700000000000, .step_ms = 1700000001000,
		.pause_ms = 1700000002000, .paused_ms = 300, .completed_ms = 0,
		.is_begun = true, .expected = 10,
		.met_ms = baked_ms ? 1700000003000 : 0, .baked_ms = baked_ms,
		.policy = STR("p"), .policy_rev = 280, .spec = STR("{}"), .group = STR("g"),
		.author = STR("token:root"), .commit = STR("0123"),
		.reason = STR("r"), .message = STR("m"), .notes = &note,
		.n_notes = 1, .configs = &config, .n_configs = 1 };

	memset(row.salt, 7, SALT_SIZE);
	if (now)
		rollout_row_encode(now, &row);
	else if (rollout_row_decode(arena, was, &got))
		rollout_row_encode(again, &got);
}

static void rollout_row(struct buf *now, struct str was, struct buf *again)
{
	rollout_row_of(0, now, was, again);
}

/* Of a step that bakes. */
static void rollout_row_baked(struct buf *now, struct str was, struct buf *again)
{
	rollout_row_of(700, now, was, again);
}

static void releasing_row(struct buf *now, struct str was, struct buf *again)
{
	struct releasing_at got, at = { .sha = sha(2), .version = 4 };

	if (now)
		releasing_at_encode(now, &at);
	else if (releasing_at_decode(STR("\0\0\0\0\0\0\1\2"), was, &got))
		releasing_at_encode(again, &got);
}

static void version_row(struct buf *now, struct str was, struct buf *again)
{
	AUTO_BUF key = BUF_NONE;
	struct version_row got, row = {
		.version = 4, .sha = sha(2), .size = 4711,
		.created_ms = 1700000000000, .rev = 300,
		.formatting_only = true, .format = STR("yaml"),
		.author = STR("Ann"), .message = STR("more"),
		.commit = STR("0123"), .path = STR("a/b") };

	key_version(&key, STR("acme"), uuid(1), 4);
	if (now)
		version_row_encode(now, &row);
	else if (version_row_decode(buf_view(&key), was, &got))
		version_row_encode(again, &got);
}

/* Of a cluster of version 5 on: what became of it. */
static void version_row_2(struct buf *now, struct str was, struct buf *again)
{
	AUTO_BUF key = BUF_NONE;
	struct version_row got, row = {
		.version = 4, .sha = sha(2), .size = 4711,
		.created_ms = 1700000000000, .rev = 300, .format = STR("yaml"),
		.author = STR("Ann"), .message = STR("more"), .is_marked = true,
		.was_live = true, .turned_back = true };

	key_version(&key, STR("acme"), uuid(1), 4);
	if (now)
		version_row_encode(now, &row);
	else if (version_row_decode(buf_view(&key), was, &got))
		version_row_encode(again, &got);
}

static void event_row(struct buf *now, struct str was, struct buf *again)
{
	struct event_row got, row = {
		.type = EVENT_MODIFIED, .end = true, .kind = KIND_CONFIG,
		.tenant = STR("acme"), .name = STR("shop.prod.db"),
		.time_ms = 1700000000000, .after = STR("after"),
		.before = STR("before"), .live = STR("live") };

	if (now)
		event_row_encode(now, &row);
	else if (event_row_decode(was, &got))
		event_row_encode(again, &got);
}

/* Of a cluster of version 3 on: with what was there before. */
static void event_row_2(struct buf *now, struct str was, struct buf *again)
{
	struct event_row got, row = {
		.type = EVENT_MODIFIED, .end = true, .kind = KIND_CONFIG,
		.tenant = STR("acme"), .name = STR("shop.prod.db"),
		.time_ms = 1700000000000, .after = STR("after"),
		.before = STR("before"), .live = STR("live"),
		.knows_before = true, .was_format = STR("toml"),
		.was_rules = STR("rules") };

	if (now)
		event_row_encode(now, &row);
	else if (event_row_decode(was, &got))
		event_row_encode(again, &got);
}

static void audit_row(struct buf *now, struct str was, struct buf *again)
{
	struct audit_row got, row = {
		.seq = 77, .time_ms = 1700000000000, .rev = 300,
		.subject = STR("token:root"), .credential = STR("c"),
		.origin = STR("o"), .action = STR("update"),
		.target = STR("t"), .reason = STR("r"), .commit = STR("0123"),
		.role = ROLE_ROOT, .n_ops = 2, .diff = sha(3),
		.previous = sha(4) };
	bool right = false;

	if (now)
		audit_row_encode(now, &row);
	else if (audit_row_decode(was, &got, &right) && right)
		audit_row_encode(again, &got);
}

static void token_row(struct buf *now, struct str was, struct buf *again)
{
	struct token_row got, row = { .name = STR("ann"),
				      .role = ROLE_READ_ONLY,
				      .created_ms = 1700000000000 };

	if (now)
		token_row_encode(now, &row);
	else if (token_row_decode(was, &got))
		token_row_encode(again, &got);
}

/* Of a cluster of version 4 on. */
static void token_row_2(struct buf *now, struct str was, struct buf *again)
{
	struct token_row got, row = { .name = STR("web"),
				      .role = ROLE_READ_ONLY,
				      .created_ms = 1700000000000,
				      .certificate = STR("spiffe://acme/web") };

	if (now)
		token_row_encode(now, &row);
	else if (token_row_decode(was, &got))
		token_row_encode(again, &got);
}

/* Of a cluster of version 5 on. */
static void token_row_3(struct buf *now, struct str was, struct buf *again)
{
	struct token_row got, row = { .name = STR("ci"), .role = ROLE_NAMED,
				      .created_ms = 1700000000000,
				      .subject = STR("ann"),
				      .tenant = STR("acme"),
				      .groups = STR("ops,dev"), .verbs = 0x105,
				      .expires_ms = 1800000000000 };

	if (now)
		token_row_encode(now, &row);
	else if (token_row_decode(was, &got))
		token_row_encode(again, &got);
}

static void member_row(struct buf *now, struct str was, struct buf *again)
{
	AUTO_BUF key = BUF_NONE;
	struct member_row got, row = {
		.change = uuid(7), .what = MEMBER_ADD, .node = 300,
		.time_ms = 1700000000000, .seq = 77, .force = true,
		.address = STR("10.0.0.4:9001"), .subject = STR("token:root") };

	key_member(&key, &row.change);
	if (now)
		member_row_encode(now, &row);
	else if (member_row_decode(buf_view(&key), was, &got))
		member_row_encode(again, &got);
}

static void head_row(struct buf *now, struct str was, struct buf *again)
{
	struct head got, row = {
		.index = 5000, .term = 3, .rev = 4900, .compacted_rev = 100,
		.time_ms = 1700000000000, .audit_seq = 90, .audit_first = 2,
		.audit_head = sha(1), .audit_seal = sha(2), .chain = sha(3),
		.bytes = 123456, .n_idem = 12, .limits = limits_default };

	if (now)
		head_encode(now, &row);
	else if (head_decode(was, &got))
		head_encode(again, &got);
}

static void blob_row(struct buf *now, struct str was, struct buf *again)
{
	struct blob_head got, row = { 300, 1700000000000, 200, 3 };
	struct str bytes;

	if (now)
		blob_head_encode(now, &row);
	else if (blob_head_decode(was, &got, &bytes))
		blob_head_encode(again, &got);
}

static void outcome_row(struct buf *now, struct str was, struct buf *again)
{
	struct op_result results[] = { { 299, uuid(1), 0, true },
				       { 300, uuid(1), 4, true } };
	struct outcome got, row = { .rev = 300, .results = results,
				    .n_results = ARRAY_LEN(results) };

	if (now)
		outcome_encode(now, &row);
	else if (outcome_decode(arena, was, &got))
		outcome_encode(again, &got);
}

/* Of a cluster of version 5 on. */
static void outbox_row(struct buf *now, struct str was, struct buf *again)
{
	AUTO_BUF key = BUF_NONE;
	struct outbox_row got, row = {
		.seq = 300, .id = uuid(9), .notice = NOTICE_REJECTED,
		.time_ms = 1700000000000, .since_ms = 1700000000001,
		.kind = KIND_PROPOSAL, .tenant = STR("acme"), .name = STR("p-1"),
		.data = STR("{\"digest\":\"00\"}"), .dead_ms = 1700000000002,
		.error = STR("HTTP 500") };

	key_outbox(&key, uuid(8), OUTBOX_REFUSED, row.seq);
	if (now)
		outbox_row_encode(now, &row);
	else if (outbox_row_decode(buf_view(&key), was, &got) && got.seq == 300)
		outbox_row_encode(again, &got);
}

static void tally_row(struct buf *now, struct str was, struct buf *again)
{
	struct outbox_tally got, row = { 3, 2, 300, 1700000000000, 4,
					 1700000000001, 0, false };

	if (now)
		outbox_tally_encode(now, &row);
	else if (outbox_tally_decode(was, &got))
		outbox_tally_encode(again, &got);
}

static void tally_row_wide(struct buf *now, struct str was, struct buf *again)
{
	struct outbox_tally got, row = { 3, 2, 300, 1700000000000, 4,
					 1700000000001, 5000, true };

	if (now)
		outbox_tally_encode(now, &row);
	else if (outbox_tally_decode(was, &got))
		outbox_tally_encode(again, &got);
}

static void hook_key_sample(struct buf *now, struct str was, struct buf *again)
{
	struct hook_key_row got, row = { .made_ms = 1700000000000,
					 .before_until_ms = 1700003600000 };

	memset(row.key, 5, sizeof(row.key));
	memset(row.before, 6, sizeof(row.before));
	if (now)
		hook_key_encode(now, &row);
	else if (hook_key_decode(was, &got))
		hook_key_encode(again, &got);
}

static void plan_row_sample(struct buf *now, struct str was, struct buf *again)
{
	struct plan_row got, row = {
		.created_ms = 1700000000000, .expires_ms = 1700000000001,
		.proposal = STR("p-1"), .subject = STR("ann"), .ops = 300,
		.bytes = 4711, .holds = 2, .is_going = true };

	if (now)
		plan_row_encode(now, &row);
	else if (plan_row_decode(was, &got))
		plan_row_encode(again, &got);
}

static void plan_body_sample(struct buf *now, struct str was, struct buf *again)
{
	struct plan_body got, body = { STR("bases"), STR("command") };

	if (now)
		plan_body_encode(now, &body);
	else if (plan_body_decode(was, &got))
		plan_body_encode(again, &got);
}

static void proposal_sample(struct buf *now, struct str was, struct buf *again)
{
	struct str names[] = { STR("ann"), STR("leads"), STR("Bob <b@x>") };
	struct proposal_config config = { STR("shop.prod.db"), BIT(GATE_PUBLISH) };
	struct proposal_policy policy = { STR("prod"), 300 };
	struct proposal_stage stage = {
		STR("prod"), { STR("lead"), 2, { names, names + 1, 1, 1 } } };
	struct proposal_vote vote = { VOTE_APPROVE, names[0], STR("fine"),
				      1700000000001, 1 };
	struct proposal_event event = { 1700000000002, STR("approve"), names[0],
					STR("fine") };
	struct proposal_row got, row = {
		.phase = PROPOSAL_EXECUTED, .review = REVIEW_OPEN,
		.digest = sha(1), .created_ms = 1700000000000,
		.expires_ms = 1700000000003, .not_before_ms = 1700000000004,
		.ended_ms = 1700000000005, .executed_rev = 300,
		.role = ROLE_SOURCE, .tenant_of_author = STR("acme"),
		.reason = STR("why"), .commit = STR("0123"),
		.message = STR("done"), .release = STR("r-1"), .count = 101,
		.is_glass = true, .is_cleared = true,
		.authors = { STR("source:acme/shop"), names + 2, 1, true },
		.configs = &config, .n_configs = 1, .policies = &policy,
		.n_policies = 1, .stages = &stage, .n_stages = 1,
		.votes = &vote, .n_votes = 1, .history = &event,
		.n_history = 1 };

	if (now)
		proposal_row_encode(now, &row);
	else if (proposal_row_decode(arena, was, &got))
		proposal_row_encode(again, &got);
}

static void proposal_failed_sample(struct buf *now, struct str was, struct buf *again)
{
	struct proposal_row got, row = {
		.phase = PROPOSAL_FAILED, .digest = sha(1), .role = ROLE_NAMED,
		.created_ms = 1700000000000, .expires_ms = 1700000000003,
		.ended_ms = 1700000000005, .count = 1, .authors = { .subject = STR("ann") },
		.failure = { FAILED_OPERATION, 7, STR("write"), STR("config a.b.c") } };

	if (now)
		proposal_row_encode(now, &row);
	else if (proposal_row_decode(arena, was, &got))
		proposal_row_encode(again, &got);
}

static const struct {
	const char *name;
	void (*run)(struct buf *now, struct str was, struct buf *again);
} rows[] = {
	{ "row-outbox-1", outbox_row },	  { "row-tally-1", tally_row },
	{ "row-tally-2", tally_row_wide },
	{ "row-hook_key-1", hook_key_sample },
	{ "row-plan-1", plan_row_sample }, { "row-plan_body-1", plan_body_sample },
	{ "row-proposal-1", proposal_sample },
	{ "row-proposal-2", proposal_failed_sample },
	{ "row-object-1", object_row },	  { "row-live-1", live_row },
	{ "row-live-2", live_row_2 },	  { "row-live-3", live_row_3 },
	{ "row-live-4", live_row_4 },
	{ "rules-2", wide_rules },
	{ "row-rollout-1", rollout_row }, { "row-rollout-2", rollout_row_baked },
	{ "row-releasing-1", releasing_row },
	{ "row-version-1", version_row }, { "row-version-2", version_row_2 },
	{ "row-event-1", event_row },
	{ "row-event-2", event_row_2 },	  { "row-token-2", token_row_2 },
	{ "row-audit-1", audit_row },	  { "row-token-1", token_row },
	{ "row-token-3", token_row_3 },
	{ "row-head-1", head_row },	  { "row-blob-1", blob_row },
	{ "row-outcome-1", outcome_row }, { "row-member-1", member_row },
};

START_TEST(rows_of_the_store)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	AUTO_BUF again = BUF_NONE;

	rows[_i].run(&now, STR(""), NULL);
	golden_same(rows[_i].name, buf_view(&now));
	golden_read(rows[_i].name, &was);
	rows[_i].run(NULL, buf_view(&was), &again);
	ck_assert_msg(str_eq(buf_view(&again), buf_view(&was)),
		      "%s cannot be read any more", rows[_i].name);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/golden");
	TCase *t = tcase_create("golden");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, commands_of_the_log, 0, (int)ARRAY_LEN(commands));
	tcase_add_loop_test(t, rows_of_the_store, 0, (int)ARRAY_LEN(rows));
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
