/*
 * The row of a proposal (table PROPOSALS, tenant 0 name): all that apply needs to
 * know of it.  The object's spec and status are written from it (proposal_json.c).
 * Decoding borrows from the bytes and allocates from the arena.  Pure; any thread.
 */
#ifndef STATE_PROPOSAL_ROW_H
#define STATE_PROPOSAL_ROW_H

#include "model/proposal.h"
#include "state/rows.h"

#define PROPOSAL_CONFIGS_MAX 100         /* that it names */
#define PROPOSAL_HISTORY_MAX 200

enum proposal_review {
	REVIEW_NONE = 0,
	REVIEW_OPEN = 1,
	REVIEW_CLOSED = 2,
};

/* A policy that it follows, as it was. */
struct proposal_policy {
	struct str name;
	uint64_t rev;
};

struct proposal_event {
	uint64_t time_ms;
	struct str what;                 /* "approve", "Approved" */
	struct str subject, message;
};

struct proposal_config {
	struct str name;                 /* of the object */
	uint8_t actions;                 /* bits of enum gate_action */
};

/*
 * Why it could not be executed: numbers and names, and no words of the program's, which
 * another version may choose otherwise.  Who shows it puts it into words
 * (proposal_put_words).
 */
enum proposal_failed_at {
	FAILED_NOT = 0,
	FAILED_OPERATION = 1,            /* one was refused */
	FAILED_TOGETHER = 2,             /* what they do together was */
	FAILED_UNASKED = 3,              /* a policy that came since asks, and nobody was */
};

struct proposal_failure {
	enum proposal_failed_at at;
	uint64_t code;                   /* wire number of an enum code */
	struct str action, object;       /* FAILED_OPERATION: "publish", "config x" */
};

struct proposal_row {
	enum proposal_phase phase;
	enum proposal_review review;
	struct sha256 digest;
	uint64_t created_ms, expires_ms;
	uint64_t not_before_ms;          /* 0: at once */
	uint64_t ended_ms;               /* 0: it has not */
	uint64_t executed_rev;
	enum subject_role role;          /* of the author */
	struct str tenant_of_author;     /* as his token says */
	struct str reason, commit;
	struct str message;              /* why it ended so */
	struct str release;              /* that it became; empty: none */
	uint64_t count;                  /* configurations */
	struct proposal_failure failure; /* format 2 of the row */
	bool is_glass;
	bool is_cleared;                 /* nothing of its plan is kept for it */
	struct proposal_authors authors;
	struct proposal_config *configs;
	size_t n_configs;
	struct proposal_policy *policies;
	size_t n_policies;
	struct proposal_stage *stages;
	size_t n_stages;
	struct proposal_vote *votes;
	size_t n_votes, cap_votes;
	struct proposal_event *history;
	size_t n_history, cap_history;
};
void proposal_row_encode(struct buf *out, const struct proposal_row *row);
bool proposal_row_decode(struct arena *arena, struct str in,
			 struct proposal_row *out);
/* Phase and review alone. */
bool proposal_row_head(struct str in, enum proposal_phase *phase,
		       enum proposal_review *review);
void key_proposal(struct buf *out, struct str tenant, struct str name);
/*
 * LOCKS: what open proposals touch; 'proposal' empty: of all that touch the object.
 * Of a configuration two that wait are in each other's way.  The value says whether
 * one was computed from the object as it is, and so ends where that moves.
 */
void key_lock(struct buf *out, struct str tenant, enum kind_id kind,
	      struct str object, struct str proposal);
#define LOCK_ONLY STR("")
#define LOCK_OF_BASE STR("\1")

/* META: approved proposals, behind it as in key_proposal -> when at the earliest. */
#define KEY_APPROVED STR("approved/")
/* META: the same of each that may go, where there are too many; the oldest first. */
#define KEY_CLEARED STR("cleared/")

/* Puts a failure into words, as its message and the last of its history: for people, and
 * never for the state. */
void proposal_put_words(struct arena *arena, struct proposal_row *row);

/* spec and status of the object, canonical. */
void proposal_spec(struct buf *out, const struct proposal_row *row);
void proposal_status(struct buf *out, const struct proposal_row *row);
/* What webhooks are told as `data`: what spec and status say, in short. */
void proposal_data(struct buf *out, struct str tenant, struct str name,
		   const struct proposal_row *row);

#endif
