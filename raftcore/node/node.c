/*
 * A node: the engine on its loop, the log on its thread, apply on the caller's
 * loop.  See raftcore.h.
 *
 * A proposal is copied once, into the block of its loop turn; that block is
 * what the log writes and what apply reads, and goes when both are done.
 * The raft loop never waits: one batch at a time is with the apply loop, and
 * what commits meanwhile makes the next one.
 */
#include "node/own.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "wire/wire.h"

#include "base/banned.h"

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

/* ---- failure ---- */

static void tell_fatal(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, fatal_msg);

	if (n->config.on_fatal)
		n->config.on_fatal(n->config.data, &n->fatal);
}

void node_fail(struct rc_node *n, const struct err *err)
{
	if (atomic_exchange(&n->failed, true))
		return;
	n->fatal = *err;
	atomic_store(&n->ready, false);
	n->fatal_msg.run = tell_fatal;
	loop_post_sure(n->config.apply_loop, &n->fatal_msg);
}

/* ---- slots ---- */

static struct slot *slot_at(struct rc_node *n, uint64_t index)
{
	must(index >= n->first_slot && index < n->first_slot + n->n_slots);
	return &n->slots[index - n->first_slot];
}

struct slot *slot_add(struct rc_node *n, uint64_t index)
{
	if (n->n_slots == 0)
		n->first_slot = index;
	must(index == n->first_slot + n->n_slots);
	mem_grow((void **)&n->slots, &n->cap_slots, n->n_slots + 1,
		 sizeof(*n->slots));
	n->slots[n->n_slots] = (struct slot){ 0 };
	return &n->slots[n->n_slots++];
}

static void slot_release(struct rc_node *n, struct slot *s)
{
	struct block *b = s->block;

	n->unapplied_bytes -= MIN(n->unapplied_bytes, s->entry.data.n);
	if (!b) {
		free((char *)(uintptr_t)s->entry.data.p);
		return;
	}
	if (--b->refs)
		return;
	free(b->entries);
	free(b->bytes);
	free(b);
}

static void slots_drop(struct rc_node *n, size_t count)
{
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		slot_release(n, &n->slots[i]);
	n->n_slots -= count;
	memmove(n->slots, n->slots + count, n->n_slots * sizeof(*n->slots));
	n->first_slot += count;
}

/* ---- applying ---- */

static void on_applied(struct msg *msg);

/* On the apply loop. */
static void apply_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, apply_msg);
	struct err err;

	if (atomic_load(&n->failed) || atomic_load(&n->ended))
		return;
	if (n->config.machine.apply(n->config.machine.data, n->batch, n->n_batch,
				    &err)) {
		err_wrap(&err, "apply");
		node_fail(n, &err);
		return;
	}
	/* Asking costs a system call. */
	if (atomic_load(&n->is_taking) || n->n_batches++ % 64 == 0)
		atomic_store(&n->machine_bytes,
			     n->config.machine.bytes(n->config.machine.data));
	atomic_store(&n->applied, n->batch[n->n_batch - 1].index);
	if (n->batch[n->n_batch - 1].index >= n->ready_at)
		atomic_store(&n->ready, true);
	n->applied_msg.run = on_applied;
	loop_post_sure(n->loop, &n->applied_msg);
}

static struct rc_entry rc_entry_of(const struct wal_entry *e)
{
	struct rc_entry out = { .index = e->index, .term = e->term,
				.is_command = e->type == ENGINE_COMMAND };
	struct rd rd;

	if (!out.is_command)
		return out;
	rd = rd_of(e->data);
	out.id = rd_u64(&rd);
	out.data = str_from(e->data, ID_BYTES);
	return out;
}

static void apply_more(struct rc_node *n)
{
	uint64_t commit = atomic_load(&n->commit);
	size_t bytes = 0;

	if (n->is_applying || atomic_load(&n->failed) || n->n_slots == 0 ||
	    n->first_slot > commit)
		return;
	n->n_batch = 0;
	while (n->n_batch < APPLY_ENTRIES && n->n_batch < n->n_slots &&
	       n->first_slot + n->n_batch <= commit && bytes < APPLY_BYTES) {
		struct slot *s = &n->slots[n->n_batch];

		s->proposal = NULL;      /* from here on the machine answers */
		bytes += s->entry.data.n;
		n->batch[n->n_batch++] = rc_entry_of(&s->entry);
	}
	n->is_applying = true;
	n->apply_msg.run = apply_here;
	loop_post_sure(n->config.apply_loop, &n->apply_msg);
}

/* What raftcore itself takes from the entries that were applied; answers their
 * bytes. */
static uint64_t note_applied(struct rc_node *n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n->n_batch; i++) {
		const struct wal_entry *e = &n->slots[i].entry;
		struct engine_update u;
		struct err err;

		bytes += e->data.n;
		if (e->type != ENGINE_CHANGE || e->index <= n->conf_index)
			continue;
		snapshot_note_conf(n, e->index, e->data);
		/* The first entry of all counts as committed from the start. */
		if (e->index > 1 &&
		    engine_configuration(n->engine, loop_now_ms(n->loop),
					 e->index, e->data, &u, &err))
			node_fail(n, &err);
	}
	return bytes;
}

static void on_applied(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, applied_msg);
	uint64_t bytes;

	if (atomic_load(&n->ended))
		return;
	n->is_applying = false;
	bytes = note_applied(n);
	slots_drop(n, n->n_batch);
	snapshot_consider(n, bytes);
	apply_more(n);
}

/* ---- updates of the engine ---- */

struct role {
	struct msg msg;
	struct rc_node *node;
	struct engine_update at;
};

static void tell_role(struct msg *msg)
{
	struct role *r = container_of(msg, struct role, msg);
	struct rc_node *n = r->node;

	if (n->config.on_role)
		n->config.on_role(n->config.data, r->at.is_leader, r->at.leader,
				  r->at.term);
	free(r);
}

static void post_role(struct rc_node *n, const struct engine_update *u)
{
	struct role *r = NEW(struct role);

	*r = (struct role){ { .run = tell_role }, n, *u };
	loop_post_sure(n->config.apply_loop, &r->msg);
}

static void submit_types(struct rc_node *n, struct block *b,
			 const enum engine_type *types, unsigned count);

/* An entry of the new term, without which nothing older is committed. */
static void submit_barrier(struct rc_node *n)
{
	struct block *b = NEW(struct block);
	enum engine_type type = ENGINE_BARRIER;

	b->entries = mem_zero(sizeof(*b->entries));
	b->bytes = mem_zero(ID_BYTES);
	b->entries[0].type = ENGINE_BARRIER;
	b->entries[0].data = str_n(b->bytes, ID_BYTES);
	b->refs = 1;
	n->ready_at = engine_last_index(n->engine) + 1;
	submit_types(n, b, &type, 1);
}

static void set_timer(struct rc_node *n)
{
	uint64_t now = loop_now_ms(n->loop), due = engine_deadline(n->engine);

	timer_start(&n->timer, due > now ? due - now : 1);
}

static void persist_vote(struct rc_node *n, const struct engine_update *u)
{
	struct err err;

	if (!u->has_vote || (u->term == n->vote.term &&
			     u->voted_for == n->vote.voted_for))
		return;
	n->vote.term = u->term;
	n->vote.voted_for = u->voted_for;
	if (vote_write(fs_real(), n->dir, &n->vote, &err)) {
		err_wrap(&err, "term and vote");
		node_fail(n, &err);
	}
}

static void handle(struct rc_node *n, const struct engine_update *u)
{
	bool won = u->is_leader && !n->is_leader;

	persist_vote(n, u);
	atomic_store(&n->term, u->term);
	atomic_store(&n->leader, u->leader);
	atomic_store(&n->leads, u->is_leader);
	if (u->commit > atomic_load(&n->commit))
		atomic_store(&n->commit, u->commit);
	if (u->is_leader != n->is_leader) {
		n->is_leader = u->is_leader;
		post_role(n, u);
	}
	if (won)
		submit_barrier(n);
	apply_more(n);
	set_timer(n);
}

static void on_timer(struct timer *timer)
{
	struct rc_node *n = container_of(timer, struct rc_node, timer);
	struct engine_update u;
	struct err err;

	if (atomic_load(&n->failed))
		return;
	if (loop_now_ms(n->loop) < engine_deadline(n->engine)) {
		set_timer(n);
		return;
	}
	if (engine_timeout(n->engine, loop_now_ms(n->loop), &u, &err) == OK)
		handle(n, &u);
}

/* ---- the log ---- */

/* Several writes of the log may be told at once. */
static void written_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, written_msg);
	struct engine_update u;
	struct err err;

	atomic_store(&n->written_posted, false);
	if (!atomic_load(&n->ended) &&
	    engine_persisted(n->engine, loop_now_ms(n->loop),
			     atomic_load(&n->written), &u, &err) == OK)
		handle(n, &u);
}

static void on_written(void *data, uint64_t last)
{
	struct rc_node *n = data;

	atomic_store(&n->written, last);
	if (atomic_exchange(&n->written_posted, true))
		return;
	n->written_msg.run = written_here;
	loop_post_sure(n->loop, &n->written_msg);
}

static void on_failed(void *data, enum code rc, const struct err *err)
{
	node_fail(data, err);
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

static void refuse_later(struct rc_node *n, struct rc_proposal *p, enum code rc,
			 const char *text)
{
	struct refusal *r = NEW(struct refusal);

	*r = (struct refusal){ { .run = refuse_here }, n, p, rc, text };
	loop_post_sure(n->config.apply_loop, &r->msg);
}

/* Gives the entries of 'b' to engine, slots and log. */
static void submit_types(struct rc_node *n, struct block *b,
			 const enum engine_type *types, unsigned count)
{
	struct engine_update u;
	struct err err;

	must(engine_submit(n->engine, loop_now_ms(n->loop), types, count, &u,
			   &err) == OK);
	must(u.first_index && u.n_entries == count);
	for (unsigned i = 0; i < count; i++) {
		struct slot *s = slot_add(n, u.first_index + i);

		b->entries[i].index = u.first_index + i;
		b->entries[i].term = u.entries_term;
		s->entry = b->entries[i];
		s->block = b;
		n->unapplied_bytes += b->entries[i].data.n;
		b->append.bytes += b->entries[i].data.n + 21;
	}
	b->append.entries = b->entries;
	b->append.n = count;
	writer_append(n->writer, &b->append);
	if (u.commit > atomic_load(&n->commit))
		atomic_store(&n->commit, u.commit);
}

/* Fewer while a picture is copied and the store grows under it. */
static size_t admitted(struct rc_node *n)
{
	return snapshot_is_crowded(n) ? n->config.inflight_entries_max / 16 :
		n->config.inflight_entries_max;
}

static const char *why_not(struct rc_node *n, const struct rc_proposal *p,
			   size_t count, size_t bytes, enum code *rc)
{
	*rc = E_UNAVAILABLE;
	if (atomic_load(&n->failed))
		return "this node has failed";
	*rc = E_NOT_LEADER;
	if (!n->is_leader)
		return "this node is not the leader";
	*rc = E_TOO_LARGE;
	if (p->data.n + ID_BYTES > n->config.entry_bytes_max)
		return "the command is larger than one log entry may be";
	*rc = E_BUSY;
	if (n->n_slots + count >= admitted(n) ||
	    n->unapplied_bytes + bytes + p->data.n > n->config.inflight_bytes_max)
		return "too many commands are under way";
	return NULL;
}

struct accepted {
	struct rc_proposal *first, **last;
	size_t n, bytes;
};

static void sort_out(struct rc_node *n, struct rc_proposal *p,
		     struct accepted *a)
{
	for (struct rc_proposal *next; p; p = next) {
		enum code rc;
		const char *why = why_not(n, p, a->n, a->bytes, &rc);

		next = p->next_;
		p->next_ = NULL;
		if (why) {
			refuse_later(n, p, rc, why);
			continue;
		}
		*a->last = p;
		a->last = &p->next_;
		a->n++;
		a->bytes += p->data.n + ID_BYTES;
	}
}

static void put_id(char *to, uint64_t id)
{
	for (unsigned i = 0; i < ID_BYTES; i++)
		to[i] = (char)(id >> (8 * i));
}

static void submit_all(struct rc_node *n, const struct accepted *a)
{
	struct block *b = NEW(struct block);
	enum engine_type *types = mem_alloc(a->n * sizeof(*types));
	const struct rc_proposal *p = a->first;
	size_t at = 0;
	uint64_t first;

	b->entries = mem_zero(a->n * sizeof(*b->entries));
	b->bytes = mem_alloc(a->bytes);
	b->refs = (unsigned)a->n;
	for (size_t i = 0; i < a->n; i++, p = p->next_) {
		types[i] = ENGINE_COMMAND;
		b->entries[i].type = ENGINE_COMMAND;
		b->entries[i].data = str_n(b->bytes + at, p->data.n + ID_BYTES);
		put_id(b->bytes + at, p->id);
		memcpy(b->bytes + at + ID_BYTES, p->data.p, p->data.n);
		at += p->data.n + ID_BYTES;
	}
	first = engine_last_index(n->engine) + 1;
	submit_types(n, b, types, (unsigned)a->n);
	p = a->first;
	for (size_t i = 0; i < a->n; i++, p = p->next_)
		slot_at(n, first + i)->proposal =
			(struct rc_proposal *)(uintptr_t)p;
	atomic_fetch_add(&n->proposals, a->n);
	free(types);
	apply_more(n);
}

/* Once a turn: everything that was proposed meanwhile becomes one append. */
static void on_turn(struct turn *turn)
{
	struct rc_node *n = container_of(turn, struct rc_node, turn);
	struct accepted a = { 0 };
	struct rc_proposal *p;

	pthread_mutex_lock(&n->inbox_lock);
	p = n->inbox;
	n->inbox = NULL;
	n->inbox_last = &n->inbox;
	pthread_mutex_unlock(&n->inbox_lock);
	a.last = &a.first;
	sort_out(n, p, &a);
	if (a.n)
		submit_all(n, &a);
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

/* ---- running ---- */

static void start_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, wake);
	struct engine_snapshot snapshot = {
		n->checkpoint.index, n->checkpoint.term,
		n->checkpoint.conf_index, buf_view(&n->checkpoint.conf)
	};
	struct engine_update u;
	struct err err;

	woken(msg);
	timer_init(&n->timer, n->loop, on_timer);
	n->turn.run = on_turn;
	loop_on_turn(n->loop, &n->turn);
	n->has_started = true;
	if (engine_start(n->engine, loop_now_ms(n->loop), n->vote.term,
			 n->vote.voted_for, n->checkpoint.index ? &snapshot :
			 NULL, n->recovered_first, n->recovered,
			 (unsigned)n->n_recovered, &u, &err)) {
		node_fail(n, &err);
		return;
	}
	node_free_recovered(n);
	handle(n, &u);
}

enum code rc_node_start(struct rc_node *n, struct err *err)
{
	struct writer_config writer = { .wal = n->wal,
					.record_bytes = 4 * 1024 * 1024,
					.on_written = on_written,
					.on_failed = on_failed, .data = n };
	enum code rc;

	n->loop = loop_new("raft", 0);
	loop_set_slow_ms(n->loop, 20);
	writer.record_bytes = MIN(writer.record_bytes, wal_record_max(n->wal));
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

static void stop_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, stop_msg);

	atomic_store(&n->ended, true);
	loop_off_turn(n->loop, &n->turn);
	timer_close(&n->timer, NULL);
	loop_stop(n->loop);
}

/* Whoever waits is told that it may have happened. */
static void tell_uncertain(struct rc_node *n)
{
	for (size_t i = 0; i < n->n_slots; i++)
		if (n->slots[i].proposal)
			refuse(n, n->slots[i].proposal, E_UNCERTAIN,
			       "the node stopped before the outcome was known");
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
		/* The worker looks at the log's thread for its pace. */
		snapshot_stop(n);
		writer_stop(&n->writer);
		loop_free(&n->loop);
	}
	atomic_store(&n->ended, true);
	tell_uncertain(n);
	n->config.machine.close(n->config.machine.data);
}

void rc_node_free(struct rc_node **np)
{
	struct rc_node *n = *np;

	if (!n)
		return;
	node_free_recovered(n);
	slots_drop(n, n->n_slots);
	free(n->slots);
	engine_free(&n->engine);
	wal_close(&n->wal);
	if (n->loop)
		loop_free(&n->loop);
	if (n->lock_fd >= 0)
		close(n->lock_fd);
	pthread_mutex_destroy(&n->inbox_lock);
	checkpoint_fini(&n->checkpoint);
	buf_fini(&n->conf);
	free(n->checkpoints_dir);
	free(n->dir);
	free(n->state_dir);
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
		.last = atomic_load(&n->written),
		.checkpoint_index = atomic_load(&n->checkpoint_index),
		.cluster_id = n->identity.cluster,
		.is_leader = atomic_load(&n->leads),
		.is_ready = atomic_load(&n->ready),
		.proposals = atomic_load(&n->proposals),
		.refused = atomic_load(&n->refused),
		.uncertain = atomic_load(&n->uncertain),
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
