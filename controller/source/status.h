/*
 * The status of a ConfluxSource: what is read from it, and how a new one is
 * written.  Pure; any thread.
 *
 *	observedGeneration    of the spec that was reconciled last
 *	lastAppliedRevision   "main@sha1:<40 hex>" that is live
 *	lastAppliedGeneration of the spec that it was applied under
 *	lastAttemptedRevision that was looked at last
 *	previousRevision      that was live before it
 *	proposal              that the newest revision waits in
 *	revert                {release, branch, commit or error}: what was offered
 *	                      to Git last, after a release turned back
 *	lag                   from the commit being seen to its being live
 *	configs, ignoredFiles
 *	conditions            Ready, Reconciling, Stalled (kstatus)
 *
 * A status says when something changed, never when it was looked at: one that
 * would say the same is not written again.
 */
#ifndef SOURCE_STATUS_H
#define SOURCE_STATUS_H

#include "doc/value.h"
#include "source/git.h"

/* What the next job needs of the last one. */
struct status_read {
	uint64_t observed_generation;
	bool has_applied;
	struct oid applied;
	struct str applied_text;         /* borrows */
	struct str attempted_text, proposal, revert_release;
	bool has_previous;
	struct oid previous;
	uint64_t configs, ignored;
};
void status_parse(const struct value *status, struct status_read *out);

enum status_phase {
	STATUS_READY,                    /* what Git says is live */
	STATUS_RECONCILING,              /* being applied */
	STATUS_FAILING,                  /* will be tried again */
	STATUS_STALLED,                  /* only a change of commit or spec helps */
	STATUS_SUSPENDED,
	STATUS_WAITING,                  /* for people who must agree */
};

struct status_write {
	enum status_phase phase;
	const char *reason;              /* CamelCase */
	struct str message;
	uint64_t generation;
	struct str applied, attempted;   /* empty: as it was */
	bool has_counts;
	uint64_t configs, ignored;
	bool has_lag;
	uint64_t lag_ms;
	uint64_t applied_generation;     /* 0: as it was */
	bool keeps;                      /* conditions and proposal, as they were */
	/* Of the proposal it waits in; STATUS_WAITING alone, else there is none. */
	struct str proposal;
	/* What was offered to Git; empty: as it was. */
	struct str revert_release, revert_branch, revert_commit, revert_error;
};

/* Ready, and neither reconciling nor stalled. */
bool status_is_ready(const struct value *status);

/* The status after 'w' where 'before' (may be NULL) was; canonical JSON in
 * 'arena'. */
struct str status_text(struct arena *arena, const struct value *before,
		       const struct status_write *w, uint64_t now_ms);
/* "main@sha1:<hex>" */
struct str status_revision(struct arena *arena, struct str ref,
			   const struct oid *commit);

#endif
