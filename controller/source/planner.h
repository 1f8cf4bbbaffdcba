/*
 * Plans of commits that are not to be applied now: for `conflux plan --source`.  The
 * commit is fetched into a clone of its own, compared with what is live, and the
 * plan is kept in the state (docs/releases.md, "Plans"); its digest is the answer.
 * Executed, it makes live what a reconcile of that commit would, and the source says
 * so then.
 *
 * The leader's; of a tenant one at a time, as the tenants' turn comes, and the rest
 * waits.  Core loop.
 */
#ifndef SOURCE_PLANNER_H
#define SOURCE_PLANNER_H

#include "source/clones.h"
#include "source/source.h"
#include "source/seats.h"

#define PLANNER_QUEUE_MAX 100
/* Of one tenant. */
#define PLANNER_TENANT_MAX 25

struct planner;
/* 'seats' and 'clones' are shared with all other jobs.  'ended' is told of each job
 * that has ended. */
struct planner *planner_new(struct store *store, struct pool *pool,
			    const struct source_settings *settings,
			    struct seats *seats, struct clones *clones,
			    void (*ended)(void *data), void *data);
void planner_free(struct planner **planner);
/* Ends what runs and refuses what waits; true: nothing runs. */
bool planner_stop(struct planner *planner);

struct planner_ask {
	char tenant[64], name[254];
	char commit[41];                 /* empty: the newest */
	struct source_wait *wait;
};
/* Copies 'ask'; its wait is answered in any case. */
void planner_add(struct planner *planner, const struct planner_ask *ask);

#endif
