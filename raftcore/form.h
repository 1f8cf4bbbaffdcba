/*
 * A cluster that its nodes form by themselves: rc_config.forms.
 *
 * Nodes without data find each other at the addresses of 'members' (this node may be
 * among them) and at those of the name 'discover', which is resolved again and again.
 * They form a cluster when exactly 'expect' of them are there, all without data, and
 * expect as many.  A node is not given the data of a cluster that exists, unless it is
 * a member of it.  'address' is what the others are told.  A node that has data goes by
 * that.
 */
#ifndef RAFTCORE_FORM_H
#define RAFTCORE_FORM_H

#include "raftcore/raftcore.h"

/*
 * Forms the cluster now, by hand, of 'expect' nodes (0: of those that are there); at
 * one of them, where rc_config.expect is 0 at all.  OK: it was begun, and
 * rc_node_status says when it has an end.  E_EXISTS: this node has a cluster.
 */
struct rc_initialize {
	unsigned expect;
	void (*done)(struct rc_initialize *initialize, enum code rc,
		     const struct err *err);
};
bool rc_initialize(struct rc_node *node,
		   struct rc_initialize *initialize) MUST_USE;

#endif
