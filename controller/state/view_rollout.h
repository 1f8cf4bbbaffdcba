/*
 * Views of releases that go out in steps.  As view.h: any thread, each with a
 * transaction of its own; strings borrow from the map.
 */
#ifndef STATE_VIEW_ROLLOUT_H
#define STATE_VIEW_ROLLOUT_H

#include "state/rollout_row.h"
#include "state/view.h"

/* One that can still move: open, or Completed and to be turned back.
 * E_NOT_FOUND: there is none of that name, or it is over. */
enum code view_rollout(struct kv_txn *txn, struct arena *arena,
		       struct str tenant, struct str name,
		       struct rollout_row *out, struct err *err) MUST_USE;
/* Of all tenants, by tenant and name, until 'each' answers false.  'row' is in 'arena',
 * which 'each' may reset. */
typedef bool view_each_rollout(void *data, struct str tenant, struct str name,
			       const struct rollout_row *row);
enum code view_rollouts(struct kv_txn *txn, struct arena *arena,
			view_each_rollout *each, void *data,
			struct err *err) MUST_USE;
/* Is it open: queued, or going out? */
bool view_rollout_is_open(struct kv_txn *txn, struct str tenant, struct str name);
/* The newest open release of 'author' ("source:acme/shop") that brings 'commit'; false:
 * there is none.  'name' is in 'arena'. */
bool view_rollout_of_commit(struct kv_txn *txn, struct arena *arena,
			    struct str tenant, struct str author,
			    struct str commit, struct str *name);
/* The newest open release at a configuration; false: none. */
bool view_releasing(struct kv_txn *txn, struct str tenant, struct str config,
		    struct releasing_at *out);
/* Does a release that turned back hold the content of a configuration yet? */
bool view_release_holds(struct kv_txn *txn, struct str tenant, struct str name);
/* One that is QUEUED: is an older one of its groups still open? */
bool view_rollout_is_blocked(struct kv_txn *txn, struct str tenant,
			     const struct rollout_row *row);
/* What rollout_decide asks for. */
void rollout_facts_of(struct kv_txn *txn, struct str tenant,
		      const struct rollout_row *row, struct rollout_facts *out);

#endif
