/*
 * The core of a node: proposals, the engine's updates, what is durable, what is
 * applied.  See node_core.h.
 *
 * A proposal is copied once, into the block of its loop turn; that block is
 * what the log writes and what the machine reads, and goes when both are done.
 * Entries are handed to the machine only when they are durable here as well as
 * committed: so the state never stands above the node's own log.
 */
#include "node/node_core.h"

#include <string.h>

#include "base/mem.h"
#include "node/own.h"
#include "wire/wire.h"

#include "base/banned.h"

/* ---- failure ---- */

void core_fail(struct node_core *c, const struct err *err)
{
	if (c->has_failed)
		return;
	c->has_failed = true;
	c->host->fatal(c->host_data, err);
	for (size_t i = 0; i < c->n_slots; i++)
		if (c->slots[i].proposal)
			c->host->refuse(c->host_data,
					TAKE(c->slots[i].proposal), E_UNCERTAIN,
					"the node failed before the outcome was "
					"known");
}

/* ---- slots ---- */

static struct slot *slot_at(struct node_core *c, uint64_t index)
{
	must(index >= c->first_slot && index < c->first_slot + c->n_slots);
	return &c->slots[index - c->first_slot];
}

static struct slot *slot_add(struct node_core *c, uint64_t index)
{
	if (c->n_slots == 0)
		c->first_slot = index;
	must(index == c->first_slot + c->n_slots);
	mem_grow((void **)&c->slots, &c->cap_slots, c->n_slots + 1,
		 sizeof(*c->slots));
	c->slots[c->n_slots] = (struct slot){ 0 };
	return &c->slots[c->n_slots++];
}

static void block_unref(struct block *b)
{
	if (--b->refs)
		return;
	free(b->entries);
	free(b->bytes);
	free(b);
}

void core_drop_slots(struct node_core *c, size_t count)
{
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct slot *s = &c->slots[i];

		c->unapplied_bytes -= MIN(c->unapplied_bytes,
					  s->entry.data.n);
		block_unref(s->block);
	}
	c->n_slots -= count;
	memmove(c->slots, c->slots + count, c->n_slots * sizeof(*c->slots));
	c->first_slot += count;
}

void core_free_slots(struct node_core *c)
{
	core_drop_slots(c, c->n_slots);
	free(c->slots);
	for (struct block *b = c->unwritten, *next; b; b = next) {
		next = b->next;
		block_unref(b);
	}
	c->unwritten = NULL;
}

/* ---- appending ---- */

/* Gives the entries of 'b' to engine, slots and log. */
static void submit_block(struct node_core *c, uint64_t now_ms, struct block *b,
			 const enum engine_type *types, unsigned count)
{
	struct engine_update u;
	struct err err;

	must(engine_submit(c->engine, now_ms, types, count, &u, &err) == OK);
	must(u.first_index && u.n_entries == count);
	b->refs = count + 1;
	for (unsigned i = 0; i < count; i++) {
		struct slot *s = slot_add(c, u.first_index + i);

		b->entries[i].index = u.first_index + i;
		b->entries[i].term = u.entries_term;
		s->entry = b->entries[i];
		s->block = b;
		c->unapplied_bytes += b->entries[i].data.n;
		b->append.bytes += b->entries[i].data.n + ENTRY_OVERHEAD;
	}
	b->append.entries = b->entries;
	b->append.n = count;
	b->append.sequence = ++c->sequence;
	*c->unwritten_last = b;
	c->unwritten_last = &b->next;
	c->commit = MAX(c->commit, u.commit);
	c->host->append(c->host_data, &b->append);
}

/* An entry of the new term, without which nothing older is committed. */
static void submit_barrier(struct node_core *c, uint64_t now_ms)
{
	struct block *b = NEW(struct block);
	enum engine_type type = ENGINE_BARRIER;

	b->entries = mem_zero(sizeof(*b->entries));
	b->bytes = mem_zero(ID_BYTES);
	b->entries[0].type = ENGINE_BARRIER;
	b->entries[0].data = str_n(b->bytes, ID_BYTES);
	c->ready_at = engine_last_index(c->engine) + 1;
	submit_block(c, now_ms, b, &type, 1);
}

/* ---- updates of the engine ---- */

static void persist_vote(struct node_core *c, const struct engine_update *u)
{
	struct err err;

	if (!u->has_vote || (u->term == c->vote.term &&
			     u->voted_for == c->vote.voted_for))
		return;
	c->vote.term = u->term;
	c->vote.voted_for = u->voted_for;
	if (vote_write(c->fs, c->dir, &c->vote, &err)) {
		err_wrap(&err, "term and vote");
		core_fail(c, &err);
	}
}

void core_handle(struct node_core *c, uint64_t now_ms,
		 const struct engine_update *u)
{
	bool won = u->is_leader && !c->is_leader;

	/* One voter elects itself, and appends nothing by that; a winner of
	 * votes does. */
	must(!u->is_own_barrier);
	persist_vote(c, u);
	c->term = u->term;
	c->leader = u->leader;
	c->commit = MAX(c->commit, u->commit);
	if (u->is_leader != c->is_leader) {
		c->is_leader = u->is_leader;
		c->host->role(c->host_data, u->is_leader, u->leader, u->term);
	}
	if (won && !c->has_failed)
		submit_barrier(c, now_ms);
	core_apply_more(c);
}

/* The membership that the engine will go by: the newest that the log holds. */
static struct str last_conf(const struct node_core *c)
{
	for (size_t i = c->n_recovered; i-- > 0;)
		if (c->recovered[i].type == ENGINE_CHANGE)
			return c->recovered[i].data;
	return buf_view(&c->conf);
}

/* Guard F: an only voter starts in a term that nothing was written in. */
static enum code new_term(struct node_core *c, struct err *err)
{
	if (!engine_votes_alone(last_conf(c), c->config.node_id))
		return OK;
	c->vote.term++;
	c->vote.voted_for = 0;
	if (vote_write(c->fs, c->dir, &c->vote, err))
		return err_wrap(err, "term and vote");
	return OK;
}

void node_core_start(struct node_core *c, uint64_t now_ms)
{
	struct engine_snapshot base = core_snapshot_of(&c->base);
	struct engine_update u;
	struct err err;

	if (new_term(c, &err)) {
		core_fail(c, &err);
		return;
	}
	if (engine_start(c->engine, now_ms, c->vote.term, c->vote.voted_for,
			 base.index ? &base : NULL, base.index + 1,
			 c->recovered, (unsigned)c->n_recovered, &u, &err)) {
		core_fail(c, &err);
		return;
	}
	core_free_recovered(c);
	core_handle(c, now_ms, &u);
}

void node_core_timeout(struct node_core *c, uint64_t now_ms)
{
	struct engine_update u;
	struct err err;

	if (c->has_failed || now_ms < engine_deadline(c->engine))
		return;
	if (engine_timeout(c->engine, now_ms, &u, &err) == OK)
		core_handle(c, now_ms, &u);
}

uint64_t node_core_deadline(const struct node_core *c)
{
	/* One that has failed wants nothing any more. */
	return c->has_failed ? UINT64_MAX : engine_deadline(c->engine);
}

void node_core_written(struct node_core *c, uint64_t now_ms, uint64_t sequence,
		       enum code rc, const struct err *err)
{
	struct engine_update u;
	struct err own;

	if (rc) {
		core_fail(c, err);
		return;
	}
	while (c->unwritten && c->unwritten->append.sequence <= sequence) {
		struct block *b = c->unwritten;

		c->durable = b->entries[b->append.n - 1].index;
		c->unwritten = b->next;
		if (!c->unwritten)
			c->unwritten_last = &c->unwritten;
		block_unref(b);
	}
	if (c->has_failed)
		return;
	if (engine_persisted(c->engine, now_ms, c->durable, &u, &own) == OK)
		core_handle(c, now_ms, &u);
}

/* ---- proposals ---- */

/* Fewer while a picture is copied and the state grows under it. */
static size_t admitted(const struct node_core *c)
{
	return core_is_crowded(c) ? c->config.inflight_entries_max / 16 :
				    c->config.inflight_entries_max;
}

static const char *why_not(struct node_core *c, const struct rc_proposal *p,
			   size_t count, size_t bytes, enum code *rc)
{
	*rc = E_UNAVAILABLE;
	if (c->has_failed)
		return "this node has failed";
	*rc = E_NOT_LEADER;
	if (!c->is_leader)
		return "this node is not the leader";
	*rc = E_TOO_LARGE;
	if (p->data.n + ID_BYTES > c->config.entry_bytes_max)
		return "the command is larger than one log entry may be";
	*rc = E_BUSY;
	if (c->n_slots + count >= admitted(c) ||
	    c->unapplied_bytes + bytes + p->data.n > c->config.inflight_bytes_max)
		return "too many commands are under way";
	return NULL;
}

struct accepted {
	struct rc_proposal *first, **last;
	size_t n, bytes;
};

static void sort_out(struct node_core *c, struct rc_proposal *p,
		     struct accepted *a)
{
	for (struct rc_proposal *next; p; p = next) {
		enum code rc;
		const char *why = why_not(c, p, a->n, a->bytes, &rc);

		next = p->next_;
		p->next_ = NULL;
		if (why) {
			c->host->refuse(c->host_data, p, rc, why);
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

static void submit_all(struct node_core *c, uint64_t now_ms,
		       const struct accepted *a)
{
	struct block *b = NEW(struct block);
	enum engine_type *types = mem_alloc(a->n * sizeof(*types));
	struct rc_proposal *p = a->first;
	uint64_t first = engine_last_index(c->engine) + 1;
	size_t at = 0;

	b->entries = mem_zero(a->n * sizeof(*b->entries));
	b->bytes = mem_alloc(a->bytes);
	for (size_t i = 0; i < a->n; i++, p = p->next_) {
		types[i] = ENGINE_COMMAND;
		b->entries[i].type = ENGINE_COMMAND;
		b->entries[i].data = str_n(b->bytes + at, p->data.n + ID_BYTES);
		put_id(b->bytes + at, p->id);
		if (p->data.n)
			memcpy(b->bytes + at + ID_BYTES, p->data.p, p->data.n);
		at += p->data.n + ID_BYTES;
	}
	submit_block(c, now_ms, b, types, (unsigned)a->n);
	p = a->first;
	for (size_t i = 0; i < a->n; i++, p = p->next_)
		slot_at(c, first + i)->proposal = p;
	c->proposals += a->n;
	free(types);
	core_apply_more(c);
}

void node_core_propose(struct node_core *c, uint64_t now_ms,
		       struct rc_proposal *first)
{
	struct accepted a = { 0 };

	a.last = &a.first;
	sort_out(c, first, &a);
	if (a.n)
		submit_all(c, now_ms, &a);
}

/* ---- the end ---- */

void node_core_stop(struct node_core *c)
{
	c->has_failed = true;
	for (size_t i = 0; i < c->n_slots; i++)
		if (c->slots[i].proposal)
			c->host->refuse(c->host_data,
					TAKE(c->slots[i].proposal), E_UNCERTAIN,
					"the node stopped before the outcome was "
					"known");
}

struct wal *node_core_wal(struct node_core *c)
{
	return c->wal;
}

void node_core_view(const struct node_core *c, struct node_core_view *out)
{
	*out = (struct node_core_view){
		.cluster = c->identity.cluster, .term = c->term,
		.leader = c->leader, .commit = c->commit,
		.applied = c->applied, .durable = c->durable,
		.checkpoint_index = c->base.index,
		.log_since_bytes = c->log_since_bytes,
		.proposals = c->proposals, .is_leader = c->is_leader,
		.has_failed = c->has_failed };
}
