/*
 * The pluggable state machine: what raftcore replicates.
 *
 * All calls but `write` come from the apply loop (one thread).  Apply is
 * deterministic: no clock, no random number, no map order.  Entries arrive in
 * index order, each once in the life of a state; batch boundaries differ
 * between nodes and must leave no trace in the state.
 */
#ifndef RAFTCORE_MACHINE_H
#define RAFTCORE_MACHINE_H

#include "base/str.h"

struct rc_entry {
	uint64_t index;
	uint64_t term;
	uint64_t id;          /* of the proposal; 0 where the engine made it */
	bool is_command;      /* false: barrier or membership; data empty */
	struct str data;      /* borrowed during apply */
};

/* What the state remembers of the log it came from. */
struct rc_applied {
	uint64_t index;
	uint64_t term;
};

struct rc_frozen;             /* a consistent picture of one applied index */
struct fs;

/*
 * A checkpoint's picture.  It is read through 'fs' (io/file.h: fs_get, or its
 * operations), which opens what is sealed; it begins with what write() put, and
 * zeros may follow.
 */
struct rc_checkpoint {
	struct fs *fs;
	const char *path;
	uint64_t index;       /* the picture stands there, or above */
};

struct rc_machine {
	void *data;

	/*
	 * Opens the live state below 'dir'.  Where it is missing, unclean or
	 * damaged it is made anew: from the checkpoint 'from' (NULL: empty), which
	 * was verified.  '*out' is where the state stands, at or above the
	 * checkpoint; entries above follow.
	 * E_FULL: there is no room on the disk.  At the start rc_node_open answers
	 * it; where a checkpoint was installed this is called again, without close,
	 * until there is room, and is_full says so.
	 * 'committed configuration' is raftcore's own and is not kept here.
	 */
	enum code (*open)(void *data, const char *dir,
			  const struct rc_checkpoint *from,
			  struct rc_applied *out, struct err *err);
	/*
	 * Applies a batch.  E_FULL: there is no room on the disk, nothing of the
	 * batch holds, and the same comes again until there is.  Any other
	 * error stops this node's apply for good (not ready, alarm), and who
	 * proposed what is in the batch is told E_UNCERTAIN by raftcore, so the
	 * machine answers nobody before all of it holds; an illegal command is no
	 * error but a refusal that the machine reports to who proposed it.
	 */
	enum code (*apply)(void *data, const struct rc_entry *entries, size_t n,
			   struct err *err);
	/*
	 * NULL, or how a batch is applied in pieces, so that the turns of the
	 * apply loop stay short: called behind apply, and again in turns of
	 * their own until '*more' is false; only then the batch is applied.
	 * 'entries' stay valid until then, and close may come in between.
	 */
	enum code (*apply_more)(void *data, bool *more, struct err *err);
	/*
	 * Takes a picture of the state now, quickly.  'out_at' is its index.
	 */
	enum code (*freeze)(void *data, struct rc_frozen **out,
			    struct rc_applied *out_at, struct err *err);
	/*
	 * Streams a picture through 'put' (any worker thread; 'put' paces and
	 * may block).  The bytes are what open() takes as a checkpoint file.
	 */
	enum code (*write)(void *data, struct rc_frozen *frozen,
			   enum code (*put)(void *sink, const void *p, size_t n,
					    struct err *err),
			   void *sink, struct err *err);
	/* Lets go of a picture; apply loop. */
	void (*thaw)(void *data, struct rc_frozen *frozen);
	/*
	 * A digest of the effects of all that was applied, or of the state,
	 * where it stands: nodes at one index must have the same, however they
	 * came there, also from a checkpoint.  It is asked for every 1,024
	 * entries and when nothing is applied, and compared between nodes; one
	 * whose digest is not the majority's is fenced.  NULL: states are not
	 * compared.
	 */
	void (*digest)(void *data, uint8_t out[32]);
	/* Bytes of live state, for the checkpoint rule. */
	uint64_t (*bytes)(void *data);
	/* Orderly stop: syncs and marks the state clean. */
	void (*close)(void *data);
};

/* Applies a batch at once. */
static inline enum code rc_machine_apply(const struct rc_machine *m,
					 const struct rc_entry *entries,
					 size_t n, struct err *err)
{
	bool more = m->apply_more;
	enum code rc = m->apply(m->data, entries, n, err);

	while (rc == OK && more)
		rc = m->apply_more(m->data, &more, err);
	return rc;
}

#endif
