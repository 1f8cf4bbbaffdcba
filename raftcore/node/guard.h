/*
 * Guards against known faults of libraft 0.22.1, as functions on messages.
 * The engine file calls them; each can be switched off by a failpoint in test
 * builds, which is how the tests show the fault that it is for.
 *
 * A	A refused pre-vote echoes the candidate's term, so a candidate whose term
 *	is two or more behind never learns ours: no leader, for ever.
 * B	A follower registers a membership entry under the index of the first
 *	entry of its batch.
 * C	A server that is no voter by its own lagging configuration neither votes
 *	nor campaigns; changes follow a procedure (engine_change), each rule of
 *	which can be switched off by itself (guard_change, guard_barrier).
 * D	A follower that is told of entries below its snapshot appends them anew,
 *	from the first: the log is corrupted.
 * E	A deposed leader rejoins one index a round trip: what is not committed is
 *	bounded.
 * F	An only voter leads at once in the term that it has.  After a crash it may so
 *	give an index of that term to another entry, while a standby has the first:
 *	node_core.c starts it in a new term.  And who follows a leader that has no
 *	vote (J) would lead beside it, in one term: it begins a new one.
 * G	The other half of C, which no procedure covers: a promotion is in the log
 *	of the leader alone, who loses its place, and now needs the vote of the
 *	server that has not heard of it: no leader, for ever.  A server that is
 *	asked votes whatever its own membership says, as Raft has it (Ongaro's
 *	thesis, 4.1); who asks counts the votes of its voters only.
 * H	A follower that gets a membership entry before it applied the one before
 *	forgets that that one is committed; where the newer is cut off again, it
 *	goes back to the membership before both.  A leader appends a change only
 *	when the last is committed, so a follower whose log matches takes it for
 *	that.
 * I	While a peer installs a checkpoint, heartbeats to it name the newest one,
 *	and a refusal counts only where it names the one that the peer was asked
 *	to install: once a newer one was taken none does.  A peer that has
 *	installed an older one than it was asked for, or whose answer was lost,
 *	is told nothing more for hours.
 * J	A voter is demoted, and its leader dies before it has that entry itself,
 *	while the voter has it: then it does not stand for election, and who has a
 *	shorter log does not get its vote: no leader, of two voters for ever.  It
 *	stands until it knows that the entry is committed, and leads until then
 *	(Ongaro's thesis, 4.2.2); all of it by its newest membership, of which it is
 *	no voter: neither its own vote counts nor its own log, and a leader that a
 *	majority of the others does not answer ends.  By the membership of before it
 *	could win beside one that is newer still.  Pre-votes keep it from disturbing
 *	who has a leader.  Who is removed is not sent that entry, and stands by the
 *	membership of before, as Raft has it.
 * K	A follower refuses its vote until its own timeout, which is drawn between
 *	one and two election timeouts; so the first that stands waits for the last,
 *	and is refused for that long.  Who heard nothing of its leader for one
 *	election timeout votes (Ongaro's thesis, 4.2.3: the minimum).
 *
 * Pure; any thread.
 */
#ifndef NODE_GUARD_H
#define NODE_GUARD_H

#include "node/message.h"

#define GUARD_UNCOMMITTED_MAX 8192

/* A, when it is sent: a refusal says our own term. */
void guard_vote_result(struct engine_message *m, uint64_t our_term);
/* D, when it is received: drops entries up to what is committed here, whose
 * last has 'commit_term'.  What is left may be an empty heartbeat. */
void guard_append(struct engine_message *m, uint64_t commit,
		  uint64_t commit_term);
/* B, when it is received: how many entries of the append, from the front, may
 * be delivered together; a membership entry is first. */
unsigned guard_batch(const struct engine_message *m);
/* E: how many more may be submitted where 'open' are not committed. */
size_t guard_room(uint64_t open);

/* C: what a change would do, and what is known of the cluster. */
struct guard_change {
	bool is_self;                    /* the server is this leader */
	bool takes_vote;                 /* demotes or removes a voter */
	bool gives_vote;
	bool is_caught_up;               /* its log, where it gets a vote */
	bool is_pending;                 /* another change is not committed */
	bool all_have_last;              /* every voter that keeps its vote has
					    the last change */
	unsigned voters_before, voters_after;
	bool force;
};
/* E_CONFLICT with the reason and what to do first. */
enum code guard_change(const struct guard_change *c, struct err *err) MUST_USE;
/* C: whether an only voter, which nobody elects, appends an entry of its term when it
 * begins to lead; where votes elect, the core does. */
bool guard_barrier(void);
/*
 * May the engine decode this membership, of a log, a checkpoint or a peer?  The core
 * believes what it reads: it goes beyond bytes that are cut off, and ends the process
 * at a server without a number.  The others look at what has memberships in it.
 */
#define GUARD_MEMBERS_MAX 1024
#define GUARD_ROLE_MAX 2
bool guard_conf(struct str conf);
/* Of the log, from index 'first' on.  E_CORRUPT names the entry. */
enum code guard_entries(const struct engine_entry *entries, size_t n,
			uint64_t first, struct err *err) MUST_USE;
/* Of a peer.  E_CORRUPT; E_INVALID: it is one that the engine takes from its own node
 * alone, which has the checkpoint then. */
enum code guard_message(const struct engine_message *m, struct err *err) MUST_USE;
/* F: whether 'id' is the only voter of that membership (an entry's bytes): such a
 * server leads at once and in the term that it started with. */
bool guard_votes_alone(struct str conf, uint64_t id);
/* F: whether an only voter begins in a new term. */
bool guard_new_term(void);
/* H: whether the append says that the membership at 'pending' (0: none) is
 * committed; its first entry is a newer one, and what is before it here has
 * 'prev_term'. */
bool guard_settles(const struct engine_message *m, uint64_t pending,
		   uint64_t prev_term);
/* I: whether a refusal of what follows 'rejected' that the core passed over is
 * one of checkpoint 'asked' (0: none), which the peer was asked to install; the
 * newest is 'newest'.  Who has that ('match': what it has) installed it, and refused
 * before it had. */
bool guard_refuses_install(uint64_t rejected, uint64_t asked, uint64_t newest,
			   uint64_t match);
/*
 * The guard that is the transport: a stream in order, each message at most once, and
 * none of an older connection.  Where it is not so the engine may take an old refusal for
 * a new one, and goes back behind what a peer has ('match'), which its own code asserts
 * it never does; the packaged one is built without.
 */
bool guard_goes_back(const struct engine_message *m, uint64_t match);
/* G: whether a learner votes when it is asked. */
bool guard_learner_votes(void);
/* K: whether a follower whose leader is silent votes before its own timeout. */
bool guard_votes_early(void);
/* J: whether who has no vote by its newest membership, at 'pending' (0: it is committed),
 * stands for election; 'had_vote': by the one before. */
bool guard_stands(bool had_vote, uint64_t pending, uint64_t commit);
/*
 * J: the core wants more than half of the 'others' and of this server, which has no vote,
 * together.  Whether it counts this server's then, so that it is more than half of the
 * others.
 */
bool guard_counts_own(unsigned others);

#endif
