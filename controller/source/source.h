/*
 * The reconciler: follows each ConfluxSource and makes live what its Git
 * repository says.
 *
 * One strand a source, on the core loop of the store: it is due by its
 * interval or because somebody asked, at most one job of it runs (a worker of
 * the pool), and work that was overtaken is dropped.  Only the leader
 * reconciles; what becomes due elsewhere is held until that node leads.  Sources
 * that are made, changed, suspended or deleted are learned from the events of the
 * store.
 *
 * What goes wrong with a source is told in its status (conditions Ready,
 * Reconciling, Stalled) and by the result of a trigger; nothing here ends the
 * process.  While nothing changes, nothing is written.
 *
 *	controller:  source_reconciler_new, _start, _trigger..., _stop, _free
 *	main():      if (argc > 1 && !strcmp(argv[1], SOURCE_FETCH_ARG))
 *	                     return source_fetch_child_main(argc, argv);
 */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include "base/secret.h"
#include "io/loop.h"
#include "io/pool.h"

struct store;
struct reconciler;

/* ---- settings ---- */

/* Zeros mean the default in brackets. */
struct source_limits {
	uint64_t fetch_bytes;       /* received by one fetch (1 GiB) */
	uint64_t fetch_objects;     /* of one fetch (5,000,000) */
	unsigned fetch_ms;          /* deadline of one fetch (60 s) */
	uint64_t file_bytes;        /* of one file (8 MiB) */
	uint64_t total_bytes;       /* read by one comparison (4 GiB) */
	unsigned depth;             /* of folders (32) */
	uint64_t entries;           /* looked at by one comparison (1,000,000) */
	/* Of a clone, before it is made anew: packs (64), and bytes in them (twice
	 * fetch_bytes). */
	unsigned packs;
	uint64_t clone_bytes;
};

struct source_settings {
	const char *dir;            /* of clones, and nothing else: clones.h */
	/* The program that is started with SOURCE_FETCH_ARG to fetch; NULL:
	 * /proc/self/exe, which is right where main() calls
	 * source_fetch_child_main. */
	const char *exe;
	/* file:// urls are allowed below these folders only (none: nowhere). */
	const char *const *file_roots;
	size_t n_file_roots;
	/* Offered to https servers that ask, and only to hosts named here:
	 * otherwise whoever may make a source could have the token sent to a
	 * machine of his own. */
	const char *const *token_hosts;
	size_t n_token_hosts;
	const char *user;           /* NULL: "git" */
	const struct secret *token; /* NULL: none; read at each fetch */
	/* Held while 'token' is read; NULL: that stays as it is. */
	pthread_mutex_t *token_lock;
	const char *ca_file;        /* NULL: the system's */
	/* https to loopback, private and link-local addresses. */
	bool allow_private;
	struct source_limits limits;
};

/* ---- life ---- */

/* 'settings' and what it points to must outlive the reconciler, as must
 * 'store' and 'pool'.  Any thread. */
struct reconciler *source_reconciler_new(struct store *store, struct pool *pool,
					 const struct source_settings *settings);
/* Begins to follow the store; any thread, the core loop runs or will. */
void source_reconciler_start(struct reconciler *r);
/* Ends running fetches, waits until no job runs and nothing is followed.
 * Blocks; not from a loop; the core loop and the pool must still run. */
void source_reconciler_stop(struct reconciler *r);
/* After stop (or without start). */
void source_reconciler_free(struct reconciler **r);

/* ---- asking for a reconcile now ---- */

#define SOURCE_INVALID_MAX 4000

struct source_result {
	/* OK: what Git says is live, or waits for people who must agree. */
	enum code code;
	char text[400], hint[200];  /* of a refusal */
	char revision[300];         /* "main@sha1:<40 hex>"; may be empty */
	uint64_t rev;               /* of the command; 0: nothing changed */
	uint64_t operations;        /* of the plan, its own status apart */
	char proposal[64];          /* it waits in this one; else empty */
	char plan[65];              /* digest of the plan that was asked for */
	char turned_back[64];       /* the release of this commit that did; else empty */
	/* What the commit holds that is invalid, each "file TAB object TAB reason LF", as many as
	 * there is room for, and how many there are in all. */
	char invalid[SOURCE_INVALID_MAX];
	unsigned n_invalid;
};

/* Who waits; embed it.  Must stay valid until 'done' ran, once, on 'home'. */
struct source_wait {
	struct loop *home;
	void (*done)(struct source_wait *wait, const struct source_result *res);
	/* private */
	struct msg msg_;
	struct list at_;
	struct source_result result_;
};

/*
 * Makes ns/name due now.  'wait' may be NULL; else it hears of the first job
 * that starts after this call: E_NOT_FOUND without such a source, E_CONFLICT
 * where it is suspended, E_NOT_LEADER, E_CANCELLED at a stop.  Any thread.
 * False: the reconciler is stopping or its mailbox is full ('done' will not
 * run).
 */
bool source_trigger(struct reconciler *r, struct str ns, struct str name,
		    struct source_wait *wait) MUST_USE;

/* Has a commit planned (hex digits, 7 to 40; empty: the newest) and the plan kept,
 * without applying it; the result names its digest.  As source_trigger; E_INVALID,
 * E_NOT_FOUND: there is no such commit. */
bool source_plan(struct reconciler *r, struct str ns, struct str name,
		 struct str commit, struct source_wait *wait) MUST_USE;
/* For who has taken a wait: tells it.  Core loop. */
void source_wait_answer(struct source_wait *wait,
			const struct source_result *result);

/* ---- condition ---- */
struct source_metrics {
	uint64_t sources, suspended, failing;       /* now */
	uint64_t jobs_running, jobs_done, jobs_failed;
	uint64_t commits_applied, operations, formatting_only;
	uint64_t fetch_bytes;
	uint64_t fetch_us_last, plan_us_last, submit_us_last;
	uint64_t subtrees_opened_last;
};
/* Any thread. */
void source_metrics(const struct reconciler *r, struct source_metrics *out);

/* ---- the child that fetches ---- */
#define SOURCE_FETCH_ARG "--git-fetch"
/* Reads one request from stdin, fetches, writes the answer to stdout; the exit
 * status for main().  Not for people. */
int source_fetch_child_main(int argc, char **argv);

#endif
