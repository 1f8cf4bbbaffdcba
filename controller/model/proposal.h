/*
 * Proposals: how one moves, and whose votes it takes (docs/releases.md).  What a
 * policy said when the proposal was made is copied, so a later change of a policy
 * changes nothing here.  Pure; any thread.
 */
#ifndef MODEL_PROPOSAL_H
#define MODEL_PROPOSAL_H

#include "base/fsm.h"
#include "model/policy.h"

/* In rows: append only. */
enum proposal_phase {
	PROPOSAL_PENDING = 1,
	PROPOSAL_APPROVED = 2,
	PROPOSAL_EXECUTED = 3,
	PROPOSAL_REJECTED = 4,
	PROPOSAL_CANCELLED = 5,
	PROPOSAL_EXPIRED = 6,
	PROPOSAL_SUPERSEDED = 7,
	PROPOSAL_FAILED = 8,
	PROPOSAL_STALE = 9,              /* what it touches has moved */
	PROPOSAL__END
};
const char *proposal_phase_name(enum proposal_phase phase);      /* "Pending" */
bool proposal_phase_parse(struct str name, enum proposal_phase *out);
/* By the table of states. */
bool proposal_may(enum proposal_phase from, enum proposal_phase to);
bool proposal_is_open(enum proposal_phase phase);

/* What somebody says to it.  In the log: append only. */
enum vote {
	VOTE_APPROVE = 1,
	VOTE_REJECT = 2,
	VOTE_CANCEL = 3,
	VOTE_REVIEW = 4,                 /* closes the review of a break-glass */
	VOTE__END
};

/* At most this many stages: a vote names those that it counts in by bits. */
#define PROPOSAL_STAGES_MAX 64
/* Distinct authors that are remembered by e-mail; beyond, nobody whose name looks
 * like one may vote. */
#define PROPOSAL_AUTHORS_MAX 100
#define PROPOSAL_VOTES_MAX 1000

struct proposal_stage {
	struct str policy;               /* the ApprovalPolicy's name */
	struct approval_stage is;
};

struct proposal_vote {
	enum vote vote;
	struct str subject, reason;
	uint64_t time_ms;
	uint64_t stages;                 /* bits: they named him when he voted */
};

/* Who brought it: the subject, and the authors of what it brings. */
struct proposal_authors {
	struct str subject;
	struct str *texts;               /* "Ann <ann@example.org>" */
	size_t n;
	bool are_more;                   /* than PROPOSAL_AUTHORS_MAX */
};
/* A subject is an author by its name, or where an author's e-mail is its name. */
bool proposal_is_author(const struct proposal_authors *a, struct str subject);

struct proposal_verdict {
	bool is_satisfied;
	size_t open;                     /* the first stage that is not; else n */
	uint32_t needs;                  /* more of it */
};
/* How many agreed in stage 'i': distinct subjects.  Only approvals count. */
uint32_t proposal_agreed(const struct proposal_vote *votes, size_t n, size_t i);
/* Stages open one after another; who was named by several counts in each. */
void proposal_judge(const struct proposal_stage *stages, size_t n_stages,
		    const struct proposal_vote *votes, size_t n_votes,
		    struct proposal_verdict *out);

/* As it stands, to somebody who votes. */
struct proposal_votable {
	enum proposal_phase phase;
	bool has_review;                 /* that is open */
	uint64_t expires_ms;
	const struct proposal_authors *authors;
	const struct proposal_stage *stages;
	size_t n_stages;
	const struct proposal_vote *votes;
	size_t n_votes;
};
struct proposal_voter {
	struct str subject, groups;
	bool may_all;                    /* administers: may cancel another's */
};
/*
 * May he say that now?  '*stages' (APPROVE, REJECT): those that name him;
 * '*again': he approved already, and nothing changes.  E_PHASE: it is past that;
 * E_DENIED: his own change, or no open stage names him.
 */
enum code proposal_vote_check(const struct proposal_votable *p, enum vote vote,
			      const struct proposal_voter *who, uint64_t now_ms,
			      uint64_t *stages, bool *again,
			      struct err *err) MUST_USE;

/* "1/2, 0/1": of each stage how many agreed. */
void proposal_summary(struct buf *out, const struct proposal_stage *stages,
		      size_t n_stages, const struct proposal_vote *votes,
		      size_t n_votes);

#endif
