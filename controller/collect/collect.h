/*
 * The collector: removes versions whose retention is over (state/collect.h says which
 * these are, and why others stay).
 *
 * The leader's, once in `interval`: it looks at all configurations from pictures of its
 * own, on a worker, and submits what is to go in commands of a bounded size; apply asks
 * again before it removes anything, so it does not matter whether two collect, or
 * somebody does by hand (api/gc.c).  While nothing is over, nothing is written.
 */
#ifndef COLLECT_COLLECT_H
#define COLLECT_COLLECT_H

#include "io/pool.h"
#include "store/store.h"

struct collector;

struct collector_config {
	struct store *store;
	struct pool *pool;
	uint64_t interval_ms;            /* 0: never */
};

struct collector *collector_new(const struct collector_config *config);
/* Any thread; the core loop runs or will. */
void collector_start(struct collector *collector);
/* Ends a run that is under way, and waits for it.  Not from a loop; the core loop and
 * the pool still run. */
void collector_stop(struct collector *collector);
void collector_free(struct collector **collector);

/* Since the start. */
struct collector_status {
	bool is_running;
	uint64_t runs, configs, versions;        /* that were looked at */
	uint64_t removed, bytes;
	uint64_t refused;                /* named by something in the last moment */
	struct err err;                  /* of the last run; code OK: none */
};
/* Any thread. */
void collector_status(struct collector *collector, struct collector_status *out);
/* Appends them in Prometheus text form; any thread. */
void collector_metrics(struct collector *collector, struct buf *out);

#endif
