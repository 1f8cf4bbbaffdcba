/*
 * Policies of the gate: what an ApprovalPolicy and a FreezeWindow say, read out of
 * their specs (docs/releases.md).
 *
 * The schema let through what is read here.  What it would have refused has got in
 * past it, and closes: such a policy selects everything and wants an approval that
 * nobody can give, such a window is shut.  Pure; any thread.  Everything that is
 * read borrows from the arena and the value tree in it.
 */
#ifndef MODEL_POLICY_H
#define MODEL_POLICY_H

#include "model/select.h"

/* What is done to a configuration.  Bits of it are kept in rows: append only. */
enum gate_action {
	GATE_PUBLISH,                    /* a version that goes live */
	GATE_RULES,                      /* its rules are set */
	GATE_WRITE,                      /* the object is made, or changes */
	GATE_DELETE,
	GATE_ROLLBACK,
	GATE__ACTIONS
};
const char *gate_action_name(enum gate_action action);   /* "publish" */

/* Names of subjects and of groups, one of which somebody is to be. */
struct people {
	struct str *subjects, *groups;
	size_t n_subjects, n_groups;
};
/* 'groups' as groups_encode makes them. */
bool people_have(const struct people *p, struct str subject, struct str groups);

struct approval_stage {
	struct str name;                 /* may be empty */
	uint32_t required;
	struct people from;
};

struct approval {
	struct selector select;
	int64_t priority;
	unsigned actions;                /* bits of enum gate_action */
	bool formatting_only;            /* these need approval too */
	struct approval_stage *stages;
	size_t n_stages;
	uint64_t expires_ms;             /* from the making on */
	uint64_t start_ms;               /* 0: at once */
	bool supersedes;                 /* else a second proposal is refused */
	struct people glass;             /* who may break it; nobody where empty */
	bool is_broken;                  /* see above */
};
/* 'spec': JSON text. */
void approval_read(struct arena *arena, struct str spec, struct approval *out);

/* ---- windows ---- */

struct window_interval {
	uint64_t from_ms, to_ms;         /* from <= t < to */
};

enum window_blocks {
	WINDOW_PUBLISH = BIT(0),         /* new changes */
	WINDOW_STEPS = BIT(1),           /* steps and promotions */
};

struct window {
	struct selector select;
	struct str owner, reason;
	unsigned blocks;
	/* What it says: one of the two. */
	bool has_schedule;
	struct str cron, zone;
	uint64_t duration_ms;
	struct window_interval once;
	/* What the status says of a schedule: ascending, apart, and good up to
	 * computed_ms.  Of `once` the interval itself, for ever. */
	struct window_interval *intervals;
	size_t n_intervals;
	uint64_t computed_ms;            /* 0: never */
	uint64_t computed_at_ms;         /* when that was; 0: never */
	bool is_broken;
};
/* 'status' counts where it was computed for this very spec, whose digest it names. */
void window_read(struct arena *arena, struct str spec, struct str status,
		 struct window *out);
/* Is it shut at 'now_ms'?  '*until_ms' (may be NULL): when it opens, UINT64_MAX
 * where nobody knows, because it is broken or was not computed so far ahead. */
bool window_is_shut(const struct window *w, uint64_t now_ms, uint64_t *until_ms);
/* When it is shut next, or since when it is; false: not as far as is known. */
bool window_next(const struct window *w, uint64_t now_ms,
		 struct window_interval *out);
/* The status that window_read reads: canonical JSON, with `next` and `until`.  'spec'
 * is what it was computed for. */
void window_status(struct buf *out, const struct window_interval *intervals,
		   size_t n, uint64_t computed_ms, struct str spec,
		   uint64_t now_ms, struct str error);

#endif
