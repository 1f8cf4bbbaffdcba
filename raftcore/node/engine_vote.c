/*
 * Elections of engine_libraft.c: who stands, who votes, and whose votes count.
 *
 * The core knows one rule: who is a voter by its own newest membership does all of
 * it, and nobody else does any.  Where Raft has it otherwise (guards F, G and J) a
 * step is made with this server's role as it should be, and then it is as before.
 * Such a step brings no membership: it is a timeout, or a message about votes.
 */
#include "node/engine_own.h"

#include "node/guard.h"

#include "base/banned.h"

static struct raft_server *own_server(const struct engine *e)
{
	return engine_server(&e->raft.configuration, e->raft.id);
}

bool engine_lost_vote(const struct engine *e)
{
	const struct raft_server *own = own_server(e);

	return own && own->role != RAFT_VOTER;
}

/* What the core counts of this server, among the voters of this step. */
static void count_own(struct engine *e)
{
	const struct raft_configuration *c = &e->raft.configuration;
	unsigned at = 0;

	for (unsigned i = 0; c->servers[i].id != e->raft.id; i++)
		at += c->servers[i].role == RAFT_VOTER;
	e->raft.candidate_state.votes[at].grant =
		guard_counts_own(engine_voters(c));
}

/* Guards G and J: for this step it is a voter. */
static enum code step_as_voter(struct engine *e, struct raft_event *event,
			       const char *what, struct engine_update *out,
			       struct err *err)
{
	struct raft_server *own = own_server(e);
	int role = own->role;
	enum code rc;

	own->role = RAFT_VOTER;
	rc = engine_step(e, event, what, out, err);
	own->role = role;
	if (rc == OK && e->raft.state == RAFT_CANDIDATE)
		count_own(e);
	return rc;
}

/* Guard J: a leader without a vote is none of those who must have answered it
 * lately. */
static enum code step_apart(struct engine *e, struct raft_event *event,
			    struct engine_update *out, struct err *err)
{
	struct raft_server *own = own_server(e), is = *own;
	enum code rc;

	own->id = UINT64_MAX;
	own->role = RAFT_SPARE;          /* it is sent nothing */
	rc = engine_step(e, event, "timeout", out, err);
	own->id = is.id;
	own->role = is.role;
	return rc;
}

/* ---- time ---- */

/* A follower, so another one led in its term. */
static bool votes_alone(const struct engine *e)
{
	const struct raft_server *own = own_server(e);

	return e->raft.state == RAFT_FOLLOWER && own && own->role == RAFT_VOTER &&
	       engine_voters(&e->raft.configuration) == 1;
}

/* Guard F: it leads at once, without a vote, and in the term that it has. */
static enum code step_alone(struct engine *e, struct raft_event *event,
			    struct engine_update *out, struct err *err)
{
	raft_term term = e->raft.current_term;
	raft_id voted_for = e->raft.voted_for;
	enum code rc;

	e->raft.current_term++;
	e->raft.voted_for = e->raft.id;
	rc = engine_step(e, event, "timeout", out, err);
	if (rc)
		return rc;
	if (out->is_leader) {
		out->has_vote = true;
		return OK;
	}
	/* It follows still: its log is not durable yet, or a checkpoint is
	 * installed. */
	e->raft.current_term = out->term = term;
	e->raft.voted_for = out->voted_for = voted_for;
	return OK;
}

/* Whether it had a vote before the newest membership, which may be cut off. */
static bool may_stand(const struct engine *e)
{
	const struct raft *r = &e->raft;
	const struct raft_server *before =
		engine_server(&r->configuration_committed, r->id);

	return guard_stands(before && before->role == RAFT_VOTER,
			    r->configuration_uncommitted_index, r->commit_index);
}

enum code engine_timeout(struct engine *e, uint64_t now_ms,
			 struct engine_update *out, struct err *err)
{
	struct raft_event event = engine_event(RAFT_TIMEOUT, now_ms);

	if (votes_alone(e) && now_ms >= raft_timeout(&e->raft) && guard_new_term())
		return step_alone(e, &event, out, err);
	if (engine_lost_vote(e) && e->raft.state == RAFT_LEADER)
		return step_apart(e, &event, out, err);
	if (engine_lost_vote(e) &&
	    (e->raft.state == RAFT_CANDIDATE || may_stand(e)))
		return step_as_voter(e, &event, "timeout", out, err);
	return engine_step(e, &event, "timeout", out, err);
}

/* ---- votes ---- */

/* Guard K; and a learner has no timer of its own, so its leader would stand in the way
 * of all others for ever. */
static bool leader_is_gone(const struct engine *e, uint64_t now_ms,
			   uint64_t candidate)
{
	return e->raft.state == RAFT_FOLLOWER &&
	       (e->raft.follower_state.current_leader.id == candidate ||
		now_ms - e->raft.election_timer_start >=
			e->raft.election_timeout);
}

/* Guards G and K. */
enum code engine_receive_vote(struct engine *e, struct raft_event *event,
			      struct engine_update *out, struct err *err)
{
	bool is_learner = engine_lost_vote(e);

	if ((is_learner || guard_votes_early()) &&
	    leader_is_gone(e, event->time, event->receive.message->server_id))
		event->receive.message->request_vote.disrupt_leader = true;
	if (is_learner && guard_learner_votes())
		return step_as_voter(e, event, "receive", out, err);
	return engine_step(e, event, "receive", out, err);
}

enum code engine_receive_vote_result(struct engine *e, struct raft_event *event,
				     struct engine_update *out, struct err *err)
{
	if (engine_lost_vote(e) && e->raft.state == RAFT_CANDIDATE)
		return step_as_voter(e, event, "receive", out, err);
	return engine_step(e, event, "receive", out, err);
}
