/*
 * The cluster that the settings describe: parsed and checked before anything is
 * opened.  Pure, but for the name of this host.
 */
#ifndef DAEMON_CLUSTER_H
#define DAEMON_CLUSTER_H

#include "net/net.h"
#include "store/calls.h"
#include "tbl/settings.h"

#define CLUSTER_MEMBERS_MAX 9

struct cluster {
	struct arena *arena;
	struct rc_member members[CLUSTER_MEMBERS_MAX];
	size_t n_members;
	struct uuid id;                  /* of cluster.join */
	uint64_t node_id;
	bool forms;                      /* where it has no data yet */
	unsigned expect;
	const char *discover;            /* host:port of dns:; NULL */
	const char *address;             /* that others are told; "": alone */
	bool joins;
	bool is_alone;                   /* cluster.raft_listen is not set */
	struct net_tls tls;
	bool has_tls;
};

/* E_USAGE: names the setting.  'out' refers to 'settings'; cluster_fini in any
 * case. */
enum code cluster_of_settings(const struct settings *settings,
			      struct cluster *out, struct err *err) MUST_USE;
void cluster_fini(struct cluster *cluster);

#endif
