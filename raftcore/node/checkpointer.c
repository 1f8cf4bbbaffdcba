/* Checkpoints of a running node: see checkpointer.h. */
#include "node/checkpointer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/pace.h"

#include "base/banned.h"

#define HELD_MAX 8
#define PIECE_BYTES (1024 * 1024)        /* between two pauses */

struct checkpointer {
	struct checkpointer_config config;
	struct checkpoint file;          /* the worker's own */
	const struct checkpoint *of;
	struct msg freeze_msg, frozen_msg, thaw_msg;
	struct work work;
	struct rc_frozen *frozen;        /* apply loop; the worker reads it */
	_Atomic bool has_ended;
	bool is_writing;                 /* raft loop */
	enum code rc;
	struct err err;
	uint64_t kept_index;

	struct pace pace;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_cancelled;
};

/* ---- pace ---- */

static struct timespec in_us(uint64_t us)
{
	uint64_t ns = clock_mono_ns() + us * 1000;

	return (struct timespec){ (time_t)(ns / 1000000000),
				  (long)(ns % 1000000000) };
}

static bool is_cancelled(struct checkpointer *cp)
{
	bool yes;

	pthread_mutex_lock(&cp->lock);
	yes = cp->is_cancelled;
	pthread_mutex_unlock(&cp->lock);
	return yes;
}

/* Waits as long as the log's writes ask for, or until it is given up. */
static void keep_pace(void *data)
{
	struct checkpointer *cp = data;
	uint64_t p99_us, writes;
	struct timespec until;
	int rc = 0;

	cp->config.log(cp->config.data, &p99_us, &writes);
	until = in_us(pace_next(&cp->pace, p99_us, writes, PIECE_BYTES));
	pthread_mutex_lock(&cp->lock);
	while (!cp->is_cancelled && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&cp->cond, &cp->lock, &until);
	pthread_mutex_unlock(&cp->lock);
}

/* ---- the worker ---- */

struct sink {
	struct checkpointer *cp;
	struct checkpoint_writer *writer;
};

static enum code put(void *data, const void *p, size_t n, struct err *err)
{
	struct sink *sink = data;

	if (is_cancelled(sink->cp))
		return err_set(err, E_CANCELLED, "the node is stopping");
	return checkpoint_put(sink->writer, p, n, err);
}

static enum code write_file(struct checkpointer *cp, struct err *err)
{
	const struct rc_machine *m = cp->config.machine;
	struct sink sink = { .cp = cp };
	uint64_t p99_us, writes;
	enum code rc = checkpoint_begin(cp->config.fs, cp->config.dir,
					keep_pace, cp, &sink.writer, err);

	if (rc)
		return rc;
	cp->config.log(cp->config.data, &p99_us, &writes);
	pace_init(&cp->pace, p99_us, writes);
	rc = m->write(m->data, cp->frozen, put, &sink, err);
	if (rc == OK)
		rc = checkpoint_end(sink.writer, &cp->file, err);
	checkpoint_writer_free(&sink.writer);
	return rc;
}

static void copy_head(struct checkpoint *to, const struct checkpoint *from)
{
	checkpoint_fini(to);
	to->cluster = from->cluster;
	to->index = from->index;
	to->term = from->term;
	to->conf_index = from->conf_index;
	buf_str(&to->conf, buf_view(&from->conf));
}

static enum code prune(struct checkpointer *cp)
{
	uint64_t held[HELD_MAX];
	size_t n = cp->config.held ?
		cp->config.held(cp->config.data, held, HELD_MAX) : 0;

	return checkpoint_prune_but(cp->config.fs, cp->config.dir,
				    cp->config.keep, held, n, &cp->kept_index,
				    &cp->err);
}

static void work_run(struct work *work)
{
	struct checkpointer *cp = container_of(work, struct checkpointer, work);

	copy_head(&cp->file, cp->of);
	cp->rc = write_file(cp, &cp->err);
	if (cp->rc == OK)
		cp->rc = prune(cp);
}

/* ---- letting go ---- */

static void thaw(struct checkpointer *cp)
{
	const struct rc_machine *m = cp->config.machine;

	if (cp->frozen)
		m->thaw(m->data, TAKE(cp->frozen));
}

static void thaw_here(struct msg *msg)
{
	struct checkpointer *cp = container_of(msg, struct checkpointer,
					       thaw_msg);

	if (!atomic_load(&cp->has_ended))
		thaw(cp);
}

/* The next picture is taken behind this one on the same loop. */
static void finish(struct checkpointer *cp)
{
	cp->is_writing = false;
	cp->thaw_msg.run = thaw_here;
	loop_post_sure(cp->config.apply_loop, &cp->thaw_msg);
	cp->config.on_done(cp->config.data, cp->rc, cp->kept_index, &cp->err);
}

static void work_done(struct work *work)
{
	finish(container_of(work, struct checkpointer, work));
}

/* ---- taking the picture ---- */

static void frozen_here(struct msg *msg)
{
	struct checkpointer *cp = container_of(msg, struct checkpointer,
					       frozen_msg);

	if (atomic_load(&cp->has_ended))
		return;
	cp->config.on_frozen(cp->config.data, cp->rc, &cp->err);
	if (cp->rc)
		return;
	cp->is_writing = true;
	cp->work = (struct work){ .home = cp->config.raft_loop,
				  .run = work_run, .done = work_done };
	if (pool_submit(cp->config.pool, &cp->work))
		return;
	cp->rc = err_set(&cp->err, E_BUSY, "no worker for a checkpoint");
	finish(cp);
}

static enum code freeze(struct checkpointer *cp, struct err *err)
{
	const struct rc_machine *m = cp->config.machine;
	struct rc_applied at;
	enum code rc = m->freeze(m->data, &cp->frozen, &at, err);

	if (rc)
		return rc;
	if (at.index == cp->of->index)
		return OK;
	thaw(cp);
	return err_set(err, E_INTERNAL, "the picture is of index %llu, not %llu",
		       (unsigned long long)at.index,
		       (unsigned long long)cp->of->index);
}

static void freeze_here(struct msg *msg)
{
	struct checkpointer *cp = container_of(msg, struct checkpointer,
					       freeze_msg);

	if (atomic_load(&cp->has_ended))
		return;
	cp->rc = freeze(cp, &cp->err);
	cp->frozen_msg.run = frozen_here;
	loop_post_sure(cp->config.raft_loop, &cp->frozen_msg);
}

/* ---- life ---- */

struct checkpointer *checkpointer_new(const struct checkpointer_config *config)
{
	struct checkpointer *cp = NEW(struct checkpointer);
	pthread_condattr_t attr;

	cp->config = *config;
	pthread_mutex_init(&cp->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cp->cond, &attr);
	pthread_condattr_destroy(&attr);
	return cp;
}

void checkpointer_start(struct checkpointer *cp, const struct checkpoint *c)
{
	cp->of = c;
	cp->freeze_msg.run = freeze_here;
	loop_post_sure(cp->config.apply_loop, &cp->freeze_msg);
}

bool checkpointer_cancel(struct checkpointer *cp)
{
	pthread_mutex_lock(&cp->lock);
	cp->is_cancelled = true;
	pthread_cond_signal(&cp->cond);
	pthread_mutex_unlock(&cp->lock);
	return cp->is_writing;
}

void checkpointer_end(struct checkpointer *cp)
{
	atomic_store(&cp->has_ended, true);
	thaw(cp);
}

void checkpointer_free(struct checkpointer **cpp)
{
	struct checkpointer *cp = *cpp;

	if (!cp)
		return;
	checkpoint_fini(&cp->file);
	pthread_mutex_destroy(&cp->lock);
	pthread_cond_destroy(&cp->cond);
	free(cp);
	*cpp = NULL;
}
