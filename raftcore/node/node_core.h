/*
 * All decisions of a node as one single-threaded object: what is appended, what
 * is applied, when a checkpoint is taken, what of the log is given up.  It has
 * no thread and no clock; files come through `struct fs`, everything that takes
 * time goes out through `struct node_host` and comes back as a call.  node.c
 * drives it with threads, a simulator with a queue of its own.
 *
 *	core                        host                      answers with
 *	node_core_start       -->   append(entries)     -->   node_core_written
 *	node_core_propose     -->   load(from, to)      -->   node_core_loaded
 *	node_core_timeout     -->   apply(batch)        -->   node_core_applied
 *	                            checkpoint(c)       -->   node_core_frozen,
 *	                                                      node_core_checkpointed
 *	                            cut(index)          -->   (nothing)
 *
 * Rules for a host:
 * - append, load and cut are done one after another in the order they were
 *   asked for, on the log of node_core_wal (wal_append, node_load, wal_cut); the
 *   answer of one append may stand for those before it.
 * - One apply or freeze is out at a time, and at most one load and one
 *   checkpoint.
 * - No function of the host calls back into the core before it returns.
 * - After each call of the core: node_core_deadline says when to call
 *   node_core_timeout, node_core_view what is to be published.
 * - Time is in milliseconds of one monotonic clock.
 * - node_core_open calls machine.open and bytes; the core calls nothing else of
 *   the machine.
 *
 * Failure for good (the log, the machine) comes once through fatal(); from then
 * on proposals are refused and nothing is asked of the host any more.
 */
#ifndef NODE_NODE_CORE_H
#define NODE_NODE_CORE_H

#include "node/checkpoint.h"
#include "node/writer.h"
#include "raftcore/raftcore.h"

struct node_core;

struct node_host {
	/* For the log.  'append' with its entries stays valid until it was
	 * answered by its sequence. */
	void (*append)(void *host, struct append *append);
	/* Durable entries 'from'..'to' (or fewer, at least one) back to memory:
	 * node_load. */
	void (*load)(void *host, uint64_t from, uint64_t to);
	/* Hands a batch to the machine; entries stay valid until the answer.
	 * 'makes_ready': with it the node has caught up with its start. */
	void (*apply)(void *host, const struct rc_entry *entries, size_t n,
		      bool makes_ready);
	/* Freezes the machine, which stands at c->index now; answers
	 * node_core_frozen at once and node_core_checkpointed when the file has
	 * its name (or has failed).  'c' stays valid until then. */
	void (*checkpoint)(void *host, const struct checkpoint *c);
	/* wal_cut; a failure is no harm and is tried at the next checkpoint. */
	void (*cut)(void *host, uint64_t index);
	/* This proposal is not applied, or it is not known (E_UNCERTAIN). */
	void (*refuse)(void *host, struct rc_proposal *p, enum code rc,
		       const char *text);
	void (*role)(void *host, bool is_leader, uint64_t leader, uint64_t term);
	void (*fatal)(void *host, const struct err *err);
};

struct node_core_config {
	const struct rc_config *node;    /* copied; loop and pool unused */
	struct fs *fs;
	unsigned seed;                   /* of the election timer */
	const struct node_host *host;
	void *host_data;
};

/*
 * Opens or creates what lies in the folder (the lock is the host's): identity,
 * term and vote, the log, the newest whole checkpoint that the log reaches back
 * to, and the machine.  Blocking.  E_CORRUPT: damage, or a gap between
 * checkpoint and log; E_DENIED: another node's folder.
 */
enum code node_core_open(const struct node_core_config *config,
			 struct node_core **out, struct err *err) MUST_USE;
/* Proposals that are not answered are told E_UNCERTAIN (refuse); nothing else
 * is asked of the host.  Before node_core_free, after the last answer. */
void node_core_stop(struct node_core *core);
/* Closes the log; not the machine.  Accepts NULL and half-built. */
void node_core_free(struct node_core **core);

void node_core_start(struct node_core *core, uint64_t now_ms);
/* 'first' is a list by next_; each has its id and its done. */
void node_core_propose(struct node_core *core, uint64_t now_ms,
		       struct rc_proposal *first);
void node_core_timeout(struct node_core *core, uint64_t now_ms);
/* When node_core_timeout is due. */
uint64_t node_core_deadline(const struct node_core *core);

/* All appends up to append->sequence 'sequence' are durable (rc OK), or the log
 * has failed. */
void node_core_written(struct node_core *core, uint64_t now_ms,
		       uint64_t sequence, enum code rc, const struct err *err);
/* The batch was applied; 'machine_bytes' is machine.bytes() now. */
void node_core_applied(struct node_core *core, uint64_t now_ms, enum code rc,
		       const struct err *err, uint64_t machine_bytes);
/* The picture is taken (or not: then no node_core_checkpointed follows) and
 * apply may go on. */
void node_core_frozen(struct node_core *core, uint64_t now_ms, enum code rc);
/* The checkpoint has its name, or was given up.  'kept_index' is what
 * checkpoint_prune answered. */
void node_core_checkpointed(struct node_core *core, uint64_t now_ms,
			    enum code rc, uint64_t kept_index);

/* Entries read back; to the core they go with node_core_loaded. */
struct node_loaded {
	struct wal_entry *entries;       /* each owns its bytes */
	size_t n, cap;
};
/* Reads at most one batch.  Where the log is (see the rules above). */
enum code node_load(struct wal *wal, uint64_t from, uint64_t to,
		    struct node_loaded *out, struct err *err) MUST_USE;
void node_loaded_fini(struct node_loaded *loaded);
/* Takes the entries over ('*loaded' is empty then). */
void node_core_loaded(struct node_core *core, uint64_t now_ms, enum code rc,
		      struct node_loaded *loaded, const struct err *err);

struct wal *node_core_wal(struct node_core *core);

/* What others may know of it. */
struct node_core_view {
	struct uuid cluster;
	uint64_t term, leader, commit, applied, durable;
	uint64_t checkpoint_index, log_since_bytes;
	uint64_t proposals;
	bool is_leader, has_failed;
};
void node_core_view(const struct node_core *core, struct node_core_view *out);

#endif
