/*
 * The reconciler as its two files know it: reconciler.c has the strands and who
 * leads, triggers.c is what others ask of it.  Core loop.
 */
#ifndef SOURCE_OWN_H
#define SOURCE_OWN_H

#include "base/fsm.h"
#include "base/map.h"
#include "io/timer.h"
#include "source/job.h"
#include "source/source.h"
#include "source/seats.h"

enum strand_state {
	STRAND_WAITING,
	STRAND_RUNNING,
	STRAND_FAILING,
	STRAND_STALLED,
	STRAND_SUSPENDED,
	STRAND_GONE,
	STRAND__STATES
};

struct strand {
	struct reconciler *r;
	struct fsm fsm;
	struct timer timer;
	struct seat seat;
	struct work work;
	struct job job;                  /* of the worker while it runs */
	struct list waiting;             /* source_wait: of the next job */
	struct list asked;               /* of the job that runs */
	uint64_t generation;             /* newest that was seen */
	unsigned failures;
	bool again;                      /* due while a job runs */
	bool is_held;                    /* due, and another node leads */
	bool is_deleted;                 /* the object is no more */
	bool prunes;                     /* its configurations go with it */
	bool is_listed;                  /* mark of a scan */
	char said[200];                  /* last failure that was logged */
};

struct reconciler {
	struct store *store;
	struct pool *pool;
	const struct source_settings *settings;
	struct loop *loop;
	struct view *view;
	struct map *strands;             /* "ns/name" -> strand */
	struct follower follower;
	struct store_role role;
	struct store_barrier caught_up;
	bool catching_up;
	struct msg start_msg, stop_msg, more_msg;
	bool more_posted, started, stopping, unfollowing;
	bool sweeping, wants_sweep;      /* what deleted sources left live */
	struct clones *clones;
	bool tidying, wants_tidy;        /* clones that no source names */
	uint64_t seen_rev, seen_changes; /* store_source_changes */
	uv_sem_t stopped;
	struct seats *seats;             /* of jobs, by tenant */
	struct planner *planner;

	_Atomic uint64_t n_sources, n_suspended, n_failing, n_running;
	_Atomic uint64_t jobs_done, jobs_failed, commits, operations, formatting;
	_Atomic uint64_t fetch_bytes, fetch_us, plan_us, submit_us, opened;
};

/* What the store has said since, and so which sources there are. */
void reconciler_read(struct reconciler *r);
struct strand *reconciler_find(struct reconciler *r, struct str ns,
			       struct str name);
/* It is due now, and its job begins when it is its tenant's turn; while its job runs,
 * once more behind it. */
void strand_start(struct strand *s);
void wait_refuse(struct source_result *out, enum code rc, const char *text);

#endif
