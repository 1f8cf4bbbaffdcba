/*
 * Workers on one queue under a mutex.  No lock is held while work runs; what
 * is done goes home through the mailbox, past its bound, for it was bounded
 * here already.
 */
#include "io/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

#define NAME_MAX_BYTES 15u
#define BACKGROUND_NICE 5

struct pool {
	char name[NAME_MAX_BYTES + 1];
	pthread_t *threads;
	unsigned n_threads;

	pthread_mutex_t lock;
	pthread_cond_t some;            /* there is work, or the end */
	struct work *first, **last;     /* guarded by lock, as 'ending' */
	bool ending;
	size_t max_queued;
	_Atomic size_t queued;          /* written under the lock */
	_Atomic uint64_t refused;
	_Atomic bool is_background;
};

static void tell_home(struct msg *msg)
{
	struct work *work = container_of(msg, struct work, msg_);

	work->done(work);
}

/* Waits for work; NULL when there is none and will be none. */
static struct work *next_work(struct pool *pool)
{
	struct work *work;

	pthread_mutex_lock(&pool->lock);
	while (!pool->first && !pool->ending)
		pthread_cond_wait(&pool->some, &pool->lock);
	work = pool->first;
	if (work) {
		pool->first = work->next_;
		if (!pool->first)
			pool->last = &pool->first;
		atomic_fetch_sub(&pool->queued, 1);
	}
	pthread_mutex_unlock(&pool->lock);
	return work;
}

/* On Linux each thread has a niceness of its own. */
static void go_behind(void)
{
	(void)!setpriority(PRIO_PROCESS, 0,
			   getpriority(PRIO_PROCESS, 0) + BACKGROUND_NICE);
}

static void *worker_main(void *arg)
{
	struct pool *pool = arg;
	struct work *work;
	bool is_behind = false;

	pthread_setname_np(pthread_self(), pool->name);
	while ((work = next_work(pool))) {
		if (!is_behind && atomic_load(&pool->is_background)) {
			go_behind();
			is_behind = true;
		}
		work->run(work);
		work->msg_.run = tell_home;
		loop_post_sure(work->home, &work->msg_);
	}
	return NULL;
}

/* Signals are for others.  0, or errno. */
static int start_threads(struct pool *pool, unsigned threads)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (rc == 0 && pool->n_threads < threads) {
		rc = pthread_create(&pool->threads[pool->n_threads], NULL,
				    worker_main, pool);
		pool->n_threads += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

enum code pool_try_new(const char *name, unsigned threads, size_t max_queued,
		       struct pool **out, struct err *err)
{
	struct pool *pool = NEW(struct pool);
	int rc;

	must(threads > 0);
	must(str_copy(pool->name, sizeof(pool->name), str_of(name)));
	pool->last = &pool->first;
	pool->max_queued = max_queued;
	must(pthread_mutex_init(&pool->lock, NULL) == 0);
	must(pthread_cond_init(&pool->some, NULL) == 0);
	pool->threads = mem_zero(threads * sizeof(pthread_t));
	rc = start_threads(pool, threads);
	if (rc) {
		err_set(err, E_BUSY, "thread %s: %s", name, strerror(rc));
		pool_free(&pool);
		return E_BUSY;
	}
	*out = pool;
	return OK;
}

struct pool *pool_new(const char *name, unsigned threads, size_t max_queued)
{
	struct pool *pool;
	struct err err = { 0 };

	if (pool_try_new(name, threads, max_queued, &pool, &err) == OK)
		return pool;
	dprintf(STDERR_FILENO, "%s\n", err.text);
	must_failed("workers", __FILE__, __LINE__, __func__);
}

void pool_set_background(struct pool *pool)
{
	atomic_store(&pool->is_background, true);
}

void pool_free(struct pool **at)
{
	struct pool *pool = TAKE(*at);

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->some);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->n_threads; i++)
		must(pthread_join(pool->threads[i], NULL) == 0);
	must(!pool->first);
	pthread_cond_destroy(&pool->some);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

bool pool_submit(struct pool *pool, struct work *work)
{
	bool accepted;

	must(work->run && work->done && work->home);
	work->next_ = NULL;
	pthread_mutex_lock(&pool->lock);
	accepted = !pool->ending &&
		   atomic_load(&pool->queued) < pool->max_queued;
	if (accepted) {
		*pool->last = work;
		pool->last = &work->next_;
		atomic_fetch_add(&pool->queued, 1);
		pthread_cond_signal(&pool->some);
	}
	pthread_mutex_unlock(&pool->lock);
	if (!accepted)
		atomic_fetch_add(&pool->refused, 1);
	return accepted;
}

unsigned pool_threads(const struct pool *pool)
{
	return pool->n_threads;
}

size_t pool_queued(const struct pool *pool)
{
	return atomic_load(&pool->queued);
}

uint64_t pool_refused(const struct pool *pool)
{
	return atomic_load(&pool->refused);
}
