/* Names one request between nodes; of use to raftcore.h and rpc/rpc.h. */
#ifndef RAFTCORE_TOKEN_H
#define RAFTCORE_TOKEN_H

#include <stdint.h>

/* Names one request at its callee.  One that was answered, or that needs no
 * answer any more, names nothing; its parts are nobody's business. */
struct rpc_token {
	uint64_t peer, serial;
	unsigned slot;
};

#endif
