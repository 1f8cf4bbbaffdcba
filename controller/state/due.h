/*
 * What time does (table DUE: time, what, tenant 0 name): a TICK command takes rows
 * whose time has come, a slice at a time, and the leader proposes one when the first
 * is due.  So each kind of row is taken by a TICK, whatever comes of it, or the
 * leader would propose for ever: what only the leader waits for is no row of this.
 */
#ifndef STATE_DUE_H
#define STATE_DUE_H

#include "state/apply.h"

/* Numbers are in keys: append only. */
enum due_what {
	DUE_EXPIRE = 1,                  /* a proposal's time is over */
	DUE_CLEAR = 2,                   /* what it kept of its plan goes; value: how far */
	DUE_PLAN = 3,                    /* a plan's time is over (name: digest) */
	DUE_TENANT = 4,                  /* it was deleted: what it had goes; value: how far */
};

void due_put(struct apply *a, uint64_t time_ms, enum due_what what,
	     struct str tenant, struct str name);
void due_del(struct apply *a, uint64_t time_ms, enum due_what what,
	     struct str tenant, struct str name);
/* A slice of what is due; of a TICK. */
void due_tick(struct apply *a);
/*
 * The tenant is deleted: its plans, proposals, locks and releases go with it.  There may
 * be hundreds of MiB of these, so what is more than a slice is left to ticks.  Until
 * they are done it counts as leaving: nothing there can be moved, and none of its name is
 * made anew.
 */
void tenant_leave(struct apply *a, struct str tenant);
bool tenant_is_leaving(struct apply *a, struct str tenant);
/* E_NOT_FOUND: it is. */
enum code tenant_check_stays(struct apply *a, struct str tenant, struct err *err) MUST_USE;
/* At most '*left' rows below the prefix go; true: there is none. */
bool due_remove_below(struct apply *a, enum kv_table table, struct str prefix,
		      unsigned *left);
/* When the first of all is due; false: none. */
bool due_first(struct kv_txn *txn, uint64_t *time_ms);

#endif
