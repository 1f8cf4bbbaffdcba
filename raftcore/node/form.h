/*
 * How nodes that have no data yet find each other and form one cluster, without a
 * command.  Pure: no thread, no clock, no connection; former.c drives it.
 *
 * Each node asks every address that it knows, again and again, and is answered with
 * a statement: who it is, how many it expects, and how far it is.
 *
 *	SEEKING    it has no cluster
 *	PROPOSED   it is the one with the lowest id, or follows that one: this cluster
 *	           id, these members
 *	FORMED     it has a cluster: its first members, and its members now
 *	JOINING    it has a cluster's id, and waits to be given its data
 *
 * The node with the lowest id proposes when it sees exactly as many seekers as all
 * of them expect.  The others follow a proposal of exactly the nodes that they see
 * themselves.  When all follow, the proposer writes it to its disk (identity.h), and
 * that decides: it alone can, so there is no second outcome.  From then on it says
 * FORMED, and each of the others writes the same.  A crash before the decision leaves
 * nothing; after it, whoever comes back finds itself among the first members of a
 * cluster that is formed.
 *
 * Who has met a node that has a cluster never proposes and never follows: it joins
 * where that cluster has it as a member with this data directory, or with none yet;
 * else it waits, and says what to do.  So a wiped node does not found anything while
 * one of the others is there, and without all that are expected nobody does.
 */
#ifndef NODE_FORM_H
#define NODE_FORM_H

#include "node/identity.h"

#define FORM_MEMBERS_MAX 64

enum form_phase {
	FORM_SEEKING = 1,
	FORM_PROPOSED = 2,
	FORM_FORMED = 3,
	FORM_JOINING = 4,
};

/* What a node says of itself; numbers are on the wire. */
struct form_statement {
	struct founder self;
	enum form_phase phase;
	uint32_t expect;                 /* 0: it was not told */
	bool is_by_hand;                 /* 'expect' was asked for by hand */
	struct uuid cluster;             /* not of SEEKING */
	size_t n_founders;               /* of PROPOSED and FORMED */
	struct founder founders[FOUNDERS_MAX];
	/* Of FORMED: the members now; an incarnation of zeros was not met yet. */
	size_t n_members;
	struct founder members[FORM_MEMBERS_MAX];
};

void form_encode(struct buf *out, const struct form_statement *s);
/* E_INVALID. */
enum code form_decode(struct str bytes, struct form_statement *out,
		      struct err *err) MUST_USE;

struct form_config {
	struct founder self;
	uint32_t expect;                 /* 0: until form_expect */
	struct uuid joining;             /* of a node that joins; else zeros */
};

struct form;
struct form *form_new(const struct form_config *config);
void form_free(struct form **form);
/* By hand: how many are to found it; 0: as many as are there at 'now_ms'. */
void form_expect(struct form *form, uint64_t now_ms, uint32_t expect);
/* A node has stated this; it counts for FORM_FRESH_MS. */
#define FORM_FRESH_MS 3000u
void form_hear(struct form *form, uint64_t now_ms,
	       const struct form_statement *said);
/* What this node says. */
void form_state(const struct form *form, struct form_statement *out);

enum form_result {
	FORM_WAIT,
	FORM_FOUND,                      /* write it down, and be a first member */
	FORM_JOIN,                       /* of a cluster that exists */
};
struct form_outcome {
	struct uuid cluster;
	size_t n_founders;               /* sorted by id; 0 with FORM_JOIN */
	struct founder founders[FOUNDERS_MAX];
	size_t n_members;                /* of FORM_JOIN: who is in it */
	struct founder members[FORM_MEMBERS_MAX];
};
/* Looks at what was heard.  'fresh' is a cluster id that was never used; it is taken
 * where this node proposes.  '*out' is written with FOUND and JOIN. */
enum form_result form_step(struct form *form, uint64_t now_ms,
			   const struct uuid *fresh, struct form_outcome *out);
/* What it waits for, for people; of the last step. */
const char *form_waits_for(const struct form *form);

#endif
