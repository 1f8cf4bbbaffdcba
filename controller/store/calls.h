/*
 * Calls between nodes, which go beside the log: questions to the leader, and what is
 * said of instances (fleet/).  Shapes: docs/formats/forward.md, fleet.md.
 */
#ifndef STORE_CALLS_H
#define STORE_CALLS_H

#include "store/store.h"

#define STORE_METHOD_SUBMIT 1            /* of raftcore's calls */
#define STORE_METHOD_ASK 2
#define STORE_METHOD_MEMBERS 3
#define STORE_METHOD_BATCH 4             /* SUBMITs together: batch.h */
#define STORE_METHOD_VERSION 5           /* the cluster version it knows */
#define STORE_METHOD_CHANGE 6            /* MEMBERS, and who asks */
#define STORE_METHOD_FLEET 7             /* instances */
#define STORE_METHOD_CLOCK 8             /* the wall clock, u64 ms: clocks.h */

#define STORE_ANSWER_MAX 8192

/* Embed it; 'body' stays valid until 'done' ran, on the core loop.  'answer' is
 * valid during the call.  E_UNAVAILABLE: there is no leader. */
struct store_ask {
	struct str body;
	uint32_t timeout_ms;
	void (*done)(struct store_ask *ask, enum code rc, struct str answer,
		     const struct err *err);
	struct store *store_;
	struct rc_call call_;
	uint64_t until_ms_;              /* it is sent again */
	struct list at_;
};
/* Any thread.  False: the store is stopping.  Without a leader it is held as long
 * as a write is; E_UNAVAILABLE: it was not sent. */
bool store_ask(struct store *store, struct store_ask *ask) MUST_USE;
void store_answer(struct store *store, struct rpc_token token, enum code rc,
		  struct str body, const struct err *err);

/* To one node, or the leader (RC_LEADER), about instances.  Embed it; 'body' stays
 * valid until 'done' ran, on the core loop. */
struct store_fleet_call {
	uint64_t peer;
	struct str body;
	uint32_t timeout_ms, answer_max;
	void (*done)(struct store_fleet_call *call, enum code rc,
		     struct str answer, const struct err *err);
	struct rc_call call_;
};
/* Any thread.  False: the store is stopping. */
bool store_fleet_call(struct store *store,
		      struct store_fleet_call *call) MUST_USE;

/* Another number: releases that run may stand otherwise; any thread. */
uint64_t store_rollout_changes(const struct store *store);

#endif
