/*
 * All decisions of a node of a cluster as one single-threaded object: what is
 * appended, what is sent, what is applied, when a checkpoint is taken, what of
 * the log is given up.  It has no thread and no clock; files come through
 * `struct fs`, everything that takes time goes out through `struct node_host`
 * and comes back as a call.  node.c drives it with threads, a simulator with a
 * queue of its own.
 *
 *	core                        host                      answers with
 *	node_core_start       -->   append(entries)     -->   node_core_written
 *	node_core_propose     -->   send(peer, message)
 *	node_core_receive     -->   load(from, to)      -->   node_core_loaded
 *	node_core_timeout     -->   apply(batch)        -->   node_core_applied
 *	node_core_change      -->   checkpoint(c)       -->   node_core_frozen,
 *	node_core_transfer                                    node_core_checkpointed
 *	node_core_read, _ask, node_core_backup
 *	                            cut(index)          -->   (nothing)
 *	                            ship(peer, c)       -->   node_core_shipped
 *	node_core_install     -->   install(c, path)    -->   node_core_installed
 *
 * Rules for a host:
 * - append, load, cut and install are done one after another in the order they were
 *   asked for, on the log of node_core_wal (wal_append, node_load, wal_cut); the
 *   answer of one append may stand for those before it.
 * - Messages to one peer arrive in the order in which they were sent, each at
 *   most once; after a new connection nothing of an old one arrives.  Any may
 *   get lost.
 * - One apply or freeze is out at a time, and at most one load and one
 *   checkpoint.
 * - No function of the host calls back into the core before it returns; nor do
 *   the callbacks of changes, transfers and reads.
 * - After each call of the core: node_core_deadline says when to call
 *   node_core_timeout, node_core_view what is to be published.
 * - Time is in milliseconds of one monotonic clock.
 * - node_core_open calls machine.open, bytes and digest, and close where it refuses the
 *   state; the core calls nothing else of the machine.
 *
 * What holds:
 * - Term and vote are durable before anything of the same step is sent.  Entries
 *   go to the peers while they are written here; the leader counts itself only
 *   when they are durable.
 * - Only what is committed, and durable here, is applied.
 * - The newest entries are in memory (a bound, beside what is not durable or not
 *   applied); older ones are read back to be sent or applied.
 * - A proposal is refused with E_NOT_LEADER (nothing was appended, or what was
 *   appended can never be applied), with E_UNCERTAIN (leadership was lost and
 *   two election timeouts later it is still open), or it is applied.
 * - A membership entry is alone in its append, and changes follow the procedure
 *   of guard C (guard.h).
 *
 * Failure for good (the log, the machine) comes once through fatal(); from then
 * on proposals are refused and nothing is asked of the host any more.
 */
#ifndef NODE_NODE_CORE_H
#define NODE_NODE_CORE_H

#include "node/checkpoint.h"
#include "node/engine.h"
#include "node/view.h"
#include "node/writer.h"
#include "raftcore/raftcore.h"

struct node_core;
struct identity;
struct founder;

#define NODE_NOWHERE SIZE_MAX            /* of room: there is no connection */

struct node_host {
	/* For the log.  'append' with its entries stays valid until it was
	 * answered by its sequence. */
	void (*append)(void *host, struct append *append);
	/* Durable entries 'from'..'to' (or fewer, at least one) back to memory:
	 * node_load. */
	void (*load)(void *host, uint64_t from, uint64_t to);
	/* Hands a batch to the machine; entries stay valid until the answer.
	 * 'makes_ready': with it the node has caught up with its start.
	 * 'wants_digest': then the machine's digest goes with the answer; with
	 * no entries that is all there is to do. */
	void (*apply)(void *host, const struct rc_entry *entries, size_t n,
		      bool makes_ready, bool wants_digest);
	/* Freezes the machine, which stands at c->index now; answers
	 * node_core_frozen at once and node_core_checkpointed when the file has
	 * its name (or has failed).  'c' stays valid until then. */
	void (*checkpoint)(void *host, const struct checkpoint *c);
	/* Has the files of 'c' (valid during the call; length and digest of the
	 * picture come from checkpoint_load) sent to 'peer', which verifies them
	 * and calls node_core_install; answers node_core_shipped when that is
	 * over, whatever came of it.  One for a peer at a time; a
	 * checkpoint that goes meanwhile (checkpoint_prune) ends it.  NULL: no
	 * peers. */
	void (*ship)(void *host, uint64_t peer, const struct checkpoint *c);
	/* Puts 'c', whose verified picture lies at 'path', in the place of the
	 * log and the state: node_install where the log is, then machine.close
	 * and machine.open with its picture, which takes it where the state
	 * stands below; answers node_core_installed.  Nothing is with the machine
	 * until then.  'c' and 'path' stay valid. */
	void (*install)(void *host, const struct checkpoint *c,
			const char *path);
	/* What node_core_install was given is over: OK; E_CONFLICT, it is not
	 * needed (any more); E_BUSY, another is being installed; E_INVALID, its
	 * membership.  Where it is not OK the file is the host's to remove. */
	void (*install_done)(void *host, enum code rc);
	/* wal_cut; a failure is no harm and is tried at the next checkpoint. */
	void (*cut)(void *host, uint64_t index);
	/* A message for 'peer'; it and its bytes are valid during the call. */
	void (*send)(void *host, uint64_t peer, const struct engine_message *m);
	/* Bytes that the connection to 'peer' takes now.  0: entries wait until
	 * node_core_writable.  NODE_NOWHERE: they are lost.  NULL: always room. */
	size_t (*room)(void *host, uint64_t peer);
	/* This proposal is not applied, or it is not known (E_UNCERTAIN). */
	void (*refuse)(void *host, struct rc_proposal *p, enum code rc,
		       const char *text);
	void (*role)(void *host, bool is_leader, uint64_t leader, uint64_t term);
	/* The membership of entry 'index' (engine_members) is in force here: applied,
	 * come with a checkpoint, or begun with.  NULL: nobody wants to know. */
	void (*members)(void *host, uint64_t index, struct str conf);
	void (*fatal)(void *host, const struct err *err);
	/* What came of comparing effect chains is another thing now; 'index' is
	 * where, 'peer' whose state differs (RC_DIFFERS).  May be NULL. */
	void (*diverged)(void *host, enum rc_divergence what, uint64_t index,
			 uint64_t peer);
};

struct node_member {
	uint64_t id;
	const char *address;
};

/*
 * A folder that is new is that of
 *	- a cluster of one: no members, 'joins' false;
 *	- a first member of a cluster: every one of them is given the same
 *	  members, in any order, which makes the same first entry and the same
 *	  cluster id (node_cluster_of);
 *	- a later member: 'joins', with the cluster's id.  It waits for a leader
 *	  that has it as a member (node_core_change there);
 *	- a node whose cluster is to be formed: 'forms'.  It waits for
 *	  node_core_form, and has no log until then.
 */
struct node_core_config {
	const struct rc_config *node;    /* copied; loop and pool unused */
	struct fs *fs;
	enum wal_tending tending;        /* of its log */
	unsigned seed;                   /* of the election timer */
	const struct node_member *members;       /* copied */
	size_t n_members;
	bool joins, forms;
	const struct uuid *cluster;      /* copied; NULL: as said above */
	const struct node_host *host;
	void *host_data;
};

/*
 * Opens or creates what lies in the folder (the lock is the host's): identity,
 * term and vote, the log, the newest whole checkpoint that the log reaches back
 * to, and the machine.  Blocking.  E_CORRUPT: damage, or a gap between
 * checkpoint and log; E_DENIED: the folder of another node or cluster; E_INVALID:
 * the members.
 */
enum code node_core_open(const struct node_core_config *config,
			 struct node_core **out, struct err *err) MUST_USE;
/* The id of the cluster that these members found. */
struct uuid node_cluster_of(const struct node_member *members, size_t n);
/* Proposals that are not answered are told E_UNCERTAIN (refuse); nothing else
 * is asked of the host.  Before node_core_free, after the last answer. */
void node_core_stop(struct node_core *core);
/* Closes the log; not the machine.  Accepts NULL and half-built. */
void node_core_free(struct node_core **core);

void node_core_start(struct node_core *core, uint64_t now_ms);
bool node_core_waits(const struct node_core *core);
/* Writes identity and log (blocking).  OK: node_core_start is to be called again;
 * E_FULL: this is, with the same. */
enum code node_core_form(struct node_core *core, const struct uuid *cluster,
			 const struct founder *founders, size_t n,
			 struct err *err) MUST_USE;
/* 'first' is a list by next_; each has its id and its done. */
void node_core_propose(struct node_core *core, uint64_t now_ms,
		       struct rc_proposal *first);
/* A message that came in from m->peer; it is consumed during the call. */
void node_core_receive(struct node_core *core, uint64_t now_ms,
		       struct engine_message *m);
/* host.room answers more than 0 again. */
void node_core_writable(struct node_core *core);
void node_core_timeout(struct node_core *core, uint64_t now_ms);
/* When node_core_timeout is due. */
uint64_t node_core_deadline(const struct node_core *core);

/* All appends up to append->sequence 'sequence' are durable (rc OK), or the log
 * has failed. */
void node_core_written(struct node_core *core, uint64_t now_ms,
		       uint64_t sequence, enum code rc, const struct err *err);
/* What the machine says of itself: bytes() now, and digest() where that was
 * asked for. */
struct node_stand {
	uint64_t bytes;
	uint8_t digest[32];
};
/* The batch was applied; or not, and who proposed what is in it is told so. */
void node_core_applied(struct node_core *core, uint64_t now_ms, enum code rc,
		       const struct err *err, const struct node_stand *stand);
void node_core_hurry(struct node_core *core, uint64_t now_ms, bool on); /* hurry.h */
/* The picture is taken, or not: then no node_core_checkpointed follows.  Apply goes on. */
void node_core_frozen(struct node_core *core, uint64_t now_ms, enum code rc);
/* It has its name, or was given up.  'kept_index' is what checkpoint_prune answered. */
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

/* ---- membership ---- */

/*
 * Embed it; valid until 'done' ran, which it does once, within a call of the
 * core.  OK: in force.  E_NOT_LEADER, E_NOT_FOUND, E_EXISTS, E_CONFLICT (guard
 * C says why not now): nothing was done.  E_UNCERTAIN: leadership was lost, it
 * may still come into force.
 */
struct node_change {
	struct engine_wish wish;         /* its 'least' is the core's */
	void (*done)(struct node_change *change, enum code rc,
		     const struct err *err);
};
void node_core_change(struct node_core *core, uint64_t now_ms,
		      struct node_change *change);

/* OK: 'id' leads.  E_NOT_LEADER, E_CONFLICT: nothing was done.  E_UNAVAILABLE:
 * it did not take over in three election timeouts. */
struct node_transfer {
	uint64_t id;
	void (*done)(struct node_transfer *transfer, enum code rc,
		     const struct err *err);
};
void node_core_transfer(struct node_core *core, uint64_t now_ms,
			struct node_transfer *transfer);

/* The servers of the newest membership of the log, for who connects. */
struct node_peer {
	uint64_t id;
	const char *address;             /* valid until the next call */
	bool votes;
	uint64_t match;                  /* what the leader knows it has; else 0 */
};
/* Fills up to 'cap'; answers how many there are. */
size_t node_core_peers(const struct node_core *core, struct node_peer *out,
		       size_t cap);

/* ---- linearizable reads ---- */

/*
 * Embed it; valid until 'done' ran, which it does once, within a call of the
 * core.  OK: 'index' is applied here, and whoever reads the state now sees all
 * that was acknowledged before node_core_read was called, on whichever node.
 * E_UNAVAILABLE: no leader confirmed it in four election timeouts.
 */
struct node_reader {
	struct node_reader *next_;
	uint64_t index_, until_ms_;
	void (*done)(struct node_reader *reader, enum code rc, uint64_t index,
		     const struct err *err);
};
/* Leader or follower; many share a round, which begins with node_core_ask. */
void node_core_read(struct node_core *core, uint64_t now_ms, struct node_reader *r);
void node_core_ask(struct node_core *core, uint64_t now_ms);

/* ---- checkpoints on demand ---- */

/*
 * Embed it; valid until 'done' ran, which it does once, within a call of the
 * core.  OK: checkpoint 'c', valid during the call, counts and has all that was
 * applied here at the call of node_core_backup; it may have been there before.
 * Else none could be taken; E_UNSUPPORTED: none ever is.
 */
struct node_backup {
	struct node_backup *next_;
	uint64_t index_;
	void (*done)(struct node_backup *backup, enum code rc,
		     const struct checkpoint *c, const struct err *err);
};
void node_core_backup(struct node_core *core, uint64_t now_ms,
		      struct node_backup *backup);

/* ---- checkpoints from node to node ---- */

void node_core_shipped(struct node_core *core, uint64_t peer);
/* A checkpoint of this cluster came in: its picture lies at 'path', below the
 * folder of checkpoints, synced and verified.  'c' and 'path' are copied.  It
 * may have to wait for a batch or a checkpoint that is under way. */
void node_core_install(struct node_core *core, uint64_t now_ms,
		       const struct checkpoint *c, const char *path);
/* Names it and restarts the log behind it, so that a crash at any step leaves
 * the one or the other.  Where the log is; 'dir' is the data directory.  E_FULL: again. */
enum code node_install(struct fs *fs, struct fs *files, const char *dir,
		       struct wal *wal, const struct checkpoint *c,
		       const char *path, struct err *err) MUST_USE;
/* 'at' is what machine.open answered; 'stand' has the digest, too. */
void node_core_installed(struct node_core *core, uint64_t now_ms, enum code rc,
			 const struct rc_applied *at,
			 const struct node_stand *stand, const struct err *err);

struct wal *node_core_wal(struct node_core *core);
struct fs *node_core_files(const struct node_core *core);
const struct identity *node_core_identity(const struct node_core *core);

void node_core_view(const struct node_core *core, struct node_core_view *out);

#endif
