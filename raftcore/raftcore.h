/*
 * raftcore: consensus, durable log and checkpoints under one state machine.
 *
 * A node owns a data directory:
 *
 *	lock                 held while the node runs
 *	identity             cluster id, node id, format; written once
 *	wal/                 segments of the log
 *	vote.0 vote.1        term and vote, written in turn, each with checksum
 *	checkpoints/         <index>-<term>.ckpt, verified before the log is cut
 *	state/               the machine's own (a cache of checkpoint and log)
 *
 * Threads: the raft loop (engine steps and timers, never waits), the WAL
 * thread (one record a write), the apply loop (given by the caller), a
 * worker for checkpoints.  A cluster of one runs exactly what three run.
 *
 * A proposal has three outcomes: done (applied; the machine says what came of
 * it), refused before it was appended (E_NOT_LEADER, E_BUSY, E_FULL,
 * E_TOO_LARGE), and uncertain (E_UNCERTAIN: it may still be applied).
 */
#ifndef RAFTCORE_RAFTCORE_H
#define RAFTCORE_RAFTCORE_H

#include "raftcore/machine.h"
#include "base/rand.h"

struct rc_node;
struct loop;
struct pool;

struct rc_config {
	const char *dir;
	uint64_t node_id;               /* 1.. */
	const char *address;            /* of the raft listener; "" for one */
	unsigned election_timeout_ms;   /* 300 */
	unsigned heartbeat_ms;          /* 50 */
	uint64_t segment_bytes;         /* 64 MiB */
	uint64_t checkpoint_log_bytes;  /* least log between checkpoints, 256 MiB */
	uint64_t entry_bytes_max;       /* 1 MiB */
	uint64_t inflight_bytes_max;    /* 64 MiB */
	unsigned inflight_entries_max;  /* 8,192 */
	unsigned checkpoints_kept;      /* 2 */
	struct loop *apply_loop;        /* where the machine is called */
	struct pool *pool;              /* checkpoints; NULL: none are taken */
	struct rc_machine machine;
	/* Role or leader changed; apply loop.  May be NULL. */
	void (*on_role)(void *data, bool is_leader, uint64_t leader, uint64_t term);
	/* The machine or the log failed for good: not ready; apply loop. */
	void (*on_fatal)(void *data, const struct err *err);
	void *data;
};

void rc_config_defaults(struct rc_config *config);

/*
 * Opens or creates the data directory: locks it, checks identity, recovers
 * the log (damage is refused with the place, a torn tail is cut), opens the
 * machine.  A new directory becomes a cluster of one ('bootstrap').  Blocking;
 * before the loops run.
 */
enum code rc_node_open(const struct rc_config *config, struct rc_node **out,
		       struct err *err) MUST_USE;
/* Starts the raft loop and the WAL thread; the apply loop must be running or
 * start soon. */
enum code rc_node_start(struct rc_node *node, struct err *err) MUST_USE;
/* Refuses new proposals, waits for what is in flight, syncs and closes the
 * machine.  Called from the apply loop's thread after loop_join, or before
 * the loops started. */
void rc_node_stop(struct rc_node *node);
/* After the apply loop was freed: messages of the node may wait there. */
void rc_node_free(struct rc_node **node);

/*
 * One proposal; embed it.  'data' must stay valid until 'done' ran.  'done'
 * runs on the apply loop only when the outcome is NOT apply: rc is the
 * refusal or E_UNCERTAIN.  When the entry is applied, the machine sees it
 * with entry.id == id and answers itself, and 'applied' is called right after
 * the batch with that entry was applied.
 */
struct rc_proposal {
	struct rc_proposal *next_;
	uint64_t id;                    /* set by rc_propose; unique in the cluster */
	struct str data;
	void (*done)(struct rc_proposal *p, enum code rc, const struct err *err);
};

/* Any thread; many calls of one loop turn become one append.  False only
 * where the node has stopped ('done' will not run). */
bool rc_propose(struct rc_node *node, struct rc_proposal *p) MUST_USE;

struct rc_status {
	uint64_t node_id, leader_id, term, commit, applied, last;
	uint64_t checkpoint_index, log_bytes, log_first;
	struct uuid cluster_id;
	bool is_leader, is_ready;       /* leader known and applied caught up at start */
	uint64_t wal_writes, wal_entries, wal_bytes, wal_sync_us_p99;
	uint64_t proposals, refused, uncertain;
	uint64_t turn_max_us;
	uint64_t checkpoints, checkpoints_failed;      /* of this run */
	bool direct_io;
};
/* Any thread. */
void rc_node_status(struct rc_node *node, struct rc_status *out);

#endif
