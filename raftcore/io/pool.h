/*
 * A bounded pool of workers for what may block: Git, checkpoints, hashing.
 * A worker shares no pointer with a loop but the work itself.
 */
#ifndef IO_POOL_H
#define IO_POOL_H

#include "io/loop.h"

struct pool;

/* Embed it; must stay valid until 'done' ran on 'home'. */
struct work {
	struct msg msg_;
	struct work *next_;
	struct loop *home;                   /* where 'done' runs */
	void (*run)(struct work *work);      /* worker thread */
	void (*done)(struct work *work);     /* home loop */
	void (*msg_run_)(struct msg *msg);
};

/* 'threads' workers, at most 'max_queued' waiting. */
struct pool *pool_new(const char *name, unsigned threads, size_t max_queued);
/* Waits for running work; queued work is run too. */
void pool_free(struct pool **pool);
/* Any thread.  False: the queue is full. */
bool pool_submit(struct pool *pool, struct work *work) MUST_USE;
size_t pool_queued(const struct pool *pool);
uint64_t pool_refused(const struct pool *pool);

#endif
