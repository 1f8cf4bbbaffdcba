/* The log on its thread: what the core asks of it, and its answers. */
#include "base/log.h"

#include "node/driver.h"

#include "base/banned.h"

/* ---- appending ---- */

/* Several writes of the log may be told at once. */
static void written_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, log.written_msg);

	atomic_store(&n->log.written_posted, false);
	if (node_has_ended(n))
		return;
	node_core_written(n->core, node_now(n), atomic_load(&n->log.written),
			  atomic_load(&n->log.rc), &n->log.err);
	node_touch(n);
}

static void post_written(struct rc_node *n)
{
	if (atomic_exchange(&n->log.written_posted, true))
		return;
	n->log.written_msg.run = written_here;
	loop_post_sure(n->loop, &n->log.written_msg);
}

void log_written(void *node, uint64_t sequence)
{
	struct rc_node *n = node;

	atomic_store(&n->log.written, sequence);
	post_written(n);
}

void log_failed(void *node, enum code rc, const struct err *err)
{
	struct rc_node *n = node;

	err_copy(&n->log.err, err);
	atomic_store(&n->log.rc, rc);
	post_written(n);
}

/* WAL thread.  Nothing of the node goes by it. */
void log_trouble(void *node, const struct err *err)
{
	if (err)
		log_warn(PART, LOG_KV(log_z("error", err->text),
				      log_z("hint", err->hint)),
			 "beside the log something fails; it is tried again");
	else
		log_info(PART, LOG_NO_KV, "what failed beside the log goes well again");
}

void host_append(void *host, struct append *append)
{
	struct rc_node *n = host;

	writer_append(n->log.writer, append);
	n->log.has_new = true;
}

void log_turn(struct turn *turn)
{
	struct rc_node *n = container_of(turn, struct rc_node, log.turn);

	if (!n->log.has_new)
		return;
	n->log.has_new = false;
	writer_wake(n->log.writer);
}

/* ---- reading back ---- */

static void loaded_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, log.loaded_msg);

	if (node_has_ended(n))
		return;
	node_core_loaded(n->core, node_now(n), n->log.loaded_rc, &n->log.loaded,
			 &n->log.loaded_err);
	node_touch(n);
}

static void load_run(struct writer_task *task, struct wal *wal)
{
	struct rc_node *n = container_of(task, struct rc_node, log.load_task);
	struct log_work *w = &n->log;

	w->loaded_rc = node_load(wal, w->load_from, w->load_to, &w->loaded,
				 &w->loaded_err);
	w->loaded_msg.run = loaded_here;
	loop_post_sure(n->loop, &w->loaded_msg);
}

void host_load(void *host, uint64_t from, uint64_t to)
{
	struct rc_node *n = host;

	n->log.load_from = from;
	n->log.load_to = to;
	n->log.load_task.run = load_run;
	writer_run(n->log.writer, &n->log.load_task);
}

/* ---- cutting ---- */

static void cut_run(struct writer_task *task, struct wal *wal)
{
	struct rc_node *n = container_of(task, struct rc_node, log.cut_task);
	struct err err;

	if (wal_cut(wal, n->log.cut_index, &err))
		log_warn(PART, LOG_KV(log_z("error", err.text)),
			 "the log was not cut; it is tried again");
	atomic_store(&n->log.is_cutting, false);
}

void host_cut(void *host, uint64_t index)
{
	struct rc_node *n = host;

	if (atomic_exchange(&n->log.is_cutting, true))
		return;
	n->log.cut_index = index;
	n->log.cut_task.run = cut_run;
	writer_run(n->log.writer, &n->log.cut_task);
}
