/*
 * Commands: whatever bytes are an entry of the log, apply does not end the
 * process, does not fail, and does the same on two nodes that cut their
 * batches differently.  What a newer program would write stops both.
 *
 * Input: 'r' and the bytes of an entry; else choices from which commands are
 * built that are well formed and often senseless.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "schema/kind.h"
#include "state/command.h"
#include "state/state.h"

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
	cmd->subject = (struct subject){ pick_word(c), pick(c, 4), pick_word(c) };
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
	if (size && data[0] == 'r')
		entries[n++] = str_n(data + 1, size - 1);
	while (n == 0 || (n < ARRAY_LEN(entries) && c.in.n && data[0] != 'r'))
		entries[n++] = pick_command(&c);
	apply_all(entries, n);
	return 0;
}
