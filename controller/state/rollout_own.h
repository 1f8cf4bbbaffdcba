/*
 * What the files of releases in apply share (rollout.c, rollout_choice.c, rollout_hold.c):
 * what a command releases, and how.  See rollout.h.
 */
#ifndef STATE_ROLLOUT_OWN_H
#define STATE_ROLLOUT_OWN_H

#include "state/rollout.h"

/* A release policy of the tenant. */
struct candidate {
	struct str name, spec;
	uint64_t rev;
	struct strategy is;
};

/* Those of one tenant, as they were before the command; see rollout_policies.c. */
struct policies {
	struct arena *arena;             /* of what follows */
	struct str tenant;
	struct candidate *v;
	size_t n, cap;
	struct buf next;                 /* key that is not read yet */
	bool is_whole;
	bool is_stale;                   /* one was written since, or may have been */
};

struct numbers {
	uint64_t *v;
	size_t n, cap;
};

/* A release that lost configurations, because they were deleted, or moved beside
 * others. */
struct forgotten {
	struct str tenant;
	uint64_t number;
	bool was_connected;              /* by one of them, to another */
	struct rollout_config *configs;  /* of one that moved, as it had them before, */
	size_t n_configs, cap_configs;   /* and of those that gave way to it */
	bool is_settled;
};

struct beside_slices;

struct releasing {
	/* ---- the choice ---- */
	bool is_chosen;                  /* asked, for this command */
	bool is_loaded;                  /* 'policies' are */
	bool is_there;
	struct op_reader ops;
	bool has_ops;                    /* 'ops' has begun */
	struct str tenant;
	const struct candidate *best;    /* of 'policies'; NULL: none */
	struct numbers near;             /* open releases that it may supersede */
	struct numbers held;             /* whose holds it may lift */
	size_t next_near, next_held;     /* to look at */

	/* ---- the operations ---- */
	struct rollout_config *list;     /* that goes out in steps */
	size_t n, cap;
	struct numbers ending;           /* open releases that end */
	struct numbers lifting;          /* that hold nothing any more */
	struct map *touched;             /* configurations that were spoken of */
	struct rollout_row begun;        /* what becomes of it */
	bool has_begun;

	/* ---- what was deleted, and what moved (rollout_forget.c) ---- */
	bool may_put_off;                /* operations run: what moves is settled behind */
	struct forgotten **forgotten;
	size_t n_forgotten, cap_forgotten;
	struct map *forgotten_at;        /* tenant 0 number -> itself; NULL: none */
	size_t next_row, next_group;     /* to be written, and settled */
	struct beside_slices *slices;    /* of that group, under way */

	struct policies *policies;       /* stay over commands */
	struct arena *arena;             /* of the command */
	struct arena *scratch;           /* of one operation of the choice */
};

/* Once each. */
void releasing_note(struct releasing *r, struct numbers *to, uint64_t number);
/* Goes out with the command no more. */
void releasing_drop(struct releasing *r, struct str config);
/* Those of the open releases below 'prefix'. */
void releasing_note_all(struct apply *a, struct numbers *to, struct str prefix);
/* As rollout_load. */
enum code rollout_load_number(struct apply *a, struct arena *arena, struct str tenant,
			      uint64_t number, struct rollout_row *row,
			      struct err *err) MUST_USE;

/* ---- rollout_hold.c ---- */
/* What it had there is held, or beside what a source brought since. */
void releasing_hold(struct apply *a, struct str tenant, struct thing *t,
		    const struct rollout_row *row, const struct rollout_config *c);
/* Releases that turned back there since it was changed. */
void releasing_note_holds(struct apply *a, struct numbers *to, struct str tenant,
			  const struct live_row *live);
/* But the one whose content is held. */
void releasing_note_back(struct apply *a, struct numbers *to, struct str tenant,
			 struct str config);

/* ---- rollout_policies.c ---- */
struct policies *policies_new(void);
void policies_free(struct policies **policies);
/* Those of a->releasing->tenant, as long as a->units last; '*done' false: goes on.  Before
 * the command has written anything. */
enum code policies_load(struct apply *a, bool *done, struct err *err) MUST_USE;

/* ---- rollout_forget.c ---- */
void releasing_forget_start(struct releasing *r);
/* NULL: this command has taken no configuration from it. */
struct forgotten *releasing_forgotten(const struct apply *a, struct str tenant,
				      uint64_t number);
/* It has moved, and was not alone: rules that releases have for each other follow, there
 * and at all that is connected, behind the operations. */
void releasing_settle_later(struct apply *a, struct str tenant,
			    const struct rollout_row *row);
/* With the release 'number' what is connected to 'row', which gives way to it. */
void releasing_settle_with(struct apply *a, struct str tenant, uint64_t number,
			   const struct rollout_row *row);

#endif
