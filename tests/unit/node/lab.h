/*
 * A core of a node on one thread: what it asks for waits in queues until a test
 * has it done, in whatever order the rules of node_core.h allow.  Time is a
 * number, files are in memory (io/sim/disk.h).
 */
#ifndef TESTS_NODE_LAB_H
#define TESTS_NODE_LAB_H

#include "io/sim/disk.h"
#include "node/node_core.h"

#define LAB_INDEXES 200000

/* The machine: a number made of all values in their order.  It lives in memory
 * alone, so a start always comes from checkpoint and log. */
struct lab_state {
	uint64_t index, term, sum, count;
};

struct lab_proposal {
	struct rc_proposal p;
	char bytes[64];
	bool is_answered;
	enum code rc;
};

struct lab_write {
	struct lab_write *next;
	struct append *append;           /* or a load, or a cut */
	uint64_t from, to, cut;
};

struct lab {
	struct node_core *core;
	struct rc_config config;
	struct disk *disk;
	struct fs *fs;
	uint64_t now_ms;
	const struct node_member *members;       /* none: a cluster of one */
	size_t n_members;
	struct lab_state state;
	uint64_t machine_bytes;          /* that it says */
	uint64_t ahead;                  /* of what it has is what it says at open */
	unsigned opens, closes;
	bool from_checkpoint;

	/* What was asked for and is not done. */
	struct lab_write *writes, **writes_last;
	const struct rc_entry *batch;
	size_t n_batch;
	const struct checkpoint *freezing, *writing;
	const struct checkpoint *installing;
	enum code install_rc;
	struct lab_state frozen;

	/* What was once applied at an index must always be. */
	uint64_t sums[LAB_INDEXES];
	uint64_t applied_ever;

	bool is_leader, is_ready, fails_next_write, fails_next_checkpoint;
	bool fails_next_apply;
	bool may_not_cut;                /* the disk may refuse */
	unsigned fatals, checkpoints, cuts, loads;
	uint64_t refused, next_value;
	struct err fatal;
	struct engine_message sent;      /* the last; without what it points to */
};

/* With a disk of its own. */
struct lab *lab_new(uint64_t seed);
/* Node 1 of three. */
struct lab *lab_new_of_three(uint64_t seed);
void lab_free(struct lab *lab);
enum code lab_try_open(struct lab *lab, struct err *err);
/* Opens and starts it. */
void lab_open(struct lab *lab);
/* As a power loss: what was not durable is gone. */
void lab_crash(struct lab *lab);
void lab_propose(struct lab *lab, struct lab_proposal *p);

/* Each does one thing that waits; false: there is none. */
bool lab_write(struct lab *lab);
bool lab_machine(struct lab *lab);
bool lab_worker(struct lab *lab);
/* Time goes on to the core's deadline. */
void lab_wait(struct lab *lab);
/* Everything until nothing waits and it is ready. */
void lab_settle(struct lab *lab);

#endif
