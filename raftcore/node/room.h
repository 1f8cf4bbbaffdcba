/*
 * A disk without room: what did not fit waits, the node refuses and hands over,
 * and goes on when there is room again.  On the raft loop unless it says otherwise.
 */
#ifndef NODE_ROOM_H
#define NODE_ROOM_H

#include <stdatomic.h>

#include "io/loop.h"
#include "node/node_core.h"

struct rc_node;

struct room {
	_Atomic bool log, machine;       /* there is none for it */
	_Atomic bool is_posted;
	struct msg changed;
	uint64_t again_ms;               /* the machine is asked again; 0: no */
	void (*again)(struct rc_node *n);
	uint64_t hand_over_ms;           /* not before */
	struct node_transfer transfer;
	bool is_handing;
};

/* What did not fit is waiting; any thread. */
bool room_is_full(const struct rc_node *n);
/* For writer_config: 'err' says what did not fit; NULL: it did now. */
void room_log(void *node, const struct err *err);
/* What became of a batch, of the machine's opening, or of a cluster that is formed;
 * true: it found no room, and 'again' has it tried once more, later. */
bool room_machine(struct rc_node *n, enum code rc, const struct err *err,
		  void (*again)(struct rc_node *n));
/* These: in machine.c, and former.c. */
void machine_apply_again(struct rc_node *n);
void machine_reopen_again(struct rc_node *n);
void former_again(struct rc_node *n);
uint64_t room_deadline(const struct rc_node *n);
void room_timeout(struct rc_node *n);

#endif
