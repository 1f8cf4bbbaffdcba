/*
 * The consensus engine as raftcore sees it: a pure step from event to update,
 * without clock, input, output or threads.  A small interface of our own, so
 * that the engine can be replaced; engine_libraft.c is the one there is.
 * One thread.
 */
#ifndef NODE_ENGINE_H
#define NODE_ENGINE_H

#include "node/message.h"

struct engine;

struct engine_config {
	uint64_t id;
	const char *address;
	unsigned election_ms, heartbeat_ms;
	unsigned seed;
};

/* What a step asks for, in this order: term and vote durable, entries to the
 * log, then the rest. */
struct engine_update {
	bool has_vote;
	uint64_t term, voted_for;
	uint64_t first_index;            /* of entries to persist; 0: none */
	unsigned n_entries;
	uint64_t entries_term;           /* of the first */
	/* The engine made it by itself: a leader that won a vote appends a
	 * barrier, without bytes. */
	bool is_own_barrier;
	/* To be sent, in order; valid until the next step. */
	struct engine_message *messages;
	unsigned n_messages;
	/* A snapshot is to be installed: engine_installed when it is. */
	bool installs;
	struct engine_snapshot snapshot; /* valid until the next step */
	bool role_changed, is_leader;
	uint64_t leader;
	uint64_t commit;
};

enum code engine_new(const struct engine_config *config, struct engine **out,
		     struct err *err) MUST_USE;
void engine_free(struct engine **engine);

/* A membership as it is in the log. */
struct engine_member {
	uint64_t id;
	char address[272];
	bool votes;
};
/* Those of the bytes of a membership entry; fills up to 'cap', answers how many there
 * are.  0: they cannot be read. */
size_t engine_members(struct str conf, struct engine_member *out, size_t cap);
/* The first step: what was found on disk.  'snapshot' NULL: there is none.
 * Entries from 'first_index' on, which is 1, or right behind the snapshot; with
 * neither it waits until a leader makes it a member.
 * E_CORRUPT: the membership cannot be read. */
enum code engine_start(struct engine *e, uint64_t now_ms, uint64_t term,
		       uint64_t voted_for,
		       const struct engine_snapshot *snapshot,
		       uint64_t first_index,
		       const struct engine_entry *entries, unsigned n,
		       struct engine_update *out, struct err *err) MUST_USE;
/* New entries of this leader.  E_NOT_LEADER: nothing happened.  The payloads
 * stay with the caller; out->first_index says where they go. */
enum code engine_submit(struct engine *e, uint64_t now_ms,
			const enum engine_type *types, unsigned n,
			struct engine_update *out, struct err *err) MUST_USE;
/* Everything up to 'index' is durable here. */
enum code engine_persisted(struct engine *e, uint64_t now_ms, uint64_t index,
			   struct engine_update *out, struct err *err) MUST_USE;
/* A checkpoint is on disk and verified; all but 'trailing' entries before it
 * may be forgotten. */
enum code engine_snapshot_taken(struct engine *e, uint64_t now_ms,
				const struct engine_snapshot *snapshot,
				unsigned trailing, struct engine_update *out,
				struct err *err) MUST_USE;
/* The membership entry at 'index' is applied. */
enum code engine_configuration(struct engine *e, uint64_t now_ms,
			       uint64_t index, struct str conf,
			       struct engine_update *out, struct err *err) MUST_USE;
enum code engine_timeout(struct engine *e, uint64_t now_ms,
			 struct engine_update *out, struct err *err) MUST_USE;
/*
 * A message came in, from m->peer.  It is consumed: an append may take several
 * steps, so this is called until '*more' is false, and each update is handled
 * before the next call.  The entries to persist are those of the message that
 * stand at the update's indexes; 'm' and its bytes stay valid that long.
 */
enum code engine_receive(struct engine *e, uint64_t now_ms,
			 struct engine_message *m, bool *more,
			 struct engine_update *out, struct err *err) MUST_USE;
/* The snapshot of an update is durable and is the machine's state. */
enum code engine_installed(struct engine *e, uint64_t now_ms,
			   const struct engine_snapshot *snapshot,
			   struct engine_update *out, struct err *err) MUST_USE;

/* ---- membership ---- */

enum engine_change {
	ENGINE_ADD,                      /* as standby: replicates, no vote */
	ENGINE_PROMOTE,                  /* a caught-up standby gets its vote */
	ENGINE_DEMOTE,
	ENGINE_REMOVE,
};
struct engine_wish {
	enum engine_change change;
	uint64_t id;
	const char *address;             /* of one that is added */
	bool force;                      /* below three voters */
	/* What one that is promoted must have to be caught up: the end of the
	 * log some time ago, as it moves on (Ongaro's thesis, 4.2.1).
	 * 0: all. */
	uint64_t least;
	bool passes;                     /* out: what it is refused for passes
					    by itself */
};
/*
 * Submits a change of membership, alone.  '*conf' gets the bytes of the entry,
 * which the caller persists at out->first_index.
 * E_NOT_LEADER; E_NOT_FOUND, E_EXISTS: the server; E_INVALID: no membership can
 * have it; E_CONFLICT: guard C says why not now.
 */
enum code engine_change(struct engine *e, uint64_t now_ms,
			struct engine_wish *wish, struct buf *conf,
			struct engine_update *out, struct err *err) MUST_USE;
/* Hands leadership to a voter. */
enum code engine_transfer(struct engine *e, uint64_t now_ms, uint64_t id,
			  struct engine_update *out, struct err *err) MUST_USE;
/* What a peer is known to have; 0: nothing, or not leader. */
uint64_t engine_match_index(const struct engine *e, uint64_t id);
/* Indexes of the membership in force and of the one that is not committed (0:
 * none), and how many vote. */
void engine_membership(const struct engine *e, uint64_t *committed,
		       uint64_t *uncommitted, unsigned *voters);

struct engine_peer {
	uint64_t id;
	const char *address;             /* valid until the next step */
	bool votes;
};
/* The servers of the newest membership; answers how many there are. */
size_t engine_peers(const struct engine *e, struct engine_peer *out, size_t cap);
/* How many entries may be submitted now (guard E). */
size_t engine_room(const struct engine *e);

/* When engine_timeout is due, on the clock of 'now_ms'. */
uint64_t engine_deadline(const struct engine *e);
uint64_t engine_last_index(const struct engine *e);
/* The term of an entry of the log; 0 where it is not known any more. */
uint64_t engine_term(const struct engine *e, uint64_t index);
/* The membership entry of a new cluster: all of 'peers' vote.  The same list in
 * the same order makes the same bytes. */
void engine_bootstrap(struct buf *out, const struct engine_peer *peers,
		      size_t n);

#endif
