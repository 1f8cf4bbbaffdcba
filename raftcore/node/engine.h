/*
 * The consensus engine as raftcore sees it: a pure step from event to update,
 * without clock, input, output or threads.  A small interface of our own, so
 * that the engine can be replaced; engine_libraft.c is the one there is.
 * One thread.
 */
#ifndef NODE_ENGINE_H
#define NODE_ENGINE_H

#include "base/buf.h"

struct engine;

/* Numbers are in the log. */
enum engine_type {
	ENGINE_COMMAND = 1,
	ENGINE_BARRIER = 2,              /* no-op after an election */
	ENGINE_CHANGE = 3,               /* membership */
};

struct engine_entry {
	uint64_t term;
	enum engine_type type;
	struct str data;
};

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
	uint64_t entries_term;
	bool role_changed, is_leader;
	uint64_t leader;
	uint64_t commit;
};

enum code engine_new(const struct engine_config *config, struct engine **out,
		     struct err *err) MUST_USE;
void engine_free(struct engine **engine);

/* What a checkpoint says of the log that it stands for. */
struct engine_snapshot {
	uint64_t index, term;
	uint64_t conf_index;
	struct str conf;                 /* as in an entry ENGINE_CHANGE */
};

/* The first step: what was found on disk.  'snapshot' NULL: there is none.
 * Entries from 'first_index' on, which is 1, or right behind the snapshot.
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
/* When engine_timeout is due, on the clock of 'now_ms'. */
uint64_t engine_deadline(const struct engine *e);
uint64_t engine_last_index(const struct engine *e);
/* The membership entry of a new cluster of one. */
void engine_bootstrap(struct buf *out, uint64_t id, const char *address);

#endif
