/*
 * How many instances, at all nodes together, follow one of some configurations now: the
 * reach of a plan.
 *
 * Each node says of its instances that do a number each, their names hashed under a key
 * of the question; whoever asked counts what is different, so an instance that is
 * connected to two nodes is one.  Where a node does not answer the count is not known.
 */
#ifndef FLEET_REACH_H
#define FLEET_REACH_H

#include "fleet/node.h"

#define FLEET_REACH_KEYS_MAX 2000
#define FLEET_REACH_BYTES_MAX (128 * 1024)

/* Embed it. */
struct fleet_reach {
	struct loop *home;
	/* "tenant/application/environment/name", at most FLEET_REACH_KEYS_MAX of
	 * FLEET_REACH_BYTES_MAX together; sorted here, and copied. */
	struct str *keys;
	size_t n_keys;
	void (*done)(struct fleet_reach *reach);         /* on 'home' */
	uint64_t count;                  /* of the nodes that answered */
	unsigned nodes, missing;
	struct msg msg_;
	struct fleet_node *node_;
	struct reach_asking *asking_;
};
/* Any thread. */
void fleet_node_reach(struct fleet_node *node, struct fleet_reach *reach);

/* ---- as bytes (docs/formats/fleet.md) ---- */

/* The keys follow: strings, ascending, until the end. */
struct reach_question {
	uint64_t key[2];
	uint64_t after;                  /* numbers beyond it; 0: from the first */
	struct rd keys;
};
void reach_encode(struct buf *out, const uint64_t key[2], uint64_t after);
/* E_INVALID. */
enum code reach_decode(struct str in, struct reach_question *out,
		       struct err *err) MUST_USE;

/* The numbers of those that follow any of 'keys' (ascending) here, ascending, beyond
 * 'after', at most REACH_PAGE; '*more': there are others.  None of them is 0. */
#define REACH_PAGE 30000
void fleet_reached(struct fleet *fleet, const struct reach_question *question,
		   const struct str *keys, size_t n, struct buf *out, bool *more);

#endif
