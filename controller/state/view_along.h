/*
 * Views of what a command would release: by which policy, and what goes out along with
 * what it names.  The twin of the choice in apply (rollout_choice.c) and of what follows
 * it there (rollout.c); apply alone decides.
 */
#ifndef STATE_VIEW_ALONG_H
#define STATE_VIEW_ALONG_H

#include "model/address.h"
#include "state/command.h"
#include "state/plan.h"
#include "state/view.h"

/* Configurations beyond these are not looked at: no plan has so many. */
#define VIEW_RELEASED_MAX PLAN_OPS_MAX

/* A configuration that no operation names. */
struct view_along {
	struct str name;
	struct address at;
	struct str labels;
	bool anew;                       /* it was turned back: people are asked again */
};
struct view_released {
	struct str policy, strategy;     /* empty: no policy selects it, */
	size_t n_policies;               /* of as many as there are */
	size_t count;                    /* configurations that go out by operations */
	size_t first;                    /* of them those that nobody has yet */
	struct view_along *along;
	size_t n_along;
};
/* 'lifts': a source brings it, so that what a release holds goes out with the rest. */
enum code view_released(struct kv_txn *txn, struct arena *arena, struct str tenant,
			const struct op *ops, size_t n, bool lifts,
			struct view_released *out, struct err *err) MUST_USE;

#endif
