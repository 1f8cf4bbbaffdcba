/*
 * The replicated state of Conflux: one LMDB store below <dir>, moved only by
 * applying log entries.
 *
 *	<dir>/store.<0|1>/	the live store: a cache of checkpoint and log
 *	<dir>/store.state	`dirty` or `clean`, boot id, which of the two it
 *				is, and the checkpoint that the store was made
 *				from (`-`: none)
 *
 * The file is written without syncs.  So store.state says `dirty` from before
 * the first commit until an orderly stop has synced; a store found dirty under
 * another boot id, or damaged, is deleted and made anew from checkpoint and
 * log.  Under the same boot id (the process was killed, the machine was not)
 * the page cache still holds every commit, so it is used as it is - unless it
 * stands below the newest checkpoint, which then came from another node.
 *
 * A checkpoint of another node may be installed while this one serves: the
 * machine is closed and opened again, and the new store is the other of the two
 * folders.  Readers keep the old one until state_generation tells them to take
 * the new.
 *
 * Threads: the machine's functions run on the core loop.  Views (view.h) run
 * on any thread with read transactions of their own.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "kv/kv.h"
#include "raftcore/machine.h"
#include "state/rows.h"

struct state;

struct state_config {
	uint64_t map_bytes;              /* 64 GiB by default */
	const char *boot_id;             /* NULL: the kernel's */
	uint64_t knows;                  /* cluster versions up to this one; 0:
					    CLUSTER_VERSION */
	/* What came of the command of proposal 'id'; after its batch has
	 * committed, in the order of the log.  Core loop. */
	void (*on_outcome)(void *data, uint64_t id, const struct outcome *o);
	/* A batch has committed, or a checkpoint was installed, and 'rev' is
	 * visible.  Core loop. */
	void (*on_commit)(void *data, uint64_t rev);
	void *data;
};

struct state *state_new(const struct state_config *config);
void state_free(struct state **state);
/* The vtable for raftcore; 'state' must outlive the node. */
struct rc_machine state_machine(struct state *state);
/* The store as it is now, to be closed by the caller; NULL where the machine is
 * not open.  Any thread. */
struct kv *state_kv(struct state *state);
/* Another number: another store.  Any thread. */
uint64_t state_generation(const struct state *state);
/* Another number: tokens may be others than before.  Core loop. */
uint64_t state_token_changes(const struct state *state);
/* Another number: there may be events that sources go by (event_is_for_sources).  Core
 * loop. */
uint64_t state_source_changes(const struct state *state);
/* Another number: approved proposals or windows may be others than before.  Core
 * loop. */
uint64_t state_gate_changes(const struct state *state);
/* Windows alone. */
uint64_t state_window_changes(const struct state *state);
/* Another number: what webhooks are to be told may be other than before.  Core
 * loop. */
uint64_t state_outbox_changes(const struct state *state);
/* As that, of releases that run. */
uint64_t state_rollout_changes(const struct state *state);
/* Where it stands; core loop. */
const struct head *state_head(const struct state *state);
/* True where a TICK would do something at 'now_ms'; core loop, cheap. */
bool state_tick_is_due(struct state *state, uint64_t now_ms);
/* Is the outcome of the command with this id known?  Core loop. */
bool state_has_outcome(struct state *state, const struct sha256 *id);
/* Calls 'each' with the changes of members that are open (OP_MEMBERS); 'row' is
 * valid during the call.  Core loop. */
void state_open_members(struct state *state,
			void (*each)(void *data, const struct member_row *row),
			void *data);
/* SHA-256 over all rows in key order but the applied index: equal on all
 * nodes at one index.  For tests; slow. */
enum code state_scan_digest(struct state *state, struct sha256 *out,
			    struct err *err);

#endif
