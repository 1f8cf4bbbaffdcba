/*
 * Releases in apply (docs/releases.md): which policy a command follows, what goes out in
 * steps, what of before it ends, and the moves.
 *
 *	releasing_choose   before the operations: the release policy of the command
 *	releasing_touch    an operation brings a configuration something: what is open
 *	                   there ends; releasing_lift: what its release holds is lifted
 *	releasing_add      instead of the default rule: goes out in steps
 *	releasing_forget   a configuration is deleted; releasing_settle follows behind the
 *	                   operations
 *	releasing_conclude behind the operations: older releases are superseded, the new
 *	                   one begins
 *
 * A tenant without release policies, releases that can move and holds of these pays
 * one look at a counter.  Deterministic; core loop.
 */
#ifndef STATE_ROLLOUT_H
#define STATE_ROLLOUT_H

#include "state/outbox.h"
#include "state/rollout_row.h"
#include "state/thing.h"

/* In place of a kind: release policies of a tenant, releases that can move, and
 * configurations that a release holds. */
#define COUNT_RELEASING ((enum kind_id)251)
#define QUEUED_MAX 100                   /* behind one that is out */
#define STEP_ANY UINT32_MAX              /* of OP_RELEASE_MOVE: whatever the step */

/* As that: bytes of the specs of release policies. */
#define COUNT_POLICY_BYTES ((enum kind_id)249)
/* What each command may have to read, and to keep. */
#define POLICY_BYTES_MAX (4u << 20)

struct releasing *releasing_new(void);
void releasing_free(struct releasing **r);
/* Rows may be others than they were: another store is open, or a batch was lost. */
void releasing_forget_policies(struct apply *a);
/* Begins a command, or the same once more. */
void releasing_start(struct apply *a);
/* Asks which policy it follows; '*done' false: goes on in the next slice. */
enum code releasing_choose(struct apply *a, bool *done, struct err *err) MUST_USE;

/* ---- for operations ---- */

/* A ReleasePolicy is to have 'after' as its spec, and had 'before'.  E_QUOTA: those of the
 * tenant would be too large together. */
enum code releasing_policy(struct apply *a, struct str tenant, struct str before,
			   struct str after, struct err *err) MUST_USE;
bool releasing_is_there(const struct apply *a, struct str tenant);
/* Its policy lets nothing out at once. */
bool releasing_in_steps(const struct apply *a, struct str tenant);
/* Releases that are out are not ended by it: what goes back to what is live has to go
 * out as well, behind them. */
bool releasing_goes_beside(const struct apply *a, struct str tenant);
/* Does the newest open release at the configuration bring that content? */
bool releasing_brings(struct apply *a, struct str tenant, struct str config,
		      const struct sha256 *sha, uint32_t *version);
bool releasing_is_open(struct apply *a, struct str tenant, struct str config);
void releasing_touch(struct apply *a, const struct op *op);
/* It is changed: where a source does that, what its release holds goes out with it. */
void releasing_lift(struct apply *a, struct str tenant, const struct thing *t);
/* E_UNPROCESSABLE: more than ROLLOUT_CONFIGS_MAX. */
enum code releasing_add(struct apply *a, struct str tenant, struct str config,
			struct uuid uid, const struct version_row *v,
			struct err *err) MUST_USE;
/* Is it among what goes out in steps? */
bool releasing_is_listed(const struct apply *a, struct str config);
/* All open releases that touch the configuration end as 'phase'; '*n' of them. */
enum code releasing_end_at(struct apply *a, struct str tenant, struct str config,
			   enum rollout_phase phase, struct str why, size_t *n,
			   struct err *err) MUST_USE;
/* The configuration is deleted: it is in no open release from here on. */
void releasing_forget(struct apply *a, struct str tenant, const struct thing *t);
/* Behind the operations: rows of releases that lost something are written, and what
 * was connected by it is settled.  False: goes on in the next slice. */
bool releasing_settle(struct apply *a);
/* Operations run: what is beside a release that moves may wait for releasing_settle. */
void releasing_put_off(struct apply *a, bool may);
/* What the index says of its hold goes. */
void releasing_unhold(struct apply *a, struct str tenant, const struct thing *t);
void releasing_count(struct apply *a, struct str tenant, int64_t delta);
/* With the tenant goes what is left of its releases, as release_remove_some. */
bool releasing_remove_some(struct apply *a, struct str tenant, unsigned *left);

/* ---- for release.c ---- */

/* What the Release object of a release in steps says, and is to be called. */
struct rollout_row *releasing_begun(struct apply *a);
struct str releasing_strategy(const struct apply *a);
/* Behind the operations, before the gate judges: what goes along. */
enum code releasing_conclude(struct apply *a, struct err *err) MUST_USE;
/* Its object is written: now its rules, its row. */
enum code releasing_begin(struct apply *a, uint64_t number, struct uuid uid,
			  struct err *err) MUST_USE;

/* ---- operations ---- */

enum code apply_release_move(struct apply *a, const struct op *op,
			     struct op_result *res, struct err *err);
/* A version that nothing names; what is named by then is E_CONFLICT (collect.c). */
enum code apply_version_drop(struct apply *a, const struct op *op,
			     struct op_result *res, struct err *err);
enum code apply_hold_lift(struct apply *a, const struct op *op,
			  struct op_result *res, struct err *err);

/* ---- of one release (rollout_row.c, rollout_do.c) ---- */

/* Without what this command has deleted.  E_NOT_FOUND, E_PHASE: it is over. */
enum code rollout_load(struct apply *a, struct arena *arena, struct str tenant,
		       struct str name, struct rollout_row *out,
		       struct err *err) MUST_USE;
/* Writes the row, or removes it where it cannot move any more; and the status of
 * its object, with the event. */
void rollout_put(struct apply *a, struct str tenant, struct rollout_row *row);
/* The same, where all of its configurations are found by it already. */
void rollout_put_row(struct apply *a, struct str tenant,
		     const struct rollout_row *row);
/* An open one loses what this command has deleted; answers how many that were. */
size_t rollout_drop_deleted(struct apply *a, struct arena *arena, struct str tenant,
			    struct rollout_row *row);
void rollout_note(struct apply *a, struct arena *arena, struct rollout_row *row,
		  struct str action, struct str message);
void rollout_begin_step(struct apply *a, struct rollout_row *row, uint32_t step);
/* It has lost something.  Its step, if it is in one, was of instances that may be in it no
 * more, and as it is now none has had it. */
void rollout_begin_anew(struct apply *a, struct rollout_row *row);
/* False: it was deleted, or made anew, since; or '*rc'. */
bool rollout_load_config(struct apply *a, struct thing *t, struct str tenant,
			 const struct rollout_config *c, enum code *rc,
			 struct err *err);
/* Writes them, where they are others. */
void rollout_set_rules(struct apply *a, struct thing *t, struct str tenant,
		       struct str name, const struct rules *rules);
/* Its configurations get the rules of its step; older rules of it go.  'begins': its first.
 * E_UNPROCESSABLE: there would be too many, or too much of them (beside.h). */
enum code rollout_spread(struct apply *a, struct str tenant,
			 struct rollout_row *row, const struct strategy *s, bool begins,
			 struct err *err) MUST_USE;
enum rollout_back {
	BACK_PLAIN,
	BACK_HOLD,                       /* what Git manages is held */
	BACK_ALONE,                      /* and all rules but the default go */
};
/* Its rules go; where it was completed its defaults go back. */
enum code rollout_withdraw(struct apply *a, struct str tenant,
			   struct rollout_row *row, unsigned back,
			   struct err *err) MUST_USE;
/* It waited, and turns back with another: what Git manages is held. */
enum code rollout_hold(struct apply *a, struct str tenant, struct rollout_row *row,
		       struct err *err) MUST_USE;
/* Its versions become the defaults. */
enum code rollout_complete(struct apply *a, struct str tenant,
			   struct rollout_row *row, struct err *err) MUST_USE;
/* An open one has 'lost' no more, which is the row with these alone: a newer release is
 * completed there. */
enum code rollout_leave(struct apply *a, struct str tenant, struct rollout_row *lost,
			struct err *err) MUST_USE;
/* Open, and so found by configuration and group; or not any more. */
void rollout_index(struct apply *a, struct str tenant,
		   const struct rollout_row *row, bool is_open);
/* Completed, and so found by what it would turn back to; or not any more. */
void rollout_index_kept(struct apply *a, struct str tenant,
			const struct rollout_row *row, bool is_kept);
/* It ends, with what comes of that; 'phase' is ROLLED_BACK, ABORTED or SUPERSEDED. */
enum code rollout_end(struct apply *a, struct arena *arena, struct str tenant,
		      struct rollout_row *row, enum rollout_phase phase,
		      struct str why, struct err *err) MUST_USE;
/* With one that turned back: others that bring one of its configurations the same. */
enum code rollout_end_same(struct apply *a, struct arena *arena,
			   struct str tenant, const struct rollout_row *row,
			   struct err *err) MUST_USE;
/* Webhooks hear of it. */
void rollout_tell(struct apply *a, struct str tenant,
		  const struct rollout_row *row, enum notice notice);
/* Numbers of open releases below 'prefix', oldest first, into 'arena'. */
size_t rollout_numbers(struct apply *a, struct arena *arena, struct str prefix,
		       uint64_t **out);
/* The status of its object. */
void rollout_status_json(struct buf *out, const struct rollout_row *row,
			 size_t steps);

#endif
