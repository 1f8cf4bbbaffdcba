/*
 * Messages to the peers.
 *
 * A queue for each peer keeps the order of its stream.  An append waits there
 * until its entries are in memory, or were read back from the log, and goes in
 * pieces of at most one MiB.  What a queue cannot hold is dropped, as a
 * connection that breaks would drop it: the engines find each other again.
 */
#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

static struct box *box_of(struct node_core *c, uint64_t peer)
{
	struct box *b;

	for (size_t i = 0; i < c->n_boxes; i++)
		if (c->boxes[i].peer == peer)
			return &c->boxes[i];
	mem_grow((void **)&c->boxes, &c->cap_boxes, c->n_boxes + 1,
		 sizeof(*c->boxes));
	b = &c->boxes[c->n_boxes++];
	*b = (struct box){ .peer = peer };
	return b;
}

static void drop(struct box *b, size_t count)
{
	b->n -= count;
	memmove(b->messages, b->messages + count, b->n * sizeof(*b->messages));
}

void core_post(struct node_core *c, const struct engine_message *m)
{
	struct box *b = box_of(c, m->peer);

	if (b->n >= BOX_MESSAGES)
		b->n = 0;
	mem_grow((void **)&b->messages, &b->cap, b->n + 1,
		 sizeof(*b->messages));
	b->messages[b->n++] = *m;
}

/* Leadership is over: what is asked for may not be in the log any more. */
void core_drop_appends(struct node_core *c)
{
	for (size_t i = 0; i < c->n_boxes; i++) {
		struct box *b = &c->boxes[i];
		size_t n = 0;

		for (size_t k = 0; k < b->n; k++)
			if (b->messages[k].type != ENGINE_M_APPEND)
				b->messages[n++] = b->messages[k];
		b->n = n;
	}
	node_loaded_fini(&c->to_send);
	c->is_stale = c->loading == LOAD_SEND;
}

void core_free_boxes(struct node_core *c)
{
	for (size_t i = 0; i < c->n_boxes; i++)
		free(c->boxes[i].messages);
	free(c->boxes);
	free(c->filled);
}

/* ---- entries ---- */

static const struct wal_entry *entry_at(struct node_core *c, uint64_t index)
{
	const struct node_loaded *l = &c->to_send;
	struct slot *s = core_slot(c, index);

	if (s)
		return &s->entry;
	if (l->n && index >= l->entries[0].index &&
	    index < l->entries[0].index + l->n)
		return &l->entries[index - l->entries[0].index];
	return NULL;
}

/* Takes what is at hand of the entries that 'm' wants into c->filled. */
static unsigned fill(struct node_core *c, const struct engine_message *m)
{
	unsigned n = 0;
	size_t bytes = 0;

	while (n < MIN(m->append.n, (unsigned)APPEND_ENTRIES)) {
		const struct wal_entry *e =
			entry_at(c, m->append.prev_index + 1 + n);

		if (!e || (n && bytes + e->data.n > APPEND_BYTES))
			break;
		mem_grow((void **)&c->filled, &c->cap_filled, n + 1,
			 sizeof(*c->filled));
		c->filled[n++] = (struct engine_entry){
			e->term, (enum engine_type)e->type, e->data
		};
		bytes += e->data.n + ENTRY_OVERHEAD;
	}
	return n;
}

static void load(struct node_core *c, const struct engine_message *m)
{
	uint64_t from = m->append.prev_index + 1;
	uint64_t to = m->append.prev_index + m->append.n;

	if (c->loading)
		return;
	if (c->n_slots)
		to = MIN(to, c->first_slot - 1);
	c->loading = LOAD_SEND;
	c->host->load(c->host_data, from, MIN(to, c->durable));
}

void core_sent_load(struct node_core *c, enum code rc,
		    struct node_loaded *loaded, const struct err *err)
{
	struct err own;

	node_loaded_fini(&c->to_send);
	if (c->is_stale) {
		c->is_stale = false;
	} else if (rc == E_NOT_FOUND) {
		/* Cut meanwhile: the engine will have a checkpoint sent. */
		core_drop_appends(c);
	} else if (rc) {
		err_copy(&own, err);
		err_wrap(&own, "reading the log for a peer");
		core_fail(c, &own);
	} else {
		c->to_send = *loaded;
		*loaded = (struct node_loaded){ 0 };
	}
}

/* ---- sending ---- */

/* False: it has to wait. */
static bool send_append(struct node_core *c, struct box *b)
{
	struct engine_message *m = &b->messages[0];
	struct engine_message part = *m;
	size_t room = c->host->room ? c->host->room(c->host_data, b->peer) :
				      SIZE_MAX - 1;

	if (room == 0)
		return false;
	if (room == NODE_NOWHERE) {
		drop(b, 1);
		return true;
	}
	part.append.n = fill(c, m);
	part.append.entries = c->filled;
	if (part.append.n == 0) {
		load(c, m);
		return false;
	}
	c->host->send(c->host_data, b->peer, &part);
	m->append.prev_index += part.append.n;
	m->append.prev_term = c->filled[part.append.n - 1].term;
	m->append.n -= part.append.n;
	if (m->append.n == 0)
		drop(b, 1);
	return true;
}

static bool send_first(struct node_core *c, struct box *b)
{
	const struct engine_message *m = &b->messages[0];

	if (m->type == ENGINE_M_APPEND)
		b->told_commit = MAX(b->told_commit, m->append.commit);
	if (m->type == ENGINE_M_APPEND && m->append.n)
		return send_append(c, b);
	if (m->type == ENGINE_M_CHAIN) {
		struct engine_message whole = *m;

		whole.chain.points = core_points(c, &whole.chain.n);
		c->host->send(c->host_data, b->peer, &whole);
	} else {
		c->host->send(c->host_data, b->peer, m);
	}
	drop(b, 1);
	return true;
}

/*
 * The engine tells what is committed with the next append or heartbeat.  Where
 * none comes soon a peer that has it all is told by an append without entries
 * behind its last, so that readers there need not wait for a heartbeat.  Not at
 * once: where commands follow each other this message, and the answer to it,
 * would be half of all.
 */
#define TELL_MS 2

/* Appends have told it to all who have it. */
static bool know_all(const struct node_core *c, uint64_t index)
{
	for (size_t i = 0; i < c->n_boxes; i++)
		if (c->boxes[i].told_commit < index &&
		    engine_match_index(c->engine, c->boxes[i].peer) >= index)
			return false;
	return true;
}

/* Who knows of all before is told in TELL_MS from now on, also where that was to be
 * sooner: with one command behind the other that would never be of use. */
void core_committed(struct node_core *c, uint64_t now_ms, uint64_t index)
{
	uint64_t before = c->commit;

	if (index <= before)
		return;
	c->commit = index;
	if (c->is_leader && (!c->tell_at || know_all(c, before)))
		c->tell_at = now_ms + TELL_MS;
}

static void tell_commit(struct node_core *c, struct box *b)
{
	struct slot *last = core_slot(c, c->last);
	struct engine_message m = { .type = ENGINE_M_APPEND, .peer = b->peer,
				    .term = c->term };

	if (!last || b->n || b->told_commit >= c->commit ||
	    engine_match_index(c->engine, b->peer) != c->last)
		return;
	m.append.prev_index = c->last;
	m.append.prev_term = last->entry.term;
	m.append.commit = b->told_commit = c->commit;
	c->host->send(c->host_data, b->peer, &m);
}

void core_pump(struct node_core *c)
{
	if (c->has_failed)
		return;
	for (size_t i = 0; i < c->n_boxes; i++)
		while (c->boxes[i].n && send_first(c, &c->boxes[i]))
			;
	for (size_t i = 0; i < c->n_boxes; i++)
		if (c->is_leader && !c->tell_at && c->commit == c->last)
			tell_commit(c, &c->boxes[i]);
	if (c->loading != LOAD_SEND && c->to_send.n) {
		bool is_wanted = false;

		for (size_t i = 0; i < c->n_boxes; i++)
			is_wanted |= c->boxes[i].n > 0;
		if (!is_wanted)
			node_loaded_fini(&c->to_send);
	}
}

void node_core_writable(struct node_core *c)
{
	core_pump(c);
}
