/*
 * The releases that run, as the state has them, for the agent.
 */
#ifndef FLEET_RUNNING_H
#define FLEET_RUNNING_H

#include "fleet/agent.h"
#include "kv/kv.h"

/* Adds each to the agent (between agent_running_start and _end).  Errors of the
 * store. */
enum code running_read(struct kv_txn *txn, struct agent *agent, uint64_t now_ms,
		       struct err *err) MUST_USE;
/* Does what is live at 'key' give the client the release's version? */
bool running_picks(struct kv_txn *txn, uint64_t release, struct str key,
		   const struct client *client);

#endif
