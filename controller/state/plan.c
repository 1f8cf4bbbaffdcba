/* Plans: see plan.h. */
#include "state/plan.h"

#include "base/banned.h"

#define ROW_FORMAT 1

/* ---- what may be one ---- */

static bool is_plannable(enum op_type type)
{
	switch (type) {
	case OP_OBJECT_PUT:
	case OP_OBJECT_STATUS:
	case OP_OBJECT_DELETE:
	case OP_VERSION_ADD:
	case OP_RULES_SET:
	case OP_ROLLBACK:
		return true;
	default:
		return false;
	}
}

enum code planned_check(const struct op *op, struct str *tenant, struct err *err)
{
	if (!is_plannable(op->type))
		return err_set(err, E_INVALID, "operation %d cannot be part of a "
			       "plan", (int)op->type);
	/* Keys are made of them. */
	if (op->tenant.n > ADDRESS_PART_MAX || op->name.n > ADDRESS_NAME_MAX)
		return err_set(err, E_INVALID, "a name of the plan is too long");
	if (op->tenant.n == 0)
		return OK;
	if (tenant->n == 0)
		*tenant = op->tenant;
	if (str_eq(*tenant, op->tenant))
		return OK;
	err_set(err, E_INVALID, "a plan is of one tenant, this one of %.*s and "
		"%.*s", STR_ARG(*tenant), STR_ARG(op->tenant));
	return err_hint(err, "make one of each");
}

/* ---- the digest ---- */

static uint64_t live_base(struct kv_txn *txn, struct str tenant,
			 const struct object_row *row)
{
	struct address at = { tenant, row->application, row->environment,
			      row->config_name };
	AUTO_BUF key = BUF_NONE;
	struct live_row live;
	struct str val;

	address_key(&key, &at);
	if (!kv_get(txn, KV_LIVE, buf_view(&key), &val) ||
	    !live_row_decode(val, &live))
		return 0;
	return live.base_rev;
}

bool planned_has_base(const struct op *op)
{
	return !op->only_create && op->type != OP_OBJECT_STATUS;
}

uint64_t planned_base(struct kv_txn *txn, const struct op *op)
{
	AUTO_BUF key = BUF_NONE;
	struct object_row row;
	struct str val;

	if (!planned_has_base(op))
		return 0;
	key_object(&key, op->tenant, op->kind, op->name);
	if (!kv_get(txn, KV_OBJECTS, buf_view(&key), &val) ||
	    !object_row_decode(val, &row))
		return 0;
	return op->kind == KIND_CONFIG ?
		       MAX(row.rev, live_base(txn, op->tenant, &row)) : row.rev;
}

void planned_begin(struct sha256_ctx *ctx, const struct command *c)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "conflux plan 1");
	wr_str(&b, c->commit);
	wr_u8(&b, c->flags & COMMAND_TAKE_OVER);
	if (c->not_before_ms)
		wr_u64(&b, c->not_before_ms);
	sha256_start(ctx);
	sha256_add(ctx, b.p, b.n);
}

void planned_add(struct sha256_ctx *ctx, const struct op *op, uint64_t base)
{
	struct op plain = *op;
	AUTO_BUF b = BUF_NONE;

	if (op->type == OP_OBJECT_STATUS)
		return;
	plain.uid = (struct uuid){ 0 };
	plain.expect = REV_ANY;
	op_encode(&b, &plain);
	wr_var(&b, base);
	sha256_add(ctx, b.p, b.n);
}

static enum code digest_ops(struct kv_txn *txn, struct op_reader *ops,
			    struct sha256_ctx *ctx, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct str tenant = STR_NONE;
	enum code rc = OK;

	while (ops->next < ops->n) {
		struct op op;

		arena_reset(arena);
		rc = command_next(arena, ops, &op, err);
		if (rc == OK)
			rc = planned_check(&op, &tenant, err);
		if (rc)
			return rc;
		planned_add(ctx, &op, planned_base(txn, &op));
	}
	return OK;
}

enum code planned_fits(size_t bytes, size_t ops, struct err *err)
{
	if (bytes <= PLAN_BYTES_MAX && ops <= PLAN_OPS_MAX)
		return OK;
	err_set(err, E_TOO_LARGE, "the change has %zu operations in %zu bytes; what "
		"is planned, or waits for approval or its time, has at most %d in %d",
		ops, bytes, PLAN_OPS_MAX, PLAN_BYTES_MAX);
	return err_hint(err, "bring it in parts: several requests, or commits");
}

enum code planned_open(struct arena *arena, struct str encoded, struct command *c,
		       struct op_reader *ops, struct err *err)
{
	enum code rc = command_open(arena, encoded, c, ops, err);

	if (rc == OK && c->type != COMMAND_OPS)
		rc = err_set(err, E_INVALID, "a plan is made of operations");
	return rc ? rc : planned_fits(encoded.n, ops->n, err);
}

enum code planned_digest(struct kv_txn *txn, struct str encoded,
			 struct sha256 *out, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct sha256_ctx *ctx;
	struct op_reader ops;
	struct command c;
	enum code rc = planned_open(arena, encoded, &c, &ops, err);

	if (rc)
		return rc;
	ctx = sha256_new();
	planned_begin(ctx, &c);
	rc = digest_ops(txn, &ops, ctx, err);
	if (rc == OK)
		*out = sha256_end(ctx);
	sha256_ctx_free(&ctx);
	return rc;
}

/* ---- rows ---- */

void key_planner(struct buf *out, struct str tenant, struct str subject)
{
	struct sha256 sha = sha256_of(subject);

	buf_z(out, "planner/");
	buf_str(out, tenant);
	buf_c(out, '\0');
	wr_raw(out, sha.b, sizeof(sha.b));
}

void key_plan(struct buf *out, struct str tenant, const struct sha256 *digest)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	wr_raw(out, digest->b, sizeof(digest->b));
}

void key_plan_body(struct buf *out, struct str tenant,
		   const struct sha256 *digest)
{
	key_plan(out, tenant, digest);
	buf_c(out, 'b');
}

void plan_row_encode(struct buf *out, const struct plan_row *row)
{
	wr_u8(out, ROW_FORMAT);
	wr_u64(out, row->created_ms);
	wr_u64(out, row->expires_ms);
	wr_str(out, row->proposal);
	wr_str(out, row->subject);
	wr_var(out, row->ops);
	wr_var(out, row->bytes);
	wr_var(out, row->holds);
	wr_u8(out, row->is_going);
}

bool plan_row_decode(struct str in, struct plan_row *out)
{
	struct rd rd = rd_of(in);

	*out = (struct plan_row){ 0 };
	if (rd_u8(&rd) != ROW_FORMAT)
		return false;
	out->created_ms = rd_u64(&rd);
	out->expires_ms = rd_u64(&rd);
	out->proposal = rd_str(&rd);
	out->subject = rd_str(&rd);
	out->ops = rd_var(&rd);
	out->bytes = rd_var(&rd);
	out->holds = (uint32_t)rd_var(&rd);
	out->is_going = rd_u8(&rd);
	return rd_done(&rd);
}

void plan_body_encode(struct buf *out, const struct plan_body *body)
{
	wr_u8(out, ROW_FORMAT);
	wr_str(out, body->bases);
	wr_str(out, body->command);
}

bool plan_body_decode(struct str in, struct plan_body *out)
{
	struct rd rd = rd_of(in);

	*out = (struct plan_body){ 0 };
	if (rd_u8(&rd) != ROW_FORMAT)
		return false;
	out->bases = rd_str(&rd);
	out->command = rd_str(&rd);
	return rd_done(&rd);
}

bool planned_next_base(struct rd *bases, uint64_t *out)
{
	*out = rd_var(bases);
	return !bases->bad;
}
