/*
 * What happens at a node, for whoever watches it: rc_config.on_event.  Beside these,
 * on_role tells who leads, on_divergence that states differ or this node is fenced,
 * and on_fatal that it has failed.
 *
 * Events come on the apply loop, in the order in which they happened, and none is
 * left out while the node runs.  An event tells what is so already; nothing waits
 * for its handler but the apply loop.
 */
#ifndef RAFTCORE_EVENTS_H
#define RAFTCORE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum rc_event_type {
	/* The membership of entry 'index' is in force here: that entry was
	 * applied, and the machine had all before it; or it came with a
	 * checkpoint.  The first one comes with the start, where the node has a
	 * cluster. */
	RC_EVENT_MEMBERS = 1,
	RC_EVENT_CHECKPOINT = 2,        /* one of entry 'index' was taken and counts */
	RC_EVENT_CHECKPOINT_FAILED = 3, /* 'err'; it is tried again */
	RC_EVENT_INSTALLED = 4,         /* the machine was opened from another node's
					   checkpoint, of entry 'index' */
	RC_EVENT_PEER_UP = 5,           /* messages go to 'peer' */
	RC_EVENT_PEER_DOWN = 6,         /* and do not any more; 'err' */
};

struct rc_event_member {
	uint64_t id;
	const char *address;
	bool votes;
};

/* Valid during the call; fields that the type does not name are 0. */
struct rc_event {
	enum rc_event_type type;
	uint64_t index, peer;
	const struct rc_event_member *members;
	size_t n_members;
	const struct err *err;
};

/* "members", "peer-up", ...: for logs. */
const char *rc_event_name(enum rc_event_type type);

#endif
