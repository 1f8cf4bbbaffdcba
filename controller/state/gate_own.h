/* What the files of the gate share (gate*.c, proposal.c, due.c): see gate.h. */
#ifndef STATE_GATE_OWN_H
#define STATE_GATE_OWN_H

#include "state/due.h"
#include "state/gate.h"
#include "state/view_gate.h"

struct gate_policy {
	struct str name;
	uint64_t rev;
	struct approval is;
	bool selects;                    /* something that the command changes */
	bool wants;                      /* approval of it */
	bool wants_along;                /* of what only goes along */
};

struct gate_window {
	struct str name;
	struct window is;
	bool holds;                      /* something that the command changes, now */
	struct str along;                /* that, where it only goes along; else empty */
};

/* How the operations that run are looked at. */
enum gate_mode {
	GATE_COMMAND,                    /* a command as it came */
	GATE_PLAN,                       /* a plan's, for who executes it */
	GATE_PROPOSAL,                   /* an approved proposal's */
	GATE_GLASS,                      /* once more, behind the broken glass */
};

enum gate_walk_for {
	WALK_PROPOSE,
	WALK_GLASS,
	WALK_PUT,                        /* a plan is kept */
};

/* What goes with a source, of which there may be as much as a tenant can have: a part of
 * it after another is looked at, in as many slices as that takes. */
struct gate_owned {
	bool is_on;
	struct buf tenant, source;
	struct buf after;                /* the configuration that was looked at last */
};

/* Operations are walked over, none happens: digest, bases, references, locks. */
struct gate_walk {
	enum gate_walk_for what;
	struct command inner;            /* of WALK_PUT: the plan's */
	struct str encoded;              /* of WALK_PUT: the same */
	struct op_reader ops, start;     /* of it */
	struct sha256 wanted;            /* WALK_PUT: its digest must be that */
	struct sha256_ctx *digest;
	struct buf bases;
	struct buf tenant, name;         /* of the proposal */
	struct gate_owned owned;         /* of the operation that was walked over last */
	size_t n_owned;                  /* with all sources that it deletes */
	struct rd along;                 /* WALK_PROPOSE: what goes along, left to walk over */
	size_t n_along;
	struct arena *arena;             /* of what follows */
	struct proposal_config *configs;
	size_t n_configs, cap_configs;
	uint64_t count;
	uint64_t content;                /* bytes that it holds */
	struct proposal_authors authors;
	size_t cap_authors;
	struct str *conflicts;           /* open proposals on the same configurations */
	size_t n_conflicts, cap_conflicts;
	bool are_more;                   /* conflicts */
};

/* What moved under one that is open. */
struct gate_moved {
	struct str tenant, proposal;     /* in the arena of the batch */
	enum kind_id kind;
	struct str object;
	uint64_t rev;
};

struct gate {
	/* What is known of the tenant that was asked for last. */
	struct buf tenant;
	bool is_known, is_there, is_loaded;
	struct arena *arena;
	struct gate_policy *policies;    /* in the order in which their stages open */
	size_t n_policies;
	struct gate_window *windows;
	size_t n_windows;

	/* The command under way. */
	enum gate_mode mode;
	bool is_stale;                   /* it wrote policies */
	bool is_noted;                   /* it changed what the gate looks at */
	bool has_changed;                /* anything */
	struct buf of;                   /* the tenant of that */
	struct op_reader start;          /* its operations */
	struct buf along;                /* what goes along anew: lengths and names */
	size_t n_along;
	struct object_row before;        /* of the operation under way */
	bool has_before, is_watched;
	bool is_new;                     /* it brings what was never live */
	struct gate_owned owned;         /* by the source that was deleted last */
	struct buf body;                 /* the plan that is executed: its command, */
	struct buf bases_of;             /* and its bases */
	struct buf planner;              /* who made it */
	struct rd bases;
	struct sha256 digest;
	struct buf proposal;             /* that is executed */
	bool nobody_agreed;              /* to it: no policy asked for it then */
	enum proposal_failed_at failed_at;   /* where it was refused, if it was */
	struct buf failed_action, failed_object;
	struct gate_walk walk;

	/* Proposals under which it moved what they were computed from: each once, in
	 * the order in which they were met (gate_stale.c). */
	struct gate_moved *moved;
	size_t n_moved, cap_moved, next_moved;
	struct map *seen;                /* tenant 0 name; NULL: none */
	struct buf locks_of;             /* the tenant that was looked at last: */
	bool knows_locks, has_locks;     /* does anything wait there? */
};

/* Behind a broken glass nothing goes along, so nobody is asked of that. */
static inline bool policy_asks(const struct gate *g, const struct gate_policy *p)
{
	return p->wants || (p->wants_along && g->walk.what != WALK_GLASS);
}

/* ---- gate.c ---- */

/* The policies and windows of the tenant. */
enum code gate_load(struct apply *a, struct str tenant, struct err *err) MUST_USE;
struct gate_answer_flags {
	bool wants, holds;
	bool names;                      /* either, for what operations name */
};
struct gate_answer_flags gate_found(const struct gate *g);
/* "freeze window X of ann (sale) until ..." of the first that holds. */
enum code gate_frozen(struct apply *a, struct err *err);

/* ---- gate_prune.c ---- */
void owned_start(struct gate_owned *o, struct str tenant, struct str source);
void owned_fini(struct gate_owned *o);
/* The next part, with a->units for what it looks at; o->is_on: there is more.  Nothing is
 * written while 'each' is asked. */
enum code owned_next(struct apply *a, struct gate_owned *o, view_each_owned *each,
		     void *data, struct err *err) MUST_USE;

/* Deletes it a source, and so what that owns, where it prunes? */
static inline bool is_source_delete(const struct op *op)
{
	return op->type == OP_OBJECT_DELETE && op->kind == KIND_SOURCE;
}

/* ---- gate_walk.c ---- */
void walk_start(struct apply *a, enum gate_walk_for what);
/* 'more': the slice is over, and it goes on. */
enum code walk_go_on(struct apply *a, bool *more, struct err *err) MUST_USE;
/* At the end of one that proposes. */
/* Keeps the plan of the walk for 'proposal' (empty: for none).  Its digest in
 * '*digest'. */
enum code walk_keep(struct apply *a, struct str proposal,
		    const struct sha256 *digest, struct err *err) MUST_USE;
struct sha256 walk_digest(struct apply *a);
/* It is cleared, or was reviewed: it may go, if it is both by now. */
void proposal_index_cleared(struct apply *a, struct str tenant, struct str name,
			    const struct proposal_row *row);
/* Does no proposal hold it?  Then it counts for who planned it, and goes by its own time.
 * Not what is remembered alone, of which nothing is kept. */
bool plan_is_free(struct apply *a, struct str tenant, const struct plan_row *row);
/* A plan is no more one that no proposal holds. */
void plan_uncount(struct apply *a, struct str tenant, const struct plan_row *row);
/* E_NOT_FOUND. */
enum code plan_load(struct apply *a, struct str tenant,
		    const struct sha256 *digest, struct plan_row *out,
		    struct err *err) MUST_USE;

/* The tenant that the lock of what 'op' touches is kept under: a Tenant's is of
 * itself. */
struct str lock_tenant(const struct op *op);

/* ---- gate_stale.c ---- */
/* A command begins, or its operations run once more. */
void moved_start(struct apply *a);
void moved_fini(struct gate *g);

/* ---- proposal.c ---- */
enum code proposal_load(struct apply *a, struct str tenant, struct str name,
			struct proposal_row *out, struct err *err) MUST_USE;
/* Is there one of that name that is open? */
bool proposal_is_there(struct apply *a, struct str tenant, struct str name);
/* What came of it: moves it, with what belongs to that.  'by' and 'why' go to its
 * history. */
void proposal_move(struct apply *a, struct str tenant, struct str name,
		   struct proposal_row *row, enum proposal_phase to,
		   struct str by, struct str why);
/* Makes the proposal of the walk, or finds it. */
enum code proposal_make(struct apply *a, struct outcome *out, struct err *err);
/* The proposal that was executed, at the end of its transaction. */
enum code proposal_executed(struct apply *a, struct outcome *out,
			    struct err *err);
/* It could not be: after everything was taken back. */
enum code proposal_failed(struct apply *a, struct outcome *out,
			  enum code why, struct err *err);
/* With its object, which is told. */
void proposal_remove(struct apply *a, struct str tenant, struct str name,
		     const struct proposal_row *row);
/* Time is over. */
void proposal_expire(struct apply *a, struct str tenant, struct str name);
enum code apply_vote(struct apply *a, const struct op *op,
		     struct op_result *res, struct err *err);

/* ---- apply.c ---- */
/* For the audit record: "approve releaseproposal acme/p-1". */
void ap_target(struct apply *a, const char *action, enum kind_id kind,
	       struct str tenant, struct str name);
/* Takes back all that the command did so far, and goes on from there. */
void ap_anew(struct apply *a);

#endif
