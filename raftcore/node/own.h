/* Shared by the files of the node's core: what it holds. */
#ifndef NODE_OWN_H
#define NODE_OWN_H

#include "node/engine.h"
#include "node/identity.h"
#include "node/node_core.h"
#include "wal/vote.h"

#define ID_BYTES 8                       /* of a proposal, before its command */
#define ENTRY_OVERHEAD 21                /* in the log, beside the bytes */
#define BATCH_ENTRIES 1024
#define BATCH_BYTES (8 * 1024 * 1024)

/* The entries of one append, with their bytes. */
struct block {
	struct append append;
	struct block *next;              /* of those not durable yet */
	unsigned refs;                   /* entries not applied, and the log */
	struct wal_entry *entries;
	char *bytes;
};

/* An entry that is in memory and not applied yet. */
struct slot {
	struct wal_entry entry;
	struct block *block;
	struct rc_proposal *proposal;    /* to be told if it is never applied */
};

struct node_core {
	struct rc_config config;
	struct fs *fs;
	const struct node_host *host;
	void *host_data;
	char *dir, *state_dir, *checkpoint_dir;
	struct identity identity;
	struct vote vote;
	struct wal *wal;
	struct engine *engine;
	bool is_leader, has_failed;
	uint64_t term, leader, commit, applied, durable, ready_at, proposals;

	/* What the log held at the start, until the engine has it: terms, and
	 * the bytes of membership entries. */
	struct engine_entry *recovered;
	size_t n_recovered, cap_recovered;
	uint64_t recovered_first, log_first, log_last;

	/* Entries cold_next..cold_last are to be applied and only in the log. */
	uint64_t cold_next, cold_last;
	struct node_loaded loaded;
	bool is_loading;

	/* Entries above these, by index; a ring would save the moving, which is
	 * one memmove a batch. */
	struct slot *slots;
	size_t n_slots, cap_slots;
	uint64_t first_slot;             /* index of slots[0] */
	size_t unapplied_bytes;

	struct block *unwritten, **unwritten_last;
	uint64_t sequence;

	/* The batch that is with the machine; nothing while it is frozen. */
	bool is_applying;
	struct rc_entry batch[BATCH_ENTRIES];
	size_t n_batch;
	uint64_t batch_bytes;

	/* The newest checkpoint (index 0: none), the one under way, and the
	 * membership that holds at what is applied. */
	struct checkpoint base, pending;
	struct buf conf;
	uint64_t conf_index, applied_term;
	bool is_checkpointing;
	uint64_t machine_bytes, pending_machine_bytes;
	uint64_t log_since_bytes, pending_bytes;
	uint64_t checkpoint_at_bytes;    /* after a failure: not before */
};

/* ---- between the files ---- */

void core_fail(struct node_core *c, const struct err *err);
/* The membership entry 'index' is applied. */
void core_configure(struct node_core *c, uint64_t index, struct str conf);
struct engine_snapshot core_snapshot_of(const struct checkpoint *checkpoint);
/* True while a picture is copied and the state grows under it. */
bool core_is_crowded(const struct node_core *c);
/* Does what a step of the engine asks for. */
void core_handle(struct node_core *c, uint64_t now_ms,
		 const struct engine_update *u);
/* The first 'count' slots are applied. */
void core_drop_slots(struct node_core *c, size_t count);
/* Hands on what is committed, unless something is out already. */
void core_apply_more(struct node_core *c);
/* Starts one if it is time; true where it did. */
bool core_checkpoint(struct node_core *c);
void core_free_recovered(struct node_core *c);
/* Forgets all that is in memory of the log; answers nobody. */
void core_free_slots(struct node_core *c);

#endif
