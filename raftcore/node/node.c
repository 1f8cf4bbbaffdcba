/*
 * A node with threads: the core (node_core.h) on the raft loop, the log on its
 * thread, the machine on the caller's loop, checkpoints in a worker.  See
 * raftcore.h.
 *
 * The raft loop never waits: what the core asks for is posted, and what comes
 * of it is posted back.
 */
#include "raftcore/raftcore.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/timer.h"
#include "node/checkpointer.h"
#include "node/identity.h"
#include "node/node_core.h"
#include "node/writer.h"

#include "base/banned.h"

#define PART "raft"

struct rc_node {
	struct rc_config config;
	struct node_core *core;          /* raft loop */
	char *dir, *checkpoint_dir;
	struct uuid cluster;
	int lock_fd;
	struct writer *writer;
	struct checkpointer *checkpointer;
	struct loop *loop;
	struct timer timer;
	struct turn turn;

	/* Proposals that came in this turn. */
	pthread_mutex_t inbox_lock;
	struct rc_proposal *inbox, **inbox_last;
	bool is_woken, is_stopping;
	struct msg wake;

	/* The batch that is with the apply loop. */
	struct msg apply_msg, applied_msg, fatal_msg, stop_msg, written_msg;
	const struct rc_entry *batch;
	size_t n_batch;
	bool makes_ready;
	enum code applied_rc;
	struct err applied_err;
	uint64_t machine_bytes;
	unsigned n_batches;
	struct err fatal;

	/* What the WAL thread answers. */
	struct err log_err;
	_Atomic enum code log_rc;
	struct writer_task load_task, cut_task;
	uint64_t load_from, load_to, cut_index;
	struct msg loaded_msg;
	struct node_loaded loaded;
	enum code loaded_rc;
	struct err loaded_err;
	_Atomic bool is_cutting;

	bool is_waiting;                 /* for a worker, before the end */
	_Atomic uint64_t written, commit, applied, durable, term, leader;
	_Atomic uint64_t checkpoint_index, next_id, proposals, refused;
	_Atomic uint64_t uncertain, checkpoints, checkpoints_failed;
	_Atomic bool is_taking;          /* a checkpoint */
	_Atomic bool leads, ready, failed, ended, written_posted;
};

void rc_config_defaults(struct rc_config *c)
{
	*c = (struct rc_config){
		.node_id = 1, .address = "", .election_timeout_ms = 300,
		.heartbeat_ms = 50, .segment_bytes = 64ull << 20,
		.checkpoint_log_bytes = 256ull << 20,
		.entry_bytes_max = 1 << 20, .inflight_bytes_max = 64ull << 20,
		.inflight_entries_max = 8192, .checkpoints_kept = 2,
	};
}

/* ---- after each call of the core ---- */

static void set_timer(struct rc_node *n)
{
	uint64_t now = loop_now_ms(n->loop);
	uint64_t due = node_core_deadline(n->core);

	if (due == UINT64_MAX)
		timer_stop(&n->timer);
	else
		timer_start(&n->timer, due > now ? due - now : 1);
}

static void publish(struct rc_node *n)
{
	struct node_core_view v;

	node_core_view(n->core, &v);
	atomic_store(&n->term, v.term);
	atomic_store(&n->leader, v.leader);
	atomic_store(&n->leads, v.is_leader);
	atomic_store(&n->commit, v.commit);
	atomic_store(&n->durable, v.durable);
	atomic_store(&n->proposals, v.proposals);
	atomic_store(&n->checkpoint_index, v.checkpoint_index);
	if (v.is_ready && !v.has_failed)
		atomic_store(&n->ready, true);
	set_timer(n);
}

static uint64_t now_ms(const struct rc_node *n)
{
	return loop_now_ms(n->loop);
}

/* ---- the host: failure and roles ---- */

static void tell_fatal(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, fatal_msg);

	if (n->config.on_fatal)
		n->config.on_fatal(n->config.data, &n->fatal);
}

static void host_fatal(void *host, const struct err *err)
{
	struct rc_node *n = host;

	err_copy(&n->fatal, err);
	atomic_store(&n->failed, true);
	atomic_store(&n->ready, false);
	n->fatal_msg.run = tell_fatal;
	loop_post_sure(n->config.apply_loop, &n->fatal_msg);
}

struct role {
	struct msg msg;
	struct rc_node *node;
	bool is_leader;
	uint64_t leader, term;
};

static void tell_role(struct msg *msg)
{
	struct role *r = container_of(msg, struct role, msg);
	struct rc_node *n = r->node;

	if (n->config.on_role)
		n->config.on_role(n->config.data, r->is_leader, r->leader,
				  r->term);
	free(r);
}

static void host_role(void *host, bool is_leader, uint64_t leader,
		      uint64_t term)
{
	struct rc_node *n = host;
	struct role *r = NEW(struct role);

	*r = (struct role){ { .run = tell_role }, n, is_leader, leader, term };
	loop_post_sure(n->config.apply_loop, &r->msg);
}

/* ---- the host: applying ---- */

static void applied_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, applied_msg);

	if (atomic_load(&n->ended))
		return;
	node_core_applied(n->core, now_ms(n), n->applied_rc, &n->applied_err,
			  n->machine_bytes);
	publish(n);
}

/* On the apply loop. */
static void applied_batch(struct rc_node *n)
{
	const struct rc_machine *m = &n->config.machine;

	if (n->applied_rc) {
		err_wrap(&n->applied_err, "apply");
	} else {
		atomic_store(&n->applied, n->batch[n->n_batch - 1].index);
		if (n->makes_ready)
			atomic_store(&n->ready, true);
		/* Asking costs a system call. */
		if (atomic_load(&n->is_taking) || n->n_batches++ % 64 == 0)
			n->machine_bytes = m->bytes(m->data);
	}
	n->applied_msg.run = applied_here;
	loop_post_sure(n->loop, &n->applied_msg);
}

static void apply_more_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, apply_msg);
	const struct rc_machine *m = &n->config.machine;
	bool more = false;

	if (atomic_load(&n->failed) || atomic_load(&n->ended))
		return;
	loop_note(n->config.apply_loop, "apply");
	if (m->apply_more)
		n->applied_rc = m->apply_more(m->data, &more, &n->applied_err);
	if (more)
		loop_post_sure(n->config.apply_loop, msg);
	else
		applied_batch(n);
}

static void apply_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, apply_msg);
	const struct rc_machine *m = &n->config.machine;

	if (atomic_load(&n->failed) || atomic_load(&n->ended))
		return;
	n->applied_rc = m->apply(m->data, n->batch, n->n_batch,
				 &n->applied_err);
	if (n->applied_rc) {
		applied_batch(n);
		return;
	}
	msg->run = apply_more_here;
	apply_more_here(msg);
}

static void host_apply(void *host, const struct rc_entry *entries, size_t count,
		       bool makes_ready)
{
	struct rc_node *n = host;

	n->batch = entries;
	n->n_batch = count;
	n->makes_ready = makes_ready;
	n->apply_msg.run = apply_here;
	loop_post_sure(n->config.apply_loop, &n->apply_msg);
}

/* ---- the host: the log ---- */

/* Several writes of the log may be told at once. */
static void written_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, written_msg);

	atomic_store(&n->written_posted, false);
	if (atomic_load(&n->ended))
		return;
	node_core_written(n->core, now_ms(n), atomic_load(&n->written),
			  atomic_load(&n->log_rc), &n->log_err);
	publish(n);
}

static void post_written(struct rc_node *n)
{
	if (atomic_exchange(&n->written_posted, true))
		return;
	n->written_msg.run = written_here;
	loop_post_sure(n->loop, &n->written_msg);
}

static void on_written(void *data, uint64_t sequence)
{
	struct rc_node *n = data;

	atomic_store(&n->written, sequence);
	post_written(n);
}

static void on_failed(void *data, enum code rc, const struct err *err)
{
	struct rc_node *n = data;

	err_copy(&n->log_err, err);
	atomic_store(&n->log_rc, rc);
	post_written(n);
}

static void host_append(void *host, struct append *append)
{
	struct rc_node *n = host;

	writer_append(n->writer, append);
}

static void loaded_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, loaded_msg);

	if (atomic_load(&n->ended))
		return;
	node_core_loaded(n->core, now_ms(n), n->loaded_rc, &n->loaded,
			 &n->loaded_err);
	publish(n);
}

static void load_run(struct writer_task *task, struct wal *wal)
{
	struct rc_node *n = container_of(task, struct rc_node, load_task);

	n->loaded_rc = node_load(wal, n->load_from, n->load_to, &n->loaded,
				 &n->loaded_err);
	n->loaded_msg.run = loaded_here;
	loop_post_sure(n->loop, &n->loaded_msg);
}

static void host_load(void *host, uint64_t from, uint64_t to)
{
	struct rc_node *n = host;

	n->load_from = from;
	n->load_to = to;
	n->load_task.run = load_run;
	writer_run(n->writer, &n->load_task);
}

static void cut_run(struct writer_task *task, struct wal *wal)
{
	struct rc_node *n = container_of(task, struct rc_node, cut_task);
	struct err err;

	if (wal_cut(wal, n->cut_index, &err))
		log_warn(PART, LOG_KV(log_z("error", err.text)),
			 "the log was not cut; it is tried again");
	atomic_store(&n->is_cutting, false);
}

static void host_cut(void *host, uint64_t index)
{
	struct rc_node *n = host;

	if (atomic_exchange(&n->is_cutting, true))
		return;
	n->cut_index = index;
	n->cut_task.run = cut_run;
	writer_run(n->writer, &n->cut_task);
}

/* A cluster of one has no peers. */
static void host_send(void *host, uint64_t peer, const struct engine_message *m)
{
}

/* ---- the host: checkpoints ---- */

static void log_of(void *data, uint64_t *p99_us, uint64_t *writes)
{
	struct rc_node *n = data;
	struct wal_stats st;

	writer_stats(n->writer, &st);
	*p99_us = writer_p99_us(n->writer);
	*writes = st.records;
}

static void say_failed(struct rc_node *n, const struct err *err)
{
	atomic_fetch_add(&n->checkpoints_failed, 1);
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
	if (atomic_load(&n->ended))
		return;
	node_core_frozen(n->core, now_ms(n), rc);
	publish(n);
}

static void on_checkpoint(void *data, enum code rc, uint64_t kept_index,
			  const struct err *err)
{
	struct rc_node *n = data;

	atomic_store(&n->is_taking, false);
	if (rc == OK)
		atomic_fetch_add(&n->checkpoints, 1);
	else if (!n->is_waiting)
		say_failed(n, err);
	if (n->is_waiting) {
		loop_stop(n->loop);
		return;
	}
	node_core_checkpointed(n->core, now_ms(n), rc, kept_index);
	publish(n);
}

static void host_checkpoint(void *host, const struct checkpoint *c)
{
	struct rc_node *n = host;

	atomic_store(&n->is_taking, true);
	checkpointer_start(n->checkpointer, c);
}

/* ---- proposals ---- */

static void refuse(struct rc_node *n, struct rc_proposal *p, enum code rc,
		   const char *text)
{
	struct err err;

	err_set(&err, rc, "%s", text);
	atomic_fetch_add(rc == E_UNCERTAIN ? &n->uncertain : &n->refused, 1);
	p->done(p, rc, &err);
}

struct refusal {
	struct msg msg;
	struct rc_node *node;
	struct rc_proposal *proposal;
	enum code rc;
	const char *text;
};

static void refuse_here(struct msg *msg)
{
	struct refusal *r = container_of(msg, struct refusal, msg);

	refuse(r->node, r->proposal, r->rc, r->text);
	free(r);
}

static void host_refuse(void *host, struct rc_proposal *p, enum code rc,
			const char *text)
{
	struct rc_node *n = host;
	struct refusal *r;

	if (atomic_load(&n->ended)) {    /* rc_node_stop, on the apply loop's */
		refuse(n, p, rc, text);
		return;
	}
	r = NEW(struct refusal);
	*r = (struct refusal){ { .run = refuse_here }, n, p, rc, text };
	loop_post_sure(n->config.apply_loop, &r->msg);
}

/* Once a turn: everything that was proposed meanwhile becomes one append. */
static void on_turn(struct turn *turn)
{
	struct rc_node *n = container_of(turn, struct rc_node, turn);
	struct rc_proposal *p;

	pthread_mutex_lock(&n->inbox_lock);
	p = n->inbox;
	n->inbox = NULL;
	n->inbox_last = &n->inbox;
	pthread_mutex_unlock(&n->inbox_lock);
	if (!p)
		return;
	node_core_propose(n->core, now_ms(n), p);
	publish(n);
}

static void woken(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, wake);

	/* Only now is the message free to be posted again; the turn does the
	 * work. */
	pthread_mutex_lock(&n->inbox_lock);
	n->is_woken = false;
	pthread_mutex_unlock(&n->inbox_lock);
}

bool rc_propose(struct rc_node *n, struct rc_proposal *p)
{
	bool wake;

	p->next_ = NULL;
	p->id = n->config.node_id << 48 | atomic_fetch_add(&n->next_id, 1);
	pthread_mutex_lock(&n->inbox_lock);
	if (n->is_stopping) {
		pthread_mutex_unlock(&n->inbox_lock);
		return false;
	}
	*n->inbox_last = p;
	n->inbox_last = &p->next_;
	wake = !n->is_woken;
	n->is_woken = true;
	pthread_mutex_unlock(&n->inbox_lock);
	if (wake) {
		n->wake.run = woken;
		loop_post_sure(n->loop, &n->wake);
	}
	return true;
}

/* ---- opening ---- */

static const struct node_host node_host = {
	.append = host_append, .load = host_load, .apply = host_apply,
	.checkpoint = host_checkpoint, .cut = host_cut, .refuse = host_refuse,
	.role = host_role, .fatal = host_fatal, .send = host_send,
};

static enum code open_dir(struct rc_node *n, struct err *err)
{
	enum code rc = fs_real()->ops->make_dir(fs_real(), n->dir, err);

	return rc ? rc : dir_lock(n->dir, &n->lock_fd, err);
}

enum code rc_node_open(const struct rc_config *config, struct rc_node **out,
		       struct err *err)
{
	struct rc_node *n = NEW(struct rc_node);
	struct node_core_config core = { .node = &n->config, .fs = fs_real(),
					 .seed = (unsigned)rand_u64(),
					 .host = &node_host, .host_data = n };
	struct node_core_view v;
	AUTO_BUF checkpoints = BUF_NONE;
	enum code rc;

	n->config = *config;
	n->lock_fd = -1;
	n->dir = mem_dup(config->dir, strlen(config->dir));
	buf_printf(&checkpoints, "%s/checkpoints", n->dir);
	n->checkpoint_dir = buf_take(&checkpoints);
	n->inbox_last = &n->inbox;
	pthread_mutex_init(&n->inbox_lock, NULL);
	/* Without a worker there is no one to write them. */
	if (!n->config.pool)
		n->config.machine.freeze = NULL;
	/* Ids of other runs of this node differ in the time of their start. */
	atomic_store(&n->next_id, (clock_wall_ms() & 0xffffffff) << 16);
	rc = open_dir(n, err);
	if (rc == OK)
		rc = node_core_open(&core, &n->core, err);
	if (rc) {
		rc_node_free(&n);
		return rc;
	}
	node_core_view(n->core, &v);
	n->cluster = v.cluster;
	atomic_store(&n->applied, v.applied);
	atomic_store(&n->durable, v.durable);
	atomic_store(&n->checkpoint_index, v.checkpoint_index);
	*out = n;
	return OK;
}

/* ---- running ---- */

static void on_timer(struct timer *timer)
{
	struct rc_node *n = container_of(timer, struct rc_node, timer);

	node_core_timeout(n->core, now_ms(n));
	publish(n);
}

static void start_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, wake);

	woken(msg);
	timer_init(&n->timer, n->loop, on_timer);
	n->turn.run = on_turn;
	loop_on_turn(n->loop, &n->turn);
	node_core_start(n->core, now_ms(n));
	publish(n);
}

static struct checkpointer *make_checkpointer(struct rc_node *n)
{
	return checkpointer_new(&(struct checkpointer_config){
		.fs = fs_real(), .dir = n->checkpoint_dir,
		.keep = MAX(n->config.checkpoints_kept, 1u),
		.machine = &n->config.machine, .pool = n->config.pool,
		.raft_loop = n->loop, .apply_loop = n->config.apply_loop,
		.log = log_of, .on_frozen = on_frozen,
		.on_done = on_checkpoint, .data = n });
}

enum code rc_node_start(struct rc_node *n, struct err *err)
{
	struct wal *wal = node_core_wal(n->core);
	struct writer_config writer = { .wal = wal,
					.record_bytes = 4 * 1024 * 1024,
					.on_written = on_written,
					.on_failed = on_failed, .data = n };
	enum code rc;

	n->loop = loop_new("raft", 0);
	loop_set_slow_ms(n->loop, 20);
	n->checkpointer = make_checkpointer(n);
	writer.record_bytes = MIN(writer.record_bytes, wal_record_max(wal));
	n->writer = writer_start(&writer);
	/* Runs first, so that proposals find the engine started. */
	n->wake.run = start_here;
	n->is_woken = true;
	loop_post_sure(n->loop, &n->wake);
	rc = loop_start(n->loop, err);
	if (rc)
		writer_stop(&n->writer);
	return rc;
}

/* A worker that writes a checkpoint still needs this loop to come home to. */
static void stop_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, stop_msg);

	atomic_store(&n->ended, true);
	loop_off_turn(n->loop, &n->turn);
	timer_close(&n->timer, NULL);
	n->is_waiting = checkpointer_cancel(n->checkpointer);
	if (!n->is_waiting)
		loop_stop(n->loop);
}

static void refuse_inbox(struct rc_node *n)
{
	for (struct rc_proposal *p = n->inbox, *next; p; p = next) {
		next = p->next_;
		refuse(n, p, E_UNAVAILABLE, "the node is stopping");
	}
	n->inbox = NULL;
}

void rc_node_stop(struct rc_node *n)
{
	pthread_mutex_lock(&n->inbox_lock);
	n->is_stopping = true;
	pthread_mutex_unlock(&n->inbox_lock);
	if (n->loop) {
		n->stop_msg.run = stop_here;
		loop_post_sure(n->loop, &n->stop_msg);
		loop_join(n->loop);
		checkpointer_end(n->checkpointer);
		writer_stop(&n->writer);
		loop_free(&n->loop);
	}
	atomic_store(&n->ended, true);
	node_core_stop(n->core);
	refuse_inbox(n);
	n->config.machine.close(n->config.machine.data);
}

void rc_node_free(struct rc_node **np)
{
	struct rc_node *n = *np;

	if (!n)
		return;
	node_core_free(&n->core);
	node_loaded_fini(&n->loaded);
	checkpointer_free(&n->checkpointer);
	if (n->loop)
		loop_free(&n->loop);
	if (n->lock_fd >= 0)
		close(n->lock_fd);
	pthread_mutex_destroy(&n->inbox_lock);
	free(n->dir);
	free(n->checkpoint_dir);
	free(n);
	*np = NULL;
}

void rc_node_status(struct rc_node *n, struct rc_status *out)
{
	struct wal_stats wal = { 0 };

	*out = (struct rc_status){
		.node_id = n->config.node_id,
		.leader_id = atomic_load(&n->leader),
		.term = atomic_load(&n->term),
		.commit = atomic_load(&n->commit),
		.applied = atomic_load(&n->applied),
		.last = atomic_load(&n->durable),
		.checkpoint_index = atomic_load(&n->checkpoint_index),
		.cluster_id = n->cluster,
		.is_leader = atomic_load(&n->leads),
		.is_ready = atomic_load(&n->ready),
		.proposals = atomic_load(&n->proposals),
		.refused = atomic_load(&n->refused),
		.uncertain = atomic_load(&n->uncertain),
		.checkpoints = atomic_load(&n->checkpoints),
		.checkpoints_failed = atomic_load(&n->checkpoints_failed),
	};
	if (!n->writer)
		return;
	writer_stats(n->writer, &wal);
	out->wal_writes = wal.records;
	out->wal_entries = wal.entries;
	out->wal_bytes = wal.bytes;
	out->log_bytes = wal.segments * n->config.segment_bytes;
	out->log_first = wal.first_index;
	out->direct_io = wal.is_direct;
	out->wal_sync_us_p99 = writer_p99_us(n->writer);
}
