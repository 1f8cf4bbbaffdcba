/*
 * What is known of the instances of a release's step, added up: what its
 * conditions are decided from (model/rollout.h).  fleet/tally.h makes it of what
 * nodes report; the leader alone has one, and a new leader gathers it anew.
 *
 * A step's cohort are the instances that were connected and that its rules picked
 * when it began; how many, MOVE_STEP_BEGUN recorded ('expected').  'known' counts
 * those that were heard of, the deferred ones too; until it has come to 'expected'
 * too little is known to say that a condition is met, while rejections may fail it
 * at once.  Nor is it while one is 'doubtful': what is known of it says lost, deferred or
 * rejected, and it counts as pending, because a node may know better.
 *
 * 'total' is what shares are of: those of the cohort, and of those that came later
 * the ones that said something.  It is at least expected - deferred, so what was
 * never heard of counts as having said nothing.  Each instance is in one of
 * applied, rejected, lost and pending at most; applied + rejected + lost <= total.
 *
 * Pure; any thread.
 */
#ifndef MODEL_TALLY_H
#define MODEL_TALLY_H

#include "base/str.h"

/* What an outside system said of a step (a query of Prometheus, a webhook). */
enum verdict {
	VERDICT_UNKNOWN,                 /* not asked yet, it did not answer, or it
					    says that it waits */
	VERDICT_MET,
	VERDICT_FAILED,
};

#define TALLY_QUERIES_MAX 10             /* conditions.prometheus */

struct tally {
	uint64_t expected;
	uint64_t known;
	uint64_t deferred;               /* left before the version was sent */
	uint64_t doubtful;               /* a node that was not heard may know better */
	uint64_t total;
	uint64_t sent;                   /* of total: were sent it */
	uint64_t received;               /* of these: said so, or more */
	uint64_t applied, rejected;
	uint64_t lost;                   /* were sent it, left, and are not back */
	uint64_t pending;                /* connected, or left a moment ago */
	/* Earliest time at which one that left a moment ago is lost (as 'now' of
	 * who adds up); 0: none is. */
	uint64_t next_lost_ms;
	/* The first that rejected it, and why; may be empty. */
	struct str instance, reason;
	/* conditions.prometheus in their order, and conditions.webhook, with what
	 * there is to say of the last that failed. */
	enum verdict queries[TALLY_QUERIES_MAX];
	enum verdict webhook;
	struct str verdict_reason;
};

static inline bool tally_is_gathered(const struct tally *t)
{
	return t->known >= t->expected && !t->doubtful;
}

#endif
