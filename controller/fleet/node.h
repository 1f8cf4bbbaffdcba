/*
 * The fleet of a running node: the agent's reports to the leader, and at the leader
 * what all nodes report, over calls between nodes (store_fleet_call).
 *
 * While no release runs there is nothing of it but who is connected: no timer, no
 * call.  While one does, what changed goes out 100 ms later, and at once where
 * something was rejected or a step is to begin.  A leader asks each node for all of
 * it, and again while it has not heard from it.
 */
#ifndef FLEET_NODE_H
#define FLEET_NODE_H

#include "fleet/fleet.h"
#include "fleet/gather.h"
#include "store/calls.h"
#include "store/store.h"

struct fleet_node;

struct fleet_node_config {
	struct store *store;
	uint64_t node_id;
	size_t instances_max;            /* fleet.instances_max; also of records */
	/* As fleet_node_on_why, of what is no release: of a proposal; NULL: nobody. */
	void (*explain_held)(void *data, uint64_t proposal, struct fleet_why *out);
	void *held_data;
};

/* '*out' is set also where it fails, to be freed. */
enum code fleet_node_new(const struct fleet_node_config *config,
			 struct fleet_node **out, struct err *err) MUST_USE;
void fleet_node_start(struct fleet_node *node);
/* Not from a loop; the core loop runs yet. */
void fleet_node_stop(struct fleet_node *node);
/* When the api is gone and the store is closed. */
void fleet_node_free(struct fleet_node **node);
/* Any thread. */
struct fleet *fleet_node_fleet(struct fleet_node *node);
/* Core loop. */
struct gather *fleet_node_gather(struct fleet_node *node);
/* Who is told when what the leader gathered of a release has changed; NULL: nobody.
 * Core loop. */
void fleet_node_on_gathered(struct fleet_node *node, gather_changed *changed,
			    void *data);
/* Has each node that is up looked at its instances for the step?  Core loop. */
bool fleet_node_is_evaluated(struct fleet_node *node, uint64_t release,
			     uint32_t step);

/* Who can tell at the leader what a release waits for; NULL: nobody.  'explain' fills
 * in what it knows.  Core loop. */
typedef void fleet_explain(void *data, uint64_t release, struct fleet_why *out);
void fleet_node_on_why(struct fleet_node *node, fleet_explain *explain, void *data);

/* A call of another node, or of this one: store_config.fleet. */
void fleet_node_asked(struct fleet_node *node, struct rpc_token token,
		      uint64_t peer, struct str body);

/*
 * A page of instances of the whole cluster: of a release what the leader knows, else
 * whoever is connected at any node.  Embed it.  'done' runs on 'home'; 'rows' are
 * list_row's, in order, each instance once.  Where a node did not answer, 'missing'
 * counts it.
 */
struct fleet_query {
	struct loop *home;
	uint64_t release;                /* 0: who is connected */
	char after[FLEET_INSTANCE_MAX + 1];
	char tenant[FLEET_TENANT_MAX + 1];     /* who follows something of it; empty: all */
	uint32_t limit;                  /* at most FLEET_LIMIT_MAX */
	void (*done)(struct fleet_query *query, enum code rc,
		     const struct err *err);
	struct buf rows;                 /* the caller's to free, in 'done' */
	bool has_more;
	unsigned missing;
	struct msg msg_;
	struct fleet_node *node_;
	struct fleet_asking *asking_;
	enum code rc_;
	struct err err_;
};
#define FLEET_LIMIT_MAX 1000
/* Any thread. */
void fleet_node_query(struct fleet_node *node, struct fleet_query *query);

/*
 * What a release waits for: the leader's newest word, which is in no log.  Embed it.
 * 'done' runs on 'home'; E_UNAVAILABLE, E_TIMEOUT, ...: the leader did not say.
 */
struct fleet_why_query {
	struct loop *home;
	uint64_t release;
	void (*done)(struct fleet_why_query *query, enum code rc,
		     const struct err *err);
	struct fleet_why why;
	struct msg msg_;
	struct fleet_node *node_;
	struct store_fleet_call call_;
	struct buf body_;
	enum code rc_;
	struct err err_;
};
/* Any thread. */
void fleet_node_why(struct fleet_node *node, struct fleet_why_query *query);

struct fleet_metrics {
	struct fleet_counts fleet;
	struct gather_counts gather;
	uint64_t reports_sent, reports_failed, report_bytes;
	size_t running;
};
/* Any thread. */
void fleet_node_metrics(struct fleet_node *node, struct fleet_metrics *out);

#endif
