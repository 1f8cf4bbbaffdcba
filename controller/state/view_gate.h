/*
 * Views of the gate: proposals, plans, and what the gate would say.  As view.h: any
 * thread, each with a transaction of its own; strings borrow from the map or the
 * arena.
 */
#ifndef STATE_VIEW_GATE_H
#define STATE_VIEW_GATE_H

#include "model/policy.h"
#include "state/plan.h"
#include "state/proposal_row.h"
#include "state/view.h"

/* E_NOT_FOUND. */
enum code view_proposal(struct kv_txn *txn, struct arena *arena,
			struct str tenant, struct str name,
			struct proposal_row *out, struct err *err) MUST_USE;
/* In the order of their names, which is that of their making, from behind 'after',
 * until 'each' answers false.  'row' is in 'arena'.  An empty tenant: of all
 * tenants; then 'after' is empty. */
typedef bool view_each_proposal(void *data, struct str tenant, struct str name,
				const struct proposal_row *row);
enum code view_proposals(struct kv_txn *txn, struct arena *arena,
			 struct str tenant, struct str after,
			 view_each_proposal *each, void *data,
			 struct err *err) MUST_USE;
/* The same, of which of each is known at first sight alone: cheap for all of them. */
typedef bool view_each_head(void *data, struct str tenant, struct str name,
			    enum proposal_phase phase, enum proposal_review review);
enum code view_proposal_heads(struct kv_txn *txn, struct str tenant,
			      view_each_head *each, void *data,
			      struct err *err) MUST_USE;
/* The open proposals that touch a configuration; false: none.  The first of them. */
bool view_lock(struct kv_txn *txn, struct arena *arena, struct str tenant,
	       struct str config, struct str *proposal);
/* Approved proposals of all tenants, in no order that matters. */
typedef bool view_each_approved(void *data, struct str tenant, struct str name,
				uint64_t not_before_ms);
void view_approved(struct kv_txn *txn, view_each_approved *each, void *data);

/* E_NOT_FOUND.  'body' may be NULL. */
enum code view_plan(struct kv_txn *txn, struct str tenant,
		    const struct sha256 *digest, struct plan_row *row,
		    struct plan_body *body, struct err *err) MUST_USE;

/* ---- what goes with a source ---- */

/*
 * With a ConfluxSource that prunes its configurations are deleted.  Who deletes it
 * deletes them, so this is what the gate, a plan and a proposal look at; the reconciler
 * does it afterwards.
 */
/* 'spec' of a source: does it prune? */
bool source_prunes(struct str spec);
/* The configurations that the source owns, in the order of their names, until 'each'
 * answers false.  'row' borrows, and nothing is written meanwhile. */
typedef bool view_each_owned(void *data, struct str name,
			     const struct object_row *row);
enum code view_owned(struct kv_txn *txn, struct str tenant, struct str source,
		     view_each_owned *each, void *data, struct err *err) MUST_USE;
/* The same from behind the configuration '*after' (empty: from the first), which it
 * sets: at most 'rows' configurations of the tenant are looked at.  '*more': there are
 * others behind them. */
enum code view_owned_part(struct kv_txn *txn, struct str tenant, struct str source,
			  struct buf *after, unsigned rows, bool *more,
			  view_each_owned *each, void *data,
			  struct err *err) MUST_USE;

/* ---- what the gate would say ---- */

/* A change of a configuration; labels as JSON text, empty where it is not there. */
struct gate_touch {
	enum gate_action action;
	bool formatting_only;
	/* No operation names it.  People are asked only where it is 'anew', windows
	 * always; behind a broken glass it does not go along. */
	bool is_along, anew;
	struct address at;
	struct str labels_before, labels_after;
};
struct gate_found_policy {
	struct str name;
	uint64_t rev;
	struct approval is;
};
struct gate_found_window {
	struct str name;
	struct window is;
	uint64_t until_ms;               /* UINT64_MAX: nobody knows */
};
struct gate_answer {
	/* That want approval, in the order in which their stages open. */
	struct gate_found_policy *policies;
	size_t n_policies;
	/* That are shut now. */
	struct gate_found_window *windows;
	size_t n_windows;
	bool may_break_glass;
};
/* All touches are of one tenant. */
enum code view_gate(struct kv_txn *txn, struct arena *arena, struct str tenant,
		    const struct gate_touch *touches, size_t n,
		    const struct subject *who, uint64_t now_ms,
		    struct gate_answer *out, struct err *err) MUST_USE;

#endif
