/*
 * From committed to applied, and from applied to a checkpoint.
 *
 * Entries that were in the log at the start come back from it in batches; those
 * that came since are in memory.  One thing at a time is with the machine: a
 * batch, or the taking of a picture.
 */
#include <limits.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/own.h"
#include "wire/wire.h"

#include "base/banned.h"

#define PART "raft"

/* ---- membership ---- */

void core_configure(struct node_core *c, uint64_t index, struct str conf)
{
	if (index <= c->conf_index)
		return;
	c->conf_index = index;
	buf_reset(&c->conf);
	buf_str(&c->conf, conf);
}

void core_tell_members(struct node_core *c)
{
	if (c->host->members)
		c->host->members(c->host_data, c->conf_index,
				 buf_view(&c->conf));
}

static void take_effect(struct node_core *c, uint64_t now_ms,
			const struct wal_entry *e)
{
	struct engine_update u;
	struct err err;

	core_changed(c, e);
	if (e->type != ENGINE_CHANGE || e->index <= c->conf_index)
		return;
	core_configure(c, e->index, e->data);
	core_tell_members(c);
	if (engine_configuration(c->engine, now_ms, e->index, e->data, &u,
				 &err))
		core_fail(c, &err);
	else
		core_handle(c, now_ms, &u, NULL);
}

/* A state that came with a checkpoint may stand above it: of these entries only
 * what the node itself goes by is left to do. */
void core_skip(struct node_core *c, uint64_t now_ms)
{
	while (c->skip_next && c->skip_next <= MIN(c->applied, c->durable) &&
	       !c->has_failed) {
		struct slot *s = core_slot(c, c->skip_next++);

		if (c->skip_next > c->applied)
			c->skip_next = 0;
		if (s) {
			struct wal_entry e = s->entry;

			take_effect(c, now_ms, &e);
		}
	}
}

/* ---- back from the log ---- */

struct loading {
	struct node_loaded *out;
	size_t bytes;
};

static enum code load_one(void *data, const struct wal_entry *e,
			  struct err *err)
{
	struct loading *l = data;
	struct node_loaded *out = l->out;

	if (out->n == BATCH_ENTRIES || l->bytes >= BATCH_BYTES)
		return err_set(err, E_CANCELLED, "the batch is full");
	mem_grow((void **)&out->entries, &out->cap, out->n + 1,
		 sizeof(*out->entries));
	out->entries[out->n] = *e;
	out->entries[out->n++].data = str_n(mem_dup(e->data.p, e->data.n),
					    e->data.n);
	l->bytes += e->data.n;
	return OK;
}

enum code node_load(struct wal *wal, uint64_t from, uint64_t to,
		    struct node_loaded *out, struct err *err)
{
	struct loading l = { out, 0 };
	enum code rc = wal_read(wal, from, to, load_one, &l, err);

	if (rc == OK || (rc == E_CANCELLED && out->n))
		return OK;
	node_loaded_fini(out);
	return rc;
}

void node_loaded_fini(struct node_loaded *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((char *)(uintptr_t)l->entries[i].data.p);
	free(l->entries);
	*l = (struct node_loaded){ 0 };
}

static void to_apply(struct node_core *c, enum code rc,
		     struct node_loaded *loaded, const struct err *err)
{
	struct err own;

	node_loaded_fini(&c->loaded);
	if (rc) {
		err_copy(&own, err);
		err_wrap(&own, "reading the log back");
		core_fail(c, &own);
		return;
	}
	c->loaded = *loaded;
	*loaded = (struct node_loaded){ 0 };
	must(c->loaded.n && c->loaded.entries[0].index == c->applied + 1);
}

void node_core_loaded(struct node_core *c, uint64_t now_ms, enum code rc,
		      struct node_loaded *loaded, const struct err *err)
{
	enum load_for what = c->loading;

	c->loading = LOAD_NOTHING;
	if (c->has_failed)
		return;
	if (what == LOAD_APPLY)
		to_apply(c, rc, loaded, err);
	else
		core_sent_load(c, rc, loaded, err);
	node_loaded_fini(loaded);
	/* Applying goes first, so that neither waits for ever. */
	core_try_install(c, now_ms);
	core_apply_more(c, now_ms);
	core_pump(c);
}

/* ---- batches ---- */

void core_entry_of(const struct wal_entry *e, struct rc_entry *to)
{
	struct rd rd;

	*to = (struct rc_entry){ .index = e->index, .term = e->term,
				 .is_command = e->type == ENGINE_COMMAND };
	if (!to->is_command)
		return;
	rd = rd_of(e->data);
	to->id = rd_u64(&rd);
	to->data = str_from(e->data, ID_BYTES);
}

static void batch_add(struct node_core *c, const struct wal_entry *e,
		      struct rc_proposal *proposal)
{
	c->batch_bytes += e->data.n + ENTRY_OVERHEAD;
	c->handed[c->n_batch] = proposal;
	core_entry_of(e, &c->batch[c->n_batch++]);
}

/* Only what is durable here too: the state shall not stand above the log. */
static uint64_t may_apply(const struct node_core *c)
{
	return MIN(c->commit, c->durable);
}

static void gather_loaded(struct node_core *c)
{
	for (size_t i = 0; i < c->loaded.n; i++) {
		const struct wal_entry *e = &c->loaded.entries[i];

		if (e->index > may_apply(c))
			break;
		batch_add(c, e, NULL);
	}
}

static void gather_slots(struct node_core *c)
{
	struct slot *s;

	while (c->n_batch < BATCH_ENTRIES && c->batch_bytes < BATCH_BYTES &&
	       c->applied + 1 + c->n_batch <= may_apply(c)) {
		s = core_slot(c, c->applied + 1 + c->n_batch);
		if (!s)
			break;
		/* From here on the machine answers. */
		batch_add(c, &s->entry, TAKE(s->proposal));
		if (core_ends_batch(c, s->entry.index))
			break;
	}
}

/* What is in the log only is read back first. */
static void gather(struct node_core *c)
{
	uint64_t to = may_apply(c);

	c->n_batch = 0;
	c->batch_bytes = 0;
	if (c->applied >= to)
		return;
	if (c->loaded.n) {
		gather_loaded(c);
	} else if (core_slot(c, c->applied + 1)) {
		gather_slots(c);
	} else if (!c->loading) {
		if (c->n_slots)
			to = MIN(to, c->first_slot - 1);
		c->loading = LOAD_APPLY;
		c->host->load(c->host_data, c->applied + 1,
			      MIN(to, core_batch_limit(c, c->applied + 1)));
	}
}

/* As the log has it: an entry that is with the machine stays in memory. */
static struct wal_entry batch_entry(struct node_core *c, size_t i)
{
	return c->loaded.n ? c->loaded.entries[i] :
			     core_slot(c, c->batch[i].index)->entry;
}

/* The batch is done: what the node itself goes by, and the counts. */
static void pass_by(struct node_core *c, uint64_t now_ms)
{
	core_passed(c, c->batch[0].index, c->batch[c->n_batch - 1].index);
	c->applied = c->batch[c->n_batch - 1].index;
	c->applied_term = c->batch[c->n_batch - 1].term;
	c->log_since_bytes += c->batch_bytes;
	/* Still applying: a new membership may do much, but hand on nothing. */
	for (size_t i = 0; i < c->n_batch; i++) {
		struct wal_entry e = batch_entry(c, i);

		take_effect(c, now_ms, &e);
	}
	node_loaded_fini(&c->loaded);
	c->is_applying = false;
}

/* Who follows applies little at a time only where somebody waits (raftcore/hurry.h). */
static bool gathers(struct node_core *c, uint64_t now_ms)
{
	uint64_t until = c->handed_on_ms + c->config.gather_ms;

	if (now_ms >= until || c->is_leader || c->is_hurried ||
	    c->reads.confirmed.first || !c->ready_at || c->applied < c->ready_at)
		return false;
	/* What comes back from the log is behind, and comes in batches. */
	if (may_apply(c) <= c->applied || !core_slot(c, c->applied + 1) ||
	    may_apply(c) - c->applied >= GATHER_ENTRIES ||
	    c->waiting_bytes >= GATHER_BYTES)
		return false;
	c->gathers_until_ms = until;
	return true;
}

/* Pages that a copy reads are not used again, so the state's file grows with what
 * is applied meanwhile: a follower waits, and who leads admits less. */
static bool may_hand_on(const struct node_core *c)
{
	if (core_crowd(c) && !c->is_leader)
		return false;
	return !c->is_applying && !c->is_installing &&
	       c->loading != LOAD_APPLY && !c->has_failed;
}

static void hand_on(struct node_core *c, uint64_t now_ms)
{
	uint64_t last = c->n_batch ? c->batch[c->n_batch - 1].index :
				     c->applied;

	c->is_applying = true;
	if (c->n_batch)
		c->handed_on_ms = now_ms;
	c->host->apply(c->host_data, c->batch, c->n_batch,
		       c->ready_at && c->applied < c->ready_at &&
			       last >= c->ready_at,
		       c->n_batch == 0 || core_ends_batch(c, last));
}

void core_apply_more(struct node_core *c, uint64_t now_ms)
{
	c->gathers_until_ms = 0;
	while (may_hand_on(c) && !core_checkpoint(c, now_ms) &&
	       !gathers(c, now_ms)) {
		gather(c);
		if (c->has_failed || (c->n_batch == 0 && !core_wants_chain(c)))
			break;
		if (!c->fence.is_on) {
			hand_on(c, now_ms);
			break;
		}
		c->is_applying = true;
		pass_by(c, now_ms);
	}
}

void node_core_hurry(struct node_core *c, uint64_t now_ms, bool on)
{
	c->is_hurried = on;
	if (on && c->gathers_until_ms && !c->has_failed)
		core_apply_more(c, now_ms);
}

/* The machine has answered nobody of it. */
static void tell_handed(struct node_core *c)
{
	for (size_t i = 0; i < c->n_batch; i++)
		if (c->handed[i])
			core_refuse(c, TAKE(c->handed[i]), E_UNCERTAIN,
				    "the node failed before the outcome was "
				    "known");
}

void node_core_applied(struct node_core *c, uint64_t now_ms, enum code rc,
		       const struct err *err, const struct node_stand *stand)
{
	bool has_chain = c->n_batch == 0 ||
		core_ends_batch(c, c->batch[c->n_batch - 1].index);

	if (rc) {
		core_fail(c, err);
		tell_handed(c);
		return;
	}
	if (c->has_failed)
		return;
	c->machine_bytes = stand->bytes;
	if (c->n_batch) {
		pass_by(c, now_ms);
		core_detect_applied(c, now_ms);
	}
	c->is_applying = false;
	if (has_chain && !c->has_failed)
		core_noted(c, now_ms, stand->digest);
	if (c->has_failed)
		return;
	core_reads_applied(c);
	core_try_install(c, now_ms);
	core_apply_more(c, now_ms);
	core_admit_more(c, now_ms);
	core_trim(c);
}

/* ---- checkpoints ---- */

struct engine_snapshot core_snapshot_of(const struct checkpoint *c)
{
	return (struct engine_snapshot){ c->index, c->term, c->conf_index,
					 buf_view(&c->conf) };
}

static void pend(struct node_core *c)
{
	struct checkpoint *p = &c->pending;

	checkpoint_fini(p);
	p->cluster = c->identity.cluster;
	p->index = c->applied;
	p->term = c->applied_term;
	p->conf_index = c->conf_index;
	buf_str(&p->conf, buf_view(&c->conf));
	c->pending_bytes = c->log_since_bytes;
	c->is_scattered = false;
	c->pending_machine_bytes = c->machine_bytes;
}

/*
 * When the log since the last one is as large as the state was then, copying the
 * state costs not much more than writing the log did.  As it was then: a state
 * that only grows keeps pace with the log, and none would come ever again.
 */
bool core_wants_checkpoint(const struct node_core *c)
{
	uint64_t limit = MAX(c->config.checkpoint_log_bytes,
			     MIN(c->machine_bytes, c->copied_machine_bytes));

	if (c->is_checkpointing || c->incoming.index ||
	    !c->config.machine.freeze || c->fence.is_on ||
	    c->applied <= c->base.index)
		return false;
	return c->log_since_bytes >= MAX(limit, c->checkpoint_at_bytes) ||
	       core_backup_waits(c) || c->is_scattered;
}

bool core_checkpoint(struct node_core *c, uint64_t now_ms)
{
	if (!core_wants_checkpoint(c) || !core_may_copy(c, now_ms))
		return false;
	pend(c);
	c->is_checkpointing = true;
	c->is_applying = true;           /* the machine is busy with it */
	c->host->checkpoint(c->host_data, &c->pending);
	return true;
}

/* Less than a quarter of the rule's log nobody would mind. */
unsigned core_crowd(const struct node_core *c)
{
	uint64_t before = c->pending_machine_bytes;
	uint64_t quarter = MAX(before, c->config.checkpoint_log_bytes) / 4 + 1;

	if (!c->is_checkpointing || c->machine_bytes <= before)
		return 0;
	return (unsigned)MIN((c->machine_bytes - before) / quarter, (uint64_t)64);
}

/* Not at once again: when as much log as a quarter of the rule has come. */
static void put_off(struct node_core *c)
{
	c->is_checkpointing = false;
	c->checkpoint_at_bytes = c->log_since_bytes +
				 c->config.checkpoint_log_bytes / 4;
	core_copied(c);
}

void node_core_frozen(struct node_core *c, uint64_t now_ms, enum code rc)
{
	c->is_applying = false;
	if (rc) {
		put_off(c);
		core_backups_failed(c, rc);
	}
	core_apply_more(c, now_ms);
	core_admit_more(c, now_ms);
}

/*
 * The log reaches back to the older of the checkpoints that are kept, so that a
 * damaged one costs a longer replay and not the node; and as far as followers
 * may be behind.  The entry of that checkpoint stays, so that whoever installed it
 * can be sent what follows: the engine has to know the term before.
 */
static void cut(struct node_core *c, uint64_t now_ms, uint64_t kept_index)
{
	uint64_t trailing = 2 * (uint64_t)c->config.inflight_entries_max;
	uint64_t index = c->base.index;
	uint64_t kept = kept_index ? kept_index - 1 : 0;
	uint64_t to = index > trailing ? MIN(index - trailing, kept) : 0;
	struct engine_snapshot snapshot = core_snapshot_of(&c->base);
	struct engine_update u;
	struct err err;

	if (engine_snapshot_taken(c->engine, now_ms, &snapshot,
				  (unsigned)MIN(index - to, (uint64_t)UINT_MAX),
				  &u, &err)) {
		core_fail(c, &err);
		return;
	}
	if (to)
		c->host->cut(c->host_data, to);
}

void node_core_checkpointed(struct node_core *c, uint64_t now_ms, enum code rc,
			    uint64_t kept_index)
{
	if (rc || c->has_failed) {
		put_off(c);
		core_backups_failed(c, rc ? rc : E_UNAVAILABLE);
		core_try_install(c, now_ms);
		core_apply_more(c, now_ms);
		core_admit_more(c, now_ms);
		return;
	}
	c->is_checkpointing = false;
	core_copied(c);
	c->checkpoint_at_bytes = 0;
	c->log_since_bytes -= c->pending_bytes;
	c->copied_machine_bytes = c->pending_machine_bytes;
	checkpoint_fini(&c->base);
	c->base = c->pending;
	c->pending = (struct checkpoint){ 0 };
	cut(c, now_ms, kept_index);
	core_backups_ready(c);
	core_try_install(c, now_ms);
	core_apply_more(c, now_ms);
	core_admit_more(c, now_ms);
}
