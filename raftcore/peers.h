/* The members of a node's cluster, as it sees them. */
#ifndef RAFTCORE_PEERS_H
#define RAFTCORE_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rc_node;

/* Why connections of other nodes are turned away (rc_status.refused_by): "cluster",
 * "incarnation", ...; 0, "no-hello": it ended before it had said who it is. */
#define RC_REFUSALS 10
const char *rc_refusal_name(unsigned reason);

struct rc_peer {
	uint64_t id;
	char address[272];
	bool votes, is_up;              /* up: messages go to it */
	uint64_t match;                 /* entries the leader knows it has, on the
					   leader; 0 elsewhere */
	uint64_t bytes_in, bytes_out, rtt_us;
	/* Of all connections to it since it is known here: frames either way; frames that
	 * were not sent for want of room or of a connection; bytes that wait now. */
	uint64_t frames_in, frames_out, dropped, queued_bytes;
	/* Tries to connect to it, those that were agreed to, and of these those that
	 * replace one that was lost; connections of its own that were taken. */
	uint64_t attempts, connects, reconnects, accepts;
	int64_t cert_expiry;            /* Unix seconds; 0: none was seen */
	char error[200];                /* of the connection; "": none */
};
/* The members, this node among them (it is up); a copy that is renewed each
 * second and when a member or a connection comes or goes.  Answers how many
 * there are; fills up to 'cap'. */
size_t rc_peers(struct rc_node *node, struct rc_peer *out, size_t cap);

#endif
