/*
 * The ways through the gate: PLAN_PUT and EXECUTE, which stand alone in their
 * command, and what becomes of a command that the gate has judged.  See gate.h.
 */
#include "base/hex.h"
#include "state/gate_own.h"

#include "base/banned.h"

/* ---- who commands ---- */

enum code gate_subject(struct apply *a, struct err *err)
{
	struct subject *s = &a->own.subject;
	struct token_row row;
	struct str val;

	if (s->role != ROLE_NAMED)
		return OK;
	val = arena_str(a->keep, ap_get(a, KV_TOKENS,
					str_n(s->token.b, sizeof(s->token.b))));
	if (!val.n || !token_row_decode(val, &row) || row.role != ROLE_NAMED ||
	    !str_eq(row.subject, s->name))
		return err_set(err, E_UNAUTHORIZED, "the token of %.*s is no more "
			       "there", STR_ARG(s->name));
	if (row.expires_ms && row.expires_ms <= a->head->time_ms)
		return err_set(err, E_UNAUTHORIZED, "the token %.*s of %.*s has "
			       "ended", STR_ARG(row.name), STR_ARG(s->name));
	s->groups = row.groups;
	s->verbs = row.verbs;
	s->tenant = row.tenant;
	return OK;
}

/* ---- a plan is put ---- */

/* Rows are kept under it: it is one. */
static enum code check_tenant(struct apply *a, struct str tenant, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	enum code rc;

	if (tenant.n == 0)
		return OK;
	rc = tenant_check(tenant, err);
	if (rc)
		return rc;
	key_object(&key, STR_NONE, KIND_TENANT, tenant);
	if (kv_get(a->txn, KV_OBJECTS, buf_view(&key), NULL))
		return OK;
	return err_set(err, E_NOT_FOUND, "namespaces \"%.*s\" not found",
		       STR_ARG(tenant));
}

static enum code open_put(struct apply *a, const struct op *op, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	enum code rc = check_tenant(a, op->tenant, err);

	if (rc == OK)
		rc = planned_open(a->keep, op->bytes, &w->inner, &w->ops, err);
	if (rc == OK && w->ops.n == 0)
		rc = err_set(err, E_INVALID, "a plan without operations");
	if (rc)
		return rc;
	w->encoded = op->bytes;
	w->wanted = op->sha;
	a->action = "plan";
	walk_start(a, WALK_PUT);
	buf_str(&w->tenant, op->tenant);
	return OK;
}

static enum code end_put(struct apply *a, struct outcome *out, struct err *err)
{
	struct gate_walk *w = &a->gate->walk;
	struct sha256 digest = walk_digest(a);
	char short_digest[13];
	enum code rc;

	if (!sha256_eq(&digest, &w->wanted)) {
		err_set(err, E_CONFLICT, "what the plan touches moved while it was "
			"made");
		return err_hint(err, "plan it anew");
	}
	rc = walk_keep(a, STR_NONE, &digest, err);
	if (rc)
		return rc;
	out->results[0].changed = true;
	ap_diff(a, STR_NONE, str_n(digest.b, sizeof(digest.b)));
	hex_text(short_digest, digest.b, sizeof(short_digest) / 2);
	ap_target(a, "keep", KIND_NONE, buf_view(&w->tenant),
		  arena_printf(a->keep, "%s, operations: %zu", short_digest,
			       w->start.n));
	return OK;
}

/* ---- a plan is executed ---- */

static enum code load_body(struct apply *a, struct str tenant, struct err *err)
{
	struct gate *g = a->gate;
	AUTO_BUF key = BUF_NONE;
	struct plan_body body;
	struct str val;

	key_plan_body(&key, tenant, &g->digest);
	if (!kv_get(a->txn, KV_PLANS, buf_view(&key), &val))
		return err_set(err, E_NOT_FOUND, "the plan is no more kept");
	if (!plan_body_decode(val, &body))
		return err_set(err, E_CORRUPT, "the body of a plan is malformed");
	buf_reset(&g->body);
	buf_reset(&g->bases_of);
	buf_str(&g->body, body.command);
	buf_str(&g->bases_of, body.bases);
	g->bases = rd_of(buf_view(&g->bases_of));
	a->units -= (int)(val.n / (16 * 1024));
	return OK;
}

static enum code check_approved(struct apply *a, const struct op *op,
				const struct proposal_row *row, struct err *err)
{
	if (a->cmd->subject.role != ROLE_SYSTEM) {
		err_set(err, E_DENIED, "an approved proposal is executed by the "
			"system");
		return err_hint(err, "it is, as soon as nothing holds it");
	}
	if (row->phase != PROPOSAL_APPROVED)
		return err_set(err, E_PHASE, "the proposal is %s",
			       proposal_phase_name(row->phase));
	if (!sha256_eq(&row->digest, &op->sha))
		return err_set(err, E_CONFLICT, "the proposal is of another plan");
	if (row->not_before_ms > a->head->time_ms ||
	    row->expires_ms <= a->head->time_ms)
		return err_set(err, E_PHASE, "it is not the time of the proposal");
	return OK;
}

/* The plan's operations in the place of the one that named them; its outcome is
 * remembered under the key of that one. */
static enum code open_plan(struct apply *a, struct outcome *out, struct err *err)
{
	struct gate *g = a->gate;
	struct command outer = a->own;
	enum code rc = planned_open(a->keep, buf_view(&g->body), &a->own, &a->ops,
				    err);

	buf_reset(&g->planner);
	if (rc)
		return rc == E_UNSUPPORTED ? rc :
			err_set(err, E_CORRUPT, "the body of a plan is malformed");
	buf_str(&g->planner, a->own.subject.name);
	/* Who executes a source's plan must be allowed to do all that it does, and
	 * does it in the source's place: what it brings stays the source's. */
	if (a->own.subject.role == ROLE_SOURCE)
		a->own.writes_as = buf_view(&g->planner);
	a->own.time_ms = outer.time_ms;
	if (outer.not_before_ms)
		a->own.not_before_ms = outer.not_before_ms;
	a->own.id = outer.id;
	a->own.body = outer.body;
	a->own.subject = outer.subject;
	a->own.credential = outer.credential;
	a->own.origin = outer.origin;
	memcpy(a->own.trace, outer.trace, sizeof(outer.trace));
	a->own.flags = (a->own.flags & COMMAND_TAKE_OVER) |
		       (outer.flags & COMMAND_BREAK_GLASS);
	if (outer.reason.n)
		a->own.reason = outer.reason;
	a->own.n_pre = 0;
	out->n_results = a->ops.n;
	out->results = arena_zero(a->keep,
				  (a->ops.n + 1) * sizeof(*out->results));
	gate_start(a);
	return OK;
}

/* As the one who proposed it, who was allowed to when he did. */
static void act_as_author(struct apply *a, const struct op *op,
			  const struct proposal_row *row)
{
	a->own.subject = (struct subject){
		.name = row->authors.subject, .role = row->role,
		.tenant = row->tenant_of_author };
	a->own.credential = arena_printf(a->keep, "proposal %.*s/%.*s",
					 STR_ARG(op->tenant), STR_ARG(op->name));
	a->own.reason = row->reason;
	a->own.flags &= ~(unsigned)COMMAND_BREAK_GLASS;
	a->own.not_before_ms = 0;
}

static enum code open_execute(struct apply *a, const struct op *op,
			      struct outcome *out, struct err *err)
{
	struct gate *g = a->gate;
	bool of_proposal = op->kind == KIND_PROPOSAL;
	struct proposal_row row = { 0 };
	struct str tenant = arena_str(a->keep, op->tenant);
	enum code rc = OK;

	if (of_proposal)
		rc = tenant_check_stays(a, op->tenant, err);
	if (of_proposal && rc == OK) {
		rc = proposal_load(a, op->tenant, op->name, &row, err);
		if (rc == OK)
			rc = check_approved(a, op, &row, err);
	}
	g->digest = op->sha;
	if (rc == OK)
		rc = load_body(a, tenant, err);
	if (rc == OK)
		rc = open_plan(a, out, err);
	if (rc)
		return rc;
	g->mode = of_proposal ? GATE_PROPOSAL : GATE_PLAN;
	buf_reset(&g->proposal);
	buf_reset(&g->of);
	buf_str(&g->of, tenant);
	if (!of_proposal)
		return OK;
	buf_str(&g->proposal, op->name);
	g->nobody_agreed = row.n_stages == 0;
	act_as_author(a, op, &row);
	return OK;
}

enum code gate_open(struct apply *a, struct outcome *out, struct err *err)
{
	struct op op;
	uint8_t type;
	enum code rc;

	if (a->ops.n == 0 || a->head->version < VERSION_GATE ||
	    rd_left(&a->ops.rd) == 0)
		return OK;
	type = *a->ops.rd.p;
	if (type != OP_EXECUTE && type != OP_PLAN_PUT)
		return OK;
	if (a->ops.n != 1)
		return err_set(err, E_INVALID, "a plan is put or executed by a "
			       "command of its own");
	rc = command_next(a->keep, &a->ops, &op, err);
	if (rc == OK)
		rc = permission_check(&a->cmd->subject, op_verb(&op),
				      &(struct target){ .kind = op.kind,
							.tenant = op.tenant,
							.name = op.name }, err);
	if (rc)
		return rc;
	return type == OP_EXECUTE ? open_execute(a, &op, out, err) :
				    open_put(a, &op, err);
}

/* ---- what becomes of a command ---- */

void gate_walk(struct apply *a, enum gate_verdict verdict)
{
	walk_start(a, verdict == GATE_BREAK ? WALK_GLASS : WALK_PROPOSE);
}

enum code gate_walk_on(struct apply *a, struct outcome *out, struct err *err)
{
	struct gate *g = a->gate;
	bool more = false;
	enum code rc = walk_go_on(a, &more, err);

	if (rc || more)
		return rc;
	a->step = APPLY_IDLE;
	if (g->walk.what == WALK_PUT)
		return end_put(a, out, err);
	rc = proposal_make(a, out, err);
	if (rc || g->walk.what != WALK_GLASS)
		return rc;
	buf_reset(&g->proposal);
	buf_str(&g->proposal, buf_view(&g->walk.name));
	a->ops = g->start;
	moved_start(a);
	g->mode = GATE_GLASS;
	a->step = APPLY_OPS;
	return OK;
}

enum code gate_executed(struct apply *a, struct outcome *out, struct err *err)
{
	if (a->gate->mode != GATE_PROPOSAL && a->gate->mode != GATE_GLASS)
		return OK;
	return proposal_executed(a, out, err);
}

/* What time, or somebody, will change; then it is tried again until it expires. */
static bool is_passing(enum code rc)
{
	return rc == E_FROZEN || rc == E_LOCKED || rc == E_QUOTA;
}

bool gate_refused(struct apply *a, enum code rc, struct outcome *out,
		  struct err *err)
{
	if (a->gate->mode != GATE_PROPOSAL || is_passing(rc))
		return false;
	/* In words it is in no row: for the log of the leader. */
	str_copy(out->text, sizeof(out->text), str_of(err->text));
	return proposal_failed(a, out, rc, err) == OK;
}

bool gate_is_permitted(const struct apply *a)
{
	return a->gate->mode == GATE_PROPOSAL;
}

bool gate_is_broken(const struct apply *a)
{
	return a->gate->mode == GATE_GLASS;
}
