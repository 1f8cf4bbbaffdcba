/*
 * The gate in apply (docs/releases.md): what a command changes of configurations is
 * noted while its operations run; then the gate judges all of it.  Where approval is
 * wanted, everything is taken back, the operations are kept as a plan, and a
 * proposal is made in their place.
 *
 *	operations run, each change noted --> judged --> go on
 *	                                         |-----> frozen: refused
 *	                                         \-----> taken back, walked again: digest,
 *	                                                 bases, locks; a proposal
 *
 * So what is proposed could have happened as it stands, and what changes nothing
 * needs nobody's approval.  Policies count as they were when the command began.
 * Deterministic; core loop.
 */
#ifndef STATE_GATE_H
#define STATE_GATE_H

#include "model/policy.h"
#include "state/apply.h"

/* Objects of a tenant that the gate, releases or the outbox look at, all together:
 * the one look that a tenant without any pays. */
#define COUNT_POLICIES ((enum kind_id)254)
/* Plans that no proposal names, and the bytes of their bodies. */
#define COUNT_PLANS ((enum kind_id)253)
#define COUNT_PLAN_BYTES ((enum kind_id)252)
/* Reviews of broken glasses that nobody has closed. */
#define COUNT_REVIEWS ((enum kind_id)250)

/* ---- for apply.c ---- */

enum gate_verdict {
	GATE_GO,
	GATE_PROPOSE,                    /* it waits: for people, or its time */
	GATE_BREAK,                      /* the glass: proposed, and done */
};

/* A match costs a fraction of an operation. */
#define MATCHES_A_UNIT 64
/* Of a tenant, of each kind of policy and of windows: all are looked at together. */
#define POLICIES_MAX 500

struct gate *gate_new(void);
void gate_free(struct gate **gate);
/* What was read of policies is no more what the store holds. */
void gate_forget(struct apply *a);
/* Before each command: what the one before wrote counts, in the same batch or not. */
void gate_refresh(struct apply *a);
/* Begins a command whose operations are 'a->ops'. */
void gate_start(struct apply *a);
/* Around each operation; behind it only where it changed something.  E_CORRUPT. */
enum code gate_before(struct apply *a, const struct op *op,
		      struct err *err) MUST_USE;
/* Of a plan that is executed: where its bases are what they were, a step of a release
 * since the revision that it expects is in nobody's way. */
void gate_expects(struct apply *a, struct op *op);
enum code gate_after(struct apply *a, const struct op *op,
		     struct err *err) MUST_USE;
/* It was refused: 'action' as the audit calls it. */
void gate_failed(struct apply *a, const struct op *op, const char *action);
/* What goes with what an operation deleted is looked at, before the next one. */
bool gate_has_more(const struct apply *a);
enum code gate_go_on(struct apply *a, struct err *err) MUST_USE;
/*
 * A configuration that no operation names goes out along with those (rollout.c): for
 * windows it is published.  'anew': it was turned back since people agreed to it, and
 * policies are asked once more.
 */
enum code gate_along(struct apply *a, struct str tenant, struct str config, bool anew,
		     struct err *err) MUST_USE;
/* All of them are done, and what goes along is there.  E_FROZEN, E_DENIED. */
enum code gate_judge(struct apply *a, enum gate_verdict *out,
		     struct err *err) MUST_USE;
/* Who commands is still who he was when his command was made: his token is there,
 * and has not ended.  E_UNAUTHORIZED. */
enum code gate_subject(struct apply *a, struct err *err) MUST_USE;

/* The command is one PLAN_PUT or EXECUTE, or neither: then the next two do nothing
 * of theirs.  Opens what it names in its place. */
enum code gate_open(struct apply *a, struct outcome *out,
		    struct err *err) MUST_USE;
/* What was done is taken back, and is walked over for a proposal. */
void gate_walk(struct apply *a, enum gate_verdict verdict);
/* Goes on with a walk, until step is no more APPLY_WALK: then the command is at its
 * end, or runs once more (APPLY_OPS, behind the broken glass). */
enum code gate_walk_on(struct apply *a, struct outcome *out,
		       struct err *err) MUST_USE;
/* At the end of the transaction of an execution: its proposal says so. */
enum code gate_executed(struct apply *a, struct outcome *out,
			struct err *err) MUST_USE;
/*
 * Of each event of a command: what an open proposal was computed from is another now.
 * At the command's end such a proposal ends as Stale, whatever was agreed to: what
 * people saw is no more what there is.  A command without objects that anything waits
 * for pays one look at the table of locks.
 */
void gate_moved(struct apply *a, uint64_t rev, const struct event_row *event);
/* What was noted did not happen. */
void gate_unmoved(struct apply *a);
/* Ends them, as many as fit into the slice; false: there are more. */
bool gate_settle(struct apply *a);
/* The command was refused with 'rc', and is taken back.  True: that is what came of
 * a proposal, which is to be written. */
bool gate_refused(struct apply *a, enum code rc, struct outcome *out,
		  struct err *err);
/* May the author of what runs do it was asked when it was proposed? */
bool gate_is_permitted(const struct apply *a);
/* Runs once more behind the broken glass: then it goes out at once. */
bool gate_is_broken(const struct apply *a);

/* ---- for others ---- */

/* Would a policy want approval of it?  'before', 'after': it selects the
 * configuration as it was, as it is. */
bool gate_policy_wants(const struct approval *p, enum gate_action action,
		       bool formatting_only, bool before, bool after);
/* E_FROZEN, with window, owner, end and reason. */
enum code gate_frozen_by(const struct window *w, struct str name, uint64_t now_ms,
			 struct err *err);

/* Has the tenant policies, windows or webhooks?  Answered from memory where it is
 * asked for the same tenant again. */
bool gate_is_there(struct apply *a, struct str tenant);

/*
 * Do windows of the tenant hold `what` (enum window_blocks, any of them) of this
 * configuration now?  E_FROZEN names window, owner, reason and end.  For steps of
 * releases; ways back do not ask.
 */
enum code gate_window_check(struct apply *a, struct str tenant, struct str config,
			    unsigned what, struct err *err) MUST_USE;

#endif
