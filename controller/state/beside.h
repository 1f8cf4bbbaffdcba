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
 *	beside_slices   both at once, for what deletions left and moves change
 *	                (rollout_forget.c)
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
/* What the rules at all of them may take, encoded, once each is in its last step: a release
 * writes them in one operation, with an event of each that has them too, and a rule may name
 * a thousand instances.  What began is within it in all its steps. */
#define BESIDE_RULES_BYTES_MAX (64u << 20)

struct beside;

/* Are there no others at its configurations? */
bool beside_is_alone(struct apply *a, struct str tenant, const struct rollout_row *row);
/* '*out' is in 'arena'; NULL: it is alone.  'row' may not be in the state yet.
 * E_UNPROCESSABLE, where 'bounded': there are too many. */
enum code beside_find(struct apply *a, struct arena *arena, struct str tenant,
		      const struct rollout_row *row, bool bounded,
		      struct beside **out, struct err *err) MUST_USE;
/* 'beside' may be NULL.  'row': as it is to be, where it is not in the state yet;
 * 'is_out' says whether its rules are there. */
enum code beside_settle(struct apply *a, struct arena *arena, struct str tenant,
			struct beside *beside, const struct rollout_row *row,
			bool is_out, struct err *err) MUST_USE;

/* Bytes of the rules that the release has at a configuration in its last step, which has
 * those of all steps. */
size_t beside_weight(const struct strategy *s, const struct rollout_row *row);
/* Those of 'rules' that are of no release; further ones may be added to 'out'. */
void beside_of_people(struct arena *arena, const struct rules *rules, struct rules *out);
/* May a release write so many bytes of rules?  E_UNPROCESSABLE. */
enum code beside_check_bytes(size_t bytes, struct err *err) MUST_USE;

/* The same of the release 'number', 'configs' that it has or had, and what is connected to
 * these, in slices, behind the operations. */
struct beside_slices;
struct beside_slices *beside_slices_new(struct apply *a, struct str tenant,
					uint64_t number,
					const struct rollout_config *configs, size_t n);
void beside_slices_free(struct beside_slices **slices);
/* As long as a->units last; resets a->arena.  True: it is done, or 'err' says why no
 * more of it can be. */
bool beside_slices_go_on(struct beside_slices *slices, struct err *err);
/* All of them, once it is done; '*out' is as long there as 'slices'. */
size_t beside_slices_numbers(const struct beside_slices *slices,
			     const uint64_t **out);

#endif
