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
 * Threads: the raft loop (engine steps, timers and the connections to other
 * nodes; never waits), the WAL thread (one record a write), the apply loop (given
 * by the caller), workers for checkpoints.  A cluster of one runs exactly what
 * three run.
 *
 * A proposal has three outcomes: done (applied; the machine says what came of
 * it), refused before it was appended (E_NOT_LEADER, E_BUSY, E_FULL,
 * E_TOO_LARGE), and uncertain (E_UNCERTAIN: it may still be applied).
 */
#ifndef RAFTCORE_RAFTCORE_H
#define RAFTCORE_RAFTCORE_H

#include "raftcore/calls.h"
#include "raftcore/events.h"
#include "raftcore/machine.h"
#include "raftcore/peers.h"
#include "base/rand.h"

struct rc_node;
struct rc_received;
struct loop;
struct pool;
struct net;
struct net_config;
struct net_handlers;
struct net_tls;
struct seal_provider;

/* A member of the first membership. */
struct rc_member {
	uint64_t id;                    /* 1.. */
	const char *address;            /* host:port that others reach it at */
};

/*
 * What came of comparing this node's state with the others' (machine.h, digest).
 * A node whose state is not that of the majority is fenced, for good: it still
 * stores, sends and votes, and does nothing else.  Wipe it and let it join under
 * a new id.
 */
enum rc_divergence {
	RC_ALIKE,                       /* nobody's differs, as far as is known */
	RC_DIFFERS,                     /* somebody's does; no majority is
					   against this node */
	RC_FENCED,                      /* a majority is */
};

struct rc_config {
	const char *dir;
	uint64_t node_id;               /* 1.. */
	const char *address;            /* that others reach it at; "" for one */
	unsigned election_timeout_ms;   /* 300 */
	unsigned heartbeat_ms;          /* 50 */
	uint64_t segment_bytes;         /* 64 MiB; at most 1 GiB */
	uint64_t checkpoint_log_bytes;  /* least log between checkpoints, 256 MiB */
	uint64_t entry_bytes_max;       /* 1 MiB */
	uint64_t inflight_bytes_max;    /* 64 MiB */
	unsigned inflight_entries_max;  /* 8,192 */
	unsigned checkpoints_kept;      /* 2 */
	/* States are compared where the index is a multiple of it, 1,024, and
	 * when nothing is applied; the same on all nodes.  0: they are not. */
	unsigned compare_entries;
	unsigned gather_ms;             /* 0; raftcore/hurry.h */
	struct loop *apply_loop;        /* where the machine is called */
	/* Checkpoints: taken, sent, received.  NULL: none are.  One in the
	 * background (pool_set_background) delays commands least. */
	struct pool *pool;
	struct rc_machine machine;
	/*
	 * The cluster that a new directory becomes part of: none, a cluster of
	 * one; members, the same list on each of them, in any order, this node
	 * among them; or 'joins', a later member that waits until a leader adds
	 * it.  Who joins names in 'members' the nodes that it lets in until then:
	 * the cluster's, or at least the one that leads.
	 */
	const struct rc_member *members;         /* copied */
	size_t n_members;
	bool joins;
	const struct uuid *cluster_id;  /* of 'joins'; NULL else; copied */
	/* Or 'forms': nodes without data find each other (raftcore/form.h). */
	bool forms;
	unsigned expect;                /* 0: until rc_initialize */
	const char *discover;           /* host:port; NULL; copied; needs 'pool' */
	const char *listen;             /* host:port; NULL: alone; copied */
	/* The transport (net/net.h, struct net_ops): called by rc_node_start, where
	 * 'listen' is not NULL, with that, ids, loop and TLS; what an address means
	 * is its business then.  NULL: net_open_tcp. */
	enum code (*open_net)(const struct net_config *config,
			      const struct net_handlers *handlers,
			      struct net **out, struct err *err);
	const struct net_tls *tls;      /* net/net.h; NULL: clear text; copied */
	bool allow_clear_text;          /* also beyond loopback */
	uint64_t ship_rate;             /* bytes a second of checkpoints and files
					   sent to others; 0: no limit */
	/* Keys of what is at rest (seal/seal.h; keyring_provider, say): log and
	 * checkpoints are sealed while it has a key for what is new.  NULL: they
	 * are not, and sealed ones are refused.  It stays as long as the node and
	 * the pictures of its backups. */
	const struct seal_provider *seal;
	/* Role or leader changed; apply loop.  May be NULL. */
	void (*on_role)(void *data, bool is_leader, uint64_t leader, uint64_t term);
	/* The machine or the log failed for good: not ready; apply loop. */
	void (*on_fatal)(void *data, const struct err *err);
	/* The outcome of the comparison is another one now; 'err' says what is
	 * known and what to do (RC_ALIKE: NULL); apply loop.  May be NULL. */
	void (*on_divergence)(void *data, enum rc_divergence what,
			      const struct err *err);
	/* What else happens (raftcore/events.h); apply loop.  May be NULL. */
	void (*on_event)(void *data, const struct rc_event *event);
	/* A file of another member has come (raftcore/files.h); apply loop.  NULL:
	 * none are taken. */
	void (*on_file)(void *data, const struct rc_received *file);
	void *data;
	/* Parts of files that nobody sends any more: what they may take, and for how
	 * long one is kept for its sender; 16 GiB and a week, 0: no limit. */
	uint64_t file_parts_bytes, file_parts_ms;
};

void rc_config_defaults(struct rc_config *config);

/*
 * Opens or creates the data directory: locks it, checks identity, recovers
 * the log (damage is refused with the place, a torn tail is cut), opens the
 * machine.  What a new directory becomes part of is said in rc_config.
 * Blocking; before the loops run.  E_FULL: there is no room for a segment of the
 * log or for the machine; nothing is lost, and it may be opened again.
 */
enum code rc_node_open(const struct rc_config *config, struct rc_node **out,
		       struct err *err) MUST_USE;
/* Listens, and starts the raft loop and the WAL thread; the apply loop must be
 * running or start soon.  E_BUSY, E_DENIED and others of net_open_tcp (or of
 * 'open_net'); then rc_node_stop and rc_node_free. */
enum code rc_node_start(struct rc_node *node, struct err *err) MUST_USE;
/* Refuses new proposals, ends all calls, waits for what is in flight, syncs and
 * closes the machine.  Called from the apply loop's thread after loop_join, or before
 * the loops started.  Of what waited for the machine then nobody is told: whoever
 * counts his proposals ends them himself, as E_UNCERTAIN. */
void rc_node_stop(struct rc_node *node);
/* After the apply loop was freed: messages of the node may wait there. */
void rc_node_free(struct rc_node **node);

/*
 * One proposal; embed it.  'data' must stay valid until 'done' ran.  'done'
 * runs on the apply loop only when the outcome is NOT apply: rc is the
 * refusal or E_UNCERTAIN.  When the entry is applied, the machine sees it
 * with entry.id == id and answers itself; 'done' is not called then, unless
 * applying fails.
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

/*
 * Any thread may call each of the following, unless it says otherwise.  Every
 * 'done' and every 'handle' runs on the apply loop; 'done' exactly once, at the
 * latest in rc_node_stop.  Where a call answers false the node has stopped, and
 * 'done' will not run.
 */

/* ---- reads ---- */

/* A linearizable read, at any node.  OK: this node's machine has applied all
 * that was acknowledged, on whichever node, before rc_read was called.
 * E_UNAVAILABLE: no leader confirmed it within 'timeout_ms'.  Many share a round
 * of messages. */
struct rc_read {
	uint32_t timeout_ms;            /* 1.. */
	void (*done)(struct rc_read *read, enum code rc, const struct err *err);
	/* 'done' does no more than hand on: it may run on the raft loop, a change of
	 * thread sooner, and calls nothing of this header. */
	bool is_brief;
};
bool rc_read(struct rc_node *node, struct rc_read *read) MUST_USE;

/*
 * A read that wants to see at least what another saw, at any node.  OK: this node's
 * machine has applied entry 'index' (rc_entry.index, at whichever node it was seen)
 * and all before it.  E_TIMEOUT: not within 'timeout_ms'.  E_UNAVAILABLE: it will
 * not: the node is fenced, has failed or stops.  Nobody else is asked, and a node that
 * gathers (raftcore/hurry.h) does not while somebody waits.
 */
struct rc_await {
	uint64_t index;
	uint32_t timeout_ms;            /* 1.. */
	void (*done)(struct rc_await *await, enum code rc, const struct err *err);
};
bool rc_await(struct rc_node *node, struct rc_await *await) MUST_USE;

/* ---- backups ---- */

/*
 * A backup, at any node: a stream (backup/backup.h) that holds all that was
 * acknowledged, at whichever node, before rc_backup was called.  A linearizable
 * read comes first, then a checkpoint of this node, paced as all of them are,
 * unless there is one that is new enough.
 *
 * 'done': OK, and the picture is the caller's.  E_UNAVAILABLE: no leader in
 * time, or the node stops; E_UNSUPPORTED: it takes no checkpoints; or why there
 * is none.
 */
struct rc_picture;
struct backup_head;             /* backup/backup.h */
struct rc_backup {
	uint32_t timeout_ms;            /* of the read; 1.. */
	/* What the application says of it in the head, at most
	 * BACKUP_ABOUT_MAX bytes: called once the read is confirmed, before the
	 * picture is taken, so that what is visible then is in it.  Apply loop;
	 * may be NULL. */
	void (*about)(struct rc_backup *backup, struct buf *out);
	void (*done)(struct rc_backup *backup, enum code rc,
		     struct rc_picture *picture, const struct err *err);
};
bool rc_backup(struct rc_node *node, struct rc_backup *backup) MUST_USE;
/*
 * The following of a picture: one thread at a time, which may block; also after
 * the node has stopped.  It holds the room of a checkpoint on disk.
 */
const struct backup_head *rc_picture_head(const struct rc_picture *picture);
/* Appends the next bytes, about a MiB; '*more' is false with the last.  After an
 * error there is no end, and so nobody takes it for whole. */
enum code rc_picture_read(struct rc_picture *picture, struct buf *out,
			  bool *more, struct err *err) MUST_USE;
void rc_picture_free(struct rc_picture **picture);

/* ---- membership ---- */

enum rc_change_type { RC_ADD, RC_PROMOTE, RC_DEMOTE, RC_REMOVE };

/* Leader only.  OK: in force.  E_NOT_LEADER, E_NOT_FOUND, E_EXISTS, E_CONFLICT
 * (not now, and why), E_INVALID (an id of 0, or more than 1,024 members): nothing
 * was done.  E_UNCERTAIN: it may still come into force. */
struct rc_change {
	enum rc_change_type type;       /* RC_ADD: it replicates, without a vote */
	uint64_t id;
	const char *address;            /* of RC_ADD; valid until done */
	bool force;                     /* below three voters */
	void (*done)(struct rc_change *change, enum code rc,
		     const struct err *err);
};
bool rc_change(struct rc_node *node, struct rc_change *change) MUST_USE;

/* Leader only.  OK: 'id' leads.  E_NOT_LEADER, E_CONFLICT: nothing was done.
 * E_UNAVAILABLE: it did not take over. */
struct rc_transfer {
	uint64_t id;
	void (*done)(struct rc_transfer *transfer, enum code rc,
		     const struct err *err);
};
bool rc_transfer(struct rc_node *node, struct rc_transfer *transfer) MUST_USE;

/* Reads the certificates again; connections that are open keep theirs.  Blocks.
 * On error the old ones stay. */
enum code rc_tls_reload(struct rc_node *node, struct err *err) MUST_USE;

/* ---- state ---- */

struct rc_status {
	uint64_t node_id, leader_id, term, commit, applied, last;
	uint64_t checkpoint_index, log_bytes, log_first;
	struct uuid cluster_id;
	/* Ready: a leader is known, what was committed when this node came up is
	 * applied, and it is not fenced. */
	bool is_leader, is_ready;
	bool is_full;           /* no room on the disk: not ready until there is */
	bool is_formed;                 /* it has a cluster; else ... */
	char waits_for[300];            /* ... for what it waits */
	uint64_t wal_writes, wal_entries, wal_bytes, wal_sync_us_p99;
	uint64_t proposals, refused, uncertain;
	/* The longest turn of the raft loop in the last 10 s, and the most that
	 * one computed; what is between them it waited for a processor. */
	uint64_t turn_max_us, turn_max_cpu_us;
	uint64_t checkpoints, checkpoints_failed;      /* of this run */
	uint64_t shipped, installed;    /* checkpoints, of this run */
	uint64_t malformed, lost;       /* messages of the engine */
	uint64_t refused_by[RC_REFUSALS];       /* connections, as of a second ago */
	bool direct_io;
	/* Where states differ, and whose (RC_DIFFERS); the newest index at which
	 * this node's was that of another. */
	enum rc_divergence divergence;
	uint64_t divergence_index, divergence_peer, compared;
	/* At rest: is what is new sealed, with which key; and segments of the log
	 * that are not sealed so (plain, or by another key). */
	bool is_sealed;
	char seal_key[64];
	uint64_t other_segments;
};
/* Any thread. */
void rc_node_status(struct rc_node *node, struct rc_status *out);

#endif
