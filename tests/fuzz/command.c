/*
 * Commands: whatever bytes are an entry of the log, apply does not end the
 * process, does not fail, and does the same on two nodes that cut their
 * batches differently.  What a newer program would write stops both.
 *
 * Input: 'r' and the bytes of an entry; 'g' and choices from which commands are built
 * that the gate is about; else choices from which any commands are, well formed and
 * often senseless.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "schema/kind.h"
#include "state/command.h"
#include "state/state.h"
#include "state/view_gate.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct node {
	char dir[64];
	struct state *state;
	struct rc_machine machine;
	uint64_t index;
};

static struct node nodes[2];
static uint64_t now = 1700000000000;

/* ---- nodes ---- */

static void clean_up(void)
{
	static const char *const files[] = {
		"store.0/data.mdb", "store.0/lock.mdb", "store.0", "store.state" };

	for (int i = 0; i < 2; i++) {
		state_free(&nodes[i].state);
		for (size_t k = 0; k < ARRAY_LEN(files); k++) {
			AUTO_BUF path = BUF_NONE;

			buf_printf(&path, "%s/%s", nodes[i].dir, files[k]);
			if (unlink(path.p))
				rmdir(path.p);
		}
		rmdir(nodes[i].dir);
	}
}

static void open_nodes(void)
{
	const char *tmp = getenv("TMPDIR");
	struct rc_applied at;
	struct err err;

	must(kinds_load(&err) == OK);
	for (int i = 0; i < 2; i++) {
		struct node *n = &nodes[i];

		snprintf(n->dir, sizeof(n->dir), "%.40s/conflux-fuzz-XXXXXX",
			 tmp ? tmp : "/tmp");
		must(mkdtemp(n->dir));
		n->index = 0;
		n->state = state_new(&(struct state_config){
			.map_bytes = 1ull << 30, .boot_id = "fuzz" });
		n->machine = state_machine(n->state);
		must(n->machine.open(n->machine.data, n->dir, NULL, &at, &err) ==
		     OK);
	}
}

/* False: it stopped before something of a newer program. */
static bool apply_at(struct node *n, const struct str *entries, size_t count)
{
	struct rc_entry e[8] = { 0 };
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++)
		e[i] = (struct rc_entry){ .index = ++n->index, .term = 1,
					  .id = n->index, .is_command = true,
					  .data = entries[i] };
	if (rc_machine_apply(&n->machine, e, count, &err) == OK)
		return true;
	must(err.code == E_UNSUPPORTED && err.hint[0]);
	return false;
}

static void apply_all(const struct str *entries, size_t count)
{
	uint8_t a[32], b[32];
	bool one = apply_at(&nodes[0], entries, count), two = true;

	for (size_t i = 0; i < count && two; i++)
		two = apply_at(&nodes[1], &entries[i], 1);
	must(one == two);
	if (!one) {
		/* One did nothing of it, the other what came before. */
		clean_up();
		open_nodes();
		return;
	}
	nodes[0].machine.digest(nodes[0].machine.data, a);
	nodes[1].machine.digest(nodes[1].machine.data, b);
	must(memcmp(a, b, sizeof(a)) == 0);
}

/* ---- choices ---- */

struct choices {
	struct str in;
	struct arena *arena;
};

static unsigned pick(struct choices *c, unsigned n)
{
	unsigned char byte = c->in.n ? (unsigned char)c->in.p[0] : 0;

	c->in = str_from(c->in, 1);
	return byte % n;
}

static struct str pick_word(struct choices *c)
{
	static const char *const words[] = { "acme", "shop", "prod", "a.toml",
		"shop.prod.a.toml", "", "none", "{}", "{\"a\":\"b\"}", "toml",
		"nonsense", "x/../y", "source:acme/s" };
	unsigned i = pick(c, ARRAY_LEN(words) + 1);

	if (i < ARRAY_LEN(words))
		return str_of(words[i]);
	i = pick(c, 255);
	return arena_str(c->arena, str_first(c->in, i));
}

static struct str content(unsigned i)
{
	static const char *const texts[] = { "a = 1\n", "a = 2\n", "" };

	return str_of(texts[i % ARRAY_LEN(texts)]);
}

static uint64_t pick_revision(struct choices *c)
{
	static const uint64_t some[] = { REV_ANY, REV_NONE, 1, 2, 5 };

	return some[pick(c, ARRAY_LEN(some))];
}

static void pick_rules(struct choices *c, struct op *op)
{
	for (unsigned n = pick(c, 4); n > 0; n--) {
		struct rule *r = rules_add(c->arena, &op->rules);

		r->version = pick(c, 5);
		r->priority = (int64_t)pick(c, 5) - 2;
		if (pick(c, 2))
			labels_set(c->arena, &r->labels, STR("zone"),
				   pick_word(c));
	}
}

static void pick_op(struct choices *c, struct command *cmd)
{
	struct op *op = command_op(c->arena, cmd, 1 + pick(c, 9));

	op->kind = pick(c, KIND__END);
	op->tenant = pick_word(c);
	op->name = pick_word(c);
	op->expect = pick_revision(c);
	memset(op->uid.b, (int)pick(c, 4), sizeof(op->uid.b));
	op->manager = pick(c, MANAGER__COUNT);
	op->manager_ref = pick_word(c);
	op->labels = op->meta = op->spec = op->status = STR("{}");
	if (pick(c, 4) == 0)
		op->labels = pick_word(c);
	if (pick(c, 4) == 0)
		op->spec = pick_word(c);
	op->only_create = pick(c, 2);
	op->application = pick_word(c);
	op->environment = pick_word(c);
	op->config_name = pick_word(c);
	op->format = pick(c, 2) ? STR("toml") : pick_word(c);
	op->sha = sha256_of(content(pick(c, 3)));
	op->size = pick(c, 8);
	op->release = pick(c, 2);
	op->lift_hold = pick(c, 2);
	op->formatting_only = pick(c, 2);
	op->message = op->path = pick_word(c);
	op->author = pick(c, 4) ? STR_NONE : pick_word(c);
	pick_rules(c, op);
	op->mode = 1 + pick(c, 2);
	op->version = pick(c, 4);
	op->hold = pick(c, 2);
	op->role = pick(c, 3);
}

static struct str pick_command(struct choices *c)
{
	struct command *cmd = ANEW(c->arena, struct command);
	AUTO_BUF bytes = BUF_NONE;
	struct command back;
	struct err err;

	now += pick(c, 3) * 60000u;
	cmd->time_ms = now;
	cmd->subject = (struct subject){ .name = pick_word(c), .role = pick(c, 4),
				       .tenant = pick_word(c) };
	if (pick(c, 4))
		cmd->subject.role = ROLE_ROOT;
	cmd->credential = cmd->origin = cmd->reason = cmd->commit = STR("x");
	cmd->flags = pick(c, 2);
	cmd->type = 1 + pick(c, 6);
	if (pick(c, 2))
		cmd->type = COMMAND_OPS;
	if (pick(c, 8) == 0)
		cmd->id = cmd->body = sha256_of(pick_word(c));
	if (cmd->type == COMMAND_BLOB) {
		cmd->bytes = content(pick(c, 3));
		cmd->tenant = pick(c, 2) ? STR("acme") : pick_word(c);
		cmd->sha = sha256_of(content(pick(c, 3)));
		cmd->total = cmd->bytes.n + pick(c, 2);
		cmd->offset = pick(c, 2);
	}
	for (unsigned n = pick(c, 4); n > 0 && cmd->type == COMMAND_OPS; n--)
		pick_op(c, cmd);
	for (unsigned n = pick(c, 3); n > 0 && cmd->type == COMMAND_OPS; n--)
		*command_content(c->arena, cmd) = (struct content_part){
			pick(c, 2) ? STR("acme") : pick_word(c),
			sha256_of(content(pick(c, 3))), content(pick(c, 3)) };
	command_encode(&bytes, cmd);
	/* What was encoded is read back, and encoded the same. */
	if (command_decode(c->arena, buf_view(&bytes), &back, &err) == OK) {
		AUTO_BUF again = BUF_NONE;

		command_encode(&again, &back);
		must(str_eq(buf_view(&bytes), buf_view(&again)));
	}
	return arena_str(c->arena, buf_view(&bytes));
}

/* ---- the gate ---- */

static void pick_subject(struct choices *c, struct subject *s)
{
	static const char *const who[] = { "ann", "bob" };
	unsigned i = pick(c, 8);

	if (i < 4) {
		s->name = str_of(who[i % 2]);
		s->role = ROLE_NAMED;
		s->token = sha256_of(s->name);
		return;
	}
	s->role = i == 4 ? ROLE_SOURCE : i == 5 ? ROLE_SYSTEM : ROLE_ROOT;
	s->name = i == 4 ? STR("source:acme/s") : STR("token:root");
	s->tenant = i == 4 ? STR("acme") : STR_NONE;
}

static struct op *target_op(struct choices *c, struct command *cmd,
			    enum op_type type, enum kind_id kind)
{
	struct op *op = command_op(c->arena, cmd, type);

	op->kind = kind;
	op->tenant = pick(c, 8) ? STR("acme") : pick_word(c);
	op->name = STR("shop.prod.a.toml");
	op->labels = op->meta = op->spec = STR("{}");
	return op;
}

static void add_config_op(struct choices *c, struct command *cmd)
{
	static const enum op_type types[] = { OP_OBJECT_PUT, OP_VERSION_ADD,
		OP_VERSION_ADD, OP_VERSION_ADD, OP_ROLLBACK, OP_OBJECT_DELETE };
	struct op *op = target_op(c, cmd, types[pick(c, ARRAY_LEN(types))],
				  KIND_CONFIG);

	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = STR("a.toml");
	op->format = STR("toml");
	op->labels = pick(c, 3) ? STR("{}") : STR("{\"a\":\"b\"}");
	op->sha = sha256_of(content(pick(c, 2)));
	op->size = 6;
	op->release = pick(c, 8);
	op->mode = 1 + pick(c, 2);
}

static void add_policy_op(struct choices *c, struct command *cmd)
{
#define STAGES "\"stages\":[{\"from\":{\"subjects\":[\"ann\",\"bob\"]}}]"
	static const char *const specs[] = {
		"{" STAGES "}", "{}", "{\"onConflict\":\"Supersede\"," STAGES "}",
		"{\"breakGlass\":{\"subjects\":[\"token:root\"]}," STAGES "}",
		"{\"select\":{\"labels\":{\"a\":\"b\"}}," STAGES "}",
		"{\"expiresAfter\":\"2m\",\"startAfter\":\"1m\"," STAGES "}" };
	static const char *const windows[] = {
		"{}", "{\"interval\":{\"end\":\"2024-01-01T00:00:00Z\",\"start\":"
		"\"2023-11-14T00:00:00Z\"},\"owner\":\"o\",\"reason\":\"r\"}" };
	bool is_window = pick(c, 4) == 0;
	struct op *op = target_op(c, cmd, pick(c, 3) ? OP_OBJECT_PUT :
						       OP_OBJECT_DELETE,
				  is_window ? KIND_FREEZE_WINDOW :
					      KIND_APPROVAL_POLICY);

	op->name = pick(c, 2) ? STR("one") : STR("two");
	op->spec = is_window ? str_of(windows[pick(c, ARRAY_LEN(windows))]) :
			       str_of(specs[pick(c, ARRAY_LEN(specs))]);
}

struct nth {
	struct choices *c;
	struct op *op;
	unsigned n;
};

static bool see_nth(void *data, struct str tenant, struct str name,
		    const struct proposal_row *row)
{
	struct nth *nth = data;

	nth->op->tenant = arena_str(nth->c->arena, tenant);
	nth->op->name = arena_str(nth->c->arena, name);
	nth->op->sha = row->digest;
	return nth->n-- > 0;
}

/* One of the newest that there are. */
static void point_at_proposal(struct choices *c, struct op *op)
{
	struct nth nth = { c, op, 200 + pick(c, 4) };
	struct kv *kv = state_kv(nodes[0].state);
	struct kv_txn *txn;

	op->kind = KIND_PROPOSAL;
	must(kv_read(kv, &txn, NULL) == OK);
	must(view_proposals(txn, c->arena, STR_NONE, STR_NONE, see_nth, &nth,
			    NULL) == OK);
	kv_end(&txn);
	kv_close(&kv);
}

static void add_plan_op(struct choices *c, struct command *cmd)
{
	struct op *op = target_op(c, cmd, pick(c, 2) ? OP_PLAN_PUT : OP_EXECUTE,
				  KIND_NONE);
	struct command inner = { .type = COMMAND_OPS };
	struct kv *kv = state_kv(nodes[0].state);
	AUTO_BUF bytes = BUF_NONE;
	struct kv_txn *txn;

	for (unsigned n = 1 + pick(c, 2); n > 0; n--)
		add_config_op(c, &inner);
	command_encode(&bytes, &inner);
	must(kv_read(kv, &txn, NULL) == OK);
	(void)!planned_digest(txn, buf_view(&bytes), &op->sha, NULL);
	kv_end(&txn);
	kv_close(&kv);
	if (op->type == OP_PLAN_PUT)
		op->bytes = arena_str(c->arena, buf_view(&bytes));
}

static void add_gate_op(struct choices *c, struct command *cmd)
{
	struct op *op;

	switch (pick(c, 8)) {
	case 0:
		add_policy_op(c, cmd);
		break;
	case 1:
		add_plan_op(c, cmd);
		break;
	case 2:
		cmd->subject = (struct subject){ .name = STR("system"),
						 .role = ROLE_SYSTEM };
		point_at_proposal(c, command_op(c->arena, cmd, OP_EXECUTE));
		break;
	case 3:
	case 4:
		op = command_op(c->arena, cmd, OP_VOTE);
		op->vote = pick(c, 4) ? VOTE_APPROVE : 1 + pick(c, VOTE__END);
		point_at_proposal(c, op);
		break;
	case 5:
		op = command_op(c->arena, cmd, OP_SUBJECT_PUT);
		op->name = op->author = pick(c, 2) ? STR("ann") : STR("bob");
		op->sha = sha256_of(op->name);
		op->verbs = UINT64_MAX;
		op->count = pick(c, 4) ? 0 : now + 600000;
		break;
	default:
		add_config_op(c, cmd);
	}
}

static struct str pick_gate_command(struct choices *c)
{
	struct command cmd = { .type = COMMAND_OPS };
	AUTO_BUF bytes = BUF_NONE;

	now += pick(c, 16) ? pick(c, 3) * 20000u : 90000000u;
	cmd.time_ms = now;
	pick_subject(c, &cmd.subject);
	cmd.reason = cmd.credential = cmd.origin = STR("x");
	cmd.flags = pick(c, 6) ? COMMAND_TAKE_OVER :
				 COMMAND_TAKE_OVER | COMMAND_BREAK_GLASS;
	if (pick(c, 8) == 0)
		cmd.type = COMMAND_TICK;
	for (unsigned n = 1 + pick(c, 4) / 3; n > 0 && cmd.type == COMMAND_OPS; n--)
		add_gate_op(c, &cmd);
	for (unsigned i = 0; i < 2 && cmd.type == COMMAND_OPS; i++)
		*command_content(c->arena, &cmd) = (struct content_part){
			STR("acme"), sha256_of(content(i)), content(i) };
	if (pick(c, 8) == 7)
		cmd.not_before_ms = now + pick(c, 4) * 20000u;
	command_encode(&bytes, &cmd);
	return arena_str(c->arena, buf_view(&bytes));
}

/* Of the version that knows it, with a tenant. */
static void open_gate(void)
{
	struct command v = { .type = COMMAND_VERSION, .version = VERSION_GATE };
	struct command c = { .type = COMMAND_OPS,
			     .subject = { .name = STR("r"), .role = ROLE_ROOT } };
	AUTO_ARENA arena = arena_new(0);
	struct op *op = command_op(arena, &c, OP_OBJECT_PUT);
	AUTO_BUF one = BUF_NONE;
	AUTO_BUF two = BUF_NONE;

	op->kind = KIND_TENANT;
	op->name = STR("acme");
	op->labels = op->meta = op->spec = STR("{}");
	command_encode(&one, &v);
	command_encode(&two, &c);
	apply_all((struct str[]){ buf_view(&one), buf_view(&two) }, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	struct choices c = { str_n(data, size), arena };
	struct str entries[8];
	size_t n = 0;

	if (!nodes[0].state) {
		open_nodes();
		atexit(clean_up);
	}
	if (size && data[0] == 'g') {
		c.in = str_from(c.in, 1);
		open_gate();
		/* One after another: what is proposed is there for the next. */
		while (c.in.n) {
			entries[0] = pick_gate_command(&c);
			apply_all(entries, 1);
		}
		return 0;
	}
	if (size && data[0] == 'r')
		entries[n++] = str_n(data + 1, size - 1);
	while (n == 0 || (n < ARRAY_LEN(entries) && c.in.n && data[0] != 'r'))
		entries[n++] = pick_command(&c);
	apply_all(entries, n);
	return 0;
}
