/*
 * One pass over one source, on a worker: fetch, compare, plan, submit, and the
 * status that says so.  Blocks; shares nothing with the strand but this struct,
 * which the strand does not touch while the job runs, 'cancel' apart.
 */
#ifndef SOURCE_JOB_H
#define SOURCE_JOB_H

#include <stdatomic.h>

#include "source/clones.h"
#include "source/git.h"
#include "source/source.h"
#include "source/status.h"
#include "state/view.h"
#include "store/store.h"

/* What a strand remembers between jobs, so that a commit that cannot be
 * applied is not read again and again. */
struct job_memory {
	bool has_bad;
	struct oid commit;
	uint64_t generation;
	struct err err;
};

struct job {
	/* Set by the strand. */
	struct store *store;
	const struct source_settings *settings;
	struct clones *clones;
	char tenant[ADDRESS_PART_MAX + 1], name[ADDRESS_NAME_MAX + 1];
	atomic_bool cancel;
	/* The source is deleted: what it owned is removed where it prunes, and
	 * else left to nobody. */
	bool ends, prunes;
	bool plans;                      /* it changes nothing: planner.h */
	struct uuid uid;
	struct job_memory memory;
	/* A server that could not be reached with a way back is left alone until then,
	 * unless the spec is another. */
	uint64_t offer_ms, offer_generation;

	/* Set by job_run. */
	struct source_result result;
	enum status_phase phase;
	bool is_gone;                    /* there is no such source */
	bool is_transient;               /* worth trying again soon */
	uint64_t generation, interval_ms;
	uint64_t formatting;
	uint64_t fetch_us, fetch_bytes, plan_us, submit_us, opened;
};

/* Worker thread. */
void job_run(struct job *job);

#endif
