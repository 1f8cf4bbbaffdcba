/*
 * Takes one checkpoint at a time: freezes the machine on the apply loop, has a
 * worker write the picture beside the log at the pace the log allows, and lets
 * go of it on the apply loop.
 *
 * The calls are the raft loop's, and so are the answers.
 */
#ifndef NODE_CHECKPOINTER_H
#define NODE_CHECKPOINTER_H

#include "io/pool.h"
#include "node/checkpoint.h"
#include "raftcore/machine.h"

struct checkpointer;

struct checkpointer_config {
	struct fs *fs;
	const char *dir;                 /* of checkpoints; kept by the caller */
	unsigned keep;
	const struct rc_machine *machine;
	struct pool *pool;
	struct loop *raft_loop, *apply_loop;
	/* The log's writes: 99th percentile and count; any thread. */
	void (*log)(void *data, uint64_t *p99_us, uint64_t *writes);
	/* Up to 'cap' indexes of checkpoints that are in use and must not be
	 * removed; how many.  Any thread. */
	size_t (*held)(void *data, uint64_t *out, size_t cap);
	/* The picture is taken, or not: then there is no on_done. */
	void (*on_frozen)(void *data, enum code rc, const struct err *err);
	/* The file has its name and older ones are pruned ('kept_index' as of
	 * checkpoint_prune); or it was given up. */
	void (*on_done)(void *data, enum code rc, uint64_t kept_index,
			const struct err *err);
	void *data;
};

struct checkpointer *checkpointer_new(const struct checkpointer_config *config);
/* 'c' says of what; valid until the answer. */
void checkpointer_start(struct checkpointer *cp, const struct checkpoint *c);
/* Nothing is to be started any more.  True: a worker writes, gives it up soon,
 * and on_done follows. */
bool checkpointer_cancel(struct checkpointer *cp);
/* Lets go of a picture that is still held; both loops have ended. */
void checkpointer_end(struct checkpointer *cp);
/* After the apply loop was freed. */
void checkpointer_free(struct checkpointer **cp);

#endif
