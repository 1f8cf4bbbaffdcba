/*
 * The seam between what decides and what is replicated.
 *
 * The store owns the core loop, the node of raftcore and the state.  Others
 * submit commands and read through views; who leads and what is retried is
 * hidden here: a write goes to the leader, waits a bounded time where there is
 * none, and is told when it can be read at this node.
 *
 * A write has three outcomes: done (outcome.code OK), refused (any other
 * code), uncertain (E_UNCERTAIN: it may still happen; ask again with the same
 * idempotency key).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "io/loop.h"
#include "io/pool.h"
#include "raftcore/form.h"
#include "raftcore/raftcore.h"
#include "state/view.h"
#include "store/view.h"

struct store;

struct store_config {
	const char *dir;                 /* the data directory */
	uint64_t map_bytes;              /* storage.map_size; 0: 64 GiB */
	uint64_t checkpoint_log_bytes;   /* 0: raftcore's default */
	unsigned gather_ms;              /* 0: 5; of followers (raftcore/hurry.h) */
	/* Keys of log and checkpoints, as of rc_config; NULL: none. */
	const struct seal_provider *seal;
	struct {
		/* As of rc_config; without 'listen' this node is alone. */
		uint64_t node_id;        /* 0: 1 */
		const struct rc_member *members;
		size_t n_members;
		bool joins, forms;
		unsigned expect;
		const char *discover, *address;
		const struct uuid *cluster_id;
		const char *listen;
		const struct net_tls *tls;
		bool allow_clear_text;
		uint64_t ship_rate;
		unsigned election_ms;    /* 0: raftcore's default */
	} cluster;
	/* A write without a leader, and a linearizable read, is held this long;
	 * 0: 2,000. */
	unsigned hold_ms;
	uint64_t knows;                  /* see struct state_config */
	/* The wall clock that is compared with the others'; NULL: the machine's.
	 * Core loop. */
	uint64_t (*wall_ms)(void *data);
	struct limits limits;            /* retention; zeros leave what is in force */
	/* The node can no longer apply or write its log; core loop. */
	void (*on_fatal)(void *data, const struct err *err);
	/* Another node asks this one as the leader (store_ask): to be answered
	 * by store_answer, now or later.  Core loop; may be NULL. */
	void (*asked)(void *data, struct rpc_token token, struct str body);
	/* Another node, 'peer', or this one says something of instances
	 * (store/calls.h): as of 'asked'. */
	void (*fleet)(void *data, struct rpc_token token, uint64_t peer,
		      struct str body);
	void *data;
};

/* Opens log and state (blocking), then starts the core loop, the raft loop
 * and the WAL thread.  E_BUSY: another process holds the directory. */
enum code store_open(const struct store_config *config, struct store **out,
		     struct err *err) MUST_USE;
/* Writes what was denied (for two seconds at most), refuses new writes, waits for
 * those in flight, syncs.  Not from a loop.  Outcomes go to the loops of whoever wrote,
 * which must be there still, running or not; workers that wait for one do so before. */
void store_stop(struct store *store);
/* Stops it where that was not done, and frees it. */
void store_close(struct store **store);
/* Where this node leads, has another take over, so that nobody waits for an election
 * when it ends: best effort, for 'wait_ms' at most.  Not from a loop. */
void store_hand_over(struct store *store, unsigned wait_ms);
struct loop *store_core_loop(struct store *store);

/* ---- writing ---- */

struct store_write;
typedef void store_done(struct store_write *w, const struct outcome *outcome);

/*
 * One write; embed it.  'bytes' is an encoded command of type OPS (or another
 * type, for the system), and must stay valid until 'done' ran, on 'home'.
 * 'outcome' is valid during the call.  Commands larger than one log entry are
 * staged in parts by the store.
 */
struct store_write {
	struct loop *home;
	struct str bytes;
	store_done *done;
	/* private */
	struct msg msg_;
	struct rc_proposal proposal_;
	struct store *store_;
	struct outcome outcome_;         /* results: its own memory */
	struct stage *stage_;
};

/* While the state of a backup takes the place of this one nothing new comes in
 * (E_UNAVAILABLE).  Any thread. */
void store_take_backup(struct store *store, bool on);
/* Any thread.  False: the store is stopping ('done' will not run). */
bool store_submit(struct store *store, struct store_write *w) MUST_USE;

/* As store_submit, and blocks the calling thread (a worker, never a loop).
 * Answers OK where there is an outcome, also a refusal; results are in 'arena'.
 * E_UNCERTAIN: store_end_waits came first. */
enum code store_submit_wait(struct store *store, struct str bytes,
			    struct arena *arena, struct outcome *out,
			    struct err *err) MUST_USE;
/* Nobody waits there for longer than that, lest a full disk hold up an end: those who
 * do are answered then, and later ones at once.  Any thread. */
void store_end_waits(struct store *store, uint64_t within_ms);

/* Puts small content, whose digest is 'sha', into the command itself, borrowing
 * it; false: there is no room, and it goes first. */
bool store_inline_content(struct arena *arena, struct command *c,
			  struct str tenant, struct str content,
			  const struct sha256 *sha) MUST_USE;

/*
 * Larger content goes first, by parts of BLOB_PART_MAX: calls 'each' with the BLOB
 * commands that store 'content'.  Submit them before the command that names
 * the content; the log keeps the order, so they need not be waited for.
 */
void store_blob_commands(struct arena *arena, struct str tenant,
			 struct str content, uint64_t now_ms,
			 void (*each)(void *data, struct str bytes), void *data);

/* A request was denied: 'who' wanted 'why'.  Counted, and written to the audit log
 * once a minute and when the store closes, bounded.  Any thread. */
void store_denied(struct store *store, struct str who, struct str why);
/* As that, of somebody unknown: whose network counts. */
void store_denied_from(struct store *store, const char *host, struct str why);

/* ---- roles ---- */

/*
 * 'done' runs when this node shows revision 'rev', or two seconds later all the
 * same; maybe before store_await returns.  Embed it; core loop.
 */
struct store_await {
	uint64_t rev;
	void (*done)(struct store_await *await);
	struct list at_;
	uint64_t deadline_ms_;
};
void store_await(struct store *store, struct store_await *await);
/* Any thread; a moment later it may be otherwise. */
bool store_leads(struct store *store);
/* Told on the core loop when this node begins to lead, or ends to.  Embed it;
 * what it is now store_leads says.  Both: core loop; off also within 'changed'. */
struct store_role {
	void (*changed)(struct store_role *role, bool leads);
	struct list at_;
};
void store_on_role(struct store *store, struct store_role *role);
void store_off_role(struct store_role *role);

/* ---- who is in the cluster ---- */

/* Numbers are on the wire. */
enum store_member_what {
	STORE_MEMBER_ADD,                /* it replicates, without a vote */
	STORE_MEMBER_PROMOTE,
	STORE_MEMBER_DEMOTE,
	STORE_MEMBER_REMOVE,
	STORE_MEMBER_LEAD,               /* it is to lead */
};

/* Who asks, as the audit names it; copied. */
struct store_who {
	struct subject subject;
	struct str credential, origin, reason;
	uint8_t trace[16];
};

/* Embed it.  Made at the leader, wherever it is asked for, and audited
 * (docs/decisions/0016); codes as of rc_change and rc_transfer, and E_UNAVAILABLE:
 * there is no leader, or the record of who asks could not be written. */
struct store_members {
	struct loop *home;               /* where 'done' runs */
	struct store_who who;
	enum store_member_what what;
	uint64_t id;
	const char *address;             /* of ADD; else "" */
	bool force;                      /* below three voters */
	void (*done)(struct store_members *m, enum code rc,
		     const struct err *err);
	struct rc_call call_;
	struct msg msg_;
	struct buf body_;
	size_t short_at_, short_n_;      /* of it: without who asks */
	struct store *store_;
	enum code rc_;
	struct err err_;
};
/* Any thread.  False: the store is stopping. */
bool store_members_change(struct store *store,
			  struct store_members *m) MUST_USE;
/* As rc_initialize; 'done' runs on 'home'.  Of 'who' the origin and the trace are
 * what the audit says.  Embed it. */
struct store_initialize {
	struct loop *home;
	struct store_who who;
	unsigned expect;
	void (*done)(struct store_initialize *i, enum code rc,
		     const struct err *err);
	struct rc_initialize rc_initialize_;
	struct msg msg_;
	struct store *store_;
	struct buf origin_;
	bool has_noted_;
	enum code rc_;
	struct err err_;
};
/* Any thread.  False: the store is stopping. */
bool store_initialize(struct store *store,
		      struct store_initialize *i) MUST_USE;
/* As rc_tls_reload; blocks. */
enum code store_tls_reload(struct store *store, struct err *err) MUST_USE;
/* As rc_peers. */
size_t store_members_get(struct store *store, struct rc_peer *out, size_t cap);

/* ---- reading ---- */

/* Linearizable reads: 'done' runs on 'home' when this node has applied all that
 * was committed anywhere when it was asked for; then views are to be taken.
 * E_UNAVAILABLE: no leader in time.  Embed it. */
struct store_barrier {
	struct loop *home;
	void (*done)(struct store_barrier *b, enum code rc,
		     const struct err *err);
	struct rc_read read_;
	struct msg msg_;
	enum code rc_;
	struct err err_;
};
/* Any thread.  False: the store is stopping. */
bool store_barrier(struct store *store, struct store_barrier *b) MUST_USE;

/* As rc_backup; 'done' and 'about' run on the core loop.  Any thread. */
bool store_backup(struct store *store, struct rc_backup *backup) MUST_USE;

/* ---- following ---- */

/* Wake-ups on 'home' when new revisions are visible, or tokens have changed,
 * coalesced: 'rev' is the newest.  Embed it.  Start on its own loop, stop on its own loop. */
struct follower {
	struct loop *home;
	void (*wake)(struct follower *f, uint64_t rev);
	/* private */
	struct store *store_;
	struct msg wake_, follow_, unfollow_;
	struct list at_;
	_Atomic uint64_t rev_;
	_Atomic bool posted_, rests_;
	void (*stopped_)(struct follower *f);
};
void store_follow(struct store *store, struct follower *f);
/* Nobody on its loop waits for a revision now, so no wake-up is needed; or somebody does
 * ('rests' false): what was visible before this is then to be looked at once more, and
 * what comes later wakes.  On its own loop. */
void follower_rests(struct follower *f, bool rests);
/* After 'stopped' (runs on home) no wake-up comes and the memory is free. */
void store_unfollow(struct store *store, struct follower *f,
		    void (*stopped)(struct follower *f));
/* Newest visible revision; any thread. */
uint64_t store_rev(struct store *store);
/* Somebody waits for a revision that is not visible here yet, or no more: this node does
 * not gather meanwhile (raftcore/hurry.h).  Both as often; any thread. */
void store_hurry(struct store *store, bool on);
/* Another number: tokens may be others than before; any thread. */
uint64_t store_token_changes(const struct store *store);
/* Another number: up to store_rev there may be events that sources go by which were not
 * there before (event_is_for_sources).  Core loop. */
uint64_t store_source_changes(const struct store *store);

/* ---- condition ---- */
struct store_status {
	struct rc_status node;
	uint64_t rev, compacted_rev, bytes, audit_seq, time_ms;
	uint64_t writes_done, writes_refused, writes_uncertain;
	uint64_t rows_written, row_bytes_written;       /* of this run */
	/* Sent to the leader, in how many calls; and of these writes those of which
	 * no outcome came back (they are tried again, or told). */
	uint64_t writes_forwarded, forward_calls, forward_failed;
	/* Of this run: another leader than the one before, another membership. */
	uint64_t leader_changes, member_changes;
	uint64_t version, knows;         /* of the cluster; of this program */
	int64_t clock_offset_ms;         /* the voters' clocks are ahead of this
					    node's; as of when it led last */
	uint64_t version_rounds;         /* in which the members were asked */
	/* Fenced: its state is not that of the majority, and nothing of it is to
	 * be shown (rc_divergence). */
	bool is_ready, has_failed, is_fenced;
	char failure[200];               /* why it is one of the two */
};
/* Any thread. */
bool store_is_fenced(const struct store *store);
/* For good. */
bool store_has_failed(const struct store *store);
/* Any thread. */
void store_status(struct store *store, struct store_status *out);

#endif
