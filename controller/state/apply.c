/*
 * One command: idempotency, preconditions, operations, events, audit.
 *
 * Called by the machine for each entry of the log.  Everything that a refused
 * command wrote is undone by the mark of the store, and the head is put back,
 * so a refusal leaves no trace but its outcome.  Operations are decoded one at
 * a time, and what they need is in an arena that is reset after each.
 */
#include "base/failpoint.h"
#include "base/mem.h"
#include "state/gate_own.h"
#include "state/rollout.h"

#include "base/banned.h"

#define AUDIT_TARGETS_MAX 20
/* Results that an idempotency row keeps; a larger command is a source's, which
 * does not look at them. */
#define REMEMBERED_RESULTS 1000

/* Work, in units of about what one operation costs. */
#define UNIT_BYTES (16 * 1024)           /* taken in or out of the store */

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
	size_t old = kv_put(a->txn, table, key, val);

	a->rollout_changes += table == KV_ROLLOUTS;
	a->head->bytes -= MIN(a->head->bytes, old);
	a->head->bytes += key.n + val.n;
}

bool ap_del(struct apply *a, enum kv_table table, struct str key)
{
	size_t old = kv_del(a->txn, table, key);

	a->rollout_changes += table == KV_ROLLOUTS;
	a->head->bytes -= MIN(a->head->bytes, old);
	return old > 0;
}

uint64_t ap_next_rev(struct apply *a)
{
	return ++a->head->rev;
}

/* ---- events ---- */

static void flush_event(struct apply *a, bool end)
{
	AUTO_BUF key = BUF_NONE;

	if (!a->event.n)
		return;
	if (end)
		event_row_set_end(&a->event);
	wr_u64_be(&key, a->event_rev);
	ap_put(a, KV_EVENTS, buf_view(&key), buf_view(&a->event));
	retain_event(a, a->event_rev, key.n + a->event.n);
	buf_reset(&a->event);
}

void ap_event(struct apply *a, uint64_t rev, const struct event_row *event)
{
	struct event_row row = *event;

	flush_event(a, false);
	gate_moved(a, rev, event);
	a->source_changes += event_is_for_sources(event);
	row.time_ms = a->head->time_ms;
	row.knows_before = a->head->version >= VERSION_EVENTS;
	event_row_encode(&a->event, &row);
	a->event_rev = rev;
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
	case OP_CERTIFICATE_PUT:
		return "token-create";
	case OP_TOKEN_DELETE:
		return "token-delete";
	case OP_DENIED:
		return "denied";
	case OP_MEMBERS:
		return member_action(op->member);
	case OP_SUBJECT_PUT:
		return "token-create";
	case OP_PLAN_PUT:
		return "plan";
	case OP_EXECUTE:
		return "execute";
	case OP_VOTE:
		return vote_action(op->vote);
	case OP_RELEASE_MOVE:
		return move_action(op->move);
	case OP_HOOK_KEY:
		return "webhook-key";
	case OP_OUTBOX:
		return "delivery";
	case OP_VERSION_DROP:
		return "version-drop";
	case OP_HOLD_LIFT:
		return "hold-lift";
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
	if (op->type == OP_MEMBERS) {
		members_note(a, op);
		return;
	}
	buf_z(&a->targets, op_action(op));
	buf_c(&a->targets, ' ');
	buf_str(&a->targets, kind ? kind->singular : STR("token"));
	buf_c(&a->targets, ' ');
	if (op->tenant.n) {
		buf_str(&a->targets, op->tenant);
		buf_c(&a->targets, '/');
	}
	buf_str(&a->targets, op->name);
	if (op->type == OP_SUBJECT_PUT)
		buf_printf(&a->targets, " of %.*s", STR_ARG(op->author));
	if (op->type == OP_CERTIFICATE_PUT)
		buf_printf(&a->targets, " for the certificate %.*s",
			   STR_ARG(op->certificate));
}

void ap_target(struct apply *a, const char *action, enum kind_id id,
	       struct str tenant, struct str name)
{
	const struct kind *kind = kind_by_id(id);
	struct str noun = kind ? kind->singular : STR("plan");

	if (a->n_targets++ < AUDIT_TARGETS_MAX)
		buf_printf(&a->targets, "%s%s %.*s %.*s/%.*s",
			   a->targets.n ? ", " : "", action, STR_ARG(noun),
			   STR_ARG(tenant), STR_ARG(name));
}

/* What the command as a whole does. */
static void note_action(struct apply *a, const struct op *op)
{
	const char *action = op_action(op);

	if (!a->action)
		a->action = action;
	else if (strcmp(a->action, action) != 0)
		a->action = "apply";
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
		.action = str_of(a->action), .n_ops = a->n_targets,
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

	if (!row.p || failpoint_hit(FP_APPLY_ONCE, NULL))
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
	if (!outcome_decode(a->keep, str_n(rd.p, rd_left(&rd)), out))
		out->code = E_CORRUPT;
	out->replayed = true;
	return true;
}

static void remember(struct apply *a, const struct outcome *out)
{
	struct outcome kept = *out;
	uint64_t due = a->head->time_ms + a->head->limits.idem_ms;
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	if (!has_id(a->cmd))
		return;
	wr_raw(&val, a->cmd->body.b, sizeof(a->cmd->body.b));
	wr_u64(&val, due);
	if (kept.n_results > REMEMBERED_RESULTS)
		kept.n_results = 0;
	/* Words are no part of the state. */
	kept.text[0] = kept.hint[0] = '\0';
	outcome_encode(&val, &kept);
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
	chain_copy(a->chain_mark, a->chain);
}

static void ap_undo(struct apply *a)
{
	kv_undo(a->txn);
	counts_forget(a->counts);
	chain_copy(a->chain, a->chain_mark);
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
	    op->type == OP_DENIED || op->type == OP_MEMBERS ||
	    op->type == OP_CERTIFICATE_PUT || op->type == OP_SUBJECT_PUT)
		target = (struct target){ .name = op->name };
	return permission_check(&c->subject, op_verb(op), &target, err);
}

static enum code run_op(struct apply *a, struct outcome *out, struct err *err)
{
	struct op op;
	size_t at = a->ops.next;
	enum code rc;

	arena_reset(a->arena);
	out->op = at;
	rc = command_next(a->arena, &a->ops, &op, err);
	if (rc)
		return rc;
	if (!gate_is_permitted(a))
		rc = check_op(a->cmd, &op, err);
	if (rc == OK)
		rc = gate_before(a, &op, err);
	if (rc == OK)
		gate_expects(a, &op);
	if (rc == OK)
		rc = apply_op(a, &op, &out->results[at], err);
	if (rc) {
		gate_failed(a, &op, op_action(&op));
		return rc;
	}
	note_action(a, &op);
	if (!out->results[at].changed)
		return OK;
	note_target(a, &op);
	release_note(a, &op, &out->results[at]);
	return gate_after(a, &op, err);
}

static void refuse(struct outcome *out, enum code rc, const struct err *err)
{
	out->code = rc;
	out->rev = 0;
	out->n_results = 0;
	str_copy(out->text, sizeof(out->text), str_of(err->text));
	str_copy(out->hint, sizeof(out->hint), str_of(err->hint));
}

/* The store failed, or holds what cannot be, or a newer program wrote it: no
 * refusal, an end. */
static bool is_fatal(struct apply *a, enum code rc, struct err *err)
{
	return kv_status(a->txn, err) != OK || rc == E_CORRUPT ||
	       rc == E_UNSUPPORTED;
}

/* What it ends with: the store's own reason, where it has one, because E_FULL is
 * tried again. */
static enum code end_of(struct apply *a, enum code rc, struct err *err)
{
	enum code store = kv_status(a->txn, err);

	return store ? store : rc;
}

/* Nothing of it happened. */
static void take_back(struct apply *a)
{
	ap_undo(a);
	*a->head = a->before;
	buf_reset(&a->event);
	buf_reset(&a->targets);
	a->n_targets = 0;
	a->action = NULL;
	a->added_version = 0;
	release_start(a);
	gate_unmoved(a);
}

void ap_anew(struct apply *a)
{
	take_back(a);
	sha256_start(a->diff);
	ap_mark(a);
}

/* What was written stays. */
static enum code conclude(struct apply *a, struct outcome *out, struct err *err)
{
	flush_event(a, true);
	out->rev = a->n_targets ? a->head->rev : 0;
	if (a->n_targets)
		write_audit(a);
	remember(a, out);
	kv_keep(a->txn);
	return kv_status(a->txn, err);
}

/* Refused; of a proposal that is what came of it, and is written. */
static enum code give_up(struct apply *a, struct outcome *out, enum code rc,
			 struct err *err)
{
	struct err why = *err;

	a->step = APPLY_IDLE;
	if (is_fatal(a, rc, err)) {
		ap_undo(a);
		return end_of(a, rc, err);
	}
	ap_anew(a);
	if (gate_refused(a, rc, out, err))
		return conclude(a, out, err);
	take_back(a);
	refuse(out, rc, &why);
	return kv_status(a->txn, err);
}

/* It happened, and so did what follows of it for those that wait. */
static enum code settle_ops(struct apply *a, struct outcome *out, struct err *err)
{
	a->step = APPLY_SETTLE;
	if (!gate_settle(a))
		return kv_status(a->txn, err);
	a->step = APPLY_IDLE;
	return conclude(a, out, err);
}

static enum code walk_ops(struct apply *a, struct outcome *out, struct err *err);

static enum code finish_ops(struct apply *a, struct outcome *out,
			    enum code rc, struct err *err)
{
	enum gate_verdict verdict = GATE_GO;

	a->step = APPLY_IDLE;
	/* What goes along is judged with the rest. */
	if (rc == OK)
		rc = releasing_conclude(a, err);
	if (rc == OK)
		rc = gate_judge(a, &verdict, err);
	if (rc == OK && verdict != GATE_GO) {
		ap_anew(a);
		memset(out->results, 0, out->n_results * sizeof(*out->results));
		gate_walk(a, verdict);
		return walk_ops(a, out, err);
	}
	if (rc == OK)
		rc = release_make(a, err);
	if (rc == OK)
		rc = gate_executed(a, out, err);
	if (rc || is_fatal(a, rc, err))
		return give_up(a, out, rc, err);
	return settle_ops(a, out, err);
}

static enum code go_on_ops(struct apply *a, struct outcome *out,
			   struct err *err)
{
	bool is_chosen;
	enum code rc = releasing_choose(a, &is_chosen, err);

	releasing_put_off(a, true);
	if (rc == OK && !is_chosen)
		return kv_status(a->txn, err);
	while (rc == OK && (gate_has_more(a) || a->ops.next < a->ops.n)) {
		if (a->units <= 0)
			return kv_status(a->txn, err);
		a->units--;
		rc = gate_has_more(a) ? gate_go_on(a, err) : run_op(a, out, err);
	}
	if (rc == OK && !releasing_settle(a))
		return kv_status(a->txn, err);
	releasing_put_off(a, false);
	return finish_ops(a, out, rc, err);
}

static enum code walk_ops(struct apply *a, struct outcome *out, struct err *err)
{
	enum code rc = gate_walk_on(a, out, err);

	if (rc)
		return give_up(a, out, rc, err);
	if (a->step == APPLY_WALK)
		return kv_status(a->txn, err);
	return a->step == APPLY_OPS ? go_on_ops(a, out, err) :
				      conclude(a, out, err);
}

static enum code start_ops(struct apply *a, struct outcome *out,
			   struct err *err)
{
	enum code rc;

	a->step = APPLY_IDLE;
	retain_idem(a, 4);
	if (replayed(a, out))
		return out->code == E_CORRUPT ?
			       err_set(err, E_CORRUPT, "an outcome is malformed") :
			       OK;
	a->before = *a->head;
	out->n_results = a->ops.n;
	out->results = arena_zero(a->keep,
				  (a->ops.n + 1) * sizeof(*out->results));
	sha256_start(a->diff);
	ap_mark(a);
	a->step = APPLY_OPS;
	/* Before anything can refuse it: that would be the last command's. */
	gate_start(a);
	rc = gate_subject(a, err);
	if (rc == OK)
		rc = check_pre(a, err);
	if (rc == OK)
		rc = apply_contents(a, err);
	if (rc == OK)
		rc = gate_open(a, out, err);
	if (rc)
		return finish_ops(a, out, rc, err);
	return a->step == APPLY_WALK ? walk_ops(a, out, err) :
				       go_on_ops(a, out, err);
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

/* One part into the whole. */
static enum code gather(struct apply *a, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	stage_key(&key, &a->own, a->gather_next);
	if (!kv_get(a->txn, KV_STAGED, buf_view(&key), &val))
		return err_set(err, E_BLOB_MISSING,
			       "part %u of %u of a staged command is missing",
			       a->gather_next + 1, a->own.part);
	val = str_from(val, 8);
	a->units -= 1 + (int)(val.n / UNIT_BYTES);
	sha256_add(a->gather_sha, val.p, val.n);
	buf_str(&a->gathered, val);
	ap_del(a, KV_STAGED, buf_view(&key));
	a->gather_next++;
	return OK;
}

/* The command that was staged takes the place of the one that named it. */
static enum code open_staged(struct apply *a, struct err *err)
{
	struct sha256 sha = sha256_end(a->gather_sha);
	enum code rc;

	if (!sha256_eq(&sha, &a->own.sha))
		return err_set(err, E_INVALID, "a staged command has another "
			       "digest than announced");
	rc = command_open(a->keep, buf_view(&a->gathered), &a->own, &a->ops, err);
	a->bytes = buf_view(&a->gathered);
	if (rc == OK && a->own.type != COMMAND_OPS)
		rc = err_set(err, E_INVALID, "only operations can be staged");
	return rc;
}

static enum code go_on_gather(struct apply *a, struct outcome *out,
			      struct err *err)
{
	enum code rc = OK;

	while (rc == OK && a->gather_next < a->own.part) {
		if (a->units <= 0)
			return kv_status(a->txn, err);
		rc = gather(a, err);
	}
	if (rc == OK)
		rc = open_staged(a, err);
	if (rc == OK)
		return start_ops(a, out, err);
	a->step = APPLY_IDLE;
	refuse(out, rc, err);
	return kv_status(a->txn, err);
}

static enum code start_gather(struct apply *a, struct outcome *out,
			      struct err *err)
{
	a->step = APPLY_GATHER;
	a->gather_next = 0;
	sha256_start(a->gather_sha);
	buf_reset(&a->gathered);
	return go_on_gather(a, out, err);
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

/* See command.h. */
static enum code apply_restored(struct apply *a, struct err *err)
{
	struct head *h = a->head;
	bool is_backup = a->own.from == RESTORED_BACKUP;

	if (!is_backup && a->own.from != RESTORED_SURVIVOR)
		return err_set(err, E_INVALID, "restored from %u: that is unknown",
			       (unsigned)a->own.from);
	if (h->rev > UINT64_MAX - 2 * RESTORED_STEP)
		return err_set(err, E_FULL, "revision %llu has no room for the "
			       "step of a restore", (unsigned long long)h->rev);
	h->rev += RESTORED_STEP;
	h->compacted_rev = h->rev;
	members_forget(a);
	a->own.subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
	a->own.credential = STR("data directory");
	a->action = is_backup ? "restore" : "recover";
	a->n_targets = 1;
	buf_z(&a->targets, is_backup ? "the state of a backup" :
				       "the state of a survivor");
	sha256_start(a->diff);
	write_audit(a);
	return OK;
}

/* See command.h.  A program that is too old stops here, and not at the first thing
 * that it does not know. */
static enum code apply_version(struct apply *a, struct err *err)
{
	struct head *h = a->head;
	uint64_t version = a->own.version;
	AUTO_BUF row = BUF_NONE;

	if (version > a->knows) {
		err_set(err, E_UNSUPPORTED, "the cluster's version is %llu from "
			"here on, this program knows %llu",
			(unsigned long long)version,
			(unsigned long long)a->knows);
		return err_hint(err, "start the program that the other nodes run");
	}
	if (version <= h->version)
		return err_set(err, E_CONFLICT, "the cluster's version is %llu "
			       "already", (unsigned long long)h->version);
	h->version = version;
	cluster_version_encode(&row, version);
	ap_put(a, KV_META, VERSION_KEY, buf_view(&row));
	a->own.subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
	a->own.credential = STR("none");
	a->own.origin = STR("local");
	a->action = "upgrade";
	a->n_targets = 1;
	buf_printf(&a->targets, "cluster version %llu",
		   (unsigned long long)version);
	sha256_start(a->diff);
	write_audit(a);
	return OK;
}

/* What ends by it is told, and on record. */
static void tick(struct apply *a)
{
	sha256_start(a->diff);
	apply_tick(a);
	flush_event(a, true);
	if (!a->n_targets)
		return;
	a->own.subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
	a->own.credential = STR("none");
	a->own.origin = STR("local");
	a->action = "expire";
	write_audit(a);
}

static enum code start(struct apply *a, struct outcome *out, struct err *err)
{
	enum code rc;

	switch (a->own.type) {
	case COMMAND_OPS:
		return start_ops(a, out, err);
	case COMMAND_BLOB:
		rc = apply_blob(a, &a->own, err);
		if (rc && is_fatal(a, rc, err))
			return end_of(a, rc, err);
		if (rc)
			refuse(out, rc, err);
		break;
	case COMMAND_STAGE:
		apply_stage(a);
		break;
	case COMMAND_STAGED:
		return start_gather(a, out, err);
	case COMMAND_TICK:
		tick(a);
		break;
	case COMMAND_LIMITS:
		apply_limits(a);
		break;
	case COMMAND_VERSION:
		rc = apply_version(a, err);
		if (rc && is_fatal(a, rc, err))
			return end_of(a, rc, err);
		if (rc)
			refuse(out, rc, err);
		break;
	case COMMAND_RESTORED:
		rc = apply_restored(a, err);
		if (rc)
			refuse(out, rc, err);
		else
			out->rev = a->head->rev;
		break;
	}
	return OK;
}

static enum code end_slice(struct apply *a, enum code rc, struct err *err)
{
	if (a->step == APPLY_IDLE) {
		counts_write(a);
		a->cmd = NULL;
		/* A large one is not kept around. */
		buf_fini(&a->gathered);
		arena_reset(a->arena);
	}
	return rc ? rc : kv_status(a->txn, err);
}

enum code apply_start(struct apply *a, struct str bytes, struct outcome *out,
		      struct err *err)
{
	enum code rc = command_open(a->keep, bytes, &a->own, &a->ops, err);

	must(a->step == APPLY_IDLE);
	/* Whatever comes next, and whether or not in the same batch. */
	gate_refresh(a);
	*out = (struct outcome){ 0 };
	a->units -= 1 + (int)(bytes.n / UNIT_BYTES) + (int)a->own.n_contents;
	if (rc == E_UNSUPPORTED)
		return rc;
	if (rc) {
		refuse(out, rc, err);
		return OK;
	}
	a->cmd = &a->own;
	a->bytes = bytes;
	a->head->time_ms = MAX(a->head->time_ms, a->own.time_ms);
	a->n_targets = 0;
	a->added_version = 0;
	a->action = NULL;
	release_start(a);
	buf_reset(&a->event);
	buf_reset(&a->targets);
	rc = start(a, out, err);
	return end_slice(a, rc, err);
}

enum code apply_go_on(struct apply *a, struct outcome *out, struct err *err)
{
	enum code rc = a->step == APPLY_GATHER ? go_on_gather(a, out, err) :
		       a->step == APPLY_WALK   ? walk_ops(a, out, err) :
		       a->step == APPLY_SETTLE ? settle_ops(a, out, err) :
						 go_on_ops(a, out, err);

	return end_slice(a, rc, err);
}

void apply_drop(struct apply *a)
{
	a->txn = NULL;
	a->cmd = NULL;
	a->step = APPLY_IDLE;
	buf_fini(&a->gathered);
	gate_forget(a);
}

struct apply *apply_new(void)
{
	struct apply *a = NEW(struct apply);

	a->arena = arena_new(16 * 1024);
	a->diff = sha256_new();
	a->chain = chain_new();
	a->chain_mark = chain_new();
	a->gather_sha = sha256_new();
	a->counts = counts_new();
	a->gate = gate_new();
	a->releasing = releasing_new();
	return a;
}

void apply_free(struct apply **ap)
{
	struct apply *a = TAKE(*ap);

	if (!a)
		return;
	arena_free(&a->arena);
	sha256_ctx_free(&a->diff);
	chain_free(&a->chain);
	chain_free(&a->chain_mark);
	sha256_ctx_free(&a->gather_sha);
	counts_free(&a->counts);
	buf_fini(&a->event);
	buf_fini(&a->targets);
	buf_fini(&a->member_subject);
	buf_fini(&a->gathered);
	buf_fini(&a->release.tenant);
	buf_fini(&a->release.message);
	buf_fini(&a->release.configs);
	buf_fini(&a->release.name);
	gate_free(&a->gate);
	releasing_free(&a->releasing);
	free(a);
}
