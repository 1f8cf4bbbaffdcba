/* Checkpoints that this node takes, and what becomes of the old ones' blocks. */
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

static void log_of(void *data, uint64_t *p99_us, uint64_t *writes)
{
	struct rc_node *n = data;
	struct wal_stats st;

	writer_stats(n->log.writer, &st);
	*p99_us = writer_p99_us(n->log.writer);
	*writes = st.records;
}

static void say_failed(struct rc_node *n, const struct err *err)
{
	atomic_fetch_add(&n->shown.checkpoints_failed, 1);
	err_copy(&n->picture_err, err);
	event_tell(n, RC_EVENT_CHECKPOINT_FAILED, 0, 0, err);
	log_error(PART, LOG_KV(log_z("error", err->text)),
		  "no checkpoint; the log is kept, and it is tried again");
}

static void on_frozen(void *data, enum code rc, const struct err *err)
{
	struct rc_node *n = data;

	if (rc) {
		atomic_store(&n->is_taking, false);
		say_failed(n, err);
	}
	if (node_has_ended(n))
		return;
	node_core_frozen(n->core, node_now(n), rc);
	node_touch(n);
}

/* ---- clearing ---- */

#define PAUSE_NS 2000000                 /* behind a piece, for the log */

/* Who stops does not wait for more pauses. */
static bool clear_goes_on(void *data)
{
	const struct rc_node *n = data;

	nanosleep(&(struct timespec){ 0, PAUSE_NS }, NULL);
	return !node_has_ended(n);
}

static void clear_run(struct work *work)
{
	struct rc_node *n = container_of(work, struct rc_node, clearing.work);

	checkpoint_clear(fs_real(), n->checkpoint_dir, clear_goes_on, n);
}

static void clear_done(struct work *work);

/* One at a time; without a worker it is done behind the next checkpoint, or start. */
static void clear(struct rc_node *n)
{
	n->clearing.is_again = n->clearing.is_out;
	if (n->clearing.is_out)
		return;
	n->clearing.work = (struct work){ .home = n->loop, .run = clear_run,
					  .done = clear_done };
	n->clearing.is_out = pool_submit(n->config.pool, &n->clearing.work);
	n->works += n->clearing.is_out;
}

static void clear_done(struct work *work)
{
	struct rc_node *n = container_of(work, struct rc_node, clearing.work);

	n->clearing.is_out = false;
	if (node_work_home(n) && n->clearing.is_again)
		clear(n);
}

/* ---- taking ---- */

static void on_checkpoint(void *data, enum code rc, uint64_t kept_index,
			  const struct err *err)
{
	struct rc_node *n = data;
	struct node_core_view view;
	bool was_waiting = n->is_waiting;

	atomic_store(&n->is_taking, false);
	n->is_waiting = false;
	if (rc == OK)
		atomic_fetch_add(&n->shown.checkpoints, 1);
	else if (!was_waiting)
		say_failed(n, err);
	if (node_has_ended(n)) {
		node_may_end(n);
		return;
	}
	node_core_checkpointed(n->core, node_now(n), rc, kept_index);
	if (rc == OK) {
		shipper_pruned(n, kept_index);
		clear(n);
		node_core_view(n->core, &view);
		event_tell(n, RC_EVENT_CHECKPOINT, view.checkpoint_index, 0,
			   NULL);
	}
	node_touch(n);
}

void host_checkpoint(void *host, const struct checkpoint *c)
{
	struct rc_node *n = host;

	atomic_store(&n->is_taking, true);
	checkpointer_start(n->checkpointer, c);
}

static size_t held(void *data, uint64_t *out, size_t cap)
{
	struct rc_node *n = data;
	size_t count = 0;

	for (unsigned i = 0; i < ARRAY_LEN(n->held_index); i++) {
		uint64_t index = atomic_load(&n->held_index[i]);

		if (index && count < cap)
			out[count++] = index;
	}
	return count;
}

struct checkpointer *picture_new(struct rc_node *n)
{
	return checkpointer_new(&(struct checkpointer_config){
		.fs = node_core_files(n->core), .dir = n->checkpoint_dir,
		.keep = MAX(n->config.checkpoints_kept, 1u),
		.machine = &n->config.machine, .pool = n->config.pool,
		.raft_loop = n->loop, .apply_loop = n->config.apply_loop,
		.log = log_of, .held = held, .on_frozen = on_frozen,
		.on_done = on_checkpoint, .data = n });
}
