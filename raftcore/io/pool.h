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
	void (*done)(struct work *work);     /* home loop; once, always */
};

/* 'threads' workers (1 or more), at most 'max_queued' waiting; 'name' (at most
 * 15 bytes) names the threads, which take no signals. */
struct pool *pool_new(const char *name, unsigned threads, size_t max_queued);
/* As pool_new, which ends the process where the machine has no more threads; this
 * one says so.  E_BUSY. */
enum code pool_try_new(const char *name, unsigned threads, size_t max_queued,
		       struct pool **out, struct err *err) MUST_USE;
/* What it does from now on goes behind what others do (nice 5 more): for work
 * that computes long and that nobody waits for.  It shall hold no lock that a
 * loop takes.  Any thread. */
void pool_set_background(struct pool *pool);
/* Waits for running work; queued work is run too.  What is done is told to
 * 'home' as always, so that a pool is freed before its loops. */
void pool_free(struct pool **pool);
/* Any thread.  Work starts in the order of submission.  False: the queue is
 * full, or the pool is being freed. */
bool pool_submit(struct pool *pool, struct work *work) MUST_USE;
unsigned pool_threads(const struct pool *pool);
/* Work that waits for a worker; any thread. */
size_t pool_queued(const struct pool *pool);
/* How often the queue was full; any thread. */
uint64_t pool_refused(const struct pool *pool);

#endif
