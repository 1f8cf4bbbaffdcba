/*
 * Releases that go out in steps: the phases, which moves are allowed between them,
 * and what is to be done next (docs/releases.md, "Releases").
 *
 *	Queued -> Progressing <-> Paused -> Completed -> (RolledBack, within keepPrevious)
 *	                   \------------\-----> RolledBack | Aborted | Superseded
 *
 * Pure; any thread.
 */
#ifndef MODEL_ROLLOUT_H
#define MODEL_ROLLOUT_H

#include "model/strategy.h"

/* Numbers are in rows: append only. */
enum rollout_phase {
	ROLLOUT_QUEUED = 1,
	ROLLOUT_PROGRESSING = 2,
	ROLLOUT_PAUSED = 3,
	ROLLOUT_COMPLETED = 4,
	ROLLOUT_ROLLED_BACK = 5,
	ROLLOUT_ABORTED = 6,
	ROLLOUT_SUPERSEDED = 7,
	ROLLOUT__END
};
const char *rollout_phase_name(enum rollout_phase phase);   /* "Progressing" */
/* Its rules are at its configurations. */
bool rollout_is_out(enum rollout_phase phase);
/* Queued, or its rules are out: it may still get somewhere. */
bool rollout_is_open(enum rollout_phase phase);

/* What moves a release.  In the log: append only. */
enum release_move {
	MOVE_START = 1,                  /* out of the queue */
	MOVE_STEP_BEGUN = 2,             /* 'count': instances in the step's cohort */
	MOVE_ADVANCE = 3,                /* the next step; behind the last: completed */
	MOVE_PROMOTE = 4,                /* somebody says so: over a manual pause; of
					    blue-green the switch */
	MOVE_PROMOTE_FULL = 5,           /* to the end, past what steps are left */
	MOVE_PAUSE = 6,
	MOVE_RESUME = 7,
	MOVE_ROLLBACK = 8,               /* all back, with a hold */
	MOVE_ABORT = 9,                  /* all back, without */
	MOVE_FORGET = 10,                /* keepPrevious is over */
	MOVE_MET = 11,                   /* the step's conditions are met from now on;
					    'count': ms that they were before */
	MOVE_UNMET = 12,                 /* they are not any more; 'count' as well */
	MOVE__END
};

/*
 * Where 'move' leads from 'phase', with 'step' of 'steps' (from 0) current; 0: it is not
 * allowed.  FORGET leads to COMPLETED: the phase stays, and there is nothing more to
 * move.
 */
enum rollout_phase rollout_next(enum rollout_phase phase, enum release_move move,
				size_t step, size_t steps);
static inline bool rollout_may(enum rollout_phase phase, enum release_move move)
{
	return rollout_next(phase, move, 0, 1) != 0;
}

/* ---- what is to be done next: for the leader ---- */

/* What the state says of one that can move. */
struct rollout_facts {
	enum rollout_phase phase;
	size_t step;
	bool is_begun;                   /* MOVE_STEP_BEGUN was, for this step */
	bool is_blocked;                 /* QUEUED: another of its group is out */
	uint64_t step_ms;                /* when the step began */
	uint64_t paused_ms;              /* how long it was paused since */
	uint64_t met_ms;                 /* conditions are met since; 0: they are not */
	uint64_t baked_ms;               /* and were so long before that */
	uint64_t completed_ms;
};

/*
 * What the leader remembers of a step while it leads; zeros when it begins to look
 * at one.  Another leader goes on from what MOVE_MET and MOVE_UNMET recorded: where
 * conditions were met, and are when it has heard of the instances, they were met in
 * between.  What it does not know yet undoes nothing for as long as nodes may take to
 * report (ROLLOUT_GATHER_MS).
 */
struct rollout_watch {
	uint64_t began_ms;               /* first look */
	uint64_t looked_ms;              /* last look */
	uint64_t baked_ms;               /* conditions were met so long, on end apart
					    from when nobody knew */
	uint64_t noted_ms;               /* the last MOVE_MET */
	bool was_met;
	bool inherits;                   /* was_met is of a leader before */
};
/* What a new leader gets to hear of the instances before it says that a step took too
 * long, or that its conditions are not met any more. */
#define ROLLOUT_GATHER_MS 30000u

enum condition {
	CONDITION_UNKNOWN,
	CONDITION_MET,
	CONDITION_FAILED,
};

struct rollout_decision {
	enum release_move move;          /* 0: none */
	enum condition condition;        /* of all together */
	uint64_t baked_ms;               /* of MET and UNMET */
	uint64_t late_ms;                /* when the step's timeout ends it; 0: none does */
	/* When to look again where nothing changes until then, in ms of 'now';
	 * 0: only a change, or somebody, moves it. */
	uint64_t due_ms;
	char reason[300];                /* of a way back or a pause; what it waits for */
};

/*
 * Decides on the conditions of the current step alone: rejections and lost ones
 * fail it at once, what is not known is unknown.  'reason' says which.
 */
enum condition rollout_condition(const struct strategy *s, const struct tally *t,
				 char reason[300]);
/* What is to be done at 'now_ms' (cluster time).  Moves of windows and of people are
 * not its business. */
void rollout_decide(const struct strategy *s, const struct rollout_facts *facts,
		    const struct tally *tally, uint64_t now_ms,
		    struct rollout_watch *watch, struct rollout_decision *out);

#endif
