/*
 * When a follower applies.
 *
 * A batch costs a machine something however little is in it, and who follows is asked
 * by few.  With rc_config.gather_ms a follower begins no batch sooner than so long after
 * the one before: after a pause it applies at once, under load it gathers meanwhile.
 * It does not wait where much has come (256 entries, or a mebibyte), before it is ready,
 * for linearizable reads (rc_read), nor while anybody hurries it.  Who leads never
 * gathers.
 */
#ifndef RAFTCORE_HURRY_H
#define RAFTCORE_HURRY_H

#include <stdbool.h>

struct rc_node;

/* Somebody waits at this node until it has applied what others have, or waits no more
 * ('on' false): both as often.  Any thread. */
void rc_hurry(struct rc_node *node, bool on);

#endif
