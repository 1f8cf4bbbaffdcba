/* What others may know of a node's core (node_core.h), as of one moment. */
#ifndef NODE_VIEW_H
#define NODE_VIEW_H

#include "raftcore/raftcore.h"

struct node_core_view {
	struct uuid cluster;
	uint64_t term, leader, commit, applied, durable, last;
	uint64_t checkpoint_index, log_since_bytes;
	uint64_t proposals;
	/* Appends that began behind what their peer has (guard.h): messages came
	 * late, or twice. */
	uint64_t backward;
	/* Index of the membership in force, and whether a newer one is in the
	 * log and not in force yet, as the engine knows it. */
	uint64_t membership;
	bool is_changing;
	bool is_leader, has_failed;
	/* What was committed when it came up is applied, and it is not fenced. */
	bool is_ready;
	/* Of the comparison of effect chains (detector.c).  A fenced node's
	 * 'applied' goes on with the log, its machine stands still. */
	enum rc_divergence divergence;
	uint64_t divergence_index, divergence_peer;
	uint64_t compared;               /* newest index that another has too */
};

#endif
