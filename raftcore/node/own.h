/*
 * What the files of node/ share of a node; nobody else includes it.
 *
 *	node.c		the raft loop: proposals, log, commit, apply
 *	open.c		from files to a node: lock, identity, checkpoint, log,
 *			machine
 *	snapshot.c	taking checkpoints and cutting the log
 *	checkpoint.c	their files
 *
 * Fields belong to the raft loop where nothing else is said.
 */
#ifndef NODE_OWN_H
#define NODE_OWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "io/loop.h"
#include "io/pool.h"
#include "io/timer.h"
#include "node/checkpoint.h"
#include "node/engine.h"
#include "node/identity.h"
#include "node/writer.h"
#include "raftcore/raftcore.h"
#include "wal/vote.h"

#define PART "raft"
#define ID_BYTES 8
#define APPLY_ENTRIES 1024
#define APPLY_BYTES (8 * 1024 * 1024)

/* The entries of one append, with their bytes. */
struct block {
	struct append append;
	struct block *next;
	unsigned refs;                   /* entries that are not applied yet */
	struct wal_entry *entries;
	char *bytes;
};

/* An entry of the log that is not applied yet. */
struct slot {
	struct wal_entry entry;
	struct block *block;             /* NULL: recovered, owns its bytes */
	struct rc_proposal *proposal;    /* to be told if it is never applied */
};

struct rc_node {
	struct rc_config config;
	char *dir, *state_dir;
	int lock_fd;
	struct identity identity;
	struct vote vote;
	struct wal *wal;
	struct engine *engine;
	struct writer *writer;
	struct loop *loop;
	struct timer timer;
	struct turn turn;
	bool is_leader, has_started, is_machine_open;

	/* Entries above what is applied, by index; a ring would save the
	 * moving, which is one memmove a batch. */
	struct slot *slots;
	size_t n_slots, cap_slots;
	uint64_t first_slot;             /* index of slots[0] */
	struct engine_entry *recovered;  /* all of the log, for the start */
	size_t n_recovered, cap_recovered;
	uint64_t recovered_first;

	/* Proposals that came in this turn. */
	pthread_mutex_t inbox_lock;
	struct rc_proposal *inbox, **inbox_last;
	bool is_woken, is_stopping;
	struct msg wake;
	size_t unapplied_bytes;

	/* The batch that is with the apply loop. */
	bool is_applying;
	struct rc_entry batch[APPLY_ENTRIES];
	size_t n_batch;
	struct msg apply_msg, applied_msg, fatal_msg, stop_msg, written_msg;
	struct err fatal;
	uint64_t ready_at;               /* index that makes it ready */

	/* Checkpoints (snapshot.c). */
	char *checkpoints_dir;
	struct checkpoint checkpoint;    /* the newest; bytes and sum unused */
	struct buf conf;                 /* membership that is applied */
	uint64_t conf_index;
	struct taking *taking;           /* under way, or NULL */
	_Atomic bool is_taking;
	uint64_t logged_bytes;           /* applied since the newest */
	unsigned n_batches;              /* apply loop */
	uint64_t retry_bytes;            /* after a failure: not before so many */
	_Atomic uint64_t machine_bytes, machine_bytes_start;
	_Atomic uint64_t checkpoint_index;

	_Atomic uint64_t written, commit, applied, term, leader, next_id;
	_Atomic uint64_t proposals, refused, uncertain;
	_Atomic bool leads, ready, failed, ended, written_posted;
};

/* node.c */
void node_fail(struct rc_node *n, const struct err *err);
struct slot *slot_add(struct rc_node *n, uint64_t index);

/* open.c */
void node_free_recovered(struct rc_node *n);

/* ---- snapshot.c ---- */
/* Entries of 'bytes' are applied: takes a checkpoint where one is due. */
void snapshot_consider(struct rc_node *n, uint64_t bytes);
/* True while the picture that is being copied makes the store grow. */
bool snapshot_is_crowded(struct rc_node *n);
/* A membership entry is applied. */
void snapshot_note_conf(struct rc_node *n, uint64_t index, struct str conf);
/* Waits until no worker needs the machine; the raft loop has ended. */
void snapshot_stop(struct rc_node *n);

#endif
