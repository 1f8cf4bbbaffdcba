/*
 * One command: idempotency, preconditions, operations, events, audit.
 *
 * Called by the machine for each entry of the log.  Everything that a refused
 * command wrote is undone by the mark of the store, and the head is put back,
 * so a refusal leaves no trace but its outcome.
 */
#include "state/apply.h"

#include "base/failpoint.h"

#include "base/banned.h"

#define AUDIT_TARGETS_MAX 20

/* ---- rows ---- */

/* A copy that stays valid while the command goes on writing. */
struct str ap_get(struct apply *a, enum kv_table table, struct str key)
{
	struct str val;

	if (!kv_get(a->txn, table, key, &val))
		return STR_NONE;
	return arena_str(a->arena, val);
}

void ap_put(struct apply *a, enum kv_table table, struct str key,
	    struct str val)
{
	struct str old;

	if (kv_get(a->txn, table, key, &old))
		a->head->bytes -= MIN(a->head->bytes, key.n + old.n);
	a->head->bytes += key.n + val.n;
	kv_put(a->txn, table, key, val);
}

bool ap_del(struct apply *a, enum kv_table table, struct str key)
{
	struct str old;

	if (!kv_get(a->txn, table, key, &old))
		return false;
	a->head->bytes -= MIN(a->head->bytes, key.n + old.n);
	return kv_del(a->txn, table, key);
}

uint64_t ap_next_rev(struct apply *a)
{
	return ++a->head->rev;
}

/* ---- events ---- */

static void flush_event(struct apply *a, bool end)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	if (!a->has_event)
		return;
	a->has_event = false;
	a->event.end = end;
	wr_u64_be(&key, a->event_rev);
	event_row_encode(&val, &a->event);
	ap_put(a, KV_EVENTS, buf_view(&key), buf_view(&val));
}

void ap_event(struct apply *a, uint64_t rev, const struct event_row *event)
{
	flush_event(a, false);
	a->event = *event;
	a->event.time_ms = a->head->time_ms;
	a->event_rev = rev;
	a->has_event = true;
}

void ap_diff(struct apply *a, struct str before, struct str after)
{
	uint8_t sizes[16];

	for (unsigned i = 0; i < 8; i++) {
		sizes[i] = (uint8_t)((uint64_t)before.n >> (8 * i));
		sizes[8 + i] = (uint8_t)((uint64_t)after.n >> (8 * i));
	}
	sha256_add(a->diff, sizes, sizeof(sizes));
	sha256_add(a->diff, before.p, before.n);
	sha256_add(a->diff, after.p, after.n);
}

/* ---- audit ---- */

static const char *op_action(const struct op *op)
{
	switch (op->type) {
	case OP_OBJECT_PUT:
		return "write";
	case OP_OBJECT_STATUS:
		return "status";
	case OP_OBJECT_DELETE:
		return "delete";
	case OP_VERSION_ADD:
		return op->release ? "publish" : "version";
	case OP_RULES_SET:
		return "release";
	case OP_ROLLBACK:
		return "rollback";
	case OP_TOKEN_PUT:
		return "token-create";
	case OP_TOKEN_DELETE:
		return "token-delete";
	case OP_DENIED:
		return "denied";
	}
	return "unknown";
}

static void note_target(struct apply *a, const struct op *op)
{
	const struct kind *kind = kind_by_id(op->kind);

	if (a->n_targets++ >= AUDIT_TARGETS_MAX)
		return;
	if (a->targets.n)
		buf_z(&a->targets, ", ");
	if (op->type == OP_DENIED) {
		buf_printf(&a->targets, "denied %llu times %.*s: %.*s",
			   (unsigned long long)op->size, STR_ARG(op->name),
			   STR_ARG(op->message));
		return;
	}
	buf_printf(&a->targets, "%s %.*s", op_action(op),
		   kind ? (int)kind->singular.n : 5,
		   kind ? kind->singular.p : "token");
	buf_c(&a->targets, ' ');
	if (op->tenant.n) {
		buf_str(&a->targets, op->tenant);
		buf_c(&a->targets, '/');
	}
	buf_str(&a->targets, op->name);
}

static const char *command_action(const struct command *cmd)
{
	const char *action = cmd->n_ops ? op_action(&cmd->ops[0]) : "none";

	for (size_t i = 1; i < cmd->n_ops; i++)
		if (strcmp(op_action(&cmd->ops[i]), action) != 0)
			return "apply";
	return action;
}

static void write_audit(struct apply *a)
{
	const struct command *c = a->cmd;
	struct head *h = a->head;
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	struct audit_row row = {
		.seq = h->audit_seq++, .time_ms = h->time_ms, .rev = h->rev,
		.subject = c->subject.name, .role = c->subject.role,
		.credential = c->credential, .origin = c->origin,
		.action = str_of(command_action(c)), .n_ops = a->n_targets,
		.reason = c->reason, .commit = c->commit,
		.previous = h->audit_head, .diff = sha256_end(a->diff),
	};

	if (a->n_targets > AUDIT_TARGETS_MAX)
		buf_printf(&a->targets, " and %zu more",
			   a->n_targets - AUDIT_TARGETS_MAX);
	row.target = buf_view(&a->targets);
	memcpy(row.trace, c->trace, sizeof(row.trace));
	wr_u64_be(&key, row.seq);
	audit_row_encode(&val, &row);
	h->audit_head = row.hash;
	ap_put(a, KV_AUDIT, buf_view(&key), buf_view(&val));
}

/* ---- idempotency ---- */

static bool has_id(const struct command *cmd)
{
	static const struct sha256 none;

	return !sha256_eq(&cmd->id, &none);
}

static struct str id_key(const struct command *cmd)
{
	return str_n(cmd->id.b, sizeof(cmd->id.b));
}

/* Row: body digest, expiry, encoded outcome.  True where the command was
 * answered already. */
static bool replayed(struct apply *a, struct outcome *out)
{
	struct str row = has_id(a->cmd) ?
				 ap_get(a, KV_IDEM, id_key(a->cmd)) :
				 STR_NONE;
	struct rd rd = rd_of(row);
	struct str body = rd_raw(&rd, sizeof(a->cmd->body.b));

	if (!row.p)
		return false;
	rd_u64(&rd);
	if (!str_eq(body, str_n(a->cmd->body.b, sizeof(a->cmd->body.b)))) {
		out->code = E_IDEMPOTENCY;
		str_copy(out->text, sizeof(out->text),
			 STR("this Idempotency-Key was used for another request"));
		str_copy(out->hint, sizeof(out->hint),
			 STR("use a new key for each different write"));
		return true;
	}
	if (!outcome_decode(a->arena, str_n(rd.p, rd_left(&rd)), out))
		out->code = E_CORRUPT;
	out->replayed = true;
	return true;
}

static void remember(struct apply *a, const struct outcome *out)
{
	uint64_t due = a->head->time_ms + a->head->limits.idem_ms;
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	if (!has_id(a->cmd))
		return;
	wr_raw(&val, a->cmd->body.b, sizeof(a->cmd->body.b));
	wr_u64(&val, due);
	outcome_encode(&val, out);
	ap_put(a, KV_IDEM, id_key(a->cmd), buf_view(&val));
	wr_u64_be(&key, due);
	wr_raw(&key, a->cmd->id.b, sizeof(a->cmd->id.b));
	ap_put(a, KV_IDEM_DUE, buf_view(&key), STR(""));
	a->head->n_idem++;
}

/* ---- commands ---- */

/* What is written from here on can be taken back, also out of the chain. */
static void ap_mark(struct apply *a)
{
	kv_mark(a->txn);
	sha256_copy(a->chain_mark, a->chain);
}

static void ap_undo(struct apply *a)
{
	kv_undo(a->txn);
	sha256_copy(a->chain, a->chain_mark);
}

static enum code check_pre(struct apply *a, struct err *err)
{
	const struct command *c = a->cmd;

	for (size_t i = 0; i < c->n_pre; i++) {
		const struct precondition *pre = &c->pre[i];
		struct object_row row = { 0 };
		AUTO_BUF key = BUF_NONE;
		struct str val;

		key_object(&key, pre->tenant, pre->kind, pre->name);
		val = ap_get(a, KV_OBJECTS, buf_view(&key));
		if (val.p && !object_row_decode(val, &row))
			return err_set(err, E_CORRUPT, "an object row is malformed");
		if (row.rev != pre->rev)
			return err_set(err, E_CONFLICT,
				       "%.*s moved from revision %llu to %llu "
				       "while this was planned",
				       STR_ARG(pre->name),
				       (unsigned long long)pre->rev,
				       (unsigned long long)row.rev);
	}
	return OK;
}

static enum code check_op(const struct command *c, const struct op *op,
			  struct err *err)
{
	struct target target = { .kind = op->kind, .tenant = op->tenant,
				 .name = op->name };

	if (op->type == OP_TOKEN_PUT || op->type == OP_TOKEN_DELETE ||
	    op->type == OP_DENIED)
		target = (struct target){ .name = op->name };
	return permission_check(&c->subject, op_verb(op), &target, err);
}

static enum code run_ops(struct apply *a, struct outcome *out, struct err *err)
{
	const struct command *c = a->cmd;
	enum code rc = check_pre(a, err);

	if (rc == OK)
		rc = apply_contents(a, err);
	for (size_t i = 0; i < c->n_ops && rc == OK; i++) {
		out->op = i;
		rc = check_op(c, &c->ops[i], err);
		if (rc == OK)
			rc = apply_op(a, &c->ops[i], &out->results[i], err);
		if (rc == OK && out->results[i].changed)
			note_target(a, &c->ops[i]);
	}
	return rc;
}

static void refuse(struct outcome *out, enum code rc, const struct err *err)
{
	out->code = rc;
	out->rev = 0;
	out->n_results = 0;
	str_copy(out->text, sizeof(out->text), str_of(err->text));
	str_copy(out->hint, sizeof(out->hint), str_of(err->hint));
}

/* The store failed, or holds what cannot be: no refusal, an end. */
static bool is_fatal(struct apply *a, enum code rc, struct err *err)
{
	return kv_status(a->txn, err) != OK || rc == E_CORRUPT;
}

static enum code apply_ops(struct apply *a, struct outcome *out,
			   struct err *err)
{
	struct head before = *a->head;
	enum code rc;

	retain_idem(a, 4);
	if (replayed(a, out))
		return out->code == E_CORRUPT ?
			       err_set(err, E_CORRUPT, "an outcome is malformed") :
			       OK;
	before = *a->head;
	out->n_results = a->cmd->n_ops;
	out->results = arena_zero(a->arena,
				  (a->cmd->n_ops + 1) * sizeof(*out->results));
	a->first_rev = a->head->rev + 1;
	sha256_start(a->diff);
	ap_mark(a);
	rc = run_ops(a, out, err);
	if (is_fatal(a, rc, err)) {
		ap_undo(a);
		return rc ? rc : E_IO;
	}
	if (rc) {
		ap_undo(a);
		*a->head = before;
		a->has_event = false;
		refuse(out, rc, err);
		return OK;
	}
	flush_event(a, true);
	out->rev = a->n_targets ? a->head->rev : 0;
	if (a->n_targets)
		write_audit(a);
	remember(a, out);
	kv_keep(a->txn);
	return kv_status(a->txn, err);
}

/* ---- staged commands ---- */

static void stage_key(struct buf *out, const struct command *cmd, uint32_t part)
{
	wr_raw(out, cmd->transaction.b, sizeof(cmd->transaction.b));
	wr_u32_be(out, part);
}

/* Part 0 begins with the time, by which parts that were never finished are
 * found and removed. */
static void apply_stage(struct apply *a)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	stage_key(&key, a->cmd, a->cmd->part);
	wr_u64(&val, a->head->time_ms);
	buf_str(&val, a->cmd->bytes);
	ap_put(a, KV_STAGED, buf_view(&key), buf_view(&val));
}

static enum code gather(struct apply *a, struct buf *out, struct err *err)
{
	for (uint32_t i = 0; i < a->cmd->part; i++) {
		AUTO_BUF key = BUF_NONE;
		struct str val;

		stage_key(&key, a->cmd, i);
		if (!kv_get(a->txn, KV_STAGED, buf_view(&key), &val))
			return err_set(err, E_BLOB_MISSING,
				       "part %u of %u of a staged command is "
				       "missing",
				       i + 1, a->cmd->part);
		buf_str(out, str_from(val, 8));
		ap_del(a, KV_STAGED, buf_view(&key));
	}
	return OK;
}

static enum code apply_staged(struct apply *a, struct outcome *out,
			      struct err *err)
{
	AUTO_BUF bytes = BUF_NONE;
	struct command whole;
	enum code rc = gather(a, &bytes, err);
	struct sha256 sha = sha256_of(buf_view(&bytes));

	if (rc == OK && !sha256_eq(&sha, &a->cmd->sha))
		rc = err_set(err, E_INVALID,
			     "a staged command has another digest than announced");
	if (rc == OK)
		rc = command_decode(a->arena,
				    arena_str(a->arena, buf_view(&bytes)),
				    &whole, err);
	if (rc == OK && whole.type != COMMAND_OPS)
		rc = err_set(err, E_INVALID, "only operations can be staged");
	if (rc) {
		refuse(out, rc, err);
		return kv_status(a->txn, err);
	}
	a->cmd = &whole;
	return apply_ops(a, out, err);
}

/* ---- the door ---- */

static void apply_limits(struct apply *a)
{
	uint64_t now[sizeof(struct limits) / sizeof(uint64_t)];
	uint64_t want[ARRAY_LEN(now)];

	memcpy(now, &a->head->limits, sizeof(now));
	memcpy(want, &a->cmd->limits, sizeof(want));
	for (size_t i = 0; i < ARRAY_LEN(now); i++)
		if (want[i])
			now[i] = want[i];
	memcpy(&a->head->limits, now, sizeof(now));
}

enum code apply_command(struct apply *a, const struct command *cmd,
			struct outcome *out, struct err *err)
{
	enum code rc = OK;

	*out = (struct outcome){ 0 };
	a->cmd = cmd;
	a->head->time_ms = MAX(a->head->time_ms, cmd->time_ms);
	a->has_event = false;
	a->n_targets = 0;
	a->added_version = 0;
	buf_reset(&a->targets);
	switch (cmd->type) {
	case COMMAND_OPS:
		rc = apply_ops(a, out, err);
		break;
	case COMMAND_BLOB:
		rc = apply_blob(a, cmd, err);
		if (rc && !is_fatal(a, rc, err)) {
			refuse(out, rc, err);
			rc = OK;
		}
		break;
	case COMMAND_STAGE:
		apply_stage(a);
		break;
	case COMMAND_STAGED:
		rc = apply_staged(a, out, err);
		break;
	case COMMAND_TICK:
		apply_tick(a);
		break;
	case COMMAND_LIMITS:
		apply_limits(a);
		break;
	}
	a->cmd = NULL;
	return rc ? rc : kv_status(a->txn, err);
}
