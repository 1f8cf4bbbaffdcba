/* See gate_help.h. */
#include "gate_help.h"

#include "base/banned.h"

void gate_setup(void)
{
	struct command c = { .type = COMMAND_VERSION, .version = VERSION_GATE };

	bench_open(&b, "boot-1");
	c.time_ms = b.time_ms;
	bench_apply(&b, &c);
	ck_assert_int_eq(b.last.code, OK);
	bench_shop(&b, "one\n");
}

void gate_teardown(void)
{
	bench_close(&b);
}

struct op *put_object(struct command *c, enum kind_id kind,
			     const char *name, const char *spec)
{
	struct op *op = put_tenant(&b, c, name);

	op->kind = kind;
	op->tenant = STR("acme");
	op->spec = str_of(spec);
	return op;
}

void make(enum kind_id kind, const char *name, const char *spec)
{
	struct command *c = bench_command(&b);

	put_object(c, kind, name, spec);
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

void delete(enum kind_id kind, const char *name)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_OBJECT_DELETE);

	op->kind = kind;
	op->tenant = STR("acme");
	op->name = str_of(name);
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

void need_leads(void)
{
	make(KIND_APPROVAL_POLICY, "prod", POLICY);
}

struct sha256 token_of(const char *name)
{
	return sha256_of(str_of(name));
}

/* Somebody with a name; groups as groups_encode makes them. */
void let_in(const char *name, const char *groups, uint64_t verbs,
		   uint64_t expires_ms)
{
	struct command *c = bench_command(&b);
	struct op *op = command_op(b.arena, c, OP_SUBJECT_PUT);

	op->name = op->author = str_of(name);
	op->sha = token_of(name);
	op->groups = str_of(groups);
	op->verbs = verbs;
	op->count = expires_ms;
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
}

struct command *as(const char *name)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = str_of(name), .role = ROLE_NAMED,
				       .token = token_of(name) };
	return c;
}

void people(void)
{
	let_in("ann", LEADS, ALL, 0);
	let_in("bob", LEADS, ALL, 0);
	let_in("eve", "", ALL, 0);
}

struct command *publish_of(struct command *c, const char *text)
{
	struct str s = str_of(text);

	*command_content(b.arena, c) = (struct content_part){
		STR("acme"), sha256_of(s), s };
	add_version(&b, c, "acme", CONFIG, s, true);
	return c;
}

const struct outcome *publish(struct command *c, const char *text)
{
	return bench_apply(&b, publish_of(c, text));
}

const char *live(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct address at = { STR("acme"), STR("shop"), STR("prod"),
			      STR("db.toml") };
	struct client none = { 0 };
	AUTO_BUF got = BUF_NONE;
	struct config_view v;
	const char *text;

	ck_assert_int_eq(view_config(txn, &at, &none, &v, NULL), OK);
	ck_assert_int_eq(view_content(txn, STR("acme"), &v.rule.sha, v.rule.size,
				      &got, NULL), OK);
	text = arena_z(b.arena, buf_view(&got));
	kv_end(&txn);
	return text;
}

struct proposal_row row_of(const char *name)
{
	struct kv_txn *txn = bench_read(&b);
	struct proposal_row row, copy;
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	ck_assert_msg(view_proposal(txn, b.arena, STR("acme"), str_of(name), &row,
				    &err) == OK, "%s", err.text);
	proposal_row_encode(&bytes, &row);
	ck_assert(proposal_row_decode(b.arena, arena_str(b.arena, buf_view(&bytes)),
				      &copy));
	kv_end(&txn);
	return copy;
}

/* The proposal that the last command became. */
const char *proposed(const char *phase)
{
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	ck_assert_str_eq(b.last.phase, phase);
	return arena_z(b.arena, str_of(b.last.proposal));
}

void phase_is(const char *name, enum proposal_phase want)
{
	ck_assert_str_eq(proposal_phase_name(row_of(name).phase),
			 proposal_phase_name(want));
}

enum code vote(const char *who, const char *name, enum vote vote)
{
	struct command *c = as(who);
	struct op *op = command_op(b.arena, c, OP_VOTE);

	op->kind = KIND_PROPOSAL;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->sha = row_of(name).digest;
	op->vote = vote;
	op->message = STR("said so");
	return bench_apply(&b, c)->code;
}

struct command *as_system(void)
{
	struct command *c = bench_command(&b);

	c->subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
	return c;
}

struct op *execute_op(struct command *c, const char *name)
{
	struct op *op = command_op(b.arena, c, OP_EXECUTE);

	op->kind = KIND_PROPOSAL;
	op->tenant = STR("acme");
	op->name = str_of(name);
	op->sha = row_of(name).digest;
	return op;
}

enum code execute(const char *name)
{
	struct command *c = as_system();

	execute_op(c, name);
	return bench_apply(&b, c)->code;
}

void tick_after(uint64_t ms)
{
	struct command c = { .type = COMMAND_TICK };

	b.time_ms += ms;
	c.time_ms = b.time_ms;
	bench_apply(&b, &c);
}

uint64_t rows(enum kv_table table)
{
	struct kv_txn *txn = bench_read(&b);
	uint64_t n = kv_count(txn, table);

	kv_end(&txn);
	return n;
}

uint32_t refs_of(const char *text)
{
	struct kv_txn *txn = bench_read(&b);
	struct sha256 sha = sha256_of(str_of(text));
	struct blob_head head = { 0 };
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_blob(&key, STR("acme"), &sha, 0);
	if (kv_get(txn, KV_BLOBS, buf_view(&key), &val))
		ck_assert(blob_head_decode(val, &head, NULL));
	kv_end(&txn);
	return head.refs;
}

bool see_audit(void *data, const struct audit_row *row, bool right)
{
	struct audit_seen *s = data;

	ck_assert(right);
	s->action = arena_str(b.arena, row->action);
	s->subject = arena_str(b.arena, row->subject);
	s->credential = arena_str(b.arena, row->credential);
	s->target = arena_str(b.arena, row->target);
	return true;
}

struct audit_seen last_audit(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct audit_seen s = { 0 };

	ck_assert_int_eq(view_audit(txn, 0, see_audit, &s, NULL), OK);
	kv_end(&txn);
	return s;
}
