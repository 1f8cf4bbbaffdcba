/* Names one request between nodes; of use to calls.h and rpc/rpc.h. */
#ifndef RAFTCORE_TOKEN_H
#define RAFTCORE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

/* Names one request at its callee.  One that was answered, or that needs no
 * answer any more, names nothing; its parts are nobody's business. */
struct rpc_token {
	uint64_t peer, serial;
	unsigned slot;
};

static inline bool rpc_token_is(struct rpc_token a, struct rpc_token b)
{
	return a.peer == b.peer && a.serial == b.serial && a.slot == b.slot;
}

#endif
