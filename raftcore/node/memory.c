/*
 * The log's entries in memory: those that are not applied, or not durable, and
 * the newest of the others, so that peers are sent what is new without reading
 * it back.
 *
 * A ring by index.  Each entry holds a part of its block; a block goes when its
 * entries and the log have let go of it.
 */
#include <string.h>

#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

struct slot *core_slot(struct node_core *c, uint64_t index)
{
	if (index < c->first_slot || index >= c->first_slot + c->n_slots)
		return NULL;
	return &c->slots[index & (c->cap_slots - 1)];
}

static void grow(struct node_core *c)
{
	size_t cap = c->cap_slots ? 2 * c->cap_slots : 256;
	struct slot *to = mem_zero(cap * sizeof(*to));

	for (uint64_t i = c->first_slot; i < c->first_slot + c->n_slots; i++)
		to[i & (cap - 1)] = c->slots[i & (c->cap_slots - 1)];
	free(c->slots);
	c->slots = to;
	c->cap_slots = cap;
}

static void block_unref(struct block *b)
{
	if (--b->refs)
		return;
	free(b->entries);
	free(b->bytes);
	free(b);
}

struct block *core_block(size_t entries, size_t bytes)
{
	struct block *b = NEW(struct block);

	b->entries = mem_zero(entries * sizeof(*b->entries));
	b->bytes = mem_alloc(bytes + 1);
	b->append.entries = b->entries;
	b->append.n = entries;
	return b;
}

/* ---- in ---- */

/* A proposal whose entry comes back from another leader waits for it again. */
static struct rc_proposal *adopt(struct node_core *c, const struct wal_entry *e)
{
	for (size_t i = 0; i < c->n_orphans; i++) {
		struct orphan *o = &c->orphans[i];

		if (o->index == e->index && o->term == e->term) {
			struct rc_proposal *p = o->proposal;

			*o = c->orphans[--c->n_orphans];
			return p;
		}
	}
	return NULL;
}

static void add(struct node_core *c, struct block *b, const struct wal_entry *e)
{
	if (c->n_slots == c->cap_slots)
		grow(c);
	if (c->n_slots == 0)
		c->first_slot = e->index;
	must(e->index == c->first_slot + c->n_slots);
	c->n_slots++;
	*core_slot(c, e->index) = (struct slot){ *e, b, adopt(c, e) };
	c->slot_bytes += e->data.n;
	if (e->index > c->applied) {
		c->n_waiting++;
		c->waiting_bytes += e->data.n;
	}
}

void core_append(struct node_core *c, struct block *b)
{
	size_t n = b->append.n;

	must(n && b->entries[0].index == c->last + 1);
	b->refs = (unsigned)n + 1;
	b->valid_last = b->entries[n - 1].index;
	for (size_t i = 0; i < n; i++) {
		add(c, b, &b->entries[i]);
		b->append.bytes += b->entries[i].data.n + ENTRY_OVERHEAD;
	}
	c->last = b->valid_last;
	c->unwritten_bytes += b->append.bytes;
	b->append.sequence = ++c->sequence;
	*c->unwritten_last = b;
	c->unwritten_last = &b->next;
	c->host->append(c->host_data, &b->append);
}

/* ---- out ---- */

static void forget(struct node_core *c, struct slot *s)
{
	c->slot_bytes -= s->entry.data.n;
	if (s->entry.index > c->applied) {
		c->n_waiting--;
		c->waiting_bytes -= s->entry.data.n;
	}
	block_unref(s->block);
	c->n_slots--;
}

/* Counted among those that wait until 'applied' moves past them. */
void core_passed(struct node_core *c, uint64_t from, uint64_t to)
{
	for (uint64_t i = MAX(from, c->first_slot); i <= to; i++) {
		struct slot *s = core_slot(c, i);

		if (!s)
			break;
		c->n_waiting--;
		c->waiting_bytes -= s->entry.data.n;
	}
}

/* Also when the machine is done with it and pass_by looks at each: a membership among
 * them has the engine do a step, and that trims. */
static bool is_in_batch(const struct node_core *c, uint64_t index)
{
	return c->is_applying && c->n_batch && index >= c->batch[0].index &&
	       index <= c->batch[c->n_batch - 1].index;
}

static bool may_go(const struct node_core *c, const struct slot *s)
{
	return s->entry.index <= c->durable && !s->proposal &&
	       !is_in_batch(c, s->entry.index);
}

void core_trim(struct node_core *c)
{
	while (c->n_slots > CACHE_ENTRIES || c->slot_bytes > CACHE_BYTES) {
		struct slot *s = core_slot(c, c->first_slot);

		if (!may_go(c, s))
			break;
		forget(c, s);
		c->first_slot++;
	}
}

static void orphan(struct node_core *c, struct slot *s)
{
	if (!s->proposal)
		return;
	mem_grow((void **)&c->orphans, &c->cap_orphans, c->n_orphans + 1,
		 sizeof(*c->orphans));
	c->orphans[c->n_orphans++] = (struct orphan){
		TAKE(s->proposal), s->entry.index, s->entry.term
	};
}

void core_truncate(struct node_core *c, uint64_t from)
{
	if (from > c->last)
		return;
	must(from > c->commit);
	for (uint64_t i = c->last; i >= from; i--) {
		struct slot *s = core_slot(c, i);

		if (!s)
			break;
		orphan(c, s);
		forget(c, s);
	}
	for (struct block *b = c->unwritten; b; b = b->next)
		b->valid_last = MIN(b->valid_last, from - 1);
	c->last = from - 1;
	c->durable = MIN(c->durable, from - 1);
	c->told = MIN(c->told, from - 1);
}

void core_forget(struct node_core *c)
{
	while (c->n_slots) {
		struct slot *s = core_slot(c, c->first_slot);

		must(!s->proposal);
		forget(c, s);
		c->first_slot++;
	}
	for (struct block *b = c->unwritten; b; b = b->next)
		b->valid_last = 0;
}

void core_free_slots(struct node_core *c)
{
	while (c->n_slots) {
		forget(c, core_slot(c, c->first_slot));
		c->first_slot++;
	}
	free(c->slots);
	free(c->orphans);
	for (struct block *b = c->unwritten, *next; b; b = next) {
		next = b->next;
		block_unref(b);
	}
	c->unwritten = NULL;
}

/* ---- who waits ---- */

/* What replaced an entry is committed: it will never be applied. */
static void tell_replaced(struct node_core *c)
{
	for (size_t i = 0; i < c->n_orphans;) {
		struct orphan o = c->orphans[i];

		if (o.index > c->commit) {
			i++;
			continue;
		}
		c->orphans[i] = c->orphans[--c->n_orphans];
		core_refuse(c, o.proposal, E_NOT_LEADER,
			    "another leader's entry took its place");
	}
}

void core_tell(struct node_core *c, bool everyone, const char *why)
{
	tell_replaced(c);
	if (!everyone)
		return;
	while (c->n_orphans)
		core_refuse(c, c->orphans[--c->n_orphans].proposal, E_UNCERTAIN,
			    why);
	for (uint64_t i = c->first_slot; i < c->first_slot + c->n_slots; i++) {
		struct slot *s = core_slot(c, i);

		if (s->proposal)
			core_refuse(c, TAKE(s->proposal), E_UNCERTAIN, why);
	}
}

/* ---- durable ---- */

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

		if (b->valid_last >= b->entries[0].index)
			c->durable = b->valid_last;
		c->unwritten_bytes -= b->append.bytes;
		c->unwritten = b->next;
		if (!c->unwritten)
			c->unwritten_last = &c->unwritten;
		block_unref(b);
	}
	if (c->has_failed || c->durable <= c->told)
		return;
	c->told = c->durable;
	if (engine_persisted(c->engine, now_ms, c->told, &u, &own) == OK)
		core_handle(c, now_ms, &u, NULL);
}
