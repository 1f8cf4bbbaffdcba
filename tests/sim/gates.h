/*
 * What the gate must do, as sim/state knows it by itself (gates.c): who and which
 * policies there are, what was proposed, who agreed, and what follows of that.  It
 * is told by the commands that clients sent and by what became of each entry; of the
 * code that is looked at it uses how things are encoded, and no decision.
 *
 *	gates.c, gate_things.c, gate_proposals.c,
 *	gate_told.c, gate_names.c, gate_holds.c,
 *	rolls.c                                    the model, and the look at each entry
 *	gate_leads.c                               who leads moves releases
 *	gate_wishes.c                              what is wanted of the gate
 *
 * One history after another; all of a history is in its arena.
 */
#ifndef TESTS_SIM_GATES_H
#define TESTS_SIM_GATES_H

#include "replica.h"

/* A command's changes of a configuration, as a policy names them. */
enum deed {
	DEED_PUBLISH = BIT(0),
	DEED_RULES = BIT(1),
	DEED_WRITE = BIT(2),
	DEED_DELETE = BIT(3),
	DEED_ROLLBACK = BIT(4),
	DEED_USUAL = DEED_PUBLISH | DEED_RULES | DEED_WRITE | DEED_DELETE,
};

/* NULL: whatever it is. */
struct about {
	const char *application, *name, *labels;
};

/* Policies that there may be: the text, and what it says. */
struct policy_form {
	const char *spec;
	struct about about;
	unsigned deeds;
	struct {
		const char *subject;     /* NULL: who is of the group leads */
		unsigned required;
	} stages[2];
	unsigned n_stages;
	int priority;
	uint64_t expires_ms, start_ms;
	bool supersedes;
	const char *glass;               /* who may break it; NULL: nobody */
};
#define POLICY_FORMS 4
extern const struct policy_form policy_forms[POLICY_FORMS];

struct hook_form {
	const char *spec;
	uint64_t wants;                  /* bits of enum notice */
	bool rests;
};
#define HOOK_FORMS 5
extern const struct hook_form hook_forms[HOOK_FORMS];

/* Tokens of people: some have two. */
struct person {
	const char *token, *name;
	bool leads;
	uint64_t verbs;
};
#define STEP_FORMS 5
extern const char *const step_forms[STEP_FORMS];
#define PEOPLE 8
extern const struct person people[PEOPLE];
bool person_is_in(size_t i);

struct gate_proposal {
	struct str tenant, name;
	enum proposal_phase phase;
	struct sha256 digest;
	struct str author;               /* of the command */
	bool is_source;
	struct command c;                /* what was wanted, */
	uint64_t *bases;                 /* and what of */
	struct along *along;             /* what goes out with it, which it does not name */
	size_t n_along;
	uint64_t made_rev, expires_ms, not_before_ms;
	const struct policy_form *policies[4];   /* that it follows */
	size_t n_policies;
	const struct policy_form *held[4];       /* all of the tenant, when it was made */
	size_t n_held;
	struct {
		struct str name;
		bool leads;              /* when he agreed */
	} voters[PEOPLE];
	size_t n_voters;
	bool was_executed, is_glass, is_gone;
	uint64_t moved_at, seen_at;      /* entries: here, and in the state */
};

void gates_begin(void);
void gates_end(void);
/* Of the record: an entry was applied, 'rev' was the revision before. */
void gates_look(const struct rc_entry *e, struct kv_txn *txn, uint64_t rev,
		const struct outcome *o);
/* It is in use: the cluster's version knows of it. */
bool gates_are_open(void);
/* A history in which nobody wants anything of it. */
bool gates_are_off(void);
/* One in which it is wanted from the beginning. */
void gates_want(void);
bool gates_are_wanted(void);
size_t gates_policies(void);
uint64_t gates_time(void);
/* One that is there at random, mostly a new one; NULL: none. */
const struct gate_proposal *gates_some_proposal(void);
/* A plan that was put; false: none. */
bool gates_some_plan(struct str *tenant, struct sha256 *digest);
/* A webhook, and the first that waits for it; false: none. */
bool gates_some_delivery(struct str *tenant, struct str *name, uint64_t *seq);

/* ---- gate_leads.c ---- */
/* Where it leads it looks at the releases that there are. */
void leads_step(struct server *s);

/* ---- gate_wishes.c ---- */

/* True: 'wish' is one of the gate. */
bool gate_wish(struct arena *names, struct wish *wish);
/* Of a source: what is another content lifts what is held. */
void wish_lifts(struct command *c);
/* Makes somebody's of it, who has a name, now and then past the gate. */
void gate_sign(struct arena *names, struct wish *wish);

/* Has the tenant release policies, or had some? */
bool gates_have_rolls(struct str tenant);
/* A configuration that is there, and one of its versions, one of the newest; with 'is_new'
 * one that nobody ever got.  False: there is none. */
bool gates_some_version(struct arena *names, bool is_new, struct str *tenant,
			struct str *name, uint32_t *version);
/* What a release that was turned back holds off; false: nothing. */
bool rolls_some_held(struct str *tenant, struct str *name, struct sha256 *sha);

extern struct roll_totals {
	unsigned long long begun, of_many, steps, completed, ended, switched_back,
		held, held_beside, holds_judged, lifted_along, held_off, judged_on, judged_back,
		left;
} roll_sum;
extern struct gate_totals {
	unsigned long long proposed, approved, executed, failed, rejected, cancelled,
		expired, superseded, stale, glass, votes, own_votes, frozen, locked, plans,
		notices, told_releases, gated, brought_back, dropped,
		scheduled, along, put_off;
} gate_sum;

#endif
