/*
 * Taking checkpoints.
 *
 *	raft loop	one is due: more was applied since the last than the
 *			setting, and than the state is large
 *	apply loop	the machine freezes
 *	worker		the picture is written at a pace that leaves the log its
 *			disk, verified and named; old ones are removed
 *	apply loop	the machine thaws
 *	raft loop	the engine forgets, the WAL thread cuts the log up to the
 *			oldest checkpoint that is kept
 *
 * One that fails is told, and tried again when more has been logged; nothing
 * depends on it but the length of the log.
 */
#include "node/own.h"

#include <semaphore.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

#define PAUSE_LEAST_US 500u
#define PAUSE_MOST_US 100000u
#define P99_LEAST_US 200u

struct taking {
	struct rc_node *node;
	struct work work;
	struct msg msg;
	struct rc_frozen *frozen;
	struct checkpoint c;
	uint64_t logged_bytes;           /* when it froze */
	uint64_t oldest;                 /* checkpoint that is kept */
	uint64_t usual_us;               /* p99 of the log before */
	unsigned pause_us;
	sem_t written;                   /* the worker is done */
	bool is_submitted;
	enum code rc;
	struct err err;
};

/* ---- worker ---- */

/* Longer pauses while writes of the log take twice as long as they did. */
static void pace(void *data)
{
	struct taking *t = data;
	uint64_t p99 = writer_p99_us(t->node->writer);

	if (p99 > 2 * MAX(t->usual_us, (uint64_t)P99_LEAST_US))
		t->pause_us = MIN(t->pause_us * 2, PAUSE_MOST_US);
	else
		t->pause_us = MAX(t->pause_us / 2, PAUSE_LEAST_US);
	if (!atomic_load(&t->node->ended))
		usleep(t->pause_us);
}

struct sink {
	struct taking *t;
	struct checkpoint_writer *writer;
};

static enum code put(void *data, const void *p, size_t n, struct err *err)
{
	struct sink *sink = data;

	if (atomic_load(&sink->t->node->ended))
		return err_set(err, E_CANCELLED, "the node is stopping");
	return checkpoint_put(sink->writer, p, n, err);
}

static enum code write_picture(struct taking *t, struct err *err)
{
	struct rc_node *n = t->node;
	struct sink sink = { .t = t };
	enum code rc = checkpoint_begin(fs_real(), n->checkpoints_dir, pace, t,
					&sink.writer, err);

	if (rc)
		return rc;
	rc = n->config.machine.write(n->config.machine.data, t->frozen, put,
				     &sink, err);
	if (rc == OK)
		rc = checkpoint_end(sink.writer, &t->c, err);
	checkpoint_writer_free(&sink.writer);
	if (rc == OK)
		rc = checkpoint_prune(fs_real(), n->checkpoints_dir,
				      n->config.checkpoints_kept, &t->oldest, err);
	return rc;
}

static void run(struct work *work)
{
	struct taking *t = container_of(work, struct taking, work);

	t->rc = write_picture(t, &t->err);
	sem_post(&t->written);
}

/* ---- raft loop, afterwards ---- */

/* On the raft loop; on the apply loop's thread after the raft loop has ended. */
static void taking_free(struct taking *t)
{
	t->node->taking = NULL;
	atomic_store(&t->node->is_taking, false);
	sem_destroy(&t->written);
	checkpoint_fini(&t->c);
	free(t);
}

static void cut(struct rc_node *n, struct taking *t)
{
	uint64_t trailing = 2 * (uint64_t)n->config.inflight_entries_max;
	uint64_t to = t->c.index > trailing ? t->c.index - trailing : 0;
	struct engine_snapshot snapshot = {
		t->c.index, t->c.term, t->c.conf_index, buf_view(&t->c.conf)
	};
	struct engine_update u;
	struct err err;

	/* Two checkpoints are kept so that one may turn out damaged; the log
	 * must reach back to the older. */
	to = MIN(to, t->oldest);
	if (engine_snapshot_taken(n->engine, loop_now_ms(n->loop), &snapshot,
				  (unsigned)(t->c.index - to), &u, &err)) {
		node_fail(n, &err);
		return;
	}
	if (to)
		writer_cut(n->writer, to);
}

static void taken(struct msg *msg)
{
	struct taking *t = container_of(msg, struct taking, msg);
	struct rc_node *n = t->node;

	if (atomic_load(&n->ended)) {
		taking_free(t);
		return;
	}
	if (t->rc) {
		log_warn(PART, LOG_KV(log_z("hint", t->err.hint)),
			 "checkpoint: %s", t->err.text);
		n->retry_bytes = n->logged_bytes +
			n->config.checkpoint_log_bytes / 4;
	} else {
		log_info(PART, LOG_KV(log_u("index", t->c.index),
				      log_u("bytes", t->c.bytes)), "checkpoint");
		n->logged_bytes -= MIN(n->logged_bytes, t->logged_bytes);
		n->retry_bytes = 0;
		atomic_store(&n->checkpoint_index, t->c.index);
		cut(n, t);
	}
	taking_free(t);
}

/* ---- apply loop ---- */

static void post_taken(struct taking *t)
{
	if (atomic_load(&t->node->ended)) {
		taking_free(t);
		return;
	}
	t->msg.run = taken;
	loop_post_sure(t->node->loop, &t->msg);
}

static void thaw(struct work *work)
{
	struct taking *t = container_of(work, struct taking, work);
	struct rc_node *n = t->node;

	n->config.machine.thaw(n->config.machine.data, t->frozen);
	post_taken(t);
}

static void freeze(struct msg *msg)
{
	struct taking *t = container_of(msg, struct taking, msg);
	struct rc_node *n = t->node;
	struct rc_applied at;

	if (atomic_load(&n->ended)) {
		taking_free(t);
		return;
	}
	t->rc = n->config.machine.freeze(n->config.machine.data, &t->frozen, &at,
					 &t->err);
	if (t->rc) {
		post_taken(t);
		return;
	}
	t->c.index = at.index;
	t->c.term = at.term;
	t->work = (struct work){ .home = n->config.apply_loop, .run = run,
				 .done = thaw };
	t->is_submitted = true;
	if (pool_submit(n->config.pool, &t->work))
		return;
	t->is_submitted = false;
	n->config.machine.thaw(n->config.machine.data, t->frozen);
	t->rc = err_set(&t->err, E_BUSY, "no worker is free");
	post_taken(t);
}

/* ---- raft loop ---- */

void snapshot_consider(struct rc_node *n, uint64_t bytes)
{
	uint64_t least = MAX(n->config.checkpoint_log_bytes,
			     (uint64_t)atomic_load(&n->machine_bytes));
	struct taking *t;

	n->logged_bytes += bytes;
	if (n->taking || !n->config.pool || atomic_load(&n->failed) ||
	    n->logged_bytes < MAX(least, n->retry_bytes) || n->conf.n == 0)
		return;
	t = NEW(struct taking);
	t->node = n;
	t->c.cluster = n->identity.cluster;
	t->c.conf_index = n->conf_index;
	buf_str(&t->c.conf, buf_view(&n->conf));
	t->logged_bytes = n->logged_bytes;
	t->usual_us = writer_p99_us(n->writer);
	t->pause_us = PAUSE_LEAST_US;
	sem_init(&t->written, 0, 0);
	n->taking = t;
	atomic_store(&n->is_taking, true);
	atomic_store(&n->machine_bytes_start, atomic_load(&n->machine_bytes));
	t->msg.run = freeze;
	loop_post_sure(n->config.apply_loop, &t->msg);
}

bool snapshot_is_crowded(struct rc_node *n)
{
	uint64_t start = atomic_load(&n->machine_bytes_start);

	return n->taking && start &&
		atomic_load(&n->machine_bytes) > start + start / 4;
}

void snapshot_note_conf(struct rc_node *n, uint64_t index, struct str conf)
{
	if (index <= n->conf_index)
		return;
	n->conf_index = index;
	buf_reset(&n->conf);
	buf_str(&n->conf, conf);
}

void snapshot_stop(struct rc_node *n)
{
	struct taking *t = n->taking;

	/* The machine may not close under the worker.  What it did is told on
	 * the apply loop, which is freed after this. */
	if (t && t->is_submitted)
		while (sem_wait(&t->written))
			;
}
