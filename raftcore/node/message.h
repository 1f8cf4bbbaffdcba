/*
 * Messages between engines, as raftcore sees them, and their form on the wire:
 * a byte with the version, a byte with the type, varints, and the entries with
 * their bytes.  Pure; any thread.
 */
#ifndef NODE_MESSAGE_H
#define NODE_MESSAGE_H

#include "base/arena.h"

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

/* What a checkpoint says of the log that it stands for. */
struct engine_snapshot {
	uint64_t index, term;
	uint64_t conf_index;
	struct str conf;                 /* as in an entry ENGINE_CHANGE */
};

/* Numbers are on the wire. */
enum engine_message_type {
	ENGINE_M_APPEND = 1,
	ENGINE_M_APPEND_RESULT = 2,
	ENGINE_M_VOTE = 3,
	ENGINE_M_VOTE_RESULT = 4,
	ENGINE_M_INSTALL = 5,
	ENGINE_M_TIMEOUT_NOW = 6,
	/* Of linearizable reads; the engine does not see them (reads.c). */
	ENGINE_M_READ_ROUND = 7,         /* do you follow me still? */
	ENGINE_M_READ_AGREED = 8,
	ENGINE_M_READ_ASK = 9,           /* what must be applied to read? */
	ENGINE_M_READ_ANSWER = 10,
	/* Effect chains; nor does it see these (detector.c). */
	ENGINE_M_CHAIN = 11,
	ENGINE_M_TURN = 12,              /* of checkpoints (turns.c) */
};

/* Numbers are on the wire. */
enum turn_word {
	TURN_ASK = 1,
	TURN_HOLD = 2,                   /* I am copying */
	TURN_DONE = 3,
	TURN_GIVEN = 4,                  /* of who leads */
	TURN_BUSY = 5,
};

/* What the machine has done up to an index. */
struct chain_point {
	uint64_t index;
	uint8_t digest[32];
};

struct engine_message {
	enum engine_message_type type;
	uint64_t peer;                   /* that it comes from, or goes to */
	uint64_t term;
	union {
		/* One that the engine wants sent has no 'entries': the caller
		 * takes 'n' of them, from behind 'prev_index', out of the log. */
		struct {
			uint64_t prev_index, prev_term, commit;
			struct engine_entry *entries;
			unsigned n;
		} append;
		struct {
			uint64_t rejected, last_index;
		} append_result;
		struct {
			uint64_t candidate, last_index, last_term;
			bool disrupt, pre;
		} vote;
		struct {
			bool granted, pre;
		} vote_result;
		struct engine_snapshot install;
		struct {
			uint64_t last_index, last_term;
		} timeout_now;
		struct {
			uint64_t number, index;  /* index: of an answer */
		} read;
		/* In the order of their indexes.  One that waits to be sent has
		 * none. */
		struct {
			struct chain_point *points;
			unsigned n;
		} chain;
		struct {
			enum turn_word word;
		} turn;
	};
};

#define MESSAGE_ENTRIES_MAX 65536
#define MESSAGE_POINTS_MAX 256

/* 'peer' is the transport's and is not encoded. */
void message_encode(struct buf *out, const struct engine_message *m);
/* Strings borrow from 'in', entries and points are the arena's.  E_INVALID: malformed;
 * E_UNSUPPORTED: another version or type. */
enum code message_decode(struct arena *arena, struct str in,
			 struct engine_message *out, struct err *err) MUST_USE;

#endif
