/*
 * One pass over one source: what a worker holds while a job runs, and the steps
 * that all jobs are made of (pass.c): load the source, fetch, open the commit,
 * compare it with what is live.  What is done with the plan then is job.c's.
 */
#ifndef SOURCE_PASS_H
#define SOURCE_PASS_H

#include "source/feed.h"
#include "source/fetch.h"
#include "source/job.h"
#include "source/layout.h"
#include "source/plan.h"

struct pass {
	struct job *job;
	struct arena *arena;             /* the whole pass */
	struct str tenant, name;
	struct view *view;
	struct kv_txn *txn;
	/* The source as it is now. */
	struct object_view object;
	const struct value *spec, *status;
	struct status_read before;
	struct layout layout;
	struct str ref;                  /* branch or tag */
	/* The commit. */
	const char *dir;                 /* held: clones.h */
	struct fetch_result fetched;
	uint64_t seen_ms;                /* monotonic, when the fetch was done */
	struct repo *repo;
	struct commit_info commit;
	struct str revision;
	/* The plan. */
	struct plan_config config;
	struct plan *plan;
	struct feed *feed;
	struct doc_limits doc;
	uint64_t bytes, contents, ignored_added, ignored_removed;
	struct str prefix;               /* manifests: of the paths told */
	struct buf content, path;
	struct err first;                /* of what is invalid */
};

/* Opens a view; the rest is zero.  pass_end in every case. */
enum code pass_begin(struct pass *p, struct job *job, struct err *err) MUST_USE;
void pass_plan_end(struct pass *p);
void pass_end(struct pass *p);
bool pass_is_cancelled(const struct pass *p);
/* Reads the source out of a picture that has at least 'min_rev'. */
enum code pass_load(struct pass *p, uint64_t min_rev, struct err *err) MUST_USE;
enum code pass_fetch(struct pass *p, struct err *err) MUST_USE;
/* Of the commit that was fetched. */
enum code pass_open_commit(struct pass *p, struct err *err) MUST_USE;
/* Compares the commit with what is live; p->plan is sealed. */
enum code pass_plan(struct pass *p, struct err *err) MUST_USE;

/* The source's status once the plan is live. */
struct str pass_ready_status(struct pass *p);
struct str pass_status(struct pass *p, struct status_write *w);
/* Writes a status alone, unless it says what is said already. */
enum code pass_write_status(struct pass *p, struct status_write *w,
			    struct err *err) MUST_USE;
/* The job's result, and what the status says of it. */
void pass_fail(struct pass *p, enum code rc, const struct err *err);

#endif
