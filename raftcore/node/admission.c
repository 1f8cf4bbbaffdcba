/*
 * Proposals: which are taken, which wait, and what becomes of them in the log.
 *
 * While a picture is copied the pages that it reads are not used again, so the state's
 * file grows with what is applied.  Then fewer are in the log at a time, and the fewer
 * the more it has grown: with a few in flight each waits for the disk of a majority,
 * which is what slows who writes.  The others are held back in their order, and told
 * nothing: they are refused where more wait than may be in flight, or when this node
 * does not lead any more, and they are in no log then.
 */
#include <string.h>

#include "base/mem.h"
#include "node/own.h"
#include "wire/wire.h"

#include "base/banned.h"

/* ---- which ---- */

/* So many may be in the log and not applied. */
static size_t window(const struct node_core *c)
{
	size_t most = c->config.inflight_entries_max;
	unsigned crowd = core_crowd(c);

	return crowd ? MAX(most / 16 >> MIN(crowd - 1, 31u), (size_t)1) : most;
}

static const char *why_not(struct node_core *c, const struct rc_proposal *p,
			   size_t count, size_t bytes, enum code *rc)
{
	*rc = E_UNAVAILABLE;
	if (c->has_failed)
		return "this node has failed";
	if (c->fence.is_on)
		return "this node is fenced: its state is not that of the "
		       "majority";
	*rc = E_NOT_LEADER;
	if (!c->is_leader)
		return "this node is not the leader";
	*rc = E_TOO_LARGE;
	if (p->data.n + ID_BYTES > c->config.entry_bytes_max)
		return "the command is larger than one log entry may be";
	*rc = E_BUSY;
	count += c->held.n;
	bytes += c->held.bytes + p->data.n;
	if (c->n_waiting + count >= c->config.inflight_entries_max ||
	    c->waiting_bytes + bytes > c->config.inflight_bytes_max ||
	    count >= engine_room(c->engine))
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

/* ---- into the log ---- */

static void put_id(char *to, uint64_t id)
{
	for (unsigned i = 0; i < ID_BYTES; i++)
		to[i] = (char)(id >> (8 * i));
}

/* How many of the proposals from 'p' on fit one record of the log. */
static size_t fitting(const struct node_core *c, const struct rc_proposal *p,
		      size_t *bytes)
{
	size_t n = 0, log = 0;

	for (*bytes = 0; p; p = p->next_) {
		size_t own = p->data.n + ID_BYTES;

		if (n && log + own + ENTRY_OVERHEAD > c->record_bytes)
			break;
		log += own + ENTRY_OVERHEAD;
		*bytes += own;
		n++;
	}
	return n;
}

static void refuse_all(struct node_core *c, struct rc_proposal *p, enum code rc,
		       const char *why)
{
	for (struct rc_proposal *next; p; p = next) {
		next = p->next_;
		p->next_ = NULL;
		core_refuse(c, p, rc, why);
	}
}

static void put_entry(struct wal_entry *e, char *to, const struct rc_proposal *p)
{
	e->type = ENGINE_COMMAND;
	e->data = str_n(to, p->data.n + ID_BYTES);
	put_id(to, p->id);
	if (p->data.n)
		memcpy(to + ID_BYTES, p->data.p, p->data.n);
}

static enum code submit_types(struct node_core *c, uint64_t now_ms, size_t n,
			      struct engine_update *u, struct err *err)
{
	enum engine_type *types = mem_alloc(n * sizeof(*types));
	enum code rc;

	for (size_t i = 0; i < n; i++)
		types[i] = ENGINE_COMMAND;
	rc = engine_submit(c->engine, now_ms, types, (unsigned)n, u, err);
	free(types);
	return rc;
}

/* One block of proposals from 'p' on; answers the next that is left. */
static struct rc_proposal *submit_some(struct node_core *c, uint64_t now_ms,
				       struct rc_proposal *p)
{
	struct engine_update u;
	struct err err;
	struct block *b;
	size_t bytes, at = 0, n = fitting(c, p, &bytes);
	struct rc_proposal *first = p;
	enum code rc = submit_types(c, now_ms, n, &u, &err);

	if (rc) {
		/* While leadership is being handed over. */
		refuse_all(c, p, rc, "nothing is accepted at this moment");
		return NULL;
	}
	b = core_block(n, bytes);
	for (size_t i = 0; i < n; i++, p = p->next_) {
		b->entries[i].index = u.first_index + i;
		b->entries[i].term = u.entries_term;
		put_entry(&b->entries[i], b->bytes + at, p);
		at += p->data.n + ID_BYTES;
	}
	core_append(c, b);
	for (size_t i = 0; i < n; i++) {
		struct rc_proposal *next = first->next_;

		first->next_ = NULL;
		core_slot(c, u.first_index + i)->proposal = first;
		first = next;
	}
	c->proposals += n;
	core_handle(c, now_ms, &u, NULL);
	return p;
}

static void submit(struct node_core *c, uint64_t now_ms, struct rc_proposal *p)
{
	while (p) {
		if (c->has_failed || !c->is_leader) {
			refuse_all(c, p, E_NOT_LEADER,
				   "this node is not the leader");
			break;
		}
		p = submit_some(c, now_ms, p);
	}
}

/* ---- held back ---- */

static void hold(struct node_core *c, struct accepted *a)
{
	if (!c->held.first)
		c->held.last = &c->held.first;
	*c->held.last = a->first;
	c->held.last = a->last;
	c->held.n += a->n;
	c->held.bytes += a->bytes;
}

void core_admit_more(struct node_core *c, uint64_t now_ms)
{
	struct rc_proposal *first = c->held.first, **last = &first;
	size_t n = 0, room = MIN(window(c), engine_room(c->engine) + c->n_waiting);

	while (*last && c->n_waiting + n < room) {
		c->held.n--;
		c->held.bytes -= (*last)->data.n + ID_BYTES;
		last = &(*last)->next_;
		n++;
	}
	if (n == 0)
		return;
	c->held.first = *last;
	*last = NULL;
	submit(c, now_ms, first);
}

void core_refuse_held(struct node_core *c, enum code rc, const char *why)
{
	c->held.n = c->held.bytes = 0;
	refuse_all(c, TAKE(c->held.first), rc, why);
}

void node_core_propose(struct node_core *c, uint64_t now_ms,
		       struct rc_proposal *first)
{
	struct accepted a = { 0 };

	a.last = &a.first;
	sort_out(c, first, &a);
	if (!a.first)
		return;
	if (core_crowd(c) || c->held.first) {
		hold(c, &a);
		core_admit_more(c, now_ms);
	} else {
		submit(c, now_ms, a.first);
	}
}
