/* What any thread may read of a node (node.c, members.c). */
#ifndef NODE_SHOWN_H
#define NODE_SHOWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "raftcore/raftcore.h"

#define PEERS_MAX 64

/* Renewed at the end of a turn. */
struct shown {
	_Atomic uint64_t commit, applied, durable, term, leader;
	_Atomic uint64_t checkpoint_index, proposals, refused, uncertain, malformed;
	_Atomic uint64_t checkpoints, checkpoints_failed, shipped, installed;
	_Atomic uint64_t divergence_index, divergence_peer, compared, lost;
	_Atomic enum rc_divergence divergence;
	_Atomic bool leads, ready, failed;
	pthread_mutex_t lock;            /* of the peers */
	struct rc_peer peers[PEERS_MAX];
	size_t n_peers;
	uint64_t refused_by[RC_REFUSALS];
	struct uuid cluster;             /* these two also */
	char waits_for[300];
	_Atomic bool formed;             /* it has a cluster, and a log */
};

#endif
