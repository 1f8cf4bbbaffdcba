/*
 * Ways back: what everybody had once, and where one leads.
 *
 * The row of a version says whether the default rule ever served it ("was live"), so
 * that it passed the gate and all steps, and whether somebody turned it back since.
 * A ROLLBACK to what was live is a way back, which nothing holds.  One to anything else
 * brings something new, and is a publish to the gate and to release policies; so are
 * rules that newly name such a version.
 *
 * Of cluster version VERSION_GATE on; before, all counts as having been live.
 */
#ifndef STATE_WAY_BACK_H
#define STATE_WAY_BACK_H

#include "kv/kv.h"
#include "state/rows.h"

struct apply;

/* ---- questions; any thread, with a transaction of its own ---- */

/* False too where there is no such version. */
bool version_was_live(struct kv_txn *txn, struct str tenant, struct uuid uid,
		      uint32_t version);
/*
 * Does the operation serve what its configuration never served to all: ROLLBACK to
 * such a version, or rules of which one that is not there yet names one?  'added': the
 * version that the command added before, which rules may call 0; 0: not known, and
 * then it counts as new.
 */
bool op_brings_new(struct kv_txn *txn, struct arena *arena, const struct op *op,
		   uint32_t added);
/*
 * Where a way back leads from version 'from' that names none; 0: nowhere.  The version
 * that was live before, else the next older number that was; never content that is
 * held or was turned back, nor the same as now.
 */
uint32_t way_back(struct kv_txn *txn, struct arena *arena, struct str tenant,
		  const struct live_row *live, uint32_t from);

/* ---- in apply: deterministic, core loop ---- */

/* It is served by the default rule from now on; whoever turned it back meant it
 * otherwise then. */
void version_mark_live(struct apply *a, struct str tenant, struct uuid uid,
		       uint32_t version);
/* It was turned back. */
void version_mark_back(struct apply *a, struct str tenant, struct uuid uid,
		       uint32_t version);
/* Somebody wants that content by its name: no version with it counts as turned back.
 * True: one did. */
bool version_unmark(struct apply *a, struct str tenant, struct uuid uid,
		    const struct sha256 *sha);

#endif
