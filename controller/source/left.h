/*
 * What a deleted source leaves behind: live, and nobody's.
 *
 * Such an object is managed as if people had made it, so anybody may write it;
 * an annotation says which source left it in which state.  As long as that is
 * its state, a source whose repository names it may take it over; once
 * somebody has written it, it is theirs.  Pure, but for sweep_orphans.
 */
#ifndef SOURCE_LEFT_H
#define SOURCE_LEFT_H

#include "state/view_gate.h"

#define LEFT_ANNOTATION "gitops.conflux.io/left-by"

/* The object's `meta` with the mark in it. */
enum code left_meta(struct arena *arena, const struct object_view *object,
		    struct str *out, struct err *err) MUST_USE;
/* It bears a mark, and has not been written since. */
bool left_is(const struct object_view *object);

/* A source that is no more and still owns something. */
struct orphan {
	struct str tenant, name;
	struct uuid uid;                 /* zeros where that is forgotten */
	bool prunes;                     /* false where that is forgotten */
};
/*
 * Looks through all that Git manages for owners that do not exist.  Reads the
 * whole state: worker thread.  How they were is taken from the event of their
 * deletion, as long as that is kept.
 */
enum code sweep_orphans(struct kv_txn *txn, struct arena *arena,
			struct orphan **out, size_t *n, struct err *err) MUST_USE;
/* Does the ConfluxSource of a row's manager_ref ("source:ns/name") exist? */
bool source_exists(struct kv_txn *txn, struct str ref);

#endif
