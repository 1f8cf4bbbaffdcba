/* What node.c and query.c share. */
#ifndef FLEET_NODE_OWN_H
#define FLEET_NODE_OWN_H

#include "base/rand.h"
#include "fleet/node.h"
#include "fleet/own.h"
#include "fleet/running.h"
#include "io/timer.h"
#include "store/calls.h"

#define PEERS_MAX 64

struct fleet_node {
	struct fleet_node_config config;
	struct loop *core;
	struct fleet *fleet;
	/* Core loop from here on. */
	struct agent *agent;
	struct gather *gather;
	gather_changed *changed;         /* or NULL */
	void *changed_data;
	fleet_explain *explain;          /* or NULL */
	void *explain_data;
	struct view *view;
	struct kv_txn *txn;              /* while the agent looks */
	struct follower follower;
	struct store_role role;
	struct timer report, ask;
	uint64_t report_at_ms;
	bool has_timers, is_started, is_stopping, has_read, is_calling;
	uint64_t changes;                /* store_rollout_changes, that was read */
	struct store_fleet_call call;
	struct buf body;
	struct rc_peer peers[PEERS_MAX];
	size_t n_peers;
	struct msg start_msg, stop_msg, poke, urgent;
	_Atomic bool is_poked, is_urgent;
	uv_sem_t stopped;
	_Atomic uint64_t reports_sent, reports_failed, report_bytes;
	_Atomic uint64_t m_releases, m_records, m_bytes, m_refused, m_reports;
	_Atomic uint64_t m_taken, m_running;
};

/* query.c: a page of this node, or of the leader. */
void fleet_answer_list(struct fleet_node *n, struct rpc_token token,
		       struct str body);
/* reach.c: how many follow some configurations here. */
void fleet_answer_reach(struct fleet_node *n, struct rpc_token token,
			struct str body);
/* why.c: what a release waits for, where this node leads. */
void fleet_answer_why(struct fleet_node *n, struct rpc_token token,
		      struct str body);

#endif
