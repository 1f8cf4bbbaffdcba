/*
 * Calls between nodes: a request, its answer, and how either side lets go of it.
 *
 * Any thread may call the following, unless it says otherwise.  Every 'done',
 * 'handle' and 'gone' runs on the apply loop (rc_config), and the last of them in
 * rc_node_stop.
 */
#ifndef RAFTCORE_CALLS_H
#define RAFTCORE_CALLS_H

#include "base/str.h"
#include "raftcore/token.h"

struct rc_node;

#define RC_LEADER 0
#define RC_METHODS_MAX 200

/*
 * A call of a method that the peer has given to rc_handle.  'rc' of done:
 *
 *	OK and the answer, or what the peer refused it with
 *	E_TIMEOUT	the deadline passed; if it was sent, it may have happened
 *	E_CANCELLED	by rc_cancel; likewise
 *	E_UNCERTAIN	the connection ended after it was sent
 *	E_UNAVAILABLE	it was not sent: there was no leader in time, or no
 *			connection within a second, or the node stops
 *	E_NOT_FOUND	no such member
 *	E_BUSY		too many calls are open
 *	E_TOO_LARGE	'body' or 'answer_max' is more than a frame holds (1 MiB)
 *
 * Who leads is asked when it can be sent; where that is this node itself, its
 * own handler takes it.
 */
struct rc_call {
	uint64_t peer;                  /* a member; RC_LEADER: whoever leads */
	unsigned method;                /* 1 to RC_METHODS_MAX */
	struct str body;                /* valid until done */
	uint32_t timeout_ms, answer_max;
	uint32_t hold_ms;               /* to wait for a leader; 0: timeout_ms */
	/* 'answer' is valid until it returns; 'err' is always there. */
	void (*done)(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err);
};
/* False: the node has stopped, and 'done' will not run. */
bool rc_call(struct rc_node *node, struct rc_call *call) MUST_USE;
/*
 * Nobody waits for the answer any more: 'done' runs soon, with E_CANCELLED where
 * nothing else has come of the call by then, and the peer is told.  Harmless where
 * 'done' has run, as long as 'call' is in no other.
 */
void rc_cancel(struct rc_node *node, struct rc_call *call);

/* ---- the side that is called ---- */

struct rc_request {
	struct rpc_token token;
	uint64_t peer;                  /* who calls */
	struct str body;                /* valid until the handler returns */
};
/* Before rc_node_start; a method once. */
void rc_handle(struct rc_node *node, unsigned method,
	       void (*handle)(void *data, const struct rc_request *request),
	       void *data);
/*
 * What has a handler already may say here who is told, with the same 'data', that a
 * request needs no answer any more: 'why' is E_TIMEOUT, E_CANCELLED, or E_UNAVAILABLE
 * (the connection ended, or this node stops).  Also of one that was just answered,
 * or, where the node stops, that the handler has never seen.  Before rc_node_start.
 */
void rc_handle_gone(struct rc_node *node, unsigned method,
		    void (*gone)(void *data, struct rpc_token token,
				 enum code why));
/* Once for each request, in the handler or later, or, behind 'gone', never; 'err'
 * (which may be NULL) goes with an 'rc' that is not OK.  What is passed is copied. */
void rc_answer(struct rc_node *node, struct rpc_token token, enum code rc,
	       struct str body, const struct err *err);

#endif
