/*
 * The seam between what decides and what is replicated.
 *
 * The store owns the core loop, the node of raftcore and the state.  Others
 * submit commands and read through views; who leads and what is retried is
 * hidden here.
 *
 * A write has three outcomes: done (outcome.code OK), refused (any other
 * code), uncertain (E_UNCERTAIN: it may still happen; ask again with the same
 * idempotency key).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "io/loop.h"
#include "io/pool.h"
#include "raftcore/raftcore.h"
#include "state/view.h"

struct store;

struct store_config {
	const char *dir;                 /* the data directory */
	uint64_t map_bytes;              /* storage.map_size; 0: 64 GiB */
	uint64_t checkpoint_log_bytes;   /* 0: raftcore's default */
	struct limits limits;            /* retention; zeros leave what is in force */
	/* The node can no longer apply or write its log; core loop. */
	void (*on_fatal)(void *data, const struct err *err);
	void *data;
};

/* Opens log and state (blocking), then starts the core loop, the raft loop
 * and the WAL thread.  E_BUSY: another process holds the directory. */
enum code store_open(const struct store_config *config, struct store **out,
		     struct err *err) MUST_USE;
/* Refuses new writes, waits for those in flight, syncs.  Not from a loop. */
void store_close(struct store **store);
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

/* Any thread.  False: the store is stopping ('done' will not run). */
bool store_submit(struct store *store, struct store_write *w) MUST_USE;

/* As store_submit, and blocks the calling thread (a worker, never a loop).
 * Answers OK where there is an outcome, also a refusal; results are in 'arena'. */
enum code store_submit_wait(struct store *store, struct str bytes,
			    struct arena *arena, struct outcome *out,
			    struct err *err) MUST_USE;

/* Puts small content into the command itself, borrowing it; false: there is no
 * room, and it goes first. */
bool store_inline_content(struct arena *arena, struct command *c,
			  struct str tenant, struct str content) MUST_USE;

/*
 * Larger content goes first, by parts of BLOB_PART_MAX: calls 'each' with the BLOB
 * commands that store 'content'.  Submit them before the command that names
 * the content; the log keeps the order, so they need not be waited for.
 */
void store_blob_commands(struct arena *arena, struct str tenant,
			 struct str content, uint64_t now_ms,
			 void (*each)(void *data, struct str bytes), void *data);

/* A request was denied: 'who' (a subject, or an address) wanted 'why'.  Counted,
 * and written to the audit log once a minute, bounded.  Any thread. */
void store_denied(struct store *store, struct str who, struct str why);

/* ---- reading ---- */

/*
 * A view per loop or thread: one read transaction that is kept and renewed.
 * view_use answers a picture that has at least 'min_rev' applied (0: any) and
 * is not older than the last wake-up; valid until the next view_use or
 * view_idle.  E_TIMEOUT where 'min_rev' is not there yet: the caller waits for
 * a wake-up (store_follow) with a deadline.
 */
struct view;
enum code view_new(struct store *store, struct view **out, struct err *err) MUST_USE;
void view_free(struct view **view);
enum code view_use(struct view *view, uint64_t min_rev, struct kv_txn **out,
		   struct err *err) MUST_USE;
/* Lets the picture go; call at the end of each loop turn. */
void view_idle(struct view *view);

/* ---- following ---- */

/* Wake-ups on 'home' when new revisions are visible, coalesced: 'rev' is the
 * newest.  Embed it.  Start on its own loop, stop on its own loop. */
struct follower {
	struct loop *home;
	void (*wake)(struct follower *f, uint64_t rev);
	/* private */
	struct store *store_;
	struct msg wake_, control_;
	struct list at_;
	_Atomic uint64_t rev_;
	_Atomic bool posted_;
	void (*stopped_)(struct follower *f);
};
void store_follow(struct store *store, struct follower *f);
/* After 'stopped' (runs on home) no wake-up comes and the memory is free. */
void store_unfollow(struct store *store, struct follower *f,
		    void (*stopped)(struct follower *f));
/* Newest visible revision; any thread. */
uint64_t store_rev(struct store *store);

/* ---- condition ---- */
struct store_status {
	struct rc_status node;
	uint64_t rev, compacted_rev, bytes, audit_seq, time_ms;
	uint64_t writes_done, writes_refused, writes_uncertain;
	bool is_ready, has_failed;
	char failure[200];
};
/* Any thread. */
void store_status(struct store *store, struct store_status *out);

#endif
