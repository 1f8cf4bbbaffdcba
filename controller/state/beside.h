/*
 * Releases that are out side by side (docs/releases.md, "Concurrency").
 *
 * Releases that share a configuration, directly or through others, are *connected*.
 * Of connected ones a client gets the newest that picks it and nothing of the others,
 * so that it never has parts of two.  A configuration decides that by its own rules:
 * so a newer release has its rules, with the version 0, also at the configurations of
 * the older ones that it is connected to and does not bring itself.
 *
 *	beside_find     before a change: the release and what it is connected to
 *	beside_settle   behind it: puts these rules where they are to be now, and
 *	                takes away those that are to be nowhere
 *
 * A release that is alone at its configurations pays one look at the index of each.
 * Deterministic; core loop.
 */
#ifndef STATE_BESIDE_H
#define STATE_BESIDE_H

#include "state/rollout.h"

/* Connected with each other; a release that would make it more is refused. */
#define BESIDE_RELEASES_MAX 32
#define BESIDE_CONFIGS_MAX 4000

struct beside;

/* '*out' is in 'arena'; NULL: it is alone.  'row' may not be in the state yet.
 * E_UNPROCESSABLE, where 'bounded': there are too many. */
enum code beside_find(struct apply *a, struct arena *arena, struct str tenant,
		      const struct rollout_row *row, bool bounded,
		      struct beside **out, struct err *err) MUST_USE;
/* One that is deleted: nothing is written there.  'beside' may be NULL. */
void beside_leave_out(struct beside *beside, struct str config);
/* 'row': as it is to be, where it is not in the state yet, or NULL; 'is_out' says
 * whether its rules are there. */
enum code beside_settle(struct apply *a, struct arena *arena, struct str tenant,
			const struct beside *beside, const struct rollout_row *row,
			bool is_out, struct err *err) MUST_USE;

#endif
