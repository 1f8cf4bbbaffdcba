/*
 * The operations that the gate and releases are moved by (docs/releases.md), each
 * of which a part of its own knows.  They are known from cluster version
 * VERSION_GATE on, and refused before.
 */
#include "state/gate_own.h"
#include "state/rollout.h"

#include "base/banned.h"

enum code apply_gate_op(struct apply *a, const struct op *op,
			struct op_result *res, struct err *err)
{
	if (a->head->version < VERSION_GATE) {
		err_set(err, E_NOT_YET, "the gate, releases in steps, webhooks and "
			"named subjects are there from cluster version %d on, and "
			"this cluster is at %llu", VERSION_GATE,
			(unsigned long long)a->head->version);
		return err_hint(err, VERSION_HINT);
	}
	if (tenant_check_stays(a, op->tenant, err))
		return E_NOT_FOUND;
	switch (op->type) {
	case OP_SUBJECT_PUT:
		return apply_subject_put(a, op, res, err);
	case OP_HOOK_KEY:
		return apply_hook_key(a, op, res, err);
	case OP_OUTBOX:
		return apply_outbox(a, op, res, err);
	case OP_VOTE:
		return apply_vote(a, op, res, err);
	case OP_PLAN_PUT:
	case OP_EXECUTE:
		return err_set(err, E_INVALID, "a plan is put or executed by a "
			       "command of its own");
	case OP_RELEASE_MOVE:
		return apply_release_move(a, op, res, err);
	case OP_VERSION_DROP:
		return apply_version_drop(a, op, res, err);
	case OP_HOLD_LIFT:
		return apply_hold_lift(a, op, res, err);
	default:
		return err_set(err, E_UNSUPPORTED, "operation %d", (int)op->type);
	}
}
