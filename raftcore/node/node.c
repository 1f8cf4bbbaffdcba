/*
 * A node with threads: the core (node_core.h) and the connections on the raft
 * loop, the log on its thread, the machine on the caller's loop, files in
 * workers.  See raftcore.h, and driver.h for what is where.
 *
 * The raft loop never waits: what the core asks for is posted, and what comes
 * of it is posted back.  A turn ends with what was proposed in it becoming one
 * append, and with what others may know being published; the frames of the turn
 * leave behind that.
 */
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/driver.h"
#include "node/identity.h"
#include "node/restore.h"

#include "base/banned.h"

#define NODE_ID_MAX 0xffffu              /* proposals have it in their ids */

void rc_config_defaults(struct rc_config *c)
{
	*c = (struct rc_config){
		.node_id = 1, .address = "", .election_timeout_ms = 300,
		.heartbeat_ms = 50, .segment_bytes = 64ull << 20,
		.checkpoint_log_bytes = 256ull << 20,
		.entry_bytes_max = 1 << 20, .inflight_bytes_max = 64ull << 20,
		.inflight_entries_max = 8192, .checkpoints_kept = 2,
		.compare_entries = 1024, .file_parts_bytes = 16ull << 30,
		.file_parts_ms = 7ull * 24 * 3600 * 1000,
	};
}

uint64_t node_now(const struct rc_node *n)
{
	return loop_now_ms(n->loop);
}

bool node_has_ended(const struct rc_node *n)
{
	return atomic_load(&n->ended);
}

/* ---- turns ---- */

void node_touch(struct rc_node *n)
{
	n->is_touched = true;
}

static void publish(struct rc_node *n)
{
	struct shown *s = &n->shown;
	const struct node_core_view was = n->view;

	node_core_view(n->core, &n->view);
	atomic_store(&s->term, n->view.term);
	atomic_store(&s->leader, n->view.leader);
	atomic_store(&s->leads, n->view.is_leader);
	atomic_store(&s->commit, n->view.commit);
	atomic_store(&s->durable, n->view.durable);
	atomic_store(&s->proposals, n->view.proposals);
	atomic_store(&s->checkpoint_index, n->view.checkpoint_index);
	atomic_store(&s->compared, n->view.compared);
	if (n->view.is_ready && !n->view.has_failed)
		atomic_store(&s->ready, true);
	if (n->view.backward != was.backward)
		log_warn(PART, LOG_KV(log_u("node", n->config.node_id),
				      log_u("times", n->view.backward)),
			 "what came from a peer was out of order: a defect of "
			 "the transport");
	if (was.leader != n->view.leader ||
	    was.membership != n->view.membership ||
	    was.is_changing != n->view.is_changing)
		n->tick_ms = 0;
}

static void set_timer(struct rc_node *n)
{
	uint64_t now = node_now(n);
	uint64_t due = node_core_deadline(n->core);

	due = MIN(due, links_deadline(n));
	due = MIN(due, courier_deadline(n));
	due = MIN(due, shipper_deadline(n));
	due = MIN(due, filer_deadline(n));
	due = MIN(due, former_deadline(n));
	due = MIN(due, n->reads_due_ms);
	due = MIN(due, room_deadline(n));
	if (due == n->armed_ms)
		return;
	n->armed_ms = due == UINT64_MAX ? 0 : due;
	if (due == UINT64_MAX)
		timer_stop(&n->timer);
	else
		timer_start(&n->timer, due > now ? due - now : 1);
}

static void on_timer(struct timer *timer)
{
	struct rc_node *n = container_of(timer, struct rc_node, timer);

	n->armed_ms = 0;
	node_core_timeout(n->core, node_now(n));
	courier_timeout(n);
	shipper_timeout(n);
	filer_timeout(n);
	readers_timeout(n);
	room_timeout(n);
	former_timeout(n);
	node_touch(n);
}

static void on_turn(struct turn *turn)
{
	struct rc_node *n = container_of(turn, struct rc_node, turn);
	bool is_touched;

	if (!n->has_started)
		return;
	inbox_take(n);
	readers_turn(n);
	node_core_hurry(n->core, node_now(n), readers_hurry(n));
	is_touched = n->is_touched;
	n->is_touched = false;
	if (is_touched)
		publish(n);
	links_turn(n, is_touched);
	courier_turn(n);
	set_timer(n);
}

/* ---- opening ---- */

static const struct node_host node_host = {
	.append = host_append, .load = host_load, .apply = host_apply,
	.checkpoint = host_checkpoint, .cut = host_cut, .refuse = host_refuse,
	.role = host_role, .fatal = host_fatal, .send = host_send,
	.room = host_room, .ship = host_ship, .install = host_install,
	.install_done = host_install_done, .members = host_members,
	.diverged = host_diverged,
};

static char *copy(const char *z)
{
	return z ? mem_dup(z, strlen(z)) : NULL;
}

static void copy_config(struct rc_node *n, const struct rc_config *from)
{
	AUTO_BUF checkpoints = BUF_NONE;

	n->config = *from;
	n->dir = copy(from->dir);
	n->config.dir = n->dir;
	n->config.address = copy(from->address);
	n->config.listen = copy(from->listen);
	n->members = mem_zero((from->n_members + 1) * sizeof(*n->members));
	for (size_t i = 0; i < from->n_members; i++)
		n->members[i] = (struct rc_member){
			from->members[i].id, copy(from->members[i].address) };
	n->config.members = n->members;
	n->config.discover = copy(from->discover);
	if (from->tls) {
		n->tls = (struct net_tls){ copy(from->tls->cert_file),
					   copy(from->tls->key_file),
					   copy(from->tls->ca_file) };
		n->config.tls = &n->tls;
	}
	buf_printf(&checkpoints, "%s/checkpoints", n->dir);
	n->checkpoint_dir = buf_take(&checkpoints);
	n->host = node_host;
	/* Without workers there is no one to write them, or to send them. */
	if (!n->config.pool)
		n->config.machine.freeze = NULL;
	if (!n->config.pool || !n->config.listen)
		n->host.ship = NULL;
}

static struct rc_node *node_new(const struct rc_config *config)
{
	struct rc_node *n = NEW(struct rc_node);

	n->lock_fd = -1;
	copy_config(n, config);
	inbox_init(&n->inbox);
	errands_init(&n->to_raft, n);
	errands_init(&n->to_apply, n);
	errands_start(&n->to_apply, config->apply_loop);
	pthread_mutex_init(&n->shown.lock, NULL);
	list_init(&n->held);
	list_init(&n->sent);
	list_init(&n->local);
	list_init(&n->outgoing);
	filer_init(&n->filer);
	list_init(&n->reads);
	list_init(&n->awaits);
	n->awaits_least = UINT64_MAX;
	n->reads_due_ms = UINT64_MAX;
	/* Ids of other runs of this node differ in the time of their start. */
	atomic_store(&n->next_id, (clock_wall_ms() & 0xffffffff) << 16);
	return n;
}

static enum code open_core(struct rc_node *n, struct err *err)
{
	size_t count = n->config.joins || n->config.forms ?
			       0 : n->config.n_members;
	struct node_member *members = mem_zero((count + 1) * sizeof(*members));
	struct node_core_config core = {
		.node = &n->config, .fs = fs_real(),
		.tending = WAL_TEND_THREAD,
		.seed = (unsigned)rand_u64(), .members = members,
		.n_members = count, .joins = n->config.joins,
		.forms = n->config.forms,
		.cluster = n->config.cluster_id, .host = &n->host,
		.host_data = n };
	enum code rc;

	for (size_t i = 0; i < count; i++)
		members[i] = (struct node_member){ n->members[i].id,
						   n->members[i].address };
	rc = node_core_open(&core, &n->core, err);
	free(members);
	n->config.cluster_id = NULL;
	return rc;
}

static enum code open_all(struct rc_node *n, struct err *err)
{
	enum code rc = fs_real()->ops->make_dir(fs_real(), n->dir, err);

	if (n->config.node_id == 0 || n->config.node_id > NODE_ID_MAX)
		return err_set(err, E_INVALID, "a node's id is 1 to %u",
			       NODE_ID_MAX);
	if (n->config.forms && (!n->config.listen || n->config.joins ||
				(n->config.discover && !n->config.pool)))
		return err_set(err, E_INVALID, "a node that forms a cluster listens, "
			       "does not join, and needs workers to resolve a name");
	if (rc == OK)
		rc = dir_lock(n->dir, &n->lock_fd, err);
	if (rc == OK)
		rc = restore_adopt(n->dir, err);
	if (rc == OK)
		rc = open_core(n, err);
	if (rc)
		return rc;
	n->machine.is_open = true;
	node_core_view(n->core, &n->view);
	n->shown.cluster = n->view.cluster;
	atomic_store(&n->shown.formed, !node_core_waits(n->core));
	atomic_store(&n->shown.applied, n->view.applied);
	atomic_store(&n->shown.durable, n->view.durable);
	atomic_store(&n->shown.checkpoint_index, n->view.checkpoint_index);
	rc = known_open(&n->known, fs_real(), n->dir,
			node_core_identity(n->core), err);
	if (rc == OK)
		rc = shipper_open(n, err);
	if (rc)
		machine_close(n);
	return rc;
}

enum code rc_node_open(const struct rc_config *config, struct rc_node **out,
		       struct err *err)
{
	struct rc_node *n = node_new(config);
	enum code rc = open_all(n, err);

	if (rc) {
		rc_node_free(&n);
		return rc;
	}
	*out = n;
	return OK;
}

/* ---- running ---- */

static void start_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, start_msg);

	n->has_started = true;
	timer_init(&n->timer, n->loop, on_timer);
	node_core_start(n->core, node_now(n));
	node_touch(n);
	if (!n->net)
		members_publish(n);
	former_open(n);
	filer_start(n);
	errands_start(&n->to_raft, n->loop);
}

static enum code start_writer(struct rc_node *n, struct err *err)
{
	struct wal *wal = node_core_wal(n->core);
	struct writer_config c = { .wal = wal, .on_written = log_written,
				   .on_failed = log_failed, .on_room = room_log,
				   .on_trouble = log_trouble, .data = n };

	c.record_bytes = MIN((size_t)4 << 20, wal_record_max(wal));
	return writer_start(&c, &n->log.writer, err);
}

void node_formed(struct rc_node *n)
{
	struct err err;

	/* There is no way back from here: as where memory ends. */
	if (start_writer(n, &err)) {
		log_error(PART, LOG_NO_KV, "%s", err.text);
		must(n->log.writer);
	}
	node_core_view(n->core, &n->view);
	net_identify(n->net, &n->view.cluster);
	pthread_mutex_lock(&n->shown.lock);
	n->shown.cluster = n->view.cluster;
	n->shown.waits_for[0] = '\0';
	pthread_mutex_unlock(&n->shown.lock);
	atomic_store(&n->shown.formed, true);
	if (known_adopt(&n->known, node_core_identity(n->core), &err))
		log_warn(PART, LOG_NO_KV, "%s", err.text);
	node_core_start(n->core, node_now(n));
}

/* The turn before the transport's: what it sends leaves in the same.  Behind both the log's
 * thread is woken, which may take the processor at once: others have theirs to write too. */
static enum code open_loop(struct rc_node *n, struct err *err)
{
	enum code rc = loop_try_new("raft", 0, &n->loop, err);

	if (rc)
		return rc;
	loop_set_slow_ms(n->loop, 20);
	n->turn.run = on_turn;
	loop_on_turn(n->loop, &n->turn);
	rc = links_open(n, err);
	n->log.turn.run = log_turn;
	loop_on_turn(n->loop, &n->log.turn);
	return rc;
}

enum code rc_node_start(struct rc_node *n, struct err *err)
{
	enum code rc = open_loop(n, err);

	if (rc == OK) {
		courier_open(n);
		n->checkpointer = picture_new(n);
		if (!node_core_waits(n->core))
			rc = start_writer(n, err);
	}
	if (rc == OK)
		rc = loop_start(n->loop, err);
	if (rc) {
		links_stop(n);
		rpc_free(&n->rpc);
		if (n->log.writer)
			writer_stop(&n->log.writer);
		loop_free(&n->loop);
		return rc;
	}
	/* Nothing is done before it. */
	n->start_msg.run = start_here;
	loop_post_sure(n->loop, &n->start_msg);
	return OK;
}

/* ---- the end ---- */

void node_may_end(struct rc_node *n)
{
	if (node_has_ended(n) && !n->is_waiting && n->works == 0)
		loop_stop(n->loop);
}

bool node_work_home(struct rc_node *n)
{
	n->works--;
	node_may_end(n);
	return !node_has_ended(n);
}

/* Workers that are out still need this loop to come home to. */
static void stop_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, stop_msg);

	atomic_store(&n->ended, true);
	loop_off_turn(n->loop, &n->turn);
	loop_off_turn(n->loop, &n->log.turn);
	timer_close(&n->timer, NULL);
	links_stop(n);
	courier_stop(n);
	shipper_stop(n);
	n->is_waiting = checkpointer_cancel(n->checkpointer);
	node_may_end(n);
}

static void stop_loop(struct rc_node *n)
{
	n->stop_msg.run = stop_here;
	loop_post_sure(n->loop, &n->stop_msg);
	loop_join(n->loop);
	checkpointer_end(n->checkpointer);
	writer_stop(&n->log.writer);
	loop_free(&n->loop);
}

void rc_node_stop(struct rc_node *n)
{
	inbox_close(n);
	errands_close(&n->to_raft);
	if (n->loop)
		stop_loop(n);
	atomic_store(&n->ended, true);
	node_core_stop(n->core);
	inbox_refuse(n);
	readers_stop(n);
	errands_run(&n->to_raft);
	filer_end(n);
	errands_run(&n->to_apply);
	machine_close(n);
}

void node_free_members(struct rc_node *n)
{
	for (size_t i = 0; i < n->config.n_members; i++)
		free((char *)(uintptr_t)n->members[i].address);
	free(TAKE(n->members));
	n->config.n_members = 0;
}

static void free_config(struct rc_node *n)
{
	node_free_members(n);
	free((char *)(uintptr_t)n->config.discover);
	free((char *)(uintptr_t)n->tls.cert_file);
	free((char *)(uintptr_t)n->tls.key_file);
	free((char *)(uintptr_t)n->tls.ca_file);
	free((char *)(uintptr_t)n->config.address);
	free((char *)(uintptr_t)n->config.listen);
	free(n->dir);
	free(n->checkpoint_dir);
}

void rc_node_free(struct rc_node **np)
{
	struct rc_node *n = *np;

	if (!n)
		return;
	node_loaded_fini(&n->log.loaded);
	checkpointer_free(&n->checkpointer);
	if (n->loop)
		loop_free(&n->loop);
	shipper_free(n);
	filer_free(n);
	links_free(n);
	former_free(n);
	/* Behind those who have its files open. */
	node_core_free(&n->core);
	if (n->lock_fd >= 0)
		close(n->lock_fd);
	pthread_mutex_destroy(&n->inbox.lock);
	pthread_mutex_destroy(&n->shown.lock);
	errands_fini(&n->to_raft);
	errands_fini(&n->to_apply);
	free_config(n);
	free(n);
	*np = NULL;
}

/* ---- what others may know ---- */

static void fill_from_log(const struct rc_node *n, struct rc_status *out)
{
	struct wal_stats wal;

	writer_stats(n->log.writer, &wal);
	out->wal_writes = wal.records;
	out->wal_entries = wal.entries;
	out->wal_bytes = wal.bytes;
	out->log_bytes = wal.segments * n->config.segment_bytes;
	out->log_first = wal.first_index;
	out->direct_io = wal.is_direct;
	out->is_sealed = wal.is_sealed;
	out->other_segments = wal.other_segments;
	if (wal.is_sealed)
		str_copy(out->seal_key, sizeof(out->seal_key),
			 str_of(n->config.seal->current(n->config.seal->data)));
	out->wal_sync_us_p99 = writer_p99_us(n->log.writer);
}

static void fill_from_loop(const struct rc_node *n, struct rc_status *out)
{
	struct loop_stats loop;

	loop_stats_take(n->loop, &loop);
	out->turn_max_us = loop.turn_recent_us;
	out->turn_max_cpu_us = loop.turn_recent_cpu_us;
}

void rc_node_status(struct rc_node *n, struct rc_status *out)
{
	struct shown *s = &n->shown;

	*out = (struct rc_status){
		.node_id = n->config.node_id,
		.leader_id = atomic_load(&s->leader),
		.term = atomic_load(&s->term),
		.commit = atomic_load(&s->commit),
		.applied = atomic_load(&s->applied),
		.last = atomic_load(&s->durable),
		.checkpoint_index = atomic_load(&s->checkpoint_index),
		.is_leader = atomic_load(&s->leads),
		.proposals = atomic_load(&s->proposals),
		.refused = atomic_load(&s->refused),
		.uncertain = atomic_load(&s->uncertain),
		.checkpoints = atomic_load(&s->checkpoints),
		.checkpoints_failed = atomic_load(&s->checkpoints_failed),
		.shipped = atomic_load(&s->shipped),
		.installed = atomic_load(&s->installed),
		.malformed = atomic_load(&s->malformed),
		.lost = atomic_load(&s->lost),
		.divergence = atomic_load(&s->divergence),
		.divergence_index = atomic_load(&s->divergence_index),
		.divergence_peer = atomic_load(&s->divergence_peer),
		.compared = atomic_load(&s->compared),
	};
	out->is_full = room_is_full(n);
	out->is_ready = out->leader_id && atomic_load(&s->ready) &&
			!atomic_load(&s->failed) &&
			out->divergence != RC_FENCED && !out->is_full;
	out->is_formed = atomic_load(&s->formed);
	pthread_mutex_lock(&s->lock);
	out->cluster_id = s->cluster;
	memcpy(out->waits_for, s->waits_for, sizeof(out->waits_for));
	memcpy(out->refused_by, s->refused_by, sizeof(out->refused_by));
	pthread_mutex_unlock(&s->lock);
	if (out->is_formed && n->log.writer)
		fill_from_log(n, out);
	if (n->loop)
		fill_from_loop(n, out);
}
