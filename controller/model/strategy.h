/*
 * How a change goes out: what a ReleasePolicy says, read out of its spec
 * (docs/releases.md).  The schema let through what is read here; what it would have
 * refused is refused here too, and the release with it.
 *
 * Pure; any thread.  Everything that is read borrows from the arena.
 */
#ifndef MODEL_STRATEGY_H
#define MODEL_STRATEGY_H

#include "model/rules.h"
#include "model/select.h"
#include "model/tally.h"

#define STRATEGY_STEPS_MAX 50

enum strategy_kind {
	STRATEGY_IMMEDIATE,
	STRATEGY_BLUE_GREEN,
	STRATEGY_CANARY,                 /* nodes too: a canary that names instances */
};

enum step_kind {
	STEP_PERCENT,
	STEP_LABELS,
	STEP_NODES,
};

struct strategy_step {
	enum step_kind kind;
	uint32_t percent_bp;             /* PERCENT */
	struct labels labels;            /* LABELS; none: everybody */
	struct str *nodes;               /* NODES */
	size_t n_nodes, cap_nodes;
	bool is_manual;                  /* waits for somebody */
	uint64_t pause_ms;               /* since it began, until the next one */
	uint64_t bake_ms;
};

struct strategy_query {
	struct str url, query;
	struct str below, above;         /* JSON numbers; one of them is empty */
};

enum concurrency {
	CONCURRENCY_SUPERSEDE,
	CONCURRENCY_QUEUE,
	CONCURRENCY_PARALLEL,
};

/* Which versions are kept beside those that something names. */
struct retention {
	bool has_versions, has_days;
	uint64_t versions, days;
	bool is_or;                      /* else both must be over */
};

struct strategy {
	struct selector select;
	int64_t priority;
	enum strategy_kind kind;
	struct str name;                 /* "blue-green" */
	int64_t rule_priority;
	uint64_t keep_ms;
	/* Of blue-green one: the clients that preview, until somebody switches. */
	struct strategy_step *steps;
	size_t n_steps;
	uint64_t timeout_ms;
	bool has_applied, has_rejected, lost_counts;
	uint32_t applied_bp;             /* at least */
	uint64_t instances_min;          /* in a step, for 'applied' to be met */
	uint32_t rejected_bp;            /* at most */
	struct strategy_query queries[TALLY_QUERIES_MAX];
	size_t n_queries;
	struct str webhook;              /* empty: none is asked */
	bool pauses;                     /* on failure; else back */
	enum concurrency concurrency;
	struct str group;                /* empty: each configuration its own */
	struct retention retention;
};

/* 'spec': JSON text.  E_UNPROCESSABLE names what it may not say. */
enum code strategy_read(struct arena *arena, struct str spec,
			struct strategy *out, struct err *err) MUST_USE;
/* "spec.retention" of a policy or of a configuration; false: it has none. */
bool retention_read(const struct value *spec, struct retention *out);
/*
 * The rules that release 'number' has at a configuration in step 'step' (from 0): of
 * all steps up to it, in front of those that are there, but behind those of newer
 * releases.  'rule' says version, digest
 * and size.
 */
void strategy_rules(struct arena *arena, const struct strategy *s, size_t step,
		    const struct rule *rule, const uint8_t salt[SALT_SIZE],
		    uint64_t number, struct rules *rules);

#endif
