/* Whether a node that is denied was added anew: see doubt.c.  Raft loop only. */
#ifndef NODE_DOUBT_H
#define NODE_DOUBT_H

#include "net/net.h"
#include "node/known.h"

struct rc_node;

/* One that was denied, and of whom another member is asked. */
struct doubt {
	struct net_ask ask;
	uint64_t id, asked;              /* id 0: nobody */
	struct uuid incarnation;
	bool is_asking;
	size_t turn;                     /* whom, where nobody leads */
};

/* 'id' came with a data directory that is not the one that is known here. */
void doubt_denied(struct rc_node *n, uint64_t id, const struct uuid *incarnation);
/* Each second. */
void doubt_tick(struct rc_node *n);

#endif
