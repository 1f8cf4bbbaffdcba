/*
 * Releases of a source that turned back, and the branch that offers Git a way
 * back too (spec.revert of the source).  They are offered one after the other,
 * oldest first; the source's status says up to which (status.revert.release), so
 * nobody is asked twice.  Reads the store; any thread.
 */
#ifndef SOURCE_REVERTS_H
#define SOURCE_REVERTS_H

#include "doc/value.h"
#include "source/git.h"
#include "state/view.h"

struct revert_wish {
	struct str release;              /* name of the object */
	struct oid commit;
	struct str reason;               /* why it turned back */
};

/* The first that is newer than 'after' (a name; empty: any) and that 'subject'
 * ("source:ns/name") brought; false: there is none.  Strings are in 'arena'. */
bool reverts_next(struct kv_txn *txn, struct arena *arena, struct str tenant,
		  struct str subject, struct str after, struct revert_wish *out);
/* The newest release of 'subject' that brought 'commit' and turned back; false: none
 * did. */
bool reverts_of(struct kv_txn *txn, struct arena *arena, struct str tenant,
		struct str subject, const struct oid *commit,
		struct revert_wish *out);
/* spec.revert.branch for this one: {release} and {commit} are filled in. */
struct str reverts_branch(struct arena *arena, struct str pattern,
			  const struct revert_wish *wish);
/* The message of the commit. */
struct str reverts_message(struct arena *arena, struct str summary,
			   const struct revert_wish *wish);

/* A proposal that nobody waits for any more, and that did not become live. */
bool reverts_is_over(const struct object_row *row, struct arena *arena);

/* Whose work an object of the system is ("source:ns/name"), and whether its
 * source has something to do about it now: it turned back, or a proposal of it is
 * over.  False: nobody's, or nothing. */
bool reverts_concern(const struct event_row *event, struct arena *arena,
		     struct str *ns, struct str *name);

#endif
